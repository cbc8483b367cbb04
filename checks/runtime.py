"""The engine's programs: there, whole, of this machine's kind, and of versions that work together."""

from __future__ import annotations

from collections.abc import Iterator

from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, Unavailable, Version, failed, passed
from hostcheck.facts import cgroup, docker, elf, engine, rootless
from hostcheck.facts import os as os_facts
from hostcheck.facts.packages import has_file_list, owner, packages, removed
from hostcheck.facts.versions import Found, found_tool, package_of, program_folders, tool_named, version_at

from . import _runtime_floors as floors

INSTALL = "https://docs.docker.com/engine/install/"
RUNC_SECURITY = "https://github.com/opencontainers/runc/security/advisories"


def _docker_only(host: Host) -> None:
    if engine.stage(host) == "before":
        raise NotApplicable("docker is not installed")


def _engine_only(host: Host) -> None:
    """Let through hosts with an engine that starts runc through containerd."""
    if engine.stage(host) == "before" and engine.stage(host, "containerd") == "before":
        raise NotApplicable("no docker and no containerd is installed")


def _from_makers(host: Host, found: Found) -> bool:
    """Return whether the version is the makers' own, and not a distribution's with fixes carried back."""
    return package_of(host, found) in ("", *floors.DOCKER_COM)


def _origin(found: Found) -> str:
    return f"package {found.package}" if found.package else "no package"


def _v2(host: Host) -> Iterator[str]:
    """Yield when control groups v2 are what the engine meets: `now`, `boot`.

    Raises:
        Unavailable: it cannot be told.

    """
    mode = host.fact(cgroup.mode)
    if host.kind == "live" and mode.now == "v2":
        yield "now"
    if mode.boot == "v2" and not (host.kind == "live" and mode.now == "v2"):
        yield "boot"
    if mode.now is None and mode.boot is None:
        raise Unavailable("it is not known which control groups the host will have")


def _version_of(host: Host, found: Found, tool: str) -> Version:
    version = found.version
    if version is None:
        # Where the package database cannot be read, that is the reason.
        package_of(host, found)
        raise Unavailable(f"{found.path or tool} does not say its version")
    return version


def _ended(version: Version, table: tuple[tuple[str, str], ...], today: str) -> str | None:
    """Return the date on which support of this version ended, None if it has not or is not known."""
    for series, date in table:
        numbers = tuple(int(n) for n in series.split("."))
        have = (*version.numbers, 0, 0)[: len(numbers)]
        if have == numbers and date < today:
            return date
    return None


def _setting(host: Host, key: str) -> object:
    """Return what daemon.json or the command line sets for a key, None where neither does or is readable."""
    try:
        found = docker.effective(host).get(key)
    except (NotApplicable, PermissionError, Unavailable):
        return None
    return found.value if found else None


def _dated(host: Host, findings: Iterator[Finding]) -> Iterator[Finding]:
    """Yield the findings; of a host that does not run all are about its next boot."""
    for finding in findings:
        if host.kind != "live":
            finding.when = "boot"
        yield finding


