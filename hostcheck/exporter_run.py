"""One run of the exporter, in a process of its own: everything that a scrape may ask for, rendered once.

The process that serves stays small and never grows, whatever a check imports or leaks; a check that hangs is cut off
here, and a run that hangs as a whole is killed from there.
"""

from __future__ import annotations

import gzip
import io
import json
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from hostcheck._typing import Any, cast
from hostcheck.finding import Report, Result
from hostcheck.host import Host
from hostcheck.policy import Policy
from hostcheck.runner import Configured, run_one

GZIP_LEVEL = 6


class Hung(Exception):
    """A check took longer than it may."""


@contextmanager
def _limit(seconds: float) -> Iterator[None]:
    def cut(signum: int, frame: object) -> None:
        raise Hung(f"cut off after {seconds:g} s")

    before = signal.signal(signal.SIGALRM, cut)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def run_limited(configured: Sequence[Configured], host: Host, seconds: float) -> list[Result]:
    """Run every check, each for at most `seconds`; one that takes longer is an error, and the run goes on."""
    results = []
    for each in configured:
        with _limit(seconds):
            results.append(run_one(each, host))
    return results


def bundle(report: Report, policy: Policy, interval: float) -> dict[str, bytes]:
    """Return every page by its name: metrics in both formats, the report as JSON and as HTML; and the policy."""
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.openmetrics import exposition

    from hostcheck.metrics import ReportCollector
    from hostcheck.reporters import Style, html
    from hostcheck.reporters import json as json_reporter

    registry = CollectorRegistry()
    registry.register(ReportCollector(report))
    text = io.StringIO()
    json_reporter.write(report, text, Style())
    page = html.page([report], age=f", and every {interval:g} s", refresh=int(interval))
    return {
        "text": generate_latest(registry),
        "openmetrics": cast(Any, exposition).generate_latest(registry),
        "json": text.getvalue().encode("utf-8", "replace"),
        "html": page.encode("utf-8", "replace"),
        "policy": json.dumps({"name": policy.name, "policy": policy.to_dict()}, default=str).encode(),
    }


def kept_policy(data: bytes) -> Policy:
    """Return the policy that an earlier run handed over, as the process that serves kept it."""
    kept = json.loads(gzip.decompress(data))
    return Policy.from_dict(kept["name"], kept["policy"])


def send(pages: dict[str, bytes]) -> None:
    """Write the pages, packed, to standard output: a line of JSON with names and lengths, then their bytes."""
    packed = {name: gzip.compress(data, GZIP_LEVEL, mtime=0) for name, data in pages.items()}
    out = sys.stdout.buffer
    out.write(json.dumps({name: len(data) for name, data in packed.items()}).encode() + b"\n")
    for data in packed.values():
        out.write(data)
    out.flush()


def parse(data: bytes) -> dict[str, bytes]:
    r"""Return the pages that `send` wrote.

    Raises:
        ValueError: it is cut off, or nothing that `send` writes.

    >>> parse(b'{"a": 1, "b": 2}\nxyz')
    {'a': b'x', 'b': b'yz'}
    """
    head, newline, rest = data.partition(b"\n")
    lengths: Any = json.loads(head)
    if not newline or not isinstance(lengths, dict) or sum(lengths.values()) != len(rest):
        raise ValueError("the run was cut off")
    pages = {}
    for name, length in lengths.items():
        pages[name], rest = rest[:length], rest[length:]
    return pages
