"""Hierarchies of control groups that can and cannot be written."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from cgroup_host import failures, live, package, v1_mounts

from hostcheck.finding import Outcome
from hostcheck.testing import Content, FakeHost, ask

hierarchy: Any = importlib.import_module("hostcheck.checks.hierarchy")

TMPFS = "30 1 0:30 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755\n"
V2 = "31 1 0:31 / /sys/fs/cgroup {} - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = "32 30 0:32 / /sys/fs/cgroup/{1} {0} - cgroup cgroup rw,{1}\n"
UNIFIED = "33 30 0:33 / /sys/fs/cgroup/unified ro - cgroup2 cgroup2 rw\n"


@pytest.mark.parametrize(
    ("mounts", "expected"),
    [
        (V2.format("rw"), []),
        (V2.format("ro"), ["/sys/fs/cgroup"]),
        # The last one is seen.
        (V2.format("ro") + V2.format("rw"), []),
        (V2.format("rw") + V2.format("ro"), ["/sys/fs/cgroup"]),
        # The folder that holds the hierarchies of v1 is read-only everywhere.
        (TMPFS + V1.format("rw", "memory") + V1.format("rw", "cpu"), []),
        (TMPFS + V1.format("ro", "memory") + V1.format("rw", "cpu"), ["/sys/fs/cgroup/memory"]),
        (TMPFS + V1.format("rw", "memory") + UNIFIED, []),
        (TMPFS + V1.format("rw", "memory") + V1.format("ro", "name=openrc"), []),
        (TMPFS + V1.format("ro", "name=systemd"), ["/sys/fs/cgroup/name=systemd"]),
        # What is shown elsewhere, engines do not use.
        (V2.format("rw") + "40 1 0:31 / /srv/guest/sys/fs/cgroup ro - cgroup2 cgroup2 rw\n", []),
    ],
)
def test_writable(mounts: str, expected: list[str]) -> None:
    result = ask(hierarchy.HierarchyWritable, FakeHost({"/proc/self/mountinfo": mounts}))
    assert [finding.subject for finding in result.failures] == expected
    assert result.outcome is (Outcome.FAIL if expected else Outcome.PASS)


@pytest.mark.parametrize(("kind", "mounts"), [("live", TMPFS), ("root", V2.format("ro"))])
def test_there_is_nothing_to_write(kind: str, mounts: str) -> None:
    host = FakeHost({"/proc/self/mountinfo": mounts}, kind=kind)
    assert ask(hierarchy.HierarchyWritable, host).outcome is Outcome.SKIP


@pytest.mark.parametrize(
    ("realtime", "root", "services", "outcome"),
    [
        ("y", "cpuset cpu io memory", "cpuset io memory", Outcome.FAIL),
        ("y", "cpuset cpu io memory", "cpuset cpu io memory", Outcome.PASS),
        # Turned on when a service asks for it.
        ("n", "cpuset cpu io memory", "cpuset io memory", Outcome.PASS),
        ("y", "cpuset io memory", "cpuset io memory", Outcome.SKIP),
    ],
)
def test_realtime(realtime: str, root: str, services: str, outcome: Outcome) -> None:
    files = {
        "/proc/sys/kernel/osrelease": "6.1.0-x\n",
        "/boot/config-6.1.0-x": f"CONFIG_CGROUPS=y\nCONFIG_RT_GROUP_SCHED={realtime}\n",
        "/sys/fs/cgroup/cgroup.controllers": root + "\n",
        "/sys/fs/cgroup/system.slice/cgroup.controllers": services + "\n",
    }
    assert ask(hierarchy.HierarchyRealtime, FakeHost(files)).outcome is outcome


MOUNTS: list[tuple[str, dict[str, Content], list[tuple[str, str, str]]]] = [
    ("one mount for all", {"/proc/self/mountinfo": "31 1 0:31 / /sys/fs/cgroup rw - cgroup cgroup rw,memory,devices"},
     [("/sys/fs/cgroup", "now", "required")]),
    ("no name=systemd", {"/proc/1/comm": "init\n", "/proc/self/mountinfo": v1_mounts("cpu", "memory", "devices")},
     [("name=systemd", "now", "recommended")]),
    ("openrc's own", {"/proc/1/comm": "init\n", "/proc/self/mountinfo": v1_mounts("memory", "name=openrc")}, []),
    ("android", {"/proc/self/mountinfo": v1_mounts("memory", "cpuset,noprefix")},
     [("cpuset noprefix", "now", "required")]),
    ("android, new runc", {"/proc/self/mountinfo": v1_mounts("memory", "cpuset,noprefix"),
                           "/var/lib/dpkg/status": package("runc", "1.3.0-1")}, []),
]  # fmt: skip


@pytest.mark.parametrize(("name", "more", "expected"), MOUNTS)
def test_mounts(name: str, more: dict[str, Content], expected: list[tuple[str, str, str]]) -> None:
    assert failures(ask(hierarchy.HierarchyMounts, live("v1", more))) == expected


def test_mounts_only_of_v1() -> None:
    assert ask(hierarchy.HierarchyMounts, live()).outcome is Outcome.SKIP


@pytest.mark.parametrize(
    ("controllers", "more", "outcome"),
    [
        ("cpuset io memory\n", {"/usr/bin/podman": "\x7fELF", "/usr/bin/crun": "\x7fELF"}, Outcome.FAIL),
        ("", {"/usr/bin/podman": "\x7fELF", "/usr/bin/crun": "\x7fELF"}, Outcome.PASS),
        ("memory\n", {"/usr/bin/podman": "\x7fELF", "/usr/sbin/runc": "\x7fELF"}, Outcome.SKIP),
        ("memory\n", {"/usr/bin/crun": "\x7fELF"}, Outcome.SKIP),
    ],
)
def test_crun_beside_both_versions(controllers: str, more: dict[str, Content], outcome: Outcome) -> None:
    mounts = TMPFS + V1.format("rw", "memory") + UNIFIED
    files = {"/proc/self/mountinfo": mounts, "/sys/fs/cgroup/unified/cgroup.controllers": controllers, **more}
    assert ask(hierarchy.HierarchyCrun, FakeHost(files)).outcome is outcome
