"""File systems: what stops dockerd, what breaks containers, and what only looks bad."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from docker_host import info, live, tree, worst

from hostcheck.finding import Outcome, Severity
from hostcheck.host import Completed
from hostcheck.testing import ask

checks: Any = importlib.import_module("hostcheck.checks.filesystem")


@pytest.mark.parametrize(
    ("kind", "severity"),
    [
        ("ext4", None),
        ("xfs", None),
        ("btrfs", None),
        ("zfs", None),
        ("f2fs", None),
        ("ecryptfs", Severity.REQUIRED),
        ("fuse.encfs", Severity.REQUIRED),
        ("nfs4", Severity.REQUIRED),
        ("vfat", Severity.REQUIRED),
        ("fuseblk", Severity.REQUIRED),
        ("tmpfs", Severity.RECOMMENDED),
        ("overlay", Severity.RECOMMENDED),
        ("fuse.mergerfs", Severity.RECOMMENDED),
    ],
)
def test_backing(kind: str, severity: Severity | None) -> None:
    result = ask(checks.FilesystemBacking, live(info(f"/var/lib/docker rw - {kind} x rw")))
    assert worst(result) is severity
    if kind not in ("overlay", "fuse.encfs", "ecryptfs"):
        boot = tree({"/etc/fstab": f"a / ext4\nx /var/lib/docker {kind}\n"})
        assert worst(ask(checks.FilesystemBacking, boot)) is severity
        assert ask(checks.FilesystemBacking, boot).findings[0].when == "boot"


def test_backing_of_an_explicit_overlay2_and_of_containerd() -> None:
    files = info("/var/lib/docker rw - overlay x rw") | {
        "/etc/docker/daemon.json": '{"storage-driver": "overlay2"}'
    }
    assert worst(ask(checks.FilesystemBacking, live(files))) is Severity.REQUIRED
    files = info("/var/lib/containerd rw - tmpfs tmpfs rw") | {"/usr/bin/containerd": "\x7fELF"}
    result = ask(checks.FilesystemBacking, live(files))
    assert [f.subject for f in result.failures] == ["/var/lib/containerd"]


def test_backing_of_podman_where_its_storage_lies() -> None:
    files = info("/pods rw - vfat x rw") | {"/usr/bin/podman": "\x7fELF"}
    files["/etc/containers/storage.conf"] = '[storage]\ndriver = "overlay"\ngraphroot = "/pods"\n'
    result = ask(checks.FilesystemBacking, live(files))
    assert [f.subject for f in result.failures] == ["/pods"]


@pytest.mark.parametrize(
    "loaded, driver, severity",
    [
        ("2.1.5-1", "overlay2", Severity.REQUIRED),
        ("2.2.2-1", "overlay2", None),
        ("2.1.5-1", "zfs", None),
        ("", "overlay2", None),
    ],
)
def test_overlay2_on_zfs(loaded: str, driver: str, severity: Severity | None) -> None:
    files = info("/var/lib/docker rw - zfs pool/d rw") | {
        "/etc/docker/daemon.json": f'{{"storage-driver": "{driver}"}}',
        **({"/sys/module/zfs/version": f"{loaded}\n"} if loaded else {}),
    }
    assert worst(ask(checks.FilesystemBacking, live(files))) is severity


def test_now_and_the_next_boot_are_two_answers() -> None:
    files = info("/var/lib/docker rw - xfs /dev/vdb rw") | {
        "/etc/fstab": "a / ext4\nb /var/lib/docker vfat\n"
    }
    result = ask(checks.FilesystemBacking, live(files))
    assert [(f.ok, f.when) for f in result.findings] == [(True, "now"), (False, "boot")]


@pytest.mark.parametrize(
    ("printed", "outcome"),
    [
        ("naming   =version 2  bsize=4096   ascii-ci=0 ftype=0\n", Outcome.FAIL),
        ("meta-data=/dev/x crc=1\nnaming =version 2 bsize=4096 ascii-ci=0, ftype=1\n", Outcome.PASS),
        (Completed(("xfs_info", "/"), 1, "", "not a mounted XFS"), Outcome.PASS),
    ],
)
def test_dtype(printed: Any, outcome: Outcome) -> None:
    files = {"/proc/self/mountinfo": "27 1 254:0 / / rw shared:1 - xfs /dev/vda1 rw\n"}
    assert ask(checks.FilesystemDtype, live(files, commands={("xfs_info", "/"): printed})).outcome is outcome


def test_dtype_on_el7_without_xfs_info_cannot_be_told() -> None:
    files = {
        "/proc/self/mountinfo": "27 1 254:0 / / rw shared:1 - xfs /dev/vda1 rw\n",
        "/proc/sys/kernel/osrelease": "3.10.0-1160.el7.x86_64\n",
    }
    assert ask(checks.FilesystemDtype, live(files)).outcome is Outcome.UNKNOWN


WITHOUT = {("dumpe2fs", "-h", "/dev/vda1"): "Filesystem features:      has_journal extent\n"}


@pytest.mark.parametrize(
    ("docker", "files", "severity"),
    [
        ("20.10.24", {}, Severity.RECOMMENDED),
        ("26.1.5", {}, Severity.RECOMMENDED),
        ("26.1.5", {"/etc/docker/daemon.json": '{"storage-driver": "overlay2"}'}, Severity.REQUIRED),
        ("20.10.24", {"/etc/docker/daemon.json": '{"storage-driver": "overlay2"}'}, Severity.REQUIRED),
        ("20.10.24", {"/var/lib/docker/overlay2/l/": ""}, Severity.RECOMMENDED),
        ("26.1.5", {"/var/lib/docker/overlay2/l/": ""}, Severity.REQUIRED),
        ("29.0.0", {}, Severity.INFO),
        # The image store of containerd lies on the same file system.
        ("29.0.0", {"/usr/bin/containerd": "\x7fELF"}, Severity.REQUIRED),
    ],
)
def test_what_comes_of_no_dtype(docker: str, files: dict[str, Any], severity: Severity) -> None:
    """With a driver named or its layers there dockerd refuses; without it takes vfs."""
    result = ask(checks.FilesystemDtype, live(files, docker, commands=WITHOUT))
    assert worst(result) is severity


def test_dtype_under_the_image_store_of_containerd() -> None:
    files = info("/var/lib/containerd rw - ext4 /dev/vdb rw") | {"/usr/bin/containerd": "\x7fELF"}
    commands = {("dumpe2fs", "-h", "/dev/vdb"): "Filesystem features: extent\n"}
    told = {
        d: worst(ask(checks.FilesystemDtype, live(files, d, commands=commands))) for d in ("28.5.2", "29.0.0")
    }
    assert told == {"28.5.2": Severity.INFO, "29.0.0": Severity.REQUIRED}


def test_dtype_without_dumpe2fs() -> None:
    """Minimal systems have no e2fsprogs; od is part of coreutils and of busybox."""
    superblock = bytearray(2048)
    superblock[1080:1082] = b"\x53\xef"
    superblock[1120] = 0x40  # extent
    printed = "\n".join(superblock[i : i + 16].hex(" ") for i in range(0, 2048, 16))
    command = ("od", "-A", "n", "-v", "-t", "x1", "-N", "2048", "/dev/vda1")
    assert ask(checks.FilesystemDtype, live(commands={command: printed})).outcome is Outcome.FAIL
    assert ask(checks.FilesystemDtype, live(commands={command: "00 00\n"})).outcome is Outcome.PASS


def test_casefold() -> None:
    command = ("dumpe2fs", "-h", "/dev/vda1")
    folded = {command: "Filesystem features:  has_journal filetype casefold\n"}
    assert ask(checks.FilesystemCasefold, live(commands=folded)).outcome is Outcome.FAIL
    assert (
        ask(checks.FilesystemCasefold, live(commands={command: "Filesystem features: filetype\n"})).outcome
        is Outcome.PASS
    )
    newer = {"/proc/sys/kernel/osrelease": "6.17.1-arch1\n"}
    assert ask(checks.FilesystemCasefold, live(newer, commands=folded)).outcome is Outcome.PASS


def test_mount_options() -> None:
    hardened = info("/var rw,nosuid,nodev,noexec shared:2 - xfs /dev/b rw")
    hardened["/etc/fstab"] = "a / ext4\n/dev/b /var xfs rw,nosuid,nodev,noexec 0 0\n"
    result = ask(checks.FilesystemMountOptions, live(hardened))
    assert worst(result) is Severity.REQUIRED
    required = [f for f in result.failures if f.severity is Severity.REQUIRED]
    assert [(f.when, f.subject, f.path, f.line) for f in required] == [
        ("now", "/var/lib/docker noexec", "/proc/self/mountinfo", 2),
        ("boot", "/var/lib/docker noexec", "/etc/fstab", 2),
    ]
    assert required[1].fix
    assert required[1].fix["commands"][0].endswith("/etc/fstab")


def test_mount_options_that_only_volumes_feel() -> None:
    files = info("/var rw,nosuid,nodev shared:2 - xfs /dev/b rw")
    assert worst(ask(checks.FilesystemMountOptions, live(files))) is Severity.INFO
    vfs = files | {"/etc/docker/daemon.json": '{"storage-driver": "vfs"}'}
    assert worst(ask(checks.FilesystemMountOptions, live(vfs))) is Severity.RECOMMENDED


@pytest.mark.parametrize(
    ("folder", "option", "daemon", "fails"),
    [
        ("volumes", "noexec", "{}", True),
        ("volumes", "ro", "{}", True),
        ("volumes", "nosuid", "{}", False),
        ("image", "ro", "{}", True),
        ("containers", "ro", "{}", True),
        # An overlay is a mount of its own; copies are not.
        ("overlay2", "noexec", '{"storage-driver": "overlay2"}', False),
        ("vfs", "noexec", '{"storage-driver": "vfs"}', True),
        # Nothing that dockerd writes to.
        ("mine", "ro", "{}", False),
    ],
)
def test_disks_below_the_data_root(folder: str, option: str, daemon: str, fails: bool) -> None:
    point = f"/var/lib/docker/{folder}"
    files = info(f"{point} rw,{option} - xfs /dev/b rw") | {"/etc/docker/daemon.json": daemon}
    fstab = {"/etc/fstab": f"a / ext4\nb {point} xfs rw,{option} 0 0\n", "/etc/docker/daemon.json": daemon}
    for host in (live(files), tree(fstab)):
        failures = ask(checks.FilesystemMountOptions, host).failures
        assert [f.subject for f in failures] == [f"{point} {option}"] * fails


@pytest.mark.parametrize(("driver", "fails"), [("overlay2", True), ("vfs", False)])
def test_links_that_are_not_followed(driver: str, fails: bool) -> None:
    files = info("/var rw,nosymfollow - xfs /dev/b rw")
    files["/etc/docker/daemon.json"] = f'{{"storage-driver": "{driver}"}}'
    assert (worst(ask(checks.FilesystemMountOptions, live(files))) is Severity.REQUIRED) == fails


def test_noexec_under_containerd_stops_nothing() -> None:
    files = info("/var/lib/containerd rw,noexec - xfs /dev/b rw") | {"/usr/bin/containerd": "\x7fELF"}
    assert worst(ask(checks.FilesystemMountOptions, live(files))) is Severity.INFO
    files = info("/var/lib/containerd ro - xfs /dev/b rw") | {"/usr/bin/containerd": "\x7fELF"}
    assert worst(ask(checks.FilesystemMountOptions, live(files))) is Severity.REQUIRED


@pytest.mark.parametrize(
    ("folder", "said", "inside", "expected"),
    [
        ("docker", "----i---------e-------", (), Severity.REQUIRED),
        ("docker", "-----a--------e-------", (), Severity.REQUIRED),
        ("docker", "--------------e-------", (), None),
        ("docker", None, (), None),
        ("containerd", "----i---------e-------", ("lost+found/",), Severity.REQUIRED),
        # An older one may start on what it made before.
        (
            "containerd",
            "----i---------e-------",
            ("io.containerd.content.v1.content/",),
            Severity.RECOMMENDED,
        ),
        ("kubelet", "----i---------e-------", (), None),
    ],
)
def test_attributes(
    folder: str, said: str | None, inside: tuple[str, ...], expected: Severity | None
) -> None:
    path = f"/var/lib/{folder}"
    laid = dict.fromkeys((f"{path}/{name}" for name in ("", *inside)), "")
    mounted = info("/var/lib rw - ext4 /dev/b rw")
    engines = {f"/usr/bin/{name}": "\x7fELF" for name in ("dockerd", "containerd", "kubelet")}
    asked = {("lsattr", "-d", path): f"{said} {path}\n"} if said else {}
    result = ask(checks.FilesystemMountOptions, live({**mounted, **engines, **laid}, commands=asked))
    assert (worst(result) if result.failures else None) is expected
    assert ask(checks.FilesystemMountOptions, tree({**engines, **laid})).failures == []


def test_the_printed_sed_takes_the_option_out(tmp_path: Any) -> None:
    import subprocess

    hardened = {
        "/etc/fstab": "a / ext4\n/dev/b /var xfs rw,noexec,nosuid 0 0\nc /mnt/noexec ext4 noexec 0 0\n"
    }
    result = ask(checks.FilesystemMountOptions, tree(hardened))
    command = next(f.fix for f in result.failures if f.fix and f.subject.endswith("noexec"))["commands"][0]
    file = tmp_path / "fstab"
    file.write_text(hardened["/etc/fstab"])
    subprocess.run(["sh", "-c", command.replace("/etc/fstab", str(file))], check=True)
    assert file.read_text().split("\n")[1] == "/dev/b /var xfs rw,nosuid 0 0"
    assert file.read_text().split("\n")[2] == "c /mnt/noexec ext4 noexec 0 0"


def test_propagation() -> None:
    private = {"/proc/self/mountinfo": "27 1 254:0 / / rw - ext4 /dev/vda1 rw\n"}
    assert worst(ask(checks.FilesystemPropagation, live(private))) is Severity.INFO
    old = {"/proc/self/mountinfo": "", "/proc/mounts": "/dev/vda1 / ext4 rw 0 0\n"}
    assert ask(checks.FilesystemPropagation, live(old)).outcome is Outcome.UNKNOWN


def test_tmp_noexec() -> None:
    fstab = {"/etc/fstab": "a / ext4\ntmpfs /tmp tmpfs nosuid,noexec 0 0\n"}
    compose = {
        "/usr/local/bin/docker-compose": b"\x7fELF" + b"\0" * 9000 + b"MEI\014\013\012\013\016" + b"\0" * 80
    }
    plugin = {"/usr/local/bin/docker-compose": b"\x7fELF" + b"\0" * 9000 + b"Go build ID"}
    assert ask(checks.FilesystemTmpNoexec, tree({**fstab, **compose})).outcome is Outcome.FAIL
    assert ask(checks.FilesystemTmpNoexec, tree({**fstab, **plugin})).outcome is Outcome.SKIP
    assert ask(checks.FilesystemTmpNoexec, tree(compose)).outcome is Outcome.SKIP
    dies = Completed(("docker-compose",), 127, "", "libz.so.1: failed to map segment from shared object")
    host = live(fstab, commands={("docker-compose", "--version"): dies})
    # Here it is not asked, since it would unpack itself; what a person wrote down was.
    host.written_by_hand = host.recording = False
    assert ask(checks.FilesystemTmpNoexec, host).outcome is Outcome.SKIP
    host.written_by_hand = host.recording = True
    assert ask(checks.FilesystemTmpNoexec, host).outcome is Outcome.FAIL
