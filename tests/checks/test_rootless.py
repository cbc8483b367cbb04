"""Rootless checks: silent where nobody runs containers without root, exact where somebody does."""

from __future__ import annotations

import importlib
import pathlib
from typing import Any

import pytest
from rootless_host import ELF, HOME, KERNEL, OWN, RESTRICTED, USED, failures, host

from hostcheck.finding import Outcome, Severity
from hostcheck.host import Completed, Unavailable
from hostcheck.plugins import checks_in
from hostcheck.testing import Content, FakeHost, ask

rootless: Any = importlib.import_module("hostcheck.checks.rootless")

ALL = [
    check
    for family in ("rootless", "rootless_network", "rootless_storage")
    for check in checks_in(importlib.import_module(f"hostcheck.checks.{family}"))
]


@pytest.mark.parametrize("kind", ["live", "root"])
@pytest.mark.parametrize("check", ALL)
def test_nobody_runs_containers_without_root(check: Any, kind: str) -> None:
    assert ask(check, host(kind=kind, used=False)).outcome is Outcome.SKIP
    # The policy's word is enough, and outweighs what is there.
    if "needed" in check.parameters():
        assert ask(check, host(kind=kind), needed="no").outcome is Outcome.SKIP


@pytest.mark.parametrize("kind", ["live", "root"])
@pytest.mark.parametrize("check", ALL)
@pytest.mark.parametrize("needed", ["auto", "yes"])
def test_all_is_well(check: Any, kind: str, needed: str) -> None:
    parameters = {"needed": needed} if "needed" in check.parameters() else {}
    found = ask(check, host(kind=kind), **parameters)
    assert set(failures(found).values()) <= {"info"}
    assert found.outcome is not Outcome.UNKNOWN, found.reason


@pytest.mark.parametrize(
    ("files", "modes", "packages", "expected"),
    [
        ({"/usr/bin/newuidmap": None}, {}, {}, {"newuidmap"}),
        ({"/usr/bin/newuidmap": None, "/usr/bin/newgidmap": None}, {}, {}, {"newuidmap", "newgidmap"}),
        ({"/usr/bin/newuidmap": None, "/usr/bin/newgidmap": None}, {}, {"uidmap": "1:4.13"}, set()),
        ({}, {"/usr/bin/newgidmap": 0o755}, {"uidmap": "1:4.13"}, {"newgidmap"}),
        # In a home of the user: only as good as its bits.
        ({"/usr/bin/newuidmap": None, "/home/u/bin/newuidmap": ELF}, {}, {}, {"newuidmap"}),
        (
            {"/usr/bin/newuidmap": None, "/home/u/bin/newuidmap": ELF},
            {"/home/u/bin/newuidmap": 0o4755},
            {},
            set(),
        ),
    ],
)
def test_uidmap(files: Any, modes: Any, packages: Any, expected: set[str]) -> None:
    for kind in ("live", "root"):
        commands: dict[tuple[str, ...], str | Completed | Exception] = {
            ("getcap", f"/usr/bin/{name}"): "" for name in ("newuidmap", "newgidmap")
        }
        here = host(files, kind=kind, modes=modes, packages=packages, commands=commands)
        found = failures(ask(rootless.RootlessUidmap, here))
        assert {subject for subject, _ in found} == expected
        assert set(found.values()) <= {"required"}


def test_uidmap_with_capabilities() -> None:
    path = "/usr/bin/newuidmap"
    bare = {path: 0o755}
    told = f"{path} cap_setuid=ep\n"
    assert not failures(ask(rootless.RootlessUidmap, host(modes=bare, commands={("getcap", path): told})))
    assert failures(ask(rootless.RootlessUidmap, host(modes=bare, commands={("getcap", path): ""})))
    # Without getcap nothing tells, but Debian sets the bit; and a tree has no capabilities to read.
    other: dict[str, Content | None] = {"/etc/os-release": "ID=arch\n"}
    assert ask(rootless.RootlessUidmap, host(other, modes=bare)).outcome is Outcome.UNKNOWN
    assert failures(ask(rootless.RootlessUidmap, host(modes=bare)))
    assert ask(rootless.RootlessUidmap, host(modes=bare, kind="root")).outcome is Outcome.UNKNOWN


