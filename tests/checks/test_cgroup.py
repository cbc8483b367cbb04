"""Checks of control groups."""

from __future__ import annotations

import importlib
import pathlib
import re
from typing import Any

import pytest
from cgroup_host import V2_MOUNT, failures, grub, live, only, package

from hostcheck import plugins
from hostcheck.check import Check
from hostcheck.finding import Outcome, Severity
from hostcheck.testing import Content, FakeHost, ask

checks: Any = importlib.import_module("hostcheck.checks.cgroup")


def every() -> list[type[Check]]:
    return [
        check
        for check in plugins.shipped(("cgroup.*", "controllers.*", "hierarchy.*"))
        if check.id != "hierarchy.writable"
    ]


@pytest.mark.parametrize("check", every(), ids=lambda check: str(check.id))
def test_a_healthy_host_is_quiet(check: type[Check]) -> None:
    for mode in ("v2", "v1"):
        result = ask(check, live(mode))
        assert result.outcome is not Outcome.ERROR, result.reason
        assert not [one for one in failures(result) if one[2] != "info"]


def test_mode_v2() -> None:
    result = ask(checks.CgroupMode, live())
    assert result.outcome is Outcome.PASS
    assert [(f.when, f.value) for f in result.findings] == [("now", "v2"), ("boot", "v2")]


def test_mode_v1_is_worth_knowing_and_no_more() -> None:
    result = ask(checks.CgroupMode, live("v1"))
    assert failures(result) == [("cgroup mode", "now", "info"), ("cgroup mode", "boot", "info")]


def test_mode_that_a_policy_does_not_accept() -> None:
    result = ask(checks.CgroupMode, live("v1"), accepted=["v2"])
    assert {one[2] for one in failures(result)} == {"required"}
    assert ask(checks.CgroupMode, live(), accepted=["v2"]).outcome is Outcome.PASS


def test_no_cgroups() -> None:
    bare = FakeHost({"/proc/self/mountinfo": "1 1 8:1 / / rw - ext4 x rw"})
    assert failures(ask(checks.CgroupMode, bare))[0] == ("cgroup mode", "now", "required")
    # The mount is hidden from a sandbox's list, and its files are there.
    hidden = live("v2", {"/proc/self/mountinfo": "1 1 8:1 / / rw - ext4 x rw"})
    assert ask(checks.CgroupMode, hidden).outcome is Outcome.PASS


def test_a_boot_that_fails_is_known_before() -> None:
    word = "systemd.unified_cgroup_hierarchy=0"
    result = ask(checks.CgroupMode, live("v2", grub(word), systemd="256.7"))
    found = only(result)
    assert (found.value, found.when, found.path, found.line) == (
        "boot-fails",
        "boot",
        "/boot/grub/grub.cfg",
        2,
    )
    assert result.severity is Severity.REQUIRED
    assert found.fix
    assert "update-grub" in found.fix["commands"]
    assert f"s/ *{re.escape(word).replace('=', '=')}" in found.fix["commands"][0].replace("\\_", "_")


@pytest.mark.parametrize("systemd", ["257.13", "258.1"])
def test_v1_that_is_asked_for_in_vain(systemd: str) -> None:
    word = "systemd.unified_cgroup_hierarchy=0"
    result = ask(checks.CgroupMode, live("v2", grub(word), systemd=systemd))
    assert failures(result) == [("systemd.unified_cgroup_hierarchy", "boot", "info")]
    forced = grub(f"{word} SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1")
    others = failures(ask(checks.CgroupMode, live("v2", forced, systemd="257.13")))
    assert ("cgroup mode change", "boot", "info") in others
    assert ("systemd.unified_cgroup_hierarchy", "boot", "info") not in others
    assert failures(ask(checks.CgroupMode, live("v2", grub("quiet"), systemd=systemd))) == []


def test_a_mode_that_changes() -> None:
    result = ask(checks.CgroupMode, live("v2", grub("systemd.unified_cgroup_hierarchy=0")))
    assert ("cgroup mode change", "boot", "info") in failures(result)


