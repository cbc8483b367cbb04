"""Executables read from their bytes: real ones of Debian, and ones built here byte by byte."""

from __future__ import annotations

import pathlib
import struct
import subprocess
import sys

import debs
import pytest

from hostcheck.facts import elf
from hostcheck.facts.files import which
from hostcheck.facts.versions import TOOLS, binary_version, parse_version_output, program_folders, tool_named
from hostcheck.host.root import RootHost
from hostcheck.testing import FakeHost

BASE = 0x400000


def program(
    strings: list[str],
    variable: str = "",
    info: tuple[bytes, bytes] | None = None,
    *,
    bits: int = 64,
    order: str = "<",
    machine: int = 62,
    moved: bool = False,
    left: int = 0,
    old_info: bool = False,
    interpreter: str = "",
) -> bytes:
    """Build a program like Go's linker does: texts in .rodata, their headers in .data.

    `variable` names the first one in a symbol table. `moved` leaves the pointers to relocations,
    with `left` more than they are to be where the linker left something there.
    """
    word, letter = bits // 8, "Q" if bits == 64 else "I"
    rodata = b"junk" + b"".join(text.encode() for text in strings)
    body: list[tuple[str, int, bytes]] = [(".rodata", 1, rodata)]
    start = 4096
    at = BASE + start
    data, relocations, place = b"\x01" * word, b"", at + 4
    data_at = BASE + start + len(rodata) + (-len(rodata) % 16)
    for text in strings:
        pointer = (place + left if left else 0) if moved else place
        relocations += struct.pack(order + "QQq", data_at + len(data), 8, place)
        data += struct.pack(order + letter * 2, pointer, len(text.encode()))
        place += len(text.encode())
    body.append((".data", 1, data))
    if info and old_info:
        # Up to Go 1.17: two pointers to string headers.
        here = data_at + len(data) + (-len(data) % 16)
        pieces = b"".join(info)
        first, second = here + 32, here + 32 + 2 * word
        texts = here + 32 + 4 * word
        body.append(
            (
                ".go.buildinfo",
                1,
                (b"\xff Go buildinf:" + bytes([word, order == ">"])).ljust(16, b"\0")
                + struct.pack(order + letter * 2, first, second).ljust(16, b"\0")
                + struct.pack(order + letter * 4, texts, len(info[0]), texts + len(info[0]), len(info[1]))
                + pieces,
            )
        )
    elif info:
        counted = b""
        for piece in info:
            length, sized = len(piece), b""
            while length > 127:
                sized += bytes([length & 127 | 128])
                length >>= 7
            counted += sized + bytes([length]) + piece
        raw = (b"\xff Go buildinf:" + bytes([word, 2])).ljust(32, b"\0") + counted
        body.append((".go.buildinfo", 1, raw))
    if moved:
        body.append((".rela.dyn", 4, relocations))
    if variable:
        body.append((".strtab", 3, b"\0other\0" + variable.encode() + b"\0"))
        entry = struct.pack(order + "IBBHQQ", 7, 1, 0, 1, data_at + word, 16)
        body.append((".symtab", 2, bytes(24) + entry))
    names, table, content = b"\0", b"", b""
    for name, kind, raw in body:
        fields = (
            len(names),
            kind,
            0,
            BASE + start + len(content),
            start + len(content),
            len(raw),
            0,
            0,
            0,
            0,
        )
        table += struct.pack(order + ("IIQQQQIIQQ" if bits == 64 else "IIIIIIIIII"), *fields)
        names += name.encode() + b"\0"
        content += raw + b"\0" * (-len(raw) % 16)
    fields = (len(names), 3, 0, 0, start + len(content), len(names) + 10, 0, 0, 0, 0)
    table += struct.pack(order + ("IIQQQQIIQQ" if bits == 64 else "IIIIIIIIII"), *fields)
    names += b".shstrtab\0"
    content += names
    size, header = (64, 64) if bits == 64 else (40, 52)
    segments = b""
    if interpreter:
        loader = interpreter.encode() + b"\0"
        place = start + len(content)
        content += loader
        if bits == 64:
            segments = struct.pack(order + "IIQQQQQQ", 3, 4, place, 0, 0, len(loader), len(loader), 1)
        else:
            segments = struct.pack(order + "IIIIIIII", 3, place, 0, 0, len(loader), len(loader), 4, 1)
    sections_at = start + len(content)
    head = b"\x7fELF" + bytes([2 if bits == 64 else 1, 1 if order == "<" else 2, 1]) + bytes(9)
    head += struct.pack(
        order + ("HHIQQQIHHHHHH" if bits == 64 else "HHIIIIIHHHHHH"),
        *(2, machine, 1, BASE, header, sections_at, 0, header),
        *(56 if bits == 64 else 32, bool(segments), size, len(body) + 1, len(body)),
    )
    return (head + segments).ljust(start, b"\0") + content + table


