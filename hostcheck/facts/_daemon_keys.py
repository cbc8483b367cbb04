"""What may stand in daemon.json, by release: data that `daemonjson` reads the file with.

Read from the flags and the JSON tags of every release of moby/moby from 17.06 to 29.7 (`cmd/dockerd`,
`daemon/config`; since 29.0 `daemon/command`). A release is a tuple without trailing zeros: (23,) is 23.0.0.
"""

from __future__ import annotations

from typing import NamedTuple, Optional

Release = tuple[int, ...]

NEWEST = "29.7.2"
"""The newest release that the tables know; a later one is judged as this one."""


class Key(NamedTuple):
    """A key of daemon.json."""

    name: str
    kinds: tuple[tuple[Release, str], ...]
    """What its value must be, from which release on; the first is the release that brought the key."""
    until: Optional[Release]
    """The release that no longer knows it."""
    flag: str
    """The flag of dockerd that sets the same; empty if none does."""
    defaults: tuple[tuple[Release, object], ...]
    """What counts where nobody sets it, from which release on; empty: nothing."""


KEYS = (
    Key("allow-direct-routing", (((28, 2), "bool"),), None, "allow-direct-routing", (((28, 2), False),)),
    Key(
        "allow-nondistributable-artifacts",
        (
            ((17, 6), "strs"),
            ((28, 1), "any"),
        ),
        None,
        "allow-nondistributable-artifacts",
        (),
    ),
    Key("api-cors-header", (((1, 12), "str"),), (29,), "api-cors-header", ()),
    Key("api-enable-cors", (((1, 10), "bool"),), (17, 9), "api-enable-cors", (((1, 10), False),)),
    Key("authorization-plugins", (((1, 10), "strs"),), None, "authorization-plugin", ()),
    Key("bip", (((1, 10), "str"),), None, "bip", ()),
    Key("bip6", (((28,), "str"),), None, "bip6", ()),
    Key("bridge", (((1, 10), "str"),), None, "bridge", ()),
    Key("bridge-accept-fwmark", (((29,), "str"),), None, "bridge-accept-fwmark", ()),
    Key("builder", (((18, 9), "builder"),), None, "", ()),
    Key("cdi-spec-dirs", (((25,), "strs"),), None, "cdi-spec-dir", ()),
    Key("cgroup-parent", (((1, 10), "str"),), None, "cgroup-parent", ()),
    Key("cluster-advertise", (((1, 10), "str"),), (24,), "cluster-advertise", ()),
    Key("cluster-store", (((1, 10), "str"),), (24,), "cluster-store", ()),
    Key("cluster-store-opts", (((1, 10), "strmap"),), (24,), "cluster-store-opt", ()),
    Key("containerd", (((1, 11), "str"),), None, "containerd", ()),
    Key(
        "containerd-namespace", (((19, 3, 3), "str"),), None, "containerd-namespace", (((19, 3, 3), "moby"),)
    ),
    Key("cpu-rt-period", (((1, 13), "int"),), None, "cpu-rt-period", ()),
    Key("cpu-rt-runtime", (((1, 13), "int"),), None, "cpu-rt-runtime", ()),
    Key("cri-containerd", (((18, 9), "bool"),), None, "cri-containerd", (((18, 9), False),)),
    Key("data-root", (((17, 5), "str"),), None, "data-root", (((17, 5), "/var/lib/docker"),)),
    Key("debug", (((1, 10), "bool"),), None, "debug", (((1, 10), False),)),
    Key("default-address-pools", (((18, 6), "pools"),), None, "default-address-pool", ()),
    Key("default-cgroupns-mode", (((20, 10), "str"),), None, "default-cgroupns-mode", ()),
    Key("default-gateway", (((1, 10), "ip"),), None, "default-gateway", ()),
    Key("default-gateway-v6", (((1, 10), "ip"),), None, "default-gateway-v6", ()),
    Key(
        "default-ipc-mode",
        (((17, 9), "str"),),
        None,
        "default-ipc-mode",
        (((17, 9), "shareable"), ((19, 3), "private")),
    ),
    Key("default-network-opts", (((24,), "strmaps"),), None, "default-network-opt", ()),
    Key("default-runtime", (((1, 12), "str"),), None, "default-runtime", (((1, 12), "runc"),)),
    Key("default-shm-size", (((17, 6), "size"),), None, "default-shm-size", (((17, 6), 67108864),)),
    Key("default-stop-timeout", (((29, 7), "int"),), None, "default-stop-timeout", (((29, 7), 10),)),
    Key("default-ulimits", (((17, 7), "ulimits"),), None, "default-ulimit", ()),
    Key(
        "deprecated-key-path",
        (
            ((17, 6), "str"),
            ((24,), "any"),
        ),
        None,
        "deprecated-key-path",
        (),
    ),
    Key(
        "disable-legacy-registry",
        (((1, 11), "bool"),),
        (19, 3),
        "disable-legacy-registry",
        (((1, 11), True),),
    ),
    Key(
        "dns",
        (
            ((1, 10), "strs"),
            ((25,), "ips"),
            ((29,), "addrs"),
        ),
        None,
        "dns",
        (),
    ),
    Key("dns-opts", (((1, 10), "strs"),), None, "dns-opt", ()),
    Key("dns-search", (((1, 10), "strs"),), None, "dns-search", ()),
    Key("exec-opts", (((1, 10), "strs"),), None, "exec-opt", ()),
    Key("exec-root", (((1, 10), "str"),), None, "exec-root", (((1, 10), "/var/run/docker"),)),
    Key("experimental", (((1, 13), "bool"),), None, "experimental", (((1, 13), False),)),
    Key("features", (((18, 9), "bools"),), None, "feature", ()),
    Key("firewall-backend", (((29,), "str"),), None, "firewall-backend", ()),
    Key("fixed-cidr", (((1, 10), "str"),), None, "fixed-cidr", ()),
    Key("fixed-cidr-v6", (((1, 10), "str"),), None, "fixed-cidr-v6", ()),
    Key("graph", (((1, 10), "str"),), (24,), "graph", ()),
    Key("group", (((1, 10), "str"),), None, "group", (((1, 10), "docker"),)),
    Key("host-gateway-ip", (((20, 10), "ip"),), None, "host-gateway-ip", ()),
    Key("host-gateway-ips", (((28,), "addrs"),), None, "host-gateway-ip", ()),
    Key("hosts", (((1, 10), "strs"),), None, "host", ()),
    Key("icc", (((1, 10), "bool"),), None, "icc", (((1, 10), True),)),
    Key("init", (((1, 13), "bool"),), None, "init", (((1, 13), False),)),
    Key("init-path", (((1, 13), "str"),), None, "init-path", ()),
    Key("insecure-registries", (((1, 11), "strs"),), None, "insecure-registry", ()),
    Key("ip", (((1, 10), "ip"),), None, "ip", ()),
    Key("ip-forward", (((1, 10), "bool"),), None, "ip-forward", (((1, 10), True),)),
    Key("ip-forward-no-drop", (((28,), "bool"),), None, "ip-forward-no-drop", (((28,), False),)),
    Key("ip-masq", (((1, 12), "bool"),), None, "ip-masq", (((1, 12), True),)),
    Key("ip6tables", (((20, 10), "bool"),), None, "ip6tables", (((20, 10), False), ((27,), True))),
    Key("iptables", (((1, 10), "bool"),), None, "iptables", (((1, 10), True),)),
    Key("ipv6", (((1, 10), "bool"),), None, "ipv6", (((1, 10), False),)),
    Key("labels", (((1, 10), "strs"),), None, "label", ()),
    Key("live-restore", (((1, 12), "bool"),), None, "live-restore", (((1, 12), False),)),
    Key("log-driver", (((1, 10), "str"),), None, "log-driver", (((1, 10), "json-file"),)),
    Key("log-format", (((25,), "str"),), None, "log-format", (((25,), "text"),)),
    Key("log-level", (((1, 10), "str"),), None, "log-level", (((1, 10), "info"),)),
    Key("log-opts", (((1, 10), "strmap"),), None, "log-opt", ()),
    Key("max-concurrent-downloads", (((1, 12), "int"),), None, "max-concurrent-downloads", (((1, 12), 3),)),
    Key("max-concurrent-uploads", (((1, 12), "int"),), None, "max-concurrent-uploads", (((1, 12), 5),)),
    Key("max-download-attempts", (((20, 10), "int"),), None, "max-download-attempts", (((20, 10), 5),)),
    Key("metrics-addr", (((1, 13), "str"),), None, "metrics-addr", ()),
    Key("min-api-version", (((29,), "str"),), None, "", (((29,), "1.44"), ((29, 3), "1.40"))),
    Key("mtu", (((1, 10), "int"),), None, "mtu", (((1, 10), 0), ((23,), 1500))),
    Key(
        "network-control-plane-mtu",
        (((17, 9), "int"),),
        None,
        "network-control-plane-mtu",
        (((17, 9), 1500),),
    ),
    Key("network-diagnostic-port", (((17, 12), "int"),), None, "network-diagnostic-port", ()),
    Key("no-new-privileges", (((17, 6), "bool"),), None, "no-new-privileges", (((17, 6), False),)),
    Key(
        "node-generic-resources",
        (
            ((17, 9), "str"),
            ((17, 12), "strs"),
        ),
        None,
        "node-generic-resource",
        (),
    ),
    Key("nri-opts", (((29, 2), "nri"),), None, "nri-opts", ()),
    Key("oom-score-adjust", (((1, 12), "int"),), (26,), "oom-score-adjust", (((1, 12), -500), ((20, 10), 0))),
    Key("pidfile", (((1, 10), "str"),), None, "pidfile", (((1, 10), "/var/run/docker.pid"),)),
    Key("proxies", (((23,), "proxies"),), None, "", ()),
    Key("raw-logs", (((1, 11), "bool"),), None, "raw-logs", (((1, 11), False),)),
    Key("registry-mirrors", (((1, 11), "strs"),), None, "registry-mirror", ()),
    Key("rootless", (((19, 3), "bool"),), None, "rootless", (((19, 3), False),)),
    Key("runtimes", (((1, 12), "runtimes"),), None, "add-runtime", ()),
    Key("seccomp-profile", (((1, 13), "str"),), None, "seccomp-profile", (((1, 13), ""), ((23,), "builtin"))),
    Key("selinux-enabled", (((1, 10), "bool"),), None, "selinux-enabled", (((1, 10), False),)),
    Key("shutdown-timeout", (((1, 13), "int"),), None, "shutdown-timeout", (((1, 13), 15),)),
    Key("storage-driver", (((1, 10), "str"),), None, "storage-driver", ()),
    Key("storage-opts", (((1, 10), "strs"),), None, "storage-opt", ()),
    Key("swarm-default-advertise-addr", (((1, 12), "str"),), None, "swarm-default-advertise-addr", ()),
    Key("tls", (((1, 10), "bool"),), None, "tls", (((1, 10), False),)),
    Key("tlscacert", (((1, 10), "str"),), None, "tlscacert", ()),
    Key("tlscert", (((1, 10), "str"),), None, "tlscert", ()),
    Key("tlskey", (((1, 10), "str"),), None, "tlskey", ()),
    Key("tlsverify", (((1, 10), "bool"),), None, "tlsverify", (((1, 10), False),)),
    Key("userland-proxy", (((1, 10), "bool"),), None, "userland-proxy", (((1, 10), True),)),
    Key("userland-proxy-path", (((1, 13), "str"),), None, "userland-proxy-path", ()),
    Key("userns-remap", (((1, 10), "str"),), None, "userns-remap", ()),
)

