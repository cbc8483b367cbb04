"""How the kernel checks judge an option: what it depends on, and what stands in for it."""

from __future__ import annotations

from collections.abc import Iterator

from hostcheck._typing import TYPE_CHECKING, Optional
from hostcheck.api import Finding, Host, NotApplicable, Severity, Unavailable, Version, failed, passed
from hostcheck.facts import boot as boot_facts
from hostcheck.facts import cgroup, engine, firewall, modules, releases
from hostcheck.facts import kernel as kernel_facts
from hostcheck.facts.kernel import Config, Kernel

from . import _kernel_options as table
from ._kernel_options import Option

if TYPE_CHECKING:
    from hostcheck.facts import storage


class Situation:
    """What the requirements of one kernel depend on."""

    def __init__(self, host: Host, kernel: Kernel, config: Optional[Config], backend: str = "auto") -> None:
        """Ask the host; what it cannot tell is None."""
        self.host = host
        self.kernel = kernel
        self.config = config
        self.version = (config.version if config is not None else None) or releases.version_of(kernel.release)
        self.mode = cgroup_mode(host, kernel, self.version)
        self.docker = docker(host)
        self.backend = backend if backend != "auto" else firewall_backend(host)
        """`legacy`, `nft` (iptables-nft), `native` (the engine's own nftables), `off`, or None."""

    def before(self, version: str) -> bool:
        """Return whether the kernel is older; one whose version is not known counts as new.

        A release candidate has what its release has: options come and go in the merge window before it.
        """
        return self.version is not None and self.version.numbers < Version(version).numbers

    def enabled(self, name: str) -> Optional[bool]:
        """Return whether an option (`A|B`: either) is there, None where nothing tells."""
        answers = [self.value(each) for each in name.split("|")]
        if any(answer in ("y", "m") for answer in answers):
            return True
        return False if all(answer == "n" for answer in answers) else None

    def value(self, name: str) -> Optional[str]:
        """Return `y`, `m` or `n`; without a configuration what the machine itself shows, else None."""
        if self.config is not None:
            value = self.config.get(name, "n")
            return value if value in ("y", "m") else "n"
        return evidence(self.host, self.kernel, name)

    def cmdline(self, name: str) -> Optional[str]:
        """Return the value of an option of the kernel's command line, None where it is not given."""
        try:
            if self.kernel.when == "boot":
                return boot_facts.option(boot_facts.boot(self.host).cmdline, name)
            return boot_facts.option(self.host.read("/proc/cmdline"), name)
        except (OSError, Unavailable):
            return None


def cgroup_mode(host: Host, kernel: Kernel, version: Optional[Version]) -> Optional[str]:
    """Return the cgroup mode of that kernel; before 4.5 there is only v1, whatever init asks for."""
    if version is not None and version < Version("4.5"):
        return "v1"
    try:
        found = cgroup.mode(host)
    except (OSError, Unavailable):
        return None
    return found.now if kernel.when == "now" else found.boot


def docker(host: Host) -> Optional[Version]:
    """Return the version of docker that is installed or assumed, None where none is known."""
    try:
        return engine.docker_version(host)
    except (OSError, Unavailable, ValueError):
        return None


def firewall_backend(host: Host) -> Optional[str]:
    """Return what the rules will be written through: `legacy`, `nft`, `native` or `off`; None where nothing tells."""
    # Imported here: reading dockerd's configuration needs its tables, which most of these checks do without.
    from hostcheck.facts import docker as docker_facts

    try:
        if docker_facts.setting(host, "firewall-backend") == "nftables":
            return "native"
        if docker_facts.setting(host, "iptables") is False:
            return "off"
    except (NotApplicable, OSError, Unavailable, ValueError):
        pass
    return firewall.backend(host)


