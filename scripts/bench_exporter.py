"""How the exporter bears scrapes, beside node_exporter, and how it bears bad clients.

    python scripts/bench_exporter.py [--seconds N]

First both in turn, at 1, 10 and 50 connections; then the exporter alone for N seconds (60), while it runs its
checks every two seconds: 200 connections at once, clients that send a header byte by byte, clients that say nothing,
heads that are too long, and a scraper that connects anew each time, as Prometheus after a break. Needs wrk, and
prometheus-node-exporter for the comparison (apt-get install wrk prometheus-node-exporter).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pathlib
import re
import selectors
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence

PROJECT = pathlib.Path(__file__).resolve().parents[1]
TREE = PROJECT / "tests" / "hosts" / "debian-12"
CONNECTIONS = (1, 10, 50)
ROUNDS, BEST = 5, 3
"""Rounds beside node_exporter, and the seconds of each measurement in one."""
LEAST = 100
"""Scrapes of which a p99 can be told."""
REQUEST = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n"
"""Prometheus asks for gzip."""
MANY = 200
SLOW, SILENT = 100, 100


def free_port() -> int:
    """Return a port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@contextlib.contextmanager
def serving(argv: Sequence[str], port: int, path: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start a server, and wait until it answers."""
    with subprocess.Popen(argv, cwd=PROJECT, stderr=subprocess.DEVNULL) as process:
        try:
            limit = time.monotonic() + 60
            while not answers(port, path):
                if time.monotonic() > limit or process.poll() is not None:
                    raise SystemExit(f"{argv[0]} does not answer")
                time.sleep(0.2)
            yield process
        finally:
            process.terminate()


def answers(port: int, path: str) -> bool:
    """Return whether a page is there."""
    with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10):
        return True
    return False


def resident(pid: int) -> float:
    """Return the MiB that a process has in memory."""
    found = re.search(r"VmRSS:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def cpu(pid: int) -> float:
    """Return the processor seconds of a process, without those of its children."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wrk(port: int, connections: int, seconds: float) -> Said:
    """Ask as fast as it goes."""
    argv = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:.0f}s", "--latency", "--timeout", "10s"]
    argv += ["-H", "Accept-Encoding: gzip"]
    done = subprocess.run(
        [*argv, f"http://127.0.0.1:{port}/metrics"],
        capture_output=True,
        text=True,
        timeout=seconds + 120,
        check=True,
    )
    return Said(done.stdout)


class Said:
    """What wrk printed."""

    def __init__(self, text: str) -> None:
        """Take it apart; a dash stands for what it did not say."""

        def found(pattern: str) -> str:
            match = re.search(pattern, text)
            return match[1] if match else "-"

        self.count = found(r"(\d+) requests in")
        self.rate = found(r"Requests/sec:\s+(\S+)")
        self.worst = found(r"99%\s+(\S+)")
        self.socket_errors = found(r"Socket errors: (.*)")
        self.refused = found(r"Non-2xx.*: (\d+)")


