"""dockerd and its configuration: what it refuses, what it takes and does nothing with, what it cannot use."""

from __future__ import annotations

from collections.abc import Iterator

from hostcheck._typing import TYPE_CHECKING, Optional
from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, Version
from hostcheck.facts import docker, engine, versions

from ._daemon import CONFIG, DAEMON, MANY, REFERENCE, configured, failed, judged, passed, shown, subject

if TYPE_CHECKING:
    from hostcheck.facts.daemonjson import Judgement, Problem

DEPRECATED = "https://docs.docker.com/engine/deprecated/"

FLAGS = ("flag-conflict", "invalid-flag")
CLASSES = {"invalid-flag": "invalid-value", "tls-file": "invalid-value", "userns-user": "invalid-value"}
"""What the report calls the classes of problems for which it has no word of its own."""
ELSEWHERE = ("storage-driver", "storage-opts")
"""Keys that the storage checks speak of."""


def release(judgement: Judgement) -> str:
    """Return the release that judged, without what a distribution adds to it."""
    version = judgement.version
    return version.text[: len(version.text) - len(version.rest)].rpartition(":")[2] or version.text


def at(problem: Problem) -> str:
    """Return where a problem stands, for a message."""
    return f" (line {problem.line}, column {problem.column})" if problem.line else ""


def reason(problem: Problem) -> str:
    """Return what a problem is, with what was perhaps meant."""
    text = problem.message
    if problem.suggestion:
        return f"{text}; did you mean {problem.suggestion}?"
    if problem.replaced_by and problem.replaced_by not in text:
        return f"{text}; use {problem.replaced_by}"
    return text


def kind(problem: Problem) -> dict[str, str]:
    """Return the class and the key of a problem, for a finding."""
    cls = "start-only" if problem.caught_by == "start" else CLASSES.get(problem.cls, problem.cls)
    return {"cls": cls, "key": problem.key}


def mend(problem: Problem, path: str) -> str:
    """Return in words what to change."""
    name = problem.key.rpartition(".")[2]
    instead = problem.suggestion or problem.replaced_by
    if instead and " " not in instead:
        return f"write {instead} in place of {name}"
    if problem.removed_in:
        return f"take {name} out" + (f": {instead} does the same" if instead else ": nothing takes its place")
    validate = f"dockerd --validate --config-file={quote(path)}"
    return f"mend line {problem.line}; from docker 23.0 on, {validate} tells whether it is right"


def quote(path: str) -> str:
    """Return a path as a shell reads it as one word."""
    if all(c.isalnum() or c in "/._-+@:," for c in path) and path.isascii() and not path.startswith("-"):
        return path
    import shlex  # only for a name that is out of the ordinary

    return shlex.quote(path if not path.startswith("-") else f"./{path}")


def rename(problem: Problem, path: str) -> list[str]:
    """Return the commands that give a key its right name, where that is all that is wrong."""
    old = problem.key.rpartition(".")[2]
    new = problem.suggestion or problem.replaced_by
    if problem.cls not in ("unknown-directive", "removed-option") or not new.replace("-", "").isalpha():
        return []
    if not old or not old.replace("-", "").replace("_", "").isalnum():
        return []
    return [f'sed -i \'{problem.line}s/"{old}"/"{new}"/\' {quote(path)}', "systemctl restart docker"]


