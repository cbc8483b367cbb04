"""The pieces for CI systems: judged by their schemas, and their commands run as those systems run them."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from typing import Any

import debs
import pytest
import remote
import venvs
import yaml

PROJECT = pathlib.Path(__file__).resolve().parents[2]
PIECES = PROJECT / "packaging" / "ci"
ACTION = PIECES / "github" / "action.yml"
TEMPLATE = PIECES / "gitlab" / "hostcheck.gitlab-ci.yml"
DOCKERFILE = PIECES / "docker" / "Dockerfile"
TREES = PROJECT / "tests" / "hosts"


@pytest.fixture
def path(tmp_path: pathlib.Path) -> str:
    """Return a PATH on which there is a `hostcheck`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "hostcheck").write_text(
        f'#!/bin/sh\nPYTHONPATH={PROJECT} exec {sys.executable} -m hostcheck "$@"\n'
    )
    (folder / "hostcheck").chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


@pytest.mark.parametrize(
    ("schema", "file", "word"),
    [
        ("vendor.github-actions", ACTION, "using: composite"),
        ("vendor.gitlab-ci", TEMPLATE, "when: always"),
    ],
)
def test_the_schema_takes_it(schema: str, file: pathlib.Path, word: str, tmp_path: pathlib.Path) -> None:
    """And it refuses the same with a word that is none of its own."""
    judge = str(venvs.need("check-jsonschema") / "check-jsonschema")
    # Of a job whose name begins with a dot the schema takes anything.
    text = file.read_text().replace("\n.hostcheck:", "\nhostcheck:")
    codes = []
    for name, written in (
        ("right", text),
        ("wrong", text.replace(word, word.partition(":")[0] + ": nonsense")),
    ):
        path = tmp_path / f"{name}.yml"
        path.write_text(written)
        argv = [judge, "--builtin-schema", schema, str(path)]
        codes.append(subprocess.run(argv, capture_output=True, timeout=120).returncode)
    assert codes == [0, 1]


class Runner:
    """What runs the steps of a composite action: the shell that it asks for, files for what a step tells."""

    def __init__(self, folder: pathlib.Path, path: str) -> None:
        self.folder = folder
        self.action = yaml.safe_load(ACTION.read_text())
        self.summary = folder / "summary.md"
        self.outputs = folder / "outputs"
        self.environment = {
            "PATH": path,
            "RUNNER_TEMP": str(folder / "temp"),
            "GITHUB_PATH": str(folder / "path"),
            "GITHUB_OUTPUT": str(self.outputs),
            "GITHUB_STEP_SUMMARY": str(self.summary),
        }
        (folder / "temp").mkdir()

    def run(self, **inputs: str) -> subprocess.CompletedProcess[str]:
        """Run the steps until one fails; return the last."""
        known = {name: str(each.get("default", "")) for name, each in self.action["inputs"].items()}
        given = {name.replace("_", "-"): value for name, value in inputs.items()}
        assert set(given) <= set(known)
        values = {**known, **given}
        done = None
        for step in self.action["runs"]["steps"]:
            if step.get("if") == "inputs.install != ''" and not values["install"]:
                continue
            asked = step.get("env", {})
            environment = {
                name: re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda m: values[m[1]], text)
                for name, text in asked.items()
            }
            assert "${{" not in step["run"]
            # As the runner starts it: docs.github.com, "Workflow syntax", `shell`.
            done = subprocess.run(
                ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
                cwd=self.folder, env={**self.environment, **environment}, capture_output=True, text=True, timeout=600,
            )  # fmt: skip
            if done.returncode:
                break
            added = pathlib.Path(self.environment["GITHUB_PATH"])
            if added.exists():
                self.environment["PATH"] = ":".join([*added.read_text().split(), self.environment["PATH"]])
        assert done
        return done


