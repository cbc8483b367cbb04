"""The report as one HTML page that needs nothing else: no network, light and dark, filters, a fix at a click."""

from __future__ import annotations

from collections.abc import Sequence

from hostcheck._typing import Any, TextIO
from hostcheck.finding import Outcome, Report, Result, Severity, Verdict
from hostcheck.packaged import text
from hostcheck.reporters import Style

_CLASSES = {
    Verdict.READY: "pass",
    Verdict.WARNINGS: "recommended",
    Verdict.NOT_READY: "required",
    Verdict.CANNOT_TELL: "unknown",
}


def write(report: Report, stream: TextIO, style: Style) -> None:
    """Write a page of one report."""
    write_all([report], stream, style)


def write_all(reports: Sequence[Report], stream: TextIO, style: Style) -> None:
    """Write one page of all reports."""
    stream.write(page(reports))


def page(reports: Sequence[Report], **more: Any) -> str:
    """Return the page. `more` goes to the template: `age` (a text) and `refresh` (seconds) for a served page."""
    # Imported here: it costs 40 ms, and only a page needs it.
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: text("reporters", name)),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    # Written out, not linked: the page may be opened from a mail or an artifact store.
    return environment.get_template("report.html.j2").render(
        reports=[_view(report) for report in reports], **{"age": "", "refresh": 0, **more}
    )


def _view(report: Report) -> dict[str, Any]:
    host = report.host
    engines = host.get("engines") or {}
    facts = [
        ("system", host.get("os")),
        ("kernel", host.get("kernel")),
        ("cgroup", host.get("cgroup")),
        (
            "engine",
            ", ".join(f"{name} {version or '(unknown)'}" for name, version in engines.items()) or "none",
        ),
        ("storage driver", host.get("storage_driver")),
        ("policy", report.policy),
    ]
    rows = [_row(report, result) for result in sorted(report.results, key=_rank)]
    kinds = ("required", "recommended", "info", "unknown", "error", "waived", "pass", "skip")
    return {
        "name": host.get("name"),
        "verdict": str(report.verdict),
        "tone": _CLASSES[report.verdict],
        "facts": [(key, value) for key, value in facts if value],
        "rows": rows,
        "counts": [(kind, count) for kind in kinds if (count := sum(row["kind"] == kind for row in rows))],
        "version": report.version,
        "started": report.started,
    }


def _kind(result: Result) -> str:
    if result.waived:
        return "waived"
    return str(result.severity) if result.outcome is Outcome.FAIL else str(result.outcome)


def _rank(result: Result) -> tuple[int, str]:
    order = ("required", "error", "unknown", "recommended", "info", "waived", "pass", "skip")
    return order.index(_kind(result)), result.check


def _row(report: Report, result: Result) -> dict[str, Any]:
    findings = [finding for finding in result.findings if not finding.ok] or result.findings
    return {
        "id": result.check,
        "title": result.title,
        "kind": _kind(result),
        "open": result.outcome is Outcome.FAIL and result.severity is not Severity.INFO and not result.waived,
        "reason": f"waived: {result.waived.get('reason')}" if result.waived else result.reason,
        "references": [r for r in result.references if r.startswith(("http://", "https://"))],
        "findings": [
            {
                "ok": finding.ok,
                "message": finding.sentence,
                "place": finding.place,
                "when": "after the next boot"
                if finding.when == "boot" and report.host.get("kind") == "live"
                else "",
                "hint": (finding.fix or {}).get("hint", ""),
                "commands": "\n".join((finding.fix or {}).get("commands", ())),
            }
            for finding in findings
        ],
    }
