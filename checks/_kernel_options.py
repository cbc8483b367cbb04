"""The kernel options that containers need: which, from when to when, under which condition, and for what.

The options are those that moby's and runc's check-config.sh, k3s' check-config, kubernetes/system-validators
and systemd's README look at. Where the scripts disagree with the kernel, the kernel's own history counts.
"""

from __future__ import annotations

from hostcheck.api import Record

MOBY = "https://github.com/moby/moby/blob/master/contrib/check-config.sh"
RUNC = "https://github.com/opencontainers/runc/blob/main/script/check-config.sh"
K3S = "https://github.com/k3s-io/k3s/blob/master/contrib/util/check-config.sh"
SYSTEMD = "https://github.com/systemd/systemd/blob/main/README"
VALIDATORS = "https://github.com/kubernetes/system-validators/blob/master/validators/types_unix.go"


class Option(Record):
    """One kernel option that a container host needs, or is better without."""

    name: str
    """Without CONFIG_."""
    severity: str
    """What its absence is where `condition` holds: `required`, `recommended` or `info`."""
    breaks: str
    """What happens without it, as the end of a sentence."""
    condition: str = ""
    """When it is needed at all:

    `v1`, `v2`: in that cgroup mode (hybrid is v1). `cpuset`: everywhere, less so on v2.
    `iptables`, `ip6tables`: for the legacy tables of iptables, unless nftables stand in for them.
    `legacy`: for iptables-legacy alone. `xtables`: for iptables of either kind.
    `nft`: for iptables-nft and for the engine's own nftables back end. `compat`: for iptables-nft alone.
    `native`: for the engine's own nftables back end alone.
    `overlay`: unless another storage driver is there. `ext3`: unless ext4 serves for ext3.
    `follows X`: the kernel sets it by itself with X, and packages leave it out of their configurations.
    `raw`: as `iptables`, for docker from 28.0 on. `swap`: unless the command line says swapaccount=1.
    `unwanted`: better not set.
    `default`: where the configuration mentions it; kconfig leaves out what a kernel does not know.
    `labels`: required for docker from 25.0 on with its data on ext4; before, it passed over what cannot be labelled.
    `docker<24`, `docker<25`: for engines before that one.
    """
    since: str = ""
    """The first kernel that has it, or where it matters."""
    until: str = ""
    """The first kernel that no longer has it."""
    aliases: tuple[str, ...] = ()
    """Options that do as well, or that bring it with them: `NAME`, or from a kernel on `NAME>=5.2`."""
    source: str = MOBY


REQUIRED, RECOMMENDED, INFO = "required", "recommended", "info"

BASE = (
    Option("NAMESPACES", REQUIRED, "no container can be isolated"),
    Option("NET_NS", REQUIRED, "containers cannot have a network of their own"),
    Option("PID_NS", REQUIRED, "containers cannot have processes of their own"),
    Option("IPC_NS", REQUIRED, "containers cannot have IPC of their own"),
    Option("UTS_NS", REQUIRED, "containers cannot have a host name of their own"),
    Option("USER_NS", RECOMMENDED, "neither rootless mode nor userns-remap works"),
    Option("KEYS", REQUIRED, "runc cannot make the session keyring of a container"),
    Option("POSIX_MQUEUE", REQUIRED, "/dev/mqueue cannot be mounted, and no container starts"),
    Option(
        "DEVPTS_MULTIPLE_INSTANCES",
        REQUIRED,
        "containers share the host's terminals",
        condition="default",
        until="4.8",
    ),
    Option("PROC_FS", REQUIRED, "nothing can mount /proc", condition="default", source=VALIDATORS),
    Option("SYSFS", REQUIRED, "nothing can mount /sys", condition="default", source=SYSTEMD),
    Option("TMPFS", REQUIRED, "/dev of a container cannot be mounted", source=SYSTEMD),
    Option("EPOLL", REQUIRED, "no engine can wait for its connections", condition="default", source=SYSTEMD),
    Option(
        "EVENTFD",
        REQUIRED,
        "engines cannot be told of out-of-memory kills",
        condition="default",
        source=SYSTEMD,
    ),
    Option("UNIX", REQUIRED, "the engine cannot listen on its socket", source=SYSTEMD),
    Option("SIGNALFD", RECOMMENDED, "systemd does not start", condition="default", source=SYSTEMD),
    Option("TIMERFD", RECOMMENDED, "systemd does not start", condition="default", source=SYSTEMD),
    Option(
        "INOTIFY_USER",
        RECOMMENDED,
        "systemd does not start, and the engine sees no file changes",
        source=SYSTEMD,
    ),
    Option(
        "FHANDLE",
        RECOMMENDED,
        "systemd and CRIU cannot open files by handle",
        condition="default",
        source=SYSTEMD,
    ),
    Option("DEVTMPFS", RECOMMENDED, "systemd has no /dev to start with", source=SYSTEMD),
)

