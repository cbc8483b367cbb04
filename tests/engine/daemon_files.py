"""daemon.json files made from the table of keys, and the dockerd of a Debian release as their judge."""

from __future__ import annotations

import contextlib
import json
import pathlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

import hypothesis
import roots
from hypothesis import strategies as st

from hostcheck.facts import _daemon_keys as tables
from hostcheck.facts.daemonjson import HostFacts, Problem, judge, keys
from hostcheck.versions import Version

SUITES = ("bookworm", "trixie", "sid")
NOBODY = "65534"

STRINGS = (
    "", "x", "true", "0", "10.0.0.1", "fe80::1", "fd00::/64", "10.0.0.0/8", "10.0.0.1/33", "1.2.3.4.5", "01.2.3.4",
    "a=b", "=b", "com.docker.x=1", "64M", "1.5g", "64 M", "1e3", "unix:///s", "fd://", "tcp://0.0.0.0:2375",
    "tcp://x/y", "tcp://[::1]:1", "http://m.example", "https://m.example/p", "m.example", "ftp://m", "http://u:p@m",
    "http://m?q", "info", "WARN", "warning", "json", "host", "private", "shareable", "runc", "io.containerd.runc.v2",
    "5m", "builtin", "native.cgroupdriver=systemd", "é", "a b", "nftables", "iptables", "overlay2", "1.44", "0x1/0xff",
)  # fmt: skip
NUMBERS = (0, 1, -1, 1500, 65535, 65536, 2**31, 2**63, 1.5, 1e3)
"""Values that some key takes and others do not."""

HOST_DEPENDS = frozenset(("userns-remap", "userland-proxy-path", "tls", "tlsverify", "seccomp-profile"))
"""Keys whose judgement asks the host for files and users."""

PIECES = (*'{}[]",:0-.etn\\ \n/\0é', "\ufeff", "\\ud800")

text = st.sampled_from(STRINGS)
scalar = st.one_of(st.none(), st.booleans(), st.sampled_from(NUMBERS), text)
integer = st.sampled_from([number for number in NUMBERS if isinstance(number, int)])
anything = st.one_of(
    scalar,
    st.lists(scalar, max_size=2),
    st.dictionaries(st.sampled_from(("a", "path", "x-y")), scalar, max_size=2),
)


