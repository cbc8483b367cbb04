"""The command line: run, list, explain, policies and facts."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterable, Sequence
from types import SimpleNamespace

from hostcheck import __version__, cards, output, plugins
from hostcheck._typing import TYPE_CHECKING, Any, Callable, cast
from hostcheck.check import Check
from hostcheck.finding import Report, Severity
from hostcheck.host import Host, NotApplicable, NoTarget, Unavailable
from hostcheck.output import OutputError
from hostcheck.policy import DEFAULT, Policy, PolicyError
from hostcheck.runner import Configured

if TYPE_CHECKING:
    import argparse

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

OK, FAILED, USAGE, UNDECIDED = 0, 1, 2, 3

FACTS = {
    "kernel": "hostcheck.facts.kernel",
    "modules": "hostcheck.facts.modules",
    "boot": "hostcheck.facts.boot",
    "cgroup": "hostcheck.facts.cgroup",
    "sysctl": "hostcheck.facts.sysctl",
    "units": "hostcheck.facts.systemd",
    "versions": "hostcheck.facts.versions",
    "packages": "hostcheck.facts.packages",
    "network": "hostcheck.facts.network",
    "firewall": "hostcheck.facts.firewall",
    "storage": "hostcheck.facts.storage",
    "docker": "hostcheck.facts.docker",
    "containerd": "hostcheck.facts.containerd",
    "kubelet": "hostcheck.facts.kubelet",
    "rootless": "hostcheck.facts.rootless",
    "podman": "hostcheck.facts.podman",
    "os": "hostcheck.facts.os",
}

_EPILOG = """\
examples:
  hostcheck                                   will this host run Docker, now and after its next boot?
  hostcheck /mnt/image                        the same of an unpacked image, without executing anything in it
  hostcheck record host.tar.gz                keep what any check asks here ...
  hostcheck host.tar.gz                       ... and judge it elsewhere
  hostcheck --policy kubernetes -v            another policy, every check shown
  hostcheck -f json:report.json -f table      a file for a program and a table for a person, from one run
  hostcheck -f prometheus -o /var/lib/node_exporter/hostcheck.prom
  hostcheck --select 'cgroup.*' --ignore cgroup.namespace_mode
  hostcheck a.qcow2 b.tar -f table -f junit:report.xml   images that never booted, in parallel, for a CI system
  hostcheck diff a.qcow2 b.qcow2              what one fails that the other does not
  journalctl -u docker | hostcheck why -      what the engine's messages mean, and which causes are found here
  hostcheck explain network.ip_forward        why it matters, what it needs, where the rule comes from
  hostcheck facts sysctl units --root DIR     what was read, with file and line, as JSON

exit codes:
  0  nothing fails at or above --fail-on
  1  something fails
  2  the command line, the policy or a plugin's configuration is wrong
  3  nothing fails, but something is unknown or broke (only with --strict)
