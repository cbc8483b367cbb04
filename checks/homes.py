"""Where users' engines keep images: what the file system below their homes can and may do."""

from __future__ import annotations

from collections.abc import Iterator

from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, Version, failed, passed
from hostcheck.facts import kernel, mounts, releases, rootless, storage
from hostcheck.facts.files import text

STORES = {"docker": ".local/share/docker", "podman": ".local/share/containers"}


class HomesStorage(Check):
    """Users' images lie on a file system that can stack layers and run programs.

    *Why*: in a user's namespace overlayfs keeps its marks in attributes of users, which tmpfs has from Linux 6.6 on:
    pulls fail with `operation not supported`. On a home that is mounted noexec no program of an image runs:
    `exec ...: permission denied`.

    *Needs*: the mount that holds ~/.local/share/docker or ~/.local/share/containers of users who run containers.

    *Fix*: data-root in ~/.config/docker/daemon.json, or rootless_storage_path in /etc/containers/storage.conf.
    """

    id = "homes.storage"
    severity = Severity.REQUIRED
    references = (
        "https://docs.kernel.org/filesystems/overlayfs.html#user-xattr",
        "https://github.com/torvalds/linux/commit/2daf18a7884dc03d5164ab9c7dc3f2ea70638469",
        "https://github.com/containers/podman/issues/14655",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        found = {each.user.name: each for each in rootless.evidence(host) if each.user and each.user.uid}
        if not found:
            raise NotApplicable("no user runs containers without root here")
        for each in found.values():
            assert each.user is not None
            folder = f"{each.user.home}/{STORES.get(each.engine, STORES['docker'])}"
            if _elsewhere(host, each.user.home):
                continue
            for when, mount in mounts.held(host, folder):
                more = {"value": mount.type, "path": mount.path, "line": mount.line, "when": when}
                why = _why_not(host, mount)
                if not why:
                    yield passed(folder, f"lies on {mount.type}", **more)
                    continue
                yield failed(folder, why, expected="ext4, xfs or btrfs without noexec", **more)
        yield passed("homes", "of users who run containers were looked at")


def _elsewhere(host: Host, home: str) -> bool:
    """Return whether a file says that this user's images lie in another place, or are stacked by FUSE."""
    for path, word in (
        (f"{home}/.config/docker/daemon.json", "data-root"),
        (f"{home}/.config/docker/daemon.json", "fuse-overlayfs"),
        (f"{home}/.config/containers/storage.conf", "graphroot"),
        (f"{home}/.config/containers/storage.conf", "mount_program"),
        ("/etc/containers/storage.conf", "rootless_storage_path"),
        ("/etc/containers/storage.conf", "mount_program"),
    ):
        try:
            lines = (text(host, path) or "").splitlines()
        except OSError:
            continue
        if any(word in line and not line.lstrip().startswith("#") for line in lines):
            return True
    return False


def _why_not(host: Host, mount: mounts.Mount) -> str:
    if "noexec" in mount.options:
        return f"lies on {mount.point}, which is mounted noexec: no program of an image runs"
    if mount.type == "zfs" and storage.zfs_too_old(host):
        return "lies on ZFS before OpenZFS 2.2, on which the kernel stacks no layers: no image can be used"
    if mount.type != "tmpfs":
        return ""
    for each in kernel.kernels(host):
        version = releases.version_of(each.release)
        if version is not None and version < Version("6.6"):
            return f"lies on tmpfs, which {each.release} gives no attributes of users: pulls fail"
    return ""
