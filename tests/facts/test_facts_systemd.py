"""Units: as systemd 247, 252, 257 and 262 show them, and the corners of their language."""

from __future__ import annotations

import collections
import json
import pathlib
import tarfile
from typing import Any

import pytest

from hostcheck.facts import systemd, unitfile
from hostcheck.host.root import RootHost
from hostcheck.testing import FakeHost


class RunningTree(RootHost):
    """A root tree whose /run is taken as it is, as on the machine that the oracle was."""

    def _real(self, path: str, follow: bool = True) -> str:
        if path.startswith("/run"):
            return self.root + path
        return super()._real(path, follow)


def lay(corpora: pathlib.Path, top: pathlib.Path) -> dict[tuple[str, str], pathlib.Path]:
    """Lay every tree over the base of every suite; return where each lies."""
    with tarfile.open(corpora / "units" / "trees.tar.xz") as tar:
        trees: dict[str, list[tuple[tarfile.TarInfo, bytes]]] = collections.defaultdict(list)
        for member in tar.getmembers():
            case, _, rest = member.name.removeprefix("./").partition("/")
            if rest:
                handle = tar.extractfile(member) if member.isreg() else None
                member.name = rest
                trees[case].append((member, handle.read() if handle else b""))
    where = {}
    for suite in ("bullseye", "bookworm", "trixie", "sid"):
        with tarfile.open(corpora / "units" / f"base-{suite}.tar.xz") as tar:
            base = [
                (m, h.read() if m.isreg() and (h := tar.extractfile(m)) else b"") for m in tar.getmembers()
            ]
        for case, members in trees.items():
            where[case, suite] = root = top / suite / case
            root.mkdir(parents=True)
            for member, content in (*base, *members):
                path = root / member.name.removeprefix("./")
                if member.isdir():
                    path.mkdir(parents=True, exist_ok=True)
                    continue
                path.parent.mkdir(parents=True, exist_ok=True)
                if path.is_symlink() or path.is_file():
                    path.unlink()
                if member.issym():
                    path.symlink_to(member.linkname)
                else:
                    path.write_bytes(content)
    return where


def _as_expected(found: systemd.Unit, field: str) -> Any:
    """Return one field of the corpus as this unit answers it."""
    prop = {
        "load": "LoadState", "fragment": "FragmentPath", "dropins": "DropInPaths", "nofile_hard": "LimitNOFILE",
        "nofile_soft": "LimitNOFILESoft", "nproc_hard": "LimitNPROC", "nproc_soft": "LimitNPROCSoft",
        "core_hard": "LimitCORE", "tasksmax": "TasksMax", "delegate": "Delegate",
        "delegate_controllers": "DelegateControllers", "killmode": "KillMode", "oom": "OOMScoreAdjust",
        "slice": "Slice", "exec": "ExecStart",
    }[field]  # fmt: skip
    if field == "load":
        return found.load
    if field == "fragment":
        return found.fragment
    if field == "dropins":
        return list(found.dropins)
    setting = found.get(prop)
    value = setting.value if setting else None
    if field == "delegate":
        return value == "yes"
    if field == "delegate_controllers":
        return (value or "").split()
    return int(value) if value is not None and value.isdigit() and field != "oom" else value


FIELDS = (
    "load", "fragment", "dropins", "nofile_hard", "nofile_soft", "nproc_hard", "nproc_soft", "core_hard", "tasksmax",
    "delegate", "delegate_controllers", "killmode", "oom", "slice", "exec",
)  # fmt: skip

TRANSIENT = {("s075", suite) for suite in ("bookworm", "trixie", "sid")}
"""A unit in /run/systemd/transient before PID 1 starts: 247 keeps it, later ones begin with that folder emptied.

On a running machine the folder holds what `systemd-run` and `systemctl set-property` made since, and counts."""

PID_MAX, THREADS_MAX = 4194304, 192728
"""Of the machine that the oracle ran on: 15 % of the smaller is its default TasksMax."""


def test_agrees_with_systemd(
    corpora: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every field of every unit of the corpus, at each of the four releases."""
    monkeypatch.setattr(systemd, "_machine_tasks", lambda host: min(PID_MAX, THREADS_MAX))
    where = lay(corpora, tmp_path)
    hosts: dict[tuple[str, str], RootHost] = {}
    agreed: collections.Counter[str] = collections.Counter()
    asked: collections.Counter[str] = collections.Counter()
    differ = []
    for text in (corpora / "units" / "expected.jsonl").read_text().splitlines():
        row = json.loads(text)
        key = (row["id"], row["suite"])
        host = hosts.setdefault(key, RunningTree(str(where[key])))
        found = systemd.unit(host, row["unit"], when="now")
        for field in FIELDS:
            want = row[field]
            # The machine decides these, not the files: what PID 1 inherited from the kernel.
            if (
                field.startswith("nproc")
                and want == THREADS_MAX // 2
                and found
                and found.get("LimitNPROC") is None
            ):
                continue
            if row["load"] == "masked" and field.startswith(("nofile", "nproc", "core", "tasksmax")):
                continue
            got = None if found is None else _as_expected(found, field)
            asked[field] += 1
            agreed[field] += got == want
            if got != want:
                differ.append((*key, row["unit"], field, got, want))
    print("units: " + ", ".join(f"{field} {agreed[field]}/{asked[field]}" for field in FIELDS))
    for one in differ:
        print(*one)
    assert {(one[0], one[1]) for one in differ} <= TRANSIENT
    assert sum(agreed.values()) >= sum(asked.values()) - len(TRANSIENT) * len(FIELDS)
