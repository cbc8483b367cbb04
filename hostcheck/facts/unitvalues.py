"""What the properties of a unit will be, as `systemctl show` prints them, from the lines of its files; nothing is read.

Source: systemd.unit(5), systemd.service(5), systemd-system.conf(5); where they are silent src/core/load-fragment.c and
src/core/service.c of systemd. The rules follow the version of systemd that is given.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping

from hostcheck._typing import Optional
from hostcheck.facts import unitexec, unitfile
from hostcheck.facts.unitexec import Command
from hostcheck.facts.unitfile import INFINITY, Assignment, Limit, Problem
from hostcheck.record import Record

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
