"""Write what is generated in the README and in docs/, and the picture of the table. `--check` only compares."""

from __future__ import annotations

import gzip
import io
import pathlib
import re
import subprocess
import sys
from collections.abc import Callable

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts"), str(ROOT / "tests" / "engine")]

import incidents  # noqa: E402
import proofs  # noqa: E402
from hostcheck.checks._gates import BEHIND  # noqa: E402

from hostcheck import plugins, policy  # noqa: E402

PICTURED = "broken"
"""The tree in tests/hosts that the picture shows."""


def table_of_checks() -> str:
    """Return the table of all checks."""
    lines = ["| check | severity | passes when | incidents |", "|---|---|---|---|"]
    for check in plugins.shipped():
        behind = incidents.link_to(check.id)
        lines.append(f"| `{check.id}` | {check.severity} | {check.title()} | {behind} |")
    return "\n".join(lines)


def tally_of_checks() -> str:
    """Return how many checks there are."""
    count, families = len(plugins.shipped()), len(plugins.families())
    return f"{count} checks in {families} families; [docs/checks.md](docs/checks.md) has what each asks."


def table_of_policies() -> str:
    """Return the table of shipped policies."""
    lines = ["| policy | for |", "|---|---|"]
    for name in policy.names():
        lines.append(f"| `{name}` | {policy.Policy.load(name).description} |")
    return "\n".join(lines)


