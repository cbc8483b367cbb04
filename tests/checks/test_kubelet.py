"""The kubelet: what it refuses, and what it takes and nobody reads."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from kubernetes_node import CONFIG, ELF, FLAGS, GOOD, KERNEL, NODE, STOCK, failures, host

from hostcheck.finding import Outcome
from hostcheck.testing import Content, FakeHost, ask

kubelet: Any = importlib.import_module("hostcheck.checks.kubelet")

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
    check = kubelet.KubeletKernelDefaults
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
    check = kubelet.KubeletKernelDefaults
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
    found = failures(ask(kubelet.KubeletConfig, host({CONFIG: text}, kind="root")))
    assert found == {(subject, "boot"): severity for subject, severity in expected.items()}


def test_kubelet_config_says_where() -> None:
    found = ask(kubelet.KubeletConfig, host({CONFIG: GOOD.replace("110", '"110"')}))
    (failure,) = found.failures
    assert (failure.path, failure.line) == (CONFIG, 9)
    assert failure.fix
    assert failure.fix["commands"][0] == f'sed -i "9s/[\\"\']//g" {CONFIG}'
    # Before the node has joined there is no such file.
    assert ask(kubelet.KubeletConfig, host({CONFIG: None})).outcome is Outcome.SKIP


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
        found = ask(kubelet.KubeletFlags, host(files, release=release))
        assert failures(found) == {(f"kubelet --{name}", "boot"): "required" for name in expected}
        assert all((f.path, f.line) == (path, 1) for f in found.failures)


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
    found = failures(ask(kubelet.KubeletAccess, host({CONFIG: text})))
    assert found == {(f"kubelet {key}", "boot"): severity for key, severity in expected.items()}


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
    assert ask(kubelet.KubeletKernelLog, FakeHost(laid)).outcome is expected
    assert ask(kubelet.KubeletKernelLog, FakeHost(laid, kind="root")).outcome is Outcome.SKIP
