"""`hostcheck serve`: the second front door. A scrape never runs a check and never waits for one.

A run is a process of its own that renders every page (exporter_run.py); this process keeps the last pages and hands out
their bytes. HTTP is read by h11, TLS and authentication follow the file that the Prometheus exporters share.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import gc
import gzip
import hashlib
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Sequence

from hostcheck._typing import Any, Optional

try:
    import h11
except ImportError:
    # Part of an extra; `hostcheck --help` must show this command all the same.
    h11 = None  # type: ignore[assignment]

from hostcheck import __version__
from hostcheck.exporter_run import parse
from hostcheck.web_config import WebConfig, WebConfigError

PORT = 10973
"""Above the list of Prometheus exporters, which has filled 9100 to 9999, and free on it."""

PAGES_LIMIT = 128 * 1024 * 1024
"""Bytes that one run may hand over."""

REQUEST_LIMIT = 16 * 1024
"""Bytes of a request's head."""

REQUEST_SECONDS = 10.0
"""How long a client may take for a request's head, for the handshake of TLS, and for taking an answer."""

IDLE_SECONDS = 120.0
"""How long a connection is kept between two requests. Prometheus scrapes every 15 to 60 s."""

CONNECTIONS_LIMIT = 1000
"""Beyond it the connection that has been still for longest is closed."""

WATCH_SECONDS = 5.0
"""Between two looks at the web configuration and its certificates."""

REFUSED = 2
"""The exit code of a run whose command line or policy is wrong."""

PASSWORDS_KEPT = 100
"""Passwords that were right, kept as digests, because bcrypt takes 50 ms of processor time on purpose."""

_TEXT = "text/plain; version=0.0.4; charset=utf-8"
_OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_PATHS = {"/": ("html", "text/html; charset=utf-8"), "/report.json": ("json", "application/json")}
_SAFE = [
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
]

Headers = list[tuple[str, str]]

EPILOG = """\
pages:
  /metrics       the last run's metrics; OpenMetrics where it is asked for
  /              the last report, for people
  /report.json   the same for programs
  /-/healthy     answers while the process lives; /-/ready once there is a report

signals:
  HUP   run now, with the policy as it is now
  TERM  end

What only root may see is unknown to another user; docs/exporter.md says which capabilities help.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that are the command's own."""
    parser.add_argument(
        "--web.listen-address",
        dest="listen",
        action="append",
        metavar="[HOST]:PORT",
        help=f"where to listen; may be repeated (default: 127.0.0.1:{PORT}; :{PORT} is every address)",
    )
    parser.add_argument(
        "--web.config.file",
        dest="web_config",
        default="",
        metavar="FILE",
        help="TLS and basic authentication, in the format of the Prometheus exporters",
    )
    parser.add_argument(
        "--interval", type=_seconds, default=300.0, metavar="SECONDS", help="between two runs (default: 300)"
    )
    parser.add_argument(
        "--check-timeout", type=_seconds, default=30.0, metavar="SECONDS", help="for one check (default: 30)"
    )
    parser.add_argument(
        "--run-timeout",
        type=_seconds,
        default=240.0,
        metavar="SECONDS",
        help="for a whole run (default: 240)",
    )
    # What the process that runs the checks is started with.
    parser.add_argument("--render", action="store_true", help=argparse.SUPPRESS)


def _seconds(text: str) -> float:
    value = float(text)
    if not 0.1 <= value <= 1e6:
        raise argparse.ArgumentTypeError(f"{text} is not between 0.1 and 1000000 seconds")
    return value


def parse_address(text: str) -> tuple[str | None, int]:
    """Return host and port; no host is every address.

    Raises:
        ValueError: it is no address.

    >>> parse_address(":10973"), parse_address("[::1]:80"), parse_address("localhost:80")
    ((None, 10973), ('::1', 80), ('localhost', 80))
    """
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"{text}: not an address such as 127.0.0.1:{PORT}")
    return host.strip("[]") or None, int(port)


def own_command() -> list[str]:
    """Return the words that start this program once more, however it was installed."""
    if getattr(sys, "frozen", False):
        return [sys.executable]
    if os.path.basename(sys.argv[0]) == "__main__.py":
        return [sys.executable, "-m", "hostcheck"]
    return [sys.executable, sys.argv[0]]


