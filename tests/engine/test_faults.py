"""One fault at a time on real Debian hosts with the real engines: what hostcheck foretells is what then happens."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import engines
import proofs
import pytest
from faults import FAULTS, compare, missed
from laying import SUITES, Fault

pytestmark = [pytest.mark.root, pytest.mark.apt, pytest.mark.engine]


class Unforetold(AssertionError):
    """hostcheck says one thing and the engine another."""


class Case(NamedTuple):
    """A fault on a release of Debian."""

    suite: str
    fault: Fault


SLOW = ("unknown log driver", "containerd elsewhere", "authorization plugin not there")
"""dockerd waits for many seconds."""


def chosen() -> list[Case]:
    """Return all cases if they are asked for, and otherwise every fourth fault, on the releases in turn."""
    if os.environ.get("HOSTCHECK_ALL_FAULTS"):
        return [Case(suite, fault) for suite in SUITES for fault in FAULTS]
    everyday = [fault for fault in FAULTS if fault.name not in SLOW][::4]
    return [Case(SUITES[number % len(SUITES)], fault) for number, fault in enumerate(everyday)]


def cases() -> list[Any]:
    """Return the cases as parameters. One that is missed must be taken off the list when it passes."""
    found = []
    for case in chosen():
        reason = missed(case.fault.name, case.suite)
        marks = [pytest.mark.xfail(raises=Unforetold, strict=True, reason=reason)] if reason else []
        found.append(pytest.param(case, id=f"{case.suite}-{case.fault.name}", marks=marks))
    return found


@pytest.fixture(scope="module")
def results(request: pytest.FixtureRequest) -> Iterator[dict[int, Future[dict[str, Any]]]]:
    """Run the cases that were asked for, two at a time: they mostly wait."""
    calls = [getattr(item, "callspec", None) for item in request.session.items]
    wanted = [call.params["case"] for call in calls if call and "case" in call.params]
    with ThreadPoolExecutor(2) as pool:
        yield {id(case): pool.submit(engines.run, case.suite, **case.fault.laid) for case in wanted}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("case", cases())
def test_foretold_is_what_happens(case: Case, results: dict[int, Future[dict[str, Any]]]) -> None:
    if case.fault.name.startswith("/tmp") and any(
        place.startswith("/tmp/") for place in (__file__, sys.prefix)
    ):
        pytest.skip("this checkout or its Python lies in /tmp, which the fault takes away")
    result = results[id(case)].result()
    step, error = engines.broken(result["seen"]), result["seen"]["error"][-600:]
    # The engine decides what is true of the fault; what is kept only says that it still is.
    assert step == proofs.Proof.load().runs[case.fault.name][case.suite]["broken"], f"the engine: {error}"
    said = {"live": engines.blockers(result["report"]), "rest": engines.blockers(result["tree"])}
    answers = compare(case.fault, not step, **said)
    if set(answers.values()) - {"agrees"}:
        raise Unforetold(f"{answers}: {said}, engine: {step or 'works'} {error}")
    if step and case.fault.check and case.suite == "bookworm":
        assert all(case.fault.check in said[name] for name in answers), said


@pytest.fixture(scope="module", params=SUITES)
def control(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The engine with nothing wrong."""
    return engines.run(request.param)


def test_nothing_is_wrong(control: dict[str, Any]) -> None:
    """A container runs, and its published port answers over loopback and from another machine."""
    assert engines.broken(control["seen"]) == ""
    assert control["report"]["verdict"] in ("ready", "ready with warnings")


@pytest.mark.parametrize(
    "fact, info",
    [
        ("kernel", "KernelVersion"),
        ("os", "OperatingSystem"),
        ("storage_driver", "Driver"),
    ],
)
def test_the_host_is_what_docker_info_says(control: dict[str, Any], fact: str, info: str) -> None:
    assert control["report"]["host"][fact] == control["seen"]["info"][info]


def test_versions_are_what_docker_info_says(control: dict[str, Any]) -> None:
    info, found = control["seen"]["info"], control["report"]["host"]["engines"]
    assert info["ServerVersion"].startswith(found["docker"])
    # Empty in Docker 28.
    assert (info["ContainerdCommit"]["ID"] or found["containerd"]).startswith(found["containerd"])
    assert info["RuncCommit"]["ID"].startswith(found["runc"])


def test_cgroups_are_what_docker_info_says(control: dict[str, Any]) -> None:
    info = control["seen"]["info"]
    assert (control["report"]["host"]["cgroup"] == "v2") == (info["CgroupVersion"] == "2")
    driver = next(r for r in control["report"]["results"] if r["id"] == "cgroup.driver")
    assert info["CgroupDriver"] in {finding["value"] for finding in driver["findings"]}


def test_forwarding_is_what_docker_info_says(control: dict[str, Any]) -> None:
    """0 in a new network namespace, and dockerd sets it: foretold as no failure."""
    result = next(r for r in control["report"]["results"] if r["id"] == "network.ip_forward")
    assert (result["outcome"], control["seen"]["info"]["IPv4Forwarding"]) == ("pass", True)
