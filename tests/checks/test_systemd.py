"""How systemd runs the engines: each fault is named with its line."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from engine_units import (
    DOCKER,
    DROP_IN,
    ELF,
    ETC,
    GUIDE,
    STOCK,
    UNITS,
    I,
    R,
    W,
    failures,
    service,
    stock,
    told,
)

from hostcheck.finding import Outcome
from hostcheck.testing import ask

checks: Any = importlib.import_module("hostcheck.checks.systemd")

NO_GROUP: dict[str, str | None] = {"/etc/group": "root:x:0:\n"}
SSSD: dict[str, str | None] = {
    "/etc/nsswitch.conf": "group: files sss\n",
    "/etc/sssd/sssd.conf": "[sssd]\ndomains = a.example\n",
}

CASES: list[tuple[str, dict[str, str | None], dict[str, str]]] = [
    # Delegate, KillMode
    ("delegate", {DROP_IN: service("Delegate=no")}, {"docker.service Delegate": I}),
    (
        "delegate",
        {
            DROP_IN: service("Delegate=no"),
            "/etc/docker/daemon.json": '{"exec-opts": ["native.cgroupdriver=cgroupfs"]}',
        },
        {"docker.service Delegate": W},
    ),
    ("delegate", {DROP_IN: service("Delegate=no", "Delegate=cpu")}, {}),
    (
        "delegate",
        {f"{ETC}/containerd.service.d/1.conf": service("Delegate=no")},
        {"containerd.service Delegate": W},
    ),
    ("kill_mode", {DROP_IN: service("KillMode=mixed")}, {"docker.service KillMode": I}),
    (
        "kill_mode",
        {DROP_IN: service("KillMode=mixed"), "/etc/docker/daemon.json": '{"live-restore": true}'},
        {"docker.service KillMode": W},
    ),
    (
        "kill_mode",
        {f"{ETC}/containerd.service.d/1.conf": service("KillMode=control-group")},
        {"containerd.service KillMode": W},
    ),
    # Restart, StartLimit
    ("restart", {DROP_IN: service("Restart=no")}, {"docker.service Restart": I}),
    ("restart", {DROP_IN: service("StartLimitInterval=10s")}, {}),
    ("restart", {DROP_IN: service("StartLimitIntervalSec=10s")}, {"docker.service StartLimitInterval": I}),
    # Exec
    (
        "exec",
        {"/usr/bin/dockerd": None, "/usr/local/bin/dockerd": ELF},
        {"docker.service ExecStart /usr/bin/dockerd": R},
    ),
    ("exec", {DROP_IN: service("ExecStart=/usr/bin/dockerd")}, {"docker.service ExecStart": R}),
    ("exec", {DROP_IN: service("ExecStart=", "ExecStart=/usr/bin/dockerd")}, {}),
    ("exec", {DROP_IN: service("ExecStart=", "ExecStart=dockerd")}, {}),
    ("exec", {DROP_IN: service("ExecStart='/usr/bin/dockerd")}, {"docker.service ExecStart": R}),
    (
        "exec",
        {DROP_IN: service("ExecStartPre=/usr/bin/none")},
        {"docker.service ExecStartPre /usr/bin/none": R},
    ),
    ("exec", {DROP_IN: service("ExecStartPre=-/usr/bin/none")}, {}),
    (
        "exec",
        {DROP_IN: service("EnvironmentFile=/etc/none")},
        {"docker.service EnvironmentFile /etc/none": R},
    ),
    ("exec", {DROP_IN: service("EnvironmentFile=-/etc/none")}, {}),
    ("exec", {DROP_IN: service("EnvironmentFile=/run/flannel/env")}, {}),
    ("exec", {f"{UNITS}/docker.socket": None}, {"docker.service ExecStart fd://": R}),
    ("exec", {f"{ETC}/docker.socket": "-> /dev/null"}, {"docker.service ExecStart fd://": R}),
    (
        "exec",
        {
            f"{UNITS}/docker.service": DOCKER.replace("Requires=docker.socket\n", ""),
            f"{ETC}/sockets.target.wants/docker.socket": None,
        },
        {"docker.service ExecStart fd://": R},
    ),
    ("exec", {f"{UNITS}/docker.service": DOCKER.replace("Requires=docker.socket\n", "")}, {}),
    ("socket", {"/etc/group": "root:x:0:\n"}, {"docker.socket SocketGroup": R}),
    ("socket", {**NO_GROUP, **SSSD}, {"docker.socket SocketGroup": W}),
    ("socket", {**NO_GROUP, "/etc/nsswitch.conf": "group: ldap\n"}, {"docker.socket SocketGroup": W}),
    # Distributions name SSSD in nsswitch.conf whether it is set up or not.
    (
        "socket",
        {**NO_GROUP, **SSSD, "/etc/sssd/sssd.conf": None, "/bin/sh": ELF},
        {"docker.socket SocketGroup": R},
    ),
    (
        "socket",
        {**NO_GROUP, **SSSD, f"{ETC}/docker.socket.d/a.conf": "[Unit]\nAfter=nss-user-lookup.target\n"},
        {},
    ),
    (
        "socket",
        {**NO_GROUP, "/etc/nsswitch.conf": "group: files altfiles\n", "/usr/lib/group": "docker:x:991:\n"},
        {},
    ),
    ("socket", {**NO_GROUP, "/usr/lib/userdb/docker.group": "{}"}, {}),
]


@pytest.mark.parametrize(
    ("name", "changes", "want"), CASES, ids=[f"{n}-{i}" for i, (n, _, _) in enumerate(CASES)]
)
def test_faults(name: str, changes: dict[str, str | None], want: dict[str, str]) -> None:
    """Each fault is found, with its severity, and nothing beside it; a failure says enough."""
    told(checks, name, changes, want)


def test_old_systemd_has_the_start_limit_in_service_only() -> None:
    """EL7's 219 knows StartLimitInterval in [Service] and nothing of it in [Unit]."""
    old = {
        "/var/lib/dpkg/status": "Package: systemd\nStatus: install ok installed\nArchitecture: all\nVersion: 219-78\n\n"
    }
    guide: dict[str, str | None] = {**old, f"{UNITS}/docker.service": GUIDE}
    assert failures(checks.SystemdRestart, stock(guide)) == {}
    assert failures(checks.SystemdRestart, stock({**old})) == {"docker.service StartLimitInterval": "info"}


