"""Security checks: what breaks containers, and what only sounds bad."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from hostcheck.finding import Outcome, Result, Severity
from hostcheck.testing import FakeHost, ask

checks: Any = importlib.import_module("hostcheck.checks.security")

RELEASE = "6.1.0-18-amd64"
DEBIAN: dict[str, Any] = {
    "/sys/module/apparmor/parameters/enabled": "Y\n",
    "/sys/kernel/security/apparmor/profiles": "docker-default (enforce)\n",
    "/usr/sbin/apparmor_parser": "\x7fELF",
    "/proc/self/attr/current": "unconfined\n",
    "/proc/sys/kernel/seccomp/actions_avail": "kill_process errno allow\n",
    "/proc/sys/kernel/osrelease": RELEASE + "\n",
    "/proc/cmdline": "root=/dev/vda1 ro\n",
    f"/boot/config-{RELEASE}": 'CONFIG_SECURITY_APPARMOR=y\nCONFIG_LSM="yama,apparmor"\n',
    f"/boot/vmlinuz-{RELEASE}": "",
    "/etc/apparmor.d/tunables/global": "include <tunables/proc>\n",
    "/etc/apparmor.d/tunables/proc": "@{PROC}=/proc/\n",
    "/etc/group": "root:x:0:\ndocker:x:998:\n",
    "/usr/bin/dockerd": "\x7fELF",
    "/run/docker.sock": "",
}
ROCKY: dict[str, Any] = {
    "/sys/fs/selinux/enforce": "1",
    "/etc/selinux/config": "SELINUX=enforcing\nSELINUXTYPE=targeted\n",
    "/usr/share/containers/selinux/contexts": "",
    "/proc/sys/kernel/osrelease": "5.14.0-427.el9.x86_64\n",
    "/proc/cmdline": "root=/dev/vda1 ro\n",
    "/boot/config-5.14.0-427.el9.x86_64": 'CONFIG_SECURITY_SELINUX=y\nCONFIG_LSM="yama,selinux"\n',
    "/etc/group": "docker:x:998:\n",
    "/usr/bin/dockerd": "\x7fELF",
}


def laid(
    base: dict[str, Any], *over: dict[str, Any], kind: str = "live", docker: str = "28.5.2", **more: Any
) -> FakeHost:
    """Return a host with these files laid over each other; None takes one away."""
    files: dict[str, Any] = dict(base)
    for each in over:
        files.update(each)
    files = {path: text for path, text in files.items() if text is not None}
    if kind != "live":
        files = {path: text for path, text in files.items() if not path.startswith(("/proc", "/sys", "/run"))}
    more.setdefault("modes", {"/run/docker.sock": 0o660})
    more.setdefault("pids", {"dockerd": (1,)})
    assumptions = {"docker": docker, "stage": "installed"} if docker else {"stage": "before"}
    return FakeHost(files, kind=kind, assumptions=assumptions, **more)


def every() -> list[Any]:
    """Return the family's checks."""
    from hostcheck.check import Check

    return [
        c for c in vars(checks).values() if isinstance(c, type) and issubclass(c, Check) and c is not Check
    ]


def worst(result: Result) -> Severity | None:
    """Return how bad a result is, None if it is not a failure."""
    return result.severity if result.outcome is Outcome.FAIL else None


@pytest.mark.parametrize("base", [DEBIAN, ROCKY])
@pytest.mark.parametrize("kind", ["live", "root"])
def test_healthy_hosts_are_left_alone(base: dict[str, Any], kind: str) -> None:
    assert len(every()) > 9
    for check in every():
        result = ask(check, laid(base, kind=kind))
        seccomp = check.id == "security.seccomp" and base is ROCKY
        allowed = (Outcome.PASS, Outcome.SKIP, Outcome.UNKNOWN) if seccomp else (Outcome.PASS, Outcome.SKIP)
        assert result.outcome in allowed, (check.id, result.reason, result.failures)


