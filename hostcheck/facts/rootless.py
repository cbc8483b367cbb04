"""Who runs containers without root here, and what such users have been given: ids, lingering, AppArmor profiles."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping

from hostcheck._typing import Optional
from hostcheck.facts import engine, unitfile
from hostcheck.facts.files import Source, is_masked, names, text
from hostcheck.host import Host, Unavailable
from hostcheck.record import Record

PASSWD = "/etc/passwd"
LINGER = "/var/lib/systemd/linger"
USER_UNITS = ".config/systemd/user"
UNITS_LIMIT = 64
"""Unit files that are read of one user."""

PROGRAMS = ("dockerd-rootless.sh", "containerd-rootless.sh", "rootlesskit", "newuidmap")
"""What the installers of rootless engines put into a user's own folder of programs."""

USER_BIN = ("bin", ".local/bin")
"""Folders of programs below a home: docker's installer takes the first, others the second."""


class User(Record):
    """A user of the host."""

    name: str
    uid: Optional[int]
    """None where only a folder in /home tells of the user."""
    home: str
    source: Source


class Evidence(Record):
    """What shows that containers are run without root."""

    user: Optional[User]
    """None where it is said for all users at once."""
    engine: str
    """`docker`, `containerd`, `podman` or `k3s`."""
    why: str
    """In words, to stand behind `because`."""
    path: str
    at_boot: bool = False
    """Whether a unit is to start by itself."""


class Range(Record):
    """Subordinate ids of one user."""

    owner: str
    """A name, or a number as text."""
    first: int
    size: int
    source: Source

    @property
    def last(self) -> int:
        """The last id in it."""
        return self.first + self.size - 1


class Profile(Record):
    """An AppArmor profile that lets a program make user namespaces."""

    attachment: str
    """The path or pattern of the programs that it is for."""
    source: Source


def parse_passwd(text: str, path: str = PASSWD) -> tuple[User, ...]:
    r"""Return the users of a passwd(5) file; lines that are none are passed over.

    >>> parse_passwd("u:x:1000:1000::/home/u:/bin/sh\n+\n")[0].home
    '/home/u'
    """
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        fields = line.split(":")
        if len(fields) >= 6 and fields[0] and fields[2].isdecimal():
            found.append(User(fields[0], int(fields[2]), fields[5].rstrip("/"), Source(path, number)))
    return tuple(found)


def parse_subid(text: str, path: str = "") -> tuple[Range, ...]:
    r"""Return the ranges of a subuid(5) or subgid(5) file; lines that are none are passed over.

    >>> parse_subid("u:100000:65536\nbad\nv:x:1\n")[0].last
    165535
    """
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        fields = line.strip().split(":")
        if len(fields) == 3 and fields[0] and fields[1].isdecimal() and fields[2].isdecimal():
            found.append(Range(fields[0], int(fields[1]), int(fields[2]), Source(path, number)))
    return tuple(found)


def users(host: Host) -> tuple[User, ...]:
    """Return the users who have a home: those of /etc/passwd, then those of whom only a folder in /home tells.

    Raises:
        PermissionError, Unavailable: /etc/passwd cannot be read.

    """
    return host.fact(_users)


def _users(host: Host) -> tuple[User, ...]:
    listed = [
        user for user in parse_passwd(text(host, PASSWD) or "") if user.home not in ("", "/nonexistent")
    ]
    homes = {user.home for user in listed}
    try:
        for name in names(host, "/home"):
            home = f"/home/{name}"
            if home not in homes and name not in ("lost+found", ".ecryptfs") and host.stat(home).is_dir:
                listed.append(User(name, None, home, Source(home)))
    except (OSError, Unavailable):
        pass
    return tuple(listed)


def is_there(host: Host, path: str) -> bool:
    """Return whether something can be seen at a path; what may not be looked at cannot."""
    try:
        return host.exists(path)
    except (OSError, Unavailable):
        return False


def _names(host: Host, folder: str) -> tuple[str, ...]:
    try:
        return names(host, folder)
    except (OSError, Unavailable):
        return ()


