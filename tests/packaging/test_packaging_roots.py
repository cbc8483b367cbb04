"""The deb, the wheel and the one file in Debian roots that have nothing else, without a network.

One release always; all with HOSTCHECK_ALL_INSTALLS=1 (`make test-install`), a minute or two each.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
from collections.abc import Iterator
from typing import Any

import builds
import clean_roots
import pytest
import roots
from clean_roots import USER, Root

from hostcheck import __version__

ALL = bool(os.environ.get("HOSTCHECK_ALL_INSTALLS"))
SUITES = clean_roots.SUITES if ALL else ("trixie",)
CHANGED = "# kept\n"

pytestmark = [pytest.mark.root, pytest.mark.apt]


@pytest.fixture(params=SUITES)
def root(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[Root]:
    with Root(request.param, tmp_path) as made:
        yield made
    shutil.rmtree(tmp_path / "up", ignore_errors=True)


def lay(root: Root, *files: pathlib.Path) -> None:
    """Put files into /srv of a root."""
    for file in files:
        shutil.copy(file, root.at("/srv") / file.name)


def report(text: str) -> dict[str, Any]:
    """Return a report without what differs between two moments: times, free memory and the like."""
    found: dict[str, Any] = json.loads(text)
    for result in found["results"]:
        del result["seconds"]
    assert len(found["results"]) > 100
    masked: dict[str, Any] = json.loads(
        re.sub(r"(?<=[ :/\"(-])[0-9][0-9.]*", "0", json.dumps(found["results"]))
    )
    return {**found, "results": masked, "started": "", "seconds": 0}


def judge(root: Root, *command: str, user: int = USER, **more: str) -> dict[str, Any]:
    """Return what a hostcheck says of the root that it runs in."""
    done = root.run(*command, "-f", "json", user=user, **more)
    assert done.returncode in (0, 1), done.stderr
    assert done.stderr == ""
    return report(done.stdout)


def test_deb(root: Root) -> None:
    new = builds.only(builds.dist(), "*.deb")
    old = builds.only(builds.older(), "*.deb")
    wheel = builds.only(builds.dist(), "*.whl")
    lay(root, new, old, wheel)
    root.apt("install", "python3-venv", *clean_roots.dependencies())
    before = root.files()

    root.apt("install", f"/srv/{old.name}")
    assert f"the deb hostcheck {builds.OLDER}-1" in root.ok("hostcheck", "--version", "-v")
    changed = root.at("/etc/default/hostcheck")
    changed.write_text(CHANGED)
    own = root.at("/etc/hostcheck/checks.d/own.py")
    own.write_text("")

    root.apt("install", f"/srv/{new.name}")
    assert f"the deb hostcheck {__version__}-1" in root.ok("hostcheck", "--version", "-v")
    assert changed.read_text() == CHANGED
    assert own.exists()
    own.unlink()
    assert root.ok("dpkg", "--verify", "hostcheck") == "??5?????? c /etc/default/hostcheck\n"

    root.ok("python3", "-m", "venv", "--system-site-packages", "/opt/wheel")
    root.ok(
        "/opt/wheel/bin/pip", "install", "--no-index", "--no-deps", "--ignore-installed", f"/srv/{wheel.name}"
    )
    assert "the wheel, by pip" in root.ok("/opt/wheel/bin/hostcheck", "--version", "-v")
    # Judged in between, so that the wheel and its caches are there for both.
    for user in (0, USER):
        assert judge(root, "hostcheck", user=user) == judge(root, "/opt/wheel/bin/hostcheck", user=user)
    root.ok("rm", "-r", "/opt/wheel")

    root.apt("remove", "hostcheck")
    left = root.files() - before
    assert {path for path in left if not path.startswith("/etc/")} == set()
    assert "/etc/default/hostcheck" in left
    root.apt("purge", "hostcheck")
    assert root.files() - before == set()
    assert before - root.files() == set()


def test_rpm(tmp_path: pathlib.Path) -> None:
    """With the rpm of this machine: no distribution of rpms can be had here."""
    roots.need_tool("rpm")
    new, old = builds.only(builds.dist(), "*.rpm"), builds.only(builds.older(), "*.rpm")
    with Root(SUITES[-1], tmp_path) as root:
        # Debian's rpm has a database for each user.
        command = ["rpm", "--root", str(root.path), "--dbpath", "/var/lib/rpm"]

        def rpm(*arguments: str | pathlib.Path, code: int = 0) -> str:
            done = root.beside([*command, *map(str, arguments)])
            # Debian's rpm warns whoever installs with it.
            told = [line for line in done.stderr.splitlines() if not line.startswith("rpm: ")]
            assert (done.returncode, told) == (code, []), (arguments, done)
            return done.stdout

        root.apt("install", *clean_roots.dependencies())
        rpm("--initdb")
        assert root.beside([*command, "-i", str(new)]).returncode != 0
        rpm("-i", *builds.stubs())
        before = root.files()

        rpm("-i", old)
        assert rpm("-V", "hostcheck") == ""
        assert f"the rpm hostcheck {builds.OLDER}-1" in root.ok("hostcheck", "--version", "-v")
        changed, own = root.at("/etc/default/hostcheck"), root.at("/etc/hostcheck/checks.d/own.py")
        changed.write_text(CHANGED)
        own.write_text("")

        rpm("-U", new)
        assert root.run("test", "-d", "/usr/share/hostcheck/hostcheck/__pycache__").returncode == 0
        assert f"the rpm hostcheck {__version__}-1" in root.ok("hostcheck", "--version", "-v")
        assert changed.read_text() == CHANGED
        assert own.exists()
        assert rpm("-V", "hostcheck", code=1).split() == ["S.5....T.", "c", "/etc/default/hostcheck"]
        judge(root, "hostcheck")

        own.unlink()
        done = root.beside([*command, "-e", "hostcheck"])
        assert done.returncode == 0
        assert "saved as /etc/default/hostcheck.rpmsave" in done.stderr
        left = root.files() - before
        # Folders of the shells and of systemd, which other packages own where there are rpms.
        assert {path for path in left if not root.at(path).is_dir()} == {"/etc/default/hostcheck.rpmsave"}
        assert {path for path in left if "hostcheck" in path} == {"/etc/default/hostcheck.rpmsave"}


BARE = ["-i", "PATH=/usr/bin:/bin"]
"""No HOME, no locale."""


def carried(root: Root, file: pathlib.Path) -> None:
    """Carry a file into the root on a medium that cannot be written to, and take /tmp away."""
    medium = root.path.parent / "medium"
    medium.mkdir()
    shutil.copy(file, medium / file.name)
    root.ok("mkdir", "/media/stick")
    root.mount("--bind", medium, root.path / "media/stick")
    root.mount("-o", "remount,bind,ro", root.path / "media/stick")
    assert root.run("touch", "/media/stick/x").returncode != 0
    root.ok("rm", "-r", "/tmp", "/var/tmp")


def wheel_in(root: Root, wheel: pathlib.Path) -> str:
    """Install a wheel, with the libraries of the release, in a root that had none; return its command."""
    lay(root, wheel)
    root.ok("mkdir", "-m", "1777", "/tmp")
    root.apt("install", *clean_roots.dependencies(), "python3-venv")
    root.ok("python3", "-m", "venv", "--system-site-packages", "/opt/wheel")
    root.ok("/opt/wheel/bin/pip", "install", "--no-index", "--no-deps", f"/srv/{wheel.name}")
    return "/opt/wheel/bin/hostcheck"


def test_pyz(root: Root) -> None:
    pyz, wheel = builds.dist() / "hostcheck.pyz", builds.only(builds.dist(), "*.whl")
    root.apt("install", "python3")
    carried(root, pyz)
    command = ["env", *BARE, "python3", "-I", f"/media/stick/{pyz.name}"]
    said = root.ok(*command, "--version", "-v", user=USER)
    assert f"the one file /media/stick/{pyz.name}\n" in said
    assert "missing: bcrypt" in said
    judge(root, *command)
    installed = wheel_in(root, wheel)
    assert judge(root, *command) == judge(root, installed)


def test_executable(root: Root) -> None:
    executable, wheel = builds.executable(), builds.only(builds.dist(), "*.whl")
    assert root.run("python3", "--version").returncode != 0
    carried(root, executable)
    command = ["env", *BARE, f"/media/stick/{executable.name}"]
    said = root.ok(*command, "--version", "-v", user=USER)
    assert f"the standalone executable /media/stick/{executable.name}" in said
    judge(root, *command)
    installed = wheel_in(root, wheel)
    assert judge(root, *command) == judge(root, installed)
