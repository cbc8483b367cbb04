"""What may stand in daemon.json, by release: data that `daemonjson` reads the file with.

Read from the flags and the JSON tags of every release of moby/moby from 17.06 to 29.7 (`cmd/dockerd`,
`daemon/config`; since 29.0 `daemon/command`). A release is a tuple without trailing zeros: (23,) is 23.0.0.
"""

from __future__ import annotations

Release = tuple[int, ...]

NEWEST = "29.7.2"
"""The newest release that the tables know; a later one is judged as this one."""


# Plain tuples: a class for 88 rows would cost a millisecond at every start.
KEYS: tuple[
    tuple[str, tuple[tuple[Release, str], ...], Release | None, str, tuple[tuple[Release, object], ...]], ...
] = (
    ("allow-direct-routing", (((28, 2), "bool"),), None, "allow-direct-routing", (((28, 2), False),)),
    (
        "allow-nondistributable-artifacts",
        (
            ((17, 6), "strs"),
            ((28, 1), "any"),
        ),
        None,
        "allow-nondistributable-artifacts",
        (),
    ),
    ("api-cors-header", (((1, 12), "str"),), (29,), "api-cors-header", ()),
    ("api-enable-cors", (((1, 10), "bool"),), (17, 9), "api-enable-cors", (((1, 10), False),)),
    ("authorization-plugins", (((1, 10), "strs"),), None, "authorization-plugin", ()),
    ("bip", (((1, 10), "str"),), None, "bip", ()),
    ("bip6", (((28,), "str"),), None, "bip6", ()),
    ("bridge", (((1, 10), "str"),), None, "bridge", ()),
    ("bridge-accept-fwmark", (((29,), "str"),), None, "bridge-accept-fwmark", ()),
    ("builder", (((18, 9), "builder"),), None, "", ()),
    ("cdi-spec-dirs", (((25,), "strs"),), None, "cdi-spec-dir", ()),
    ("cgroup-parent", (((1, 10), "str"),), None, "cgroup-parent", ()),
    ("cluster-advertise", (((1, 10), "str"),), (24,), "cluster-advertise", ()),
    ("cluster-store", (((1, 10), "str"),), (24,), "cluster-store", ()),
    ("cluster-store-opts", (((1, 10), "strmap"),), (24,), "cluster-store-opt", ()),
    ("containerd", (((1, 11), "str"),), None, "containerd", ()),
    ("containerd-namespace", (((19, 3, 3), "str"),), None, "containerd-namespace", (((19, 3, 3), "moby"),)),
    ("cpu-rt-period", (((1, 13), "int"),), None, "cpu-rt-period", ()),
    ("cpu-rt-runtime", (((1, 13), "int"),), None, "cpu-rt-runtime", ()),
    ("cri-containerd", (((18, 9), "bool"),), None, "cri-containerd", (((18, 9), False),)),
    ("data-root", (((17, 5), "str"),), None, "data-root", (((17, 5), "/var/lib/docker"),)),
    ("debug", (((1, 10), "bool"),), None, "debug", (((1, 10), False),)),
    ("default-address-pools", (((18, 6), "pools"),), None, "default-address-pool", ()),
    ("default-cgroupns-mode", (((20, 10), "str"),), None, "default-cgroupns-mode", ()),
    ("default-gateway", (((1, 10), "ip"),), None, "default-gateway", ()),
    ("default-gateway-v6", (((1, 10), "ip"),), None, "default-gateway-v6", ()),
    (
        "default-ipc-mode",
        (((17, 9), "str"),),
        None,
        "default-ipc-mode",
        (((17, 9), "shareable"), ((19, 3), "private")),
    ),
    ("default-network-opts", (((24,), "strmaps"),), None, "default-network-opt", ()),
    ("default-runtime", (((1, 12), "str"),), None, "default-runtime", (((1, 12), "runc"),)),
    ("default-shm-size", (((17, 6), "size"),), None, "default-shm-size", (((17, 6), 67108864),)),
    ("default-stop-timeout", (((29, 7), "int"),), None, "default-stop-timeout", (((29, 7), 10),)),
    ("default-ulimits", (((17, 7), "ulimits"),), None, "default-ulimit", ()),
    (
        "deprecated-key-path",
        (
            ((17, 6), "str"),
            ((24,), "any"),
        ),
        None,
        "deprecated-key-path",
        (),
    ),
    (
        "disable-legacy-registry",
        (((1, 11), "bool"),),
        (19, 3),
        "disable-legacy-registry",
        (((1, 11), True),),
    ),
    (
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
    ("dns-opts", (((1, 10), "strs"),), None, "dns-opt", ()),
    ("dns-search", (((1, 10), "strs"),), None, "dns-search", ()),
    ("exec-opts", (((1, 10), "strs"),), None, "exec-opt", ()),
    ("exec-root", (((1, 10), "str"),), None, "exec-root", (((1, 10), "/var/run/docker"),)),
    ("experimental", (((1, 13), "bool"),), None, "experimental", (((1, 13), False),)),
    ("features", (((18, 9), "bools"),), None, "feature", ()),
    ("firewall-backend", (((29,), "str"),), None, "firewall-backend", ()),
    ("fixed-cidr", (((1, 10), "str"),), None, "fixed-cidr", ()),
    ("fixed-cidr-v6", (((1, 10), "str"),), None, "fixed-cidr-v6", ()),
    ("graph", (((1, 10), "str"),), (24,), "graph", ()),
    ("group", (((1, 10), "str"),), None, "group", (((1, 10), "docker"),)),
    ("host-gateway-ip", (((20, 10), "ip"),), None, "host-gateway-ip", ()),
    ("host-gateway-ips", (((28,), "addrs"),), None, "host-gateway-ip", ()),
    ("hosts", (((1, 10), "strs"),), None, "host", ()),
    ("icc", (((1, 10), "bool"),), None, "icc", (((1, 10), True),)),
    ("init", (((1, 13), "bool"),), None, "init", (((1, 13), False),)),
    ("init-path", (((1, 13), "str"),), None, "init-path", ()),
    ("insecure-registries", (((1, 11), "strs"),), None, "insecure-registry", ()),
    ("ip", (((1, 10), "ip"),), None, "ip", ()),
    ("ip-forward", (((1, 10), "bool"),), None, "ip-forward", (((1, 10), True),)),
    ("ip-forward-no-drop", (((28,), "bool"),), None, "ip-forward-no-drop", (((28,), False),)),
    ("ip-masq", (((1, 12), "bool"),), None, "ip-masq", (((1, 12), True),)),
    ("ip6tables", (((20, 10), "bool"),), None, "ip6tables", (((20, 10), False), ((27,), True))),
    ("iptables", (((1, 10), "bool"),), None, "iptables", (((1, 10), True),)),
    ("ipv6", (((1, 10), "bool"),), None, "ipv6", (((1, 10), False),)),
    ("labels", (((1, 10), "strs"),), None, "label", ()),
    ("live-restore", (((1, 12), "bool"),), None, "live-restore", (((1, 12), False),)),
    ("log-driver", (((1, 10), "str"),), None, "log-driver", (((1, 10), "json-file"),)),
    ("log-format", (((25,), "str"),), None, "log-format", (((25,), "text"),)),
    ("log-level", (((1, 10), "str"),), None, "log-level", (((1, 10), "info"),)),
    ("log-opts", (((1, 10), "strmap"),), None, "log-opt", ()),
    ("max-concurrent-downloads", (((1, 12), "int"),), None, "max-concurrent-downloads", (((1, 12), 3),)),
    ("max-concurrent-uploads", (((1, 12), "int"),), None, "max-concurrent-uploads", (((1, 12), 5),)),
    ("max-download-attempts", (((20, 10), "int"),), None, "max-download-attempts", (((20, 10), 5),)),
    ("metrics-addr", (((1, 13), "str"),), None, "metrics-addr", ()),
    ("min-api-version", (((29,), "str"),), None, "", (((29,), "1.44"), ((29, 3), "1.40"))),
    ("mtu", (((1, 10), "int"),), None, "mtu", (((1, 10), 0), ((23,), 1500))),
    (
        "network-control-plane-mtu",
        (((17, 9), "int"),),
        None,
        "network-control-plane-mtu",
        (((17, 9), 1500),),
    ),
    ("network-diagnostic-port", (((17, 12), "int"),), None, "network-diagnostic-port", ()),
    ("no-new-privileges", (((17, 6), "bool"),), None, "no-new-privileges", (((17, 6), False),)),
    (
        "node-generic-resources",
        (
            ((17, 9), "str"),
            ((17, 12), "strs"),
        ),
        None,
        "node-generic-resource",
        (),
    ),
    ("nri-opts", (((29, 2), "nri"),), None, "nri-opts", ()),
    ("oom-score-adjust", (((1, 12), "int"),), (26,), "oom-score-adjust", (((1, 12), -500), ((20, 10), 0))),
    ("pidfile", (((1, 10), "str"),), None, "pidfile", (((1, 10), "/var/run/docker.pid"),)),
    ("proxies", (((23,), "proxies"),), None, "", ()),
    ("raw-logs", (((1, 11), "bool"),), None, "raw-logs", (((1, 11), False),)),
    ("registry-mirrors", (((1, 11), "strs"),), None, "registry-mirror", ()),
    ("rootless", (((19, 3), "bool"),), None, "rootless", (((19, 3), False),)),
    ("runtimes", (((1, 12), "runtimes"),), None, "add-runtime", ()),
    ("seccomp-profile", (((1, 13), "str"),), None, "seccomp-profile", (((1, 13), ""), ((23,), "builtin"))),
    ("selinux-enabled", (((1, 10), "bool"),), None, "selinux-enabled", (((1, 10), False),)),
    ("shutdown-timeout", (((1, 13), "int"),), None, "shutdown-timeout", (((1, 13), 15),)),
    ("storage-driver", (((1, 10), "str"),), None, "storage-driver", ()),
    ("storage-opts", (((1, 10), "strs"),), None, "storage-opt", ()),
    ("swarm-default-advertise-addr", (((1, 12), "str"),), None, "swarm-default-advertise-addr", ()),
    ("tls", (((1, 10), "bool"),), None, "tls", (((1, 10), False),)),
    ("tlscacert", (((1, 10), "str"),), None, "tlscacert", ()),
    ("tlscert", (((1, 10), "str"),), None, "tlscert", ()),
    ("tlskey", (((1, 10), "str"),), None, "tlskey", ()),
    ("tlsverify", (((1, 10), "bool"),), None, "tlsverify", (((1, 10), False),)),
    ("userland-proxy", (((1, 10), "bool"),), None, "userland-proxy", (((1, 10), True),)),
    ("userland-proxy-path", (((1, 13), "str"),), None, "userland-proxy-path", ()),
    ("userns-remap", (((1, 10), "str"),), None, "userns-remap", ()),
)
"""The keys, each with

- what its value must be, from which release on; the first is the release that brought the key;
- the release that no longer knows it;
- the flag of dockerd that sets the same; empty if none does;
- what counts where nobody sets it, from which release on.
"""

NEVER: tuple[tuple[str, Release, str], ...] = (
    ("containerd-plugin-namespace", (19, 3, 3), "str"),
    ("default-init", (17, 4), "str"),
    ("resolv-conf", (18, 9), "str"),
    ("swarm-raft-election-tick", (18, 4), "int"),
    ("swarm-raft-heartbeat-tick", (18, 4), "int"),
)
"""Fields of the configuration that no release lets a file set: no flag has their name."""

IGNORED: tuple[tuple[str, Release, Release | None, str], ...] = (
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

FLAT: tuple[tuple[str, Release], ...] = (
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

POINTERS: tuple[tuple[str, Release, Release | None], ...] = (
    ("max-concurrent-downloads", (1, 12), (23,)),
    ("max-concurrent-uploads", (1, 12), (23,)),
    ("max-download-attempts", (20, 10), (23,)),
    ("tls", (20, 10), None),
    ("tlsverify", (20, 10), None),
)
"""Keys whose fields are pointers, from and until which release: null takes back what stood there before."""

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

OTHER_FLAGS: tuple[tuple[str, Release, Release | None], ...] = (
    ("allow-nondistributable-artifacts", (17, 6), (29,)),
    ("default-ulimit", (1, 6), None),
    ("deprecated-key-path", (17, 6), (19, 3)),
    ("feature", (27, 3), None),
    ("node-generic-resource", (17, 12), None),
)
"""Flags that came or went at another release than their key."""
