"""What can be wrong with a Debian host, one thing at a time, and how far the engines then come."""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection
from typing import Any, NamedTuple

SUITES = ("bookworm", "trixie", "sid")
"""The releases of Debian whose engines judge: Docker 20.10, 26.1 and 28.5."""
DAEMON = "/etc/docker/daemon.json"
CONTAINERD = "/etc/containerd/config.toml"
DATA = "{root}/var/lib/docker"


class Fault(NamedTuple):
    """One thing laid down on a healthy host."""

    name: str
    laid: dict[str, Any]
    """See inside.py."""
    check: str = ""
    """The check that must say so of Debian 12, if its engine fails; empty: any."""
    chosen: bool = False
    """The configuration asks for just this, so that hostcheck has nothing to block."""
    now: bool = False
    """It says nothing of the next boot: there is no systemd here, and there will be."""

    @property
    def live(self) -> bool:
        """Whether the running host shows the fault: limits of a service are systemd's, which does not run here."""
        return not {"limits", "group"} & set(self.laid)

    @property
    def at_rest(self) -> bool:
        """Whether the fault lies in files of the root, so that its tree alone foretells it."""
        mounts = any(argv[0] in ("mount", "umount") for argv in self.laid.get("commands", []))
        volatile = any(path.startswith("/run/") for path in self.laid.get("files", {}))
        return not self.now and not mounts and not volatile and "around" not in self.laid


def files(texts: dict[str, str]) -> dict[str, Any]:
    """Return files of these texts."""
    return {"files": texts}


def daemon(text: str) -> dict[str, Any]:
    """Return a daemon.json of this text."""
    return {"files": {DAEMON: text}}


def keys(**values: object) -> dict[str, Any]:
    """Return a daemon.json of these keys."""
    return daemon(json.dumps({key.replace("_", "-"): value for key, value in values.items()}))


def containerd(text: str) -> dict[str, Any]:
    """Return a configuration of containerd."""
    return {"files": {CONTAINERD: text}}


def limits(**values: object) -> dict[str, Any]:
    """Return a daemon.json with one limit of containers."""
    return keys(default_ulimits={"x": values})


def command(*argv: str) -> dict[str, Any]:
    """Return a command to run in the root."""
    return {"commands": [list(argv)]}


def around(*commands: str) -> dict[str, Any]:
    """Return commands to run around the root, with this machine's programs."""
    return {"around": [shlex.split(line) for line in commands]}


def now(*commands: str) -> dict[str, Any]:
    """Return commands of the root that change what the next boot forgets."""
    return around(*(f"chroot {{root}} {line}" for line in commands))


def removed(*paths: str) -> dict[str, Any]:
    """Return files to remove."""
    return {"remove": list(paths)}


def disk(mkfs: str) -> dict[str, Any]:
    """Return a file system of its own under /var/lib/docker, in a sparse file."""
    file = "{root}/run/disk"
    return around(f"truncate -s 30G {file}", f"{mkfs} {file}", f"mount -o loop {file} {DATA}")


def limited(name: str, value: int) -> dict[str, Any]:
    """Return units of the engines with this limit, and the limit."""
    return both(service(f"Limit{name}={value}", *ENGINES), {"limits": {f"RLIMIT_{name}": value}})


def service(text: str, *names: str) -> dict[str, Any]:
    """Return a drop-in of this text for the units of these services."""
    return files(
        {f"/etc/systemd/system/{name}.service.d/fault.conf": f"[Service]\n{text}\n" for name in names}
    )


def flags(*words: str) -> dict[str, Any]:
    """Return these flags of dockerd, and a drop-in with them."""
    line = f"ExecStart=\nExecStart=/usr/sbin/dockerd -H fd:// {' '.join(words)}"
    return {**service(line, "docker"), "flags": list(words)}


def flagged(words: str) -> dict[str, Any]:
    """Return flags of dockerd in the file where Debian's unit reads them."""
    return both(files({"/etc/default/docker": f'DOCKER_OPTS="{words}"\n'}), {"flags": words.split()})


def on_socket(**values: object) -> dict[str, Any]:
    """Return a daemon.json of these keys, beside a unit in which dockerd makes its socket itself."""
    return both(
        keys(**values),
        service("ExecStart=\nExecStart=/usr/sbin/dockerd -H unix:///run/docker.sock", "docker"),
    )


def seccomp(profile: str) -> dict[str, Any]:
    """Return a seccomp profile of this text, and a daemon.json that names it."""
    path = "/etc/docker/profile.json"
    return both(keys(seccomp_profile=path), files({path: profile}))


def both(*parts: dict[str, Any]) -> dict[str, Any]:
    """Return all that the parts lay down."""
    laid: dict[str, Any] = {}
    for part in parts:
        for key, value in part.items():
            if isinstance(value, dict):
                value = {**laid.get(key, {}), **value}
            elif isinstance(value, list):
                value = laid.get(key, []) + value
            laid[key] = value
    return laid


def shell(line: str) -> dict[str, Any]:
    """Return a line for the shell of the root."""
    return command("sh", "-c", line)


def script(path: str, text: str) -> dict[str, Any]:
    """Return a script in the place of a program."""
    return shell(f"rm {path} && printf '%s\\n' '{text}' > {path} && chmod +x {path}")


