"""The report for a person: the answer, what blocks and what to type, and nothing else that asks for attention."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hostcheck._typing import TextIO
from hostcheck.finding import Finding, Outcome, Report, Result, Severity, Verdict
from hostcheck.reporters import Style

Piece = tuple[str, str]
"""A style's name and a text."""
Line = list[Piece]

TIE = "\N{NO-BREAK SPACE}"
"""Between words that stay on one line; a plain space where they are written."""

SHOWN = 6
"""Failing findings of one check that are shown without -v."""

REASONS = 3
"""Reasons for skipping that are shown without -v, the commonest first."""

_STYLES = {
    "": "",
    "bad": "bold red",
    "warn": "yellow",
    "unknown": "magenta",
    "good": "green",
    "dim": "dim",
    "bold": "bold",
    "command": "cyan",
}
_MARKS = {
    "bad": ("✗", "x"),
    "warn": ("!", "!"),
    "unknown": ("?", "?"),
    "note": ("i", "i"),
    "good": ("✓", "+"),
}
_VERDICTS = {
    Verdict.READY: "good",
    Verdict.WARNINGS: "warn",
    Verdict.NOT_READY: "bad",
    Verdict.CANNOT_TELL: "unknown",
}
_ASCII = str.maketrans({"·": "-", "→": ">", "…": "...", "✗": "x", "✓": "+", "—": "-", "≥": ">="})


def write(report: Report, stream: TextIO, style: Style) -> None:
    """Write the table. Without colour it is plain text, and rich is not even imported."""
    lines = list(_lines(report, style))
    if not style.color:
        for line in lines:
            text = "".join(text for _, text in line).rstrip()
            stream.write((text if style.unicode else _ascii(text)) + "\n")
        return
    # Imported here: it costs 64 ms, and only a terminal with colours needs it.
    from rich.console import Console
    from rich.text import Text

    console = Console(file=stream, force_terminal=True, width=max(style.width, 40), highlight=False)
    for line in lines:
        shown = Text()
        for name, text in line:
            shown.append(text if style.unicode else _ascii(text), style=_STYLES.get(name, ""))
        # What is long was broken where it may be; a path or a command stays whole for copying.
        console.print(shown, soft_wrap=True)


def write_all(reports: Sequence[Report], stream: TextIO, style: Style) -> None:
    """Write one table below the other, then a line a report with its verdict."""
    for report in reports:
        write(report, stream, style)
        stream.write("\n")
    column = max(len(str(report.host.get("name"))) for report in reports)
    for report in reports:
        name = str(report.host.get("name")).ljust(column)
        line = f"{name}  {str(report.verdict).upper()}"
        stream.write((line if style.unicode else _ascii(line)) + "\n")


def _ascii(text: str) -> str:
    return text.translate(_ASCII).encode("ascii", "replace").decode()


def _lines(report: Report, style: Style) -> Iterator[Line]:
    if style.verbosity >= 0:
        yield from _wrapped([("dim", _header(report))], style.width, "")
        yield []
    yield from _wrapped(_verdict(report, style.width), style.width, "    ")
    if style.verbosity < 0:
        return
    problems = _problems(report)
    notes = [result for result in _failures(report) if result.severity is Severity.INFO]
    column = min(max((len(result.check) for _, result in problems), default=0) + 2, 28)
    if problems:
        yield []
    untold: dict[str | None, list[Result]] = {}
    for kind, result in problems:
        if kind == "unknown":
            untold.setdefault(result.reason, []).append(result)
        else:
            yield from _problem(result, column, style)
    for alike in untold.values():
        yield from _untold(alike, column, style)
    yield from _waived(report, style)
    yield []
    if style.verbosity > 0:
        yield from _everything(report, style)
    yield from _folded(report, notes, style)
    yield []
    for line in _footer(report, problems):
        yield from _wrapped(line, style.width, "    ")


def _header(report: Report) -> str:
    host = report.host
    if host.get("kind") == "live":
        parts = [host.get("name"), host.get("os"), f"kernel {host.get('kernel') or 'unknown'}"]
        parts.append(f"cgroup {host['cgroup']}" if host.get("cgroup") else None)
    elif host.get("kind") == "file":
        parts = [host.get("name")]
    else:
        parts = [host.get("name"), host.get("os")]
        parts.append(f"boots kernel {host['kernel']}" if host.get("kernel") else "no kernel found")
        parts.append(f"cgroup {host['cgroup']} at boot" if host.get("cgroup") else None)
    if host.get("recording"):
        parts.append("from a recording")
    engines = host.get("engines") or {}
    if engines:
        parts.append(
            ", ".join(f"{name} {version or '(version unknown)'}" for name, version in engines.items())
        )
    elif host.get("stage") == "before":
        parts.append("no engine installed: checked as a host to install on")
    parts.append(f"policy {report.policy}")
    return " · ".join(str(part) for part in parts if part)