CGROUP = (
    Option("CGROUPS", REQUIRED, "nothing can be limited, and no engine starts"),
    Option("CGROUP_SCHED", REQUIRED, "there is no cpu controller: CPU shares and limits fail"),
    Option("CPUSETS", REQUIRED, "there is no cpuset controller: --cpuset-cpus fails", "cpuset"),
    Option("MEMCG", REQUIRED, "there is no memory controller: memory limits fail"),
    # Debian's patch, in its kernels up to 4.x.
    Option(
        "MEMCG_DISABLED",
        RECOMMENDED,
        "the memory controller is off unless the command line says cgroup_enable=memory",
        "unwanted",
        source="https://docs.docker.com/engine/install/troubleshoot/#kernel-cgroup-swap-limit-capabilities",
    ),
    Option("CGROUP_CPUACCT", REQUIRED, "there is no cpuacct controller", "v1"),
    Option("CGROUP_DEVICE", REQUIRED, "there is no devices controller, and runc refuses", "v1"),
    Option("CGROUP_FREEZER", REQUIRED, "containers can be neither paused nor killed safely", "v1"),
    # 1b6c5fc3a5e0 in 6.11 and 047b83097448 in 6.12 made the old halves optional.
    # As the boot of Debian 13 with v1 shows: dockerd warns, and containers run without these limits.
    Option("MEMCG_V1", RECOMMENDED, "there is no memory controller on cgroup v1", "v1", since="6.11"),
    Option("CPUSETS_V1", RECOMMENDED, "there is no cpuset controller on cgroup v1", "v1", since="6.12"),
    Option("CGROUP_BPF", REQUIRED, "devices cannot be kept from containers on cgroup v2", "v2", since="4.15"),
    Option(
        "BPF_SYSCALL", REQUIRED, "devices cannot be kept from containers on cgroup v2", "v2", source=SYSTEMD
    ),
    Option("CGROUP_PIDS", RECOMMENDED, "a fork bomb in one container stops the host"),
    Option("FAIR_GROUP_SCHED", RECOMMENDED, "CPU shares have no effect"),
    Option("CFS_BANDWIDTH", RECOMMENDED, "--cpus fails"),
    Option("BLK_CGROUP", RECOMMENDED, "disk bandwidth cannot be limited"),
    Option("BLK_DEV_THROTTLING", INFO, "--device-read-bps and the like fail"),
    Option("BLK_CGROUP_IOCOST", INFO, "io.weight has no effect", since="5.4", source=RUNC),
    Option("CGROUP_PERF", INFO, "perf cannot watch one container"),
    Option("CGROUP_HUGETLB", INFO, "huge pages cannot be limited"),
    Option("NET_CLS_CGROUP", INFO, "traffic cannot be classified by container (cgroup v1 alone)"),
    Option("NETPRIO_CGROUP", INFO, "traffic has no priority by container", until="3.14"),
    Option("CGROUP_NET_PRIO", INFO, "traffic has no priority by container (cgroup v1 alone)", since="3.14"),
    # e55b9f96860f in 6.1 removed the option; swap is accounted for wherever there is swap.
    Option("MEMCG_SWAP", INFO, "--memory-swap fails", until="6.1"),
    # 2d1c498072de in 5.8.
    Option("MEMCG_SWAP_ENABLED", INFO, "--memory-swap needs swapaccount=1 at boot", "swap", until="5.8"),
    # d886f4e483ce in 4.5 and 5b1efc027c0b in 3.19.
    Option("MEMCG_KMEM", INFO, "kernel memory cannot be limited", until="4.5"),
    Option("RESOURCE_COUNTERS", INFO, "there is no memory controller", until="3.19"),
    # f382fb0bcef4 in 5.0.
    Option("IOSCHED_CFQ", INFO, "--blkio-weight fails", until="5.0"),
    Option("CFQ_GROUP_IOSCHED", INFO, "--blkio-weight fails", until="5.0"),
    Option(
        "RT_GROUP_SCHED",
        INFO,
        "the cpu controller stays off on cgroup v2 while any real-time process runs",
        "unwanted",
        source=SYSTEMD,
    ),
    Option("PSI", INFO, "neither systemd-oomd nor the kubelet sees pressure", since="4.20", source=SYSTEMD),
)

