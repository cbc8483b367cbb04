"""Which packages are installed, from the databases of dpkg, rpm, apk and pacman themselves."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping

from hostcheck.facts.files import names
from hostcheck.host import Host, Unavailable
from hostcheck.record import Record

DPKG = "/var/lib/dpkg"
STATUS = DPKG + "/status"
APK = ("/lib/apk/db/installed", "/usr/lib/apk/db/installed")
PACMAN = "/var/lib/pacman/local"
RPM = tuple(
    f"{folder}/{name}"
    for folder in ("/var/lib/rpm", "/usr/lib/sysimage/rpm", "/usr/share/rpm")
    for name in ("rpmdb.sqlite", "Packages.db", "Packages")
)
"""In the order in which they are looked for; /usr/share/rpm is where OSTree systems keep it."""

RPM_LIST = "rpm -qa"
"""What shows the packages where a person wrote down what it printed."""

# `triggers-*` is installed and working, only a cache is to be refreshed (dpkg(1), package states); without a Status
# it is a stanza of a distroless image.
_INSTALLED = frozenset(("installed", "triggers-pending", "triggers-awaited", ""))


class Package(Record):
    """An installed package."""

    name: str
    version: str
    """As the package manager prints it: with epoch and revision."""
    arch: str
    manager: str
    """`deb`, `rpm`, `apk` or `pacman`."""
    path: str
    """The database that says so."""


class Packages(Mapping[str, Package]):
    """The installed packages by name.

    Of several architectures or versions of one name the first that is listed has the plain name (of rpm
    packages the one installed last), the others are `name:arch`.
    """

    def __init__(self, stanzas: Iterable[tuple[str, bytes]] = ()) -> None:
        """Start with those of dpkg's status file, each by its name."""
        # What a stanza says is read when its package is asked for: a desktop has 3000, a run asks for forty.
        self._unread: dict[str, list[bytes]] = {}
        self._found: dict[str, Package] = {}
        self.managers: set[str] = set()
        """The package managers that have installed something."""
        for name, stanza in stanzas:
            self._unread.setdefault(name, []).append(stanza)
        if self._unread:
            self.managers.add("deb")

    def add(self, package: Package) -> None:
        """Add a package, behind those of the same name that dpkg lists."""
        self._read(package.name)
        self.managers.add(package.manager)
        if package.name not in self._found:
            self._found[package.name] = package
        else:
            self._found.setdefault(f"{package.name}:{package.arch}", package)

    def _read(self, name: str) -> None:
        for stanza in self._unread.pop(name, ()):
            if _state(stanza) in _INSTALLED:
                self.add(_package(stanza))

    def __getitem__(self, name: str) -> Package:
        self._read(name.partition(":")[0])
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        for name in tuple(self._unread):
            self._read(name)
        return iter(self._found)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __bool__(self) -> bool:
        return bool(self._found) or any(name in self for name in tuple(self._unread))


def packages(host: Host) -> Packages:
    """Return the installed packages; none where there is no database that we know.

    Raises:
        PermissionError, Unavailable: there is a database, and it cannot be read.

    """
    return host.fact(_packages)


def _packages(host: Host) -> Packages:
    found = Packages(host.fact(_dpkg_status))
    typed = _typed_rpms(host) if host.written_by_hand else {}
    for package in typed.values():
        found.add(package)
    for reader in (_distroless, _apk, _pacman, _rpm):
        for package in reader(host):
            # What a person wrote down is of this host, a database beside it may be of another like it.
            if package.name not in typed:
                found.add(package)
    return found


def _typed_rpms(host: Host) -> Mapping[str, Package]:
    """Return what a person wrote down of `rpm -qa`, who has no database to show."""
    try:
        listed = host.run(*RPM_LIST.split()).out
    except (OSError, Unavailable):
        return {}
    return {package.name: package for package in parse_rpm_list(listed)}


def parse_rpm_list(text: str) -> Iterator[Package]:
    """Yield the packages that `rpm -qa` lists.

    >>> [(p.name, p.version, p.arch) for p in parse_rpm_list("docker-ce-3:19.03.8-3.el8.x86_64")]
    [('docker-ce', '3:19.03.8-3.el8', 'x86_64')]
    """
    for line in text.splitlines():
        found = re.match(
            r"(\S+)-([^-\s]+)-([^-\s]+?)(?:\.(x86_64|aarch64|noarch|i686|armv7hl|ppc64le|s390x))?$", line
        )
        if found:
            yield Package(
                found.group(1), f"{found.group(2)}-{found.group(3)}", found.group(4) or "", "rpm", RPM_LIST
            )


def parse_dpkg_status(text: str, path: str = STATUS) -> Iterator[Package]:
    r"""Yield the packages of a dpkg status file that are installed, also those on hold.

    >>> [p.version for p in parse_dpkg_status("Package: runc\nStatus: hold ok installed\nVersion: 1.1\n")]
    ['1.1']
    >>> list(parse_dpkg_status("Package: runc\nStatus: deinstall ok config-files\nVersion: 1.1\n"))
    []
    """
    for _name, stanza in _stanzas(text.encode("utf-8", "replace")):
        if _state(stanza) in _INSTALLED:
            yield _package(stanza, path)


