"""`hostcheck daemon-json`: any daemon.json, judged without a host: for editors, hooks and bulk use."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Optional, TextIO

from hostcheck import __version__, plugins
from hostcheck.facts import _daemon_keys, docker
from hostcheck.finding import Finding, Outcome, Report, Result, Severity
from hostcheck.host import Completed, DiskUsage, FileStat, Host, Unavailable
from hostcheck.policy import DEFAULT, Policy, PolicyError
from hostcheck.reporters import FORMATS, Style
from hostcheck.runner import Configured
from hostcheck.runner import run as run_checks

OK, FAILED, USAGE = 0, 1, 2

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

The output has one line for each finding, FILE:LINE:COLUMN: SEVERITY: MESSAGE, and below it how to mend it. With
-f json there is one report a file, a line each, in the order of the files: the keys of a host's report, and `file`,
`accepted` (whether dockerd takes the file, as `dockerd --validate` would say), `error` (why it could not be read,
or null) and in each finding `column`.
"""

_EPILOG = """\
examples:
  hostcheck daemon-json daemon.json
  hostcheck daemon-json --docker-version 24.0.9 --flags "-H fd://" images/*/daemon.json
  jinja2 daemon.json.j2 | hostcheck daemon-json -f json -

exit codes:
  0  dockerd takes every file, and nothing fails at or above --fail-on
  1  dockerd refuses a file, or something fails
  2  the command line is wrong, or a file cannot be read; the others are judged all the same
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `daemon-json` to the commands."""
    parser = commands.add_parser(
        "daemon-json",
        help="judge daemon.json files without a host",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="a daemon.json, or - for standard input")
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
    parser.add_argument(
        "-f", "--format", default="text", metavar="FORMAT", help=f"text, {', '.join(FORMATS)} (default: text)"
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
    parser.add_argument(
        "--fail-on",
        choices=["required", "recommended", "info"],
        default="required",
        help="the least severity that makes the exit code 1 (default: required)",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="show the tally alone")


class FileHost(Host):
    """A host of which one file is known, and nothing else."""

    kind = "root"

    def __init__(self, path: str, data: bytes, version: str, flags: str) -> None:
        """Take the file, the release of dockerd and its flags."""
        super().__init__()
        self.name = path
        self.data = data
        self.assumptions.update(stage="installed", docker=version)
        self.assumptions["daemon.json"] = path
        self.assumptions["dockerd flags"] = flags

    def _only(self, path: str) -> None:
        if path != self.name:
            raise Unavailable(f"{path}: no host is looked at")

    def read_bytes(self, path: str, limit: int = docker.FILE_LIMIT, offset: int = 0) -> bytes:
        """See `Host.read_bytes`."""
        self._only(path)
        return self.data[offset : offset + limit]

    def stat(self, path: str, follow: bool = True) -> FileStat:
        """See `Host.stat`."""
        self._only(path)
        return FileStat(0o100644, 0, 0, len(self.data))

    def names(self, path: str) -> tuple[str, ...]:
        """See `Host.names`."""
        raise Unavailable(f"{path}: no host is looked at")

    def readlink(self, path: str) -> str:
        """See `Host.readlink`."""
        raise OSError(22, f"{path} is not a link")

    def run(self, *argv: str) -> Completed:
        """See `Host.run`."""
        raise Unavailable(f"{argv[0]}: no host is looked at")

    def disk_usage(self, path: str) -> DiskUsage:
        """See `Host.disk_usage`."""
        raise Unavailable(f"{path}: no host is looked at")

    def pids(self, name: str) -> tuple[int, ...]:
        """See `Host.pids`."""
        raise Unavailable(f"{name}: no host is looked at")


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
        raise Unavailable(f"{shown} is larger than {docker.FILE_LIMIT >> 10} KiB: no daemon.json is")
    return data


def judge(file: str, version: str, flags: str, policy: Policy, configured: Sequence[Configured]) -> Judged:
    """Return a file's report."""
    path = STDIN if file == "-" else file
    began = time.perf_counter()
    results: list[Result] = []
    accepted, wrong = None, ""
    try:
        host = FileHost(path, read(file), version, flags)
    except (OSError, Unavailable) as error:
        wrong = str(error) or type(error).__name__
    else:
        results = run_checks(configured, host)
        accepted = docker.judgement(host).accepted
    if policy.waivers:
        import datetime  # most policies waive nothing

        policy.waive(results, datetime.datetime.now(datetime.timezone.utc).date())
    for result in results:
        for finding in result.findings:
            _detached(finding, path)
    about = {"kind": "file", "name": path, "stage": "installed", "engines": {"docker": version}}
    report = Report(
        about,
        policy.name,
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
    version = options.docker_version or _daemon_keys.NEWEST
    wrong = _usage(options, version)
    if wrong:
        print(f"hostcheck: {wrong}", file=sys.stderr)
        return USAGE
    policy = Policy.load(options.policy)
    # An unchanged policy names no check of another family, so only these three are imported.
    everything = plugins.shipped(FAMILIES if options.policy == DEFAULT else ["*"])
    configured = policy.configure(everything, options.select, options.ignore)
    configured = [item for item in configured if item.check.id in FROM_FILE]
    if not options.flags.strip():
        configured = [item for item in configured if item.check.id != "docker.flag_conflict"]
    if not configured:
        raise PolicyError("no check is left to run: --select and --ignore take all away")
    judged = (judge(file, version, options.flags, policy, configured) for file in options.files)
    code = _written(judged, version, options)
    sys.stdout.flush()
    return code


def _usage(options: argparse.Namespace, version: str) -> str:
    """Return what is wrong with the command line."""
    import shlex

    from hostcheck.versions import Version

    try:
        Version(version)
    except ValueError:
        return f"--docker-version {version}: not a version such as 28.5.2"
    try:
        shlex.split(options.flags)
    except ValueError as error:
        return f"--flags {options.flags}: {error}"
    if options.format != "text" and options.format not in FORMATS:
        return f"no format {options.format!r}; there are text, {', '.join(FORMATS)}"
    if options.files.count("-") > 1:
        return "standard input (-) can be read only once"
    return ""


def _written(judged: Iterator[Judged], version: str, options: argparse.Namespace) -> int:
    """Write each file's report as soon as it is there; return the exit code."""
    stream = sys.stdout
    kept: list[Judged] = []
    code = OK
    tally = {"accepted": 0, "refused": 0, "not read": 0, "required": 0, "recommended": 0, "info": 0}
    for one in judged:
        if one.error:
            print(f"hostcheck: {_printable(one.error, sys.stderr)}", file=sys.stderr)
            code = USAGE
        elif code == OK and (not one.accepted or one.report.failed(Severity(options.fail_on))):
            code = FAILED
        tally["not read" if one.accepted is None else "accepted" if one.accepted else "refused"] += 1
        if options.format == "json":
            stream.write(_json(one))
        elif options.format == "text":
            for place, severity, finding in _failures(one):
                tally[severity] += 1
                if not options.quiet:
                    stream.write(_printable(f"{place}: {severity}: {_message(finding)}", stream) + "\n")
                    for line in _hint(finding):
                        stream.write(f"    {_printable(line, stream)}\n")
            for result in one.report.undecided():
                text = f"{one.report.host['name']}: {result.outcome}: {result.check}: {result.reason}"
                stream.write(_printable(text, stream) + "\n")
        else:
            kept.append(one)
    if options.format == "text":
        stream.write(_tally(tally, version, not options.docker_version))
    elif options.format != "json":
        from hostcheck.reporters import write

        verbosity = -1 if options.quiet else 0
        encoding = (getattr(stream, "encoding", None) or "ascii").lower()
        style = Style(unicode=encoding.startswith("utf"), verbosity=verbosity)
        write(options.format, [_merged(kept, version)], stream, style)
    return code


def _json(judged: Judged) -> str:
    import json

    from hostcheck.reporters.json import to_dict

    whole = to_dict(judged.report)
    if judged.error:
        whole["verdict"] = "cannot tell"
    for result, shown in zip(judged.report.results, whole["results"]):
        for finding, row in zip(result.findings, shown["findings"]):
            row["column"] = getattr(finding, "column", None)
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
            line, column = finding.line or 0, getattr(finding, "column", None) or 0
            place = f"{name}:{line or 1}:{column or 1}"
            found.append(((line, column), place, str(result.severity_of(finding)), finding))
    found.sort(key=lambda entry: entry[0])
    return [entry[1:] for entry in found]


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
    files = sum(tally[name] for name in ("accepted", "refused", "not read"))
    parts = [f"{tally[name]} {name}" for name in ("accepted", "refused", "not read") if tally[name]]
    findings = [f"{tally[name]} {name}" for name in ("required", "recommended", "info") if tally[name]]
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
