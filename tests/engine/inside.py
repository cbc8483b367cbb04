"""Runs inside fresh namespaces: lays one fault down, asks hostcheck, then starts the real engine and looks.

    unshare --mount --net --pid --fork --cgroup python inside.py SPEC

SPEC is JSON: root (a Debian root, used as the lower layer of an overlay), work (an empty folder), files (path to text),
remove (paths), commands (argv lists, run in the root), flags (of dockerd), limits (resource to value). One JSON object
with what was seen goes to standard output. Everything started here ends with the pid namespace.
"""

from __future__ import annotations

import json
import os
import pathlib
import resource
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import Any

PROJECT = pathlib.Path(__file__).resolve().parents[2]
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
START_SECONDS = 20.0


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, timeout=30)


def view(lower: str, work: pathlib.Path) -> pathlib.Path:
    """Return a writable view of the root, with /proc, /sys, /dev and room for containers."""
    mount("--make-rprivate", "/")
    mount("-t", "tmpfs", "tmpfs", str(work))
    for name in ("up", "work", "root"):
        (work / name).mkdir()
    root = work / "root"
    mount(
        "-t",
        "overlay",
        "overlay",
        "-o",
        f"lowerdir={lower},upperdir={work}/up,workdir={work}/work",
        str(root),
    )
    mount("-t", "proc", "proc", str(root / "proc"))
    mount("--rbind", "/sys", str(root / "sys"))
    mount("--rbind", "/dev", str(root / "dev"))
    mount("-t", "tmpfs", "tmpfs", str(root / "run"))
    # overlay cannot lie on overlay: containers get a file system of their own.
    for name in ("docker", "containerd"):
        (root / "var/lib" / name).mkdir(exist_ok=True)
        mount("-t", "tmpfs", "tmpfs", str(root / "var/lib" / name))
    # hostcheck itself, and the Python that runs it.
    for path in {str(PROJECT), sys.prefix, sys.base_prefix}:
        if not path.startswith("/usr"):
            (root / path.lstrip("/")).mkdir(parents=True, exist_ok=True)
            mount("--rbind", path, str(root / path.lstrip("/")))
    return root


def chroot(root: pathlib.Path, *argv: str, seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["chroot", str(root), *argv], capture_output=True, text=True, timeout=seconds, env=ENVIRONMENT
    )


def hostcheck(root: pathlib.Path) -> dict[str, Any]:
    """Return the report that hostcheck gives of the view as a live host."""
    done = subprocess.run(
        ["chroot", str(root), sys.executable, "-m", "hostcheck", "-f", "json", "--no-plugins"],
        capture_output=True,
        text=True,
        timeout=60,
        env={**ENVIRONMENT, "PYTHONPATH": str(PROJECT), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    if done.returncode not in (0, 1):
        raise RuntimeError(done.stderr)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def wait(process: subprocess.Popen[bytes], ready: Any, seconds: float = START_SECONDS) -> bool:
    """Return whether `ready` came true before the process ended or the time was up."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        if ready():
            return True
        if process.poll() is not None:
            return False
        time.sleep(0.1)
    return False


def observe(root: pathlib.Path, spec: dict[str, Any]) -> dict[str, Any]:
    """Start containerd and dockerd, run a container, publish a port."""

    def limit() -> None:
        for name, value in spec.get("limits", {}).items():
            resource.setrlimit(getattr(resource, name), (value, value))

    logs = {name: (root / f"run/{name}.log").open("wb") for name in ("containerd", "dockerd")}
    seen: dict[str, Any] = {
        "started": False,
        "ran": False,
        "volume": False,
        "port": False,
        "error": "",
        "info": None,
    }
    socket = root / "run/containerd/containerd.sock"
    containerd = subprocess.Popen(
        ["chroot", str(root), "containerd", "--log-level", "error"],
        stdout=logs["containerd"], stderr=subprocess.STDOUT, env=ENVIRONMENT, preexec_fn=limit,
    )  # fmt: skip
    wait(containerd, socket.exists, 5.0)
    dockerd = subprocess.Popen(
        ["chroot", str(root), "dockerd", "-H", "unix:///run/docker.sock",
         "--containerd=/run/containerd/containerd.sock", *spec.get("flags", [])],
        stdout=logs["dockerd"], stderr=subprocess.STDOUT, env=ENVIRONMENT, preexec_fn=limit,
    )  # fmt: skip
    try:
        # Not `docker info`, which succeeds without a daemon.
        def answers() -> bool:
            try:
                return chroot(root, "docker", "version", seconds=3.0).returncode == 0
            except subprocess.TimeoutExpired:
                return False

        seen["started"] = wait(dockerd, answers)
        if seen["started"]:
            seen["info"] = json.loads(chroot(root, "docker", "info", "--format", "{{json .}}").stdout)
            _containers(root, seen)
        else:
            seen["error"] = (root / "run/dockerd.log").read_text(errors="replace")[-1500:]
    finally:
        # Not gently: a container whose first process ignores signals would hold dockerd for ten seconds.
        # What is left ends with the pid namespace.
        dockerd.kill()
        containerd.kill()
    return seen


def _containers(root: pathlib.Path, seen: dict[str, Any]) -> None:
    imported = chroot(root, "sh", "-c", "tar -C /image -c . | docker import - tiny")
    ran = chroot(root, "docker", "run", "--rm", "tiny", "/busybox", "echo", "it runs")
    seen["ran"] = ran.stdout.strip() == "it runs"
    seen["error"] = imported.stderr + ran.stderr
    if not seen["ran"]:
        return
    program = "/busybox cp /busybox /v/busybox && /v/busybox echo from a volume"
    volume = chroot(root, "docker", "run", "--rm", "-v", "data:/v", "tiny", "/busybox", "sh", "-c", program)
    seen["volume"] = volume.stdout.strip() == "from a volume"
    seen["error"] += volume.stderr
    served = chroot(
        root, "docker", "run", "-d", "-p", "8080:80", "tiny", "/busybox", "httpd", "-f", "-p", "80"
    )
    seen["error"] += served.stderr
    for _ in range(20):
        try:
            urllib.request.urlopen("http://127.0.0.1:8080/", timeout=2)
            seen["port"] = True
        except urllib.error.HTTPError:
            # An empty folder is served with 404: that is an answer.
            seen["port"] = True
        except OSError:
            time.sleep(0.1)
            continue
        break


def main() -> int:
    """Do what the specification says."""
    spec = json.loads(sys.argv[1])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True, timeout=30)
    root = view(spec["root"], pathlib.Path(spec["work"]))
    (root / "image").mkdir()
    (root / "image/busybox").write_bytes(pathlib.Path(spec["busybox"]).read_bytes())
    (root / "image/busybox").chmod(0o755)
    for path, text in spec.get("files", {}).items():
        target = root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    for path in spec.get("remove", []):
        (root / path.lstrip("/")).unlink()
    for argv in spec.get("commands", []):
        done = chroot(root, *argv)
        if done.returncode:
            raise RuntimeError(f"{argv}: {done.stderr}")
    report = hostcheck(root)
    seen = observe(root, spec) if spec.get("observe", True) else {}
    json.dump({"report": report, "seen": seen}, sys.stdout)
    return 0


if __name__ == "__main__":
    os.environ.pop("PYTHONPATH", None)
    sys.exit(main())
