"""Units that come after the target that wants them."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from hostcheck.testing import FakeHost, ask

ordering: Any = importlib.import_module("hostcheck.checks.ordering")

UNIT = (
    "[Unit]\nAfter=network-online.target {}\n[Service]\nExecStart=/usr/bin/dockerd\n[Install]\nWantedBy={}\n"
)


@pytest.mark.parametrize(
    ("after", "wanted", "expected"),
    [
        ("multi-user.target", "multi-user.target", ["multi-user.target"]),
        ("containerd.service", "multi-user.target", []),
        ("multi-user.target", "graphical.target", []),
    ],
)
def test_target(after: str, wanted: str, expected: list[str]) -> None:
    files = {
        "/usr/lib/systemd/systemd": "\x7fELF",
        "/usr/lib/systemd/system/docker.service": UNIT.format(after, wanted),
    }
    found = ask(ordering.OrderingTarget, FakeHost(files)).failures
    assert [each.value for each in found] == expected
