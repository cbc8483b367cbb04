"""The report as JUnit XML, for the test pages of GitLab, Jenkins and others: a check is a test case.

What is at or above the threshold fails, so that the page and the exit code say the same; what is below it is told in
the suite's output. Valid by the schema of Ant's JUnit task and by that of Jenkins' xUnit plugin.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence

from hostcheck._typing import TextIO
from hostcheck.finding import Finding, Outcome, Report, Result
from hostcheck.reporters import Style

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold in any form (W3C, Extensible Markup Language, 2.2)."""


def write(report: Report, stream: TextIO, style: Style) -> None:
    """Write one suite."""
    write_all([report], stream, style)


def write_all(reports: Sequence[Report], stream: TextIO, style: Style) -> None:
    """Write a suite a report."""
    root = ET.Element("testsuites")
    for number, report in enumerate(reports):
        root.append(_suite(report, number, style))
    ET.indent(root)
    stream.write('<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n")


def _suite(report: Report, number: int, style: Style) -> ET.Element:
    name = _clean(report.host.get("name") or "host")
    cases = [_case(result, name, style) for result in report.results]
    counts = {
        tag: sum(case.find(tag) is not None for case in cases) for tag in ("failure", "error", "skipped")
    }
    suite = ET.Element(
        "testsuite",
        name=name,
        package="hostcheck",
        id=str(number),
        timestamp=report.started.rstrip("Z"),
        hostname=name,
        tests=str(len(cases)),
        failures=str(counts["failure"]),
        errors=str(counts["error"]),
        skipped=str(counts["skipped"]),
        time=f"{report.seconds:.3f}",
    )
    properties = ET.SubElement(suite, "properties")
    for key, value in {"verdict": report.verdict, "policy": report.policy, **report.host}.items():
        if value is not None and not isinstance(value, dict):
            ET.SubElement(properties, "property", name=key, value=_clean(value))
    suite.extend(cases)
    below = [
        f"{result.check} ({result.severity_of(finding)}): {finding.sentence}"
        for result in report.results
        if result.outcome is Outcome.FAIL
        and result.severity.rank < style.threshold.rank
        and not result.waived
        for finding in result.failures
    ]
    ET.SubElement(suite, "system-out").text = _clean("\n".join(below))
    ET.SubElement(suite, "system-err")
    return suite


def _case(result: Result, suite: str, style: Style) -> ET.Element:
    family, _, _ = result.check.partition(".")
    # A page that splits class names at dots would make folders of a file name's.
    case = ET.Element(
        "testcase",
        classname=f"{suite.replace('.', '_')}.{family}",
        name=result.check,
        time=f"{result.seconds:.3f}",
    )
    if result.waived:
        ET.SubElement(case, "skipped", message=_clean(f"waived: {result.waived.get('reason', '')}"))
    elif result.outcome is Outcome.ERROR:
        ET.SubElement(case, "error", type="error", message=_clean(result.reason or ""))
    elif result.outcome in (Outcome.SKIP, Outcome.UNKNOWN):
        ET.SubElement(case, "skipped", message=_clean(f"{result.outcome}: {result.reason}"))
    elif result.outcome is Outcome.FAIL and result.severity.rank >= style.threshold.rank:
        failures = result.failures
        shown = failures[0].sentence if len(failures) == 1 else f"{len(failures)} findings: {result.title}"
        failure = ET.SubElement(case, "failure", type=str(result.severity), message=_clean(shown))
        failure.text = _clean("\n\n".join(map(_detail, failures)))
    return case


def _detail(finding: Finding) -> str:
    lines = [finding.sentence]
    if finding.path:
        lines.append(f"at {finding.place}")
    if finding.fix:
        lines += [text for text in (finding.fix["hint"], *finding.fix["commands"]) if text]
    return "\n".join(lines)


def _clean(value: object) -> str:
    return _NOT_XML.sub("\ufffd", str(value))
