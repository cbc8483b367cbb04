"""`hostcheck daemon-json`: files judged without a host, in order, with line and column."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]


def daemon_json(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hostcheck", "daemon-json", *arguments],
        capture_output=True,
        text=True,
        input=text,
        cwd=ROOT,
        timeout=60,
    )


@pytest.mark.parametrize(
    "text, version, code",
    [
        ("{}", "28.5.2", 0),
        ('{"debugg": true}', "28.5.2", 1),
        ('{"graph": "/x"}', "20.10.24", 0),
        ('{"graph": "/x"}', "24.0.9", 1),
        ("{} trailing", "20.10.24", 0),
        ("{} trailing", "28.5.2", 1),
        ("", "20.10.24", 1),
        ("", "28.5.2", 0),
        ("{}", "no version", 2),
    ],
)
def test_exit_code_follows_the_release(text: str, version: str, code: int) -> None:
    done = daemon_json("--docker-version", version, "-", text=text)
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stdout + done.stderr


def test_reports_come_in_order_and_say_what_dockerd_would(tmp_path: pathlib.Path) -> None:
    texts = ['{"debug": true}', '{"debug": "yes"}', '{"hosts": []}']
    files = []
    for number, text in enumerate(texts):
        path = tmp_path / f"{number}.json"
        path.write_text(text)
        files.append(str(path))
    done = daemon_json("-f", "json", "--docker-version", "28.5.2", "--flags", "-H fd://", *files)
    reports = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"file"')]
    if not reports:
        reports = json.loads(done.stdout)
    assert [(report["file"], report["accepted"]) for report in reports] == list(
        zip(files, (True, False, False))
    )


def test_place_and_suggestion() -> None:
    done = daemon_json("--docker-version", "28.5.2", "-", text='{\n  "log-opts": {},\n  "debugg": true\n}')
    assert "<stdin>:3:3: required:" in done.stdout
    assert "did you mean debug?" in done.stdout


def test_what_cannot_be_read_is_named_and_the_rest_is_judged(tmp_path: pathlib.Path) -> None:
    good = tmp_path / "good.json"
    good.write_text('{"debug": "yes"}')
    done = daemon_json(str(tmp_path / "none.json"), str(tmp_path), str(good))
    assert done.returncode == 2
    assert "none.json" in done.stdout + done.stderr
    assert f"{good}:1:" in done.stdout
    assert "Traceback" not in done.stderr