"""


class UsageError(Exception):
    """The command line asks for what cannot be had; the text says what and the way out."""


def _parser(names: Iterable[str]) -> argparse.ArgumentParser:
    """Return the parser with these commands; each costs 1 ms."""
    # Imported here: argparse costs 4 ms, and a plain run does without it.
    import argparse

    from hostcheck.helptext import Help

    parser = argparse.ArgumentParser(
        prog="hostcheck",
        description="Says whether a Linux host will run containers, now and after its next boot.",
        epilog=_EPILOG,
        formatter_class=Help,
    )
    parser.add_argument(
        "--version",
        action="store_true",
        default=argparse.SUPPRESS,
        help="print the version; with -v, how it was installed",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help=argparse.SUPPRESS)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name in names:
        add_parser, _ = COMMANDS[name]
        add_parser(commands)
    for command in commands.choices.values():
        command.formatter_class = Help
    return parser


def _options(arguments: list[str]) -> argparse.Namespace:
    """Return what the command line says."""
    first = arguments[0]
    if first == "run":
        from hostcheck.quick import Quick

        quick = Quick()
        _add_run(cast("Commands", quick))
        values = quick.read(arguments[1:])
        if values is not None:
            return cast("argparse.Namespace", SimpleNamespace(command=first, **values))
    return _parser(COMMANDS if first in ("-h", "--help") else (first,)).parse_args(arguments)


def _add_run(commands: Commands) -> None:
    run = commands.add_parser(
        "run",
        help="check a host (the default command)",
        description="Check this host, an unpacked image, or a recording.",
        epilog=_EPILOG,
    )
    run.add_argument(
        "targets",
        nargs="*",
        metavar="PATH",
        help="root trees, image files or recordings (default: this host)",
    )
    _add_host(run)
    _add_checks(run)
    run.add_argument("--online", action="store_true", help="ask each registry mirror whether it answers")
    output.add_arguments(run)
    run.add_argument(
        "--baseline", metavar="FILE", help="a JSON report of before: only what it does not know counts"
    )


def _add_list(commands: Commands) -> None:
    listing = commands.add_parser("list", help="the checks, with the policy's severity")
    _add_checks(listing)


def _add_explain(commands: Commands) -> None:
    explain = commands.add_parser("explain", help="a check's documentation")
    explain.add_argument("id", nargs="+", metavar="ID", help="a check, such as network.ip_forward, or a glob")
    _add_plugins(explain)


def _add_policies(commands: Commands) -> None:
    commands.add_parser("policies", help="the policies that hostcheck ships")


def _add_daemon_json(commands: Commands) -> None:
    # Imported here: the judge of daemon.json is large, and no other command needs it.
    from hostcheck import daemon_command

    daemon_command.add_parser(commands)


def _add_record(commands: Commands) -> None:
    # Imported here: only one command records.
    from hostcheck import record_command

    record_command.add_parser(commands)


def _add_diff(commands: Commands) -> None:
    # Imported here: only one command compares.
    from hostcheck import diff_command

    diff = commands.add_parser("diff", help="what differs between two targets or reports")
    diff_command.add_arguments(diff)
    _add_assumptions(diff)
    _add_checks(diff)


def _add_why(commands: Commands) -> None:
    # Imported here: the table of messages is large, and no other command needs it.
    from hostcheck import why_command

    why_command.add_parser(commands)


def _add_serve(commands: Commands) -> None:
    # Imported here: only one command serves.
    from hostcheck import exporter

    serve = commands.add_parser(
        "serve",
        help="serve metrics and the report to a scrape",
        description="Check this host every so often, and serve metrics, a page and the report.",
        epilog=exporter.EPILOG,
    )
    exporter.add_arguments(serve)
    _add_host(serve)
    _add_checks(serve)


def _add_facts(commands: Commands) -> None:
    facts = commands.add_parser("facts", help="what was read, as JSON with file and line")
    facts.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"{', '.join(FACTS)} (default: all); the last may be the path of a root tree or a recording",
    )
    _add_host(facts)


def _add_host(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root", metavar="PATH", help="the same as PATH")
    _add_assumptions(parser)


def _add_assumptions(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--stage",
        choices=["auto", "before", "installed"],
        default="auto",
        help="judge as before an installation, or as installed (default: auto, looks for an engine)",
    )
    parser.add_argument(
        "--docker-version", metavar="VERSION", help="judge as if this dockerd were installed, such as 28.5.2"
    )


def _add_checks(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--policy",
        default=DEFAULT,
        metavar="NAME|FILE",
        help=f"a name from `hostcheck policies`, or a YAML file (default: {DEFAULT})",
    )
    parser.add_argument(
        "--select", action="append", default=[], metavar="GLOB", help="only these checks; may be repeated"
    )
    parser.add_argument(
        "--ignore", action="append", default=[], metavar="GLOB", help="not these checks; may be repeated"
    )
    _add_plugins(parser)


def _add_plugins(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--checks-dir",
        action="append",
        default=[],
        metavar="DIR",
        help=f"also the checks in DIR/*.py (always: {plugins.DROP_IN_FOLDER})",
    )
    parser.add_argument(
        "--no-plugins", action="store_true", help="only the shipped checks (also: HOSTCHECK_NO_PLUGINS=1)"
    )
    parser.add_argument(
        "--require-plugin", action="append", default=[], metavar="NAME", help="fail if this plugin is missing"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _dispatch(arguments)
        sys.stdout.flush()
        return code
    except (PolicyError, UsageError, OutputError, NoTarget) as error:
        print(f"hostcheck: {error}", file=sys.stderr)
        return USAGE
    except BrokenPipeError:
        # The reader went away, as `| head` does. Nothing more can be written, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return USAGE
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        # A defect of ours, not of the host: no reader is helped by a traceback who did not ask for it.
        if os.environ.get("HOSTCHECK_DEBUG"):
            raise
        print(
            f"hostcheck: a defect in hostcheck itself: {type(error).__name__}: {error}\n"
            "hostcheck: HOSTCHECK_DEBUG=1 shows where; please report it",
            file=sys.stderr,
        )
        return USAGE


def _dispatch(arguments: list[str]) -> int:
    if "--version" in arguments and set(arguments) <= {"--version", "-v", "--verbose"}:
        return _version(verbose=len(arguments) > 1)
    if not arguments or (arguments[0] not in COMMANDS and arguments[0] not in ("-h", "--help")):
        arguments.insert(0, "run")
    options = _options(arguments)
    _, command = COMMANDS[options.command]
    return command(options)


def _version(verbose: bool) -> int:
    if not verbose:
        print(f"hostcheck {__version__}")
        return OK
    # Imported here: nothing else asks for it, and it reads the metadata of all libraries.
    from hostcheck import installation

    for line in installation.lines(_host_at(None)):
        print(line)
    return OK


def _host_at(path: str | None) -> Host:
    """Return the host at a path, told by its content, or without one the machine that this runs on.

    Raises:
        NoTarget: the path holds none.

    """
    if path is None:
        from hostcheck.host.live import LiveHost

        return LiveHost()
    from hostcheck.host.target import open_target

    try:
        return open_target(path)
    except NoTarget as error:
        if "/" in path or os.path.lexists(path):
            raise
        raise NoTarget(f"{error}, and no command is called {path!r}") from None


def _assuming(host: Host, options: argparse.Namespace) -> Host:
    """Return the host with what the options say of it that no file does."""
    if options.stage != "auto":
        host.assumptions["stage"] = options.stage
    if options.docker_version:
        from hostcheck.versions import Version

        try:
            Version(options.docker_version)
        except ValueError:
            raise UsageError(
                f"--docker-version {options.docker_version}: not a version such as 28.5.2"
            ) from None
        host.assumptions["docker"] = options.docker_version
    return host


def _all_checks(
    options: argparse.Namespace, shipped: Sequence[type[Check] | Check] | None = None
) -> list[type[Check] | Check]:
    """Return the shipped checks (by default all), and every plugin's; a bad plugin is a check that breaks."""
    found = list(plugins.shipped() if shipped is None else shipped)
    seen = {check.id: "hostcheck" for check in found}
    names = set()
    if not options.no_plugins and not os.environ.get("HOSTCHECK_NO_PLUGINS"):
        offers = []
        if options.require_plugin or plugins.any_installed():
            offers += list(plugins.installed())
        for folder in (plugins.DROP_IN_FOLDER, *options.checks_dir):
            offers += list(plugins.drop_ins(folder))
        for name, offer in offers:
            names.add(name)
            if isinstance(offer, plugins.PluginError):
                found.append(plugins.BrokenPlugin(name, str(offer)))
                continue
            # The family that an id belongs to may not be among the selected ones, and so not be known yet.
            for check in plugins.shipped([check.id for check in offer]):
                seen.setdefault(check.id, "hostcheck")
            twice = next((check.id for check in offer if check.id in seen), None)
            if twice:
                reason = f"the check {twice} of {name} is already there, from {seen[twice]}"
                found.append(plugins.BrokenPlugin(name, reason))
                continue
            found += offer
            seen.update({check.id: name for check in offer})
    for folder in options.checks_dir:
        if not os.path.isdir(folder):
            raise UsageError(f"--checks-dir {folder}: not a folder")
    for name in options.require_plugin:
        if name not in names:
            raise UsageError(f"plugin {name!r} is required and is not installed")
    return found


