"""Build the container image with the real docker and run it: executed in namespaces of its own by the test of it."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from typing import Any

# Executed by itself, it is told of no path.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "engine"))

import inside

OPTIONS = [
    "--read-only",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--pid=host",
    "--network=host",
]
"""As the DaemonSet has it."""


def build_and_run(door: tuple[str, ...]) -> dict[str, Any]:
    """Return what docker says of the image, and the report of a container of it."""

    def docker(*argv: str) -> str:
        done = inside.run(*door, "docker", *argv, seconds=120.0)
        if done.returncode not in (0, 1) or (argv[0] != "run" and done.returncode):
            raise RuntimeError(f"docker {argv}: {done.stdout} {done.stderr}")
        return done.stdout

    # Not BuildKit, which Debian 12 has no client of.
    docker("build", "-t", "hostcheck", "-f", "/build/Dockerfile", "/build")
    image = json.loads(docker("image", "inspect", "hostcheck"))[0]
    version = docker("run", "--rm", *OPTIONS, "hostcheck", "--version", "-v")
    report = docker(
        "run", "--rm", *OPTIONS, "--volume=/:/host:ro", "hostcheck", "--root", "/host", "-f", "json"
    )
    return {"image": image, "version": version, "report": json.loads(report)}


def main() -> int:
    """Start the engine and do it."""
    spec = json.loads(sys.argv[1])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True, timeout=30)
    root = inside.view(spec["root"], pathlib.Path(spec["work"]))
    inside.lay_image(root, spec["busybox"])
    (root / "build").mkdir()
    for path in spec["files"]:
        target = root / "build" / pathlib.Path(path).name
        target.write_bytes(pathlib.Path(path).read_bytes())
        target.chmod(0o755)
    door = inside.boot(root)
    containerd = subprocess.Popen([*door, "containerd", "--log-level", "error"], env=inside.ENVIRONMENT)
    inside.wait(containerd, (root / "run/containerd/containerd.sock").exists, 30.0)
    dockerd = subprocess.Popen(
        [*door, "dockerd", "-H", "unix:///run/docker.sock", "--containerd=/run/containerd/containerd.sock",
         "--cgroup-parent", spec["cgroup"], "--log-level=error"],
        env=inside.ENVIRONMENT,
    )  # fmt: skip
    try:
        inside.wait(dockerd, lambda: inside.run(*door, "docker", "version").returncode == 0)
        # As a tree: here the first process of /proc has another root, so /host is not seen to be the running one.
        json.dump({**build_and_run(door), "outside": inside.hostcheck(root=root)}, sys.stdout)
    finally:
        dockerd.kill()
        containerd.kill()
    return 0


if __name__ == "__main__":
    os.environ.pop("PYTHONPATH", None)
    sys.exit(main())
