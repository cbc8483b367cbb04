"""What holds a path, now and at the next boot."""

from __future__ import annotations

import doctest
import os
import subprocess

import pytest

from hostcheck.facts import mounts
from hostcheck.host import Unavailable
from hostcheck.host.live import LiveHost
from hostcheck.testing import FakeHost

INFO = """\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,errors=remount-ro
30 27 254:1 / /var rw,nosuid,nodev shared:5 - xfs /dev/vdb rw,attr2
31 30 254:2 / /var/lib/docker rw,relatime shared:6 master:3 - btrfs /dev/vdc rw,subvol=/a\\040b
32 27 0:40 /sub /mnt/my\\040disk rw - ext4 /dev/vdd rw
"""


def test_doctests() -> None:
    found = doctest.testmod(mounts)
    assert found.attempted > 5
    assert not found.failed


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("/", "/dev/vda"),
        ("/var", "/dev/vdb"),
        ("/var/lib", "/dev/vdb"),
        ("/var/lib/docker", "/dev/vdc"),
        ("/var/lib/docker/overlay2", "/dev/vdc"),
        ("/var/lib/docker2", "/dev/vdb"),
        ("/variable", "/dev/vda"),
        ("/mnt/my disk/x", "/dev/vdd"),
        ("/proc/self", "proc"),
    ],
)
def test_longest_place_holds(path: str, source: str) -> None:
    found = mounts.now(FakeHost({"/proc/self/mountinfo": INFO}), path)
    assert found is not None
    assert found.source == source


def test_a_later_mount_hides_what_lies_below_it() -> None:
    # A second file system over /var: the walk from / ends there, and /var/lib/docker is out of sight.
    info = INFO + "40 30 254:9 / /var rw - ext4 /dev/hides rw\n"
    host = FakeHost({"/proc/self/mountinfo": info})
    docker, var = mounts.now(host, "/var/lib/docker"), mounts.now(host, "/var")
    assert docker is not None
    assert var is not None
    assert (docker.source, var.source) == ("/dev/hides", "/dev/hides")


def test_of_two_at_one_place_the_later_counts() -> None:
    info = "1 1 0:1 / / rw - rootfs rootfs rw\n2 1 0:2 / / rw - ext4 /dev/vda rw\n3 2 0:3 / /srv rw - xfs /dev/b rw\n"
    host = FakeHost({"/proc/self/mountinfo": info})
    assert [m.source for m in (mounts.now(host, "/etc"), mounts.now(host, "/srv/x")) if m] == [
        "/dev/vda",
        "/dev/b",
    ]


def test_options_and_propagation() -> None:
    docker = mounts.parse_mountinfo(INFO)[3]
    assert docker.shared
    assert docker.option("subvol") == "/a b" or docker.option("subvol") == "/a\\040b"
    assert docker.option("rw") == ""
    assert docker.option("noexec") is None


def test_junk_lines_are_passed_over() -> None:
    assert mounts.parse_mountinfo("\n\0\n1 2 3\nx y z / / rw - ext4 a rw\n1 2 0:1 / / rw ext4 a rw\n") == ()
    assert mounts.parse_fstab("\n# a b c\nlonely\n\tUUID=a\t/x/\t\n")[0].point == "/x"


def test_proc_mounts_where_mountinfo_is_missing() -> None:
    host = FakeHost({"/proc/mounts": "/dev/a / ext4 rw 0 0\n/dev/b /var\\040x xfs rw,noexec 0 0\n"})
    found = mounts.now(host, "/var x/lib")
    assert found is not None
    assert (found.source, found.path, found.line) == ("/dev/b", "/proc/mounts", 2)


def test_links_are_followed() -> None:
    host = FakeHost(
        {
            "/proc/self/mountinfo": INFO,
            "/data": "-> /var/lib/docker",
            "/etc/fstab": "a / ext4\nb /var/lib/docker xfs\n",
        }
    )
    found, boot = mounts.now(host, "/data"), mounts.boot(host, "/data")
    assert found is not None
    assert boot is not None
    assert (found.source, boot.source) == ("/dev/vdc", "b")


@pytest.mark.parametrize(
    ("fstab", "path", "source", "kind"),
    [
        ("UUID=1 / ext4 defaults 0 1\nUUID=2 /var xfs noauto\n", "/var/lib", "UUID=1", "ext4"),
        ("UUID=1 / ext4\nUUID=2 none swap sw\n", "/none", "UUID=1", "ext4"),
        (
            "a / ext4\nb /data xfs\n/data/docker /var/lib/docker none bind\n",
            "/var/lib/docker",
            "/data/docker",
            "xfs",
        ),
        ("a / ext4\nb /var xfs\nc /var btrfs\n", "/var/lib", "b", "xfs"),
        ("a / ext4\nnas:/x /srv nfs4 _netdev,x-systemd.automount\n", "/srv/docker", "nas:/x", "nfs4"),
        ("/x /x none bind\n", "/x/y", "/x", "auto"),
    ],
)
def test_fstab_of_a_tree(fstab: str, path: str, source: str, kind: str) -> None:
    found = mounts.boot(FakeHost({"/etc/fstab": fstab}, kind="root"), path)
    assert found is not None
    assert (found.source, found.type) == (source, kind)


