"""Checks by what an index tells of them: a family whose checks do not apply on a host is not imported there."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Sequence

from hostcheck import plugins
from hostcheck.check import Check
from hostcheck.finding import Finding, Severity
from hostcheck.host import Host


class Card(Check):
    """A check that is imported when its gate is passed; until then its index card stands for it.

    A card takes no parameters: a policy that sets some has the checks themselves.
    """

    def __init__(
        self,
        gate: str,
        id: str,
        severity: str,
        title: str,
        aliases: tuple[str, ...],
        references: tuple[str, ...],
    ) -> None:
        """Take what the index tells."""
        super().__init__()
        self.gate = gate
        self.id = id
        self.severity = Severity(severity)
        self.aliases = aliases
        self.references = references
        self._title = title

    def title(self) -> str:  # type: ignore[override]
        """See `Check.title`."""
        return self._title

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        importlib.import_module("hostcheck.checks._gates").GATES[self.gate](host)
        return self.itself()().run(host)

    def itself(self) -> type[Check]:
        """Return the check."""
        family = self.id.partition(".")[0]
        return next(check for check in plugins.family(family) if check.id == self.id)


def shipped(patterns: Sequence[str]) -> list[type[Check] | Check]:
    """Return the shipped checks that can match one of the glob patterns, as cards where there are some."""
    index = importlib.import_module("hostcheck.checks._index").FAMILIES
    found: list[type[Check] | Check] = []
    for family in plugins.matching_families(patterns):
        size, cards = index.get(family, (0, ()))
        if cards and size == _size(family, size):
            found += [Card(*card) for card in cards]
        else:
            found += plugins.family(family)
    return found


def _size(family: str, otherwise: int) -> int:
    """Return the bytes of a family's file: in a checkout it may have changed since the index was made."""
    package = importlib.import_module("hostcheck.checks")
    try:
        return os.stat(os.path.join(os.path.dirname(package.__file__ or ""), f"{family}.py")).st_size
    except OSError:
        # Inside a zip application, whose modules may be compiled.
        return otherwise
