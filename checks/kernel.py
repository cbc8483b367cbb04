"""The kernel: its version, its options, and that it is whole; for the one that runs and the one that will boot."""

from __future__ import annotations

from collections.abc import Iterator

from hostcheck.api import Check, Finding, Host, Severity, Unavailable, Version, failed, passed
from hostcheck.facts import kernel as kernel_facts
from hostcheck.facts import modules, network, releases, storage

from . import _kernel_options as table
from ._kernel_judge import Situation, applies, judge, situations

SWARM = ("docker-state.json", "state.json")
"""Files below swarm/ in the data root of a machine that is in a swarm."""


class _Options(Check):
    """Judge the options of one topic; not a check itself."""

    _topic = ""

    def _run(self, host: Host, required: tuple[str, ...], backend: str = "auto") -> Iterator[Finding]:
        unknown: list[str] = []
        releases: set[str] = set()
        found = 0
        for here in situations(host, backend):
            for option in table.TOPICS[self._topic]:
                if not applies(option, here):
                    continue
                finding = judge(option, here, required)
                if finding is not None:
                    found += 1
                    yield finding
                elif option.severity == "required" or option.name in required or here.config is None:
                    unknown.append(option.name)
                    releases.add(here.kernel.release)
        if (
            any(
                option.severity == "required"
                for option in table.TOPICS[self._topic]
                if option.name in unknown
            )
            or not found
        ):
            names = ", ".join(f"CONFIG_{name}" for name in unknown[:3]) + (" ..." if len(unknown) > 3 else "")
            which = " and ".join(sorted(releases))
            raise Unavailable(f"no configuration of kernel {which} is to be found: {names} cannot be told")


class KernelConfigBase(_Options):
    """The kernel has the namespaces and file systems that every container needs.

    *Why*: a kernel built without one of them starts no container, or containers that are not isolated.

    *Needs*: the configuration of the kernel that runs (/proc/config.gz or /boot/config-RELEASE) and of the one
    that will boot; where there is none, what the running kernel shows counts. `y` and `m` are both good.

    *Fix*: boot a kernel of the distribution, or build one with the option.
    """

    id = "kernel.config_base"
    severity = Severity.REQUIRED
    references = (table.MOBY, table.RUNC, table.SYSTEMD)
    _topic = "base"
    required: tuple[str, ...] = ()
    """Options, without CONFIG_, that must be there whatever the table says; USER_NS also where userns-remap is set."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        remapped = bool(network.engine_option(host, "userns-remap", ""))
        return self._run(host, (*self.required, "USER_NS") if remapped else self.required)


class KernelConfigCgroup(_Options):
    """The kernel has the controllers that limit containers.

    *Why*: without them no engine starts, or limits have no effect.

    *Needs*: the configuration of the kernel, and the cgroup mode: the devices, freezer and cpuacct controllers
    (and MEMCG_V1, CPUSETS_V1 from 6.11 and 6.12 on) only on v1, CGROUP_BPF only on v2.

    *Fix*: boot a kernel of the distribution, or build one with the option.
    """

    id = "kernel.config_cgroup"
    severity = Severity.REQUIRED
    references = (
        table.MOBY,
        table.RUNC,
        table.VALIDATORS,
        "https://docs.kernel.org/admin-guide/cgroup-v2.html",
    )
    _topic = "cgroup"
    required: tuple[str, ...] = ()
    """Options, without CONFIG_, that must be there whatever the table says (Kubernetes: CGROUP_PIDS), or must not
    be where it says that they are better not set (MEMCG_DISABLED)."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        return self._run(host, self.required)


