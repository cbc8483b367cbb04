"""What dockerd does before it listens: one table of hosts, each with what must fail there."""

from __future__ import annotations

import importlib
import json
from typing import Any, Optional

import pytest

from hostcheck.check import Check
from hostcheck.finding import Outcome
from hostcheck.testing import FakeHost, ask

startup: Any = importlib.import_module("hostcheck.checks.startup")

KEY = json.dumps({"kty": "EC", "crv": "P-256", "x": "a", "y": "b", "d": "c", "kid": "A:B"})
ROOT = "27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda1 rw\n"
READ_ONLY_ETC = ROOT + "28 27 254:0 /etc /etc ro,relatime shared:1 - ext4 /dev/vda1 rw\n"
DOCKER = "[Service]\nExecStart=/usr/bin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock\n"
CONTAINERD = "[Service]\nExecStart=/usr/bin/containerd\n"
DOCKER_UNIT, CONTAINERD_UNIT = (
    f"/usr/lib/systemd/system/{name}.service" for name in ("docker", "containerd")
)
TOML = "/etc/containerd/config.toml"
HEALTHY = {
    "/usr/bin/dockerd": "\x7fELF",
    "/usr/bin/containerd": "\x7fELF",
    "/proc/self/mountinfo": ROOT,
    "/etc/docker/key.json": KEY,
    "/var/lib/docker/": "",
    DOCKER_UNIT: DOCKER,
    CONTAINERD_UNIT: CONTAINERD,
}


def hosts(changes: dict[str, Any], docker: str, modes: dict[str, int]) -> list[FakeHost]:
    """Return the healthy host with changes (None takes a file away), running and as a tree."""
    files = {path: text for path, text in {**HEALTHY, **changes}.items() if text is not None}
    at_rest = {path: text for path, text in files.items() if not path.startswith(("/proc", "/run"))}
    told = {"docker": docker, "stage": "installed"}
    return [
        FakeHost(files, assumptions=told, modes=modes),
        FakeHost(at_rest, kind="root", assumptions=told, modes=modes),
    ]


def outcomes(
    check: type[Check],
    changes: dict[str, Any],
    docker: str = "20.10.24",
    modes: Optional[dict[str, int]] = None,
) -> list[str]:
    """Return what a check says of the running host and of the tree: the worst severity, or the outcome."""
    found = []
    for host in hosts(changes, docker, modes or {}):
        result = ask(check, host)
        severities = [str(f.severity or result.severity) for f in result.failures]
        worst = next((name for name in ("required", "recommended", "info") if name in severities), "")
        found.append(worst or result.outcome.value)
    return found


LINK = {"/var/lib/docker/": None, "/var/lib/docker": "-> /mnt/data/docker"}
FSTAB = {"/etc/fstab": "/dev/a / ext4\n/dev/b /mnt/data ext4\n"}


@pytest.mark.parametrize(
    ("changes", "live", "tree"),
    [
        ({}, "pass", "pass"),
        ({"/var/lib/docker/": None}, "pass", "pass"),
        (LINK, "required", "required"),
        ({**LINK, "/mnt/data/docker/": ""}, "pass", "pass"),
        ({**LINK, **FSTAB}, "required", "pass"),
        ({**LINK, "/usr/lib/tmpfiles.d/d.conf": "d /mnt/data/docker 0711\n"}, "required", "pass"),
        (
            {"/etc/docker/daemon.json": '{"data-root": "/data/docker"}', "/data": "-> /gone"},
            "required",
            "required",
        ),
    ],
)
def test_data_root(changes: dict[str, Any], live: str, tree: str) -> None:
    assert outcomes(startup.StartupDataRoot, changes) == [live, tree]