def test_the_action(tmp_path: pathlib.Path, path: str) -> None:
    runner = Runner(tmp_path, path)
    targets = f"{TREES / 'debian-12'}\n\n{TREES / 'broken'}\n"
    done = runner.run(install="", targets=targets, policy="docker")
    assert done.returncode == 1, done.stderr
    assert re.search(r"(?m)^::error ", done.stdout)
    assert "not ready" in runner.summary.read_text().lower()
    reports = pathlib.Path(runner.outputs.read_text().strip().partition("reports=")[2])
    names = sorted(each.name for each in reports.iterdir())
    assert names == ["hostcheck.html", "hostcheck.json", "hostcheck.sarif", "hostcheck.xml"]
    assert len(ET.parse(reports / "hostcheck.xml").findall("testsuite")) == 2
    assert json.loads((reports / "hostcheck.sarif").read_text())["version"] == "2.1.0"
    assert runner.run(install="", targets=str(TREES / "debian-12"), policy="docker").returncode == 0
    chosen = runner.run(
        install="", targets=str(TREES / "broken"), policy="docker", arguments="--select\nos.root\n"
    )
    assert chosen.returncode == 0, chosen.stderr


@pytest.mark.parametrize("name", ["targets", "policy", "arguments", "fail_on"])
def test_the_action_executes_nothing_of_what_is_typed(name: str, tmp_path: pathlib.Path, path: str) -> None:
    mark = tmp_path / "mark"
    nasty = f"x\"; touch {mark}; $(touch {mark}) `touch {mark}` '"
    done = Runner(tmp_path, path).run(**{"install": "", "targets": str(TREES / "debian-12"), name: nasty})
    assert done.returncode == 2, done.stderr
    assert not mark.exists()


def test_the_action_installs(tmp_path: pathlib.Path, wheel: pathlib.Path) -> None:
    runner = Runner(tmp_path, os.environ["PATH"])
    done = runner.run(install=str(wheel), targets=str(TREES / "debian-12"), policy="docker")
    if "pip" in done.stderr and done.returncode:
        pytest.skip(f"pip cannot fetch the libraries: {done.stderr.strip()[-200:]}")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "temp" / "hostcheck" / "bin" / "hostcheck").exists()


def test_the_template(tmp_path: pathlib.Path, wheel: pathlib.Path) -> None:
    job = yaml.safe_load(TEMPLATE.read_text())[".hostcheck"]
    variables = {**job["variables"], "HOSTCHECK_INSTALL": str(wheel), "HOSTCHECK_POLICY": "docker"}
    script = "\n".join(job["script"])

    def run(targets: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, **variables, "HOSTCHECK_TARGETS": targets}
        return subprocess.run(
            ["bash", "-eo", "pipefail", "-c", script],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600,
        )  # fmt: skip

    assert run("").returncode == 2
    done = run(f"{TREES / 'debian-12'} {TREES / 'broken'}")
    if "pip" in done.stderr and not (tmp_path / ".hostcheck" / "bin" / "hostcheck").exists():
        pytest.skip(f"pip cannot fetch the libraries: {done.stderr.strip()[-200:]}")
    assert (done.returncode, "NOT READY" in done.stdout) == (1, True), done.stderr
    kept = [*job["artifacts"]["paths"], job["artifacts"]["reports"]["junit"]]
    assert all((tmp_path / name).stat().st_size > 1000 for name in kept)
    suites = ET.parse(tmp_path / job["artifacts"]["reports"]["junit"]).findall("testsuite")
    assert [int(each.get("failures", "0")) > 0 for each in suites] == [False, True]