def test_uidmap_on_nosuid() -> None:
    mounted = "25 1 8:1 / / rw - ext4 /dev/sda1 rw\n26 25 8:2 / /usr rw,nosuid - ext4 /dev/sda2 rw\n"
    found = ask(rootless.RootlessUidmap, host({"/proc/self/mountinfo": mounted}))
    assert failures(found) == {("newuidmap", "now"): "required", ("newgidmap", "now"): "required"}


def test_uidmap_in_a_tree_that_a_user_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    here = host(kind="root")
    plain = here.stat
    monkeypatch.setattr(here, "stat", lambda path, follow=True: plain(path, follow)._replace(uid=1000))
    assert ask(rootless.RootlessUidmap, here).outcome is Outcome.UNKNOWN
    live = host()
    real = live.stat
    monkeypatch.setattr(live, "stat", lambda path, follow=True: real(path, follow)._replace(uid=1000))
    assert set(failures(ask(rootless.RootlessUidmap, live))) == {("newuidmap", "now"), ("newgidmap", "now")}


@pytest.mark.parametrize(
    ("subuid", "expected"),
    [
        ("u:100000:65536\n", {}),
        ("1000:100000:65536\n", {}),
        ("u:100000:30000\nu:200000:35536\n", {}),
        ("u:100000:65535\n", {"subuid u": "required"}),
        ("", {"subuid u": "required"}),
        ("v:100000:65536\n", {"subuid u": "required"}),
        # Shared with somebody else; with himself is no fault.
        ("u:100000:65536\nv:100000:65536\n", {"subuid v": "recommended"}),
        ("v:100000:65536\nu:165535:65536\n", {"subuid u": "recommended"}),
        ("u:100000:65536\n1000:100000:65536\n", {}),
        ("u:100000:65536\nv:165536:65536\n", {}),
        ("u:100000:65536\nv:200000:65536\nw:200000:65536\n", {}),
    ],
)
def test_subid(subuid: str, expected: dict[str, str]) -> None:
    found = failures(ask(rootless.RootlessSubid, host({"/etc/subuid": subuid})))
    assert found == {(subject, "boot"): severity for subject, severity in expected.items()}


def test_subid_command_takes_ids_that_are_free() -> None:
    found = ask(rootless.RootlessSubid, host({"/etc/subuid": "v:100000:65536\n"}))
    (failure,) = found.failures
    assert failure.fix
    assert failure.fix["commands"] == ["usermod --add-subuids 165536-231071 u"]


def test_subid_podman_may_do_without() -> None:
    files: dict[str, Content | None] = {
        HOME: None, "/etc/subuid": "", "/usr/bin/podman": ELF, "/home/u/.local/share/containers/storage/": "",
    }  # fmt: skip
    assert failures(ask(rootless.RootlessSubid, host(files))) == {("subuid u", "boot"): "recommended"}


def test_subid_from_elsewhere() -> None:
    found = ask(rootless.RootlessSubid, host({"/etc/nsswitch.conf": "subid: sss\n", "/etc/subuid": ""}))
    assert found.outcome is Outcome.UNKNOWN


def test_subid_before_there_is_a_user() -> None:
    nobody: dict[str, Content | None] = {"/etc/passwd": "root:x:0:0::/root:/bin/sh\n"}
    assert ask(rootless.RootlessSubid, host(nobody, used=False), needed="yes").outcome is Outcome.SKIP
    other: dict[str, Content | None] = {"/etc/subuid": ""}
    assert failures(ask(rootless.RootlessSubid, host(other, used=False), needed="yes")) == {
        ("subuid u", "boot"): "info"
    }
    assert failures(ask(rootless.RootlessSubid, host(other, used=False), needed="yes", users=("u",))) == {
        ("subuid u", "boot"): "required"
    }


