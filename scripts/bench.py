"""How long hostcheck takes, as a user waits for it, beside programs that answer some of the same questions.

    python scripts/bench.py [--runs N]

Everything runs in one call and in turn, so that what else the machine does falls on all alike: medians of whole
processes, wall clock, user and system CPU together, and the most memory. hostcheck runs from a wheel in a virtual
environment of its own, as a user has it. What cannot be had (no root, no network) is left out, and the reason printed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

PROJECT = pathlib.Path(__file__).resolve().parents[1]
ENGINE_TESTS = PROJECT / "tests" / "engine"

GOSS = """\
kernel-param:
  net.ipv4.ip_forward: {value: "1"}
  kernel.keys.maxkeys: {value: "200"}
  fs.inotify.max_user_instances: {value: {ge: 128}}
  user.max_user_namespaces: {value: {gt: 0}}
mount:
  /sys/fs/cgroup: {exists: true, filesystem: cgroup2}
file:
  /sys/fs/cgroup/cgroup.controllers: {exists: true, contents: [cpu, memory, pids]}
  /proc/filesystems: {exists: true, contents: [overlay]}
  /etc/docker/daemon.json: {exists: false}
package:
  docker.io: {installed: true}
  podman-docker: {installed: false}
command:
  iptables --version: {exit-status: 0, stdout: [nf_tables]}
  dumpe2fs -h $(findmnt -n -o SOURCE /): {exit-status: 0, stdout: [filetype]}
  zcat -f /proc/config.gz /boot/config-*: {exit-status: 0, stdout: [CONFIG_OVERLAY_FS=, CONFIG_VETH=, CONFIG_BRIDGE=]}
"""
"""A dozen of our questions: ip_forward, keys, inotify, user namespaces, cgroup mode and controllers, overlay, an empty
daemon.json, packages, the back end of iptables, d_type, and three kernel options."""


SAME = (
    "network.ip_forward",
    "sysctl.keys",
    "sysctl.inotify",
    "namespaces.user_limits",
    "cgroup.mode",
    "controllers.available",
    "kernel.config_overlay",
    "kernel.config_base",
    "docker.daemon_json",
    "conflicts.packages",
    "firewall.backend",
    "filesystem.dtype",
)
"""The checks that answer these questions, and more than these."""

BASE = "hostcheck -f json"
DOZEN = "hostcheck -f json, the same dozen checks"
TABLE = "hostcheck -f table"
VERSION = "hostcheck --version"
PYTHON = "python alone"
SCRIPT = "moby's check-config.sh"
GOSS_NAME = "goss, a dozen of our questions"

AIMS = (
    (BASE, SCRIPT, 0.1),
    (BASE, GOSS_NAME, 1.5),
    (DOZEN, GOSS_NAME, 1.5),
    (VERSION, PYTHON, 3),
    (TABLE, BASE, 2),
)
"""What is to take at most so many times as long as what."""


class Missing(Exception):
    """A program to compare with cannot be had here; the text says why."""


class Way(NamedTuple):
    """One program to measure."""

    name: str
    argv: Sequence[str]
    place: Place


class Taken(NamedTuple):
    """What one run of it took."""

    wall: float
    """Seconds, as `cpu`."""
    cpu: float
    peak: int
    """KiB."""


def measure(argv: Sequence[str]) -> Taken:
    """Run one process to its end."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    with open(os.devnull, "r+b") as null:
        began = time.perf_counter()
        process = subprocess.Popen(argv, stdin=null, stdout=null, stderr=null, env=environment)
        # Not wait(): the kernel's own account of the process and of what that waited for.
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(argv)} exits with {process.returncode}")
    return Taken(wall, used.ru_utime + used.ru_stime, used.ru_maxrss)


def in_turn(ways: Sequence[Way], runs: int) -> dict[str, list[Taken]]:
    """Run each way once, then the next round; the first round only warms the caches."""
    taken: dict[str, list[Taken]] = {way.name: [] for way in ways}
    for number in range(runs + 1):
        for way in ways:
            one = way.place.measure(way.argv)
            if number:
                taken[way.name].append(one)
    return taken


def table(taken: dict[str, list[Taken]], base: str) -> Iterator[str]:
    """Yield the lines of the figures; ratios are of the medians of the wall clock, to `base`."""
    unit = statistics.median(one.wall for one in taken[base])
    yield f"{'':40}{'wall ms':>9}{'least':>8}{'cpu ms':>9}{'least':>8}{'MiB':>6}{'ratio':>8}"
    for name, all_of_it in taken.items():
        wall, cpu = [one.wall for one in all_of_it], [one.cpu for one in all_of_it]
        median = statistics.median(wall)
        yield (
            f"{name:40}{median * 1000:9.1f}{min(wall) * 1000:8.1f}{statistics.median(cpu) * 1000:9.1f}"
            f"{min(cpu) * 1000:8.1f}{max(one.peak for one in all_of_it) / 1024:6.0f}{median / unit:8.2f}"
        )


def load() -> str:
    """Return what else the machine does: figures of a busy one are worth their ratios alone."""
    return f"{os.cpu_count()} processors, load average {os.getloadavg()[0]:.1f} when the measuring begins"


