"""What may stand in daemon.json and on the command line of a release of dockerd, and what is said of a file."""

from __future__ import annotations

from collections.abc import Sequence

from hostcheck._typing import Any, Optional, Union
from hostcheck.facts import _daemon_keys as tables
from hostcheck.facts import gojson
from hostcheck.facts.gojson import Node
from hostcheck.record import Record
from hostcheck.versions import Version

Release = tuple[int, ...]
PARSE_BOOL = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}


class Problem(Record):
    """One thing that dockerd refuses."""

    cls: str
    """json-syntax, unknown-directive, wrong-type, removed-option, invalid-value, flag-conflict, invalid-flag,
    tls-file or userns-user."""
    key: str
    """The key, with its members after dots; empty for the file as a whole."""
    message: str
    line: int = 0
    """From 1; 0 where no line is at fault."""
    column: int = 0
    removed_in: str = ""
    """The release that took the key away."""
    replaced_by: str = ""
    suggestion: str = ""
    """A key that was perhaps meant."""
    caught_by: str = "validate"
    """`validate`: the file is refused as it is read, from 23.0 on by `dockerd --validate` too; `start`: only
    a daemon that starts refuses it."""
    stage: int = 0
    """dockerd stops after the first stage that finds a problem."""


class Value(Record):
    """A value that the file sets, and where."""

    value: Any
    line: int
    column: int


class Duplicate(Record):
    """A key that stands twice in one object."""

    key: str
    line: int
    """Of the first one."""
    again: int
    """The line of the one that counts."""
    merged: bool
    """Whether the two objects are merged instead."""
    column: int = 0
    """Of the one that counts."""


class Judgement:
    """What a release of dockerd makes of a file."""

    def __init__(self, version: Version) -> None:
        """Begin with an empty file."""
        self.version = version
        self.problems: list[Problem] = []
        self.values: dict[str, Value] = {}
        """What the file sets: keys and, after a dot, their members."""
        self.duplicates: list[Duplicate] = []
        self.ignored: dict[str, tuple[str, Value]] = {}
        """Names that are taken and do nothing, with the key that was perhaps meant."""
        self.null_switches: dict[str, Value] = {}
        """Switches that are `null`, which turns them off."""
        self.effective: dict[str, Any] = {}
        """What counts in the end: file, flags and defaults, by key."""
        self.flag_values: dict[str, Any] = {}
        """What the flags set, by key."""
        self.text = gojson.Text("")
        self.places: dict[str, Node] = {}
        """Where the values of the file stand, by key; `hosts[0]` is the first element of hosts."""

    def place(self, key: str) -> tuple[int, int]:
        """Return line and column of a key, of a member (`log-opts.tag`) or of an element; 0 where it is not set."""
        node = self.places.get(key)
        if node is not None and key.endswith("]"):
            return self.text.place(node.start)
        known = self.values.get(key)
        return (known.line, known.column) if known else (0, 0)

    @property
    def accepted(self) -> bool:
        """Whether dockerd takes the file (and, from 23.0 on, `dockerd --validate` says so)."""
        return not any(problem.caught_by == "validate" for problem in self.problems)

    @property
    def named(self) -> list[Problem]:
        """The problems that dockerd itself would name: it stops at the first stage that has one."""
        refused = [problem for problem in self.problems if problem.caught_by == "validate"]
        first = min((problem.stage for problem in refused), default=0)
        return [problem for problem in refused if problem.stage == first]


