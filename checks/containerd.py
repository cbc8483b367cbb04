"""Containerd's own configuration: that it starts with it, and that Kubernetes finds what it needs there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, Unavailable, Version, failed, passed
from hostcheck.facts import cgroup, containerd, engine, toml
from hostcheck.facts.versions import found_tool, package_of, version

from . import _runtime_floors as floors
from ._engines import containerd_configuration, need_containerd

DOCUMENT = "https://github.com/containerd/containerd/blob/main/docs/man/containerd-config.toml.5.md"
CRI_DOCUMENT = "https://github.com/containerd/containerd/blob/main/docs/cri/config.md"
RELEASES = "https://github.com/containerd/containerd/blob/main/RELEASES.md"

_FULL = r"io\.containerd\.[^.]+\.."
_PREFIX = r"io\.containerd\."

KINDS = {
    "version": (int, "number"),
    "root": (str, "text"),
    "state": (str, "text"),
    "temp": (str, "text"),
    "plugin_dir": (str, "text"),
    "oom_score": (int, "number"),
    "disabled_plugins": (list, "list"),
    "required_plugins": (list, "list"),
    "imports": (list, "list"),
    "plugins": (dict, "table"),
    "grpc": (dict, "table"),
    "ttrpc": (dict, "table"),
    "debug": (dict, "table"),
    "metrics": (dict, "table"),
    "cgroup": (dict, "table"),
    "timeouts": (dict, "table"),
    "proxy_plugins": (dict, "table"),
    "stream_processors": (dict, "table"),
}
"""What the keys at the top must be. Source: containerd's cmd/containerd/server/config/config.go."""

BELOW = {
    **{f"{table}.address": (str, "text") for table in ("grpc", "ttrpc", "debug")},
    **{f"{table}.{key}": (int, "number") for table in ("grpc", "ttrpc", "debug") for key in ("uid", "gid")},
    "grpc.tcp_address": (str, "text"),
    "grpc.max_recv_message_size": (int, "number"),
    "grpc.max_send_message_size": (int, "number"),
    "debug.level": (str, "text"),
    "metrics.address": (str, "text"),
    "metrics.grpc_histogram": (bool, "switch"),
    "cgroup.path": (str, "text"),
}
"""What the keys in the tables at the top must be; from the same file."""

SMALLEST = 8192
"""Bytes. The description of a container, which dockerd sends in one message, is larger: its seccomp profile alone."""

TABLES = ("grpc", "ttrpc", "debug", "metrics", "cgroup", "timeouts")

REMOVED = (
    ("systemd_cgroup", "SystemdCgroup in the runtime's options"),
    ("untrusted_workload_runtime", "a runtime class"),
    ("default_runtime", "default_runtime_name"),
    ("runtime_engine", "BinaryName in the runtime's options"),
    ("runtime_root", "Root in the runtime's options"),
)
"""Keys of the CRI plugin that 2.0 no longer knows, and what does the same. Source: containerd's RELEASES.md."""

OLD_SHIMS = ("io.containerd.runtime.v1.linux", "io.containerd.runc.v1")
"""Runtime types whose shims 2.0 no longer has."""


def _config(host: Host) -> containerd.Config:
    """Return the configuration of an installed containerd.

    Raises:
        NotApplicable: there is none.

    """
    found = containerd_configuration(host)
    if not found.files:
        raise NotApplicable(f"there is no {found.path}: the defaults count")
    return found


def _at_least(found: containerd.Config, lowest: str) -> bool:
    return found.daemon is None or found.daemon >= Version(lowest)


def _kubernetes(host: Host, wanted: str) -> bool:
    """Return whether Kubernetes uses this containerd: `yes`, `no`, or `auto` for what is installed."""
    if wanted != "auto":
        return wanted == "yes"
    return "kubelet" in engine.installed(host) or host.exists("/var/lib/kubelet/config.yaml")


