"""Faults that were thought up after those of faults.py, one after another, to find what hostcheck does not foretell."""

from __future__ import annotations

from laying import (
    DATA,
    ENGINES,
    LIBRARIES,
    Fault,
    around,
    both,
    containerd,
    disk,
    files,
    flags,
    keys,
    limited,
    now,
    seccomp,
    service,
    shell,
)

ROOT = "/var/lib/docker"
ID = "a" * 64


def version_2(text: str) -> dict[str, object]:
    """Return a configuration of containerd in format 2."""
    return containerd(f"version = 2\n{text}\n")


def plugin(name: str, line: str) -> dict[str, object]:
    """Return a configuration of containerd with one line for a plugin."""
    return version_2(f'[plugins."io.containerd.{name}"]\n{line}')


def sysctl(setting: str) -> dict[str, object]:
    """Return a sysctl of the network, set now."""
    return now(f"sysctl -q -w {setting}")


NFT = around(
    "sh -c 'cd {bookworm-podman} && for name in nftables edit mnl nftnl jansson gmp bsd md; do"
    " cp -an --parents usr/sbin/nft usr/lib/*/lib$name.so* {root}; done'"
)
"""The program nft, which Debian recommends beside iptables: it is not on these hosts."""


def nft(*commands: str) -> dict[str, object]:
    """Return rules of nftables that somebody made."""
    return both(NFT, now(*(f"nft '{line}'" for line in commands)))


def moved(place: str, options: str) -> dict[str, object]:
    """Return a disk of its own, mounted so, for a folder below the data root."""
    return around(f"mkdir -p {DATA}/{place}", f"mount -t tmpfs -o {options} tmpfs {DATA}/{place}")


def remapped(ids: str) -> dict[str, object]:
    """Return users that are remapped, to these subordinate ids."""
    return both(keys(userns_remap="default"),
                files({"/etc/subuid": f"dockremap:{ids}\n", "/etc/subgid": f"dockremap:{ids}\n"}))  # fmt: skip