def test_linger() -> None:
    assert ask(rootless.RootlessLinger, host()).outcome is Outcome.PASS
    gone = ask(rootless.RootlessLinger, host({"/var/lib/systemd/linger/u": None}))
    assert failures(gone) == {("linger u", "boot"): "recommended"}
    assert gone.failures[0].fix
    assert gone.failures[0].fix["commands"] == ["loginctl enable-linger u"]
    # A unit that nobody enabled is started by hand.
    by_hand = {HOME: None, "/home/u/.config/systemd/user/docker.service": USED[HOME]}
    assert ask(rootless.RootlessLinger, host(dict(by_hand))).outcome is Outcome.SKIP


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, {"cpuset": "info", "io": "info"}),
        (
            {"/lib/systemd/system/user@.service": "[Service]\nDelegate=pids memory\n"},
            {"cpu": "recommended", "cpuset": "info", "io": "info"},
        ),
        ({"/etc/systemd/system/user@.service.d/a.conf": "[Service]\nDelegate=cpuset io\n"}, {}),
        ({"/lib/systemd/system/user@.service": "[Service]\nDelegate=yes\n"}, {}),
    ],
)
def test_delegation(files: Any, expected: dict[str, str]) -> None:
    for kind in ("live", "root"):
        found = failures(ask(rootless.RootlessDelegation, host(files, kind=kind)))
        assert found == {(f"user@.service {name}", "boot"): each for name, each in expected.items()}


def test_delegation_now() -> None:
    path = "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/cgroup.controllers"
    found = failures(ask(rootless.RootlessDelegation, host({path: "memory pids\n"})))
    assert found["user@.service cpu", "now"] == "recommended"
    assert ("user@.service cpu", "boot") not in found
    # Whoever is logged in stands for the others, where nobody is known yet.
    assert failures(ask(rootless.RootlessDelegation, host({path: "pids\n"}, used=False), needed="yes"))[
        "user@.service memory", "now"
    ]


def test_delegation_on_v1() -> None:
    v1 = "25 1 8:1 / / rw - ext4 /dev/sda1 rw\n30 25 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs ro\n" + "".join(
        f"{31 + n} 30 0:{31 + n} / /sys/fs/cgroup/{name} rw - cgroup cgroup rw,{name}\n"
        for n, name in enumerate(("memory", "cpu", "pids"))
    )
    files: dict[str, Content | None] = {
        "/proc/self/mountinfo": v1, "/proc/cmdline": "root=/dev/sda1 systemd.unified_cgroup_hierarchy=0\n",
        "/etc/default/grub": 'GRUB_CMDLINE_LINUX="systemd.unified_cgroup_hierarchy=0"\n',
    }  # fmt: skip
    assert failures(ask(rootless.RootlessDelegation, host(files))) == {("cgroup mode", "boot"): "recommended"}


def test_dbus() -> None:
    gone: dict[str, Content | None] = {"/lib/systemd/user/dbus.socket": None}
    there: dict[str, Content | None] = {**gone, "/lib/systemd/user/default.target": ""}
    assert failures(ask(rootless.RootlessDbus, host(there))) == {("dbus.socket", "boot"): "recommended"}
    assert ask(rootless.RootlessDbus, host(gone)).outcome is Outcome.UNKNOWN
    assert not failures(ask(rootless.RootlessDbus, host(there, packages={"dbus-user-session": "1.14"})))


EL8: dict[str, Content | None] = {
    "/etc/os-release": 'ID="centos"\nVERSION_ID="8"\n',
    "/usr/bin/slirp4netns": None,
    "/etc/dnf/modules.d/container-tools.module": "[container-tools]\nname=container-tools\nstate=disabled\n",
}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, "required"),
        ({"/usr/bin/slirp4netns": ELF}, ""),
        ({"/usr/bin/dockerd": ELF}, "recommended"),
        ({"/etc/dnf/modules.d/container-tools.module": "[container-tools]\nstate=enabled\n"}, ""),
        ({"/etc/os-release": 'ID="centos"\nVERSION_ID="9"\n'}, ""),
    ],
)
def test_packages(files: Any, expected: str) -> None:
    found = failures(ask(rootless.RootlessPackages, host({**EL8, **files}, used=False)))
    assert found == ({("container-tools", "boot"): expected} if expected else {})


@pytest.mark.parametrize("check", ALL)
def test_what_cannot_be_read_breaks_nothing(check: Any) -> None:
    for broken in (PermissionError("no"), Unavailable("no"), b"\xff\xfe\x00" * 50):
        for path in (
            "/etc/passwd",
            "/etc/subuid",
            HOME,
            OWN,
            "/etc/containers/storage.conf",
            "/etc/apparmor.d/rootlesskit",
        ):
            assert ask(check, host({**RESTRICTED, path: broken})).outcome is not Outcome.ERROR, (path, broken)


