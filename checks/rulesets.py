"""The host's own packet filter rules in files: what they do to packets that are forwarded for containers."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, Unavailable, failed, passed
from hostcheck.facts import engine, files, firewall, network, podman

BRIDGES = r"docker|br-|cni|flannel|podman|cali|cilium|veth|lxc|10\.244|10\.42|172\.1[6-9]"
"""What a rule names that somebody wrote for containers. Compiled where it is used, as few hosts have such rules."""


IP = ("ip", "inet")
"""Families of tables that see packets of IPv4; a table of a file that names none is of ip (nft(8))."""


TABLE = r"\btable\s+(?:(ip|ip6|inet|arp|bridge|netdev)\s+)?\S+\s*\{"


def base_chains(text: str, hook: str, families: tuple[str, ...] = IP) -> Iterator[tuple[int, list[str]]]:
    r"""Yield each base chain of an nftables file at a hook of the filter: its line, and its statements.

    >>> list(base_chains("table f {\n chain x {\n  type filter hook input priority 0; policy drop;\n }\n}", "input"))
    [(2, ['type filter hook input priority 0', 'policy drop'])]
    """
    clean = re.sub(r"#[^\n]*", "", text)
    tables = [(t.start(), t.group(1) or "ip") for t in re.finditer(TABLE, clean)]
    for found in re.finditer(r"\bchain\s+\S+\s*\{((?:[^{}]|\{[^{}]*\})*)\}", clean):
        words = [" ".join(each.split()) for each in re.split(r"[;\n]", found.group(1)) if each.strip()]
        family = next((name for place, name in reversed(tables) if place < found.start()), "ip")
        if family in families and any(re.match(rf"type filter hook {hook}\b", each) for each in words):
            yield clean.count("\n", 0, found.start()) + 1, words


def lets_through(statements: list[str]) -> bool:
    """Return whether a chain that drops may still accept packets of containers, or its rules cannot be told."""
    for each in statements:
        if each.startswith(("type ", "policy ")):
            continue
        first = re.search(r"\b(?:accept|jump|goto|vmap|include)\b|@", each)
        if first is None:
            continue
        # From another interface than those of containers.
        named = re.search(r"\biif(?:name)? (?:\{([^}]*)\}|(\S+))", each)
        if named and "$" not in named.group() and not re.search(BRIDGES, named.group()):
            continue
        # Replies to what was let out, and nothing else.
        if not re.fullmatch(
            r"(?:meta \S+ \S+ )?ct state (?:vmap )?\{?[a-z, :]+\}?(?: counter)? ?(?:accept)?", each
        ):
            return True
    return False


def is_node(host: Host, needed: str) -> bool:
    """Return whether a kubelet runs here or is to."""
    return needed == "yes" or (needed == "auto" and "kubelet" in engine.installed(host))


def drops(statements: list[str]) -> str:
    """Return what in a chain drops the packets of containers, empty if nothing does or it cannot be told."""
    last = statements[-1].removeprefix("counter ").split()[0]
    found = "policy drop" if "policy drop" in statements else last
    return found if found in ("policy drop", "drop", "reject") and not lets_through(statements) else ""


HOOKS = (
    (IP, ("prerouting", "forward", "postrouting"), "containers reach nothing, whatever the engine accepts"),
    (("arp",), ("input", "output"), "containers and this host do not find each other"),
    (
        ("bridge",),
        ("prerouting", "input", "output", "postrouting"),
        "containers do not reach this host, their gateway",
    ),
)
"""Where packets of containers pass: families of tables, hooks, and what comes of a chain there that drops all."""

OF_IPTABLES = r"(?ms)\btable ip (?:filter|nat|mangle|raw|security) \{.*?^\}"
"""Tables of iptables-nft, in which the engine puts its rules before those of others."""


def rules_now(host: Host) -> str | None:
    """Return the rules of nftables that hold now, but those of iptables; None where nobody can tell."""
    if host.kind != "live" or firewall.asking_loads(host, "nf_tables"):
        return None
    try:
        done = host.run("nft", "list", "ruleset")
    except (FileNotFoundError, PermissionError, Unavailable):
        return None
    return re.sub(OF_IPTABLES, "", done.out) if done.code == 0 else None


LOADED = ("/etc/nftables.conf", "/etc/sysconfig/nftables.conf", "/etc/nftables.nft")
"""The file that nftables.service loads, by distribution."""


def loaded(host: Host, paths: tuple[str, ...]) -> str:
    """Return the file that nftables.service loads at boot.

    Raises:
        NotApplicable: there is none, or nothing loads it.

    """
    path = next((each for each in paths if host.exists(each)), None)
    if path is None or not network.enabled(host, "nftables.service"):
        raise NotApplicable("nftables.service loads no rules here")
    return path


class RulesetsNftables(Check):
    """The host's nftables rules let the packets of containers through.

    *Why*: each base chain judges for itself: what the engine accepts in its own table, a chain of
    /etc/nftables.conf with `policy drop` still drops. Containers then reach nothing, and published ports are dead.

    *Needs*: what `nft list ruleset` tells now, and the file that nftables.service loads, where it is enabled: in each
    base chain of the hook `forward`, and of those before and after it, policy accept, or a rule that accepts more than
    replies. The same in chains of arp and bridge that see what containers send to this host.

    *Fix*: accept the interfaces of containers in that chain.
    """

    id = "rulesets.nftables"
    severity = Severity.REQUIRED
    references = (
        "https://wiki.nftables.org/wiki-nftables/index.php/Configuring_chains#Base_chain_priority",
        "https://docs.docker.com/engine/network/firewall-nftables/",
        "https://wiki.archlinux.org/title/Nftables#Working_with_Docker",
        "https://github.com/containers/netavark/issues/977",
    )
    paths: tuple[str, ...] = LOADED
    """Files that nftables.service loads, by distribution."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if not engine.installed(host):
            raise NotApplicable("no engine is installed")
        text = rules_now(host)
        if text is not None:
            yield from self._judge(text, "now", None)
        try:
            path = loaded(host, self.paths)
        except NotApplicable:
            if text is None:
                raise
            return
        yield from self._judge(files.text(host, path) or "", "boot", path)

    def _judge(self, text: str, when: str, path: str | None) -> Iterator[Finding]:
        silent = True
        for families, hooks, effect in HOOKS:
            for hook in hooks:
                for line, statements in base_chains(text, hook, families):
                    silent = False
                    yield self._told(hook, drops(statements), effect, when, path, line)
        if silent:
            text = "no chain of its own judges what is forwarded"
            yield passed("nftables forward", text, path=path, when=when)

    def _told(self, hook: str, dropped: str, effect: str, when: str, path: str | None, line: int) -> Finding:
        where = {
            "when": when,
            "expected": "the interfaces of containers accepted",
            "path": path,
            "line": line if path else None,
        }
        if not dropped:
            return passed(f"nftables {hook}", "lets more through than replies", **where)
        edit = [f"nano +{line} {path}", "systemctl reload nftables"] if path else ["nft list ruleset"]
        return failed(
            f"nftables {hook}",
            f"drops what comes there: {effect}",
            value=dropped,
            hint='add to that chain: iifname { "docker0", "br-*" } accept; oifname { "docker0", "br-*" } accept',
            commands=[*edit, "systemctl restart docker"],
            **where,
        )


