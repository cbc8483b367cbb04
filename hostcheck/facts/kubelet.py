"""The kubelet's configuration: its file, what lies beside it, and its flags."""

from __future__ import annotations

import re
from collections.abc import Mapping

from hostcheck._typing import Optional
from hostcheck.facts import engine, packages, systemd, unitexec
from hostcheck.facts.files import Source, names, text
from hostcheck.facts.versions import parse_package_version, version
from hostcheck.host import Host, Unavailable
from hostcheck.record import Record
from hostcheck.versions import Version

CONFIG = "/var/lib/kubelet/config.yaml"
"""Where kubeadm writes the configuration."""

FLAG_FILES = ("/var/lib/kubelet/kubeadm-flags.env", "/etc/default/kubelet", "/etc/sysconfig/kubelet")
"""Environment files that the packages' unit reads."""


class Value(Record):
    """A scalar of the configuration, or a flag."""

    value: str
    """As written, without quotes."""
    source: Source
    quoted: bool = False
    """Whether it stood in quotes: a text, whatever it looks like."""


class Config(Record):
    """What a configuration file says."""

    values: Mapping[str, Value]
    """By dotted path; lists are left out."""
    twice: tuple[tuple[str, int], ...] = ()
    """Keys that stand twice at the top, and the line of the second."""
    tab: int = 0
    """The first line that is indented with a tab, which no YAML reader takes; 0 for none."""


# A text, compiled where it is used: few hosts have a kubelet.
_ENTRY = r"""(?P<indent>[ ]*)(?P<key>"[^"]*"|'[^']*'|[A-Za-z_][\w./-]*)\s*:(?:\s+(?P<value>.*))?$"""


def parse_config(text: str, path: str = "") -> Config:
    r"""Read the mappings and scalars of a KubeletConfiguration: YAML as people and kubeadm write it, or JSON.

    Not all of YAML: lists, anchors and texts over several lines are passed over. A whole reader costs 28 ms.

    >>> parse_config("a: 1\nb:\n  c: 'true' # no\n").values["b.c"].value
    'true'
    """
    if text.lstrip().startswith("{"):
        return _parse_json(text, path)
    values: dict[str, Value] = {}
    twice: list[tuple[str, int]] = []
    top: set[str] = set()
    tab = 0
    above: list[tuple[int, str]] = []
    block: int | None = None
    for number, line in enumerate(text.split("\n"), 1):
        line = line.rstrip("\r ")
        body = line.lstrip(" \t")
        if not body or body.startswith("#"):
            continue
        indent = len(line) - len(line.lstrip(" "))
        if block is not None:
            if indent > block:
                continue
            block = None
        if "\t" in line[: len(line) - len(body)]:
            tab = tab or number
            continue
        entry = re.match(_ENTRY, line)
        if not entry or body.startswith("- "):
            continue
        key = entry.group("key").strip("\"'")
        while above and above[-1][0] >= indent:
            above.pop()
        if not above and indent == 0:
            if key in top:
                twice.append((key, number))
            top.add(key)
        raw = (entry.group("value") or "").strip()
        dotted = ".".join([*(name for _, name in above), key])
        if not raw or raw.startswith("#"):
            above.append((indent, key))
        elif raw[0] in "|>":
            block = indent
        elif raw[0] not in "[{&*":
            quoted = raw[0] in "\"'"
            plain = raw[1:].partition(raw[0])[0] if quoted else raw.partition(" #")[0].strip()
            values[dotted] = Value(plain, Source(path, number), quoted)
    return Config(values, tuple(twice), tab)


def _parse_json(text: str, path: str) -> Config:
    # Imported here: hardly any kubelet is configured in JSON.
    import json

    try:
        loaded = json.loads(text)
    except (ValueError, RecursionError):
        return Config({})
    values: dict[str, Value] = {}
    todo: list[tuple[str, object]] = [("", loaded)]
    while todo:
        before, node = todo.pop()
        if isinstance(node, dict):
            todo.extend((f"{before}.{key}" if before else str(key), value) for key, value in node.items())
        elif isinstance(node, (str, int, float)) and before:
            word = str(node).lower() if isinstance(node, bool) else str(node)
            values[before] = Value(word, Source(path), isinstance(node, str))
    return Config(values)


def parse_flags(words: tuple[str, ...]) -> dict[str, str]:
    """Return the flags of a command line, the last of each; a flag without a value is `true`.

    >>> parse_flags(("kubelet", "--v=2", "--config", "/a", "--fail-swap-on"))
    {'v': '2', 'config': '/a', 'fail-swap-on': 'true'}
    """
    found: dict[str, str] = {}
    following = (*words[1:], "")
    for word, after in zip(words, following):
        if not word.startswith("--") or len(word) < 3:
            continue
        name, equals, value = word[2:].partition("=")
        takes = not equals and after and not after.startswith("-")
        found[name.replace("_", "-")] = value if equals else after if takes else "true"
    return found


def flags(host: Host) -> Mapping[str, Value]:
    """Return the kubelet's flags: of its unit with variables put in, else of the files that the unit reads.

    Raises:
        PermissionError, Unavailable: a file that decides it cannot be read.

    """
    return host.fact(_flags)


