"""`hostcheck serve` as a scrape, an attacker and an administrator meet it: over loopback, as a process of its own."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

pytest.importorskip("h11")

from exporters import START_SECONDS, TREE, Service, free_port, serving

from hostcheck import exporter_loop, exporter_pages, http_accept


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving() as running:
        running.wait()
        yield running


def test_pages(service: Service) -> None:
    status, headers, body = service.get("/")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b"<title>" in body
    status, headers, body = service.get("/report.json")
    assert (status, json.loads(body)["verdict"]) == (200, "ready")
    assert service.get("/-/healthy")[0] == service.get("/-/ready")[0] == 200
    assert service.get("/nothing")[0] == 404
    status, headers, body = service.get("/metrics", "POST")
    assert (status, headers["allow"]) == (405, "GET, HEAD")


def test_what_is_not_asked_for_is_not_in_memory(service: Service) -> None:
    """OpenSSL alone is 5 of 25 MiB."""
    mapped = pathlib.Path(f"/proc/{service.process.pid}/maps").read_text()
    assert "python" in mapped
    assert not re.search("libssl|libcrypto", mapped)


def test_metrics_are_as_prometheus_wants_them(service: Service) -> None:
    promtool = shutil.which("promtool")
    if not promtool:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    text = service.get("/metrics")[2].decode()
    done = subprocess.run(
        [promtool, "check", "metrics"], input=text, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_openmetrics_parses(service: Service) -> None:
    """The parser of prometheus_client, which is strict, is the judge."""
    from prometheus_client.openmetrics.parser import text_string_to_metric_families

    accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2"
    status, headers, body = service.get("/metrics", Accept=accept)
    assert (status, headers["content-type"]) == (200, http_accept.OPENMETRICS % "1.0.0")
    parse: Any = text_string_to_metric_families
    names = {family.name for family in parse(body.decode())}
    assert {
        "hostcheck_ready",
        "hostcheck_run_failures",
        "process_cpu_seconds",
        "hostcheck_last_run_success",
    } <= names


def test_term_ends_it() -> None:
    with serving() as running:
        running.wait("/-/healthy")
        code, told = running.end()
    assert code == 0
    assert "Traceback" not in told


def folder_with(tmp_path: pathlib.Path, body: str) -> str:
    (tmp_path / "checks.d").mkdir(exist_ok=True)
    head = """
        import os, time
        from hostcheck.api import Check, Host, failed, passed

        class LocalOwn(Check):
            '''Own.

            *Why* It is.

            *Needs* Nothing.

            *Fix* None.
            '''
            id = "local.own"

            def run(self, host):
    """
    text = textwrap.dedent(head).rstrip() + "\n" + textwrap.indent(textwrap.dedent(body), " " * 8)
    (tmp_path / "checks.d" / "own.py").write_text(text)
    return str(tmp_path / "checks.d")


def test_a_hanging_check_is_cut_off(tmp_path: pathlib.Path) -> None:
    folder = folder_with(tmp_path, "time.sleep(1000)\nyield passed('x', 'y')\n")
    with serving("--checks-dir", folder, "--check-timeout", "0.5") as running:
        running.wait()
        results = {r["id"]: r for r in json.loads(running.get("/report.json")[2])["results"]}
    assert results["local.own"]["outcome"] == "error"
    assert "cut off after 0.5 s" in results["local.own"]["reason"]
    assert len(results) > 50


def test_a_failing_run_keeps_the_last_report(tmp_path: pathlib.Path) -> None:
    """What ends the run's process, or hangs it as a whole, loses nothing; and it is told."""
    mark = tmp_path / "mark"
    body = f"""
        if os.path.exists({str(mark)!r}):
            os._exit(7)
        yield passed('x', 'y')
    """
    folder = folder_with(tmp_path, body)
    with serving("--checks-dir", folder, "--interval", "0.3") as running:
        running.wait()
        running.until("hostcheck_last_run_success", 1)
        mark.touch()
        running.until("hostcheck_last_run_success", 0)
        as_of = running.metric("hostcheck_last_run_timestamp_seconds")
        failures = running.metric("hostcheck_run_failures_total")
        running.until("hostcheck_run_failures_total", failures, False)
        assert running.metric("hostcheck_last_run_timestamp_seconds") == as_of
        assert json.loads(running.get("/report.json")[2])["verdict"] == "ready"
        mark.unlink()
        running.until("hostcheck_last_run_success", 1)
        _, told = running.end()
    assert "it ended with 7" in told


