"""What docs/incidents.md and the README say of the hosts that were not ready, out of their table."""

from __future__ import annotations

import functools
import pathlib
import textwrap
from collections.abc import Iterable
from typing import Any

import yaml

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "tests" / "incidents"
TABLES = ("incidents.yaml", "field.yaml")

Incident = dict[str, Any]


@functools.cache
def incidents() -> list[Incident]:
    """Return the tables."""
    found: list[Incident] = [each for name in TABLES for each in yaml.safe_load((FOLDER / name).read_text())]
    return found


def traps() -> list[Incident]:
    """Return those that only looked broken."""
    return [each for each in incidents() if each["effect"] == "none"]


def real() -> list[Incident]:
    """Return those in which something failed."""
    return [each for each in incidents() if each["effect"] != "none"]


def behind(check: str) -> list[Incident]:
    """Return the incidents that a check says."""
    return [each for each in real() if each["check"] == check and "missed" not in each]


def link_to(check: str) -> str:
    """Return how many incidents are behind a check, as a link to them; nothing where there is none."""
    found = behind(check)
    return f"[{len(found)}](incidents.md#{check.replace('.', '')})" if found else ""


LEAST = {"engine-refuses": 2, "container-fails": 2, "network-fails": 2}
"""What an effect deserves, as a rank: `required`; the others `recommended`."""

RANKS = {"info": 0, "recommended": 1, "required": 2}


def lowered(each: Incident) -> bool:
    """Return whether it is said below what its effect deserves at its worst; the row says why."""
    return "deserves" in each and RANKS[each["deserves"]] < LEAST.get(each["effect"], 1)


def tally() -> str:
    """Return how many were foreseen, and by whom else."""
    said = [each for each in real() if "missed" not in each]
    milder = [each for each in said if lowered(each)]
    quiet = [each for each in traps() if "missed" not in each]
    peers: dict[str, int] = {}
    for each in real():
        for peer in each.get("peers", ()):
            peers[peer] = peers.get(peer, 0) + 1
    others = ", ".join(
        f"{name} {count}" for name, count in sorted(peers.items(), key=lambda item: (-item[1], item[0]))
    )
    text = (
        f"Of {len(real())} hosts on which something failed, each out of a public thread that found the cause in the "
        f"host, hostcheck says the cause of {len(said)} beforehand: of {len(said) - len(milder)} at the severity of "
        f"its effect, of {len(milder)} below it, because only some containers fail or healthy hosts have the same. "
        f"Of {len(traps())} that only looked broken it leaves {len(quiet)} alone. For comparison, as the threads "
        f"tell: {others}. Each is laid over a healthy host of its kind in the tests, and listed in "
        "[docs/incidents.md](docs/incidents.md)."
    )
    return textwrap.fill(text, 118, break_long_words=False, break_on_hyphens=False)


def _row(each: Incident) -> str:
    name, _, number = each["id"].partition("#")
    link = f"[{each['id']}](https://github.com/{name}/issues/{number})"
    if "://" in each["id"]:  # no thread, but a page
        link = f"[{name.split('/')[2]}]({name})"
    cause = each["cause"].replace("|", r"\|")
    peers = ", ".join(each.get("peers", ())) or "none"
    effect = each["effect"].replace("-", " ")
    known = each["known"].replace("-", " ")
    return f"| {link} ({each['seen'][:4]}) | {cause} | {effect} | {known} | {peers} |"


def _rows(found: Iterable[Incident]) -> list[str]:
    head = ["| incident | cause | effect | could be known | who else shows it |", "|---|---|---|---|---|"]
    return [*head, *(_row(each) for each in found), ""]


def page() -> str:
    """Return the generated part of docs/incidents.md."""
    lines = [tally().replace("(docs/incidents.md)", "(incidents.md)"), ""]
    for check in sorted({each["check"] for each in real()}):
        found = behind(check)
        if found:
            lines += [f"### {check}", "", *_rows(found)]
    lines += ["## Those that only looked broken", "", *_rows(traps())]
    missed = [each for each in real() if "missed" in each]
    if missed:
        lines += ["## Those that are not foreseen", "", "| incident | cause | why not |", "|---|---|---|"]
        lines += [f"| {each['id']} | {each['cause']} | {each['missed']} |" for each in missed]
    return "\n".join(lines).rstrip()
