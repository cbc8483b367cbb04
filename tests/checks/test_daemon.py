"""The checks of dockerd's settings."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from typing import Any

import pytest

from hostcheck.finding import Outcome, Result
from hostcheck.testing import FakeHost, ask

checks: Any = importlib.import_module("hostcheck.checks.daemon")

JSON = "/etc/docker/daemon.json"
ELF = "\x7fELF"
BASE = {"/usr/lib/systemd/systemd": ELF, "/usr/bin/dockerd": ELF}


def host(
    text: Any = None, version: str = "26.1.5", files: Mapping[str, Any] | None = None, **more: Any
) -> FakeHost:
    laid = {**BASE, **(files or {})}
    if text is not None:
        laid[JSON] = text
    more.setdefault("kind", "root")
    return FakeHost(laid, assumptions={"docker": version}, **more)


def failures(result: Result) -> list[tuple[str, str]]:
    return [(finding.subject, str(result.severity_of(finding))) for finding in result.failures]


ALL = [
    checks.DaemonLogRotation,
    checks.DaemonTcpTls,
    checks.DaemonModes,
    checks.DaemonAddressPools,
    checks.DaemonDataRoot,
    checks.DaemonUsernsRemap,
    checks.DaemonCgroupDriver,
    checks.DaemonGroup,
]


@pytest.mark.parametrize("check", ALL)
def test_stock_host_has_nothing_above_info(check: Any) -> None:
    assert {severity for _, severity in failures(ask(check, host()))} <= {"info"}


@pytest.mark.parametrize("check", ALL)
def test_no_docker_and_broken_file(check: Any) -> None:
    assert ask(check, FakeHost({}, kind="root")).outcome is Outcome.SKIP
    assert ask(check, host("{")).outcome is Outcome.SKIP
    assert ask(check, host(PermissionError(13, "no"))).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, [("daemon.json log-opts.max-size", "info")]),
        ('{"log-opts": {"max-size": "10m", "max-file": "3", "compress": "true"}}', []),
        ('{"log-driver": "local"}', []),
        ('{"log-driver": "journald"}', []),
        ('{"log-opts": {"max-size": "10x"}}', [("daemon.json log-opts.max-size", "required")]),
        (
            '{"log-opts": {"max-size": "10m", "max-file": "0"}}',
            [("daemon.json log-opts.max-file", "required")],
        ),
        (
            '{"log-opts": {"max-size": "10m", "compress": "true"}}',
            [("daemon.json log-opts.compress", "required")],
        ),
        (
            '{"log-opts": {"max-size": "1m", "labels-regex": "("}}',
            [("daemon.json log-opts.labels-regex", "required")],
        ),
        ('{"log-opts": {"max-size": "1m", "labels-regex": "^a|b$", "tag": "{{.Name}}/x"}}', []),
        ('{"log-opts": {"max-size": "1m", "tag": "{{.Name"}}', [("daemon.json log-opts.tag", "required")]),
    ],
)
def test_log_rotation(text: str | None, expected: list[tuple[str, str]]) -> None:
    assert failures(ask(checks.DaemonLogRotation, host(text))) == expected


@pytest.mark.parametrize(
    ("text", "failing"),
    [
        ('{"hosts": ["unix:///run/docker.sock"]}', False),
        ('{"hosts": ["tcp://0.0.0.0:2375"]}', True),
        ('{"hosts": ["tcp://0.0.0.0:2376"], "tlsverify": true}', False),
        ('{"hosts": ["tcp://0.0.0.0:2376"], "tls": true}', False),
        ('{"hosts": ["tcp://0.0.0.0:2376"], "tls": true, "tlsverify": false}', True),
    ],
)
def test_tcp_tls(text: str, failing: bool) -> None:
    # Before 23.0 certificates are looked for at the start only; here there are none.
    result = ask(checks.DaemonTcpTls, host(text, "20.10.9"))
    assert failures(result) == ([("daemon.json hosts", "recommended")] if failing else [])


def test_tcp_by_flag() -> None:
    unit = "[Service]\nExecStart=/usr/bin/dockerd -H tcp://0.0.0.0:2375\n"
    (finding,) = ask(checks.DaemonTcpTls, host(files={"/etc/systemd/system/docker.service": unit})).failures
    assert (finding.path, finding.line) == ("/etc/systemd/system/docker.service", 2)


def test_modes() -> None:
    text = '{"experimental": true, "debug": true, "no-new-privileges": true}'
    assert {severity for _, severity in failures(ask(checks.DaemonModes, host(text)))} == {
        "info",
        "recommended",
    }
    assert len(failures(ask(checks.DaemonModes, host(text)))) == 3
    assert not failures(ask(checks.DaemonModes, host('{"experimental": false}')))


@pytest.mark.parametrize(
    ("pools", "failing"),
    [
        ('{"base": "10.200.0.0/16", "size": 24}', False),
        ('{"base": "10.200.0.0/24", "size": 24}', True),
        ('{"base": "10.200.0.0/16", "size": 24}, {"base": "10.200.128.0/17", "size": 24}', True),
        ('{"base": "10.200.0.0/16", "size": 24}, {"base": "fd00::/48", "size": 64}', False),
    ],
)
def test_address_pools(pools: str, failing: bool) -> None:
    result = ask(checks.DaemonAddressPools, host(f'{{"default-address-pools": [{pools}]}}'))
    assert (result.outcome is Outcome.FAIL) is failing


@pytest.mark.parametrize(("size", "expected"), [(32, ["required"]), (31, []), (24, [])])
def test_address_pools_without_room_for_containers(size: int, expected: list[str]) -> None:
    text = f'{{"default-address-pools": [{{"base": "10.200.0.0/22", "size": {size}}}]}}'
    assert [severity for _, severity in failures(ask(checks.DaemonAddressPools, host(text)))] == expected


def test_address_pools_parameter() -> None:
    text = '{"default-address-pools": [{"base": "10.200.0.0/22", "size": 24}]}'
    assert ask(checks.DaemonAddressPools, host(text)).outcome is Outcome.PASS
    assert ask(checks.DaemonAddressPools, host(text), networks=5).outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("root", "files", "expected"),
    [
        ("/data/docker", {}, []),
        ("data", {}, [("daemon.json data-root", "required")]),
        ("/data:1/my docker", {}, []),
        ("/data/docker", {"/data": "x"}, [("daemon.json data-root", "required")]),
        ("/data", {"/data": "x"}, [("daemon.json data-root", "required")]),
    ],
)
def test_data_root(root: str, files: Mapping[str, str], expected: list[tuple[str, str]]) -> None:
    assert failures(ask(checks.DaemonDataRoot, host(f'{{"data-root": "{root}"}}', files=files))) == expected


@pytest.mark.parametrize(("version", "fails"), [("20.10.24", True), ("25.0.13", True), ("26.1.5", False)])
def test_data_root_with_a_comma(version: str, fails: bool) -> None:
    assert bool(ask(checks.DaemonDataRoot, host('{"data-root": "/data,1"}', version)).failures) == fails


def test_userns_remap() -> None:
    users = {
        "/etc/passwd": "root:x:0:0::/:/bin/sh\n",
        "/etc/subuid": "",
        "/etc/subgid": "dockremap:100000:65536\n",
    }
    result = ask(checks.DaemonUsernsRemap, host('{"userns-remap": "default"}', files=users))
    assert failures(result) == [("/etc/subuid dockremap", "recommended")]


MOUNTS = {
    2: "30 1 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
    1: "30 1 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
}


@pytest.mark.parametrize(
    ("driver", "systemd", "version", "expected"),
    [
        ("systemd", True, 2, None),
        ("cgroupfs", True, 2, "recommended"),
        ("cgroupfs", True, 1, None),
        ("systemd", False, 2, "required"),
        ("cgroupfs", False, 2, None),
    ],
)
def test_cgroup_driver(driver: str, systemd: bool, version: int, expected: str | None) -> None:
    files = {
        JSON: f'{{"exec-opts": ["native.cgroupdriver={driver}"]}}',
        "/usr/bin/dockerd": ELF,
        "/proc/self/mountinfo": MOUNTS[version],
        "/proc/mounts": "",
        "/proc/cmdline": "quiet\n" if version == 2 else "systemd.unified_cgroup_hierarchy=0\n",
        "/proc/1/comm": "systemd\n" if systemd else "init\n",
    }
    files.update({"/usr/lib/systemd/systemd": ELF} if systemd else {"/sbin/openrc-run": ELF})
    result = ask(checks.DaemonCgroupDriver, FakeHost(files, assumptions={"docker": "26.1.5"}))
    assert [severity for _, severity in failures(result)] == ([expected] if expected else [])


SOCKET = "unix:///run/docker.sock"


@pytest.mark.parametrize(
    ("group", "hosts", "expected"),
    [
        ("docker", [SOCKET], None),
        ("dockers", [SOCKET], "required"),
        ("dockers", [], "required"),
        ("dockers", ["tcp://127.0.0.1:2375", "fd://"], None),
        ("4711", [SOCKET], None),
    ],
)
def test_group(group: str, hosts: list[str], expected: str | None) -> None:
    files = {"/etc/group": "docker:x:999:\n"}
    result = ask(checks.DaemonGroup, host(json.dumps({"group": group, "hosts": hosts}), files=files))
    assert failures(result) == ([("daemon.json group", expected)] if expected else [])


def test_group_docker_gone() -> None:
    """dockerd forgives a missing group of just that name."""
    result = ask(checks.DaemonGroup, host('{"group": "docker"}', files={"/etc/group": "root:x:0:\n"}))
    assert failures(result) == [("daemon.json group", "recommended")]
    assert result.failures[0].fix == {"hint": "", "commands": ["groupadd --system docker"]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"dns": ["1.1.1.1", "fd00::53"]', []),
        ('"dns": ["127.0.0.53"]', ["recommended"]),
        ('"dns": ["1.1.1.1", "::1"]', ["recommended"]),
        # The bridge's own address is the host, where dnsmasq may well listen.
        ('"dns": ["172.26.0.1"], "bip": "172.26.0.1/16"', []),
        ('"dns": ["172.26.0.53"], "bip": "172.26.0.1/16"', ["info"]),
        ('"dns": ["10.9.0.2"], "default-address-pools": [{"base": "10.0.0.0/8", "size": 24}]', ["info"]),
        ('"dns": ["10.9.0.2"], "default-address-pools": [{"base": "10.8.0.0/16", "size": 24}]', []),
    ],
)
def test_name_servers(text: str, expected: list[str]) -> None:
    result = ask(checks.DaemonNameServers, host(f"{{{text}}}"))
    assert [str(result.severity_of(finding)) for finding in result.failures] == expected


def test_without_name_servers_those_of_the_host_count() -> None:
    assert ask(checks.DaemonNameServers, host("{}")).outcome is Outcome.SKIP
    assert ask(checks.DaemonNameServers, host('{"dns": ["x"]}')).outcome is Outcome.SKIP
