"""Kernel checks: options against moby's and k3s' scripts, versions, modules, and that all belongs together."""

from __future__ import annotations

import gzip
import importlib
import json
import pathlib
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
from kernel_host import GOOD, MODULAR, V1, V2, config, finding, live, modular, table, tree

from hostcheck.finding import Finding, Outcome, Severity
from hostcheck.host import FileStat
from hostcheck.testing import Content, FakeHost, ask

kernel: Any = importlib.import_module("hostcheck.checks.kernel")
modules: Any = importlib.import_module("hostcheck.checks.modules")

OPTION_CHECKS = [
    kernel.KernelConfigBase,
    kernel.KernelConfigCgroup,
    kernel.KernelConfigNetwork,
    kernel.KernelConfigNetfilter,
    kernel.KernelConfigOverlay,
    kernel.KernelConfigSecurity,
    kernel.KernelConfigOptional,
]

LEGACY_ONLY = {name: "n" for name in GOOD if name.startswith(("NF_TABLES", "NFT_"))}
NFT_ONLY = {
    **{name: "n" for name in GOOD if name.startswith(("IP_NF_", "IP6_NF_", "NETFILTER_XTABLES_LEGACY"))},
    "NETFILTER_XT_TARGET_MASQUERADE": "y",
    "NETFILTER_XT_TARGET_REDIRECT": "y",
    "NF_TABLES_IPV6": "y",
}
V2["/proc/mounts"] = V2["/proc/self/mounts"] = "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n"
V1["/proc/mounts"] = V1["/proc/self/mounts"] = "cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n"


def option(host: FakeHost, name: str, **parameters: object) -> Finding | None:
    """Return what the option checks say of one option, None if they do not mention it."""
    for topic, check in zip(table.TOPICS, OPTION_CHECKS):
        if any(each.name == name for each in table.TOPICS[topic]):
            result = ask(check, host, **parameters)
            assert result.outcome is not Outcome.ERROR, result.reason
            return next((f for f in result.findings if f.subject == f"CONFIG_{name}"), None)
    raise AssertionError(f"no such option {name}")


def worst(host: FakeHost) -> list[str]:
    """Return the subjects of all failures above info of every kernel check."""
    found = []
    for check in [*OPTION_CHECKS, kernel.KernelVersion, kernel.KernelBoot, modules.ModulesLoadable]:
        result = ask(check, host)
        assert result.outcome is not Outcome.ERROR, f"{check.id}: {result.reason}"
        found += [f.subject for f in result.failures if result.severity_of(f) is not Severity.INFO]
    return found


def test_table_is_whole() -> None:
    names = [each.name for topic in table.TOPICS.values() for each in topic]
    assert len(names) == len(set(names))
    assert len(names) > 120
    for topic in table.TOPICS.values():
        for each in topic:
            assert each.severity in ("required", "recommended", "info")
            assert not each.name.startswith("CONFIG_")


def test_a_good_kernel_is_quiet() -> None:
    assert worst(live()) == []
    assert worst(modular()) == []


@pytest.mark.parametrize("check", OPTION_CHECKS)
def test_one_finding_per_option(check: Any) -> None:
    result = ask(check, live())
    subjects = [f.subject for f in result.findings]
    assert len(subjects) == len(set(subjects))
    assert all(f.when == "now" and f.path == "/boot/config-6.8.0" for f in result.findings)


