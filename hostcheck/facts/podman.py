"""What podman and its libraries read: containers.conf, storage.conf, registries.conf and policy.json.

Sources: containers.conf(5), containers-storage.conf(5), containers-registries.conf(5), containers-policy.json(5), and
`pkg/config/new.go` of containers/common, `types/options.go` of containers/storage, of which podman is built.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from hostcheck._typing import Any, Optional
from hostcheck.facts import engine, files, versions
from hostcheck.facts.containerd import leaves
from hostcheck.facts.toml import BadConfig, parse_toml
from hostcheck.host import Host, NotApplicable, Unavailable
from hostcheck.record import Record
from hostcheck.versions import Version

CONTAINERS = ("/usr/share/containers/containers.conf", "/etc/containers/containers.conf")
"""In the order in which they are read, then containers.conf.d; the later wins."""
CONTAINERS_DROP_INS = "/etc/containers/containers.conf.d"
STORAGE = ("/etc/containers/storage.conf", "/usr/share/containers/storage.conf")
"""The first that is there is the one that counts."""
REGISTRIES = "/etc/containers/registries.conf"
POLICY = "/etc/containers/policy.json"
HOOKS = ("/usr/share/containers/oci/hooks.d", "/etc/containers/oci/hooks.d")

GRAPH_ROOT = "/var/lib/containers/storage"


class Document(Record):
    """A TOML file as it lies there."""

    path: str
    text: str
    values: Mapping[str, Any]
    problem: str = ""
    """Why it is no TOML, empty if it is."""
    problem_line: int = 0

    def line(self, key: str) -> int | None:
        """Return the line that sets a key (its last part is searched), None if none does."""
        found = re.search(rf'(?m)^\s*(?:\[+.*\b)?"?{re.escape(key.rpartition(".")[2])}"?\s*[=\]]', self.text)
        # The match may begin with the line breaks before it.
        return self.text.count("\n", 0, found.end()) + 1 if found else None


class Setting(Record):
    """A value, and where it was read."""

    value: Any
    path: str
    line: Optional[int]


def document(host: Host, path: str) -> Document | None:
    """Return the file, None if there is none.

    Raises:
        PermissionError, Unavailable: it cannot be read.

    """
    text = files.text(host, path)
    if text is None:
        return None
    try:
        return Document(path, text, parse_toml(text))
    except BadConfig as error:
        return Document(path, text, {}, error.reason, error.line)


def _drop_ins(host: Host, folder: str) -> Iterator[Document]:
    for name in sorted(files.names(host, folder)):
        if name.endswith(".conf"):
            found = document(host, f"{folder}/{name}")
            if found:
                yield found


def containers(host: Host) -> tuple[Document, ...]:
    """Return the files of containers.conf, in the order in which they are read."""
    return host.fact(_containers)


def _containers(host: Host) -> tuple[Document, ...]:
    found = [document(host, path) for path in CONTAINERS]
    return (*(each for each in found if each), *_drop_ins(host, CONTAINERS_DROP_INS))


def documents(host: Host, path: str) -> tuple[Document, ...]:
    """Return a file and those of the folder beside it with `.d` in its name, in the order in which they are read."""
    found = document(host, path)
    return (*((found,) if found else ()), *_drop_ins(host, f"{path}.d"))


def storage(host: Host) -> Document | None:
    """Return the storage.conf that counts, None if there is none."""
    return next((found for found in (document(host, path) for path in STORAGE) if found), None)


def lookup(values: Mapping[str, Any], key: str) -> Any:
    """Return the value of a dotted key, None if it is not set."""
    found: Any = values
    for part in key.split("."):
        if not isinstance(found, dict) or part not in found:
            return None
        found = found[part]
    return found


def setting(host: Host, key: str) -> Setting | None:
    """Return what containers.conf sets a dotted key to, such as `engine.runtime`; None if nothing does."""
    return last(containers(host), key)


def last(documents: tuple[Document, ...], key: str) -> Setting | None:
    """Return what the last of some files that has a dotted key sets it to; None if none does."""
    for found in reversed(documents):
        value = lookup(found.values, key)
        if value is not None:
            return Setting(value, found.path, found.line(key))
    return None


def version(host: Host) -> Version | None:
    """Return podman's version, None where it cannot be told."""
    return versions.version(host, "podman")


