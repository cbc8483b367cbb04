"""Looking at the live machine changes nothing, and nobody sees no failure that root does not."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
from typing import Any

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
REPORT = ("-m", "hostcheck", "--format", "json")
# The bytecode cache is Python's own, and is there already when hostcheck is installed.
QUIET = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}

WRITES = re.compile(
    r"\b(?:open|openat|openat2|creat)\(.*?(?:O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|O_APPEND)"
    r"|\b(?:mkdir|rmdir|unlink|rename|link|symlink|mknod|truncate|chmod|fchmod|chown|fchown|lchown|utime)\w*\("
    r"|\b(?:mount|umount2?|init_module|finit_module|delete_module|sethostname|setxattr|fsetxattr|bpf|reboot)\("
    r"|\bconnect\([^{]*\{sa_family=AF_INET"
)


def report(nobody: bool) -> dict[str, Any]:
    code = """
import contextlib, ctypes, os, sys
import locale, selectors, subprocess, traceback
sys.path.insert(0, ".")
import hostcheck.cli
if sys.argv.pop() == "nobody":
    # Once as root, for the imports: Python itself may lie where nobody cannot read.
    with open(os.devnull, "w") as sink, contextlib.redirect_stdout(sink):
        hostcheck.cli.main()
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
    ctypes.CDLL(None).prctl(4, 1)  # PR_SET_DUMPABLE: /proc/self stays its own
sys.exit(hostcheck.cli.main())
"""
    user = "nobody" if nobody else "root"
    done = subprocess.run(
        [sys.executable, "-c", code, "--format", "json", user],
        cwd=ROOT,
        env=QUIET,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stderr == ""
    found: dict[str, Any] = {each["id"]: each for each in json.loads(done.stdout)["results"]}
    return found


@pytest.mark.root
def test_nobody_sees_no_failure_that_root_does_not() -> None:
    checks = ROOT / "checks"
    if any(folder.stat().st_mode & 0o5 != 0o5 for folder in (checks, *checks.parents)):
        pytest.skip("nobody may not list the checks of this checkout")
    root, nobody = report(False), report(True)
    assert root.keys() == nobody.keys()
    for name, seen in nobody.items():
        # That it is not root is what os.root says.
        if seen["outcome"] == root[name]["outcome"] or name == "os.root":
            continue
        assert seen["outcome"] == "unknown", (name, root[name]["outcome"], seen)
        assert "/" in seen["reason"], (name, seen["reason"])


def machine() -> dict[str, Any]:
    """Return what a check might have changed: mounts and modules. Whether sysctls are, the trace shows."""
    loaded = pathlib.Path("/proc/modules")  # not there where the kernel has no modules
    modules = [line.split()[0] for line in loaded.read_text().splitlines()] if loaded.exists() else []
    return {"mounts": pathlib.Path("/proc/mounts").read_text(), "modules": modules}


@pytest.mark.root
def test_nothing_is_changed(tmp_path: pathlib.Path) -> None:
    if not shutil.which("strace"):
        pytest.skip("no strace")
    trace = tmp_path / "trace"
    before = machine()
    done = subprocess.run(
        ["strace", "-f", "-qq", "-s", "200", "-e", "trace=%file,%network,%process", "-o", str(trace),
         sys.executable, *REPORT],
        cwd=ROOT, env=QUIET, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    if not trace.exists() or not trace.stat().st_size:
        pytest.skip(f"strace may trace nothing here: {done.stderr.strip()}")
    assert json.loads(done.stdout)["results"]
    lines = trace.read_text(errors="replace").splitlines()
    assert sum("openat(" in line for line in lines) > 100
    assert [line for line in lines if WRITES.search(line) and '"/dev/null"' not in line] == []
    assert machine() == before
