"""Healthy hosts, one a kind: a tree of tests/hosts made into another release, with what it shows when booted."""

from __future__ import annotations

import functools
import pathlib
from typing import NamedTuple, Union

from hostcheck.host import DiskUsage

TREES = pathlib.Path(__file__).resolve().parents[1] / "hosts"

Files = dict[str, Union[str, bytes, Exception]]

GB = 1 << 30


class Kind(NamedTuple):
    """A distribution's release, by what distinguishes it from the tree that it is made from."""

    tree: str
    os_release: str = ""
    """The text of /usr/lib/os-release; `` for the tree's own."""
    kernel: str = ""
    """The release of its kernel; `` for the tree's own."""
    packages: tuple[tuple[str, str], ...] = ()
    """Versions of packages that differ from the tree's."""
    files: tuple[tuple[str, str], ...] = ()
    absent: tuple[str, ...] = ()
    commands: tuple[tuple[str, str], ...] = ()
    cgroup: int = 2
    """Version of the control groups that it boots with."""
    root: str = "ext4"
    """Type of its root file system."""
    day: str = "2026-11-24"
    """Dated knowledge is judged as of this day, in which the release was supported."""


def _os(pretty: str, name: str, number: str = "", codename: str = "", like: str = "") -> str:
    """Return an os-release."""
    fields = {
        "PRETTY_NAME": f'"{pretty}"',
        "NAME": f'"{pretty.partition(" 1")[0].partition(" 2")[0]}"',
        "ID": f'"{name}"',
        "VERSION_ID": f'"{number}"' if number else "",
        "VERSION_CODENAME": codename,
        "ID_LIKE": f'"{like}"' if like else "",
    }
    return "".join(f"{key}={value}\n" for key, value in fields.items() if value)


_RASPBERRY_LINE = (
    "console=serial0,115200 console=tty1 root=PARTUUID=9730496b-02 rootfstype=ext4 fsck.repair=yes rootwait"
)

_MAY_MAKE_NAMESPACES = """abi <abi/4.0>,
include <tunables/global>
profile {0} /usr/bin/{0} flags=(unconfined) {{
  userns,
  include if exists <local/{0}>
}}
"""

