"""`hostcheck daemon-json`: places, exit codes, formats, and input that means no good."""

from __future__ import annotations

import argparse
import io
import json
import os
import pathlib
import sys
from typing import Any, Optional

import jsonschema
import pytest

from hostcheck import daemon_command
from hostcheck.facts import docker
from hostcheck.output import OutputError
from hostcheck.policy import PolicyError

SCHEMA = json.loads(
    (pathlib.Path(daemon_command.__file__).parent / "report.schema.json").read_text(encoding="utf-8")
)


class Outcome:
    """What a call of the command gave."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err
        self.lines = out.splitlines()

    @property
    def reports(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the command: of arguments, and of the bytes on standard input."""

    def run(*arguments: str, stdin: bytes = b"") -> Outcome:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        parser = argparse.ArgumentParser()
        daemon_command.add_parser(parser.add_subparsers())
        code = daemon_command.run(parser.parse_args(["daemon-json", *arguments]))
        return Outcome(code, *capsys.readouterr())

    return run


# Text, further arguments, then what each line begins with (behind the name of the file) and holds.
PLACES: list[tuple[str, list[str], list[tuple[str, str]]]] = [
    ("{}", [], []),
    ('{\n  "debug": true,\n}', [], [("3:1: required:", "'}' where a key in quotes must begin")]),
    ('{"a": 1}', [], [("1:2: required:", "a: not a key that dockerd knows")]),
    ('{"live-restor": true}', [], [("1:2: required:", "did you mean live-restore?")]),
    (
        '{"proxies": {"http-proxy": "http://p:1",\n "https_proxy": "x"}}',
        [],
        [("2:2: required:", "did you mean https-proxy?")],
    ),
    ('{"log-opts":\n  {"max-size": 10}}', [], [("2:16: required:", "must be a string in quotes")]),
    ('{"graph": "/d"}', [], [("1:2: required:", "removed in 23.0; use data-root")]),
    ('{"graph": "/d"}', ["--docker-version", "20.10.24"], []),
    ('{"oom-score-adjust": -5}', [], [("1:2: required:", "OOMScoreAdjust= of docker.service")]),
    ('{"mtu": 1400, \n   "mtu": 1500}', [], [("2:4: recommended:", "stands twice, in lines 1 and 2")]),
    (
        '{"log-opts": {"tag": "a",\n "tag": "b", "max-size": "1m"}}',
        [],
        [("2:2: recommended:", "log-opts.tag stands twice")],
    ),
    (
        '{"log-opts": {"max-size": "1m", "multiline": "true"}}',
        [],
        [("1:33: required:", "no option multiline")],
    ),
    ('{"log-opts": {"firstline": "x", "max-size": "1m"}}', [], [("1:15: required:", "no option firstline")]),
    ('{"log-opts": {"max-size": "ten"}}', [], [("1:15: required:", "which is no size")]),
    ('{"insecure-registry": ["r"]}', [], [("1:2: recommended:", "insecure-registries is the key")]),
    ('{"iptables": null}', [], [("1:2: recommended:", "null does not mean the default")]),
    (
        '{"registry-mirrors": ["https://mirror.gcr.io",\n"https://registry.docker-cn.com"]}',
        [],
        [("2:1: recommended:", "has answered nobody")],
    ),
    ('{"hosts": ["fd://", "tcp://0.0.0.0:1"]}', [], [("1:21: recommended:", "without tlsverify")]),
    ('{"hosts": ["unix:///x"]}', ["--flags", "-H fd://"], [("1:2: required:", "the flag --host fd://")]),
    (
        '{"exec-opts": ["a=b",\n "native.cgroupdriver=x"]}',
        [],
        [("1:16:", "unknown name"), ("2:2:", "neither")],
    ),
    ('{"data-root": "data"}', [], [("1:2: required:", "is relative")]),
    # One call tells all, although dockerd would stop at the first.
    (
        '{"dns": ["x"],\n"labls": ["y"],\n"icc": false, "iptables": false}',
        [],
        [("1:10:", "not an IP"), ("2:1:", "did you mean labels?"), ("3:1:", "icc false needs iptables")],
    ),
    # What depends on a host accuses nobody.
    ('{"tls": true, "tlscert": "/c", "tlskey": "/k"}', [], []),
    ('{"userns-remap": "somebody", "group": "nobodys", "seccomp-profile": "/s"}', [], []),
    ('{"runtimes": {"kata": {"path": "/k"}}, "default-runtime": "kata"}', [], []),
    ('{"cgroup-parent": "x", "cpu-rt-runtime": 5, "live-restore": true}', [], []),
]


