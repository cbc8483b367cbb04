"""Reporters: functions of one Report. By name, imported on use."""

from __future__ import annotations

import importlib
from typing import Callable, TextIO

from hostcheck.finding import Report


class Style:
    """How a person wants to see a report."""

    __slots__ = ("color", "unicode", "verbosity", "width")

    def __init__(
        self, width: int = 120, color: bool = False, unicode: bool = True, verbosity: int = 0
    ) -> None:
        """Take the width in columns, and a verbosity of -1 (quiet), 0, or 1 (everything)."""
        self.width = width
        self.color = color
        self.unicode = unicode
        self.verbosity = verbosity


Reporter = Callable[[Report, TextIO, Style], None]

FORMATS = {
    "table": "hostcheck.reporters.table",
    "json": "hostcheck.reporters.json",
    "prometheus": "hostcheck.reporters.prometheus",
}


def reporter(name: str) -> Reporter:
    """Return the reporter of that name; `KeyError` if there is none."""
    write: Reporter = importlib.import_module(FORMATS[name]).write
    return write
