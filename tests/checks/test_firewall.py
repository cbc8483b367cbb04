"""Checks of the packet filter: programs, back ends, managers."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from hostcheck.finding import Outcome, Result
from hostcheck.testing import Content, FakeHost, ask

checks: Any = importlib.import_module("hostcheck.checks.firewall")


def dpkg(**versions: str) -> dict[str, Content]:
    """Return a package database; `_` in a name stands for `-`."""
    text = ""
    lists: dict[str, Content] = {}
    for key, version in versions.items():
        name = key.replace("_", "-")
        text += f"Package: {name}\nStatus: install ok installed\nVersion: {version}\n\n"
        if name.startswith("docker"):
            lists[f"/var/lib/dpkg/info/{name}.list"] = "/usr/bin/dockerd\n"
    return {"/var/lib/dpkg/status": text, **lists}


ELF = b"\x7fELF"
DOCKER: dict[str, Content] = {"/usr/bin/dockerd": ELF}
NFT: dict[str, Content] = {
    "/usr/sbin/iptables": "-> /etc/alternatives/iptables",
    "/etc/alternatives/iptables": "-> /usr/sbin/iptables-nft",
    "/usr/sbin/iptables-nft": "-> xtables-nft-multi",
    "/usr/sbin/ip6tables": "-> xtables-nft-multi",
    "/usr/sbin/xtables-nft-multi": ELF,
    "/usr/sbin/xtables-legacy-multi": ELF,
}
NATIVE: dict[str, Content] = {
    **dpkg(docker_ce="5:29.0.1-1~debian.12"),
    "/etc/docker/daemon.json": '{\n  "firewall-backend": "nftables"\n}',
}


def failures(result: Result) -> list[tuple[str, str]]:
    return [(finding.subject, str(result.severity_of(finding))) for finding in result.failures]


@pytest.mark.parametrize(
    "laid, outcome, expected",
    [
        ({}, Outcome.SKIP, []),
        (NFT, Outcome.SKIP, []),
        ({**DOCKER, **NFT}, Outcome.PASS, []),
        (DOCKER, Outcome.FAIL, [("iptables", "required"), ("ip6tables", "recommended")]),
        ({**DOCKER, "/usr/sbin/iptables": ELF}, Outcome.FAIL, [("ip6tables", "recommended")]),
        (
            {
                **DOCKER,
                **dpkg(docker_ce="5:26.1.5-1"),
                "/usr/sbin/iptables": "-> xtables-legacy-multi",
                "/usr/sbin/xtables-legacy-multi": ELF,
            },
            Outcome.PASS,
            [],
        ),
        ({**DOCKER, "/etc/docker/daemon.json": '{"iptables": false}'}, Outcome.SKIP, []),
        # null is taken for false.
        ({**DOCKER, "/etc/docker/daemon.json": '{"iptables": null}'}, Outcome.SKIP, []),
        ({**DOCKER, **NATIVE}, Outcome.SKIP, []),
        # Before 29 there is no such option, and the file as a whole is refused.
        (
            {**DOCKER, **NATIVE, **dpkg(docker_ce="5:28.5.2-1")},
            Outcome.FAIL,
            [("iptables", "required"), ("ip6tables", "recommended")],
        ),
        ({"/usr/bin/podman": ELF, **dpkg(podman="4.3.1+ds1-5")}, Outcome.FAIL, [("iptables", "required")]),
        ({"/usr/bin/podman": ELF, **dpkg(podman="5.4.2+ds1-1")}, Outcome.SKIP, []),
    ],
)
@pytest.mark.parametrize("kind", ["live", "root"])
def test_iptables_is_there(
    laid: dict[str, Content], outcome: Outcome, expected: list[tuple[str, str]], kind: str
) -> None:
    result = ask(checks.FirewallIptables, FakeHost(laid, kind=kind))
    assert (result.outcome, failures(result)) == (outcome, expected), result.reason


def test_the_package_manager_of_the_host_is_named() -> None:
    (finding, *_) = ask(checks.FirewallIptables, FakeHost({**DOCKER, "/usr/bin/dnf": "#!"})).failures
    assert finding.fix is not None
    assert finding.fix["commands"] == ["dnf install -y iptables-nft"]


RULES = "*filter\n:INPUT DROP [0:0]\n-A INPUT -j ACCEPT\nCOMMIT\n"
EMPTY = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\nCOMMIT\n"
DROPS = EMPTY.replace("FORWARD ACCEPT", "FORWARD DROP")
BOTH_LOADED = "ip_tables 1 0 - Live 0x0\nnf_tables 1 0 - Live 0x0\n"


@pytest.mark.parametrize(
    "modules, legacy, nft, version, expected",
    [
        (BOTH_LOADED, EMPTY, RULES, "iptables v1.8.9 (nf_tables)", []),
        (BOTH_LOADED, RULES, RULES, "iptables v1.8.9 (nf_tables)", [("iptables-legacy", "recommended")]),
        # The module is not loaded, so nothing is asked: what is laid down is not looked at.
        ("nf_tables 1 0 - Live 0x0\n", RULES, RULES, "iptables v1.8.9 (nf_tables)", []),
        (BOTH_LOADED, RULES, RULES, "iptables v1.8.9 (legacy)", [("iptables-nft", "recommended")]),
        (BOTH_LOADED, RULES, EMPTY, "iptables v1.8.9 (legacy)", []),
        # A kernel without modules has all in itself, and loads nothing.
        (None, RULES, RULES, "iptables v1.8.9 (nf_tables)", [("iptables-legacy", "recommended")]),
        # Another program's nft rules alone, before docker has written any.
        (BOTH_LOADED, EMPTY, RULES, "iptables v1.8.9 (legacy)", []),
        # Rules that drop all, in the set that nobody looks at.
        (BOTH_LOADED, DROPS, RULES, "iptables v1.8.9 (nf_tables)", [("iptables-legacy", "required")]),
        (BOTH_LOADED, EMPTY, DROPS, "iptables v1.8.9 (legacy)", [("iptables-nft", "required")]),
        (
            BOTH_LOADED,
            DROPS + "-A FORWARD -j ACCEPT\n",
            RULES,
            "iptables v1.8.9 (nf_tables)",
            [("iptables-legacy", "recommended")],
        ),
    ],
)
def test_one_back_end_has_the_rules(
    modules: str | None, legacy: str, nft: str, version: str, expected: list[tuple[str, str]]
) -> None:
    commands = {
        ("iptables", "--version"): version,
        ("iptables-legacy-save",): legacy,
        ("iptables-nft-save",): nft,
    }
    laid = NFT if modules is None else {**NFT, "/proc/modules": modules}
    host = FakeHost(laid, commands=commands)
    # A machine that is looked at: nothing was written down.
    host.recording = host.written_by_hand = False
    result = ask(checks.FirewallBackend, host)
    assert failures(result) == expected
    assert result.outcome is (Outcome.FAIL if expected else Outcome.PASS), result.reason


def test_ip6tables_has_the_same_back_end() -> None:
    mixed = {**NFT, "/usr/sbin/ip6tables": "-> xtables-legacy-multi"}
    assert failures(ask(checks.FirewallBackend, FakeHost(mixed, kind="root"))) == [
        ("ip6tables", "recommended")
    ]
    assert ask(checks.FirewallBackend, FakeHost(NFT, kind="root")).outcome is Outcome.PASS
    assert ask(checks.FirewallBackend, FakeHost({}, kind="root")).outcome is Outcome.SKIP


def test_a_program_that_does_not_tell_is_unknown() -> None:
    host = FakeHost({"/usr/sbin/iptables": ELF}, kind="root")
    assert ask(checks.FirewallBackend, host).outcome is Outcome.UNKNOWN


def test_nft_is_there_for_the_nftables_back_end() -> None:
    assert ask(checks.FirewallNft, FakeHost({**DOCKER, **NFT})).outcome is Outcome.SKIP
    result = ask(checks.FirewallNft, FakeHost({**DOCKER, **NATIVE}))
    assert failures(result) == [("nft", "required")]
    assert (result.failures[0].path, result.failures[0].line) == ("/etc/docker/daemon.json", 2)
    assert (
        ask(checks.FirewallNft, FakeHost({**DOCKER, **NATIVE, "/usr/sbin/nft": ELF})).outcome is Outcome.PASS
    )


UNIT = "/usr/lib/systemd/system/firewalld.service"
FIREWALLD: dict[str, Content] = {
    **DOCKER,
    UNIT: "[Unit]\n[Service]\nExecStart=/usr/sbin/firewalld\n[Install]\nWantedBy=multi-user.target\n",
    "/etc/systemd/system/multi-user.target.wants/firewalld.service": f"-> {UNIT}",
    "/etc/firewalld/firewalld.conf": "DefaultZone=public\n# StrictForwardPorts=yes\nFirewallBackend=nftables\n",
}
ZONE = '<zone>\n  <!-- <interface name="docker0"/> -->\n  <interface name="{}"/>\n</zone>\n'
NEW = dpkg(docker_ce="5:28.5.2-1", firewalld="2.3.0-1")


@pytest.mark.parametrize(
    "laid, expected",
    [
        (NEW, []),
        (
            dpkg(docker_ce="5:19.03.15-1", firewalld="0.9.3"),
            [("firewalld.conf FirewallBackend", "required")],
        ),
        (
            {
                **dpkg(docker_ce="5:19.03.15-1", firewalld="0.9.3"),
                "/etc/firewalld/zones/trusted.xml": ZONE.format("docker0"),
            },
            [("firewalld.conf FirewallBackend", "recommended")],
        ),
        (
            {**NEW, "/etc/firewalld/firewalld.conf": "StrictForwardPorts=yes\n"},
            [("firewalld.conf StrictForwardPorts", "required")],
        ),
        (
            {
                **dpkg(docker_ce="5:28.5.2-1", firewalld="1.3.3"),
                "/etc/firewalld/firewalld.conf": "StrictForwardPorts=yes\n",
            },
            [],
        ),
        (
            {**NEW, "/etc/firewalld/zones/trusted.xml": ZONE.format("docker0")},
            [("firewalld zone of docker0", "required")],
        ),
        ({**NEW, "/etc/firewalld/zones/docker.xml": ZONE.format("docker0")}, []),
        ({**NEW, "/etc/firewalld/zones/trusted.xml": ZONE.format("eth1")}, []),
    ],
)
def test_firewalld(laid: dict[str, Content], expected: list[tuple[str, str]]) -> None:
    result = ask(checks.FirewallFirewalld, FakeHost({**FIREWALLD, **laid}, kind="root"))
    assert failures(result) == expected, result.reason
    assert result.outcome is (Outcome.FAIL if expected else Outcome.PASS), result.reason


def test_the_zone_finding_points_at_the_line() -> None:
    laid = {**FIREWALLD, **NEW, "/etc/firewalld/zones/trusted.xml": ZONE.format("docker0")}
    (finding,) = ask(checks.FirewallFirewalld, FakeHost(laid, kind="root")).failures
    assert (finding.path, finding.line, finding.value) == ("/etc/firewalld/zones/trusted.xml", 3, "trusted")


def test_firewalld_that_is_not_enabled_is_nobodys_concern() -> None:
    laid = {path: content for path, content in FIREWALLD.items() if ".wants/" not in path}
    laid = {**laid, **NEW, "/etc/firewalld/firewalld.conf": "StrictForwardPorts=yes\n"}
    assert ask(checks.FirewallFirewalld, FakeHost(laid, kind="root")).outcome is Outcome.SKIP
    assert ask(checks.FirewallReload, FakeHost(laid, kind="root")).outcome is Outcome.SKIP


def test_reload() -> None:
    result = ask(checks.FirewallReload, FakeHost({**FIREWALLD, **NEW}, kind="root"))
    assert failures(result) == [("firewalld.service", "info")]
    dropin = "/etc/systemd/system/docker.service.d/firewalld.conf"
    tied = {**FIREWALLD, **NEW, dropin: "[Unit]\nPartOf=firewalld.service\nAfter=firewalld.service\n"}
    assert ask(checks.FirewallReload, FakeHost(tied, kind="root")).outcome is Outcome.PASS


@pytest.mark.parametrize(
    "package, expected",
    [("iptables", []), ("iptables_services", [("iptables.service", "recommended")])],
)
def test_reload_of_iptables_without_its_unit(package: str, expected: list[tuple[str, str]]) -> None:
    laid = {**DOCKER, **dpkg(docker_ce="5:28.5.2-1", **{package: "1.8.9-2"})}
    assert failures(ask(checks.FirewallReload, FakeHost(laid, kind="root"))) == expected


@pytest.mark.parametrize(
    "laid, outcome",
    [
        ({"/etc/ufw/ufw.conf": "ENABLED=no\n"}, Outcome.SKIP),
        ({"/etc/ufw/ufw.conf": "# x\nENABLED=yes\n"}, Outcome.FAIL),
        (
            {"/etc/ufw/ufw.conf": "ENABLED=yes\n", "/etc/ufw/after.rules": "*filter\n# :DOCKER-USER\n"},
            Outcome.FAIL,
        ),
        (
            {"/etc/ufw/ufw.conf": "ENABLED=yes\n", "/etc/ufw/after.rules": "*filter\n:DOCKER-USER - [0:0]\n"},
            Outcome.PASS,
        ),
        (
            {"/etc/ufw/ufw.conf": "ENABLED=yes\n", "/etc/docker/daemon.json": '{"ip": "127.0.0.1"}'},
            Outcome.PASS,
        ),
        (
            {"/etc/ufw/ufw.conf": "ENABLED=yes\n", "/etc/docker/daemon.json": '{"iptables": false}'},
            Outcome.SKIP,
        ),
    ],
)
def test_ufw(laid: dict[str, Content], outcome: Outcome) -> None:
    result = ask(checks.FirewallUfw, FakeHost({**DOCKER, **laid}, kind="root"))
    assert result.outcome is outcome
    assert {severity for _, severity in failures(result)} <= {"recommended"}


BRIDGE: dict[str, Content] = {"/etc/systemd/network/br0.netdev": "[NetDev]\nName=br0\nKind=bridge\n"}
OLD = dpkg(docker_ce="5:26.1.5-1")


@pytest.mark.parametrize(
    "laid, outcome",
    [
        ({}, Outcome.SKIP),
        ({**BRIDGE, **OLD}, Outcome.FAIL),
        (
            {**OLD, "/etc/network/interfaces": "auto br0\niface br0 inet dhcp\n  bridge_ports eth0\n"},
            Outcome.FAIL,
        ),
        ({**OLD, "/etc/network/interfaces": "iface virbr7 inet dhcp\n  bridge_ports none\n"}, Outcome.SKIP),
        ({**OLD, "/etc/sysconfig/network-scripts/ifcfg-br0": "DEVICE=br0\nTYPE=Bridge\n"}, Outcome.FAIL),
        # From 27.3 on br_netfilter is loaded only where a network needs it.
        ({**BRIDGE, **dpkg(docker_ce="5:28.5.2-1")}, Outcome.PASS),
        (
            {
                **BRIDGE,
                **dpkg(docker_ce="5:28.5.2-1"),
                "/etc/docker/daemon.json": '{"userland-proxy": false}',
            },
            Outcome.FAIL,
        ),
        ({**BRIDGE, **OLD, "/etc/sysctl.d/a.conf": "net.ipv4.ip_forward=1\n"}, Outcome.PASS),
        ({**BRIDGE, **OLD, "/etc/docker/daemon.json": '{"iptables": false}'}, Outcome.SKIP),
    ],
)
def test_the_forward_policy(laid: dict[str, Content], outcome: Outcome) -> None:
    assert ask(checks.FirewallForwardPolicy, FakeHost({**DOCKER, **laid}, kind="root")).outcome is outcome
