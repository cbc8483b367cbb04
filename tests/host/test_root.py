"""A root tree: every link is followed inside it, and nothing in it can hurt."""

from __future__ import annotations

import os
import pathlib

import pytest

from hostcheck.host import Unavailable
from hostcheck.host.live import LiveHost
from hostcheck.host.root import RootHost


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    tree = tmp_path / "tree"
    (tree / "etc").mkdir(parents=True)
    (tree / "usr/lib").mkdir(parents=True)
    (tree / "usr/lib/os-release").write_text("ID=inside\n")
    (tmp_path / "secret").write_text("outside")
    return tree


@pytest.mark.parametrize(
    "link",
    [
        "/usr/lib/os-release",
        "../usr/lib/os-release",
        "../../../../usr/lib/os-release",
        "/../../usr/lib/./os-release",
        "/lib/os-release",
    ],
)
def test_links_stay_inside(root: pathlib.Path, link: str) -> None:
    (root / "lib").symlink_to("/usr/lib")
    (root / "etc/os-release").symlink_to(link)
    host = RootHost(str(root))
    assert host.read("/etc/os-release") == "ID=inside\n"
    assert host.stat("/etc/os-release").is_file
    assert host.stat("/etc/os-release", follow=False).is_link
    assert host.resolve("/etc/os-release") == "/usr/lib/os-release"


@pytest.mark.parametrize("link", ["../../secret", "/../secret", "{outside}"])
def test_links_cannot_leave(root: pathlib.Path, link: str) -> None:
    (root / "etc/leak").symlink_to(link.format(outside=root.parent / "secret"))
    host = RootHost(str(root))
    with pytest.raises(FileNotFoundError):
        host.read("/etc/leak")
    assert not host.exists("/etc/leak")


def test_a_folder_link_cannot_leave(root: pathlib.Path) -> None:
    (root / "etc/up").symlink_to("../..")
    with pytest.raises(FileNotFoundError):
        RootHost(str(root)).read("/etc/up/secret")


def test_loops_end(root: pathlib.Path) -> None:
    (root / "etc/a").symlink_to("b")
    (root / "etc/b").symlink_to("a")
    host = RootHost(str(root))
    for question in (host.read, host.stat, host.names):
        with pytest.raises(FileNotFoundError):
            question("/etc/a")
    assert not host.exists("/etc/a")
    assert host.resolve("/etc/a/x") == "/etc/a/x"


@pytest.mark.parametrize("path", ["/proc/version", "/sys/fs/cgroup", "/run", "/dev/null", "/var/run/x"])
def test_what_only_a_running_host_has_is_unavailable(root: pathlib.Path, path: str) -> None:
    (root / "proc").mkdir()
    (root / "proc/version").write_text("a lie")
    (root / "var").mkdir()
    (root / "var/run").symlink_to("/run")
    with pytest.raises(Unavailable):
        RootHost(str(root)).read(path)


def test_nothing_runs(root: pathlib.Path) -> None:
    host = RootHost(str(root))
    with pytest.raises(Unavailable):
        host.run("true")
    with pytest.raises(Unavailable):
        host.disk_usage("/")


@pytest.mark.parametrize("kind", ["root", "live"])
def test_hostile_files(root: pathlib.Path, kind: str) -> None:
    os.mkfifo(root / "etc/fifo")
    big = root / "etc/big"
    with big.open("wb") as file:
        file.truncate(1 << 30)
    (root / "etc/binary").write_bytes(b"\x00\xff\xfe")
    (root / "etc/folder").mkdir()
    host = RootHost(str(root)) if kind == "root" else LiveHost()
    base = "" if kind == "root" else str(root)
    for name in ("fifo", "big", "folder"):
        with pytest.raises(Unavailable):
            host.read(f"{base}/etc/{name}")
    assert host.read(f"{base}/etc/binary") == "\x00\ufffd\ufffd"
    # An explicit limit cuts instead: the reader knows what it asked for.
    assert len(host.read_bytes(f"{base}/etc/big", 10, 5)) == 10
    with pytest.raises(FileNotFoundError):
        host.read(f"{base}/etc/nothing")
    with pytest.raises(FileNotFoundError):
        host.read(f"{base}/etc/binary/below")


def test_a_file_is_no_root(root: pathlib.Path) -> None:
    with pytest.raises(NotADirectoryError):
        RootHost(str(root / "usr/lib/os-release"))