KINDS: dict[str, Kind] = {
    "debian-11": Kind(
        "debian-12",
        _os("Debian GNU/Linux 11 (bullseye)", "debian", "11", "bullseye"),
        "5.10.0-30-cloud-amd64",
        (
            ("systemd", "247.3-7+deb11u6"),
            ("systemd-sysv", "247.3-7+deb11u6"),
            ("libseccomp2", "2.5.1-1+deb11u1"),
            ("libc6", "2.31-13+deb11u11"),
            ("iptables", "1.8.7-1"),
            ("apparmor", "2.13.6-10"),
            ("kmod", "28-1"),
            ("procps", "2:3.3.17-5"),
        ),
        day="2024-06-01",
    ),
    "debian-12": Kind("debian-12"),
    "debian-13": Kind(
        "debian-12",
        _os("Debian GNU/Linux 13 (trixie)", "debian", "13", "trixie"),
        "6.12.48+deb13-cloud-amd64",
        (
            ("systemd", "257.9-1~deb13u1"),
            ("systemd-sysv", "257.9-1~deb13u1"),
            ("libseccomp2", "2.6.0-2"),
            ("libc6", "2.41-12"),
            ("docker.io", "26.1.5+dfsg1-9+b9"),
            ("docker-cli", "26.1.5+dfsg1-9+b9"),
            ("containerd", "1.7.24~ds1-6+b4"),
            ("runc", "1.1.15+ds1-2+b4"),
            ("iptables", "1.8.11-2"),
            ("apparmor", "4.1.0-1"),
        ),
    ),
    "debian-sid": Kind(
        "debian-12",
        _os("Debian GNU/Linux forky/sid", "debian", "", "forky"),
        "6.17.8+deb14-cloud-amd64",
        (
            ("systemd", "259-1"),
            ("systemd-sysv", "259-1"),
            ("libseccomp2", "2.6.0-2"),
            ("libc6", "2.42-2"),
            ("docker.io", "28.5.2+dfsg3-2"),
            ("docker-cli", "28.5.2+dfsg3-2"),
            ("containerd", "2.1.9+ds1-1"),
            ("runc", "1.3.5+ds1-1"),
            ("iptables", "1.8.11-2"),
            ("apparmor", "4.1.2-1"),
        ),
    ),
    "ubuntu-22.04": Kind(
        "debian-12",
        _os("Ubuntu 22.04.5 LTS", "ubuntu", "22.04", "jammy", "debian"),
        "5.15.0-122-generic",
        (
            ("systemd", "249.11-0ubuntu3.12"),
            ("systemd-sysv", "249.11-0ubuntu3.12"),
            ("libseccomp2", "2.5.3-2ubuntu2"),
            ("libc6", "2.35-0ubuntu3.8"),
            ("docker.io", "26.1.3-0ubuntu1~22.04.1"),
            ("containerd", "1.7.24-0ubuntu1~22.04.1"),
            ("runc", "1.1.15-0ubuntu1~22.04.1"),
            ("iptables", "1.8.7-1ubuntu5.2"),
            ("apparmor", "3.0.4-2ubuntu2.4"),
        ),
    ),
    "ubuntu-24.04": Kind(
        "debian-12",
        _os("Ubuntu 24.04.1 LTS", "ubuntu", "24.04", "noble", "debian"),
        "6.8.0-45-generic",
        (
            ("systemd", "255.4-1ubuntu8.4"),
            ("systemd-sysv", "255.4-1ubuntu8.4"),
            ("libseccomp2", "2.5.5-1ubuntu3.1"),
            ("libc6", "2.39-0ubuntu8.3"),
            ("docker.io", "26.1.3-0ubuntu1~24.04.1"),
            ("containerd", "1.7.24-0ubuntu1~24.04.1"),
            ("runc", "1.1.15-0ubuntu1~24.04.1"),
            ("iptables", "1.8.10-3ubuntu2"),
            ("apparmor", "4.0.1really4.0.1-0ubuntu0.24.04.3"),
        ),
        # What keeps programs without a profile from making user namespaces, and the profiles that Ubuntu brings.
        files=(
            ("/usr/lib/sysctl.d/10-apparmor.conf", "kernel.apparmor_restrict_unprivileged_userns = 1\n"),
            ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n"),
            ("/etc/apparmor.d/rootlesskit", _MAY_MAKE_NAMESPACES.format("rootlesskit")),
            ("/etc/apparmor.d/slirp4netns", _MAY_MAKE_NAMESPACES.format("slirp4netns")),
        ),
    ),
    "ubuntu-20.04": Kind(
        "debian-12",
        _os("Ubuntu 20.04.6 LTS", "ubuntu", "20.04", "focal", "debian"),
        "5.4.0-200-generic",
        (
            ("systemd", "245.4-4ubuntu3.24"),
            ("systemd-sysv", "245.4-4ubuntu3.24"),
            ("libseccomp2", "2.5.1-1ubuntu1~20.04.2"),
            ("libc6", "2.31-0ubuntu9.16"),
            ("docker.io", "24.0.7-0ubuntu2~20.04.1"),
            ("docker-cli", "24.0.7-0ubuntu2~20.04.1"),
            ("containerd", "1.7.12-0ubuntu2~20.04.1"),
            ("runc", "1.1.12-0ubuntu2~20.04.1"),
            ("iptables", "1.8.4-3ubuntu2.1"),
            ("apparmor", "2.13.3-7ubuntu5.4"),
        ),
        cgroup=1,
        day="2024-06-01",
    ),
    "raspberry-pi-os": Kind(
        "debian-12",
        _os("Debian GNU/Linux 12 (bookworm)", "debian", "12", "bookworm"),
        "6.6.51+rpt-rpi-v8",
        files=(
            ("/etc/rpi-issue", "Raspberry Pi reference 2024-11-19\n"),
            ("/boot/firmware/cmdline.txt", f"{_RASPBERRY_LINE} cgroup_enable=memory\n"),
            ("/boot/firmware/config.txt", "arm_64bit=1\n"),
        ),
        absent=("/boot/grub/grub.cfg", "/etc/default/grub"),
    ),
    "centos-7": Kind(
        "centos-7",
        absent=("/etc/docker/daemon.json", "/etc/yum.repos.d/CentOS-Base.repo"),
        commands=(("runc --version", "runc version 1.3.6\n"),),
        cgroup=1,
        root="xfs",
        day="2020-06-01",
    ),
    "el-9": Kind("rocky-9", root="xfs"),
    "el-8": Kind(
        "rocky-9",
        _os("Rocky Linux 8.10 (Green Obsidian)", "rocky", "8.10", "", "rhel centos fedora"),
        "4.18.0-553.16.1.el8_10.x86_64",
        (
            ("systemd", "239-82.el8_10.1"),
            ("docker-ce", "3:26.1.3-1.el8"),
            ("docker-ce-cli", "1:26.1.3-1.el8"),
            ("containerd.io", "1.6.32-3.1.el8"),
            ("container-selinux", "2:2.229.0-2.module+el8.10.0+1815"),
            ("iptables", "1.8.5-11.el8_9"),
            ("libseccomp", "2.5.2-1.el8"),
            ("glibc", "2.28-251.el8_10.5"),
        ),
        files=(
            (
                "/usr/lib/systemd/system/docker.service",
                "[Unit]\nAfter=network-online.target docker.socket containerd.service\nWants=network-online.target "
                "containerd.service\nRequires=docker.socket\n[Service]\nType=notify\n"
                "ExecStart=/usr/bin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock\nRestart=always\n"
                "LimitNOFILE=infinity\nLimitNPROC=infinity\nLimitCORE=infinity\nTasksMax=infinity\nDelegate=yes\n"
                "KillMode=process\nOOMScoreAdjust=-500\n[Install]\nWantedBy=multi-user.target\n",
            ),
            (
                "/usr/lib/systemd/system/containerd.service",
                "[Unit]\nAfter=network.target local-fs.target\n[Service]\nType=notify\nExecStart=/usr/bin/containerd\n"
                "Delegate=yes\nKillMode=process\nRestart=always\nLimitNOFILE=infinity\nLimitNPROC=infinity\n"
                "LimitCORE=infinity\nTasksMax=infinity\nOOMScoreAdjust=-999\n[Install]\nWantedBy=multi-user.target\n",
            ),
        ),
        commands=(("runc --version", "runc version 1.3.6\n"),),
        cgroup=1,
        root="xfs",
        day="2025-06-01",
    ),
    "amazon-2023": Kind(
        "rocky-9",
        _os("Amazon Linux 2023.6.20241121", "amzn", "2023", "", "fedora"),
        "6.1.115-126.197.amzn2023.x86_64",
        (
            ("systemd", "252.23-2.amzn2023"),
            ("docker", "25.0.8-1.amzn2023.0.1"),
            ("containerd", "1.7.27-1.amzn2023.0.1"),
            ("runc", "1.2.4-1.amzn2023.0.1"),
            ("container-selinux", "3:2.233.0-1.amzn2023"),
        ),
        absent=("/etc/yum.repos.d/docker-ce.repo",),
        root="xfs",
    ),
    "amazon-2": Kind(
        "centos-7",
        _os("Amazon Linux 2", "amzn", "2", "", "centos rhel fedora"),
        "5.10.226-214.880.amzn2.x86_64",
        (
            ("systemd", "219-57.amzn2.0.24"),
            ("docker", "25.0.6-1.amzn2.0.2"),
            ("containerd", "1.7.23-1.amzn2.0.1"),
            ("runc", "1.1.14-1.amzn2"),
        ),
        absent=("/etc/docker/daemon.json", "/etc/yum.repos.d/CentOS-Base.repo"),
        cgroup=1,
        root="xfs",
        day="2025-06-01",
    ),
    "arch": Kind(
        "rocky-9",
        'NAME="Arch Linux"\nPRETTY_NAME="Arch Linux"\nID=arch\nBUILD_ID=rolling\n',
        "6.17.9-arch1-1",
        (
            ("systemd", "258.2-2"),
            ("docker", "1:29.0.4-1"),
            ("containerd", "2.2.0-1"),
            ("runc", "1.3.3-1"),
            ("iptables", "1:1.8.11-2"),
            ("libseccomp", "2.6.0-1"),
            ("glibc", "2.42+r33-1"),
            ("docker-buildx", "0.30.1-1"),
        ),
        files=(("/var/lib/pacman/local/", ""),),
        absent=("/var/lib/rpm", "/etc/selinux", "/etc/yum.repos.d"),
    ),
    "fedora": Kind(
        "rocky-9",
        _os("Fedora Linux 43", "fedora", "43"),
        "6.17.1-300.fc43.x86_64",
        absent=("/etc/yum.repos.d/docker-ce.repo",),
        root="btrfs",
    ),
    "opensuse": Kind(
        "rocky-9",
        _os("openSUSE Leap 15.6", "opensuse-leap", "15.6", "", "suse opensuse"),
        "6.4.0-150600.21-default",
        absent=("/etc/yum.repos.d/docker-ce.repo",),
        root="btrfs",
        day="2025-06-01",
    ),
    "alpine": Kind("alpine", day="2025-06-01"),
}


