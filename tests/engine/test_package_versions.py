"""The version of every engine that Debian packages: from its bytes alone, from the package database, as printed."""

from __future__ import annotations

import pathlib
import shutil
import subprocess

import foreign
import pytest
import roots

from hostcheck.facts import elf
from hostcheck.facts.versions import (
    found_tool,
    parse_package_version,
    parse_version_output,
)
from hostcheck.host.root import RootHost

pytestmark = [pytest.mark.root, pytest.mark.apt]

SUITES = ("bullseye", "bookworm", "trixie", "sid")
DOCKER = ("docker", "dockerd", "containerd", "runc")
PODMAN = ("podman", "crun", "conmon")
PROGRAMS = [(suite, tool) for suite in SUITES for tool in (*DOCKER, *PODMAN)]

NOT_IN_THE_BYTES = {
    "podman": "a constant of Go: only instructions point at it, and it has no end among Go's texts"
}
"""What hostcheck has to call unknown in a copy that no package owns, and why."""

WHERE = {
    "docker": ("docker.io", "usr/bin/docker"),
    "dockerd": ("docker.io", "usr/sbin/dockerd"),
    "containerd": ("containerd", "usr/bin/containerd"),
    "runc": ("runc", "usr/sbin/runc"),
    "podman": ("podman", "usr/bin/podman"),
    "crun": ("crun", "usr/bin/crun"),
    "conmon": ("conmon", "usr/bin/conmon"),
}
"""Package and file of a program."""


def package(suite: str, tool: str) -> str:
    return roots.ALSO[suite][0] if tool == "docker" and suite in roots.ALSO else WHERE[tool][0]


def print_version(root: pathlib.Path, tool: str, program: pathlib.Path) -> str:
    """Run a program of a root with that root's own loader and libraries."""
    folder = root / "usr/lib/x86_64-linux-gnu"
    libraries = f"{folder}:{root}/lib/x86_64-linux-gnu"
    loader = root / "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"
    done = subprocess.run(
        [loader, "--library-path", libraries, program, "--version"],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
    )
    assert done.returncode == 0, done.stderr
    return str(parse_version_output(tool, done.stdout))


def bytes_say(tree: pathlib.Path, tool: str, path: str) -> str | None:
    """Return what hostcheck reads in a program of a tree without a package database, None where it tells none."""
    found = found_tool(RootHost(str(tree)), tool)
    assert found is not None
    assert (found.package, found.path) == ("", f"/{path}")
    assert found.how == ("binary" if found.version else "unknown")
    return str(found.printed) or None


@pytest.mark.parametrize("suite, tool", PROGRAMS)
def test_bytes_database_and_output_agree(suite: str, tool: str, tmp_path: pathlib.Path) -> None:
    root = roots.need(suite if tool in DOCKER else f"{suite}-podman")
    path = WHERE[tool][1]
    program = root / path
    printed = print_version(root, tool, program)
    assert printed

    packaged = found_tool(RootHost(str(root)), tool)
    assert packaged is not None
    assert (packaged.how, packaged.package, str(packaged)) == ("package", package(suite, tool), printed)

    copy = tmp_path / path
    copy.parent.mkdir(parents=True)
    shutil.copy(program, copy)
    assert bytes_say(tmp_path, tool, path) == (None if tool in NOT_IN_THE_BYTES else printed)


@pytest.mark.parametrize("suite, tool", PROGRAMS)
def test_another_processor(suite: str, tool: str, tmp_path: pathlib.Path) -> None:
    """Programs for arm64 are never run: they are to print the upstream part of their package's version."""
    wanted = sorted({package(suite, each) for each in WHERE})
    folder = foreign.need(suite, "arm64", wanted)
    (deb,) = folder.glob(f"{package(suite, tool)}_*.deb")
    expected = str(parse_package_version(foreign.field(deb, "Version"), "deb"))
    path = WHERE[tool][1]
    foreign.unpack(deb, tmp_path, path)

    host = RootHost(str(tmp_path))
    assert elf.elf(host, f"/{path}").architecture == "aarch64"
    assert bytes_say(tmp_path, tool, path) == (None if tool in NOT_IN_THE_BYTES else expected)
