"""The kernels that count: the one that runs and the one that will boot, each with its configuration.

A configuration is taken only for the kernel that it is judged for; the machine that runs hostcheck has no say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from hostcheck._typing import Optional
from hostcheck.facts import boot as boot_facts
from hostcheck.facts.files import names
from hostcheck.facts.releases import installed_releases, version_of
from hostcheck.host import Host, Unavailable
from hostcheck.record import Record
from hostcheck.versions import Version

CONFIG_PATHS = (
    "/boot/config-{release}",
    "/usr/lib/modules/{release}/config",
    "/lib/modules/{release}/config",
    "/lib/modules/{release}/build/.config",
    "/usr/lib/modules/{release}/build/.config",
    "/lib/modules/{release}/source/.config",
    "/usr/lib/ostree-boot/config-{release}",
    "/usr/lib/kernel/config-{release}",
    "/usr/src/linux-headers-{release}/.config",
    "/usr/src/linux-{release}/.config",
    "/usr/src/kernels/{release}/.config",
    "/boot/config-{release}.gz",
    "/boot/kernel-config-{release}",
)
"""Where distributions keep the configuration of a release.

Sources: Debian and Fedora (/boot), Fedora and ostree (modules/config), Gentoo and self-built (build, /usr/src),
kubernetes/system-validators kernel_validator.go.
"""

FLAVOUR_PATHS = ("/boot/config-{flavour}", "/boot/config", "/usr/src/linux/.config")
"""Names without the release (Alpine calls it config-lts): taken only if their header tells the same version."""

PROC_CONFIG = "/proc/config.gz"
"""The running kernel's own (CONFIG_IKCONFIG_PROC)."""

MODULE_FOLDERS = ("/lib/modules", "/usr/lib/modules")

CONFIG_LIMIT = 8 * 1024 * 1024
"""Bytes, unpacked. The largest seen is 0.3 MB; what unpacks to more is hostile."""

_HEADER = re.compile(r"^# (?:Linux/\S+ (\S+) Kernel Configuration|Linux kernel version: (\S+))", re.MULTILINE)


def parse_header_version(text: str) -> str | None:
    r"""Return the kernel version that the configuration was made for, None if it does not say.

    >>> parse_header_version("#\n# Linux/x86 6.1.76 Kernel Configuration\n#\n")
    '6.1.76'
    """
    found = _HEADER.search(text[:4096])
    return (found.group(1) or found.group(2)) if found else None


def parse_proc_version(text: str) -> str | None:
    """Return the release in /proc/version.

    >>> parse_proc_version("Linux version 6.1.0-18-amd64 (debian-kernel@lists.debian.org) (gcc-12) #1 SMP")
    '6.1.0-18-amd64'
    """
    words = text.split()
    return words[2] if words[:2] == ["Linux", "version"] and len(words) > 2 else None


def unpack_gzip(data: bytes, limit: int = CONFIG_LIMIT) -> bytes:
    """Return what a gzip file holds.

    Raises:
        ValueError: it is no gzip, is damaged, or would unpack to more than `limit` bytes.

    """
    # Imported here: only compressed configurations need it.
    import zlib

    unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        text = unpacker.decompress(data, limit)
    except zlib.error as error:
        raise ValueError(f"not a gzip file ({error})") from None
    if unpacker.unconsumed_tail:
        raise ValueError(f"unpacks to more than {limit >> 20} MiB")
    if not unpacker.eof:
        raise ValueError("the gzip file is cut short")
    return text


