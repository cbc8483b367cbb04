"""A host made of literals, for the tests of checks and facts; public, for plugin authors too."""

from __future__ import annotations

import posixpath
import stat as stat_module
from collections.abc import Mapping

from hostcheck._typing import Union
from hostcheck.check import Check
from hostcheck.finding import Result
from hostcheck.host import READ_LIMIT, Completed, DiskUsage, FileStat, Host, Unavailable, resolve_links
from hostcheck.host.root import VOLATILE
from hostcheck.runner import Configured, run_one

Content = Union[str, bytes, Exception]


class FakeHost(Host):
    """A host made of literals.

    `files` maps a path to its content, or to the exception that reading it raises; folders come into
    being around them. A text `-> /target` is a symbolic link. A path that ends in `/` is an empty folder.
    `modes` sets permission bits that are not 0o644 (0o755 for what begins with an ELF magic or `#!`).
    A `kind` of `root` makes /proc, /sys, /run and /dev unavailable, as in an unpacked image.
    """

    def __init__(
        self,
        files: Mapping[str, Content] | None = None,
        *,
        kind: str = "live",
        commands: Mapping[tuple[str, ...], str | Completed | Exception] | None = None,
        modes: Mapping[str, int] | None = None,
        usage: Mapping[str, DiskUsage] | None = None,
        pids: Mapping[str, tuple[int, ...]] | None = None,
        assumptions: Mapping[str, str] | None = None,
    ) -> None:
        """Lay down the literals; a command's text is what it prints, with exit code 0."""
        super().__init__()
        self.kind = kind
        self.name = "fake"
        self.files: dict[str, Content] = {}
        self.links: dict[str, str] = {}
        self.folders: set[str] = {"/"}
        self.commands = dict(commands or {})
        self.modes = dict(modes or {})
        self.usage = dict(usage or {})
        self.processes = dict(pids or {})
        self.assumptions.update(assumptions or {})
        for path, content in (files or {}).items():
            if path.endswith("/"):
                self.folders.add(path.rstrip("/"))
            elif isinstance(content, str) and content.startswith("-> "):
                self.links[path] = content[3:].strip()
            else:
                self.files[path] = content
            folder = posixpath.dirname(path.rstrip("/"))
            while folder not in self.folders:
                self.folders.add(folder)
                folder = posixpath.dirname(folder)

    def _link_text(self, path: str) -> str | None:
        return self.links.get(path)

    def _at(self, path: str, follow: bool = True) -> str:
        inside = resolve_links(path, self._link_text)
        if not follow:
            folder, base = posixpath.split(path.rstrip("/"))
            inside = posixpath.join(resolve_links(folder, self._link_text), base)
        if self.kind != "live" and any(inside == top or inside.startswith(top + "/") for top in VOLATILE):
            raise Unavailable(f"{path} exists only on a running host")
        return inside

    def read_bytes(self, path: str, limit: int = READ_LIMIT, offset: int = 0) -> bytes:
        """See `Host.read_bytes`."""
        inside = self._at(path)
        if inside in self.folders:
            raise Unavailable(f"{path} is not a regular file")
        if inside not in self.files:
            raise FileNotFoundError(f"{path} does not exist")
        content = self.files[inside]
        if isinstance(content, Exception):
            raise content
        data = content.encode() if isinstance(content, str) else content
        return data[offset : offset + limit]

    def names(self, path: str) -> tuple[str, ...]:
        """See `Host.names`."""
        inside = self._at(path)
        if inside not in self.folders:
            raise FileNotFoundError(f"{path} is not a folder")
        everything = [*self.files, *self.links, *self.folders - {"/"}]
        return tuple(sorted(posixpath.basename(p) for p in everything if posixpath.dirname(p) == inside))

    def stat(self, path: str, follow: bool = True) -> FileStat:
        """See `Host.stat`."""
        inside = self._at(path, follow)
        if not follow and inside in self.links:
            return FileStat(stat_module.S_IFLNK | 0o777, 0, 0, 0)
        if inside in self.folders:
            return FileStat(stat_module.S_IFDIR | self.modes.get(inside, 0o755), 0, 0, 0)
        if inside not in self.files:
            raise FileNotFoundError(f"{path} does not exist")
        content = self.files[inside]
        if isinstance(content, Exception):
            return FileStat(stat_module.S_IFREG | self.modes.get(inside, 0o644), 0, 0, 0)
        data = content.encode() if isinstance(content, str) else content
        program = data.startswith((b"\x7fELF", b"#!"))
        mode = self.modes.get(inside, 0o755 if program else 0o644)
        return FileStat(stat_module.S_IFREG | mode, 0, 0, len(data))

    def readlink(self, path: str) -> str:
        """See `Host.readlink`."""
        inside = self._at(path, follow=False)
        if inside not in self.links:
            raise OSError(22, f"{path} is not a link")
        return self.links[inside]

    def run(self, *argv: str) -> Completed:
        """See `Host.run`; a command that was not laid down is a program that is not there."""
        if self.kind != "live":
            raise Unavailable(f"{argv[0]} cannot be asked: this host is not running")
        if argv not in self.commands:
            raise FileNotFoundError(f"no program {argv[0]}")
        answer = self.commands[argv]
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, Completed) else Completed(argv, 0, answer, "")

    def disk_usage(self, path: str) -> DiskUsage:
        """See `Host.disk_usage`; the longest path that was laid down and holds this one counts."""
        if self.kind != "live":
            raise Unavailable("free space depends on the disk that this will be deployed to")
        if not self.exists(path):
            raise FileNotFoundError(f"{path} does not exist")
        for known in sorted(self.usage, key=len, reverse=True):
            if path == known or path.startswith(known.rstrip("/") + "/"):
                return self.usage[known]
        raise Unavailable(f"no usage of {path} was laid down")

    def pids(self, name: str) -> tuple[int, ...]:
        """See `Host.pids`."""
        if self.kind != "live":
            raise Unavailable(f"no process {name}: this host is not running")
        return self.processes.get(name, ())


def ask(check: type[Check], host: Host, date: object = "", **parameters: object) -> Result:
    """Run one check on a host, as the runner does; on that day (ISO 8601), if one is given."""
    if date:
        host.assumptions["date"] = str(date)
    return run_one(Configured(check(**parameters)), host)
