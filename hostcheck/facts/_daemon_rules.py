"""What dockerd checks in a configuration that it could read, release by release, in its order.

`RULES` says when each rule holds and who applies it: `validate` while the file is loaded (from 23.0 on also
by `dockerd --validate`), `start` only when the daemon starts. Sources, at the releases named: `Validate` in
daemon/config/config.go, `validatePlatformConfig` in config_linux.go, `loadDaemonCliConfig` in
cmd/dockerd/daemon.go, `verifyDaemonSettings` in daemon/daemon_unix.go, registry/config.go, daemon/logger and
daemon/graphdriver of moby/moby.
"""

from __future__ import annotations

import posixpath

from hostcheck._typing import TYPE_CHECKING, Callable, Optional
from hostcheck.facts import _daemon_networks as networks
from hostcheck.facts import _govalues as go
from hostcheck.facts._daemon_logging import log_driver

if TYPE_CHECKING:
    from hostcheck.facts._daemon_config import Configuration
    from hostcheck.facts._daemon_model import HostFacts, Release

STORAGE_DRIVERS = (
    ("overlay2", (1, 12), None),
    ("btrfs", (1, 5), None),
    ("zfs", (1, 7), None),
    ("vfs", (1, 0), None),
    ("fuse-overlayfs", (20, 10), None),
    ("aufs", (1, 0), (24,)),
    ("overlay", (1, 4), (24,)),
    ("devicemapper", (1, 0), (25,)),
)
"""The storage drivers that dockerd has on Linux, from and until which release."""

OVERLAY_OPTIONS = ("overlay2.size", "overlay2.override_kernel_check")


def _levels(release: Release) -> tuple[str, ...]:
    levels = ["panic", "fatal", "error", "warn", "info", "debug"]
    if release >= (19, 3):
        levels.append("trace")
    if release < (25,):
        levels.append("warning")
    return tuple(levels)


def graph_and_data_root(c: Configuration) -> None:
    """Graph and data-root are the same, and only one may be set."""
    if c.file.get("graph") and c.file.get("data-root"):
        c.refuse(
            "invalid-value",
            "graph",
            "stands beside data-root, which is the same setting",
            replaced_by="data-root",
        )


def graph_removed(c: Configuration) -> None:
    """23.0 refuses graph by name."""
    if c.file.get("graph"):
        _removed(c, "graph", "23.0", "data-root")


def _removed(c: Configuration, key: str, release: str, instead: str = "") -> None:
    then = f"; {instead} takes its place" if instead else ""
    c.refuse(
        "removed-option", key, f"was removed in {release}{then}", removed_in=release, replaced_by=instead
    )


def log_level(c: Configuration) -> None:
    """log-level is one of logrus's levels, in any case."""
    level = c.get("log-level")
    if level and level.lower() not in _levels(c.release):
        known = ", ".join(_levels(c.release))
        meant = "warn" if level.lower() == "warning" else ""
        c.refuse("invalid-value", "log-level", f"{level!r} is not a level ({known})", suggestion=meant)


def log_format(c: Configuration) -> None:
    """log-format is text or json, in lower case."""
    value = c.get("log-format")
    if value and value not in ("text", "json"):
        c.refuse("invalid-value", "log-format", f"{value!r} is neither text nor json")


def embedded_containerd(c: Configuration) -> None:
    """The embedded containerd has no CRI."""
    if (c.get("features") or {}).get("embedded-containerd") and c.get("cri-containerd"):
        message = "cri-containerd and the feature embedded-containerd exclude each other"
        c.refuse("invalid-value", "cri-containerd", message)


def labels(c: Configuration) -> None:
    """Labels are name=value, and some names are Docker's own."""
    for text, node in c.items("labels"):
        if "=" not in text:
            c.refuse("invalid-value", "labels", f"{text!r} is not NAME=VALUE", node)
        elif c.release >= (20, 10) and text.lower().startswith(
            ("com.docker.", "io.docker.", "org.dockerproject.")
        ):
            c.refuse("invalid-value", "labels", f"the name of {text!r} is reserved for Docker", node)


def _not_negative(key: str) -> Callable[[Configuration], None]:
    def rule(c: Configuration) -> None:
        value = c.get(key)
        if isinstance(value, int) and value < 0:
            c.refuse("invalid-value", key, f"{value} is negative")

    rule.__doc__ = f"{key} is not negative."
    return rule


