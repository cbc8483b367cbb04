"""The one file: it says what the checkout says, from a folder that nobody may write to, without a home."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import zipfile

import pytest

PROJECT = pathlib.Path(__file__).resolve().parents[2]
TREE = PROJECT / "tests" / "hosts" / "broken"


def run(*command: str | os.PathLike[str], **more: str) -> subprocess.CompletedProcess[str]:
    # -I, so that no library of this environment's user or folder is taken for one out of the archive.
    return subprocess.run(
        command,
        cwd="/",
        env={"PATH": os.environ["PATH"], **more},
        capture_output=True,
        text=True,
        timeout=120,
    )


def bare_python() -> str:
    """Return a Python that has none of the libraries."""
    for name in ("python3", "python3.13", "python3.12", "python3.11", "python3.10", "python3.9"):
        path = f"/usr/bin/{name}"
        if os.path.exists(path) and run(path, "-I", "-c", "import rich").returncode:
            return path
    pytest.skip("every Python here has the libraries installed")


def same(text: str) -> object:
    """Return a report without what differs between two runs."""
    report = json.loads(text)
    for result in report["results"]:
        del result["seconds"]
    return {**report, "started": "", "seconds": 0}


def test_says_what_the_checkout_says(pyz: pathlib.Path) -> None:
    python = bare_python()
    ours = run(python, "-I", pyz, TREE, "-f", "json")
    theirs = run(sys.executable, "-m", "hostcheck", TREE, "-f", "json", PYTHONPATH=str(PROJECT))
    assert (ours.returncode, ours.stderr) == (theirs.returncode, theirs.stderr)
    assert same(ours.stdout) == same(theirs.stdout)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["list"], "network.ip_forward"),
        (["policies"], "kubernetes"),
        (["--policy", "kubernetes", TREE], "NOT READY"),
        ([TREE], "NOT READY"),
        ([TREE, "-f", "html"], "</html>"),
        ([TREE, "-f", "prometheus"], "hostcheck_ready 0.0"),
        (["why", "failed to start daemon: Devices cgroup isn't mounted"], "cgroup"),
        (["serve", "--help"], "--web.config.file"),
        (["daemon-json", "--schema", "28.5.2"], "json-schema.org"),
    ],
)
def test_everything_is_in_it(arguments: list[str], expected: str, pyz: pathlib.Path) -> None:
    done = run(bare_python(), "-I", pyz, *arguments)
    assert expected in done.stdout, done.stderr
    assert "Traceback" not in done.stderr


OLD = """\
import sys
sys.version_info = (3, 8, 18)
exec(compile(open(sys.argv[1]).read(), "__main__.py", "exec"))
"""


def test_an_older_python_is_told(pyz: pathlib.Path, tmp_path: pathlib.Path) -> None:
    start = tmp_path / "__main__.py"
    with zipfile.ZipFile(pyz) as packed:
        start.write_bytes(packed.read("__main__.py"))
    done = run(bare_python(), "-I", "-c", OLD, start)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("hostcheck needs Python 3.9 or newer, and this is ")
    assert "executable" in done.stderr
    assert done.stderr.count("\n") == 1


def older_python(version: str) -> str:
    """Return a Python of a version, of the system's or of pyenv's."""
    pyenv = pathlib.Path(os.environ.get("PYENV_ROOT") or pathlib.Path.home() / ".pyenv")
    for path in (pathlib.Path(f"/usr/bin/python{version}"), *pyenv.glob(f"versions/{version}.*/bin/python")):
        if path.exists():
            return str(path)
    pytest.skip(f"no Python {version} here")


@pytest.mark.parametrize("version", ["2.7", "3.6", "3.8"])
def test_a_real_older_python_understands_it(version: str, pyz: pathlib.Path) -> None:
    done = run(older_python(version), pyz)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("hostcheck needs Python 3.9 or newer")
