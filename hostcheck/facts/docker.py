"""What dockerd will be configured with: its file, its command line, and its defaults."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence

from hostcheck._typing import TYPE_CHECKING, Any, Optional
from hostcheck.facts import engine
from hostcheck.facts.files import is_masked, names, text
from hostcheck.host import Host, NotApplicable, Unavailable
from hostcheck.record import Record
from hostcheck.versions import Version

if TYPE_CHECKING:
    from hostcheck.facts._daemon_host import Facts
    from hostcheck.facts.daemonjson import Flag, Judgement

DAEMON_JSON = "/etc/docker/daemon.json"
"""Where dockerd looks if nothing else is said; it may be missing there."""

DATA_ROOT = "/var/lib/docker"

SNAP_UNIT = "snap.docker.dockerd.service"
SNAP_JSON = "/var/snap/docker/current/config/daemon.json"
SNAP_ROOT = "/var/snap/docker/common/var-lib-docker"
"""The snap's dockerd is started by a script that sets these two (`bin/dockerd` of the docker snap)."""

UNITS = ("docker.service", "docker-latest.service", SNAP_UNIT)

FILE_LIMIT = 4 * 1024 * 1024
"""Bytes. dockerd reads any size; what is larger would take longer to judge than anyone waits."""


class Setting(Record):
    """A setting of dockerd, and where it was made."""

    value: Any
    path: Optional[str]
    """The file that says so; None for a default."""
    line: Optional[int]


class CommandLine(Record):
    """The command line that starts dockerd."""

    argv: tuple[str, ...]
    """The flags, without the program."""
    path: Optional[str]
    line: Optional[int]
    unit: str
    program: str = ""
    """What is started, as the unit names it."""


def command_line(host: Host) -> CommandLine:
    """Return how dockerd is started; without flags where no unit says so.

    `host.assumptions["dockerd flags"]` decides where it is set.
    """
    return host.fact(_command_line)


def _command_line(host: Host) -> CommandLine:
    assumed = host.assumptions.get("dockerd flags")
    if assumed is not None:
        import shlex  # only where no unit is looked at

        return CommandLine(tuple(shlex.split(assumed)), None, None, "docker.service")
    # Imported here: it is needed only where docker is asked about.
    from hostcheck.facts import systemd

    if systemd.other_init(host) == "OpenRC":
        return _openrc(host)
    for unit in UNITS:
        try:
            commands = systemd.exec_start(host, unit)
        except Unavailable:
            continue
        for command in commands:
            argv = tuple(command.argv)
            for i, word in enumerate(argv):
                name = posixpath.basename(word)
                if name.startswith("dockerd") and "rootless" not in name:
                    return CommandLine(
                        argv[i + 1 :], command.path, command.line, unit, " ".join(argv[: i + 1])
                    )
                if name == "docker" and argv[i + 1 : i + 2] == ("daemon",):
                    return CommandLine(argv[i + 2 :], command.path, command.line, unit)
            if unit == SNAP_UNIT:
                flags = (f"--config-file={SNAP_JSON}", f"--data-root={SNAP_ROOT}")
                return CommandLine(flags, command.path, command.line, unit)
    return CommandLine((), None, None, "docker.service")


def _openrc(host: Host) -> CommandLine:
    """Return the flags of Alpine's and Gentoo's service: DOCKER_OPTS of /etc/conf.d/docker."""
    from hostcheck.facts.os import parse_assignments

    path = "/etc/conf.d/docker"
    for said in parse_assignments(text(host, path) or ""):
        if said.name == "DOCKER_OPTS" and said.value.strip():
            import shlex  # only on OpenRC

            try:
                return CommandLine(tuple(shlex.split(said.value)), path, said.line, "docker")
            except ValueError:
                break
    return CommandLine((), None, None, "docker")


def config_file(host: Host) -> str:
    """Return the path of the configuration file: --config-file, or /etc/docker/daemon.json.

    `host.assumptions["daemon.json"]` decides where it is set.
    """
    return host.fact(_config_file)


def _config_file(host: Host) -> str:
    if host.assumptions.get("daemon.json"):
        return host.assumptions["daemon.json"]
    return next((flag.value for flag in reversed(_named_files(host)) if flag.value is not None), DAEMON_JSON)


def _named_files(host: Host) -> list[Flag]:
    argv = command_line(host).argv
    if not argv:
        return []
    from hostcheck.facts import daemonjson  # 3 ms, and hosts without docker have no command line

    flags, _ = daemonjson.parse_flags(argv, version_judged_by(host).numbers)
    return [flag for flag in flags if flag.name == "config-file"]


def names_config_file(host: Host) -> bool:
    """Return whether the command line names the file, which then must exist."""
    return any(flag.value for flag in _named_files(host))


def rootless_files(host: Host) -> tuple[str, ...]:
    """Return the configuration files of users who run dockerd without root, as far as they can be seen."""
    return host.fact(_rootless_files)