def process_metrics(began: float, openmetrics: bool) -> bytes:
    """Return the metrics that every exporter has of its own process (Prometheus, Writing client libraries)."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    with open("/proc/self/statm", encoding="ascii") as file:
        virtual, resident = (int(word) * resource.getpagesize() for word in file.read().split()[:2])
    values: list[tuple[str, str, str, float]] = [
        (
            "process_cpu_seconds",
            "counter",
            "User and system CPU time spent.",
            usage.ru_utime + usage.ru_stime,
        ),
        ("process_resident_memory_bytes", "gauge", "Resident memory size.", resident),
        ("process_virtual_memory_bytes", "gauge", "Virtual memory size.", virtual),
        ("process_open_fds", "gauge", "Open file descriptors.", len(os.listdir("/proc/self/fd")) - 1),
        ("process_max_fds", "gauge", "Most file descriptors.", resource.getrlimit(resource.RLIMIT_NOFILE)[0]),
        ("process_start_time_seconds", "gauge", "Start time, in seconds since 1970.", began),
    ]
    lines = []
    for name, kind, text, value in values:
        sample = f"{name}_total" if kind == "counter" else name
        family = name if openmetrics else sample
        lines += [f"# HELP {family} {text}", f"# TYPE {family} {kind}", f"{sample} {float(value)!r}"]
    return "\n".join(lines).encode() + b"\n"


class State:
    """The last pages, and how the runs go."""

    def __init__(self) -> None:
        """Start with nothing run."""
        # Packed: most clients want them so, and a tenth of the memory is enough.
        self.pages: dict[str, bytes] = {}
        self.failures = 0
        self.last_failed = False
        self.began = time.time()
        self._made: dict[str, tuple[float, bytes]] = {}

    def take(self, pages: dict[str, bytes] | None) -> None:
        """Take the pages of a run, or that it failed: then the last ones stay."""
        self.last_failed = pages is None
        if pages is None:
            self.failures += 1
        else:
            self.pages = pages
        self._made = {}

    def page(self, name: str, packed: bool) -> bytes:
        """Return a page's bytes."""
        if name in ("text", "openmetrics"):
            return self._metrics(name, packed)
        return self.pages[name] if packed else gzip.decompress(self.pages[name])

    def _metrics(self, name: str, packed: bool) -> bytes:
        """Return the last run's metrics and this process' own, put together at most once a second."""
        key = f"{name}.gz" if packed else name
        now = time.monotonic()
        made, data = self._made.get(key, (now - 2, b""))
        if now - made < 1:
            return data
        openmetrics = name == "openmetrics"
        family = "hostcheck_run_failures" if openmetrics else "hostcheck_run_failures_total"
        own = (
            f"# HELP {family} Runs that ended without a report.\n# TYPE {family} counter\n"
            f"hostcheck_run_failures_total {self.failures}\n"
            "# HELP hostcheck_last_run_success Whether the last run gave a report.\n"
            f"# TYPE hostcheck_last_run_success gauge\nhostcheck_last_run_success {int(not self.last_failed)}\n"
        ).encode() + process_metrics(self.began, openmetrics)
        end = b"# EOF\n" if openmetrics else b""
        body = gzip.decompress(self.pages[name])
        data = body[: len(body) - len(end)] + own + end
        if packed:
            data = gzip.compress(data, 5, mtime=0)
        self._made[key] = (now, data)
        return data


