"""A recording of a machine: its questions and answers, kept as files; read whole, and never followed out of."""

from __future__ import annotations

import json
import os
import posixpath
import stat as stat_module
from collections.abc import Iterator, Sequence

from hostcheck._typing import TYPE_CHECKING, Any, Union
from hostcheck.host import READ_LIMIT, Completed, DiskUsage, FileStat, Host, Unavailable, resolve_links
from hostcheck.host.live import read_regular
from hostcheck.host.root import VOLATILE
from hostcheck.record import Record

if TYPE_CHECKING:
    from hostcheck.host.said import Said

ENTRIES_LIMIT = 200_000
"""Files, folders and links in one recording. A real one has about a thousand."""

ARCHIVE_LIMIT = 256 * 1024 * 1024
"""Bytes that an archive may unpack to, all of which are kept in memory. A real one has about 5 MiB."""

ABOUT = ("host.json", "stat.json", "links.json", "commands.json")

TYPES = {
    "file": stat_module.S_IFREG,
    "folder": stat_module.S_IFDIR,
    "link": stat_module.S_IFLNK,
    "fifo": stat_module.S_IFIFO,
    "socket": stat_module.S_IFSOCK,
    "character device": stat_module.S_IFCHR,
    "block device": stat_module.S_IFBLK,
}

ABSENT, DENIED, UNAVAILABLE = "absent", "denied", "unavailable"


class BadRecording(Exception):
    """A recording that cannot be used; the text says where it is wrong."""


class Kept(Record):
    """What `root/` holds at a path."""

    type: int
    """As the type bits of st_mode."""
    executable: bool = False
    data: bytes | None = None
    """A file's content, where it comes out of an archive."""
    real: str = ""
    """Where the file lies on this machine, otherwise."""
    link: str = ""
    """A symbolic link's text."""


_FOLDER = Kept(stat_module.S_IFDIR)


def is_recording(names: Sequence[str]) -> bool:
    """Return whether a folder with these names is a recording, and no root tree, whose `/root` is a home.

    >>> is_recording(["host.json", "root"]), is_recording(["root"]), is_recording(["etc", "root", "usr"])
    (True, True, False)
    """
    if "root" not in names:
        return False
    return bool(set(ABOUT) & set(names)) or not {"etc", "usr", "bin", "proc", "var"} & set(names)


