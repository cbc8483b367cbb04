"""Checks of a Kubernetes node: silent without a kubelet, exact about what it refuses."""

from __future__ import annotations

import importlib
import pathlib
from typing import Any

import pytest

from hostcheck.finding import Outcome, Result, Severity
from hostcheck.host import Unavailable
from hostcheck.plugins import checks_in
from hostcheck.testing import Content, FakeHost, ask

kubernetes: Any = importlib.import_module("hostcheck.checks.kubernetes")

ELF = b"\x7fELF"
KERNEL = "6.1.0-28-amd64"
CONFIG = "/var/lib/kubelet/config.yaml"
FLAGS = "/var/lib/kubelet/kubeadm-flags.env"
GOOD = """\
apiVersion: kubelet.config.k8s.io/v1beta1
authentication:
  anonymous:
    enabled: false
authorization:
  mode: Webhook
failSwapOn: true
kind: KubeletConfiguration
maxPods: 110
"""
STOCK: dict[str, Content] = {
    "/etc/os-release": 'ID=debian\nVERSION_ID="12"\n',
    "/sbin/init": "-> /lib/systemd/systemd",
    "/lib/systemd/systemd": ELF,
    "/usr/bin/sh": ELF,
    "/usr/bin/ls": ELF,
    "/usr/sbin/ip": ELF,
    "/usr/bin/mount": ELF,
    "/usr/bin/nsenter": ELF,
    "/usr/sbin/conntrack": ELF,
    "/usr/bin/containerd": ELF,
    "/proc/sys/kernel/osrelease": KERNEL + "\n",
    "/proc/cmdline": "root=/dev/sda1\n",
}
NODE: dict[str, Content] = {
    CONFIG: GOOD,
    FLAGS: 'KUBELET_KUBEADM_ARGS="--node-ip=10.0.0.1"\n',
}
PACKAGE = "Package: {}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {}\n\n"


def host(
    files: dict[str, Content | None] | None = None,
    *,
    kind: str = "live",
    release: str = "1.33.2",
    packages: dict[str, str] | None = None,
) -> FakeHost:
    """Return a node with these files instead; None takes one away. No release: no kubelet."""
    laid: dict[str, Content | None] = {**STOCK, **(NODE if release else {}), **(files or {})}
    every = {"kubelet": f"{release}-1.1", "kubeadm": f"{release}-1.1"} if release else {}
    laid["/var/lib/dpkg/status"] = "".join(
        PACKAGE.format(*each) for each in {**every, **(packages or {})}.items()
    )
    return FakeHost({path: each for path, each in laid.items() if each is not None}, kind=kind)


def failures(result: Result) -> dict[tuple[str, str], str]:
    """Return subject and time of each failure with its severity."""
    assert result.outcome is not Outcome.ERROR, result.reason
    return {(f.subject, f.when): str(result.severity_of(f)) for f in result.failures}


ALL = checks_in(kubernetes)


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


PROTECT: dict[str, Content | None] = {CONFIG: GOOD + "protectKernelDefaults: true\n"}
SYSCTLS = {
    "vm.overcommit_memory": "1", "vm.panic_on_oom": "0", "kernel.panic": "10", "kernel.panic_on_oops": "1",
    "kernel.keys.root_maxkeys": "1000000", "kernel.keys.root_maxbytes": "25000000",
}  # fmt: skip


def sysctls(now: dict[str, str], boot: dict[str, str]) -> dict[str, Content | None]:
    """Return what the kernel shows and what a file sets."""
    found: dict[str, Content | None] = {
        "/proc/sys/" + key.replace(".", "/"): value + "\n" for key, value in now.items()
    }
    found["/etc/sysctl.d/90-kubelet.conf"] = "".join(f"{key} = {value}\n" for key, value in boot.items())
    return found


def test_kernel_defaults() -> None:
    check = kubernetes.KubernetesKernelDefaults
    every = sysctls(SYSCTLS, SYSCTLS)
    assert ask(check, host(every)).outcome is Outcome.SKIP
    assert ask(check, host({**PROTECT, **every})).outcome is Outcome.PASS
    # Set by hand: right now, wrong after the boot.
    found = failures(ask(check, host({**PROTECT, **sysctls(SYSCTLS, {})})))
    assert found == {("vm.overcommit_memory", "boot"): "required", ("kernel.panic", "boot"): "required"}
    wrong = {**SYSCTLS, "vm.overcommit_memory": "0"}
    found = failures(ask(check, host({**PROTECT, **sysctls(wrong, SYSCTLS)})))
    assert found == {("vm.overcommit_memory", "now"): "required"}
    # By a flag of the command line.
    flag = {FLAGS: 'KUBELET_KUBEADM_ARGS="--protect-kernel-defaults=true"\n'}
    assert failures(ask(check, host({**flag, **sysctls(wrong, SYSCTLS)})))


