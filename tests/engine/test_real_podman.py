"""What hostcheck says of a root blocks podman is what keeps the real podman from running there.

Every run takes one release through all faults; HOSTCHECK_ALL_FAULTS=1 (`make test-faults`) all three.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest
import roots
from podman_faults import FAULTS

INSIDE = pathlib.Path(__file__).resolve().parent / "inside_podman.py"
SUITES = ("bookworm", "trixie", "sid") if os.environ.get("HOSTCHECK_ALL_FAULTS") else ("trixie",)
OURS = {
    "podman.containers_conf",
    "podman.programs",
    "podman.network",
    "podman.hooks",
    "podman_storage.configuration",
}
OURS |= {"images.policy", "images.registries", "cni.plugins", "firewall.iptables"}
pytestmark = [pytest.mark.root, pytest.mark.apt]


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("name", FAULTS)
def test_fault(name: str, suite: str, tmp_path: pathlib.Path) -> None:
    roots.need_namespaces()
    spec = {"root": str(roots.need(f"{suite}-podman")), "work": str(tmp_path), "files": FAULTS[name]}
    done = subprocess.run(
        ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc",
         sys.executable, str(INSIDE), json.dumps(spec)],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    seen = json.loads(done.stdout.strip().splitlines()[-1])
    assert seen["works"] or name != "nothing", seen["said"]
    if seen["works"]:
        assert not seen["blockers"], "podman works"
    else:
        assert set(seen["blockers"]) & OURS, seen["said"]
