"""Kernel settings: what they are now, and what the init system will have set after the next boot.

At boot systemd-sysctl(8) runs where systemd is the init, and `sysctl --system` of procps(8) or busybox
elsewhere. The two read the same folders by different rules: sysctl.d(5) of systemd, sysctl(8) of procps.

A key is written with dots, as sysctl(8) prints it; a dot inside a component, as in the interface
`eth0.100`, is then a slash: `net.ipv4.conf.eth0/100.rp_filter`.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping

from hostcheck._typing import Callable, Optional
from hostcheck.facts import files
from hostcheck.host import Host, Unavailable
from hostcheck.record import Record

FOLDERS = ("/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d", "/lib/sysctl.d")
"""Where drop-ins lie, the one that counts first (systemd: CONF_PATHS_NULSTR("sysctl.d"), sysctl(8))."""

CONF = "/etc/sysctl.conf"
"""What `sysctl --system` reads last, and systemd-sysctl only by a link in a folder."""

RUNLEVELS = ("sysinit", "boot", "default")
"""Those that OpenRC passes at every boot."""

LINE_LIMIT = 1 << 20
"""Bytes. systemd gives a file up at a longer line (LONG_LINE_MAX in basic/fileio.h)."""

LINES_LIMIT = 100_000
"""Lines of all files together."""

NAMES = {
    "net.ipv4.ip_forward": "net.ipv4.conf.all.forwarding",
    "fs.inotify.max_user_instances": "user.max_inotify_instances",
    "fs.inotify.max_user_watches": "user.max_inotify_watches",
}
ALIASES = {**NAMES, **{other: name for name, other in NAMES.items()}}
"""Two names of one switch: the later write counts.

