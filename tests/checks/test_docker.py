"""The checks of dockerd's configuration."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import pytest

from hostcheck.finding import Outcome, Result
from hostcheck.host import Unavailable
from hostcheck.testing import FakeHost, ask

checks: Any = importlib.import_module("hostcheck.checks.docker")

JSON = "/etc/docker/daemon.json"
UNIT = "/usr/lib/systemd/system/docker.service"
ELF = "\x7fELF"
BASE = {
    "/usr/lib/systemd/systemd": ELF,
    "/usr/bin/dockerd": ELF,
    "/usr/bin/runc": ELF,
    UNIT: "[Service]\nExecStart=/usr/bin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock\n",
}
ALL = [
    checks.DockerDaemonJson,
    checks.DockerFlagConflict,
    checks.DockerStartRules,
    checks.DockerRuntimes,
    checks.DockerDuplicates,
    checks.DockerIgnoredKeys,
    checks.DockerNullBooleans,
]


def host(text: Any = None, version: str = "26.1.5", files: Mapping[str, Any] | None = None) -> FakeHost:
    laid = {**BASE, **(files or {})}
    if text is not None:
        laid[JSON] = text
    return FakeHost(laid, kind="root", assumptions={"docker": version})


def failures(result: Result) -> list[tuple[str, str]]:
    return [(finding.subject, str(result.severity_of(finding))) for finding in result.failures]


@pytest.mark.parametrize("check", ALL)
def test_stock_host(check: Any) -> None:
    assert ask(check, host()).outcome in (Outcome.PASS, Outcome.SKIP)


@pytest.mark.parametrize("check", ALL)
def test_no_docker(check: Any) -> None:
    result = ask(check, FakeHost({}, kind="root"))
    assert (result.outcome, result.reason) == (Outcome.SKIP, "docker is not installed")


@pytest.mark.parametrize("check", ALL)
@pytest.mark.parametrize("error", [PermissionError(13, "no"), Unavailable("a fifo")])
def test_unreadable(check: Any, error: Exception) -> None:
    assert ask(check, host(error)).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("check", ALL)
@pytest.mark.parametrize(
    "text", [b"\x00\xff", "[" * 50000, "{" * 9, "", '{"a":' + "[" * 9000 + "]" * 9000 + "}"]
)
def test_hostile(check: Any, text: Any) -> None:
    assert ask(check, host(text)).outcome in (Outcome.PASS, Outcome.FAIL, Outcome.SKIP)


def test_before_docker_a_file_is_judged_by_the_newest_release() -> None:
    early = FakeHost({JSON: '{"graph": "/x"}'}, kind="root")
    assert failures(ask(checks.DockerDaemonJson, early)) == [("daemon.json graph", "required")]


def test_daemon_json() -> None:
    result = ask(
        checks.DockerDaemonJson, host('{\n "debug": true,\n "graph": "/x",\n "log_level": "info"\n}')
    )
    assert result.outcome is Outcome.FAIL
    graph, level = result.failures
    assert (graph.subject, graph.path, graph.line, graph.expected) == (
        "daemon.json graph",
        JSON,
        3,
        "data-root",
    )
    assert "removed in 23.0; use data-root (line 3, column 2)" in graph.message
    assert graph.fix
    assert graph.fix["commands"][0] == f'sed -i \'3s/"graph"/"data-root"/\' {JSON}'
    assert "did you mean log-level?" in level.message
    assert [finding.subject for finding in result.findings if finding.ok] == ["daemon.json debug"]


def test_daemon_json_syntax() -> None:
    (finding,) = ask(checks.DockerDaemonJson, host('{"debug": true,}')).failures
    assert (finding.subject, finding.line, finding.value) == ("daemon.json", 1, "json-syntax")
    assert "(line 1, column 16)" in finding.message


def test_a_password_is_not_shown() -> None:
    result = ask(checks.DockerDaemonJson, host('{"proxies": {"http-proxy": "http://u:secret@p:1"}}'))
    assert result.outcome is Outcome.PASS
    assert not any("secret" in finding.message + str(finding.value) for finding in result.findings)


def test_a_named_file_must_exist() -> None:
    files = {UNIT: "[Service]\nExecStart=/usr/bin/dockerd --config-file=/etc/d.json\n"}
    (finding,) = ask(checks.DockerDaemonJson, host(files=files)).failures
    assert (finding.subject, finding.path, finding.line) == ("/etc/d.json", UNIT, 2)


def test_rootless_file() -> None:
    theirs = "/home/u/.config/docker/daemon.json"
    (finding,) = ask(checks.DockerDaemonJson, host(files={theirs: '{"mtu": "x"}'})).failures
    assert (finding.subject, finding.path) == ("daemon.json mtu", theirs)


def test_flag_conflict_of_hosts() -> None:
    result = ask(checks.DockerFlagConflict, host('{"hosts": ["fd://", "tcp://0.0.0.0:2375"]}'))
    assert failures(result) == [("daemon.json hosts", "required")]
    (finding,) = result.failures
    assert finding.fix
    written = finding.fix["commands"][1]
    assert "'/usr/bin/dockerd --containerd=/run/containerd/containerd.sock'" in written
    assert ask(checks.DockerDaemonJson, host('{"hosts": ["fd://"]}')).outcome is Outcome.PASS


def test_flag_that_was_removed() -> None:
    files = {UNIT: "[Service]\nExecStart=/usr/bin/dockerd -g /data\n"}
    result = ask(checks.DockerFlagConflict, host(files=files))
    assert failures(result) == [("docker.service --graph", "required")]
    assert ask(checks.DockerFlagConflict, host(version="20.10.9", files=files)).outcome is Outcome.PASS


def test_flags_of_a_file_that_cannot_be_parsed() -> None:
    result = ask(checks.DockerFlagConflict, host('{"hosts": ["fd://"],}'))
    assert (result.outcome, result.reason) == (Outcome.SKIP, "daemon.json cannot be read")


def test_a_dropin_that_resets_exec_start_is_right() -> None:
    files = {
        "/etc/systemd/system/docker.service.d/override.conf": "[Service]\nExecStart=\nExecStart=/usr/bin/dockerd\n"
    }
    assert ask(checks.DockerFlagConflict, host('{"hosts": ["fd://"]}', files=files)).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("text", "version", "expected"),
    [
        ('{"bip": "172.17.0.1"}', "28.5.2", "daemon.json bip"),
        ('{"default-runtime": "x"}', "28.5.2", "daemon.json default-runtime"),
        ('{"log-opts": {"max-files": "3"}}', "28.5.2", "daemon.json log-opts.max-files"),
        ('{"registry-mirrors": ["http://r/repository/x/"]}', "17.12.1", "daemon.json registry-mirrors"),
    ],
)
def test_start_rules(text: str, version: str, expected: str) -> None:
    assert ask(checks.DockerDaemonJson, host(text, version)).outcome is Outcome.PASS
    assert failures(ask(checks.DockerStartRules, host(text, version))) == [(expected, "required")]


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ('{"registry-mirrors": ["http://localhost:5001/hub/"]}', "28.3.0"),
        ('{"selinux-enabled": true}', "28.5.2"),
        ('{"storage-driver": "overlay2", "storage-opts": ["dm.basesize=20G"]}', "20.10.9"),  # storage.options
        ('{"log-driver": "bogus"}', "28.5.2"),
    ],
)
def test_start_rules_stay_quiet(text: str, version: str) -> None:
    assert ask(checks.DockerStartRules, host(text, version)).outcome is Outcome.PASS


def test_one_cause_is_told_once() -> None:
    result = ask(checks.DockerStartRules, host('{"mtu": "x", "bip": "1"}'))
    assert result.outcome is Outcome.SKIP
    assert result.reason
    assert result.reason.startswith("daemon.json cannot be read: line 1: mtu")


def test_user_remapping_needs_ids() -> None:
    users = {"/etc/passwd": "root:x:0:0::/:/bin/sh\n", "/etc/group": "root:x:0:\n", "/bin/sh": ELF}
    text = '{"userns-remap": "default"}'
    bare = host(text, files=users)
    assert failures(ask(checks.DockerDaemonJson, bare)) == [("daemon.json userns-remap", "required")]
    able = {**users, "/usr/sbin/useradd": ELF, "/usr/sbin/usermod": ELF, "/etc/subuid": "", "/etc/subgid": ""}
    assert ask(checks.DockerDaemonJson, host(text, files=able)).outcome is Outcome.PASS
    # A lock of the first process, which is there after every boot, and of one that will be gone.
    for holder, outcome in (("1", Outcome.FAIL), ("4711", Outcome.PASS)):
        locked = host(text, files={**able, "/etc/passwd.lock": holder})
        assert ask(checks.DockerDaemonJson, locked).outcome is outcome


@pytest.mark.parametrize(
    ("certificate", "by_hand", "fails"), [(True, False, True), (False, False, False), (False, True, True)]
)
def test_live_restore_and_a_swarm(certificate: bool, by_hand: bool, fails: bool) -> None:
    """dockerd forgets a swarm without a certificate, which somebody who writes a host down may leave out."""
    swarm = "/var/lib/docker/swarm"
    files = {f"{swarm}/docker-state.json": "{}"}
    files.update({f"{swarm}/certificates/swarm-node.crt": ""} if certificate else {})
    node = host('{"live-restore": true}', files=files)
    node.written_by_hand = by_hand
    assert bool(ask(checks.DockerStartRules, node).failures) == fails


@pytest.mark.parametrize(
    ("name", "shim", "containerd", "expected"),
    [
        ("io.containerd.runc.v2", "containerd-shim-runc-v2", "2.1.5", False),
        ("io.containerd.kata.v2", "containerd-shim-runc-v2", "2.1.5", True),
        ("io.containerd.kata.v2", "containerd-shim-kata-v2", "2.1.5", False),
        # A plugin of containerd before 2.0.
        ("io.containerd.runtime.v1.linux", "containerd-shim", "1.7.24", False),
        ("io.containerd.runtime.v1.linux", "containerd-shim", "2.1.5", True),
    ],
)
def test_a_runtime_that_is_a_type_has_a_shim(name: str, shim: str, containerd: str, expected: bool) -> None:
    status = f"Package: containerd\nStatus: install ok installed\nVersion: {containerd}\n\n"
    files = {f"/usr/bin/{shim}": ELF, "/usr/bin/containerd": ELF, "/var/lib/dpkg/status": status}
    text = f'{{"default-runtime": "{name}"}}'
    found = failures(ask(checks.DockerRuntimes, host(text, "28.5.2", files)))
    assert found == [("daemon.json default-runtime", "required")] * expected


@pytest.mark.parametrize(
    ("default", "there", "expected"),
    [
        ("", False, [("daemon.json runtimes.nvidia", "info")]),
        ('"default-runtime": "nvidia", ', False, [("daemon.json runtimes.nvidia", "required")]),
        ('"default-runtime": "nvidia", ', True, []),
    ],
)
def test_runtimes(default: str, there: bool, expected: list[tuple[str, str]]) -> None:
    text = f'{{{default}"runtimes": {{"nvidia": {{"path": "nvidia-container-runtime", "runtimeArgs": []}}}}}}'
    files = {"/usr/bin/nvidia-container-runtime": ELF} if there else {}
    assert failures(ask(checks.DockerRuntimes, host(text, files=files))) == expected


def test_duplicates() -> None:
    result = ask(checks.DockerDuplicates, host('{"mtu": 1400,\n"mtu": 1500}'))
    (finding,) = result.failures
    assert (finding.subject, finding.line) == ("daemon.json mtu", 2)
    assert "lines 1 and 2: only line 2 counts" in finding.message
    assert ask(checks.DockerDuplicates, host('{"mtu": 1400}')).outcome is Outcome.PASS


def test_ignored_keys() -> None:
    result = ask(checks.DockerIgnoredKeys, host('{"insecure-registry": ["r"], "x": {"mtu": 1}}'))
    assert failures(result) == [
        ("daemon.json insecure-registry", "recommended"),
        ("daemon.json x.mtu", "recommended"),
    ]
    assert (
        ask(checks.DockerIgnoredKeys, host('{"proxies": {"http-proxy": "http://p"}}')).outcome is Outcome.PASS
    )


def test_null_booleans() -> None:
    result = ask(checks.DockerNullBooleans, host('{"iptables": null, "debug": null}'))
    assert failures(result) == [("daemon.json iptables", "recommended"), ("daemon.json debug", "info")]
    assert ask(checks.DockerNullBooleans, host('{"iptables": false}')).outcome is Outcome.PASS


# The file of a guide that many hosts were set up by, for docker 20.10.
GUIDE = """{ "debug" : true,
"max-concurrent-downloads": 10,
"log-opts": { "max-size": "300m", "max-file": "2" },
"exec-opts": ["native.cgroupdriver=systemd"],
"max-concurrent-downloads": 10, "max-concurrent-uploads": 5,
"storage-driver": "overlay2",
"insecure-registries": ["quay.io"],
"experimental" : true,
"data-root" : "/data/docker",
"live-restore": true,
"registry-mirrors": ["https://registry.docker-cn.com", "http://mirror.example.com", "https://docker.mirrors.ustc.edu.cn"]}
"""


def test_guide() -> None:
    for check in (checks.DockerDaemonJson, checks.DockerFlagConflict, checks.DockerStartRules):
        assert ask(check, host(GUIDE, "20.10.9")).outcome is Outcome.PASS
    assert failures(ask(checks.DockerDuplicates, host(GUIDE, "20.10.9"))) == [
        ("daemon.json max-concurrent-downloads", "recommended")
    ]


def test_daemon_json_a_folder() -> None:
    laid = {"/usr/bin/dockerd": "\x7fELF", "/etc/docker/daemon.json/": ""}
    (finding,) = ask(checks.DockerDaemonJson, FakeHost(laid, kind="root")).failures
    assert finding.value == "a folder"