class Server:
    """The pages, who may see them, and the connections on which they are asked for."""

    def __init__(self, state: State, config: WebConfig) -> None:
        """Serve the state as the web configuration says."""
        self.state = state
        self.config = config
        # In the order in which they last did something.
        self.connections: dict[Connection, None] = {}
        self._right: dict[bytes, None] = {}

    def refresh(self) -> None:
        """Take a changed web configuration or certificate; a broken one is told, and the last one stays."""
        if not self.config.changed():
            return
        try:
            config = WebConfig(self.config.path, self.config.context)
            if (config.context is None) != (self.config.context is None):
                raise WebConfigError(f"{config.path}: TLS is turned on or off by a restart")
        except WebConfigError as error:
            self.config.seen()
            log(f"the web configuration stays as it was: {error}")
            return
        self.config = config
        self._right.clear()
        log(f"took the changed {config.path}")

    async def allowed(self, header: str | None) -> bool:
        """Return whether a request's Authorization header names a user with the right password."""
        users = self.config.users
        if not users:
            return True
        digest = hashlib.sha256((header or "").encode()).digest()
        if digest in self._right:
            return True
        name, password = _credentials(header)
        # An unknown user takes as long as a known one, so that time does not tell who there is.
        hashed = users.get(name, next(iter(users.values())))
        right = await asyncio.get_running_loop().run_in_executor(None, _is_right, password, hashed)
        if not right or name not in users:
            return False
        if len(self._right) >= PASSWORDS_KEPT:
            self._right.clear()
        self._right[digest] = None
        return True

    def answer(self, path: str, accept: str, encodings: str) -> tuple[int, Headers, bytes]:
        """Return status, headers and body of a page."""
        path = path.partition("?")[0]
        if path == "/-/healthy":
            return 200, [("Content-Type", "text/plain")], b"hostcheck is up\n"
        if path not in ("/metrics", "/-/ready", *_PATHS):
            return (
                404,
                [("Content-Type", "text/plain")],
                b"there are /, /metrics, /report.json, /-/healthy, /-/ready\n",
            )
        if not self.state.pages:
            return (
                503,
                [("Content-Type", "text/plain"), ("Retry-After", "5")],
                b"the first run has not ended yet\n",
            )
        if path == "/-/ready":
            return 200, [("Content-Type", "text/plain")], b"there is a report\n"
        metrics = ("openmetrics", _OPENMETRICS) if _wants_openmetrics(accept) else ("text", _TEXT)
        name, kind = _PATHS.get(path, metrics)
        packed = "gzip" in encodings
        headers = [("Content-Type", kind), ("Vary", "Accept, Accept-Encoding")]
        if packed:
            headers.append(("Content-Encoding", "gzip"))
        return 200, headers, self.state.page(name, packed)


def _credentials(header: str | None) -> tuple[str, str]:
    scheme, _, encoded = (header or "").partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        name, _, password = (
            base64.b64decode(encoded.strip(), validate=True).decode("utf-8", "replace").partition(":")
        )
    except ValueError:
        return "", ""
    return name, password


def _is_right(password: str, hashed: str) -> bool:
    import bcrypt

    # bcrypt looks at 72 bytes, and newer releases of the library refuse more.
    return bcrypt.checkpw(password.encode()[:72], hashed.encode())


def _wants_openmetrics(accept: str) -> bool:
    return any(part.split(";")[0].strip() == "application/openmetrics-text" for part in accept.split(","))


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
        if not self._is_allowed_client():
            # Not close(): that would wait for the client to agree.
            self.transport.abort()
            return
        connections = self.server.connections
        if len(connections) >= CONNECTIONS_LIMIT:
            next(iter(connections)).transport.abort()
        connections[self] = None
        self._wait(REQUEST_SECONDS)

    def _is_allowed_client(self) -> bool:
        """Return whether the client's certificate has one of the names that are wanted."""
        wanted = self.server.config.allowed_sans
        if not wanted:
            return True
        certificate = self.transport.get_extra_info("peercert") or {}
        return any(value in wanted for _, value in certificate.get("subjectAltName", ()))

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
                if event.http_version not in (b"1.0", b"1.1"):
                    raise h11.RemoteProtocolError("only HTTP/1.0 and HTTP/1.1", error_status_hint=505)
                # A head that comes in one piece is never incomplete, so the limit of h11 does not see it.
                if (
                    len(event.target) + sum(len(name) + len(value) for name, value in event.headers)
                    > REQUEST_LIMIT
                ):
                    raise h11.RemoteProtocolError("the request is too long", error_status_hint=431)
                self.request = event
            elif isinstance(event, h11.EndOfMessage):
                self._serve(self.request)

    def _serve(self, request: h11.Request) -> None:
        headers = {name.decode(): value.decode("latin-1") for name, value in request.headers}
        if self.server.config.users:
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
            challenge = [("WWW-Authenticate", 'Basic realm="hostcheck"'), ("Content-Type", "text/plain")]
            self._write(401, challenge, b"Unauthorized\n", request.method == b"HEAD")
        if not self.transport.is_closing():
            self.transport.resume_reading()
            try:
                self._read()
            except h11.RemoteProtocolError as error:
                self._refuse(error)

    def _answer(self, request: h11.Request, headers: dict[str, str]) -> None:
        if request.method not in (b"GET", b"HEAD"):
            self._write(
                405, [("Allow", "GET, HEAD"), ("Content-Type", "text/plain")], b"only GET and HEAD\n", False
            )
            return
        path = request.target.decode("latin-1")
        answer = self.server.answer(path, headers.get("accept", ""), headers.get("accept-encoding", ""))
        self._write(*answer, head=request.method == b"HEAD")

    def _refuse(self, error: h11.RemoteProtocolError) -> None:
        if self.http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            headers = [("Content-Type", "text/plain"), ("Connection", "close")]
            self._write(error.error_status_hint, headers, f"{error}\n".encode(), False)
        self.transport.close()

    def _write(self, status: int, headers: Headers, body: bytes, head: bool) -> None:
        own = self.server.config.headers
        safe = [(name, value) for name, value in _SAFE if name not in own]
        everything = [*headers, *safe, *own.items(), ("Content-Length", str(len(body)))]
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


