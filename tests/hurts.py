"""A copy of a root tree in which one file at a time is hurt, and what each check asks of it."""

from __future__ import annotations

import contextlib
import os
import pathlib
import random
import shutil
import socket
import stat
from collections.abc import Iterator, Sequence
from typing import Callable, NamedTuple, TypeVar

from hostcheck import plugins
from hostcheck.finding import Result
from hostcheck.host import READ_LIMIT, Completed, DiskUsage, FileStat, Host, Unavailable, resolve_links
from hostcheck.host import command as commands
from hostcheck.host.live import list_names, read_regular, stat_file
from hostcheck.host.root import VOLATILE, RestingHost
from hostcheck.runner import Configured, run_one

HOSTS = pathlib.Path(__file__).resolve().parent / "hosts"
CHECKS = {check.id: Configured(check()) for check in plugins.shipped()}
NOBODY = 65534
T = TypeVar("T")


class SpyTree(RestingHost):
    """A tree, or with `live` the machine that it would be: /proc, /sys, /run and /dev are those of this one.

    It keeps every path and command that is asked for, also through a fact that was remembered.
    """

    def __init__(self, root: str, live: bool = False) -> None:
        super().__init__("tree")
        self.root = os.path.realpath(root)
        self.kind = "live" if live else "root"
        self.asked: set[str] = set()
        self.ran: set[tuple[str, ...]] = set()
        self._by_fact: dict[Callable[..., object], tuple[set[str], set[tuple[str, ...]]]] = {}

    def fact(self, function: Callable[[Host], T]) -> T:
        outer = self.asked, self.ran
        self.asked, self.ran = set(), set()
        try:
            return super().fact(function)
        finally:
            mine = self._by_fact.setdefault(function, (self.asked, self.ran))
            self.asked, self.ran = outer
            self.asked |= mine[0]
            self.ran |= mine[1]

    def _on_disk(self, place: str) -> str:
        return place if self.kind == "live" and place.startswith(VOLATILE) else self.root + place

    def _link(self, place: str) -> str | None:
        with contextlib.suppress(OSError):
            return os.readlink(self._on_disk(place))
        return None

    def _read(self, place: str, shown: str, limit: int, offset: int) -> bytes:
        return read_regular(self._on_disk(place), shown, limit, offset, os.O_NOFOLLOW)

    def _list(self, place: str, shown: str) -> tuple[str, ...]:
        return list_names(self._on_disk(place), shown)

    def _lstat(self, place: str, shown: str) -> FileStat:
        return stat_file(self._on_disk(place), shown, follow=False)

    def _place(self, path: str, follow: bool = True) -> str:
        folder, base = os.path.split(path.rstrip("/"))
        place = os.path.join(resolve_links(folder, self._link_text), base)
        self.asked.add(place)
        if follow:
            place = resolve_links(place, self._link_text)
            self.asked.add(place)
        if self.kind != "live":
            super()._place(path, follow)
        return place

    def run(self, *argv: str) -> Completed:
        self.ran.add(argv)
        return commands.run(argv) if self.kind == "live" else super().run(*argv)

    def disk_usage(self, path: str) -> DiskUsage:
        if self.kind != "live":
            return super().disk_usage(path)
        found = os.statvfs(self.root + self._place(path))
        return DiskUsage(found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize, 0, 0)

    def pids(self, name: str) -> tuple[int, ...]:
        return (os.getpid(),) if self.kind == "live" else super().pids(name)


def judge(host: Host, ids: Sequence[str]) -> dict[str, Result]:
    return {name: run_one(CHECKS[name], host) for name in ids}


def askers(root: str, live: bool) -> tuple[dict[str, list[str]], dict[tuple[str, ...], list[str]]]:
    """Return every path and every command that any check asks for, each with the checks that do."""
    paths: dict[str, list[str]] = {}
    ran: dict[tuple[str, ...], list[str]] = {}
    spy = SpyTree(root, live)
    for name in CHECKS:
        spy.asked, spy.ran = set(), set()
        judge(spy, [name])
        for path in spy.asked - {"", "/"}:
            paths.setdefault(path, []).append(name)
        for argv in spy.ran:
            ran.setdefault(argv, []).append(name)
    return paths, ran


