"""/proc that hides processes, and who minds."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from hostcheck.testing import FakeHost, ask

proc: Any = importlib.import_module("hostcheck.checks.proc")

ROOTLESS = {
    "/etc/passwd": "u:x:1000:1000::/home/u:/bin/sh\n",
    "/home/u/.config/docker/daemon.json": "{}",
}
NVIDIA = {"/usr/bin/nvidia-container-runtime-hook": "\x7fELF"}


@pytest.mark.parametrize(
    ("option", "fstab", "who", "expected"),
    [
        ("hidepid=2", "", ROOTLESS, ["now"]),
        ("hidepid=invisible", "", ROOTLESS, ["now"]),
        ("hidepid=1", "", NVIDIA, ["now"]),
        ("hidepid=0", "", ROOTLESS, []),
        ("hidepid=off", "", ROOTLESS, []),
        ("rw", "proc /proc proc defaults,hidepid=2 0 0\n", ROOTLESS, ["boot"]),
        ("rw", "proc /proc proc defaults 0 0\n", ROOTLESS, []),
        ("rw", "proc /srv/proc proc hidepid=2 0 0\n", ROOTLESS, []),
        ("hidepid=2", "", {}, []),
    ],
)
def test_hidepid(option: str, fstab: str, who: dict[str, str], expected: list[str]) -> None:
    mounts = f"22 1 0:22 / /proc rw - proc proc {option}\n"
    host = FakeHost({"/proc/self/mountinfo": mounts, "/etc/fstab": fstab, "/etc/passwd": "", **who})
    found = ask(proc.ProcHidepid, host).findings
    assert [each.when for each in found if not each.ok] == expected
