"""How systemd runs the engines: their programs and socket, restarts, and what a stop does to containers."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, Unavailable, Version, failed, passed
from hostcheck.facts import engine, systemd
from hostcheck.facts.files import names, text, which
from hostcheck.facts.unitvalues import Unit

from ._units import (
    ALL,
    CONTAINERD_UNIT,
    DAEMONS,
    DOCKER_UNIT,
    EXEC_5,
    SERVICE_5,
    at,
    drop_in,
    need_systemd,
    units,
)


class SystemdDelegate(Check):
    """systemd leaves the cgroups below the engines alone.

    *Why*: without Delegate=yes systemd may take controllers away from, or move processes in, cgroups below the unit's
    own, at every daemon-reload. containerd asks for it. Containers of docker under the systemd driver live in scopes
    of their own, which runc delegates, so there it is good order only.

    *Needs*: Delegate= anything but no, in docker.service and containerd.service; native.cgroupdriver from dockerd's
    flags and daemon.json.

    *Fix*: Delegate=yes in a drop-in.
    """

    id = "systemd.delegate"
    severity = Severity.RECOMMENDED
    references = (
        "https://systemd.io/CGROUP_DELEGATION/",
        "https://github.com/containerd/containerd/blob/main/docs/ops.md",
        DOCKER_UNIT,
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        for unit in units(host, DAEMONS):
            subject = f"{unit.name} Delegate"
            setting = unit.get("Delegate")
            more = {"value": unit.value("Delegate"), "expected": "yes", **at(setting, unit)}
            if unit.value("Delegate") == "yes":
                yield passed(subject, "the unit's cgroup is the engine's", **more)
                continue
            mild = unit.name == "docker.service" and "native.cgroupdriver=cgroupfs" not in _options(host)
            yield failed(
                subject,
                "systemd may take controllers from the engine's cgroups at a daemon-reload",
                **more,
                severity=Severity.INFO if mild else None,
                commands=drop_in(unit, "Delegate=yes"),
            )


def _options(host: Host) -> str:
    """Return dockerd's flags and its configuration file as one text without spaces, to look for an option in."""
    flags = " ".join(word for command in systemd.exec_start(host, "docker.service") for word in command.argv)
    try:
        return flags + "".join((text(host, "/etc/docker/daemon.json") or "").split())
    except (PermissionError, Unavailable):
        return flags


