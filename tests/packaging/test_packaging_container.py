"""The container image: built by the real docker of Debian 12 without a registry, and run on a host of its own."""

from __future__ import annotations

import json
import pathlib
import shutil
import subprocess
import sys

import builds
import engines
import pytest
import roots

PACKAGING = builds.PROJECT / "packaging"

pytestmark = [pytest.mark.root, pytest.mark.apt, pytest.mark.engine]


def test_image(tmp_path: pathlib.Path) -> None:
    executable = builds.executable()
    roots.need_namespaces()
    busybox = shutil.which("busybox")
    if not busybox:
        pytest.skip("needs a static busybox (apt-get install busybox-static)")
    group = f"hostcheck-image-{tmp_path.name.replace('_', '-')}.slice"
    spec = {
        "root": str(roots.need("bookworm")),
        "work": str(tmp_path),
        "busybox": busybox,
        "cgroup": group,
        "files": [str(executable), str(PACKAGING / "container" / "Dockerfile")],
    }
    try:
        done = subprocess.run(
            ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--cgroup",
             sys.executable, PACKAGING.parent / "tests" / "packaging" / "inside_docker.py", json.dumps(spec)],
            capture_output=True, text=True, timeout=300,
        )  # fmt: skip
    finally:
        engines.remove_cgroups(group)
    assert done.returncode == 0, done.stderr[-3000:]
    seen = json.loads(done.stdout)
    config = seen["image"]["Config"]
    assert config["User"] == "65532:65532"
    assert config["Entrypoint"] == ["/usr/bin/hostcheck"]
    assert seen["image"]["Size"] == executable.stat().st_size
    assert "the standalone executable /usr/bin/hostcheck" in seen["version"]
    outside = {each["id"]: each["outcome"] for each in seen["outside"]["results"]}
    inside = {each["id"]: each["outcome"] for each in seen["report"]["results"]}
    assert len(inside) > 100
    # What it says, root says too; the rest it may not see.
    other = {name: outcome for name, outcome in inside.items() if outcome != outside[name]}
    assert set(other.values()) <= {"unknown"}, other
    assert len(other) < len(inside) / 10, other