NEVER = (
    "containerd-plugin-namespace",
    "default-init",
    "resolv-conf",
    "swarm-raft-election-tick",
    "swarm-raft-heartbeat-tick",
)
"""Fields of the configuration that no release lets a file set: no flag has their name."""

IGNORED = (
    ("add-runtime", (1, 12), None, "runtimes"),
    ("authorization-plugin", (1, 10), None, "authorization-plugins"),
    ("cdi-spec-dir", (25,), None, "cdi-spec-dirs"),
    ("cluster-store-opt", (1, 10), (24,), "cluster-store-opts"),
    ("config-file", (1, 10), None, ""),
    ("containerd-plugins-namespace", (19, 3, 3), None, ""),
    ("default-address-pool", (18, 6), None, "default-address-pools"),
    ("default-network-opt", (24,), None, "default-network-opts"),
    ("default-ulimit", (1, 10), None, "default-ulimits"),
    ("dns-opt", (1, 10), None, "dns-opts"),
    ("exec-opt", (1, 10), None, "exec-opts"),
    ("feature", (27, 3), None, "features"),
    ("help", (1, 10), None, ""),
    ("host", (1, 10), None, "hosts"),
    ("http-proxy", (23,), None, "proxies.http-proxy"),
    ("https-proxy", (23,), None, "proxies.https-proxy"),
    ("insecure-registry", (1, 10), None, "insecure-registries"),
    ("label", (1, 10), None, "labels"),
    ("log-opt", (1, 10), None, "log-opts"),
    ("no-proxy", (23,), None, "proxies.no-proxy"),
    ("node-generic-resource", (17, 12), None, "node-generic-resources"),
    ("registry-mirror", (1, 10), None, "registry-mirrors"),
    ("restart", (1, 10), None, ""),
    ("storage-opt", (1, 10), None, "storage-opts"),
    ("validate", (23,), None, ""),
    ("version", (1, 10), None, ""),
)
"""Names of flags that are no keys: a file may hold them, and nothing reads them there. With the key meant."""

