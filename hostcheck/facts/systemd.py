"""Units as systemd will load them, worked out from files: fragments, aliases, masks, drop-ins, presets, defaults.

What their lines mean is in `unitvalues`. Source: systemd.unit(5), systemd-system.conf(5); where they are silent
src/basic/unit-file.c and src/shared/dropin.c of systemd. The rules follow the systemd that is installed there.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping

from hostcheck._typing import Any, Optional
from hostcheck.facts import init, packages, unitexec, unitfile
from hostcheck.facts.files import is_masked, merged_conf, names, text
from hostcheck.facts.unitexec import Command
from hostcheck.facts.unitfile import INFINITY, Assignment, Limit
from hostcheck.facts.unitvalues import LIMITS, Manager, Setting, Unit
from hostcheck.host import Host, Unavailable
from hostcheck.record import Record

ADMIN_FOLDERS = ("/etc/systemd/system.control", "/etc/systemd/system", "/usr/local/lib/systemd/system")
CONF_FOLDERS = ("/etc/systemd", "/run/systemd", "/usr/local/lib/systemd", "/usr/lib/systemd")

ENGINE_UNITS = (
    "docker.service",
    "docker.socket",
    "containerd.service",
    "kubelet.service",
    "crio.service",
    "cri-docker.service",
    "cri-docker.socket",
    "podman.service",
    "podman.socket",
    "buildkit.service",
    "buildkit.socket",
    "k3s.service",
    "k3s-agent.service",
    "rke2-server.service",
    "rke2-agent.service",
    "nerdctl.service",
    "snap.docker.dockerd.service",
    "firewalld.service",
)
"""Units that are shown wherever they come from; of the others, those in the administrator's folders."""


def version(host: Host) -> Optional[int]:
    """Return the version of the systemd that is installed, None if none is, or none says so."""
    return host.fact(_version)


def _version(host: Host) -> Optional[int]:
    found = trouble = None
    try:
        found = packages.packages(host).get("systemd")
    except Unavailable:
        pass
    except PermissionError as error:
        trouble = error
    if found:
        digits = found.version.rpartition(":")[2]
        number = digits[: next((i for i, c in enumerate(digits) if not c.isdecimal()), len(digits))]
        if number:
            return int(number)
    for library in init.systemd_libraries(host):
        number = library.rpartition("/libsystemd-shared-")[2][:-3].partition("-")[0].partition(".")[0]
        if number.isdecimal():
            return int(number)
    if trouble:
        # What it sets by itself depends on it.
        raise trouble
    return None


def manager(host: Host) -> Manager:
    """Return systemd's version and the defaults of its system.conf."""
    return host.fact(_manager)


def _manager(host: Host) -> Manager:
    number = version(host)
    found: dict[str, list[Assignment]] = {}
    for path in _manager_files(host, number):
        try:
            content = text(host, path)
        except Unavailable:
            # A folder of that name, say: systemd passes over it, too.
            continue
        for said in unitfile.parse_unit(content or "", path, ("Manager",)).assignments:
            found.setdefault(said.key, []).append(said)
    return Manager(number, found, _machine_tasks(host))


def _manager_files(host: Host, number: Optional[int]) -> Iterator[str]:
    """Yield the first system.conf there is (before 254 only the one in /etc), then the drop-ins by name."""
    for folder in CONF_FOLDERS if number is None or number >= 254 else CONF_FOLDERS[:1]:
        path = f"{folder}/system.conf"
        try:
            if host.exists(path):
                yield path
                break
        except Unavailable:
            continue
    yield from merged_conf(host, [f"{folder}/system.conf.d" for folder in CONF_FOLDERS])


def _machine_tasks(host: Host) -> Optional[int]:
    """Return how many tasks this machine can have: what pid_max and threads-max allow (system_tasks_max())."""
    try:
        return min(int(host.read(f"/proc/sys/kernel/{name}")) for name in ("pid_max", "threads-max"))
    except (OSError, ValueError, Unavailable):
        return None


class _Map(Record):
    """Which name leads to which unit file, for one type of unit."""

    target: Mapping[str, str]
    """A name to the path of its file, or to another name (an alias)."""
    shadowed: Mapping[str, tuple[str, ...]]