def _flags(host: Host) -> Mapping[str, Value]:
    found: dict[str, Value] = {}
    written: list[tuple[str, int, str]] = []
    for path in FLAG_FILES:
        for value, line in unitexec.parse_env_file(text(host, path) or "").values():
            written.append((path, line, value))
    unit = systemd.unit(host, "kubelet.service")
    if unit is not None:
        written += [
            (a.path, a.line, a.value) for a in unit.assignments if a.key in ("Environment", "ExecStart")
        ]
    commands = systemd.exec_start(host, "kubelet.service")
    said = [command.argv for command in commands]
    if not said:
        said = [tuple(value.split()) for path, _, value in written if path in FLAG_FILES]
    for argv in said:
        for name, value in parse_flags(argv).items():
            wherever = [(p, n) for p, n, words in written if re.search(rf"--{re.escape(name)}\b", words)]
            path, line = wherever[-1] if wherever else ("", 0)
            found[name] = Value(value, Source(path, line))
    return found


def config_file(host: Host) -> str:
    """Return the path of the kubelet's configuration: that of --config, or kubeadm's."""
    named = flags(host).get("config")
    return named.value if named and named.value.startswith("/") else CONFIG


def config(host: Host) -> Config | None:
    """Return what the configuration file says, None if there is none.

    Raises:
        PermissionError, Unavailable: it is there, or may be, and cannot be read.

    """
    return host.fact(_config)


def _config(host: Host) -> Config | None:
    path = config_file(host)
    content = text(host, path)
    return None if content is None else parse_config(content, path)


def settings(host: Host) -> Mapping[str, Value]:
    """Return the scalars that the configuration sets by dotted path: the file, then the files of --config-dir.

    Source: the kubelet's cmd/kubelet/app/server.go, which merges *.conf of that folder in the order of names.

    Raises:
        PermissionError, Unavailable: one cannot be read.

    """
    return host.fact(_settings)


def _settings(host: Host) -> Mapping[str, Value]:
    found = config(host)
    values = dict(found.values) if found else {}
    folder = flags(host).get("config-dir")
    if folder:
        for name in names(host, folder.value):
            if name.endswith(".conf"):
                path = f"{folder.value.rstrip('/')}/{name}"
                values.update(parse_config(text(host, path) or "", path).values)
    return values


def value(host: Host, key: str, flag: str = "") -> Optional[Value]:
    """Return a setting: a flag of the command line wins over the file; None where neither says it."""
    given = flags(host).get(flag) if flag else None
    return given or settings(host).get(key)


def truth(found: Optional[Value], default: bool) -> bool:
    """Return a setting as a boolean, as YAML and the flags write them."""
    if found is None:
        return default
    return found.value.lower() in ("true", "yes", "on", "1", "t")


def release(host: Host, tool: str = "kubelet") -> Optional[Version]:
    """Return the version of the kubelet or of kubeadm, None if nothing tells.

    Where the program is not seen, as in a tree that lacks its /usr, its package counts.
    """
    found = version(host, tool)
    if found is None:
        package = packages.known(host, tool)
        found = parse_package_version(package.version, package.manager).version if package else None
    return found


def is_node(host: Host) -> bool:
    """Return whether this is, or is set up to be, a node of Kubernetes."""
    if any(host.exists(path) for path in (CONFIG, "/etc/rancher/k3s", "/etc/rancher/rke2")):
        return True
    return any(engine.program(host, name) for name in ("kubelet", "k3s", "rke2", "k0s"))


DISTRIBUTIONS = {"k3s": "/var/lib/rancher/k3s", "rke2": "/var/lib/rancher/rke2", "k0s": "/var/lib/k0s"}
"""Kubernetes in one program, which unpacks others and keeps images and pods there."""

K3S_UNITS = ("k3s.service", "k3s-agent.service", "rke2-server.service", "rke2-agent.service")

K3S_CONFIGS = ("/etc/rancher/k3s/config.yaml", "/etc/rancher/rke2/config.yaml")


def k3s_options(host: Host) -> Mapping[str, str]:
    """Return the options of k3s or RKE2: of the configuration file's scalars, and of the unit, which count first."""
    found: dict[str, str] = {}
    for path in K3S_CONFIGS:
        try:
            found.update(
                {key: each.value for key, each in parse_config(text(host, path) or "").values.items()}
            )
        except (OSError, Unavailable):
            continue
    for name in K3S_UNITS:
        try:
            for command in systemd.exec_start(host, name):
                found.update(parse_flags(command.argv))
        except (OSError, Unavailable):
            continue
    return found


_NO_PROXY = r"(?m)^disable-kube-proxy:\s*[\"']?true\b"


def kube_proxy_off(host: Host) -> str | None:
    """Return the file that keeps k3s or rke2 from running kube-proxy, None if none does."""
    for name in K3S_UNITS:
        try:
            for command in systemd.exec_start(host, name):
                # A switch: what follows it is a word of its own, unless `=` ties it.
                if parse_flags(command.argv).get("disable-kube-proxy", "false") not in ("false", "0"):
                    return command.path
        except (OSError, Unavailable):
            continue
    for path in K3S_CONFIGS:
        try:
            if re.search(_NO_PROXY, text(host, path) or ""):
                return path
        except (OSError, Unavailable):
            continue
    return None


def export(host: Host) -> dict[str, object]:
    """Return the kubelet's settings and flags, with their sources."""
    try:
        said = {**settings(host), **{f"--{name}": each for name, each in flags(host).items()}}
    except (PermissionError, Unavailable):
        said = {}
    return {
        name: {"value": each.value, "path": each.source.path or None, "line": each.source.line or None}
        for name, each in said.items()
    }
