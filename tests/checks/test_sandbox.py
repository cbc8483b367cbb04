"""The sandbox of systemd around an engine's unit."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from hostcheck.finding import Outcome
from hostcheck.testing import FakeHost, ask

sandbox: Any = importlib.import_module("hostcheck.checks.sandbox")

UNIT = "[Service]\nExecStart=/usr/bin/dockerd -H unix://\n"


def said(*lines: str) -> list[tuple[str, str]]:
    """Return the failures of a docker.service with these lines in a drop-in."""
    host = FakeHost(
        {
            "/usr/bin/dockerd": b"\x7fELF",
            "/usr/lib/systemd/system/docker.service": UNIT,
            "/etc/systemd/system/docker.service.d/x.conf": "[Service]\n" + "\n".join(lines) + "\n",
        }
    )
    result = ask(sandbox.SandboxUnits, host)
    return [(finding.subject, result.severity_of(finding).value) for finding in result.failures]


@pytest.mark.parametrize("wall", sandbox.WALLS, ids=lambda wall: wall.key)
def test_each_wall(wall: Any) -> None:
    assert said(f"{wall.key}={wall.values[0]}") == [(f"docker.service {wall.key}", wall.severity)]


@pytest.mark.parametrize(
    "lines",
    [
        ("ProtectSystem=full",),
        ("ProtectSystem=strict", "ReadWritePaths=/var/lib/docker /run /etc"),
        # What comes last counts.
        ("PrivateNetwork=yes", "PrivateNetwork=no"),
        ("MountFlags=shared",),
        ("LimitNOFILE=infinity", "Delegate=yes"),
    ],
)
def test_what_harms_nothing(lines: tuple[str, ...]) -> None:
    assert said(*lines) == []


def test_no_unit() -> None:
    assert ask(sandbox.SandboxUnits, FakeHost({"/usr/bin/dockerd": b"\x7fELF"})).outcome is Outcome.SKIP
