"""Checks of who manages interfaces."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from hostcheck.finding import Outcome, Severity
from hostcheck.testing import Content, FakeHost, ask

checks: Any = importlib.import_module("hostcheck.checks.interfaces")

UNIT = "/usr/lib/systemd/system/systemd-networkd.service"
NETWORKD: dict[str, Content] = {
    UNIT: "[Service]\nExecStart=/usr/lib/systemd/systemd-networkd\n[Install]\nWantedBy=multi-user.target\n",
    "/etc/systemd/system/multi-user.target.wants/systemd-networkd.service": f"-> {UNIT}",
    # What systemd itself brings.
    "/usr/lib/systemd/network/80-container-ve.network": "[Match]\nKind=veth\nName=ve-*\n[Network]\nDHCP=yes\n",
    "/usr/lib/systemd/network/80-container-host0.network": (
        "[Match]\nVirtualization=container\nKind=veth\nName=host0\n[Network]\nDHCP=yes\n"
    ),
}
DHCP = "\n[Network]\nDHCP=yes\n"
FENCE = "[Match]\nKind=veth bridge\n[Link]\nUnmanaged=yes\n"


@pytest.mark.parametrize(
    "match, taken",
    [
        ("Name=eth0", False),
        ("Name=en*", False),
        ("Name=e*", False),
        ("Type=ether", True),
        ("Name=*", True),
        ("Name=!lo", True),
        ("Name=!lo veth* docker*", False),
        ("Type=ether\nKind=!veth", False),
        ("Type=ether\nKind=!*", False),
        ("Type=ether\nName=en*", False),
        ("Type=!loopback", True),
        ("MACAddress=02:00:00:00:00:01\nType=ether", False),
        ("Driver=virtio_net", False),
        ("Type=wlan", False),
        ("Virtualization=vm\nType=ether", True),
        ("", False),
    ],
)
def test_networkd(match: str, taken: bool) -> None:
    path = "/etc/systemd/network/20-wired.network"
    laid: dict[str, Content] = {**NETWORKD, path: f"[Match]\n{match}{DHCP}"}
    result = ask(checks.InterfacesNetworkd, FakeHost(laid, kind="root"))
    assert [finding.subject for finding in result.failures] == ([path] if taken else [])
    # A file that sorts before and leaves them alone mends it.
    fenced = FakeHost({**laid, "/etc/systemd/network/05-containers.network": FENCE}, kind="root")
    assert ask(checks.InterfacesNetworkd, fenced).outcome is Outcome.PASS
    late = FakeHost({**laid, "/etc/systemd/network/99-containers.network": FENCE}, kind="root")
    assert ask(checks.InterfacesNetworkd, late).outcome is (Outcome.FAIL if taken else Outcome.PASS)


def test_networkd_that_is_not_enabled() -> None:
    laid = {path: content for path, content in NETWORKD.items() if ".wants/" not in path}
    laid["/etc/systemd/network/20-wired.network"] = "[Match]\nName=*" + DHCP
    assert ask(checks.InterfacesNetworkd, FakeHost(laid, kind="root")).outcome is Outcome.SKIP


NONE = "[main]\nplugins=keyfile\n[keyfile]\nunmanaged-devices=none\n"


@pytest.mark.parametrize(
    "files, outcome",
    [
        ({"/etc/NetworkManager/NetworkManager.conf": "[main]\nplugins=keyfile\n"}, Outcome.PASS),
        ({"/etc/NetworkManager/NetworkManager.conf": NONE}, Outcome.FAIL),
        (
            {
                "/etc/NetworkManager/NetworkManager.conf": NONE,
                "/etc/NetworkManager/conf.d/90.conf": "[keyfile]\nunmanaged-devices=interface-name:veth*\n",
            },
            Outcome.PASS,
        ),
        (
            {
                "/etc/NetworkManager/NetworkManager.conf": "[main]\n",
                "/usr/lib/NetworkManager/conf.d/10.conf": "[keyfile]\nunmanaged-devices=none\n",
                "/etc/NetworkManager/conf.d/10.conf": "",
            },
            Outcome.PASS,
        ),
        ({}, Outcome.SKIP),
    ],
)
def test_network_manager(files: dict[str, Content], outcome: Outcome) -> None:
    assert ask(checks.InterfacesNetworkManager, FakeHost(files)).outcome is outcome


@pytest.mark.parametrize(
    "version, enabled, outcome",
    [
        ("1.30.0-7.el8", True, Outcome.FAIL),
        ("1.30.0-7.el8", False, Outcome.PASS),
        ("1.48.10-2.el9_5", True, Outcome.PASS),
        (None, True, Outcome.SKIP),
    ],
)
def test_cloud_setup(version: str | None, enabled: bool, outcome: Outcome) -> None:
    unit = "/usr/lib/systemd/system/nm-cloud-setup.timer"
    files: dict[str, Content] = {unit: "[Install]\nWantedBy=timers.target\n"}
    if version:
        files["/var/lib/dpkg/status"] = (
            f"Package: NetworkManager\nStatus: install ok installed\nVersion: 1:{version}\n"
        )
    if enabled:
        files["/etc/systemd/system/timers.target.wants/nm-cloud-setup.timer"] = f"-> {unit}"
    assert ask(checks.InterfacesCloudSetup, FakeHost(files, kind="root")).outcome is outcome


ROUTE = "Iface Destination\neth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"


@pytest.mark.parametrize(
    "mtu, daemon, outcome",
    [
        ("1500", "{}", Outcome.PASS),
        ("1460", "{}", Outcome.FAIL),
        ("1460", '{"mtu": 1460}', Outcome.PASS),
        ("9000", "{}", Outcome.FAIL),
        ("9000", '{"mtu": 9000}', Outcome.PASS),
        ("", "{}", Outcome.UNKNOWN),
    ],
)
def test_mtu(mtu: str, daemon: str, outcome: Outcome) -> None:
    host = FakeHost(
        {
            "/usr/bin/dockerd": b"\x7fELF",
            "/proc/net/route": ROUTE,
            "/sys/class/net/eth0/mtu": mtu,
            "/etc/docker/daemon.json": daemon,
        }
    )
    result = ask(checks.InterfacesMtu, host)
    assert result.outcome is outcome, result.reason
    # That a path carries less than a large uplink is a guess; an uplink that carries less than containers send is none.
    least = Severity.RECOMMENDED if mtu < "1500" else Severity.INFO
    assert all(result.severity_of(finding) is least for finding in result.failures)


BRIDGE = '{"bridge": "br0"}'
JSON = "/etc/docker/daemon.json"


@pytest.mark.parametrize(
    "files, kind, outcome",
    [
        ({JSON: "{}"}, "live", Outcome.SKIP),
        ({JSON: '{"bridge": "none"}'}, "live", Outcome.SKIP),
        ({JSON: '{"bridge": "docker0"}'}, "live", Outcome.SKIP),
        ({JSON: "{}", "/sys/class/net/docker0/mtu": "1500"}, "live", Outcome.FAIL),
        ({JSON: "{}", "/sys/class/net/docker0/bridge/": ""}, "live", Outcome.PASS),
        ({JSON: BRIDGE}, "live", Outcome.FAIL),
        ({JSON: BRIDGE, "/sys/class/net/br0/mtu": "1500"}, "live", Outcome.FAIL),
        ({JSON: BRIDGE, "/sys/class/net/br0/bridge/": ""}, "live", Outcome.PASS),
        ({JSON: BRIDGE}, "root", Outcome.UNKNOWN),
        (
            {JSON: BRIDGE, "/etc/systemd/network/a.netdev": "[NetDev]\nName = br0\nKind=bridge\n"},
            "root",
            Outcome.PASS,
        ),
        ({JSON: BRIDGE, "/etc/systemd/network/a.netdev": "[NetDev]\nName=br01\n"}, "root", Outcome.UNKNOWN),
        (
            {JSON: BRIDGE, "/etc/network/interfaces": "auto br0\niface br0 inet static\n"},
            "root",
            Outcome.PASS,
        ),
        ({JSON: BRIDGE, "/etc/netplan/01.yaml": "network:\n  bridges:\n    br0:\n"}, "root", Outcome.PASS),
        ({JSON: BRIDGE, "/etc/sysconfig/network-scripts/ifcfg-br0": 'DEVICE="br0"\n'}, "root", Outcome.PASS),
        (
            {JSON: BRIDGE, "/etc/NetworkManager/system-connections/b.nmconnection": "interface-name=br0\n"},
            "root",
            Outcome.PASS,
        ),
        (
            {JSON: BRIDGE, "/etc/network/interfaces": "iface br0 inet static\n"},
            "live",
            Outcome.FAIL,
        ),
    ],
)
def test_bridge(files: dict[str, Any], kind: str, outcome: Outcome) -> None:
    result = ask(checks.InterfacesBridge, FakeHost({"/usr/bin/dockerd": "\x7fELF", **files}, kind=kind))
    assert result.outcome is outcome, result.findings or result.reason


@pytest.mark.parametrize(
    ("state", "delay", "fails"),
    [("0", "1500", False), ("1", "1500", True), ("1", "200", False), ("2", "1500", True)],
)
@pytest.mark.parametrize("name", ["docker0", "br0"])
def test_bridge_with_a_spanning_tree(name: str, state: str, delay: str, fails: bool) -> None:
    folder = f"/sys/class/net/{name}/bridge"
    files: dict[str, Content] = {
        "/usr/bin/dockerd": "\x7fELF",
        f"{folder}/stp_state": f"{state}\n",
        f"{folder}/forward_delay": f"{delay}\n",
        JSON: f'{{"bridge": "{name}"}}',
    }
    assert bool(ask(checks.InterfacesBridge, FakeHost(files)).failures) == fails


FLAGS = "/sys/class/net/lo/flags"
OWN = {"/proc/net/fib_trie": "Local:\n  |-- 127.0.0.1\n     /32 host LOCAL\n"}
NOT_OWN = {"/proc/net/fib_trie": "Local:\n  |-- 10.0.0.1\n     /32 host LOCAL\n"}


@pytest.mark.parametrize(
    "laid, kind, outcome",
    [
        ({FLAGS: "0x9\n", **OWN}, "live", Outcome.PASS),
        ({FLAGS: "0x9\n"}, "live", Outcome.PASS),
        ({FLAGS: "0x8\n", **OWN}, "live", Outcome.FAIL),
        ({FLAGS: "0x9\n", **NOT_OWN}, "live", Outcome.FAIL),
        ({}, "live", Outcome.SKIP),
        ({}, "root", Outcome.SKIP),
    ],
)
def test_loopback(laid: dict[str, Any], kind: str, outcome: Outcome) -> None:
    assert ask(checks.InterfacesLoopback, FakeHost(laid, kind=kind)).outcome is outcome


TRIE = {"/proc/net/fib_trie": "Local:\n  |-- 10.0.0.1\n     /32 host LOCAL\n"}


@pytest.mark.parametrize(
    "text, kind, outcome",
    [
        ("{}", "live", Outcome.SKIP),
        ('{"ip": "0.0.0.0"}', "live", Outcome.PASS),
        ('{"ip": "127.0.0.1"}', "live", Outcome.PASS),
        ('{"ip": "10.0.0.1"}', "live", Outcome.PASS),
        ('{"ip": "203.0.113.9"}', "live", Outcome.FAIL),
        ('{"ip": "203.0.113.9"}', "root", Outcome.SKIP),
    ],
)
def test_publish_address(text: str, kind: str, outcome: Outcome) -> None:
    laid = {"/usr/bin/dockerd": "\x7fELF", JSON: text, **TRIE}
    assert ask(checks.InterfacesPublishAddress, FakeHost(laid, kind=kind)).outcome is outcome


@pytest.mark.parametrize(
    "conf, fails",
    [
        ("hostname\nclientid\n", True),
        ("# denyinterfaces veth*\n", True),
        ("denyinterfaces docker0\n", True),
        # After `interface` it is of that interface alone.
        ("interface eth0\nstatic ip_address=10.0.0.2/24\ndenyinterfaces veth*\n", True),
        ("denyinterfaces veth*\ninterface eth0\n", False),
        ("denyinterfaces docker0 br-* veth*\n", False),
        ("allowinterfaces eth0,wlan0\n", False),
        ("allowinterfaces *\n", True),
    ],
)
def test_dhcpcd(conf: str, fails: bool) -> None:
    unit = "/usr/lib/systemd/system/dhcpcd.service"
    laid: dict[str, Content] = {
        "/etc/dhcpcd.conf": conf,
        unit: "[Service]\nExecStart=/usr/sbin/dhcpcd\n[Install]\nWantedBy=multi-user.target\n",
    }
    assert ask(checks.InterfacesDhcpcd, FakeHost(laid, kind="root")).failures == []
    laid["/etc/systemd/system/multi-user.target.wants/dhcpcd.service"] = f"-> {unit}"
    assert bool(ask(checks.InterfacesDhcpcd, FakeHost(laid, kind="root")).failures) is fails