Source: kernel, net/ipv4/devinet.c (devinet_sysctl_forward), fs/notify/inotify/inotify_user.c (inotify_table).
"""


class Assignment(Record):
    """One line of a sysctl.d file."""

    path: str
    """As in /proc/sys: `net/ipv4/ip_forward`; may hold the wildcards of glob(7)."""
    text: Optional[str]
    """As written, None for a line `-key` that keeps the key out of wildcards."""
    source: files.Source
    tolerant: bool = False
    """Whether a `-` before the key says that failing is no error."""


class Setting(Record):
    """What one key will be set to at boot."""

    value: Optional[str]
    """As the kernel will show it; None if the kernel refuses the text, and its own default stays."""
    text: str
    """As written."""
    path: str
    """The file that counts."""
    line: int
    """The line in it, from 1."""
    overridden: tuple[Assignment, ...] = ()
    """Lines that set the same key and do not count, earliest first."""
    order: int = 0
    """The place in the order of the writes."""


def normalize(key: str) -> str:
    """Return the path below /proc/sys that a written key names.

    The first separator decides: after a slash dots stay dots, after a dot the two change places.
    Source: systemd, sysctl_normalize() in shared/sysctl-util.c; procps does the same.

    >>> normalize("net.ipv4.conf.eth0/100.rp_filter")
    'net/ipv4/conf/eth0.100/rp_filter'
    >>> normalize("net/ipv4/conf/eth0.100/rp_filter")
    'net/ipv4/conf/eth0.100/rp_filter'
    """
    slash, dot = key.find("/"), key.find(".")
    if dot >= 0 and (slash < 0 or dot < slash):
        key = dotted(key)
    return "/".join(part for part in key.split("/") if part not in ("", "."))


def dotted(path: str) -> str:
    """Return the key of a path below /proc/sys, as sysctl(8) prints it.

    >>> dotted("net/ipv4/conf/eth0.100/rp_filter")
    'net.ipv4.conf.eth0/100.rp_filter'
    """
    return path.translate({0x2E: "/", 0x2F: "."})


def is_glob(path: str) -> bool:
    """Return whether a path holds a wildcard (systemd: string_is_glob())."""
    return any(char in path for char in "*?[")


def matches(path: str, pattern: str) -> bool:
    """Return whether glob(7) would find `path` by `pattern`: a wildcard never matches a slash.

    >>> matches("net/ipv4/conf/all/forwarding", "net/*/conf/*/forwarding")
    True
    >>> matches("net/ipv4/conf/all/forwarding", "net/*/forwarding")
    False
    """
    # Imported here: few hosts have a wildcard among their settings.
    from fnmatch import fnmatchcase

    parts, wanted = path.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(
        fnmatchcase(part, want) and not (part.startswith(".") and not want.startswith("."))
        for part, want in zip(parts, wanted)
    )


def parse_sysctl_conf(text: str, path: str = "") -> list[Assignment]:
    r"""Return the assignments of a file as systemd-sysctl reads it, in their order.

    Comments begin a line; behind a value they are part of it. There are no quotes and no continuation
    lines. Source: systemd, parse_file() in sysctl/sysctl.c and read_line() in basic/fileio.c, which ends a
    line at a newline, a carriage return or a NUL.

    >>> [(a.path, a.text) for a in parse_sysctl_conf("# one\nvm.swappiness = 10 # low\n-fs.nr_open\n")]
    [('vm/swappiness', '10 # low'), ('fs/nr_open', None)]
    """
    found = []
    for number, whole in enumerate(text.split("\n"), 1):
        if len(whole) > LINE_LIMIT:
            break
        for raw in whole.replace("\0", "\r").split("\r") if "\0" in whole or "\r" in whole else (whole,):
            line = raw.strip(" \t")
            if not line or line[0] in "#;":
                continue
            key, equals, value = line.partition("=")
            tolerant = key.startswith("-")
            if not equals and not tolerant:
                continue
            path_in_proc = normalize(key[1 if tolerant else 0 :].strip(" \t"))
            if path_in_proc:
                found.append(
                    Assignment(
                        path_in_proc,
                        value.strip(" \t") if equals else None,
                        files.Source(path, number),
                        tolerant,
                    )
                )
    return found


def parse_procps_conf(text: str, path: str = "") -> list[Assignment]:
    r"""Return the assignments of a file as procps's sysctl reads it.

    It differs from systemd-sysctl in little: a blank after the `-` is part of the key, and only a newline
    ends a line. Source: procps-ng 4, parse_setting_line() in src/sysctl.c.

    >>> [(a.path, a.text) for a in parse_procps_conf("vm.swappiness = 10\n")]
    [('vm/swappiness', '10')]
    """
    found = []
    for number, whole in enumerate(text.split("\n"), 1):
        line = whole.split("\0", 1)[0].strip()
        if len(line) < 2 or line[0] in "#;":
            continue
        key, equals, value = line.partition("=")
        tolerant = key.startswith("-")
        if not equals and not tolerant:
            continue
        key = key.lstrip("-").rstrip()
        # A trailing slash stays, and names no file.
        if not key.endswith("/"):
            source = files.Source(path, number)
            found.append(Assignment(normalize(key), value.strip() if equals else None, source, tolerant))
    return found


class BootSettings(Mapping[str, Setting]):
    """What will be set at boot: key to `Setting`.

    Any key can be asked for, and gets what a wildcard gives it; iteration gives the keys that are written
    out, and those that wildcards are known to match.
    """

    def __init__(
        self, assignments: Iterable[Assignment], known: Iterable[str] = (), sequential: bool = False
    ) -> None:
        """Decide which assignment counts.

        Args:
            assignments: the lines in the order in which they are read.
            known: paths below /proc/sys that exist, for wildcards.
            sequential: whether each line is written on its own, as procps does; systemd-sysctl writes a key
                once, with its last line.

        """
        self._explicit: dict[str, list[Assignment]] = {}
        self._globs: dict[str, list[Assignment]] = {}
        self._order: dict[str, int] = {}
        self._sequential = sequential
        for place, line in enumerate(assignments):
            table = self._globs if is_glob(line.path) else self._explicit
            lines = table.setdefault(line.path, [])
            # systemd-sysctl leaves a key in its place in the order if the same value comes again.
            if not lines or lines[-1].text != line.text or sequential:
                self._order[line.path] = place
            lines.append(line)
        self._keys: dict[str, None] = {}
        for path, lines in self._explicit.items():
            if self._counting(lines):
                self._keys[dotted(path)] = None
        if self._globs:
            for path in known:
                if path not in self._explicit and any(matches(path, pattern) for pattern in self._globs):
                    self._keys[dotted(path)] = None

    def _counting(self, lines: list[Assignment]) -> Assignment | None:
        if self._sequential:
            written = [line for line in lines if line.text is not None]
            taken = [line for line in written if kernel_value(line.path, line.text or "") is not None]
            best = taken or written
            return best[-1] if best else None
        return lines[-1] if lines[-1].text is not None else None

    def __getitem__(self, key: str) -> Setting:
        path = normalize(key)
        if path in self._explicit:
            # `-key` alone stands for "no wildcard sets this".
            lines, order = self._explicit[path], self._order[path]
        else:
            hits = sorted(
                (self._order[p], p)
                for p in self._globs
                if self._counting(self._globs[p]) and matches(path, p)
            )
            if not hits:
                raise KeyError(key)
            lines, order = [line for _, p in hits for line in self._globs[p]], hits[-1][0]
        counting = self._counting(lines)
        if counting is None:
            raise KeyError(key)
        text = counting.text or ""
        return Setting(
            kernel_value(path, text),
            text,
            counting.source.path,
            counting.source.line,
            tuple(line for line in lines if line is not counting),
            order,
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: object) -> bool:
        try:
            self[str(key)]
        except KeyError:
            return False
        return True

    @property
    def patterns(self) -> tuple[str, ...]:
        """The wildcards that set something, as paths."""
        return tuple(self._globs)


# What the kernel makes of a text. A handler of kernel/sysctl.c, and its limits where it has some.
_LONG_MAX = (1 << 63) - 1
_INT_MAX = (1 << 31) - 1

TEXTS = frozenset(
    {
        "kernel/core_pattern",
        "kernel/domainname",
        "kernel/hostname",
        "kernel/hotplug",
        "kernel/modprobe",
        "kernel/poweroff_cmd",
        "kernel/seccomp/actions_logged",
        "kernel/sched_domain",
        "net/core/default_qdisc",
        "net/ipv4/ip_local_reserved_ports",
        "net/ipv4/tcp_allowed_congestion_control",
        "net/ipv4/tcp_congestion_control",
        "net/ipv4/tcp_fastopen_key",
        "vm/numa_zonelist_order",
    }
)
"""Keys whose value is no number: any text is kept as far as this program can tell."""

LISTS = frozenset(
    {
        "kernel/printk",
        "kernel/sem",
        "kernel/usermodehelper/bset",
        "kernel/usermodehelper/inheritable",
        "net/ipv4/ip_local_port_range",
        "net/ipv4/ping_group_range",
        "net/ipv4/tcp_mem",
        "net/ipv4/tcp_rmem",
        "net/ipv4/tcp_wmem",
        "net/ipv4/udp_mem",
        "vm/lowmem_reserve_ratio",
    }
)
"""Keys that hold several numbers."""

RANGES: dict[str, tuple[int, int]] = {
    "fs/aio-max-nr": (0, _LONG_MAX),
    "fs/file-max": (0, _LONG_MAX),
    "fs/inotify/max_queued_events": (0, _INT_MAX),
    "fs/inotify/max_user_instances": (0, _INT_MAX),
    "fs/inotify/max_user_watches": (0, _INT_MAX),
    "fs/may_detach_mounts": (0, 1),
    "fs/nr_open": (64, _INT_MAX),
    "fs/protected_fifos": (0, 2),
    "fs/protected_hardlinks": (0, 1),
    "fs/protected_regular": (0, 2),
    "fs/protected_symlinks": (0, 1),
    "fs/suid_dumpable": (0, 2),
    "kernel/dmesg_restrict": (0, 1),
    "kernel/keys/maxbytes": (0, _INT_MAX),
    "kernel/keys/maxkeys": (1, _INT_MAX),
    "kernel/keys/root_maxbytes": (0, _INT_MAX),
    "kernel/keys/root_maxkeys": (1, _INT_MAX),
    "kernel/kptr_restrict": (0, 2),
    "kernel/pid_max": (301, 4194304),
    "kernel/shmall": (0, _LONG_MAX),
    "kernel/shmmax": (0, _LONG_MAX),
    "kernel/threads-max": (1, 1073741823),
    "net/core/somaxconn": (0, _INT_MAX),
    "net/ipv4/ip_unprivileged_port_start": (0, 65535),
    "user/max_cgroup_namespaces": (0, _INT_MAX),
    "user/max_ipc_namespaces": (0, _INT_MAX),
    "user/max_mnt_namespaces": (0, _INT_MAX),
    "user/max_net_namespaces": (0, _INT_MAX),
    "user/max_pid_namespaces": (0, _INT_MAX),
    "user/max_user_namespaces": (0, _INT_MAX),
    "user/max_uts_namespaces": (0, _INT_MAX),
    "vm/dirty_background_bytes": (0, _LONG_MAX),
    "vm/dirty_bytes": (0, _LONG_MAX),
    "vm/max_map_count": (0, _INT_MAX),
    "vm/min_free_kbytes": (0, _INT_MAX),
    "vm/mmap_min_addr": (0, _LONG_MAX),
    "vm/overcommit_memory": (0, 2),
    "vm/panic_on_oom": (0, 2),
    "vm/swappiness": (0, 200),
}
"""Keys whose handler has limits (proc_dointvec_minmax and its like); others take any C int."""


def parse_kernel_int(text: str) -> int | None:
    """Return the number that a handler of one number reads, None if it refuses the text.

    Blanks before it are skipped, `0x` and a leading 0 choose the base, no `+`; behind it must come the end
    or a blank, and what comes after the blank is not looked at. Source: proc_get_long() in kernel/sysctl.c.

    >>> [parse_kernel_int(text) for text in ("010", "1 # yes", "-1", "1a", "+1", "")]
    [8, 1, -1, None, None, None]
    """
    word = (text.split() or [""])[0] if text[:1] not in ("\v", "\f") else ""
    digits = word[1:] if word.startswith("-") else word
    if not digits[:1].isascii() or not digits[:1].isdecimal() or len(word) > 21:
        return None
    if digits[:2] in ("0x", "0X") and len(digits) > 2:
        base, number = 16, digits[2:]
    elif digits.startswith("0"):
        base, number = 8, digits
    else:
        base, number = 10, digits
    if not all(char in "0123456789abcdefABCDEF" for char in number):
        return None
    try:
        value = int(number, base)
    except ValueError:
        return None
    return -value if word.startswith("-") else value


def kernel_value(key: str, text: str) -> str | None:
    """Return what the kernel will show after `text` was written to a key, None if it refuses the text.

    >>> kernel_value("net.ipv4.ip_forward", "010"), kernel_value("net.ipv4.ip_forward", "yes")
    ('8', None)
    >>> kernel_value("net.bridge.bridge-nf-call-iptables", "5")
    '1'
    """
    path = normalize(key)
    if path in TEXTS:
        return text
    if path in LISTS:
        numbers = [parse_kernel_int(word) for word in text.split()]
        good = [str(number) for number in numbers if number is not None]
        return " ".join(good) if good and len(good) == len(numbers) else None
    number = parse_kernel_int(text)
    if number is None:
        # A key that is not known to hold a number may hold text.
        return None if _holds_number(path) else text
    low, high = RANGES.get(path, (-_INT_MAX - 1, _LONG_MAX if not _holds_number(path) else _INT_MAX))
    if not low <= number <= high:
        return None
    if path.startswith("net/bridge/bridge-nf-"):
        # brnf_sysctl_call_tables() in net/bridge/br_netfilter_hooks.c makes every yes a 1.
        return "1" if number else "0"
    return str(number)


def _holds_number(path: str) -> bool:
    """Return whether the key is known to hold one C int or long."""
    return (
        path in RANGES
        or path.startswith(
            (
                "net/ipv4/ip_forward",
                "net/ipv4/conf/",
                "net/ipv6/conf/",
                "net/bridge/",
                "fs/inotify/",
                "user/max_",
            )
        )
        or path
        in (
            "kernel/unprivileged_userns_clone",
            "kernel/apparmor_restrict_unprivileged_userns",
            "kernel/panic",
            "kernel/panic_on_oops",
            "net/netfilter/nf_conntrack_max",
        )
    )


def conf_files(host: Host, hidden: bool = False, folders: tuple[str, ...] = FOLDERS) -> list[str]:
    """Return the drop-in files that count, in the order in which they are read.

    All folders' files are sorted by name together; of two with one name the one in the earlier folder
    counts. Folders that cannot be had, as /run in a tree, are passed over.

    Args:
        host: where to look.
        hidden: whether names that begin with a dot count (procps), or not (systemd).
        folders: where to look, the one that counts first.

    Raises:
        PermissionError: a folder is there and may not be read.
        Unavailable: none of the folders can be had.

    """
    found: dict[str, str] = {}
    for folder, listed in files.listings(host, folders):
        for name in listed:
            if not name.endswith(".conf") or name in found or (name.startswith(".") and not hidden):
                continue
            path = f"{folder}/{name}"
            try:
                if host.stat(path, follow=False).is_dir:
                    continue
            except (FileNotFoundError, Unavailable):
                continue
            found[name] = path
    # Names sort by their bytes, which for UTF-8 is the order of the code points.
    return [found[name] for name in sorted(found)]


def _read(host: Host, path: str) -> str:
    """Return a file's text; what is no readable file (a mask, a loop, a fifo) says nothing."""
    try:
        return host.read(path)
    except (FileNotFoundError, Unavailable):
        return ""


