"""Checks of units: stock units pass, each fault is named with its line, real incidents are told from traps."""

from __future__ import annotations

import importlib
import pathlib
import tarfile
from typing import Any

import pytest
import yaml

from hostcheck.check import Check
from hostcheck.finding import Outcome, Result, Severity
from hostcheck.host.root import RootHost
from hostcheck.testing import FakeHost, ask

checks: Any = importlib.import_module("hostcheck.checks.systemd")
EVERY = [c for c in vars(checks).values() if isinstance(c, type) and issubclass(c, Check) and c is not Check]

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


@pytest.mark.parametrize("check", EVERY, ids=lambda check: check.id)
def test_stock_host(check: type[Check]) -> None:
    """A stock host passes everything, or is not asked."""
    for kind in ("root", "live"):
        result = ask(check, stock(kind=kind))
        assert result.outcome in (Outcome.PASS, Outcome.SKIP), (kind, result.reason, result.failures)
        if result.outcome is Outcome.SKIP:
            assert check.id in ("systemd.running_limits", "systemd.reload_pending")


@pytest.mark.parametrize("check", EVERY, ids=lambda check: check.id)
def test_before(check: type[Check]) -> None:
    """Before an engine is there nothing is asked of its units, and on a host of OpenRC never."""
    assert ask(check, FakeHost({"/etc/os-release": ""}, kind="root")).outcome is Outcome.SKIP
    alpine = {"/sbin/openrc-run": ELF, "/usr/bin/dockerd": ELF, f"{UNITS}/docker.service": "x"}
    assert ask(check, FakeHost(alpine, kind="root")).outcome is Outcome.SKIP


def service(*lines: str) -> str:
    """Return a drop-in of [Service]."""
    return "\n".join(("[Service]", *lines, ""))


R, W, I = "required", "recommended", "info"  # noqa: E741