ENGINES = ("docker", "containerd")
LIBRARIES = "/usr/lib/x86_64-linux-gnu"
NO_IPTABLES = command("rm", "-f", "/usr/sbin/iptables")
VPN = ("ip link add vpn type veth peer name far", "ip link set vpn up")
LEGACY = command("update-alternatives", "--set", "iptables", "/usr/sbin/iptables-legacy")
CGROUP = "{root}/sys/fs/cgroup"
PURE_V2 = (f"umount -l -R {CGROUP}", f"mount -t cgroup2 cgroup2 {CGROUP}")
NO_USER_NAMESPACES = {
    **around(
        "sh -c 'echo 0 > {root}/run/zero'",
        "mount --bind {root}/run/zero {root}/proc/sys/user/max_user_namespaces",
    ),
    "no_user_namespaces": True,
}

SECTIONS: dict[str, tuple[Fault, ...]] = {
    "Nothing": (
        Fault("control", {}),
    ),
    "The text of daemon.json": (
        Fault("empty object", daemon("{}")),
        Fault("syntax", daemon('{"debug": true,}'), "docker.daemon_json"),
        Fault("unknown key", keys(debugg=True), "docker.daemon_json"),
        Fault("wrong type", keys(debug="yes"), "docker.daemon_json"),
        Fault("number for a string", keys(log_opts={"max-file": 3}), "docker.daemon_json"),
        Fault("bad label", keys(labels=["nokey"]), "docker.daemon_json"),
        Fault("bad dns", keys(dns=["not-an-ip"]), "docker.daemon_json"),
        Fault("bad size", keys(default_shm_size="64Q"), "docker.daemon_json"),
        Fault("negative downloads", keys(max_concurrent_downloads=-1), "docker.daemon_json"),
        Fault("bad generic resource", keys(node_generic_resources=["a"]), "docker.daemon_json"),
        Fault("null", daemon("null")),
        Fault("comment behind", daemon('{"debug": false} // fine up to 20.10')),
        Fault("duplicate key", daemon('{"mtu": 1400, "mtu": 1500}')),
        Fault("hosts in file and flag", keys(hosts=["unix:///run/docker.sock"]), "docker.flag_conflict"),
        Fault("containerd in file and flag", keys(containerd="/run/other"), "docker.flag_conflict"),
        Fault("empty file", daemon("")),
        Fault("byte order mark", daemon("\ufeff{}")),
        Fault("a list", daemon("[]")),
        Fault("two objects", daemon("{} {}")),
        Fault("single quotes", daemon("{'debug': true}")),
        Fault("unquoted key", daemon("{debug: true}")),
        Fault("key in other letters", daemon('{"Debug": true}')),
        Fault("quotes of a word processor", daemon("{\u201cdebug\u201d: true}")),
        Fault("options in one string", keys(log_opts="max-size=10m")),
        Fault("a string for a list", keys(dns="192.0.2.1")),
        Fault("a string for a number", keys(mtu="1400")),
        Fault("null switch", keys(live_restore=None)),
        Fault("one label twice", keys(labels=["a=1", "a=2"])),
        Fault("daemon.json a folder", command("mkdir", DAEMON), "docker.daemon_json"),
        Fault("daemon.json a dangling link", command("ln", "-s", "/none", DAEMON)),
        Fault("daemon.json a link to /dev/null", command("ln", "-s", "/dev/null", DAEMON)),
        Fault("/etc/docker a file", command("sh", "-c", "rm -r /etc/docker; touch /etc/docker"), "state.folders"),
        Fault("removed key graph", keys(graph="/var/lib/docker")),
        Fault("removed key cluster-store", keys(cluster_store="consul://192.0.2.1")),
        Fault("removed key disable-legacy-registry", keys(disable_legacy_registry=True)),
        Fault("removed key deprecated-key-path", keys(deprecated_key_path="/etc/docker/key.json")),
        Fault("key of a later release: min-api-version", keys(min_api_version="1.24")),
        Fault("key of a later release: ip-forward-no-drop", keys(ip_forward_no_drop=True)),
        Fault("key of a later release: firewall-backend", keys(firewall_backend="iptables")),
        Fault("key of a later release: proxies", keys(proxies={"http-proxy": "http://192.0.2.1:3128"})),
        Fault("key of a later release: default-network-opts",
              keys(default_network_opts={"bridge": {"com.docker.network.driver.mtu": "1400"}})),
    ),
    "What daemon.json asks for": (
        Fault("mirror with a path", keys(registry_mirrors=["http://mirror.invalid/a/b"]), "docker.start_rules"),
        Fault("mirror without a scheme", keys(registry_mirrors=["mirror.invalid"]), "docker.start_rules"),
        Fault("bad insecure registry", keys(insecure_registries=["http://x y"]), "docker.start_rules"),
        Fault("bad cgroup driver", keys(exec_opts=["native.cgroupdriver=nonsense"]), "docker.start_rules"),
        Fault("systemd driver without systemd", keys(exec_opts=["native.cgroupdriver=systemd"]), now=True),
        Fault("bad log option", keys(log_opts={"multiline": "true", "firstline": "x"}), "docker.start_rules"),
        Fault("bad max-size", keys(log_opts={"max-size": "ten"}), "daemon.log_rotation"),
        Fault("no logs", keys(log_driver="none")),
        Fault("unknown log driver", keys(log_driver="jsonfile"), "logging.driver"),
        Fault("logs to a journal that is not there", keys(log_driver="journald"), "logging.endpoint", now=True),
        Fault("logs to a syslog that is not there", keys(log_driver="syslog"), "logging.endpoint", now=True),
        Fault("logs to a fluentd that is not there", keys(log_driver="fluentd"), "logging.endpoint", now=True),
        Fault("bad address pools", keys(default_address_pools=[{"base": "10.0.0.0/8", "size": 4}])),
        Fault("bad bip", keys(bip="172.17.0.300/16"), "docker.start_rules"),
        Fault("bip and bridge", keys(bip="172.18.0.1/16", bridge="br0"), "docker.start_rules"),
        Fault("IPv6 without addresses", keys(ipv6=True), "docker.start_rules"),
        Fault("IPv6 with addresses", keys(ipv6=True, fixed_cidr_v6="fd00:1::/64")),
        Fault("a bridge that is not there", keys(bridge="br-none"), "interfaces.bridge", now=True),
        Fault("no bridge", keys(bridge="none"), chosen=True),
        Fault("no masquerading", keys(ip_masq=False), chosen=True),
        Fault("no iptables rules", keys(iptables=False), chosen=True),
        Fault("no forwarding", keys(ip_forward=False), "network.ip_forward"),
        Fault("no proxy", keys(userland_proxy=False)),
        Fault("huge mtu", keys(mtu=100000), "defaults.mtu"),
        Fault("runtime not there", keys(default_runtime="kata"), "docker.daemon_json"),
        Fault("runtime's file not there", keys(runtimes={"x": {"path": "/none"}}, default_runtime="x")),
        Fault("another runtime's file not there", keys(runtimes={"x": {"path": "/none"}})),
        Fault("init not there", keys(init=True, init_path="/none"), "defaults.init"),
        Fault("seccomp profile not there", keys(seccomp_profile="/etc/docker/none.json")),
        Fault("tls files not there", keys(tlsverify=True, tlscert="/none")),
        Fault("tls files no certificates", both(keys(tls=True, tlscert="/etc/docker/c", tlskey="/etc/docker/k"),
              files({"/etc/docker/c": "x", "/etc/docker/k": "x"}))),
        Fault("remap to a user not there", keys(userns_remap="nobody-here")),
        Fault("remap to the default user", keys(userns_remap="default")),
        Fault("group not there", on_socket(group="nobodies"), "daemon.group"),
        Fault("bad metrics address", keys(metrics_addr="127.0.0.1:999999"), "docker.start_rules"),
        Fault("bad oom score", keys(oom_score_adjust=-2000), "docker.start_rules"),
        Fault("soft limit above hard", limits(Name="nofile", Hard=9, Soft=20), "defaults.ulimits"),
        Fault("data-root is a file", keys(data_root="/etc/passwd"), "daemon.data_root"),
        Fault("exec-root relative", keys(exec_root="exec"), "startup.exec_root"),
        Fault("exec-root a dangling link", both(keys(exec_root="/opt/x"), command("ln", "-s", "/mnt/none", "/opt/x")),
              "startup.exec_root", now=True),
        Fault("remap below a closed folder", both(keys(userns_remap="default", data_root="/srv/a/docker"),
              command("mkdir", "-m", "700", "/srv/a")), "startup.remapped_root"),
        Fault("remap below a folder to pass", both(keys(userns_remap="default", data_root="/srv/a/docker"),
              command("mkdir", "-m", "711", "/srv/a"))),
        Fault("exec-root below a file", keys(exec_root="/etc/passwd/x"), "docker.start_rules"),
        Fault("unknown log level", keys(log_level="chatty")),
        Fault("gelf without an address", keys(log_driver="gelf"), "logging.driver"),
        Fault("splunk without a token", keys(log_driver="splunk"), "logging.driver"),
        Fault("no log file", keys(log_opts={"max-size": "1m", "max-file": "0"})),
        Fault("option of another log driver", keys(log_driver="local", log_opts={"syslog-address": "udp://192.0.2.1"})),
        Fault("log mode unknown", keys(log_opts={"mode": "sometimes"})),
        Fault("published to an address of another machine", keys(ip="203.0.113.9"),
              "interfaces.publish_address", now=True),
        Fault("published to a name", keys(ip="localhost")),
        Fault("published to loopback", keys(ip="127.0.0.1"), chosen=True),
        Fault("bip the network's own address", keys(bip="172.18.0.0/24"), "docker.start_rules"),
        Fault("bip of the machine's own network", keys(bip="198.51.100.77/24"), now=True),
        Fault("fixed-cidr outside of bip", keys(bip="172.18.0.1/16", fixed_cidr="10.9.0.0/24")),
        Fault("gateway outside of the network", keys(default_gateway="10.99.0.1"), "docker.start_rules"),
        Fault("gateway the bridge itself", keys(default_gateway="172.18.0.1", bip="172.18.0.1/24"),
              "docker.start_rules"),
        Fault("overlapping address pools", keys(default_address_pools=[{"base": "10.0.0.0/16", "size": 24},
              {"base": "10.0.0.0/16", "size": 24}])),
        Fault("containers do not see each other", keys(icc=False)),
        Fault("IPv6 rules", keys(ip6tables=True, experimental=True)),
        Fault("authorization plugin not there", keys(authorization_plugins=["guard"]),
              "server.authorization", now=True),
        Fault("a runtime named runc", keys(runtimes={"runc": {"path": "/usr/sbin/runc"}})),
        Fault("runtime's file not executable", both(keys(runtimes={"x": {"path": "/opt/rt"}}, default_runtime="x"),
              files({"/opt/rt": "#!/bin/sh\n"}))),
        Fault("runtime with a wrong flag", keys(runtimes={"x": {"path": "runc", "runtimeArgs": ["--no-such"]}},
              default_runtime="x")),
        Fault("seccomp profile broken", seccomp("{"), "defaults.seccomp"),
        Fault("seccomp profile unconfined", keys(seccomp_profile="unconfined")),
        Fault("SELinux asked for", keys(selinux_enabled=True)),
        Fault("limit without a name", limits(Hard=64, Soft=64), "defaults.ulimits"),
        Fault("unknown limit", limits(Name="nofiles", Hard=9, Soft=9), "defaults.ulimits"),
        Fault("unknown cgroup namespace mode", keys(default_cgroupns_mode="public")),
        Fault("unknown ipc mode", keys(default_ipc_mode="host")),
        Fault("unknown exec option", keys(exec_opts=["native.umask=normal"])),
        Fault("pid file in a folder not there", keys(pidfile="/none/docker.pid")),
        Fault("data-root relative", keys(data_root="docker-data"), "daemon.data_root"),
        Fault("unknown feature", keys(features={"no-such": True})),
        Fault("containerd's image store", keys(features={"containerd-snapshotter": True})),
        Fault("containerd's image store, its root noexec", both(keys(features={"containerd-snapshotter": True}),
              around("mount -o remount,noexec {root}/var/lib/containerd"))),
        Fault("remap to a user without ids", keys(userns_remap="nobody")),
        Fault("remap without user namespaces", both(keys(userns_remap="default"), NO_USER_NAMESPACES)),
        Fault("proxy without a scheme", keys(proxies={"https-proxy": "proxy.invalid:3128"})),
        Fault("init wanted, docker-init not there", both(keys(init=True), removed("/usr/bin/docker-init"))),
        Fault("docker-proxy not there and not wanted", both(keys(userland_proxy=False),
              removed("/usr/sbin/docker-proxy"))),
        Fault("docker-proxy's path not there", keys(userland_proxy_path="/none")),
        Fault("options of the log cache", keys(log_opts={"cache-disabled": "true"})),
        Fault("logs to a syslog over UDP", keys(log_driver="syslog", log_opts={"syslog-address": "udp://127.0.0.1:514"})),
        Fault("logs to a syslog socket not there", keys(log_driver="syslog",
              log_opts={"syslog-address": "unix:///none"}), "docker.start_rules"),
        Fault("bad syslog facility", keys(log_driver="syslog", log_opts={"syslog-facility": "x"}),
              "docker.start_rules"),
        Fault("logs to a fluentd later", keys(log_driver="fluentd", log_opts={"fluentd-async": "true"})),
        Fault("bad fluentd switch", keys(log_driver="fluentd", log_opts={"fluentd-async": "yes"}),
              "docker.start_rules"),
        Fault("logs to a gelf that is not there", keys(log_driver="gelf",
              log_opts={"gelf-address": "tcp://127.0.0.1:99"}), "logging.endpoint", now=True),
        Fault("gelf without a port", keys(log_driver="gelf", log_opts={"gelf-address": "udp://127.0.0.1"}),
              "docker.start_rules"),
        Fault("awslogs without a group", keys(log_driver="awslogs"), "logging.driver"),
        Fault("pools of two addresses", keys(default_address_pools=[{"base": "10.99.0.0/24", "size": 31}])),
        Fault("pools of one address", keys(default_address_pools=[{"base": "10.99.0.0/24", "size": 32}])),
        Fault("pools of IPv6 only", keys(default_address_pools=[{"base": "fd00::/48", "size": 64}])),
        Fault("pools of four addresses", keys(default_address_pools=[{"base": "10.99.0.0/24", "size": 30}])),
        Fault("bip the broadcast address", keys(bip="172.18.0.255/24"), "docker.start_rules"),
        Fault("bip of two addresses", keys(bip="172.18.0.1/31"), "docker.start_rules"),
        Fault("gateway not there", keys(default_gateway="172.17.0.9"), chosen=True),
        Fault("metrics on another machine", keys(metrics_addr="203.0.113.9:9323"), "server.listen", now=True),
        Fault("largest mtu", keys(mtu=65535)),
        Fault("mtu too small", keys(mtu=67), "defaults.mtu"),
        Fault("smallest mtu", keys(mtu=68)),
        Fault("negative mtu", keys(mtu=-1), "docker.start_rules"),
        Fault("mtu too small for IPv6", keys(mtu=1279, ipv6=True, fixed_cidr_v6="fd00:1::/64"), "defaults.mtu"),
        Fault("init not executable", keys(init=True, init_path="/etc/passwd"), "defaults.init"),
        Fault("init not there and not wanted", keys(init_path="/none")),
        Fault("seccomp profile relative", keys(seccomp_profile="none.json"), "docker.start_rules"),
        Fault("seccomp profile a list", seccomp("[]"), "defaults.seccomp"),
        Fault("seccomp profile empty", seccomp("{}")),
        Fault("seccomp action unknown", seccomp('{"defaultAction": "SCMP_ACT_NONE"}'), "defaults.seccomp"),
        Fault("group a number", on_socket(group="4711")),
        Fault("metrics", keys(metrics_addr="127.0.0.1:9323")),
        Fault("metrics without an address", keys(metrics_addr=":9323"), "docker.start_rules"),
        Fault("lowest oom score", keys(oom_score_adjust=-1000)),
        Fault("soft limit none, hard limit one", limits(Name="memlock", Hard=900, Soft=-1), "defaults.ulimits"),
        Fault("limit in capitals", limits(Name="NOFILE", Hard=9000, Soft=9000)),
        Fault("more files than the kernel allows", limits(Name="nofile", Hard=2000000000, Soft=1024),
              "defaults.ulimits", now=True),
        Fault("pid file a folder", command("mkdir", "/run/docker.pid"), "docker.start_rules", now=True),
        Fault("pid file below a file", keys(pidfile="/etc/passwd/x"), "docker.start_rules"),
        Fault("data-root below a file", keys(data_root="/etc/passwd/x"), "daemon.data_root"),
        Fault("data-root empty", keys(data_root="")),
    ),
    "The flags of dockerd": (
        Fault("unknown flag", flags("--debugg")),
        Fault("removed flag --graph", flags("--graph=/var/lib/docker")),
        Fault("unknown flag in the unit's own file", flagged("--nonsense"), "docker.flag_conflict"),
        Fault("removed flag in the unit's own file", flagged("-g /var/lib/docker")),
        Fault("flag without its value", flags("--log-level")),
        Fault("storage driver in file and flag", both(keys(storage_driver="vfs"), flags("--storage-driver=overlay2"))),
        Fault("labels in file and flag", both(keys(labels=["a=1"]), flags("--label=b=2"))),
        Fault("another file of settings, not there", flags("--config-file=/etc/docker/none.json")),
        Fault("settings in another file", both(files({"/etc/docker.json": '{"debugg": true}'}),
              flags("--config-file=/etc/docker.json"))),
    ),
    "Storage": (
        Fault("driver unknown", keys(storage_driver="overlay3")),
        Fault("driver aufs", keys(storage_driver="aufs")),
        Fault("driver devicemapper", keys(storage_driver="devicemapper"), "storage.driver", now=True),
        Fault("driver btrfs on tmpfs", keys(storage_driver="btrfs")),
        Fault("driver vfs", keys(storage_driver="vfs")),
        Fault("ext4", disk("mkfs.ext4 -q")),
        Fault("ext4 without filetype", disk("mkfs.ext4 -q -O ^filetype")),
        Fault("overlay2 on ext4 without filetype", both(disk("mkfs.ext4 -q -O ^filetype"),
              keys(storage_driver="overlay2")), "filesystem.dtype"),
        Fault("xfs", disk("mkfs.xfs -q")),
        Fault("on overlay", around(f"umount {DATA}")),
        Fault("overlay2 on overlay", both(around(f"umount {DATA}"), keys(storage_driver="overlay2")),
              "filesystem.backing"),
        Fault("data-root noexec", around(f"mount -o remount,noexec {DATA}"), "filesystem.mount_options"),
        Fault("containerd's root noexec", around("mount -o remount,noexec {root}/var/lib/containerd")),
        Fault("data-root read-only", around(f"mount -o remount,ro {DATA}")),
        Fault("data-root full", around(f"mount -t tmpfs -o size=4k tmpfs {DATA}")),
        Fault("data-root nosuid, nodev", around(f"mount -o remount,nosuid,nodev {DATA}")),
        Fault("data-root a dangling link", command("sh", "-c", "umount /var/lib/docker && rmdir /var/lib/docker && "
              "ln -s /mnt/none /var/lib/docker"), "startup.data_root"),
        Fault("network database corrupt", files({"/var/lib/docker/network/files/local-kv.db": "bad" * 5000}),
              "state.network_database"),
        Fault("driver overlay", keys(storage_driver="overlay")),
        Fault("driver zfs", keys(storage_driver="zfs")),
        Fault("driver fuse-overlayfs without its program", keys(storage_driver="fuse-overlayfs")),
        Fault("size limit without quota", keys(storage_driver="overlay2", storage_opts=["overlay2.size=1G"]),
              "storage.quota", now=True),
        Fault("option of another driver", keys(storage_driver="overlay2", storage_opts=["dm.basesize=20G"])),
        Fault("unknown storage option", keys(storage_driver="overlay2", storage_opts=["overlay2.no_such=1"])),
        Fault("kernel check overridden", keys(storage_driver="overlay2",
              storage_opts=["overlay2.override_kernel_check=true"])),
        Fault("images of devicemapper there", files({"/var/lib/docker/devicemapper/metadata/base": "{}"}), now=True),
        Fault("images of aufs there", files({"/var/lib/docker/aufs/diff/a/b": ""})),
        Fault("images of two drivers there", files({"/var/lib/docker/overlay2/a/link": "A",
              "/var/lib/docker/vfs/dir/b/c": ""})),
        Fault("table of images corrupt", files({"/var/lib/docker/image/overlay2/repositories.json": "{garbage"})),
        Fault("a container's settings corrupt", files({"/var/lib/docker/containers/abc/config.v2.json": "{garbage"})),
        Fault("table of volumes corrupt", files({"/var/lib/docker/volumes/metadata.db": "bad" * 5000}),
              "state.databases"),
        Fault("build cache corrupt", files({"/var/lib/docker/buildkit/cache.db": "bad" * 5000}), "state.databases"),
        Fault("build snapshots corrupt", files({"/var/lib/docker/buildkit/snapshots.db": "bad" * 5000}),
              "state.databases"),
        Fault("names of images empty", files({"/var/lib/docker/image/overlay2/repositories.json": ""}),
              "state.image_names"),
        Fault("containerd's database corrupt",
              files({"/var/lib/containerd/io.containerd.metadata.v1.bolt/meta.db": "bad" * 5000}),
              "state.databases"),
        Fault("swarm's state corrupt", files({"/var/lib/docker/swarm/docker-state.json": "{garbage"})),
        Fault("folder of networks a file", files({"/var/lib/docker/network": ""}), "state.folders"),
        Fault("folder of volumes a file", files({"/var/lib/docker/volumes": ""}), "state.folders"),
        Fault("folder of images a file", files({"/var/lib/docker/image": ""}), "state.folders"),
        Fault("folder for temporary files a file", files({"/var/lib/docker/tmp": ""})),
        Fault("folder of runtimes a file", files({"/var/lib/docker/runtimes": ""})),
        Fault("containerd's folder of tasks a file",
              files({"/var/lib/containerd/io.containerd.runtime.v2.task": ""}), "state.folders"),
        Fault("data-root out of inodes", around(f"mount -t tmpfs -o nr_inodes=4 tmpfs {DATA}"), "resources.inodes"),
        Fault("data-root with forty inodes", around(f"mount -t tmpfs -o nr_inodes=40 tmpfs {DATA}"),
              "resources.inodes"),
        Fault("data-root with room for little", around(f"mount -t tmpfs -o size=1m tmpfs {DATA}")),
        Fault("data-root elsewhere, noexec", both(keys(data_root="/srv/docker"), around(
              "mkdir {root}/srv/docker", "mount -t tmpfs -o noexec tmpfs {root}/srv/docker"))),
        Fault("data-root behind a link", both(command("mkdir", "/srv/docker"), around(f"umount {DATA}",
              "mount -t tmpfs tmpfs {root}/srv/docker", f"rmdir {DATA}", f"ln -s /srv/docker {DATA}"))),
        Fault("containerd's root read-only", around("mount -o remount,ro {root}/var/lib/containerd")),
        Fault("containerd's root full", around("mount -t tmpfs -o size=4k tmpfs {root}/var/lib/containerd")),
        Fault("/ read-only", around("mount -o remount,ro {root}")),
        Fault("/run read-only", around("mount -o remount,ro {root}/run")),
    ),
    "Programs": (
        Fault("iptables not there", NO_IPTABLES, "firewall.iptables"),
        Fault("iptables not there and not wanted", {**keys(iptables=False), **NO_IPTABLES}, chosen=True),
        Fault("iptables legacy", LEGACY),
        Fault("iptables broken", command("ln", "-sf", "/bin/false", "/usr/sbin/iptables"), "programs.identity"),
        Fault("runc not there", removed("/usr/sbin/runc")),
        Fault("runc not executable", command("chmod", "-x", "/usr/sbin/runc")),
        Fault("shim not there", removed("/usr/bin/containerd-shim-runc-v2"), "programs.helpers"),
        Fault("docker-proxy not there", removed("/usr/sbin/docker-proxy"), "programs.helpers"),
        Fault("docker-init not there", removed("/usr/bin/docker-init")),
        Fault("containerd not there", removed("/usr/bin/containerd")),
        Fault("containerd's configuration broken", containerd("[a"), "containerd.config"),
        Fault("containerd without cri", containerd('disabled_plugins = ["cri"]\n')),
        Fault("containerd elsewhere", containerd('[grpc]\naddress = "/run/c.sock"\n'),
              "startup.containerd_address"),
        Fault("iptables a dangling link", command("ln", "-sf", "/none", "/usr/sbin/iptables")),
        Fault("ip6tables not there", command("rm", "-f", "/usr/sbin/ip6tables")),
        Fault("modprobe not there", command("rm", "-f", "/usr/sbin/modprobe")),
        Fault("runc empty", command("truncate", "-s", "0", "/usr/sbin/runc")),
        Fault("runc cut short", command("truncate", "-s", "100000", "/usr/sbin/runc")),
        Fault("another runc before it", both(files({"/usr/local/sbin/runc": "#!/bin/false\n"}),
              command("chmod", "+x", "/usr/local/sbin/runc"))),
        Fault("runc of Debian 11", around("cp {bullseye}/usr/sbin/runc {root}/usr/sbin/runc")),
        Fault("runc of Debian 12", around("cp {bookworm}/usr/sbin/runc {root}/usr/sbin/runc")),
        Fault("containerd of Debian 11", around("cp {bullseye}/usr/bin/containerd {root}/usr/bin/",
              "cp {bullseye}/usr/bin/containerd-shim-runc-v2 {root}/usr/bin/")),
        Fault("containerd of Debian 12", around("cp {bookworm}/usr/bin/containerd {root}/usr/bin/",
              "cp {bookworm}/usr/bin/containerd-shim-runc-v2 {root}/usr/bin/")),
        Fault("shim of Debian 11", around("cp {bullseye}/usr/bin/containerd-shim-runc-v2 {root}/usr/bin/")),
        Fault("libseccomp of Debian 11", around(
              "sh -c 'cp {bullseye}/usr/lib/*/libseccomp.so.2 $(ls {root}/usr/lib/*/libseccomp.so.2)'")),
        Fault("libseccomp not there", command("sh", "-c", "rm /usr/lib/*/libseccomp.so.2")),
        Fault("shim not executable", command("chmod", "-x", "/usr/bin/containerd-shim-runc-v2")),
        Fault("docker-proxy not executable", command("chmod", "-x", "/usr/sbin/docker-proxy")),
        Fault("containerd not executable", command("chmod", "-x", "/usr/bin/containerd")),
        Fault("dockerd not executable", command("chmod", "-x", "/usr/sbin/dockerd")),
        Fault("dockerd not there", removed("/usr/sbin/dockerd")),
        Fault("containerd's configuration of version 3", containerd("version = 3\n")),
        Fault("containerd's configuration of version 9", containerd("version = 9\n")),
        Fault("containerd requires a plugin not there", containerd('version = 2\nrequired_plugins = ["io.none"]\n')),
        Fault("containerd's unknown key", containerd("version = 2\nno_such_key = 1\n")),
        Fault("containerd's wrong type", containerd('version = 2\noom_score = "low"\n')),
        Fault("containerd's import not there", containerd('version = 2\nimports = ["/etc/containerd/none.toml"]\n')),
        Fault("containerd's import broken", both(containerd('version = 2\nimports = ["/etc/containerd/more.toml"]\n'),
              files({"/etc/containerd/more.toml": "[a"}))),
        Fault("containerd's tasks disabled", containerd("version = 2\n"
              'disabled_plugins = ["io.containerd.runtime.v2.task"]\n')),
        Fault("containerd's root a file", containerd('version = 2\nroot = "/etc/passwd"\n')),
        Fault("containerd's oom score out of range", containerd("version = 2\noom_score = -2000\n")),
        Fault("iptables a script without its interpreter", script("/usr/sbin/iptables", "#!/none"), "programs.loader"),
        Fault("iptables a script", script("/usr/sbin/iptables", '#!/bin/sh\nexec iptables-nft "$@"')),
        Fault("iptables without extensions", shell(f"rm -r {LIBRARIES}/xtables"), "programs.iptables_extensions"),
        Fault("iptables without conntrack", shell(f"rm {LIBRARIES}/xtables/libxt_conntrack.so"),
              "programs.iptables_extensions"),
        Fault("iptables without its library", shell(f"rm {LIBRARIES}/libxtables.so.12*"), "programs.loader"),
        Fault("runc of no use", command("ln", "-sf", "/bin/true", "/usr/sbin/runc"), "programs.identity"),
        Fault("runc a script without its interpreter", script("/usr/sbin/runc", "#!/none"), "programs.loader"),
        Fault("runc a script", shell("mv /usr/sbin/runc /usr/sbin/runc.real && "
              "printf '#!/bin/sh\nexec runc.real \"$@\"' > /usr/sbin/runc && chmod +x /usr/sbin/runc")),
        Fault("dockerd without its library", shell(f"rm {LIBRARIES}/libsystemd.so.0*"), "programs.loader"),
        Fault("shim of no use", command("ln", "-sf", "/bin/true", "/usr/bin/containerd-shim-runc-v2"),
              "programs.identity"),
        Fault("docker-proxy of no use", command("ln", "-sf", "/bin/true", "/usr/sbin/docker-proxy"),
              "programs.identity"),
    ),
    "The host": (
        Fault("no group docker", command("sed", "-i", "/^docker:/d", "/etc/group"), now=True),
        Fault("key file corrupt", files({"/etc/docker/key.json": "xx"}), "startup.key_file"),
        Fault("/etc read-only", around("mount --bind {root}/etc {root}/etc", "mount -o remount,ro,bind {root}/etc"),
              "startup.key_file"),
        Fault("/run noexec", around("mount -o remount,noexec {root}/run")),
        Fault("64 open files", limited("NOFILE", 64)),
        Fault("no memory controller", around("umount {root}/sys/fs/cgroup/memory")),
        Fault("no devices controller", around("umount {root}/sys/fs/cgroup/devices"), "controllers.available"),
        Fault("no control groups", around("umount -l -R {root}/sys/fs/cgroup"), "cgroup.mode"),
        Fault("docker's usual network taken", around(*VPN, "ip route add 172.17.0.0/16 dev vpn")),
        Fault("every network taken", around(*VPN, "ip route add 172.16.0.0/12 dev vpn",
              "ip route add 192.168.0.0/16 dev vpn"), "addresses.overlap"),
        Fault("10 processes", limited("NPROC", 10)),
        Fault("12 tasks", both(service("TasksMax=12", *ENGINES), {"group": {"pids": 12}})),
        Fault("6 MiB of memory", both(service("MemoryMax=6M", *ENGINES), {"group": {"memory": 6 << 20}})),
        Fault("1 GiB of memory", both(service("MemoryMax=1G", *ENGINES), {"group": {"memory": 1 << 30}})),
        Fault("files of at most 1 MiB", limited("FSIZE", 1 << 20)),
        Fault("address space of 500 MiB", limited("AS", 500 << 20)),
        Fault("1024 open files", limited("NOFILE", 1024)),
        Fault("cgroup v2 without controllers", around(*PURE_V2)),
        Fault("cgroup v2 read-only", around(*PURE_V2, f"mount -o remount,ro,bind {CGROUP}"), "hierarchy.writable"),
        Fault("cgroup v1 read-only", now(
              "sh -c 'for c in /sys/fs/cgroup/*; do mount -o remount,ro,bind $c; done'")),
        Fault("cgroup v1 without controllers", now("sh -c 'umount -l /sys/fs/cgroup/*'")),
        Fault("no pids controller", around(f"umount {CGROUP}/pids")),
        Fault("no freezer controller", around(f"umount {CGROUP}/freezer")),
        Fault("no cpu controller", around(f"umount {CGROUP}/cpu")),
        Fault("no cpuset controller", around(f"umount {CGROUP}/cpuset")),
        Fault("no blkio controller", around(f"umount {CGROUP}/blkio")),
        Fault("no user namespaces", NO_USER_NAMESPACES),
        Fault("process identifier file of a process that runs", files({"/run/docker.pid": "1"}), "server.pid_file"),
        Fault("process identifier file left behind", files({"/run/docker.pid": "99999"})),
        Fault("docker's socket a folder", now("mkdir /run/docker.sock")),
        Fault("containerd's socket a folder", now("mkdir -p /run/containerd/containerd.sock")),
        Fault("/proc/sys read-only", now("mount --bind /proc/sys /proc/sys", "mount -o remount,ro,bind /proc/sys")),
        Fault("/sys read-only", now("mount -o remount,ro,bind /sys")),
        Fault("IPv6 off", now("sysctl -q -w net.ipv6.conf.all.disable_ipv6=1")),
        Fault("IPv6 off and asked for", both(keys(ipv6=True, fixed_cidr_v6="fd00:1::/64"),
              now("sysctl -q -w net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1"))),
        Fault("forwarding off for new interfaces", now("sysctl -q -w net.ipv4.ip_forward=1",
              "sysctl -q -w net.ipv4.conf.default.forwarding=0")),
        Fault("forwarding off and dockerd told not to", both(keys(ip_forward=False),
              now("sysctl -q -w net.ipv4.ip_forward=0"))),
        Fault("forwarding on and dockerd told not to", both(keys(ip_forward=False),
              files({"/etc/sysctl.d/90-forward.conf": "net.ipv4.ip_forward = 1\n"}),
              now("sysctl -q -w net.ipv4.ip_forward=1"))),
        Fault("bridged packets pass by iptables", now("sysctl -q -w net.bridge.bridge-nf-call-iptables=0")),
        Fault("strict reverse path filter", now("sysctl -q -w net.ipv4.conf.all.rp_filter=1")),
        Fault("FORWARD drops in the other iptables", now("iptables-legacy -P FORWARD DROP")),
        Fault("FORWARD drops in this iptables", now("iptables -P FORWARD DROP")),
        Fault("all FORWARD is dropped first", now("iptables -A FORWARD -j DROP")),
        Fault("DOCKER-USER drops all", now("iptables -N DOCKER-USER", "iptables -A DOCKER-USER -j DROP")),
        Fault("iptables legacy, rules of nft drop", both(LEGACY, now("iptables-nft -P FORWARD DROP"))),
        Fault("docker0 no bridge", around("ip link add docker0 type veth peer name other")),
        Fault("docker0 there already", around("ip link add docker0 type bridge",
              "ip addr add 10.77.0.1/24 dev docker0")),
        Fault("docker0 there without an address", around("ip link add docker0 type bridge")),
        Fault("loopback down", around("ip link set lo down")),
        Fault("no resolv.conf", command("rm", "-f", "/etc/resolv.conf")),
        Fault("resolv.conf a dangling link", command("ln", "-sf", "/run/systemd/resolve/stub-resolv.conf",
              "/etc/resolv.conf")),
        Fault("resolv.conf a folder", command("sh", "-c", "rm -f /etc/resolv.conf; mkdir /etc/resolv.conf")),
        Fault("resolv.conf of loopback", files({"/etc/resolv.conf": "nameserver 127.0.0.53\n"})),
        Fault("hosts a folder", command("sh", "-c", "rm -f /etc/hosts; mkdir /etc/hosts")),
        Fault("no users", command("rm", "/etc/passwd")),
        Fault("no group file", command("rm", "/etc/group"), now=True),
        Fault("no host name", command("rm", "-f", "/etc/hostname", "/etc/hosts")),
    ),
}  # fmt: skip
"""By what is wrong."""
FAULTS = tuple(fault for faults in SECTIONS.values() for fault in faults)


