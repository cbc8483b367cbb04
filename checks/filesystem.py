"""The file systems below images, containers and volumes: whether they can hold them, and how they are mounted."""

from __future__ import annotations

from collections.abc import Iterator

from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, Unavailable, Version, failed, passed
from hostcheck.facts import engine, files, kernel, kubelet, mounts, storage
from hostcheck.facts.files import which

from ._storage import KERNEL_OVERLAY, MOBY, folders, known_driver, no_mount

OVERLAY_DOCS = "https://docs.docker.com/engine/storage/drivers/overlayfs-driver/"
TMP = "/tmp"  # noqa: S108 (nothing is written there)


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


class FilesystemBacking(Check):
    """Images and containers lie on a file system that can hold them.

    *Why*: layers need links, owners, modes and extended attributes, and overlayfs needs an upper file system
    that it trusts. On a network share, FAT, NTFS or another overlay, pulls or starts fail; what lies on tmpfs
    is lost at the next boot and takes memory until then.

    *Needs*: ext4, xfs, btrfs, zfs or another local file system below the data root of every engine.

    *Fix*: a partition with ext4 or xfs, mounted at the data root by /etc/fstab.
    """

    id = "filesystem.backing"
    aliases = ("storage.backing",)
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
        elif told := self._unsure(host, owner, kind):
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

    def _unsure(self, host: Host, owner: str, kind: str) -> str:
        """Return why layers cannot be stacked on it by overlayfs, empty if they can: other drivers may do."""
        if kind.startswith("fuse."):
            return storage.NO_FUSE
        if kind == "virtiofs" and storage.virtiofs_refused(storage.judged_release(host)):
            return storage.NO_VIRTIOFS
        return storage.ZFS_TOO_OLD if kind == "zfs" and self._no_zfs(host, owner) else ""

    def _no_zfs(self, host: Host, owner: str) -> bool:
        """Return whether this engine would lay an overlay on a ZFS that is too old for it."""
        if owner == "containerd" and "docker" in engine.installed(host):
            return False
        return storage.zfs_too_old(host) and owner != "the kubelet" and self._insists(host, owner)

    def _insists(self, host: Host, owner: str) -> bool:
        """Return whether the engine is told to use overlay, and so refuses where another chooses vfs."""
        if owner in kubelet.DISTRIBUTIONS:
            return True
        if owner != "docker" or engine.stage(host) == "before":
            return owner == "containerd"
        chosen = known_driver(host)
        if chosen is None:
            return False
        return chosen.how == "configured" and chosen.name in ("overlay2", "overlayfs", "overlay")


class FilesystemDtype(Check):
    """Folders under the data root tell the type of their entries (d_type).

    *Why*: overlayfs cannot hide removed files without it. Kernels from 4.6 on refuse such a file system as
    upper layer, dockerd from 17.12 on does not start new data on it; earlier ones corrupt images silently.
    Installers of RHEL and CentOS before 7.3 formatted xfs so.

    *Needs*: xfs with ftype=1 (always so with crc=1), or ext4 with the filetype feature.

    *Fix*: a new file system: `mkfs.xfs -n ftype=1` on a volume of its own, mounted at the data root.
    """

    id = "filesystem.dtype"
    aliases = ("storage.dtype",)
    severity = Severity.REQUIRED
    references = (OVERLAY_DOCS, f"{MOBY}/graphdriver/overlay2/overlay.go")

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if host.kind != "live":
            raise NotApplicable("the file system is made where this will be deployed")
        held: dict[str, list[tuple[str, str, mounts.Mount]]] = {}
        for folder, owner in folders(host).items():
            mount = mounts.now(host, folder)
            # Nothing of the kubelet's own is a layer.
            if mount is not None and owner != "the kubelet":
                held.setdefault(mount.point, []).append((folder, owner, mount))
        for users in held.values():
            folder, _owner, mount = users[0]
            answer = storage.dtype(host, mount)
            where = {"path": mount.path, "line": mount.line, "expected": "ftype=1"}
            if answer is False:
                harms = [(*self._harm(host, owner), folder) for folder, owner, _mount in users]
                severity, then, folder = max(harms, key=lambda harm: harm[0].rank)
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
        if not held:
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


