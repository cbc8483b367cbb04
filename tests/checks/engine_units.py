"""A host whose engines' units are as Debian ships them, for the tests of the checks of units."""

from __future__ import annotations

from typing import Any

from hostcheck import plugins
from hostcheck.check import Check
from hostcheck.finding import Outcome
from hostcheck.testing import FakeHost, ask

ELF = "\x7fELF"

DOCKER = """\
[Unit]
Description=Docker
After=network-online.target docker.socket containerd.service
Wants=network-online.target containerd.service
Requires=docker.socket
StartLimitBurst=3
StartLimitIntervalSec=60

[Service]
Type=notify
ExecStart=/usr/bin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock
ExecReload=/bin/kill -s HUP $MAINPID
TimeoutStartSec=0
RestartSec=2
Restart=always
LimitNPROC=infinity
LimitCORE=infinity
TasksMax=infinity
Delegate=yes
KillMode=process
OOMScoreAdjust=-500

[Install]
WantedBy=multi-user.target
"""

CONTAINERD = """\
[Unit]
After=network.target

[Service]
ExecStartPre=-/sbin/modprobe overlay
ExecStart=/usr/bin/containerd
Type=notify
Delegate=yes
KillMode=process
Restart=always
RestartSec=5
LimitNPROC=infinity
LimitCORE=infinity
LimitNOFILE=infinity
TasksMax=infinity
OOMScoreAdjust=-999

[Install]
WantedBy=multi-user.target
"""

SOCKET = """\
[Socket]
ListenStream=/run/docker.sock
SocketMode=0660
SocketUser=root
SocketGroup=docker

[Install]
WantedBy=sockets.target
"""

GUIDE = """\
[Unit]
Description=Docker Application Container Engine
After=network-online.target firewalld.service
Wants=network-online.target
[Service]
Type=notify
ExecStart=/usr/bin/dockerd
ExecReload=/bin/kill -s HUP $MAINPID
LimitNOFILE=infinity
LimitNPROC=infinity
TimeoutStartSec=0
Delegate=yes
KillMode=process
Restart=on-failure
StartLimitBurst=3
StartLimitInterval=60s
[Install]
WantedBy=multi-user.target
"""

UNITS = "/usr/lib/systemd/system"

ETC = "/etc/systemd/system"

DROP_IN = f"{ETC}/docker.service.d/10.conf"

STOCK = {
    "/lib": "-> usr/lib",
    "/usr/lib/systemd/systemd": ELF,
    "/usr/bin/dockerd": ELF,
    "/usr/bin/containerd": ELF,
    "/sbin/modprobe": ELF,
    "/etc/group": "root:x:0:\ndocker:x:101:\n",
    "/etc/machine-id": "00000000000000000000000000000001\n",
    "/var/lib/dpkg/status": "Package: systemd\nStatus: install ok installed\nArchitecture: all\nVersion: 257.8-1\n\n",
    f"{UNITS}/docker.service": DOCKER,
    f"{UNITS}/docker.socket": SOCKET,
    f"{UNITS}/containerd.service": CONTAINERD,
    f"{ETC}/multi-user.target.wants/docker.service": f"-> {UNITS}/docker.service",
    f"{ETC}/multi-user.target.wants/containerd.service": f"-> {UNITS}/containerd.service",
    f"{ETC}/sockets.target.wants/docker.socket": f"-> {UNITS}/docker.socket",
}


def stock(changes: dict[str, str | None] | None = None, **more: Any) -> FakeHost:
    """Return a healthy host, some of its files changed or (None) taken away."""
    files = {**STOCK, **(changes or {})}
    more.setdefault("kind", "root")
    return FakeHost({path: text for path, text in files.items() if text is not None}, **more)


def failures(check: type[Check], host: FakeHost, **parameters: object) -> dict[str, str]:
    """Return the subjects that failed, with their severities."""
    result = ask(check, host, **parameters)
    assert result.outcome is not Outcome.ERROR, result.reason
    return {f.subject: str(result.severity_of(f) if f.severity else check.severity) for f in result.failures}


def service(*lines: str) -> str:
    """Return a drop-in of [Service]."""
    return "\n".join(("[Service]", *lines, ""))


R, W, I = "required", "recommended", "info"  # noqa: E741


def told(family: Any, name: str, changes: dict[str, str | None], want: dict[str, str]) -> None:
    """Hold that a check of the family finds just this fault, and says where it is and what to do."""
    check = next(c for c in plugins.checks_in(family) if c.id.endswith(f".{name}"))
    assert failures(check, stock(changes)) == want
    for finding in ask(check, stock(changes)).failures:
        assert finding.path or finding.subject == "docker.service", finding
        assert finding.value, finding
        assert finding.expected or name == "syntax", finding
        assert finding.fix, finding
        assert finding.when == "boot", finding
        assert len(finding.message) < 160, finding