@pytest.mark.parametrize("kind", ["live", "root"])
def test_an_empty_host_breaks_nothing(kind: str) -> None:
    for stage in ("before", "installed"):
        for check in every():
            result = ask(check, FakeHost({}, kind=kind, assumptions={"stage": stage}))
            assert result.outcome is not Outcome.ERROR, (check.id, result.reason)
            assert not result.failures, (check.id, result.failures)


@pytest.mark.parametrize(
    ("docker", "severity"),
    [("20.10.24", Severity.REQUIRED), ("23.0.6", Severity.REQUIRED), ("24.0.0", Severity.RECOMMENDED)],
)
@pytest.mark.parametrize("kind", ["live", "root"])
def test_apparmor_without_its_parser(docker: str, severity: Severity, kind: str) -> None:
    missing = {"/usr/sbin/apparmor_parser": None}
    assert worst(ask(checks.SecurityAppArmor, laid(DEBIAN, missing, docker=docker, kind=kind))) is severity


def test_apparmor_off_needs_no_parser() -> None:
    missing = {"/usr/sbin/apparmor_parser": None, "/sys/module/apparmor/parameters/enabled": "N\n"}
    off = {f"/boot/config-{RELEASE}": 'CONFIG_SECURITY_APPARMOR=y\nCONFIG_LSM="yama"\n'}
    assert ask(checks.SecurityAppArmor, laid(DEBIAN, missing, off)).outcome is Outcome.SKIP
    # Off now by hand, on again at the next boot.
    result = ask(checks.SecurityAppArmor, laid(DEBIAN, missing))
    assert [f.when for f in result.failures] == ["boot"]


def test_apparmor_before_an_installation_is_only_worth_knowing() -> None:
    missing = {"/usr/sbin/apparmor_parser": None, "/usr/bin/dockerd": None}
    assert worst(ask(checks.SecurityAppArmor, laid(DEBIAN, missing, docker=""))) is Severity.INFO


def test_apparmor_files() -> None:
    assert ask(checks.SecurityAppArmorFiles, laid(DEBIAN)).outcome is Outcome.PASS
    result = ask(checks.SecurityAppArmorFiles, laid(DEBIAN, {"/etc/apparmor.d/tunables/proc": ""}))
    assert worst(result) is Severity.REQUIRED
    assert result.failures[0].path == "/etc/apparmor.d/tunables/proc"


def test_apparmor_profile() -> None:
    gone = {"/sys/kernel/security/apparmor/profiles": "lsb_release (enforce)\n"}
    assert worst(ask(checks.SecurityAppArmorProfile, laid(DEBIAN, gone))) is Severity.RECOMMENDED
    assert ask(checks.SecurityAppArmorProfile, laid(DEBIAN, gone, pids={})).outcome is Outcome.SKIP
    closed = {"/sys/kernel/security/apparmor/profiles": PermissionError("root only")}
    assert ask(checks.SecurityAppArmorProfile, laid(DEBIAN, closed)).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("runc", "outcome"),
    [
        ("1.1.12", Outcome.PASS),
        ("1.2.7", Outcome.PASS),
        ("1.2.8", Outcome.FAIL),
        ("1.3.2", Outcome.PASS),
        ("1.3.3", Outcome.FAIL),
        ("1.4.0-rc.2", Outcome.PASS),
        ("1.4.0-rc.3", Outcome.FAIL),
        ("1.4.1", Outcome.FAIL),
    ],
)
def test_lxc_guest(runc: str, outcome: Outcome) -> None:
    label = {
        "/proc/self/attr/current": "lxc-100_</var/lib/lxc>//&:lxc-100_<-var-lib-lxc>:unconfined (enforce)\n",
        "/usr/bin/runc": "\x7fELF",
    }
    commands = {(program, "--version"): f"runc version {runc}\n" for program in ("runc", "/usr/bin/runc")}
    assert ask(checks.SecurityLxcGuest, laid(DEBIAN, label, commands=commands)).outcome is outcome
    assert ask(checks.SecurityLxcGuest, laid(DEBIAN, commands=commands)).outcome is Outcome.SKIP
    running = laid(DEBIAN, label, commands=commands, pids={"containerd-shim": (7,)})
    assert ask(checks.SecurityLxcGuest, running).outcome is Outcome.PASS


