"""TOML, as the configurations of containerd, podman and bootc are written in."""

from __future__ import annotations

import re
import sys

from hostcheck._typing import Any


class BadConfig(Exception):
    """A file is no TOML: what is configured with it does not start."""

    def __init__(self, path: str, line: int, reason: str) -> None:
        """Keep where it is and what is wrong there."""
        super().__init__(f"{path}:{line}: {reason}" if line else f"{path}: {reason}")
        self.path = path
        self.line = line
        self.reason = reason


def parse_toml(text: str) -> dict[str, Any]:
    r"""Read a TOML document, with the standard library where it has a reader.

    Raises:
        BadConfig: it is none; the path is empty.

    >>> parse_toml('[a."b.c"]\nd = [1, "x"] # no')
    {'a': {'b.c': {'d': [1, 'x']}}}
    """
    if sys.version_info >= (3, 11):
        # Imported here: only a host with the file needs it.
        import tomllib

        try:
            return tomllib.loads(text.lstrip("\ufeff").replace("\r\n", "\n"))
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            # The same words on every Python, where our own reader finds the fault too.
            parse_toml_plainly(text)
            line = re.search(r"at line (\d+)", str(error))
            reason = re.sub(r" \(at .*\)$", "", str(error))
            raise BadConfig("", int(line.group(1)) if line else 0, reason) from None
    return parse_toml_plainly(text)


# Compiled where it is used: from Python 3.11 on that is never.
_TOKEN = (
    r'(?s)"""(?P<long>(?:[^\\]|\\.)*?)"""'
    r"|'''(?P<raw>.*?)'''"
    r'|"(?P<basic>(?:[^"\\\n]|\\.)*)"'
    r"|'(?P<literal>[^'\n]*)'"
    r"|(?P<bare>[A-Za-z0-9_+:-]+(?:\.[0-9]+[A-Za-z0-9_+:-]*)?)"
    r"|(?P<mark>\[\[|\]\]|[\[\]{}=,.])"
    r"|(?P<space>[ \t]+|\#[^\n]*|\r?\n)"
)


def parse_toml_plainly(text: str) -> dict[str, Any]:
    """Read the TOML that configurations are written in, for Python before 3.11.

    Dates stay texts. Raises `BadConfig` as `parse_toml`.
    """
    return _Plain(text).document()