FLAT = (
    ("cluster-store-opts", (1, 10)),
    ("log-opts", (1, 10)),
    ("runtimes", (1, 12)),
    ("default-ulimits", (1, 10)),
    ("features", (18, 9)),
    ("builder", (18, 9)),
    ("default-network-opts", (24,)),
    ("nri-opts", (29, 2)),
)
"""Objects that are not replaced by their members before names are looked up (flatOptions)."""

NOT_FLAGS = (
    "builder",
    "features",
    "min-api-version",
    "deprecated-key-path",
    "allow-nondistributable-artifacts",
)
"""Keys that are taken although no flag has their name (skipValidateOptions)."""

SHORT = (
    ("D", "debug"),
    ("G", "group"),
    ("H", "host"),
    ("b", "bridge"),
    ("g", "graph"),
    ("h", "help"),
    ("l", "log-level"),
    ("p", "pidfile"),
    ("r", "restart"),
    ("s", "storage-driver"),
    ("v", "version"),
)
"""The one-letter flags."""

SWITCHES = ("help", "restart", "validate", "version")
"""Flags without a value that are no keys; every key that is a bool is one too."""

REMOVED = (
    ("graph", "17.05", "23.0", "data-root"),
    ("cluster-advertise", "20.10", "23.0", ""),
    ("cluster-store", "20.10", "23.0", ""),
    ("cluster-store-opts", "20.10", "23.0", ""),
    ("oom-score-adjust", "24.0", "25.0", "OOMScoreAdjust= of docker.service"),
    ("api-cors-header", "27.0", "28.0", "a reverse proxy"),
    ("api-enable-cors", "1.12", "17.09", "a reverse proxy"),
    ("disable-legacy-registry", "17.06", "17.12", ""),
    ("deprecated-key-path", "19.03", "24.0", ""),
    ("allow-nondistributable-artifacts", "28.0", "28.1", ""),
)
"""Keys that went: deprecated in, gone in, and what does the same now."""

MEMBERS = {
    "proxies": ("http-proxy", "https-proxy", "no-proxy"),
    "nri-opts": ("enable", "plugin-path", "plugin-config-path", "socket-path"),
}
"""The members of the two objects that take no others."""

OTHER_FLAGS = (
    ("allow-nondistributable-artifacts", (17, 6), (29,)),
    ("default-ulimit", (1, 6), None),
    ("deprecated-key-path", (17, 6), (19, 3)),
    ("feature", (27, 3), None),
    ("node-generic-resource", (17, 12), None),
)
"""Flags that came or went at another release than their key."""
