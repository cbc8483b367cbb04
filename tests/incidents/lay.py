"""Facts laid over a healthy host: files and links, what is absent, and what a running kernel and its tools show."""

from __future__ import annotations

import json
import pathlib
import posixpath
import re
import shlex
import sqlite3
import tempfile
from collections.abc import Mapping
from typing import Any

import hosts
import rpms

from hostcheck.host import Completed, DiskUsage
from hostcheck.host.recorded import RecordedHost
from hostcheck.testing import FakeHost

ELF = b"\x7fELF\x02\x01\x01" + bytes(57)

REPLACED = {
    "docker-ce": ("docker.io", "docker-cli"),
    "docker-engine": ("docker.io", "docker-cli"),
    "moby-engine": ("docker.io", "docker-cli"),
    "containerd.io": ("containerd", "runc"),
    # A distribution's own, which has the name that Docker's had once.
    "docker": (
        "docker-ce",
        "docker-ce-cli",
        "containerd.io",
        "docker-ce-rootless-extras",
        "docker-buildx-plugin",
    ),
}
"""Packages that cannot be installed beside one another: the vendor's take the place of the distribution's."""


SET_UP = {
    "kubernetes": hosts.NODE,
    "containerd": {path: text for path, text in hosts.NODE.items() if "kubelet" not in path},
    "docker-rootless": hosts.USER,
}
"""What a policy's host has beside the engine."""