class _Plain:
    """A reader of TOML by recursive descent."""

    def __init__(self, text: str) -> None:
        self.text = text.lstrip("\ufeff")
        self.at = 0
        self.defined: set[int] = set()

    def fail(self, reason: str) -> BadConfig:
        return BadConfig("", self.text.count("\n", 0, self.at) + 1, reason)

    def skip(self, lines: bool) -> None:
        pattern = r"(?:[ \t\r\n]|#[^\n]*)*" if lines else r"[ \t]*(?:#[^\n]*)?\r?"
        found = re.compile(pattern).match(self.text, self.at)
        if found:
            self.at = found.end()

    def end_of_line(self) -> None:
        self.skip(lines=False)
        if self.at < len(self.text) and self.text[self.at] != "\n":
            raise self.fail("more on the line than a value")

    def eat(self, mark: str) -> bool:
        if self.text.startswith(mark, self.at):
            self.at += len(mark)
            return True
        return False

    def document(self) -> dict[str, Any]:
        root: dict[str, Any] = {}
        table = root
        self.skip(lines=True)
        while self.at < len(self.text):
            if self.eat("[["):
                table = self.header(root, "]]")
            elif self.eat("["):
                table = self.header(root, "]")
            else:
                self.pair(table)
            self.end_of_line()
            self.skip(lines=True)
        return root

    def header(self, root: dict[str, Any], close: str) -> dict[str, Any]:
        keys = self.keys()
        if not self.eat(close):
            raise self.fail("a table's name does not end")
        table = self.descend(root, keys[:-1])
        if close == "]]":
            listed = table.setdefault(keys[-1], [])
            if not isinstance(listed, list):
                raise self.fail(f"{keys[-1]} is no list of tables")
            listed.append({})
            last: dict[str, Any] = listed[-1]
            return last
        found = self.descend(table, keys[-1:])
        if id(found) in self.defined:
            raise self.fail(f"table {'.'.join(keys)} stands twice")
        self.defined.add(id(found))
        return found

    def descend(self, table: dict[str, Any], keys: list[str]) -> dict[str, Any]:
        for key in keys:
            following = table.setdefault(key, {})
            if isinstance(following, list) and following and isinstance(following[-1], dict):
                following = following[-1]
            if not isinstance(following, dict):
                raise self.fail(f"{key} is no table")
            table = following
        return table

    def pair(self, table: dict[str, Any]) -> None:
        keys = self.keys()
        if not self.eat("="):
            raise self.fail("no = after a key")
        self.skip(lines=False)
        value = self.value()
        table = self.descend(table, keys[:-1])
        if keys[-1] in table:
            raise self.fail(f"{keys[-1]} stands twice")
        table[keys[-1]] = value

    def keys(self) -> list[str]:
        keys = []
        while True:
            self.skip(lines=False)
            found = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|[A-Za-z0-9_-]+').match(self.text, self.at)
            if not found:
                raise self.fail("no key where one should be")
            self.at = found.end()
            word = found.group(0)
            keys.append(_unescape(word[1:-1]) if word[0] == '"' else word.strip("'"))
            self.skip(lines=False)
            if not self.eat("."):
                return keys

    def value(self) -> Any:
        found = re.compile(_TOKEN).match(self.text, self.at)
        if not found or found.lastgroup == "space":
            raise self.fail("no value where one should be")
        if found.lastgroup == "mark":
            if self.eat("["):
                return self.array()
            if self.eat("{"):
                return self.inline()
            raise self.fail("no value where one should be")
        self.at = found.end()
        word = found.group(found.lastgroup or "bare")
        if found.lastgroup in ("long", "basic"):
            long = found.lastgroup == "long"
            return _unescape(re.sub(r"\\\n\s*", "", word.removeprefix("\n")) if long else word)
        if found.lastgroup in ("raw", "literal"):
            return word.removeprefix("\n")
        if word in ("true", "false"):
            return word == "true"
        plain = word.replace("_", "")
        try:
            if re.match(r"[+-]?\d+$|0[xob][0-9A-Fa-f]+$", plain):
                return (
                    int(plain, 0) if plain[:1] == "0" and len(plain) > 1 and plain[1] in "xob" else int(plain)
                )
            return float(plain)
        except ValueError:
            if re.match(r"\d{4}-\d\d-\d\d|\d\d:\d\d", word):
                return word
            raise self.fail(f"{word} is no value: a text needs quotes") from None

    def array(self) -> list[Any]:
        items: list[Any] = []
        while True:
            self.skip(lines=True)
            if self.eat("]"):
                return items
            items.append(self.value())
            self.skip(lines=True)
            if not self.eat(","):
                if self.eat("]"):
                    return items
                raise self.fail("a list does not end")

    def inline(self) -> dict[str, Any]:
        table: dict[str, Any] = {}
        self.skip(lines=False)
        if self.eat("}"):
            return table
        while True:
            self.pair(table)
            self.skip(lines=False)
            if self.eat("}"):
                return table
            if not self.eat(","):
                raise self.fail("a table in braces does not end")


_ESCAPES = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", '"': '"', "\\": "\\"}


def _unescape(text: str) -> str:
    def one(found: re.Match[str]) -> str:
        word = found.group(1)
        try:
            return chr(int(word[1:], 16)) if word[0] in "uU" else _ESCAPES.get(word, word)
        except (ValueError, OverflowError):
            raise BadConfig("", 0, f"\\{word} is no character") from None

    return re.sub(r"\\(u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|.)", one, text)
