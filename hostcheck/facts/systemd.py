"""Units as systemd will load them, worked out from files: fragments, aliases, masks, drop-ins, defaults.

Source: systemd.unit(5), systemd-system.conf(5); where they are silent src/basic/unit-file.c, src/shared/dropin.c,
src/core/load-fragment.c and src/core/service.c of systemd. The rules follow the systemd that is installed there.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Mapping

from hostcheck._typing import Any, Optional
from hostcheck.facts import init, packages, unitexec, unitfile
from hostcheck.facts.files import is_masked, merged_conf, names, text
from hostcheck.facts.unitexec import Command
from hostcheck.facts.unitfile import INFINITY, Assignment, Limit, Problem
from hostcheck.host import Host, Unavailable
from hostcheck.record import Record

ADMIN_FOLDERS = ("/etc/systemd/system.control", "/etc/systemd/system", "/usr/local/lib/systemd/system")
CONF_FOLDERS = ("/etc/systemd", "/run/systemd", "/usr/local/lib/systemd", "/usr/lib/systemd")

ENGINE_UNITS = (
    "docker.service",
    "docker.socket",
    "containerd.service",
    "kubelet.service",
    "crio.service",
    "cri-docker.service",
    "cri-docker.socket",
    "podman.service",
    "podman.socket",
    "buildkit.service",
    "buildkit.socket",
    "k3s.service",
    "k3s-agent.service",
    "rke2-server.service",
    "rke2-agent.service",
    "nerdctl.service",
    "snap.docker.dockerd.service",
    "firewalld.service",
)
"""Units that are shown wherever they come from; of the others, those in the administrator's folders."""

EXECS = (
    "ExecCondition",
    "ExecStartPre",
    "ExecStart",
    "ExecStartPost",
    "ExecReload",
    "ExecStop",
    "ExecStopPost",
)
KILL_MODES = ("control-group", "process", "mixed", "none")
RESTARTS = ("no", "on-success", "on-failure", "on-abnormal", "on-watchdog", "on-abort", "always")
TYPES = ("simple", "exec", "forking", "oneshot", "dbus", "notify", "notify-reload", "idle")
NOTIFY_ACCESS = ("none", "main", "exec", "all")
LIMITS = (
    "NOFILE", "NPROC", "CORE", "MEMLOCK", "AS", "FSIZE", "DATA", "STACK", "RSS", "SIGPENDING", "MSGQUEUE",
    "LOCKS", "CPU", "NICE", "RTPRIO", "RTTIME",
)  # fmt: skip

_V1_CONTROLLERS = unitfile.CONTROLLERS
_V2_CONTROLLERS = ("cpu", "cpuset", "io", "memory", "pids")


class Setting(Record):
    """What a property will be, and the line that says so."""

    value: str
    """As `systemctl show` prints it; for a limit the hard one."""
    path: Optional[str] = None
    line: Optional[int] = None
    default: bool = False
    """Whether no file says so: systemd's own default."""