LABELS = {"/etc/docker/daemon.json": '{"selinux-enabled": true}'}
NO_POLICY = {
    "/usr/share/containers/selinux/contexts": None,
    "/etc/selinux/targeted/contexts/files/file_contexts": "/usr/bin/x -- system_u:object_r:bin_t:s0\n",
}


def test_selinux_policy() -> None:
    assert worst(ask(checks.SecuritySelinux, laid(ROCKY, LABELS, NO_POLICY))) is Severity.REQUIRED
    assert worst(ask(checks.SecuritySelinux, laid(ROCKY, NO_POLICY))) is Severity.INFO
    assert worst(ask(checks.SecuritySelinux, laid(ROCKY, LABELS))) is None
    assert [f.when for f in ask(checks.SecuritySelinux, laid(ROCKY, LABELS)).findings] == ["now", "boot"]
    unseen = {"/usr/share/containers/selinux/contexts": None}
    assert ask(checks.SecuritySelinux, laid(ROCKY, LABELS, unseen)).outcome is Outcome.UNKNOWN
    assert ask(checks.SecuritySelinux, laid(ROCKY, unseen)).outcome is Outcome.PASS


def test_selinux_enabled_where_selinux_is_off() -> None:
    assert worst(ask(checks.SecuritySelinux, laid(DEBIAN, LABELS))) is Severity.RECOMMENDED
    assert ask(checks.SecuritySelinux, laid(DEBIAN)).outcome is Outcome.SKIP


def test_selinux_is_on_where_mounts_have_labels() -> None:
    labels = {"/proc/self/mountinfo": "27 1 0:1 / / rw,relatime - btrfs /dev/a rw,seclabel\n"}
    assert worst(ask(checks.SecuritySelinux, laid(DEBIAN, LABELS, labels))) is None


def package(name: str, version: str, arch: str = "amd64") -> str:
    """Return a stanza of a dpkg status file: the check does not mind which database says so."""
    return f"Package: {name}\nStatus: install ok installed\nArchitecture: {arch}\nVersion: {version}\n\n"


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
    assert worst(ask(checks.SecuritySelinux, laid(ROCKY, {"/var/lib/dpkg/status": status}))) is severity


def test_selinux_data_root() -> None:
    moved: dict[str, Any] = {
        "/etc/docker/daemon.json": '{"data-root": "/data/docker/lib", "selinux-enabled": true}',
        "/etc/selinux/targeted/contexts/files/file_contexts.local": "",
    }
    result = ask(checks.SecuritySelinuxDataRoot, laid(ROCKY, moved))
    assert worst(result) is Severity.REQUIRED
    assert result.failures[0].path == "/etc/docker/daemon.json"
    rule = {"/etc/selinux/targeted/contexts/files/file_contexts.subs": "/data/docker/lib /var/lib/docker\n"}
    assert ask(checks.SecuritySelinuxDataRoot, laid(ROCKY, moved, rule)).outcome is Outcome.PASS
    unlabelled = {"/etc/docker/daemon.json": '{"data-root": "/data/docker/lib"}'}
    assert ask(checks.SecuritySelinuxDataRoot, laid(ROCKY, moved, unlabelled)).outcome is Outcome.SKIP
    permissive = {"/etc/selinux/config": "SELINUX=permissive\n", "/sys/fs/selinux/enforce": "0"}
    assert ask(checks.SecuritySelinuxDataRoot, laid(ROCKY, moved, permissive)).outcome is Outcome.SKIP


def test_seccomp() -> None:
    without = {"/proc/sys/kernel/seccomp/actions_avail": None, "/proc/self/status": "Name:\tx\n"}
    assert worst(ask(checks.SecuritySeccomp, laid(DEBIAN, without))) is Severity.RECOMMENDED


