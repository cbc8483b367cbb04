"""Networks whose plugins are there, and are not."""

from __future__ import annotations

import importlib
import json
from typing import Any

import pytest

from hostcheck.finding import Outcome, Severity
from hostcheck.testing import FakeHost, ask

cni: Any = importlib.import_module("hostcheck.checks.cni")

ELF = "\x7fELF"
BRIDGE = '{"plugins": [{"type": "bridge"}, {"type": "portmap"}]}'
DNS = '{"plugins": [{"type": "bridge"}, {"type": "dnsname"}]}'
NODE = {"/var/lib/kubelet/config.yaml": "kind: KubeletConfiguration\n"}
PODMAN = {"/usr/bin/podman": ELF}
OWN = 'version = 2\n[plugins."io.containerd.grpc.v1.cri".cni]\nbin_dir = "/srv/cni"\n'


@pytest.mark.parametrize(
    ("network", "there", "more", "expected"),
    [
        (BRIDGE, ["/opt/cni/bin/bridge", "/opt/cni/bin/portmap"], NODE, ["loopback"]),
        (BRIDGE, ["/opt/cni/bin/bridge", "/opt/cni/bin/portmap", "/opt/cni/bin/loopback"], NODE, []),
        (BRIDGE, ["/opt/cni/bin/bridge", "/opt/cni/bin/portmap"], {}, []),
        (BRIDGE, ["/usr/libexec/cni/bridge"], PODMAN, ["portmap"]),
        (BRIDGE, ["/srv/cni/bridge", "/srv/cni/portmap"], {"/etc/containerd/config.toml": OWN}, []),
        (BRIDGE, ["/srv/cni/bridge", "/srv/cni/portmap"], {}, ["bridge", "portmap"]),
        (DNS, ["/usr/lib/cni/bridge"], PODMAN, ["dnsname"]),
        (DNS, ["/usr/lib/cni/bridge", "/usr/lib/cni/dnsname"], PODMAN, ["dnsname"]),
        (DNS, ["/usr/lib/cni/bridge", "/usr/lib/cni/dnsname", "/usr/sbin/dnsmasq"], PODMAN, []),
        ("{", [], {}, ["10-net.conflist"]),
        ('{"type": "ptp"}', ["/opt/cni/bin/ptp"], {}, []),
    ],
)
def test_plugins(network: str, there: list[str], more: dict[str, str], expected: list[str]) -> None:
    files = {"/etc/cni/net.d/10-net.conflist": network, **dict.fromkeys(there, ELF), **more}
    found = ask(cni.CniPlugins, FakeHost(files, modes=dict.fromkeys(there, 0o755))).failures
    assert [each.subject for each in found] == expected


def test_no_network() -> None:
    files = {"/etc/cni/net.d/calico-kubeconfig": "kind: Config\n"}
    assert ask(cni.CniPlugins, FakeHost(files)).outcome is Outcome.SKIP


def network(name: str, *kinds: str) -> str:
    return json.dumps({"name": name, "plugins": [{"type": kind} for kind in kinds]})


PODMAN_FILE = {"87-podman-bridge.conflist": network("podman", "bridge")}
CRIO_FILE = {"100-crio-bridge.conf": '{"name": "crio-bridge", "type": "bridge"}'}
CALICO = {"10-calico.conflist": network("k8s-pod-network", "calico", "portmap")}
FLANNEL = {"10-flannel.conflist": network("cbr0", "flannel", "portmap")}
CALICO_RUNS = {"/var/lib/calico/nodename": "node-1"}


@pytest.mark.parametrize(
    ("networks", "more", "severity"),
    [
        (PODMAN_FILE, NODE, Severity.REQUIRED),
        ({**PODMAN_FILE, **FLANNEL}, NODE, None),
        (PODMAN_FILE, {}, "skip"),
        # A cluster of one node may live on the bridge that came with the runtime.
        (CRIO_FILE, NODE, Severity.INFO),
        ({**CRIO_FILE, "90-cilium.conflist": network("cilium", "cilium-cni")}, NODE, Severity.REQUIRED),
        ({**CALICO, **FLANNEL}, NODE, Severity.REQUIRED),
        ({**CALICO, **FLANNEL}, {**NODE, **CALICO_RUNS}, None),
        # Before Calico has begun its file may be there.
        (CALICO, NODE, None),
        ({**CALICO, "10-calico.conf": network("k8s-pod-network", "calico")}, NODE, Severity.RECOMMENDED),
        ({"10-net.conflist": "{", **FLANNEL}, NODE, None),
    ],
)
def test_first(networks: dict[str, str], more: dict[str, str], severity: Severity | str | None) -> None:
    files = {**{f"/etc/cni/net.d/{name}": said for name, said in networks.items()}, **more}
    result = ask(cni.CniFirst, FakeHost(files))
    if severity == "skip":
        assert result.outcome is Outcome.SKIP
        return
    assert result.outcome is not Outcome.ERROR, result.reason
    assert [result.severity_of(each) for each in result.failures] == ([severity] if severity else [])


