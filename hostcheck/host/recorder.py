"""Keep every question that is asked of a host, with its answer, as a recording."""

from __future__ import annotations

import json
import os
import posixpath
import re
import stat as stat_module
import time
from collections.abc import Iterator

from hostcheck._typing import Callable, TypeVar, Union
from hostcheck.host import READ_LIMIT, Completed, DiskUsage, FileStat, Host, Unavailable, resolve_links
from hostcheck.host._redact import NEVER, redact
from hostcheck.host.recorded import ABSENT, DENIED, TYPES, UNAVAILABLE
from hostcheck.host.root import VOLATILE

T = TypeVar("T")

_TYPE_NAMES = {bits: name for name, bits in TYPES.items()}


class Kept:
    """What was learned of one path, every link in it followed."""

    __slots__ = ("asked", "end", "errors", "names", "pieces", "stat")

    def __init__(self, asked: str) -> None:
        """Start with nothing; `asked` is the path as it was named first."""
        self.asked = asked
        self.stat: FileStat | None = None
        self.names: tuple[str, ...] | None = None
        self.pieces: dict[int, bytes] = {}
        self.end = False
        """Whether a read came to the file's end."""
        self.errors: dict[str, Exception] = {}

    def merged(self) -> list[tuple[int, bytes]]:
        """Return the pieces that were read, those that touch joined."""
        found: list[tuple[int, bytes]] = []
        for start in sorted(self.pieces):
            data = self.pieces[start]
            if found and start <= found[-1][0] + len(found[-1][1]):
                before, head = found[-1]
                if start + len(data) > before + len(head):
                    found[-1] = (before, head[: start - before] + data)
            else:
                found.append((start, data))
        return found

    @property
    def whole(self) -> bool:
        """Whether the file was read from its beginning to its end."""
        merged = self.merged()
        if len(merged) != 1 or merged[0][0]:
            return False
        return self.end or (self.stat is not None and 0 < self.stat.size == len(merged[0][1]))


