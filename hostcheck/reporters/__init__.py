"""Reporters: functions of one Report. By name, imported on use."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from hostcheck._typing import TextIO
from hostcheck.finding import Report, Severity


class Style:
    """How a person wants to see a report."""

    __slots__ = ("color", "threshold", "unicode", "verbosity", "width")

    def __init__(
        self,
        width: int = 120,
        color: bool = False,
        unicode: bool = True,
        verbosity: int = 0,
        threshold: Severity = Severity.REQUIRED,
    ) -> None:
        """Take the width in columns, a verbosity of -1 (quiet), 0, or 1 (everything), and what makes a run fail."""
        self.threshold = threshold
        self.width = width
        self.color = color
        self.unicode = unicode
        self.verbosity = verbosity


FORMATS = {
    "table": "hostcheck.reporters.table",
    "json": "hostcheck.reporters.json",
    "prometheus": "hostcheck.reporters.prometheus",
    "junit": "hostcheck.reporters.junit",
    "sarif": "hostcheck.reporters.sarif",
    "html": "hostcheck.reporters.html",
    "markdown": "hostcheck.reporters.markdown",
    "github": "hostcheck.reporters.github",
}


def write(name: str, reports: Sequence[Report], stream: TextIO, style: Style) -> None:
    """Write one report, or one document of several, in the format of that name; `KeyError` if there is none."""
    module = importlib.import_module(FORMATS[name])
    if len(reports) == 1:
        module.write(reports[0], stream, style)
    else:
        module.write_all(reports, stream, style)