SIGNS = {
    "OVERLAY_FS": ("/proc/filesystems", "\toverlay "),
    "POSIX_MQUEUE": ("/proc/filesystems", "\tmqueue "),
    "BTRFS_FS": ("/proc/filesystems", "\tbtrfs "),
    "EXT4_FS": ("/proc/filesystems", "\text4 "),
    "TMPFS": ("/proc/filesystems", "\ttmpfs "),
    "SYSFS": ("/proc/filesystems", "\tsysfs "),
    "PROC_FS": ("/proc/filesystems", "\tproc "),
    "CGROUPS": ("/proc/cgroups", "#subsys_name"),
    "MEMCG": ("/sys/fs/cgroup/cgroup.controllers", "memory"),
    "CPUSETS": ("/sys/fs/cgroup/cgroup.controllers", "cpuset"),
    "CGROUP_SCHED": ("/sys/fs/cgroup/cgroup.controllers", "cpu "),
    "CGROUP_PIDS": ("/sys/fs/cgroup/cgroup.controllers", "pids"),
    "SECCOMP": ("/proc/self/status", "\nSeccomp:"),
    "SECCOMP_FILTER": ("/proc/sys/kernel/seccomp/actions_avail", "errno"),
    "KEYS": ("/proc/keys", ""),
    "NET": ("/proc/net/dev", ""),
    "INET": ("/proc/net/route", ""),
    "UNIX": ("/proc/net/unix", ""),
    "NAMESPACES": ("/proc/self/status", "\nNSpid:"),
}
"""What a running kernel shows where it has an option: a file, and a text in it."""

NAMESPACE_OPTIONS = {"NET_NS": "net", "PID_NS": "pid", "IPC_NS": "ipc", "UTS_NS": "uts", "USER_NS": "user"}
MODULE_OPTIONS = {needed.option: needed.module for needed in table.MODULES}


def evidence(host: Host, kernel: Kernel, name: str) -> Optional[str]:
    """Return `y` or `m` where the machine itself shows that its kernel has an option, else None.

    It is never `n`: what a kernel does not show may be a module that nobody has asked for yet.
    """
    if name in MODULE_OPTIONS:
        found = modules.loadable(host, kernel, MODULE_OPTIONS[name], by_name=True)
        if found.state == "builtin":
            return "y"
        if found.state in ("loaded", "loadable", "forbidden"):
            return "m"
    if kernel.when != "now":
        return None
    try:
        if name in NAMESPACE_OPTIONS and host.exists(f"/proc/self/ns/{NAMESPACE_OPTIONS[name]}"):
            return "y"
        # A space before the end of a line, so that "cpu " is told from "cpuset" at the end, too.
        if name in SIGNS and SIGNS[name][1] in host.read(SIGNS[name][0]).replace("\n", " \n"):
            return "y"
    except (OSError, Unavailable):
        return None
    return None


def situations(host: Host, backend: str = "auto") -> Iterator[Situation]:
    """Yield what is to be judged: the kernel that runs, and the one that will boot."""
    for kernel in kernel_facts.kernels(host):
        yield Situation(host, kernel, kernel_facts.config(host, kernel.release), backend)


def applies(option: Option, here: Situation) -> bool:
    """Return whether this kernel could have the option, and anything here could need it."""
    if option.since and here.before(option.since):
        return False
    if option.until and not here.before(option.until):
        return False
    if option.condition.startswith("docker<"):
        limit = Version(option.condition.partition("<")[2])
        return here.docker is not None and here.docker < limit
    if option.condition == "ext3":
        return here.enabled("EXT4_USE_FOR_EXT2") is not True
    if option.condition == "default" and here.config is not None:
        return option.name in here.config or here.config.line(option.name) is not None
    if option.name.startswith("LEGACY_VSYSCALL") or option.name == "MEMCG_DISABLED":
        return here.enabled(option.name) is True
    return True


def demand(option: Option, here: Situation) -> tuple[Optional[str], str]:
    """Return how much an absent option matters here, None for not at all, and why."""
    condition = option.condition
    if condition == "v1":
        if here.mode == "v2":
            return None, "only cgroup v1 needs it, and this is v2"
        return (option.severity, "") if here.mode else ("info", "if this boots with cgroup v1")
    if condition == "v2":
        if here.mode == "v1":
            return None, "only cgroup v2 needs it, and this is v1"
        return option.severity if here.mode == "v2" else "recommended", ""
    if condition == "cpuset":
        return option.severity if here.mode != "v2" else "recommended", ""
    if condition.startswith("follows ") and here.config is not None and here.config.line(option.name) is None:
        leader = condition.partition(" ")[2]
        if here.enabled(leader):
            return "info", f"or it follows CONFIG_{leader}, unsaid"
    if condition == "overlay":
        severity, why = demand_of_overlay(option.severity, here)
        return ("recommended", "") if severity == "required" and here.enabled("BTRFS_FS") else (severity, why)
    if condition == "swap" and here.cmdline("swapaccount") in ("", "1"):
        return None, "swapaccount=1 on the command line does the same"
    if condition == "labels":
        strict = here.docker is not None and here.docker >= Version("25.0") and lies_on_ext4(here)
        return "required" if strict else option.severity, ""
    return demand_of_firewall(option, here)


