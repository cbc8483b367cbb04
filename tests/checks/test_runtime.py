"""The engine's programs: healthy hosts stay quiet, and each fault is named once."""

from __future__ import annotations

import importlib
import json
import pathlib
from typing import Any

import pytest
from engine_programs import BOOKWORM, ELF, V1, V2, debian, said, static, status

from hostcheck.finding import Outcome
from hostcheck.testing import Content, FakeHost, ask

runtime: Any = importlib.import_module("hostcheck.checks.runtime")
programs: Any = importlib.import_module("hostcheck.checks.programs")
conflicts: Any = importlib.import_module("hostcheck.checks.conflicts")

DAY = "2026-09-01"

ALL = [
    *(runtime.RuntimeDocker, runtime.RuntimeContainerd, runtime.RuntimeRunc),
    *(programs.ProgramsHelpers, programs.ProgramsExecutable),
    *(conflicts.ConflictsOrigin, conflicts.ConflictsPackages),
]


@pytest.mark.parametrize("kind", ["live", "root"])
@pytest.mark.parametrize("check", ALL, ids=lambda check: check.id)
def test_a_healthy_debian_is_quiet(check: Any, kind: str) -> None:
    result = ask(check, debian(kind=kind))
    assert result.outcome is Outcome.PASS, (result.reason, result.findings)
    if kind == "root":
        assert {finding.when for finding in result.findings} == {"boot"}


def test_the_packages_of_real_images_are_quiet(corpora: pathlib.Path) -> None:
    for line in (corpora / "images.jsonl").read_text().splitlines():
        image = json.loads(line)
        host = debian(image["packages"])
        for check in ALL:
            result = ask(check, host)
            # Without docker-buildx, which is only recommended there, `docker build` fails: worth knowing.
            assert said(result).items() <= {("docker-buildx", "info")}, (image["suite"], check.id)
            assert result.outcome in (Outcome.PASS, Outcome.FAIL), (image["suite"], check.id, result.reason)


@pytest.mark.parametrize("check", ALL, ids=lambda check: check.id)
def test_before_the_engine(check: Any) -> None:
    result = ask(check, FakeHost({"/bin/sh": ELF, "/var/lib/dpkg/status": status({"bash": "5.2"})}))
    expected = Outcome.PASS if check.id == "conflicts.packages" else Outcome.SKIP
    assert result.outcome is expected
    assumed = ask(check, debian(assumptions={"stage": "before"}))
    assert not said(assumed)


def test_the_static_archive_on_cgroup_v1() -> None:
    """docker-20.10.9.tgz copied to /usr/bin of a CentOS 7, as many a guide says."""
    host = static(
        {"dockerd": "20.10.9", "docker": "20.10.9", "containerd": "1.4.11", "runc": "1.0.2"}, mounts=V1
    )
    docker = ask(runtime.RuntimeDocker, host, date=DAY)
    assert said(docker) == {"dockerd support": "recommended"}
    assert docker.findings[0].value == "20.10.9"
    assert ask(runtime.RuntimeContainerd, host).outcome is Outcome.PASS
    runc = said(ask(runtime.RuntimeRunc, host))
    assert set(runc.values()) == {"recommended"}
    assert "runc CVE-2024-21626" in runc
    for check in (programs.ProgramsHelpers, conflicts.ConflictsOrigin, programs.ProgramsExecutable):
        assert ask(check, host).outcome is Outcome.PASS, check.id


@pytest.mark.parametrize(
    "version, mounts, expected",
    [
        ("19.03.15", V1, {"dockerd support": "recommended"}),
        ("19.03.15", V2, {"dockerd": "required", "dockerd support": "recommended"}),
        ("20.10.0", V2, {"dockerd support": "recommended"}),
        ("24.0.7", V2, {"dockerd support": "recommended"}),
        ("29.1.0", V2, {}),
        ("31.0.0", V2, {}),
    ],
)
def test_docker(version: str, mounts: str, expected: dict[str, str]) -> None:
    host = static({"dockerd": version, "docker": version}, mounts=mounts)
    assert said(ask(runtime.RuntimeDocker, host, date=DAY)) == expected