_RUNTIME = (
    "/run/systemd/system.control",
    "/run/systemd/transient",
    "/run/systemd/system",
    "/run/systemd/system.attached",
)
"""Folders that a reboot empties; the generators' are filled again at boot."""


def folders(host: Host) -> tuple[str, ...]:
    """Return the folders of unit files, first come first served (lookup_paths_init(), path-lookup.c)."""
    vendor = ["/usr/lib/systemd/system", "/lib/systemd/system"]
    number = version(host)
    # Debian's and Ubuntu's systemd was built for a separate /lib until upstream dropped that in 255.
    if number is not None and number < 255 and host.exists("/var/lib/dpkg/status"):
        vendor.reverse()
    elif host.resolve("/lib") == "/usr/lib":
        vendor.pop()
    return (
        "/etc/systemd/system.control",
        "/run/systemd/system.control",
        "/run/systemd/transient",
        "/run/systemd/generator.early",
        "/etc/systemd/system",
        "/etc/systemd/system.attached",
        "/run/systemd/system",
        "/run/systemd/system.attached",
        "/run/systemd/generator",
        "/usr/local/lib/systemd/system",
        *vendor,
        "/run/systemd/generator.late",
    )


def listing(host: Host, when: str = "boot") -> Mapping[str, tuple[str, ...]]:
    """Return the names in each folder of unit files; folders that are not there or cannot be had are left out.

    For `boot` without what a reboot empties.
    """
    every: Mapping[str, tuple[str, ...]] = host.fact(_listing)
    return every if when == "now" else {folder: every[folder] for folder in every if folder not in _RUNTIME}


