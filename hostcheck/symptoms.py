"""From what an engine prints to the conditions of the host behind it: how the table symptoms.yaml is searched."""

from __future__ import annotations

import importlib
import itertools
import re
import sys
from collections.abc import Iterable

from hostcheck import packaged
from hostcheck._typing import Any

LINE_LIMIT = 4000
"""Characters of a line that are looked at; no message is longer, but a log may hold anything."""

LINES_LIMIT = 500_000
"""Lines of a log that are looked at, from its beginning."""

PEOPLE = "people"
"""Who says what is no message of a program: only searched for in what somebody typed, not in logs."""

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[@-_])")
_NUMBERS = re.compile(r"\d+")
_SPACES = re.compile(r"\s+")


class Symptom:
    """A message that is known: what it means, and which checks look for the conditions behind it."""

    __slots__ = ("by", "cause", "checks", "harmless", "likes", "patterns", "wrapper")

    def __init__(self, row: dict[str, Any]) -> None:
        """Take a row of the table."""
        self.by: str = row["by"]
        self.cause: str = row["cause"]
        self.checks: tuple[str, ...] = tuple(row["checks"])
        self.harmless = bool(row.get("harmless"))
        self.wrapper = bool(row.get("wrapper"))
        """Whether it only says what failed; the reason, if it is known, stands in the same line."""
        self.likes = _listed(row["like"])
        """A message for each pattern."""
        self.patterns = [Pattern(text) for text in _listed(row["says"])]


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


class Pattern:
    """The fixed part of a message."""

    __slots__ = ("compiled", "letters", "needle", "text")

    def __init__(self, text: str) -> None:
        """Take the regular expression."""
        self.text = text
        self.letters, runs = fixed(text)
        """How specific it is: the letters that every match has."""
        self.needle = max(runs, key=len, default="").lower()
        """What a line must hold. Looking for it first is a hundred times as fast."""
        self.compiled: re.Pattern[str] | None = None

    def found_in(self, line: str, lowered: str) -> bool:
        """Return whether the line has the message."""
        if self.needle not in lowered:
            return False
        if self.compiled is None:
            self.compiled = re.compile(self.text, re.IGNORECASE)
        return self.compiled.search(line) is not None


def fixed(pattern: str) -> tuple[int, list[str]]:
    r"""Return how many letters every match has at least, and the texts that every match holds.

    >>> fixed(r"can.?t create (?:FILTER|NAT) chain \S+ in 'x'")
    (27, ['can', 't create ', ' chain ', " in 'x'"])
    """
    # The parser of re itself, under its two names.
    parser = importlib.import_module("re._parser" if sys.version_info >= (3, 11) else "sre_parse")
    runs = [""]
    letters = 0
    for operation, argument in parser.parse(pattern):
        if str(operation) == "LITERAL":
            runs[-1] += chr(argument)
            continue
        runs.append("")
        letters += _least(operation, argument)
    return letters + sum(map(len, runs)), [run for run in runs if run]


def _least(operation: Any, argument: Any) -> int:
    """Return how many letters a part of a pattern has at least."""
    name = str(operation)
    if name == "LITERAL":
        return 1
    if name == "SUBPATTERN":
        return sum(_least(*item) for item in argument[-1])
    if name == "BRANCH":
        return min(sum(_least(*item) for item in branch) for branch in argument[1])
    if name in ("MAX_REPEAT", "MIN_REPEAT"):
        return int(argument[0]) * sum(_least(*item) for item in argument[2])
    return 0


Rank = tuple[bool, bool, int]
"""How specific a symptom of a line is: what is known to be harmless comes first, what only wraps another last."""


class Match:
    """A symptom that was found, the line that has it, and how often."""

    __slots__ = ("count", "line", "rank", "symptom")

    def __init__(self, symptom: Symptom, line: str, rank: Rank) -> None:
        """Start with its first line."""
        self.symptom = symptom
        self.line = line
        self.rank = rank
        self.count = 1


def load() -> list[Symptom]:
    """Return the table."""
    # Imported here: it costs 28 ms.
    import yaml

    # The one in C is ten times as fast, and as safe.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return [Symptom(row) for row in yaml.load(packaged.text("symptoms.yaml"), loader)]  # noqa: S506


def clean(line: str) -> str:
    r"""Return a line without colours, escapes of quotes and what cannot be printed.

    >>> clean('\x1b[31mmsg="can\'t open \\"x\\""\x1b[0m')
    'msg="can\'t open "x""'
    """
    text = _ANSI.sub("", line[:LINE_LIMIT]).replace('\\"', '"').replace("\u2019", "'").replace("\u2018", "'")
    return "".join(c if c.isprintable() else " " for c in text).strip()


def search(lines: Iterable[str], table: list[Symptom]) -> tuple[list[Match], int]:
    """Return what is known of these lines, the most specific first, and how many lines there were.

    A line counts for one symptom.
    """
    symptoms = [symptom for symptom in table if symptom.by != PEOPLE]
    return _search(lines, symptoms)


def _search(lines: Iterable[str], symptoms: list[Symptom]) -> tuple[list[Match], int]:
    seen: dict[str, Match | None] = {}
    found: dict[int, Match] = {}
    count = 0
    for raw in itertools.islice(lines, LINES_LIMIT):
        count += 1
        line = clean(raw)
        # The same message with another time and process is searched once.
        shape = _NUMBERS.sub("0", line)
        if shape not in seen:
            best = _best(line, symptoms)
            seen[shape] = best
            if best:
                first = found.setdefault(id(best.symptom), best)
                if first is not best:
                    seen[shape] = first
                    first.count += 1
                    if best.rank > first.rank:
                        first.rank, first.line = best.rank, line
            continue
        known = seen[shape]
        if known:
            known.count += 1
    return sorted(found.values(), key=lambda match: match.rank, reverse=True), count


def search_text(text: str, table: list[Symptom]) -> tuple[list[Match], int]:
    """Return what is known of a message that somebody typed or pasted, in which lines may be broken anywhere."""
    lines = text.splitlines() or [""]
    matches, count = _search(lines, table)
    if not matches and 1 < count <= 30:
        whole, _ = _search([_SPACES.sub(" ", " ".join(lines))], table)
        return whole, count
    return matches, count


def _best(line: str, symptoms: list[Symptom]) -> Match | None:
    lowered = line.lower()
    best: Match | None = None
    for symptom in symptoms:
        for pattern in symptom.patterns:
            rank = (symptom.harmless, not symptom.wrapper, pattern.letters)
            if (best is None or rank > best.rank) and pattern.found_in(line, lowered):
                best = Match(symptom, line, rank)
    return best