# name, the kernel's release, changes of its configuration, files, severity or None (fine) or "-" (not mentioned)
RULES: list[tuple[str, str, dict[str, str], dict[str, Content], str | None]] = [
    ("VETH", "6.8.0", {"VETH": "n"}, {}, "required"),
    ("VETH", "6.8.0", {"VETH": "m"}, {}, None),
    ("VETH", "6.8.0", {"VETH": "absent"}, {}, "required"),
    ("POSIX_MQUEUE", "4.14.176", {"POSIX_MQUEUE": "n"}, {}, "required"),
    ("VXLAN", "3.10.104-2-pine64", {"VXLAN": "n"}, {}, "info"),
    ("CFS_BANDWIDTH", "4.4.302+", {"CFS_BANDWIDTH": "n"}, V1, "recommended"),
    ("SECCOMP", "6.8.0", {"SECCOMP": "n"}, {}, "recommended"),
    ("SECCOMP_FILTER", "6.8.0", {"SECCOMP_FILTER": "n"}, {}, "recommended"),
    ("SECCOMP_FILTER", "6.8.0", {"SECCOMP_FILTER": "absent"}, {}, "info"),
    ("SECCOMP_FILTER", "6.8.0", {"SECCOMP_FILTER": "absent", "SECCOMP": "n"}, {}, "recommended"),
    # What every kernel has is missed only where it is said to be off.
    ("PROC_FS", "6.8.0", {"PROC_FS": "absent"}, {}, "-"),
    ("PROC_FS", "6.8.0", {"PROC_FS": "n"}, {}, "required"),
    ("NETFILTER_XT_NAT", "6.8.0", {"NETFILTER_XT_NAT": "absent"}, {}, None),
    # Options that are gone are not missed, and those that are not yet there neither: no off-by-one.
    ("DEVPTS_MULTIPLE_INSTANCES", "4.7.9", {"DEVPTS_MULTIPLE_INSTANCES": "n"}, {}, "required"),
    ("DEVPTS_MULTIPLE_INSTANCES", "4.7.9", {}, {}, "-"),
    ("DEVPTS_MULTIPLE_INSTANCES", "4.8.0", {}, {}, "-"),
    ("NF_NAT_IPV4", "5.0.21", {}, {}, "info"),
    ("NF_NAT_IPV4", "5.1.0", {}, {}, "-"),
    ("NF_NAT_NEEDED", "5.1.21", {}, {}, "info"),
    ("NF_NAT_NEEDED", "5.2.0", {}, {}, "-"),
    ("MEMCG_SWAP", "6.0.19", {}, {}, "info"),
    ("MEMCG_SWAP", "6.1.0", {}, {}, "-"),
    ("MEMCG_SWAP", "6.1.0-rc3", {}, {}, "-"),
    ("MEMCG_SWAP_ENABLED", "5.7.19", {}, {}, "info"),
    ("MEMCG_SWAP_ENABLED", "5.7.19", {}, {"/proc/cmdline": "ro swapaccount=1\n"}, None),
    ("MEMCG_SWAP_ENABLED", "5.8.0", {}, {}, "-"),
    ("MEMCG_KMEM", "4.4.0", {}, {}, "info"),
    ("MEMCG_KMEM", "4.5.0", {}, {}, "-"),
    ("RESOURCE_COUNTERS", "3.18.140", {}, {}, "info"),
    ("RESOURCE_COUNTERS", "3.19.0", {}, {}, "-"),
    ("NETPRIO_CGROUP", "3.13.11", {}, {}, "info"),
    ("NETPRIO_CGROUP", "3.14.0", {}, {}, "-"),
    ("CGROUP_NET_PRIO", "3.13.11", {}, {}, "-"),
    ("IOSCHED_CFQ", "4.20.0", {}, {}, "info"),
    ("IOSCHED_CFQ", "5.0.0", {}, {}, "-"),
    ("INET_XFRM_MODE_TRANSPORT", "5.1.21", {}, {}, "info"),
    ("INET_XFRM_MODE_TRANSPORT", "5.2.0", {}, {}, "-"),
    ("EXT3_FS", "6.8.0", {"EXT3_FS": "n", "EXT4_USE_FOR_EXT2": "y"}, {}, "-"),
    ("EXT3_FS", "6.8.0", {"EXT3_FS": "n"}, {}, "info"),
    # The controllers of one cgroup mode are not asked of the other.
    ("CGROUP_DEVICE", "6.8.0", {"CGROUP_DEVICE": "n"}, V2, None),
    ("CGROUP_DEVICE", "6.8.0", {"CGROUP_DEVICE": "n"}, V1, "required"),
    ("CGROUP_DEVICE", "4.4.3", {"CGROUP_DEVICE": "n"}, V1, "required"),
    ("CGROUP_FREEZER", "6.8.0", {"CGROUP_FREEZER": "n"}, V2, None),
    ("CGROUP_CPUACCT", "6.8.0", {"CGROUP_CPUACCT": "n"}, V2, None),
    ("CGROUP_BPF", "6.8.0", {"CGROUP_BPF": "n"}, V2, "required"),
    ("CGROUP_BPF", "6.8.0", {"CGROUP_BPF": "n"}, V1, None),
    ("CGROUP_BPF", "4.14.99", {"CGROUP_BPF": "n"}, V2, "-"),
    ("BPF_SYSCALL", "5.4.88", {"BPF_SYSCALL": "n"}, V2, "required"),
    ("MEMCG_V1", "6.12.0", {"MEMCG_V1": "n"}, V2, None),
    ("MEMCG_V1", "6.12.0", {"MEMCG_V1": "n"}, V1, "recommended"),
    ("MEMCG_V1", "6.10.14", {"MEMCG_V1": "n"}, V1, "-"),
    ("CPUSETS_V1", "6.11.0", {"CPUSETS_V1": "n"}, V1, "-"),
    ("CPUSETS_V1", "6.12.0", {"CPUSETS_V1": "n"}, V1, "recommended"),
    ("CPUSETS", "6.8.0", {"CPUSETS": "n"}, V1, "required"),
    ("CPUSETS", "6.8.0", {"CPUSETS": "n"}, V2, "recommended"),
    ("CGROUP_DEVICE", "4.4.3", {"CGROUP_DEVICE": "n"}, V2, "required"),
    # What is better not set.
    ("MEMCG_DISABLED", "3.16.0-4-amd64", {"MEMCG_DISABLED": "y"}, {}, "recommended"),
    (
        "MEMCG_DISABLED",
        "3.16.0-4-amd64",
        {"MEMCG_DISABLED": "y"},
        {"/proc/cmdline": "ro cgroup_enable=memory\n"},
        None,
    ),
    ("MEMCG_DISABLED", "3.16.0-4-amd64", {}, {}, "-"),
    ("RT_GROUP_SCHED", "6.8.0", {"RT_GROUP_SCHED": "y"}, {}, "info"),
    ("RT_GROUP_SCHED", "6.8.0", {}, {}, None),
    ("LEGACY_VSYSCALL_NONE", "6.8.0", {"LEGACY_VSYSCALL_NONE": "y"}, {}, "info"),
    (
        "LEGACY_VSYSCALL_NONE",
        "6.8.0",
        {"LEGACY_VSYSCALL_NONE": "y"},
        {"/proc/cmdline": "ro vsyscall=emulate\n"},
        None,
    ),
    ("LEGACY_VSYSCALL_NONE", "6.8.0", {}, {}, "-"),
    # A kernel without overlayfs may have btrfs.
    ("OVERLAY_FS", "6.8.0", {"OVERLAY_FS": "n", "BTRFS_FS": "n"}, {}, "required"),
    ("OVERLAY_FS", "6.8.0", {"OVERLAY_FS": "n"}, {}, "recommended"),
]