def _rootless_files(host: Host) -> tuple[str, ...]:
    found = []
    try:
        for line in (text(host, "/etc/passwd") or "").splitlines():
            fields = line.split(":")
            if len(fields) >= 7 and fields[5].startswith("/") and fields[5] not in ("/", "/nonexistent"):
                found.append(f"{fields[5]}/.config/docker/daemon.json")
        found += [f"/home/{name}/.config/docker/daemon.json" for name in names(host, "/home")]
    except (PermissionError, Unavailable):
        pass
    there = []
    for path in dict.fromkeys(found):
        try:
            if host.stat(path).is_file:
                there.append(path)
        except (OSError, Unavailable):
            continue
    return tuple(there)


def version_judged_by(host: Host) -> Version:
    """Return the release whose rules count: the installed or assumed one, or the newest that is known."""
    return host.fact(_version_judged_by)


def _version_judged_by(host: Host) -> Version:
    try:
        found = engine.docker_version(host)
    except (OSError, ValueError, Unavailable):
        found = None
    if found:
        return found
    from hostcheck.facts._daemon_keys import (
        NEWEST,  # a large table, which is loaded where something is judged
    )

    return Version(NEWEST)


def version_known(host: Host) -> bool:
    """Return whether the release is the installed or assumed one, not a guess."""
    try:
        return engine.docker_version(host) is not None
    except (OSError, ValueError, Unavailable):
        return False


def relevant(host: Host) -> None:
    """Raise `NotApplicable` where docker is not installed and nobody has begun to configure it."""
    if engine.stage(host) == "before" and not host.exists(config_file(host)) and not rootless_files(host):
        raise NotApplicable("docker is not installed")


