"""`hostcheck why`: from an engine's message to the conditions of this host behind it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence

from hostcheck import plugins
from hostcheck._typing import Any, TextIO
from hostcheck.finding import Outcome, Report, Result, Severity
from hostcheck.host import Host
from hostcheck.policy import DEFAULT, Policy
from hostcheck.symptoms import PEOPLE, Match, load, search, search_text

OK, FAILED, USAGE, UNDECIDED = 0, 1, 2, 3

STDIN_LIMIT = 64 * 1024 * 1024
"""Characters of standard input that are read: a journal may be of any length."""

SHOWN = 5
"""Messages of a log that are shown without -v; the checks of all of them are run."""

_EPILOG = """\
examples:
  hostcheck why 'failed to start daemon: Devices cgroup isn'"'"'t mounted'
  journalctl -b -u docker | hostcheck why -
  hostcheck why --root host.tar.gz 'no space left on device'      the checks are run on a recording

exit codes:
  0  the message is known, and nothing of what causes it is found here, or it is harmless
  1  a condition that causes it, or may have to do with it, is found here
  2  the command line is wrong
  3  the message is not known, or nothing fails but a check cannot tell
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `why` to the commands."""
    parser = commands.add_parser(
        "why",
        help="what causes an engine's message, and whether that is so here",
        description="Say what an engine's error message means, and check the conditions behind it here.",
        epilog=_EPILOG,
    )
    parser.add_argument(
        "text", nargs="+", metavar="TEXT", help="the message, or - for a log on standard input"
    )
    parser.add_argument(
        "--root", metavar="PATH", help="look at a root tree or a recording instead of this host"
    )
    parser.add_argument(
        "-f", "--format", choices=["text", "json"], default="text", help="text or json (default: text)"
    )
    parser.add_argument(
        "--policy", default=DEFAULT, metavar="NAME|FILE", help=f"whose parameters count (default: {DEFAULT})"
    )
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="show what passes too, and every message"
    )


def run(options: argparse.Namespace, host: Host) -> int:
    """Search the text, run the checks that belong to it, write what was found, return the exit code."""
    text = " ".join(options.text)
    table = load()
    if text.strip() == "-":
        matches, lines = search(_stdin(sys.stdin), table)
    elif text.strip():
        matches, lines = search_text(text, table)
    else:
        print("hostcheck: there is no text; give a message, or - for standard input", file=sys.stderr)
        return USAGE
    wanted = _wanted(matches)
    report = _report(host, options.policy, wanted) if wanted else None
    if options.format == "json":
        _write_json(matches, lines, report)
    else:
        _write_text(matches, lines, report, options.verbose, sys.stdout)
    return _code(matches, report)


def _stdin(stream: TextIO) -> Iterator[str]:
    """Yield the lines of a stream, neither too many nor too long."""
    left = STDIN_LIMIT
    if hasattr(stream, "reconfigure"):
        # A journal may hold anything; what is not text is replaced.
        stream.reconfigure(errors="replace")
    while left > 0:
        line = stream.readline(min(left, 1 << 16))
        if not line:
            return
        left -= len(line)
        yield line


def _wanted(matches: Sequence[Match]) -> list[str]:
    """Return the checks of all messages, those of the most specific first."""
    return list(dict.fromkeys(check for match in matches for check in match.symptom.checks))


def _report(host: Host, name: str, wanted: Sequence[str]) -> Report:
    policy = Policy.load(name)
    everything = plugins.shipped(wanted if name == DEFAULT else ("*",))
    configured = policy.configure(everything, wanted)
    configured.sort(key=lambda item: wanted.index(item.check.id))
    return policy.judge(host, configured)


def _code(matches: Sequence[Match], report: Report | None) -> int:
    if report is None:
        return UNDECIDED
    own = {check for match in matches if not match.symptom.harmless for check in match.symptom.checks}
    results = [result for result in report.results if result.check in own and not result.waived]
    if any(result.outcome is Outcome.FAIL for result in results):
        return FAILED
    return UNDECIDED if any(r.outcome in (Outcome.UNKNOWN, Outcome.ERROR) for r in results) else OK


def _write_json(matches: Sequence[Match], lines: int, report: Report | None) -> None:
    import json

    from hostcheck.reporters.json import to_dict

    whole: dict[str, Any] = {
        "schema": 1,
        "known": bool(matches),
        "lines": lines,
        "symptoms": [
            {
                "line": match.line,
                "count": match.count,
                "by": match.symptom.by,
                "cause": match.symptom.cause,
                "harmless": match.symptom.harmless,
                "checks": list(match.symptom.checks),
            }
            for match in matches
        ],
        "report": to_dict(report) if report else None,
    }
    print(json.dumps(whole, indent=1, ensure_ascii=False))


def _write_text(
    matches: Sequence[Match], lines: int, report: Report | None, verbose: bool, stream: TextIO
) -> None:
    if report is None:
        _write(stream, _unknown(lines))
        return
    known = {result.check: result for result in report.results}
    said: set[str] = set()
    shown = matches if verbose else matches[:SHOWN]
    for match in shown:
        _write(stream, _symptom(match, known, said))
    if len(matches) > len(shown):
        _write(stream, [f"and {len(matches) - len(shown)} more messages that are known (-v shows them)", ""])
    _write(stream, _summary(matches, report))


def _unknown(lines: int) -> Iterator[str]:
    where = "This message is" if lines <= 1 else f"None of these {lines} lines is"
    yield f"{where} not known here, so nothing can be said about the cause."
    yield "`hostcheck` checks everything; `journalctl -b -u docker | hostcheck why -` searches the engine's log."


def _symptom(match: Match, known: dict[str, Result], said: set[str]) -> Iterator[str]:
    """Yield a message, what it means, and how the checks behind it ended; what was said before is not repeated."""
    times = f"   ({match.count} times)" if match.count > 1 else ""
    yield f'"{_cut(match.line)}"{times}'
    by = "" if match.symptom.by == PEOPLE else f"{match.symptom.by}: "
    yield f"  {by}{match.symptom.cause}"
    results = [known[check] for check in match.symptom.checks if check in known]
    for result in results:
        if result.outcome is Outcome.FAIL and result.check in said:
            yield f"  {_mark(result.severity)} {result.check}: see above"
        elif result.outcome is Outcome.FAIL:
            yield from _failure(result)
        elif result.outcome in (Outcome.UNKNOWN, Outcome.ERROR):
            yield f"  ? {result.check}: cannot tell: {result.reason}"
        said.add(result.check)
    fine = [result.check for result in results if result.outcome is Outcome.PASS]
    if fine:
        yield f"  ✓ {', '.join(fine)}"
    skipped: dict[str, list[str]] = {}
    for result in results:
        if result.outcome is Outcome.SKIP:
            skipped.setdefault(result.reason or "does not apply", []).append(result.check)
    for reason, checks in skipped.items():
        yield f"  - {', '.join(checks)}: {reason}"
    yield ""


def _mark(severity: Severity) -> str:
    return "i" if severity is Severity.INFO else "✗"


def _failure(result: Result) -> Iterator[str]:
    fixes: dict[str, None] = {}
    for finding in sorted(result.failures, key=lambda finding: -result.severity_of(finding).rank):
        where = f"   {finding.place}" if finding.path else ""
        severity = result.severity_of(finding)
        yield f"  {_mark(severity)} {result.check} ({severity}): {finding.sentence}{where}"
        if finding.fix:
            fixes.update(dict.fromkeys([finding.fix["hint"]] * bool(finding.fix["hint"])))
            fixes.update(dict.fromkeys(finding.fix["commands"]))
    for fix in fixes:
        yield f"      → {fix}"


def _summary(matches: Sequence[Match], report: Report) -> Iterator[str]:
    serious = {check for match in matches if not match.symptom.harmless for check in match.symptom.checks}
    failing = [r for r in report.results if r.outcome is Outcome.FAIL and r.check in serious]
    unknown = [r for r in report.results if r.outcome in (Outcome.UNKNOWN, Outcome.ERROR)]
    name = report.host["name"]
    if not serious:
        yield "The message is harmless by itself: look for another one."
    elif failing:
        grave = [result for result in failing if result.severity is not Severity.INFO]
        found = f"Found on {name}" if grave else f"Nothing is broken on {name}; what may have to do with it"
        ids = ", ".join(result.check for result in grave or failing)
        yield f"{found}: {ids}. `hostcheck explain {(grave or failing)[0].check}` says why it matters."
    elif unknown:
        yield f"Nothing that causes this was found on {name}, but {len(unknown)} of the checks cannot tell."
    else:
        yield f"None of the conditions that are known to cause this holds on {name} now."


def _cut(line: str) -> str:
    return line if len(line) <= 200 else line[:199] + "…"


def _write(stream: TextIO, lines: Iterator[str] | Sequence[str]) -> None:
    encoding = getattr(stream, "encoding", None) or "ascii"
    plain = str.maketrans({"✗": "x", "✓": "+", "→": ">", "…": "..."})
    for line in lines:
        text = line if encoding.lower().startswith("utf") else line.translate(plain)
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
