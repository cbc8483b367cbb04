"""The exporter's HTTP, as scrapers, browsers and attackers speak it."""

from __future__ import annotations

import contextlib
import doctest
import gzip
import http.client
import re
import socket
from collections.abc import Iterator
from types import ModuleType

import pytest

pytest.importorskip("h11")

from exporters import Service, serving

from hostcheck import exporter, exporter_http, exporter_pages, http_accept


@pytest.mark.parametrize("module", [exporter, exporter_http, exporter_pages, http_accept])
def test_doctests(module: ModuleType) -> None:
    found = doctest.testmod(module)
    assert found.attempted > 0
    assert found.failed == 0


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving() as running:
        running.wait()
        yield running


def answered(raw: socket.socket) -> bytes:
    """Return all that comes until the other end closes."""
    return b"".join(iter(lambda: raw.recv(65536), b""))


def test_head_is_get_without_a_body(service: Service) -> None:
    _, with_body, body = service.get("/report.json")
    status, without, nothing = service.get("/report.json", "HEAD")
    assert (status, nothing, without["content-length"]) == (200, b"", str(len(body)))
    assert with_body["content-type"] == without["content-type"]


@pytest.mark.parametrize("path", ["/", "/metrics", "/report.json"])
def test_gzip_is_the_same(path: str, service: Service) -> None:
    status, headers, body = service.get(path, Accept_Encoding="gzip")
    assert (status, headers["content-encoding"]) == (200, "gzip")
    plain = service.get(path)[2]
    own = re.compile(rb"(?m)^process_.*$")
    assert own.sub(b"", gzip.decompress(body)) == own.sub(b"", plain)


PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (PROMETHEUS_2, "application/openmetrics-text; version=1.0.0"),
        (PROMETHEUS_3, "application/openmetrics-text; version=1.0.0"),
        ("application/openmetrics-text;version=0.0.1", "application/openmetrics-text; version=0.0.1"),
        ("application/openmetrics-text", "application/openmetrics-text; version=1.0.0"),
        ("application/openmetrics-text;version=2.0.0,text/plain;q=0.1", "text/plain; version=0.0.4"),
        ("application/openmetrics-text;q=0", "text/plain; version=0.0.4"),
        ("application/openmetrics-text;q=0.1, text/plain;q=0.9", "text/plain; version=0.0.4"),
        ("text/plain;version=1.0.0;escaping=allow-utf-8", "text/plain; version=0.0.4"),
        (
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily",
            "text/plain; version=0.0.4",
        ),
        ("text/html,*/*;q=0.8", "text/plain; version=0.0.4"),
        ("application/openmetrics-text;q=nonsense,;,=", "text/plain; version=0.0.4"),
        ("", "text/plain; version=0.0.4"),
    ],
)
def test_the_format_is_the_one_that_is_wanted_most(accept: str, expected: str, service: Service) -> None:
    status, headers, body = service.get("/metrics", Accept=accept)
    assert (status, headers["content-type"]) == (200, f"{expected}; charset=utf-8")
    assert body.endswith(b"# EOF\n") is expected.startswith("application/openmetrics")


@pytest.mark.parametrize(
    ("encodings", "packed"),
    [
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("*", True),
        ("gzip;q=0", False),
        ("gzip;q=0, *", False),
        ("br", False),
    ],
)
def test_gzip_is_for_who_takes_it(encodings: str, packed: bool, service: Service) -> None:
    headers = service.get("/report.json", Accept_Encoding=encodings)[1]
    assert ("content-encoding" in headers) is packed
    assert "Accept-Encoding" in headers["vary"]


HOST = b"\r\nHost: x\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("request_bytes", "status", "words"),
    [
        (b"GET http://elsewhere:1/-/ready HTTP/1.1" + HOST, 200, b"there is a report"),
        (b"GET HTTP://elsewhere HTTP/1.1" + HOST, 200, b"<!doctype html>"),
        (b"GET /-/%72eady HTTP/1.1" + HOST, 200, b"there is a report"),
        (b"GET /-/ready?verbose=1 HTTP/1.1" + HOST, 200, b"there is a report"),
        (b"GET /-/ready%3Fa HTTP/1.1" + HOST, 404, b"there are /, /metrics"),
        (b"GET //metrics HTTP/1.1" + HOST, 404, b"there are /, /metrics"),
        (b"GET /../etc/passwd HTTP/1.1" + HOST, 404, b"there are /, /metrics"),
        (b"GET /" + b"a" * 15_000 + b" HTTP/1.1" + HOST, 404, b"there are /, /metrics"),
        (b"GET /-/ready HTTP/1.0\r\n\r\n", 200, b"there is a report"),
        (b"HEAD /nothing HTTP/1.1" + HOST, 404, b""),
        (b"GET /-/ready HTTP/1.1\r\nContent-Length: 3" + HOST + b"abc", 200, b"there is a report"),
        (b"GET /-/ready HTTP/1.1\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk" + HOST, 200, b"there is a report"),
        # It sends its body only after a word of consent.
        (b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n", 405, b"only GET"),
        (b"BREW / HTTP/1.1" + HOST, 405, b"only GET and HEAD"),
        (b"OPTIONS * HTTP/1.1" + HOST, 405, b"only GET and HEAD"),
        (b"CONNECT x:1 HTTP/1.1" + HOST, 405, b"only GET and HEAD"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, b"only HTTP/1.0 and HTTP/1.1"),
    ],
)  # fmt: skip
def test_unusual_requests(request_bytes: bytes, status: int, words: bytes, service: Service) -> None:
    with socket.create_connection(("127.0.0.1", service.port), 30) as raw:
        raw.sendall(request_bytes)
        head, _, body = answered(raw).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d" % status)
    assert body.startswith(words)
    assert bool(body) is bool(words)
    assert (b"\r\nAllow: GET, HEAD\r\n" in head) is (status == 405)
    assert b"\r\nDate: " in head


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
        answer = answered(raw)
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
        answer = answered(raw)
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
            for _ in range(exporter_http.CONNECTIONS_LIMIT + 20)
        ]
        assert service.get("/metrics")[0] == 200
        many[0].settimeout(30)
        with contextlib.suppress(ConnectionResetError):
            assert many[0].recv(1) == b""