class RecordedHost(Host):
    """A machine as it was when it was recorded. What was not asked then is `Unavailable`.

    docs/recordings.md says how it is laid out, and what of it decides.
    """

    def __init__(self, path: str) -> None:
        """Take the recording at `path`, a folder or a tar archive.

        Raises:
            BadRecording: it is none.
            OSError: it cannot be read.

        """
        super().__init__()
        self.recording = True
        kept, documents = _from_folder(path) if os.path.isdir(path) else _from_archive(path)
        about = _document(documents, "host.json", dict)
        self._links = _links(_document(documents, "links.json", dict))
        self._entries = _entries(_document(documents, "stat.json", dict))
        for word in (ABSENT, DENIED):
            self._entries.update((_normal(p), Entry(word)) for p in _strings(about, word, "host.json"))
        self._commands = _commands(_document(documents, "commands.json", list))
        self.written_by_hand = "hostcheck" not in about
        complete = about.get("complete", [])
        self._complete = ("/",) if complete is True else tuple(_strings(about, "complete", "host.json"))
        self._usage = _mapping(about, "disk_usage")
        self._pids = _mapping(about, "pids")
        self._said: Said | None = None
        self._lay_typed(kept)
        release = about.get("release")
        if isinstance(release, str) and release:
            self._commands.setdefault(("uname", "-r"), Completed(("uname", "-r"), 0, release + "\n", ""))
        self._kept = self._indexed(kept)
        self._children = self._listing()
        running = any(_inside(path, ("/proc", "/sys")) for path in self._kept)
        kind = about.get("kind")
        self.kind = kind if kind in ("live", "root", "image") else "live" if running else "root"
        self.name = str(about.get("name") or path)
        self._time = str(about.get("time") or "")

    def _lay_typed(self, kept: dict[str, Kept]) -> None:
        """Lay what a person typed, and mounts laid beside an older mountinfo, over what was recorded."""
        mounts = ("/proc/self/mounts", "/proc/mounts")
        infos = [path for path in ("/proc/self/mountinfo", "/proc/1/mountinfo") if path in kept]
        if not self._commands and not (infos and set(mounts) & set(kept)):
            return
        # Imported here: few recordings are written or changed by hand.
        from hostcheck.host import typed

        def read(path: str) -> str:
            try:
                return self._content(kept[path], path, 0, READ_LIMIT).decode("utf-8", "replace")
            except (KeyError, OSError, Unavailable):
                return ""

        said = self._said = typed.told(self._commands, read)
        for path, text in said.files.items():
            kept[_normal(path)] = Kept(stat_module.S_IFREG, data=text.encode())
            self._entries.pop(_normal(path), None)
        for path, entry in _entries(said.entries).items():
            there = kept.get(path)
            if there is None or entry.stat is None or stat_module.S_IFMT(entry.stat.mode) != there.type:
                kept.pop(path, None)
            if path not in kept or entry.stat is not None:
                self._entries[path] = entry
        for path, target in said.links.items():
            kept.pop(_normal(path), None)
            self._links[_normal(path)] = target
        for path in [path for path in kept if said.lacks(path)]:
            del kept[path]
            self._entries[path] = Entry(ABSENT)
        for path, room in said.usage.items():
            self._usage[path] = {**self._room_above(path), **room}
        self._pids.update(said.pids)
        for path, shorter in ((info, each) for info in infos for each in mounts if each in kept):
            kept[path] = Kept(stat_module.S_IFREG, data=typed.mountinfo(read(path), read(shorter)).encode())

    def _room_above(self, path: str) -> dict[str, Any]:
        """Return what is recorded of the room at a path or above it, in words; nothing where nothing is."""
        while path not in self._usage and path != "/":
            path = posixpath.dirname(path)
        said = self._usage.get(path, {})
        return dict(zip(DiskUsage._fields, said)) if isinstance(said, list) else dict(said) if said else {}

    def _indexed(self, kept: dict[str, Kept]) -> dict[str, Kept]:
        """Return what root/ holds by the path that every link leads to.

        What lies in root/ comes before links.json. A file laid down as /lib/x over a recording in which /lib is
        a link is the file that the link leads to, and comes before one that was recorded there.
        """
        for path, item in kept.items():
            if item.link:
                self._links[path] = item.link
            elif item.type != stat_module.S_IFDIR:
                self._links.pop(path, None)
        found: dict[str, Kept] = {"/": _FOLDER}
        aliases: list[tuple[str, Kept]] = []
        for path, item in kept.items():
            if item.link or path in self._links:
                continue
            try:
                folder = resolve_links(posixpath.dirname(path), self._links.get)
            except FileNotFoundError:
                continue
            place = posixpath.join(folder, posixpath.basename(path))
            if place == path:
                found[place] = item
            else:
                aliases.append((place, item))
        found.update(aliases)
        for path, entry in self._entries.items():
            if entry.is_folder:
                found.setdefault(path, _FOLDER)
        for path in [*found, *self._links]:
            folder = posixpath.dirname(path)
            while folder not in found:
                found[folder] = _FOLDER
                folder = posixpath.dirname(folder)
        return found

    def _listing(self) -> dict[str, set[str]]:
        """Return the names that are known in each folder."""
        children: dict[str, set[str]] = {}
        there = (path for path, entry in self._entries.items() if entry.exists)
        for path in (*self._kept, *self._links, *there):
            folder, name = posixpath.split(path)
            if name:
                children.setdefault(folder, set()).add(name)
        for path, entry in self._entries.items():
            children.setdefault(path, set()).update(entry.names or ())
        return children

    def _link_text(self, path: str) -> str | None:
        return self._links.get(path)

    def _at(self, path: str, follow: bool = True) -> str:
        """Return the path that `path` leads to, every link resolved inside the recording."""
        if follow:
            place = resolve_links(path, self._link_text)
        else:
            folder, base = posixpath.split(path.rstrip("/"))
            place = posixpath.join(resolve_links(folder or "/", self._link_text), base)
        if self.kind != "live" and _inside(place, VOLATILE):
            raise Unavailable(f"{path} exists only on a running host")
        return place

    def _missing(self, place: str, path: str) -> Exception:
        """Return what to raise for a path of which nothing was kept: whether that means absent, its folder says."""
        while place != "/":
            above = posixpath.dirname(place)
            entry, item = self._entries.get(above), self._kept.get(above)
            if item is None and entry is not None:
                return entry.failure("stat", path) or FileNotFoundError(f"{path} does not exist")
            if item is not None:
                listed = entry is not None and (entry.names is not None or entry.word == ABSENT)
                if listed or item.type != stat_module.S_IFDIR or _inside(above, self._complete):
                    return FileNotFoundError(f"{path} does not exist")
                if entry is not None or self._was_named(above):
                    break
                # A folder that was laid over the recording: the one above says whether there was one before.
            place = above
        return Unavailable(f"{path} was not asked when this was recorded")

    def _was_named(self, place: str) -> bool:
        """Return whether the listing of its folder, as it was recorded, has this name."""
        above = self._entries.get(posixpath.dirname(place))
        return above is not None and posixpath.basename(place) in (above.names or ())

    def read_bytes(self, path: str, limit: int = READ_LIMIT, offset: int = 0) -> bytes:
        """See `Host.read_bytes`."""
        place = self._at(path)
        item, entry = self._kept.get(place), self._entries.get(place)
        if item is None:
            raise self._failure(place, path, "read")
        if item.type != stat_module.S_IFREG:
            failure = entry.failure("read", path) if entry else None
            raise failure or Unavailable(f"{path} is not a regular file")
        pieces = entry.pieces if entry else ()
        if pieces:
            data = self._content(item, path, 0, READ_LIMIT)
            # A file of another length was laid over the recorded pieces, and is meant whole.
            if len(data) == sum(length for _start, length in pieces):
                return _piece(data, entry, path, offset, limit)
        data = self._content(item, path, offset, limit + 1 if limit == READ_LIMIT else limit)
        if limit == READ_LIMIT and len(data) > limit:
            raise Unavailable(f"{path} is larger than {limit >> 20} MiB")
        return data

    def _content(self, item: Kept, path: str, offset: int, limit: int) -> bytes:
        if item.data is not None:
            return item.data[offset : offset + limit]
        return read_regular(item.real, path, limit, offset, os.O_NOFOLLOW)

    def _failure(self, place: str, path: str, question: str) -> Exception:
        """Return what to raise where root/ holds nothing at `place`."""
        entry = self._entries.get(place)
        if entry is None:
            if self._was_named(place):
                return Unavailable(
                    f"{path} is known by its name only: it was not asked when this was recorded"
                )
            return self._missing(place, path)
        if entry.was_read:
            # Its content was taken out of root/ again.
            return FileNotFoundError(f"{path} does not exist")
        return entry.failure(question, path) or Unavailable(f"{path} was not read when this was recorded")

    def names(self, path: str) -> tuple[str, ...]:
        """See `Host.names`."""
        place = self._at(path)
        item, entry = self._kept.get(place), self._entries.get(place)
        if item is None:
            raise self._failure(place, path, "names")
        if item.type != stat_module.S_IFDIR:
            raise FileNotFoundError(f"{path} is not a folder")
        failure = entry.failure("names", path) if entry and entry.is_folder else None
        if failure:
            raise failure
        if entry and entry.partial and not _inside(place, self._complete):
            raise Unavailable(f"{path} was not listed when this was recorded")
        return tuple(sorted(self._children.get(place, ())))

    def stat(self, path: str, follow: bool = True) -> FileStat:
        """See `Host.stat`."""
        place = self._at(path, follow)
        entry = self._entries.get(place)
        if not follow and place in self._links:
            text = self._links[place]
            own = entry.stat if entry and entry.stat and entry.stat.is_link else None
            return own or FileStat(stat_module.S_IFLNK | 0o777, 0, 0, len(os.fsencode(text)))
        item = self._kept.get(place)
        if item is None:
            if entry and entry.stat and not entry.was_read:
                return entry.stat
            raise self._failure(place, path, "stat")
        if entry:
            if entry.stat and stat_module.S_IFMT(entry.stat.mode) == item.type:
                return entry.stat
            # A folder that root/ has only because of what lies in it was itself not asked.
            failure = entry.failure("stat", path) if entry.is_folder else None
            if failure:
                raise failure
        return self._plain_stat(item, path)

    def _plain_stat(self, item: Kept, path: str) -> FileStat:
        """Return what an untouched file of that kind has: root's, and readable for everybody."""
        if item.type != stat_module.S_IFREG:
            return FileStat(item.type | 0o755, 0, 0, 0)
        size = len(item.data) if item.data is not None else os.lstat(item.real).st_size
        program = item.executable or self._content(item, path, 0, 4).startswith((b"\x7fELF", b"#!"))
        return FileStat(item.type | (0o755 if program else 0o644), 0, 0, size)

    def readlink(self, path: str) -> str:
        """See `Host.readlink`."""
        place = self._at(path, follow=False)
        if place in self._links:
            return self._links[place]
        if place not in self._kept:
            failure = self._failure(place, path, "readlink")
            if isinstance(failure, (FileNotFoundError, PermissionError)):
                raise failure
        raise OSError(22, f"{path} is not a link")

    def run(self, *argv: str) -> Completed:
        """See `Host.run`. Nothing is run: the recorded answer is given."""
        if self.kind != "live":
            raise Unavailable(f"{argv[0]} cannot be asked: this host is not running")
        # Imported here: few checks ask for a command.
        from hostcheck.host import typed

        answer = typed.answered(argv, self._commands, self._said)
        if answer is None:
            raise Unavailable(f"`{' '.join(argv)}` was not asked when this was recorded")
        if isinstance(answer, str):
            raise failure_of(answer, argv[0], f"no program {argv[0]}")
        if isinstance(answer, Exception):
            raise answer
        return answer._replace(argv=argv)

    def disk_usage(self, path: str) -> DiskUsage:
        """See `Host.disk_usage`. What was said of a folder holds below it, up to the next mount point."""
        if self.kind != "live":
            raise Unavailable("free space depends on the disk that this will be deployed to")
        folder = path
        while folder not in self._usage:
            if folder == "/" or folder in self._mount_points():
                raise Unavailable(f"the room at {path} was not asked when this was recorded")
            folder = posixpath.dirname(folder)
        said = self._usage[folder]
        if isinstance(said, str):
            raise failure_of(said, path, f"{path} does not exist")
        fields = DiskUsage._fields
        values = (
            [said.get(name, -1 if "inodes" in name else 0) for name in fields]
            if isinstance(said, dict)
            else said
        )
        if not (isinstance(values, list) and len(values) == 4 and all(isinstance(v, int) for v in values)):
            raise Unavailable(
                f"host.json: disk_usage of {folder} is not the four numbers {', '.join(fields)}"
            )
        return DiskUsage(*values)

    def _mount_points(self) -> frozenset[str]:
        for table in ("/proc/self/mounts", "/proc/mounts"):
            try:
                return frozenset(line.split()[1] for line in self.read(table).splitlines() if " " in line)
            except (OSError, Unavailable):
                continue
        return frozenset()

    def pids(self, name: str) -> tuple[int, ...]:
        """See `Host.pids`. Where host.json says nothing, root/proc/<pid>/comm may."""
        if self.kind != "live":
            raise Unavailable(f"no process {name}: this host is not running")
        said = self._pids.get(name)
        if isinstance(said, list) and all(isinstance(pid, int) for pid in said):
            return tuple(sorted(said))
        found = []
        for number in sorted((n for n in self._children.get("/proc", ()) if n.isdecimal()), key=int):
            try:
                if self.read(f"/proc/{number}/comm").strip() == name and self.is_own_process(int(number)):
                    found.append(int(number))
            except (OSError, Unavailable):
                continue
        if found or _inside("/proc", self._complete):
            return tuple(found)
        raise Unavailable(f"whether a process {name} runs was not asked when this was recorded")

    def today(self) -> str:
        """See `Host.today`: the day of the recording, where it has one."""
        return self.assumptions.get("date") or self._time[:10] or super().today()


