"""What is generated is current."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]


def test_what_is_generated_is_current() -> None:
    done = subprocess.run([sys.executable, "scripts/docs.py", "--check"], cwd=ROOT, timeout=60)
    assert done.returncode == 0, "the generated parts of README.md or docs/ are old: run `make docs`"


def test_every_check_is_listed_once() -> None:
    from hostcheck import plugins

    text = (ROOT / "docs/checks.md").read_text()
    for check in plugins.shipped():
        assert text.count(f"| `{check.id}` |") == 1


def test_every_family_is_in_the_readme_once() -> None:
    from hostcheck import plugins

    readme = (ROOT / "README.md").read_text()
    table = readme[readme.index("| they ask of |") : readme.index("## Writing a check")]
    assert sorted(re.findall(r"`(\w+)`", table)) == plugins.families()