def _lines(
    host: Host, paths: Iterable[str], parse: Callable[[str, str], list[Assignment]]
) -> list[Assignment]:
    """Return what the files assign, in order.

    Raises:
        Unavailable: it is more than anybody writes.

    """
    found: list[Assignment] = []
    for path in paths:
        found += parse(_read(host, path), path)
        if len(found) > LINES_LIMIT:
            raise Unavailable(f"the files of sysctl.d have more than {LINES_LIMIT:,} lines")
    return found


def systemd_assignments(host: Host) -> list[Assignment]:
    """Return every line that systemd-sysctl reads at boot, in order."""
    return _lines(host, conf_files(host), parse_sysctl_conf)


def procps_assignments(host: Host, old: bool = False) -> list[Assignment]:
    """Return every line that `sysctl --system` of procps reads, in order; /etc/sysctl.conf comes last.

    Args:
        host: where to look.
        old: read as procps 3 does, which knows no wildcards and drops a line without a value.

    """
    paths = [*conf_files(host, hidden=True), CONF]
    lines = _lines(host, paths, parse_procps_conf)
    return [line for line in lines if line.text and not is_glob(line.path)] if old else lines


def openrc_assignments(host: Host) -> list[Assignment]:
    """Return every line that Alpine's OpenRC service `sysctl` gives to busybox, in order.

    It reads folder after folder, not name after name: vendor files, /etc/sysctl.d, /etc/sysctl.conf; a
    vendor file counts only if /etc has none of that name. Source: main/openrc/sysctl.initd in aports.
    """
    own = conf_files(host, folders=FOLDERS[:1])
    names = {posixpath.basename(path) for path in own}
    paths = [
        path
        for folder in ("/lib/sysctl.d", "/usr/lib/sysctl.d")
        for path in conf_files(host, folders=(folder,))
        if posixpath.basename(path) not in names
    ]
    paths += [*own, CONF]
    return [line for line in _lines(host, paths, parse_procps_conf) if line.text and not is_glob(line.path)]