@pytest.mark.parametrize(("name", "release", "changes", "files", "expected"), RULES)
def test_rules(
    name: str, release: str, changes: dict[str, str], files: Mapping[str, Content], expected: str | None
) -> None:
    found = option(live(release, config(release, **changes), files=files), name)
    if expected == "-":
        assert found is None
    else:
        assert found is not None
        assert found.ok is (expected is None), found.message
        assert found.ok or found.severity == expected


NFT: dict[tuple[str, ...], str] = {("iptables", "--version"): "iptables v1.8.11 (nf_tables)\n"}
LEGACY: dict[tuple[str, ...], str] = {("iptables", "--version"): "iptables v1.8.4 (legacy)\n"}


@pytest.mark.parametrize(
    ("commands", "changes", "failing"),
    [
        (NFT, {}, set()),
        (LEGACY, {}, set()),
        ({}, {}, set()),
        (NFT, NFT_ONLY, set()),
        ({}, NFT_ONLY, set()),
        (LEGACY, LEGACY_ONLY, set()),
        ({}, LEGACY_ONLY, set()),
        # The kernel and the chosen iptables do not fit.
        (LEGACY, NFT_ONLY, {"IP_NF_FILTER", "IP_NF_NAT", "IP_NF_IPTABLES", "NETFILTER_XTABLES_LEGACY"}),
        (NFT, LEGACY_ONLY, {"NF_TABLES", "NF_TABLES_IPV4", "NFT_NAT", "NFT_COMPAT"}),
        (NFT, {"NFT_COMPAT": "n"}, {"NFT_COMPAT"}),
        ({}, {"NFT_COMPAT": "n"}, set()),
        # Nothing at all.
        ({}, {**LEGACY_ONLY, "IP_NF_NAT": "n"}, {"IP_NF_NAT"}),
        (
            {},
            {**NFT_ONLY, "NFT_COMPAT": "n"},
            {"IP_NF_FILTER", "IP_NF_NAT", "IP_NF_IPTABLES", "NETFILTER_XTABLES_LEGACY"},
        ),
        # iptables-nft writes its DNAT and MASQUERADE with the targets of x_tables.
        (NFT, {**NFT_ONLY, "NETFILTER_XT_NAT": "n"}, {"NETFILTER_XT_NAT", "IP_NF_NAT"}),
        (NFT, {**NFT_ONLY, "NETFILTER_XT_TARGET_MASQUERADE": "n"}, {"IP_NF_TARGET_MASQUERADE"}),
        (NFT, {"NF_NAT": "n"}, {"NF_NAT"}),
        (NFT, {"NETFILTER_XT_MATCH_ADDRTYPE": "n"}, {"NETFILTER_XT_MATCH_ADDRTYPE"}),
    ],
)
def test_firewall(
    commands: Mapping[tuple[str, ...], str], changes: dict[str, str], failing: set[str]
) -> None:
    host = live("6.18.0", config("6.18.0", **changes))
    host.commands.update(commands)
    result = ask(kernel.KernelConfigNetfilter, host)
    required = {f.subject[len("CONFIG_") :] for f in result.failures if f.severity is Severity.REQUIRED}
    assert required == failing


