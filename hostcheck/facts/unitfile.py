"""The language of systemd's unit files: text in, typed values out. Nothing here asks a host.

Source: systemd.syntax(7), systemd.unit(5), systemd.exec(5), systemd.service(5), and where they are silent
src/shared/conf-parser.c, src/core/load-fragment.c, src/basic/extract-word.c and env-util.c of systemd.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, Optional

WHITESPACE = " \t\n\r"
INFINITY = "infinity"
U64_MAX = (1 << 64) - 1

SECTIONS = {
    "service": ("Unit", "Service", "Install"),
    "socket": ("Unit", "Socket", "Install"),
    "slice": ("Unit", "Slice", "Install"),
    "target": ("Unit", "Install"),
    "timer": ("Unit", "Timer", "Install"),
    "path": ("Unit", "Path", "Install"),
    "mount": ("Unit", "Mount", "Install"),
}
"""The sections that each type of unit knows; what stands in another is ignored with a warning."""

CONTROLLERS = (
    "cpu",
    "cpuacct",
    "cpuset",
    "io",
    "blkio",
    "memory",
    "devices",
    "pids",
    "bpf-firewall",
    "bpf-devices",
)
"""Names that Delegate= takes, in the order in which systemd prints them (src/basic/cgroup-util.c)."""


class Assignment(NamedTuple):
    """One `key=value` of a file."""

    section: str
    key: str
    value: str
    path: str
    line: int


class Problem(NamedTuple):
    """Something in a unit file that systemd passes over, as its log would say."""

    path: str
    line: int
    section: str
    key: str
    value: str
    reason: str


class Parsed(NamedTuple):
    """What a unit file says."""

    assignments: tuple[Assignment, ...]
    problems: tuple[Problem, ...]
    broken: bool
    """Whether systemd gives up on it in the middle (a section header without its bracket)."""


class Limit(NamedTuple):
    """A resource limit; numbers or `infinity`."""

    soft: str
    hard: str


class Command(NamedTuple):
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


def parse_unit(
    text: str, path: str = "", sections: tuple[str, ...] = ("Unit", "Service", "Install")
) -> Parsed:
    r"""Read a unit file or a drop-in.

    >>> parse_unit("[Service]\nExecStart=/bin/a \\\n# note\n  -b\n").assignments
    (Assignment(section='Service', key='ExecStart', value='/bin/a  -b', path='', line=4),)
    """
    assignments: list[Assignment] = []
    problems: list[Problem] = []
    section: Optional[str] = None
    ignored = False
    pending: Optional[str] = None
    lines = text.removeprefix("\ufeff").split("\n")
    if lines and lines[-1] == "":
        lines.pop()
    number = 0
    for number, raw in enumerate(lines, 1):
        line = raw.rstrip("\r").lstrip(WHITESPACE)
        if line[:1] in ("#", ";") and line:
            continue
        line = line if pending is None else pending + line
        backslashes = len(line) - len(line.rstrip("\\"))
        if backslashes % 2:
            pending = line[:-1] + " "
            continue
        pending = None
        section, ignored, alive = _take(
            line.strip(WHITESPACE), path, number, sections, section, ignored, assignments, problems
        )
        if not alive:
            return Parsed(tuple(assignments), tuple(problems), True)
    if pending is not None:
        section, ignored, alive = _take(
            pending.strip(WHITESPACE), path, number, sections, section, ignored, assignments, problems
        )
        if not alive:
            return Parsed(tuple(assignments), tuple(problems), True)
    return Parsed(tuple(assignments), tuple(problems), False)


def _take(
    line: str,
    path: str,
    number: int,
    sections: tuple[str, ...],
    section: Optional[str],
    ignored: bool,
    assignments: list[Assignment],
    problems: list[Problem],
) -> tuple[Optional[str], bool, bool]:
    """Take one logical line; return the section from here on, whether it is ignored, and whether to go on."""
    if not line:
        return section, ignored, True
    if line.startswith("["):
        if not line.endswith("]"):
            problems.append(
                Problem(path, number, "", line, "", "a section header without its closing bracket")
            )
            return section, ignored, False
        name = line[1:-1]
        if name in sections:
            return name, False, True
        if not name.startswith("X-"):
            problems.append(Problem(path, number, name, "", "", f"no section [{name}] is known here"))
        return None, True, True
    key, equals, value = line.partition("=")
    if section is None:
        if not ignored:
            problems.append(
                Problem(path, number, "", key.strip(WHITESPACE), "", "an assignment before any section")
            )
        return section, ignored, True
    if not equals:
        problems.append(Problem(path, number, section, line, "", "a line without ="))
        return section, ignored, True
    assignments.append(Assignment(section, key.strip(WHITESPACE), value.strip(WHITESPACE), path, number))
    return section, ignored, True


def parse_boolean(text: str) -> Optional[bool]:
    """Return what systemd takes a word for, None if for neither (case does not matter).

    >>> parse_boolean("On"), parse_boolean("f"), parse_boolean("maybe")
    (True, False, None)
    """
    word = text.lower()
    if word in ("1", "yes", "y", "true", "t", "on"):
        return True
    if word in ("0", "no", "n", "false", "f", "off"):
        return False
    return None


def parse_number(text: str) -> Optional[int]:
    """Return an unsigned 64-bit number as strtoull(3) with base 0 and systemd's safe_atou64 read it.

    >>> parse_number("0x10"), parse_number("010"), parse_number("-1"), parse_number("1 # no")
    (16, 8, None, None)
    """
    word = text.lstrip(" \t\n\r\v\f")
    if word.startswith("+"):
        word = word[1:]
    base = 10
    if word[:2] in ("0x", "0X"):
        base, word = 16, word[2:]
    elif word[:2] in ("0b", "0B"):
        base, word = 2, word[2:]
    elif word[:2] in ("0o", "0O"):
        base, word = 8, word[2:]
    elif len(word) > 1 and word.startswith("0"):
        base, word = 8, word[1:]
    if not word or not word.isascii() or not word.isalnum():
        return None
    try:
        number = int(word, base)
    except ValueError:
        return None
    return number if number <= U64_MAX else None


_SIZES = {"E": 1 << 60, "P": 1 << 50, "T": 1 << 40, "G": 1 << 30, "M": 1 << 20, "K": 1 << 10, "B": 1, "": 1}


def parse_size(text: str) -> Optional[int]:
    """Return bytes: parts of a number and a suffix of base 1024, each smaller than the one before.

    >>> parse_size("1.5K"), parse_size("2G 1M"), parse_size("1k"), parse_size("")
    (1536, 2148532224, None, None)
    """
    total = 0
    rest = text.lstrip(WHITESPACE)
    last = 1 << 70
    if not rest:
        return None
    while rest:
        digits = 0
        while digits < len(rest) and (rest[digits].isdigit() or rest[digits] == "."):
            digits += 1
        number, rest = rest[:digits], rest[digits:].lstrip(WHITESPACE)
        if not number or number.startswith(".") or number.count(".") > 1 or not number.isascii():
            return None
        suffix = rest[:1] if rest[:1] in _SIZES else ""
        factor = _SIZES[suffix]
        if factor >= last or (rest and not suffix and not rest[0].isdigit()):
            return None
        whole, _, part = number.partition(".")
        total += int(whole) * factor + (int(part) * factor // 10 ** len(part) if part else 0)
        rest, last = rest[len(suffix) :].lstrip(WHITESPACE), factor
    return total if total <= U64_MAX else None


_SPANS = {
    "us": 1, "usec": 1, "µs": 1, "μs": 1, "ms": 10**3, "msec": 10**3,
    "s": 10**6, "sec": 10**6, "second": 10**6, "seconds": 10**6,
    "m": 60 * 10**6, "min": 60 * 10**6, "minute": 60 * 10**6, "minutes": 60 * 10**6,
    "h": 3600 * 10**6, "hr": 3600 * 10**6, "hour": 3600 * 10**6, "hours": 3600 * 10**6,
    "d": 86400 * 10**6, "day": 86400 * 10**6, "days": 86400 * 10**6,
    "w": 604800 * 10**6, "week": 604800 * 10**6, "weeks": 604800 * 10**6,
    "M": 2629800 * 10**6, "month": 2629800 * 10**6, "months": 2629800 * 10**6,
    "y": 31557600 * 10**6, "year": 31557600 * 10**6, "years": 31557600 * 10**6,
}  # fmt: skip


def parse_span(text: str, unit: int = 10**6) -> Optional[int]:
    """Return a time span in microseconds (systemd.time(7)); -1 for infinity, None if it is none.

    >>> parse_span("1min 30s"), parse_span("60"), parse_span("infinity"), parse_span("60x")
    (90000000, 60000000, -1, None)
    """
    rest = text.strip(WHITESPACE)
    if rest == INFINITY:
        return -1
    if not rest:
        return None
    total = 0
    while rest:
        digits = 0
        while digits < len(rest) and (rest[digits].isdigit() or rest[digits] == "."):
            digits += 1
        number, rest = rest[:digits], rest[digits:].lstrip(WHITESPACE)
        letters = 0
        while letters < len(rest) and rest[letters].isalpha():
            letters += 1
        suffix, rest = rest[:letters], rest[letters:].lstrip(WHITESPACE)
        if not number.isascii() or number.count(".") > 1 or not number.strip("."):
            return None
        factor = _SPANS.get(suffix) if suffix else unit
        if factor is None:
            return None
        whole, _, part = number.partition(".")
        total += int(whole or "0") * factor + (int(part) * factor // 10 ** len(part) if part else 0)
    return total


def format_span(microseconds: int) -> str:
    """Return a time span as `systemctl show` prints it.

    >>> format_span(90000000), format_span(-1), format_span(100000), format_span(2500000)
    ('1min 30s', 'infinity', '100ms', '2.500000s')
    """
    if microseconds < 0:
        return INFINITY
    if microseconds == 0:
        return "0"
    parts = []
    for suffix, digits in (
        ("y", 0),
        ("month", 0),
        ("w", 0),
        ("d", 0),
        ("h", 0),
        ("min", 0),
        ("s", 6),
        ("ms", 3),
        ("us", 0),
    ):
        count, rest = divmod(microseconds, _SPANS[suffix])
        if count and rest and digits:
            # Below a minute one unit with a point stands for all that is left.
            parts.append(f"{count}.{rest:0{digits}d}{suffix}")
            break
        if count:
            parts.append(f"{count}{suffix}")
        microseconds = rest
    return " ".join(parts)


_SIZE_LIMITS = ("FSIZE", "DATA", "STACK", "CORE", "RSS", "AS", "MEMLOCK", "MSGQUEUE")


def parse_limit(resource: str, text: str) -> Optional[Limit]:
    """Return a resource limit, None where systemd ignores the text. `resource` is NOFILE, CORE, ...

    >>> parse_limit("NOFILE", "1024:infinity"), parse_limit("NOFILE", "64K"), parse_limit("CORE", "1K")
    (Limit(soft='1024', hard='infinity'), None, Limit(soft='1024', hard='1024'))
    """
    soft_text, colon, hard_text = text.partition(":")
    soft = _limit_number(resource, soft_text)
    hard = _limit_number(resource, hard_text) if colon else soft
    if soft is None or hard is None:
        return None
    if soft != INFINITY and hard != INFINITY and int(soft) > int(hard):
        return None
    if soft == INFINITY and hard != INFINITY:
        return None
    return Limit(soft, hard)


def _limit_number(resource: str, text: str) -> Optional[str]:
    if text == INFINITY:
        return INFINITY
    number: Optional[int]
    if resource in _SIZE_LIMITS:
        number = parse_size(text)
    elif resource in ("CPU", "RTTIME"):
        number = parse_span(text, 10**6 if resource == "CPU" else 1)
        if number is not None and resource == "CPU":
            number = -(-number // 10**6)
    elif resource == "NICE" and text[:1] in ("+", "-"):
        nice = parse_number(text[1:])
        number = None if nice is None else 20 - (nice if text[0] == "+" else -nice)
    else:
        number = parse_number(text)
    if number is None or not 0 <= number < U64_MAX:
        return None
    return str(number)


def parse_tasks_max(text: str) -> Optional[str]:
    """Return a task limit: a number, `infinity`, or a percentage as it stands; None where systemd ignores it.

    >>> [parse_tasks_max(t) for t in ("8192", "12.5%", "200%", "0", "max", "infinity")]
    ['8192', '12.5%', None, None, None, 'infinity']
    """
    if text == INFINITY:
        return INFINITY
    if permyriad(text) is not None:
        return text
    number = parse_number(text)
    return str(number) if number is not None and 0 < number < U64_MAX else None


def permyriad(text: str) -> Optional[int]:
    """Return a share in ten-thousandths from a percentage (or permille, permyriad), None if it is none up to 100 %.

    >>> permyriad("12.5%"), permyriad("125‰"), permyriad("101%")
    (1250, 1250, None)
    """
    for sign, factor, places in (("%", 100, 2), ("‰", 10, 1), ("‱", 1, 0)):
        if text.endswith(sign):
            whole, dot, part = text[: -len(sign)].partition(".")
            if (
                not whole.isascii()
                or not whole.isdigit()
                or (dot and not (part.isdigit() and len(part) <= places))
            ):
                return None
            value = int(whole) * factor + (int(part.ljust(places, "0")) if part else 0)
            return value if value <= 10000 else None
    return None


def parse_delegate(
    values: list[str], all_controllers: tuple[str, ...]
) -> tuple[bool, tuple[str, ...], list[str]]:
    """Return whether a unit is delegated after these assignments, its controllers, and the words ignored.

    >>> parse_delegate(["no", "cpu foo", "memory"], CONTROLLERS)
    (True, ('cpu', 'memory'), ['foo'])
    """
    delegated = False
    controllers: set[str] = set()
    unknown: list[str] = []
    for value in values:
        switch = None if not value else parse_boolean(value)
        if not value:
            delegated, controllers = True, set()
        elif switch is None:
            delegated = True
            for word in value.split():
                if word in CONTROLLERS:
                    controllers.add(word)
                else:
                    unknown.append(word)
        else:
            delegated = switch
            controllers = set(all_controllers) if switch else set()
    return delegated, tuple(name for name in CONTROLLERS if name in controllers), unknown


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
    return bool(name) and name.isascii() and not name[0].isdigit() and name.replace("_", "a").isalnum()


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


_KNOWN_SPECIFIERS = "aAbBCdDEfgGhHiIjJlLmMnNopPqsStTuUvVwWyY%"


def expand_specifiers(text: str, known: Mapping[str, str]) -> str:
    """Return `text` with its %-specifiers replaced; those that only a running machine knows stay as they are.

    Raises:
        ValueError: a % before another letter or digit, for which systemd (since 236) drops the assignment.

    >>> expand_specifiers("%n 100%% %H 5%-", {"n": "a.service"})
    'a.service 100% %H 5%-'
    """
    if "%" not in text:
        return text
    out: list[str] = []
    at = 0
    while at < len(text):
        char = text[at : at + 2]
        if text[at] != "%" or len(char) < 2:
            out.append(text[at])
            at += 1
            continue
        letter = char[1]
        if letter == "%":
            out.append("%")
        elif letter in known:
            out.append(known[letter])
        elif letter in _KNOWN_SPECIFIERS or not (letter.isascii() and letter.isalnum()):
            out.append(char)
        else:
            raise ValueError(f"%{letter} is no specifier (a percent sign is written %%)")
        at += 2
    return "".join(out)
