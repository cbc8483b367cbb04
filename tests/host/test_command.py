"""A command cannot hang hostcheck, flood it, or be a stranger's."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import time
from typing import Any, Callable

import pytest

from hostcheck.host import Unavailable, command
from hostcheck.host.live import LiveHost

NO_ANSWER, TOO_MUCH = "did not answer in 1 s", "printed more than 8 MiB"
SCRIPTS = {
    "hangs": ("sleep 600", NO_ANSWER),
    "leaves one behind that hangs": ("sleep 600 & exit 0", NO_ANSWER),
    "hangs with nothing more to say": ("exec >/dev/null 2>&1; sleep 600", NO_ANSWER),
    "a gigabyte": ("head -c 1073741824 /dev/zero", TOO_MUCH),
    "a gigabyte of complaints": ("head -c 1073741824 /dev/zero >&2", TOO_MUCH),
    "without end": ("yes", TOO_MUCH),
}


@pytest.fixture
def program(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], pathlib.Path]:
    """Put a script into the only folder where programs are looked for."""
    folder = tmp_path / "bin"
    folder.mkdir(mode=0o755)
    monkeypatch.setattr(command, "PATH", f"{folder}:/usr/bin:/bin")

    def write(body: str) -> pathlib.Path:
        path = folder / "tool"
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
        return path

    return write


def living(group: str) -> list[str]:
    """Return the processes of a group that have not ended (proc_pid_stat(5): state, then parent and group)."""
    found = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, of = stat.read_text().rpartition(")")[2].split()[:3]
            if of == group and state not in "ZX":
                found.append(stat.parent.name)
    return found


@pytest.mark.parametrize("body, reason", SCRIPTS.values(), ids=SCRIPTS)
def test_is_ended(
    program: Callable[[str], pathlib.Path], monkeypatch: pytest.MonkeyPatch, body: str, reason: str
) -> None:
    # A busy machine may take more than a second to print much; what hangs hangs from its first moment on.
    monkeypatch.setattr(command, "SECONDS", 1.0 if reason == NO_ANSWER else 300.0)
    started: list[int] = []
    spawn = os.posix_spawn

    def noted(*arguments: Any, **named: Any) -> int:
        started.append(spawn(*arguments, **named))
        return started[-1]

    monkeypatch.setattr(os, "posix_spawn", noted)
    here = program(body)
    host = LiveHost()
    with pytest.raises(Unavailable, match=f"tool {reason}"):
        host.run("tool")
    # It leads a group of its own. What was killed beside it ends by itself, a little later.
    group = str(started[0])
    for _ in range(1200):
        if not living(group):
            break
        time.sleep(0.05)
    assert living(group) == []
    # And is not asked again.
    here.unlink()
    with pytest.raises(Unavailable, match=reason):
        host.run("tool", "again")


def test_answers(program: Callable[[str], pathlib.Path]) -> None:
    program('printf "%s\\377" "$1"; echo no >&2; pwd; exit 3')
    done = LiveHost().run("tool", "; id")
    assert (done.code, done.out, done.err) == (3, "; id�/\n", "no\n")


def test_leaves_the_process_as_it_was(
    program: Callable[[str], pathlib.Path], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program("pwd")
    monkeypatch.chdir(tmp_path)
    before = sorted(os.listdir("/proc/self/fd"))
    assert LiveHost().run("tool").out == "/\n"
    assert (os.getcwd(), sorted(os.listdir("/proc/self/fd"))) == (str(tmp_path), before)


def test_a_closed_pipe_ends_it(program: Callable[[str], pathlib.Path]) -> None:
    """As from a shell: Python ignores the signal, and its children would write on and complain."""
    program("yes | head -n 1")
    done = LiveHost().run("tool")
    assert (done.out, done.err) == ("y\n", "")


def test_children_that_nobody_waits_for(program: Callable[[str], pathlib.Path]) -> None:
    program("echo done; exit 3")
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        done = LiveHost().run("tool")
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert (done.code, done.out) == (0, "done\n")


def test_absent() -> None:
    with pytest.raises(FileNotFoundError, match="no program no-such-tool"):
        LiveHost().run("no-such-tool")


def test_not_executable(program: Callable[[str], pathlib.Path]) -> None:
    program("exit 0").chmod(0o644)
    with pytest.raises(PermissionError, match="tool: not allowed"):
        LiveHost().run("tool")


@pytest.mark.parametrize("start", [b"\0\1\2garbage", b"#!/no/such/interpreter\n", b""])
def test_no_program(program: Callable[[str], pathlib.Path], start: bytes) -> None:
    program("").write_bytes(start)
    with pytest.raises((Unavailable, FileNotFoundError), match="tool"):
        LiveHost().run("tool")


def test_the_environment_does_not_choose(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder in PATH, or the current one, is not where a program comes from."""
    (tmp_path / "uname").write_text("#!/bin/sh\necho stranger\n")
    (tmp_path / "uname").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}::.:/usr/bin:/bin")
    monkeypatch.setenv("LD_PRELOAD", f"{tmp_path}/stranger.so")
    monkeypatch.chdir(tmp_path)
    done = LiveHost().run("uname", "-s")
    assert (done.out, done.err) == ("Linux\n", "")


@pytest.mark.root
@pytest.mark.parametrize("kind", ["program", "folder", "link"])
def test_a_strangers_program(
    program: Callable[[str], pathlib.Path], tmp_path: pathlib.Path, kind: str
) -> None:
    here = program(f"touch {tmp_path}/ran")
    if kind == "program":
        os.chown(here, 65534, 0)
    elif kind == "folder":
        here.parent.chmod(0o777)
    else:
        home = tmp_path / "home"
        home.mkdir()
        os.chown(home, 65534, 0)
        here.rename(home / "tool")
        here.symlink_to(home / "tool")
    with pytest.raises(Unavailable, match="tool is not run"):
        LiveHost().run("tool")
    assert not (tmp_path / "ran").exists()
