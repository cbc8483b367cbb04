"""Packages as rpm's database holds them."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Union

Fields = Mapping[int, Union[str, int, Sequence[str], Sequence[int]]]


def header(fields: Fields) -> bytes:
    """Build a package header as rpm stores it: numbers, texts and lists of either by tag."""
    index, data = b"", b""
    for tag, value in sorted(fields.items()):
        listed = [value] if isinstance(value, (str, int)) else list(value)
        if isinstance(listed[0], int):
            data += b"\0" * (-len(data) % 4)
            kind, raw = 4, b"".join(struct.pack(">I", each) for each in listed)
        else:
            kind = 6 if isinstance(value, str) else 8
            raw = b"".join(f"{each}\0".encode() for each in listed)
        index += struct.pack(">IIiI", tag, kind, len(data), len(listed))
        data += raw
    return struct.pack(">II", len(fields), len(data)) + index + data


def package(
    name: str, version: str, release: str, epoch: int = 0, programs: Sequence[str] = (), arch: str = "x86_64"
) -> bytes:
    """Build the header of a package whose files are these programs in /usr/bin."""
    fields: dict[int, Union[str, int, Sequence[str], Sequence[int]]] = {
        1000: name,
        1001: version,
        1002: release,
        1022: arch,
    }
    if programs:
        fields.update({1116: [0] * len(programs), 1117: programs, 1118: ["/usr/bin/"]})
    if epoch:
        fields[1003] = epoch
    return header(fields)
