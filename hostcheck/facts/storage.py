"""Where images and containers lie, on which file system, and which storage driver dockerd takes.

The choice of a driver is moby's, release by release: daemon/graphdriver/driver.go and driver_linux.go,
from 29.0 on daemon/image_store_choice.go before it. What a file system must be able to do is the kernel's
(fs/overlayfs/super.c).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from hostcheck._typing import Optional
from hostcheck.facts import containerd, docker, engine, kernel, modules, mounts, packages, releases, toml
from hostcheck.facts.files import text, which
from hostcheck.host import Host, NotApplicable, Unavailable
from hostcheck.host import superblock as superblock_of
from hostcheck.record import Record
from hostcheck.versions import Version

DATA_ROOT = "/var/lib/docker"
CONTAINERD_ROOT = "/var/lib/containerd"

ORDERS: tuple[tuple[str, str], ...] = (
    ("25.0", "overlay2 fuse-overlayfs btrfs zfs vfs"),
    ("24.0", "overlay2 fuse-overlayfs btrfs zfs devicemapper vfs"),
    ("23.0", "overlay2 fuse-overlayfs btrfs zfs aufs overlay devicemapper vfs"),
    ("20.10", "btrfs zfs overlay2 fuse-overlayfs aufs overlay devicemapper vfs"),
    ("17.09", "btrfs zfs overlay2 aufs overlay devicemapper vfs"),
    ("1.13", "aufs btrfs zfs overlay2 overlay devicemapper vfs"),
    ("0", "aufs btrfs zfs devicemapper overlay vfs"),
)
"""Since which release dockerd has these drivers, and in which order it tries them."""

DRIVERS = ("overlay2", "fuse-overlayfs", "btrfs", "zfs", "aufs", "overlay", "devicemapper", "vfs")
"""Every storage driver that dockerd ever had on Linux."""

REMOVED = {"aufs": "24.0", "overlay": "24.0", "devicemapper": "25.0"}
"""Since which release dockerd refuses the driver."""

IMAGE_STORE_DEFAULT = Version("29.0")
"""From this release on an empty data root gets the image store of containerd."""

OWN_OPTIONS: Mapping[str, str] = {
    "overlay2": "overlay2.",
    "overlay": "overlay.",
    "devicemapper": "dm.",
    "btrfs": "btrfs.",
    "zfs": "zfs.",
    "vfs": "",
}
"""How the names of a driver's options begin. vfs (`size`), aufs and fuse-overlayfs refuse or ignore none by name."""

NO_UPPER: Mapping[str, str] = {
    "overlay": "the kernel refuses an overlay as the upper layer of another",
    "overlayfs": "the kernel refuses an overlay as the upper layer of another",
    "aufs": "overlayfs cannot lie on aufs",
    "ecryptfs": "overlayfs cannot lie on eCryptfs, which also shortens file names",
    "nfs": "overlayfs cannot write to NFS",
    "nfs4": "overlayfs cannot write to NFS",
    "cifs": "overlayfs cannot write to SMB",
    "smb3": "overlayfs cannot write to SMB",
    "smbfs": "overlayfs cannot write to SMB",
    "9p": "overlayfs cannot write to 9p",
    "afs": "overlayfs cannot write to AFS",
    "vboxsf": "overlayfs cannot write to a shared folder",
    "ceph": "overlayfs cannot write to CephFS",
    "lustre": "overlayfs cannot write to Lustre",
    "beegfs": "overlayfs cannot write to BeeGFS",
    "orangefs": "overlayfs cannot write to OrangeFS",
    "gfs2": "overlayfs cannot write to GFS2",
    "ocfs2": "overlayfs cannot write to OCFS2",
}
"""File systems that overlayfs does not take as its upper layer, with the reason.

Those that have their names looked up anew each time it takes from Linux 5.7 on, where they also know whiteouts and
extended attributes (ovl_get_upper and ovl_make_workdir in fs/overlayfs/super.c), and none of these does.
"""

NO_LAYERS: Mapping[str, str] = {
    "vfat": "FAT has no symbolic links, owners or modes",
    "msdos": "FAT has no symbolic links, owners or modes",
    "exfat": "exFAT has no symbolic links, owners or modes",
    "ntfs": "NTFS cannot hold layers",
    "ntfs3": "NTFS cannot hold layers",
    "ntfs-3g": "NTFS cannot hold layers",
    "fuseblk": "a FUSE file system such as NTFS or exFAT cannot hold layers",
    "hfsplus": "HFS+ folds case",
    "squashfs": "it is read-only",
    "erofs": "it is read-only",
    "iso9660": "it is read-only",
    "cramfs": "it is read-only",
}
"""File systems on which no driver can unpack an image, with the reason."""

