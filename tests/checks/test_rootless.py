"""Rootless checks: silent where nobody runs containers without root, exact where somebody does."""

from __future__ import annotations

import importlib
import pathlib
from typing import Any

import pytest

from hostcheck.finding import Outcome, Result, Severity
from hostcheck.host import Completed, Unavailable
from hostcheck.plugins import checks_in
from hostcheck.testing import Content, FakeHost, ask

rootless: Any = importlib.import_module("hostcheck.checks.rootless")

ELF = b"\x7fELF"
KERNEL = "6.1.0-28-amd64"
HOME = "/home/u/.config/systemd/user/default.target.wants/docker.service"
MODES = {"/usr/bin/newuidmap": 0o4755, "/usr/bin/newgidmap": 0o4755}
PORT = "/proc/sys/net/ipv4/ip_unprivileged_port_start"
STOCK: dict[str, Content] = {
    "/etc/os-release": 'ID=debian\nVERSION_ID="12"\n',
    "/sbin/init": "-> /lib/systemd/systemd",
    "/lib/systemd/systemd": ELF,
    "/lib/systemd/user/dbus.socket": "[Socket]\nListenStream=%t/bus\n",
    "/lib/systemd/system/user@.service": "[Service]\nDelegate=pids memory cpu\n",
    "/etc/passwd": "root:x:0:0::/root:/bin/sh\nu:x:1000:1000::/home/u:/bin/bash\n",
    "/etc/subuid": "u:100000:65536\n",
    "/etc/subgid": "u:100000:65536\n",
    "/usr/bin/newuidmap": ELF,
    "/usr/bin/newgidmap": ELF,
    "/usr/bin/slirp4netns": ELF,
    "/usr/bin/rootlesskit": ELF,
    "/usr/bin/dockerd-rootless.sh": "#!/bin/sh\n",
    f"/lib/modules/{KERNEL}/modules.dep": "kernel/drivers/net/tun.ko:\nkernel/fs/fuse/fuse.ko:\n",
    f"/lib/modules/{KERNEL}/kernel/drivers/net/tun.ko": "x",
    f"/lib/modules/{KERNEL}/kernel/fs/fuse/fuse.ko": "x",
    "/proc/sys/kernel/osrelease": KERNEL + "\n",
    "/proc/self/mountinfo": "25 1 8:1 / / rw - ext4 /dev/sda1 rw\n30 25 0:26 / /sys/fs/cgroup rw - cgroup2 c rw\n",
    "/etc/fstab": "/dev/sda1 / ext4 defaults 0 1\n",
    PORT: "80\n",
    "/etc/sysctl.d/90-rootless.conf": "net.ipv4.ip_unprivileged_port_start = 80\n",
}
USED: dict[str, Content] = {
    HOME: "[Service]\nExecStart=/usr/bin/dockerd-rootless.sh\n",
    "/var/lib/systemd/linger/u": "",
}
PACKAGE = "Package: {}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {}\n\n"


def host(
    files: dict[str, Content | None] | None = None,
    *,
    kind: str = "live",
    packages: dict[str, str] | None = None,
    modes: dict[str, int] | None = None,
    used: bool = True,
    release: str = KERNEL,
    commands: dict[tuple[str, ...], str | Completed | Exception] | None = None,
) -> FakeHost:
    """Return a Debian on which `u` runs docker without root, with these files instead; None takes one away."""
    laid: dict[str, Content | None] = {**STOCK, **(USED if used else {}), **(files or {})}
    every = {"systemd": "252.39-1~deb12u1", **(packages or {})}
    laid["/var/lib/dpkg/status"] = "".join(PACKAGE.format(*each) for each in every.items())
    kept = {path.replace(KERNEL, release): each for path, each in laid.items() if each is not None}
    if release != KERNEL:
        kept["/proc/sys/kernel/osrelease"] = release + "\n"
    return FakeHost(kept, kind=kind, modes={**MODES, **(modes or {})}, commands=commands)


def failures(result: Result) -> dict[tuple[str, str], str]:
    """Return subject and time of each failure with its severity."""
    assert result.outcome is not Outcome.ERROR, result.reason
    return {(f.subject, f.when): str(result.severity_of(f)) for f in result.failures}


ALL = checks_in(rootless)


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
    # Without getcap nothing tells, and a tree has no capabilities to read.
    assert ask(rootless.RootlessUidmap, host(modes=bare)).outcome is Outcome.UNKNOWN
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


OLD = "5.10.0-28-amd64"
FUSE: dict[str, Content | None] = {"/usr/bin/fuse-overlayfs": ELF}
OWN = "/home/u/.config/docker/daemon.json"


