"""`hostcheck serve` as a scrape, an attacker and an administrator meet it: over loopback, as a process of its own."""

from __future__ import annotations

import base64
import contextlib
import gzip
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

pytest.importorskip("h11")

from hostcheck import exporter
from hostcheck.web_config import WebConfig, WebConfigError

TREE = str(pathlib.Path(__file__).resolve().parent / "hosts" / "debian-12")
START_SECONDS = 60.0


class Service:
    """A running exporter."""

    def __init__(self, *arguments: str, check: str = "") -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "hostcheck", "serve", "--root", TREE),
                *("--web.listen-address", f"127.0.0.1:{self.port}", *arguments),
            ],
            stderr=subprocess.PIPE,
            text=True,
        )

    def get(self, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            connection.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()

    def wait(self, path: str = "/-/ready") -> None:
        limit = time.monotonic() + START_SECONDS
        while time.monotonic() < limit:
            with contextlib.suppress(OSError):
                if self.get(path)[0] == 200:
                    return
            if self.process.poll() is not None:
                raise AssertionError(f"ended: {self.process.communicate()[1]}")
            time.sleep(0.05)
        raise AssertionError(f"{path} did not become 200")

    def metric(self, name: str) -> float:
        text = self.get("/metrics")[2].decode()
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
        assert found, f"no {name}"
        return float(found[1])

    def until(self, name: str, value: float, equal: bool = True) -> None:
        limit = time.monotonic() + START_SECONDS
        while (self.metric(name) == value) is not equal:
            assert time.monotonic() < limit, f"{name} stays {self.metric(name)}"
            time.sleep(0.1)

    def end(self) -> tuple[int, str]:
        self.process.send_signal(signal.SIGTERM)
        _, told = self.process.communicate(timeout=30)
        return self.process.returncode, told


@contextlib.contextmanager
def serving(*arguments: str) -> Iterator[Service]:
    service = Service(*arguments)
    try:
        yield service
    finally:
        if service.process.poll() is None:
            service.process.kill()
            service.process.communicate()


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


def test_head_is_get_without_a_body(service: Service) -> None:
    _, with_body, body = service.get("/report.json")
    status, without, nothing = service.get("/report.json", "HEAD")
    assert (status, nothing, without["content-length"]) == (200, b"", str(len(body)))
    assert with_body["content-type"] == without["content-type"]


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
    assert (status, headers["content-type"]) == (200, exporter._OPENMETRICS)
    parse: Any = text_string_to_metric_families
    names = {family.name for family in parse(body.decode())}
    assert {
        "hostcheck_ready",
        "hostcheck_run_failures",
        "process_cpu_seconds",
        "hostcheck_last_run_success",
    } <= names


@pytest.mark.parametrize("path", ["/", "/metrics", "/report.json"])
def test_gzip_is_the_same(path: str, service: Service) -> None:
    status, headers, body = service.get(path, Accept_Encoding="gzip")
    assert (status, headers["content-encoding"]) == (200, "gzip")
    plain = service.get(path)[2]
    own = re.compile(rb"(?m)^process_.*$")
    assert own.sub(b"", gzip.decompress(body)) == own.sub(b"", plain)


def test_one_connection_takes_many_requests(service: Service) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)
    for _ in range(50):
        connection.request("GET", "/metrics")
        assert len(connection.getresponse().read()) > 1000
    connection.close()


def test_pipelined_requests_are_answered_in_order(service: Service) -> None:
    with socket.create_connection(("127.0.0.1", service.port), 30) as raw:
        raw.sendall(
            b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\nGET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        answer = b"".join(iter(lambda: raw.recv(65536), b""))
    assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"200", b"404"]


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 50,
    ],
)
def test_bad_requests_are_refused(request_bytes: bytes, service: Service) -> None:
    """With an answer or without one; the connection ends, and the next client is served."""
    with socket.create_connection(("127.0.0.1", service.port), 30) as raw, contextlib.suppress(OSError):
        raw.sendall(request_bytes)
        answer = b"".join(iter(lambda: raw.recv(65536), b""))
        assert not answer or re.match(rb"HTTP/1.1 [45]\d\d", answer)
    assert service.get("/-/healthy")[0] == 200


