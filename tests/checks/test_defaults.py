"""The checks of what every container gets by default."""

from __future__ import annotations

import importlib
import json
from typing import Any

import pytest

from hostcheck.finding import Outcome, Result
from hostcheck.testing import FakeHost, ask

checks: Any = importlib.import_module("hostcheck.checks.defaults")

JSON = "/etc/docker/daemon.json"
ELF = "\x7fELF"
BASE = {
    "/usr/lib/systemd/systemd": ELF,
    "/usr/bin/dockerd": ELF,
    "/etc/passwd": "root:x:0:0::/root:/bin/sh\n",
}
ALL = [
    checks.DefaultsMtu,
    checks.DefaultsFixedCidr,
    checks.DefaultsRuntime,
    checks.DefaultsUlimits,
    checks.DefaultsInit,
    checks.DefaultsSeccomp,
]


def host(
    version: str = "26.1.5", files: dict[str, Any] | None = None, kind: str = "root", **keys: Any
) -> FakeHost:
    text = json.dumps({key.replace("_", "-"): value for key, value in keys.items()})
    return FakeHost({**BASE, JSON: text, **(files or {})}, kind=kind, assumptions={"docker": version})


def severities(result: Result) -> list[str]:
    return [str(result.severity_of(finding)) for finding in result.failures]


@pytest.mark.parametrize("check", ALL)
def test_nothing_set(check: Any) -> None:
    assert ask(check, host()).outcome is Outcome.SKIP
    assert ask(check, FakeHost({}, kind="root")).outcome is Outcome.SKIP
    assert ask(check, FakeHost({**BASE, JSON: "{"}, kind="root")).outcome is Outcome.SKIP


RUNC = "Package: runc\nStatus: install ok installed\nArchitecture: amd64\nVersion: {}\n"


@pytest.mark.parametrize(
    ("arguments", "path", "runc", "outcome"),
    [
        ([], "runc", "1.1.5", Outcome.SKIP),
        (["--debug", "--root", "/run/x", "--log-format=json"], "runc", "1.1.5", Outcome.PASS),
        (["-debug"], "/usr/sbin/runc", "1.1.5", Outcome.PASS),
        (["--no-such"], "runc", "1.1.5", Outcome.FAIL),
        (["--debug", "run"], "runc", "1.1.5", Outcome.FAIL),
        # The value of a flag is none.
        (["--root", "--no-such"], "runc", "1.1.5", Outcome.PASS),
        (["--criu=/usr/sbin/criu"], "runc", "1.3.6", Outcome.PASS),
        (["--criu=/usr/sbin/criu"], "runc", "1.4.0", Outcome.FAIL),
        # Another program has flags of its own.
        (["--no-such"], "/opt/kata-runtime", "1.1.5", Outcome.SKIP),
    ],
)
def test_arguments_of_the_runtime(arguments: list[str], path: str, runc: str, outcome: Outcome) -> None:
    runtimes = {"x": {"path": path, "runtimeArgs": arguments}}
    files = {"/usr/sbin/runc": ELF, "/opt/kata-runtime": ELF, "/var/lib/dpkg/status": RUNC.format(runc),
             "/var/lib/dpkg/info/runc.list": "/usr/sbin/runc\n"}  # fmt: skip
    chosen = host(files=files, runtimes=runtimes, default_runtime="x")
    assert ask(checks.DefaultsRuntime, chosen).outcome is outcome
    assert ask(checks.DefaultsRuntime, host(files=files, runtimes=runtimes)).outcome is Outcome.SKIP


@pytest.mark.parametrize(
    ("mtu", "more", "wrong"),
    [
        (67, {}, True),
        (68, {}, False),
        (1500, {}, False),
        (65535, {}, False),
        (65536, {}, True),
        (1279, {}, False),
        (1279, {"ipv6": True, "fixed_cidr_v6": "fd00::/64"}, True),
        (1280, {"ipv6": True, "fixed_cidr_v6": "fd00::/64"}, False),
    ],
)
def test_mtu(mtu: int, more: dict[str, Any], wrong: bool) -> None:
    assert severities(ask(checks.DefaultsMtu, host("24.0.9", mtu=mtu, **more))) == ["required"] * wrong
    # From 25.0 on dockerd finds it itself.
    docker: Any = importlib.import_module("hostcheck.checks.docker")
    newer = host("25.0.0", mtu=mtu, **more)
    assert ask(checks.DefaultsMtu, newer).outcome is Outcome.SKIP
    assert severities(ask(docker.DockerStartRules, newer)) == ["required"] * wrong


