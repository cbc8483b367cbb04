"""Memory, processors, swap, and the counters that run out: numbers of processes and open files.

All of it is read as text below /proc, through the host, so that it can be recorded with the rest; psutil
would ask the machine that hostcheck runs on.
"""

from __future__ import annotations

from hostcheck._typing import Optional
from hostcheck.facts import mounts
from hostcheck.facts.files import is_masked, kernel_text, names, text
from hostcheck.host import Host, Unavailable
from hostcheck.record import Record

X86_64_V2 = ("cx16", "lahf_lm", "popcnt", "pni", "sse4_1", "sse4_2", "ssse3")
"""Flags of /proc/cpuinfo that make the level x86-64-v2 (x86-64 psABI, section 3.1.1; pni is SSE3)."""


class Swap(Record):
    """A swap area, in use now or at the next boot."""

    name: str
    path: str
    line: Optional[int]


def parse_meminfo(text: str) -> dict[str, int]:
    r"""Return the fields of /proc/meminfo in bytes (counts of pages, which have no unit, as they are).

    >>> parse_meminfo("MemTotal:        2048 kB\nHugePages_Total:       3")
    {'MemTotal': 2097152, 'HugePages_Total': 3}
    """
    found = {}
    for line in text.split("\n"):
        name, _, rest = line.partition(":")
        fields = rest.split()
        if fields and fields[0].isdecimal():
            found[name.strip()] = int(fields[0]) * (1024 if fields[1:] == ["kB"] else 1)
    return found


def memory(host: Host) -> dict[str, int]:
    """Return /proc/meminfo in bytes.

    Raises:
        Unavailable: the host is not running.

    """
    found = parse_meminfo(kernel_text(host, "/proc/meminfo"))
    if "MemTotal" not in found:
        raise Unavailable("/proc/meminfo names no MemTotal")
    return found


def parse_cpu_list(text: str) -> int:
    """Return how many processors a list such as `0-3,8` names.

    >>> parse_cpu_list("0-3,8")
    5
    """
    count = 0
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        if first.isdecimal():
            count += int(last) - int(first) + 1 if last.isdecimal() else 1
    return count


def cpus(host: Host) -> tuple[int, str]:
    """Return how many processors are online, and the file that says so.

    Raises:
        Unavailable: the host is not running, or does not say.

    """
    path = "/sys/devices/system/cpu/online"
    found = text(host, path)
    count = parse_cpu_list(found) if found else 0
    if not count:
        path = "/proc/cpuinfo"
        count = sum(1 for line in host.read(path).split("\n") if line.startswith("processor"))
    if not count:
        raise Unavailable("neither /sys/devices/system/cpu/online nor /proc/cpuinfo names a processor")
    return count, path


def parse_cpuinfo(text: str) -> dict[str, str]:
    r"""Return the first value of every field of /proc/cpuinfo.

    >>> parse_cpuinfo("processor : 0\nmodel name\t: Common KVM processor\nflags\t: fpu lm\n")["flags"]
    'fpu lm'
    """
    found: dict[str, str] = {}
    for line in text.split("\n"):
        name, colon, value = line.partition(":")
        if colon:
            found.setdefault(name.strip(), value.strip())
    return found


def missing_v2_flags(flags: str) -> tuple[str, ...]:
    """Return the flags that a processor lacks for x86-64-v2.

    >>> missing_v2_flags("lm cx16 lahf_lm popcnt pni sse4_1 ssse3")
    ('sse4_2',)
    """
    have = set(flags.split())
    return tuple(flag for flag in X86_64_V2 if flag not in have)


def parse_swaps(text: str, path: str = "/proc/swaps") -> tuple[Swap, ...]:
    r"""Return the swap areas of /proc/swaps.

    >>> parse_swaps("Filename  Type  Size  Used  Priority\n/swap.img  file  2097148  0  -2\n")[0].name
    '/swap.img'
    """
    lines = text.split("\n")
    return tuple(
        Swap(mounts.unescape(line.split()[0]), path, number)
        for number, line in enumerate(lines[1:], 2)
        if len(line.split()) >= 3
    )


