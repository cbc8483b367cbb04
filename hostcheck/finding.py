"""What a run says: findings, the results they make, and the report. Values only."""

from __future__ import annotations

import enum
from collections.abc import Sequence

from hostcheck._typing import Any, Callable

_PREDICATES = frozenset(["is", "has", "was", "does", "cannot", "lacks", "sets", "may", "will"])
_ABOUT = frozenset(["it", "missing", "not", "no", "nothing", "set", "unset", "only", "infinity"])
"""How a message begins that says its subject's value, and so needs its subject in front."""


class Severity(str, enum.Enum):
    """How much a failure matters."""

    REQUIRED = "required"
    """Containers do not run, or the engine refuses to start."""
    RECOMMENDED = "recommended"
    """Degraded, insecure or soon unsupported."""
    INFO = "info"
    """Worth knowing."""

    __str__ = str.__str__

    @property
    def rank(self) -> int:
        """0 for info, 1 for recommended, 2 for required."""
        return {"info": 0, "recommended": 1, "required": 2}[self.value]


class Outcome(str, enum.Enum):
    """How a check ended."""

    PASS = "pass"
    FAIL = "fail"
    SKIP = "skip"
    """It does not apply here."""
    UNKNOWN = "unknown"
    """It applies, but this host cannot tell."""
    ERROR = "error"
    """The check itself broke."""

    __str__ = str.__str__


class Verdict(str, enum.Enum):
    """The answer to the question that hostcheck is asked, from the best to the worst."""

    READY = "ready"
    WARNINGS = "ready with warnings"
    CANNOT_TELL = "cannot tell"
    NOT_READY = "not ready"

    __str__ = str.__str__


class Finding:
    """One thing that was looked at, and what was seen."""

    __slots__ = (
        "expected",
        "fix",
        "line",
        "message",
        "ok",
        "path",
        "severity",
        "subject",
        "value",
        "waived",
        "when",
    )

    def __init__(
        self,
        ok: bool,
        subject: str,
        message: str,
        *,
        value: object = None,
        expected: object = "",
        path: str | None = None,
        line: int | None = None,
        when: str = "now",
        severity: Severity | None = None,
        hint: str = "",
        commands: Sequence[str] = (),
    ) -> None:
        """Keep what was seen.

        Args:
            ok: whether it is as it should be.
            subject: what was looked at; stable and machine-readable.
            message: one sentence: what was seen, then what follows from it.
            value: what was seen, as text.
            expected: what would have been right.
            path: the file that says so.
            line: the line in it, from 1.
            when: `now` or `boot`.
            severity: if it differs from the check's.
            hint: how to mend it, in words, where no command does.
            commands: what to type; complete, safe to paste, surviving a reboot.

        """
        self.ok = ok
        self.subject = subject
        self.message = message
        self.value = None if value is None else str(value)
        self.expected = str(expected)
        self.path = path
        self.line = line
        self.when = when
        self.severity = severity
        self.waived: dict[str, Any] | None = None
        self.fix: dict[str, Any] | None = None
        if hint or commands:
            self.fix = {"hint": hint, "commands": list(commands)}

    @property
    def place(self) -> str:
        """The file and the line that say so, as editors write it; empty if no file does."""
        return f"{self.path}{f':{self.line}' if self.line else ''}" if self.path else ""

    @property
    def sentence(self) -> str:
        """The message, with what it is about in front where it begins as a statement about it.

        >>> Finding(False, "/usr/sbin/runc", "is empty").sentence
        '/usr/sbin/runc is empty'
        >>> Finding(False, "net.ipv4.ip_forward", "0 after the next boot").sentence
        'net.ipv4.ip_forward: 0 after the next boot'
        """
        first = self.message.partition(" ")[0]
        if self.subject in self.message or self.subject.rpartition(" ")[2] in self.message:
            return self.message
        if first in _PREDICATES:
            return f"{self.subject} {self.message}"
        if first[:1].isdecimal() or first in _ABOUT:
            return f"{self.subject}: {self.message}"
        return self.message

    def __repr__(self) -> str:
        return f"<{'ok' if self.ok else 'FAIL'} {self.subject} {self.when}: {self.message}>"


def passed(subject: str, message: str, **more: Any) -> Finding:
    """Return a finding that all is well; `more` as in `Finding`."""
    return Finding(True, subject, message, **more)


def failed(subject: str, message: str, **more: Any) -> Finding:
    """Return a finding that something is wrong; `more` as in `Finding`."""
    return Finding(False, subject, message, **more)


class Result:
    """How one check ended on one host."""

    __slots__ = (
        "check",
        "findings",
        "outcome",
        "reason",
        "references",
        "seconds",
        "severity",
        "title",
        "waived",
    )

    def __init__(
        self,
        check: str,
        title: str,
        severity: Severity,
        outcome: Outcome,
        findings: Sequence[Finding] = (),
        reason: str | None = None,
        seconds: float = 0.0,
        waived: dict[str, Any] | None = None,
        references: Sequence[str] = (),
    ) -> None:
        """Keep how it ended; `severity` is that of its worst failure, or the check's own."""
        self.references = tuple(references)
        self.check = check
        self.title = title
        self.severity = severity
        self.outcome = outcome
        self.findings = list(findings)
        self.reason = reason
        self.seconds = seconds
        self.waived = waived

    @property
    def failures(self) -> list[Finding]:
        """The findings that are not ok and not waived."""
        return [finding for finding in self.findings if not finding.ok and not finding.waived]

    def waive(self, waiver: dict[str, Any], covers: Callable[[Finding], bool]) -> None:
        """Waive the failures that are covered; what is left decides the severity, and nothing left waives all."""
        left = []
        for finding in self.failures:
            if covers(finding):
                finding.waived = waiver
            else:
                left.append(finding)
        if self.outcome is not Outcome.FAIL or self.waived:
            return
        if left:
            self.severity = max((self.severity_of(finding) for finding in left), key=lambda s: s.rank)
        else:
            self.waived = waiver

    def severity_of(self, finding: Finding) -> Severity:
        """Return the severity of one of the findings."""
        return finding.severity or self.severity


class Report:
    """All results of one run on one host."""

    def __init__(
        self,
        host: dict[str, Any],
        policy: str,
        results: Sequence[Result],
        *,
        started: str,
        seconds: float,
        version: str,
        waivers: Sequence[dict[str, Any]] = (),
    ) -> None:
        """Keep the results; `started` is UTC in ISO 8601, `seconds` the whole run's."""
        self.host = host
        self.policy = policy
        self.results = list(results)
        self.started = started
        self.seconds = seconds
        self.version = version
        self.waivers = list(waivers)

    def failed(self, at_least: Severity) -> list[Result]:
        """Return the failures that no waiver covers, at or above a severity."""
        return [
            result
            for result in self.results
            if result.outcome is Outcome.FAIL and not result.waived and result.severity.rank >= at_least.rank
        ]

    def undecided(self) -> list[Result]:
        """Return the results that could not be had, unless waived."""
        return [
            result
            for result in self.results
            if result.outcome in (Outcome.UNKNOWN, Outcome.ERROR) and not result.waived
        ]

    @property
    def verdict(self) -> Verdict:
        """The answer: the worst that is known, or that a required thing is not known."""
        if self.failed(Severity.REQUIRED):
            return Verdict.NOT_READY
        if any(result.severity is Severity.REQUIRED for result in self.undecided()):
            return Verdict.CANNOT_TELL
        if self.failed(Severity.RECOMMENDED):
            return Verdict.WARNINGS
        return Verdict.READY
