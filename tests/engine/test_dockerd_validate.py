"""Generated configurations, judged here and by the dockerd of two Debian releases: no disagreement.

trixie's dockerd has --validate. bookworm's (20.10) has not: as an ordinary user it reads its configuration and then
stops because it is not root, which says that it took the file. Whether a file is refused is compared, and for names
that are not known and for broken JSON that dockerd says the same.
"""

from __future__ import annotations

import json
import pathlib
import random
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest
import roots

from hostcheck.facts import _daemon_keys as tables
from hostcheck.facts.daemonjson import HostFacts, Problem, judge, keys
from hostcheck.versions import Version

pytestmark = [pytest.mark.root, pytest.mark.apt, pytest.mark.engine]

SEED = 20261124
FILES = 400
NOBODY = "65534"

SCALARS: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 1500, 65536, 2**31, 2**63, 1.5, 1e3, "", "x", "true", "0", "10.0.0.1",
    "fe80::1", "fd00::/64", "10.0.0.0/8", "10.0.0.1/33", "1.2.3.4.5", "01.2.3.4", "a=b", "=b",
    "com.docker.x=1", "64M", "1.5g", "64 M", "1e3", "unix:///s", "tcp://0.0.0.0:2375", "tcp://x/y",
    "http://m.example", "https://m.example/p", "m.example", "ftp://m", "http://u:p@m", "http://m?q", "info",
    "WARN", "warning", "json", "host", "private", "shareable", "runc", "io.containerd.runc.v2", "5m",
    "builtin", "native.cgroupdriver=systemd", "é", "a b",
)  # fmt: skip
"""Values that some key takes and others do not."""

KNOWN: tuple[tuple[str, str, bool], ...] = (
    # Suite, text, whether dockerd takes it: what was once judged wrongly, and what is worth keeping.
    ("trixie", '{"log-opts": {"multiline": "true"}}', True),
    ("trixie", '{"hosts": []} ', True),
    ("trixie", "", True),
    ("trixie", '{"validate": true}', False),
    ("trixie", '{"config-file": "x"}', False),
    ("bookworm", '{"config-file": "x"}', False),
    ("bookworm", '{"log-level": "loud"}', False),
    ("trixie", '{"cpu-rt-runtime": 1}', False),
    ("trixie", '{"debug": true} x', False),
    ("trixie", '{"debug": true, "debug": null}', True),
    ("bookworm", '{"debug": true} x', True),
    ("bookworm", "", False),
    ("bookworm", '{"log-opts": {"multiline": "true"}}', True),
)


class Chroot(HostFacts):
    """The host that the chroot is: no certificates, and no /proc that tells of control groups."""

    realtime_groups = False

    def path(self, path: str) -> str | None:
        return "missing" if path.startswith("/root/.docker") else None


def mangle(random_: random.Random, text: str) -> str:
    """Change one character, or leave a part out."""
    at = random_.randrange(len(text))
    kind = random_.randrange(4)
    if kind == 0:
        return text[:at] + text[at + 1 :]
    if kind == 1:
        return text[:at] + random_.choice('{}[]",:0-.eEtfn\\ \n\t/\x00é') + text[at:]
    if kind == 2:
        return text[:at]
    end = random_.randrange(at, len(text))
    return text[:end] + text[at:]


def value(random_: random.Random, kind: str, depth: int = 0) -> Any:
    """Return a value that often is of the right kind."""
    chance = random_.random()
    if chance < 0.15 or depth > 2:
        return random_.choice(SCALARS)
    if chance < 0.2:
        return [random_.choice(SCALARS) for _ in range(random_.randrange(3))]
    if chance < 0.25:
        return {random_.choice(("a", "path", "x-y")): random_.choice(SCALARS)}
    strings = [s for s in SCALARS if isinstance(s, str)]
    if kind == "bool":
        return random_.random() < 0.5
    if kind == "int":
        return random_.choice((0, 1, -1, 1500, 70000, 2**40))
    if kind in ("strs", "ips", "addrs"):
        return [random_.choice(strings) for _ in range(random_.randrange(3))]
    if kind in ("strmap", "strmaps", "bools"):
        inner = {"strmap": "str", "strmaps": "strmap", "bools": "bool"}[kind]
        return {f"k{i}": value(random_, inner, depth + 1) for i in range(random_.randrange(3))}
    if kind == "pools":
        return [
            {"base": random_.choice(("10.0.0.0/8", "10.0.0.1/8", "x", "fd00::/64")), "size": size}
            for size in random_.sample((0, 24, 99), random_.randrange(3))
        ]
    if kind == "runtimes":
        names = ("runc", "kata", "x")
        return {random_.choice(names): {"path": "/k", "runtimeArgs": random_.choice((None, ["a"], "a"))}}
    if kind == "ulimits":
        return {"nofile": {"Name": "nofile", "Soft": value(random_, "int", 2), "Hard": 2}}
    if kind == "proxies":
        return {
            random_.choice(("http-proxy", "https-proxy", "no-proxy", "https_proxy")): random_.choice(strings)
        }
    if kind == "builder":
        rule = {
            "filter": random_.choice((["a=b"], "a=b", None)),
            "keepStorage": random_.choice(("1g", 5)),
            "all": True,
        }
        return {
            "gc": {"enabled": value(random_, "bool", 2), "policy": [rule]},
            "entitlements": {"network-host": True},
        }
    if kind == "size":
        return random_.choice(("64M", "1.5g", "", "x", 5, "64 MiB", "1e3", "-1"))
    return random_.choice(strings)