def graph_root(host: Host) -> str:
    """Return the folder of podman's images and containers, of the engine that runs as root."""
    found = storage(host)
    value = lookup(found.values, "storage.graphroot") if found else None
    return value if isinstance(value, str) and value else GRAPH_ROOT


RUNTIME_FOLDERS = ("/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/sbin", "/bin")
CONMON_FOLDERS = (
    "/usr/libexec/podman",
    "/usr/local/libexec/podman",
    "/usr/local/lib/podman",
    *files.PROGRAM_FOLDERS,
)
HELPER_FOLDERS = (
    "/usr/local/libexec/podman",
    "/usr/local/lib/podman",
    "/usr/libexec/podman",
    "/usr/lib/podman",
)
CNI_FOLDERS = (
    "/opt/cni/bin",
    "/usr/libexec/cni",
    "/usr/lib/cni",
    "/usr/local/libexec/cni",
    "/usr/local/lib/cni",
)
"""Where podman and the kubelet's runtimes look for plugins."""


def paths(host: Host, key: str) -> tuple[str, ...]:
    """Return the folders or files that a key lists, none where it is not set."""
    found = setting(host, key)
    return tuple(each for each in found.value if isinstance(each, str)) if found and _is_list(found) else ()


def _is_list(found: Setting) -> bool:
    return isinstance(found.value, list)


def helper(host: Host, name: str) -> str | None:
    """Return the path of a helper such as netavark, None if it is not where podman looks."""
    return files.which(host, name, paths(host, "engine.helper_binaries_dir") or HELPER_FOLDERS)


def backend(host: Host, podman: Version | None) -> str:
    """Return what wires containers: `netavark` or `cni`.

    Before 4.0 there is CNI alone, from 5.0 on netavark alone, unless built otherwise. Between, what is
    set counts, then what was chosen at the first run, then netavark if it is there. Where the version is not
    known, what is there counts.
    Source: containers/common, libnetwork/network/interface_linux.go.
    """
    if podman is None:
        have = helper(host, "netavark") or not files.which(host, "bridge", CNI_FOLDERS)
        return "netavark" if have else "cni"
    if podman < Version("4.0"):
        return "cni"
    if podman >= Version("5.0"):
        return "netavark"
    found = setting(host, "network.network_backend")
    if found and found.value:
        return str(found.value)
    try:
        chosen = (files.text(host, f"{graph_root(host)}/defaultNetworkBackend") or "").strip()
    except (PermissionError, Unavailable):
        chosen = ""
    return chosen or ("netavark" if helper(host, "netavark") else "cni")


def runtime(host: Host) -> tuple[str, str | None]:
    """Return the OCI runtime that containers.conf names, empty if none, and the path of the one that is used.

    Unnamed it is crun, or runc where there is no crun.
    """
    found = setting(host, "engine.runtime")
    wanted = str(found.value) if found and found.value else ""
    if wanted.startswith("/"):
        return wanted, wanted if host.exists(wanted) else None
    paths_ = (_runtime(host, name) for name in ((wanted,) if wanted else ("crun", "runc")))
    return wanted, next((path for path in paths_ if path), None)


def _runtime(host: Host, name: str) -> str | None:
    listed = (path for path in paths(host, f"engine.runtimes.{name}") if host.exists(path))
    return next(listed, None) or files.which(host, name, RUNTIME_FOLDERS)


def need(host: Host) -> None:
    """Raise `NotApplicable` where podman is not installed."""
    if "podman" not in engine.installed(host):
        raise NotApplicable("podman is not installed")


def export(host: Host) -> dict[str, object]:
    """Return what containers.conf and storage.conf set, with file and line."""
    found: dict[str, object] = {}
    own = storage(host)
    for each in (*containers(host), *((own,) if own else ())):
        for key, value in leaves(each.values):
            found[key] = {"value": value, "path": each.path, "line": each.line(key)}
    return found
