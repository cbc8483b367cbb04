"""Checks of control groups."""

from __future__ import annotations

import importlib
import pathlib
import re
from typing import Any

import pytest

from hostcheck.check import Check
from hostcheck.finding import Finding, Outcome, Result, Severity
from hostcheck.testing import Content, FakeHost, ask

checks: Any = importlib.import_module("hostcheck.checks.cgroup")

V2_MOUNT = "31 1 0:31 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
V1_NAMES = (
    "cpu,cpuacct",
    "cpuset",
    "memory",
    "pids",
    "blkio",
    "devices",
    "freezer",
    "hugetlb",
    "name=systemd",
)


def v1_mounts(*names: str) -> str:
    lines = ["30 1 0:30 / /sys/fs/cgroup rw - tmpfs tmpfs rw"]
    for number, name in enumerate(names, 40):
        folder = name.partition("=")[2] or name
        lines.append(f"{number} 30 0:{number} / /sys/fs/cgroup/{folder} rw - cgroup cgroup rw,{name}")
    return "\n".join(lines) + "\n"


def table(**off: int) -> str:
    names = ("cpu", "cpuacct", "cpuset", "memory", "pids", "blkio", "devices", "freezer", "hugetlb")
    rows = [f"{name}\t{n}\t1\t{off.get(name, 1)}" for n, name in enumerate(names, 1)]
    return "#subsys_name\thierarchy\tnum_cgroups\tenabled\n" + "\n".join(rows) + "\n"


def live(mode: str = "v2", more: dict[str, Content] | None = None, systemd: str = "252.1") -> FakeHost:
    files: dict[str, Content] = {
        "/etc/os-release": "ID=debian\nVERSION_ID=12\n",
        "/sbin/init": "-> /lib/systemd/systemd",
        "/lib/systemd/systemd": b"\x7fELF default-hierarchy=" + (b"unified" if mode == "v2" else b"legacy"),
        "/var/lib/dpkg/status": f"Package: systemd\nStatus: install ok installed\nVersion: {systemd}-1\n\n",
        "/proc/1/comm": "systemd\n",
        "/proc/cmdline": "BOOT_IMAGE=/vmlinuz ro quiet\n",
        "/proc/sys/kernel/osrelease": "6.1.0-18-amd64\n",
        "/proc/self/mountinfo": V2_MOUNT if mode == "v2" else v1_mounts(*V1_NAMES),
        "/proc/cgroups": table(),
    }
    if mode == "v2":
        files["/sys/fs/cgroup/cgroup.controllers"] = "cpuset cpu io memory hugetlb pids\n"
    extra = dict(more or {})
    status = str(files["/var/lib/dpkg/status"]) + str(extra.pop("/var/lib/dpkg/status", ""))
    return FakeHost({**files, **extra, "/var/lib/dpkg/status": status})


def package(name: str, version: str) -> str:
    return f"Package: {name}\nStatus: install ok installed\nVersion: {version}\n\n"


def failures(result: Result) -> list[tuple[str, str, str]]:
    return [(f.subject, f.when, str(result.severity_of(f))) for f in result.findings if not f.ok]


def only(result: Result) -> Finding:
    found = result.failures
    assert len(found) == 1, found
    return found[0]