@pytest.mark.parametrize(
    ("release", "docker", "files", "expected"),
    [
        ("5.11.0-1-amd64", "29.0.0", {}, ""),
        (OLD, "29.0.0", {}, "required"),
        (OLD, "29.0.0", FUSE, "required"),
        (OLD, "29.0.0", {OWN: '{"features": {"containerd-snapshotter": false}}'}, "recommended"),
        (OLD, "29.0.0", {**FUSE, OWN: '{"features": {"containerd-snapshotter": false}}'}, ""),
        (OLD, "29.0.0", {**FUSE, OWN: '{"features": {"containerd-snapshotter": true}}'}, "required"),
        (OLD, "29.0.0", {**FUSE, OWN: "not JSON"}, "required"),
        # What an earlier release left stays in use.
        (OLD, "29.0.0", {**FUSE, "/home/u/.local/share/docker/fuse-overlayfs/": ""}, ""),
        (OLD, "28.5.2", {}, "recommended"),
        (OLD, "28.5.2", FUSE, ""),
        (OLD, "28.5.2", {"/etc/modprobe.d/o.conf": "options overlay permit_mounts_in_userns=1\n"}, ""),
        (OLD, "28.5.2", {"/sys/module/overlay/parameters/permit_mounts_in_userns": "Y\n"}, ""),
        (OLD, "28.5.2", {"/sys/module/overlay/parameters/permit_mounts_in_userns": "N\n"}, "recommended"),
        ("5.4.0-26-generic", "29.0.0", {}, ""),
        ("4.18.0-348.el8.x86_64", "29.0.0", {}, ""),
        ("4.18.0-305.el8.x86_64", "29.0.0", {}, "required"),
        ("3.10.0-1160.el7.x86_64", "26.1.4", {}, "recommended"),
    ],
)
def test_overlay(release: str, docker: str, files: Any, expected: str) -> None:
    here = host(files, release=release, packages={"docker-ce-rootless-extras": f"5:{docker}-1~debian.11"})
    found = failures(ask(rootless.RootlessOverlay, here))
    assert found == ({("overlay", "now"): expected} if expected else {})


def test_overlay_of_an_ubuntu_with_a_kernel_of_its_own_name() -> None:
    files: dict[str, Content | None] = {"/etc/os-release": 'ID=ubuntu\nVERSION_ID="20.04"\n'}
    assert not failures(ask(rootless.RootlessOverlay, host(files, release="5.4.0-1.custom")))


CONF = "/etc/containers/storage.conf"
MOUNT = '[storage.options.overlay]\nmount_program = "/usr/bin/fuse-overlayfs"\n'


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({CONF: MOUNT}, {("/dev/fuse", "now"): "required"}),
        ({CONF: MOUNT, "/dev/fuse": ""}, {}),
        ({CONF: "# " + MOUNT.split("\n")[1] + "\n"}, None),
        ({"/usr/share/containers/storage.conf": MOUNT}, {("/dev/fuse", "now"): "required"}),
        # The administrator's file takes the place of the package's.
        ({"/usr/share/containers/storage.conf": MOUNT, CONF: "[storage]\n"}, None),
        ({"/home/u/.config/containers/storage.conf": MOUNT}, {("/dev/fuse", "now"): "required"}),
    ],
)
def test_fuse(files: Any, expected: dict[tuple[str, str], str] | None) -> None:
    found = ask(rootless.RootlessFuse, host(files, used=False))
    if expected is None:
        assert found.outcome is Outcome.SKIP
    else:
        assert failures(found) == expected


def test_fuse_in_a_tree() -> None:
    assert not failures(ask(rootless.RootlessFuse, host({CONF: MOUNT}, kind="root")))
    missing: dict[str, Content | None] = {CONF: MOUNT, f"/lib/modules/{KERNEL}/kernel/fs/fuse/fuse.ko": None}
    found = failures(ask(rootless.RootlessFuse, host(missing, kind="root")))
    assert found == {("fuse", "boot"): "required"}


