"""The settings of the kernel that a kubelet wants, and what they are now and after a boot."""

from __future__ import annotations

from collections.abc import Iterator

from hostcheck.api import Host, Unavailable
from hostcheck.facts import boot, kernel, sysctl

DEFAULTS = (
    ("vm.overcommit_memory", "1", "0"),
    ("vm.panic_on_oom", "0", "0"),
    ("kernel.panic", "10", "0"),
    ("kernel.panic_on_oops", "1", ""),
    ("kernel.keys.root_maxkeys", "1000000", "1000000"),
    ("kernel.keys.root_maxbytes", "25000000", "25000000"),
)
"""Key, what the kubelet wants, and the kernel's own value (empty: it depends on how it was built).

Source: the kubelet's pkg/kubelet/cm/container_manager_linux.go, setupKernelTunables(), and pkg/util/sysctl."""


def tunables(host: Host) -> Iterator[tuple[str, str, str, str, str | None, int | None]]:
    """Yield key, value, what the kubelet wants, when the key has that value, and who says so."""
    for key, wanted, own in DEFAULTS:
        if host.kind == "live":
            now = sysctl.now(host, key)
            if now is not None:
                yield key, now, wanted, "now", "/proc/sys/" + key.replace(".", "/"), None
        setting = sysctl.boot_setting(host, key)
        if setting is not None and setting.value is not None:
            yield key, setting.value, wanted, "boot", setting.path, setting.line
            continue
        later = _own(host, key, own)
        if later is not None:
            yield key, later, wanted, "boot", None, None


def _own(host: Host, key: str, own: str) -> str | None:
    """Return what a key is after a boot that sets it nowhere, None if that cannot be told."""
    if key not in ("kernel.panic", "kernel.panic_on_oops"):
        return own
    try:
        cmdline = boot.boot(host).cmdline
        upcoming = kernel.boot_kernel(host)
        config = kernel.config(host, upcoming.release) if upcoming else None
    except (OSError, Unavailable):
        return None
    if key == "kernel.panic":
        word = boot.option(cmdline, "panic")
        return word or (config.get("PANIC_TIMEOUT", "0") if config else own)
    if boot.option(cmdline, "oops") == "panic":
        return "1"
    return config.get("PANIC_ON_OOPS_VALUE", "0") if config else None
