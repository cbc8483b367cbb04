"""Recordings of real roots with real engines: a replay says what the tree itself says, and holds little of it."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from typing import Any

import pytest
import roots

ROOT = pathlib.Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.root, pytest.mark.apt, pytest.mark.engine]


def hostcheck(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "hostcheck", *arguments], capture_output=True, text=True, cwd=ROOT, timeout=120
    )
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


def report(target: pathlib.Path, policy: str) -> Any:
    found = json.loads(hostcheck(str(target), "-f", "json", "--no-plugins", "--policy", policy))
    del found["started"], found["seconds"], found["host"]["name"]
    found["host"].pop("recording", None)
    for result in found["results"]:
        del result["seconds"]
    return found


@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
def test_a_replay_of_a_root_with_engines(tmp_path: pathlib.Path, suite: str) -> None:
    root = roots.need(suite)
    recording = tmp_path / f"{suite}.tar.gz"
    hostcheck("record", "--root", str(root), str(recording))
    assert recording.stat().st_size < 5_000_000, "a support case can be sent by mail"
    for policy in ("docker", "kubernetes", "docker-rootless", "golden-image"):
        said = report(root, policy)
        replayed = report(recording, policy)
        # The name of the tree stands in no finding, so nothing but the name differs.
        assert replayed == said
        assert said["host"]["engines"]["docker"]
    assert hostcheck("facts", str(recording)) == hostcheck("facts", "--root", str(root))
