"""A rule covers the kind and not the one case: neighbours of each incident, and near misses."""

from __future__ import annotations

import fnmatch
import pathlib
from typing import Any

import pytest
import yaml
from lay import Layout
from test_incidents import INCIDENTS, ask, failures, healthy

from hostcheck.finding import Severity

TABLE = pathlib.Path(__file__).with_name("variants.yaml")
VARIANTS: list[dict[str, Any]] = yaml.safe_load(TABLE.read_text())


def said(variant: dict[str, Any]) -> set[str]:
    """Return the checks among those that the row names which say something new, at its severity or above."""
    policy = variant.get("policy", "docker")
    layout = Layout(variant["host"], policy)
    layout.lay(variant["facts"])
    layout.stage = variant.get("stage", layout.stage)
    least = Severity(variant.get("least", "required" if "says" in variant else "recommended"))
    patterns = (variant.get("says") or variant["silent"]).split("|")
    new = set(failures(ask(layout, policy), least)) - healthy(variant["host"], policy)
    return {
        check
        for check, subject in new
        if variant.get("subject", "") in subject and any(fnmatch.fnmatch(check, each) for each in patterns)
    }


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda each: each["name"])
def test_variant(variant: dict[str, Any]) -> None:
    assert bool(said(variant)) is ("says" in variant)


def test_the_table_is_whole() -> None:
    known = {incident["id"] for incident in INCIDENTS}
    names = [variant["name"] for variant in VARIANTS]
    assert len(names) == len(set(names))
    for variant in VARIANTS:
        assert variant["like"] in known, variant["name"]
        assert ("says" in variant) is not ("silent" in variant), variant["name"]
