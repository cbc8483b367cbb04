"""The distribution, the machine's architecture, and in what the host itself runs."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator

from hostcheck._typing import Any
from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, Unavailable, failed, passed
from hostcheck.facts import engine
from hostcheck.facts import os as os_facts
from hostcheck.facts.files import names, text

from . import _os_support as table


def release_row(found: os_facts.OsRelease) -> tuple[str, str] | None:
    """Return the dates of a distribution's release: free updates, bought updates; None where none are known."""
    os_id = table.ALIASES.get(found.id, found.id)
    if found.id == "centos" and "stream" in found.name.lower():
        os_id = "centos-stream"
    version = found.version_id
    for each, release, free, bought in table.RELEASES:
        if each == os_id and (version == release or version.startswith(release + ".")):
            return free, bought
    return None


class OsSupport(Check):
    """The distribution gets security updates.

    *Why*: what keeps containers apart is the host's kernel. A distribution without updates keeps its holes, and
    engines stop publishing packages for it: Docker's repositories drop a release soon after its end.

    *Needs*: os-release, and a table of dates that this version of hostcheck carries. What is not in the table is
    not judged.

    *Fix*: upgrade the distribution; Debian, Ubuntu, RHEL, Oracle and SUSE sell updates for some years more.
    """

    id = "os.support"
    severity = Severity.RECOMMENDED
    references = (
        "https://wiki.debian.org/LTS",
        "https://ubuntu.com/about/release-cycle",
        "https://access.redhat.com/support/policy/updates/errata",
        "https://docs.fedoraproject.org/en-US/releases/eol/",
        "https://alpinelinux.org/releases/",
        "https://docs.docker.com/engine/install/",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        found = os_facts.os_release(host)
        today = host.today()
        when = host.when
        more: dict[str, Any] = {"value": found.version_id or found.id, "path": found.path, "when": when}
        subject = found.id
        if found.path is None:
            raise Unavailable("no file names the distribution")
        dates = release_row(found)
        if dates is None:
            kind = (
                "always supported if updated"
                if self._rolls(found)
                else "its support is not known to hostcheck"
            )
            yield passed(subject, f"{found.pretty}: {kind}", **more)
            return
        free, bought = dates
        more["expected"] = f"updates after {today}"
        if today <= free:
            yield passed(subject, f"{found.pretty} gets updates until {free}", **more)
        elif bought and today <= bought:
            text_ = f"{found.pretty}: free updates ended on {free}; updates can be bought until {bought}"
            yield failed(subject, text_, severity=Severity.INFO, hint="upgrade the distribution", **more)
        else:
            text_ = f"{found.pretty} has had no security updates since {bought or free}"
            yield failed(subject, text_, hint="upgrade the distribution, or install a newer one", **more)

    def _rolls(self, found: os_facts.OsRelease) -> bool:
        return found.id in table.ROLLING or (found.id == "debian" and not found.version_id)


_FEW = {
    "i686": "Docker publishes no dockerd for it; distributions do",
    "armv6l": "few images are published for it",
    "armv7l": "Docker 28 was the last that publishes packages for Raspberry Pi OS 32 bit",
    "mips": "few images are published for it",
    "mips64": "few images are published for it",
    "ppc": "few images are published for it",
}


class OsRepositories(Check):
    """The package repositories still exist.

    *Why*: CentOS took mirrorlist.centos.org away in July 2024; Debian and Ubuntu move what has ended to an archive.
    What an engine needs beside itself (container-selinux, slirp4netns, iptables) can then not be installed. docker.com
    has packages for some distributions alone, and an entry with the name of another, as Kali's or Mint's, finds none.

    *Needs*: the enabled repositories of yum, dnf and apt: before an engine is installed, and for its upgrades after.

    *Fix*: point them at vault.centos.org, archive.debian.org or old-releases.ubuntu.com, or move to a distribution
    that lives; for docker.com name the Debian or Ubuntu that a distribution is made from.
    """

    id = "os.repositories"
    severity = Severity.REQUIRED
    references = (
        "https://www.centos.org/centos-linux-eol/",
        "https://blog.centos.org/2023/04/end-dates-are-coming-for-centos-stream-8-and-centos-linux-7/",
        "https://www.debian.org/distrib/archive",
        "https://help.ubuntu.com/community/EOLUpgrades",
        "https://docs.docker.com/engine/install/#other-linux-distributions",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        # An engine that is installed goes on without them.
        severity = Severity.REQUIRED if engine.stage(host) == "before" else Severity.RECOMMENDED
        found = [*self._yum(host, severity), *self._apt(host, severity)]
        if not found:
            raise NotApplicable("no repositories of yum, dnf or apt")
        yield from found

    def _apt(self, host: Host, severity: Severity) -> Iterator[Finding]:
        for path in apt_files(host):
            entries = parse_apt(text(host, path) or "")
            faults = (
                (entry, archived(*entry[:2], host.today()) or undocked(host, *entry[:2])) for entry in entries
            )
            yield self._judge(path, faults, severity)

    def _yum(self, host: Host, severity: Severity) -> Iterator[Finding]:
        folder = "/etc/yum.repos.d"
        for path in [f"{folder}/{name}" for name in names(host, folder) if name.endswith(".repo")]:
            entries = parse_repo(text(host, path) or "")
            faults = (
                (entry, without_mirrors(path, *entry[:2]) or unreleased(host, entry[0])) for entry in entries
            )
            yield self._judge(path, faults, severity)

    def _judge(
        self, path: str, faults: Iterable[tuple[Entry, dict[str, Any] | None]], severity: Severity
    ) -> Finding:
        """Say what is wrong with the first of a file's repositories with which something is."""
        for (url, _name, line), fault in faults:
            if fault is not None:
                problem = f"{fault.pop('problem')}: no package can be installed from there"
                return failed(path, problem, value=url, severity=severity, path=path, line=line, **fault)
        return passed(path, "none of its repositories is known to be missing", path=path)


Entry = tuple[str, str, int]
"""A repository: its address, its suite or section, and the line."""


def apt_files(host: Host) -> list[str]:
    """Return the files that name apt's repositories."""
    folder = "/etc/apt/sources.list.d"
    more = [f"{folder}/{name}" for name in names(host, folder) if name.endswith((".list", ".sources"))]
    return [path for path in ("/etc/apt/sources.list", *more) if text(host, path)]


def parse_apt(content: str) -> list[Entry]:
    r"""Return each address and suite that a file of apt asks for, with the line.

    >>> parse_apt("deb [arch=amd64] http://a/debian buster main\n")
    [('http://a/debian', 'buster', 1)]
    >>> parse_apt("Types: deb\nURIs: http://a/b\nSuites: x x-updates\n")
    [('http://a/b', 'x', 2), ('http://a/b', 'x-updates', 2)]
    """
    found: list[Entry] = []
    uris: list[str] = []
    suites: list[str] = []
    off, at = False, 0
    for number, line in enumerate([*content.splitlines(), ""], 1):
        words = re.sub(r"\[[^]]*\]", "", line.partition("#")[0]).split()
        if words[:1] in (["deb"], ["deb-src"]) and len(words) > 2:
            found.append((words[1], words[2], number))
        elif not words:
            found += [] if off else [(uri, suite, at) for uri in uris for suite in suites]
            uris, suites, off = [], [], False
        elif words[0].lower() == "uris:":
            uris, at = words[1:], number
        elif words[0].lower() == "suites:":
            suites = words[1:]
        elif words[0].lower() == "enabled:":
            off = words[1:] == ["no"]
    return found


def archived(url: str, suite: str, today: str) -> dict[str, Any] | None:
    """Return what is wrong where a distribution's own servers no longer have a suite on that day."""
    server = url.partition("//")[2].partition("/")[0]
    row = table.ARCHIVED.get(suite.partition("-")[0].partition("/")[0])
    if row is None or row[0] > today or not server.endswith(table.ARCHIVED_FROM) or server == row[1]:
        return None
    return {
        "problem": f"{suite} has gone from {server}",
        "expected": row[1],
        "hint": f"take it from http://{row[1]}/, or upgrade the distribution",
    }


def undocked(host: Host, url: str, suite: str) -> dict[str, Any] | None:
    """Return what is wrong where docker.com, or a mirror of it, never had a suite.

    A release of Debian or Ubuntu that is younger than the table may have packages all the same.
    """
    found = re.search(r"//(?:download\.docker\.com|[^/]+/docker-ce)/linux(?:/([a-z]*))?", url)
    if found is None:
        return None
    here = os_facts.os_release(host)
    known = table.DOCKER_SUITES.get(found[1] or "", "").split()
    if suite in known or (known and here.id == found[1] and suite == here.codename):
        return None
    based = "ubuntu" if "ubuntu" in here.family else "debian"
    return {
        "problem": f"docker.com has no packages for {found[1] or 'no distribution'} {suite}",
        "expected": f"linux/{based} and a code name of {based.capitalize()}",
        "hint": f"name the release of {based.capitalize()} that this one is made from: docs.docker.com/engine/install",
    }


def without_mirrors(path: str, url: str, section: str) -> dict[str, Any] | None:
    """Return what is wrong where a repository asks CentOS' list of mirrors."""
    if "//mirrorlist.centos.org" not in url:
        return None
    return {
        "problem": f"{section} asks mirrorlist.centos.org, which is gone",
        "expected": "a host that exists",
        "commands": [
            f"sed -i -e 's/^mirrorlist=/#mirrorlist=/' -e 's|^#*baseurl=http://mirror.centos.org|"
            f"baseurl=https://vault.centos.org|' {path}"
        ],
    }


def unreleased(host: Host, url: str) -> dict[str, Any] | None:
    """Return what is wrong where docker.com has no folder for what $releasever stands for here."""
    found = re.search(r"docker[^\n]*/linux/(centos|rhel)/\$releasever", url)
    major = os_facts.os_release(host).major
    if found is None or major is None or str(major) in table.DOCKER_RELEASES:
        return None
    return {
        "problem": f"docker.com has no packages for {found[1]} {major}",
        "expected": f"{found[1]}/{' or '.join(table.DOCKER_RELEASES)}",
        "hint": "install the distribution's own docker, or name the release of RHEL that this one is made like",
    }


def parse_repo(repo: str) -> list[Entry]:
    r"""Return the addresses in the enabled sections of a .repo file, with the section and the line.

    >>> parse_repo("[base]\nmirrorlist=http://mirrorlist.centos.org/?a\n[x]\nenabled=0\nbaseurl=b\n")
    [('http://mirrorlist.centos.org/?a', 'base', 2)]
    """
    found: list[Entry] = []
    off = set()
    section = ""
    for number, line in enumerate(repo.split("\n"), 1):
        key, _, value = (part.strip() for part in line.partition("="))
        if line.startswith("["):
            section = line.strip().strip("[]")
        elif key in ("mirrorlist", "baseurl"):
            found.append((value, section, number))
        elif key == "enabled" and value in ("0", "false", "no"):
            off.add(section)
    return [entry for entry in found if entry[1] not in off]


class OsArchitecture(Check):
    """Engines and images are published for the machine's architecture.

    *Why*: few images are published for 32 bits, and a container's memory ends at 3 GiB there.

    *Needs*: what the host's own programs are compiled for.

    *Fix*: install a 64-bit system, where the machine has one.
    """

    id = "os.architecture"
    severity = Severity.INFO
    references = (
        "https://docs.docker.com/engine/install/#installation-procedures-for-supported-platforms",
        "https://docs.docker.com/engine/install/raspberry-pi-os/",
        "https://github.com/docker-library/official-images#architectures-other-than-amd64",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        found = os_facts.architecture(host)
        if found is None:
            raise Unavailable(
                f"none of {', '.join(os_facts.EVERYBODYS_PROGRAMS)} tells for which machine it is"
            )
        more: dict[str, Any] = {
            "value": found,
            "expected": "64 bit",
            "when": host.when,
        }
        if found in _FEW:
            yield failed("architecture", f"{found}: {_FEW[found]}", hint="install a 64-bit system", **more)
        else:
            yield passed("architecture", f"{found}", **more)


class OsContainer(Check):
    """The host is a machine of its own, and not itself a container.

    *Why*: inside a container, LXC, OpenVZ or WSL the kernel, its modules, sysctls and control groups belong to
    another host: what this one lacks can be mended only there, and engines work only where that one lets them.

    *Needs*: what systemd-detect-virt looks at: /run/host, /proc/1/environ, /proc/vz, the kernel's release.

    *Fix*: run hostcheck on the outer host, too; give the container nesting (LXC, Incus: security.nesting=true).
    """

    id = "os.container"
    severity = Severity.INFO
    references = (
        "https://www.freedesktop.org/software/systemd/man/latest/systemd-detect-virt.html",
        "https://linuxcontainers.org/incus/docs/main/faq/#how-can-i-run-docker-inside-an-incus-container",
        "https://learn.microsoft.com/en-us/windows/wsl/wsl-config",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if host.kind != "live":
            raise NotApplicable("a tree is not put anywhere yet")
        found = os_facts.container(host)
        if found is None:
            yield passed("container", "none: the kernel is the host's own", value="none")
            return
        kind, path = found
        if kind == "wsl":
            text_ = "WSL: Windows starts the kernel; its command line and modules are set in .wslconfig"
        elif kind == "openvz":
            text_ = "OpenVZ: the kernel is the provider's, and so are its modules and limits"
        else:
            text_ = (
                f"this host is itself a container ({kind}): kernel, modules and sysctls are the outer host's"
            )
        yield failed("container", text_, value=kind, expected="none", path=path,
                     hint="what hostcheck finds wrong with the kernel is to be mended on the outer host")  # fmt: skip


class OsRoot(Check):
    """Hostcheck runs as root and sees everything.

    *Why*: without root some files are closed (grub.cfg, boot entries, daemon.json of mode 0600): the answers that
    need them are unknown.

    *Needs*: the user id of hostcheck itself.

    *Fix*: sudo hostcheck.
    """

    id = "os.root"
    severity = Severity.INFO
    references = ("https://man7.org/linux/man-pages/man5/proc_pid_status.5.html",)

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if host.kind != "live":
            raise NotApplicable("a tree is read as it lies here")
        uid = parse_uid(text(host, "/proc/self/status") or "")
        if uid is None:
            raise Unavailable("/proc/self/status does not tell the user")
        if uid == 0:
            yield passed("user", "root", value=0, expected="0")
        else:
            yield failed("user", f"user {uid}, not root: what only root may read stays unknown", value=uid,
                         expected="0", commands=["sudo hostcheck"])  # fmt: skip


def parse_uid(status: str) -> int | None:
    r"""Return the effective user id of /proc/self/status, None where there is none.

    >>> parse_uid("Name:\tx\nUid:\t1000\t0\t0\t0\n")
    0
    """
    for line in status.split("\n"):
        words = line.split()
        if words[:1] == ["Uid:"] and len(words) > 2 and words[2].isdecimal():
            return int(words[2])
    return None


MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def built(version: str) -> str:
    """Return the day on which a kernel was built, by /proc/version; empty where it does not say it.

    >>> built("Linux version 6.1.0-26-amd64 (gcc) #1 SMP PREEMPT_DYNAMIC Debian 6.1.112-1 (2024-09-30)")
    '2024-09-30'
    >>> built("Linux version 5.14.0-1.el9 (mockbuild) (gcc) #1 SMP PREEMPT_DYNAMIC Fri Mar 1 10:31:02 UTC 2024")
    '2024-03-01'
    """
    found = re.search(r"\((\d{4}-\d\d-\d\d)\)\s*$", version)
    if found:
        return found[1]
    found = re.search(rf"({'|'.join(MONTHS)})\s+(\d+) \d\d:\d\d:\d\d (?:\S+ )?(\d{{4}})\s*$", version)
    return f"{found[3]}-{MONTHS.index(found[1]) + 1:02}-{int(found[2]):02}" if found else ""


class OsClock(Check):
    """The clock is not behind.

    *Why*: a board without a battery, or a machine that nothing gives the time, comes up in the past. No certificate is
    valid yet, so that nothing can be pulled (`x509: certificate has expired or is not yet valid`) and no node joins.

    *Needs*: on a running host, the time of its boot by /proc/stat, which is not before the day on which its kernel was
    built. How far a later clock is wrong cannot be told from within.

    *Fix*: set the clock, and enable chrony or systemd-timesyncd.
    """

    id = "os.clock"
    severity = Severity.RECOMMENDED
    references = (
        "https://github.com/rancher/os/issues/2424",
        "https://man7.org/linux/man-pages/man5/proc_stat.5.html",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if host.kind != "live":
            raise NotApplicable("the clock is that of a running host")
        shown = re.search(r"(?m)^btime (\d+)$", text(host, "/proc/stat") or "")
        since = built((text(host, "/proc/version") or "").strip())
        if shown is None or not since:
            raise NotApplicable("neither the time of the boot nor the kernel's day is told")
        booted = time.strftime("%Y-%m-%d", time.gmtime(int(shown[1]) + 86400))
        more: dict[str, Any] = {"value": booted, "expected": f">= {since}", "path": "/proc/stat"}
        if booted >= since:
            yield passed("clock", "is not before the kernel was built", **more)
            return
        yield failed(
            "clock",
            f"says that this host booted before {booted}, and its kernel was built on {since}: no certificate is valid",
            commands=["timedatectl set-ntp true"],
            hint="or set it by hand: date -s",
            **more,
        )