@pytest.mark.parametrize(
    ("files", "packages", "expected"),
    [
        ({}, {}, {}),
        ({"/usr/bin/slirp4netns": None}, {}, {"network driver": "required"}),
        ({"/usr/bin/slirp4netns": None, "/usr/bin/pasta": ELF}, {}, {}),
        ({"/usr/bin/slirp4netns": None}, {"passt": "0.0~git"}, {}),
        ({"/usr/bin/slirp4netns": None, "/home/u/bin/vpnkit": ELF}, {}, {}),
        ({}, {"slirp4netns": "0.3.0-1"}, {"network driver": "required"}),
        # 29's rootlesskit has a driver built in.
        (
            {"/usr/bin/slirp4netns": None},
            {"docker-ce-rootless-extras": "5:29.0.0-1"},
            {"network driver": "info"},
        ),
        ({f"/lib/modules/{KERNEL}/kernel/drivers/net/tun.ko": None}, {}, {"tun": "required"}),
        ({f"/lib/modules/{KERNEL}/kernel/drivers/net/tun.ko": None, "/dev/net/tun": ""}, {}, {}),
    ],
)
def test_network_driver(files: Any, packages: Any, expected: dict[str, str]) -> None:
    found = failures(ask(rootless.RootlessNetworkDriver, host(files, packages=packages)))
    assert found == {(subject, "now"): severity for subject, severity in expected.items()}


@pytest.mark.parametrize(
    ("podman", "files", "expected"),
    [
        ("4.3.1", {}, set()),
        ("4.3.1", {"/usr/bin/slirp4netns": None, "/usr/bin/pasta": ELF}, {"podman network driver"}),
        ("5.4.2", {}, {"podman network driver"}),
        ("5.4.2", {"/usr/bin/pasta": ELF}, set()),
        (
            "5.4.2",
            {"/etc/containers/containers.conf": '[network]\ndefault_rootless_network_cmd = "slirp4netns"\n'},
            set(),
        ),
    ],
)
def test_network_driver_of_podman(podman: str, files: Any, expected: set[str]) -> None:
    theirs = {HOME: None, "/usr/bin/podman": ELF, "/home/u/.local/share/containers/storage/": "", **files}
    here = host(theirs, packages={"podman": podman})
    assert {s for s, _ in failures(ask(rootless.RootlessNetworkDriver, here))} == expected


QUADLET = "/home/u/.config/containers/systemd/web.container"
DEFAULT: dict[str, Content | None] = {
    PORT: "1024\n", "/etc/sysctl.d/90-rootless.conf": None, "/usr/bin/podman": ELF,
}  # fmt: skip


@pytest.mark.parametrize(
    ("publish", "severity"),
    [
        ("PublishPort=8080:80", "info"),
        ("PublishPort=80:80", "required"),
        ("PublishPort=127.0.0.1:443:8443/tcp", "required"),
        ("PublishPort=[::1]:443:8443", "required"),
        ("PublishPort=[::]:8443:443", "info"),
        ("PublishPort=80", "info"),
        ("#PublishPort=80:80", "info"),
        ("PublishPort=%i:80", "info"),
    ],
)
def test_ports(publish: str, severity: str) -> None:
    found = failures(ask(rootless.RootlessPorts, host({**DEFAULT, QUADLET: f"[Container]\n{publish}\n"})))
    key = rootless.PORT_KEY
    assert found == {(key, "now"): severity, (key, "boot"): severity}


def test_ports_now_and_boot_differ() -> None:
    files: dict[str, Content | None] = {**DEFAULT, PORT: "80\n", QUADLET: "[Container]\nPublishPort=80:80\n"}
    found = ask(rootless.RootlessPorts, host(files))
    assert failures(found) == {(rootless.PORT_KEY, "boot"): "required"}
    assert f"{QUADLET}:2 publishes 80" in found.failures[0].message
    assert not failures(ask(rootless.RootlessPorts, host(), lowest=80))
    assert failures(ask(rootless.RootlessPorts, host(), lowest=53))


def test_ports_of_a_unit_of_podman() -> None:
    unit = "/home/u/.config/systemd/user/web.service"
    start = "[Service]\nExecStart=/usr/bin/podman run --name web -p 443:443 nginx\n"
    assert "required" in failures(ask(rootless.RootlessPorts, host({**DEFAULT, unit: start}))).values()


