"""Runs inside a booted image, as a unit of it: writes what the machine is to a disk, as one JSON object.

    python3 truth.py hostcheck.tar's folder DISK

Only what an image of any release has: Python 3.9, its own programs, and hostcheck beside this file.
"""

from __future__ import annotations

import base64
import json
import os
import pathlib
import subprocess
import sys
import time
from typing import Any

HERE = pathlib.Path(__file__).resolve().parent
UNITS = ("docker.service", "containerd.service", "docker.socket")
PROGRAMS = ("docker", "dockerd", "containerd", "ctr", "runc", "docker-init", "docker-proxy", "iptables")
MODULES = (
    "overlay", "br_netfilter", "bridge", "veth", "nf_nat", "xt_conntrack", "xt_addrtype", "ip_vs", "vxlan",
    "macvlan", "ipvlan", "dummy", "nf_tables", "ip_tables", "ip6_tables", "dm_thin_pool", "squashfs", "sctp",
)  # fmt: skip
WORLD = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C",
    "HOME": "/root",
}


def run(*argv: str, seconds: float = 120.0) -> tuple[int, str]:
    """Return the exit code and what was printed."""
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds,
            env={**WORLD, "PYTHONPATH": str(HERE)},
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        return 127, str(problem)
    return done.returncode, done.stdout.decode(errors="replace")


def text(path: str) -> str:
    try:
        return pathlib.Path(path).read_text(errors="replace")
    except OSError:
        return ""


def hostcheck(*arguments: str) -> Any:
    code, out = run(sys.executable, "-m", "hostcheck", *arguments)
    try:
        return json.loads(out)
    except ValueError:
        return {"error": f"{code}: {out[-2000:]}"}


def properties(unit: str) -> dict[str, str]:
    lines = run("systemctl", "show", unit)[1].splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def settled(unit: str, seconds: float = 240.0) -> str:
    """Return the state of a unit that has started, or has given up starting."""
    limit = time.monotonic() + seconds
    while True:
        shown = properties(unit)
        state = shown.get("ActiveState", "")
        if state in ("active", "failed", "inactive") or time.monotonic() > limit:
            return state
        time.sleep(1)


def engine() -> dict[str, Any]:
    """Return what dockerd says of itself, and whether a container runs."""
    found: dict[str, Any] = {"state": settled("docker.service")}
    found["journal"] = run("journalctl", "-b", "-u", "docker", "-o", "cat", "--no-pager")[1][-6000:]
    if found["state"] != "active":
        return found
    for name in ("info", "version"):
        found[name] = json.loads(run("docker", name, "--format", "{{json .}}")[1])
    box = HERE / "image"
    if (box / "busybox").exists():
        run("sh", "-c", f"tar -C {box} -c . | docker import - tiny")
        code, out = run("docker", "run", "--rm", "--network", "none", "tiny", "/busybox", "echo", "ran")
        found["ran"] = (code, out[-2000:])
    return found


def unit_files(times: int = 5) -> str:
    """Return what systemctl lists; on a slow machine it may give up waiting for an answer."""
    for _ in range(times):
        code, out = run("systemctl", "list-unit-files", "--plain", "--no-legend", "--no-pager")
        if code == 0:
            return out
    raise RuntimeError(out)


def truth() -> dict[str, Any]:
    names = ("mounts", "cmdline", "cgroups", "modules", "filesystems", "sys/kernel/osrelease")
    found: dict[str, Any] = {name: text(f"/proc/{name}") for name in names}
    for when in ("before", "early"):
        found[when] = text(f"/run/{when}-sysctl")
    # Before a module is asked for below.
    found["docker"] = engine()
    found["units"] = {unit: properties(unit) for unit in UNITS}
    found["threads"] = [text("/proc/sys/kernel/pid_max"), text("/proc/sys/kernel/threads-max")]
    found["controllers"] = text("/sys/fs/cgroup/cgroup.controllers")
    found["failed"] = run("systemctl", "--failed", "--plain", "--no-legend")[1]
    found["enabled"] = unit_files()
    found["programs"] = {program: run(program, "--version") for program in PROGRAMS}
    found["report"] = hostcheck("-f", "json", "--no-plugins")
    found["recorded"] = run(sys.executable, "-m", "hostcheck", "record", "/run/recording.tar.gz")
    recording = pathlib.Path("/run/recording.tar.gz")
    if recording.exists():
        found["recording"] = base64.b64encode(recording.read_bytes()).decode()
    # Not what modprobe says, which is what an install command says.
    found["modprobe"] = {name: run("modprobe", name)[1] for name in MODULES}
    found["late"] = run("sysctl", "-a")[1]
    found["modules after"] = text("/proc/modules") + text(
        f"/lib/modules/{os.uname().release}/modules.builtin"
    )
    return found


def main() -> int:
    """Do what was asked before, then look."""
    answer: dict[str, Any]
    try:
        spec = json.loads(text(str(HERE / "spec.json")) or "{}")
        done = [run(*argv, seconds=300) for argv in spec.get("commands", ())]
        answer = {} if spec.get("only_commands") else truth()
        answer["commands"] = done
        deb = HERE / "hostcheck.deb"
        if deb.exists():
            # Imported here: it imports this module.
            import exporter

            answer["exporter"] = exporter.look(deb)
    except Exception as problem:
        answer = {"error": repr(problem)}
    with open(sys.argv[1], "wb") as disk:
        disk.write(json.dumps(answer).encode() + b"\0")
        disk.flush()
        os.fsync(disk.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