class HostFacts:
    """What dockerd asks its host while it judges a file. Everything here is unknown; unknown accuses nobody."""

    cgroup_version: Optional[int] = None
    systemd: Optional[bool] = None
    """Whether the machine runs systemd."""
    docker_proxy: Optional[bool] = None
    """Whether dockerd finds docker-proxy by itself."""
    realtime_groups: Optional[bool] = None
    """Whether the kernel schedules real-time tasks by cgroup."""
    swarm: Optional[bool] = None
    """Whether the node is part of a swarm."""
    adds_users: Optional[bool] = None
    """Whether the programs are there that make users and give them ids (adduser or useradd, and usermod)."""

    def path(self, path: str) -> Optional[str]:
        """Return what is at a path: missing, folder, file or program."""
        return None

    def user(self, name: str) -> Optional[bool]:
        """Return whether there is a user of that name or number."""
        return None

    def group(self, name: str) -> Optional[bool]:
        """Return whether there is a group of that name or number."""
        return None

    def plugin(self, name: str) -> Optional[bool]:
        """Return whether dockerd finds a plugin of that name."""
        return None

    def content(self, path: str) -> Optional[str]:
        """Return the text of a file; None too where there is none."""
        return None

    def garbled(self, name: str) -> bool:
        """Return whether a line of a user in /etc/subuid or /etc/subgid is known to be no range."""
        return False

    def subordinate(self, name: str, kind: str) -> Optional[bool]:
        """Return whether /etc/subuid (`kind` uid) or /etc/subgid (gid) gives ids to a name."""
        return None


class Flag(Record):
    """A flag of a command line."""

    name: str
    value: Optional[str]
    """None for a switch without `=`."""


def in_range(release: Release, since: Release, until: Optional[Release]) -> bool:
    """Return whether a release is in the range [since, until)."""
    return since <= release and (until is None or release < until)


def keys(release: Release) -> dict[str, str]:
    """Return the keys of a release and the kind of value that each takes."""
    found = {
        name: [kind for since, kind in kinds if since <= release][-1]
        for name, kinds, until, _, _ in tables.KEYS
        if in_range(release, kinds[0][0], until)
    }
    # Two releases registered the flag under a name that the key does not have.
    if release in ((17, 12), (18, 1)):
        del found["node-generic-resources"]
    return found


def defaults(release: Release) -> dict[str, Any]:
    """Return what counts where nobody sets a key, by key."""
    return {
        name: next((value for since, value in reversed(values) if since <= release), None)
        for name, _, _, _, values in tables.KEYS
    }


def flags_of(release: Release) -> dict[str, str]:
    """Return the flags of a release with the key that each sets; empty where it sets none."""
    other = {name: (since, until) for name, since, until in tables.OTHER_FLAGS}
    found: dict[str, str] = {}
    for name, since, until, key in tables.IGNORED:
        if in_range(release, *other.get(name, (since, until))):
            found[name] = name if key.startswith("proxies.") else key
    for key, kinds, until, name, _ in tables.KEYS:
        if name and in_range(release, *other.get(name, (kinds[0][0], until))):
            found[name] = key
    return found


def parse_flags(argv: Sequence[str], release: Release) -> tuple[list[Flag], list[Problem]]:
    """Return the flags of a dockerd command line (without the program), and what is wrong with them.

    >>> parse_flags(["-H", "fd://", "-Dl", "info", "--tls=false"], (26,))[0][0::2]
    [Flag(name='host', value='fd://'), Flag(name='log-level', value='info')]
    """
    known = flags_of(release)
    kinds = keys(release)
    short = dict(tables.SHORT)
    found: list[Flag] = []
    problems: list[Problem] = []
    todo = list(argv)

    def take(name: str, value: Optional[str]) -> None:
        if name not in known:
            removed = {entry[0]: entry for entry in tables.REMOVED}.get(name)
            problems.append(
                Problem(
                    "invalid-flag",
                    f"--{name}",
                    f"dockerd has no flag --{name}" + (f" since {removed[2]}" if removed else ""),
                    removed_in=removed[2] if removed else "",
                    replaced_by=removed[3] if removed else "",
                )
            )
        switch = name in tables.SWITCHES or kinds.get(known.get(name, "")) == "bool"
        if value is None and not switch and todo and (name in known or not todo[0].startswith("-")):
            value = todo.pop(0)
        found.append(Flag(name, value))

    while todo:
        argument = todo.pop(0)
        if argument == "--":
            break
        if argument.startswith("--"):
            name, equals, value = argument[2:].partition("=")
            take(name, value if equals else None)
        elif argument.startswith("-") and len(argument) > 1:
            letters = argument[1:]
            while letters:
                name = short.get(letters[0], letters[0])
                letters = letters[1:]
                if letters.startswith("="):
                    take(name, letters[1:])
                    break
                if letters and not (name in tables.SWITCHES or kinds.get(known.get(name, "")) == "bool"):
                    take(name, letters)
                    break
                take(name, None)
    return found, problems


