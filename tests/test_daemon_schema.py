"""The JSON Schema of daemon.json, against the verdicts of real releases."""

from __future__ import annotations

import json
import pathlib
import sys
from collections import Counter
from typing import Any

import jsonschema
import pytest

from hostcheck import cli, daemon_schema
from hostcheck.versions import Version

sys.path.append(str(pathlib.Path(__file__).parent / "facts"))

import test_facts_daemonjson as verdicts

RELEASES = ("17.06.2", "18.09.9", "20.10.24", "23.0.6", "26.1.5", "28.5.2", "29.7.2")


def validator(version: str) -> Any:
    return jsonschema.Draft202012Validator(daemon_schema.schema(Version(version)))


@pytest.mark.parametrize("version", RELEASES)
def test_it_is_a_schema_and_empty_files_pass(version: str) -> None:
    found = validator(version)
    found.check_schema(found.schema)
    assert found.is_valid({})
    assert not found.is_valid({"no-such-key": True})


@pytest.mark.parametrize(
    ("version", "text", "valid"),
    [
        ("28.5.2", '{"log-level": "WARN", "mtu": 1500, "dns": ["1.1.1.1"], "debug": null}', True),
        ("28.5.2", '{"log-level": "loud"}', False),
        ("28.5.2", '{"log-opts": {"max-size": 10}}', False),
        ("28.5.2", '{"log-opts": {"multiline": "true"}}', True),
        ("28.5.2", '{"proxies": {"https_proxy": "x"}}', False),
        ("28.5.2", '{"graph": "/x"}', False),
        ("20.10.24", '{"graph": "/x"}', True),
        ("28.5.2", '{"DEBUG": true}', False),
        # An object of another name gives its members away.
        ("28.5.2", '{"x": {"debug": true}}', True),
        ("28.5.2", '{"x": {"debugg": true}}', False),
        ("28.5.2", '{"default-shm-size": 64}', False),
        ("28.5.2", '{"labels": ["a"]}', False),
        ("29.2", '{"nri-opts": {"enable": true}}', True),
        ("29.2", '{"nri-opts": {"on": true}}', False),
        ("29.1", '{"nri-opts": {"enable": true}}', False),
    ],
)
def test_cases(version: str, text: str, valid: bool) -> None:
    assert validator(version).is_valid(json.loads(text)) is valid


@pytest.mark.parametrize(
    "rows", [verdicts.corpus, verdicts.probes, verdicts.typed], ids=lambda rows: rows.__name__
)
def test_it_refuses_nothing_that_dockerd_takes(corpora: pathlib.Path, rows: Any) -> None:
    tally: Counter[tuple[bool, bool]] = Counter()
    wrong, known = (
        [],
        {version: validator(version) for version in (*verdicts.REAL.values(), "20.10.5", "20.10.24")},
    )
    for row in rows(corpora / "daemon-json"):
        if set(row.flags) - set(verdicts.VALIDATE):
            continue  # a schema knows no flags
        try:
            value = json.loads(row.data.decode())
            valid = known[row.version].is_valid(value)
        except (ValueError, RecursionError):
            continue
        taken = row.code == 0
        tally[taken, valid] += 1
        if taken and not valid:
            wrong.append(f"{row.name} {row.version}: {row.data[:100]!r}")
    refused = tally[False, False] + tally[False, True]
    print(
        f"{rows.__name__}: {tally[True, True]} taken by both, {tally[False, False]} of {refused} refused by both"
    )
    assert wrong == []
    assert tally[True, True] > 300
    assert tally[False, False] > refused * 0.65


def test_the_command_prints_it(capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path) -> None:
    assert cli.main(["daemon-json", "--schema", "28.5.2"]) == 0
    assert json.loads(capsys.readouterr().out) == daemon_schema.schema(Version("28.5.2"))
    assert cli.main(["daemon-json", "--schema", "-o", str(tmp_path / "s.json")]) == 0
    assert "29." in json.loads((tmp_path / "s.json").read_text())["title"]
