"""Which control groups the host has, now and after its next boot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hostcheck._typing import Optional
from hostcheck.facts import boot as boot_facts
from hostcheck.facts import init as init_facts
from hostcheck.facts import kernel as kernel_facts
from hostcheck.facts import mounts as mount_facts
from hostcheck.facts import os as os_facts
from hostcheck.facts.boot import option
from hostcheck.facts.files import names, text
from hostcheck.facts.mounts import Mount
from hostcheck.facts.packages import packages
from hostcheck.facts.releases import version_of
from hostcheck.host import Host, Unavailable
from hostcheck.record import Record
from hostcheck.versions import Version

TOP = "/sys/fs/cgroup"
"""Where every init mounts the control groups, and every engine looks for them."""

UNIFIED = "systemd.unified_cgroup_hierarchy"
LEGACY = "systemd.legacy_systemd_cgroup_controller"
FORCE = "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE"

WORDS = (
    UNIFIED,
    LEGACY,
    FORCE,
    "cgroup_no_v1",
    "cgroup_enable",
    "cgroup_disable",
    "cgroup_memory",
    "swapaccount",
)
"""Options of the kernel command line that change the control groups."""


class Mode(Record):
    """Which hierarchy of control groups is used: `v1`, `hybrid`, `v2`, `none` or `boot-fails`; None unknown."""

    now: Optional[str]
    boot: Optional[str]
    evidence: tuple[str, ...]
    """How the answer for the next boot was found, step by step, for a reader."""
    path: Optional[str]
    """The file that decides the next boot."""
    line: Optional[int]
    init: Optional[str] = None
    """The init that mounts it."""
    systemd: Optional[int] = None
    """The version of systemd, where that is the init."""


class Outlook(Record):
    """What the next boot will mount, and which file decides it."""

    mode: Optional[str]
    evidence: tuple[str, ...]
    path: Optional[str] = None
    line: Optional[int] = None


def mounts(host: Host) -> tuple[Mount, ...]:
    """Return the mounted hierarchies of control groups, in the order of the mounts.

    Raises:
        Unavailable: nothing runs.

    """
    return tuple(mount for mount in mount_facts.mounted(host) if mount.type in ("cgroup", "cgroup2"))


CONTROLLERS = (
    ("cpu", "cpu", ("CGROUP_SCHED", "FAIR_GROUP_SCHED")),
    ("cpuset", "cpuset", ("CPUSETS",)),
    ("memory", "memory", ("MEMCG",)),
    ("pids", "pids", ("CGROUP_PIDS",)),
    ("io", "blkio", ("BLK_CGROUP",)),
    ("hugetlb", "hugetlb", ("CGROUP_HUGETLB",)),
    ("rdma", "rdma", ("CGROUP_RDMA",)),
    ("misc", "misc", ("CGROUP_MISC",)),
    ("perf_event", "perf_event", ("CGROUP_PERF",)),
    ("devices", "devices", ("CGROUP_DEVICE",)),
    ("freezer", "freezer", ("CGROUP_FREEZER",)),
    ("cpuacct", "cpuacct", ("CGROUP_CPUACCT",)),
    ("net_cls", "net_cls", ("CGROUP_NET_CLASSID",)),
    ("net_prio", "net_prio", ("CGROUP_NET_PRIO",)),
)
"""Name on v2, name on v1, and the options of the kernel that they need (init/Kconfig)."""

SPLIT = {"memory": ("MEMCG_V1", "6.11"), "cpuset": ("CPUSETS_V1", "6.12")}
"""Options that v1 has had of its own since a kernel (init/Kconfig)."""

ONLY_V1 = frozenset(("devices", "freezer", "cpuacct", "net_cls", "net_prio"))
"""v2 has no such controllers: their work is done by BPF, by every cgroup itself, or not at all (cgroups(7))."""

_V1 = frozenset(v1 for _v2, v1, _options in CONTROLLERS)


def mode_of(mounted: Iterable[Mount]) -> str:
    """Return the mode that these mounts make.

    The engines look at /sys/fs/cgroup itself: a cgroup2 there is v2 (runc, containerd and moby:
    IsCgroup2UnifiedMode() compares its file system's magic number); with v1 controllers and a cgroup2 beside
    them it is hybrid.
    """
    found = tuple(mounted)
    on_top = [mount for mount in found if mount.point == TOP]
    if on_top and on_top[-1].type == "cgroup2":
        return "v2"
    second = any(mount.type == "cgroup2" for mount in found)
    if any(mount.type == "cgroup" and _V1.intersection(mount.options) for mount in found):
        return "hybrid" if second else "v1"
    return "none"


def mode(host: Host) -> Mode:
    """Return the mode now and after the next boot, and how that is known."""
    return host.fact(_mode)


def _mode(host: Host) -> Mode:
    now = None
    if host.kind != "root" and host.kind != "image":
        try:
            now = mode_of(mount_facts.mounted(host))
            # A sandbox may hide the mount from its list; the file itself proves it.
            if now == "none" and host.exists(f"{TOP}/cgroup.controllers"):
                now = "v2"
        except (Unavailable, OSError):
            pass
    found = init_facts.init(host)
    outlook = _outlook(host, now, found)
    return Mode(
        now,
        outlook.mode,
        outlook.evidence,
        outlook.path,
        outlook.line,
        found.name if found else None,
        found.major if found and found.name == "systemd" else None,
    )


def _outlook(host: Host, now: str | None, found: init_facts.Init | None) -> Outlook:
    if host.kind == "live":
        kept = _kept(host, found)
        if kept:
            return Outlook(now, (kept, f"so {now} as now"))
    try:
        booted = boot_facts.boot(host)
    except (OSError, Unavailable) as error:
        booted = boot_facts.Boot(None, None, None, None, f"what boots is not known: {error}")
        words_count = found is not None and found.name == "systemd" and 226 <= (found.major or 226) < 258
        if isinstance(error, PermissionError) and words_count:
            # root would see the command line, and it may say anything.
            return Outlook(None, (booted.how,))
    if found is None:
        if now is not None:
            return Outlook(now, ("no init is known here", f"so {now} as now"))
        return Outlook(None, ("no init in this tree: what starts it mounts the control groups",))
    if found.name == "systemd":
        return _systemd(host, found, booted)
    if found.name == "openrc":
        return _openrc(host, found)
    return _plain(host, now, found)


def _kept(host: Host, found: init_facts.Init | None) -> str | None:
    """Return why the host has no say in its control groups, None where it has."""
    try:
        inside = os_facts.container(host)
    except (OSError, Unavailable):
        inside = None
    if inside and inside[0] != "openvz":
        return f"the host is itself a container ({inside[0]}): what starts it mounts the control groups"
    try:
        first = init_facts.running(host)
    except (OSError, Unavailable):
        return None
    if not first or found is None or first in (found.name, "init", "busybox", "openrc-init"):
        return None
    if first == "systemd" or found.name not in ("systemd", "openrc"):
        return None
    return f"process 1 is {first}, not {found.name} of {found.path}: it is started by other means than the disk's"


def truth(word: str | None) -> bool | None:
    """Return what systemd takes a word for (parse_boolean()); None where there is none, or it is no boolean.

    >>> truth(""), truth("0"), truth("maybe"), truth(None)
    (True, False, None, None)
    """
    if word is None:
        return None
    low = word.lower()
    if low in ("", "1", "yes", "y", "true", "t", "on"):
        return True
    return False if low in ("0", "no", "n", "false", "f", "off") else None


def decide(systemd: int | None, default: str | None, cmdline: str | None) -> tuple[str | None, str]:
    """Return which mode this systemd will mount with this command line, and why.

    Args:
        systemd: its version.
        default: what it is compiled for: `legacy`, `hybrid` or `unified`; None where that is not known.
        cmdline: the kernel command line.

    The rule is systemd's own: cg_is_unified_wanted() and cg_is_hybrid_wanted() of src/shared/cgroup-setup.c,
    main.c of 256, and mount_cgroup_legacy_controllers() of src/shared/mount-setup.c in 257.

    >>> decide(252, "unified", "quiet systemd.unified_cgroup_hierarchy=0")[0]
    'hybrid'
    >>> [decide(number, None, "systemd.unified_cgroup_hierarchy=0")[0] for number in (256, 257, 258)]
    ['boot-fails', 'v2', 'v2']
    >>> decide(219, None, "")[0], decide(239, "legacy", "")[0], decide(245, "hybrid", "")[0]
    ('v1', 'v1', 'hybrid')

    """
    unified = truth(option(cmdline, UNIFIED))
    word = f"{UNIFIED}={option(cmdline, UNIFIED)}"
    if systemd is None:
        return None, "the version of systemd is not known"
    if systemd >= 256:
        return _deprecated(systemd, cmdline) if unified is False else ("v2", f"systemd {systemd} mounts v2")
    if systemd < 226:
        return "v1", f"systemd {systemd} knows only v1"
    if unified is True:
        return "v2", f"{word} on the kernel command line"
    if systemd < 233:
        return "v1", f"systemd {systemd} mounts v1 unless {UNIFIED}=1"
    if unified is False:
        return _old(cmdline, default or "hybrid"), f"{word} on the kernel command line"
    if systemd >= 240 and option(cmdline, "cgroup_no_v1") == "all":
        return "v2", "cgroup_no_v1=all on the kernel command line"
    if default is None:
        return None, f"what systemd {systemd} was compiled for is not known"
    if default == "unified":
        return "v2", f"systemd {systemd} is compiled for v2"
    return _old(cmdline, default), f"systemd {systemd} is compiled for {default}"


def _deprecated(systemd: int, cmdline: str | None) -> tuple[str, str]:
    """Return what a systemd that gave v1 up makes of a command line that asks for it, and why."""
    word = f"{UNIFIED}={option(cmdline, UNIFIED)}"
    if systemd >= 258:
        return "v2", f"systemd {systemd} knows only v2, and ignores {word}"
    if truth(option(cmdline, FORCE)):
        waits = " waits 30 s, then" if systemd == 256 else ""
        return _old(cmdline, "hybrid"), f"{word} with {FORCE}: systemd {systemd}{waits} mounts v1"
    if systemd == 256:
        return "boot-fails", f"{word} without {FORCE}=1: systemd 256 refuses to boot"
    return "v2", f"{word} without {FORCE}=1: systemd {systemd} waits 30 s, then mounts v2"


def _old(cmdline: str | None, default: str) -> str:
    """Return `v1` or `hybrid`: the option is the negation of what it is called."""
    legacy = truth(option(cmdline, LEGACY))
    if legacy is not None:
        return "v1" if legacy else "hybrid"
    return "v1" if default == "legacy" else "hybrid"


def _distribution_default(host: Host, systemd: int) -> tuple[str, str]:
    """Return what a distribution compiles its systemd for, where the library itself is not to be had."""
    release = os_facts.os_release(host)
    if release.id == "ubuntu" and systemd < 248:
        return "hybrid", "as Ubuntu compiles it before 21.10"
    if release.id == "debian" and systemd < 247:
        return "hybrid", "as Debian compiles it before 11"
    if "rhel" in release.family and systemd < 250:
        return "legacy", "as RHEL compiles it before 9"
    if {"suse", "opensuse", "sles"}.intersection(release.family) and systemd < 250:
        return "hybrid", "as SUSE compiles it before 15.6"
    return ("unified" if systemd >= 243 else "hybrid"), "the default of systemd's own build"


def _systemd(host: Host, found: init_facts.Init, booted: boot_facts.Boot) -> Outlook:
    version = found.major
    evidence = [
        f"init: systemd {found.version or 'of an unknown version'} ({found.version_path or found.path})"
    ]
    if version is None:
        try:
            packages(host)
        except (OSError, Unavailable) as error:
            evidence.append(str(error))
    default = None
    source = found.version_path or found.path
    if version is not None and 233 <= version < 256:
        compiled = init_facts.default_hierarchy(host)
        if compiled:
            default, source = compiled
            evidence.append(f"compiled: default-hierarchy={default} ({source})")
        else:
            default, how = _distribution_default(host, version)
            evidence.append(f"compiled: {default}, {how}; the library is not here to be looked at")
    evidence.append(f"boot: {booted.how}")
    cmdline = booted.cmdline
    if cmdline is None:
        evidence.append("command line: not known; taken to say nothing of control groups")
    else:
        said = [word for word in boot_facts.split_cmdline(cmdline) if word.partition("=")[0] in WORDS]
        evidence.append(f"command line: {' '.join(said) or 'nothing of control groups'}")
    answer, why = decide(version, default, cmdline)
    evidence.append(f"so {answer or 'unknown'}: {why}")
    if UNIFIED in why or "command line" in why:
        return Outlook(answer, tuple(evidence), booted.path, booted.line)
    return Outlook(answer, tuple(evidence), source)


def runlevels(host: Host, service: str) -> list[str]:
    """Return the links that put a service into OpenRC's runlevels."""
    found = []
    for level in names(host, "/etc/runlevels"):
        if service in names(host, f"/etc/runlevels/{level}"):
            found.append(f"/etc/runlevels/{level}/{service}")
    return found


ENGINE_SERVICES = (
    "docker",
    "containerd",
    "podman",
    "k3s",
    "rke2-server",
    "rke2-agent",
    "crio",
    "kubelet",
    "nomad",
)
"""OpenRC services that need control groups."""


def asks_for_cgroups(script: str) -> bool:
    r"""Return whether an OpenRC script has the service `cgroups` started before its own.

    >>> asks_for_cgroups("depend() {\n need sysfs cgroups\n}"), asks_for_cgroups("depend() {\n after cgroups\n}")
    (True, False)
    """
    for line in script.split("\n"):
        words = line.split("#", 1)[0].split()
        # `use` and `after` start nothing by themselves, `need` and `want` do (openrc-run(8)).
        if words[:1] and words[0] in ("need", "want") and "cgroups" in words[1:]:
            return True
    return False


def _openrc_mode(host: Host) -> tuple[str, str, str | None, int | None]:
    """Return OpenRC's rc_cgroup_mode, how it is known, and where."""
    known: list[tuple[str, str]] = [("/etc/rc.conf", text(host, "/etc/rc.conf") or "")]
    known += [
        (f"/etc/rc.conf.d/{name}", text(host, f"/etc/rc.conf.d/{name}") or "")
        for name in names(host, "/etc/rc.conf.d")
        if name.endswith(".conf")
    ]
    known.append(("/etc/conf.d/cgroups", text(host, "/etc/conf.d/cgroups") or ""))
    last = None
    for path, content in known:
        for each in os_facts.parse_assignments(content):
            if each.name == "rc_cgroup_mode" and each.value:
                last = (each.value, f"rc_cgroup_mode in {path}", path, each.line)
    if last:
        return last
    path = "/etc/init.d/cgroups"
    for number, line in enumerate((text(host, path) or "").split("\n"), 1):
        _, mark, rest = line.partition("rc_cgroup_mode:-")
        if mark:
            return rest.partition("}")[0], f"the default in {path}", path, number
    for number, line in enumerate(known[0][1].split("\n"), 1):
        if line.replace(" ", "").startswith('#rc_cgroup_mode="'):
            return line.split('"')[1], "the default that /etc/rc.conf names", "/etc/rc.conf", number
    found = init_facts.init(host)
    if found and found.version:
        new = Version(found.version) >= Version("0.51")
        return (
            ("unified" if new else "hybrid"),
            f"the default of OpenRC {found.version}",
            found.version_path,
            None,
        )
    return "", "OpenRC's version is not known", None, None


def _openrc(host: Host, found: init_facts.Init) -> Outlook:
    evidence = [f"init: OpenRC {found.version or ''}".rstrip() + f" ({found.path})"]
    word, how, path, line = _openrc_mode(host)
    answer = {"unified": "v2", "hybrid": "hybrid", "legacy": "v1"}.get(word)
    evidence.append(f"mode: {word or 'unknown'}, {how}")
    links = runlevels(host, "cgroups")
    scripts = {name: text(host, f"/etc/init.d/{name}") for name in ENGINE_SERVICES}
    engines = {name: content for name, content in scripts.items() if content is not None}
    asking = [name for name, content in engines.items() if asks_for_cgroups(content)]
    if links:
        evidence.append(f"the service cgroups is started: {links[0]}")
    elif asking:
        evidence.append(f"the service cgroups is in no runlevel, and {asking[0]} has it started")
    elif engines:
        name = next(iter(engines))
        evidence.append(f"the service cgroups is in no runlevel, and /etc/init.d/{name} does not ask for it")
        return Outlook("none", tuple(evidence), f"/etc/init.d/{name}")
    else:
        evidence.append("the service cgroups is in no runlevel; an engine's own service will have it started")
    evidence.append(f"so {answer or 'unknown'}")
    return Outlook(answer, tuple(evidence), path, line)


def _plain(host: Host, now: str | None, found: init_facts.Init) -> Outlook:
    evidence = [f"init: {found.name} ({found.path})"]
    for name in ("cgroupfs-mount", "cgroup-lite"):
        if any(name in entry for level in ("rc2.d", "rcS.d") for entry in names(host, f"/etc/{level}")):
            return Outlook("v1", (*evidence, f"the service {name} mounts v1"), f"/etc/init.d/{name}")
    if now is not None:
        return Outlook(now, (*evidence, f"what it mounts is not known: taken to be {now} as now"))
    return Outlook(None, (*evidence, "what it mounts is not known"))


class Controller(Record):
    """One controller."""

    name: str
    """As on v2: `io`, not `blkio`."""
    now: Optional[bool]
    """Whether an engine can use it now; None where nothing runs, or nothing tells."""
    boot: Optional[bool]
    """Whether it will be usable after the next boot; None where nothing tells."""
    why: str
    """What says so, for a reader."""
    path: Optional[str] = None
    line: Optional[int] = None


def parse_proc_cgroups(content: str) -> dict[str, tuple[int, bool, int]]:
    r"""Return hierarchy, whether it is enabled, and the line, by name on v1 (cgroups(7)).

    >>> parse_proc_cgroups("#subsys_name\thierarchy\tnum_cgroups\tenabled\nmemory\t0\t83\t0\n")
    {'memory': (0, False, 2)}
    """
    found = {}
    for number, line in enumerate(content.split("\n"), 1):
        words = line.split()
        if len(words) == 4 and words[1].isdecimal() and words[3].isdecimal():
            found[words[0]] = (int(words[1]), words[3] != "0", number)
    return found


def is_pi_kernel(release: str | None) -> bool:
    """Return whether a kernel is Raspberry Pi's own or derived from it, by its release.

    >>> is_pi_kernel("6.12.34+rpt-rpi-2712"), is_pi_kernel("5.10.17-v7l+"), is_pi_kernel("6.1.0-18-arm64")
    (True, True, False)
    """
    end = (release or "").lower().rstrip("+")
    return (
        "rpi" in end
        or "raspi" in end
        or "rpt" in end
        or end.endswith(("-v6", "-v7", "-v7l", "-v8", "-v8-16k"))
    )


def _from_distribution(release: str | None) -> bool:
    """Return whether a kernel on a Raspberry Pi is a distribution's own, for every board."""
    ends = ("-arm64", "-armmp", "-armmp-lpae", "-default", "-generic")
    return release is None or release.endswith(ends) or ".fc" in release or ".el" in release


def disabled_by(
    cmdline: str | None, controller: str, off_by_default: bool = False, knows_enable: bool = False
) -> str | None:
    """Return the word of the command line that switches a controller off, None if it is on.

    `cgroup_disable=` is the kernel's (kernel/cgroup/cgroup.c). `cgroup_enable=` is known only to kernels that
    Debian up to 8 and Raspberry Pi patched for it: there the last word counts, and what is off by default
    stays off without it.

    >>> disabled_by("cgroup_disable=memory cgroup_enable=memory", "memory")
    'cgroup_disable=memory'
    >>> disabled_by("cgroup_disable=memory cgroup_enable=memory", "memory", True, True) is None
    True
    >>> disabled_by("quiet", "memory", off_by_default=True)
    ''
    """
    reason: str | None = "" if off_by_default else None
    for name, value in boot_facts.parse_cmdline(cmdline or ""):
        wanted = (value or "").split(",")
        if name == "cgroup_disable" and controller in wanted:
            reason = f"{name}={value}"
        elif knows_enable and (
            (name == "cgroup_enable" and controller in wanted)
            or (name == "cgroup_memory" and value == "1" and controller == "memory")
        ):
            reason = None
    return reason


def controllers(host: Host) -> Mapping[str, Controller]:
    """Return every controller that can matter, by its name on v2."""
    return host.fact(_controllers)


def _controllers(host: Host) -> Mapping[str, Controller]:
    found = {}
    now_mode = mode(host).now
    present = _present(host, now_mode) if now_mode else {}
    for name, v1, options in CONTROLLERS:
        now, why, path, line = present.get(name, (None, "", None, None))
        boot, boot_why, boot_path, boot_line = _at_boot(host, name, v1, options, now)
        if now is None or (now and boot is False):
            why, path, line = boot_why, boot_path, boot_line
        found[name] = Controller(name, now, boot, why, path, line)
    return found


_Answer = tuple[Optional[bool], str, Optional[str], Optional[int]]


def _present(host: Host, now_mode: str) -> dict[str, _Answer]:
    """Return which controllers an engine can use now."""
    table = parse_proc_cgroups(text(host, "/proc/cgroups") or "")
    mounted = mounts(host)
    unified: frozenset[str] | None = None
    path = f"{TOP}/cgroup.controllers"
    if now_mode == "v2":
        content = text(host, path)
        unified = frozenset(content.split()) if content is not None else None
    found: dict[str, _Answer] = {}
    for name, v1, _options in CONTROLLERS:
        hierarchy, enabled, line = table.get(v1, (0, True, 0))
        if not enabled:
            # A row that says 0 counts in both; a row that is missing says nothing of v2 (kernel 6.11, MEMCG_V1).
            found[name] = (False, "switched off in the kernel: 0 in the last column", "/proc/cgroups", line)
        elif now_mode == "v2":
            if name in ONLY_V1 or unified is None:
                continue
            if name in unified:
                found[name] = (True, f"in {path}", path, 1)
            elif hierarchy:
                why = f"bound to a v1 hierarchy (number {hierarchy}), so v2 has it not"
                found[name] = (False, why, "/proc/cgroups", line)
            else:
                found[name] = (False, f"not in {path}", path, 1)
        elif v1 in table or (not table and any(v1 in mount.options for mount in mounted)):
            where = next((m for m in mounted if m.type == "cgroup" and v1 in m.options), None)
            if where:
                found[name] = (True, f"mounted at {where.point}", where.path, where.line or None)
            else:
                found[name] = (False, "in the kernel, but mounted nowhere", "/proc/cgroups", line or None)
        elif table:
            found[name] = (False, "the kernel has it not: no row in /proc/cgroups", "/proc/cgroups", None)
    return found


def _at_boot(host: Host, name: str, v1: str, options: tuple[str, ...], now: bool | None) -> _Answer:
    """Return whether a controller will be there after the next boot."""
    upcoming = mode(host).boot
    if upcoming == "v2" and name in ONLY_V1:
        return None, "v2 has no such controller", None, None
    try:
        booted = boot_facts.boot(host)
    except (OSError, Unavailable) as error:
        return None, f"what boots is not known: {error}", None, None
    release, config, trouble = _config(host, booted)
    options_off = ("MEMCG_DISABLED", "CGROUP_MEM_RES_CTLR_DISABLED") if name == "memory" else ()
    off = config is not None and any(option in config for option in options_off)
    pi = is_pi_kernel(release) or (booted.loader == "raspberry-pi" and not _from_distribution(release))
    word = disabled_by(
        booted.cmdline, v1, off or (pi and name == "memory" and booted.cmdline is not None), pi or off
    )
    if word is None and name != v1:
        word = disabled_by(booted.cmdline, name, False, pi or off)
    if word is not None and not (now and not word and host.fact(_same)):
        why = (
            f"{word} on the kernel command line" if word else "off in this kernel unless cgroup_enable=memory"
        )
        return False, why, booted.path, booted.line
    if now is not None and host.fact(_same) and mode(host).now == upcoming:
        return now, "as now", None, None
    if config is None:
        if now is False and host.fact(_same):
            return now, "as now", None, None
        return None, f"the configuration of the kernel that boots is not known{trouble}", None, None
    option = options[0]
    if upcoming in ("v1", "hybrid") and config.enabled(option):
        option = _option_of_v1(name, config.version or version_of(release or "")) or option
    # FAIR_GROUP_SCHED and its kin are younger than some kernels' controllers: the first option decides.
    if not config.enabled(option):
        return False, f"CONFIG_{option} is not set", config.path, config.line(option)
    return True, f"CONFIG_{option}={config[option]}", config.path, config.line(option)


def _option_of_v1(name: str, version: Version | None) -> str | None:
    """Return the option that a controller needs on v1 besides its own, None if none."""
    option, since = SPLIT.get(name, ("", ""))
    return option if option and version is not None and version >= Version(since) else None


def _same(host: Host) -> bool:
    """Return whether the kernel that boots is the one that runs, with the same words for control groups."""
    if host.kind != "live":
        return False
    booted = boot_facts.boot(host)
    try:
        cmdline = boot_facts.running_cmdline(host)
        release = boot_facts.running_release(host)
    except (OSError, Unavailable):
        # Nothing tells them apart.
        return True
    if booted.release not in (None, release):
        return False
    if booted.cmdline is None:
        return True
    return all(boot_facts.options(cmdline, w) == boot_facts.options(booted.cmdline, w) for w in WORDS)


def _config(host: Host, booted: boot_facts.Boot) -> tuple[str | None, kernel_facts.Config | None, str]:
    release = booted.release
    if release is None:
        upcoming = kernel_facts.boot_kernel(host)
        release = upcoming.release if upcoming else None
    if release is None and host.kind == "live":
        try:
            release = kernel_facts.running_release(host)
        except (OSError, Unavailable):
            pass
    try:
        return release, kernel_facts.config(host, release) if release else None, ""
    except (OSError, Unavailable) as error:
        return release, None, f": {error}"


def export(host: Host) -> dict[str, object]:
    """Return the mode and the controllers, now and after the next boot."""
    found = mode(host)
    leaf: dict[str, object] = {
        "value": found.now if host.kind == "live" else found.boot,
        "path": found.path,
        "line": found.line,
        "evidence": list(found.evidence),
    }
    if found.now != found.boot and host.kind == "live":
        leaf.update(now=found.now, boot=found.boot)
    shown: dict[str, object] = {}
    for name, each in controllers(host).items():
        value = each.now if host.kind == "live" else each.boot
        row: dict[str, object] = {"value": value, "path": each.path, "line": each.line, "how": each.why}
        if each.now != each.boot and host.kind == "live":
            row.update(now=each.now, boot=each.boot)
        shown[name] = row
    return {
        "mode": leaf,
        "controllers": shown,
        "init": {"value": found.init, "path": None},
        "systemd": {"value": found.systemd, "path": None},
    }
