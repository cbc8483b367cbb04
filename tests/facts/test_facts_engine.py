"""Which engines are there, before and after their installation."""

from __future__ import annotations

import pytest

from hostcheck.facts import engine
from hostcheck.host import Unavailable
from hostcheck.testing import Content, FakeHost
from hostcheck.versions import Version

ELF = b"\x7fELF" + bytes(60)


def deb(*packages: str) -> str:
    return "\n".join(
        f"Package: {p.partition('=')[0]}\nStatus: install ok installed\nVersion: {p.partition('=')[2] or '1'}\n"
        for p in packages
    )


@pytest.mark.parametrize(
    "files, expected",
    [
        ({}, set()),
        ({"/usr/bin/docker": ELF}, set()),
        ({"/usr/bin/dockerd": ELF}, {"docker"}),
        ({"/usr/local/bin/dockerd": ELF, "/usr/bin/podman": ELF}, {"docker", "podman"}),
        ({"/opt/bin/dockerd": ELF}, {"docker"}),
        ({"/snap/docker/current/bin/dockerd": ELF}, {"docker"}),
        ({"/var/lib/snapd/snaps/docker_2932.snap": ""}, {"docker"}),
        ({"/var/lib/snapd/snaps/core_1.snap": ""}, set()),
        # Copied, and the execute bit forgotten: an engine that does not start, but an engine.
        ({"/usr/bin/dockerd": "text"}, {"docker"}),
        ({"/usr/bin/dockerd/": ""}, set()),
        ({"/var/lib/dpkg/status": deb("docker.io", "runc")}, {"docker"}),
        ({"/var/lib/dpkg/status": deb("docker-ce-cli", "podman-docker")}, set()),
        # A dock for windows.
        ({"/var/lib/dpkg/status": deb("docker")}, set()),
        ({"/var/lib/dpkg/status": deb("kubelet", "containerd", "cri-o")}, {"kubelet", "containerd", "crio"}),
        ({"/var/lib/dpkg/status": Unavailable("broken"), "/usr/bin/containerd": ELF}, {"containerd"}),
    ],
)
def test_installed(files: dict[str, Content], expected: set[str]) -> None:
    for kind in ("live", "root"):
        assert engine.installed(FakeHost(files, kind=kind)) == expected


def test_stage() -> None:
    podman = FakeHost({"/usr/bin/podman": ELF})
    assert engine.stage(podman) == "before"
    assert engine.stage(podman, "podman") == "installed"
    docker: dict[str, Content] = {"/usr/bin/dockerd": ELF}
    assert engine.stage(FakeHost(docker)) == "installed"
    assert engine.stage(FakeHost(docker, assumptions={"stage": "before"})) == "before"
    assert engine.stage(FakeHost(docker, assumptions={"stage": "auto"})) == "installed"
    assert engine.stage(FakeHost({}, assumptions={"stage": "installed"})) == "installed"


def test_docker_version() -> None:
    status: dict[str, Content] = {"/var/lib/dpkg/status": deb("docker-ce=5:24.0.5-1~debian.12~bookworm")}
    assert engine.docker_version(FakeHost(status)) == Version("24.0.5")
    assert engine.docker_version(FakeHost(status, assumptions={"docker": "29.1"})) == Version("29.1")
    assert engine.docker_version(FakeHost({})) is None
    assert engine.docker_version(FakeHost({}, assumptions={"docker": "20.10"})) == Version("20.10")


@pytest.mark.parametrize(
    "version, path, found",
    [
        # The search path only, up to 26.1.
        ("26.1.5", "/usr/libexec/docker/docker-proxy", False),
        ("27.0", "/usr/libexec/docker/docker-proxy", True),
        ("27.0", "/usr/local/lib/docker/docker-proxy", True),
        ("27.0", "/usr/libexec/docker-proxy", True),
        (None, "/usr/lib/docker/docker-proxy", True),
        ("20.10", "/usr/bin/docker-proxy", True),
        ("28.0", "/usr/sbin/docker-proxy", True),
        ("28.0", "/srv/docker-proxy", False),
    ],
)
def test_helper(version: str | None, path: str, found: bool) -> None:
    docker = Version(version) if version else None
    assert engine.helper(FakeHost({path: ELF}), "docker-proxy", docker) == (path if found else None)


def test_the_libexec_folder_goes_first() -> None:
    host = FakeHost({"/usr/libexec/docker/docker-proxy": ELF, "/usr/bin/docker-proxy": ELF})
    assert engine.helper(host, "docker-proxy", Version("28")) == "/usr/libexec/docker/docker-proxy"
    assert engine.helper(host, "docker-proxy", Version("26")) == "/usr/bin/docker-proxy"


def test_export() -> None:
    shown = engine.export(FakeHost({"/usr/bin/dockerd": ELF, "/var/lib/dpkg/status": deb("containerd.io")}))
    assert shown == {
        "docker": {"value": "installed", "path": "/usr/bin/dockerd"},
        "containerd": {"value": "installed", "path": "/var/lib/dpkg/status"},
        "stage": {"value": "installed", "path": None},
    }
