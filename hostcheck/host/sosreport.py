"""A sosreport: what a support tool copied from a running host. It copied little, so what is not in it is not known.

Source: sosreport/sos, sos/report/plugins/__init__.py (`_mangle_command`: how the name of a command's output is made).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from hostcheck._typing import Union
from hostcheck.host import READ_LIMIT, Completed, DiskUsage, FileStat, Host, Unavailable
from hostcheck.host.layers import LayersHost
from hostcheck.host.root import RestingHost, RootHost
from hostcheck.host.typed_system import proc_modules

COMMANDS = "sos_commands"

WHOLE = (
    "/etc/sysctl.d",
    "/etc/modprobe.d",
    "/etc/modules-load.d",
    "/etc/docker",
    "/etc/systemd",
    "/proc",
    "/sys",
)
"""Folders that are copied with all that is in them, where they are copied: what is not in them was not there."""


DATABASES = (
    "/var/lib/dpkg/",
    "/var/lib/rpm",
    "/usr/lib/sysimage/rpm",
    "/usr/share/rpm",
    "/lib/apk",
    "/usr/lib/apk",
    "/var/lib/pacman",
)
"""Where packages are written down; of a host with dpkg the report has a list, and the others are not there."""


class _Folder(RootHost):
    volatile = ()


class _Archive(LayersHost):
    volatile = ()


Files = Union[_Folder, _Archive]


class SosHost(Host):
    """The host that a sosreport was made on, as far as it goes."""

    kind = "live"
    recording = True

    def __init__(self, files: RestingHost) -> None:
        """Take the unpacked report, or the archive."""
        super().__init__()
        self.files: Files = _Archive(files.tree) if isinstance(files, LayersHost) else _Folder(_root(files))
        self.name = self._said("hostname").strip() or files.name
        self._outputs: dict[str, str] | None = None

    def _said(self, path: str) -> str:
        """Return a file of the report, empty if it has none."""
        try:
            return self.files.read(f"/{path}")
        except (OSError, Unavailable):
            return ""

    def _output(self, command: str) -> str | None:
        """Return what a command printed, None if it was not asked."""
        if self._outputs is None:
            self._outputs = {}
            for plugin in self.files.names(f"/{COMMANDS}"):
                try:
                    names = self.files.names(f"/{COMMANDS}/{plugin}")
                except (OSError, Unavailable):
                    continue
                self._outputs.update({name: f"{COMMANDS}/{plugin}/{name}" for name in names})
        mangled = re.sub(r"[^\w\-./]+", "_", command).replace("/", ".").strip(" ._-")
        path = self._outputs.get(mangled)
        return self._said(path) if path else None

    def _made(self, path: str) -> str | None:
        """Return a file that was not copied, made from the output of a command; None if none tells it."""
        if path.startswith("/proc/sys/"):
            key = path[len("/proc/sys/") :].replace("/", ".")
            return _sysctl(self._output("sysctl -a") or "", key)
        make = _MADE.get(path)
        return make(self) if make else None

    def read_bytes(self, path: str, limit: int = READ_LIMIT, offset: int = 0) -> bytes:
        """See `Host.read_bytes`."""
        try:
            return self.files.read_bytes(path, limit, offset)
        except FileNotFoundError:
            made = self._made(path)
            if made is not None:
                return made.encode()[offset : offset + limit]
            raise self._absent(path) from None

    def _absent(self, path: str) -> Exception:
        if path.startswith(DATABASES) and self._said("installed-debs"):
            return FileNotFoundError(f"{path} does not exist")
        folder = path.rpartition("/")[0]
        if any(folder == whole or folder.startswith(whole + "/") for whole in WHOLE) and self.files.exists(
            folder
        ):
            return FileNotFoundError(f"{path} does not exist")
        return Unavailable(f"{path} is not in the sosreport")

    def names(self, path: str) -> tuple[str, ...]:
        """See `Host.names`."""
        try:
            found = self.files.names(path)
        except FileNotFoundError:
            raise self._absent(path) from None
        if any(path == whole or path.startswith(whole + "/") for whole in WHOLE):
            return found
        raise Unavailable(f"{path} is not whole in the sosreport")

    def stat(self, path: str, follow: bool = True) -> FileStat:
        """See `Host.stat`."""
        try:
            return self.files.stat(path, follow)
        except FileNotFoundError:
            raise self._absent(path) from None

    def readlink(self, path: str) -> str:
        """See `Host.readlink`."""
        try:
            return self.files.readlink(path)
        except FileNotFoundError:
            raise self._absent(path) from None

    def resolve(self, path: str) -> str:
        """See `Host.resolve`."""
        return self.files.resolve(path)

    def run(self, *argv: str) -> Completed:
        """Return what a command printed when the report was made."""
        printed = self._output(" ".join(argv))
        if printed is None:
            raise Unavailable(f"`{' '.join(argv)}` was not asked for the sosreport")
        return Completed(argv, 0, printed, "")

    def disk_usage(self, path: str) -> DiskUsage:
        """See `Host.disk_usage`. The report has it in KiB."""
        blocks, inodes = (self._df(path, command) for command in ("df -al -x autofs", "df -ali -x autofs"))
        return DiskUsage(blocks[0] * 1024, blocks[1] * 1024, *inodes)

    def _df(self, path: str, command: str) -> tuple[int, int]:
        rows = [line.split() for line in (self._output(command) or "").splitlines()[1:]]
        held = [row for row in rows if len(row) == 6 and row[1].isdecimal() and row[3].isdecimal()]
        held = [row for row in held if row[5] == "/" or f"{path}/".startswith(f"{row[5]}/")]
        if not held:
            raise Unavailable("the room on the disks is not in the sosreport")
        row = max(held, key=lambda row: len(row[5]))
        return int(row[1]), int(row[3])

    def pids(self, name: str) -> tuple[int, ...]:
        """See `Host.pids`."""
        listed = self._output("ps auxwww")
        if listed is None:
            raise Unavailable("the processes are not in the sosreport")
        rows = [line.split(None, 10) for line in listed.splitlines()[1:]]
        found = [int(r[1]) for r in rows if len(r) > 10 and r[10].split()[0].rpartition("/")[2] == name]
        return tuple(sorted(found))


def _root(files: RestingHost) -> str:
    assert isinstance(files, RootHost)
    return files.root


def _sysctl(printed: str, key: str) -> str | None:
    found = re.search(rf"^{re.escape(key)} = ?(.*)$", printed, re.MULTILINE)
    return f"{found[1]}\n" if found else None


def _modules(host: SosHost) -> str | None:
    printed = host._output("lsmod")
    return None if printed is None else "".join(proc_modules(printed))


def _dpkg_status(host: SosHost) -> str | None:
    """Return the packages of `dpkg -l` as dpkg's own database has them."""
    rows = [line.split(None, 4) for line in host._said("installed-debs").splitlines()]
    packages = [row for row in rows if len(row) > 3 and row[0] == "ii"]
    stanzas = [
        f"Package: {name.partition(':')[0]}\nStatus: install ok installed\n"
        f"Architecture: {machine}\nVersion: {version}\n"
        for _, name, version, machine, *_ in packages
    ]
    return "\n".join(stanzas) or None


_MADE: dict[str, Callable[[SosHost], str | None]] = {
    "/proc/modules": _modules,
    "/proc/self/mountinfo": lambda host: host._said("proc/1/mountinfo") or None,
    "/proc/self/mounts": lambda host: host._said("proc/mounts") or None,
    "/var/lib/dpkg/status": _dpkg_status,
}
"""Files that are not copied, and what makes them of what is."""
