"""Checks of a Kubernetes node: silent without a kubelet, exact about what it refuses."""

from __future__ import annotations

import importlib
import pathlib
from typing import Any

import pytest
from kubernetes_node import CONFIG, ELF, FLAGS, GOOD, NODE, STOCK, failures, host

from hostcheck import plugins
from hostcheck.finding import Outcome, Severity
from hostcheck.host import Unavailable
from hostcheck.testing import Content, FakeHost, ask

kubernetes: Any = importlib.import_module("hostcheck.checks.kubernetes")

ALL = plugins.shipped(("kubernetes.*", "kubelet.*"))


@pytest.mark.parametrize("kind", ["live", "root"])
@pytest.mark.parametrize("check", ALL)
def test_without_a_kubelet(check: Any, kind: str) -> None:
    found = ask(check, host(kind=kind, release=""))
    assert (found.outcome, found.reason) == (Outcome.SKIP, "no kubelet here")
    assert ask(check, host(kind=kind), needed="no").outcome is Outcome.SKIP


@pytest.mark.parametrize("kind", ["live", "root"])
@pytest.mark.parametrize("check", ALL)
@pytest.mark.parametrize("release", ["1.9.0", "1.18.0", "1.24.0", "1.31.0", "1.35.0"])
def test_a_node_that_is_well(check: Any, kind: str, release: str) -> None:
    found = ask(check, host(kind=kind, release=release))
    assert failures(found) == {}
    assert found.outcome in (Outcome.PASS, Outcome.SKIP), found.reason


@pytest.mark.parametrize("check", ALL)
def test_a_host_that_is_to_become_a_node(check: Any) -> None:
    assert failures(ask(check, host(release=""), needed="yes")) == {}


@pytest.mark.parametrize(
    ("release", "gone", "expected"),
    [
        ("1.31.9", "/usr/sbin/conntrack", {"conntrack": "required"}),
        ("1.18.0", "/usr/sbin/conntrack", {"conntrack": "required"}),
        ("1.17.4", "/usr/sbin/conntrack", {}),
        ("1.32.0", "/usr/sbin/conntrack", {}),
        ("1.33.2", "/usr/sbin/ip", {"ip": "required"}),
        ("1.33.2", "/usr/bin/nsenter", {"nsenter": "required"}),
    ],
)
def test_tools(release: str, gone: str, expected: dict[str, str]) -> None:
    for kind, when in (("live", "now"), ("root", "boot")):
        found = failures(ask(kubernetes.KubernetesTools, host({gone: None}, kind=kind, release=release)))
        assert found == {(name, when): severity for name, severity in expected.items()}


def test_tools_by_package_and_without_kubeadm() -> None:
    gone: dict[str, Content | None] = {"/usr/sbin/conntrack": None}
    known = {"conntrack": "1:1.4.7-1"}
    assert not failures(ask(kubernetes.KubernetesTools, host(gone, release="1.30.0", packages=known)))
    alone = host(gone, release="", packages={"kubelet": "1.30.0-1.1"})
    assert failures(ask(kubernetes.KubernetesTools, alone)) == {("conntrack", "now"): "info"}


def test_tools_of_a_tree_without_programs() -> None:
    gone: dict[str, Content | None] = dict.fromkeys(
        ("/usr/bin/sh", "/usr/sbin/ip", "/usr/bin/mount", "/usr/bin/nsenter", "/usr/sbin/conntrack")
    )
    assert (
        ask(kubernetes.KubernetesTools, host(gone, kind="root", release="1.12.0")).outcome is Outcome.UNKNOWN
    )


DOCKER: dict[str, Content | None] = {"/usr/bin/dockerd": ELF, "/usr/bin/containerd": None}