def evidence(host: Host) -> tuple[Evidence, ...]:
    """Return what shows that users run containers without root; none where nothing does.

    That the packages are there shows nothing: docker-ce brings its rootless extras along, Debian's podman its
    helpers.

    Raises:
        PermissionError, Unavailable: /etc/passwd cannot be read.

    """
    return host.fact(_evidence)


def _evidence(host: Host) -> tuple[Evidence, ...]:
    found: list[Evidence] = []
    there = engine.installed(host)
    found += _units(host, None, "/etc/systemd/user")
    for user in users(host):
        # Accounts of daemons share folders like / and /var; a home that is one user's own is further down.
        if (user.home.count("/") < 2 and user.home != "/root") or not is_there(host, user.home):
            continue
        units = _units(host, user, f"{user.home}/{USER_UNITS}")
        found += units
        if user.uid == 0:
            continue
        found += _of_home(host, user, there)
    if "podman" in there and "docker" not in there:
        known = {user.name: user for user in users(host)}
        for name in _names(host, LINGER):
            if name in known and known[name].uid != 0:
                found.append(Evidence(known[name], "podman", f"{name} lingers", f"{LINGER}/{name}"))
    return tuple(found)


def _of_home(host: Host, user: User, there: frozenset[str]) -> Iterator[Evidence]:
    # ~/.docker is the client's; only a dockerd without root reads ~/.config/docker/daemon.json.
    for below, name, needs, why in (
        (".config/docker/daemon.json", "docker", "", "has a daemon.json of their own"),
        (".local/share/docker", "docker", "docker", "has images of docker in their home"),
        (".local/share/containers/storage", "podman", "podman", "has images of podman in their home"),
        (".config/containers/systemd", "podman", "podman", "has container units of their own"),
    ):
        if (not needs or needs in there) and is_there(host, f"{user.home}/{below}"):
            yield Evidence(user, name, f"{user.name} {why}", f"{user.home}/{below}")
    for folder in USER_BIN:
        for name in PROGRAMS:
            path = f"{user.home}/{folder}/{name}"
            if is_there(host, path):
                kind = "containerd" if name.startswith("containerd") else "docker"
                yield Evidence(user, kind, f"{user.name} has {name} in their home", path)


# Texts, compiled where they are used: few hosts come so far, and compiling them takes 3 ms.
_RUNS = (
    r"(?m)(?P<docker>dockerd-rootless)|(?P<containerd>containerd-rootless)|(?P<k3s>k3s\s+server\s.*--rootless)"
    r"|(?P<podman>(?:^|[\s/=])podman\s.*\b(?:run|start|kube|play)\b)"
)


def _units(host: Host, user: User | None, folder: str) -> list[Evidence]:
    """Return the engines and containers that units of a user's manager start."""
    found = []
    listed = _names(host, folder)
    wanted: dict[str, str] = {}
    for name in listed:
        if name.endswith((".wants", ".requires")):
            wanted.update({unit: f"{folder}/{name}/{unit}" for unit in _names(host, f"{folder}/{name}")})
    services = [name for name in dict.fromkeys((*listed, *wanted)) if name.endswith(".service")]
    for name in services[:UNITS_LIMIT]:
        path = f"{folder}/{name}" if name in listed else wanted[name]
        if is_masked(host, path):
            continue
        try:
            content = host.read(path)
        except (OSError, Unavailable):
            content = ""
        kinds = re.search(_RUNS, re.sub(r"^\s*[#;].*$", "", content, flags=re.MULTILINE))
        kind = str(kinds.lastgroup) if kinds else ""
        if not content and name in ("docker.service", "containerd.service"):
            kind = name[: -len(".service")]
        if kind:
            whose = f"{user.name} has" if user else "all users have"
            found.append(Evidence(user, kind, f"{whose} a unit {name}", path, name in wanted))
    if "podman.socket" in wanted:
        whose = f"{user.name} has" if user else "all users have"
        found.append(
            Evidence(user, "podman", f"{whose} podman.socket enabled", wanted["podman.socket"], True)
        )
    return found