def test_the_engines_own_nftables_need_no_iptables() -> None:
    host = live(
        text=config(
            **{name: "n" for name in GOOD if "IP_NF" in name or "_XT_" in name or name == "NFT_COMPAT"}
        )
    )
    result = ask(kernel.KernelConfigNetfilter, host, backend="native")
    assert [f.subject for f in result.failures if f.severity is not Severity.INFO] == []
    missing = ask(kernel.KernelConfigNetfilter, live(text=config(NFT_MASQ="n")), backend="native")
    assert finding(missing, "CONFIG_NFT_MASQ").severity is Severity.REQUIRED


@pytest.mark.parametrize(
    ("daemon", "version", "changes", "failing"),
    [
        ('{"firewall-backend": "nftables"}', "29.0.0", NFT_ONLY, set()),
        ('{"firewall-backend": "nftables"}', "29.0.0", {"NFT_MASQ": "n"}, {"CONFIG_NFT_MASQ"}),
        ('{"iptables": false}', "28.0.0", {"NF_NAT": "n", "IP_NF_NAT": "n"}, set()),
        ("{}", "28.0.0", {"NF_NAT": "n", "IP_NF_NAT": "n"}, {"CONFIG_NF_NAT"}),
    ],
)
def test_firewall_of_the_daemon(
    daemon: str, version: str, changes: dict[str, str], failing: set[str]
) -> None:
    host = live(
        text=config(**changes), files={"/etc/docker/daemon.json": daemon, "/usr/bin/dockerd": b"\x7fELF"}
    )
    host.assumptions["docker"] = version
    result = ask(kernel.KernelConfigNetfilter, host)
    assert {f.subject for f in result.failures if f.severity is not Severity.INFO} == failing


def test_the_other_iptables_is_the_fix() -> None:
    host = live(
        "5.10.66",
        config("5.10.66", **LEGACY_ONLY),
        files={"/etc/alternatives/iptables": "-> /usr/sbin/iptables-nft"},
    )
    host.commands.update(NFT)
    host.files["/usr/sbin/iptables-nft"] = b"\x7fELF"
    host.folders.update({"/usr", "/usr/sbin"})
    found = option(host, "NF_TABLES")
    assert found is not None
    assert found.fix is not None
    assert "iptables-legacy" in found.fix["commands"][0]


def test_a_policy_can_ask_for_more() -> None:
    host = live(text=config(TUN="n"))
    assert finding(ask(kernel.KernelConfigNetwork, host), "CONFIG_TUN").severity is Severity.INFO
    asked = ask(kernel.KernelConfigNetwork, host, required=["TUN"])
    assert asked.severity is Severity.REQUIRED


def test_evidence_and_place_of_a_failure() -> None:
    found = option(live(text=config(BRIDGE="n")), "BRIDGE")
    assert found is not None
    assert found.path == "/boot/config-6.8.0"
    assert found.line == config(BRIDGE="n").split("\n").index("# CONFIG_BRIDGE is not set") + 1
    assert found.fix
    assert "docker0" in found.message


