"""Namespace checks: which there are, and how many may be made."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from hostcheck.finding import Finding, Outcome, Result, Severity
from hostcheck.host.live import LiveHost
from hostcheck.testing import Content, FakeHost, ask

namespaces: Any = importlib.import_module("hostcheck.checks.namespaces")

ALL = ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts")
CONFIG = "".join(f"CONFIG_{name}=y\n" for _, name, _, _, _ in namespaces.KINDS)


def live(without: tuple[str, ...] = (), **sysctls: str) -> FakeHost:
    """Return a live host with all namespaces but some, and with these sysctls (`__` for a dot)."""
    return FakeHost(
        {
            "/proc/sys/kernel/osrelease": "6.8.0\n",
            **{f"/proc/self/ns/{kind}": "" for kind in ALL if kind not in without},
            **{
                "/proc/sys/" + name.replace("__", "/"): value + "\n"
                for name, value in {"user__max_user_namespaces": "15000", **sysctls}.items()
            },
        }
    )


def failures(result: Result) -> dict[tuple[str, str], str]:
    """Return subject and time of each failure with its severity."""
    assert result.outcome is not Outcome.ERROR, result.reason
    return {(f.subject, f.when): str(result.severity_of(f)) for f in result.failures}


def one(result: Result, subject: str, when: str) -> Finding:
    """Return the finding about a subject."""
    (found,) = [f for f in result.findings if (f.subject, f.when) == (subject, when)]
    return found


@pytest.mark.parametrize(
    ("kind", "severity"),
    [
        ("net", "required"),
        ("pid", "required"),
        ("mnt", "required"),
        ("ipc", "required"),
        ("uts", "required"),
        ("user", "recommended"),
        ("cgroup", "info"),
        ("time", "info"),
    ],
)
def test_available_now(kind: str, severity: str) -> None:
    assert ask(namespaces.NamespacesAvailable, live()).outcome is Outcome.PASS
    result = ask(namespaces.NamespacesAvailable, live((kind,)))
    assert failures(result) == {(kind, "now"): severity}
    asked = ask(namespaces.NamespacesAvailable, live((kind,)), needed=(kind,))
    assert failures(asked) == {(kind, "now"): "required"}


@pytest.mark.parametrize(
    ("release", "config", "failing"),
    [
        ("6.8.0", CONFIG, {}),
        (
            "6.8.0",
            CONFIG.replace("CONFIG_NET_NS=y", "# CONFIG_NET_NS is not set"),
            {("net", "boot"): "required"},
        ),
        ("6.8.0", CONFIG.replace("CONFIG_USER_NS=y\n", ""), {("user", "boot"): "recommended"}),
        ("5.5.0", CONFIG, {("time", "boot"): "info"}),
        ("4.5.0", CONFIG, {("time", "boot"): "info", ("cgroup", "boot"): "info"}),
        # The header tells the version of a release without one.
        ("5.10", "# Linux/x86 5.4.0 Kernel Configuration\n" + CONFIG, {("time", "boot"): "info"}),
    ],
)
def test_available_after_the_next_boot(
    release: str, config: str, failing: dict[tuple[str, str], str]
) -> None:
    host = FakeHost({f"/boot/config-{release}": config}, kind="root")
    result = ask(namespaces.NamespacesAvailable, host)
    assert failures(result) == failing
    assert one(result, "pid", "boot").line


@pytest.mark.parametrize(
    "host",
    [
        FakeHost({"/boot/vmlinuz-6.8.0": ""}, kind="root"),
        FakeHost({"/etc/os-release": ""}, kind="root"),
        FakeHost({"/proc/sys/kernel/osrelease": "6.8.0"}),
    ],
)
def test_unknown_is_no_failure(host: FakeHost) -> None:
    assert ask(namespaces.NamespacesAvailable, host).outcome is Outcome.UNKNOWN


def test_this_machine_has_them() -> None:
    host = LiveHost()
    there = set(host.names("/proc/self/ns"))
    result = ask(namespaces.NamespacesAvailable, host)
    assert {f.subject for f in result.findings if f.ok and f.when == "now"} == there & set(ALL)


SYSCTLS: list[tuple[dict[str, str], dict[str, Content], bool, dict[tuple[str, str], str]]] = [
    ({}, {}, False, {}),
    ({}, {}, True, {}),
    ({"user__max_net_namespaces": "0"}, {}, False, {("user.max_net_namespaces", "now"): "required"}),
    ({"user__max_pid_namespaces": "0"}, {}, False, {("user.max_pid_namespaces", "now"): "required"}),
    ({"user__max_mnt_namespaces": "0"}, {}, False, {("user.max_mnt_namespaces", "now"): "required"}),
    ({"user__max_ipc_namespaces": "0"}, {}, False, {("user.max_ipc_namespaces", "now"): "required"}),
    ({"user__max_uts_namespaces": "0"}, {}, False, {("user.max_uts_namespaces", "now"): "required"}),
    ({"user__max_cgroup_namespaces": "0"}, {}, False, {("user.max_cgroup_namespaces", "now"): "recommended"}),
    # User namespaces matter to those who make them.
    ({"user__max_user_namespaces": "0"}, {}, False, {("user.max_user_namespaces", "now"): "info"}),
    ({"user__max_user_namespaces": "0"}, {}, True, {("user.max_user_namespaces", "now"): "required"}),
    (
        {"user__max_user_namespaces": "0"},
        {"/etc/docker/daemon.json": '{"userns-remap": "default"}'},
        False,
        {("user.max_user_namespaces", "now"): "required"},
    ),
    (
        {"kernel__unprivileged_userns_clone": "0"},
        {},
        True,
        {("kernel.unprivileged_userns_clone", "now"): "required"},
    ),
    (
        {"kernel__unprivileged_userns_clone": "0"},
        {},
        False,
        {("kernel.unprivileged_userns_clone", "now"): "info"},
    ),
    (
        {"kernel__apparmor_restrict_unprivileged_userns": "1"},
        {},
        True,
        {("kernel.apparmor_restrict_unprivileged_userns", "now"): "info"},
    ),
    ({"kernel__apparmor_restrict_unprivileged_userns": "0"}, {}, True, {}),
    # A key that the running kernel does not know means nothing, now or later.
    ({}, {"/etc/sysctl.d/9.conf": "kernel.unprivileged_userns_clone=0\n"}, True, {}),
    # Right now, wrong after the reboot.
    (
        {},
        {"/etc/sysctl.d/9.conf": "# x\nuser.max_user_namespaces=0\n"},
        True,
        {("user.max_user_namespaces", "boot"): "required"},
    ),
    (
        {"kernel__unprivileged_userns_clone": "1"},
        {"/etc/sysctl.d/9.conf": "kernel.unprivileged_userns_clone=0\n"},
        True,
        {("kernel.unprivileged_userns_clone", "boot"): "required"},
    ),
]


@pytest.mark.parametrize(("sysctls", "files", "needed", "failing"), SYSCTLS)
def test_user_limits(
    sysctls: dict[str, str], files: dict[str, Content], needed: bool, failing: dict[tuple[str, str], str]
) -> None:
    host = live((), **sysctls)
    laid = FakeHost({**host.files, **files})
    result = ask(namespaces.NamespacesUserLimits, laid, needed=needed)
    assert failures(result) == failing
    assert all(f.fix and f.fix["commands"] for f in result.failures)


def test_user_limits_of_a_tree() -> None:
    host = FakeHost({"/etc/sysctl.d/hard.conf": "# x\nuser.max_net_namespaces = 0\n"}, kind="root")
    result = ask(namespaces.NamespacesUserLimits, host)
    found = one(result, "user.max_net_namespaces", "boot")
    assert (found.ok, found.path, found.line) == (False, "/etc/sysctl.d/hard.conf", 2)
    assert result.severity is Severity.REQUIRED
    assert one(result, "user.max_pid_namespaces", "boot").ok


def test_a_line_of_a_package_is_overridden_not_edited() -> None:
    host = FakeHost({"/usr/lib/sysctl.d/10.conf": "user.max_net_namespaces = 0\n"}, kind="root")
    fix: Any = one(ask(namespaces.NamespacesUserLimits, host), "user.max_net_namespaces", "boot").fix
    assert "/etc/sysctl.d/" in fix["commands"][0]
    assert "sed" not in fix["commands"][0]


@pytest.mark.parametrize(
    ("files", "needed", "severity"),
    [
        ({}, False, "info"),
        ({}, True, "required"),
        ({"/etc/sysctl.d/9.conf": "user.max_user_namespaces=15000\n"}, True, None),
    ],
)
def test_el7(files: dict[str, Content], needed: bool, severity: str | None) -> None:
    host = FakeHost(
        {"/etc/os-release": 'ID="centos"\nID_LIKE="rhel fedora"\nVERSION_ID="7"\n', **files}, kind="root"
    )
    result = ask(namespaces.NamespacesUserLimits, host, needed=needed)
    assert failures(result).get(("user_namespace.enable", "boot")) == severity


@pytest.mark.parametrize("system", ["ID=debian\nVERSION_ID=7\n", 'ID="rhel"\nVERSION_ID="9.4"\n', ""])
def test_no_el7(system: str) -> None:
    host = FakeHost({"/etc/os-release": system}, kind="root")
    result = ask(namespaces.NamespacesUserLimits, host, needed=True)
    assert "user_namespace.enable" not in {f.subject for f in result.findings}
    assert result.outcome is Outcome.PASS


def test_a_kernel_before_the_limits() -> None:
    host = FakeHost({"/proc/sys/kernel/osrelease": "4.4.0\n", "/proc/sys/kernel/pid_max": "32768\n"})
    assert ask(namespaces.NamespacesUserLimits, host).outcome is Outcome.SKIP