class ContainerdConfig(Check):
    """Containerd starts with its configuration file.

    *Why*: a file that is no TOML, or of a format newer than this containerd, keeps it from starting, and
    docker with it. What a release no longer knows it passes over in silence.

    *Needs*: config.toml and what it imports are TOML, with values of the right types; `version` is at most 2
    (containerd 1.7) or 3 (2.x); from version 2 on plugins have their full names; a file imported by name is
    there. An older version is fine: it is migrated at each start.

    *Fix*: mend the line, or write the file anew with `containerd config default`.
    """

    id = "containerd.config"
    severity = Severity.REQUIRED
    references = (DOCUMENT, RELEASES, "https://github.com/containerd/containerd/issues/11088")

    def run(self, host: Host) -> Iterator[Finding]:
        """See the class."""
        need_containerd(host)
        try:
            found = host.fact(containerd.config)
        except toml.BadConfig as error:
            yield failed(
                "config.toml",
                f"is no TOML, and containerd does not start: {error.reason}",
                value="not TOML",
                expected="TOML",
                path=error.path,
                line=error.line or None,
                when="boot",
                hint="mend the line, then: containerd config dump",
            )
            return
        if not found.files:
            raise NotApplicable(f"there is no {found.path}: the defaults count")
        # A byte order mark is stripped by the libraries of 1.6 and 1.7 only.
        if found.text.startswith("\ufeff") and (found.new or not _at_least(found, "1.6")):
            text = "begins with a byte order mark, and containerd does not start"
            command = f"sed -i '1s/^\\xEF\\xBB\\xBF//' {found.path}"
            yield self._refused(found, "config.toml", text, "BOM", "no BOM", commands=[command])
        else:
            yield passed(
                "config.toml", "is TOML", value="TOML", expected="TOML", path=found.path, when="boot"
            )
        yield self._format(found)
        yield from self._types(found)
        yield from self._names(found)
        yield from self._sections(found)
        if _at_least(found, "1.6"):
            for path in found.missing:
                text = f"imports {path}, which is not there: containerd does not start"
                hint = "make the file, or take it out of imports"
                yield self._refused(found, "config.toml imports", text, path, "a file", path, hint=hint)
        if found.new and found.daemon is not None:
            yield from self._removed(found, alone="docker" not in engine.installed(host))

    def _refused(
        self,
        found: containerd.Config,
        subject: str,
        text: str,
        value: object,
        expected: str,
        needle: str = "",
        hint: str = "",
        commands: Sequence[str] = (),
        severity: Severity | None = None,
    ) -> Finding:
        return failed(
            subject,
            text,
            value=value,
            expected=expected,
            path=found.path,
            line=found.line(needle) if needle else 1,
            when="boot",
            hint=hint,
            commands=commands,
            severity=severity,
        )

    def _format(self, found: containerd.Config) -> Finding:
        newest = 3 if found.new else 2
        if found.version > newest:
            # 1.4 and 1.6 take any number, and read it as 2.
            starts = not found.new and not _at_least(found, "1.7")
            then = "its plugins' sections are passed over" if starts else "it does not start"
            return self._refused(
                found,
                "config.toml version",
                f"{found.version} is newer than containerd {found.daemon} reads: {then}",
                found.version,
                f"<= {newest}",
                "version",
                hint="upgrade containerd, or write the file anew: containerd config default",
                severity=Severity.RECOMMENDED if starts else None,
            )
        text = f"{found.version}, which this containerd reads"
        line = found.line("version")
        return passed(
            "config.toml version", text, value=found.version, path=found.path, line=line, when="boot"
        )

    def _types(self, found: containerd.Config) -> Iterator[Finding]:
        for part in found.parts:
            for key, (kind, name) in KINDS.items():
                value = part.get(key, None)
                if value is None or type(value) is kind:
                    continue
                text = f"is no {name}: containerd does not start"
                yield self._refused(
                    found, f"config.toml {key}", text, value, name, key, hint=f"make it a {name}"
                )
            yield from self._below(found, part)

    def _below(self, found: containerd.Config, part: Mapping[str, object]) -> Iterator[Finding]:
        """Judge the tables at the top."""
        tables = {key: part[key] for key in TABLES if isinstance(part.get(key), dict)}
        for key, value in containerd.leaves(tables):
            wrong, expected = self._wrong(key, value)
            if wrong:
                name, hint = key.partition(".")[2], f"make it {expected}"
                yield self._refused(found, f"config.toml {key}", wrong, value, expected, name, hint=hint)

    def _wrong(self, key: str, value: object) -> tuple[str, str]:
        """Return what is wrong with a key, and what it is to be; two empty texts where nothing is."""
        from hostcheck.facts._govalues import is_duration  # few hosts set such keys

        kind, word = BELOW.get(key, (type(value), ""))
        if type(value) is not kind:
            return f"is no {word}: containerd does not start", f"a {word}"
        if key.startswith("timeouts.") and not (isinstance(value, str) and is_duration(value)):
            return "is no duration: containerd does not start", "a duration, as 5s"
        if key.startswith("grpc.max_") and isinstance(value, int) and 0 < value < SMALLEST:
            return "is less than a container's description: none starts, nor does dockerd", "a larger number"
        return "", ""

    def _names(self, found: containerd.Config) -> Iterator[Finding]:
        # 2.x migrates each imported file by its own version, 1.x looks at all of them together.
        parts = found.parts if found.new else (found.values,)
        for part in parts:
            number = part.get("version", 1)
            if type(number) is not int or number < 2:
                continue
            if number > 2 and not found.new and not _at_least(found, "1.6"):
                continue
            listed = [("plugins", name) for name in part.get("plugins", {})] if not found.new else []
            for key in ("disabled_plugins", "required_plugins"):
                value = part.get(key)
                listed.extend((key, name) for name in (value if isinstance(value, list) else []))
            for key, name in listed:
                full = _PREFIX if found.new else _FULL
                if isinstance(name, str) and not re.match(full, name):
                    yield self._refused(
                        found,
                        f"config.toml {key}",
                        f"{name!r} is no full name of a plugin, as version {number} wants: it does not start",
                        name,
                        "io.containerd.x.vx",
                        name,
                        hint="write its full name, as io.containerd.grpc.v1.cri for cri",
                    )

    def _sections(self, found: containerd.Config) -> Iterator[Finding]:
        """Find sections of the CRI plugin under a name that this containerd does not read."""
        if found.daemon is None:
            return
        names = (containerd.CRI_1, containerd.CRI_2, containerd.CRI_3)
        unread = [name for name in names if name in found.plugins]
        if (
            unread
            and not containerd.cri(found)
            and not (found.version >= 2 and unread[0] == containerd.CRI_1)
        ):
            yield self._refused(
                found,
                f"config.toml plugins {unread[0]}",
                f"is passed over: in a file of version {found.version} containerd {found.daemon} does not read it",
                f"version {found.version}",
                f"version {names.index(unread[0]) + 1}",
                unread[0],
                hint=f"write `version = {names.index(unread[0]) + 1}` at the top of the file",
                severity=Severity.RECOMMENDED,
            )

    def _removed(self, found: containerd.Config, alone: bool) -> Iterator[Finding]:
        # In the order of the formats; only what the file really has.
        section: dict[str, object] = {}
        for name in (containerd.CRI_1, containerd.CRI_2, containerd.CRI_3):
            value = found.plugins.get(name)
            section.update(containerd.leaves(value) if isinstance(value, dict) else ())
        for name, other in REMOVED:
            there = [key for key in section if f".{name}." in f".{key}."]
            if there and section[there[0]] not in (False, ""):
                yield self._refused(
                    found,
                    f"config.toml {name}",
                    f"is passed over: containerd 2.0 no longer knows it; use {other}",
                    section[there[0]],
                    "absent",
                    name,
                    hint="containerd config migrate prints the file in the new format",
                    severity=Severity.RECOMMENDED,
                )
        named = (str(value) for key, value in section.items() if key.endswith("default_runtime_name"))
        default = next(named, "") or "runc"
        for key, value in section.items():
            if key.endswith("runtime_type") and value in OLD_SHIMS:
                # Docker asks for a runtime of its own, so what CRI has by default is the kubelet's matter.
                every = alone and key.split(".")[-2:-1] == [default]
                yield self._refused(
                    found,
                    "config.toml runtime_type",
                    f"{value} is gone from containerd 2.0: its containers do not start",
                    value,
                    "io.containerd.runc.v2",
                    str(value),
                    commands=[f"sed -i 's/{re.escape(str(value))}/io.containerd.runc.v2/' {found.path}"],
                    severity=Severity.REQUIRED if every else Severity.RECOMMENDED,
                )