@pytest.mark.parametrize("text, arguments, expected", PLACES)
def test_place_and_message(
    call: Any, tmp_path: pathlib.Path, text: str, arguments: list[str], expected: list[tuple[str, str]]
) -> None:
    file = tmp_path / "daemon.json"
    file.write_text(text)
    done = call(*arguments, str(file))
    found = [line for line in done.lines[:-1] if not line.startswith("    ") and ": info: " not in line]
    assert len(found) == len(expected), found
    for line, (place, words) in zip(found, expected):
        assert line.startswith(f"{file}:{place}")
        assert words in line
    assert done.code == any(": required: " in line for line in found)


def test_bulk(call: Any, tmp_path: pathlib.Path) -> None:
    """Each file has its report, in order; one that is not there spoils no other."""
    good, bad, missing = tmp_path / "good", tmp_path / "bad", tmp_path / "missing"
    good.write_text('{"log-driver": "local"}')
    bad.write_text('{"debug": "yes"}')
    done = call("-f", "json", str(good), str(missing), str(bad), "-", stdin=b'{"mtu": -1}')
    assert done.code == 2
    assert [r["file"] for r in done.reports] == [str(good), str(missing), str(bad), "-"]
    assert [r["accepted"] for r in done.reports] == [True, None, False, False]
    assert [r["verdict"] for r in done.reports] == ["ready", "cannot tell", "not ready", "not ready"]
    assert f"{missing} does not exist" in done.err
    assert done.reports[1]["error"] == f"{missing} does not exist"
    result = next(r for r in done.reports[2]["results"] if r["id"] == "docker.daemon_json")
    finding = next(f for f in result["findings"] if not f["ok"])
    assert (finding["subject"], finding["line"], finding["column"]) == ("daemon.json debug", 1, 11)
    text = call(str(good), str(missing), str(bad))
    assert text.lines[-1].startswith("3 files: 1 accepted, 1 refused, 1 not read; 1 required")


CLASSES: list[tuple[str, list[str], list[tuple[str, Optional[str]]]]] = [
    ("{", [], [("json-syntax", None)]),
    ('{"a": 1}', [], [("unknown-directive", "a")]),
    ('{"proxies": {"https_proxy": "x"}}', [], [("unknown-directive", "proxies.https_proxy")]),
    ('{"log-opts": {"max-size": 10}}', [], [("wrong-type", "log-opts.max-size")]),
    ('{"graph": "/x"}', ["--docker-version", "23.0.6"], [("removed-option", "graph")]),
    ('{"log-level": "loud"}', [], [("invalid-value", "log-level")]),
    ('{"hosts": []}', ["--flags", "-H fd://"], [("flag-conflict", "hosts")]),
    ("{}", ["--flags=--nope"], [("invalid-value", "--nope")]),
    ('{"bip": "10.0.0.1"}', [], [("start-only", "bip")]),
    ('{"log-opts": {"multiline": "true", "max-size": "1m"}}', [], [("start-only", "log-opts.multiline")]),
    ('{"mtu": 1400, "mtu": 1500}', [], [("advice", "mtu")]),
    (
        '{"registry-mirrors": ["https://mirror.gcr.io", "http://m.example"]}',
        [],
        [("advice", "registry-mirrors")],
    ),
]


@pytest.mark.parametrize("text, arguments, expected", CLASSES)
def test_class_and_key(
    call: Any, text: str, arguments: list[str], expected: list[tuple[str, Optional[str]]]
) -> None:
    (report,) = call("-f", "json", *arguments, "-", stdin=text.encode()).reports
    jsonschema.validate(report, SCHEMA)
    findings = [f for result in report["results"] for f in result["findings"]]
    assert [(f["class"], f["key"]) for f in findings if not f["ok"] and f["severity"] != "info"] == expected
    assert {f["class"] for f in findings if f["ok"]} <= {None}


