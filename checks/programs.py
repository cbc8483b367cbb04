"""The engine's programs can run: their loader and libraries are there, and they are what their names say."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, Unavailable, failed, passed
from hostcheck.facts import docker, elf, engine, files, firewall, libraries

MOBY = "https://github.com/moby/moby/blob"
SMALLEST, SMALL = 4096, 512 * 1024
"""Bytes. A smaller program is a stub that tells nothing; a larger one is not worth the search through it: what engines
are replaced by, such as /bin/true, is between the two, and so are the real iptables and wrappers."""

MARKS = {
    "dockerd": (b"dockerd",),
    "containerd": (b"containerd",),
    "containerd-shim-runc-v2": (b"containerd",),
    "runc": (b"runc", b"crun", b"youki", b"kata"),
    "docker-proxy": (b"docker-proxy",),
    "iptables": (b"iptables",),
}
"""Texts of which each program, or a wrapper of it, has one in its bytes."""


def setting(host: Host, key: str) -> object:
    """Return a setting of dockerd, None where nothing sets it or its configuration cannot be read."""
    try:
        found = docker.effective(host).get(key)
    except (NotApplicable, PermissionError, Unavailable):
        return None
    return found.value if found else None


def uses_iptables(host: Host) -> bool:
    """Return whether dockerd is installed and writes its rules with iptables."""
    if engine.stage(host) == "before" or setting(host, "iptables") is False:
        return False
    return firewall.native(host) is None


def programs(host: Host) -> Iterator[tuple[str, str, Severity, str]]:
    """Yield the programs that are there: name, path, how bad it is without it, and what happens then.

    Raises:
        NotApplicable: neither docker nor containerd is installed, or docker is a snap, with its libraries inside.

    """
    if engine.stage(host) == "before" and engine.stage(host, "containerd") == "before":
        raise NotApplicable("no docker and no containerd is installed")
    if engine.is_snap(host):
        raise NotApplicable("the snap of docker has its programs and libraries inside")
    own = setting(host, "default-runtime") in (None, "", "runc")
    proxied = setting(host, "userland-proxy") is not False
    for name, needed, effect in (
        ("dockerd", True, "dockerd does not start"),
        ("containerd", True, "containerd does not start, nor does dockerd"),
        ("containerd-shim-runc-v2", True, "no container starts"),
        ("runc", own, "no container starts"),
        ("docker-proxy", proxied, "containers that publish ports do not start"),
        ("iptables", uses_iptables(host), "dockerd does not start"),
    ):
        path = files.which(host, name, engine.DOCKER_FOLDERS)
        if path is not None:
            yield name, path, Severity.REQUIRED if needed else Severity.INFO, effect


class ProgramsLoader(Check):
    """The loader and the libraries of the engine's programs are there.

    *Why*: a program whose library was removed, or that was copied from another distribution, is found and does not
    run: `error while loading shared libraries`, or `no such file or directory` where the loader itself is missing.

    *Needs*: the loader that each program names, or the interpreter of a script; its libraries in RUNPATH, in the
    folders of ld.so.conf or in the usual ones.

    *Fix*: install the library's package, or the program's package of this distribution.
    """

    id = "programs.loader"
    severity = Severity.REQUIRED
    references = (
        "https://man7.org/linux/man-pages/man8/ld.so.8.html",
        "https://man7.org/linux/man-pages/man2/execve.2.html",
        "https://github.com/opencontainers/runc/issues/2190",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        when = host.when
        some = False
        for name, path, severity, effect in programs(host):
            some = True
            absent = self._absent(host, path)
            where = {"path": path, "when": when, "expected": "present"}
            if absent:
                yield failed(
                    name,
                    f"{path} asks for {' and '.join(absent)}, not to be found: {effect}",
                    value="absent",
                    severity=severity,
                    hint=f"install what brings {absent[0]}, or the package of {name} again",
                    **where,
                )
            else:
                yield passed(
                    name, "what it asks for is there, or it asks for nothing", value="present", **where
                )
        if not some:
            raise Unavailable("no program of the engine is seen")

    def _absent(self, host: Host, path: str) -> tuple[str, ...]:
        """Return what a program asks for and is not there; nothing where it cannot be told."""
        head = host.read_bytes(path, limit=256)
        if head.startswith(b"#!"):
            words = head[2:].split(b"\n")[0].split()
            interpreter = words[0].decode("utf-8", "replace") if words else ""
            return () if not interpreter.startswith("/") or host.exists(interpreter) else (interpreter,)
        try:
            program = elf.elf(host, path)
        except elf.NotElf:
            return ()
        # A tree that was reduced to its configuration has no libraries at all.
        if program.interpreter is None or not host.exists("/bin/sh"):
            return ()
        if not host.exists(program.interpreter):
            return (program.interpreter,)
        try:
            return libraries.missing(host, program)
        except Unavailable:
            return ()


class ProgramsIdentity(Check):
    """The engine's programs are what their names say.

    *Why*: a link to /bin/true, left from a test or made to switch something off, is found and started, and does
    nothing: dockerd ends, or no container starts, with an exit status and no other word.

    *Needs*: a script, or a program that has its own name in its bytes, as wrappers have too.

    *Fix*: install the package that the program comes from again.
    """

    id = "programs.identity"
    severity = Severity.REQUIRED
    references = (
        f"{MOBY}/v20.10.24/vendor/github.com/docker/libnetwork/iptables/iptables.go",
        f"{MOBY}/v28.5.2/libnetwork/iptables/iptables.go",
        "https://github.com/containerd/go-runc/blob/main/runc.go",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        when = host.when
        some = False
        for name, path, severity, effect in programs(host):
            some = True
            target = host.resolve(path)
            where = {"path": path, "when": when, "expected": name, "value": posixpath.basename(target)}
            if self._is_other(host, name, target):
                yield failed(
                    name,
                    f"{path} is {target}, which is no {name}: {effect}",
                    severity=severity,
                    hint=f"install the package of {name} again",
                    **where,
                )
            else:
                yield passed(name, f"{path} may be what it is called", **where)
        if not some:
            raise Unavailable("no program of the engine is seen")

    def _is_other(self, host: Host, name: str, path: str) -> bool:
        """Return whether a program is whole, small, and nowhere has its name."""
        try:
            elf.elf(host, path)
        except elf.NotElf:
            # An empty or damaged file is a matter of runtime.executable; iptables is not among its programs.
            return name == "iptables" and not host.read_bytes(path, limit=2).startswith(b"#!")
        if not SMALLEST <= host.stat(path).size <= SMALL:
            return False
        content = host.read_bytes(path, limit=SMALL)
        return not any(mark in content for mark in MARKS[name])


EXTENSIONS = ("addrtype", "conntrack", "MASQUERADE", "DNAT", "standard")
"""The extensions in the rules that every dockerd writes (libnetwork/drivers/bridge/internal/iptabler)."""

OTHER_NAMES = {"DNAT": ("NAT",), "standard": ()}
"""Files that hold an extension beside the one of its name: iptables 1.8.8 put the NAT targets into one."""


class ProgramsIptablesExtensions(Check):
    """iptables has the extensions that dockerd's rules use.

    *Why*: iptables loads each match and target from a file of its own. Without them its version is printed as ever,
    and dockerd stops at its first rule: "Couldn't load match `conntrack'".

    *Needs*: in the folder xtables beside the system's libraries: addrtype, conntrack, MASQUERADE, DNAT, standard.
    A static iptables has them inside.

    *Fix*: install the package iptables again.
    """

    id = "programs.iptables_extensions"
    severity = Severity.REQUIRED
    references = (
        "https://man7.org/linux/man-pages/man8/iptables-extensions.8.html",
        f"{MOBY}/v28.5.2/libnetwork/drivers/bridge/internal/iptabler/iptabler.go",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if not uses_iptables(host):
            raise NotApplicable("no dockerd writes rules with iptables here")
        path = files.which(host, "iptables")
        if path is None:
            raise NotApplicable("there is no iptables: see firewall.iptables")
        target = host.resolve(path)
        try:
            program = elf.elf(host, target)
        except elf.NotElf:
            raise NotApplicable(f"{target} is no program: a wrapper of one, or damaged") from None
        if program.interpreter is None:
            raise NotApplicable("iptables is static, with its extensions inside")
        if not target.startswith(("/usr/", "/sbin/", "/bin/")) or not host.exists(program.interpreter):
            raise Unavailable(f"it is not known where {target} has its extensions")
        yield from self._judge(host, host.when)

    def _judge(self, host: Host, when: str) -> Iterator[Finding]:
        folders = [f"{folder}/xtables" for folder in host.fact(libraries.folders_of_loader)]
        there = {name: folder for folder in reversed(folders) for name in files.names(host, folder)}
        stems = {name.rpartition(".")[0].partition("_")[2] for name in there}
        for name in EXTENSIONS:
            if name in stems or stems.intersection(OTHER_NAMES.get(name, ())):
                yield passed(f"iptables {name}", "is there", value="present", expected="present", when=when)
            else:
                yield failed(
                    f"iptables {name}",
                    f"iptables has no extension {name}: dockerd cannot write its rules and does not start",
                    value="absent",
                    expected="present",
                    when=when,
                    commands=["apt-get install -y --reinstall iptables || dnf reinstall -y iptables-libs"],
                )