def failure_of(text: str, subject: str, absent: str) -> Exception:
    """Return the exception that a text such as `denied` or `unavailable: {path}: too large` stands for."""
    word, _, message = text.partition(":")
    message = message.strip().replace("{path}", subject)
    if word == ABSENT:
        return FileNotFoundError(message or absent)
    if word == DENIED:
        return PermissionError(message or f"{subject}: permission denied")
    return Unavailable(message or f"{subject} could not be had when this was recorded")


class Entry:
    """What stat.json says of a path."""

    __slots__ = ("errors", "names", "partial", "pieces", "stat", "was_read", "word")

    def __init__(self, said: object) -> None:
        """Take a word (`absent`, `denied`, `unavailable: why`) or an object.

        Raises:
            ValueError: it is neither.

        """
        self.word = ""
        self.errors: dict[str, str] = {}
        self.names: tuple[str, ...] | None = None
        self.partial = False
        self.pieces: tuple[tuple[int, int], ...] = ()
        self.was_read = False
        self.stat: FileStat | None = None
        if isinstance(said, str):
            self.word = said
            if said.partition(":")[0] not in (ABSENT, DENIED, UNAVAILABLE):
                raise ValueError(f"{said!r} is not absent, denied or unavailable")
            return
        if not isinstance(said, dict):
            raise ValueError("neither a word nor an object")
        self.errors = {str(name): str(text) for name, text in dict(said.get("errors") or {}).items()}
        listed = said.get("names")
        self.names = None if listed is None else tuple(str(name) for name in listed)
        self.partial = said.get("partial") is True
        read = said.get("read")
        self.was_read = bool(read)
        if isinstance(read, list):
            self.pieces = tuple((int(start), int(length)) for start, length in read)
        self.stat = _stat(said)
        if self.stat is None and (self.names is not None or self.partial):
            self.stat = None if "stat" in self.errors else FileStat(stat_module.S_IFDIR | 0o755, 0, 0, 0)

    @property
    def is_folder(self) -> bool:
        """Whether it is known to be a folder."""
        return self.names is not None or self.partial or (self.stat is not None and self.stat.is_dir)

    @property
    def exists(self) -> bool:
        """Whether a listing of its folder names it."""
        return not self.word and not self.was_read and not self.errors.get("stat", "").startswith(ABSENT)

    def failure(self, question: str, path: str) -> Exception | None:
        """Return what the question was answered with, if it was an error."""
        text = self.word or self.errors.get(question, "")
        if not text:
            return None
        absent = f"{path} is not a folder" if question == "names" else f"{path} does not exist"
        return failure_of(text, path, absent)


