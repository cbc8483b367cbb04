"""Storage: the driver that dockerd takes, the file system under it, its options, room and state."""

from __future__ import annotations

from collections.abc import Iterator

from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, Unavailable, Version, failed, passed
from hostcheck.facts import engine, kernel, mounts, storage
from hostcheck.facts.files import text, which

MOBY = "https://github.com/moby/moby/blob/master/daemon"
DRIVER_DOCS = "https://docs.docker.com/engine/storage/drivers/select-storage-driver/"
OVERLAY_DOCS = "https://docs.docker.com/engine/storage/drivers/overlayfs-driver/"
KERNEL_OVERLAY = "https://docs.kernel.org/filesystems/overlayfs.html"
CONTAINERD_TOML = "/etc/containerd/config.toml"
DAEMON_JSON = "/etc/docker/daemon.json"
DRIVER = "daemon.json storage-driver"
TMP = "/tmp"  # noqa: S108 (nothing is written there)


def need_docker(host: Host) -> None:
    """Raise `NotApplicable` where docker is not installed."""
    if engine.stage(host) == "before":
        raise NotApplicable("docker is not installed")


def folders(host: Host) -> dict[str, str]:
    """Return the folders that hold images, containers and volumes, each with whose it is.

    Before any engine is installed that is where docker will put them.
    """
    installed = engine.installed(host)
    found: dict[str, str] = {}
    if "docker" in installed or engine.stage(host) == "installed" or not installed & {"containerd", "podman"}:
        found[storage.data_root(host)[0]] = "docker"
    if "containerd" in installed:
        found[storage.containerd_root(host)[0]] = "containerd"
    if "kubelet" in installed:
        found["/var/lib/kubelet"] = "the kubelet"
    if "podman" in installed:
        found["/var/lib/containers/storage"] = "podman"
    return found


def known_driver(host: Host) -> storage.Driver | None:
    """Return what dockerd will take, None where that cannot be told."""
    try:
        return storage.driver(host)
    except (NotApplicable, PermissionError, Unavailable):
        return None


def no_mount(host: Host) -> Exception:
    """Return why nothing could be said of the file systems of a host."""
    if host.kind == "live":
        return Unavailable("/proc/self/mountinfo names no mount that holds it")
    return NotApplicable("no line of /etc/fstab says on which file system this will lie")


def forget(options: tuple[str, ...], mount: mounts.Mount) -> list[str]:
    """Return the commands that take mount options away, now and from fstab."""
    commands = []
    if mount.path == mounts.FSTAB:
        pattern = "|".join(options)
        commands.append(
            f"sed -ri '{mount.line}s/,({pattern})\\b//g; {mount.line}s/\\b({pattern}),//g' {mounts.FSTAB}"
        )
    opposite = ",".join(option[2:] for option in options)
    return [*commands, f"mount -o remount,{opposite} {mount.point}"]


class StorageDriver(Check):
    """dockerd finds a storage driver that works here.

    *Why*: dockerd stops at its start where the driver that it is told to use, or whose layers it finds,
    cannot work; and where it falls back to vfs every layer is a full copy.

    *Needs*: the rules of the installed release: a configured driver must exist in it and work; without one,
    layers of exactly one driver below the data root decide; without those 29.0 and later take the image
    store of containerd, earlier ones the first of their list that works on this kernel and file system.

    *Fix*: name a driver that works in /etc/docker/daemon.json, or move the data root to ext4 or xfs.
    """

    id = "storage.driver"
    severity = Severity.REQUIRED
    references = (f"{MOBY}/graphdriver/driver.go", f"{MOBY}/image_store_choice.go", DRIVER_DOCS)

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        need_docker(host)
        chosen = storage.driver(host)
        root = storage.data_root(host)[0]
        path = chosen.path or root
        where = {"path": path, "line": chosen.line, "when": host.when}
        name = chosen.name or "none"
        if chosen.error:
            yield failed(
                DRIVER,
                f"dockerd will refuse to start: {chosen.error}",
                value=name,
                expected="overlay2",
                hint=self._hint(chosen, root),
                **where,
            )
        elif name == "vfs":
            reasons = "; ".join(f"{driver}: {reason}" for driver, reason in chosen.passed_over[:2])
            yield failed(
                DRIVER,
                "vfs copies every layer in full"
                + (f", and nothing else works ({reasons})" if reasons else ""),
                value=name,
                expected="overlay2",
                severity=Severity.RECOMMENDED,
                hint=f"put {root} on a file system that overlay2 takes (ext4, or xfs with ftype=1)",
                **where,
            )
        elif name in storage.REMOVED:
            yield failed(
                DRIVER,
                f"{name} is deprecated and was removed in docker {storage.REMOVED[name]}: an upgrade will not start",
                value=name,
                expected="overlay2",
                severity=Severity.INFO if chosen.how == "automatic" else Severity.RECOMMENDED,
                hint="save the images and volumes that matter, then set storage-driver to overlay2",
                **where,
            )
        else:
            yield passed(DRIVER, f"{name} ({chosen.how})", value=name, **where)
        yield from self._left_aside(host, chosen, root)

    def _hint(self, chosen: storage.Driver, root: str) -> str:
        if chosen.how == "prior":
            prior = ", ".join(chosen.prior)
            return f"set storage-driver in {DAEMON_JSON}, or move the unused of {prior} out of {root}"
        if chosen.store == "containerd":
            return f'drop storage-driver, or set "features": {{"containerd-snapshotter": false}} in {DAEMON_JSON}'
        return f'set "storage-driver": "overlay2" in {chosen.path or DAEMON_JSON}, with {root} on ext4 or xfs'

    def _left_aside(self, host: Host, chosen: storage.Driver, root: str) -> Iterator[Finding]:
        """Yield a finding for every driver whose layers the chosen store does not show."""
        version = engine.docker_version(host)
        if chosen.error or version is None:
            return
        for name in chosen.prior:
            if name != chosen.name and name not in storage.drivers(version):
                yield failed(
                    f"{root}/{name}",
                    f"docker {version} has no {name}: the images and containers in it are out of sight",
                    value=name,
                    expected=chosen.name,
                    path=f"{root}/{name}",
                    severity=Severity.RECOMMENDED,
                    hint=f"save what matters with the earlier docker, then remove {root}/{name}",
                )


