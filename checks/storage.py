"""The storage driver that dockerd takes, its options, and where containerd keeps images."""

from __future__ import annotations

from collections.abc import Iterator

from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, Unavailable, Version, failed, passed
from hostcheck.facts import engine, mounts, storage
from hostcheck.facts.files import text, which

from ._storage import KERNEL_OVERLAY, MOBY, no_mount

DRIVER_DOCS = "https://docs.docker.com/engine/storage/drivers/select-storage-driver/"
CONTAINERD_TOML = "/etc/containerd/config.toml"
DAEMON_JSON = "/etc/docker/daemon.json"
DRIVER = "daemon.json storage-driver"


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
        engine.need_docker(host)
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
        engine.need_docker(host)
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
        engine.need_docker(host)
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
        engine.need_docker(host)
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
        engine.need_docker(host)
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
        engine.need_docker(host)
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
            then = ", which lies on the same file system" if together else ""
            yield failed(
                own,
                f"images go to {own}{then}, not to {root}: data-root does not move containerd's image store",
                value=own,
                expected=f"a folder beside {root}",
                path=path,
                line=line,
                when=when,
                hint=f'set root = "{root}-containerd" on top of {CONTAINERD_TOML} and restart containerd',
            )