NETWORK = (
    Option("NET", REQUIRED, "there is no network", source=VALIDATORS),
    Option("INET", REQUIRED, "there is no TCP/IP", source=VALIDATORS),
    Option("VETH", REQUIRED, "containers cannot be wired to a bridge"),
    Option("BRIDGE", REQUIRED, "docker0 cannot be made"),
    Option(
        "BRIDGE_NETFILTER",
        RECOMMENDED,
        'neither Kubernetes services nor "icc": false nor "userland-proxy": false work',
    ),
    Option("IPV6", INFO, "containers have no IPv6", source=SYSTEMD),
    Option("VXLAN", INFO, "neither swarm's overlay networks nor flannel work"),
    Option("BRIDGE_VLAN_FILTERING", INFO, "swarm's overlay networks do not work"),
    Option("IPVLAN", INFO, "ipvlan networks do not work"),
    Option("MACVLAN", INFO, "macvlan networks do not work"),
    Option("DUMMY", INFO, "macvlan and ipvlan networks without a parent do not work"),
    Option(
        "TUN",
        INFO,
        "rootless containers have no network",
        source="https://github.com/rootless-containers/slirp4netns",
    ),
)

NETFILTER = (
    Option("NETFILTER", REQUIRED, "there is no firewall: the engine does not start", source=VALIDATORS),
    Option("NETFILTER_ADVANCED", RECOMMENDED, "many matches cannot be chosen", source=VALIDATORS),
    Option("NETFILTER_XTABLES", REQUIRED, "iptables does not work", "xtables", source=VALIDATORS),
    Option("NF_CONNTRACK", REQUIRED, "connections cannot be followed: NAT fails", source=VALIDATORS),
    Option("NF_NAT", REQUIRED, "there is no NAT: the engine does not start"),
    # 3bf195ae6037 in 5.1 and 4806e975729f in 5.2 folded these into NF_NAT; vendors backport that.
    Option("NF_NAT_IPV4", INFO, "part of NF_NAT, unless that was backported", until="5.1"),
    Option("NF_NAT_NEEDED", INFO, "part of NF_NAT, unless that was backported", until="5.2"),
    Option("NETFILTER_XT_MATCH_ADDRTYPE", REQUIRED, "dockerd cannot write its NAT rules", "xtables"),
    Option("NETFILTER_XT_MATCH_CONNTRACK", REQUIRED, "dockerd cannot write its forward rules", "xtables"),
    Option("NETFILTER_XT_MARK", RECOMMENDED, "swarm's ingress and Kubernetes services fail", "xtables"),
    Option("NETFILTER_XT_MATCH_IPVS", INFO, "swarm's ingress fails"),
    Option("NETFILTER_XTABLES_LEGACY", REQUIRED, "iptables-legacy has no tables", "iptables", since="6.17"),
    Option("IP_NF_IPTABLES", REQUIRED, "iptables-legacy does not work", "iptables"),
    Option("IP_NF_FILTER", REQUIRED, "iptables has no filter table", "iptables"),
    Option("IP_NF_MANGLE", RECOMMENDED, "iptables has no mangle table: swarm's ingress fails", "iptables"),
    Option(
        "IP_NF_RAW",
        REQUIRED,
        "docker 28 and later cannot shield published ports: containers with ports do not start",
        "raw",
        source="https://github.com/moby/moby/pull/49621",
    ),
    Option("IP_NF_NAT", REQUIRED, "iptables has no nat table: the engine does not start", "iptables"),
    Option(
        "IP_NF_TARGET_MASQUERADE",
        REQUIRED,
        "containers cannot reach the network: no MASQUERADE",
        "iptables",
        aliases=("NETFILTER_XT_TARGET_MASQUERADE>=5.2",),
    ),
    Option(
        "IP_NF_TARGET_REDIRECT",
        INFO,
        "swarm's ingress fails: no REDIRECT",
        "iptables",
        aliases=("NETFILTER_XT_TARGET_REDIRECT",),
    ),
    Option("NETFILTER_XT_MATCH_COMMENT", INFO, "kube-proxy cannot write its rules", source=VALIDATORS),
    Option(
        "NETFILTER_XT_MATCH_STATISTIC", INFO, "kube-proxy cannot spread a service over its pods", source=K3S
    ),
    Option("NETFILTER_XT_MATCH_MULTIPORT", INFO, "network policies for several ports fail", source=K3S),
    Option("NETFILTER_XT_MATCH_RECENT", INFO, "services with sessionAffinity fail", source=K3S),
    Option("IP_NF_TARGET_REJECT", INFO, "kube-proxy cannot reject connections", source=K3S),
    Option("IP6_NF_IPTABLES", INFO, "ip6tables does not work", "ip6tables", source=MOBY),
    Option("IP6_NF_FILTER", RECOMMENDED, "containers have no filtered IPv6", "ip6tables"),
    Option("IP6_NF_MANGLE", INFO, "ip6tables has no mangle table", "ip6tables"),
    Option("IP6_NF_RAW", INFO, "docker 28 and later cannot shield ports published on IPv6", "ip6tables"),
    Option("IP6_NF_NAT", RECOMMENDED, "docker 27 and later cannot publish ports on IPv6", "ip6tables"),
    Option(
        "IP6_NF_TARGET_MASQUERADE",
        RECOMMENDED,
        "containers cannot reach IPv6 networks: no MASQUERADE",
        "ip6tables",
        aliases=("NETFILTER_XT_TARGET_MASQUERADE>=5.2",),
    ),
    Option("NF_TABLES", REQUIRED, "neither iptables-nft nor docker's nftables work", "nft"),
    Option(
        "NF_TABLES_IPV4", REQUIRED, "nftables have no IPv4 tables", "nft", source="net/ipv4/netfilter/Kconfig"
    ),
    Option("NFT_NAT", REQUIRED, "nftables have no NAT", "nft"),
    Option(
        "NFT_COMPAT",
        REQUIRED,
        "iptables-nft cannot use matches and targets of iptables",
        "compat",
        source="https://github.com/k3s-io/k3s/pull/14074",
    ),
    # IP_NF_NAT selects it (net/ipv4/netfilter/Kconfig).
    Option(
        "NETFILTER_XT_NAT",
        REQUIRED,
        "iptables-nft cannot publish ports: no DNAT",
        "compat",
        aliases=("IP_NF_NAT",),
        source=K3S,
    ),
    Option("NFT_MASQ", REQUIRED, "nftables cannot masquerade", "native"),
    Option("NFT_CT", REQUIRED, "nftables cannot follow connections", "native"),
    Option("NFT_FIB", REQUIRED, "nftables cannot tell local addresses", "native"),
    Option("NFT_FIB_IPV4", REQUIRED, "nftables cannot tell local addresses", "native"),
    Option("NFT_FIB_IPV6", INFO, "nftables cannot tell local IPv6 addresses", "native"),
)

