"""Units of the engines: will systemd start them, with which limits, and what happens to containers then."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Optional

from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, Unavailable, Version, failed, passed
from hostcheck.facts import engine, packages, sysctl, systemd
from hostcheck.facts.files import Source, text, which
from hostcheck.facts.systemd import Setting, Unit
from hostcheck.facts.unitfile import Problem, parse_size

DOCKER_UNIT = "https://github.com/moby/moby/blob/master/contrib/init/systemd/docker.service"
CONTAINERD_UNIT = "https://github.com/containerd/containerd/blob/main/containerd.service"
EXEC_5 = "https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html"
SERVICE_5 = "https://www.freedesktop.org/software/systemd/man/latest/systemd.service.html"
UNIT_5 = "https://www.freedesktop.org/software/systemd/man/latest/systemd.unit.html"
RESOURCE_5 = "https://www.freedesktop.org/software/systemd/man/latest/systemd.resource-control.html"

ENGINES = {
    "docker.service": "docker",
    "containerd.service": "containerd",
    "kubelet.service": "kubelet",
    "crio.service": "crio",
}
"""Unit to the engine that it starts."""
DAEMONS = ("docker.service", "containerd.service")
ALL = (*DAEMONS, "kubelet.service", "crio.service")


def units(host: Host, wanted: tuple[str, ...]) -> list[Unit]:
    """Return those of the units that exist and can be started.

    Raises:
        NotApplicable: no engine is installed, systemd is not the init, or there is no such unit.

    """
    need_systemd(host)
    found = []
    for name in wanted:
        if engine.stage(host, ENGINES.get(name, "docker")) != "before":
            unit = systemd.unit(host, name)
            if unit is not None and unit.load in ("loaded", "bad-setting"):
                found.append(unit)
    if not found:
        raise NotApplicable(f"none of {', '.join(wanted)} is installed")
    return found


def need_systemd(host: Host) -> None:
    """Raise NotApplicable where the engine is not installed yet, or something else than systemd starts it."""
    if all(engine.stage(host, name) == "before" for name in ENGINES.values()):
        raise NotApplicable("docker is not installed")
    other = systemd.other_init(host)
    if other:
        raise NotApplicable(f"{other} is the init here, and reads no units")


def drop_in(unit: Unit, *lines: str) -> list[str]:
    """Return the commands that add lines to [Service] of a unit for good; each setting has a file of its own."""
    folder = f"/etc/systemd/system/{unit.name}.d"
    path = f"{folder}/90-{lines[0].partition('=')[0].lower()}.conf"
    body = "".join(
        line.replace("\\", "\\\\").replace("%", "%%").replace("'", "'\\''") + "\\n" for line in lines
    )
    return [
        f"mkdir -p {folder}",
        f"printf '[Service]\\n{body}' > {path}",
        "systemctl daemon-reload",
        f"systemctl restart {unit.name}",
    ]


def at(setting: Optional[Setting], unit: Optional[Unit] = None) -> dict[str, object]:
    """Return where a setting comes from, as a finding wants it."""
    if setting is not None and setting.path:
        return {"path": setting.path, "line": setting.line, "when": "boot"}
    return {"path": unit.shown if unit else None, "when": "boot"}


class SystemdLimits(Check):
    """Engines and their containers may open enough files and start enough processes.

    *Why*: containers inherit the limits of the engine's unit. With too few open files databases, proxies and the engine
    itself fail under load.

    *Needs*: unit files, drop-ins and system.conf. LimitNOFILE of at least `nofile` (hard); LimitNPROC unset, infinity
    or at least `nproc`. Neither infinity nor systemd's own 1024:524288 is wrong: upstream ships the one up to docker
    24 and containerd 1.7, the other since. A number above fs.nr_open cannot be set, and the unit does not start.

    *Fix*: a drop-in with LimitNOFILE=1048576 or LimitNOFILE=1024:524288, then daemon-reload and restart.
    """

    id = "systemd.limits"
    severity = Severity.RECOMMENDED
    references = (EXEC_5, DOCKER_UNIT, CONTAINERD_UNIT, "https://github.com/moby/moby/pull/45534")
    nofile: int = 65536
    """Open files that the hard limit must allow at least."""
    nofile_required: int = 40
    """Open files below which no container starts (tried with docker 20.10: one runs with 40, none with 32)."""
    nproc: int = 16384
    """Processes of root, over all containers, that a finite LimitNPROC must allow at least."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        for unit in units(host, ALL):
            yield self.open_files(host, unit)
            yield self.processes(unit)
            yield self.core(unit)

    def open_files(self, host: Host, unit: Unit) -> Finding:
        """Judge LimitNOFILE."""
        subject = f"{unit.name} LimitNOFILE"
        limit, where = unit.limit("NOFILE")
        if limit is None:
            return passed(subject, "not set, the machine's default holds", **at(None, unit))
        shown = limit.hard if limit.soft == limit.hard else f"{limit.soft}:{limit.hard}"
        more = {"value": shown, "expected": f"at least {self.nofile}", **at(where, unit)}
        mend = drop_in(unit, "LimitNOFILE=1048576")
        if limit.hard == "infinity":
            return passed(
                subject,
                "infinity: no limit (old software that closes every descriptor may be slow in containers)",
                **more,
            )
        ceiling = nr_open(host)
        if ceiling is not None and int(limit.hard) > ceiling[0]:
            more["expected"] = f"at most fs.nr_open, {ceiling[0]}"
            return failed(
                subject,
                f"{limit.hard} is above fs.nr_open ({ceiling[0]}): the unit fails when it starts (205/LIMITS)",
                **more,
                severity=Severity.REQUIRED,
                commands=drop_in(unit, f"LimitNOFILE={ceiling[0]}"),
                hint=f"or take fs.nr_open out of {ceiling[1]}" if ceiling[1] else "",
            )
        if int(limit.hard) < self.nofile_required:
            return failed(
                subject,
                f"{shown} open files: too few for the engine",
                **more,
                severity=Severity.REQUIRED,
                commands=mend,
            )
        if int(limit.hard) < self.nofile:
            return failed(
                subject, f"containers may open only {limit.hard} files each process", **more, commands=mend
            )
        if limit.soft != "infinity" and int(limit.soft) < 1024:
            return failed(
                subject,
                f"containers start with a soft limit of {limit.soft} open files",
                **more,
                commands=mend,
            )
        if limit.soft == "1024" and unit.name == "containerd.service":
            return failed(
                subject,
                f"{shown}: containers start with a soft limit of 1024, as upstream has it since containerd 2.0",
                **more,
                severity=Severity.INFO,
                hint="only where software in containers says 'too many open files'",
                commands=mend,
            )
        return passed(subject, f"{shown} open files", **more)

    def processes(self, unit: Unit) -> Finding:
        """Judge LimitNPROC."""
        subject = f"{unit.name} LimitNPROC"
        limit, where = unit.limit("NPROC")
        if limit is None:
            return passed(subject, "not set: the kernel's default, half of threads-max", **at(None, unit))
        more = {"value": limit.hard, "expected": f"infinity, or at least {self.nproc}", **at(where, unit)}
        if limit.hard != "infinity" and int(limit.hard) < self.nproc:
            return failed(
                subject,
                f"root may have {limit.hard} processes over all containers together",
                **more,
                commands=drop_in(unit, "LimitNPROC=infinity"),
            )
        return passed(subject, limit.hard, **more)

    def core(self, unit: Unit) -> Finding:
        """Show LimitCORE; no value is wrong."""
        limit, where = unit.limit("CORE")
        value = limit.hard if limit else "default"
        message = "0: containers leave no core dumps" if value == "0" else value
        return passed(f"{unit.name} LimitCORE", message, value=value, **at(where, unit))


