"""The loader and the shared libraries that a program asks for, and where the loader looks for them.

Source: ld.so(8), ldconfig(8), elf(5); for musl its ldso/dynlink.c.
"""

from __future__ import annotations

import posixpath
import struct
from collections.abc import Iterator

from hostcheck.facts import elf
from hostcheck.facts.files import names, text
from hostcheck.host import Host, Unavailable
from hostcheck.record import Record

_NEEDED, _RPATH, _RUNPATH = 1, 15, 29
"""Tags of the dynamic section (elf.h)."""

_DYNAMIC_LIMIT = 1 << 16
_NAME_LIMIT = 4096
_INCLUDES_LIMIT = 100
_SYMBOLS_LIMIT = 1 << 18

DEFAULT = ("/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib", "/lib32", "/usr/lib32")


HEAD = 20
"""Bytes at the start of an ELF file, up to the machine that it is for."""

PRELOAD = "/etc/ld.so.preload"


def preloaded(text: str) -> tuple[str, ...]:
    r"""Return the libraries that ld.so.preload names (rtld.c).

    >>> preloaded("# of an agent\n/lib/a.so:/lib/b.so # both\n")
    ('/lib/a.so', '/lib/b.so')
    """
    lines = (line.partition("#")[0] for line in text.splitlines())
    return tuple(name for line in lines for name in line.replace(":", " ").split())


class Dynamic(Record):
    """What a program's dynamic section says."""

    needed: tuple[str, ...]
    """Libraries by name, as `libc.so.6`."""
    paths: tuple[str, ...]
    """Folders in which they are looked for first, as written: `$ORIGIN` is not put in."""


def dynamic(host: Host, program: elf.Elf) -> Dynamic:
    """Return what a program asks its loader for; nothing for a static one, or one without section headers."""
    section, strings = program.section(".dynamic"), program.section(".dynstr")
    if section is None or strings is None:
        return Dynamic((), ())
    data = host.read_bytes(program.path, min(section.size, _DYNAMIC_LIMIT), section.offset)
    entry = struct.Struct(program.order + ("QQ" if program.bits == 64 else "II"))
    found: dict[int, list[str]] = {_NEEDED: [], _RPATH: [], _RUNPATH: []}
    for tag, value in entry.iter_unpack(data[: len(data) // entry.size * entry.size]):
        if tag in found and value < strings.size:
            # One by one: the names of all that dockerd exports, a megabyte, lie there too.
            name = host.read_bytes(program.path, _NAME_LIMIT, strings.offset + value).partition(b"\0")[0]
            found[tag].append(name.decode("utf-8", "replace"))
    # RPATH counts only where there is no RUNPATH.
    listed = found[_RUNPATH] or found[_RPATH]
    return Dynamic(tuple(found[_NEEDED]), tuple(part for each in listed for part in each.split(":") if part))


def missing(host: Host, program: elf.Elf) -> tuple[str, ...]:
    """Return the libraries that the loader will not find.

    Raises:
        Unavailable: not one of them is found, so it is not known where libraries lie here.

    """
    asked = dynamic(host, program)
    origin = posixpath.dirname(host.resolve(program.path))
    own = [part.replace("${ORIGIN}", origin).replace("$ORIGIN", origin) for part in asked.paths]
    folders = (*own, *host.fact(folders_of_loader))
    absent = tuple(
        name for name in asked.needed if "/" not in name and not _found(host, name, folders, program)
    )
    # A part with $LIB or $PLATFORM leads we know not where.
    if absent and (len(absent) == len(asked.needed) or any("$" in folder for folder in own)):
        raise Unavailable(f"it is not known where the libraries of {program.path} lie")
    return absent


def unresolved(host: Host, program: elf.Elf, library: str, prefix: str) -> tuple[str, ...]:
    """Return the functions whose names begin so that a program takes from a library, and that it does not have.

    Nothing where the program does not ask for it, where it lies nowhere, or where either tells no names.
    """
    if library not in dynamic(host, program).needed:
        return ()
    path = _found(host, library, host.fact(folders_of_loader), program)
    try:
        there = symbols(host, elf.elf(host, path), prefix)[1] if path else ()
    except elf.NotElf:
        there = ()
    return tuple(name for name in symbols(host, program, prefix)[0] if name not in there) if there else ()


def symbols(host: Host, file: elf.Elf, prefix: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names with a beginning that a file asks its loader for, and those that it has for others."""
    section, strings = file.section(".dynsym"), file.section(".dynstr")
    if section is None or strings is None or max(section.size, strings.size) > _SYMBOLS_LIMIT:
        return (), ()
    entries = host.read_bytes(file.path, section.size, section.offset)
    names = host.read_bytes(file.path, strings.size, strings.offset)
    # The name comes first; the section, 0 for what is asked for, comes in the middle or, with 32 bits, at the end.
    entry = struct.Struct(file.order + ("I2xHQQ" if file.bits == 64 else "III2xH"))
    found: tuple[list[str], list[str]] = ([], [])
    for fields in entry.iter_unpack(entries[: len(entries) // entry.size * entry.size]):
        name = names[fields[0] : names.find(b"\0", fields[0])]
        if name.startswith(prefix.encode()):
            found[fields[1 if file.bits == 64 else 3] != 0].append(name.decode("ascii", "replace"))
    return tuple(found[0]), tuple(found[1])


def _found(host: Host, name: str, folders: tuple[str, ...], program: elf.Elf) -> str | None:
    paths = (f"{folder}/{name}" for folder in folders)
    return next((path for path in paths if host.exists(path) and suits(host, path, program)), None)


def suits(host: Host, path: str, program: elf.Elf) -> bool:
    """Return whether the loader of a program takes a library: one of its width and machine.

    What is there and cannot be read counts as good, and what a person wrote down.
    """
    if host.written_by_hand:
        return True
    try:
        head = host.read_bytes(path, HEAD)
    except (OSError, Unavailable):
        return True
    width = {32: 1, 64: 2}[program.bits]
    whole = len(head) == HEAD and head[:4] == b"\x7fELF" and head[4] == width
    return whole and struct.unpack_from(f"{program.order}H", head, 18)[0] == program.machine


def folders_of_loader(host: Host) -> tuple[str, ...]:
    """Return the folders in which a loader looks: those of ld.so.conf or of musl's path file, then the usual ones."""
    found = list(_configured(host, "/etc/ld.so.conf", 0))
    for name in names(host, "/etc"):
        if name.startswith("ld-musl-") and name.endswith(".path"):
            found += (text(host, f"/etc/{name}") or "").replace(":", "\n").split()
    found += DEFAULT
    for folder in ("/lib", "/usr/lib", "/usr/local/lib"):
        found += [f"{folder}/{name}" for name in names(host, folder) if "-linux-" in name]
    return tuple(dict.fromkeys(found))


def _configured(host: Host, path: str, depth: int) -> Iterator[str]:
    for line in (text(host, path) or "").splitlines():
        words = line.partition("#")[0].replace(",", " ").split()
        if words[:1] == ["include"]:
            for pattern in words[1:]:
                folder, _, ending = posixpath.join(posixpath.dirname(path), pattern).rpartition("/")
                listed = [name for name in names(host, folder) if name.endswith(ending.lstrip("*"))]
                for name in listed[:_INCLUDES_LIMIT] if depth < 3 else []:
                    yield from _configured(host, f"{folder}/{name}", depth + 1)
        elif words[:1] != ["hwcap"]:
            yield from (word.rstrip("/") for word in words if word.startswith("/"))