class RuntimeDocker(Check):
    """Docker Engine is installed, and new enough for this host.

    *Why*: before 20.10 dockerd does not know control groups v2 and does not start there; releases whose
    support has ended get no more fixes.

    *Needs*: dockerd, executable, where a service finds it; 20.10 or later where control groups are v2. The
    client is needed to talk to it, not for containers to run. A distribution's package is kept by the
    distribution, whatever its number.

    *Fix*: install it from the distribution or from docker.com.
    """

    id = "runtime.docker"
    severity = Severity.REQUIRED
    references = (
        "https://docs.docker.com/engine/release-notes/20.10/",
        "https://github.com/moby/moby/blob/master/project/BRANCHES-AND-TAGS.md",
        INSTALL,
    )
    minimum: str = "20.10"
    """The lowest version on control groups v2."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See the class."""
        return _dated(host, self._look(host))

    def _look(self, host: Host) -> Iterator[Finding]:
        _docker_only(host)
        path = engine.program(host, "dockerd")
        found = found_tool(host, "dockerd")
        if path is None and found is None:
            if "docker" in engine.installed(host):
                raise Unavailable("docker is a snap here, and its dockerd cannot be seen")
            yield failed("dockerd", "there is no dockerd", expected="dockerd", commands=_install(host))
            return
        if path and not host.stat(path).is_executable:
            yield failed(
                "dockerd",
                "may not be executed: docker.service fails (203/EXEC)",
                value=oct(host.stat(path).mode & 0o7777),
                expected="0o755",
                path=path,
                when="boot",
                commands=[f"chmod 0755 {path}"],
            )
            return
        if found is None:
            raise Unavailable(f"{path} does not say its version")
        yield from self._version(host, found)
        client = found_tool(host, "docker")
        if client:
            yield passed("docker", f"the client is there, {client}", value=client, path=client.path)
        else:
            yield failed(
                "docker",
                "no client: nobody can type `docker` here, the engine works without it",
                value="absent",
                expected="docker",
                severity=Severity.INFO,
                commands=_install_client(host),
            )

    def _version(self, host: Host, found: Found) -> Iterator[Finding]:
        version = _version_of(host, found, "dockerd")
        old = False
        if version < Version(self.minimum):
            for when in _v2(host):
                old = True
                yield failed(
                    "dockerd",
                    f"{found} does not know control groups v2: it does not start",
                    value=found,
                    expected=f">= {self.minimum}",
                    path=found.path,
                    when=when,
                    commands=_upgrade(host, found),
                    hint=f"install a supported release: {INSTALL}",
                )
        if not old:
            text = f"{found}, known by: {found.how}, {_origin(found)}"
            yield passed("dockerd", text, value=found, path=found.path)
        end = _ended(version, floors.DOCKER_ENDS, host.today())
        if end and _from_makers(host, found):
            yield failed(
                "dockerd support",
                f"{found} gets no more fixes since {end[:7]}",
                value=found,
                expected="a supported release",
                path=found.path,
                severity=Severity.RECOMMENDED,
                commands=_upgrade(host, found),
                hint=f"install a supported release: {INSTALL}",
            )
        elif end:
            text = f"its makers ended {found} in {end[:7]}; package {found.package} is the distribution's to mend"
            yield passed("dockerd support", text, value=found, path=found.path)


def _install(host: Host) -> list[str]:
    """Return how to install docker whole, on distributions of which we know it."""
    family = host.fact(os_facts.os_release).family
    if "debian" in family or "ubuntu" in family:
        return ["apt-get update", "apt-get install -y docker.io"]
    if "alpine" in family:
        return ["apk add docker", "rc-update add docker default", "service docker start"]
    if "rhel" in family or "fedora" in family:
        source = "fedora" if family[0] == "fedora" else "centos"
        return [
            f"curl -fsSo /etc/yum.repos.d/docker-ce.repo https://download.docker.com/linux/{source}/docker-ce.repo",
            "dnf install -y docker-ce docker-ce-cli containerd.io",
            "systemctl enable --now docker",
        ]
    return []


def _install_client(host: Host) -> list[str]:
    if "docker-ce" in packages(host):
        family = host.fact(os_facts.os_release).family
        return [("apt-get install -y" if "debian" in family else "dnf install -y") + " docker-ce-cli"]
    return ["apt-get install -y docker-cli"] if "docker.io" in packages(host) else []


def _deleted(host: Host, program: str, found: Found) -> bool:
    """Return whether a package brought the program and it was taken away since.

    A tree that was reduced to its configuration has no programs at all, nor dpkg's lists of them: there the
    package must do.
    """
    return (
        found.how == "package"
        and engine.program(host, program) is None
        and host.exists("/bin/sh")
        and has_file_list(host, found.package)
    )


