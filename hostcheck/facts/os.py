"""Which distribution a host runs, and what kind of machine it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hostcheck.facts.files import EXPANDED_LIMIT, text
from hostcheck.host import Host, Unavailable
from hostcheck.record import Record

OS_RELEASE = ("/etc/os-release", "/usr/lib/os-release")

# What distributions wrote before os-release (2012), and those that still have no other file.
_OLD_FILES = (
    ("/etc/redhat-release", ""),
    ("/etc/SuSE-release", "suse"),
    ("/etc/alpine-release", "alpine"),
    ("/etc/slackware-version", "slackware"),
    ("/etc/gentoo-release", "gentoo"),
    ("/etc/arch-release", "arch"),
    ("/etc/debian_version", "debian"),
)

_REDHAT_IDS = (
    ("CentOS", "centos"),
    ("Red Hat", "rhel"),
    ("Scientific", "scientific"),
    ("Oracle", "ol"),
    ("Rocky", "rocky"),
    ("AlmaLinux", "almalinux"),
    ("Fedora", "fedora"),
)


class OsRelease(Record):
    """A distribution and its release, as os-release(5) names them."""

    id: str
    """Lower case, as `debian`; `linux` where nothing says it."""
    id_like: tuple[str, ...]
    """Ids of what it is derived from, the closest first."""
    version_id: str
    """As `12` or `22.04`; empty on rolling ones."""
    name: str
    pretty: str
    """What a person calls it."""
    codename: str
    path: str | None
    """The file that says so."""

    @property
    def family(self) -> tuple[str, ...]:
        """Its own id and those that it is like."""
        return (self.id, *self.id_like)

    @property
    def major(self) -> int | None:
        """The first number of the version, None where there is none."""
        digits = self.version_id.partition(".")[0]
        return int(digits) if digits.isascii() and digits.isdecimal() else None


class Assignment(Record):
    """One `NAME=value` of a file in the shell's syntax."""

    name: str
    value: str
    line: int
    """In the file, from 1."""


def parse_assignments(content: str, known: Mapping[str, str] | None = None) -> Iterator[Assignment]:
    r"""Yield the assignments of a file that a shell would source, quotes removed.

    Only assignments are read; a line that is anything else is passed over. Variables are expanded where
    `known` is given, from it and from the assignments before; a command substitution stays as it is written.

    >>> [(a.name, a.value) for a in parse_assignments('ID="a b"\n# c\nX=\'1\'2 # d\n')]
    [('ID', 'a b'), ('X', '12')]
    >>> [a.value for a in parse_assignments('A=1\nA="$A ${B}2"\n', {})]
    ['1', '1 2']
    """
    variables = None if known is None else dict(known)
    lines = content.split("\n")
    number = 0
    while number < len(lines):
        start = number
        line = lines[number].strip().rstrip("\r")
        number += 1
        if line.startswith("export "):
            line = line[len("export ") :].lstrip()
        name, equals, rest = line.partition("=")
        append = name.endswith("+")
        name = name.rstrip("+")
        if not equals or not name.isidentifier():
            continue
        value, open_quote = _unquote(rest, variables)
        while open_quote and number < len(lines) and number - start < 100:
            rest += "\n" + lines[number]
            number += 1
            value, open_quote = _unquote(rest, variables)
        if variables is not None:
            value = (variables.get(name, "") + value)[:EXPANDED_LIMIT] if append else value
            variables[name] = value
        yield Assignment(name, value, start + 1)


def _unquote(word: str, variables: Mapping[str, str] | None) -> tuple[str, bool]:
    """Return the shell's first word of `word` without its quotes, and whether a quote is left open."""
    done: list[str] = []
    quote = ""
    room = EXPANDED_LIMIT
    at = 0
    while at < len(word):
        char = word[at]
        at += 1
        if quote == "'":
            if char == "'":
                quote = ""
            else:
                done.append(char)
        elif char == "\\":
            following = word[at : at + 1]
            at += 1
            if following == "\n":
                continue
            # In double quotes a backslash is itself unless it stands before one of these (sh(1)).
            if quote and following not in '"\\$`':
                done.append(char)
            done.append(following)
        elif char == '"':
            quote = "" if quote else '"'
        elif char == "'" and not quote:
            quote = "'"
        elif char == "$" and variables is not None and word[at : at + 1] not in ("", "("):
            name, at = _variable(word, at)
            value = variables.get(name, "") if name else "$"
            room -= len(value)
            done.append(value if room > 0 else "")
        elif not quote and (char.isspace() or char == ";"):
            break
        else:
            done.append(char)
    else:
        # A file that ends in a backslash is continued, too.
        return "".join(done), bool(quote) or word.endswith("\\")
    return "".join(done), False


