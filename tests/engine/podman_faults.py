"""What may be wrong with podman's own files and programs: each laid down on a real root, and judged by the real podman.

A fault is the files that it writes (None: removed; a text that ends in / is a folder) on a host that works. Whether it
breaks podman is not written here: podman says.
"""

from __future__ import annotations

import json

ETC = "/etc/containers"
CONF, STORAGE, REGISTRIES, POLICY = (
    f"{ETC}/{name}" for name in ("containers.conf", "storage.conf", "registries.conf", "policy.json")
)
NETAVARK = ("/usr/lib/podman/netavark", "/usr/libexec/podman/netavark")
IPTABLES = tuple(
    f"/usr/sbin/{name}"
    for name in ("iptables", "ip6tables", "iptables-nft", "iptables-legacy", "xtables-nft-multi")
)
Files = dict[str, "str | None"]


def _engine(line: str) -> Files:
    return {CONF: f"[engine]\n{line}\n"}


def _containers(line: str) -> Files:
    return {CONF: f"[containers]\n{line}\n"}


def _network(line: str) -> Files:
    return {CONF: f"[network]\n{line}\n"}


def _storage(*lines: str, driver: str = "overlay", more: str = "") -> Files:
    roots = lines or ('runroot = "/run/containers/storage"', 'graphroot = "/var/lib/containers/storage"')
    return {STORAGE: "\n".join(("[storage]", f'driver = "{driver}"', *roots, more, ""))}


def _policy(policy: object) -> Files:
    return {POLICY: policy if isinstance(policy, str) else json.dumps(policy)}


def _gone(*paths: str) -> Files:
    return dict.fromkeys(paths)


LET = {"type": "insecureAcceptAnything"}

