"""Which file system holds a path: what is mounted now, and what the next boot will mount.

Now: /proc/1/mountinfo or /proc/self/mountinfo (proc_pid_mountinfo(5)). At boot: /etc/fstab (fstab(5))
and the enabled mount units of systemd (systemd.mount(5)).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hostcheck._typing import Optional
from hostcheck.facts.files import is_masked, merged_conf, names, text
from hostcheck.host import Host, Unavailable
from hostcheck.record import Record

MOUNTINFO = "/proc/self/mountinfo"
INIT_MOUNTINFO = "/proc/1/mountinfo"
FSTAB = "/etc/fstab"
UNIT_FOLDERS = (
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)
"""Where systemd looks for units, first found wins (systemd.unit(5))."""

BINDS_LIMIT = 8
"""Bind mounts of bind mounts that are followed before they count as a circle."""

_FLAGS = frozenset({"ro", "rw", "nosuid", "suid", "nodev", "dev", "noexec", "exec", "noatime", "relatime"})


class Mount(Record):
    """A file system at a place, now or at the next boot."""

    point: str
    source: str
    type: str
    """As the kernel or fstab names it; `auto` or `none` where fstab leaves it open."""
    options: tuple[str, ...]
    """Those of the mount, then those of the file system."""
    path: str
    """The file that says so."""
    line: int = 0
    id: int = 0
    parent: int = 0
    optional: tuple[str, ...] = ()
    """Propagation, as in mountinfo: `shared:1`, `master:2`, `unbindable`."""
    root: str = "/"
    """The folder of the file system that is seen at the place; not / for bind mounts and subvolumes."""

    @property
    def shared(self) -> bool:
        """Whether mounts made below it propagate."""
        return any(field.startswith("shared:") for field in self.optional)

    def option(self, name: str) -> str | None:
        """Return the value of `name=value`, an empty text for a bare `name`, None if it is not there."""
        for option in self.options:
            key, _, value = option.partition("=")
            if key == name:
                return value
        return None


def unescape(field: str) -> str:
    r"""Return a field of mountinfo or fstab with its octal escapes undone.

    >>> unescape(r"/mnt/my\040disk")
    '/mnt/my disk'
    """
    if "\\" not in field:
        return field
    out: list[str] = []
    at = 0
    while at < len(field):
        digits = field[at + 1 : at + 4]
        if field[at] == "\\" and len(digits) == 3 and all(digit in "01234567" for digit in digits):
            out.append(chr(int(digits, 8) & 0xFF))
            at += 4
        else:
            out.append(field[at])
            at += 1
    return "".join(out)


def parse_mountinfo(text: str, path: str = MOUNTINFO) -> tuple[Mount, ...]:
    """Read /proc/*/mountinfo.

    >>> mount, = parse_mountinfo("36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue")
    >>> mount.point, mount.type, mount.optional, mount.options
    ('/mnt2', 'ext3', ('master:1',), ('rw', 'noatime', 'rw', 'errors=continue'))
    """
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        left, dash, right = line.partition(" - ")
        fields, after = left.split(" "), right.split(" ")
        if (
            not dash
            or len(fields) < 6
            or len(after) < 2
            or not (fields[0].isdecimal() and fields[1].isdecimal())
        ):
            continue
        options = fields[5].split(",") + (after[2].split(",") if len(after) > 2 else [])
        found.append(
            Mount(
                unescape(fields[4]),
                unescape(after[1]),
                after[0],
                tuple(options),
                path,
                number,
                int(fields[0]),
                int(fields[1]),
                tuple(fields[6:]),
                unescape(fields[3]),
            )
        )
    return tuple(found)


def parse_fstab(text: str, path: str = FSTAB) -> tuple[Mount, ...]:
    r"""Read fstab, or /proc/mounts, which has the same form. Swap areas and `noauto` lines are among them.

    >>> mount, = parse_fstab("# <file system>\nUUID=1e2a / ext4 errors=remount-ro 0 1\n")
    >>> mount.point, mount.type, mount.options, mount.line
    ('/', 'ext4', ('errors=remount-ro',), 2)
    >>> parse_fstab("tmpfs\t/mnt/a\\040b\ttmpfs")[0].point
    '/mnt/a b'
    """
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        fields = line.split()
        if len(fields) < 2 or fields[0].startswith("#"):
            continue
        point = unescape(fields[1])
        if point != "/":
            point = point.rstrip("/")
        kind = fields[2] if len(fields) > 2 else "auto"
        options = tuple(unescape(fields[3]).split(",")) if len(fields) > 3 else ("defaults",)
        found.append(Mount(point, unescape(fields[0]), kind, options, path, number))
    return tuple(found)


def parse_mount_unit(text: str, path: str) -> Mount | None:
    r"""Read the `[Mount]` section of a unit; None if it names no place.

    >>> parse_mount_unit("[Mount]\nWhat=tmpfs\nWhere=/tmp\nType=tmpfs\nOptions=nosuid\n", "tmp.mount").point
    '/tmp'
    """
    keys: dict[str, tuple[str, int]] = {}
    section = ""
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip()
        if line.startswith("["):
            section = line
        elif section == "[Mount]" and "=" in line and line[0] not in "#;":
            key, _, value = line.partition("=")
            keys[key.strip()] = (value.strip(), number)
    if not keys.get("Where", ("",))[0].startswith("/"):
        return None
    where = keys["Where"][0]
    options = keys.get("Options", ("", 0))
    return Mount(
        where.rstrip("/") or "/",
        keys.get("What", ("",))[0],
        keys.get("Type", ("",))[0] or "auto",
        tuple(options[0].split(",")) if options[0] else ("defaults",),
        path,
        options[1] or keys["Where"][1],
    )


def mounted(host: Host) -> tuple[Mount, ...]:
    """Return what is mounted now, in the kernel's order.

    Raises:
        Unavailable: the host is not running.

    """
    return host.fact(_mounted)


def _mounted(host: Host) -> tuple[Mount, ...]:
    found = text(host, MOUNTINFO)
    if found:
        own = parse_mountinfo(found)
        return _of_init(host, own) or own
    # A process under hidepid or a sandbox may see only the older list.
    for path in ("/proc/self/mounts", "/proc/mounts"):
        found = text(host, path)
        if found:
            return parse_fstab(found, path)
    raise Unavailable(f"{MOUNTINFO} does not exist: /proc is not mounted")


def _of_init(host: Host, own: tuple[Mount, ...]) -> tuple[Mount, ...]:
    """Return what the first process has mounted, nothing if that cannot be told or is of another root.

    The engines see that. A service that systemd shuts in has the same tree with other options: with
    ProtectSystem=strict everything is read-only to it.
    """
    try:
        found = parse_mountinfo(text(host, INIT_MOUNTINFO) or "", INIT_MOUNTINFO)
    except (PermissionError, Unavailable):
        return ()
    root = _root(own)
    return found if root and root == _root(found) else ()


def _root(mounts: tuple[Mount, ...]) -> tuple[str, str, str] | None:
    """Return what is mounted as the root; a folder that was made the root with chroot(2) is no mount."""
    return next(((m.type, m.source, m.root) for m in reversed(mounts) if m.point == "/"), None)


def fstab(host: Host) -> tuple[Mount, ...]:
    """Return all lines of /etc/fstab, none if there is no such file."""
    return host.fact(_fstab)


def _fstab(host: Host) -> tuple[Mount, ...]:
    return parse_fstab(text(host, FSTAB) or "")


def at_boot(host: Host) -> tuple[Mount, ...]:
    """Return what the next boot mounts by itself: fstab without `noauto` and swap, then mount units."""
    return host.fact(_at_boot)


def _at_boot(host: Host) -> tuple[Mount, ...]:
    units = tuple(_mount_units(host))
    # A unit in /etc replaces the one that systemd's generator makes of fstab for the same place.
    replaced = {unit.point for unit in units if unit.path.startswith("/etc/")}
    lines = tuple(
        mount
        for mount in fstab(host)
        if mount.point.startswith("/")
        and mount.type != "swap"
        and "noauto" not in mount.options
        and mount.point not in replaced
    )
    taken = {mount.point for mount in lines}
    named = lines + tuple(unit for unit in units if unit.point not in taken)
    return _with_disk(host, named)


def _with_disk(host: Host, named: tuple[Mount, ...]) -> tuple[Mount, ...]:
    """Return the mounts with what a disk image knows beside its files: types left open, and unnamed mounts."""
    try:
        brought = {system.point: system.type for system in host.file_systems()}
    except Unavailable:
        return named
    known = tuple(
        mount._replace(type=brought[mount.point])
        if mount.type == "auto" and mount.point in brought
        else mount
        for mount in named
    )
    points = {mount.point for mount in named}
    return known + tuple(
        Mount(point, "", kind, ("defaults",), "") for point, kind in brought.items() if point not in points
    )


def _mount_units(host: Host) -> Iterator[Mount]:
    """Yield the mount units that something wants or requires, with their drop-ins."""
    folders = [
        f for i, f in enumerate(UNIT_FOLDERS) if _folder(host, f) not in map(host.resolve, UNIT_FOLDERS[:i])
    ]
    listed: dict[str, str] = {}
    wanted: set[str] = set()
    for folder in folders:
        for name in _names(host, folder):
            if name.endswith(".mount"):
                listed.setdefault(name, f"{folder}/{name}")
            elif name.endswith((".wants", ".requires")):
                wanted.update(_names(host, f"{folder}/{name}"))
    for name in sorted(wanted & set(listed)):
        path = listed[name]
        try:
            if is_masked(host, path):
                continue
            mount = parse_mount_unit(host.read(path), path)
            for drop_in in merged_conf(host, [f"{folder}/{name}.d" for folder in folders]):
                if mount:
                    mount = _dropped_in(mount, host.read(drop_in), drop_in)
        except (OSError, Unavailable):
            continue
        if mount:
            yield mount


def _dropped_in(mount: Mount, text: str, path: str) -> Mount:
    """Return the mount with a drop-in's What, Type and Options laid over it."""
    added = parse_mount_unit(f"{text}\n[Mount]\nWhere={mount.point}", path)
    if added is None:
        return mount
    if added.source:
        mount = mount._replace(source=added.source)
    if added.type != "auto":
        mount = mount._replace(type=added.type)
    if added.options != ("defaults",):
        mount = mount._replace(options=added.options, path=path, line=added.line)
    return mount


def _folder(host: Host, path: str) -> str:
    try:
        return host.resolve(path)
    except OSError:
        return path


def _names(host: Host, folder: str) -> tuple[str, ...]:
    try:
        return names(host, folder)
    except (PermissionError, Unavailable):
        return ()


def holder(mounts: Iterable[Mount], path: str) -> Mount | None:
    r"""Return the mount that a lookup of `path` ends in, None if no mount holds it.

    Where the mounts know their parents the tree is walked as the kernel does, so that what lies hidden
    below a later mount does not count. Otherwise the longest place wins, and the later of two equal ones.

    >>> holder(parse_fstab("a / ext4\nb /var xfs"), "/var/lib/docker").source
    'b'
    >>> holder(parse_fstab("a / ext4\nb /var xfs"), "/various").source
    'a'
    """
    over = [mount for mount in mounts if is_below(path, mount.point)]
    if not over:
        return None
    ids = {mount.id for mount in over}
    here: Optional[Mount] = next(
        (m for m in over if m.id and m.point == "/" and m.parent not in ids - {m.id}), None
    )
    if here is None:
        best = over[0]
        for mount in over[1:]:
            if len(mount.point) >= len(best.point):
                best = mount
        return best
    seen = {here.id}
    while True:
        inside = [m for m in over if m.parent == here.id and m.id not in seen]
        if not inside:
            return here
        here = min(inside, key=lambda mount: len(mount.point))
        seen.add(here.id)


def is_below(path: str, point: str) -> bool:
    """Return whether `path` is `point` or lies below it.

    >>> is_below("/var/lib", "/var"), is_below("/variable", "/var"), is_below("/var", "/")
    (True, False, True)
    """
    return point == "/" or path == point or path.startswith(point + "/")


def now(host: Host, path: str) -> Mount | None:
    """Return the mount that holds `path` now, links followed.

    Raises:
        Unavailable: the host is not running.

    """
    return holder(mounted(host), _folder(host, path))


def held(host: Host, path: str) -> Iterator[tuple[str, Mount]]:
    """Yield the mounts that hold a path, `now` and after the next `boot`, as far as they are known."""
    current = now(host, path) if host.kind == "live" else None
    if current:
        yield "now", current
    upcoming = boot(host, path)
    # A root that fstab leaves out, and a mount that something else makes, say nothing of the next boot.
    if upcoming and (current is None or len(upcoming.point) >= len(current.point)):
        yield "boot", upcoming


def boot(host: Host, path: str) -> Mount | None:
    """Return the mount that will hold `path` after the next boot, None if no file says so.

    A bind mount has the type of what it shows, and its flags unless it sets its own. Of two lines for one
    place the first counts: systemd's generator refuses the second (systemd-fstab-generator(8)).
    """
    return _boot(host, _folder(host, path), 0)


def _boot(host: Host, path: str, depth: int) -> Mount | None:
    found = holder(tuple(reversed(at_boot(host))), path)
    if found is None or not {"bind", "rbind"} & set(found.options):
        return found
    shown = _boot(host, _folder(host, found.source), depth + 1) if depth < BINDS_LIMIT else None
    if shown is None:
        return found._replace(type="auto")
    # Flags beside `bind` are set by a second mount call, which replaces those of the source (mount(8)).
    flags = found.options if set(found.options) & _FLAGS else found.options + shown.options
    return found._replace(type=shown.type, options=flags, root=found.source)


GENERATED = ("/run/systemd/generator.early", "/run/systemd/generator", "/run/systemd/generator.late")


def unit_name(place: str, kind: str = "mount") -> str:
    r"""Return what systemd calls the unit of a mount, or of a swap; of plain names only (systemd-escape(1)).

    >>> unit_name("/srv/my-disk")
    'srv-my\\x2ddisk.mount'
    """
    return (place.strip("/").replace("-", "\\x2d").replace("/", "-") or "-") + f".{kind}"


def is_forgotten(host: Host, mount: Mount) -> bool:
    """Return whether what is mounted now is a disk that the next boot of systemd will not mount.

    Only where fstab names the root can it be told: elsewhere an initrd, another system or somebody's program mounts.
    """
    if mount.root != "/" or not (mount.source.startswith("/dev/") or mount.type == "zfs"):
        return False
    if mount.point == "/" or not any(each.point == "/" for each in fstab(host)):
        return False
    unit = unit_name(mount.point)
    if mount.point in {each.point for each in at_boot(host)} or any(
        host.exists(f"{folder}/{unit}") for folder in GENERATED
    ):
        return False
    return mount.type != "zfs" or not any(
        "zfs-mount.service" in _names(host, f"{folder}/{name}")
        for folder in UNIT_FOLDERS
        for name in ("zfs.target.wants", "local-fs.target.wants", "multi-user.target.wants")
    )


def export(host: Host) -> dict[str, object]:
    """Return every place with its file system, now and at the next boot."""
    found: dict[str, object] = {}
    at_next = {mount.point: mount for mount in reversed(at_boot(host))}
    try:
        present = {mount.point: mount for mount in mounted(host)}
    except Unavailable:
        present = {}
    for point in sorted({*at_next, *present}):
        leaf = _leaf(present.get(point) or at_next[point])
        if present and _value(present.get(point)) != _value(at_next.get(point)):
            leaf["now"], leaf["boot"] = _value(present.get(point)), _value(at_next.get(point))
        found[point] = leaf
    return found


def _leaf(mount: Mount) -> dict[str, object]:
    return {"value": _value(mount), "path": mount.path, "line": mount.line}


def _value(mount: Mount | None) -> dict[str, object] | None:
    if mount is None:
        return None
    return {"source": mount.source, "type": mount.type, "options": ",".join(dict.fromkeys(mount.options))}


def brought(host: Host, folder: str) -> str:
    """Return what makes a folder at boot: a mount point, or a file of tmpfiles.d; empty if nothing does."""
    mount = boot(host, folder)
    if mount and mount.point != "/":
        return mount.point
    for path in merged_conf(host, ("/etc/tmpfiles.d", "/run/tmpfiles.d", "/usr/lib/tmpfiles.d")):
        lines = (text(host, path) or "").splitlines()
        if any(line.split()[1:2] == [folder] for line in lines):
            return path.rpartition("/")[2]
    return ""