def _stanzas(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the packages of a status file, whatever their state: name and stanza."""
    stanzas = data.split(b"\n\n")
    # Decoded at once, and not looked for one by one: dpkg writes the name first.
    heads = b"\n".join([stanza.partition(b"\n")[0] for stanza in stanzas]).decode("utf-8", "replace")
    for head, stanza in zip(heads.split("\n"), stanzas):
        name = head[9:].strip() if head[:9] == "Package: " else _field(stanza, b"Package")
        if name:
            yield name, stanza


def _package(stanza: bytes, path: str = STATUS) -> Package:
    name, version, arch = (_field(stanza, field) for field in (b"Package", b"Version", b"Architecture"))
    return Package(name, version, arch, "deb", path)


def _state(stanza: bytes) -> str:
    """Return the last word of Status, empty where that is missing."""
    return _field(stanza, b"Status").rpartition(" ")[2]


def _field(stanza: bytes, name: bytes) -> str:
    """Return what a stanza says in a field, empty where that is missing."""
    value = (b"\n" + stanza).partition(b"\n" + name + b": ")[2]
    return value.partition(b"\n")[0].decode("utf-8", "replace").strip()


def _dpkg_status(host: Host) -> tuple[tuple[str, bytes], ...]:
    try:
        return tuple(_stanzas(host.read_bytes(STATUS)))
    except FileNotFoundError:
        return ()


def _distroless(host: Host) -> Iterator[Package]:
    """Yield the packages of distroless images, which have one file a package, without a Status."""
    for name in names(host, DPKG + "/status.d"):
        if not name.endswith(".md5sums"):
            path = f"{DPKG}/status.d/{name}"
            yield from parse_dpkg_status(host.read(path), path)


def parse_apk_installed(text: str, path: str = APK[0]) -> Iterator[Package]:
    r"""Yield the packages of Alpine's database.

    >>> [p.name for p in parse_apk_installed("C:Q1x=\nP:runc\nV:1.1.5-r2\nA:x86_64\n\nP:b\nV:1\n")]
    ['runc', 'b']
    """
    for stanza in text.split("\n\n"):
        fields = {line[0]: line[2:] for line in reversed(stanza.split("\n")) if line[1:2] == ":"}
        if "P" in fields:
            yield Package(fields["P"], fields.get("V", ""), fields.get("A", ""), "apk", path)


def _apk(host: Host) -> Iterator[Package]:
    for path in APK:
        try:
            yield from parse_apk_installed(host.read(path), path)
        except FileNotFoundError:
            continue
        return


def parse_pacman_desc(text: str, path: str = "desc") -> Package | None:
    r"""Return the package that a `desc` file of pacman describes.

    >>> parse_pacman_desc("%NAME%\nrunc\n\n%VERSION%\n1.2.0-1\n\n%ARCH%\nx86_64\n").version
    '1.2.0-1'
    """
    lines = text.split("\n")
    fields = {line: value for line, value in zip(lines, lines[1:]) if line[:1] == line[-1:] == "%"}
    if "%NAME%" not in fields:
        return None
    return Package(fields["%NAME%"], fields.get("%VERSION%", ""), fields.get("%ARCH%", ""), "pacman", path)


def _pacman(host: Host) -> Iterator[Package]:
    for folder in names(host, PACMAN):
        path = f"{PACMAN}/{folder}/desc"
        try:
            package = parse_pacman_desc(host.read(path), path)
        except FileNotFoundError:
            continue
        if package:
            yield package


def _rpm_database(host: Host) -> str | None:
    odd = None
    for path in RPM:
        try:
            if host.stat(path).is_file:
                return path
            odd = odd or path
        except (FileNotFoundError, Unavailable):
            continue
    if odd:
        raise Unavailable(f"{odd} is not a regular file")
    return None


def _rpm(host: Host) -> Iterable[Package]:
    path = _rpm_database(host)
    if path is None:
        return ()
    # Imported here: only hosts with an rpm database need its reader.
    from hostcheck.facts import rpmdb

    found = [
        Package(header.name, header.version, header.arch, "rpm", path)
        for header in rpmdb.headers(host, path)
        if header.name != "gpg-pubkey"
    ]
    # The last first: of two kernels the newer one is the one that `packages` names.
    return reversed(found)


def installed(host: Host, *wanted: str) -> Package | None:
    """Return the first of these packages that is installed.

    `docker` does not count on Debian and its kin, where that package is a dock for windows.
    """
    have = packages(host)
    for name in wanted:
        if name in have and not (name == "docker" and have[name].manager == "deb"):
            return have[name]
    return None


def known(host: Host, *wanted: str) -> Package | None:
    """Return the first of these packages that is installed, None too where it cannot be told."""
    try:
        return installed(host, *wanted)
    except (PermissionError, Unavailable):
        return None


def removed(host: Host) -> frozenset[str]:
    """Return the packages that dpkg removed and kept the configuration of."""
    return host.fact(_removed)


def _removed(host: Host) -> frozenset[str]:
    return frozenset(name for name, stanza in host.fact(_dpkg_status) if _state(stanza) == "config-files")


def spellings(path: str) -> tuple[str, ...]:
    """Return the ways in which a database may name a file: with and without the merged /usr.

    >>> spellings("/usr/sbin/runc")
    ('/usr/sbin/runc', '/sbin/runc', '/usr/bin/runc', '/bin/runc')
    """
    for base, other in (("sbin", "bin"), ("bin", "sbin")):
        for top in (f"/usr/{base}/", f"/{base}/"):
            if path.startswith(top):
                name = path[len(top) :]
                return (f"/usr/{base}/{name}", f"/{base}/{name}", f"/usr/{other}/{name}", f"/{other}/{name}")
    if path.startswith("/usr/lib"):
        return (path, path[4:])
    if path.startswith("/lib"):
        return (path, "/usr" + path)
    return (path,)


def owner(host: Host, path: str, likely: Iterable[str] = ()) -> Package | None:
    """Return the package that brought the file at `path`, None if no package did.

    `likely` names packages whose lists are read first: the right guess saves reading all of them.
    """
    have = packages(host)
    wanted = _same_files(host, path)
    if "deb" in have.managers:
        name = _deb_owner(host, wanted, likely)
        if name:
            return have.get(name) or have.get(name.partition(":")[0])
    database = _rpm_database(host) if "rpm" in have.managers else None
    if database:
        from hostcheck.facts import rpmdb

        name = rpmdb.owner(host, database, wanted)
        if name:
            return have.get(name)
    if "apk" in have.managers:
        for database in APK:
            if host.exists(database):
                return have.get(parse_apk_owner(host.read(database), wanted) or "")
    if "pacman" in have.managers:
        return _pacman_owner(host, have, wanted)
    return None


def has_file_list(host: Host, name: str) -> bool:
    """Return whether dpkg's list of the package's files is there."""
    return host.exists(f"{DPKG}/info/{name}.list")


def _same_files(host: Host, path: str) -> frozenset[str]:
    """Return the spellings of `path` that lead to the same file on this host."""
    here = posixpath.join(host.resolve(posixpath.dirname(path)), posixpath.basename(path))
    same = {path, here}
    for other in spellings(path):
        if host.resolve(posixpath.dirname(other)) == posixpath.dirname(here):
            same.add(other)
    # What /etc/alternatives chose is owned under the name that the choice leads to.
    try:
        text = host.readlink(here)
    except OSError:
        text = ""
    if text.startswith("/etc/alternatives/"):
        try:
            same.add(posixpath.normpath(host.readlink(text)))
        except OSError:
            pass
    return frozenset(same)


def _deb_owner(host: Host, wanted: frozenset[str], likely: Iterable[str]) -> str | None:
    needles = [f"\n{path}\n" for path in wanted]
    seen = set()
    for name in _deb_lists_in_order(host, likely):
        if name in seen:
            continue
        seen.add(name)
        try:
            text = "\n" + host.read(f"{DPKG}/info/{name}") + "\n"
        except (FileNotFoundError, Unavailable):
            continue
        if any(needle in text for needle in needles):
            return name[: -len(".list")]
    return None


def _deb_lists_in_order(host: Host, likely: Iterable[str]) -> Iterator[str]:
    yield from (f"{name}.list" for name in likely)
    # Asked for last, since most owners are found before: there are thousands.
    yield from host.fact(_deb_lists)


def _deb_lists(host: Host) -> tuple[str, ...]:
    return tuple(name for name in names(host, DPKG + "/info") if name.endswith(".list"))


def parse_apk_owner(text: str, wanted: Iterable[str]) -> str | None:
    r"""Return the name of the package whose folders (F:) and files (R:) hold one of the paths.

    >>> parse_apk_owner("P:runc\nF:usr\nF:usr/bin\nR:runc\nZ:Q1\n", ["/usr/bin/runc"])
    'runc'
    """
    wanted = frozenset(wanted)
    bases = {posixpath.basename(path) for path in wanted}
    name = folder = ""
    for line in text.split("\n"):
        kind, rest = line[:2], line[2:]
        if kind == "P:":
            name = rest
        elif kind == "F:":
            folder = rest
        elif kind == "R:" and rest in bases and f"/{folder}/{rest}" in wanted:
            return name
    return None


def _pacman_owner(host: Host, have: Mapping[str, Package], wanted: frozenset[str]) -> Package | None:
    needles = [f"\n{path[1:]}\n" for path in wanted]
    for package in have.values():
        if package.manager == "pacman":
            try:
                text = host.read(posixpath.dirname(package.path) + "/files")
            except FileNotFoundError:
                continue
            if any(needle in text for needle in needles):
                return package
    return None


def export(host: Host) -> dict[str, object]:
    """Return every package's version, and where it is written down."""
    return {
        name: {"value": p.version, "path": p.path, "arch": p.arch, "manager": p.manager}
        for name, p in sorted(packages(host).items())
    }