BOTH_WAYS = (Version("2.2.0"), Version("2.2.2"))
"""From and before which containerd puts a config_path into files with mirrors (containerd pull 12617)."""


class ContainerdCri(Check):
    """The CRI plugin is on where Kubernetes needs it.

    *Why*: the package containerd.io of docker.com switches it off; docker does not use it, but a kubelet
    finds no runtime then. Nor does the CRI load where registries are named in two ways: "`mirrors` cannot be set
    when `config_path` is provided".

    *Needs*: `disabled_plugins` without cri where a kubelet is installed, or the policy says that one will be;
    `mirrors` and `configs` with TLS, or `config_path`. containerd 2.2.0 and 2.2.1 set the last one by themselves.

    *Fix*: take it out of the list and restart containerd; write mirrors as hosts.toml below `config_path`.
    """

    id = "containerd.cri"
    severity = Severity.REQUIRED
    references = (
        "https://kubernetes.io/docs/setup/production-environment/container-runtimes/#containerd",
        "https://github.com/kubernetes/kubernetes/issues/111591",
        "https://github.com/containerd/containerd/issues/8139",
        "https://github.com/containerd/containerd/pull/12617",
    )
    kubernetes: str = "auto"
    """Whether Kubernetes uses this containerd: `yes`, `no`, or `auto` for whether a kubelet is installed."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See the class."""
        found = _config(host)
        if containerd.cri(found).get("systemd_cgroup") is True and not found.new:
            needed = _kubernetes(host, self.kubernetes)
            yield failed(
                "systemd_cgroup",
                "is only for shims of runtime v1: with runc.v2 the CRI plugin does not load",
                value="true",
                expected="SystemdCgroup in the runtime's options",
                path=found.path,
                line=found.line("systemd_cgroup"),
                when="boot",
                severity=Severity.REQUIRED if needed else Severity.INFO,
                commands=[
                    f"sed -i '/^ *systemd_cgroup *=/d' {found.path}",
                    "systemctl restart containerd",
                ],
            )
        yield from self._registries(found, _kubernetes(host, self.kubernetes))
        off = containerd.cri_disabled(found)
        line = found.line(off[0]) if off else None
        if not off:
            yield passed("disabled_plugins", "the CRI is on", value="", path=found.path, when="boot")
        elif _kubernetes(host, self.kubernetes):
            yield failed(
                "disabled_plugins",
                f"{off[0]} is switched off: the kubelet finds no runtime",
                value=", ".join(off),
                expected="without cri",
                path=found.path,
                line=line,
                when="boot",
                commands=[
                    f"sed -i 's/^ *disabled_plugins.*/disabled_plugins = []/' {found.path}",
                    "systemctl restart containerd",
                ],
            )
        else:
            text = f"{off[0]} is switched off, which docker does not need"
            yield passed(
                "disabled_plugins", text, value=", ".join(off), path=found.path, line=line, when="boot"
            )

    def _registries(self, found: containerd.Config, needed: bool) -> Iterator[Finding]:
        """Say where registries are named in the old way and in the new one (ValidateImageConfig)."""
        registry = containerd.registry(found)
        configs = registry.get("configs")
        configs = configs.values() if isinstance(configs, dict) else ()
        old = "mirrors" if registry.get("mirrors") else ""
        if not old and any(isinstance(each, dict) and each.get("tls") for each in configs):
            old = "configs.tls"
        if not old:
            return
        path = registry.get("config_path")
        # These two releases keep their own default where an older file is brought into the new form.
        filled = found.daemon is not None and BOTH_WAYS[0] <= found.daemon < BOTH_WAYS[1]
        filled = filled and (found.version < 3 or path is None)
        if not path and not filled:
            return
        why = f"config_path is {path}" if path else f"containerd {found.daemon} adds a config_path by itself"
        yield failed(
            "registries",
            f"{old} is set, and {why}: with both the CRI does not load, and the kubelet finds no runtime",
            value=f"{old}, {path or 'config_path of its own'}",
            expected="one of the two",
            path=found.path,
            line=found.line("mirrors" if old == "mirrors" else ".tls"),
            when="boot",
            severity=Severity.REQUIRED if needed else Severity.INFO,
            hint="write each mirror as FOLDER/REGISTRY/hosts.toml below config_path"
            + ("" if path else f", or upgrade containerd to {BOTH_WAYS[1]}"),
        )


