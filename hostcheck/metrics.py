"""A report as Prometheus metric families, for the textfile collector and for a scrape."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily

from hostcheck._typing import TYPE_CHECKING
from hostcheck.finding import Outcome, Report, Severity, Verdict

if TYPE_CHECKING:
    from prometheus_client.registry import Collector
else:
    # The library of Debian 11 has no such class; a registry asks for `collect` alone.
    Collector = object

Families = Iterator["GaugeMetricFamily | InfoMetricFamily"]


def _seconds(text: str) -> float:
    """Return a date or time in ISO 8601 as seconds since 1970; a date means its last moment."""
    if len(text) == 10:
        day = datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.timezone.utc)
        return (day + datetime.timedelta(days=1)).timestamp()
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def families(report: Report) -> Families:
    """Yield every metric of a report. No label holds a message or a path, so their number is bounded."""
    ready = GaugeMetricFamily(
        "hostcheck_ready", "Whether the host will run containers: 1 if nothing required fails or is unknown."
    )
    ready.add_metric([], float(report.verdict in (Verdict.READY, Verdict.WARNINGS)))
    yield ready

    verdict = GaugeMetricFamily(
        "hostcheck_verdict", "The verdict of the last run, 1 for it.", labels=["verdict"]
    )
    for word in Verdict:
        verdict.add_metric([word.value], float(word is report.verdict))
    yield verdict

    outcome = GaugeMetricFamily(
        "hostcheck_check_outcome",
        "How a check ended, 1 for its outcome and 0 for the others.",
        labels=["check", "severity", "outcome"],
    )
    duration = GaugeMetricFamily(
        "hostcheck_check_duration_seconds", "How long a check took.", labels=["check"]
    )
    failing = GaugeMetricFamily(
        "hostcheck_check_failing",
        "Findings of a check that fail and are not waived, for the present and for the next boot.",
        labels=["check", "severity", "when"],
    )
    for result in report.results:
        for end in Outcome:
            outcome.add_metric([result.check, str(result.severity), end.value], float(end is result.outcome))
        duration.add_metric([result.check], result.seconds)
        if result.outcome is Outcome.FAIL and not result.waived:
            for when in ("now", "boot"):
                count = sum(finding.when == when for finding in result.failures)
                failing.add_metric([result.check, str(result.severity), when], float(count))
    yield outcome
    yield duration
    yield failing

    findings = GaugeMetricFamily(
        "hostcheck_findings", "Findings that fail and are not waived.", labels=["severity"]
    )
    for severity in Severity:
        count = sum(
            result.severity_of(finding) is severity
            for result in report.results
            if result.outcome is Outcome.FAIL and not result.waived
            for finding in result.failures
        )
        findings.add_metric([severity.value], float(count))
    yield findings

    expiry = GaugeMetricFamily(
        "hostcheck_waiver_expiry_timestamp_seconds",
        "When a waiver ends, in seconds since 1970.",
        labels=["check", "subject"],
    )
    for waiver in report.waivers:
        if waiver["expires"]:
            expiry.add_metric([waiver["id"], waiver["subject"]], _seconds(waiver["expires"]))
    yield expiry

    last = GaugeMetricFamily(
        "hostcheck_last_run_timestamp_seconds", "When the last run began, in seconds since 1970."
    )
    last.add_metric([], _seconds(report.started))
    yield last
    took = GaugeMetricFamily("hostcheck_run_duration_seconds", "How long the last run took.")
    took.add_metric([], report.seconds)
    yield took

    host = InfoMetricFamily("hostcheck_host", "What the host is.")
    engines = report.host.get("engines") or {}
    host.add_metric(
        [],
        {
            "kernel": str(report.host.get("kernel") or ""),
            "os": str(report.host.get("os") or ""),
            "cgroup": str(report.host.get("cgroup") or ""),
            "docker": str(engines.get("docker") or ""),
            "containerd": str(engines.get("containerd") or ""),
            "runc": str(engines.get("runc") or ""),
            "storage_driver": str(report.host.get("storage_driver") or ""),
        },
    )
    yield host
    build = InfoMetricFamily("hostcheck_build", "The hostcheck that ran.")
    build.add_metric([], {"version": report.version, "policy": report.policy})
    yield build


class ReportCollector(Collector):
    """Serves the families of one report to a registry."""

    def __init__(self, report: Report) -> None:
        """Take the report."""
        self.report = report

    def collect(self) -> Families:
        """Yield the families."""
        return families(self.report)

    def describe(self) -> Families:
        """Say nothing beforehand, so that registering costs no collection."""
        return iter(())