def test_running_kernel_and_the_one_that_boots_are_two_answers() -> None:
    """A vendor's update drops options: fine now, broken after the reboot."""
    host = FakeHost(
        {
            "/boot/vmlinuz-6.9.0": "",
            "/boot/config-6.9.0": config("6.9.0", VETH="n"),
            "/boot/grub/grub.cfg": "set default=0\nmenuentry 'x' {\n linux /boot/vmlinuz-6.9.0 root=/dev/sda1 ro\n}\n",
            **live("6.8.0").files,
            "/proc/cmdline": "BOOT_IMAGE=/boot/vmlinuz-6.8.0 root=/dev/sda1 ro\n",
        }
    )
    result = ask(kernel.KernelConfigNetwork, host)
    assert finding(result, "CONFIG_VETH", "now").ok
    assert not finding(result, "CONFIG_VETH", "boot").ok


def test_without_a_configuration_the_machine_speaks() -> None:
    files: dict[str, Content] = {
        "/proc/sys/kernel/osrelease": "5.10.0-xyz",
        "/proc/filesystems": "nodev\tsysfs\nnodev\tproc\nnodev\ttmpfs\nnodev\tmqueue\nnodev\toverlay\n\text4\n",
        "/proc/self/ns/net": "",
        "/proc/modules": "veth 1 0 - Live 0x0\n",
    }
    host = FakeHost(files)
    base = ask(kernel.KernelConfigBase, host)
    assert base.outcome is Outcome.UNKNOWN
    assert finding(base, "CONFIG_POSIX_MQUEUE").ok
    assert finding(base, "CONFIG_NET_NS").ok
    assert "configuration" in str(base.reason)
    overlay = ask(kernel.KernelConfigOverlay, host)
    assert (overlay.outcome, [f.subject for f in overlay.findings]) == (
        Outcome.PASS,
        ["CONFIG_OVERLAY_FS", "CONFIG_EXT4_FS"],
    )
    assert finding(ask(kernel.KernelConfigNetwork, host), "CONFIG_VETH").ok


@pytest.mark.parametrize(
    "check", [*OPTION_CHECKS, kernel.KernelVersion, kernel.KernelBoot, modules.ModulesLoadable]
)
@pytest.mark.parametrize(
    "host",
    [
        FakeHost({"/etc/os-release": "ID=debian\n"}, kind="root"),
        FakeHost({"/boot/vmlinuz-6.1.0": ""}, kind="root"),
        FakeHost({"/boot/config-6.1.0": PermissionError("no")}, kind="root"),
        FakeHost(
            {"/boot/config-6.1.0": b"\x1f\x8bjunk", "/lib/modules/6.1.0/modules.dep": b"\xff\x00"},
            kind="root",
        ),
        FakeHost({}),
        FakeHost({"/proc/sys/kernel/osrelease": "what"}),
    ],
)
def test_nothing_is_guessed(check: Any, host: FakeHost) -> None:
    result = ask(check, host)
    assert result.outcome is not Outcome.ERROR, result.reason
    assert not any(result.severity_of(f) is not Severity.INFO for f in result.failures) or check in (
        kernel.KernelBoot,
        modules.ModulesLoadable,
    )


