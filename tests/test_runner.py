"""How a check's end becomes an outcome: the whole error policy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, Unavailable, failed, passed
from hostcheck.check import ParameterError
from hostcheck.finding import Outcome, Report, Verdict
from hostcheck.runner import Configured, run_one
from hostcheck.testing import FakeHost


class Scripted(Check):
    """A script decides.

    *Why*: for the test.
    """

    id = "test.scripted"
    severity = Severity.REQUIRED
    limit: int = 3
    """A number."""
    names: tuple[str, ...] = ("a",)
    """Names."""

    script: tuple[str, ...] = ()
    """What to do, in order."""

    def run(self, host: Host) -> Iterator[Finding]:
        for step in self.script:
            if step == "ok":
                yield passed("s", "fine")
            elif step == "bad":
                yield failed("s", "not fine")
            elif step == "worse":
                yield failed("s", "a little", severity=Severity.RECOMMENDED)
            elif step == "own":
                yield failed("s", "as bad as the check says", severity=self.severity)
            elif step == "skip":
                raise NotApplicable("nothing to see")
            elif step == "unknown":
                raise Unavailable("cannot see")
            elif step == "forbidden":
                raise PermissionError("may not see")
            elif step == "missing":
                raise FileNotFoundError("forgot to handle it")
            elif step == "bug":
                raise ZeroDivisionError("oops")


@pytest.mark.parametrize(
    "script, outcome, reason",
    [
        (["ok"], "pass", None),
        (["ok", "bad"], "fail", None),
        (["skip"], "skip", "nothing to see"),
        (["unknown"], "unknown", "cannot see"),
        (["forbidden"], "unknown", "may not see"),
        (["missing"], "error", "FileNotFoundError: forgot to handle it"),
        (["bug"], "error", "ZeroDivisionError: oops"),
        ([], "error", "the check said nothing"),
        # What was found before the end is kept, and a failure stands.
        (["bad", "unknown"], "fail", "cannot see"),
        (["ok", "unknown"], "unknown", "cannot see"),
    ],
)
def test_outcome(script: list[str], outcome: str, reason: str | None) -> None:
    result = run_one(Configured(Scripted(script=script)), FakeHost())
    assert (result.outcome.value, result.reason) == (outcome, reason)


@pytest.mark.parametrize(
    "script, policy, severity",
    [
        (["ok"], None, Severity.REQUIRED),
        (["worse"], None, Severity.RECOMMENDED),
        (["worse", "bad"], None, Severity.REQUIRED),
        (["bad"], Severity.INFO, Severity.INFO),
        (["worse", "bad"], Severity.INFO, Severity.INFO),
        # A finding that spells out the check's own severity follows the policy as one that names none.
        (["own"], Severity.RECOMMENDED, Severity.RECOMMENDED),
        (["worse"], Severity.INFO, Severity.INFO),
    ],
)
def test_severity(script: list[str], policy: Severity | None, severity: Severity) -> None:
    assert run_one(Configured(Scripted(script=script), policy), FakeHost()).severity is severity


@pytest.mark.parametrize(
    "parameters, words",
    [
        ({"limits": 3}, "test.scripted has no parameter 'limits' (it has: limit, names, script)"),
        ({"limit": "3"}, "limit is a int (default 3), not '3'"),
        ({"limit": True}, "limit is a int"),
        ({"names": "abc"}, "names is a tuple"),
        ({"names": [1]}, "names is a list of strings"),
    ],
)
def test_wrong_parameter(parameters: dict[str, object], words: str) -> None:
    with pytest.raises(ParameterError) as caught:
        Scripted(**parameters)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "scripts, verdict",
    [
        ([["ok"]], Verdict.READY),
        ([["ok"], ["worse"]], Verdict.WARNINGS),
        ([["worse"], ["unknown"]], Verdict.CANNOT_TELL),
        ([["bug"]], Verdict.CANNOT_TELL),
        ([["bad"], ["unknown"]], Verdict.NOT_READY),
        ([["skip"]], Verdict.READY),
    ],
)
def test_verdict(scripts: list[list[str]], verdict: Verdict) -> None:
    results = [run_one(Configured(Scripted(script=script)), FakeHost()) for script in scripts]
    report = Report({}, "p", results, started="2026-01-01T00:00:00Z", seconds=0.0, version="0")
    assert report.verdict is verdict
    assert all(isinstance(result.outcome, Outcome) for result in report.results)


def test_fact_is_asked_once() -> None:
    calls = []

    def value(host: Host) -> int:
        calls.append(1)
        return len(calls)

    def broken(host: Host) -> int:
        calls.append(1)
        raise Unavailable("no")

    host = FakeHost()
    assert [host.fact(value), host.fact(value)] == [1, 1]
    for _ in range(2):
        with pytest.raises(Unavailable):
            host.fact(broken)
    assert len(calls) == 2


def test_a_policy_raises_what_has_the_checks_own_severity() -> None:
    class Mild(Scripted):
        """Mild.

        *Why*: for the test.
        """

        severity = Severity.RECOMMENDED

    raised = run_one(Configured(Mild(script=["own"]), Severity.REQUIRED), FakeHost())
    assert raised.severity is Severity.REQUIRED


class Telling(Check):
    """What it saw holds secrets.

    *Why*: for the test.
    """

    id = "test.telling"
    severity = Severity.REQUIRED

    def run(self, host: Host) -> Iterator[Finding]:
        token = "abc123def"
        more: dict[str, Any] = {
            "value": token,
            "hint": f"write {token} so",
            "commands": [f"login -p {token}", "ls"],
        }
        yield failed("daemon.json log-opts.splunk-token", f"{token} is not taken", **more)
        yield failed("docker.service Environment", "lost", value="HTTPS_PROXY=http://me:pw%40x@proxy:3128")
        yield passed("kernel.keys.maxkeys", "200 now", value="200")
        yield passed("log-driver", "json-file", value="json-file")


def test_secrets_are_masked() -> None:
    """A report is handed on: what a finding says of a token or a proxy cannot be used."""
    found = run_one(Configured(Telling()), FakeHost({})).findings
    assert [finding.value for finding in found] == [
        "xxx000xxx",
        "HTTPS_PROXY=http://xx:xx%40x@proxy:3128",
        "200",
        "json-file",
    ]
    assert found[0].message == "xxx000xxx is not taken"
    assert found[0].fix == {"hint": "write xxx000xxx so", "commands": ["login -p xxx000xxx", "ls"]}
