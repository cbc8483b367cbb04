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
    address from DHCP and one place in the list of nodes; with one identity of docker's they count as one engine; with
    one set of ssh host keys each can pass for the others; where cloud-init has run it takes the machine for known.

    *Needs*: of a tree or image: /etc/machine-id without a number, and none of the files that a machine makes for
    itself: ssh host keys, random seeds, what cloud-init knows, docker's identity, a swarm, kubelet or k3s that joined.

    *Fix*: empty /etc/machine-id and remove the other files as the last step of the build; `cloud-init clean`.
    """

    id = "leftovers.identity"
    severity = Severity.INFO
    references = (
        "https://systemd.io/BUILDING_IMAGES/",
        "https://www.freedesktop.org/software/systemd/man/latest/machine-id.html#Initialization",
        "https://docs.cloud-init.io/en/latest/reference/cli.html#clean",
        "https://github.com/moby/moby/blob/v28.5.2/daemon/id.go",
        "https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/install-kubeadm/",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if host.kind == "live":
            raise NotApplicable("a machine that runs has its own")
        yield self._machine_id(host)
        for path, what in identities(host):
            if host.exists(path):
                yield failed(
                    path,
                    f"every machine made of this {what}",
                    value="present",
                    expected="absent",
                    path=path,
                    when="boot",
                    commands=[f"rm -rf {path}"],
                )

    def _machine_id(self, host: Host) -> Finding:
        more = {"path": MACHINE_ID, "when": "boot", "expected": "an empty file"}
        try:
            number = (text(host, MACHINE_ID) or "").strip()
        except Unavailable:
            number = ""  # A link into /run, which is each machine's own.
        if not re.fullmatch(r"[0-9a-f]{32}", number):
            return passed(MACHINE_ID, "each machine makes its own", **more)
        return failed(
            MACHINE_ID,
            "every machine made of this is the same to DHCP and to Kubernetes",
            value=number,
            commands=[f"truncate -s 0 {MACHINE_ID}"],
            **more,
        )


MACHINE_ID = "/etc/machine-id"

IDENTITIES = (
    ("/var/lib/systemd/random-seed", "starts with the same random numbers"),
    ("/var/lib/systemd/credential.secret", "can read the others' credentials"),
    ("/boot/efi/loader/random-seed", "starts with the same random numbers"),
    ("/var/lib/cloud/instance", "is one that cloud-init has set up, and may not do again"),
    ("/var/lib/cloud/data/instance-id", "is one that cloud-init has set up, and may not do again"),
    ("/etc/docker/key.json", "is the same engine"),
    ("/var/lib/kubelet/pki/kubelet-client-current.pem", "is the same node of a cluster"),
    ("/etc/rancher/node/password", "is the same node of a cluster"),
)
"""What a machine makes for itself, and what follows where an image has it."""


def identities(host: Host) -> Iterator[tuple[str, str]]:
    """Yield where a machine's own files would lie, each with what follows where an image has them."""
    yield from IDENTITIES
    root = docker.data_root(host)
    yield f"{root}/engine-id", "is the same engine"
    yield f"{root}/swarm/docker-state.json", "is the same node of a swarm"
    for name in names(host, "/etc/ssh"):
        if re.fullmatch(r"ssh_host_\w+_key", name):
            yield f"/etc/ssh/{name}", "can pass for the others, to whom connects by ssh"