def help_text() -> str:
    """Return `hostcheck run --help`."""
    done = subprocess.run(
        [sys.executable, "-m", "hostcheck", "run", "--help"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={"COLUMNS": "100", "PATH": "/usr/bin:/bin"},
    )
    # Python 3.9 says "optional arguments", later ones "options".
    return "```text\n" + done.stdout.replace("optional arguments:", "options:").rstrip() + "\n```"


def list_of_secrets() -> str:
    """Return what a recording redacts."""
    from hostcheck.host._redact import RULES

    return "\n".join(f"- {rule.kind}" for rule in RULES)


def table_of_metrics() -> str:
    """Return every metric that a scrape finds, with its labels."""
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.parser import text_string_to_metric_families

    from hostcheck import exporter_pages, metrics
    from hostcheck.finding import Outcome, Report, Result, Severity, failed

    result = Result("a.b", "", Severity.REQUIRED, Outcome.FAIL, [failed("s", "m")])
    waiver = {"id": "a.b", "subject": "*", "expires": "2027-01-31"}
    report = Report(
        {}, "docker", [result], started="2026-01-01T00:00:00Z", seconds=1.0, version="0", waivers=[waiver]
    )
    registry = CollectorRegistry()
    registry.register(metrics.ReportCollector(report))
    state = exporter_pages.State()
    state.take({"text": gzip.compress(generate_latest(registry))})
    lines = ["| metric | kind | labels | what |", "|---|---|---|---|"]
    for family in text_string_to_metric_families(state.page("text", packed=False).decode()):
        labels = ", ".join(f"`{name}`" for name in family.samples[0].labels) if family.samples else ""
        name = family.samples[0].name if family.samples else family.name
        lines.append(f"| `{name}` | {family.type} | {labels} | {family.documentation} |")
    return "\n".join(lines)


def tally_of_proof() -> str:
    """Return how often hostcheck foretold what the real engines did."""
    return proofs.tally(proofs.Proof.load())


def page_of_proof() -> str:
    """Return what the real engines did with every fault, and what hostcheck had said."""
    return proofs.page(proofs.Proof.load())


GENERATED = {
    "README.md": {
        "checks": tally_of_checks,
        "policies": table_of_policies,
        "help": help_text,
        "incidents": incidents.tally,
        "proof": tally_of_proof,
    },
    "docs/checks.md": {"checks": table_of_checks},
    "docs/incidents.md": {"incidents": incidents.page},
    "docs/proof.md": {"runs": page_of_proof},
    "docs/recordings.md": {"redacted": list_of_secrets},
    "docs/exporter.md": {"metrics": table_of_metrics},
}
"""Each file with generated parts, and what makes them."""


def renewed(text: str, parts: dict[str, Callable[[], str]]) -> str:
    """Return a file's text with its generated parts made anew."""
    for name, make in parts.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
        made = make()
        text = pattern.sub(lambda found, made=made: f"{found[1]}{made}\n{found[2]}", text)
    return text


def picture() -> str:
    """Return an SVG of what a terminal shows for the pictured tree."""
    from rich.console import Console
    from rich.text import Text

    from hostcheck.host.root import RootHost
    from hostcheck.reporters import Style, table

    default = policy.Policy.load(policy.DEFAULT)
    host = RootHost(str(ROOT / "tests" / "hosts" / PICTURED), name="golden-image")
    report = default.judge(host, default.configure(plugins.shipped()))
    report.seconds = 0.05
    stream = io.StringIO()
    table.write(report, stream, Style(width=120, color=True))
    console = Console(file=io.StringIO(), record=True, width=120, highlight=False)
    console.print(Text.from_ansi(stream.getvalue()), soft_wrap=True)
    return console.export_svg(title="hostcheck --root golden-image", unique_id="hostcheck")


def daemon_json() -> str:
    """Return the page of daemon.json's keys by release."""
    from hostcheck.facts import _daemon_keys as tables
    from hostcheck.facts import daemonjson

    words = {
        "str": "string",
        "int": "whole number",
        "bool": "true, false",
        "any": "ignored",
        "size": 'size, as "64M"',
    }
    words |= {
        "strs": "list of strings",
        "ips": "list of addresses",
        "addrs": "list of addresses",
        "ip": "address",
    }
    words |= {
        "strmap": "object of strings",
        "strmaps": "object of objects of strings",
        "bools": "object of true, false",
    }
    lines = ["| key | value | from | until | flag |", "|---|---|---|---|---|"]
    first = (17, 6)
    for key, kinds, until, flag, _ in tables.KEYS:
        said = [(since, words.get(kind, f"object ({kind})")) for since, kind in kinds]
        value = "; ".join(
            text if n == 0 else f"from {daemonjson.dotted(since)} {text}"
            for n, (since, text) in enumerate(said)
        )
        since = daemonjson.dotted(said[0][0]) if said[0][0] > first else ""
        gone = daemonjson.dotted(until) if until else ""
        lines.append(f"| `{key}` | {value} | {since} | {gone} | {f'`--{flag}`' if flag else ''} |")
    removed = ["| key | deprecated | removed | instead |", "|---|---|---|---|"]
    removed += [f"| `{key}` | {old} | {gone} | {instead} |" for key, old, gone, instead in tables.REMOVED]
    ignored = ["| name | the key that is meant |", "|---|---|"]
    ignored += [f"| `{name}` | {f'`{meant}`' if meant else ''} |" for name, _, _, meant in tables.IGNORED]
    return _PAGE.format(
        keys="\n".join(lines), removed="\n".join(removed), ignored="\n".join(ignored), newest=tables.NEWEST
    )


_PAGE = """\
# daemon.json, release by release

Made by `scripts/docs.py` from the tables that `hostcheck daemon-json` judges with. They were read from the source of
every release from 17.06 to {newest}, and are compared with real ones by the tests.

A key without "from" is as old as 17.06; "until" is the first release that refuses it as unknown.

{keys}

## Deprecated and removed

A key may be refused by its own message before it is unknown, as `graph` is in 23.0; or be taken and do nothing.

{removed}

## Taken, and read by nobody

dockerd takes the name of each of its flags as a key. These are no keys, and what they are given is lost.

{ignored}

## What is not judged

- Files, users and programs that the file names: `hostcheck` without `daemon-json` looks for them on a host.
- Go's toolchain changes how addresses in brackets are read; the release decides here, which is right for what Docker
  ships and for Debian. A dockerd that somebody built with another Go may differ in such an address.
- A file of more than 4 MiB or 120,000 values: dockerd would read it, `daemon-json` says that it is too large to judge.
"""


def index() -> str:
    """Return checks/_index.py: the families that are imported only behind a gate."""
    gates = {check: gate for gate, checks in BEHIND.items() for check in checks}
    lines = []
    for family in plugins.families():
        checks = plugins.family(family)
        if not all(check.id in gates for check in checks):
            continue
        size = (ROOT / "checks" / f"{family}.py").stat().st_size
        lines.append(f'    "{family}": (\n        {size},\n        (')
        for check in checks:
            told = (
                gates[check.id],
                check.id,
                str(check.severity),
                check.title(),
                check.aliases,
                check.references,
            )
            lines.append(f"            {told!r},")
        lines.append("        ),\n    ),")
    return INDEX.format("\n".join(lines))


INDEX = '''"""The families behind a gate, for hostcheck/cards.py. Written by scripts/docs.py, and not to be edited."""

# ruff: noqa: E501
# fmt: off
from __future__ import annotations

FAMILIES: dict[str, tuple[int, tuple[tuple[str, str, str, str, tuple[str, ...], tuple[str, ...]], ...]]] = {{
{}
}}
"""Family to the bytes of its file, and of each check gate, id, severity, title, aliases and references."""
'''


def main() -> int:
    """Write, or with `--check` compare; 1 if something was not current."""
    texts = {ROOT / file: (ROOT / file).read_text() for file in GENERATED}
    new = {path: renewed(texts[path], GENERATED[str(path.relative_to(ROOT))]) for path in texts}
    path = ROOT / "checks" / "_index.py"
    texts[path], new[path] = path.read_text(), index()
    if "--check" in sys.argv[1:]:
        return int(new != texts)
    for path, text in new.items():
        path.write_text(text)
    (ROOT / "docs" / "table.svg").write_text(picture())
    (ROOT / "docs" / "daemon-json.md").write_text(daemon_json())
    return 0


if __name__ == "__main__":
    sys.exit(main())
