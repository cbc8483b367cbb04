"""Real root file systems: Debian releases with an engine and a kernel, made once with debootstrap and kept.

    python tests/engine/roots.py bookworm        # makes it when it is missing, prints where it is

They lie in ~/.cache/hostcheck/roots (HOSTCHECK_CACHE moves the cache), named by what they are made from. Nothing may be
written into one: take a `view`, which is an overlay.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from typing import Callable

import pytest

PACKAGES = (
    "systemd",
    "docker.io",
    "containerd",
    "runc",
    "procps",
    "kmod",
    "iptables",
    "apparmor",
    "linux-image-cloud-amd64",
)
ALSO = {"trixie": ("docker-cli",), "sid": ("docker-cli",)}
"""What later releases have parted from docker.io."""
ONLY: dict[str, tuple[str, ...]] = {"bullseye": ("docker.io", "containerd", "runc")}
"""Instead of all that: from here come programs that are too old for later releases."""
PODMAN = (
    "podman",
    "conmon",
    "runc",
    "netavark",
    "aardvark-dns",
    "iptables",
    "nftables",
    "busybox-static",
    "procps",
)
ONLY.update({f"{suite}-podman": PODMAN for suite in ("bookworm", "trixie", "sid")})
# That podman has no netavark, and its containers are not started here.
ONLY["bullseye-podman"] = ("podman", "conmon", "crun", "runc")
"""Hosts of podman alone; the suite is what stands before the dash."""

_RECIPE = 1
"""Raise it when `_make` changes, so that old roots are not taken for new ones."""

_MAKE_SECONDS = 1500


def cache() -> pathlib.Path:
    """Return the cache folder, making it when it is missing."""
    path = pathlib.Path(os.environ.get("HOSTCHECK_CACHE") or pathlib.Path.home() / ".cache" / "hostcheck")
    path.mkdir(parents=True, exist_ok=True)
    return path.resolve()


def parse_mirrors(text: str) -> list[str]:
    """Return the archives that an apt sources file names, in either of its two formats.

    >>> parse_mirrors("# x\\ndeb [arch=amd64 signed-by=/k] http://m/debian bookworm main\\ndeb-src http://s x main\\n")
    ['http://m/debian']
    >>> parse_mirrors("Types: deb\\nURIs: http://m/debian\\nSuites: bookworm\\n")
    ['http://m/debian']
    """
    found = re.findall(r"(?m)^\s*deb\s+(?:\[[^\]\n]*\]\s*)?(\S+)", text)
    for line in re.findall(r"(?mi)^URIs:(.*)$", text):
        found += line.split()
    return found


def mirror() -> str | None:
    """Return the Debian archive that this machine's own apt uses, so that no host name is written down here."""
    folder = pathlib.Path("/etc/apt")
    lists = sorted(folder.glob("sources.list.d/*.sources")) + sorted(folder.glob("sources.list.d/*.list"))
    for file in [folder / "sources.list", *lists]:
        with contextlib.suppress(OSError):
            for uri in parse_mirrors(file.read_text(errors="replace")):
                if uri.startswith(("http://", "https://", "file:")) and uri.rstrip("/").endswith("/debian"):
                    return uri.rstrip("/")
    return None


def packages(suite: str) -> tuple[str, ...]:
    """Return what the root of a suite has beside the minimal system."""
    return ONLY.get(suite) or (*PACKAGES, *ALSO.get(suite, ()))


def where(suite: str) -> pathlib.Path:
    """Return where the root of a suite lies, or would lie."""
    made_from = "\n".join([str(_RECIPE), suite, "minbase", *packages(suite)])
    return cache() / "roots" / f"{suite}-{hashlib.sha256(made_from.encode()).hexdigest()[:12]}"


