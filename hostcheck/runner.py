"""Run checks on a host. The one place that catches what a check lets out."""

from __future__ import annotations

import time
from collections.abc import Sequence

from hostcheck.check import Check
from hostcheck.finding import Finding, Outcome, Result, Severity
from hostcheck.host import Host, NotApplicable, Unavailable


class Configured:
    """A check with its parameters, and the severity that the policy gives it."""

    __slots__ = ("check", "severity")

    def __init__(self, check: Check, severity: Severity | None = None) -> None:
        """Take a check; without `severity` it keeps its own."""
        self.check = check
        self.severity = severity

    @property
    def effective(self) -> Severity:
        """The severity of a finding that names none."""
        return self.severity or self.check.severity


_SECRET = ("://", "token", "passw", "secret", "credential", "bearer", "-key", "_key", "auth")
"""Without any of these, in small letters, nothing in a finding is taken for a secret."""


def _mask(finding: Finding) -> None:
    """Make the secrets in what a finding says unreadable: a report is mailed, and kept by other programs."""
    value = finding.value or ""
    fix = finding.fix or {}
    typed = [str(fix.get("hint") or ""), *(str(line) for line in fix.get("commands") or ())]
    said = " ".join((finding.subject, value, finding.message, *typed)).lower()
    if not any(word in said for word in _SECRET):
        return
    # Imported here: most findings are of nothing secret.
    from hostcheck.host._redact import redact_text

    name = finding.subject.split()[-1] + "="
    masked = redact_text(redact_text(name + value)[len(name) :])

    def unreadable(text: str) -> str:
        return redact_text(text.replace(value, masked) if masked != value and len(value) > 3 else text)

    finding.value = masked if finding.value is not None else None
    finding.message = unreadable(finding.message)
    if finding.fix is not None:
        hint, *commands = map(unreadable, typed)
        finding.fix = {**finding.fix, "hint": hint, "commands": commands}


def run_one(configured: Configured, host: Host) -> Result:
    """Run one check and say how it ended, whatever it does.

    All findings ok is a pass, one that is not is a fail. `NotApplicable` is a skip; `Unavailable` and
    `PermissionError` are unknown; silence and every other exception are an error of the check. What was
    already found before an exception is kept, and a failure among it stands.
    """
    check = configured.check
    findings: list[Finding] = []
    outcome = Outcome.PASS
    reason: str | None = None
    began = time.perf_counter()
    try:
        for finding in check.run(host):
            _mask(finding)
            findings.append(finding)
        if not findings:
            outcome, reason = Outcome.ERROR, "the check said nothing"
    except NotApplicable as exception:
        outcome, reason = Outcome.SKIP, str(exception)
    except (Unavailable, PermissionError) as exception:
        outcome, reason = Outcome.UNKNOWN, str(exception)
    except Exception as exception:
        outcome, reason = Outcome.ERROR, f"{type(exception).__name__}: {exception}"
    seconds = time.perf_counter() - began
    severity = configured.effective
    failures = [finding for finding in findings if not finding.ok]
    if configured.severity is not None:
        # A policy's severity takes the place of the check's own, and is a ceiling: what it calls recommended
        # cannot come back as required.
        for finding in findings:
            if finding.severity is check.severity:
                finding.severity = None
            if finding.severity is not None and finding.severity.rank > severity.rank:
                finding.severity = severity
    if failures:
        outcome = Outcome.FAIL
        severity = max((finding.severity or severity for finding in failures), key=lambda s: s.rank)
        for finding in findings:
            finding.severity = finding.severity or configured.effective
    return Result(
        check.id, check.title(), severity, outcome, findings, reason, seconds, references=check.references
    )


def run(checks: Sequence[Configured], host: Host) -> list[Result]:
    """Run every check, in order."""
    return [run_one(configured, host) for configured in checks]
