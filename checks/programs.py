"""The engine's programs: there, whole, with their loader and libraries, and what their names say."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, Unavailable, Version, failed, passed
from hostcheck.facts import docker, elf, engine, files, firewall, libraries
from hostcheck.facts import os as os_facts
from hostcheck.facts.packages import owner
from hostcheck.facts.versions import found_tool

from . import _runtime_floors as floors
from ._engines import PROGRAMS, dated, engine_only, executable, none_seen

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


def uses_iptables(host: Host) -> bool:
    """Return whether dockerd is installed and writes its rules with iptables."""
    if engine.stage(host) == "before" or docker.setting(host, "iptables") is False:
        return False
    return firewall.native(host) is None


def programs(host: Host) -> Iterator[tuple[str, str, Severity, str]]:
    """Yield the programs that are there: name, path, how bad it is without it, and what happens then.

    Raises:
        NotApplicable: neither docker nor containerd is installed, or docker is a snap, with its libraries inside.
        Unavailable: none is there.

    """
    engine_only(host)
    if engine.is_snap(host):
        raise NotApplicable("the snap of docker has its programs and libraries inside")
    some = False
    own = docker.setting(host, "default-runtime") in (None, "", "runc")
    proxied = docker.setting(host, "userland-proxy") is not False
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
            some = True
            yield name, path, Severity.REQUIRED if needed else Severity.INFO, effect
    if not some:
        raise none_seen()


class ProgramsPresent(Check):
    """The programs of an installed engine are there.

    *Why*: a package stays installed where its program was removed by hand, lost with a file system, or moved away.
    The package database then still tells a version, and nothing starts.

    *Needs*: dockerd and containerd in the usual folders, or where their units name them, once a package brings them.

    *Fix*: install the package again.
    """

    id = "programs.present"
    severity = Severity.REQUIRED
    references = (
        "https://man7.org/linux/man-pages/man1/dpkg.1.html",
        "https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html#Process%20Exit%20Codes",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        silent = True
        for name, unit, program in (
            ("docker", "docker.service", "dockerd"),
            ("containerd", "containerd.service", "containerd"),
        ):
            if name not in engine.installed(host) or (name == "docker" and engine.is_snap(host)):
                continue
            silent = False
            path = engine.program(host, program) or self._named(host, unit, program)
            where = {"path": path, "when": host.when, "expected": "present"}
            if path:
                yield passed(program, f"{path} is there", value="present", **where)
            elif not self._is_whole(host) or (host.kind == "live" and host.pids(program)):
                raise NotApplicable(f"the package of {program} is installed, programs are not seen here")
            else:
                yield failed(
                    program,
                    f"its package is installed, and there is no {program}: it does not start",
                    value="absent",
                    hint=f"install the package of {program} again",
                    **where,
                )
        if silent:
            raise NotApplicable("no docker and no containerd is installed")

    def _named(self, host: Host, unit: str, program: str) -> str | None:
        """Return the program of a unit, None where that is not there either."""
        from hostcheck.facts import systemd  # only where a program is missing

        try:
            commands = systemd.exec_start(host, unit)
            paths = [word for command in commands for word in command.argv if word.endswith(f"/{program}")]
            return next((path for path in paths if host.exists(path)), None)
        except (OSError, Unavailable):
            return None

    def _is_whole(self, host: Host) -> bool:
        """Return whether its programs belong to what can be seen, unlike in a tree of /etc or what a person wrote."""
        return host.exists("/bin/sh") and not host.written_by_hand


class ProgramsLoader(Check):
    """The loader and the libraries of the engine's programs are there.

    *Why*: a program whose library was removed, or that was copied from another distribution, is found and does not
    run: `error while loading shared libraries`, or `no such file or directory` where the loader itself is missing.

    *Needs*: the loader that each program names, or the interpreter of a script; its libraries in RUNPATH, in the
    folders of ld.so.conf or in the usual ones; the functions of libseccomp that it calls. What /etc/ld.so.preload
    names, as agents that watch programs leave it: the loader complains and goes on, and dockerd takes the complaint for
    an error of iptables.

    *Fix*: install the library's package, or the program's package of this distribution; take the line out of
    /etc/ld.so.preload.
    """

    id = "programs.loader"
    severity = Severity.REQUIRED
    references = (
        "https://man7.org/linux/man-pages/man8/ld.so.8.html",
        "https://man7.org/linux/man-pages/man2/execve.2.html",
        "https://github.com/opencontainers/runc/issues/2190",
        f"{MOBY}/v28.5.2/libnetwork/iptables/iptables.go",
        "https://github.com/containerd/containerd/issues/6209",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        when = host.when
        if uses_iptables(host):
            yield from self._preloaded(host)
        for name, path, severity, effect in programs(host):
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

    def _preloaded(self, host: Host) -> Iterator[Finding]:
        """Judge what glibc's loader puts into every program, iptables among them."""
        for name in libraries.preloaded(files.text(host, libraries.PRELOAD) or ""):
            program = self._loaded(host, "iptables")
            # $LIB and $PLATFORM lead we know not where.
            if not name.startswith("/") or "$" in name or program is None:
                continue
            where = {"path": libraries.PRELOAD, "value": name, "expected": "present", "when": host.when}
            if host.exists(name) and libraries.suits(host, name, program):
                yield passed(libraries.PRELOAD, f"{name} is there", **where)
            else:
                yield failed(
                    libraries.PRELOAD,
                    f"names {name}, no library that is there: the loader says so when iptables runs, and dockerd stops",
                    commands=[f"sed -i 's#{name}##' {libraries.PRELOAD}"],
                    **where,
                )

    def _loaded(self, host: Host, name: str) -> elf.Elf | None:
        """Return the program that glibc's loader starts: the one of that name, or the shell of a script."""
        path = files.which(host, name)
        for each in (path, "/bin/sh") if path else ():
            try:
                program = elf.elf(host, host.resolve(each))
            except (elf.NotElf, FileNotFoundError):
                continue
            return program if "ld-linux" in (program.interpreter or "") else None
        return None

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
            absent = libraries.missing(host, program)
        except Unavailable:
            return ()
        # Of an archive, built for a newer distribution, as containerd's makers publish it.
        return absent or libraries.unresolved(host, program, "libseccomp.so.2", "seccomp_")