def _stat(said: dict[str, Any]) -> FileStat | None:
    mode = said.get("mode")
    if mode is None and "type" not in said:
        return None
    bits = int(mode, 8) if isinstance(mode, str) else int(mode if mode is not None else 0o755)
    kind = said.get("type", "folder" if said.get("names") is not None else "file")
    if not stat_module.S_IFMT(bits):
        if kind not in TYPES:
            raise ValueError(f"type {kind!r}; there are {', '.join(TYPES)}")
        bits |= TYPES[kind]
    return FileStat(bits, int(said.get("uid", 0)), int(said.get("gid", 0)), int(said.get("size", 0)))


def _piece(data: bytes, entry: Entry | None, path: str, offset: int, limit: int) -> bytes:
    """Return what was asked of a file that was read in pieces, which lie one behind the other."""
    assert entry is not None
    size = entry.stat.size if entry.stat else 0
    if limit == READ_LIMIT and size > limit:
        raise Unavailable(f"{path} is larger than {limit >> 20} MiB")
    end = min(offset + limit, size) if size else offset + limit
    before = 0
    for start, length in entry.pieces:
        if start <= offset and end <= start + length:
            return data[before + offset - start : before + end - start]
        before += length
    if size and offset >= size:
        return b""
    raise Unavailable(f"{path}: these bytes were not read when this was recorded")


