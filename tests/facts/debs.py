"""Real programs: Debian packages of this machine's own release, fetched once, unpacked and kept."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

CACHE = (
    pathlib.Path(os.environ.get("HOSTCHECK_CACHE") or pathlib.Path.home() / ".cache" / "hostcheck") / "debs"
)


def need(*packages: str) -> pathlib.Path:
    """Return a folder into which these packages are unpacked; skip the test where they cannot be had."""
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        pytest.skip("needs apt-get and dpkg")
    target = CACHE / "unpacked" / "+".join(packages)
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = pathlib.Path(tempfile.mkdtemp(dir=CACHE))
    try:
        done = subprocess.run(
            ["apt-get", "download", *packages], cwd=scratch, capture_output=True, text=True, timeout=300
        )
        if done.returncode != 0:
            pytest.skip(f"apt-get download {' '.join(packages)}: {done.stderr.strip()[-200:]}")
        tree = scratch / "tree"
        for deb in sorted(scratch.glob("*.deb")):
            subprocess.run(["dpkg", "-x", str(deb), str(tree)], check=True, timeout=300)
        if not target.is_dir():
            tree.rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return target