CASES: list[tuple[str, dict[str, str | None], dict[str, str]]] = [
    # LimitNOFILE
    ("limits", {DROP_IN: service("LimitNOFILE=39")}, {"docker.service LimitNOFILE": R}),
    ("limits", {DROP_IN: service("LimitNOFILE=64")}, {"docker.service LimitNOFILE": W}),
    ("limits", {DROP_IN: service("LimitNOFILE=1024")}, {"docker.service LimitNOFILE": W}),
    ("limits", {DROP_IN: service("LimitNOFILE=512:524288")}, {"docker.service LimitNOFILE": W}),
    ("limits", {DROP_IN: service("LimitNOFILE=infinity")}, {}),
    ("limits", {DROP_IN: service("LimitNOFILE=1M")}, {}),
    ("limits", {DROP_IN: service("LimitNPROC=512")}, {"docker.service LimitNPROC": W}),
    ("limits", {DROP_IN: service("LimitCORE=0")}, {}),
    (
        "limits",
        {"/etc/systemd/system.conf": "[Manager]\nDefaultLimitNOFILE=1024:4096\n"},
        {"docker.service LimitNOFILE": W},
    ),
    (
        "limits",
        {"/etc/sysctl.d/9.conf": "fs.nr_open = 1000000\n", DROP_IN: service("LimitNOFILE=1048576")},
        {"docker.service LimitNOFILE": R},
    ),
    (
        "limits",
        {f"{ETC}/containerd.service.d/1.conf": service("LimitNOFILE=1024:524288")},
        {"containerd.service LimitNOFILE": I},
    ),
    # MemoryMax
    ("memory_max", {DROP_IN: service("MemoryMax=6M")}, {"docker.service MemoryMax": R}),
    ("memory_max", {DROP_IN: service("MemoryMax=20M")}, {"docker.service MemoryMax": R}),
    ("memory_max", {DROP_IN: service("MemoryMax=28M")}, {"docker.service MemoryMax": W}),
    ("memory_max", {DROP_IN: service("MemoryMax=6M", "MemoryMax=1G")}, {}),
    ("memory_max", {DROP_IN: service("MemoryMax=6M", "MemoryMax=")}, {}),
    ("memory_max", {DROP_IN: service("MemoryMax=infinity")}, {}),
    ("memory_max", {DROP_IN: service("MemoryMax=10%")}, {}),
    (
        "memory_max",
        {f"{ETC}/containerd.service.d/1.conf": service("MemoryMax=10485760")},
        {"containerd.service MemoryMax": R},
    ),
    # TasksMax
    ("tasks_max", {DROP_IN: service("TasksMax=")}, {"docker.service TasksMax": I}),
    ("tasks_max", {DROP_IN: service("TasksMax=512")}, {"docker.service TasksMax": W}),
    ("tasks_max", {DROP_IN: service("TasksMax=9")}, {"docker.service TasksMax": R}),
    ("tasks_max", {DROP_IN: service("TasksMax=8192")}, {}),
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
    ("oom_score", {DROP_IN: service("OOMScoreAdjust=0")}, {"docker.service OOMScoreAdjust": I}),
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
    # Dependencies, socket
    (
        "dependencies",
        {
            f"{ETC}/docker.service": DOCKER.replace("[Unit]", "[Unit]\nBindsTo=containerd.service"),
            f"{UNITS}/containerd.service": None,
        },
        {"docker.service BindsTo containerd.service": R},
    ),
    ("dependencies", {f"{ETC}/docker.socket": "-> /dev/null"}, {"docker.service Requires docker.socket": R}),
    ("socket", {"/etc/group": "root:x:0:\n"}, {"docker.socket SocketGroup": R}),
    ("socket", {"/etc/group": "root:x:0:\n", "/etc/nsswitch.conf": "group: files sss\n"}, {}),
    # Enabled
    ("enabled", {f"{ETC}/docker.service": "-> /dev/null"}, {"docker.service": R}),
    ("enabled", {f"{ETC}/docker.service": ""}, {"docker.service": R}),
    ("enabled", {f"{ETC}/multi-user.target.wants/docker.service": None}, {"docker.service": W}),
    (
        "enabled",
        {
            f"{ETC}/multi-user.target.wants/docker.service": None,
            f"{ETC}/sockets.target.wants/docker.socket": None,
        },
        {"docker.service": W},
    ),
    ("enabled", {f"{ETC}/multi-user.target.wants/docker.service": None, "/etc/machine-id": None}, {}),
    (
        "enabled",
        {
            f"{ETC}/multi-user.target.wants/docker.service": None,
            "/etc/machine-id": None,
            "/usr/lib/systemd/system-preset/99.preset": "disable *\n",
        },
        {"docker.service": W},
    ),
    ("enabled", {f"{ETC}/multi-user.target.wants/containerd.service": None}, {}),
    ("enabled", {f"{ETC}/containerd.service": "-> /dev/null"}, {"containerd.service": R}),
    ("enabled", {f"{ETC}/docker.service": DOCKER}, {"docker.service fragment": I}),
    (
        "enabled",
        {f"{UNITS}/docker.service": None, f"{ETC}/multi-user.target.wants/docker.service": None},
        {"docker.service": W},
    ),
    # Syntax
    ("unit_syntax", {DROP_IN: service("LimitNofile=5")}, {"docker.service Service.LimitNofile": W}),
    (
        "unit_syntax",
        {DROP_IN: service("LimitNOFILE=65536 # more")},
        {"docker.service Service.LimitNOFILE": W},
    ),
    (
        "unit_syntax",
        {DROP_IN: service("LimitNOFILE=1M", "LimitNOFILE=65536")},
        {"docker.service Service.LimitNOFILE": I},
    ),
    ("unit_syntax", {DROP_IN: "[Unit]\nLimitNOFILE=5\n"}, {"docker.service Unit.LimitNOFILE": W}),
    ("unit_syntax", {DROP_IN: "LimitNOFILE=5\n"}, {"docker.service .LimitNOFILE": W}),
    ("unit_syntax", {DROP_IN: "[service]\nLimitNOFILE=5\n"}, {"docker.service service": W}),
    (
        "unit_syntax",
        {DROP_IN: service("Environment=HTTP_PROXY=http://a:b%40c@d/")},
        {"docker.service Service.Environment": R},
    ),
    ("unit_syntax", {DROP_IN: service("Environment=A=1 b%40c")}, {"docker.service Service.Environment": W}),
    ("unit_syntax", {DROP_IN: service("Environment=HTTP_PROXY=http://a:b%%40c@d/")}, {}),
    ("unit_syntax", {DROP_IN: service("FutureKey=1")}, {"docker.service Service.FutureKey": I}),
    ("unit_syntax", {DROP_IN: service("X-Note=1")}, {}),
]


