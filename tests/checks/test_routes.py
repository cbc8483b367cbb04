"""Routes that routers advertise, on hosts that begin to forward."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from hostcheck.finding import Outcome, Severity
from hostcheck.testing import FakeHost, ask

routes: Any = importlib.import_module("hostcheck.checks.routes")

DOCKER = {
    "/usr/bin/dockerd": "\x7fELF",
    "/etc/docker/daemon.json": '{"ipv6": true, "fixed-cidr-v6": "fd00::/64"}',
}
ADDRESS = "20010db8000000000000000000000007 02 40 00 {} eth0\n"
ROUTE = f"{'0' * 32} 00 {'0' * 32} 00 fe80{'0' * 28} 00000400 00000001 00000000 {{}} eth0\n"


@pytest.mark.parametrize(
    ("address", "route", "accept", "severity"),
    [
        (ADDRESS.format("00"), "", "1", Severity.RECOMMENDED),
        (ADDRESS.format("00"), ROUTE.format("00450003"), "1", Severity.REQUIRED),
        (ADDRESS.format("00"), ROUTE.format("00450003"), "2", None),
        # NetworkManager and systemd-networkd read advertisements themselves.
        (ADDRESS.format("00"), ROUTE.format("00000003"), "0", None),
        # What the kernel does not write.
        ("a 2 40 00 flags eth0\n", "a 00 b 00 c d e f flags eth0\n", "1", None),
        # An address and a route that somebody wrote down.
        (ADDRESS.format("80"), ROUTE.format("00000003"), "1", None),
    ],
)
def test_advertised(address: str, route: str, accept: str, severity: Severity | None) -> None:
    files = {
        **DOCKER,
        "/proc/net/if_inet6": address,
        "/proc/net/ipv6_route": route,
        "/proc/sys/net/ipv6/conf/eth0/accept_ra": f"{accept}\n",
    }
    host = FakeHost(files)
    host.written_by_hand = False
    result = ask(routes.RoutesAdvertised, host)
    assert result.outcome is not Outcome.ERROR, result.reason
    assert [result.severity_of(each) for each in result.failures] == ([severity] if severity else [])


def test_without_ipv6() -> None:
    files = {**DOCKER, "/etc/docker/daemon.json": "{}", "/proc/net/if_inet6": ADDRESS.format("00")}
    assert ask(routes.RoutesAdvertised, FakeHost(files)).outcome is Outcome.SKIP


HEAD = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
OWN = "eth0\t000000C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
WAY_OUT = "eth0\t00000000\t010000C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
REJECT = ROUTE.format("00200200").replace("eth0", "lo")
K3S = {"/etc/rancher/k3s/k3s.yaml": ""}
TOLD = {"/etc/rancher/k3s/config.yaml": "node-ip: 192.0.2.4\n"}


@pytest.mark.parametrize(
    ("fourth", "sixth", "more", "severity"),
    [
        (OWN, "", K3S, Severity.REQUIRED),
        (OWN, REJECT, K3S, Severity.REQUIRED),
        (OWN, "", TOLD, Severity.RECOMMENDED),
        (OWN + WAY_OUT, "", K3S, None),
        (OWN, ROUTE.format("00000003"), K3S, None),
    ],
)
def test_default(fourth: str, sixth: str, more: dict[str, str], severity: Severity | None) -> None:
    result = ask(
        routes.RoutesDefault,
        FakeHost({"/proc/net/route": HEAD + fourth, "/proc/net/ipv6_route": sixth, **more}),
    )
    assert result.outcome is not Outcome.ERROR, result.reason
    assert [result.severity_of(each) for each in result.failures] == ([severity] if severity else [])


@pytest.mark.parametrize(("more", "kind"), [({}, "live"), (K3S, "image")])
def test_no_node(more: dict[str, str], kind: str) -> None:
    assert (
        ask(routes.RoutesDefault, FakeHost({"/proc/net/route": HEAD, **more}, kind=kind)).outcome
        is Outcome.SKIP
    )