class Unit:
    """A unit as systemd will load it: its files, in the order in which they count, and what they say."""

    def __init__(
        self,
        name: str,
        names: tuple[str, ...],
        fragment: str,
        shown: str,
        dropins: tuple[str, ...],
        load: str,
        assignments: tuple[Assignment, ...],
        problems: tuple[Problem, ...],
        manager: Manager,
        shadowed: tuple[str, ...],
    ) -> None:
        """Keep what was found."""
        self.name = name
        self.names = names
        """All its names, its own first."""
        self.fragment = fragment
        """The unit file, as FragmentPath shows it; empty if there is none."""
        self.shown = shown
        """The file that was read."""
        self.dropins = dropins
        self.assignments = assignments
        self.manager = manager
        self.shadowed = shadowed
        """Unit files of the same name in folders of lower rank, which do not count."""
        self._problems = list(problems)
        self._settings: dict[str, Optional[Setting]] = {}
        self.specifiers = _specifiers(name, shown)
        self.reason = ""
        """Why it is `bad-setting`."""
        self.load = load
        """`loaded`, `masked`, `not-found`, `bad-setting` or `error`."""
        self.read = load == "loaded" and not self._broken()
        """Whether systemd read it to the end: only then it gives it the defaults of a service."""
        if load == "loaded" and name.endswith(".service"):
            self.reason = self._verify()
            if self.reason:
                self.load = "bad-setting"

    @property
    def kind(self) -> str:
        """The type: service, socket, ..."""
        return self.name.rpartition(".")[2]

    @property
    def section(self) -> str:
        """The section of its type."""
        return self.kind.capitalize()

    @property
    def problems(self) -> list[Problem]:
        """What systemd passes over in its files (values only of the properties that hostcheck reads)."""
        for name in (*(f"Limit{x}" for x in LIMITS), *_READERS):
            self.get(name)
        for key in EXECS:
            try:
                self.commands(key)
            except ValueError:
                pass
        return sorted(set(self._problems), key=lambda p: (self._rank(p.path), p.line))

    def _rank(self, path: str) -> int:
        files = (self.shown, *self.dropins)
        return files.index(path) if path in files else -1

    def _said(self, key: str, *sections: str) -> list[Assignment]:
        """Return what was assigned to a key, in order."""
        wanted = sections or (self.section,)
        return [a for a in self.assignments if a.key == key and a.section in wanted]

    def _ignore(self, said: Assignment, reason: str) -> None:
        self._problems.append(Problem(said.path, said.line, said.section, said.key, said.value, reason))

    def get(self, prop: str) -> Optional[Setting]:
        """Return a property by the name that `systemctl show` gives it; None where neither files nor defaults say."""
        if prop not in self._settings:
            self._settings[prop] = self._evaluate(prop)
        return self._settings[prop]

    def value(self, prop: str) -> str:
        """Return a property's value, empty if there is none."""
        setting = self.get(prop)
        return setting.value if setting else ""

    def limit(self, resource: str) -> tuple[Optional[Limit], Optional[Setting]]:
        """Return the soft and hard limit of NOFILE, NPROC, ... and where it is set; None where the machine decides."""
        found: Optional[Limit] = None
        where: Optional[Setting] = None
        for said in self._said(f"Limit{resource}"):
            parsed = unitfile.parse_limit(resource, said.value)
            if parsed is None:
                self._ignore(said, "not a limit: a number, soft:hard or infinity is wanted")
            else:
                found, where = parsed, Setting(parsed.hard, said.path, said.line)
        if found is None and (self.read or resource == "CORE"):
            found, where = self.manager.limit(resource)
        return found, where

    def _broken(self) -> bool:
        """Return whether a command line makes systemd give the unit up."""
        try:
            for key in EXECS:
                self.commands(key)
        except ValueError:
            return True
        return False

    def _evaluate(self, prop: str) -> Optional[Setting]:
        if prop.startswith("Limit"):
            resource = prop[5:].removesuffix("Soft")
            limit, where = self.limit(resource)
            if limit is None or where is None:
                return None
            return where._replace(value=limit.soft if prop.endswith("Soft") else limit.hard)
        reader: Optional[Callable[[Unit, str], Optional[Setting]]] = _READERS.get(prop)
        return reader(self, prop) if reader else None

    # Readers: one for each kind of value.

    def _text(self, prop: str, default: str = "") -> Setting:
        found = Setting(default, default=True)
        for said in self._said(prop, "Unit", self.section):
            found = (
                Setting(self.expand(said), said.path, said.line)
                if said.value
                else Setting(default, default=True)
            )
        return found

    def expand(self, said: Assignment) -> str:
        """Return a value with its specifiers replaced, or as it stands where systemd would drop it."""
        try:
            return unitfile.expand_specifiers(said.value, self.specifiers)
        except ValueError:
            return said.value

    def _enum(self, prop: str, allowed: tuple[str, ...], default: str) -> Setting:
        found = Setting(default, default=True)
        for said in self._said(prop):
            if said.value in allowed:
                found = Setting(said.value, said.path, said.line)
            elif not said.value and prop == "KillMode" and self.manager.at_least(246):
                found = Setting(default, said.path, said.line)
            else:
                self._ignore(said, f"not one of {', '.join(allowed)}")
        return found

    def _bool(self, prop: str, default: str) -> Setting:
        found = Setting(default, default=True)
        for said in self._said(prop, "Unit", self.section):
            switch = unitfile.parse_boolean(said.value)
            if switch is None:
                self._ignore(said, "neither yes nor no")
            else:
                found = Setting("yes" if switch else "no", said.path, said.line)
        return found

    def _words(self, prop: str) -> Setting:
        """Read a list that only grows, as dependencies do."""
        found: list[str] = []
        where = Setting("", default=True)
        for said in self._said(prop, "Unit"):
            for word in self.expand(said).split():
                if word not in found:
                    found.append(word)
            where = Setting("", said.path, said.line)
        return where._replace(value=" ".join(found))

    def _tasks_max(self, prop: str) -> Setting:
        found = self.manager.tasks_max()
        for said in self._said(prop):
            if not said.value:
                found = self.manager.tasks_max()
                continue
            parsed = unitfile.parse_tasks_max(said.value)
            if parsed is None:
                self._ignore(said, "not a number above 0, a percentage up to 100 % or infinity")
            else:
                found = Setting(self.manager.resolve_tasks(parsed), said.path, said.line)
        return found

    def _delegate(self, prop: str) -> Setting:
        said = self._said("Delegate")
        every = _V2_CONTROLLERS if self.manager.at_least(250) else _V1_CONTROLLERS
        on, controllers, _ = unitfile.parse_delegate([a.value for a in said], every)
        for one in said:
            for word in unitfile.parse_delegate([one.value], every)[2]:
                self._ignore(one, f"no controller is called {word}")
        value = ("yes" if on else "no") if prop == "Delegate" else " ".join(controllers)
        return Setting(value, said[-1].path, said[-1].line) if said else Setting(value, default=True)

    def _oom(self, prop: str) -> Setting:
        found = Setting("0", default=True)
        for said in self._said(prop):
            sign, digits = (said.value[:1], said.value[1:]) if said.value[:1] in "+-" else ("", said.value)
            number = unitfile.parse_number(digits)
            if not said.value:
                found = Setting("0", default=True)
            elif number is None or number > 1000:
                self._ignore(said, "not a number from -1000 to 1000")
            else:
                found = Setting(str(-number if sign == "-" else number), said.path, said.line)
        return found

    def _slice(self, prop: str) -> Setting:
        if self.kind == "slice" or not self.read:
            return Setting("", default=True)
        prefix, at, _ = self.name.partition("@")
        # Instances of a template share a slice (unit_set_default_slice(), src/core/unit.c).
        found = Setting(
            f"system-{prefix.replace('-', chr(92) + 'x2d')}.slice" if at else "system.slice", default=True
        )
        for said in self._said(prop):
            value = self.expand(said)
            if value.endswith(".slice") and "/" not in value:
                found = Setting(value, said.path, said.line)
            else:
                self._ignore(said, "not the name of a slice")
        return found

    def _type(self, prop: str) -> Setting:
        if not self.read:
            return Setting("", default=True)
        found = self._enum(prop, TYPES, "")
        if found.value:
            return found
        if self._said("BusName"):
            return found._replace(value="dbus", default=True)
        return found._replace(
            value="simple" if any(a.value for a in self._said("ExecStart")) else "oneshot", default=True
        )

    def _span(self, prop: str) -> Setting:
        keys, sections, fallback, zero_is_infinity = _SPANS[prop]
        if prop == "TimeoutStartUSec" and self.value("Type") == "oneshot":
            fallback = INFINITY
        found = Setting(fallback, default=True)
        for said in self.assignments:
            if said.key not in keys or said.section not in sections:
                continue
            if said.key.startswith("StartLimit") and not self.manager.knows_start_limit(
                said.section, said.key
            ):
                self._ignore(said, f"not a key of [{said.section}] in this systemd")
                continue
            microseconds = unitfile.parse_span(said.value)
            if microseconds is None:
                self._ignore(said, "not a time span")
            elif microseconds == 0 and zero_is_infinity:
                found = Setting(INFINITY, said.path, said.line)
            else:
                found = Setting(unitfile.format_span(microseconds), said.path, said.line)
        return found

    def _burst(self, prop: str) -> Setting:
        found = Setting("5", default=True)
        for said in self._said(prop, "Unit", self.section):
            number = unitfile.parse_number(said.value)
            if not self.manager.knows_start_limit(said.section, said.key):
                self._ignore(said, f"not a key of [{said.section}] in this systemd")
            elif number is None:
                self._ignore(said, "not a number")
            else:
                found = Setting(str(number), said.path, said.line)
        return found

    def _exec(self, prop: str) -> Optional[Setting]:
        try:
            commands = self.commands(prop)
        except ValueError:
            return None
        if not commands:
            return None
        shown = (
            f"{{ path={c.program} ; argv[]={' '.join(c.argv)} ; ignore_errors={'yes' if c.ignore_errors else 'no'} ; "
            "start_time=[n/a] ; stop_time=[n/a] ; pid=0 ; code=(null) ; status=0/0 }"
            for c in commands
        )
        return Setting("\n".join(shown), commands[-1].path, commands[-1].line)

    def _environment(self, prop: str) -> Setting:
        found: dict[str, str] = {}
        where = Setting("", default=True)
        for said in self._said(prop):
            if not said.value:
                found = {}
            more, bad = unitexec.parse_environment(said.value, self._specify)
            found.update(more)
            for word in bad:
                reason = "a single % begins a specifier, write %%" if "%" in word else "not an assignment"
                self._ignore(said, f"{reason}: {word}")
            where = Setting("", said.path, said.line)
        return where._replace(value=" ".join(_quote(f"{name}={value}") for name, value in found.items()))

    def _environment_files(self, prop: str) -> Setting:
        files = self.environment_files()
        value = "\n".join(
            f"{path} (ignore_errors={'yes' if optional else 'no'})" for path, optional, _ in files
        )
        return Setting(value, files[-1][2].path, files[-1][2].line) if files else Setting("", default=True)

    def _specify(self, value: str) -> str:
        return unitfile.expand_specifiers(value, self.specifiers)

    def commands(self, key: str) -> tuple[Command, ...]:
        """Return the command lines of ExecStart=, ExecStartPre=, ... that are left after every reset.

        Raises:
            ValueError: systemd refuses one of them, and with it the unit.

        """
        found: list[Command] = []
        for said in self._said(key):
            if not said.value:
                found = []
                continue
            try:
                found.extend(unitexec.parse_commands(said.value, said.path, said.line, self._specify))
            except ValueError as error:
                self._ignore(said, str(error))
                raise ValueError(f"{said.path}:{said.line}: {error}") from None
        return tuple(found)

    def environment_files(self) -> list[tuple[str, bool, Assignment]]:
        """Return the environment files: path, whether it may be missing, and the line."""
        found: list[tuple[str, bool, Assignment]] = []
        for said in self._said("EnvironmentFile"):
            value = self.expand(said)
            optional, path = value.startswith("-"), value.removeprefix("-")
            if not value:
                found = []
            elif path.startswith("/"):
                found.append((path, optional, said))
            else:
                self._ignore(said, "not an absolute path")
        return found

    def environment(self) -> dict[str, tuple[str, Optional[str], Optional[int]]]:
        """Return the variables of Environment= (files not read): value, path and line."""
        found: dict[str, tuple[str, Optional[str], Optional[int]]] = {}
        for said in self._said("Environment"):
            if not said.value:
                found = {}
            more, _ = unitexec.parse_environment(said.value, self._specify)
            found.update({name: (value, said.path, said.line) for name, value in more.items()})
        return found

    def _verify(self) -> str:
        """Return why systemd refuses to load this service, empty if it does not (service_verify(), service.c)."""
        try:
            start = self.commands("ExecStart")
            stop = self.commands("ExecStop")
        except ValueError as error:
            return str(error)
        acts = self.value("SuccessAction") not in ("", "none")
        kind = self.value("Type")
        if not start and not stop and not acts:
            return "it has no ExecStart="
        if kind != "oneshot" and not start and not acts:
            return "it has no ExecStart=, which only Type=oneshot may lack"
        if not start and self.value("RemainAfterExit") != "yes" and not acts:
            return "it has no ExecStart= and no RemainAfterExit=yes"
        if kind != "oneshot" and len(start) > 1:
            return "it has more than one ExecStart=, which only Type=oneshot may have"
        if (
            kind == "oneshot"
            and self.value("Restart") in ("always", "on-success")
            and not self.manager.at_least(254)
        ):
            return f"Restart={self.value('Restart')} is not allowed for Type=oneshot"
        if kind == "dbus" and not self._said("BusName"):
            return "Type=dbus without BusName="
        return ""