@pytest.mark.parametrize(
    ("name", "changes", "want"), CASES, ids=[f"{n}-{i}" for i, (n, _, _) in enumerate(CASES)]
)
def test_faults(name: str, changes: dict[str, str | None], want: dict[str, str]) -> None:
    """Each fault is found, with its severity, and nothing beside it."""
    check = next(c for c in EVERY if c.id == f"systemd.{name}")
    assert failures(check, stock(changes)) == want


@pytest.mark.parametrize(
    ("name", "changes", "want"), CASES, ids=[f"{n}-{i}" for i, (n, _, _) in enumerate(CASES)]
)
def test_failures_say_enough(name: str, changes: dict[str, str | None], want: dict[str, str]) -> None:
    """A failure says where, what was expected, and what to do."""
    check = next(c for c in EVERY if c.id == f"systemd.{name}")
    for finding in ask(check, stock(changes)).failures:
        assert finding.path or finding.subject == "docker.service", finding
        assert finding.value, finding
        assert finding.expected or name == "unit_syntax", finding
        assert finding.fix, finding
        assert finding.when == "boot", finding
        assert len(finding.message) < 160, finding


def test_old_systemd_has_the_start_limit_in_service_only() -> None:
    """EL7's 219 knows StartLimitInterval in [Service] and nothing of it in [Unit]."""
    old = {
        "/var/lib/dpkg/status": "Package: systemd\nStatus: install ok installed\nArchitecture: all\nVersion: 219-78\n\n"
    }
    guide: dict[str, str | None] = {**old, f"{UNITS}/docker.service": GUIDE}
    assert failures(checks.SystemdRestart, stock(guide)) == {}
    assert failures(checks.SystemdRestart, stock({**old})) == {"docker.service StartLimitInterval": "info"}


def test_limits_of_old_systemd() -> None:
    """Before 240 a unit without LimitNOFILE has the kernel's 4096."""
    old = {
        "/var/lib/dpkg/status": "Package: systemd\nStatus: install ok installed\nArchitecture: all\nVersion: 237-3\n\n"
    }
    assert failures(checks.SystemdLimits, stock({**old})) == {"docker.service LimitNOFILE": "recommended"}


def test_hand_written_unit() -> None:
    """Static binaries and a unit of few lines, marked executable: it works, and nothing is worse than worth knowing."""
    changes: dict[str, str | None] = {
        f"{UNITS}/docker.service": GUIDE,
        f"{UNITS}/docker.socket": None,
        f"{UNITS}/containerd.service": None,
        f"{ETC}/multi-user.target.wants/containerd.service": None,
        f"{ETC}/sockets.target.wants/docker.socket": None,
    }
    host = stock(changes, modes={f"{UNITS}/docker.service": 0o755})
    found: dict[str, str] = {}
    for check in EVERY:
        found.update(failures(check, host))
    assert found == {"docker.service TasksMax": "info", "docker.service OOMScoreAdjust": "info"}


def limits(hard: str) -> str:
    """Return /proc/PID/limits with these open files."""
    return f"{'Limit':26}{'Soft Limit':21}{'Hard Limit':21}Units\n{'Max open files':26}{1024:<21}{hard:21}files\n"


@pytest.mark.parametrize(
    ("hard", "want"),
    [
        ("524288", {}),
        ("4096", {"dockerd LimitNOFILE": "recommended"}),
        ("1048576", {"dockerd LimitNOFILE": "recommended"}),
    ],
)
def test_running_limits(hard: str, want: dict[str, str]) -> None:
    """A process that runs with other limits than its unit gives is told from one that does not."""
    host = stock({"/proc/7/limits": limits(hard)}, kind="live", pids={"dockerd": (7,)})
    assert failures(checks.SystemdRunningLimits, host) == want