def _inside(path: str, folders: tuple[str, ...]) -> bool:
    return any(path == folder or path.startswith(folder.rstrip("/") + "/") for folder in folders)


def _normal(path: str) -> str:
    """Return a path as the index has it: absolute, without `.`, `..` and double slashes.

    >>> _normal("etc//./docker/../hosts")
    '/etc/hosts'
    """
    return posixpath.normpath("/" + path.lstrip("/"))


def _strings(about: dict[str, Any], key: str, file: str) -> list[str]:
    listed = about.get(key) or []
    if listed is True:
        return []
    if not (isinstance(listed, list) and all(isinstance(item, str) for item in listed)):
        raise BadRecording(f"{file}: {key} is not a list of paths")
    return listed


def _mapping(about: dict[str, Any], key: str) -> dict[str, Any]:
    found = about.get(key) or {}
    if not isinstance(found, dict):
        raise BadRecording(f"host.json: {key} is not an object")
    return found


def _links(document: dict[str, Any]) -> dict[str, str]:
    for path, text in document.items():
        if not isinstance(text, str) or not text:
            raise BadRecording(f"links.json: {path}: not the text of a link")
    return {_normal(path): text for path, text in document.items()}


def _entries(document: dict[str, Any]) -> dict[str, Entry]:
    found = {}
    for path, said in document.items():
        try:
            found[_normal(path)] = Entry(said)
        except (TypeError, ValueError) as error:
            raise BadRecording(f"stat.json: {path}: {error}") from None
    return found