def test_docker_that_is_not_there_or_does_not_start() -> None:
    gone = debian({}, {"/usr/sbin/dockerd": None}, assumptions={"stage": "installed"})
    result = ask(runtime.RuntimeDocker, gone)
    assert said(result) == {"dockerd": "required"}
    assert result.failures[0].fix is not None
    assert result.failures[0].fix["commands"][-1] == "apt-get install -y docker.io"
    modes = {"/usr/sbin/dockerd": 0o644}
    result = ask(runtime.RuntimeDocker, debian(modes=modes))
    assert said(result) == {"dockerd": "required"}
    assert said(ask(programs.ProgramsExecutable, debian(modes=modes))) == {"/usr/sbin/dockerd": "required"}


def test_the_client_alone_may_be_missing() -> None:
    host = debian({**BOOKWORM, "docker.io": "26.1.5+dfsg1-9"}, {"/usr/bin/docker": None})
    assert said(ask(runtime.RuntimeDocker, host, date=DAY)) == {"docker": "info"}


def test_a_version_that_cannot_be_had_is_unknown() -> None:
    host = FakeHost({"/usr/bin/dockerd": ELF, "/usr/bin/containerd": ELF, "/usr/bin/runc": ELF}, kind="root")
    for check in (runtime.RuntimeDocker, runtime.RuntimeContainerd, runtime.RuntimeRunc):
        assert ask(check, host).outcome is Outcome.UNKNOWN, check.id


@pytest.mark.parametrize(
    "docker, containerd, mounts, fails",
    [
        ("20.10.5", "1.4.13", V2, False),
        ("20.10.24", "1.6.20", V2, False),
        ("24.0.5", "1.7.2", V2, False),
        ("25.0.0", "1.7.2", V2, True),
        ("25.0.0", "1.7.3", V2, False),
        ("25.0.0", "1.6.21", V2, True),
        ("25.0.0", "1.6.22", V2, False),
        ("28.5.2", "2.1.9", V2, False),
        ("19.03.15", "1.3.9", V1, False),
        ("20.10.24", "1.3.9", V2, True),
        ("20.10.24", "1.3.9", V1, False),
    ],
)
def test_containerd_with_docker(docker: str, containerd: str, mounts: str, fails: bool) -> None:
    host = static({"dockerd": docker, "containerd": containerd}, mounts=mounts)
    assert said(ask(runtime.RuntimeContainerd, host)) == ({"containerd": "required"} if fails else {})


def test_containerd_missing() -> None:
    assert said(
        ask(runtime.RuntimeContainerd, static({"dockerd": "20.10.9"}, {"/usr/bin/containerd": None}))
    ) == {"containerd": "required"}
    # Until 18.06 it was docker-containerd, in docker's own package.
    old = static({"dockerd": "18.06.1-ce"}, {"/usr/bin/containerd": None})
    assert ask(runtime.RuntimeContainerd, old).outcome is Outcome.SKIP


@pytest.mark.parametrize(
    "version, mounts, kernel, expected",
    [
        ("1.0.0-rc10", V2, "5.10.0", "required"),
        ("1.0.0-rc92", V2, "5.10.0", "recommended"),
        ("1.0.0-rc93", V2, "6.1.0", None),
        ("1.0.0-rc10", V1, "5.10.0", None),
    ],
)
def test_runc_and_control_groups(version: str, mounts: str, kernel: str, expected: str | None) -> None:
    more: dict[str, Content | None] = {"/proc/sys/kernel/osrelease": kernel + "\n"}
    result = ask(runtime.RuntimeRunc, static({"runc": version, "dockerd": "20.10.9"}, more, mounts))
    assert said(result).get("runc") == expected, result.failures


@pytest.mark.parametrize(
    "version, holes",
    [
        ("1.1.11", 3),
        ("1.1.12", 2),
        ("1.2.7", 2),
        ("1.2.8", 1),
        ("1.3.2", 2),
        ("1.3.5", 1),
        ("1.3.6", 0),
        ("1.4.0-rc.2", 2),
        ("1.4.0", 1),
        ("1.4.3", 0),
        ("1.5.0", 0),
        ("2.0.0", 0),
    ],
)
def test_holes_in_runc(version: str, holes: int) -> None:
    host = static({"runc": version, "dockerd": "29.0.0"})
    failures = ask(runtime.RuntimeRunc, host).failures
    assert len(failures) == holes
    assert all("CVE" in finding.subject and str(finding.severity) == "recommended" for finding in failures)