def test_kernel_defaults_of_the_kernel_that_boots() -> None:
    check = kubernetes.KubernetesKernelDefaults
    files = {**PROTECT, **sysctls({}, {"vm.overcommit_memory": "1"})}
    files[f"/boot/vmlinuz-{KERNEL}"] = ELF
    files[f"/boot/config-{KERNEL}"] = "CONFIG_PANIC_TIMEOUT=10\nCONFIG_PANIC_ON_OOPS_VALUE=1\n"
    assert failures(ask(check, host(files, kind="root"))) == {}
    files[f"/boot/config-{KERNEL}"] = "CONFIG_PANIC_TIMEOUT=0\nCONFIG_PANIC_ON_OOPS_VALUE=0\n"
    assert failures(ask(check, host(files, kind="root"))) == {
        ("kernel.panic", "boot"): "required", ("kernel.panic_on_oops", "boot"): "required",
    }  # fmt: skip
    files["/proc/cmdline"] = "root=/dev/sda1 panic=10 oops=panic\n"
    assert failures(ask(check, host(files))) == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GOOD, {}),
        (GOOD + "evictionHard:\n  memory.available: 100Mi\n# end\n", {}),
        ('{"kind": "KubeletConfiguration", "apiVersion": "kubelet.config.k8s.io/v1beta1"}', {}),
        (GOOD + "port: 0x2710\nreadOnlyPort: 0\nserializeImagePulls: no\n", {}),
        (GOOD.replace("failSwapOn: true", 'failSwapOn: "false"'), {"config.yaml failSwapOn": "required"}),
        (GOOD.replace("failSwapOn: true", "failSwapOn: maybe"), {"config.yaml failSwapOn": "required"}),
        (GOOD.replace("maxPods: 110", "maxPods: '110'"), {"config.yaml maxPods": "required"}),
        (GOOD.replace("maxPods: 110", "maxPods: 1k"), {"config.yaml maxPods": "required"}),
        (
            GOOD.replace("    enabled: false", '    enabled: "no"'),
            {"config.yaml authentication.anonymous.enabled": "required"},
        ),
        (GOOD + "failSwapOn: false\n", {"config.yaml failSwapOn": "recommended"}),
        (GOOD.replace("    enabled", "\tenabled"), {"config.yaml": "required"}),
        (GOOD.replace("v1beta1", "v1beta9"), {"config.yaml apiVersion": "required"}),
        (GOOD.replace("kind: KubeletConfiguration\n", ""), {"config.yaml kind": "required"}),
        (GOOD.replace("KubeletConfiguration", "ClusterConfiguration"), {"config.yaml kind": "required"}),
        ("", {"config.yaml kind": "required", "config.yaml apiVersion": "required"}),
    ],
)
def test_kubelet_config(text: str, expected: dict[str, str]) -> None:
    found = failures(ask(kubernetes.KubernetesKubeletConfig, host({CONFIG: text}, kind="root")))
    assert found == {(subject, "boot"): severity for subject, severity in expected.items()}


def test_kubelet_config_says_where() -> None:
    found = ask(kubernetes.KubernetesKubeletConfig, host({CONFIG: GOOD.replace("110", '"110"')}))
    (failure,) = found.failures
    assert (failure.path, failure.line) == (CONFIG, 9)
    assert failure.fix
    assert failure.fix["commands"][0] == f'sed -i "9s/[\\"\']//g" {CONFIG}'
    # Before the node has joined there is no such file.
    assert ask(kubernetes.KubernetesKubeletConfig, host({CONFIG: None})).outcome is Outcome.SKIP


@pytest.mark.parametrize(
    ("release", "words", "expected"),
    [
        ("1.23.17", "--network-plugin=cni --container-runtime=remote", set()),
        ("1.24.0", "--network-plugin=cni --container-runtime=remote", {"network-plugin"}),
        ("1.27.0", "--container-runtime=remote --container-runtime-endpoint=unix:///run/containerd/containerd.sock",
         {"container-runtime"}),
        ("1.34.1", "--pod-infra-container-image=registry.k8s.io/pause:3.10", set()),
        ("1.35.0", "--pod-infra-container-image=registry.k8s.io/pause:3.10", {"pod-infra-container-image"}),
        ("1.14.9", "--allow-privileged=true", set()),
        ("1.15.0", "--allow-privileged=true", {"allow-privileged"}),
        ("1.33.2", "--keep-terminated-pod-volumes", {"keep-terminated-pod-volumes"}),
    ],
)  # fmt: skip
def test_kubelet_flags(release: str, words: str, expected: set[str]) -> None:
    for path in (FLAGS, "/etc/default/kubelet", "/etc/sysconfig/kubelet"):
        files: dict[str, Content | None] = {FLAGS: None, path: f'KUBELET_EXTRA_ARGS="{words}"\n'}
        found = ask(kubernetes.KubernetesKubeletFlags, host(files, release=release))
        assert failures(found) == {(f"kubelet --{name}", "boot"): "required" for name in expected}
        assert all((f.path, f.line) == (path, 1) for f in found.failures)


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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GOOD, {}),
        ("kind: KubeletConfiguration\n", {}),
        (GOOD.replace("enabled: false", "enabled: true"), {"authentication.anonymous.enabled": "info"}),
        (GOOD.replace("Webhook", "AlwaysAllow"), {"authorization.mode": "recommended"}),
        (
            GOOD.replace("enabled: false", "enabled: true").replace("Webhook", "AlwaysAllow"),
            {"authentication.anonymous.enabled": "recommended", "authorization.mode": "recommended"},
        ),
        (GOOD + "readOnlyPort: 10255\n", {"readOnlyPort": "recommended"}),
        (GOOD + "readOnlyPort: 0\n", {}),
    ],
)
def test_kubelet_access(text: str, expected: dict[str, str]) -> None:
    found = failures(ask(kubernetes.KubernetesKubeletAccess, host({CONFIG: text})))
    assert found == {(f"kubelet {key}", "boot"): severity for key, severity in expected.items()}


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


@pytest.mark.parametrize(
    "more, expected",
    [
        ({}, Outcome.SKIP),
        ({"/run/systemd/container": "lxc\n"}, Outcome.FAIL),
        ({"/run/systemd/container": "lxc\n", "/dev/kmsg": ""}, Outcome.PASS),
    ],
)
def test_kernel_log(more: dict[str, Content], expected: Outcome) -> None:
    laid = {**STOCK, **NODE, **more}
    assert ask(kubernetes.KubernetesKernelLog, FakeHost(laid)).outcome is expected
    assert ask(kubernetes.KubernetesKernelLog, FakeHost(laid, kind="root")).outcome is Outcome.SKIP
