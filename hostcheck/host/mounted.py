"""The running machine as a container sees it: its root mounted at a folder, with its /proc and /sys below."""

from __future__ import annotations

import os
import re

from hostcheck._typing import Callable
from hostcheck.host import Completed, DiskUsage, Unavailable
from hostcheck.host.live import disk_room, list_processes, read_regular
from hostcheck.host.root import RootHost

_OWN_SYSCTLS = (
    ("net/", "net"),
    ("kernel/hostname", "net"),
    ("kernel/domainname", "net"),
    ("kernel/pid_max", "pid"),
    ("kernel/ns_last_pid", "pid"),
    ("user/", "user"),
    ("kernel/sem", "ipc"),
    ("kernel/shm", "ipc"),
    ("kernel/msg", "ipc"),
    ("fs/mqueue/", "ipc"),
)
"""What /proc/sys says of the namespace of the process that asks, whosever /proc it is.

The host's name is of the UTS namespace, which a container shares with the host where it shares the network.
"""

Mounts = dict[str, tuple[str, str]]


def parse_mounts(text: str) -> Mounts:
    r"""Return device and folder of what is mounted at each place of a mountinfo, the last one where there are several.

    >>> parse_mounts("27 1 254:0 / / rw - ext4 /dev/vda rw\n40 27 254:0 /srv /mnt rw - ext4 /dev/vda rw\n")
    {'/': ('254:0', '/'), '/mnt': ('254:0', '/srv')}
    """
    rows = (line.split() for line in text.splitlines())
    return {row[4]: (row[2], row[3]) for row in rows if len(row) > 4}


def mounts_of(pid: str, proc: str) -> Mounts:
    """Return what a process has mounted, nothing where that cannot be seen."""
    path = f"{proc}/{pid}/mountinfo"
    try:
        # As many mounts as a node with a thousand containers has; a list that is cut off shows no root, or too few.
        return parse_mounts(read_regular(path, path, 8 << 20, 0).decode("utf-8", "replace"))
    except (OSError, Unavailable):
        return {}


def is_running_root(path: str) -> bool:
    """Return whether a folder is the root of the machine that runs here, with its own /proc in it.

    A tree that is being built often has this machine's /proc mounted in it: but it is not what the first process
    of that /proc has for its root.
    """
    place = os.path.realpath(path)
    root = mounts_of("1", place + "/proc").get("/")
    return place != "/" and root is not None and root == mounts_of("self", "/proc").get(_escaped(place))


def _escaped(path: str) -> str:
    return re.sub(r"[ \t\n\\]", lambda found: f"\\{ord(found[0]):03o}", path)


_OF_THE_FIRST = ("mountinfo", "mounts", "net", "attr")
"""What /proc/self tells of the host where the host asks, and of the container in one: there the first process is asked.

Whoever it is, that process has the host's mounts and network; and these files anybody may read.
"""


class MountedHost(RootHost):
    """The running machine, seen from a container through its mounted root; nothing of it is executed."""

    kind = "live"
    volatile = ()

    def __init__(self, root: str) -> None:
        """Take the folder `root`, of which `is_running_root` is true, as `/`."""
        super().__init__(root)
        self._own = "/proc/" + os.readlink(self.root + "/proc/self")
        inside, seen = mounts_of("1", self.root + "/proc"), mounts_of("self", "/proc")
        top = _escaped(self.root)
        self._elsewhere = tuple(
            point for point, what in inside.items() if point != "/" and seen.get(top + point) != what
        )
        self._shares: dict[str, bool] = {}
        self._processes: dict[bytes, list[int]] | None = None
        if self._sharing("net"):
            self.name = os.uname().nodename

    def _place(self, path: str, follow: bool = True) -> str:
        place = super()._place(path, follow)
        for point in self._elsewhere:
            if place == point or place.startswith(point + "/"):
                raise Unavailable(f"{path} lies on a mount that is not seen through {self.root}")
        if place.startswith(self._own + "/"):
            name, _, below = place[len(self._own) + 1 :].partition("/")
            if name in _OF_THE_FIRST:
                return f"/proc/1/{name}/{below}".rstrip("/")
            if name == "ns" and below:
                self._must_share(below, path)
        elif place.startswith("/proc/sys/"):
            for prefix, kind in _OWN_SYSCTLS:
                if (place[10:] + "/").startswith(prefix):
                    self._must_share(kind, path)
        return place

    def _must_share(self, kind: str, path: str) -> None:
        if not self._sharing(kind):
            raise Unavailable(f"{path} tells of the host only to who shares its {kind} namespace")

    def _sharing(self, kind: str) -> bool:
        if kind not in self._shares:
            self._shares[kind] = _SHARED.get(kind, _never)(self.root + "/proc")
        return self._shares[kind]

    def _link(self, place: str) -> str | None:
        text = super()._link(place)
        # What /proc shows of a namespace or a pipe is no path: `net:[4026531840]`.
        return None if text and re.fullmatch(r"\w+:\[\d+\]", text) else text

    def readlink(self, path: str) -> str:
        """See `Host.readlink`."""
        place = self._place(path, follow=False)
        return os.readlink(self.root + place) if place.startswith("/proc/") else super().readlink(path)

    def run(self, *argv: str) -> Completed:
        """Refuse: a program of the container would answer for the container, and none of the host is executed."""
        raise Unavailable(f"{argv[0]} is not asked: the host is seen from outside, through {self.root}")

    def disk_usage(self, path: str) -> DiskUsage:
        """See `Host.disk_usage`."""
        return disk_room(self.root + self._place(path), path)

    def pids(self, name: str) -> tuple[int, ...]:
        """See `Host.pids`."""
        if self._processes is None:
            self._processes = list_processes(self.root + "/proc")
        found = self._processes.get(name.encode()[:15], ())
        return tuple(pid for pid in found if self.is_own_process(pid))


def _same_network(proc: str) -> bool:
    """Return whether this process is in the network of the first one.

    Only root may read which namespaces the first process is in; but the files of /proc/PID/net belong to the namespace,
    and are the same files for all processes in it.
    """
    try:
        return os.stat(f"{proc}/1/net/dev").st_ino == os.stat(f"{proc}/self/net/dev").st_ino
    except OSError:
        return False


def _same_processes(proc: str) -> bool:
    """Return whether this process is numbered by the namespace that `proc` shows: then it has one number there."""
    try:
        with open(f"{proc}/self/status", encoding="utf-8", errors="replace") as status:
            numbers = re.search(r"^NSpid:(.*)$", status.read(1 << 16), re.MULTILINE)
    except OSError:
        return False
    return numbers is not None and len(numbers[1].split()) == 1


def _same_users(proc: str) -> bool:
    """Return whether this process is in no user namespace of its own: the first one maps every number to itself."""
    try:
        with open(f"{proc}/self/uid_map", encoding="utf-8", errors="replace") as uid_map:
            return uid_map.read(1 << 16).split() == ["0", "0", "4294967295"]
    except OSError:
        return False


def _same_ipc(proc: str) -> bool:
    """Return whether this process shares IPC with the first one, as far as it may know."""
    try:
        return os.readlink(f"{proc}/1/ns/ipc") == os.readlink(f"{proc}/self/ns/ipc")
    except OSError:
        return False


def _never(proc: str) -> bool:
    return False


_SHARED: dict[str, Callable[[str], bool]] = {
    "net": _same_network,
    "pid": _same_processes,
    "user": _same_users,
    "ipc": _same_ipc,
}
