"""The host's own names."""

from __future__ import annotations

from collections.abc import Iterator

from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, failed, passed
from hostcheck.facts import engine, kubelet, network
from hostcheck.facts.files import text

HOSTS = "/etc/hosts"

RESOLVED = ("127.0.0.53", "127.0.0.54")
"""systemd-resolved answers for localhost by itself (systemd-resolved.service(8))."""


def relevant(host: Host, needed: str) -> None:
    """Raise NotApplicable where nothing asks for the name localhost."""
    if needed == "yes" or "kubelet" in engine.installed(host) or host.exists(kubelet.CONFIG):
        return
    if needed == "no" or not any(host.exists(f"/usr/local/bin/{name}") for name in ("k3s", "rke2", "k0s")):
        raise NotApplicable("no kubelet is here, and no engine asks for localhost by name")


class NamesLocalhost(Check):
    """The name localhost leads to 127.0.0.1.

    *Why*: the kubelet, the API server and Calico listen on `localhost` and read /etc/hosts for it by themselves, not
    through the C library. Without an entry they ask the network's name server: `listen tcp: lookup localhost on
    8.8.8.8:53: no such host`, and the node does not start.

    *Needs*: on nodes of Kubernetes, localhost on a line of 127.0.0.1 in /etc/hosts, or systemd-resolved as name
    server.

    *Fix*: `127.0.0.1 localhost` in /etc/hosts; cloud-init writes it with `manage_etc_hosts: true`.
    """

    id = "names.localhost"
    severity = Severity.REQUIRED
    references = (
        "https://pkg.go.dev/net#hdr-Name_Resolution",
        "https://github.com/kubernetes/minikube/issues/5186",
        "https://github.com/labring/sealos/issues/1883",
    )
    needed: str = "auto"
    """Whether a kubelet is to run here: `yes`, `no`, or `auto` for whether one is installed."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        relevant(host, self.needed)
        more = {"expected": "127.0.0.1 localhost", "path": HOSTS, "when": "boot"}
        others = ""
        for number, line in enumerate((text(host, HOSTS) or "").splitlines(), 1):
            words = line.partition("#")[0].split()
            if "localhost" not in words[1:]:
                continue
            if words[0].startswith("127."):
                yield passed("localhost", f"is {words[0]}", value=words[0], line=number, **more)
                return
            others = words[0]
        servers = network.parse_resolv_conf(text(host, "/etc/resolv.conf") or "").servers
        if any(server in RESOLVED for server, _line in servers):
            yield passed("localhost", "systemd-resolved answers for it", value="resolved", **more)
            return
        yield failed(
            "localhost",
            f"{HOSTS} has it {'as ' + others + ' alone' if others else 'nowhere'}: the kubelet asks the network for"
            " it and does not start",
            value=others or "missing",
            commands=[f"echo '127.0.0.1 localhost' >> {HOSTS}"],
            **more,
        )
