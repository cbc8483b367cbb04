"""The engine's programs can run: real ELF files of this machine stand in for them, with a library more or less."""

from __future__ import annotations

import importlib
import pathlib
import struct
from collections.abc import Mapping
from typing import Any

import engine_programs
import pytest

from hostcheck.facts import elf, libraries
from hostcheck.finding import Outcome
from hostcheck.testing import Content, FakeHost, ask

programs: Any = importlib.import_module("hostcheck.checks.programs")

LOADER = "/lib64/ld-linux-x86-64.so.2"


def program(
    *needed: str,
    interpreter: str = LOADER,
    runpath: str = "",
    words: bytes = b"",
    asks: tuple[str, ...] = (),
    has: tuple[str, ...] = (),
) -> bytes:
    """Build a program: headers, a loader, .dynamic, .dynstr, .dynsym and 8 KiB of texts, .rodata.

    It asks for libraries and functions, and has functions for others.
    """
    names = b"\0.dynamic\0.dynstr\0.shstrtab\0.rodata\0.dynsym\0"
    strings, offsets = b"\0", []
    for text in (*needed, runpath, *asks, *has):
        offsets.append(len(strings))
        strings += text.encode() + b"\0"
    tags = [(1, offset) for offset in offsets[: len(needed)]]
    tags += ([(29, offsets[len(needed)])] if runpath else []) + [(0, 0)]
    dynamic = b"".join(struct.pack("<QQ", *tag) for tag in tags)
    own = [False] * len(asks) + [True] * len(has)
    functions = zip(offsets[len(needed) + 1 :], own)
    symbols = bytes(24) + b"".join(struct.pack("<I2xHQQ", *each, 0, 0) for each in functions)
    loader = interpreter.encode() + b"\0" if interpreter else b""
    body, places = b"", []
    for part in (loader, dynamic, strings, names, symbols, words + b"x" * 8192):
        places.append((120 + len(body), len(part)))
        body += part
    sections_at = 120 + len(body)
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, sections_at, 0, 64, 56, bool(loader), 64, 6, 3)
    head += struct.pack("<IIQQQQQQ", 3, 4, places[0][0], 0, 0, places[0][1], places[0][1], 1)
    table = bytes(64)
    for name, kind, (at, size) in (
        (1, 6, places[1]),
        (10, 3, places[2]),
        (18, 3, places[3]),
        (28, 1, places[5]),
        (36, 11, places[4]),
    ):
        table += struct.pack("<IIQQQQIIQQ", name, kind, 0, 0, at, size, 0, 0, 1, 0)
    return head + body + table


def proxy(flags: bytes) -> bytes:
    """Build a docker-proxy that has these texts."""
    return program(interpreter="", words=flags)


GO = program(interpreter="")
DYNAMIC = program("libseccomp.so.2", "libc.so.6", words=b"runc dockerd containerd docker-proxy iptables")
CALLS = program(
    "libseccomp.so.2", "libc.so.6", asks=("seccomp_init", "seccomp_api_get", "malloc"), words=b"runc"
)
LIB = "/usr/lib/x86_64-linux-gnu"
XTABLES = {
    f"{LIB}/xtables/libxt_{name}.so": ""
    for name in ("addrtype", "conntrack", "MASQUERADE", "NAT", "standard")
}
HEALTHY: dict[str, Content] = {
    "/bin/sh": GO,
    LOADER: GO,
    f"{LIB}/libc.so.6": "",
    f"{LIB}/libseccomp.so.2": "",
    "/usr/sbin/dockerd": DYNAMIC,
    "/usr/bin/containerd": DYNAMIC,
    "/usr/bin/containerd-shim-runc-v2": DYNAMIC,
    "/usr/sbin/runc": DYNAMIC,
    "/usr/sbin/docker-proxy": DYNAMIC,
    "/usr/sbin/iptables": "-> xtables-nft-multi",
    "/usr/sbin/xtables-nft-multi": DYNAMIC,
    **XTABLES,
}
DAEMON = "/etc/docker/daemon.json"


def hosts(changes: Mapping[str, Content | None]) -> list[FakeHost]:
    files = {path: text for path, text in {**HEALTHY, **changes}.items() if text is not None}
    told = {"docker": "28.5.2", "stage": "installed"}
    return [FakeHost(files, kind=kind, assumptions=told) for kind in ("live", "root")]


