"""`hostcheck daemon-json`: any daemon.json, judged without a host: for editors, hooks and bulk use."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Iterable, Sequence

from hostcheck import __version__, output, plugins
from hostcheck._typing import Optional, TextIO
from hostcheck.facts import _daemon_keys, docker
from hostcheck.finding import Finding, Outcome, Report, Result, Severity
from hostcheck.host import Unavailable
from hostcheck.host.file import FileHost
from hostcheck.output import OutputError
from hostcheck.policy import DEFAULT, Policy, PolicyError
from hostcheck.reporters import FORMATS
from hostcheck.runner import Configured
from hostcheck.runner import run as run_checks
from hostcheck.versions import Version

OK, FAILED, USAGE, UNDECIDED = 0, 1, 2, 3

TEXT = "text"

STDIN = "<stdin>"
"""How standard input is called in messages, as compilers call it."""

FROM_FILE = frozenset(
    (
        "docker.daemon_json",
        "docker.flag_conflict",
        "docker.start_rules",
        "docker.duplicates",
        "docker.ignored_keys",
        "docker.null_booleans",
        "daemon.log_rotation",
        "daemon.tcp_tls",
        "daemon.modes",
        "daemon.address_pools",
        "daemon.data_root",
        "daemon.name_servers",
        "registry.answers",
        "registry.mirrors",
        "registry.insecure",
        "registry.proxies",
    )
)
"""The checks that a file alone answers; the others ask for programs, users or the kernel of a host."""

FAMILIES = ("docker.*", "daemon.*", "registry.*")

_DESCRIPTION = """\
Judge daemon.json files as dockerd would, without a host: nothing of this machine's docker is looked at, and what
depends on a host (files, users, programs) is not judged. A FILE of - is standard input.

