"""The report as SARIF 2.1.0 (OASIS), for code scanning: a failing finding is a result at a path in the host."""

from __future__ import annotations

import hashlib
import json
import urllib.parse
from collections.abc import Sequence

from hostcheck._typing import Any, TextIO
from hostcheck.finding import Finding, Outcome, Report, Result, Severity
from hostcheck.reporters import Style

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"

_LEVELS = {Severity.REQUIRED: "error", Severity.RECOMMENDED: "warning", Severity.INFO: "note"}


def write(report: Report, stream: TextIO, style: Style) -> None:
    """Write one run."""
    write_all([report], stream, style)


def write_all(reports: Sequence[Report], stream: TextIO, style: Style) -> None:
    """Write a run a report."""
    log = {"$schema": SCHEMA, "version": "2.1.0", "runs": [_run(report) for report in reports]}
    json.dump(log, stream, ensure_ascii=False, indent=1)
    stream.write("\n")


def _run(report: Report) -> dict[str, Any]:
    rules = {result.check: number for number, result in enumerate(report.results)}
    return {
        "tool": {
            "driver": {
                "name": "hostcheck",
                "semanticVersion": report.version if report.version.count(".") == 2 else "0.0.0",
                "version": report.version,
                "rules": [_rule(result) for result in report.results],
            }
        },
        # Each target is a series of its own, so that one upload does not close the findings of another.
        "automationDetails": {"id": f"hostcheck/{report.policy}/{report.host.get('name')}/"},
        "originalUriBaseIds": {
            "ROOT": {"description": {"text": f"the root folder of {report.host.get('name')}"}}
        },
        "invocations": [
            {
                "executionSuccessful": not any(r.outcome is Outcome.ERROR for r in report.results),
                "startTimeUtc": report.started,
                "toolExecutionNotifications": [
                    _notification(result, rules[result.check]) for result in report.undecided()
                ],
            }
        ],
        "properties": {"verdict": str(report.verdict), "host": report.host},
        "results": [
            _result(result, finding, rules[result.check])
            for result in report.results
            if result.outcome is Outcome.FAIL
            for finding in result.findings
            if not finding.ok
        ],
    }


def _rule(result: Result) -> dict[str, Any]:
    rule: dict[str, Any] = {
        "id": result.check,
        "name": "".join(word.capitalize() for word in result.check.replace(".", "_").split("_")),
        "shortDescription": {"text": result.title},
        "defaultConfiguration": {"level": _LEVELS[result.severity]},
        "help": {"text": f"hostcheck explain {result.check}"},
    }
    if result.references:
        rule["helpUri"] = result.references[0]
    return rule


def _notification(result: Result, index: int) -> dict[str, Any]:
    return {
        "level": "error" if result.outcome is Outcome.ERROR else "note",
        "message": {"text": f"{result.check} is {result.outcome}: {result.reason}"},
        "associatedRule": {"id": result.check, "index": index},
    }


def _result(result: Result, finding: Finding, index: int) -> dict[str, Any]:
    text = finding.sentence
    if finding.fix:
        steps = [step for step in (finding.fix["hint"], *finding.fix["commands"]) if step]
        text += "\n\n" + "\n".join(steps)
    identity = f"{result.check}\0{finding.subject}\0{finding.when}\0{finding.path}"
    found: dict[str, Any] = {
        "ruleId": result.check,
        "ruleIndex": index,
        "level": _LEVELS[result.severity_of(finding)],
        "message": {"text": text},
        "locations": [_location(finding)],
        # Not the line: a file that grows in front does not make the finding a new one.
        "partialFingerprints": {
            "hostcheck/v1": hashlib.sha256(identity.encode(errors="replace")).hexdigest()
        },
        "properties": {"subject": finding.subject, "when": finding.when, "value": finding.value},
    }
    waived = finding.waived or result.waived
    if waived:
        found["suppressions"] = [{"kind": "external", "justification": str(waived.get("reason", ""))}]
    return found


def _location(finding: Finding) -> dict[str, Any]:
    location: dict[str, Any] = {"logicalLocations": [{"fullyQualifiedName": finding.subject}]}
    if finding.path:
        # As in SARIF 3.4.4: relative, and its base named, because the root lies where the reader has unpacked it.
        uri = urllib.parse.quote(finding.path.lstrip("/"), errors="replace")
        location["physicalLocation"] = {"artifactLocation": {"uri": uri, "uriBaseId": "ROOT"}}
        if finding.line:
            location["physicalLocation"]["region"] = {"startLine": finding.line}
    return location