def test_mtu_without_a_bridge() -> None:
    assert ask(checks.DefaultsMtu, host("24.0.9", mtu=9, bridge="none")).outcome is Outcome.SKIP


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ({"Name": "nofile", "Soft": 1024, "Hard": 65536}, []),
        ({"Name": "nofile", "Soft": 1024, "Hard": 4096}, ["recommended"]),
        ({"Name": "nofile", "Soft": 2048, "Hard": 2048}, ["recommended"]),
        ({"Name": "nofile", "Soft": 2049, "Hard": 2048}, ["required"]),
        ({"Name": "NOFILE", "Soft": 1, "Hard": 2}, ["recommended"]),
        ({"Name": "nofile", "Soft": -1, "Hard": -1}, ["required"]),
        ({"Name": "memlock", "Soft": -1, "Hard": -1}, []),
        ({"Name": "memlock", "Soft": 1, "Hard": -1}, []),
        ({"Name": "memlock", "Soft": -1, "Hard": 1}, ["required"]),
        ({"Name": "nproc", "Soft": 1, "Hard": 2}, []),
        ({"Name": "nofiles", "Soft": 1, "Hard": 2}, ["required"]),
        ({"Soft": 1, "Hard": 2}, ["required"]),
        (None, ["required"]),
    ],
)
def test_ulimits(limit: Any, expected: list[str]) -> None:
    assert severities(ask(checks.DefaultsUlimits, host(default_ulimits={"x": limit}))) == expected


@pytest.mark.parametrize(("hard", "wrong"), [(1048576, False), (1048577, True), (-1, True)])
def test_more_files_than_the_kernel_allows(hard: int, wrong: bool) -> None:
    files = {"/proc/sys/fs/nr_open": "1048576\n"}
    limits = {"nofile": {"Name": "nofile", "Soft": 9, "Hard": hard}}
    live = host(files=files, kind="live", default_ulimits=limits)
    assert severities(ask(checks.DefaultsUlimits, live)) == ["required"] * wrong


@pytest.mark.parametrize(("hard", "wrong"), [(2147483584, False), (2147483585, True), (-1, True)])
def test_more_files_than_any_kernel_allows(hard: int, wrong: bool) -> None:
    """The bound of a tree is that of the next boot, which a file may raise."""
    tree = host(default_ulimits={"nofile": {"Name": "nofile", "Soft": 9, "Hard": hard}})
    assert severities(ask(checks.DefaultsUlimits, tree)) == ["required"] * wrong


@pytest.mark.parametrize(
    ("path", "files", "always", "expected"),
    [
        ("/opt/tini", {"/opt/tini": ELF}, True, []),
        ("/opt/tini", {}, True, ["required"]),
        ("/opt/tini", {}, False, ["info"]),
        ("/etc/passwd", {}, True, ["required"]),
        ("tini", {"/usr/bin/tini": ELF}, True, []),
        ("tini", {}, True, ["required"]),
    ],
)
def test_init(path: str, files: dict[str, Any], always: bool, expected: list[str]) -> None:
    assert severities(ask(checks.DefaultsInit, host(files=files, init=always, init_path=path))) == expected


PROFILE = "/etc/docker/seccomp.json"


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("{}", Outcome.PASS),
        ('{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": []}', Outcome.PASS),
        ('{"defaultAction": "SCMP_ACT_NONE"}', Outcome.FAIL),
        ('{"architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X32"]}', Outcome.PASS),
        ('{"architectures": ["SCMP_ARCH_NONE"]}', Outcome.FAIL),
        (
            '{"architectures": ["SCMP_ARCH_X86"], "archMap": [{"architecture": "SCMP_ARCH_X86"}]}',
            Outcome.FAIL,
        ),
        (
            '{"syscalls": [{"names": ["a"], "action": "SCMP_ACT_ALLOW", "args": [{"op": "SCMP_CMP_EQ"}]}]}',
            Outcome.PASS,
        ),
        ('{"syscalls": [{"names": ["a"], "action": "ALLOW"}]}', Outcome.FAIL),
        ('{"syscalls": [{"names": ["a"], "action": "SCMP_ACT_LOG", "args": [{"op": "EQ"}]}]}', Outcome.FAIL),
        ("garbage", Outcome.FAIL),
        ("[]", Outcome.FAIL),
        ("", Outcome.FAIL),
        (PermissionError(13, "no"), Outcome.UNKNOWN),
    ],
)
def test_seccomp(text: Any, outcome: Outcome) -> None:
    result = ask(checks.DefaultsSeccomp, host(files={PROFILE: text}, seccomp_profile=PROFILE))
    assert result.outcome is outcome


def test_seccomp_without_a_file() -> None:
    assert ask(checks.DefaultsSeccomp, host(seccomp_profile="unconfined")).outcome is Outcome.SKIP
    assert ask(checks.DefaultsSeccomp, host(seccomp_profile=PROFILE)).outcome is Outcome.SKIP
    assert ask(checks.DefaultsSeccomp, host(seccomp_profile="profile.json")).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("version", "fixed", "bip", "outcome"),
    [
        ("28.5.2", "10.9.0.0/24", "172.18.0.1/16", Outcome.FAIL),
        ("26.1.5", "10.9.0.0/24", "172.18.0.1/16", Outcome.PASS),
        ("28.5.2", "172.18.9.0/24", "172.18.0.1/16", Outcome.PASS),
        ("28.5.2", "172.16.0.0/12", "172.18.0.1/16", Outcome.PASS),
        ("28.5.2", "10.9.0.0/24", "", Outcome.SKIP),
    ],
)
def test_fixed_cidr(version: str, fixed: str, bip: str, outcome: Outcome) -> None:
    assert ask(checks.DefaultsFixedCidr, host(version, fixed_cidr=fixed, bip=bip)).outcome is outcome