def document(random_: random.Random, release: tuple[int, ...]) -> str:
    """Return a configuration: right, nearly right, or broken."""
    kinds = keys(release)
    # Whether these name what is there depends on the host.
    names = sorted(
        kinds.keys() - {"userns-remap", "userland-proxy-path", "tls", "tlsverify", "seccomp-profile"}
    )
    found: list[tuple[str, Any]] = []
    for _ in range(random_.randrange(1, 4)):
        name = random_.choice(names)
        found.append((name, value(random_, kinds[name])))
    chance = random_.random()
    if chance < 0.1:
        found.append((random_.choice(tables.IGNORED)[0], random_.choice(SCALARS)))
    elif chance < 0.15:
        found.append((random_.choice(tables.REMOVED)[0], random_.choice(SCALARS)))
    elif chance < 0.2:
        name = random_.choice(names)
        found.append((random_.choice((name.upper(), f"{name}s", name.replace("-", "_"), f" {name}")), True))
    elif chance < 0.25:
        found.append((found[0][0], value(random_, kinds[found[0][0]])))
    text = "{" + ", ".join(f"{json.dumps(n)}: {json.dumps(v, ensure_ascii=False)}" for n, v in found) + "}"
    return mangle(random_, text) if random_.random() < 0.15 else text


class Dockerd:
    """The dockerd of a root: whether it takes a file, and what it says."""

    def __init__(self, suite: str, root: pathlib.Path, folder: pathlib.Path) -> None:
        self.suite, self.root = suite, root
        self.inside = f"/{folder.relative_to(root)}/daemon.json"
        said = self._run("dockerd", "--version").stdout
        self.version = Version(said.partition("version ")[2].partition(",")[0])

    def _run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["chroot", str(self.root), *argv], capture_output=True, text=True, timeout=60, errors="replace",
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
        )  # fmt: skip

    def ask(self, text: str) -> tuple[bool, str]:
        """Return whether it takes the text, and its words."""
        file = self.root / self.inside.lstrip("/")
        file.write_text(text, encoding="utf-8")
        file.chmod(0o644)
        if self.version < Version("23"):
            user = ("setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups")
            done = self._run(*user, "dockerd", f"--config-file={self.inside}")
            return "needs to be started with root" in done.stderr, done.stderr
        done = self._run("dockerd", "--validate", f"--config-file={self.inside}")
        return done.returncode == 0, done.stderr

    def foretold(self, text: str) -> list[Problem]:
        """Return what hostcheck says that it refuses, up to the point to which `ask` goes."""
        flags = [f"--config-file={self.inside}", *["--validate"] * (self.version >= Version("23"))]
        judged = judge(text.encode(), self.version, flags, Chroot())
        if judged.accepted and self.version < Version("23"):
            # Not by its loader, but before it looks whether it is root.
            return [problem for problem in judged.problems if problem.key == "log-level"]
        return judged.named


@pytest.fixture(scope="module", params=["bookworm", "trixie"])
def dockerd(request: pytest.FixtureRequest) -> Iterator[Dockerd]:
    root = roots.need(request.param)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="hostcheck-validate-", dir=root / "tmp"))
    folder.chmod(0o755)
    try:
        yield Dockerd(request.param, root, folder)
    finally:
        shutil.rmtree(folder)


def test_generated_configurations(dockerd: Dockerd) -> None:
    random_ = random.Random(f"{SEED} {dockerd.suite}")
    wrong = []
    tally = {True: 0, False: 0}
    for _ in range(FILES):
        text = document(random_, dockerd.version.numbers)
        taken, said = dockerd.ask(text)
        judged = dockerd.foretold(text)
        tally[taken] += 1
        if bool(judged) == taken or (judged and not named(judged, said)):
            wrong.append((text, taken, said[-300:], judged[:2]))
    assert not wrong, "\n".join(map(str, [len(wrong), *wrong[:10]]))
    # A generator that makes only the one or the other would prove little.
    assert min(tally.values()) > FILES // 8
    print(
        f"dockerd {dockerd.version}: {FILES} configurations, {tally[True]} taken, {tally[False]} refused, all agree"
    )


def named(problems: list[Problem], said: str) -> bool:
    """Return whether a key that is refused here stands in what dockerd said; most of its errors name one."""
    for problem in problems:
        if problem.cls == "json-syntax":
            return any(
                word in said for word in ("invalid character", "unexpected end", "UTF-8", "EOF", "depth")
            )
        if problem.cls == "unknown-directive":
            return problem.key.rpartition(".")[2] in said or "the following directives" in said
    return True


def test_known_cases(dockerd: Dockerd) -> None:
    cases = [case for case in KNOWN if case[0] == dockerd.suite]
    for _, text, taken in cases:
        assert (text, dockerd.ask(text)[0]) == (text, taken)
        assert (text, not dockerd.foretold(text)) == (text, taken)
    assert cases