FUSE_CRYPT = ("fuse.encfs", "fuse.gocryptfs", "fuse.cryfs", "fuse.sshfs")
NO_FUSE = "overlayfs cannot write to a file system of FUSE, which knows no whiteouts"
NO_VIRTIOFS = "overlayfs can write to virtiofs from Linux 5.7 on"
ZFS_TOO_OLD = "overlayfs can lie on ZFS from OpenZFS 2.2 on"
VOLATILE = ("tmpfs", "ramfs", "rootfs")


class Driver(Record):
    """What dockerd will do about its storage."""

    name: str
    """The driver, or the snapshotter of containerd; empty where it cannot be told."""
    store: str
    """`graphdriver`, or `containerd` for its image store."""
    how: str
    """`configured`, `prior` (layers of it are there), `default` or `automatic` (first that works)."""
    error: str = ""
    """Why dockerd will refuse to start, empty if it will not."""
    passed_over: tuple[tuple[str, str], ...] = ()
    """What was tried before it, and why it does not work here."""
    prior: tuple[str, ...] = ()
    """Drivers with layers below the data root."""
    path: Optional[str] = None
    line: Optional[int] = None


def _docker(host: Host, key: str) -> tuple[object, str | None, int | None] | None:
    """Return a key of dockerd's effective configuration with its place, None if nothing sets it."""
    setting = docker.effective(host).get(key)
    return None if setting is None else (setting.value, setting.path, setting.line)


def data_root(host: Host) -> tuple[str, str | None, int | None]:
    """Return dockerd's data root, and the file and line that set it (None where it is the default).

    A file that dockerd refuses says all the same where the data lie.
    """
    root = docker.data_root(host)
    try:
        path, line = docker.where(host, "data-root")
    except (NotApplicable, OSError, Unavailable):
        path, line = (docker.config_file(host), None) if root != DATA_ROOT else (None, None)
    return root.rstrip("/") or "/", path, line


def containerd_root(host: Host) -> tuple[str, str | None, int | None]:
    """Return containerd's own root, and the file and line that set it; the default where its file is broken."""
    try:
        found = containerd.config(host)
    except (toml.BadConfig, OSError, Unavailable):
        return CONTAINERD_ROOT, None, None
    root = found.values.get("root")
    if not isinstance(root, str) or not root.startswith("/"):
        return CONTAINERD_ROOT, None, None
    return root.rstrip("/") or "/", found.path, found.line("root")


def _environment(host: Host) -> tuple[str, str | None, int | None] | None:
    """Return DOCKER_DRIVER of docker.service, which outweighs storage-driver; None where it is not set."""
    # Imported here: the unit reader is the largest of the facts.
    from hostcheck.facts import systemd

    try:
        unit = systemd.unit(host, "docker.service")
        found = systemd.environment(host, unit).get("DOCKER_DRIVER") if unit else None
    except (OSError, Unavailable):
        return None
    return found if found and found[0] else None


def drivers(version: Version | None) -> tuple[str, ...]:
    """Return the drivers that a release of dockerd has, in its order; the newest's where it is not known.

    >>> drivers(Version("20.10.24"))[:3]
    ('btrfs', 'zfs', 'overlay2')
    """
    for since, order in ORDERS:
        if version is None or version >= Version(since):
            return tuple(order.split())
    return tuple(ORDERS[-1][1].split())


def prior_drivers(host: Host) -> tuple[str, ...]:
    """Return the drivers, of whatever release, that have left layers below the data root.

    An empty folder does not count, and vfs never does.

    Raises:
        PermissionError: the data root can be read by root only.

    """
    return host.fact(_prior_drivers)


def _prior_drivers(host: Host) -> tuple[str, ...]:
    root = data_root(host)[0]
    found = []
    for name in DRIVERS[:-1]:
        try:
            if host.names(f"{root}/{name}"):
                found.append(name)
        except FileNotFoundError:
            continue
    return tuple(found)


def driver(host: Host) -> Driver:
    """Return which storage dockerd takes at its next start, or why it will refuse.

    Raises:
        NotApplicable: dockerd refuses its configuration before it looks at its storage.
        PermissionError: the data root, which decides, can be read by root only.

    """
    return host.fact(_driver)


