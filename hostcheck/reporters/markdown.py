"""The report as Markdown, for a job summary, a merge request or a ticket."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from hostcheck._typing import TextIO
from hostcheck.finding import Finding, Outcome, Report, Result, Severity, Verdict
from hostcheck.reporters import Style

_MARKS = {Verdict.READY: "✅", Verdict.WARNINGS: "⚠️", Verdict.NOT_READY: "❌", Verdict.CANNOT_TELL: "❔"}
_COUNTED = (Severity.REQUIRED, Severity.RECOMMENDED)
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#+!|~&$@])")


def write(report: Report, stream: TextIO, style: Style) -> None:
    """Write a heading with the verdict, what fails with its fix, and what could not be told."""
    stream.write("\n".join(_lines(report)) + "\n")


def write_all(reports: Sequence[Report], stream: TextIO, style: Style) -> None:
    """Write an overview, then every report."""
    stream.write("| target | verdict | required | recommended |\n|---|---|---|---|\n")
    for report in reports:
        counts = [sum(r.severity is s for r in report.failed(s)) for s in _COUNTED]
        verdict = f"{_MARKS[report.verdict]} {report.verdict}"
        stream.write(f"| {_text(report.host.get('name'))} | {verdict} | {counts[0]} | {counts[1]} |\n")
    for report in reports:
        stream.write("\n")
        write(report, stream, style)


def _lines(report: Report) -> Iterator[str]:
    host = report.host
    yield f"## {_MARKS[report.verdict]} {_text(host.get('name'))}: {report.verdict}"
    yield ""
    parts = [
        host.get("os"),
        host.get("kernel") and f"kernel {host['kernel']}",
        host.get("cgroup") and f"cgroup {host['cgroup']}",
    ]
    engines = host.get("engines") or {}
    parts += [f"{name} {version}" for name, version in engines.items()]
    yield " · ".join(_text(part) for part in [*parts, f"policy {report.policy}"] if part)
    failing = [r for r in report.failed(Severity.INFO) if r.severity is not Severity.INFO]
    if failing:
        yield ""
        yield "| | check | what | where |"
        yield "|---|---|---|---|"
        for result in sorted(failing, key=lambda r: -r.severity.rank):
            for finding in result.failures:
                yield _row(result, finding)
        yield from _fixes(failing)
    undecided = report.undecided()
    if undecided:
        yield ""
        yield "Cannot tell:"
        yield ""
        yield from (f"- `{result.check}`: {_text(result.reason)}" for result in undecided)
    counts = {o: sum(r.outcome is o for r in report.results) for o in Outcome}
    yield ""
    yield ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)


def _row(result: Result, finding: Finding) -> str:
    mark = {"required": "❌", "recommended": "⚠️"}.get(str(result.severity_of(finding)), "ℹ️")
    return f"| {mark} | `{result.check}` | {_text(finding.sentence)} | {_text(finding.place)} |"


def _fixes(failing: Sequence[Result]) -> Iterator[str]:
    for result in failing:
        steps = [f for f in result.failures if f.fix]
        if not steps:
            continue
        yield ""
        yield f"<details><summary>{_text(result.check)}: what to do</summary>"
        yield ""
        for finding in steps:
            if finding.fix and finding.fix["hint"]:
                yield _text(finding.fix["hint"])
                yield ""
            if finding.fix and finding.fix["commands"]:
                yield from (
                    "    " + line for command in finding.fix["commands"] for line in command.split("\n")
                )
                yield ""
        yield "</details>"


def _text(value: object) -> str:
    """Return a text of a host as plain Markdown text in one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(str(value or "").split()))
