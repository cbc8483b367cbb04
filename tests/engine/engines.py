"""Start the real engine in namespaces of its own, with one fault laid down, and say what was seen."""

from __future__ import annotations

import contextlib
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
from typing import Any

import inside
import pytest
import roots

HERE = pathlib.Path(__file__).resolve().parent


def run(suite: str = "bookworm", **spec: Any) -> dict[str, Any]:
    """Return hostcheck's report of a view of the suite's root, and what the engine then did there.

    The keys are those of inside.py; `around` may also name another suite's root, as {bullseye}. Skips where the machine
    cannot do it.
    """
    roots.need_namespaces()
    root = roots.need(suite)
    spec["around"] = [[_roots(word) for word in argv] for argv in spec.get("around", [])]
    busybox = shutil.which("busybox")
    # ldd fails for a static program: there is nothing to list.
    if not busybox or subprocess.run(["ldd", busybox], capture_output=True, timeout=30).returncode == 0:
        pytest.skip("needs a static busybox (apt-get install busybox-static)")
    with tempfile.TemporaryDirectory(prefix="hostcheck-engine-") as work:
        # The name is one that both cgroup drivers take.
        group = f"{pathlib.Path(work).name}.slice"
        spec = {"root": str(root), "work": work, "busybox": busybox, "cgroup": group, **spec}
        try:
            return unshared("inside.py", spec, "--cgroup")
        finally:
            remove_cgroups(group)


def unshared(script: str, spec: dict[str, Any], *also: str) -> dict[str, Any]:
    """Return what a script of this folder prints in namespaces of its own."""
    done = subprocess.run(
        ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", *also,
         sys.executable, str(HERE / script), json.dumps(spec)],
        capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _roots(word: str) -> str:
    """Return a word of a command with the names of suites replaced by where their roots lie."""
    return re.sub(
        r"\{([\w-]+)\}", lambda found: found[0] if found[1] == "root" else str(roots.need(found[1])), word
    )


def remove_cgroups(group: str) -> None:
    """Remove what the containers, which were killed, left of their control groups."""
    top = pathlib.Path("/sys/fs/cgroup")
    for hierarchy in (top, *top.iterdir()):
        folder = hierarchy / group
        for path in sorted(folder.glob("**/"), reverse=True) if folder.is_dir() else []:
            with contextlib.suppress(OSError):
                path.rmdir()


def broken(seen: dict[str, Any]) -> str:
    """Return the first step that failed, or nothing."""
    return next((step for step in inside.STEPS if not seen[step]), "")


def blockers(report: dict[str, Any]) -> list[str]:
    """Return the ids of what hostcheck says blocks."""
    return [r["id"] for r in report["results"] if r["outcome"] == "fail" and r["severity"] == "required"]
