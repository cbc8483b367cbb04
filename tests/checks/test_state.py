"""What the engines left on the disk: whole, broken, and not there."""

from __future__ import annotations

import importlib
import struct
from typing import Any

import docker_host
import pytest

from hostcheck.facts import storage
from hostcheck.finding import Outcome, Severity
from hostcheck.testing import FakeHost, ask

state: Any = importlib.import_module("hostcheck.checks.state")

ROOT = "/var/lib/docker"
NAMES = f"{ROOT}/image/overlay2/repositories.json"
META = f"/var/lib/containerd/{state.CONTAINERD}"


def bolt() -> bytes:
    """Return a bolt database of four pages: two meta pages, a free list, a leaf."""
    pages = b""
    for number in (0, 1):
        body = struct.pack("<IIIIQQQQQ", storage.BOLT_MAGIC, 2, 4096, 0, 3, 0, 2, 4, number)
        page = struct.pack("<QHHI", number, 4, 0, 0) + body + struct.pack("<Q", storage._fnv1a(body[:56]))
        pages += page.ljust(4096, b"\0")
    pages += struct.pack("<QHHI", 2, 0x10, 0, 0).ljust(4096, b"\0")
    return pages + struct.pack("<QHHI", 3, 2, 0, 0).ljust(4096, b"\0")


def outcomes(check: str, files: dict[str, Any], docker: str) -> list[str]:
    """Return what is said of the running host and of its tree: the severity of what fails, or the outcome."""
    found = []
    for kind in ("live", "root"):
        laid = {"/usr/bin/dockerd": "\x7fELF", f"{ROOT}/overlay2/l/": "", **files}
        if kind == "live":
            laid["/proc/self/mountinfo"] = "27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda1 rw\n"
        laid = {path: content for path, content in laid.items() if content is not None}
        host = FakeHost(laid, kind=kind, assumptions={"docker": docker, "stage": "installed"})
        result = ask(getattr(state, check), host)
        found += [str(f.severity or result.severity) for f in result.failures] or [result.outcome.value]
    return found


@pytest.mark.parametrize("name", [name for name, _, _ in state.DATABASES])
@pytest.mark.parametrize(
    ("content", "outcome"), [(bolt(), "pass"), (b"", "pass"), (b"garbage" * 999, "required")]
)
def test_databases_of_dockerd(name: str, content: bytes, outcome: str) -> None:
    assert outcomes("StateDatabases", {f"{ROOT}/{name}": content}, "26.1.5") == [outcome, outcome]


def test_databases_of_containerd() -> None:
    assert outcomes("StateDatabases", {META: bolt()[:9000]}, "28.5.2") == ["required", "required"]
    assert outcomes("StateDatabases", {}, "28.5.2") == ["skip", "skip"]


def test_the_build_cache_that_dockerd_mends() -> None:
    """buildkit makes cache.db anew from the release that came with 27.0."""
    files = {f"{ROOT}/buildkit/cache.db": b"garbage"}
    assert outcomes("StateDatabases", files, "20.10.24") == ["required", "required"]
    assert outcomes("StateDatabases", files, "27.0.1") == ["skip", "skip"]


@pytest.mark.parametrize(
    ("content", "outcome"),
    [
        ('{"Repositories": {}}', "pass"),
        ("null", "pass"),
        ("", "required"),
        ("{", "required"),
        ("[]", "required"),
        (None, "skip"),
    ],
)
def test_image_names(content: str, outcome: str) -> None:
    files = {} if content is None else {NAMES: content}
    assert outcomes("StateImageNames", files, "28.5.2") == [outcome, outcome]


def test_the_image_store_of_containerd_has_no_names_of_dockerd() -> None:
    files = {NAMES: "", "/etc/docker/daemon.json": '{"features": {"containerd-snapshotter": true}}'}
    assert outcomes("StateImageNames", files, "28.5.2") == ["skip", "skip"]


@pytest.mark.parametrize("name", ["StateDatabases", "StateImageNames"])
def test_nothing_is_said_before_docker_is_installed(name: str) -> None:
    assert ask(getattr(state, name), FakeHost({})).outcome.value == "skip"


AWAY = {f"{ROOT}/overlay2/l/": None}


