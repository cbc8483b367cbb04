"""Networks whose plugins are there, and are not."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from hostcheck.finding import Outcome
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