def test_every_report_is_as_the_schema_says(call: Any, corpora: pathlib.Path) -> None:
    files = [str(path) for path in sorted((corpora / "daemon-json" / "raw").iterdir())]
    done = call("-f", "json", *files, str(corpora / "nothing"))
    assert len(done.reports) == len(files) + 1 > 100
    validator = jsonschema.Draft202012Validator(SCHEMA)
    for report in done.reports:
        assert [error.message for error in validator.iter_errors(report)] == []


def test_each_format_has_its_file(call: Any, tmp_path: pathlib.Path) -> None:
    lines, table = tmp_path / "lines.json", tmp_path / "table.txt"
    done = call("-f", "text", "-f", f"json:{lines}", "-f", f"table:{table}", "-", stdin=b'{"a": 1}')
    assert done.code == 1
    assert "<stdin>:1:2: required:" in done.out
    assert json.loads(lines.read_text())["accepted"] is False
    assert "NOT READY" in table.read_text()
    # A file has no kernel, and nobody is told that it was not found.
    assert table.read_text().startswith("<stdin> · docker")
    call("-o", str(table), "-", stdin=b"{}")
    assert "1 file: 1 accepted" in table.read_text()
    assert len(os.listdir(tmp_path)) == 2


def test_strict(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Any:
        raise RuntimeError

    text = b'{"log-driver": "local"}'
    assert call("--strict", "-", stdin=text).code == 0
    monkeypatch.setattr("hostcheck.checks.daemon.DaemonLogRotation._wrong", broken)
    assert [call(*strict, "-", stdin=text).code for strict in ([], ["--strict"])] == [0, 3]


def test_verbose_shows_what_is_right(call: Any) -> None:
    assert "<stdin>:1:2: ok: mtu: 1400" in call("-v", "-", stdin=b'{"mtu": 1400}').out
    assert " ok: " not in call("-", stdin=b'{"mtu": 1400}').out


def test_the_release_is_said(call: Any) -> None:
    assert "the newest release that is known" in call("-", stdin=b"{}").lines[-1]
    assert call("--docker-version", "24.0.9", "-", stdin=b"{}").lines[-1].endswith("judged as docker 24.0.9")


@pytest.mark.parametrize("fail_on, code", [("required", 0), ("recommended", 1), ("info", 1)], ids=str)
def test_fail_on(call: Any, fail_on: str, code: int) -> None:
    assert call("--fail-on", fail_on, "-", stdin=b'{"mtu": 1400, "mtu": 1500}').code == code


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--docker-version", "new", "-"], "not a version"),
        (["--flags", "-H 'fd", "-"], "No closing quotation"),
        (["-f", "yaml", "-"], "no format 'yaml'"),
        (["-", "-"], "only once"),
        ([], "no file is named"),
        (["-f", "text", "-f", "json", "-"], "only one format"),
        (["-o", "/nowhere/x", "-"], "cannot write /nowhere/x"),
        (["--schema", "new"], "--schema new: not a version"),
    ],
)
def test_usage(call: Any, arguments: list[str], words: str) -> None:
    with pytest.raises(OutputError) as refused:
        call(*arguments)
    assert words in str(refused.value)


def test_a_glob_without_a_check_is_a_mistake(call: Any) -> None:
    with pytest.raises(PolicyError, match="nothing"):
        call("--select", "nothing.*", "-", stdin=b"{}")


def test_other_formats_get_one_report_of_all_files(call: Any, tmp_path: pathlib.Path) -> None:
    names = []
    for number, text in enumerate(('{"mtu": 1400, "mtu": 1500}', "{}", '{"a": 1}')):
        names.append(str(tmp_path / f"{number}.json"))
        pathlib.Path(names[-1]).write_text(text)
    done = call("-f", "table", *names)
    assert done.code == 1
    assert f"{names[0]}:1" in done.out
    assert f"{names[2]}:1" in done.out
    assert "NOT READY" in done.out


