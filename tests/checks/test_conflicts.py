"""Releases that do not go together: each row of the table on a host that has it, and on one just beside."""

from __future__ import annotations

import importlib
from typing import Any

import engine_programs
import pytest

from hostcheck.finding import Outcome, Severity
from hostcheck.host import Unavailable
from hostcheck.testing import Content, FakeHost, ask
from hostcheck.versions import Version

conflicts: Any = importlib.import_module("hostcheck.checks.conflicts")
CONFLICTS: Any = conflicts.CONFLICTS
RELEASES: Any = conflicts.RELEASES

ELF = b"\x7fELF\x02\x01\x01" + bytes(57)

V1 = "cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n"
V2 = "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n"

PRINTED = {
    "runc": "runc version {}",
    "dockerd": "Docker version {}, build 1",
    "iptables": "iptables v{} (nf_tables)",
    "kubelet": "Kubernetes v{}",
    "podman": "podman version {}",
    "crun": "crun version {}",
}


def host(versions: dict[str, str], mounts: str = V2, **files: Content) -> FakeHost:
    """Make a running host with these programs, packages and kernel (`linux`)."""
    laid: dict[str, Content] = {
        "/proc/self/mounts": mounts,
        "/proc/mounts": mounts,
        "/proc/cmdline": files.pop("cmdline", "ro quiet\n"),
        "/proc/sys/kernel/osrelease": versions.get("linux", "6.12.1") + "\n",
    }
    commands: dict[tuple[str, ...], str] = {}
    status = []
    for name, version in versions.items():
        if name in PRINTED:
            laid[f"/usr/bin/{name}"] = ELF
            commands[f"/usr/bin/{name}", "--version"] = PRINTED[name].format(version)
            commands[name, "--version"] = PRINTED[name].format(version)
        elif name != "linux":
            status.append(f"Package: {name}\nStatus: install ok installed\nVersion: {version}\n")
    laid["/var/lib/dpkg/status"] = "\n".join(status)
    laid.update({"/" + name.replace("__", "/"): content for name, content in files.items()})
    return FakeHost(laid, commands=commands)


Row = tuple[str, dict[str, str], dict[str, Content]]

APPARMOR: dict[str, Content] = {
    "cmdline": "ro apparmor=1 security=apparmor\n",
    "boot__config-6.12.1": 'CONFIG_SECURITY_APPARMOR=y\nCONFIG_LSM="apparmor"\n',
}

CNI: dict[str, Content] = {"etc__cni__net.d__a.conflist": '{"cniVersion": "1.0.0", "plugins": []}'}
OWN_RUNTIME: dict[str, Content] = {
    "etc__docker__daemon.json": '{"default-runtime": "own", "runtimes": {"own": {"path": "own"}}}'
}
PLUGIN: dict[str, Content] = {"var__lib__docker__plugins__6ba5a7b4c0c6f1d2e3a4__config.json": "{}"}
HYBRID = f"{V1}cgroup /sys/fs/cgroup/systemd cgroup2 rw 0 0\n"
MANY: dict[str, Content] = {"sys__devices__system__cpu__possible": "0-127\n"}
ENFORCING: dict[str, Content] = {"etc__selinux__config": "SELINUX=enforcing\n"}

