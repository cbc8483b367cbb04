"""How memory is granted, now and after a boot."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from hostcheck.testing import FakeHost, ask

memory: Any = importlib.import_module("hostcheck.checks.memory")


@pytest.mark.parametrize(
    ("now", "later", "expected"),
    [
        ("0", "", []),
        ("1", "vm.overcommit_memory = 1\n", []),
        ("0", "# vm.overcommit_memory = 2\nvm.overcommit_ratio = 100\n", []),
        ("2", "", ["now"]),
        ("0", "vm.overcommit_memory = 2\n", ["boot"]),
        ("2", "vm.overcommit_memory = 2\n", ["now", "boot"]),
    ],
)
def test_overcommit(now: str, later: str, expected: list[str]) -> None:
    files = {
        "/proc/sys/vm/overcommit_memory": f"{now}\n",
        "/etc/sysctl.d/50-memory.conf": later,
        "/usr/lib/systemd/systemd": "",
    }
    assert [each.when for each in ask(memory.MemoryOvercommit, FakeHost(files)).failures] == expected
