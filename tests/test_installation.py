"""What `hostcheck --version -v` says of how this hostcheck came here, and of what it lacks."""

from __future__ import annotations

import configparser
import pathlib
import re
import subprocess
import sys
from collections.abc import Mapping

import pytest

from hostcheck import __version__, installation
from hostcheck.host import Unavailable
from hostcheck.testing import FakeHost

PROJECT = pathlib.Path(__file__).resolve().parents[1]
STATUS = "Package: hostcheck\nStatus: install ok installed\nArchitecture: all\nVersion: 0.1.0-1\n"


def package(root: pathlib.Path, files: Mapping[str, str]) -> str:
    """Lay a package with files around it, and return its folder."""
    for name, text in {"hostcheck/__init__.py": "", **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(root / "hostcheck")


ABOUT = f"hostcheck-{__version__}.dist-info"


@pytest.mark.parametrize(
    ("files", "owned", "kind", "text"),
    [
        ({}, True, "deb", "the deb hostcheck 0.1.0-1"),
        ({f"{ABOUT}/INSTALLER": "package\n"}, True, "deb", "the deb hostcheck 0.1.0-1"),
        # A wheel beside the deb that is installed elsewhere.
        ({f"{ABOUT}/INSTALLER": "pip\n"}, False, "wheel", "the wheel, by pip"),
        ({f"{ABOUT}/METADATA": ""}, False, "wheel", "by an installer without a name"),
        ({}, False, "copy", "a copy in "),
        ({"setup.cfg": "", "checks/__init__.py": ""}, False, "checkout", "run from the checkout "),
    ],
)
def test_ways_of_a_folder(
    files: dict[str, str], owned: bool, kind: str, text: str, tmp_path: pathlib.Path
) -> None:
    folder = package(tmp_path, files)
    listed = f"{folder}/__init__.py\n" if owned else "/usr/lib/python3/dist-packages/hostcheck/__init__.py\n"
    host = FakeHost({"/var/lib/dpkg/status": STATUS, installation.DPKG_LIST: listed})
    found = installation.way(host, folder)
    assert (found.kind, text in found.text) == (kind, True), found


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"/var/lib/dpkg/status": STATUS},
        {"/var/lib/dpkg/status": PermissionError("no")},
        {"/var/lib/dpkg/status": STATUS, installation.DPKG_LIST: Unavailable("no")},
    ],
)
def test_a_package_manager_that_does_not_tell(files: dict[str, str], tmp_path: pathlib.Path) -> None:
    assert installation.way(FakeHost(files), package(tmp_path, {})).kind == "copy"


@pytest.mark.parametrize("inside", ["hostcheck", "cpython-311/hostcheck"])
def test_one_file(inside: str, tmp_path: pathlib.Path) -> None:
    archive = tmp_path / "hostcheck.pyz"
    archive.write_text("")
    found = installation.way(FakeHost({}), f"{archive}/{inside}")
    assert found == ("pyz", f"the one file {archive}")


def test_standalone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert installation.way(FakeHost({})).kind == "standalone"


def test_every_requirement_is_named() -> None:
    """What setup.cfg asks for and what --version -v looks for are the same libraries."""
    setup = configparser.ConfigParser()
    setup.read(PROJECT / "setup.cfg")

    def names(text: str) -> set[str]:
        return set(re.findall(r"(?m)^([A-Za-z][\w.-]*)", text))

    extras = setup["options.extras_require"]
    assert set(installation.REQUIRED.libraries) == names(setup["options"]["install_requires"])
    for extra in ("exporter", "images"):
        parts = [part for part in installation.OPTIONAL if installation.EXTRAS[part.name] == extra]
        assert {library for part in parts for library in part.libraries} == names(extras[extra])


@pytest.mark.parametrize(
    ("kind", "part", "expected"),
    [
        ("deb", "server", "apt-get install python3-h11"),
        ("rpm", "server", "dnf install python3-h11"),
        ("deb", "images", "pip install 'hostcheck[images]', in a virtual environment of its own"),
        ("wheel", "passwords", "pip install 'hostcheck[exporter]'"),
        ("pyz", "passwords", "pip install 'hostcheck[exporter]', in a virtual environment of its own"),
    ],
)
def test_how_to_get(kind: str, part: str, expected: str) -> None:
    found = next(each for each in installation.OPTIONAL if each.name == part)
    assert installation.how_to_get(found, kind) == expected


def test_a_missing_library_is_named_with_what_it_would_add(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        installation, "version_of", lambda library, module: None if library == "bcrypt" else "1.0"
    )
    text = "\n".join(installation.lines(FakeHost({})))
    assert "passwords    missing: bcrypt\n" in text
    assert "for passwords of hostcheck serve: pip install 'hostcheck[exporter]'" in text
    assert "libraries    rich 1.0, PyYAML 1.0, prometheus-client 1.0, Jinja2 1.0\n" in text


@pytest.mark.parametrize(
    ("library", "module", "there"),
    [("PyYAML", "yaml", True), ("no-such-library", "no_such_library", False), ("x", "no_such.module", False)],
)
def test_version_of(library: str, module: str, there: bool) -> None:
    assert (installation.version_of(library, module) is not None) == there


@pytest.mark.parametrize("arguments", [["--version", "-v"], ["-v", "--version"], ["--version", "--verbose"]])
def test_the_command(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hostcheck", *arguments],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    first, second, third = done.stdout.splitlines()[:3]
    assert first == f"hostcheck {__version__}"
    assert str(PROJECT) in second
    assert sys.version.split()[0] in third
