"""Commands on this machine: found in fixed folders, and bounded in time and output."""

from __future__ import annotations

import contextlib
import io
import os
import select
import stat
import time
from collections.abc import Iterator

from hostcheck.host import Completed, Unavailable

SECONDS = 10.0
"""How long a command may take before it counts as unable to say."""

OUTPUT_LIMIT = 8 << 20
"""Bytes that a command may print. The longest answer that is asked for, a firewall's rules, is far shorter."""

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/snap/bin"
"""Where programs are looked for, whatever the environment says: the folders there may be anybody's."""


# `signal` costs 0.7 ms to import, for this number and one that only a command which hangs needs.
_SIGPIPE = 13


def run(argv: tuple[str, ...]) -> Completed:
    """Run a command without a shell, with a fixed path and locale.

    Raises:
        FileNotFoundError: there is no such program.
        PermissionError: it may not be run.
        Unavailable: it cannot be run, is a stranger's, or took or printed too much.

    """
    name = argv[0]
    program = find(name)
    with _pipe() as (out, out_end), _pipe() as (err, err_end):
        try:
            pid = _start(program, argv, out_end.fileno(), err_end.fileno())
        except FileNotFoundError:
            raise FileNotFoundError(f"no program {name}") from None
        except PermissionError:
            raise PermissionError(f"{name}: not allowed to run it") from None
        except (OSError, ValueError) as error:
            raise Unavailable(f"{name}: {error}") from None
        out_end.close()
        err_end.close()
        try:
            deadline = time.monotonic() + SECONDS
            printed = _printed(name, (out.fileno(), err.fileno()), deadline)
            code = _code(name, pid, deadline)
        except BaseException:
            _end(pid)
            raise
    return Completed(argv, code, *(data.decode("utf-8", "replace") for data in printed))


def find(name: str) -> str:
    """Return the path of a program; a name with a slash is one.

    Raises:
        FileNotFoundError: there is none.
        PermissionError: there is one, which this user may not run.
        Unavailable: somebody beside root and this user can change it, so it is not run.

    """
    forbidden = False
    for path in [name] if "/" in name else [f"{folder}/{name}" for folder in PATH.split(":")]:
        if not os.path.isfile(path):
            continue
        if not os.access(path, os.X_OK):
            forbidden = True
            continue
        changer = _changer(os.path.realpath(path))
        if changer:
            raise Unavailable(f"{path} is not run: {changer}")
        return path
    if forbidden:
        raise PermissionError(f"{name}: not allowed to run it")
    raise FileNotFoundError(f"no program {name}")


def _changer(path: str) -> str | None:
    """Return who can change a program beside root and this user, None if nobody can.

    Write permission of a group is the administrator's own choice, as `staff` on Debian's /usr/local.
    """
    # In a user namespace root's files show as nobody's, / among them.
    trusted = (0, os.geteuid(), os.stat("/").st_uid)
    while path != "/":
        found = os.stat(path)
        if found.st_uid not in trusted:
            return f"{path} belongs to uid {found.st_uid}"
        if found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
            return f"anybody can write to {path}"
        path = os.path.dirname(path)
    return None


@contextlib.contextmanager
def _pipe() -> Iterator[tuple[io.FileIO, io.FileIO]]:
    ends = os.pipe()
    with io.FileIO(ends[0]) as outlet, io.FileIO(ends[1], "w") as inlet:
        yield outlet, inlet


def _start(program: str, argv: tuple[str, ...], out: int, err: int) -> int:
    """Start a program, and return its process.

    It starts in /, where what runs as root finds nothing of a stranger's. `subprocess`, which would do the same, costs
    3 ms to import.
    """
    with _in_root():
        return os.posix_spawn(
            program,
            argv,
            {"PATH": PATH, "LC_ALL": "C", "HOME": "/"},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, out, 1),
                (os.POSIX_SPAWN_DUP2, err, 2),
            ],
            # What it starts in turn is to end with it.
            setsid=True,
            # Python ignores it, and what a process ignores its children ignore too.
            setsigdef=[_SIGPIPE],
        )


@contextlib.contextmanager
def _in_root() -> Iterator[None]:
    try:
        here = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        # A folder that this user may not enter: there is no way back, and nothing there to come back for.
        here = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.chdir("/")
        yield
    finally:
        os.fchdir(here)
        os.close(here)


def _printed(name: str, pipes: tuple[int, int], deadline: float) -> list[bytearray]:
    """Return what a command writes into the pipes until it, and all that it has started, have closed them.

    Raises:
        Unavailable: it runs or prints for too long.

    """
    printed = {number: bytearray() for number in pipes}
    open_ones = select.poll()
    for number in pipes:
        open_ones.register(number, select.POLLIN)
    left = len(pipes)
    while left:
        ready = open_ones.poll(max(0.0, deadline - time.monotonic()) * 1000)
        if not ready:
            raise Unavailable(f"{name} did not answer in {SECONDS:.0f} s")
        for number, _ in ready:
            chunk = os.read(number, 1 << 16)
            if not chunk:
                open_ones.unregister(number)
                left -= 1
            printed[number] += chunk
            if len(printed[number]) > OUTPUT_LIMIT:
                raise Unavailable(f"{name} printed more than {OUTPUT_LIMIT >> 20} MiB")
    return list(printed.values())


def _code(name: str, pid: int, deadline: float) -> int:
    """Wait for a command, and return its exit code, or the number of the signal that ended it as a negative one.

    Raises:
        Unavailable: it runs for too long.

    """
    pause = 0.0001
    while True:
        try:
            ended, status = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            # Who started hostcheck had the kernel forget its children (SIGCHLD ignored).
            return 0
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            raise Unavailable(f"{name} did not answer in {SECONDS:.0f} s")
        time.sleep(pause)
        pause = min(pause * 2, 0.05)


def _end(pid: int) -> None:
    """End a command, which has not been waited for yet, and all that it has started."""
    import signal

    # A process that hangs in the kernel outlives even that.
    with contextlib.suppress(ProcessLookupError, Unavailable):
        os.killpg(pid, signal.SIGKILL)
        _code("", pid, time.monotonic() + 1)