def _object(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(
        {}, optional={name.replace("_", "-"): kind for name, kind in members.items()}
    )


NAMES = st.sampled_from(("a", "runc", "kata", "nofile", "max-size"))
RIGHT: dict[str, st.SearchStrategy[Any]] = {
    "bool": st.booleans(),
    "int": integer,
    "any": anything,
    "size": st.one_of(text, st.sampled_from((5, "64 MiB", "1e3", "-1", "1.5.5", "1kb"))),
    **dict.fromkeys(("strs", "ips", "addrs"), st.lists(text, max_size=3)),
    "strmap": st.dictionaries(NAMES, text, max_size=2),
    "strmaps": st.dictionaries(NAMES, st.dictionaries(NAMES, text, max_size=2), max_size=2),
    "bools": st.dictionaries(NAMES, st.booleans(), max_size=2),
    "pools": st.lists(_object(base=text, size=integer), max_size=2),
    "runtimes": st.dictionaries(
        NAMES,
        _object(path=text, runtimeArgs=st.lists(text, max_size=1), runtimeType=text, options=anything),
        max_size=2,
    ),
    "ulimits": st.dictionaries(NAMES, _object(Name=text, Soft=integer, Hard=integer, name=text), max_size=2),
    "proxies": _object(http_proxy=text, https_proxy=text, no_proxy=text),
    "nri": _object(enable=st.booleans(), plugin_path=text, other=scalar),
    "builder": _object(
        gc=_object(
            enabled=st.booleans(),
            defaultKeepStorage=st.one_of(text, integer),
            policy=st.lists(
                _object(
                    filter=st.one_of(st.lists(text, max_size=2), text, st.none()),
                    keepStorage=st.one_of(text, integer),
                    reservedSpace=text,
                    all=st.booleans(),
                ),
                max_size=2,
            ),
        ),
        entitlements=_object(network_host=st.booleans(), security_insecure=st.booleans(), device=scalar),
        history=_object(maxAge=st.one_of(text, integer), maxEntries=integer),
    ),
}  # fmt: skip


@st.composite
def member(draw: st.DrawFn, kinds: dict[str, str]) -> tuple[str, Any]:
    """Draw a key and a value, mostly of the kind that the key wants; some keys are nearly or no longer right."""
    name = draw(st.sampled_from(sorted(kinds.keys() - HOST_DEPENDS)))
    kind = RIGHT.get(kinds[name], text)
    value = draw(anything if draw(st.integers(0, 3)) == 0 else kind)
    way = draw(st.integers(0, 19))
    if way == 0:
        name = draw(st.sampled_from([row[0] for row in (*tables.IGNORED, *tables.REMOVED)]))
    elif way == 1:
        name = draw(
            st.sampled_from((name.upper(), f"{name}s", name.replace("-", "_"), f" {name}", name[:-1]))
        )
    elif way == 2:
        return draw(st.sampled_from(("x", "a.b", ""))), {name: value}
    return name, value


@st.composite
def documents(draw: st.DrawFn, release: tuple[int, ...]) -> bytes:
    """Draw a file: right, nearly right, or broken."""
    found = draw(st.lists(member(keys(release)), min_size=1, max_size=3))
    if draw(st.integers(0, 9)) == 0:
        found.append((found[0][0], draw(anything)))
    written = ", ".join(
        f"{json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in found
    )
    whole = f"{{{written}}}"
    if draw(st.integers(0, 5)) == 0:
        at = draw(st.integers(0, len(whole)))
        piece = draw(st.one_of(st.sampled_from(("", *PIECES)), st.just(whole[at : at + 5])))
        whole = whole[:at] + piece + whole[at + draw(st.integers(0, 3)) :]
    if draw(st.integers(0, 39)) == 0:
        encoding = draw(st.sampled_from(("utf-8-sig", "utf-16", "utf-16-be", "latin-1")))
        return whole.encode(encoding, "replace")
    data = whole.encode()
    if draw(st.integers(0, 39)) == 0:
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(st.binary(min_size=1, max_size=2)) + data[at:]
    return data


def generated(release: tuple[int, ...], count: int, seed: int) -> list[bytes]:
    """Return `count` files for a release, the same for the same seed."""
    found: dict[bytes, None] = {}

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count * 2,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(documents(release))
    def collect(data: bytes) -> None:
        if len(found) < count:
            found[data] = None

    collect()
    return list(found)


COMMAND_LINES: tuple[tuple[str, ...], ...] = (
    (),
    ("-H", "unix:///run/x.sock", "--containerd=/run/c.sock"),
    ("-D", "--mtu=1400", "--label", "a=b", "--dns=10.0.0.1", "--iptables=false", "--log-opt=max-size=1m"),
    ("--storage-driver=overlay2", "--registry-mirror=https://m.example", "-l", "info", "--ip-forward"),
)
"""What a unit may add to dockerd's command line."""


class Chroot(HostFacts):
    """The host that the chroot is: no certificates, and no /proc that tells of control groups."""

    realtime_groups = False

    def path(self, path: str) -> str | None:
        """See `HostFacts.path`."""
        return "missing" if path.startswith("/root/.docker") else None


class Said:
    """What dockerd made of a file."""

    def __init__(self, taken: bool, words: str) -> None:
        """Keep whether it took the file, and its words."""
        self.taken = taken
        self.words = words


class Dockerd:
    """The dockerd of a Debian release.

    trixie's and sid's have --validate. bookworm's (20.10) has not: as an ordinary user it reads its configuration
    and then stops because it is not root, which says that it took the file.
    """

    def __init__(self, suite: str, root: pathlib.Path, folder: pathlib.Path) -> None:
        """Take a root and a folder in it for the files."""
        self.suite, self.root, self.folder = suite, root, folder
        self.inside = f"/{folder.relative_to(root)}"
        said = self._run("dockerd", "--version").stdout
        self.version = Version(said.partition("version ")[2].partition(",")[0])
        self.validates = self.version >= Version("23")

    def _run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["chroot", str(self.root), *argv], capture_output=True, text=True, timeout=3600, errors="replace",
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
        )  # fmt: skip

    def flags(self, number: int, also: Sequence[str] = ()) -> list[str]:
        """Return the flags that the dockerd gets for a file."""
        return [f"--config-file={self.inside}/{number}.json", *["--validate"] * self.validates, *also]

    def ask(self, files: Sequence[bytes], also: Sequence[str] = ()) -> list[Said]:
        """Return what it makes of each file beside further flags; one shell asks for all of them."""
        for number, data in enumerate(files):
            file = self.folder / f"{number}.json"
            file.write_bytes(data)
            file.chmod(0o644)
        loop = (
            "n=0; last=$1; in=$2; shift 2; while [ $n -lt $last ]; do "
            'dockerd --config-file="$in/$n.json" "$@" >"$in/$n.out" 2>&1; echo $? >"$in/$n.code"; n=$((n+1)); done'
        )
        user = ("setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups")
        self.folder.chmod(0o777)
        command = ("sh", "-c", loop, "sh", str(len(files)), self.inside, *self.flags(0, also)[1:])
        self._run(*(() if self.validates else user), *command)
        return [self._said(number) for number in range(len(files))]

    def _said(self, number: int) -> Said:
        words = (self.folder / f"{number}.out").read_text(errors="replace")
        code = (self.folder / f"{number}.code").read_text().strip()
        return Said(code == "0" if self.validates else "needs to be started with root" in words, words)

    def refused(self, data: bytes, number: int = 0, also: Sequence[str] = ()) -> list[Problem]:
        """Return what hostcheck says that it refuses, up to the point to which `ask` goes."""
        judged = judge(data, self.version, self.flags(number, also), Chroot())
        if judged.accepted and not self.validates:
            # Not by its loader, but before it looks whether it is root.
            return [problem for problem in judged.problems if problem.key == "log-level"]
        return judged.named


