"""Hosts that are containers of another host."""

from __future__ import annotations

from collections.abc import Iterator

from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, Unavailable, Version, failed, passed
from hostcheck.facts import mounts, versions
from hostcheck.facts.files import text
from hostcheck.facts.os import container, mapped

PROFILE = "/proc/self/attr/current"
INNER_PROC = "/dev/.lxc/proc"
"""Where LXC mounts a whole /proc in a guest that may hold others: lxc.apparmor.allow_nesting."""


class GuestNesting(Check):
    """An LXC guest that is to run containers was allowed to hold others.

    *Why*: lxcfs covers files in /proc of a guest, and the kernel lets nobody in there mount a whole one as long as
    none is to be seen; AppArmor's profile for plain guests denies it as well. No container starts: `error mounting
    "proc" to rootfs ... permission denied`, or docker-default cannot be loaded.

    *Needs*: in a running LXC, LXD or Incus guest that its host confines, the mount /dev/.lxc/proc.

    *Fix*: on the outer host `pct set ID --features nesting=1,keyctl=1` or `lxc config set NAME
    security.nesting=true`, and start the guest again.
    """

    id = "guest.nesting"
    severity = Severity.REQUIRED
    references = (
        "https://linuxcontainers.org/lxc/manpages/man5/lxc.container.conf.5.html",
        "https://pve.proxmox.com/wiki/Linux_Container#pct_options",
        "https://github.com/stonith404/pingvin-share/issues/408",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if host.kind != "live" or (container(host) or ("",))[0] != "lxc":
            raise NotApplicable("this is no guest of LXC")
        table = mounts.mounted(host)
        covered = any(mount.type == "fuse.lxcfs" and mount.point.startswith("/proc/") for mount in table)
        if not (covered and mapped(host)) and not _label(host):
            raise NotApplicable("root of this guest is root of its host, and no profile confines it")
        more = {"expected": f"proc on {INNER_PROC}", "path": mounts.MOUNTINFO}
        if any(mount.point == INNER_PROC for mount in table):
            yield passed("nesting", "the outer host lets this guest hold others", value="on", **more)
        elif _holds_others(host):
            yield passed("nesting", "containers run in this guest", value="on", **more)
        else:
            yield failed(
                "nesting",
                "the outer host does not let this guest hold others: no container starts",
                value="off",
                hint="on the outer host: pct set ID --features nesting=1,keyctl=1 (Proxmox) or lxc config set NAME"
                " security.nesting=true (LXD, Incus); then restart the guest",
                **more,
            )


def _label(host: Host) -> str:
    """Return the AppArmor profile that the outer host puts on this guest of LXC, empty if it puts none."""
    try:
        label = (text(host, PROFILE) or "").strip()
    except Unavailable:
        # A kernel without any security module answers EINVAL.
        return ""
    return label if label.startswith(("lxc-", "lxd-", "incus-")) else ""


def _holds_others(host: Host) -> bool:
    """Return whether containers run in this guest."""
    return bool(host.pids("containerd-shim") or host.pids("containerd-shim-runc-v2"))


class GuestWsl(Check):
    """A distribution on Windows has a kernel.

    *Why*: WSL 1 has none: it answers the calls of programs itself, and knows neither control groups nor iptables.
    dockerd does not start there: `can't initialize iptables table nat`.

    *Needs*: WSL 2, which starts a kernel (its release names WSL2 or microsoft-standard).

    *Fix*: in Windows, `wsl --set-version NAME 2`.
    """

    id = "guest.wsl"
    severity = Severity.REQUIRED
    references = (
        "https://learn.microsoft.com/en-us/windows/wsl/compare-versions",
        "https://github.com/moby/moby/issues/41375",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if host.kind != "live" or (container(host) or ("",))[0] != "wsl":
            raise NotApplicable("this is no WSL")
        path = "/proc/sys/kernel/osrelease"
        release = (text(host, path) or "").strip()
        more = {"value": release, "expected": "WSL 2", "path": path}
        if release.endswith("-Microsoft"):
            yield failed(
                "WSL",
                "WSL 1 has no kernel of Linux: no engine starts",
                hint="in Windows: wsl --set-version NAME 2",
                **more,
            )
        else:
            yield passed("WSL", "version 2, with a kernel", **more)


class GuestAppArmor(Check):
    """An LXC guest's runc gets along with the AppArmor profile that the host puts on it.

    *Why*: runc 1.3.3, 1.2.8 and 1.4.0-rc.3 open files in /proc by a detached mount (CVE-2025-52881). AppArmor
    on an LXC host with older profiles takes that for /sys and denies it: no container starts in the guest.

    *Needs*: no LXC profile on this guest, an older runc, or containers that run already.

    *Fix*: on the LXC host, lxc-pve 6.0.5-2 or later (incus 6.19), then restart the guest.
    """

    id = "guest.apparmor"
    aliases = ("security.lxc_guest",)
    severity = Severity.RECOMMENDED
    references = (
        "https://github.com/opencontainers/runc/issues/4968",
        "https://github.com/lxc/lxc/pull/4609",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if host.kind != "live":
            raise NotApplicable("whether this will run in LXC is known when it runs")
        if not _label(host):
            raise NotApplicable("no AppArmor profile of an LXC host is on this machine")
        runc = versions.version(host, "runc")
        if runc is None:
            raise NotApplicable("runc is not installed")
        more = {"value": runc, "path": PROFILE, "expected": "containers that start"}
        if not self._affected(runc):
            yield passed("runc", f"runc {runc} opens /proc in the way that LXC's profiles know", **more)
        elif _holds_others(host):
            yield passed("runc", f"runc {runc} runs containers in this guest", **more)
        else:
            yield failed(
                "runc",
                f"runc {runc} in an LXC guest: no container starts where the host's AppArmor profiles are older",
                hint="on the LXC host: lxc-pve 6.0.5-2 or later, or incus 6.19 or later; then restart the guest",
                **more,
            )

    def _affected(self, runc: Version) -> bool:
        if runc < Version("1.3"):
            return runc >= Version("1.2.8")
        return runc >= Version("1.3.3") and not Version("1.4.0-alpha") < runc < Version("1.4.0-rc.3")
