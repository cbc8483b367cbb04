"""`hostcheck diff A B`: what B fails that A does not, and the other way round; targets or JSON reports."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping

from hostcheck import baseline
from hostcheck._typing import Any

Findings = dict[baseline.Key, dict[str, Any]]

FACTS = ("os", "kernel", "cgroup", "storage_driver")
"""What the head of a report says of a host, beside its engines."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that are the command's own."""
    parser.add_argument("old", metavar="A", help="a target, or a JSON report")
    parser.add_argument("new", metavar="B", help="another")
    parser.add_argument("-f", "--format", choices=["table", "json"], default="table", help="how to show it")
    parser.add_argument(
        "--fail-on",
        choices=["required", "recommended"],
        default="required",
        help="the least severity of a new failure that makes the exit code 1 (default: required)",
    )


def report_at(
    path: str, judge: Callable[[str], dict[str, Any]], present: Mapping[str, str]
) -> dict[str, Any]:
    """Return the report in a JSON file, or what `judge` says of any other target.

    `present` has the present id of each check that was renamed, by the former.

    Raises:
        baseline.BadReport: a JSON file that holds no report, or several.

    """
    if not path.endswith(".json"):
        return judge(path)
    reports = baseline.load(path, present)
    if len(reports) != 1:
        raise baseline.BadReport(f"{path} holds {len(reports)} reports; a difference is between two")
    return reports[0]


def show(old: dict[str, Any], new: dict[str, Any], options: argparse.Namespace) -> int:
    """Print the difference; return 1 if something fails that did not, else 0."""
    before, after = dict(baseline.failures(old)), dict(baseline.failures(new))
    added = {key: finding for key, finding in after.items() if key not in before}
    gone = {key: finding for key, finding in before.items() if key not in after}
    changed = _changed(old["host"], new["host"])
    if options.format == "json":
        document = {
            "host": changed,
            "new": list(map(_entry, added.items())),
            "gone": list(map(_entry, gone.items())),
        }
        print(json.dumps(document, ensure_ascii=False, indent=1))
    else:
        _print(changed, added, gone)
    counts = ("required",) if options.fail_on == "required" else ("required", "recommended")
    return int(any(finding["severity"] in counts for finding in added.values()))


def _changed(old: dict[str, Any], new: dict[str, Any]) -> dict[str, list[Any]]:
    pairs = {key: [old.get(key), new.get(key)] for key in FACTS}
    engines = [host.get("engines") or {} for host in (old, new)]
    pairs.update({key: [each.get(key) for each in engines] for key in sorted({*engines[0], *engines[1]})})
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


def _entry(item: tuple[baseline.Key, dict[str, Any]]) -> dict[str, Any]:
    (check, _, _), finding = item
    return {"id": check, **finding}


def _print(changed: dict[str, list[Any]], added: Findings, gone: Findings) -> None:
    for key, (old, new) in changed.items():
        print(f"  {key}: {old or 'none'} -> {new or 'none'}")
    for mark, title, findings in (("+", "fails now", added), ("-", "fails no more", gone)):
        if findings:
            print(f"{title}:")
        for (check, _, _), finding in sorted(findings.items()):
            line = f":{finding['line']}" if finding["line"] else ""
            place = f"  {finding['path']}{line}" if finding["path"] else ""
            print(f"  {mark} {check} ({finding['severity']}): {finding['message']}{place}")
    if not (changed or added or gone):
        print("no difference")
