"""Podman's storage, of the engine that runs as root: its configuration, and the file system below its layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hostcheck._typing import Any
from hostcheck.api import Finding, Host, NotApplicable, Severity, Version, failed, passed
from hostcheck.facts import files, mounts, podman, storage

from . import _podman as keys
from ._podman import PodmanCheck, toml_problem

MOUNT_PROGRAM = ("options.overlay.mount_program", "options.mount_program")
"""Keys of storage.conf, the later one of before 2020."""

MEND = f'mount_program = "/usr/bin/fuse-overlayfs" below [storage.options.overlay] in {podman.STORAGE[0]}'

STACKED = {"overlay": "an overlay", "ecryptfs": "eCryptfs", "aufs": "aufs"}
"""Types of file systems on which containers/storage refuses the kernel's overlay (drivers/overlay/overlay.go)."""


class PodmanStorageConfiguration(PodmanCheck):
    """Podman can use the storage that storage.conf names.

    *Why*: where the storage cannot be set up, every podman command ends with an error, `podman info` included.

    *Needs*: storage.conf is TOML; before podman 5.5 it names runroot and graphroot; the driver is one that podman has
    (overlay, vfs, btrfs on btrfs, zfs with its program); mount_program and the additional image stores are there;
    overlay.size only on xfs.

    *Fix*: mend the line that the finding names. Changing the driver hides the images that another one made: `podman
    system reset` deletes them.
    """

    id = "podman_storage.configuration"
    severity = Severity.REQUIRED
    references = (
        "https://github.com/containers/storage/blob/main/docs/containers-storage.conf.5.md",
        "https://github.com/containers/storage/blob/main/types/options.go",
        "https://github.com/containers/storage/blob/main/drivers/overlay/overlay.go",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        severity = self.severity_here(host)
        found = podman.storage(host)
        if found is None:
            raise NotApplicable("there is no storage.conf: the defaults count")
        problem = toml_problem(host, found, keys.NO_START, severity)
        if problem:
            yield problem
            return
        some = False
        for key, value, text, hint in self._problems(host, found):
            some = True
            yield failed(
                f"storage.conf {key}",
                text,
                value=value,
                path=found.path,
                line=found.line(key),
                when=host.when,
                severity=severity,
                hint=hint,
            )
        if not some:
            yield passed("storage.conf", "podman can use it", path=found.path, when=host.when)

    def _problems(self, host: Host, found: podman.Document) -> Iterator[tuple[str, object, str, str]]:
        version = podman.version(host)
        table = found.values.get("storage")
        values: Mapping[str, Any] = table if isinstance(table, dict) else {}
        if version is not None and version < Version("5.5"):
            for key, usual in (("runroot", "/run/containers/storage"), ("graphroot", podman.GRAPH_ROOT)):
                if not values.get(key):
                    yield key, "not set", f"{key} must be set: {keys.NO_START}", f'set {key} = "{usual}"'
                    return
        root = podman.graph_root(host)
        if not root.startswith("/") and (version is None or version < Version("5.0")):
            yield "graphroot", root, f"graphroot must be an absolute path: {keys.NO_START}", "begin it with /"
        yield from self._driver(host, str(values.get("driver") or ""), root)
        yield from self._options(host, values, root)

    def _driver(self, host: Host, driver: str, root: str) -> Iterator[tuple[str, object, str, str]]:
        key, hint = "driver", 'set driver = "overlay"'
        mount = storage.backing(host, root) if driver in ("btrfs", "zfs") else None
        if driver in ("", "overlay", "overlay2", "vfs"):
            return
        if driver == "btrfs":
            if mount is not None and mount.type not in ("btrfs", "auto"):
                yield key, driver, f"{root} is {mount.type} and not btrfs: {keys.NO_START}", hint
        elif driver == "zfs":
            if files.which(host, "zfs") is None:
                yield key, driver, f"the zfs driver runs `zfs`, which is not there: {keys.NO_START}", hint
        elif driver == "aufs":
            if storage.kernel_has(host, "aufs") is False:
                yield key, driver, f"the kernel has no aufs: {keys.NO_START}", hint
        else:
            yield key, driver, f"podman has no storage driver {driver!r}: {keys.NO_START}", hint

    def _options(
        self, host: Host, values: Mapping[str, Any], root: str
    ) -> Iterator[tuple[str, object, str, str]]:
        driver = str(values.get("driver") or "overlay")
        overlay = driver.startswith("overlay")
        for key in MOUNT_PROGRAM:
            value = podman.lookup(values, key)
            if overlay and value and not host.exists(value):
                yield key, value, f"{value} is not there: {keys.NO_START}", "install it, or remove the line"
        stores = podman.lookup(values, "options.additionalimagestores") or ()
        for each in stores:
            if isinstance(each, str) and each.startswith("/") and not host.exists(each):
                yield (
                    "options.additionalimagestores",
                    each,
                    f"{each} is not there: {keys.NO_START}",
                    f"mkdir -p {each}, or remove it from the list",
                )
        size = podman.lookup(values, "options.overlay.size")
        mount = storage.backing(host, root) if overlay and size else None
        if mount is not None and mount.type not in ("xfs", "auto"):
            text = f"overlay.size needs xfs, and {root} is {mount.type}: {keys.NO_START}"
            yield "options.overlay.size", size, text, "remove the line"
        options = str(podman.lookup(values, "options.overlay.mountopt") or "")
        for option in options.split(",") if overlay and options else ():
            if option and option.partition("=")[0] not in keys.OVERLAY_WORDS:
                text = f"overlay has no mount option {option!r}: {keys.NO_CONTAINER}"
                yield "options.overlay.mountopt", option, text, "remove it from the line"


class PodmanStorageLayers(PodmanCheck):
    """Podman can stack layers where root's images lie.

    *Why*: podman's driver `overlay` refuses to lie on another overlay, on eCryptfs, on ZFS before OpenZFS 2.2 or
    podman 4.4, unless a mount_program (fuse-overlayfs) does the work: `'overlay' is not supported over zfs, a
    mount_program is required`.

    *Needs*: the driver, graphroot and mount_program of storage.conf, and the file system below.

    *Fix*: `mount_program = "/usr/bin/fuse-overlayfs"` in /etc/containers/storage.conf, or graphroot on ext4 or xfs.
    """

    id = "podman_storage.layers"
    aliases = ("podman.storage",)
    severity = Severity.REQUIRED
    references = (
        "https://github.com/containers/storage/blob/v1.46.0/drivers/overlay/overlay.go",
        "https://github.com/containers/storage/pull/1432",
        "https://github.com/containers/storage/blob/main/docs/containers-storage.conf.5.md",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        severity = self.severity_here(host)
        found = podman.storage(host)
        values = found.values if found else {}
        if podman.lookup(values, "storage.driver") not in (None, "overlay", "overlay2", ""):
            raise NotApplicable("another storage driver is configured")
        if any(podman.lookup(values, f"storage.{key}") for key in MOUNT_PROGRAM):
            raise NotApplicable("a mount_program stacks the layers")
        root = podman.graph_root(host)
        for when, mount in mounts.held(host, root):
            more = {
                "value": mount.type,
                "expected": "ext4, xfs or btrfs",
                "path": mount.path,
                "line": mount.line,
                "when": when,
                "severity": severity,
            }
            why = self._refused(host, mount.type)
            if not why:
                yield passed(root, f"layers can be stacked on {mount.type}", **more)
                continue
            yield failed(
                root,
                f"lies on {why}, on which podman stacks no layers of its own: nothing starts",
                hint=MEND,
                **more,
            )

    def _refused(self, host: Host, kind: str) -> str:
        if kind != "zfs":
            return STACKED.get(kind, "")
        have = podman.version(host)
        if storage.zfs_too_old(host):
            return "ZFS before OpenZFS 2.2"
        return f"ZFS, which podman {have} does not take" if have and have < Version("4.4") else ""