def _failures(report: Report) -> list[Result]:
    return [result for result in report.results if result.outcome is Outcome.FAIL and not result.waived]


def _problems(report: Report) -> list[tuple[str, Result]]:
    """Return what asks for attention: what blocks, what to improve, what cannot be told."""
    kinds = []
    for result in _failures(report):
        if result.severity is not Severity.INFO:
            kinds.append(("bad" if result.severity is Severity.REQUIRED else "warn", result))
    for result in report.undecided():
        if result.severity is not Severity.INFO or result.outcome is Outcome.ERROR:
            kinds.append(("unknown", result))
    order = {"bad": 0, "warn": 1, "unknown": 2}
    return sorted(kinds, key=lambda pair: order[pair[0]])


def _verdict(report: Report, width: int) -> Line:
    counts = {"bad": 0, "warn": 0, "unknown": 0}
    for kind, _ in _problems(report):
        counts[kind] += 1
    passes = sum(result.outcome is Outcome.PASS for result in report.results)
    skips = sum(result.outcome is Outcome.SKIP for result in report.results)
    waived = sum(bool(result.waived) for result in report.results)
    parts = [
        (f"{counts['bad']} block" + ("s" if counts["bad"] == 1 else ""), counts["bad"]),
        (f"{counts['warn']} to improve", counts["warn"]),
        (f"{counts['unknown']} cannot tell", counts["unknown"]),
        (f"{waived} waived", waived),
        (f"{passes} pass", passes),
        (f"{skips} do not apply" if skips != 1 else "1 does not apply", skips),
    ]
    text = "   ".join(words for words, count in parts if count)
    word = report.verdict.value.upper()
    took = f"{report.seconds:.2f} s"
    gap = width - len(word) - 4 - len(text) - len(took)
    line: Line = [(_VERDICTS[report.verdict], word), ("", "    " + text)]
    if gap >= 3:
        line.append(("dim", " " * gap + took))
    return line


def _problem(result: Result, column: int, style: Style) -> Iterator[Line]:
    name = result.check.ljust(column)
    failures = sorted(result.failures, key=lambda finding: -result.severity_of(finding).rank)
    relevant = [f for f in failures if result.severity_of(f) is not Severity.INFO] or failures
    shown = relevant if style.verbosity > 0 else relevant[:SHOWN]
    # One thing to type is shown once, under the last finding that it mends.
    said: set[tuple[str, ...]] = set()
    for number, finding in enumerate(shown):
        own = "bad" if result.severity_of(finding) is Severity.REQUIRED else "warn"
        own_mark = _MARKS[own][0 if style.unicode else 1]
        head = f"{own_mark} {name}" if number == 0 else f"{own_mark} {' ' * column}"
        yield from _sentence(head, own, finding.sentence, finding.place, style)
        later = [_fix(other) for other in shown[number + 1 :]]
        fix = _fix(finding)
        if fix and fix not in later and fix not in said:
            said.add(fix)
            for text in fix:
                yield [("dim", "    → "), ("command", text)]
    if len(relevant) > len(shown):
        yield [
            (
                "dim",
                f"  {' ' * column}… and {len(relevant) - len(shown)} more of {result.check} (-v shows them)",
            )
        ]


def _untold(alike: Sequence[Result], column: int, style: Style) -> Iterator[Line]:
    """Yield checks that lack an answer for the same reason: one cause is told once."""
    result, *others = alike
    mark = _MARKS["unknown"][0 if style.unicode else 1]
    word = "cannot tell" if result.outcome is Outcome.UNKNOWN else "the check broke"
    yield from _sentence(
        f"{mark} {result.check.ljust(column)}", "unknown", f"{word}: {result.reason}", "", style
    )
    if others:
        indent = " " * (column + 2) if style.width >= 90 else "    "
        names = ", ".join(other.check for other in others)
        yield from _wrapped([("dim", f"{indent}so too: {names}")], style.width, indent)


def _fix(finding: Finding) -> tuple[str, ...]:
    if not finding.fix:
        return ()
    hint = (finding.fix["hint"],) if finding.fix["hint"] else ()
    return (*hint, *finding.fix["commands"])


