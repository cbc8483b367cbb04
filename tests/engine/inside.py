"""Runs inside fresh namespaces: lays one fault down, asks hostcheck, then starts the real engine and looks.

    unshare --mount --net --pid --fork --cgroup python inside.py SPEC

SPEC is JSON: root (a Debian root, used as the lower layer of an overlay), work (an empty folder), cgroup (the parent of
all containers), files (path to text), remove (paths), commands (argv lists, run in the root), around (argv lists, run
with this machine's programs in the same namespaces; {root} is the root), flags (of dockerd), limits (resource to value)
and group (control-group controller to limit), both of the engines, no_user_namespaces (true: the kernel makes none for
them). One JSON object goes to standard output: report (of
the root as a live host), tree (of the root at rest) and seen (what the engine did). Everything started here ends with
the pid namespace.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import pathlib
import resource
import struct
import subprocess
import sys
import time
from typing import Any

PROJECT = pathlib.Path(__file__).resolve().parents[2]
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
START_SECONDS = 60.0
HERE, OUTSIDE = "198.51.100.1", "198.51.100.2"
"""Of a range for documentation: the namespace of the engine, and a machine beside it, in a namespace too."""


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, timeout=30)


def mounted_below(top: str) -> list[str]:
    """Return the mounts below a folder, but those below one of them."""
    table = pathlib.Path("/proc/self/mountinfo").read_text()
    points = sorted({line.split()[4] for line in table.splitlines()})
    found: list[str] = []
    for point in points:
        if point.startswith(f"{top}/") and not any(point.startswith(f"{each}/") for each in found):
            found.append(point)
    return found


def writable(lower: str, work: pathlib.Path) -> pathlib.Path:
    """Return a writable view of a root; what is written ends with the mount namespace."""
    mount("--make-rprivate", "/")
    mount("-t", "tmpfs", "tmpfs", str(work))
    for name in ("up", "work", "root"):
        (work / name).mkdir()
    layers = f"lowerdir={lower},upperdir={work}/up,workdir={work}/work"
    mount("-t", "overlay", "overlay", "-o", layers, str(work / "root"))
    return work / "root"


def view(lower: str, work: pathlib.Path) -> pathlib.Path:
    """Return a writable view of the root, with /proc, /sys, /dev and room for containers."""
    root = writable(lower, work)
    mount("-t", "proc", "proc", str(root / "proc"))
    # Not that of this machine, which shows the interfaces of another network namespace.
    mount("-t", "sysfs", "sysfs", str(root / "sys"))
    for point in mounted_below("/sys"):
        mount("--rbind", point, str(root / point.lstrip("/")))
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
            # A fault may remove the folder that it lies in.
            mount("-o", "remount,ro,bind", str(root / path.lstrip("/")))
    return root


def run(*argv: str, seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, capture_output=True, text=True, timeout=seconds, env=ENVIRONMENT)


def lay_image(root: pathlib.Path, busybox: str) -> None:
    """Lay a static busybox into the root: what containers are made of, and what `boot` needs."""
    (root / "image").mkdir()
    (root / "image/busybox").write_bytes(pathlib.Path(busybox).read_bytes())
    (root / "image/busybox").chmod(0o755)
    (root / "image/hello").write_text("hello\n")


def boot(root: pathlib.Path) -> tuple[str, ...]:
    """Return the words that run a command on a machine whose / is this root, with the image laid into it.

    Not chroot: the kernel makes no user namespace there, and the mount table would have no /.
    """
    script = """
        cd "$0" && pivot_root . mnt && cd / && /image/busybox umount -l /mnt && echo up &&
        exec /image/busybox sleep 1000"""
    argv = ["unshare", "--mount", "sh", "-c", script, str(root)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    if not process.stdout or process.stdout.readline() != "up\n":
        raise RuntimeError("the root cannot be made /")
    return ("nsenter", "--mount", f"--target={process.pid}")


def hostcheck(*before: str, root: pathlib.Path | None = None, policy: str = "docker") -> dict[str, Any]:
    """Return the report that hostcheck gives, run behind the words of `before`."""
    host = ["--root", str(root)] if root else []
    done = subprocess.run(
        [*before, sys.executable, "-m", "hostcheck", *host, "--policy", policy, "-f", "json", "--no-plugins"],
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


def limited_group(name: str, limits: dict[str, int]) -> list[pathlib.Path]:
    """Make control groups with these limits, as systemd would for a unit, and return the files that take members."""
    top = pathlib.Path("/sys/fs/cgroup")
    members = []
    for controller, value in limits.items():
        hierarchy = top / controller
        file = {"pids": "pids.max", "memory": "memory.limit_in_bytes"}[controller]
        if not hierarchy.is_dir():  # v2
            hierarchy, file = top, f"{controller}.max"
            (top / "cgroup.subtree_control").write_text(f"+{controller}")
            (top / name).mkdir(exist_ok=True)
            (top / name / "cgroup.subtree_control").write_text(f"+{controller}")
        group = hierarchy / name / "engine"
        group.mkdir(parents=True, exist_ok=True)
        (group / file).write_text(str(value))
        members.append(group / "cgroup.procs")
    return members


def forbid_user_namespaces() -> None:
    """Have the kernel answer this process as it does where user.max_user_namespaces is 0.

    That number is the whole machine's, so a filter of system calls stands in for it.
    """
    unshare, clone, clone3, newuser = 272, 56, 435, 0x10000000

    def equal(value: int, otherwise: int) -> bytes:
        return struct.pack("HBBI", 0x15, 0, otherwise, value)

    load = [
        struct.pack("HBBI", 0x20, 0, 0, offset) for offset in (0, 16)
    ]  # the call's number, its first word
    error = [struct.pack("HBBI", 0x06, 0, 0, 0x00050000 | number) for number in (errno.ENOSPC, errno.ENOSYS)]
    allow = struct.pack("HBBI", 0x06, 0, 0, 0x7FFF0000)
    flag = struct.pack("HBBI", 0x45, 0, 1, newuser)
    check = [load[1], flag, error[0], allow]
    # clone3 hands its flags over in memory, where no filter sees them; without it programs take clone.
    program = [load[0], equal(clone3, 1), error[1], equal(unshare, 4), *check, equal(clone, 4), *check, allow]
    code = ctypes.create_string_buffer(b"".join(program))
    filter_ = ctypes.create_string_buffer(struct.pack("HP", len(program), ctypes.addressof(code)))
    if ctypes.CDLL(None, use_errno=True).prctl(22, 2, filter_, 0, 0):
        raise OSError(ctypes.get_errno(), "no filter")


def observe(
    root: pathlib.Path, door: tuple[str, ...], beside: int, members: list[pathlib.Path], spec: dict[str, Any]
) -> dict[str, Any]:
    """Start containerd and dockerd, run a container, reach out of one, publish a port."""

    def limit() -> None:
        for file in members:
            file.write_text(str(os.getpid()))
        for name, value in spec.get("limits", {}).items():
            resource.setrlimit(getattr(resource, name), (value, value))
        if spec.get("no_user_namespaces"):
            forbid_user_namespaces()

    logs = {name: (root.parent / f"{name}.log").open("wb") for name in ("containerd", "dockerd")}
    seen: dict[str, Any] = {**dict.fromkeys(STEPS, False), "error": "", "info": None}
    socket = root / "run/containerd/containerd.sock"
    containerd = subprocess.Popen(
        [*door, "containerd", "--log-level", "error"],
        stdout=logs["containerd"], stderr=subprocess.STDOUT, env=ENVIRONMENT, preexec_fn=limit,
    )  # fmt: skip
    # Without containerd dockerd says nothing for a minute, and then gives up.
    patience = START_SECONDS if wait(containerd, socket.exists, 15.0) else 5.0
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
            _containers(root, door, seen, beside)
        if not all(seen[step] for step in STEPS):
            log = pathlib.Path(logs["dockerd"].name).read_text(errors="replace")
            seen["error"] = log[-1500:] + seen["error"]
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
        try:
            done = run(*door, "docker", *argv)
        except subprocess.TimeoutExpired as error:
            seen["error"] += f"{error}"
            return False
        seen["error"] += done.stderr
        return done.returncode == 0

    def fetched(*argv: str) -> bool:
        """Whether what argv prints, in a few seconds, is the page of a web server here."""
        for _ in range(20):
            done = subprocess.run(argv, capture_output=True, text=True, timeout=30)
            if done.returncode == 0 or "refused" not in done.stderr:
                break
            time.sleep(0.1)
        return done.stdout.strip() == "hello"

    def get(busybox: str) -> tuple[str, ...]:
        # Not `wget -T 2`, which crashes where busybox is static.
        return (busybox, "timeout", "5", busybox, "wget", "-q", "-O", "-")

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
    lay_image(root, spec["busybox"])
    beside = neighbour(root / "image")
    # Before anything is laid down, which may take the control groups away.
    members = limited_group(spec["cgroup"], spec.get("group", {}))
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
        words = [word.replace("{root}", str(root)) for word in argv]
        # What it says is no part of the answer.
        subprocess.run(words, check=True, timeout=30, stdout=subprocess.DEVNULL)
    tree = hostcheck(root=root)
    door = boot(root)
    report = hostcheck(*door)
    seen = observe(root, door, beside.pid, members, spec)
    json.dump({"report": report, "tree": tree, "seen": seen}, sys.stdout)
    return 0


if __name__ == "__main__":
    os.environ.pop("PYTHONPATH", None)
    sys.exit(main())
