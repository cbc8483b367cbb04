"""What every fault did on every engine, and what hostcheck had said: kept in proof.json, shown as docs/proof.md.

`scripts/proof.py` runs the faults and keeps what it saw; `scripts/docs.py` writes the page. Without pytest: docs.py
imports this.
"""

from __future__ import annotations

import collections
import json
import pathlib
from typing import Any, NamedTuple

from faults import FAULTS, MISSED, SECTIONS, compare, missed
from hunt import BROUGHT, HUNT, quiet
from laying import SUITES, Fault
from shown import SHOWN, link

FILE = pathlib.Path(__file__).with_name("proof.json")
NAMES = {"bookworm": "Debian 12", "trixie": "Debian 13", "sid": "Debian sid"}
STEPS = {"started": 0, "ran": 1, "volume": 1, "outside": 2, "port": 2, "published": 2}
"""The steps of inside.py, by the column that they are shown in."""


class Proof(NamedTuple):
    """What was seen."""

    versions: dict[str, dict[str, str]]
    """By suite: program to version."""
    runs: dict[str, dict[str, Any]]
    """By fault and suite: broken (the first step that failed), live and rest (ids of failed checks to severity)."""

    @classmethod
    def load(cls) -> Proof:
        """Return what is kept."""
        return cls(**json.loads(FILE.read_text())) if FILE.exists() else cls({}, {})

    def save(self) -> None:
        """Keep it, in the order of the table, one line a run; faults that are no more are dropped."""
        lines = []
        for fault in FAULTS:
            runs = self.runs.get(fault.name, {})
            # Sorted: in which order checks run says nothing.
            texts = {suite: json.dumps(runs[suite], sort_keys=True) for suite in SUITES if suite in runs}
            seen = [f"   {json.dumps(suite)}: {text}" for suite, text in texts.items()]
            if seen:
                lines.append(f"  {json.dumps(fault.name)}: {{\n" + ",\n".join(seen) + "}")
        text = f'{{"versions": {json.dumps(self.versions)},\n "runs": {{\n' + ",\n".join(lines) + "}}\n"
        temporary = FILE.with_suffix(".new")
        temporary.write_text(text)
        temporary.rename(FILE)

    def answers(self, fault: Fault, suite: str) -> dict[str, str]:
        """Return how hostcheck's answers stand to what was seen."""
        run = self.runs[fault.name][suite]
        return compare(fault, not run["broken"], *(required(run[name]) for name in ("live", "rest")))

    def tally(self) -> dict[str, int]:
        """Return how many runs came as foretold, were missed or were false alarms."""
        found: dict[str, int] = collections.Counter()
        for fault in FAULTS:
            for suite in self.runs.get(fault.name, {}):
                worst = set(self.answers(fault, suite).values()) - {"agrees"}
                found[worst.pop() if worst else "agrees"] += 1
        return {name: found[name] for name in ("agrees", "missed", "false alarm")}


def required(failed: dict[str, str]) -> list[str]:
    """Return the checks whose failure blocks.

    >>> required({"a.b": "required", "c.d": "recommended"})
    ['a.b']
    """
    return [name for name, severity in failed.items() if severity == "required"]


def tally(proof: Proof) -> str:
    """Return the sentence that the README has too."""
    count = proof.tally()
    runs = sum(count.values())
    return (
        f"{len(proof.runs)} faults, {runs} runs of {len(proof.versions)} real engines: {count['agrees']} went as "
        f"hostcheck had said, {count['missed']} failures were missed, {count['false alarm']} were false alarms."
    )


def laid(fault: Fault) -> str:
    """Return in a few words what a fault lays down."""
    parts = [f"{path}: {text}" for path, text in fault.laid.get("files", {}).items()]
    parts += [f"rm {path}" for path in fault.laid.get("remove", [])]
    argvs = [*fault.laid.get("commands", []), *fault.laid.get("around", [])]
    parts += [" ".join(argv).replace("chroot {root} ", "").replace("{root}", "") for argv in argvs]
    parts += [f"dockerd {' '.join(fault.laid['flags'])}"] if "flags" in fault.laid else []
    parts += [
        f"{key} {value}" for name in ("limits", "group") for key, value in fault.laid.get(name, {}).items()
    ]
    text = (
        "; ".join(parts)
        .replace("|", "\\|")
        .replace("`", "'")
        .replace("\r", "CR")
        .replace("\n", " ")
        .replace("\ufeff", "U+FEFF")
    )
    text = text if len(text) <= 160 else text[:157] + "..."
    return f"`{text}`" if text else ""


def columns(broken: str) -> list[str]:
    """Return whether dockerd started, the container ran, the port answered.

    >>> columns("ran"), columns("")
    (['yes', '**no**', ''], ['yes', 'yes', 'yes'])
    """
    failed = STEPS[broken] if broken else 3
    return ["yes" if number < failed else "**no**" if number == failed else "" for number in range(3)]


