"""Runs inside fresh namespaces: lays one fault down, asks hostcheck, then starts the real engine and looks.

    unshare --mount --net --pid --fork --cgroup python inside.py SPEC

SPEC is JSON: root (a Debian root, used as the lower layer of an overlay), work (an empty folder), cgroup (the parent of
all containers), files (path to text), remove (paths), commands (argv lists, run in the root), around (argv lists, run
with this machine's programs in the same namespaces; {root} is the root), flags (of dockerd), limits (resource to
value). One JSON object goes to standard output: report (of the root as a live host), tree (of the root at rest) and
seen (what the engine did). Everything started here ends with the pid namespace.
"""

from __future__ import annotations

import json
import os
import pathlib
import resource
import subprocess
import sys
import time
from typing import Any

PROJECT = pathlib.Path(__file__).resolve().parents[2]
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
START_SECONDS = 20.0
HERE, OUTSIDE = "198.51.100.1", "198.51.100.2"
"""Of a range for documentation: the namespace of the engine, and a machine beside it, in a namespace too."""


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


def run(*argv: str, seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, capture_output=True, text=True, timeout=seconds, env=ENVIRONMENT)


def boot(root: pathlib.Path) -> tuple[str, ...]:
    """Return the words that run a command on a machine whose / is this root.

    Not chroot: the kernel makes no user namespace there, and the mount table would have no /.
    """
    script = """
        cd "$0" && mkdir -p .old && pivot_root . .old && cd / && umount -l /.old && rmdir /.old && echo up
        exec sleep infinity"""
    argv = ["unshare", "--mount", "sh", "-c", script, str(root)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    if not process.stdout or process.stdout.readline() != "up\n":
        raise RuntimeError("the root cannot be made /")
    return ("nsenter", "--mount", f"--target={process.pid}")


def hostcheck(*before: str, root: pathlib.Path | None = None) -> dict[str, Any]:
    """Return the report that hostcheck gives, run behind the words of `before`."""
    host = ["--root", str(root)] if root else []
    done = subprocess.run(
        [*before, sys.executable, "-m", "hostcheck", *host, "-f", "json", "--no-plugins"],
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


def neighbour(image: pathlib.Path) -> subprocess.Popen[bytes]:
    """Start a machine beside this one: a network namespace at the other end of a cable, with a web server."""
    script = f"""
        until ip link set eth0 up 2>/dev/null; do sleep 0.02; done
        ip addr add {OUTSIDE}/24 dev eth0
        exec {image}/busybox httpd -f -p 80 -h {image}"""
    process = subprocess.Popen(["unshare", "--net", "sh", "-c", script])
    ours = os.readlink("/proc/self/ns/net")
    wait(process, lambda: os.readlink(f"/proc/{process.pid}/ns/net") != ours)
    link = ["ip", "link", "add", "cable", "type", "veth", "peer", "name", "eth0", "netns", str(process.pid)]
    for argv in (
        link,
        ["ip", "addr", "add", f"{HERE}/24", "dev", "cable"],
        ["ip", "link", "set", "cable", "up"],
    ):
        subprocess.run(argv, check=True, timeout=30)
    return process


def observe(root: pathlib.Path, door: tuple[str, ...], spec: dict[str, Any]) -> dict[str, Any]:
    """Start containerd and dockerd, run a container, reach out of one, publish a port."""
    beside = neighbour(root / "image")

    def limit() -> None:
        for name, value in spec.get("limits", {}).items():
            resource.setrlimit(getattr(resource, name), (value, value))

    logs = {name: (root / f"run/{name}.log").open("wb") for name in ("containerd", "dockerd")}
    seen: dict[str, Any] = {**dict.fromkeys(STEPS, False), "error": "", "info": None}
    socket = root / "run/containerd/containerd.sock"
    containerd = subprocess.Popen(
        [*door, "containerd", "--log-level", "error"],
        stdout=logs["containerd"], stderr=subprocess.STDOUT, env=ENVIRONMENT, preexec_fn=limit,
    )  # fmt: skip
    # Without containerd dockerd says nothing for a minute, and then gives up.
    patience = START_SECONDS if wait(containerd, socket.exists, 5.0) else 5.0
    dockerd = subprocess.Popen(
        [*door, "dockerd", "-H", "unix:///run/docker.sock",
         "--containerd=/run/containerd/containerd.sock", "--cgroup-parent", spec["cgroup"],
         *spec.get("flags", [])],
        stdout=logs["dockerd"], stderr=subprocess.STDOUT, env=ENVIRONMENT, preexec_fn=limit,
    )  # fmt: skip
    try:
        # Not `docker info`, which succeeds without a daemon.
        def answers() -> bool:
            try:
                return run(*door, "docker", "version", seconds=3.0).returncode == 0
            except subprocess.TimeoutExpired:
                return False

        seen["started"] = wait(dockerd, answers, patience)
        if seen["started"]:
            seen["info"] = json.loads(run(*door, "docker", "info", "--format", "{{json .}}").stdout)
            _containers(root, door, seen, beside.pid)
        else:
            seen["error"] = pathlib.Path(logs["dockerd"].name).read_text(errors="replace")[-1500:]
    finally:
        # Not gently: a container whose first process ignores signals would hold dockerd for ten seconds.
        # What is left ends with the pid namespace.
        dockerd.kill()
        containerd.kill()
    return seen


STEPS = ("started", "ran", "volume", "outside", "port", "published")
"""What must go well: dockerd starts, a container runs, runs what lies in a volume, reaches another machine, and is
reached through a published port, from this machine and from another one."""


def _containers(root: pathlib.Path, door: tuple[str, ...], seen: dict[str, Any], beside: int) -> None:
    def docker(*argv: str) -> bool:
        # Not what was printed: now and then dockerd loses the last words of a short container.
        done = run(*door, "docker", *argv)
        seen["error"] += done.stderr
        return done.returncode == 0

    def fetched(*argv: str) -> bool:
        """Whether what argv prints, in at most two seconds, is the page of a web server here."""
        for _ in range(20):
            done = subprocess.run(argv, capture_output=True, text=True, timeout=30)
            if done.returncode == 0 or "refused" not in done.stderr:
                break
            time.sleep(0.1)
        return done.stdout.strip() == "hello"

    def get(busybox: str) -> tuple[str, ...]:
        # Not `wget -T 2`, which crashes where busybox is static.
        return (busybox, "timeout", "2", busybox, "wget", "-q", "-O", "-")

    here = get(f"{root}/image/busybox")
    seen["error"] += run(*door, "sh", "-c", "tar -C /image -c . | docker import - tiny").stderr
    seen["ran"] = docker("run", "--rm", "tiny", "/busybox", "true")
    if not seen["ran"]:
        return
    program = "/busybox cp /busybox /v/busybox && /v/busybox true"
    seen["volume"] = docker("run", "--rm", "-v", "data:/v", "tiny", "/busybox", "sh", "-c", program)
    docker("run", "-d", "--name", "web", "-p", "8080:80", "tiny", "/busybox", "httpd", "-f", "-p", "80")
    seen["outside"] = docker("exec", "web", *get("/busybox"), f"http://{OUTSIDE}/hello")
    seen["port"] = fetched(*here, "http://127.0.0.1:8080/hello")
    seen["published"] = fetched(
        "nsenter", "--net", "--target", str(beside), *here, f"http://{HERE}:8080/hello"
    )


def main() -> int:
    """Do what the specification says."""
    spec = json.loads(sys.argv[1])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True, timeout=30)
    root = view(spec["root"], pathlib.Path(spec["work"]))
    (root / "image").mkdir()
    (root / "image/busybox").write_bytes(pathlib.Path(spec["busybox"]).read_bytes())
    (root / "image/busybox").chmod(0o755)
    (root / "image/hello").write_text("hello\n")
    for path, text in spec.get("files", {}).items():
        target = root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    for path in spec.get("remove", []):
        (root / path.lstrip("/")).unlink()
    for argv in spec.get("commands", []):
        done = run("chroot", str(root), *argv)
        if done.returncode:
            raise RuntimeError(f"{argv}: {done.stderr}")
    for argv in spec.get("around", []):
        subprocess.run([word.replace("{root}", str(root)) for word in argv], check=True, timeout=30)
    tree = hostcheck(root=root)
    door = boot(root)
    answer = {"report": hostcheck(*door), "tree": tree, "seen": observe(root, door, spec)}
    json.dump(answer, sys.stdout)
    return 0


if __name__ == "__main__":
    os.environ.pop("PYTHONPATH", None)
    sys.exit(main())
