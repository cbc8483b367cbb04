"""How the kernel grants memory."""

from __future__ import annotations

from collections.abc import Iterator

from hostcheck.api import Check, Finding, Host, Severity, failed, passed
from hostcheck.facts import sysctl

KEY = "vm.overcommit_memory"


class MemoryOvercommit(Check):
    """The kernel grants programs memory as they use it.

    *Why*: with vm.overcommit_memory = 2 the kernel refuses what programs reserve beyond a limit, used or not. Engines
    and most programs in containers (all of Go, Java, Node.js) reserve far more than they use: `fork/exec
    /proc/self/exe: cannot allocate memory`, with memory free.

    *Needs*: 0 (the kernel's own) or 1 (what a kubelet sets), now and after the next boot.

    *Fix*: take vm.overcommit_memory = 2 out of /etc/sysctl.d, or raise vm.overcommit_ratio and swap.
    """

    id = "memory.overcommit"
    severity = Severity.RECOMMENDED
    references = (
        "https://docs.kernel.org/mm/overcommit-accounting.html",
        "https://github.com/moby/moby/issues/31834",
        "https://github.com/bgpeer/nodekit/pull/154",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        now = sysctl.now(host, KEY) if host.kind == "live" else None
        if now is not None:
            yield self._judge(now, "now", "/proc/sys/vm/overcommit_memory", None)
        setting = sysctl.boot_setting(host, KEY)
        if setting is not None and setting.value is not None:
            yield self._judge(setting.value, "boot", setting.path, setting.line)
        else:
            yield passed(KEY, "no file sets it, so it is 0 after a boot", value="0", when="boot")

    def _judge(self, value: str, when: str, path: str | None, line: int | None) -> Finding:
        more = {"value": value, "expected": "0 or 1", "when": when, "path": path, "line": line}
        then = "now" if when == "now" else "after the next boot"
        if value != "2":
            return passed(KEY, f"{value} {then}", **more)
        return failed(
            KEY,
            f"2 {then}: the kernel refuses memory that programs reserve and do not use, and engines do so",
            commands=[f"sysctl -w {KEY}=0"] if when == "now" else [],
            hint=f"set {KEY} to 0 or 1 in /etc/sysctl.d",
            **more,
        )
