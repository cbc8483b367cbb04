"""Without what whole families are skipped, and so need not be imported."""

from __future__ import annotations

from hostcheck._typing import Callable
from hostcheck.api import Host
from hostcheck.facts import docker, engine, podman

from ._engines import engine_only, need_containerd
from ._kubernetes import NodeCheck
from ._rootless import UsersCheck
from ._units import need_systemd

GATES: dict[str, Callable[[Host], object]] = {
    "docker": engine.need_docker,
    "docker or daemon.json": docker.relevant,
    "docker or containerd": engine_only,
    "containerd": need_containerd,
    "an engine and systemd": need_systemd,
    "podman": podman.need,
    "a node": NodeCheck().need_node,
    "users": UsersCheck().evidence,
}
"""What has to be there, and what raises NotApplicable where it is not."""

BEHIND: dict[str, tuple[str, ...]] = {
    "docker": (
        "containerd_plugins.needed", "forwarding.interfaces", "forwarding.neighbours",
        "forwarding.docker_user", "forwarding.chains", "programs.helpers",
        "runtime.docker", "runtime.running",
        "startup.data_root", "startup.exec_root", "startup.remapped_root", "startup.mounts",
        "startup.key_file", "startup.containerd_address", "state.databases", "state.image_names",
        "state.folders", "state.files", "state.layers", "state.network_database",
    ),
    "docker or daemon.json": (
        "daemon.log_rotation", "daemon.tcp_tls", "daemon.modes", "daemon.address_pools", "daemon.data_root",
        "daemon.name_servers", "daemon.userns_remap", "daemon.cgroup_driver", "daemon.group", "defaults.mtu",
        "defaults.fixed_cidr", "defaults.runtime", "defaults.ulimits", "defaults.init", "defaults.seccomp",
        "docker.daemon_json", "docker.flag_conflict", "docker.start_rules", "docker.runtimes",
        "docker.duplicates", "docker.ignored_keys", "docker.null_booleans", "logging.driver",
        "logging.endpoint", "server.pid_file", "server.listen", "server.authorization",
    ),
    "docker or containerd": (
        "programs.present", "programs.loader", "programs.identity", "programs.iptables_extensions",
        "programs.executable", "runtime.containerd", "runtime.runc",
    ),
    "containerd": (
        "containerd.config", "containerd.cri", "containerd.cgroup_driver", "containerd.version",
        "containerd_plugins.types", "containerd_plugins.listen",
    ),
    "an engine and systemd": (
        "limits.rlimits", "limits.process", "limits.tasks_max", "limits.memory_max", "limits.oom_score",
        "limits.running", "units.enabled", "units.dependencies", "units.syntax", "units.reload_pending",
        "systemd.delegate", "systemd.kill_mode", "systemd.restart", "systemd.exec", "systemd.socket",
    ),
    "podman": (
        "images.policy", "images.registries", "podman.containers_conf", "podman.hooks", "podman.programs",
        "podman.network", "podman_storage.configuration", "podman_storage.layers",
    ),
    "a node": (
        "kubelet.kernel_defaults", "kubelet.config", "kubelet.flags", "kubelet.kernel_log", "kubelet.access",
        "kubernetes.tools", "kubernetes.node_name", "kubernetes.runtime",
    ),
    "users": (
        "homes.storage", "rootless_network.driver", "rootless_network.ports",
        "rootless_network.ping", "rootless_network.iptables", "subids.files", "subids.own",
    ),
}  # fmt: skip
"""The checks that ask each of these before all else. Only a family of which every check stands here is spared."""
