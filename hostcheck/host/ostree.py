"""The root of an ostree system (Fedora CoreOS, image mode, bootc): a deployment below the root of its disk.

Source: ostree, docs/manual/deployment.md and src/switchroot/ostree-prepare-root.c.
"""

from __future__ import annotations

import posixpath
import re

from hostcheck._typing import Any
from hostcheck.host import Host, NoTarget, Unavailable

DEPLOY = "/ostree/deploy"
ENTRIES = "/boot/loader/entries"

_VERSION = re.compile(r"^version\s+(\d+)", re.MULTILINE)
_NAMED = re.compile(r"^options\s.*?\bostree=(/\S+)", re.MULTILINE)
_PLACE = re.compile(rf"({DEPLOY}/[^/]+)/deploy/[^/]+")

ENTRY_LIMIT = 64 << 10
"""Bytes of a boot entry."""


class Below:
    """A folder of a dissect file system, as a file system of its own."""

    def __init__(self, files: Any, folder: str) -> None:
        """Take the file system, and the folder by its path there, which has no link in it."""
        self.files = files
        self.folder = folder
        self.__type__ = files.__type__

    def get(self, path: str) -> Any:
        """Return the entry at a path."""
        return self.files.get(f"{self.folder}/{path.lstrip('/')}".rstrip("/"))


def deployment(host: Host) -> tuple[str, str]:
    """Return where the deployment that boots lies, and where its /var does, on a disk whose /boot is in its place.

    Raises:
        NoTarget: several lie there, and no boot entry names one.

    """
    place = _named(host)
    if place is None:
        all_ = sorted(_all(host))
        if len(all_) != 1:
            raise NoTarget(
                f"{host.name} has {len(all_)} deployments of ostree, and {ENTRIES} names none of them"
            )
        place = all_[0]
    match = _PLACE.fullmatch(place)
    return place, f"{match[1] if match else posixpath.dirname(place)}/var"


def _named(host: Host) -> str | None:
    """Return the deployment of the entry that comes first in the menu, the one of the highest version."""
    found: dict[int, str] = {}
    for name in _names(host, ENTRIES):
        try:
            text = host.read_bytes(f"{ENTRIES}/{name}", ENTRY_LIMIT).decode("utf-8", "replace")
        except (OSError, Unavailable):
            continue
        link, version = _NAMED.search(text), _VERSION.search(text)
        place = host.resolve(link[1]) if link else ""
        if _PLACE.fullmatch(place) and host.exists(place):
            found[int(version[1]) if version else 0] = place
    return found[max(found)] if found else None


def _all(host: Host) -> list[str]:
    return [
        f"{DEPLOY}/{group}/deploy/{name}"
        for group in _names(host, DEPLOY)
        for name in _names(host, f"{DEPLOY}/{group}/deploy")
        if not name.endswith(".origin")
    ]


def _names(host: Host, folder: str) -> tuple[str, ...]:
    try:
        return host.names(folder)
    except (OSError, Unavailable):
        return ()