def download_attempts(c: Configuration) -> None:
    """20.10 refuses 0 attempts."""
    value = c.file.get("max-download-attempts")
    if value == 0:
        c.refuse("invalid-value", "max-download-attempts", "0 is refused by 20.10")


def diagnostic_port(c: Configuration) -> None:
    """network-diagnostic-port is a port."""
    value = c.get("network-diagnostic-port")
    if isinstance(value, int) and not 0 <= value <= 65535:
        c.refuse("invalid-value", "network-diagnostic-port", f"{value} is not between 0 and 65535")


def reserved_runtime(c: Configuration) -> None:
    """The runtime runc is built in."""
    if "runc" in (c.get("runtimes") or {}):
        c.refuse("invalid-value", "runtimes.runc", "the name runc is reserved for the built-in runtime")


def generic_resources(c: Configuration) -> None:
    """node-generic-resources is a list of name=value in swarm's grammar."""
    value = c.get("node-generic-resources")
    terms = value.split(",") if isinstance(value, str) and value else value if isinstance(value, list) else []
    wrong = go.check_generic_resources(terms) if terms else None
    if wrong:
        c.refuse("invalid-value", "node-generic-resources", wrong)


def default_runtime(c: Configuration) -> None:
    """The default runtime is configured, built in or, from 23.0 on, a containerd shim."""
    name = c.get("default-runtime")
    if not name or name in (c.get("runtimes") or {}) or name == "runc":
        return
    if c.release >= (20, 10) and name == "io.containerd.runc.v2":
        return
    if (20, 10) <= c.release < (23,) and name == "io.containerd.runtime.v1.linux":
        return
    if c.release >= (23,) and _is_shim(name):
        return
    c.refuse("invalid-value", "default-runtime", f"the runtime {name!r} is not in runtimes, nor built in")


def _is_shim(name: str) -> bool:
    """Return whether containerd would look for a shim of that name (config.IsPermissibleC8dRuntimeName)."""
    return "." in name and not name.startswith("/")


def hosts(c: Configuration) -> None:
    """Addresses to listen on are unix, tcp or fd."""
    for text, node in c.items("hosts"):
        wrong = go.check_bind_address(text, c.release)
        if wrong:
            c.refuse("invalid-value", "hosts", f"cannot listen on {text!r}: {wrong}", node)


def mirrors(c: Configuration) -> None:
    """Mirrors are http:// or https:// URLs; before 24.0.8 without a path."""
    for text, node in c.items("registry-mirrors"):
        wrong = mirror_fault(text, c.release)
        if wrong:
            c.refuse("invalid-value", "registry-mirrors", f"{_shown(text)} is no mirror: {wrong}", node)


def mirror_fault(text: str, release: Release) -> Optional[str]:
    """Return why registry.ValidateMirror refuses a mirror at a release."""
    if (release >= (28, 3) and not text.partition("://")[0]) or ("://" not in text and release >= (28, 3)):
        return "it must begin with https:// or http://"
    wrong, parts = go.check_url(text)
    if wrong:
        return wrong
    if parts.get("scheme") not in ("http", "https"):
        return "it must begin with https:// or http://"
    if "query" in parts or "fragment" in parts:
        return "it ends with a query or a fragment"
    if release < (24, 0, 8) and parts.get("path", "") not in ("", "/"):
        return "it has a path, which dockerd takes from 24.0.8 on"
    if "user" in parts:
        return "it holds a user name"
    return None


def _shown(text: str) -> str:
    """Return a URL without its password."""
    scheme, separator, rest = text.partition("://")
    user, at, host = rest.rpartition("@")
    return repr(f"{scheme}{separator}{user.partition(':')[0]}:xxxxx@{host}" if at and user else text)


def insecure_registries(c: Configuration) -> None:
    """Insecure registries are hosts or networks, without a path."""
    for text, node in c.items("insecure-registries"):
        wrong = go.check_insecure_registry(text)
        if wrong:
            c.refuse("invalid-value", "insecure-registries", f"{text!r} is no registry: {wrong}", node)


