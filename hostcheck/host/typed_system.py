"""Commands that a person types to ask a running system, and what files and other commands would have said."""

from __future__ import annotations

import re
from collections.abc import Iterable

from hostcheck.host import Completed
from hostcheck.host.said import Said, Taker, filtered
from hostcheck.host.typed_files import size_of


def _uname(said: Said, words: tuple[str, ...], done: Completed) -> None:
    fields = done.out.split()
    release = ""
    if words == ("-r",) and len(fields) == 1:
        release = fields[0]
    elif words in (("-a",), ("-sr",), ("-srm",)) and len(fields) > 2:
        release = fields[2] if words == ("-a",) else fields[1]
    if release:
        said.lay("/proc/sys/kernel/osrelease", release)


def _hostnamectl(said: Said, _words: tuple[str, ...], done: Completed) -> None:
    found = re.search(r"Kernel: Linux (\S+)", done.out)
    if found:
        said.lay("/proc/sys/kernel/osrelease", found.group(1))


def proc_modules(lsmod: str) -> list[str]:
    r"""Return the lines of /proc/modules, of which lsmod printed a part.

    >>> proc_modules("Module Size Used by\noverlay 151552 2 a,b")
    ['overlay 151552 2 a,b, Live 0x0000000000000000\n']
    """
    rows = [line.split() for line in lsmod.splitlines()]
    return [
        f"{row[0]} {row[1]} {row[2]} {row[3] + ',' if len(row) > 3 else '-'} Live 0x0000000000000000\n"
        for row in rows
        if len(row) > 2 and row[1].isdecimal()
    ]


def _lsmod(said: Said, _words: tuple[str, ...], done: Completed) -> None:
    lines = proc_modules(done.out)
    if filtered(done):
        known = said.read("/proc/modules")
        if not lines:
            word = done.argv[-1]
            said.files["/proc/modules"] = "".join(
                line for line in known.splitlines(keepends=True) if word not in line.split(" ")[0]
            )
            return
        there = {line.split(" ")[0] for line in known.splitlines()}
        lines = [known, *(line for line in lines if line.split(" ")[0] not in there)]
    said.files["/proc/modules"] = "".join(lines)


def _modprobe(said: Said, _words: tuple[str, ...], done: Completed) -> None:
    for name in re.findall(r"Module (\S+) not found", done.out + done.err):
        said.modules_gone.add(name.strip("'\"").replace("-", "_"))


def _sysctl(said: Said, words: tuple[str, ...], done: Completed) -> None:
    if "-w" in words:
        return
    keys = [word for word in words if not word.startswith("-")]
    for line in (done.out + done.err).splitlines():
        key, equals, value = line.partition("=")
        missing = re.search(r"cannot stat (/proc/sys/\S+): No such file", line)
        if missing:
            said.gone(missing.group(1).rstrip(":"))
        elif equals and re.match(r"[\w.*/-]+\s*$", key):
            said.lay(_sysctl_path(key.strip()), value.strip())
        elif len(keys) == 1 and not equals and done.code == 0 and line.strip() and "=" not in keys[0]:
            said.lay(_sysctl_path(keys[0]), line.strip())


def _sysctl_path(key: str) -> str:
    return "/proc/sys/" + (key if "/" in key else key.replace(".", "/"))


def _mount(said: Said, words: tuple[str, ...], done: Completed) -> None:
    if done.code or [word for word in words if word not in ("-l", "-v")]:
        return
    found = re.findall(r"(?m)^(.+?) on (/.*?) type (\S+) \(([^)]*)\)", done.out)
    _add_mounts(said, found)


def _findmnt(said: Said, words: tuple[str, ...], done: Completed) -> None:
    lines = [re.sub(r"^[\s│├└─|`-]+(?=/)", "", line) for line in done.out.splitlines() if line.strip()]
    if done.code or not lines:
        return
    columns = ["TARGET", "SOURCE", "FSTYPE", "OPTIONS"]
    asked = next((word for word in words if re.match(r"-\w*o$", word)), "")
    if asked and words.index(asked) + 1 < len(words):
        columns = words[words.index(asked) + 1].upper().split(",")
    if lines[0].split() == columns:
        del lines[0]
    paths = [word for word in words if word.startswith("/")]
    rows = []
    for line in lines:
        cells = line.split(None, len(columns) - 1)
        row = dict(zip(columns, cells))
        point = row.get("TARGET") or (paths[0] if len(paths) == 1 and len(lines) == 1 else "")
        if point:
            rows.append(_completed(said, point, row))
    _add_mounts(said, rows)


def _completed(said: Said, point: str, row: dict[str, str]) -> tuple[str, str, str, str]:
    """Return device, place, type and options: what was not asked stays as it is known."""
    before = ["none", point, "ext4", "rw,relatime"]
    for line in _known_mounts(said):
        if line.split()[1] == point:
            before = line.split()[:4]
    return (
        row.get("SOURCE", before[0]),
        point,
        row.get("FSTYPE", before[2]),
        row.get("OPTIONS", before[3]),
    )


