"""A host made of literals, for the tests of checks and facts; public, for plugin authors too."""

from __future__ import annotations

import posixpath
import stat as stat_module
from collections.abc import Mapping

from hostcheck._typing import TYPE_CHECKING, Any, Union
from hostcheck.check import Check
from hostcheck.finding import Result
from hostcheck.host import READ_LIMIT, Completed, DiskUsage, FileStat, Host, Unavailable, resolve_links
from hostcheck.host.root import VOLATILE
from hostcheck.runner import Configured, run_one

if TYPE_CHECKING:
    from hostcheck.host.said import Said

Content = Union[str, bytes, Exception]


class FakeHost(Host):
    """A host made of literals.

    `files` maps a path to its content, or to the exception that reading it raises; folders come into
    being around them. A text `-> /target` is a symbolic link. A path that ends in `/` is an empty folder.
    What `commands` print counts beyond their own answer where a person would type them to look at files (`cat`, `df`,
    `sysctl`, `systemctl cat`; see docs/recordings.md), whatever path their program has.
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
        # What its commands print was written down: nothing is asked of a machine, and nothing can be loaded by asking.
        self.recording = self.written_by_hand = True
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

        self._said: Said | None = None
        self._lay_typed()

    def _lay_typed(self) -> None:
        """Take what a person would type, as a recording written by hand does (docs/recordings.md)."""
        both = {"/proc/self/mountinfo"} & set(self.files) and {"/proc/mounts", "/proc/self/mounts"} & set(
            self.files
        )
        if not self.commands and not both:
            return
        # Imported here: few tests write commands down.
        from hostcheck.host import typed

        answers = {
            argv: Completed(argv, 0, said, "") if isinstance(said, str) else said
            for argv, said in self.commands.items()
        }
        said = self._said = typed.told(answers, self._text)
        for path, entry in said.entries.items():
            self._lay_entry(self._place(path), entry)
        for path, text in said.files.items():
            # A file of /lib lies in /usr/lib, where that is a link; and a link shows what it leads to.
            place = resolve_links(path, self._link_text)
            self._lay_entry(place, {"type": "file"})
            self.files[place] = text
        for path, target in said.links.items():
            self._lay_entry(path, {"type": "link"})
            self.files.pop(path, None)
            self.links[path] = target
        for path in [path for path in self.files if said.lacks(path)]:
            del self.files[path]
        for path, room in said.usage.items():
            before = self._usage_above(path)._asdict()
            self.usage[path] = DiskUsage(**{**before, **room})
        self.processes.update({name: tuple(sorted(numbers)) for name, numbers in said.pids.items()})
        for shorter in ("/proc/self/mounts", "/proc/mounts"):
            if self._text(shorter) and self._text("/proc/self/mountinfo"):
                self.files["/proc/self/mountinfo"] = typed.mountinfo(
                    self._text("/proc/self/mountinfo"), self._text(shorter)
                )

    def _place(self, path: str) -> str:
        folder, name = posixpath.split(path)
        return posixpath.join(resolve_links(folder, self._link_text), name)

    def _text(self, path: str) -> str:
        content = self.files.get(path, "")
        return content.decode("utf-8", "replace") if isinstance(content, bytes) else str(content)

    def _lay_entry(self, path: str, entry: Any) -> None:
        """Lay what stat.json would say of a path."""
        if entry == "absent":
            for held in (self.files, self.links):
                for each in [each for each in held if each == path or each.startswith(path + "/")]:
                    del held[each]
            self.folders = {each for each in self.folders if each != path and not each.startswith(path + "/")}
            return
        folder = path if entry.get("type") == "folder" else posixpath.dirname(path)
        while folder not in self.folders:
            self.folders.add(folder)
            folder = posixpath.dirname(folder)
        if entry.get("type") == "folder":
            self.files.pop(path, None)
            for name in entry.get("names", ()):
                if f"{path}/{name}" not in self.folders:
                    self.files.setdefault(f"{path}/{name}", "")
        elif path not in self.files and path not in self.links:
            self.files[path] = Unavailable(f"{path} was looked at, and not read")
        if "mode" in entry:
            self.modes[path] = int(entry["mode"], 8)

    def _usage_above(self, path: str) -> DiskUsage:
        while path not in self.usage and path != "/":
            path = posixpath.dirname(path)
        return self.usage.get(path, DiskUsage(0, 0, -1, -1))

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
        # Imported here: few checks ask for a command.
        from hostcheck.host import typed

        answer = typed.answered(argv, self.commands, self._said)
        if answer is None:
            raise FileNotFoundError(f"no program {argv[0]}")
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