def nondistributable(c: Configuration) -> None:
    """Registries of layers that may not be spread are hosts or networks (loadAllowNondistributableArtifacts)."""
    key = "allow-nondistributable-artifacts"
    for text, node in c.items(key):
        wrong = "it has a scheme" if "://" in text else go.check_insecure_registry(text)
        if wrong:
            c.refuse("invalid-value", key, f"{text!r} is no registry: {wrong}", node)


def cors(c: Configuration) -> None:
    """28.x refuses api-cors-header by name."""
    if c.file.get("api-cors-header"):
        _removed(c, "api-cors-header", "28.0", "a reverse proxy")


def oom_score(c: Configuration) -> None:
    """25.0 refuses oom-score-adjust by name."""
    if c.file.get("oom-score-adjust"):
        _removed(c, "oom-score-adjust", "25.0", "OOMScoreAdjust= of docker.service")


def cluster_store(c: Configuration) -> None:
    """23.0 refuses the external key-value store by name."""
    for key in ("cluster-store", "cluster-advertise", "cluster-store-opts"):
        if c.file.get(key):
            _removed(c, key, "23.0")


def store_unsupported(c: Configuration) -> None:
    """20.10 takes the key, and no longer has what is behind it ("Backend storage not supported yet")."""
    if c.get("cluster-store"):
        _removed(c, "cluster-store", "20.10")
    elif c.get("cluster-advertise"):
        advertise_without_store(c)


def legacy_registry(c: Configuration) -> None:
    """Registries of version 1 went in 17.12."""
    if c.get("disable-legacy-registry") is False:
        _removed(c, "disable-legacy-registry", "17.12")


def exec_opts(c: Configuration) -> None:
    """exec-opts are name=value, and on Linux there is one name."""
    for text, node in c.items("exec-opts"):
        name, equals, value = text.partition("=")
        name, value = name.strip().lower(), value.strip()
        if not equals or not name or not value:
            c.refuse("invalid-value", "exec-opts", f"{text!r} is not NAME=VALUE", node)
        elif name == "isolation":
            c.refuse("invalid-value", "exec-opts", f"{text!r} is for Windows only", node)
        elif name != "native.cgroupdriver":
            c.refuse("invalid-value", "exec-opts", f"{text!r} has an unknown name", node)


def ipc_mode(c: Configuration) -> None:
    """The default IPC mode is private or shareable."""
    mode = c.get("default-ipc-mode")
    if mode and mode not in ("private", "shareable"):
        c.refuse("invalid-value", "default-ipc-mode", f"{mode!r} is neither private nor shareable")


def windows_dns_proxy(c: Configuration) -> None:
    """A feature that only Windows has."""
    if "windows-dns-proxy" in (c.get("features") or {}):
        c.refuse("invalid-value", "features.windows-dns-proxy", "only exists on Windows")


def cgroupns_mode(c: Configuration) -> None:
    """The default cgroup namespace is the host's or private."""
    mode = c.get("default-cgroupns-mode")
    if mode and mode not in ("host", "private"):
        c.refuse("invalid-value", "default-cgroupns-mode", f"{mode!r} is neither host nor private")


BUILDER_SIZES = ("KeepStorage", "ReservedSpace", "MaxUsedSpace", "MinFreeSpace")


def builder_sizes(c: Configuration) -> None:
    """The sizes of the builder's garbage collection can be read (getGCPolicy in builder-next)."""
    gc = (c.get("builder") or {}).get("gc") or {}
    # What counts where it is not said differs between releases.
    if not isinstance(gc, dict) or gc.get("enabled") is not True:
        return
    for size in BUILDER_SIZES:
        text = gc.get(f"default{size}")
        # A share of the disk, from 28.0 on.
        if isinstance(text, str) and text and not text.endswith("%") and go.parse_size(text) is None:
            c.refuse("invalid-value", "builder", f"default{size} is {text!r}, which is no size")
            return


def label_conflict(c: Configuration) -> None:
    """A label has one value."""
    seen: dict[str, str] = {}
    for text, node in c.items("labels"):
        name, equals, value = text.partition("=")
        if equals and seen.setdefault(name, value) != value:
            c.refuse("invalid-value", "labels", f"{text!r} contradicts {name}={seen[name]}", node)


