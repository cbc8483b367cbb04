"""One fault at a time on a real Debian 12 with the real engine: what hostcheck foretells is what then happens."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import engines
import pytest
from faults import DAEMON, FAULTS, MISSED, MISSED_13, STEP_13, Fault

pytestmark = [pytest.mark.root, pytest.mark.apt, pytest.mark.engine]


class Unforetold(AssertionError):
    """hostcheck says one thing and the engine another."""


class Case(NamedTuple):
    """A fault on a release of Debian, and the step at which its engine then fails."""

    suite: str
    fault: Fault
    step: str


SLOW = ("unknown log driver", "containerd elsewhere")
"""dockerd waits for many seconds; once is enough."""


def everyday() -> list[Fault]:
    """Return the faults that every run of the tests lays down; `make test-faults` lays down all, on Debian 13 too.

    All but the slow ones, and of those in daemon.json, which are the most, every second.
    """
    return [
        fault
        for number, fault in enumerate(FAULTS)
        if fault.name not in SLOW and (list(fault.laid.get("files", [])) != [DAEMON] or number % 2 == 0)
    ]


def cases() -> list[Any]:
    """Return the cases as parameters. One that is missed must be taken off the list when it passes.

    Debian 13, whose engine is four years younger, has only what lies in files, which is most of what changed.
    """
    everything = bool(os.environ.get("HOSTCHECK_ALL_FAULTS"))
    found = []
    for suite, missed in (("bookworm", MISSED), ("trixie", MISSED_13))[: 2 if everything else 1]:
        for fault in FAULTS if everything else everyday():
            case = Case(suite, fault, fault.broken)
            if suite == "trixie":
                if not fault.at_rest or fault.name in SLOW:
                    continue
                step = STEP_13.get(fault.name, fault.broken)
                case = Case(suite, fault._replace(check=""), step)
            reason = missed.get(fault.name)
            marks = [pytest.mark.xfail(raises=Unforetold, strict=True, reason=reason)] if reason else []
            found.append(pytest.param(case, id=f"{suite}-{fault.name}", marks=marks))
    return found


@pytest.fixture(scope="module")
def results(request: pytest.FixtureRequest) -> Iterator[dict[int, Future[dict[str, Any]]]]:
    """Run the cases that were asked for, two at a time: they mostly wait."""
    calls = [getattr(item, "callspec", None) for item in request.session.items]
    wanted = [call.params["case"] for call in calls if call and "case" in call.params]
    with ThreadPoolExecutor(2) as pool:
        yield {id(case): pool.submit(engines.run, case.suite, **case.fault.laid) for case in wanted}
        pool.shutdown(cancel_futures=True)


def compare(fault: Fault, result: dict[str, Any]) -> None:
    """Fail unless hostcheck blocks, on the live host and on the tree, just what the engine then cannot do."""
    step = engines.broken(result["seen"])
    blocked = step != "" and not fault.chosen
    answers = {"live": engines.blockers(result["report"])}
    if fault.at_rest:
        answers["tree"] = engines.blockers(result["tree"])
    for name, blockers in answers.items():
        if bool(blockers) != blocked:
            error = result["seen"]["error"][-600:]
            raise Unforetold(f"{name}: {blockers or 'nothing blocks'}, engine: {step or 'works'} {error}")
        if blocked and fault.check and fault.check not in blockers:
            raise Unforetold(f"{name}: {blockers} without {fault.check}")


@pytest.mark.parametrize("case", cases())
def test_foretold_is_what_happens(case: Case, results: dict[int, Future[dict[str, Any]]]) -> None:
    result = results[id(case)].result()
    # The engine decides what is true of the fault; the table only says what we expect of the engine.
    assert engines.broken(result["seen"]) == case.step, f"the engine: {result['seen']['error']}"
    compare(case.fault, result)


@pytest.fixture(scope="module")
def control() -> dict[str, Any]:
    """The engine with nothing wrong."""
    return engines.run()


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
    assert info["ContainerdCommit"]["ID"].startswith(found["containerd"])
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
