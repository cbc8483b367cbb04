"""Which iptables there is, and what a host's network is made of."""

from __future__ import annotations

import pathlib

import pytest

from hostcheck.facts import firewall, network
from hostcheck.host import Unavailable
from hostcheck.testing import Content, FakeHost

ELF = b"\x7fELF"


@pytest.mark.parametrize(
    "program, target, backend",
    [
        # Debian, by the alternatives; EL 8 and later; EL 7; Alpine before and after 3.19; Gentoo.
        ("/usr/sbin/iptables", "/usr/sbin/xtables-nft-multi", "nft"),
        ("/usr/sbin/iptables", "/usr/sbin/iptables-legacy", "legacy"),
        ("/usr/sbin/iptables", "/usr/sbin/xtables-legacy-multi", "legacy"),
        ("/sbin/iptables", "/sbin/xtables-multi", "legacy"),
        ("/usr/local/sbin/iptables", "/opt/iptables-nft", "nft"),
    ],
)
def test_back_end_in_a_tree(program: str, target: str, backend: str) -> None:
    links: dict[str, Content] = {
        program: "-> /etc/alternatives/iptables",
        "/etc/alternatives/iptables": f"-> {target}",
    }
    host = FakeHost({**links, target: ELF}, kind="root")
    found = firewall.iptables(host)
    assert found is not None
    assert (found.path, found.target, found.backend) == (program, target, backend)
    assert firewall.backend(host) == backend


def test_no_iptables_and_one_that_does_not_tell() -> None:
    assert firewall.backend(FakeHost(kind="root")) is None
    dangling = FakeHost({"/usr/sbin/iptables": "-> /usr/sbin/iptables-nft"}, kind="root")
    assert firewall.iptables(dangling) is None
    silent = FakeHost({"/usr/sbin/iptables": ELF}, kind="root")
    assert firewall.backend(silent) is None
    with pytest.raises(Unavailable):
        firewall.iptables(silent)


@pytest.mark.parametrize(
    "printed, backend, version",
    [
        ("iptables v1.8.9 (nf_tables)", "nft", "1.8.9"),
        ("iptables v1.8.4 (legacy)", "legacy", "1.8.4"),
        ("iptables v1.4.21", "legacy", "1.4.21"),
        # It cannot reach the kernel, and says so without the brackets.
        ("iptables/1.8.7 Failed to initialize nft: Protocol not supported", "nft", "1.8.7"),
    ],
)
def test_a_running_host_is_asked(printed: str, backend: str, version: str) -> None:
    # The name says nft: what the program says counts.
    files: dict[str, Content] = {
        "/usr/sbin/iptables": "-> xtables-nft-multi",
        "/usr/sbin/xtables-nft-multi": ELF,
    }
    host = FakeHost(files, commands={("iptables", "--version"): printed})
    found = firewall.iptables(host)
    assert found is not None
    assert (found.backend, found.version) == (backend, version)


def test_the_corpus_of_versions(corpora: pathlib.Path) -> None:
    """Every iptables of the corpus gives its back end where the output names one."""
    seen = 0
    for line in (corpora / "version-strings.tsv").read_text(errors="replace").splitlines():
        if not line.startswith(("iptables\t", "ip6tables\t")):
            continue
        version, backend = firewall.parse_iptables_version(line)
        seen += 1
        assert version is not None, line
        if "(nf_tables)" in line or "(legacy)" in line:
            assert backend == ("nft" if "(nf_tables)" in line else "legacy"), line
    print(f"iptables outputs: {seen}")
    assert seen >= 3


@pytest.mark.parametrize("text", ["[Match\nName=x", "=\n[=]\n=x", "\x00\xff", "[A]\n" * 9, "]["])
def test_any_text_is_survived(text: str) -> None:
    network.parse_ini(text)
    network.parse_proc_route(text)
    network.parse_ip_route(text)
    network.parse_resolv_conf(text)
    firewall.parse_rules(text)
    firewall.parse_shell_assignments(text)
    firewall.parse_iptables_version(text)


def test_bridges() -> None:
    host = FakeHost(
        {
            "/sys/class/net/br0/bridge/stp_state": "0",
            "/sys/class/net/docker0/bridge/stp_state": "0",
            "/sys/class/net/br-0123456789ab/bridge/stp_state": "0",
            "/sys/class/net/eth0/mtu": "1500",
            "/etc/systemd/network/lan.netdev": "[NetDev]\nName=br-lan\nKind=bridge\n",
            "/etc/systemd/network/vlan.netdev": "[NetDev]\nName=vlan7\nKind=vlan\n",
        }
    )
    assert [(name, source.path) for name, source in network.bridges(host)] == [
        ("br0", "/sys/class/net/br0/bridge"),
        ("br-lan", "/etc/systemd/network/lan.netdev"),
    ]


def test_export() -> None:
    host = FakeHost(
        {"/etc/ufw/ufw.conf": "ENABLED=yes\n", "/etc/resolv.conf": "nameserver 192.0.2.1\n"}, kind="root"
    )
    assert firewall.export(host)["ufw"] == {"value": "enabled", "path": "/etc/ufw/ufw.conf", "line": 1}
    assert network.export(host)["nameserver 192.0.2.1"] == {
        "value": "192.0.2.1",
        "path": "/etc/resolv.conf",
        "line": 1,
    }