class StorageOptions(Check):
    """Every storage option belongs to the driver.

    *Why*: a driver refuses an option that is not its own, and dockerd stops: typically `dm.*` left behind
    when devicemapper gave way to overlay2.

    *Needs*: `storage-opts` whose names begin as the driver's do; for overlay2 only `overlay2.size`, before
    24.0 also `overlay2.override_kernel_check`.

    *Fix*: take the option out of /etc/docker/daemon.json.
    """

    id = "storage.options"
    severity = Severity.REQUIRED
    references = (f"{MOBY}/graphdriver/overlay2/overlay.go", "https://docs.docker.com/engine/deprecated/")

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        need_docker(host)
        options, path, line = storage.options(host)
        if not options:
            raise NotApplicable("no storage-opts are set")
        chosen = storage.driver(host)
        if chosen.store == "containerd" or not chosen.name:
            raise NotApplicable("the image store of containerd takes no storage-opts")
        when = host.when
        for option in options:
            name = option.partition("=")[0].strip().lower()
            problem = self._problem(name, chosen.name, engine.docker_version(host))
            where = {"value": option, "path": path, "line": line, "when": when}
            if problem:
                yield failed(
                    f"daemon.json storage-opts.{name}",
                    f"dockerd will refuse to start: {problem}",
                    expected=f"an option of {chosen.name}",
                    hint=f"take {option} out of storage-opts in {path}",
                    **where,
                )
            else:
                yield passed(f"daemon.json storage-opts.{name}", f"an option of {chosen.name}", **where)

    def _problem(self, name: str, driver: str, version: Version | None) -> str:
        prefix = storage.OWN_OPTIONS.get(driver)
        if not prefix:
            return ""
        if not name.startswith(prefix):
            return f"{driver} knows no option {name}"
        if name == "overlay2.override_kernel_check" and version is not None and version >= Version("24.0"):
            return f"{name} was removed in docker 24.0"
        if driver == "overlay2" and name not in ("overlay2.size", "overlay2.override_kernel_check"):
            return f"{driver} knows no option {name}"
        return ""


