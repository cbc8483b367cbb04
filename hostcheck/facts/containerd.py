"""How containerd is configured: its file, the files that this imports, and what the CRI plugin makes of them."""

from __future__ import annotations

import posixpath
import re
import sys
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

from hostcheck._typing import Any, Optional
from hostcheck.facts.files import names
from hostcheck.facts.versions import version
from hostcheck.host import Host, Unavailable
from hostcheck.record import Record
from hostcheck.versions import Version

PATH = "/etc/containerd/config.toml"
"""Where containerd looks when it is not told otherwise (containerd-config.toml(5))."""

IMPORTS_LIMIT = 100
"""Files that are followed through imports."""


class BadConfig(Exception):
    """A file is no TOML; containerd does not start with it."""

    def __init__(self, path: str, line: int, reason: str) -> None:
        """Keep where it is and what is wrong there."""
        super().__init__(f"{path}:{line}: {reason}" if line else f"{path}: {reason}")
        self.path = path
        self.line = line
        self.reason = reason


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


def parse_toml(text: str) -> dict[str, Any]:
    r"""Read a TOML document, with the standard library where it has a reader.

    Raises:
        BadConfig: it is none; the path is empty.

    >>> parse_toml('[a."b.c"]\nd = [1, "x"] # no')
    {'a': {'b.c': {'d': [1, 'x']}}}
    """
    if sys.version_info >= (3, 11):
        # Imported here: only a host with the file needs it.
        import tomllib

        try:
            return tomllib.loads(text.lstrip("\ufeff").replace("\r\n", "\n"))
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            # The same words on every Python, where our own reader finds the fault too.
            parse_toml_plainly(text)
            line = re.search(r"at line (\d+)", str(error))
            reason = re.sub(r" \(at .*\)$", "", str(error))
            raise BadConfig("", int(line.group(1)) if line else 0, reason) from None
    return parse_toml_plainly(text)


# Compiled where it is used: from Python 3.11 on that is never.
_TOKEN = (
    r'(?s)"""(?P<long>(?:[^\\]|\\.)*?)"""'
    r"|'''(?P<raw>.*?)'''"
    r'|"(?P<basic>(?:[^"\\\n]|\\.)*)"'
    r"|'(?P<literal>[^'\n]*)'"
    r"|(?P<bare>[A-Za-z0-9_+:-]+(?:\.[0-9]+[A-Za-z0-9_+:-]*)?)"
    r"|(?P<mark>\[\[|\]\]|[\[\]{}=,.])"
    r"|(?P<space>[ \t]+|\#[^\n]*|\r?\n)"
)


def parse_toml_plainly(text: str) -> dict[str, Any]:
    """Read the TOML that configurations are written in, for Python before 3.11.

    Dates stay texts. Raises `BadConfig` as `parse_toml`.
    """
    return _Plain(text).document()


