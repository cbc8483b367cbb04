"""The host's own rules in files, and what is forwarded for containers."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from hostcheck.finding import Outcome
from hostcheck.testing import Content, FakeHost, ask

rulesets: Any = importlib.import_module("hostcheck.checks.rulesets")


def host(path: str, text: str, unit: str, on: bool = True, **more: Content) -> FakeHost:
    """Make a host with an engine, rules in a file, and the unit that loads them."""
    laid: dict[str, Content] = {
        "/usr/bin/dockerd": b"\x7fELF",
        path: text,
        f"/usr/lib/systemd/system/{unit}": "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=sysinit.target\n",
        **{"/" + name.replace("__", "/"): content for name, content in more.items()},
    }
    if on:
        laid[f"/etc/systemd/system/sysinit.target.wants/{unit}"] = f"-> /usr/lib/systemd/system/{unit}"
    return FakeHost(laid)


def chain(*rules: str, policy: str = "drop") -> str:
    body = "\n".join(f"        {rule}" for rule in rules)
    return (
        "#!/usr/sbin/nft -f\nflush ruleset\ntable inet filter {\n    chain forward {\n"
        f"        type filter hook forward priority 0; policy {policy};\n{body}\n    }}\n}}\n"
    )


@pytest.mark.parametrize(
    "text, fails",
    [
        (chain(), True),
        (chain("ct state established,related accept"), True),
        (chain("ct state { established, related } accept", "ct state invalid drop"), True),
        (chain("ct state vmap { established : accept, related : accept, invalid : drop }"), True),
        (chain("# iifname docker0 accept"), True),
        (chain('log prefix "dropped "'), True),
        (chain('iifname "lan" oifname "wan" accept'), True),
        (chain("iif { eth0, wg0 } accept"), True),
        (chain("ct state established accept", "counter drop", policy="accept"), True),
        (chain("iifname $trusted accept"), False),
        (chain("oifname eth0 accept"), False),
        (chain(policy="accept"), False),
        (chain("ip daddr 10.1.1.1 drop", policy="accept"), False),
        (chain('iifname "docker0" accept', 'oifname "docker0" accept'), False),
        (chain('iifname { "docker0", "br-*" } accept'), False),
        # What lies behind it is not known.
        (chain("jump containers"), False),
        (chain("ip saddr @pods accept"), False),
        (
            "table inet f {\n  chain input {\n    type filter hook input priority 0; policy drop;\n  }\n}\n",
            False,
        ),
    ],
)
def test_nftables(text: str, fails: bool) -> None:
    result = ask(rulesets.RulesetsNftables, host("/etc/nftables.conf", text, "nftables.service"))
    assert bool(result.failures) is fails


def test_rules_that_nothing_loads() -> None:
    off = host("/etc/nftables.conf", chain(), "nftables.service", on=False)
    assert ask(rulesets.RulesetsNftables, off).outcome is Outcome.SKIP


SAVED = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD {0} [0:0]\n{1}COMMIT\n"
REJECT = "-A FORWARD -j REJECT --reject-with icmp-host-prohibited\n"


@pytest.mark.parametrize(
    "text, fails",
    [
        (SAVED.format("ACCEPT", REJECT), True),
        (SAVED.format("ACCEPT", "-A FORWARD -j DROP\n"), True),
        (SAVED.format("ACCEPT", "-A FORWARD -s 10.42.0.0/16 -j ACCEPT\n" + REJECT), False),
        (SAVED.format("ACCEPT", "-A FORWARD -i eth1 -j DROP\n"), False),
        (SAVED.format("ACCEPT", "-A INPUT -j REJECT\n"), False),
        ("*mangle\n-A FORWARD -j DROP\nCOMMIT\n", False),
    ],
)
def test_iptables_of_a_node(text: str, fails: bool) -> None:
    laid = host("/etc/iptables/rules.v4", text, "netfilter-persistent.service", usr__bin__kubelet=b"\x7fELF")
    result = ask(rulesets.RulesetsIptables, laid)
    assert bool(result.failures) is fails


def test_docker_alone_comes_before_them() -> None:
    laid = host("/etc/iptables/rules.v4", SAVED.format("ACCEPT", REJECT), "netfilter-persistent.service")
    assert ask(rulesets.RulesetsIptables, laid).outcome is Outcome.SKIP


NODE: dict[str, Content] = {"/usr/bin/kubelet": b"\x7fELF"}
FIREWALLD: dict[str, Content] = {
    **NODE,
    "/etc/firewalld/firewalld.conf": "DefaultZone=public\n",
    "/usr/lib/systemd/system/firewalld.service": "[Service]\nExecStart=/bin/true\n",
    "/etc/systemd/system/multi-user.target.wants/firewalld.service": "-> /usr/lib/systemd/system/firewalld.service",
}
UFW: dict[str, Content] = {**NODE, "/etc/ufw/ufw.conf": "ENABLED=yes\n", "/etc/ufw/user.rules": ""}
ZONE = "/etc/firewalld/zones/trusted.xml"


@pytest.mark.parametrize(
    "laid, subjects",
    [
        (FIREWALLD, ["firewalld"]),
        ({**FIREWALLD, ZONE: '<zone target="ACCEPT"><interface name="cni0"/></zone>'}, []),
        ({**FIREWALLD, ZONE: '<zone target="ACCEPT"><source address="10.244.0.0/16"/></zone>'}, []),
        ({**FIREWALLD, ZONE: '<zone target="ACCEPT"><source address="192.168.1.7"/></zone>'}, ["firewalld"]),
        ({**FIREWALLD, "/etc/firewalld/firewalld.conf": "DefaultZone=trusted\n"}, []),
        (UFW, ["ufw"]),
        ({**UFW, "/etc/ufw/user.rules": "-A ufw-user-input -p tcp --dport 22 -j ACCEPT\n"}, ["ufw"]),
        ({**UFW, "/etc/ufw/user.rules": "-A ufw-user-input -s 10.42.0.0/16 -j ACCEPT\n"}, []),
        ({**UFW, "/etc/default/ufw": 'DEFAULT_INPUT_POLICY="ACCEPT"\n'}, []),
    ],
)
def test_the_firewall_of_a_node(laid: dict[str, Content], subjects: list[str]) -> None:
    assert [each.subject for each in ask(rulesets.RulesetsPods, FakeHost(laid)).failures] == subjects


def test_a_node_without_a_firewall() -> None:
    assert ask(rulesets.RulesetsPods, FakeHost(NODE)).outcome is Outcome.SKIP
    without = {path: text for path, text in UFW.items() if path not in NODE}
    assert ask(rulesets.RulesetsPods, FakeHost(without)).outcome is Outcome.SKIP


@pytest.mark.parametrize(
    ("rules", "policy", "fails"),
    [
        (("ct state established,related accept", "iif lo accept", "tcp dport 22 accept"), "drop", True),
        (("ct state vmap { established : accept, invalid : drop }", "iif lo accept"), "drop", True),
        (("iif lo accept", "tcp dport 22 accept"), "accept", False),
        (("iif lo accept", "udp dport 53 accept"), "drop", False),
        (('iifname "podman0" accept',), "drop", False),
        (("ip saddr 10.88.0.0/16 udp dport domain accept",), "drop", False),
        (("jump mine",), "drop", False),
    ],
)
def test_names(rules: tuple[str, ...], policy: str, fails: bool) -> None:
    text = chain(*rules, policy=policy).replace("hook forward", "hook input")
    assert "hook input" in text
    programs: Any = {
        f"usr__{name}": b"\x7fELF"
        for name in ("bin__podman", "libexec__podman__netavark", "libexec__podman__aardvark-dns")
    }
    machine = host("/etc/nftables.conf", text, "nftables.service", **programs)
    assert bool(ask(rulesets.RulesetsNames, machine).failures) is fails


def now(rules: str, **more: Content) -> FakeHost:
    """Make a running host with an engine, of which nft tells these rules."""
    laid: dict[str, Content] = {"/usr/bin/dockerd": b"\x7fELF", "/proc/modules": "nf_tables 1 0 - Live 0x0\n"}
    laid.update({"/" + name.replace("__", "/"): content for name, content in more.items()})
    return FakeHost(laid, commands={("nft", "list", "ruleset"): rules})


DROPS = "table {} {} {{\n\tchain x {{\n\t\ttype filter hook {} priority filter; policy drop;\n\t}}\n}}\n"


@pytest.mark.parametrize(
    "rules, hooks",
    [
        ("", []),
        (DROPS.format("inet", "guard", "forward"), ["forward"]),
        (DROPS.format("inet", "guard", "forward").replace("drop;", "drop;\n\t\ttcp dport 22 accept"), []),
        (DROPS.format("ip", "guard", "prerouting"), ["prerouting"]),
        # A server lets in what it is asked for, and that of another family is no matter of containers.
        (DROPS.format("inet", "guard", "input"), []),
        (DROPS.format("ip6", "guard", "forward"), []),
        # In these dockerd comes first.
        ("# managed by iptables-nft\n" + DROPS.format("ip", "filter", "forward"), []),
        (DROPS.format("arp", "filter", "input"), ["input"]),
        (DROPS.format("bridge", "filter", "input"), ["input"]),
        # What one container sends to another.
        (DROPS.format("bridge", "filter", "forward"), []),
        (DROPS.format("ip", "nat", "forward") + DROPS.format("arp", "x", "output"), ["output"]),
    ],
)
def test_nftables_now(rules: str, hooks: list[str]) -> None:
    failures = ask(rulesets.RulesetsNftables, now(rules)).failures
    assert [(finding.subject, finding.when) for finding in failures] == [
        (f"nftables {hook}", "now") for hook in hooks
    ]


def test_nft_is_not_asked_where_that_would_load_its_module() -> None:
    asked = now(DROPS.format("inet", "guard", "forward"), proc__modules="")
    assert ask(rulesets.RulesetsNftables, asked).outcome is Outcome.SKIP
