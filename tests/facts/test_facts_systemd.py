"""Units: as systemd 247, 252, 257 and 262 show them, and the corners of their language."""

from __future__ import annotations

import collections
import json
import os
import pathlib
import shutil
import subprocess
import tarfile
from typing import Any

import pytest
import roots

from hostcheck.facts import systemd
from hostcheck.facts.unitvalues import Unit
from hostcheck.host.root import RootHost
from hostcheck.testing import FakeHost


class RunningTree(RootHost):
    """A root tree whose /run is taken as it is, as on the machine that the oracle was."""

    def _place(self, path: str, follow: bool = True) -> str:
        if path.startswith("/run"):
            return path
        return super()._place(path, follow)


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


def _as_expected(found: Unit, field: str) -> Any:
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


# The real thing: this machine's own systemd as PID 1 of fresh namespaces, over an overlay of its root.

BOOT = (
    r"""
set -e
mount --make-rprivate /
mount -t tmpfs none "$1/root"
mkdir -p "$1/root/up" "$1/root/work" "$1/root/m"
mount -t overlay none -o "lowerdir=/,upperdir=$1/root/up,workdir=$1/root/work" "$1/root/m"
cd "$1/root/m"
mount -t tmpfs none tmp
rm -rf etc/systemd/system etc/systemd/system.conf etc/systemd/system.conf.d
cp -a "$1/tree/etc" .
out=$1/out
"""
    + roots.SYSTEMD
)

