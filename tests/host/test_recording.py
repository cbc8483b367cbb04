"""Recordings: what is replayed is what was answered, secrets are gone, and no recording can hurt."""

from __future__ import annotations

import copy
import io
import json
import os
import pathlib
import tarfile
from typing import Any, Union

import hypothesis
import hypothesis.strategies as st
import pytest

from hostcheck import cli, plugins
from hostcheck.host import DiskUsage, Host, NoTarget, Unavailable
from hostcheck.host._redact import RULES, Rule, redact_text
from hostcheck.host.live import LiveHost
from hostcheck.host.recorded import ARCHIVE_LIMIT, BadRecording, RecordedHost
from hostcheck.host.recorder import RecordingHost, save
from hostcheck.host.root import RootHost
from hostcheck.host.target import open_target
from hostcheck.policy import Policy, names
from hostcheck.record_command import record
from hostcheck.reporters.json import to_dict
from hostcheck.testing import FakeHost

HOSTS = pathlib.Path(__file__).resolve().parents[1] / "hosts"
TREES = sorted(path.name for path in HOSTS.iterdir())


def report_of(host: Host, policy: str, stage: str = "auto") -> dict[str, Any]:
    host._facts.clear()
    host.assumptions["stage"] = stage
    loaded = Policy.load(policy)
    report = to_dict(loaded.judge(host, loaded.configure(plugins.shipped())))
    del report["started"], report["seconds"]
    report["host"].pop("recording", None)
    for result in report["results"]:
        del result["seconds"]
    return report


def facts_of(host: Host) -> dict[str, Any]:
    import importlib

    host._facts.clear()
    host.assumptions["stage"] = "auto"
    found: dict[str, Any] = {}
    for name, module in cli.FACTS.items():
        try:
            found[name] = importlib.import_module(module).export(host)
        except Exception as error:
            found[name] = repr(error)
    return copy.deepcopy(found)


def assert_same(host: RecordingHost, replay: Host) -> None:
    for policy in names():
        for stage in ("auto", "before", "installed"):
            assert report_of(replay, policy, stage) == report_of(host, policy, stage), (policy, stage)
    assert facts_of(replay) == facts_of(host)


@pytest.mark.parametrize("form", ["recording", "recording.tar.gz"])
def test_a_replay_of_this_machine(tmp_path: pathlib.Path, form: str) -> None:
    host = record(LiveHost(), cli.FACTS.values())
    save(host, str(tmp_path / form), "0")
    replay = open_target(str(tmp_path / form))
    assert isinstance(replay, RecordedHost)
    assert (replay.kind, replay.name) == ("live", host.name)
    assert_same(host, replay)


def test_a_recording_changes_nothing(tmp_path: pathlib.Path) -> None:
    """The report made while recording is that of the machine itself, apart from what moves by itself."""
    moving = ("resources.", "storage.")
    live, seen = report_of(LiveHost(), "docker"), report_of(RecordingHost(LiveHost()), "docker")
    for one, other in zip(live["results"], seen["results"]):
        if not one["id"].startswith(moving):
            assert one == other


@pytest.mark.parametrize("tree", TREES)
def test_a_replay_of_a_tree(tmp_path: pathlib.Path, tree: str) -> None:
    host = record(RootHost(str(HOSTS / tree), name=tree), cli.FACTS.values())
    save(host, str(tmp_path / "r.tgz"), "0")
    replay = open_target(str(tmp_path / "r.tgz"))
    assert replay.kind == "root"
    assert_same(host, replay)
    for policy in names():
        assert report_of(replay, policy) == report_of(RootHost(str(HOSTS / tree), name=tree), policy)


@pytest.mark.parametrize("tree", TREES[:2])
def test_a_recording_of_a_replay_is_the_same(tmp_path: pathlib.Path, tree: str) -> None:
    first = record(RootHost(str(HOSTS / tree), name=tree), cli.FACTS.values())
    save(first, str(tmp_path / "first"), "0")
    second = record(open_target(str(tmp_path / "first")), cli.FACTS.values())
    save(second, str(tmp_path / "second"), "0")
    assert_same(second, open_target(str(tmp_path / "second")))
    assert_same(first, open_target(str(tmp_path / "second")))