HIT: list[Row] = [
    ("dockerd default runtime", {"dockerd": "20.10.1"}, {**OWN_RUNTIME, **PLUGIN}),
    ("runc seccomp errno", {"dockerd": "20.10.12", "runc": "1.0.0-rc10"}, {}),
    ("runc container-selinux", {"runc": "1.0.0", "container-selinux": "2:2.163.0-2.fc34"}, ENFORCING),
    ("runc systemd hierarchy", {"systemd": "232-1", "runc": "1.0.0-rc2"}, {"mounts": HYBRID}),
    ("linux veth queues", {"linux": "6.1.55", "dockerd": "24.0.5"}, MANY),
    ("runc kernel memory limit", {"linux": "5.16.11-1-generic", "runc": "1.0.0-rc92"}, {"mounts": V1}),
    (
        "kubelet kernel memory statistics",
        {"linux": "6.1.54", "runc": "1.1.9", "kubelet": "1.28.2"},
        {"mounts": V1},
    ),
    ("runc relative mounts", {"runc": "1.0.0-rc95", "containerd.io": "1.4.6-1"}, {}),
    ("runc nvidia", {"runc": "1.1.5"}, {"usr__bin__nvidia-ctk": ELF}),
    ("runc terminals", {"runc": "1.1.3"}, {}),
    ("nvidia on control groups v2", {"libnvidia-container1": "1.3.1-1"}, {}),
    ("kubelet iptables mark", {"iptables": "1.8.8", "kubelet": "1.25.0"}, {}),
    ("kubelet iptables duplicates", {"iptables": "1.8.2", "kubelet": "1.14.1"}, {}),
    ("k3s iptables duplicates", {"iptables": "1.8.4"}, {"usr__local__bin__k3s": ELF}),
    ("dockerd ipv6.disable", {"dockerd": "20.10.6"}, {"cmdline": "ro ipv6.disable=1\n"}),
    ("dockerd 28.0.0 ipv6.disable", {"dockerd": "28.0.0"}, {"cmdline": "ro ipv6.disable=1\n"}),
    ("dockerd ip_set", {"dockerd": "28.0.0", "linux": "6.6.1"}, {"boot__config-6.6.1": "CONFIG_NET=y\n"}),
    ("dockerd apparmor runc profile", {"docker-ce": "5:24.0.7-1"}, {"etc__apparmor.d__runc": "profile\n"}),
    ("dockerd apparmor parser", {"dockerd": "23.0.0"}, APPARMOR),
    ("overlay layers in use", {"linux": "4.19.65-coreos", "dockerd": "18.06.3"}, {}),
    (
        "containerd apparmor runc profile",
        {"containerd.io": "1.6.31-1"},
        {"etc__apparmor.d__runc": "profile\n"},
    ),
    (
        "k3s network policies",
        {"linux": "6.6.1"},
        {"usr__local__bin__k3s": ELF, "boot__config-6.6.1": "CONFIG_NET=y\n"},
    ),
    (
        "container-selinux docker-ce",
        {"container-selinux": "2:2.77-1.el7_6", "docker-ce": "3:18.09.1-3.el7"},
        {"etc__selinux__config": "SELINUX=enforcing\n"},
    ),
    ("seccomp time64", {"libseccomp2": "2.3.3-4"}, {"lib__ld-linux-armhf.so.3": ELF}),
    ("seccomp clone3", {"dockerd": "20.10.8"}, {}),
    ("seccomp faccessat2", {"dockerd": "19.03.15"}, {}),
    ("podman crun", {"podman": "5.6.2", "crun": "1.14.1"}, {}),
    ("crun chmod", {"linux": "6.5.0-1015-azure", "crun": "0.17"}, {}),
    ("crun bpf", {"linux": "5.10.0-26-amd64", "crun": "1.14"}, {}),
    ("crun pidfd", {"linux": "4.19.0-12-amd64", "crun": "0.15"}, {}),
    ("kube-proxy legacy tables", {"iptables": "1.8.4", "kubelet": "1.16.15"}, {}),
    (
        "kube-proxy conntrack",
        {"linux": "5.12.2-arch1-1"},
        {
            "usr__bin__kind": ELF,
            "proc__sys__net__netfilter__nf_conntrack_max": "65536\n",
            "proc__cpuinfo": "processor\t: 0\n",
        },
    ),
    (
        "kube-proxy conntrack",
        {"linux": "6.1.0-13-amd64"},
        {
            "run__systemd__container": "lxc\n",
            "var__lib__kubelet__config.yaml": "kind: KubeletConfiguration\n",
            "proc__sys__net__netfilter__nf_conntrack_max": "262144\n",
            "sys__devices__system__cpu__online": "0-31\n",
        },
    ),
    ("k3s iptables check", {"iptables": "1.8.10"}, {"usr__local__bin__k3s": ELF}),
    ("network files of CNI", {"containernetworking-plugins": "0.9.1+ds1-1"}, CNI),
    (
        "podman AppArmor signals",
        {"podman": "4.9.3+ds1-1build2"},
        {"etc__apparmor.d__crun": "profile crun /usr/bin/crun flags=(unconfined) {}\n"},
    ),
]