@pytest.mark.parametrize(
    ("version", "arch", "outcome"),
    [
        ("2.3.3-4", "armhf", Outcome.FAIL),
        ("2.3.3-4", "amd64", Outcome.SKIP),
        ("2.5.4-1+deb12u1", "armhf", Outcome.PASS),
    ],
)
def test_libseccomp(version: str, arch: str, outcome: Outcome) -> None:
    status = {"/var/lib/dpkg/status": package("libseccomp2", version, arch)}
    assert ask(checks.SecurityLibseccomp, laid(DEBIAN, status)).outcome is outcome


def test_docker_socket() -> None:
    result = ask(checks.SecurityDockerSocket, laid(DEBIAN, modes={"/run/docker.sock": 0o666}))
    assert worst(result) is Severity.RECOMMENDED
    unit = {
        "/usr/lib/systemd/system/docker.socket": "[Socket]\nListenStream=/run/docker.sock\nSocketMode=0660\n",
        "/etc/systemd/system/docker.socket.d/x.conf": "[Socket]\nSocketMode=0666\n",
    }
    result = ask(checks.SecurityDockerSocket, laid(DEBIAN, unit))
    assert [(f.ok, f.when) for f in result.findings] == [(True, "now"), (False, "boot")]
    assert (result.failures[0].path, result.failures[0].line) == (
        "/etc/systemd/system/docker.socket.d/x.conf",
        2,
    )


def test_docker_group() -> None:
    without: dict[str, Any] = {"/etc/group": "root:x:0:\n"}
    assert worst(ask(checks.SecurityDockerGroup, laid(DEBIAN, without))) is Severity.INFO
    remote: dict[str, Any] = {
        "/etc/nsswitch.conf": "group: files ldap\n",
        "/etc/systemd/system/docker.service": "[Service]\nExecStart=/usr/bin/dockerd -H unix://\n",
    }
    assert worst(ask(checks.SecurityDockerGroup, laid(DEBIAN, without, remote))) is Severity.RECOMMENDED
    activated = {"/etc/systemd/system/docker.service": "[Service]\nExecStart=/usr/bin/dockerd -H fd://\n"}
    assert worst(ask(checks.SecurityDockerGroup, laid(DEBIAN, without, remote, activated))) is Severity.INFO


def test_fapolicyd() -> None:
    wants = {
        "/etc/systemd/system/multi-user.target.wants/fapolicyd.service": "-> /usr/lib/systemd/system/fapolicyd.service"
    }
    assert worst(ask(checks.SecurityFapolicyd, laid(ROCKY, wants))) is Severity.RECOMMENDED
    trust = {"/etc/fapolicyd/fapolicyd.trust": "/usr/bin/dockerd 1234 abcd\n"}
    assert ask(checks.SecurityFapolicyd, laid(ROCKY, wants, trust)).outcome is Outcome.PASS
    permissive = {"/etc/fapolicyd/fapolicyd.conf": "permissive = 1\n"}
    assert ask(checks.SecurityFapolicyd, laid(ROCKY, wants, permissive)).outcome is Outcome.SKIP


@pytest.mark.parametrize(
    ("conf", "outcome"),
    [
        ("OnAccessIncludePath /\nOnAccessPrevention yes\n", Outcome.FAIL),
        ("OnAccessIncludePath /\nOnAccessPrevention no\n", Outcome.PASS),
        ("OnAccessIncludePath /home\nOnAccessPrevention yes\n", Outcome.PASS),
        (
            "OnAccessIncludePath /\nOnAccessExcludePath /var/lib/docker/\nOnAccessPrevention yes\n",
            Outcome.PASS,
        ),
        (
            "# OnAccessExcludePath /var/lib/docker\nOnAccessMountPath /\nOnAccessPrevention yes\n",
            Outcome.FAIL,
        ),
    ],
)
def test_on_access_scanner(conf: str, outcome: Outcome) -> None:
    files = {
        "/etc/clamav/clamd.conf": conf,
        "/etc/systemd/system/multi-user.target.wants/clamav-clamonacc.service": "[Unit]\n",
    }
    assert ask(checks.SecurityOnAccessScanner, laid(DEBIAN, files)).outcome is outcome