class _Plain:
    """A reader of TOML by recursive descent."""

    def __init__(self, text: str) -> None:
        self.text = text.lstrip("\ufeff")
        self.at = 0
        self.defined: set[int] = set()

    def fail(self, reason: str) -> BadConfig:
        return BadConfig("", self.text.count("\n", 0, self.at) + 1, reason)

    def skip(self, lines: bool) -> None:
        pattern = r"(?:[ \t\r\n]|#[^\n]*)*" if lines else r"[ \t]*(?:#[^\n]*)?\r?"
        found = re.compile(pattern).match(self.text, self.at)
        if found:
            self.at = found.end()

    def end_of_line(self) -> None:
        self.skip(lines=False)
        if self.at < len(self.text) and self.text[self.at] != "\n":
            raise self.fail("more on the line than a value")

    def eat(self, mark: str) -> bool:
        if self.text.startswith(mark, self.at):
            self.at += len(mark)
            return True
        return False

    def document(self) -> dict[str, Any]:
        root: dict[str, Any] = {}
        table = root
        self.skip(lines=True)
        while self.at < len(self.text):
            if self.eat("[["):
                table = self.header(root, "]]")
            elif self.eat("["):
                table = self.header(root, "]")
            else:
                self.pair(table)
            self.end_of_line()
            self.skip(lines=True)
        return root

    def header(self, root: dict[str, Any], close: str) -> dict[str, Any]:
        keys = self.keys()
        if not self.eat(close):
            raise self.fail("a table's name does not end")
        table = self.descend(root, keys[:-1])
        if close == "]]":
            listed = table.setdefault(keys[-1], [])
            if not isinstance(listed, list):
                raise self.fail(f"{keys[-1]} is no list of tables")
            listed.append({})
            last: dict[str, Any] = listed[-1]
            return last
        found = self.descend(table, keys[-1:])
        if id(found) in self.defined:
            raise self.fail(f"table {'.'.join(keys)} stands twice")
        self.defined.add(id(found))
        return found

    def descend(self, table: dict[str, Any], keys: list[str]) -> dict[str, Any]:
        for key in keys:
            following = table.setdefault(key, {})
            if isinstance(following, list) and following and isinstance(following[-1], dict):
                following = following[-1]
            if not isinstance(following, dict):
                raise self.fail(f"{key} is no table")
            table = following
        return table

    def pair(self, table: dict[str, Any]) -> None:
        keys = self.keys()
        if not self.eat("="):
            raise self.fail("no = after a key")
        self.skip(lines=False)
        value = self.value()
        table = self.descend(table, keys[:-1])
        if keys[-1] in table:
            raise self.fail(f"{keys[-1]} stands twice")
        table[keys[-1]] = value

    def keys(self) -> list[str]:
        keys = []
        while True:
            self.skip(lines=False)
            found = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|[A-Za-z0-9_-]+').match(self.text, self.at)
            if not found:
                raise self.fail("no key where one should be")
            self.at = found.end()
            word = found.group(0)
            keys.append(_unescape(word[1:-1]) if word[0] == '"' else word.strip("'"))
            self.skip(lines=False)
            if not self.eat("."):
                return keys

    def value(self) -> Any:
        found = re.compile(_TOKEN).match(self.text, self.at)
        if not found or found.lastgroup == "space":
            raise self.fail("no value where one should be")
        if found.lastgroup == "mark":
            if self.eat("["):
                return self.array()
            if self.eat("{"):
                return self.inline()
            raise self.fail("no value where one should be")
        self.at = found.end()
        word = found.group(found.lastgroup or "bare")
        if found.lastgroup in ("long", "basic"):
            long = found.lastgroup == "long"
            return _unescape(re.sub(r"\\\n\s*", "", word.removeprefix("\n")) if long else word)
        if found.lastgroup in ("raw", "literal"):
            return word.removeprefix("\n")
        if word in ("true", "false"):
            return word == "true"
        plain = word.replace("_", "")
        try:
            if re.match(r"[+-]?\d+$|0[xob][0-9A-Fa-f]+$", plain):
                return (
                    int(plain, 0) if plain[:1] == "0" and len(plain) > 1 and plain[1] in "xob" else int(plain)
                )
            return float(plain)
        except ValueError:
            if re.match(r"\d{4}-\d\d-\d\d|\d\d:\d\d", word):
                return word
            raise self.fail(f"{word} is no value: a text needs quotes") from None

    def array(self) -> list[Any]:
        items: list[Any] = []
        while True:
            self.skip(lines=True)
            if self.eat("]"):
                return items
            items.append(self.value())
            self.skip(lines=True)
            if not self.eat(","):
                if self.eat("]"):
                    return items
                raise self.fail("a list does not end")

    def inline(self) -> dict[str, Any]:
        table: dict[str, Any] = {}
        self.skip(lines=False)
        if self.eat("}"):
            return table
        while True:
            self.pair(table)
            self.skip(lines=False)
            if self.eat("}"):
                return table
            if not self.eat(","):
                raise self.fail("a table in braces does not end")


_ESCAPES = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", '"': '"', "\\": "\\"}


def _unescape(text: str) -> str:
    def one(found: re.Match[str]) -> str:
        word = found.group(1)
        try:
            return chr(int(word[1:], 16)) if word[0] in "uU" else _ESCAPES.get(word, word)
        except (ValueError, OverflowError):
            raise BadConfig("", 0, f"\\{word} is no character") from None

    return re.sub(r"\\(u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|.)", one, text)


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
