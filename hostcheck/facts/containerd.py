"""How containerd is configured: its file, the files that this imports, and what the CRI plugin makes of them."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

from hostcheck._typing import Any, Optional
from hostcheck.facts.files import names
from hostcheck.facts.toml import BadConfig, parse_toml
from hostcheck.facts.versions import version
from hostcheck.host import Host, Unavailable
from hostcheck.record import Record
from hostcheck.versions import Version

PATH = "/etc/containerd/config.toml"
"""Where containerd looks when it is not told otherwise (containerd-config.toml(5))."""

IMPORTS_LIMIT = 100
"""Files that are followed through imports."""


class Config(Record):
    """What containerd will read."""

    path: str
    """The file it begins with, whether or not it is there."""
    files: tuple[str, ...]
    """All that were read, the first first; none where there is no file and the defaults count."""
    values: Mapping[str, Any]
    """All files together."""
    parts: tuple[Mapping[str, Any], ...]
    """What each of the files says."""
    text: str
    """Of the first file."""
    daemon: Optional[Version]
    """The containerd that reads them, None where it is not known."""
    missing: tuple[str, ...] = ()
    """Files that are imported by name and are not there."""

    @property
    def new(self) -> bool:
        """Whether containerd 2 reads them."""
        return self.daemon is None or self.daemon >= Version("2.0")

    @property
    def version(self) -> int:
        """The version of the format; 1 where the file does not say."""
        found = self.values.get("version", 1)
        return found if type(found) is int else 1

    @property
    def plugins(self) -> Mapping[str, Any]:
        """The sections of the plugins, by their full names."""
        return _table(self.values.get("plugins"))

    def line(self, needle: str) -> int | None:
        """Return the first line of the first file that has the text and is no comment."""
        for number, line in enumerate(self.text.split("\n"), 1):
            if needle in line and not line.lstrip().startswith("#"):
                return number
        return None


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def config(host: Host) -> Config:
    """Return what containerd reads, imports merged in.

    Raises:
        BadConfig: a file is no TOML.
        PermissionError, Unavailable: one cannot be read.

    """
    return host.fact(_config)


def _config(host: Host) -> Config:
    path = config_path(host)
    daemon = version(host, "containerd")
    parts: dict[str, Mapping[str, Any]] = {}
    values: dict[str, Any] = {}
    missing: list[str] = []
    first = ""
    todo = [path]
    while todo and len(parts) < IMPORTS_LIMIT:
        current = todo.pop(0)
        if current in parts:
            continue
        try:
            text = host.read(current)
        except FileNotFoundError:
            if current == path:
                return Config(path, (), {}, (), "", daemon)
            missing.append(current)
            continue
        try:
            loaded = parse_toml(text)
        except BadConfig as error:
            raise BadConfig(current, error.line, error.reason) from None
        first = first or text
        parts[current] = loaded
        values = merge(values, loaded, deep=daemon is None or daemon >= Version("2.0"))
        imports = loaded.get("imports")
        for pattern in imports if isinstance(imports, list) else []:
            if isinstance(pattern, str):
                todo.extend(_glob(host, posixpath.join(posixpath.dirname(current), pattern)))
    return Config(path, tuple(parts), values, tuple(parts.values()), first, daemon, tuple(missing))


def config_path(host: Host) -> str:
    """Return the configuration file that containerd.service names, or the usual one."""
    return _flag(host, "config", "c")[0] or PATH


SOCKET = "/run/containerd/containerd.sock"
"""Where containerd listens when it is not told otherwise (defaults/defaults_unix.go)."""


def address(host: Host) -> tuple[str | None, str | None, int | None]:
    """Return where the containerd of containerd.service listens, and what says so; None if there is no such unit.

    The flag counts before the file (cmd/containerd/command/main.go).

    Raises:
        BadConfig, PermissionError, Unavailable: the configuration cannot be read.

    """
    told, path, line = _flag(host, "address", "a")
    if told or path is None:
        return told, path, line
    found = config(host)
    said = _table(found.values.get("grpc")).get("address")
    if isinstance(said, str) and said:
        return said, found.path, found.line(said)
    return SOCKET, path, line


def _flag(host: Host, name: str, letter: str) -> tuple[str | None, str | None, int | None]:
    """Return what a flag in containerd.service says, and the file and line of the command; all None without one."""
    # Imported here: the unit reader is the largest of the facts.
    from hostcheck.facts import systemd

    try:
        commands = systemd.exec_start(host, "containerd.service")
    except (OSError, Unavailable):
        return None, None, None
    for command in commands:
        for word, following in zip(command.argv, [*command.argv[1:], ""]):
            if word in (f"--{name}", f"-{letter}", f"-{name}"):
                return following, command.path, command.line
            if word.startswith((f"--{name}=", f"-{letter}=")):
                return word.partition("=")[2], command.path, command.line
    return (None, commands[0].path, commands[0].line) if commands else (None, None, None)


def top(host: Host, key: str) -> str:
    """Return an absolute path at the top of the configuration, empty where there is none or it cannot be read."""
    try:
        found = config(host).values.get(key)
    except (BadConfig, OSError, Unavailable):
        return ""
    return found if isinstance(found, str) and found.startswith("/") else ""


def _glob(host: Host, pattern: str) -> list[str]:
    """Return the files that a pattern of imports names: only its last part may have wildcards."""
    folder, name = posixpath.split(pattern)
    if not re.search(r"[*?\[]", name):
        return [pattern]
    try:
        return [f"{folder}/{each}" for each in names(host, folder) if fnmatchcase(each, name)]
    except Unavailable:
        return []


def merge(to: Mapping[str, Any], more: Mapping[str, Any], deep: bool) -> dict[str, Any]:
    """Return what two files say together: the later one wins, lists grow, plugins are merged one by one.

    Before containerd 2.0 the section of a plugin in a later file takes the place of the earlier one (`deep`
    false). Source: containerd's cmd/containerd/server/config/config.go, mergeConfig.

    >>> merge({"plugins": {"a": {"x": 1}}}, {"plugins": {"a": {"y": 2}}}, deep=False)
    {'plugins': {'a': {'y': 2}}}
    """
    merged = dict(to)
    for key, value in more.items():
        if key == "plugins" and isinstance(value, dict):
            sections = dict(_table(merged.get(key)))
            for name, section in value.items():
                both = deep and isinstance(section, dict) and isinstance(sections.get(name), dict)
                sections[name] = _deep(sections[name], section) if both else section
            merged[key] = sections
        elif key in ("disabled_plugins", "required_plugins", "imports") and isinstance(value, list):
            before = merged.get(key)
            old = before if isinstance(before, list) else []
            merged[key] = [*old, *(each for each in value if each not in old)]
        elif key == "version" and key in merged:
            continue
        else:
            merged[key] = value
    return merged


def _deep(to: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(to)
    for key, value in more.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _deep(merged[key], value) if both else value
    return merged


CRI_1, CRI_2, CRI_3 = "cri", "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime"
"""Names of the plugin that runs containers for Kubernetes: in format 1, 2 and 3."""

CRI_OFF = (CRI_1, CRI_2, CRI_3, "io.containerd.cri.v1.images")
"""What in disabled_plugins takes the CRI away."""


def cri(found: Config) -> Mapping[str, Any]:
    """Return the section of the CRI plugin that has the runtimes, as far as this containerd reads it.

    Compared with `containerd config dump` of 1.4, 1.6, 1.7 and 2.1: 1.x reads one name, by the file's
    version; 2.x reads its own name whatever the version, and that of version 2 in such a file. A section
    under any other name is passed over in silence.
    """
    if not found.new:
        names_read: tuple[str, ...] = (CRI_2 if found.version >= 2 else CRI_1,)
    elif found.daemon is None and found.version < 2:
        names_read = (CRI_1,)
    else:
        names_read = (CRI_3, CRI_2) if found.version == 2 else (CRI_3,)
    return next((_table(found.plugins[name]) for name in names_read if name in found.plugins), {})


def registry(found: Config) -> Mapping[str, Any]:
    """Return how the CRI plugin that pulls images is to reach registries, as far as this containerd reads it."""
    if found.new and found.version >= 3:
        section = _table(found.plugins.get(CRI_OFF[-1]))
    else:
        section = _table(found.plugins.get(CRI_2 if found.version == 2 else CRI_1))
    return _table(section.get("registry"))


def known_cri(host: Host) -> Mapping[str, Any]:
    """Return the section of the CRI plugin, empty where the configuration cannot be had."""
    try:
        return cri(config(host))
    except (BadConfig, OSError, Unavailable):
        return {}


def cri_disabled(found: Config) -> tuple[str, ...]:
    """Return what disables the CRI plugin: entries of disabled_plugins."""
    listed = found.values.get("disabled_plugins")
    return tuple(name for name in listed if name in CRI_OFF) if isinstance(listed, list) else ()


def default_runtime(found: Config) -> str:
    """Return the name of the runtime that pods get, `runc` where nothing says another."""
    name = _table(cri(found).get("containerd")).get("default_runtime_name")
    return name if isinstance(name, str) and name else "runc"


def systemd_cgroup(host: Host) -> bool:
    """Return whether the CRI's default runtime leaves control groups to systemd; false where nothing says so.

    Raises:
        BadConfig: the configuration is no TOML.
        PermissionError, Unavailable: it cannot be read.

    """
    return systemd_cgroup_of(config(host))


def systemd_cgroup_of(found: Config) -> bool:
    """Return whether this configuration leaves control groups to systemd."""
    section = cri(found)
    runtimes = _table(_table(section.get("containerd")).get("runtimes"))
    options = _table(_table(runtimes.get(default_runtime(found))).get("options"))
    if "SystemdCgroup" in options:
        return options["SystemdCgroup"] is True
    # Only the shim of runtime v1 takes it; with any other the CRI plugin does not load.
    return False


def leaves(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value with its dotted path."""
    for key, value in values.items():
        name = f"{before}.{key}" if before else key
        if isinstance(value, dict) and value:
            yield from leaves(value, name)
        else:
            yield name, value


def export(host: Host) -> dict[str, object]:
    """Return every key that is set, and what follows for the CRI."""
    found = config(host)
    shown: dict[str, object] = {
        name: {"value": value, "path": found.path, "line": found.line(name.rpartition(".")[2])}
        for name, value in leaves(found.values)
    }
    shown["systemd_cgroup"] = {"value": systemd_cgroup(host), "path": found.path, "line": None}
    return shown