SHELLS = (b"sh", b"bash", b"dash", b"ash", b"ksh", b"zsh")


def hands_on_nothing(script: bytes) -> bool:
    r"""Return whether a script cannot start what it stands for: it sees no argument.

    >>> hands_on_nothing(b"#!/bin/false\n"), hands_on_nothing(b"#!/bin/sh\nexit 1\n")
    (True, True)
    >>> hands_on_nothing(b'#!/bin/sh\nexec runc.real "$@"\n'), hands_on_nothing(b"#!/usr/bin/python3\n")
    (False, False)
    """
    first, _, body = script[2:].partition(b"\n")
    words = [posixpath.basename(word) for word in first.split()]
    words = words[1:] if words[:1] in ([b"env"], [b"busybox"]) else words
    interpreter = words[0] if words else b""
    return interpreter in (b"true", b"false") or (interpreter in SHELLS and b"$" not in body)


class ProgramsIdentity(Check):
    """The engine's programs are what their names say.

    *Why*: a link to /bin/true, left from a test or made to switch something off, is found and started, and does
    nothing: dockerd ends, or no container starts, with an exit status and no other word.

    *Needs*: a program that has its own name in its bytes, as wrappers have too, or a script that can hand on what it
    is told: not one of /bin/false or /bin/true, and one of a shell only where it has a `$`.

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
        for name, path, severity, effect in programs(host):
            target = host.resolve(path)
            where = {"path": path, "when": when, "expected": name, "value": posixpath.basename(target)}
            if self._is_other(host, name, target):
                what = f"is {target}, which is no" if target != path else "is no"
                yield failed(
                    name,
                    f"{path} {what} {name}: {effect}",
                    severity=severity,
                    hint=f"install the package of {name} again",
                    **where,
                )
            else:
                yield passed(name, f"{path} may be what it is called", **where)

    def _is_other(self, host: Host, name: str, path: str) -> bool:
        """Return whether a program is whole, small, and nowhere has its name."""
        try:
            elf.elf(host, path)
        except elf.NotElf:
            content = host.read_bytes(path, limit=SMALL)
            if content.startswith(b"#!"):
                return hands_on_nothing(content)
            # An empty or damaged file is a matter of programs.executable; iptables is not among its programs.
            return name == "iptables"
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
        engine_only(host)
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


OLD_SHIMS = ("containerd-shim", "containerd-shim-runc-v1", "docker-containerd-shim")
"""Shims that docker before 20.10 starts containers with."""

PLUGINS = tuple(
    f"{folder}/docker/cli-plugins/docker-buildx"
    for folder in ("/usr/local/lib", "/usr/local/libexec", "/usr/lib", "/usr/libexec")
)
"""Where the client looks for buildx. Source: docker/cli's cli-plugins/manager/manager_unix.go."""


