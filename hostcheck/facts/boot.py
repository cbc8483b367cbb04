"""What the host boots next: which kernel, with which command line, and which file says so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from hostcheck.facts.files import names, text
from hostcheck.host import Host, Unavailable


class Entry(NamedTuple):
    """One thing that the boot loader can start."""

    title: str
    id: str
    """What the loader calls it in its settings: an id, a file name or a number."""
    release: str | None
    """The kernel's, None where it cannot be told."""
    cmdline: str | None
    """The kernel command line, None where it cannot be told."""
    path: str | None
    """The file that describes it."""
    line: int | None
    kernel: str | None = None
    """The kernel's file, as the host names it."""
    initrd: tuple[str, ...] = ()


class Boot(NamedTuple):
    """What the default entry boots, and how that is known."""

    release: str | None
    """The kernel's release, None where nothing tells it."""
    cmdline: str | None
    """The kernel command line, None where nothing tells it."""
    path: str | None
    """The file that sets the command line, None where it is taken from the running kernel."""
    line: int | None
    how: str
    """By which boot loader or guess, for a reader."""
    entries: tuple[Entry, ...] = ()
    """Everything that can be booted, in the order of the menu."""
    loader: str = ""
    """`grub`, `systemd-boot`, `bls`, `extlinux`, `raspberry-pi`, `u-boot`, `zipl`, `uki`; `guess` from the
    settings that the next one would be made of, `running` where the next boot is taken to be like this one."""


def running_release(host: Host) -> str:
    """Return the release of the kernel that runs.

    Raises:
        Unavailable: nothing runs.

    """
    return host.read("/proc/sys/kernel/osrelease").strip()


def running_cmdline(host: Host) -> str:
    """Return the command line of the kernel that runs.

    Raises:
        Unavailable: nothing runs.

    """
    return host.read("/proc/cmdline").strip()


def parse_cmdline(cmdline: str) -> Iterator[tuple[str, str | None]]:
    """Yield name and value of each option of a kernel command line; None is the value of a bare word.

    Double quotes hold words together and are taken off; what follows `--` is for init (kernel: next_arg()
    in lib/cmdline.c, parse_args() in kernel/params.c).

    >>> list(parse_cmdline('ro a="1 2" "b=3 4" -- x'))
    [('ro', None), ('a', '1 2'), ('b', '3 4')]
    """
    for word in split_cmdline(cmdline):
        if word == "--":
            return
        if word.startswith('"') and word.endswith('"') and len(word) > 1:
            word = word[1:-1]
        name, equals, value = word.partition("=")
        if value.startswith('"'):
            value = value[1:-1] if value.endswith('"') and len(value) > 1 else value[1:]
        yield name, value if equals else None


def split_cmdline(cmdline: str) -> list[str]:
    """Return the words, quotes left on: a space inside double quotes does not part them.

    >>> split_cmdline('a "b c" d="e f"')
    ['a', '"b c"', 'd="e f"']
    """
    words: list[str] = []
    word = ""
    quoted = False
    for char in cmdline:
        if char == '"':
            quoted = not quoted
        if char.isspace() and not quoted:
            if word:
                words.append(word)
            word = ""
        else:
            word += char
    if word:
        words.append(word)
    return words


def option(cmdline: str | None, name: str) -> str | None:
    """Return the last value of an option, empty for a bare word, None where it is not there.

    Dashes and underscores are the same, as for the kernel (parameq() in kernel/params.c) and for systemd
    (proc_cmdline_key_streq()).

    >>> option("quiet swapaccount=0 swapaccount=1", "swapaccount")
    '1'
    >>> option("systemd.unified-cgroup-hierarchy", "systemd.unified_cgroup_hierarchy")
    ''
    """
    found = options(cmdline, name)
    return found[-1] if found else None


def options(cmdline: str | None, name: str) -> list[str]:
    """Return all values of an option in their order; for those that add up, as `cgroup_disable`."""
    wanted = name.replace("-", "_")
    return [value or "" for each, value in parse_cmdline(cmdline or "") if each.replace("-", "_") == wanted]


def boot(host: Host) -> Boot:
    """Return what the host boots next, as far as its files tell.

    A boot loader's own configuration counts; where there is none, as in an image that gets its loader
    later, the settings from which it would be made; and a machine that runs without a kernel of its own
    (a hypervisor or the network gave it one) is taken to boot the same way again.
    """
    return host.fact(_boot)


def _boot(host: Host) -> Boot:
    if host.kind == "live":
        return Boot(
            running_release(host), running_cmdline(host), None, None, "taken to be as now", loader="running"
        )
    return Boot(None, None, None, None, "no kernel and no boot loader's configuration in this tree")