BESIDE: list[Row] = [
    ("dockerd default runtime", {"dockerd": "20.10.1"}, OWN_RUNTIME),
    ("dockerd default runtime", {"dockerd": "20.10.1"}, PLUGIN),
    ("dockerd default runtime", {"dockerd": "20.10.4"}, {**OWN_RUNTIME, **PLUGIN}),
    ("runc seccomp errno", {"dockerd": "20.10.9", "runc": "1.0.0-rc10"}, {}),
    ("runc seccomp errno", {"dockerd": "20.10.12", "runc": "1.0.0-rc93"}, {}),
    ("runc container-selinux", {"runc": "1.0.0", "container-selinux": "2:2.165.1-1.fc34"}, ENFORCING),
    ("runc container-selinux", {"runc": "1.0.0", "container-selinux": "2:2.163.0-2.fc34"}, {}),
    ("runc systemd hierarchy", {"systemd": "232-1", "runc": "1.0.0-rc2"}, {"mounts": V1}),
    ("linux veth queues", {"linux": "6.1.55", "dockerd": "24.0.5"}, {}),
    (
        "linux veth queues",
        {"linux": "6.1.55", "dockerd": "24.0.5"},
        {"sys__devices__system__cpu__possible": "0-7\n"},
    ),
    ("linux veth queues", {"linux": "6.1.81", "dockerd": "24.0.5"}, MANY),
    # A release that only names the series says nothing of what was mended in it.
    ("linux veth queues", {"linux": "5.15.0-105-generic", "dockerd": "24.0.5"}, MANY),
    ("linux veth queues", {"linux": "6.1.0-18-amd64", "dockerd": "24.0.5"}, MANY),
    ("linux veth queues", {"linux": "5.14.21", "dockerd": "24.0.5"}, MANY),
    ("runc kernel memory limit", {"linux": "5.16.11", "runc": "1.0.0-rc92"}, {"mounts": V2}),
    ("runc kernel memory limit", {"linux": "5.15.0", "runc": "1.0.0-rc92"}, {"mounts": V1}),
    ("runc kernel memory limit", {"linux": "5.16.11", "runc": "1.0.0-rc94"}, {"mounts": V1}),
    ("kubelet kernel memory statistics", {"linux": "6.1.54", "runc": "1.1.9"}, {"mounts": V1}),
    (
        "kubelet kernel memory statistics",
        {"linux": "6.1.55", "runc": "1.1.9", "kubelet": "1.28.2"},
        {"mounts": V1},
    ),
    ("crun chmod", {"linux": "6.1.53", "crun": "1.8.4"}, {}),
    ("crun chmod", {"linux": "6.5.4", "crun": "1.9.2"}, {}),
    ("crun bpf", {"linux": "5.10.0-26-amd64", "crun": "1.14"}, {"mounts": V1}),
    ("crun bpf", {"linux": "5.10.0-26-amd64", "crun": "1.14.1"}, {}),
    ("crun pidfd", {"linux": "5.4.0", "crun": "0.15"}, {}),
    ("kube-proxy legacy tables", {"iptables": "1.8.4", "kubelet": "1.17.0"}, {}),
    ("kube-proxy legacy tables", {"iptables": "1.6.1", "kubelet": "1.16.15"}, {}),
    ("runc nvidia", {"runc": "1.1.5"}, {}),
    ("runc nvidia", {"runc": "1.1.7"}, {"usr__bin__nvidia-ctk": ELF}),
    ("nvidia on control groups v2", {"libnvidia-container1": "1.3.1-1"}, {"mounts": V1}),
    ("kubelet iptables mark", {"iptables": "1.8.7", "kubelet": "1.25.0"}, {}),
    ("k3s iptables duplicates", {"iptables": "1.8.4"}, {}),
    ("dockerd ipv6.disable", {"dockerd": "20.10.6"}, {}),
    ("dockerd ip_set", {"dockerd": "28.0.0", "linux": "6.6.1"}, {"boot__config-6.6.1": "CONFIG_IP_SET=m\n"}),
    ("dockerd ip_set", {"dockerd": "28.0.1", "linux": "6.6.1"}, {"boot__config-6.6.1": "CONFIG_NET=y\n"}),
    ("dockerd 28.0.0 ipv6.disable", {"dockerd": "28.0.1"}, {"cmdline": "ro ipv6.disable=1\n"}),
    ("seccomp clone3", {"dockerd": "20.10.10"}, {}),
    ("seccomp faccessat2", {"dockerd": "20.10.0"}, {}),
    ("dockerd apparmor runc profile", {"docker-ce": "5:24.0.7-1"}, {}),
    ("seccomp time64", {"libseccomp2": "2.3.3-4"}, {}),
    ("dockerd apparmor parser", {"dockerd": "23.0.2"}, APPARMOR),
    ("dockerd apparmor parser", {"dockerd": "23.0.0"}, {**APPARMOR, "usr__sbin__apparmor_parser": ELF}),
    ("dockerd apparmor parser", {"dockerd": "23.0.0"}, {}),
    ("overlay layers in use", {"linux": "4.19.75", "dockerd": "18.06.3"}, {}),
    ("overlay layers in use", {"linux": "5.1.3", "dockerd": "18.06.3"}, {}),
    ("overlay layers in use", {"linux": "4.19.65"}, {}),
    ("runc terminals", {"runc": "1.1.4"}, {}),
    ("runc terminals", {"runc": "1.1.3"}, {"proc__1__comm": "runit\n"}),
    (
        "containerd apparmor runc profile",
        {"containerd.io": "1.6.32-1"},
        {"etc__apparmor.d__runc": "profile\n"},
    ),
    ("containerd apparmor runc profile", {"containerd.io": "1.7.16-1"}, {}),
    (
        "k3s network policies",
        {"linux": "6.6.1"},
        {"usr__local__bin__k3s": ELF, "boot__config-6.6.1": "CONFIG_IP_SET=m\n"},
    ),
    ("k3s network policies", {"linux": "6.6.1"}, {"boot__config-6.6.1": "CONFIG_NET=y\n"}),
    (
        "container-selinux docker-ce",
        {"container-selinux": "2:2.77-1.el7_6", "docker-ce": "3:18.09.1-3.el7"},
        {"etc__selinux__config": "SELINUX=permissive\n"},
    ),
    ("podman crun", {"podman": "4.9.3", "crun": "1.14.1"}, {}),
    ("kube-proxy conntrack", {"linux": "5.12.2-arch1-1"}, {"usr__bin__kind": ELF}),
    (
        "kube-proxy conntrack",
        {"linux": "6.1.0-13-amd64"},
        {
            "var__lib__kubelet__config.yaml": "kind: KubeletConfiguration\n",
            "proc__sys__net__netfilter__nf_conntrack_max": "262144\n",
            "sys__devices__system__cpu__online": "0-31\n",
        },
    ),
    ("k3s iptables check", {"iptables": "1.8.11"}, {"usr__local__bin__k3s": ELF}),
    ("k3s iptables check", {"iptables": "1.8.10"}, {}),
    ("network files of CNI", {"containernetworking-plugins": "1.1.1+ds1-3"}, CNI),
    ("network files of CNI", {"containernetworking-plugins": "0.9.1+ds1-1"}, {}),
    ("podman AppArmor signals", {"podman": "4.9.3+ds1-1build2"}, {}),
]


