"""The machine that hostcheck runs on."""

from __future__ import annotations

import os
import stat as stat_module

from hostcheck.host import READ_LIMIT, Completed, DiskUsage, Fetched, FileStat, Host, Unavailable, ask


def read_regular(real: str, shown: str, limit: int, offset: int, flags: int = 0) -> bytes:
    """Read a regular file of this machine, or of a tree on it, without ever waiting for it.

    A fifo or a device is refused before it is opened, so nothing that a file name leads to can make
    hostcheck hang, or set something off. `shown` is the path in messages.
    """
    try:
        fd = _open_regular(real, shown, flags)
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"{shown} does not exist") from None
    except PermissionError:
        raise PermissionError(f"{shown}: permission denied") from None
    except (OSError, ValueError) as error:
        raise Unavailable(f"{shown}: {getattr(error, 'strerror', None) or error}") from None
    try:
        found = os.fstat(fd)
        if limit == READ_LIMIT and found.st_size - offset > limit:
            raise Unavailable(f"{shown} is larger than {limit >> 20} MiB")
        # What /proc and /sys make up has no size, and the kernel clears the whole buffer that it is given.
        piece = (1 << 16) + min(found.st_size, 1 << 20)
        if offset:
            os.lseek(fd, offset, os.SEEK_SET)
        chunks = []
        left = limit + 1 if limit == READ_LIMIT else limit
        while left > 0:
            chunk = os.read(fd, min(left, piece))
            if not chunk:
                break
            chunks.append(chunk)
            left -= len(chunk)
    except PermissionError:
        raise PermissionError(f"{shown}: permission denied") from None
    except OSError as error:
        raise Unavailable(f"{shown}: {error.strerror}") from None
    finally:
        os.close(fd)
    data = b"".join(chunks)
    if limit == READ_LIMIT and len(data) > limit:
        raise Unavailable(f"{shown} is larger than {limit >> 20} MiB")
    return data


def _open_regular(real: str, shown: str, flags: int) -> int:
    # To open a device is to act on some, as a watchdog, whose timer starts; O_PATH only looks at what is there.
    place = os.open(real, os.O_PATH | os.O_CLOEXEC | flags)
    try:
        if not stat_module.S_ISREG(os.fstat(place).st_mode):
            raise Unavailable(f"{shown} is not a regular file")
        how = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        try:
            return os.open(f"/proc/self/fd/{place}", how)
        except FileNotFoundError:
            # No /proc is mounted: then the same name again.
            return os.open(real, how | flags)
    finally:
        os.close(place)


def list_names(real: str, shown: str) -> tuple[str, ...]:
    """Return the names in a folder of this machine, sorted; errors name `shown`."""
    try:
        return tuple(sorted(os.listdir(real)))
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"{shown} is not a folder") from None
    except PermissionError:
        raise PermissionError(f"{shown}: permission denied") from None
    except (OSError, ValueError) as error:
        raise Unavailable(f"{shown}: {getattr(error, 'strerror', None) or error}") from None


def stat_file(real: str, shown: str, follow: bool) -> FileStat:
    """Return what stat(2) says of a file of this machine; errors name `shown`."""
    try:
        found = os.stat(real, follow_symlinks=follow)
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"{shown} does not exist") from None
    except PermissionError:
        raise PermissionError(f"{shown}: permission denied") from None
    except (OSError, ValueError) as error:
        if getattr(error, "errno", None) == 40:  # ELOOP: a loop of links leads nowhere
            raise FileNotFoundError(f"{shown} is a loop of links") from None
        raise Unavailable(f"{shown}: {getattr(error, 'strerror', None) or error}") from None
    return FileStat(found.st_mode, found.st_uid, found.st_gid, found.st_size)


def look(path: str) -> FileStat | None:
    """Return what stat(2) says of a file of this machine, None where nothing is."""
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError):
        try:
            return stat_file(path, path, follow=True)
        except FileNotFoundError:
            return None  # a loop of links
    return FileStat(found.st_mode, found.st_uid, found.st_gid, found.st_size)


