"""The checks of where dockerd pulls from."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from hostcheck.finding import Outcome, Result
from hostcheck.testing import FakeHost, ask

checks: Any = importlib.import_module("hostcheck.checks.registry")
mirrors: Any = importlib.import_module("hostcheck.checks._mirrors")

JSON = "/etc/docker/daemon.json"


def host(text: str, version: str = "26.1.5") -> FakeHost:
    return FakeHost({JSON: text, "/usr/bin/dockerd": "\x7fELF"}, kind="root", assumptions={"docker": version})


def severities(result: Result) -> list[str]:
    return [str(result.severity_of(finding)) for finding in result.failures]


@pytest.mark.parametrize(
    ("mirror", "version", "expected"),
    [
        ("https://mirror.gcr.io", "26.1.5", []),
        ("http://localhost:5001/hub/", "28.3.0", []),
        ("http://127.0.0.1:5000", "26.1.5", []),
        ("http://192.168.1.2:5000", "26.1.5", ["info"]),
        ("http://mirror.example.com", "26.1.5", ["recommended"]),
        ("https://registry.docker-cn.com", "26.1.5", ["recommended"]),
        ("https://docker.mirrors.ustc.edu.cn/", "26.1.5", ["recommended"]),
        ("https://abc.mirror.aliyuncs.com", "26.1.5", ["info"]),
        ("m", "17.06.2", ["recommended"]),
    ],
)
def test_mirrors(mirror: str, version: str, expected: list[str]) -> None:
    result = ask(checks.RegistryMirrors, host(f'{{"registry-mirrors": ["{mirror}"]}}', version))
    assert severities(result) == expected


def test_a_closed_mirror_is_dated() -> None:
    (finding,) = ask(
        checks.RegistryMirrors, host('{"registry-mirrors": ["https://registry.docker-cn.com"]}')
    ).failures
    assert "2019-05-12" in finding.message
    assert (finding.path, finding.line) == (JSON, 1)


def test_a_mirror_that_stands_twice() -> None:
    text = '{"registry-mirrors": ["https://m.example", "https://m.example/"]}'
    assert severities(ask(checks.RegistryMirrors, host(text))) == ["info"]


def test_every_closed_mirror_has_a_day_and_a_source() -> None:
    for name, day, source in [
        *mirrors.CLOSED,
        *((end, day, source) for end, day, _, source in mirrors.RESTRICTED),
    ]:
        assert name == name.lower()
        assert len(day) == len("2024-06-06")
        assert source.startswith("https://")


@pytest.mark.parametrize(
    ("registry", "expected"),
    [
        ("127.0.0.1:5000", []),
        ("localhost:5000", []),
        ("10.0.0.0/8", ["info"]),
        ("registry.lan:5000", ["info"]),
        ("quay.io", ["recommended"]),
        ("0.0.0.0/0", ["recommended"]),
    ],
)
def test_insecure(registry: str, expected: list[str]) -> None:
    text = f'{{"insecure-registries": ["{registry}"]}}'
    assert severities(ask(checks.RegistryInsecure, host(text))) == expected


@pytest.mark.parametrize(
    ("proxy", "expected"),
    [
        ("http://proxy:3128", []),
        ("proxy:3128", []),
        ("http://u:secret@proxy:3128", ["info"]),
        ("::::", ["recommended"]),
    ],
)
def test_proxies(proxy: str, expected: list[str]) -> None:
    result = ask(checks.RegistryProxies, host(f'{{"proxies": {{"http-proxy": "{proxy}"}}}}'))
    assert severities(result) == expected
    assert not any("secret" in finding.message + str(finding.value) for finding in result.findings)


@pytest.mark.parametrize("check", [checks.RegistryMirrors, checks.RegistryInsecure, checks.RegistryProxies])
def test_nothing_to_say(check: Any) -> None:
    assert ask(check, host("{}")).outcome in (Outcome.PASS, Outcome.SKIP)
    assert ask(check, host("{")).outcome is Outcome.SKIP
    assert ask(check, FakeHost({}, kind="root")).outcome is Outcome.SKIP