@functools.cache
def _tree(name: str) -> tuple[tuple[str, Union[str, bytes]], ...]:
    """Return what lies in a tree: text where it is text, `-> target` for a link, a path with `/` for a folder."""
    top = TREES / name
    found: list[tuple[str, Union[str, bytes]]] = []
    for path in sorted(top.rglob("*")):
        inside = f"/{path.relative_to(top)}"
        if path.is_symlink():
            found.append((inside, f"-> {path.readlink()}"))
        elif path.is_dir():
            found.append((f"{inside}/", ""))
        else:
            data = path.read_bytes()
            try:
                found.append((inside, data.decode()))
            except UnicodeDecodeError:
                found.append((inside, data))
    return tuple(found)


def tree(name: str) -> Files:
    """Return the files of a tree."""
    return dict(_tree(name))


def boot_line(files: Files) -> str:
    """Return what the boot loader of this tree hands to its kernel."""
    for path, text in files.items():
        if path.startswith("/boot/firmware/cmdline.txt"):
            return str(text).split("\n")[0]
    return "BOOT_IMAGE=/boot/vmlinuz root=UUID=5c1a9d3e-6f0b-4a57-9a61-0d6b2f9d8e21 ro quiet"


V1 = [
    "cpuset",
    "cpu,cpuacct",
    "blkio",
    "memory",
    "devices",
    "freezer",
    "net_cls,net_prio",
    "perf_event",
    "hugetlb",
    "pids",
]


