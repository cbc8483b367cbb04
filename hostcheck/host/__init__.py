"""A host: the only door through which a fact looks at a machine."""

from __future__ import annotations

import os.path
import re
import stat as stat_module
import time
from abc import ABC, abstractmethod

from hostcheck._typing import Any, Callable, TypeVar
from hostcheck.record import Record

T = TypeVar("T")

READ_LIMIT = 32 * 1024 * 1024
"""Bytes. No text that a check reads is larger; what is larger is hostile or a mistake."""

LINKS_LIMIT = 40
"""Symbolic links followed in one path before it counts as a loop (Linux: MAXSYMLINKS, path_resolution(7))."""

ANSWERS = frozenset({"--version", "--validate", "--help"})
"""With these a daemon's program prints something and ends."""


class Unavailable(Exception):
    """This kind of host cannot say: neither yes nor no. The text says why."""


class NotApplicable(Exception):
    """The question does not arise on this host. The text says why."""


class NoTarget(Exception):
    """A file is no image that can be read. The text names it, says why, and the way out."""


class FileStat(Record):
    """What stat(2) says of a file, as far as it is the same on every kind of host."""

    mode: int
    """Type and permission bits, as st_mode."""
    uid: int
    gid: int
    size: int
    """Bytes."""

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return stat_module.S_ISREG(self.mode)

    @property
    def is_dir(self) -> bool:
        """Whether it is a folder."""
        return stat_module.S_ISDIR(self.mode)

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link (only from `stat(path, follow=False)`)."""
        return stat_module.S_ISLNK(self.mode)

    @property
    def is_executable(self) -> bool:
        """Whether it is a regular file with an execute bit."""
        return self.is_file and bool(self.mode & 0o111)


class Completed(Record):
    """A command that ended."""

    argv: tuple[str, ...]
    code: int
    out: str
    err: str


class FileSystem(Record):
    """A file system that an image brings with it."""

    point: str
    """Where it will be mounted."""
    type: str
    """As the kernel names it: `ext4`, `xfs`, `btrfs`, `vfat`, `squashfs`."""
    features: frozenset[str]
    """Of ext: those that matter here, such as `filetype`; of xfs `ftype=0`, `crc=1`."""


class Fetched(Record):
    """What a URL answered to GET."""

    url: str
    status: int
    """Of HTTP; 0 where no answer came."""
    seconds: float
    error: str = ""
    """Why no answer came."""
    kind: str = ""
    """What kind of error it is: `tls`, `dns`, `time`, or empty for another."""
    registry: str = ""
    """The header Docker-Distribution-Api-Version, by which a registry makes itself known."""
    location: str = ""
    """Where a redirection leads."""


class DiskUsage(Record):
    """Room on a file system: bytes, and inodes (0 in total where it has no fixed number, -1 where it is not known)."""

    total: int
    free: int
    inodes: int
    inodes_free: int


class Host(ABC):
    """A machine, or what stands for one. Paths are absolute, as the machine itself would name them.

    Every question has three ways to fail, never mixed: `FileNotFoundError` (it is not there),
    `PermissionError` (not allowed to look) and `Unavailable` (this kind of host cannot say).
    """

    kind: str
    """`live`, `root` or `image`; a recording has the kind of what was recorded."""
    recording = False
    """Whether the answers come from a recording."""
    written_by_hand = False
    """Whether a person wrote the recording down, who tells what programs printed and seldom a package database."""
    name: str
    """What a reader calls it: a host name, or the path of the tree."""

    def __init__(self) -> None:
        """Start with nothing asked."""
        self.assumptions: dict[str, str] = {}
        """What no file of it says: `stage` (before, installed), `docker` (a version), `date` (ISO 8601), `online`."""
        self._facts: dict[Callable[[Any], Any], tuple[Any, Exception | None]] = {}
        self._answers: dict[tuple[object, ...], tuple[Any, Exception | None]] = {}

    @abstractmethod
    def read_bytes(self, path: str, limit: int = READ_LIMIT, offset: int = 0) -> bytes:
        """Return a regular file's bytes from `offset`, at most `limit`.

        With the default limit a larger file raises `Unavailable`; with an explicit one it is cut.
        """

    @abstractmethod
    def names(self, path: str) -> tuple[str, ...]:
        """Return the names in a folder, sorted."""

    @abstractmethod
    def stat(self, path: str, follow: bool = True) -> FileStat:
        """Return what stat(2), or with `follow=False` lstat(2), says."""

    @abstractmethod
    def readlink(self, path: str) -> str:
        """Return a symbolic link's text; `OSError` if it is none."""

    @abstractmethod
    def run(self, *argv: str) -> Completed:
        """Run a command that only looks; `Unavailable` where nothing may be run."""

    @abstractmethod
    def disk_usage(self, path: str) -> DiskUsage:
        """Return the room on the file system that holds `path`."""

    @abstractmethod
    def pids(self, name: str) -> tuple[int, ...]:
        """Return the host's own processes of that name (comm), lowest first; see `is_own_process`."""

    def is_own_process(self, pid: int) -> bool:
        """Return whether a process that /proc lists is at work on the host itself, and not in a container or guest.

        A daemon inside one (Docker in Docker, a node of kind, a guest of LXC) has kernel settings, a network and
        files of its own. Nor is `dockerd --version` a daemon. What may not be looked at counts as the host's own.
        """
        # From outside, a process has one number in each namespace that it is in: proc_pid_status(5).
        numbers = re.search(r"^NSpid:(.*)$", self._said_of(pid, "status"), re.MULTILINE)
        if numbers and len(numbers[1].split()) > 1:
            return False
        if not ANSWERS.isdisjoint(self._said_of(pid, "cmdline").split("\0")):
            return False
        try:
            return self.readlink(f"/proc/{pid}/ns/net") == self.readlink("/proc/self/ns/net")
        except (OSError, Unavailable):
            return True

    def _said_of(self, pid: int, name: str) -> str:
        try:
            return self.read(f"/proc/{pid}/{name}")
        except (OSError, Unavailable):
            return ""

    def file_systems(self) -> tuple[FileSystem, ...]:
        """Return the file systems that the host brings with it; `Unavailable` where only files are known."""
        raise Unavailable("its file systems are not known from here")

    def fetch(self, *urls: str) -> tuple[Fetched, ...]:
        """Ask URLs with GET, all at once; `Unavailable` where the network may not be asked."""
        raise Unavailable("the network is asked only from the host itself")

    @property
    def when(self) -> str:
        """Of what moment this host tells by itself: `now` where it runs, `boot` where it lies at rest."""
        return "now" if self.kind == "live" else "boot"

    def read(self, path: str) -> str:
        """Return a regular file as text. What is not UTF-8 becomes U+FFFD."""
        return self.read_bytes(path).decode("utf-8", "replace")

    def seen(self, path: str) -> FileStat | None:
        """Return what `stat` says, None where nothing is; a dangling link is nothing."""
        try:
            return self.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def exists(self, path: str) -> bool:
        """Return whether something is at `path`, links followed."""
        return self.seen(path) is not None

    def resolve(self, path: str) -> str:
        """Return `path` with every symbolic link followed, inside the host; the last part may be missing.

        A loop leads nowhere: it comes back as it is.
        """
        try:
            return resolve_links(path, self._link_text)
        except FileNotFoundError:
            return path

    def _link_text(self, path: str) -> str | None:
        """Return the text of the link at `path`, None if there is no link."""
        try:
            return self.readlink(path)
        except OSError:
            return None

    def today(self) -> str:
        """Return the day as of which dated knowledge counts, in ISO 8601: the assumed one, or that of UTC."""
        return self.assumptions.get("date") or time.strftime("%Y-%m-%d", time.gmtime())

    def fact(self, function: Callable[[Host], T]) -> T:
        """Call `function(self)` once; afterwards give the same value, or raise the same exception."""
        if function not in self._facts:
            try:
                self._facts[function] = (function(self), None)
            except Exception as exception:
                self._facts[function] = (None, exception)
        value, raised = self._facts[function]
        if raised is not None:
            raise raised.with_traceback(None)
        result: T = value
        return result

    def _once(self, question: tuple[object, ...], ask: Callable[[], T]) -> T:
        """Ask the machine once; afterwards give the same answer, or raise the same exception.

        A run asks the same of some files fifty times, and a host that is looked at twice may answer both ways.
        """
        if question not in self._answers:
            try:
                self._answers[question] = (ask(), None)
            except (OSError, Unavailable) as error:
                self._answers[question] = (None, error)
        value, raised = self._answers[question]
        if raised is not None:
            raise raised.with_traceback(None)
        answer: T = value
        return answer


