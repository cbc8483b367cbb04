"""A root tree in a disk image: raw, qcow2, vmdk, vhdx or vdi, with partitions, LVM and file systems; or an ISO.

The formats are read by the dissect libraries, the optional extra `images`. Nothing is mounted and nothing is written.
"""

from __future__ import annotations

import io
import logging
import os
import posixpath
from collections.abc import Iterator, Sequence
from importlib import import_module

from hostcheck._typing import Any, BinaryIO, cast
from hostcheck.host import READ_LIMIT, FileStat, FileSystem, NoTarget, Unavailable, ostree
from hostcheck.host.root import RestingHost
from hostcheck.host.superblock import EXT_OFFSET, ext_features, xfs_features
from hostcheck.record import Record

MISSING = "it takes libraries that are not installed: pip install 'hostcheck[images]'"
UNFIT = "its libraries do not run with this Python; an older one may do (3.9 to 3.13)"

TEXT_LIMIT = 1 << 20
"""Bytes of fstab."""

NAMES_LIMIT = 1_000_000
"""Names in one folder."""

VOLUMES_LIMIT = 256
"""Partitions and logical volumes; the rest is not looked at."""

ROWS_LIMIT = 1 << 14
"""Rows of a GPT, which mostly has 128; the library walks through all that it claims to have."""

ESP = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
XBOOTLDR = "bc13c2ff-59e6-4262-a352-b275fd6f7172"
"""GPT partition types (UAPI group, Discoverable Partitions Specification)."""

LIVE_FILES = (
    "/live/filesystem.squashfs",
    "/casper/filesystem.squashfs",
    "/casper/minimal.squashfs",
    "/LiveOS/squashfs.img",
    "/arch/x86_64/airootfs.sfs",
    "/images/install.img",
)
"""Where live systems keep their root on an ISO: Debian, Ubuntu, Fedora and EL, Arch."""


CONTAINERS = (
    (0, b"QFI\xfb", "qcow2", "QCow2Container"),
    (0, b"KDMV", "vmdk", "VmdkContainer"),
    (0, b"COWD", "vmdk", "VmdkContainer"),
    (0, b"vhdxfile", "vhdx", "VhdxContainer"),
    (64, b"\x7f\x10\xda\xbe", "vdi", "VdiContainer"),
)
"""Where which bytes tell a format, and the library's module and class for it; what is none of these is raw."""

FILE_SYSTEMS = (
    (1080, b"\x53\xef", "extfs", "ExtFilesystem"),
    (0, b"XFSB", "xfs", "XfsFilesystem"),
    (0x10040, b"_BHRfS_M", "btrfs", "BtrfsFilesystem"),
    (0, b"hsqs", "squashfs", "SquashFSFilesystem"),
    (54, b"FAT1", "fat", "FatFilesystem"),
    (82, b"FAT32", "fat", "FatFilesystem"),
)
"""The same for file systems. The library would try twenty others, whose import takes longer than the whole run."""

INDEXED = ("ext", "xfs", "squashfs")
"""File systems whose folders the library reads from the start for each name that is looked up."""

BUFFER = 1 << 16
"""Bytes read ahead of a raw image."""

READS_LIMIT = 2_000_000
"""Reads of one image; a whole run takes some thousands. It ends what a hostile image leads in circles."""


class _Nameless(io.RawIOBase):
    """A file without a name, so that no library can find other files of this machine beside it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._left = READS_LIMIT

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: Any) -> int:
        self._left -= 1
        if self._left < 0:
            raise Unavailable("the image is read over and over without an end")
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class _Volume(Record):
    """A partition, a logical volume, or the whole image, with a file system in it."""

    files: Any
    """A dissect file system."""
    type: str
    features: frozenset[str]
    names: frozenset[str]
    """What an fstab may call it: UUID=, LABEL=, PARTUUID=, PARTLABEL=, /dev/mapper/vg-lv, partition number."""
    role: str = ""
    """`esp` or `xbootldr`."""


def is_disk(magic: bytes) -> bool:
    """Return whether a file's first 72 KiB are those of an image that this module reads."""
    return (
        magic[:4] in (b"QFI\xfb", b"KDMV", b"COWD", b"# Di", b"hsqs")
        or magic[:8] == b"vhdxfile"
        or magic[64:68] == b"\x7f\x10\xda\xbe"
        or magic[:4] == b"XFSB"
        or magic[1080:1082] == b"\x53\xef"
        or magic[510:512] == b"\x55\xaa"
        or magic[512:520] in (b"EFI PART", b"LABELONE")
        or magic[32769:32774] == b"CD001"
        or magic[0x10040:0x10048] == b"_BHRfS_M"
    )