def aims(taken: dict[str, list[Taken]]) -> Iterator[str]:
    """Yield how the ratios stand to what is aimed at: of the medians of the wall clock."""
    for name, other, aim in AIMS:
        if name in taken and other in taken:
            one, two = (statistics.median(each.wall for each in taken[way]) for way in (name, other))
            said = "reached" if one <= aim * two else "not reached"
            yield f"{name} to {other}: {one / two:.2f} (aim: {aim}), {said}"


def install(folder: pathlib.Path, extras: str = "") -> pathlib.Path:
    """Return the programs of a virtual environment into which the project is installed as a wheel."""
    source, target = folder / "source", folder / "venv"
    # A copy, so that building leaves nothing in the checkout.
    ignored = shutil.ignore_patterns(".*", "build", "*.egg-info", "__pycache__", "tests")
    shutil.copytree(PROJECT, source, ignore=ignored)
    subprocess.run([sys.executable, "-m", "venv", str(target)], check=True)
    pip = [str(target / "bin/python"), "-m", "pip", "-q", "--disable-pip-version-check", "install"]
    subprocess.run([*pip, f"{source}{extras}"], check=True, stderr=subprocess.DEVNULL)
    return target / "bin"


def debian_root() -> pathlib.Path:
    """Return the root of Debian 12 that the tests of the engines make."""
    sys.path.insert(0, str(ENGINE_TESTS))
    # Imported here: the processes that answer are to stay small.
    import pytest
    import roots

    try:
        return roots.need("bookworm")
    except pytest.skip.Exception as reason:
        raise Missing(f"the root of Debian 12: {reason}") from None


