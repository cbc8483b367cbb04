"""Releases that do not go together: which, what happens, what mends it. Data as of 2026-11, each with its source.

To add one, add a row. Its parts must all be there, and all its circumstances (see `CIRCUMSTANCES` in conflicts.py).
A range is `FROM - BEFORE`; either may be left out, and several are joined by commas.
"""

from __future__ import annotations

from hostcheck.api import Record

REQUIRED, RECOMMENDED = "required", "recommended"


class Conflict(Record):
    """Releases that do not go together."""

    name: str
    """What it is about, as a subject: stable."""
    parts: tuple[tuple[str, str], ...]
    """Each program, package or `linux`, and the releases of it that take part."""
    severity: str
    effect: str
    """What happens, as the end of a sentence."""
    fix: str
    """What to do, in words."""
    link: str
    seen: str
    """When it was reported, YYYY-MM."""
    only: tuple[str, ...] = ()
    """Circumstances without which nothing happens."""


CONFLICTS: tuple[Conflict, ...] = (
    Conflict(
        "runc kernel memory limit",
        (("linux", "5.16 -"), ("runc", "- 1.0.0-rc94")),
        REQUIRED,
        "the kernel refuses the limit of kernel memory that runc sets: containers with a memory limit fail",
        "upgrade runc to 1.0.0-rc94 or later, or boot control groups v2",
        "https://github.com/canonical/microk8s/issues/3028",
        "2022-04",
        ("v1",),
    ),
    Conflict(
        "kubelet kernel memory statistics",
        (("linux", "6.1.54 - 6.1.55"), ("runc", "- 1.1.10")),
        REQUIRED,
        "the kernel dropped memory.kmem.limit_in_bytes, whose absence the kubelet takes as fatal",
        "boot a kernel from 6.1.55 on, which has it again, or control groups v2",
        "https://github.com/kubernetes/kubernetes/issues/120813",
        "2023-09",
        ("v1", "kubelet"),
    ),
    Conflict(
        "runc relative mounts",
        (("runc", "1.0.0-rc94 - 1.0.0"),),
        REQUIRED,
        "containers with a mount whose destination is no absolute path do not start any more",
        "upgrade containerd.io (from 1.4.8) or runc to 1.0.0 or later",
        "https://github.com/containerd/containerd/issues/5547",
        "2021-05",
        ("runc of its makers",),
    ),
    Conflict(
        "runc nvidia",
        (("runc", "1.1.3 - 1.1.7"),),
        REQUIRED,
        "runc forgets devices without a link in /dev/char: containers lose the GPU at `systemctl daemon-reload`",
        "upgrade runc to 1.1.7, or make the links: nvidia-ctk system create-dev-char-symlinks --create-all",
        "https://github.com/opencontainers/runc/issues/3708",
        "2023-01",
        ("nvidia",),
    ),
    Conflict(
        "runc terminals",
        (("runc", "1.1.3 - 1.1.4"),),
        REQUIRED,
        "after a `systemctl daemon-reload` no exec gets a terminal (`open /dev/pts/0: operation not permitted`)",
        "upgrade runc to 1.1.4 or later, and start containers anew",
        "https://github.com/opencontainers/runc/issues/3551",
        "2022-08",
        ("systemd",),
    ),
    Conflict(
        "nvidia on control groups v2",
        (("libnvidia-container1", "- 1.8.0"),),
        REQUIRED,
        "it knows control groups v1 only: no container gets a GPU",
        "upgrade nvidia-container-toolkit and libnvidia-container1 to 1.8.0 or later",
        "https://github.com/NVIDIA/nvidia-docker/issues/1447",
        "2021-01",
        ("v2",),
    ),
    Conflict(
        "kubelet iptables mark",
        (("iptables", "1.8.8 -"), ("kubelet", "- 1.26")),
        RECOMMENDED,
        "kube-proxy's older iptables reads the kubelet's rule without its mark, and drops every packet",
        "upgrade Kubernetes to 1.26 or later, or use iptables-legacy on the host",
        "https://github.com/kubernetes/kubernetes/issues/112477",
        "2022-09",
        ("iptables-nft",),
    ),
    Conflict(
        "kubelet iptables duplicates",
        (("iptables", "1.8.1 - 1.8.3"), ("kubelet", "- 1.17")),
        RECOMMENDED,
        "each sync adds the same rule of KUBE-FIREWALL again, until the node is slow",
        "upgrade iptables to 1.8.3 or later, or use iptables-legacy",
        "https://github.com/kubernetes/kubernetes/issues/82361",
        "2019-09",
        ("iptables-nft",),
    ),
    Conflict(
        "k3s iptables duplicates",
        (("iptables", "1.8.0 - 1.8.5"),),
        RECOMMENDED,
        "this iptables-nft does not find rules again, and k3s adds them until the node fails",
        "use iptables-legacy, or k3s with --prefer-bundled-bin",
        "https://docs.k3s.io/known-issues#iptables",
        "2021-06",
        ("iptables-nft", "k3s"),
    ),
    Conflict(
        "dockerd ipv6.disable",
        (("dockerd", "20.10.6 - 20.10.7"),),
        REQUIRED,
        "dockerd publishes ports on IPv6 although the kernel has none: containers with ports do not start",
        "upgrade docker to 20.10.7 or later",
        "https://github.com/moby/moby/issues/42288",
        "2021-04",
        ("ipv6.disable=1",),
    ),
    Conflict(
        "dockerd 28.0.0 ipv6.disable",
        (("dockerd", "28.0.0 - 28.0.1"),),
        REQUIRED,
        "dockerd writes rules for IPv6 although the kernel has none, and does not start",
        'upgrade docker to 28.0.1 or later, or put {"ip6tables": false} in daemon.json',
        "https://github.com/moby/moby/pull/49525",
        "2025-02",
        ("ipv6.disable=1",),
    ),
    Conflict(
        "dockerd ip_set",
        (("dockerd", "28.0.0 - 28.0.1"),),
        REQUIRED,
        "dockerd makes its rules with ip_set, which this kernel has not: it does not start",
        "upgrade docker to 28.0.1 or later, which does without, or boot a kernel with CONFIG_IP_SET",
        "https://github.com/moby/moby/pull/49530",
        "2025-02",
        ("no CONFIG_IP_SET",),
    ),
    Conflict(
        "dockerd apparmor parser",
        (("dockerd", "23.0.0 - 23.0.2"),),
        REQUIRED,
        "it insists on apparmor_parser where the kernel has AppArmor on: without it no container starts",
        "install the package apparmor, or upgrade docker to 23.0.2 or later",
        "https://github.com/moby/moby/issues/44900",
        "2023-02",
        ("AppArmor without its parser",),
    ),
    Conflict(
        "containerd apparmor runc profile",
        (("containerd.io", "- 1.6.32, 1.7 - 1.7.17"),),
        RECOMMENDED,
        "AppArmor's own profile of runc keeps signals from containers: stopping them fails (`unable to signal init`)",
        "upgrade containerd to 1.7.17 (1.6.32) or later, or: aa-disable /usr/sbin/runc",
        "https://github.com/containerd/containerd/pull/10123",
        "2024-04",
        ("AppArmor profile of runc",),
    ),
    Conflict(
        "dockerd default runtime",
        (("dockerd", "20.10.0 - 20.10.4"),),
        REQUIRED,
        "with a default runtime that is not runc it panics when it starts a managed plugin, and so at every start",
        "upgrade docker to 20.10.4 or later",
        "https://github.com/docker/for-linux/issues/1169",
        "2020-12",
        ("default runtime other than runc", "managed plugins"),
    ),
    Conflict(
        "runc seccomp errno",
        (("dockerd", "20.10.10 -"), ("runc", "- 1.0.0-rc91")),
        REQUIRED,
        "this runc does not know the error that docker's seccomp profile answers clone3 with: no container starts"
        " (`error adding seccomp filter rule for syscall clone3`)",
        "remove the old runc, or upgrade it to 1.0.2 or later",
        "https://github.com/containerd/containerd/issues/6203",
        "2021-11",
    ),
    Conflict(
        "runc container-selinux",
        (("runc", "1.0.0 - 1.0.1"), ("container-selinux", "- 2.165.0")),
        REQUIRED,
        "the policy does not let runc look at the programs that guard devices (`get program by id: permission denied`)",
        "upgrade runc to 1.0.1 or later, and container-selinux",
        "https://github.com/containerd/containerd/issues/5759",
        "2021-07",
        ("v2", "SELinux"),
    ),
    Conflict(
        "runc systemd hierarchy",
        (("systemd", "232 - 233"), ("runc", "- 1.0.0-rc3")),
        REQUIRED,
        "systemd's own hierarchy is of control groups v2, which runc takes for v1 (`no subsystem for mount`)",
        "upgrade runc to 1.0.0-rc3 or later, or boot with systemd.legacy_systemd_cgroup_controller=yes",
        "https://github.com/opencontainers/runc/issues/1175",
        "2016-11",
        ("systemd's hierarchy is v2",),
    ),
    Conflict(
        "linux veth queues",
        (
            (
                "linux",
                "5.15.1 - 5.15.151, 5.16 - 6.1, 6.1.1 - 6.1.81, 6.2 - 6.6, 6.6.1 - 6.6.21, 6.7.1 - 6.7.9",
            ),
        ),
        RECOMMENDED,
        "it makes an interface of a container with a queue for each processor, in one piece of memory: now and then"
        " there is none (`failed to add the host <=> sandbox pair interfaces: cannot allocate memory`)",
        "boot 5.15.151, 6.1.81, 6.6.21, 6.7.9 or a later kernel of that series",
        "https://github.com/docker/for-linux/issues/1443",
        "2023-04",
        ("docker", "many processors"),
    ),
    Conflict(
        "k3s network policies",
        (("linux", "3 -"),),
        REQUIRED,
        "the kernel has no ip sets (CONFIG_IP_SET), and k3s ends when it sets up network policies",
        "boot a kernel with CONFIG_IP_SET, or start k3s with --disable-network-policy",
        "https://github.com/k3s-io/k3s/issues/959",
        "2020-01",
        ("k3s", "no CONFIG_IP_SET"),
    ),
    Conflict(
        "overlay layers in use",
        (("linux", "4.19.56 - 4.19.75, 5.1.15 - 5.2.17"),),
        RECOMMENDED,
        "overlayfs refuses a layer that another mount uses, as docker's build and push do (`device or resource busy`)",
        "boot 4.19.75, 5.2.17 or later",
        "https://github.com/moby/moby/issues/39663",
        "2019-08",
        ("docker",),
    ),
    Conflict(
        "container-selinux docker-ce",
        (("container-selinux", "2.77 - 2.78"), ("docker-ce", "18.09 -")),
        REQUIRED,
        "this policy does not let docker-ce's programs start containers (`exec user process: permission denied`)",
        "upgrade container-selinux, or go back to 2.74",
        "https://github.com/containers/container-selinux/issues/63",
        "2019-02",
        ("SELinux",),
    ),
    Conflict(
        "dockerd apparmor runc profile",
        (("docker-ce", "- 26.1.0"),),
        RECOMMENDED,
        "AppArmor's own profile of runc keeps signals from containers: `docker stop` fails",
        "upgrade docker to 26.1 or later, or: aa-disable /usr/sbin/runc",
        "https://github.com/moby/moby/issues/47720",
        "2024-04",
        ("AppArmor profile of runc",),
    ),
    Conflict(
        "seccomp time64",
        (("libseccomp2", "- 2.4.2"),),
        RECOMMENDED,
        "it does not know the 64-bit time calls: 32-bit images from Alpine 3.13 and Ubuntu 20.04 on fail",
        "upgrade libseccomp2 to 2.4.2 or later (Raspbian 10: from backports)",
        "https://github.com/moby/moby/issues/40734",
        "2020-04",
        ("32-bit",),
    ),
    Conflict(
        "seccomp clone3",
        (("dockerd", "- 20.10.10"),),
        RECOMMENDED,
        "its seccomp profile answers clone3 with EPERM: images with glibc 2.34 or later (Debian 12, Ubuntu 22.04,"
        " EL 9) start no thread",
        "upgrade docker to 20.10.10 or later",
        "https://github.com/moby/moby/issues/42680",
        "2021-07",
        ("images since 2021-08",),
    ),
    Conflict(
        "seccomp faccessat2",
        (("dockerd", "- 20.10.0"),),
        RECOMMENDED,
        "its seccomp profile answers faccessat2 with EPERM: images with musl 1.2.2 or glibc 2.33 and later (Alpine"
        " 3.14, Debian 12) find that no file may be read",
        "upgrade docker to 20.10.0 or later, with libseccomp 2.4.4 or later",
        "https://wiki.alpinelinux.org/wiki/Release_Notes_for_Alpine_3.14.0#faccessat2",
        "2021-06",
        ("images since 2021-08",),
    ),
    Conflict(
        "podman crun",
        (("podman", "5 -"), ("crun", "- 1.14.3")),
        REQUIRED,
        "crun rejects the specification that podman writes (`unknown version specified`): no container starts",
        "upgrade crun to 1.14.3 or later",
        "https://github.com/podman-container-tools/podman/issues/27272",
        "2025-10",
    ),
    Conflict(
        "crun chmod",
        (("linux", "5.15.133 - 5.16, 6.1.54 - 6.2, 6.5 -"), ("crun", "- 1.9.2")),
        REQUIRED,
        "the kernel changes no mode of a link any more, and crun insists: chmod `run/shm`: Operation not supported",
        "upgrade crun to 1.9.2 or later",
        "https://github.com/containers/crun/pull/1309",
        "2023-09",
        ("crun without its distribution's fix",),
    ),
    Conflict(
        "crun bpf",
        (("linux", "- 5.11"), ("crun", "1.14 - 1.14.1")),
        REQUIRED,
        "the kernel refuses the program by which crun guards devices (`bpf create`): no container starts",
        "upgrade crun to 1.14.1 or later",
        "https://github.com/containers/crun/issues/1400",
        "2024-01",
        ("v2",),
    ),
    Conflict(
        "crun pidfd",
        (("linux", "- 5.3"), ("crun", "0.15 - 0.15.1")),
        RECOMMENDED,
        "crun ends containers by what Linux has from 5.3 on (`open pidfd: Function not implemented`)",
        "upgrade crun to 0.15.1 or later",
        "https://github.com/containers/crun/issues/530",
        "2020-10",
    ),
    Conflict(
        "kube-proxy legacy tables",
        (("iptables", "1.8 - 1.8.5"), ("kubelet", "- 1.17")),
        REQUIRED,
        "kube-proxy brings an iptables that writes other tables than the host's: services are not reached",
        "update-alternatives --set iptables /usr/sbin/iptables-legacy, or Kubernetes 1.17",
        "https://github.com/kubernetes/kubernetes/issues/71305",
        "2018-11",
        ("iptables-nft",),
    ),
    Conflict(
        "kube-proxy conntrack",
        (("linux", "5.10.35 - 5.11, 5.12.2 -"),),
        REQUIRED,
        "nf_conntrack_max can be set on the host only, and kube-proxy in a node that is a container wants more",
        "sysctl net.netfilter.nf_conntrack_max=524288 on the host, or kube-proxy --conntrack-max-per-core=0",
        "https://github.com/kubernetes-sigs/kind/issues/2240",
        "2021-05",
        ("nodes in containers", "few connections"),
    ),
    Conflict(
        "k3s iptables check",
        (("iptables", "1.8.10 - 1.8.11"),),
        RECOMMENDED,
        "this iptables-nft says of rules that are there that they are not, and k3s adds them without end",
        "upgrade iptables to 1.8.11, or start k3s with --prefer-bundled-bin",
        "https://github.com/cloudnativelabs/kube-router/issues/1789",
        "2024-12",
        ("iptables-nft", "k3s"),
    ),
    Conflict(
        "network files of CNI",
        (("containernetworking-plugins", "- 1.0"),),
        REQUIRED,
        "a file of /etc/cni/net.d is of version 1.0.0, which these plugins do not know: its network is not there",
        'install containernetworking-plugins 1.0 or later, or write "cniVersion": "0.4.0" into the file',
        "https://github.com/actions/runner-images/issues/7753",
        "2023-06",
        ("CNI files of 1.0.0",),
    ),
    Conflict(
        "podman AppArmor signals",
        (("podman", "4.0 - 5.2"),),
        RECOMMENDED,
        "the profile that podman gives to containers takes no signal from a crun with a profile: podman stop fails",
        "upgrade podman (Ubuntu 24.04: to 4.9.3+ds1-1ubuntu0.1 or later)",
        "https://github.com/containers/common/issues/1898",
        "2024-03",
        ("AppArmor profile of crun", "podman without its distribution's fix"),
    ),
)

RELEASES: tuple[tuple[str, str, str, str], ...] = (
    (
        r"4\.15\.0-60-generic",
        "panics when containers start",
        "boot another, or install linux-image-4.15.0-62-generic or later",
        "https://bugs.launchpad.net/bugs/1842447",
    ),
    (
        r"5\.13\.0-1028-aws",
        "crashes when docker makes a container",
        "boot another, or install linux-image-5.13.0-1029-aws or later",
        "https://lwn.net/Articles/899420/",
    ),
)
"""Builds of kernels that fail with containers: a pattern of `uname -r`, what happens, what mends it, and its source."""
