"""What a person typed to look at a machine, taken for the files and answers that it tells of.

hostcheck itself records files, never the programs here: so what these printed was written down by hand, and later.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping

from hostcheck._typing import Union
from hostcheck.host import Completed
from hostcheck.host.said import Said, Taker

Answers = Mapping[tuple[str, ...], Union[Completed, str, Exception]]

_BEFORE = frozenset(("sudo", "doas", "command", "env", "nice", "LANG=C", "LC_ALL=C"))
"""Words before a command that change nothing of what it prints."""


def plain(argv: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return a command without what stands before it, and the filter behind it.

    >>> plain(("sudo", "lsmod", "|", "grep", "overlay"))
    (('lsmod',), ('grep', 'overlay'))
    >>> plain(("sh", "-c", "cat /proc/swaps"))
    (('cat', '/proc/swaps'), ())
    """
    words = [*argv]
    if len(words) == 3 and words[1] == "-c" and posixpath.basename(words[0]) in ("sh", "bash", "ash"):
        # Imported here: hardly anybody writes a shell down.
        import shlex

        try:
            words = shlex.split(words[2])
        except ValueError:
            return argv, ()
    while words and words[0] in _BEFORE:
        del words[0]
    for end in ("2>/dev/null", "2>&1"):
        if words and words[-1] == end:
            del words[-1]
    if "|" in words:
        at = words.index("|")
        return tuple(words[:at]), tuple(words[at + 1 :])
    return tuple(words), ()


def told(commands: Answers, read: Callable[[str], str]) -> Said:
    """Return what the commands of a recording tell beside their answers."""
    # Imported here: they are needed where somebody typed something.
    from hostcheck.host import typed_files, typed_programs, typed_system

    takers: dict[str, Taker] = {**typed_files.TAKERS, **typed_system.TAKERS, **typed_programs.TAKERS}
    said = Said(read)
    for argv, done in commands.items():
        words, behind = plain(argv)
        if words and words != argv and not behind and isinstance(done, Completed):
            said.answers.setdefault(words, done.out)
        take = takers.get(posixpath.basename(words[0])) if words else None
        if not take or not isinstance(done, Completed):
            continue
        if behind and not (behind[0] in ("grep", "egrep") and not any(_counts(word) for word in behind[1:])):
            continue
        take(said, words[1:], done._replace(argv=(*words, "|", *behind) if behind else words))
    return said


def _counts(word: str) -> bool:
    return word.startswith("-") and not word.startswith("--") and bool(set(word) & set("cqov"))


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
    last = max((int(line[0]) for line in old if line[0].isdecimal()), default=20)
    top = next((line[0] for line in reversed(kept) if line[4] == "/"), "1")
    for number, (device, point, kind, options, *_rest) in enumerate(changed, last + 1):
        own = [each for each in options.split(",") if each in _PER_MOUNT]
        rest = ["rw", *(each for each in options.split(",") if each not in _PER_MOUNT)]
        kept.append(
            f"{number} {1 if point == '/' else top} 0:{number} / {point} {','.join(own) or 'rw'} shared:{number} - "
            f"{kind} {device} {','.join(rest)}".split()
        )
        top = str(number) if point == "/" else top
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


def answered(
    argv: tuple[str, ...], commands: Answers, said: Said | None
) -> Completed | str | Exception | None:
    """Return what was written down of a command: whatever path the program has, and in whatever form it was asked."""
    found = _by_name(argv, commands)
    if found is not None or said is None:
        return found
    printed = _by_name(argv, said.answers)
    if isinstance(printed, str):
        return Completed(argv, 0, printed, "")
    if (posixpath.basename(argv[0]), *argv[1:2]) == ("systemctl", "show") and argv[-1] in said.units:
        shown = said.units[argv[-1]]
        return Completed(argv, 0, "".join(f"{name}={value}\n" for name, value in shown.items()), "")
    return None


def _by_name(argv: tuple[str, ...], answers: Answers) -> Completed | str | Exception | None:
    """Return what is said of a command, or of the program of that name where no other path was meant."""
    for words in (argv, (posixpath.basename(argv[0]), *argv[1:])):
        if words in answers:
            return answers[words]
    if "/" not in argv[0]:
        for words, done in answers.items():
            if words[1:] == argv[1:] and posixpath.basename(words[0]) == argv[0]:
                return done
    return None