class DockerDaemonJson(Check):
    """dockerd takes its configuration file.

    *Why*: dockerd does not start with a file that has one unknown key, one value of the wrong type or one
    comma too many; and what one release takes, the next refuses.

    *Needs*: the file that `--config-file` names, or /etc/docker/daemon.json, and those of users who run
    dockerd without root. It is judged by the rules of the installed release (17.06 to 29.7), of the one that
    is assumed, or of the newest. No file is fine.

    *Fix*: what each finding says. From 23.0 on `dockerd --validate --config-file=...` tells the first problem.
    """

    id = "docker.daemon_json"
    severity = Severity.REQUIRED
    references = (REFERENCE, CONFIG, DEPRECATED, "https://pkg.go.dev/encoding/json#Unmarshal")

    def run(self, host: Host) -> Iterator[Finding]:
        """Judge the file."""
        docker.relevant(host)
        path = docker.config_file(host)
        if not path:
            yield passed("daemon.json", "dockerd is told to read no file")
        elif docker.asked(host).path(path) == "folder":
            yield failed(
                "daemon.json",
                f"dockerd will not start: {path} is a folder, and it wants to read a file",
                value="a folder",
                expected="a file, or nothing",
                path=path,
                when="boot",
                hint=f"move {path} away",
            )
        elif docker.read(host, path) is None:
            if docker.names_config_file(host):
                start = docker.command_line(host)
                yield failed(
                    path,
                    f"dockerd is told to read {path}, which does not exist: it will not start",
                    value="missing",
                    expected="a file",
                    path=start.path,
                    line=start.line,
                    when="boot",
                    commands=[f"echo '{{}}' > {path}", "systemctl restart docker"],
                )
            else:
                yield passed("daemon.json", "there is none: defaults and flags count", path=path, when="boot")
        else:
            yield from self._file(path, docker.judgement(host))
        for theirs in docker.rootless_files(host):
            yield from self._file(theirs, docker.judge_rootless(host, theirs))

    def _file(self, path: str, judgement: Judgement) -> Iterator[Finding]:
        refused = set()
        for problem in judgement.problems:
            if problem.caught_by != "validate" or problem.cls in FLAGS:
                continue
            refused.add(problem.key.partition(".")[0].partition("[")[0])
            key = f"{problem.key}: " if problem.key else ""
            yield failed(
                subject(problem.key),
                f"dockerd {release(judgement)} will not start: {key}{reason(problem)}{at(problem)}",
                value=problem.cls,
                expected=problem.suggestion or problem.replaced_by,
                path=path,
                line=problem.line or None,
                column=problem.column,
                when="boot",
                hint=mend(problem, path),
                commands=rename(problem, path),
                **kind(problem),
            )
        for key, value in judgement.values.items():
            if "." not in key and key not in refused:
                text = shown(key, value.value)
                yield passed(
                    subject(key),
                    text,
                    value=text,
                    path=path,
                    line=value.line,
                    column=value.column,
                    when="boot",
                )
        if not refused and not judgement.values:
            yield passed("daemon.json", "it sets nothing", path=path, when="boot")


