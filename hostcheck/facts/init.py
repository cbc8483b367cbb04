"""Which program is the host's first process, and how it will set up control groups."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from hostcheck._typing import Optional
from hostcheck.facts import boot as boot_facts
from hostcheck.facts.files import names, text
from hostcheck.facts.packages import known
from hostcheck.host import Host, Unavailable
from hostcheck.record import Record

SYSTEMD_FOLDERS = ("/usr/lib/systemd", "/lib/systemd", "/usr/lib64/systemd")
_NEEDLE = b"default-hierarchy="
_CHUNK = 1 << 20
_SEARCH_LIMIT = 16 << 20
"""Bytes. The largest libsystemd-shared seen is 5 MB."""


class Init(Record):
    """The first process."""

    name: str
    """`systemd`, `openrc`, `sysvinit`, `runit`, `busybox`, `s6`, `dinit`, `upstart`, or the program's own name."""
    path: Optional[str]
    """The file that says so."""
    version: Optional[str] = None
    """As its package or its library has it."""
    version_path: Optional[str] = None

    @property
    def major(self) -> int | None:
        """The first number of the version: systemd counts in whole numbers."""
        digits = ""
        for char in (self.version or "").rpartition(":")[2]:
            if not char.isdecimal():
                break
            digits += char
        return int(digits) if digits else None


_PROGRAMS = (
    ("systemd", "systemd"),
    ("openrc-init", "openrc"),
    ("openrc", "openrc"),
    ("runit", "runit"),
    ("runit-init", "runit"),
    ("s6-svscan", "s6"),
    ("s6-linux-init", "s6"),
    ("dinit", "dinit"),
    ("upstart", "upstart"),
    ("procd", "procd"),
    ("finit", "finit"),
)


def init(host: Host) -> Init | None:
    """Return the init of the next boot, None where none is installed, as in the tree of a container.

    The word init= of the command line, else /sbin/init and its kin, as the kernel tries them
    (init/main.c, kernel_init()).
    """
    return host.fact(_init)


def _init(host: Host) -> Init | None:
    try:
        wanted = boot_facts.option(boot_facts.boot(host).cmdline, "init")
    except (OSError, Unavailable):
        wanted = None
    for path in (wanted, "/sbin/init", "/etc/init", "/bin/init"):
        if not path:
            continue
        try:
            if host.stat(path, follow=False) and (found := _named(host, path)):
                return found
        except (FileNotFoundError, PermissionError, Unavailable):
            continue
    # Without a link at /sbin/init: the image gets its own, or boots with init=.
    for folder in SYSTEMD_FOLDERS:
        if _is_there(host, f"{folder}/systemd"):
            return _systemd(host, f"{folder}/systemd")
    return _systemd(host, None) if known(host, "systemd") else None


def _named(host: Host, path: str) -> Init | None:
    resolved = host.resolve(path)
    if not _is_there(host, resolved) and not posixpath.basename(resolved).startswith("systemd"):
        return None
    base = posixpath.basename(resolved)
    for program, name in _PROGRAMS:
        if base == program:
            return _systemd(host, path) if name == "systemd" else _other(host, name, path)
    if base == "busybox" or base == "init":
        # OpenRC is started by busybox or sysvinit, from /etc/inittab.
        inittab = text(host, "/etc/inittab") or ""
        if "openrc" in inittab or "/sbin/rc " in inittab or _is_there(host, "/sbin/openrc"):
            return _other(host, "openrc", path)
        if base == "busybox":
            return Init("busybox", path)
        if known(host, "upstart"):
            return _other(host, "upstart", path)
        return _other(host, "sysvinit", path)
    return Init(base, path)


def _other(host: Host, name: str, path: str) -> Init:
    package = known(host, *((name, "sysvinit-core") if name == "sysvinit" else (name,)))
    return Init(name, path, package.version, package.path) if package else Init(name, path)


def _is_there(host: Host, path: str) -> bool:
    try:
        return host.exists(path)
    except (PermissionError, Unavailable):
        return False


def _systemd(host: Host, path: str | None) -> Init:
    package = known(host, "systemd")
    if package:
        return Init("systemd", path, package.version, package.path)
    for library in systemd_libraries(host):
        number = posixpath.basename(library)[len("libsystemd-shared-") : -len(".so")]
        return Init("systemd", path, number, library)
    return Init("systemd", path)


def systemd_libraries(host: Host) -> Iterator[str]:
    """Yield the paths of libsystemd-shared-<version>.so."""
    try:
        multiarch = [f"/usr/lib/{name}/systemd" for name in names(host, "/usr/lib") if "-linux-" in name]
    except (PermissionError, Unavailable):
        multiarch = []
    for folder in (*SYSTEMD_FOLDERS, *multiarch):
        try:
            listed = names(host, folder)
        except (PermissionError, Unavailable):
            continue
        for name in listed:
            if name.startswith("libsystemd-shared-") and name.endswith(".so"):
                yield f"{folder}/{name}"


def default_hierarchy(host: Host) -> tuple[str, str] | None:
    """Return the hierarchy that systemd is compiled to mount, and the file whose bytes say so.

    `legacy`, `hybrid` or `unified`: the list of features that `systemctl --version` prints is in
    libsystemd-shared, or in systemd itself up to 249. None where no file has it: before 233 there was no
    choice, and from 256 on there is none.
    """
    return host.fact(_default_hierarchy)


def _default_hierarchy(host: Host) -> tuple[str, str] | None:
    programs = [f"{folder}/systemd" for folder in SYSTEMD_FOLDERS]
    for path in dict.fromkeys([*systemd_libraries(host), *programs]):
        try:
            value = _after(host, path, _NEEDLE)
        except (FileNotFoundError, PermissionError, Unavailable):
            continue
        for name in ("unified", "hybrid", "legacy"):
            if (value or b"").startswith(name.encode()):
                return name, path
    return None


def raises_open_files(host: Host) -> bool:
    """Return whether systemd, as it is compiled, raises fs.nr_open to the most that the kernel takes while it boots.

    So it is upstream since 240; Debian up to 12 switched it off (meson_options.txt, bump-proc-sys-fs-nr-open). What
    it then says to its log is in the program only if it does so.
    """
    return host.fact(_raises_open_files)


def _raises_open_files(host: Host) -> bool:
    for folder in SYSTEMD_FOLDERS:
        try:
            return _after(host, f"{folder}/systemd", b"bumped fs.nr_open") is not None
        except (FileNotFoundError, PermissionError, Unavailable):
            continue
    return False


def _after(host: Host, path: str, needle: bytes) -> bytes | None:
    """Return the few bytes behind the needle in a program, None if it has none."""
    offset = 0
    tail = b""
    while offset < _SEARCH_LIMIT:
        data = host.read_bytes(path, limit=_CHUNK, offset=offset)
        if not data:
            return None
        window = tail + data
        at = window.find(needle)
        # What stands behind it may begin in the next piece.
        if at >= 0 and (len(window) >= at + len(needle) + 8 or len(data) < _CHUNK):
            return window[at + len(needle) :][:8]
        # Long enough for the needle and its value, wherever the cut falls.
        tail = window[-32:]
        offset += len(data)
    return None


def running(host: Host) -> str | None:
    """Return the name of process 1 (its comm), None where it is not to be seen.

    Raises:
        Unavailable: nothing runs.

    """
    found = text(host, "/proc/1/comm")
    return found.strip() if found else None
