"""Rules of routing: which packets find their route elsewhere than in the main table."""

from __future__ import annotations

from hostcheck._typing import Optional
from hostcheck.facts import files, network
from hostcheck.host import Host, Unavailable
from hostcheck.record import Record

Network = tuple[int, int]
"""Base and prefix length."""

NOWHERE = ("blackhole", "unreachable", "prohibit")
EVERY: Network = (0, 0)


class Rule(Record):
    """A rule of routing; rules are tried in the order of their priority."""

    priority: int
    source: Optional[Network]
    """Where the packets come from, as the rule has it."""
    target: Optional[Network]
    """Where they go to."""
    table: str
    """A name or a number; empty where the rule has an action."""
    action: str
    marked: bool
    """Whether it is for packets with a mark."""
    other: bool
    """Whether it has conditions beside these, or is for all packets but these."""
    shortest: int
    """Routes of the table with a prefix of up to this length are passed over; -1: none."""
    text: str


def parse_ip_rule(text: str) -> list[Rule]:
    r"""Return the rules that `ip -4 rule` prints, in their order.

    >>> rule = parse_ip_rule("0:\tfrom all lookup local\n9:\tfrom 10.0.0.0/8 fwmark 0x1 blackhole\n")[1]
    >>> rule.priority, rule.source, rule.action, rule.marked, rule.other
    (9, (167772160, 8), 'blackhole', True, False)
    """
    found = []
    for line in text.splitlines():
        priority, _, rest = line.partition(":")
        if priority.isdecimal():
            found.append(_rule(int(priority), rest.split()))
    return sorted(found, key=lambda rule: rule.priority)


def _rule(priority: int, words: list[str]) -> Rule:
    said = {"from": "all", "to": "all", "lookup": "", "suppress_prefixlength": "-1", "fwmark": ""}
    action, other, at = "", False, 0
    while at < len(words):
        if words[at] in said and at + 1 < len(words):
            said[words[at]] = words[at + 1]
            at += 1
        elif words[at] in NOWHERE:
            action = words[at]
        else:
            other = True
        at += 1
    source, target = (_network(said[name]) for name in ("from", "to"))
    shortest = said["suppress_prefixlength"]
    return Rule(
        priority,
        source,
        target,
        said["lookup"],
        action,
        bool(said["fwmark"]),
        other or source is None or target is None,
        int(shortest) if shortest.isdecimal() else -1,
        " ".join(words),
    )


def _network(text: str) -> Network | None:
    return EVERY if text == "all" else network.parse_target(text)


def parse_fib_tables(text: str) -> dict[str, list[tuple[int, int, str]]]:
    r"""Return the routes of each table in /proc/net/fib_trie: base, prefix length, and kind.

    >>> parse_fib_tables("Id 52:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 172.16.0.0\n        /12 universe UNICAST\n")
    {'52': [(2886729728, 12, 'UNICAST')]}
    """
    tables: dict[str, list[tuple[int, int, str]]] = {}
    here, base = tables.setdefault("", []), None
    for line in text.splitlines():
        words = line.split()
        if line[:1].isalpha():
            here = tables.setdefault(words[-1].rstrip(":").lower(), [])
        elif words[:1] == ["|--"] and len(words) == 2:
            base = network.parse_address(words[1])
        elif len(words) >= 3 and words[0][:1] == "/" and words[0][1:].isdecimal() and base is not None:
            here.append((base, int(words[0][1:]), words[2]))
    del tables[""]
    return tables


def diverted(host: Host, inside: Network) -> Rule | None:
    """Return the rule for which the packets of a network are lost before the main table is asked, None if none is.

    Where it cannot be told, none is: a rule may have conditions that depend on the packet.
    """
    try:
        rules = parse_ip_rule(host.run("ip", "-4", "rule").out)
    except (OSError, Unavailable):
        return None
    return _on_the_way_out(rules, inside) or _on_the_way_in(host, rules, inside)


def _covers(outer: Network | None, inner: Network) -> bool:
    return outer is not None and network.covers(outer, inner)


def _on_the_way_out(rules: list[Rule], inside: Network) -> Rule | None:
    """Return the rule that drops what comes from a network."""
    for rule in rules:
        if rule.table == "local" or rule.marked or rule.target != EVERY or not _covers(rule.source, inside):
            continue
        if rule.other or rule.table:
            # Another table has its own way to other machines.
            return None
        return rule
    return None


def _on_the_way_in(host: Host, rules: list[Rule], inside: Network) -> Rule | None:
    """Return the rule that drops what goes to a network, or leads it elsewhere."""
    tables: dict[str, list[tuple[int, int, str]]] | None = None
    for rule in rules:
        if rule.table == "local" or rule.marked or not _covers(rule.target, inside):
            continue
        if rule.other or rule.source != EVERY:
            return None
        if rule.action:
            return rule
        if rule.table == "main":
            if rule.shortest < inside[1]:
                return None
            continue
        if tables is None:
            try:
                tables = parse_fib_tables(files.text(host, "/proc/net/fib_trie") or "")
            except (OSError, Unavailable):
                return None
        routes = [route for route in tables.get(rule.table, ()) if _covers(route[:2], inside)]
        best = max(routes, key=lambda route: route[1], default=None)
        if best is None or best[2] == "THROW" or best[1] <= rule.shortest:
            continue
        # A route to just this network may be docker0's own, which other tables are given too.
        return rule if best[1] < inside[1] else None
    return None
