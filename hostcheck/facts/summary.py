"""What a host is, in the few words that a report begins with."""

from __future__ import annotations

from hostcheck._typing import Callable, TypeVar
from hostcheck.facts import boot, cgroup, engine, storage, versions
from hostcheck.facts import os as os_facts
from hostcheck.host import Host, NotApplicable, Unavailable

T = TypeVar("T")


def _try(function: Callable[[], T]) -> T | None:
    """Return what the function returns, None where this host cannot say; a header never fails."""
    try:
        return function()
    except (Unavailable, NotApplicable, OSError, ValueError):
        return None


def _kernel(host: Host) -> str | None:
    if host.kind == "live":
        return _try(lambda: boot.running_release(host))
    return _try(lambda: host.fact(boot.boot).release)


def _cgroup(host: Host) -> str | None:
    mode = _try(lambda: host.fact(cgroup.mode))
    if mode is None:
        return None
    return mode.now if host.kind == "live" else mode.boot


def _version(host: Host, tool: str) -> str | None:
    found = _try(lambda: versions.found_tool(host, tool))
    return str(found) if found else None


def summary(host: Host) -> dict[str, object]:
    """Return kind, name, os, kernel, cgroup mode, engines with their versions, stage and storage driver.

    Of a recording, also that it is one.
    """
    stage = _try(lambda: engine.stage(host))
    engines: dict[str, str | None] = {}
    tools: tuple[tuple[str, str], ...] = ()
    if stage == "installed":
        tools = (("dockerd", "docker"), ("containerd", "containerd"), ("runc", "runc"))
    elif "podman" in (_try(lambda: engine.installed(host)) or ()):
        tools = (("podman", "podman"), ("crun", "crun"), ("runc", "runc"))
    for tool, name in tools:
        found = _version(host, tool)
        if found is not None:
            engines[name] = found
    release = _try(lambda: host.fact(os_facts.os_release))
    about: dict[str, object] = {
        "kind": host.kind,
        "name": host.name,
        "os": release.pretty if release else None,
        "kernel": _kernel(host),
        "cgroup": _cgroup(host),
        "stage": stage,
        "engines": engines,
        "storage_driver": _try(lambda: host.fact(storage.driver).name),
    }
    if host.recording:
        about["recording"] = True
    return about
