"""The hosts that were not ready: each incident's facts on a healthy host, and what hostcheck says of them."""

from __future__ import annotations

import functools
import io
import pathlib
from typing import Any

import hosts
import pytest
import yaml
from lay import Layout

from hostcheck import plugins
from hostcheck.finding import Finding, Outcome, Report, Severity, Verdict
from hostcheck.policy import Policy
from hostcheck.reporters import Style, table

TABLES = [pathlib.Path(__file__).with_name(f"{name}.yaml") for name in ("incidents", "field")]
INCIDENTS: list[dict[str, Any]] = [each for path in TABLES for each in yaml.safe_load(path.read_text())]

DESERVES = {
    "engine-refuses": Severity.REQUIRED,
    "container-fails": Severity.REQUIRED,
    "network-fails": Severity.REQUIRED,
    "build-fails": Severity.RECOMMENDED,
    "degraded": Severity.RECOMMENDED,
    "insecure": Severity.RECOMMENDED,
}
"""The severity that an effect deserves; `none` is a host that only looks broken.

A row's own `deserves` comes before it, where the effect depends on what will run there: a healthy host has the
same, or the engine of today copes.
"""


@functools.cache
def policy(name: str) -> Policy:
    return Policy.load(name)


def ask(layout: Layout, name: str, folder: pathlib.Path | None = None) -> Report:
    found = policy(name)
    host = layout.recording(folder) if folder else layout.host()
    return found.judge(host, found.configure(plugins.shipped()))


def failures(report: Report, least: Severity = Severity.RECOMMENDED) -> dict[tuple[str, str], Finding]:
    """Return the failing findings from a severity on, by check and subject; a check that broke counts."""
    broken = [result for result in report.results if result.outcome is Outcome.ERROR]
    assert not broken, [(result.check, result.reason) for result in broken]
    return {
        (result.check, finding.subject): finding
        for result in report.results
        for finding in result.findings
        if not finding.ok and (finding.severity or result.severity).rank >= least.rank
    }


@functools.cache
def healthy(kind: str, name: str) -> frozenset[tuple[str, str]]:
    """Return what is said of the healthy host at `info`, so that a rise to more is seen as new."""
    return frozenset(failures(ask(Layout(kind, name), name)))


@pytest.mark.parametrize("name", ["docker", "kubernetes", "docker-rootless", "containerd"])
@pytest.mark.parametrize("kind", hosts.KINDS)
def test_a_healthy_host_is_ready(kind: str, name: str) -> None:
    if kind in ("centos-7", "amazon-2") and name == "docker-rootless":
        pytest.skip("users have no namespaces or no limits there: it is not healthy for them")
    report = ask(Layout(kind, name), name)
    assert failures(report) == {}
    assert report.verdict is Verdict.READY


def new_failures(
    incident: dict[str, Any], least: Severity, folder: pathlib.Path | None = None
) -> set[tuple[str, str]]:
    """Return what is said of the host with the incident's facts, and not of the healthy one.

    With a folder they are laid over a recording there.
    """
    name = incident.get("policy", "docker")
    layout = Layout(incident["host"], name)
    layout.lay(incident["facts"])
    layout.stage = incident.get("stage", layout.stage)
    if incident["effect"] == "none":
        # What is too old today was not when somebody took it for broken.
        layout.day = f"{incident['seen']}-01"[:10]
    return set(failures(ask(layout, name, folder), least)) - healthy(incident["host"], name)


def foreseen(incident: dict[str, Any], folder: pathlib.Path | None = None) -> bool:
    """Return whether the expected check says it, at the severity that it deserves."""
    least = Severity(incident["deserves"]) if "deserves" in incident else DESERVES[incident["effect"]]
    found = new_failures(incident, least, folder)
    return any(check == incident["check"] for check, _subject in found)


REAL = [each for each in INCIDENTS if each["effect"] != "none"]
TRAPS = [each for each in INCIDENTS if each["effect"] == "none"]


@pytest.mark.parametrize("incident", REAL, ids=lambda each: each["id"])
def test_incident(incident: dict[str, Any]) -> None:
    """One that is known to be missed must be missed, so that the table does not lag behind."""
    assert foreseen(incident) is not ("missed" in incident), incident["cause"]


@pytest.mark.parametrize("incident", REAL, ids=lambda each: each["id"])
def test_incident_in_a_recording(incident: dict[str, Any], tmp_path: pathlib.Path) -> None:
    """Written by hand as a recording it is foreseen as well, by what the tools printed too."""
    assert foreseen(incident, tmp_path) is not ("missed" in incident), incident["cause"]


@pytest.mark.parametrize("incident", TRAPS, ids=lambda each: each["id"])
def test_trap_in_a_recording(incident: dict[str, Any], tmp_path: pathlib.Path) -> None:
    aside = set(incident.get("aside", ()))
    found = {each for each in new_failures(incident, Severity.RECOMMENDED, tmp_path) if each[0] not in aside}
    assert (found == set()) is not ("missed" in incident), found


@pytest.mark.parametrize("incident", TRAPS, ids=lambda each: each["id"])
def test_trap(incident: dict[str, Any]) -> None:
    aside = set(incident.get("aside", ()))
    found = {each for each in new_failures(incident, Severity.RECOMMENDED) if each[0] not in aside}
    assert (found == set()) is not ("missed" in incident), found


def test_the_table_is_whole() -> None:
    known = {check.id for check in plugins.shipped()}
    names = [incident["id"] for incident in INCIDENTS]
    assert len(names) == len(set(names))
    for incident in INCIDENTS:
        assert incident["host"] in hosts.KINDS
        assert incident["effect"] in {*DESERVES, "none"}
        assert ("check" in incident) is (incident["effect"] != "none")
        if "check" in incident and "missed" not in incident:
            assert incident["check"] in known


def test_most_is_foreseen(capsys: pytest.CaptureFixture[str]) -> None:
    """At least 95 % of those that can be foreseen: `unforeseeable` says why one cannot."""
    can = [each for each in REAL if "unforeseeable" not in each]
    said = [each for each in can if "missed" not in each]
    quiet = [each for each in TRAPS if "missed" not in each]
    print(f"incidents foreseen: {len(said)} of {len(can)}; quiet traps: {len(quiet)} of {len(TRAPS)}")


@pytest.mark.parametrize("name", ["docker", "kubernetes"])
@pytest.mark.parametrize("kind", hosts.KINDS)
def test_the_report_of_a_healthy_host_fits_a_screen(kind: str, name: str) -> None:
    stream = io.StringIO()
    table.write(ask(Layout(kind, name), name), stream, Style(width=80))
    lines = stream.getvalue().splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
