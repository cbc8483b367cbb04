"""The engine's programs: healthy hosts stay quiet, and each fault is named once."""

from __future__ import annotations

import importlib
import json
import pathlib
import struct
from collections.abc import Mapping
from typing import Any

import pytest

from hostcheck.finding import Outcome, Result
from hostcheck.host import Completed, Unavailable
from hostcheck.testing import Content, FakeHost, ask

runtime: Any = importlib.import_module("hostcheck.checks.runtime")

DAY = "2026-09-01"
V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = (
    "30 23 0:26 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755\n"
    "31 30 0:27 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n"
    "32 30 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
)
MOUNTINFO = "/proc/self/mountinfo"


def program(machine: int = 62, interpreter: str = "") -> bytes:
    """Build the headers of an executable."""
    loader = interpreter.encode() + b"\0"
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, 0, 64, 0, 0, 64, 56, bool(interpreter), 64, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 3, 4, 120, 0, 0, len(loader), len(loader), 1)
    return head + segment + loader


ELF = program()


def status(packages: Mapping[str, str]) -> str:
    return "\n".join(
        f"Package: {name}\nStatus: {'deinstall ok config-files' if not text else 'install ok installed'}\n"
        f"Architecture: amd64\nVersion: {text or '1'}\n"
        for name, text in packages.items()
    )


DEBIAN: dict[str, Content] = {
    "/bin/sh": ELF,
    "/etc/os-release": "ID=debian\nVERSION_ID=12\n",
    "/usr/sbin/dockerd": ELF,
    "/usr/bin/docker": ELF,
    "/usr/sbin/docker-proxy": ELF,
    "/usr/bin/docker-init": "-> tini-static",
    "/usr/bin/tini-static": ELF,
    "/usr/bin/containerd": ELF,
    "/usr/bin/containerd-shim-runc-v2": ELF,
    "/usr/bin/ctr": ELF,
    "/usr/sbin/runc": ELF,
    "/var/lib/dpkg/info/docker.io.list": "/usr/sbin/dockerd\n/usr/bin/docker\n/usr/sbin/docker-proxy\n",
    "/var/lib/dpkg/info/containerd.list": "/usr/bin/containerd\n/usr/bin/containerd-shim-runc-v2\n/usr/bin/ctr\n",
    "/var/lib/dpkg/info/runc.list": "/usr/sbin/runc\n",
}
BOOKWORM = {
    "docker.io": "20.10.24+dfsg1-1+deb12u1",
    "containerd": "1.6.20~ds1-1",
    "runc": "1.1.5+ds1-1+deb12u1",
}


def debian(
    packages: Mapping[str, str] = BOOKWORM, more: Mapping[str, Content | None] = {}, **host: Any
) -> FakeHost:
    files = {**DEBIAN, "/var/lib/dpkg/status": status(packages), MOUNTINFO: V2, **more}
    return FakeHost({path: content for path, content in files.items() if content is not None}, **host)


def static(
    versions: Mapping[str, str],
    more: Mapping[str, Content | None] = {},
    mounts: str = V2,
    folder: str = "/usr/bin",
) -> FakeHost:
    """Return a host with the static archive's files in one folder, which live answer for themselves."""
    files: dict[str, Content | None] = {"/bin/sh": ELF, "/etc/os-release": "ID=centos\n", MOUNTINFO: mounts}
    for name in (
        "docker",
        "dockerd",
        "docker-proxy",
        "docker-init",
        "containerd",
        "containerd-shim-runc-v2",
        "ctr",
        "runc",
    ):
        files[f"{folder}/{name}"] = ELF
    files.update(more)
    prints = {
        "dockerd": "Docker version {}, build 79ea9d3",
        "docker": "Docker version {}, build 79ea9d3",
        "containerd": "containerd github.com/containerd/containerd v{} 5b46e404f6b9f661a205e28d59c982d3634148f8",
        "runc": "runc version {}\ncommit: v1\nspec: 1.0.2-dev",
    }
    commands: dict[tuple[str, ...], str | Completed | Exception] = {
        (f"{folder}/{name}", "--version"): prints[name].format(text)
        for name, text in versions.items()
        if name in prints
    }
    return FakeHost({path: c for path, c in files.items() if c is not None}, commands=commands)


def said(result: Result) -> dict[str, str]:
    """Return what failed, and how severely."""
    return {finding.subject: str(result.severity_of(finding)) for finding in result.failures}