class KernelConfigNetwork(_Options):
    """The kernel has the devices that containers are wired with.

    *Why*: without veth and bridge there is no container network; the others serve single network drivers.

    *Needs*: the configuration of the kernel.

    *Fix*: boot a kernel of the distribution, or build one with the option.
    """

    id = "kernel.config_network"
    severity = Severity.REQUIRED
    references = (table.MOBY, table.RUNC, table.K3S)
    _topic = "network"
    required: tuple[str, ...] = ()
    """Options, without CONFIG_, that must be there whatever the table says (rootless: TUN); VXLAN also in a swarm."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        folder = f"{storage.data_root(host)[0]}/swarm"
        hidden: PermissionError | None = None
        try:
            swarm = any(host.exists(f"{folder}/{name}") for name in SWARM)
        except PermissionError as error:
            swarm, hidden = False, error
        lacking = False
        for finding in self._run(host, (*self.required, "VXLAN") if swarm else self.required):
            lacking |= finding.subject == "CONFIG_VXLAN" and not finding.ok
            yield finding
        # The folder is root's. All but VXLAN is the same in a swarm, and where that is there no swarm lacks it.
        if hidden is not None and lacking:
            raise hidden


class KernelConfigNetfilter(_Options):
    """The kernel has the tables, matches and targets that the engine's firewall rules are made of.

    *Why*: dockerd does not start where it cannot write its NAT rules.

    *Needs*: the configuration of the kernel, and which iptables the host has. Legacy tables (IP_NF_*) are
    needed for iptables-legacy only: iptables-nft works with NF_TABLES, NFT_COMPAT, NFT_NAT and the x_tables
    matches, and docker 29 with `firewall-backend: nftables` without x_tables at all.

    *Fix*: choose the iptables that the kernel can serve, or boot another kernel.
    """

    id = "kernel.config_netfilter"
    severity = Severity.REQUIRED
    references = (
        table.MOBY,
        table.RUNC,
        table.K3S,
        "https://docs.docker.com/engine/network/firewall-nftables/",
    )
    _topic = "netfilter"
    required: tuple[str, ...] = ()
    """Options, without CONFIG_, that must be there whatever the table says."""
    backend: str = "auto"
    """`legacy`, `nft` (iptables-nft), `native` (the engine's own nftables); `auto` looks at the host."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        return self._run(host, self.required, self.backend)


class KernelConfigOverlay(_Options):
    """The kernel has overlayfs, and the file systems that images may lie on.

    *Why*: overlay2 and the overlayfs snapshotter are what every engine uses unless told otherwise.

    *Needs*: the configuration of the kernel. Options of a single file system are of interest only where it is used.

    *Fix*: boot a kernel of the distribution, or build one with CONFIG_OVERLAY_FS.
    """

    id = "kernel.config_overlay"
    severity = Severity.REQUIRED
    references = (table.MOBY, "https://docs.docker.com/engine/storage/drivers/select-storage-driver/")
    _topic = "overlay"
    required: tuple[str, ...] = ()
    """Options, without CONFIG_, that must be there whatever the table says."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        return self._run(host, self.required)


class KernelConfigSecurity(_Options):
    """The kernel can confine containers.

    *Why*: without seccomp filters every system call is open to every container.

    *Needs*: the configuration of the kernel.

    *Fix*: boot a kernel of the distribution, or build one with CONFIG_SECCOMP_FILTER.
    """

    id = "kernel.config_security"
    severity = Severity.RECOMMENDED
    references = (table.MOBY, "https://docs.docker.com/engine/security/seccomp/")
    _topic = "security"
    required: tuple[str, ...] = ()
    """Options, without CONFIG_, that must be there whatever the table says (Kubernetes: SECCOMP)."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        return self._run(host, self.required)


class KernelConfigOptional(_Options):
    """The kernel has what single features of engines need.

    *Why*: swarm, encrypted networks, SCTP, FTP through NAT and checkpoints each need options of their own.

    *Needs*: the configuration of the kernel.

    *Fix*: boot a kernel of the distribution, or build one with the option.
    """

    id = "kernel.config_optional"
    severity = Severity.INFO
    references = (table.MOBY, table.RUNC, table.K3S)
    _topic = "optional"
    required: tuple[str, ...] = ()
    """Options, without CONFIG_, that must be there whatever the table says."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        return self._run(host, self.required)


class KernelVersion(Check):
    """The kernel is new enough for containers in its cgroup mode.

    *Why*: on cgroup v2 devices are kept from containers by BPF since 4.15, cpuset came in 5.0 and the freezer,
    without which `docker pause` and a safe kill fail, in 5.2. Before 3.10 no engine works.

    *Needs*: the release of the kernel that runs or boots, and the cgroup mode. Vendors backport (EL7: overlay2
    from 3.10.0-514; EL8: the freezer), so what a running kernel shows counts more than its number.

    *Fix*: boot a newer kernel, or cgroup v1 where systemd is older than 256.
    """

    id = "kernel.version"
    severity = Severity.REQUIRED
    references = (
        "https://github.com/opencontainers/runc/blob/main/docs/cgroup-v2.md",
        "https://man7.org/linux/man-pages/man7/cgroups.7.html",
        "https://docs.docker.com/engine/install/binaries/#prerequisites",
        "https://github.com/opencontainers/runc/issues/1725",
    )
    minimum: str = "3.10"
    """The oldest kernel version that will do, whatever the cgroup mode (Kubernetes: 5.4)."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        for here in situations(host):
            version = releases.version_of(here.kernel.release) or here.version
            if version is None:
                raise Unavailable(f"{here.kernel.release} tells no version")
            yield self._floor(here, version)
            for subject, since, severity, cost in STEPS:
                finding = step(here, version, subject, since, severity, cost)
                if finding is not None:
                    yield finding
            yield from known_bad(here, version)

    def _floor(self, here: Situation, version: Version) -> Finding:
        floor, why = Version(self.minimum), "no engine runs on an older one"
        if here.mode == "v2" and floor < Version("4.15"):
            floor, why = Version("4.15"), "on cgroup v2 devices cannot be kept from containers before"
        release = here.kernel.release
        more = {
            "value": release,
            "expected": f"{floor} or later",
            "when": here.kernel.when,
            "path": here.kernel.path,
        }
        if version >= floor:
            return passed(
                "linux",
                f"{release} is new enough" + (f" for cgroup {here.mode}" if here.mode else ""),
                **more,
            )
        hint = "boot a newer kernel"
        if here.mode == "v2" and version >= Version(self.minimum):
            hint += ", or cgroup v1 with systemd.unified_cgroup_hierarchy=0 (systemd before 256)"
        return failed("linux", f"{release} is older than {floor}: {why}", hint=hint, **more)


STEPS = (
    ("linux cpuset on cgroup v2", "5.0", Severity.RECOMMENDED, "there is no cpuset controller"),
    (
        "linux freezer on cgroup v2",
        "5.2",
        Severity.RECOMMENDED,
        "containers can be neither paused nor killed safely",
    ),
    ("linux hugetlb on cgroup v2", "5.6", Severity.INFO, "huge pages cannot be limited"),
    ("linux overlay2", "4.0", Severity.RECOMMENDED, "overlay2 does not work; docker falls back to vfs"),
)
"""What came later than the oldest kernel that will do: subject, version, severity, and what is lost before it."""

SHOWN_BY = {
    "linux cpuset on cgroup v2": ("/sys/fs/cgroup/cgroup.controllers", "cpuset"),
    "linux freezer on cgroup v2": ("/sys/fs/cgroup/system.slice/cgroup.freeze", ""),
    "linux hugetlb on cgroup v2": ("/sys/fs/cgroup/cgroup.controllers", "hugetlb"),
    "linux overlay2": ("/proc/filesystems", "\toverlay\n"),
}


def step(
    here: Situation, version: Version, subject: str, since: str, severity: Severity, cost: str
) -> Finding | None:
    """Return whether a kernel is past one of the steps, None where that does not matter here."""
    on_v2 = subject.endswith("v2")
    if on_v2 and here.mode != "v2":
        return None
    release = here.kernel.release
    more = {
        "value": release,
        "expected": f"{since} or later",
        "when": here.kernel.when,
        "path": here.kernel.path,
    }
    if version >= Version(since):
        return passed(subject, f"{release} has it", **more)
    if backported(here, release, version, on_v2):
        return passed(subject, f"{release} has it: its vendor brought it back", **more)
    if subject == "linux overlay2" and here.docker is not None and here.docker < Version("24.0"):
        # It still has aufs, overlay and devicemapper (docs.docker.com/engine/deprecated).
        severity = Severity.INFO
    path, sign = SHOWN_BY[subject]
    try:
        if here.kernel.when == "now" and on_v2 and sign in here.host.read(path):
            return passed(subject, f"{release} shows it: {path}", **more)
    except (OSError, Unavailable):
        pass
    return failed(subject, f"{release} is older than {since}: {cost}", severity=severity, **more)


def backported(here: Situation, release: str, version: Version, on_v2: bool) -> bool:
    """Return whether a vendor's older kernel has it: EL8 all of cgroup v2, EL7.4 and later overlay2.

    RHEL 8 supports cgroup v2 since 8.2; overlay2 on EL7 since 3.10.0-514 (docker's select-storage-driver page).
    """
    if ".el8" in release:
        return version >= Version("4.18")
    if on_v2 or ".el7" not in release:
        return False
    build = release.partition("-")[2].partition(".")[0]
    return build.isdecimal() and int(build) >= 514


def known_bad(here: Situation, version: Version) -> Iterator[Finding]:
    """Yield what is known of engines that ask for more, and of a leak."""
    release = here.kernel.release
    more = {"value": release, "when": here.kernel.when, "path": here.kernel.path}
    # CVE-2019-5736: the fixed runc clones itself into a memfd, which came in 3.17; EL7 has it in 3.10.
    old = version < Version("3.17") and ".el7" not in release
    if old and here.docker is not None and here.docker >= Version("18.06.2"):
        text = f"{release} has no memfd_create: docker {here.docker} starts no container"
        yield failed("linux memfd", text, expected="3.17 or later", hint="boot a newer kernel", **more)
    if leaks_kmem(release) and here.cmdline("cgroup.memory") != "nokmem":
        text = f"{release} leaks memory cgroups where the runtime accounts for kernel memory"
        commands = ["grubby --update-kernel=ALL --args=cgroup.memory=nokmem"]
        yield failed("linux kmem", text, severity=Severity.INFO, commands=commands, **more)


def leaks_kmem(release: str) -> bool:
    """Return whether it is an EL7 kernel before 3.10.0-1062.4.1, which frees no cgroup that had kernel memory.

    >>> leaks_kmem("3.10.0-957.1.3.el7.x86_64"), leaks_kmem("3.10.0-1160.el7.x86_64")
    (True, False)
    """
    version, _, build = release.partition("-")
    if ".el7" not in release or version != "3.10.0":
        return False
    numbers = [int(part) for part in build.partition(".el7")[0].split(".") if part.isdecimal()]
    return numbers < [1062, 4, 1]


class KernelBoot(Check):
    """The kernel, its configuration and its modules belong together.

    *Why*: after an upgrade without a reboot the modules of the running kernel are gone: what is not loaded yet
    cannot be loaded, and the engine fails with `modprobe: FATAL`. An image whose kernel has no modules folder
    boots, and runs no container.

    *Needs*: the release that runs and the one that the default boot entry boots; /lib/modules/RELEASE with
    modules.dep; the version in the head of its configuration. A kernel with everything built in needs no folder.

    *Fix*: reboot after an upgrade; install the modules of the kernel that boots, and run depmod.
    """

    id = "kernel.boot"
    severity = Severity.REQUIRED
    references = (
        "https://man7.org/linux/man-pages/man8/depmod.8.html",
        "https://wiki.archlinux.org/title/General_troubleshooting#Cannot_use_some_peripherals_after_kernel_upgrade",
        "https://github.com/moby/moby/issues/13241",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        for here in situations(host):
            yield from self._modules(host, here)
            yield from self._config(here)

    def _modules(self, host: Host, here: Situation) -> Iterator[Finding]:
        release, when = here.kernel.release, here.kernel.when
        folder = f"/lib/modules/{release}"
        its = modules.tree(host, release)
        more = {"when": when, "path": its.folder or folder, "expected": "modules.dep in it"}
        if its.indexed:
            yield passed(folder, f"{len(its.files)} modules", value=its.folder, **more)
            return
        if here.config is not None and not wants_modules(here):
            yield passed(folder, "not needed: what containers need is built in", **more)
            return
        if its.folder is not None:
            text = f"{its.folder} has no modules.dep: modprobe finds no module"
            yield failed(folder, text, value="no modules.dep", commands=[f"depmod -a {release}"], **more)
            return
        others = [other for other in releases.installed_releases(host) if other != release]
        with_modules = [other for other in others if kernel_facts.modules_folder(host, other)]
        if when == "now" and with_modules:
            text = f"the modules of the running kernel {release} are gone: upgraded, but not rebooted"
            yield failed(folder, text, value="gone", commands=["systemctl reboot"], **more)
        elif here.config is None and not with_modules:
            raise Unavailable(f"neither modules nor a configuration of kernel {release} are here")
        else:
            text = f"kernel {release} has no modules folder: what it needs cannot be loaded"
            hint = f"install the modules of {release} (make modules_install, or its package), then depmod -a {release}"
            yield failed(folder, text, value="missing", hint=hint, **more)

    def _config(self, here: Situation) -> Iterator[Finding]:
        if here.config is None or here.config.version is None:
            return
        release, version = here.kernel.release, here.config.version
        own = releases.version_of(release)
        more = {
            "value": version,
            "when": here.kernel.when,
            "path": here.config.path,
            "expected": f"that of {release}",
        }
        if own is None or kernel_facts.same_series(own, version):
            yield passed("kernel config", f"made for {version}", **more)
        else:
            text = f"the configuration is that of {version}, the kernel is {release}"
            yield failed("kernel config", text, severity=Severity.RECOMMENDED, **more)


def wants_modules(here: Situation) -> bool:
    """Return whether something that containers need is a module of this kernel."""
    return any(here.value(needed.option) == "m" for needed in table.MODULES if needed.severity == "required")