def _driver(host: Host) -> Driver:
    version = engine.docker_version(host)
    configured = _environment(host) or _docker(host, "storage-driver")
    name = configured[0] if configured and isinstance(configured[0], str) else ""
    path, line = (configured[1], configured[2]) if configured and name else (None, None)
    explicit, remapped = _snapshotter_feature(host), _docker(host, "userns-remap")
    if version is not None and version < Version("24.0"):
        explicit = None
    elif version is not None and version < IMAGE_STORE_DEFAULT and explicit is None:
        explicit = False
    if name and explicit:
        return _snapshotter(name, path, line)
    if explicit:
        error = ""
        if remapped and remapped[0] and (version is None or version >= IMAGE_STORE_DEFAULT):
            error = "containerd-snapshotter is on together with userns-remap"
        return Driver("overlayfs", "containerd", "configured", error)
    if name:
        if explicit is None and version is not None and _is_snapshotter(name, version):
            return _snapshotter(name, path, line)
        return _configured(host, name, version)._replace(path=path, line=line)
    prior = prior_drivers(host)
    known = drivers(version) if version is not None else DRIVERS
    if "zfs" in prior and _built_without_zfs(host):
        known = tuple(each for each in known if each != "zfs")
    counted = tuple(each for each in prior if each in known)
    if counted:
        return _prior(host, counted, known, version)._replace(prior=prior)
    if (
        explicit is None
        and not (remapped and remapped[0])
        and (version is None or version >= IMAGE_STORE_DEFAULT)
    ):
        return Driver("overlayfs", "containerd", "default", prior=prior)
    return _automatic(host, version)._replace(prior=prior)


def _snapshotter_feature(host: Host) -> bool | None:
    """Return what `features` says of containerd-snapshotter, None where it says nothing."""
    found = _docker(host, "features")
    value = found[0].get("containerd-snapshotter") if found and isinstance(found[0], Mapping) else None
    return value if isinstance(value, bool) else None


def _is_snapshotter(name: str, version: Version) -> bool:
    """Return whether a release takes a configured driver that it was not told about for a snapshotter."""
    if version < IMAGE_STORE_DEFAULT or name in REMOVED:
        return False
    return name not in (("vfs", "overlay2", "btrfs") if version < Version("29.1") else drivers(version))


def _snapshotter(name: str, path: str | None, line: int | None) -> Driver:
    error = (
        f"{name} is no snapshotter of containerd"
        if name in ("overlay2", "overlay", "aufs", "vfs", "devicemapper")
        else ""
    )
    return Driver(name, "containerd", "configured", error, path=path, line=line)


def _built_without_zfs(host: Host) -> bool:
    """Return whether dockerd is Debian's, which has no zfs since 28.5.2+dfsg4-5 (its changelog)."""
    package = packages.known(host, "docker.io")
    upstream, mark, own = package.version.partition("+dfsg") if package else ("", "", "")
    if not mark:
        return False
    if upstream != "28.5.2":
        return Version(upstream) > Version("28.5.2")
    return [int(number) for number in re.findall(r"\d+", own.partition("~")[0])] >= [4, 5]


def _configured(host: Host, name: str, version: Version | None) -> Driver:
    error = ""
    if version is not None and name in REMOVED and version >= Version(REMOVED[name]):
        error = f"{name} was removed in docker {REMOVED[name]}"
    elif name == "devicemapper" and _deb_without_devicemapper(host, version):
        error = "the 18.09.0 deb was built without devicemapper"
    elif name not in DRIVERS:
        if "/" not in name and ":" not in name and not _plugin(host, name):
            error = f"there is no storage driver {name}"
    elif version is not None and name not in drivers(version) and name not in REMOVED:
        error = f"docker {version} has no driver {name}"
    else:
        error = unusable(host, name, version)
    return Driver(name, "graphdriver", "configured", error)


def _deb_without_devicemapper(host: Host, version: Version | None) -> bool:
    # Imported here: asked only on a host that is set to devicemapper.
    from hostcheck.facts.packages import installed

    package = installed(host, "docker-ce")
    return version == Version("18.09.0") and package is not None and package.manager == "deb"


def _plugin(host: Host, name: str) -> bool:
    folders = ("/etc/docker/plugins", "/usr/lib/docker/plugins")
    return any(host.exists(f"{folder}/{name}.{suffix}") for folder in folders for suffix in ("spec", "json"))