def test_a_distributions_old_number_is_no_alarm_and_dockers_own_is() -> None:
    old = {**BOOKWORM, "runc": "1.0.0~rc93+ds1-5+deb11u5"}
    assert said(ask(runtime.RuntimeRunc, debian(old))) == {}
    lists: dict[str, Content | None] = {
        "/var/lib/dpkg/info/containerd.io.list": "/usr/bin/containerd\n/usr/sbin/runc\n",
        "/var/lib/dpkg/info/containerd.list": None,
        "/var/lib/dpkg/info/runc.list": None,
    }
    host = debian(
        {"docker-ce": "5:20.10.6~3-0~debian-buster", "containerd.io": "1.4.6-1"},
        lists,
        commands={("/usr/sbin/runc", "--version"): "runc version 1.0.0-rc95\nspec: 1.0.2-dev"},
    )
    result = ask(runtime.RuntimeRunc, host)
    assert result.failures[0].fix is not None
    assert "--only-upgrade containerd.io" in result.failures[0].fix["commands"][0]


def test_runc_without_a_version() -> None:
    host = static({"dockerd": "20.10.9"})
    host.commands["/usr/bin/runc", "--version"] = "runc version spec: 1.0.1-dev\n"
    assert said(ask(runtime.RuntimeRunc, host)) == {"runc": "info"}


CRUN = '{"default-runtime": "crun", "runtimes": {"crun": {"path": "/usr/bin/crun"}}}'


@pytest.mark.parametrize("config, severity", [("{}", "required"), (CRUN, "info")])
def test_runc_missing(config: str, severity: str) -> None:
    more: dict[str, Content | None] = {"/usr/bin/runc": None, "/etc/docker/daemon.json": config}
    assert said(ask(runtime.RuntimeRunc, static({"dockerd": "20.10.9"}, more))) == {"runc": severity}


def test_the_snap() -> None:
    host = FakeHost({"/var/lib/snapd/snaps/docker_2932.snap": "", "/bin/sh": ELF})
    assert said(ask(conflicts.ConflictsOrigin, host)) == {"snap": "recommended"}
    assert ask(programs.ProgramsHelpers, host).outcome is Outcome.SKIP
    for check in (runtime.RuntimeDocker, runtime.RuntimeRunc):
        assert ask(check, host).outcome is Outcome.UNKNOWN, check.id
    twice = debian(more={"/var/lib/snapd/snaps/docker_2932.snap": ""})
    assert said(ask(conflicts.ConflictsPackages, twice)) == {"docker.io": "recommended"}


@pytest.mark.parametrize(
    "more, pids, expected",
    [
        ({"/run/docker.sock": ""}, {"dockerd": (7,)}, {}),
        ({}, {"dockerd": (7,)}, {"/run/docker.sock": "info"}),
        ({"/run/docker.sock": "", "/run/systemd/system/": ""}, {}, {}),
        # A socket that a dead daemon left, with nobody to start it.
        ({"/run/docker.sock": ""}, {}, {"dockerd": "recommended"}),
        ({"/run/systemd/system/": ""}, {}, {"dockerd": "recommended"}),
    ],
)
def test_running(
    more: dict[str, Content | None], pids: dict[str, tuple[int, ...]], expected: dict[str, str]
) -> None:
    assert said(ask(runtime.RuntimeRunning, debian(more=more, pids=pids))) == expected


def test_a_users_own_docker_needs_no_docker_of_the_host() -> None:
    unit = {
        "/etc/passwd": "anna:x:1000:1000::/home/anna:/bin/sh\n",
        "/home/anna/.config/systemd/user/docker.service": "[Service]\nExecStart=dockerd-rootless.sh\n",
    }
    assert ask(runtime.RuntimeRunning, debian(more=unit)).outcome is Outcome.SKIP
    assert said(ask(runtime.RuntimeRunning, debian(more=unit, pids={"dockerd": (7,)})))


def test_nothing_runs_on_a_tree() -> None:
    assert ask(runtime.RuntimeRunning, debian(kind="root")).outcome is Outcome.SKIP
    assert ask(runtime.RuntimeRunning, FakeHost({})).outcome is Outcome.SKIP
