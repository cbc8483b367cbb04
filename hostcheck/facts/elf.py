"""What an executable's own bytes say: its machine, its loader, and the version that Go's linker wrote into it.

Nothing is run, and of a program of 80 MB only the few sections that count are read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from hostcheck.host import Host, Unavailable
from hostcheck.record import Record

MACHINES: tuple[tuple[int, bool, tuple[str, ...]], ...] = (
    (62, True, ("x86_64", "amd64")),
    (3, False, ("i686", "i586", "i486", "i386")),
    (183, True, ("aarch64", "arm64")),
    (40, False, ("armv7l", "armv6l", "armv5tel", "armv8l", "armhf", "armel", "arm", "armv7hl")),
    (21, True, ("ppc64le", "ppc64el", "ppc64")),
    (22, True, ("s390x",)),
    (243, True, ("riscv64",)),
    (8, True, ("mips64", "mips64el")),
    (8, False, ("mips", "mipsel")),
    (258, True, ("loongarch64", "loong64")),
)
"""e_machine, whether it is a 64-bit class, and the names that kernels and distributions give it (elf.h)."""

_SECTION_LIMIT = 32 << 20
_HEADS_LIMIT = 1 << 20


class NotElf(Unavailable):
    """The file is no ELF executable, or a damaged one."""


class Section(Record):
    """A section of the file; `size` in bytes."""

    name: str
    kind: int
    address: int
    offset: int
    size: int


class Elf(Record):
    """An executable's headers."""

    path: str
    bits: int
    order: str
    """`<` or `>`, as struct has it."""
    machine: int
    interpreter: str | None
    """The loader that it asks for, None if it is static."""
    sections: tuple[Section, ...]

    @property
    def architecture(self) -> str:
        """The machine that it is for, as `uname -m` prints it there."""
        for number, wide, spelled in MACHINES:
            if number == self.machine and wide == (self.bits == 64):
                return spelled[0]
        return f"machine {self.machine}"

    def runs_on(self, architecture: str) -> bool:
        """Return whether a kernel of that architecture (`uname -m`, or a package's) runs it.

        64-bit x86 and ARM kernels run their 32-bit programs too, as distributions configure them.
        """
        own = {name for number, wide, names in MACHINES for name in names if self._is(number, wide)}
        if not own or architecture in own:
            return True
        pairs = {"x86_64": "i686", "amd64": "i686", "aarch64": "armv7l", "arm64": "armv7l"}
        return pairs.get(architecture) in own

    def _is(self, number: int, wide: bool) -> bool:
        return number == self.machine and wide == (self.bits == 64)

    def section(self, *names: str) -> Section | None:
        """Return the first section of one of these names."""
        return next((section for section in self.sections if section.name in names), None)


def elf(host: Host, path: str) -> Elf:
    """Read the headers of the program at `path`.

    Raises:
        FileNotFoundError, PermissionError: there is none, or it may not be read.
        NotElf: it is something else (a script, an empty file, a cut one).

    """
    head = host.read_bytes(path, limit=4096)
    if len(head) < 52 or head[:4] != b"\x7fELF":
        raise NotElf(f"{path} is no ELF program")
    try:
        return _parse(host, path, head)
    except (struct.error, IndexError, KeyError) as error:
        raise NotElf(f"{path} is a damaged ELF program ({error})") from None


def loader(host: Host, path: str) -> str | None:
    """Return the loader that a program asks for, None if it is static.

    Who writes a host down by hand tells what `ldd` printed, and has no program to show.

    Raises:
        FileNotFoundError: there is no such file.
        PermissionError, Unavailable: it cannot be read, or is no ELF executable.

    """
    if host.recording:
        # Never asked of a machine: ldd may run the program.
        try:
            return parse_ldd(host.run("ldd", path).out)
        except (OSError, Unavailable):
            pass
    return elf(host, path).interpreter


def parse_ldd(text: str) -> str | None:
    r"""Return the loader among the libraries that ldd lists, None for a static program.

    >>> parse_ldd("\tlibc.so.6 => /lib/libc.so.6\n\t/lib64/ld-linux-x86-64.so.2 (0x7f)\n")
    '/lib64/ld-linux-x86-64.so.2'
    >>> parse_ldd("\tnot a dynamic executable\n") is None
    True
    """
    for line in text.splitlines():
        words = line.split()
        if words and words[0].startswith("/") and words[1:2] != ["=>"]:
            return words[0]
    return None