def _prior(host: Host, counted: tuple[str, ...], order: Iterable[str], version: Version | None) -> Driver:
    first = next(name for name in order if name in counted)
    error = unusable(host, first, version)
    if not error and version is not None and Version("23.0") <= version and first in REMOVED:
        error = f"{first} is deprecated, and docker {version} uses it only where storage-driver names it"
    if not error and len(counted) > 1:
        error = f"the data root has layers of {' and '.join(sorted(counted))}, and no storage-driver is set"
    return Driver(first, "graphdriver", "prior", error)


def _automatic(host: Host, version: Version | None) -> Driver:
    over: list[tuple[str, str]] = []
    for name in drivers(version):
        if name in REMOVED and version is not None and version >= Version("23.0"):
            continue
        reason = unusable(host, name, version)
        if not reason:
            return Driver(name, "graphdriver", "automatic", passed_over=tuple(over))
        over.append((name, reason))
    return Driver("", "graphdriver", "automatic", "no storage driver works here", tuple(over))


def unusable(host: Host, name: str, version: Version | None) -> str:
    """Return why a driver does not work on this host, empty if nothing is known against it."""
    root = data_root(host)[0]
    held = backing(host, f"{root}/{name}" if host.exists(f"{root}/{name}") else root)
    kind = held.type if held else ""
    if name in ("overlay2", "overlay"):
        lenient = name == "overlay2" and endures_without_dtype(host, version)
        return _overlay_unusable(host, kind, None if lenient else held)
    if name in ("btrfs", "zfs"):
        if kind not in ("", "auto", name):
            return f"the data root is on {kind}"
        if name == "zfs" and kind == "zfs" and which(host, "zfs") is None:
            return "there is no zfs command"
        return "" if kind == name else f"the data root is not known to be on {name}"
    if name == "fuse-overlayfs":
        return "" if which(host, "fuse-overlayfs") else "there is no fuse-overlayfs program"
    if name == "aufs":
        # No kernel of kernel.org ever had it, so not knowing is no.
        return "" if kernel_has(host, "aufs") else "the kernel is not known to have aufs"
    if name == "devicemapper":
        return _devicemapper_unusable(host)
    return ""


def _devicemapper_unusable(host: Host) -> str:
    if kernel_has(host, "dm_thin_pool") is False:
        return "the kernel has no dm_thin_pool"
    if host.kind != "live":
        return ""
    # What dockerd asks the kernel for first is the version of its device mapper (devmapper/deviceset.go).
    try:
        registered = (text(host, "/proc/misc") or "").split()
        modules_there = modules.tree(host, kernel.running_release(host)).folder is not None
    except (OSError, Unavailable):
        return ""
    if registered and "device-mapper" not in registered and not modules_there:
        return "the kernel has no device mapper, and there are no modules for it"
    return ""


def _overlay_unusable(host: Host, kind: str, held: mounts.Mount | None) -> str:
    if kernel_has(host, "overlay", "OVERLAY_FS") is False:
        return "the kernel has no overlay"
    release = judged_release(host)
    if release and not overlay2_kernel(release):
        return f"kernel {release} has no overlay with several lower layers"
    if kind in NO_UPPER:
        return NO_UPPER[kind]
    if kind == "virtiofs" and virtiofs_refused(release):
        return NO_VIRTIOFS
    if kind == "zfs" and zfs_too_old(host):
        return ZFS_TOO_OLD
    if kind.startswith("fuse.") and kind not in FUSE_CRYPT:
        return NO_FUSE
    if kind in FUSE_CRYPT:
        return f"overlayfs cannot write to {kind}"
    if kind in NO_LAYERS:
        return NO_LAYERS[kind]
    if kind == "btrfs" and release and releases.version_of(release) is not None:
        its = releases.version_of(release)
        if its is not None and its < Version("4.7"):
            return f"overlay on btrfs needs kernel 4.7, this is {release}"
    if kind == "xfs" and release and ".el7" not in release:
        its = releases.version_of(release)
        if its is not None and its < Version("4.1"):
            return f"overlay on xfs needs kernel 4.1, this is {release}"
    if held and dtype(host, held) is False:
        return f"the {kind} file system has no d_type (ftype=0)"
    return ""


