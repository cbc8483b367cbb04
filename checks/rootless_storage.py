"""Where users who run containers without root keep their images: overlay or FUSE, on a disk that takes their ids."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hostcheck._typing import Any
from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, Unavailable, Version, failed, passed
from hostcheck.facts import engine, kernel, modules, mounts, packages, releases, rootless, storage
from hostcheck.facts import os as os_facts
from hostcheck.facts.files import text
from hostcheck.facts.rootless import Evidence, User

from ._rootless import DOCS, UsersCheck, docker_version
from ._storage import no_mount


class RootlessStorageOverlay(UsersCheck):
    """A user's engine can stack the layers of images.

    *Why*: up to 5.10 the kernel lets only root mount overlay. Engines then fall back to fuse-overlayfs, or to full
    copies of each layer (vfs) where that is not installed; docker from 29 on does not fall back at all, and no
    image can be unpacked.

    *Needs*: kernel 5.11, or one that its distribution taught it (Ubuntu, RHEL from 8.5 on, Debian with the option
    permit_mounts_in_userns of overlay); else fuse-overlayfs, and for docker 29 `containerd-snapshotter` false.

    *Fix*: a newer kernel; or install fuse-overlayfs.
    """

    id = "rootless_storage.overlay"
    aliases = ("rootless.overlay",)
    severity = Severity.REQUIRED
    references = (
        f"{DOCS}/troubleshoot/",
        "https://docs.docker.com/engine/storage/drivers/select-storage-driver/",
        "https://www.redhat.com/en/blog/podman-rootless-overlay",
        "https://github.com/torvalds/linux/commit/459c7c565ac36ba09ffbf24231147f408fde4203",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        found = self.evidence(host)
        fuse = rootless.program(host, "fuse-overlayfs") or packages.known(host, "fuse-overlayfs")
        for each in kernel.kernels(host):
            why = self._allowed(host, each)
            more: dict[str, Any] = {
                "value": each.release, "expected": ">= 5.11", "when": each.when,
                "path": each.path, "line": each.line,
            }  # fmt: skip
            if why:
                yield passed("overlay", f"{each.release} lets users mount overlay: {why}", **more)
                continue
            docker = docker_version(host)
            store = self._containerd_store(host, found) if docker and docker >= Version("29") else ""
            if store:
                yield failed(
                    "overlay",
                    f"kernel {each.release} lets only root mount overlay: docker {docker} unpacks no image",
                    hint=f'a kernel from 5.11 on; or in {store}: "features": {{"containerd-snapshotter": false}}, '
                    '"storage-driver": "fuse-overlayfs"',
                    **more,
                )
            elif fuse:
                text_ = f"{each.release} lets only root mount overlay; fuse-overlayfs is there"
                yield passed("overlay", text_, **more)
            else:
                yield failed(
                    "overlay",
                    f"kernel {each.release} lets only root mount overlay: each layer is copied in full (vfs)",
                    severity=Severity.RECOMMENDED,
                    hint="install the package fuse-overlayfs, or boot a kernel from 5.11 on",
                    **more,
                )

    def _allowed(self, host: Host, each: kernel.Kernel) -> str:
        number = releases.version_of(each.release)
        if number is None or number >= Version("5.11"):
            return "5.11 or newer" if number else "its version is not known"
        if re.fullmatch(
            r"\d+\.\d+\.\d+-\d+-(generic|lowlatency|aws|azure|gcp|oracle|kvm|raspi)", each.release
        ):
            return "Ubuntu's kernels do"
        try:
            if "ubuntu" in os_facts.os_release(host).family:
                return "Ubuntu's kernels do"
        except (OSError, Unavailable):
            pass
        # Red Hat carried it back to 8.5, whose kernel is 4.18.0-348.
        carried = re.match(r"4\.18\.0-(\d+).*\.el8", each.release)
        if carried and int(carried.group(1)) >= 348:
            return "Red Hat carried it back"
        if any(
            rule.keyword == "options" and rule.name == "overlay" and "permit_mounts_in_userns=1" in rule.text
            for rule in modules.rules(host)
        ):
            return "permit_mounts_in_userns=1"
        if each.when == "now":
            said = text(host, "/sys/module/overlay/parameters/permit_mounts_in_userns")
            if said and said[:1] in "Y1":
                return "permit_mounts_in_userns is on"
        return ""

    def _containerd_store(self, host: Host, found: tuple[Evidence, ...]) -> str:
        """Return the daemon.json of a user whose docker 29 keeps its images in containerd's store, empty if none."""
        # Imported here: only hosts with docker 29 and an old kernel come so far.
        import json

        theirs = [e.user for e in found if e.user and e.engine == "docker"]
        if not theirs:
            return "" if found else "~/.config/docker/daemon.json"
        for user in theirs:
            path = f"{user.home}/.config/docker/daemon.json"
            try:
                said = json.loads(text(host, path) or "{}")
            except (ValueError, OSError, Unavailable, RecursionError):
                said = {}
            said = said if isinstance(said, dict) else {}
            features = said.get("features")
            off = isinstance(features, dict) and features.get("containerd-snapshotter") is False
            old = ("fuse-overlayfs", "vfs", "btrfs")
            # What an earlier release left there is kept in use (moby's daemon/graphdriver, HasPriorDriver).
            prior = any(rootless.is_there(host, f"{user.home}/.local/share/docker/{name}") for name in old)
            if not off and not prior and said.get("storage-driver") not in old:
                return path
        return ""


FUSE_CONFIGS = ("/etc/containers/storage.conf", "/usr/share/containers/storage.conf")