class Layout:
    """A host that is being laid down."""

    def __init__(self, kind: str, policy: str = "docker") -> None:
        """Begin with a healthy host of that kind, set up for what the policy asks for."""
        node = policy == "kubernetes"
        self.kind = hosts.KINDS[kind]
        self.files = hosts.tree(self.kind.tree)
        self.commands: dict[tuple[str, ...], str | Completed | Exception] = {}
        self.usage = dict(hosts.USAGE)
        self.modes: dict[str, int] = {}
        self.mounts = hosts.mounts(self.kind)
        self.release = next(
            path.removeprefix("/boot/vmlinuz-") for path in self.files if path.startswith("/boot/vmlinuz-")
        )
        if "/boot/vmlinuz-virt" in self.files:
            self.release = "6.6.49-0-virt"
        self.cmdline = ""
        self.day = self.kind.day
        self.stage = "installed"
        if self.kind.os_release:
            self.files["/usr/lib/os-release"] = self.kind.os_release
        self.files.update(self.kind.files)
        for path in self.kind.absent:
            self.remove(path)
        self.packages(dict(self.kind.packages))
        if self.kind.kernel:
            self.kernel(self.kind.kernel)
        self.files.update(hosts.running(self.kind, self.release))
        self.cmdline = hosts.boot_line(self.files)
        self.pids = {name: (number,) for number, name in enumerate(("dockerd", "containerd"), 700)}
        self.commands[("xfs_info", "/")] = hosts.XFS_INFO
        for line, printed in self.kind.commands:
            self.commands[tuple(shlex.split(line))] = printed
        for path, text in SET_UP.get(policy, {}).items():
            self.put(path, text)
        if node and "/etc/fstab" in self.files:
            self.files["/etc/fstab"] = re.sub(r"(?m)^.*\sswap\s.*\n", "", str(self.files["/etc/fstab"]))

    def host(self) -> FakeHost:
        """Return the host as laid down."""
        files = dict(self.files)
        files["/proc/cmdline"] = self.cmdline + "\n"
        files["/proc/mounts"] = files["/proc/self/mounts"] = "".join(f"{line}\n" for line in self.mounts)
        files["/proc/self/mountinfo"] = _mountinfo(self.mounts)
        for line in self.mounts:
            point = line.split()[1]
            if point not in files:
                files.setdefault(point.rstrip("/") + "/", "")
        return FakeHost(
            files,
            commands=self.commands,
            modes={path: 0o4755 for path in hosts.SETUID if path in files} | self.modes,
            usage=self.usage,
            pids=self.pids,
            assumptions={"date": self.day, "stage": self.stage},
        )

    def recording(self, folder: pathlib.Path) -> RecordedHost:
        """Return the host as a recording: what the tools printed in commands.json, mounts in /proc/mounts alone."""
        host = self.host()
        files = dict(host.files)
        files["/proc/self/mountinfo"] = _mountinfo(hosts.mounts(self.kind))
        if self.mounts == hosts.mounts(self.kind):
            del files["/proc/mounts"], files["/proc/self/mounts"]
        for path, content in files.items():
            if isinstance(content, Exception):
                continue  # It is known of what was typed, and the recording has that too.
            _write(folder, path, content.encode() if isinstance(content, str) else content)
        for path in host.folders:
            (folder / "root" / path.lstrip("/")).mkdir(parents=True, exist_ok=True)
        typed = [(argv, said) for argv, said in host.commands.items() if isinstance(said, str)]
        documents: dict[str, object] = {
            "links": host.links,
            "stat": {path: {"type": "file", "mode": f"{mode:o}"} for path, mode in host.modes.items()},
            "commands": [{"argv": argv, "stdout": said} for argv, said in typed],
            "host": {
                "kind": "live",
                "complete": True,
                "pids": dict(host.processes),
                "disk_usage": {path: list(usage) for path, usage in self.usage.items()},
            },
        }
        for name, document in documents.items():
            (folder / f"{name}.json").write_text(json.dumps(document))
        found = RecordedHost(str(folder))
        found.assumptions.update(host.assumptions)
        return found

    def remove(self, path: str) -> None:
        """Take away a path, and what lies below it."""
        for each in [each for each in self.files if each == path or each.startswith(path.rstrip("/") + "/")]:
            del self.files[each]

    def put(self, path: str, text: str) -> None:
        """Lay down a file as the table writes it."""
        path = self._real(path)
        self.remove(path)
        if text.startswith("-> "):
            self.files[path] = text.removesuffix(" (symlink)")
        elif text.startswith("ELF"):
            self.files[path] = ELF
        else:
            self.files[path] = text

    def _real(self, path: str) -> str:
        """Return the path behind merged folders: a tree has /usr/lib only where /lib is a link."""
        for old in ("/lib64", "/lib", "/sbin", "/bin"):
            if path.startswith(old + "/") and old in self.files:
                return "/usr" + path
        return path

    def packages(self, wanted: Mapping[str, str]) -> None:
        """Install packages; what a vendor's package takes the place of goes."""
        wanted = dict(wanted)
        there = {name for name, version in wanted.items() if not version.startswith("(config-files)")}
        if {"docker-ce", "docker-engine"} & there:
            wanted.setdefault("containerd.io", "1.7.28-1")
            self.commands.setdefault(("runc", "--version"), "runc version 1.4.3\n")
        gone = {name for each in wanted for name in REPLACED.get(each, ())} - set(wanted)
        if "/var/lib/dpkg/status" in self.files:
            stanzas = str(self.files["/var/lib/dpkg/status"]).strip().split("\n\n")
            known = {each.partition("\n")[0].removeprefix("Package: "): each for each in stanzas}
            for name, version in wanted.items():
                # As dpkg tells of a package that was removed: only its configuration is left.
                left = version.startswith("(config-files)")
                status = "deinstall ok config-files" if left else "install ok installed"
                version = version.removeprefix("(config-files)").strip()
                known[name] = f"Package: {name}\nStatus: {status}\nArchitecture: amd64\nVersion: {version}"
            for name in gone:
                known.pop(name, None)
            self.files["/var/lib/dpkg/status"] = "\n\n".join(known.values()) + "\n"
        elif "/lib/apk/db/installed" in self.files:
            for name, version in wanted.items():
                self.files["/lib/apk/db/installed"] = (
                    str(self.files["/lib/apk/db/installed"]) + f"P:{name}\nV:{version}\nA:x86_64\n\n"
                )
        elif "/var/lib/pacman/local/" in self.files:
            for name, version in wanted.items():
                brought = "".join(f"usr/bin/{program}\n" for program in PROGRAMS.get(name, ()))
                folder = f"/var/lib/pacman/local/{name}-{version}"
                self.files[f"{folder}/desc"] = f"%NAME%\n{name}\n\n%VERSION%\n{version}\n\n%ARCH%\nx86_64\n"
                self.files[f"{folder}/files"] = f"%FILES%\nusr/\nusr/bin/\n{brought}"
        elif wanted:
            self._rpms(wanted, gone)

    def _rpms(self, wanted: Mapping[str, str], gone: set[str]) -> None:
        from hostcheck.facts.packages import packages

        known = {
            name: each.version for name, each in packages(FakeHost(self.files)).items() if ":" not in name
        }
        known.update(wanted)
        known = {name: version for name, version in known.items() if name not in gone}
        for path in [path for path in self.files if path.startswith("/var/lib/rpm/")]:
            del self.files[path]
        self.files["/var/lib/rpm/rpmdb.sqlite"] = rpm_database(known)

    def kernel(self, release: str, config: Mapping[str, str] | None = None) -> None:
        """Give the host another kernel, or its kernel other options."""
        old = self.release
        if release != old:
            for path in [path for path in self.files if old in path]:
                content = self.files.pop(path)
                self.files[path.replace(old, release)] = content
            for path, content in self.files.items():
                if isinstance(content, str) and old in content and not path.startswith("/proc/"):
                    self.files[path] = content.replace(old, release)
            for path in ("/proc/sys/kernel/osrelease", "/proc/version"):
                if path in self.files:
                    self.files[path] = str(self.files[path]).replace(old, release)
            self.release = release
        path = f"/boot/config-{release}"
        lines = re.sub(
            r"(?m)^(# Linux/\S+) \S+ (Kernel Configuration)", rf"\1 {release} \2", str(self.files[path])
        ).splitlines()
        for option, value in (config or {}).items():
            lines = [each for each in lines if not re.match(rf"(# )?{option}[= ]", each)]
            lines.append(f"# {option} is not set" if value == "n" else f"{option}={value}")
        self.files[path] = "\n".join(lines) + "\n"

    def mount(self, lines: list[str]) -> None:
        """Mount; what was mounted at that place, and control groups of the other version, give way."""
        points = {line.split()[1] for line in lines}
        types = {line.split()[2] for line in lines if line.split()[1].startswith("/sys/fs/cgroup")}
        kept = [line for line in self.mounts if line.split()[1] not in points]
        if types:
            kept = [line for line in kept if not line.split()[1].startswith("/sys/fs/cgroup")]
            if types == {"cgroup"}:
                whole = hosts.mounts(self.kind._replace(cgroup=1))
                kept += [line for line in whole if line.split()[1].startswith("/sys/fs/cgroup")]
                kept = [line for line in kept if line.split()[1] not in points]
            if types & {"cgroup", "tmpfs"}:
                self.remove("/sys/fs/cgroup/cgroup.controllers")
                self.remove("/sys/fs/cgroup/cgroup.subtree_control")
            elif "/sys/fs/cgroup/cgroup.controllers" not in self.files:
                self.files["/sys/fs/cgroup/cgroup.controllers"] = "cpuset cpu io memory hugetlb pids\n"
        self.mounts = kept + lines

    def lay(self, facts: Mapping[str, Any]) -> None:
        """Lay down the facts of an incident."""
        if "podman" in (facts.get("packages") or {}) or any(
            path.endswith("/podman") for path in facts.get("files") or ()
        ):
            # What every package of podman brings with it.
            self.files.setdefault("/usr/bin/conmon", ELF)
            self.files.setdefault(
                "/etc/containers/policy.json", '{"default": [{"type": "insecureAcceptAnything"}]}'
            )
        kernel = facts.get("kernel") or {}
        if kernel:
            self.kernel(str(kernel.get("release") or self.release), kernel.get("config"))
        live = facts.get("live") or {}
        if "mounts" in live:
            self.mount(list(live["mounts"]))
        if "cmdline" in live:
            self.cmdline = live["cmdline"]
        if "modules" in live:
            self.files["/proc/modules"] = str(self.files["/proc/modules"]) + "".join(
                f"{name} 16384 0 - Live 0x0000000000000000\n" for name in live["modules"]
            )
        for key, value in (live.get("sysctl") or {}).items():
            self.files[hosts.sysctl_path(key)] = f"{value}\n"
        self.packages({name: str(version) for name, version in (facts.get("packages") or {}).items()})
        for path, text in (facts.get("files") or {}).items():
            self.put(path, str(text))
        for path in facts.get("absent") or ():
            self.remove(self._real(path))
        for line, printed in (live.get("commands") or {}).items():
            self.commands[tuple(shlex.split(line))] = str(printed)
        for path, mode in (facts.get("modes") or {}).items():
            self.modes[path] = int(mode, 8)
        self.fill(live)

    def fill(self, live: Mapping[str, Any]) -> None:
        """Leave so many per cent of disks free as the facts say."""
        for path, percent in (live.get("free") or {}).items():
            whole = hosts.USAGE["/"]
            self.usage[path] = DiskUsage(
                whole.total, whole.total * percent // 100, whole.inodes, whole.inodes_free
            )