def virtiofs_refused(release: str | None) -> bool:
    """Return whether a kernel's overlay takes no virtiofs, whatever it can do."""
    version = releases.version_of(release)
    return version is not None and version < Version("5.7")


def zfs_too_old(host: Host) -> bool:
    """Return whether ZFS is known to be older than 2.2, with which overlayfs came to work on it."""
    loaded = text(host, "/sys/module/zfs/version") if host.kind == "live" else None
    if loaded is None:
        package = packages.known(host, "zfsutils-linux", "zfs", "zfs-utils")
        loaded = package.version if package else None
    if loaded is None:
        return False
    try:
        return Version(loaded.strip()) < Version("2.2")
    except ValueError:
        return False


def endures_without_dtype(host: Host, version: Version | None) -> bool:
    """Return whether dockerd goes on with its layers of overlay2 where there is no d_type: before 23.0."""
    old = version is not None and version < Version("23.0")
    return old and "overlay2" in prior_drivers(host)


def overlay2_kernel(release: str) -> bool:
    """Return whether a kernel's overlay takes several lower layers: 4.0, or what RHEL 7.3 carried back.

    >>> overlay2_kernel("3.10.0-693.el7.x86_64"), overlay2_kernel("3.10.0-327.el7.x86_64"), overlay2_kernel("3.13.0-24")
    (True, False, False)
    """
    version = releases.version_of(release)
    if version is None or version >= Version("4.0"):
        return True
    base, _, rest = release.partition("-")
    build = rest.split(".")[0]
    return base == "3.10.0" and ".el7" in release and build.isdecimal() and int(build) >= 514


def judged_release(host: Host) -> str | None:
    """Return the release of the kernel that runs, on a tree of the one that will boot; None if unknown."""
    try:
        return kernel.kernels(host)[0].release
    except (OSError, Unavailable):
        return None


def kernel_has(host: Host, module: str, option: str = "") -> bool | None:
    """Return whether every kernel that is judged can load a file system or target; None if nothing tells."""
    try:
        judged = kernel.kernels(host)
    except (OSError, Unavailable):
        return None
    if host.kind == "live" and any(line.split()[-1:] == [module] for line in _filesystems(host)):
        judged = tuple(each for each in judged if each.when != "now")
    answer: bool | None = True
    for each in judged:
        try:
            # By name: containerd's unit runs `modprobe overlay` before it starts, which `blacklist` does not stop.
            found = modules.loadable(host, each, module, option, by_name=True)
        except (OSError, Unavailable):
            answer = None
            continue
        if found.usable or found.state == "unknown":
            continue
        if modules.tree(host, each.release).folder is None:
            # No module folder at all, as in a container or with a kernel from outside: it proves nothing.
            answer = None
            continue
        return False
    return answer


def _filesystems(host: Host) -> list[str]:
    try:
        return (text(host, "/proc/filesystems") or "").splitlines()
    except (PermissionError, Unavailable):
        return []


def backing(host: Host, path: str) -> mounts.Mount | None:
    """Return the mount that holds `path` now, on a tree the one at boot; None where no file says so."""
    if host.kind == "live":
        return mounts.now(host, path)
    return mounts.boot(host, path)


def parse_xfs_info(text: str) -> dict[str, str]:
    """Return the `name=value` pairs that xfs_info prints.

    >>> parse_xfs_info("naming   =version 2   bsize=4096   ascii-ci=0, ftype=1")["ftype"]
    '1'
    """
    pairs = (word.partition("=") for word in text.replace(",", " ").split())
    return {name: value for name, equals, value in pairs if name and equals and value}


def parse_ext_features(text: str) -> frozenset[str]:
    """Return the features of an ext file system that `dumpe2fs -h` prints.

    >>> sorted(parse_ext_features("Filesystem features:      has_journal casefold filetype"))
    ['casefold', 'filetype', 'has_journal']
    """
    for line in text.split("\n"):
        if line.startswith("Filesystem features:"):
            return frozenset(line.partition(":")[2].split())
    return frozenset()


def superblock(host: Host, mount: mounts.Mount) -> frozenset[str]:
    """Return features of a mounted xfs (`ftype=0`, `crc=1`) or ext (`filetype`) file system; none if unknown."""
    memo: dict[str, frozenset[str]] = host.fact(_superblocks)
    if mount.point not in memo:
        memo[mount.point] = frozenset(_superblock(host, mount))
    return memo[mount.point]


def _superblocks(host: Host) -> dict[str, frozenset[str]]:
    return {}


