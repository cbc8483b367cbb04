"""JSON as Go's encoding/json reads it, with the place of every value.

Python's `json` takes what Go refuses (NaN, lone control characters under `strict=False`), drops duplicate
members and keeps no positions. The scanner here is encoding/json's: https://pkg.go.dev/encoding/json.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from hostcheck._typing import Optional
from hostcheck.host import Unavailable
from hostcheck.record import Record

DEPTH_LIMIT = 10000
"""Nested arrays and objects that encoding/json reads (maxNestingDepth, Go 1.15)."""

VALUES_LIMIT = 120_000
"""Values of a text that are read: about a second's work, and a thousand times what anyone writes."""

_SPACE = re.compile(r"[ \t\r\n]*")
# A pattern earns its place here: strings and numbers are nearly all of a file.
_PLAIN = re.compile(r'[^"\\\x00-\x1f]*')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_HEX = frozenset("0123456789abcdefABCDEF")
_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_WORDS = (("true", "bool", True), ("false", "bool", False), ("null", "null", None))


class Syntax(Exception):
    """A text that is not JSON."""

    def __init__(self, message: str, offset: int) -> None:
        """Keep what is wrong and the offset, in characters, where it was noticed."""
        super().__init__(message)
        self.message = message
        self.offset = offset


class TooLarge(Unavailable):
    """A text that holds more values than can be judged in the time that anyone waits."""


class Node:
    """A value and where it stands in the text."""

    __slots__ = ("end", "kind", "members", "start", "value")

    def __init__(self, kind: str, start: int, value: object = None) -> None:
        """Keep a value; `kind` is object, array, string, number, bool or null."""
        self.kind = kind
        self.start = start
        self.end = start
        self.value = value
        """A str, a bool, None, or for a number its text as written."""
        self.members: Sequence[Member] = ()
        """The members of an object or array as written, duplicates too."""

    def __repr__(self) -> str:
        return f"<{self.kind} {self.value!r} at {self.start}>"


class Member(Record):
    """One member of an object, or one element of an array (named by its index)."""

    name: str
    start: int
    """Where the name stands (an element: the value)."""
    node: Node


class Text:
    """A text and its lines."""

    def __init__(self, text: str) -> None:
        """Take a text."""
        self.text = text
        self._starts: Optional[list[int]] = None

    def place(self, offset: int) -> tuple[int, int]:
        r"""Return the line and the column of an offset, both from 1.

        >>> Text("{\n  x").place(4)
        (2, 3)
        """
        from bisect import bisect_right  # only where something is reported

        if self._starts is None:
            self._starts = [0, *(found.end() for found in re.finditer("\n", self.text))]
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1


def quoted(character: str) -> str:
    """Return a character as Go's error messages write it."""
    if character == "'":
        return "'\\''"
    if character == '"':
        return "'\"'"
    if 0xDC80 <= ord(character) <= 0xDCFF:  # a byte that is not UTF-8
        return f"'\\x{ord(character) - 0xDC00:02x}'"
    return ascii(character) if ord(character) < 0x20 or ord(character) == 0x7F else f"'{character}'"


