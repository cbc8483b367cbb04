"""The configuration of users' docker commands."""

from __future__ import annotations

import hashlib
import importlib
import json
from typing import Any

import engine_programs
import pytest

from hostcheck.finding import Outcome, Severity
from hostcheck.testing import Content, FakeHost, ask

client: Any = importlib.import_module("hostcheck.checks.client")

CONFIG = "/home/u/.docker/config.json"
ELF = b"\x7fELF"


def host(said: Any, kind: str, more: dict[str, Content]) -> FakeHost:
    """Make a host with one user, whose config.json says this."""
    laid: dict[str, Content] = {
        "/etc/passwd": "root:x:0:0::/root:/bin/sh\nu:x:1000:1000::/home/u:/bin/sh\n",
        CONFIG: said if isinstance(said, str) else json.dumps(said),
        **{"/" + name.replace("__", "/"): content for name, content in more.items()},
    }
    return FakeHost(laid, kind=kind)


@pytest.mark.parametrize(
    "proxies, fails",
    [
        ({"default": {"httpProxy": "http://127.0.0.1:3128"}}, True),
        ({"default": {"httpsProxy": "localhost:3128"}}, True),
        ({"tcp://other:2376": {"allProxy": "socks5://u:p@[::1]:1080"}}, True),
        ({"default": {"httpProxy": "http://172.17.0.1:3128", "noProxy": "127.0.0.1"}}, False),
        ({"default": {"httpProxy": "http://localhost.example:3128"}}, False),
        ({"default": {"httpProxy": 1}}, None),
        ([], None),
    ],
)
def test_proxies(proxies: Any, fails: bool | None) -> None:
    result = ask(client.ClientProxies, host({"proxies": proxies}, "live", {}))
    expected = {True: Outcome.FAIL, False: Outcome.PASS, None: Outcome.SKIP}
    assert result.outcome is expected[fails]
    assert [result.severity_of(finding) for finding in result.failures] == [Severity.RECOMMENDED] * bool(
        fails
    )


def test_proxies_of_root_block() -> None:
    said = json.dumps({"proxies": {"default": {"httpProxy": "http://127.0.0.1:3128"}}})
    result = ask(client.ClientProxies, host({}, "live", {"root__.docker__config.json": said}))
    assert [result.severity_of(finding) for finding in result.failures] == [Severity.REQUIRED]


@pytest.mark.parametrize(
    "said, more, keys",
    [
        ({"credsStore": "desktop"}, {}, ["credsStore"]),
        ({"credsStore": "desktop.exe"}, {}, ["credsStore"]),
        ({"credsStore": "desktop.exe"}, {"mnt__wsl__docker-desktop/": ""}, []),
        ({"credsStore": "pass"}, {"usr__bin__docker-credential-pass": ELF}, []),
        ({"credHelpers": {"1.dkr.ecr.example": "ecr-login"}}, {}, ["1.dkr.ecr.example"]),
        ({"credsStore": "", "auths": {}}, {}, None),
        ("{ no json", {}, None),
        ([], {}, None),
    ],
)
def test_credentials(said: Any, more: dict[str, Content], keys: list[str] | None) -> None:
    result = ask(client.ClientCredentials, host(said, "live", more))
    if keys is None:
        assert result.outcome is Outcome.SKIP
    else:
        assert [finding.subject for finding in result.failures] == [f"{CONFIG} {key}" for key in keys]


def context(name: str, address: str) -> dict[str, Content]:
    """Return the files of a context."""
    place = f"home__u__.docker__contexts__meta__{hashlib.sha256(name.encode()).hexdigest()}__meta.json"
    return {place: json.dumps({"Name": name, "Endpoints": {"docker": {"Host": address}}})}


SOCKET = "unix:///home/u/.docker/desktop/docker.sock"


@pytest.mark.parametrize(
    "name, kind, more, fails",
    [
        ("desktop-linux", "live", {}, True),
        ("desktop-linux", "live", context("desktop-linux", SOCKET), True),
        ("desktop-linux", "root", context("desktop-linux", SOCKET), False),
        (
            "desktop-linux",
            "live",
            {**context("desktop-linux", SOCKET), "home__u__.docker__desktop__docker.sock": ""},
            False,
        ),
        ("far", "live", context("far", "ssh://u@far"), False),
        ("odd", "live", {**context("odd", ""), **dict.fromkeys(context("odd", ""), "[]")}, False),
    ],
)
def test_context(name: str, kind: str, more: dict[str, Content], fails: bool) -> None:
    result = ask(client.ClientContext, host({"currentContext": name}, kind, more))
    assert bool(result.failures) is fails


@pytest.mark.parametrize("home, severity", [("/root", "required"), ("/home/u", "recommended")])
def test_a_context_that_is_gone_matters_most_for_root(home: str, severity: str) -> None:
    config: dict[str, Content] = {
        home.lstrip("/").replace("/", "__") + "__.docker__config.json": '{"currentContext": "gone"}'
    }
    result = ask(client.ClientContext, host({}, "live", config))
    assert [str(result.severity_of(finding)) for finding in result.failures] == [severity]


def test_the_default_context_is_no_question() -> None:
    assert ask(client.ClientContext, host({"currentContext": "default"}, "live", {})).outcome is Outcome.SKIP


@pytest.mark.parametrize(
    "version, config, fails",
    [
        ("28.5.2", "{}", False),
        ("29.0.0", "{}", True),
        ("29.2.1", "{}", True),
        ("29.3.0", "{}", False),
        ("29.0.0", '{"min-api-version": "1.24"}', False),
        ("29.3.0", '{"min-api-version": "1.45"}', True),
    ],
)
def test_api(version: str, config: str, fails: bool) -> None:
    host = engine_programs.static({"dockerd": version}, {"/etc/docker/daemon.json": config})
    assert engine_programs.said(ask(client.ClientApi, host)) == ({"min-api-version": "info"} if fails else {})