OVERLAY = (
    Option("OVERLAY_FS", REQUIRED, "the overlay2 and overlayfs storage drivers fail", "overlay"),
    Option("BTRFS_FS", INFO, "the btrfs storage driver fails"),
    Option("BTRFS_FS_POSIX_ACL", INFO, "ACLs on btrfs fail"),
    Option("EXT4_FS", INFO, "data cannot lie on ext4"),
    Option("EXT4_FS_POSIX_ACL", INFO, "ACLs on ext4 fail"),
    # https://docs.docker.com/engine/release-notes/25.0/#extended-attributes-for-tar-files
    Option("EXT4_FS_SECURITY", INFO, "images with file capabilities cannot be unpacked on ext4", "labels"),
    Option("EXT3_FS", INFO, "data cannot lie on ext3", "ext3"),
    # c290ea01abb7 in 4.3 removed ext3 itself; ext4 serves it.
    Option("EXT3_FS_XATTR", INFO, "extended attributes on ext3 fail", "ext3", until="4.3"),
    Option("EXT3_FS_POSIX_ACL", INFO, "ACLs on ext3 fail", "ext3"),
    Option("EXT3_FS_SECURITY", INFO, "file capabilities on ext3 fail", "ext3"),
    Option("FUSE_FS", INFO, "fuse-overlayfs fails", source="https://github.com/containers/fuse-overlayfs"),
    # https://docs.docker.com/engine/deprecated/
    Option("AUFS_FS", INFO, "the aufs storage driver fails", "docker<24"),
    Option("BLK_DEV_DM", INFO, "the devicemapper storage driver fails", "docker<25"),
    Option("DM_THIN_PROVISIONING", INFO, "the devicemapper storage driver fails", "docker<25"),
)