UNITS: dict[str, str] = {
    "plain": "ExecStart=/bin/true\n",
    "guide": "Type=notify\nExecStart=/bin/true\nLimitNOFILE=infinity\nLimitNPROC=infinity\nTimeoutStartSec=0\n"
    "Delegate=yes\nKillMode=process\nRestart=on-failure\nStartLimitBurst=3\nStartLimitInterval=60s\n",
    "start-limit": "ExecStart=/bin/true\nStartLimitIntervalSec=99s\nStartLimitBurst=x\n",
    "start-limit-unit": "[Unit]\nStartLimitIntervalSec=2min\nStartLimitBurst=0\n[Service]\nExecStart=/bin/true\n",
    "numbers": "ExecStart=/bin/true\nLimitNOFILE=010\nLimitNPROC=+9\nLimitCORE=1.5K\nLimitMEMLOCK=2G 1M\n"
    "LimitSTACK=1k\nLimitNICE=+5\nLimitNOFILE=0b11\nLimitAS=0x10\n",
    "times": "ExecStart=/bin/true\nTimeoutStartSec=1min 30s 5ms\nTimeoutStopSec=infinity\nRestartSec=2.5\n"
    "LimitCPU=1500ms\nLimitRTTIME=3s\n",
    "times-bad": "ExecStart=/bin/true\nTimeoutSec=7\nTimeoutStartSec=5 x\nRestartSec=-1\nTimeoutStopSec=\n",
    "tasks": "ExecStart=/bin/true\nTasksMax=33.33%\nTasksMax=33.333%\nTasksMax=1e3\n",
    "tasks-octal": "ExecStart=/bin/true\nTasksMax=0100\n",
    "delegate": "ExecStart=/bin/true\nDelegate=pids foo\nDelegate=cpu,memory\nDelegate=io\n",
    "delegate-empty": "ExecStart=/bin/true\nDelegate=cpu\nDelegate=\n",
    "enums": "ExecStart=/bin/true\nKillMode=Process\nRestart=Always\nType=foo\nKillMode=mixed\nKillMode=\n"
    "Restart=on-abort\n",
    "enums-empty": "ExecStart=/bin/true\nType=notify\nType=\nRestart=always\nRestart=\n",
    "oom": "ExecStart=/bin/true\nOOMScoreAdjust=-1001\nOOMScoreAdjust=+7\n",
    "oom-bad": "ExecStart=/bin/true\nOOMScoreAdjust=-5\nOOMScoreAdjust=x\n",
    "slice": "ExecStart=/bin/true\nSlice=foo.slice\nSlice=bar\n",
    "slice-empty": "ExecStart=/bin/true\nSlice=foo.slice\nSlice=\n",
    "two": "ExecStart=/bin/true\nExecStart=/bin/false\n",
    "two-oneshot": "Type=oneshot\nExecStart=/bin/true\nExecStart=-/bin/false x ; /bin/echo y \\;\n",
    "none": "ExecReload=/bin/true\n",
    "stop-only": "ExecStop=/bin/true\n",
    "stop-remain": "Type=oneshot\nExecStop=/bin/true\nRemainAfterExit=yes\n",
    "oneshot-always": "Type=oneshot\nExecStart=/bin/true\nRestart=always\n",
    "dbus": "Type=dbus\nExecStart=/bin/true\n",
    "dbus-implied": "BusName=a.b\nExecStart=/bin/true\n",
    "quotes": "ExecStart=/bin/echo 'a b' \"c 'd'\" e\\x20f \"g\\\"h\" i\\j k\"l m\"n\n",
    "unbalanced": "ExecStart=/bin/echo 'a b\n",
    "relative": "ExecStart=bin/true\n",
    "bare": "ExecStart=true now\n",
    "folder": "ExecStart=/bin/\n",
    "at": "ExecStart=@/bin/true zero one\nExecStartPre=-+/bin/true\n",
    "specifier": "ExecStart=/bin/echo %n %N %p %% %i|%j\nEnvironment=A=%n B=50%% \"C=%40\" D=ok\n",
    "specifier-bad": "ExecStart=/bin/echo 50%9\n",
    "environment": "ExecStart=/bin/true\nEnvironment=A=1 'B=2 3' C 4D=5\nEnvironment=A=2\nEnvironmentFile=-/etc/x\n"
    "EnvironmentFile=/etc/%N\nEnvironmentFile=relative\n",
    "environment-reset": "ExecStart=/bin/true\nEnvironment=A=1\nEnvironment=\nEnvironment=B=1\n"
    "EnvironmentFile=/a\nEnvironmentFile=\n",
    "continued": "ExecStart=/bin/echo \\\n# a comment\n; another\n  two \\\n\nLimitNOFILE=77\n",
    "continued-end": "ExecStart=/bin/echo a \\\\\nLimitNOFILE=78\nLimitNPROC=9\\",
    "header": "ExecStart=/bin/true\nLimitNOFILE=79\n[Service\nLimitNPROC=9\n",
    "crlf": "ExecStart=/bin/true\r\nLimitNOFILE=80\r\n",
    "spaces": "  ExecStart = /bin/true  \n\tLimitNOFILE\t=\t81 \n",
    "foreign": "ExecStart=/bin/true\n[X-Mine]\nLimitNOFILE=1\n[Foo]\nLimitNOFILE=2\n[Service]\nLimitNPROC=3\n",
    "docker-dash-unit": "ExecStart=/bin/true\n",
    "inst@": "ExecStart=/bin/echo %i %I %p %j\n",
    "path": "ExecStart=//bin/./true\nExecStartPre=/bin/../bin/true\n",
    "nul-word": "ExecStart=/bin/echo \"\" a ''\n",
    "semicolon": "ExecStart=/bin/echo a; b ;c\n",
    "colon": "ExecStart=:/bin/echo $A ${A}\n",
    "installed": "ExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n",
    "enabled": "ExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n",
    "aliased": "ExecStart=/bin/true\n[Install]\nAlias=nickname.service\n",
    "also": "ExecStart=/bin/true\n[Install]\nAlso=plain.service\n",
}  # fmt: skip
"""Name to the text of [Service] (or a whole file)."""

