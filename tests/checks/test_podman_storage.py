"""File systems on which podman stacks layers, and does not."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from hostcheck.finding import Outcome
from hostcheck.testing import FakeHost, ask

podman_storage: Any = importlib.import_module("hostcheck.checks.podman_storage")

FUSE = '[storage.options.overlay]\nmount_program = "/usr/bin/fuse-overlayfs"\n'


@pytest.mark.parametrize(
    ("kind", "config", "release", "zfs", "outcome"),
    [
        ("zfs", "", "4.3.1", "2.2.0", Outcome.FAIL),
        ("zfs", "", "4.9.3", "2.1.5", Outcome.FAIL),
        ("zfs", "", "4.9.3", "2.2.4", Outcome.PASS),
        ("zfs", FUSE, "4.3.1", "2.1.5", Outcome.SKIP),
        ("zfs", '[storage]\ndriver = "vfs"\n', "4.3.1", "2.1.5", Outcome.SKIP),
        ("zfs", '# mount_program = "/usr/bin/fuse-overlayfs"\n', "4.3.1", "2.1.5", Outcome.FAIL),
        ("overlay", "", "5.4.0", "", Outcome.FAIL),
        ("ecryptfs", "", "5.4.0", "", Outcome.FAIL),
        ("btrfs", "", "5.4.0", "", Outcome.PASS),
    ],
)
def test_storage(kind: str, config: str, release: str, zfs: str, outcome: Outcome) -> None:
    files = {
        "/usr/bin/podman": "\x7fELF",
        "/proc/self/mountinfo": f"30 1 0:30 / / rw - {kind} x rw\n",
        "/etc/containers/storage.conf": config,
        "/sys/module/zfs/version": f"{zfs}\n",
    }
    host = FakeHost(files, commands={("/usr/bin/podman", "--version"): f"podman version {release}\n"})
    assert ask(podman_storage.PodmanStorageLayers, host).outcome is outcome
