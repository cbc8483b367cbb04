"""The sandbox of systemd around an engine's unit."""

from __future__ import annotations

import importlib
import json
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


@pytest.mark.parametrize(
    ("line", "docker", "more", "expected"),
    [
        ("MountFlags=slave", "20.10.24", {}, "required"),
        ("PrivateTmp=true", "28.5.2", {}, "required"),
        ("ProtectSystem=full", "20.10.24", {}, "required"),
        ("ReadOnlyPaths=/etc", "20.10.24", {}, "required"),
        ("MountFlags=shared", "20.10.24", {}, None),
        ("PrivateTmp=no", "20.10.24", {}, None),
        ("BindPaths=", "20.10.24", {}, None),
        ("LimitNOFILE=infinity", "20.10.24", {}, None),
        # dockerd before 18.09 starts a containerd of its own, within its own mounts.
        ("MountFlags=slave", "18.06.3", {}, "recommended"),
        # These drivers give a container a folder, and no mount.
        ("MountFlags=slave", "20.10.24", {"storage-driver": "vfs"}, "recommended"),
    ],
)
def test_mounts_that_containerd_does_not_see(
    line: str, docker: str, more: dict[str, str], expected: str | None
) -> None:
    """As dockerd 20.10.24 and 28.5.2 show with `unshare --mount --propagation slave`: no container finds its root."""
    host = FakeHost(
        {
            "/usr/bin/dockerd": b"\x7fELF",
            "/usr/bin/containerd": b"\x7fELF",
            "/proc/self/mountinfo": "27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda1 rw\n",
            "/etc/docker/daemon.json": json.dumps(more),
            "/usr/lib/systemd/system/docker.service": UNIT,
            "/etc/systemd/system/docker.service.d/x.conf": f"[Service]\n{line}\n",
        },
        assumptions={"docker": docker},
    )
    result = ask(sandbox.SandboxUnits, host)
    assert [result.severity_of(each).value for each in result.failures] == ([expected] if expected else [])


def test_no_unit() -> None:
    assert ask(sandbox.SandboxUnits, FakeHost({"/usr/bin/dockerd": b"\x7fELF"})).outcome is Outcome.SKIP


CONTAINERD = "/usr/lib/systemd/system/containerd.service"


@pytest.mark.parametrize(
    ("files", "nerdctl", "expected"),
    [
        ({}, "auto", None),
        ({"/etc/login.defs": "UMASK 077\n"}, "auto", None),
        ({"/etc/login.defs": "# UMASK 077\nUMASK\t\t022\n"}, "yes", []),
        ({"/etc/login.defs": "UMASK 077\n"}, "yes", ["recommended"]),
        ({"/etc/profile.d/a.sh": "if true; then\n  umask 0027\nfi\n"}, "yes", ["recommended"]),
        ({"/etc/pam.d/common-session": "session optional pam_umask.so umask=0077\n"}, "yes", ["recommended"]),
        ({"/etc/login.defs": "UMASK 077\n", "/usr/bin/nerdctl": b"\x7fELF"}, "no", None),
        ({CONTAINERD: "[Service]\nExecStart=/usr/bin/containerd\n"}, "auto", []),
        ({CONTAINERD: "[Service]\nUMask=0077\nExecStart=/usr/bin/containerd\n"}, "auto", ["required"]),
        ({CONTAINERD: "[Service]\nUMask=077\nUMask=0022\nExecStart=/usr/bin/containerd\n"}, "auto", []),
    ],
)
def test_umask(files: dict[str, Any], nerdctl: str, expected: list[str] | None) -> None:
    result = ask(sandbox.SandboxUmask, FakeHost(files), nerdctl=nerdctl)
    if expected is None:
        assert result.outcome is Outcome.SKIP
    else:
        assert [result.severity_of(finding).value for finding in result.failures] == expected


@pytest.mark.parametrize(("version", "expected"), [("1.7.6", "required"), ("2.0.2", None)])
def test_umask_of_nerdctl(version: str, expected: str | None) -> None:
    files: dict[str, Any] = {"/etc/login.defs": "UMASK 077\n", "/usr/local/bin/nerdctl": b"\x7fELF"}
    commands: dict[tuple[str, ...], Any] = {("nerdctl", "--version"): f"nerdctl version {version}\n"}
    result = ask(sandbox.SandboxUmask, FakeHost(files, commands=commands))
    assert [result.severity_of(finding).value for finding in result.failures] == (
        [expected] if expected else []
    )