def written(folder: pathlib.Path, files: dict[str, str | bytes], **documents: object) -> RecordedHost:
    """Write a recording by hand: what is in root/, and the JSON files."""
    for name, content in files.items():
        path = folder / "root" / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    (folder / "root").mkdir(parents=True, exist_ok=True)
    for name, document in documents.items():
        (folder / f"{name}.json").write_text(json.dumps(document))
    return RecordedHost(str(folder))


def answer(host: Host, question: str, *arguments: Any) -> Any:
    """Return what a host answers, or the kind of its refusal."""
    try:
        return getattr(host, question)(*arguments)
    except (OSError, Unavailable) as error:
        return type(error)


def test_written_by_hand(tmp_path: pathlib.Path) -> None:
    """Nothing but root/: what is there is there, and nothing is said of the rest."""
    host = written(
        tmp_path, {"/etc/os-release": "ID=x\n", "/usr/bin/runc": b"\x7fELF", "/proc/cmdline": "quiet\n"}
    )
    assert host.kind == "live"
    assert host.read("/etc/os-release") == "ID=x\n"
    assert host.read_bytes("/etc/os-release", 2, 1) == b"D="
    assert host.stat("/etc/os-release") == (0o100644, 0, 0, 5)
    assert host.stat("/usr/bin/runc").is_executable
    assert host.names("/etc") == ("os-release",)
    assert answer(host, "read", "/etc/os-release/x") is FileNotFoundError
    assert answer(host, "names", "/etc/os-release") is FileNotFoundError
    assert answer(host, "read", "/etc") is Unavailable
    for question, argument in (
        ("read", "/etc/docker/daemon.json"),
        ("stat", "/etc/fstab"),
        ("names", "/boot"),
        ("run", "uname"),
        ("disk_usage", "/var"),
        ("pids", "dockerd"),
    ):
        assert answer(host, question, argument) is Unavailable, question
    assert answer(host, "readlink", "/etc/os-release") is OSError


def test_a_recording_of_nothing(tmp_path: pathlib.Path) -> None:
    """Every check ends, and none claims anything."""
    host = written(tmp_path, {}, host={"kind": "live"})
    for policy in names():
        report = report_of(host, policy)
        wrong = [(r["id"], r["reason"]) for r in report["results"] if r["outcome"] in ("fail", "error")]
        assert wrong == []


def test_absent_denied_and_complete(tmp_path: pathlib.Path) -> None:
    host = written(
        tmp_path,
        {"/etc/docker/key.json": "{}", "/srv/x/y": ""},
        host={"absent": ["/etc/fstab"], "denied": ["/root/secret"], "complete": ["/srv"], "kind": "live"},
        stat={
            "/etc/hosts": "absent",
            "/etc/sudoers": "denied",
            "/proc/self/attr/current": "unavailable: {path}: Invalid argument",
            "/usr/bin/dockerd": {"mode": "0755"},
            "/etc/docker": {"names": ["certs.d"]},
            "/run/x.sock": {"type": "socket", "mode": "0660", "gid": 999},
        },
    )
    assert answer(host, "read", "/etc/fstab") is answer(host, "stat", "/etc/hosts") is FileNotFoundError
    assert answer(host, "names", "/etc/hosts") is answer(host, "read", "/etc/hosts/x") is FileNotFoundError
    assert answer(host, "read", "/etc/sudoers") is answer(host, "names", "/root/secret") is PermissionError
    with pytest.raises(Unavailable, match=r"^/proc/self/attr/current: Invalid argument$"):
        host.read("/proc/self/attr/current")
    assert host.stat("/usr/bin/dockerd").is_executable
    assert answer(host, "read", "/usr/bin/dockerd") is Unavailable
    assert host.names("/etc/docker") == ("certs.d", "key.json")
    assert answer(host, "read", "/etc/docker/daemon.json") is FileNotFoundError
    assert answer(host, "names", "/etc/docker/certs.d") is Unavailable
    assert answer(host, "stat", "/srv/x/z") is answer(host, "names", "/srv/z") is FileNotFoundError
    assert host.stat("/run/x.sock") == (0o140660, 0, 999, 0)
    assert answer(host, "read", "/etc/other") is Unavailable


