"""Which storage dockerd takes, release by release."""

from __future__ import annotations

import doctest
import struct

import pytest

from hostcheck.facts import storage
from hostcheck.host import Host
from hostcheck.testing import FakeHost
from hostcheck.versions import Version

ROOT = "27 1 254:0 / / rw,relatime shared:1 - {type} /dev/vda1 rw\n"
RELEASE = "6.1.0-18-amd64"
MODULES = {
    f"/lib/modules/{RELEASE}/modules.dep": "kernel/fs/overlayfs/overlay.ko:\nkernel/drivers/md/dm-thin-pool.ko:\n",
    f"/lib/modules/{RELEASE}/modules.builtin": "kernel/fs/ext4/ext4.ko\n",
    f"/lib/modules/{RELEASE}/kernel/fs/overlayfs/overlay.ko": "\x7fELF",
    f"/lib/modules/{RELEASE}/kernel/drivers/md/dm-thin-pool.ko": "\x7fELF",
}


def live(version: str, daemon: str = "", kind: str = "ext4", **files: str) -> Host:
    """Return a running host with that docker, daemon.json and file system at /."""
    laid = {
        "/proc/self/mountinfo": ROOT.format(type=kind),
        "/proc/sys/kernel/osrelease": RELEASE + "\n",
        "/usr/bin/dockerd": "\x7fELF",
        "/etc/subuid": "dockremap:100000:65536\n",
        "/etc/subgid": "dockremap:100000:65536\n",
        "/etc/passwd": "dockremap:x:100:100::/:\n",
        "/etc/group": "dockremap:x:100:\n",
        **MODULES,
        **{path: content for path, content in files.items() if path.startswith("/")},
    }
    if daemon:
        laid["/etc/docker/daemon.json"] = daemon
    return FakeHost(laid, assumptions={"docker": version, "stage": "installed"})


def test_doctests() -> None:
    found = doctest.testmod(storage, optionflags=doctest.ELLIPSIS)
    assert found.attempted >= 5
    assert not found.failed


@pytest.mark.parametrize(
    ("version", "first", "has_aufs"),
    [
        ("1.12.6", "aufs", True),
        ("17.06.2", "aufs", True),
        ("17.09.0", "btrfs", True),
        ("19.03.15", "btrfs", True),
        ("20.10.24", "btrfs", True),
        ("23.0.6", "overlay2", True),
        ("24.0.9", "overlay2", False),
        ("29.7.2", "overlay2", False),
    ],
)
def test_orders(version: str, first: str, has_aufs: bool) -> None:
    order = storage.drivers(Version(version))
    assert order[0] == first
    assert ("aufs" in order) is has_aufs
    assert order[-1] == "vfs"


OVERLAY2 = {"/var/lib/docker/overlay2/abc/link": "X"}
DEVICEMAPPER = {"/var/lib/docker/devicemapper/devicemapper/data": ""}