def tool(host: Host) -> str:
    """Return what sets sysctls at boot: `systemd`, `openrc`, `procps` or `nothing`.

    systemd, unless /sbin/init is there and is something else. Then it is the init script that is there:
    of OpenRC only if a runlevel has the service.
    """
    for path in ("/sbin/init", "/usr/sbin/init"):
        try:
            real = host.resolve(path)
            host.stat(real)
        except (FileNotFoundError, PermissionError, Unavailable):
            continue
        if posixpath.basename(real) == "systemd":
            return "systemd"
        break
    else:
        return "systemd"
    if not host.exists("/etc/runlevels"):
        return "procps"
    if not any("sysctl" in files.names(host, f"/etc/runlevels/{level}") for level in RUNLEVELS):
        return "nothing"
    # OpenRC's own script asks for --system, Alpine's for one file after another, which busybox can do.
    return "procps" if "--system" in _read(host, "/etc/init.d/sysctl") else "openrc"


def boot_settings(host: Host) -> Mapping[str, Setting]:
    """Return what will be set at the next boot: key to `Setting`.

    A key that nothing sets is missing: it keeps the kernel's default. Keys of modules count as set,
    whether or not the module is loaded by then.

    Raises:
        PermissionError: a file is there and may not be read.
        Unavailable: no folder of such files can be had.

    """
    return host.fact(_boot_settings)


