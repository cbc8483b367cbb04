"""Guests of LXC that may and may not hold containers."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import secured_host

from hostcheck.finding import Outcome
from hostcheck.testing import FakeHost, ask

guest: Any = importlib.import_module("hostcheck.checks.guest")

LXCFS = "50 22 0:50 / /proc/cpuinfo rw - fuse.lxcfs lxcfs rw\n"
INNER = "51 22 0:51 / /dev/.lxc/proc rw - proc proc rw\n"
PROC = "22 1 0:22 / /proc rw - proc proc rw\n"
MAPPED = "0 100000 65536\n"
WHOLE = "0 0 4294967295\n"
CONFINED = "lxc-105_</var/lib/lxc> (enforce)\n"


@pytest.mark.parametrize(
    ("kind", "mounts", "ids", "label", "outcome"),
    [
        ("lxc", PROC + LXCFS, MAPPED, "unconfined\n", Outcome.FAIL),
        ("lxc", PROC, WHOLE, CONFINED, Outcome.FAIL),
        ("lxc", PROC + LXCFS + INNER, MAPPED, CONFINED, Outcome.PASS),
        # A privileged guest whose profile was taken away may mount all.
        ("lxc", PROC + LXCFS, WHOLE, "unconfined\n", Outcome.SKIP),
        ("lxc", PROC, MAPPED, "unconfined\n", Outcome.SKIP),
        ("systemd-nspawn", PROC + LXCFS, MAPPED, CONFINED, Outcome.SKIP),
        ("", PROC, WHOLE, "docker-default (enforce)\n", Outcome.SKIP),
    ],
)
def test_nesting(kind: str, mounts: str, ids: str, label: str, outcome: Outcome) -> None:
    files = {
        "/proc/self/mountinfo": mounts,
        "/proc/self/uid_map": ids,
        "/proc/self/attr/current": label,
        "/run/systemd/container": kind,
    }
    assert ask(guest.GuestNesting, FakeHost(files)).outcome is outcome


def test_containers_run() -> None:
    files = {
        "/proc/self/mountinfo": PROC,
        "/proc/self/attr/current": CONFINED,
        "/run/systemd/container": "lxc",
    }
    host = FakeHost(files, pids={"containerd-shim-runc-v2": (900,)})
    assert ask(guest.GuestNesting, host).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("release", "outcome"),
    [
        ("4.4.0-18362-Microsoft", Outcome.FAIL),
        ("5.15.153.1-microsoft-standard-WSL2", Outcome.PASS),
        ("4.19.43-microsoft-standard", Outcome.SKIP),
        ("6.8.0-45-generic", Outcome.SKIP),
    ],
)
def test_wsl(release: str, outcome: Outcome) -> None:
    assert ask(guest.GuestWsl, FakeHost({"/proc/sys/kernel/osrelease": f"{release}\n"})).outcome is outcome


@pytest.mark.parametrize(
    ("runc", "outcome"),
    [
        ("1.1.12", Outcome.PASS),
        ("1.2.7", Outcome.PASS),
        ("1.2.8", Outcome.FAIL),
        ("1.3.2", Outcome.PASS),
        ("1.3.3", Outcome.FAIL),
        ("1.4.0-rc.2", Outcome.PASS),
        ("1.4.0-rc.3", Outcome.FAIL),
        ("1.4.1", Outcome.FAIL),
    ],
)
def test_apparmor(runc: str, outcome: Outcome) -> None:
    label = {
        "/proc/self/attr/current": "lxc-100_</var/lib/lxc>//&:lxc-100_<-var-lib-lxc>:unconfined (enforce)\n",
        "/usr/bin/runc": "\x7fELF",
    }
    commands = {(program, "--version"): f"runc version {runc}\n" for program in ("runc", "/usr/bin/runc")}
    assert (
        ask(guest.GuestAppArmor, secured_host.laid(secured_host.DEBIAN, label, commands=commands)).outcome
        is outcome
    )
    assert (
        ask(guest.GuestAppArmor, secured_host.laid(secured_host.DEBIAN, commands=commands)).outcome
        is Outcome.SKIP
    )
    running = secured_host.laid(secured_host.DEBIAN, label, commands=commands, pids={"containerd-shim": (7,)})
    assert ask(guest.GuestAppArmor, running).outcome is Outcome.PASS
