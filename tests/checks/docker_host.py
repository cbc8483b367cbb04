"""A host whose docker has a file system that can hold images, for the tests of the checks of storage."""

from __future__ import annotations

from typing import Any

from hostcheck.finding import Outcome, Result, Severity
from hostcheck.host import DiskUsage
from hostcheck.testing import FakeHost

RELEASE = "6.1.0-18-amd64"
HEALTHY = {
    "/proc/self/mountinfo": "27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda1 rw\n",
    "/proc/sys/kernel/osrelease": RELEASE + "\n",
    "/etc/fstab": "UUID=1 / ext4 errors=remount-ro 0 1\n",
    "/usr/bin/dockerd": "\x7fELF",
    "/var/lib/docker/": "",
    f"/lib/modules/{RELEASE}/modules.dep": "overlay.ko:\nfuse.ko:\ndm-thin-pool.ko:\n",
    f"/lib/modules/{RELEASE}/modules.builtin": "",
    f"/lib/modules/{RELEASE}/overlay.ko": "\x7fELF",
    f"/lib/modules/{RELEASE}/fuse.ko": "\x7fELF",
    f"/lib/modules/{RELEASE}/dm-thin-pool.ko": "\x7fELF",
    "/sys/module/overlay/parameters/redirect_dir": "N\n",
    "/sys/module/overlay/parameters/metacopy": "N\n",
}
ROOMY = DiskUsage(100 * 10**9, 60 * 10**9, 6_000_000, 5_000_000)


def live(files: dict[str, Any] | None = None, docker: str = "28.5.2", **more: Any) -> FakeHost:
    """Return a healthy running host with these files laid over it."""
    laid = {**HEALTHY, **(files or {})}
    more.setdefault("usage", {"/": ROOMY})
    return FakeHost(laid, assumptions={"docker": docker, "stage": "installed"}, **more)


def tree(files: dict[str, Any] | None = None, docker: str = "28.5.2") -> FakeHost:
    """Return the same host as a root tree."""
    laid = {path: text for path, text in HEALTHY.items() if not path.startswith(("/proc", "/sys"))}
    return FakeHost(
        {**laid, **(files or {})}, kind="root", assumptions={"docker": docker, "stage": "installed"}
    )


def info(line: str) -> dict[str, Any]:
    """Return a mountinfo with a second mount below /."""
    return {"/proc/self/mountinfo": HEALTHY["/proc/self/mountinfo"] + f"30 27 254:1 / {line}\n"}


def worst(result: Result) -> Severity | None:
    """Return how bad a result is, None if it is not a failure."""
    return result.severity if result.outcome is Outcome.FAIL else None