@pytest.mark.parametrize(
    ("version", "daemon", "kind", "files", "name", "store", "refuses"),
    [
        # Nothing set, nothing there.
        ("28.5.2", "", "ext4", {}, "overlay2", "graphdriver", ""),
        ("29.0.0", "", "ext4", {}, "overlayfs", "containerd", ""),
        ("20.10.24", "", "btrfs", {}, "btrfs", "graphdriver", ""),
        ("23.0.0", "", "btrfs", {}, "overlay2", "graphdriver", ""),
        ("28.5.2", "", "overlay", {}, "vfs", "graphdriver", ""),
        # Layers of an earlier start decide.
        ("29.1.0", "", "ext4", OVERLAY2, "overlay2", "graphdriver", ""),
        ("24.0.9", "", "ext4", DEVICEMAPPER, "devicemapper", "graphdriver", "deprecated"),
        ("20.10.24", "", "ext4", DEVICEMAPPER, "devicemapper", "graphdriver", ""),
        ("25.0.0", "", "ext4", DEVICEMAPPER, "overlay2", "graphdriver", ""),
        ("20.10.24", "", "ext4", {**OVERLAY2, **DEVICEMAPPER}, "overlay2", "graphdriver", "layers of"),
        ("25.0.0", "", "ext4", {**OVERLAY2, **DEVICEMAPPER}, "overlay2", "graphdriver", ""),
        # An empty folder and vfs do not count.
        (
            "28.0.0",
            "",
            "ext4",
            {"/var/lib/docker/btrfs/": "", "/var/lib/docker/vfs/dir/a": ""},
            "overlay2",
            "graphdriver",
            "",
        ),
        # Configured.
        ("28.5.2", '{"storage-driver": "overlay2"}', "ext4", DEVICEMAPPER, "overlay2", "graphdriver", ""),
        (
            "28.5.2",
            '{"storage-driver": "overlay2"}',
            "overlay",
            {},
            "overlay2",
            "graphdriver",
            "the kernel refuses",
        ),
        (
            "28.5.2",
            '{"storage-driver": "devicemapper"}',
            "ext4",
            {},
            "devicemapper",
            "graphdriver",
            "removed in docker 25.0",
        ),
        ("24.0.9", '{"storage-driver": "devicemapper"}', "ext4", {}, "devicemapper", "graphdriver", ""),
        ("24.0.9", '{"storage-driver": "aufs"}', "ext4", {}, "aufs", "graphdriver", "removed in docker 24.0"),
        ("28.5.2", '{"storage-driver": "btrfs"}', "ext4", {}, "btrfs", "graphdriver", "is on ext4"),
        (
            "28.5.2",
            '{"storage-driver": "Overlay2"}',
            "ext4",
            {},
            "Overlay2",
            "graphdriver",
            "no storage driver",
        ),
        ("28.5.2", '{"storage-driver": "vfs"}', "ext4", {}, "vfs", "graphdriver", ""),
        (
            "19.03.5",
            '{"storage-driver": "fuse-overlayfs"}',
            "ext4",
            {},
            "fuse-overlayfs",
            "graphdriver",
            "has no driver",
        ),
        (
            "28.5.2",
            '{"storage-driver": "fuse-overlayfs"}',
            "ext4",
            {},
            "fuse-overlayfs",
            "graphdriver",
            "no fuse-overlayfs",
        ),
        # The image store of containerd.
        (
            "28.5.2",
            '{"features": {"containerd-snapshotter": true}}',
            "ext4",
            {},
            "overlayfs",
            "containerd",
            "",
        ),
        (
            "23.0.6",
            '{"features": {"containerd-snapshotter": true}}',
            "ext4",
            {},
            "overlay2",
            "graphdriver",
            "",
        ),
        (
            "29.0.0",
            '{"features": {"containerd-snapshotter": false}}',
            "ext4",
            {},
            "overlay2",
            "graphdriver",
            "",
        ),
        ("29.0.0", '{"storage-driver": "overlay2"}', "ext4", {}, "overlay2", "graphdriver", ""),
        ("29.0.0", '{"storage-driver": "zfs"}', "ext4", {}, "zfs", "containerd", ""),
        ("29.1.0", '{"storage-driver": "zfs"}', "ext4", {}, "zfs", "graphdriver", "is on ext4"),
        ("29.0.0", '{"storage-driver": "stargz"}', "ext4", {}, "stargz", "containerd", ""),
        (
            "29.0.0",
            '{"storage-driver": "overlay2", "features": {"containerd-snapshotter": true}}',
            "ext4",
            {},
            "overlay2",
            "containerd",
            "no snapshotter",
        ),
        ("29.0.0", '{"userns-remap": "default"}', "ext4", {}, "overlay2", "graphdriver", ""),
    ],
)
def test_what_dockerd_takes(
    version: str, daemon: str, kind: str, files: dict[str, str], name: str, store: str, refuses: str
) -> None:
    found = storage.driver(live(version, daemon, kind, **files))
    assert (found.name, found.store) == (name, store)
    assert refuses in found.error
    assert bool(found.error) is bool(refuses)


@pytest.mark.parametrize(
    ("release", "works"),
    [
        ("3.10.0-1160.el7.x86_64", True),
        ("3.10.0-514.21.1.el7.x86_64", True),
        ("3.10.0-327.el7.x86_64", False),
        ("3.10.0-1160.119.1.el7.x86_64", True),
        ("3.10.0", False),
        ("3.16.0-4-amd64", False),
        ("3.10.108-hand-made", False),
        ("4.0.0", True),
        ("6.18.44", True),
        ("unreadable", True),
    ],
)
def test_kernels_with_several_lower_layers(release: str, works: bool) -> None:
    assert storage.overlay2_kernel(release) is works


def test_an_old_kernel_and_a_removed_module() -> None:
    host = FakeHost(
        {
            "/proc/self/mountinfo": ROOT.format(type="xfs"),
            "/proc/sys/kernel/osrelease": "3.10.0-327.el7.x86_64",
            "/etc/docker/daemon.json": '{"storage-driver": "overlay2"}',
        },
        assumptions={"docker": "20.10.9", "stage": "installed"},
    )
    assert "several lower layers" in storage.driver(host).error
    missing = {f"/lib/modules/{RELEASE}/modules.dep": "kernel/fs/xfs/xfs.ko:\n"}
    assert "no overlay" in storage.driver(live("28.5.2", '{"storage-driver": "overlay2"}', **missing)).error
    # The filesystem list of the kernel outweighs a module index that does not have it.
    there = {**missing, "/proc/filesystems": "nodev\tproc\nnodev\toverlay\n"}
    assert not storage.driver(live("28.5.2", '{"storage-driver": "overlay2"}', **there)).error


