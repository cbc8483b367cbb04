"""Debian roots as they come from debootstrap, without Python, and with the packages laid by that hostcheck depends on.

    python tests/packaging/clean_roots.py trixie

They are kept beside the roots of the engine tests; `Root` is a view of one, with no network.
"""

from __future__ import annotations

import functools
import hashlib
import os
import pathlib
import re
import subprocess
import sys
from types import TracebackType

import roots

SUITES = ("bullseye", "bookworm", "trixie", "sid")
NFPM = pathlib.Path(__file__).resolve().parents[2] / "packaging" / "linux" / "nfpm.yaml"
USER = 65532
"""Somebody who is in no /etc/passwd and owns nothing."""

_RECIPE = 1


def dependencies() -> tuple[str, ...]:
    """Return the packages that the deb depends on and recommends."""
    text = NFPM.read_text().partition("  deb:\n")[2].partition("    scripts:")[0]
    return tuple(re.findall(r"(?m)^      - (python3-\S+)", text))


def wanted() -> tuple[str, ...]:
    """Return the packages that are laid by: also what a wheel is installed with."""
    return (*dependencies(), "python3-venv")


def where(suite: str) -> pathlib.Path:
    """Return where the root of a suite lies, or would lie."""
    made_from = "\n".join([str(_RECIPE), suite, *wanted()])
    return roots.cache() / "roots" / f"clean-{suite}-{hashlib.sha256(made_from.encode()).hexdigest()[:12]}"


def _fetch(suite: str, root: pathlib.Path) -> None:
    with (roots.cache() / f"debootstrap-{suite}.log").open("a") as out:
        # A mirror may be behind; the packages are signed all the same.
        for command in (
            ["-o", "Acquire::Check-Valid-Until=false", "update"],
            ["install", "--download-only", "--no-install-recommends", *wanted()],
        ):
            subprocess.run(
                ["chroot", root, "apt-get", "-q", "-y", *command],
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                timeout=600,
                env={
                    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                    "LC_ALL": "C",
                    "DEBIAN_FRONTEND": "noninteractive",
                },
            )


def need(suite: str) -> pathlib.Path:
    """Return the root of a suite, made now when it is missing; skip the test where that cannot be done."""

    def make(suite: str, archive: str, target: pathlib.Path) -> None:
        roots.bootstrap(suite, archive, target, ["ca-certificates"], functools.partial(_fetch, suite))

    return roots.kept(where(suite), suite, make)


class Root:
    """A view of a root that may be written to, with processes of its own and no network; gone when it is left."""

    def __init__(self, suite: str, work: pathlib.Path) -> None:
        """Make the view in a folder, which must be on a file system that overlay takes."""
        roots.need_namespaces()
        lower = need(suite)
        self.path = work / "root"
        for name in ("up", "work", "root"):
            (work / name).mkdir()
        # Whoever holds the namespaces; they and all that is mounted there end with it.
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc",
             "sh", "-c", "echo ready; exec sleep 3600"],
            stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self._holder.stdout
        assert self._holder.stdout.readline() == b"ready\n"
        root = str(self.path)
        layers = f"lowerdir={lower},upperdir={work}/up,workdir={work}/work"
        for command in (
            ["mount", "--make-rprivate", "/"],
            ["mount", "-t", "overlay", "overlay", "-o", layers, root],
            ["mount", "-t", "proc", "proc", f"{root}/proc"],
            ["mount", "--rbind", "/sys", f"{root}/sys"],
            ["mount", "--rbind", "/dev", f"{root}/dev"],
        ):
            assert self.beside(command).returncode == 0, command

    def __enter__(self) -> Root:
        """Return the view."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all that runs there."""
        self._holder.kill()
        self._holder.wait()

    def beside(self, command: list[str], **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command of this machine in the namespaces of the view, which it sees at `path`."""
        child = self._child()
        return subprocess.run(
            ["nsenter", f"--target={child}", "--mount", "--net", "--pid", *command],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=300,
            cwd="/",
            stdin=subprocess.DEVNULL,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", **more},
        )

    def _child(self) -> str:
        """Return the process that unshare started: it alone is in the new pid namespace."""
        pid = self._holder.pid
        return pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0]

    def run(self, *command: str, user: int = 0, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the root."""
        return self.beside(
            ["chroot", f"--userspec={user}:{user}", "--groups=", str(self.path), *command], **more
        )

    def ok(self, *command: str, user: int = 0, **more: str) -> str:
        """Run a command that must succeed, and return what it prints."""
        done = self.run(*command, user=user, **more)
        assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        return done.stdout

    def apt(self, *arguments: str) -> str:
        """Run apt-get with what is laid by."""
        return self.ok(
            "apt-get", "-q", "-y", "--no-install-recommends", *arguments,
            DEBIAN_FRONTEND="noninteractive",
        )  # fmt: skip

    def mount(self, *arguments: str | os.PathLike[str]) -> None:
        """Mount something, seen in this view alone."""
        assert self.beside(["mount", *map(str, arguments)]).returncode == 0, arguments

    def at(self, path: str) -> pathlib.Path:
        """Return where a path of the root is seen from outside."""
        return pathlib.Path(f"/proc/{self._child()}/root{self.path}{path}")

    def files(self) -> set[str]:
        """Return every path that is not where packages keep their own state."""
        listed = self.ok("find", "/", "-xdev", "-path", "/proc", "-prune", "-o", "-print")
        return {path for path in listed.splitlines() if not path.startswith(STATE)}


STATE = (
    "/var/lib/dpkg/",
    "/var/lib/rpm/",
    "/var/log/",
    "/var/cache/",
    "/var/lib/apt/",
    "/run/",
    "/tmp/",
    "/root/",
)


if __name__ == "__main__":
    for suite in sys.argv[1:] or SUITES:
        print(need(suite))