SECURITY = (
    Option("SECCOMP", RECOMMENDED, "containers run without a seccomp profile"),
    Option("SECCOMP_FILTER", RECOMMENDED, "containers run without a seccomp profile", "follows SECCOMP"),
    Option("SECURITY_APPARMOR", INFO, "containers have no AppArmor profile"),
    Option("SECURITY_SELINUX", INFO, "containers have no SELinux label"),
    Option("LEGACY_VSYSCALL_NATIVE", INFO, "code at a fixed address helps attackers", "unwanted"),
    Option("LEGACY_VSYSCALL_NONE", INFO, "images with glibc before 2.14 (CentOS 6) crash", "unwanted"),
)

OPTIONAL = (
    Option("CHECKPOINT_RESTORE", INFO, "docker checkpoint fails", source=RUNC),
    Option("IP_SCTP", INFO, "SCTP ports cannot be published"),
    Option("IP_VS", INFO, "swarm's ingress and kube-proxy in ipvs mode fail"),
    Option("IP_VS_NFCT", INFO, "swarm's ingress fails"),
    Option("IP_VS_PROTO_TCP", INFO, "swarm's ingress fails"),
    Option("IP_VS_PROTO_UDP", INFO, "swarm's ingress fails"),
    Option("IP_VS_RR", INFO, "swarm's ingress fails"),
    Option("IP_SET", INFO, "Kubernetes network policies fail", source=K3S),
    Option("NETFILTER_XT_MATCH_BPF", INFO, "swarm's encrypted networks fail"),
    Option("CRYPTO", INFO, "swarm's encrypted networks fail"),
    Option("CRYPTO_AEAD", INFO, "swarm's encrypted networks fail"),
    Option("CRYPTO_GCM", INFO, "swarm's encrypted networks fail"),
    Option("CRYPTO_SEQIV", INFO, "swarm's encrypted networks fail"),
    Option("CRYPTO_GHASH", INFO, "swarm's encrypted networks fail"),
    Option("XFRM", INFO, "swarm's encrypted networks fail"),
    Option("XFRM_USER", INFO, "swarm's encrypted networks fail"),
    Option("XFRM_ALGO", INFO, "swarm's encrypted networks fail"),
    Option("INET_ESP", INFO, "swarm's encrypted networks fail"),
    # 4c145dce2601 in 5.2 built the modes in.
    Option("INET_XFRM_MODE_TRANSPORT", INFO, "swarm's encrypted networks fail", until="5.2"),
    Option("NF_NAT_FTP", INFO, "FTP clients in containers fail"),
    Option("NF_CONNTRACK_FTP", INFO, "FTP clients in containers fail"),
    Option("NF_NAT_TFTP", INFO, "TFTP clients in containers fail"),
    Option("NF_CONNTRACK_TFTP", INFO, "TFTP clients in containers fail"),
)

TOPICS = {
    "base": BASE,
    "cgroup": CGROUP,
    "network": NETWORK,
    "netfilter": NETFILTER,
    "overlay": OVERLAY,
    "security": SECURITY,
    "optional": OPTIONAL,
}

