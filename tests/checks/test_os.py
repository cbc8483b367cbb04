"""Checks of the distribution and of what the host itself is."""

from __future__ import annotations

import importlib
import re
from typing import Any

import pytest

from hostcheck.finding import Outcome
from hostcheck.testing import Content, FakeHost, ask

checks: Any = importlib.import_module("hostcheck.checks.os")
table: Any = importlib.import_module("hostcheck.checks._os_support")

TODAY = "2026-11-24"


def host(release: str, kind: str = "live") -> FakeHost:
    return FakeHost({"/etc/os-release": release.replace(" ", "\n") + "\n"}, kind=kind)


@pytest.mark.parametrize(
    ("release", "severity"),
    [
        ("ID=debian VERSION_ID=13", None),
        ("ID=debian VERSION_ID=12", None),
        ("ID=debian VERSION_ID=11", "info"),
        ("ID=debian VERSION_ID=8", "recommended"),
        ("ID=debian", None),
        ("ID=raspbian VERSION_ID=12", None),
        ("ID=ubuntu VERSION_ID=24.04", None),
        ("ID=ubuntu VERSION_ID=20.04", "info"),
        ("ID=ubuntu VERSION_ID=23.10", "recommended"),
        ("ID=centos VERSION_ID=7", "recommended"),
        ("ID=centos VERSION_ID=8", "recommended"),
        ("ID=centos VERSION_ID=9 NAME='CentOS_Stream'", None),
        ("ID=rhel VERSION_ID=8.10", None),
        ("ID=rocky VERSION_ID=9.4", None),
        ("ID=almalinux VERSION_ID=10.0", None),
        ("ID=fedora VERSION_ID=43", None),
        ("ID=fedora VERSION_ID=31", "recommended"),
        ("ID=alpine VERSION_ID=3.22.1", None),
        ("ID=alpine VERSION_ID=3.2", None),
        ("ID=alpine VERSION_ID=3.10.1", "recommended"),
        ("ID=amzn VERSION_ID=2023", None),
        ("ID=opensuse-leap VERSION_ID=15.5", "recommended"),
        ("ID=arch", None),
        ("ID=somethingelse VERSION_ID=1", None),
    ],
)
def test_support(release: str, severity: str | None) -> None:
    result = ask(checks.OsSupport, host(release), date=TODAY)
    assert [str(result.severity_of(f)) for f in result.failures] == ([severity] if severity else [])
    assert result.outcome in (Outcome.PASS, Outcome.FAIL)


def test_support_depends_on_the_day() -> None:
    assert ask(checks.OsSupport, host("ID=debian VERSION_ID=12"), date="2028-06-30").outcome is Outcome.PASS
    assert ask(checks.OsSupport, host("ID=debian VERSION_ID=12"), date="2028-07-01").outcome is Outcome.FAIL
    assert ask(checks.OsSupport, host("ID=debian VERSION_ID=12")).outcome in (Outcome.PASS, Outcome.FAIL)


def test_stream_is_not_linux() -> None:
    stream = FakeHost({"/etc/os-release": 'NAME="CentOS Stream"\nID="centos"\nVERSION_ID="8"\n'})
    found = ask(checks.OsSupport, stream, date=TODAY).failures[0]
    assert "2024-05-31" in found.message


def test_no_distribution() -> None:
    assert ask(checks.OsSupport, FakeHost({"/etc/hostname": "x"})).outcome is Outcome.UNKNOWN


def test_the_table_is_in_order() -> None:
    seen = set()
    for name, version, free, bought in table.RELEASES:
        assert (name, version) not in seen
        seen.add((name, version))
        assert re.fullmatch(r"20\d\d-\d\d-\d\d", free)
        assert not bought or bought > free


@pytest.mark.parametrize(("machine", "outcome"), [(62, Outcome.PASS), (183, Outcome.PASS)])
def test_architecture(machine: int, outcome: Outcome) -> None:
    elf = b"\x7fELF\x02\x01" + bytes(12) + bytes([machine, 0])
    assert ask(checks.OsArchitecture, FakeHost({"/bin/sh": elf})).outcome is outcome


