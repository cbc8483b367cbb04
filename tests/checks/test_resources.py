"""Resource checks."""

from __future__ import annotations

import importlib
from typing import Any

import docker_host
import pytest

from hostcheck.finding import Outcome, Result, Severity
from hostcheck.host import DiskUsage
from hostcheck.testing import FakeHost, ask

checks: Any = importlib.import_module("hostcheck.checks.resources")

V2 = "fpu lm cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3"
HEALTHY: dict[str, Any] = {
    "/proc/meminfo": "MemTotal:        2014588 kB\nMemFree: 1 kB\n",
    "/sys/devices/system/cpu/online": "0-1\n",
    "/proc/cpuinfo": f"processor\t: 0\nmodel name\t: X\nflags\t\t: {V2}\n",
    "/proc/swaps": "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n",
    "/proc/sys/kernel/pid_max": "4194304\n",
    "/proc/sys/kernel/threads-max": "15000\n",
    "/proc/loadavg": "0.00 0.01 0.05 1/180 999\n",
    "/proc/sys/fs/file-nr": "1984\t0\t9223372036854775807\n",
    "/etc/fstab": "UUID=1 / ext4 defaults 0 1\n",
}
ALL = ("Memory", "Cpu", "CpuLevel", "Swap", "Pids", "Files")


def live(**files: Any) -> FakeHost:
    """Return a healthy running host with these files laid over it."""
    return FakeHost({**HEALTHY, **files})


def worst(result: Result) -> Severity | None:
    """Return how bad a result is, None if it is not a failure."""
    return result.severity if result.outcome is Outcome.FAIL else None


def test_a_healthy_host_is_left_alone() -> None:
    for name in ALL:
        result = ask(getattr(checks, f"Resources{name}"), live())
        assert result.outcome in (Outcome.PASS, Outcome.SKIP), (name, result.reason, result.failures)


def test_a_tree_has_no_resources_yet() -> None:
    for name in ALL:
        assert ask(getattr(checks, f"Resources{name}"), FakeHost({}, kind="root")).outcome is Outcome.SKIP, (
            name
        )


def test_an_empty_host_breaks_nothing() -> None:
    for name in ALL:
        result = ask(getattr(checks, f"Resources{name}"), FakeHost({}))
        if name in ("Memory", "Cpu"):
            continue
        assert result.outcome in (Outcome.SKIP, Outcome.UNKNOWN), (name, result.reason)


@pytest.mark.parametrize(
    ("kilobytes", "severity"), [(229000, Severity.RECOMMENDED), (475000, None), (2014588, None)]
)
def test_memory(kilobytes: int, severity: Severity | None) -> None:
    host = live(**{"/proc/meminfo": f"MemTotal: {kilobytes} kB\n"})
    assert worst(ask(checks.ResourcesMemory, host)) is severity
    assert ask(checks.ResourcesMemory, host, minimum_mb=1700.0).outcome is (
        Outcome.PASS if kilobytes * 1024 >= 1700e6 else Outcome.FAIL
    )


def test_cpu() -> None:
    one = live(**{"/sys/devices/system/cpu/online": "0\n"})
    assert ask(checks.ResourcesCpu, one).outcome is Outcome.PASS
    assert ask(checks.ResourcesCpu, one, minimum=2).outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("cpuinfo", "outcome"),
    [
        (f"flags : {V2}\n", Outcome.PASS),
        ("model name : Common KVM processor\nflags : fpu lm pni cx16 lahf_lm\n", Outcome.FAIL),
        ("flags : fpu sse sse2\n", Outcome.SKIP),
        ("processor : 0\nFeatures : fp asimd evtstrm\n", Outcome.SKIP),
    ],
)
def test_cpu_level(cpuinfo: str, outcome: Outcome) -> None:
    assert ask(checks.ResourcesCpuLevel, live(**{"/proc/cpuinfo": cpuinfo})).outcome is outcome


KUBELET = {"/usr/bin/kubelet": "\x7fELF", "/var/lib/kubelet/config.yaml": "kind: KubeletConfiguration\n"}


def test_swap_comes_back_at_boot() -> None:
    fstab = {"/etc/fstab": "UUID=3e1a / ext4 defaults 0 1\n/swap.img\tnone\tswap\tsw\t0\t0\n"}
    assert ask(checks.ResourcesSwap, live(**fstab)).outcome is Outcome.SKIP
    result = ask(checks.ResourcesSwap, live(**fstab, **KUBELET))
    assert [(f.ok, f.when, f.line) for f in result.findings] == [(True, "now", None), (False, "boot", 2)]
    assert result.failures[0].fix == {"hint": "", "commands": ["sed -i '2s/^/#/' /etc/fstab"]}
    tolerant = KUBELET | {"/var/lib/kubelet/config.yaml": "failSwapOn: false  # wanted\n"}
    assert ask(checks.ResourcesSwap, live(**fstab, **tolerant)).outcome is Outcome.SKIP
    flags = KUBELET | {"/etc/default/kubelet": "KUBELET_EXTRA_ARGS=--fail-swap-on=false\n"}
    assert ask(checks.ResourcesSwap, live(**fstab, **flags)).outcome is Outcome.SKIP
    assert ask(checks.ResourcesSwap, live(**fstab, **KUBELET), allowed=True).outcome is Outcome.SKIP