@pytest.mark.parametrize(
    ("release", "files", "expected"),
    [
        # As long as the kubelet spoke to dockerd itself.
        ("1.23.0", DOCKER, set()),
        ("1.24.0", DOCKER, {"runtime"}),
        ("1.24.0", {**DOCKER, "/usr/bin/cri-dockerd": ELF}, set()),
        ("1.24.0", {**DOCKER, "/usr/bin/containerd": ELF}, set()),
        # No runtime yet: the installation is not at its end.
        ("1.33.2", {"/usr/bin/containerd": None}, set()),
    ],
)
def test_runtime(release: str, files: Any, expected: set[str]) -> None:
    found = failures(ask(kubernetes.KubernetesRuntime, host(files, release=release)))
    assert found == {(subject, "boot"): "required" for subject in expected}


@pytest.mark.parametrize(
    ("endpoint", "files", "bad"),
    [
        ("unix:///run/containerd/containerd.sock", {}, False),
        ("unix:///run/containerd/containerd.sock", {"/usr/bin/containerd": None}, True),
        ("unix:///var/run/crio/crio.sock", {}, True),
        ("unix:///var/run/crio/crio.sock", {"/usr/bin/crio": ELF}, False),
        ("unix:///var/run/cri-dockerd.sock", {}, True),
        ("unix:///var/run/dockershim.sock", {"/usr/bin/dockerd": ELF}, True),
        ("unix:///run/k3s/containerd/containerd.sock", {"/usr/bin/containerd": None}, False),
    ],
)
def test_runtime_endpoint(endpoint: str, files: Any, bad: bool) -> None:
    for place in ({CONFIG: f"{GOOD}containerRuntimeEndpoint: {endpoint}\n"},
                  {FLAGS: f'KUBELET_KUBEADM_ARGS="--container-runtime-endpoint={endpoint}"\n'}):  # fmt: skip
        found = failures(ask(kubernetes.KubernetesRuntime, host({**place, **files})))
        assert found == ({("kubelet containerRuntimeEndpoint", "boot"): "required"} if bad else {})


@pytest.mark.parametrize(
    ("release", "containerd", "expected"),
    [
        ("1.25.0", "1.5.9", ""),
        ("1.26.0", "1.5.9", "required"),
        ("1.26.0", "1.6.20", ""),
        ("1.35.0", "1.7.28", ""),
        ("1.36.0", "1.7.28", "recommended"),
        ("1.36.0", "1.5.9", "required"),
        ("1.36.0", "2.0.0", ""),
    ],
)
def test_runtime_of_an_age_with_the_kubelet(release: str, containerd: str, expected: str) -> None:
    known = {"containerd": f"{containerd}-1"}
    wanted = {("containerd CRI", "boot"): expected} if expected else {}
    for endpoint in ("", "containerRuntimeEndpoint: unix:///run/containerd/containerd.sock\n"):
        here = host({CONFIG: GOOD + endpoint}, release=release, packages=known)
        assert failures(ask(kubernetes.KubernetesRuntime, here)) == wanted
    # With another runtime beside it, and no endpoint, nobody knows which one is used.
    other = host({"/usr/bin/crio": ELF}, release=release, packages=known)
    assert not failures(ask(kubernetes.KubernetesRuntime, other))


@pytest.mark.parametrize("check", ALL)
def test_what_cannot_be_read_breaks_nothing(check: Any) -> None:
    for broken in (PermissionError("no"), Unavailable("no"), b"\xff\xfe\x00" * 50, "{" * 5000, ":\n- :\n\t:"):
        for path in (CONFIG, FLAGS, "/etc/default/kubelet", "/lib/systemd/system/kubelet.service"):
            assert ask(check, host({path: broken})).outcome is not Outcome.ERROR, (path, broken)


# ---- incidents ---------------------------------------------------------------------------------


def incident_host(entry: dict[str, Any], kind: str) -> FakeHost:
    """Lay an incident's facts over a host with docker and without a kubelet, unless the facts have one."""
    facts = entry["facts"]
    files: dict[str, Content | None] = {
        path: text.partition(" (symlink)")[0] for path, text in (facts.get("files") or {}).items()
    }
    for key, value in ((facts.get("live") or {}).get("sysctl") or {}).items():
        files["/proc/sys/" + key.replace(".", "/")] = f"{value}\n"
    files.update(dict.fromkeys(facts.get("absent") or ()))
    return host(files, kind=kind, release="", packages=facts.get("packages"))


