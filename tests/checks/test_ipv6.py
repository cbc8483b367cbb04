"""Kernels without IPv6, and docker that asks for it."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from hostcheck.finding import Severity
from hostcheck.testing import Content, FakeHost, ask

ipv6: Any = importlib.import_module("hostcheck.checks.ipv6")

ON = {"/proc/sys/net/ipv4/ip_forward": "1\n", "/proc/sys/net/ipv6/conf/all/forwarding": "0\n"}
OFF = {"/proc/sys/net/ipv4/ip_forward": "1\n"}
WANTED = '{"ipv6": true, "fixed-cidr-v6": "fd00:1::/64"}'


def host(laid: dict[str, Content], docker: str, cmdline: str = "root=/dev/vda1 ro") -> FakeHost:
    files: dict[str, Content] = {
        "/usr/bin/dockerd": "\x7fELF",
        "/proc/cmdline": cmdline + "\n",
        "/boot/vmlinuz-6.1.0-1-amd64": "",
        "/boot/grub/grub.cfg": f"menuentry 'Debian' {{\n linux /boot/vmlinuz-6.1.0-1-amd64 {cmdline}\n}}\n",
        **laid,
    }
    return FakeHost(files, assumptions={"docker": docker})


@pytest.mark.parametrize(
    ("laid", "text", "cmdline", "expected"),
    [
        (ON, WANTED, "ro", []),
        (OFF, WANTED, "ro", ["now"]),
        (OFF, WANTED, "ro ipv6.disable=1", ["now", "boot"]),
        (OFF, "{}", "ro ipv6.disable=1", []),
        (OFF, '{"ipv6": false}', "ro ipv6.disable=1", []),
        (OFF, '{"ipv6": true, "fixed-cidr-v6": "fd00:1::/64", "bridge": "none"}', "ro ipv6.disable=1", []),
    ],
)
def test_networks(laid: dict[str, Content], text: str, cmdline: str, expected: list[str]) -> None:
    machine = host({**laid, "/etc/docker/daemon.json": text}, "28.5.2", cmdline)
    assert [each.when for each in ask(ipv6.Ipv6Networks, machine).failures] == expected


@pytest.mark.parametrize(
    ("laid", "docker", "fails"),
    [
        (OFF, "28.5.2", False),
        (OFF, "29.0.0", True),
        (OFF, "29.0.1", True),
        (OFF, "29.0.2", False),
        (ON, "29.0.0", False),
    ],
)
def test_rootless(laid: dict[str, Content], docker: str, fails: bool) -> None:
    found = ask(ipv6.Ipv6Rootless, host(laid, docker), needed="yes").failures
    assert bool(found) is fails


@pytest.mark.parametrize(
    ("network", "laid", "cmdline", "expected"),
    [
        ('{"subnets": [{"subnet": "10.89.0.0/24"}]}', OFF, "ro ipv6.disable=1", []),
        ('{"subnets": [{"subnet": "fd00::/64"}]}', ON, "ro", []),
        ('{"subnets": [{"subnet": "fd00::/64"}]}', OFF, "ro ipv6.disable=1", ["now", "boot"]),
        ("no JSON", OFF, "ro ipv6.disable=1", []),
        (
            '{"subnets": [{"subnet": "fd00::/64"}]}',
            {
                **ON,
                "/proc/sys/net/ipv6/conf/default/disable_ipv6": "1\n",
                "/etc/sysctl.d/9.conf": "net.ipv6.conf.all.disable_ipv6=1\n",
            },
            "ro",
            ["now", "boot"],
        ),
    ],
)
def test_networks_of_podman(
    network: str, laid: dict[str, Content], cmdline: str, expected: list[str]
) -> None:
    files = {**laid, "/usr/bin/podman": "\x7fELF", "/etc/containers/networks/a.json": network}
    result = ask(ipv6.Ipv6Networks, host(files, "28.5.2", cmdline))
    assert [(each.when, each.severity) for each in result.failures] == [
        (when, Severity.RECOMMENDED) for when in expected
    ]
