"""Security checks: what breaks containers, and what only sounds bad."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from secured_host import DEBIAN, ROCKY, laid, package, worst

from hostcheck import plugins
from hostcheck.finding import Outcome, Severity
from hostcheck.testing import FakeHost, ask

checks: Any = importlib.import_module("hostcheck.checks.security")


def every() -> list[Any]:
    """Return the checks of security, those of the kernel's security modules among them."""
    return plugins.shipped(("security.*", "lsm.*", "guest.*"))


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


@pytest.mark.parametrize(
    ("rules", "config", "bad"),
    [
        ("", "", True),
        ("allow perm=any all : dir=/var/lib/rancher/\n", "", False),
        ("allow perm=any all : dir=/var/lib/rancher/\n", "data-dir: /data/k3s\n", True),
        ("allow perm=any all : dir=/data/k3s/\n", "data-dir: /data/k3s\n", False),
    ],
)
def test_fapolicyd_beside_k3s(rules: str, config: str, bad: bool) -> None:
    files = {
        "/etc/systemd/system/multi-user.target.wants/fapolicyd.service": "-> /usr/lib/systemd/system/fapolicyd.service",
        "/usr/local/bin/k3s": "\x7fELF",
        "/etc/fapolicyd/rules.d/80-k3s.rules": rules,
        "/etc/rancher/k3s/config.yaml": config,
    }
    found = [
        each for each in ask(checks.SecurityFapolicyd, laid(ROCKY, files)).failures if each.subject == "k3s"
    ]
    assert [each.severity for each in found] == ([Severity.REQUIRED] if bad else [])
