"""dockerd's configuration: which file, which flags, what comes of both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from hostcheck.facts import _daemon_host, docker
from hostcheck.host import NotApplicable, Unavailable
from hostcheck.testing import FakeHost

JSON = "/etc/docker/daemon.json"
UNIT = "/usr/lib/systemd/system/docker.service"
ELF = "\x7fELF"
BASE = {"/usr/lib/systemd/systemd": ELF, "/usr/bin/dockerd": ELF}


def host(files: Mapping[str, Any], version: str = "26.1.5", **more: Any) -> FakeHost:
    more.setdefault("kind", "root")
    return FakeHost({**BASE, **files}, assumptions={"docker": version}, **more)


def unit(command: str) -> str:
    return f"[Service]\nExecStart={command}\n"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("/usr/bin/dockerd -H fd://", JSON),
        ("/usr/bin/dockerd --config-file=/x.json", "/x.json"),
        ("/usr/bin/dockerd --config-file /x.json --debug", "/x.json"),
        ("/usr/bin/docker daemon --config-file=/y.json", "/y.json"),
        ('/usr/bin/dockerd --config-file=""', ""),
    ],
)
def test_config_file(command: str, expected: str) -> None:
    assert docker.config_file(host({UNIT: unit(command)})) == expected


def test_snap() -> None:
    files = {"/etc/systemd/system/snap.docker.dockerd.service": unit("/usr/bin/snap run docker.dockerd")}
    assert docker.config_file(host(files)) == docker.SNAP_JSON
    assert docker.data_root(host(files)) == docker.SNAP_ROOT


def test_openrc() -> None:
    files = {
        "/sbin/openrc-run": ELF,
        "/etc/conf.d/docker": 'DOCKER_OPTS="--data-root=/d"\n',
        "/usr/bin/dockerd": ELF,
    }
    alpine = FakeHost(files, kind="root", assumptions={"docker": "26.1.5"})
    assert docker.command_line(alpine).argv == ("--data-root=/d",)
    assert docker.data_root(alpine) == "/d"


def test_environment_file() -> None:
    files = {
        UNIT: "[Service]\nEnvironmentFile=-/etc/default/docker\nExecStart=/usr/sbin/dockerd -H fd:// $DOCKER_OPTS\n",
        "/etc/default/docker": 'DOCKER_OPTS="--mtu 1400 --log-driver=local"\n',
    }
    found = docker.effective(host(files))
    assert (found["mtu"].value, found["mtu"].path, found["log-driver"].value) == (1400, UNIT, "local")


def test_effective_has_places() -> None:
    files = {UNIT: unit("/usr/bin/dockerd -H fd://"), JSON: '{\n "mtu": 1400,\n "iptables": false\n}'}
    found = docker.effective(host(files))
    assert found["mtu"] == (1400, JSON, 2)
    assert found["iptables"] == (False, JSON, 3)
    assert found["hosts"] == (["fd://"], UNIT, 2)
    assert "data-root" not in found
    assert docker.value(host(files), "data-root") == "/var/lib/docker"


def test_broken_file_stops_dependents() -> None:
    broken = host({JSON: '{"debug": true,}'})
    with pytest.raises(NotApplicable, match=r"daemon.json cannot be read: line 1: '}'"):
        docker.effective(broken)
    assert docker.data_root(broken) == docker.DATA_ROOT


def test_refused_file_still_says_where_the_data_is() -> None:
    assert docker.data_root(host({JSON: '{"graph": "/data"}'})) == "/data"


def test_unreadable_file() -> None:
    for error in (PermissionError(13, "no"), Unavailable("a fifo")):
        with pytest.raises(type(error)):
            docker.effective(host({JSON: error}))
        assert docker.data_root(host({JSON: error})) == docker.DATA_ROOT


@pytest.mark.parametrize("kind", ["live", "root"])
@pytest.mark.parametrize(("version", "accepted"), [("20.10.24", False), ("26.1.5", True)])
def test_a_link_to_dev_null_is_an_empty_file(version: str, accepted: bool, kind: str) -> None:
    laid = {JSON: "-> /dev/null", "/dev/null": ""}
    assert docker.judgement(host(laid, version, kind=kind)).accepted == accepted


def test_a_file_that_is_far_too_large() -> None:
    with pytest.raises(Unavailable, match="larger"):
        docker.effective(host({JSON: b" " * (docker.FILE_LIMIT + 1)}))


def test_version() -> None:
    assert str(docker.version_judged_by(host({}, "20.10.9"))) == "20.10.9"
    nobody = FakeHost({}, kind="root")
    assert str(docker.version_judged_by(nobody)) == "29.7.2"
    assert not docker.version_known(nobody)


def test_rootless_files() -> None:
    theirs = "/home/u/.config/docker/daemon.json"
    files = {"/etc/passwd": "u:x:1000:1000::/home/u:/bin/sh\n", theirs: '{"mtu": "x"}'}
    assert docker.rootless_files(host(files)) == (theirs,)
    assert not docker.judge_rootless(host(files), theirs).accepted


@pytest.mark.parametrize(
    ("files", "name", "found"),
    [
        ({"/etc/passwd": "u:x:7:7::/:/bin/sh\n"}, "u", True),
        ({"/etc/passwd": "u:x:7:7::/:/bin/sh\n"}, "7", True),
        ({"/etc/passwd": "u:x:7:7::/:/bin/sh\n"}, "v", False),
        (
            {"/etc/passwd": "u:x:7:7::/:/bin/sh\n", "/etc/nsswitch.conf": "passwd: files systemd\n"},
            "v",
            False,
        ),
        ({"/etc/passwd": "u:x:7:7::/:/bin/sh\n", "/etc/nsswitch.conf": "passwd: files sss\n"}, "v", None),
        ({}, "v", None),
    ],
)
def test_users(files: Mapping[str, str], name: str, found: Any) -> None:
    assert docker.asked(host(files)).user(name) is found


@pytest.mark.parametrize(
    ("subuid", "garbled"),
    [
        ("dockremap:100000:65536\n", False),
        ("dockremap:x:y\n", True),
        ("dockremap:100000\n", True),
        ("dockremap:4294967200:65536\n", True),
        ("other:x:y\n", False),
        ("", False),
    ],
)
def test_lines_that_are_no_ranges(subuid: str, garbled: bool) -> None:
    assert docker.asked(host({"/etc/subuid": subuid})).garbled("dockremap") == garbled


def test_docker_proxy_is_missed_only_beside_a_real_dockerd() -> None:
    big = ELF + "\0" * _daemon_host.PROGRAM_SIZE
    assert docker.asked(host({})).docker_proxy is None
    assert docker.asked(host({"/usr/bin/dockerd": big})).docker_proxy is False
    assert (
        _daemon_host.Facts(
            host({"/usr/bin/dockerd": big, "/usr/libexec/docker/docker-proxy": ELF}), docker.DATA_ROOT
        ).docker_proxy
        is True
    )


def test_export() -> None:
    files = {UNIT: unit("/usr/bin/dockerd -H fd://"), JSON: '{"mtu": 1400}'}
    found: Any = docker.export(host(files))
    assert found["mtu"] == {"value": 1400, "path": JSON, "line": 1}
    assert found["log-driver"] == {"value": "json-file", "path": None, "line": None}
    assert found["file"]["value"] == JSON
    assert found["version"]["value"] == "26.1.5"
    assert docker.export(host({JSON: PermissionError(13, "no")}))["error"]
    broken: Any = docker.export(host({JSON: '{"mtu": "x"}'}))
    assert broken["problems"]["value"][0]["key"] == "mtu"