@pytest.mark.parametrize(
    "said",
    [
        {"argv": ["iptables", "--version"], "exit": 3, "stdout": "v1", "stderr": ""},
        {"argv": ["iptables", "--version"], "exit_code": 3, "stdout": "v1"},
        {"argv": ["iptables", "--version"], "exit code": 3, "stdout": "v1"},
        {"argv": "iptables --version", "code": 3, "out": "v1", "err": None},
        {"cmd": ["iptables", "--version"], "rc": 3, "stdout": "v1"},
    ],
)
def test_spellings_of_commands(tmp_path: pathlib.Path, said: object) -> None:
    host = written(tmp_path, {"/proc/x": ""}, commands=[said, {"argv": ["ip"], "error": "absent"}])
    assert host.run("iptables", "--version")[1:] == (3, "v1", "")
    assert host.run("/usr/sbin/iptables", "--version") == (("/usr/sbin/iptables", "--version"), 3, "v1", "")
    with pytest.raises(FileNotFoundError, match="no program ip"):
        host.run("ip")
    assert answer(host, "run", "iptables") is Unavailable


def test_host_json_answers(tmp_path: pathlib.Path) -> None:
    host = written(
        tmp_path,
        {"/proc/mounts": "/dev/b /var ext4 rw 0 0\n", "/proc/7/comm": "containerd\n"},
        host={
            "release": "6.1.0-9-amd64",
            "time": "2026-01-02T03:04:05Z",
            "disk_usage": {
                "/": {"total": 10, "free": 5, "inodes": 2, "inodes_free": 1},
                "/opt": [1, 1, 1, 1],
            },
            "pids": {"dockerd": [12, 3], "podman": []},
        },
    )
    assert host.run("uname", "-r").out == "6.1.0-9-amd64\n"
    assert host.today() == "2026-01-02"
    assert host.disk_usage("/srv/x") == DiskUsage(10, 5, 2, 1)
    assert host.disk_usage("/opt/x").total == 1
    # What was said of / does not hold on another file system.
    assert answer(host, "disk_usage", "/var/lib/docker") is Unavailable
    assert (host.pids("dockerd"), host.pids("podman"), host.pids("containerd")) == ((3, 12), (), (7,))
    assert answer(host, "pids", "kubelet") is Unavailable


def test_recorded_processes_of_containers_are_not_the_hosts(tmp_path: pathlib.Path) -> None:
    numbers = {7: "7", 8: "8\t1", 9: "9", 10: "10", 11: "11"}
    files: dict[str, str | bytes] = {f"/proc/{pid}/comm": "dockerd\n" for pid in numbers}
    files.update({f"/proc/{pid}/status": f"Name:\tdockerd\nNSpid:\t{own}\n" for pid, own in numbers.items()})
    del files["/proc/10/status"]
    files["/proc/7/cmdline"] = "dockerd\0-H\0fd://\0"
    files["/proc/11/cmdline"] = "dockerd\0--validate\0"
    networks = {"self": 1, "7": 1, "8": 1, "9": 2}
    links = {f"/proc/{pid}/ns/net": f"net:[{number}]" for pid, number in networks.items()}
    assert written(tmp_path, files, links=links).pids("dockerd") == (7, 10)


def test_links(tmp_path: pathlib.Path) -> None:
    """Links of links.json and of root/ itself are followed inside, whatever they say."""
    (tmp_path / "outside").write_text("outside")
    folder = tmp_path / "r"
    (folder / "root/etc").mkdir(parents=True)
    (folder / "root/etc/leak").symlink_to(tmp_path / "outside")
    (folder / "root/etc/up").symlink_to("../../../outside")
    (folder / "root/etc/real").symlink_to("/usr/lib/os-release")
    host = written(
        folder,
        {"/usr/lib/os-release": "ID=x\n", "/lib/new": "laid over", "/usr/lib/new": "recorded"},
        links={"/lib": "usr/lib", "/etc/os-release": "../lib/os-release", "/loop": "/loop"},
    )
    assert host.read("/etc/os-release") == host.read("/etc/real") == "ID=x\n"
    assert host.readlink("/etc/os-release") == "../lib/os-release"
    assert host.resolve("/etc/os-release") == "/usr/lib/os-release"
    assert host.stat("/etc/os-release", False).is_link
    # Laid down under the link's name, over the file that the link leads to.
    assert host.read("/lib/new") == host.read("/usr/lib/new") == "laid over"
    assert host.names("/lib") == ("new", "os-release")
    for path in ("/etc/leak", "/etc/up", "/loop", "/etc/up/x"):
        assert answer(host, "read", path) in (Unavailable, FileNotFoundError), path
    assert host.names("/") == ("etc", "lib", "loop", "usr")


