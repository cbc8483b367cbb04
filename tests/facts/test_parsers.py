"""Every parser, whatever it is given: near-valid text in, nothing but the documented error out."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import pkgutil
import re
import signal
import struct
from collections.abc import Iterator
from typing import Any, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hostcheck.facts
from hostcheck.facts.gojson import Syntax
from hostcheck.facts.rpmdb import Damaged
from hostcheck.facts.toml import BadConfig

Parser = Callable[..., Any]


def parsers() -> Iterator[tuple[str, Parser]]:
    for module in pkgutil.iter_modules(hostcheck.facts.__path__):
        here = importlib.import_module(f"hostcheck.facts.{module.name}")
        for name, parser in sorted(vars(here).items()):
            own = inspect.isfunction(parser) and parser.__module__ == here.__name__
            if own and re.match("parse(_|$)", name):
                yield f"{module.name}.{name}", parser


PARSERS = dict(parsers())
EXPECTED: dict[str, tuple[type[Exception], ...]] = {
    "toml.parse_toml": (BadConfig,),
    "toml.parse_toml_plainly": (BadConfig,),
    "gojson.parse": (Syntax,),
    "rpmdb.parse_header": (Damaged, struct.error, IndexError, ValueError),  # its one caller takes them all
    "unitexec.parse_commands": (ValueError,),
}
"""The errors that a parser documents."""

SEEDS: dict[str, list[tuple[Any, ...]]] = {
    "_govalues.parse_ip": [("::ffff:1.2.3.4",)],
    "toml.parse_toml_plainly": [('version = 2\n[a."b.c"]\nd = [1, "e", {f = 0x1F}]\n[[g]]\nh = """x"""\n',)],
    "rpmdb.parse_header": [
        (struct.pack(">IIIIiIIIiI", 2, 8, 1000, 6, 0, 1, 1001, 6, 4, 1) + b"abc\x001.0\x00",),
    ],
    "sysctl.parse_kernel_int": [("-0x1f",), ("017\n",)],
    "unitfile.parse_tasks_max": [("12.5%",), ("8192",)],
    "rpmdb.parse_wal": [
        (
            struct.pack(">8I", 0x377F0682, 3007000, 16, 0, 1, 2, 3, 4)
            + struct.pack(">6I", 1, 1, 1, 2, 0, 0)
            + bytes(16),
        )
    ],
}
"""Examples of those whose docstring has none."""

PIECES = (
    "\0",
    "\n",
    "\r\n",
    "\\",
    "\\\n",
    '"',
    "'",
    "$",
    "${",
    "}",
    "[",
    "]",
    "{",
    "=",
    ":",
    ",",
    "/",
    "-",
    "%",
    "#",
    " ",
    "\t",
    "0",
    "-1",
    "99999999999999999999",
    "1e999",
    "0x",
    "\ufeff",
    "\u0661",
    "\ud800",
    "é",
    "*" * 300,
    "((((" * 50,
)


def examples(name: str) -> list[tuple[Any, ...]]:
    """Return the arguments with which a docstring's examples call the parser."""
    parser = PARSERS[name]
    scope = dict(vars(importlib.import_module(parser.__module__)))
    found = list(SEEDS.get(name, []))
    for each in doctest.DocTestParser().get_examples(inspect.getdoc(parser) or ""):
        for node in ast.walk(ast.parse(each.source)):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id == parser.__name__
            ):
                try:
                    found.append(
                        tuple(eval(compile(ast.Expression(arg), "", "eval"), scope) for arg in node.args)
                    )
                except NameError:  # a loop's variable
                    continue
    return found


@st.composite
def near(draw: st.DrawFn, seed: Any) -> Any:
    """Draw something like the seed: pieces of it cut, doubled, moved, and others put between."""
    if isinstance(seed, (list, tuple)):
        return type(seed)(draw(near(item)) for item in seed)
    if not isinstance(seed, (str, bytes)):
        return seed
    text = seed if isinstance(seed, str) else seed.decode("latin-1")
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(text)))
        end = min(len(text), at + draw(st.integers(0, 8)))
        piece = draw(st.one_of(st.sampled_from(PIECES), st.just(text[at:end] * 2), st.text(max_size=3)))
        text = text[:at] + piece + text[end:]
    return text if isinstance(seed, str) else text.encode("latin-1", "replace")


def call(name: str, arguments: tuple[Any, ...]) -> None:
    """Call a parser and read all that it yields."""
    try:
        answer = PARSERS[name](*arguments)
        if inspect.isgenerator(answer):
            list(answer)
    except EXPECTED.get(name, ()):
        pass


def test_there_are_parsers() -> None:
    assert len(PARSERS) > 80


@pytest.mark.parametrize("name", PARSERS)
def test_any_text(name: str) -> None:
    seeds = examples(name)
    assert seeds, "no example in its docstring and none in SEEDS"

    @settings(max_examples=60, deadline=None, derandomize=True, database=None)
    @given(st.data())
    def holds(data: st.DataObject) -> None:
        seed = data.draw(st.sampled_from(seeds))
        # The text comes first; what follows is the caller's own.
        call(name, (data.draw(near(seed[0])), *seed[1:]))

    def late(number: int, frame: object) -> None:
        raise TimeoutError(f"{name} does not end")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(60)
    try:
        holds()
        for big in ("[" * 50_000, "(" * 50_000, "a=" * 50_000, "\\\n" * 50_000, "${" * 20_000, "{" * 50_000):
            first = seeds[0][0]
            if isinstance(first, (str, bytes)):
                call(name, (big if isinstance(first, str) else big.encode(), *seeds[0][1:]))
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