@pytest.mark.parametrize(
    ("docker", "changes", "live", "tree"),
    [
        ("20.10.24", {}, "pass", "pass"),
        ("20.10.24", {"/etc/docker/key.json": ""}, "required", "required"),
        ("20.10.24", {"/etc/docker/key.json": '{"kty": "oct"}'}, "required", "required"),
        ("19.03.15", {"/etc/docker/key.json": "xx"}, "required", "required"),
        ("23.0.0", {"/etc/docker/key.json": "xx"}, "skip", "skip"),
        ("20.10.24", {"/etc/docker/key.json": None}, "pass", "pass"),
        ("20.10.24", {"/proc/self/mountinfo": READ_ONLY_ETC}, "pass", "pass"),
        (
            "20.10.24",
            {"/proc/self/mountinfo": READ_ONLY_ETC, "/etc/docker/key.json": None},
            "required",
            "pass",
        ),
        (
            "20.10.24",
            {"/etc/fstab": "/dev/a / ext4 ro\n", "/etc/docker/key.json": None},
            "required",
            "required",
        ),
        ("20.10.24", {"/etc/docker/key.json": PermissionError("no")}, "unknown", "unknown"),
        (
            "20.10.24",
            {"/etc/docker/daemon.json": '{"deprecated-key-path": "/k.json"}', "/k.json": "{}"},
            "required",
            "required",
        ),
    ],
)
def test_key_file(docker: str, changes: dict[str, Any], live: str, tree: str) -> None:
    assert outcomes(startup.StartupKeyFile, changes, docker) == [live, tree]


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({}, "pass"),
        ({TOML: 'version = 2\n[grpc]\naddress = "/var/run/containerd/containerd.sock"\n'}, "pass"),
        ({TOML: 'version = 2\n[grpc]\naddress = "/run/c.sock"\n'}, "required"),
        ({CONTAINERD_UNIT: CONTAINERD.rstrip() + " --address=/run/c.sock\n"}, "required"),
        ({CONTAINERD_UNIT: CONTAINERD.rstrip() + " -a /run/containerd/containerd.sock\n"}, "pass"),
        ({DOCKER_UNIT: DOCKER.replace("/run/containerd/", "/run/k3s/containerd/")}, "info"),
        ({DOCKER_UNIT: "[Service]\nExecStart=/usr/bin/dockerd -H fd://\n"}, "skip"),
        ({CONTAINERD_UNIT: None}, "skip"),
        ({TOML: "[grpc\n"}, "unknown"),
    ],
)
def test_containerd_address(changes: dict[str, Any], outcome: str) -> None:
    assert outcomes(startup.StartupContainerdAddress, changes) == [outcome, outcome]


DAEMON = "/etc/docker/daemon.json"


@pytest.mark.parametrize(
    ("changes", "live", "tree"),
    [
        ({}, "pass", "pass"),
        ({DAEMON: '{"exec-root": "/opt/docker"}'}, "pass", "pass"),
        ({DAEMON: '{"exec-root": "docker"}'}, "required", "required"),
        # With the name of its socket 107 bytes, and one more.
        ({DAEMON: f'{{"exec-root": "/{"x" * 77}"}}'}, "pass", "pass"),
        ({DAEMON: f'{{"exec-root": "/{"x" * 78}"}}'}, "required", "required"),
        # At rest nobody knows what will be there.
        ({DAEMON: '{"exec-root": "/opt/x"}', "/opt/x": "-> /mnt/none"}, "required", "pass"),
        ({DAEMON: '{"exec-root": "/opt/x"}', "/opt/x": "-> /mnt/there", "/mnt/there/": ""}, "pass", "pass"),
        ({"/var/run": "-> /run", "/run/docker": "-> /mnt/none"}, "required", "pass"),
    ],
)
def test_exec_root(changes: dict[str, Any], live: str, tree: str) -> None:
    assert outcomes(startup.StartupExecRoot, changes) == [live, tree]


REMAP = {DAEMON: '{"userns-remap": "default", "data-root": "/srv/a/docker"}', "/srv/a/docker/": ""}


@pytest.mark.parametrize(
    ("modes", "changes", "live", "tree"),
    [
        ({"/srv/a": 0o700}, {DAEMON: '{"data-root": "/srv/a/docker"}'}, "skip", "skip"),
        ({"/srv/a": 0o711}, REMAP, "pass", "pass"),
        ({"/srv/a": 0o700}, REMAP, "required", "required"),
        ({"/srv": 0o750}, REMAP, "required", "required"),
        # dockerd changes its own, and nobody asks after the topmost.
        ({"/srv/a/docker": 0o700, "/": 0o700}, REMAP, "pass", "pass"),
        # The folders on the way are those that links lead to.
        ({"/opt/a": 0o700}, {**REMAP, "/srv/a/docker/": None, "/srv/a": "-> /opt/a", "/opt/a/": ""},
         "required", "required"),
        # Of the group that the remapped root has: 0 here.
        ({"/srv/a": 0o710}, {**REMAP, "/etc/subgid": "dockremap:0:65536\n"}, "pass", "pass"),
        ({"/srv/a": 0o710}, {**REMAP, "/etc/subgid": "dockremap:100000:65536\n"}, "required", "required"),
        # What will be mounted there has a mode of its own.
        ({"/srv/a": 0o700}, {**REMAP, "/etc/fstab": "/dev/a / ext4\n/dev/b /srv/a ext4\n"}, "required", "pass"),
        ({"/srv/a": 0o700}, {**REMAP, "/srv/a/docker/": None}, "pass", "pass"),
    ],
)  # fmt: skip
def test_remapped_root(modes: dict[str, int], changes: dict[str, Any], live: str, tree: str) -> None:
    found = outcomes(startup.StartupRemappedRoot, changes, modes=modes)
    assert found == [live, tree]