def test_architecture_of_32_bits() -> None:
    elf = b"\x7fELF\x01\x01" + bytes(12) + bytes([40, 0])
    result = ask(checks.OsArchitecture, FakeHost({"/bin/sh": elf}, kind="root"))
    assert (result.outcome, str(result.severity)) == (Outcome.FAIL, "info")
    assert ask(checks.OsArchitecture, FakeHost({})).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("files", "outcome"),
    [
        ({"/proc/version": "x"}, Outcome.PASS),
        ({"/proc/sys/kernel/osrelease": "5.15.1-microsoft-standard-WSL2"}, Outcome.FAIL),
        ({"/run/systemd/container": "lxc"}, Outcome.FAIL),
    ],
)
def test_container(files: dict[str, Content], outcome: Outcome) -> None:
    assert ask(checks.OsContainer, FakeHost(files)).outcome is outcome
    assert ask(checks.OsContainer, FakeHost(files, kind="root")).outcome is Outcome.SKIP


@pytest.mark.parametrize(("uid", "outcome"), [(0, Outcome.PASS), (1000, Outcome.FAIL)])
def test_root(uid: int, outcome: Outcome) -> None:
    status = f"Name:\tpython3\nUid:\t1000\t{uid}\t0\t0\n"
    assert ask(checks.OsRoot, FakeHost({"/proc/self/status": status})).outcome is outcome


@pytest.mark.parametrize(
    ("repo", "outcome"),
    [
        ("[base]\nmirrorlist=http://mirrorlist.centos.org/?release=7\nenabled=1\n", Outcome.FAIL),
        ("[base]\nmirrorlist=http://mirrorlist.centos.org/?release=7\nenabled=0\n", Outcome.PASS),
        (
            "[base]\n#mirrorlist=http://mirrorlist.centos.org/?x\nbaseurl=https://vault.centos.org/\n",
            Outcome.PASS,
        ),
        ("[docker]\nbaseurl=https://download.docker.com/linux/centos/9\n", Outcome.PASS),
    ],
)
def test_repositories(repo: str, outcome: Outcome) -> None:
    files: dict[str, Content] = {"/etc/yum.repos.d/x.repo": repo}
    assert ask(checks.OsRepositories, FakeHost(files, kind="root")).outcome is outcome
    assert ask(checks.OsRepositories, FakeHost({})).outcome is Outcome.SKIP


@pytest.mark.parametrize(
    ("source", "date", "outcome"),
    [
        ("deb http://ftp.debian.org/debian buster main\n", "2026-01-01", Outcome.FAIL),
        ("deb http://ftp.debian.org/debian buster main\n", "2025-01-01", Outcome.PASS),
        (
            "deb [a=b] http://ftp.debian.org/debian-security stretch/updates main\n",
            "2024-01-01",
            Outcome.FAIL,
        ),
        ("deb http://archive.debian.org/debian buster main\n", "2026-01-01", Outcome.PASS),
        ("deb http://mirror.example/debian buster main\n", "2026-01-01", Outcome.PASS),
        (
            "# deb http://ftp.debian.org/debian buster main\ndeb http://x/debian sid main\n",
            "2026-01-01",
            Outcome.PASS,
        ),
        ("deb http://de.archive.ubuntu.com/ubuntu lunar-updates universe\n", "2026-01-01", Outcome.FAIL),
        ("deb http://archive.ubuntu.com/ubuntu jammy main\n", "2026-01-01", Outcome.PASS),
        (
            "Types: deb\nURIs: http://archive.ubuntu.com/ubuntu\nSuites: jammy mantic\n",
            "2026-01-01",
            Outcome.FAIL,
        ),
        ("Enabled: no\nURIs: http://archive.ubuntu.com/ubuntu\nSuites: mantic\n", "2026-01-01", Outcome.PASS),
    ],
)
def test_repositories_of_apt(source: str, date: str, outcome: Outcome) -> None:
    path = "/etc/apt/sources.list.d/x.sources" if "URIs" in source else "/etc/apt/sources.list"
    result = ask(checks.OsRepositories, FakeHost({path: source}, kind="root"), date=date)
    assert result.outcome is outcome


