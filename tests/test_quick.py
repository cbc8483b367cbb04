"""A plain command line is read as argparse reads it, and all others are left to it."""

from __future__ import annotations

import contextlib
import io

import hypothesis
import hypothesis.strategies as st
import pytest

from hostcheck import cli
from hostcheck.quick import Quick

WORDS = [
    *(
        "-f",
        "json",
        "-fjson",
        "--format",
        "--format=table",
        "-f=json",
        "table:/tmp/x",
        "-o",
        "--output",
        "--out",
    ),
    *("-v", "-q", "-vq", "--verbose", "--verbose=1", "--strict", "--no-color", "--no-plugins"),
    *("--fail-on", "required", "recommended", "worst", "--fail-on=recommended", "--fail-on="),
    *(
        "--select",
        "cgroup.*",
        "--select=",
        "--ignore",
        "--policy",
        "kubernetes",
        "--checks-dir",
        "--require-plugin",
    ),
    *(
        "--root",
        "/mnt",
        "image.qcow2",
        "",
        "a b",
        "-",
        "--",
        "-1",
        "-a b",
        "--stage",
        "auto",
        "--stage=never",
    ),
    *("--docker-version", "28.5.2", "--online", "--baseline", "--help", "-h", "--version", "--wrong", "run"),
]


def quickly(words: list[str]) -> dict[str, object] | None:
    quick = Quick()
    cli._add_run(quick)  # type: ignore[arg-type]
    return quick.read(words)


def by_argparse(words: list[str]) -> dict[str, object] | None:
    """Return the values, None for a mistake or a call for help."""
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        try:
            values = vars(cli._parser(["run"]).parse_args(["run", *words]))
        except SystemExit:
            return None
    assert values.pop("command") == "run"
    return values


@hypothesis.given(st.lists(st.sampled_from(WORDS), max_size=7))
def test_what_is_plain_is_read_as_argparse_reads_it(words: list[str]) -> None:
    found = quickly(words)
    if found is not None:
        assert found == by_argparse(words)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "-f json",
        "-v --strict --fail-on=recommended",
        "--select cgroup.* --select kernel.* --ignore=cgroup.mode",
        "a.qcow2 b.tar -f table -f junit:report.xml",
        "-f json --root /mnt --policy kubernetes --no-plugins",
    ],
)
def test_what_is_usual_is_plain(line: str) -> None:
    found = quickly(line.split())
    assert found is not None
    assert found == by_argparse(line.split())


@pytest.mark.parametrize(
    "line", ["-h", "--sel x", "-fjson", "a -v b", "--fail-on worst", "-o", "--wrong", "-- a"]
)
def test_all_else_is_left_to_argparse(line: str) -> None:
    assert quickly(line.split()) is None
