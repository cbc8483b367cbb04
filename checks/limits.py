"""What systemd lets an engine have: files, processes, tasks, memory, and a place before others when memory runs out."""

from __future__ import annotations

from collections.abc import Iterator

from hostcheck._typing import Optional
from hostcheck.api import (
    Check,
    Finding,
    Host,
    NotApplicable,
    Record,
    Severity,
    Unavailable,
    Version,
    failed,
    passed,
)
from hostcheck.facts import engine, init, packages, sysctl, systemd
from hostcheck.facts.unitfile import parse_size
from hostcheck.facts.unitvalues import Unit

from ._units import (
    ALL,
    CONTAINERD_UNIT,
    DAEMONS,
    DOCKER_UNIT,
    EXEC_5,
    RESOURCE_5,
    at,
    drop_in,
    need_systemd,
    units,
)


class LimitsRlimits(Check):
    """Engines and their containers may open enough files and start enough processes.

    *Why*: containers inherit the limits of the engine's unit. With too few open files databases, proxies and the engine
    itself fail under load. Infinity is fs.nr_open, and where that is a thousand million, programs that close all
    descriptors before they start another take minutes.

    *Needs*: unit files, drop-ins and system.conf. LimitNOFILE of at least `nofile` (hard); LimitNPROC unset, infinity
    or at least `nproc`. Neither infinity nor systemd's own 1024:524288 is wrong: upstream ships the one up to docker
    24 and containerd 1.7, the other since. A number above fs.nr_open cannot be set, and the unit does not start.

    *Fix*: a drop-in with LimitNOFILE=1048576 or LimitNOFILE=1024:524288, then daemon-reload and restart.
    """

    id = "limits.rlimits"
    aliases = ("systemd.limits",)
    severity = Severity.RECOMMENDED
    references = (EXEC_5, DOCKER_UNIT, CONTAINERD_UNIT, "https://github.com/moby/moby/pull/45534")
    nofile: int = 65536
    """Open files that the hard limit must allow at least."""
    nofile_required: int = 40
    """Open files below which no container starts (tried with docker 20.10: one runs with 40, none with 32)."""
    nofile_excessive: int = 1000000000
    """Open files to which infinity may not amount: systemd raises fs.nr_open to 1073741816 on some distributions."""
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
        ceiling = nr_open(host)
        if limit.soft == "infinity" and ceiling is not None and ceiling[0] >= self.nofile_excessive:
            more["expected"] = f"less than {self.nofile_excessive}"
            return failed(
                subject,
                f"infinity is {ceiling[0]} files here: software in containers that closes every descriptor hangs, and"
                " some (JVM, MySQL) takes gigabytes",
                **more,
                commands=drop_in(unit, "LimitNOFILE=1024:524288"),
            )
        if limit.hard == "infinity":
            return passed(
                subject,
                "infinity: no limit (old software that closes every descriptor may be slow in containers)",
                **more,
            )
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
    """Return fs.nr_open, and the file that sets it if one does; None where it is the kernel's default."""
    found = sysctl.boot_setting(host, "fs.nr_open")
    if found is not None and found.value is not None and found.value.isdecimal():
        return int(found.value), found.path
    if host.kind == "live":
        try:
            value = sysctl.now(host, "fs.nr_open")
        except (OSError, Unavailable):
            return None
        if value is not None and value.strip().isdecimal():
            return int(value), ""
    elif init.raises_open_files(host):
        return MOST_OPEN_FILES, ""
    return None


MOST_OPEN_FILES = 1073741816
"""What systemd raises fs.nr_open to, halving what the kernel refuses (64 bits)."""

MIB = 1 << 20


class Bound(Record):
    """A limit of a process that units seldom set, and engines take badly."""

    resource: str
    """As in LimitAS=."""
    fatal: int
    """With as much no engine of 20.10 to 28.5 starts, or none starts a container (tried)."""
    enough: int
    """From here on it harms neither engine nor containers; 0: any limit does."""
    effect: str
    """What follows, as the end of a sentence."""