def mounts(kind: Kind) -> list[str]:
    """Return the lines of /proc/mounts of a machine that has booted."""
    options = "rw,relatime"
    lines = [
        "sysfs /sys sysfs rw,nosuid,nodev,noexec,relatime 0 0",
        "proc /proc proc rw,nosuid,nodev,noexec,relatime 0 0",
        "devtmpfs /dev devtmpfs rw,nosuid,relatime,size=4012345k,mode=755 0 0",
        "devpts /dev/pts devpts rw,nosuid,noexec,relatime,gid=5,mode=620,ptmxmode=000 0 0",
        "mqueue /dev/mqueue mqueue rw,nosuid,nodev,noexec,relatime 0 0",
        "tmpfs /run tmpfs rw,nosuid,nodev,size=813112k,mode=755 0 0",
        "securityfs /sys/kernel/security securityfs rw,nosuid,nodev,noexec,relatime 0 0",
        f"/dev/vda2 / {kind.root} {options} 0 0",
    ]
    if kind.cgroup == 2:
        lines.append(
            "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid,nodev,noexec,relatime,nsdelegate,memory_recursiveprot 0 0"
        )
    else:
        lines.append("tmpfs /sys/fs/cgroup tmpfs ro,nosuid,nodev,noexec,mode=755 0 0")
        lines.append(
            "cgroup /sys/fs/cgroup/systemd cgroup rw,nosuid,nodev,noexec,relatime,xattr,name=systemd 0 0"
        )
        lines += [
            f"cgroup /sys/fs/cgroup/{name} cgroup rw,nosuid,nodev,noexec,relatime,{name} 0 0" for name in V1
        ]
    return lines


SYSCTLS = {
    "net.ipv4.ip_forward": "1",
    "net.ipv6.conf.all.forwarding": "0",
    "net.bridge.bridge-nf-call-iptables": "1",
    "net.bridge.bridge-nf-call-ip6tables": "1",
    "kernel.pid_max": "4194304",
    "kernel.threads-max": "63704",
    "kernel.keys.root_maxkeys": "1000000",
    "kernel.keys.maxkeys": "200",
    "kernel.seccomp.actions_avail": "kill_process kill_thread trap errno user_notif trace log allow",
    "user.max_user_namespaces": "31852",
    "user.max_mnt_namespaces": "31852",
    "user.max_pid_namespaces": "31852",
    "user.max_net_namespaces": "31852",
    "user.max_ipc_namespaces": "31852",
    "user.max_uts_namespaces": "31852",
    "user.max_cgroup_namespaces": "31852",
    "fs.inotify.max_user_instances": "1024",
    "fs.inotify.max_user_watches": "524288",
    "fs.file-nr": "1952\t0\t9223372036854775807",
    "fs.may_detach_mounts": "1",
    "vm.overcommit_memory": "0",
    "net.netfilter.nf_conntrack_count": "112",
    "net.netfilter.nf_conntrack_max": "262144",
    "net.ipv4.conf.all.rp_filter": "2",
    "net.ipv4.conf.default.rp_filter": "2",
}