def goss() -> pathlib.Path:
    """Return goss of Debian 13, fetched once with apt into the cache."""
    sys.path.insert(0, str(ENGINE_TESTS))
    import roots

    folder = roots.cache() / "goss"
    program = folder / "tree/usr/bin/goss"
    if program.exists():
        return program
    archive = roots.mirror()
    if archive is None or not shutil.which("apt-get"):
        raise Missing("goss: needs apt-get and a Debian archive")
    for name in ("state/lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    sources = folder / "sources.list"
    key = "/usr/share/keyrings/debian-archive-keyring.gpg"
    sources.write_text(f"deb [signed-by={key}] {archive} trixie main\n")
    (folder / "status").touch()
    options = {
        "Dir::State": folder / "state",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "-",
        "Acquire::Languages": "none",
        "APT::Sandbox::User": "root",
    }
    apt = ["apt-get", "-q", *(f"-o{name}={value}" for name, value in options.items())]
    try:
        for argv in ([*apt, "update"], [*apt, "download", "goss"]):
            subprocess.run(argv, cwd=folder, check=True, capture_output=True, timeout=300)
        deb = next(folder.glob("goss_*.deb"))
        subprocess.run(["dpkg", "-x", str(deb), str(folder / "tree")], check=True, timeout=60)
    except (OSError, StopIteration, subprocess.SubprocessError) as error:
        raise Missing(f"goss: {error}") from None
    return program


class Place:
    """Where programs are measured: a small process of its own, since a program's peak begins with its parent's."""

    def __init__(self, *argv: str) -> None:
        """Start it: `argv` ends with this file and the option that makes it `answer`."""
        self.process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        if self._answer() != "ready":
            raise Missing(self.process.communicate()[1].strip()[-500:])

    def _answer(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().rstrip("\n")

    def measure(self, argv: Sequence[str]) -> Taken:
        """Run one process there to its end."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps(argv) + "\n")
        self.process.stdin.flush()
        answer = self._answer()
        if not answer:
            raise SystemExit(self.process.communicate()[1])
        return Taken(*json.loads(answer))

    def stop(self) -> None:
        """End it, and what it started."""
        self.process.communicate()


def here() -> Place:
    """Return this machine."""
    return Place(sys.executable, __file__, "--answer")


def engine(root: pathlib.Path, work: pathlib.Path, venv: pathlib.Path) -> Place:
    """Return a machine beside this one: Debian 12 with its dockerd running, in namespaces of its own.

    `venv` is seen there under the same path. All of it ends with its pid namespace.
    """
    work.mkdir()
    apart = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--cgroup"]
    return Place(*apart, sys.executable, __file__, "--engine", str(root), str(work), str(venv))


def answer(door: Sequence[str] = ()) -> None:
    """Measure each command that standard input names, run behind the words of `door`."""
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(measure([*door, *json.loads(line)])), flush=True)


def answer_beside_an_engine(root: str, work: str, venv: str) -> None:
    """Start the engine inside the namespaces, then answer."""
    sys.path.insert(0, str(ENGINE_TESTS))
    import inside

    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    view = inside.view(root, pathlib.Path(work))
    busybox = shutil.which("busybox")
    if busybox is None:
        raise SystemExit("no busybox (apt-get install busybox-static)")
    inside.lay_image(view, busybox)
    (view / venv.lstrip("/")).mkdir(parents=True)
    inside.mount("--bind", venv, str(view / venv.lstrip("/")))
    door = inside.boot(view)

    def start(*argv: str) -> subprocess.Popen[bytes]:
        log = (view / f"run/{argv[0]}.log").open("wb")
        return subprocess.Popen([*door, *argv], stdout=log, stderr=log, env=inside.ENVIRONMENT)

    inside.wait(start("containerd"), (view / "run/containerd/containerd.sock").exists)
    dockerd = start(
        "dockerd", "-H", "unix:///run/docker.sock", "--containerd=/run/containerd/containerd.sock"
    )
    if not inside.wait(dockerd, lambda: inside.run(*door, "docker", "version").returncode == 0):
        raise SystemExit((view / "run/dockerd.log").read_text(errors="replace"))
    answer(door)


CHECK = '''
class Scale{group}Number{number}(Check):
    """The number is one.

    *Why*: it measures what a check costs that costs nothing itself.
    """

    id = "scale{group}.number{number}"

    def run(self, host: Host) -> Iterator[Finding]:
        yield passed("number", "is one", value="1")

'''


def write_checks(folder: pathlib.Path, count: int) -> None:
    """Lay down `count` checks, ten a file."""
    folder.mkdir()
    for group in range(count // 10):
        head = "from collections.abc import Iterator\n\nfrom hostcheck.api import Check, Finding, Host, passed\n\n"
        checks = "\n".join(CHECK.format(group=group, number=number) for number in range(10))
        (folder / f"scale{group}.py").write_text(head + checks)


def scaling(hostcheck: str, place: Place, folder: pathlib.Path, runs: int) -> Iterator[str]:
    """Yield what 10, 100 and 1,000 more checks cost."""
    counts = (10, 100, 1000)
    ways = []
    for count in counts:
        checks = folder / f"checks{count}"
        write_checks(checks, count)
        argv = [hostcheck, "-f", "json", "--select", "scale*", "--checks-dir", str(checks)]
        ways.append(Way(f"{count} generated checks", argv, place))
    taken = in_turn(ways, runs)
    least = [min(one.cpu for one in taken[way.name]) * 1000 for way in ways]
    for count, time_, before, time_before in zip(counts, least, (0, *counts), (0.0, *least)):
        each = f"{(time_ - time_before) / (count - before):.3f} ms for each one more" if before else ""
        yield f"{count:5} generated checks {time_:8.1f} ms cpu  {each}"


def compare(folder: pathlib.Path, runs: int) -> Iterator[str]:
    """Yield what hostcheck takes and what other programs take."""
    with contextlib.ExitStack() as stack:
        hostcheck = str(install(folder) / "hostcheck")
        json_ = [hostcheck, "-f", "json"]
        machine = here()
        stack.callback(machine.stop)
        ways = [
            Way(PYTHON, [str(folder / "venv/bin/python"), "-c", ""], machine),
            Way(VERSION, [hostcheck, "--version"], machine),
            Way(BASE, json_, machine),
            Way(TABLE, [hostcheck, "-f", "table"], machine),
            Way("hostcheck -f prometheus", [hostcheck, "-f", "prometheus"], machine),
            Way("hostcheck -f json --select 'cgroup.*'", [*json_, "--select", "cgroup.*"], machine),
            Way(DOZEN, [*json_, *(f"--select={name}" for name in SAME)], machine),
        ]
        try:
            root = debian_root()
            ways.append(Way("hostcheck -f json --root (Debian 12)", [*json_, "--root", str(root)], machine))
            script = root / "usr/share/docker.io/contrib/check-config.sh"
            ways.append(Way(SCRIPT, ["bash", str(script)], machine))
            beside = engine(root, folder / "engine", folder / "venv")
            stack.callback(beside.stop)
            ways.append(Way("docker info, dockerd running", ["docker", "info"], beside))
            ways.append(Way("hostcheck -f json, dockerd running", json_, beside))
        except Missing as reason:
            yield f"left out: {reason}"
        try:
            questions = folder / "goss.yaml"
            questions.write_text(GOSS)
            argv = [str(goss()), "-g", str(questions), "validate", "-f", "json"]
            ways.append(Way(GOSS_NAME, argv, machine))
        except Missing as reason:
            yield f"left out: {reason}"
        yield load()
        taken = in_turn(ways, runs)
        yield from table(taken, BASE)
        yield ""
        yield from aims(taken)
        yield ""
        yield from scaling(hostcheck, machine, folder, max(3, runs // 3))


def main() -> None:
    """Print the figures."""
    if sys.argv[1:] == ["--answer"]:
        answer()
    elif sys.argv[1:2] == ["--engine"]:
        answer_beside_an_engine(*sys.argv[2:])
    else:
        parser = argparse.ArgumentParser(
            description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        parser.add_argument("--runs", type=int, default=15, metavar="N", help="of each way (default: 15)")
        runs = parser.parse_args().runs
        with tempfile.TemporaryDirectory(prefix="hostcheck-bench-") as folder:
            for line in compare(pathlib.Path(folder), runs):
                print(line)


if __name__ == "__main__":
    main()
