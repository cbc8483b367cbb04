"""A machine at rest: its files alone, in a folder (here) or in an image file (layers.py, disk.py)."""

from __future__ import annotations

import os
from abc import abstractmethod

from hostcheck.host import READ_LIMIT, Completed, DiskUsage, FileStat, Host, Unavailable, resolve_links
from hostcheck.host.live import list_names, read_regular, stat_file

VOLATILE = ("/proc", "/sys", "/run", "/dev")
"""Folders whose content is made at boot. What a tree holds there is not what the machine will have."""


class RestingHost(Host):
    """A machine that is not running. Links are followed inside it, nothing of it is executed, it has no present.

    A subclass answers for places: absolute paths without a link in them (but the last part may be one), none
    of them volatile. `shown` is the path that was asked for, for messages.
    """

    volatile: tuple[str, ...] = VOLATILE

    def __init__(self, name: str) -> None:
        """Take the name that a reader knows it by."""
        super().__init__()
        self.name = name
        self._links: dict[str, str | None] = {}
        self._folders: dict[str, str] = {}

    @abstractmethod
    def _read(self, place: str, shown: str, limit: int, offset: int) -> bytes:
        """Return bytes as `Host.read_bytes` does."""

    @abstractmethod
    def _list(self, place: str, shown: str) -> tuple[str, ...]:
        """Return names as `Host.names` does."""

    @abstractmethod
    def _lstat(self, place: str, shown: str) -> FileStat:
        """Return what lstat(2) says."""

    @abstractmethod
    def _link(self, place: str) -> str | None:
        """Return the text of a link, None if there is no link."""

    def _link_text(self, path: str) -> str | None:
        if path not in self._links:
            self._links[path] = self._link(path)
        return self._links[path]

    def _folder(self, path: str) -> str:
        """Return where a folder lies, the root as an empty text. Most paths share theirs with others."""
        if path not in self._folders:
            self._folders[path] = resolve_links(path, self._link_text).rstrip("/")
        return self._folders[path]

    def _place(self, path: str, follow: bool = True) -> str:
        """Return where `path` lies, every link resolved inside the tree."""
        folder, _, base = (path if follow else path.rstrip("/")).rpartition("/")
        inside = f"{self._folder(folder)}/{base}"
        if follow and (base in ("", ".", "..") or self._link_text(inside) is not None):
            inside = resolve_links(path, self._link_text)
        for top in self.volatile:
            if inside.startswith(top) and inside[len(top) :][:1] in ("", "/"):
                raise Unavailable(f"{path} exists only on a running host")
        return inside

    def read_bytes(self, path: str, limit: int = READ_LIMIT, offset: int = 0) -> bytes:
        """See `Host.read_bytes`."""
        return self._read(self._place(path), path, limit, offset)

    def names(self, path: str) -> tuple[str, ...]:
        """See `Host.names`."""
        return self._once(("names", path), lambda: self._list(self._place(path), path))

    def stat(self, path: str, follow: bool = True) -> FileStat:
        """See `Host.stat`."""
        return self._once(("stat", path, follow), lambda: self._lstat(self._place(path, follow), path))

    def readlink(self, path: str) -> str:
        """See `Host.readlink`."""
        place = self._place(path, follow=False)
        text = self._link_text(place)
        if text is None:
            self._lstat(place, path)
            raise OSError(f"{path} is no link")
        return text

    def run(self, *argv: str) -> Completed:
        """Refuse: nothing of an image is ever executed."""
        raise Unavailable(f"{argv[0]} cannot be asked: this host is not running")

    def disk_usage(self, path: str) -> DiskUsage:
        """Refuse: the room depends on the disk that the tree will be deployed to."""
        raise Unavailable("free space depends on the disk that this will be deployed to")

    def pids(self, name: str) -> tuple[int, ...]:
        """Refuse: nothing runs."""
        raise Unavailable(f"no process {name}: this host is not running")


class RootHost(RestingHost):
    """A machine's root folder, unpacked: an image that has never booted, or a mounted disk."""

    kind = "root"

    def __init__(self, root: str, name: str = "") -> None:
        """Take the folder `root` as `/`.

        Raises:
            NotADirectoryError: it is no folder.

        """
        super().__init__(name or root)
        if not os.path.isdir(root):
            raise NotADirectoryError(f"{root} is not a folder")
        self.root = os.path.realpath(root)

    def _link(self, place: str) -> str | None:
        try:
            return os.readlink(self.root + place)
        except (OSError, ValueError):
            return None

    def _read(self, place: str, shown: str, limit: int, offset: int) -> bytes:
        return read_regular(self.root + place, shown, limit, offset, os.O_NOFOLLOW)

    def _list(self, place: str, shown: str) -> tuple[str, ...]:
        return list_names(self.root + place, shown)

    def _lstat(self, place: str, shown: str) -> FileStat:
        return stat_file(self.root + place, shown, follow=False)