def _known_mounts(said: Said) -> list[str]:
    for path in ("/proc/mounts", "/proc/self/mounts"):
        lines = [line for line in said.read(path).splitlines() if len(line.split()) > 3]
        if lines:
            return lines
    return []


def _add_mounts(said: Said, rows: Iterable[tuple[str, str, str, str]]) -> None:
    new = [" ".join(word.replace(" ", r"\040") for word in row) + " 0 0" for row in rows]
    if not new:
        return
    points = {line.split()[1] for line in new}
    kept = [line for line in _known_mounts(said) if line.split()[1] not in points]
    said.lay("/proc/mounts", "\n".join([*kept, *new]))


def _ip(said: Said, words: tuple[str, ...], done: Completed) -> None:
    kind = next((word for word in words if not word.startswith("-")), "")
    if done.code:
        return
    if kind in ("route", "r", "ro") and "-6" not in words:
        # Asked only where there is no such file.
        said.gone("/proc/net/route")
        said.answers[("ip", "-4", "route")] = done.out
    elif kind in ("rule", "ru") and "-6" not in words:
        said.answers[("ip", "-4", "rule")] = done.out
    elif kind in ("link", "l", "addr", "a", "address"):
        for name, mtu in re.findall(r"(?m)^\d+: ([^:@\s]+)[^:]*: .*\bmtu (\d+)", done.out):
            said.lay(f"/sys/class/net/{name}/mtu", mtu)


def _route(said: Said, _words: tuple[str, ...], done: Completed) -> None:
    lines = []
    for line in done.out.splitlines():
        words = line.split()
        if len(words) < 8 or not re.match(r"\d+\.\d+\.\d+\.\d+$|default$", words[0]):
            continue
        bits = sum(bin(int(part)).count("1") for part in words[2].split(".") if part.isdecimal())
        target = "default" if bits == 0 else f"{words[0]}/{bits}"
        lines.append(
            f"{target} via {words[1]} dev {words[-1]}"
            if words[1][0].isdecimal()
            else f"{target} dev {words[-1]}"
        )
    if lines:
        said.gone("/proc/net/route")
        said.answers[("ip", "-4", "route")] = "\n".join(lines) + "\n"


def _swapon(said: Said, words: tuple[str, ...], done: Completed) -> None:
    heading = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
    if not {"-s", "--show", "--summary"} & set(words) or done.code:
        return
    rows = [line.split() for line in done.out.splitlines() if line.startswith("/")]
    sizes = [
        size_of(row[2]) // 1024 if row[2][-1:].isalpha() else int(row[2]) for row in rows if len(row) > 2
    ]
    said.files["/proc/swaps"] = heading + "".join(
        f"{row[0]} {row[1]} {size} 0 -2\n" for row, size in zip(rows, sizes)
    )


def _free(said: Said, words: tuple[str, ...], done: Completed) -> None:
    unit = {"-b": 1, "-m": 1 << 20, "-g": 1 << 30}.get(next(iter(words), ""), 1 << 10)
    known = said.read("/proc/meminfo")
    for label, fields in (("Mem", ("MemTotal",)), ("Swap", ("SwapTotal",))):
        found = re.search(rf"(?m)^{label}:\s+(\S+)", done.out)
        size = size_of(found.group(1)) if found else -1
        if size < 0:
            continue
        kilobytes = size // 1024 if found and found.group(1)[-1].isalpha() else size * unit // 1024
        for field in fields:
            known = re.sub(rf"(?m)^{field}:.*\n?", "", known) + f"{field}: {kilobytes} kB\n"
    said.lay("/proc/meminfo", known)


def _getenforce(said: Said, _words: tuple[str, ...], done: Completed) -> None:
    _selinux(said, done.out.strip())


def _sestatus(said: Said, _words: tuple[str, ...], done: Completed) -> None:
    found = re.search(r"(?m)^Current mode:\s*(\w+)", done.out) or re.search(
        r"SELinux status:\s*(disabled)", done.out
    )
    if found:
        _selinux(said, found.group(1))


def _selinux(said: Said, word: str) -> None:
    word = word.lower()
    if word in ("enforcing", "permissive"):
        said.files["/sys/fs/selinux/enforce"] = "1" if word == "enforcing" else "0"
        said.entries.pop("/sys/fs/selinux/enforce", None)
    elif word == "disabled":
        said.gone("/sys/fs/selinux/enforce")
        said.gone("/sys/fs/selinux")