def test_swap_on_now() -> None:
    swaps = HEALTHY["/proc/swaps"] + "/dev/zram0   partition  1000  0  100\n"
    result = ask(checks.ResourcesSwap, live(**{"/proc/swaps": swaps}, **KUBELET))
    assert worst(result) is Severity.REQUIRED
    assert [f.when for f in result.failures] == ["now"]


@pytest.mark.parametrize(
    ("pid_max", "cpus", "threads", "severity"),
    [
        (4194304, "0-63", 180, None),
        (32768, "0-1", 180, Severity.INFO),
        (32768, "0-63", 180, Severity.RECOMMENDED),
        (32768, "0-1", 12500, Severity.RECOMMENDED),
        (4194304, "0-1", 14000, Severity.RECOMMENDED),
    ],
)
def test_pids(pid_max: int, cpus: str, threads: int, severity: Severity | None) -> None:
    host = live(
        **{
            "/proc/sys/kernel/pid_max": f"{pid_max}\n",
            "/sys/devices/system/cpu/online": f"{cpus}\n",
            "/proc/loadavg": f"0 0 0 1/{threads} 1\n",
        }
    )
    assert worst(ask(checks.ResourcesPids, host)) is severity


def test_files() -> None:
    assert (
        ask(checks.ResourcesFiles, live(**{"/proc/sys/fs/file-nr": "95000\t0\t100000\n"})).outcome
        is Outcome.FAIL
    )


@pytest.mark.parametrize(
    ("free", "severity"),
    [
        (60e9, None),
        (5e9, None),
        (4.9e9, Severity.RECOMMENDED),
        (62e6, Severity.RECOMMENDED),
        (1e6, Severity.REQUIRED),
        (0, Severity.REQUIRED),
    ],
)
def test_space(free: float, severity: Severity | None) -> None:
    usage = {"/": DiskUsage(100 * 10**9, int(free), 1000, 500)}
    assert worst(ask(checks.ResourcesSpace, docker_host.live(usage=usage))) is severity
    assert (
        ask(checks.ResourcesSpace, docker_host.live(usage=usage), recommended_gb=61.0).outcome is Outcome.FAIL
    )
    assert ask(checks.ResourcesSpace, docker_host.tree()).outcome is Outcome.SKIP


@pytest.mark.parametrize(
    ("total", "free", "severity"),
    [
        (30736384, 251743, Severity.RECOMMENDED),
        (30736384, 3000000, None),
        (30736384, 0, Severity.REQUIRED),
        (40, 40, Severity.REQUIRED),
        (0, 0, None),
    ],
)
def test_inodes(total: int, free: int, severity: Severity | None) -> None:
    usage = {"/": DiskUsage(10**12, 10**11, total, free)}
    assert worst(ask(checks.ResourcesInodes, docker_host.live(usage=usage))) is severity


@pytest.mark.parametrize(("free", "severity"), [(0, Severity.REQUIRED), (10**6, None)])
def test_space_of_run(free: int, severity: Severity | None) -> None:
    usage = {"/": DiskUsage(10**12, 10**11, 10**7, 10**6), "/run": DiskUsage(10**8, free, 12000, 5000)}
    mounts = "21 20 0:21 / /run rw - tmpfs tmpfs rw\n20 1 8:1 / / rw - ext4 /dev/vda1 rw\n"
    files = {"/proc/self/mountinfo": mounts, "/run/": ""}
    assert worst(ask(checks.ResourcesSpace, docker_host.live(files, usage=usage))) is severity


@pytest.mark.parametrize(("free", "severity"), [(0, Severity.REQUIRED), (5000, None)])
def test_inodes_of_run(free: int, severity: Severity | None) -> None:
    usage = {"/": DiskUsage(10**12, 10**11, 10**7, 10**6), "/run": DiskUsage(10**8, 10**7, 12000, free)}
    mounts = "21 20 0:21 / /run rw - tmpfs tmpfs rw\n20 1 8:1 / / rw - ext4 /dev/vda1 rw\n"
    files = {"/proc/self/mountinfo": mounts, "/run/": ""}
    found = ask(checks.ResourcesInodes, docker_host.live(files, usage=usage))
    assert worst(found) is severity