def realtime(c: Configuration) -> None:
    """Real-time limits need cgroup v1 and a kernel that schedules by group."""
    for key in ("cpu-rt-period", "cpu-rt-runtime"):
        if not c.get(key):
            continue
        if c.facts.cgroup_version == 2:
            c.refuse("invalid-value", key, "does not exist with cgroup v2")
        elif c.facts.realtime_groups is False:
            c.refuse("invalid-value", key, "the kernel has no CONFIG_RT_GROUP_SCHED")


def userns_snapshotter(c: Configuration) -> None:
    """The containerd image store does not remap users."""
    if c.get("userns-remap") and (c.get("features") or {}).get("containerd-snapshotter"):
        message = "does not go with the feature containerd-snapshotter"
        c.refuse("invalid-value", "userns-remap", message)


NO_USERMOD = "there is no useradd and usermod, or /etc/passwd is locked"


def userns(c: Configuration) -> None:
    """The user and the group to remap to exist and have subordinate ids (parseRemappedRoot)."""
    value = c.get("userns-remap")
    if not value:
        return
    parts = value.split(":")
    if len(parts) > 2:
        c.refuse("invalid-value", "userns-remap", f"{value!r} is not USER or USER:GROUP")
        return
    user, group = parts[0], parts[-1]
    if c.facts.garbled("dockremap" if user == "default" else user):
        message = "a line of that user in /etc/subuid or /etc/subgid is no NAME:FIRST:COUNT"
        c.refuse("invalid-value", "userns-remap", message)
        return
    if user == "default":
        user = "dockremap"
        group = user if len(parts) == 1 else group
        if c.facts.user(user) is False:
            # dockerd makes it, with ranges behind those that the files hold; it needs the files for that.
            for path in ("/etc/subuid", "/etc/subgid"):
                if c.facts.path(path) == "missing":
                    c.refuse("userns-user", "userns-remap", f"dockerd cannot make {user}: {path} is missing")
                    return
            if c.facts.adds_users is False and c.facts.subordinate(user, "uid") is False:
                c.refuse("userns-user", "userns-remap", f"dockerd cannot make {user}: {NO_USERMOD}")
            return
    if not user or c.facts.user(user) is False:
        c.refuse("userns-user", "userns-remap", f"there is no user {user!r}")
        return
    if not group or c.facts.group(group) is False:
        c.refuse("userns-user", "userns-remap", f"there is no group {group!r}")
        return
    if user in ("root", "0"):
        return
    for kind, name in (("uid", user), ("gid", user if c.release >= (20, 10) else group)):
        if c.facts.subordinate(name, kind) is False:
            c.refuse("userns-user", "userns-remap", f"/etc/sub{kind} has no ids for {name}")
            return


def tls_files(c: Configuration) -> None:
    """With TLS on, the certificate and its key are there. Any value of tlsverify turns it on."""
    verify = "tlsverify" in c.flattened or any(flag.name == "tlsverify" for flag in c.given)
    if not (c.get("tls") or verify):
        return
    for key in ("tlscert", "tlskey", "tlscacert"):
        path = c.get(key)
        if not path:
            # The defaults count only where they exist; a certificate is needed, an authority is not.
            path = f"/root/.docker/{key[3:]}.pem"
            if key != "tlscacert" and c.facts.path(path) == "missing":
                c.refuse("tls-file", key, f"TLS is on, and {key} names no file")
                return
        elif key == "tlscacert" and c.file.get("tlsverify") is False:
            continue
        elif c.facts.path(path) == "missing":
            c.refuse("tls-file", key, f"{path} does not exist")
            return
        content = c.facts.content(path) if key != "tlscacert" else None
        if content is not None and "-----BEGIN " not in content:
            c.refuse("tls-file", key, f"{path} is not in PEM format")
            return


def namespaces(c: Configuration) -> None:
    """Containers and plugins have two namespaces of containerd."""
    if c.get("containerd-namespace") == "plugins.moby":
        c.refuse("invalid-value", "containerd-namespace", "is the namespace of the plugins")


def cgroup_driver(c: Configuration) -> None:
    """The cgroup driver is cgroupfs or systemd, in lower case."""
    for text, node in c.items("exec-opts"):
        name, equals, value = text.partition("=")
        if not equals or name.strip().lower() != "native.cgroupdriver":
            continue
        value = value.strip()
        if value and value not in ("systemd", "cgroupfs"):
            c.refuse(
                "invalid-value", "exec-opts", f"cgroup driver {value!r} is neither systemd nor cgroupfs", node
            )