def failures(name: str, changes: Mapping[str, Content | None]) -> dict[str, str]:
    """Return what a check finds wrong, by subject, the same on the running host as on its tree."""
    answers = []
    for host in hosts(changes):
        result = ask(getattr(programs, name), host)
        assert result.outcome in (Outcome.PASS, Outcome.FAIL), result.reason
        answers.append({f.subject: str(f.severity or result.severity) for f in result.failures})
    assert answers[0] == answers[1]
    return answers[0]


@pytest.mark.parametrize(
    ("changes", "want"),
    [
        ({}, {}),
        ({f"{LIB}/libseccomp.so.2": None}, dict.fromkeys(
            ("dockerd", "containerd", "containerd-shim-runc-v2", "runc", "docker-proxy", "iptables"), "required")),
        ({"/usr/sbin/runc": program("libgone.so.1", "libc.so.6")}, {"runc": "required"}),
        ({"/usr/sbin/runc": program("libgone.so.1", "libc.so.6"),
          DAEMON: '{"default-runtime": "crun", "runtimes": {"crun": {"path": "/usr/bin/crun"}}}'}, {"runc": "info"}),
        ({"/usr/sbin/docker-proxy": program("libgone.so.1", "libc.so.6"),
          DAEMON: '{"userland-proxy": false}'}, {"docker-proxy": "info"}),
        # Where no library is found it is not known where they lie, and a static program asks for none.
        ({"/usr/sbin/runc": program("libgone.so.1")}, {}),
        ({"/usr/sbin/runc": GO}, {}),
        ({"/usr/sbin/runc": program(interpreter="/lib/ld-musl-x86_64.so.1")}, {"runc": "required"}),
        ({"/usr/sbin/runc": program("libown.so", "libc.so.6", runpath="$ORIGIN/../own"), "/usr/own/libown.so": ""}, {}),
        ({"/usr/sbin/runc": program("libown.so", "libc.so.6"), "/etc/ld.so.conf": "include ld.so.conf.d/*.conf\n",
          "/etc/ld.so.conf.d/own.conf": "# mine\n/opt/own\n", "/opt/own/libown.so": ""}, {}),
        ({"/usr/sbin/runc": program("libown.so", "libc.so.6", runpath="/opt/$LIB")}, {}),
        ({"/usr/sbin/runc": CALLS, f"{LIB}/libseccomp.so.2": program(has=("seccomp_init",))},
         {"runc": "required"}),
        ({"/usr/sbin/runc": CALLS, f"{LIB}/libseccomp.so.2": program(has=("seccomp_init", "seccomp_api_get"))},
         {}),
        # A library that tells no names says nothing.
        ({"/usr/sbin/runc": CALLS, f"{LIB}/libseccomp.so.2": GO}, {}),
        ({"/usr/sbin/runc": "#!/none\n"}, {"runc": "required"}),
        ({"/usr/sbin/runc": "#! /bin/sh -e\nexec crun\n"}, {}),
        ({"/usr/sbin/xtables-nft-multi": "#!/usr/bin/env bash\n"}, {"iptables": "required"}),
        ({"/etc/ld.so.preload": "/usr/lib/libsnoopy.so\n"}, {"/etc/ld.so.preload": "required"}),
        ({"/etc/ld.so.preload": "/usr/lib/libsnoopy.so\n", "/usr/lib/libsnoopy.so": ""}, {}),
        ({"/etc/ld.so.preload": "/$LIB/libagent.so\n"}, {}),
        ({"/etc/ld.so.preload": "/usr/lib/libsnoopy.so\n", "/usr/sbin/xtables-nft-multi": GO}, {}),
        ({"/etc/ld.so.preload": "/usr/lib/libsnoopy.so\n", DAEMON: '{"iptables": false}'}, {}),
    ],
)  # fmt: skip
def test_loader(changes: dict[str, Content | None], want: dict[str, str]) -> None:
    assert failures("ProgramsLoader", changes) == want


FALSE = program("libc.so.6", words=b"coreutils")


