"""What network plugins of before have left on a node, and what a machine has left in the image made from it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, Unavailable, failed, passed
from hostcheck.facts import docker, network
from hostcheck.facts.files import names, text

SUBNET = "/run/flannel/subnet.env"
BRIDGE = "cni0"
LINKS = "/sys/class/net"

PORTS = {"flannel.1": "flannel", "cilium_vxlan": "cilium", "vxlan.calico": "calico"}
"""Interfaces that hold UDP port 8472 or 4789, and the plugin that makes each."""


class LeftoversBridge(Check):
    """The bridge of pods has the address that flannel gives this node.

    *Why*: after `kubeadm reset` or a change of the pods' network cni0 stays, with its address of before. The plugin
    does not change it: `failed to set bridge addr: "cni0" already has an IP address different from`, and no pod starts.

    *Needs*: /run/flannel/subnet.env, and the addresses of this machine.

    *Fix*: `ip link delete cni0`; it is made again with the next pod.
    """

    id = "leftovers.bridge"
    severity = Severity.REQUIRED
    references = (
        "https://github.com/containernetworking/plugins/blob/v1.4.0/plugins/main/bridge/bridge.go",
        "https://github.com/containernetworking/cni/issues/306",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if host.kind != "live" or not host.exists(f"{LINKS}/{BRIDGE}"):
            raise NotApplicable(f"there is no {BRIDGE}")
        found = re.search(r"(?m)^FLANNEL_SUBNET=([\d.]+)/\d+", text(host, SUBNET) or "")
        if found is None:
            raise NotApplicable("flannel has given this node no network")
        address = found[1]
        more = {"expected": address, "path": SUBNET}
        if self._has(host, address):
            yield passed(BRIDGE, f"has {address}, as flannel says", value=address, **more)
            return
        yield failed(
            BRIDGE,
            f"does not have {address}, which flannel gives this node: no pod starts",
            value="another address",
            commands=[f"ip link delete {BRIDGE}"],
            **more,
        )

    def _has(self, host: Host, address: str) -> bool:
        for argv in (("ip", "addr", "show", BRIDGE), ("ip", "addr"), ("ip", "a")):
            if not host.written_by_hand:
                break
            try:
                return f" {address}/" in host.run(*argv).out
            except (OSError, Unavailable):
                continue
        return not network.is_foreign(host, address)


class LeftoversVxlan(Check):
    """Only one network plugin holds the port of VXLAN.

    *Why*: flannel and Cilium send over UDP port 8472. An interface of the plugin before keeps the port: `failed to set
    interface flannel.1 to UP state: address already in use`, and pods reach those of other nodes no more.

    *Needs*: among the interfaces none of Cilium or flannel beside a file of the other in /etc/cni/net.d.

    *Fix*: `ip link delete` the interface of the plugin that is gone.
    """

    id = "leftovers.vxlan"
    severity = Severity.REQUIRED
    references = (
        "https://github.com/tkestack/tke/issues/1279",
        "https://docs.cilium.io/en/stable/operations/system_requirements/#firewall-rules",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if host.kind != "live":
            raise NotApplicable("interfaces are those of a running host")
        files = " ".join(names(host, "/etc/cni/net.d"))
        used = next((name for name in ("cilium", "calico", "flannel") if name in files), "")
        if not used:
            raise NotApplicable("no network plugin with a VXLAN is set up here")
        links = names(host, LINKS)
        for link, owner in PORTS.items():
            # Canal is Calico with flannel's VXLAN.
            both = {owner, used} <= {"calico", "flannel"}
            if link in links and owner != used and not both:
                yield failed(
                    link,
                    f"is left over of {owner}, and holds the port that {used} sends over",
                    value=owner,
                    expected=used,
                    path=f"{LINKS}/{link}",
                    commands=[f"ip link delete {link}"],
                )
                return
        yield passed("vxlan", f"no interface of another plugin than {used}", value=used)


class LeftoversIdentity(Check):
    """An image brings no identity that each of its machines must have for itself.

    *Why*: what is made once and stays is the same on every machine of the image. With one machine-id they get one
    address from DHCP and one place in the list of nodes; with one identity of docker's they count as one engine.

    *Needs*: of a tree or image: /etc/machine-id without a number, and neither docker's identity nor a swarm, a kubelet
    or a k3s that has joined.

    *Fix*: empty /etc/machine-id and remove the other files as the last step of the build.
    """

    id = "leftovers.identity"
    severity = Severity.INFO
    references = (
        "https://www.freedesktop.org/software/systemd/man/latest/machine-id.html#Initialization",
        "https://github.com/moby/moby/blob/v28.5.2/daemon/id.go",
        "https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/install-kubeadm/",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if host.kind == "live":
            raise NotApplicable("a machine that runs has its own")
        more = {"when": "boot", "expected": "absent"}
        try:
            number = (text(host, MACHINE_ID) or "").strip()
        except Unavailable:
            number = ""  # A link into /run, which is each machine's own.
        if re.fullmatch(r"[0-9a-f]{32}", number):
            yield failed(
                MACHINE_ID,
                "every machine made of this is the same to DHCP and to Kubernetes",
                value=number,
                path=MACHINE_ID,
                commands=[f"truncate -s 0 {MACHINE_ID}"],
                **{**more, "expected": "an empty file"},
            )
        else:
            yield passed(MACHINE_ID, "each machine makes its own", path=MACHINE_ID, **more)
        for path, what in identities(host):
            if host.exists(path):
                problem = f"every machine made of this is the same {what}"
                yield failed(path, problem, value="present", path=path, commands=[f"rm -rf {path}"], **more)


MACHINE_ID = "/etc/machine-id"


def identities(host: Host) -> Iterator[tuple[str, str]]:
    """Yield the files by which engines and nodes are told apart, each with as what."""
    root = docker.data_root(host)
    yield f"{root}/engine-id", "engine"
    yield "/etc/docker/key.json", "engine"
    yield f"{root}/swarm/docker-state.json", "node of a swarm"
    yield "/var/lib/kubelet/pki/kubelet-client-current.pem", "node of a cluster"
    yield "/etc/rancher/node/password", "node of a cluster"