def _run(options: argparse.Namespace) -> int:
    wanted = output.destinations(options)
    policy, configured = _configured(options)
    known = _known(options.baseline, configured)

    def judge(path: str | None) -> Report:
        host = _assuming(_host_at(path), options)
        if options.online:
            host.assumptions["online"] = "yes"
        report = policy.judge(host, configured)
        if options.baseline:
            from hostcheck import baseline

            baseline.apply(report.results, known, options.baseline)
        return report

    targets = _targets(options)
    if len(targets) > 1:
        from hostcheck import batch

        answers = batch.judge_all(targets, judge)
    else:
        answers = [(judge(targets[0] if targets else None), "")]
    reports = [report for report, _ in answers if report is not None]
    if reports:
        output.write(wanted, reports, options)
    for _, problem in answers:
        if problem:
            print(f"hostcheck: {problem}", file=sys.stderr)
    if len(reports) < len(answers):
        return USAGE
    return max((_exit_code(report, options) for report in reports), key=_worst)


def _worst(code: int) -> int:
    """Rank exit codes: a failure is worse than what could not be told."""
    return (OK, UNDECIDED, FAILED).index(code)


def _targets(options: argparse.Namespace) -> list[str]:
    if options.root is None:
        return list(options.targets)
    if options.targets:
        raise UsageError(
            f"both {options.targets[0]} and --root {options.root}: --root is one target, written otherwise"
        )
    return [options.root]


