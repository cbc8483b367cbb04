"""The page of the real runs is of these faults, and says what was seen. No engine is started here."""

from __future__ import annotations

import pathlib

import faults
import hunt
import laying
import proofs
import shown
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_names_are_used_once() -> None:
    names = [fault.name for fault in faults.FAULTS]
    assert len(names) == len(set(names))
    assert not set(faults.MISSED) - set(names)


def test_every_fault_was_run_and_the_missed_are_named() -> None:
    """Run `scripts/proof.py NAME...` for what is new, and correct MISSED."""
    assert proofs.unlike(proofs.Proof.load()) == []


def test_every_fault_is_on_the_page() -> None:
    page = (ROOT / "docs/proof.md").read_text()
    assert [fault.name for fault in faults.FAULTS if f"\n| {fault.name} | " not in page] == []


def test_the_readme_has_the_tally_of_the_page() -> None:
    tally = proofs.tally(proofs.Proof.load())
    assert tally in (ROOT / "README.md").read_text()
    assert tally in (ROOT / "docs/proof.md").read_text()


def test_a_disagreement_is_seen() -> None:
    control, asked = faults.FAULTS[0], laying.Fault("x", {}, chosen=True)
    assert faults.compare(control, False, [], ["a.b"]) == {"live": "missed", "rest": "agrees"}
    assert faults.compare(control, True, ["a.b"], []) == {"live": "false alarm", "rest": "agrees"}
    assert faults.compare(asked, False, [], ["a.b"]) == {"live": "agrees", "rest": "false alarm"}


def test_what_looking_further_brought_is_of_faults_that_are_there() -> None:
    names = [fault.name for fault in hunt.HUNT]
    assert set(hunt.BROUGHT) <= set(names)
    assert names[-hunt.quiet() - 1] in hunt.BROUGHT


def test_incidents_are_shown_as_they_are_told() -> None:
    """One that breaks something is blocked by the check that the table of incidents names; a trap breaks nothing."""
    proof = proofs.Proof.load()
    tables = [yaml.safe_load(path.read_text()) for path in (ROOT / "tests/incidents").glob("*.yaml")]
    told = {each["id"]: each for table in tables for each in table if "effect" in each}
    for name, fault in shown.SHOWN.items():
        runs = proof.runs[fault].values()
        blocks = {check for run in runs if run["broken"] for check in (*run["live"], *run["rest"])}
        if told[name]["effect"] == "none":
            assert not any(run["broken"] for run in runs), name
        else:
            assert told[name]["check"] in blocks, (name, blocks)
