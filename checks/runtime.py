"""The engine itself: docker, containerd and runc of versions that this host calls for, and a daemon that runs."""

from __future__ import annotations

from collections.abc import Iterator

from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, Unavailable, Version, failed, passed
from hostcheck.facts import cgroup, docker, engine, rootless
from hostcheck.facts import os as os_facts
from hostcheck.facts.packages import has_file_list, packages
from hostcheck.facts.versions import Found, found_tool, package_of

from . import _runtime_floors as floors
from ._engines import dated, engine_only, origin

INSTALL = "https://docs.docker.com/engine/install/"
RUNC_SECURITY = "https://github.com/opencontainers/runc/security/advisories"


def _from_makers(host: Host, found: Found) -> bool:
    """Return whether the version is the makers' own, and not a distribution's with fixes carried back."""
    return package_of(host, found) in ("", *floors.DOCKER_COM)


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
        return dated(host, self._look(host))

    def _look(self, host: Host) -> Iterator[Finding]:
        engine.need_docker(host)
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
            text = f"{found}, known by: {found.how}, {origin(found)}"
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
        return dated(host, self._look(host))

    def _look(self, host: Host) -> Iterator[Finding]:
        engine_only(host)
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
            text = f"{found}{beside}, known by: {found.how}, {origin(found)}"
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
        return dated(host, self._look(host))

    def _look(self, host: Host) -> Iterator[Finding]:
        engine_only(host)
        found = found_tool(host, "runc")
        if found is None or _deleted(host, "runc", found):
            if engine.is_snap(host):
                raise Unavailable("docker is a snap here, and its runc cannot be seen")
            other = docker.setting(host, "default-runtime")
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
            text = f"{found}, known by: {found.how}, {origin(found)}"
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
        return dated(host, self._look(host))

    def _look(self, host: Host) -> Iterator[Finding]:
        engine.need_docker(host)
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
