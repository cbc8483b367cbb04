"""Whether the exporter grows: the service takes the pages of ten thousand runs, and tells of its memory meanwhile.

    python scripts/soak.py [--runs N] [--real]

The checks run once, and what that run handed over is handed over again and again, by a process of its own as ever, with
no pause in between: so the service does in a few minutes what it does in a month. With --real each run is one that
really checks (`os.*`), ten a second at most.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.request

from bench_exporter import PROJECT, TREE, free_port, serving

RELAY = """
import sys
from hostcheck import cli, exporter, exporter_loop

pages = sys.argv.pop(1)
exporter_loop.own_command = lambda: ["sh", "-c", 'cat "$0"', pages]
exporter._seconds = float
sys.exit(cli.main())
"""
"""The service, whose runs print a file; and whose interval may be 0."""

MARKS = (100, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000)


def scrape(port: int) -> dict[str, float]:
    """Return the metrics without labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        text = answer.read().decode()
    return {name: float(value) for name, value in re.findall(r"(?m)^(\w+) ([0-9.e+-]+)$", text)}


def relayed(folder: str, port: int) -> list[str]:
    """Return the command of a service whose runs hand over again what one has handed over."""
    pages = pathlib.Path(folder, "pages")
    words = ["serve", "--root", str(TREE), "--interval", "0"]
    with pages.open("wb") as out:
        one = [sys.executable, "-m", "hostcheck", *words[:3], "--render"]
        subprocess.run(one, cwd=PROJECT, stdout=out, check=True)
    return [sys.executable, "-c", RELAY, str(pages), *words, "--web.listen-address", f"127.0.0.1:{port}"]


def real(port: int) -> list[str]:
    """Return the command of a service whose runs check."""
    words = ["--select", "os.*", "--interval", "0.1", "--web.listen-address", f"127.0.0.1:{port}"]
    return [sys.executable, "-m", "hostcheck", "serve", *words]


def main() -> None:
    """Run, and print a row of a table at each mark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--real", action="store_true")
    options = parser.parse_args()
    port = free_port()
    marks = [mark for mark in MARKS if mark < options.runs] + [options.runs]
    print("| runs | seconds | resident | open files | runs without a report |\n|---|---|---|---|---|")
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        command = real(port) if options.real else relayed(folder, port)
        with serving(command, port, "/-/ready") as process:
            while marks:
                time.sleep(0.5)
                seen = scrape(port)
                if seen["hostcheck_runs_total"] < marks[0]:
                    continue
                marks.pop(0)
                print(
                    f"| {seen['hostcheck_runs_total']:.0f} | {time.monotonic() - began:.0f} "
                    f"| {seen['process_resident_memory_bytes'] / 2**20:.1f} MiB | {seen['process_open_fds']:.0f} "
                    f"| {seen['hostcheck_run_failures_total']:.0f} |",
                    flush=True,
                )
            left = len(os.listdir(f"/proc/{process.pid}/task")) - 1
            print(f"\nthreads beside the first: {left}")
            ending = time.monotonic()
            process.terminate()
            print(f"SIGTERM: ended with {process.wait(60)} after {time.monotonic() - ending:.2f} s")


if __name__ == "__main__":
    main()
