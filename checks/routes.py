"""Routes that a host loses when it begins to forward, and the one that a node has to have."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, Unavailable, failed, passed
from hostcheck.facts import files, kubelet, network, sysctl, systemd

ADVERTISED = 0x40000
"""The flag of a route in /proc/net/ipv6_route that came of a router's advertisement: RTF_ADDRCONF."""


def _table(host: Host, path: str, flags: int) -> Iterator[tuple[list[str], int]]:
    """Yield the words of each line of a table of /proc/net, and its flags; a line without any is passed over."""
    for line in (files.text(host, path) or "").splitlines():
        words = line.split()
        try:
            yield words, int(words[flags], 16)
        except (IndexError, ValueError):
            continue


def advertised(host: Host) -> dict[str, bool]:
    """Return the interfaces that the kernel set up by advertisements, and whether the default route is among that."""
    found: dict[str, bool] = {}
    # Address, index, length of the prefix, scope (00: global), flags (80: for ever), interface.
    for words, flags in _table(host, "/proc/net/if_inet6", 4):
        if len(words) == 6 and words[3] == "00" and not flags & 0x80:
            found.setdefault(words[5], False)
    for words, flags in _table(host, "/proc/net/ipv6_route", 8):
        if len(words) == 10 and words[1] == "00" and flags & ADVERTISED:
            found[words[9]] = True
    if host.written_by_hand:
        found.update(_typed(host))
    return found


def _typed(host: Host) -> Iterator[tuple[str, bool]]:
    """Yield what `ip -6 route` printed; a route that somebody's program set is none of the kernel's."""
    for argv in (("ip", "-6", "route"), ("ip", "-6", "route", "show", "default"), ("ip", "-6", "r")):
        try:
            printed = host.run(*argv).out
        except (OSError, Unavailable):
            continue
        for line in printed.splitlines():
            words = line.split()
            if line.startswith("default") and "ra" in words and "dev" in words[:-1]:
                yield words[words.index("dev") + 1], True


class RoutesAdvertised(Check):
    """The host keeps its IPv6 route when containers get IPv6.

    *Why*: dockerd switches forwarding on for IPv6, and a router takes no advertisements from others unless
    accept_ra is 2: the default route that came of them runs out, and nobody is reached by IPv6.

    *Needs*: where containers have IPv6, accept_ra = 2 on an interface that the kernel sets up by advertisements.
    NetworkManager and systemd-networkd read advertisements themselves and have 0 there.

    *Fix*: net.ipv6.conf.IFACE.accept_ra = 2 in a file of /etc/sysctl.d.
    """

    id = "routes.advertised"
    severity = Severity.REQUIRED
    references = (
        "https://docs.kernel.org/networking/ip-sysctl.html",
        "https://github.com/docker/for-linux/issues/844",
        "https://github.com/moby/moby/issues/43466",
    )
    ipv6: bool = False
    """Whether containers need IPv6 even if daemon.json does not say so."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if host.kind != "live":
            raise NotApplicable("what routers advertise is seen on a running host")
        if not self.ipv6 and network.engine_option(host, "ipv6", False) is not True:
            raise NotApplicable("no container network with IPv6 is configured")
        there = advertised(host)
        if not there and host.written_by_hand:
            uplink = network.uplink(host)
            there = {uplink: False} if uplink else {}
        for interface, route in there.items():
            key = f"net.ipv6.conf.{interface}.accept_ra"
            value = sysctl.now(host, key)
            more = {"value": value, "expected": "2", "path": f"/proc/sys/{sysctl.normalize(key)}"}
            if value != "1":
                yield passed(key, "the kernel takes advertisements though it forwards, or needs none", **more)
                continue
            known = "route" if route else "address, and its route"
            yield failed(
                key,
                f"1: once the kernel forwards, it takes no advertisement, and {interface} loses its {known}",
                severity=None if route or host.written_by_hand else Severity.RECOMMENDED,
                commands=[f"echo '{key} = 2' > /etc/sysctl.d/90-accept-ra.conf", f"sysctl -w {key}=2"],
                **more,
            )
        if not there:
            yield passed("accept_ra", "the kernel has set up no interface by advertisements")


TOLD = r"(?:^|[\s-])(?:node-ip|advertise-address|bind-address)\b"
"""What tells a node its address."""


class RoutesDefault(Check):
    """A node has a default route.

    *Why*: kubeadm, k3s and RKE2 take the address of the node from the interface with the default route, and exit where
    there is none: `no default routes found in "/proc/net/route"`. Without any, packets to services have no way even
    where the address was given by hand. Machines without a way out need one too.

    *Needs*: on a running node, a default route of IPv4 or IPv6, through a dummy interface if need be.

    *Fix*: `ip route add default via GATEWAY`, and the same in what sets up the network at boot.
    """

    id = "routes.default"
    severity = Severity.REQUIRED
    references = (
        "https://docs.k3s.io/installation/airgap#prerequisites",
        "https://github.com/kubernetes/apimachinery/blob/v0.31.0/pkg/util/net/interface.go",
        "https://github.com/k3s-io/k3s/issues/1144",
        "https://github.com/kubernetes/kubernetes/issues/57534",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if host.kind != "live" or not kubelet.is_node(host):
            raise NotApplicable("no node runs here")
        more = {"expected": "a default route", "path": "/proc/net/route"}
        if network.has_ipv6_default(host) or any(not each.bits for each in network.routes(host)):
            yield passed("default route", "is there", **more)
            return
        yield failed(
            "default route",
            "is missing: the node finds no address of its own, and packets to services have no way",
            value="missing",
            severity=Severity.RECOMMENDED if self._told(host) else None,
            commands=[
                "ip link add dummy0 type dummy && ip link set dummy0 up && ip addr add 203.0.113.254/31 dev dummy0",
                "ip route add default via 203.0.113.255 dev dummy0 metric 1000",
            ],
            hint="or give this machine a gateway",
            **more,
        )

    def _told(self, host: Host) -> bool:
        """Return whether the node was given its address by hand."""
        if kubelet.flags(host).get("node-ip"):
            return True
        lines = [line for path in kubelet.K3S_CONFIGS for line in (files.text(host, path) or "").splitlines()]
        for unit in kubelet.K3S_UNITS:
            lines += [word for command in systemd.exec_start(host, unit) for word in command.argv]
        return any(re.search(TOLD, line) for line in lines)