def _sentence(head: str, kind: str, message: str, where: str, style: Style) -> Iterator[Line]:
    """Yield a marked sentence, its place at the right edge, or below where there is no room."""
    indent = " " * len(head) if style.width >= 90 else "    "
    if style.width < 90:
        head = head.rstrip() + "  "
    room = len(head) + len(message) + 2 + len(where)
    line: Line = [(kind, head[:2]), ("bold", head[2:]), ("", message)]
    if room <= style.width:
        if where:
            line.append(("dim", " " * (style.width - room + 2) + where))
        yield line
        return
    yield from _wrapped(line, style.width, indent)
    if where:
        yield [("dim", indent + where)]


def _wrapped(line: Line, width: int, indent: str) -> Iterator[Line]:
    """Break a line at spaces, never inside a word: a path stays whole."""
    current: Line = []
    used = 0
    for name, text in line:
        for number, word in enumerate(text.split(" ")):
            gap = " " if number else ""
            if word and used + len(gap) + len(word) > width and used > len(indent):
                yield current
                current, used, gap = [("", indent)], len(indent), ""
            current.append((name, gap + word.replace(TIE, " ")))
            used += len(gap) + len(word)
    yield current


def _waived(report: Report, style: Style) -> Iterator[Line]:
    for result in report.results:
        if result.waived:
            until = result.waived["expires"] or "no date"
            text = f"waived until {until}: {result.waived['reason']}"
            yield from _wrapped([("dim", f"- {result.check}  {text}")], style.width, "    ")


def _everything(report: Report, style: Style) -> Iterator[Line]:
    """Yield every check with every finding, for -v."""
    for result in report.results:
        if result.outcome is Outcome.SKIP:
            yield [("dim", f"- {result.check}  skip: {result.reason}")]
            continue
        kind = "good" if result.outcome is Outcome.PASS else "unknown"
        if result.outcome is Outcome.FAIL:
            kind = "bad" if result.severity is Severity.REQUIRED else "warn"
        mark = _MARKS[kind][0 if style.unicode else 1]
        yield [
            (kind, f"{mark} "),
            ("bold", result.check),
            ("dim", f"  {result.outcome}  {result.seconds * 1000:.1f} ms"),
        ]
        if result.reason:
            yield [("", f"    {result.reason}")]
        for finding in result.findings:
            own = _MARKS["good" if finding.ok else "bad"][0 if style.unicode else 1]
            text = (
                finding.message
                if finding.message.startswith(finding.subject)
                else f"{finding.subject}: {finding.message}"
            )
            boot = " [boot]" if finding.when == "boot" else ""
            yield from _sentence(
                f"  {own} ", "good" if finding.ok else kind, text + boot, finding.place, style
            )
    yield []


def _folded(report: Report, notes: Sequence[Result], style: Style) -> Iterator[Line]:
    families: dict[str, int] = {}
    for result in report.results:
        if result.outcome is Outcome.PASS:
            family = result.check.partition(".")[0]
            families[family] = families.get(family, 0) + 1
    if families:
        words = "  ".join(f"{family}{TIE}{count}" for family, count in families.items())
        yield from _wrapped([("good", "pass"), ("", f"  {words}")], style.width, "      ")
    reasons: dict[str, int] = {}
    for result in report.results:
        if result.outcome is Outcome.SKIP:
            reasons[result.reason or ""] = reasons.get(result.reason or "", 0) + 1
    if reasons:
        ranked = sorted(reasons.items(), key=lambda item: -item[1])
        shown = ranked if style.verbosity > 0 else ranked[:REASONS]
        words = "  ".join(f"{reason}{TIE}({count})" for reason, count in shown)
        rest = sum(count for _, count in ranked[len(shown) :])
        words += f"  and {rest} more" if rest else ""
        yield from _wrapped([("dim", f"skip  {words}")], style.width, "      ")
    if notes and style.verbosity <= 0:
        words = "  ".join(result.check for result in notes)
        yield from _wrapped([("dim", f"note  {words}  (-v shows them)")], style.width, "      ")


def _footer(report: Report, problems: Sequence[tuple[str, Result]]) -> Iterator[Line]:
    if problems:
        yield [
            ("command", f"hostcheck explain {problems[0][1].check}"),
            ("dim", "   why this matters, and where the rule comes from"),
        ]
    elif report.host.get("stage") == "before" and not report.host.get("engines"):
        yield [("dim", "next: install the engine, then run hostcheck again")]
    else:
        yield [("dim", "hostcheck -v shows everything that was looked at")]