def test_a_copy_without_programs() -> None:
    """Where no program was copied at all, none is missed; what else is wrong is still said."""
    files: dict[str, str | None] = {path: None for path, text in STOCK.items() if text == ELF}
    installed = "Package: docker.io\nStatus: install ok installed\nArchitecture: all\nVersion: 26.1.5\n\n"
    files["/var/lib/dpkg/status"] = f"{STOCK['/var/lib/dpkg/status']}{installed}"
    assert ask(checks.SystemdExec, stock(files)).outcome is Outcome.UNKNOWN
    files[f"{UNITS}/docker.socket"] = None
    assert failures(checks.SystemdExec, stock(files)) == {"docker.service ExecStart fd://": "required"}


@pytest.mark.parametrize(
    "command, gone",
    [
        ("/usr/bin/docker daemon -H unix://", True),
        ("/usr/bin/docker -d", True),
        ("/usr/bin/docker run --rm x", False),
        ("/usr/bin/dockerd -H unix://", False),
    ],
)
def test_the_daemon_has_a_program_of_its_own(command: str, gone: bool) -> None:
    files: dict[str, str | None] = {
        f"{ETC}/docker.service.d/x.conf": f"[Service]\nExecStart=\nExecStart={command}\n",
        "/usr/bin/docker": ELF,
    }
    assert ("docker.service ExecStart" in failures(checks.SystemdExec, stock(files))) is gone


def test_a_group_that_the_first_boot_makes() -> None:
    """An image has no group yet that systemd-sysusers will make; a machine that runs should have it by now."""
    files: dict[str, str | None] = {**NO_GROUP, "/usr/lib/sysusers.d/docker.conf": "g docker - -\n"}
    assert failures(checks.SystemdSocket, stock(files)) == {}
    assert failures(checks.SystemdSocket, stock(files, kind="live")) == {"docker.socket SocketGroup": R}
