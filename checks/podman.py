"""What podman and its relatives need of the host when root runs them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, Version, failed, passed
from hostcheck.facts import engine, mounts, packages, rootless, storage
from hostcheck.facts.files import PROGRAM_FOLDERS, text, which
from hostcheck.facts.versions import version

CONFIG = "/etc/containers/storage.conf"
VENDOR = "/usr/share/containers/storage.conf"

HELPERS = ("/usr/local/libexec/podman", "/usr/local/lib/podman", "/usr/libexec/podman", "/usr/lib/podman")
PLUGINS = ("/usr/local/libexec/cni", "/usr/libexec/cni", "/usr/local/lib/cni", "/usr/lib/cni", "/opt/cni/bin")
"""Where podman looks for its helpers and for plugins, before it takes the search path."""

NETWORK_PACKAGES = ("netavark", "containernetworking-plugins", "podman-plugins", "cni-plugins")

STACKED = {"overlay": "an overlay", "ecryptfs": "eCryptfs", "aufs": "aufs"}
"""Types of file systems on which containers/storage refuses the kernel's overlay (drivers/overlay/overlay.go)."""


def configured(host: Host, key: str) -> tuple[str, str, int] | None:
    """Return a value of storage.conf with its file and line; the administrator's file replaces the vendor's."""
    for path in (CONFIG, VENDOR):
        content = text(host, path)
        if content is None:
            continue
        for number, line in enumerate(content.splitlines(), 1):
            found = re.match(rf'\s*{key}\s*=\s*"([^"]*)"', line)
            if found:
                return found[1], path, number
        return None
    return None


class PodmanStorage(Check):
    """Podman can stack layers where root's images lie.

    *Why*: podman's driver `overlay` refuses to lie on another overlay, on eCryptfs, on ZFS before OpenZFS 2.2 or
    podman 4.4, unless a mount_program (fuse-overlayfs) does the work: `'overlay' is not supported over zfs, a
    mount_program is required`.

    *Needs*: the driver, graphroot and mount_program of storage.conf, and the file system below.

    *Fix*: `mount_program = "/usr/bin/fuse-overlayfs"` in /etc/containers/storage.conf, or graphroot on ext4 or xfs.
    """

    id = "podman.storage"
    severity = Severity.REQUIRED
    references = (
        "https://github.com/containers/storage/blob/v1.46.0/drivers/overlay/overlay.go",
        "https://github.com/containers/storage/pull/1432",
        "https://github.com/containers/storage/blob/main/docs/containers-storage.conf.5.md",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if "podman" not in engine.installed(host):
            raise NotApplicable("podman is not installed")
        if (configured(host, "driver") or ("overlay",))[0] not in ("overlay", ""):
            raise NotApplicable("another storage driver is configured")
        if configured(host, "mount_program"):
            raise NotApplicable("a mount_program stacks the layers")
        root = (configured(host, "graphroot") or ("/var/lib/containers/storage",))[0]
        for when, mount in mounts.held(host, root):
            more = {
                "value": mount.type,
                "expected": "ext4, xfs or btrfs",
                "path": mount.path,
                "line": mount.line,
                "when": when,
            }
            why = self._refused(host, mount.type)
            if not why:
                yield passed(root, f"layers can be stacked on {mount.type}", **more)
                continue
            yield failed(
                root,
                f"lies on {why}, on which podman stacks no layers of its own: nothing starts",
                hint=f'mount_program = "/usr/bin/fuse-overlayfs" below [storage.options.overlay] in {CONFIG}',
                **more,
            )

    def _refused(self, host: Host, kind: str) -> str:
        if kind != "zfs":
            return STACKED.get(kind, "")
        have = version(host, "podman")
        if storage.zfs_too_old(host):
            return "ZFS before OpenZFS 2.2"
        return f"ZFS, which podman {have} does not take," if have and have < Version("4.4") else ""


class PodmanNetwork(Check):
    """Podman has what it makes networks with.

    *Why*: podman sets up the network of root's containers with netavark, before 4.0 and on older set-ups with
    plugins of CNI. Distributions only recommend the packages. Without either no container starts (`failed to find
    plugin "bridge"`, `could not find "netavark"`); without aardvark-dns none finds another by name.

    *Needs*: netavark in one of podman's folders, with aardvark-dns, or the CNI plugin bridge.

    *Fix*: install netavark and aardvark-dns, or containernetworking-plugins with a podman before 5.
    """

    id = "podman.network"
    severity = Severity.REQUIRED
    references = (
        "https://github.com/containers/common/blob/v0.57.0/pkg/config/config_linux.go",
        "https://github.com/containers/podman.io/pull/201",
        "https://github.com/containers/podman/issues/13412",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if "podman" not in engine.installed(host):
            raise NotApplicable("podman is not installed")
        more = {"expected": "netavark with aardvark-dns, or the plugin bridge"}
        netavark = which(host, "netavark", (*HELPERS, *PROGRAM_FOLDERS))
        bridge = which(host, "bridge", PLUGINS)
        if netavark is None and bridge is None:
            if packages.installed(host, *NETWORK_PACKAGES):
                raise NotApplicable(
                    "a package of podman's network is installed, and its programs are elsewhere"
                )
            yield failed(
                "network",
                "neither netavark nor CNI plugins are installed: root's containers get no network",
                value="none",
                severity=Severity.RECOMMENDED if rootless.evidence(host) else None,
                hint="install netavark and aardvark-dns (with podman 3: containernetworking-plugins)",
                **more,
            )
        elif bridge is None and which(host, "aardvark-dns", (*HELPERS, *PROGRAM_FOLDERS)) is None:
            yield failed(
                "aardvark-dns",
                "is not installed: containers of a network do not find each other by name",
                value="missing",
                severity=Severity.RECOMMENDED,
                hint="install aardvark-dns",
                **more,
            )
        else:
            yield passed("network", f"{netavark or bridge} is there", value=netavark or bridge, **more)