def lies_on_ext4(here: Situation) -> bool:
    """Return whether docker keeps its images on ext4."""
    from hostcheck.facts import mounts, storage

    look = mounts.now if here.host.kind == "live" and here.kernel.when == "now" else mounts.boot
    try:
        mount = look(here.host, storage.data_root(here.host)[0])
    except (NotApplicable, OSError, Unavailable):
        return False
    return mount is not None and mount.type == "ext4"


def demand_of_overlay(severity: str, here: Situation) -> tuple[str, str]:
    """Return how much it matters that there is no overlayfs, and why not more."""
    other = other_driver(here)
    if other is not None and other.how == "configured":
        return "info", f"docker is told to use {other.name}"
    if other is not None:
        return "recommended", f"docker will use {other.name}"
    return severity, ""


def other_driver(here: Situation) -> Optional[storage.Driver]:
    """Return the storage driver with which docker does without overlayfs, None where it does not.

    dockerd takes the first of its drivers that works, and vfs always does (daemon/graphdriver/driver.go).
    """
    if here.docker is None:
        return None
    # Imported here: where the kernel has overlayfs, which is nearly everywhere, nobody asks.
    from hostcheck.facts import storage

    try:
        chosen = storage.driver(here.host)
    except (NotApplicable, OSError, Unavailable, ValueError):
        return None
    needs_it = chosen.name in ("", "overlay2", "overlay", "overlayfs")
    return None if needs_it or chosen.error else chosen


def prefers_nft(here: Situation) -> bool:
    """Return whether iptables is iptables-nft; where none is installed, a kernel without the others decides."""
    if here.backend is not None:
        return here.backend == "nft"
    return not (here.enabled("IP_NF_FILTER") and here.enabled("IP_NF_NAT"))


def lets_in(host: Host) -> bool:
    """Return whether dockerd is told to go without rules in the table raw."""
    from hostcheck.facts import systemd

    try:
        unit = systemd.unit(host, "docker.service")
        told = systemd.environment(host, unit) if unit is not None else {}
    except (OSError, Unavailable):
        return False
    return told.get("DOCKER_INSECURE_NO_IPTABLES_RAW", ("",))[0] == "1"


def demand_of_firewall(option: Option, here: Situation) -> tuple[Optional[str], str]:
    """Return the same for the options of iptables and nftables, which stand in for each other."""
    condition = option.condition
    if here.backend == "off" and option in table.NETFILTER:
        return "info", "dockerd is told to leave iptables alone"
    if condition in ("iptables", "ip6tables", "raw"):
        if here.backend == "native":
            return None, "the engine writes nftables itself"
        parts = table.STAND_INS.get(option.name)
        if parts and prefers_nft(here) and all(here.enabled(part) for part in parts):
            return None, "iptables-nft does without it"
        gate = (
            option.name == "NETFILTER_XTABLES_LEGACY"
            and here.backend != "legacy"
            and here.enabled("IP_NF_NAT")
        )
        if condition == "raw" and (here.docker is None or lets_in(here.host)):
            return "recommended", ""
        if condition == "raw" and here.docker is not None and here.docker < Version("28.0"):
            return "info", f"this is docker {here.docker}"
        return ("info" if gate else option.severity), ""
    if condition == "xtables" and here.backend == "native":
        return None, "the engine writes nftables itself"
    wanted = {"nft": ("nft", "native"), "compat": ("nft",), "native": ("native",), "legacy": ("legacy",)}
    if condition in wanted and here.backend not in wanted[condition]:
        return "info", ""
    return option.severity, ""