class RootlessStorageFuse(Check):
    """Whoever is set to fuse-overlayfs can open /dev/fuse.

    *Why*: with `mount_program = fuse-overlayfs` every mount of a layer goes through /dev/fuse; where the module is
    not there builds and containers end with `fuse: device not found`.

    *Needs*: /dev/fuse now; for the next boot the module fuse, built in or loadable.

    *Fix*: `echo fuse > /etc/modules-load.d/fuse.conf && modprobe fuse`.
    """

    id = "rootless_storage.fuse"
    aliases = ("rootless.fuse",)
    severity = Severity.REQUIRED
    references = (
        "https://github.com/containers/fuse-overlayfs",
        "https://github.com/containers/storage/blob/main/docs/containers-storage.conf.5.md",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        said = next(self._asked(host), None)
        if said is None:
            raise NotApplicable("nothing is set to fuse-overlayfs")
        path, line = said
        more: dict[str, Any] = {"path": path, "line": line, "expected": "there"}
        command = "echo fuse > /etc/modules-load.d/fuse.conf && modprobe fuse"
        if host.kind == "live":
            if host.exists("/dev/fuse"):
                yield passed("/dev/fuse", "there", value="there", when="now", **more)
            else:
                text_ = "not there, and fuse-overlayfs is what mounts layers: builds and containers fail"
                yield failed("/dev/fuse", text_, value="missing", when="now", commands=[command], **more)
        for each in kernel.kernels(host):
            # Both names of one kernel: what boots again is judged as what boots.
            found = modules.loadable(host, each._replace(when="boot"), "fuse", "FUSE_FS")
            if found.usable:
                yield passed("fuse", f"{each.release}: {found.why}", value=found.state, when="boot", **more)
            elif host.kind != "live" or each.when == "boot":
                text_ = f"{each.release}: {found.why}: builds and containers fail"
                hint = "install the modules of the kernel that boots"
                yield failed("fuse", text_, value=found.state, when="boot", hint=hint, **more)

    def _asked(self, host: Host) -> Iterator[tuple[str, int]]:
        theirs = [f"{user.home}/.config/containers/storage.conf" for user in rootless.users(host)]
        for path in (*FUSE_CONFIGS, *theirs):
            try:
                content = text(host, path) or ""
            except (OSError, Unavailable):
                continue
            for number, line in enumerate(content.split("\n"), 1):
                if "fuse-overlayfs" in line and re.match(
                    r'\s*mount_program\s*=\s*["\'].*fuse-overlayfs["\']', line
                ):
                    yield path, number
            # The system's own file counts only where the administrator has none.
            if path == FUSE_CONFIGS[0] and content:
                return


NETWORK_TYPES = ("nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "ceph", "lustre", "beegfs", "gpfs", "9p", "afs")


class RootlessStorageHome(UsersCheck):
    """Docker without root keeps its images on a local file system.

    *Why*: the server of a network file system knows nothing of user namespaces and refuses to hand files to
    subordinate ids: every pull ends with `lchown: operation not permitted`.
    For podman see rootless_storage.podman_home.

    *Needs*: ~/.local/share/docker, or data-root of the user's daemon.json, on a local file system.

    *Fix*: `data-root` in ~/.config/docker/daemon.json.
    """

    id = "rootless_storage.home"
    aliases = ("rootless.home",)
    severity = Severity.REQUIRED
    references = (f"{DOCS}/troubleshoot/#known-limitations",)

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        found = self.evidence(host)
        theirs = {each.user.name: each.user for each in found if each.user and each.engine == "docker"}
        if not theirs:
            raise NotApplicable("no user is known to run docker without root")
        silent = True
        for user in theirs.values():
            root = self._data_root(host, user)
            held = [("now", mounts.now(host, root))] if host.kind == "live" else []
            held.append(("boot", mounts.boot(host, root)))
            for when, mount in held:
                if mount is None:
                    continue
                silent = False
                more: dict[str, Any] = {
                    "value": mount.type, "expected": "a local file system", "when": when,
                    "path": mount.path, "line": mount.line,
                }  # fmt: skip
                if mount.type in NETWORK_TYPES:
                    text_ = f"{user.name}'s docker keeps its images on {mount.type}: every pull fails"
                    hint = "set data-root in ~/.config/docker/daemon.json to a folder on a local disk"
                    yield failed(root, text_, hint=hint, **more)
                else:
                    yield passed(root, f"on {mount.type}", **more)
        if silent:
            # A tree without /etc/fstab lies on whatever it is deployed to.
            raise NotApplicable("no file says what is mounted where the images lie")

    def _data_root(self, host: Host, user: User) -> str:
        try:
            content = text(host, f"{user.home}/.config/docker/daemon.json") or ""
        except (OSError, Unavailable):
            content = ""
        named = re.search(r'"data-root"\s*:\s*"(/[^"]+)"', content)
        return named.group(1) if named else f"{user.home}/.local/share/docker"


class RootlessStoragePodmanHome(Check):
    """Users with subordinate ids keep their containers on a local disk.

    *Why*: an NFS server knows nothing of user namespaces and refuses to hand files to subordinate ids: every
    pull of a rootless engine fails with `lchown: operation not permitted`.

    *Needs*: the homes of the users in /etc/subuid on a local file system, where podman is installed and no
    graphroot or rootless_storage_path leads elsewhere.

    *Fix*: `rootless_storage_path` in /etc/containers/storage.conf.
    """

    id = "rootless_storage.podman_home"
    aliases = ("storage.rootless_home",)
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