@pytest.mark.parametrize(("tree", "code"), [("debian-12", 0), ("broken", 1)])
def test_the_stage_of_a_dockerfile(tree: str, code: int, tmp_path: pathlib.Path, path: str) -> None:
    """Its command, on a tree in the place of the image; the last stage takes what it writes."""
    text = DOCKERFILE.read_text()
    stage = text.partition(" AS hostcheck\n")[2].partition("\nFROM ")[0]
    commands = re.findall(r"(?m)^RUN ((?:.*\\\n)*.*)$", stage)
    assert len(commands) == 2
    assert commands[0] == 'pip install --no-cache-dir "$INSTALL"'
    words = re.sub(r"^--mount=\S+ \\\n", "", commands[1])
    report = tmp_path / "report.json"
    command = words.replace("/image", str(TREES / tree)).replace("/hostcheck.json", str(report))
    done = subprocess.run(
        ["sh", "-c", command],
        env={"PATH": path, "POLICY": "docker"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == code, done.stderr
    assert json.loads(report.read_text())["results"]
    assert "COPY --from=hostcheck /hostcheck.json " in text.partition("\nFROM image\n")[2]


def packer() -> str:
    found = shutil.which("packer")
    return found or str(debs.need("packer") / "usr" / "bin" / "packer")


def run_packer(*arguments: str, cwd: pathlib.Path, path: str) -> subprocess.CompletedProcess[str]:
    home = {"HOME": str(cwd), "CHECKPOINT_DISABLE": "1", "PACKER_NO_COLOR": "1", "PATH": path}
    return subprocess.run(
        [packer(), *arguments], cwd=cwd, env=home, capture_output=True, text=True, timeout=600
    )


@pytest.mark.apt
def test_packer_takes_the_example(tmp_path: pathlib.Path, path: str) -> None:
    (tmp_path / "hostcheck.pyz").touch()
    arguments = ["validate", "-var", "hostcheck=hostcheck.pyz", str(PIECES / "packer")]
    done = run_packer(*arguments, cwd=tmp_path, path=path)
    assert done.returncode == 0, done.stdout + done.stderr
    done = run_packer("fmt", "-check", str(PIECES / "packer"), cwd=tmp_path, path=path)
    assert done.returncode == 0, done.stdout


NULL_SOURCE = """
source "null" "image" {{
  communicator         = "ssh"
  ssh_host             = "{host}"
  ssh_port             = {port}
  ssh_username         = "root"
  ssh_private_key_file = "{key}"
}}
"""


@pytest.mark.root
@pytest.mark.apt
def test_packer_builds(tmp_path: pathlib.Path, path: str, pyz: pathlib.Path) -> None:
    """The provisioner on a host that runs, over ssh, and the post-processor on a tree in the place of the image."""
    template = tmp_path / "template"
    template.mkdir()
    text = (PIECES / "packer" / "build.pkr.hcl").read_text()
    (template / "build.pkr.hcl").write_text(text.replace("source.qemu.image", "source.null.image"))

    def build(tree: str) -> subprocess.CompletedProcess[str]:
        variables = {
            "hostcheck": pyz,
            "policy": "docker",
            "image": TREES / tree,
            "reports": tmp_path,
        }
        words = [word for name, value in variables.items() for word in ("-var", f"{name}={value}")]
        return run_packer("build", *words, str(template), cwd=tmp_path, path=path)

    with remote.host(tmp_path) as key:
        remote.wait()
        source = NULL_SOURCE.format(host=remote.THERE, port=remote.PORT, key=key)
        (template / "source.pkr.hcl").write_text(source)
        well = build("debian-12")
        assert well.returncode == 0, well.stdout + well.stderr
        assert "Provisioning with shell script" in well.stdout
        assert (tmp_path / "hostcheck.xml").stat().st_size > 1000
        ill = build("broken")
        assert (ill.returncode, "NOT READY" in ill.stdout) == (1, True), ill.stdout + ill.stderr


def test_every_piece_is_told_of() -> None:
    """Each folder has its line in docs/ci.md."""
    told: Any = (PROJECT / "docs" / "ci.md").read_text()
    assert [each.name for each in PIECES.iterdir() if f"packaging/ci/{each.name}/" not in told] == []
