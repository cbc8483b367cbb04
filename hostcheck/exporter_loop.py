"""The exporter's process: it starts the runs, watches its configuration, listens, and ends."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
from collections.abc import Sequence

from hostcheck import __version__
from hostcheck._typing import Any, Optional
from hostcheck.exporter import PORT, parse_address
from hostcheck.exporter_http import REQUEST_SECONDS, Connection, Server, log
from hostcheck.exporter_pages import State
from hostcheck.exporter_run import parse
from hostcheck.web_config import WebConfig

PAGES_LIMIT = 128 * 1024 * 1024
"""Bytes that one run may hand over."""

END_SECONDS = 10.0
"""How long a run may take to end that has handed over its pages, or was killed."""

WATCH_SECONDS = 5.0
"""Between two looks at the web configuration and its certificates."""

BACKLOG = 1024
"""Clients that wait to be taken."""

REFUSED = 2
"""The exit code of a run whose command line or policy is wrong."""

NOT_LISTENING = 1
"""The exit code where an address cannot be had. systemd then starts anew, as it does not for a mistake."""

SYSTEMD_SOCKETS = 3
"""The first file descriptor that systemd hands over (sd_listen_fds(3))."""


class CannotListen(Exception):
    """An address cannot be had. Another start may find it free, or up."""


class Refused(Exception):
    """The command line or the policy is wrong: no run will ever give a report."""


def own_command() -> list[str]:
    """Return the words that start this program once more, however it was installed."""
    if getattr(sys, "frozen", False):
        return [sys.executable]
    if os.path.basename(sys.argv[0]) == "__main__.py":
        return [sys.executable, "-m", "hostcheck"]
    return [sys.executable, sys.argv[0]]


class Runs:
    """The runs, one after the other, and what becomes of the state."""

    def __init__(self, state: State, command: Sequence[str], options: argparse.Namespace) -> None:
        """Prepare to run `command`."""
        self.state = state
        self.command = command
        self.seconds = options.run_timeout
        self.interval = options.interval
        self.process: Optional[asyncio.subprocess.Process] = None

    async def keep_on(self, now: asyncio.Event) -> None:
        """Run for ever, once an interval and whenever `now` is set."""
        while True:
            now.clear()
            await self.once()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(now.wait(), self.interval)

    async def once(self) -> None:
        """Run, with the policy as it is now; the last one that could be used stands in for one that cannot.

        Raises:
            Refused: it could never be used: that ends the service.

        """
        state = self.state
        try:
            pages = await self._pages(self.command, b"")
            state.policy_is_current = True
        except Refused:
            # The run has said why.
            if not state.pages:
                raise
            state.policy_is_current = False
            pages = None
            if state.policy:
                log("the last policy that could be used stands in")
                with contextlib.suppress(Refused):
                    pages = await self._pages([*self.command, "--kept-policy"], state.policy)
        state.take(pages)

    async def _pages(self, command: Sequence[str], policy: bytes) -> dict[str, bytes] | None:
        """Run the checks in a process of their own; return its pages, None if it gave none.

        Raises:
            Refused: it ended as one does whose command line or policy is wrong.

        """
        if not await self._is_free():
            return None
        # A session of its own, so that what a check started can be ended with it.
        self.process = process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE if policy else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            limit=1 << 20,
            start_new_session=True,
        )
        try:
            if process.stdin is not None:
                process.stdin.write(policy)
                process.stdin.close()
            assert process.stdout is not None
            data = await asyncio.wait_for(_read_all(process.stdout), self.seconds)
            code = await asyncio.wait_for(process.wait(), END_SECONDS)
            if code == REFUSED:
                raise Refused
            if code:
                raise ValueError(f"it ended with {code}")
            return parse(data)
        except (ValueError, asyncio.TimeoutError) as error:
            why = error or f"no end after {self.seconds:g} s"
            log(f"the run gave no report, and the last one stays: {why}")
            return None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    async def _is_free(self) -> bool:
        """Return whether the run before is gone. One that waits for a file server in vain outlives SIGKILL."""
        if self.process is None:
            return True
        try:
            await asyncio.wait_for(self.process.wait(), END_SECONDS)
        except asyncio.TimeoutError:
            log(f"no run: the one before, process {self.process.pid}, cannot be ended")
            return False
        return True


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


class Listening:
    """The sockets on which clients are taken, with the TLS of the moment."""

    def __init__(self, options: argparse.Namespace, server: Server) -> None:
        """Listen wherever the options say.

        Raises:
            ValueError: an address is none, or systemd hands over no socket.
            CannotListen: an address cannot be had.

        """
        self.server = server
        self.servers: list[asyncio.AbstractServer] = []
        if options.systemd_socket:
            self.sockets = _handed_over()
        else:
            self.sockets = [_bound(text) for text in options.listen or [f"127.0.0.1:{PORT}"]]

    async def renew(self) -> None:
        """Take new clients as the web configuration is now. None is lost: a copy of a socket has the same queue."""
        more: dict[str, Any] = {"backlog": BACKLOG}
        context = self.server.config.context
        if context is not None:
            more.update(ssl=context, ssl_handshake_timeout=REQUEST_SECONDS)
        before = self.servers
        self.servers = [
            await asyncio.get_running_loop().create_server(
                lambda: Connection(self.server), sock=sock.dup(), **more
            )
            for sock in self.sockets
        ]
        for each in before:
            each.close()

    def tell(self) -> None:
        """Write where it listens."""
        scheme = "http" if self.server.config.context is None else "https"
        for sock in self.sockets:
            log(f"{__version__} listens on {_shown(sock, scheme)}")

    async def keep_watching(self, look: asyncio.Event) -> None:
        """Take changes of the web configuration for ever; see at once whenever `look` is set."""
        while True:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(look.wait(), WATCH_SECONDS)
            look.clear()
            if self.server.refresh():
                await self.renew()

    def end(self) -> None:
        """Take nobody any more."""
        for each in self.servers:
            each.close()
        for sock in self.sockets:
            sock.close()


def _handed_over() -> list[socket.socket]:
    """Return the sockets that systemd hands over (sd_listen_fds(3))."""
    mine = os.environ.pop("LISTEN_PID", "") == str(os.getpid())
    count = int(os.environ.pop("LISTEN_FDS", "0"))
    if not mine or not count:
        raise ValueError("--web.systemd-socket: systemd hands over no socket")
    return [socket.socket(fileno=number) for number in range(SYSTEMD_SOCKETS, SYSTEMD_SOCKETS + count)]


def _bound(text: str) -> socket.socket:
    """Return a socket that listens on an address, as net.Listen of Go does: one, and [::] takes IPv4 as well."""
    host, port = parse_address(text)
    try:
        if host in (None, "::") and socket.has_dualstack_ipv6():
            return socket.create_server(
                ("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG
            )
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = min(found, key=lambda each: each[0] != socket.AF_INET)
        return socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        # getaddrinfo has numbers of its own, below 0; and Python adds to what the system says of bind.
        number = error.errno or 0
        why = os.strerror(number) if number > 0 else error.strerror
        raise CannotListen(f"cannot listen on {text}: {why}") from None


def _shown(sock: socket.socket, scheme: str) -> str:
    name = sock.getsockname()
    if isinstance(name, (str, bytes)):
        return os.fsdecode(name)
    host, port = name[:2]
    return f"{scheme}://[{host}]:{port}/" if ":" in host else f"{scheme}://{host}:{port}/"


async def _serve(options: argparse.Namespace, command: Sequence[str], config: WebConfig) -> int:
    loop = asyncio.get_running_loop()
    state = State(options.interval)
    server = Server(state, config)
    now, look, end = asyncio.Event(), asyncio.Event(), asyncio.Event()

    def reload() -> None:
        look.set()
        now.set()

    loop.add_signal_handler(signal.SIGHUP, reload)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end.set)
    listening = Listening(options, server)
    await listening.renew()
    listening.tell()
    tasks: list[asyncio.Task[Any]] = [
        loop.create_task(end.wait()),
        loop.create_task(Runs(state, command, options).keep_on(now)),
        loop.create_task(listening.keep_watching(look)),
    ]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    listening.end()
    for connection in list(server.connections):
        connection.transport.abort()
    for task in tasks:
        task.cancel()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    for error in ends:
        if isinstance(error, Exception) and not isinstance(error, (asyncio.CancelledError, Refused)):
            raise error
    return REFUSED if any(isinstance(error, Refused) for error in ends) else 0


def serve(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    """Serve until SIGTERM; return the exit code.

    Raises:
        ValueError: an address is none.
        WebConfigError: the web configuration cannot be used.

    """
    config = WebConfig(options.web_config)
    # What rests in a run that ends at once works here: connections leave circles behind.
    gc.set_threshold(700, 10, 10)
    try:
        return asyncio.run(_serve(options, [*own_command(), *arguments, "--render"], config))
    except CannotListen as error:
        log(str(error))
        return NOT_LISTENING
