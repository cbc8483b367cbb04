"""Security modules, now and at the next boot; seccomp; and what may stand in a container engine's way."""

from __future__ import annotations

from hostcheck._typing import Optional
from hostcheck.facts import boot as boot_facts
from hostcheck.facts import kernel, mounts, packages, releases
from hostcheck.facts.files import is_masked, names, text
from hostcheck.host import Host, NotApplicable, Unavailable
from hostcheck.record import Record
from hostcheck.versions import Version

APPARMOR_ENABLED = "/sys/module/apparmor/parameters/enabled"
APPARMOR_PROFILES = "/sys/kernel/security/apparmor/profiles"
SELINUX_CONFIG = "/etc/selinux/config"
SELINUX_ENFORCE = "/sys/fs/selinux/enforce"
CONTEXTS = "/etc/selinux/{policy}/contexts/files"

STACKING = Version("5.1")
"""From this kernel on `lsm=` and CONFIG_LSM order the modules (Documentation/admin-guide/LSM)."""

EXCLUSIVE = ("selinux", "apparmor", "smack", "tomoyo")
"""Modules of which `security=` chooses one."""


class Mode(Record):
    """Whether a security module is on."""

    value: Optional[str]
    """`enforcing`, `permissive` or `disabled` of SELinux, `enabled` or `disabled` of AppArmor; None if unknown."""
    path: Optional[str] = None
    line: Optional[int] = None


UNKNOWN = Mode(None)


def parse_lsm_list(text: str) -> tuple[str, ...]:
    """Return the modules of CONFIG_LSM, of `lsm=` or of /sys/kernel/security/lsm, in their order.

    >>> parse_lsm_list('"landlock,lockdown,yama,apparmor,bpf"')
    ('landlock', 'lockdown', 'yama', 'apparmor', 'bpf')
    """
    return tuple(name for name in text.strip().strip('"').split(",") if name)


def lsm_at_boot(host: Host, module: str) -> Mode:
    """Return whether the next boot turns on a security module (`apparmor` or `selinux`), by kernel and command line.

    The kernel must have it; from 5.1 on it must be in `lsm=`, else in CONFIG_LSM, and the first of the big
    ones in that order wins; before 5.1 `security=`, else the configured default, names it.
    """
    its = kernel.boot_kernel(host)
    if its is None:
        return UNKNOWN
    try:
        config = kernel.config(host, its.release)
        found = boot_facts.boot(host)
    except (OSError, Unavailable):
        return UNKNOWN
    if config is None:
        return UNKNOWN
    if config.get(f"SECURITY_{module.upper()}") != "y":
        return Mode("disabled", config.path)
    line = found.cmdline
    where = (found.path, found.line) if line is not None else (config.path, config.line("LSM"))
    if boot_facts.option(line, module) == "0":
        return Mode("disabled", *where)
    version = releases.version_of(its.release)
    chosen = boot_facts.option(line, "security")
    order = boot_facts.option(line, "lsm")
    if version is None or version < STACKING:
        default = (config.get("DEFAULT_SECURITY") or "").strip('"') or _default(config)
        chosen = chosen or default
        on = chosen == module and (
            module != "apparmor" or boot_facts.option(line, "apparmor") == "1" or _param(config)
        )
        return Mode("enabled" if on else "disabled", *where)
    listed = parse_lsm_list(order if order is not None else config.get("LSM", ""))
    if order is None and chosen in EXCLUSIVE:
        return Mode("enabled" if chosen == module else "disabled", *where)
    first = next(
        (name for name in listed if name in EXCLUSIVE and config.get(f"SECURITY_{name.upper()}") == "y"), ""
    )
    source = where if order is not None else (config.path, config.line("LSM"))
    return Mode("enabled" if first == module else "disabled", *source)


def _default(config: kernel.Config) -> str:
    for name in EXCLUSIVE:
        if config.get(f"DEFAULT_SECURITY_{name.upper()}") == "y":
            return name
    return ""


def _param(config: kernel.Config) -> bool:
    return config.get("SECURITY_APPARMOR_BOOTPARAM_VALUE", "1") == "1"


def apparmor_now(host: Host) -> Mode:
    """Return whether AppArmor is on in the running kernel.

    Raises:
        Unavailable: the host is not running.

    """
    found = text(host, APPARMOR_ENABLED)
    on = found is not None and found.startswith("Y")
    return Mode("enabled" if on else "disabled", APPARMOR_ENABLED if found is not None else None)


def apparmor_profiles(host: Host) -> frozenset[str] | None:
    """Return the names of the profiles in the kernel, None if there is no such list.

    Raises:
        PermissionError: only root may read it.

    """
    found = text(host, APPARMOR_PROFILES)
    if found is None:
        return None
    return frozenset(line.rpartition(" (")[0] for line in found.splitlines() if " (" in line)