def driver_in_use(c: Configuration) -> Optional[str]:
    """Return the cgroup driver that counts; None where it depends on what is not known of the host."""
    for text, _ in c.items("exec-opts"):
        name, equals, value = text.partition("=")
        if equals and name.strip().lower() == "native.cgroupdriver":
            return value.strip()
    if c.release < (20, 10) or c.facts.cgroup_version == 1 or c.facts.systemd is False:
        return "cgroupfs"
    return "systemd" if c.facts.cgroup_version == 2 and c.facts.systemd else None


def cgroup_parent(c: Configuration) -> None:
    """With the systemd driver the parent of all containers is a slice."""
    parent = c.get("cgroup-parent")
    if parent and driver_in_use(c) == "systemd" and (len(parent) <= 6 or not parent.endswith(".slice")):
        message = f"with the systemd cgroup driver it must be a slice as xxx.slice, not {parent!r}"
        c.refuse("invalid-value", "cgroup-parent", message)


def rootless_systemd(c: Configuration) -> None:
    """Without root, only cgroup v2 lets systemd manage containers."""
    if c.get("rootless") and driver_in_use(c) == "systemd" and c.facts.cgroup_version == 1:
        message = "the systemd cgroup driver needs cgroup v2 in rootless mode"
        c.refuse("invalid-value", "exec-opts", message)


def seccomp(c: Configuration) -> None:
    """A seccomp profile is a file, or from 23.0 on one of two words. dockerd starts in /."""
    path = c.get("seccomp-profile")
    if not path or (c.release >= (23,) and path in ("unconfined", "builtin", "default")):
        return
    found = c.facts.path(posixpath.join("/", path))
    if found in ("missing", "folder") or (c.release < (23,) and path in ("unconfined", "builtin")):
        c.refuse("invalid-value", "seccomp-profile", f"the file {path} cannot be read")


def runtime_entries(c: Configuration) -> None:
    """A runtime has a path or a type, and what goes with it."""
    for name, entry in (c.get("runtimes") or {}).items():
        key = f"runtimes.{name}"
        if not isinstance(entry, dict):
            entry = {}
        path, kind = entry.get("path"), entry.get("runtimeType")
        if c.release >= (24,):
            if not path and not kind:
                c.refuse("invalid-value", key, "has neither a path nor a runtimeType")
            elif path and kind:
                c.refuse("invalid-value", key, "has both a path and a runtimeType")
            elif path and entry.get("options"):
                c.refuse("invalid-value", key, "has options, which go with a runtimeType only")
            elif kind and entry.get("runtimeArgs"):
                c.refuse("invalid-value", key, "has runtimeArgs, which go with a path only")


def _there(release: Release, since: Release, until: Optional[Release]) -> bool:
    return since <= release and (until is None or release < until)


def storage_driver(c: Configuration) -> None:
    """The storage driver exists; from 29.0 on any other name is a snapshotter of containerd."""
    driver = c.get("storage-driver")
    if not driver:
        return
    for name, since, until in STORAGE_DRIVERS:
        if name == driver:
            if not _there(c.release, since, until):
                gone = until is not None and c.release >= until
                when = f"was removed in {until[0]}.0" if gone and until else "is not known yet"
                c.refuse(
                    "invalid-value",
                    "storage-driver",
                    f"the storage driver {driver} {when}",
                    removed_in=f"{until[0]}.0" if gone and until else "",
                    replaced_by="overlay2",
                )
            return
    store = (c.get("features") or {}).get("containerd-snapshotter")
    if c.release < (24,) or (not store and c.release < (29,)) or store is False:
        c.refuse("invalid-value", "storage-driver", f"there is no storage driver {driver!r}")


def storage_opts(c: Configuration) -> None:
    """Storage options are name=value, and overlay2 has its own."""
    for text, node in c.items("storage-opts"):
        name, equals, _ = text.partition("=")
        if not equals:
            c.refuse("invalid-value", "storage-opts", f"{text!r} is not NAME=VALUE", node)
        elif c.get("storage-driver") == "overlay2":
            known = OVERLAY_OPTIONS[: 1 if c.release >= (24,) else 2]
            if name.strip().lower() not in known:
                message = f"overlay2 has no option {name.strip()!r}"
                c.refuse("invalid-value", "storage-opts", message, node)