class Answer:
    """What a client has read of an answer."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.data = bytearray()

    @property
    def complete(self) -> bool:
        """Whether it is there as a whole, by its length or its last chunk."""
        head, end, body = bytes(self.data).partition(b"\r\n\r\n")
        if not end:
            return False
        length = re.search(rb"(?i)\ncontent-length: *(\d+)", head)
        return len(body) >= int(length[1]) if length else body.endswith(b"\r\n0\r\n\r\n")

    @property
    def status(self) -> str:
        """The three digits."""
        return self.data[9:12].decode("latin-1")


def scrape_times(port: int, connections: int, seconds: float) -> list[float]:
    """Return how many ms each scrape took, of clients that ask anew as soon as they are answered.

    wrk cannot be asked for that: it adds latencies that nobody saw for each moment in which the machine stood still
    (stats_correct), and the more of them the faster a server is.
    """
    selector = selectors.DefaultSelector()
    took: list[float] = []
    with contextlib.ExitStack() as stack:

        def ask(client: socket.socket) -> tuple[Answer, float]:
            client.sendall(REQUEST)
            return Answer(), time.perf_counter()

        for _ in range(connections):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port), 30))
            selector.register(client, selectors.EVENT_READ, ask(client))
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or len(took) < LEAST:
            for key, _ in selector.select(1):
                client, (answer, began) = key.fileobj, key.data
                assert isinstance(client, socket.socket)
                answer.data += client.recv(1 << 20)
                if answer.complete:
                    if answer.status != "200":
                        raise SystemExit(f"{port} answers {answer.status}")
                    took.append(1000 * (time.perf_counter() - began))
                    selector.modify(client, selectors.EVENT_READ, ask(client))
    return took


class Measured:
    """What the rounds at one number of connections gave, of one server: medians over the rounds."""

    def __init__(self, pid: int, port: int, connections: int) -> None:
        """Measure nothing yet."""
        self.pid, self.port, self.connections = pid, port, connections
        self.rates: list[float] = []
        self.cpu: list[float] = []
        self.took: list[list[float]] = []

    def round(self) -> None:
        """Measure once: throughput by wrk, then how long a scrape takes."""
        before = cpu(self.pid)
        said = wrk(self.port, self.connections, BEST)
        self.rates.append(float(said.rate))
        self.cpu.append(1000 * (cpu(self.pid) - before) / max(1, int(said.count)))
        self.took.append(scrape_times(self.port, self.connections, BEST))

    @property
    def rate(self) -> float:
        """Requests a second."""
        return statistics.median(self.rates)

    def percentile(self, percent: int) -> float:
        """Return a percentile of the ms of a scrape."""
        return statistics.median(statistics.quantiles(each, n=100)[percent - 1] for each in self.took)

    def row(self, name: str) -> str:
        """Return a line of the table."""
        return (
            f"| {name} | {self.connections} | {self.rate:.0f} | {short(self.percentile(50))} ms "
            f"| {short(self.percentile(99))} ms | {statistics.median(self.cpu):.2f} ms | {resident(self.pid):.0f} MiB |"
        )


def short(number: float) -> str:
    """Return two or three digits of a number."""
    return f"{number:.0f}" if number >= 10 else f"{number:.2g}"


def compare() -> None:
    """Print requests a second, p50, p99, processor time of a scrape and memory of both, and how far apart they are."""
    ports = {"hostcheck serve": free_port(), "node_exporter": free_port()}
    hostcheck, node = ports.values()
    with contextlib.ExitStack() as stack:
        started = {
            "hostcheck serve": stack.enter_context(serving(exporter(hostcheck, 300), hostcheck, "/-/ready"))
        }
        if shutil.which("prometheus-node-exporter"):
            # It would refuse the 41st request at once.
            argv = [
                "prometheus-node-exporter",
                f"--web.listen-address=127.0.0.1:{node}",
                "--web.max-requests=0",
            ]
            started["node_exporter"] = stack.enter_context(serving(argv, node, "/metrics"))
        else:
            print("node_exporter is not installed, and is left out")
        print(
            f"medians of {ROUNDS} rounds of {BEST} s in turns, load {os.getloadavg()[0]:.1f} at the start\n"
        )
        print("| server | connections | requests/s | p50 | p99 | CPU a scrape | resident |")
        print("|---|---|---|---|---|---|---|")
        apart = []
        for connections in CONNECTIONS:
            measured = {
                name: Measured(process.pid, ports[name], connections) for name, process in started.items()
            }
            for _ in range(ROUNDS):
                for each in measured.values():
                    each.round()
            for name, each in measured.items():
                print(each.row(name), flush=True)
            if len(measured) == 2:
                ours, theirs = measured.values()
                apart.append(
                    f"at {connections}: {ours.rate / theirs.rate:.0f} times the requests/s, "
                    f"a p99 of 1/{theirs.percentile(99) / ours.percentile(99):.0f}"
                )
        print("", *apart, sep="\n")


def exporter(port: int, interval: int) -> list[str]:
    """Return the command of an exporter."""
    words = [
        "serve",
        "--root",
        str(TREE),
        "--interval",
        str(interval),
        "--web.listen-address",
        f"127.0.0.1:{port}",
    ]
    return [sys.executable, "-m", "hostcheck", *words]


class Scraper(threading.Thread):
    """Scrapes on a new connection, again and again, until it is told to end."""

    def __init__(self, port: int, end: threading.Event) -> None:
        super().__init__()
        self.url = f"http://127.0.0.1:{port}/metrics"
        self.end = end
        self.took: list[float] = []
        self.failed: list[str] = []

    def run(self) -> None:
        """See `threading.Thread.run`."""
        while not self.end.wait(0.5):
            began = time.monotonic()
            try:
                with urllib.request.urlopen(self.url, timeout=10) as answer:  # noqa: S310
                    answer.read()
            except OSError as error:
                self.failed.append(str(error))
            self.took.append(time.monotonic() - began)


def drip(port: int, end: threading.Event) -> None:
    """Keep connections busy that send a header byte by byte; one that is closed is opened again."""

    def opened() -> socket.socket:
        raw = socket.create_connection(("127.0.0.1", port), 10)
        raw.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        return raw

    slow = [opened() for _ in range(SLOW)]
    while not end.wait(1):
        for number, raw in enumerate(slow):
            try:
                raw.sendall(b"a")
            except OSError:
                raw.close()
                slow[number] = opened()
    for raw in slow:
        raw.close()


def shout(port: int, end: threading.Event, counts: list[int]) -> None:
    """Send heads that are too long, and count how many are refused."""
    while not end.wait(0.1):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 10) as raw:
            counts[0] += 1
            with contextlib.suppress(OSError):
                raw.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 200_000 + b"\r\n\r\n")
            if raw.recv(64)[9:10] in (b"", b"4"):
                counts[1] += 1


def endure(seconds: int) -> None:
    """Print how the exporter bears everything at once."""
    port = free_port()
    end = threading.Event()
    scraper = Scraper(port, end)
    counts = [0, 0]
    with serving(exporter(port, 2), port, "/-/ready") as process, contextlib.ExitStack() as stack:
        wrk(port, 50, 2)
        before = resident(process.pid)
        for _ in range(SILENT):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), 10))
        others = [
            threading.Thread(target=drip, args=(port, end)),
            threading.Thread(target=shout, args=(port, end, counts)),
        ]
        for thread in (scraper, *others):
            thread.start()
        said = wrk(port, MANY, seconds)
        end.set()
        for thread in (scraper, *others):
            thread.join()
        after = resident(process.pid)
    print(
        f"\n{MANY} connections for {seconds} s, with {SLOW} slow clients, {SILENT} silent ones and runs every 2 s:"
    )
    print(
        f"- wrk: {said.count} requests, p99 {said.worst}, socket errors: {said.socket_errors}, not 200: {said.refused}"
    )
    print(
        f"- scrapes on new connections: {len(scraper.took)}, failed {len(scraper.failed)} {scraper.failed[:3]}, the"
        f" longest {max(scraper.took):.2f} s, median {1000 * statistics.median(scraper.took):.0f} ms"
    )
    print(f"- heads that are too long: {counts[0]}, refused {counts[1]}")
    print(f"- resident: {before:.1f} MiB before, {after:.1f} after")


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=60)
    options = parser.parse_args()
    if not shutil.which("wrk"):
        print("wrk is not installed (apt-get install wrk): the exporter is not measured")
        return
    compare()
    endure(options.seconds)


if __name__ == "__main__":
    main()
