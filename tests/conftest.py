"""Fixtures that all tests share."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

PROJECT = pathlib.Path(__file__).resolve().parents[1]

CORPORA = pathlib.Path(
    os.environ.get("HOSTCHECK_CORPORA", pathlib.Path(__file__).resolve().parents[2] / "shared" / "corpora")
)


@pytest.fixture(scope="session")
def corpora() -> pathlib.Path:
    """Return the folder of real inputs with the verdicts of real oracles; skip where it is missing."""
    if not CORPORA.is_dir():
        pytest.skip(f"no corpora at {CORPORA} (set HOSTCHECK_CORPORA)")
    return CORPORA


@pytest.fixture
def control_group(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Make a control group (v2) for a systemd that a test boots, and remove it with all that was made in it."""
    mounts = [line.split() for line in pathlib.Path("/proc/self/mounts").read_text().splitlines()]
    tops = [fields[1] for fields in mounts if fields[2] == "cgroup2"]
    if not tops:
        pytest.skip("no cgroup2 is mounted")
    group = pathlib.Path(tops[0]) / f"hostcheck-{os.getpid()}-{tmp_path.name}"
    try:
        group.mkdir()
    except OSError as problem:
        pytest.skip(f"no control group can be made: {problem}")
    try:
        yield group
    finally:
        for folder in sorted(group.glob("**/"), reverse=True):
            with contextlib.suppress(OSError):
                folder.rmdir()


@pytest.fixture(scope="session")
def pyz(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return the one file, in a folder that nobody may write to; skip where its libraries cannot be had."""
    archive = tmp_path_factory.mktemp("pyz") / "hostcheck.pyz"
    done = subprocess.run(
        [sys.executable, PROJECT / "packaging" / "pyz.py", archive],
        capture_output=True,
        text=True,
        timeout=300,
    )
    if done.returncode != 0 and "pip" in done.stderr:
        pytest.skip(f"pip cannot fetch the libraries: {done.stderr.strip()[-200:]}")
    assert done.returncode == 0, done.stderr
    archive.parent.chmod(0o555)
    return archive


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return a wheel of this checkout, which is left as it was: setuptools builds in the folder that it is given."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, folder)
    for name in ("hostcheck", "checks"):
        shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "-q", "--no-deps"]
    done = subprocess.run([*pip, "-w", str(folder), str(folder)], capture_output=True, text=True, timeout=300)
    found = list(folder.glob("*.whl"))
    if not found:
        pytest.skip(f"pip cannot build: {done.stderr.strip()[-200:]}")
    return found[0]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip, with the reason, what this machine cannot do."""
    for item in items:
        if item.get_closest_marker("root") and os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason="needs root"))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the tallies of agreement with the oracles, which passing tests would keep to themselves."""
    lines = [
        f"{report.nodeid.rpartition('/')[2].partition('::')[0]}: {line}"
        for report in terminalreporter.stats.get("passed", [])
        for line in report.capstdout.splitlines()
        if line.strip()
    ]
    if lines:
        terminalreporter.section("agreement with the oracles")
        for line in lines:
            terminalreporter.line(line)
