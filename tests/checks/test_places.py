"""Folders of /run, sockets, and /tmp: what stands where an engine makes its own."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from hostcheck.finding import Outcome
from hostcheck.host import DiskUsage
from hostcheck.testing import Content, FakeHost, ask

places: Any = importlib.import_module("hostcheck.checks.places")

ROOT = "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
READ_ONLY = ROOT.replace("rw", "ro", 1)
RUN = "21 20 0:21 / /run {} - tmpfs tmpfs rw\n"
TMP = "22 20 0:22 / /tmp {} - tmpfs tmpfs rw\n"
GONE = "none"
DAEMON = "/etc/docker/daemon.json"


def host(
    laid: dict[str, Content], kind: str = "live", docker: str = "28.5.2", mounted: str = ROOT
) -> FakeHost:
    """Return a host with docker and these files."""
    there: dict[str, Content] = {
        "/usr/bin/dockerd": "\x7fELF",
        "/var/run": "-> /run",
        "/run/": "",
        "/tmp/": "",
        "/proc/self/mountinfo": mounted,
    }
    kept = {path: content for path, content in {**there, **laid}.items() if content != GONE}
    return FakeHost(kept, kind=kind, assumptions={"docker": docker})


def subjects(check: Any, machine: FakeHost) -> list[str]:
    return [finding.subject for finding in ask(check, machine).failures]


EXEC_ROOT = {DAEMON: '{"exec-root": "/srv/run"}'}


@pytest.mark.parametrize(
    ("laid", "docker", "mounted", "expected"),
    [
        ({}, "28.5.2", ROOT + RUN.format("rw"), []),
        ({}, "28.5.2", ROOT + RUN.format("ro"), ["/var/run/docker", "/run/containerd"]),
        ({"/run/docker": "x"}, "28.5.2", ROOT, ["/var/run/docker"]),
        ({"/run/docker/netns": "x"}, "28.5.2", ROOT, ["/var/run/docker"]),
        ({"/run/docker/netns/": ""}, "28.5.2", ROOT, []),
        # Made at the start until 28.1.
        ({"/run/docker/swarm": "x"}, "26.1.5", ROOT, ["/var/run/docker"]),
        ({"/run/docker/swarm": "x"}, "28.5.2", ROOT, []),
        ({"/run/containerd/s": "x"}, "28.5.2", ROOT, ["/run/containerd"]),
        ({"/run/containerd/s/": ""}, "28.5.2", ROOT, []),
        ({"/run/containerd": "-> /mnt/none"}, "28.5.2", ROOT, ["/run/containerd"]),
        ({"/run/containerd": "-> /srv/run", "/srv/run/": ""}, "28.5.2", ROOT, []),
        # Where they are told to have them.
        ({**EXEC_ROOT, "/run/docker": "x"}, "28.5.2", ROOT, []),
        ({**EXEC_ROOT, "/srv/run/netns": "x"}, "28.5.2", ROOT, ["/srv/run"]),
        ({"/etc/containerd/config.toml": 'state = "/srv/c"\n', "/srv": "x"}, "28.5.2", ROOT, ["/srv/c"]),
    ],
)
def test_run(laid: dict[str, Content], docker: str, mounted: str, expected: list[str]) -> None:
    assert subjects(places.PlacesRun, host(laid, docker=docker, mounted=mounted)) == expected


TOLD = {DAEMON: '{"hosts": ["unix:///run/d.sock"]}'}
OF_SYSTEMD = {
    "/usr/lib/systemd/system/docker.service": "[Service]\nExecStart=/usr/bin/dockerd -H fd://\n",
    "/usr/lib/systemd/system/docker.socket": "[Socket]\nListenStream=/run/docker.sock\n",
    "/etc/systemd/system/docker.socket.d/x.conf": "[Socket]\nListenStream=\nListenStream=/run/d.sock\n",
}


@pytest.mark.parametrize(
    ("laid", "expected"),
    [
        ({}, []),
        ({"/run/docker.sock": "x"}, []),
        ({"/run/docker.sock/": ""}, ["/var/run/docker.sock"]),
        ({"/run/containerd/containerd.sock/": ""}, ["/run/containerd/containerd.sock"]),
        ({"/run/containerd/containerd.sock.ttrpc/": ""}, ["/run/containerd/containerd.sock.ttrpc"]),
        # What dockerd is told, and what docker.socket is.
        ({"/run/docker.sock/": "", **TOLD}, []),
        ({"/run/d.sock/": "", **TOLD}, ["/run/d.sock"]),
        ({"/run/docker.sock/": "", **OF_SYSTEMD}, []),
        ({"/run/d.sock/": "", **OF_SYSTEMD}, ["/run/d.sock"]),
        (
            {"/etc/containerd/config.toml": '[debug]\naddress = "/srv/x/d.sock"\n', "/srv/x": ""},
            ["/srv/x/d.sock"],
        ),
        ({"/etc/containerd/config.toml": '[debug]\naddress = "/srv/x/d.sock"\n', "/srv/x/": ""}, []),
        ({"/run/docker.sock/": "", DAEMON: '{"hosts": ["tcp://127.0.0.1:2376"]}'}, []),
        ({DAEMON: f'{{"hosts": ["unix:///{"x" * 106}"]}}'}, []),
        ({DAEMON: f'{{"hosts": ["unix:///{"x" * 107}"]}}'}, [f"/{'x' * 107}"]),
    ],
)
def test_sockets(laid: dict[str, Content], expected: list[str]) -> None:
    assert subjects(places.PlacesSockets, host(laid)) == expected


def test_a_socket_that_is_mounted() -> None:
    mounted = ROOT + "23 20 0:23 /docker.sock /run/docker.sock rw - tmpfs tmpfs rw\n"
    machine = host({"/run/docker.sock": "x"}, mounted=mounted)
    assert subjects(places.PlacesSockets, machine) == ["/var/run/docker.sock"]


DEV = "24 20 0:24 / /dev {} - devtmpfs udev rw\n"


@pytest.mark.parametrize(
    ("laid", "mounted", "whens"),
    [
        ({}, DEV.format("rw,nosuid"), []),
        ({}, DEV.format("rw,nosuid,nodev"), ["now"]),
        ({"/dev/null": GONE}, DEV.format("rw"), ["now"]),
        ({"/etc/fstab": "udev /dev devtmpfs rw,nodev 0 0\n"}, DEV.format("rw"), ["boot"]),
        # A folder of /, as in a container.
        ({}, "", []),
    ],
)
def test_devices(laid: dict[str, Content], mounted: str, whens: list[str]) -> None:
    machine = host({"/dev/null": "", "/dev/zero": "", **laid}, mounted=ROOT + mounted)
    assert [finding.when for finding in ask(places.PlacesDevices, machine).failures] == whens


def test_sockets_at_rest() -> None:
    """Only those that do not lie in /run."""
    assert ask(places.PlacesSockets, host({"/run/": GONE}, kind="root")).outcome is Outcome.SKIP
    laid: dict[str, Content] = {"/srv/d.sock/": "", DAEMON: '{"hosts": ["unix:///srv/d.sock"]}'}
    assert subjects(places.PlacesSockets, host(laid, kind="root")) == ["/srv/d.sock"]


@pytest.mark.parametrize("kind", ["live", "root"])
@pytest.mark.parametrize(
    ("laid", "expected"),
    [
        ({}, []),
        ({"/var/run": GONE}, []),
        ({**OF_SYSTEMD, "/var/run": GONE, "/var/run/": ""}, ["/var/run"]),
        # Where dockerd makes its socket itself, and where one is mounted on the other.
        ({"/var/run": GONE, "/var/run/": ""}, []),
        (
            {**OF_SYSTEMD, "/var/run": GONE, "/var/run/": "", "/etc/fstab": "/run /var/run none bind 0 0\n"},
            [],
        ),
    ],
)
def test_var_run(laid: dict[str, Content], expected: list[str], kind: str) -> None:
    mounted = ROOT + RUN.format("rw")
    if "/etc/fstab" in laid:
        mounted += RUN.format("rw").replace("21 20", "23 20").replace("/run", "/var/run")
    assert subjects(places.PlacesVarRun, host(laid, kind, mounted=mounted)) == expected


PROC = "30 20 0:30 / /proc rw - proc proc rw\n"
SYS = "31 30 0:30 /sys /proc/sys ro - proc proc rw\n"
ON, OFF = {"/proc/sys/net/ipv4/ip_forward": "1\n"}, {"/proc/sys/net/ipv4/ip_forward": "0\n"}
IPV6 = {"/proc/sys/net/ipv6/conf/default/disable_ipv6": "0\n"}


@pytest.mark.parametrize(
    ("laid", "docker", "mounted", "word"),
    [
        (OFF, "28.5.2", PROC, ""),
        (OFF, "28.5.2", PROC + SYS, "forwarding"),
        (OFF, "20.10.24", PROC + SYS, "forwarding"),
        (OFF, "20.10.24", PROC.replace("rw", "ro", 1), "forwarding"),
        ({**OFF, **IPV6, DAEMON: '{"ip-forward": false}'}, "20.10.24", PROC + SYS, ""),
        ({**ON, **IPV6}, "20.10.24", PROC + SYS, ""),
        ({**ON, **IPV6, DAEMON: '{"userland-proxy": false}'}, "20.10.24", PROC + SYS, "local routing"),
        ({**ON, **IPV6}, "26.1.0", PROC + SYS, ""),
        ({**ON, **IPV6}, "26.1.1", PROC + SYS, "IPv6"),
        (ON, "28.5.2", PROC + SYS, ""),
    ],
)
def test_sysctls(laid: dict[str, Content], docker: str, mounted: str, word: str) -> None:
    found = ask(places.PlacesSysctls, host(laid, docker=docker, mounted=ROOT + mounted)).failures
    assert [word in finding.message for finding in found] == [True] * bool(word)


TMPDIR = {
    "/usr/lib/systemd/system/containerd.service": "[Service]\nEnvironment=TMPDIR=/scratch\n"
    "ExecStart=/usr/bin/containerd\n"
}


@pytest.mark.parametrize(
    ("laid", "mounted", "fails"),
    [
        ({}, ROOT, False),
        ({}, ROOT + TMP.format("rw,noexec"), False),
        ({}, ROOT + TMP.format("ro"), True),
        ({}, READ_ONLY, True),
        ({}, READ_ONLY + TMP.format("rw"), False),
        ({"/tmp/": GONE, "/tmp": "x"}, ROOT, True),
        ({"/tmp/": GONE, "/scratch/": "", **TMPDIR}, ROOT, False),
    ],
)
def test_temporary(laid: dict[str, Content], mounted: str, fails: bool) -> None:
    assert bool(subjects(places.PlacesTemporary, host(laid, mounted=mounted))) == fails


FSTAB = "/dev/sda1 / ext4 ro 0 1\n"


@pytest.mark.parametrize(
    ("laid", "fails"),
    [
        ({}, False),
        # It comes with the boot.
        ({"/tmp/": GONE}, False),
        ({"/tmp/": GONE, "/tmp": "x"}, True),
        ({"/tmp/": GONE, "/tmp": "-> /mnt/tmp"}, True),
        ({"/tmp/": GONE, "/tmp": "-> /mnt/tmp", "/etc/fstab": "a / ext4\nb /mnt ext4\n"}, False),
        ({"/etc/fstab": FSTAB}, True),
        ({"/etc/fstab": f"{FSTAB}tmpfs /tmp tmpfs rw 0 0\n"}, False),
        (
            {
                "/etc/fstab": FSTAB,
                "/usr/lib/systemd/system/tmp.mount": "[Mount]\nWhat=tmpfs\nWhere=/tmp\nType=tmpfs\n",
                "/usr/lib/systemd/system/local-fs.target.wants/tmp.mount": "-> ../tmp.mount",
            },
            False,
        ),
    ],
)
def test_temporary_at_rest(laid: dict[str, Content], fails: bool) -> None:
    assert bool(subjects(places.PlacesTemporary, host(laid, kind="root"))) == fails


@pytest.mark.parametrize(
    ("laid", "free", "fails"),
    [
        ({}, 10**9, False),
        ({}, 0, True),
        ({"/tmp/": GONE, "/dev/zero": ""}, 10**9, True),
        ({"/tmp/": GONE}, 10**9, False),
        ({"/tmp/": GONE, "/tmp": "-> /mnt/tmp"}, 10**9, True),
    ],
)
def test_temporary_now(laid: dict[str, Content], free: int, fails: bool) -> None:
    machine = host(laid)
    machine.usage = {"/tmp": DiskUsage(10**9, free, 0, 0)}
    assert bool(subjects(places.PlacesTemporary, machine)) == fails


@pytest.mark.parametrize(
    "name",
    ["PlacesRun", "PlacesSockets", "PlacesVarRun", "PlacesSysctls", "PlacesTemporary", "PlacesDevices"],
)
def test_nothing_is_said_before_docker_is_installed(name: str) -> None:
    assert ask(getattr(places, name), FakeHost({"/run/docker.sock/": ""})).outcome is Outcome.SKIP


@pytest.mark.parametrize(
    ("target", "laid", "fails"),
    [
        ("xtables-legacy-multi", {}, False),
        ("xtables-legacy-multi", {"/run/xtables.lock": ""}, False),
        ("xtables-legacy-multi", {"/run/xtables.lock/": ""}, True),
        ("xtables-nft-multi", {"/run/xtables.lock/": ""}, False),
    ],
)
def test_iptables_lock(target: str, laid: dict[str, Content], fails: bool) -> None:
    program = {"/usr/sbin/iptables": f"-> {target}", f"/usr/sbin/{target}": "\x7fELF"}
    assert bool(subjects(places.PlacesIptablesLock, host({**program, **laid}))) is fails
