"""JSON as Go reads it, and Go's grammars of values."""

from __future__ import annotations

import json
import random
import re

import pytest

from hostcheck.facts import _govalues as go
from hostcheck.facts import gojson


def refuse_constant(name: str) -> object:
    raise ValueError(name)


def python_takes(text: str) -> bool:
    """Return whether Python's own reader takes a text, which but for NaN and Infinity has the same grammar."""
    try:
        json.loads(text, parse_constant=refuse_constant)
    except (ValueError, RecursionError):
        return False
    return True


def go_takes(text: str) -> bool:
    try:
        gojson.parse(text)
    except gojson.Syntax:
        return False
    return True


SEEDS = (
    '{"debug": true, "log-opts": {"max-size": "10m"}, "dns": ["1.1.1.1", null], "mtu": -1.5e+3}',
    '[0, -0, 0.1, 1E5, "\\u00e9\\n\\ud83d\\ude00", [], {}, [[1]], {"a": {"b": [null, false]}}]',
    '"text"',
    " null ",
)


@pytest.mark.parametrize("seed", SEEDS)
def test_same_grammar_as_python(seed: str) -> None:
    chance = random.Random(seed)
    alphabet = '{}[]",:\\ \n\t0123456789.eE+-truefalsn/u*#\x00\x0b\u00a0'
    accepted = 0
    for _ in range(4000):
        text = seed
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(text) + 1)
            text = (
                text[:at] + chance.choice(alphabet) * chance.randint(0, 1) + text[at + chance.randint(0, 2) :]
            )
        accepted += go_takes(text)
        assert go_takes(text) == python_takes(text), text
    assert accepted > 20


def test_same_values_as_python() -> None:
    for seed in SEEDS:
        assert gojson.plain(gojson.parse(seed)) == json.loads(seed)


@pytest.mark.parametrize(
    ("text", "offset", "words"),
    [
        ('{"a": 1,}', 8, "where a key in quotes must begin"),
        ('{"a" 1}', 5, "where a colon must be"),
        ('{"a": 01}', 7, "after key:value pair"),
        ('{"a": +1}', 6, "where a value must begin"),
        ('{"a": tru}', 9, "in the word true"),
        ('{"a": "b\n"}', 8, "in a string"),
        ('{"a": "\\q"}', 8, "after a backslash"),
        ("{} x", 3, "after the end"),
        ('{"a": [1', 8, "ends too early"),
        ("\ufeff{}", 0, "where a value must begin"),
        ('{"a": 1.}', 8, "decimal point"),
        ('{"a": 1e}', 8, "exponent"),
        ('{"a": -}', 7, "in a number"),
    ],
)
def test_refusal_says_where(text: str, offset: int, words: str) -> None:
    with pytest.raises(gojson.Syntax) as caught:
        gojson.parse(text)
    assert caught.value.offset == offset
    assert words in caught.value.message


def test_a_decoder_stops_behind_the_first_value() -> None:
    assert gojson.parse('{"a": 1} // and more', whole=False).members[0].name == "a"


def test_depth() -> None:
    for levels, taken in ((10000, True), (10001, False)):
        assert go_takes("[" * levels + "]" * levels) is taken


def test_bytes_that_are_not_utf8() -> None:
    assert gojson.parse('"a\udcff"').value == "a\ufffd"


def test_fold() -> None:
    assert gojson.fold("Debug") == gojson.fold("debug")
    assert gojson.fold("\u017ftorage") == "storage"
    assert gojson.fold("la\u212aels") == "lakels"


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("::", True),
        ("1:2:3:4:5:6:7:8", True),
        ("1:2:3:4:5:6:7::", True),
        ("1:2:3:4:5:6:7:8::", False),
        ("::1.2.3.4", True),
        ("1.2.3.4::", False),
        (":1", False),
        ("12345::", False),
        ("1.2.3", False),
        ("1.2.3.4 ", False),
    ],
)
def test_addresses(text: str, taken: bool) -> None:
    assert (go.parse_ip(text) is not None) is taken


LEADING_ZERO = re.compile(r"(?<![0-9a-f])0\d+\.|\.0\d+$")


def test_addresses_as_python() -> None:
    import ipaddress

    chance = random.Random(1)
    for _ in range(5000):
        text = "".join(chance.choice("0123f:.:.") for _ in range(chance.randint(1, 12)))
        try:
            number = int(ipaddress.ip_address(text))
        except ValueError:
            number = None
        if LEADING_ZERO.search(text):
            # Python before 3.9.5 took it.
            number = None
        found = go.parse_ip(text)
        assert (found.number if found else None) == number, text


@pytest.mark.parametrize(
    ("text", "first", "old", "new"),
    [
        ("64M", True, True, True),
        ("64MiB", False, True, True),
        ("64 M", True, True, True),
        ("1e3", False, False, True),
        (".5g", False, False, True),
        ("-1", False, False, False),
        ("1.2.3", False, False, False),
        ("", False, False, False),
        ("5x", False, False, False),
    ],
)
def test_sizes(text: str, first: bool, old: bool, new: bool) -> None:
    found = [go.parse_size(text, grammar) is not None for grammar in ("first", "old", "new")]
    assert found == [first, old, new]


@pytest.mark.parametrize(
    ("url", "wrong"),
    [
        ("https://m", False),
        ("https://[::1]:5000", False),
        ("https://m:port", True),
        (" https://m", True),
        ("https://m ", True),
        ("https://a b", True),
        ("https://m/%zz", True),
        ("https://m/a b", False),
        ("://m", True),
        ("https://m\n", True),
        ("https://[::1", True),
    ],
)
def test_urls(url: str, wrong: bool) -> None:
    assert bool(go.check_url(url)[0]) is wrong


@pytest.mark.parametrize(
    ("address", "wrong"),
    [
        ("unix:///run/docker.sock", False),
        ("tcp://0.0.0.0:2375", False),
        ("tcp://", False),
        ("fd://", False),
        ("", False),
        ("tcp://h:0", True),
        ("tcp://h:1/path", True),
        ("udp://x", True),
        ("/var/run/docker.sock", True),
        ("localhost:2375", False),
    ],
)
def test_bind_addresses(address: str, wrong: bool) -> None:
    assert bool(go.check_bind_address(address, (28, 5, 2))) is wrong