def open_disk(file: BinaryIO, name: str) -> DiskHost:
    """Return the root tree of a disk image.

    Raises:
        NoTarget: no root tree is in it, it is damaged or encrypted, or the libraries are missing.

    """
    try:
        from dissect.target import filesystem, volume  # noqa: F401 - what every file system stands on
    except ModuleNotFoundError:
        raise NoTarget(f"{name} is a disk image; {MISSING}") from None
    except ImportError as error:
        # Of Python 3.14 the library's releases up to 3.25 ask for what is gone.
        raise NoTarget(f"{name} is a disk image; {UNFIT}: {error}") from None
    # The libraries log what they try and do not find, which says nothing to a reader of the report.
    logging.getLogger("dissect").setLevel(logging.CRITICAL + 1)
    magic = _peek(file, 0, 4)
    if magic == b"# Di":
        raise NoTarget(
            f"{name} only describes a disk that lies in other files; join them first: "
            f"qemu-img convert -O qcow2 {os.path.basename(name)} disk.qcow2"
        )
    try:
        disk = _unwrapped(_Nameless(file))
    except Exception as error:
        raise NoTarget(f"{name} cannot be opened: {_cause(error)}") from None
    try:
        if _peek(disk, 32769, 5) == b"CD001":
            live = _volume(_live_root(disk, name), (), "")
            return DiskHost(name, [live] if live else [])
        volumes = list(_volumes(volume, disk))
    except NoTarget:
        raise
    except Exception as error:
        # A library that meets a damaged image may raise anything.
        raise NoTarget(f"{name} cannot be read: {_cause(error)}") from None
    return DiskHost(name, volumes)


