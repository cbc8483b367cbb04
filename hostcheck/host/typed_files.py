"""Commands that a person types to look at files, and the files that they tell of."""

from __future__ import annotations

import posixpath
import re

from hostcheck.host import Completed
from hostcheck.host.said import Said, Taker, filtered

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

_LETTERS = {
    "-": "file",
    "d": "folder",
    "l": "link",
    "p": "fifo",
    "s": "socket",
    "c": "character device",
    "b": "block device",
}
"""The first letter of a line of `ls -l`."""

_ABSENT = re.compile(r"[`'‘\"]?(/[^\s`'’\":]+)[`'’\"]?: No such file or directory")

_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": 1 << 50}


def _missing(said: Said, done: Completed) -> None:
    for path in _ABSENT.findall(done.err + "\n" + done.out):
        said.gone(path)


def _cat(said: Said, words: tuple[str, ...], done: Completed) -> None:
    _missing(said, done)
    paths = [word for word in words if word.startswith("/")]
    if len(paths) != 1 or done.code or _ABSENT.search(done.out):
        return
    if filtered(done) or paths[0].startswith("/proc/config"):
        _some_lines(said, paths[0], done.out)
    else:
        said.lay(paths[0], done.out)


def _some_lines(said: Said, path: str, out: str) -> None:
    """Lay lines of a file of which the rest stays; a kernel's option comes before what was said of it."""
    lines = [line for line in out.splitlines() if line.strip()]
    options = {
        found.group(1) for line in lines for found in [re.match(r"(?:# )?(CONFIG_\w+)[= ]", line)] if found
    }
    if options:
        path = _config(said, path)
        old = [
            line
            for line in said.read(path).splitlines()
            if (re.match(r"(?:# )?(CONFIG_\w+)", line) or ["", ""])[1] not in options
        ]
    else:
        old = said.read(path).splitlines()
    said.lay(path, "\n".join([*old, *(line for line in lines if line not in old)]))


def _config(said: Said, path: str) -> str:
    """Return the file of the kernel's options that is read: a packed one cannot be added to."""
    release = said.read("/proc/sys/kernel/osrelease").strip()
    return f"/boot/config-{release}" if path.startswith("/proc/config") and release else path


def _grep(said: Said, words: tuple[str, ...], done: Completed) -> None:
    _missing(said, done)
    options = "".join(word[1:] for word in words if re.match(r"-\w+$", word))
    plain = [word for word in words if not word.startswith("-")]
    if len(plain) != 2 or not plain[1].startswith("/") or set(options) & set("vrRlLo"):
        return
    pattern, path = plain
    if ("c" in options and done.out.strip() == "0") or (done.code == 1 and not done.out.strip()):
        lines = said.read(path).splitlines(keepends=True)
        said.files[path] = "".join(line for line in lines if not _matches(pattern, line, "i" in options))
    elif "c" not in options and "q" not in options and done.code == 0 and done.out.strip():
        _some_lines(said, path, re.sub(r"(?m)^\d+:", "", done.out) if "n" in options else done.out)


def _matches(pattern: str, line: str, fold: bool) -> bool:
    """Return whether grep would print a line. What was typed is data: it is searched for as it is, not as a pattern."""
    word = pattern.strip("^$\"'").replace("\\", "")
    return word.lower() in line.lower() if fold else word in line


def _ls(said: Said, words: tuple[str, ...], done: Completed) -> None:
    _missing(said, done)
    options = "".join(word[1:] for word in words if re.match(r"-\w+$", word))
    paths = [word for word in words if word.startswith("/")]
    lines = [line for line in done.out.splitlines() if line.strip() and not line.startswith("total ")]
    if done.code or not paths:
        return
    if set("lno") & set(options):
        for line in lines:
            _long(said, line, paths[0] if len(paths) == 1 and "d" not in options else "")
        names = [_name(line) for line in lines]
    else:
        names = done.out.split()
    whole = len(paths) == 1 and "d" not in options and "R" not in options and not filtered(done)
    if whole and names != paths and not any("/" in name for name in names):
        said.entries[paths[0]] = {
            "type": "folder",
            "names": [name for name in names if name not in (".", "..")],
        }
    for name in names:
        if name.startswith("/") and not set("l") & set(options):
            said.entries.setdefault(name.rstrip("/@*"), {"type": "file"})


def _name(line: str) -> str:
    return line.partition(" -> ")[0].split()[-1]


def _long(said: Said, line: str, folder: str) -> None:
    """Take a line of `ls -l`: type, mode, owner, and where a link leads."""
    found = re.match(r"([-dlpscb])([-rwxsStT]{9})[.+@]?\s+\d+\s+(\S+)\s+(\S+)\s", line)
    name = _name(line) if found else ""
    if not found or name in (".", ".."):
        return
    path = name if name.startswith("/") else posixpath.join(folder, name) if folder else ""
    if not path:
        return
    target = line.partition(" -> ")[2].strip()
    if found.group(1) == "l" and target:
        said.links[path] = target
        return
    entry: dict[str, object] = {"type": _LETTERS[found.group(1)], "mode": f"{_mode(found.group(2)):04o}"}
    entry.update(_owner(said, found.group(3), found.group(4)))
    said.entries[path] = entry