def _mountinfo(lines: list[str]) -> str:
    """Return the lines of /proc/mounts as /proc/self/mountinfo has them, each below the mount that holds it."""
    numbers = {line.split()[1]: number for number, line in enumerate(lines, 20)}
    found = []
    for line in lines:
        device, point, kind, options = line.split()[:4]
        above = posixpath.dirname(point)
        while above not in numbers and above != "/":
            above = posixpath.dirname(above)
        number, parent = numbers[point], 1 if point == "/" else numbers.get(above, 1)
        mine = [each for each in options.split(",") if each in _PER_MOUNT]
        rest = ["rw", *(each for each in options.split(",") if each not in _PER_MOUNT)]
        found.append(
            f"{number} {parent} 0:{number} / {point} {','.join(mine) or 'rw'} shared:{number} - "
            f"{kind} {device} {','.join(rest)}\n"
        )
    return "".join(found)


_PER_MOUNT = ("rw", "ro", "nosuid", "nodev", "noexec", "relatime", "noatime", "nodiratime")


def rpm_database(packages: Mapping[str, str]) -> bytes:
    """Return a package database as rpm writes it, with these packages."""
    with tempfile.NamedTemporaryFile(suffix=".sqlite") as file:
        base = sqlite3.connect(file.name)
        base.execute("CREATE TABLE 'Packages' (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)")
        for name, text in packages.items():
            epoch, _, rest = text.rpartition(":")
            version, _, release = rest.partition("-")
            blob = rpms.package(name, version, release or "1", int(epoch or 0), PROGRAMS.get(name, ()))
            base.execute("INSERT INTO Packages(blob) VALUES (?)", (blob,))
        base.commit()
        base.close()
        return open(file.name, "rb").read()


PROGRAMS = {
    "docker-ce": ("dockerd", "docker-proxy", "docker-init"),
    "docker-ce-cli": ("docker",),
    "containerd.io": ("containerd", "runc", "ctr", "containerd-shim-runc-v2"),
    "moby-engine": ("dockerd",),
    "docker": ("dockerd",),
    "containerd": ("containerd",),
    "runc": ("runc",),
}
"""Programs in /usr/bin that a package brings."""


def _write(folder: pathlib.Path, path: str, content: bytes) -> None:
    place = folder / "root" / path.lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)