HUNT = (
    Fault("containerd's folder of mounts a file", files({"/var/lib/containerd/tmpmounts": "x"})),
    Fault("containerd's log level unknown", version_2('[debug]\nlevel = "chatty"')),
    Fault("containerd's debug socket below a file", version_2('[debug]\naddress = "/etc/passwd/d.sock"')),
    Fault("containerd's metrics on another machine", version_2('[metrics]\naddress = "203.0.113.9:1338"'), now=True),
    Fault("containerd's gRPC on another machine", version_2('[grpc]\ntcp_address = "203.0.113.9:1339"'), now=True),
    Fault("a plugin's setting of another type", plugin("gc.v1.scheduler", 'deletion_threshold = "low"')),
    Fault("containerd's sharing policy unknown", plugin("metadata.v1.bolt", 'content_sharing_policy = "some"')),
    Fault("containerd's tasks for another system", plugin("runtime.v2.task", 'platforms = ["windows/amd64"]')),
    Fault("a plugin's unknown key", plugin("gc.v1.scheduler", "no_such = 1")),
    Fault("containerd's proxy plugin without a type", version_2('[proxy_plugins.x]\naddress = "/run/x.sock"')),
    Fault("containerd's temp a file", version_2('temp = "/etc/passwd"')),
    Fault("containerd's state a file", version_2('state = "/etc/passwd"')),
    Fault("containerd's content a file", files({"/var/lib/containerd/io.containerd.content.v1.content": "x"})),
    Fault("containerd's snapshots a file", files({"/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs": "x"})),
    Fault("/etc/containerd a file", shell("rm -rf /etc/containerd; touch /etc/containerd")),
    Fault("no answers to ARP", sysctl("net.ipv4.conf.all.arp_ignore=8")),
    Fault("answers to ARP on the same network only", sysctl("net.ipv4.conf.all.arp_ignore=2")),
    Fault("no queue of connections", sysctl("net.core.somaxconn=0")),
    Fault("docker0 with the machine's own network", around("ip link add docker0 type bridge",
          "ip addr add 198.51.100.9/24 dev docker0")),
    Fault("a black hole for docker's usual network", around("ip route add blackhole 172.17.0.0/16")),
    Fault("a black hole for all private networks", around("ip route add blackhole 172.16.0.0/12")),
    Fault("a rule against docker's usual network", around("ip rule add from 172.17.0.0/16 blackhole")),
    Fault("nat accepts all first", now("iptables -t nat -A POSTROUTING -j ACCEPT",
          "iptables -t nat -A PREROUTING -j ACCEPT", "iptables -t nat -A OUTPUT -j ACCEPT")),
    Fault("one local port", sysctl("net.ipv4.ip_local_port_range='65535 65535'")),
    Fault("data of aufs left", shell(f"mkdir -p {ROOT}/aufs/diff; touch {ROOT}/aufs/diff/x")),
    Fault("data of vfs left", shell(f"mkdir -p {ROOT}/vfs/dir/x {ROOT}/image/vfs")),
    Fault("data of zfs left", shell(f"mkdir -p {ROOT}/zfs/x"), now=True),
    Fault("state of a swarm corrupt", files({f"{ROOT}/swarm/docker-state.json": "{"})),
    Fault("engine-id a folder", shell(f"mkdir -p {ROOT}/engine-id")),
    Fault("engine-id empty", files({f"{ROOT}/engine-id": ""})),
    Fault("a container's configuration corrupt", files({f"{ROOT}/containers/{ID}/config.v2.json": "{"})),
    Fault("an image's configuration corrupt", files({f"{ROOT}/image/overlay2/imagedb/content/sha256/{ID}": "{"})),
    Fault("database of networks empty", files({f"{ROOT}/network/files/local-kv.db": ""})),
    Fault("database of volumes empty", files({f"{ROOT}/volumes/metadata.db": ""})),
    Fault("a plugin's configuration corrupt", files({f"{ROOT}/plugins/{ID}/config.json": "{"})),
    Fault("data-root of 1 MiB", around(f"mount -t tmpfs -o size=1m tmpfs {DATA}")),
    Fault("data-root of 64 MiB", around(f"mount -t tmpfs -o size=64m tmpfs {DATA}")),
    Fault("data-root immutable", both(disk("mkfs.ext4 -q"), around(f"chattr +i {DATA}"))),
    Fault("data-root closed, and somebody's", shell(f"chmod 000 {ROOT}; chown nobody {ROOT}")),
    Fault("passwd a folder", shell("rm /etc/passwd; mkdir /etc/passwd")),
    Fault("remap to ten ids", remapped("100000:10")),
    Fault("remap to ids that are no numbers", remapped("x:y")),
    Fault("docker-proxy of Debian 12", around("cp {bookworm}/usr/sbin/docker-proxy {root}/usr/sbin/docker-proxy")),
    Fault("shim of Debian 12", around("cp {bookworm}/usr/bin/containerd-shim-runc-v2 {root}/usr/bin/")),
    Fault("dockerd of Debian 12", around("cp {bookworm}/usr/sbin/dockerd {root}/usr/sbin/dockerd")),
    Fault("iptables without the library of nft", shell(f"rm {LIBRARIES}/libnftnl.so.11*")),
    Fault("no nsswitch.conf and no mtab", shell("rm -f /etc/nsswitch.conf /etc/mtab")),
    Fault("seccomp profile of an unknown machine",
          seccomp('{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_NONE"]}')),
    Fault("IPv6 drops in the other iptables", now("ip6tables-legacy -P FORWARD DROP")),
    Fault("containerd's configuration with lines of Windows", containerd("version = 2\r\noom_score = 0\r\n")),
    Fault("30 tasks", both(service("TasksMax=30", *ENGINES), {"group": {"pids": 30}})),
    Fault("40 MiB of memory", both(service("MemoryMax=40M", *ENGINES), {"group": {"memory": 40 << 20}})),
    Fault("no log file of the driver local", keys(log_driver="local", log_opts={"max-file": "0"})),
    Fault("logs compressed and not rotated", keys(log_opts={"compress": "true", "max-file": "1"})),
    Fault("bad pattern of labels", keys(log_opts={"labels-regex": "("})),
    Fault("bad tag of logs", keys(log_opts={"tag": "{{.Nope"})),
    Fault("dns options of garbage", keys(dns_opts=["!!"])),
    Fault("no shared memory", keys(default_shm_size="0")),
    Fault("a build cache of a wrong size", keys(builder={"gc": {"enabled": True, "defaultKeepStorage": "lots"}})),
    Fault("devices in a relative folder", keys(cdi_spec_dirs=["etc/cdi"])),
    Fault("containerd's namespace empty", keys(containerd_namespace="")),
    Fault("docker-proxy a script elsewhere", both(keys(userland_proxy_path="/opt/p"),
          shell("printf '#!/bin/sh\nexec docker-proxy \"$@\"' > /opt/p; chmod +x /opt/p"))),
    Fault("a second socket", flags("-H", "unix:///run/second.sock")),
    Fault("data-root with the group's bit", shell(f"chmod 2770 {ROOT}; chgrp 4711 {ROOT}")),
    Fault("registry of a wrong name", keys(allow_nondistributable_artifacts=["http://x y"])),
    Fault("resolv.conf of garbage", files({"/etc/resolv.conf": "\x01\x02\n" * 9})),
    Fault("two hundred rules",
          now("sh -c 'for i in $(seq 200); do iptables -A INPUT -s 203.0.113.$i -j DROP; done'")),
    Fault("docker0 with large packets", around("ip link add docker0 mtu 9000 type bridge")),
    Fault("33 open files", limited("NOFILE", 33)),
    Fault("no machine-id", shell("rm -f /etc/machine-id")),
    Fault("no time zone", shell("ln -sf /none /etc/localtime")),
    Fault("the client's configuration broken", files({"/root/.docker/config.json": "{"})),
    Fault("the client's context not there", files({"/root/.docker/config.json": '{"currentContext": "gone"}'})),
    Fault("a plugin of the client broken", shell("mkdir -p /usr/lib/docker/cli-plugins;"
          " echo x > /usr/lib/docker/cli-plugins/docker-x; chmod +x /usr/lib/docker/cli-plugins/docker-x")),
    Fault("a broken line among the users", shell("printf 'x:y\n:::\n' >> /etc/passwd")),
    Fault("no shadow file", shell("rm -f /etc/shadow /etc/gshadow")),
    Fault("a thousand hosts", shell("for i in $(seq 1000); do echo 192.0.2.9 h$i; done >> /etc/hosts")),
    Fault("no os-release", shell("rm -f /etc/os-release /usr/lib/os-release")),
    Fault("no database of packages", shell("rm -f /var/lib/dpkg/status")),
    Fault("no program ip", shell("rm -f /bin/ip /sbin/ip /usr/bin/ip /usr/sbin/ip")),
    Fault("no program ps", shell("rm -f /bin/ps /usr/bin/ps")),
    Fault("/etc/docker/certs.d a file", files({"/etc/docker/certs.d": "x"})),
    Fault("/opt a file", shell("rm -rf /opt; touch /opt")),
    Fault("no names of services", shell("rm -f /etc/services /etc/protocols /etc/networks")),
    Fault("no host name and no issue", shell("rm -f /etc/hostname /etc/issue /etc/motd")),
    Fault("an old pid file of containerd", files({"/run/containerd/containerd.pid": "99999"})),
    Fault("the client's proxy on this machine", files({"/root/.docker/config.json":
          '{"proxies": {"default": {"httpProxy": "http://127.0.0.1:3128"}}}'})),
    Fault("a library to preload that is gone", files({"/etc/ld.so.preload": "/usr/lib/libsnoopy.so\n"})),
    Fault("nothing is tracked", now("iptables -t raw -A PREROUTING -j NOTRACK")),
    Fault("INPUT drops private addresses", now("iptables -A INPUT -s 172.16.0.0/12 -j DROP")),
    Fault("OUTPUT rejects private addresses", now("iptables -A OUTPUT -d 172.16.0.0/12 -j REJECT")),
    Fault("OUTPUT drops all but loopback and replies", now("iptables -P OUTPUT DROP",
          "iptables -A OUTPUT -o lo -j ACCEPT",
          "iptables -A OUTPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT")),
    Fault("nftables forwards nothing", nft("add table inet guard",
          "add chain inet guard forward { type filter hook forward priority 0; policy drop; }")),
    Fault("a table of nftables where iptables has its own", nft("add table ip filter",
          "add chain ip filter FORWARD { type filter hook forward priority 0; policy accept; }",
          "add rule ip filter FORWARD ct state vmap { established : accept, invalid : drop }")),
    Fault("arptables drops", both(NFT, now("arptables -P INPUT DROP"))),
    Fault("ebtables drops", both(NFT, now("ebtables -P INPUT DROP"))),
    Fault("docker0 with a spanning tree", around("ip link add docker0 type bridge stp_state 1 forward_delay 1500")),
    Fault("/dev/null a file", around("touch {root}/run/null", "mount --bind {root}/run/null {root}/dev/null")),
    Fault("/dev without devices", around("mount --bind {root}/dev {root}/dev",
          "mount -o remount,bind,nodev {root}/dev")),
    Fault("no pseudo terminals", around("umount -l {root}/dev/pts")),
    Fault("no shared memory of the host", around("umount -l {root}/dev/shm")),
    Fault("docker's socket a mount", around("touch {root}/run/docker.sock {root}/run/other.sock",
          "mount --bind {root}/run/other.sock {root}/run/docker.sock")),
    Fault("data-root without links to follow", around(f"mount -o remount,nosymfollow {DATA}")),
    Fault("volumes on a disk without programs", moved("volumes", "noexec")),
    Fault("layers on a disk without programs", moved("overlay2", "noexec")),
    Fault("images on a disk to read only", moved("image", "ro")),
    Fault("containers on a disk to read only", moved("containers", "ro")),
    Fault("layers moved to another disk", shell(f"mkdir -p /run/disk/overlay2; ln -s /run/disk/overlay2 {ROOT}/"),
          now=True),
    Fault("layers on a disk that is not mounted", shell(f"ln -s /mnt/disk/overlay2 {ROOT}/")),
    Fault("volumes on a disk that is not mounted", shell(f"ln -s /mnt/disk/volumes {ROOT}/")),
    Fault("temporary files on a disk that is not mounted", shell(f"ln -s /mnt/disk/tmp {ROOT}/")),
    Fault("/etc/docker on a disk that is not mounted", shell("rm -rf /etc/docker; ln -s /mnt/etc/docker /etc/")),
    Fault("daemon.json of zeros", shell("head -c 64 /dev/zero > /etc/docker/daemon.json")),
    Fault("containerd's configuration of zeros", shell("head -c 64 /dev/zero > /etc/containerd/config.toml")),
    Fault("containerd's configuration with a mark", containerd("\ufeffversion = 2\n")),
    Fault("containerd's table twice", version_2("[debug]\n[debug]")),
    Fault("a plugin disabled by its short name", version_2('disabled_plugins = ["cri"]')),
    Fault("metrics on an address that may be another's", both(keys(metrics_addr="203.0.113.9:9323"),
          sysctl("net.ipv4.ip_nonlocal_bind=1")), now=True),
    Fault("metrics on an address of a local route", both(keys(metrics_addr="203.0.113.9:9323"),
          around("ip route add local 203.0.113.0/24 dev lo")), now=True),
    Fault("the runtime of containerd's first years", keys(default_runtime="io.containerd.runtime.v1.linux")),
)  # fmt: skip
"""In the order in which they were tried."""

