"""What hostcheck says of a root blocks podman is what keeps the real podman from running there.

Every run takes one release through all faults; HOSTCHECK_ALL_FAULTS=1 (`make test-faults`) all three.
"""

from __future__ import annotations

import os
import pathlib

import engines
import pytest
import roots
from podman_faults import FAULTS

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
    seen = engines.unshared("inside_podman.py", spec)
    blockers = engines.blockers(seen["report"])
    assert seen["works"] or name != "nothing", seen["said"]
    if seen["works"]:
        assert not blockers, "podman works"
    else:
        assert set(blockers) & OURS, seen["said"]
