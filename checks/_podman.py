"""What podman's files may say: types, the words that are taken, and what becomes of others."""

from __future__ import annotations

import posixpath

from hostcheck._typing import Any
from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, failed
from hostcheck.facts import engine, podman

KINDS: dict[str, tuple[type, str]] = {
    "containers.apparmor_profile": (str, "text"),
    "containers.annotations": (list, "list"),
    "containers.cgroupns": (str, "text"),
    "containers.default_capabilities": (list, "list"),
    "containers.default_sysctls": (list, "list"),
    "containers.default_ulimits": (list, "list"),
    "containers.devices": (list, "list"),
    "containers.dns_servers": (list, "list"),
    "containers.dns_searches": (list, "list"),
    "containers.env": (list, "list"),
    "containers.http_proxy": (bool, "boolean"),
    "containers.init": (bool, "boolean"),
    "containers.ipcns": (str, "text"),
    "containers.log_driver": (str, "text"),
    "containers.log_size_max": (int, "number"),
    "containers.netns": (str, "text"),
    "containers.pids_limit": (int, "number"),
    "containers.seccomp_profile": (str, "text"),
    "containers.userns": (str, "text"),
    "containers.volumes": (list, "list"),
    "engine.cgroup_manager": (str, "text"),
    "engine.conmon_path": (list, "list"),
    "engine.database_backend": (str, "text"),
    "engine.events_logger": (str, "text"),
    "engine.helper_binaries_dir": (list, "list"),
    "engine.hooks_dir": (list, "list"),
    "engine.image_copy_tmp_dir": (str, "text"),
    "engine.image_parallel_copies": (int, "number"),
    "engine.num_locks": (int, "number"),
    "engine.pull_policy": (str, "text"),
    "engine.runtime": (str, "text"),
    "engine.runtimes": (dict, "table"),
    "network.cni_plugin_dirs": (list, "list"),
    "network.default_network": (str, "text"),
    "network.default_subnet": (str, "text"),
    "network.firewall_driver": (str, "text"),
    "network.network_backend": (str, "text"),
    "network.network_config_dir": (str, "text"),
    "storage.driver": (str, "text"),
    "storage.graphroot": (str, "text"),
    "storage.runroot": (str, "text"),
    "storage.rootless_storage_path": (str, "text"),
    "storage.options.additionalimagestores": (list, "list"),
    "storage.options.mount_program": (str, "text"),
    "storage.options.overlay.mount_program": (str, "text"),
    "storage.options.overlay.mountopt": (str, "text"),
    "storage.options.overlay.size": (str, "text"),
    "unqualified-search-registries": (list, "list"),
    "short-name-mode": (str, "text"),
    "registry": (list, "list of tables"),
}
"""What the keys must be: a value of another type keeps podman from reading the file.
Source: containers/common, pkg/config/config.go; containers/storage, pkg/config/config.go; containers/image,
pkg/sysregistriesv2/system_registries_v2.go."""

NO_START = "podman does not start"
NO_CONTAINER = "no container starts"

WORDS: dict[str, tuple[tuple[str, ...], str, str]] = {
    "engine.cgroup_manager": (("systemd", "cgroupfs"), "", NO_CONTAINER),
    "engine.events_logger": (("journald", "file", "none"), "", NO_START),
    "engine.pull_policy": (("always", "missing", "never", "newer", "ifnotpresent"), "", NO_START),
    "engine.database_backend": (("sqlite", "boltdb"), "4.6", NO_START),
    "containers.log_driver": (
        ("k8s-file", "journald", "json-file", "none", "passthrough", "passthrough-tty"),
        "",
        NO_CONTAINER,
    ),
    "network.network_backend": (("netavark", "cni"), "4.0", NO_START),
    "network.firewall_driver": (("none", "iptables", "nftables", "firewalld"), "5.0", NO_CONTAINER),
}
"""Words that a key may have, the release from which on it is read, and what another word does. An empty text is the
default. Source: the messages of podman 4.3.1, 5.4.2 and 5.8.6, each started with another word."""

ULIMITS = (
    *(
        "core",
        "cpu",
        "data",
        "fsize",
        "locks",
        "memlock",
        "msgqueue",
        "nice",
        "nofile",
        "nproc",
        "rss",
        "rtprio",
    ),
    *("rttime", "sigpending", "stack", "host"),
)
"""Source: docker/go-units, ulimit.go; `host` is podman's own."""

OVERLAY_WORDS = (
    *(
        "nodev",
        "nosuid",
        "noexec",
        "ro",
        "rw",
        "sync",
        "dirsync",
        "noatime",
        "nodiratime",
        "relatime",
        "strictatime",
    ),
    *("volatile", "userxattr", "index", "metacopy", "redirect_dir", "xino", "nfs_export", "uuid", "verity"),
)
"""Mount options of overlay. Source: the kernel's Documentation/filesystems/overlayfs.rst, mount(8)."""

NFTABLES_SINCE = {"debian": 13, "fedora": 41, "rhel": 10, "centos": 10, "rocky": 10, "almalinux": 10}
"""Releases of distributions whose netavark writes its rules with nft unless it is told otherwise: NETAVARK_DEFAULT_FW
of their builds."""


class PodmanCheck(Check):
    """A question about podman that runs as root; not a check itself."""

    needed: str = "auto"
    """Whether podman is what the host is for: `yes`, `no`, or `auto` for a host without docker."""

    def severity_here(self, host: Host) -> Severity:
        """Return how bad it is if podman fails: where docker is installed too, it may not be what the host is for.

        Raises:
            NotApplicable: podman is not installed, or the policy says that nobody uses it.

        """
        if self.needed == "no":
            raise NotApplicable("podman is not to be used")
        podman.need(host)
        if self.needed == "yes" or engine.stage(host) == "before":
            return Severity.REQUIRED
        return Severity.RECOMMENDED


def toml_problem(host: Host, found: podman.Document, effect: str, severity: Severity) -> Finding | None:
    """Return what is wrong with a file as TOML, or with the types in it; None if nothing is."""
    name = posixpath.basename(found.path)
    more: dict[str, Any] = {"path": found.path, "when": host.when, "severity": severity}
    if found.problem:
        line = found.problem_line or None
        text = f"is no TOML, and {effect}: {found.problem}"
        return failed(name, text, value="not TOML", expected="TOML", line=line, hint="mend the line", **more)
    for key, (kind, word) in KINDS.items():
        value = podman.lookup(found.values, key)
        if value is None or (isinstance(value, kind) and not (kind is int and isinstance(value, bool))):
            continue
        text = f"{key} is no {word}, and {effect}"
        line = found.line(key)
        return failed(
            f"{name} {key}", text, value=value, expected=word, line=line, hint="mend the line", **more
        )
    return None
