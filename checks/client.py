"""Users' docker commands: what their configuration asks for, and whether the engine talks to old ones."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from hostcheck._typing import Any
from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, Unavailable, Version, failed, passed
from hostcheck.facts import docker, engine, rootless
from hostcheck.facts.files import text, which

from ._engines import dated


def configs(host: Host) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Yield the configuration of each user's docker command: its path, what it says, and its text."""
    for user in rootless.users(host):
        path = f"{user.home.rstrip('/')}/.docker/config.json"
        try:
            written = text(host, path)
            said = json.loads(written) if written else None
        except (PermissionError, Unavailable, ValueError, RecursionError):
            continue
        if isinstance(said, dict) and written:
            yield path, said, written


def of_root(host: Host) -> set[str]:
    """Return the paths of root's configuration: what another user cannot do, root still can."""
    return {f"{user.home.rstrip('/')}/.docker/config.json" for user in rootless.users(host) if user.uid == 0}


def line_of(written: str, key: str) -> int | None:
    """Return the line in which a key stands first."""
    return next((n for n, line in enumerate(written.splitlines(), 1) if f'"{key}"' in line), None)


LOOPBACK = r"(?:\w+://)?(?:[^@/]*@)?(?:localhost|127\.[\d.]+|\[::1\])(?=[:/]|$)"


