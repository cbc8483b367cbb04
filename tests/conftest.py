"""Fixtures that all tests share."""

from __future__ import annotations

import os
import pathlib
from typing import Any

import pytest

CORPORA = pathlib.Path(
    os.environ.get("HOSTCHECK_CORPORA", pathlib.Path(__file__).resolve().parents[2] / "shared" / "corpora")
)


@pytest.fixture(scope="session")
def corpora() -> pathlib.Path:
    """Return the folder of real inputs with the verdicts of real oracles; skip where it is missing."""
    if not CORPORA.is_dir():
        pytest.skip(f"no corpora at {CORPORA} (set HOSTCHECK_CORPORA)")
    return CORPORA


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip, with the reason, what this machine cannot do."""
    for item in items:
        if item.get_closest_marker("root") and os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason="needs root"))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the tallies of agreement with the oracles, which passing tests would keep to themselves."""
    lines = [
        f"{report.nodeid.rpartition('/')[2].partition('::')[0]}: {line}"
        for report in terminalreporter.stats.get("passed", [])
        for line in report.capstdout.splitlines()
        if line.strip()
    ]
    if lines:
        terminalreporter.section("agreement with the oracles")
        for line in lines:
            terminalreporter.line(line)
