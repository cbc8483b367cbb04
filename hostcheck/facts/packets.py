"""What the rules of iptables do to a packet, as far as the packet is known."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hostcheck._typing import Optional
from hostcheck.facts.network import overlaps, parse_target
from hostcheck.record import Record


class Chain(Record):
    """A chain as iptables-save prints it."""

    policy: str
    """`ACCEPT` or `DROP`; `-` where somebody made the chain."""
    rules: tuple[str, ...]


def chain(text: str, name: str, table: str = "filter") -> Chain | None:
    r"""Return a chain of the rules that iptables-save prints, None where there is none.

    >>> chain("*nat\n:MINE - [0:0]\nCOMMIT\n*filter\n:MINE - [0:0]\n-A MINE -j DROP\nCOMMIT\n", "MINE")
    Chain(policy='-', rules=('-A MINE -j DROP',))
    """
    current, policy, rules = "", "", []
    for line in text.splitlines():
        if line.startswith("*"):
            current = line[1:].strip()
        elif current == table and line.startswith(f":{name} "):
            policy = line.split()[1]
        elif current == table and line.startswith(f"-A {name} "):
            rules.append(line.strip())
    return Chain(policy, tuple(rules)) if policy else None


class Packet(Record):
    """What rules may ask of a packet of TCP; what is empty or None cannot be told."""

    into: str = ""
    """The interface that it comes in by."""
    out: str = ""
    """The interface that it leaves by."""
    source: Optional[tuple[int, int]] = None
    """Base and prefix length of a network: it comes from any address of that."""
    target: Optional[tuple[int, int]] = None
    """The same of where it goes."""
    reply: bool = False
    """Whether it belongs to a connection that was let through."""


_COMMENT = re.compile(r"""-m comment --comment (?:"[^"]*"|\S+)""")
_STATES = frozenset({"NEW", "ESTABLISHED", "RELATED", "INVALID", "UNTRACKED"})
"""States of conntrack that exclude one another; SNAT and DNAT do not."""
_BARE = ("conntrack", "state", "tcp")
"""Matches that ask for nothing by themselves."""
_GOES_ON = frozenset({"", "LOG", "NFLOG", "MARK", "CONNMARK", "TRACE", "TCPMSS", "CT", "NOTRACK"})
"""Targets after which the next rule is looked at (iptables-extensions(8))."""
_DROPS = ("DROP", "REJECT")


def _within(network: tuple[int, int] | None, text: str) -> bool | None:
    """Return whether all addresses of a network are of another one, None where some are or it cannot be told."""
    asked = parse_target(text)
    if network is None or asked is None:
        return None
    if not overlaps(network, asked):
        return False
    return True if asked[1] <= network[1] else None


def _fulfils(packet: Packet, word: str, value: str) -> bool | None:
    """Return whether a packet is what one condition of iptables-save asks for, None where it cannot be told."""
    if word in ("-i", "-o"):
        name = packet.into if word == "-i" else packet.out
        same = name.startswith(value[:-1]) if value.endswith("+") else name == value
        return same if name else None
    if word in ("-s", "-d"):
        return _within(packet.source if word == "-s" else packet.target, value)
    if word == "-p":
        return value in ("tcp", "all")
    if word in ("--ctstate", "--state"):
        states = set(value.split(","))
        if ("ESTABLISHED" if packet.reply else "NEW") in states:
            return True
        return False if states <= _STATES else None
    return True if word == "-m" and value in _BARE else None


def fits(packet: Packet, conditions: str) -> bool | None:
    """Return whether a packet fulfils all conditions of a rule, None where it cannot be told.

    >>> container = Packet(into="docker0", source=parse_target("172.17.0.0/16"))
    >>> fits(container, "-s 172.16.0.0/12"), fits(container, "! -i docker0")
    (True, False)
    >>> fits(container, "-i docker0 -p tcp -m tcp --dport 22"), fits(container, "-i lo -m limit")
    (None, False)
    """
    words, answers = conditions.split(), []
    for at, word in enumerate(words):
        if word.startswith("-"):
            answer = _fulfils(packet, word, words[at + 1] if at + 1 < len(words) else "")
            turned = at > 0 and words[at - 1] == "!" and answer is not None
            answers.append(not answer if turned else answer)
    return False if False in answers else None if None in answers else True


def reached(chain: Chain, packet: Packet) -> Iterator[tuple[str, str]]:
    """Yield the rules that such packets are sure to come to and to fulfil, each with its target, and last the policy.

    >>> list(reached(Chain("DROP", ("-A X -j LOG", "-A X -i lo -j ACCEPT")), Packet(into="docker0")))
    [('-A X -j LOG', 'LOG'), ('-P DROP', 'DROP')]
    >>> list(reached(Chain("DROP", ("-A X -i lo -j ACCEPT",)), Packet()))
    []
    """
    for rule in chain.rules:
        before, _, target = _COMMENT.sub("", rule).partition(" -j ")
        answer = fits(packet, " ".join(before.split()[2:]))
        if answer:
            yield rule, target
        name = target.partition(" ")[0]
        # What only may be dropped may also go on.
        if name not in _GOES_ON and (answer or (answer is None and name not in _DROPS)):
            return
    yield f"-P {chain.policy}", chain.policy


ANY = Packet(into="docker0")
"""Of a container, whatever its network."""


def drops(chain: Chain, packet: Packet = ANY) -> str | None:
    """Return the rule, or the policy, that drops every packet such as this one, None if there is none.

    >>> drops(Chain("-", ("-A X -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", "-A X -j DROP")))
    '-A X -j DROP'
    >>> drops(Chain("DROP", ("-A X -s 10.0.0.0/8 -j DROP",)))
    '-P DROP'
    >>> drops(Chain("DROP", ("-A X -s 10.0.0.0/8 -j RETURN", "-A X -j DROP")))
    >>> drops(Chain("ACCEPT", ("-A X -s 10.0.0.0/8 -j DROP",)))
    """
    return next((rule for rule, target in reached(chain, packet) if target.partition(" ")[0] in _DROPS), None)


def untracked(chain: Chain, packet: Packet = ANY) -> str | None:
    """Return the rule that keeps connections, and with them NAT, from every packet such as this one.

    >>> untracked(Chain("ACCEPT", ("-A PREROUTING -j CT --notrack",)))
    '-A PREROUTING -j CT --notrack'
    """
    names = ("NOTRACK", "CT --notrack")
    return next((rule for rule, target in reached(chain, packet) if target in names), None)