class StorageQuota(Check):
    """A size limit for containers has the project quota that it needs.

    *Why*: overlay2 limits a container's size by project quotas of xfs. Without them dockerd refuses to start
    with `overlay2.size`, and a remount cannot turn them on.

    *Needs*: xfs below the data root, mounted with pquota or prjquota, where overlay2.size is set.

    *Fix*: pquota among the options in /etc/fstab (for / `rootflags=pquota` on the kernel command line), reboot.
    """

    id = "storage.quota"
    severity = Severity.REQUIRED
    references = (
        f"{MOBY}/graphdriver/overlay2/overlay.go",
        "https://man7.org/linux/man-pages/man5/xfs.5.html",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        need_docker(host)
        options, _path, _line = storage.options(host)
        if not any(option.strip().lower().startswith("overlay2.size=") for option in options):
            raise NotApplicable("overlay2.size is not set")
        folder = storage.data_root(host)[0]
        found = list(mounts.held(host, folder))
        if not found:
            raise no_mount(host)
        for when, mount in found:
            where = {"path": mount.path, "line": mount.line, "when": when, "expected": "xfs with pquota"}
            if mount.type != "xfs":
                yield failed(
                    folder,
                    f"overlay2.size works only on xfs, and {mount.point} is {mount.type}: dockerd will not start",
                    value=mount.type,
                    hint="take overlay2.size out of storage-opts, or put the data root on xfs with pquota",
                    **where,
                )
            elif not {"pquota", "prjquota"} & set(mount.options) and not (
                mount.point == "/" and when == "boot"
            ):
                yield failed(
                    folder,
                    f"{mount.point} is mounted without pquota: dockerd refuses overlay2.size",
                    value=",".join(mount.options),
                    hint="add pquota to its options in /etc/fstab (for / rootflags=pquota at boot), then reboot",
                    **where,
                )
            else:
                yield passed(folder, f"{mount.point} is xfs with project quota", value="pquota", **where)


class StorageBacking(Check):
    """Images and containers lie on a file system that can hold them.

    *Why*: layers need links, owners, modes and extended attributes, and overlayfs needs an upper file system
    that it trusts. On a network share, FAT, NTFS or another overlay, pulls or starts fail; what lies on tmpfs
    is lost at the next boot and takes memory until then.

    *Needs*: ext4, xfs, btrfs, zfs or another local file system below the data root of every engine.

    *Fix*: a partition with ext4 or xfs, mounted at the data root by /etc/fstab.
    """

    id = "storage.backing"
    severity = Severity.REQUIRED
    references = (KERNEL_OVERLAY, OVERLAY_DOCS, f"{MOBY}/graphdriver/overlayutils/overlayutils.go")

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        silent = True
        for folder, owner in folders(host).items():
            for when, mount in mounts.held(host, folder):
                if mount.type in ("auto", "none"):
                    continue
                silent = False
                yield self._judge(host, folder, owner, when, mount)
        if silent:
            raise no_mount(host)

    def _judge(self, host: Host, folder: str, owner: str, when: str, mount: mounts.Mount) -> Finding:
        kind = mount.type
        where = {
            "value": kind,
            "expected": "ext4 or xfs",
            "path": mount.path,
            "line": mount.line,
            "when": when,
        }
        hint = f"mount an ext4 or xfs file system at {folder} in /etc/fstab"
        severity = Severity.REQUIRED
        if kind in storage.NO_LAYERS:
            problem = f"{storage.NO_LAYERS[kind]}: images cannot be unpacked"
        elif kind in storage.FUSE_CRYPT:
            problem = "overlayfs cannot write to it: containers fail"
        elif kind in storage.NO_UPPER and owner == "the kubelet":
            return passed(folder, f"{kind} ({mount.source})", **where)
        elif kind in storage.NO_UPPER:
            problem = f"{storage.NO_UPPER[kind]}: no container starts"
            if kind in ("overlay", "overlayfs", "aufs") and not self._insists(host, owner):
                severity = Severity.RECOMMENDED
                problem = f"{storage.NO_UPPER[kind]}: {owner} falls back to full copies"
        elif kind.startswith("fuse.") or (kind == "zfs" and self._no_zfs(host, owner)):
            told = storage.NO_FUSE if kind != "zfs" else storage.ZFS_TOO_OLD
            sure = self._insists(host, owner)
            severity = Severity.REQUIRED if sure else Severity.RECOMMENDED
            problem = f"{told}: " + ("no container starts" if sure else f"{owner} falls back to full copies")
        elif kind in storage.VOLATILE:
            # A machine whose whole root is in memory is meant to forget.
            severity = Severity.INFO if mount.point == "/" else Severity.RECOMMENDED
            problem = "images and volumes are lost at every boot, and fill the memory until then"
        else:
            return passed(folder, f"{kind} ({mount.source})", **where)
        return failed(folder, f"{folder} is on {kind}: {problem}", severity=severity, hint=hint, **where)

    def _no_zfs(self, host: Host, owner: str) -> bool:
        """Return whether this engine would lay an overlay on a ZFS that is too old for it."""
        if owner == "containerd" and "docker" in engine.installed(host):
            return False
        return storage.zfs_too_old(host) and owner != "the kubelet" and self._insists(host, owner)

    def _insists(self, host: Host, owner: str) -> bool:
        """Return whether the engine is told to use overlay, and so refuses where another chooses vfs."""
        if owner != "docker" or engine.stage(host) == "before":
            return owner == "containerd"
        chosen = known_driver(host)
        if chosen is None:
            return False
        return chosen.how == "configured" and chosen.name in ("overlay2", "overlayfs", "overlay")


class StorageDtype(Check):
    """Folders under the data root tell the type of their entries (d_type).

    *Why*: overlayfs cannot hide removed files without it. Kernels from 4.6 on refuse such a file system as
    upper layer, dockerd from 17.12 on does not start new data on it; earlier ones corrupt images silently.
    Installers of RHEL and CentOS before 7.3 formatted xfs so.

    *Needs*: xfs with ftype=1 (always so with crc=1), or ext4 with the filetype feature.

    *Fix*: a new file system: `mkfs.xfs -n ftype=1` on a volume of its own, mounted at the data root.
    """

    id = "storage.dtype"
    severity = Severity.REQUIRED
    references = (OVERLAY_DOCS, f"{MOBY}/graphdriver/overlay2/overlay.go")

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if host.kind != "live":
            raise NotApplicable("the file system is made where this will be deployed")
        seen: set[str] = set()
        for folder, owner in folders(host).items():
            mount = mounts.now(host, folder)
            # Nothing of the kubelet's own is a layer.
            if mount is None or mount.point in seen or owner == "the kubelet":
                continue
            seen.add(mount.point)
            answer = storage.dtype(host, mount)
            where = {"path": mount.path, "line": mount.line, "expected": "ftype=1"}
            if answer is False:
                severity, then = self._harm(host, owner)
                yield failed(
                    folder,
                    f"{mount.point} is {mount.type} without d_type (ftype=0): {then}",
                    value="ftype=0",
                    severity=severity,
                    hint="make a volume with mkfs.xfs -n ftype=1 and mount it at the data root",
                    **where,
                )
            elif answer:
                yield passed(folder, f"{mount.point} ({mount.type}) has d_type", value="ftype=1", **where)
            elif mount.type == "xfs" and self._may_lack_it(host):
                raise Unavailable(f"xfs_info {mount.point} does not answer: install xfsprogs, run as root")
            else:
                # Every mkfs since 2016 turns it on, and the kernel itself refuses the rest.
                yield passed(folder, f"{mount.point} is {mount.type}, made with d_type by default", **where)
        if not seen:
            raise no_mount(host)

    def _harm(self, host: Host, owner: str) -> tuple[Severity, str]:
        """Return what comes of a file system without d_type, which depends on what is to use it."""
        fatal = Severity.REQUIRED, "overlay2 does not work on it"
        chosen = known_driver(host) if engine.stage(host) == "installed" else None
        if chosen is None or owner not in ("docker", "containerd"):
            return fatal
        if owner == "containerd":
            needed = chosen.store == "containerd" or "kubelet" in engine.installed(host)
            return fatal if needed else (Severity.INFO, "only containerd's own image store would miss it")
        if chosen.store == "containerd":
            return Severity.INFO, "images lie elsewhere, in the image store of containerd"
        if chosen.name in ("overlay2", "overlay"):
            if storage.endures_without_dtype(host, engine.docker_version(host)):
                return (
                    Severity.RECOMMENDED,
                    "dockerd goes on with its layers, which go wrong where files are removed",
                )
            return fatal
        return (
            Severity.RECOMMENDED,
            f"overlay2 does not work on it, and dockerd takes {chosen.name or 'none'}",
        )

    def _may_lack_it(self, host: Host) -> bool:
        """Return whether this may be an installation of the time when mkfs.xfs left it out: EL 7."""
        return ".el7" in (storage.judged_release(host) or "")


class StorageCasefold(Check):
    """The file system under the data root does not fold case.

    *Why*: overlayfs refuses as a layer every file system that can fold case, even where no folder uses it.

    *Needs*: ext4 without the casefold feature, bcachefs on a kernel before 6.15 or without CONFIG_UNICODE; kernel
    6.17 lifted the ban for folders that do not use it.

    *Fix*: `mkfs.ext4 -O ^casefold` on a partition for the data root.
    """

    id = "storage.casefold"
    severity = Severity.REQUIRED
    references = (
        KERNEL_OVERLAY,
        "https://github.com/koverstreet/bcachefs/issues/877",
        "https://github.com/CachyOS/linux-cachyos/issues/479",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if host.kind != "live":
            raise NotApplicable("the file system is made where this will be deployed")
        able = [
            (f, m)
            for f in folders(host)
            if (m := mounts.now(host, f)) and m.type in ("ext4", "f2fs", "bcachefs")
        ]
        if not able:
            raise NotApplicable("the data root is on a file system that cannot fold case")
        for folder, mount in able:
            where = {"path": mount.path, "line": mount.line, "expected": "no casefold"}
            folds = "casefold" in storage.superblock(host, mount) or self._bcachefs(host, mount)
            if folds and not self._lifted(host):
                yield failed(
                    folder,
                    f"{mount.point} can fold case: overlayfs refuses it as a layer",
                    value="casefold",
                    hint="put the data root on a file system made with mkfs.ext4 -O ^casefold",
                    **where,
                )
            else:
                yield passed(folder, f"{mount.point} ({mount.type}) shows no case folding", **where)

    def _bcachefs(self, host: Host, mount: mounts.Mount) -> bool:
        """Return whether this is bcachefs of a kernel that lets every one of them fold case."""
        release = storage.judged_release(host)
        if mount.type != "bcachefs" or not release or "casefold_disabled" in mount.options:
            return False
        try:
            config = kernel.config(host, release)
        except (PermissionError, Unavailable):
            config = None
        return config is not None and config.get("UNICODE") == "y" and Version(release) >= Version("6.15-rc5")

    def _lifted(self, host: Host) -> bool:
        release = storage.judged_release(host)
        return bool(release) and Version(release or "0") >= Version("6.17")


class StorageMountOptions(Check):
    """Nothing forbids running programs where volumes and images lie.

    *Why*: volumes and bind mounts out of the data root inherit its noexec, and a program in them does not
    run; with vfs, btrfs or zfs the containers themselves do not. nosuid and nodev reach volumes in the same
    way. Hardening guides put all three on /var.

    *Needs*: no noexec among the options of the mount that holds the data root, now and in fstab.

    *Fix*: a file system of its own for the data root, or /var without noexec.
    """

    id = "storage.mount_options"
    severity = Severity.REQUIRED
    references = (
        "https://man7.org/linux/man-pages/man8/mount.8.html",
        "https://github.com/argoproj/argo-cd/issues/21870",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        silent = True
        for folder, owner in folders(host).items():
            for when, mount in mounts.held(host, folder):
                silent = False
                yield from self._judge(host, folder, owner, when, mount)
        if silent:
            raise no_mount(host)

    def _judge(
        self, host: Host, folder: str, owner: str, when: str, mount: mounts.Mount
    ) -> Iterator[Finding]:
        where = {"path": mount.path, "line": mount.line, "when": when}
        bad = False
        # containerd keeps no volumes, and what an overlay shows runs whatever the mounts below it allow.
        noexec = (
            ("noexec", "containers of its native snapshotter do not run", Severity.INFO)
            if owner == "containerd"
            else ("noexec", "programs in volumes do not run", Severity.REQUIRED)
        )
        for option, effect, severity in (
            noexec,
            ("ro", "nothing can be written to it", Severity.REQUIRED),
            ("nosuid", "setuid programs in volumes lose their rights", self._lesser(host)),
            ("nodev", "device files in volumes do not work", Severity.INFO),
        ):
            if option not in mount.options:
                continue
            bad = True
            yield failed(
                f"{folder} {option}",
                f"{mount.point} is mounted {option}: {effect}",
                value=option,
                expected=f"without {option}",
                severity=severity,
                commands=forget((option,), mount) if option != "ro" else (),
                hint="" if option != "ro" else f"mount {mount.point} read-write",
                **where,
            )
        if not bad:
            yield passed(folder, f"{mount.point} allows programs", value=",".join(mount.options), **where)

    def _lesser(self, host: Host) -> Severity:
        """Return how much nosuid matters: containers on overlay keep their setuid programs whatever lies below."""
        chosen = known_driver(host) if engine.stage(host) == "installed" else None
        return Severity.RECOMMENDED if chosen and chosen.name in ("vfs", "btrfs", "zfs") else Severity.INFO


class StorageSpace(Check):
    """There is room for images and containers.

    *Why*: on a full file system dockerd and containerd cannot write their databases and do not start, pulls
    and builds fail half way, and containers that write logs stop.

    *Needs*: free bytes for programs that are not root (statvfs f_bavail) on the file system of the data root.

    *Fix*: `docker system prune`, `journalctl --vacuum-size=256M`, or a larger disk.
    """

    id = "storage.space"
    severity = Severity.RECOMMENDED
    references = (
        "https://man7.org/linux/man-pages/man3/statvfs.3.html",
        "https://github.com/moby/moby/issues/20272",
    )
    recommended_gb: float = 5.0
    """Gigabytes (10^9 bytes) that should be free."""
    required_gb: float = 0.1
    """Gigabytes below which the engine cannot be expected to start."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if host.kind != "live":
            raise NotApplicable("free space depends on the disk that this will be deployed to")
        seen: set[str] = set()
        for folder in folders(host):
            point = _place(host, folder, seen)
            if point is None:
                continue
            usage = host.disk_usage(_existing(host, folder))
            if not usage.total:
                raise Unavailable(f"the size of the file system of {folder} is not told")
            free = usage.free / 1e9
            more = {"value": f"{free:.1f} GB", "path": point, "expected": f"{self.recommended_gb:g} GB"}
            if free < self.recommended_gb:
                severe = free < self.required_gb
                yield failed(
                    folder,
                    f"{folder} has {free:.1f} GB free, {self.recommended_gb:g} GB expected"
                    + (
                        ": the engine cannot write its databases"
                        if severe
                        else ": pulls and builds run out of room"
                    ),
                    severity=Severity.REQUIRED if severe else Severity.RECOMMENDED,
                    commands=["journalctl --vacuum-size=256M"],
                    hint="docker system prune, or a larger disk",
                    **more,
                )
            else:
                yield passed(folder, f"{folder} has {free:.1f} GB free", **more)


class StorageInodes(Check):
    """There are inodes for the files of images and containers.

    *Why*: an image is tens of thousands of small files. An ext4 file system can run out of inodes while it has
    room, and then says `no space left on device`.

    *Needs*: free inodes (statvfs f_favail) on the file system of the data root; btrfs and others that make
    them as needed have no number and pass.

    *Fix*: `docker system prune -a`, or a file system made with more inodes (`mkfs.ext4 -i 8192`, or xfs).
    """

    id = "storage.inodes"
    severity = Severity.RECOMMENDED
    references = (
        "https://github.com/moby/moby/issues/37077",
        "https://man7.org/linux/man-pages/man3/statvfs.3.html",
    )
    minimum_percent: float = 5.0
    """Per cent of the inodes that should be free."""
    required: int = 100
    """Free inodes below which dockerd cannot even make its own folders."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if host.kind != "live":
            raise NotApplicable("free inodes depend on the disk that this will be deployed to")
        seen: set[str] = set()
        for folder in folders(host):
            point = _place(host, folder, seen)
            if point is None:
                continue
            usage = host.disk_usage(_existing(host, folder))
            if not usage.inodes:
                yield passed(folder, f"{folder}: inodes are made as needed", path=point)
                continue
            share = 100 * usage.inodes_free / usage.inodes
            more = {"value": f"{share:.1f} %", "path": point, "expected": f"{self.minimum_percent:g} %"}
            few = usage.inodes_free < self.required
            if few or share < self.minimum_percent:
                yield failed(
                    folder,
                    f"{folder} has {usage.inodes_free} inodes left ({share:.1f} %): builds fail though there is room",
                    severity=Severity.REQUIRED if few else Severity.RECOMMENDED,
                    commands=["docker system prune -a"],
                    **more,
                )
            else:
                yield passed(folder, f"{folder} has {share:.0f} % of its inodes free", **more)


def _existing(host: Host, folder: str) -> str:
    """Return the folder, or the nearest one above that exists."""
    while folder != "/" and not host.exists(folder):
        folder = folder.rpartition("/")[0] or "/"
    return folder


def _place(host: Host, folder: str, seen: set[str]) -> str | None:
    """Return the mount point that holds a folder, None if it was seen before."""
    mount = mounts.now(host, folder)
    point = mount.point if mount else folder
    if point in seen:
        return None
    seen.add(point)
    return point


class StoragePropagation(Check):
    """Mounts below / propagate to containers that ask for it.

    *Why*: `-v /x:/x:rshared`, and volumes of Kubernetes with Bidirectional mount propagation, need a shared
    mount; systemd makes / shared at boot, other init systems leave it private.

    *Needs*: `shared:` in the line of / in /proc/self/mountinfo.

    *Fix*: `mount --make-rshared /` from a boot script.
    """

    id = "storage.propagation"
    severity = Severity.INFO
    references = ("https://docs.kernel.org/filesystems/sharedsubtree.html",)

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if host.kind != "live":
            raise NotApplicable("the propagation of mounts is made at boot")
        root = mounts.now(host, "/")
        if root is None or not root.id:
            raise Unavailable("/proc/self/mountinfo does not tell the propagation of /")
        more = {"path": root.path, "line": root.line, "expected": "shared", "value": " ".join(root.optional)}
        if root.shared:
            yield passed("/", "/ is a shared mount", **more)
        else:
            yield failed(
                "/",
                "/ is not shared: a container's rshared volume is refused or stays empty",
                commands=["mount --make-rshared /"],
                **more,
            )


class StorageNativeDiff(Check):
    """overlay compares layers natively.

    *Why*: with redirect_dir or metacopy on by default in the overlay module, dockerd compares layers file by
    file, which makes builds and commits slower.

    *Needs*: N in /sys/module/overlay/parameters/redirect_dir and metacopy.

    *Fix*: `options overlay redirect_dir=off metacopy=off` in /etc/modprobe.d.
    """

    id = "storage.native_diff"
    severity = Severity.INFO
    references = (f"{MOBY}/graphdriver/overlay2/check.go", KERNEL_OVERLAY)

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if host.kind != "live":
            raise NotApplicable("the parameters of the overlay module are known on a running host")
        folder = "/sys/module/overlay/parameters"
        found = {name: text(host, f"{folder}/{name}") for name in ("redirect_dir", "metacopy")}
        if all(value is None for value in found.values()):
            raise NotApplicable("overlay is not loaded, or has no such parameters")
        for name, value in found.items():
            if value is None:
                continue
            more = {"path": f"{folder}/{name}", "value": value.strip(), "expected": "N"}
            if value.strip() == "Y":
                yield failed(
                    f"overlay {name}",
                    f"overlay has {name} on by default: layers are compared file by file",
                    commands=[f"echo 'options overlay {name}=off' > /etc/modprobe.d/overlay-{name}.conf"],
                    **more,
                )
            else:
                yield passed(f"overlay {name}", f"{name} is off", **more)


class StorageFuse(Check):
    """fuse-overlayfs has its program and the kernel's FUSE.

    *Why*: a host that is set to fuse-overlayfs, as rootless ones with old kernels are, starts no container
    without them.

    *Needs*: the program fuse-overlayfs in the path, and fuse in the kernel.

    *Fix*: install the package fuse-overlayfs.
    """

    id = "storage.fuse"
    severity = Severity.REQUIRED
    references = (
        f"{MOBY}/graphdriver/fuse-overlayfs/fuseoverlayfs.go",
        "https://docs.docker.com/engine/security/rootless/",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        need_docker(host)
        chosen = storage.driver(host)
        if chosen.name != "fuse-overlayfs":
            raise NotApplicable("the storage driver is not fuse-overlayfs")
        when = host.when
        program = which(host, "fuse-overlayfs")
        if program:
            yield passed("fuse-overlayfs", f"{program} is there", path=program, when=when)
        else:
            yield failed(
                "fuse-overlayfs",
                "the program fuse-overlayfs is not installed: no container starts",
                expected="installed",
                when=when,
                hint="install the package fuse-overlayfs",
            )
        if storage.kernel_has(host, "fuse", "FUSE_FS") is False:
            yield failed("fuse", "the kernel has no fuse: no container starts", expected="fuse", when=when)
        else:
            yield passed("fuse", "nothing is known against fuse in the kernel", when=when)


class StorageLayers(Check):
    """The names of overlay2's layers are whole.

    *Why*: after a power cut, the small files in which overlay2 keeps the short names of layers can be empty;
    images that use such a layer can neither be started nor removed.

    *Needs*: no empty `link` file below overlay2 in the data root.

    *Fix*: `docker rmi` the image and pull it again; as a last resort empty overlay2 and image.
    """

    id = "storage.layers"
    severity = Severity.RECOMMENDED
    references = ("https://github.com/moby/moby/issues/35747", f"{MOBY}/graphdriver/overlay2/overlay.go")
    maximum: int = 1000
    """Layers that are looked at; the rest is left out."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        need_docker(host)
        folder = f"{storage.data_root(host)[0]}/overlay2"
        try:
            layers = [name for name in host.names(folder) if name != "l"]
        except FileNotFoundError:
            raise NotApplicable(f"{folder} does not exist") from None
        when = host.when
        empty = []
        for layer in layers[: self.maximum]:
            try:
                if host.stat(f"{folder}/{layer}/link").size == 0:
                    empty.append(f"{folder}/{layer}/link")
            except FileNotFoundError:
                continue
        if empty:
            yield failed(
                folder,
                f"{len(empty)} layers have lost their short name: their images do not start",
                value=len(empty),
                expected="0",
                path=empty[0],
                when=when,
                severity=Severity.REQUIRED,
                hint="docker rmi the images and pull them again",
            )
        else:
            yield passed(
                folder, f"{min(len(layers), self.maximum)} layers have their names", path=folder, when=when
            )


class StorageNetworkDatabase(Check):
    """The database of docker's networks is whole.

    *Why*: dockerd opens network/files/local-kv.db at its start. If a loss of power damaged it, dockerd hangs
    or panics.

    *Needs*: the pages of a bolt database: a valid meta page, a free list where it points to, and no page
    beyond the end of the file.

    *Fix*: move the file away; dockerd makes a new one, and networks of your own must be made again.
    """

    id = "storage.network_database"
    severity = Severity.RECOMMENDED
    references = (
        "https://github.com/moby/moby/issues/43072",
        "https://github.com/etcd-io/bbolt/blob/main/internal/common/meta.go",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        need_docker(host)
        path = f"{storage.data_root(host)[0]}/network/files/local-kv.db"
        try:
            size = host.stat(path).size
            problem = storage.bolt_problem(lambda offset, length: host.read_bytes(path, length, offset), size)
        except FileNotFoundError:
            raise NotApplicable("dockerd has not made its network database yet") from None
        when = host.when
        if problem:
            yield failed(
                path,
                f"dockerd cannot open its network database: {problem}",
                value=problem,
                expected="a bolt database",
                path=path,
                when=when,
                severity=Severity.REQUIRED,
                commands=["systemctl stop docker", f"mv {path} {path}.broken", "systemctl start docker"],
            )
        else:
            yield passed(path, "the network database is whole", path=path, when=when)


class StorageThinPool(Check):
    """The thin pool of devicemapper has room.

    *Why*: devicemapper keeps a tenth of its pool back, and refuses to create containers and layers below
    that, though the file system has room.

    *Needs*: less than 90 per cent of the data and metadata blocks in use, as `dmsetup status` tells.

    *Fix*: `lvextend` the pool, `docker system prune`, or move to overlay2.
    """

    id = "storage.thin_pool"
    severity = Severity.RECOMMENDED
    references = ("https://github.com/moby/moby/pull/20786",)
    maximum_percent: float = 90.0
    """Per cent of the blocks that may be in use (dm.min_free_space keeps 10 back)."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        need_docker(host)
        pools = storage.thin_pools(host)
        if not pools:
            raise NotApplicable("no thin pool is configured (dm.thinpooldev)")
        for pool, path, line in pools:
            if not host.recording and "device-mapper" not in (text(host, "/proc/devices") or ""):
                raise Unavailable("the device mapper is not loaded, and asking for the pool would load it")
            try:
                done = host.run("dmsetup", "status", pool)
            except FileNotFoundError:
                raise Unavailable("no program dmsetup") from None
            used = storage.parse_thin_pool(done.out)
            if done.code or used is None:
                raise Unavailable(f"dmsetup status {pool} does not answer")
            more = {
                "value": f"{used:.0f} %",
                "expected": f"{self.maximum_percent:g} %",
                "path": path,
                "line": line,
            }
            if used > self.maximum_percent:
                yield failed(
                    pool,
                    f"the thin pool {pool} is {used:.0f} % full: containers cannot be created",
                    commands=["docker system prune"],
                    hint="lvextend the pool, or move to overlay2",
                    **more,
                )
            else:
                yield passed(pool, f"the thin pool {pool} is {used:.0f} % full", **more)


class StorageContainerdRoot(Check):
    """Images go where data-root points.

    *Why*: with the image store of containerd, the default of new installations from 29.0 on, images lie in
    containerd's own root, whatever data-root says; the small disk that data-root was to spare fills up.

    *Needs*: containerd's root on the file system of data-root, or moved by `root` in /etc/containerd/config.toml.

    *Fix*: set `root` in /etc/containerd/config.toml, or `"features": {"containerd-snapshotter": false}`.
    """

    id = "storage.containerd_root"
    severity = Severity.RECOMMENDED
    references = ("https://github.com/docker/cli/issues/6645", f"{MOBY}/image_store_choice.go")

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        need_docker(host)
        root, path, line = storage.data_root(host)
        if path is None:
            raise NotApplicable("data-root is not set")
        if engine.docker_version(host) is None or storage.driver(host).store != "containerd":
            raise NotApplicable("images are kept below data-root")
        own, own_path, own_line = storage.containerd_root(host)
        when = host.when
        one, other = storage.backing(host, root), storage.backing(host, own)
        if own_path:
            yield passed(own, f"containerd's root is set to {own}", path=own_path, line=own_line, when=when)
        else:
            together = one is not None and other is not None and one.point == other.point
            yield failed(
                own,
                f"images go to {own}, not to {root}: data-root does not move containerd's image store",
                value=own,
                expected=f"a folder beside {root}",
                path=path,
                line=line,
                when=when,
                severity=Severity.INFO if together else Severity.RECOMMENDED,
                hint=f'set root = "{root}-containerd" on top of {CONTAINERD_TOML} and restart containerd',
            )


class StorageRootlessHome(Check):
    """Users with subordinate ids keep their containers on a local disk.

    *Why*: an NFS server knows nothing of user namespaces and refuses to hand files to subordinate ids: every
    pull of a rootless engine fails with `lchown: operation not permitted`.

    *Needs*: the homes of the users in /etc/subuid on a local file system, where podman is installed and no
    graphroot or rootless_storage_path leads elsewhere.

    *Fix*: `rootless_storage_path` in /etc/containers/storage.conf.
    """

    id = "storage.rootless_home"
    severity = Severity.RECOMMENDED
    references = ("https://github.com/containers/podman/issues/8179",)

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if "podman" not in engine.installed(host):
            raise NotApplicable("podman is not installed")
        if any(
            line.strip().startswith("rootless_storage_path")
            for line in (text(host, "/etc/containers/storage.conf") or "").split("\n")
        ):
            raise NotApplicable("rootless_storage_path is set in /etc/containers/storage.conf")
        users = storage.subid_homes(host)
        if not users:
            raise NotApplicable("no user has subordinate ids in /etc/subuid")
        silent = True
        for user, home in users.items():
            own = text(host, f"{home}/.config/containers/storage.conf") if host.kind == "live" else None
            if own and "graphroot" in own:
                continue
            for when, mount in mounts.held(host, home):
                silent = False
                where = {"value": mount.type, "path": mount.path, "line": mount.line, "when": when}
                if mount.type in ("nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "lustre", "beegfs", "gpfs"):
                    yield failed(
                        home,
                        f"{user}'s home is on {mount.type}: pulls of a rootless engine fail",
                        expected="a local file system",
                        hint="set rootless_storage_path in /etc/containers/storage.conf to a local folder",
                        **where,
                    )
                else:
                    yield passed(home, f"{user}'s home is on {mount.type}", **where)
        if silent:
            raise no_mount(host)


class StorageTmpNoexec(Check):
    """A docker-compose of version 1 can unpack itself to /tmp.

    *Why*: the one-file program of compose 1 unpacks its libraries to /tmp and maps them; on a /tmp with noexec
    it does not even print its version.

    *Needs*: no noexec on /tmp, where such a program is installed.

    *Fix*: the compose plugin of version 2, or `TMPDIR=` set to a folder that allows programs.
    """

    id = "storage.tmp_noexec"
    severity = Severity.RECOMMENDED
    references = ("https://github.com/docker/compose/issues/8041",)

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        noexec = [(when, mount) for when, mount in mounts.held(host, TMP) if "noexec" in mount.options]
        if not noexec:
            raise NotApplicable(f"{TMP} is not mounted noexec")
        if not self._unpacks_itself(host):
            raise NotApplicable("no docker-compose of version 1 is installed as one file")
        for when, mount in noexec:
            yield failed(
                f"{TMP} noexec",
                f"{TMP} is noexec: docker-compose 1, which unpacks itself there, cannot start",
                value="noexec",
                expected="without noexec",
                path=mount.path,
                line=mount.line,
                when=when,
                hint="use the compose plugin of version 2, or run it with TMPDIR set to another folder",
            )

    def _unpacks_itself(self, host: Host) -> bool:
        program = which(host, "docker-compose")
        if program or not host.written_by_hand:
            # Not by running it: it would unpack itself.
            return program is not None and storage.unpacks_itself(host, program)
        try:
            done = host.run("docker-compose", "--version")
        except (OSError, Unavailable):
            return False
        return "failed to map segment" in done.out + done.err