def satisfied_by(option: Option, here: Situation) -> Optional[str]:
    """Return which of an option and its aliases is there, None if none is, or nothing tells."""
    if here.enabled(option.name):
        return option.name
    for alias in option.aliases:
        name, _, since = alias.partition(">=")
        if here.enabled(name) and not (since and here.before(since)):
            return name
    return None


def judge(option: Option, here: Situation, required: tuple[str, ...] = ()) -> Optional[Finding]:
    """Return what is to be said of one option, None where nothing can be."""
    subject = f"CONFIG_{option.name}"
    value = here.value(option.name)
    config = here.config
    more: dict[str, object] = {
        "value": value or "n",
        "when": here.kernel.when,
        "path": config.path if config is not None else None,
        "line": config.line(option.name) if config is not None else None,
    }
    release = here.kernel.release
    if option.condition == "unwanted":
        return unwanted(option, here, more, required)
    name = satisfied_by(option, here)
    more["expected"] = "y or m"
    if name == option.name:
        return passed(subject, f"CONFIG_{name}={value}", **more)
    if name is not None:
        return passed(subject, f"not set, but CONFIG_{name} is, which does the same in {release}", **more)
    if value is None:
        return None
    severity, why = demand(option, here)
    if option.name in required:
        severity = "required"
    if severity is None:
        return passed(subject, f"not set in {release}, and not needed: {why}", **more)
    return failed(
        subject,
        f"not set in {release}: {option.breaks}" + (f" ({why})" if why else ""),
        severity=Severity(severity),
        hint=hint(option, here),
        commands=commands(option, here),
        **more,
    )


def unwanted(
    option: Option, here: Situation, more: dict[str, object], required: tuple[str, ...]
) -> Optional[Finding]:
    """Return what is to be said of an option that is better not set, and must not be where it is in `required`."""
    subject = f"CONFIG_{option.name}"
    value = here.value(option.name)
    if value is None:
        return None
    more["expected"] = "n"
    if value == "n":
        return passed(subject, "not set, as it should be", **more)
    if option.name == "MEMCG_DISABLED" and here.cmdline("cgroup_enable") == "memory":
        return passed(subject, "cgroup_enable=memory on the command line counts instead", **more)
    told = here.cmdline("vsyscall") if option.name.startswith("LEGACY_VSYSCALL") else None
    if told in ("emulate", "xonly"):
        return passed(subject, f"vsyscall={told} on the command line counts instead", **more)
    if told is None and option.name == "LEGACY_VSYSCALL_NONE":
        more["hint"] = "add vsyscall=emulate to the kernel command line where such old images are to run"
    severity = Severity.REQUIRED if option.name in required else Severity(option.severity)
    return failed(subject, f"set in {here.kernel.release}: {option.breaks}", severity=severity, **more)


SWITCH = (
    "update-alternatives --set iptables /usr/sbin/iptables-{0}"
    " && update-alternatives --set ip6tables /usr/sbin/ip6tables-{0}"
)


def commands(option: Option, here: Situation) -> list[str]:
    """Return what to type: only the choice between the two iptables can be made without another kernel."""
    if not here.host.exists("/etc/alternatives/iptables"):
        return []
    legacy = all(here.enabled(name) for name in ("IP_NF_FILTER", "IP_NF_NAT"))
    if option.condition in ("nft", "compat") and here.backend == "nft" and legacy:
        return [SWITCH.format("legacy")]
    nft = all(here.enabled(part) for part in table.NFT_NAT)
    return (
        [SWITCH.format("nft")] if option.condition == "iptables" and here.backend == "legacy" and nft else []
    )


def hint(option: Option, here: Situation) -> str:
    """Return how to mend a missing option, in words."""
    if option.name == "CGROUP_BPF" and here.mode == "v2":
        return "boot a kernel with CONFIG_CGROUP_BPF=y, or with cgroup v1 where systemd is older than 256"
    text = f"boot a kernel that is built with CONFIG_{option.name}, as the distribution's own usually is"
    if option.condition == "raw":
        text += (
            "; or set DOCKER_INSECURE_NO_IPTABLES_RAW=1 in the unit (docker 28.0.2), which lets neighbours in"
        )
    return text