ENGINES = [
    # mode, package, version, subject, severity (None: passes)
    ("v1", "docker-ce", "5:28.5.2-1~debian", "docker", None),
    ("v1", "docker-ce", "5:29.0.1-1~debian", "docker", "recommended"),
    ("v1", "containerd.io", "2.1.4-1", "containerd", None),
    ("v1", "containerd.io", "2.2.0-1", "containerd", "recommended"),
    ("v1", "runc", "1.3.0-1", "runc", None),
    ("v1", "runc", "1.4.0-1", "runc", "recommended"),
    ("v1", "podman", "4.3.1", "podman", None),
    ("v1", "podman", "5.4.0", "podman", "recommended"),
    ("v1", "podman", "6.0.0", "podman", "required"),
    ("v1", "kubelet", "1.30.1-1.1", "kubelet", None),
    ("v1", "kubelet", "1.34.0-1.1", "kubelet", "recommended"),
    ("v1", "kubelet", "1.35.0-1.1", "kubelet", "required"),
    ("v2", "kubelet", "1.35.0-1.1", "kubelet", None),
    ("v2", "kubelet", "1.18.15-00", "kubelet", "required"),
    ("v2", "docker-ce", "5:29.0.1-1~debian", "cgroup mode", None),
]


@pytest.mark.parametrize(("mode", "name", "version", "subject", "severity"), ENGINES)
def test_engines(mode: str, name: str, version: str, subject: str, severity: str | None) -> None:
    result = ask(checks.CgroupEngines, live(mode, {"/var/lib/dpkg/status": package(name, version)}))
    assert [f.subject for f in result.findings] == [subject]
    assert [one[2] for one in failures(result)] == ([severity] if severity else [])


def test_kubelet_told_to_bear_v1() -> None:
    more: dict[str, Content] = {
        "/var/lib/dpkg/status": package("kubelet", "1.35.0-1.1"),
        "/var/lib/kubelet/config.yaml": "kind: KubeletConfiguration\nfailCgroupV1: false # for now\n",
    }
    result = ask(checks.CgroupEngines, live("v1", more))
    found = only(result)
    assert (str(result.severity), found.path, found.line) == (
        "recommended",
        "/var/lib/kubelet/config.yaml",
        2,
    )


def test_no_engine() -> None:
    assert ask(checks.CgroupEngines, live()).outcome is Outcome.SKIP


DOCKER: dict[str, Content] = {
    "/usr/bin/dockerd": b"\x7fELF",
    "/var/lib/dpkg/status": package("docker-ce", "5:20.10.24-3"),
}


@pytest.mark.parametrize(
    ("mode", "json", "driver"),
    [
        ("v2", "", "systemd"),
        ("v1", "", "cgroupfs"),
        ("v1", '{"exec-opts": ["native.cgroupdriver=systemd"]}', "systemd"),
        ("v2", '{"exec-opts": ["native.cgroupdriver=cgroupfs"]}', "cgroupfs"),
    ],
)
def test_driver(mode: str, json: str, driver: str) -> None:
    more = {**DOCKER, **({"/etc/docker/daemon.json": json} if json else {})}
    result = ask(checks.CgroupDriver, live(mode, more))
    assert [f.value for f in result.findings] == [driver]


@pytest.mark.parametrize(
    ("kubelet", "config", "agrees"),
    [
        ("1.23.17-00", "cgroupDriver: cgroupfs\n", False),
        ("1.23.17-00", "cgroupDriver: systemd\n", True),
        ("1.23.17-00", "kind: KubeletConfiguration\n", False),
        # From 1.24 on the kubelet no longer talks to dockerd by itself.
        ("1.28.0-1.1", "cgroupDriver: cgroupfs\n", True),
        (
            "1.28.0-1.1",
            "cgroupDriver: cgroupfs\ncontainerRuntimeEndpoint: unix:///run/cri-dockerd.sock\n",
            False,
        ),
    ],
)
def test_driver_of_the_kubelet(kubelet: str, config: str, agrees: bool) -> None:
    more: dict[str, Content] = {
        **DOCKER,
        "/var/lib/dpkg/status": package("docker-ce", "5:20.10.24-3") + package("kubelet", kubelet),
        "/etc/docker/daemon.json": '{"exec-opts": ["native.cgroupdriver=systemd"]}',
        "/var/lib/kubelet/config.yaml": config,
    }
    result = ask(checks.CgroupDriver, live("v2", more))
    assert (result.outcome is Outcome.PASS) == agrees
    if not agrees:
        assert only(result).subject == "kubelet cgroupDriver"


def test_namespace_mode() -> None:
    assert [f.value for f in ask(checks.CgroupNamespaceMode, live("v2", DOCKER)).findings] == ["private"]
    assert [f.value for f in ask(checks.CgroupNamespaceMode, live("v1", DOCKER)).findings] == ["host"]
    assert ask(checks.CgroupNamespaceMode, live()).outcome is Outcome.SKIP