class RecordingHost(Host):
    """A host that keeps what it is asked. It asks the host inside once, and gives the same answer ever after."""

    def __init__(self, inside: Host) -> None:
        """Record what is asked of the host `inside`."""
        super().__init__()
        self.inside = inside
        self.kind = inside.kind
        self.name = inside.name
        self.recording = inside.recording
        self.written_by_hand = inside.written_by_hand
        self.assumptions.update(inside.assumptions)
        self.began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.kept: dict[str, Kept] = {}
        self.links: dict[str, str | None] = {}
        self.commands: dict[tuple[str, ...], Union[Completed, Exception]] = {}
        self.usage: dict[str, Union[DiskUsage, Exception]] = {}
        self.processes: dict[str, tuple[int, ...]] = {}

    def forget_facts(self) -> None:
        """Forget what facts made of the answers, not the answers: for a run under other assumptions."""
        self._facts.clear()

    def _link_text(self, path: str) -> str | None:
        if path not in self.links:
            self.links[path] = self.inside._link_text(path)
        return self.links[path]

    def _at(self, path: str, follow: bool = True) -> Kept:
        """Return what is kept of the path that `path` leads to; the first time, with what it is."""
        if follow:
            place = resolve_links(path, self._link_text)
        else:
            folder, base = posixpath.split(path.rstrip("/"))
            place = posixpath.join(resolve_links(folder or "/", self._link_text), base)
            self._link_text(place)
        if place not in self.kept:
            kept = self.kept[place] = Kept(path)
            try:
                kept.stat = self.inside.stat(path, follow)
            except (OSError, Unavailable) as error:
                kept.errors["stat"] = error
        return self.kept[place]

    def _keep(self, question: str, path: str, ask: Callable[[], T], keep: Callable[[Kept, T], None]) -> T:
        kept = self._at(path)
        try:
            answer = ask()
        except (OSError, Unavailable) as error:
            kept.errors[question] = error
            raise
        keep(kept, answer)
        return answer

    def read_bytes(self, path: str, limit: int = READ_LIMIT, offset: int = 0) -> bytes:
        """See `Host.read_bytes`."""

        def keep(kept: Kept, data: bytes) -> None:
            if len(data) >= len(kept.pieces.get(offset, b"")):
                kept.pieces[offset] = data
            kept.end = kept.end or len(data) < limit

        def ask() -> bytes:
            return self._keep("read", path, lambda: self.inside.read_bytes(path, limit, offset), keep)

        return self._once(("read", path, limit, offset), ask)

    def names(self, path: str) -> tuple[str, ...]:
        """See `Host.names`."""

        def keep(kept: Kept, names: tuple[str, ...]) -> None:
            kept.names = names

        return self._once(
            ("names", path), lambda: self._keep("names", path, lambda: self.inside.names(path), keep)
        )

    def stat(self, path: str, follow: bool = True) -> FileStat:
        """See `Host.stat`."""

        def ask() -> FileStat:
            kept = self._at(path, follow)
            if kept.stat is not None:
                return kept.stat
            return self.inside.stat(path, follow)

        return self._once(("stat", path, follow), ask)

    def readlink(self, path: str) -> str:
        """See `Host.readlink`."""

        def ask() -> str:
            self._at(path, follow=False)
            return self.inside.readlink(path)

        return self._once(("readlink", path), ask)

    def run(self, *argv: str) -> Completed:
        """See `Host.run`."""

        def ask() -> Completed:
            try:
                self.commands[argv] = done = self.inside.run(*argv)
            except (OSError, Unavailable) as error:
                self.commands[argv] = error
                raise
            return done

        return self._once(("run", *argv), ask)

    def disk_usage(self, path: str) -> DiskUsage:
        """See `Host.disk_usage`."""

        def ask() -> DiskUsage:
            try:
                self.usage[path] = found = self.inside.disk_usage(path)
            except (OSError, Unavailable) as error:
                self.usage[path] = error
                raise
            return found

        return self._once(("disk_usage", path), ask)

    def pids(self, name: str) -> tuple[int, ...]:
        """See `Host.pids`."""

        def ask() -> tuple[int, ...]:
            self.processes[name] = found = self.inside.pids(name)
            return found

        return self._once(("pids", name), ask)

    def today(self) -> str:
        """See `Host.today`."""
        return self.assumptions.get("date") or self.inside.today()

    def documents(self, version: str) -> dict[str, object]:
        """Return the four JSON files of the recording by their names; `version` is hostcheck's."""
        about: dict[str, object] = {
            "kind": self.kind,
            "name": self.name,
            "release": self._release(),
            "time": self.began if not self.recording else self.today(),
            "hostcheck": version,
            "pids": self.processes,
            "disk_usage": {
                path: _failure(said, path) if isinstance(said, Exception) else said._asdict()
                for path, said in sorted(self.usage.items())
            },
        }
        links = {path: text for path, text in sorted(self.links.items()) if text is not None}
        commands = [_command(argv, said) for argv, said in self.commands.items()]
        return {
            "host.json": about,
            "links.json": links,
            "stat.json": self._stats(links),
            "commands.json": commands,
        }

    def _release(self) -> str | None:
        try:
            return self.read("/proc/sys/kernel/osrelease").strip()
        except (OSError, Unavailable):
            return None

    def _stats(self, links: dict[str, str]) -> dict[str, object]:
        listed = {posixpath.split(path) for path in (*self.kept, *links)}
        rows: dict[str, object] = {}
        for path, kept in self.kept.items():
            if self.kind == "live" or not _volatile(path):
                rows[path] = _row(path, kept, listed)
        for path in [*self.folders(), *(posixpath.dirname(path) for path in links)]:
            # A folder of which only some of the content was asked: what is not here is not thereby absent.
            while path not in rows:
                rows[path] = {"partial": True}
                path = posixpath.dirname(path)
        return dict(sorted(rows.items()))

    def folders(self) -> list[str]:
        """Return the folders that root/ has, in order."""
        found = {"/"}
        for path, kept in self.kept.items():
            folder = path if kept.names is not None else posixpath.dirname(path) if kept.pieces else "/"
            while folder not in found:
                found.add(folder)
                folder = posixpath.dirname(folder)
        return sorted(found)

    def contents(self) -> Iterator[tuple[str, bytes]]:
        """Yield the files that root/ has, redacted, in order."""
        for path, kept in sorted(self.kept.items()):
            if kept.pieces:
                data = b"".join(data for _start, data in kept.merged())
                yield path, redact(path, data) if kept.whole or re.match(NEVER, path) else data


