"""A machine's root folder, unpacked: an image that has never booted, or a mounted disk."""

from __future__ import annotations

import os

from hostcheck.host import READ_LIMIT, Completed, DiskUsage, FileStat, Host, Unavailable, resolve_links
from hostcheck.host.live import list_names, read_regular, stat_file

VOLATILE = ("/proc", "/sys", "/run", "/dev")
"""Folders whose content is made at boot. What a tree holds there is not what the machine will have."""


class RootHost(Host):
    """A root tree. Links are followed inside it, nothing in it is executed, and it has no present."""

    kind = "root"

    def __init__(self, root: str, name: str = "") -> None:
        """Take the folder `root` as `/`.

        Raises:
            NotADirectoryError: it is no folder.

        """
        super().__init__()
        if not os.path.isdir(root):
            raise NotADirectoryError(f"{root} is not a folder")
        self.root = os.path.realpath(root)
        self.name = name or root
        self._links: dict[str, str | None] = {}

    def _link_text(self, path: str) -> str | None:
        if path not in self._links:
            try:
                self._links[path] = os.readlink(self.root + path)
            except (OSError, ValueError):
                self._links[path] = None
        return self._links[path]

    def _real(self, path: str, follow: bool = True) -> str:
        """Return where `path` lies on this machine, every link resolved inside the tree."""
        if follow:
            inside = resolve_links(path, self._link_text)
        else:
            folder, base = os.path.split(path.rstrip("/"))
            inside = os.path.join(resolve_links(folder, self._link_text), base)
        for top in VOLATILE:
            if inside == top or inside.startswith(top + "/"):
                raise Unavailable(f"{path} exists only on a running host")
        return self.root + inside

    def read_bytes(self, path: str, limit: int = READ_LIMIT, offset: int = 0) -> bytes:
        """See `Host.read_bytes`."""
        return read_regular(self._real(path), path, limit, offset, os.O_NOFOLLOW)

    def names(self, path: str) -> tuple[str, ...]:
        """See `Host.names`."""
        return list_names(self._real(path), path)

    def stat(self, path: str, follow: bool = True) -> FileStat:
        """See `Host.stat`."""
        return stat_file(self._real(path, follow), path, follow=False)

    def readlink(self, path: str) -> str:
        """See `Host.readlink`."""
        return os.readlink(self._real(path, follow=False))

    def resolve(self, path: str) -> str:
        """See `Host.resolve`."""
        return resolve_links(path, self._link_text)

    def run(self, *argv: str) -> Completed:
        """Refuse: nothing of an image is ever executed."""
        raise Unavailable(f"{argv[0]} cannot be asked: this host is not running")

    def disk_usage(self, path: str) -> DiskUsage:
        """Refuse: the room depends on the disk that the tree will be deployed to."""
        raise Unavailable("free space depends on the disk that this will be deployed to")

    def pids(self, name: str) -> tuple[int, ...]:
        """Refuse: nothing runs."""
        raise Unavailable(f"no process {name}: this host is not running")
