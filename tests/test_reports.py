"""Golden reports: every reporter on every tree in tests/hosts. HOSTCHECK_UPDATE=1 writes them anew."""

from __future__ import annotations

import io
import os
import pathlib
import shutil
import subprocess

import pytest

from hostcheck import plugins
from hostcheck.finding import Report, Severity
from hostcheck.host.root import RootHost
from hostcheck.policy import DEFAULT, Policy
from hostcheck.reporters import FORMATS, Style, write

HERE = pathlib.Path(__file__).resolve().parent
TREES = sorted(path.name for path in (HERE / "hosts").iterdir())

DAY = "2026-11-24"
"""End-of-life dates are judged as of this day."""


def report_of(tree: str) -> Report:
    policy = Policy.load(DEFAULT)
    host = RootHost(str(HERE / "hosts" / tree), name=tree)
    host.assumptions["date"] = DAY
    report = policy.judge(host, policy.configure(plugins.shipped()))
    # What differs from run to run.
    report.started, report.seconds, report.version = f"{DAY}T00:00:00Z", 0.05, "0"
    for result in report.results:
        result.seconds = 0.001
    return report


@pytest.fixture(scope="module", params=TREES)
def tree(request: pytest.FixtureRequest) -> tuple[str, Report]:
    return request.param, report_of(request.param)


@pytest.mark.parametrize("form", FORMATS)
def test_golden(tree: tuple[str, Report], form: str) -> None:
    name, report = tree
    if form in ("html", "sarif") and name != "broken":
        pytest.skip("one golden file of this size is enough")
    stream = io.StringIO()
    write(form, [report], stream, Style(width=120))
    golden = HERE / "golden" / f"{name}.{form}"
    if os.environ.get("HOSTCHECK_UPDATE"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(stream.getvalue())
    assert stream.getvalue() == golden.read_text()


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_the_table_fits(tree: tuple[str, Report], width: int) -> None:
    """No line is wider than the terminal, unless one word of it is: a path or a command stays whole."""
    stream = io.StringIO()
    write("table", [tree[1]], stream, Style(width=width))
    for line in stream.getvalue().splitlines():
        words = line.strip().split(" ")
        whole = line.startswith("    → ") or len(words) == 1 or line.startswith("hostcheck explain")
        assert len(line) <= width or whole or max(map(len, words)) > width // 2, line


def test_plain_ascii(tree: tuple[str, Report]) -> None:
    stream = io.StringIO()
    write("table", [tree[1]], stream, Style(unicode=False))
    assert stream.getvalue().isascii()


def test_colour_says_nothing_more(tree: tuple[str, Report]) -> None:
    """Without its colours the coloured table is the plain one."""
    import re

    plain, coloured = io.StringIO(), io.StringIO()
    write("table", [tree[1]], plain, Style())
    write("table", [tree[1]], coloured, Style(color=True))
    stripped = re.sub(r"\x1b\[[0-9;]*m", "", coloured.getvalue())
    assert [line.rstrip() for line in stripped.splitlines()] == plain.getvalue().splitlines()
    assert "\x1b[" in coloured.getvalue()


def test_one_cause_is_told_once() -> None:
    """The unreadable config.toml of the broken host leaves several checks without an answer."""
    report = report_of("broken")
    reasons = [str(result.reason) for result in report.undecided()]
    assert len(reasons) > len(set(reasons))
    stream = io.StringIO()
    write("table", [report], stream, Style(width=1000))
    for reason in reasons:
        assert stream.getvalue().count(f"cannot tell: {reason}") == 1
    assert all(result.check in stream.getvalue() for result in report.undecided())


def test_quiet_is_the_verdict(tree: tuple[str, Report]) -> None:
    stream = io.StringIO()
    write("table", [tree[1]], stream, Style(verbosity=-1))
    (line,) = stream.getvalue().splitlines()
    assert line.startswith(tree[1].verdict.value.upper())


def test_metrics_are_as_prometheus_wants_them(tree: tuple[str, Report]) -> None:
    """`promtool check metrics` is the judge."""
    promtool = shutil.which("promtool")
    if not promtool:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    stream = io.StringIO()
    write("prometheus", [tree[1]], stream, Style())
    done = subprocess.run(
        [promtool, "check", "metrics"], input=stream.getvalue(), capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    "name, verdict, failing",
    [
        ("debian-12", "ready", []),
        ("ubuntu-22.04", "ready", []),
        ("ubuntu-24.04", "ready", []),
        ("rocky-9", "ready", []),
        ("alpine", "ready with warnings", ["os.support"]),
    ],
)
def test_stock_hosts_are_ready(name: str, verdict: str, failing: list[str]) -> None:
    """Nothing above info is said of a stock host; Alpine 3.20 has had its time."""
    report = report_of(name)
    found = [
        result.check
        for result in report.results
        if result.outcome.value in ("fail", "error") and result.severity.value != "info"
    ]
    assert (report.verdict.value, found) == (verdict, failing)


def test_the_broken_host_is_not_ready() -> None:
    report = report_of("broken")
    assert report.verdict.value == "not ready"
    blocking = {result.check for result in report.failed(Severity.REQUIRED)}
    assert {
        "docker.daemon_json",
        "network.ip_forward",
        "filesystem.mount_options",
        "units.enabled",
    } <= blocking


def test_the_guide_for_centos_7_works() -> None:
    """Docker 20.10.9 from static binaries, as a well-known guide installs it: old, but nothing blocks."""
    report = report_of("centos-7")
    assert report.verdict.value == "ready with warnings"
    assert report.failed(Severity.REQUIRED) == []
    assert {"docker.duplicates", "registry.mirrors", "registry.insecure"} <= {
        result.check for result in report.failed(Severity.RECOMMENDED)
    }