@pytest.mark.parametrize(
    "files, docker, expected",
    [
        ({}, "28.5.2", "pass"),
        ({f"{ROOT}/volumes/": ""}, "28.5.2", "pass"),
        ({f"{ROOT}/volumes": "x"}, "28.5.2", "required"),
        ({f"{ROOT}/image": "x"}, "20.10.24", "required"),
        ({f"{ROOT}/image/overlay2": "x"}, "26.1.5", "required"),
        ({f"{ROOT}/overlay2": "x", **AWAY}, "26.1.5", "required"),
        ({f"{ROOT}/swarm": "x"}, "26.1.5", "required"),
        ({"/etc/docker": "x"}, "26.1.5", "required"),
        ({"/var/lib/containerd/io.containerd.metadata.v1.bolt": "x"}, "26.1.5", "required"),
        ({"/etc/containerd": "x"}, "26.1.5", "required"),
        ({"/etc/containerd/config.toml": 'temp = "/srv/c"\n', "/srv/c": "x"}, "26.1.5", "required"),
        ({"/etc/containerd/config.toml": 'root = "/srv/c"\n', "/srv/c": "x"}, "26.1.5", "required"),
        ({"/etc/containerd/config.toml": 'root = "/srv/c"\n', "/srv": "x"}, "26.1.5", "required"),
        # A link is what it leads to.
        ({f"{ROOT}/volumes": "-> /srv/volumes", "/srv/volumes/": ""}, "26.1.5", "pass"),
        ({f"{ROOT}/volumes": "-> /srv/volumes"}, "26.1.5", "required"),
        ({f"{ROOT}/overlay2": "-> /mnt/overlay2", **AWAY}, "26.1.5", "required"),
        # dockerd before 23.0 makes a key there.
        ({"/etc/docker": "-> /mnt/etc"}, "20.10.24", "required"),
        ({"/etc/docker": "-> /mnt/etc"}, "26.1.5", "pass"),
        ({"/etc/containerd": "-> /mnt/etc"}, "20.10.24", "pass"),
        ({f"{ROOT}/overlay2": "-> /srv/overlay2", "/srv/overlay2/l/": "", **AWAY}, "26.1.5", "required"),
        # dockerd makes a new folder there, whatever it was.
        ({f"{ROOT}/tmp": "x"}, "20.10.24", "pass"),
        # Of releases before 23.0 only.
        ({f"{ROOT}/runtimes": "x"}, "20.10.24", "required"),
        ({f"{ROOT}/trust": "x"}, "20.10.24", "required"),
        ({f"{ROOT}/runtimes": "x", f"{ROOT}/trust": "x"}, "26.1.5", "pass"),
        # The image store of containerd has none of them.
        ({f"{ROOT}/image": "x", **AWAY}, "29.1.0", "skip"),
        (AWAY, "28.5.2", "skip"),
    ],
)
def test_folders(files: dict[str, Any], docker: str, expected: str) -> None:
    assert outcomes("StateFolders", files, docker) == [expected] * 2


@pytest.mark.parametrize(
    "bringing",
    [
        {"/etc/fstab": "a / ext4\nb /mnt ext4\n"},
        {"/usr/lib/tmpfiles.d/x.conf": "d /mnt/volumes 0755 root root -\n"},
    ],
)
def test_what_the_boot_brings_is_no_lost_folder(bringing: dict[str, Any]) -> None:
    """The running host has it not, whatever the boot will bring."""
    files = {f"{ROOT}/volumes": "-> /mnt/volumes", **bringing}
    assert outcomes("StateFolders", files, "26.1.5") == ["required", "pass"]


def test_layers() -> None:
    files = {
        "/var/lib/docker/overlay2/0a1b/link": "",
        "/var/lib/docker/overlay2/l/": "",
        "/var/lib/docker/overlay2/cc/diff/x": "",
    }
    result = ask(state.StateLayers, docker_host.tree(files))
    assert result.failures[0].path == "/var/lib/docker/overlay2/0a1b/link"
    assert (
        ask(
            state.StateLayers, docker_host.tree(files | {"/var/lib/docker/overlay2/0a1b/link": "ABC"})
        ).outcome
        is Outcome.PASS
    )


def test_network_database() -> None:
    path = "/var/lib/docker/network/files/local-kv.db"
    assert (
        docker_host.worst(ask(state.StateNetworkDatabase, docker_host.tree({path: "not a bolt file"})))
        is Severity.REQUIRED
    )
    assert ask(state.StateNetworkDatabase, docker_host.tree({path: ""})).outcome is Outcome.PASS
    assert ask(state.StateNetworkDatabase, docker_host.tree()).outcome is Outcome.SKIP


@pytest.mark.parametrize(
    "files, docker, expected",
    [
        ({}, "28.5.2", "skip"),
        ({f"{ROOT}/engine-id": "x"}, "28.5.2", "pass"),
        ({f"{ROOT}/engine-id/": ""}, "28.5.2", "required"),
        ({f"{ROOT}/engine-id/": ""}, "20.10.24", "skip"),
    ],
)
def test_files(files: dict[str, Any], docker: str, expected: str) -> None:
    assert outcomes("StateFiles", files, docker) == [expected] * 2