def _kubelet_driver(host: Host) -> tuple[str, str | None, int | None]:
    """Return the kubelet's cgroup driver, and where it is set; kubeadm's default where nothing says it."""
    path = "/var/lib/kubelet/config.yaml"
    try:
        text = host.read(path)
    except FileNotFoundError:
        return "systemd", None, None
    for number, line in enumerate(text.split("\n"), 1):
        found = re.match(r"cgroupDriver:\s*[\"']?(\w+)", line)
        if found:
            return found.group(1), path, number
    # A file without the key leaves it to the kubelet, whose own default differs from kubeadm's.
    return "cgroupfs", path, None


class ContainerdCgroupDriver(Check):
    """Containerd and the kubelet leave control groups to the same manager.

    *Why*: on control groups v2 systemd and runc tear down each other's groups, and pods are killed every few
    minutes with nothing in a log.

    *Needs*: `SystemdCgroup = true` in the options of the default runtime where the kubelet's cgroupDriver is
    systemd, and false where it is cgroupfs. A kubelet from 1.31 on asks containerd from 2.0 on, and follows.

    *Fix*: set it and restart containerd and the kubelet.
    """

    id = "containerd.cgroup_driver"
    severity = Severity.REQUIRED
    references = (
        CRI_DOCUMENT,
        "https://kubernetes.io/docs/setup/production-environment/container-runtimes/#containerd-systemd",
        "https://github.com/kubernetes/enhancements/tree/master/keps/sig-node/4033-group-driver-detection-over-cri",
        "https://github.com/kubernetes/kubernetes/issues/110177",
    )
    kubernetes: str = "auto"
    """Whether Kubernetes uses this containerd: `yes`, `no`, or `auto` for whether a kubelet is installed."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See the class."""
        need_containerd(host)
        if not _kubernetes(host, self.kubernetes):
            raise NotApplicable("no kubelet uses containerd here; docker has a driver of its own")
        kubelet, daemon = version(host, "kubelet"), version(host, "containerd")
        if kubelet and kubelet < Version("1.24") and "docker" in engine.installed(host):
            raise NotApplicable(f"kubelet {kubelet} may start its containers through docker")
        found = containerd_configuration(host)
        has = "systemd" if containerd.systemd_cgroup_of(found) else "cgroupfs"
        wants, path, line = _kubelet_driver(host)
        where = found.line("SystemdCgroup")
        if has == wants:
            text = f"{has}, as the kubelet's"
            yield passed("SystemdCgroup", text, value=has, path=found.path, line=where, when="boot")
            return
        follows = kubelet and daemon and kubelet >= Version("1.31") and daemon >= Version("2.0")
        v2 = "v2" in (host.fact(cgroup.mode).now, host.fact(cgroup.mode).boot)
        if follows and (has == "systemd" or not v2):
            text = f"{has}; this kubelet asks containerd and follows"
            yield passed("SystemdCgroup", text, value=has, path=found.path, line=where, when="boot")
            return
        set_in = f"{path}:{line}" if path and line else path or "kubeadm's default"
        yield failed(
            "SystemdCgroup",
            f"containerd uses {has}, the kubelet {wants} ({set_in}): pods are killed and come back",
            value=has,
            expected=wants,
            path=found.path,
            line=where,
            when="boot",
            severity=Severity.RECOMMENDED if follows or not v2 or path is None else None,
            commands=_set_driver(found, wants, where),
        )