def engines(host: Host) -> frozenset[str]:
    """Return the engines that are run without root, as far as evidence tells."""
    return frozenset(each.engine for each in evidence(host))


def rootless_users(host: Host) -> tuple[User, ...]:
    """Return the users who run containers without root, each once, root left out."""
    found = {each.user.name: each.user for each in evidence(host) if each.user and each.user.uid != 0}
    return tuple(found.values())


def service(host: Host, user: User, name: str = "docker.service") -> tuple[unitfile.Assignment, ...]:
    """Return what a unit of a user's own manager says, with the drop-ins beside it; nothing where there is none."""
    said: list[unitfile.Assignment] = []
    folder = f"{user.home}/{USER_UNITS}"
    paths = [f"{folder}/{name}"]
    if not is_there(host, paths[0]):
        paths = [f"{folder}/default.target.wants/{name}"]
    paths += [
        f"{folder}/{name}.d/{each}" for each in _names(host, f"{folder}/{name}.d") if each[-5:] == ".conf"
    ]
    for path in paths:
        try:
            said.extend(unitfile.parse_unit(host.read(path), path).assignments)
        except (OSError, Unavailable):
            continue
    return tuple(said)


def lingers(host: Host, user: User) -> str | None:
    """Return the file that says that a user lingers, None if there is none.

    Raises:
        PermissionError, Unavailable: the folder cannot be looked into.

    """
    return f"{LINGER}/{user.name}" if user.name in names(host, LINGER) else None


def ranges(host: Host, kind: str) -> tuple[Range, ...]:
    """Return the ranges of /etc/subuid or /etc/subgid; none if there is no such file.

    Raises:
        PermissionError: it cannot be read.
        Unavailable: the ids come from a service that no file tells of.

    """
    for number, line in enumerate((text(host, "/etc/nsswitch.conf") or "").split("\n"), 1):
        word, colon, rest = line.partition("#")[0].partition(":")
        if colon and word.strip() == "subid" and rest.split()[:1] not in ([], ["files"]):
            raise Unavailable(f"subordinate ids come from {rest.split()[0]} (/etc/nsswitch.conf:{number})")
    path = f"/etc/{kind}"
    return parse_subid(text(host, path) or "", path)


def ranges_of(host: Host, kind: str, user: User) -> tuple[Range, ...]:
    """Return one user's ranges, those by name and those by number."""
    return tuple(r for r in ranges(host, kind) if r.owner in (user.name, str(user.uid)))


def program(host: Host, name: str) -> str | None:
    """Return the path of a program as the users' engines find it: in the system's folders, then in their homes."""
    found = engine.program(host, name)
    if found:
        return found
    for user in rootless_users(host):
        for folder in USER_BIN:
            path = f"{user.home}/{folder}/{name}"
            if is_there(host, path):
                return path
    return None


_HEADER = (
    r'^\s*(?:profile\s+(?P<name>"[^"]*"|\S+)\s+)?(?P<path>"[/@][^"]*"|[/@]\S+)?\s*'
    r"(?:xattrs=\([^)]*\)\s*)?(?:flags=\s*\((?P<flags>[^)]*)\)|(?P<old>\([^)]*\)))?\s*\{\s*$"
)
_VARIABLE = r"^\s*@\{(\w+)\}\s*\+?=\s*(.*)$"
_USERNS = r"^\s*(?:allow\s+)?(?:userns\b[^#]*,|all\s*,)"

VARIABLES: Mapping[str, str] = {
    "bin": "/{,usr/}{,s}bin",
    "sbin": "/{,usr/}sbin",
    "HOME": "{/home/*,/root}",
    "HOMEDIRS": "/home",
    "lib": "/{,usr/}lib{,exec,32,64}",
}
"""AppArmor's own, of /etc/apparmor.d/tunables."""


