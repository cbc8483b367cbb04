"""What a person typed to look at a machine, taken for the files and answers that it tells of.

hostcheck itself records files, never the programs here: so what these printed was written down by hand, and later.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping

from hostcheck._typing import Any
from hostcheck.host import Completed

_TYPES = {
    "directory": "folder",
    "regular file": "file",
    "regular empty file": "file",
    "symbolic link": "link",
    "fifo": "fifo",
    "socket": "socket",
    "character special file": "character device",
    "block special file": "block device",
}
"""What `stat -c %F` prints, and what stat.json calls it."""


class Said:
    """What the commands tell, as the documents of a recording would say it."""

    def __init__(self, read: Callable[[str], str]) -> None:
        """Take the recorded text of a path from `read`, empty where there is none."""
        self.read = read
        self.files: dict[str, str] = {}
        self.entries: dict[str, Any] = {}
        """As in stat.json; these come before what root/ holds."""
        self.usage: dict[str, dict[str, int]] = {}


def told(commands: Mapping[tuple[str, ...], object], read: Callable[[str], str]) -> Said:
    """Return what the commands of a recording tell beside their answers."""
    said = Said(read)
    for argv, done in commands.items():
        take = TAKERS.get(posixpath.basename(argv[0]))
        if take and isinstance(done, Completed):
            take(said, argv[1:], done)
    return said


def _cat(said: Said, words: tuple[str, ...], done: Completed) -> None:
    if len(words) != 1 or not words[0].startswith("/"):
        return
    if done.code == 0:
        said.files[words[0]] = done.out if done.out.endswith("\n") or not done.out else done.out + "\n"
    elif "No such file" in done.err + done.out:
        said.entries[words[0]] = "absent"


def _df(said: Said, words: tuple[str, ...], done: Completed) -> None:
    options = "".join(word[1:] for word in words if word.startswith("-"))
    paths = [word for word in words if word.startswith("/")]
    numbers = [int(word) for word in done.out.split() if word.isdigit()]
    # Of other units, as with -h, the numbers are rounded.
    if len(paths) != 1 or len(numbers) < 3 or set(options) - set("ikPT"):
        return
    total, _used, free = numbers[-3:]
    said.entries.setdefault(paths[0], {"type": "folder", "partial": True})
    room = said.usage.setdefault(paths[0], {})
    if "i" in options:
        room.update(inodes=total, inodes_free=free)
    else:
        room.update(total=total << 10, free=free << 10)


def _stat(said: Said, words: tuple[str, ...], done: Completed) -> None:
    kind = _TYPES.get(done.out.strip())
    if len(words) == 3 and words[0] in ("-c", "--format") and words[1] == "%F" and kind:
        said.entries[words[2]] = {"type": kind}


def _grep(said: Said, words: tuple[str, ...], done: Completed) -> None:
    if len(words) == 3 and words[0] == "-c" and done.out.strip() == "0":
        lines = said.read(words[2]).splitlines(keepends=True)
        said.files[words[2]] = "".join(line for line in lines if words[1] not in line)


def _ip(said: Said, words: tuple[str, ...], done: Completed) -> None:
    if "-6" not in words and done.code == 0 and any(word in ("route", "r") for word in words[:2]):
        # Asked only where there is no such file.
        said.entries["/proc/net/route"] = "absent"


def _ls(said: Said, words: tuple[str, ...], done: Completed) -> None:
    paths = [word for word in words if word.startswith("/")]
    if len(paths) != 1 or not any(word.startswith("-") and "l" in word for word in words):
        return
    row = done.out.split()
    if (
        done.code == 0
        and len(row) > 5
        and len(row[0]) >= 10
        and row[0][0] in _KINDS
        and "\n" not in done.out.strip()
    ):
        said.entries[paths[0]] = {"type": _KINDS[row[0][0]], "mode": f"{mode(row[0]):04o}"}


_KINDS = {
    "-": "file",
    "d": "folder",
    "c": "character device",
    "b": "block device",
    "s": "socket",
    "p": "fifo",
}


def mode(letters: str) -> int:
    """Return the permission bits of what `ls -l` prints first.

    >>> oct(mode("crw-------")), oct(mode("-rwsr-xr-x")), oct(mode("drwxrwxrwt"))
    ('0o600', '0o4755', '0o1777')
    """
    bits = "".join("0" if letter in "-ST" else "1" for letter in letters[1:10])
    special = "".join("1" if letters[at] in "sStT" else "0" for at in (3, 6, 9))
    return int(special + bits, 2)


def _lsmod(said: Said, _words: tuple[str, ...], done: Completed) -> None:
    rows = [line.split() for line in done.out.splitlines()[1:]]
    said.files["/proc/modules"] = "".join(
        f"{row[0]} {row[1]} {row[2]} {row[3] + ',' if len(row) > 3 else '-'} Live 0x0000000000000000\n"
        for row in rows
        if len(row) > 2
    )


def _sysctl(said: Said, words: tuple[str, ...], done: Completed) -> None:
    keys = [word for word in words if not word.startswith("-")]
    if len(keys) == 1 and "=" not in keys[0] and done.code == 0:
        value = done.out.partition("=")[2] or done.out
        said.files["/proc/sys/" + keys[0].replace(".", "/")] = value.strip() + "\n"


def _type(said: Said, _words: tuple[str, ...], done: Completed) -> None:
    for line in done.out.splitlines():
        path = line.partition(" is ")[2].strip()
        if path.startswith("/"):
            said.entries[path] = {"type": "file", "mode": "0755"}


def _uname(said: Said, words: tuple[str, ...], done: Completed) -> None:
    if words == ("-r",) and done.out.strip():
        said.files["/proc/sys/kernel/osrelease"] = done.out.strip() + "\n"


TAKERS: dict[str, Callable[[Said, tuple[str, ...], Completed], None]] = {
    "cat": _cat,
    "df": _df,
    "grep": _grep,
    "ip": _ip,
    "ls": _ls,
    "lsmod": _lsmod,
    "stat": _stat,
    "sysctl": _sysctl,
    "type": _type,
    "uname": _uname,
}

_PER_MOUNT = ("rw", "ro", "nosuid", "nodev", "noexec", "relatime", "noatime", "nodiratime")


def mountinfo(older: str, mounts: str) -> str:
    """Return a mountinfo with what a list in the form of /proc/mounts says otherwise.

    hostcheck records mountinfo alone: the shorter list was laid beside it by hand, and each of its lines comes before
    what was mounted at that place. Control groups come as a whole, since their versions exclude each other.

    >>> print(mountinfo("20 1 8:1 / / rw - ext4 /dev/a rw", "tmpfs / tmpfs rw,noatime,size=4k 0 0"))
    21 1 0:21 / / rw,noatime shared:21 - tmpfs tmpfs rw,size=4k
    <BLANKLINE>
    """
    old = [line.split() for line in older.splitlines() if " - " in line]
    known = {_as_in_mounts(line) for line in old}
    new = [line.split() for line in mounts.splitlines() if len(line.split()) > 3]
    changed = [line for line in new if (*line[:3], frozenset(line[3].split(","))) not in known]
    if not changed:
        return older
    points = {line[1] for line in changed}
    groups = any(_is_group(point) for point in points)
    listed = {line[1] for line in new}
    kept = [
        line
        for line in old
        if line[4] not in points and not (groups and _is_group(line[4]) and line[4] not in listed)
    ]
    last = max((int(line[0]) for line in old if line[0].isdigit()), default=20)
    top = next((line[0] for line in reversed(kept) if line[4] == "/"), "1")
    for number, (device, point, kind, options, *_rest) in enumerate(changed, last + 1):
        own = [each for each in options.split(",") if each in _PER_MOUNT]
        rest = ["rw", *(each for each in options.split(",") if each not in _PER_MOUNT)]
        kept.append(
            f"{number} {1 if point == '/' else top} 0:{number} / {point} {','.join(own) or 'rw'} shared:{number} - "
            f"{kind} {device} {','.join(rest)}".split()
        )
    return "".join(" ".join(line) + "\n" for line in kept)


def _as_in_mounts(line: list[str]) -> tuple[str, str, str, frozenset[str]]:
    """Return device, place, type and options of a line of mountinfo as /proc/mounts has them."""
    kind, device, *more = line[line.index("-") + 1 :]
    options = {*line[5].split(","), *",".join(more).split(",")}
    if "ro" in options:
        options.discard("rw")
    return device, line[4], kind, frozenset(options - {""})


def _is_group(point: str) -> bool:
    return point == "/sys/fs/cgroup" or point.startswith("/sys/fs/cgroup/")