class ProgramsHelpers(Check):
    """The programs that dockerd starts are there.

    *Why*: without docker-proxy dockerd 25 and later does not start and earlier ones publish no port, nor does 28
    with an older one; without the shim no container starts; without docker-init `docker run --init` fails.

    *Needs*: docker-proxy in the search path (from 27 on in libexec folders first), unless userland-proxy is
    off, from 28 on with `-use-listen-fd`; containerd-shim-runc-v2 in the search path or beside containerd (docker
    20.10 and later); docker-init, static, since it is bound into containers of any C library. For builds,
    docker-buildx from 23 on.

    *Fix*: install the package whole, or copy all files of the static archive.
    """

    id = "programs.helpers"
    aliases = ("runtime.helpers",)
    severity = Severity.REQUIRED
    references = (
        "https://github.com/moby/moby/pull/47000",
        "https://github.com/moby/moby/pull/48132",
        "https://github.com/moby/moby/blob/v27.0.1/daemon/config/config_linux.go",
        "https://github.com/containerd/containerd/blob/main/core/runtime/v2/README.md",
        "https://github.com/vmware/photon/pull/1661",
        "https://github.com/geerlingguy/ansible-role-docker/issues/405",
        "https://github.com/docker/cli/blob/v28.5.2/cmd/docker/builder.go",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See the class."""
        return dated(host, self._look(host))

    def _look(self, host: Host) -> Iterator[Finding]:
        engine.need_docker(host)
        if engine.is_snap(host):
            raise NotApplicable("the snap of docker has its programs inside")
        if engine.program(host, "dockerd") is None:
            raise Unavailable("no dockerd is seen, so its helpers cannot be looked for")
        engine_version = host.fact(engine.docker_version)
        yield self._proxy(host, engine_version)
        yield self._shim(host, engine_version)
        yield self._init(host, engine_version)
        client = found_tool(host, "docker")
        if client and client.version and client.version >= Version("23"):
            path = next((path for path in PLUGINS if executable(host, path)), None)
            if path:
                yield passed("docker-buildx", "is there", value=path, expected="docker-buildx", path=path)
            else:
                yield failed(
                    "docker-buildx",
                    f"is missing: `docker build` of {client} takes the old builder, and fails with DOCKER_BUILDKIT=1",
                    value="absent",
                    expected="docker-buildx",
                    when="boot",
                    # docker.com's packages bring it; a distribution's client is meant to be without.
                    severity=Severity.RECOMMENDED if client.package == "docker-ce-cli" else Severity.INFO,
                    hint="install docker-buildx-plugin (docker.com) or docker-buildx (Debian, Ubuntu, Alpine)",
                )

    def _proxy(self, host: Host, engine_version: Version | None) -> Finding:
        path = engine.helper(host, "docker-proxy", engine_version)
        if docker.setting(host, "userland-proxy") is False:
            return passed(
                "docker-proxy", "not needed: userland-proxy is off", value=path or "absent", path=path
            )
        named = docker.setting(host, "userland-proxy-path")
        if isinstance(named, str) and named:
            path = named if executable(host, named) else None
        if path and self._is_older(host, path, engine_version):
            return failed(
                "docker-proxy",
                f"is of an older release than dockerd {engine_version}: containers that publish ports do not start",
                value=path,
                expected="docker-proxy of dockerd's own release",
                path=path,
                when="boot",
                hint="install the package of dockerd again, or copy all files of one static archive",
            )
        if path:
            return passed("docker-proxy", "is there", value=path, expected="docker-proxy", path=path)
        refuses = engine_version is None or engine_version >= Version("25")
        return failed(
            "docker-proxy",
            "is missing: dockerd does not start"
            if refuses
            else "is missing: containers that publish ports fail",
            value="absent",
            expected="docker-proxy",
            path=named if isinstance(named, str) and named else None,
            when="boot",
            hint='install it beside dockerd, or set "userland-proxy": false in daemon.json',
        )

    def _is_older(self, host: Host, path: str, engine_version: Version | None) -> bool:
        """Return whether a docker-proxy, which prints no version, lacks the flag with which dockerd 28 starts it."""
        if engine_version is None or engine_version < Version("28") or not path.endswith("/docker-proxy"):
            return False
        try:
            texts = elf.section_data(host, elf.elf(host, path), ".rodata")
        except (OSError, Unavailable):
            return False
        # Where not even its old flags are seen, it is packed, or something else.
        return b"container-port" in texts and b"use-listen-fd" not in texts

    def _shim(self, host: Host, engine_version: Version | None) -> Finding:
        name = "containerd-shim-runc-v2"
        found = engine.program(host, name)
        if engine_version is not None and engine_version < Version("20.10"):
            # Any of them: which one those releases take depends on the runtime that is configured.
            older = (engine.program(host, each) for each in OLD_SHIMS)
            found = found or next((path for path in older if path), None)
        if found is None:
            beside = engine.program(host, "containerd")
            near = host.resolve(beside).rpartition("/")[0] + "/" + name if beside else ""
            found = near if near and executable(host, near) else None
        if found:
            return passed(name, "is there", value=found, expected=name, path=found)
        return failed(
            name,
            "is missing: no container starts",
            value="absent",
            expected=name,
            when="boot",
            hint="install the package of containerd again, or copy all files of the static archive",
        )

    def _init(self, host: Host, engine_version: Version | None) -> Finding:
        path = engine.helper(host, "docker-init", engine_version)
        if path is None:
            always = docker.setting(host, "init") is True and not docker.setting(host, "init-path")
            return failed(
                "docker-init",
                "is missing: no container starts, since `init` is on"
                if always
                else "is missing: `docker run --init` fails",
                value="absent",
                expected="docker-init",
                when="boot",
                severity=None if always else Severity.INFO,
                hint="install tini (static) as docker-init",
            )
        try:
            loader = elf.loader(host, path)
        except (OSError, Unavailable):
            loader = None
        if loader:
            return failed(
                "docker-init",
                f"needs {loader}, which images of another C library lack: `--init` fails in them",
                value=loader,
                expected="a static program",
                path=path,
                when="boot",
                severity=Severity.RECOMMENDED,
                hint="replace it by a static tini (tini-static)",
            )
        return passed("docker-init", "is there", value=path, expected="docker-init", path=path)


class ProgramsExecutable(Check):
    """The engine's programs are whole, and for this machine's processor.

    *Why*: an empty file, one cut in transfer, or one for another architecture ends in `exec format error`.

    *Needs*: each program is an ELF file for the host's architecture (or a script), with an execute bit.

    *Fix*: install it again, for the right architecture.
    """

    id = "programs.executable"
    aliases = ("runtime.executable",)
    severity = Severity.REQUIRED
    references = (
        "https://man7.org/linux/man-pages/man2/execve.2.html",
        "https://docs.docker.com/engine/install/binaries/",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See the class."""
        return dated(host, self._look(host))

    def _look(self, host: Host) -> Iterator[Finding]:
        engine_only(host)
        machine = host.fact(os_facts.architecture)
        seen: set[str] = set()
        for name in (*PROGRAMS, "docker", "ctr", "docker-init"):
            path = engine.program(host, name) or engine.helper(host, name, None)
            if path is None or path in seen:
                continue
            seen.add(path)
            yield self._judge(host, path, machine)
        if not seen:
            raise none_seen()

    def _judge(self, host: Host, path: str, machine: str | None) -> Finding:
        def bad(text: str, value: str, expected: str, commands: list[str]) -> Finding:
            return failed(
                path, text, value=value, expected=expected, path=path, when="boot", commands=commands
            )

        stat = host.stat(path)
        if not stat.is_executable:
            return bad("may not be executed", oct(stat.mode & 0o7777), "0o755", [f"chmod 0755 {path}"])
        if stat.size == 0:
            return bad("is empty", "0 bytes", "a program", _reinstall(host, path))
        head = host.read_bytes(path, limit=4096)
        if head.startswith(b"#!"):
            return passed(path, "is a script", value="script", path=path)
        try:
            program = elf.elf(host, path)
        except elf.NotElf:
            return bad(
                "is no program: exec format error", "no ELF file", "an ELF file", _reinstall(host, path)
            )
        # A 64-bit kernel may carry 32-bit programs, so /bin/sh does not tell all.
        if machine and not program.runs_on(machine) and not _bigger_kernel(host, program, machine):
            text = f"is for {program.architecture}, this machine is {machine}: exec format error"
            return bad(text, program.architecture, machine, _reinstall(host, path))
        return passed(path, f"for {program.architecture}", value=program.architecture, path=path)


def _bigger_kernel(host: Host, program: elf.Elf, machine: str) -> bool:
    """Return whether a 64-bit program may run although the programs beside it are 32-bit ones.

    Only a running host tells; on a tree the doubt is in the program's favour.
    """
    if (machine, program.architecture) not in (("i686", "x86_64"), ("armv7l", "aarch64")):
        return False
    if host.kind != "live":
        return True
    try:
        return program.runs_on(host.run("uname", "-m").out.strip())
    except (FileNotFoundError, PermissionError, Unavailable):
        return True


def _reinstall(host: Host, path: str) -> list[str]:
    package = owner(host, path, (*floors.DOCKER_COM, *floors.DISTRIBUTION))
    if package is None:
        return []
    words = {
        "deb": f"apt-get install -y --reinstall {package.name}",
        "rpm": f"dnf reinstall -y {package.name}",
        "apk": f"apk fix {package.name}",
        "pacman": f"pacman -S {package.name}",
    }
    return [words[package.manager]]
