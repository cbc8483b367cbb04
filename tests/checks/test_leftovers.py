"""Interfaces of network plugins that are gone."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from hostcheck.finding import Outcome
from hostcheck.testing import FakeHost, ask

leftovers: Any = importlib.import_module("hostcheck.checks.leftovers")

TRIE = "Local:\n  +-- 10.244.1.0/24\n     |-- {}\n        /32 host LOCAL\n"
ENV = "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\n"


@pytest.mark.parametrize(
    ("link", "env", "address", "outcome"),
    [
        ("cni0", ENV, "10.244.3.1", Outcome.FAIL),
        ("cni0", ENV, "10.244.1.1", Outcome.PASS),
        ("cni0", "", "10.244.3.1", Outcome.SKIP),
        ("eth0", ENV, "10.244.3.1", Outcome.SKIP),
    ],
)
def test_bridge(link: str, env: str, address: str, outcome: Outcome) -> None:
    files = {
        f"/sys/class/net/{link}/mtu": "1450\n",
        "/run/flannel/subnet.env": env,
        "/proc/net/fib_trie": TRIE.format(address),
    }
    assert ask(leftovers.LeftoversBridge, FakeHost(files)).outcome is outcome


@pytest.mark.parametrize(
    ("config", "links", "expected"),
    [
        ("10-flannel.conflist", ["cilium_vxlan"], ["cilium_vxlan"]),
        ("10-flannel.conflist", ["flannel.1"], []),
        ("05-cilium.conflist", ["flannel.1", "cilium_vxlan"], ["flannel.1"]),
        # Canal.
        ("10-calico.conflist", ["flannel.1"], []),
        ("10-bridge.conf", ["flannel.1"], []),
    ],
)
def test_vxlan(config: str, links: list[str], expected: list[str]) -> None:
    files = {f"/etc/cni/net.d/{config}": "{}", **{f"/sys/class/net/{each}/mtu": "1500\n" for each in links}}
    found = ask(leftovers.LeftoversVxlan, FakeHost(files)).failures
    assert [each.subject for each in found] == expected


NUMBER = "4c2f8a0f6d3b4c8f9a53c1de02b7a611\n"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"/etc/machine-id": NUMBER}, ["/etc/machine-id"]),
        ({"/etc/machine-id": ""}, []),
        ({"/etc/machine-id": "uninitialized\n"}, []),
        ({}, []),
        ({"/var/lib/docker/engine-id": NUMBER}, ["/var/lib/docker/engine-id"]),
        (
            {"/etc/docker/daemon.json": '{"data-root": "/data"}', "/data/engine-id": NUMBER},
            ["/data/engine-id"],
        ),
        ({"/var/lib/docker/swarm/docker-state.json": "{}"}, ["/var/lib/docker/swarm/docker-state.json"]),
        ({"/etc/rancher/node/password": "x"}, ["/etc/rancher/node/password"]),
        ({"/var/lib/systemd/random-seed": "x"}, ["/var/lib/systemd/random-seed"]),
        ({"/var/lib/cloud/instance/boot-finished": "1"}, ["/var/lib/cloud/instance"]),
        (
            {
                "/etc/ssh/ssh_host_ed25519_key": "x",
                "/etc/ssh/ssh_host_ed25519_key.pub": "x",
                "/etc/ssh/sshd_config": "",
            },
            ["/etc/ssh/ssh_host_ed25519_key"],
        ),
    ],
)
def test_identity(files: dict[str, str], expected: list[str]) -> None:
    result = ask(leftovers.LeftoversIdentity, FakeHost(dict(files), kind="root"))
    assert [finding.subject for finding in result.failures] == expected
    assert ask(leftovers.LeftoversIdentity, FakeHost(dict(files))).outcome is Outcome.SKIP