def _listing(host: Host) -> Mapping[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for folder in folders(host):
        try:
            found[folder] = host.names(folder)
        except (FileNotFoundError, Unavailable):
            continue
    return found


def _cache(host: Host) -> dict[tuple[str, str], Any]:
    """Return what was worked out of this host before, by name and moment."""
    return {}


def _map(host: Host, kind: str, when: str) -> _Map:
    known = host.fact(_cache)
    key = (f".{kind}", when)
    if key not in known:
        known[key] = _build(host, kind, when)
    found: _Map = known[key]
    return found


def _build(host: Host, kind: str, when: str) -> _Map:
    """Follow unit_file_build_name_map() of systemd."""
    listed = listing(host, when)
    inside = {host.resolve(folder) for folder in listed}
    target: dict[str, str] = {}
    shadowed: dict[str, tuple[str, ...]] = {}
    seen: set[str] = set()
    for folder, entries in listed.items():
        real = host.resolve(folder)
        for name in entries:
            if not name.endswith("." + kind) or name.startswith("."):
                continue
            path = f"{folder}/{name}"
            if name in target:
                if f"{real}/{name}" not in seen:
                    shadowed[name] = (*shadowed.get(name, ()), path)
                    seen.add(f"{real}/{name}")
                continue
            try:
                link: Optional[str] = host.readlink(path)
            except (OSError, Unavailable):
                link = None
            if link is not None:
                parent, last = posixpath.split(posixpath.normpath(posixpath.join(folder, link)))
                if host.resolve(parent) in inside:
                    if last == name or not last.endswith("." + kind):
                        continue
                    target[name] = last
                    seen.add(f"{real}/{name}")
                    continue
            target[name] = path
            seen.add(f"{real}/{name}")
    return _Map(target, shadowed)


def _fragment(found: _Map, name: str) -> Optional[str]:
    """Return the unit file that a name leads to; None if to none."""
    for _ in range(8):
        where = found.target.get(name)
        if where is None:
            template = _template(name)
            where = found.target.get(template) if template != name else None
            if where is None:
                return None
        if where.startswith("/"):
            return where
        name = where
    return None


def unit(host: Host, name: str, when: str = "boot") -> Optional[Unit]:
    """Return a unit by any of its names, as systemd will load it; None if there is no such unit.

    `when` is `boot`, or `now` for what the files say at this moment, those in /run among them.

    Raises:
        PermissionError, Unavailable: one of its files is there and cannot be read.

    """
    known = host.fact(_cache)
    if (name, when) not in known:
        known[name, when] = _load(host, name, when)
    found: Optional[Unit] = known[name, when]
    return found


def _load(host: Host, asked: str, when: str) -> Optional[Unit]:
    kind = asked.rpartition(".")[2]
    if kind not in unitfile.SECTIONS:
        return None
    found = _map(host, kind, when)
    fragment = _fragment(found, asked)
    name = asked
    if fragment is not None:
        base = posixpath.basename(fragment)
        if "@." not in base:
            name = base
    aliases = [
        other
        for other in found.target
        if other != name and "@." not in other and fragment and _fragment(found, other) == fragment
    ]
    all_names = (name, *aliases)
    paths = _dropins(host, kind, all_names, when)
    sections = unitfile.SECTIONS[kind]
    boss = manager(host)
    shadowed = found.shadowed.get(name, ())
    if fragment is None:
        if not paths or "@" in name:
            return None
        # Drop-ins alone make no unit, but systemd shows them; nothing can be started.
        return Unit(name, all_names, "", "", paths, "not-found", (), (), boss, shadowed)
    shown = fragment
    if not boss.at_least(250):
        try:
            shown = host.resolve(fragment) if host.stat(fragment, follow=False).is_link else fragment
        except (FileNotFoundError, Unavailable):
            pass
    if is_masked(host, fragment):
        return Unit(name, all_names, shown, fragment, (), "masked", (), (), boss, shadowed)
    try:
        content = host.read(fragment)
    except FileNotFoundError:
        return Unit(name, all_names, "", fragment, (), "not-found", (), (), boss, shadowed)
    if not content:
        return Unit(name, all_names, shown, fragment, (), "masked", (), (), boss, shadowed)
    parsed = unitfile.parse_unit(content, fragment, sections)
    assignments = list(parsed.assignments)
    problems = list(parsed.problems)
    for path in paths:
        if is_masked(host, path):
            continue
        try:
            if not host.stat(path).is_file:
                continue
            more = unitfile.parse_unit(host.read(path), path, sections)
        except FileNotFoundError:
            continue
        assignments.extend(more.assignments)
        problems.extend(more.problems)
    load = "error" if parsed.broken else "loaded"
    return Unit(
        name, all_names, shown, fragment, paths, load, tuple(assignments), tuple(problems), boss, shadowed
    )


def _dropins(host: Host, kind: str, unit_names: tuple[str, ...], when: str) -> tuple[str, ...]:
    """Return the drop-ins in the order in which they are read; masks and dangling links among them, as systemd shows.

    Source: unit_file_find_dropin_paths(), src/shared/dropin.c.
    """
    boss = manager(host)
    listed = listing(host, when)
    wanted: list[str] = []
    for name in unit_names:
        for folder, entries in listed.items():
            for base in _dropin_names(name, kind, boss):
                if f"{base}.d" in entries:
                    wanted.append(f"{folder}/{base}.d")
    if boss.at_least(244):
        wanted.extend(f"{folder}/{kind}.d" for folder, entries in listed.items() if f"{kind}.d" in entries)
    found: dict[str, str] = {}
    for folder in wanted:
        real = host.resolve(folder)
        try:
            entries = host.names(real)
        except (FileNotFoundError, Unavailable):
            continue
        for name in entries:
            if name.endswith(".conf") and not name.startswith(".") and name not in found:
                found[name] = f"{real}/{name}"
    return tuple(found[name] for name in sorted(found, key=lambda n: n.encode("utf-8", "surrogateescape")))


def _dropin_names(name: str, kind: str, boss: Manager) -> Iterator[str]:
    """Yield the names under which drop-ins of a unit may stand: its own, its template's, and its prefixes'."""
    yield name
    base = name[: -len(kind) - 1]
    prefix, at, instance = base.partition("@")
    if at and instance:
        yield f"{prefix}@.{kind}"
    if not boss.at_least(239):
        return
    while "-" in prefix.rstrip("-"):
        prefix = prefix.rstrip("-").rpartition("-")[0] + "-"
        yield f"{prefix}.{kind}"


def exec_start(host: Host, name: str) -> list[Command]:
    """Return the command lines that start a unit, variables of Environment= and EnvironmentFile= put in.

    Empty if there is no such unit, or it is masked or refused.

    Raises:
        PermissionError, Unavailable: a file that decides it cannot be read.

    """
    found = unit(host, name)
    if found is None or found.load not in ("loaded", "bad-setting"):
        return []
    try:
        commands = found.commands("ExecStart")
    except ValueError:
        return []
    variables = {key: value for key, (value, _, _) in environment(host, found).items()}
    return [
        command
        if ":" in command.prefixes
        else command._replace(argv=unitexec.expand(command.argv, variables))
        for command in commands
    ]


def environment(host: Host, found: Unit) -> dict[str, tuple[str, Optional[str], Optional[int]]]:
    """Return the variables that a unit's programs get from files: name to value, path and line.

    DefaultEnvironment= of system.conf first, then Environment=, then the files (systemd.exec(5)).
    """
    variables: dict[str, tuple[str, Optional[str], Optional[int]]] = {}
    for said in found.manager.said.get("DefaultEnvironment", ()):
        for key, value in unitexec.parse_environment(said.value)[0].items():
            variables[key] = (value, said.path, said.line)
    variables.update(found.environment())
    for path, _, _ in found.environment_files():
        for one in _glob(host, path):
            content = text(host, one)
            for key, (value, line) in unitexec.parse_env_file(content or "").items():
                variables[key] = (value, one, line)
    return variables


def _glob(host: Host, path: str) -> list[str]:
    """Return the files that a path stands for; only its last part may hold wildcards."""
    if not any(char in path for char in "*?["):
        return [path]
    # Imported here: hardly any unit has wildcards, and it pulls in re.
    from fnmatch import fnmatchcase

    folder, pattern = posixpath.split(path)
    return [f"{folder}/{name}" for name in names(host, folder) if fnmatchcase(name, pattern)]


def _typed_state(host: Host, name: str) -> Optional[Setting]:
    """Return what a person wrote down of `systemctl is-enabled`, who seldom has the unit's files and links."""
    if not host.written_by_hand:
        return None
    for word in (name, name.removesuffix(".service")):
        try:
            said = host.run("systemctl", "is-enabled", word).out.strip()
        except (OSError, Unavailable):
            continue
        if said and "\n" not in said and said != "not-found":
            return Setting(said)
    return None


def enabled(host: Host, name: str) -> Optional[Setting]:
    """Return the unit file's state (systemctl(1), is-enabled) and the link that makes it so; None without a file.

    Source: unit_file_lookup_state(), src/shared/install.c.
    """
    typed = _typed_state(host, name)
    if typed is not None:
        return typed
    found = unit(host, name)
    if found is None or not found.shown or found.load == "not-found":
        return None
    if found.load == "masked":
        runtime = found.shown.startswith("/run/")
        return Setting("masked-runtime" if runtime else "masked", found.shown)
    if found.shown.startswith("/run/systemd/generator"):
        return Setting("generated", found.shown)
    if found.shown.startswith("/run/systemd/transient"):
        return Setting("transient", found.shown)
    listed = listing(host)
    if posixpath.basename(found.shown) != name and ("@" not in name or "@." in name):
        return Setting(
            "alias", next((f"{f}/{name}" for f, entries in listed.items() if name in entries), None)
        )
    if found.load == "error":
        return Setting("bad", found.shown)
    others: list[str] = []
    for folder, suffix in (("/etc/systemd/system", ""), ("/run/systemd/system", "-runtime")):
        for link in _links(host, found, folder):
            if posixpath.basename(link) in _link_names(found):
                return Setting(f"enabled{suffix}", link)
            others.append(link)
    for folder, suffix in (("/etc/systemd/system", ""), ("/run/systemd/system", "-runtime")):
        # One of the same name out of a vendor's folder (dracut's are) says nothing.
        if found.shown == f"{folder}/{found.name}" and _is_link(host, found.shown):
            return Setting(f"linked{suffix}", found.shown)
    if others:
        return Setting("indirect", others[0])
    install = {a.key for a in found.assignments if a.section == "Install" and a.value}
    if install.intersection(("WantedBy", "RequiredBy", "UpheldBy", "Alias")):
        return Setting("disabled", found.shown, default=True)
    return Setting("indirect" if "Also" in install else "static", found.shown, default=True)


def _is_link(host: Host, path: str) -> bool:
    try:
        return host.stat(path, follow=False).is_link
    except (OSError, Unavailable):
        return False


def _install(found: Unit, key: str) -> Iterator[str]:
    """Yield the words that the section Install has for a key."""
    for said in found.assignments:
        if said.section == "Install" and said.key == key:
            yield from found.expand(said).split()


def _link_names(found: Unit) -> set[str]:
    """Return the names under which `systemctl enable` links a unit (is_symlink_with_known_name() of install.c)."""
    names_ = {found.name, *_install(found, "Alias")}
    prefix, at, end = found.name.partition("@.")
    if at:
        names_.update(f"{prefix}@{instance}.{end}" for instance in _install(found, "DefaultInstance"))
    return names_


def _links(host: Host, found: Unit, folder: str) -> Iterator[str]:
    """Yield the links in a folder that lead to a unit by its name, or to an instance of it.

    Source: find_symlinks_in_directory(), src/shared/install.c.
    """
    listed = listing(host).get(folder, ())
    for entry in listed:
        if entry.endswith((".wants", ".requires", ".upholds")):
            for link in names(host, f"{folder}/{entry}"):
                if found.name in (link, _template(link)):
                    yield f"{folder}/{entry}/{link}"
    for alias in found.names:
        if alias != found.name and alias in listed:
            yield f"{folder}/{alias}"


def _template(name: str) -> str:
    """Return the template of an instance, empty for what is none.

    >>> _template("getty@tty1.service"), _template("docker.service")
    ('getty@.service', '')
    """
    prefix, at, rest = name.partition("@")
    return f"{prefix}@.{rest.rpartition('.')[2]}" if at else ""


def preset(host: Host, name: str) -> Setting:
    """Return what the first boot, or the installation of a package, makes of a unit: enabled or disabled.

    Source: systemd.preset(5): files by name over all folders, the first line that matches counts, else enabled.
    """
    from fnmatch import fnmatchcase

    places = [f"{top}/system-preset" for top in (*CONF_FOLDERS, "/lib/systemd")]
    for path in merged_conf(host, places, ".preset"):
        for number, line in enumerate((text(host, path) or "").splitlines(), 1):
            words = line.split()
            if len(words) < 2 or words[0] not in ("enable", "disable"):
                continue
            if fnmatchcase(name, words[1]):
                return Setting(words[0] + "d", path, number)
    return Setting("enabled", default=True)


_SHOWN = (
    "Type", "ExecStart", "ExecStartPre", "ExecReload", "KillMode", "Restart", "RestartUSec", "TimeoutStartUSec",
    "TimeoutStopUSec", "StartLimitIntervalUSec", "StartLimitBurst", "OOMScoreAdjust", "Delegate",
    "DelegateControllers", "TasksMax", "Slice", "User", "Environment", "EnvironmentFiles",
    *(f"Limit{name}{soft}" for name in LIMITS for soft in ("", "Soft")),
)  # fmt: skip
_SHOWN_ALWAYS = ("Requires", "BindsTo", "Wants", "PartOf", "After")


def properties(host: Host, found: Unit) -> dict[str, Setting]:
    """Return what `systemctl show` would print of a unit, as far as files decide it."""
    shown: dict[str, Setting] = {
        "Id": Setting(found.name, found.shown or None),
        "Names": Setting(" ".join(found.names), found.shown or None),
        "LoadState": Setting(found.load, found.shown or None),
        "FragmentPath": Setting(found.fragment, found.shown or None),
        "DropInPaths": Setting(" ".join(found.dropins), found.shown or None),
    }
    state = enabled(host, found.name)
    if state:
        shown["UnitFileState"] = state
        shown["UnitFilePreset"] = preset(host, found.name)
    wanted = (*_SHOWN, *_SHOWN_ALWAYS) if found.kind == "service" else ("TasksMax", "Slice", *_SHOWN_ALWAYS)
    for prop in wanted:
        setting = found.get(prop)
        if setting is not None:
            shown[prop] = setting
    return shown


def export(host: Host) -> dict[str, object]:
    """Return the engines' units and the administrator's own, for `hostcheck facts units`."""
    wanted = set(ENGINE_UNITS)
    for folder, entries in listing(host).items():
        if folder.startswith(("/etc/", "/run/", "/usr/local/")):
            wanted.update(
                name for name in entries if name.endswith((".service", ".socket")) and "@." not in name
            )
            wanted.update(name[:-2] for name in entries if name.endswith((".service.d", ".socket.d")))
        wanted.update(
            name for name in entries if name.startswith(_ENGINE_PREFIXES) and name.endswith(".service")
        )
    shown: dict[str, object] = {}
    for name in sorted(wanted):
        try:
            found = unit(host, name)
        except (PermissionError, Unavailable):
            continue
        if found is None or name.endswith("-.service") or "@." in name:
            continue
        now = running(host, name)
        shown[name] = {
            prop: _leaf(setting, None if now is None else now.get(prop))
            for prop, setting in properties(host, found).items()
        }
    return shown


_ENGINE_PREFIXES = (
    "docker",
    "containerd",
    "kubelet",
    "crio",
    "podman",
    "buildkit",
    "k3s",
    "rke2",
    "cri-docker",
)


def _leaf(setting: Setting, now: Optional[str]) -> dict[str, object]:
    leaf: dict[str, object] = {"value": setting.value, "path": setting.path, "line": setting.line}
    if setting.default:
        leaf["default"] = True
    if now is not None and now != setting.value and not setting.value.startswith("{ path="):
        leaf.update({"value": now, "now": now, "boot": setting.value})
    return leaf


def running(host: Host, name: str) -> Optional[Mapping[str, str]]:
    """Return what the running systemd says of a unit; None where it cannot be asked.

    It starts a command, so only those ask who compare now with the next boot.
    """
    if host.kind != "live":
        return None
    try:
        if not host.stat("/run/systemd/system").is_dir:
            return None
        wanted = ",".join(
            (*_SHOWN, "LoadState", "ActiveState", "NeedDaemonReload", "MainPID", "UnitFileState")
        )
        done = host.run("systemctl", "show", f"--property={wanted}", "--", name)
    except (OSError, Unavailable):
        return None
    return parse_show(done.out) if done.code == 0 else None


def parse_show(text: str) -> dict[str, str]:
    r"""Read what `systemctl show` prints; of a property that comes twice, the lines together.

    >>> parse_show("Type=notify\nEnvironment=A=1\n")
    {'Type': 'notify', 'Environment': 'A=1'}
    """
    found: dict[str, str] = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals:
            found[key] = f"{found[key]}\n{value}" if key in found else value
    return found


def parse_process_limits(text: str) -> dict[str, Limit]:
    r"""Read /proc/PID/limits: the resource (NOFILE, NPROC, CORE) to its limits.

    >>> parse_process_limits("Max open files            1024                 524288               files\n")
    {'NOFILE': Limit(soft='1024', hard='524288')}
    """
    labels = {"Max open files": "NOFILE", "Max processes": "NPROC", "Max core file size": "CORE"}
    found: dict[str, Limit] = {}
    for line in text.splitlines():
        words = line[26:].split()
        resource = labels.get(line[:26].strip())
        if resource and len(words) >= 2:
            soft, hard = (INFINITY if word == "unlimited" else word for word in words[:2])
            found[resource] = Limit(soft, hard)
    return found


def other_init(host: Host) -> str:
    """Return what runs this host if it is not systemd, empty if it is or cannot be told."""
    if host.kind == "live":
        try:
            comm = host.read("/proc/1/comm").strip()
            if comm:
                return "" if comm in ("systemd", "init") and not _openrc(host) else comm
        except (OSError, Unavailable):
            pass
    return "OpenRC" if _openrc(host) else ""


def _openrc(host: Host) -> bool:
    """Return whether OpenRC is there and systemd is not."""
    if any(host.exists(path) for path in ("/usr/lib/systemd/systemd", "/lib/systemd/systemd")):
        return False
    return any(
        host.exists(path) for path in ("/sbin/openrc-run", "/usr/sbin/openrc-run", "/usr/bin/openrc-run")
    )