def test_this_machine_is_not_looked_at(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but the program itself is opened: the file comes from standard input."""
    seen: list[str] = []
    ours = (sys.prefix, sys.base_prefix, str(pathlib.Path(__file__).resolve().parents[1]))

    def watched(original: Any) -> Any:
        def look(path: Any, *arguments: Any, **more: Any) -> Any:
            if not str(path).startswith(ours):
                seen.append(str(path))
            return original(path, *arguments, **more)

        return look

    text = (
        b'{"userns-remap": "u", "tls": true, "cgroup-parent": "x", "data-root": "/d", "runtimes": {"r": {}}}'
    )
    with monkeypatch.context() as patch:
        for name in ("open", "stat", "lstat", "listdir", "readlink"):
            patch.setattr(os, name, watched(getattr(os, name)))
        os.stat("/etc")
        done = call("-f", "json", "--docker-version", "28.5.2", "-", stdin=text)
    assert seen == ["/etc"]
    assert done.reports[0]["accepted"] is True
    assert [r["id"] for r in done.reports[0]["results"] if r["outcome"] in ("error", "unknown")] == []


MEGA = 512 * 1024

HOSTILE: list[tuple[str, bytes, Any]] = [
    ("empty", b"", True),
    ("nul", b"\0" * 1000, False),
    ("not UTF-8", b'{"labels": ["\xff=\xfe"]}', False),
    ("half a surrogate", b'{"labels": ["\\ud800=\\udc00\\ud800"]}', True),
    ("escapes", b'{"a\\u001b[31m\\n": 1}', False),
    ("deep list", b"[" * 100_000 + b"]" * 100_000, False),
    ("deep object", b'{"a":' * 50_000, False),
    ("deep and legal", b'{"builder":' + b'{"a":' * 9990 + b"1" + b"}" * 9991, True),
    ("huge numbers", b'{"mtu":' + b"9" * 100_000 + b',"debug":1e999999999}', False),
    ("many keys", b"{" + b",".join(b'"k%d":1' % i for i in range(MEGA // 13)) + b"}", False),
    ("one key often", b"{" + b",".join([b'"mtu":1'] * (MEGA // 8)) + b"}", True),
    ("many options", b'{"log-opts":{' + b",".join(b'"k%d":""' % i for i in range(MEGA // 13)) + b"}}", True),
    ("many elements", b'{"registry-mirrors":[' + b",".join([b'""'] * 110_000) + b"]}", False),
    ("a long word", b'{"data-root":"' + b"a" * (MEGA - 20) + b'"}', True),
    ("backtracking number", b'{"bridge-accept-fwmark":"' + b"0" * 70 + b'z"}', False),
    ("backtracking URL", b'{"registry-mirrors":["http://a/' + b"%41" * (MEGA // 3 - 20) + b'"]}', True),
    ("a million keys", b"{" + b",".join(b'"%d":1' % i for i in range(300_000)) + b"}", None),
    ("a million numbers", b'{"labels":[' + b",".join([b"1"] * 1_000_000) + b"]}", None),
    ("a long way to the end", b'{"debug":true}' + b" " * (docker.FILE_LIMIT - 14), True),
    ("a long text", b'{"data-root":"/' + b"\\n" * (docker.FILE_LIMIT // 2 - 20) + b'"}', True),
    ("too large", b'{"labels":[]}' + b" " * docker.FILE_LIMIT, None),
]


@pytest.mark.parametrize("name, data, accepted", HOSTILE, ids=[case[0] for case in HOSTILE])
def test_hostile_file(call: Any, tmp_path: pathlib.Path, name: str, data: bytes, accepted: Any) -> None:
    file = tmp_path / "daemon.json"
    file.write_bytes(data)
    done = call("-f", "json", str(file))
    assert done.reports[0]["accepted"] is accepted
    assert [r["reason"] for r in done.reports[0]["results"] if r["outcome"] == "error"] == []
    assert len(done.out) < 1_000_000
    shown = call(str(file)).out
    assert all(line.isprintable() for line in shown.splitlines())


def test_what_is_too_large_is_said_so(call: Any, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "large.json"
    with file.open("wb") as sparse:
        sparse.truncate(100 << 20)
    for text in (b"", b"[" + b"1," * 300_000 + b"1]"):
        if text:
            file.write_bytes(text)
        done = call("-f", "json", str(file))
        assert (done.code, done.reports[0]["accepted"], done.reports[0]["verdict"]) == (
            2,
            None,
            "cannot tell",
        )
        assert done.reports[0]["error"].startswith(str(file))
        assert "too large to judge" in done.reports[0]["error"]


def test_what_is_no_file_does_not_hang(call: Any, tmp_path: pathlib.Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    done = call(str(fifo), str(tmp_path), "/dev/zero", str(tmp_path / "\udcff"))
    assert done.code == 2
    assert done.err.count("is not a regular file") == 3
    assert "4 not read" in done.lines[-1]