def log(text: str) -> None:
    """Write a line for the journal."""
    print(f"hostcheck: {text}", file=sys.stderr, flush=True)


class Refused(Exception):
    """The command line or the policy is wrong: no run will ever give a report."""


async def _run_once(command: Sequence[str], seconds: float) -> dict[str, bytes] | None:
    """Run the checks in a process of their own; return its pages, None if it gave none.

    Raises:
        Refused: it ended as one does whose command line or policy is wrong.

    """
    # A session of its own, so that what a check started can be ended with it.
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 20,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        data = await asyncio.wait_for(_read_all(process.stdout), seconds)
        code = await asyncio.wait_for(process.wait(), REQUEST_SECONDS)
        if code == REFUSED:
            raise Refused
        if code:
            raise ValueError(f"it ended with {code}")
        return parse(data)
    except (ValueError, asyncio.TimeoutError) as error:
        log(f"the run gave no report, and the last one stays: {error or f'no end after {seconds:g} s'}")
        return None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


async def _read_all(stream: asyncio.StreamReader) -> bytes:
    chunks: list[bytes] = []
    total = 0
    while True:
        chunk = await stream.read(1 << 20)
        if not chunk:
            return b"".join(chunks)
        total += len(chunk)
        if total > PAGES_LIMIT:
            raise ValueError(f"it hands over more than {PAGES_LIMIT >> 20} MiB")
        chunks.append(chunk)


async def _keep_running(
    state: State, command: Sequence[str], options: argparse.Namespace, now: asyncio.Event
) -> None:
    while True:
        now.clear()
        try:
            pages = await _run_once(command, options.run_timeout)
        except Refused:
            # The run has said why. What never worked ends the service; what was changed for the worse does not.
            if not state.pages:
                raise
            pages = None
        state.take(pages)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(now.wait(), options.interval)


async def _keep_watching(server: Server) -> None:
    while True:
        await asyncio.sleep(WATCH_SECONDS)
        server.refresh()


async def _listen(options: argparse.Namespace, server: Server) -> list[asyncio.AbstractServer]:
    more: dict[str, Any] = {"backlog": 1024}
    context = server.config.context
    if context is not None:
        more.update(ssl=context, ssl_handshake_timeout=REQUEST_SECONDS)
    found: list[asyncio.AbstractServer] = []
    for text in options.listen or [f"127.0.0.1:{PORT}"]:
        host, port = parse_address(text)
        made = await asyncio.get_running_loop().create_server(lambda: Connection(server), host, port, **more)
        for sock in made.sockets:
            log(f"{__version__} listens on {'https' if context else 'http'}://{_shown(sock)}/")
        found.append(made)
    return found


async def _serve(options: argparse.Namespace, command: Sequence[str], config: WebConfig) -> int:
    loop = asyncio.get_running_loop()
    state = State()
    server = Server(state, config)
    now, end = asyncio.Event(), asyncio.Event()
    loop.add_signal_handler(signal.SIGHUP, now.set)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end.set)
    listening = await _listen(options, server)
    tasks = [loop.create_task(end.wait()), loop.create_task(_keep_running(state, command, options, now))]
    tasks.append(loop.create_task(_keep_watching(server)))
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for each in listening:
        each.close()
    for connection in list(server.connections):
        connection.transport.abort()
    for task in tasks:
        task.cancel()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    for error in ends:
        if isinstance(error, Exception) and not isinstance(error, (asyncio.CancelledError, Refused)):
            raise error
    return REFUSED if any(isinstance(error, Refused) for error in ends) else 0


def _shown(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def serve(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    """Serve until SIGTERM; return the exit code.

    Raises:
        ValueError: an address is none, or the library for HTTP is missing.
        WebConfigError: the web configuration cannot be used.
        OSError: an address cannot be listened on.

    """
    if h11 is None:
        raise ValueError("serve needs a library: pip install 'hostcheck[exporter]' (Debian: python3-h11)")
    config = WebConfig(options.web_config)
    # What rests in a run that ends at once works here: connections leave circles behind.
    gc.set_threshold(700, 10, 10)
    return asyncio.run(_serve(options, [*own_command(), *arguments, "--render"], config))