@pytest.mark.parametrize(
    ("release", "files", "failing"),
    [
        ("6.8.0", V2, {}),
        ("4.19.0-27-amd64", V1, {}),
        ("3.10.0-1160.el7.x86_64", V1, {}),
        ("3.10.0-693.el7.x86_64", V1, {"linux kmem": "info"}),
        ("3.10.0-693.el7.x86_64", {**V1, "/proc/cmdline": "ro cgroup.memory=nokmem"}, {}),
        ("3.10.0-327.el7.x86_64", V1, {"linux overlay2": "recommended", "linux kmem": "info"}),
        # No such kernel knows v2, whatever is said to be mounted.
        ("3.10.0-1160.el7.x86_64", V2, {}),
        ("3.16.0-4-amd64", V1, {"linux overlay2": "recommended"}),
        ("2.6.32-042stab108.8", V1, {"linux": "required", "linux overlay2": "recommended"}),
        (
            "4.14.222",
            V2,
            {
                "linux": "required",
                "linux cpuset on cgroup v2": "recommended",
                "linux freezer on cgroup v2": "recommended",
                "linux hugetlb on cgroup v2": "info",
            },
        ),
        ("4.14.222", V1, {}),
        (
            "4.15.0",
            V2,
            {
                "linux cpuset on cgroup v2": "recommended",
                "linux freezer on cgroup v2": "recommended",
                "linux hugetlb on cgroup v2": "info",
            },
        ),
        ("5.0.0", V2, {"linux freezer on cgroup v2": "recommended", "linux hugetlb on cgroup v2": "info"}),
        ("5.1.21", V2, {"linux freezer on cgroup v2": "recommended", "linux hugetlb on cgroup v2": "info"}),
        ("5.2.0", V2, {"linux hugetlb on cgroup v2": "info"}),
        ("5.6.0", V2, {}),
        ("4.18.0-513.el8.x86_64", V2, {}),
        (
            "5.1.0",
            {**V2, "/sys/fs/cgroup/system.slice/cgroup.freeze": "0\n"},
            {"linux hugetlb on cgroup v2": "info"},
        ),
        ("4.15.0-62-generic", V1, {}),
    ],
)
def test_version(release: str, files: Mapping[str, Content], failing: dict[str, str]) -> None:
    result = ask(kernel.KernelVersion, live(release, files=files))
    assert {f.subject: str(result.severity_of(f)) for f in result.failures} == failing
    assert result.outcome is (Outcome.FAIL if failing else Outcome.PASS)


def test_version_for_a_patched_runc() -> None:
    host = live("3.13.0-165-generic", files=V1)
    host.assumptions["docker"] = "18.06.2"
    assert not finding(ask(kernel.KernelVersion, host), "linux memfd").ok
    host = live("3.10.0-1160.el7.x86_64", files=V1)
    host.assumptions["docker"] = "24.0.0"
    assert ask(kernel.KernelVersion, host).outcome is Outcome.PASS


def test_version_that_a_policy_asks_for() -> None:
    assert not finding(ask(kernel.KernelVersion, live("4.19.0", files=V1), minimum="5.4"), "linux").ok


@pytest.mark.parametrize(
    "docker, unit, severity",
    [
        ("28.0.1", "", "required"),
        ("27.5.1", "", "info"),
        ("28.0.2", "[Service]\nEnvironment=DOCKER_INSECURE_NO_IPTABLES_RAW=1\n", "recommended"),
        ("", "", "recommended"),
    ],
)
def test_the_raw_table_is_docker_28s_matter(docker: str, unit: str, severity: str) -> None:
    host = live(text=config(IP_NF_RAW="n"), files={"/usr/lib/systemd/system/docker.service": unit})
    if docker:
        host.assumptions = {"docker": docker, "stage": "installed"}
    found = option(host, "IP_NF_RAW")
    assert found is not None
    assert found.severity is Severity(severity)


def test_user_namespaces_where_users_are_remapped() -> None:
    files: dict[str, Content] = {
        "/usr/bin/dockerd": b"\x7fELF",
        "/etc/docker/daemon.json": '{"userns-remap": "default"}',
        "/etc/passwd": "dockremap:x:990:990::/:/bin/false\n",
        "/etc/group": "dockremap:x:990:\n",
        "/etc/subuid": "dockremap:100000:65536\n",
        "/etc/subgid": "dockremap:100000:65536\n",
    }
    found = option(live(text=config(USER_NS="n"), files=files), "USER_NS")
    assert found is not None
    assert found.severity is Severity.REQUIRED


