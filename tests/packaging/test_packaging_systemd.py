"""The units, as the systemd-analyze of this machine judges them."""

from __future__ import annotations

import pathlib
import shutil
import subprocess

import pytest

UNITS = pathlib.Path(__file__).resolve().parents[2] / "packaging" / "systemd"
SERVICES = sorted(path.name for path in UNITS.glob("*.service"))
MOST = 20
"""Tenths of the exposure that systemd-analyze security counts; 10.0 is a service with no sandbox."""

pytestmark = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")


@pytest.fixture
def units(tmp_path: pathlib.Path) -> pathlib.Path:
    """Return a folder with the units, whose program is one that there is."""
    for path in UNITS.glob("hostcheck*.*"):
        if path.suffix in (".service", ".timer"):
            (tmp_path / path.name).write_text(path.read_text().replace("/usr/bin/hostcheck", "/bin/true"))
    return tmp_path


def ask(*arguments: str, cwd: pathlib.Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *arguments], cwd=cwd, capture_output=True, text=True, timeout=60
    )


def test_the_units_have_no_fault(units: pathlib.Path) -> None:
    found = sorted(f"./{path.name}" for path in units.iterdir())
    assert len(found) == 3
    done = ask("verify", "--man=no", *found, cwd=units)
    assert done.returncode == 0, done.stderr
    assert "hostcheck" not in done.stderr


@pytest.mark.parametrize("service", SERVICES)
def test_the_sandbox_is_closed(service: str, units: pathlib.Path) -> None:
    done = ask("security", "--offline=yes", f"--threshold={MOST}", "--no-pager", f"./{service}", cwd=units)
    if "unrecognized option" in done.stderr:
        pytest.skip("a systemd-analyze before 250 looks at no unit file")
    assert "Overall exposure level" in done.stdout, done.stderr
    assert done.returncode == 0, done.stdout