def agree(problems: Sequence[Problem], said: Said) -> bool:
    """Return whether the two say the same: taken or not, and where dockerd names what it refuses, that."""
    if bool(problems) == said.taken:
        return False
    for problem in problems:
        if problem.cls == "json-syntax":
            words = ("invalid character", "unexpected end", "UTF-8", "EOF", "depth", "escape sequence")
            return any(word in said.words for word in words)
        if problem.cls == "flag-conflict":
            return (
                "specified both as a flag" in said.words
                and f"{problem.key.rpartition('.')[2]}: (" in said.words
            )
        if problem.cls == "unknown-directive":
            return problem.key.rpartition(".")[2] in said.words or "the following directives" in said.words
    return True


def differences(
    dockerd: Dockerd, files: Sequence[bytes], also: Sequence[str] = ()
) -> tuple[list[str], dict[bool, int]]:
    """Return where hostcheck and dockerd differ, and how many files dockerd took and refused."""
    found, tally = [], {True: 0, False: 0}
    for number, (data, said) in enumerate(zip(files, dockerd.ask(files, also))):
        problems = dockerd.refused(data, number, also)
        tally[said.taken] += 1
        if not agree(problems, said):
            found.append(
                f"{dockerd.suite} {data!r}: taken {said.taken}, {said.words[-300:]!r}; {problems[:2]}"
            )
    return found, tally


@contextlib.contextmanager
def dockerd_of(suite: str) -> Iterator[Dockerd]:
    """Yield the dockerd of a suite, with a folder for its files that is deleted afterwards."""
    root = roots.need(suite)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="hostcheck-validate-", dir=root / "tmp"))
    try:
        yield Dockerd(suite, root, folder)
    finally:
        shutil.rmtree(folder)