def _known(path: str | None, configured: Sequence[Configured]) -> set[tuple[str, str, str]]:
    """Return what the baseline knows of the checks."""
    if path is None:
        return set()
    from hostcheck import baseline

    try:
        reports = baseline.load(path, _present_ids(configured))
        return {key for report in reports for key, _ in baseline.failures(report)}
    except baseline.BadReport as error:
        raise UsageError(f"--baseline {error}") from None


def _present_ids(configured: Sequence[Configured]) -> dict[str, str]:
    return plugins.present_ids(item.check for item in configured)


def _configured(options: argparse.Namespace, policy: Policy | None = None) -> tuple[Policy, list[Configured]]:
    """Return the policy, the one that the options name unless it is given, and its checks ready to run."""
    policy = policy or Policy.load(options.policy)
    shipped = None
    if options.policy == DEFAULT:
        # Unchanged it sets no parameters, for which cards are enough, and names no check of a family that is not
        # selected.
        shipped = cards.shipped(options.select if options.select and not options.ignore else ["*"])
    configured = policy.configure(_all_checks(options, shipped), options.select, options.ignore)
    if not configured:
        raise UsageError("no check is left to run: --select and --ignore take all away")
    return policy, configured


def _serve(options: argparse.Namespace) -> int:
    if options.render:
        return _render(options)
    if not options.web_config:
        # asyncio does without it, and it is a fifth of the memory of a process that runs for years.
        sys.modules["ssl"] = None  # type: ignore[assignment]
    try:
        from hostcheck import exporter_loop
    except ImportError as error:
        if error.name != "h11":
            raise
        raise UsageError(
            "serve needs a library: pip install 'hostcheck[exporter]' (Debian: python3-h11)"
        ) from None
    try:
        return exporter_loop.serve(options, sys.argv[1:])
    except ValueError as error:
        raise UsageError(str(error)) from None


def _render(options: argparse.Namespace) -> int:
    """Run the checks once, and hand every page to the process that serves them."""
    from hostcheck import exporter_run

    kept = exporter_run.kept_policy(sys.stdin.buffer.read()) if options.kept_policy else None
    policy, configured = _configured(options, kept)
    host = _assuming(_host_at(options.root), options)
    report = policy.judge(
        host,
        configured,
        lambda checks, host: exporter_run.run_limited(checks, host, options.check_timeout),
    )
    exporter_run.send(exporter_run.bundle(report, policy, options.interval))
    return OK


def _diff(options: argparse.Namespace) -> int:
    from hostcheck import baseline, diff_command
    from hostcheck.reporters.json import to_dict

    policy, configured = _configured(options)

    def judge(path: str) -> dict[str, Any]:
        return to_dict(policy.judge(_assuming(_host_at(path), options), configured))

    try:
        present = _present_ids(configured)
        reports = [diff_command.report_at(path, judge, present) for path in (options.old, options.new)]
    except (baseline.BadReport, NoTarget) as error:
        raise UsageError(str(error)) from None
    return diff_command.show(reports[0], reports[1], options)


