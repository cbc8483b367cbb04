"""The plugins of containerd: those that docker asks, how they are set, where containerd listens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hostcheck.api import (
    Check,
    Finding,
    Host,
    NotApplicable,
    Record,
    Severity,
    Version,
    failed,
    passed,
)
from hostcheck.facts import containerd, engine, network, sockets

from ._engines import containerd_configuration


class Span(Record):
    """A plugin that docker cannot do without, in these releases of containerd."""

    name: str
    since: str = ""
    before: str = ""


NEEDED = (
    Span("io.containerd.content.v1.content"),
    Span("io.containerd.event.v1.exchange"),
    Span("io.containerd.gc.v1.scheduler"),
    Span("io.containerd.lease.v1.manager", since="1.7"),
    Span("io.containerd.metadata.v1.bolt"),
    Span("io.containerd.runtime.v1.linux", before="2.0"),
    Span("io.containerd.runtime.v2.task"),
    Span("io.containerd.shim.v1.manager", since="2.0"),
    Span("io.containerd.service.v1.containers-service"),
    Span("io.containerd.service.v1.leases-service", before="1.7"),
    Span("io.containerd.service.v1.namespaces-service"),
    Span("io.containerd.service.v1.tasks-service"),
    Span("io.containerd.grpc.v1.containers"),
    Span("io.containerd.grpc.v1.events"),
    Span("io.containerd.grpc.v1.leases"),
    Span("io.containerd.grpc.v1.namespaces"),
    Span("io.containerd.grpc.v1.tasks"),
    Span("io.containerd.warning.v1.deprecations", since="1.6.25", before="1.7"),
    Span("io.containerd.warning.v1.deprecations", since="1.7.9", before="2.0"),
)
"""Each was disabled on containerd 1.6.20, 1.7.24 and 2.1.9 below docker; the releases between are by the source of what
asks it (services/*/local.go)."""


class ContainerdPluginsNeeded(Check):
    """No plugin of containerd is disabled that docker needs.

    *Why*: what `disabled_plugins` names does not load, nor does what asks it. Without one of these dockerd waits for a
    minute and gives up, or no container starts: "unknown service containerd.services.tasks.v1.Tasks". Few have a
    name that says so.

    *Needs*: `disabled_plugins` of containerd's configuration and what it imports, by its version. That of the CRI may
    well be there where there is no Kubernetes.

    *Fix*: take the plugin out of disabled_plugins.
    """

    id = "containerd_plugins.needed"
    severity = Severity.REQUIRED
    references = (
        "https://github.com/containerd/containerd/blob/v1.7.24/services/tasks/local.go",
        "https://github.com/containerd/containerd/blob/v2.1.5/plugins/services/tasks/local.go",
        "https://github.com/containerd/containerd/blob/main/docs/PLUGINS.md",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        engine.need_docker(host)
        found = containerd_configuration(host)
        listed = found.values.get("disabled_plugins")
        names = [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []
        if not names:
            raise NotApplicable("no plugin of containerd is disabled")
        where = {"path": found.path, "when": "boot", "expected": "not disabled"}
        lost = [name for name in names if is_needed(name, found.daemon)]
        for name in lost:
            yield failed(
                f"disabled_plugins {name}",
                f"docker needs {name} of containerd: dockerd does not start, or starts no container",
                value="disabled",
                line=found.line(name),
                hint=f"take {name} out of disabled_plugins, then: systemctl restart containerd docker",
                **where,
            )
        if not lost:
            yield passed("disabled_plugins", "docker needs none of them", value=" ".join(names), **where)


KINDS = {"bool": bool, "int": int, "str": str, "list": list}
WORDS = {"bool": "true or false", "int": "a number", "str": "a text", "list": "a list"}
SHARING = ("io.containerd.metadata.v1.bolt", "content_sharing_policy", ("", "shared", "isolated"))
"""A key whose values are few (plugins/metadata/plugin.go)."""


PROXIES = (
    Span("snapshot io.containerd.snapshotter.v1"),
    Span("content io.containerd.content.v1"),
    Span("diff io.containerd.differ.v1", since="1.7"),
    Span("sandbox io.containerd.sandbox.controller.v1", since="2.0"),
)
"""The types of proxy plugins, by their short and their full names (LoadPlugins in server.go)."""


class ContainerdPluginsTypes(Check):
    """The settings of containerd's plugins are of the right type.

    *Why*: containerd reads the section of each plugin before it starts any, docker's or not: a text for a number
    keeps it from starting. What a release does not know it passes over.

    *Needs*: below `plugins`, each key that this release knows by its default has a value of the default's type, and
    below `proxy_plugins` a known `type`. The sections of plugins that are disabled are not read.

    *Fix*: mend the line; `containerd config default` prints every key as it is to be.
    """

    id = "containerd_plugins.types"
    severity = Severity.REQUIRED
    references = (
        "https://github.com/containerd/containerd/blob/v1.7.24/services/server/server.go",
        "https://github.com/containerd/containerd/blob/v2.1.5/cmd/containerd/server/server.go",
        "https://github.com/containerd/containerd/blob/v2.1.5/plugins/metadata/plugin.go",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        found = containerd_configuration(host)
        sections = found.plugins
        yield from self._proxies(found)
        if not sections and not found.values.get("proxy_plugins"):
            raise NotApplicable("no plugin of containerd is set")
        from ._containerd_keys import KEYS  # only where a plugin is set

        disabled = found.values.get("disabled_plugins") or ()
        for name, section in sections.items():
            majors, types = KEYS.get(name, ("", {}))
            if name in disabled or not isinstance(section, dict):
                continue
            known = found.daemon is None or str(found.daemon.numbers[0]) in majors.split()
            wrong = list(self._wrong(section, types)) if known else []
            where = {"path": found.path, "when": "boot"}
            for key, kind in wrong:
                yield failed(
                    f"plugins {name} {key}",
                    f"{key} of {name} is not {WORDS[kind]}: containerd does not start, nor does docker",
                    expected=WORDS[kind],
                    line=found.line(key.rpartition(".")[2]),
                    hint="mend the line, then: containerd config dump",
                    **where,
                )
            yield from self._policy(found, name, section)
            if not wrong:
                yield passed(f"plugins {name}", "its keys are of the right types", **where)

    def _wrong(self, section: Mapping[str, object], types: dict[str, str]) -> Iterator[tuple[str, str]]:
        """Yield each key of another type, and the type that it is to have."""
        values = dict(containerd.leaves(section))
        for kind, words in types.items():
            for key in words.split():
                if key in values and type(values[key]) is not KINDS[kind]:
                    yield key, kind

    def _proxies(self, found: containerd.Config) -> Iterator[Finding]:
        """Judge the types of plugins that other programs serve: containerd panics where it knows none of them."""
        told = found.values.get("proxy_plugins")
        for name, table in (told if isinstance(told, dict) else {}).items():
            kind = str(table.get("type", "")) if isinstance(table, dict) else ""
            where = {"path": found.path, "line": found.line(name), "when": "boot", "value": kind or "none"}
            known = [span for span in PROXIES if kind in span.name.split()]
            if any(found.daemon is None or covers(span, found.daemon) for span in known):
                yield passed(f"proxy_plugins {name}", f"{kind} is known", **where)
                continue
            yield failed(
                f"proxy_plugins {name}",
                f"its type, {kind or 'which is not set'}, is not known here: containerd panics as it starts",
                expected="snapshot or content",
                hint='give it a type: type = "snapshot"',
                **where,
            )

    def _policy(
        self, found: containerd.Config, name: str, section: Mapping[str, object]
    ) -> Iterator[Finding]:
        plugin, key, allowed = SHARING
        value = section.get(key, "")
        if name == plugin and isinstance(value, str) and value not in allowed:
            yield failed(
                f"plugins {name} {key}",
                f"{value} is no policy, and without that plugin dockerd does not start, or starts no container",
                value=value,
                expected=" or ".join(each for each in allowed if each),
                path=found.path,
                line=found.line(key),
                when="boot",
                hint="mend the line, then: systemctl restart containerd docker",
            )


class ContainerdPluginsListen(Check):
    """The TCP addresses on which containerd is to listen are this machine's.

    *Why*: containerd ends where it cannot listen on the address of its metrics, or of gRPC over TCP: "cannot assign
    requested address". docker waits for it in vain.

    *Needs*: `address` of [metrics] and `tcp_address` of [grpc], on a running host its own addresses, and that nobody
    else listens there while containerd does not run.

    *Fix*: an address of this machine, or none.
    """

    id = "containerd_plugins.listen"
    severity = Severity.REQUIRED
    references = (
        "https://github.com/containerd/containerd/blob/v2.1.5/cmd/containerd/command/main.go",
        "https://github.com/containerd/containerd/blob/main/docs/man/containerd-config.toml.5.md",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        found = containerd_configuration(host)
        wanted = []
        for section, key in (("metrics", "address"), ("grpc", "tcp_address")):
            table = found.values.get(section)
            value = table.get(key) if isinstance(table, dict) else None
            if isinstance(value, str) and value:
                wanted.append((section, key, value))
        if not wanted:
            raise NotApplicable("containerd listens on no TCP port")
        if host.kind != "live":
            raise NotApplicable("addresses are those of a running host")
        from hostcheck.facts._govalues import split_host_port  # few hosts have one

        for section, key, value in wanted:
            address, port = split_host_port(value) or ("", "")
            where = {
                "value": value,
                "expected": "a free address of this machine",
                "path": found.path,
                "line": found.line(key),
            }
            subject = f"config.toml {section}.{key}"
            if network.is_foreign(host, address):
                text = f"containerd will not start: {address} is no address of this machine"
                yield failed(subject, text, hint="name an address of this machine, or none", **where)
            elif port.isdecimal() and not host.pids("containerd") and sockets.taken(host, address, int(port)):
                text = f"containerd will not start: somebody listens on port {port} already"
                yield failed(subject, text, hint="name another port", **where)
            else:
                yield passed(subject, f"{value} may be had", **where)


def is_needed(name: str, version: Version | None) -> bool:
    """Return whether docker needs a plugin of this release; where that is not known, only what it always needs.

    >>> is_needed("io.containerd.runtime.v1.linux", Version("1.7.24")), is_needed("cri", None)
    (True, False)
    """
    return any(span.name == name and covers(span, version) for span in NEEDED)


def covers(span: Span, version: Version | None) -> bool:
    """Return whether a release is among those of a span."""
    if version is None:
        return not (span.since or span.before)
    early = bool(span.since) and version < Version(span.since)
    late = bool(span.before) and version >= Version(span.before)
    return not early and not late