ALL = [
    getattr(runtime, name)
    for name in (
        *("RuntimeDocker", "RuntimeContainerd", "RuntimeRunc", "RuntimeHelpers"),
        *("RuntimeOrigin", "RuntimePackageConflicts", "RuntimeExecutable"),
    )
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
    expected = Outcome.PASS if check.id == "runtime.package_conflicts" else Outcome.SKIP
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
    for check in (runtime.RuntimeHelpers, runtime.RuntimeOrigin, runtime.RuntimeExecutable):
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
    assert said(ask(runtime.RuntimeExecutable, debian(modes=modes))) == {"/usr/sbin/dockerd": "required"}


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


@pytest.mark.parametrize(
    "docker, more, config, expected",
    [
        ("20.10.9", {"/usr/bin/docker-proxy": None}, "{}", {"docker-proxy": "required"}),
        ("26.1.5", {"/usr/bin/docker-proxy": None}, "{}", {"docker-proxy": "required"}),
        ("26.1.5", {"/usr/bin/docker-proxy": None}, '{"userland-proxy": false}', {}),
        (
            "26.1.5",
            {"/usr/bin/docker-proxy": None, "/usr/libexec/docker/docker-proxy": ELF},
            "{}",
            {"docker-proxy": "required"},
        ),
        ("27.0.1", {"/usr/bin/docker-proxy": None, "/usr/libexec/docker/docker-proxy": ELF}, "{}", {}),
        # From 25 on dockerd refuses such a file, which is another check's to say.
        ("24.0.7", {}, '{"userland-proxy-path": "/nonexistent"}', {"docker-proxy": "required"}),
        (
            "27.0.1",
            {"/usr/bin/docker-proxy": None, "/srv/proxy": ELF},
            '{"userland-proxy-path": "/srv/proxy"}',
            {},
        ),
        ("27.0.1", {"/usr/bin/docker-init": None}, "{}", {"docker-init": "info"}),
        ("27.0.1", {"/usr/bin/docker-init": None}, '{"init": true}', {"docker-init": "required"}),
        (
            "27.0.1",
            {"/usr/bin/docker-init": program(62, "/lib64/ld-linux-x86-64.so.2")},
            "{}",
            {"docker-init": "recommended"},
        ),
        ("27.0.1", {"/usr/bin/containerd-shim-runc-v2": None}, "{}", {"containerd-shim-runc-v2": "required"}),
        (
            "27.0.1",
            {
                "/usr/bin/containerd-shim-runc-v2": None,
                "/usr/bin/containerd": "-> /opt/c/containerd",
                "/opt/c/containerd": ELF,
                "/opt/c/containerd-shim-runc-v2": ELF,
            },
            "{}",
            {},
        ),
        ("19.03.9", {"/usr/bin/containerd-shim-runc-v2": None, "/usr/bin/containerd-shim": ELF}, "{}", {}),
    ],
)
def test_helpers(docker: str, more: dict[str, Content | None], config: str, expected: dict[str, str]) -> None:
    host = static({"dockerd": docker}, {"/etc/docker/daemon.json": config, **more})
    assert said(ask(runtime.RuntimeHelpers, host)) == expected


@pytest.mark.parametrize(
    "version, path, expected",
    [
        ("20.10.24", None, {}),
        ("23.0.1", None, {"docker-buildx": "info"}),
        ("23.0.1", "/usr/libexec/docker/cli-plugins/docker-buildx", {}),
        ("29.1.0", "/usr/lib/docker/cli-plugins/docker-buildx", {}),
    ],
)
def test_buildx(version: str, path: str | None, expected: dict[str, str]) -> None:
    host = static({"dockerd": version, "docker": version}, {path: ELF} if path else {})
    assert said(ask(runtime.RuntimeHelpers, host)) == expected


@pytest.mark.parametrize(
    "version, config, fails",
    [
        ("28.5.2", "{}", False),
        ("29.0.0", "{}", True),
        ("29.2.1", "{}", True),
        ("29.3.0", "{}", False),
        ("29.0.0", '{"min-api-version": "1.24"}', False),
        ("29.3.0", '{"min-api-version": "1.45"}', True),
    ],
)
def test_api(version: str, config: str, fails: bool) -> None:
    host = static({"dockerd": version}, {"/etc/docker/daemon.json": config})
    assert said(ask(runtime.RuntimeApi, host)) == ({"min-api-version": "info"} if fails else {})


def test_origin_of_a_program_that_hides_another() -> None:
    more: dict[str, Content | None] = {"/usr/local/sbin/runc": ELF}
    commands = {("/usr/local/sbin/runc", "--version"): "runc version 1.0.0-rc10\n"}
    result = ask(runtime.RuntimeOrigin, debian(more=more, commands=commands))
    assert said(result) == {"runc": "recommended"}
    message = result.failures[0].message
    assert "/usr/local/sbin/runc (1.0.0-rc10, no package)" in message
    assert "/usr/sbin/runc (1.1.5, package runc)" in message
    same = {("/usr/local/sbin/runc", "--version"): "runc version 1.1.5\n"}
    assert said(ask(runtime.RuntimeOrigin, debian(more=more, commands=same))) == {"runc": "info"}


@pytest.mark.parametrize("link", [{"/usr/bin/runc": "-> ../sbin/runc"}, {"/usr/local/bin": "-> ../sbin"}])
def test_a_link_to_the_same_program_is_no_second_one(link: dict[str, Content | None]) -> None:
    assert ask(runtime.RuntimeOrigin, debian(more=link)).outcome is Outcome.PASS


def test_the_snap() -> None:
    host = FakeHost({"/var/lib/snapd/snaps/docker_2932.snap": "", "/bin/sh": ELF})
    assert said(ask(runtime.RuntimeOrigin, host)) == {"snap": "recommended"}
    assert ask(runtime.RuntimeHelpers, host).outcome is Outcome.SKIP
    for check in (runtime.RuntimeDocker, runtime.RuntimeRunc):
        assert ask(check, host).outcome is Outcome.UNKNOWN, check.id
    twice = debian(more={"/var/lib/snapd/snaps/docker_2932.snap": ""})
    assert said(ask(runtime.RuntimePackageConflicts, twice)) == {"docker.io": "recommended"}


@pytest.mark.parametrize(
    "packages, expected",
    [
        (BOOKWORM, {}),
        ({"containerd": "1.7", "runc": "1.1"}, {}),
        ({"docker-ce": "5:28", "docker-ce-cli": "5:28", "containerd.io": "1.7"}, {}),
        # A dock for windows, and a client beside podman.
        ({"docker-ce": "5:28", "containerd.io": "1.7", "docker": "1.5"}, {}),
        ({"docker-ce-cli": "5:28", "podman": "4"}, {}),
        (
            {"docker-ce": "5:28", "containerd.io": "1.7", "podman-docker": "4"},
            {"podman-docker": "recommended"},
        ),
        ({"docker-ce": "5:28", "containerd": "1.7"}, {"containerd": "recommended"}),
        (
            {"docker-ce-cli": "5:19.03.2~3", "containerd": "1.2.6-0ubuntu1", "docker-ce": ""},
            {"containerd": "required"},
        ),
        ({"docker.io": "20.10", "containerd": "1.6", "docker-ce": ""}, {}),
        ({"podman-docker": "4"}, {"podman-docker": "info"}),
    ],
)
@pytest.mark.parametrize("kind", ["live", "root"])
def test_package_conflicts(packages: dict[str, str], expected: dict[str, str], kind: str) -> None:
    host = FakeHost({"/var/lib/dpkg/status": status(packages)}, kind=kind)
    result = ask(runtime.RuntimePackageConflicts, host)
    assert said(result) == expected
    for finding in result.failures:
        assert finding.fix is not None
        assert finding.fix["commands"]


def test_package_conflicts_without_a_database() -> None:
    assert ask(runtime.RuntimePackageConflicts, FakeHost({})).outcome is Outcome.SKIP
    broken = FakeHost({"/var/lib/dpkg/status": Unavailable("broken")})
    assert ask(runtime.RuntimePackageConflicts, broken).outcome is Outcome.UNKNOWN


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


@pytest.mark.parametrize(
    "content, mode, value",
    [
        (b"", 0o755, "0 bytes"),
        (ELF[:30], 0o755, "no ELF file"),
        (b"<html>not found</html>", 0o755, "no ELF file"),
        (program(183), 0o755, "aarch64"),
        (ELF, 0o644, "0o644"),
    ],
)
@pytest.mark.parametrize("kind", ["live", "root"])
def test_executables(content: bytes, mode: int, value: str, kind: str) -> None:
    host = debian(more={"/usr/sbin/runc": content}, modes={"/usr/sbin/runc": mode}, kind=kind)
    result = ask(runtime.RuntimeExecutable, host)
    assert said(result) == {"/usr/sbin/runc": "required"}
    assert result.failures[0].value == value
    assert result.failures[0].fix is not None
    assert result.failures[0].fix["commands"]


def test_a_script_is_a_program() -> None:
    host = debian(more={"/usr/bin/docker": "#!/bin/sh\nexec sudo docker\n"})
    assert ask(runtime.RuntimeExecutable, host).outcome is Outcome.PASS


@pytest.mark.parametrize("machine, fine", [("x86_64", True), ("i686", False)])
def test_a_64_bit_program_among_32_bit_ones(machine: str, fine: bool) -> None:
    small = (
        b"\x7fELF\x01\x01\x01"
        + bytes(9)
        + struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, 0, 0, 0, 0, 52, 32, 0, 40, 0, 0)
    )
    host = debian(more={"/bin/sh": small}, commands={("uname", "-m"): machine + "\n"})
    assert (ask(runtime.RuntimeExecutable, host).outcome is Outcome.PASS) is fine
    # On a tree nobody can say which kernel it will have.
    tree = debian(more={"/bin/sh": small}, kind="root")
    assert ask(runtime.RuntimeExecutable, tree).outcome is Outcome.PASS
