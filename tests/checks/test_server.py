"""The checks of what dockerd needs to serve."""

from __future__ import annotations

import importlib
import json
from typing import Any

import pytest

from hostcheck.finding import Outcome
from hostcheck.testing import FakeHost, ask

checks: Any = importlib.import_module("hostcheck.checks.server")

JSON = "/etc/docker/daemon.json"
PID = "/var/run/docker.pid"
ELF = "\x7fELF"
BASE = {"/usr/lib/systemd/systemd": ELF, "/usr/bin/dockerd": ELF, "/proc/1/comm": "systemd\n"}
ALL = [checks.ServerPidFile, checks.ServerListen, checks.ServerAuthorization]
TABLE = "sl local_address rem_address st\n 0: {}:{:04X} 00000000:0000 0A 0\n"
LOOPBACK, EVERY = "0100007F", "00000000"


def host(files: dict[str, Any] | None = None, kind: str = "live", pids: Any = None, **keys: Any) -> FakeHost:
    text = json.dumps({key.replace("_", "-"): value for key, value in keys.items()})
    own = "Local:\n  |-- 10.0.0.1\n     /32 host LOCAL\n"
    laid = {**BASE, JSON: text, "/proc/net/tcp": "sl\n", "/proc/net/fib_trie": own, **(files or {})}
    return FakeHost(laid, kind=kind, pids=pids, assumptions={"docker": "26.1.5"})


@pytest.mark.parametrize("kind", ["live", "root"])
@pytest.mark.parametrize("check", ALL)
def test_stock_hosts(check: Any, kind: str) -> None:
    assert ask(check, host(kind=kind)).outcome in (Outcome.PASS, Outcome.SKIP)
    assert ask(check, FakeHost({}, kind=kind)).outcome is Outcome.SKIP
    assert ask(check, FakeHost({**BASE, JSON: "{"}, kind=kind)).outcome is Outcome.SKIP


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("1", Outcome.FAIL),
        (" 1\n", Outcome.FAIL),
        ("2", Outcome.PASS),
        ("", Outcome.PASS),
        ("-1", Outcome.PASS),
        ("one", Outcome.PASS),
        ("9" * 5000, Outcome.PASS),
        (PermissionError(13, "no"), Outcome.UNKNOWN),
    ],
)
def test_pid_file(text: Any, outcome: Outcome) -> None:
    assert ask(checks.ServerPidFile, host({PID: text})).outcome is outcome


def test_pid_file_elsewhere_and_of_a_daemon_that_runs() -> None:
    (finding,) = ask(checks.ServerPidFile, host({"/run/own.pid": "1"}, pidfile="/run/own.pid")).failures
    assert "systemd" in finding.message
    assert finding.fix == {"hint": "", "commands": ["rm /run/own.pid"]}
    assert ask(checks.ServerPidFile, host({PID: "1"}, pids={"dockerd": (1,)})).outcome is Outcome.SKIP


@pytest.mark.parametrize(
    ("keys", "table", "outcome"),
    [
        ({"metrics_addr": "127.0.0.1:9323"}, TABLE.format(LOOPBACK, 9323), Outcome.FAIL),
        ({"metrics_addr": "127.0.0.1:9323"}, TABLE.format(EVERY, 9323), Outcome.FAIL),
        ({"metrics_addr": "0.0.0.0:9323"}, TABLE.format(LOOPBACK, 9323), Outcome.FAIL),
        ({"metrics_addr": "10.0.0.1:9323"}, TABLE.format(LOOPBACK, 9323), Outcome.PASS),
        ({"metrics_addr": "127.0.0.1:9324"}, TABLE.format(EVERY, 9323), Outcome.PASS),
        ({"hosts": ["tcp://127.0.0.1:2375"]}, TABLE.format(EVERY, 2375), Outcome.FAIL),
        ({"hosts": ["tcp://127.0.0.1:2375"]}, TABLE.format(EVERY, 2376), Outcome.PASS),
        ({"hosts": ["unix:///run/docker.sock"]}, TABLE.format(EVERY, 2375), Outcome.SKIP),
        ({"metrics_addr": "127.0.0.1:x"}, "sl\n", Outcome.SKIP),
    ],
)
def test_listen(keys: dict[str, Any], table: str, outcome: Outcome) -> None:
    files = {"/proc/net/tcp": table}
    assert ask(checks.ServerListen, host(files, **keys)).outcome is outcome
    assert ask(checks.ServerListen, host(files, pids={"dockerd": (7,)}, **keys)).outcome is Outcome.SKIP
    assert ask(checks.ServerListen, host(kind="root", **keys)).outcome is Outcome.SKIP


@pytest.mark.parametrize(
    ("address", "files", "outcome"),
    [
        ("10.0.0.1", {}, Outcome.PASS),
        ("192.0.2.9", {}, Outcome.FAIL),
        ("192.0.2.9", {"/proc/sys/net/ipv4/ip_nonlocal_bind": "1\n"}, Outcome.PASS),
        ("127.0.0.1", {}, Outcome.PASS),
        ("0.0.0.0", {}, Outcome.PASS),
    ],
)
def test_listen_on_an_address_of_this_machine(address: str, files: dict[str, Any], outcome: Outcome) -> None:
    assert ask(checks.ServerListen, host(files, metrics_addr=f"{address}:9323")).outcome is outcome


SPEC = "/etc/docker/plugins/own.spec"


@pytest.mark.parametrize(
    ("files", "kind", "outcome"),
    [
        ({}, "live", Outcome.FAIL),
        ({}, "root", Outcome.UNKNOWN),
        ({"/run/docker/plugins/own.sock": ""}, "live", Outcome.PASS),
        ({SPEC: "unix:///run/own.sock", "/run/own.sock": ""}, "live", Outcome.PASS),
        ({SPEC: "unix:///run/own.sock"}, "live", Outcome.FAIL),
        ({SPEC: "unix:///run/own.sock"}, "root", Outcome.PASS),
        ({SPEC: "tcp://127.0.0.1:8080"}, "live", Outcome.PASS),
    ],
)
def test_authorization(files: dict[str, Any], kind: str, outcome: Outcome) -> None:
    result = ask(checks.ServerAuthorization, host(files, kind=kind, authorization_plugins=["own"]))
    assert result.outcome is outcome, result.findings
