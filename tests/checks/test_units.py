"""The engines' unit files: stock units pass, each fault is named with its line, real incidents are told from traps."""

from __future__ import annotations

import importlib
import pathlib
import tarfile
from typing import Any

import pytest
import yaml
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

from hostcheck import plugins
from hostcheck.check import Check
from hostcheck.finding import Outcome, Result, Severity
from hostcheck.host.root import RootHost
from hostcheck.testing import FakeHost, ask

checks: Any = importlib.import_module("hostcheck.checks.units")

CASES: list[tuple[str, dict[str, str | None], dict[str, str]]] = [
    # Dependencies, socket
    (
        "dependencies",
        {f"{ETC}/docker.service.d/x.conf": "[Unit]\nBindsTo=containerd.service\n"},
        {"docker.service BindsTo containerd.service": W},
    ),
    ("dependencies", {f"{ETC}/docker.service.d/x.conf": "[Unit]\nRequires=containerd.service\n"}, {}),
    (
        "dependencies",
        {
            f"{ETC}/docker.service": DOCKER.replace("[Unit]", "[Unit]\nBindsTo=containerd.service"),
            f"{UNITS}/containerd.service": None,
        },
        {"docker.service BindsTo containerd.service": R},
    ),
    ("dependencies", {f"{ETC}/docker.socket": "-> /dev/null"}, {"docker.service Requires docker.socket": R}),
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
    ("syntax", {DROP_IN: service("LimitNofile=5")}, {"docker.service Service.LimitNofile": W}),
    (
        "syntax",
        {DROP_IN: service("LimitNOFILE=65536 # more")},
        {"docker.service Service.LimitNOFILE": W},
    ),
    (
        "syntax",
        {DROP_IN: service("LimitNOFILE=1M", "LimitNOFILE=65536")},
        {"docker.service Service.LimitNOFILE": I},
    ),
    ("syntax", {DROP_IN: "[Unit]\nLimitNOFILE=5\n"}, {"docker.service Unit.LimitNOFILE": W}),
    ("syntax", {DROP_IN: "LimitNOFILE=5\n"}, {"docker.service .LimitNOFILE": W}),
    ("syntax", {DROP_IN: "[service]\nLimitNOFILE=5\n"}, {"docker.service service": W}),
    (
        "syntax",
        {DROP_IN: service("Environment=HTTP_PROXY=http://a:b%40c@d/")},
        {"docker.service Service.Environment": R},
    ),
    ("syntax", {DROP_IN: service("Environment=A=1 b%40c")}, {"docker.service Service.Environment": W}),
    ("syntax", {DROP_IN: service("Environment=HTTP_PROXY=http://a:b%%40c@d/")}, {}),
    ("syntax", {DROP_IN: service("FutureKey=1")}, {"docker.service Service.FutureKey": I}),
    ("syntax", {DROP_IN: service("X-Note=1")}, {}),
]


@pytest.mark.parametrize(
    ("name", "changes", "want"), CASES, ids=[f"{n}-{i}" for i, (n, _, _) in enumerate(CASES)]
)
def test_faults(name: str, changes: dict[str, str | None], want: dict[str, str]) -> None:
    """Each fault is found, with its severity, and nothing beside it; a failure says enough."""
    told(checks, name, changes, want)


EVERY = [
    check
    for family in ("limits", "systemd", "units")
    for check in plugins.checks_in(importlib.import_module(f"hostcheck.checks.{family}"))
]


@pytest.mark.parametrize("check", EVERY, ids=lambda check: check.id)
def test_stock_host(check: type[Check]) -> None:
    """A stock host passes everything, or is not asked."""
    for kind in ("root", "live"):
        result = ask(check, stock(kind=kind))
        assert result.outcome in (Outcome.PASS, Outcome.SKIP), (kind, result.reason, result.failures)
        if result.outcome is Outcome.SKIP:
            assert check.id in ("limits.running", "units.reload_pending")


@pytest.mark.parametrize("check", EVERY, ids=lambda check: check.id)
def test_before(check: type[Check]) -> None:
    """Before an engine is there nothing is asked of its units, and on a host of OpenRC never."""
    assert ask(check, FakeHost({"/etc/os-release": ""}, kind="root")).outcome is Outcome.SKIP
    alpine = {"/sbin/openrc-run": ELF, "/usr/bin/dockerd": ELF, f"{UNITS}/docker.service": "x"}
    assert ask(check, FakeHost(alpine, kind="root")).outcome is Outcome.SKIP


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
    assert failures(checks.UnitsReloadPending, Asked(files, kind="live")) == want


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
