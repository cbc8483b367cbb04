"""Where rootless engines keep images: kernels that stack layers for users, FUSE, and disks that take their ids."""

from __future__ import annotations

import importlib
from typing import Any

import docker_host
import pytest
from rootless_host import ELF, KERNEL, OWN, failures, host

from hostcheck.finding import Outcome, Severity
from hostcheck.testing import Content, ask

checks: Any = importlib.import_module("hostcheck.checks.rootless_storage")

OLD = "5.10.0-28-amd64"
FUSE: dict[str, Content | None] = {"/usr/bin/fuse-overlayfs": ELF}


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
    found = failures(ask(checks.RootlessStorageOverlay, here))
    assert found == ({("overlay", "now"): expected} if expected else {})


def test_overlay_of_an_ubuntu_with_a_kernel_of_its_own_name() -> None:
    files: dict[str, Content | None] = {"/etc/os-release": 'ID=ubuntu\nVERSION_ID="20.04"\n'}
    assert not failures(ask(checks.RootlessStorageOverlay, host(files, release="5.4.0-1.custom")))


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
    found = ask(checks.RootlessStorageFuse, host(files, used=False))
    if expected is None:
        assert found.outcome is Outcome.SKIP
    else:
        assert failures(found) == expected


def test_fuse_in_a_tree() -> None:
    assert not failures(ask(checks.RootlessStorageFuse, host({CONF: MOUNT}, kind="root")))
    missing: dict[str, Content | None] = {CONF: MOUNT, f"/lib/modules/{KERNEL}/kernel/fs/fuse/fuse.ko": None}
    found = failures(ask(checks.RootlessStorageFuse, host(missing, kind="root")))
    assert found == {("fuse", "boot"): "required"}


def test_home() -> None:
    nfs = "25 1 8:1 / / rw - ext4 /dev/sda1 rw\n26 25 0:9 / /home rw - nfs4 nas:/home rw\n"
    files: dict[str, Content | None] = {
        "/proc/self/mountinfo": nfs + "30 25 0:26 / /sys/fs/cgroup rw - cgroup2 c rw\n",
        "/etc/fstab": "/dev/sda1 / ext4 defaults 0 1\nnas:/home /home nfs4 defaults 0 0\n",
    }
    root = "/home/u/.local/share/docker"
    assert failures(ask(checks.RootlessStorageHome, host(files))) == {
        (root, "now"): "required", (root, "boot"): "required",
    }  # fmt: skip
    files[OWN] = '{"data-root": "/srv/u"}'
    assert ask(checks.RootlessStorageHome, host(files)).outcome is Outcome.PASS


def test_podman_home() -> None:
    files: dict[str, Any] = {
        "/etc/fstab": "a / xfs\nnas:/home /home nfs4 defaults 0 0\n",
        "/etc/subuid": "u:100000:65536\n",
        "/usr/bin/podman": "\x7fELF",
    }
    assert (
        docker_host.worst(ask(checks.RootlessStoragePodmanHome, docker_host.tree(files)))
        is Severity.RECOMMENDED
    )
    led_away = files | {
        "/etc/containers/storage.conf": '[storage]\nrootless_storage_path = "/var/tmp/$USER"\n'
    }
    assert ask(checks.RootlessStoragePodmanHome, docker_host.tree(led_away)).outcome is Outcome.SKIP
    local = files | {"/etc/fstab": "a / xfs\n"}
    assert ask(checks.RootlessStoragePodmanHome, docker_host.tree(local)).outcome is Outcome.PASS