RESTRICTED: dict[str, Content | None] = {
    "/etc/os-release": 'ID=ubuntu\nVERSION_ID="24.04"\n',
    "/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1\n",
    "/sys/module/apparmor/parameters/enabled": "Y\n",
    "/usr/lib/sysctl.d/10-apparmor.conf": "kernel.apparmor_restrict_unprivileged_userns = 1\n",
    "/etc/apparmor.d/rootlesskit": "profile rootlesskit /usr/bin/rootlesskit flags=(unconfined) {\n  userns,\n}\n",
}
OFF: dict[str, Content | None] = {
    **RESTRICTED, "/etc/sysctl.d/99-x.conf": "kernel.apparmor_restrict_unprivileged_userns=0\n",
    "/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "0\n",
}  # fmt: skip


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (RESTRICTED, {}),
        (
            {**RESTRICTED, "/home/u/bin/rootlesskit": ELF},
            {"/home/u/bin/rootlesskit": ("now", "boot")},
        ),
        (
            {**RESTRICTED, "/usr/bin/rootlesskit": None, "/usr/local/bin/rootlesskit": ELF},
            {"/usr/local/bin/rootlesskit": ("now", "boot")},
        ),
        (
            {
                **RESTRICTED,
                "/home/u/bin/rootlesskit": ELF,
                "/etc/apparmor.d/home.u.bin.rootlesskit": '"/home/u/bin/rootlesskit" {\n  userns,\n}\n',
            },
            {},
        ),
        ({**RESTRICTED, "/etc/apparmor.d/rootlesskit": None}, {"/usr/bin/rootlesskit": ("now", "boot")}),
        ({**OFF, "/etc/apparmor.d/rootlesskit": None}, None),
        # Set by hand, and back after the boot.
        (
            {**OFF, "/etc/apparmor.d/rootlesskit": None, "/etc/sysctl.d/99-x.conf": None},
            {"/usr/bin/rootlesskit": ("boot",)},
        ),
        # A kernel without the key, as Debian's, whatever a file sets.
        (
            {
                **RESTRICTED,
                "/etc/apparmor.d/rootlesskit": None,
                "/proc/sys/kernel/apparmor_restrict_unprivileged_userns": None,
            },
            None,
        ),
        # No rootlesskit anywhere yet.
        ({**RESTRICTED, "/usr/bin/rootlesskit": None}, None),
    ],
)
def test_apparmor(files: Any, expected: dict[str, tuple[str, ...]] | None) -> None:
    found = ask(rootless.RootlessApparmor, host(files))
    if expected is None:
        assert found.outcome is Outcome.SKIP
    else:
        wanted = {(path, when): "required" for path, times in expected.items() for when in times}
        assert failures(found) == wanted


def test_apparmor_in_a_tree() -> None:
    files: dict[str, Content | None] = {**RESTRICTED, "/etc/apparmor.d/rootlesskit": None}
    found = ask(rootless.RootlessApparmor, host(files, kind="root"))
    assert failures(found) == {("/usr/bin/rootlesskit", "boot"): "required"}
    assert found.failures[0].path == "/usr/lib/sysctl.d/10-apparmor.conf"
    # Without the file the kernel's own default counts, if its configuration is there.
    files["/usr/lib/sysctl.d/10-apparmor.conf"] = None
    assert ask(rootless.RootlessApparmor, host(files, kind="root")).outcome is Outcome.SKIP
    files[f"/boot/config-{KERNEL}"] = "CONFIG_SECURITY_APPARMOR_RESTRICT_USERNS=y\n"
    assert failures(ask(rootless.RootlessApparmor, host(files, kind="root")))


PING = "/proc/sys/net/ipv4/ping_group_range"


@pytest.mark.parametrize(
    ("now", "boot", "expected"),
    [
        ("1\t0", "", {"now", "boot"}),
        ("0\t2147483647", "", {"boot"}),
        ("0\t2147483647", "0 2147483647", set()),
        ("1\t0", "0 2147483647", {"now"}),
        ("0\t0", "100 50", {"boot"}),
    ],
)
def test_ping(now: str, boot: str, expected: set[str]) -> None:
    files: dict[str, Content | None] = {PING: now + "\n"}
    files["/etc/sysctl.d/9.conf"] = f"net.ipv4.ping_group_range = {boot}\n" if boot else None
    found = failures(ask(rootless.RootlessPing, host(files)))
    assert found == {(rootless.PING_KEY, when): "info" for when in expected}


