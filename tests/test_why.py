"""`hostcheck why`: the table of messages, how it is searched, and the command."""

from __future__ import annotations

import io
import json
import pathlib
import re
from typing import Any

import pytest

from hostcheck import cli, plugins
from hostcheck.symptoms import LINES_LIMIT, PEOPLE, Symptom, clean, load, search, search_text

TABLE = load()
IDS = {check.id for check in plugins.shipped()}
TREE = str(pathlib.Path(__file__).resolve().parent / "hosts" / "broken")


@pytest.mark.parametrize("symptom", TABLE, ids=lambda symptom: symptom.patterns[0].text[:40])
def test_the_table(symptom: Symptom) -> None:
    assert set(symptom.checks) <= IDS
    assert len(symptom.checks) == len(set(symptom.checks)) > 0
    assert symptom.cause.endswith(".")
    assert len(symptom.likes) == len(symptom.patterns), "a message for each pattern"
    for pattern, like in zip(symptom.patterns, symptom.likes):
        assert pattern.letters >= 6, f"{pattern.text}: would be found everywhere"
        assert symptom.by == PEOPLE or pattern.needle.strip(), f"{pattern.text}: no fixed word"
        assert pattern.found_in(like, like.lower()), pattern.text
        found, _ = search_text(like, TABLE)
        assert found[0].symptom is symptom, (like, found[0].symptom.patterns[0].text)


def test_no_message_stands_twice() -> None:
    texts = [pattern.text for symptom in TABLE for pattern in symptom.patterns]
    assert len(texts) == len(set(texts))
    print(f"{len(texts)} messages of {len({symptom.by for symptom in TABLE})} programs in {len(TABLE)} rows")


def test_fixed_words_are_in_every_match() -> None:
    """The quick look for a word never hides a message: each sample is found without it too."""
    for symptom in TABLE:
        for pattern, like in zip(symptom.patterns, symptom.likes):
            assert re.search(pattern.text, like, re.IGNORECASE)
            assert pattern.needle in like.lower(), pattern.text


PLAIN = {
    "daemon-json-several-objects-appended",
    "docker29-driver-is-no-snapshotter",
    "graph-key-removed-in-23",
    "encrypted-home-as-data-root",
    "podman-without-iptables-package",
    "grubby-argument-lost-when-kernel-upgraded-before-reboot",
    "antivirus-on-access-scanner",
    "distribution-containerd-replaces-containerd-io",
    "left-over-containerd-unit-points-to-removed-binary",
    "nm-cloud-setup-policy-routing",
}
"""Incidents whose symptom is told in the reporter's words, without the message of a program."""


def test_the_symptoms_of_incidents(corpora: pathlib.Path) -> None:
    """Those that quote a message are known; a trap's message may be unknown, which is no alarm either."""
    import yaml

    incidents: list[dict[str, Any]] = yaml.safe_load((corpora / "incidents/incidents.yaml").read_text())
    known = {i["key"] for i in incidents if search_text(i["symptom"], TABLE)[0]}
    traps = {i["key"] for i in incidents if i["trap"]}
    print(f"{len(known)} of {len(incidents)} symptoms of incidents are known")
    assert {i["key"] for i in incidents} - known - traps - PLAIN == set()


def test_the_checks_are_those_that_foretell(corpora: pathlib.Path) -> None:
    """Of an incident whose message is known, the check that foretells it is among those that are run."""
    import yaml

    ours = yaml.safe_load((pathlib.Path(__file__).parent / "incidents/incidents.yaml").read_text())
    check_of = {row["id"]: row["check"] for row in ours if row.get("check")}
    wrong, right = [], 0
    for incident in yaml.safe_load((corpora / "incidents/incidents.yaml").read_text()):
        thread = re.match(r"https://github.com/([^/]+/[^/]+)/\w+/(\d+)", incident["url"])
        check = check_of.get(f"{thread[1]}#{thread[2]}") if thread else None
        found, _ = search_text(incident["symptom"], TABLE)
        if check in IDS and found:
            right += any(check in match.symptom.checks for match in found)
            if not any(check in match.symptom.checks for match in found):
                wrong.append((incident["key"], check))
    print(f"{right} incidents: the check that foretells it is among those that `why` runs, {len(wrong)} not")
    assert right > 100
    assert wrong == []


@pytest.mark.parametrize(
    "line",
    [
        "Devices cgroup isn't mounted",
        "\x1b[31mfailed to start daemon: Devices cgroup isn\u2019t mounted\x1b[0m",
        "Nov 24 15:11:26 host dockerd[123]: failed to start daemon: DEVICES CGROUP ISN'T MOUNTED",
        '2026-11-24T15:11:26.123Z host dockerd: time="x" level=fatal msg="Error: Devices cgroup isn\'t mounted"',
        "E1124 15:11:26.000000    1234 daemon.go:42] Devices cgroup isn't mounted",
    ],
)
def test_what_stands_before_a_message_does_not_matter(line: str) -> None:
    found, lines = search_text(line, TABLE)
    assert lines == 1
    assert found[0].symptom.checks[0] == "cgroup.mode"