def _cause(error: BaseException) -> str:
    """Return the innermost reason, which is the one that says something."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {str(error)[:200]}" if str(error) else type(error).__name__


def _peek(file: BinaryIO, offset: int, length: int) -> bytes:
    file.seek(offset)
    data = file.read(length)
    file.seek(0)
    return data


def _opened(kinds: Sequence[tuple[int, bytes, str, str]], file: BinaryIO) -> Any:
    """Return the file as what its bytes say that it is, None if they say nothing that is listed."""
    for offset, magic, module, name in kinds:
        if _peek(file, offset, len(magic)) == magic:
            folder = "containers" if kinds is CONTAINERS else "filesystems"
            return getattr(import_module(f"dissect.target.{folder}.{module}"), name)(file)
    return None


def _unwrapped(file: _Nameless) -> BinaryIO:
    """Return the disk that a format of hypervisors holds, or the file itself."""
    found = _opened(CONTAINERS, cast(BinaryIO, file))
    return cast(BinaryIO, io.BufferedReader(file, BUFFER) if found is None else found)


def _volumes(volume: Any, disk: BinaryIO) -> Iterator[_Volume]:
    """Yield every volume with a file system: the whole disk, or its partitions and what LVM makes of them."""
    whole = _try_volume(disk, (), "")
    if whole is not None:
        yield whole
        return
    parts: list[tuple[Any, list[str], str]] = []
    physical = []
    if _peek(disk, 512, 8) == b"EFI PART":
        rows = int.from_bytes(_peek(disk, 592, 4), "little")
        if rows > ROWS_LIMIT:
            raise ValueError(f"its partition table claims {rows:,} rows")
    try:
        found = list(volume.open(disk).volumes)[:VOLUMES_LIMIT]
    except Exception:
        found = []
    for part in found or [disk]:
        if volume.is_lvm_volume(part):
            physical.append(part)
        elif part is not disk:
            kind = _guid(part.type)
            role = {ESP: "esp", XBOOTLDR: "xbootldr", "239": "esp"}.get(kind, "")
            names = [f"#{part.number}", f"PARTUUID={_guid(part.guid)}", f"PARTLABEL={part.name}"]
            parts.append((part, names, role))
    for group in volume.open_lvm(physical) if physical else ():
        for part in list(group.volumes)[:VOLUMES_LIMIT]:
            parts.append((part, [f"/dev/mapper/{part.name}"], ""))
    for part, names, role in parts:
        made = _try_volume(part, names, role)
        if made is not None:
            yield made


def _guid(value: Any) -> str:
    """Return a partition's GUID or the number of its type as text; the library's releases for Python 3.9 have bytes."""
    if isinstance(value, bytes):
        # Imported here: it costs 2 ms, and later releases have it themselves.
        from uuid import UUID

        value = UUID(bytes_le=value)
    return str(value or "").lower()


def _try_volume(file: BinaryIO, names: Sequence[str], role: str) -> _Volume | None:
    """Return a volume, None if no file system is known in it: swap, empty, encrypted."""
    try:
        return _volume(file, names, role)
    except Exception:
        return None


def _volume(file: BinaryIO, names: Sequence[str], role: str) -> _Volume | None:
    files = _opened(FILE_SYSTEMS, file)
    if files is None:
        return None
    kind, features, labels = _superblock(file, str(files.__type__))
    return _Volume(files, kind, features, frozenset({*names, *labels}), role)


def _superblock(file: BinaryIO, kind: str) -> tuple[str, frozenset[str], list[str]]:
    """Return the type as the kernel names it, features, and the names by which fstab may call it.

    Source: kernel, fs/btrfs (struct btrfs_super_block), fs/fat (struct fat_boot_sector), and `superblock`.
    """
    if kind == "ext":
        block = _peek(file, EXT_OFFSET, 256)
        journal = block[0x5C] & 0x4
        features = ext_features(block)
        kind = "ext4" if features & {"extent", "64bit"} else "ext3" if journal else "ext2"
        return kind, features, [_uuid(block[0x68:0x78]), _label(block[0x78:0x88])]
    if kind == "xfs":
        block = _peek(file, 0, 256)
        return kind, xfs_features(block), [_uuid(block[32:48]), _label(block[108:120])]
    if kind == "btrfs":
        block = _peek(file, 0x10000, 0x22B)
        return kind, frozenset(), [_uuid(block[32:48]), _label(block[0x12B:])]
    if kind == "fat":
        block = _peek(file, 0, 90)
        at = 67 if block[82:87] == b"FAT32" else 39
        serial = block[at : at + 4][::-1].hex().upper()
        label = block[at + 4 : at + 15].decode("latin-1").rstrip()
        return "vfat", frozenset(), [f"UUID={serial[:4]}-{serial[4:]}", f"LABEL={label}"]
    return kind, frozenset(), []


def _uuid(data: bytes) -> str:
    text = data.hex()
    return "UUID=" + "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def _label(data: bytes) -> str:
    return "LABEL=" + data.split(b"\0", 1)[0].decode("utf-8", "replace")


def _live_root(disk: BinaryIO, name: str) -> BinaryIO:
    """Return the root file system that an ISO keeps in a file."""
    import pycdlib

    iso = pycdlib.PyCdlib()
    iso.open_fp(disk)
    way = "rr_path" if iso.has_rock_ridge() else "joliet_path" if iso.has_joliet() else "iso_path"
    for path in LIVE_FILES:
        asked = path if way != "iso_path" else path.upper() + ";1"
        try:
            file = iso.open_file_from_iso(**{way: asked})
            return cast(BinaryIO, cast(Any, file).__enter__())
        except pycdlib.pycdlibexception.PyCdlibException:
            continue
    raise NoTarget(f"{name} is an ISO without a live system: none of {', '.join(LIVE_FILES)} is on it")


class DiskHost(RestingHost):
    """A root tree in a disk image, put together from its file systems as the boot would."""

    kind = "image"

    def __init__(self, name: str, volumes: Sequence[_Volume]) -> None:
        """Find the root among the volumes, and mount the others as its fstab says.

        Raises:
            NoTarget: none holds a root.

        """
        super().__init__(name)
        self._entries: dict[str, Any] = {}
        self._inside_of: dict[str, dict[str, Any]] = {}
        self._mounted: dict[str, _Volume] = {}
        root = next(filter(None, map(_root_of, volumes)), None)
        if root is not None:
            self._mount("/", root)
        elif not self._mount_deployment(volumes):
            seen = ", ".join(sorted({volume.type for volume in volumes})) or "none that is known"
            raise NoTarget(
                f"{name} holds no root file system (file systems: {seen}): it may be encrypted, of a kind that cannot "
                "be read, or an empty disk"
            )
        for spec, point, options in self._fstab():
            other = next((v for v in volumes if _is_named(v, spec)), None)
            if other is not None and point != "/" and point.startswith("/"):
                self._mount(point, _subvolume(other, options))
        self._mount_boot(volumes)

    def _mount(self, point: str, volume: _Volume) -> None:
        self._mounted[point] = volume
        # What was looked up before may lie below the new mount.
        self._entries = {}
        self._inside_of = {}
        self._links = {}

    def _mount_deployment(self, volumes: Sequence[_Volume]) -> bool:
        """Mount what an ostree system boots as its root; False if none of the volumes holds one."""
        disk = next((v for v in volumes if not v.role and _holds(v, ostree.DEPLOY)), None)
        if disk is None:
            return False
        boot = next(
            (v for v in volumes if v is not disk and _holds(v, "/loader") and _holds(v, "/ostree")), None
        )
        boot = boot or disk._replace(files=ostree.Below(disk.files, "/boot"))
        self._mount("/", disk)
        self._mount("/boot", boot)
        root, var = (disk._replace(files=ostree.Below(disk.files, at)) for at in ostree.deployment(self))
        for point, volume in (("/", root), ("/sysroot", disk), ("/var", var), ("/boot", boot)):
            self._mount(point, volume)
        return True

    def _mount_boot(self, volumes: Sequence[_Volume]) -> None:
        """Mount the boot partitions that fstab does not name, as systemd does (systemd-gpt-auto-generator(8))."""
        for role, points in (("xbootldr", ("/boot",)), ("esp", ("/boot/efi", "/boot", "/efi"))):
            volume = next((v for v in volumes if v.role == role), None)
            if volume is None or any(volume.files is mounted.files for mounted in self._mounted.values()):
                continue
            for point in points:
                if point not in self._mounted and self._is_empty(point):
                    self._mount(point, volume)
                    break
            else:
                # Nothing mounts it, and the boot loader reads it all the same.
                self._mount(points[-1], volume)

    def _is_empty(self, point: str) -> bool:
        try:
            return not self.names(point)
        except (OSError, Unavailable):
            return False

    def _fstab(self) -> Iterator[tuple[str, str, str]]:
        try:
            text = self.read_bytes("/etc/fstab", TEXT_LIMIT).decode("utf-8", "replace")
        except (OSError, Unavailable):
            return
        lines = [line.split() for line in text.splitlines()[:1000] if not line.lstrip().startswith("#")]
        # A folder before what is mounted inside it.
        for fields in sorted((f for f in lines if len(f) > 3), key=lambda f: len(f[1])):
            yield fields[0], posixpath.normpath(fields[1]), fields[3]

    def file_systems(self) -> tuple[FileSystem, ...]:
        """See `Host.file_systems`."""
        if self._mounted["/"].type == "squashfs":
            # A live system lays a writable file system over it, an installer unpacks it: not told here.
            raise Unavailable("what a squashfs will lie under is not known from here")
        return tuple(FileSystem(point, v.type, v.features) for point, v in sorted(self._mounted.items()))

    def _entry(self, place: str) -> Any:
        """Return what lies at a place, None if nothing does."""
        if place not in self._entries:
            if len(self._entries) > NAMES_LIMIT:
                self._entries = {}
            self._entries[place] = self._look_up(place)
        return self._entries[place]

    def _look_up(self, place: str) -> Any:
        from dissect.target import exceptions

        try:
            if place in self._mounted:
                return self._mounted[place].files.get("/")
            folder, name = posixpath.split(place)
            parent = self._entry(folder)
            if parent is None or parent.is_symlink() or not parent.is_dir():
                return None
            if parent.fs.__type__ in INDEXED:
                found = self._inside(folder, parent).get(name)
                # What dissect.target before 3.24, the last one for Python 3.9, lists is the entry itself.
                return found if found is None or hasattr(found, "lstat") else found.get()
            if parent.fs.__type__ == "btrfs":
                # dissect.btrfs 1.x looks up a relative name from the top of the subvolume.
                return parent.fs.get(f"{parent.path.rstrip('/')}/{name}")
            return parent.get(name)
        except (exceptions.FileNotFoundError, exceptions.NotADirectoryError):
            return None
        except Exception as error:
            raise Unavailable(f"{place} cannot be read in {self.name}: {_cause(error)}") from None

    def _inside(self, place: str, folder: Any) -> dict[str, Any]:
        """Return what the library lists in a folder, by name; read once."""
        if place not in self._inside_of:
            found: dict[str, Any] = {}
            for entry in folder.scandir():
                found[entry.name] = entry
                if len(found) > NAMES_LIMIT:
                    raise ValueError("too many names")
            self._inside_of[place] = found
        return self._inside_of[place]

    def _found(self, place: str, shown: str) -> Any:
        entry = self._entry(place)
        if entry is None:
            raise FileNotFoundError(f"{shown} does not exist")
        return entry

    def _lstat(self, place: str, shown: str) -> FileStat:
        try:
            found = self._found(place, shown).lstat()
        except (FileNotFoundError, Unavailable):
            raise
        except Exception as error:
            raise Unavailable(f"{shown}: {_cause(error)}") from None
        return FileStat(found.st_mode, found.st_uid, found.st_gid, found.st_size)

    def _read(self, place: str, shown: str, limit: int, offset: int) -> bytes:
        stat = self._lstat(place, shown)
        if not stat.is_file:
            raise Unavailable(f"{shown} is not a regular file")
        if limit == READ_LIMIT and stat.size - offset > limit:
            raise Unavailable(f"{shown} is larger than {limit >> 20} MiB")
        try:
            file = self._found(place, shown).open()
            file.seek(offset)
            return cast(bytes, file.read(max(0, min(limit, stat.size - offset))))
        except Exception as error:
            raise Unavailable(f"{shown}: {_cause(error)}") from None

    def _list(self, place: str, shown: str) -> tuple[str, ...]:
        if not self._lstat(place, shown).is_dir:
            raise FileNotFoundError(f"{shown} is not a folder")
        try:
            return tuple(sorted(self._inside(place, self._found(place, shown))))
        except Exception as error:
            raise Unavailable(f"{shown}: {_cause(error)}") from None

    def _link(self, place: str) -> str | None:
        try:
            entry = self._entry(place)
            return None if entry is None or not entry.is_symlink() else str(entry.readlink())
        except Exception:
            return None


def _is_named(volume: _Volume, spec: str) -> bool:
    """Return whether fstab's first field means this volume."""
    spec = spec.replace('"', "")
    if spec in volume.names or spec.lower() in {name.lower() for name in volume.names if "UUID=" in name}:
        return True
    if spec.startswith("/dev/disk/by-"):
        kind, _, value = spec[len("/dev/disk/by-") :].partition("/")
        return f"{kind.upper()}={value}" in volume.names
    if spec.startswith("/dev/mapper/"):
        return False
    fields = spec.split("/")
    if spec.startswith("/dev/") and len(fields) == 4:
        mapped = "-".join(field.replace("-", "--") for field in fields[2:])
        return f"/dev/mapper/{mapped}" in volume.names
    digits = spec[len(spec.rstrip("0123456789")) :]
    return spec.startswith("/dev/") and bool(digits) and f"#{digits}" in volume.names


