"""Networks of rootless engines: driver, ports, ping and iptables, each exact where somebody runs containers so."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from rootless_host import ELF, HOME, KERNEL, PORT, failures, host

from hostcheck.finding import Outcome
from hostcheck.testing import Content, ask

checks: Any = importlib.import_module("hostcheck.checks.rootless_network")


@pytest.mark.parametrize(
    ("files", "packages", "expected"),
    [
        ({}, {}, {}),
        ({"/usr/bin/slirp4netns": None}, {}, {"network driver": "required"}),
        ({"/usr/bin/slirp4netns": None, "/usr/bin/pasta": ELF}, {}, {}),
        ({"/usr/bin/slirp4netns": None}, {"passt": "0.0~git"}, {}),
        ({"/usr/bin/slirp4netns": None, "/home/u/bin/vpnkit": ELF}, {}, {}),
        ({}, {"slirp4netns": "0.3.0-1"}, {"network driver": "required"}),
        # 29's rootlesskit has a driver built in.
        (
            {"/usr/bin/slirp4netns": None},
            {"docker-ce-rootless-extras": "5:29.0.0-1"},
            {"network driver": "info"},
        ),
        ({"/dev/net/tun": None}, {}, {"tun": "required"}),
        ({f"/lib/modules/{KERNEL}/kernel/drivers/net/tun.ko": None}, {}, {}),
    ],
)
def test_network_driver(files: Any, packages: Any, expected: dict[str, str]) -> None:
    found = failures(ask(checks.RootlessNetworkDriver, host(files, packages=packages)))
    assert found == {(subject, "now"): severity for subject, severity in expected.items()}


@pytest.mark.parametrize(
    ("podman", "files", "expected"),
    [
        ("4.3.1", {}, set()),
        ("4.3.1", {"/usr/bin/slirp4netns": None, "/usr/bin/pasta": ELF}, {"podman network driver"}),
        ("5.4.2", {}, {"podman network driver"}),
        ("5.4.2", {"/usr/bin/pasta": ELF}, set()),
        (
            "5.4.2",
            {"/etc/containers/containers.conf": '[network]\ndefault_rootless_network_cmd = "slirp4netns"\n'},
            set(),
        ),
    ],
)
def test_network_driver_of_podman(podman: str, files: Any, expected: set[str]) -> None:
    theirs = {HOME: None, "/usr/bin/podman": ELF, "/home/u/.local/share/containers/storage/": "", **files}
    here = host(theirs, packages={"podman": podman})
    assert {s for s, _ in failures(ask(checks.RootlessNetworkDriver, here))} == expected


def test_network_driver_comes_with_the_packages() -> None:
    gone: dict[str, Content | None] = {"/usr/bin/slirp4netns": None}
    found = ask(checks.RootlessNetworkDriver, host(gone, used=False), needed="yes")
    assert failures(found) == {("network driver", "now"): "info"}
    there: dict[str, Content | None] = {**gone, "/usr/bin/dockerd": ELF}
    found = ask(checks.RootlessNetworkDriver, host(there, used=False), needed="yes")
    assert failures(found) == {("network driver", "now"): "required"}


QUADLET = "/home/u/.config/containers/systemd/web.container"
DEFAULT: dict[str, Content | None] = {
    PORT: "1024\n", "/etc/sysctl.d/90-rootless.conf": None, "/usr/bin/podman": ELF,
}  # fmt: skip


@pytest.mark.parametrize(
    ("publish", "severity"),
    [
        ("PublishPort=8080:80", "info"),
        ("PublishPort=80:80", "required"),
        ("PublishPort=127.0.0.1:443:8443/tcp", "required"),
        ("PublishPort=[::1]:443:8443", "required"),
        ("PublishPort=[::]:8443:443", "info"),
        ("PublishPort=80", "info"),
        ("#PublishPort=80:80", "info"),
        ("PublishPort=%i:80", "info"),
    ],
)
def test_ports(publish: str, severity: str) -> None:
    found = failures(
        ask(checks.RootlessNetworkPorts, host({**DEFAULT, QUADLET: f"[Container]\n{publish}\n"}))
    )
    key = checks.PORT_KEY
    assert found == {(key, "now"): severity, (key, "boot"): severity}


def test_ports_now_and_boot_differ() -> None:
    files: dict[str, Content | None] = {**DEFAULT, PORT: "80\n", QUADLET: "[Container]\nPublishPort=80:80\n"}
    found = ask(checks.RootlessNetworkPorts, host(files))
    assert failures(found) == {(checks.PORT_KEY, "boot"): "required"}
    assert f"{QUADLET}:2 publishes 80" in found.failures[0].message
    assert not failures(ask(checks.RootlessNetworkPorts, host(), lowest=80))
    assert failures(ask(checks.RootlessNetworkPorts, host(), lowest=53))


def test_ports_of_a_unit_of_podman() -> None:
    unit = "/home/u/.config/systemd/user/web.service"
    start = "[Service]\nExecStart=/usr/bin/podman run --name web -p 443:443 nginx\n"
    assert "required" in failures(ask(checks.RootlessNetworkPorts, host({**DEFAULT, unit: start}))).values()


PING = "/proc/sys/net/ipv4/ping_group_range"


@pytest.mark.parametrize(
    ("now", "boot", "expected"),
    [
        ("1\t0", "", {"now", "boot"}),
        ("0\t2147483647", "", {"boot"}),
        ("0\t2147483647", "0 2147483647", set()),
        ("1\t0", "0 2147483647", {"now"}),
        ("0\t0", "100 50", {"boot"}),
    ],
)
def test_ping(now: str, boot: str, expected: set[str]) -> None:
    files: dict[str, Content | None] = {PING: now + "\n"}
    files["/etc/sysctl.d/9.conf"] = f"net.ipv4.ping_group_range = {boot}\n" if boot else None
    found = failures(ask(checks.RootlessNetworkPing, host(files)))
    assert found == {(checks.PING_KEY, when): "info" for when in expected}


LEGACY: dict[str, Content | None] = {
    "/usr/sbin/iptables": "-> /etc/alternatives/iptables",
    "/etc/alternatives/iptables": "-> /usr/sbin/iptables-legacy",
    "/usr/sbin/iptables-legacy": "-> xtables-legacy-multi",
    "/usr/sbin/xtables-legacy-multi": ELF,
    f"/lib/modules/{KERNEL}/modules.dep": "kernel/net/ipv4/netfilter/ip_tables.ko:\n",
    f"/lib/modules/{KERNEL}/kernel/net/ipv4/netfilter/ip_tables.ko": "x",
    "/proc/modules": "",
}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, {"now", "boot"}),
        ({"/proc/modules": "ip_tables 1 0 - Live 0x0\n"}, {"boot"}),
        ({"/etc/modules-load.d/x.conf": "ip_tables\n"}, {"now"}),
        ({f"/lib/modules/{KERNEL}/modules.builtin": "kernel/net/ipv4/netfilter/ip_tables.ko\n"}, set()),
        (
            {
                "/proc/modules": "ip_tables 1 0 - Live 0x0\n",
                "/lib/systemd/system/docker.service": "[Service]\nExecStart=/x\n[Install]\nWantedBy=a.target\n",
                "/etc/systemd/system/multi-user.target.wants/docker.service": "-> /lib/systemd/system/docker.service",
            },
            set(),
        ),
        ({"/etc/alternatives/iptables": "-> /usr/sbin/iptables-nft", "/usr/sbin/iptables-nft": ELF}, None),
        ({"/usr/sbin/iptables": None}, None),
    ],
)
def test_iptables(files: Any, expected: set[str] | None) -> None:
    found = ask(checks.RootlessNetworkIptables, host({**LEGACY, **files}))
    if expected is None:
        assert found.outcome is Outcome.SKIP
    else:
        assert failures(found) == {("ip_tables", when): "recommended" for when in expected}


def test_iptables_of_podman() -> None:
    theirs = {HOME: None, "/usr/bin/podman": ELF, "/home/u/.local/share/containers/storage/": ""}
    assert ask(checks.RootlessNetworkIptables, host({**LEGACY, **theirs})).outcome is Outcome.SKIP
