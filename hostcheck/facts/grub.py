"""What GRUB will start: its script, its environment block and its entries, read and never executed."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hostcheck._typing import Callable, Union
from hostcheck.facts.files import EXPANDED_LIMIT
from hostcheck.record import Record

Word = list[tuple[str, str, bool]]
"""Parts of a word: `text` or `var`, its text, and whether it stands in quotes."""

# Compiled where they are used: a host without GRUB has nothing to read.
_TOKEN = r"""(?xs)(?P<space>[ \t\r]+|\\\n)|(?P<end>[\n;])|(?P<comment>\#[^\n]*)|'(?P<single>[^']*)'
    |"(?P<double>(?:\\.|[^"\\])*)"|\$\{(?P<braced>[^${}\n]*)\}|\$(?P<plain>[A-Za-z0-9_]+|[?@\#*])
    |\\(?P<escaped>.)|(?P<brace>[{}])|(?P<text>[^\s;'"$\\{}]+)|(?P<stray>.)"""
_INSIDE = r"\\([\"\\$`\n])|\$\{([^${}\n]*)\}|\$([A-Za-z0-9_]+)"

DEPTH_LIMIT = 50
"""Blocks inside blocks. grub-mkconfig makes four."""
ENTRY_LIMIT = 2000
"""Entries that are kept; a menu with more is no menu."""


class Item(Record):
    """An entry of GRUB's menu, or a submenu with entries of its own."""

    title: str
    id: str
    kernel: str | None
    """As GRUB names it: a path on the file system that is its root."""
    cmdline: str | None
    initrd: tuple[str, ...]
    path: str
    line: int
    children: tuple[Item, ...] = ()
    is_submenu: bool = False


class Menu(Record):
    """What a configuration comes to."""

    items: tuple[Item, ...]
    default: str
    """As in `set default=`: a number, a title or an id, with `>` into submenus; empty for the first."""
    variables: dict[str, str]
    default_line: int | None = None


def parse_grubenv(content: str) -> dict[str, str]:
    r"""Return what a GRUB environment block holds (grub-editenv(1): lines, padded with `#`).

    >>> parse_grubenv("# GRUB Environment Block\nsaved_entry=1\nkernelopts=ro a=b\n######")
    {'saved_entry': '1', 'kernelopts': 'ro a=b'}
    """
    found = {}
    # A backslash at the end of a line hides the line's end in a value.
    for line in content.replace("\\\n", "\0").split("\n"):
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found[name] = value.replace("\\\\", "\\").replace("\0", "\n")
    return found


class _Command(Record):
    words: list[Word]
    line: int
    block: list[_Statement]
    """The body of a menuentry, submenu or function."""


class _If(Record):
    branches: list[tuple[list[_Statement], list[_Statement]]]
    otherwise: list[_Statement]


_Statement = Union[_Command, _If]
_Tokens = list[tuple[Union[Word, str], int]]


def _tokens(content: str) -> _Tokens:
    found: _Tokens = []
    word: Word = []
    line = first = 1

    def finish() -> None:
        nonlocal word
        if word:
            found.append((word, first))
            word = []

    for match in re.finditer(_TOKEN, content):
        kind, value = match.lastgroup, match.group(match.lastgroup or 0)
        if not word:
            first = line
        if kind == "space":
            finish()
        elif kind in ("end", "brace"):
            finish()
            found.append((value, line))
        elif kind == "comment":
            if word:
                word.append(("text", value, False))
        elif kind == "single":
            word.append(("text", value, True))
        elif kind == "double":
            word.append(("text", "", True))
            word.extend(_inside(value))
        elif kind in ("braced", "plain"):
            word.append(("var", value, False))
        else:
            word.append(("text", value, kind == "escaped"))
        line += match.group().count("\n")
    finish()
    return found


def _inside(value: str) -> Iterator[tuple[str, str, bool]]:
    at = 0
    for match in re.finditer(_INSIDE, value):
        yield "text", value[at : match.start()], True
        if match.group(1) is not None:
            yield "text", match.group(1).strip("\n"), True
        else:
            yield "var", match.group(2) or match.group(3), True
        at = match.end()
    yield "text", value[at:], True


class _Parser:
    """Commands and their blocks out of tokens; what is no GRUB script comes out as commands nobody knows."""

    def __init__(self, tokens: _Tokens) -> None:
        self.tokens = tokens
        self.at = 0

    def _keyword(self) -> str | None:
        if self.at >= len(self.tokens):
            return None
        token = self.tokens[self.at][0]
        if isinstance(token, str):
            return token
        return token[0][1] if len(token) == 1 and token[0][0] == "text" and not token[0][2] else ""

    def block(self, until: tuple[str, ...], depth: int = 0) -> list[_Statement]:
        """Return the statements up to one of these words, which stays."""
        found: list[_Statement] = []
        while True:
            word = self._keyword()
            if word is None or word in until:
                return found
            if word in ("\n", ";", "{", "}", "then", "do"):
                self.at += 1
            elif word == "if" and depth < DEPTH_LIMIT:
                found.append(self._if(depth + 1))
            elif word in ("for", "while", "until") and depth < DEPTH_LIMIT:
                # Loops make no entries in any known configuration.
                self.at += 1
                self.block(("done",), depth + 1)
                self.at += 1
            else:
                found.append(self._command(depth))

    def _if(self, depth: int) -> _If:
        branches = []
        otherwise: list[_Statement] = []
        while self._keyword() in ("if", "elif"):
            self.at += 1
            condition = self.block(("then", "fi"), depth)
            branches.append((condition, self.block(("elif", "else", "fi"), depth)))
        if self._keyword() == "else":
            self.at += 1
            otherwise = self.block(("fi",), depth)
        self.at += 1
        return _If(branches, otherwise)

    def _command(self, depth: int) -> _Command:
        words: list[Word] = []
        line = self.tokens[self.at][1]
        while self.at < len(self.tokens):
            token = self.tokens[self.at][0]
            if token in ("\n", ";", "}"):
                break
            self.at += 1
            if token == "{":
                if depth >= DEPTH_LIMIT:
                    continue
                body = self.block(("}",), depth + 1)
                self.at += 1
                return _Command(words, line, body)
            if not isinstance(token, str):
                words.append(token)
        return _Command(words, line, [])


class _Run:
    """Goes through the statements and keeps variables and entries."""

    def __init__(
        self,
        path: str,
        environment: dict[str, str],
        exists: Callable[[str], bool],
        blscfg: Callable[[dict[str, str]], list[Item]],
    ) -> None:
        self.path = path
        self.environment = environment
        self.exists = exists
        self.blscfg = blscfg
        # GRUB itself sets these; every feature_ that a configuration asks for is there.
        self.variables: dict[str, str] = {"prefix": "/boot/grub", "menuentry_id_option": "--id"}
        self.default_line: int | None = None
        self.count = 0

    def words(self, command: _Command) -> list[str]:
        """Return the command's words, variables expanded."""
        found = []
        room = EXPANDED_LIMIT
        for word in command.words:
            parts = []
            for kind, value, _quoted in word:
                said = value if kind == "text" else self._variable(value)
                room -= len(said)
                parts.append(said if room > 0 else "")
            text = "".join(parts)
            # An unquoted variable that is empty is no word at all.
            if text or any(quoted or kind == "text" for kind, _value, quoted in word):
                found.append(text)
        return found

    def _variable(self, name: str) -> str:
        if name.startswith("feature_"):
            return "y"
        return self.variables.get(name, "")

    def items(self, statements: list[_Statement]) -> list[Item]:
        """Run statements of the top or of a submenu and return the entries that they make."""
        found: list[Item] = []
        for command, words in self.commands(statements):
            if words[0] == "blscfg":
                found.extend(self.blscfg(self.variables))
            elif words[0] in ("menuentry", "submenu") and self.count < ENTRY_LIMIT:
                self.count += 1
                found.append(self._item(command, words))
        return found

    def commands(self, statements: list[_Statement]) -> Iterator[tuple[_Command, list[str]]]:
        """Run statements and yield the commands that are neither tests nor assignments."""
        for statement in statements:
            if isinstance(statement, _If):
                chosen = next(
                    (body for condition, body in statement.branches if self.true(condition)),
                    statement.otherwise,
                )
                yield from self.commands(chosen)
                continue
            words = self.words(statement)
            if not words:
                continue
            if words[0] in ("set", "export") or (len(words) == 1 and "=" in words[0]):
                self._set(words[-1], statement.line)
            elif words[0] == "unset":
                self.variables.pop(words[-1], None)
            elif words[0] == "load_env":
                self.variables.update(self.environment)
            elif words[0] != "function":
                yield statement, words

    def _set(self, assignment: str, line: int) -> None:
        name, equals, value = assignment.partition("=")
        if equals:
            self.variables[name] = value
            if name == "default":
                self.default_line = line

    def true(self, condition: list[_Statement]) -> bool:
        """Return whether a condition holds; a command that is no test is taken to succeed."""
        answer = True
        for statement in condition:
            if isinstance(statement, _If):
                continue
            words = self.words(statement)
            if not words:
                continue
            negated = words[0] == "!"
            words = words[1:] if negated else words
            if words and words[0] in ("[", "test"):
                # Cut, so that no condition is deep enough to run out of stack.
                answer = self._test((words[1:-1] if words[-1] == "]" else words[1:])[:100])
            else:
                answer = True
            answer ^= negated
        return answer

    def _test(self, words: list[str]) -> bool:
        for joint, both in (("-o", any), ("-a", all)):
            if joint in words:
                at = words.index(joint)
                return both((self._test(words[:at]), self._test(words[at + 1 :])))
        if words[:1] == ["!"]:
            return not self._test(words[1:])
        if len(words) == 2 and words[0] in ("-s", "-f", "-e", "-d"):
            return self.exists(words[1])
        if len(words) == 2 and words[0] in ("-n", "-z"):
            return bool(words[1]) == (words[0] == "-n")
        if len(words) == 1:
            return bool(words[0]) and words[0] not in ("-n",)
        if len(words) == 3:
            left, operator, right = words
            if operator in ("=", "=="):
                return left == right
            if operator == "!=":
                return left != right
            try:
                numbers = (int(left), int(right))
            except ValueError:
                return False
            order = (numbers[0] > numbers[1]) - (numbers[0] < numbers[1])
            return {"-eq": order == 0, "-ne": order != 0, "-lt": order < 0, "-gt": order > 0}.get(
                operator, order <= 0 if operator == "-le" else order >= 0
            )
        return False

    def _item(self, command: _Command, words: list[str]) -> Item:
        title = item_id = ""
        at = 1
        while at < len(words):
            word = words[at]
            if word.startswith("--") or word in ("-",):
                name, equals, value = word.partition("=")
                if not equals and name in ("--id", "--class", "--users", "--hotkey", "--source"):
                    at += 1
                    value = words[at] if at < len(words) else ""
                if name == "--id":
                    item_id = value
            elif not title:
                title = word
            at += 1
        if words[0] == "submenu":
            children = tuple(self.items(command.block))
            return Item(title, item_id, None, None, (), self.path, command.line, children, True)
        return self._kernel(command, title, item_id)

    def _kernel(self, command: _Command, title: str, item_id: str) -> Item:
        kernel = cmdline = None
        initrd: tuple[str, ...] = ()
        line = command.line
        hypervisor = False
        for inner, words in self.commands(command.block):
            name = words[0]
            if name in ("linux", "linux16", "linuxefi") and len(words) > 1:
                kernel, cmdline, line = words[1], " ".join(words[2:]), inner.line
            elif name in ("initrd", "initrd16", "initrdefi"):
                initrd = tuple(words[1:])
            elif name in ("multiboot", "multiboot2", "xen_hypervisor"):
                hypervisor = True
            elif hypervisor and kernel is None and name in ("module", "module2", "xen_module", "xen_linux"):
                words = [word for word in words[1:] if word != "--nounzip"]
                if words:
                    kernel, cmdline, line = words[0], " ".join(words[1:]), inner.line
        return Item(title, item_id, kernel, cmdline, initrd, self.path, line)


def parse_config(
    content: str,
    path: str = "grub.cfg",
    environment: dict[str, str] | None = None,
    exists: Callable[[str], bool] = lambda path: True,
    blscfg: Callable[[dict[str, str]], list[Item]] = lambda variables: [],
) -> Menu:
    r"""Return the menu that a GRUB 2 configuration makes.

    Args:
        content: the script.
        path: where it was read, for the items.
        environment: what `load_env` brings.
        exists: whether GRUB finds a file, asked by `[ -s FILE ]`.
        blscfg: the items that the command `blscfg` adds, from GRUB's variables.

    >>> menu = parse_config('set default=1\nmenuentry A { linux /a ro }\nmenuentry B { linux /b rw x }')
    >>> choose(menu.items, menu.default).cmdline
    'rw x'

    """
    run = _Run(path, dict(environment or {}), exists, blscfg)
    items = run.items(_Parser(_tokens(content)).block(()))
    return Menu(tuple(items), run.variables.get("default", ""), run.variables, run.default_line)


def choose(items: tuple[Item, ...], default: str) -> Item | None:
    """Return the entry that `default` names; the first where it names none.

    A number counts from 0; otherwise it is a title or an id; `>` goes into a submenu, and a submenu
    itself stands for its first entry (GRUB manual, `default`).
    """
    first, _, rest = default.partition(">")
    # A title may hold a `>` of its own, written twice.
    chosen = None
    if first.strip().isdecimal():
        number = int(first)
        chosen = items[number] if number < len(items) else None
    elif first:
        chosen = next((item for item in items if first in (item.title, item.id)), None)
    if chosen is None:
        if not items:
            return None
        chosen, rest = items[0], ""
    if chosen.is_submenu:
        return choose(chosen.children, rest)
    return chosen


def flat(items: tuple[Item, ...]) -> Iterator[Item]:
    """Yield the entries, those of submenus where the submenu stands."""
    for item in items:
        if item.is_submenu:
            yield from flat(item.children)
        else:
            yield item


def parse_legacy(content: str, path: str = "menu.lst") -> Menu:
    r"""Return the menu of GRUB 0.97 (menu.lst, or grub.conf on EL 6).

    >>> menu = parse_legacy("default=1\ntitle A\n kernel /a ro\ntitle B\n kernel /b quiet\n")
    >>> choose(menu.items, menu.default).kernel
    '/b'
    """
    items: list[Item] = []
    default = ""
    default_line = None
    for number, line in enumerate(content.split("\n"), 1):
        line = line.strip()
        words = line.split()
        if line.startswith("default") and not items:
            default, default_line = line[len("default") :].strip(" \t="), number
        elif not words or words[0].startswith("#"):
            continue
        elif words[0] == "title":
            items.append(Item(line[len("title") :].strip(), "", None, None, (), path, number))
        elif words[0] == "kernel" and items and len(words) > 1:
            arguments = [word for word in words[1:] if not word.startswith("--")]
            if arguments:
                items[-1] = items[-1]._replace(
                    kernel=arguments[0], cmdline=" ".join(arguments[1:]), line=number
                )
        elif words[0] == "initrd" and items:
            items[-1] = items[-1]._replace(initrd=tuple(words[1:]))
    return Menu(tuple(items), default, {}, default_line)