class ClientCredentials(Check):
    """The programs that keep users' registry passwords are there.

    *Why*: `docker pull`, `build` and `compose` ask the helper that config.json names, even for images that need no
    password, and stop where it is missing: `error getting credentials`. Docker Desktop leaves such a line behind.

    *Needs*: docker-credential-NAME in $PATH for each name in `credsStore` and `credHelpers`.

    *Fix*: take the line out of ~/.docker/config.json, or install the helper.
    """

    id = "client.credentials"
    severity = Severity.RECOMMENDED
    references = (
        "https://docs.docker.com/reference/cli/docker/login/#credential-stores",
        "https://github.com/lux4rd0/grafana-loki-syslog-aio/issues/16",
        "https://github.com/docker/docker-credential-helpers/issues/296",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        silent = True
        for path, said, written in configs(host):
            helpers = said.get("credHelpers")
            wanted = {"credsStore": said.get("credsStore")}
            wanted.update(helpers if isinstance(helpers, dict) else {})
            for key, name in wanted.items():
                # An .exe is found through WSL's own $PATH, which is not the host's.
                if not isinstance(name, str) or not name or "/" in name:
                    continue
                silent = False
                program = f"docker-credential-{name}"
                more = {"value": name, "path": path, "line": line_of(written, key), "when": host.when}
                if which(host, program) or self._of_windows(host, name):
                    yield passed(f"{path} {key}", f"{program} is there", **more)
                    continue
                yield failed(
                    f"{path} {key}",
                    f"there is no {program}: pulls and builds of this user stop at `error getting credentials`",
                    expected="a program in $PATH",
                    hint=f"take {key} out of {path}, or install {program}",
                    **more,
                )
        if silent:
            raise NotApplicable("no user's config.json names a credential helper")

    def _of_windows(self, host: Host, name: str) -> bool:
        """Return whether Docker Desktop's own integration is there, whose helper lies on the Windows side."""
        return name.endswith(".exe") and host.exists("/mnt/wsl/docker-desktop")


class ClientContext(Check):
    """The docker commands of users ask this host's engine, or one that is there.

    *Why*: a context that Docker Desktop or colima left behind sends every command to a socket that nobody
    listens on: `Cannot connect to the Docker daemon`, while the engine of the host runs. A context that is gone keeps
    even `docker run` from starting; where it is root's, the host is not ready.

    *Needs*: the socket that `currentContext` leads to, where it is one of this machine.

    *Fix*: `docker context use default`.
    """

    id = "client.context"
    severity = Severity.RECOMMENDED
    references = ("https://docs.docker.com/engine/manage-resources/contexts/",)

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        silent = True
        roots = of_root(host)
        for path, said, written in configs(host):
            name = said.get("currentContext")
            if not isinstance(name, str) or name in ("", "default") or "/" in name:
                continue
            silent = False
            line = line_of(written, "currentContext")
            more = {"value": name, "path": path, "line": line, "when": host.when}
            socket = self._socket(host, path.rpartition("/")[0], name)
            if socket is None:
                yield failed(
                    f"{path} currentContext",
                    f"there is no context {name}: every docker command of this user fails",
                    expected="default",
                    severity=Severity.REQUIRED if path in roots else None,
                    commands=["docker context use default"],
                    **more,
                )
            elif not socket.startswith("unix://") or host.kind != "live":
                yield passed(
                    f"{path} currentContext", f"{name} leads to {socket or 'another machine'}", **more
                )
            elif host.exists(socket[len("unix://") :]):
                yield passed(f"{path} currentContext", f"{socket} is there", **more)
            else:
                yield failed(
                    f"{path} currentContext",
                    f"{name} leads to {socket}, which is not there: docker commands of this user fail",
                    expected="default",
                    commands=["docker context use default"],
                    **more,
                )
        if silent:
            raise NotApplicable("no user's config.json names a context")

    def _socket(self, host: Host, folder: str, name: str) -> str | None:
        """Return the address of a context, None where there is no context of that name."""
        # Imported here: few hosts have a context.
        import hashlib

        place = f"{folder}/contexts/meta/{hashlib.sha256(name.encode()).hexdigest()}/meta.json"
        written = text(host, place)
        if written is None:
            return None
        try:
            said: Any = json.loads(written)
            return str(said["Endpoints"]["docker"]["Host"])
        except (KeyError, TypeError, ValueError, RecursionError):
            return ""


class ClientProxies(Check):
    """The proxies that docker commands give to containers can be reached from there.

    *Why*: the client sets `http_proxy` and its like in every container that it makes or builds, as its config.json
    says. With a proxy on this machine's loopback, as a local relay to the site's proxy is, each container asks itself:
    "connection refused".

    *Needs*: no loopback address among `proxies` of users' config.json.

    *Fix*: let the proxy listen on docker0 too, and name its address there, as http://172.17.0.1:3128.
    """

    id = "client.proxies"
    severity = Severity.RECOMMENDED
    references = (
        "https://docs.docker.com/engine/cli/proxy/",
        "https://github.com/docker/cli/blob/v28.5.2/cli/config/configfile/file.go",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        silent = True
        roots = of_root(host)
        for path, said, written in configs(host):
            for key, address in self._addresses(said.get("proxies")):
                silent = False
                where = {"value": address, "path": path, "line": line_of(written, key), "when": host.when}
                if re.match(LOOPBACK, address):
                    yield failed(
                        f"{path} {key}",
                        f"{address} is each container itself: what runs there reaches nothing through it",
                        expected="an address that containers reach",
                        severity=Severity.REQUIRED if path in roots else None,
                        hint="name the address of docker0, and let the proxy listen there",
                        **where,
                    )
                else:
                    yield passed(f"{path} {key}", f"{address} is not this machine's loopback", **where)
        if silent:
            raise NotApplicable("no user's config.json gives containers a proxy")

    def _addresses(self, said: Any) -> Iterator[tuple[str, str]]:
        """Yield each key with its proxy, of every engine that is named."""
        for named in said.values() if isinstance(said, dict) else ():
            for key, address in named.items() if isinstance(named, dict) else ():
                if key != "noProxy" and isinstance(address, str) and address:
                    yield key, address


class ClientApi(Check):
    """Clients of any age may talk to this docker.

    *Why*: 29.0 turned away clients that speak an API before 1.44, among them reverse proxies and managers
    that name an old version; 29.3 lowered the bound to 1.40.

    *Needs*: docker before 29.0 or from 29.3 on, or `min-api-version` in daemon.json. The clients cannot be seen
    from here, so this is only worth knowing.

    *Fix*: update the clients, or lower the bound.
    """

    id = "client.api"
    aliases = ("runtime.api",)
    severity = Severity.INFO
    references = (
        "https://github.com/traefik/traefik/issues/12253",
        "https://docs.docker.com/engine/release-notes/29/",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See the class."""
        return dated(host, self._look(host))

    def _look(self, host: Host) -> Iterator[Finding]:
        engine.need_docker(host)
        version = host.fact(engine.docker_version)
        if version is None:
            raise Unavailable("the version of docker is not known: see runtime.docker")
        bound = "1.24"
        if version >= Version("29.0"):
            bound = "1.44" if version < Version("29.3") else "1.40"
        told = docker.setting(host, "min-api-version")
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
