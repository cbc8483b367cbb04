"""The exporter's pages over HTTP: who may see them, and the connections on which they are asked for.

HTTP is read by h11; TLS and authentication follow the file that the Prometheus exporters share.
"""

from __future__ import annotations

import asyncio
import base64
import sys
import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor

import h11

from hostcheck._typing import Any, Optional
from hostcheck.exporter_pages import State
from hostcheck.http_accept import metrics_format, takes_gzip
from hostcheck.web_config import WebConfig, WebConfigError

REQUEST_LIMIT = 16 * 1024
"""Bytes of a request's head."""

REQUEST_SECONDS = 10.0
"""How long a client may take for a request's head, for the handshake of TLS, and for taking an answer."""

IDLE_SECONDS = 120.0
"""How long a connection is kept between two requests. Prometheus scrapes every 15 to 60 s."""

CONNECTIONS_LIMIT = 1000
"""Beyond it the connection that has been still for longest is closed."""

PASSWORDS_KEPT = 100
"""Passwords that were right, kept as digests, because bcrypt takes 50 ms of processor time on purpose."""

_PATHS = {"/": ("html", "text/html; charset=utf-8"), "/report.json": ("json", "application/json")}
_SAFE = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_PLAIN = ("Content-Type", "text/plain; charset=utf-8")

Headers = list[tuple[str, str]]
Answer = tuple[int, Headers, bytes]


def log(text: str) -> None:
    """Write a line for the journal."""
    print(f"hostcheck: {text}", file=sys.stderr, flush=True)


class Server:
    """The pages, and who may see them."""

    def __init__(self, state: State, config: WebConfig) -> None:
        """Serve the state as the web configuration says."""
        self.state = state
        self.config = config
        # In the order in which they last did something.
        self.connections: dict[Connection, None] = {}
        self._right: dict[bytes, None] = {}
        # One alone: whoever guesses passwords has no more than one processor for it.
        self._bcrypt = ThreadPoolExecutor(1)

    def refresh(self) -> bool:
        """Take a changed web configuration or certificate, and return whether there was one.

        A broken one is told, and the last one stays.
        """
        if not self.config.changed():
            return False
        try:
            self.config = WebConfig(self.config.path)
        except WebConfigError as error:
            self.config.seen()
            self.state.web_config_is_current = False
            log(f"the web configuration stays as it was: {error}")
            return False
        self.state.web_config_is_current = True
        self._right.clear()
        log(f"took the changed {self.config.path}")
        return True

    async def allowed(self, header: str | None) -> bool:
        """Return whether a request's Authorization header names a user with the right password."""
        users = self.config.users
        if not users:
            return True
        # Imported here: it brings libcrypto with it, which most exporters have no use for.
        import hashlib

        digest = hashlib.sha256((header or "").encode()).digest()
        if digest in self._right:
            return True
        name, password = _credentials(header)
        # An unknown user takes as long as a known one, so that time does not tell who there is.
        hashed = users.get(name, next(iter(users.values())))
        right = await asyncio.get_running_loop().run_in_executor(self._bcrypt, _is_right, password, hashed)
        if not right or name not in users:
            return False
        if len(self._right) >= PASSWORDS_KEPT:
            self._right.clear()
        self._right[digest] = None
        return True

    def answer(self, target: str, accept: str, encodings: str) -> Answer:
        """Return status, headers and body of what is asked for."""
        path = _path(target)
        if path == "/-/healthy":
            return 200, [_PLAIN], b"hostcheck is up\n"
        if path not in ("/metrics", "/-/ready", *_PATHS):
            return 404, [_PLAIN], b"there are /, /metrics, /report.json, /-/healthy, /-/ready\n"
        if not self.state.pages and path != "/metrics":
            return 503, [_PLAIN, ("Retry-After", "5")], b"the first run has not ended yet\n"
        if path == "/-/ready":
            return 200, [_PLAIN], b"there is a report\n"
        name, kind = _PATHS.get(path) or metrics_format(accept)
        packed = takes_gzip(encodings)
        headers = [("Content-Type", kind), ("Vary", "Accept, Accept-Encoding")]
        if packed:
            headers.append(("Content-Encoding", "gzip"))
        return 200, headers, self.state.page(name, packed)

    def headers(self) -> Headers:
        """Return the headers of every answer: what is safe, unless the web configuration says otherwise."""
        date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())
        everything = {"Date": date, **_SAFE, **self.config.headers}
        return [(name, value) for name, value in everything.items() if value]


def _path(target: str) -> str:
    """Return the path of a request's target, which may be a whole address (RFC 9112, 3.2.2).

    >>> [_path(target) for target in ("/metrics?a=b", "http://h:1/%6detrics", "HTTP://h", "//metrics", "*")]
    ['/metrics', '/metrics', '/', '//metrics', '*']
    """
    scheme, absolute, rest = target.partition("://")
    if absolute and scheme.lower() in ("http", "https"):
        target = "/" + rest.partition("/")[2]
    return urllib.parse.unquote(target.partition("?")[0])


def _credentials(header: str | None) -> tuple[str, str]:
    scheme, _, encoded = (header or "").partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True).decode("utf-8", "replace")
    except ValueError:
        return "", ""
    name, _, password = decoded.partition(":")
    return name, password


def _is_right(password: str, hashed: str) -> bool:
    import bcrypt

    # bcrypt looks at 72 bytes, and newer releases of the library refuse more.
    return bcrypt.checkpw(password.encode()[:72], hashed.encode())


