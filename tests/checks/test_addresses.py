"""Checks of container networks' addresses and of name servers."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from hostcheck.finding import Outcome, Severity
from hostcheck.testing import Content, FakeHost, ask

checks: Any = importlib.import_module("hostcheck.checks.addresses")

DOCKER: dict[str, Content] = {"/usr/bin/dockerd": b"\x7fELF"}
HEAD = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"


def route_table(*networks: str, device: str = "tun0") -> str:
    """Return what /proc/net/route shows."""
    text = HEAD
    for network in networks:
        address, _, bits = network.partition("/")
        mask = ((1 << 32) - (1 << (32 - int(bits)))) & 0xFFFFFFFF
        hexes = [
            bytes(int(part) for part in address.split("."))[::-1].hex().upper(),
            mask.to_bytes(4, "little").hex(),
        ]
        text += f"{device}\t{hexes[0]}\t00000000\t0001\t0\t0\t0\t{hexes[1].upper()}\t0\t0\t0\n"
    return text


HOME = ("0.0.0.0/0", "192.168.1.0/24")
POOLS = '{"default-address-pools": [{"base": "10.10.0.0/16", "size": 24}]}'


@pytest.mark.parametrize(
    "networks, daemon, docker0, expected",
    [
        (HOME, "{}", False, []),
        # One pool is taken: docker chooses the next.
        ((*HOME, "172.17.0.0/16"), "{}", False, []),
        # A VPN that takes everything, and all private networks one by one.
        (("0.0.0.0/1", "128.0.0.0/1"), "{}", False, ["required"]),
        (("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"), "{}", False, ["required"]),
        (("0.0.0.0/1", "128.0.0.0/1"), "{}", True, ["recommended"]),
        (("172.16.0.0/12",), "{}", False, []),
        (("10.0.0.0/8",), POOLS, False, ["required"]),
        (("10.10.0.0/17",), POOLS, False, []),
        (HOME, '{"bip": "192.168.1.1/24"}', False, ["required"]),
        # The network of a machine beside the uplink: containers take all of it, or a part of a large one.
        (("192.168.1.0/24",), '{"bip": "192.168.1.1/24"}', False, ["required"]),
        (("10.0.0.0/8", "192.168.1.0/24"), '{"bip": "192.168.1.1/24"}', False, ["required"]),
        (("10.0.0.0/8",), '{"bip": "10.9.0.1/24"}', False, ["recommended"]),
        (HOME, '{"bip": "10.9.0.1/24"}', False, []),
    ],
)
def test_overlap(networks: tuple[str, ...], daemon: str, docker0: bool, expected: list[str]) -> None:
    files: dict[str, Content] = {
        **DOCKER,
        "/proc/net/route": route_table(*networks),
        "/etc/docker/daemon.json": daemon,
    }
    if docker0:
        files["/sys/class/net/docker0/address"] = ""
    result = ask(checks.AddressesOverlap, FakeHost(files))
    assert [str(result.severity_of(finding)) for finding in result.failures] == expected, result.findings
    assert result.outcome is (Outcome.FAIL if expected else Outcome.PASS), result.reason


def test_docker_s_own_route_is_no_overlap() -> None:
    table = route_table("172.17.0.0/16", device="docker0")
    host = FakeHost(
        {**DOCKER, "/proc/net/route": table, "/etc/docker/daemon.json": '{"bip": "172.17.0.1/16"}'}
    )
    assert ask(checks.AddressesOverlap, host).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("address", "daemon", "fails"),
    [
        ("192.168.1.9/24", "{}", True),
        ("192.168.1.9/24", '{"bip": "10.9.0.1/24"}', False),
        ("10.9.0.1/24", "{}", False),
        ("", "{}", False),
    ],
)
def test_a_docker0_that_was_left(address: str, daemon: str, fails: bool) -> None:
    laid: dict[str, Content] = {
        **DOCKER,
        "/proc/net/route": route_table("192.168.1.0/24"),
        "/etc/docker/daemon.json": daemon,
        "/sys/class/net/docker0/flags": "0x1002",
    }
    shown = f"4: docker0    inet {address} scope global docker0" if address else ""
    host = FakeHost(laid, commands={("ip", "-4", "-o", "addr", "show", "dev", "docker0"): shown})
    failures = ask(checks.AddressesOverlap, host).failures
    assert [finding.subject for finding in failures] == (["docker0"] if fails else [])


@pytest.mark.parametrize(
    ("network", "daemon", "fails"),
    [
        ("172.17.0.0/16", "{}", True),
        ("172.17.0.0/24", "{}", True),
        # docker0's own route is more exact than a black hole for all private networks.
        ("172.16.0.0/12", "{}", False),
        ("172.17.0.0/16", '{"bip": "10.9.0.1/24"}', False),
        ("10.9.0.0/24", '{"bip": "10.9.0.1/24"}', True),
    ],
)
def test_a_black_hole(network: str, daemon: str, fails: bool) -> None:
    table = route_table("0.0.0.0/0") + route_table(network, device="*").removeprefix(HEAD)
    files: dict[str, Content] = {**DOCKER, "/proc/net/route": table, "/etc/docker/daemon.json": daemon}
    failures = ask(checks.AddressesOverlap, FakeHost(files)).failures
    assert [finding.subject for finding in failures] == (["black hole"] if fails else [])


USUAL = "0:\tfrom all lookup local\n{}32766:\tfrom all lookup main\n32767:\tfrom all lookup default\n"
FIB = "Main:\n  |-- 0.0.0.0\n     /0 universe UNICAST\nId 52:\n  |-- {}\n     /{} universe {}\n"


@pytest.mark.parametrize(
    ("rules", "table", "fails"),
    [
        ("", None, False),
        ("9: from 172.17.0.0/16 blackhole\n", None, True),
        ("9: from all to 172.16.0.0/12 prohibit\n", None, True),
        ("8: from all to 10.9.0.0/16 lookup main\n9: from 172.17.0.0/16 blackhole\n", None, True),
        # docker0 has another network, and a part of it is not all of it.
        ("9: from 172.18.0.0/16 blackhole\n", None, False),
        ("9: from 172.17.0.128/25 blackhole\n", None, False),
        ("32770: from 172.17.0.0/16 blackhole\n", None, False),
        # What these packets are, no rule tells.
        ("9: from 172.17.0.0/16 fwmark 0x1 blackhole\n", None, False),
        ("9: from 172.17.0.0/16 iif eth0 blackhole\n", None, False),
        ("9: not from 172.17.0.0/16 blackhole\n", None, False),
        ("9: from 172.17.0.0/16 to 10.9.0.0/16 blackhole\n", None, False),
        # Somebody has mended it.
        ("8: from all to 172.17.0.0/16 lookup main\n9: from all to 172.16.0.0/12 prohibit\n", None, False),
        # As of a VPN with a route to all private networks.
        ("9: from all lookup 52\n", "172.16.0.0 12 UNICAST", True),
        ("9: from all lookup 52\n", "0.0.0.0 0 UNICAST", True),
        ("9: from all lookup 52 suppress_prefixlength 0\n", "0.0.0.0 0 UNICAST", False),
        (
            "8: from all lookup main suppress_prefixlength 0\n9: from all lookup 52\n",
            "0.0.0.0 0 UNICAST",
            False,
        ),
        ("9: from all lookup 52\n", "172.16.0.0 12 THROW", False),
        ("9: from all lookup 52\n", "10.0.0.0 8 UNICAST", False),
        # This may be docker0's own route once more.
        ("9: from all lookup 52\n", "172.17.0.0 16 UNICAST", False),
        ("9: from 10.0.0.9 lookup 52\n", "0.0.0.0 0 UNICAST", False),
        ("9: from all lookup 53\n", "0.0.0.0 0 UNICAST", False),
        ("9: from all lookup 52\n", None, False),
    ],
)
def test_a_rule_of_routing(rules: str, table: str | None, fails: bool) -> None:
    first, last = USUAL.split("{}")
    late = rules.startswith("32770")
    said = f"{first}{last}{rules}" if late else f"{first}{rules}{last}"
    files: dict[str, Content] = {**DOCKER, "/proc/net/route": route_table("0.0.0.0/0")}
    if table:
        files["/proc/net/fib_trie"] = FIB.format(*table.split())
    failures = ask(checks.AddressesOverlap, FakeHost(files, commands={("ip", "-4", "rule"): said})).failures
    assert [finding.subject for finding in failures] == (["ip rule"] if fails else [])


OWN = "  |-- {}\n     /{} host LOCAL\n"


@pytest.mark.parametrize(
    ("address", "bits", "daemon", "fails"),
    [
        ("172.17.0.2", 32, "{}", True),
        ("172.17.0.0", 16, "{}", True),
        ("172.17.0.1", 32, "{}", False),
        # So many containers few hosts have.
        ("172.17.200.5", 32, "{}", False),
        ("172.17.0.2", 32, '{"bip": "10.9.0.1/24"}', False),
        ("10.9.0.3", 32, '{"bip": "10.9.0.1/24"}', True),
        # docker0 itself.
        ("10.9.0.3", 32, '{"bip": "10.9.0.3/24"}', False),
        ("127.0.0.0", 8, "{}", False),
    ],
)
def test_addresses_of_this_host_among_those_of_containers(
    address: str, bits: int, daemon: str, fails: bool
) -> None:
    files: dict[str, Content] = {
        **DOCKER,
        "/proc/net/route": route_table("0.0.0.0/0"),
        "/proc/net/fib_trie": OWN.format(address, bits),
        "/etc/docker/daemon.json": daemon,
    }
    failures = ask(checks.AddressesOverlap, FakeHost(files)).failures
    assert [finding.subject for finding in failures] == ["own addresses"] * fails


def test_a_tree_has_no_routes() -> None:
    assert ask(checks.AddressesOverlap, FakeHost(DOCKER, kind="root")).outcome is Outcome.SKIP


OLD: dict[str, Content] = {
    "/var/lib/dpkg/status": "Package: docker.io\nStatus: install ok installed\nVersion: 17.12.1-0ubuntu1\n",
    "/var/lib/dpkg/info/docker.io.list": "/usr/bin/dockerd\n",
}
STUB = "nameserver 127.0.0.53\noptions edns0\n"
KUBELET = "/var/lib/kubelet/config.yaml"


@pytest.mark.parametrize("kind", ["live", "root"])
def test_a_resolv_conf_that_is_a_folder(kind: str) -> None:
    result = ask(checks.AddressesResolvConf, FakeHost({**DOCKER, "/etc/resolv.conf/": ""}, kind=kind))
    assert [result.severity_of(finding) for finding in result.failures] == [Severity.REQUIRED]


@pytest.mark.parametrize(
    "laid, expected",
    [
        ({"/etc/resolv.conf": "nameserver 192.0.2.1\n"}, []),
        ({"/etc/resolv.conf": "nameserver 127.0.0.1\nnameserver 192.0.2.1\n"}, []),
        ({"/etc/resolv.conf": STUB}, []),
        ({"/etc/resolv.conf": STUB, **OLD}, ["resolv.conf"]),
        ({"/etc/resolv.conf": STUB, **OLD, "/etc/docker/daemon.json": '{"dns": ["192.0.2.1"]}'}, []),
        ({"/etc/resolv.conf": "nameserver 127.0.0.1\n"}, ["resolv.conf"]),
        ({"/etc/resolv.conf": "nameserver ::1\n"}, ["resolv.conf"]),
        ({"/etc/resolv.conf": "-> ../run/systemd/resolve/stub-resolv.conf"}, []),
        ({"/etc/resolv.conf": STUB, KUBELET: "kind: KubeletConfiguration\n"}, ["kubelet resolvConf"]),
        ({"/etc/resolv.conf": STUB, KUBELET: "resolvConf: /etc/resolv.conf\n"}, ["kubelet resolvConf"]),
        ({"/etc/resolv.conf": STUB, KUBELET: "resolvConf: /run/systemd/resolve/resolv.conf\n"}, []),
        ({"/etc/resolv.conf": "nameserver 192.0.2.1\n", KUBELET: "kind: KubeletConfiguration\n"}, []),
    ],
)
def test_resolvers(laid: dict[str, Content], expected: list[str]) -> None:
    result = ask(checks.AddressesResolvConf, FakeHost({**DOCKER, **laid}, kind="root"))
    assert [finding.subject for finding in result.failures] == expected, result.findings
    assert result.outcome is (Outcome.FAIL if expected else Outcome.PASS), result.reason
    for finding in result.failures:
        # A loop of CoreDNS is no name for any pod; the engine's own fallback may answer.
        deserved = Severity.REQUIRED if "kubelet" in finding.subject else Severity.RECOMMENDED
        assert result.severity_of(finding) is deserved


@pytest.mark.parametrize("laid", [{}, {"/etc/resolv.conf": "-> ../run/resolvconf/resolv.conf"}])
def test_a_resolv_conf_that_is_made_at_boot(laid: dict[str, Content]) -> None:
    assert ask(checks.AddressesResolvConf, FakeHost(laid, kind="root")).outcome is Outcome.SKIP


@pytest.mark.parametrize(
    "routes, fails",
    [
        ("10.9.0.0/24 dev docker0\n10.8.0.0/24 dev br-0123456789ab\n", False),
        ("10.9.0.0/24 dev br-ba9876543210\n10.8.0.0/24 dev br-0123456789ab\n", True),
        ("10.8.0.0/15 dev br-ba9876543210\n", True),
    ],
)
def test_pools_that_networks_have_used(routes: str, fails: bool) -> None:
    pools = (
        '{"default-address-pools": [{"base": "10.8.0.0/24", "size": 24}, {"base": "10.9.0.0/24", "size": 24}'
    )
    more = "]}" if fails else ', {"base": "10.7.0.0/24", "size": 24}]}'
    commands: dict[tuple[str, ...], str] = {
        ("ip", "-4", "route"): f"default via 192.168.1.1 dev eth0\n{routes}"
    }
    host = FakeHost({**DOCKER, "/etc/docker/daemon.json": pools + more}, commands=commands)
    assert bool(ask(checks.AddressesOverlap, host).failures) is fails


@pytest.mark.parametrize("version, fails", [("1.25.0", True), ("1.25.1", False), ("1.24.9", False)])
def test_the_search_domain_of_kubelet_1_25_0(version: str, fails: bool) -> None:
    laid: dict[str, Content] = {
        "/var/lib/dpkg/status": f"Package: kubelet\nStatus: install ok installed\nVersion: {version}-00\n",
        "/var/lib/kubelet/config.yaml": "kind: KubeletConfiguration\n",
        "/etc/resolv.conf": "nameserver 10.0.0.2\nsearch .\n",
    }
    failures = ask(checks.AddressesResolvConf, FakeHost(laid)).failures
    assert [finding.subject for finding in failures] == ["kubelet search domain"] * fails


TRIE = "  |-- 172.17.0.0\n     /16 link UNICAST\n  |-- 172.17.0.1\n     /32 host LOCAL\n"


@pytest.mark.parametrize(
    "server, device, expected",
    [
        ("172.17.0.53", "docker0", ["required"]),
        # The bridge's own address: a server on the host itself.
        ("172.17.0.1", "docker0", []),
        ("172.17.0.53", "eth0", []),
        ("10.0.0.53", "docker0", []),
    ],
)
def test_a_name_server_that_a_bridge_hides(server: str, device: str, expected: list[str]) -> None:
    files: dict[str, Content] = {
        **DOCKER,
        "/etc/resolv.conf": f"nameserver {server}\n",
        "/proc/net/route": route_table("172.17.0.0/16", device=device),
        "/proc/net/fib_trie": TRIE,
    }
    result = ask(checks.AddressesResolvConf, FakeHost(files))
    assert [result.severity_of(finding).value for finding in result.failures] == expected


@pytest.mark.parametrize(
    "kind, chosen, there, expected",
    [
        ("live", "/run/systemd/resolve/resolv.conf", False, 1),
        ("live", "/run/systemd/resolve/resolv.conf", True, 0),
        ("root", "/run/systemd/resolve/resolv.conf", False, 0),
        ("root", "/etc/kubernetes/resolv.conf", False, 1),
        ("live", "/etc/resolv.conf", True, 0),
    ],
)
def test_the_file_that_pods_get_must_be_there(kind: str, chosen: str, there: bool, expected: int) -> None:
    files: dict[str, Content] = {
        "/etc/resolv.conf": "nameserver 10.0.0.53\n",
        "/var/lib/kubelet/config.yaml": f"kind: KubeletConfiguration\nresolvConf: {chosen}\n",
    }
    if there:
        files[chosen] = "nameserver 10.0.0.53\n"
    result = ask(checks.AddressesResolvConf, FakeHost(files, kind=kind))
    assert len(result.failures) == expected


@pytest.mark.parametrize("kind, expected", [("live", ["recommended"]), ("root", [])])
def test_a_resolv_conf_that_leads_nowhere(kind: str, expected: list[str]) -> None:
    files: dict[str, Content] = {**DOCKER, "/etc/resolv.conf": "-> ../run/resolvconf/resolv.conf"}
    result = ask(checks.AddressesResolvConf, FakeHost(files, kind=kind))
    assert [result.severity_of(finding).value for finding in result.failures] == expected