class RulesetsNames(Check):
    """The host's nftables rules let containers ask podman's name server.

    *Why*: aardvark-dns listens at the address of each bridge, so what containers ask it is input to the host. netavark
    accepts what is forwarded only: a chain of the host with `policy drop` keeps containers from every name.

    *Needs*: where podman has aardvark-dns, in the file that nftables.service loads a base chain of the hook `input`
    whose policy is accept, or a rule in it for port 53 or the interfaces of containers.

    *Fix*: accept port 53 from the bridges in that chain.
    """

    id = "rulesets.names"
    severity = Severity.REQUIRED
    references = (
        "https://github.com/containers/netavark/issues/742",
        "https://github.com/containers/aardvark-dns",
    )
    paths: tuple[str, ...] = LOADED
    """Files that nftables.service loads, by distribution."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if engine.program(host, "podman") is None or podman.helper(host, "aardvark-dns") is None:
            raise NotApplicable("no podman with a name server of its own")
        path = loaded(host, self.paths)
        for line, statements in base_chains(files.text(host, path) or "", "input"):
            more = {"path": path, "line": line, "when": "boot", "expected": "port 53 of containers accepted"}
            if "policy drop" not in statements or any(map(asks_names, statements)):
                yield passed("nftables input", "lets containers ask for names", **more)
                return
            yield failed(
                "nftables input",
                "drops what containers ask podman's name server: they find no name",
                value="policy drop",
                hint='add to that chain: iifname "podman*" udp dport 53 accept',
                commands=[f"nano +{line} {path}", "systemctl reload nftables"],
                **more,
            )
            return
        yield passed("nftables input", "no chain of its own judges what comes in", path=path, when="boot")


def asks_names(rule: str) -> bool:
    r"""Return whether a rule may accept what containers ask a name server, or cannot be told.

    >>> [asks_names(each) for each in ("iifname \"podman0\" accept", "tcp dport 22 accept", "udp dport 53 accept")]
    [True, False, True]
    """
    if rule.startswith(("type ", "policy ")):
        return False
    if re.search(r"\b(?:jump|goto|vmap|include)\b|[@$]", rule):
        return "ct state" not in rule or "jump" in rule or "goto" in rule
    if not re.search(r"\baccept\b", rule):
        return False
    if re.search(r"\b(?:53|domain)\b", rule) or re.search(BRIDGES, rule):
        return True
    # Of another port, of replies, or of the host itself.
    return not re.search(r"\b(?:dport|sport|icmp\w*|ct state|iif(?:name)? \"?\w+|[is]addr)\b", rule)


class RulesetsIptables(Check):
    """The host's iptables rules let the packets of pods through.

    *Why*: dockerd puts its rules before those of others, flannel and others of Kubernetes behind them: a REJECT at the
    end of FORWARD, as cloud images bring it in /etc/iptables/rules.v4, then comes first, and pods reach neither
    each other nor the cluster's DNS.

    *Needs*: where the kubelet runs, no rule without a condition that drops or rejects in the chain FORWARD of the
    file that is loaded at boot.

    *Fix*: take the rule out of the file, and allow the cluster's ports in INPUT.
    """

    id = "rulesets.iptables"
    severity = Severity.REQUIRED
    references = (
        "https://docs.k3s.io/installation/requirements#networking",
        "https://github.com/flannel-io/flannel/blob/master/Documentation/troubleshooting.md",
        "https://github.com/k3s-io/k3s/issues/977",
    )
    needed: str = "auto"
    """Whether a kubelet is to run here: `yes`, `no`, or `auto` for whether one is installed."""
    files: tuple[tuple[str, str], ...] = (
        ("/etc/iptables/rules.v4", "netfilter-persistent.service"),
        ("/etc/sysconfig/iptables", "iptables.service"),
        ("/etc/iptables/iptables.rules", "iptables.service"),
    )
    """Each file, and the unit that loads it."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if not is_node(host, self.needed):
            raise NotApplicable("no kubelet here: dockerd's rules come before those of others")
        silent = True
        for path, unit in self.files:
            try:
                text = files.text(host, path)
            except Unavailable:
                continue
            if text is None or not network.enabled(host, unit):
                continue
            silent = False
            yield self._judge(path, text)
        if silent:
            raise NotApplicable("no rules of iptables are loaded at boot")

    def _judge(self, path: str, text: str) -> Finding:
        """Judge the chain FORWARD of a file."""
        table = ""
        for number, line in enumerate(text.splitlines(), 1):
            if line.startswith("*"):
                table = line[1:].strip()
            if table != "filter" or not re.match(r"-A FORWARD\b", line):
                continue
            if "ACCEPT" in line and re.search(BRIDGES, line):
                break
            if re.match(r"-A FORWARD -j (?:REJECT|DROP)\b", line):
                return failed(
                    "iptables FORWARD",
                    "rejects what is forwarded before the rules of the pods' network are asked",
                    value=line.strip(),
                    expected="no such rule",
                    path=path,
                    line=number,
                    when="boot",
                    commands=[
                        f"sed -i '{number}d' {path}",
                        "iptables -D " + line.strip().removeprefix("-A "),
                    ],
                )
        return passed("iptables FORWARD", "rejects nothing of pods", path=path, when="boot")