def found(row: Row) -> dict[str, Severity]:
    _name, versions, more = row
    more = dict(more)
    mounts = str(more.pop("mounts", V2))
    result = ask(conflicts.ConflictsReleases, host(versions, mounts, **more))
    return {finding.subject: result.severity_of(finding) for finding in result.failures}


@pytest.mark.parametrize("row", HIT, ids=lambda row: row[0])
def test_a_pair_that_does_not_go_together(row: Row) -> None:
    expected = {each.name: Severity(each.severity) for each in CONFLICTS}[row[0]]
    assert found(row).get(row[0]) is expected


@pytest.mark.parametrize("row", BESIDE, ids=lambda row: f"{row[0]} {row[1]}")
def test_one_just_beside(row: Row) -> None:
    assert row[0] not in found(row)


def test_every_row_is_tried() -> None:
    assert {row[0] for row in HIT} == {each.name for each in CONFLICTS}
    assert len({each.name for each in CONFLICTS}) == len(CONFLICTS)
    for conflict in CONFLICTS:
        assert set(conflict.only) <= set(conflicts.CIRCUMSTANCES)
        assert conflict.link.startswith("https://")
        Severity(conflict.severity)


@pytest.mark.parametrize(
    "ranges, inside, outside",
    [
        ("1.0 - 2.0", ["1.0", "1.9.9"], ["0.9", "2.0", "2.0.1"]),
        ("- 1.0.0-rc94", ["0.1", "1.0.0-rc93"], ["1.0.0-rc94", "1.0.0"]),
        ("5.16 -", ["5.16", "6.1"], ["5.15.9"]),
        ("5.10.35 - 5.11, 5.12.2 -", ["5.10.40", "5.12.2", "6.1"], ["5.11.0", "5.12.1", "5.10.1"]),
        ("1.0.0-rc94 - 1.0.0", ["1.0.0-rc95"], ["1.0.0", "1.0.0-rc93"]),
    ],
)
def test_ranges(ranges: str, inside: list[str], outside: list[str]) -> None:
    assert [each for each in inside if not conflicts.within(Version(each), ranges)] == []
    assert [each for each in outside if conflicts.within(Version(each), ranges)] == []