def metrics(c: Configuration) -> None:
    """Metrics were experimental up to 19.03."""
    if c.get("metrics-addr") and not c.get("experimental"):
        c.refuse("invalid-value", "metrics-addr", "needs experimental before 20.10")


def metrics_address(c: Configuration) -> None:
    """The address for metrics is host:port, with a number for the port."""
    address = c.get("metrics-addr")
    if not address:
        return
    host, port = go.split_host_port(address) or ("", "")
    if not host:
        c.refuse("invalid-value", "metrics-addr", f"{address!r} is not HOST:PORT")
    elif not go.is_integer(port) or not 0 <= int(port) <= 65535:
        c.refuse("invalid-value", "metrics-addr", f"{port!r} of {address!r} is no port")


def oom_score_range(c: Configuration) -> None:
    """The kernel knows scores from -1000 to 1000."""
    value = c.get("oom-score-adjust")
    if value and not -1000 <= value <= 1000:
        c.refuse("invalid-value", "oom-score-adjust", f"{value} is not between -1000 and 1000")


def folders(c: Configuration) -> None:
    """The folders that dockerd makes at its start can be made."""
    for key in ("exec-root", "pidfile"):
        path = c.get(key)
        if not isinstance(path, str) or not path.startswith("/"):
            continue
        if key == "pidfile":
            if c.facts.path(path) == "folder":
                c.refuse("invalid-value", key, f"{path} is a folder")
            path = path.rpartition("/")[0]
        hit = file_in_the_way(c.facts, path)
        if hit:
            c.refuse("invalid-value", key, f"{path} cannot be made: {hit} is a file")


def file_in_the_way(facts: HostFacts, path: str) -> Optional[str]:
    """Return the part of a path that is a file, so that it can be no folder; None where none is seen."""
    parts = path.strip("/").split("/")
    for number in range(1, len(parts) + 1):
        here = "/" + "/".join(parts[:number])
        found = facts.path(here)
        if found in ("file", "program"):
            return here
        if found != "folder":
            return None
    return None


def live_restore_swarm(c: Configuration) -> None:
    """A swarm cannot restore live."""
    if c.get("live-restore") and c.facts.swarm:
        c.refuse("invalid-value", "live-restore", "excludes swarm mode, and this node is in a swarm")


def min_api_version(c: Configuration) -> None:
    """The lowest API version is one that the daemon still speaks."""
    value = c.file.get("min-api-version")
    if not value:
        return
    parts = value.split(".")
    numbers = [int(part) for part in parts if part.isascii() and part.isdecimal()]
    if len(numbers) != len(parts) or numbers < [1, 24]:
        c.refuse("invalid-value", "min-api-version", f"{value!r} is not an API version from 1.24 on")


def advertise_without_store(c: Configuration) -> None:
    """An address is advertised to a store."""
    if c.get("cluster-advertise") and not c.get("cluster-store"):
        c.refuse("invalid-value", "cluster-advertise", "needs cluster-store")


def flag_fault(key: str, value: object, release: Release) -> Optional[str]:
    """Return why dockerd refuses a value on its command line, before it reads any file."""
    if not isinstance(value, str):
        return None
    if key == "registry-mirrors":
        return mirror_fault(value, release)
    if key == "hosts":
        return go.check_bind_address(value, release)
    if key == "labels" and "=" not in value:
        return "it is not NAME=VALUE"
    if key == "dns-search" and not go.is_search_domain(value):
        return "it is not a domain"
    if key in ("dns", "ip", "default-gateway", "default-gateway-v6", "host-gateway-ip") and value:
        read = go.parse_addr if release >= (29,) else go.parse_ip
        if not all(read(text.strip()) for text in value.split(",")):
            return "it is not an IP address"
    if key == "default-shm-size" and go.parse_size(value, "new") is None:
        return "it is not a size"
    return None


Rule = tuple["Release", Optional["Release"], str, Callable[["Configuration"], None]]