LEGACY: dict[str, Content | None] = {
    "/usr/sbin/iptables": "-> /etc/alternatives/iptables",
    "/etc/alternatives/iptables": "-> /usr/sbin/iptables-legacy",
    "/usr/sbin/iptables-legacy": "-> xtables-legacy-multi",
    "/usr/sbin/xtables-legacy-multi": ELF,
    f"/lib/modules/{KERNEL}/modules.dep": "kernel/net/ipv4/netfilter/ip_tables.ko:\n",
    f"/lib/modules/{KERNEL}/kernel/net/ipv4/netfilter/ip_tables.ko": "x",
    "/proc/modules": "",
}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, {"now", "boot"}),
        ({"/proc/modules": "ip_tables 1 0 - Live 0x0\n"}, {"boot"}),
        ({"/etc/modules-load.d/x.conf": "ip_tables\n"}, {"now"}),
        ({f"/lib/modules/{KERNEL}/modules.builtin": "kernel/net/ipv4/netfilter/ip_tables.ko\n"}, set()),
        (
            {
                "/proc/modules": "ip_tables 1 0 - Live 0x0\n",
                "/lib/systemd/system/docker.service": "[Service]\nExecStart=/x\n[Install]\nWantedBy=a.target\n",
                "/etc/systemd/system/multi-user.target.wants/docker.service": "-> /lib/systemd/system/docker.service",
            },
            set(),
        ),
        ({"/etc/alternatives/iptables": "-> /usr/sbin/iptables-nft", "/usr/sbin/iptables-nft": ELF}, None),
        ({"/usr/sbin/iptables": None}, None),
    ],
)
def test_iptables(files: Any, expected: set[str] | None) -> None:
    found = ask(rootless.RootlessIptables, host({**LEGACY, **files}))
    if expected is None:
        assert found.outcome is Outcome.SKIP
    else:
        assert failures(found) == {("ip_tables", when): "recommended" for when in expected}


def test_iptables_of_podman() -> None:
    theirs = {HOME: None, "/usr/bin/podman": ELF, "/home/u/.local/share/containers/storage/": ""}
    assert ask(rootless.RootlessIptables, host({**LEGACY, **theirs})).outcome is Outcome.SKIP


def test_network_driver_comes_with_the_packages() -> None:
    gone: dict[str, Content | None] = {"/usr/bin/slirp4netns": None}
    found = ask(rootless.RootlessNetworkDriver, host(gone, used=False), needed="yes")
    assert failures(found) == {("network driver", "now"): "info"}
    there: dict[str, Content | None] = {**gone, "/usr/bin/dockerd": ELF}
    found = ask(rootless.RootlessNetworkDriver, host(there, used=False), needed="yes")
    assert failures(found) == {("network driver", "now"): "required"}


def test_dbus() -> None:
    gone: dict[str, Content | None] = {"/lib/systemd/user/dbus.socket": None}
    there: dict[str, Content | None] = {**gone, "/lib/systemd/user/default.target": ""}
    assert failures(ask(rootless.RootlessDbus, host(there))) == {("dbus.socket", "boot"): "recommended"}
    assert ask(rootless.RootlessDbus, host(gone)).outcome is Outcome.UNKNOWN
    assert not failures(ask(rootless.RootlessDbus, host(there, packages={"dbus-user-session": "1.14"})))


def test_home() -> None:
    nfs = "25 1 8:1 / / rw - ext4 /dev/sda1 rw\n26 25 0:9 / /home rw - nfs4 nas:/home rw\n"
    files: dict[str, Content | None] = {
        "/proc/self/mountinfo": nfs + "30 25 0:26 / /sys/fs/cgroup rw - cgroup2 c rw\n",
        "/etc/fstab": "/dev/sda1 / ext4 defaults 0 1\nnas:/home /home nfs4 defaults 0 0\n",
    }
    root = "/home/u/.local/share/docker"
    assert failures(ask(rootless.RootlessHome, host(files))) == {
        (root, "now"): "required", (root, "boot"): "required",
    }  # fmt: skip
    files[OWN] = '{"data-root": "/srv/u"}'
    assert ask(rootless.RootlessHome, host(files)).outcome is Outcome.PASS


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
        ({"/usr/bin/dockerd": ELF}, "info"),
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
        for path in ("/etc/passwd", "/etc/subuid", HOME, OWN, CONF, "/etc/apparmor.d/rootlesskit"):
            assert ask(check, host({**RESTRICTED, path: broken})).outcome is not Outcome.ERROR, (path, broken)


# ---- incidents ---------------------------------------------------------------------------------

INCIDENTS = {
    # Incident: the check, the subject, its severity; whether only the policy's word makes it matter.
    "newuidmap-without-setuid": ("rootless.uidmap", "newuidmap", "required", False),
    "rootless-no-linger": ("rootless.linger", "linger u", "recommended", False),
    "rootless-29-on-kernel-below-5-11": ("rootless.overlay", "overlay", "required", False),
    "fuse-module-not-loaded": ("rootless.fuse", "/dev/fuse", "required", False),
    "container-tools-module-disabled-hides-slirp4netns": (
        "rootless.packages", "container-tools", "required", False,
    ),
    "tun-module-missing-rootless": ("rootless.network_driver", "tun", "required", True),
    "rootless-port-below-1024": ("rootless.ports", "net.ipv4.ip_unprivileged_port_start", "info", True),
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
