"""The report as workflow commands of GitHub Actions, which it shows as annotations beside the run."""

from __future__ import annotations

from collections.abc import Sequence

from hostcheck._typing import TextIO
from hostcheck.finding import Finding, Outcome, Report, Result, Severity
from hostcheck.reporters import Style

_COMMANDS = {Severity.REQUIRED: "error", Severity.RECOMMENDED: "warning", Severity.INFO: "notice"}


def write(report: Report, stream: TextIO, style: Style) -> None:
    """Write an annotation a failing finding, then the verdict as plain text."""
    for result in report.results:
        if result.outcome is Outcome.FAIL and not result.waived:
            for finding in result.failures:
                stream.write(_annotation(report, result, finding) + "\n")
        elif result.outcome is Outcome.ERROR:
            stream.write(f"::warning title={_property(result.check)}::{_data(result.reason or '')}\n")
    stream.write(
        f"{_data(report.host.get('name'))}: {str(report.verdict).upper()} (policy {_data(report.policy)})\n"
    )


def write_all(reports: Sequence[Report], stream: TextIO, style: Style) -> None:
    """Write the annotations of all, one after the other."""
    for report in reports:
        write(report, stream, style)


def _annotation(report: Report, result: Result, finding: Finding) -> str:
    place = ""
    text = finding.sentence
    if finding.path and report.host.get("kind") == "file":
        # A file of the repository: shown at its line. A path in an image is none.
        place = f"file={_property(finding.path)},{f'line={finding.line},' if finding.line else ''}"
    elif finding.path:
        text += f" ({finding.place})"
    if finding.fix:
        text += "".join(f"\n{step}" for step in (finding.fix["hint"], *finding.fix["commands"]) if step)
    command = _COMMANDS[result.severity_of(finding)]
    return f"::{command} {place}title={_property(result.check)}::{_data(text)}"


def _data(value: object) -> str:
    """Escape a message, so that no text of a host can be a command (actions/toolkit, packages/core/src/command.ts)."""
    text = str(value).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    # A text of its own at the start of a line would be read as a command too.
    return text.replace("::", ":\u200b:") if text.lstrip().startswith("::") else text


def _property(value: str) -> str:
    return _data(value).replace(":", "%3A").replace(",", "%2C")
