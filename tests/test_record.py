"""A Record is what typing.NamedTuple would have made of the same class."""

from __future__ import annotations

import copy
import pickle
from typing import Any, Callable, NamedTuple

import pytest

from hostcheck.record import Record


class Ours(Record):
    """One required field, named as a method's first argument is, and two with defaults."""

    cls: str
    size: int = 3
    parts: tuple[str, ...] = ()

    @property
    def double(self) -> int:
        """A property beside the fields."""
        return self.size * 2


class Theirs(NamedTuple):
    """The same."""

    cls: str
    size: int = 3
    parts: tuple[str, ...] = ()

    @property
    def double(self) -> int:
        """A property beside the fields."""
        return self.size * 2


USES: dict[str, Callable[[Any], object]] = {
    "by position": lambda kind: tuple(kind("a", 1, ("b",))),
    "by name": lambda kind: tuple(kind(size=1, cls="a")),
    "both": lambda kind: tuple(kind("a", parts=("b",))),
    "fields": lambda kind: [kind("a").cls, kind("a").size, kind("a").parts, kind("a").double],
    "fields' names": lambda kind: kind._fields,
    "index": lambda kind: [kind("a")[0], kind("a")[-1], kind("a")[1:]],
    "unpacking": lambda kind: [*kind("a")],
    "length": lambda kind: len(kind("a")),
    "truth": lambda kind: bool(kind("")),
    "equality": lambda kind: [kind("a") == kind("a"), kind("a") == kind("b"), kind("a") == ("a", 3, ())],
    "order": lambda kind: [tuple(item) for item in sorted([kind("b"), kind("a", 2), kind("a", 1)])],
    "hash": lambda kind: {kind("a"): 1}[kind("a")],
    "text": lambda kind: repr(kind("a", 1)).replace("Theirs", "Ours"),
    "a copy with a change": lambda kind: tuple(kind("a")._replace(size=9)),
    "as a dictionary": lambda kind: kind("a")._asdict(),
    "a copy": lambda kind: copy.deepcopy(kind("a")) == kind("a"),
    "pickled": lambda kind: pickle.loads(pickle.dumps(kind("a"))) == kind("a"),
}


@pytest.mark.parametrize("use", USES)
def test_it_behaves_as_a_named_tuple(use: str) -> None:
    assert USES[use](Ours) == USES[use](Theirs)


MISUSES: dict[str, Callable[[Any], object]] = {
    "a field is missing": lambda kind: kind(),
    "too many": lambda kind: kind("a", 1, (), 4),
    "an unknown name": lambda kind: kind("a", colour=1),
    "twice": lambda kind: kind("a", cls="b"),
    "a change of an unknown name": lambda kind: kind("a")._replace(colour=1),
    "a field is set": lambda kind: setattr(kind("a"), "cls", "b"),
}


@pytest.mark.parametrize("misuse", MISUSES)
def test_it_refuses_what_a_named_tuple_refuses(misuse: str) -> None:
    for kind in (Ours, Theirs):
        with pytest.raises((TypeError, AttributeError, ValueError)):
            MISUSES[misuse](kind)
