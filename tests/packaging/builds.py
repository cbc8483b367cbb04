"""What `make packages` makes of this checkout, built once a run of the tests."""

from __future__ import annotations

import functools
import importlib
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import pytest

PROJECT = pathlib.Path(__file__).resolve().parents[2]
OLDER = "0.0.9"
NEEDED = ("pyproject-build", "twine", "nfpm", "shtab")
"""Commands that the extra `packages` brings."""


@functools.cache
def _scratch() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="hostcheck-dist-")


def _build(target: pathlib.Path, *options: str | pathlib.Path) -> pathlib.Path:
    command = [
        sys.executable,
        PROJECT / "packaging" / "packages.py",
        "--dist",
        target,
        "--no-executables",
        *options,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    if done.returncode != 0 and "No matching distribution" in done.stderr:
        pytest.skip(f"pip cannot fetch the libraries: {done.stderr.strip()[-200:]}")
    assert done.returncode == 0, done.stderr[-3000:]
    return target


@functools.cache
def dist() -> pathlib.Path:
    """Return a folder with everything built.

    Skips where the tools are missing, or their libraries cannot be fetched.
    """
    commands = pathlib.Path(sys.executable).parent
    missing = [name for name in NEEDED if not (commands / name).exists()]
    if missing:
        pytest.skip(f"needs {', '.join(missing)} (pip install -e '.[packages]')")
    return _build(pathlib.Path(_scratch().name) / "own")


@functools.cache
def older() -> pathlib.Path:
    """Return a folder with a deb and an rpm that call themselves OLDER."""
    wheel = only(dist(), "*.whl")
    return _build(pathlib.Path(_scratch().name) / "older", "--wheel", wheel, "--package-version", OLDER)


@functools.cache
def executable(machine: str = os.uname().machine) -> pathlib.Path:
    """Return the standalone executable for a processor.

    Skips where its Python is not compiled yet, which takes minutes, unless all installations are asked for.
    """
    sys.path.append(str(PROJECT / "packaging" / "standalone"))
    interpreter = importlib.import_module("interpreter")
    if not (interpreter.kept() / machine / "starter").is_file() and not os.environ.get(
        "HOSTCHECK_ALL_INSTALLS"
    ):
        pytest.skip(f"the Python of the executable for {machine} is not compiled: make standalone")
    target = pathlib.Path(_scratch().name) / "executables"
    command = [sys.executable, str(PROJECT / "packaging" / "standalone" / "build.py"), str(target), machine]
    done = subprocess.run(command, capture_output=True, text=True, timeout=7200)
    assert done.returncode == 0, done.stderr[-3000:]
    return only(target, f"hostcheck-*-linux-{interpreter.PROCESSORS[machine]}")


def again() -> pathlib.Path:
    """Return a folder with everything built once more."""
    return _build(pathlib.Path(_scratch().name) / "again")


@functools.cache
def stubs() -> list[pathlib.Path]:
    """Return empty rpms with the names of what the rpm depends on and recommends."""
    text = (PROJECT / "packaging" / "linux" / "nfpm.yaml").read_text().partition("  rpm:\n")[2]
    target = pathlib.Path(_scratch().name) / "stubs"
    target.mkdir()
    made = []
    for name, version in re.findall(r"(?m)^      - (python3\S*) >= (\S+)$", text):
        config = target / f"{name}.yaml"
        config.write_text(
            f"name: {name}\narch: all\nversion: {version}\nmaintainer: nobody\ndescription: empty\n"
        )
        made.append(target / f"{name}.rpm")
        nfpm = pathlib.Path(sys.executable).with_name("nfpm")
        subprocess.run(
            [nfpm, "package", "--config", config, "--packager", "rpm", "--target", made[-1]],
            check=True,
            capture_output=True,
            timeout=60,
        )
    return made


def only(folder: pathlib.Path, pattern: str) -> pathlib.Path:
    """Return the one file of that kind."""
    (found,) = folder.glob(pattern)
    return found