class RuntimeContainerd(Check):
    """Containerd is there, and of a version that this docker works with.

    *Why*: dockerd starts containers through containerd; without it, it does not start.

    *Needs*: containerd in the search path (docker before 18.09 brings its own); 1.4 or later on control
    groups v2; with docker 25 or later 1.6.22 or later, and not 1.7.0 to 1.7.2.

    *Fix*: install the containerd of the same source as docker's.
    """

    id = "runtime.containerd"
    severity = Severity.REQUIRED
    references = (
        "https://github.com/moby/moby/blob/master/project/PACKAGERS.md",
        "https://github.com/docker/docker-ce-packaging/pull/961",
        "https://kubernetes.io/docs/concepts/architecture/cgroups/",
    )
    minimum: str = "1.4.0"
    """The lowest version on control groups v2."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See the class."""
        return _dated(host, self._look(host))

    def _look(self, host: Host) -> Iterator[Finding]:
        _engine_only(host)
        engine_version = host.fact(engine.docker_version) if engine.stage(host) == "installed" else None
        found = found_tool(host, "containerd")
        if found is None or _deleted(host, "containerd", found):
            if engine_version is None or engine_version < Version("18.09"):
                raise NotApplicable("docker brings its own, and no other is installed")
            if engine.is_snap(host):
                raise Unavailable("docker is a snap here, and its containerd cannot be seen")
            yield failed(
                "containerd",
                "there is no containerd: dockerd does not start",
                value="absent",
                expected="containerd",
                when="boot",
                commands=_install(host),
            )
            return
        version = _version_of(host, found, "containerd")
        well = True
        if version < Version(self.minimum):
            for when in _v2(host):
                well = False
                yield failed(
                    "containerd",
                    f"{found} does not know control groups v2: no container starts",
                    value=found,
                    expected=f">= {self.minimum}",
                    path=found.path,
                    when=when,
                    commands=_upgrade(host, found),
                )
        since, lowest, (bad, good) = floors.CONTAINERD_FOR_DOCKER
        wrong = version < Version(lowest) or Version(bad) <= version < Version(good)
        if wrong and engine_version is not None and engine_version >= Version(since):
            well = False
            yield failed(
                "containerd",
                f"{found} does not work with docker {engine_version}",
                value=found,
                expected=f">= {lowest}, not {bad} to {good}",
                path=found.path,
                commands=_upgrade(host, found),
            )
        if well:
            beside = f" with docker {engine_version}" if engine_version else ""
            text = f"{found}{beside}, known by: {found.how}, {_origin(found)}"
            yield passed("containerd", text, value=found, path=found.path)


def _upgrade(host: Host, found: Found) -> list[str]:
    """Return how to get a newer version of what a package brought."""
    if not found.package:
        return []
    manager = packages(host)[found.package].manager if found.package in packages(host) else "deb"
    words = {
        "deb": f"apt-get update && apt-get install -y --only-upgrade {found.package}",
        "rpm": f"dnf upgrade -y {found.package}",
        "apk": f"apk add -u {found.package}",
        "pacman": f"pacman -Syu {found.package}",
    }
    return [words[manager]]


