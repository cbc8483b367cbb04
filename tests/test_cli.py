"""The command line, as a user meets it: exit codes, outputs, and what is said of mistakes."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import jsonschema
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
DEBIAN = str(ROOT / "tests/hosts/debian-12")
BROKEN = str(ROOT / "tests/hosts/broken")


def hostcheck(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hostcheck", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        env={**os.environ, "HOSTCHECK_NO_PLUGINS": "1", **environment},
    )


@pytest.mark.parametrize(
    "arguments, code",
    [
        (["--root", DEBIAN], 0),
        (["--root", BROKEN], 1),
        (["run", "--root", BROKEN, "--select", "os.*"], 0),
        (["--root", DEBIAN, "--select", "nothing.*"], 2),
        (["--root", DEBIAN, "-f", "yaml"], 2),
        (["--root", "/no/such/folder"], 2),
        (["--root", DEBIAN, "--policy", "nothing"], 2),
        (["--root", DEBIAN, "--docker-version", "new"], 2),
        (["--root", DEBIAN, "-f", "json", "-f", "table"], 2),
        (["--root", DEBIAN, "-o", "/no/such/folder/report"], 2),
        (["--root", DEBIAN, "--wrong"], 2),
        (["explain", "nothing"], 2),
        (["facts", "nothing"], 2),
        (["policies"], 0),
        (["list"], 0),
        (["explain", "kernel.version", "cgroup.*"], 0),
        (["facts", "os", "--root", DEBIAN], 0),
        (["--version"], 0),
        (["--help"], 0),
        (["run", "--help"], 0),
    ],
)
def test_exit_code(arguments: list[str], code: int) -> None:
    done = hostcheck(*arguments)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert (code == 2) == bool(done.stderr)


def policy(folder: pathlib.Path, text: str) -> str:
    path = folder / "policy.yaml"
    path.write_text(text)
    return str(path)


def test_fail_on_and_strict(tmp_path: pathlib.Path) -> None:
    """Exit codes 1 and 3 follow the thresholds, on a check whose end the policy sets."""
    (tmp_path / "checks").mkdir()
    (tmp_path / "checks" / "site.py").write_text(
        "from hostcheck.api import Check, Severity, Unavailable, failed\n"
        "class SiteA(Check):\n    '''A.'''\n    id = 'site.a'\n    severity = Severity.RECOMMENDED\n"
        "    def run(self, host):\n        yield failed('a', 'bad')\n"
        "class SiteB(Check):\n    '''B.'''\n    id = 'site.b'\n"
        "    def run(self, host):\n        raise Unavailable('cannot say')\n        yield\n"
    )
    base = ["--root", DEBIAN, "--checks-dir", str(tmp_path / "checks"), "-q"]
    for more, code in (
        (["--select", "site.a"], 0),
        (["--select", "site.a", "--fail-on", "recommended"], 1),
        (["--select", "site.b"], 0),
        (["--select", "site.b", "--strict"], 3),
        (["--select", "site.*", "--strict", "--fail-on", "recommended"], 1),
    ):
        done = hostcheck(*base, *more, HOSTCHECK_NO_PLUGINS="")
        assert (done.returncode, more) == (code, more), done.stderr


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: pathlib.Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE, text=True)
    done = hostcheck("--root", DEBIAN, "-f", "json", "-o", str(pipe))
    text, _ = reader.communicate(timeout=60)
    assert (done.returncode, json.loads(text)["schema"]) == (0, 1)
    assert pipe.is_fifo()


def test_several_outputs_from_one_run(tmp_path: pathlib.Path) -> None:
    target = tmp_path / "report.json"
    target.write_text("old")
    done = hostcheck(
        "--root", DEBIAN, "-f", f"json:{target}", "-f", "table", "-f", f"prometheus:{tmp_path / 'm.prom'}"
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(target.read_text())
    assert report["verdict"].upper() in done.stdout
    assert "hostcheck_ready 1.0" in (tmp_path / "m.prom").read_text()
    # Nothing temporary is left, and others may read it.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.prom", "report.json"]
    assert target.stat().st_mode & 0o044 == 0o044


@pytest.mark.parametrize("arguments", [["--root", DEBIAN], ["--root", BROKEN], []])
def test_json_follows_its_schema(arguments: list[str]) -> None:
    schema = json.loads((ROOT / "hostcheck/report.schema.json").read_text())
    done = hostcheck(*arguments, "-f", "json")
    assert done.returncode in (0, 1), done.stderr
    jsonschema.Draft202012Validator(schema).validate(json.loads(done.stdout))


def test_no_check_breaks_on_this_host() -> None:
    results = json.loads(hostcheck("-f", "json").stdout)["results"]
    assert [(r["id"], r["reason"]) for r in results if r["outcome"] == "error"] == []


def test_expired_waiver_is_loud(tmp_path: pathlib.Path) -> None:
    text = "extends: docker\nwaivers: [{id: os.support, reason: old but loved, expires: 2020-01-01}]"
    done = hostcheck("--root", DEBIAN, "--policy", policy(tmp_path, text))
    assert done.returncode == 1
    assert "expired on 2020-01-01" in done.stdout


def test_waived_failures_do_not_count(tmp_path: pathlib.Path) -> None:
    failing = [
        result["id"]
        for result in json.loads(hostcheck("--root", BROKEN, "-f", "json").stdout)["results"]
        if result["outcome"] == "fail"
    ]
    assert len(failing) > 3
    waivers = ", ".join(f"{{id: {name}, reason: known}}" for name in failing)
    done = hostcheck("--root", BROKEN, "--policy", policy(tmp_path, f"waivers: [{waivers}]"))
    assert done.returncode == 0, done.stdout
    assert "known" in done.stdout


def test_a_closed_pipe_is_no_traceback() -> None:
    code = f"{sys.executable} -m hostcheck list | true"
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert "Traceback" not in done.stderr


def test_every_fact_is_json(tmp_path: pathlib.Path) -> None:
    for arguments in ([], ["--root", DEBIAN]):
        done = hostcheck("facts", *arguments)
        assert done.returncode == 0, done.stderr
        facts = json.loads(done.stdout)
        assert {"kernel", "cgroup", "sysctl", "units", "versions", "storage", "docker", "os"} <= set(facts)


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [(["--help"], 0, "serve"), (["serve"], 2, "needs a library: pip install 'hostcheck[exporter]'")],
)
def test_without_the_library_of_the_exporter(arguments: list[str], code: int, expected: str) -> None:
    hidden = (
        "import sys; sys.modules['h11'] = None; from hostcheck.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", hidden, *arguments], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr.startswith("hostcheck: ")) == (code, code != 0)
    assert expected in done.stdout + done.stderr