def _variable(word: str, at: int) -> tuple[str, int]:
    """Return the name of the variable that begins at `at`, behind the dollar, and where it ends."""
    if word[at] == "{":
        end = word.find("}", at)
        if end < 0:
            return "", at
        name = word[at + 1 : end]
        # ${NAME:-default} and its kin are read as ${NAME}.
        return name.partition(":")[0].partition("-")[0], end + 1
    end = at
    while end < len(word) and (word[end].isalnum() or word[end] == "_"):
        end += 1
    return word[at:end], end


def parse_os_release(content: str, path: str | None = None) -> OsRelease:
    r"""Return what an os-release file says, with the defaults of os-release(5).

    >>> parse_os_release('PRETTY_NAME="Debian GNU/Linux 12"\nID=debian\nVERSION_ID="12"\n').version_id
    '12'
    >>> parse_os_release("").id
    'linux'
    """
    found = {each.name: each.value for each in parse_assignments(content)}
    name = found.get("NAME") or "Linux"
    version = found.get("VERSION_ID", "")
    return OsRelease(
        id=(found.get("ID") or "linux").lower(),
        id_like=tuple(found.get("ID_LIKE", "").lower().split()),
        version_id=version,
        name=name,
        pretty=found.get("PRETTY_NAME") or f"{name} {found.get('VERSION', version)}".strip(),
        codename=found.get("VERSION_CODENAME", ""),
        path=path,
    )


def parse_old_release(content: str, path: str, os_id: str = "") -> OsRelease:
    r"""Return what a file from before os-release says.

    >>> found = parse_old_release("CentOS release 6.10 (Final)\n", "/etc/redhat-release")
    >>> found.id, found.version_id, found.id_like
    ('centos', '6.10', ('rhel', 'fedora'))
    """
    line = content.strip().partition("\n")[0].strip()
    words = line.replace("/", " / ").split()
    version = next((word for word in words if word[:1].isdecimal()), "")
    like: tuple[str, ...] = ()
    if not os_id:
        os_id = next((each for name, each in _REDHAT_IDS if name in line), "rhel")
        like = tuple(each for each in ("rhel", "fedora") if each != os_id and os_id != "fedora")
    names = {"debian": "Debian GNU/Linux", "alpine": "Alpine Linux", "arch": "Arch Linux"}
    name = names.get(os_id, line or os_id)
    pretty = f"{name} {line}".strip() if os_id in names else line
    return OsRelease(os_id, like, version, name, pretty or name, "", path)


def os_release(host: Host) -> OsRelease:
    """Return the distribution; id `linux` and no path where no file names it.

    The first of /etc/os-release and /usr/lib/os-release counts (os-release(5)), then what distributions
    wrote before.
    """
    return host.fact(_os_release)


def _os_release(host: Host) -> OsRelease:
    for path in OS_RELEASE:
        content = text(host, path)
        if content is not None:
            return parse_os_release(content, path)
    for path, os_id in _OLD_FILES:
        content = text(host, path)
        if content is not None:
            return parse_old_release(content, path, os_id)
    return OsRelease("linux", (), "", "Linux", "Linux", "", None)


def architecture(host: Host) -> str | None:
    """Return the machine's architecture as uname(1) writes it, None where no file tells.

    Of a tree it is that of its programs: what /bin/sh and its kin are compiled for.
    """
    return host.fact(_architecture)


# e_machine of ELF(5), with the word size where one number has two.
_MACHINES = {
    (3, 1): "i686",
    (8, 1): "mips",
    (8, 2): "mips64",
    (20, 1): "ppc",
    (21, 2): "ppc64le",
    (22, 2): "s390x",
    (40, 1): "armv7l",
    (62, 2): "x86_64",
    (62, 1): "x32",
    (183, 2): "aarch64",
    (243, 2): "riscv64",
    (258, 2): "loongarch64",
}