_SPANS: dict[str, tuple[tuple[str, ...], tuple[str, ...], str, bool]] = {
    "StartLimitIntervalUSec": (
        ("StartLimitInterval", "StartLimitIntervalSec"),
        ("Unit", "Service"),
        "10s",
        False,
    ),
    "TimeoutStartUSec": (("TimeoutStartSec", "TimeoutSec"), ("Service",), "1min 30s", True),
    "TimeoutStopUSec": (("TimeoutStopSec", "TimeoutSec"), ("Service",), "1min 30s", True),
    "RestartUSec": (("RestartSec",), ("Service",), "100ms", False),
}

_READERS: dict[str, Callable[[Unit, str], Optional[Setting]]] = {
    "Type": Unit._type,
    "KillMode": lambda unit, prop: unit._enum(prop, KILL_MODES, "control-group"),
    "Restart": lambda unit, prop: unit._enum(prop, RESTARTS, "no"),
    "NotifyAccess": lambda unit, prop: unit._enum(
        prop, NOTIFY_ACCESS, "main" if unit.value("Type").startswith("notify") else "none"
    ),
    "TasksMax": Unit._tasks_max,
    "MemoryMax": Unit._text,
    "Delegate": Unit._delegate,
    "DelegateControllers": Unit._delegate,
    "OOMScoreAdjust": Unit._oom,
    "Slice": Unit._slice,
    "ExecStart": Unit._exec,
    "ExecStartPre": Unit._exec,
    "ExecReload": Unit._exec,
    "Environment": Unit._environment,
    "EnvironmentFiles": Unit._environment_files,
    "RemainAfterExit": lambda unit, prop: unit._bool(prop, "no"),
    "DefaultDependencies": lambda unit, prop: unit._bool(prop, "yes"),
    "NoNewPrivileges": lambda unit, prop: unit._bool(prop, "no"),
    "SuccessAction": lambda unit, prop: unit._text(prop, "none"),
    "MountFlags": lambda unit, prop: unit._text(prop),
    "User": lambda unit, prop: unit._text(prop),
    "StartLimitIntervalUSec": Unit._span,
    "StartLimitBurst": Unit._burst,
    "TimeoutStartUSec": Unit._span,
    "TimeoutStopUSec": Unit._span,
    "RestartUSec": Unit._span,
    "Requires": lambda unit, prop: unit._words(prop),
    "BindsTo": lambda unit, prop: unit._words(prop),
    "Requisite": lambda unit, prop: unit._words(prop),
    "Wants": lambda unit, prop: unit._words(prop),
    "PartOf": lambda unit, prop: unit._words(prop),
    "After": lambda unit, prop: unit._words(prop),
}
"""Property to reader. Dependencies are those that files name, without what systemd adds of itself."""


