"""The running machine: what is read of it is read whole."""

from __future__ import annotations

import os
import pathlib

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