def read(host: Host, path: str) -> Optional[bytes]:
    """Return a configuration file, None if there is none.

    Raises:
        PermissionError, Unavailable: it is there, or may be, and cannot be read.

    """
    if is_masked(host, path):
        return b""
    try:
        data = host.read_bytes(path, FILE_LIMIT + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if len(data) > FILE_LIMIT:
        raise Unavailable(f"{path} is larger than {FILE_LIMIT >> 20} MiB: too large to judge")
    return data


def judgement(host: Host) -> Judgement:
    """Return what dockerd makes of its file and its command line; an absent file is an empty one.

    Raises:
        PermissionError, Unavailable: the file cannot be read.

    """
    return host.fact(_judgement)


def _judgement(host: Host) -> Judgement:
    path = config_file(host)
    data = read(host, path) if path else None
    # Without a file there is nothing to find wrong but the flags.
    return _judge(host, b"{}" if data is None else data, command_line(host).argv)


def _judge(host: Host, data: bytes, flags: Sequence[str]) -> Judgement:
    # Imported here: 3 ms that a host without docker need not spend.
    from hostcheck.facts import daemonjson

    return daemonjson.judge(data, version_judged_by(host), flags, asked(host))


def asked(host: Host) -> Facts:
    """Return the host as the judge of daemon.json asks it."""
    from hostcheck.facts._daemon_host import Facts  # with the judge, and so not on hosts without docker

    return Facts(host, data_root_hint(host))


def is_untouched(host: Host) -> bool:
    """Return whether docker is not installed and nobody has begun to configure it: the defaults will count."""
    if engine.stage(host) != "before" or command_line(host).argv:
        return False
    path = config_file(host)
    return not path or read(host, path) is None


def judge_rootless(host: Host, path: str) -> Judgement:
    """Return what a dockerd that a user runs without root makes of that user's file."""
    data = read(host, path)
    return _judge(host, b"{}" if data is None else data, ())


def effective(host: Host) -> Mapping[str, Setting]:
    """Return what file and command line set, by key of daemon.json.

    Raises:
        NotApplicable: dockerd takes neither; the check of the file says why.
        PermissionError, Unavailable: the file cannot be read.

    """
    return host.fact(_effective)


def setting(host: Host, key: str) -> object:
    """Return what file or command line set for a key, None where neither does or they cannot be had."""
    try:
        found = effective(host).get(key)
    except (NotApplicable, PermissionError, Unavailable):
        return None
    return found.value if found else None


def _effective(host: Host) -> Mapping[str, Setting]:
    if is_untouched(host):
        return {}
    judged = judgement(host)
    from hostcheck.facts.daemonjson import SYNTAX  # the judge has loaded it

    # A file that is looked at for its own sake is told all that is wrong with it at once, as far as it is JSON.
    alone = "daemon.json" in host.assumptions
    if not judged.accepted and not (alone and judged.named[0].stage > SYNTAX):
        first = judged.named[0]
        where = f"line {first.line}: " if first.line else ""
        key = f"{first.key}: " if first.key else ""
        raise NotApplicable(f"daemon.json cannot be read: {where}{key}{first.message}")
    path, start = config_file(host), command_line(host)
    found: dict[str, Setting] = {}
    for key, value in judged.effective.items():
        said = judged.values.get(key)
        if said is not None and (said.value or isinstance(value, bool) or said.value == value):
            found[key] = Setting(value, path, said.line)
        elif key in judged.flag_values:
            found[key] = Setting(value, start.path, start.line)
    return found


def meant(host: Host, key: str) -> Any:
    """Return what file or command line ask for, even where dockerd refuses the whole; None if neither does.

    Raises:
        PermissionError, Unavailable: the file cannot be read.

    """
    if is_untouched(host):
        return None
    judged = judgement(host)
    said = judged.values.get(key)
    return said.value if said is not None else judged.flag_values.get(key)


def value(host: Host, key: str) -> Any:
    """Return what counts for a key, dockerd's own default included; see `effective` for the errors."""
    effective(host)
    return judgement(host).effective.get(key)


def where(host: Host, key: str) -> tuple[Optional[str], Optional[int]]:
    """Return the file and the line that set a key, None for a default."""
    found = effective(host).get(key)
    return (found.path, found.line) if found else (None, None)


def data_root(host: Host) -> str:
    """Return the folder that holds images, containers and volumes; the default where the file is broken."""
    return host.fact(_data_root)


def _data_root(host: Host) -> str:
    try:
        if is_untouched(host):
            return DATA_ROOT
        judged = judgement(host)
    except (OSError, Unavailable):
        return DATA_ROOT
    # A file that dockerd refuses says all the same what is meant.
    root = judged.values.get("data-root") or judged.values.get("graph")
    meant = root.value if root else judged.flag_values.get("data-root") or judged.flag_values.get("graph")
    return meant if isinstance(meant, str) and meant.startswith("/") else DATA_ROOT


KEY_FIELDS = {"EC": ("crv", "x", "y", "d"), "RSA": ("n", "e", "d", "p", "q", "dp", "dq", "qi")}
"""What a private key must have, by its kind (libtrust, ec_key.go and rsa_key.go)."""


def key_problem(content: str) -> str:
    """Return why libtrust takes a text for no private key (JWK), empty if nothing is known against it.

    >>> key_problem("")
    'it is empty'
    >>> key_problem('{"kty": "EC", "crv": "P-256", "x": "a", "y": "b"}')
    'it has no d'
    """
    import json  # only docker before 23.0 has a key

    if not content.strip():
        return "it is empty"
    try:
        key = json.loads(content)
    except (ValueError, RecursionError):
        return "it is no JSON"
    kind = key.get("kty") if isinstance(key, dict) else None
    if kind not in KEY_FIELDS:
        return "it names no kind of key"
    missing = [name for name in KEY_FIELDS[kind] if not isinstance(key.get(name), str)]
    return f"it has no {missing[0]}" if missing else ""


def data_root_hint(host: Host) -> str:
    """Return the data root as a plain reading of flags and file has it, without judging either."""
    for word in command_line(host).argv:
        if word.startswith("--data-root="):
            return word.partition("=")[2]
    try:
        import json  # the judge itself asks for this: it cannot be asked here

        found = json.loads(read(host, config_file(host)) or b"{}")
    except (OSError, ValueError, RecursionError, Unavailable):
        return DATA_ROOT
    root = found.get("data-root") if isinstance(found, dict) else None
    return root if isinstance(root, str) and root.startswith("/") else DATA_ROOT


def export(host: Host) -> dict[str, object]:
    """Return the configuration that counts by key, each with the file and line that say so, and what it comes from."""
    path = config_file(host)
    start = command_line(host)
    found: dict[str, object] = {
        "file": {"value": path if host.exists(path) else None, "path": path},
        "version": {"value": str(version_judged_by(host)), "path": None, "known": version_known(host)},
        "flags": {"value": list(start.argv), "path": start.path, "line": start.line},
    }
    try:
        judged = judgement(host)
    except (OSError, Unavailable) as error:
        found["error"] = {"value": str(error), "path": path}
        return found
    problems = [
        {
            "class": problem.cls,
            "key": problem.key,
            "message": problem.message,
            "line": problem.line,
            "column": problem.column,
            "caught_by": problem.caught_by,
        }
        for problem in judged.problems
    ]
    found["accepted"] = {"value": judged.accepted, "path": path}
    found["problems"] = {"value": problems, "path": path}
    settings: dict[str, object] = {}
    try:
        said = effective(host)
    except NotApplicable:
        for key, shown in judged.values.items():
            settings[key] = {"value": shown.value, "path": path, "line": shown.line}
    else:
        for key in sorted(judged.effective):
            setting = said.get(key)
            if setting is None and engine.stage(host) == "before":
                continue
            settings[key] = {
                "value": judged.effective[key],
                "path": setting.path if setting else None,
                "line": setting.line if setting else None,
            }
    return {**found, **settings}
