"""Policies and registries; the real podman judges the same files in tests/engine/test_real_podman.py."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from hostcheck.finding import Outcome
from hostcheck.testing import Content, FakeHost, ask

images: Any = importlib.import_module("hostcheck.checks.images")

LET = '{"default": [{"type": "insecureAcceptAnything"}]}'


def host(path: str, content: Content) -> FakeHost:
    return FakeHost({"/usr/bin/podman": "\x7fELF", path: content})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (LET, ""),
        ('{"default": [{"type": "reject"}]}', ""),
        ("{", "no JSON"),
        ("[]", "no JSON object"),
        ("{}", "no `default`"),
        ('{"default": []}', "is empty"),
        ('{"default": [{"type": "x"}]}', "'x'"),
        ('{"default": [], "default": []}', "twice"),
    ],
)
def test_policy(content: str, said: str) -> None:
    result = ask(images.ImagesPolicy, host("/etc/containers/policy.json", content))
    assert [said in finding.message for finding in result.failures] == ([True] if said else [])


def test_policy_missing_and_a_folder() -> None:
    for path in ("/etc/other", "/etc/containers/policy.json/"):
        assert "is not there" in ask(images.ImagesPolicy, host(path, "")).failures[0].message


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ('unqualified-search-registries = ["a.example"]\n', 0),
        ('[registries.search]\nregistries = ["a.example"]\n', 0),
        ("\n[[registry]]\ninsecure = true\n", 2),
        ('[[registry]]\nprefix = "a.example"\nlocation = "https://b.example"\n', 3),
        ('short-name-mode = "x"\n', 1),
        ("[[", 1),
    ],
)
def test_registries(content: str, line: int) -> None:
    result = ask(images.ImagesRegistries, host("/etc/containers/registries.conf", content))
    assert [finding.line for finding in result.failures] == ([line] if line else [])


def test_a_drop_in_of_the_first_format() -> None:
    laid = host(
        "/etc/containers/registries.conf.d/x.conf", '[registries.search]\nregistries = ["a.example"]\n'
    )
    assert ask(images.ImagesRegistries, laid).outcome is Outcome.FAIL