@pytest.mark.parametrize(
    "name",
    [
        "StartupDataRoot",
        "StartupExecRoot",
        "StartupRemappedRoot",
        "StartupKeyFile",
        "StartupContainerdAddress",
    ],
)
def test_nothing_is_said_before_docker_is_installed(name: str) -> None:
    assert ask(getattr(startup, name), FakeHost({})).outcome is Outcome.SKIP


DROP_IN = "/etc/systemd/system/docker.service.d/x.conf"
APART = {"/etc/docker/daemon.json": '{"data-root": "/mnt/my-data/docker"}'}


@pytest.mark.parametrize(
    "options, drop_in, expected",
    [
        ("defaults", "", "pass"),
        ("defaults,nofail", "", "recommended"),
        ("_netdev", "", "recommended"),
        ("noauto", "", "required"),
        ("noauto,x-systemd.automount", "", "pass"),
        ("nofail", "[Unit]\nRequiresMountsFor=/mnt/my-data/docker\n", "pass"),
        ("nofail", "[Unit]\nRequiresMountsFor=/var/lib\n", "recommended"),
        ("nofail", "[Unit]\nAfter=mnt-my\\x2ddata.mount\n", "pass"),
        ("_netdev", "[Unit]\nAfter=remote-fs.target\n", "pass"),
    ],
)
def test_the_disk_of_the_data_root(options: str, drop_in: str, expected: str) -> None:
    changes = {
        **APART,
        "/etc/fstab": f"/dev/a / ext4\n/dev/b /mnt/my-data ext4 {options}\n",
        DROP_IN: drop_in,
    }
    assert outcomes(startup.StartupMounts, changes) == [expected, expected]


def test_no_disk_of_its_own() -> None:
    assert outcomes(startup.StartupMounts, {"/etc/fstab": "/dev/a / ext4 nofail\n"}) == ["skip", "skip"]


OWN = ROOT + "28 27 254:16 {root} {point} rw,relatime shared:2 - {kind} {source} rw\n"
DISK = {"root": "/", "point": "/var/lib/docker", "kind": "ext4", "source": "/dev/vdb1"}
FSTAB = {"/etc/fstab": "/dev/a / ext4\n"}


@pytest.mark.parametrize(
    ("disk", "files", "expected"),
    [
        ({}, FSTAB, "recommended"),
        ({"point": "/var/lib"}, FSTAB, "recommended"),
        ({"kind": "zfs", "source": "tank/docker"}, FSTAB, "recommended"),
        ({}, {"/etc/fstab": "/dev/a / ext4\n/dev/vdb1 /var/lib/docker ext4\n"}, "pass"),
        # Where fstab does not name the root something else mounts: an initrd, the outer host of a guest.
        ({}, {"/etc/fstab": "# none\n"}, "skip"),
        ({}, {}, "skip"),
        ({"root": "/@docker"}, FSTAB, "skip"),
        ({"kind": "nfs4", "source": "server:/x"}, FSTAB, "skip"),
        ({"point": "/srv"}, FSTAB, "skip"),
        ({}, {**FSTAB, "/run/systemd/generator.late/var-lib-docker.mount": "[Mount]\n"}, "skip"),
        (
            {"kind": "zfs", "source": "tank/docker"},
            {
                **FSTAB,
                "/usr/lib/systemd/system/zfs.target.wants/zfs-mount.service": "-> ../zfs-mount.service",
            },
            "skip",
        ),
    ],
)
def test_a_disk_that_was_mounted_by_hand(disk: dict[str, str], files: dict[str, str], expected: str) -> None:
    """Only a machine that runs shows it; a tree at rest knows of no such disk."""
    changes = {**files, "/proc/self/mountinfo": OWN.format(**{**DISK, **disk})}
    assert outcomes(startup.StartupMounts, changes)[0] == expected