def test_a_broken_line() -> None:
    found, _ = search_text("failed to start daemon: Devices\n   cgroup isn't\nmounted\n", TABLE)
    assert found[0].symptom.checks[0] == "cgroup.mode"


def test_quotes_of_logs() -> None:
    assert clean('msg="can\'t \\"x\\"\x07"') == 'msg="can\'t "x" "'


def test_the_most_specific_comes_first() -> None:
    log = [
        "docker.service: Start request repeated too quickly.",
        "failed to start daemon: Error initializing network controller: x: Failed to initialize nft: no",
        "Running modprobe bridge br_netfilter failed with message: Module br_netfilter not found",
        "Devices cgroup isn't mounted",
        "Devices cgroup isn't mounted",
        "nothing of interest",
    ]
    found, lines = search(log, TABLE)
    assert lines == len(log)
    assert [(match.symptom.by, match.count) for match in found] == [
        ("dockerd", 1),
        ("dockerd", 2),
        ("iptables", 1),
        ("systemd", 1),
    ]
    assert found[0].symptom.harmless


def test_hostile_logs() -> None:
    """Long lines and many of them are searched in bounded steps; nothing in them breaks the search."""
    lines = ["x" * 10_000_000, "\0\x1b[", "overlay mount" * 500, "(" * 5000, "CONFIG_" + "A" * 100_000, ""]
    assert len(search(lines, TABLE)[0]) <= len(lines)

    def endless() -> Any:
        while True:
            yield "the same"

    assert search(endless(), TABLE) == ([], LINES_LIMIT)


def test_a_long_journal_is_searched_quickly() -> None:
    """A line is looked at once, however many words of the table it shares: steps are counted, not time."""
    calls = 0

    class Counted(Symptom):
        __slots__ = ()

    symptom = Counted({"by": "x", "says": "some words", "like": "", "cause": "", "checks": []})
    pattern = symptom.patterns[0]
    original = type(pattern).found_in

    def counted(self: Any, line: str, lowered: str) -> bool:
        nonlocal calls
        calls += 1
        return original(self, line, lowered)

    pytest.MonkeyPatch().setattr(type(pattern), "found_in", counted)
    try:
        search((f"Nov 24 host x[{n}]: took {n} ms" for n in range(10_000)), [symptom])
    finally:
        pytest.MonkeyPatch().setattr(type(pattern), "found_in", original)
    assert calls == 1


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = cli.main(["why", *arguments])
    return code, capsys.readouterr().out


def test_a_cause_that_is_here(capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run(capsys, "--root", TREE, "WARNING: IPv4 forwarding is disabled")
    assert code == 1
    assert "✗ network.ip_forward (required)" in out
    assert "→ " in out
    assert "Found on" in out


def test_a_cause_that_is_not_here(capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path) -> None:
    tree = str(pathlib.Path(TREE).parent / "debian-12")
    code, out = run(capsys, "--root", tree, "docker.service: Service has more than one ExecStart= setting")
    assert code == 0
    assert "None of the conditions" in out


def test_a_harmless_message(capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run(capsys, "--root", TREE, "Not using native diff for overlay2")
    assert code == 0
    assert "harmless" in out


@pytest.mark.parametrize("text", ["my cat is ill", "error", "failed", "x\ny"])
def test_an_unknown_message(capsys: pytest.CaptureFixture[str], text: str) -> None:
    code, out = run(capsys, "--root", TREE, text)
    assert code == 3
    assert "not known" in out


def test_no_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, " ")[0] == 2


def test_standard_input_and_json(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    log = b"\xff\xfe\nIPv4 forwarding is disabled\nIPv4 forwarding is disabled\n"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(log), "utf-8"))
    code, out = run(capsys, "--root", TREE, "-f", "json", "-")
    found = json.loads(out)
    assert code == 1
    assert (found["known"], found["lines"], found["symptoms"][0]["count"]) == (True, 3, 2)
    assert found["symptoms"][0]["checks"] == [r["id"] for r in found["report"]["results"]]
    assert run(capsys, "-f", "json", "--root", TREE, "my cat is ill")[0] == 3


def test_only_its_checks_are_run(capsys: pytest.CaptureFixture[str]) -> None:
    _, out = run(capsys, "--root", TREE, "-f", "json", "nf_conntrack: table full, dropping packet")
    assert [result["id"] for result in json.loads(out)["report"]["results"]] == ["sysctl.conntrack"]