@pytest.mark.parametrize(
    ("version", "automatic"),
    [
        ("28.5.2+dfsg4-4", False),
        ("28.5.2+dfsg4-5", True),
        ("28.5.2+dfsg4-10", True),
        ("26.1.5+dfsg1-9", False),
    ],
)
def test_layers_of_zfs_beside_a_docker_that_was_built_without_it(version: str, automatic: bool) -> None:
    """Where dockerd knows zfs, what it left there decides; Debian's of later does not know it."""
    status = f"Package: docker.io\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n\n"
    files = {"/var/lib/docker/zfs/x": "", "/var/lib/dpkg/status": status}
    found = storage.driver(live(version.partition("+")[0], **files))
    assert (found.name == "overlay2") is automatic


def test_a_data_root_that_only_root_may_read() -> None:
    class Closed(FakeHost):
        def names(self, path: str) -> tuple[str, ...]:
            if path.startswith("/var/lib/docker"):
                raise PermissionError(path)
            return super().names(path)

    host = Closed(
        {"/proc/self/mountinfo": ROOT.format(type="ext4")},
        assumptions={"docker": "28.0", "stage": "installed"},
    )
    with pytest.raises(PermissionError):
        storage.driver(host)


def test_docker_driver_of_the_unit_outweighs_the_file() -> None:
    unit = "[Service]\nType=notify\nExecStart=/usr/bin/dockerd\nEnvironment=DOCKER_DRIVER=overlay2\n"
    host = live("28.5.2", '{"storage-driver": "vfs"}', **{"/etc/systemd/system/docker.service": unit})
    found = storage.driver(host)
    assert (found.name, found.path, found.line) == ("overlay2", "/etc/systemd/system/docker.service", 4)


def test_containerd_root() -> None:
    def root(config: str) -> tuple[str, str | None, int | None]:
        return storage.containerd_root(FakeHost({"/etc/containerd/config.toml": config}))

    assert root("version = 2\nroot = '/data/c/' # big\n") == ("/data/c", "/etc/containerd/config.toml", 2)
    assert root('[plugins."x"]\nroot = "/y"\n')[0] == "/var/lib/containerd"
    assert root("#root = '/y'\n")[0] == "/var/lib/containerd"


def bolt(free_list: int = 2, pages: int = 4, kind: int = 0x10, spoil: bool = False) -> bytes:
    """Return a small bolt database of four pages."""
    out = bytearray(4096 * 4)
    for index in (0, 1):
        at = index * 4096
        struct.pack_into("<QHHI", out, at, index, 4, 0, 0)
        struct.pack_into(
            storage._META, out, at + 16, storage.BOLT_MAGIC, 2, 4096, 0, 3, 0, free_list, pages, index
        )
        struct.pack_into("<Q", out, at + 72, storage._fnv1a(bytes(out[at + 16 : at + 72])) ^ spoil)
    struct.pack_into("<QHHI", out, 2 * 4096, 2, kind, 0, 0)
    struct.pack_into("<QHHI", out, 3 * 4096, 3, 2, 0, 0)
    return bytes(out)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", ""),
        (bolt(), ""),
        (bolt()[:8192], "ends before"),
        (bolt(kind=2), "not the free list"),
        (bolt(free_list=3), "not the free list"),
        (bolt(spoil=True), "no valid meta"),
        (b"not a bolt file", "no valid meta"),
        (b"\0" * 16384, "no valid meta"),
        (bolt(free_list=0xFFFFFFFFFFFFFFFF), ""),
    ],
)
def test_bolt(data: bytes, problem: str) -> None:
    found = storage.bolt_problem(lambda offset, length: data[offset : offset + length], len(data))
    assert problem in found
    assert bool(found) is bool(problem)


def test_export_of_a_tree() -> None:
    host = FakeHost(
        {
            "/etc/fstab": "UUID=1 / ext4 defaults 0 1\n/dev/vdb /data xfs pquota 0 0\n",
            "/etc/docker/daemon.json": '{"data-root": "/data/docker"}',
        },
        kind="root",
        assumptions={"docker": "28.5.2", "stage": "installed"},
    )
    found = storage.export(host)
    backing, root = found["backing"], found["data_root"]
    assert isinstance(backing, dict)
    assert isinstance(root, dict)
    assert backing["value"]["type"] == "xfs"
    assert (backing["path"], backing["line"]) == ("/etc/fstab", 2)
    assert (root["value"], root["path"]) == ("/data/docker", "/etc/docker/daemon.json")