def parse_selinux_config(text: str) -> dict[str, tuple[str, int]]:
    r"""Return the assignments of /etc/selinux/config with their lines; of two the first counts (libselinux).

    >>> parse_selinux_config("# SELINUX= can be\nSELINUX=enforcing \nSELINUXTYPE=targeted\n")["SELINUX"]
    ('enforcing', 2)
    """
    found: dict[str, tuple[str, int]] = {}
    for number, line in enumerate(text.split("\n"), 1):
        name, equals, value = line.strip().partition("=")
        if equals and not name.startswith("#"):
            found.setdefault(
                name.strip(), (value.strip().lower() if name == "SELINUX" else value.strip(), number)
            )
    return found


def selinux_now(host: Host) -> Mode:
    """Return SELinux's mode in the running kernel.

    Raises:
        Unavailable: the host is not running.

    """
    found = text(host, SELINUX_ENFORCE)
    if found is None:
        # Where selinuxfs cannot be seen, as in a container, the label option of a mount tells that it is on.
        try:
            labelled = next((mount for mount in mounts.mounted(host) if "seclabel" in mount.options), None)
        except (PermissionError, Unavailable):
            labelled = None
        if labelled is None:
            return Mode("disabled")
        mode = selinux_configured(host).value
        return Mode("permissive" if mode in (None, "disabled") else mode, labelled.path, labelled.line)
    return Mode("enforcing" if found.strip() == "1" else "permissive", SELINUX_ENFORCE)


def selinux_at_boot(host: Host) -> Mode:
    """Return SELinux's mode after the next boot: what is configured, where the kernel turns it on."""
    configured, by_kernel = selinux_configured(host), lsm_at_boot(host, "selinux")
    return by_kernel if by_kernel.value == "disabled" and configured.value != "disabled" else configured


def selinux_configured(host: Host) -> Mode:
    """Return the mode that /etc/selinux/config and the kernel command line ask for (selinux(8))."""
    content = text(host, SELINUX_CONFIG)
    written = parse_selinux_config(content).get("SELINUX") if content is not None else None
    if written is None:
        return Mode("disabled")
    try:
        found = boot_facts.boot(host)
        line, where = found.cmdline, (found.path, found.line)
    except (OSError, Unavailable):
        line, where = None, (None, None)
    if boot_facts.option(line, "selinux") == "0":
        return Mode("disabled", *where)
    enforcing = boot_facts.option(line, "enforcing")
    if written[0] != "disabled" and enforcing in ("0", "1"):
        return Mode("enforcing" if enforcing == "1" else "permissive", *where)
    value = written[0] if written[0] in ("enforcing", "permissive", "disabled") else "permissive"
    return Mode(value, SELINUX_CONFIG, written[1])


def selinux_policy(host: Host) -> str:
    """Return the name of the policy, `targeted` where nothing says another."""
    written = parse_selinux_config(text(host, SELINUX_CONFIG) or "").get("SELINUXTYPE")
    return written[0] if written and "/" not in written[0] else "targeted"


POLICY_FILES = (
    "/usr/share/containers/selinux/contexts",
    "/usr/share/selinux/packages/container.pp.bz2",
    "/usr/share/selinux/packages/container.pp",
    "/usr/share/selinux/packages/targeted/container.pp.bz2",
)
"""What the package container-selinux brings."""


def container_policy(host: Host) -> bool | None:
    """Return whether the SELinux policy knows container engines, None if that is nowhere to be seen."""
    try:
        if packages.installed(
            host, "container-selinux", "docker-engine-selinux", "docker-ce-selinux", "docker-selinux"
        ):
            return True
    except (PermissionError, Unavailable):
        pass
    if any(host.exists(path) for path in POLICY_FILES):
        return True
    # The merged contexts are readable by everyone, the module store is not.
    path = CONTEXTS.format(policy=selinux_policy(host)) + "/file_contexts"
    contexts = text(host, path)
    if contexts is None:
        return None
    return "container_runtime_exec_t" in contexts or "docker_exec_t" in contexts


CONTAINER_TYPES = (
    "container_var_lib_t",
    "container_ro_file_t",
    "container_file_t",
    "container_share_t",
    "docker_var_lib_t",
    "docker_share_t",
    "svirt_sandbox_file_t",
)
"""Types that container_t may map (container.te of container-selinux)."""


