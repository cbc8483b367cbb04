"""Which container engines are there, and which stage of its life the host is in."""

from __future__ import annotations

from hostcheck.facts.files import PROGRAM_FOLDERS, which
from hostcheck.facts.packages import Package
from hostcheck.facts.packages import installed as installed_package
from hostcheck.host import Host, Unavailable
from hostcheck.versions import Version

SNAP_DOCKER = "/snap/docker/current/bin"
"""Where the docker snap keeps its programs; /snap/bin has only the client's name."""

DOCKER_FOLDERS = (*PROGRAM_FOLDERS, "/opt/bin", SNAP_DOCKER)
"""Where a dockerd may lie: /opt/bin is the writable one on systems with a read-only /usr."""

ENGINES: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("docker", ("dockerd",), ("docker-ce", "docker.io", "moby-engine", "docker-engine")),
    ("containerd", ("containerd",), ("containerd.io", "containerd", "moby-containerd")),
    ("podman", ("podman",), ("podman",)),
    ("kubelet", ("kubelet",), ("kubelet",)),
    ("crio", ("crio",), ("cri-o",)),
)
"""Name, programs, and packages that are known to bring it.

The client alone is no engine. A package is asked for only where the program is not seen, as on trees
whose /usr was left out; `docker` is not in the list, since on Debian that name is a dock for windows."""


def installed(host: Host) -> frozenset[str]:
    """Return which of docker, containerd, podman, kubelet and crio are installed."""
    return host.fact(_installed)


def _installed(host: Host) -> frozenset[str]:
    return frozenset(name for name, _programs, _packages in ENGINES if _has(host, name))


def _has(host: Host, engine: str) -> bool:
    for name, programs, known in ENGINES:
        if name == engine:
            return any(program(host, each) for each in programs) or _package(host, known) is not None
    return False


def _package(host: Host, known: tuple[str, ...]) -> Package | None:
    try:
        return installed_package(host, *known)
    except (PermissionError, Unavailable):
        return None


def program(host: Host, name: str) -> str | None:
    """Return the path of an engine's program, None if it is nowhere where one may lie."""
    return which(host, name, DOCKER_FOLDERS)


def stage(host: Host, engine: str = "docker") -> str:
    """Return `before` where the engine is not installed yet, `installed` where it is.

    `host.assumptions["stage"]` decides where it is set and not `auto`.
    """
    assumed = host.assumptions.get("stage", "auto")
    if assumed != "auto":
        return assumed
    return "installed" if engine in installed(host) else "before"


def docker_version(host: Host) -> Version | None:
    """Return the version of dockerd: assumed, or installed; None where there is none or it cannot be told."""
    return host.fact(_docker_version)


def _docker_version(host: Host) -> Version | None:
    assumed = host.assumptions.get("docker")
    if assumed:
        return Version(assumed)
    # Imported here: reading versions out of binaries is needed only where an engine is installed.
    from hostcheck.facts.versions import version

    return version(host, "dockerd")


def export(host: Host) -> dict[str, object]:
    """Return the engines that are installed, and where."""
    found: dict[str, object] = {}
    for name, programs, known in ENGINES:
        package = _package(host, known)
        path = next((p for p in (program(host, each) for each in programs) if p), None)
        if path or package:
            found[name] = {"value": "installed", "path": path or (package.path if package else None)}
    found["stage"] = {"value": stage(host), "path": None}
    return found
