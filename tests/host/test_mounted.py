"""The running machine through its mounted root, as a container sees it; hostcheck on the machine itself judges."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from typing import Any

import pytest

from hostcheck.host.mounted import is_running_root
from hostcheck.host.target import open_target

PROJECT = pathlib.Path(__file__).resolve().parents[2]

INSIDE = """
import json, sys
from hostcheck.host import Unavailable
from hostcheck.host.target import open_target
host = open_target(sys.argv[1])
def said(path):
    try:
        return host.read(path)
    except Unavailable:
        return None
def asked():
    try:
        return host.run("uname", "-n").out
    except Unavailable:
        return None
print(json.dumps({"kind": host.kind, "asked": asked(), **{path: said(path) for path in sys.argv[2:]}}))
"""


def as_in_a_container(root: pathlib.Path, *command: str, namespaces: tuple[str, ...] = ()) -> Any:
    """Run a command in namespaces, without capabilities, with this machine's root mounted at `root`; parse its JSON."""
    root.mkdir(exist_ok=True)
    script = f"mount --rbind / {root} && mount -o remount,bind,ro {root} && " + 'exec setpriv "$@"'
    rights = ("--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all", "--no-new-privs")
    unshare = ("unshare", "--mount", "--propagation", "slave", "--fork", *namespaces)
    done = subprocess.run(
        [*unshare, "sh", "-c", script, "sh", *rights, sys.executable, *command],
        cwd=PROJECT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    if "unshare" in done.stderr or "not permitted" in done.stderr:
        pytest.skip(f"no namespaces here: {done.stderr.strip()}")
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def findings(report: Any) -> dict[tuple[str, str, str], object]:
    """Return what each finding saw, without what is another number a moment later."""
    moving = ("resources.pids", "resources.files", "resources.memory", "resources.space", "resources.inodes")
    return {
        (result["id"], each["subject"], each["when"]): (each["ok"], each["value"])
        for result in report["results"]
        if result["id"] not in moving
        for each in result["findings"]
    }


@pytest.mark.root
def test_a_container_says_what_the_machine_says(tmp_path: pathlib.Path) -> None:
    root = tmp_path / "host"
    run = ("-m", "hostcheck", "-f", "json")
    there = as_in_a_container(root, *run, "--root", str(root))
    here = json.loads(
        subprocess.run(
            [sys.executable, *run], cwd=PROJECT, capture_output=True, text=True, timeout=120
        ).stdout
    )
    assert there["host"] == here["host"]
    seen, wanted = findings(there), findings(here)
    # What only a command tells is not asked in a container.
    told_by_commands = {key for key in wanted if key not in seen}
    assert {key[0] for key in told_by_commands} <= {"firewall.backend", "firewall.chain", "docker.info"}
    assert len(seen) > 100
    assert {key: seen[key] for key in seen if seen[key] != wanted.get(key)} == {}


@pytest.mark.root
@pytest.mark.parametrize(
    ("path", "namespaces"),
    [
        ("/proc/sys/net/ipv4/ip_forward", ("--net",)),
        ("/proc/sys/kernel/hostname", ("--net", "--uts")),
        ("/proc/sys/kernel/pid_max", ("--pid",)),
        ("/proc/sys/kernel/shmmax", ("--ipc",)),
        ("/proc/sys/user/max_user_namespaces", ("--user", "--map-root-user")),
    ],
)
def test_what_is_the_containers_own_is_not_the_hosts(
    tmp_path: pathlib.Path, path: str, namespaces: tuple[str, ...]
) -> None:
    root = tmp_path / "host"
    fixed = "/proc/sys/kernel/osrelease"
    seen = as_in_a_container(root, "-c", INSIDE, str(root), path, fixed, namespaces=namespaces)
    assert (seen["kind"], seen["asked"], seen[path]) == ("live", None, None)
    assert seen[fixed] == pathlib.Path(fixed).read_text()


@pytest.mark.root
def test_the_network_and_the_mounts_are_the_first_processs(tmp_path: pathlib.Path) -> None:
    root = tmp_path / "host"
    paths = ("/proc/net/dev", "/proc/self/mountinfo", "/proc/mounts")
    seen = as_in_a_container(root, "-c", INSIDE, str(root), *paths, namespaces=("--net",))
    for path, first in zip(paths, ("net/dev", "mountinfo", "mounts")):
        wanted = pathlib.Path("/proc/1", first).read_text()
        # Counters go on; the names stay.
        assert [line.split()[0] for line in seen[path].splitlines()] == [
            line.split()[0] for line in wanted.splitlines()
        ]


@pytest.mark.root
def test_a_tree_with_this_machines_proc_is_no_running_machine(tmp_path: pathlib.Path) -> None:
    """So does every builder of images mount it; and a root alone, without its /proc, tells of no present."""
    script = f"""
        mkdir {tmp_path}/tree {tmp_path}/tree/proc {tmp_path}/bare && cp -a tests/hosts/debian-12/. {tmp_path}/tree/
        mount --bind /proc {tmp_path}/tree/proc && mount --bind / {tmp_path}/bare
        for each in tree bare; do {sys.executable} -c '{INSIDE}' {tmp_path}/$each; done
    """
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-ec", script],
        cwd=PROJECT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    if not done.stdout:
        pytest.skip(f"no namespaces here: {done.stderr}")
    assert [json.loads(line)["kind"] for line in done.stdout.splitlines()] == ["root", "root"]


def test_this_machines_own_root_is_a_tree_like_any() -> None:
    """Somebody who names it asks for what its files say."""
    assert not is_running_root("/")
    assert open_target("/").kind == "root"