def _boot_settings(host: Host) -> BootSettings:
    which = tool(host)
    reader = {"systemd": systemd_assignments, "procps": procps_assignments, "openrc": openrc_assignments}.get(
        which
    )
    lines = reader(host) if reader else []
    patterns = [line.path for line in lines if is_glob(line.path)]
    known = _known(host, patterns) if patterns else ()
    return BootSettings(lines, known, sequential=which != "systemd")


CONF_NAMES = ("all", "default", "lo")
"""What net/ipv4/conf holds on every machine."""


def _known(host: Host, patterns: Iterable[str]) -> Iterator[str]:
    """Give the paths below /proc/sys that may match; on a tree, those that every kernel has."""
    for pattern in patterns:
        parts = pattern.split("/")
        tops = [""]
        for place, part in enumerate(parts):
            if not is_glob(part):
                tops = [f"{top}/{part}" for top in tops]
                continue
            grown = []
            for top in tops:
                try:
                    grown += [f"{top}/{name}" for name in host.names(f"/proc/sys{top}")]
                except (FileNotFoundError, PermissionError):
                    continue
                except Unavailable:
                    grown += [f"{top}/{name}" for name in _usual_names(top, parts[place:])]
            tops = grown
        yield from (top[1:] for top in tops if matches(top[1:], pattern))