def test_laid_over_a_recording(tmp_path: pathlib.Path) -> None:
    """A file that is put into root/, changed or taken out by hand is there, is changed or is gone."""
    inside = FakeHost(
        {
            "/etc/os-release": "-> ../usr/lib/os-release",
            "/usr/lib/os-release": "ID=x\n",
            "/etc/docker/daemon.json": "{}",
            "/etc/systemd/system/x.service": "",
            "/usr/bin/runc": b"\x7fELF" + b"x" * 96,
        }
    )
    host = RecordingHost(inside)
    for path in ("/etc/os-release", "/etc/docker/daemon.json"):
        host.read(path)
    for path in ("/etc/docker", "/etc/systemd/system"):
        host.names(path)
    answer(host, "names", "/etc/systemd/system/docker.service.d")
    host.read_bytes("/usr/bin/runc", 4, 0)
    save(host, str(tmp_path / "r"), "0")
    plain = open_target(str(tmp_path / "r"))
    assert plain.read_bytes("/usr/bin/runc", 4) == b"\x7fELF"
    assert answer(plain, "read_bytes", "/usr/bin/runc", 4, 50) is Unavailable
    assert answer(plain, "names", "/etc") is Unavailable
    assert answer(plain, "stat", "/etc/other") is Unavailable
    assert answer(plain, "stat", "/etc/systemd/system/y.service") is FileNotFoundError
    root = tmp_path / "r/root"
    (root / "etc/docker/daemon.json").unlink()
    (root / "etc/os-release").write_text("ID=y\n")
    (root / "usr/bin/runc").write_text("#!/bin/sh\n")
    for drop_in in ("docker.service.d", "new.service.d"):
        (root / "etc/systemd/system" / drop_in).mkdir()
        (root / "etc/systemd/system" / drop_in / "a.conf").write_text("[Service]\n")
    changed = open_target(str(tmp_path / "r"))
    assert answer(changed, "stat", "/etc/docker/daemon.json") is FileNotFoundError
    assert answer(changed, "read", "/etc/docker/daemon.json") is FileNotFoundError
    assert changed.names("/etc/docker") == ()
    assert changed.read("/etc/os-release") == "ID=y\n"
    assert changed.read("/usr/bin/runc") == "#!/bin/sh\n"
    for drop_in in ("docker.service.d", "new.service.d"):
        assert changed.names(f"/etc/systemd/system/{drop_in}") == ("a.conf",)
        assert answer(changed, "read", f"/etc/systemd/system/{drop_in}/b.conf") is FileNotFoundError