def _quote(word: str) -> str:
    r"""Return a word as `systemctl show` prints it in a list: in double quotes where a shell would need them.

    >>> _quote("A=1"), _quote('B=1 "2"')
    ('A=1', '"B=1 \\"2\\""')
    """
    if word and not any(char in word for char in " \t\n\r\"'\\`$*?[()<>|&;!"):
        return word
    return '"' + "".join("\\" + char if char in '"\\`$' else char for char in word) + '"'


def _specifiers(name: str, path: str) -> dict[str, str]:
    """Return the specifiers that do not depend on the running machine (systemd.unit(5))."""
    base = name.rpartition(".")[0]
    prefix, _, instance = base.partition("@")
    final = prefix.rpartition("-")[2]
    return {
        "n": name, "N": base, "p": prefix, "P": _unescape(prefix),
        "i": instance, "I": _unescape(instance), "j": final, "J": _unescape(final),
        "f": "/" + _unescape(instance or prefix), "t": "/run", "S": "/var/lib", "C": "/var/cache", "L": "/var/log",
        "E": "/etc", "h": "/root", "u": "root", "U": "0", "g": "root", "G": "0",
        "s": "/bin/sh", "y": path, "Y": posixpath.dirname(path),
    }  # fmt: skip


def _unescape(name: str) -> str:
    r"""Return a unit name part as the text it stands for (systemd-escape(1)).

    >>> _unescape("var-lib\\x2dx")
    'var/lib-x'
    """
    parts = name.replace("-", "/").split("\\x")
    out = parts[0]
    for part in parts[1:]:
        try:
            out += chr(int(part[:2], 16)) + part[2:]
        except ValueError:
            out += "\\x" + part
    return out


