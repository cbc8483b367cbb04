"""The checks of where containers' logs go."""

from __future__ import annotations

import importlib
import json
from typing import Any

import pytest

from hostcheck.finding import Outcome, Result
from hostcheck.testing import FakeHost, ask

checks: Any = importlib.import_module("hostcheck.checks.logging")

JSON = "/etc/docker/daemon.json"
ELF = "\x7fELF"
BASE = {"/usr/lib/systemd/systemd": ELF, "/usr/bin/dockerd": ELF, "/proc/1/comm": "systemd\n"}
NOBODY = "sl local_address rem_address st\n"
FLUENTD = NOBODY + " 0: 0100007F:5EA0 00000000:0000 0A 0\n"
"""Somebody listens on 127.0.0.1:24224."""
ELSEWHERE = NOBODY + " 0: 0100A8C0:5EA0 00000000:0000 0A 0\n"
"""Somebody listens on 192.168.0.1:24224 only."""


def host(driver: str, files: dict[str, Any] | None = None, version: str = "26.1.5", **more: Any) -> FakeHost:
    options = more.pop("options", {})
    text = json.dumps({"log-driver": driver, **({"log-opts": options} if options else {})})
    laid = {**BASE, "/proc/net/tcp": NOBODY, JSON: text, **(files or {})}
    return FakeHost(laid, assumptions={"docker": version}, **more)


def failures(result: Result) -> list[tuple[str, str]]:
    return [(finding.subject, str(result.severity_of(finding))) for finding in result.failures]


@pytest.mark.parametrize("kind", ["live", "root"])
@pytest.mark.parametrize("check", [checks.LoggingDriver, checks.LoggingEndpoint])
def test_stock_hosts(check: Any, kind: str) -> None:
    stock = FakeHost(BASE, kind=kind, assumptions={"docker": "26.1.5"})
    assert ask(check, stock).outcome in (Outcome.PASS, Outcome.SKIP)
    assert ask(check, FakeHost({}, kind=kind)).outcome is Outcome.SKIP
    assert ask(check, FakeHost({**BASE, JSON: "{"}, kind=kind)).outcome is Outcome.SKIP


PLUGIN = "/var/lib/docker/plugins/0a1b/config.json"


@pytest.mark.parametrize(
    ("driver", "files", "version", "outcome"),
    [
        ("json-file", {}, "26.1.5", Outcome.PASS),
        ("none", {}, "26.1.5", Outcome.PASS),
        ("jsonfile", {}, "26.1.5", Outcome.FAIL),
        ("etwlogs", {}, "26.1.5", Outcome.FAIL),
        ("logentries", {}, "24.0.9", Outcome.PASS),
        ("logentries", {}, "25.0.0", Outcome.FAIL),
        ("local", {}, "18.6.3", Outcome.FAIL),
        ("loki", {}, "26.1.5", Outcome.FAIL),
        ("loki", {PLUGIN: '{"plugin": {"Name": "loki:latest", "Enabled": true}}'}, "26.1.5", Outcome.PASS),
        ("loki", {PLUGIN: '{"plugin": {"Name": "loki:latest", "Enabled": false}}'}, "26.1.5", Outcome.FAIL),
        ("loki", {PLUGIN: "[" * 10}, "26.1.5", Outcome.FAIL),
        ("a/loki:2", {PLUGIN: '{"plugin": {"Name": "a/loki:2"}}'}, "26.1.5", Outcome.PASS),
        ("own", {"/run/docker/plugins/own.sock": ""}, "26.1.5", Outcome.PASS),
        ("own", {"/etc/docker/plugins/own.spec": "unix:///run/own.sock"}, "26.1.5", Outcome.PASS),
        ("own", {"/usr/lib/docker/plugins/own/own.json": "{}"}, "26.1.5", Outcome.PASS),
    ],
)
def test_driver(driver: str, files: dict[str, Any], version: str, outcome: Outcome) -> None:
    result = ask(checks.LoggingDriver, host(driver, files, version))
    assert result.outcome is outcome, result.findings


def test_driver_of_a_tree() -> None:
    """A plugin may make its socket at boot; a slip of the pen does not."""
    assert ask(checks.LoggingDriver, host("jsonfile", kind="root")).outcome is Outcome.FAIL
    assert ask(checks.LoggingDriver, host("jsonfile", kind="root")).failures[0].expected == "json-file"
    assert ask(checks.LoggingDriver, host("loki", kind="root")).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("driver", "options", "missing"),
    [
        ("gelf", {}, ["gelf-address"]),
        ("gelf", {"gelf-address": "udp://192.0.2.1:12201"}, []),
        ("awslogs", {}, ["awslogs-group"]),
        ("splunk", {"splunk-token": "x"}, ["splunk-url"]),
        ("syslog", {}, []),
        ("gcplogs", {}, []),
    ],
)
def test_needed_options(driver: str, options: dict[str, str], missing: list[str]) -> None:
    result = ask(checks.LoggingDriver, host(driver, options=options))
    assert [f.subject for f in result.failures] == [f"daemon.json log-opts.{name}" for name in missing]


