"""The report as JSON, for programs. Its shape is versioned: see report.schema.json."""

from __future__ import annotations

import json
from collections.abc import Sequence

from hostcheck._typing import Any, TextIO
from hostcheck.finding import Finding, Report, Result, Verdict
from hostcheck.reporters import Style

SCHEMA = 1
"""Counted up when a reader of the old shape would misread the new one."""


def _finding(result: Result, finding: Finding) -> dict[str, Any]:
    return {
        "ok": finding.ok,
        "subject": finding.subject,
        "value": finding.value,
        "expected": finding.expected,
        "when": finding.when,
        "severity": str(result.severity_of(finding)),
        "message": finding.message,
        "path": finding.path,
        "line": finding.line or None,
        "fix": finding.fix,
        "waived": finding.waived,
    }


def to_dict(report: Report) -> dict[str, Any]:
    """Return the report as plain values."""
    return {
        "schema": SCHEMA,
        "hostcheck": report.version,
        "verdict": str(report.verdict),
        "policy": report.policy,
        "started": report.started,
        "seconds": round(report.seconds, 6),
        "host": report.host,
        "waivers": report.waivers,
        "results": [
            {
                "id": result.check,
                "title": result.title,
                "severity": str(result.severity),
                "outcome": str(result.outcome),
                "reason": result.reason,
                "seconds": round(result.seconds, 6),
                "waived": result.waived,
                "findings": [_finding(result, finding) for finding in result.findings],
            }
            for result in report.results
        ],
    }


def write(report: Report, stream: TextIO, style: Style) -> None:
    """Write one JSON object, a result a line: json's own indentation is ten times as slow."""
    stream.write(_text(report) + "\n")


def write_all(reports: Sequence[Report], stream: TextIO, style: Style) -> None:
    """Write one JSON object with the worst verdict, and the reports in their order."""
    worst = str(max((report.verdict for report in reports), key=list(Verdict).index))
    texts = ",\n".join(map(_text, reports))
    stream.write(f'{{"schema": {SCHEMA}, "verdict": {json.dumps(worst)}, "reports": [\n{texts}\n]}}\n')


def _text(report: Report) -> str:
    whole = to_dict(report)
    # One encoder for all: json.dumps makes a new one each time.
    encode = json.JSONEncoder(ensure_ascii=False).encode
    results = ",\n".join(map(encode, whole.pop("results")))
    head = encode(whole)
    return f'{head[:-1]}, "results": [\n{results}\n]}}'