# ---- incidents ---------------------------------------------------------------------------------

INCIDENTS = {
    # Incident: the check, the subject, its severity; whether only the policy's word makes it matter.
    "newuidmap-without-setuid": ("rootless.uidmap", "newuidmap", "required", False),
    "rootless-no-linger": ("rootless.linger", "linger u", "recommended", False),
    "rootless-29-on-kernel-below-5-11": ("rootless_storage.overlay", "overlay", "required", False),
    "rootless-storage-on-nfs-home": ("rootless_storage.podman_home", "/home/u", "recommended", False),
    "fuse-module-not-loaded": ("rootless_storage.fuse", "/dev/fuse", "required", False),
    "container-tools-module-disabled-hides-slirp4netns": (
        "rootless.packages", "container-tools", "required", False,
    ),
    "tun-module-missing-rootless": ("rootless_network.driver", "tun", "required", True),
    "rootless-port-below-1024": ("rootless_network.ports", "net.ipv4.ip_unprivileged_port_start", "info", True),
    "cpu-controller-not-delegated-to-user": (
        "rootless.delegation", "user@.service cpu", "recommended", True,
    ),
}  # fmt: skip
LACKS = {
    # What the thread tells besides its facts.
    "container-tools-module-disabled-hides-slirp4netns": ("/usr/bin/slirp4netns",),
    "tun-module-missing-rootless": ("/lib/modules/6.6.69/kernel/drivers/net/tun.ko",),
    "rootless-port-below-1024": ("/etc/sysctl.d/90-rootless.conf",),
}


def incident_host(entry: dict[str, Any], kind: str) -> FakeHost:
    """Lay an incident's facts over a healthy host."""
    facts = entry["facts"]
    live = facts.get("live") or {}
    files: dict[str, Content | None] = {}
    modes = {}
    for path, text in (facts.get("files") or {}).items():
        files[path] = ELF if text.startswith("ELF") else text.partition(" (symlink)")[0]
        modes[path] = 0o644
        if text.startswith("ELF"):
            modes[path] = 0o755
    for key, value in (live.get("sysctl") or {}).items():
        files["/proc/sys/" + key.replace(".", "/")] = f"{value}\n"
    release = (facts.get("kernel") or {}).get("release", KERNEL)
    # Names of releases go through the replacement that puts them in, so the others are taken away afterwards.
    laid = host(files, kind=kind, packages=facts.get("packages"), used=False, release=release, modes=modes)
    for path in (*(facts.get("absent") or ()), *LACKS.get(entry["key"], ())):
        laid.files.pop(path, None)
    return laid


def blamed(entry: dict[str, Any], kind: str, **parameters: object) -> dict[tuple[str, str], str]:
    """Return check and subject of all failures with their severities."""
    found = {}
    for check in ALL:
        own = {key: value for key, value in parameters.items() if key in check.parameters()}
        result = ask(check, incident_host(entry, kind), **own)
        assert result.outcome is not Outcome.ERROR, (entry["key"], check.id, result.reason)
        found.update({(check.id, f.subject): str(result.severity_of(f)) for f in result.failures})
    return found


def test_incidents(corpora: pathlib.Path) -> None:
    import yaml

    entries = yaml.safe_load((corpora / "incidents" / "incidents.yaml").read_text())
    told = 0
    others = {}
    for entry in entries:
        key = entry["key"]
        if key in INCIDENTS:
            check, subject, severity, asked = INCIDENTS[key]
            found = blamed(entry, "live", **({"needed": "yes"} if asked else {}))
            assert found.get((check, subject)) == severity, (key, found)
            told += 1
        for kind in ("live", "root"):
            found = blamed(entry, kind)
            serious = {which for which, severity in found.items() if severity != Severity.INFO}
            if key not in INCIDENTS or INCIDENTS[key][3]:
                others.update({key: serious} if serious else {})
    print(f"incidents of rootless hosts: {told}/{len(INCIDENTS)}, {len(others)} others blamed: {others}")
    assert told == len(INCIDENTS)
    # Nobody is told of rootless mode who has nothing to do with it, least of all the traps.
    assert others == {}