class Config(Mapping[str, str]):
    r"""A kernel's configuration: option (without CONFIG_) to `y`, `m`, a number or a text in quotes.

    What is `n`, `not set`, commented out or never mentioned is missing; of two lines the last counts
    (scripts/kconfig/confdata.c, conf_read_simple).

    >>> dict(Config("", "CONFIG_VETH=m\n# CONFIG_BRIDGE is not set\n# CONFIG_KEYS=y\nCONFIG_NET=n\nCONFIG_HZ=250\n"))
    {'VETH': 'm', 'HZ': '250'}
    """

    def __init__(self, path: str, text: str) -> None:
        """Take `text`, which was read from `path`."""
        self.path = path
        self.version = version_of(parse_header_version(text))
        """The version that the header tells, None where there is no header."""
        self._lines = text.replace("\r\n", "\n").split("\n")
        # What each line says is read when it is asked for: a distribution's configuration has ten thousand lines, of
        # which a run asks for two hundred. A line that sets something is found by what stands before `=`.
        self._numbers = {line.partition("=")[0]: number for number, line in enumerate(self._lines, 1)}

    def __getitem__(self, name: str) -> str:
        number = self._set_in(name)
        value = self._lines[number - 1].partition("=")[2].rstrip() if number > self._unset_in(name) else "n"
        # For y, m and n kconfig reads the first letter alone (conf_set_sym_val): `m # a remark` is m.
        value = value[0] if value[:1] in ("y", "m", "n") else value
        if value in ("n", ""):
            raise KeyError(name)
        return value

    def __iter__(self) -> Iterator[str]:
        named = (start[7:] for start in self._numbers if start.startswith("CONFIG_"))
        return (name for name in named if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __bool__(self) -> bool:
        return any(True for _ in self)

    def enabled(self, name: str) -> bool:
        """Return whether the option is `y` or `m`."""
        return self.get(name) in ("y", "m")

    def line(self, name: str) -> int | None:
        """Return the line that decides the option, from 1; None where it is not mentioned."""
        return max(self._set_in(name), self._unset_in(name)) or None

    def _set_in(self, name: str) -> int:
        return self._numbers.get(f"CONFIG_{name}", 0)

    def _unset_in(self, name: str) -> int:
        return self._numbers.get(f"# CONFIG_{name} is not set", 0)


class Kernel(Record):
    """One kernel that this host runs or will run."""

    when: str
    """`now` or `boot`."""
    release: str
    """As `uname -r` tells it."""
    how: str
    """How the release is known, in words."""
    path: Optional[str]
    """The file that says so."""
    line: Optional[int]


def running_release(host: Host) -> str:
    """Return the release of the kernel that runs.

    Raises:
        Unavailable: the host is not running, or does not tell.

    """
    for path, parse in (("/proc/sys/kernel/osrelease", str.strip), ("/proc/version", parse_proc_version)):
        try:
            release = parse(host.read(path))
        except FileNotFoundError:
            continue
        if release:
            return release
    try:
        release = host.run("uname", "-r").out.strip()
    except FileNotFoundError:
        release = ""
    if not release:
        raise Unavailable("the running kernel does not tell its release: no /proc/sys/kernel/osrelease")
    return release


def boot_kernel(host: Host) -> Kernel | None:
    """Return the kernel that the next boot takes: the default boot entry's, else the newest installed.

    None where nothing tells: a tree without any kernel.

    Raises:
        PermissionError: the boot loader's files may not be read, and there is more than one kernel to choose from.

    """
    return host.fact(_boot_kernel)


def _boot_kernel(host: Host) -> Kernel | None:
    installed = installed_releases(host)
    try:
        found = boot_facts.boot(host)
    except PermissionError:
        # On a running host the kernel that runs need not be the one that is installed.
        if host.kind == "live" or len(installed) > 1:
            raise
        found = None
    except (OSError, Unavailable):
        found = None
    if (
        found is not None
        and found.release
        and not (found.loader == "running" and _newer(installed, found.release))
    ):
        return Kernel("boot", found.release, found.how, found.path, found.line)
    for release, path in installed.items():
        return Kernel("boot", release, "the newest that is installed; no boot entry tells", path, None)
    for found_config in _nameless_configs(host):
        how = "the head of its configuration; nothing else tells"
        return Kernel("boot", str(found_config.version), how, found_config.path, None)
    return None


def _nameless_configs(host: Host) -> Iterator[Config]:
    """Yield the configurations in /boot that tell their version in their head, not in their name."""
    try:
        listed = names(host, "/boot")
    except (PermissionError, Unavailable):
        return
    for name in listed:
        if name.startswith("config") and not version_of(name[len("config-") :]):
            try:
                found = read_config(host, f"/boot/{name}")
            except (OSError, Unavailable):
                continue
            if found.version is not None:
                yield found


def _newer(installed: Mapping[str, str], release: str) -> bool:
    """Return whether a newer kernel lies in /boot beside the one that runs: boot loaders take the newest."""
    first = next(iter(installed), release)
    both = all(installed.get(each, "").startswith("/boot/vmlinu") for each in (first, release))
    return first != release and both


def kernels(host: Host) -> tuple[Kernel, ...]:
    """Return the kernels to judge: the running one, then the one that will boot if it is another.

    On a live host the kernel that runs is taken to boot again where nothing says otherwise.

    Raises:
        Unavailable: no kernel is to be found, as in the tree of a container.

    """
    return host.fact(_kernels)


def _kernels(host: Host) -> tuple[Kernel, ...]:
    if host.kind == "live":
        try:
            upcoming = boot_kernel(host)
        except PermissionError:
            upcoming = None
        now = Kernel("now", running_release(host), "running", "/proc/sys/kernel/osrelease", None)
        return (now,) if upcoming is None or upcoming.release == now.release else (now, upcoming)
    upcoming = boot_kernel(host)
    if upcoming is not None:
        return (upcoming,)
    raise Unavailable(
        "no kernel in /boot, /lib/modules or /usr/lib/modules: what boots this is not in the tree"
    )


def config(host: Host, release: str) -> Config | None:
    """Return the configuration of a release, None if it is nowhere.

    Raises:
        PermissionError, Unavailable: there is one, and it cannot be read.

    """
    known: dict[str, Config | Exception | None] = host.fact(_config_memo)
    if release not in known:
        try:
            known[release] = _find_config(host, release)
        except (PermissionError, Unavailable) as error:
            known[release] = error
    found = known[release]
    if isinstance(found, Exception):
        raise found.with_traceback(None)
    return found


def _config_memo(host: Host) -> dict[str, Config | Exception | None]:
    return {}


def _find_config(host: Host, release: str) -> Config | None:
    trouble: Exception | None = None
    paths = [path.format(release=release) for path in CONFIG_PATHS]
    if host.kind == "live" and release == running_release(host):
        paths.insert(0, PROC_CONFIG)
    flavour = release.rpartition("-")[2]
    loose = {path.format(flavour=flavour) for path in FLAVOUR_PATHS}.difference(paths)
    for path in [*paths, *sorted(loose)]:
        try:
            found = read_config(host, path)
        except FileNotFoundError:
            continue
        except (PermissionError, Unavailable) as error:
            trouble = trouble or error
            continue
        if path not in loose or same_series(found.version, version_of(release)):
            return found
    if trouble is not None:
        raise trouble
    if host.kind in ("root", "image"):
        # Imported here: nearly every kernel's configuration is a file. A running one shows its own in /proc.
        from hostcheck.facts import ikconfig

        carried = ikconfig.packed_config(host, release)
        if carried is not None:
            return config_in(*carried)
    return next((its for its in _nameless_configs(host) if str(its.version) == release), None)


def read_config(host: Host, path: str) -> Config:
    """Read one configuration, compressed or not.

    Raises:
        FileNotFoundError: no such file.
        PermissionError: it may not be read.
        Unavailable: it is no configuration, or not a regular file.

    """
    return config_in(path, host.read_bytes(path))


def config_in(path: str, data: bytes) -> Config:
    """Return the configuration in a file's bytes; `Unavailable` if it is none."""
    if data.startswith(b"\x1f\x8b"):
        try:
            data = unpack_gzip(data)
        except ValueError as error:
            raise Unavailable(f"{path}: {error}") from None
    found = Config(path, data[:CONFIG_LIMIT].decode("utf-8", "replace"))
    if not found:
        raise Unavailable(f"{path} is no kernel configuration")
    return found


def same_series(one: Version | None, other: Version | None) -> bool:
    """Return whether two versions begin with the same two numbers: Debian's 6.1.0-18 is made of 6.1.76.

    >>> same_series(Version("6.1.76"), Version("6.1.0-18-amd64"))
    True
    """
    if one is None or other is None:
        return False
    return (*one.numbers, 0)[:2] == (*other.numbers, 0)[:2]


def modules_folder(host: Host, release: str) -> str | None:
    """Return the folder with the release's modules, None if there is none."""
    for folder in MODULE_FOLDERS:
        path = f"{folder}/{release}"
        try:
            if host.stat(path).is_dir:
                return path
        except (FileNotFoundError, Unavailable):
            continue
    return None


def export(host: Host) -> dict[str, object]:
    """Return the release that runs or boots, and every option of its configuration, for `hostcheck facts kernel`."""
    judged = kernels(host)
    releases = {kernel.when: kernel.release for kernel in judged}
    leaf: dict[str, object] = {"value": judged[0].release, "path": judged[0].path, "line": judged[0].line}
    if len(releases) > 1:
        leaf.update(releases)
    answer: dict[str, object] = {"release": leaf, "how": {"value": judged[0].how, "path": judged[0].path}}
    found: dict[str, Config] = {}
    for kernel in judged:
        try:
            its = config(host, kernel.release)
        except (PermissionError, Unavailable):
            its = None
        if its is not None:
            found[kernel.when] = its
    answer["config"] = _export_options(found, judged[0].when)
    return answer


def _export_options(found: Mapping[str, Config], first: str) -> dict[str, object]:
    options: dict[str, object] = {}
    main = found.get(first)
    for name in sorted({name for its in found.values() for name in its}):
        values = {when: its.get(name, "n") for when, its in found.items()}
        leaf: dict[str, object] = {
            "value": values.get(first),
            "path": main.path if main is not None else None,
            "line": main.line(name) if main is not None else None,
        }
        if len(set(values.values())) > 1:
            leaf.update(values)
        options[f"CONFIG_{name}"] = leaf
    return options