class Missed(NamedTuple):
    """Why hostcheck does not foretell what a fault does."""

    reason: str
    suites: tuple[str, ...] = SUITES


MISSED = {
    "daemon.json a link to /dev/null": Missed("what is no regular file counts as no file", ("bookworm",)),
    "bip of the machine's own network": Missed(
        "the bridge's network is not compared with those of the machine's interfaces"
    ),
    "runtime with a wrong flag": Missed("only runc knows its flags"),
    "/ read-only": Missed(
        "that runc needs a /tmp that can be written, for docker exec, is not known", ("trixie", "sid")
    ),
    "/run read-only": Missed("whether /run can be written is not looked at"),
    "another runc before it": Missed(
        "only recommended against; that it fails is not seen without running it"
    ),
    "dockerd not there": Missed("on a running host taken for one before the installation"),
    "containerd's import not there": Missed("the files that are imported are not looked for", ("sid",)),
    "containerd's tasks disabled": Missed("which plugins Docker needs is not known"),
    "containerd's root a file": Missed("at rest the folder is not looked at"),
    "files of at most 1 MiB": Missed("limits of file sizes in units are not looked at"),
    "address space of 500 MiB": Missed("limits of address space in units are not looked at"),
    "docker's socket a folder": Missed("what lies where the socket is to be is not looked at"),
    "containerd's socket a folder": Missed("what lies where the socket is to be is not looked at"),
    "/proc/sys read-only": Missed("whether sysctls can be set is not looked at"),
    "forwarding off for new interfaces": Missed("net.ipv4.conf.default.forwarding is not read"),
    "DOCKER-USER drops all": Missed("the rules of the firewall are not read"),
    "docker0 no bridge": Missed("what kind of interface docker0 is is not looked at"),
    "loopback down": Missed("the state of the loopback interface is not looked at"),
    "resolv.conf a folder": Missed("that dockerd copies it into every container is not known"),
}
"""By the name of the fault. Whoever mends one runs `scripts/proof.py NAME` and takes it off."""


def missed(name: str, suite: str) -> str:
    """Return why hostcheck does not foretell this fault there; empty: it does."""
    found = MISSED.get(name)
    return found.reason if found and suite in found.suites else ""


def compare(fault: Fault, works: bool, live: Collection[str], rest: Collection[str]) -> dict[str, str]:
    """Return how hostcheck's answers, which are what blocks, stand to what the engine did.

    >>> compare(FAULTS[0], True, [], ["x.y"])
    {'live': 'agrees', 'rest': 'false alarm'}
    """
    answers = {"live": live} if fault.live else {}
    if fault.at_rest:
        answers["rest"] = rest
    blocked = not works and not fault.chosen
    wrong = "missed" if blocked else "false alarm"
    return {name: "agrees" if bool(ids) == blocked else wrong for name, ids in answers.items()}
