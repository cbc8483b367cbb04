"""Hosts with the engine's programs, of packages and of the static archive, for the tests of the checks of those."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from hostcheck.finding import Result
from hostcheck.host import Completed
from hostcheck.testing import Content, FakeHost

V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = (
    "30 23 0:26 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755\n"
    "31 30 0:27 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n"
    "32 30 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
)
MOUNTINFO = "/proc/self/mountinfo"


def program(machine: int = 62, interpreter: str = "") -> bytes:
    """Build the headers of an executable."""
    loader = interpreter.encode() + b"\0"
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, 0, 64, 0, 0, 64, 56, bool(interpreter), 64, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 3, 4, 120, 0, 0, len(loader), len(loader), 1)
    return head + segment + loader


ELF = program()


def status(packages: Mapping[str, str]) -> str:
    return "\n".join(
        f"Package: {name}\nStatus: {'deinstall ok config-files' if not text else 'install ok installed'}\n"
        f"Architecture: amd64\nVersion: {text or '1'}\n"
        for name, text in packages.items()
    )


DEBIAN: dict[str, Content] = {
    "/bin/sh": ELF,
    "/etc/os-release": "ID=debian\nVERSION_ID=12\n",
    "/usr/sbin/dockerd": ELF,
    "/usr/bin/docker": ELF,
    "/usr/sbin/docker-proxy": ELF,
    "/usr/bin/docker-init": "-> tini-static",
    "/usr/bin/tini-static": ELF,
    "/usr/bin/containerd": ELF,
    "/usr/bin/containerd-shim-runc-v2": ELF,
    "/usr/bin/ctr": ELF,
    "/usr/sbin/runc": ELF,
    "/var/lib/dpkg/info/docker.io.list": "/usr/sbin/dockerd\n/usr/bin/docker\n/usr/sbin/docker-proxy\n",
    "/var/lib/dpkg/info/containerd.list": "/usr/bin/containerd\n/usr/bin/containerd-shim-runc-v2\n/usr/bin/ctr\n",
    "/var/lib/dpkg/info/runc.list": "/usr/sbin/runc\n",
}
BOOKWORM = {
    "docker.io": "20.10.24+dfsg1-1+deb12u1",
    "containerd": "1.6.20~ds1-1",
    "runc": "1.1.5+ds1-1+deb12u1",
}


def debian(
    packages: Mapping[str, str] = BOOKWORM, more: Mapping[str, Content | None] = {}, **host: Any
) -> FakeHost:
    files = {**DEBIAN, "/var/lib/dpkg/status": status(packages), MOUNTINFO: V2, **more}
    return FakeHost({path: content for path, content in files.items() if content is not None}, **host)


def static(
    versions: Mapping[str, str],
    more: Mapping[str, Content | None] = {},
    mounts: str = V2,
    folder: str = "/usr/bin",
) -> FakeHost:
    """Return a host with the static archive's files in one folder, which live answer for themselves."""
    files: dict[str, Content | None] = {"/bin/sh": ELF, "/etc/os-release": "ID=centos\n", MOUNTINFO: mounts}
    for name in (
        "docker",
        "dockerd",
        "docker-proxy",
        "docker-init",
        "containerd",
        "containerd-shim-runc-v2",
        "ctr",
        "runc",
    ):
        files[f"{folder}/{name}"] = ELF
    files.update(more)
    prints = {
        "dockerd": "Docker version {}, build 79ea9d3",
        "docker": "Docker version {}, build 79ea9d3",
        "containerd": "containerd github.com/containerd/containerd v{} 5b46e404f6b9f661a205e28d59c982d3634148f8",
        "runc": "runc version {}\ncommit: v1\nspec: 1.0.2-dev",
    }
    commands: dict[tuple[str, ...], str | Completed | Exception] = {
        (f"{folder}/{name}", "--version"): prints[name].format(text)
        for name, text in versions.items()
        if name in prints
    }
    return FakeHost({path: c for path, c in files.items() if c is not None}, commands=commands)


def said(result: Result) -> dict[str, str]:
    """Return what failed, and how severely."""
    return {finding.subject: str(result.severity_of(finding)) for finding in result.failures}