class Connection(asyncio.Protocol):
    """One client. It has so long for a request and for taking the answer, and no longer."""

    def __init__(self, server: Server) -> None:
        """Serve the pages of `server`."""
        self.server = server
        self.http = h11.Connection(h11.SERVER, max_incomplete_event_size=REQUEST_LIMIT)
        self.transport: Any = None
        self.timer: Optional[asyncio.TimerHandle] = None
        self.task: Optional[asyncio.Task[None]] = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, closing the stillest one where there are too many."""
        self.transport = transport
        if not self.server.config.allows_certificate(self.transport.get_extra_info("peercert")):
            # Not close(): that would wait for the client to agree.
            self.transport.abort()
            return
        connections = self.server.connections
        if len(connections) >= CONNECTIONS_LIMIT:
            next(iter(connections)).transport.abort()
        connections[self] = None
        self._wait(REQUEST_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self.server.connections.pop(self, None)
        for pending in (self.timer, self.task):
            if pending:
                pending.cancel()

    def _wait(self, seconds: float) -> None:
        if self.timer:
            self.timer.cancel()
        self.timer = asyncio.get_running_loop().call_later(seconds, self.transport.abort)

    def data_received(self, data: bytes) -> None:
        """Read what the client sends."""
        # To the end of the order: it is not still.
        self.server.connections.pop(self, None)
        self.server.connections[self] = None
        try:
            self.http.receive_data(data)
            self._read()
        except h11.RemoteProtocolError as error:
            self._refuse(error)

    def _read(self) -> None:
        while self.http.our_state is not h11.MUST_CLOSE and self.task is None:
            event = self.http.next_event()
            if event in (h11.NEED_DATA, h11.PAUSED):
                return
            if isinstance(event, h11.ConnectionClosed):
                self.transport.close()
                return
            if isinstance(event, h11.Request):
                self._begin(event)
            elif isinstance(event, h11.EndOfMessage):
                self._serve(self.request)

    def _begin(self, request: h11.Request) -> None:
        """Take the head of a request, and refuse at once what no body would make better."""
        if request.http_version not in (b"1.0", b"1.1"):
            raise h11.RemoteProtocolError("only HTTP/1.0 and HTTP/1.1", error_status_hint=505)
        # A head that comes in one piece is never incomplete, so the limit of h11 does not see it.
        head = len(request.target) + sum(len(name) + len(value) for name, value in request.headers)
        if head > REQUEST_LIMIT:
            raise h11.RemoteProtocolError("the request is too long", error_status_hint=431)
        if request.method not in (b"GET", b"HEAD"):
            # The client may be waiting with a body for our consent (Expect: 100-continue).
            close = [("Allow", "GET, HEAD"), _PLAIN, ("Connection", "close")]
            self._write((405, close, b"only GET and HEAD\n"))
        self.request = request

    def _serve(self, request: h11.Request) -> None:
        headers: dict[str, str] = {}
        for name, value in request.headers:
            key, text = name.decode(), value.decode("latin-1")
            headers[key] = f"{headers[key]}, {text}" if key in headers else text
        refused = self.server.config.too_many(time.monotonic())
        if refused:
            self._write((429, [_PLAIN], b"Too Many Requests\n"), head=request.method == b"HEAD")
        elif self.server.config.users:
            # No request behind it is read before the password is known to be right.
            self.transport.pause_reading()
            self.task = asyncio.get_running_loop().create_task(self._serve_known(request, headers))
        else:
            self._answer(request, headers)

    async def _serve_known(self, request: h11.Request, headers: dict[str, str]) -> None:
        allowed = await self.server.allowed(headers.get("authorization"))
        self.task = None
        if allowed:
            self._answer(request, headers)
        else:
            challenge = [("WWW-Authenticate", 'Basic realm="hostcheck"'), _PLAIN]
            self._write((401, challenge, b"Unauthorized\n"), head=request.method == b"HEAD")
        if not self.transport.is_closing():
            self.transport.resume_reading()
            try:
                self._read()
            except h11.RemoteProtocolError as error:
                self._refuse(error)

    def _answer(self, request: h11.Request, headers: dict[str, str]) -> None:
        target = request.target.decode("latin-1")
        answer = self.server.answer(target, headers.get("accept", ""), headers.get("accept-encoding", ""))
        self._write(answer, head=request.method == b"HEAD")

    def _refuse(self, error: h11.RemoteProtocolError) -> None:
        if self.http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            close = [_PLAIN, ("Connection", "close")]
            self._write((error.error_status_hint, close, f"{error}\n".encode()))
        self.transport.close()

    def _write(self, answer: Answer, head: bool = False) -> None:
        status, headers, body = answer
        everything = [*headers, *self.server.headers(), ("Content-Length", str(len(body)))]
        response = h11.Response(status_code=status, headers=everything, reason=b"")
        events = [response, *([] if head else [h11.Data(data=body)]), h11.EndOfMessage()]
        data = b"".join(self.http.send(event) or b"" for event in events)
        self.transport.write(data)
        # Also for taking the answer: a client that does not read keeps it in memory here.
        self._wait(IDLE_SECONDS if self.transport.get_write_buffer_size() == 0 else REQUEST_SECONDS)
        if self.http.our_state is h11.MUST_CLOSE:
            self.transport.close()
        elif self.http.our_state is h11.DONE and self.http.their_state is h11.DONE:
            self.http.start_next_cycle()
