"""How the exporter bears scrapes, beside node_exporter, and how it bears bad clients.

    python scripts/bench_exporter.py [--seconds N]

First both in turn, by wrk, at 1, 10 and 50 connections; then the exporter alone for N seconds (60), while it runs its
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
BEST = 5
"""Seconds of each measurement beside node_exporter."""
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
        self.median = found(r"50%\s+(\S+)")
        self.worst = found(r"99%\s+(\S+)")
        self.socket_errors = found(r"Socket errors: (.*)")
        self.refused = found(r"Non-2xx.*: (\d+)")


def compare() -> None:
    """Print requests a second, p50, p99, processor time of a scrape and memory of both."""
    ports = {"hostcheck serve": free_port(), "node_exporter": free_port()}
    hostcheck, node = ports.values()
    with contextlib.ExitStack() as stack:
        started = {
            "hostcheck serve": stack.enter_context(serving(exporter(hostcheck, 300), hostcheck, "/-/ready"))
        }
        if shutil.which("prometheus-node-exporter"):
            argv = ["prometheus-node-exporter", f"--web.listen-address=127.0.0.1:{node}"]
            started["node_exporter"] = stack.enter_context(serving(argv, node, "/metrics"))
        else:
            print("node_exporter is not installed, and is left out")
        print("| server | connections | requests/s | not 200 | p50 | p99 | CPU a scrape | resident |")
        print("|---|---|---|---|---|---|---|---|")
        for connections in CONNECTIONS:
            for name, process in started.items():
                before = cpu(process.pid)
                said = wrk(ports[name], connections, BEST)
                used = 1000 * (cpu(process.pid) - before) / int(said.count)
                print(
                    f"| {name} | {connections} | {said.rate} | {said.refused} | {said.median} | {said.worst} "
                    f"| {used:.2f} ms | {resident(process.pid):.0f} MiB |"
                )


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
