"""What can be wrong with a Debian host, one thing at a time, and how far Debian 12's engine then comes."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

DAEMON = "/etc/docker/daemon.json"
DATA = "{root}/var/lib/docker"


class Fault(NamedTuple):
    """One thing laid down on a healthy host."""

    name: str
    laid: dict[str, Any]
    """See inside.py."""
    broken: str = ""
    """The first step that fails with Debian 12's engine; empty: all go well."""
    check: str = ""
    """The check that must say so; empty: any."""
    chosen: bool = False
    """The configuration asks for just this, so that hostcheck has nothing to block."""
    now: bool = False
    """It says nothing of the next boot: there is no systemd here, and there will be."""

    @property
    def at_rest(self) -> bool:
        """Whether the fault lies in files of the root, so that its tree alone foretells it."""
        mounts = any(argv[0] in ("mount", "umount") for argv in self.laid.get("commands", []))
        volatile = any(path.startswith("/run/") for path in self.laid.get("files", {}))
        return not self.now and not mounts and not volatile and "around" not in self.laid


def daemon(text: str) -> dict[str, Any]:
    """Return a daemon.json of this text."""
    return {"files": {DAEMON: text}}


def keys(**values: object) -> dict[str, Any]:
    """Return a daemon.json of these keys."""
    return daemon(json.dumps({key.replace("_", "-"): value for key, value in values.items()}))


def on_socket(**values: object) -> dict[str, Any]:
    """Return a daemon.json of these keys, beside a unit in which dockerd makes its socket itself."""
    unit = "[Service]\nExecStart=\nExecStart=/usr/sbin/dockerd -H unix:///run/docker.sock\n"
    return {"files": {**keys(**values)["files"], "/etc/systemd/system/docker.service.d/socket.conf": unit}}


def limits(**values: object) -> dict[str, Any]:
    """Return a daemon.json with one limit of containers."""
    return keys(default_ulimits={"x": values})


def seccomp(profile: str) -> dict[str, Any]:
    """Return a seccomp profile of this text, and a daemon.json that names it."""
    path = "/etc/docker/profile.json"
    return {"files": {**keys(seccomp_profile=path)["files"], path: profile}}


def flagged(flags: str) -> dict[str, Any]:
    """Return flags of dockerd in the file where Debian's unit reads them."""
    return {"files": {"/etc/default/docker": f'DOCKER_OPTS="{flags}"\n'}, "flags": flags.split()}


def command(*argv: str) -> dict[str, Any]:
    """Return a command to run in the root."""
    return {"commands": [list(argv)]}


def around(*commands: str) -> dict[str, Any]:
    """Return commands to run around the root, with this machine's programs."""
    return {"around": [line.split() for line in commands]}


def removed(*paths: str) -> dict[str, Any]:
    """Return files to remove."""
    return {"remove": list(paths)}


def disk(mkfs: str) -> dict[str, Any]:
    """Return a file system of its own under /var/lib/docker, in a sparse file."""
    file = "{root}/run/disk"
    return around(f"truncate -s 30G {file}", f"{mkfs} {file}", f"mount -o loop {file} {DATA}")


def limit(nofile: int) -> dict[str, Any]:
    """Return units with this limit, and the limit."""
    text = f"[Service]\nLimitNOFILE={nofile}\n"
    units = ("docker", "containerd")
    files = {f"/etc/systemd/system/{unit}.service.d/limits.conf": text for unit in units}
    return {"files": files, "limits": {"RLIMIT_NOFILE": nofile}}


def shell(line: str) -> dict[str, Any]:
    """Return a line for the shell of the root."""
    return command("sh", "-c", line)


def script(path: str, text: str) -> dict[str, Any]:
    """Return a script in the place of a program."""
    return shell(f"rm {path} && printf '%s\\n' '{text}' > {path} && chmod +x {path}")


def left(name: str, text: str = "garbage" * 2000) -> dict[str, Any]:
    """Return a file below the data root."""
    return {"files": {f"/var/lib/docker/{name}": text}}


