"""Where the logs of containers go: a driver that dockerd cannot use starts no container."""

from __future__ import annotations

from collections.abc import Iterator

from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, Unavailable
from hostcheck.facts import docker, engine, files, plugins, sockets

from ._daemon import failed, host_of, judged, passed, spot, subject

MOBY = "https://github.com/moby/moby/blob/v28.5.2/daemon/logger"

JOURNAL = "/run/systemd/journal/socket"
SYSLOG = ("/dev/log", "/var/run/syslog", "/var/run/log")
"""Where the syslog driver looks for the daemon of this host (srslog_unix.go of RackSec/srslog)."""

PORTS = {"fluentd": "24224", "syslog": "514"}
"""The ports that count where an address names none."""

ASYNC = ("fluentd-async", "fluentd-async-connect")
"""Options with which the fluentd driver does not wait to be connected."""

YES = ("1", "t", "T", "TRUE", "true", "True")
"""What Go takes for true (strconv.ParseBool)."""


class LoggingDriver(Check):
    """The log driver of containers exists, and has what it needs.

    *Why*: dockerd starts with a log driver that is nowhere, or lacks an option such as an address. Each
    container that is to use it then fails: "error looking up logging plugin".

    *Needs*: `log-driver` and `log-opts`: one of the drivers of this release, or a plugin of that name.

    *Fix*: mend the name or add the option; install the plugin with `docker plugin install`.
    """

    id = "logging.driver"
    severity = Severity.REQUIRED
    references = (
        "https://docs.docker.com/engine/logging/configure/#supported-logging-drivers",
        f"{MOBY}/factory.go",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """Look for the driver, then for its options."""
        judgement = judged(host)
        from hostcheck.facts import _daemon_logging as table  # judging the configuration has loaded it

        driver = str(judgement.effective.get("log-driver") or "json-file")
        options = judgement.effective.get("log-opts") or {}
        where = {**spot(host, "log-driver"), "value": driver}
        known = table.log_drivers(judgement.version.numbers)
        if driver not in known:
            yield self._plugin(host, driver, known, where)
            return
        missing = [name for name in table.NEEDED_OPTIONS.get(driver, ()) if not options.get(name)]
        for name in missing:
            yield failed(
                subject(f"log-opts.{name}"),
                f"no container starts: the log driver {driver} needs {name}",
                expected="a value",
                hint=f'as "log-opts": {{"{name}": "..."}} in {docker.config_file(host)}',
                **where,
            )
        if not missing:
            yield passed(subject("log-driver"), f"{driver} is built in", **where)

    def _plugin(self, host: Host, name: str, known: list[str], where: dict[str, object]) -> Finding:
        """Judge a driver that is not built in."""
        from difflib import get_close_matches  # only for a name that is out of the ordinary

        meant = next(iter(get_close_matches(name, known, 1, 0.8)), "")
        try:
            path = plugins.plugin(host, name, docker.data_root(host))
        except Unavailable:
            # On a tree: the sockets of plugins are made after the boot. A slip of the pen has none.
            if not meant:
                raise
            path = None
        if path:
            return passed(subject("log-driver"), f"{name} is a plugin: {path}", **where)
        return failed(
            subject("log-driver"),
            f"no container starts: there is no log driver {name}, nor a plugin of that name",
            expected=meant or f"one of {', '.join(known)}, or a plugin",
            hint=f"write {meant} in {where['path']}" if meant else f"docker plugin install {name}",
            **where,
        )


class LoggingEndpoint(Check):
    """What takes the logs of containers is there.

    *Why*: the drivers journald, syslog, fluentd and gelf over TCP connect before the container starts. Where
    nothing answers, no container starts: "failed to initialize logging driver".

    *Needs*: the journal's socket, a syslog socket, or on this machine's own addresses somebody who listens.
    UDP, `fluentd-async` and other machines are not looked at.

    *Fix*: start what takes the logs before docker, or set "fluentd-async": "true".
    """

    id = "logging.endpoint"
    severity = Severity.REQUIRED
    references = (
        f"{MOBY}/journald/journald.go",
        f"{MOBY}/syslog/syslog.go",
        f"{MOBY}/fluentd/fluentd.go",
        "https://docs.docker.com/engine/logging/drivers/fluentd/",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """Look for the other end."""
        judgement = judged(host)
        driver = judgement.effective.get("log-driver")
        options = judgement.effective.get("log-opts") or {}
        where = spot(host, f"log-opts.{driver}-address", "log-driver")
        if host.kind == "live":
            where["when"] = "now"
        if driver == "journald":
            yield self._journal(host, where)
        elif driver in ("syslog", "fluentd", "gelf"):
            yield from self._address(host, driver, options, where)
        else:
            raise NotApplicable(f"{driver} connects to nothing on this host")

    def _journal(self, host: Host, where: dict[str, object]) -> Finding:
        # Where systemd is the init (sd_booted(3)) the journal comes with it.
        running = (JOURNAL, "/run/systemd/system")
        there = any(map(host.exists, running)) if host.kind == "live" else docker.asked(host).systemd
        if there is None:
            raise Unavailable("whether systemd runs this host cannot be told")
        if there:
            return passed("journald", "the journal takes the logs", value="present", **where)
        return failed(
            "journald",
            "no container starts: the log driver is journald, and there is no systemd-journald",
            value="absent",
            expected=JOURNAL,
            hint=f"choose the log driver local in {where['path']}",
            **where,
        )

    def _address(
        self, host: Host, driver: str, options: dict[str, str], where: dict[str, object]
    ) -> Iterator[Finding]:
        address = options.get(f"{driver}-address", "")
        scheme, _, rest = address.rpartition("://")
        if driver == "fluentd" and any(options.get(name) in YES for name in ASYNC):
            yield passed(
                driver, "connects later: containers start without it", value=address or None, **where
            )
        elif scheme == "udp" or (driver == "gelf" and not address):
            yield passed(driver, "does not wait for an answer", value=address or None, **where)
        elif scheme in ("unix", "unixgram") or (driver == "syslog" and not address):
            yield self._socket(host, driver, rest, where)
        else:
            yield self._port(host, driver, rest or "127.0.0.1", where)

    def _socket(self, host: Host, driver: str, path: str, where: dict[str, object]) -> Finding:
        """Look for a socket; without a path for that of the host's syslog daemon."""
        if not path and host.kind != "live" and docker.asked(host).systemd:
            return passed(driver, "systemd's journal listens on /dev/log", value="/dev/log", **where)
        found = next((each for each in ([path] if path else SYSLOG) if host.exists(each)), None)
        if found:
            return passed(driver, f"{found} is there", value=found, **where)
        name = path or SYSLOG[0]
        return failed(
            driver,
            f"no container starts: nothing takes the logs at {name}",
            value="absent",
            expected=name,
            hint="start the syslog daemon before docker"
            if driver == "syslog"
            else f"start {driver} before docker",
            **where,
        )

    def _port(self, host: Host, driver: str, address: str, where: dict[str, object]) -> Finding:
        """Look for a listener, where the address is this machine's own."""
        name = host_of(address)
        port = address.rpartition(":")[2] if ":" in address.rpartition("]")[2] else PORTS.get(driver, "")
        where = {**where, "value": f"{name}:{port}"}
        if not sockets.is_loopback(name) or not port.isdecimal():
            return passed(driver, f"{name} is elsewhere: whether it answers is not looked at", **where)
        if host.kind != "live":
            raise Unavailable(f"whether something listens on {name}:{port} is known when it runs")
        if sockets.answers(host, name, int(port)):
            return passed(driver, f"something listens on {name}:{port}", **where)
        later = self._may_be_a_container(host)
        return failed(
            driver,
            f"nothing listens on {name}:{port}: no container starts"
            + (" before the one that is to take the logs" if later else ""),
            expected=f"a listener on {name}:{port}",
            severity=Severity.RECOMMENDED if later else None,
            hint='set "fluentd-async": "true", or start fluentd before docker'
            if driver == "fluentd"
            else f"start what takes the logs on port {port} before docker",
            **where,
        )

    def _may_be_a_container(self, host: Host) -> bool:
        """Return whether a container, which has a log driver of its own, may be what is to listen."""
        proxied = docker.effective(host).get("userland-proxy")
        if proxied and proxied.value is False:
            return True
        if engine.stage(host) == "before" or host.pids("dockerd"):
            return False
        try:
            return bool(files.names(host, f"{docker.data_root(host)}/containers"))
        except (OSError, Unavailable):
            return True