def swaps(host: Host) -> tuple[Swap, ...]:
    """Return the swap areas in use now.

    Raises:
        Unavailable: the host is not running.

    """
    return parse_swaps(text(host, "/proc/swaps") or "")


def swaps_at_boot(host: Host) -> tuple[Swap, ...]:
    """Return the swap areas that the next boot turns on: fstab, swap units and the zram generator.

    Source: fstab(5), systemd.swap(5), zram-generator.conf(5).
    """
    masked = _masked(host)
    found = [
        Swap(line.source, line.path, line.line)
        for line in mounts.fstab(host)
        if line.type == "swap"
        and "noauto" not in line.options
        and mounts.unit_name(line.source, "swap") not in masked
    ]
    for folder in mounts.UNIT_FOLDERS[:1] + mounts.UNIT_FOLDERS[3:4]:
        for name in _names(host, f"{folder}/swap.target.wants"):
            if name not in masked:
                found.append(Swap(name, f"{folder}/swap.target.wants/{name}", None))
    for path in ("/etc/systemd/zram-generator.conf", "/usr/lib/systemd/zram-generator.conf"):
        content = text(host, path)
        if content is None:
            continue
        for number, line in enumerate(content.split("\n"), 1):
            if line.strip().startswith("[zram") and _generator(host):
                found.append(Swap(line.strip().strip("[]"), path, number))
        break
    return tuple(found)


def _generator(host: Host) -> bool:
    folder = "/usr/lib/systemd/system-generators"
    return host.exists(f"{folder}/zram-generator")


def _masked(host: Host) -> frozenset[str]:
    folder = "/etc/systemd/system"
    masked = {
        name
        for name in _names(host, folder)
        if name.endswith(".swap") and is_masked(host, f"{folder}/{name}")
    }
    return frozenset(masked)


def _names(host: Host, folder: str) -> tuple[str, ...]:
    try:
        return names(host, folder)
    except (PermissionError, Unavailable):
        return ()


def number(host: Host, path: str) -> int | None:
    """Return the number in a one-line file below /proc or /sys, None if it holds none or is not there."""
    found = (text(host, path) or "").split()
    return int(found[0]) if found and found[0].isdecimal() else None


def threads(host: Host) -> int | None:
    """Return how many processes and threads exist now (the fourth field of /proc/loadavg), None if unknown."""
    fields = (text(host, "/proc/loadavg") or "").split()
    total = fields[3].partition("/")[2] if len(fields) > 3 else ""
    return int(total) if total.isdecimal() else None


def open_files(host: Host) -> tuple[int, int] | None:
    """Return how many files are open in the whole system and how many may be (fs.file-nr); None if unknown."""
    fields = (text(host, "/proc/sys/fs/file-nr") or "").split()
    if len(fields) != 3 or not all(field.isdecimal() for field in fields):
        return None
    return int(fields[0]), int(fields[2])


def export(host: Host) -> dict[str, object]:
    """Return memory, processors and swap."""
    found: dict[str, object] = {
        "swap_at_boot": {
            "value": [swap.name for swap in swaps_at_boot(host)],
            "path": mounts.FSTAB,
            "line": None,
        }
    }
    if host.kind != "live":
        return found
    found["memory"] = {"value": memory(host)["MemTotal"], "path": "/proc/meminfo", "line": 1}
    count, path = cpus(host)
    found["cpus"] = {"value": count, "path": path, "line": None}
    found["swap"] = {"value": [swap.name for swap in swaps(host)], "path": "/proc/swaps", "line": None}
    found["pid_max"] = {
        "value": number(host, "/proc/sys/kernel/pid_max"),
        "path": "/proc/sys/kernel/pid_max",
        "line": 1,
    }
    return found