class DockerFlagConflict(Check):
    """No setting stands both in daemon.json and on dockerd's command line.

    *Why*: dockerd does not start where it is told a setting twice, even the same. The classic is `hosts` in
    daemon.json beside `-H fd://` in the unit of the package. Nor does it start with a flag that it does not know.

    *Needs*: ExecStart of docker.service with its drop-ins and variables, and daemon.json.

    *Fix*: take the key out of the file, or the flag out of the unit by a drop-in that sets ExecStart anew.
    """

    id = "docker.flag_conflict"
    severity = Severity.REQUIRED
    references = (
        "https://docs.docker.com/engine/daemon/troubleshoot/#resolve-conflicts-between-the-daemonjson-and-startup-scripts",
        CONFIG,
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """Compare the two."""
        docker.relevant(host)
        start, judgement = docker.command_line(host), docker.judgement(host)
        path = docker.config_file(host)
        found = [problem for problem in judgement.problems if problem.cls in FLAGS]
        for problem in found:
            if problem.cls == "invalid-flag":
                yield failed(
                    f"{start.unit} {problem.key}",
                    f"dockerd {release(judgement)} will not start: {reason(problem)}",
                    value=problem.key,
                    expected=problem.replaced_by,
                    path=start.path,
                    line=start.line,
                    when="boot",
                    hint=f"take {problem.key} out of ExecStart ({start.path})",
                    **kind(problem),
                )
                continue
            yield failed(
                subject(problem.key),
                f"dockerd will not start: {problem.key} is {problem.message}",
                value="set twice",
                expected=f"only in {path}, or only as a flag in {start.path}",
                path=path,
                line=problem.line,
                column=problem.column,
                when="boot",
                hint=f"take {problem.key} out of {path}, or out of ExecStart by a drop-in",
                commands=self._without_flag(start, problem.key),
                **kind(problem),
            )
        if not found:
            from hostcheck.facts.daemonjson import CONFLICTS  # the judge has loaded it

            if not judgement.accepted and judgement.named[0].stage < CONFLICTS:
                raise NotApplicable("daemon.json cannot be read")
            yield passed(
                f"{start.unit} ExecStart",
                "no flag repeats what daemon.json sets",
                value=" ".join(start.argv),
                path=start.path,
                line=start.line,
                when="boot",
            )

    def _without_flag(self, start: docker.CommandLine, key: str) -> list[str]:
        """Return the commands that start dockerd without -H; other flags are rarely a package's own."""
        if key != "hosts" or not start.program or not start.unit.endswith(".service"):
            return []
        kept: list[str] = []
        words = list(start.argv)
        while words:
            word = words.pop(0)
            if word in ("-H", "--host"):
                del words[:1]
            elif not word.startswith(("-H", "--host=")):
                kept.append(word)
        line = " ".join([start.program, *kept])
        if any(character in line for character in "'\"\\$%"):
            return []
        folder = f"/etc/systemd/system/{start.unit}.d"
        return [
            f"mkdir -p {folder}",
            f"printf '[Service]\\nExecStart=\\nExecStart=%s\\n' '{line}' > {folder}/zz-hosts.conf",
            "systemctl daemon-reload",
            f"systemctl restart {start.unit}",
        ]


class DockerStartRules(Check):
    """dockerd starts with its configuration.

    *Why*: much that `dockerd --validate` takes stops the daemon later: a cgroup driver that is misspelt, a
    default runtime that is nowhere, a log option that the driver does not have, a mirror without https://.

    *Needs*: a daemon.json that can be read, the flags, and where a rule asks for them files of the host. The
    storage driver has checks of its own.

    *Fix*: what each finding says.
    """

    id = "docker.start_rules"
    severity = Severity.REQUIRED
    references = (
        DAEMON,
        "https://github.com/moby/moby/blob/master/daemon/pkg/registry/config.go",
        "https://docs.docker.com/engine/logging/configure/",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """Apply the rules of the start."""
        judgement = judged(host)
        wrong: dict[str, str] = {}
        for problem in judgement.problems:
            top = problem.key.partition(".")[0].partition("[")[0]
            if problem.caught_by != "start" or top in ELSEWHERE:
                continue
            if top not in wrong:
                wrong[top] = shown(top, judgement.effective.get(top))
            path, line = docker.where(host, top)
            yield failed(
                subject(problem.key),
                f"dockerd {release(judgement)} will not start: {problem.key}: {reason(problem)}{at(problem)}",
                value=wrong[top],
                expected=problem.suggestion,
                path=path,
                line=problem.line or line,
                column=problem.column,
                when="boot",
                hint=f"mend {problem.key} in {path}" if path else "",
                **kind(problem),
            )
        if not wrong:
            path = docker.config_file(host)
            yield passed("daemon.json", "nothing in it stops dockerd at its start", path=path, when="boot")


V1 = "io.containerd.runtime.v1.linux"
"""A plugin of containerd before 2.0, with a shim whose name says nothing of it (runtime/v1/linux/runtime.go)."""


class DockerRuntimes(Check):
    """The programs of the configured runtimes are there.

    *Why*: no container starts with a runtime whose program is missing; with the default runtime, none at all.

    *Needs*: `runtimes` of daemon.json: a path must be an executable file. For a `default-runtime` that is a type, as
    io.containerd.kata.v2, its shim in a folder of programs.

    *Fix*: install the runtime, mend its path, or take it out of daemon.json.
    """

    id = "docker.runtimes"
    severity = Severity.RECOMMENDED
    references = (
        "https://docs.docker.com/engine/daemon/alternative-runtimes/",
        "https://github.com/moby/moby/blob/master/daemon/runtime_unix.go",
        "https://github.com/containerd/containerd/blob/main/pkg/shim/util.go",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """Look for each program."""
        judgement = judged(host)
        runtimes = judgement.effective.get("runtimes") or {}
        default = judgement.effective.get("default-runtime") or ""
        shimmed = default not in runtimes and default.startswith("io.containerd.")
        if not runtimes and not shimmed:
            raise NotApplicable("no runtime is configured beside runc")
        if shimmed:
            yield self._shim(host, default)
        facts = docker.asked(host)
        path, line = docker.where(host, "runtimes")
        for name, entry in sorted(runtimes.items())[:MANY]:
            place = judgement.values.get(f"runtimes.{name}")
            program = (entry or {}).get("path") or ""
            where = {"path": path, "line": place.line if place else line, "when": "boot"}
            where["column"] = place.column if place else None
            found = facts.path(program) if "/" in program else self._search(host, program)
            if not program or found is None:
                yield passed(subject(f"runtimes.{name}"), "its program cannot be told from the file", **where)
                continue
            if found == "program":
                yield passed(subject(f"runtimes.{name}"), f"{program} is there", value=program, **where)
                continue
            default = judgement.effective.get("default-runtime") == name
            yield failed(
                subject(f"runtimes.{name}"),
                f"{program} is not an executable file: {'no container starts' if default else 'it runs nothing'}",
                value=found,
                expected="an executable file",
                severity=Severity.REQUIRED if default else Severity.INFO,
                hint=f"install {name}, or take it out of {path}",
                **where,
            )

    def _shim(self, host: Host, name: str) -> Finding:
        """Judge the shim that containerd starts for a default runtime that is named by its type."""
        program = "containerd-shim-" + "-".join(name.split(".")[-2:])
        own = versions.version(host, "containerd")
        if name == V1 and own is not None and own < Version("2.0"):
            program = "containerd-shim"
        path, line = docker.where(host, "default-runtime")
        where = {"path": path, "line": line, "when": "boot", "value": name}
        if self._search(host, program) != "missing":
            return passed("daemon.json default-runtime", f"{program} is there, or cannot be told", **where)
        return failed(
            "daemon.json default-runtime",
            f"there is no {program}, which containerd starts for it: no container starts",
            expected="runc",
            severity=Severity.REQUIRED,
            hint=f"install {program}, or take default-runtime out of {path}",
            **where,
        )

    def _search(self, host: Host, name: str) -> Optional[str]:
        """Look for a program by name; a host whose own runc is not seen cannot tell."""
        if not name:
            return None
        if engine.program(host, name):
            return "program"
        return "missing" if engine.program(host, "runc") else None


class DockerDuplicates(Check):
    """No key stands twice in daemon.json.

    *Why*: JSON allows it and dockerd says nothing: the last one counts, of two objects both. Who changes the
    first one changes nothing.

    *Needs*: the text of daemon.json; a reader like jq or Python shows only the last.

    *Fix*: delete the one that is not meant.
    """

    id = "docker.duplicates"
    severity = Severity.RECOMMENDED
    references = (
        "https://pkg.go.dev/encoding/json#Unmarshal",
        "https://www.rfc-editor.org/rfc/rfc8259#section-4",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """Name the keys that stand twice."""
        path, judgement = configured(host)
        for double in judgement.duplicates:
            counts = "both count" if double.merged else f"only line {double.again} counts"
            if double.line == double.again:
                counts = "both count" if double.merged else "only the second one counts"
            yield failed(
                subject(double.key),
                f"{double.key} stands twice, in lines {double.line} and {double.again}: {counts}",
                value=f"lines {double.line}, {double.again}",
                expected="once",
                path=path,
                line=double.again,
                column=double.column,
                when="boot",
                hint=f"delete one of the two in {path}",
            )
        if not judgement.duplicates:
            yield passed("daemon.json", "every key stands once", path=path, when="boot")


class DockerIgnoredKeys(Check):
    """Every key of daemon.json does something.

    *Why*: dockerd takes the name of any flag as a key and reads only its own: `insecure-registry`, `label` or
    `http-proxy` at the top of the file are accepted and do nothing. So are members of an object that it does
    not know, and keys whose setting was removed.

    *Needs*: daemon.json, and the names of the release.

    *Fix*: use the key that the finding names, or delete it.
    """

    id = "docker.ignored_keys"
    severity = Severity.RECOMMENDED
    references = (CONFIG, REFERENCE)

    def run(self, host: Host) -> Iterator[Finding]:
        """Name the keys without effect."""
        path, judgement = configured(host)
        for key, (meant, value) in list(judgement.ignored.items())[:MANY]:
            yield failed(
                subject(key),
                f"dockerd takes {key} and does nothing with it" + (f"; {meant} is the key" if meant else ""),
                value=shown(key, value.value),
                expected=meant,
                path=path,
                line=value.line,
                column=value.column,
                when="boot",
                hint=f"write {meant} instead" if meant else f"delete {key} from {path}",
            )
        if not judgement.ignored:
            yield passed("daemon.json", "every key does something", path=path, when="boot")


class DockerNullBooleans(Check):
    """No switch in daemon.json is null.

    *Why*: null reads as "the default", but dockerd turns the switch off: `"iptables": null` is
    `"iptables": false`, and containers lose their network.

    *Needs*: daemon.json.

    *Fix*: write true or false, or delete the key.
    """

    id = "docker.null_booleans"
    severity = Severity.RECOMMENDED
    references = (CONFIG, "https://github.com/moby/moby/issues/20289")

    def run(self, host: Host) -> Iterator[Finding]:
        """Name the switches that are null."""
        path, judgement = configured(host)
        for key, value in judgement.null_switches.items():
            from hostcheck.facts import daemonjson  # the judge has loaded it

            by_default = daemonjson.defaults(judgement.version.numbers).get(key.rpartition(".")[2])
            said = "off, and it is on by default" if by_default else "off"
            severity = None if by_default else Severity.INFO
            if key == "tlsverify":
                said, severity = "and turns TLS on", None
            yield failed(
                subject(key),
                f"null does not mean the default: {key} is {said}",
                value="null",
                expected="true or false",
                path=path,
                line=value.line,
                column=value.column,
                when="boot",
                severity=severity,
                hint=f"write true or false, or delete {key} from {path}",
            )
        if not judgement.null_switches:
            yield passed("daemon.json", "no switch is null", path=path, when="boot")