def disk_room(real: str, shown: str) -> DiskUsage:
    """Return the room on the file system that holds a file of this machine; errors name `shown`."""
    try:
        found = os.statvfs(real)
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"{shown} does not exist") from None
    except PermissionError:
        raise PermissionError(f"{shown}: permission denied") from None
    except OSError as error:
        raise Unavailable(f"{shown}: {error.strerror}") from None
    return DiskUsage(
        found.f_blocks * found.f_frsize,
        found.f_bavail * found.f_frsize,
        found.f_files,
        found.f_favail,
    )


def list_processes(proc: str = "/proc") -> dict[bytes, list[int]]:
    """Return the processes by name (comm), lowest first. psutil, which would do the same, costs 34 ms to import."""
    found: dict[bytes, list[int]] = {}
    for number in sorted(int(name) for name in os.listdir(proc) if name.isdecimal()):
        try:
            fd = os.open(f"{proc}/{number}/comm", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue  # it has ended
        try:
            found.setdefault(os.read(fd, 64).rstrip(b"\n"), []).append(number)
        except OSError:
            continue
        finally:
            os.close(fd)
    return found


class LiveHost(Host):
    """The machine that hostcheck runs on. It reads files and asks commands that only look."""

    kind = "live"

    def __init__(self) -> None:
        """Take the machine's own name."""
        super().__init__()
        self.name = os.uname().nodename
        self._silent: dict[str, str] = {}
        self._processes: dict[bytes, list[int]] | None = None

    def read_bytes(self, path: str, limit: int = READ_LIMIT, offset: int = 0) -> bytes:
        """See `Host.read_bytes`."""
        return read_regular(path, path, limit, offset)

    def fetch(self, *urls: str) -> tuple[Fetched, ...]:
        """See `Host.fetch`."""
        return ask(self, urls)

    def names(self, path: str) -> tuple[str, ...]:
        """See `Host.names`."""
        return self._once(("names", path), lambda: list_names(path, path))

    def stat(self, path: str, follow: bool = True) -> FileStat:
        """See `Host.stat`."""
        if not follow:
            return self._once(("lstat", path), lambda: stat_file(path, path, follow=False))
        found = self.seen(path)
        if found is None:
            raise FileNotFoundError(f"{path} does not exist")
        return found

    def seen(self, path: str) -> FileStat | None:
        """See `Host.seen`. Most of what is looked for is not there, and an exception takes ten times as long."""
        return self._once(("seen", path), lambda: look(path))

    def readlink(self, path: str) -> str:
        """See `Host.readlink`."""
        return os.readlink(path)

    def resolve(self, path: str) -> str:
        """See `Host.resolve`. The kernel does it."""
        return self._once(("resolve", path), lambda: os.path.realpath(path))

    def run(self, *argv: str) -> Completed:
        """See `Host.run`. No shell, a fixed path and locale, a time limit, and no stranger's program."""
        # Imported here, as below: an image starts none.
        from hostcheck.host import syscalls

        answer = syscalls.answer(argv)
        if answer is not None:
            return answer
        from hostcheck.host import command

        if argv[0] in self._silent:
            raise Unavailable(self._silent[argv[0]])
        try:
            return command.run(argv)
        except Unavailable as problem:
            # What hung once is not waited for again.
            self._silent[argv[0]] = str(problem)
            raise

    def disk_usage(self, path: str) -> DiskUsage:
        """See `Host.disk_usage`."""
        return disk_room(path, path)

    def pids(self, name: str) -> tuple[int, ...]:
        """See `Host.pids`."""
        if self._processes is None:
            self._processes = list_processes()
        # The kernel keeps 15 bytes of a name.
        found = self._processes.get(name.encode()[:15], ())
        return tuple(pid for pid in found if self.is_own_process(pid))