def every() -> list[type[Check]]:
    return [
        c for c in vars(checks).values() if isinstance(c, type) and issubclass(c, Check) and c is not Check
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


def grub(word: str) -> dict[str, Content]:
    return {
        "/boot/grub/grub.cfg": f"menuentry A {{\n linux /vmlinuz-6.1.0-18-amd64 ro {word}\n}}\n",
        "/etc/default/grub": f'GRUB_CMDLINE_LINUX="{word}"\n',
    }


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


CONTROLLERS: list[tuple[str, dict[str, Content], list[tuple[str, str, str]]]] = [
    ("v1", {"/proc/self/mountinfo": v1_mounts(*(n for n in V1_NAMES if n != "devices"))},
     [("devices", "now", "required")]),
    ("v1", {"/proc/cgroups": table(memory=0)}, [("memory", "now", "recommended")]),
    ("v2", {"/sys/fs/cgroup/cgroup.controllers": "cpuset cpu io memory hugetlb\n"}, [("pids", "now", "recommended")]),
    ("v2", {"/sys/fs/cgroup/cgroup.controllers": "cpuset cpu memory pids\n"},
     [("io", "now", "info"), ("hugetlb", "now", "info")]),
    # A row that is missing says nothing of v2.
    ("v2", {"/proc/cgroups": "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t0\t1\t1\n"}, []),
    ("v2", {"/sys/fs/cgroup/cgroup.controllers": "cpuset cpu io hugetlb pids\n",
            "/var/lib/dpkg/status": package("kubelet", "1.34.0")}, [("memory", "now", "required")]),
    ("v2", grub("cgroup_disable=memory"), [("memory", "boot", "recommended")]),
]  # fmt: skip


@pytest.mark.parametrize(("mode", "more", "expected"), CONTROLLERS)
def test_controllers(mode: str, more: dict[str, Content], expected: list[tuple[str, str, str]]) -> None:
    result = ask(checks.CgroupControllers, live(mode, more))
    assert failures(result) == expected


def test_controllers_that_a_policy_requires() -> None:
    host = live("v2", {"/sys/fs/cgroup/cgroup.controllers": "cpuset cpu io hugetlb pids\n"})
    assert failures(ask(checks.CgroupControllers, host, required=["memory"])) == [
        ("memory", "now", "required")
    ]


PI: dict[str, Content] = {
    "/boot/firmware/cmdline.txt": "console=tty1 root=PARTUUID=1-02 rootwait\n",
    "/proc/cmdline": "cgroup_disable=memory console=tty1 root=PARTUUID=1-02 rootwait\n",
    "/proc/sys/kernel/osrelease": "6.6.31+rpt-rpi-v8\n",
    "/proc/cgroups": table(memory=0),
}


def test_memory_on_a_raspberry_pi() -> None:
    found = only(ask(checks.CgroupControllers, live("v2", PI)))
    assert found.fix
    assert found.fix["commands"] == [
        "sed -i '1 s/$/ cgroup_enable=memory/' /boot/firmware/cmdline.txt",
        "reboot",
    ]


def test_a_device_tree_that_a_distribution_kernel_cannot_overrule() -> None:
    words = "cgroup_disable=memory root=PARTUUID=1-02 cgroup_enable=memory"
    more = {**PI, "/proc/cmdline": words, "/proc/sys/kernel/osrelease": "6.1.0-18-arm64\n",
            "/boot/firmware/cmdline.txt": "root=PARTUUID=1-02 cgroup_enable=memory\n"}  # fmt: skip
    found = only(ask(checks.CgroupControllers, live("v2", more)))
    assert found.fix
    assert "device tree" in found.fix["hint"]


MOUNTS: list[tuple[str, dict[str, Content], list[tuple[str, str, str]]]] = [
    ("one mount for all", {"/proc/self/mountinfo": "31 1 0:31 / /sys/fs/cgroup rw - cgroup cgroup rw,memory,devices"},
     [("/sys/fs/cgroup", "now", "required")]),
    ("no name=systemd", {"/proc/1/comm": "init\n", "/proc/self/mountinfo": v1_mounts("cpu", "memory", "devices")},
     [("name=systemd", "now", "recommended")]),
    ("openrc's own", {"/proc/1/comm": "init\n", "/proc/self/mountinfo": v1_mounts("memory", "name=openrc")}, []),
    ("android", {"/proc/self/mountinfo": v1_mounts("memory", "cpuset,noprefix")},
     [("cpuset noprefix", "now", "required")]),
    ("android, new runc", {"/proc/self/mountinfo": v1_mounts("memory", "cpuset,noprefix"),
                           "/var/lib/dpkg/status": package("runc", "1.3.0-1")}, []),
]  # fmt: skip


@pytest.mark.parametrize(("name", "more", "expected"), MOUNTS)
def test_hierarchy_mounts(name: str, more: dict[str, Content], expected: list[tuple[str, str, str]]) -> None:
    assert failures(ask(checks.CgroupHierarchyMounts, live("v1", more))) == expected


def test_hierarchy_mounts_only_of_v1() -> None:
    assert ask(checks.CgroupHierarchyMounts, live()).outcome is Outcome.SKIP


@pytest.mark.parametrize(
    ("systemd", "more", "missing"),
    [
        ("249.11", {}, {"user@.service cpu", "user@.service cpuset"}),
        ("252.1", {}, {"user@.service cpuset"}),
        ("252.1", {"/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/cgroup.controllers": "memory pids\n"},
         {"user@.service cpu", "user@.service cpuset"}),
        ("243.1", {}, {"systemd cpuset delegation", "user@.service cpu", "user@.service cpuset"}),
        ("252.1", {"/usr/lib/systemd/system/user@.service": "[Service]\nDelegate=pids memory cpu\nExecStart=/x\n",
                   "/etc/systemd/system/user@.service.d/d.conf": "[Service]\nDelegate=cpu cpuset io memory pids\n"},
         set()),
    ],
)  # fmt: skip
def test_delegation(systemd: str, more: dict[str, Content], missing: set[str]) -> None:
    result = ask(checks.CgroupDelegation, live("v2", more, systemd))
    assert {f.subject for f in result.failures} == missing


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


SLICE = "/sys/fs/cgroup/system.slice"
SWAP: list[tuple[str, dict[str, Content], str | None]] = [
    ("v2", {}, "on"),
    ("v2", {"/proc/cmdline": "swapaccount=0"}, "off"),
    ("v2", {f"{SLICE}/memory.max": "max", f"{SLICE}/memory.swap.max": "max"}, "on"),
    ("v2", {f"{SLICE}/memory.max": "max"}, "off"),
    ("v1", {"/sys/fs/cgroup/memory/memory.limit_in_bytes": "1"}, "off"),
    ("v2", {"/proc/sys/kernel/osrelease": "4.19.0-1-amd64",
            "/boot/config-4.19.0-1-amd64": "CONFIG_MEMCG=y\nCONFIG_MEMCG_SWAP=y\n"}, "off"),
    ("v2", {"/proc/sys/kernel/osrelease": "5.4.0-1", "/proc/cmdline": "swapaccount=1"}, "on"),
    ("v2", {"/proc/sys/kernel/osrelease": "5.10.0-3-amd64",
            "/boot/config-5.10.0-3-amd64": "CONFIG_MEMCG=y\nCONFIG_MEMCG_SWAP=y\n"}, "on"),
    ("v2", {"/proc/sys/kernel/osrelease": "5.10.0-3-amd64"}, None),
]  # fmt: skip


@pytest.mark.parametrize(("mode", "more", "expected"), SWAP)
def test_swap_accounting(mode: str, more: dict[str, Content], expected: str | None) -> None:
    result = ask(checks.CgroupSwapAccounting, live(mode, more))
    assert [f.value for f in result.findings] == ([expected] if expected else [])
    assert result.severity is Severity.INFO
    if expected is None:
        assert result.outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("part", "outcome"),
    [("0-7\n", Outcome.PASS), ("0-1\n", Outcome.FAIL), ("0-3,4-7\n", Outcome.PASS), ("", Outcome.SKIP)],
)
def test_cpuset(part: str, outcome: Outcome) -> None:
    top = "/sys/fs/cgroup/cpuset"
    more: dict[str, Content] = {f"{top}/cpuset.cpus": "0-7\n", f"{top}/docker/cpuset.cpus": part}
    assert ask(checks.CgroupCpuset, live("v1", more)).outcome is outcome