def ask(host: Host, urls: tuple[str, ...]) -> tuple[Fetched, ...]:
    """Return what the network answers, if the host's assumptions say `online`."""
    if not host.assumptions.get("online"):
        raise Unavailable("the network is asked only with --online")
    from hostcheck.host.network import fetch  # few runs ask the network

    return fetch(urls)


def resolve_links(path: str, link_text: Callable[[str], str | None]) -> str:
    """Follow every link in `path` as path_resolution(7) does, with `/` as the top that `..` cannot leave.

    >>> resolve_links("/a/b/../c", {"/a/b": "/x/y"}.get)
    '/x/c'
    >>> resolve_links("/a/../../../etc", {"/a": "../../b"}.get)
    '/etc'

    Raises:
        FileNotFoundError: a loop.

    """
    todo = [part for part in reversed(path.split("/")) if part not in ("", ".")]
    done = ""
    links = 0
    while todo:
        part = todo.pop()
        if part == "..":
            done = os.path.dirname(done) if done else ""
            done = "" if done == "/" else done
            continue
        here = f"{done}/{part}"
        text = link_text(here)
        if text is None:
            done = here
            continue
        links += 1
        if links > LINKS_LIMIT:
            raise FileNotFoundError(f"{path}: too many symbolic links")
        if text.startswith("/"):
            done = ""
        todo.extend(p for p in reversed(text.split("/")) if p not in ("", "."))
    return done or "/"
