"""Bad input is normal input: whatever lies where a check looks, no check breaks, waits, or leaves the tree."""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import hurts
import pytest

from hostcheck.finding import Outcome, Result
from hostcheck.host import command
from hostcheck.host.root import VOLATILE

TREES = sorted(path.name for path in hurts.HOSTS.iterdir())
EVERYTHING = os.environ.get("HOSTCHECK_ALL_HURTS") == "1"
SHARE = 1 if EVERYTHING else 30
"""One in so many of the pairs of a path and what may lie there is tried."""

FORBIDDEN = ("forbidden", "forbidden folder")
REFUSED = ("1 GiB", "fifo", "socket", "folder", "device", *FORBIDDEN)
"""What cannot be read: the check does not know, and says what it could not read."""


class Opened:
    """The files that Python opens and the folders it lists meanwhile, of whatever module."""

    def __init__(self) -> None:
        self.paths: set[str] | None = None
        sys.addaudithook(self._note)

    def _note(self, event: str, arguments: tuple[Any, ...]) -> None:
        # A number is a file that is open already, as a pipe.
        looks = event in ("open", "os.listdir", "os.scandir") and not isinstance(arguments[0], int)
        if self.paths is not None and looks:
            self.paths.add(os.fsdecode(arguments[0] or "."))

    @contextlib.contextmanager
    def watched(self) -> Iterator[set[str]]:
        found: set[str] = set()
        self.paths = found
        try:
            yield found
        finally:
            self.paths = None


OPENED = Opened()


@pytest.fixture
def tree(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Copy a tree to where any user can read it; no command can be asked."""
    folder = tempfile.mkdtemp()
    monkeypatch.setattr(command, "PATH", folder)
    os.chmod(folder, 0o755)
    try:
        yield str(shutil.copytree(hurts.HOSTS / request.param, f"{folder}/tree", symlinks=True))
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def nobody(wanted: bool) -> Iterator[None]:
    """Be a user who may not read what is forbidden."""
    if wanted and os.geteuid() == 0:
        os.seteuid(hurts.NOBODY)
        # PR_SET_DUMPABLE: without it this process' own /proc/self would be root's.
        ctypes.CDLL(None).prctl(4, 1)
        try:
            yield
        finally:
            os.seteuid(0)
    else:
        yield


@contextlib.contextmanager
def no_wait() -> Iterator[None]:
    """End what waits: a check that does so breaks."""

    def late(number: int, frame: object) -> None:
        raise TimeoutError("waited")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(60)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def names_it(host: hurts.SpyTree, path: str, reason: str) -> bool:
    """Return whether a reason leads to the file: by its path, a link to it, its folder, or the check that tells."""
    seen = [host.resolve(word) for word in re.findall(r"/[^\s:,;()']+", reason)]
    return (
        os.path.basename(path) in reason
        or any(path == each or path.startswith(each + "/") or each.startswith(path + "/") for each in seen)
        or any(word in hurts.CHECKS for word in re.findall(r"[a-z]+\.[a-z_]+", reason))
    )


OF_THE_TEST = {"limits.running"}
"""Checks that look at a process of the engine: here the test's own stands for it, whose limits are nobody's unit."""


def wrong(
    host: hurts.SpyTree, path: str, kind: str, before: list[dict[str, Result]], after: dict[str, Result]
) -> Iterator[str]:
    """Say what is wrong with the answers about a host on which something was hurt.

    `before` is what is said where the same file can be read, and of the host as it was; none of them where the
    file can be read and holds something else.
    """
    for name, result in after.items():
        said = f"{path} ({kind}): {name}: {result.outcome.value}, {result.reason}"
        if result.outcome is Outcome.ERROR:
            yield said
        elif not before or result.outcome in [each[name].outcome for each in before]:
            continue
        elif result.outcome is Outcome.UNKNOWN and not names_it(host, path, result.reason or ""):
            yield f"names it not: {said}"
        elif kind in FORBIDDEN and result.outcome is Outcome.FAIL and name not in OF_THE_TEST:
            yield f"{said} {[f.message for f in result.findings if not f.ok][:1]}"


def pairs(paths: dict[str, list[str]], kinds: list[str], seed: str) -> Iterator[tuple[str, str]]:
    """Return each path with each of the kinds; without `HOSTCHECK_ALL_HURTS` a share of them, the same each time."""
    everything = [(path, kind) for path in sorted(paths) for kind in kinds]
    random.Random(seed).shuffle(everything)
    yield from everything[::SHARE]


@pytest.mark.root
@pytest.mark.parametrize("live", [False, True], ids=["tree", "live"])
@pytest.mark.parametrize("tree", TREES, indirect=True)
def test_anything_at_any_path(tree: str, live: bool, request: pytest.FixtureRequest) -> None:
    paths, _ = hurts.askers(tree, live)
    paths = {path: ids for path, ids in paths.items() if not path.startswith(VOLATILE)}
    assert len(paths) > 100
    untouched = hurts.judge(hurts.SpyTree(tree, live), list(hurts.CHECKS))
    problems: list[str] = []
    for path, kind in pairs(paths, list(hurts.KINDS), request.node.name):
        before = []
        if kind in REFUSED and not os.path.isdir(tree + path):
            with contextlib.nullcontext() if os.path.exists(tree + path) else hurts.hurt(tree, path, "empty"):
                before = [untouched, hurts.judge(hurts.SpyTree(tree, live), paths[path])]
        with hurts.hurt(tree, path, kind), no_wait():
            if kind in FORBIDDEN and os.geteuid() == 0:
                before = [untouched, hurts.judge(hurts.SpyTree(tree, live), paths[path])]
            host = hurts.SpyTree(tree, live)
            with nobody(kind in FORBIDDEN), OPENED.watched() as opened:
                after = hurts.judge(host, paths[path])
            problems += wrong(host, path, kind, before, after)
        problems += [
            f"{path} ({kind}): opened {each}"
            for each in opened
            # The dot is where a command is started from, to step back to.
            if each != "."
            and not each.endswith((".py", ".pyc"))
            and not each.startswith((tree + "/", "/proc/self/fd/"))
            and not (live and each.startswith(VOLATILE))
        ]
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("tree", TREES, indirect=True)
def test_anything_from_the_kernel(tree: str, request: pytest.FixtureRequest) -> None:
    paths, _ = hurts.askers(tree, live=True)
    paths = {path: ids for path, ids in paths.items() if path.startswith(VOLATILE)}
    assert len(paths) > 20
    untouched = hurts.judge(hurts.SpyTree(tree, live=True), list(hurts.CHECKS))
    problems: list[str] = []
    for path, kind in pairs(paths, list(hurts.PSEUDO_KINDS), request.node.name):
        host = hurts.HurtPseudoFile(tree, path, kind)
        with no_wait():
            after = hurts.judge(host, paths[path])
        before = []
        if kind in ("forbidden", "broken"):
            before = [untouched]
            if path == "/proc/1/comm":
                before.append(hurts.judge(hurts.SystemdMachine(tree), paths[path]))
        problems += wrong(host, path, kind, before, after)
    assert not problems, "\n".join(problems)