SEEN = {
    # Incident: the check and the subject that show it; what is missing here is shown by checks of another family.
    "alpine-openrc-cgroups-service-not-before-engine": ("cgroup.mode", "cgroup mode"),
    "android-cpuset-mounted-noprefix": ("cgroup.hierarchy_mounts", "cpuset noprefix"),
    "cpu-controller-not-delegated-to-user": ("cgroup.delegation", "user@.service cpu"),
    "docker-cpuset-stale-after-cpu-hotplug": ("cgroup.cpuset", "/sys/fs/cgroup/cpuset/docker/cpuset.cpus"),
    "kubelet-1-35-refuses-cgroup1": ("cgroup.engines", "kubelet"),
    "kubelet-before-1-19-on-cgroup2": ("cgroup.engines", "kubelet"),
    "kubelet-cgroup-driver-differs-from-docker": ("cgroup.driver", "kubelet cgroupDriver"),
    "name-systemd-cgroup-not-mounted": ("cgroup.hierarchy_mounts", "name=systemd"),
    "rpi-dtb-disables-memory-kernel-ignores-enable": ("cgroup.controllers", "memory"),
    "rpi-memory-cgroup-off-by-default": ("cgroup.controllers", "memory"),
    "some-v1-controllers-in-use-beside-v2": ("cgroup.controllers", "devices"),
    "swap-accounting-off-on-cgroup2-debian": ("cgroup.swap_accounting", "swap accounting"),
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