class RuntimeRunc(Check):
    """The runc that starts containers knows this host's control groups, and has no known hole.

    *Why*: every container is started by it. Before 1.0.0-rc91 it fails on control groups v2, and its holes let
    containers out.

    *Needs*: 1.0.0-rc93 or later on control groups v2, and the fixes that its makers published. A
    distribution's package carries fixes back under an old number, so there only its presence counts.

    *Fix*: upgrade the package, or replace the file by a release of its makers.
    """

    id = "runtime.runc"
    severity = Severity.REQUIRED
    references = (
        "https://github.com/opencontainers/runc/blob/main/docs/cgroup-v2.md",
        "https://github.com/opencontainers/runc/blob/main/CHANGELOG.md",
    )
    minimum: str = "1.0.0-rc91"
    """The lowest version that starts containers on control groups v2."""
    full: str = "1.0.0-rc93"
    """The lowest version that supports control groups v2 in full."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See the class."""
        return _dated(host, self._look(host))

    def _look(self, host: Host) -> Iterator[Finding]:
        _engine_only(host)
        found = found_tool(host, "runc")
        if found is None or _deleted(host, "runc", found):
            if engine.is_snap(host):
                raise Unavailable("docker is a snap here, and its runc cannot be seen")
            other = _setting(host, "default-runtime")
            yield failed(
                "runc",
                "there is no runc: no container starts",
                value="absent",
                expected="runc",
                when="boot",
                severity=Severity.INFO if other not in (None, "runc") else None,
                commands=_install(host),
            )
            return
        if found.version is None and found.how == "ran it":
            yield failed(
                "runc",
                "was built without a version, as distributions did before 1.0",
                value=found,
                path=found.path,
                severity=Severity.INFO,
                hint="upgrade it to 1.0 or later",
            )
            return
        version = _version_of(host, found, "runc")
        bad = list(self._cgroups(host, found, version))
        yield from bad
        if not bad:
            text = f"{found}, known by: {found.how}, {_origin(found)}"
            yield passed("runc", text, value=found, path=found.path)
        yield from self._holes(host, found, version)

    def _cgroups(self, host: Host, found: Found, version: Version) -> Iterator[Finding]:
        if version >= Version(self.full):
            return
        for when in _v2(host):
            broken = version < Version(self.minimum)
            yield failed(
                "runc",
                f"{found} fails on control groups v2: no container starts"
                if broken
                else f"{found} supports control groups v2 only in part",
                value=found,
                expected=f">= {self.full}",
                path=found.path,
                when=when,
                severity=Severity.REQUIRED if broken else Severity.RECOMMENDED,
                commands=_upgrade(host, found),
            )

    def _holes(self, host: Host, found: Found, version: Version) -> Iterator[Finding]:
        for name, harm, fixes in floors.RUNC_FIXES:
            fixed = _fixed(version, fixes)
            if fixed is None:
                yield passed(f"runc {name}", f"{found} has the fix", value=found, path=found.path)
            elif not _from_makers(host, found):
                text = f"{found} is the distribution's, which carries fixes back: see its tracker for {name}"
                yield passed(f"runc {name}", text, value=found, path=found.path)
            else:
                yield failed(
                    f"runc {name}",
                    f"{found} has {name}: {harm}",
                    value=found,
                    expected=f">= {fixed}",
                    path=found.path,
                    severity=Severity.RECOMMENDED,
                    hint=f"install runc {fixed} or later ({RUNC_SECURITY})",
                    commands=_upgrade(host, found),
                )


def _fixed(version: Version, fixes: tuple[tuple[str, str], ...]) -> str | None:
    """Return the first release with the fix where this one lacks it, None where it has it."""
    series = (*version.numbers, 0)[:2]
    for name, first in fixes:
        known = tuple(int(n) for n in name.split("."))
        if series == known:
            return first if version < Version(first) else None
        if series < known:
            return first
    return None