def parse_elf_machine(head: bytes) -> str | None:
    r"""Return for which architecture an ELF file is, from its first 20 bytes; None if it is none.

    >>> parse_elf_machine(b"\x7fELF\x02\x01" + bytes(12) + b"\xb7\x00")
    'aarch64'
    """
    if len(head) < 20 or not head.startswith(b"\x7fELF"):
        return None
    order = "little" if head[5] == 1 else "big"
    machine = int.from_bytes(head[18:20], "little" if order == "little" else "big")
    if machine == 21 and order == "big":
        return "ppc64"
    return _MACHINES.get((machine, head[4]))


EVERYBODYS_PROGRAMS = ("/bin/sh", "/bin/bash", "/bin/busybox", "/sbin/init", "/usr/bin/env", "/bin/ls")
"""One of these is on every host."""


def _architecture(host: Host) -> str | None:
    for path in EVERYBODYS_PROGRAMS:
        try:
            found = parse_elf_machine(host.read_bytes(path, limit=20))
        except (FileNotFoundError, PermissionError, Unavailable):
            continue
        if found:
            return found
    return None


def container(host: Host) -> tuple[str, str] | None:
    """Return the kind of container that the host itself is, and the file that says so; None if it is none.

    The kinds are those of systemd-detect-virt(1) (`docker`, `podman`, `lxc`, `wsl`, `openvz`, ...).

    Raises:
        Unavailable: a tree, which has not been put anywhere yet.

    """
    return host.fact(_container)


def _container(host: Host) -> tuple[str, str] | None:
    # The order and the files are those of systemd's virt.c, detect_container().
    if host.exists("/proc/vz") and not host.exists("/proc/bc"):
        return "openvz", "/proc/vz"
    release = (text(host, "/proc/sys/kernel/osrelease") or "").strip()
    if "Microsoft" in release or "WSL" in release:
        return "wsl", "/proc/sys/kernel/osrelease"
    for path in ("/run/host/container-manager", "/run/systemd/container"):
        named = (text(host, path) or "").strip()
        if named:
            return named, path
    try:
        environment = host.read("/proc/1/environ")
    except (FileNotFoundError, PermissionError, Unavailable):
        environment = ""
    for item in environment.split("\0"):
        name, _, value = item.partition("=")
        if name == "container" and value:
            return value, "/proc/1/environ"
    for path, kind in (("/run/.containerenv", "podman"), ("/.dockerenv", "docker")):
        if host.exists(path) and not _first_pid_namespace(host):
            return kind, path
    return None


def _first_pid_namespace(host: Host) -> bool:
    """Return whether processes are numbered by the kernel's first namespace: then a stray file proves nothing.

    A virtual machine whose disk was made of a container's image has /.dockerenv, too.
    """
    try:
        # PROC_PID_INIT_INO in include/linux/proc_ns.h.
        return host.readlink("/proc/self/ns/pid") == "pid:[4026531836]"
    except (OSError, Unavailable):
        return _shows_kernel_threads(host)


def _shows_kernel_threads(host: Host) -> bool:
    """Return whether the second process is the kernel's own, as in no namespace but the first."""
    try:
        return host.read("/proc/2/comm").strip() == "kthreadd"
    except (OSError, Unavailable):
        return False


def mapped(host: Host) -> bool:
    """Return whether root here is another user of an outer host: this is inside a user namespace."""
    try:
        first = (text(host, "/proc/self/uid_map") or "").split("\n")[0].split()
    except Unavailable:
        return False
    return len(first) == 3 and first[:2] != ["0", "0"]


def export(host: Host) -> dict[str, object]:
    """Return the distribution, its release and the architecture."""
    found = os_release(host)
    leaves: dict[str, object] = {
        key: {"value": value, "path": found.path}
        for key, value in (
            ("id", found.id),
            ("id_like", list(found.id_like)),
            ("version_id", found.version_id),
            ("name", found.name),
            ("pretty_name", found.pretty),
        )
    }
    leaves["architecture"] = {"value": architecture(host), "path": None}
    return leaves
