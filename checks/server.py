"""What dockerd needs to serve: a pid file of its own, free addresses, the plugins that it asks."""

from __future__ import annotations

from collections.abc import Iterator

from hostcheck._typing import Any, Optional
from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, Unavailable
from hostcheck.facts import docker, files, network, plugins, sockets

from ._daemon import MANY, failed, judged, passed, spot, subject

DAEMON = "https://github.com/moby/moby/blob/v28.5.2/cmd/dockerd/daemon.go"


def now(host: Host, *keys: str) -> dict[str, Any]:
    """Return where a setting was made, for a finding of what holds now."""
    return {**spot(host, *keys), "when": "now"}


class ServerPidFile(Check):
    """No pid file keeps dockerd from starting.

    *Why*: dockerd refuses to start while its pid file names a process that exists, whatever process that is.
    A file that a killed dockerd left does it where the number was given again, as in containers that begin to
    count anew.

    *Needs*: `pidfile`, by default /var/run/docker.pid, while dockerd does not run. A number that no process
    has, and what is no number, are taken as no file.

    *Fix*: remove the file.
    """

    id = "server.pid_file"
    severity = Severity.REQUIRED
    references = ("https://github.com/moby/moby/blob/v28.5.2/pkg/pidfile/pidfile.go", DAEMON)

    def run(self, host: Host) -> Iterator[Finding]:
        """Look for the process that the file names."""
        path = str(judged(host).effective.get("pidfile") or "")
        if host.kind != "live":
            raise NotApplicable("processes are those of a running host")
        running = host.pids("dockerd")
        if running:
            raise NotApplicable(f"dockerd runs (process {running[0]})")
        if not path.startswith("/"):
            raise NotApplicable("there is no pid file")
        pid = self._pid(host, path)
        name = self._name(host, pid) if pid else None
        if name is None:
            yield passed(path, "names no process", value=pid, path=path)
            return
        yield failed(
            path,
            f"dockerd will not start: {path} names process {pid}, which is {name}, not dockerd",
            value=pid,
            expected="no file, or one that names no process",
            path=path,
            commands=[f"rm {path}"],
        )

    def _pid(self, host: Host, path: str) -> Optional[int]:
        """Return the number in the file, as Go's Atoi takes it."""
        text = (files.text(host, path) or "").strip()
        return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 and int(text) else None

    def _name(self, host: Host, pid: int) -> Optional[str]:
        """Return what a process is called, None where there is none."""
        if not host.exists(f"/proc/{pid}"):
            return None
        return (files.text(host, f"/proc/{pid}/comm") or "").strip() or "another program"


class ServerListen(Check):
    """The addresses on which dockerd is to listen are free.

    *Why*: dockerd does not start where somebody else listens on a port of `hosts` or `metrics-addr`, or where
    the address is none of this machine's.

    *Needs*: the ports on which somebody listens, while dockerd does not run.

    *Fix*: another port, or end what holds it.
    """

    id = "server.listen"
    severity = Severity.REQUIRED
    references = ("https://github.com/moby/moby/blob/v28.5.2/cmd/dockerd/metrics.go", DAEMON)

    def run(self, host: Host) -> Iterator[Finding]:
        """Look at each address."""
        wanted = list(self._wanted(judged(host).effective))
        if not wanted:
            raise NotApplicable("dockerd listens on no TCP port")
        if host.kind != "live":
            raise NotApplicable("ports are those of a running host")
        if host.pids("dockerd"):
            raise NotApplicable("dockerd runs, and has its ports")
        for key, place, address, port in wanted:
            where = {**now(host, place), "value": f"{address}:{port}"}
            if network.is_foreign(host, address):
                text = f"dockerd will not start: {address} is no address of this machine"
                yield failed(subject(key), text, expected="an address of this machine", **where)
            elif sockets.taken(host, address, port):
                text = f"dockerd will not start: somebody listens on port {port} already"
                yield failed(subject(key), text, expected="a free port", **where)
            else:
                yield passed(subject(key), f"port {port} is free", **where)

    def _wanted(self, effective: dict[str, Any]) -> Iterator[tuple[str, str, str, int]]:
        """Give key, place, address and port of each."""
        from hostcheck.facts._govalues import split_host_port  # few hosts listen

        places = [
            ("hosts", f"hosts[{number}]", address.partition("tcp://")[2].partition("/")[0])
            for number, address in enumerate((effective.get("hosts") or [])[:MANY])
        ]
        for key, place, text in (
            *places,
            ("metrics-addr", "metrics-addr", effective.get("metrics-addr") or ""),
        ):
            address, port = split_host_port(text) or ("", "")
            if port.isascii() and port.isdecimal() and 0 < int(port) < 65536:
                yield key, place, address, int(port)


class ServerAuthorization(Check):
    """The authorization plugins of dockerd are there.

    *Why*: dockerd asks each of them as it starts, waits half a minute for it, and then gives up: "failed to
    validate authorization plugin".

    *Needs*: for each name of `authorization-plugins` a managed plugin, a socket in /run/docker/plugins, or a
    .spec or .json file in /etc/docker/plugins or /usr/lib/docker/plugins whose socket is there.

    *Fix*: start the plugin before docker, or take it out.
    """

    id = "server.authorization"
    severity = Severity.REQUIRED
    references = (
        "https://docs.docker.com/engine/extend/plugins_authorization/",
        "https://docs.docker.com/engine/extend/plugin_api/#plugin-discovery",
        DAEMON,
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """Look for each plugin."""
        names = judged(host).effective.get("authorization-plugins") or []
        if not names:
            raise NotApplicable("no authorization plugin is configured")
        for number, name in enumerate(names[:MANY]):
            where = {**spot(host, f"authorization-plugins[{number}]"), "value": name}
            key = subject("authorization-plugins")
            path = plugins.plugin(host, name, docker.data_root(host))
            gone = self._gone(host, path) if path else ""
            if path and not gone:
                yield passed(key, f"{name} is there: {path}", **where)
                continue
            seen = f"{path} names {gone}, which does not exist" if path else "nothing tells where it is"
            yield failed(
                key,
                f"dockerd will not start: it does not find the authorization plugin {name}: {seen}",
                expected=f"{plugins.SOCKETS}/{name}.sock, or a file in {plugins.SPECS[0]}",
                hint=f"start {name} before docker, or take it out of {where['path']}",
                **where,
            )

    def _gone(self, host: Host, path: str) -> str:
        """Return the socket that a .spec file names, where it is not there; empty where it is or cannot be told."""
        if not path.endswith(".spec"):
            return ""
        scheme, _, socket = (files.text(host, path) or "").strip().partition("://")
        try:
            return socket if scheme == "unix" and not host.exists(socket) else ""
        except Unavailable:
            return ""
