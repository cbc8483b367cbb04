"""Hosts with AppArmor and with SELinux, for the tests of the checks of security."""

from __future__ import annotations

from typing import Any

from hostcheck.finding import Outcome, Result, Severity
from hostcheck.testing import FakeHost

RELEASE = "6.1.0-18-amd64"
DEBIAN: dict[str, Any] = {
    "/sys/module/apparmor/parameters/enabled": "Y\n",
    "/sys/kernel/security/apparmor/profiles": "docker-default (enforce)\n",
    "/usr/sbin/apparmor_parser": "\x7fELF",
    "/proc/self/attr/current": "unconfined\n",
    "/proc/sys/kernel/seccomp/actions_avail": "kill_process errno allow\n",
    "/proc/sys/kernel/osrelease": RELEASE + "\n",
    "/proc/cmdline": "root=/dev/vda1 ro\n",
    f"/boot/config-{RELEASE}": 'CONFIG_SECURITY_APPARMOR=y\nCONFIG_LSM="yama,apparmor"\n',
    f"/boot/vmlinuz-{RELEASE}": "",
    "/etc/apparmor.d/tunables/global": "include <tunables/proc>\n",
    "/etc/apparmor.d/tunables/proc": "@{PROC}=/proc/\n",
    "/etc/group": "root:x:0:\ndocker:x:998:\n",
    "/usr/bin/dockerd": "\x7fELF",
    "/run/docker.sock": "",
}
ROCKY: dict[str, Any] = {
    "/sys/fs/selinux/enforce": "1",
    "/etc/selinux/config": "SELINUX=enforcing\nSELINUXTYPE=targeted\n",
    "/usr/share/containers/selinux/contexts": "",
    "/proc/sys/kernel/osrelease": "5.14.0-427.el9.x86_64\n",
    "/proc/cmdline": "root=/dev/vda1 ro\n",
    "/boot/config-5.14.0-427.el9.x86_64": 'CONFIG_SECURITY_SELINUX=y\nCONFIG_LSM="yama,selinux"\n',
    "/etc/group": "docker:x:998:\n",
    "/usr/bin/dockerd": "\x7fELF",
}


def laid(
    base: dict[str, Any], *over: dict[str, Any], kind: str = "live", docker: str = "28.5.2", **more: Any
) -> FakeHost:
    """Return a host with these files laid over each other; None takes one away."""
    files: dict[str, Any] = dict(base)
    for each in over:
        files.update(each)
    files = {path: text for path, text in files.items() if text is not None}
    if kind != "live":
        files = {path: text for path, text in files.items() if not path.startswith(("/proc", "/sys", "/run"))}
    more.setdefault("modes", {"/run/docker.sock": 0o660})
    more.setdefault("pids", {"dockerd": (1,)})
    assumptions = {"docker": docker, "stage": "installed"} if docker else {"stage": "before"}
    return FakeHost(files, kind=kind, assumptions=assumptions, **more)


def worst(result: Result) -> Severity | None:
    """Return how bad a result is, None if it is not a failure."""
    return result.severity if result.outcome is Outcome.FAIL else None


def package(name: str, version: str, arch: str = "amd64") -> str:
    """Return a stanza of a dpkg status file: the check does not mind which database says so."""
    return f"Package: {name}\nStatus: install ok installed\nArchitecture: {arch}\nVersion: {version}\n\n"
