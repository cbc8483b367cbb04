"""What keeps the packets of containers from being forwarded, though forwarding is on: an interface, a rule."""

from __future__ import annotations

from collections.abc import Iterator

from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, Unavailable, failed, passed
from hostcheck.facts import engine, files, firewall, network, packets, sysctl

FORWARD, DEFAULT = "net.ipv4.ip_forward", "net.ipv4.conf.default.forwarding"
KERNEL_DOC = "https://docs.kernel.org/networking/ip-sysctl.html"
BRIDGE = "docker0"


def need_bridge(host: Host) -> None:
    """Raise `NotApplicable` where dockerd has no bridge of its own."""
    engine.need_docker(host)
    if network.engine_option(host, "bridge", "") == "none":
        raise NotApplicable("docker has no default bridge here")


UNSEEN = "the rules of iptables cannot be seen here"
"""Only who may change them may list them (CAP_NET_ADMIN)."""


def rules_now(host: Host) -> str | None:
    """Return the rules of the iptables that dockerd uses, None where they cannot be had."""
    backend = firewall.backend(host) if host.kind == "live" else None
    return firewall.saved(host, backend) if backend in firewall.SAVERS else None


class ForwardingInterfaces(Check):
    """The interfaces that containers' packets come in by forward them.

    *Why*: each interface has a switch of its own, which a write to net.ipv4.ip_forward sets for all, and which a later
    line or a hardening script takes back. dockerd leaves ip_forward alone where it is 1 already: a bridge that it then
    makes has the `default`, and with 0 there containers reach nothing; with 0 on the uplink no reply comes back.

    *Needs*: where net.ipv4.ip_forward is 1: forwarding on docker0, or as the default for new interfaces, and on the
    interface with the default route. At rest the sysctl files: what sets the default after ip_forward.

    *Fix*: take the line out, or set the key to 1 in a file that sorts last.
    """

    id = "forwarding.interfaces"
    severity = Severity.REQUIRED
    references = (
        KERNEL_DOC,
        "https://github.com/torvalds/linux/blob/v6.12/net/ipv4/devinet.c",
        "https://github.com/moby/moby/blob/v28.5.2/daemon/libnetwork/drivers/bridge/setup_ip_forwarding.go",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        need_bridge(host)
        found = [*self._now(host), *self._boot(host)]
        if not found:
            raise NotApplicable(f"{FORWARD} is not set here: dockerd sets it, and with it all interfaces")
        yield from found

    def _now(self, host: Host) -> Iterator[Finding]:
        if host.kind != "live" or sysctl.now(host, FORWARD) != "1":
            return
        if host.exists(f"/sys/class/net/{BRIDGE}/bridge"):
            yield from self._judge(host, BRIDGE, "containers reach nothing")
        else:
            yield from self._judge(host, "default", f"{BRIDGE}, which dockerd will make, does not forward")
        for interface in self._outer(host):
            yield from self._judge(host, interface, "no reply reaches a container")

    def _outer(self, host: Host) -> list[str]:
        """Return the interface with the default route; where none has it, all that have a route but containers'."""
        uplink = network.uplink(host)
        if uplink:
            return [uplink]
        devices = dict.fromkeys(route.device for route in network.routes(host))
        return [device for device in devices if not device.startswith((BRIDGE, "br-", "veth"))]

    def _judge(self, host: Host, interface: str, effect: str) -> Iterator[Finding]:
        """Judge the switch of an interface; one that the kernel does not show is let pass."""
        key = f"net.ipv4.conf.{interface}.forwarding"
        path = f"/proc/sys/net/ipv4/conf/{interface}/forwarding"
        value = (files.text(host, path) or "").strip()
        if not value:
            return
        where = {"path": path, "value": value, "expected": "1"}
        if value == "0":
            yield failed(key, f"0, though {FORWARD} is 1: {effect}", commands=[f"echo 1 > {path}"], **where)
        else:
            yield passed(key, value, **where)

    def _boot(self, host: Host) -> Iterator[Finding]:
        """Judge the default for new interfaces, where the files switch forwarding on before dockerd does."""
        on, default = (sysctl.boot_setting(host, key) for key in (FORWARD, DEFAULT))
        if on is None or on.value in (None, "0"):
            return
        if default is None or default.value != "0" or default.order < on.order:
            yield passed(DEFAULT, f"follows {FORWARD}", path=on.path, line=on.line, expected="1", when="boot")
            return
        yield failed(
            DEFAULT,
            f"0 after the next boot, though {FORWARD} is 1: {BRIDGE}, which dockerd makes, does not forward",
            value="0",
            expected="1",
            path=default.path,
            line=default.line,
            when="boot",
            commands=[f"sed -i '{default.line}s/^/# /' {default.path}", "sysctl --system"],
        )


ARP_NONE = 8
"""Of arp_ignore: the interface answers for no address of its own (ip-sysctl.rst)."""


class ForwardingNeighbours(Check):
    """Containers get the hardware address of their gateway.

    *Why*: the gateway of containers is docker0 of this host. With arp_ignore = 8 it does not answer when they ask for
    it: "No route to host".

    *Needs*: net.ipv4.conf.all.arp_ignore, of which and of the interface's own the larger counts, now and in the sysctl
    files. Other values answer on docker0.

    *Fix*: a smaller value, 1 or 2, does what load balancers need.
    """

    id = "forwarding.neighbours"
    severity = Severity.REQUIRED
    references = (KERNEL_DOC, "https://github.com/torvalds/linux/blob/v6.12/net/ipv4/arp.c")

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        need_bridge(host)
        keys = [f"net.ipv4.conf.{name}.arp_ignore" for name in ("all", "default")]
        found = [*(self._now(host, keys) if host.kind == "live" else ()), *self._boot(host, keys)]
        if not found:
            raise NotApplicable("nothing sets arp_ignore")
        yield from found

    def _now(self, host: Host, keys: list[str]) -> Iterator[Finding]:
        for key in keys:
            value = (files.text(host, f"/proc/sys/{sysctl.normalize(key)}") or "").strip()
            if value.isdecimal():
                yield self._judge(key, value, path=f"/proc/sys/{sysctl.normalize(key)}")

    def _boot(self, host: Host, keys: list[str]) -> Iterator[Finding]:
        for key in keys:
            said = sysctl.boot_setting(host, key)
            if said is not None and said.value and said.value.isdecimal():
                yield self._judge(key, said.value, path=said.path, line=said.line, when="boot")

    def _judge(self, key: str, value: str, **where: object) -> Finding:
        if int(value) < ARP_NONE:
            return passed(key, f"{value}: docker0 answers", value=value, expected="less than 8", **where)
        return failed(
            key,
            f"{value}: docker0 does not answer containers that ask for their gateway, and they reach nothing",
            value=value,
            expected="less than 8",
            commands=[f"echo '{key} = 1' > /etc/sysctl.d/99-arp.conf", f"sysctl -w {key}=1"],
            **where,
        )


SAVED = (
    ("/etc/iptables/rules.v4", "netfilter-persistent.service"),
    ("/etc/sysconfig/iptables", "iptables.service"),
)
"""Files of iptables-save, and what loads them at boot, before docker."""


def rules_at_boot(host: Host) -> Iterator[tuple[str, str]]:
    """Yield each file of rules that is loaded at boot, and its text."""
    for path, unit in SAVED:
        try:
            text = files.text(host, path)
        except Unavailable:
            continue
        if text and network.enabled(host, unit):
            yield path, text


class ForwardingDockerUser(Check):
    """The chain DOCKER-USER does not drop everything.

    *Why*: dockerd keeps this chain for the administrator, sends all that is forwarded through it first, and leaves in
    it what it finds. Where its first rule that decides anything drops all, containers reach nothing, and no published
    port answers.

    *Needs*: the rules that hold now, and those that are loaded at boot: no DROP or REJECT without a condition
    before a rule that accepts or returns more than replies.

    *Fix*: remove the rule, or let through before it what containers need.
    """

    id = "forwarding.docker_user"
    severity = Severity.REQUIRED
    references = (
        "https://docs.docker.com/engine/network/firewall-iptables/",
        "https://github.com/moby/moby/blob/v28.5.2/daemon/libnetwork/firewall_linux.go",
    )
    chain: str = "DOCKER-USER"
    """The chain that dockerd leaves to the administrator."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        need_bridge(host)
        text = rules_now(host)
        found = [*(self._judge(text, "now", None) if text else ())]
        for path, saved in rules_at_boot(host):
            found += self._judge(saved, "boot", path)
        if not found:
            seen = f"there is no {self.chain} yet" if text is not None else UNSEEN
            raise NotApplicable(f"{seen}, nor is it in a file that is loaded at boot")
        yield from found

    def _judge(self, text: str, when: str, path: str | None) -> Iterator[Finding]:
        found = packets.chain(text, self.chain)
        if found is None:
            return
        where = {"when": when, "path": path, "expected": "no rule that drops all"}
        rule = packets.drops(found)
        if rule is None:
            yield passed(self.chain, "lets through more than replies", **where)
            return
        mend = f"sed -i '/^-A {self.chain} /d' {path}" if path else f"iptables -F {self.chain}"
        yield failed(
            self.chain,
            f"`{rule}` drops all that is forwarded: containers reach nothing, and are not reached",
            value=rule,
            commands=[mend],
            **where,
        )


FROM, TO, BACK, OWN_IN, OWN_OUT = "from", "to", "back", "in", "out"
"""Packets: from a container, to one, its replies to this machine, and those of this machine to itself."""

WAY = (
    ("raw", "PREROUTING", (FROM,)),
    ("raw", "OUTPUT", (TO, OWN_OUT)),
    ("mangle", "PREROUTING", (FROM,)),
    ("mangle", "INPUT", (BACK, OWN_IN)),
    ("mangle", "FORWARD", (FROM, TO)),
    ("mangle", "OUTPUT", (TO, OWN_OUT)),
    ("mangle", "POSTROUTING", (FROM, TO)),
    ("filter", "INPUT", (BACK, OWN_IN)),
    ("filter", "OUTPUT", (TO, OWN_OUT)),
    ("security", "INPUT", (BACK, OWN_IN)),
    ("security", "FORWARD", (FROM, TO)),
    ("security", "OUTPUT", (TO, OWN_OUT)),
)
"""The chains on the way of containers' packets and of those to a published port on this machine, and which come there,
but FORWARD of the table filter: there dockerd's rules come first."""

USUAL = network.parse_network("172.17.0.0/16")
"""What docker0 gets where nobody chose and no route is in the way."""


def container_network(host: Host) -> tuple[int, int] | None:
    """Return the network of docker0, or the one that it will get, None where that cannot be told."""
    told = network.parse_network(str(network.engine_option(host, "bip", "") or ""))
    if told is not None:
        return told
    try:
        routes = [route for route in network.routes(host) if route.bits]
    except Unavailable:
        routes = []
    own = next((route for route in routes if route.device == BRIDGE), None)
    if own is not None:
        return own.base, own.bits
    if USUAL is None or network.engine_option(host, "default-address-pools", None):
        return None
    taken = any(network.overlaps(USUAL, (route.base, route.bits)) for route in routes)
    return None if taken else USUAL


def kinds(host: Host) -> dict[str, packets.Packet]:
    """Return the packets without which containers reach nothing, or are not reached."""
    containers, own = container_network(host), network.parse_network("127.0.0.1/32")
    return {
        FROM: packets.Packet(into=BRIDGE, source=containers),
        TO: packets.Packet(out=BRIDGE, target=containers),
        BACK: packets.Packet(into=BRIDGE, source=containers, reply=True),
        OWN_IN: packets.Packet(into="lo", source=own, target=own),
        OWN_OUT: packets.Packet(out="lo", source=own, target=own),
    }


class ForwardingChains(Check):
    """No chain on the way of containers' packets drops everything.

    *Why*: a packet is judged in each table, and dockerd writes its rules to filter and nat alone: where mangle or raw
    drops it, nothing is let through there; where INPUT or OUTPUT do, no published port answers on this machine: so
    scripts against forged addresses do, which drop what private networks send. What raw does not track is not
    translated.

    *Needs*: the rules that hold now, and those that are loaded at boot: in none of these chains a DROP that all packets
    of containers come to, or a policy of DROP, and no NOTRACK.

    *Fix*: take the rule out, or let through what is wanted before it.
    """

    id = "forwarding.chains"
    severity = Severity.REQUIRED
    references = (
        "https://man7.org/linux/man-pages/man8/iptables.8.html",
        "https://man7.org/linux/man-pages/man8/iptables-extensions.8.html",
        "https://docs.docker.com/engine/network/firewall-iptables/",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        need_bridge(host)
        text, known = rules_now(host), kinds(host)
        found = [*(self._judge(text, known, "now", None) if text else ())]
        for path, saved in rules_at_boot(host):
            found += self._judge(saved, known, "boot", path)
        if not found:
            seen = "there are no rules of iptables" if text is not None else UNSEEN
            raise NotApplicable(f"{seen}, and no file of them is loaded at boot")
        yield from found

    def _judge(
        self, text: str, known: dict[str, packets.Packet], when: str, path: str | None
    ) -> Iterator[Finding]:
        for table, name, ways in WAY:
            chain, subject = packets.chain(text, name, table), f"{table} {name}"
            where = {"when": when, "path": path, "expected": "accept"}
            rules = [packets.drops(chain, known[way]) for way in ways] if chain else []
            effect = "drops what containers send, or what is sent to their ports"
            if chain and subject == "raw PREROUTING" and not any(rules):
                rules = [packets.untracked(chain, known[FROM])]
                effect = "keeps the kernel from translating the addresses of containers: they reach nothing"
            rule = next((each for each in rules if each), None)
            if rule is None:
                yield passed(subject, "does not drop everything", **where)
                continue
            mend = f"-P {name} ACCEPT" if rule.startswith("-P") else f"-D{rule.removeprefix('-A')}"
            yield failed(
                subject,
                f"`{rule}` {effect}",
                value=rule,
                commands=[] if path else [f"iptables -t {table} {mend}"],
                hint=f"take the rule out of {path}" if path else "and take it out of what sets it at boot",
                **where,
            )
