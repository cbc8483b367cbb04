"""The checks of where dockerd pulls from."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from hostcheck.finding import Outcome, Result
from hostcheck.host import Fetched
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
        ("https://dockerhub.azk8s.cn", "26.1.5", ["info"]),
        ("https://mirror.ccs.tencentyun.com", "26.1.5", ["info"]),
        ("https://mirror.baidubce.com", "26.1.5", ["recommended"]),
        ("https://docker.m.daocloud.io", "26.1.5", ["info"]),
        ("http://hub-mirror.c.163.com", "26.1.5", ["recommended"]),
        ("https://hub-mirror.c.163.com", "26.1.5", []),
        ("https://7ceef.mirror.swr.myhuaweicloud.com", "26.1.5", []),
        # dockerd asks mirrors for Docker Hub only.
        ("https://quay.nju.edu.cn", "26.1.5", ["recommended"]),
        ("https://quay.io", "26.1.5", ["recommended"]),
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


def test_what_is_known_of_mirrors_has_its_sources() -> None:
    assert len({mirror.host for mirror in mirrors.MIRRORS}) == len(mirrors.MIRRORS)
    for mirror in mirrors.MIRRORS:
        assert mirror.host == mirror.host.lower()
        assert mirror.state in (mirrors.CLOSED, mirrors.RESTRICTED, mirrors.OPEN)
        # Who is accused is accused by somebody, and from a day on.
        assert mirror.state != mirrors.CLOSED or (len(mirror.since) == len("2024-06-06") and mirror.source)
        assert mirror.state != mirrors.RESTRICTED or mirror.where


class Online(FakeHost):
    """A host whose network answers as it is told."""

    answers: tuple[Fetched, ...] = ()

    def fetch(self, *urls: str) -> tuple[Fetched, ...]:
        assert [answer.url for answer in self.answers] == list(urls)
        return self.answers


def online(text: str, *answers: Fetched) -> Result:
    about = {"docker": "28.5.2", "online": "yes"}
    found = Online({JSON: text, "/usr/bin/dockerd": "\x7fELF"}, kind="root", assumptions=about)
    found.answers = answers
    return ask(checks.RegistryAnswers, found)


@pytest.mark.parametrize(
    ("answer", "words", "ok"),
    [
        (Fetched("", 200, 0.1, registry="registry/2.0"), "answers 200 in 100 ms", True),
        (Fetched("", 401, 0.1), "without the header of a registry", True),
        (Fetched("", 403, 0.1), "answers 403", False),
        (
            Fetched("", 301, 0.1, location="https://other.example/"),
            "sends on to https://other.example/",
            False,
        ),
        (Fetched("", 0, 5.0, "no answer within 5 s", "time"), "does not answer: no answer within 5 s", False),
        (Fetched("", 0, 0.1, "TLS: certificate has expired", "tls"), "TLS: certificate has expired", False),
    ],
)
def test_answers(answer: Fetched, words: str, ok: bool) -> None:
    result = online(
        '{"registry-mirrors": ["https://m.example/p/"]}', answer._replace(url="https://m.example/p/v2/")
    )
    (finding,) = result.findings
    assert finding.ok is ok
    assert words in finding.message
    assert (finding.path, finding.line) == (JSON, 1)


def test_an_insecure_registry_may_have_any_certificate() -> None:
    text = '{"registry-mirrors": ["https://m.example"], "insecure-registries": ["m.example"]}'
    tls = Fetched("https://m.example/v2/", 0, 0.1, "TLS: self-signed certificate", "tls")
    assert online(text, tls).outcome is Outcome.PASS


def test_the_network_is_asked_by_those_only_who_want_it() -> None:
    text = '{"registry-mirrors": ["https://m.example"]}'
    assert ask(checks.RegistryAnswers, host(text)).outcome is Outcome.SKIP
    tree = host(text)
    tree.assumptions["online"] = "yes"
    # A tree is no host that could ask.
    assert ask(checks.RegistryAnswers, tree).outcome is Outcome.UNKNOWN
    assert online("{}").outcome is Outcome.SKIP


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


@pytest.mark.parametrize("name", ["Mirrors", "Answers", "Insecure", "Proxies"])
def test_nothing_to_say(name: str) -> None:
    check = getattr(checks, f"Registry{name}")
    assert ask(check, host("{}")).outcome in (Outcome.PASS, Outcome.SKIP)
    assert ask(check, host("{")).outcome is Outcome.SKIP
    assert ask(check, FakeHost({}, kind="root")).outcome is Outcome.SKIP


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (("ca.crt",), True),
        (("ca.crt", "client.cert", "client.key"), True),
        (("ca.cert",), False),
        (("client.key", "ca.crt"), False),
        (("harbor.cer",), False),
        (("ca.pem",), False),
        # What else lies beside the right one harms nothing.
        (("ca.crt", "ca.pem"), True),
        (("hosts.toml",), True),
    ],
)
@pytest.mark.parametrize("top", ["/etc/docker/certs.d", "/etc/containers/certs.d"])
def test_certificates(top: str, files: tuple[str, ...], expected: bool) -> None:
    host = FakeHost({f"{top}/registry.example.com:5000/{name}": "x" for name in files})
    assert [each.ok for each in ask(checks.RegistryCertificates, host).findings] == [expected]


def test_no_certificates() -> None:
    assert ask(checks.RegistryCertificates, FakeHost({"/etc/docker/": ""})).outcome is Outcome.SKIP
