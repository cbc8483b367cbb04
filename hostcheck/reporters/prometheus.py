"""The report as Prometheus text, for node_exporter's textfile collector."""

from __future__ import annotations

from collections.abc import Sequence

from hostcheck._typing import TextIO
from hostcheck.finding import Report
from hostcheck.reporters import Style


def write(report: Report, stream: TextIO, style: Style) -> None:
    """Write the text exposition format."""
    # Imported here: they cost 90 ms, and only this output needs them.
    from prometheus_client import CollectorRegistry, generate_latest

    from hostcheck.metrics import ReportCollector

    registry = CollectorRegistry()
    registry.register(ReportCollector(report))
    stream.write(generate_latest(registry).decode())


def write_all(reports: Sequence[Report], stream: TextIO, style: Style) -> None:
    """Refuse: a scrape is of one host.

    Raises:
        ValueError: always, with the way out.

    """
    raise ValueError("the format prometheus holds one host: check one at a time")