def _subvolume(volume: _Volume, options: str) -> _Volume:
    """Return the volume with the btrfs subvolume that the mount options name."""
    if volume.type != "btrfs":
        return volume
    chosen = dict(option.split("=", 1) for option in options.split(",") if "=" in option)
    try:
        if "subvol" in chosen:
            return volume._replace(files=volume.files.open_subvolume(subvol=chosen["subvol"].strip("/")))
        if "subvolid" in chosen:
            return volume._replace(files=volume.files.open_subvolume(subvolid=int(chosen["subvolid"], 0)))
    except Exception:
        return volume
    return volume


def _holds(volume: _Volume, path: str) -> bool:
    try:
        volume.files.get(path)
    except Exception:
        return False
    return True


def _root_of(volume: _Volume) -> _Volume | None:
    """Return the volume, or the btrfs subvolume of it, that holds a root; None if it holds none."""
    if volume.role:
        return None
    candidates = [volume]
    if volume.type == "btrfs":
        try:
            candidates += [volume._replace(files=files) for files in volume.files.iter_subfs()]
        except Exception:
            candidates = [volume]
    for candidate in candidates:
        for path in ("/etc/os-release", "/usr/lib/os-release", "/etc/fstab", "/etc/passwd", "/usr/bin"):
            if _holds(candidate, path):
                return candidate
    return None
