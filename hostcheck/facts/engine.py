"""Which container engines are there, and which stage of its life the host is in."""

from __future__ import annotations

from hostcheck.facts.files import PROGRAM_FOLDERS, names, which
from hostcheck.facts.packages import known as known_package
from hostcheck.host import Host, NotApplicable, Unavailable
from hostcheck.versions import Version

SNAP_DOCKER = "/snap/docker/current/bin"
"""Where the docker snap keeps its programs; /snap/bin has only the client's name."""

DOCKER_FOLDERS = (*PROGRAM_FOLDERS, "/opt/bin", SNAP_DOCKER)
"""Where a dockerd may lie: /opt/bin is the writable one on systems with a read-only /usr."""

ENGINES: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("docker", ("dockerd",), ("docker-ce", "docker.io", "moby-engine", "docker-engine", "docker")),
    ("containerd", ("containerd",), ("containerd.io", "containerd", "moby-containerd")),
    ("podman", ("podman",), ("podman",)),
    ("kubelet", ("kubelet",), ("kubelet",)),
    ("crio", ("crio",), ("cri-o",)),
)
"""Name, programs, and packages that are known to bring it.

The client alone is no engine. A package is asked for only where the program is not seen, as on trees
whose /usr was left out."""


def installed(host: Host) -> frozenset[str]:
    """Return which of docker, containerd, podman, kubelet and crio are installed."""
    return host.fact(_installed)


def _installed(host: Host) -> frozenset[str]:
    found = {
        name
        for name, programs, known in ENGINES
        if any(program(host, each) for each in programs) or known_package(host, *known) is not None
    }
    if host.fact(snaps):
        found.add("docker")
    return frozenset(found)


def snaps(host: Host) -> tuple[str, ...]:
    """Return the docker snaps that the host has: file names, as `docker_2932.snap`."""
    try:
        found = tuple(n for n in names(host, "/var/lib/snapd/snaps") if n.startswith("docker_"))
        if not found and host.exists(f"{SNAP_DOCKER}/dockerd"):
            return ("docker",)
    except (PermissionError, Unavailable):
        return ()
    return found


def is_snap(host: Host) -> bool:
    """Return whether the docker that is there is the snap, and no other."""
    if not host.fact(snaps):
        return False
    path = program(host, "dockerd")
    return path is None or path.startswith("/snap/")


def program(host: Host, name: str) -> str | None:
    """Return the path of an engine's program, None if it is nowhere where one may lie.

    A file that may not be executed is named too, if there is none that may.
    """
    path = which(host, name, DOCKER_FOLDERS)
    if path:
        return path
    for folder in DOCKER_FOLDERS:
        try:
            found = host.seen(f"{folder}/{name}")
        except (PermissionError, Unavailable):
            continue
        if found is not None and found.is_file:
            return f"{folder}/{name}"
    return None


HELPER_FOLDERS = (
    "/usr/local/libexec/docker",
    "/usr/libexec/docker",
    "/usr/local/lib/docker",
    "/usr/lib/docker",
)
"""Where dockerd looks for its helpers before the search path. Source: moby's daemon/config/config_linux.go."""


def helper(host: Host, name: str, docker: Version | None) -> str | None:
    """Return the path where this dockerd finds a helper: docker-proxy or docker-init.

    docker-init is looked for in the libexec folders from 24 on, docker-proxy from 27 on; before, only in the
    search path. With an unknown version all places count.
    """
    since = Version("27" if name == "docker-proxy" else "24")
    folders: tuple[str, ...] = ()
    if docker is None or docker >= since:
        folders = (*HELPER_FOLDERS, "/usr/local/libexec", "/usr/libexec")
    return which(host, name, (*folders, *DOCKER_FOLDERS))


def stage(host: Host, engine: str = "docker") -> str:
    """Return `before` where the engine is not installed yet, `installed` where it is.

    `host.assumptions["stage"]` decides where it is set and not `auto`.
    """
    assumed = host.assumptions.get("stage", "auto")
    if assumed != "auto":
        return assumed
    return "installed" if engine in installed(host) else "before"


def need_docker(host: Host) -> None:
    """Raise NotApplicable where docker is not installed yet."""
    if stage(host) == "before":
        raise NotApplicable("docker is not installed")


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


def version(host: Host, tool: str) -> Version | None:
    """Return the version of an engine's program, dockerd's as assumed; None where none is there or none can be told."""
    if tool == "dockerd":
        return docker_version(host)
    # Imported here, as above.
    from hostcheck.facts import versions

    try:
        return versions.version(host, tool)
    except (OSError, Unavailable):
        return None


def export(host: Host) -> dict[str, object]:
    """Return the engines that are installed, and where."""
    found: dict[str, object] = {}
    for name, programs, known in ENGINES:
        package = known_package(host, *known)
        path = next((p for p in (program(host, each) for each in programs) if p), None)
        if path or package:
            found[name] = {"value": "installed", "path": path or (package.path if package else None)}
    found["stage"] = {"value": stage(host), "path": None}
    return found