MORE = {
    "etc/systemd/system/docker-.service.d/50-a.conf": "[Service]\nLimitNOFILE=500\n",
    "etc/systemd/system/docker-dash-.service.d/40-b.conf": "[Service]\nLimitNOFILE=400\nLimitNPROC=400\n",
    "etc/systemd/system/docker-dash-unit.service.d/45-c.conf": "[Service]\nLimitNPROC=450\n",
    "etc/systemd/system/inst@.service.d/1.conf": "[Service]\nLimitNOFILE=11\n",
    "etc/systemd/system/inst@a-b.service.d/2.conf": "[Service]\nLimitNPROC=12\n",
    "etc/systemd/system/nickname.service.d/9.conf": "[Service]\nLimitNOFILE=99\n",
    "etc/systemd/system.conf": "[Manager]\nDefaultLimitMEMLOCK=1G\nDefaultTasksMax=10%\n",
    "etc/systemd/system.conf.d/5.conf": "[Manager]\nDefaultLimitNOFILE=3000:4000\nDefaultLimitCORE=0:infinity\n",
}
LINKS = {
    "etc/systemd/system/nickname.service": "/etc/systemd/system/aliased.service",
    "etc/systemd/system/multi-user.target.wants/enabled.service": "../enabled.service",
    "etc/systemd/system/masked.service": "/dev/null",
    "etc/systemd/system/dangling.service": "/nowhere/dangling.service",
}
ARGUMENTS = {
    "words": "Environment=A=1 'B=2 \"3 4\"' C=\n"
    "ExecStart={} $A ${{A}} $B x${{B}}y $C ${{C}} $NONE ${{NONE}} p$A $$A $${{A}}\n",
    "file": "Environment=A=old\nEnvironmentFile=/etc/env-file\n"
    "ExecStart={} $A $B $C $D $E $F $G ${{H}} ${{I}} ${{J}}\n",
    "flags": "EnvironmentFile=/etc/env-file\nExecStart={} -H fd:// --x=${{A}} \\\n  $OPTS\n",
}
ENV_FILE = (
    '# comment\nA=new\nB=\'x y\' z\nC="1\\"2"\nD=a\\\nb\nexport E=5\n F = 6 \nG=a\'b c\'d\nH="two\nlines"\n;I=7\n'
    "I=x#y\nJ=q\\ r\\\\s\nOPTS=--a --b='c d' --e\n"
)
WORDS = '/bin/sh -c \'for a do printf "[%%s]" "$$a"; done\' sh'


