"""The role, under real ansible: on this machine, and over ssh on one that the test makes."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
from typing import Any

import pytest
import remote
import venvs

PROJECT = pathlib.Path(__file__).resolve().parents[2]
GATE = PROJECT / "packaging" / "ansible" / "gate.yml"
ROLE = GATE.parent / "roles" / "hostcheck"
TREES = PROJECT / "tests" / "hosts"
PYTHON = "/usr/bin/python3"
HERE = f"here ansible_connection=local ansible_python_interpreter={sys.executable} ansible_become=false\n"

pytestmark = pytest.mark.skipif(not os.path.exists(PYTHON), reason=f"no {PYTHON}")


class Play:
    """The playbook, with an inventory and variables."""

    def __init__(self, folder: pathlib.Path, inventory: str, **variables: Any) -> None:
        self.program = venvs.need("ansible-core") / "ansible-playbook"
        self.folder = folder
        self.reports = folder / "reports"
        (folder / "inventory").write_text(inventory)
        self.variables = {"hostcheck_reports": str(self.reports), **variables}

    def __call__(self, *arguments: str, **variables: Any) -> tuple[int, dict[str, dict[str, int]], str]:
        """Run it; return the exit code, the tallies of each host, and what was printed."""
        extra = json.dumps({**self.variables, **variables})
        done = subprocess.run(
            [self.program, "-i", self.folder / "inventory", "-e", extra, GATE, *arguments],
            cwd=self.folder,
            env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_HOME": str(self.folder / "home"), "LC_ALL": "C.UTF-8"},
            capture_output=True, text=True, timeout=600,
        )  # fmt: skip
        recap = done.stdout.partition("PLAY RECAP")[2]
        tallies = {
            line.split()[0]: {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", line)}
            for line in recap.splitlines()
            if "ok=" in line
        }
        return done.returncode, tallies, done.stdout + done.stderr


def test_the_one_file_on_this_machine(tmp_path: pathlib.Path, pyz: pathlib.Path) -> None:
    """Check mode changes nothing, a second run finds nothing to change, and what fails stops the play."""
    folder = tmp_path / "lib"
    play = Play(tmp_path, HERE, hostcheck_artifact=str(pyz), hostcheck_folder=str(folder))
    play.variables["hostcheck_arguments"] = [str(TREES / "debian-12")]
    code, tallies, told = play("--check")
    assert (code, tallies["here"]["failed"], folder.exists(), play.reports.exists()) == (
        0,
        0,
        False,
        False,
    ), told

    code, tallies, told = play()
    assert (code, tallies["here"]["changed"]) == (0, 2), told
    assert json.loads((play.reports / "here.json").read_text())["verdict"] == "ready"
    for arguments in ((), ("--check",)):
        code, tallies, told = play(*arguments)
        assert (code, tallies["here"]["changed"]) == (0, 0), told

    broken = {"hostcheck_arguments": [str(TREES / "broken")]}
    code, tallies, told = play(**broken)
    assert (code, tallies["here"]["failed"]) == (2, 1), told
    assert "here: not ready" in told
    assert "docker.daemon_json: " in told
    assert "kernel.version: " not in told
    assert json.loads((play.reports / "here.json").read_text())["verdict"] == "not ready"
    code, tallies, told = play(hostcheck_gate=False, **broken)
    assert (code, tallies["here"]["failed"]) == (0, 0), told


def test_what_does_not_work_is_told(tmp_path: pathlib.Path, pyz: pathlib.Path) -> None:
    play = Play(tmp_path, HERE, hostcheck_artifact=str(pyz), hostcheck_folder=str(tmp_path / "lib"))
    code, _, told = play(hostcheck_install="rpm")
    assert (code, "value of hostcheck_install must be one of" in told) == (2, True), told
    code, _, told = play(hostcheck_policy="/none.yaml")
    assert (code, "/none.yaml" in told) == (2, True), told


def test_pip_on_this_machine(tmp_path: pathlib.Path, wheel: pathlib.Path) -> None:
    folder = tmp_path / "lib"
    play = Play(
        tmp_path, HERE, hostcheck_install="pip", hostcheck_artifact=str(wheel), hostcheck_folder=str(folder),
        hostcheck_python=sys.executable, hostcheck_arguments=[str(TREES / "debian-12")],
    )  # fmt: skip
    code, tallies, told = play("--check")
    assert (code, folder.exists()) == (0, False), told
    code, tallies, told = play()
    assert (code, tallies["here"]["changed"]) == (0, 1), told
    assert (folder / "venv" / "bin" / "hostcheck").exists()
    assert json.loads((play.reports / "here.json").read_text())["verdict"] == "ready"


@pytest.mark.root
@pytest.mark.apt
def test_over_ssh(tmp_path: pathlib.Path, pyz: pathlib.Path) -> None:
    """A host with a fault of its own is stopped, one that has none goes on; each report comes home."""
    for program in ("ssh", "ssh-keygen", "ip", "unshare"):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")
    with remote.host(tmp_path) as key:
        remote.wait()
        options = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o IdentitiesOnly=yes"
        there = (
            f"there ansible_host={remote.THERE} ansible_port={remote.PORT} ansible_user=root"
            f" ansible_ssh_private_key_file={key} ansible_python_interpreter={PYTHON}"
            f" ansible_ssh_common_args='{options}'\n"
        )
        play = Play(tmp_path, HERE + there, hostcheck_artifact=str(pyz), hostcheck_gate=False)
        play.variables["hostcheck_folder"] = (
            "{{ '/opt/hostcheck' if inventory_hostname == 'there' else '%s' }}" % (tmp_path / "lib")
        )
        code, tallies, told = play()
        assert (code, tallies["there"]["changed"], tallies["here"]["changed"]) == (0, 2, 2), (
            told + (tmp_path / "sshd.log").read_text()
        )
        names = {each: host_of(play, each)["name"] for each in ("here", "there")}
        assert names == {"here": os.uname().nodename, "there": "remote"}

        copied = ssh(
            key, options, "mkdir -p /etc/docker && cat >/etc/docker/daemon.json", '{"log-dirver": "x"}\n'
        )
        assert copied.returncode == 0, copied.stderr
        only = {"hostcheck_arguments": ["--select", "docker.daemon_json"], "hostcheck_gate": True}
        code, tallies, told = play(**only)
        assert (code, tallies["there"]["failed"], tallies["here"]["failed"]) == (2, 1, 0), told
        assert "there: not ready" in told
        assert "log-dirver" in told


def host_of(play: Play, name: str) -> Any:
    return json.loads((play.reports / f"{name}.json").read_text())["host"]


def ssh(key: pathlib.Path, options: str, command: str, text: str) -> subprocess.CompletedProcess[str]:
    argv = [
        "ssh",
        "-q",
        "-i",
        str(key),
        "-p",
        str(remote.PORT),
        *options.split(),
        f"root@{remote.THERE}",
        command,
    ]
    return subprocess.run(argv, input=text, capture_output=True, text=True, timeout=60)


def test_every_variable_is_specified() -> None:
    """What has a default and what the role says that it takes are the same."""
    import yaml

    defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
    specified = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"][
        "options"
    ]
    assert set(defaults) == set(specified)
    told = {name: each["default"] for name, each in specified.items() if "default" in each}
    assert told == {name: defaults[name] for name in told}