def test_what_was_typed(tmp_path: pathlib.Path) -> None:
    """The programs that a person looks with tell of files, and come before those that were recorded."""
    said = {
        "cat /proc/cpuinfo": "flags : sse",
        "/bin/cat /etc/late": "late",
        "df -k /var/lib/docker": "Filesystem 1K-blocks Used Available Use% Mounted on\n/dev/a 300 200 100 67% /\n",
        "df -i /var/lib/docker": "Filesystem Inodes IUsed IFree IUse% Mounted on\n/dev/a 30 20 10 67% /\n",
        "df -h /mnt": "Filesystem Size Used Avail Use% Mounted on\n/dev/a 2.0G 2.0G 0 100% /mnt\n",
        "stat -c %F /run/docker.sock": "directory",
        "grep -c docker-default /sys/profiles": "0",
        "sysctl net.ipv4.ip_forward": "net.ipv4.ip_forward = 1",
        "uname -r": "6.1.0-1-amd64",
        "lsmod": "Module Size Used by\nbridge 4096 1 br_netfilter\n",
        "ls -l /dev/net/tun": "crw------- 1 root root 10, 200 Jun 20 10:11 /dev/net/tun",
        "ip -6 route": "default via fe80::1 dev eth0 proto ra",
        "type -a dockerd": "dockerd is /usr/local/bin/dockerd\n",
        "ip -4 route": "default via 10.0.0.1 dev eth0\n",
        "/usr/sbin/iptables --version": "iptables v1.8.9 (nf_tables)",
    }
    host = written(
        tmp_path,
        {
            "/proc/cpuinfo": "flags : old\n",
            "/run/docker.sock": "",
            "/sys/profiles": "docker-default (enforce)\nother (enforce)\n",
            "/proc/net/route": "Iface\n",
            "/proc/self/mountinfo": "20 1 8:1 / / rw - ext4 /dev/a rw\n21 20 0:9 / /sys/fs/cgroup rw - cgroup2 c rw\n",
            "/proc/mounts": "cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n",
        },
        commands=[{"argv": line.split(), "stdout": text} for line, text in said.items()],
        host={"disk_usage": {"/": [7, 7, 7, 7]}},
    )
    assert host.read("/proc/cpuinfo") == "flags : sse\n"
    assert host.read("/etc/late") == "late\n"
    assert host.disk_usage("/var/lib/docker/x") == (300 << 10, 100 << 10, 30, 10)
    assert host.disk_usage("/mnt") == (2 << 30, 0, 7, 7)
    assert host.disk_usage("/srv") == (7, 7, 7, 7)
    assert host.stat("/run/docker.sock").is_dir
    assert host.stat("/dev/net/tun").mode & 0o777 == 0o600
    assert host.read("/sys/profiles") == "other (enforce)\n"
    assert host.read("/proc/sys/net/ipv4/ip_forward") == "1\n"
    assert host.read("/proc/sys/kernel/osrelease") == "6.1.0-1-amd64\n"
    assert host.read("/proc/modules").startswith("bridge 4096 1 br_netfilter, Live")
    assert host.stat("/usr/local/bin/dockerd").is_executable
    assert answer(host, "read", "/proc/net/route") is FileNotFoundError
    assert host.run("iptables", "--version").out.startswith("iptables v1.8.9")
    points = [line.split()[4] for line in host.read("/proc/self/mountinfo").splitlines()]
    assert points == ["/", "/sys/fs/cgroup/memory"]


def archive(path: pathlib.Path, members: list[tuple[str, bytes | None, bytes, str]]) -> pathlib.Path:
    """Write a tar.gz of (name, content, type, link)."""
    with tarfile.open(path, "w:gz") as tar:
        for name, content, kind, link in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.size = kind, link, len(content or b"")
            tar.addfile(member, io.BytesIO(content or b""))
    return path


def test_hostile_archives(tmp_path: pathlib.Path) -> None:
    path = archive(
        tmp_path / "r.tar.gz",
        [
            ("./r/host.json", b'{"kind": "live"}', tarfile.REGTYPE, ""),
            ("./r/root/../../../etc/out", b"x", tarfile.REGTYPE, ""),
            ("/r/root/etc/hosts", b"ok", tarfile.REGTYPE, ""),
            ("r/root/etc/link", None, tarfile.SYMTYPE, "/etc/passwd"),
            ("r/root/etc/hard", None, tarfile.LNKTYPE, "r/root/etc/hosts"),
            ("r/root/etc/hardout", None, tarfile.LNKTYPE, "/etc/passwd"),
            ("r/root/etc/fifo", None, tarfile.FIFOTYPE, ""),
            ("r/root/etc/null", None, tarfile.CHRTYPE, ""),
            ("r/root/etc/disk", None, tarfile.BLKTYPE, ""),
        ],
    )
    host = open_target(str(path))
    assert host.names("/etc") == ("disk", "fifo", "hard", "hardout", "hosts", "link", "null")
    assert host.read("/etc/hosts") == host.read("/etc/hard") == "ok"
    assert host.read("/etc/hardout") == ""
    for name in ("link", "fifo", "null", "disk"):
        assert answer(host, "read", f"/etc/{name}") is Unavailable
    assert not list(tmp_path.glob("**/out"))


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("links.json", "[]", "links.json: not an object"),
        ("links.json", '{"/a": 3}', "not the text of a link"),
        ("stat.json", '{"/a": "gone"}', "is not absent"),
        ("stat.json", '{"/a": {"mode": "rwx"}}', "stat.json: /a"),
        ("stat.json", '{"/a": {"read": [[1]]}}', "stat.json: /a"),
        ("commands.json", "{}", "not a list"),
        ("commands.json", "[{}]", "no list `argv`"),
        ("host.json", "[" * 100_000, "host.json"),
        ("host.json", '{"complete": 1}', "not a list of paths"),
        ("host.json", "\x00\xff", "host.json"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: pathlib.Path, name: str, content: str, words: str) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / name).write_text(content, encoding="latin-1")
    with pytest.raises(NoTarget, match=words):
        open_target(str(tmp_path))