def test_a_run_that_cannot_be_ended_is_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """No second one hangs beside it, for years, until there is no process left to have."""
    killed: list[int] = []
    monkeypatch.setattr(os, "killpg", lambda number, signal: killed.append(number))
    monkeypatch.setattr(exporter_loop, "END_SECONDS", 0.1)
    options = argparse.Namespace(run_timeout=0.1, interval=1000.0)

    async def three_runs() -> exporter_pages.State:
        state = exporter_pages.State()
        runs = exporter_loop.Runs(state, ["sleep", "1000"], options)
        await runs.once()
        await runs.once()
        assert runs.process is not None
        runs.process.kill()
        await runs.once()
        runs.process.kill()
        await runs.process.wait()
        return state

    state = asyncio.run(three_runs())
    assert (state.runs, state.failures, len(killed), len(set(killed))) == (3, 3, 2, 2)


def test_hup_runs_now_with_the_policy_as_it_is(tmp_path: pathlib.Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("extends: docker\nselect: [os.*]\n")
    with serving("--policy", str(policy), "--interval", "1000") as running:
        running.wait()
        policy.write_text("extends: docker\nselect: [kernel.version]\n")
        running.process.send_signal(signal.SIGHUP)
        limit = time.monotonic() + START_SECONDS
        ids: list[str] = []
        while ids != ["kernel.version"] and time.monotonic() < limit:
            ids = [r["id"] for r in json.loads(running.get("/report.json")[2])["results"]]
            time.sleep(0.1)
    assert ids == ["kernel.version"]


def test_a_broken_policy_keeps_the_one_before(tmp_path: pathlib.Path) -> None:
    """Runs go on, with the last policy that could be used and with what it extended; the metrics say so."""
    (tmp_path / "base.yaml").write_text(
        "extends: docker\nselect: [os.*]\nwaivers: [{id: os.root, reason: known, expires: 2999-01-01}]\n"
    )
    policy = tmp_path / "policy.yaml"
    policy.write_text("extends: ./base.yaml\nseverities: {os.support: info}\n")

    def told(running: Service) -> dict[str, str]:
        results = json.loads(running.get("/report.json")[2])["results"]
        return {result["id"]: result["severity"] for result in results}

    with serving("--policy", str(policy), "--interval", "1000") as running:
        running.wait()
        before = told(running)
        running.until("hostcheck_config_last_reload_successful", 1)
        (tmp_path / "base.yaml").write_text("extends: [")
        running.process.send_signal(signal.SIGHUP)
        running.until("hostcheck_config_last_reload_successful", 0)
        running.until("hostcheck_runs_total", 2)
        assert running.metric("hostcheck_last_run_success") == 1
        assert told(running) == before
        (tmp_path / "base.yaml").write_text("extends: docker\nselect: [kernel.version]\n")
        policy.write_text("extends: ./base.yaml\n")
        running.process.send_signal(signal.SIGHUP)
        running.until("hostcheck_config_last_reload_successful", 1)
        assert list(told(running)) == ["kernel.version"]
        _, said = running.end()
    assert before["os.support"] == "info"
    assert "policy.waivers" in before
    assert said.count("the last policy that could be used stands in") == 1
    assert "base.yaml:2:1: " in said


def test_before_the_first_report_it_tells_of_itself(tmp_path: pathlib.Path) -> None:
    folder = folder_with(tmp_path, "time.sleep(1000)\nyield passed('x', 'y')\n")
    with serving("--checks-dir", folder, "--check-timeout", "1000") as running:
        running.wait("/-/healthy")
        assert running.metric("hostcheck_runs_total") == running.metric("hostcheck_last_run_success") == 0
        assert running.get("/metrics", Accept="application/openmetrics-text")[2].endswith(b"# EOF\n")
        for path in ("/", "/report.json", "/-/ready"):
            assert running.get(path)[0] == 503


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--policy", "/none.yaml"], 2, "/none.yaml"),
        (["--web.config.file", "/none.yml"], 2, "/none.yml"),
        (["--web.listen-address", "nowhere"], 2, "not an address"),
        (["--web.listen-address", "::1:80"], 2, "in brackets, as in [::1]"),
        (["--web.listen-address", ":65536"], 2, "not an address"),
        (["--web.systemd-socket"], 2, "systemd hands over no socket"),
        (["--interval", "0"], 2, "--interval"),
        # These may be had a moment later, so that systemd shall try again.
        (["--web.listen-address", "203.0.113.7:1"], 1, "cannot listen on 203.0.113.7:1: Cannot assign"),
        (["--web.listen-address", "name.invalid:1"], 1, "cannot listen on name.invalid:1: "),
    ],
)
def test_what_cannot_work_ends_at_once(arguments: Sequence[str], code: int, words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hostcheck", "serve", "--root", TREE, *arguments],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_two_beside_each_other(service: Service) -> None:
    """On the same address the second says so and ends; on another it runs."""
    with serving("--web.listen-address", f"127.0.0.1:{service.port}") as second:
        told = second.process.communicate(timeout=60)[1]
        assert second.process.returncode == 1
    assert f"cannot listen on 127.0.0.1:{service.port}: Address already in use" in told
    assert service.get("/-/healthy")[0] == 200


@pytest.mark.parametrize(
    ("address", "hosts"),
    [
        ("[::]", ["127.0.0.1", "::1"]),
        ("", ["127.0.0.1", "::1"]),
        ("[::1]", ["::1"]),
        ("localhost", ["127.0.0.1"]),
    ],
)
def test_ipv6(address: str, hosts: Sequence[str]) -> None:
    """Every address means both kinds, as with the exporters in Go."""
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    port = free_port()
    with serving("--web.listen-address", f"{address}:{port}") as running:
        running.wait("/-/healthy")
        for host in hosts:
            with socket.create_connection((host, port), 30) as raw:
                raw.sendall(b"GET /-/healthy HTTP/1.0\r\n\r\n")
                assert raw.recv(64).startswith(b"HTTP/1.1 200")


def test_sockets_of_systemd() -> None:
    """systemd hands a socket over as file descriptor 3, and says for which process it is."""
    script = 'exec env LISTEN_PID=$$ LISTEN_FDS=1 "$0" "$@" 3<&0'
    with socket.create_server(("127.0.0.1", 0)) as given:
        command = [sys.executable, "-m", "hostcheck", "serve", "--root", TREE, "--web.systemd-socket"]
        with subprocess.Popen(
            ["sh", "-c", script, *command], stdin=given.fileno(), stderr=subprocess.PIPE
        ) as process:
            assert process.stderr is not None
            assert b"listens on http://127.0.0.1:" in process.stderr.readline()
            with socket.create_connection(given.getsockname(), 30) as raw:
                raw.sendall(b"GET /-/healthy HTTP/1.0\r\n\r\n")
                assert raw.recv(64).startswith(b"HTTP/1.1 200")
            process.terminate()
            assert process.wait(30) == 0


def test_memory_is_flat_over_many_runs() -> None:
    """The process that serves does not run checks, so what they cost is not kept."""
    with serving("--interval", "0.1", "--select", "os.*") as running:
        running.wait()
        first = running.metric("process_resident_memory_bytes")
        stamp = running.metric("hostcheck_last_run_timestamp_seconds")
        limit = time.monotonic() + START_SECONDS
        while running.metric("hostcheck_last_run_timestamp_seconds") < stamp + 6:
            assert time.monotonic() < limit
            for _ in range(20):
                running.get("/metrics")
        assert running.metric("process_resident_memory_bytes") < first + 4e6
        assert len(os.listdir(f"/proc/{running.process.pid}/fd")) < 30