def _superblock(host: Host, mount: mounts.Mount) -> Iterable[str]:
    try:
        return next((each.features for each in host.file_systems() if each.point == mount.point), ())
    except Unavailable:
        pass  # Not a disk image: the tools of the running host know.
    if mount.type == "xfs":
        block = _first_bytes(host, mount.source)
        if block is not None:
            return superblock_of.xfs_features(block)
        told = _output(host, "xfs_info", mount.point)
        return [f"{name}={value}" for name, value in parse_xfs_info(told or "").items()]
    if mount.type in ("ext2", "ext3", "ext4") and mount.source.startswith("/"):
        block = _first_bytes(host, mount.source)
        if block is not None:
            return superblock_of.ext_features(block[superblock_of.EXT_OFFSET :])
        return parse_ext_features(_output(host, "dumpe2fs", "-h", mount.source) or "")
    return ()


def _output(host: Host, *argv: str) -> str | None:
    """Return what a command prints, None where it is not there or fails."""
    try:
        done = host.run(*argv)
    except (OSError, Unavailable):
        return None
    return None if done.code else done.out


def _first_bytes(host: Host, device: str) -> bytes | None:
    """Return the first 2 KiB of a block device, read by od; None where that cannot be had.

    Every system has od, minimal ones have neither dumpe2fs nor xfs_info, which besides take longer.
    """
    told = _output(host, "od", "-A", "n", "-v", "-t", "x1", "-N", "2048", device)
    try:
        return bytes.fromhex(told) if told else None
    except ValueError:
        return None


def dtype(host: Host, mount: mounts.Mount) -> bool | None:
    """Return whether names in a folder carry their type (d_type, xfs ftype=1), None if it cannot be told."""
    features = superblock(host, mount)
    if mount.type == "xfs":
        if "ftype=0" in features:
            return False
        return True if {"ftype=1", "crc=1"} & features else None
    if mount.type in ("ext2", "ext3", "ext4"):
        return "filetype" in features if features else None
    if mount.type in ("btrfs", "zfs", "tmpfs", "f2fs", "bcachefs"):
        return True
    return None


def options(host: Host) -> tuple[tuple[str, ...], str | None, int | None]:
    """Return the storage-opts as written, and the file and line that set them."""
    found = _docker(host, "storage-opts")
    if found is None:
        return (), None, None
    value = found[0]
    listed = value if isinstance(value, (list, tuple)) else [value]
    return tuple(item for item in listed if isinstance(item, str)), found[1], found[2]


def thin_pools(host: Host) -> list[tuple[str, str | None, int | None]]:
    """Return the thin pools that devicemapper is told to use, each with the file and line.

    RHEL's own docker has its storage options in /etc/sysconfig/docker-storage.
    """
    told, path, line = options(host)
    words: list[tuple[str, str | None, int | None]] = [(option, path, line) for option in told]
    path = "/etc/sysconfig/docker-storage"
    for number, content in enumerate((text(host, path) or "").split("\n"), 1):
        if not content.lstrip().startswith("#"):
            words += [(word.strip("\"'"), path, number) for word in content.split()]
    name = "dm.thinpooldev="
    return [
        (word[len(name) :].rpartition("/")[2], where, number)
        for word, where, number in words
        if word.startswith(name)
    ]


def parse_thin_pool(text: str) -> float | None:
    """Return how full a thin pool is, in per cent of its data or metadata blocks, whichever is fuller.

    >>> parse_thin_pool("0 209715200 thin-pool 5 1000/4096 1477379/1638400 - rw discard_passdown")
    90.17...
    """
    fields = text.split()
    if "thin-pool" not in fields:
        return None
    shares = []
    for field in fields[fields.index("thin-pool") :][2:4]:
        used, _, total = field.partition("/")
        if used.isdecimal() and total.isdecimal() and int(total):
            shares.append(100 * int(used) / int(total))
    return max(shares) if shares else None


BOLT_MAGIC = 0xED0CDAED
_META = "<IIIIQQQQQ"
_PAGE = "<QHHI"
_FREE_LIST = 0x10


