"""The running machine: what is read of it is read whole."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import subprocess

import pytest

from hostcheck.host import live


@pytest.mark.parametrize("size", [0, 1, 1 << 16, (1 << 16) + 1, (3 << 20) + 7])
def test_a_file_is_read_whole(tmp_path: pathlib.Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes((b"0123456789abcdef" * (size // 16 + 1))[:size])
    host = live.LiveHost()
    assert host.read_bytes(str(path)) == path.read_bytes()
    assert host.read_bytes(str(path), limit=10, offset=5) == path.read_bytes()[5:15]


def test_a_file_of_the_kernel_is_read_whole() -> None:
    path = "/proc/kallsyms"
    assert live.LiveHost().read_bytes(path) == pathlib.Path(path).read_bytes()


def test_processes_are_found_by_name() -> None:
    mine = pathlib.Path("/proc/self/comm").read_text().rstrip("\n")
    host = live.LiveHost()
    assert os.getpid() in host.pids(mine)
    # The kernel has cut it; whoever asks need not know.
    assert (os.getpid() in host.pids(mine + "-and-more")) == (len(mine) == 15)
    assert host.pids("no-such-program") == ()


@pytest.mark.parametrize(
    "flags, own",
    [(["--mount"], True), (["--pid", "--fork", "--kill-child", "--mount-proc"], False), (["--net"], False)],
)
def test_processes_inside_containers_are_not_the_hosts(
    tmp_path: pathlib.Path, flags: list[str], own: bool
) -> None:
    name = "hc-daemon"
    program = tmp_path / name
    shutil.copy(shutil.which("cat") or "/bin/cat", program)
    # It says that it runs by its first line, and ends with the pipe.
    inside = subprocess.Popen(
        ["unshare", *flags, str(program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert inside.stdin
    assert inside.stdout
    assert inside.stderr
    with inside:
        try:
            with contextlib.suppress(BrokenPipeError):
                inside.stdin.write(b"ready\n")
                inside.stdin.flush()
            if not inside.stdout.readline():
                pytest.skip(f"no namespaces here: {inside.stderr.read().decode()}")
            every = live.list_processes()[name.encode()]
            assert live.LiveHost().pids(name) == (tuple(every) if own else ())
        finally:
            with contextlib.suppress(BrokenPipeError):
                inside.stdin.close()


def test_the_same_is_asked_once(tmp_path: pathlib.Path) -> None:
    """What was there stays there, and what was not stays away: all checks of a run judge one host."""
    host = live.LiveHost()
    folder, file = tmp_path / "folder", tmp_path / "folder" / "file"
    with pytest.raises(FileNotFoundError):
        host.stat(str(folder))
    assert not host.exists(str(file))
    folder.mkdir()
    assert host.names(str(folder)) == ()
    file.touch()
    for path in (folder, file):
        with pytest.raises(FileNotFoundError):
            host.stat(str(path))
    assert host.names(str(folder)) == ()
    assert live.LiveHost().names(str(folder)) == ("file",)