def _exit_code(report: Report, options: argparse.Namespace) -> int:
    if report.failed(Severity(options.fail_on)):
        return FAILED
    if options.strict and report.undecided():
        return UNDECIDED
    return OK


def _list(options: argparse.Namespace) -> int:
    policy = Policy.load(options.policy)
    configured = policy.configure(_all_checks(options), options.select, options.ignore)
    column = max((len(item.check.id) for item in configured), default=0)
    for item in configured:
        print(f"{item.check.id.ljust(column)}  {item.effective.value.ljust(11)}  {item.check.title()}")
    return OK


def _explain(options: argparse.Namespace) -> int:
    import fnmatch

    everything = _all_checks(options)
    first = True
    for wanted in options.id:
        found = [c for c in everything if any(fnmatch.fnmatchcase(n, wanted) for n in (c.id, *c.aliases))]
        if not found:
            # Imported here: only a mistake needs it.
            import difflib

            close = difflib.get_close_matches(wanted, [check.id for check in everything], 1)
            hint = f"; did you mean {close[0]!r}?" if close else "; `hostcheck list` shows them"
            raise UsageError(f"no check {wanted!r}{hint}")
        for check in found:
            if not first:
                print()
            first = False
            print(explanation(check))
    return OK


def explanation(check: type[Check] | Check) -> str:
    """Return a check's documentation as plain text."""
    lines = [f"{check.id} ({check.severity})", "", check.title(), ""]
    if check.aliases:
        lines += [f"Formerly {', '.join(check.aliases)}.", ""]
    prose = check.prose().replace("*Why*", "Why").replace("*Needs*", "Needs").replace("*Fix*", "Fix")
    lines += [prose, ""]
    parameters = check.parameters()
    if parameters:
        lines.append("Parameters (set them in a policy):")
        lines += [f"  {name} = {value!r}" for name, value in parameters.items()]
        lines.append("")
    if check.references:
        lines.append("References:")
        lines += [f"  {reference}" for reference in check.references]
    return "\n".join(lines).rstrip()


def _policies(options: argparse.Namespace) -> int:
    from hostcheck.policy import names

    for name in names():
        print(f"{name.ljust(18)}{Policy.load(name).description}")
    return OK


def _daemon_json(options: argparse.Namespace) -> int:
    from hostcheck import daemon_command

    return daemon_command.run(options)


def _record(options: argparse.Namespace) -> int:
    from hostcheck import record_command

    return record_command.run(options, _host_at(options.root), FACTS.values())


def _why(options: argparse.Namespace) -> int:
    from hostcheck import why_command

    return why_command.run(options, _host_at(options.root))


def _facts(options: argparse.Namespace) -> int:
    import json

    target = options.root
    if options.names and options.names[-1] not in FACTS and os.path.exists(options.names[-1]):
        target = options.names.pop()
    for name in options.names:
        if name not in FACTS:
            raise UsageError(f"no fact {name!r}; there are {', '.join(FACTS)}")
    host = _assuming(_host_at(target), options)
    values: dict[str, object] = {}
    for name in options.names or FACTS:
        try:
            values[name] = importlib.import_module(FACTS[name]).export(host)
        except (Unavailable, NotApplicable, OSError) as error:
            values[name] = {"unavailable": str(error)}
        except Exception as error:
            # One fact that breaks on a file that nobody expected must not keep the others back.
            values[name] = {"error": f"{type(error).__name__}: {error}"}
    json.dump(values, sys.stdout, indent=1, ensure_ascii=False)
    print()
    return OK


COMMANDS: dict[str, tuple[Callable[[Commands], object], Callable[[argparse.Namespace], int]]] = {
    "run": (_add_run, _run),
    "record": (_add_record, _record),
    "why": (_add_why, _why),
    "list": (_add_list, _list),
    "explain": (_add_explain, _explain),
    "policies": (_add_policies, _policies),
    "daemon-json": (_add_daemon_json, _daemon_json),
    "facts": (_add_facts, _facts),
    "diff": (_add_diff, _diff),
    "serve": (_add_serve, _serve),
}
"""Each command's name, what adds its parser to the command line's, and what runs it."""