PODS = r"cni0|flannel|cali|cilium|weave|vxlan|\b10\.(?:42|43|244|245|96)\.|\b192\.168\.0\.0/16|/1[0-6]\b"
"""What a zone or a rule names that somebody wrote for pods: their interfaces, and networks wide enough for them."""


class RulesetsPods(Check):
    """The host's firewall knows the pods.

    *Why*: firewalld rejects what crosses interfaces that no zone allows, and ufw what pods send to the API server on
    their own node: `no route to host`, CoreDNS never gets ready. Both look like a broken network plugin.

    *Needs*: where the kubelet and firewalld or ufw are enabled, the pods' interface or network in a zone, or in a rule
    of ufw that allows it.

    *Fix*: allow the pods' network, or switch the firewall off, as k3s and others advise.
    """

    id = "rulesets.pods"
    severity = Severity.REQUIRED
    references = (
        "https://docs.k3s.io/installation/requirements#operating-systems",
        "https://github.com/flannel-io/flannel/issues/2055",
        "https://github.com/portainer/kubesolo/issues/146",
    )
    needed: str = "auto"
    """Whether a kubelet is to run here: `yes`, `no`, or `auto` for whether one is installed."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if not is_node(host, self.needed):
            raise NotApplicable("no kubelet here")
        silent = True
        zones = "/etc/firewalld/zones"
        if host.exists(firewall.FIREWALLD_CONF) and network.enabled(host, "firewalld.service"):
            silent = False
            default, line = firewall.conf(host, firewall.FIREWALLD_CONF).get("DefaultZone", ("public", 0))
            known = default == "trusted" or self._named(host, zones)
            more = {"path": firewall.FIREWALLD_CONF, "line": line or None, "when": "boot", "value": default}
            if known:
                yield passed("firewalld", "a zone names what pods have", **more)
            else:
                yield failed(
                    "firewalld",
                    "no zone names the pods: firewalld rejects what they send to one another and to services",
                    expected="cni0 or the pods' network in the zone trusted",
                    commands=[
                        "firewall-cmd --permanent --zone=trusted --add-interface=cni0 --add-source=10.42.0.0/16",
                        "firewall-cmd --reload",
                    ],
                    hint="with the network that your cluster gives to pods in place of 10.42.0.0/16",
                    **more,
                )
        source = firewall.ufw_enabled(host)
        if source is not None:
            silent = False
            yield self._ufw(host, source)
        if silent:
            raise NotApplicable("neither firewalld nor ufw is enabled")

    def _named(self, host: Host, folder: str) -> bool:
        """Return whether a file of a folder names pods; one that cannot be read may."""
        for name in files.names(host, folder):
            try:
                if name.endswith(".xml") and re.search(PODS, files.text(host, f"{folder}/{name}") or ""):
                    return True
            except (PermissionError, Unavailable):
                return True
        return False

    def _ufw(self, host: Host, source: files.Source) -> Finding:
        """Judge what ufw lets pods send to their own node."""
        more = {"path": source.path, "line": source.line, "when": "boot"}
        policy = firewall.conf(host, "/etc/default/ufw").get("DEFAULT_INPUT_POLICY", ("DROP", 0))[0]
        try:
            rules = "".join(files.text(host, f"/etc/ufw/{name}.rules") or "" for name in ("user", "before"))
        except (PermissionError, Unavailable):
            rules = "cni0"
        lines = [each for each in rules.splitlines() if each.startswith("-A") and "ACCEPT" in each]
        if policy == "ACCEPT" or any(re.search(PODS, each) or "6443" in each for each in lines):
            return passed("ufw", "a rule names what pods have", value=policy, **more)
        return failed(
            "ufw",
            "no rule allows the pods: they do not reach the API server on their own node",
            value=policy,
            expected="the pods' network allowed",
            commands=["ufw allow from 10.42.0.0/16", "ufw allow from 10.43.0.0/16", "ufw allow 6443/tcp"],
            hint="with the networks that your cluster gives to pods and services",
            **more,
        )
