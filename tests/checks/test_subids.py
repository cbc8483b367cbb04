"""Files of subordinate ids that newuidmap reads, and does not."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from hostcheck.finding import Outcome
from hostcheck.testing import FakeHost, ask

subids: Any = importlib.import_module("hostcheck.checks.subids")

USER = {
    "/etc/passwd": "u:x:1000:1000::/home/u:/bin/sh\n",
    "/home/u/.config/docker/daemon.json": "{}",
    "/etc/subgid": "u:100000:65536\n",
}


@pytest.mark.parametrize(
    ("ranges", "expected"),
    [
        ("u:1000:1\nu:165536:65536\n", ["1000:1"]),
        ("1000:500:65536\n", ["500:65536"]),
        ("u:1001:1\nu:165536:65536\n", []),
        ("u:935:65\n", []),
        # Of another user, who is not mapped there.
        ("v:1000:1\nu:165536:65536\n", []),
    ],
)
def test_own(ranges: str, expected: list[str]) -> None:
    found = ask(subids.SubidsOwn, FakeHost({**USER, "/etc/subuid": ranges})).findings
    assert [each.value for each in found if not each.ok] == expected


@pytest.mark.parametrize(
    ("subuid", "expected"), [("-> /nfs/etc/subuid", ["subuid"]), ("u:100000:65536\n", [])]
)
def test_files(subuid: str, expected: list[str]) -> None:
    files = {**USER, "/etc/subuid": subuid, "/nfs/etc/subuid": "u:100000:65536\n"}
    found = ask(subids.SubidsFiles, FakeHost(files)).findings
    assert [each.subject for each in found if not each.ok] == expected


@pytest.mark.parametrize("check", [subids.SubidsOwn, subids.SubidsFiles])
def test_nobody(check: Any) -> None:
    assert ask(check, FakeHost({"/etc/passwd": "", "/etc/subuid": "-> /x"})).outcome is Outcome.SKIP