def parse(text: str, whole: bool = True) -> Node:
    """Return the value that a text holds.

    Args:
        text: the text; a byte that was not UTF-8 may stand in it as a surrogate escape.
        whole: whether anything but white space after the value is an error, as for json.Unmarshal; a
            json.Decoder stops behind the first value.

    Raises:
        Syntax: it is not JSON.
        TooLarge: it may be, and is too long to tell.

    >>> [member.name for member in parse('{"a": 1, "a": [2]}').members]
    ['a', 'a']

    """
    scanner = _Scanner(text)
    node = scanner.value()
    if whole:
        rest = scanner.skip(node.end)
        if rest < len(text):
            raise Syntax(f"{quoted(text[rest])} after the end of the configuration", rest)
    return node


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text

    def skip(self, at: int) -> int:
        if self.text[at : at + 1] > " ":
            return at
        found = _SPACE.match(self.text, at)
        return found.end() if found else at

    def refuse(self, at: int, context: str) -> Syntax:
        if at >= len(self.text):
            return Syntax("the text ends too early" if self.text.strip() else "the file is empty", at)
        return Syntax(f"{quoted(self.text[at])} {context}", at)

    def value(self) -> Node:
        """Read the value without recursion: 10000 levels are legal."""
        text, skip = self.text, self.skip
        root, at = self.open(skip(0))
        if root.kind not in ("object", "array"):
            return root
        node, members = root, list[Member]()
        stack: list[tuple[Node, list[Member]]] = []
        left = VALUES_LIMIT
        while True:
            named = node.kind == "object"
            at = skip(at)
            if text[at : at + 1] == ("}" if named else "]"):
                at += 1
                node.end, node.members = at, members
                if not stack:
                    return root
                node, members = stack.pop()
                continue
            if members:
                if text[at : at + 1] != ",":
                    raise self.refuse(at, f"after {'key:value pair' if named else 'array element'}")
                at = skip(at + 1)
            start = at
            if named:
                if text[at : at + 1] != '"':
                    raise self.refuse(at, "where a key in quotes must begin")
                name, at = self.string(at)
                at = skip(at)
                if text[at : at + 1] != ":":
                    raise self.refuse(at, "after a key, where a colon must be")
                at = skip(at + 1)
            else:
                name = str(len(members))
            left -= 1
            if left == 0:
                raise TooLarge(f"it holds more than {VALUES_LIMIT} values: too large to judge")
            child, at = self.open(at)
            members.append(Member(name, start, child))
            if child.kind in ("object", "array"):
                stack.append((node, members))
                if len(stack) >= DEPTH_LIMIT:
                    raise Syntax("nested too deeply", child.start)
                node, members = child, []

    def open(self, at: int) -> tuple[Node, int]:
        """Read a scalar, or the bracket that opens an object or an array."""
        text = self.text
        character = text[at : at + 1]
        if character in ("{", "["):
            return Node("object" if character == "{" else "array", at), at + 1
        if character == '"':
            string, end = self.string(at)
            node = Node("string", at, string)
            node.end = end
            return node, end
        for word, kind, meaning in _WORDS:
            if character == word[0]:
                for i, expected in enumerate(word):
                    if text[at + i : at + i + 1] != expected:
                        raise self.refuse(at + i, f"in the word {word}")
                node = Node(kind, at, meaning)
                node.end = at + len(word)
                return node, node.end
        if character == "-" or (character.isdecimal() and character.isascii()):
            return self.number(at)
        raise self.refuse(at, "where a value must begin")

    def number(self, at: int) -> tuple[Node, int]:
        text = self.text
        found = _NUMBER.match(text, at)
        if not found:
            raise self.refuse(at + 1, "in a number")
        end = found.end()
        node = Node("number", at, found.group())
        node.end = end
        follows = text[end : end + 1]
        # The longest match may leave a beginning behind it that Go has already committed to.
        if follows == "." and "." not in found.group() and "e" not in found.group().lower():
            raise self.refuse(end + 1, "after the decimal point of a number")
        if follows in ("e", "E") and "e" not in found.group().lower():
            at = end + 1
            if text[at : at + 1] in ("+", "-") and text[at : at + 1]:
                at += 1
            raise self.refuse(at, "in the exponent of a number")
        return node, end

    def string(self, at: int) -> tuple[str, int]:
        text = self.text
        plain = _PLAIN.match(text, at + 1)
        end = plain.end() if plain else at
        if text[end : end + 1] == '"':
            return well_formed(text[at + 1 : end]), end + 1
        parts: list[str] = []
        at += 1
        while True:
            plain = _PLAIN.match(text, at)
            end = plain.end() if plain else at
            parts.append(text[at:end])
            at = end
            character = text[at : at + 1]
            if character == '"':
                break
            if character != "\\":
                raise self.refuse(at, "in a string, where it must be written as an escape")
            escape = text[at + 1 : at + 2]
            if escape == "u":
                for i in range(2, 6):
                    if text[at + i : at + i + 1] not in _HEX:
                        raise self.refuse(at + i, "in a \\u escape")
                parts.append(chr(int(text[at + 2 : at + 6], 16)))
                at += 6
            elif escape in _ESCAPES and escape:
                parts.append(_ESCAPES[escape])
                at += 2
            else:
                raise self.refuse(at + 1, "after a backslash in a string")
        return well_formed("".join(parts)), at + 1


def well_formed(string: str) -> str:
    r"""Join surrogate pairs, and put U+FFFD for every half of one and every byte that is not UTF-8.

    >>> well_formed("\ud83d\ude00\ud800")
    '😀�'
    """
    if string.isascii() or not any("\ud800" <= character <= "\udfff" for character in string):
        return string
    out: list[str] = []
    i = 0
    while i < len(string):
        code = ord(string[i])
        if 0xD800 <= code < 0xDC00 and i + 1 < len(string) and 0xDC00 <= ord(string[i + 1]) < 0xE000:
            out.append(chr(0x10000 + ((code - 0xD800) << 10) + (ord(string[i + 1]) - 0xDC00)))
            i += 2
            continue
        out.append("�" if 0xD800 <= code < 0xE000 else string[i])
        i += 1
    return "".join(out)


def plain(node: Node, levels: int = 64) -> object:
    """Return the value as Python's own types: the last of duplicates, numbers as int or float.

    What lies deeper than `levels` becomes None: no reader goes there, and recursion has its limits.
    """
    if levels == 0:
        return None
    if node.kind == "object":
        return {member.name: plain(member.node, levels - 1) for member in node.members}
    if node.kind == "array":
        return [plain(member.node, levels - 1) for member in node.members]
    if node.kind == "number":
        return number(str(node.value))
    return node.value


def number(text: str) -> object:
    """Return a number's text as int, or as float where it has a point, an exponent or too many digits."""
    if len(text) < 20 and not set(text) & set(".eE"):
        return int(text)
    return float(text)


def beyond(text: str, root: Node) -> Optional[tuple[str, Node]]:
    """Return the first number that no float64 holds, with the names that lead to it; Go refuses it as any value.

    >>> beyond('{"a": [1e999]}', parse('{"a": [1e999]}'))[0]
    'a.0'
    """
    # Few files hold a number that could be one, and a large file is not walked for nothing.
    if not re.search(r"[0-9][eE]\+?[0-9]{3}|[0-9]{300}", text):
        return None
    stack = [("", root)]
    while stack:
        name, node = stack.pop()
        if node.kind == "number" and float(str(node.value)) in (float("inf"), float("-inf")):
            return name, node
        if node.members:
            ahead = f"{name}." if name else ""
            # A path of ten thousand names is for nobody.
            ahead = ahead if len(ahead) < 200 else ahead[:200]
            stack += [(ahead + member.name, member.node) for member in reversed(node.members)]
    return None


def fold(name: str) -> str:
    """Return what two names have in common that Go takes for the same member of a struct.

    encoding/json folds by Unicode's simple folding; for names of ASCII letters the two letters beyond
    ASCII that matter are the long s and the Kelvin sign.
    """
    return name.replace("\u017f", "s").replace("\u212a", "k").lower()


def duplicates(node: Node) -> Iterator[tuple[Member, Member]]:
    """Yield the members of an object that a later one of the same name overrides, with that later one."""
    seen: dict[str, Member] = {}
    for member in node.members:
        if member.name in seen:
            yield seen[member.name], member
        seen[member.name] = member