def test_incidents(corpora: pathlib.Path) -> None:
    import yaml

    blamed: dict[str, set[tuple[str, str]]] = {}
    for entry in yaml.safe_load((corpora / "incidents" / "incidents.yaml").read_text()):
        for kind in ("live", "root"):
            for check in ALL:
                result = ask(check, incident_host(entry, kind))
                assert result.outcome is not Outcome.ERROR, (entry["key"], check.id, result.reason)
                for failure in result.failures:
                    if result.severity_of(failure) is not Severity.INFO:
                        blamed.setdefault(entry["key"], set()).add((kind, failure.subject))
    print(f"incidents of nodes: {sorted(blamed)}")
    # The others of nodes (swap, control groups, the CRI, resolv.conf) are told by the families of their subject.
    assert blamed == {
        "conntrack-tool-missing-kubeadm-before-1-32": {("live", "conntrack"), ("root", "conntrack")},
    }


@pytest.mark.parametrize(
    "name, flags, fails",
    [
        ("node-1", "", False),
        # The kubelet makes small letters of it.
        ("Node-1.example.org", "", False),
        ("my_node", "", True),
        ("node-", "", True),
        ("my_node", "--hostname-override=node-1", False),
    ],
)
def test_node_name(name: str, flags: str, fails: bool) -> None:
    laid = {**STOCK, **NODE, "/etc/hostname": f"{name}\n", FLAGS: f'KUBELET_KUBEADM_ARGS="{flags}"\n'}
    result = ask(kubernetes.KubernetesNodeName, FakeHost(laid, kind="root"))
    assert bool(result.failures) is fails


def test_two_runtimes_that_listen() -> None:
    both: dict[str, Any] = {"/run/containerd/containerd.sock": "", "/run/crio/crio.sock": "", CONFIG: None}
    here = host({**both, "/usr/bin/kubeadm": ELF}, packages={"kubeadm": "1.33.2-1.1"})
    assert failures(ask(kubernetes.KubernetesRuntime, here)) == {("sockets", "now"): "recommended"}
    node = host({**both, CONFIG: GOOD}, packages={"kubeadm": "1.33.2-1.1"})
    assert not failures(ask(kubernetes.KubernetesRuntime, node))


@pytest.mark.parametrize(
    ("release", "words", "bad"),
    [
        ("1.25.0", "", True),
        ("1.25.0", " --container-runtime-endpoint=unix:///run/containerd/containerd.sock", False),
        ("1.27.0", "", False),
    ],
)
def test_a_kubelet_without_an_endpoint(release: str, words: str, bad: bool) -> None:
    unit = f"[Service]\nExecStart=/usr/bin/kubelet --config={CONFIG}{words}\n"
    here = host({"/lib/systemd/system/kubelet.service": unit, CONFIG: GOOD}, release=release)
    found = failures(ask(kubernetes.KubernetesRuntime, here))
    assert (("kubelet containerRuntimeEndpoint", "boot") in found) is bad


@pytest.mark.parametrize(
    ("name", "config", "bad"),
    [
        ("raspberrypi", "", True),
        ("ubuntu.example.com", "", True),
        ("kitchen-1", "", False),
        ("raspberrypi", "node-name: kitchen-1\n", False),
        ("raspberrypi", "with-node-id: true\n", False),
    ],
)
def test_a_name_that_every_board_has(name: str, config: str, bad: bool) -> None:
    files: dict[str, Any] = {"/usr/local/bin/k3s": ELF, "/etc/rancher/k3s/config.yaml": config}
    here = host({**files, "/proc/sys/kernel/hostname": f"{name}\n", "/etc/hostname": f"{name}\n"})
    assert set(failures(ask(kubernetes.KubernetesNodeName, here)).values()) == (
        {"recommended"} if bad else set()
    )