BOUNDS = (
    Bound("AS", 1000 * MIB, 0, "Go, Java and Node.js reserve more addresses than they use, and fail"),
    Bound("DATA", 100 * MIB, 0, "engine and containers get no memory beyond it"),
    Bound("STACK", MIB // 64, MIB, "programs in containers crash with deep stacks"),
    Bound("FSIZE", MIB, 0, "images with larger files are not unpacked, and containers write none"),
    Bound("CPU", -1, 0, "the kernel kills the engine after so many seconds of work"),
)


class LimitsProcess(Check):
    """Nothing bounds the addresses, the stack or the files of the engine's processes.

    *Why*: hardening guides limit such things for logins; in the unit of an engine, or as the default of all units, the
    engine does not start ("failed to reserve page summary memory"), or no image can be unpacked ("file too large"), and
    all containers inherit it.

    *Needs*: no LimitAS, LimitDATA, LimitFSIZE or LimitCPU, and a LimitSTACK of at least 1 MiB, in the units of docker
    and containerd, their drop-ins and system.conf. Where no engine starts with it, it is required.

    *Fix*: the limit set to infinity in a drop-in.
    """

    id = "limits.process"
    severity = Severity.RECOMMENDED
    references = (EXEC_5, "https://man7.org/linux/man-pages/man2/getrlimit.2.html", DOCKER_UNIT)

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        for unit in units(host, DAEMONS):
            for bound in BOUNDS:
                yield self._judge(unit, bound)

    def _judge(self, unit: Unit, bound: Bound) -> Finding:
        subject = f"{unit.name} Limit{bound.resource}"
        limit, where = unit.limit(bound.resource)
        # The soft one holds: of all limits Go raises but that of open files.
        if limit is None or limit.soft == "infinity":
            return passed(subject, "no limit", value="infinity", **at(where, unit))
        value = int(limit.soft)
        more = {"value": limit.soft, "expected": "infinity", **at(where, unit)}
        if bound.enough and value >= bound.enough:
            return passed(subject, f"{value}, which is enough", **more)
        return failed(
            subject,
            f"{value}: {bound.effect}",
            severity=Severity.REQUIRED if value <= bound.fatal else None,
            commands=drop_in(unit, f"Limit{bound.resource}=infinity"),
            **more,
        )


class LimitsTasksMax(Check):
    """The units of the engines may hold as many tasks as they need.

    *Why*: every container has a shim of about a dozen threads in the cgroup of its engine's unit, and where the engine
    starts containers below its own cgroup they count too. At the limit fork() fails.

    *Needs*: TasksMax=infinity as upstream has it, or a number of at least `minimum`. systemd's default is 15 % of what
    the machine can have, 512 in releases 227 and 228.

    *Fix*: TasksMax=infinity in a drop-in.
    """

    id = "limits.tasks_max"
    aliases = ("systemd.tasks_max",)
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
            elif value.isdecimal() and int(value) < self.required:
                yield failed(
                    subject,
                    f"{value} tasks: too few for the engine",
                    **more,
                    severity=Severity.REQUIRED,
                    commands=mend,
                )
            elif (
                value.isdecimal()
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


class LimitsMemoryMax(Check):
    """The units of the engines may take the memory that they need.

    *Why*: the kernel kills what goes beyond MemoryMax. With 20 MiB dockerd 20.10 to 28.5 are killed at their start, and
    containerd 1.6 to 2.1 when the first container starts; with 40 MiB as an image is loaded.

    *Needs*: no MemoryMax, or one of at least `minimum`. Containers are counted in control groups of their own.

    *Fix*: MemoryMax=infinity in a drop-in.
    """

    id = "limits.memory_max"
    aliases = ("systemd.memory_max",)
    severity = Severity.RECOMMENDED
    references = (RESOURCE_5, DOCKER_UNIT, CONTAINERD_UNIT)
    minimum: int = 64
    """MiB that a limit must allow."""
    required: int = 40
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


class LimitsOomScore(Check):
    """The kernel's memory killer spares the engines.

    *Why*: when memory runs out the kernel kills the process with the highest score; an engine that dies takes the
    management of all containers with it.

    *Needs*: OOMScoreAdjust below 0. dockerd gave itself -500 up to release 24; since 25 its unit does.

    *Fix*: OOMScoreAdjust=-500 (docker), -999 (containerd) in a drop-in.
    """

    id = "limits.oom_score"
    aliases = ("systemd.oom_score",)
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


class LimitsRunning(Check):
    """The running engines have the limits that their units give them.

    *Why*: a change of a unit holds only after daemon-reload and a restart of the service; until then the engine and
    every container that it starts have the old limits, and a reboot changes them unseen.

    *Needs*: /proc/PID/limits of dockerd and containerd. Only the hard limit is compared: programs in Go raise their
    soft limit by themselves.

    *Fix*: systemctl daemon-reload && systemctl restart docker.service.
    """

    id = "limits.running"
    aliases = ("systemd.running_limits",)
    severity = Severity.RECOMMENDED
    references = (EXEC_5, "https://go.dev/doc/go1.19#os")
    nofile: int = 65536
    """Open files that the hard limit must allow at least."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        need_systemd(host)
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