def _volatile(path: str) -> bool:
    return any(path == top or path.startswith(top + "/") for top in VOLATILE)


def _row(path: str, kept: Kept, listed: set[tuple[str, str]]) -> object:
    """Return what stat.json says of a path."""
    row: dict[str, object] = {}
    if kept.stat is not None:
        row["type"] = _TYPE_NAMES.get(stat_module.S_IFMT(kept.stat.mode), "file")
        row["mode"] = f"{stat_module.S_IMODE(kept.stat.mode):04o}"
        row.update((name, getattr(kept.stat, name)) for name in ("uid", "gid") if getattr(kept.stat, name))
        if kept.stat.is_file:
            row["size"] = kept.stat.size
    if kept.names is not None:
        # Those that are known to be there without this.
        row["names"] = [name for name in kept.names if (path, name) not in listed]
    elif kept.stat is not None and kept.stat.is_dir:
        row["partial"] = True
    if kept.pieces:
        row["read"] = True if kept.whole else [[start, len(data)] for start, data in kept.merged()]
    errors = {question: _failure(error, kept.asked) for question, error in kept.errors.items()}
    looked = errors.get("stat", "")
    # Nothing can be had of what cannot even be looked at.
    if not row and (looked in (ABSENT, DENIED) or set(errors.values()) == {looked}):
        return looked
    if errors:
        row["errors"] = errors
    return row


def _failure(error: Exception, path: str) -> str:
    """Return the text that stands for an exception; what is said of every path in the same words is left out."""
    text = str(error)
    if isinstance(error, FileNotFoundError):
        usual = {f"{path} does not exist", f"{path} is not a folder", f"no program {path}"}
        return ABSENT if text in usual else f"{ABSENT}: {text.replace(path, '{path}')}"
    if isinstance(error, PermissionError):
        return DENIED if text == f"{path}: permission denied" else f"{DENIED}: {text.replace(path, '{path}')}"
    return f"{UNAVAILABLE}: {text.replace(path, '{path}')}"


def _command(argv: tuple[str, ...], said: Union[Completed, Exception]) -> dict[str, object]:
    row: dict[str, object] = {"argv": list(argv)}
    if isinstance(said, Exception):
        row["error"] = _failure(said, argv[0])
        return row
    row["exit"] = said.code
    for name, text in (("stdout", said.out), ("stderr", said.err)):
        row[name] = redact(" ".join(argv), text.encode("utf-8", "replace")).decode("utf-8", "replace")
    return row


def is_archive(path: str) -> bool:
    """Return whether a recording of that name is to be an archive."""
    return path.endswith((".tar.gz", ".tgz"))


def save(host: RecordingHost, path: str, version: str) -> None:
    """Write a recording, readable by its owner alone, as an archive or as a folder by its name.

    Raises:
        FileExistsError: there is something of that name.
        OSError: it cannot be written.

    """
    files = [
        (name, json.dumps(document, indent=1).encode() + b"\n")
        for name, document in host.documents(version).items()
    ]
    folders = ["root" + folder.rstrip("/") for folder in host.folders()]
    files += [("root" + name, data) for name, data in host.contents()]
    if is_archive(path):
        _save_archive(path, folders, files)
    else:
        _save_folder(path, folders, files)


def _create(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _save_folder(path: str, folders: list[str], files: list[tuple[str, bytes]]) -> None:
    os.mkdir(path, 0o700)
    for folder in folders:
        os.mkdir(os.path.join(path, folder), 0o700)
    for name, data in files:
        with os.fdopen(_create(os.path.join(path, name)), "wb") as file:
            file.write(data)


def _save_archive(path: str, folders: list[str], files: list[tuple[str, bytes]]) -> None:
    # Imported here: 10 ms that only an archive needs.
    import io
    import tarfile

    try:
        with os.fdopen(_create(path), "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
            for name, data in [*((name, None) for name in folders), *files]:
                member = tarfile.TarInfo(name)
                member.mtime = int(time.time())
                if data is None:
                    member.type, member.mode = tarfile.DIRTYPE, 0o700
                    archive.addfile(member)
                else:
                    member.mode, member.size = 0o600, len(data)
                    archive.addfile(member, io.BytesIO(data))
    except FileExistsError:
        raise
    except BaseException:
        os.unlink(path)
        raise