def _parse(host: Host, path: str, head: bytes) -> Elf:
    bits = {1: 32, 2: 64}[head[4]]
    order = {1: "<", 2: ">"}[head[5]]
    if bits == 64:
        fields = struct.unpack_from(order + "HHIQQQIHHHHHH", head, 16)
    else:
        fields = struct.unpack_from(order + "HHIIIIIHHHHHH", head, 16)
    machine, program_at, sections_at = fields[1], fields[4], fields[5]
    program_size, programs, section_size, count, names_at = fields[8:13]
    interpreter = None
    table = _read(host, path, program_at, min(programs * program_size, _HEADS_LIMIT))
    for start in _starts(table, program_size, 56 if bits == 64 else 32):
        if bits == 64:
            kind, _flags, offset, _v, _p, size = struct.unpack_from(order + "IIQQQQ", table, start)
        else:
            kind, offset, _v, _p, size = struct.unpack_from(order + "IIIII", table, start)
        if kind == 3:
            interpreter = _read(host, path, offset, min(size, 4096)).rstrip(b"\0").decode("utf-8", "replace")
    sections = _sections(host, path, (bits, order, sections_at, section_size, count, names_at))
    return Elf(path, bits, order, machine, interpreter, sections)


def _starts(table: bytes, size: int, least: int) -> range:
    """Return where the entries of a header table begin; none where their size cannot be right."""
    return range(0, len(table) - size + 1, size) if size >= least else range(0)


def _sections(host: Host, path: str, where: tuple[int, str, int, int, int, int]) -> tuple[Section, ...]:
    bits, order, at, size, count, names_at = where
    if not at or not count:
        return ()
    table = _read(host, path, at, min(size * count, _HEADS_LIMIT))
    raw = []
    for start in _starts(table, size, 64 if bits == 64 else 40):
        if bits == 64:
            name, kind, _flags, address, offset, length = struct.unpack_from(order + "IIQQQQ", table, start)
        else:
            name, kind, _flags, address, offset, length = struct.unpack_from(order + "IIIIII", table, start)
        raw.append((name, kind, address, offset, length))
    if names_at >= len(raw):
        return ()
    strings = _read(host, path, raw[names_at][3], min(raw[names_at][4], _HEADS_LIMIT))
    return tuple(
        Section(strings[name : strings.index(b"\0", name)].decode("ascii", "replace"), *rest)
        for name, *rest in raw
        if b"\0" in strings[name:]
    )


def _read(host: Host, path: str, offset: int, size: int) -> bytes:
    return host.read_bytes(path, limit=size, offset=offset) if size else b""


class BuildInfo(Record):
    """What `go version -m` prints: how a Go program was built."""

    go: str
    """The toolchain, as `go1.19.8`."""
    path: str
    """The package of its main function, `` for builds without modules."""
    module: str
    version: str
    """The main module's version, `(devel)` where it was built from a checkout."""
    settings: tuple[tuple[str, str], ...]

    def setting(self, name: str) -> str:
        """Return a build setting, as `-ldflags` or `vcs.revision`."""
        return dict(self.settings).get(name, "")


def build_info(host: Host, program: Elf) -> BuildInfo | None:
    """Return how a Go program was built, None if it says nothing of it.

    Raises:
        FileNotFoundError, PermissionError, Unavailable: the file cannot be read any more.

    """
    section = program.section(".go.buildinfo")
    if section is None:
        return None
    data = _read(host, program.path, section.offset, min(section.size, _HEADS_LIMIT))
    start = data.find(b"\xff Go buildinf:")
    if start < 0 or len(data) < start + 32:
        return None
    size, flags = data[start + 14], data[start + 15]
    if flags & 2:
        # From Go 1.18 on both strings follow, each with its length before it.
        go, after = _counted(data, start + 32)
        modules, _after = _counted(data, after)
    elif size in (4, 8):
        order = ">" if flags & 1 else "<"
        pointers = struct.unpack_from(order + ("QQ" if size == 8 else "II"), data, start + 16)
        go, modules = (_string_at(host, program, pointer, order, size) for pointer in pointers)
    else:
        return None
    return parse_build_info(go, modules)


def _counted(data: bytes, start: int) -> tuple[bytes, int]:
    length = shift = 0
    while start < len(data):
        byte = data[start]
        start += 1
        length |= (byte & 127) << shift
        if byte < 128:
            break
        shift += 7
    return data[start : start + length], start + length


def _string_at(host: Host, program: Elf, header: int, order: str, size: int) -> bytes:
    """Return the string whose header (pointer, length) lies at an address."""
    raw = at_address(host, program, header, 2 * size)
    if len(raw) < 2 * size:
        return b""
    pointer, length = struct.unpack(order + ("QQ" if size == 8 else "II"), raw)
    return at_address(host, program, pointer, min(length, _HEADS_LIMIT))


