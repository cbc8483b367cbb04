"""Hosts with a kernel that has all that containers need, for the tests of the checks of kernels and modules."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from hostcheck.finding import Finding, Result
from hostcheck.testing import Content, FakeHost

table: Any = importlib.import_module("hostcheck.checks._kernel_options")

GOOD = {
    option.name: "y"
    for topic in table.TOPICS.values()
    for option in topic
    if option.condition != "unwanted" and not option.until
}
"""A kernel of today with everything."""

V2: dict[str, Content] = {"/proc/self/mountinfo": "26 1 0:23 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"}
V1: dict[str, Content] = {
    "/proc/self/mountinfo": "26 1 0:23 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
}


def config(release: str = "6.8.0", **changes: str) -> str:
    """Return the text of a good configuration with some changes; `absent` leaves an option out."""
    lines = [f"#\n# Linux/x86 {release} Kernel Configuration\n#"]
    for name, value in {**GOOD, **changes}.items():
        if value != "absent":
            lines.append(f"# CONFIG_{name} is not set" if value == "n" else f"CONFIG_{name}={value}")
    return "\n".join(lines) + "\n"


def live(
    release: str = "6.8.0", text: str | None = None, files: Mapping[str, Content] | None = None
) -> FakeHost:
    """Return a live host on cgroup v2 that runs `release`."""
    return FakeHost(
        {
            "/proc/sys/kernel/osrelease": release + "\n",
            "/proc/cmdline": "ro quiet\n",
            f"/boot/config-{release}": config(release) if text is None else text,
            **V2,
            **(files or {}),
        }
    )


def finding(result: Result, subject: str, when: str | None = None) -> Finding:
    """Return the one finding about a subject."""
    (found,) = [f for f in result.findings if f.subject == subject and when in (None, f.when)]
    return found


MODULAR = dict.fromkeys(
    (
        "OVERLAY_FS",
        "VETH",
        "BRIDGE",
        "BRIDGE_NETFILTER",
        "NF_CONNTRACK",
        "NF_NAT",
        "NETFILTER_XT_MATCH_ADDRTYPE",
        "NETFILTER_XT_MATCH_CONNTRACK",
        "NETFILTER_XT_NAT",
        "NETFILTER_XT_TARGET_MASQUERADE",
        "VXLAN",
    ),
    "m",
)
MODULES = {each.module: each.option for each in table.MODULES if each.option in MODULAR}


def tree(release: str, without: tuple[str, ...] = (), suffix: str = ".ko.xz") -> dict[str, Content]:
    """Return the modules folder of a kernel whose modules are files."""
    folder = f"/lib/modules/{release}"
    paths = {name: f"kernel/net/{name}{suffix}" for name in MODULES if name not in without}
    return {
        f"{folder}/modules.dep": "".join(f"{path}:\n" for path in paths.values()),
        f"{folder}/modules.builtin": "kernel/fs/ext4/ext4.ko\n",
        **{f"{folder}/{path}": b"" for path in paths.values()},
    }


def modular(
    release: str = "6.8.0", without: tuple[str, ...] = (), files: Mapping[str, Content] | None = None
) -> FakeHost:
    """Return a live host whose kernel has everything as modules."""
    return live(release, config(release, **MODULAR), {**tree(release, without), **(files or {})})
