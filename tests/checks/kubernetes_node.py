"""A node that kubeadm set up, for the tests of the checks of Kubernetes."""

from __future__ import annotations

from hostcheck.finding import Outcome, Result
from hostcheck.testing import Content, FakeHost

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
