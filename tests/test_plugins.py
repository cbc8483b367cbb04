"""Finding checks: installed plugins, drop-in files, and what a bad one does."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest

from hostcheck import plugins

GOOD = '''
"""A drop-in."""
from __future__ import annotations
from dataclasses import dataclass
from hostcheck.api import Check, passed

@dataclass
class Thing:
    name: str

class SiteMotd(Check):
    """The message of the day is there.

    *Why*: users read it.
    """
    id = "site.motd"
    references = ("https://example.org/motd",)
    def run(self, host):
        yield passed("/etc/motd", Thing("fine").name)
'''


def hostcheck(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hostcheck", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
    )


def run_site(folder: pathlib.Path, *more: str) -> dict[str, dict[str, object]]:
    done = hostcheck("-f", "json", "--checks-dir", str(folder), *more)
    assert done.returncode in (0, 1), done.stderr
    return {result["id"]: result for result in json.loads(done.stdout)["results"]}


def test_a_drop_in_runs(tmp_path: pathlib.Path) -> None:
    (tmp_path / "motd.py").write_text(GOOD)
    results = run_site(tmp_path, "--select", "site.*")
    assert results["site.motd"]["outcome"] == "pass"


@pytest.mark.parametrize(
    "text, reason",
    [
        ("def (", "SyntaxError"),
        ("import nothing_of_that_name", "ModuleNotFoundError"),
        ("x = 1", "defines no checks"),
        (GOOD + "\nHOSTCHECK_API = 99", "asks for API 99"),
        (GOOD.replace("site.motd", "kernel.version"), "is already there, from hostcheck"),
        ("raise SystemExit(7)", "SystemExit"),
    ],
)
def test_a_bad_drop_in_is_one_error(tmp_path: pathlib.Path, text: str, reason: str) -> None:
    (tmp_path / "bad.py").write_text(text)
    results = run_site(tmp_path, "--select", "plugin.*", "--select", "os.*")
    assert results["plugin.bad"]["outcome"] == "error"
    assert reason in str(results["plugin.bad"]["reason"])
    assert any(result["outcome"] == "pass" for result in results.values())


@pytest.mark.root
def test_what_others_may_write_is_refused(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "motd.py"
    path.write_text(GOOD)
    path.chmod(0o666)
    results = run_site(tmp_path, "--select", "plugin.*")
    assert "can be written by others" in str(results["plugin.motd"]["reason"])


def test_usage_errors(tmp_path: pathlib.Path) -> None:
    done = hostcheck("--checks-dir", str(tmp_path / "none"))
    assert (done.returncode, "not a folder" in done.stderr) == (2, True)
    done = hostcheck("--require-plugin", "acme")
    assert (done.returncode, "'acme' is required" in done.stderr) == (2, True)


def test_an_example_plugin_installed_as_a_wheel_runs(tmp_path: pathlib.Path) -> None:
    """The whole way: a project of another's, built to a wheel, installed, found and run."""
    project = tmp_path / "acme"
    project.mkdir()
    (project / "acme_hostcheck.py").write_text(GOOD.replace("site.motd", "acme.motd"))
    (project / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        '[project]\nname = "acme-hostcheck"\nversion = "1.2"\n'
        '[project.entry-points."hostcheck.checks"]\nacme = "acme_hostcheck"\n'
        '[tool.setuptools]\npy-modules = ["acme_hostcheck"]\n'
    )
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    wheels, site = tmp_path / "wheels", tmp_path / "site"
    built = subprocess.run(
        [*pip, "wheel", "--no-deps", "-w", str(wheels), str(project)], capture_output=True, text=True
    )
    if built.returncode:
        pytest.skip(f"pip cannot build a wheel here: {built.stderr[-200:]}")
    (wheel,) = wheels.iterdir()
    subprocess.run([*pip, "install", "--no-deps", "--target", str(site), str(wheel)], check=True)
    done = hostcheck("-f", "json", "--select", "acme.*", "--require-plugin", "acme", PYTHONPATH=str(site))
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(done.stdout)["results"]
    assert (result["id"], result["outcome"]) == ("acme.motd", "pass")
    done = hostcheck("-f", "json", "--select", "acme.*", "--no-plugins", PYTHONPATH=str(site))
    assert done.returncode == 2


def test_families_are_the_files() -> None:
    folder = pathlib.Path(__file__).resolve().parents[1] / "checks"
    files = {path.stem for path in folder.glob("*.py") if not path.stem.startswith("_")}
    assert set(plugins.families()) == files