def _commands(document: list[Any]) -> dict[tuple[str, ...], Union[Completed, str]]:
    found: dict[tuple[str, ...], Union[Completed, str]] = {}
    for number, said in enumerate(document, 1):
        if not isinstance(said, dict):
            raise BadRecording(f"commands.json: the answer {number} is not an object")
        argv = _first(said, "argv", "command", "cmd")
        if isinstance(argv, str):
            argv = _words(argv)
        if not (isinstance(argv, list) and argv and all(isinstance(word, str) for word in argv)):
            raise BadRecording(f"commands.json: the answer {number} has no list `argv`")
        key = tuple(argv)
        if isinstance(said.get("error"), str):
            found[key] = said["error"]
            continue
        code = _first(said, "exit", "exit_code", "exit code", "code", "rc", "returncode", "status") or 0
        out, err = _first(said, "stdout", "out") or "", _first(said, "stderr", "err") or ""
        if not (isinstance(code, int) and isinstance(out, str) and isinstance(err, str)):
            raise BadRecording(
                f"commands.json: {' '.join(key)}: `exit` is a number, `stdout` and `stderr` texts"
            )
        found[key] = Completed(key, code, out, err)
    return found


def _words(line: str) -> list[str]:
    """Return the words of a command as a shell takes it apart."""
    # Imported here: hostcheck itself records lists.
    import shlex

    try:
        return shlex.split(line)
    except ValueError:
        return line.split()


def _first(said: dict[str, Any], *names: str) -> Any:
    """Return the value of the first of these names that is there: hand-written files spell it in many ways."""
    return next((said[name] for name in names if name in said), None)


