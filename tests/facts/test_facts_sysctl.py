"""What the kernel is told at boot: against systemd-sysctl, procps and the kernel themselves."""

from __future__ import annotations

import json
import pathlib
import random
import shlex
import shutil
import subprocess
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping

import pytest

from hostcheck.facts import sysctl
from hostcheck.host import Unavailable
from hostcheck.host.root import RootHost
from hostcheck.testing import Content, FakeHost

SYSTEMD_SYSCTL = next(
    (
        p
        for p in ("/usr/lib/systemd/systemd-sysctl", "/lib/systemd/systemd-sysctl")
        if pathlib.Path(p).exists()
    ),
    "",
)


@pytest.fixture(scope="module")
def trees(corpora: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return a folder with one root tree a case."""
    folder = tmp_path_factory.mktemp("sysctl")
    # Not tarfile: its filters refuse links that lead out of the tree, and those are among the cases.
    with tarfile.open(corpora / "sysctl" / "trees.tar.xz") as archive:
        for member in archive:
            path = folder / member.name
            path.parent.mkdir(parents=True, exist_ok=True)
            if member.issym():
                path.symlink_to(member.linkname)
            elif member.isdir():
                path.mkdir(exist_ok=True)
            elif (content := archive.extractfile(member)) is not None:
                path.write_bytes(content.read())
    return folder


def expected(corpora: pathlib.Path, tool: str) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Give each case's id, suite and what the tool wrote, by path below /proc/sys."""
    for line in (corpora / "sysctl" / "expected.jsonl").read_text().splitlines():
        row = json.loads(line)
        if row["tool"] == tool:
            yield row["id"], row["suite"], row["values"]


def written(settings: Mapping[str, sysctl.Setting], known: list[str]) -> dict[str, str]:
    """Return the text that is written to each of the paths."""
    return {path: settings[sysctl.dotted(path)].text for path in known if sysctl.dotted(path) in settings}


EXPLAINED = {
    # The oracle wrote to plain files. Here the kernel's refusal counts: an empty text leaves the earlier 1.
    ("procps", "s036", "bookworm"),
    ("procps", "s036", "trixie"),
    ("procps", "s036", "sid"),
    # procps 3 takes the end of a line it has cut before for the value of `-key`, and writes "=".
    ("procps", "s027", "bullseye"),
}


@pytest.mark.parametrize("tool", ["systemd", "procps"])
def test_the_corpus_agrees(tool: str, corpora: pathlib.Path, trees: pathlib.Path) -> None:
    # The oracles had a copy of /proc/sys; which files it held is seen from what any of them ever wrote.
    both = (*expected(corpora, "systemd"), *expected(corpora, "procps"))
    known = sorted({key for _, _, values in both for key in values})
    tally: Counter[str] = Counter()
    wrong = []
    for case, suite, values in expected(corpora, tool):
        host = RootHost(str(trees / case))
        if tool == "systemd":
            settings = sysctl.BootSettings(sysctl.systemd_assignments(host), known)
        else:
            lines = sysctl.procps_assignments(host, old=suite == "bullseye")
            settings = sysctl.BootSettings(lines, known, sequential=True)
        mine = written(settings, known)
        theirs = {key: value.rstrip("\n") for key, value in values.items()}
        for key in sorted({*mine, *theirs}):
            if mine.get(key) == theirs.get(key):
                tally["same"] += 1
            elif (tool, case, suite) in EXPLAINED:
                tally["explained"] += 1
            else:
                wrong.append((case, suite, key, mine.get(key), theirs.get(key)))
    print(f"sysctl corpus, {tool}: {dict(tally)}, wrong: {len(wrong)}")
    assert not wrong
    assert tally["same"] > 1000
    assert tally["explained"] == (4 if tool == "procps" else 0)


def test_the_public_fact_agrees_on_every_tree(corpora: pathlib.Path, trees: pathlib.Path) -> None:
    """The export has each key that systemd-sysctl set, with its text, and no other; wildcards aside."""
    compared = 0
    for case, suite, values in expected(corpora, "systemd"):
        host = RootHost(str(trees / case))
        exported = sysctl.export(host)
        lines = sysctl.systemd_assignments(host)
        if suite != "trixie" or any(sysctl.is_glob(line.path) for line in lines):
            continue
        for path, value in values.items():
            leaf = exported[sysctl.dotted(path)]
            assert isinstance(leaf, dict)
            assert leaf["value"] == value.rstrip("\n"), (case, path)
            assert leaf["path"]
            assert leaf["line"]
            compared += 1
    assert compared > 300


def test_kernel_values(corpora: pathlib.Path) -> None:
    rows = [line.split("\t") for line in (corpora / "sysctl" / "kernel-values.tsv").read_text().splitlines()]
    for text, before, verdict, after in rows:
        text = "".join(shlex.split(text.replace("\\\\", "'\\'"))) if text != "''" else ""
        got = sysctl.kernel_value("net.ipv4.ip_forward", text)
        assert got == (after if verdict == "ok" else None), text
        assert (got if got is not None else before) == after
    assert len(rows) >= 40


# Keys of a network namespace: in a new one they can be written without touching the machine.
IN_NETNS = (
    "net.ipv4.ip_forward",
    "net.ipv4.conf.all.rp_filter",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv6.conf.all.forwarding",
)
TEXTS = (
    "0",
    "1",
    "2",
    "010",
    "0x1f",
    "0x",
    "08",
    "-1",
    "+1",
    "1 # yes",
    "1;2",
    '"1"',
    "65536",
    "99999999999",
    "1 2",
    "1\t2",
)


@pytest.mark.root
@pytest.mark.parametrize("key", IN_NETNS)
def test_the_kernel_agrees(key: str) -> None:
    path = "/proc/sys/" + sysctl.normalize(key)
    script = "; ".join(
        f"if printf '%s\\n' {shlex.quote(text)} > {path}; then cat {path}; else echo refused; fi"
        for text in TEXTS
    )
    done = subprocess.run(["unshare", "-n", "sh", "-c", script], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no new network namespace here: {done.stderr}")
    for text, line in zip(TEXTS, done.stdout.splitlines()):
        theirs = None if line == "refused" else line.replace("\t", " ")
        assert sysctl.kernel_value(key, text) == theirs, (key, text)


KEYS = [
    "net/ipv4/ip_forward",
    "net/ipv4/conf/all/forwarding",
    "net/ipv4/conf/all/rp_filter",
    "net/ipv4/conf/default/rp_filter",
    "net/ipv4/conf/eth0.100/rp_filter",
    "net/ipv4/conf/lo/rp_filter",
    "net/bridge/bridge-nf-call-iptables",
    "kernel/core_pattern",
    "vm/swappiness",
    "fs/inotify/max_user_watches",
]


def random_key(pick: random.Random) -> str:
    path = pick.choice(KEYS)
    key = pick.choice(
        [sysctl.dotted(path)] * 6
        + [path] * 2
        + [
            "/" + path,
            "." + sysctl.dotted(path),
            sysctl.dotted(path).replace(".", "..", 1),
            path.replace("/", "/./", 1),
            path + "/",
            sysctl.dotted(path).replace(".", "/", 1),
        ]
    )
    if pick.random() < 0.25:
        separator = "/" if "/" in key else "."
        parts = key.split(separator)
        parts[pick.randrange(len(parts))] = pick.choice(
            ["*", "?*", "[a-z]*", "e*", "*e*", "[!l]*", "{a,b}", "all"]
        )
        key = separator.join(parts)
    return key


def random_text(pick: random.Random) -> str:
    lines = ""
    for _ in range(pick.randrange(1, 7)):
        key = random_key(pick)
        value = pick.choice(["0", "1", "2", "010", "1 # yes", '"1"', "", "a=b", "=", "\t3 ", "é", "1\\"])
        before = pick.choice(["", "", "", "-", "- ", " ", "\t", " -", "--"])
        lines += pick.choice(
            [before + key + pick.choice(["=", " = ", "\t="]) + value] * 8
            + [
                "-" + key,
                "# " + key + "=1",
                " ;" + key + "=1",
                key + " 1",
                "=1",
                "-=1",
                "[x]",
                "\ufeff" + key + "=1",
            ]
        ) + pick.choice(["\n"] * 8 + ["\r\n", "\r", "\0", "\n\r", "\n\n", "\0\n"])
    return lines


def random_tree(pick: random.Random) -> dict[str, str]:
    names = ["10-a.conf", "9.conf", "a.conf", "Z.conf", "99-sysctl.conf", ".h.conf", "x.conf.bak", "50.conf"]
    tree = {"/etc/sysctl.conf": random_text(pick)}
    for _ in range(pick.randrange(1, 5)):
        path = f"{pick.choice(sysctl.FOLDERS[:4])}/{pick.choice(names)}"
        if pick.random() < 0.15:
            tree[path] = pick.choice(["-> /dev/null", "", "-> ../sysctl.conf", "-> /nowhere"])
        else:
            tree[path] = random_text(pick)
    return tree


@pytest.mark.root
@pytest.mark.skipif(not SYSTEMD_SYSCTL, reason="no systemd-sysctl here")
def test_systemd_sysctl_agrees_on_trees_made_at_random(tmp_path: pathlib.Path) -> None:
    """The program of this machine runs in its own mount namespace, on a /proc/sys of plain files."""
    pick = random.Random(4)
    compared = 0
    for number in range(60):
        tree, base = random_tree(pick), tmp_path / str(number)
        for path in KEYS:
            fake = base / "sys" / path
            fake.parent.mkdir(parents=True, exist_ok=True)
            fake.write_text("~" * 99)
        for folder in sysctl.FOLDERS[:4]:
            (base / folder[1:]).mkdir(parents=True)
        for path, text in tree.items():
            if text.startswith("-> "):
                (base / path[1:]).symlink_to(text[3:])
            else:
                (base / path[1:]).write_bytes(text.encode())
        mounts = [(base / place[1:], place) for place in (*sysctl.FOLDERS[:4], sysctl.CONF)]
        if not all(pathlib.Path(place).exists() for _, place in mounts):
            pytest.skip("this machine has not all the folders")
        binds = [*((str(here), there) for here, there in mounts), (f"{base}/sys", "/proc/sys")]
        script = "; ".join(
            ["mount --make-rprivate /", *(f"mount --bind {a} {b}" for a, b in binds), SYSTEMD_SYSCTL]
        )
        done = subprocess.run(
            ["unshare", "-m", "sh", "-ec", script], capture_output=True, text=True, check=False
        )
        if "unshare" in done.stderr or "mount:" in done.stderr:
            pytest.skip(f"no mount namespace here: {done.stderr}")
        theirs = {}
        for path in KEYS:
            text = (base / "sys" / path).read_bytes().decode()
            if "\n" in text:
                theirs[path] = text.partition("\n")[0]
        settings = sysctl.BootSettings(sysctl.systemd_assignments(FakeHost(tree)), KEYS)
        assert written(settings, KEYS) == theirs, tree
        compared += len(theirs)
        shutil.rmtree(base)
    print(f"systemd-sysctl itself: {compared} values the same")
    assert compared > 60


def test_which_file_and_line_counts() -> None:
    host = FakeHost(
        {
            "/usr/lib/sysctl.d/50-default.conf": "# vendor\nnet.ipv4.ip_forward = 0\n",
            "/etc/sysctl.d/10-docker.conf": "net.ipv4.ip_forward = 1\n",
            "/etc/sysctl.d/99-hardening.conf": "\n\nnet/ipv4/ip_forward=0\n",
        },
        kind="root",
    )
    setting = sysctl.boot_settings(host)["net.ipv4.ip_forward"]
    assert (setting.value, setting.path, setting.line) == ("0", "/etc/sysctl.d/99-hardening.conf", 3)
    assert [(line.source.path, line.text) for line in setting.overridden] == [
        ("/etc/sysctl.d/10-docker.conf", "1"),
        ("/usr/lib/sysctl.d/50-default.conf", "0"),
    ]


@pytest.mark.parametrize(
    "text, value",
    [
        ("net.ipv4.ip_forward=1\nnet.ipv4.conf.all.forwarding=0\n", "0"),
        ("net.ipv4.conf.all.forwarding=0\nnet.ipv4.ip_forward=1\n", "1"),
        ("net.ipv4.ip_forward=1\nnet.ipv4.conf.*.forwarding=0\n", "0"),
        ("net.ipv4.ip_forward=1\nnet.ipv4.conf.*.forwarding=0\n-net.ipv4.conf.all.forwarding\n", "1"),
        ("net.ipv4.ip_forward=1\nnet.ipv4.conf.all.forwarding=no\n", "1"),
        ("net.ipv4.ip_forward=yes\n", None),
        # The same value again leaves the key in its place; another value moves it to the end.
        ("net.ipv4.ip_forward=1\nnet.ipv4.conf.all.forwarding=0\nnet.ipv4.ip_forward=1\n", "0"),
        ("net.ipv4.ip_forward=2\nnet.ipv4.conf.all.forwarding=0\nnet.ipv4.ip_forward=1\n", "1"),
    ],
)
def test_forwarding_has_two_names(text: str, value: str | None) -> None:
    setting = sysctl.boot_setting(
        FakeHost({"/etc/sysctl.d/a.conf": text}, kind="root"), "net.ipv4.ip_forward"
    )
    assert setting is not None
    assert setting.value == value


def test_more_lines_than_anybody_writes() -> None:
    files: dict[str, Content] = {f"/etc/sysctl.d/{n}.conf": "vm.swappiness=1\n" * 60_000 for n in range(2)}
    with pytest.raises(Unavailable, match="lines"):
        sysctl.boot_settings(FakeHost(files, kind="root"))


@pytest.mark.parametrize("key", ["fs.inotify.max_user_instances", "user.max_inotify_instances"])
def test_inotify_has_two_names(key: str) -> None:
    text = "fs.inotify.max_user_instances=512\nuser.max_inotify_instances=64\n"
    host = FakeHost({"/etc/sysctl.d/a.conf": text}, kind="root")
    setting = sysctl.boot_setting(host, key)
    assert setting is not None
    assert (setting.value, setting.line, sysctl.decider(host, key)) == ("64", 2, "user.max_inotify_instances")
    assert sysctl.export(host)[key] == {"value": "64", "path": "/etc/sysctl.d/a.conf", "line": 2}


ALPINE: dict[str, Content] = {
    "/sbin/init": "-> /bin/busybox",
    "/bin/busybox": b"\x7fELF",
    "/etc/runlevels/boot/sysctl": "-> /etc/init.d/sysctl",
    "/etc/init.d/sysctl": "#!/sbin/openrc-run\nfor f in /etc/sysctl.d/*.conf; do sysctl -p $f; done\n",
    "/usr/lib/sysctl.d/99-vendor.conf": "vm.swappiness=1\nkernel.panic=1\n",
    "/etc/sysctl.d/10-own.conf": "vm.swappiness=2\n",
    "/etc/sysctl.conf": "net.ipv4.ip_forward=1\n",
}


def test_openrc_reads_folder_after_folder() -> None:
    host = FakeHost(ALPINE, kind="root")
    assert sysctl.tool(host) == "openrc"
    assert {key: setting.value for key, setting in sysctl.boot_settings(host).items()} == {
        "vm.swappiness": "2",
        "kernel.panic": "1",
        "net.ipv4.ip_forward": "1",
    }


@pytest.mark.parametrize(
    "change, tool",
    [
        ({"/etc/runlevels/boot/sysctl": None, "/etc/runlevels/boot/": ""}, "nothing"),
        ({"/etc/init.d/sysctl": "sysctl --system\n"}, "procps"),
        ({"/sbin/init": "-> /lib/systemd/systemd", "/lib/systemd/systemd": b"\x7fELF"}, "systemd"),
        ({"/sbin/init": "-> /nowhere"}, "systemd"),
    ],
)
def test_what_sets_sysctls_at_boot(change: dict[str, Content | None], tool: str) -> None:
    both: dict[str, Content | None] = {**ALPINE, **change}
    laid: dict[str, Content] = {path: content for path, content in both.items() if content is not None}
    host = FakeHost(laid, kind="root")
    assert sysctl.tool(host) == tool
    assert ("net.ipv4.ip_forward" in sysctl.boot_settings(host)) == (tool == "procps")


def test_sysvinit_reads_sysctl_conf_last_and_keeps_what_the_kernel_refused() -> None:
    host = FakeHost(
        {
            "/sbin/init": b"\x7fELF",
            "/etc/sysctl.d/zz.conf": "vm.swappiness=1\nkernel.panic=1\nkernel.panic=oops\n",
            "/etc/sysctl.conf": "vm.swappiness=2\n",
        },
        kind="root",
    )
    settings = sysctl.boot_settings(host)
    assert (settings["vm.swappiness"].value, settings["vm.swappiness"].path) == ("2", "/etc/sysctl.conf")
    assert settings["kernel.panic"].value == "1"


def test_wildcards_match_what_is_there() -> None:
    text = {"/etc/sysctl.d/a.conf": "net.ipv4.conf.*.rp_filter=2\nnet.ipv4.conf.lo.rp_filter=0\n"}
    tree = sysctl.boot_settings(FakeHost(text, kind="root"))
    assert sorted(tree) == [f"net.ipv4.conf.{name}.rp_filter" for name in ("all", "default", "lo")]
    assert tree["net.ipv4.conf.eth0/100.rp_filter"].value == "2"
    assert len(tree) == 3
    live = FakeHost({**text, "/proc/sys/net/ipv4/conf/eth0.7/rp_filter": "0\n"})
    assert sorted(sysctl.boot_settings(live)) == [
        "net.ipv4.conf.eth0/7.rp_filter",
        "net.ipv4.conf.lo.rp_filter",
    ]


def test_now() -> None:
    host = FakeHost({"/proc/sys/net/ipv4/ip_forward": "1\n", "/proc/sys/net/ipv4/ping_group_range": "1\t0\n"})
    assert sysctl.now(host, "net.ipv4.ip_forward") == "1"
    assert sysctl.now(host, "net.ipv4.ping_group_range") == "1 0"
    assert sysctl.now(host, "net.bridge.bridge-nf-call-iptables") is None
    with pytest.raises(Unavailable):
        sysctl.now(FakeHost(kind="root"), "net.ipv4.ip_forward")


def test_export_shows_now_and_boot_where_they_differ() -> None:
    host = FakeHost(
        {
            "/proc/sys/net/ipv4/ip_forward": "1\n",
            "/proc/sys/vm/swappiness": "60\n",
            "/etc/sysctl.d/a.conf": "net.ipv4.ip_forward=010\n",
        }
    )
    assert sysctl.export(host) == {
        "net.ipv4.ip_forward": {
            "value": "1",
            "now": "1",
            "boot": "010",
            "kernel": "8",
            "path": "/etc/sysctl.d/a.conf",
            "line": 1,
        },
        "vm.swappiness": {"value": "60", "path": "/proc/sys/vm/swappiness", "line": None},
    }


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00", b"\x00" * 99, "=\n-\n-=\n.=1\n/=1\n..=2\n", "a=1" * 9, Unavailable("x")]
)
def test_any_file_is_survived(content: str | bytes | Exception) -> None:
    host = FakeHost(
        {"/etc/sysctl.d/a.conf": content, "/etc/sysctl.d/b.conf/": "", "/etc/sysctl.d/c.conf": "vm.a=1"}
    )
    assert sysctl.boot_settings(host)["vm.a"].text == "1"
    for parse in (sysctl.parse_sysctl_conf, sysctl.parse_procps_conf):
        parse("\x00\r\n-\n=\n-=\n*=\n*\n-*\n[\n")


def test_a_file_that_may_not_be_read_is_not_passed_over() -> None:
    with pytest.raises(PermissionError):
        sysctl.boot_settings(FakeHost({"/etc/sysctl.d/a.conf": PermissionError("no")}))
