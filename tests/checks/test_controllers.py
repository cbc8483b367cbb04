"""Controllers of control groups."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from cgroup_host import V1_NAMES, failures, grub, live, only, package, table, v1_mounts

from hostcheck.finding import Outcome, Severity
from hostcheck.testing import Content, ask

checks: Any = importlib.import_module("hostcheck.checks.controllers")

CONTROLLERS: list[tuple[str, dict[str, Content], list[tuple[str, str, str]]]] = [
    ("v1", {"/proc/self/mountinfo": v1_mounts(*(n for n in V1_NAMES if n != "devices"))},
     [("devices", "now", "required")]),
    ("v1", {"/proc/cgroups": table(memory=0)}, [("memory", "now", "recommended")]),
    ("v2", {"/sys/fs/cgroup/cgroup.controllers": "cpuset cpu io memory hugetlb\n"}, [("pids", "now", "recommended")]),
    ("v2", {"/sys/fs/cgroup/cgroup.controllers": "cpuset cpu memory pids\n"},
     [("io", "now", "info"), ("hugetlb", "now", "info")]),
    # A row that is missing says nothing of v2.
    ("v2", {"/proc/cgroups": "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t0\t1\t1\n"}, []),
    ("v2", {"/sys/fs/cgroup/cgroup.controllers": "cpuset cpu io hugetlb pids\n",
            "/var/lib/dpkg/status": package("kubelet", "1.34.0")}, [("memory", "now", "required")]),
    ("v2", grub("cgroup_disable=memory"), [("memory", "boot", "recommended")]),
]  # fmt: skip


@pytest.mark.parametrize(("mode", "more", "expected"), CONTROLLERS)
def test_controllers(mode: str, more: dict[str, Content], expected: list[tuple[str, str, str]]) -> None:
    result = ask(checks.ControllersAvailable, live(mode, more))
    assert failures(result) == expected


def test_controllers_that_a_policy_requires() -> None:
    host = live("v2", {"/sys/fs/cgroup/cgroup.controllers": "cpuset cpu io hugetlb pids\n"})
    assert failures(ask(checks.ControllersAvailable, host, required=["memory"])) == [
        ("memory", "now", "required")
    ]


PI: dict[str, Content] = {
    "/boot/firmware/cmdline.txt": "console=tty1 root=PARTUUID=1-02 rootwait\n",
    "/proc/cmdline": "cgroup_disable=memory console=tty1 root=PARTUUID=1-02 rootwait\n",
    "/proc/sys/kernel/osrelease": "6.6.31+rpt-rpi-v8\n",
    "/proc/cgroups": table(memory=0),
}


def test_memory_on_a_raspberry_pi() -> None:
    found = only(ask(checks.ControllersAvailable, live("v2", PI)))
    assert found.fix
    assert found.fix["commands"] == [
        "sed -i '1 s/$/ cgroup_enable=memory/' /boot/firmware/cmdline.txt",
        "reboot",
    ]


def test_a_device_tree_that_a_distribution_kernel_cannot_overrule() -> None:
    words = "cgroup_disable=memory root=PARTUUID=1-02 cgroup_enable=memory"
    more = {**PI, "/proc/cmdline": words, "/proc/sys/kernel/osrelease": "6.1.0-18-arm64\n",
            "/boot/firmware/cmdline.txt": "root=PARTUUID=1-02 cgroup_enable=memory\n"}  # fmt: skip
    found = only(ask(checks.ControllersAvailable, live("v2", more)))
    assert found.fix
    assert "device tree" in found.fix["hint"]


@pytest.mark.parametrize(
    ("systemd", "more", "missing"),
    [
        ("249.11", {}, {"user@.service cpu", "user@.service cpuset"}),
        ("252.1", {}, {"user@.service cpuset"}),
        ("252.1", {"/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/cgroup.controllers": "memory pids\n"},
         {"user@.service cpu", "user@.service cpuset"}),
        ("243.1", {}, {"systemd cpuset delegation", "user@.service cpu", "user@.service cpuset"}),
        ("252.1", {"/usr/lib/systemd/system/user@.service": "[Service]\nDelegate=pids memory cpu\nExecStart=/x\n",
                   "/etc/systemd/system/user@.service.d/d.conf": "[Service]\nDelegate=cpu cpuset io memory pids\n"},
         set()),
    ],
)  # fmt: skip
def test_delegation(systemd: str, more: dict[str, Content], missing: set[str]) -> None:
    result = ask(checks.ControllersDelegation, live("v2", more, systemd))
    assert {f.subject for f in result.failures} == missing


SLICE = "/sys/fs/cgroup/system.slice"
SWAP: list[tuple[str, dict[str, Content], str | None]] = [
    ("v2", {}, "on"),
    ("v2", {"/proc/cmdline": "swapaccount=0"}, "off"),
    ("v2", {f"{SLICE}/memory.max": "max", f"{SLICE}/memory.swap.max": "max"}, "on"),
    ("v2", {f"{SLICE}/memory.max": "max"}, "off"),
    ("v1", {"/sys/fs/cgroup/memory/memory.limit_in_bytes": "1"}, "off"),
    ("v2", {"/proc/sys/kernel/osrelease": "4.19.0-1-amd64",
            "/boot/config-4.19.0-1-amd64": "CONFIG_MEMCG=y\nCONFIG_MEMCG_SWAP=y\n"}, "off"),
    ("v2", {"/proc/sys/kernel/osrelease": "5.4.0-1", "/proc/cmdline": "swapaccount=1"}, "on"),
    ("v2", {"/proc/sys/kernel/osrelease": "5.10.0-3-amd64",
            "/boot/config-5.10.0-3-amd64": "CONFIG_MEMCG=y\nCONFIG_MEMCG_SWAP=y\n"}, "on"),
    ("v2", {"/proc/sys/kernel/osrelease": "5.10.0-3-amd64"}, None),
]  # fmt: skip


@pytest.mark.parametrize(("mode", "more", "expected"), SWAP)
def test_swap_accounting(mode: str, more: dict[str, Content], expected: str | None) -> None:
    result = ask(checks.ControllersSwapAccounting, live(mode, more))
    assert [f.value for f in result.findings] == ([expected] if expected else [])
    assert result.severity is Severity.INFO
    if expected is None:
        assert result.outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("part", "outcome"),
    [("0-7\n", Outcome.PASS), ("0-1\n", Outcome.FAIL), ("0-3,4-7\n", Outcome.PASS), ("", Outcome.SKIP)],
)
def test_cpuset(part: str, outcome: Outcome) -> None:
    top = "/sys/fs/cgroup/cpuset"
    more: dict[str, Content] = {f"{top}/cpuset.cpus": "0-7\n", f"{top}/docker/cpuset.cpus": part}
    assert ask(checks.ControllersCpuset, live("v1", more)).outcome is outcome