FAULTS: dict[str, Files] = {
    "nothing": {},
    # containers.conf
    "containers.conf no TOML": {CONF: "[["},
    "containers.conf unknown key": _engine("nonsense = 1"),
    "containers.conf wrong type": _engine("runtime = 1"),
    "containers.conf list as text": _containers('dns_servers = "192.0.2.1"'),
    "containers.conf number as text": _containers('pids_limit = "5"'),
    "containers.conf boolean as number": _containers("init = 1"),
    "containers.conf in a drop-in no TOML": {f"{CONF}.d/x.conf": "[["},
    "containers.conf a drop-in of another name": {f"{CONF}.d/x.txt": "[["},
    "containers.conf a drop-in mends": {
        **_engine('runtime = "nope"'),
        f"{CONF}.d/x.conf": '[engine]\nruntime = "runc"\n',
    },
    "runtime unknown": _engine('runtime = "nope"'),
    "runtime by path": _engine('runtime = "/usr/sbin/runc"'),
    "runtime by a wrong path": _engine('runtime = "/opt/runc"'),
    "runtime of the table": _engine('runtime = "mine"\n[engine.runtimes]\nmine = ["/usr/sbin/runc"]'),
    "runtime of the table missing": _engine('runtime = "mine"\n[engine.runtimes]\nmine = ["/opt/runc"]'),
    "cgroup manager unknown": _engine('cgroup_manager = "foo"'),
    "events logger unknown": _engine('events_logger = "foo"'),
    "events logger in capitals": _engine('events_logger = "FILE"'),
    "pull policy unknown": _engine('pull_policy = "foo"'),
    "database unknown": _engine('database_backend = "foo"'),
    "conmon elsewhere first": _engine('conmon_path = ["/opt/conmon"]'),
    "helpers elsewhere": _engine('helper_binaries_dir = ["/opt/podman"]'),
    "folder of copies missing": _engine('image_copy_tmp_dir = "/var/nope"'),
    "log driver unknown": _containers('log_driver = "foo"'),
    "log driver k8s-file": _containers('log_driver = "k8s-file"'),
    "ulimit no number": _containers('default_ulimits = ["nofile=foo"]'),
    "ulimit unknown": _containers('default_ulimits = ["nofle=1024"]'),
    "ulimit good": _containers('default_ulimits = ["nofile=1024:2048", "nproc=1024:2048"]'),
    "seccomp profile missing": _containers('seccomp_profile = "/etc/nope.json"'),
    "seccomp profile off": _containers('seccomp_profile = "unconfined"'),
    "network backend unknown": _network('network_backend = "foo"'),
    "network backend netavark": _network('network_backend = "netavark"'),
    "firewall driver unknown": _network('firewall_driver = "foo"'),
    # storage.conf
    "storage.conf no TOML": {STORAGE: "[["},
    "storage.conf unknown key": _storage(more="nonsense = 1"),
    "storage.conf wrong type": {STORAGE: "[storage]\ndriver = 1\n"},
    "storage.conf without roots": {STORAGE: '[storage]\ndriver = "overlay"\n'},
    "storage.conf good": _storage(),
    "driver empty": _storage(driver=""),
    "driver overlay2": _storage(driver="overlay2"),
    "driver unknown": _storage(driver="foo"),
    "driver devicemapper": _storage(driver="devicemapper"),
    "driver btrfs elsewhere": _storage(driver="btrfs"),
    "driver zfs without its program": _storage(driver="zfs"),
    "driver vfs": _storage(driver="vfs"),
    "mount program missing": _storage(
        more='[storage.options.overlay]\nmount_program = "/usr/bin/fuse-overlayfs"'
    ),
    "mount program missing, of vfs": _storage(
        driver="vfs", more='[storage.options.overlay]\nmount_program = "/usr/bin/fuse-overlayfs"'
    ),
    "image store missing": _storage(more='[storage.options]\nadditionalimagestores = ["/srv/images"]'),
    "image store there": {
        **_storage(more='[storage.options]\nadditionalimagestores = ["/srv/images"]'),
        "/srv/images/": "",
    },
    "overlay option unknown": _storage(more='[storage.options.overlay]\nmountopt = "nodev,nonsense"'),
    "overlay option known": _storage(more='[storage.options.overlay]\nmountopt = "nodev,metacopy=on"'),
    "overlay size": _storage(more='[storage.options.overlay]\nsize = "10g"'),
    # policy.json
    "policy missing": _gone(POLICY),
    "policy no JSON": _policy("{"),
    "policy empty": _policy({}),
    "policy without requirements": _policy({"default": []}),
    "policy of an unknown type": _policy({"default": [{"type": "foo"}]}),
    "policy with an unknown key": _policy({"default": [LET], "x": 1}),
    "policy with a key twice": _policy('{"default": [{"type": "insecureAcceptAnything"}], "default": []}'),
    "policy a folder": {f"{POLICY}/": ""},
    "policy with transports": _policy({"default": [LET], "transports": {"docker": {"": [LET]}}}),
    # registries.conf
    "registries no TOML": {REGISTRIES: "[["},
    "registries of the first format": {REGISTRIES: '[registries.search]\nregistries = ["a.example"]\n'},
    "registries of both formats": {
        REGISTRIES: 'unqualified-search-registries = ["a.example"]\n[registries.search]\nregistries = ["b.example"]\n'
    },
    "registries of the first format in a drop-in": {
        f"{REGISTRIES}.d/x.conf": '[registries.search]\nregistries = ["a.example"]\n'
    },
    "registries in a drop-in no TOML": {f"{REGISTRIES}.d/x.conf": "[["},
    "registry without a place": {REGISTRIES: "[[registry]]\ninsecure = true\n"},
    "registry with a scheme": {REGISTRIES: '[[registry]]\nlocation = "https://a.example"\n'},
    "registry with a port": {REGISTRIES: '[[registry]]\nlocation = "a.example:5000"\ninsecure = true\n'},
    "registry twice, not alike": {
        REGISTRIES: '[[registry]]\nlocation = "a.example"\ninsecure = true\n[[registry]]\nlocation = "a.example"\n'
    },
    "registry twice, alike": {
        REGISTRIES: '[[registry]]\nlocation = "a.example"\n[[registry]]\nlocation = "a.example"\n'
    },
    "registry by a wildcard": {REGISTRIES: '[[registry]]\nprefix = "*.a.example"\n'},
    "registry by a wrong wildcard": {REGISTRIES: '[[registry]]\nprefix = "*.a.example/x"\n'},
    "short names in a way that is not": {REGISTRIES: 'short-name-mode = "foo"\n'},
    "searched registries as text": {REGISTRIES: 'unqualified-search-registries = "a.example"\n'},
    # programs and hooks
    "no conmon": _gone("/usr/bin/conmon"),
    "no runtime": _gone("/usr/sbin/runc", "/usr/bin/runc"),
    "no netavark": _gone(*NETAVARK),
    "no netavark, no plugins": _gone(*NETAVARK, "/usr/lib/cni/bridge", "/usr/lib/cni/portmap"),
    "no aardvark-dns": _gone("/usr/lib/podman/aardvark-dns"),
    "no nft": _gone("/usr/sbin/nft"),
    "no iptables": _gone(*IPTABLES),
    "neither nft nor iptables": _gone("/usr/sbin/nft", *IPTABLES),
    "hook no JSON": {"/usr/share/containers/oci/hooks.d/x.json": "{"},
    "hook without a version": {"/usr/share/containers/oci/hooks.d/x.json": "{}"},
    "hook of another name": {"/usr/share/containers/oci/hooks.d/x.txt": "{"},
}