LIBRARIES = "/usr/lib/x86_64-linux-gnu"
NO_IPTABLES = command("rm", "-f", "/usr/sbin/iptables")
VPN = ("ip link add vpn type veth peer name far", "ip link set vpn up")

FAULTS = (
    Fault("control", {}),
    # daemon.json: its text
    Fault("empty object", daemon("{}")),
    Fault("syntax", daemon('{"debug": true,}'), "started", "docker.daemon_json"),
    Fault("unknown key", keys(debugg=True), "started", "docker.daemon_json"),
    Fault("wrong type", keys(debug="yes"), "started", "docker.daemon_json"),
    Fault("number for a string", keys(log_opts={"max-file": 3}), "started", "docker.daemon_json"),
    Fault("bad label", keys(labels=["nokey"]), "started", "docker.daemon_json"),
    Fault("bad dns", keys(dns=["not-an-ip"]), "started", "docker.daemon_json"),
    Fault("bad size", keys(default_shm_size="64Q"), "started", "docker.daemon_json"),
    Fault("negative downloads", keys(max_concurrent_downloads=-1), "started", "docker.daemon_json"),
    Fault("bad generic resource", keys(node_generic_resources=["a"]), "started", "docker.daemon_json"),
    Fault("a folder", command("mkdir", DAEMON), "started", "docker.daemon_json"),
    Fault("null", daemon("null")),
    Fault("comment behind", daemon('{"debug": false} // fine up to 20.10')),
    Fault("duplicate key", daemon('{"mtu": 1400, "mtu": 1500}')),
    Fault("hosts in file and flag", keys(hosts=["unix:///run/docker.sock"]), "started", "docker.flag_conflict"),
    Fault("containerd in file and flag", keys(containerd="/run/other"), "started", "docker.flag_conflict"),
    Fault("unknown flag", flagged("--nonsense"), "started", "docker.flag_conflict"),
    Fault("flag that was removed", flagged("-g /var/lib/docker")),
    # daemon.json: what it asks for
    Fault("mirror with a path", keys(registry_mirrors=["http://mirror.invalid/a/b"]), "started", "docker.start_rules"),
    Fault("mirror without a scheme", keys(registry_mirrors=["mirror.invalid"]), "started", "docker.start_rules"),
    Fault("bad insecure registry", keys(insecure_registries=["http://x y"]), "started", "docker.start_rules"),
    Fault("bad cgroup driver", keys(exec_opts=["native.cgroupdriver=nonsense"]), "started", "docker.start_rules"),
    Fault("systemd driver without systemd", keys(exec_opts=["native.cgroupdriver=systemd"]), "ran", now=True),
    Fault("bad log option", keys(log_opts={"multiline": "true", "firstline": "x"}), "started", "docker.start_rules"),
    Fault("bad max-size", keys(log_opts={"max-size": "ten"}), "ran", "daemon.log_rotation"),
    Fault("no logs", keys(log_driver="none")),
    Fault("options of the log cache", keys(log_opts={"cache-disabled": "true"})),
    Fault("unknown log driver", keys(log_driver="jsonfile"), "ran", "logging.driver"),
    Fault("logs to a journal that is not there", keys(log_driver="journald"), "ran", "logging.endpoint", now=True),
    Fault("logs to a syslog that is not there", keys(log_driver="syslog"), "ran", "logging.endpoint", now=True),
    Fault("logs to a syslog over UDP", keys(log_driver="syslog", log_opts={"syslog-address": "udp://127.0.0.1:514"})),
    Fault("logs to a syslog socket not there", keys(log_driver="syslog", log_opts={"syslog-address": "unix:///none"}),
          "started", "docker.start_rules"),
    Fault("bad syslog facility", keys(log_driver="syslog", log_opts={"syslog-facility": "x"}), "started",
          "docker.start_rules"),
    Fault("logs to a fluentd that is not there", keys(log_driver="fluentd"), "ran", "logging.endpoint", now=True),
    Fault("logs to a fluentd later", keys(log_driver="fluentd", log_opts={"fluentd-async": "true"})),
    Fault("bad fluentd switch", keys(log_driver="fluentd", log_opts={"fluentd-async": "yes"}), "started",
          "docker.start_rules"),
    Fault("logs to a gelf that is not there", keys(log_driver="gelf", log_opts={"gelf-address": "tcp://127.0.0.1:99"}),
          "ran", "logging.endpoint", now=True),
    Fault("gelf without an address", keys(log_driver="gelf"), "ran", "logging.driver"),
    Fault("gelf without a port", keys(log_driver="gelf", log_opts={"gelf-address": "udp://127.0.0.1"}), "started",
          "docker.start_rules"),
    Fault("splunk without a URL", keys(log_driver="splunk"), "ran", "logging.driver"),
    Fault("awslogs without a group", keys(log_driver="awslogs"), "ran", "logging.driver"),
    Fault("bad address pools", keys(default_address_pools=[{"base": "10.0.0.0/8", "size": 4}]), "started"),
    Fault("pools of two addresses", keys(default_address_pools=[{"base": "10.99.0.0/24", "size": 31}]), "started"),
    Fault("pools of one address", keys(default_address_pools=[{"base": "10.99.0.0/24", "size": 32}]), "started"),
    Fault("pools of IPv6 only", keys(default_address_pools=[{"base": "fd00::/48", "size": 64}]), "started"),
    Fault("pools of four addresses", keys(default_address_pools=[{"base": "10.99.0.0/24", "size": 30}])),
    Fault("bad bip", keys(bip="172.17.0.300/16"), "started", "docker.start_rules"),
    Fault("bip the network's address", keys(bip="172.18.0.0/24"), "started", "docker.start_rules"),
    Fault("bip the broadcast address", keys(bip="172.18.0.255/24"), "started", "docker.start_rules"),
    Fault("bip of two addresses", keys(bip="172.18.0.1/31"), "started", "docker.start_rules"),
    Fault("gateway outside", keys(default_gateway="10.99.0.1"), "started", "docker.start_rules"),
    Fault("gateway the bridge itself", keys(default_gateway="172.18.0.1", bip="172.18.0.1/24"), "started",
          "docker.start_rules"),
    Fault("gateway not there", keys(default_gateway="172.17.0.9"), "outside", chosen=True),
    Fault("external store", keys(cluster_store="consul://192.0.2.1"), "started"),
    Fault("published to another machine", keys(ip="203.0.113.9"), "outside", "interfaces.publish_address", now=True),
    Fault("metrics on another machine", keys(metrics_addr="203.0.113.9:9323"), "started", "server.listen", now=True),
    Fault("bip and bridge", keys(bip="172.18.0.1/16", bridge="br0"), "started", "docker.start_rules"),
    Fault("IPv6 without addresses", keys(ipv6=True), "started", "docker.start_rules"),
    Fault("IPv6 with addresses", keys(ipv6=True, fixed_cidr_v6="fd00:1::/64")),
    Fault("a bridge that is not there", keys(bridge="br-none"), "started", "interfaces.bridge", now=True),
    Fault("no bridge", keys(bridge="none"), "outside", chosen=True),
    Fault("no masquerading", keys(ip_masq=False), "outside", chosen=True),
    Fault("no iptables rules", keys(iptables=False), "outside", chosen=True),
    Fault("no forwarding", keys(ip_forward=False), "outside", "network.ip_forward"),
    Fault("no proxy", keys(userland_proxy=False)),
    Fault("huge mtu", keys(mtu=100000), "ran", "defaults.mtu"),
    Fault("largest mtu", keys(mtu=65535)),
    Fault("mtu too small", keys(mtu=67), "ran", "defaults.mtu"),
    Fault("smallest mtu", keys(mtu=68)),
    Fault("negative mtu", keys(mtu=-1), "started", "docker.start_rules"),
    Fault("mtu too small for IPv6", keys(mtu=1279, ipv6=True, fixed_cidr_v6="fd00:1::/64"), "ran", "defaults.mtu"),
    Fault("runtime not there", keys(default_runtime="kata"), "started", "docker.daemon_json"),
    Fault("runtime's file not there", keys(runtimes={"x": {"path": "/none"}}, default_runtime="x"), "ran"),
    Fault("another runtime's file not there", keys(runtimes={"x": {"path": "/none"}})),
    Fault("init not there", keys(init=True, init_path="/none"), "ran", "defaults.init"),
    Fault("init not executable", keys(init=True, init_path="/etc/passwd"), "ran", "defaults.init"),
    Fault("init not there and not wanted", keys(init_path="/none")),
    Fault("docker-init not there though wanted", {**keys(init=True), **removed("/usr/bin/docker-init")}, "ran",
          "runtime.helpers"),
    Fault("seccomp profile not there", keys(seccomp_profile="/etc/docker/none.json"), "started"),
    Fault("seccomp profile relative", keys(seccomp_profile="none.json"), "started", "docker.start_rules"),
    Fault("seccomp profile no JSON", seccomp("garbage"), "ran", "defaults.seccomp"),
    Fault("seccomp profile a list", seccomp("[]"), "ran", "defaults.seccomp"),
    Fault("seccomp profile empty", seccomp("{}")),
    Fault("seccomp action unknown", seccomp('{"defaultAction": "SCMP_ACT_NONE"}'), "ran", "defaults.seccomp"),
    Fault("tls files not there", keys(tlsverify=True, tlscert="/none"), "started"),
    Fault("tls files no certificates", keys(tls=True, tlscert="/etc/passwd", tlskey="/etc/passwd"), "started"),
    Fault("remap to a user not there", keys(userns_remap="nobody-here"), "started"),
    Fault("remap to the default user", keys(userns_remap="default")),
    Fault("group not there", on_socket(group="nobodies"), "started", "daemon.group"),
    Fault("group a number", on_socket(group="4711")),
    Fault("metrics", keys(metrics_addr="127.0.0.1:9323")),
    Fault("bad metrics address", keys(metrics_addr="127.0.0.1:999999"), "started", "docker.start_rules"),
    Fault("metrics without an address", keys(metrics_addr=":9323"), "started", "docker.start_rules"),
    Fault("bad oom score", keys(oom_score_adjust=-2000), "started", "docker.start_rules"),
    Fault("lowest oom score", keys(oom_score_adjust=-1000)),
    Fault("soft limit above hard", limits(Name="nofile", Hard=9, Soft=20), "ran", "defaults.ulimits"),
    Fault("soft limit none, hard limit one", limits(Name="memlock", Hard=900, Soft=-1), "ran", "defaults.ulimits"),
    Fault("limit unknown", limits(Name="nofiles", Hard=9000, Soft=9000), "ran", "defaults.ulimits"),
    Fault("limit without a name", limits(Hard=9000, Soft=9000), "ran", "defaults.ulimits"),
    Fault("limit in capitals", limits(Name="NOFILE", Hard=9000, Soft=9000)),
    Fault("more files than the kernel allows", limits(Name="nofile", Hard=2000000000, Soft=1024), "ran",
          "defaults.ulimits", now=True),
    Fault("authorization plugin not there", keys(authorization_plugins=["none"]), "started", "server.authorization",
          now=True),
    Fault("pid file of another program", {"files": {"/run/docker.pid": "1"}}, "started", "server.pid_file"),
    Fault("pid file of nobody", {"files": {"/run/docker.pid": "999999"}}),
    Fault("pid file a folder", command("mkdir", "/run/docker.pid"), "started", "docker.start_rules", now=True),
    Fault("pid file below a file", keys(pidfile="/etc/passwd/x"), "started", "docker.start_rules"),
    Fault("data-root is a file", keys(data_root="/etc/passwd"), "started", "daemon.data_root"),
    Fault("data-root below a file", keys(data_root="/etc/passwd/x"), "started", "daemon.data_root"),
    Fault("data-root relative", keys(data_root="data"), "started", "daemon.data_root"),
    Fault("data-root empty", keys(data_root="")),
    Fault("exec-root below a file", keys(exec_root="/etc/passwd/x"), "started", "docker.start_rules"),
    # storage
    Fault("driver unknown", keys(storage_driver="overlay3"), "started"),
    Fault("driver aufs", keys(storage_driver="aufs"), "started"),
    Fault("driver devicemapper", keys(storage_driver="devicemapper"), "started", "storage.driver", now=True),
    Fault("driver btrfs on tmpfs", keys(storage_driver="btrfs"), "started"),
    Fault("driver vfs", keys(storage_driver="vfs")),
    Fault("ext4", disk("mkfs.ext4 -q")),
    Fault("ext4 without filetype", disk("mkfs.ext4 -q -O ^filetype")),
    Fault("overlay2 on ext4 without filetype", {**disk("mkfs.ext4 -q -O ^filetype"), **keys(storage_driver="overlay2")},
          "started", "storage.dtype"),
    Fault("xfs", disk("mkfs.xfs -q")),
    Fault("on overlay", around(f"umount {DATA}")),
    Fault("overlay2 on overlay", {**around(f"umount {DATA}"), **keys(storage_driver="overlay2")},
          "started", "storage.backing"),
    Fault("data-root noexec", around(f"mount -o remount,noexec {DATA}"), "volume", "storage.mount_options"),
    Fault("containerd's root noexec", around("mount -o remount,noexec {root}/var/lib/containerd")),
    Fault("data-root read-only", around(f"mount -o remount,ro {DATA}"), "started"),
    Fault("data-root full", around(f"mount -t tmpfs -o size=4k tmpfs {DATA}"), "started"),
    Fault("data-root nosuid, nodev", around(f"mount -o remount,nosuid,nodev {DATA}")),
    Fault("data-root a dangling link", command("sh", "-c", "umount /var/lib/docker && rmdir /var/lib/docker && "
          "ln -s /mnt/none /var/lib/docker"), "started", "startup.data_root"),
    Fault("data-root with five inodes", around(f"mount -t tmpfs -o nr_inodes=5 tmpfs {DATA}"), "started",
          "storage.inodes"),
    Fault("data-root with forty inodes", around(f"mount -t tmpfs -o nr_inodes=40 tmpfs {DATA}"), "ran",
          "storage.inodes"),
    Fault("volumes' database corrupt", left("volumes/metadata.db"), "started", "state.databases"),
    Fault("build cache corrupt", left("buildkit/cache.db"), "started", "state.databases"),
    Fault("build snapshots corrupt", left("buildkit/snapshots.db"), "started", "state.databases"),
    Fault("names of images empty", left("image/overlay2/repositories.json", ""), "started", "state.image_names"),
    Fault("containerd's database corrupt",
          {"files": {"/var/lib/containerd/io.containerd.metadata.v1.bolt/meta.db": "garbage" * 2000}}, "started",
          "state.databases"),
    Fault("network database corrupt", {"files": {"/var/lib/docker/network/files/local-kv.db": "garbage" * 2000}},
          "started", "storage.network_database"),
    # programs
    Fault("iptables not there", NO_IPTABLES, "started", "firewall.iptables"),
    Fault("iptables not there and not wanted", {**keys(iptables=False), **NO_IPTABLES}, "outside", chosen=True),
    Fault("iptables legacy", command("update-alternatives", "--set", "iptables", "/usr/sbin/iptables-legacy")),
    Fault("iptables broken", command("ln", "-sf", "/bin/false", "/usr/sbin/iptables"), "started", "programs.identity"),
    Fault("iptables a script without its interpreter", script("/usr/sbin/iptables", "#!/none"), "started",
          "programs.loader"),
    Fault("iptables a script", script("/usr/sbin/iptables", '#!/bin/sh\nexec iptables-nft "$@"')),
    Fault("iptables without extensions", shell(f"rm -r {LIBRARIES}/xtables"), "started",
          "programs.iptables_extensions"),
    Fault("iptables without conntrack", shell(f"rm {LIBRARIES}/xtables/libxt_conntrack.so"), "started",
          "programs.iptables_extensions"),
    Fault("iptables without its library", shell(f"rm {LIBRARIES}/libxtables.so.12*"), "started", "programs.loader"),
    Fault("runc not there", removed("/usr/sbin/runc"), "started"),
    Fault("runc not executable", command("chmod", "-x", "/usr/sbin/runc"), "started"),
    Fault("runc of no use", command("ln", "-sf", "/bin/true", "/usr/sbin/runc"), "ran", "programs.identity"),
    Fault("runc a script without its interpreter", script("/usr/sbin/runc", "#!/none"), "ran", "programs.loader"),
    Fault("runc a script", shell("mv /usr/sbin/runc /usr/sbin/runc.real && printf '#!/bin/sh\nexec runc.real \"$@\"' "
          "> /usr/sbin/runc && chmod +x /usr/sbin/runc")),
    Fault("runc without its library", shell(f"rm {LIBRARIES}/libseccomp.so.2*"), "ran", "programs.loader"),
    Fault("dockerd without its library", shell(f"rm {LIBRARIES}/libsystemd.so.0*"), "started", "programs.loader"),
    Fault("shim of no use", command("ln", "-sf", "/bin/true", "/usr/bin/containerd-shim-runc-v2"), "ran",
          "programs.identity"),
    Fault("docker-proxy of no use", command("ln", "-sf", "/bin/true", "/usr/sbin/docker-proxy"), "outside",
          "programs.identity"),
    Fault("shim not there", removed("/usr/bin/containerd-shim-runc-v2"), "ran", "runtime.helpers"),
    Fault("docker-proxy not there", removed("/usr/sbin/docker-proxy"), "outside", "runtime.helpers"),
    Fault("docker-init not there", removed("/usr/bin/docker-init")),
    Fault("containerd not there", removed("/usr/bin/containerd"), "started"),
    Fault("containerd's configuration broken", {"files": {"/etc/containerd/config.toml": "[a"}}, "started",
          "containerd.config"),
    Fault("containerd without cri", {"files": {"/etc/containerd/config.toml": 'disabled_plugins = ["cri"]\n'}}),
    Fault("containerd elsewhere", {"files": {"/etc/containerd/config.toml": '[grpc]\naddress = "/run/c.sock"\n'}},
          "started", "startup.containerd_address"),
    # the host
    Fault("no group docker", command("sed", "-i", "/^docker:/d", "/etc/group"), now=True),
    Fault("key file corrupt", {"files": {"/etc/docker/key.json": "xx"}}, "started", "startup.key_file"),
    Fault("/etc read-only", around("mount --bind {root}/etc {root}/etc", "mount -o remount,ro,bind {root}/etc"),
          "started", "startup.key_file"),
    Fault("/run noexec", around("mount -o remount,noexec {root}/run")),
    Fault("64 open files", limit(64)),
    Fault("no memory controller", around("umount {root}/sys/fs/cgroup/memory")),
    Fault("no devices controller", around("umount {root}/sys/fs/cgroup/devices"), "started", "cgroup.controllers"),
    Fault("no control groups", around("umount -l -R {root}/sys/fs/cgroup"), "started", "cgroup.mode"),
    Fault("docker's usual network taken", around(*VPN, "ip route add 172.17.0.0/16 dev vpn")),
    Fault("every network taken", around(*VPN, "ip route add 172.16.0.0/12 dev vpn",
          "ip route add 192.168.0.0/16 dev vpn"), "started", "addresses.overlap"),
)  # fmt: skip

STEP_13 = {
    "comment behind": "started",
    "mirror with a path": "",
    "huge mtu": "started",
    "mtu too small": "started",
    "mtu too small for IPv6": "started",
    "lowest oom score": "started",
    "flag that was removed": "started",
    "data-root relative": "ran",
    "pools of one address": "ran",
    "bip of two addresses": "",
    "pools of two addresses": "",
    "docker-proxy not there": "started",
    "key file corrupt": "",
}
"""Where the engine of Debian 13 fails at another step, or not at all."""

MISSED: dict[str, str] = {}
"""Faults that hostcheck does not foretell yet, and why."""

MISSED_13: dict[str, str] = {}
"""The same, of Debian 13."""