class FilesystemCasefold(Check):
    """The file system under the data root does not fold case.

    *Why*: overlayfs refuses as a layer every file system that can fold case, even where no folder uses it.

    *Needs*: ext4 without the casefold feature, bcachefs on a kernel before 6.15 or without CONFIG_UNICODE; kernel
    6.17 lifted the ban for folders that do not use it.

    *Fix*: `mkfs.ext4 -O ^casefold` on a partition for the data root.
    """

    id = "filesystem.casefold"
    aliases = ("storage.casefold",)
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


COPIES = ("vfs", "btrfs", "zfs")
"""Drivers whose containers run on the mounts of the data root themselves."""

NAMED_BY_LINKS = ("overlay2", "fuse-overlayfs")
"""Drivers that name layers by links in the folder l, to keep mount options short."""

OF_DOCKER = ("image", "containers", "network", "volumes", "plugins", "buildkit")
"""Below the data root: folders in which dockerd writes as it starts, some of them with a disk of their own."""

CLOSED = {"docker": "dockerd", "containerd": "containerd"}
"""Who does not start where its folder is immutable or append-only (chmod(2): EPERM), by the folder's owner."""


class FilesystemMountOptions(Check):
    """Nothing forbids running programs where volumes and images lie, or writing there.

    *Why*: volumes and bind mounts out of the data root inherit its noexec, and a program in them does not
    run; with vfs, btrfs or zfs the containers themselves do not. nosuid and nodev reach volumes in the same
    way. Hardening guides put all three on /var. With nosymfollow overlay2 does not find its layers, whose short names
    are links. A disk that went wrong is mounted read-only. Attributes of chattr reach the engine itself.

    *Needs*: no noexec, ro or nosymfollow among the options of the mount that holds the data root, now and in fstab, nor
    noexec on one of the volumes, or ro on one of another folder of dockerd's; on a running host neither `i` nor `a`
    among the attributes of the engine's folder.

    *Fix*: a file system of its own for the data root, or /var without noexec.
    """

    id = "filesystem.mount_options"
    aliases = ("storage.mount_options",)
    severity = Severity.REQUIRED
    references = (
        "https://man7.org/linux/man-pages/man8/mount.8.html",
        "https://github.com/argoproj/argo-cd/issues/21870",
        "https://man7.org/linux/man-pages/man1/chattr.1.html",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        silent = True
        for folder, owner in folders(host).items():
            for when, mount in mounts.held(host, folder):
                silent = False
                yield from self._judge(host, folder, owner, when, mount)
            if owner == "docker":
                yield from self._inside(host, folder)
            if owner in CLOSED:
                yield from self._closed(host, folder, owner)
        if silent:
            raise no_mount(host)

    def _inside(self, host: Host, root: str) -> Iterator[Finding]:
        """Judge the disks that are mounted on single folders of dockerd's."""
        chosen = known_driver(host)
        driver = chosen.name if chosen and chosen.name else "overlay2"
        runs = ("volumes", driver) if driver in COPIES else ("volumes",)
        for when, known in (
            ("now", mounts.mounted(host) if host.kind == "live" else ()),
            ("boot", mounts.at_boot(host)),
        ):
            points = {mount.point: mount for mount in known}
            for name in (*OF_DOCKER, driver):
                mount = points.get(f"{root}/{name}")
                if mount and "ro" in mount.options:
                    yield self._told(mount.point, mount, when, "ro", "dockerd does not start")
                if mount and "noexec" in mount.options and name in runs:
                    yield self._told(mount.point, mount, when, "noexec", "programs there do not run")

    def _closed(self, host: Host, folder: str, owner: str) -> Iterator[Finding]:
        """Say where an attribute keeps an engine from its own folder."""
        attributes = files.attributes(host, folder)
        for letter, name in (("i", "immutable"), ("a", "append-only")):
            if letter not in attributes:
                continue
            # Whether a containerd sets the mode of a folder that it has filled, its release does not tell: fixes of
            # CVE-2024-25621 were taken over into older ones.
            filled = owner == "containerd" and any(
                "containerd" in entry for entry in files.names(host, folder)
            )
            yield failed(
                f"{folder} {name}",
                f"is {name} (chattr +{letter}): {CLOSED[owner]} cannot set its mode, or fill it, and does not start",
                value=letter,
                expected=f"without {letter}",
                severity=Severity.RECOMMENDED if filled else None,
                path=folder,
                commands=[f"chattr -{letter} {folder}"],
            )

    def _judge(
        self, host: Host, folder: str, owner: str, when: str, mount: mounts.Mount
    ) -> Iterator[Finding]:
        chosen = known_driver(host) if engine.stage(host) == "installed" else None
        driver = chosen.name if chosen else None
        # containerd keeps no volumes, and what an overlay shows runs whatever the mounts below it allow.
        noexec = ("noexec", "programs in volumes do not run", Severity.REQUIRED)
        if owner == "containerd":
            noexec = ("noexec", "containers of its native snapshotter do not run", Severity.INFO)
        elif owner in kubelet.DISTRIBUTIONS:
            effect = f"the programs that {owner} unpacks there do not run, and it does not start"
            noexec = ("noexec", effect, Severity.REQUIRED)
        # Containers on overlay keep their setuid programs whatever lies below.
        lesser = Severity.RECOMMENDED if driver in COPIES else Severity.INFO
        options = [
            noexec,
            ("ro", "nothing can be written to it", Severity.REQUIRED),
            ("nosuid", "setuid programs in volumes lose their rights", lesser),
            ("nodev", "device files in volumes do not work", Severity.INFO),
        ]
        if owner == "docker" and driver in NAMED_BY_LINKS:
            effect = f"{driver} does not find its layers, and no container starts"
            options.append(("nosymfollow", effect, Severity.REQUIRED))
        bad = [option for option in options if option[0] in mount.options]
        for option, effect, severity in bad:
            yield self._told(folder, mount, when, option, effect, severity)
        if not bad:
            where = {"path": mount.path, "line": mount.line, "when": when}
            yield passed(folder, f"{mount.point} allows programs", value=",".join(mount.options), **where)

    def _told(
        self,
        folder: str,
        mount: mounts.Mount,
        when: str,
        option: str,
        effect: str,
        severity: Severity = Severity.REQUIRED,
    ) -> Finding:
        return failed(
            f"{folder} {option}",
            f"{mount.point} is mounted {option}: {effect}",
            value=option,
            expected=f"without {option}",
            severity=severity,
            path=mount.path,
            line=mount.line,
            when=when,
            commands=forget((option,), mount) if option != "ro" else (),
            hint="" if option != "ro" else f"mount {mount.point} read-write",
        )


class FilesystemPropagation(Check):
    """Mounts below / propagate to containers that ask for it.

    *Why*: `-v /x:/x:rshared`, and volumes of Kubernetes with Bidirectional mount propagation, need a shared
    mount; systemd makes / shared at boot, other init systems leave it private.

    *Needs*: `shared:` in the line of / in /proc/self/mountinfo.

    *Fix*: `mount --make-rshared /` from a boot script.
    """

    id = "filesystem.propagation"
    aliases = ("storage.propagation",)
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


class FilesystemTmpNoexec(Check):
    """A docker-compose of version 1 can unpack itself to /tmp.

    *Why*: the one-file program of compose 1 unpacks its libraries to /tmp and maps them; on a /tmp with noexec
    it does not even print its version.

    *Needs*: no noexec on /tmp, where such a program is installed.

    *Fix*: the compose plugin of version 2, or `TMPDIR=` set to a folder that allows programs.
    """

    id = "filesystem.tmp_noexec"
    aliases = ("storage.tmp_noexec",)
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
