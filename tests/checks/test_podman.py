"""Podman's own files and programs; the real podman judges the same files in tests/engine/test_real_podman.py."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import pytest

from hostcheck.finding import Outcome, Severity
from hostcheck.testing import Content, FakeHost, ask

podman: Any = importlib.import_module("hostcheck.checks.podman")

PROGRAM = "\x7fELF"
HEALTHY: dict[str, Content] = {
    "/etc/os-release": "ID=debian\nVERSION_ID=13\n",
    "/usr/bin/podman": PROGRAM,
    "/usr/bin/conmon": PROGRAM,
    "/usr/bin/crun": PROGRAM,
    "/usr/lib/podman/netavark": PROGRAM,
    "/usr/lib/podman/aardvark-dns": PROGRAM,
    "/usr/sbin/nft": PROGRAM,
    "/etc/containers/containers.conf": '[containers]\nlog_driver = "journald"\n',
}


def host(files: Mapping[str, Content | None], version: str = "5.4.2") -> FakeHost:
    laid = {path: content for path, content in {**HEALTHY, **files}.items() if content is not None}
    return FakeHost(laid, commands={("/usr/bin/podman", "--version"): f"podman version {version}\n"})


def conf(text: str) -> dict[str, Content | None]:
    return {"/etc/containers/containers.conf": text}


@pytest.mark.parametrize("check", ["PodmanContainersConf", "PodmanPrograms", "PodmanNetwork"])
def test_healthy(check: str) -> None:
    assert ask(getattr(podman, check), host({})).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("text", "said", "line"),
    [
        ("[engine]\n\nruntime = 1\n", "engine.runtime is no text", 3),
        ("[engine]\n[[", "is no TOML", 2),
        ('[engine]\nevents_logger = "foo"\n', "podman does not know", 2),
        ('[containers]\nlog_driver = "foo"\n', "no container starts", 2),
        ('[containers]\ndefault_ulimits = ["nofile=a"]\n', "is no limit", 2),
        ('[containers]\nseccomp_profile = "/etc/none.json"\n', "is not there", 2),
    ],
)
def test_containers_conf(text: str, said: str, line: int) -> None:
    finding = ask(podman.PodmanContainersConf, host(conf(text))).failures[0]
    assert said in finding.message
    assert (finding.path, finding.line) == ("/etc/containers/containers.conf", line)


def test_a_word_counts_from_the_release_that_reads_it() -> None:
    laid = conf('[engine]\ndatabase_backend = "foo"\n')
    assert ask(podman.PodmanContainersConf, host(laid, "4.3.1")).outcome is Outcome.PASS
    assert ask(podman.PodmanContainersConf, host(laid, "5.4.2")).outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("files", "version", "subject"),
    [
        ({"/usr/bin/conmon": None}, "5.4.2", "conmon"),
        ({"/usr/bin/crun": None}, "5.4.2", "OCI runtime"),
        (conf('[engine]\nruntime = "kata"\n'), "5.4.2", "OCI runtime"),
        ({"/usr/lib/podman/netavark": None}, "5.4.2", "netavark"),
        ({"/usr/lib/podman/netavark": None}, "4.3.1", "CNI plugins"),
        ({"/usr/sbin/nft": None}, "5.4.2", "firewall"),
        ({"/usr/sbin/nft": None, "/usr/sbin/iptables": PROGRAM}, "5.4.2", "firewall"),
        (
            {
                "/etc/os-release": "ID=fedora\nVERSION_ID=40\n",
                "/usr/sbin/nft": None,
                "/usr/sbin/iptables": PROGRAM,
            },
            "5.4.2",
            "",
        ),
        (conf('[engine]\nruntime = "mine"\n[engine.runtimes]\nmine = ["/usr/bin/crun"]\n'), "5.4.2", ""),
        ({"/usr/bin/crun": None, "/usr/sbin/runc": PROGRAM}, "5.4.2", ""),
    ],
)
def test_programs_and_network(files: dict[str, Content | None], version: str, subject: str) -> None:
    found = [ask(check, host(files, version)) for check in (podman.PodmanPrograms, podman.PodmanNetwork)]
    subjects = [finding.subject for result in found for finding in result.failures]
    assert subjects == ([subject] if subject else [])


def test_beside_docker_podman_blocks_nothing_unless_it_is_asked_for() -> None:
    laid = host({"/usr/bin/conmon": None, "/usr/sbin/dockerd": PROGRAM})
    assert ask(podman.PodmanPrograms, laid).severity is Severity.RECOMMENDED
    assert ask(podman.PodmanPrograms, laid, needed="yes").severity is Severity.REQUIRED
    assert ask(podman.PodmanPrograms, laid, needed="no").outcome is Outcome.SKIP


@pytest.mark.parametrize(
    ("content", "outcome"),
    [("{", Outcome.FAIL), ("{}", Outcome.FAIL), ('{"version": "1.0.0"}', Outcome.PASS)],
)
def test_hooks(content: str, outcome: Outcome) -> None:
    laid = host({"/usr/share/containers/oci/hooks.d/x.json": content})
    assert ask(podman.PodmanHooks, laid).outcome is outcome