@pytest.mark.parametrize(
    ("changes", "want"),
    [
        ({}, {}),
        ({"/usr/sbin/runc": "-> /bin/false", "/bin/false": FALSE}, {"runc": "required"}),
        ({"/usr/bin/containerd-shim-runc-v2": FALSE}, {"containerd-shim-runc-v2": "required"}),
        ({"/usr/sbin/iptables": "-> /bin/false", "/bin/false": FALSE}, {"iptables": "required"}),
        ({"/usr/sbin/iptables": "-> /bin/false", "/bin/false": FALSE, DAEMON: '{"iptables": false}'},
         {"iptables": "info"}),
        ({"/usr/sbin/xtables-nft-multi": ""}, {"iptables": "required"}),
        ({"/usr/sbin/xtables-nft-multi": '#!/bin/sh\nexec iptables-nft "$@"\n'}, {}),
        ({"/usr/sbin/xtables-nft-multi": "#!/bin/sh\nexec iptables-nft\n"}, {"iptables": "required"}),
        # What is found first counts.
        ({"/usr/local/sbin/runc": "#!/bin/false\n"}, {"runc": "required"}),
        ({"/usr/local/sbin/runc": "#!/usr/bin/env bash\nset -x\nexit 0\n"}, {"runc": "required"}),
        ({"/usr/local/sbin/runc": '#!/usr/bin/env bash\nexec /usr/sbin/runc "$@"\n'}, {}),
        ({"/usr/local/sbin/runc": "#!/usr/bin/python3\nimport os, sys\n"}, {}),
        ({"/usr/sbin/runc": "-> /usr/bin/crun", "/usr/bin/crun": program("libc.so.6", words=b"crun")}, {}),
        ({"/usr/sbin/runc": program("libc.so.6", words=b"/nix/store/x-runc/bin/.runc-wrapped")}, {}),
    ],
)  # fmt: skip
def test_identity(changes: dict[str, Content | None], want: dict[str, str]) -> None:
    files = {**HEALTHY, **changes}
    for kind in ("live", "root"):
        host = FakeHost(
            files,  # type: ignore[arg-type]
            kind=kind,
            modes={"/usr/sbin/xtables-nft-multi": 0o755},
            assumptions={"docker": "28.5.2", "stage": "installed"},
        )
        result = ask(programs.ProgramsIdentity, host)
        assert {f.subject: str(f.severity or result.severity) for f in result.failures} == want


@pytest.mark.parametrize(
    ("changes", "want"),
    [
        ({}, {}),
        (dict.fromkeys(XTABLES), {f"iptables {name}": "required" for name in programs.EXTENSIONS}),
        ({f"{LIB}/xtables/libxt_conntrack.so": None}, {"iptables conntrack": "required"}),
        # Up to 1.8.7 the NAT targets had a file each.
        ({f"{LIB}/xtables/libxt_NAT.so": None, f"{LIB}/xtables/libipt_DNAT.so": ""}, {}),
    ],
)
def test_iptables_extensions(changes: dict[str, Content | None], want: dict[str, str]) -> None:
    assert failures("ProgramsIptablesExtensions", changes) == want


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({DAEMON: '{"iptables": false}'}, Outcome.SKIP),
        ({"/usr/sbin/iptables": None}, Outcome.SKIP),
        ({"/usr/sbin/xtables-nft-multi": GO}, Outcome.SKIP),
        (
            {"/usr/sbin/iptables": "-> /nix/store/x/bin/iptables", "/nix/store/x/bin/iptables": DYNAMIC},
            Outcome.UNKNOWN,
        ),
    ],
)
def test_iptables_extensions_that_are_not_looked_for(
    changes: dict[str, Content | None], outcome: Outcome
) -> None:
    for host in hosts(changes):
        assert ask(programs.ProgramsIptablesExtensions, host).outcome is outcome


PACKAGES = "".join(
    f"Package: {name}\nStatus: install ok installed\nVersion: {version}\n\n"
    for name, version in (("docker.io", "26.1.5+dfsg1-9"), ("containerd", "1.7.24~ds1-6"))
)
UNIT = "[Service]\nExecStart={}\n"


@pytest.mark.parametrize("kind", ["live", "root"])
@pytest.mark.parametrize(
    ("laid", "outcome", "absent"),
    [
        ({}, Outcome.FAIL, ["dockerd", "containerd"]),
        ({"/usr/bin/containerd": DYNAMIC}, Outcome.FAIL, ["dockerd"]),
        ({"/usr/bin/containerd": DYNAMIC, "/usr/sbin/dockerd": DYNAMIC}, Outcome.PASS, []),
        # Where the unit starts them.
        (
            {
                "/usr/bin/containerd": DYNAMIC,
                "/srv/docker/dockerd": DYNAMIC,
                "/etc/systemd/system/docker.service": UNIT.format("/srv/docker/dockerd -H fd://"),
            },
            Outcome.PASS,
            [],
        ),
        (
            {
                "/usr/bin/containerd": DYNAMIC,
                "/etc/systemd/system/docker.service": UNIT.format("/usr/sbin/dockerd -H fd://"),
            },
            Outcome.FAIL,
            ["dockerd"],
        ),
        # A tree without programs.
        ({"/bin/sh": None}, Outcome.SKIP, []),
        ({"/var/lib/dpkg/status": ""}, Outcome.SKIP, []),
    ],
)
def test_present(laid: dict[str, Content | None], outcome: Outcome, absent: list[str], kind: str) -> None:
    there = {"/bin/sh": GO, "/var/lib/dpkg/status": PACKAGES, **laid}
    host = FakeHost({path: content for path, content in there.items() if content is not None}, kind=kind)
    host.written_by_hand = False
    result = ask(programs.ProgramsPresent, host)
    assert (result.outcome, [finding.subject for finding in result.failures]) == (outcome, absent)


