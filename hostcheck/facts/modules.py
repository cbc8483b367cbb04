"""Kernel modules: loaded, built in, there as files; forbidden by modprobe.d; loaded at boot by modules-load.d.

The rules are kmod's (libkmod-config.c, libkmod-module.c, tools/modprobe.c) and those of systemd-modules-load.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from hostcheck._typing import Optional
from hostcheck.facts import boot as boot_facts
from hostcheck.facts import kernel as kernel_facts
from hostcheck.facts.files import Source, merged_conf, names
from hostcheck.host import Host, Unavailable
from hostcheck.record import Record

MODPROBE_FOLDERS = (
    "/etc/modprobe.d",
    "/run/modprobe.d",
    "/usr/local/lib/modprobe.d",
    "/usr/lib/modprobe.d",
    "/lib/modprobe.d",
)
"""modprobe.d(5); the first folder that has a name counts."""

LOAD_FOLDERS = (
    "/etc/modules-load.d",
    "/run/modules-load.d",
    "/usr/local/lib/modules-load.d",
    "/usr/lib/modules-load.d",
    "/lib/modules-load.d",
)
"""modules-load.d(5)."""

SUFFIX = re.compile(r"\.ko(?:\.(?:gz|xz|zst|bz2|lzma))?$")
_PACKED = frozenset(["", ".gz", ".xz", ".zst", ".bz2", ".lzma"])


def module_name(name: str) -> str:
    """Return the name as the kernel writes it: no folder, no suffix, no dash.

    >>> module_name("kernel/net/netfilter/xt-addrtype.ko.zst")
    'xt_addrtype'
    """
    return SUFFIX.sub("", name.rpartition("/")[2]).replace("-", "_")


def parse_proc_modules(text: str) -> dict[str, int]:
    r"""Return the loaded modules of /proc/modules, each with its line.

    >>> parse_proc_modules("veth 32768 0 - Live 0x0\nbridge 311296 1 br_netfilter, Live 0x0\n")
    {'veth': 1, 'bridge': 2}
    """
    return {line.split()[0]: number for number, line in enumerate(text.split("\n"), 1) if line.strip()}


def parse_modules_dep(text: str) -> dict[str, str]:
    r"""Return the modules of a modules.dep, each with its file as written there.

    >>> parse_modules_dep("kernel/net/bridge/br_netfilter.ko.xz: kernel/net/bridge/bridge.ko.xz\n")
    {'br_netfilter': 'kernel/net/bridge/br_netfilter.ko.xz'}
    """
    found: dict[str, str] = {}
    # By hand: a pattern that looks for the last folder takes quadratic time on a line without one.
    for line in text.split("\n"):
        path, colon, _ = line.partition(":")
        name, dot, suffix = path.rpartition("/")[2].partition(".ko")
        if colon and dot and name and suffix in _PACKED:
            found.setdefault(name.replace("-", "_"), path)
    return found


def parse_modules_builtin(text: str) -> frozenset[str]:
    r"""Return the modules of a modules.builtin.

    >>> sorted(parse_modules_builtin("kernel/fs/overlayfs/overlay.ko\nkernel/fs/ext4/ext4.ko\n"))
    ['ext4', 'overlay']
    """
    names = (line.strip().rpartition("/")[2] for line in text.split("\n"))
    return frozenset(name[:-3].replace("-", "_") for name in names if name.endswith(".ko") and name != ".ko")


class Rule(Record):
    """One line of modprobe.d that says something of a module."""

    keyword: str
    """`blacklist`, `install`, `remove`, `alias`, `softdep` or `options`."""
    name: str
    """The module or alias; `install` and `alias` take the wildcards of fnmatch(3)."""
    text: str
    """The rest of the line."""
    source: Source


def parse_modprobe_conf(text: str, path: str = "") -> list[Rule]:
    r"""Return the lines that count: comments begin with `#`, a `\` at the end joins the next line.

    >>> [rule[:3] for rule in parse_modprobe_conf("# no\nblacklist dccp\ninstall ip-tables /bin/false # hm\n")]
    [('blacklist', 'dccp', ''), ('install', 'ip_tables', '/bin/false # hm')]
    """
    rules = []
    start, pending = 0, ""
    for number, line in enumerate(text.split("\n"), 1):
        if not pending:
            start = number
        pending += line.rstrip("\r")
        if pending.endswith("\\"):
            pending = pending[:-1]
            continue
        words = pending.split(None, 2)
        pending = ""
        if len(words) < 2 or words[0].startswith("#"):
            continue
        rest = words[2].strip() if len(words) > 2 else ""
        rules.append(Rule(words[0], words[1].replace("-", "_"), rest, Source(path, start)))
    return rules


def parse_modules_load(text: str) -> list[tuple[str, int]]:
    r"""Return the modules of a modules-load.d file, each with its line; `#` and `;` begin comments.

    >>> parse_modules_load("# for Kubernetes\noverlay\nbr-netfilter\n")
    [('overlay', 2), ('br_netfilter', 3)]
    """
    return [
        (line.split()[0].replace("-", "_"), number)
        for number, line in enumerate(text.split("\n"), 1)
        if line.strip() and line.strip()[0] not in "#;"
    ]


def parse_cmdline(text: str, name: str) -> frozenset[str]:
    """Return the modules that an option of the kernel command line names; lists add up.

    >>> sorted(parse_cmdline("ro module_blacklist=veth,nf-nat", "module_blacklist"))
    ['nf_nat', 'veth']
    """
    lists = ",".join(boot_facts.options(text, name)).replace("-", "_")
    return frozenset(filter(None, lists.split(",")))


def loaded(host: Host) -> Mapping[str, int]:
    """Return the modules that are loaded, each with its line in /proc/modules.

    A kernel without CONFIG_MODULES has no such file, and nothing loaded.

    Raises:
        Unavailable: the host is not running.

    """
    return host.fact(_loaded)


def _loaded(host: Host) -> dict[str, int]:
    try:
        return parse_proc_modules(host.read("/proc/modules"))
    except FileNotFoundError:
        return {}


class Tree(Record):
    """The modules of one release, as depmod(8) lists them."""

    folder: Optional[str]
    """None where the release has no folder."""
    files: Mapping[str, str]
    """Module to its file, from modules.dep; empty where that is missing."""
    builtin: frozenset[str]
    """From modules.builtin; empty where that is missing."""
    indexed: bool
    """Whether modules.dep, without which modprobe finds nothing, is there."""


def tree(host: Host, release: str) -> Tree:
    """Return the modules of a release."""
    known = host.fact(_trees)
    if release not in known:
        known[release] = _tree(host, release)
    return known[release]


def _trees(host: Host) -> dict[str, Tree]:
    return {}


def _tree(host: Host, release: str) -> Tree:
    folder = kernel_facts.modules_folder(host, release)
    if folder is None:
        return Tree(None, {}, frozenset(), False)

    def text(name: str) -> str | None:
        try:
            return host.read(f"{folder}/{name}")
        except FileNotFoundError:
            return None

    dep = text("modules.dep")
    return Tree(
        folder,
        parse_modules_dep(dep or ""),
        parse_modules_builtin(text("modules.builtin") or ""),
        dep is not None,
    )


def rules(host: Host) -> list[Rule]:
    """Return all lines of modprobe.d in the order in which kmod reads them. Unreadable files are passed over."""
    return host.fact(_rules)


def _rules(host: Host) -> list[Rule]:
    found: list[Rule] = []
    # kmod takes both suffixes (libkmod-config.c, conf_files_filter_out).
    paths = merged_conf(host, MODPROBE_FOLDERS) + merged_conf(host, MODPROBE_FOLDERS, ".alias")
    for path in sorted(paths, key=lambda path: path.rpartition("/")[2]):
        try:
            found += parse_modprobe_conf(host.read(path), path)
        except (FileNotFoundError, PermissionError, Unavailable):
            continue
    return found


def loaded_at_boot(host: Host) -> Mapping[str, Source]:
    """Return the modules that are loaded while the host boots, with the file and line that asks for each.

    systemd-modules-load reads modules-load.d; Debian leads /etc/modules there by a link. Without systemd
    (OpenRC, Debian's kmod script) /etc/modules is read itself.
    """
    return host.fact(_loaded_at_boot)


def _loaded_at_boot(host: Host) -> dict[str, Source]:
    found: dict[str, Source] = {}
    paths = merged_conf(host, LOAD_FOLDERS)
    if not any(names_or_none(host, folder) for folder in ("/usr/lib/systemd", "/lib/systemd")):
        paths.append("/etc/modules")
    for path in paths:
        try:
            text = host.read(path)
        except (FileNotFoundError, PermissionError, Unavailable):
            continue
        for name, line in parse_modules_load(text):
            found.setdefault(name, Source(path, line))
    # systemd-modules-load(8) takes more from the command line.
    words = _cmdline(host, "boot")
    if words is not None:
        for name in parse_cmdline(words[0], "modules_load"):
            found.setdefault(name, Source(words[1] or "/proc/cmdline", words[2] or 0))
    return found


def names_or_none(host: Host, folder: str) -> tuple[str, ...]:
    """Return the names in a folder, none where it cannot be had."""
    try:
        return names(host, folder)
    except (PermissionError, Unavailable):
        return ()


def _cmdline(host: Host, when: str) -> tuple[str, str | None, int | None] | None:
    """Return the command line of `now` or `boot`, and where it is written."""
    if when == "now":
        try:
            return host.read("/proc/cmdline").strip(), "/proc/cmdline", 1
        except (FileNotFoundError, PermissionError, Unavailable):
            return None
    try:
        found = boot_facts.boot(host)
    except (OSError, Unavailable):
        return None
    return (found.cmdline, found.path, found.line) if found.cmdline is not None else None


class Module(Record):
    """Whether one module of one kernel can be used."""

    state: str
    """`builtin`, `loaded`, `loadable`, `forbidden`, `missing` (no file) or `unknown` (nothing tells)."""
    why: str
    """Where that is known from, in words."""
    path: Optional[str] = None
    line: Optional[int] = None

    @property
    def usable(self) -> bool:
        """Whether it works, or will once it is asked for."""
        return self.state in ("builtin", "loaded", "loadable")


SHELL_LOADERS = ("modprobe", "insmod", "kmod")
"""An install command without one of these loads nothing, whatever its name (/bin/false, /bin/true, `:`)."""


def loadable(
    host: Host, kernel: kernel_facts.Kernel, module: str, option: str = "", by_name: bool = False
) -> Module:
    """Return whether a module of a kernel can be used, and how that is known.

    Args:
        host: the host.
        kernel: the kernel that runs or will boot.
        module: the module's name.
        option: its option without CONFIG_; `y` means built in, even where modules.builtin is missing.
        by_name: whether it is asked for by its own name (`modprobe overlay`), which `blacklist` does not stop,
            rather than by an alias (`rtnl-link-veth`), which it does (modprobe.d(5)).

    """
    module = module_name(module)
    built_in = _built_in(host, kernel, module, option)
    if built_in is not None:
        return built_in
    if kernel.when == "now" and module in loaded(host):
        return Module("loaded", "loaded", "/proc/modules", loaded(host)[module])
    refused = forbidden(host, kernel.when, module, by_name)
    return refused if refused is not None else on_disk(host, kernel.release, module)


def on_disk(host: Host, release: str, module: str) -> Module:
    """Return whether the file of a module is there: its state is `loadable` or `missing`."""
    its = tree(host, release)
    if its.folder is None:
        return Module("missing", f"{release} has no folder in /lib/modules")
    if not its.indexed:
        return Module("missing", f"{its.folder} has no modules.dep, so modprobe finds nothing", its.folder)
    if module not in its.files:
        return Module("missing", f"not in {its.folder}/modules.dep", f"{its.folder}/modules.dep")
    written = its.files[module]
    path = written if written.startswith("/") else f"{its.folder}/{written}"
    if not host.exists(path):
        return Module(
            "missing", f"{path}, which modules.dep names, is not there", f"{its.folder}/modules.dep"
        )
    return Module("loadable", "the module file is there", path)


def _built_in(host: Host, kernel: kernel_facts.Kernel, module: str, option: str) -> Module | None:
    if option:
        try:
            its = kernel_facts.config(host, kernel.release)
        except (PermissionError, Unavailable):
            its = None
        if its is not None and its.get(option) == "y":
            return Module("builtin", f"CONFIG_{option}=y", its.path, its.line(option))
    there = tree(host, kernel.release)
    if module in there.builtin:
        return Module("builtin", "listed in modules.builtin", f"{there.folder}/modules.builtin")
    if kernel.when == "now" and module not in loaded(host):
        try:
            if host.exists(f"/sys/module/{module}"):
                return Module("builtin", f"/sys/module/{module} is there", f"/sys/module/{module}")
        except (PermissionError, Unavailable):
            pass
    return None


def forbidden(host: Host, when: str, module: str, by_name: bool = False) -> Module | None:
    """Return what keeps a module from being loaded, None if nothing does."""
    # Imported here: few hosts have a rule for a module that matters.
    from fnmatch import fnmatchcase

    line = _cmdline(host, when)
    if line is not None:
        for keyword in ("module_blacklist", "modprobe.blacklist"):
            named = module in parse_cmdline(line[0], keyword)
            if named and (keyword == "module_blacklist" or not by_name):
                return Module("forbidden", f"{keyword}= on the kernel command line", line[1], line[2])
    for rule in rules(host):
        if rule.keyword == "install" and fnmatchcase(module, rule.name):
            if any(word in rule.text for word in SHELL_LOADERS):
                break
            return Module(
                "forbidden", f"`install {rule.name} {rule.text}`", rule.source.path, rule.source.line
            )
    for rule in rules(host):
        if rule.keyword == "alias" and rule.name == module and rule.text == "off" and by_name:
            return Module("forbidden", f"`alias {rule.name} off`", rule.source.path, rule.source.line)
        if rule.keyword == "blacklist" and rule.name == module and not by_name:
            return Module("forbidden", f"`blacklist {rule.name}`", rule.source.path, rule.source.line)
    return None


def export(host: Host) -> dict[str, object]:
    """Return what is loaded, what is loaded at boot and what modprobe.d says, for `hostcheck facts modules`."""
    answer: dict[str, object] = {
        "loaded_at_boot": {
            name: {"value": "loaded", "path": source.path, "line": source.line}
            for name, source in loaded_at_boot(host).items()
        },
        "rules": {
            f"{rule.keyword} {rule.name}": {
                "value": rule.text,
                "path": rule.source.path,
                "line": rule.source.line,
            }
            for rule in rules(host)
            if rule.keyword in ("blacklist", "install", "softdep")
        },
    }
    if host.kind == "live":
        answer["loaded"] = {
            name: {"value": "loaded", "path": "/proc/modules", "line": line}
            for name, line in loaded(host).items()
        }
    its = tree(host, kernel_facts.kernels(host)[0].release)
    dep, builtin = f"{its.folder}/modules.dep", f"{its.folder}/modules.builtin"
    answer["files"] = {name: {"value": path, "path": dep} for name, path in its.files.items()}
    answer["builtin"] = {name: {"value": "builtin", "path": builtin} for name in sorted(its.builtin)}
    return answer
