"""containerd's configuration: what Kubernetes needs of it, and what docker does not."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import pytest

from hostcheck.finding import Outcome, Result
from hostcheck.testing import Content, FakeHost, ask

containerd: Any = importlib.import_module("hostcheck.checks.containerd")

ELF = b"\x7fELF" + bytes(60)
PATH = "/etc/containerd/config.toml"
KUBELET = "/var/lib/kubelet/config.yaml"
V2 = "30 23 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = (
    "30 23 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755\n"
    "32 30 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
)


def host(
    packages: Mapping[str, str] | None = None,
    files: Mapping[str, Content] | None = None,
    mounts: str = V2,
    **more: Any,
) -> FakeHost:
    status = "\n".join(
        f"Package: {name}\nStatus: install ok installed\nVersion: {text}\n"
        for name, text in (packages or {"containerd": "1.7.24~ds1-6"}).items()
    )
    return FakeHost({"/var/lib/dpkg/status": status, "/proc/self/mountinfo": mounts, **(files or {})}, **more)


def said(result: Result) -> dict[str, str]:
    return {finding.subject: str(result.severity_of(finding)) for finding in result.failures}


CHECKS = (
    containerd.ContainerdConfig,
    containerd.ContainerdCri,
    containerd.ContainerdCgroupDriver,
    containerd.ContainerdVersion,
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_before_containerd(check: Any) -> None:
    assert ask(check, FakeHost({PATH: "junk ="})).outcome is Outcome.SKIP


@pytest.mark.parametrize("kind", ["live", "root"])
def test_no_file_is_the_defaults(kind: str) -> None:
    for check in CHECKS[:3]:
        assert ask(check, host(kind=kind)).outcome is Outcome.SKIP, check.id


def test_a_file_that_is_no_toml() -> None:
    bad = host({"containerd": "1.7", "kubelet": "1.30.0-1.1"}, {PATH: "version = 2\nroot = /data\n"})
    result = ask(containerd.ContainerdConfig, bad)
    assert said(result) == {"config.toml": "required"}
    assert (result.failures[0].path, result.failures[0].line) == (PATH, 2)
    # Said once: the others do not know.
    for check in CHECKS[1:3]:
        assert ask(check, bad).outcome is Outcome.UNKNOWN, check.id


@pytest.mark.parametrize(
    "release, text, expected",
    [
        # An old format with a new containerd looks broken, and is not.
        ("2.0.0", 'version = 2\n[plugins."io.containerd.grpc.v1.cri".registry]\n  config_path = "/x"\n', {}),
        ("2.0.0", 'disabled_plugins = ["cri"]\n', {}),
        ("1.6.20", "version = 3\n", {"config.toml version": "recommended"}),
        (
            "1.7.24",
            '[plugins."io.containerd.grpc.v1.cri"]\n  x = 1\n',
            {"config.toml plugins io.containerd.grpc.v1.cri": "recommended"},
        ),
        (
            "2.1.5",
            'version = 3\n[plugins."io.containerd.grpc.v1.cri"]\n  x = 1\n',
            {"config.toml plugins io.containerd.grpc.v1.cri": "recommended"},
        ),
        (
            "2.1.5",
            'version = 2\n[plugins."io.containerd.grpc.v1.cri".containerd.untrusted_workload_runtime]\n'
            'runtime_type = "io.containerd.runtime.v1.linux"\n',
            {
                "config.toml untrusted_workload_runtime": "recommended",
                "config.toml runtime_type": "recommended",
            },
        ),
        (
            "1.7.24",
            'version = 2\n[plugins."io.containerd.grpc.v1.cri".containerd.untrusted_workload_runtime]\n'
            'runtime_type = "io.containerd.runtime.v1.linux"\n',
            {},
        ),
        # The runtime of every container that asks for none.
        (
            "2.1.5",
            'version = 2\n[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]\n'
            'runtime_type = "io.containerd.runtime.v1.linux"\n',
            {"config.toml runtime_type": "required"},
        ),
        # What `containerd config default` of 1.x writes, with nothing in it.
        ("2.1.5", 'version = 2\n[plugins."io.containerd.grpc.v1.cri"]\nsystemd_cgroup = false\n', {}),
        ("1.7.24", "version = 2\nplugins = 7\n", {"config.toml plugins": "required"}),
        ("1.7.24", 'version = 2\ndisabled_plugins = "cri"\n', {"config.toml disabled_plugins": "required"}),
        ("1.7.24", 'version = 2\n[grpc]\nuid = "root"\n', {"config.toml grpc.uid": "required"}),
        ("1.7.24", "version = 2\n[grpc]\nuid = 0\nmax_recv_message_size = 16777216\n", {}),
        (
            "2.1.5",
            "version = 3\n[grpc]\nmax_recv_message_size = 1\n",
            {"config.toml grpc.max_recv_message_size": "required"},
        ),
        (
            "2.1.5",
            'version = 3\n[metrics]\ngrpc_histogram = "no"\n',
            {"config.toml metrics.grpc_histogram": "required"},
        ),
        (
            "2.1.5",
            'version = 3\n[timeouts]\n"io.containerd.timeout.shim.load" = "5"\n',
            {"config.toml timeouts.io.containerd.timeout.shim.load": "required"},
        ),
        ("2.1.5", 'version = 3\n[timeouts]\n"io.containerd.timeout.shim.load" = "5s"\n', {}),
    ],
)
def test_config(release: str, text: str, expected: dict[str, str]) -> None:
    assert said(ask(containerd.ContainerdConfig, host({"containerd": release}, {PATH: text}))) == expected


OFF = {PATH: '#comment\ndisabled_plugins = ["cri"]\n'}


@pytest.mark.parametrize(
    "packages, files, parameter, fails",
    [
        # The packaged default: harmless where only docker uses it.
        ({"docker-ce": "5:23.0.1-1", "containerd.io": "1.6.18-1"}, OFF, "auto", False),
        ({"containerd.io": "1.6.6-3.1", "kubelet": "1.24.3-0"}, OFF, "auto", True),
        ({"containerd.io": "1.6.6-3.1"}, {**OFF, KUBELET: "kind: x\n"}, "auto", True),
        ({"containerd.io": "1.6.6-3.1", "kubelet": "1.24.3-0"}, OFF, "no", False),
        ({"containerd.io": "1.6.6-3.1"}, OFF, "yes", True),
        ({"containerd.io": "1.6.6-3.1"}, {PATH: 'disabled_plugins = ["btrfs"]\n'}, "yes", False),
        ({"containerd.io": "1.6.6-3.1"}, {PATH: "disabled_plugins = []\n"}, "yes", False),
    ],
)
def test_cri(packages: dict[str, str], files: dict[str, Content], parameter: str, fails: bool) -> None:
    for kind in ("live", "root"):
        result = ask(containerd.ContainerdCri, host(packages, files, kind=kind), kubernetes=parameter)
        assert said(result) == ({"disabled_plugins": "required"} if fails else {})
        if fails:
            assert (result.failures[0].line, result.failures[0].when) == (2, "boot")


def test_a_switch_that_keeps_the_plugin_from_loading() -> None:
    text = 'version = 2\n[plugins."io.containerd.grpc.v1.cri"]\n  systemd_cgroup = true\n'
    kubernetes = {"containerd": "1.7.24", "kubelet": "1.30"}
    assert said(ask(containerd.ContainerdCri, host(kubernetes, {PATH: text}))) == {
        "systemd_cgroup": "required"
    }
    assert said(ask(containerd.ContainerdCri, host({"containerd": "1.7.24"}, {PATH: text}))) == {
        "systemd_cgroup": "info"
    }
    new = {"containerd": "2.1.5", "kubelet": "1.30"}
    assert said(ask(containerd.ContainerdCri, host(new, {PATH: text}))) == {}


def driver(on: str) -> str:
    return (
        'version = 2\n[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]\n'
        f"  SystemdCgroup = {on}\n"
    )


@pytest.mark.parametrize(
    "release, kubelet, text, config, mounts, expected",
    [
        ("1.6.6", "1.24.0", driver("false"), "cgroupDriver: systemd\n", V2, "required"),
        ("1.6.6", "1.24.0", driver("true"), "cgroupDriver: systemd\n", V2, None),
        ("1.6.6", "1.24.0", driver("true"), 'cgroupDriver: "cgroupfs"\n', V2, "required"),
        ("1.6.6", "1.24.0", driver("false"), "cgroupDriver: cgroupfs\n", V2, None),
        ("1.6.6", "1.24.0", driver("false"), "cgroupDriver: systemd\n", V1, "recommended"),
        # No line: kubeadm writes one, the kubelet's own default is cgroupfs.
        ("1.6.6", "1.24.0", driver("false"), "kind: KubeletConfiguration\n", V2, None),
        # Before kubeadm has written the file: its default.
        ("1.6.6", "1.24.0", driver("false"), None, V2, "recommended"),
        ("1.6.6", "1.24.0", None, None, V2, "recommended"),
        ("1.6.6", "1.24.0", None, "cgroupDriver: systemd\n", V2, "required"),
        # The two agree by themselves.
        ("2.0.0", "1.31.0", driver("true"), "cgroupDriver: cgroupfs\n", V2, None),
        ("2.0.0", "1.31.0", driver("false"), "cgroupDriver: systemd\n", V2, "recommended"),
        ("2.0.0", "1.30.0", driver("false"), "cgroupDriver: systemd\n", V2, "required"),
        ("1.7.24", "1.31.0", driver("false"), "cgroupDriver: systemd\n", V2, "required"),
    ],
)
def test_cgroup_driver(
    release: str, kubelet: str, text: str | None, config: str | None, mounts: str, expected: str | None
) -> None:
    files: dict[str, Content] = {}
    if text is not None:
        files[PATH] = text
    if config is not None:
        files[KUBELET] = config
    result = ask(
        containerd.ContainerdCgroupDriver, host({"containerd": release, "kubelet": kubelet}, files, mounts)
    )
    assert said(result).get("SystemdCgroup") == expected, (result.outcome, result.reason)
    if expected:
        assert result.failures[0].fix is not None
        assert result.failures[0].fix["commands"][-1] == "systemctl restart containerd kubelet"


def test_cgroup_driver_is_no_question_for_docker() -> None:
    result = ask(containerd.ContainerdCgroupDriver, host({"docker-ce": "5:28", "containerd.io": "1.7"}, OFF))
    assert result.outcome is Outcome.SKIP
    # Nor for a kubelet of the time when it talked to docker.
    old = {"docker-ce": "5:19.03.2~3-0", "containerd.io": "1.2.6-3", "kubelet": "1.15.3-00"}
    assert ask(containerd.ContainerdCgroupDriver, host(old)).outcome is Outcome.SKIP
    assert ask(containerd.ContainerdCgroupDriver, host({**old, "kubelet": "1.24.0"})).outcome is Outcome.FAIL


@pytest.mark.parametrize(
    "packages, today, expected",
    [
        ({"containerd.io": "1.6.33-1"}, "2025-08-01", {}),
        ({"containerd.io": "1.6.33-1"}, "2025-08-24", {"containerd": "recommended"}),
        ({"containerd": "1.6.20~ds1-1"}, "2026-09-01", {}),
        ({"containerd.io": "2.3.0-1"}, "2026-09-01", {}),
        # A series that the table does not know yet.
        ({"containerd.io": "2.9.0-1"}, "2040-01-01", {}),
        ({"containerd": "1.7.24", "kubelet": "1.32.1"}, "2026-01-01", {}),
        ({"containerd": "1.7.20", "kubelet": "1.32.1"}, "2026-01-01", {"containerd kubernetes": "info"}),
        ({"containerd": "2.0.0", "kubelet": "1.31.1"}, "2026-01-01", {}),
        ({"containerd": "2.1.5", "kubelet": "1.30.1"}, "2026-01-01", {}),
        ({"containerd": "1.6.20", "kubelet": "1.35.0"}, "2026-01-01", {"containerd kubernetes": "info"}),
        ({"containerd": "1.5.0", "kubelet": "1.20.0"}, "2026-01-01", {}),
    ],
)
def test_version(packages: dict[str, str], today: str, expected: dict[str, str]) -> None:
    assert said(ask(containerd.ContainerdVersion, host(packages), date=today)) == expected


def test_version_that_cannot_be_told() -> None:
    unknown = FakeHost({"/usr/bin/containerd": ELF}, kind="root")
    assert ask(containerd.ContainerdVersion, unknown).outcome is Outcome.UNKNOWN