@contextlib.contextmanager
def lock(name: str) -> Iterator[None]:
    """Hold a lock file of the cache, so that parallel runs make a thing once."""
    with (cache() / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _make(suite: str, archive: str, target: pathlib.Path) -> None:
    bootstrap(suite, archive, target, packages(suite))


def bootstrap(
    suite: str,
    archive: str,
    target: pathlib.Path,
    include: Sequence[str],
    finish: Callable[[pathlib.Path], None] = lambda made: None,
) -> None:
    """Make a minimal root with these packages, and what `finish` does to it; all of it or nothing."""
    target.parent.mkdir(parents=True, exist_ok=True)
    # Named apart from finished roots, in the same folder: a rename is atomic only inside one file system.
    scratch = pathlib.Path(tempfile.mkdtemp(prefix=f".making-{suite}-", dir=target.parent))
    try:
        scratch.chmod(0o755)
        command = [
            "debootstrap",
            "--variant=minbase",
            *([f"--include={','.join(include)}"] if include else []),
            suite.partition("-")[0],
            str(scratch),
            archive,
        ]
        # Without a locale and without a terminal, and with no service started by a package's own script.
        environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
        log = cache() / f"debootstrap-{suite}.log"
        with log.open("w") as out:
            subprocess.run(
                command,
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=environment,
                timeout=_MAKE_SECONDS,
            )
        for waste in ("var/cache/apt/archives", "var/lib/apt/lists"):
            shutil.rmtree(scratch / waste, ignore_errors=True)
            (scratch / waste / "partial").mkdir(parents=True)
        finish(scratch)
        scratch.rename(target)
    finally:
        if scratch.exists():
            _release(scratch)
            shutil.rmtree(scratch, ignore_errors=True)


def _release(path: pathlib.Path) -> None:
    """Unmount what an interrupted debootstrap left mounted below a folder, before anything is deleted there."""
    points = [line.split()[4] for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()]
    for point in sorted((p for p in points if p.startswith(f"{path}/")), reverse=True):
        subprocess.run(["umount", "--lazy", point], check=False, timeout=30)


@functools.cache
def need(suite: str = "bookworm") -> pathlib.Path:
    """Return the root of a suite, made now when it is missing; skip the test where that cannot be done.

    The root is read-only by agreement.
    """
    return kept(where(suite), suite, _make)


def kept(target: pathlib.Path, suite: str, make: Callable[[str, str, pathlib.Path], None]) -> pathlib.Path:
    """Return a folder of the cache that is made of a suite's packages when it is missing."""
    if target.is_dir():
        return target
    if os.geteuid() != 0:
        pytest.skip("needs root to make a root file system")
    if not shutil.which("debootstrap"):
        pytest.skip("needs debootstrap (apt-get install debootstrap)")
    archive = mirror()
    if archive is None:
        pytest.skip("apt's sources name no Debian archive")
    with lock(target.name):
        if not target.is_dir():
            try:
                make(suite, archive, target)
            except (OSError, subprocess.SubprocessError) as problem:
                pytest.skip(
                    f"debootstrap cannot make {suite}: {problem} (see {cache()}/debootstrap-{suite}.log)"
                )
    return target


def need_tool(*names: str) -> None:
    """Skip the test unless every one of these programs is installed."""
    missing = [name for name in names if not shutil.which(name)]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")


def need_namespaces() -> None:
    """Skip the test where this process may not make mount, network and pid namespaces."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    need_tool("unshare", "ip")
    tried = subprocess.run(
        ["unshare", "--mount", "--net", "--pid", "--fork", "ip", "link", "set", "lo", "up"],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    if tried.returncode != 0:
        pytest.skip(f"no namespaces here: {tried.stderr.strip()}")


SYSTEMD = r"""
mount -t proc proc proc
mount -t tmpfs none run
mount -t sysfs none sys
# The group of this test alone: on the machine's own hierarchies systemd would leave groups behind.
mount -t cgroup2 none sys/fs/cgroup
mkdir run/out
mount --bind "$out" run/out
mount -t tmpfs none dev
mknod -m666 dev/null c 1 3
mknod -m666 dev/zero c 1 5
mknod -m666 dev/urandom c 1 9
mknod -m600 dev/console c 1 3
mknod -m666 dev/kmsg c 1 3
container=other exec chroot . /lib/systemd/systemd --system --unit=ask.target
"""
"""The end of a shell script: systemd as the first process of the tree where the shell is; `$out` is its /run/out."""


if __name__ == "__main__":
    for wanted in sys.argv[1:] or ["bookworm"]:
        print(need(wanted))