class RuntimeHelpers(Check):
    """The programs that dockerd starts are there.

    *Why*: without docker-proxy dockerd 25 and later does not start and earlier ones publish no port; without
    the shim no container starts; without docker-init `docker run --init` fails.

    *Needs*: docker-proxy in the search path (from 27 on in libexec folders first), unless userland-proxy is
    off; containerd-shim-runc-v2 in the search path or beside containerd (docker 20.10 and later);
    docker-init, static, since it is bound into containers of any C library. For builds, docker-buildx from 23 on.

    *Fix*: install the package whole, or copy all files of the static archive.
    """

    id = "runtime.helpers"
    severity = Severity.REQUIRED
    references = (
        "https://github.com/moby/moby/pull/47000",
        "https://github.com/moby/moby/blob/v27.0.1/daemon/config/config_linux.go",
        "https://github.com/containerd/containerd/blob/main/core/runtime/v2/README.md",
        "https://github.com/vmware/photon/pull/1661",
        "https://github.com/geerlingguy/ansible-role-docker/issues/405",
        "https://github.com/docker/cli/blob/v28.5.2/cmd/docker/builder.go",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See the class."""
        return _dated(host, self._look(host))

    def _look(self, host: Host) -> Iterator[Finding]:
        _docker_only(host)
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
            path = next((path for path in PLUGINS if _executable(host, path)), None)
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
        if _setting(host, "userland-proxy") is False:
            return passed(
                "docker-proxy", "not needed: userland-proxy is off", value=path or "absent", path=path
            )
        named = _setting(host, "userland-proxy-path")
        if isinstance(named, str) and named:
            path = named if _executable(host, named) else None
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
            found = near if near and _executable(host, near) else None
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
            always = _setting(host, "init") is True and not _setting(host, "init-path")
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


OLD_SHIMS = ("containerd-shim", "containerd-shim-runc-v1", "docker-containerd-shim")
"""Shims that docker before 20.10 starts containers with."""

PLUGINS = tuple(
    f"{folder}/docker/cli-plugins/docker-buildx"
    for folder in ("/usr/local/lib", "/usr/local/libexec", "/usr/lib", "/usr/libexec")
)
"""Where the client looks for buildx. Source: docker/cli's cli-plugins/manager/manager_unix.go."""


def _executable(host: Host, path: str) -> bool:
    try:
        return host.stat(path).is_executable
    except (FileNotFoundError, PermissionError, Unavailable):
        return False


class RuntimeApi(Check):
    """Clients of any age may talk to this docker.

    *Why*: 29.0 turned away clients that speak an API before 1.44, among them reverse proxies and managers
    that name an old version; 29.3 lowered the bound to 1.40.

    *Needs*: docker before 29.0 or from 29.3 on, or `min-api-version` in daemon.json. The clients cannot be seen
    from here, so this is only worth knowing.

    *Fix*: update the clients, or lower the bound.
    """

    id = "runtime.api"
    severity = Severity.INFO
    references = (
        "https://github.com/traefik/traefik/issues/12253",
        "https://docs.docker.com/engine/release-notes/29/",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See the class."""
        return _dated(host, self._look(host))

    def _look(self, host: Host) -> Iterator[Finding]:
        _docker_only(host)
        version = host.fact(engine.docker_version)
        if version is None:
            raise Unavailable("the version of docker is not known: see runtime.docker")
        bound = "1.24"
        if version >= Version("29.0"):
            bound = "1.44" if version < Version("29.3") else "1.40"
        told = _setting(host, "min-api-version")
        bound = str(told) if told and version >= Version("29.0") else bound
        if Version(bound) < Version("1.44"):
            yield passed("min-api-version", f"{bound}, with docker {version}", value=bound, expected="< 1.44")
            return
        yield failed(
            "min-api-version",
            f"{bound}: docker {version} turns away clients that speak an older API",
            value=bound,
            expected="< 1.44",
            hint='update such clients, or set "min-api-version": "1.24" in daemon.json and restart docker',
        )


PROGRAMS = ("dockerd", "containerd", "containerd-shim-runc-v2", "runc", "docker-proxy")
"""The programs of the engine of which a second copy makes trouble."""


def _copies(host: Host, name: str) -> list[str]:
    """Return every program of that name, the one that is found first in front; links to one count once."""
    found: dict[str, str] = {}
    for folder in program_folders(host, name):
        path = f"{folder}/{name}"
        if _executable(host, path) and not folder.startswith("/snap/"):
            found.setdefault(host.resolve(path), path)
    return list(found.values())


class RuntimeOrigin(Check):
    """The engine's programs come from one source, and none hides another.

    *Why*: a runc or containerd that somebody put into /usr/local goes before the package's, and an upgrade of
    the package then changes nothing; an old dockerd asks for helpers that the new one no longer has.

    *Needs*: of dockerd, containerd, its shim, runc and docker-proxy one file each in the search path. A
    second one of the same version is only worth knowing.

    *Fix*: remove the stray file, after a look at what its source was.
    """

    id = "runtime.origin"
    severity = Severity.RECOMMENDED
    references = (
        "https://github.com/moby/moby/issues/49519",
        "https://github.com/canonical/docker-snap/issues/188",
        "https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html#ExecSearchPath=",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See the class."""
        return _dated(host, self._look(host))

    def _look(self, host: Host) -> Iterator[Finding]:
        _engine_only(host)
        some = False
        if engine.is_snap(host):
            some = True
            yield failed(
                "snap",
                "docker is a snap: its containers see no host path outside /home, and no hidden one there",
                value="snap",
                expected="a package",
                path="/var/lib/snapd/snaps",
                hint="remove the snap and install docker.io or docker-ce; its images and volumes go with it",
            )
        for name in PROGRAMS:
            copies = _copies(host, name)
            if not copies:
                continue
            some = True
            yield self._judge(host, name, copies)
        if not some:
            raise Unavailable("no program of the engine is seen")

    def _judge(self, host: Host, name: str, copies: list[str]) -> Finding:
        first = found_tool(host, name)
        if len(copies) == 1 or first is None:
            text = f"from {_origin(first)}" if first else "is there"
            return passed(name, text, value=first.package or "no package" if first else "", path=copies[0])
        others = [version_at(host, tool_named(name), path) for path in copies[1:]]
        same = all(str(other) == str(first) and first.version for other in others)
        hidden = ", ".join(f"{other.path} ({other}, {_origin(other)})" for other in others)
        return failed(
            name,
            f"{copies[0]} ({first}, {_origin(first)}) goes before {hidden}",
            value=f"{len(copies)} files",
            expected="1 file",
            path=copies[0],
            when="boot",
            severity=Severity.INFO if same else None,
            hint=f"remove the one that is not wanted: type -a {name} lists them",
        )


class RuntimePackageConflicts(Check):
    """No packages are installed that stand in the way of docker's.

    *Why*: docker.com's packages and the distribution's bring the same files. Installing the distribution's
    containerd or runc removes containerd.io, and docker-ce with it; podman-docker is a `docker` that is not
    docker.

    *Needs*: beside docker-ce or containerd.io none of docker.io, moby-engine, podman-docker, containerd or
    runc; one engine, as a package or as a snap.

    *Fix*: remove one of the two sets.
    """

    id = "runtime.package_conflicts"
    severity = Severity.RECOMMENDED
    references = (
        "https://docs.docker.com/engine/install/debian/#uninstall-old-versions",
        "https://github.com/weaveworks/ignite/issues/443",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See the class."""
        return _dated(host, self._look(host))

    def _look(self, host: Host) -> Iterator[Finding]:
        have = packages(host)
        if not have:
            raise NotApplicable("no package database")
        makers = [name for name in floors.DOCKER_COM if name in have]
        theirs = [
            name
            for name in floors.DISTRIBUTION
            if name in have and not (name == "docker" and have[name].manager == "deb")
        ]
        engines = [name for name in ("docker-ce", "containerd.io") if name in makers]
        gone = "docker-ce" in removed(host) and "docker-ce-cli" in have and "containerd.io" not in have
        found = False
        for name in theirs:
            path = have[name].path
            if engines:
                found = True
                yield failed(
                    name,
                    f"stands beside {', '.join(engines)} of docker.com: an upgrade of one removes the other",
                    value=have[name].version,
                    expected="absent",
                    path=path,
                    commands=_remove(have[name].manager, name),
                )
            elif name == "containerd" and gone:
                found = True
                yield failed(
                    name,
                    "took the place of containerd.io, and docker-ce was removed with that: docker is gone",
                    value=have[name].version,
                    expected="containerd.io",
                    path=path,
                    when="boot",
                    severity=Severity.REQUIRED,
                    commands=["apt-get install -y containerd.io docker-ce"],
                )
            elif name == "podman-docker" and engine.stage(host) == "before":
                found = True
                yield failed(
                    name,
                    "its `docker` is podman; docker cannot be installed beside it",
                    value=have[name].version,
                    expected="absent",
                    path=path,
                    severity=Severity.INFO,
                    commands=_remove(have[name].manager, name),
                )
        package = next((name for name in ("docker-ce", "docker.io", "moby-engine") if name in have), None)
        if package and engine.snaps(host):
            found = True
            yield failed(
                package,
                f"docker is installed twice, as package {package} and as a snap: both want /run/docker.sock",
                value="package and snap",
                expected="one of them",
                path="/var/lib/snapd/snaps",
                commands=["snap remove docker"],
            )
        if not found:
            seen = ", ".join([*makers, *theirs]) or "none of an engine"
            yield passed("packages", f"no conflict ({seen})", value=seen, expected="one source")


def _remove(manager: str, name: str) -> list[str]:
    words = {"deb": "apt-get remove -y", "rpm": "dnf remove -y", "apk": "apk del", "pacman": "pacman -R"}
    return [f"{words[manager]} {name}"]


SOCKET = "/run/docker.sock"


def _is_folder(host: Host, path: str) -> bool:
    try:
        return host.stat(path).is_dir
    except (OSError, Unavailable):
        return False


class RuntimeRunning(Check):
    """The docker daemon runs, and its socket is there.

    *Why*: nothing answers `docker run` otherwise. A container that mounts the socket and starts before there is one
    leaves a folder of that name, on which dockerd ends: "can't create unix socket: is a directory".

    *Needs*: a process dockerd and the socket /run/docker.sock; the socket alone will do where systemd
    starts docker at the first use.

    *Fix*: start it, and read its log if it stops again.
    """

    id = "runtime.running"
    severity = Severity.RECOMMENDED
    references = (
        "https://docs.docker.com/engine/daemon/troubleshoot/",
        "https://github.com/moby/moby/issues/30348",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See the class."""
        return _dated(host, self._look(host))

    def _look(self, host: Host) -> Iterator[Finding]:
        _docker_only(host)
        if host.kind != "live":
            raise NotApplicable("this host is not running")
        running = host.pids("dockerd")
        if _is_folder(host, SOCKET):
            yield failed(
                SOCKET,
                "is a folder, which docker made for a container that mounts it: dockerd does not start",
                value="folder",
                expected="socket",
                path=SOCKET,
                severity=Severity.REQUIRED,
                commands=[f"rmdir {SOCKET}", "systemctl enable --now docker.socket"],
            )
            return
        socket = host.exists(SOCKET)
        if running:
            text = f"runs (process {running[0]})"
            yield passed("dockerd", text, value="running", expected="running")
            if socket:
                yield passed(SOCKET, "is there", value="present", path=SOCKET)
            else:
                yield failed(
                    SOCKET,
                    "is not there: dockerd listens elsewhere, and clients must be told where",
                    value="absent",
                    expected="present",
                    path=SOCKET,
                    severity=Severity.INFO,
                    hint="export DOCKER_HOST, or start dockerd with -H unix:///run/docker.sock",
                )
            return
        if socket and host.exists("/run/systemd/system"):
            yield passed(
                "dockerd", "starts at the first use of its socket", value="socket", expected="running"
            )
            return
        if "docker" in rootless.engines(host):
            raise NotApplicable("users run docker without root here, each a dockerd of their own")
        yield failed(
            "dockerd",
            "does not run: no container can be started",
            value="not running",
            expected="running",
            commands=["systemctl enable --now docker"]
            if host.exists("/run/systemd/system")
            else ["service docker start"],
            hint="journalctl -u docker -b says why it stopped",
        )


class RuntimeExecutable(Check):
    """The engine's programs are whole, and for this machine's processor.

    *Why*: an empty file, one cut in transfer, or one for another architecture ends in `exec format error`.

    *Needs*: each program is an ELF file for the host's architecture (or a script), with an execute bit.

    *Fix*: install it again, for the right architecture.
    """

    id = "runtime.executable"
    severity = Severity.REQUIRED
    references = (
        "https://man7.org/linux/man-pages/man2/execve.2.html",
        "https://docs.docker.com/engine/install/binaries/",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See the class."""
        return _dated(host, self._look(host))

    def _look(self, host: Host) -> Iterator[Finding]:
        _engine_only(host)
        machine = host.fact(os_facts.architecture)
        seen: set[str] = set()
        for name in (*PROGRAMS, "docker", "ctr", "docker-init"):
            path = engine.program(host, name) or engine.helper(host, name, None)
            if path is None or path in seen:
                continue
            seen.add(path)
            yield self._judge(host, path, machine)
        if not seen:
            raise Unavailable("no program of the engine is seen")

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