def _apparmor(said: Said, _words: tuple[str, ...], done: Completed) -> None:
    text = done.out + done.err
    if re.search(r"apparmor module is loaded|^Yes\b", text):
        said.lay("/sys/module/apparmor/parameters/enabled", "Y")
    profiles = re.findall(r"(?m)^\s{2,4}(/?[\w./-]+)$", done.out)
    if profiles and "profiles are loaded" in text:
        said.lay(
            "/sys/kernel/security/apparmor/profiles",
            "\n".join(f"{name} (enforce)" for name in dict.fromkeys(profiles)),
        )


def _getent(said: Said, words: tuple[str, ...], done: Completed) -> None:
    path = {"group": "/etc/group", "passwd": "/etc/passwd"}.get(words[0] if words else "")
    if not path or done.code not in (0, 2):
        return
    lines = said.read(path).splitlines()
    if done.code == 2 and len(words) == 2:
        lines = [line for line in lines if line.partition(":")[0] != words[1]]
    lines += [line for line in done.out.splitlines() if line.count(":") >= 3 and line not in lines]
    said.lay(path, "\n".join(lines))


def _loginctl(said: Said, words: tuple[str, ...], done: Completed) -> None:
    user = next((word for word in words[1:] if not word.startswith("-") and word != "Linger"), "")
    if words[:1] == ("show-user",) and user and re.search(r"^(?:Linger=)?no$", done.out, re.MULTILINE):
        said.gone(f"/var/lib/systemd/linger/{user}")


def _pidof(said: Said, words: tuple[str, ...], done: Completed) -> None:
    names = [word for word in words if not word.startswith("-")]
    numbers = [int(word) for word in done.out.split() if word.isdecimal()]
    if len(names) == 1 and (numbers or done.code == 1):
        said.pids[names[0]] = numbers


def _systemctl(said: Said, words: tuple[str, ...], done: Completed) -> None:
    if "--user" in words or not words:
        return
    verb, units = words[0], [word for word in words[1:] if not word.startswith("-") and "=" not in word]
    if "-p" in words and words.index("-p") + 1 < len(words):
        units = [unit for unit in units if unit != words[words.index("-p") + 1]]
    if verb == "is-enabled":
        for unit, state in zip(units, done.out.split("\n")):
            _state(said, unit, state.strip())
    elif verb == "list-unit-files":
        for line in done.out.splitlines():
            found = re.match(r"\s*([\w@.\\-]+\.(?:service|socket|timer|target|mount))\s+([\w-]+)", line)
            if found:
                _state(said, found.group(1), found.group(2))
    elif verb == "status":
        for name, state in re.findall(r"Loaded: \S+ \(\S*?/?([\w@.\\-]+\.\w+); ([\w-]+)", done.out):
            _state(said, name, state)
    elif verb == "cat":
        _unit_files(said, done.out)
    elif verb == "show" and len(units) == 1:
        name = units[0] if "." in units[0] else units[0] + ".service"
        _properties(said, name, words, done.out)


def _state(said: Said, unit: str, state: str) -> None:
    if re.match(r"[a-z-]+$", state):
        said.answers[("systemctl", "is-enabled", unit if "." in unit else unit + ".service")] = state + "\n"


def _unit_files(said: Said, text: str) -> None:
    """Take what `systemctl cat` prints: each file below a comment with its path."""
    pieces = re.split(r"(?m)^# (/\S+\.(?:service|socket|timer|mount|slice|target|conf))[ \t]*$", text)
    for path, content in zip(pieces[1::2], pieces[2::2]):
        said.lay(path, content.strip("\n"))


def _properties(said: Said, name: str, words: tuple[str, ...], out: str) -> None:
    asked = next((word.partition("=")[2] for word in words if word.startswith("--property=")), "")
    if "-p" in words and words.index("-p") + 1 < len(words):
        asked = words[words.index("-p") + 1]
    properties = said.units.setdefault(name, {})
    lines = out.splitlines()
    if "--value" in words and len(lines) == 1 and asked:
        properties[asked] = lines[0]
        return
    for line in lines:
        key, equals, value = line.partition("=")
        if equals and re.match(r"\w+$", key):
            properties[key] = value


TAKERS: dict[str, Taker] = {
    "aa-enabled": _apparmor,
    "aa-status": _apparmor,
    "apparmor_status": _apparmor,
    "findmnt": _findmnt,
    "free": _free,
    "getenforce": _getenforce,
    "getent": _getent,
    "hostnamectl": _hostnamectl,
    "ip": _ip,
    "loginctl": _loginctl,
    "lsmod": _lsmod,
    "modinfo": _modprobe,
    "modprobe": _modprobe,
    "mount": _mount,
    "netstat": _route,
    "pgrep": _pidof,
    "pidof": _pidof,
    "route": _route,
    "sestatus": _sestatus,
    "swapon": _swapon,
    "sysctl": _sysctl,
    "systemctl": _systemctl,
    "uname": _uname,
}
