"""What the checks of a Kubernetes node share."""

from __future__ import annotations

from hostcheck.api import Host, NotApplicable, Unavailable
from hostcheck.facts import engine, kubelet, packages
from hostcheck.facts.files import which


def relevant(host: Host, needed: str) -> None:
    """Raise `NotApplicable` where no kubelet is, nor is to be."""
    there = needed == "yes"
    if needed == "auto":
        there = bool(
            "kubelet" in engine.installed(host)
            or which(host, "kubeadm")
            or has_package(host, "kubeadm")
            or host.exists(kubelet.CONFIG)
        )
    if not there:
        raise NotApplicable("no kubelet here")


def has_package(host: Host, *known: str) -> bool:
    try:
        return packages.installed(host, *known) is not None
    except (PermissionError, Unavailable):
        return False