def labelled_for_containers(host: Host, folder: str) -> tuple[bool | None, str | None, int | None]:
    """Return whether the policy gives `folder` a label for containers, and the rule that does.

    A label that is there on a running host outweighs the rules; None if neither can be had.
    """
    if host.kind == "live":
        try:
            done = host.run("stat", "-c", "%C", folder)
            fields = done.out.strip().split(":")
            if done.code == 0 and len(fields) > 2:
                return fields[2] in CONTAINER_TYPES, None, None
        except (OSError, Unavailable):
            pass
    base = CONTEXTS.format(policy=selinux_policy(host))
    seen = False
    for name in ("file_contexts.subs", "file_contexts.subs_dist", "file_contexts.local"):
        content = text(host, f"{base}/{name}")
        seen = seen or content is not None
        for number, line in enumerate((content or "").split("\n"), 1):
            fields = line.split()
            if not fields or fields[0].startswith("#"):
                continue
            start = fields[0].partition("(")[0].rstrip("/")
            if not start or not (folder == start or folder.startswith(start + "/")):
                continue
            named = fields[-1].split(":")
            if name.startswith("file_contexts.subs") or (len(named) > 2 and named[2] in CONTAINER_TYPES):
                return True, f"{base}/{name}", number
    return (False if seen else None), None, None


TUNABLES = (
    "global",
    "home",
    "proc",
    "kernelvars",
    "multiarch",
    "sys",
    "run",
    "securityfs",
    "apparmorfs",
    "etc",
)
"""Files below /etc/apparmor.d/tunables that are never empty, and that every profile includes."""


def damaged_apparmor_files(host: Host) -> list[tuple[str, str]]:
    """Return the files that every AppArmor profile includes and that cannot be parsed, with the reason."""
    base = "/etc/apparmor.d"
    paths = [f"{base}/tunables/{name}" for name in TUNABLES]
    for name in _names(host, f"{base}/tunables"):
        if name.endswith(".d"):
            paths += [f"{base}/tunables/{name}/{each}" for each in _names(host, f"{base}/tunables/{name}")]
    paths.append(f"{base}/abstractions/base")
    found = []
    for path in paths:
        try:
            data = host.read_bytes(path)
        except (OSError, Unavailable):
            continue
        if b"\0" in data:
            found.append((path, "holds NUL bytes"))
        elif not data.strip() and path.rpartition("/")[2] in (*TUNABLES, "base"):
            found.append((path, "is empty"))
    return found


def _names(host: Host, folder: str) -> tuple[str, ...]:
    try:
        return names(host, folder)
    except (PermissionError, Unavailable):
        return ()


def seccomp_now(host: Host) -> bool | None:
    """Return whether the running kernel filters system calls, None if nothing tells.

    Raises:
        Unavailable: the host is not running.

    """
    actions = text(host, "/proc/sys/kernel/seccomp/actions_avail")
    if actions is not None:
        return "errno" in actions.split()
    status = text(host, "/proc/self/status")
    if status is None:
        return None
    return "\nSeccomp:" in status


def wanted_units(host: Host, *wanted: str) -> list[tuple[str, str]]:
    """Return which of these units something starts at boot, each with the link (or unit in a run level) that does."""
    found = []
    for folder in ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"):
        for target in _names(host, folder):
            if target.endswith((".wants", ".requires")):
                there = _names(host, f"{folder}/{target}")
                found += [(unit, f"{folder}/{target}/{unit}") for unit in wanted if unit in there]
    masked = {unit for unit in wanted if is_masked(host, f"/etc/systemd/system/{unit}")}
    return list({unit: (unit, path) for unit, path in reversed(found) if unit not in masked}.values())


def setting(host: Host, key: str) -> object:
    """Return what file and flags of dockerd set, None if nothing or if dockerd refuses them."""
    # Imported here: reading daemon.json is needed only where docker is installed.
    from hostcheck.facts import docker

    try:
        found = docker.effective(host).get(key)
    except (NotApplicable, OSError, Unavailable):
        return None
    return found.value if found else None


def _leaf(now: Mode | None, later: Mode) -> dict[str, object]:
    shown = now or later
    leaf: dict[str, object] = {"value": shown.value, "path": shown.path, "line": shown.line}
    if now and later.value is not None and now.value != later.value:
        leaf.update(now=now.value, boot=later.value)
    return leaf


def export(host: Host) -> dict[str, object]:
    """Return the state of AppArmor, SELinux and seccomp, now and at the next boot."""
    live = host.kind == "live"
    found: dict[str, object] = {
        "apparmor": _leaf(apparmor_now(host) if live else None, lsm_at_boot(host, "apparmor")),
        "selinux": _leaf(selinux_now(host) if live else None, selinux_at_boot(host)),
    }
    if live:
        path = "/proc/sys/kernel/seccomp/actions_avail"
        found["seccomp"] = {"value": seccomp_now(host), "path": path, "line": None}
    return found