def _set_driver(found: containerd.Config, wants: str, line: int | None) -> list[str]:
    value = "true" if wants == "systemd" else "false"
    restart = "systemctl restart containerd kubelet"
    if line:
        return [f"sed -i 's/SystemdCgroup = .*/SystemdCgroup = {value}/' {found.path}", restart]
    return [
        f"containerd config default | sed 's/SystemdCgroup = .*/SystemdCgroup = {value}/' > {found.path}",
        restart,
    ]


class ContainerdVersion(Check):
    """This containerd still gets fixes.

    *Why*: after the end of a series its makers mend nothing more in it.

    *Needs*: a series whose end, by containerd's table, has not come. A distribution's package is kept by the
    distribution. With Kubernetes, the release that is recommended for it.

    *Fix*: upgrade to a supported series.
    """

    id = "containerd.version"
    severity = Severity.RECOMMENDED
    references = (RELEASES,)

    def run(self, host: Host) -> Iterator[Finding]:
        """See the class."""
        found = found_tool(host, "containerd")
        if found is None:
            raise NotApplicable("containerd is not installed")
        distribution = package_of(host, found) not in ("", *floors.DOCKER_COM)
        have = found.version
        if have is None:
            raise Unavailable(f"{found.path} does not say its version")
        today = host.today()
        when = host.when
        series = ".".join(str(number) for number in (*have.numbers, 0)[:2])
        end = dict(floors.CONTAINERD_ENDS).get(series)
        if end and end < today and not distribution:
            yield failed(
                "containerd",
                f"{found}: series {series} gets no more fixes since {end}",
                value=found,
                expected="a supported series",
                path=found.path,
                when=when,
                hint=f"upgrade to a supported series: {RELEASES}",
            )
        else:
            text = (
                f"{found}, package {found.package}, which the distribution mends"
                if distribution
                else f"{found}"
            )
            if end and not distribution:
                text += f", mended until {end}"
            yield passed("containerd", text, value=found, path=found.path, when=when)
        kubelet = version(host, "kubelet")
        if kubelet is not None:
            yield from self._kubernetes(kubelet, have, series, when)

    def _kubernetes(self, kubelet: Version, have: Version, series: str, when: str) -> Iterator[Finding]:
        rows = [row for row in floors.CONTAINERD_FOR_KUBERNETES if Version(row[0]) <= kubelet]
        if not rows:
            return
        lowest = [Version(text) for text in rows[-1][1]]
        own = [low for low in lowest if low.numbers[:2] == Version(series).numbers[:2]]
        well = have >= own[0] if own else have > max(lowest)
        text = f"{have} with Kubernetes {kubelet}"
        wanted = ", ".join(f"{low}+" for low in lowest)
        if well:
            yield passed("containerd kubernetes", text, value=have, expected=wanted, when=when)
        else:
            yield failed(
                "containerd kubernetes",
                f"{text} is not what containerd recommends",
                value=have,
                expected=wanted,
                when=when,
                severity=Severity.INFO,
                hint=f"upgrade to one of these: {RELEASES}",
            )
