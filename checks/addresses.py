"""Addresses that containers use: their networks' and their name servers'."""

from __future__ import annotations

from collections.abc import Iterator

from hostcheck._typing import Optional
from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, Unavailable, Version, failed, passed
from hostcheck.facts import docker, engine, files, kubelet, network, routing
from hostcheck.facts.versions import version as found_version


def version(host: Host) -> Optional[Version]:
    """Return the version of dockerd, None where there is none or it cannot be told."""
    try:
        return engine.docker_version(host)
    except (OSError, ValueError, Unavailable):
        return None


OLD_POOLS = [f"172.{second}.0.0/16" for second in range(17, 32)] + [
    f"192.168.{third}.0/20" for third in range(0, 256, 16)
]


OWN_DEVICES = ("docker", "br-", "cni", "podman", "veth")
"""How the interfaces of container networks begin."""


FIRST = 9
"""Where the addresses end that the first containers are given: dockerd goes through a network from its start."""

NOWHERE = "*"
"""The interface of a route that is a black hole, or otherwise rejects (fib_trie.c, fib_route_seq_show)."""


class AddressesOverlap(Check):
    """The addresses of container networks do not overlap those that the host routes elsewhere.

    *Why*: dockerd takes for each network the first pool that no route of the host covers. Where a VPN covers
    all of them it refuses to start: "could not find an available, non-overlapping IPv4 address pool". A `bip`
    that overlaps hides the real network from containers and host; all of it where it covers the whole. dockerd asks
    the main table alone: a rule of routing that leads elsewhere before, as a VPN's, takes the packets of containers.

    *Needs*: The routes of the running host and its rules of routing; `default-address-pools` and `bip` in daemon.json.

    *Fix*: Give daemon.json a free block: "bip" and "default-address-pools".
    """

    id = "addresses.overlap"
    severity = Severity.REQUIRED
    references = (
        "https://docs.docker.com/engine/network/#automatic-subnet-allocation",
        "https://github.com/moby/moby/blob/v28.5.2/daemon/libnetwork/ipamutils/utils.go",
        "https://man7.org/linux/man-pages/man8/ip-rule.8.html",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if host.kind != "live":
            raise NotApplicable("routes are those of a running host")
        if network.engine_option(host, "bridge", "") == "none":
            raise NotApplicable("docker has no default bridge here")
        every = [route for route in network.routes(host) if route.bits]
        # dockerd passes over routes that lead nowhere when it looks for a free network.
        nowhere = [route for route in every if route.device == NOWHERE]
        routes = [route for route in every if not route.device.startswith((*OWN_DEVICES, NOWHERE))]
        path = docker.config_file(host)
        bip = str(network.engine_option(host, "bip", "") or "")
        own = network.parse_network(bip)
        left = self._bridge(host, every)
        if own is not None:
            hits = [r for r in routes if network.overlaps(own, (r.base, r.bits))]
            uplink = network.uplink(host)
            hit = max(hits, key=lambda r: (r.device == uplink, own[1] <= r.bits), default=None)
            if hit is None:
                yield passed("daemon.json bip", f"{bip} is free of routes", value=bip, path=path)
            else:
                text = (
                    f"{bip} overlaps the route {network.format_network(hit.base, hit.bits)} of {hit.device}"
                )
                # The uplink's own network holds the gateway: without it nothing else is reached either.
                mine = hit.device == uplink
                # A container takes all of bip for its own network, and asks no gateway for it.
                whole = own[1] <= hit.bits
                if mine:
                    lost = "the gateway there is out of reach"
                else:
                    lost = "containers do not reach it" if whole else "one of the two is out of reach"
                yield failed(
                    "daemon.json bip",
                    f"{text}: {lost}",
                    value=bip,
                    expected="a block that no route covers",
                    severity=Severity.REQUIRED if mine or whole else Severity.RECOMMENDED,
                    path=path,
                    hint='choose a free block for "bip" in daemon.json',
                )
        elif left is not None:
            yield from self._left(left, routes)
        pools = list(self._pools(host))
        free = [pool for pool in pools if not any(network.overlaps(pool, (r.base, r.bits)) for r in routes)]
        subject = "daemon.json default-address-pools"
        unused = [
            p
            for p in free
            if not any(network.overlaps(p, (r.base, r.bits)) for r in every if r not in nowhere)
        ]
        taken = own or left or (unused[0] if unused else None)
        if taken:
            yield from self._swallowed(taken, nowhere)
            yield from self._diverted(host, taken)
            yield from self._own(host, taken)
        if unused:
            first = network.format_network(*unused[0])
            yield passed(subject, f"{first} is free for the next network", value=first)
            return
        if free:
            count = sum(route.device.startswith("br-") for route in every)
            yield failed(
                subject,
                f"the {count} networks that there are have used every pool: no other can be made",
                value=str(count),
                expected="a pool that no network has",
                path=path,
                hint='remove networks (docker network prune), or add pools, smaller ones: "size": 24',
            )
            return
        there = host.exists("/sys/class/net/docker0") or own is not None
        shown = ", ".join(sorted({network.format_network(r.base, r.bits) for r in routes})[:3])
        after = (
            "no new network can be made"
            if there
            else "dockerd finds no address for docker0 and does not start"
        )
        yield failed(
            subject,
            f"routes cover every pool ({shown}): {after}",
            value=shown,
            expected="a pool that no route covers",
            severity=Severity.RECOMMENDED if there else None,
            hint='give daemon.json a free block: "bip" and "default-address-pools"',
        )

    def _swallowed(self, own: tuple[int, int], nowhere: list[network.Route]) -> Iterator[Finding]:
        """Say where the network that docker0 gets is a black hole. A larger one gives way to docker0's own route."""
        hit = next((r for r in nowhere if network.covers(own, (r.base, r.bits))), None)
        if hit is None:
            return
        shown = network.format_network(hit.base, hit.bits)
        yield failed(
            "black hole",
            f"the route {shown} leads nowhere, and dockerd gives that network to docker0: no reply reaches a container",
            value=shown,
            expected="a network that no route covers",
            commands=[f"ip route delete blackhole {shown}"],
            hint='or give daemon.json another block: "bip"',
        )

    def _diverted(self, host: Host, own: tuple[int, int]) -> Iterator[Finding]:
        """Say where a rule of routing comes before docker0's own route."""
        rule = routing.diverted(host, own)
        if rule is None:
            return
        shown = network.format_network(*own)
        lost = f"drops the packets of {shown}" if rule.action else f"leads the packets for {shown} elsewhere"
        yield failed(
            "ip rule",
            f"rule {rule.priority} ({rule.text}) {lost}, which docker0 has: nothing reaches a container",
            value=rule.text,
            expected="a rule that leaves docker0's network to the main table",
            commands=[f"ip rule delete priority {rule.priority}"]
            if rule.action
            else [f"ip rule add to {shown} lookup main priority {max(1, rule.priority - 1)}"],
            hint='or give daemon.json another block: "bip"',
        )

    def _own(self, host: Host, taken: tuple[int, int]) -> Iterator[Finding]:
        """Say which addresses that containers are given first are this host's own, beside that of docker0."""
        table = files.text(host, "/proc/net/fib_trie")
        bip = str(network.engine_option(host, "bip", "") or "").partition("/")[0]
        gateway = network.parse_address(bip)
        there = host.exists("/sys/class/net/docker0")
        for base, bits in network.parse_fib_trie(table or ""):
            last = base + (1 << (32 - bits)) - 1
            mine = bits == 32 and (there or base == gateway)
            if mine or base > taken[0] + FIRST or last < taken[0] + 2:
                continue
            shown = network.format_network(base, bits)
            yield failed(
                "own addresses",
                f"{shown} is this host's own, and docker gives addresses of it to containers: they reach nothing",
                value=shown,
                expected="addresses that only containers have",
                commands=[f"ip addr delete {shown} dev lo"],
                hint='or give daemon.json another block: "bip"',
            )

    def _bridge(self, host: Host, routes: list[network.Route]) -> tuple[int, int] | None:
        """Return the network of a docker0 that is there: dockerd takes it over where it is told no bip."""
        route = next((each for each in routes if each.device == "docker0"), None)
        if route is not None or not host.exists("/sys/class/net/docker0"):
            return (route.base, route.bits) if route else None
        try:
            # An interface that is down has an address and no route; no file tells it.
            words = host.run("ip", "-4", "-o", "addr", "show", "dev", "docker0").out.split()
        except (OSError, Unavailable):
            return None
        return network.parse_network(words[words.index("inet") + 1]) if "inet" in words[:-1] else None

    def _left(self, there: tuple[int, int], routes: list[network.Route]) -> Iterator[Finding]:
        """Judge the network that docker0 has from an earlier run, or from somebody else."""
        hit = next((r for r in routes if network.covers(there, (r.base, r.bits))), None)
        if hit is None:
            return
        shown = network.format_network(*there)
        yield failed(
            "docker0",
            f"has {shown}, the network of {hit.device}: containers do not reach it",
            value=shown,
            expected="a network that no route covers",
            commands=["ip link delete docker0", "systemctl restart docker"],
        )

    def _pools(self, host: Host) -> Iterator[tuple[int, int]]:
        """Give the blocks that dockerd chooses from."""
        chosen = network.engine_option(host, "default-address-pools", None)
        if not isinstance(chosen, list) or not chosen:
            for text in OLD_POOLS:
                found = network.parse_network(text)
                if found is not None:
                    yield found
            return
        for pool in chosen:
            base = network.parse_network(str(pool.get("base", ""))) if isinstance(pool, dict) else None
            size = pool.get("size") if isinstance(pool, dict) else None
            if base is None or not isinstance(size, int) or not base[1] <= size <= 32:
                continue
            # A pool of many small networks is sampled: routes that cover it whole cover the samples.
            for part in range(0, 1 << (size - base[1]), max(1, 1 << max(0, size - base[1] - 6))):
                yield base[0] + (part << (32 - size)), size


class AddressesResolvConf(Check):
    """Containers get name servers that they can reach.

    *Why*: A loopback address in a container is the container's own. dockerd leaves such servers out, and where
    none remains containers of the default bridge ask 8.8.8.8, which many sites block. kubelet hands the file on
    as it is, and CoreDNS then asks itself in a loop. dockerd copies the file, so that where it is a folder no
    container starts.

    *Needs*: /etc/resolv.conf. systemd-resolved's 127.0.0.53 is fine from docker 18.09 on: dockerd then reads
    /run/systemd/resolve/resolv.conf. No server in the network of a container bridge, and the file that the kubelet
    is told to hand on.

    *Fix*: "dns" in daemon.json; resolvConf in kubelet's configuration.
    """

    id = "addresses.resolv_conf"
    severity = Severity.RECOMMENDED
    references = (
        "https://github.com/moby/moby/pull/37485",
        "https://docs.docker.com/engine/daemon/troubleshoot/#dns-resolver-issues",
        "https://coredns.io/plugins/loop/#troubleshooting-loops-in-kubernetes-clusters",
    )
    kubelet_config: str = "/var/lib/kubelet/config.yaml"
    """Where kubelet's configuration lies."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        path = "/etc/resolv.conf"
        when = host.when
        if self._is_folder(host, path):
            yield failed(
                "resolv.conf",
                "is a folder: dockerd cannot copy it into a container, and none starts",
                value="folder",
                expected="a file with the site's servers",
                severity=Severity.REQUIRED,
                path=path,
                when=when,
                commands=[f"rmdir {path}"],
                hint="put a file in its place",
            )
            return
        try:
            text = files.text(host, path)
        except Unavailable:
            if host.kind == "live":
                raise
            try:
                link = host.readlink(path)
            except OSError:
                link = ""
            text = "nameserver 127.0.0.53" if link.endswith("systemd/resolve/stub-resolv.conf") else None
        dangles = text is None and host.kind == "live" and self._dangles(host, path)
        if dangles:
            target = host.readlink(path)
            yield failed(
                "resolv.conf",
                f"is a link to {target}, which is not there: names are not resolved here, and containers ask 8.8.8.8",
                value=target,
                expected="a file with the site's servers",
                path=path,
                when=when,
                commands=["systemctl enable --now systemd-resolved"] if "systemd/resolve" in target else [],
                hint=f"start what writes {target}, or put a file in its place",
            )
        if dangles or (
            text is None and host.kind == "live" and files.text(host, self.kubelet_config) is not None
        ):
            yield from self._kubelet(host, False, when, gone=True)
            return
        if text is None:
            raise NotApplicable(f"{path} is made when the host runs")
        resolvers = network.parse_resolv_conf(text)
        servers = [server for server, _ in resolvers.servers]
        line = resolvers.servers[0][1] if resolvers.servers else None
        more = {"value": " ".join(servers), "path": path, "line": line, "when": when}
        loops = bool(servers) and all(network.is_loopback(server) for server in servers)
        number = version(host)
        stub = servers == ["127.0.0.53"] and (number is None or number >= Version("18.09"))
        if not loops:
            yield passed("resolv.conf", "names a server that is not this host itself", **more)
        elif network.engine_option(host, "dns", None):
            yield passed("resolv.conf", 'only loopback, but daemon.json has "dns"', **more)
        elif stub:
            yield passed("resolv.conf", "systemd-resolved: dockerd takes the servers behind it", **more)
        else:
            yield failed(
                "resolv.conf",
                "only loopback servers: containers of the default bridge ask 8.8.8.8 instead",
                expected="a server that containers reach",
                hint='put {"dns": ["<a resolver of the site>"]} in /etc/docker/daemon.json',
                **more,
            )
        yield from self._covered(host, resolvers)
        yield from self._kubelet(host, loops, when)

    def _is_folder(self, host: Host, path: str) -> bool:
        try:
            return host.stat(path).is_dir
        except (FileNotFoundError, NotADirectoryError, Unavailable):
            return False

    def _dangles(self, host: Host, path: str) -> bool:
        """Return whether a path is a link that leads nowhere."""
        try:
            return bool(host.readlink(path)) and not host.exists(path)
        except OSError:
            return False

    def _covered(self, host: Host, resolvers: network.Resolvers) -> Iterator[Finding]:
        """Say which servers lie in the network of a container bridge, which then answers in their place."""
        if host.kind != "live":
            return
        try:
            every = network.routes(host)
        except Unavailable:
            return
        routes = [each for each in every if each.device.startswith(OWN_DEVICES) and each.bits]
        if not any(each.device == "docker0" for each in routes):
            routes += self._to_come(host, every)
        for server, line in resolvers.servers:
            address = network.parse_network(f"{server}/32")
            hit = next((each for each in routes if address and network.overlaps(address, each[:2])), None)
            # A server that runs on this host may listen on the bridge's own address.
            if hit is None or not self._elsewhere(host, server, hit):
                continue
            block = network.format_network(hit.base, hit.bits)
            yield failed(
                "resolv.conf",
                f"the name server {server} lies in {block} of {hit.device}: neither host nor containers reach it"
                if hit in every
                else f"the name server {server} lies in {block}, which docker0 gets: nobody here reaches it then",
                value=server,
                expected="a server outside of the networks of containers",
                severity=Severity.REQUIRED,
                path="/etc/resolv.conf",
                line=line,
                hint='give docker other networks: "bip" and "default-address-pools" in /etc/docker/daemon.json',
            )

    def _to_come(self, host: Host, routes: list[network.Route]) -> list[network.Route]:
        """Return the network that dockerd would give to docker0, as if it were routed there."""
        if engine.stage(host) == "before" or network.engine_option(host, "bridge", "") == "none":
            return []
        if host.exists("/sys/class/net/docker0"):
            return []
        given = network.parse_network(str(network.engine_option(host, "bip", "") or ""))
        if given is None and not network.engine_option(host, "default-address-pools", None):
            pools = (network.parse_network(text) for text in OLD_POOLS)
            given = next(
                (
                    p
                    for p in pools
                    if p and not any(r.bits and network.overlaps(p, (r.base, r.bits)) for r in routes)
                ),
                None,
            )
        return [network.Route(given[0], given[1], "docker0")] if given else []

    def _elsewhere(self, host: Host, server: str, block: network.Route) -> bool:
        """Return whether an address is known not to be this host's own."""
        try:
            return network.is_foreign(host, server)
        except Unavailable:
            # dockerd gives the bridge the first address of its network; of others there this host has none.
            address = network.parse_address(server)
            return block.device == "docker0" and address != block.base + 1

    def _kubelet(self, host: Host, loops: bool, when: str, gone: bool = False) -> Iterator[Finding]:
        """Say whether kubelet hands a loopback server to pods."""
        config = files.text(host, self.kubelet_config)
        if config is None:
            return
        chosen, line = "/etc/resolv.conf", None
        for number, text in enumerate(config.splitlines(), 1):
            key, colon, value = text.partition(":")
            if colon and key.strip() == "resolvConf":
                chosen, line = value.strip().strip("\"'") or chosen, number
        more = {"value": chosen, "path": self.kubelet_config, "line": line, "when": when}
        flag = kubelet.flags(host).get("resolv-conf")
        if flag is not None:
            chosen = flag.value
            more.update(value=chosen, path=flag.source.path, line=flag.source.line or None)
        yield from self._dot(host, chosen)
        if gone and chosen == "/etc/resolv.conf":
            yield failed(
                "kubelet resolvConf",
                f"{chosen} is not there, and the kubelet reads it for every pod: none starts",
                expected="a file with the site's servers",
                severity=Severity.REQUIRED,
                hint=f"write {chosen}, or name another file as resolvConf in {self.kubelet_config}",
                **more,
            )
        elif chosen != "/etc/resolv.conf" and not self._there(host, chosen):
            yield failed(
                "kubelet resolvConf",
                f"{chosen} is not there: no pod starts",
                expected="/etc/resolv.conf",
                severity=Severity.REQUIRED,
                commands=[
                    f"sed -i 's|^resolvConf:.*|resolvConf: /etc/resolv.conf|' {self.kubelet_config}",
                    "systemctl restart kubelet",
                ],
                hint="or start what writes it: systemctl enable --now systemd-resolved"
                if "systemd/resolve" in chosen
                else "",
                **more,
            )
        elif loops and chosen == "/etc/resolv.conf":
            real = "/run/systemd/resolve/resolv.conf"
            drop = f"sed -i '/^resolvConf:/d' {self.kubelet_config}"
            yield failed(
                "kubelet resolvConf",
                "pods get this host's loopback resolver: CoreDNS asks itself in a loop",
                expected=real,
                severity=Severity.REQUIRED,
                commands=[
                    drop,
                    f"echo 'resolvConf: {real}' >> {self.kubelet_config}",
                    "systemctl restart kubelet",
                ],
                **more,
            )
        else:
            yield passed("kubelet resolvConf", f"pods get {chosen}", **more)

    def _there(self, host: Host, path: str) -> bool:
        """Return whether a file is there; what lies in /run cannot be told before the host runs."""
        try:
            return host.exists(path) or (path.startswith("/run/") and host.kind != "live")
        except (PermissionError, Unavailable):
            return True

    def _dot(self, host: Host, chosen: str) -> Iterator[Finding]:
        """Say whether a kubelet of 1.25.0 hands on the `search .` of systemd-resolved."""
        number = found_version(host, "kubelet")
        if number is not None and not Version("1.25.0") <= number < Version("1.25.1"):
            return
        for path in (chosen, "/run/systemd/resolve/resolv.conf"):
            try:
                lines = (files.text(host, path) or "").splitlines()
            except Unavailable:
                continue
            for at, line in enumerate(lines, 1):
                if line.split()[:1] == ["search"] and "." in line.split():
                    yield failed(
                        "kubelet search domain",
                        "kubelet 1.25.0 hands `search .` to pods: names fail in images with musl (Alpine)",
                        value="search .",
                        expected="kubelet 1.25.1 or later",
                        # Where its release is not known it may be a later one, which leaves the dot out.
                        severity=Severity.REQUIRED if number else Severity.RECOMMENDED,
                        path=path,
                        line=at,
                        hint="upgrade the kubelet, or set Domains= in /etc/systemd/resolved.conf",
                    )
                    return
