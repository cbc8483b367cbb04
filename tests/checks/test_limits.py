"""Limits of the engines' units: each fault is named with its line."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from engine_units import (
    DROP_IN,
    ETC,
    I,
    R,
    W,
    failures,
    service,
    stock,
    told,
)

checks: Any = importlib.import_module("hostcheck.checks.limits")

CASES: list[tuple[str, dict[str, str | None], dict[str, str]]] = [
    # LimitNOFILE
    ("rlimits", {DROP_IN: service("LimitNOFILE=39")}, {"docker.service LimitNOFILE": R}),
    ("rlimits", {DROP_IN: service("LimitNOFILE=64")}, {"docker.service LimitNOFILE": W}),
    ("rlimits", {DROP_IN: service("LimitNOFILE=1024")}, {"docker.service LimitNOFILE": W}),
    ("rlimits", {DROP_IN: service("LimitNOFILE=512:524288")}, {"docker.service LimitNOFILE": W}),
    ("rlimits", {DROP_IN: service("LimitNOFILE=infinity")}, {}),
    ("rlimits", {DROP_IN: service("LimitNOFILE=1M")}, {}),
    ("rlimits", {DROP_IN: service("LimitNPROC=512")}, {"docker.service LimitNPROC": W}),
    ("rlimits", {DROP_IN: service("LimitCORE=0")}, {}),
    (
        "rlimits",
        {"/etc/systemd/system.conf": "[Manager]\nDefaultLimitNOFILE=1024:4096\n"},
        {"docker.service LimitNOFILE": W},
    ),
    (
        "rlimits",
        {"/etc/sysctl.d/9.conf": "fs.nr_open = 1000000\n", DROP_IN: service("LimitNOFILE=1048576")},
        {"docker.service LimitNOFILE": R},
    ),
    (
        "rlimits",
        {f"{ETC}/containerd.service.d/1.conf": service("LimitNOFILE=1024:524288")},
        {"containerd.service LimitNOFILE": I},
    ),
    # Addresses, stack, files
    ("process", {DROP_IN: service("LimitAS=500M")}, {"docker.service LimitAS": R}),
    ("process", {DROP_IN: service("LimitAS=500M:infinity")}, {"docker.service LimitAS": R}),
    ("process", {DROP_IN: service("LimitAS=4G")}, {"docker.service LimitAS": W}),
    ("process", {DROP_IN: service("LimitAS=4G", "LimitAS=infinity")}, {}),
    ("process", {DROP_IN: service("LimitDATA=100M")}, {"docker.service LimitDATA": R}),
    ("process", {DROP_IN: service("LimitSTACK=16K")}, {"docker.service LimitSTACK": R}),
    ("process", {DROP_IN: service("LimitSTACK=64K")}, {"docker.service LimitSTACK": W}),
    ("process", {DROP_IN: service("LimitSTACK=8M")}, {}),
    ("process", {DROP_IN: service("LimitFSIZE=1M")}, {"docker.service LimitFSIZE": R}),
    ("process", {DROP_IN: service("LimitFSIZE=64M")}, {"docker.service LimitFSIZE": W}),
    ("process", {DROP_IN: service("LimitCPU=60")}, {"docker.service LimitCPU": W}),
    (
        "process",
        {"/etc/systemd/system.conf": "[Manager]\nDefaultLimitAS=500M\n"},
        {"docker.service LimitAS": R, "containerd.service LimitAS": R},
    ),
    # MemoryMax
    ("memory_max", {DROP_IN: service("MemoryMax=6M")}, {"docker.service MemoryMax": R}),
    ("memory_max", {DROP_IN: service("MemoryMax=20M")}, {"docker.service MemoryMax": R}),
    ("memory_max", {DROP_IN: service("MemoryMax=40M")}, {"docker.service MemoryMax": R}),
    ("memory_max", {DROP_IN: service("MemoryMax=48M")}, {"docker.service MemoryMax": W}),
    ("memory_max", {DROP_IN: service("MemoryMax=6M", "MemoryMax=1G")}, {}),
    ("memory_max", {DROP_IN: service("MemoryMax=6M", "MemoryMax=")}, {}),
    ("memory_max", {DROP_IN: service("MemoryMax=infinity")}, {}),
    ("memory_max", {DROP_IN: service("MemoryMax=10%")}, {}),
    (
        "memory_max",
        {f"{ETC}/containerd.service.d/1.conf": service("MemoryMax=10485760")},
        {"containerd.service MemoryMax": R},
    ),
    # TasksMax
    ("tasks_max", {DROP_IN: service("TasksMax=")}, {"docker.service TasksMax": I}),
    ("tasks_max", {DROP_IN: service("TasksMax=512")}, {"docker.service TasksMax": W}),
    ("tasks_max", {DROP_IN: service("TasksMax=9")}, {"docker.service TasksMax": R}),
    ("tasks_max", {DROP_IN: service("TasksMax=8192")}, {}),
    ("oom_score", {DROP_IN: service("OOMScoreAdjust=0")}, {"docker.service OOMScoreAdjust": I}),
]


@pytest.mark.parametrize(
    ("name", "changes", "want"), CASES, ids=[f"{n}-{i}" for i, (n, _, _) in enumerate(CASES)]
)
def test_faults(name: str, changes: dict[str, str | None], want: dict[str, str]) -> None:
    """Each fault is found, with its severity, and nothing beside it; a failure says enough."""
    told(checks, name, changes, want)


def test_limits_of_old_systemd() -> None:
    """Before 240 a unit without LimitNOFILE has the kernel's 4096."""
    old = {
        "/var/lib/dpkg/status": "Package: systemd\nStatus: install ok installed\nArchitecture: all\nVersion: 237-3\n\n"
    }
    assert failures(checks.LimitsRlimits, stock({**old})) == {"docker.service LimitNOFILE": "recommended"}


INFINITE = ("docker.service LimitNOFILE", "containerd.service LimitNOFILE")


@pytest.mark.parametrize(
    ("program", "sysctls", "want"),
    [
        (b"Successfully bumped fs.nr_open to %i", "", dict.fromkeys(INFINITE, "recommended")),
        (b"Successfully bumped fs.nr_open to %i", "fs.nr_open = 1048576\n", {}),
        (b"Successfully bumped fs.file-max to %lu", "", {}),
    ],
)
def test_infinity_is_what_systemd_will_make_of_it(program: bytes, sysctls: str, want: dict[str, str]) -> None:
    files = {"/usr/lib/systemd/systemd": program.decode(), "/etc/sysctl.d/9.conf": sysctls}
    host = stock({**files, DROP_IN: service("LimitNOFILE=infinity")})
    assert failures(checks.LimitsRlimits, host) == want


def limits(hard: str) -> str:
    """Return /proc/PID/limits with these open files."""
    return f"{'Limit':26}{'Soft Limit':21}{'Hard Limit':21}Units\n{'Max open files':26}{1024:<21}{hard:21}files\n"


@pytest.mark.parametrize(
    ("hard", "want"),
    [
        ("524288", {}),
        ("4096", {"dockerd LimitNOFILE": "recommended"}),
        ("1048576", {"dockerd LimitNOFILE": "recommended"}),
    ],
)
def test_running_limits(hard: str, want: dict[str, str]) -> None:
    """A process that runs with other limits than its unit gives is told from one that does not."""
    host = stock({"/proc/7/limits": limits(hard)}, kind="live", pids={"dockerd": (7,)})
    assert failures(checks.LimitsRunning, host) == want