def test_bind_mount_flags() -> None:
    base = "a / ext4 noexec\n/data /srv none "
    inherits = mounts.boot(FakeHost({"/etc/fstab": base + "bind\n"}), "/srv")
    replaces = mounts.boot(FakeHost({"/etc/fstab": base + "bind,nosuid\n"}), "/srv")
    assert inherits is not None
    assert replaces is not None
    assert inherits.option("noexec") == ""
    assert replaces.option("noexec") is None


def test_a_tree_without_fstab_says_nothing() -> None:
    host = FakeHost({"/etc/os-release": ""}, kind="root")
    assert mounts.boot(host, "/var/lib/docker") is None
    with pytest.raises(Unavailable):
        mounts.now(host, "/")


UNIT = "[Unit]\nDescription=x\n[Mount]\nWhat=/dev/vdb\nWhere=/var/lib/docker\nType=xfs\nOptions=nodev\n"


def test_mount_units_count_when_something_wants_them() -> None:
    files = {"/etc/fstab": "a / ext4\n", "/etc/systemd/system/var-lib-docker.mount": UNIT}
    host = FakeHost(files, kind="root")
    unwanted = mounts.boot(host, "/var/lib/docker")
    wants = "/etc/systemd/system/local-fs.target.wants/var-lib-docker.mount"
    wanted = mounts.boot(
        FakeHost({**files, wants: "-> ../var-lib-docker.mount"}, kind="root"), "/var/lib/docker"
    )
    assert unwanted is not None
    assert wanted is not None
    assert unwanted.source == "a"
    assert (wanted.source, wanted.type, wanted.options, wanted.line) == ("/dev/vdb", "xfs", ("nodev",), 7)


def test_mount_unit_drop_ins_and_masks() -> None:
    files = {
        "/usr/lib/systemd/system/tmp.mount": "[Mount]\nWhat=tmpfs\nWhere=/tmp\nType=tmpfs\nOptions=mode=1777\n",
        "/usr/lib/systemd/system/local-fs.target.wants/tmp.mount": "-> ../tmp.mount",
        "/lib": "-> usr/lib",
        "/etc/systemd/system/tmp.mount.d/options.conf": "[Mount]\nOptions=mode=1777,noexec\n",
    }
    found = mounts.boot(FakeHost(files, kind="root"), "/tmp")
    assert found is not None
    assert found.options == ("mode=1777", "noexec")
    assert (found.path, found.line) == ("/etc/systemd/system/tmp.mount.d/options.conf", 2)
    masked = FakeHost({**files, "/etc/systemd/system/tmp.mount": "-> /dev/null"}, kind="root")
    assert mounts.boot(masked, "/tmp") is None


def test_export_tells_now_from_boot() -> None:
    host = FakeHost({"/proc/self/mountinfo": INFO, "/etc/fstab": "/dev/vda / ext4 noatime\n/dev/x /x xfs\n"})
    found = mounts.export(host)
    root, later = found["/"], found["/x"]
    assert isinstance(root, dict)
    assert isinstance(later, dict)
    assert root["boot"]["options"] == "noatime"
    assert root["value"] == root["now"]
    assert later["now"] is None
    assert later["value"]["type"] == "xfs"


def test_agrees_with_the_kernel() -> None:
    """`findmnt --target`, which asks the kernel by statx or statfs, names the same mount."""
    host = LiveHost()
    asked = 0
    for path in ("/", "/proc", "/proc/sys", "/tmp", "/dev/shm", "/sys/fs/cgroup", os.getcwd()):
        try:
            done = subprocess.run(
                ["findmnt", "-n", "-o", "TARGET,FSTYPE", "--target", path],
                capture_output=True,
                text=True,
                check=False,
            )
        except FileNotFoundError:
            pytest.skip("no findmnt")
        found = mounts.now(host, path)
        if done.returncode or not done.stdout.strip():
            continue
        assert found is not None
        assert [found.point, found.type] == done.stdout.split("\n")[0].split(), path
        asked += 1
    assert asked


SHUT_IN = """\
40 1 254:0 / / ro,relatime master:1 - ext4 /dev/vda rw,errors=remount-ro
41 40 0:50 / /tmp rw - tmpfs tmpfs rw
"""


@pytest.mark.parametrize(
    ("init", "expected"),
    [
        (INFO, (mounts.INIT_MOUNTINFO, "rw")),
        # Of another root, as in a container that sees the host's processes.
        (INFO.replace("/dev/vda", "overlay"), (mounts.MOUNTINFO, "ro")),
        ("", (mounts.MOUNTINFO, "ro")),
        (PermissionError("hidden"), (mounts.MOUNTINFO, "ro")),
        (Unavailable("not asked"), (mounts.MOUNTINFO, "ro")),
    ],
)
def test_what_the_first_process_has_mounted_counts(init: str | Exception, expected: tuple[str, str]) -> None:
    host = FakeHost({mounts.MOUNTINFO: SHUT_IN, mounts.INIT_MOUNTINFO: init})
    found = mounts.now(host, "/")
    assert found is not None
    assert (found.path, found.options[0]) == expected