def at_address(host: Host, program: Elf, address: int, size: int) -> bytes:
    """Return bytes by their address in memory; none where the file has none there."""
    for section in program.sections:
        # 8 is NOBITS: zeros that are not in the file.
        if (
            section.address
            and section.kind != 8
            and section.address <= address < section.address + section.size
        ):
            return _read(host, program.path, section.offset + address - section.address, size)
    return b""


def parse_build_info(go: bytes, modules: bytes) -> BuildInfo:
    r"""Read the two strings; the modules stand between two marks of 16 bytes.

    >>> info = parse_build_info(b"go1.19", b"x" * 16 + b"path\ta/cmd\nmod\ta\tv1.2.3\t\n" + b"x" * 16)
    >>> (info.path, info.module, info.version)
    ('a/cmd', 'a', 'v1.2.3')
    """
    text = modules[16:-16].decode("utf-8", "replace") if len(modules) > 32 else ""
    path = module = version = ""
    settings = []
    for line in text.split("\n"):
        fields = line.split("\t")
        if fields[0] == "path" and len(fields) > 1:
            path = fields[1]
        elif fields[0] == "mod" and len(fields) > 2:
            module, version = fields[1], fields[2]
        elif fields[0] == "build" and "=" in line:
            name, _equals, value = line[len("build\t") :].partition("=")
            settings.append((name, value.strip('"`')))
    return BuildInfo(go.decode("ascii", "replace"), path, module, version, tuple(settings))


def string_symbol(host: Host, program: Elf, endings: tuple[str, ...]) -> bytes:
    """Return the string in the Go variable whose full name ends so, by the symbol table; `` if stripped."""
    symbols, names = program.section(".symtab"), program.section(".strtab")
    if not endings or symbols is None or names is None or program.bits != 64:
        return b""
    entries = _read(host, program.path, symbols.offset, min(symbols.size, _SECTION_LIMIT))
    strings = _read(host, program.path, names.offset, min(names.size, _SECTION_LIMIT))
    for ending in endings:
        # Of many names only few end like this: first the name, then the entry that points to it.
        found = strings.find(ending.encode() + b"\0")
        while found >= 0:
            start = strings.rfind(b"\0", 0, found) + 1
            entry = entries.find(struct.pack(program.order + "I", start))
            while entry >= 0:
                if entry % 24 == 0:
                    address = struct.unpack_from(program.order + "Q", entries, entry + 8)[0]
                    text = _string_at(host, program, address, program.order, 8)
                    if text:
                        return text
                entry = entries.find(struct.pack(program.order + "I", start), entry + 1)
            found = strings.find(ending.encode() + b"\0", found + 1)
    return b""


def string_variables(host: Host, program: Elf, longest: int = 64) -> Iterator[bytes]:
    """Yield the short strings that the program's package variables hold when it starts.

    A Go string is a pointer and a length. What `-ldflags -X` or `go:embed` set lies in the data section as
    such a pair, or as a length beside a relocation in a position-independent program; so the version is
    found in stripped programs too.
    """
    section = program.section(".data")
    if section is None:
        return
    data = section_data(host, program, ".data")
    strings = [s for s in program.sections if s.name in (".rodata", ".noptrdata", ".data.rel.ro")]
    texts = {s.name: section_data(host, program, s.name) for s in strings}
    moved = _relocations(host, program, section)
    word = program.bits // 8
    values = struct.unpack(
        f"{program.order}{len(data) // word}{'Q' if word == 8 else 'I'}", data[: len(data) // word * word]
    )
    for index in range(len(values) - 1):
        length = values[index + 1]
        if not 2 < length <= longest:
            continue
        # What the loader will write counts, not what the linker left there: on arm64 that points elsewhere.
        pointer = moved.get(section.address + word * index) or values[index]
        for part in strings:
            if part.address <= pointer < part.address + part.size:
                start = pointer - part.address
                yield texts[part.name][start : start + length]


def section_data(host: Host, program: Elf, name: str) -> bytes:
    """Return what the file holds of a section; nothing where there is none."""
    section = program.section(name)
    if section is None or section.kind == 8:
        return b""
    return _read(host, program.path, section.offset, min(section.size, _SECTION_LIMIT))


def _relocations(host: Host, program: Elf, section: Section) -> dict[int, int]:
    """Return the addresses that the loader will write into a section, by where."""
    data = section_data(host, program, ".rela.dyn") if program.bits == 64 else b""
    end = section.address + section.size
    found = {}
    for where, _info, addend in struct.iter_unpack(program.order + "QQq", data[: len(data) // 24 * 24]):
        if section.address <= where < end:
            found[where] = addend
    return found