CILIUM = {"05-cilium.conflist": network("cilium", "cilium-cni")}
SYSTEMD = {"/usr/lib/systemd/systemd": ELF, "/proc/sys/net/ipv4/conf/all/rp_filter": "0\n"}
WANTS = "/etc/systemd/system/multi-user.target.wants/"
NETWORKD = {
    "/usr/lib/systemd/system/systemd-networkd.service": "[Service]\nExecStart=/x\n",
    f"{WANTS}systemd-networkd.service": "-> /usr/lib/systemd/system/systemd-networkd.service",
}
MANAGER = {
    "/usr/lib/systemd/system/NetworkManager.service": "[Service]\nExecStart=/x\n",
    f"{WANTS}NetworkManager.service": "-> /usr/lib/systemd/system/NetworkManager.service",
    "/etc/NetworkManager/NetworkManager.conf": "[main]\n",
}
LEFT_ALONE = {"/usr/lib/systemd/networkd.conf.d/a.conf": "[Network]\nManageForeignRoutingPolicyRules=no\n"}
FILTER = {"/usr/lib/sysctl.d/50-default.conf": "net.ipv4.conf.*.rp_filter = 2\n"}
OVERRIDE = {"/etc/sysctl.d/99-zzz-override_cilium.conf": "net.ipv4.conf.lxc*.rp_filter = 0\n"}
KEYFILE = "/etc/NetworkManager/conf.d/calico.conf"
UNMANAGED = "[keyfile]\nunmanaged-devices=interface-name:{}\n"
VXLAN = {"/sys/class/net/vxlan.calico/mtu": "1450\n"}
RULES = "networkd.conf ManageForeignRoutingPolicyRules"
RP_FILTER = "net.ipv4.conf.lxc*.rp_filter"
DEVICES = "NetworkManager.conf unmanaged-devices"


@pytest.mark.parametrize(
    ("networks", "more", "systemd", "expected"),
    [
        (CILIUM, NETWORKD, "249", [RULES]),
        (CILIUM, NETWORKD, "247", []),
        (CILIUM, {**NETWORKD, **LEFT_ALONE}, "249", []),
        (FLANNEL, NETWORKD, "249", None),
        (CILIUM, FILTER, "245", [RP_FILTER]),
        (CILIUM, FILTER, "244", None),
        (CILIUM, {**FILTER, **OVERRIDE}, "255", []),
        (CILIUM, {}, "255", []),
        (CALICO, MANAGER, "239", [DEVICES]),
        (CALICO, {**MANAGER, KEYFILE: UNMANAGED.format("cali*")}, "239", []),
        (CALICO, {**MANAGER, KEYFILE: UNMANAGED.format("cali*"), **VXLAN}, "239", [DEVICES]),
        (
            CALICO,
            {**MANAGER, KEYFILE: UNMANAGED.format("cali*;interface-name:vxlan.calico"), **VXLAN},
            "239",
            [],
        ),
        (CALICO, {}, "239", None),
    ],
)
def test_host(
    networks: dict[str, str], more: dict[str, str], systemd: str, expected: list[str] | None
) -> None:
    package = f"Package: systemd\nStatus: install ok installed\nVersion: {systemd}-1\n"
    files = {**{f"/etc/cni/net.d/{name}": said for name, said in networks.items()}, **SYSTEMD, **more}
    result = ask(cni.CniHost, FakeHost({**files, "/var/lib/dpkg/status": package}))
    assert result.outcome is not Outcome.ERROR, result.reason
    assert (result.outcome is Outcome.SKIP) is (expected is None)
    assert [each.subject for each in result.failures] == (expected or [])