DEBIAN = "Linux version 6.1.0-26-amd64 (gcc-12) #1 SMP PREEMPT_DYNAMIC Debian 6.1.112-1 (2024-09-30)\n"
ROCKY = "Linux version 5.14.0-427.el9.x86_64 (mockbuild@x) (gcc) #1 SMP PREEMPT_DYNAMIC Fri Mar  1 10:31:02 UTC 2024\n"


@pytest.mark.parametrize(
    ("version", "boot", "outcome"),
    [
        (DEBIAN, 1727740800, Outcome.PASS),
        # The day before, as somewhere it is.
        (DEBIAN, 1727654400 - 7200, Outcome.PASS),
        (DEBIAN, 1406592000, Outcome.FAIL),
        (ROCKY, 1406592000, Outcome.FAIL),
        (ROCKY, 1709300000, Outcome.PASS),
        ("Linux version 6.1.0 (gcc) #1 SMP\n", 0, Outcome.SKIP),
    ],
)
def test_clock(version: str, boot: int, outcome: Outcome) -> None:
    files = {"/proc/version": version, "/proc/stat": f"cpu 1 2 3\nbtime {boot}\nprocesses 9\n"}
    assert ask(checks.OsClock, FakeHost(files)).outcome is outcome


DOCKER_COM = "deb [arch=amd64] https://download.docker.com/linux/{} stable\n"
KALI = "ID=kali\nID_LIKE=debian\nVERSION_CODENAME=kali-rolling\n"
MINT = 'ID=linuxmint\nID_LIKE="ubuntu debian"\nVERSION_CODENAME=virginia\nUBUNTU_CODENAME=jammy\n'
DEBIAN_ID = "ID=debian\nVERSION_CODENAME={}\n"


@pytest.mark.parametrize(
    ("release", "entry", "outcome"),
    [
        (KALI, "debian kali-rolling", Outcome.FAIL),
        (KALI, "debian bookworm", Outcome.PASS),
        (MINT, "ubuntu virginia", Outcome.FAIL),
        (MINT, "ubuntu jammy", Outcome.PASS),
        (DEBIAN_ID.format("bookworm"), "ubuntu bookworm", Outcome.FAIL),
        (DEBIAN_ID.format("bookworm"), " bookworm", Outcome.FAIL),
        (DEBIAN_ID.format("bookworm"), "debian sid", Outcome.FAIL),
        (DEBIAN_ID.format("bookworm"), "debian bookworm", Outcome.PASS),
        # A release of which the table does not know yet.
        (DEBIAN_ID.format("duke"), "debian duke", Outcome.PASS),
    ],
)
def test_suites_of_docker_com(release: str, entry: str, outcome: Outcome) -> None:
    files: dict[str, Content] = {
        "/usr/lib/os-release": release,
        "/etc/apt/sources.list.d/docker.list": DOCKER_COM.format(entry),
    }
    assert ask(checks.OsRepositories, FakeHost(files, kind="root")).outcome is outcome


@pytest.mark.parametrize(
    ("release", "folder", "outcome"),
    [
        ('ID="amzn"\nVERSION_ID="2023"\n', "centos/$releasever/$basearch/stable", Outcome.FAIL),
        ('ID="amzn"\nVERSION_ID="2023"\n', "centos/9/$basearch/stable", Outcome.PASS),
        ('ID="openEuler"\nVERSION_ID="22.03"\n', "centos/$releasever/$basearch/stable", Outcome.FAIL),
        ('ID="rocky"\nVERSION_ID="9.4"\n', "centos/$releasever/$basearch/stable", Outcome.PASS),
        ("ID=fedora\nVERSION_ID=43\n", "fedora/$releasever/$basearch/stable", Outcome.PASS),
    ],
)
def test_releases_of_docker_com(release: str, folder: str, outcome: Outcome) -> None:
    repo = f"[docker-ce-stable]\nenabled=1\nbaseurl=https://download.docker.com/linux/{folder}\n"
    files: dict[str, Content] = {
        "/usr/lib/os-release": release,
        "/etc/yum.repos.d/docker-ce.repo": repo,
    }
    assert ask(checks.OsRepositories, FakeHost(files, kind="root")).outcome is outcome
