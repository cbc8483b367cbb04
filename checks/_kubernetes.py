"""What the checks of a Kubernetes node share."""

from __future__ import annotations

from hostcheck.api import Check, Host, NotApplicable
from hostcheck.facts import engine, kubelet, packages
from hostcheck.facts.files import which


class NodeCheck(Check):
    """A question about a Kubernetes node; not a check itself."""

    needed: str = "auto"
    """Whether a kubelet is to run here: `yes`, `no`, or `auto` for whether it or kubeadm is installed."""

    def need_node(self, host: Host) -> None:
        """Raise NotApplicable where no kubelet is, nor is to be."""
        there = self.needed == "yes"
        if self.needed == "auto":
            there = bool(
                "kubelet" in engine.installed(host)
                or which(host, "kubeadm")
                or packages.known(host, "kubeadm")
                or host.exists(kubelet.CONFIG)
            )
        if not there:
            raise NotApplicable("no kubelet here")