def sysctl_path(key: str) -> str:
    """Return the file of a sysctl."""
    return "/proc/sys/" + key.replace(".", "/")


MODULES = [
    "overlay",
    "br_netfilter",
    "bridge",
    "veth",
    "xt_conntrack",
    "nf_conntrack",
    "nf_nat",
    "xt_MASQUERADE",
    "xt_addrtype",
    "nf_tables",
    "ip_tables",
    "iptable_nat",
    "iptable_filter",
]

MEMORY = {"MemTotal": 8131120, "MemFree": 5131120, "MemAvailable": 7131120, "SwapTotal": 0, "SwapFree": 0}

CPU = "fpu pae lm nx cx8 cx16 lahf_lm sse sse2 pni ssse3 sse4_1 sse4_2 popcnt avx avx2"

STATUS = {
    "Name": "hostcheck",
    "Umask": "0022",
    "Uid": "0\t0\t0\t0",
    "Gid": "0\t0\t0\t0",
    "NoNewPrivs": "0",
    "Seccomp": "0",
    "CapEff": "000001ffffffffff",
    "CapBnd": "000001ffffffffff",
}

CONTROLLERS = [
    "cpuset",
    "cpu",
    "cpuacct",
    "blkio",
    "memory",
    "devices",
    "freezer",
    "net_cls",
    "perf_event",
    "net_prio",
    "hugetlb",
    "pids",
]


def running(kind: Kind, release: str) -> Files:
    """Return the files of /proc, /sys and /run that a machine of this kind shows while it runs."""
    files: Files = {sysctl_path(key): f"{value}\n" for key, value in SYSCTLS.items()}
    files["/proc/sys/kernel/osrelease"] = f"{release}\n"
    files["/dev/null"] = ""
    files["/proc/version"] = f"Linux version {release} (build@host) (gcc) #1 SMP\n"
    files["/proc/modules"] = "".join(f"{name} 163840 1 - Live 0x0000000000000000\n" for name in MODULES)
    files["/proc/filesystems"] = "nodev\tproc\nnodev\tcgroup\nnodev\tcgroup2\n\text4\nnodev\toverlay\n"
    files["/proc/meminfo"] = "".join(f"{name}: {size} kB\n" for name, size in MEMORY.items())
    files["/proc/swaps"] = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
    files["/proc/cpuinfo"] = "".join(
        f"processor\t: {number}\nmodel name\t: some\nflags\t\t: {CPU}\n\n" for number in range(4)
    )
    files["/sys/devices/system/cpu/online"] = "0-3\n"
    files["/proc/loadavg"] = "0.08 0.03 0.01 1/157 1234\n"
    files["/proc/1/comm"] = "systemd\n" if kind.tree != "alpine" else "init\n"
    files["/proc/self/status"] = "".join(f"{name}:\t{value}\n" for name, value in STATUS.items())
    files["/proc/self/uid_map"] = "         0          0 4294967295\n"
    files["/proc/net/route"] = (
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
        "eth0\t00000000\t010000C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        "eth0\t000000C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
    )
    files["/sys/class/net/eth0/mtu"] = "1500\n"
    files["/sys/class/net/lo/mtu"] = "65536\n"
    for name in ("cgroup", "ipc", "mnt", "net", "pid", "pid_for_children", "user", "uts", "time"):
        files[f"/proc/self/ns/{name}"] = f"-> {name}:[4026531836]"
    numbered = {name: 0 if kind.cgroup == 2 else number for number, name in enumerate(CONTROLLERS, 1)}
    files["/proc/cgroups"] = "#subsys_name\thierarchy\tnum_cgroups\tenabled\n" + "".join(
        f"{name}\t{number}\t70\t1\n" for name, number in numbered.items()
    )
    if kind.cgroup == 2:
        files["/sys/fs/cgroup/cgroup.controllers"] = "cpuset cpu io memory hugetlb pids rdma misc\n"
        files["/sys/fs/cgroup/cgroup.subtree_control"] = "cpuset cpu io memory hugetlb pids rdma misc\n"
        files["/sys/fs/cgroup/system.slice/cgroup.controllers"] = (
            "cpuset cpu io memory hugetlb pids rdma misc\n"
        )
        files["/sys/fs/cgroup/system.slice/memory.swap.max"] = "max\n"
        files["/sys/fs/cgroup/system.slice/memory.max"] = "max\n"
    else:
        files["/sys/fs/cgroup/cpuset/cpuset.cpus"] = "0-3\n"
        files["/sys/fs/cgroup/memory/memory.limit_in_bytes"] = "9223372036854771712\n"
        files["/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes"] = "9223372036854771712\n"
    if kind.tree != "alpine":
        files["/run/systemd/system/"] = ""
    if kind.tree.startswith("debian"):
        files["/sys/module/apparmor/parameters/enabled"] = "Y\n"
        files["/sys/kernel/security/apparmor/profiles"] = "docker-default (enforce)\n"
    if kind.tree.startswith(("rocky", "centos")) and "opensuse" not in kind.os_release:
        files["/sys/fs/selinux/enforce"] = "1"
    return files


