"""AppArmor and SELinux: each fault, and healthy hosts left alone."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from rootless_host import ELF, KERNEL, RESTRICTED, failures, host
from secured_host import DEBIAN, RELEASE, ROCKY, laid, package, worst

from hostcheck.finding import Outcome, Severity
from hostcheck.testing import Content, ask

checks: Any = importlib.import_module("hostcheck.checks.lsm")


@pytest.mark.parametrize(
    ("docker", "severity"),
    [("20.10.24", Severity.REQUIRED), ("23.0.6", Severity.REQUIRED), ("24.0.0", Severity.RECOMMENDED)],
)
@pytest.mark.parametrize("kind", ["live", "root"])
def test_apparmor_without_its_parser(docker: str, severity: Severity, kind: str) -> None:
    missing = {"/usr/sbin/apparmor_parser": None}
    assert worst(ask(checks.LsmAppArmor, laid(DEBIAN, missing, docker=docker, kind=kind))) is severity


def test_apparmor_off_needs_no_parser() -> None:
    missing = {"/usr/sbin/apparmor_parser": None, "/sys/module/apparmor/parameters/enabled": "N\n"}
    off = {f"/boot/config-{RELEASE}": 'CONFIG_SECURITY_APPARMOR=y\nCONFIG_LSM="yama"\n'}
    assert ask(checks.LsmAppArmor, laid(DEBIAN, missing, off)).outcome is Outcome.SKIP
    # Off now by hand, on again at the next boot.
    result = ask(checks.LsmAppArmor, laid(DEBIAN, missing))
    assert [f.when for f in result.failures] == ["boot"]


def test_apparmor_before_an_installation_is_only_worth_knowing() -> None:
    missing = {"/usr/sbin/apparmor_parser": None, "/usr/bin/dockerd": None}
    assert worst(ask(checks.LsmAppArmor, laid(DEBIAN, missing, docker=""))) is Severity.INFO


def test_apparmor_files() -> None:
    assert ask(checks.LsmAppArmorFiles, laid(DEBIAN)).outcome is Outcome.PASS
    result = ask(checks.LsmAppArmorFiles, laid(DEBIAN, {"/etc/apparmor.d/tunables/proc": ""}))
    assert worst(result) is Severity.REQUIRED
    assert result.failures[0].path == "/etc/apparmor.d/tunables/proc"


def test_apparmor_profile() -> None:
    gone = {"/sys/kernel/security/apparmor/profiles": "lsb_release (enforce)\n"}
    assert worst(ask(checks.LsmAppArmorProfile, laid(DEBIAN, gone))) is Severity.RECOMMENDED
    assert ask(checks.LsmAppArmorProfile, laid(DEBIAN, gone, pids={})).outcome is Outcome.SKIP
    closed = {"/sys/kernel/security/apparmor/profiles": PermissionError("root only")}
    assert ask(checks.LsmAppArmorProfile, laid(DEBIAN, closed)).outcome is Outcome.UNKNOWN


LABELS = {"/etc/docker/daemon.json": '{"selinux-enabled": true}'}
NO_POLICY = {
    "/usr/share/containers/selinux/contexts": None,
    "/etc/selinux/targeted/contexts/files/file_contexts": "/usr/bin/x -- system_u:object_r:bin_t:s0\n",
}


def test_selinux_policy() -> None:
    assert worst(ask(checks.LsmSelinux, laid(ROCKY, LABELS, NO_POLICY))) is Severity.REQUIRED
    assert worst(ask(checks.LsmSelinux, laid(ROCKY, NO_POLICY))) is Severity.INFO
    assert worst(ask(checks.LsmSelinux, laid(ROCKY, LABELS))) is None
    assert [f.when for f in ask(checks.LsmSelinux, laid(ROCKY, LABELS)).findings] == ["now", "boot"]
    unseen = {"/usr/share/containers/selinux/contexts": None}
    assert ask(checks.LsmSelinux, laid(ROCKY, LABELS, unseen)).outcome is Outcome.UNKNOWN
    assert ask(checks.LsmSelinux, laid(ROCKY, unseen)).outcome is Outcome.PASS


def test_selinux_enabled_where_selinux_is_off() -> None:
    assert worst(ask(checks.LsmSelinux, laid(DEBIAN, LABELS))) is Severity.RECOMMENDED
    assert ask(checks.LsmSelinux, laid(DEBIAN)).outcome is Outcome.SKIP


def test_selinux_is_on_where_mounts_have_labels() -> None:
    labels = {"/proc/self/mountinfo": "27 1 0:1 / / rw,relatime - btrfs /dev/a rw,seclabel\n"}
    assert worst(ask(checks.LsmSelinux, laid(DEBIAN, LABELS, labels))) is None


@pytest.mark.parametrize(
    ("policy", "containerd", "severity"),
    [
        ("2:2.74-1.el7", "1.2.10-3.2.el7", Severity.REQUIRED),
        ("2:2.74-1.el7", "1.2.5-3.1.el7", None),
        ("2:2.107-1.el7_6", "1.2.10-3.2.el7", None),
    ],
)
def test_selinux_policy_before_keyrings(policy: str, containerd: str, severity: Severity | None) -> None:
    status = package("container-selinux", policy) + package("containerd.io", containerd)
    assert worst(ask(checks.LsmSelinux, laid(ROCKY, {"/var/lib/dpkg/status": status}))) is severity


def test_selinux_data_root() -> None:
    moved: dict[str, Any] = {
        "/etc/docker/daemon.json": '{"data-root": "/data/docker/lib", "selinux-enabled": true}',
        "/etc/selinux/targeted/contexts/files/file_contexts.local": "",
    }
    result = ask(checks.LsmSelinuxDataRoot, laid(ROCKY, moved))
    assert worst(result) is Severity.REQUIRED
    assert result.failures[0].path == "/etc/docker/daemon.json"
    rule = {"/etc/selinux/targeted/contexts/files/file_contexts.subs": "/data/docker/lib /var/lib/docker\n"}
    assert ask(checks.LsmSelinuxDataRoot, laid(ROCKY, moved, rule)).outcome is Outcome.PASS
    unlabelled = {"/etc/docker/daemon.json": '{"data-root": "/data/docker/lib"}'}
    assert ask(checks.LsmSelinuxDataRoot, laid(ROCKY, moved, unlabelled)).outcome is Outcome.SKIP
    permissive = {"/etc/selinux/config": "SELINUX=permissive\n", "/sys/fs/selinux/enforce": "0"}
    assert ask(checks.LsmSelinuxDataRoot, laid(ROCKY, moved, permissive)).outcome is Outcome.SKIP


OFF: dict[str, Content | None] = {
    **RESTRICTED, "/etc/sysctl.d/99-x.conf": "kernel.apparmor_restrict_unprivileged_userns=0\n",
    "/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "0\n",
}  # fmt: skip


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (RESTRICTED, {}),
        (
            {**RESTRICTED, "/home/u/bin/rootlesskit": ELF},
            {"/home/u/bin/rootlesskit": ("now", "boot")},
        ),
        (
            {**RESTRICTED, "/usr/bin/rootlesskit": None, "/usr/local/bin/rootlesskit": ELF},
            {"/usr/local/bin/rootlesskit": ("now", "boot")},
        ),
        (
            {
                **RESTRICTED,
                "/home/u/bin/rootlesskit": ELF,
                "/etc/apparmor.d/home.u.bin.rootlesskit": '"/home/u/bin/rootlesskit" {\n  userns,\n}\n',
            },
            {},
        ),
        ({**RESTRICTED, "/etc/apparmor.d/rootlesskit": None}, {"/usr/bin/rootlesskit": ("now", "boot")}),
        ({**OFF, "/etc/apparmor.d/rootlesskit": None}, None),
        # Set by hand, and back after the boot.
        (
            {**OFF, "/etc/apparmor.d/rootlesskit": None, "/etc/sysctl.d/99-x.conf": None},
            {"/usr/bin/rootlesskit": ("boot",)},
        ),
        # A kernel without the key, as Debian's, whatever a file sets.
        (
            {
                **RESTRICTED,
                "/etc/apparmor.d/rootlesskit": None,
                "/proc/sys/kernel/apparmor_restrict_unprivileged_userns": None,
            },
            None,
        ),
        # No rootlesskit anywhere yet.
        ({**RESTRICTED, "/usr/bin/rootlesskit": None}, None),
    ],
)
def test_user_namespaces(files: Any, expected: dict[str, tuple[str, ...]] | None) -> None:
    found = ask(checks.LsmAppArmorUserns, host(files))
    if expected is None:
        assert found.outcome is Outcome.SKIP
    else:
        wanted = {(path, when): "required" for path, times in expected.items() for when in times}
        assert failures(found) == wanted


def test_user_namespaces_in_a_tree() -> None:
    files: dict[str, Content | None] = {**RESTRICTED, "/etc/apparmor.d/rootlesskit": None}
    found = ask(checks.LsmAppArmorUserns, host(files, kind="root"))
    assert failures(found) == {("/usr/bin/rootlesskit", "boot"): "required"}
    assert found.failures[0].path == "/usr/lib/sysctl.d/10-apparmor.conf"
    # Without the file the kernel's own default counts, if its configuration is there.
    files["/usr/lib/sysctl.d/10-apparmor.conf"] = None
    assert ask(checks.LsmAppArmorUserns, host(files, kind="root")).outcome is Outcome.SKIP
    files[f"/boot/config-{KERNEL}"] = "CONFIG_SECURITY_APPARMOR_RESTRICT_USERNS=y\n"
    assert failures(ask(checks.LsmAppArmorUserns, host(files, kind="root")))
