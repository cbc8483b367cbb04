"""Command lines and environments in unit files: their words, quotes, escapes and variables.

Source: systemd.service(5), "Command lines"; systemd.exec(5), "Environment"; src/basic/extract-word.c, env-util.c and
env-file.c of systemd.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hostcheck._typing import Optional
from hostcheck.facts.unitfile import WHITESPACE
from hostcheck.record import Record


class Command(Record):
    """One command line of an Exec setting."""

    argv: tuple[str, ...]
    """The words, quotes and escapes resolved; the first is the program, or with `@` the name that it is given."""
    path: str
    """The file that says so."""
    line: int
    program: str = ""
    """What is executed: a path, or a bare name that systemd looks up."""
    prefixes: str = ""
    """Those of `-@:+!|` that stand before it."""

    @property
    def ignore_errors(self) -> bool:
        """Whether a failure of it does not matter."""
        return "-" in self.prefixes


_ESCAPES = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
    "\\": "\\", '"': '"', "'": "'", "s": " ",
}  # fmt: skip


def _unescape(text: str, at: int) -> Optional[tuple[str, int]]:
    r"""Return the character that the escape at `at` (behind the backslash) means, and its length; None if unknown."""
    char = text[at : at + 1]
    if char in _ESCAPES and char:
        return _ESCAPES[char], 1
    for lead, length, base in (("x", 2, 16), ("u", 4, 16), ("U", 8, 16), ("", 3, 8)):
        if lead and char != lead:
            continue
        digits = text[at + len(lead) : at + len(lead) + length]
        try:
            code = int(digits, base) if len(digits) == length and digits.isalnum() else 0
            if code and code <= 0x10FFFF:
                return chr(code), len(lead) + length
        except ValueError:
            pass
    return None


def next_word(text: str, at: int = 0, keep_escapes: bool = False) -> tuple[Optional[str], int]:
    """Return the word from `at` on with quotes and escapes resolved, and where the rest begins; None at the end.

    Unknown escapes stay as they are, as systemd warns and does.

    Raises:
        ValueError: a quote is not closed.

    """
    while at < len(text) and text[at] in WHITESPACE:
        at += 1
    if at >= len(text):
        return None, at
    word: list[str] = []
    quote = ""
    while at < len(text):
        char = text[at]
        if char == "\\" and not keep_escapes:
            if at + 1 >= len(text):
                word.append("\\")
                at += 1
                continue
            known = _unescape(text, at + 1)
            if known:
                word.append(known[0])
                at += 1 + known[1]
            else:
                word.append(text[at : at + 2])
                at += 2
            continue
        if quote:
            if char == quote:
                quote = ""
            else:
                word.append(char)
        elif char in "'\"":
            quote = char
        elif char in WHITESPACE:
            break
        else:
            word.append(char)
        at += 1
    if quote:
        raise ValueError("a quote is not closed")
    while at < len(text) and text[at] in WHITESPACE:
        at += 1
    return "".join(word), at


def split_words(text: str) -> list[str]:
    r"""Return the words of a value with quotes and escapes resolved.

    Raises:
        ValueError: a quote is not closed.

    >>> split_words("a 'b c' d\\x20e")
    ['a', 'b c', 'd e']
    """
    words: list[str] = []
    word, at = next_word(text)
    while word is not None:
        words.append(word)
        word, at = next_word(text, at)
    return words


def split_variable(text: str) -> list[str]:
    r"""Return the words of a variable that stands alone on a command line: quotes bind, an open one does no harm.

    >>> split_variable("--a --b='c d' \\e 1\"2")
    ['--a', '--b=c d', 'e', '12']
    """
    words: list[str] = []
    word: list[str] = []
    begun = False
    quote = ""
    at = 0
    while at < len(text):
        char = text[at]
        if char == "\\" and at + 1 < len(text):
            at += 1
            word.append(text[at])
            begun = True
        elif quote:
            if char == quote:
                quote = ""
            else:
                word.append(char)
        elif char in "'\"":
            quote, begun = char, True
        elif char in WHITESPACE:
            if begun:
                words.append("".join(word))
            word, begun = [], False
        else:
            word.append(char)
            begun = True
        at += 1
    if begun:
        words.append("".join(word))
    return words


def parse_commands(
    text: str, path: str = "", line: int = 0, specifier: Callable[[str], str] = lambda text: text
) -> list[Command]:
    r"""Return the command lines of one Exec assignment (several are parted by a lone `;`).

    Raises:
        ValueError: systemd refuses the line, and with it the unit; the text says why.

    >>> parse_commands("-/bin/a 'b c' ; /bin/d \\;")[0]
    Command(argv=('/bin/a', 'b c'), path='', line=0, program='/bin/a', prefixes='-')
    """
    commands: list[Command] = []
    at = 0
    while at < len(text):
        first, at = next_word(text, at)
        if first is None:
            break
        prefixes = ""
        while first[:1] and first[0] in "-@:+!|":
            if first[0] in prefixes and first[0] != "!":
                break
            prefixes += first[0]
            first = first[1:]
        ignored = "-" in prefixes
        first = specifier(first)
        program = _simplify(first)
        argv: list[str] = []
        if not program or program.endswith("/") or ("/" in program and not program.startswith("/")):
            if ignored:
                return commands
            raise ValueError(f"{program or text!r} is neither an absolute path nor a name")
        if "@" not in prefixes:
            argv.append(first)
        while at < len(text):
            if text[at] == ";" and text[at + 1 : at + 2] in ("", *WHITESPACE):
                at += 1
                while at < len(text) and text[at] in WHITESPACE:
                    at += 1
                break
            if text[at : at + 2] == "\\;" and text[at + 2 : at + 3] in ("", *WHITESPACE):
                argv.append(";")
                at += 2
                while at < len(text) and text[at] in WHITESPACE:
                    at += 1
                continue
            word, at = next_word(text, at)
            if word is None:
                break
            argv.append(specifier(word))
        if not argv:
            if ignored:
                return commands
            raise ValueError("nothing stands behind @")
        commands.append(Command(tuple(argv), path, line, program, prefixes))
    return commands


def _simplify(path: str) -> str:
    """Return a path without double slashes and `.` parts; a last slash stays, since systemd minds it."""
    if not path.startswith("/"):
        return path
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return "/" + "/".join(parts) + ("/" if path.endswith("/") and parts else "")


def parse_environment(
    text: str, specifier: Callable[[str], str] = lambda text: text
) -> tuple[dict[str, str], list[str]]:
    """Return the variables of one Environment= value, and the words that systemd ignores.

    >>> parse_environment('"A=1 2" B=3 C')
    ({'A': '1 2', 'B': '3'}, ['C'])
    """
    found: dict[str, str] = {}
    bad: list[str] = []
    try:
        words = split_words(text)
    except ValueError:
        return found, [text]
    for word in words:
        try:
            name, equals, value = specifier(word).partition("=")
        except ValueError:
            bad.append(word)
            continue
        if not equals or not is_variable(name):
            bad.append(word)
        else:
            found[name] = value
    return found, bad


def is_variable(name: str) -> bool:
    """Return whether this is the name of an environment variable.

    >>> is_variable("A_1"), is_variable("1A"), is_variable("a-b")
    (True, False, False)
    """
    return bool(name) and name.isascii() and not name[0].isdecimal() and name.replace("_", "a").isalnum()


def parse_env_file(text: str) -> dict[str, tuple[str, int]]:
    r"""Return the variables of an EnvironmentFile= and their lines. It is not a shell: `export` is no word of it.

    >>> parse_env_file("# c\nA='x y' \nB=\"1\\\"2\"\nexport C=3\nD=a\\\n b\n")
    {'A': ('x y', 2), 'B': ('1"2', 3), 'D': ('a b', 5)}
    """
    found: dict[str, tuple[str, int]] = {}
    at, line = 0, 1
    while at < len(text):
        while at < len(text) and text[at] in WHITESPACE:
            line += text[at] == "\n"
            at += 1
        if at >= len(text):
            break
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        if text[at] in "#;":
            while end < len(text) and text[end - 1] == "\\":
                line += 1
                following = text.find("\n", end + 1)
                end = len(text) if following < 0 else following
            at = end
            continue
        equals = text.find("=", at, end)
        if equals < 0:
            at = end
            continue
        name, start = text[at:equals].strip(WHITESPACE), line
        value, at, lines = _env_value(text, equals + 1)
        line += lines
        if is_variable(name):
            found[name] = (value, start)
    return found


def _env_value(text: str, at: int) -> tuple[str, int, int]:
    """Return a value, where the line ends, and how many line ends it swallowed.

    A quote counts at the beginning, and behind a closed one; elsewhere it is a character like others
    (parse_env_file_internal(), src/basic/env-file.c).
    """
    out: list[str] = []
    keep = 0
    quote = ""
    fresh = True
    lines = 0
    while at < len(text):
        char = text[at]
        if quote:
            lines += char == "\n"
            if char == quote:
                quote, fresh = "", True
            elif char == "\\" and quote == '"' and at + 1 < len(text):
                at += 1
                lines += text[at] == "\n"
                if text[at] in '"\\`$':
                    out.append(text[at])
                elif text[at] != "\n":
                    out.extend(("\\", text[at]))
            else:
                out.append(char)
            keep = len(out)
        elif char == "\n":
            break
        elif fresh and char in "'\"":
            quote = char
        elif fresh and char in WHITESPACE:
            pass
        elif char == "\\" and at + 1 < len(text):
            at += 1
            fresh = False
            if text[at] == "\n":
                lines += 1
            else:
                out.append(text[at])
                keep = len(out)
        else:
            fresh = False
            out.append(char)
            if char not in WHITESPACE:
                keep = len(out)
        at += 1
    return "".join(out[:keep]), at, lines


def expand(words: tuple[str, ...], environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return a command line with its variables, as systemd hands it to the program.

    A word `$A` becomes as many words as A holds, none if A is empty or unset; `${A}` in a word becomes its
    text; `$$` is a dollar sign. Source: systemd.service(5), replace_env_argv().

    >>> expand(("d", "$A", "-x=${B}", "$$C", "p$A"), {"A": "1 '2 3'", "B": "b"})
    ('d', '1', '2 3', '-x=b', '$C', 'p$A')
    """
    out: list[str] = []
    for word in words:
        if word.startswith("$") and word[1:2] not in ("{", "$") and is_variable(word[1:]):
            out.extend(split_variable(environment.get(word[1:], "")))
            continue
        text, at = [], 0
        while at < len(word):
            if word.startswith("$$", at):
                text.append("$")
                at += 2
            elif (
                word.startswith("${", at)
                and "}" in word[at:]
                and is_variable(word[at + 2 : word.index("}", at)])
            ):
                end = word.index("}", at)
                text.append(environment.get(word[at + 2 : end], ""))
                at = end + 1
            else:
                text.append(word[at])
                at += 1
        out.append("".join(text))
    return tuple(out)
