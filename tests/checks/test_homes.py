"""File systems below users' images."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from hostcheck.finding import Outcome
from hostcheck.testing import FakeHost, ask

homes: Any = importlib.import_module("hostcheck.checks.homes")

FUSE = '[storage.options.overlay]\nmount_program = "/usr/bin/fuse-overlayfs"\n'


@pytest.mark.parametrize(
    ("kind", "options", "release", "config", "outcome"),
    [
        ("tmpfs", "rw", "5.14.0-1.el9", "", Outcome.FAIL),
        ("tmpfs", "rw", "6.6.1", "", Outcome.PASS),
        ("tmpfs", "rw", "5.14.0-1.el9", FUSE, Outcome.PASS),
        ("tmpfs", "rw", "5.14.0-1.el9", "#" + FUSE.replace("\n", "\n#"), Outcome.FAIL),
        ("ext4", "rw,noexec", "6.6.1", "", Outcome.FAIL),
        ("ext4", "rw,nodev,nosuid", "6.6.1", "", Outcome.PASS),
    ],
)
def test_storage(kind: str, options: str, release: str, config: str, outcome: Outcome) -> None:
    files = {
        "/etc/passwd": "u:x:1000:1000::/home/u:/bin/sh\n",
        "/usr/bin/podman": "\x7fELF",
        "/home/u/.local/share/containers/storage/overlay/": "",
        "/proc/sys/kernel/osrelease": f"{release}\n",
        "/proc/self/mountinfo": f"30 1 0:30 / / rw - ext4 x rw\n31 30 0:31 / /home {options} - {kind} x rw\n",
        "/etc/containers/storage.conf": config,
    }
    assert ask(homes.HomesStorage, FakeHost(files)).outcome is outcome


def test_nobody() -> None:
    assert ask(homes.HomesStorage, FakeHost({"/etc/passwd": ""})).outcome is Outcome.SKIP