def test_no_target(tmp_path: pathlib.Path) -> None:
    (tmp_path / "text").write_text("no archive")
    (tmp_path / "half.tar.gz").write_bytes(b"\x1f\x8b\x08\x00")
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "none", tmp_path / "text", tmp_path / "half.tar.gz", tmp_path / "fifo"):
        with pytest.raises(NoTarget):
            open_target(str(path))
    # A root tree has a folder /root too.
    plain = archive(
        tmp_path / "tree.tar.gz",
        [("etc/hosts", b"", tarfile.REGTYPE, ""), ("root/x", b"", tarfile.REGTYPE, "")],
    )
    assert open_target(str(plain)).kind == "image"
    (tmp_path / "tree/root").mkdir(parents=True)
    (tmp_path / "tree/etc").mkdir()
    assert isinstance(open_target(str(tmp_path / "tree")), RootHost)


def test_a_bomb_is_refused(tmp_path: pathlib.Path) -> None:
    import gzip

    path = tmp_path / "bomb.tar.gz"
    member = tarfile.TarInfo("root/etc/bomb")
    member.size = ARCHIVE_LIMIT + 1
    with gzip.open(path, "wb", 1) as file:
        file.write(member.tobuf())
        for _ in range(ARCHIVE_LIMIT // (1 << 20) + 1):
            file.write(b"\0" * (1 << 20))
    with pytest.raises(BadRecording, match="unpacks to more than"):
        RecordedHost(str(path))


def test_hostile_folders(tmp_path: pathlib.Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    (tmp_path / "r").mkdir()
    (tmp_path / "r/host.json").write_text("{}")
    (tmp_path / "r/root").symlink_to(outside)
    assert answer(RecordedHost(str(tmp_path / "r")), "read", "/secret") is Unavailable
    os.unlink(tmp_path / "r/root")
    (tmp_path / "r/root/etc").mkdir(parents=True)
    os.mkfifo(tmp_path / "r/root/etc/fifo")
    assert answer(open_target(str(tmp_path / "r")), "read", "/etc/fifo") is Unavailable
    os.unlink(tmp_path / "r/host.json")
    (tmp_path / "r/host.json").symlink_to(outside / "secret")
    with pytest.raises(NoTarget):
        open_target(str(tmp_path / "r"))


SECRETS: dict[str, Union[str, bytes]] = {
    "/etc/systemd/system/docker.service.d/proxy.conf": (
        '[Service]\nEnvironment="HTTPS_PROXY=http://alicia:Pl4nted%40One@proxy:3128/"\n'
        'Environment="DB_PASSWORD=Pl4nted two, three"\n'
        "Environment=API_TOKEN=Pl4ntedFour GITHUB=ghp_Pl4ntedPl4ntedPl4ntedPl4nted\n"
    ),
    "/etc/environment": "http_proxy=http://alicia:Pl4nted@five@proxy:3128\nAWS_SECRET_ACCESS_KEY=/Pl4nted+six\n",
    "/root/.docker/config.json": '{"auths": {"r": {"auth": "UGw0bnRlZA==Pl4nted", "identitytoken": "Pl4nted7"}}}',
    "/etc/docker/key.json": '{"crv": "P-256", "d": "Pl4ntedPl4ntedPl4ntedPl4nted_-8", "kty": "EC", "x": "public"}',
    "/etc/docker/daemon.json": '{"log-opts": {"splunk-token": "Pl4nted-9"}, "http-proxy": "http://:Pl4nted10@p:1"}',
    "/etc/containerd/config.toml": '[plugins.x.configs.r.auth]\npassword = "Pl4nted\\"11"\nauth = "Pl4nted12"\n',
    "/etc/containerd/certs.d/r/hosts.toml": '[host.x.header]\nauthorization = "Basic Pl4nted13"\n',
    "/etc/kubernetes/kubelet.conf": "users:\n- user:\n    token: Pl4nted14\n    client-key-data: UGw0bnRlZA==Pl4nted\n",
    "/etc/kubernetes/tls.pem": "-----BEGIN RSA PRIVATE KEY-----\nPl4nted\nPl4nted15\n-----END RSA PRIVATE KEY-----\n",
    "/etc/shadow": "root:Pl4nted16:19000:0\n",
    "/root/.ssh/id_ed25519": "Pl4nted17\n",
    "/proc/1/environ": b"PATH=/bin\0K3S_TOKEN=Pl4nted18\0X=http://b:Pl4nted19@h\0",
    "/proc/cmdline": "quiet k3s.token=Pl4nted20 root=/dev/sda1\n",
    "/etc/default/docker": 'DOCKER_OPTS="--kv-password Pl4nted21 --token=Pl4nted22"\n',
    "/etc/rancher/k3s/config.yaml": "token: Pl4nted 23 with spaces\nagent-token: 'Pl4nted24'\n",
    "/etc/cloud/x.cfg": "chpasswd: root:$6$rounds=5000$Pl4nted25Pl4nted25Pl4nted25\n",
    "/etc/kubernetes/header.yaml": "Authorization:\n- Bearer Pl4nted26Pl4nted\n",
}


@pytest.mark.parametrize("form", ["r", "r.tar.gz"])
def test_planted_secrets_are_gone(tmp_path: pathlib.Path, form: str) -> None:
    """Every letter that was planted is looked for in everything that is written."""
    said = "HTTPS_PROXY=http://alicia:Pl4nted@proxy\nEnvironment=REGISTRY_PASSWORD=Pl4nted\n"
    host = RecordingHost(FakeHost(dict(SECRETS), commands={("systemctl", "show"): said}))
    for path in SECRETS:
        host.read(path)
    host.run("systemctl", "show")
    save(host, str(tmp_path / form), "0")
    replay = open_target(str(tmp_path / form))
    for path, content in SECRETS.items():
        raw = content.encode() if isinstance(content, str) else content
        assert len(replay.read_bytes(path)) == len(raw), path
        assert replay.stat(path).size == len(raw)
    everything = b"".join(replay.read_bytes(path) for path in SECRETS)
    everything += replay.run("systemctl", "show").out.encode()
    everything += b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    for word in (b"Pl4nted", b"alicia", b"UGw0bnRl", b"with spaces"):
        assert word not in everything, word


def test_every_kind_of_secret_is_planted() -> None:
    import re

    everything = "\n".join(c if isinstance(c, str) else c.decode() for c in SECRETS.values())
    everything += "\nurl = https://Pl4ntedPl4ntedPl4nted@host/x\n"
    assert [rule.kind for rule in RULES if not re.search(rule.pattern, everything)] == []


@pytest.mark.parametrize("rule", RULES, ids=[rule.kind for rule in RULES])
@hypothesis.given(data=st.data())
def test_what_a_rule_needs_is_in_all_that_it_matches(rule: Rule, data: st.DataObject) -> None:
    """Otherwise a secret would stay, because its pattern was not even tried."""
    import re

    found = data.draw(st.from_regex(re.compile(rule.pattern, re.ASCII)))
    assert any(word in found.casefold() for word in rule.needs)


@pytest.mark.parametrize(
    "text",
    [
        "authentication:\n  anonymous:\n    enabled: false\nauthorization:\n  mode: Webhook\n",
        "tokenFile: /etc/x\nrotateCertificates: true\nserverTLSBootstrap: true\n",
        "NO_PROXY=localhost,127.0.0.1,http://host:8080/a@b\nHTTP_PROXY=http://proxy:3128\n",
        '{"registry-mirrors": ["https://mirror:5000"], "max-concurrent-uploads": 5}',
        "ExecStart=/usr/bin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock\n",
        "kernel.keys.root_maxkeys = 1000000\nCONFIG_SECRETMEM=y\n# CONFIG_TOKEN is not set\n",
        "Environment=API_TOKEN=$TOKEN\ntoken-ttl: 24h\n",
        "auths:\n",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact_text(text) == text


def redacted(value: Any) -> Any:
    """Return a report with every text in it redacted."""
    if isinstance(value, dict):
        return {key: redacted(item) for key, item in value.items()}
    if isinstance(value, list):
        return [redacted(item) for item in value]
    return redact_text(value) if isinstance(value, str) else value


def test_redaction_changes_no_report(tmp_path: pathlib.Path) -> None:
    """Secrets in the files that checks judge: the faults in them remain, at their columns."""
    import shutil

    tree = tmp_path / "tree"
    shutil.copytree(HOSTS / "debian-12", tree, symlinks=True)
    for path, content in SECRETS.items():
        if not path.startswith("/proc"):
            (tree / path[1:]).parent.mkdir(parents=True, exist_ok=True)
            (tree / path[1:]).write_bytes(content.encode() if isinstance(content, str) else content)
    drop_in = tree / "etc/systemd/system/docker.service.d/fault.conf"
    drop_in.write_text('[Service]\nEnvironment="HTTP_PROXY=http://me:p%wd#1@proxy:3128"\n')
    host = record(RootHost(str(tree), name="tree"), cli.FACTS.values())
    save(host, str(tmp_path / "r"), "0")
    replay = open_target(str(tmp_path / "r"))
    for policy in names():
        mine, theirs = report_of(replay, policy), report_of(RootHost(str(tree), name="tree"), policy)
        # What a finding cites from a file is redacted in the replay, and nothing else differs.
        assert redacted(mine) == redacted(theirs)
    assert b"Pl4nted" not in b"".join(p.read_bytes() for p in (tmp_path / "r").rglob("*") if p.is_file())


def test_files_are_the_owners_alone(tmp_path: pathlib.Path) -> None:
    host = RecordingHost(FakeHost({"/etc/x": "y"}, modes={"/etc/x": 0o777}))
    host.read("/etc/x")
    umask = os.umask(0)
    try:
        save(host, str(tmp_path / "r"), "0")
        save(host, str(tmp_path / "r.tar.gz"), "0")
    finally:
        os.umask(umask)
    made = [tmp_path / "r", tmp_path / "r.tar.gz", *(tmp_path / "r").rglob("*")]
    assert {path.stat().st_mode & 0o077 for path in made} == {0}
    for name in ("r", "r.tar.gz"):
        with pytest.raises(FileExistsError):
            save(host, str(tmp_path / name), "0")


def test_the_command(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, tree = str(tmp_path / "d.tar.gz"), str(HOSTS / "debian-12")
    assert cli.main(["record", file, "--root", tree]) == 0
    assert cli.main(["record", file, "--root", tree]) == 2
    assert "already there" in capsys.readouterr().err
    assert cli.main([tree, "-f", "json", "--no-plugins"]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert cli.main([file, "-f", "json", "--no-plugins"]) == 0
    replay = json.loads(capsys.readouterr().out)
    assert replay["host"].pop("recording") is True
    for report in (plain, replay):
        del report["started"], report["seconds"]
        for result in report["results"]:
            del result["seconds"]
    assert replay == plain
    assert cli.main(["facts", "os", file]) == 0
    assert "debian" in capsys.readouterr().out
    assert cli.main(["--root", file, "-q"]) == 0
    assert cli.main([file, "--root", tree]) == 2
    assert cli.main(["recrod"]) == 2
    assert "no command is called 'recrod'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        ":",
        "://",
        "://a:b",
        "token",
        "token_",
        "--token",
        "-",
        ".",
        "/a",
        '"',
        '"\\',
        "$1$",
        "eyJaaaaaaaaaaaa.",
        "bearer ",
    ],
)
def test_a_hostile_text_is_redacted_in_steps_that_end(piece: str) -> None:
    """Patterns that go back over what they have seen would need hours for these."""
    text = piece * (1_000_000 // len(piece))
    assert len(redact_text(text)) == len(text)
