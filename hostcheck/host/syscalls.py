"""What a few programs would print, had by the system calls that they make: none is started, and none need be there.

A recording keeps the answer as that of the program, and who writes one down by hand types the program.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

from hostcheck.host import Completed

SECONDS = 2
"""How long the kernel may take to tell of its network."""

GETFLAGS = 0x6601 | struct.calcsize("l") << 16
"""FS_IOC_GETFLAGS of linux/fs.h, without the direction, whose bits depend on the machine."""
READS_OTHERWISE = ("alpha", "mips", "parisc", "ppc", "sparc")
"""Machines on which a call that reads has the bits 0x40000000, and not 0x80000000 (their asm/ioctl.h)."""
FLAGS = {0x10: "i", 0x20: "a"}
"""Attributes of a file, and the letters that lsattr has for them: immutable, and append only."""

GETADDR, GETRULE = 22, 34
TABLES = {253: "default", 254: "main", 255: "local"}
"""Of linux/rtnetlink.h, in the words of ip(8)."""

LOOKUP, ACTIONS = 1, {6: "blackhole", 7: "unreachable", 8: "prohibit"}
INVERTED = 2
TO, FROM, PRIORITY, MARK, SHORTEST, TABLE = 1, 2, 6, 10, 14, 15
INTERFACES = {3: "iif", 17: "oif"}
TOLD = {TO, FROM, PRIORITY, MARK, SHORTEST, TABLE, *INTERFACES, 11, 16, 18, 21}
"""What a rule may say that is no further condition: the last are a realm, the mask of a mark, nothing, and who made it.
Of linux/fib_rules.h."""
NO_LENGTH = 0xFFFFFFFF


def answer(argv: tuple[str, ...]) -> Completed | None:
    """Return what a program would print, None where only the program itself can tell."""
    try:
        if argv == ("ip", "-4", "rule"):
            return Completed(argv, 0, "".join(map(rule, _dump(GETRULE))), "")
        if argv[:-1] == ("ip", "-4", "-o", "addr", "show", "dev"):
            found = (address(message, argv[-1]) for message in _dump(GETADDR))
            return Completed(argv, 0, "".join(found), "")
    except OSError:
        # Where a filter of system calls forbids these sockets, it may still be asked.
        return None
    if argv[:-1] == ("lsattr", "-d"):
        try:
            return Completed(argv, 0, f"{_attributes(argv[-1])} {argv[-1]}\n", "")
        except OSError as error:
            return Completed(argv, 1, "", f"lsattr: {error.strerror} While reading flags on {argv[-1]}\n")
    return None


def _attributes(path: str) -> str:
    """Return the attributes of a folder: letters, as lsattr has them."""
    # Imported here: few runs of checks ask for attributes.
    import fcntl

    direction = 0x40000000 if os.uname().machine.startswith(READS_OTHERWISE) else 0x80000000
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        said = fcntl.ioctl(folder, direction | GETFLAGS, bytes(struct.calcsize("l")))
    finally:
        os.close(folder)
    (bits,) = struct.unpack_from("I", said)
    return "".join(letter if bits & bit else "-" for bit, letter in FLAGS.items())


def _dump(kind: int) -> Iterator[bytes]:
    """Yield the messages that the kernel has of a kind for IPv4, as rtnetlink(7) puts them.

    Raises:
        OSError: it says nothing.

    """
    # The public module costs 4 ms, for what is not needed here.
    import _socket

    door = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW | _socket.SOCK_CLOEXEC, 0)
    try:
        door.settimeout(SECONDS)
        # The flags 0x301: NLM_F_REQUEST and NLM_F_DUMP. The body: a family, and zeros.
        door.send(struct.pack("=IHHII", 28, kind, 0x301, 1, 0) + struct.pack("B11x", _socket.AF_INET))
        while True:
            data = door.recv(1 << 16)
            at = 0
            while at + 16 <= len(data):
                size, type_, *_ = struct.unpack_from("=IHHII", data, at)
                if type_ == 2:  # NLMSG_ERROR
                    raise OSError("the kernel does not tell")
                if type_ == 3 or size < 16:  # NLMSG_DONE
                    return
                yield data[at + 16 : at + size]
                at += size + 3 & ~3
    finally:
        door.close()


def _details(message: bytes, start: int) -> Iterator[tuple[int, bytes]]:
    """Yield the attributes of a message: each its kind, and its bytes."""
    while start + 4 <= len(message):
        size, kind = struct.unpack_from("=HH", message, start)
        if size < 4:
            return
        yield kind, message[start + 4 : start + size]
        start += size + 3 & ~3


def _dotted(data: bytes) -> str:
    return ".".join(str(byte) for byte in data[:4])


def _network(data: bytes | None, bits: int) -> str:
    """Return an address and the length of its prefix, which ip(8) leaves out where it is that of one address."""
    if data is None:
        return "all"
    return _dotted(data) + ("" if bits == 32 else f"/{bits}")


def rule(message: bytes) -> str:
    r"""Return a rule of routing as a line of `ip -4 rule`; a condition that has no name here has its number.

    >>> head = bytes([2, 0, 16, 0, 0, 0, 0, 6, 0, 0, 0, 0])
    >>> rule(head + bytes([8, 0, 2, 0, 172, 17, 0, 0]) + bytes([8, 0, 6, 0, 9, 0, 0, 0]))
    '9:\tfrom 172.17.0.0/16 blackhole\n'
    """
    _family, to_bits, from_bits, tos, table, _, _, action, flags = struct.unpack_from("=BBBBBBBBI", message)
    said = dict(_details(message, 12))
    numbers = {kind: struct.unpack("=I", data)[0] for kind, data in said.items() if len(data) == 4}
    words = [f"from {_network(said.get(FROM), from_bits)}"]
    words += [f"to {_network(said[TO], to_bits)}"] if TO in said else []
    words += [f"tos {tos:#04x}"] if tos else []
    words += [f"fwmark {numbers[MARK]:#x}"] if MARK in numbers else []
    words += [f"{name} {_text(said[kind])}" for kind, name in INTERFACES.items() if kind in said]
    words += [f"condition {kind}" for kind in said if kind not in TOLD]
    if action == LOOKUP:
        found = numbers.get(TABLE, table)
        words.append(f"lookup {TABLES.get(found, found)}")
        length = numbers.get(SHORTEST, NO_LENGTH)
        words += [f"suppress_prefixlength {length}"] if length != NO_LENGTH else []
    else:
        words.append(ACTIONS.get(action, f"action {action}"))
    return f"{numbers.get(PRIORITY, 0)}:\t{'not ' if flags & INVERTED else ''}{' '.join(words)}\n"


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode("utf-8", "replace")


def address(message: bytes, device: str) -> str:
    r"""Return an address of an interface as a line of `ip -4 -o addr`, nothing for one of another interface.

    >>> label = bytes([12, 0, 3, 0]) + b"docker0\0"
    >>> address(bytes([2, 24, 0, 0, 4, 0, 0, 0, 8, 0, 2, 0, 10, 9, 0, 1]) + label, "docker0")
    '4: docker0    inet 10.9.0.1/24 docker0\n'
    """
    _family, bits, _flags, _scope, index = struct.unpack_from("=BBBBI", message)
    said = dict(_details(message, 8))
    local, label = said.get(2) or said.get(1, b""), _text(said.get(3, b""))
    # A label may be docker0:1.
    if len(local) != 4 or label.partition(":")[0] != device:
        return ""
    return f"{index}: {device}    inet {_dotted(local)}/{bits} {label}\n"