def _document(documents: dict[str, bytes], name: str, kind: type) -> Any:
    """Return one of the four JSON files, empty if it is not there."""
    if name not in documents:
        return kind()
    try:
        found = json.loads(documents[name].decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadRecording(f"{name}: {error}") from None
    if not isinstance(found, kind):
        raise BadRecording(f"{name}: not {'an object' if kind is dict else 'a list'}")
    return found


def _from_folder(path: str) -> tuple[dict[str, Kept], dict[str, bytes]]:
    documents = {}
    for name in ABOUT:
        try:
            documents[name] = read_regular(os.path.join(path, name), name, READ_LIMIT, 0, os.O_NOFOLLOW)
        except FileNotFoundError:
            continue
        except Unavailable as error:
            raise BadRecording(str(error)) from None
    root = os.path.join(path, "root")
    if not documents and not os.path.isdir(root):
        raise BadRecording("neither root/ nor host.json is in it")
    return dict(_walk(root)), documents


def _walk(root: str) -> Iterator[tuple[str, Kept]]:
    """Yield what a folder holds by its path in it. No link is followed, no device or fifo opened."""
    if os.path.islink(root):
        return
    todo = [""]
    count = 0
    while todo:
        folder = todo.pop()
        try:
            listed = list(os.scandir(root + folder))
        except OSError:
            continue
        for item in listed:
            count += 1
            if count > ENTRIES_LIMIT:
                raise BadRecording(f"more than {ENTRIES_LIMIT} files")
            inside = f"{folder}/{item.name}"
            mode = item.stat(follow_symlinks=False).st_mode
            if stat_module.S_ISDIR(mode):
                todo.append(inside)
            link = os.readlink(item.path) if stat_module.S_ISLNK(mode) else ""
            yield inside, Kept(stat_module.S_IFMT(mode), bool(mode & 0o111), None, item.path, link)


class _Bounded:
    """A stream of which only so much is read, whatever its headers say."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.left = ARCHIVE_LIMIT

    def read(self, size: int) -> bytes:
        data: bytes = self.stream.read(size)
        self.left -= len(data)
        if self.left < 0:
            raise BadRecording(f"it unpacks to more than {ARCHIVE_LIMIT >> 20} MiB")
        return data


def _from_archive(path: str) -> tuple[dict[str, Kept], dict[str, bytes]]:
    # Imported here: 10 ms that only an archive needs.
    import gzip
    import tarfile
    import zlib

    members: dict[str, Kept] = {}
    try:
        with open(path, "rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            stream = _Bounded(gzip.GzipFile(fileobj=file) if packed else file)
            with tarfile.open(fileobj=stream, mode="r|") as archive:  # type: ignore[call-overload]
                for member in archive:
                    if len(members) >= ENTRIES_LIMIT:
                        raise BadRecording(f"more than {ENTRIES_LIMIT} files")
                    parts = [part for part in member.name.split("/") if part not in ("", ".")]
                    # Nothing is unpacked, so a name with `..` could not hurt; but it is no path of a machine.
                    if parts and ".." not in parts:
                        members["/".join(parts)] = _member(archive, member, members)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BadRecording(f"not a tar archive, or a damaged one ({error})") from None
    top = _top(members)
    documents = {name: members[top + name].data for name in ABOUT if top + name in members}
    kept = {
        "/" + name[len(top) + 5 :]: item for name, item in members.items() if name.startswith(f"{top}root/")
    }
    return kept, {name: data for name, data in documents.items() if data is not None}


def _member(archive: Any, member: Any, members: dict[str, Kept]) -> Kept:
    if member.isreg():
        # Read with a bound of its own: a sparse member is larger than what its archive holds.
        content = archive.extractfile(member)
        size = min(member.size, READ_LIMIT + 1)
        return Kept(stat_module.S_IFREG, bool(member.mode & 0o111), content.read(size))
    if member.isdir():
        return _FOLDER
    if member.issym():
        return Kept(stat_module.S_IFLNK, link=member.linkname or ".")
    if member.islnk():
        parts = [part for part in member.linkname.split("/") if part not in ("", ".")]
        return members.get("/".join(parts), Kept(stat_module.S_IFREG, data=b""))
    kinds = ((member.isfifo, "fifo"), (member.ischr, "character device"), (member.isblk, "block device"))
    return Kept(next((TYPES[name] for test, name in kinds if test()), stat_module.S_IFSOCK))


def _top(members: dict[str, Kept]) -> str:
    """Return what stands before `root/` in the archive's names: nothing, or one folder."""
    for top in ("", *sorted({name.split("/")[0] + "/" for name in members})):
        if any(top + name in members for name in ABOUT) or (
            top and any(name.startswith(f"{top}root/") for name in members)
        ):
            return top
    if any(name.startswith("root/") for name in members) and not any(n.startswith("etc/") for n in members):
        return ""
    raise BadRecording("neither root/ nor host.json is in it")