def _mangled(data: bytes) -> bytes:
    """Change bytes here and there, the same each time."""
    chance = random.Random(len(data))
    mangled = bytearray(data[:20000])
    for _ in range(max(3, len(mangled) // 50)):
        if mangled:
            mangled[chance.randrange(len(mangled))] = chance.randrange(256)
    return bytes(mangled)


CONTENTS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda was: b"",
    "binary": lambda was: bytes(range(256)) * 8,
    "very long lines": lambda was: b"x" * 1_000_000 + b"\n" + b"a=" * 500_000,
    "very many lines": lambda was: (was.partition(b"\n")[0][:40] + b"\n") * 50_000,
    "cut": lambda was: was[: len(was) // 2],
    "mangled": _mangled,
    "twice": lambda was: was + was,
    "deep": lambda was: b"[" * 100_000,
    "old line ends": lambda was: was.replace(b"\n", b"\r\n"),
    "surrogates": lambda was: b'{"\\ud800": "\xed\xa0\x80"}',
    "numbers": lambda was: b"99999999999999999999999999999999999 = -1e999\n" * 50,
}
"""What a file may hold, made from what it holds."""


class Place(NamedTuple):
    """Where something is put: a path on the disk, what was there, and a file outside the tree."""

    path: str
    was: bytes
    outside: str


def _write(content: Callable[[bytes], bytes]) -> Callable[[Place], None]:
    def write(place: Place) -> None:
        pathlib.Path(place.path).write_bytes(content(place.was))

    return write


def _sparse(place: Place) -> None:
    pathlib.Path(place.path).write_bytes(place.was)
    os.truncate(place.path, 1 << 30)


def _socket(place: Place) -> None:
    # The address of a socket is at most 108 bytes long.
    folder = os.open(os.path.dirname(place.path), os.O_PATH)
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as made:
        made.bind(f"/proc/self/fd/{folder}/{os.path.basename(place.path)}")
    os.close(folder)


def _device(place: Place) -> None:
    # /dev/zero: whoever reads it reads for ever.
    os.mknod(place.path, stat.S_IFCHR | 0o666, os.makedev(1, 5))


def _forbidden(place: Place) -> None:
    pathlib.Path(place.path).write_bytes(place.was)
    os.chmod(place.path, 0)


KINDS: dict[str, Callable[[Place], None]] = {
    "absent": lambda place: None,
    **{name: _write(content) for name, content in CONTENTS.items()},
    "1 GiB": _sparse,
    "fifo": lambda place: os.mkfifo(place.path),
    "socket": _socket,
    "folder": lambda place: os.mkdir(place.path),
    "device": _device,
    "loop of links": lambda place: os.symlink(os.path.basename(place.path), place.path),
    "link out": lambda place: os.symlink(place.outside, place.path),
    "link up and out": lambda place: os.symlink("../" * 30 + place.outside[1:], place.path),
    "forbidden": _forbidden,
    "forbidden folder": lambda place: os.mkdir(place.path, 0),
}
"""What may lie at a path."""


@contextlib.contextmanager
def hurt(root: str, path: str, kind: str) -> Iterator[None]:
    """Put something else at a path of the tree, and afterwards what was there."""
    here = root + path
    beside = os.path.dirname(root)
    made = here
    while not os.path.lexists(os.path.dirname(made)):
        made = os.path.dirname(made)
    os.makedirs(os.path.dirname(here), exist_ok=True)
    aside = ""
    was = b""
    if os.path.lexists(here):
        aside = f"{beside}/aside"
        os.rename(here, aside)
        if os.path.isfile(aside):
            was = pathlib.Path(aside).read_bytes()
    pathlib.Path(f"{beside}/outside").write_bytes(was)
    try:
        KINDS[kind](Place(here, was, f"{beside}/outside"))
        yield
    finally:
        if os.path.isdir(here) and not os.path.islink(here):
            os.rmdir(here)
        elif os.path.lexists(here):
            os.unlink(here)
        if aside:
            os.rename(aside, here)
        elif made != here:
            shutil.rmtree(made)


class HurtPseudoFile(SpyTree):
    """A machine of which one file, at which nothing can be put since the kernel makes it, is hurt."""

    def __init__(self, root: str, path: str, kind: str) -> None:
        super().__init__(root, live=True)
        self.path, self.kind_of_hurt = path, PSEUDO_KINDS[kind]
        self.looks = 0

    def _hurt(self, was: bytes) -> bytes:
        if isinstance(self.kind_of_hurt, Exception):
            raise type(self.kind_of_hurt)(str(self.kind_of_hurt).format(self.path))
        return self.kind_of_hurt(was)

    def _is_hurt(self, path: str) -> bool:
        return resolve_links(path, self._link_text) == self.path

    def read_bytes(self, path: str, limit: int = READ_LIMIT, offset: int = 0) -> bytes:
        if not self._is_hurt(path):
            return super().read_bytes(path, limit, offset)
        try:
            was = super().read_bytes(path)
        except (OSError, Unavailable):
            was = b""
        self.looks += 1
        return self._hurt(was if self.looks % 2 else was[::-1])[offset : offset + limit]

    def names(self, path: str) -> tuple[str, ...]:
        if not self._is_hurt(path):
            return super().names(path)
        return tuple(self._hurt(b"").decode("utf-8", "replace").split("\n")[:100])

    def stat(self, path: str, follow: bool = True) -> FileStat:
        if self._is_hurt(path):
            self._hurt(b"")
        return super().stat(path, follow)


PSEUDO_KINDS: dict[str, Exception | Callable[[bytes], bytes]] = {
    "absent": FileNotFoundError("{} does not exist"),
    "forbidden": PermissionError("{}: permission denied"),
    "broken": Unavailable("{}: input/output error"),
    "changing": bytes,
    **CONTENTS,
}
"""What a file of the kernel may hold, or answer."""


class SystemdMachine(SpyTree):
    """A machine that systemd runs, as is taken for granted where the kernel does not tell."""

    def __init__(self, root: str) -> None:
        super().__init__(root, live=True)

    def read_bytes(self, path: str, limit: int = READ_LIMIT, offset: int = 0) -> bytes:
        return b"systemd\n" if path == "/proc/1/comm" else super().read_bytes(path, limit, offset)
