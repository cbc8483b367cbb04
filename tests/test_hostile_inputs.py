"""Bad input is normal input: whatever a file holds, no check breaks."""

from __future__ import annotations

import pathlib
import random
from typing import Callable

import pytest

from hostcheck import plugins
from hostcheck.finding import Outcome
from hostcheck.host import READ_LIMIT, FileStat, Unavailable
from hostcheck.host.root import RootHost
from hostcheck.policy import DEFAULT, Policy
from hostcheck.runner import run

HOSTS = pathlib.Path(__file__).resolve().parent / "hosts"
CHECKS = plugins.shipped()


def _raise(error: Exception) -> bytes:
    raise error


def _mangled(data: bytes) -> bytes:
    """Change bytes here and there, the same each time."""
    chance = random.Random(len(data))
    mangled = bytearray(data[:20000])
    for _ in range(max(3, len(mangled) // 50)):
        if mangled:
            mangled[chance.randrange(len(mangled))] = chance.randrange(256)
    return bytes(mangled)


HURTS: dict[str, Callable[[bytes], bytes]] = {
    "absent": lambda data: _raise(FileNotFoundError("gone")),
    "forbidden": lambda data: _raise(PermissionError("no")),
    "no regular file": lambda data: _raise(Unavailable("is a fifo")),
    "empty": lambda data: b"",
    "binary": lambda data: bytes(range(256)) * 8,
    "one endless line": lambda data: b"x" * 1_000_000,
    "cut": lambda data: data[: len(data) // 2],
    "mangled": _mangled,
    "twice": lambda data: data + data,
    "deep": lambda data: b"[" * 100_000,
    "old line ends": lambda data: data.replace(b"\n", b"\r\n"),
    "surrogates": lambda data: b'{"\\ud800": "\xed\xa0\x80"}',
    "numbers": lambda data: b"99999999999999999999999999999999999 = -1e999\n" * 50,
}


class HurtHost(RootHost):
    """A root tree in which one file is hurt. It keeps what was read."""

    def __init__(self, tree: str, path: str = "", hurt: Callable[[bytes], bytes] = bytes) -> None:
        super().__init__(str(HOSTS / tree), name=tree)
        self.asked: set[str] = set()
        self.path, self.hurt = path, hurt

    def read_bytes(self, path: str, limit: int = READ_LIMIT, offset: int = 0) -> bytes:
        inside = self.resolve(path)
        self.asked.add(inside)
        if inside != self.path:
            return super().read_bytes(path, limit, offset)
        try:
            whole = super().read_bytes(path)
        except FileNotFoundError:
            whole = b""
        return self.hurt(whole)[offset : offset + limit]

    def stat(self, path: str, follow: bool = True) -> FileStat:
        if follow and self.path and self.resolve(path) == self.path:
            try:
                return FileStat(0o100644, 0, 0, len(self.read_bytes(path)))
            except (Unavailable, PermissionError):
                return FileStat(0o010644, 0, 0, 0)
        return super().stat(path, follow)


def broken(host: HurtHost) -> list[tuple[str, str | None]]:
    results = run(Policy.load(DEFAULT).configure(CHECKS), host)
    return [(result.check, result.reason) for result in results if result.outcome is Outcome.ERROR]


@pytest.mark.parametrize("hurt", HURTS)
@pytest.mark.parametrize("tree", ["debian-12", "centos-7", "rocky-9"])
def test_no_check_breaks(tree: str, hurt: str) -> None:
    """Each file that any check asks for, hurt in turn, also those that are not there."""
    spy = HurtHost(tree)
    assert broken(spy) == []
    assert len(spy.asked) > 50
    # A sample of the many, the same each time: every file is hurt in some way, and every way is tried often.
    paths = sorted(spy.asked)
    chosen = paths[sorted(HURTS).index(hurt) % 3 :: 3]
    found = {path: errors for path in chosen if (errors := broken(HurtHost(tree, path, HURTS[hurt])))}
    assert found == {}