class Manager:
    """systemd itself: its version, and the defaults that it gives to units (systemd-system.conf(5))."""

    def __init__(
        self, version: Optional[int], assignments: Mapping[str, list[Assignment]], tasks: Optional[int]
    ) -> None:
        """Keep what was read; `tasks` is the number of tasks that the machine can have, if it can be known."""
        self.version = version
        self.said = assignments
        self.tasks = tasks

    def at_least(self, version: int) -> bool:
        """Return whether systemd is that new; where the version is not known it counts as new."""
        return self.version is None or self.version >= version

    def limit(self, resource: str) -> tuple[Optional[Limit], Optional[Setting]]:
        """Return the default limit of services."""
        found: Optional[Limit] = None
        where: Optional[Setting] = None
        for said in self.said.get(f"DefaultLimit{resource}", ()):
            parsed = unitfile.parse_limit(resource, said.value)
            if parsed is not None:
                found, where = parsed, Setting(parsed.hard, said.path, said.line)
        if found is None and resource == "NOFILE":
            # 240 raised the hard limit (NEWS); before, units got the kernel's own.
            found = Limit("1024", "524288" if self.at_least(240) else "4096")
            where = Setting(found.hard, default=True)
        if found is None and resource == "CORE":
            # PID 1 raises its own limit and units inherit it (initialize_coredump(), src/core/main.c).
            found = Limit(INFINITY if self.at_least(229) else "0", INFINITY)
            where = Setting(found.hard, default=True)
        return found, where

    def tasks_max(self) -> Setting:
        """Return the default TasksMax: 15 % of what the machine can have since 228, then none before."""
        if self.at_least(229):
            found = Setting(self.resolve_tasks("15%"), default=True)
        elif self.at_least(227):
            found = Setting("512", default=True)
        else:
            found = Setting(INFINITY, default=True)
        fallback = found
        for said in self.said.get("DefaultTasksMax", ()):
            parsed = unitfile.parse_tasks_max(said.value)
            if parsed is not None:
                found = Setting(self.resolve_tasks(parsed), said.path, said.line)
            elif not said.value:
                found = fallback
        return found

    def resolve_tasks(self, value: str) -> str:
        """Return a percentage of the machine's tasks as a number, where that is known."""
        share = unitfile.permyriad(value)
        return value if share is None or self.tasks is None else str(self.tasks * share // 10000)

    def knows_start_limit(self, section: str, key: str) -> bool:
        """Return whether StartLimit... is a key of that section.

        230 moved both to [Unit] and renamed the interval; the old name in the old place still counts, the new name
        in [Service] never did (src/core/load-fragment-gperf.gperf.in; NEWS of 229 and 230).
        """
        if section == "Service":
            return key != "StartLimitIntervalSec"
        return self.at_least(230) if key == "StartLimitIntervalSec" else self.at_least(229)


def version(host: Host) -> Optional[int]:
    """Return the version of the systemd that is installed, None if none is, or none says so."""
    return host.fact(_version)


def _version(host: Host) -> Optional[int]:
    found = None
    try:
        found = packages.packages(host).get("systemd")
    except (PermissionError, Unavailable):
        pass
    if found:
        digits = found.version.rpartition(":")[2]
        number = digits[: next((i for i, c in enumerate(digits) if not c.isdigit()), len(digits))]
        if number:
            return int(number)
    for library in init.systemd_libraries(host):
        number = library.rpartition("/libsystemd-shared-")[2][:-3].partition("-")[0].partition(".")[0]
        if number.isdigit():
            return int(number)
    return None


def manager(host: Host) -> Manager:
    """Return systemd's version and the defaults of its system.conf."""
    return host.fact(_manager)


def _manager(host: Host) -> Manager:
    number = version(host)
    found: dict[str, list[Assignment]] = {}
    for path in _manager_files(host, number):
        try:
            content = text(host, path)
        except Unavailable:
            # A folder of that name, say: systemd passes over it, too.
            continue
        for said in unitfile.parse_unit(content or "", path, ("Manager",)).assignments:
            found.setdefault(said.key, []).append(said)
    return Manager(number, found, _machine_tasks(host))


def _manager_files(host: Host, number: Optional[int]) -> Iterator[str]:
    """Yield the first system.conf there is (before 254 only the one in /etc), then the drop-ins by name."""
    for folder in CONF_FOLDERS if number is None or number >= 254 else CONF_FOLDERS[:1]:
        path = f"{folder}/system.conf"
        try:
            if host.exists(path):
                yield path
                break
        except Unavailable:
            continue
    yield from merged_conf(host, [f"{folder}/system.conf.d" for folder in CONF_FOLDERS])


def _machine_tasks(host: Host) -> Optional[int]:
    """Return how many tasks this machine can have: what pid_max and threads-max allow (system_tasks_max())."""
    try:
        return min(int(host.read(f"/proc/sys/kernel/{name}")) for name in ("pid_max", "threads-max"))
    except (OSError, ValueError, Unavailable):
        return None


class _Map(Record):
    """Which name leads to which unit file, for one type of unit."""

    target: Mapping[str, str]
    """A name to the path of its file, or to another name (an alias)."""
    shadowed: Mapping[str, tuple[str, ...]]


_RUNTIME = (
    "/run/systemd/system.control",
    "/run/systemd/transient",
    "/run/systemd/system",
    "/run/systemd/system.attached",
)
"""Folders that a reboot empties; the generators' are filled again at boot."""


def folders(host: Host) -> tuple[str, ...]:
    """Return the folders of unit files, first come first served (lookup_paths_init(), path-lookup.c)."""
    vendor = ["/usr/lib/systemd/system", "/lib/systemd/system"]
    number = version(host)
    # Debian's and Ubuntu's systemd was built for a separate /lib until upstream dropped that in 255.
    if number is not None and number < 255 and host.exists("/var/lib/dpkg/status"):
        vendor.reverse()
    elif host.resolve("/lib") == "/usr/lib":
        vendor.pop()
    return (
        "/etc/systemd/system.control",
        "/run/systemd/system.control",
        "/run/systemd/transient",
        "/run/systemd/generator.early",
        "/etc/systemd/system",
        "/etc/systemd/system.attached",
        "/run/systemd/system",
        "/run/systemd/system.attached",
        "/run/systemd/generator",
        "/usr/local/lib/systemd/system",
        *vendor,
        "/run/systemd/generator.late",
    )


def listing(host: Host, when: str = "boot") -> Mapping[str, tuple[str, ...]]:
    """Return the names in each folder of unit files; folders that are not there or cannot be had are left out.

    For `boot` without what a reboot empties.
    """
    every: Mapping[str, tuple[str, ...]] = host.fact(_listing)
    return every if when == "now" else {folder: every[folder] for folder in every if folder not in _RUNTIME}


def _listing(host: Host) -> Mapping[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for folder in folders(host):
        try:
            found[folder] = host.names(folder)
        except (FileNotFoundError, Unavailable):
            continue
    return found


def _cache(host: Host) -> dict[tuple[str, str], Any]:
    """Return what was worked out of this host before, by name and moment."""
    return {}


def _map(host: Host, kind: str, when: str) -> _Map:
    known = host.fact(_cache)
    key = (f".{kind}", when)
    if key not in known:
        known[key] = _build(host, kind, when)
    found: _Map = known[key]
    return found


def _build(host: Host, kind: str, when: str) -> _Map:
    """Follow unit_file_build_name_map() of systemd."""
    listed = listing(host, when)
    inside = {host.resolve(folder) for folder in listed}
    target: dict[str, str] = {}
    shadowed: dict[str, tuple[str, ...]] = {}
    seen: set[str] = set()
    for folder, entries in listed.items():
        real = host.resolve(folder)
        for name in entries:
            if not name.endswith("." + kind) or name.startswith("."):
                continue
            path = f"{folder}/{name}"
            if name in target:
                if f"{real}/{name}" not in seen:
                    shadowed[name] = (*shadowed.get(name, ()), path)
                    seen.add(f"{real}/{name}")
                continue
            try:
                link: Optional[str] = host.readlink(path)
            except (OSError, Unavailable):
                link = None
            if link is not None:
                parent, last = posixpath.split(posixpath.normpath(posixpath.join(folder, link)))
                if host.resolve(parent) in inside:
                    if last == name or not last.endswith("." + kind):
                        continue
                    target[name] = last
                    seen.add(f"{real}/{name}")
                    continue
            target[name] = path
            seen.add(f"{real}/{name}")
    return _Map(target, shadowed)


def _fragment(found: _Map, name: str) -> Optional[str]:
    """Return the unit file that a name leads to; None if to none."""
    for _ in range(8):
        where = found.target.get(name)
        if where is None:
            template = _template(name)
            where = found.target.get(template) if template != name else None
            if where is None:
                return None
        if where.startswith("/"):
            return where
        name = where
    return None


def unit(host: Host, name: str, when: str = "boot") -> Optional[Unit]:
    """Return a unit by any of its names, as systemd will load it; None if there is no such unit.

    `when` is `boot`, or `now` for what the files say at this moment, those in /run among them.

    Raises:
        PermissionError, Unavailable: one of its files is there and cannot be read.

    """
    known = host.fact(_cache)
    if (name, when) not in known:
        known[name, when] = _load(host, name, when)
    found: Optional[Unit] = known[name, when]
    return found


def _load(host: Host, asked: str, when: str) -> Optional[Unit]:
    kind = asked.rpartition(".")[2]
    if kind not in unitfile.SECTIONS:
        return None
    found = _map(host, kind, when)
    fragment = _fragment(found, asked)
    name = asked
    if fragment is not None:
        base = posixpath.basename(fragment)
        if "@." not in base:
            name = base
    aliases = [
        other
        for other in found.target
        if other != name and "@." not in other and fragment and _fragment(found, other) == fragment
    ]
    all_names = (name, *aliases)
    paths = _dropins(host, kind, all_names, when)
    sections = unitfile.SECTIONS[kind]
    boss = manager(host)
    shadowed = found.shadowed.get(name, ())
    if fragment is None:
        if not paths or "@" in name:
            return None
        # Drop-ins alone make no unit, but systemd shows them; nothing can be started.
        return Unit(name, all_names, "", "", paths, "not-found", (), (), boss, shadowed)
    shown = fragment
    if not boss.at_least(250):
        try:
            shown = host.resolve(fragment) if host.stat(fragment, follow=False).is_link else fragment
        except (FileNotFoundError, Unavailable):
            pass
    if is_masked(host, fragment):
        return Unit(name, all_names, shown, fragment, (), "masked", (), (), boss, shadowed)
    try:
        content = host.read(fragment)
    except FileNotFoundError:
        return Unit(name, all_names, "", fragment, (), "not-found", (), (), boss, shadowed)
    if not content:
        return Unit(name, all_names, shown, fragment, (), "masked", (), (), boss, shadowed)
    parsed = unitfile.parse_unit(content, fragment, sections)
    assignments = list(parsed.assignments)
    problems = list(parsed.problems)
    for path in paths:
        if is_masked(host, path):
            continue
        try:
            if not host.stat(path).is_file:
                continue
            more = unitfile.parse_unit(host.read(path), path, sections)
        except FileNotFoundError:
            continue
        assignments.extend(more.assignments)
        problems.extend(more.problems)
    load = "error" if parsed.broken else "loaded"
    return Unit(
        name, all_names, shown, fragment, paths, load, tuple(assignments), tuple(problems), boss, shadowed
    )


def _dropins(host: Host, kind: str, unit_names: tuple[str, ...], when: str) -> tuple[str, ...]:
    """Return the drop-ins in the order in which they are read; masks and dangling links among them, as systemd shows.

    Source: unit_file_find_dropin_paths(), src/shared/dropin.c.
    """
    boss = manager(host)
    listed = listing(host, when)
    wanted: list[str] = []
    for name in unit_names:
        for folder, entries in listed.items():
            for base in _dropin_names(name, kind, boss):
                if f"{base}.d" in entries:
                    wanted.append(f"{folder}/{base}.d")
    if boss.at_least(244):
        wanted.extend(f"{folder}/{kind}.d" for folder, entries in listed.items() if f"{kind}.d" in entries)
    found: dict[str, str] = {}
    for folder in wanted:
        real = host.resolve(folder)
        try:
            entries = host.names(real)
        except (FileNotFoundError, Unavailable):
            continue
        for name in entries:
            if name.endswith(".conf") and not name.startswith(".") and name not in found:
                found[name] = f"{real}/{name}"
    return tuple(found[name] for name in sorted(found, key=lambda n: n.encode("utf-8", "surrogateescape")))


def _dropin_names(name: str, kind: str, boss: Manager) -> Iterator[str]:
    """Yield the names under which drop-ins of a unit may stand: its own, its template's, and its prefixes'."""
    yield name
    base = name[: -len(kind) - 1]
    prefix, at, instance = base.partition("@")
    if at and instance:
        yield f"{prefix}@.{kind}"
    if not boss.at_least(239):
        return
    while "-" in prefix.rstrip("-"):
        prefix = prefix.rstrip("-").rpartition("-")[0] + "-"
        yield f"{prefix}.{kind}"


def exec_start(host: Host, name: str) -> list[Command]:
    """Return the command lines that start a unit, variables of Environment= and EnvironmentFile= put in.

    Empty if there is no such unit, or it is masked or refused.

    Raises:
        PermissionError, Unavailable: a file that decides it cannot be read.

    """
    found = unit(host, name)
    if found is None or found.load not in ("loaded", "bad-setting"):
        return []
    try:
        commands = found.commands("ExecStart")
    except ValueError:
        return []
    variables = {key: value for key, (value, _, _) in environment(host, found).items()}
    return [
        command
        if ":" in command.prefixes
        else command._replace(argv=unitexec.expand(command.argv, variables))
        for command in commands
    ]


def environment(host: Host, found: Unit) -> dict[str, tuple[str, Optional[str], Optional[int]]]:
    """Return the variables that a unit's programs get from files: name to value, path and line.

    DefaultEnvironment= of system.conf first, then Environment=, then the files (systemd.exec(5)).
    """
    variables: dict[str, tuple[str, Optional[str], Optional[int]]] = {}
    for said in found.manager.said.get("DefaultEnvironment", ()):
        for key, value in unitexec.parse_environment(said.value)[0].items():
            variables[key] = (value, said.path, said.line)
    variables.update(found.environment())
    for path, _, _ in found.environment_files():
        for one in _glob(host, path):
            content = text(host, one)
            for key, (value, line) in unitexec.parse_env_file(content or "").items():
                variables[key] = (value, one, line)
    return variables


def _glob(host: Host, path: str) -> list[str]:
    """Return the files that a path stands for; only its last part may hold wildcards."""
    if not any(char in path for char in "*?["):
        return [path]
    # Imported here: hardly any unit has wildcards, and it pulls in re.
    from fnmatch import fnmatchcase

    folder, pattern = posixpath.split(path)
    return [f"{folder}/{name}" for name in names(host, folder) if fnmatchcase(name, pattern)]


def _typed_state(host: Host, name: str) -> Optional[Setting]:
    """Return what a person wrote down of `systemctl is-enabled`, who seldom has the unit's files and links."""
    if not host.written_by_hand:
        return None
    for word in (name, name.removesuffix(".service")):
        try:
            said = host.run("systemctl", "is-enabled", word).out.strip()
        except (OSError, Unavailable):
            continue
        if said and "\n" not in said and said != "not-found":
            return Setting(said)
    return None


def enabled(host: Host, name: str) -> Optional[Setting]:
    """Return the unit file's state (systemctl(1), is-enabled) and the link that makes it so; None without a file.

    Source: unit_file_lookup_state(), src/shared/install.c.
    """
    typed = _typed_state(host, name)
    if typed is not None:
        return typed
    found = unit(host, name)
    if found is None or not found.shown or found.load == "not-found":
        return None
    if found.load == "masked":
        runtime = found.shown.startswith("/run/")
        return Setting("masked-runtime" if runtime else "masked", found.shown)
    if found.shown.startswith("/run/systemd/generator"):
        return Setting("generated", found.shown)
    if found.shown.startswith("/run/systemd/transient"):
        return Setting("transient", found.shown)
    listed = listing(host)
    if posixpath.basename(found.shown) != name and ("@" not in name or "@." in name):
        return Setting(
            "alias", next((f"{f}/{name}" for f, entries in listed.items() if name in entries), None)
        )
    if found.load == "error":
        return Setting("bad", found.shown)
    others: list[str] = []
    for folder, suffix in (("/etc/systemd/system", ""), ("/run/systemd/system", "-runtime")):
        for link in _links(host, found, folder):
            if posixpath.basename(link) in _link_names(found):
                return Setting(f"enabled{suffix}", link)
            others.append(link)
    for folder, suffix in (("/etc/systemd/system", ""), ("/run/systemd/system", "-runtime")):
        # One of the same name out of a vendor's folder (dracut's are) says nothing.
        if found.shown == f"{folder}/{found.name}" and _is_link(host, found.shown):
            return Setting(f"linked{suffix}", found.shown)
    if others:
        return Setting("indirect", others[0])
    install = {a.key for a in found.assignments if a.section == "Install" and a.value}
    if install.intersection(("WantedBy", "RequiredBy", "UpheldBy", "Alias")):
        return Setting("disabled", found.shown, default=True)
    return Setting("indirect" if "Also" in install else "static", found.shown, default=True)


def _is_link(host: Host, path: str) -> bool:
    try:
        return host.stat(path, follow=False).is_link
    except (OSError, Unavailable):
        return False


def _install(found: Unit, key: str) -> Iterator[str]:
    """Yield the words that the section Install has for a key."""
    for said in found.assignments:
        if said.section == "Install" and said.key == key:
            yield from found.expand(said).split()


def _link_names(found: Unit) -> set[str]:
    """Return the names under which `systemctl enable` links a unit (is_symlink_with_known_name() of install.c)."""
    names_ = {found.name, *_install(found, "Alias")}
    prefix, at, end = found.name.partition("@.")
    if at:
        names_.update(f"{prefix}@{instance}.{end}" for instance in _install(found, "DefaultInstance"))
    return names_


def _links(host: Host, found: Unit, folder: str) -> Iterator[str]:
    """Yield the links in a folder that lead to a unit by its name, or to an instance of it.

    Source: find_symlinks_in_directory(), src/shared/install.c.
    """
    listed = listing(host).get(folder, ())
    for entry in listed:
        if entry.endswith((".wants", ".requires", ".upholds")):
            for link in names(host, f"{folder}/{entry}"):
                if found.name in (link, _template(link)):
                    yield f"{folder}/{entry}/{link}"
    for alias in found.names:
        if alias != found.name and alias in listed:
            yield f"{folder}/{alias}"


def _template(name: str) -> str:
    """Return the template of an instance, empty for what is none.

    >>> _template("getty@tty1.service"), _template("docker.service")
    ('getty@.service', '')
    """
    prefix, at, rest = name.partition("@")
    return f"{prefix}@.{rest.rpartition('.')[2]}" if at else ""


def preset(host: Host, name: str) -> Setting:
    """Return what the first boot, or the installation of a package, makes of a unit: enabled or disabled.

    Source: systemd.preset(5): files by name over all folders, the first line that matches counts, else enabled.
    """
    from fnmatch import fnmatchcase

    places = [f"{top}/system-preset" for top in (*CONF_FOLDERS, "/lib/systemd")]
    for path in merged_conf(host, places, ".preset"):
        for number, line in enumerate((text(host, path) or "").splitlines(), 1):
            words = line.split()
            if len(words) < 2 or words[0] not in ("enable", "disable"):
                continue
            if fnmatchcase(name, words[1]):
                return Setting(words[0] + "d", path, number)
    return Setting("enabled", default=True)


_SHOWN = (
    "Type", "ExecStart", "ExecStartPre", "ExecReload", "KillMode", "Restart", "RestartUSec", "TimeoutStartUSec",
    "TimeoutStopUSec", "StartLimitIntervalUSec", "StartLimitBurst", "OOMScoreAdjust", "Delegate",
    "DelegateControllers", "TasksMax", "Slice", "User", "Environment", "EnvironmentFiles",
    *(f"Limit{name}{soft}" for name in LIMITS for soft in ("", "Soft")),
)  # fmt: skip
_SHOWN_ALWAYS = ("Requires", "BindsTo", "Wants", "PartOf", "After")


def properties(host: Host, found: Unit) -> dict[str, Setting]:
    """Return what `systemctl show` would print of a unit, as far as files decide it."""
    shown: dict[str, Setting] = {
        "Id": Setting(found.name, found.shown or None),
        "Names": Setting(" ".join(found.names), found.shown or None),
        "LoadState": Setting(found.load, found.shown or None),
        "FragmentPath": Setting(found.fragment, found.shown or None),
        "DropInPaths": Setting(" ".join(found.dropins), found.shown or None),
    }
    state = enabled(host, found.name)
    if state:
        shown["UnitFileState"] = state
        shown["UnitFilePreset"] = preset(host, found.name)
    wanted = (*_SHOWN, *_SHOWN_ALWAYS) if found.kind == "service" else ("TasksMax", "Slice", *_SHOWN_ALWAYS)
    for prop in wanted:
        setting = found.get(prop)
        if setting is not None:
            shown[prop] = setting
    return shown


def export(host: Host) -> dict[str, object]:
    """Return the engines' units and the administrator's own, for `hostcheck facts units`."""
    wanted = set(ENGINE_UNITS)
    for folder, entries in listing(host).items():
        if folder.startswith(("/etc/", "/run/", "/usr/local/")):
            wanted.update(
                name for name in entries if name.endswith((".service", ".socket")) and "@." not in name
            )
            wanted.update(name[:-2] for name in entries if name.endswith((".service.d", ".socket.d")))
        wanted.update(
            name for name in entries if name.startswith(_ENGINE_PREFIXES) and name.endswith(".service")
        )
    shown: dict[str, object] = {}
    for name in sorted(wanted):
        try:
            found = unit(host, name)
        except (PermissionError, Unavailable):
            continue
        if found is None or name.endswith("-.service") or "@." in name:
            continue
        now = running(host, name)
        shown[name] = {
            prop: _leaf(setting, None if now is None else now.get(prop))
            for prop, setting in properties(host, found).items()
        }
    return shown


_ENGINE_PREFIXES = (
    "docker",
    "containerd",
    "kubelet",
    "crio",
    "podman",
    "buildkit",
    "k3s",
    "rke2",
    "cri-docker",
)


def _leaf(setting: Setting, now: Optional[str]) -> dict[str, object]:
    leaf: dict[str, object] = {"value": setting.value, "path": setting.path, "line": setting.line}
    if setting.default:
        leaf["default"] = True
    if now is not None and now != setting.value and not setting.value.startswith("{ path="):
        leaf.update({"value": now, "now": now, "boot": setting.value})
    return leaf


def running(host: Host, name: str) -> Optional[Mapping[str, str]]:
    """Return what the running systemd says of a unit; None where it cannot be asked.

    It starts a command, so only those ask who compare now with the next boot.
    """
    if host.kind != "live":
        return None
    try:
        if not host.stat("/run/systemd/system").is_dir:
            return None
        wanted = ",".join(
            (*_SHOWN, "LoadState", "ActiveState", "NeedDaemonReload", "MainPID", "UnitFileState")
        )
        done = host.run("systemctl", "show", f"--property={wanted}", "--", name)
    except (OSError, Unavailable):
        return None
    return parse_show(done.out) if done.code == 0 else None


def parse_show(text: str) -> dict[str, str]:
    r"""Read what `systemctl show` prints; of a property that comes twice, the lines together.

    >>> parse_show("Type=notify\nEnvironment=A=1\n")
    {'Type': 'notify', 'Environment': 'A=1'}
    """
    found: dict[str, str] = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals:
            found[key] = f"{found[key]}\n{value}" if key in found else value
    return found


def parse_process_limits(text: str) -> dict[str, Limit]:
    r"""Read /proc/PID/limits: the resource (NOFILE, NPROC, CORE) to its limits.

    >>> parse_process_limits("Max open files            1024                 524288               files\n")
    {'NOFILE': Limit(soft='1024', hard='524288')}
    """
    labels = {"Max open files": "NOFILE", "Max processes": "NPROC", "Max core file size": "CORE"}
    found: dict[str, Limit] = {}
    for line in text.splitlines():
        words = line[26:].split()
        resource = labels.get(line[:26].strip())
        if resource and len(words) >= 2:
            soft, hard = (INFINITY if word == "unlimited" else word for word in words[:2])
            found[resource] = Limit(soft, hard)
    return found


def other_init(host: Host) -> str:
    """Return what runs this host if it is not systemd, empty if it is or cannot be told."""
    if host.kind == "live":
        try:
            comm = host.read("/proc/1/comm").strip()
            if comm:
                return "" if comm in ("systemd", "init") and not _openrc(host) else comm
        except (OSError, Unavailable):
            pass
    return "OpenRC" if _openrc(host) else ""


def _openrc(host: Host) -> bool:
    """Return whether OpenRC is there and systemd is not."""
    if any(host.exists(path) for path in ("/usr/lib/systemd/systemd", "/lib/systemd/systemd")):
        return False
    return any(
        host.exists(path) for path in ("/sbin/openrc-run", "/usr/sbin/openrc-run", "/usr/bin/openrc-run")
    )