def bolt_problem(read: Callable[[int, int], bytes], size: int) -> str:
    """Return what is wrong with a bolt database, empty if nothing is; `read(offset, length)` gives bytes.

    Source: bbolt, internal/common/meta.go and page.go; its forerunners took a checksum of 0 too.
    An empty file is a new database.
    """
    # Imported here: asked only on a host that has the database.
    import struct

    if size == 0:
        return ""
    meta = None
    page_size = 4096
    for index in (0, 1):
        page = read(index * page_size, 16 + struct.calcsize(_META) + 8)
        if len(page) < 16 + struct.calcsize(_META):
            continue
        fields = struct.unpack_from(_META, page, 16)
        (checksum,) = struct.unpack_from("<Q", page, 16 + 56) if len(page) >= 80 else (0,)
        if fields[0] == BOLT_MAGIC and fields[1] == 2 and checksum in (0, _fnv1a(page[16:72])):
            page_size = fields[2]
            if meta is None or fields[8] > meta[8]:
                meta = fields
    if meta is None:
        return "no valid meta page"
    free_list, pages = meta[6], meta[7]
    if pages * page_size > size:
        return f"it ends before its last page ({size} bytes, {pages} pages of {page_size})"
    if free_list == 0xFFFFFFFFFFFFFFFF:
        return ""
    header = read(free_list * page_size, struct.calcsize(_PAGE))
    if len(header) < struct.calcsize(_PAGE):
        return f"its free list (page {free_list}) is beyond the end"
    number, flags, _count, _overflow = struct.unpack(_PAGE, header)
    if flags != _FREE_LIST or number != free_list:
        return f"page {free_list} is not the free list that it should be"
    return ""


def _fnv1a(data: bytes) -> int:
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


def subid_homes(host: Host) -> dict[str, str]:
    """Return the users with subordinate ids and their homes, those with a home of their own."""
    homes = {}
    for line in (text(host, "/etc/passwd") or "").split("\n"):
        fields = line.split(":")
        if len(fields) > 5:
            homes[fields[0]] = fields[5]
    users = (
        line.split(":")[0] for line in (text(host, "/etc/subuid") or "").split("\n") if line.count(":") == 2
    )
    found = {user: homes.get(user, f"/home/{user}") for user in users if user and not user.isdecimal()}
    return {user: home for user, home in found.items() if home not in ("", "/", "/root")}


def unpacks_itself(host: Host, program: str) -> bool:
    """Return whether a program is one file made by PyInstaller, which unpacks itself before it runs.

    Its last bytes hold the archive's mark (PyInstaller/archive/writers.py: `MEI`).
    """
    try:
        size = host.stat(program).size
        tail = host.read_bytes(program, 4096, max(0, size - 4096))
    except (OSError, Unavailable):
        return False
    return b"MEI\014\013\012\013\016" in tail


def export(host: Host) -> dict[str, object]:
    """Return the data root, its file system and the storage driver, for `hostcheck facts storage`."""
    root, path, line = data_root(host)
    found: dict[str, object] = {"data_root": {"value": root, "path": path, "line": line}}
    try:
        chosen = driver(host)
        found["driver"] = {"value": chosen.name, "path": chosen.path, "line": chosen.line}
        found["driver_how"] = {"value": chosen.how, "path": chosen.path, "line": chosen.line}
        found["driver_error"] = {"value": chosen.error or None, "path": chosen.path, "line": chosen.line}
        found["image_store"] = {"value": chosen.store, "path": chosen.path, "line": chosen.line}
        found["prior_drivers"] = {"value": list(chosen.prior), "path": root, "line": None}
    except (NotApplicable, PermissionError, Unavailable) as error:
        found["driver"] = {"value": None, "path": None, "line": None, "unknown": str(error)}
    for key, folder in (("backing", root), ("containerd_backing", containerd_root(host)[0])):
        found[key] = _backing_leaf(host, folder)
    return found


def _backing_leaf(host: Host, folder: str) -> dict[str, object]:
    upcoming = mounts.boot(host, folder)
    current = mounts.now(host, folder) if host.kind == "live" else None
    shown = current or upcoming
    leaf: dict[str, object] = {
        "value": _backing_value(shown),
        "path": shown.path if shown else None,
        "line": shown.line if shown else None,
    }
    if current and upcoming and (current.point, current.type) != (upcoming.point, upcoming.type):
        leaf.update(now=_backing_value(current), boot=_backing_value(upcoming))
    return leaf


def _backing_value(mount: mounts.Mount | None) -> dict[str, object] | None:
    if mount is None:
        return None
    return {
        "type": mount.type,
        "mount": mount.point,
        "source": mount.source,
        "options": ",".join(dict.fromkeys(mount.options)),
    }