def said(fault: Fault, run: dict[str, Any], usual: dict[str, Any]) -> str:
    """Return what hostcheck said: what blocks, and then what it also says of no healthy host."""
    shown = [name for name, there in (("live", fault.live), ("rest", fault.at_rest)) if there]
    texts = {}
    for name in shown:
        blocks = required(run[name])
        warns = [key for key in run[name] if key not in blocks and key not in usual[name]]
        texts[name] = "; ".join(
            f"{word} {', '.join(f'`{key}`' for key in keys)}"
            for word, keys in (("blocks:", blocks), ("warns:", warns)) if keys
        ) or "ready"  # fmt: skip
    if len(set(texts.values())) == 1:
        return texts[shown[0]]
    words = {"live": "running", "rest": "at rest"}
    return "; ".join(f"{words[name]}, {text}" for name, text in texts.items())


def rows(proof: Proof, fault: Fault) -> list[str]:
    """Return the rows of a fault: one, unless the engines differ."""
    grouped: dict[str, list[str]] = {}
    for suite in SUITES:
        run = proof.runs[fault.name].get(suite)
        if not run:
            continue
        answers = proof.answers(fault, suite)
        wrong = sorted(set(answers.values()) - {"agrees"})
        verdict = ", ".join(f"**{word}**" for word in wrong) or "agrees"
        cells = [*columns(run["broken"]), said(fault, run, proof.runs["control"][suite]), verdict]
        if fault.chosen and run["broken"]:
            cells[3] += " (asked for)"
        grouped.setdefault(" | ".join(cells), []).append(suite)
    found = []
    for number, (rest, suites) in enumerate(grouped.items()):
        first = f"{fault.name} | {laid(fault)}" if number == 0 else " | "
        engines = "all" if len(suites) == len(SUITES) else ", ".join(NAMES[suite] for suite in suites)
        found.append(f"| {first} | {engines} | {rest} |")
    return found


def incidents(proof: Proof) -> list[str]:
    """Return the incidents that a fault shows, and on which engines it breaks something."""
    lines = ["| incident | fault | breaks |", "|---|---|---|"]
    for incident, name in SHOWN.items():
        broken = [NAMES[suite] for suite, run in proof.runs.get(name, {}).items() if run["broken"]]
        lines.append(f"| {link(incident)} | {name} | {', '.join(broken) or 'nothing, as hostcheck says'} |")
    return lines


def hunted() -> list[str]:
    """Return the faults that were thought up afterwards, in their order, and what each brought."""
    lines = [
        f"{len(HUNT)} further faults were tried in this order, {len(BROUGHT)} of "
        f"them brought something. **The last {quiet()} in a row brought nothing.**",
        "",
        "| | fault | what it brought |",
        "|---|---|---|",
    ]
    for number, fault in enumerate(HUNT, 1):
        lines.append(f"| {number} | {fault.name} | {BROUGHT.get(fault.name, '')} |")
    return lines


def page(proof: Proof) -> str:
    """Return the tables of docs/proof.md."""
    lines = [
        f"**{tally(proof)}**",
        "",
        "| release | " + " | ".join(next(iter(proof.versions.values()))) + " |",
    ]
    lines.append("|---" * (1 + len(next(iter(proof.versions.values())))) + "|")
    for suite, versions in proof.versions.items():
        lines.append(f"| {NAMES[suite]} | " + " | ".join(versions.values()) + " |")
    for title, faults in SECTIONS.items():
        lines += ["", f"## {title}", ""]
        lines.append("| fault | how it is laid down | engine | started | ran | port | hostcheck said | |")
        lines.append("|---" * 8 + "|")
        for fault in faults:
            lines += rows(proof, fault) if fault.name in proof.runs else []
    lines += ["", "## Incidents of the field that are shown here", "", *incidents(proof)]
    lines += ["", "## What looking further brought", "", *hunted()]
    lines += ["", "## What is not foretold yet", ""]
    lines += ["| fault | engine | why |", "|---|---|---|"] if MISSED else ["Nothing that was tried."]
    for name, gap in MISSED.items():
        engines = "all" if gap.suites == SUITES else ", ".join(NAMES[suite] for suite in gap.suites)
        lines.append(f"| {name} | {engines} | {gap.reason} |")
    return "\n".join(lines)


def unlike(proof: Proof) -> list[str]:
    """Return where what was seen and the list of what is missed differ."""
    found = []
    for fault in FAULTS:
        for suite in SUITES:
            run = proof.runs.get(fault.name, {}).get(suite)
            if run is None:
                found.append(f"{suite}: {fault.name} was never run")
                continue
            agrees = not set(proof.answers(fault, suite).values()) - {"agrees"}
            if agrees == bool(missed(fault.name, suite)):
                found.append(f"{suite}: {fault.name} {'is foretold' if agrees else 'is not foretold'}")
    return found
