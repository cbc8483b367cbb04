"""A running Debian with control groups of either version, for the tests of the checks of those."""

from __future__ import annotations

from hostcheck.finding import Finding, Result
from hostcheck.testing import Content, FakeHost

V2_MOUNT = "31 1 0:31 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
V1_NAMES = (
    "cpu,cpuacct",
    "cpuset",
    "memory",
    "pids",
    "blkio",
    "devices",
    "freezer",
    "hugetlb",
    "name=systemd",
)


def v1_mounts(*names: str) -> str:
    lines = ["30 1 0:30 / /sys/fs/cgroup rw - tmpfs tmpfs rw"]
    for number, name in enumerate(names, 40):
        folder = name.partition("=")[2] or name
        lines.append(f"{number} 30 0:{number} / /sys/fs/cgroup/{folder} rw - cgroup cgroup rw,{name}")
    return "\n".join(lines) + "\n"


def table(**off: int) -> str:
    names = ("cpu", "cpuacct", "cpuset", "memory", "pids", "blkio", "devices", "freezer", "hugetlb")
    rows = [f"{name}\t{n}\t1\t{off.get(name, 1)}" for n, name in enumerate(names, 1)]
    return "#subsys_name\thierarchy\tnum_cgroups\tenabled\n" + "\n".join(rows) + "\n"


def live(mode: str = "v2", more: dict[str, Content] | None = None, systemd: str = "252.1") -> FakeHost:
    files: dict[str, Content] = {
        "/etc/os-release": "ID=debian\nVERSION_ID=12\n",
        "/sbin/init": "-> /lib/systemd/systemd",
        "/lib/systemd/systemd": b"\x7fELF default-hierarchy=" + (b"unified" if mode == "v2" else b"legacy"),
        "/var/lib/dpkg/status": f"Package: systemd\nStatus: install ok installed\nVersion: {systemd}-1\n\n",
        "/proc/1/comm": "systemd\n",
        "/proc/cmdline": "BOOT_IMAGE=/vmlinuz ro quiet\n",
        "/proc/sys/kernel/osrelease": "6.1.0-18-amd64\n",
        "/proc/self/mountinfo": V2_MOUNT if mode == "v2" else v1_mounts(*V1_NAMES),
        "/proc/cgroups": table(),
    }
    if mode == "v2":
        files["/sys/fs/cgroup/cgroup.controllers"] = "cpuset cpu io memory hugetlb pids\n"
    extra = dict(more or {})
    status = str(files["/var/lib/dpkg/status"]) + str(extra.pop("/var/lib/dpkg/status", ""))
    return FakeHost({**files, **extra, "/var/lib/dpkg/status": status})


def package(name: str, version: str) -> str:
    return f"Package: {name}\nStatus: install ok installed\nVersion: {version}\n\n"


def failures(result: Result) -> list[tuple[str, str, str]]:
    return [(f.subject, f.when, str(result.severity_of(f))) for f in result.findings if not f.ok]


def only(result: Result) -> Finding:
    found = result.failures
    assert len(found) == 1, found
    return found[0]


def grub(word: str) -> dict[str, Content]:
    return {
        "/boot/grub/grub.cfg": f"menuentry A {{\n linux /vmlinuz-6.1.0-18-amd64 ro {word}\n}}\n",
        "/etc/default/grub": f'GRUB_CMDLINE_LINUX="{word}"\n',
    }