BROUGHT = {
    "containerd's debug socket below a file": "places.sockets looks at what stands above a socket",
    "containerd's metrics on another machine": "a new check: containerd_plugins.listen",
    "containerd's gRPC on another machine": "the same check",
    "a plugin's setting of another type": "a new check: containerd_plugins.types",
    "containerd's sharing policy unknown": "the same check",
    "containerd's proxy plugin without a type": "the same check",
    "containerd's temp a file": "state.folders knows more places",
    "containerd's state a file": "at rest: state.folders knows it",
    "containerd's content a file": "state.folders knows it, before 1.7.24",
    "containerd's snapshots a file": "state.folders knows it, from 2.0 on",
    "containerd's folder of mounts a file": "state.folders knows it",
    "/etc/containerd a file": "state.folders knows it",
    "no answers to ARP": "a new check: forwarding.neighbours",
    "docker0 with the machine's own network": "addresses.overlap asks for the address of docker0",
    "a black hole for docker's usual network": "addresses.overlap knows routes that lead nowhere",
    "a rule against docker's usual network": "addresses.overlap reads rules of routing",
    "one local port": "a new check: sysctl.local_ports",
    "data of zfs left": "a false alarm: Debian's dockerd has no zfs from 28.5.2+dfsg4-5 on",
    "engine-id a folder": "a new check: state.files",
    "remap to ids that are no numbers": "the ids must be numbers",
    "docker-proxy of Debian 12": "programs.helpers looks for the flag that dockerd 28 gives it",
    "data-root immutable": "filesystem.mount_options reads attributes",
    "seccomp profile of an unknown machine": "defaults.seccomp knows architectures and comparisons",
    "40 MiB of memory": "limits.memory_max asks for more",
    "bad pattern of labels": "daemon.log_rotation reads patterns",
    "bad tag of logs": "daemon.log_rotation reads tags",
    "a build cache of a wrong size": "docker.start_rules reads the builder's sizes",
    "registry of a wrong name": "docker.start_rules reads these names, before 28.0",
    "the client's context not there": "client.context blocks where it is root's",
    "/opt a file": "state.folders knows it, from containerd 2.0 on",
    "data-root of 64 MiB": "a false alarm: resources.space asked for too much",
    "the client's proxy on this machine": "a new check, which warns: client.proxies",
    "a library to preload that is gone": "programs.loader reads /etc/ld.so.preload",
    "nothing is tracked": "forwarding.chains knows NOTRACK",
    "INPUT drops private addresses": "forwarding.chains knows what containers' packets are, and walks the rules",
    "OUTPUT rejects private addresses": "the same",
    "OUTPUT drops all but loopback and replies": "the same",
    "nftables forwards nothing": "rulesets.nftables asks nft for the rules that hold now",
    "arptables drops": "the same, where nft is there",
    "ebtables drops": "the same, where nft is there",
    "docker0 with a spanning tree": "interfaces.bridge knows the delay of a spanning tree",
    "/dev without devices": "a new check: places.devices",
    "docker's socket a mount": "places.sockets knows mounts",
    "data-root without links to follow": "filesystem.mount_options knows nosymfollow",
    "volumes on a disk without programs": "filesystem.mount_options knows disks below the data root",
    "images on a disk to read only": "the same",
    "containers on a disk to read only": "the same",
    "layers moved to another disk": "state.folders knows that runc follows no link",
    "layers on a disk that is not mounted": "state.folders knows links that lead nowhere",
    "volumes on a disk that is not mounted": "the same",
    "/etc/docker on a disk that is not mounted": "the same, before 23.0",
    "the runtime of containerd's first years": "docker.runtimes looks for the shim of a type",
}
"""What hostcheck had not foretold when the fault was first tried, and what was mended."""


def quiet() -> int:
    """Return how many of the last faults in a row brought nothing."""
    count = 0
    for fault in reversed(HUNT):
        if fault.name in BROUGHT:
            break
        count += 1
    return count
