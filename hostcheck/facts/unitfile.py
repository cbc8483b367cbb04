"""The language of systemd's unit files: text in, typed values out. Nothing here asks a host.

Source: systemd.syntax(7), systemd.unit(5), systemd.exec(5), systemd.service(5), and where they are silent
src/shared/conf-parser.c, src/core/load-fragment.c, src/basic/extract-word.c and env-util.c of systemd.
"""

from __future__ import annotations

from collections.abc import Mapping

from hostcheck._typing import Optional
from hostcheck.record import Record

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
    "automount": ("Unit", "Automount", "Install"),
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


class Assignment(Record):
    """One `key=value` of a file."""

    section: str
    key: str
    value: str
    path: str
    line: int


class Problem(Record):
    """Something in a unit file that systemd passes over, as its log would say."""

    path: str
    line: int
    section: str
    key: str
    value: str
    reason: str


class Parsed(Record):
    """What a unit file says."""

    assignments: tuple[Assignment, ...]
    problems: tuple[Problem, ...]
    broken: bool
    """Whether systemd gives up on it in the middle (a section header without its bracket)."""


class Limit(Record):
    """A resource limit; numbers or `infinity`."""

    soft: str
    hard: str


def parse_unit(
    text: str, path: str = "", sections: tuple[str, ...] = ("Unit", "Service", "Install")
) -> Parsed:
    r"""Read a unit file or a drop-in.

    >>> parse_unit("[Service]\nExecStart=/bin/a \\\n# note\n  -b\n").assignments
    (Assignment(section='Service', key='ExecStart', value='/bin/a  -b', path='', line=4),)
    """
    reader = _Reader(path, sections)
    lines = text.removeprefix("\ufeff").split("\n")
    if lines[-1] == "":
        lines.pop()
    pending: Optional[str] = None
    number = 0
    for number, raw in enumerate(lines, 1):
        line = raw.rstrip("\r").lstrip(WHITESPACE)
        if line.startswith(("#", ";")):
            # A comment between continued lines does not end them.
            continue
        line = line if pending is None else pending + line
        if (len(line) - len(line.rstrip("\\"))) % 2:
            pending = line[:-1] + " "
            continue
        pending = None
        if not reader.take(line.strip(WHITESPACE), number):
            break
    if pending is not None:
        reader.take(pending.strip(WHITESPACE), number)
    return Parsed(tuple(reader.assignments), tuple(reader.problems), reader.broken)


class _Reader:
    """What was read of a file so far."""

    def __init__(self, path: str, sections: tuple[str, ...]) -> None:
        self.path = path
        self.sections = sections
        self.assignments: list[Assignment] = []
        self.problems: list[Problem] = []
        self.broken = False
        self.section = ""
        self.ignored = False

    def note(self, number: int, section: str, key: str, reason: str) -> None:
        """Keep a problem."""
        self.problems.append(Problem(self.path, number, section, key, "", reason))

    def take(self, line: str, number: int) -> bool:
        """Take one logical line; return whether systemd reads on."""
        if not line:
            return True
        if line.startswith("["):
            return self.header(line, number)
        key, equals, value = (part.strip(WHITESPACE) for part in line.partition("="))
        if self.ignored:
            return True
        if not self.section:
            self.note(number, "", key, "an assignment before any section")
        elif not equals:
            self.note(number, self.section, line, "a line without =")
        else:
            self.assignments.append(Assignment(self.section, key, value, self.path, number))
        return True

    def header(self, line: str, number: int) -> bool:
        """Take a section's header."""
        if not line.endswith("]"):
            self.note(number, "", line, "a section header without its closing bracket")
            self.broken = True
            return False
        name = line[1:-1]
        self.ignored = name not in self.sections
        self.section = "" if self.ignored else name
        if self.ignored and not name.startswith("X-"):
            self.note(number, name, "", f"no section [{name}] is known here")
        return True


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
        while digits < len(rest) and (rest[digits].isdecimal() or rest[digits] == "."):
            digits += 1
        number, rest = rest[:digits], rest[digits:].lstrip(WHITESPACE)
        if not number or number.startswith(".") or number.count(".") > 1 or not number.isascii():
            return None
        suffix = rest[:1] if rest[:1] in _SIZES else ""
        factor = _SIZES[suffix]
        if factor >= last or (rest and not suffix and not rest[0].isdecimal()):
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
        while digits < len(rest) and (rest[digits].isdecimal() or rest[digits] == "."):
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
                or not whole.isdecimal()
                or (dot and not (part.isdecimal() and len(part) <= places))
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
