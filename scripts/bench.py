"""How long hostcheck takes, as a user waits for it: whole processes, the median of many.

python scripts/bench.py [--runs N] [--root DIR]
"""

from __future__ import annotations

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import time

PROJECT = pathlib.Path(__file__).resolve().parents[1]

WAYS = (
    ("python alone", ["-c", ""]),
    ("--version", ["-m", "hostcheck", "--version"]),
    ("-f json", ["-m", "hostcheck", "-f", "json", "--no-plugins"]),
    ("-f json, plugins looked for", ["-m", "hostcheck", "-f", "json"]),
    ("-f table", ["-m", "hostcheck", "-f", "table", "--no-plugins"]),
    ("-f prometheus", ["-m", "hostcheck", "-f", "prometheus", "--no-plugins"]),
    (
        "--select 'cgroup.*' -f json",
        ["-m", "hostcheck", "--select", "cgroup.*", "-f", "json", "--no-plugins"],
    ),
)


def milliseconds(arguments: list[str]) -> float:
    """Run one process to its end and return how long it took."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *arguments],
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        cwd=PROJECT,
    )
    if done.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(arguments)} exits with {done.returncode}")
    return (time.perf_counter() - began) * 1000


def main() -> None:
    """Print one line for each way to run it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=15, metavar="N", help="of each way (default: 15)")
    parser.add_argument("--root", metavar="DIR", help="look at this tree instead of this host")
    options = parser.parse_args()
    host = ["--root", os.path.abspath(options.root)] if options.root else []
    ways = [(name, [*argv, *host] if "-f" in argv else argv) for name, argv in WAYS]
    times: dict[str, list[float]] = {name: [] for name, _ in ways}
    for number in range(options.runs + 1):
        # In turn, so that what else the machine does falls on all alike. The first round only warms the caches.
        for name, argv in ways:
            taken = milliseconds(argv)
            if number:
                times[name].append(taken)
    for name, taken_times in times.items():
        print(f"{statistics.median(taken_times):7.1f} ms  (least {min(taken_times):.1f})  {name}")


if __name__ == "__main__":
    main()