def _usual_names(folder: str, rest: list[str]) -> tuple[str, ...]:
    if folder in ("/net/ipv4/conf", "/net/ipv6/conf", "/net/ipv4/neigh", "/net/ipv6/neigh"):
        return CONF_NAMES
    if folder == "/net":
        return ("ipv4", "ipv6")
    if folder == "/net/bridge":
        return ("bridge-nf-call-arptables", "bridge-nf-call-ip6tables", "bridge-nf-call-iptables")
    return ()


def boot_setting(host: Host, key: str) -> Setting | None:
    """Return what a key will be set to at the next boot, None if nothing sets it.

    Of two names of one switch (`ALIASES`) the later write counts.
    """
    settings = boot_settings(host)
    own = settings.get(key)
    other = settings.get(ALIASES.get(dotted(normalize(key)), ""))
    if own is None or other is None:
        return own or other
    if other.value is None or own.value is None:
        return own if other.value is None else other
    return max(own, other, key=lambda setting: setting.order)


def decider(host: Host, key: str) -> str:
    """Return the name under which a key has to be set to win: its own, or the other where that is written later."""
    other = ALIASES.get(key, "")
    settings = boot_settings(host)
    if other in settings and boot_setting(host, key) == settings[other]:
        return other
    return key


def own_conf(host: Host) -> dict[str, Assignment]:
    """Return what /etc/sysctl.conf assigns: key to its last line."""
    lines = parse_procps_conf(_read(host, CONF), CONF)
    return {dotted(line.path): line for line in lines if line.text and not is_glob(line.path)}