@pytest.mark.parametrize(
    ("library", "absent"),
    [
        (program(), False),
        (b"", True),
        (program()[:18], True),
        (b"not ELF" * 9, True),
        # Of 32 bits, and of another machine.
        (program().replace(b"\x7fELF\x02", b"\x7fELF\x01"), True),
        (program().replace(struct.pack("<HH", 3, 62), struct.pack("<HH", 3, 183)), True),
    ],
)
def test_a_library_that_the_loader_does_not_take(library: bytes, absent: bool) -> None:
    whole = {
        path: program()
        for path in HEALTHY
        if path.startswith(LIB) and path.endswith((".so", ".so.6", ".so.2"))
    }
    for host in hosts({**whole, f"{LIB}/libseccomp.so.2": library}):
        host.written_by_hand = False
        failed = {finding.subject for finding in ask(programs.ProgramsLoader, host).failures}
        assert ("runc" in failed) == absent


@pytest.mark.parametrize("name", ["ProgramsLoader", "ProgramsIdentity", "ProgramsIptablesExtensions"])
def test_nothing_is_said_before_an_engine_is_installed(name: str) -> None:
    assert ask(getattr(programs, name), FakeHost({"/bin/sh": GO})).outcome is Outcome.SKIP


def test_real_programs_are_read_as_ldd_reads_them() -> None:
    """Oracle: what the loader itself says of programs of this machine."""
    import shutil
    import subprocess

    from hostcheck.host.live import LiveHost

    found = 0
    for name in ("bash", "python3", "git", "ssh", "mount"):
        path = shutil.which(name)
        if not path or not shutil.which("ldd"):
            continue
        host = LiveHost()
        path = str(pathlib.Path(path).resolve())
        try:
            binary = elf.elf(host, path)
        except elf.NotElf:
            continue
        if not binary.interpreter:
            continue
        listed = subprocess.run(["ldd", path], capture_output=True, text=True, timeout=30).stdout
        assert libraries.missing(host, binary) == ()
        for library in libraries.dynamic(host, binary).needed:
            assert library in listed
            found += 1
    assert found or not shutil.which("ldd")