class Struct:
    """An object with known members; `strict` refuses others."""

    def __init__(self, members: dict[str, Any], strict: bool = False) -> None:
        """Take the members' names, as Go compares them without case, and what they must be."""
        self.members = {gojson.fold(name): (name, kind) for name, kind in members.items()}
        self.strict = strict


Kind = Union[str, tuple[str, Any], Struct]


def schema(kind: str, release: Release) -> Any:
    """Return a kind in terms of strings, (list, of), (map, of) and Struct.

    The types are those of `daemon/config`, `opts` and `builder` of moby at the release.
    """
    simple: dict[str, Any] = {
        "strs": ("list", "str"),
        "ips": ("list", "ip"),
        "addrs": ("list", "addr"),
        "strmap": ("map", "str"),
        "strmaps": ("map", ("map", "str")),
        "bools": ("map", "bool"),
    }
    if kind in simple:
        return simple[kind]
    if kind == "ulimits":
        return ("map", Struct({"Name": "str", "Hard": "int", "Soft": "int"}))
    if kind == "runtimes":
        runtime: dict[str, Any] = {"path": "str", "runtimeArgs": ("list", "str")}
        if release >= (24,):
            runtime.update({"runtimeType": "str", "options": ("map", "any")})
        return ("map", Struct(runtime))
    if kind == "pools":
        return ("list", Struct({"base": "prefix" if release >= (27,) else "str", "size": "int"}))
    if kind == "proxies":
        return Struct({"http-proxy": "str", "https-proxy": "str", "no-proxy": "str"})
    if kind == "nri":
        text_members = dict.fromkeys(tables.MEMBERS["nri-opts"][1:], "str")
        return Struct({"enable": "bool", **text_members}, strict=True)
    if kind == "builder":
        rule: dict[str, Any] = {"all": "bool", "filter": "filter", "keepStorage": "str"}
        collection: dict[str, Any] = {"enabled": "bool", "defaultKeepStorage": "str"}
        if release >= (28,):
            rule.update(dict.fromkeys(("reservedSpace", "maxUsedSpace", "minFreeSpace"), "str"))
            names = ("defaultReservedSpace", "defaultMaxUsedSpace", "defaultMinFreeSpace")
            collection.update(dict.fromkeys(names, "str"))
        collection["policy"] = ("list", Struct(rule))
        builder: dict[str, Any] = {"gc": Struct(collection)}
        if release >= (19, 3, 5):
            builder["entitlements"] = Struct(
                dict.fromkeys(
                    ("network-host", "security-insecure", *(("device",) * (release >= (29,)))), "bool"
                )
            )
        if release >= (24,):
            age = "duration" if release >= (25,) else "int"
            builder["history"] = Struct({"maxAge": age, "maxEntries": "int"})
        return Struct(builder)
    return kind


def dotted(release: Release) -> str:
    """Return a release as people write it.

    >>> dotted((23,)), dotted((17, 6)), dotted((19, 3, 5)), dotted((28, 2))
    ('23.0', '17.06', '19.03.5', '28.2')
    """
    year = 17 <= release[0] <= 20
    parts = [str(release[0])]
    parts.append((f"{release[1]:02d}" if year else str(release[1])) if len(release) > 1 else "0")
    return ".".join([*parts, *map(str, release[2:])])