def _owner(said: Said, user: str, group: str) -> dict[str, int]:
    """Return the numbers of an owner and a group, as far as the host's files tell them."""
    found = {}
    for key, name, path in (("uid", user, "/etc/passwd"), ("gid", group, "/etc/group")):
        if name.isdecimal():
            found[key] = int(name)
            continue
        for line in said.read(path).splitlines():
            fields = line.split(":")
            if fields[0] == name and len(fields) > 2 and fields[2].isdecimal():
                found[key] = int(fields[2])
    return found


def _mode(text: str) -> int:
    """Return the bits of `rwxr-sr-t`.

    >>> oct(_mode("rwsr-xr-x"))
    '0o4755'
    """
    bits = 0
    for at, letter in enumerate(text):
        if letter in "rwxst":
            bits |= 0o400 >> at
        if letter in "sStT":
            bits |= 0o4000 >> (at // 3)
    return bits


def _stat(said: Said, words: tuple[str, ...], done: Completed) -> None:
    _missing(said, done)
    paths = [word for word in words if word.startswith("/")]
    if len(paths) != 1 or done.code:
        return
    path = paths[0]
    form = next((word for word in words if "%" in word), "").replace("--format=", "").replace("--printf=", "")
    if "-f" in words or "--file-system" in words:
        return
    entry = dict(said.entries.get(path) or {}) if isinstance(said.entries.get(path), dict) else {}
    for key, value in zip(form.split(), done.out.split() if " " in form else [done.out.strip()]):
        if key == "%F" and value in _TYPES:
            entry["type"] = _TYPES[value]
        elif key in ("%a", "%#a") and re.match(r"0?[0-7]{3,4}$", value):
            entry["mode"] = value
        elif key == "%A" and len(value) >= 10:
            entry.update(type=_LETTERS.get(value[0], "file"), mode=f"{_mode(value[1:10]):04o}")
        elif key in ("%u", "%g") and value.isdecimal():
            entry["uid" if key == "%u" else "gid"] = int(value)
    whole = re.search(r"Access: \((\d+)/([-dlpscb])\S+\s+Uid: \(\s*(\d+)/.*Gid: \(\s*(\d+)/", done.out)
    if whole and not form:
        mode, letter, uid, gid = whole.groups()
        entry.update(type=_LETTERS[letter], mode=mode, uid=int(uid), gid=int(gid))
    if "mode" in entry or "type" in entry:
        known = said.read(path)
        entry.setdefault("type", "file")
        if entry["type"] == "file" and known:
            entry.setdefault("read", True)
        said.entries[path] = entry


def _readlink(said: Said, words: tuple[str, ...], done: Completed) -> None:
    paths = [word for word in words if word.startswith("/")]
    target = done.out.strip()
    if len(paths) == 1 and target and done.code == 0 and target != paths[0]:
        said.links[paths[0]] = target


def _test(said: Said, words: tuple[str, ...], done: Completed) -> None:
    plain = [word for word in words if word != "]"]
    if len(plain) == 2 and plain[0] in ("-e", "-f", "-d", "-x", "-S") and plain[1].startswith("/"):
        if done.code == 1 and plain[0] == "-e":
            said.gone(plain[1])
        elif done.code == 0 and plain[0] == "-d":
            said.entries[plain[1]] = {"type": "folder", "partial": True}


def _type(said: Said, _words: tuple[str, ...], done: Completed) -> None:
    for line in done.out.splitlines():
        path = line.partition(" is ")[2].strip() or line.strip()
        if path.startswith("/") and " " not in path:
            said.entries[path] = {"type": "file", "mode": "0755"}


def size_of(word: str) -> int:
    """Return the bytes, or the number, of a rounded word; -1 for another word.

    >>> size_of("1.5G"), size_of("0"), size_of("40%")
    (1610612736, 0, -1)
    """
    found = re.match(r"(\d+(?:[.,]\d+)?)([KMGTP])?(?:i?B)?$", word)
    if not found:
        return -1
    return int(float(found.group(1).replace(",", ".")) * _UNITS.get(found.group(2) or "", 1))


def _df(said: Said, words: tuple[str, ...], done: Completed) -> None:
    options = "".join(word[1:] for word in words if re.match(r"-\w+$", word))
    paths = [word for word in words if word.startswith("/")]
    rows = [line.split() for line in done.out.splitlines() if re.search(r"\s\d+%|\s-\s", line)]
    heading = done.out.partition("\n")[0]
    unit = 1 if set(options) & set("hHi") else 1 << 20 if "m" in options or "1M" in heading else 1 << 10
    for row in rows:
        at = next((n for n, word in enumerate(row) if re.match(r"\d+%$|-$", word) and n >= 3), 0)
        numbers = [size_of(word) for word in row[at - 3 : at]] if at else []
        if len(numbers) < 3 or min(numbers) < 0:
            continue
        path = paths[0] if len(paths) == 1 and len(rows) == 1 else row[at + 1] if len(row) > at + 1 else ""
        if not path.startswith("/"):
            continue
        said.entries.setdefault(path, {"type": "folder", "partial": True})
        room = said.usage.setdefault(path, {})
        if "i" in options:
            room.update(inodes=numbers[0], inodes_free=numbers[2])
        else:
            room.update(total=numbers[0] * unit, free=numbers[2] * unit)


TAKERS: dict[str, Taker] = {
    "[": _test,
    "cat": _cat,
    "df": _df,
    "egrep": _grep,
    "grep": _grep,
    "head": _cat,
    "ls": _ls,
    "readlink": _readlink,
    "stat": _stat,
    "test": _test,
    "type": _type,
    "which": _type,
    "zcat": _cat,
    "zgrep": _grep,
}