def test_a_bad_build_waits_for_the_next_boot() -> None:
    laid = host({"linux": "4.15.0-58-generic"}, V1)
    assert ask(conflicts.ConflictsKernelBuilds, laid).failures == []
    laid = host({"linux": "4.15.0-58-generic"}, V1, **{"boot__vmlinuz-4.15.0-60-generic": "x"})
    (finding,) = ask(conflicts.ConflictsKernelBuilds, laid).failures
    assert (finding.value, finding.when) == ("4.15.0-60-generic", "boot")
    running = ask(conflicts.ConflictsKernelBuilds, host({"linux": "4.15.0-60-generic"}, V1))
    assert [each.when for each in running.failures] == ["now"]
    assert all(link.startswith("https://") for *_rest, link in RELEASES)


def test_origin_of_a_program_that_hides_another() -> None:
    more: dict[str, Content | None] = {"/usr/local/sbin/runc": engine_programs.ELF}
    commands = {("/usr/local/sbin/runc", "--version"): "runc version 1.0.0-rc10\n"}
    result = ask(conflicts.ConflictsOrigin, engine_programs.debian(more=more, commands=commands))
    assert engine_programs.said(result) == {"runc": "recommended"}
    message = result.failures[0].message
    assert "/usr/local/sbin/runc (1.0.0-rc10, no package)" in message
    assert "/usr/sbin/runc (1.1.5, package runc)" in message
    same = {("/usr/local/sbin/runc", "--version"): "runc version 1.1.5\n"}
    assert engine_programs.said(
        ask(conflicts.ConflictsOrigin, engine_programs.debian(more=more, commands=same))
    ) == {"runc": "info"}


@pytest.mark.parametrize("link", [{"/usr/bin/runc": "-> ../sbin/runc"}, {"/usr/local/bin": "-> ../sbin"}])
def test_a_link_to_the_same_program_is_no_second_one(link: dict[str, Content | None]) -> None:
    assert ask(conflicts.ConflictsOrigin, engine_programs.debian(more=link)).outcome is Outcome.PASS


@pytest.mark.parametrize(
    "packages, expected",
    [
        (engine_programs.BOOKWORM, {}),
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
    host = FakeHost({"/var/lib/dpkg/status": engine_programs.status(packages)}, kind=kind)
    result = ask(conflicts.ConflictsPackages, host)
    assert engine_programs.said(result) == expected
    for finding in result.failures:
        assert finding.fix is not None
        assert finding.fix["commands"]


def test_package_conflicts_without_a_database() -> None:
    assert ask(conflicts.ConflictsPackages, FakeHost({})).outcome is Outcome.SKIP
    broken = FakeHost({"/var/lib/dpkg/status": Unavailable("broken")})
    assert ask(conflicts.ConflictsPackages, broken).outcome is Outcome.UNKNOWN
