"""Checks of kernel settings beside those of the network."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from hostcheck.finding import Outcome, Severity
from hostcheck.testing import Content, FakeHost, ask

checks: Any = importlib.import_module("hostcheck.checks.sysctl")

STOCK: dict[str, Content] = {
    # What a machine of 4 GiB with Debian 12 shows.
    "/proc/sys/fs/inotify/max_user_instances": "128\n",
    "/proc/sys/fs/inotify/max_user_watches": "29426\n",
    "/proc/sys/kernel/keys/root_maxkeys": "1000000\n",
    "/proc/sys/kernel/keys/maxkeys": "200\n",
    "/proc/sys/kernel/pid_max": "4194304\n",
    "/proc/sys/kernel/threads-max": "31334\n",
    "/proc/sys/net/netfilter/nf_conntrack_max": "65536\n",
    "/proc/sys/net/netfilter/nf_conntrack_count": "12\n",
    "/usr/lib/sysctl.d/50-pid-max.conf": "kernel.pid_max = 4194304\n",
    "/etc/sysctl.conf": "#net.ipv4.ip_forward=1\n",
}
ALL = ("Inotify", "Keys", "PidMax", "Conntrack", "ConfFile")


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("kind", ["live", "root"])
def test_a_stock_host_has_nothing_above_info(name: str, kind: str) -> None:
    result = ask(getattr(checks, f"Sysctl{name}"), FakeHost(STOCK, kind=kind))
    assert result.outcome in (Outcome.PASS, Outcome.SKIP, Outcome.FAIL), result.reason
    assert all(result.severity_of(finding) is Severity.INFO for finding in result.failures)


# Check, what differs from the stock host, then subject, when and severity of each failure.
FAILING: list[tuple[str, dict[str, Content], list[tuple[str, str, str]]]] = [
    (
        "Inotify",
        {},
        [("fs.inotify.max_user_instances", "now", "info"), ("fs.inotify.max_user_watches", "now", "info")],
    ),
    (
        "Inotify",
        {
            "/etc/sysctl.d/a.conf": "fs.inotify.max_user_instances=8192\n",
            "/proc/sys/fs/inotify/max_user_instances": "8192",
            "/proc/sys/fs/inotify/max_user_watches": "1048576",
        },
        [],
    ),
    (
        "Inotify",
        {"/etc/sysctl.d/a.conf": "fs.inotify.max_user_instances=64\nfs.inotify.max_user_watches=100000\n"},
        [
            ("fs.inotify.max_user_instances", "now", "info"),
            ("fs.inotify.max_user_instances", "boot", "recommended"),
            ("fs.inotify.max_user_watches", "now", "info"),
        ],
    ),
    (
        "Keys",
        {"/proc/sys/kernel/keys/root_maxkeys": "200\n"},
        [("kernel.keys.root_maxkeys", "now", "required")],
    ),
    (
        "Keys",
        {"/etc/sysctl.d/a.conf": "kernel.keys.root_maxkeys = 10000\n"},
        [("kernel.keys.root_maxkeys", "boot", "required")],
    ),
    (
        "PidMax",
        {"/etc/sysctl.d/z.conf": "kernel.pid_max=4096\n"},
        [("kernel.pid_max", "boot", "recommended")],
    ),
    (
        "PidMax",
        {"/etc/sysctl.d/z.conf": "kernel.pid_max=4096\n", "/proc/sys/kernel/pid_max": "4096\n"},
        [("kernel.pid_max", "now", "recommended"), ("kernel.pid_max", "boot", "recommended")],
    ),
    # The kernel refuses it, so its own stays.
    ("PidMax", {"/etc/sysctl.d/z.conf": "kernel.pid_max=99999999\n"}, []),
    (
        "Conntrack",
        {"/etc/sysctl.d/z.conf": "net.netfilter.nf_conntrack_max=4096\n"},
        [("net.netfilter.nf_conntrack_max", "boot", "recommended")],
    ),
    (
        "Conntrack",
        {"/proc/sys/net/netfilter/nf_conntrack_count": "65530\n"},
        [("net.netfilter.nf_conntrack_count", "now", "recommended")],
    ),
    (
        "ConfFile",
        {"/etc/sysctl.conf": "net.ipv4.ip_forward = 1\nkernel.sysrq=1\n"},
        [("net.ipv4.ip_forward", "boot", "recommended"), ("kernel.sysrq", "boot", "info")],
    ),
    (
        "ConfFile",
        {
            "/etc/sysctl.conf": "net.ipv4.ip_forward = 1\n",
            "/etc/sysctl.d/99-sysctl.conf": "-> ../sysctl.conf",
            "/etc/sysctl.d/99-zz.conf": "net.ipv4.ip_forward=0\n",
        },
        [("net.ipv4.ip_forward", "boot", "recommended")],
    ),
    (
        "ConfFile",
        {
            "/etc/sysctl.conf": "net.ipv4.ip_forward = 1\n",
            "/etc/sysctl.d/99-sysctl.conf": "-> ../sysctl.conf",
        },
        [],
    ),
]


@pytest.mark.parametrize("name, change, failures", FAILING)
def test_what_fails(name: str, change: dict[str, Content], failures: list[tuple[str, str, str]]) -> None:
    result = ask(getattr(checks, f"Sysctl{name}"), FakeHost({**STOCK, **change}))
    assert [(f.subject, f.when, str(result.severity_of(f))) for f in result.failures] == failures
    assert result.outcome is (Outcome.FAIL if failures else Outcome.PASS), result.reason
    for finding in result.failures:
        assert finding.fix is not None
        assert finding.expected


def test_sysctl_conf_is_read_where_systemd_is_not() -> None:
    host = FakeHost({"/sbin/init": b"\x7fELF", "/etc/sysctl.conf": "net.ipv4.ip_forward=1\n"}, kind="root")
    assert ask(checks.SysctlConfFile, host).outcome is Outcome.SKIP


def test_parameters() -> None:
    result = ask(checks.SysctlInotify, FakeHost(STOCK), instances=128, watches=100)
    assert result.outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("now", "text", "expected"),
    [
        ("32768\t60999\n", "", []),
        ("65535\t65535\n", "", [("now", "required")]),
        ("60000\t60099\n", "", [("now", "recommended")]),
        ("32768\t60999\n", "net.ipv4.ip_local_port_range = 65535 65535\n", [("boot", "required")]),
        ("32768\t60999\n", "net.ipv4.ip_local_port_range = 1024 65535\n", []),
    ],
)
def test_local_ports(now: str, text: str, expected: list[tuple[str, str]]) -> None:
    host = FakeHost({"/proc/sys/net/ipv4/ip_local_port_range": now, "/etc/sysctl.d/x.conf": text})
    result = ask(checks.SysctlLocalPorts, host)
    assert [(each.when, result.severity_of(each).value) for each in result.failures] == expected


@pytest.mark.parametrize(
    ("release", "now", "text", "expected"),
    [
        ("3.10.0-1160.el7.x86_64", "0\n", "", []),
        ("3.10.0-1160.el7.x86_64", "1\n", "", ["now"]),
        ("3.10.0-1160.el7.x86_64", "1\n", "net.ipv4.tcp_tw_recycle = 1\n", ["now", "boot"]),
        ("3.10.0-1160.el7.x86_64", "0\n", "net.ipv4.tcp_tw_recycle = 1\n", ["boot"]),
        ("3.10.0-1160.el7.x86_64", "1\n", "net.ipv4.tcp_tw_recycle = 0\n", ["now"]),
        ("5.10.0-9-amd64", "0\n", "net.ipv4.tcp_tw_recycle = 1\n", []),
    ],
)
def test_tw_recycle(release: str, now: str, text: str, expected: list[str]) -> None:
    files = {
        "/proc/sys/net/ipv4/tcp_tw_recycle": now,
        "/proc/sys/kernel/osrelease": f"{release}\n",
        "/etc/sysctl.d/x.conf": text,
    }
    assert [each.when for each in ask(checks.SysctlTwRecycle, FakeHost(files)).failures] == expected