The format text has one line for each finding, FILE:LINE:COLUMN: SEVERITY: MESSAGE, and below it how to mend it.
json has one report a file, a line each, in the order of the files: the keys of a host's report, and `file`,
`accepted` (whether dockerd takes the file, as `dockerd --validate` would say), `error` (why it could not be read,
or null) and in each finding `class`, `key` and `column`. The other formats have one report of all files.
"""

_EPILOG = """\
examples:
  hostcheck daemon-json daemon.json
  hostcheck daemon-json --docker-version 24.0.9 --flags "-H fd://" images/*/daemon.json
  jinja2 daemon.json.j2 | hostcheck daemon-json -f json -
  hostcheck daemon-json --online -v daemon.json          # does each mirror answer?
  hostcheck daemon-json --schema 28.5.2 > daemon.schema.json

exit codes:
  0  dockerd takes every file, and nothing fails at or above --fail-on
  1  dockerd refuses a file, or something fails
  2  the command line is wrong, or a file cannot be read; the others are judged all the same
  3  nothing fails, but something is unknown or broke (only with --strict)
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `daemon-json` to the commands."""
    parser = commands.add_parser(
        "daemon-json",
        help="judge daemon.json files without a host",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    parser.add_argument("files", nargs="*", metavar="FILE", help="a daemon.json, or - for standard input")
    parser.add_argument(
        "--docker-version",
        metavar="VERSION",
        help=f"the release that is to read them (default: the newest known, {_daemon_keys.NEWEST})",
    )
    parser.add_argument(
        "--flags",
        default="",
        metavar="FLAGS",
        help='the command line that dockerd is started with, such as "-H fd://" (one word: --flags=-D)',
    )
    parser.add_argument("--online", action="store_true", help="ask each registry mirror whether it answers")
    parser.add_argument(
        "--schema",
        nargs="?",
        const=_daemon_keys.NEWEST,
        metavar="VERSION",
        help="print a JSON Schema of what that release takes, for editors, and judge nothing",
    )
    parser.add_argument(
        "--policy",
        default=DEFAULT,
        metavar="NAME|FILE",
        help=f"a name from `hostcheck policies`, or a YAML file (default: {DEFAULT})",
    )
    for option, words in (("--select", "only these checks"), ("--ignore", "not these checks")):
        parser.add_argument(
            option, action="append", default=[], metavar="GLOB", help=f"{words}; may be repeated"
        )
    output.add_arguments(parser, (TEXT, *FORMATS), ("required", "recommended", "info"))


class Judged:
    """A file with its report; one that cannot be read has the reason instead."""

    __slots__ = ("accepted", "error", "file", "report")

    def __init__(self, file: str, report: Report, accepted: Optional[bool], error: str = "") -> None:
        """Keep them; `file` is as it was given."""
        self.file = file
        self.report = report
        self.accepted = accepted
        self.error = error


def read(file: str) -> bytes:
    """Return the bytes of a file or, for `-`, of standard input.

    Raises:
        OSError, Unavailable: it is missing, too large or no regular file; it is not waited for.

    """
    if file == "-":
        data = sys.stdin.buffer.read(docker.FILE_LIMIT + 1)
    else:
        from hostcheck.host.live import read_regular  # standard input does without it

        data = read_regular(file, file, docker.FILE_LIMIT + 1, 0)
    if len(data) > docker.FILE_LIMIT:
        shown = STDIN if file == "-" else file
        raise Unavailable(f"{shown} is larger than {docker.FILE_LIMIT >> 20} MiB: too large to judge")
    return data


class Judge:
    """What every file is judged with."""

    __slots__ = ("assumptions", "configured", "policy", "version")

    def __init__(
        self, version: str, flags: str, online: bool, policy: Policy, configured: Sequence[Configured]
    ) -> None:
        """Take the release, dockerd's flags, whether the network may be asked, the policy and its checks."""
        self.version = version
        self.policy = policy
        self.configured = configured
        self.assumptions = {"stage": "installed", "docker": version, "dockerd flags": flags}
        if online:
            self.assumptions["online"] = "yes"

    def host(self, path: str, data: bytes) -> FileHost:
        """Return the host of a file."""
        host = FileHost(path, data)
        host.assumptions.update(self.assumptions, **{"daemon.json": path})
        return host


def judge(file: str, by: Judge) -> Judged:
    """Return a file's report."""
    path = STDIN if file == "-" else file
    began = time.perf_counter()
    results: list[Result] = []
    accepted, wrong = None, ""
    try:
        host = by.host(path, read(file))
        accepted = docker.judgement(host).accepted
        results = run_checks(by.configured, host)
    except OSError as error:
        wrong = str(error) or type(error).__name__
    except Unavailable as error:
        wrong = str(error) if path in str(error) else f"{path}: {error}"
    if by.policy.waivers:
        import datetime  # most policies waive nothing

        by.policy.waive(results, datetime.datetime.now(datetime.timezone.utc).date())
    for result in results:
        for finding in result.findings:
            _detached(finding, path)
    about = {"kind": "file", "name": path, "stage": "installed", "engines": {"docker": by.version}}
    report = Report(
        about,
        by.policy.name,
        results,
        started=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        seconds=time.perf_counter() - began,
        version=__version__,
    )
    return Judged(file, report, accepted, wrong)


def _detached(finding: Finding, path: str) -> None:
    """Take from a finding what only a host has: a service to restart, and a file where there is only a text."""
    if finding.fix:
        commands = [c for c in finding.fix["commands"] if not c.startswith("systemctl ") and path != STDIN]
        finding.fix["commands"] = commands
        if not commands and not finding.fix["hint"]:
            finding.fix = None


def run(options: argparse.Namespace) -> int:
    """Judge the files, write what was found, return the exit code."""
    if options.schema:
        from hostcheck import daemon_schema  # editors ask for it once

        return daemon_schema.write(_version(options.schema, "--schema"), options)
    wanted = output.destinations(options, (TEXT, *FORMATS), TEXT)
    version = options.docker_version or _daemon_keys.NEWEST
    _version(version, "--docker-version")
    _usable(options)
    policy = Policy.load(options.policy)
    # An unchanged policy names no check of another family, so only these three are imported.
    everything = plugins.shipped(FAMILIES if options.policy == DEFAULT else ["*"])
    configured = policy.configure(everything, options.select, options.ignore)
    configured = [item for item in configured if item.check.id in FROM_FILE]
    if not options.flags.strip():
        configured = [item for item in configured if item.check.id != "docker.flag_conflict"]
    if not configured:
        raise PolicyError("no check is left to run: --select and --ignore take all away")
    by = Judge(version, options.flags, options.online, policy, configured)
    with contextlib.ExitStack() as streams:
        writers = [
            WRITERS.get(name, Merged)(name, streams.enter_context(output.opened(path)), version, options)
            for name, path in wanted
        ]
        code = _code((judge(file, by) for file in options.files), writers, options)
    sys.stdout.flush()
    return code


def _version(text: str, option: str) -> Version:
    try:
        return Version(text)
    except ValueError:
        raise OutputError(f"{option} {text}: not a version such as 28.5.2") from None


def _usable(options: argparse.Namespace) -> None:
    """Refuse a command line that cannot be meant."""
    import shlex

    try:
        shlex.split(options.flags)
    except ValueError as error:
        raise OutputError(f"--flags {options.flags}: {error}") from None
    if not options.files:
        raise OutputError("no file is named; - is standard input")
    if options.files.count("-") > 1:
        raise OutputError("standard input (-) can be read only once")


def _code(judged: Iterable[Judged], writers: Sequence[Writer], options: argparse.Namespace) -> int:
    """Write each file's report as soon as it is there; return the exit code."""
    unread = failed = undecided = False
    for one in judged:
        if one.error:
            print(f"hostcheck: {_printable(one.error, sys.stderr)}", file=sys.stderr)
            unread = True
        elif not one.accepted or one.report.failed(Severity(options.fail_on)):
            failed = True
        undecided = undecided or bool(one.report.undecided())
        for writer in writers:
            writer.add(one)
    for writer in writers:
        writer.end()
    if unread:
        return USAGE
    return FAILED if failed else UNDECIDED if options.strict and undecided else OK


class Writer:
    """Writes the reports in one format to one stream."""

    def __init__(self, name: str, stream: TextIO, version: str, options: argparse.Namespace) -> None:
        """Take the format's name, the stream, the release and the options."""
        self.name, self.stream, self.version, self.options = name, stream, version, options

    def add(self, one: Judged) -> None:
        """Take the next file's report."""

    def end(self) -> None:
        """Write what stands below all reports."""


class Lines(Writer):
    """A JSON object a file, a line each."""

    def add(self, one: Judged) -> None:
        """Write it."""
        self.stream.write(_json(one))


class Merged(Writer):
    """One report of all files, for the formats that know only one."""

    def __init__(self, name: str, stream: TextIO, version: str, options: argparse.Namespace) -> None:
        """Begin with nothing."""
        super().__init__(name, stream, version, options)
        self.kept: list[Judged] = []

    def add(self, one: Judged) -> None:
        """Keep it."""
        self.kept.append(one)

    def end(self) -> None:
        """Write the one report."""
        from hostcheck import reporters

        style = output.style(self.options, self.stream)
        reporters.write(self.name, [_merged(self.kept, self.version)], self.stream, style)


class Text(Writer):
    """A line for each finding that fails, as compilers write it."""

    def __init__(self, name: str, stream: TextIO, version: str, options: argparse.Namespace) -> None:
        """Begin with nothing counted."""
        super().__init__(name, stream, version, options)
        self.tally: dict[str, int] = {}

    def _count(self, name: str) -> None:
        self.tally[name] = self.tally.get(name, 0) + 1

    def _line(self, text: str) -> None:
        self.stream.write(_printable(text, self.stream) + "\n")

    def add(self, one: Judged) -> None:
        """Write what fails in it, and what cannot be told."""
        self._count("not read" if one.accepted is None else "accepted" if one.accepted else "refused")
        name = one.report.host["name"]
        for place, severity, finding in _failures(one):
            self._count(severity)
            if not self.options.quiet:
                self._line(f"{place}: {severity}: {_message(finding)}")
                for line in _hint(finding):
                    self._line(f"    {line}")
        if self.options.verbose:
            for result in one.report.results:
                for finding in result.findings:
                    if finding.ok:
                        # Such a message is often the value alone.
                        key = getattr(finding, "key", "") or finding.subject
                        about = "" if key in finding.message else f"{key}: "
                        self._line(f"{_place(name, finding)}: ok: {about}{finding.message}")
        for result in one.report.undecided():
            self._line(f"{name}: {result.outcome}: {result.check}: {result.reason}")

    def end(self) -> None:
        """Write the tally."""
        self.stream.write(_tally(self.tally, self.version, not self.options.docker_version))


WRITERS: dict[str, type[Writer]] = {TEXT: Text, "json": Lines}
"""The formats that have a report for each file."""


def _json(judged: Judged) -> str:
    import json

    from hostcheck.reporters.json import to_dict

    whole = to_dict(judged.report)
    if judged.error:
        whole["verdict"] = "cannot tell"
    for result, shown in zip(judged.report.results, whole["results"]):
        for finding, row in zip(result.findings, shown["findings"]):
            row["column"] = getattr(finding, "column", None)
            row["class"] = getattr(finding, "cls", "") or None
            row["key"] = getattr(finding, "key", "") or None
    head = {"file": judged.file, "accepted": judged.accepted, "error": judged.error or None}
    # In ASCII: the name of a file may be no text in any encoding.
    return json.dumps({**head, **whole}) + "\n"


def _failures(judged: Judged) -> list[tuple[str, str, Finding]]:
    """Return what is wrong in a file with place and severity, from its top to its end."""
    name = str(judged.report.host["name"])
    found = []
    for result in judged.report.results:
        if result.outcome is not Outcome.FAIL or result.waived:
            continue
        for finding in result.failures:
            at = (finding.line or 0, getattr(finding, "column", None) or 0)
            found.append((at, _place(name, finding), str(result.severity_of(finding)), finding))
    found.sort(key=lambda entry: entry[0])
    return [entry[1:] for entry in found]


def _place(name: str, finding: Finding) -> str:
    return f"{name}:{finding.line or 1}:{getattr(finding, 'column', None) or 1}"


def _message(finding: Finding) -> str:
    text = finding.sentence
    # The place stands in front already.
    tail = f" (line {finding.line}, column {getattr(finding, 'column', None)})"
    return text[: -len(tail)] if text.endswith(tail) else text


def _hint(finding: Finding) -> list[str]:
    if not finding.fix:
        return []
    return [finding.fix["hint"]] if finding.fix["hint"] else list(finding.fix["commands"])


def _printable(text: str, stream: TextIO) -> str:
    """Return a text that neither moves a terminal's cursor nor is too much for the stream's encoding."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    encoding = getattr(stream, "encoding", None) or "ascii"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _tally(tally: dict[str, int], version: str, assumed: bool) -> str:
    files = sum(tally.get(name, 0) for name in ("accepted", "refused", "not read"))
    parts = [f"{tally[name]} {name}" for name in ("accepted", "refused", "not read") if name in tally]
    findings = [f"{tally[name]} {name}" for name in ("required", "recommended", "info") if name in tally]
    said = ", the newest release that is known (--docker-version names another)" if assumed else ""
    return (
        f"{files} file{'s' * (files != 1)}: {', '.join(parts)}; {', '.join(findings) or 'nothing found'}; "
        f"judged as docker {version}{said}\n"
    )


def _merged(judged: Sequence[Judged], version: str) -> Report:
    """Return one report of all files, for the formats that know only one: each check with every file's findings."""
    results: dict[str, Result] = {}
    order = [Outcome.SKIP, Outcome.PASS, Outcome.UNKNOWN, Outcome.ERROR, Outcome.FAIL]
    for one in judged:
        for result in one.report.results:
            for finding in result.findings:
                # A finding's severity is that of its own file's result.
                finding.severity = result.severity_of(finding)
            known = results.setdefault(result.check, result)
            if known is result:
                continue
            known.findings += result.findings
            known.seconds += result.seconds
            worse = (order.index(result.outcome), result.severity.rank)
            if worse > (order.index(known.outcome), known.severity.rank):
                known.outcome, known.severity = result.outcome, result.severity
                known.reason, known.waived = result.reason, result.waived
    names = [str(one.report.host["name"]) for one in judged]
    return Report(
        {
            "kind": "file",
            "name": names[0] if len(names) == 1 else f"{len(names)} files",
            "stage": "installed",
            "engines": {"docker": version},
        },
        judged[0].report.policy,
        list(results.values()),
        started=judged[0].report.started,
        seconds=sum(one.report.seconds for one in judged),
        version=__version__,
    )