def nr_open(host: Host) -> Optional[tuple[int, str]]:
    """Return fs.nr_open where somebody sets it, and the file; None where systemd raises it by itself."""
    found = sysctl.boot_setting(host, "fs.nr_open")
    if found is not None and found.value is not None and found.value.isdigit():
        return int(found.value), found.path
    if host.kind == "live":
        try:
            value = sysctl.now(host, "fs.nr_open")
        except (OSError, Unavailable):
            return None
        if value is not None and value.strip().isdigit():
            return int(value), ""
    return None


class SystemdTasksMax(Check):
    """The units of the engines may hold as many tasks as they need.

    *Why*: every container has a shim of about a dozen threads in the cgroup of its engine's unit, and where the engine
    starts containers below its own cgroup they count too. At the limit fork() fails.

    *Needs*: TasksMax=infinity as upstream has it, or a number of at least `minimum`. systemd's default is 15 % of what
    the machine can have, 512 in releases 227 and 228.

    *Fix*: TasksMax=infinity in a drop-in.
    """

    id = "systemd.tasks_max"
    severity = Severity.RECOMMENDED
    references = (RESOURCE_5, DOCKER_UNIT, CONTAINERD_UNIT)
    minimum: int = 4096
    """Tasks that a finite limit must allow."""
    required: int = 64
    """Tasks below which an engine does not start."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        for unit in units(host, (*DAEMONS, "crio.service")):
            subject = f"{unit.name} TasksMax"
            setting = unit.get("TasksMax")
            value = setting.value if setting else "infinity"
            more = {"value": value, "expected": f"infinity, or at least {self.minimum}", **at(setting, unit)}
            mend = drop_in(unit, "TasksMax=infinity")
            if value == "infinity":
                yield passed(subject, "no limit", **more)
            elif value.isdigit() and int(value) < self.required:
                yield failed(
                    subject,
                    f"{value} tasks: too few for the engine",
                    **more,
                    severity=Severity.REQUIRED,
                    commands=mend,
                )
            elif (
                value.isdigit()
                and int(value) < self.minimum
                and not (setting and setting.default and value != "512")
            ):
                yield failed(
                    subject,
                    f"{value} tasks: some hundred containers' shims reach that",
                    **more,
                    commands=mend,
                )
            elif setting and setting.default:
                yield failed(
                    subject,
                    "not set: systemd's default of 15 % of the machine's tasks holds for all shims together",
                    **more,
                    severity=Severity.INFO,
                    commands=mend,
                )
            else:
                yield passed(subject, f"{value} tasks", **more)


class SystemdMemoryMax(Check):
    """The units of the engines may take the memory that they need.

    *Why*: the kernel kills what goes beyond MemoryMax. With 20 MiB dockerd 20.10 to 28.5 are killed at their start, and
    containerd 1.6 to 2.1 when the first container starts; with 28 MiB some still are.

    *Needs*: no MemoryMax, or one of at least `minimum`. Containers are counted in control groups of their own.

    *Fix*: MemoryMax=infinity in a drop-in.
    """

    id = "systemd.memory_max"
    severity = Severity.RECOMMENDED
    references = (RESOURCE_5, DOCKER_UNIT, CONTAINERD_UNIT)
    minimum: int = 64
    """MiB that a limit must allow."""
    required: int = 20
    """MiB with which an engine starts no container."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        for unit in units(host, DAEMONS):
            setting = unit.get("MemoryMax")
            value = setting.value if setting else ""
            more = {"value": value or "infinity", "expected": f"infinity, or at least {self.minimum}M"}
            size = parse_size(value)
            subject = f"{unit.name} MemoryMax"
            if size is None:
                # None, a share of what the machine will have, or a value that systemd ignores.
                yield passed(subject, value or "no limit", **more, **at(setting, unit))
                continue
            mib = size >> 20
            if mib >= self.minimum:
                yield passed(subject, f"{mib} MiB", **more, **at(setting, unit))
                continue
            yield failed(
                subject,
                f"{mib} MiB: the kernel kills the daemon",
                severity=Severity.REQUIRED if size <= self.required << 20 else None,
                commands=drop_in(unit, "MemoryMax=infinity"),
                **more,
                **at(setting, unit),
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


class SystemdOomScore(Check):
    """The kernel's memory killer spares the engines.

    *Why*: when memory runs out the kernel kills the process with the highest score; an engine that dies takes the
    management of all containers with it.

    *Needs*: OOMScoreAdjust below 0. dockerd gave itself -500 up to release 24; since 25 its unit does.

    *Fix*: OOMScoreAdjust=-500 (docker), -999 (containerd) in a drop-in.
    """

    id = "systemd.oom_score"
    severity = Severity.INFO
    references = (EXEC_5, DOCKER_UNIT, CONTAINERD_UNIT)

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        for unit in units(host, DAEMONS):
            subject = f"{unit.name} OOMScoreAdjust"
            want = "-999" if unit.name.startswith("containerd") else "-500"
            setting = unit.get("OOMScoreAdjust")
            value = unit.value("OOMScoreAdjust")
            more = {"value": value, "expected": want, **at(setting, unit)}
            if int(value or "0") < 0:
                yield passed(subject, value, **more)
                continue
            if unit.name == "docker.service" and setting and setting.default and _before_25(host):
                yield passed(subject, "not set: dockerd gives itself -500", **more)
            else:
                yield failed(
                    subject,
                    f"{value}: the kernel kills the engine like any other process when memory runs out",
                    **more,
                    commands=drop_in(unit, f"OOMScoreAdjust={want}"),
                )


def _before_25(host: Host) -> bool:
    """Return whether dockerd is older than 25, by itself or by its package."""
    try:
        version = engine.docker_version(host)
        if version is None:
            package = packages.installed(host, "docker-ce", "docker.io", "moby-engine", "docker-engine")
            version = Version(package.version) if package else None
    except (OSError, ValueError, Unavailable):
        return False
    return version is not None and version.major < 25


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


class SystemdDependencies(Check):
    """Every unit that an engine's unit cannot do without exists.

    *Why*: systemd does not start a unit whose Requires= or BindsTo= names a unit that is missing or masked. It happens
    where a unit file of another package's docker was copied.

    *Needs*: services and sockets named in Requires=, BindsTo= and Requisite=.

    *Fix*: remove the copy, or the line.
    """

    id = "systemd.dependencies"
    severity = Severity.REQUIRED
    references = (UNIT_5,)

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        for unit in units(host, ALL):
            asked = False
            for prop in ("Requires", "BindsTo", "Requisite"):
                setting = unit.get(prop)
                for name in (setting.value if setting else "").split():
                    if not name.endswith((".service", ".socket")):
                        continue
                    asked = True
                    other = systemd.unit(host, name)
                    load = other.load if other else "not-found"
                    more = {"value": load, "expected": "loaded", **at(setting, unit)}
                    if load == "loaded":
                        yield passed(f"{unit.name} {prop} {name}", "it exists", **more)
                        continue
                    whole = unit.shown.startswith("/etc/") and unit.shadowed
                    yield failed(
                        f"{unit.name} {prop} {name}",
                        f"{name} is {'missing' if load == 'not-found' else load}: systemd will not start {unit.name}",
                        hint=""
                        if whole or load == "masked"
                        else f"install what brings {name}, or take it out of {prop}=",
                        commands=[f"systemctl unmask {name}"]
                        if load == "masked"
                        else [f"rm {unit.shown}", "systemctl daemon-reload", f"systemctl start {unit.name}"]
                        if whole
                        else [],
                        **more,
                    )
            if not asked:
                yield passed(
                    f"{unit.name} Requires", "it needs no other service", when="boot", path=unit.shown
                )


class SystemdSocket(Check):
    """docker.socket can be made.

    *Why*: docker.socket hands its socket to the group in SocketGroup=; if there is no such group it fails, and with it
    docker.service. And where /run/docker.sock is a folder neither systemd nor dockerd can make the socket; a container
    that binds the socket and starts before it makes that folder.

    *Needs*: docker.socket, /etc/group and /etc/nsswitch.conf; on a running host /run/docker.sock.

    *Fix*: groupadd --system docker; rmdir /run/docker.sock.
    """

    id = "systemd.socket"
    severity = Severity.REQUIRED
    references = ("https://www.freedesktop.org/software/systemd/man/latest/systemd.socket.html", DOCKER_UNIT)

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        need_systemd(host)
        if engine.stage(host) == "before":
            raise NotApplicable("docker is not installed")
        said = False
        if host.kind == "live" and host.exists("/run/docker.sock"):
            said = True
            if host.stat("/run/docker.sock").is_dir:
                yield failed(
                    "/run/docker.sock",
                    "it is a folder: neither systemd nor dockerd can make the socket",
                    value="folder",
                    expected="socket",
                    path="/run/docker.sock",
                    commands=["rmdir /run/docker.sock", "systemctl restart docker.socket docker.service"],
                )
            else:
                yield passed("/run/docker.sock", "it is no folder", value="there", path="/run/docker.sock")
        socket = systemd.unit(host, "docker.socket")
        if socket is not None and socket.load == "loaded":
            said = True
            yield self.group(host, socket)
        if not said:
            raise NotApplicable("there is no docker.socket")

    def group(self, host: Host, socket: Unit) -> Finding:
        """Judge SocketGroup."""
        named = next(
            (a for a in reversed(socket.assignments) if a.key == "SocketGroup" and a.section == "Socket"),
            None,
        )
        if named is None or not named.value or named.value.isdigit():
            return passed("docker.socket SocketGroup", "root's", when="boot", path=socket.shown)
        more = {"expected": "a group of this host", "path": named.path, "line": named.line, "when": "boot"}
        groups = text(host, "/etc/group")
        sources = next(
            (
                line.split()[1:]
                for line in (text(host, "/etc/nsswitch.conf") or "").splitlines()
                if line.startswith("group:")
            ),
            [],
        )
        local = all(
            word in ("files", "systemd", "compat", "altfiles") or word.startswith("[") for word in sources
        )
        if groups is None or any(line.startswith(named.value + ":") for line in groups.splitlines()):
            return passed("docker.socket SocketGroup", f"{named.value} exists", value=named.value, **more)
        if not local:
            return passed(
                "docker.socket SocketGroup",
                f"{named.value} may come from {' '.join(sources)}",
                value=named.value,
                **more,
            )
        return failed(
            "docker.socket SocketGroup",
            f"there is no group {named.value}: docker.socket fails (216/GROUP), and docker.service with it",
            value=named.value,
            commands=[f"groupadd --system {named.value}", "systemctl restart docker.socket docker.service"],
            **more,
        )


class SystemdEnabled(Check):
    """The engines start at boot.

    *Why*: a service that is not enabled does not start at the next boot. With docker.socket alone, containers that have
    a restart policy stay down until somebody runs a docker command; a published port wakes nobody. A masked unit cannot
    be started at all.

    *Needs*: links in .wants and .requires folders, masks; where the image has not had its first boot, presets.

    *Fix*: systemctl enable --now docker.service; systemctl unmask docker.service.
    """

    id = "systemd.enabled"
    severity = Severity.RECOMMENDED
    references = ("https://docs.docker.com/engine/install/linux-postinstall/", UNIT_5)

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        need_systemd(host)
        said = False
        for name, program in ENGINES.items():
            if engine.stage(host, program) == "before":
                continue
            unit = systemd.unit(host, name)
            if unit is None or unit.load == "not-found":
                if name == "docker.service":
                    said = True
                    yield self.no_unit(host)
                continue
            said = True
            yield self.state(host, unit)
            if unit.shadowed and unit.load != "masked":
                yield self.shadow(unit)
        if not said:
            raise NotApplicable("no engine has a unit here")

    def no_unit(self, host: Host) -> Finding:
        """Say that nothing starts dockerd, unless a snap does."""
        snap = systemd.unit(host, "snap.docker.dockerd.service")
        if snap is not None and snap.load == "loaded":
            return passed(
                "docker.service", "the snap's unit starts dockerd", value="snap", path=snap.shown, when="boot"
            )
        return failed(
            "docker.service",
            "there is no docker.service: nothing starts dockerd at boot",
            value="not-found",
            expected="enabled",
            when="boot",
            hint=f"install the package's unit, or the one of {DOCKER_UNIT}",
        )

    def state(self, host: Host, unit: Unit) -> Finding:
        """Judge one unit."""
        state = systemd.enabled(host, unit.name) or Setting("disabled")
        more = {"value": state.value, "expected": "enabled", "path": state.path, "when": "boot"}
        if state.value in ("masked", "masked-runtime"):
            if unit.name == "containerd.service" and not _uses_containerd_unit(host):
                return passed(unit.name, "masked, and not needed: dockerd starts its own", **more)
            return failed(
                unit.name,
                "it is masked and cannot be started",
                **more,
                severity=Severity.REQUIRED,
                commands=[f"systemctl unmask {unit.name}", f"systemctl enable --now {unit.name}"],
            )
        if state.value in ("enabled", "generated", "static", "transient") or state.value == "alias":
            return passed(unit.name, f"it starts at boot ({state.value})", **more)
        waker = self.wanted_by(host, unit)
        if waker:
            return passed(unit.name, f"{waker} starts it", **more)
        if self.first_boot(host) and systemd.preset(host, unit.name).value == "enabled":
            return passed(unit.name, "the first boot enables it (preset)", **more)
        socket = systemd.enabled(host, unit.name.replace(".service", ".socket"))
        enable = [f"systemctl enable --now {unit.name}"]
        if socket is not None and socket.value.startswith("enabled"):
            return failed(
                unit.name,
                "only its socket is enabled: containers stay down after a boot until somebody uses the client",
                **more,
                commands=enable,
            )
        return failed(
            unit.name, f"it is {state.value}: nothing starts it at the next boot", **more, commands=enable
        )

    def wanted_by(self, host: Host, unit: Unit) -> str:
        """Return the enabled unit of an engine that pulls this one in, if one does."""
        for other in ("docker.service", "kubelet.service", "cri-docker.service"):
            found = systemd.unit(host, other) if other != unit.name else None
            state = systemd.enabled(host, other) if found and found.load == "loaded" else None
            if not found or not state or state.value != "enabled":
                continue
            if any(unit.name in found.value(prop).split() for prop in ("Wants", "Requires", "BindsTo")):
                return other
        if (
            unit.name == "containerd.service"
            and not _uses_containerd_unit(host)
            and engine.stage(host) != "before"
        ):
            return "dockerd, which has its own, and nothing else"
        return ""

    def first_boot(self, host: Host) -> bool:
        """Return whether the next boot is the first, at which systemd applies presets (machine-id(5))."""
        if host.kind == "live":
            return False
        identity = text(host, "/etc/machine-id")
        return identity is None or identity.strip() == "uninitialized"

    def shadow(self, unit: Unit) -> Finding:
        """Say that a copy in /etc stands before the packaged unit."""
        return failed(
            f"{unit.name} fragment",
            f"{unit.shown} stands before {unit.shadowed[0]}: upgrades of the package no longer change the unit",
            value=unit.shown,
            expected=unit.shadowed[0],
            path=unit.shown,
            when="boot",
            severity=Severity.INFO,
            hint="keep changes in a drop-in (systemctl edit)",
        )


def _uses_containerd_unit(host: Host) -> bool:
    """Return whether docker.service or a kubelet relies on the containerd that containerd.service starts."""
    if engine.stage(host, "kubelet") != "before":
        return True
    for command in systemd.exec_start(host, "docker.service"):
        if any(word.startswith("--containerd") for word in command.argv):
            return True
    docker = systemd.unit(host, "docker.service")
    return docker is None or any(
        "containerd.service" in docker.value(p).split() for p in ("Requires", "BindsTo")
    )


_WEIGHTY = (
    "Limit",
    "Exec",
    "Environment",
    "TasksMax",
    "Delegate",
    "KillMode",
    "Restart",
    "OOMScoreAdjust",
    "Slice",
    "Type",
)


_PROXY = re.compile(r"(?i)\bhttps?_proxy=")


class SystemdUnitSyntax(Check):
    """systemd takes every line of the engines' units.

    *Why*: systemd ignores a line that it cannot read and goes on: the earlier value or the default stays, and only its
    log says so. LimitNOFILE=1M, a comment behind a value, a key in the wrong section or in small letters, and a proxy
    address with a single % all are ignored.

    *Needs*: every file of the units, and the keys that systemd knows.

    *Fix*: mend the line that is named, then systemctl daemon-reload.
    """

    id = "systemd.unit_syntax"
    severity = Severity.RECOMMENDED
    references = (
        "https://github.com/docker/for-linux/issues/628",
        "https://www.freedesktop.org/software/systemd/man/latest/systemd.syntax.html",
        UNIT_5,
        EXEC_5,
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        # Imported here: 10 kB of names that only this check looks at.
        from ._unit_keys import KEYS

        for unit in units(host, (*ALL, "docker.socket")):
            clean = True
            known = frozenset(KEYS.get(unit.section, "").split())
            others = {name: frozenset(KEYS[name].split()) for name in ("Unit", "Install")}
            for said in unit.assignments:
                keys = known if said.section == unit.section else others.get(said.section, known)
                if said.key in keys or said.key.startswith(("X-", "-")) or said.key.startswith("StartLimit"):
                    continue
                clean = False
                yield self.unknown(
                    unit, said.section, said.key, said.value, Source(said.path, said.line), known
                )
            for one in unit.problems:
                if one.key.startswith("StartLimit"):
                    continue
                clean = False
                later = any(
                    a.key == one.key and a.section == one.section and self.after(unit, one, a.path, a.line)
                    for a in unit.assignments
                )
                heavy = one.key.startswith(_WEIGHTY) or not one.section or one.section.title() == unit.section
                where = f"{one.key}={one.value}" if one.section and one.key else one.key or f"[{one.section}]"
                yield failed(
                    f"{unit.name} {one.section}.{one.key}".rstrip("."),
                    f"systemd ignores {where!r}: {one.reason}",
                    value=one.value or one.key or f"[{one.section}]",
                    path=one.path,
                    line=one.line,
                    when="boot",
                    severity=Severity.INFO if later or not heavy else self.weight(one),
                    hint="mend the line, then systemctl daemon-reload",
                )
            if clean:
                yield passed(unit.name, "every line counts", when="boot", path=unit.shown)

    def weight(self, one: Problem) -> Severity:
        """Return how much a lost line matters: behind a proxy that is not used, no image can be pulled."""
        proxy = one.key == "Environment" and _PROXY.search(one.value)
        return Severity.REQUIRED if proxy else Severity.RECOMMENDED

    def after(self, unit: Unit, one: object, path: str, line: int) -> bool:
        """Return whether a line comes after the one with the problem."""
        order = (unit.shown, *unit.dropins)
        mine = (
            (order.index(getattr(one, "path", "")), getattr(one, "line", 0))
            if getattr(one, "path", "") in order
            else (0, 0)
        )
        return path in order and (order.index(path), line) > mine

    def unknown(
        self, unit: Unit, section: str, key: str, value: str, source: Source, known: frozenset[str]
    ) -> Finding:
        """Say that a key is not known in its section, and what was meant."""
        meant = next((name for name in sorted(known) if name.lower() == key.lower()), "")
        more = {"value": f"{key}={value}", "path": source.path, "line": source.line, "when": "boot"}
        subject = f"{unit.name} {section}.{key}"
        if meant:
            right = section == unit.section
            return failed(
                subject,
                f"systemd ignores {key}= in [{section}]: it must be {meant}= in [{unit.section}]",
                expected=f"[{unit.section}] {meant}",
                hint="" if right else f"move the line below [{unit.section}]",
                commands=[
                    f"sed -i 's/^[ \t]*{key}[ \t]*=/{meant}=/' {source.path}",
                    "systemctl daemon-reload",
                ]
                if right
                else [],
                **more,
            )
        return failed(
            subject,
            f"systemd knows no key {key} in [{section}] and ignores it",
            expected="a key that systemd knows",
            severity=Severity.INFO,
            hint="take the line out, or mend its key",
            **more,
        )


class SystemdRunningLimits(Check):
    """The running engines have the limits that their units give them.

    *Why*: a change of a unit holds only after daemon-reload and a restart of the service; until then the engine and
    every container that it starts have the old limits, and a reboot changes them unseen.

    *Needs*: /proc/PID/limits of dockerd and containerd. Only the hard limit is compared: programs in Go raise their
    soft limit by themselves.

    *Fix*: systemctl daemon-reload && systemctl restart docker.service.
    """

    id = "systemd.running_limits"
    severity = Severity.RECOMMENDED
    references = (EXEC_5, "https://go.dev/doc/go1.19#os")
    nofile: int = 65536
    """Open files that the hard limit must allow at least."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if host.kind != "live":
            raise NotApplicable("nothing runs here")
        said = False
        for unit in units(host, DAEMONS):
            program = "dockerd" if unit.name == "docker.service" else "containerd"
            for pid in host.pids(program)[:1]:
                path = f"/proc/{pid}/limits"
                try:
                    now = systemd.parse_process_limits(host.read(path)).get("NOFILE")
                except FileNotFoundError:
                    # It ended since it was listed.
                    continue
                boot, _ = unit.limit("NOFILE")
                if now is None or boot is None:
                    continue
                said = True
                yield self.compare(unit, program, now.hard, boot.hard, path)
        if not said:
            raise NotApplicable("no engine is running")

    def compare(self, unit: Unit, program: str, now: str, boot: str, path: str) -> Finding:
        """Judge what the process has beside what the unit will give it."""
        subject = f"{program} LimitNOFILE"
        more = {"value": now, "expected": boot, "path": path, "when": "now"}
        reload = ["systemctl daemon-reload", f"systemctl restart {unit.name}"]
        # Infinity becomes what the kernel allows at most, fs.nr_open.
        same = now == boot or (boot == "infinity" and (now == "infinity" or int(now) >= 1048576))
        if not same:
            return failed(
                subject,
                f"{now} now, {boot} after the next start: the unit changed since it started",
                **more,
                commands=reload,
            )
        if now != "infinity" and int(now) < self.nofile:
            return failed(
                subject, f"the running {program} may open only {now} files", **more, commands=reload
            )
        return passed(subject, f"{now}, as its unit says", **more)


class SystemdReloadPending(Check):
    """systemd has read the engines' units as they are now.

    *Why*: a unit file that changed after systemd read it counts only after daemon-reload, or the next boot: what runs
    and what the files say are two things.

    *Needs*: NeedDaemonReload of `systemctl show`, on a running host.

    *Fix*: systemctl daemon-reload.
    """

    id = "systemd.reload_pending"
    severity = Severity.RECOMMENDED
    references = ("https://www.freedesktop.org/software/systemd/man/latest/org.freedesktop.systemd1.html",)

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if host.kind != "live":
            raise NotApplicable("nothing runs here")
        if not host.exists("/run/systemd/system"):
            raise NotApplicable("systemd is not running")
        said = False
        for unit in units(host, DAEMONS):
            shown = systemd.running(host, unit.name)
            if shown is None or "NeedDaemonReload" not in shown:
                continue
            said = True
            subject = f"{unit.name} NeedDaemonReload"
            if shown["NeedDaemonReload"] == "yes":
                yield failed(
                    subject,
                    "its files changed after systemd read them: they count after daemon-reload or the next boot",
                    value="yes",
                    expected="no",
                    path=unit.shown,
                    commands=["systemctl daemon-reload", f"systemctl restart {unit.name}"],
                )
            else:
                yield passed(subject, "systemd has read the files as they are", value="no", path=unit.shown)
        if not said:
            raise Unavailable("systemd cannot be asked here")