def info(*settings: str, path: str = "x/cmd/x", version: str = "(devel)") -> tuple[bytes, bytes]:
    text = "".join(f"build\t{setting}\n" for setting in settings)
    return b"go1.19.8", b"0" * 16 + f"path\t{path}\nmod\tx\t{version}\t\n{text}".encode() + b"1" * 16


SHAPES = [
    {"bits": 64, "order": "<"},
    {"bits": 64, "order": "<", "moved": True},
    {"bits": 64, "order": "<", "machine": 183, "moved": True, "left": 3},
    {"bits": 64, "order": ">", "machine": 22},
    {"bits": 64, "order": ">", "machine": 22, "moved": True},
    {"bits": 32, "order": "<", "machine": 40},
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("old", [False, True])
def test_stripped_programs(shape: dict[str, object], old: bool) -> None:
    strings = ["127.0.0.1:53", "1.0.0", "v1.6.24-1+deb12u3", "v1.6.24", "172.17.0.0/16", "0.4.0", "abc"]
    raw = program(strings, info=info(), old_info=old, **shape)  # type: ignore[arg-type]
    host = FakeHost({"/usr/bin/containerd": raw})
    read = elf.elf(host, "/usr/bin/containerd")
    assert [text.decode() for text in elf.string_variables(host, read)] == strings
    built = elf.build_info(host, read)
    assert built is not None
    assert (built.go, built.path, built.version) == ("go1.19.8", "x/cmd/x", "(devel)")
    found = binary_version(host, tool_named("containerd"), "/usr/bin/containerd")
    assert found.text == "v1.6.24"


@pytest.mark.parametrize(
    "tool, built, expected",
    [
        # The symbol table goes before everything else.
        (
            "dockerd",
            program(["20.10.9", "99.0.0"], "github.com/docker/docker/dockerversion.Version", info()),
            "20.10.9",
        ),
        # Then the linker's flags, then the version of the main module.
        (
            "dockerd",
            program(
                ["99.0.0"],
                info=info(
                    '-ldflags="-w -X \\"github.com/docker/docker/dockerversion.Version=24.0.7-rc.1\\" -X a.b=1"'
                ),
            ),
            "24.0.7-rc.1",
        ),
        ("runc", program(["99.0.0"], info=info(version="v1.2.3")), "1.2.3"),
        # A program of the library's own default version only.
        ("dockerd", program(["1.6.20+unknown"], info=info()), ""),
        ("containerd", program(["2.1.9+unknown", "1.1.0"], info=info()), "2.1.9"),
        # What go:embed took from a file ends with the line.
        ("runc", program(["1.2.5\n"], info=info()), "1.2.5"),
        # Not written in Go.
        ("runc", program(["1.2.5"]), ""),
        ("podman", program(["5.4.2"], info=info()), ""),
        ("docker-init", program(["tini version 0.19.0 - git.de40ad0\n"]), "0.19.0"),
        ("conmon", program(["conmon version 2.1.6\n"]), "2.1.6"),
        ("crun", program(["spec\0", "1.28\0", "%s version %s\n\0", "1.0.0\0"]), "1.28"),
        ("crun", program(["spec\0\0", "1.8.1\0\0\0", "crun\0\0", "%s version %s\n\0"]), "1.8.1"),
        ("crun", program(["%s version %s\n\0", "crun 0.17\0", "create\0", "1.0.0\0"]), "0.17"),
        ("crun", program(["spec\0", "1.0.0\0", "create\0", "%s version %s\n\0"]), ""),
    ],
)
def test_where_the_version_is_read(tool: str, built: bytes, expected: str) -> None:
    assert str(binary_version(FakeHost({"/x": built}), tool_named(tool), "/x")) == expected


def test_the_loader_and_the_machine() -> None:
    for bits, machine, names in (
        (64, 62, {"x86_64": True, "aarch64": False}),
        (32, 3, {"x86_64": True, "i686": True, "aarch64": False}),
        (64, 183, {"x86_64": False, "arm64": True, "armv7l": False}),
        (32, 40, {"aarch64": True, "armv7l": True, "armhf": True, "x86_64": False}),
        (64, 9999, {"x86_64": True}),
    ):
        raw = program(["x"], bits=bits, machine=machine, interpreter="/lib/ld-musl.so.1")
        read = elf.elf(FakeHost({"/x": raw}), "/x")
        assert read.interpreter == "/lib/ld-musl.so.1"
        assert {name: read.runs_on(name) for name in names} == names
    assert elf.elf(FakeHost({"/x": program(["x"])}), "/x").interpreter is None


@pytest.mark.parametrize(
    "junk", [b"", b"\x7fELF", b"#!/bin/sh", b"\x7fELF" + b"\xff" * 60, b"\x7fELF\x02\x01"]
)
def test_what_is_no_program(junk: bytes) -> None:
    with pytest.raises(elf.NotElf):
        elf.elf(FakeHost({"/x": junk}), "/x")


def test_damaged_programs_never_crash() -> None:
    whole = program(["1.2.3", "v2"], "main.version", info("-ldflags=x"), interpreter="/lib/ld.so")
    said = set()
    for place in [*range(0, 200), *range(4096, len(whole), 7)]:
        flipped = bytearray(whole)
        flipped[place] ^= 0xFF
        for junk in (bytes(flipped), whole[:place]):
            said.add(str(binary_version(FakeHost({"/x": junk}), tool_named("runc"), "/x")))
    assert {"1.2.3", ""} <= said


def test_the_python_that_runs_this() -> None:
    with open(sys.executable, "rb") as file:
        raw = file.read()
    read = elf.elf(FakeHost({"/x": raw}), "/x")
    assert read.architecture
    assert read.section(".text") is not None
    assert elf.build_info(FakeHost({"/x": raw}), read) is None


@pytest.mark.apt
def test_real_programs_say_in_their_bytes_what_they_print() -> None:
    tree = debs.need("docker.io", "containerd", "runc", "tini")
    host = RootHost(str(tree))
    compared: dict[str, str] = {}
    not_loaded: set[str] = set()
    for tool in TOOLS:
        path = next(
            (p for p in (which(host, n, program_folders(host, tool.name)) for n in tool.programs) if p), None
        )
        if path is None:
            continue
        real = pathlib.Path(str(tree) + path).resolve()
        ran = subprocess.run([real, *tool.arguments], capture_output=True, text=True, check=False)
        if ran.returncode != 0:
            if "error while loading shared libraries" in ran.stderr:
                not_loaded.add(tool.name)
            continue
        printed = parse_version_output(tool.name, ran.stdout or ran.stderr)
        assert printed.upstream
        assert str(binary_version(host, tool, path)) == str(printed), tool.name
        compared[tool.name] = str(printed)
    print(f"bytes and output agree for {len(compared)}: {compared}")
    assert {"dockerd", "containerd", "runc", "ctr", "containerd-shim-runc-v2"} <= {*compared, *not_loaded}


def test_headers_without_tables() -> None:
    """A program whose header tables are empty, or whose entries have no size, has no sections."""
    bare = b"\x7fELF\x02\x01\x01" + bytes(57)
    assert elf.elf(FakeHost({"/x": bare}), "/x").sections == ()
    assert elf.elf(FakeHost({"/x": bare[:60] + b"\x05" + bare[61:]}), "/x").sections == ()