@pytest.mark.parametrize(
    ("answer", "want"), [("yes", {"docker.service NeedDaemonReload": "recommended"}), ("no", {})]
)
def test_reload_pending(answer: str, want: dict[str, str]) -> None:
    """NeedDaemonReload is asked of the running systemd."""

    class Asked(FakeHost):
        def run(self, *argv: str) -> Any:
            text = f"NeedDaemonReload={answer if argv[-1] == 'docker.service' else 'no'}\n"
            self.commands[argv] = text
            return super().run(*argv)

    files = {**STOCK, "/run/systemd/system/": ""}
    assert failures(checks.SystemdReloadPending, Asked(files, kind="live")) == want


def test_socket_that_is_a_folder() -> None:
    """A container that binds the socket before it exists leaves a folder of that name."""
    assert failures(checks.SystemdSocket, stock({"/run/docker.sock/x": ""}, kind="live")) == {
        "/run/docker.sock": "required"
    }


@pytest.mark.parametrize("suite", ["bullseye", "bookworm", "trixie", "sid"])
def test_debian_images(suite: str, corpora: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Debian's own units give nothing above info; the programs are laid down, since the corpus leaves them out."""
    with tarfile.open(corpora / "units" / f"base-{suite}.tar.xz") as tar:
        tar.extractall(tmp_path, filter="fully_trusted") if hasattr(
            tarfile, "data_filter"
        ) else tar.extractall(tmp_path)
    for path in ("usr/sbin/dockerd", "usr/bin/containerd"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"\x7fELF")
        (tmp_path / path).chmod(0o755)
    host = RootHost(str(tmp_path))
    for check in EVERY:
        result: Result = ask(check, host)
        worst = [f for f in result.failures if result.severity_of(f) is not Severity.INFO]
        assert result.outcome in (Outcome.PASS, Outcome.SKIP, Outcome.FAIL), (check.id, result.reason)
        assert not worst, (check.id, worst)


INCIDENTS = {
    "docker-service-masked": "docker.service",
    "docker-service-not-enabled-socket-only": "docker.service",
    "drop-in-adds-second-execstart": "docker.service ExecStart",
    "left-over-containerd-unit-points-to-removed-binary": "containerd.service ExecStart /usr/local/bin/containerd",
    "nofile-soft-1024-since-containerd-2.1": "containerd.service LimitNOFILE",
    "nr-open-below-unit-limit": "containerd.service LimitNOFILE",
    "own-docker-unit-wants-containerd-unit-that-package-lacks": "docker.service BindsTo containerd.service",
    "proxy-url-percent-not-doubled-in-unit": "docker.service Service.Environment",
}
"""Incident to the subject that must fail."""
TRAPS = ("trap-dockerd-by-hand-with-fd", "trap-empty-execstart-then-execstart-is-right")


def test_incidents(corpora: pathlib.Path) -> None:
    """Real incidents are found; what only looked broken gives nothing above info."""
    told = 0
    for entry in yaml.safe_load((corpora / "incidents" / "incidents.yaml").read_text()):
        key = entry["key"]
        if key not in INCIDENTS and key not in TRAPS:
            continue
        files: dict[str, str | None] = {}
        for path, text in (entry["facts"].get("files") or {}).items():
            path = path.replace("/lib/systemd", "/usr/lib/systemd") if path.startswith("/lib/") else path
            files[path] = text.removesuffix(" (symlink)")
        for path in entry["facts"].get("absent") or ():
            files[path] = files["/usr" + path] = None
        for name, value in ((entry["facts"].get("live") or {}).get("sysctl") or {}).items():
            files["/proc/sys/" + name.replace(".", "/")] = f"{value}\n"
        host = stock(files, kind="live")
        found: dict[str, str] = {}
        for check in EVERY:
            found.update(failures(check, host))
        assert (INCIDENTS[key] in found) if key in INCIDENTS else set(found.values()) <= {"info"}, (
            key,
            found,
        )
        told += 1
    print(f"incidents of units: {told}/{len(INCIDENTS) + len(TRAPS)}")
    assert told == len(INCIDENTS) + len(TRAPS)


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