class SystemdKillMode(Check):
    """Stopping or restarting an engine leaves its containers alone.

    *Why*: with KillMode=control-group systemd kills every process in the unit's cgroup, the shims of all containers
    among them: an upgrade of containerd then stops containers, and so does one of docker in spite of live-restore.
    Without live-restore dockerd stops its containers itself.

    *Needs*: KillMode=process in docker.service and containerd.service.

    *Fix*: KillMode=process in a drop-in.
    """

    id = "systemd.kill_mode"
    severity = Severity.RECOMMENDED
    references = (
        "https://www.freedesktop.org/software/systemd/man/latest/systemd.kill.html",
        DOCKER_UNIT,
        CONTAINERD_UNIT,
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        for unit in units(host, DAEMONS):
            subject = f"{unit.name} KillMode"
            value = unit.value("KillMode")
            more = {"value": value, "expected": "process", **at(unit.get("KillMode"), unit)}
            options = _options(host) if unit.name == "docker.service" and value != "process" else ""
            mild = unit.name == "docker.service" and "live-restore" not in options
            if value == "process":
                yield passed(subject, "only the engine itself is stopped", **more)
            elif value == "none":
                yield failed(
                    subject,
                    "none: the old engine goes on when it is stopped",
                    **more,
                    commands=drop_in(unit, "KillMode=process"),
                )
            else:
                yield failed(
                    subject,
                    f"{value}: a stop or restart kills everything that the engine started too",
                    **more,
                    severity=Severity.INFO if mild else None,
                    commands=drop_in(unit, "KillMode=process"),
                )


class SystemdRestart(Check):
    """An engine that dies is started again.

    *Why*: without Restart= a crash of the engine lasts until somebody notices.

    *Needs*: Restart= other than no. Of StartLimitInterval, the old name in [Service] counts in every release; the name
    StartLimitIntervalSec counts in [Unit] only, since 230.

    *Fix*: Restart=always in a drop-in; StartLimitIntervalSec into [Unit].
    """

    id = "systemd.restart"
    severity = Severity.INFO
    references = (SERVICE_5, "https://github.com/systemd/systemd/blob/v230/NEWS", DOCKER_UNIT)

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        for unit in units(host, ALL):
            value = unit.value("Restart")
            more = {"value": value, "expected": "always", **at(unit.get("Restart"), unit)}
            if value == "no":
                yield failed(
                    f"{unit.name} Restart",
                    "no: after a crash the engine stays down",
                    **more,
                    commands=drop_in(unit, "Restart=always", "RestartSec=2"),
                )
            else:
                yield passed(f"{unit.name} Restart", value, **more)
            yield self.start_limit(unit)

    def start_limit(self, unit: Unit) -> Finding:
        """Judge where the start limit is written."""
        subject = f"{unit.name} StartLimitInterval"
        value = unit.value("StartLimitIntervalUSec")
        for said in unit.assignments:
            if said.key.startswith("StartLimit") and not unit.manager.knows_start_limit(
                said.section, said.key
            ):
                return failed(
                    subject,
                    f"{said.key} is no key of [{said.section}] in this systemd and ignored: {value} holds",
                    value=value,
                    expected=said.value,
                    path=said.path,
                    line=said.line,
                    when="boot",
                    hint="write StartLimitIntervalSec in [Unit] (systemd 230 and later)",
                )
        return passed(subject, value, value=value, **at(unit.get("StartLimitIntervalUSec"), unit))


class SystemdExec(Check):
    """systemd accepts the engines' units and finds the programs that they name.

    *Why*: a unit with a second ExecStart=, a missing program or a missing environment file does not start.

    *Needs*: the unit's load state, the programs of ExecStartPre= and ExecStart= (those without a leading -), the files
    of EnvironmentFile= (without -), and for `-H fd://` a docker.socket that comes with it.

    *Fix*: named with each finding.
    """

    id = "systemd.exec"
    severity = Severity.REQUIRED
    references = (SERVICE_5, EXEC_5, "https://docs.docker.com/engine/daemon/troubleshoot/")

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        # A copy of /etc and a few folders, as some tools inspect it, says nothing of programs.
        partial = not any(host.exists(folder) for folder in ("/usr/bin", "/bin", "/usr/local/bin"))
        for unit in units(host, ALL):
            if unit.load == "bad-setting":
                yield self.refused(unit)
                continue
            for key in ("ExecStartPre", "ExecStart"):
                for command in unit.commands(key):
                    if not command.ignore_errors and not partial:
                        yield self.program(host, unit, key, command.program, command.path, command.line)
            for path, optional, said in unit.environment_files():
                if not optional and not any(char in path for char in "*?["):
                    yield from self.environment_file(host, unit, path, said.path, said.line)
            if unit.name == "docker.service":
                yield from self.old_command(host, unit)
                yield from self.socket(host, unit)
        if partial:
            raise Unavailable(
                "this tree holds no programs at all, so whether the units' are there cannot be told"
            )

    def old_command(self, host: Host, unit: Unit) -> Iterator[Finding]:
        """Say whether the unit starts the daemon by `docker daemon`, which 17.12 no longer has."""
        for command in unit.commands("ExecStart"):
            program, *rest = (*command.argv, "")
            number = engine.docker_version(host)
            gone = number is None or number >= Version("17.12")
            if program.endswith("/docker") and rest[0] in ("daemon", "-d") and gone:
                flags = " ".join(rest[1:]).rstrip()
                yield failed(
                    f"{unit.name} ExecStart",
                    f"`docker {rest[0]}` is no command any more: the unit fails",
                    value=f"docker {rest[0]}",
                    expected="dockerd",
                    path=command.path,
                    line=command.line,
                    when="boot",
                    commands=drop_in(unit, "ExecStart=", f"ExecStart=/usr/bin/dockerd {flags}".rstrip()),
                )

    def refused(self, unit: Unit) -> Finding:
        """Say why systemd refuses the unit."""
        setting = unit.get("ExecStart")
        last = unit.dropins[-1] if unit.dropins else unit.shown
        more = {"path": setting.path, "line": setting.line} if setting else {"path": last}
        return failed(
            f"{unit.name} ExecStart",
            f"systemd refuses the unit: {unit.reason}",
            value="bad-setting",
            expected="loaded",
            when="boot",
            hint="put an empty line 'ExecStart=' before the new one in the drop-in"
            if "more than one" in unit.reason
            else "",
            commands=[f"systemctl edit {unit.name}"],
            **more,
        )

    def program(self, host: Host, unit: Unit, key: str, program: str, path: str, line: int) -> Finding:
        """Judge one program."""
        subject = f"{unit.name} {key} {program}"
        more = {"expected": "an executable file", "path": path, "line": line, "when": "boot"}
        if "/" not in program:
            found = which(host, program)
            if found:
                return passed(subject, f"{found} is there", value=found, **more)
            return failed(
                subject,
                f"{program} is nowhere in the search path: the unit fails (203/EXEC)",
                value="missing",
                **more,
            )
        try:
            there = host.stat(program)
        except FileNotFoundError:
            hint = ""
            commands: list[str] = []
            if unit.shadowed and unit.shown.startswith("/etc/"):
                hint = f"{unit.shown} stands before {unit.shadowed[0]}, which the package brought"
                commands = [f"rm {unit.shown}", "systemctl daemon-reload", f"systemctl restart {unit.name}"]
            else:
                elsewhere = which(host, program.rpartition("/")[2])
                hint = f"{elsewhere} is there" if elsewhere else "install the engine, or mend the path"
                if elsewhere and key == "ExecStart":
                    rest = " ".join(unit.commands(key)[-1].argv[1:])
                    commands = drop_in(unit, "ExecStart=", f"ExecStart={elsewhere} {rest}".rstrip())
            return failed(
                subject,
                f"{program} does not exist: the unit fails (203/EXEC)",
                value="missing",
                hint=hint,
                commands=commands,
                **more,
            )
        if there.is_executable:
            return passed(subject, f"{program} is there", value="there", **more)
        return failed(
            subject,
            f"{program} is not executable: the unit fails (203/EXEC)",
            value=f"mode {there.mode & 0o7777:04o}",
            commands=[f"chmod 755 {program}"] if there.is_file else [],
            **more,
        )

    def environment_file(self, host: Host, unit: Unit, path: str, said: str, line: int) -> Iterator[Finding]:
        """Judge one environment file that must be there."""
        subject = f"{unit.name} EnvironmentFile {path}"
        more = {"expected": "a file", "path": said, "line": line, "when": "boot"}
        try:
            there = host.exists(path)
        except Unavailable:
            return
        if there:
            yield passed(subject, f"{path} is there", value="there", **more)
        elif path.startswith("/run/") and host.kind == "live":
            return
        else:
            yield failed(
                subject,
                f"{path} does not exist: the unit fails before its program starts",
                value="missing",
                hint="write EnvironmentFile=-... if it may be missing",
                commands=[f"touch {path}"],
                **more,
            )

    def socket(self, host: Host, unit: Unit) -> Iterator[Finding]:
        """Judge `-H fd://`: the descriptor must come from docker.socket."""
        commands = systemd.exec_start(host, unit.name)
        words = commands[-1].argv if commands else ()
        if not any(word.split("=", 1)[-1].startswith("fd://") for word in words):
            return
        subject = "docker.service ExecStart fd://"
        where = unit.get("ExecStart")
        more = {"expected": "docker.socket started with it", **at(where, unit)}
        sock = systemd.unit(host, "docker.socket")
        state = systemd.enabled(host, "docker.socket")
        needs = " ".join(unit.value(prop) for prop in ("Requires", "BindsTo", "Wants", "Sockets")).split()
        if sock is None or sock.load in ("not-found", "masked"):
            seen = "missing" if sock is None else sock.load
            yield failed(
                subject,
                f"docker.socket is {seen}, so dockerd finds no socket at fd:// and ends",
                value=seen,
                commands=["systemctl unmask docker.socket", "systemctl enable --now docker.socket"]
                if seen == "masked"
                else drop_in(
                    unit,
                    "ExecStart=",
                    "ExecStart=" + " ".join("unix://" if w == "fd://" else w for w in words),
                ),
                **more,
            )
        elif "docker.socket" in needs or (state and state.value.startswith("enabled")):
            yield passed(subject, "docker.socket comes with it", value="there", **more)
        else:
            yield failed(
                subject,
                "docker.socket is neither enabled nor required, so dockerd finds no socket at fd:// and ends",
                value=state.value if state else "disabled",
                commands=["systemctl enable --now docker.socket"],
                **more,
            )


class SystemdSocket(Check):
    """docker.socket can be made.

    *Why*: docker.socket hands its socket to the group in SocketGroup=; if there is no such group it fails, and with it
    docker.service. It is made early at boot, before SSSD and what else asks a directory runs.

    *Needs*: docker.socket, /etc/nsswitch.conf and the files of groups, or After= what asks the directory. What stands
    where the socket is to be: places.sockets.

    *Fix*: groupadd --system docker.
    """

    id = "systemd.socket"
    severity = Severity.REQUIRED
    references = ("https://www.freedesktop.org/software/systemd/man/latest/systemd.socket.html", DOCKER_UNIT)

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        need_systemd(host)
        engine.need_docker(host)
        socket = systemd.unit(host, "docker.socket")
        if socket is None or socket.load != "loaded":
            raise NotApplicable("there is no docker.socket")
        yield self.group(host, socket)

    def group(self, host: Host, socket: Unit) -> Finding:
        """Judge SocketGroup."""
        named = next(
            (a for a in reversed(socket.assignments) if a.key == "SocketGroup" and a.section == "Socket"),
            None,
        )
        if named is None or not named.value or named.value.isdecimal():
            return passed("docker.socket SocketGroup", "root's", when="boot", path=socket.shown)
        more = {
            "value": named.value,
            "expected": "a group of this host",
            "path": named.path,
            "line": named.line,
            "when": "boot",
        }
        where = group_sources(host)
        if has_group(host, named.value, where):
            return passed("docker.socket SocketGroup", f"{named.value} exists", **more)
        asked = [word for word in where if word not in OWN_SOURCES and not word.startswith("[")]
        if asked and any(
            a.key == "After" and DIRECTORY_UNITS & set(a.value.split()) for a in socket.assignments
        ):
            return passed("docker.socket SocketGroup", f"{named.value} may come from {asked[0]}", **more)
        if asked:
            return failed(
                "docker.socket SocketGroup",
                f"{named.value} is not in /etc/group, and at boot {asked[0]} is asked before it can answer:"
                " docker.socket may fail (216/GROUP), and docker.service with it",
                severity=Severity.RECOMMENDED,
                commands=[
                    "mkdir -p /etc/systemd/system/docker.socket.d",
                    "printf '[Unit]\\nAfter=nss-user-lookup.target sssd.service network-online.target\\n"
                    "Wants=network-online.target\\n' > /etc/systemd/system/docker.socket.d/90-group.conf",
                ],
                hint=f"or add {named.value} with its number to /etc/group",
                **more,
            )
        return failed(
            "docker.socket SocketGroup",
            f"there is no group {named.value}: docker.socket fails (216/GROUP), and docker.service with it",
            commands=[f"groupadd --system {named.value}", "systemctl restart docker.socket docker.service"],
            **more,
        )


OWN_SOURCES = ("files", "compat", "db", "systemd", "mymachines", "altfiles", "extrausers")
"""Sources of groups in nsswitch.conf(5) that are this host's own."""

DIRECTORY_UNITS = {
    "nss-user-lookup.target",
    "sssd.service",
    "nslcd.service",
    "winbind.service",
    "network-online.target",
}
"""Units after which the others can answer."""


def group_sources(host: Host) -> tuple[str, ...]:
    """Return where this host looks for groups; SSSD only where it is set up, as distributions name it anyway."""
    lines = (text(host, "/etc/nsswitch.conf") or "").splitlines()
    words = next((line.split("#")[0].split()[1:] for line in lines if line.startswith("group:")), ["files"])
    # Of a copy of some of /etc it is not known.
    without = host.exists("/bin/sh") and not (
        host.exists("/etc/sssd/sssd.conf") or names(host, "/etc/sssd/conf.d")
    )
    return tuple(word for word in words if word != "sss" or not without)


def has_group(host: Host, name: str, sources: tuple[str, ...]) -> bool:
    """Return whether the host's own files have a group, or cannot be seen, or will have it after the first boot."""
    listed = text(host, "/etc/group")
    for path, asked in (("/usr/lib/group", "altfiles"), ("/var/lib/extrausers/group", "extrausers")):
        listed = listed if asked not in sources or listed is None else listed + (text(host, path) or "")
    if listed is None or any(line.startswith(f"{name}:") for line in listed.splitlines()):
        return True
    if any(host.exists(f"{folder}/userdb/{name}.group") for folder in ("/etc", "/usr/lib")):
        return True
    # systemd-sysusers(8) makes what is missing when /etc is older than /usr, as at the first boot.
    return host.kind != "live" and any(
        re.search(rf"(?m)^[gu]!?\s+{re.escape(name)}\s", text(host, f"{folder}/{each}") or "")
        for folder in ("/usr/lib/sysusers.d", "/etc/sysusers.d")
        for each in names(host, folder)
    )