NFT_TABLES = ("NF_TABLES", "NF_TABLES_IPV4", "NFT_COMPAT")
NFT_NAT = (*NFT_TABLES, "NFT_NAT|NFT_CHAIN_NAT_IPV4", "NETFILTER_XT_NAT")
NFT6_TABLES = ("NF_TABLES", "NF_TABLES_IPV6", "NFT_COMPAT")
NFT6_NAT = (*NFT6_TABLES, "NFT_NAT|NFT_CHAIN_NAT_IPV6", "NETFILTER_XT_NAT")

STAND_INS: dict[str, tuple[str, ...]] = {
    "NETFILTER_XTABLES_LEGACY": NFT_TABLES,
    "IP_NF_IPTABLES": NFT_TABLES,
    "IP_NF_FILTER": NFT_TABLES,
    "IP_NF_MANGLE": NFT_TABLES,
    "IP_NF_RAW": NFT_TABLES,
    "IP_NF_NAT": NFT_NAT,
    "IP6_NF_IPTABLES": NFT6_TABLES,
    "IP6_NF_FILTER": NFT6_TABLES,
    "IP6_NF_MANGLE": NFT6_TABLES,
    "IP6_NF_RAW": NFT6_TABLES,
    "IP6_NF_NAT": NFT6_NAT,
}
"""What iptables-nft uses in place of a legacy table; `A|B` is either.

Seen with `nft --debug=netlink list ruleset` after iptables-nft 1.8.9 had written docker's rules: it keeps the
matches addrtype and conntrack and the targets MASQUERADE and DNAT of x_tables, through nft_compat.
"""


class Needed(Record):
    """A module that an engine needs."""

    module: str
    option: str
    """Its option, without CONFIG_."""
    severity: str
    by_name: bool
    """Whether it is asked for by its own name, which `blacklist` does not stop (modprobe.d(5))."""
    condition: str
    """As in `Option`; `` for always."""
    breaks: str


MODULES = (
    Needed("overlay", "OVERLAY_FS", REQUIRED, True, "overlay", "the overlay2 storage driver fails"),
    Needed("veth", "VETH", REQUIRED, False, "", "containers cannot be wired to a bridge"),
    Needed("bridge", "BRIDGE", REQUIRED, False, "", "docker0 cannot be made"),
    Needed("br_netfilter", "BRIDGE_NETFILTER", RECOMMENDED, True, "", 'Kubernetes and "icc": false fail'),
    Needed("nf_conntrack", "NF_CONNTRACK", REQUIRED, True, "", "NAT fails"),
    Needed("nf_nat", "NF_NAT", REQUIRED, True, "", "the engine cannot make its nat rules"),
    Needed(
        "xt_addrtype", "NETFILTER_XT_MATCH_ADDRTYPE", REQUIRED, False, "xtables", "dockerd does not start"
    ),
    Needed(
        "xt_conntrack", "NETFILTER_XT_MATCH_CONNTRACK", REQUIRED, False, "xtables", "dockerd does not start"
    ),
    Needed("ip_tables", "IP_NF_IPTABLES", REQUIRED, True, "legacy", "iptables-legacy does not work"),
    Needed("iptable_filter", "IP_NF_FILTER", REQUIRED, True, "legacy", "iptables has no filter table"),
    Needed("iptable_nat", "IP_NF_NAT", REQUIRED, True, "legacy", "iptables has no nat table"),
    Needed("nf_tables", "NF_TABLES", REQUIRED, False, "nft", "iptables-nft does not work"),
    Needed("nft_compat", "NFT_COMPAT", REQUIRED, False, "compat", "iptables-nft cannot use its matches"),
    Needed("xt_MASQUERADE", "NETFILTER_XT_TARGET_MASQUERADE", REQUIRED, False, "xtables", "no MASQUERADE"),
    Needed("xt_nat", "NETFILTER_XT_NAT", REQUIRED, False, "xtables", "ports cannot be published: no DNAT"),
    Needed("vxlan", "VXLAN", INFO, False, "", "neither swarm's overlay networks nor flannel work"),
)
"""Modules to look for as files. Options that were not asked of the kernel (not `m`) are the config checks' matter."""