USAGE = {"/": DiskUsage(100 * GB, 80 * GB, 6_000_000, 5_800_000)}

XFS_INFO = (
    "meta-data=/dev/vda2 isize=512 agcount=4\n         = crc=1 finobt=1\nnaming   =version 2, ftype=1\n"
)
"""What xfs_info prints of a file system that layers can lie on."""

SHOWN = "LoadState=loaded\nActiveState=active\nNeedDaemonReload=no\nUnitFileState=enabled\n"
"""What systemctl shows of a unit that runs as its files say."""

NODE: dict[str, str] = {
    "/etc/modules-load.d/k8s.conf": "overlay\nbr_netfilter\n",
    "/etc/sysctl.d/90-k8s.conf": (
        "net.bridge.bridge-nf-call-iptables = 1\nnet.bridge.bridge-nf-call-ip6tables = 1\nnet.ipv4.ip_forward = 1\n"
    ),
    "/etc/containerd/config.toml": (
        'version = 2\n[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]\n'
        '  runtime_type = "io.containerd.runc.v2"\n'
        '  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]\n    SystemdCgroup = true\n'
    ),
    "/var/lib/kubelet/config.yaml": (
        "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\ncgroupDriver: systemd\n"
        "containerRuntimeEndpoint: unix:///run/containerd/containerd.sock\n"
    ),
    "/usr/sbin/conntrack": "ELF executable",
    "/usr/bin/socat": "ELF executable",
    "/usr/sbin/ethtool": "ELF executable",
    "/usr/bin/ls": "ELF executable",
    "/usr/bin/mount": "ELF executable",
    "/usr/bin/nsenter": "ELF executable",
    "/usr/sbin/ip": "ELF executable",
}
"""What makes a host a Kubernetes node: the steps of the documentation."""

USER: dict[str, str] = {
    "/etc/passwd": "root:x:0:0:root:/root:/bin/sh\nu:x:1000:1000::/home/u:/bin/sh\n",
    "/etc/subuid": "u:100000:65536\n",
    "/etc/subgid": "u:100000:65536\n",
    "/usr/bin/newuidmap": "ELF executable",
    "/usr/bin/newgidmap": "ELF executable",
    "/usr/bin/slirp4netns": "ELF executable",
    "/usr/bin/fuse-overlayfs": "ELF executable",
    "/usr/bin/rootlesskit": "ELF executable",
    "/usr/bin/dockerd-rootless.sh": "#!/bin/sh\n",
    "/var/lib/systemd/linger/u": "",
    "/home/u/.config/systemd/user/docker.service": "[Service]\nExecStart=/usr/bin/dockerd-rootless.sh\n",
    "/home/u/.config/systemd/user/default.target.wants/docker.service": "-> ../docker.service",
    "/usr/lib/systemd/system/user@.service": "[Service]\nExecStart=/lib/systemd/systemd --user\nDelegate=pids memory\n",
    "/etc/systemd/system/user@.service.d/delegate.conf": "[Service]\nDelegate=cpu cpuset io memory pids\n",
    "/etc/sysctl.d/90-rootless.conf": "net.ipv4.ip_unprivileged_port_start = 80\n",
    "/proc/sys/net/ipv4/ip_unprivileged_port_start": "80\n",
    "/proc/sys/net/ipv4/ping_group_range": "0\t2147483647\n",
    "/dev/net/tun": "",
    "/dev/fuse": "",
}
"""What a user needs to run containers without root: the steps of the documentation."""

SETUID = ("/usr/bin/newuidmap", "/usr/bin/newgidmap")