JOURNAL = {"/run/systemd/journal/socket": ""}


@pytest.mark.parametrize(
    ("driver", "options", "files", "outcome"),
    [
        ("json-file", {}, {}, Outcome.SKIP),
        ("journald", {}, {}, Outcome.FAIL),
        ("journald", {}, JOURNAL, Outcome.PASS),
        ("journald", {}, {"/run/systemd/system/": ""}, Outcome.PASS),
        ("syslog", {}, {}, Outcome.FAIL),
        ("syslog", {}, {"/dev/log": ""}, Outcome.PASS),
        ("syslog", {"syslog-address": "udp://127.0.0.1:514"}, {}, Outcome.PASS),
        ("syslog", {"syslog-address": "tcp://127.0.0.1"}, {}, Outcome.FAIL),
        ("syslog", {"syslog-address": "tcp+tls://logs.example:6514"}, {}, Outcome.PASS),
        ("fluentd", {}, {}, Outcome.FAIL),
        ("fluentd", {}, {"/proc/net/tcp": FLUENTD}, Outcome.PASS),
        ("fluentd", {}, {"/proc/net/tcp": ELSEWHERE}, Outcome.FAIL),
        ("fluentd", {"fluentd-address": "localhost:24224"}, {"/proc/net/tcp": FLUENTD}, Outcome.PASS),
        ("fluentd", {"fluentd-address": "localhost"}, {"/proc/net/tcp": FLUENTD}, Outcome.PASS),
        ("fluentd", {"fluentd-address": "127.0.0.1:24225"}, {"/proc/net/tcp": FLUENTD}, Outcome.FAIL),
        ("fluentd", {"fluentd-address": "192.0.2.7:24224"}, {}, Outcome.PASS),
        ("fluentd", {"fluentd-address": "unix:///run/fluentd.sock"}, {}, Outcome.FAIL),
        ("fluentd", {"fluentd-address": "unix:///run/fluentd.sock"}, {"/run/fluentd.sock": ""}, Outcome.PASS),
        ("fluentd", {"fluentd-async": "true"}, {}, Outcome.PASS),
        ("fluentd", {"fluentd-async": "false"}, {}, Outcome.FAIL),
        ("gelf", {"gelf-address": "tcp://127.0.0.1:12201"}, {}, Outcome.FAIL),
        ("gelf", {"gelf-address": "udp://127.0.0.1:12201"}, {}, Outcome.PASS),
    ],
)
def test_endpoint(driver: str, options: dict[str, str], files: dict[str, Any], outcome: Outcome) -> None:
    result = ask(checks.LoggingEndpoint, host(driver, files, options=options))
    assert result.outcome is outcome, result.findings or result.reason
    assert {severity for _, severity in failures(result)} <= {"required"}


def test_endpoint_that_may_be_a_container() -> None:
    """A fluentd that runs as a container starts with dockerd, and has a log driver of its own."""
    stopped = host("fluentd", {"/var/lib/docker/containers/0a1b/config.v2.json": "{}"})
    assert failures(ask(checks.LoggingEndpoint, stopped)) == [("fluentd", "recommended")]
    stopped.processes["dockerd"] = (7,)
    assert failures(ask(checks.LoggingEndpoint, stopped)) == [("fluentd", "required")]


@pytest.mark.parametrize(
    ("driver", "systemd", "outcome"),
    [
        ("journald", True, Outcome.PASS),
        ("journald", False, Outcome.FAIL),
        ("syslog", True, Outcome.PASS),
        ("syslog", False, Outcome.UNKNOWN),
        ("fluentd", True, Outcome.UNKNOWN),
    ],
)
def test_endpoint_of_a_tree(driver: str, systemd: bool, outcome: Outcome) -> None:
    files = {"/usr/bin/dockerd": ELF, JSON: json.dumps({"log-driver": driver})}
    files["/usr/lib/systemd/systemd" if systemd else "/sbin/openrc-run"] = ELF
    tree = FakeHost(files, kind="root", assumptions={"docker": "26.1.5"})
    assert ask(checks.LoggingEndpoint, tree).outcome is outcome
