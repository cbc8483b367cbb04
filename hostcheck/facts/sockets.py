"""Who listens on this host now: TCP ports, by the kernel's tables; and how long the path of a unix socket may be."""

from __future__ import annotations

from collections.abc import Iterator

from hostcheck.facts.files import text
from hostcheck.facts.os import architecture
from hostcheck.host import Host, Unavailable
from hostcheck.record import Record

LISTEN = "0A"
"""The state in the tables (include/net/tcp_states.h of Linux)."""

LONGEST = 107
"""Bytes of a unix socket's path, without the zero at its end (sun_path in unix(7))."""

EVERY4, EVERY6 = "0.0.0.0", "::"  # noqa: S104


class Listener(Record):
    """A TCP port that somebody listens on."""

    address: str
    port: int


def parse_proc_tcp(table: str, order: str = "little") -> Iterator[Listener]:
    r"""Give the listeners of /proc/net/tcp or tcp6 (proc_net_tcp.rst) of a machine of that byte order.

    >>> list(parse_proc_tcp("sl\n 0: 0100007F:2707 00000000:0000 0A 0\n 1: 0100007F:2708 0100007F:01BB 01 0\n"))
    [Listener(address='127.0.0.1', port=9991)]
    """
    for line in table.splitlines()[1:]:
        words = line.split()
        if len(words) < 4 or words[3] != LISTEN:
            continue
        address, _, port = words[1].partition(":")
        try:
            yield Listener(_address(bytes.fromhex(address), order), int(port, 16))
        except ValueError:
            continue


def _address(words: bytes, order: str) -> str:
    """Return an address of the table, whose words have the byte order of the machine."""
    import ipaddress  # only where somebody is asked for by address

    step = -1 if order == "little" else 1
    return str(ipaddress.ip_address(b"".join(words[at : at + 4][::step] for at in range(0, len(words), 4))))


def listeners(host: Host) -> tuple[Listener, ...]:
    """Return who listens now in the network namespace of this process.

    Raises:
        Unavailable: the host is not running, or its tables cannot be had.

    """
    return host.fact(_listeners)


def _listeners(host: Host) -> tuple[Listener, ...]:
    four = text(host, "/proc/net/tcp")
    if four is None:
        raise Unavailable("/proc/net/tcp does not exist")
    order = "big" if host.fact(architecture) in ("s390x", "ppc64") else "little"
    six = text(host, "/proc/net/tcp6") or ""
    return (*parse_proc_tcp(four, order), *parse_proc_tcp(six, order))


def is_loopback(name: str) -> bool:
    """Return whether a host name or address is this machine's own.

    >>> is_loopback("localhost"), is_loopback("127.0.0.5"), is_loopback("[::1]"), is_loopback("logs.example")
    (True, True, True, False)
    """
    return name in ("localhost", "::1", "[::1]") or name.startswith("127.")


def answers(host: Host, name: str, port: int) -> bool:
    """Return whether somebody listens where a connection to this machine's own `name` and `port` would end.

    `localhost` may be either family's, and a listener of `::` mostly takes IPv4 too: the doubt is in favour.
    """
    wanted = (
        {EVERY4, EVERY6, name.strip("[]")} if name != "localhost" else {EVERY4, EVERY6, "127.0.0.1", "::1"}
    )
    return any(found.port == port and found.address in wanted for found in listeners(host))


def taken(host: Host, address: str, port: int) -> bool:
    r"""Return whether somebody listens on a port so that nobody else can listen on `address` there.

    >>> from hostcheck.testing import FakeHost
    >>> table = "sl\n 0: 0100007F:2707 00000000:0000 0A 0\n"
    >>> host = FakeHost({"/proc/net/tcp": table})
    >>> [taken(host, address, 9991) for address in ("127.0.0.1", "0.0.0.0", "10.0.0.1", "::")]
    [True, True, False, True]
    """
    address = {"localhost": "127.0.0.1", "": EVERY4}.get(address, address.strip("[]"))
    for found in listeners(host):
        if found.port != port:
            continue
        # A listener of :: may have left IPv4 alone: the doubt is in favour.
        if found.address == address or found.address == (EVERY6 if ":" in address else EVERY4):
            return True
        if address == EVERY6 or (address == EVERY4 and ":" not in found.address):
            return True
    return False