@pytest.mark.parametrize(("vxlan", "reason"), [("m", None), ("n", "no")])
def test_a_swarm_that_only_root_may_see(
    vxlan: str, reason: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without VXLAN it matters whether there is one; all other options are told in any case."""
    text = config(VXLAN=vxlan, VETH="n")
    host = live(text=text)
    stat = host.stat

    def forbidden(path: str, follow: bool = True) -> FileStat:
        if path.startswith("/var/lib/docker/"):
            raise PermissionError("no")
        return stat(path, follow)

    monkeypatch.setattr(host, "stat", forbidden)
    result = ask(kernel.KernelConfigNetwork, host)
    assert result.reason == reason
    assert "CONFIG_VETH" in [f.subject for f in result.failures if result.severity_of(f) is Severity.REQUIRED]
    seen = ask(kernel.KernelConfigNetwork, live(text=text))
    assert [f.subject for f in result.findings] == [f.subject for f in seen.findings]


LEGACY_TABLES = ("IP_NF_", "IP6_NF_")
EXPECTED = {
    # Kernels with nftables alone (Talos, Debian's rt kernels): iptables-nft does without the legacy tables.
    "nftables do": {
        "IP_NF_FILTER": 3,
        "IP_NF_MANGLE": 3,
        "IP_NF_RAW": 3,
        "IP_NF_NAT": 2,
        "IP6_NF_FILTER": 3,
        "IP6_NF_MANGLE": 3,
        "IP6_NF_RAW": 3,
        "IP6_NF_NAT": 2,
    },
    # IP_NF_TARGET_X is, from 5.2 on, a mere name that selects NETFILTER_XT_TARGET_X, which is what works.
    "another name": {"IP_NF_TARGET_MASQUERADE": 2, "IP6_NF_TARGET_MASQUERADE": 4, "IP_NF_TARGET_REDIRECT": 3},
    # systemd's README asks for the option to be off; k3s and runc ask for it to be on.
    "better not set": {"RT_GROUP_SCHED": 61},
    # Options that the kernel no longer had at that version: removed in 4.3 and 5.2.
    "gone from the kernel": {"EXT3_FS_XATTR": 15, "INET_XFRM_MODE_TRANSPORT": 1},
}


def why(name: str, found: Finding | None) -> str:
    """Return the rule that explains a difference."""
    if found is None:
        return "gone from the kernel"
    if name == "RT_GROUP_SCHED":
        return "better not set"
    return "nftables do" if "iptables-nft does without it" in found.message else "another name"


@pytest.mark.parametrize(("script", "agreed"), [("moby.own", 5324), ("k3s.own", 3663)])
def test_agreement_with_the_scripts(script: str, agreed: int, corpora: pathlib.Path) -> None:
    """Option by option, on every configuration, with the kernel version of the configuration."""
    folder = corpora / "kernel-configs"
    same = 0
    differ: Counter[tuple[str, str]] = Counter()
    for line in (folder / "verdicts.jsonl").read_text().splitlines():
        row = json.loads(line)
        data = (folder / "raw" / f"{row['file']}.gz").read_bytes()
        host = FakeHost({f"/boot/config-{row['kernel']}": data}, kind="root")
        found = {f.subject[7:]: f for check in OPTION_CHECKS for f in ask(check, host).findings}
        for name, state in row["runs"][script]["options"].items():
            if name.startswith("LEGACY_VSYSCALL"):
                # There is no verdict in the script's text, only a remark.
                continue
            mine = found.get(name)
            if mine is not None and mine.ok == (state != "missing"):
                same += 1
            else:
                differ[why(name, mine), name] += 1
    print(f"{script}: {same} of {same + sum(differ.values())} options agree")
    for (reason, name), count in sorted(differ.items()):
        print(f"  {count:3} {name}: {reason}")
    assert same == agreed
    for (reason, name), count in differ.items():
        if (name, script) == ("INET_XFRM_MODE_TRANSPORT", "k3s.own"):
            # k3s asks for it of every kernel.
            assert count == 53
        else:
            assert count == EXPECTED[reason][name], (reason, name)


def test_missing_necessary_options_of_the_corpus(corpora: pathlib.Path) -> None:
    """Every option that moby calls necessary and misses is a failure of ours, or explained above."""
    folder = corpora / "kernel-configs"
    tally: Counter[str] = Counter()
    for line in (folder / "verdicts.jsonl").read_text().splitlines():
        row = json.loads(line)
        data = gzip.decompress((folder / "raw" / f"{row['file']}.gz").read_bytes())
        # On v1, as the machine was on which the script ran.
        host = live(row["kernel"], files={f"/boot/config-{row['kernel']}": data, **V1})
        results = [ask(check, host) for check in OPTION_CHECKS]
        found = {f.subject[7:]: (f, r.severity_of(f)) for r in results for f in r.findings}
        for name in row["runs"]["moby.own"]["missing_necessary"]:
            mine, severity = found[name]
            if mine.ok:
                # CGROUP_BPF is for v2, and this is v1.
                assert name.startswith(LEGACY_TABLES) or name == "CGROUP_BPF", (row["file"], name, mine)
                tally["fine: nftables, the other name, or v1"] += 1
            elif severity is Severity.INFO:
                # Part of NF_NAT; swarm; a table of IPv6; devices by BPF are not needed on v1.
                assert name.startswith(("NF_NAT_", "NETFILTER_XT_MATCH_IPVS", "IP6_NF_")), (row["file"], name)
                tally["info"] += 1
            else:
                tally[str(severity)] += 1
        mine_only = {name for name, (f, s) in found.items() if not f.ok and s is Severity.REQUIRED}
        for name in mine_only - set(row["runs"]["moby.own"]["missing_necessary"]):
            tally[f"ours alone{'' if row['full'] else ' (defconfig)'}: {name}"] += 1
    print(dict(tally))
    assert (tally["required"], tally["recommended"], tally["info"]) == (97, 37, 24)


STOCK = (
    "CachyOS",
    "bazzite-org",
    "debian-",
    "gencoo",
    "linuxkit",
    "projg2",
    "scality",
    "siderolabs",
    "vmware",
)
UNFIT = {
    # Boots to write a dump of memory, nothing else.
    "bazzite-org_kernel-bazzite__kernel-s390x-zfcpdump-rhel.config",
    # No legacy tables, and neither xt_nat nor xt_MASQUERADE: docker runs there with its own nftables alone.
    "debian-sid-arm64-7.2.13+deb14-rt-arm64.config",
}


def test_stock_kernels_are_quiet(corpora: pathlib.Path) -> None:
    """No distribution's own kernel has a failure above info, on cgroup v2 with iptables-nft."""
    folder = corpora / "kernel-configs"
    quiet = 0
    for line in (folder / "verdicts.jsonl").read_text().splitlines():
        row = json.loads(line)
        if not row["file"].startswith(STOCK):
            continue
        data = gzip.decompress((folder / "raw" / f"{row['file']}.gz").read_bytes())
        host = live(row["kernel"], files={f"/boot/config-{row['kernel']}": data})
        host.commands.update(NFT)
        loud = [
            f"{f.subject}: {f.message}"
            for result in (ask(check, host) for check in OPTION_CHECKS)
            for f in result.failures
            if result.severity_of(f) is not Severity.INFO
        ]
        assert bool(loud) == (row["file"] in UNFIT), (row["file"], loud)
        quiet += not loud
    print(f"stock kernels without a failure: {quiet}")
    assert quiet >= 28


def test_modules_of_the_running_kernel_are_gone() -> None:
    """Upgraded, not rebooted."""
    host = live(
        "6.10.8-arch1-1",
        config("6.10.8", **MODULAR),
        files={"/proc/modules": "overlay 1 0 - Live 0x0\n", **tree("6.11.1-arch1-1")},
    )
    boot = ask(kernel.KernelBoot, host)
    found = finding(boot, "/lib/modules/6.10.8-arch1-1")
    assert (found.ok, found.when) == (False, "now")
    assert "not rebooted" in found.message
    wanted: Any = found.fix
    assert wanted["commands"] == ["systemctl reboot"]
    # One cause, one failure.
    result = ask(modules.ModulesLoadable, host)
    assert (result.outcome, [f.subject for f in result.findings]) == (Outcome.SKIP, ["overlay"])


@pytest.mark.parametrize("kind", ["live", "root"])
def test_modules_that_were_never_installed(kind: str) -> None:
    release = "5.5.3-mvebu-tld-1-dirty"
    host = live(release, config("5.5.3", **MODULAR), files={f"/boot/vmlinuz-{release}": ""})
    host.kind = kind
    found = finding(ask(kernel.KernelBoot, host), f"/lib/modules/{release}")
    assert not found.ok
    assert "depmod" in str(found.fix)


def test_a_folder_without_modules_dep() -> None:
    host = live(text=config(**MODULAR), files={"/lib/modules/6.8.0/kernel/net/veth.ko": ""})
    found = finding(ask(kernel.KernelBoot, host), "/lib/modules/6.8.0")
    wanted: Any = found.fix
    assert (found.ok, wanted["commands"]) == (False, ["depmod -a 6.8.0"])


def test_a_kernel_with_everything_built_in_needs_no_folder() -> None:
    assert ask(kernel.KernelBoot, live()).outcome is Outcome.PASS


def test_a_configuration_of_another_kernel() -> None:
    result = ask(kernel.KernelBoot, live("6.8.0", config("5.4.0")))
    assert finding(result, "kernel config").severity is Severity.RECOMMENDED
    assert finding(ask(kernel.KernelBoot, live("6.1.0-18-amd64", config("6.1.76"))), "kernel config").ok
