"""How /proc is mounted."""

from __future__ import annotations

from collections.abc import Iterator

from hostcheck.api import Check, Finding, Host, Severity, failed, passed
from hostcheck.facts import mounts, rootless
from hostcheck.facts.files import which

SHOWS_ALL = ("0", "off")
"""Values of hidepid= that hide nothing (proc(5))."""

NVIDIA = ("nvidia-container-runtime-hook", "nvidia-container-cli")


class ProcHidepid(Check):
    """Programs that set up containers see the processes of others in /proc.

    *Why*: with `hidepid=` a process without root's rights sees only its own. A user's systemd and runc then do not
    find each other's processes ("error while starting unit ... No such process"), and the NVIDIA hook, which gives
    up its rights, not the container's (`stat failed: /proc/4629`).

    *Needs*: hidepid=0 on /proc, now and in fstab, where users run containers or the NVIDIA hook is installed.

    *Fix*: take hidepid= out of the line of /proc in /etc/fstab.
    """

    id = "proc.hidepid"
    severity = Severity.REQUIRED
    references = (
        "https://man7.org/linux/man-pages/man5/proc.5.html",
        "https://github.com/opencontainers/runc/issues/3124",
        "https://github.com/containers/crun/issues/250",
        "https://github.com/NVIDIA/nvidia-docker/issues/645",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        hidden = False
        for when, table in self._tables(host):
            for mount in table:
                level = mount.option("hidepid") or "0"
                if mount.point != "/proc" or mount.type != "proc" or level in SHOWS_ALL:
                    continue
                hidden = True
                breaks = _breaks(host)
                more = {"value": level, "expected": "0", "path": mount.path, "line": mount.line, "when": when}
                if not breaks:
                    yield passed("/proc hidepid", "nothing here needs to see the processes of others", **more)
                    continue
                yield failed(
                    "/proc hidepid",
                    f"/proc hides the processes of others (hidepid={level}): {breaks}",
                    commands=["mount -o remount,hidepid=0 /proc"] if when == "now" else [],
                    hint="take hidepid= out of the line of /proc in /etc/fstab",
                    **more,
                )
        if not hidden:
            yield passed("/proc hidepid", "/proc shows all processes", value="0", expected="0")

    def _tables(self, host: Host) -> Iterator[tuple[str, tuple[mounts.Mount, ...]]]:
        if host.kind == "live":
            yield "now", mounts.mounted(host)[-200:]
        yield "boot", mounts.fstab(host)


def _breaks(host: Host) -> str:
    """Return what fails here where processes are hidden, nothing if nothing does."""
    if rootless.evidence(host):
        return "containers of users do not start"
    if any(which(host, name) for name in NVIDIA):
        return "the NVIDIA hook does not find the container, and none with a GPU starts"
    return ""