RULES: tuple[Rule, ...] = (
    ((1, 10), (23,), "validate", graph_and_data_root),
    ((23,), (24,), "validate", graph_removed),
    ((17, 12), (19, 3), "validate", legacy_registry),
    ((23,), None, "validate", log_level),
    ((25,), None, "validate", log_format),
    ((29, 7), None, "validate", embedded_containerd),
    ((1, 10), (25,), "validate", networks.dns),
    ((1, 10), None, "validate", networks.dns_search),
    ((28,), None, "validate", networks.host_gateway_ips),
    ((1, 10), None, "validate", labels),
    ((23,), None, "validate", _not_negative("mtu")),
    ((1, 12), None, "validate", _not_negative("max-concurrent-downloads")),
    ((1, 12), None, "validate", _not_negative("max-concurrent-uploads")),
    ((20, 10), (23,), "validate", download_attempts),
    ((20, 10), None, "validate", _not_negative("max-download-attempts")),
    ((29, 7), None, "validate", _not_negative("default-stop-timeout")),
    ((28,), None, "validate", diagnostic_port),
    ((1, 12), (25,), "validate", reserved_runtime),
    ((17, 9), None, "validate", generic_resources),
    ((1, 12), (25,), "validate", default_runtime),
    ((23,), None, "validate", hosts),
    ((28, 3), None, "validate", mirrors),
    ((28,), (29,), "validate", cors),
    ((25,), (26,), "validate", oom_score),
    ((28,), None, "validate", exec_opts),
    ((25,), None, "validate", networks.userland_proxy),
    ((17, 9), None, "validate", ipc_mode),
    ((25,), None, "validate", networks.fixed_cidr_v6),
    ((26, 1), (28,), "validate", windows_dns_proxy),
    ((29,), None, "validate", networks.firewall_backend),
    ((29,), None, "validate", networks.firewall_mark),
    ((20, 10), None, "validate", cgroupns_mode),
    ((17, 12), None, "validate", label_conflict),
    ((23,), None, "validate", realtime),
    ((29,), None, "validate", userns_snapshotter),
    ((26,), None, "validate", userns),
    ((23,), (24,), "validate", cluster_store),
    ((23,), None, "validate", tls_files),
    # From here on only a daemon that starts looks.
    ((18, 9), None, "start", builder_sizes),
    ((1, 10), (23,), "start", log_level),
    ((1, 10), (23,), "start", hosts),
    ((1, 10), (23,), "start", tls_files),
    ((1, 10), (26,), "start", userns),
    ((17, 10), (28, 3), "start", mirrors),
    ((17, 10), None, "start", insecure_registries),
    ((17, 6), (28,), "start", nondistributable),
    ((19, 3, 3), None, "start", namespaces),
    ((1, 10), None, "start", networks.bridge_and_address),
    ((1, 10), None, "start", networks.icc),
    ((20, 10), (27,), "start", networks.ip6tables),
    ((1, 10), None, "start", cgroup_driver),
    ((1, 10), None, "start", cgroup_parent),
    ((20, 10), None, "start", rootless_systemd),
    ((25,), None, "start", reserved_runtime),
    ((25,), None, "start", default_runtime),
    ((1, 12), None, "start", runtime_entries),
    ((1, 10), None, "start", networks.bridge_networks),
    ((20, 10), None, "start", networks.bridge_addresses),
    ((1, 10), (28,), "start", networks.ipv6_subnet),
    ((18, 6), (27,), "start", networks.pools_base),
    ((18, 6), None, "start", networks.pools_size),
    ((18, 6), None, "start", networks.pools_room),
    ((1, 13), None, "start", seccomp),
    ((1, 10), None, "start", log_driver),
    ((1, 10), None, "start", storage_driver),
    ((1, 10), None, "start", storage_opts),
    ((1, 13), (20, 10), "start", metrics),
    ((20, 10), None, "start", metrics_address),
    ((1, 10), (23,), "start", _not_negative("mtu")),
    ((25,), None, "start", networks.mtu),
    ((1, 12), (25,), "start", oom_score_range),
    ((1, 10), None, "start", folders),
    ((1, 12), None, "start", live_restore_swarm),
    ((29,), None, "start", networks.nftables_swarm),
    ((29,), None, "start", min_api_version),
    ((20, 10), (23,), "start", store_unsupported),
    ((1, 10), (20, 10), "start", advertise_without_store),
)
"""From which release, until which, who applies it, and the rule; in dockerd's order."""
