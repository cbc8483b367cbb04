"""Which control groups the host has, now and after its next boot."""

from __future__ import annotations

from typing import NamedTuple

from hostcheck.facts.files import text
from hostcheck.host import Host, Unavailable


class Mode(NamedTuple):
    """Which hierarchy of control groups is used: `v1`, `hybrid`, `v2`, `none` or `boot-fails`; None unknown."""

    now: str | None
    boot: str | None
    evidence: tuple[str, ...]
    """How the answer for the next boot was found, step by step, for a reader."""
    path: str | None
    """The file that decides the next boot."""
    line: int | None


class Mount(NamedTuple):
    """A mounted hierarchy of control groups."""

    point: str
    type: str
    """`cgroup` (v1) or `cgroup2`."""
    options: tuple[str, ...]
    """Of the file system: on v1 the controllers, `name=systemd`, `noprefix`."""


def mounts(host: Host) -> tuple[Mount, ...]:
    """Return the mounted hierarchies, in the order of the mounts.

    Raises:
        Unavailable: nothing runs.

    """
    return host.fact(_mounts)


def _mounts(host: Host) -> tuple[Mount, ...]:
    content = text(host, "/proc/self/mountinfo")
    if content is not None:
        return parse_mountinfo(content)
    return parse_mounts(host.read("/proc/mounts"))


def _unescape(word: str) -> str:
    for octal, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        word = word.replace(octal, char)
    return word


def parse_mountinfo(content: str) -> tuple[Mount, ...]:
    """Return the hierarchies in a text like /proc/self/mountinfo (proc_pid_mountinfo(5)).

    >>> parse_mountinfo("32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu")
    (Mount(point='/sys/fs/cgroup/cpu', type='cgroup', options=('rw', 'cpu')),)
    """
    found = []
    for line in content.split("\n"):
        left, dash, right = line.partition(" - ")
        fields, behind = left.split(" "), right.split(" ")
        if dash and len(fields) >= 5 and len(behind) >= 3 and behind[0] in ("cgroup", "cgroup2"):
            found.append(Mount(_unescape(fields[4]), behind[0], tuple(behind[2].split(","))))
    return tuple(found)


def parse_mounts(content: str) -> tuple[Mount, ...]:
    """Return the hierarchies in a text like /proc/mounts (fstab(5)).

    >>> parse_mounts("cgroup2 /sys/fs/cgroup cgroup2 rw,nsdelegate 0 0")
    (Mount(point='/sys/fs/cgroup', type='cgroup2', options=('rw', 'nsdelegate')),)
    """
    found = []
    for line in content.split("\n"):
        fields = line.split()
        if len(fields) >= 4 and fields[2] in ("cgroup", "cgroup2"):
            found.append(Mount(_unescape(fields[1]), fields[2], tuple(fields[3].split(","))))
    return tuple(found)


def mode_of(mounted: tuple[Mount, ...]) -> str:
    """Return the mode that these mounts make.

    The engines look at what lies on /sys/fs/cgroup itself: cgroup2 there is v2 (runc and containerd:
    IsCgroup2UnifiedMode() compares its file system's magic number).

    >>> mode_of(parse_mounts("a /sys/fs/cgroup/unified cgroup2 rw 0 0"))
    'none'
    """
    on_top = [mount for mount in mounted if mount.point == "/sys/fs/cgroup"]
    if on_top and on_top[-1].type == "cgroup2":
        return "v2"
    first = any(m.type == "cgroup" and _has_controllers(m) for m in mounted)
    second = any(m.type == "cgroup2" for m in mounted)
    if first:
        return "hybrid" if second else "v1"
    return "none"


def _has_controllers(mount: Mount) -> bool:
    return any(o in ("cpu", "cpuset", "memory", "devices", "pids", "blkio", "freezer") for o in mount.options)


def mode(host: Host) -> Mode:
    """Return the mode now and after the next boot, and how that is known."""
    return host.fact(_mode)


def _mode(host: Host) -> Mode:
    now = None
    try:
        now = mode_of(mounts(host))
    except (Unavailable, FileNotFoundError):
        pass
    return Mode(now, now, (), None, None)


def controllers(host: Host) -> dict[str, object]:
    """Return the controllers."""
    return {}


def export(host: Host) -> dict[str, object]:
    """Return the mode, now and after the next boot."""
    found = mode(host)
    value = found.now if host.kind == "live" else found.boot
    return {
        "mode": {
            "value": value,
            "now": found.now,
            "boot": found.boot,
            "path": found.path,
            "line": found.line,
            "evidence": list(found.evidence),
        }
    }
