"""Write what is generated in the README and in docs/, and the picture of the table. `--check` only compares."""

from __future__ import annotations

import io
import pathlib
import re
import subprocess
import sys
from collections.abc import Callable

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

import incidents  # noqa: E402

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

    return "\n".join(f"- {kind}" for kind, _pattern in RULES)


GENERATED = {
    "README.md": {
        "checks": table_of_checks,
        "policies": table_of_policies,
        "help": help_text,
        "incidents": incidents.tally,
    },
    "docs/incidents.md": {"incidents": incidents.page},
    "docs/recordings.md": {"redacted": list_of_secrets},
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

    from hostcheck import cli
    from hostcheck.host.root import RootHost
    from hostcheck.reporters import Style, table

    default = policy.Policy.load(policy.DEFAULT)
    host = RootHost(str(ROOT / "tests" / "hosts" / PICTURED), name="golden-image")
    report = cli.make_report(host, default, default.configure(plugins.shipped()))
    report.seconds = 0.05
    stream = io.StringIO()
    table.write(report, stream, Style(width=120, color=True))
    console = Console(file=io.StringIO(), record=True, width=120, highlight=False)
    console.print(Text.from_ansi(stream.getvalue()), soft_wrap=True)
    return console.export_svg(title="hostcheck --root golden-image", unique_id="hostcheck")


def main() -> int:
    """Write, or with `--check` compare; 1 if something was not current."""
    texts = {ROOT / file: (ROOT / file).read_text() for file in GENERATED}
    new = {path: renewed(texts[path], GENERATED[str(path.relative_to(ROOT))]) for path in texts}
    if "--check" in sys.argv[1:]:
        return int(new != texts)
    for path, text in new.items():
        path.write_text(text)
    (ROOT / "docs" / "table.svg").write_text(picture())
    return 0


if __name__ == "__main__":
    sys.exit(main())
