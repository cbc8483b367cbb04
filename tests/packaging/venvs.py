"""Programs out of PyPI that a test asks and hostcheck does not need: each set in a virtual environment that is kept."""

from __future__ import annotations

import fcntl
import os
import pathlib
import subprocess
import sys
import venv

import pytest

CACHE = (
    pathlib.Path(os.environ.get("HOSTCHECK_CACHE") or pathlib.Path.home() / ".cache" / "hostcheck") / "venvs"
)


def need(*requirements: str) -> pathlib.Path:
    """Return the folder of the programs of these packages; skip the test where they cannot be had."""
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    target = CACHE / "+".join((version, *requirements)).replace("/", "-")
    done = target / "done"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            venv.create(target, with_pip=True, clear=True)
            pip = [
                str(target / "bin" / "python"),
                "-m",
                "pip",
                "--disable-pip-version-check",
                "-q",
                "install",
            ]
            told = subprocess.run([*pip, *requirements], capture_output=True, text=True, timeout=900)
            if told.returncode != 0:
                pytest.skip(f"pip cannot fetch {' '.join(requirements)}: {told.stderr.strip()[-200:]}")
            done.touch()
    return target / "bin"
