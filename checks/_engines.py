"""What the checks of the engines' programs share: whom they concern, where a program is from, when a finding holds."""

from __future__ import annotations

from collections.abc import Iterator

from hostcheck.api import Finding, Host, NotApplicable, Unavailable
from hostcheck.facts import containerd, engine, toml
from hostcheck.facts.versions import Found


def engine_only(host: Host) -> None:
    """Raise NotApplicable where no engine is installed that starts runc through containerd."""
    if engine.stage(host) == "before" and engine.stage(host, "containerd") == "before":
        raise NotApplicable("no docker and no containerd is installed")


def need_containerd(host: Host) -> None:
    """Raise NotApplicable where no containerd is installed: docker brings its own."""
    if engine.stage(host) == "before" and engine.stage(host, "containerd") == "before":
        raise NotApplicable("containerd is not installed")


def containerd_configuration(host: Host) -> containerd.Config:
    """Return the configuration of an installed containerd, empty where there is no file.

    Raises:
        NotApplicable: no containerd is installed.

    """
    need_containerd(host)
    try:
        return containerd.config(host)
    except toml.BadConfig as error:
        raise Unavailable(f"{error.path} is no TOML: see containerd.config") from None


PROGRAMS = ("dockerd", "containerd", "containerd-shim-runc-v2", "runc", "docker-proxy")
"""The programs of the engine of which a second copy makes trouble."""


def origin(found: Found) -> str:
    """Return what brought a program, in words."""
    return f"package {found.package}" if found.package else "no package"


def executable(host: Host, path: str) -> bool:
    """Return whether a program is there that may be executed."""
    try:
        return host.stat(path).is_executable
    except (FileNotFoundError, PermissionError, Unavailable):
        return False


def dated(host: Host, findings: Iterator[Finding]) -> Iterator[Finding]:
    """Yield the findings; of a host that does not run all are about its next boot."""
    for finding in findings:
        if host.kind != "live":
            finding.when = "boot"
        yield finding


def none_seen() -> Unavailable:
    """Return why nothing can be said of an engine's programs: a package names them, and none is there."""
    return Unavailable(f"no program of the engine is seen in {', '.join(engine.DOCKER_FOLDERS)}")
