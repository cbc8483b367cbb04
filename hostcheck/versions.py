"""The order of the versions that kernels, engines and distributions print."""

from __future__ import annotations

import re
from functools import total_ordering

_NUMBERS = re.compile(r"\s*(?:\d+:)?v?(\d+(?:\.\d+)*)(.*)", re.DOTALL)
# A prerelease sorts before its release. Debian writes ~rc93, upstream -rc93, docker 17 -ce-rc1.
_PRERELEASE = re.compile(r"[-~.+]?(?:ce[-~.])?(alpha|beta|rc|tp|pre|dev)[-~.]?(\d*)", re.IGNORECASE)
_ORDER = {"dev": 0, "alpha": 1, "tp": 1, "beta": 2, "pre": 2, "rc": 3}


@total_ordering
class Version:
    """A version as its upstream counts: numbers, then prereleases before the release.

    What a distribution adds behind (`+ds1`, `-0ubuntu2`, `-32-cloud-amd64`) does not count, but stays in
    `rest`. Missing numbers are zero: 5.10 is 5.10.0.

    >>> Version("1.0.0~rc93+ds1") < Version("1.0.0-rc95") < Version("1.0.0")
    True
    >>> Version("5.10.0-32-cloud-amd64") == Version("5.10")
    True
    """

    __slots__ = ("numbers", "prerelease", "rest", "text")

    def __init__(self, text: str) -> None:
        """Read `text`.

        Raises:
            ValueError: it does not begin with a number.

        """
        found = _NUMBERS.match(text)
        if not found:
            raise ValueError(f"not a version: {text!r}")
        self.text = text.strip()
        numbers = [int(number) for number in found.group(1).split(".")]
        while len(numbers) > 1 and numbers[-1] == 0:
            numbers.pop()
        self.numbers = tuple(numbers)
        self.rest = found.group(2)
        before = _PRERELEASE.match(self.rest)
        self.prerelease: tuple[int, int] | None = None
        if before and not before.group(0).startswith("+"):
            self.prerelease = (_ORDER[before.group(1).lower()], int(before.group(2) or 0))

    def _key(self) -> tuple[tuple[int, ...], bool, tuple[int, int]]:
        return (self.numbers, self.prerelease is None, self.prerelease or (0, 0))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and self._key() == other._key()

    def __lt__(self, other: Version) -> bool:
        return self._key() < other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Version({self.text!r})"

    @property
    def major(self) -> int:
        """The first number."""
        return self.numbers[0]
