"""Plugins of dockerd: those that it manages itself, and those that register themselves by a file."""

from __future__ import annotations

from hostcheck._typing import Optional
from hostcheck.facts.files import names, text
from hostcheck.host import Host, Unavailable

SOCKETS = "/run/docker/plugins"
SPECS = ("/etc/docker/plugins", "/usr/lib/docker/plugins")
"""Where dockerd looks for plugins that register themselves (pkg/plugins/discovery.go of moby)."""

MANY = 100
"""Managed plugins that are looked at."""


def plugin(host: Host, name: str, data_root: str) -> Optional[str]:
    """Return the path of what makes a plugin known to dockerd, None if nothing does.

    Raises:
        PermissionError, Unavailable: it may be there, and cannot be seen. A tree has no sockets, so that only
            the files of a plugin tell there.

    """
    if "/" not in name:
        for folder in SPECS:
            for place in (f"{folder}/{name}", f"{folder}/{name}/{name}"):
                for path in (f"{place}.spec", f"{place}.json"):
                    if host.exists(path):
                        return path
    found = _managed(host, name, f"{data_root}/plugins")
    if found or "/" in name:
        return found
    for path in (f"{SOCKETS}/{name}.sock", f"{SOCKETS}/{name}/{name}.sock"):
        if host.exists(path):
            return path
    return None


def _managed(host: Host, name: str, folder: str) -> Optional[str]:
    """Return the configuration of a plugin that `docker plugin install` has put in place, enabled."""
    import json  # few hosts have plugins

    wanted = {name, f"{name}:latest"}
    for entry in names(host, folder)[:MANY]:
        path = f"{folder}/{entry}/config.json"
        try:
            read = json.loads(text(host, path) or "{}")
        except (NotADirectoryError, ValueError, RecursionError):
            continue
        known = read.get("plugin") if isinstance(read, dict) else None
        if isinstance(known, dict) and known.get("Name") in wanted and known.get("Enabled") is not False:
            return path
    return None


def has_plugin(host: Host, name: str, data_root: str) -> Optional[bool]:
    """Return whether dockerd finds a plugin; None where that cannot be told."""
    try:
        return plugin(host, name, data_root) is not None
    except (OSError, Unavailable):
        return None
