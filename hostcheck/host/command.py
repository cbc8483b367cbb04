"""Commands on this machine: found in fixed folders, and bounded in time and output."""

from __future__ import annotations

import contextlib
import os
import stat
import time

from hostcheck._typing import TYPE_CHECKING
from hostcheck.host import Completed, Unavailable

if TYPE_CHECKING:
    import subprocess

SECONDS = 10.0
"""How long a command may take before it counts as unable to say."""

OUTPUT_LIMIT = 8 << 20
"""Bytes that a command may print. The longest answer that is asked for, a firewall's rules, is far shorter."""

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/snap/bin"
"""Where programs are looked for, whatever the environment says: the folders there may be anybody's."""


def run(argv: tuple[str, ...]) -> Completed:
    """Run a command without a shell, with a fixed path and locale.

    Raises:
        FileNotFoundError: there is no such program.
        PermissionError: it may not be run.
        Unavailable: it cannot be run, is a stranger's, or took or printed too much.

    """
    name = argv[0]
    program = find(name)
    # Imported here: it costs 3 ms, and what is asked of most hosts is only whether there is such a program.
    import subprocess

    try:
        process = subprocess.Popen(
            argv,
            executable=program,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            env={"PATH": PATH, "LC_ALL": "C", "HOME": "/"},
            # What it starts in turn is to end with it.
            start_new_session=True,
        )
    except FileNotFoundError:
        raise FileNotFoundError(f"no program {name}") from None
    except PermissionError:
        raise PermissionError(f"{name}: not allowed to run it") from None
    except (OSError, ValueError) as error:
        raise Unavailable(f"{name}: {error}") from None
    out, err = _printed(process, name)
    return Completed(argv, process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"))


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


def _printed(process: subprocess.Popen[bytes], name: str) -> tuple[bytes, bytes]:
    """Wait for a command, and return what it printed.

    Raises:
        Unavailable: it ran or printed for too long, and was ended together with what it had started.

    """
    # Imported here as above.
    import selectors
    import subprocess

    deadline = time.monotonic() + SECONDS
    assert process.stdout is not None
    assert process.stderr is not None
    printed = {process.stdout.fileno(): bytearray(), process.stderr.fileno(): bytearray()}
    with process.stdout, process.stderr, selectors.DefaultSelector() as selector:
        try:
            for number in printed:
                selector.register(number, selectors.EVENT_READ)
            while selector.get_map():
                ready = selector.select(max(0.0, deadline - time.monotonic()))
                if not ready:
                    raise Unavailable(f"{name} did not answer in {SECONDS:.0f} s")
                for key, _ in ready:
                    chunk = os.read(key.fd, 1 << 16)
                    if not chunk:
                        selector.unregister(key.fd)
                    printed[key.fd] += chunk
                    if len(printed[key.fd]) > OUTPUT_LIMIT:
                        raise Unavailable(f"{name} printed more than {OUTPUT_LIMIT >> 20} MiB")
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            _end(process)
            raise Unavailable(f"{name} did not answer in {SECONDS:.0f} s") from None
        except BaseException:
            _end(process)
            raise
    out, err = printed.values()
    return bytes(out), bytes(err)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command, which has not been waited for yet, and all that it has started."""
    import signal
    import subprocess

    os.killpg(process.pid, signal.SIGKILL)
    # A process that hangs in the kernel outlives even that.
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(1)
