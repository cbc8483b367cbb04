"""What the network answers, with servers of our own on the loopback."""

from __future__ import annotations

import http.server
import pathlib
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator

import pytest

from hostcheck.host import Unavailable
from hostcheck.host.live import LiveHost
from hostcheck.host.network import fetch

HEADER = ("Docker-Distribution-Api-Version", "registry/2.0")


class Server(http.server.ThreadingHTTPServer):
    """A registry, and what is none: the first part of the path says how it answers."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []
        self.over = threading.Event()
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def url(self, path: str, scheme: str = "http") -> str:
        return f"{scheme}://127.0.0.1:{self.server_address[1]}{path}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a client that goes away is what is tested."""


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        how = self.path.split("/")[1]
        if how == "hangs":
            self.server.over.wait(30)
            return
        if how == "garbage":
            self.wfile.write(b"SSH-2.0-OpenSSH\r\n")
            return
        self.send_response({"v2": 200, "private": 401, "moved": 301}.get(how, 404))
        if how in ("v2", "private"):
            self.send_header(*HEADER)
        if how == "moved":
            self.send_header("Location", self.server.url("/v2/"))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    found = Server()
    yield found
    found.over.set()
    found.shutdown()
    found.server_close()


def test_every_answer_in_the_order_of_the_questions(server: Server) -> None:
    answers = fetch([server.url(p) for p in ("/private/v2/", "/v2/", "/nothing/", "/moved/v2/")], 10)
    assert [answer.status for answer in answers] == [401, 200, 404, 301]
    assert [answer.registry for answer in answers] == ["registry/2.0", "registry/2.0", "", ""]
    assert answers[3].location == server.url("/v2/")
    # The redirection was not followed.
    assert server.asked.count("/v2/") == 1


def test_one_that_hangs_costs_its_limit_and_no_other_its_answer(server: Server) -> None:
    slow, quick = fetch([server.url("/hangs/"), server.url("/v2/")], 0.5)
    assert (slow.status, quick.status) == (0, 200)
    assert "no answer within 0.5 s" in slow.error


def test_what_is_no_server_of_http(server: Server) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{unused.getsockname()[1]}/v2/"
        answers = fetch(
            [closed, server.url("/garbage/"), "file:///etc/passwd", "http://[::1/", "http:///"], 10
        )
    assert [answer.status for answer in answers] == [0] * 5
    assert all(answer.error for answer in answers)
    assert "refused" in answers[0].error.lower()


def test_a_certificate_that_nobody_signed(server: Server, tmp_path: pathlib.Path) -> None:
    if not shutil.which("openssl"):
        pytest.skip("needs openssl")
    both = tmp_path / "both.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1", "-keyout", str(both),
         "-out", str(tmp_path / "cert.pem")],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    both.write_text(both.read_text() + (tmp_path / "cert.pem").read_text())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    (answer,) = fetch([server.url("/v2/", "https")], 10)
    assert (answer.status, answer.kind) == (0, "tls")
    assert "self" in answer.error


def test_nothing_is_asked_unless_it_is_allowed(server: Server) -> None:
    host = LiveHost()
    with pytest.raises(Unavailable, match="--online"):
        host.fetch(server.url("/v2/"))
    assert server.asked == []
    host.assumptions["online"] = "yes"
    assert host.fetch(server.url("/v2/"))[0].status == 200