def test_slow_clients_do_not_keep_others_out(service: Service) -> None:
    """Half a request on each of 300 connections, and a client that asks and does not read."""
    with contextlib.ExitStack() as stack:
        for _ in range(300):
            raw = stack.enter_context(socket.create_connection(("127.0.0.1", service.port), 30))
            raw.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-")
        deaf = stack.enter_context(socket.create_connection(("127.0.0.1", service.port), 30))
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        deaf.sendall(b"GET /report.json HTTP/1.1\r\nHost: x\r\n\r\n" * 200)
        assert service.get("/metrics")[0] == 200


def test_too_many_connections_cost_the_stillest(service: Service) -> None:
    with contextlib.ExitStack() as stack:
        many = [
            stack.enter_context(socket.create_connection(("127.0.0.1", service.port), 30))
            for _ in range(exporter.CONNECTIONS_LIMIT + 20)
        ]
        assert service.get("/metrics")[0] == 200
        many[0].settimeout(30)
        with contextlib.suppress(ConnectionResetError):
            assert many[0].recv(1) == b""


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


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--policy", "/none.yaml"], "/none.yaml"),
        (["--web.config.file", "/none.yml"], "/none.yml"),
        (["--web.listen-address", "nowhere"], "not an address"),
        (["--web.listen-address", "203.0.113.7:1"], "cannot listen"),
        (["--interval", "0"], "--interval"),
    ],
)
def test_what_cannot_work_ends_at_once(arguments: Sequence[str], words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hostcheck", "serve", "--root", TREE, *arguments],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


# TLS and passwords


def certificate(folder: pathlib.Path, name: str = "localhost", signer: str = "") -> None:
    """Make NAME.crt and NAME.key, signed by SIGNER or by itself."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    signed = ["-CA", f"{signer}.crt", "-CAkey", f"{signer}.key"] if signer else []
    argv = [
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
        *("-keyout", f"{name}.key", "-out", f"{name}.crt", "-days", "2", "-subj", f"/CN={name}"),
        *("-addext", f"subjectAltName=DNS:{name}", *signed),
    ]
    subprocess.run(argv, cwd=folder, check=True, capture_output=True, timeout=60)


@pytest.fixture
def secured(tmp_path: pathlib.Path) -> Iterator[tuple[Service, pathlib.Path]]:
    bcrypt = pytest.importorskip("bcrypt")
    certificate(tmp_path)
    hashed = bcrypt.hashpw(b"right", bcrypt.gensalt(5)).decode()
    (tmp_path / "web.yml").write_text(
        "tls_server_config: {cert_file: localhost.crt, key_file: localhost.key}\n"
        f"basic_auth_users: {{prometheus: '{hashed}'}}\n"
        "http_server_config: {headers: {X-Frame-Options: SAMEORIGIN}}\n"
    )
    with serving("--web.config.file", str(tmp_path / "web.yml")) as running:
        limit = time.monotonic() + START_SECONDS
        while time.monotonic() < limit:
            with contextlib.suppress(OSError):
                if ask(running, tmp_path, "/-/ready")[0] == 200:
                    break
            time.sleep(0.1)
        yield running, tmp_path


def ask(
    service: Service, folder: pathlib.Path, path: str, user: str = "prometheus:right"
) -> tuple[int, dict[str, str], bytes]:
    context = ssl.create_default_context(cafile=str(folder / "localhost.crt"))
    connection = http.client.HTTPSConnection("localhost", service.port, timeout=30, context=context)
    header = {"Authorization": "Basic " + base64.b64encode(user.encode()).decode()} if user else {}
    with contextlib.closing(connection):
        connection.request("GET", path, headers=header)
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()


def test_tls_and_passwords(secured: tuple[Service, pathlib.Path]) -> None:
    service, folder = secured
    status, headers, _ = ask(service, folder, "/metrics")
    assert (status, headers["x-frame-options"]) == (200, "SAMEORIGIN")
    for user in ("prometheus:wrong", "nobody:right", "", "prometheus", "prometheus:" + "x" * 5000):
        status, headers, body = ask(service, folder, "/report.json", user)
        assert (status, body) == (401, b"Unauthorized\n"), user
        assert headers["www-authenticate"].startswith("Basic ")
    with contextlib.suppress(OSError, http.client.HTTPException):
        assert service.get("/-/healthy")[0] != 200


def test_a_changed_certificate_is_taken(secured: tuple[Service, pathlib.Path]) -> None:
    service, folder = secured
    certificate(folder)
    limit = time.monotonic() + START_SECONDS
    while time.monotonic() < limit:
        # Only the new certificate is trusted.
        with contextlib.suppress(ssl.SSLError):
            assert ask(service, folder, "/metrics")[0] == 200
            return
        time.sleep(0.2)
    raise AssertionError("the old certificate is still served")


def test_a_broken_change_keeps_what_worked(secured: tuple[Service, pathlib.Path]) -> None:
    service, folder = secured
    (folder / "web.yml").write_text("basic_auth_users: [nonsense")
    time.sleep(exporter.WATCH_SECONDS + 1)
    assert ask(service, folder, "/metrics")[0] == 200
    assert ask(service, folder, "/metrics", "")[0] == 401
    _, told = service.end()
    assert "stays as it was" in told


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("basic_auth_users: {a: plain}", "not a bcrypt hash"),
        ("tls_config: {}", "'tls_config' is not known"),
        ("tls_server_config: {cert_file: a}", "needs both"),
        ("tls_server_config: {cert_file: none, key_file: none}", "none"),
        (
            "tls_server_config: {CERT, min_version: SSL3}",
            "no TLS version",
        ),
        (
            "tls_server_config: {CERT, cipher_suites: [X]}",
            "not known here",
        ),
        (
            "tls_server_config: {CERT, client_auth_type: RequireAnyClientCert}",
            "cannot be had here",
        ),
        (
            "tls_server_config: {CERT, client_auth_type: RequireAndVerifyClientCert}",
            "go together",
        ),
        ("[]", "mapping"),
        ("{", "web.yml"),
        ("http_server_config: {headers: {X-Evil: a}}", "X-Evil"),
    ],
)
def test_bad_web_configuration(text: str, words: str, tmp_path: pathlib.Path) -> None:
    certificate(tmp_path)
    text = text.replace("CERT", "cert_file: localhost.crt, key_file: localhost.key")
    (tmp_path / "web.yml").write_text(text)
    with pytest.raises(WebConfigError, match=re.escape(words)):
        WebConfig(str(tmp_path / "web.yml"))


def test_client_certificates(tmp_path: pathlib.Path) -> None:
    """Without one of the authority's the handshake fails; with one whose name is not wanted nothing is said."""
    for name in ("localhost", "good", "other"):
        certificate(tmp_path, name)
    (tmp_path / "clients.crt").write_text(
        (tmp_path / "good.crt").read_text() + (tmp_path / "other.crt").read_text()
    )
    (tmp_path / "web.yml").write_text(
        "tls_server_config: {cert_file: localhost.crt, key_file: localhost.key, client_ca_file: clients.crt,\n"
        "  client_auth_type: RequireAndVerifyClientCert, client_allowed_sans: [good]}\n"
    )

    def status(service: Service, client: str) -> Any:
        context = ssl.create_default_context(cafile=str(tmp_path / "localhost.crt"))
        if client:
            context.load_cert_chain(tmp_path / f"{client}.crt", tmp_path / f"{client}.key")
        connection = http.client.HTTPSConnection("localhost", service.port, timeout=30, context=context)
        with contextlib.closing(connection):
            connection.request("GET", "/-/healthy")
            return connection.getresponse().status

    with serving("--web.config.file", str(tmp_path / "web.yml")) as service:
        limit = time.monotonic() + START_SECONDS
        answer = None
        while answer is None and service.process.poll() is None and time.monotonic() < limit:
            with contextlib.suppress(ConnectionRefusedError):
                answer = status(service, "good")
            time.sleep(0.1)
        assert answer == 200
        for client in ("", "other"):
            with pytest.raises((OSError, http.client.HTTPException)):
                status(service, client)


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
