"""Policies: what they choose, and what they say when they are wrong."""

from __future__ import annotations

import datetime
import pathlib
import sys

import pytest

from hostcheck import plugins, record_command
from hostcheck.finding import Outcome, Result, Severity, failed
from hostcheck.policy import Policy, PolicyError, names

TODAY = datetime.date(2026, 6, 1)


def load(folder: pathlib.Path, text: str, name: str = "p.yaml") -> Policy:
    path = folder / name
    path.write_text(text)
    return Policy.load(str(path))


def test_default_is_what_its_file_says() -> None:
    written = Policy._load("docker", ())
    built = Policy.load("docker")
    assert vars(written) == vars(built)


@pytest.mark.parametrize("name", names())
def test_every_shipped_policy_names_checks_that_exist(name: str) -> None:
    policy = Policy.load(name)
    assert policy.description
    assert policy.configure(plugins.shipped())


@pytest.mark.parametrize(
    "text, words",
    [
        ("selct: ['*']", "unknown key 'selct'"),
        ("- a", "a policy is a mapping"),
        ("a: [", "p.yaml:"),
        ("severities: {kernel.version: bad}", "'bad' is not one of required, recommended, info"),
        ("waivers: [{id: kernel.version}]", "waivers[0]: reason is missing"),
        ("waivers: [{id: kernel.version, reason: x, expires: soon}]", "expires is a date such as 2027-01-31"),
        ("waivers: [{id: kernel.version, reason: x, until: 2027-01-01}]", "unknown key 'until'"),
        ("select: {a: 1}", "select is a list of globs"),
        ("extends: nothing", "no policy 'nothing'; there are"),
        ("extends: ./p.yaml", "extends itself"),
    ],
)
def test_mistakes_are_named(tmp_path: pathlib.Path, text: str, words: str) -> None:
    with pytest.raises(PolicyError) as caught:
        load(tmp_path, text)
    assert words in str(caught.value)
    assert "p.yaml" in str(caught.value) or "nothing" in text


@pytest.mark.parametrize(
    "text, words",
    [
        ("severities: {kernel.versoin: info}", "did you mean 'kernel.version'?"),
        ("parameters: {kernel.version: {minimun: '5.2'}}", "kernel.version has no parameter 'minimun'"),
        ("waivers: [{id: kernel.nothing_like_it, reason: x}]", "waivers: no check matches"),
    ],
)
def test_names_of_no_check_are_named(tmp_path: pathlib.Path, text: str, words: str) -> None:
    with pytest.raises(PolicyError) as caught:
        load(tmp_path, text).configure(plugins.shipped())
    assert words in str(caught.value)


def test_extends_and_overrides(tmp_path: pathlib.Path) -> None:
    load(tmp_path, "ignore: ['os.*']\nseverities: {kernel.version: info}\n", "base.yaml")
    policy = load(
        tmp_path, "extends: ./base.yaml\nseverities: {kernel.version: recommended}\nignore: ['resources.*']"
    )
    configured = policy.configure(plugins.shipped())
    families = {item.check.id.partition(".")[0] for item in configured}
    assert "os" not in families
    assert "resources" not in families
    version = next(item for item in configured if item.check.id == "kernel.version")
    assert version.effective is Severity.RECOMMENDED


def test_a_former_id_still_names_its_check(tmp_path: pathlib.Path) -> None:
    """Parameters, severities and waivers that were written before a check was renamed count on."""
    policy = load(
        tmp_path,
        "select: [docker.log_rotation]\nseverities: {'docker.*': required}\n"
        "waivers: [{id: docker.log_rotation, reason: known}]",
    )
    (configured,) = policy.configure(plugins.shipped())
    assert configured.check.id == "daemon.log_rotation"
    assert configured.effective is Severity.REQUIRED
    found = Result("daemon.log_rotation", "t", Severity.REQUIRED, Outcome.FAIL, [failed("x", "no")])
    policy.waive([found], TODAY)
    assert found.waived


def result() -> Result:
    findings = [failed("CONFIG_A", "no"), failed("CONFIG_B", "no", severity=Severity.RECOMMENDED)]
    return Result("kernel.config_base", "t", Severity.REQUIRED, Outcome.FAIL, findings)


@pytest.mark.parametrize(
    "waiver, waived, severity",
    [
        ("{id: kernel.config_base, reason: known}", True, Severity.REQUIRED),
        ("{id: 'kernel.*', reason: known, expires: 2026-06-01}", True, Severity.REQUIRED),
        ("{id: kernel.config_base, reason: known, expires: 2026-05-31}", False, Severity.REQUIRED),
        ("{id: kernel.config_base, subject: CONFIG_A, reason: known}", False, Severity.RECOMMENDED),
        ("{id: kernel.config_base, subject: 'CONFIG_*', reason: known}", True, Severity.REQUIRED),
    ],
)
def test_waivers(tmp_path: pathlib.Path, waiver: str, waived: bool, severity: Severity) -> None:
    policy = load(tmp_path, f"waivers: [{waiver}]")
    results = [result()]
    policy.waive(results, TODAY)
    assert bool(results[0].waived) is waived
    assert results[0].severity is severity
    own = results[-1]
    assert own.check == "policy.waivers"
    # An expired waiver fails loudly, whatever became of what it covered.
    expired = "2026-05-31" in waiver
    assert own.outcome is (Outcome.FAIL if expired else Outcome.PASS)


def test_without_pyyaml_a_file_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    assert Policy.load("docker").name == "docker"
    with pytest.raises(PolicyError, match="PyYAML"):
        Policy.load("kubernetes")
    assert [policy.name for policy in record_command._policies()] == ["docker"]