def now(host: Host, key: str) -> str | None:
    """Return what a key is now, None if the kernel has no such key.

    Raises:
        Unavailable: the host is not running.
        PermissionError: only root may read it.

    """
    try:
        text = host.read("/proc/sys/" + normalize(key))
    except FileNotFoundError:
        return None
    return text.rstrip("\n").replace("\t", " ")


OF_INTEREST = (
    "fs.file-max",
    "fs.inotify.max_queued_events",
    "fs.inotify.max_user_instances",
    "fs.inotify.max_user_watches",
    "fs.may_detach_mounts",
    "kernel.apparmor_restrict_unprivileged_userns",
    "kernel.keys.maxbytes",
    "kernel.keys.maxkeys",
    "kernel.keys.root_maxbytes",
    "kernel.keys.root_maxkeys",
    "kernel.panic",
    "kernel.panic_on_oops",
    "kernel.pid_max",
    "kernel.threads-max",
    "kernel.unprivileged_userns_clone",
    "net.bridge.bridge-nf-call-arptables",
    "net.bridge.bridge-nf-call-ip6tables",
    "net.bridge.bridge-nf-call-iptables",
    "net.core.somaxconn",
    "net.ipv4.conf.all.forwarding",
    "net.ipv4.conf.all.rp_filter",
    "net.ipv4.conf.default.forwarding",
    "net.ipv4.conf.default.rp_filter",
    "net.ipv4.ip_forward",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv6.conf.all.disable_ipv6",
    "net.ipv6.conf.all.forwarding",
    "net.ipv6.conf.default.forwarding",
    "net.netfilter.nf_conntrack_max",
    "user.max_user_namespaces",
    "vm.max_map_count",
    "vm.overcommit_memory",
    "vm.panic_on_oom",
    "vm.swappiness",
)
"""Keys that containers depend on, shown on a running host even if nothing sets them."""


def export(host: Host) -> dict[str, object]:
    """Return every key that is set at boot, and on a running host those of interest, with their sources.

    `value` is now on a running host, else the text that is written at boot; `kernel` is there where the
    kernel makes something else of the text, and is None where it refuses it.
    """
    settings = boot_settings(host)
    answer: dict[str, object] = {}
    for key in sorted({*settings, *(OF_INTEREST if host.kind == "live" else ())}):
        setting = boot_setting(host, key)
        leaf: dict[str, object] = {"value": None, "path": None, "line": None}
        if setting is not None:
            leaf.update(value=setting.text, path=setting.path, line=setting.line)
            if setting.value != setting.text:
                leaf["kernel"] = setting.value
        try:
            current = now(host, key)
        except (Unavailable, PermissionError):
            current = None
        if current is None and key not in settings:
            continue
        if current is not None:
            leaf["value"] = current
            if setting is None:
                leaf["path"] = "/proc/sys/" + normalize(key)
            elif setting.value != current:
                leaf["now"], leaf["boot"] = current, setting.text
        answer[key] = leaf
    return answer