@pytest.mark.parametrize(
    "docker, more, config, expected",
    [
        ("20.10.9", {"/usr/bin/docker-proxy": None}, "{}", {"docker-proxy": "required"}),
        ("26.1.5", {"/usr/bin/docker-proxy": None}, "{}", {"docker-proxy": "required"}),
        ("26.1.5", {"/usr/bin/docker-proxy": None}, '{"userland-proxy": false}', {}),
        (
            "26.1.5",
            {"/usr/bin/docker-proxy": None, "/usr/libexec/docker/docker-proxy": engine_programs.ELF},
            "{}",
            {"docker-proxy": "required"},
        ),
        (
            "27.0.1",
            {"/usr/bin/docker-proxy": None, "/usr/libexec/docker/docker-proxy": engine_programs.ELF},
            "{}",
            {},
        ),
        # From 25 on dockerd refuses such a file, which is another check's to say.
        ("24.0.7", {}, '{"userland-proxy-path": "/nonexistent"}', {"docker-proxy": "required"}),
        (
            "27.0.1",
            {"/usr/bin/docker-proxy": None, "/srv/proxy": engine_programs.ELF},
            '{"userland-proxy-path": "/srv/proxy"}',
            {},
        ),
        (
            "28.0.0",
            {"/usr/bin/docker-proxy": proxy(b"container-port")},
            "{}",
            {"docker-proxy": "required"},
        ),
        ("27.5.1", {"/usr/bin/docker-proxy": proxy(b"container-port")}, "{}", {}),
        (
            "28.0.0",
            {"/usr/bin/docker-proxy": proxy(b"use-listen-fdcontainer-port")},
            "{}",
            {},
        ),
        # Packed: nothing is seen of its flags.
        ("28.0.0", {"/usr/bin/docker-proxy": proxy(b"\xff\x00")}, "{}", {}),
        ("28.0.0", {"/usr/bin/docker-proxy": "#!/bin/sh\nexec /opt/docker-proxy container-port\n"}, "{}", {}),
        ("27.0.1", {"/usr/bin/docker-init": None}, "{}", {"docker-init": "info"}),
        ("27.0.1", {"/usr/bin/docker-init": None}, '{"init": true}', {"docker-init": "required"}),
        (
            "27.0.1",
            {"/usr/bin/docker-init": engine_programs.program(62, "/lib64/ld-linux-x86-64.so.2")},
            "{}",
            {"docker-init": "recommended"},
        ),
        ("27.0.1", {"/usr/bin/containerd-shim-runc-v2": None}, "{}", {"containerd-shim-runc-v2": "required"}),
        (
            "27.0.1",
            {
                "/usr/bin/containerd-shim-runc-v2": None,
                "/usr/bin/containerd": "-> /opt/c/containerd",
                "/opt/c/containerd": engine_programs.ELF,
                "/opt/c/containerd-shim-runc-v2": engine_programs.ELF,
            },
            "{}",
            {},
        ),
        (
            "19.03.9",
            {"/usr/bin/containerd-shim-runc-v2": None, "/usr/bin/containerd-shim": engine_programs.ELF},
            "{}",
            {},
        ),
    ],
)
def test_helpers(docker: str, more: dict[str, Content | None], config: str, expected: dict[str, str]) -> None:
    host = engine_programs.static({"dockerd": docker}, {"/etc/docker/daemon.json": config, **more})
    assert engine_programs.said(ask(programs.ProgramsHelpers, host)) == expected


@pytest.mark.parametrize(
    "version, path, expected",
    [
        ("20.10.24", None, {}),
        ("23.0.1", None, {"docker-buildx": "info"}),
        ("23.0.1", "/usr/libexec/docker/cli-plugins/docker-buildx", {}),
        ("29.1.0", "/usr/lib/docker/cli-plugins/docker-buildx", {}),
    ],
)
def test_buildx(version: str, path: str | None, expected: dict[str, str]) -> None:
    host = engine_programs.static(
        {"dockerd": version, "docker": version}, {path: engine_programs.ELF} if path else {}
    )
    assert engine_programs.said(ask(programs.ProgramsHelpers, host)) == expected


@pytest.mark.parametrize(
    "content, mode, value",
    [
        (b"", 0o755, "0 bytes"),
        (engine_programs.ELF[:30], 0o755, "no ELF file"),
        (b"<html>not found</html>", 0o755, "no ELF file"),
        (engine_programs.program(183), 0o755, "aarch64"),
        (engine_programs.ELF, 0o644, "0o644"),
    ],
)
@pytest.mark.parametrize("kind", ["live", "root"])
def test_executables(content: bytes, mode: int, value: str, kind: str) -> None:
    host = engine_programs.debian(more={"/usr/sbin/runc": content}, modes={"/usr/sbin/runc": mode}, kind=kind)
    result = ask(programs.ProgramsExecutable, host)
    assert engine_programs.said(result) == {"/usr/sbin/runc": "required"}
    assert result.failures[0].value == value
    assert result.failures[0].fix is not None
    assert result.failures[0].fix["commands"]


def test_a_script_is_a_program() -> None:
    host = engine_programs.debian(more={"/usr/bin/docker": "#!/bin/sh\nexec sudo docker\n"})
    assert ask(programs.ProgramsExecutable, host).outcome is Outcome.PASS


@pytest.mark.parametrize("machine, fine", [("x86_64", True), ("i686", False)])
def test_a_64_bit_program_among_32_bit_ones(machine: str, fine: bool) -> None:
    small = (
        b"\x7fELF\x01\x01\x01"
        + bytes(9)
        + struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, 0, 0, 0, 0, 52, 32, 0, 40, 0, 0)
    )
    host = engine_programs.debian(more={"/bin/sh": small}, commands={("uname", "-m"): machine + "\n"})
    assert (ask(programs.ProgramsExecutable, host).outcome is Outcome.PASS) is fine
    # On a tree nobody can say which kernel it will have.
    tree = engine_programs.debian(more={"/bin/sh": small}, kind="root")
    assert ask(programs.ProgramsExecutable, tree).outcome is Outcome.PASS