@pytest.mark.root
def test_this_machines_systemd(tmp_path: pathlib.Path, control_group: pathlib.Path) -> None:
    """Every property that is exported, and every word of a command line, as the systemd of this machine has them."""
    if not pathlib.Path("/lib/systemd/systemd").exists():
        pytest.skip("no systemd on this machine")
    version = subprocess.run(["systemctl", "--version"], capture_output=True, text=True).stdout.split()[1]
    tree = tmp_path / "tree"
    names = []
    files = dict(MORE)
    for name, body in UNITS.items():
        files[f"etc/systemd/system/{name}.service"] = (
            body if body.startswith("[Unit]") else "[Service]\n" + body
        )
        names.append(f"{name}.service" if not name.endswith("@") else f"{name}a-b.service")
    names += ["masked.service", "nickname.service", "dangling.service"]
    starts = []
    for name, body in ARGUMENTS.items():
        body = f"[Unit]\nDefaultDependencies=no\n[Service]\nType=oneshot\nStandardOutput=file:/run/out/{name}\n{body}"
        files[f"etc/systemd/system/words-{name}.service"] = body.format(WORDS)
        starts.append(f"systemctl start words-{name}.service")
    files["etc/env-file"] = ENV_FILE
    shows = [f"echo @{name}; systemctl show -- {name}" for name in names]
    script = "; ".join(
        [*starts, *shows, "cat /proc/sys/kernel/pid_max /proc/sys/kernel/threads-max >/run/out/max"]
    )
    files["etc/ask"] = f"{script}; systemctl exit --force 0\n"
    files["etc/systemd/system/ask.target"] = "[Unit]\nDefaultDependencies=no\nWants=ask.service\n"
    files["etc/systemd/system/ask.service"] = (
        "[Unit]\nDefaultDependencies=no\n[Service]\nType=oneshot\n"
        "StandardOutput=file:/run/out/shown\nExecStart=/bin/sh /etc/ask\n"
    )
    for path, text in files.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_bytes(text.encode())
    for path, target in LINKS.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).symlink_to(target)
    for folder in ("root", "out"):
        (tmp_path / folder).mkdir()
    namespaces = ("--pid", "--fork", "--mount", "--net", "--uts", "--ipc", "--cgroup")
    # The shell joins the group before unshare makes it the root of a namespace.
    join = (
        f'echo $$ >"{control_group}/cgroup.procs" && exec unshare {" ".join(namespaces)} sh -c "$0" sh "$@"'
    )
    done = subprocess.run(
        ["sh", "-c", join, BOOT, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    shown_file = tmp_path / "out" / "shown"
    if not shown_file.exists():
        pytest.skip(f"systemd does not start in a namespace here: {done.stderr.strip()[-200:]}")
    status = tree / "var/lib/dpkg/status"
    status.parent.mkdir(parents=True)
    status.write_text(
        f"Package: systemd\nStatus: install ok installed\nVersion: {version}\nArchitecture: all\n"
    )
    host = RootHost(str(tree))
    limit = min(int(n) for n in (tmp_path / "out" / "max").read_text().split())
    systemd.manager(host).tasks = limit
    agreed = asked = 0
    differ = []
    for name, real in _blocks(shown_file.read_text()):
        found = systemd.unit(host, name)
        mine = {} if found is None else {k: s.value for k, s in systemd.properties(host, found).items()}
        mine.setdefault("LoadState", "not-found")
        for prop, value in mine.items():
            if prop in SYSTEMD_ADDS or (prop not in real and not value):
                continue
            asked += 1
            want = real.get(prop, "")
            agreed += value == want
            if value != want:
                differ.append((name, prop, value, want))
    for name in ARGUMENTS:
        words = systemd.exec_start(host, f"words-{name}.service")[0].argv[4:]
        asked += 1
        want = (tmp_path / "out" / name).read_text()
        agreed += "".join(f"[{word}]" for word in words) == want
        if "".join(f"[{word}]" for word in words) != want:
            differ.append((name, "argv", "".join(f"[{word}]" for word in words), want))
    print(f"systemd {version} of this machine: {agreed}/{asked}")
    for one in differ:
        print(*one, sep=" | ")
    assert not differ


RUN = "[Service]\nExecStart=/bin/true\n"
WANTED = f"{RUN}[Install]\nWantedBy=multi-user.target\n"
WANTS = "etc/systemd/system/multi-user.target.wants"
STATES: list[tuple[str, str, dict[str, str]]] = [
    ("static.service", "static", {"usr/lib/systemd/system/static.service": RUN}),
    ("off.service", "disabled", {"usr/lib/systemd/system/off.service": WANTED}),
    (
        "on.service",
        "enabled",
        {
            "usr/lib/systemd/system/on.service": WANTED,
            f"{WANTS}/on.service": "-> /usr/lib/systemd/system/on.service",
        },
    ),
    # A vendor's link out of the folders says nothing, an administrator's does.
    (
        "vendor.service",
        "static",
        {
            "usr/lib/systemd/system/vendor.service": "-> ../../x/vendor.service",
            "usr/lib/x/vendor.service": RUN,
        },
    ),
    (
        "own.service",
        "linked",
        {"etc/systemd/system/own.service": "-> /srv/own.service", "srv/own.service": WANTED},
    ),
    (
        "template@.service",
        "enabled",
        {
            "usr/lib/systemd/system/template@.service": f"{WANTED}DefaultInstance=one\n",
            f"{WANTS}/template@one.service": "-> /usr/lib/systemd/system/template@.service",
        },
    ),
    (
        "other@.service",
        "indirect",
        {
            "usr/lib/systemd/system/other@.service": f"{WANTED}DefaultInstance=one\n",
            f"{WANTS}/other@two.service": "-> /usr/lib/systemd/system/other@.service",
        },
    ),
    ("template@one.service", "enabled", {}),
    ("template@two.service", "disabled", {}),
    ("nick@.service", "alias", {"usr/lib/systemd/system/nick@.service": "-> template@.service"}),
    ("nick.service", "alias", {"usr/lib/systemd/system/nick.service": "-> off.service"}),
    (
        "named.service",
        "enabled",
        {
            "usr/lib/systemd/system/named.service": f"{RUN}[Install]\nAlias=name.service\n",
            "etc/systemd/system/name.service": "-> /usr/lib/systemd/system/named.service",
        },
    ),
    (
        "called.service",
        "indirect",
        {
            "usr/lib/systemd/system/called.service": WANTED,
            "etc/systemd/system/call.service": "-> /usr/lib/systemd/system/called.service",
        },
    ),
    (
        "also.service",
        "indirect",
        {"usr/lib/systemd/system/also.service": f"{RUN}[Install]\nAlso=on.service\n"},
    ),
    ("gone.service", "masked", {"etc/systemd/system/gone.service": "-> /dev/null"}),
    ("a.automount", "static", {"usr/lib/systemd/system/a.automount": "[Automount]\nWhere=/a\n"}),
]
"""Unit, what `systemctl is-enabled` says, and files."""


def test_the_state_of_unit_files_is_what_systemctl_says(tmp_path: pathlib.Path) -> None:
    for _name, _state, files in STATES:
        for path, content in files.items():
            target = tmp_path / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if content.startswith("-> "):
                target.symlink_to(content[3:])
            else:
                target.write_text(content)
    found = {name: systemd.enabled(RootHost(str(tmp_path)), name) for name, _state, _files in STATES}
    said = {name: setting and setting.value for name, setting in found.items()}
    assert said == {name: state for name, state, _files in STATES}
    if shutil.which("systemctl"):
        for name, state, _files in STATES:
            real = subprocess.run(
                ["systemctl", f"--root={tmp_path}", "is-enabled", name], capture_output=True, text=True
            )
            assert (name, real.stdout.strip()) == (name, state)


SYSTEMD_ADDS = ("Requires", "BindsTo", "Wants", "PartOf", "After", "UnitFilePreset")
"""Dependencies have systemd's own among them; the preset is the distribution's."""


def _blocks(text: str) -> list[tuple[str, dict[str, str]]]:
    """Part the output of many `systemctl show`."""
    blocks = []
    for part in ("\n" + text).split("\n@")[1:]:
        name, _, rest = part.partition("\n")
        blocks.append((name, systemd.parse_show(rest)))
    return blocks


def test_hostile_files(tmp_path: pathlib.Path) -> None:
    """Fifos, folders, loops, binaries and unreadable text neither break nor hang the reader."""
    units = tmp_path / "etc/systemd/system"
    dropins = units / "docker.service.d"
    dropins.mkdir(parents=True)
    (units / "docker.service").write_bytes(
        b"\xff\xfe\x00[Service]\n[Service]\nExecStart=/bin/true\nLimitNOFILE=7\n\x00\xff=\n"
    )
    os.mkfifo(dropins / "1.conf")
    (dropins / "2.conf").mkdir()
    (dropins / "3.conf").symlink_to("3.conf")
    (dropins / "4.conf").write_bytes(bytes(range(256)) * 40)
    (dropins / "5.conf").write_text("[Service]\nLimitNOFILE=8\n" + "Environment=" + "x" * 100_000 + "\\")
    (units / "a.service").symlink_to("b.service")
    (units / "b.service").symlink_to("a.service")
    (units / "system.conf").mkdir()
    (tmp_path / "etc/systemd/system.conf").mkdir()
    host = RootHost(str(tmp_path))
    found = systemd.unit(host, "docker.service")
    assert found is not None
    assert found.value("LimitNOFILE") == "8"
    assert found.problems
    assert systemd.unit(host, "a.service") is None
    assert systemd.unit(host, "") is None
    assert "docker.service" in systemd.export(host)


def test_a_unit_that_cannot_be_read_is_not_guessed() -> None:
    """Unreadable is neither there nor missing."""
    host = FakeHost({"/etc/systemd/system/docker.service": PermissionError("no")})
    with pytest.raises(PermissionError):
        systemd.unit(host, "docker.service")


def test_what_a_reboot_empties_does_not_count_for_the_boot() -> None:
    """A mask or drop-in in /run holds until the reboot."""
    text = "[Service]\nExecStart=/bin/true\n"
    files = {
        "/etc/systemd/system/docker.service": text,
        "/run/systemd/system/docker.service.d/1.conf": "[Service]\nLimitNOFILE=5\n",
        "/run/systemd/system/crio.service": "-> /dev/null",
        "/usr/lib/systemd/system/crio.service": text,
    }
    host = FakeHost(files)
    values = [systemd.unit(host, "docker.service", when=when) for when in ("now", "boot")]
    assert [unit.value("LimitNOFILE") for unit in values if unit] == ["5", "524288"]
    loads = [systemd.unit(host, "crio.service", when=when) for when in ("now", "boot")]
    assert [unit.load for unit in loads if unit] == ["masked", "loaded"]


@pytest.mark.parametrize(
    ("files", "want"),
    [
        (
            {"/var/lib/dpkg/status": "Package: systemd\nStatus: install ok installed\nVersion: 1:219-3\n"},
            219,
        ),
        ({"/usr/lib/systemd/libsystemd-shared-252.so": "\x7fELF"}, 252),
        ({"/usr/lib/systemd/libsystemd-shared-255.4-1.fc40.so": "\x7fELF"}, 255),
        ({"/etc/os-release": ""}, None),
    ],
)
def test_version(files: dict[str, str], want: int | None) -> None:
    """systemd's version comes from the package, else from the name of its library."""
    assert systemd.version(FakeHost(dict(files), kind="root")) == want
