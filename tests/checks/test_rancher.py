"""Hosts with and without what RKE2's profile wants."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from hostcheck.finding import Outcome, Severity
from hostcheck.testing import FakeHost, ask

rancher: Any = importlib.import_module("hostcheck.checks.rancher")

KEYS = ("kernel.panic", "kernel.panic_on_oops", "vm.overcommit_memory")

RIGHT = "vm.panic_on_oom=0\nvm.overcommit_memory=1\nkernel.panic=10\nkernel.panic_on_oops=1\n"

RKE2 = "/etc/rancher/rke2/config.yaml"
PART = "/etc/rancher/rke2/config.yaml.d/50-rancher.yaml"
K3S = "/etc/rancher/k3s/config.yaml"


def tree(path: str, config: str, sysctl: str = RIGHT, users: str = "root", **files: str) -> FakeHost:
    names = [*users.split(), ""]
    laid = {
        path: config,
        "/etc/sysctl.d/60-rke2-cis.conf": sysctl,
        "/etc/passwd": ":x:0:0::/:/bin/sh\n".join(names),
        "/etc/group": ":x:0:\n".join(names),
        "/boot/config-6.1.0-13-amd64": "CONFIG_CGROUPS=y\n",
        "/boot/vmlinuz-6.1.0-13-amd64": "",
        "/usr/lib/systemd/systemd": "",
    }
    laid.update({name.replace("__", "/"): content for name, content in files.items()})
    return FakeHost(laid, kind="image")


@pytest.mark.parametrize(
    ("path", "config"),
    [
        (RKE2, "# profile: cis\nwrite-kubeconfig-mode: '0600'\n"),
        (RKE2, "node-label:\n  - profile=cis\nprofiles: cis\n"),
        (RKE2, "protect-kernel-defaults: false\n"),
        (K3S, "profile: cis\n"),
    ],
)
def test_no_profile(path: str, config: str) -> None:
    assert ask(rancher.RancherProfile, tree(path, config, "")).outcome is Outcome.SKIP


@pytest.mark.parametrize(
    ("path", "config", "etcd"),
    [
        (RKE2, 'profile: "cis-1.23"\n', True),
        (RKE2, "profile: cis  # hardened\n", True),
        (PART, '{"profile": "cis-1.6", "cni": "calico"}', True),
        (RKE2, "protect-kernel-defaults: true\n", False),
        (K3S, "protect-kernel-defaults: true\n", False),
        (K3S, 'kubelet-arg:\n  - "protect-kernel-defaults=true"\n', False),
    ],
)
def test_profile(path: str, config: str, etcd: bool) -> None:
    found = ask(rancher.RancherProfile, tree(path, config, "")).failures
    wanted = {"vm.overcommit_memory", "kernel.panic", "kernel.panic_on_oops"}
    assert {each.subject for each in found} == wanted | ({"user etcd", "group etcd"} if etcd else set())
    assert all(each.fix and each.fix["commands"] for each in found)
    done = ask(rancher.RancherProfile, tree(path, config, users="root etcd"))
    assert done.outcome is Outcome.PASS


def test_only_the_user() -> None:
    found = ask(rancher.RancherProfile, tree(RKE2, "profile: etcd\n", "")).failures
    assert [each.subject for each in found] == ["user etcd", "group etcd"]


def test_agent() -> None:
    wants = {"__etc__systemd__system__multi-user.target.wants__rke2-agent.service": ""}
    assert ask(rancher.RancherProfile, tree(RKE2, "profile: cis\n", **wants)).outcome is Outcome.PASS


DATABASE = {"/var/lib/dpkg/status": "Package: base-files\nStatus: install ok installed\nVersion: 1\n"}
ENFORCING = {
    "/etc/selinux/config": "SELINUX=enforcing\nSELINUXTYPE=targeted\n",
    "/usr/local/bin/rke2": "\x7fELF",
}
POLICY = {"/var/lib/selinux/targeted/active/modules/200/rke2/hll": "x"}


@pytest.mark.parametrize(
    ("more", "config", "severity"),
    [
        (ENFORCING, "selinux: true\n", Severity.REQUIRED),
        (ENFORCING, "# selinux: true\n", Severity.RECOMMENDED),
        ({**ENFORCING, "/etc/selinux/config": "SELINUX=permissive\n"}, "", Severity.INFO),
        ({**ENFORCING, **POLICY}, "selinux: true\n", None),
        ({**ENFORCING, "/etc/selinux/config": "SELINUX=disabled\n"}, "", None),
        ({"/etc/selinux/config": "SELINUX=enforcing\n"}, "selinux: true\n", None),
    ],
)
def test_selinux(more: dict[str, str], config: str, severity: Severity | None) -> None:
    host = FakeHost({**DATABASE, RKE2: config, **more}, kind="image")
    result = ask(rancher.RancherProfile, host)
    assert [result.severity_of(each) for each in result.failures] == ([severity] if severity else [])
