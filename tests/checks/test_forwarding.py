"""Interfaces that do not forward, and rules that drop what containers send."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from hostcheck.finding import Outcome
from hostcheck.testing import Content, FakeHost, ask

forwarding: Any = importlib.import_module("hostcheck.checks.forwarding")

DOCKER: dict[str, Content] = {"/usr/bin/dockerd": "\x7fELF"}
CONF = "/proc/sys/net/ipv4/conf/{}/forwarding"
ROUTES = "Iface Destination\neth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
BESIDE = "eth1\t0000A8C0\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"


def live(ip_forward: str, routes: str = ROUTES, **switches: str) -> FakeHost:
    """Return a running host with docker and these switches of interfaces."""
    files: dict[str, Content] = {
        **DOCKER,
        "/proc/sys/net/ipv4/ip_forward": ip_forward,
        "/proc/net/route": routes,
        "/etc/sysctl.d/": "",
    }
    files.update({CONF.format(name): value for name, value in switches.items()})
    if "docker0" in switches:
        files["/sys/class/net/docker0/bridge/bridge_id"] = ""
    return FakeHost(files)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (live("1", default="1", eth0="1"), []),
        (live("1", default="0", eth0="1"), ["default"]),
        # dockerd switches all of them on.
        (live("0", default="0", eth0="0"), []),
        # What is there already has its own switch.
        (live("1", default="0", docker0="1", eth0="1"), []),
        (live("1", default="1", docker0="0", eth0="1"), ["docker0"]),
        (live("1", default="1", eth0="0"), ["eth0"]),
        # An interface beside the uplink may be kept apart, unless there is no uplink.
        (live("1", ROUTES + BESIDE, default="1", eth0="1", eth1="0"), []),
        (live("1", "Iface\n" + BESIDE, default="1", eth1="0"), ["eth1"]),
    ],
)
def test_interfaces_now(host: FakeHost, expected: list[str]) -> None:
    failures = ask(forwarding.ForwardingInterfaces, host).failures
    assert [finding.subject.split(".")[3] for finding in failures] == expected


ON, OFF = "net.ipv4.ip_forward = 1\n", "net.ipv4.conf.default.forwarding = 0\n"


@pytest.mark.parametrize(
    ("texts", "outcome"),
    [
        ([ON + OFF], Outcome.FAIL),
        ([ON, OFF], Outcome.FAIL),
        # The later line counts.
        ([OFF, ON], Outcome.PASS),
        ([ON], Outcome.PASS),
        (["net.ipv4.conf.all.forwarding = 1\n", OFF], Outcome.FAIL),
        # dockerd switches all of them on.
        ([OFF], Outcome.SKIP),
        ([], Outcome.SKIP),
    ],
)
def test_interfaces_at_rest(texts: list[str], outcome: Outcome) -> None:
    files: dict[str, Content] = {f"/etc/sysctl.d/{place}.conf": text for place, text in enumerate(texts)}
    host = FakeHost({**DOCKER, "/etc/sysctl.d/": "", **files}, kind="root")
    assert ask(forwarding.ForwardingInterfaces, host).outcome is outcome


ARP = "/proc/sys/net/ipv4/conf/{}/arp_ignore"


@pytest.mark.parametrize(
    ("values", "text", "expected"),
    [
        ({"all": "0", "default": "0"}, "", []),
        ({"all": "2", "default": "1"}, "", []),
        ({"all": "8", "default": "0"}, "", ["now"]),
        ({"all": "0", "default": "8"}, "", ["now"]),
        ({"all": "0", "default": "0"}, "net.ipv4.conf.all.arp_ignore = 8\n", ["boot"]),
        ({"all": "0", "default": "0"}, "net.ipv4.conf.all.arp_ignore = 1\n", []),
    ],
)
def test_neighbours(values: dict[str, str], text: str, expected: list[str]) -> None:
    files: dict[str, Content] = {ARP.format(name): value for name, value in values.items()}
    host = FakeHost({**DOCKER, "/etc/sysctl.d/x.conf": text, **files})
    assert [finding.when for finding in ask(forwarding.ForwardingNeighbours, host).failures] == expected


SAVED = "*filter\n:INPUT ACCEPT [0:0]\n:DOCKER-USER - [0:0]\n{}COMMIT\n"
REPLIES = "-A DOCKER-USER -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"
DROP = "-A DOCKER-USER -j DROP\n"


def with_rules(saved: str) -> FakeHost:
    """Return a running host whose iptables has these rules."""
    return FakeHost(
        {**DOCKER, "/usr/sbin/iptables": "\x7fELF", "/proc/modules": "nf_tables 1 0 - Live 0x0\n"},
        commands={
            ("iptables", "--version"): "iptables v1.8.9 (nf_tables)",
            ("iptables-nft-save",): saved,
        },
    )


@pytest.mark.parametrize(
    ("rules", "fails"),
    [
        ("", False),
        (DROP, True),
        ("-A DOCKER-USER -j REJECT --reject-with icmp-port-unreachable\n", True),
        (REPLIES + DROP, True),
        ('-A DOCKER-USER -m comment --comment "all of it" -j DROP\n', True),
        ("-A DOCKER-USER -j LOG --log-prefix x\n" + DROP, True),
        ("-A DOCKER-USER -i docker0 -j DROP\n", True),
        ("-A DOCKER-USER -i eth0 -j DROP\n-A DOCKER-USER -j RETURN\n", False),
        ("-A DOCKER-USER -s 10.0.0.0/8 -j RETURN\n" + DROP, False),
        ("-A DOCKER-USER -j RETURN\n" + DROP, False),
        ("-A DOCKER-USER -j MINE\n" + DROP, False),
    ],
)
def test_docker_user(rules: str, fails: bool) -> None:
    """Now, and in a file that is loaded at boot."""
    assert bool(ask(forwarding.ForwardingDockerUser, with_rules(SAVED.format(rules))).failures) == fails
    unit = "/usr/lib/systemd/system/netfilter-persistent.service"
    files: dict[str, Content] = {
        **DOCKER,
        "/etc/iptables/rules.v4": SAVED.format(rules),
        unit: "[Install]\nWantedBy=multi-user.target\n",
        "/etc/systemd/system/multi-user.target.wants/netfilter-persistent.service": f"-> {unit}",
    }
    assert bool(ask(forwarding.ForwardingDockerUser, FakeHost(files, kind="root")).failures) == fails
    del files["/etc/systemd/system/multi-user.target.wants/netfilter-persistent.service"]
    assert ask(forwarding.ForwardingDockerUser, FakeHost(files, kind="root")).outcome is Outcome.SKIP


ANSWERS = "-A {} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"


@pytest.mark.parametrize(
    ("saved", "expected"),
    [
        ("*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\nCOMMIT\n", []),
        ("*filter\n:INPUT DROP [0:0]\nCOMMIT\n", ["filter INPUT"]),
        ("*filter\n:INPUT DROP [0:0]\n-A INPUT -i lo -j ACCEPT\nCOMMIT\n", ["filter INPUT"]),
        ("*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -s 10.0.0.1/32 -j DROP\nCOMMIT\n", []),
        ("*mangle\n:FORWARD DROP [0:0]\nCOMMIT\n*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n", ["mangle FORWARD"]),
        ("*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -i docker0 -j DROP\nCOMMIT\n", ["raw PREROUTING"]),
        ("*security\n:FORWARD DROP [0:0]\nCOMMIT\n", ["security FORWARD"]),
        ("*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -j CT --notrack\nCOMMIT\n", ["raw PREROUTING"]),
        ("*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p udp -j CT --notrack\nCOMMIT\n", []),
        ("*raw\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -j CT --notrack\nCOMMIT\n", []),
        # What private networks send, and what is sent to them.
        ("*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -s 172.16.0.0/12 -j DROP\nCOMMIT\n", ["filter INPUT"]),
        ("*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -s 172.16.0.0/12 -i eth0 -j DROP\nCOMMIT\n", []),
        ("*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -s 172.17.0.2/32 -j DROP\nCOMMIT\n", []),
        ("*filter\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -d 172.16.0.0/12 -j REJECT\nCOMMIT\n", ["filter OUTPUT"]),
        # Replies come in, and new connections to containers do not go out.
        (f"*filter\n:INPUT DROP [0:0]\n-A INPUT -i lo -j ACCEPT\n{ANSWERS.format('INPUT')}COMMIT\n", []),
        (
            f"*filter\n:OUTPUT DROP [0:0]\n-A OUTPUT -o lo -j ACCEPT\n{ANSWERS.format('OUTPUT')}COMMIT\n",
            ["filter OUTPUT"],
        ),
        ("*filter\n:OUTPUT DROP [0:0]\n-A OUTPUT -p tcp -j ACCEPT\nCOMMIT\n", []),
        (
            "*mangle\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -o docker0 -j DROP\nCOMMIT\n",
            ["mangle POSTROUTING"],
        ),
    ],
)
def test_chains(saved: str, expected: list[str]) -> None:
    failures = ask(forwarding.ForwardingChains, with_rules(saved)).failures
    assert [finding.subject for finding in failures] == expected


INPUT = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -s {} -j DROP\nCOMMIT\n"


@pytest.mark.parametrize(
    ("dropped", "more", "fails"),
    [
        ("10.0.0.0/8", {}, False),
        ("10.0.0.0/8", {"/etc/docker/daemon.json": '{"bip": "10.9.0.1/24"}'}, True),
        ("172.16.0.0/12", {"/etc/docker/daemon.json": '{"bip": "10.9.0.1/24"}'}, False),
        # docker0 is there, and where another network is it gets none of the usual.
        (
            "10.0.0.0/8",
            {"/proc/net/route": "Iface\ndocker0\t0000090A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\n"},
            True,
        ),
        (
            "172.17.0.0/16",
            {"/proc/net/route": "Iface\nvpn\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\n"},
            False,
        ),
        ("172.17.0.0/16", {"/etc/docker/daemon.json": '{"default-address-pools": []}'}, True),
    ],
)
def test_chains_ask_for_the_network_of_containers(
    dropped: str, more: dict[str, Content], fails: bool
) -> None:
    """At boot, by files that netfilter-persistent loads, and now."""
    rules = INPUT.format(dropped)
    host = with_rules(rules)
    host.files.update(more)
    assert bool(ask(forwarding.ForwardingChains, host).failures) == fails


@pytest.mark.parametrize("name", ["ForwardingInterfaces", "ForwardingDockerUser", "ForwardingChains"])
def test_nothing_is_said_without_a_bridge(name: str) -> None:
    check = getattr(forwarding, name)
    assert ask(check, FakeHost({})).outcome is Outcome.SKIP
    none: dict[str, Content] = {**DOCKER, "/etc/docker/daemon.json": '{"bridge": "none"}'}
    assert ask(check, FakeHost(none)).outcome is Outcome.SKIP