def parse_profiles(text: str, path: str = "") -> tuple[Profile, ...]:
    r"""Return what a file of /etc/apparmor.d lets make user namespaces: profiles with a rule `userns,`.

    >>> parse_profiles("profile x /usr/bin/x flags=(unconfined) {\n  userns,\n}\n")[0].attachment
    '/usr/bin/x'
    """
    variables = dict(VARIABLES)
    found = []
    current: tuple[str, int] | None = None
    lenient = False
    for number, line in enumerate(text.split("\n"), 1):
        assigned = re.match(_VARIABLE, line)
        if assigned:
            words = assigned.group(2).partition("#")[0].split()
            variables[assigned.group(1)] = words[0] if len(words) == 1 else "{" + ",".join(words) + "}"
            continue
        header = re.match(_HEADER, line)
        if header and (header.group("path") or header.group("name")):
            where = (header.group("path") or header.group("name") or "").strip('"')
            current = (where, number) if where[:1] in "/@" else None
            # In complain mode what no rule allows is logged, not refused.
            lenient = "complain" in (header.group("flags") or header.group("old") or "")
        if current and (lenient or re.match(_USERNS, line)):
            for _ in range(5):
                known = re.sub(r"@\{(\w+)\}", lambda m: variables.get(m.group(1), m.group(0)), current[0])
                if known == current[0]:
                    break
                current = (known, current[1])
            found.append(Profile(current[0], Source(path, current[1])))
            current, lenient = None, False
    return tuple(found)


def attaches(pattern: str, path: str) -> bool:
    """Return whether a profile's attachment is for the program at a path (apparmor.d(5), Globbing).

    >>> attaches("/usr/{,local/}bin/rootless*", "/usr/local/bin/rootlesskit")
    True
    >>> attaches("/home/*/bin/x", "/home/a/b/bin/x")
    False
    """
    parts = {"**": ".*", "*": "[^/]*", "?": "[^/]", "{": "(?:", "}": ")", ",": "|"}
    depth = 0
    made = ""
    for token in re.findall(r"\*\*|\[[^]]*\]|\\.|.", pattern, re.DOTALL):
        depth += (token == "{") - (token == "}")
        if token == "," and not depth:
            made += ","
        elif token in parts:
            made += parts[token]
        elif token.startswith("[") and len(token) > 2:
            made += token
        else:
            made += re.escape(token[-1])
    try:
        return re.fullmatch(made, path, re.DOTALL) is not None
    except re.error:
        return False


def userns_profiles(host: Host) -> tuple[Profile, ...]:
    """Return the profiles in /etc/apparmor.d that let a program make user namespaces, disabled ones left out.

    Raises:
        PermissionError: the folder, or a file in it, cannot be read.

    """
    return host.fact(_userns_profiles)


def _userns_profiles(host: Host) -> tuple[Profile, ...]:
    top = "/etc/apparmor.d"
    disabled = names(host, f"{top}/disable")
    found: list[Profile] = []
    for name in names(host, top):
        path = f"{top}/{name}"
        # As apparmor's own start script chooses: no hidden files, nothing that a package or an editor left.
        if (
            name in disabled
            or name.startswith(".")
            or name.endswith((".dpkg-old", ".dpkg-dist", "~", ".rpmnew"))
        ):
            continue
        try:
            if host.stat(path).is_file:
                found.extend(parse_profiles(host.read(path), path))
        except FileNotFoundError:
            continue
    return tuple(found)


def export(host: Host) -> dict[str, object]:
    """Return the users who run containers without root, why that is thought, and their subordinate ids."""
    found: dict[str, object] = {}
    for each in evidence(host):
        name = each.user.name if each.user else "*"
        found[f"evidence {name} {posixpath.basename(each.path)}"] = {
            "value": f"{each.engine}: {each.why}",
            "path": each.path,
            "line": None,
        }
    for kind in ("subuid", "subgid"):
        try:
            for one in ranges(host, kind):
                value = f"{one.first}:{one.size}"
                found[f"{kind} {one.owner}"] = {
                    "value": value, "path": one.source.path, "line": one.source.line,
                }  # fmt: skip
        except (PermissionError, Unavailable):
            continue
    return found