def test_dropped_flags() -> None:
    assert ask(checks.CgroupV2DroppedFlags, live()).outcome is Outcome.PASS
    assert ask(checks.CgroupV2DroppedFlags, live("v1")).outcome is Outcome.SKIP


SEEN = {
    # Incident: the check and the subject that show it; what is missing here is shown by checks of another family.
    "alpine-openrc-cgroups-service-not-before-engine": ("cgroup.mode", "cgroup mode"),
    "android-cpuset-mounted-noprefix": ("hierarchy.mounts", "cpuset noprefix"),
    "cpu-controller-not-delegated-to-user": ("controllers.delegation", "user@.service cpu"),
    "docker-cpuset-stale-after-cpu-hotplug": (
        "controllers.cpuset",
        "/sys/fs/cgroup/cpuset/docker/cpuset.cpus",
    ),
    "kubelet-1-35-refuses-cgroup1": ("cgroup.engines", "kubelet"),
    "kubelet-before-1-19-on-cgroup2": ("cgroup.engines", "kubelet"),
    "kubelet-cgroup-driver-differs-from-docker": ("cgroup.driver", "kubelet cgroupDriver"),
    "name-systemd-cgroup-not-mounted": ("hierarchy.mounts", "name=systemd"),
    "rpi-dtb-disables-memory-kernel-ignores-enable": ("controllers.available", "memory"),
    "rpi-memory-cgroup-off-by-default": ("controllers.available", "memory"),
    "some-v1-controllers-in-use-beside-v2": ("controllers.available", "devices"),
    "swap-accounting-off-on-cgroup2-debian": ("controllers.swap_accounting", "swap accounting"),
}


def lay(entry: dict[str, Any]) -> FakeHost:
    """Lay an incident's facts over a healthy host."""
    facts = entry["facts"]
    now = facts.get("live") or {}
    more: dict[str, Content] = {}
    for path, content in (facts.get("files") or {}).items():
        link = re.match(r"-> (\S+) \(symlink\)$", str(content))
        more[path] = f"-> {link[1]}" if link else str(content)
    if now.get("mounts"):
        lines = [line.split() for line in now["mounts"]]
        more["/proc/self/mountinfo"] = "".join(
            f"{n} 1 0:{n} / {f[1]} rw - {f[2]} {f[0]} {f[3]}\n" for n, f in enumerate(lines, 60) if len(f) > 3
        ) + ("" if any("cgroup" in line for line in now["mounts"]) or entry["key"] in SEEN else V2_MOUNT)
    if now.get("cmdline"):
        more["/proc/cmdline"] = now["cmdline"]
    for command, text in (now.get("commands") or {}).items():
        if command.startswith("cat "):
            more[command[4:]] = str(text)
    kernel = facts.get("kernel") or {}
    release = str(kernel.get("release") or "6.1.0-18-amd64")
    more["/proc/sys/kernel/osrelease"] = release
    if kernel.get("config"):
        more[f"/boot/config-{release}"] = "".join(
            f"CONFIG_{k.removeprefix('CONFIG_')}={v}\n" for k, v in kernel["config"].items()
        )
    packages = {**(facts.get("packages") or {})}
    systemd = str(packages.pop("systemd", "252.1"))
    more["/var/lib/dpkg/status"] = "".join(package(name, str(version)) for name, version in packages.items())
    host = live("v2", more, systemd)
    if entry["key"] == "alpine-openrc-cgroups-service-not-before-engine":
        host.files.pop("/sys/fs/cgroup/cgroup.controllers")
    return host


def test_incidents(corpora: pathlib.Path) -> None:
    yaml = pytest.importorskip("yaml")
    entries = yaml.safe_load((corpora / "incidents" / "incidents.yaml").read_text())
    entries = entries if isinstance(entries, list) else entries["incidents"]
    shown = 0
    loud = []
    for entry in entries:
        if entry["key"] not in SEEN and not (entry["trap"] and entry["area"] in ("cgroup", "boot")):
            continue
        results = [ask(check, lay(entry)) for check in every()]
        assert not [r.reason for r in results if r.outcome is Outcome.ERROR], entry["key"]
        bad = {(r.check, f.subject): r.severity_of(f) for r in results for f in r.findings if not f.ok}
        if entry["trap"]:
            loud += [(entry["key"], key) for key, severity in bad.items() if severity is not Severity.INFO]
        else:
            assert SEEN[entry["key"]] in bad, (entry["key"], bad)
            shown += 1
    print(f"incidents of control groups: {shown} of {len(SEEN)} shown, {len(loud)} false alarms on traps")
    assert shown == len(SEEN)
    assert not loud
