"""The same root tree in every kind of file gives the same report; hostile files give a clear error."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tarfile
import time
from typing import Any, Callable

import pytest

from hostcheck import plugins
from hostcheck.facts import boot
from hostcheck.host import FileSystem, Host, NoTarget, Unavailable, disk
from hostcheck.host import layers as layers_module
from hostcheck.host.target import open_target
from hostcheck.policy import Policy
from hostcheck.reporters.json import to_dict

TREE = pathlib.Path(__file__).resolve().parents[1] / "hosts" / "debian-12"

DISK_CHECKS = {"filesystem.backing", "filesystem.mount_options", "filesystem.dtype", "storage.driver"}
"""What only a disk can tell: its file systems."""


def need_dissect() -> None:
    """Skip where the libraries are missing, or do not know this Python."""
    try:
        import dissect.target.filesystem  # noqa: F401
    except ImportError as reason:
        pytest.skip(f"no dissect: {reason}")


def test_libraries_that_do_not_run_with_this_python(tmp_path: pathlib.Path) -> None:
    package = tmp_path / "libraries/dissect/target"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    image = tmp_path / "disk.raw"
    image.write_bytes(bytes(510) + b"\x55\xaa" + bytes(1 << 20))
    done = subprocess.run(
        [sys.executable, "-m", "hostcheck", str(image)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "libraries")},
        timeout=60,
    )
    assert done.returncode == 2
    assert "its libraries do not run with this Python" in done.stderr


def report(host: Host) -> dict[str, Any]:
    """Return the results by check, without how long they took."""
    policy = Policy.load("docker")
    whole = to_dict(policy.judge(host, policy.configure(plugins.shipped())))
    return {r["id"]: {k: v for k, v in r.items() if k != "seconds"} for r in whole["results"]}


@pytest.fixture(scope="module")
def expected() -> dict[str, Any]:
    """Return the report of the folder."""
    return report(open_target(str(TREE)))


def tool(*argv: object) -> None:
    """Run a tool that makes images; skip where it is missing."""
    if shutil.which(str(argv[0])) is None:
        pytest.skip(f"{argv[0]} is not installed")
    subprocess.run([str(a) for a in argv], check=True, capture_output=True, timeout=120)


def tar_of(folder: pathlib.Path, prefix: str = "./") -> bytes:
    """Return a folder as a tar."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.add(folder, arcname=prefix.rstrip("/") or ".")
    return out.getvalue()


def tar_with(*members: tuple[str, bytes | str | None], kind: bytes = tarfile.REGTYPE) -> bytes:
    """Return a tar: a text is a link to it, None a folder, bytes a file."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.mode = 0o755
            if content is None:
                info.type = tarfile.DIRTYPE
                tar.addfile(info)
            elif isinstance(content, str):
                info.type = tarfile.SYMTYPE if kind == tarfile.REGTYPE else kind
                info.linkname = content
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def layout(folder: pathlib.Path, *layers: bytes, platform: str = "amd64") -> None:
    """Write an OCI layout with these layers, behind an index of two platforms."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def blob(data: bytes) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"digest": f"sha256:{digest}", "size": len(data)}

    manifest = {"schemaVersion": 2, "config": blob(b"{}"), "layers": [blob(layer) for layer in layers]}
    attestation = {**blob(b"{}"), "platform": {"os": "unknown", "architecture": "unknown"}}
    ours = {**blob(json.dumps(manifest).encode()), "platform": {"os": "linux", "architecture": platform}}
    inner = blob(json.dumps({"manifests": [attestation, ours]}).encode())
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [inner]}))


def saved(*layers: bytes) -> bytes:
    """Return what `docker save` before 25 writes."""
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    manifest = json.dumps([{"Config": "c.json", "RepoTags": None, "Layers": names}]).encode()
    return tar_with(*zip(names, layers), ("c.json", b"{}"), ("manifest.json", manifest))


def oci_archive(tmp_path: pathlib.Path) -> bytes:
    """Return an OCI archive of three layers: the tree, mistakes, and what mends them."""
    wrong = tar_with(("etc/docker/daemon.json", b"{"), ("etc/sysctl.d/99-bad.conf", b"x"))
    # The tree has no /etc/docker: the folder goes with the file in it.
    right = [("etc/.wh.docker", b""), ("etc/sysctl.d/.wh.99-bad.conf", b"")]
    layout(tmp_path / "layout", tar_of(TREE), wrong, gzip.compress(tar_with(*right)))
    return tar_of(tmp_path / "layout")


ARCHIVES: dict[str, Callable[[pathlib.Path], bytes]] = {
    "tar": lambda _: tar_of(TREE),
    "tar without ./": lambda _: tar_of(TREE, "/"),
    "tar of rootfs/": lambda _: tar_of(TREE, "rootfs"),
    "tar.gz": lambda _: gzip.compress(tar_of(TREE)),
    "tar.xz": lambda _: lzma.compress(tar_of(TREE)),
    "tar.bz2": lambda _: bz2.compress(tar_of(TREE)),
    "docker save": lambda _: saved(tar_of(TREE)),
    "docker save, packed": lambda _: gzip.compress(saved(tar_of(TREE))),
    "OCI archive": oci_archive,
}


@pytest.mark.parametrize("kind", ARCHIVES)
def test_archive_is_as_its_folder(kind: str, tmp_path: pathlib.Path, expected: dict[str, Any]) -> None:
    """Every archive gives the report of the folder that it was made of."""
    file = tmp_path / "image"
    file.write_bytes(ARCHIVES[kind](tmp_path))
    assert report(open_target(str(file))) == expected


def test_zstd(tmp_path: pathlib.Path, expected: dict[str, Any]) -> None:
    """A tar packed with zstd is read where the library is."""
    zstandard = pytest.importorskip("zstandard")
    file = tmp_path / "image.tar.zst"
    file.write_bytes(zstandard.compress(tar_of(TREE)))
    assert report(open_target(str(file))) == expected


def test_oci_layout_folder(tmp_path: pathlib.Path, expected: dict[str, Any]) -> None:
    """A layout in a folder is no root tree."""
    layout(tmp_path / "layout", tar_of(TREE), platform="s390x")
    assert report(open_target(str(tmp_path / "layout"))) == expected


def partitions(disk: pathlib.Path, tmp_path: pathlib.Path, tree: pathlib.Path) -> None:
    """Make a GPT disk with an ESP and an ext4 root."""
    root, esp = tmp_path / "root.ext4", tmp_path / "esp.fat"
    ext4(root, tree)
    tool("truncate", "-s", "40M", esp)
    tool("mkfs.vfat", "-F", "32", "-i", "1234abcd", esp)
    (tmp_path / "loader.conf").write_text("default x.conf\n")
    tool("mmd", "-i", esp, "::/loader")
    tool("mcopy", "-i", esp, tmp_path / "loader.conf", "::/loader/loader.conf")
    tool("truncate", "-s", "120M", disk)
    tool("sgdisk", "-n", "1:2048:+40M", "-t", "1:ef00", "-n", "2:0:+64M", "-t", "2:8304", disk)
    tool("dd", f"if={esp}", f"of={disk}", "bs=1M", "seek=1", "conv=notrunc")
    tool("dd", f"if={root}", f"of={disk}", "bs=1M", "seek=41", "conv=notrunc")


def ext4(file: pathlib.Path, tree: pathlib.Path, *options: str) -> None:
    """Make an ext4 file system with the tree in it."""
    tool("truncate", "-s", "64M", file)
    tool("mkfs.ext4", "-q", "-F", "-d", tree, *options, file)


def disks(kind: str, tmp_path: pathlib.Path, tree: pathlib.Path) -> pathlib.Path:
    """Make a disk image of a kind."""
    file = tmp_path / "disk.image"
    if kind == "ext4":
        ext4(file, tree)
    elif kind == "squashfs":
        tool("mksquashfs", tree, file, "-quiet", "-no-progress")
    elif kind == "btrfs":
        tool("truncate", "-s", "256M", file)
        tool("mkfs.btrfs", "-q", "--rootdir", tree, file)
    else:
        partitions(tmp_path / "gpt", tmp_path, tree)
        if kind == "gpt":
            return tmp_path / "gpt"
        if kind == "gpt.xz":
            file.write_bytes(lzma.compress((tmp_path / "gpt").read_bytes(), preset=0))
        else:
            tool("qemu-img", "convert", "-O", kind, tmp_path / "gpt", file)
    return file


@pytest.mark.parametrize(
    "kind", ["ext4", "squashfs", "btrfs", "gpt", "gpt.xz", "qcow2", "vmdk", "vhdx", "vdi"]
)
def test_disk_is_as_its_folder(kind: str, tmp_path: pathlib.Path, expected: dict[str, Any]) -> None:
    """Every disk gives the report of its folder, but for what only a disk can tell."""
    need_dissect()
    seen = report(open_target(str(disks(kind, tmp_path, TREE))))
    assert {k: v for k, v in seen.items() if k not in DISK_CHECKS} == {
        k: v for k, v in expected.items() if k not in DISK_CHECKS
    }


def test_mounts_of_a_disk(tmp_path: pathlib.Path) -> None:
    """The ESP lies where fstab says, and the file systems are told with their features."""
    need_dissect()
    tree = tmp_path / "tree"
    for folder in ("etc", "boot/efi"):
        (tree / folder).mkdir(parents=True)
    (tree / "etc/fstab").write_text(
        "LABEL=x / auto defaults 0 1\nUUID=1234-ABCD /boot/efi vfat umask=0077 0 1\n"
    )
    partitions(tmp_path / "gpt", tmp_path, tree)
    host = open_target(str(tmp_path / "gpt"))
    assert host.read("/boot/efi/loader/loader.conf") == "default x.conf\n"
    root, esp = host.file_systems()
    assert (root.point, root.type, "filetype" in root.features) == ("/", "ext4", True)
    assert esp == FileSystem("/boot/efi", "vfat", frozenset())


def test_esp_without_fstab(tmp_path: pathlib.Path) -> None:
    """The boot loader reads an ESP that nothing mounts."""
    need_dissect()
    (tmp_path / "tree/etc").mkdir(parents=True)
    (tmp_path / "tree/etc/os-release").write_text("ID=debian\n")
    partitions(tmp_path / "gpt", tmp_path, tmp_path / "tree")
    assert open_target(str(tmp_path / "gpt")).read("/efi/loader/loader.conf") == "default x.conf\n"


@pytest.mark.parametrize(("option", "has"), [("^filetype", False), ("filetype", True)])
def test_ext4_filetype(option: str, has: bool, tmp_path: pathlib.Path) -> None:
    """The feature that overlay2 needs is read from the superblock."""
    need_dissect()
    (tmp_path / "tree/etc").mkdir(parents=True)
    (tmp_path / "tree/etc/passwd").write_text("root:x:0:0::/:/bin/sh\n")
    ext4(tmp_path / "disk", tmp_path / "tree", "-O", option)
    (system,) = open_target(str(tmp_path / "disk")).file_systems()
    assert ("filetype" in system.features) is has


@pytest.mark.parametrize(
    ("option", "feature"), [(("-m", "crc=0", "-n", "ftype=0"), "ftype=0"), ((), "ftype=1")]
)
def test_xfs_ftype(option: tuple[str, ...], feature: str, tmp_path: pathlib.Path) -> None:
    """Also of xfs, version 4 and 5. mkfs makes the files that a list names (xfs_protofile(8))."""
    need_dissect()
    listed = tmp_path / "files"
    (tmp_path / "passwd").write_text("root:x:0:0::/:/bin/sh\n")
    listed.write_text(f"/\n0 0\nd--755 0 0\netc d--755 0 0\npasswd ---644 0 0 {tmp_path / 'passwd'}\n$\n$\n")
    tool("truncate", "-s", "310M", tmp_path / "disk")
    tool("mkfs.xfs", "-q", *option, "-p", listed, tmp_path / "disk")
    host = open_target(str(tmp_path / "disk"))
    assert feature in host.file_systems()[0].features
    assert host.read("/etc/passwd") == "root:x:0:0::/:/bin/sh\n"


def test_lvm(tmp_path: pathlib.Path) -> None:
    """A logical volume is found under the name that fstab gives it."""
    need_dissect()
    (tmp_path / "tree/etc").mkdir(parents=True)
    (tmp_path / "tree/etc/fstab").write_text(
        "/dev/vg0/root / ext4 defaults 0 1\n/dev/mapper/vg0-var /var ext4 x 0 2\n"
    )
    (tmp_path / "var").mkdir()
    (tmp_path / "var/here").write_text("yes")
    ext4(tmp_path / "root.ext4", tmp_path / "tree")
    ext4(tmp_path / "var.ext4", tmp_path / "var")
    disk = tmp_path / "disk"
    tool("truncate", "-s", "200M", disk)
    # A text of LVM's own format, so that neither its tools nor device-mapper are needed to make it.
    extent = 8192 * 512
    write_lvm(disk, {"root": (0, 16), "var": (16, 16)}, extent)
    for number, name in enumerate(("root.ext4", "var.ext4")):
        tool("dd", f"if={tmp_path / name}", f"of={disk}", "bs=1M", f"seek={1 + 64 * number}", "conv=notrunc")
    host = open_target(str(disk))
    assert host.read("/var/here") == "yes"
    assert [system.point for system in host.file_systems()] == ["/", "/var"]


def deployed(top: pathlib.Path, *sums: str) -> None:
    """Make the disk of an ostree system: a deployment for each sum, in the order of the menu."""
    group = top / "ostree/deploy/fcos"
    (group / "var/lib").mkdir(parents=True)
    (group / "var/lib/here").write_text("of all deployments")
    entries = top / "boot/loader.1/entries"
    entries.mkdir(parents=True)
    (top / "boot/loader").symlink_to("loader.1")
    (top / "ostree/boot.1").symlink_to("boot.1.1")
    for number, checksum in enumerate(sums):
        tree = group / f"deploy/{checksum}.0"
        for folder in ("etc", "usr/lib", "var", "boot"):
            (tree / folder).mkdir(parents=True)
        (tree / "usr/lib/os-release").write_text(f"ID=fedora\nVARIANT_ID={checksum}\n")
        (tree / "etc/os-release").symlink_to("../usr/lib/os-release")
        (group / f"deploy/{checksum}.0.origin").write_text("[origin]\n")
        link = top / f"ostree/boot.1.1/fcos/{checksum}/0"
        link.parent.mkdir(parents=True)
        link.symlink_to(f"../../../deploy/fcos/deploy/{checksum}.0")
        (entries / f"ostree-{len(sums) - number}.conf").write_text(
            f"title Fedora\nversion {len(sums) - number}\nlinux /ostree/fcos-{checksum}/vmlinuz-6.12.5\n"
            f"options rw ostree=/ostree/boot.1/fcos/{checksum}/0 {checksum}\n"
        )


@pytest.mark.parametrize("kind", ["ext4", "btrfs", "squashfs"])
def test_ostree(kind: str, tmp_path: pathlib.Path) -> None:
    """The root is the deployment that boots, with the /var of all of them and the disk's /boot."""
    need_dissect()
    deployed(tmp_path / "tree", "aaa", "bbb")
    host = open_target(str(disks(kind, tmp_path, tmp_path / "tree")))
    assert "VARIANT_ID=aaa" in host.read("/etc/os-release")
    assert host.read("/var/lib/here") == "of all deployments"
    booted = boot.boot(host)
    assert (booted.loader, booted.release) == ("bls", "6.12.5")
    assert [(entry.cmdline or "").rpartition(" ")[2] for entry in booted.entries] == ["aaa", "bbb"]
    assert boot.is_ostree(host)


@pytest.mark.parametrize("sums", [["aaa"], ["aaa", "bbb"]])
def test_ostree_without_entries(sums: list[str], tmp_path: pathlib.Path) -> None:
    """One deployment is the root, of two it is not known."""
    need_dissect()
    deployed(tmp_path / "tree", *sums)
    (tmp_path / "tree/boot/loader").unlink()
    file = disks("ext4", tmp_path, tmp_path / "tree")
    if len(sums) == 1:
        assert "VARIANT_ID=aaa" in open_target(str(file)).read("/etc/os-release")
    else:
        with pytest.raises(NoTarget, match="2 deployments"):
            open_target(str(file))


def write_lvm(disk: pathlib.Path, volumes: dict[str, tuple[int, int]], extent: int) -> None:
    """Write a physical volume with one group. Source: lvm2, lib/format_text/layout.h."""
    uuid = "a" * 32
    segments = "\n".join(
        f'{name} {{\nid = "{name}"\nstatus = ["READ", "WRITE", "VISIBLE"]\nflags = []\nsegment_count = 1\n'
        f'segment1 {{\nstart_extent = 0\nextent_count = {count}\ntype = "striped"\nstripe_count = 1\n'
        f'stripes = ["pv0", {start}]\n}}\n}}'
        for name, (start, count) in volumes.items()
    )
    text = (
        f'vg0 {{\nid = "x"\nseqno = 1\nformat = "lvm2"\nstatus = ["READ", "WRITE"]\nflags = []\n'
        f"extent_size = {extent // 512}\nmax_lv = 0\nmax_pv = 0\nmetadata_copies = 0\n"
        f'physical_volumes {{\npv0 {{\nid = "{uuid}"\ndevice = "/dev/sda"\nstatus = ["ALLOCATABLE"]\nflags = []\n'
        f"dev_size = 409600\npe_start = 2048\npe_count = 49\n}}\n}}\nlogical_volumes {{\n{segments}\n}}\n}}\n"
        '# Generated\ncontents = "Text Format Volume Group"\nversion = 1\ndescription = ""\n'
    ).encode()

    def number(value: int, size: int = 8) -> bytes:
        return value.to_bytes(size, "little")

    size = disk.stat().st_size
    areas = number(1 << 20) + number(0) + bytes(16) + number(4096) + number((1 << 20) - 4096) + bytes(16)
    label = (
        b"LABELONE"
        + number(1)
        + number(0, 4)
        + number(32, 4)
        + b"LVM2 001"
        + uuid.encode()
        + number(size)
        + areas
    )
    header = number(0, 4) + b" LVM2 x[5A%r0N*>" + number(1, 4) + number(4096) + number((1 << 20) - 4096)
    header += number(512) + number(len(text)) + number(0, 4) + number(0, 4) + bytes(24)
    with disk.open("r+b") as file:
        file.seek(512)
        file.write(label)
        file.seek(4096)
        file.write(header)
        file.seek(4096 + 512)
        file.write(text)


def host_of(*members: tuple[str, bytes | str | None], tmp_path: pathlib.Path) -> Host:
    """Return the host in a tar of these members."""
    (tmp_path / "image.tar").write_bytes(tar_with(*members))
    return open_target(str(tmp_path / "image.tar"))


def test_hostile_names(tmp_path: pathlib.Path) -> None:
    """Names that climb out are nobody's, absolute ones lie in the tree, links stay inside."""
    (tmp_path / "secret").write_text("outside")
    host = host_of(
        ("../../etc/shadow", b"climbed"),
        ("/etc/absolute", b"inside"),
        ("etc/out", str(tmp_path / "secret")),
        ("etc/up", "../../../../../../etc/absolute"),
        ("etc/loop", "loop"),
        ("lib", "usr/lib"),
        ("usr/lib/deep", None),
        ("lib/deep/file", b"through a link"),
        ("etc/absolute/below", b"a file is no folder"),
        tmp_path=tmp_path,
    )
    assert host.names("/") == ("etc", "lib", "usr")
    assert host.read("/etc/absolute") == host.read("/etc/up") == "inside"
    assert host.read("/usr/lib/deep/file") == "through a link"
    for path in ("/etc/out", "/etc/loop", "/etc/shadow", "/etc/absolute/below"):
        with pytest.raises(FileNotFoundError):
            host.read(path)


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_devices_are_not_read(kind: bytes, tmp_path: pathlib.Path) -> None:
    """A device is there, and nothing can be read from it."""
    (tmp_path / "image.tar").write_bytes(tar_with(("etc/passwd", ""), kind=kind))
    host = open_target(str(tmp_path / "image.tar"))
    assert not host.stat("/etc/passwd").is_file
    with pytest.raises(Unavailable):
        host.read("/etc/passwd")


def test_hard_links(tmp_path: pathlib.Path) -> None:
    """A hard link has the bytes of what it names; one that names nothing is nothing."""
    data = tar_with(("etc/a", b"text"))[:1024] + tar_with(
        ("etc/b", "etc/a"), ("etc/c", "none"), kind=tarfile.LNKTYPE
    )
    (tmp_path / "image.tar").write_bytes(data)
    host = open_target(str(tmp_path / "image.tar"))
    assert host.read("/etc/b") == "text"
    assert host.names("/etc") == ("a", "b")


def test_whiteouts(tmp_path: pathlib.Path) -> None:
    """Marks remove what lies below, not what their own layer brings (OCI image specification, layer.md)."""
    lower = tar_with(
        ("etc/gone", b"1"), ("etc/kept", b"1"), ("opt/a", b"1"), ("opt/b", b"1"), ("var/x", b"1")
    )
    upper = tar_with(
        ("etc/.wh.gone", b""),
        ("opt/.wh..wh..opq", b""),
        ("opt/new", b"2"),
        ("var", b"a file now"),
        ("usr/same", b"2"),
        ("usr/.wh.same", b""),
    )
    layout(tmp_path / "layout", lower, upper)
    host = open_target(str(tmp_path / "layout"))
    assert host.names("/etc") == ("kept",)
    assert host.names("/opt") == ("new",)
    assert host.read("/var") == "a file now"
    assert host.names("/usr") == ("same",)


def test_layout_link_out(tmp_path: pathlib.Path) -> None:
    """A blob that is a link to a file of this machine is not followed."""
    layout(tmp_path / "layout", tar_of(TREE))
    (tmp_path / "outside.tar").write_bytes(tar_of(TREE))
    blobs = tmp_path / "layout/blobs/sha256"
    largest = max(blobs.iterdir(), key=lambda path: path.stat().st_size)
    largest.unlink()
    largest.symlink_to(tmp_path / "outside.tar")
    with pytest.raises(NoTarget, match="missing"):
        open_target(str(tmp_path / "layout"))


def tarfile_header(kind: bytes, size: int) -> bytes:
    """Return the header of a tar's member that is not there."""
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 16)


def gpt(rows: int, size: int) -> bytes:
    """Return a disk with a table that claims so many rows of that size."""
    mbr = bytearray(512)
    mbr[450], mbr[454:462], mbr[510:] = 0xEE, struct.pack("<II", 1, 0xFFFF), b"\x55\xaa"
    table = struct.pack(
        "<8s4I4Q16sQ3I", b"EFI PART", 0x10000, 92, 0, 0, 1, 2047, 34, 2000, bytes(16), 2, rows, size, 0
    )
    return bytes(mbr) + table.ljust(1 << 20, b"\0")


def mbr_in_a_circle() -> bytes:
    """Return a disk whose extended partition leads to itself."""
    disk = bytearray(1 << 20)
    for start, following in ((0, 63), (63 * 512, 0)):
        disk[start + 450], disk[start + 454 : start + 462] = 0x83, struct.pack("<II", 1, 100)
        disk[start + 466], disk[start + 470 : start + 478] = 0x05, struct.pack("<II", following, 100)
        disk[start + 510 : start + 512] = b"\x55\xaa"
    return bytes(disk)


def qcow2_of(backing: bytes) -> bytes:
    """Return a qcow2 whose blocks are to be taken from another file. Source: QEMU, docs/interop/qcow2."""
    head = struct.pack(
        ">4sIQIIQIIQQIIQ", b"QFI\xfb", 2, 512, len(backing), 16, 1 << 20, 0, 1, 1 << 16, 0, 0, 0, 0
    )
    return head.ljust(512, b"\0") + backing.ljust(1 << 17, b"\0")


def damaged(tmp_path: pathlib.Path, name: str) -> bytes:
    """Return the bytes of one bad file."""
    tar = tar_of(TREE)
    return {
        "empty": b"",
        "text": b"hello\n" * 100,
        "zeros": bytes(1 << 20),
        "half a tar": tar[: len(tar) // 3],
        "half a gzip": gzip.compress(tar)[:5000],
        "gzip of text": gzip.compress(b"hello" * 1000),
        "xz garbage": b"\xfd7zXZ\x00" + b"garbage" * 100,
        "zstd garbage": b"\x28\xb5\x2f\xfd" + b"garbage" * 100,
        "qcow2 header alone": b"QFI\xfb\x00\x00\x00\x03",
        "qcow2 absurd": b"QFI\xfb\x00\x00\x00\x03" + b"\xff" * 4096,
        "qcow2 on a file of this machine": qcow2_of(b"/etc/shadow"),
        "qcow2 on itself": qcow2_of(str(tmp_path / "image").encode()),
        "GPT of four billion rows": gpt(0xFFFFFFFF, 128),
        "GPT of rows without a size": gpt(0xFFFFFFFF, 0),
        "MBR in a circle": mbr_in_a_circle(),
        "tar of a member without an end": tar_with(("etc/passwd", b"x"))[:124]
        + b"77777777777\0"
        + bytes(2000),
        "pax header without an end": tarfile_header(tarfile.XHDTYPE, 8 << 30),
        "long name without an end": tarfile_header(tarfile.GNUTYPE_LONGNAME, 8 << 30),
        "links of links": tar_with(*((f"a{n}", f"a{n + 1}/a{n + 1}") for n in range(500)), ("a0/x", b"x")),
        "vmdk descriptor": b'# Disk DescriptorFile\nCID=1\nparentCID=ffffffff\nRW 10 FLAT "/etc/shadow" 0\n',
        "vmdk absurd": b"KDMV" + b"\xff" * 4096,
        "vhdx absurd": b"vhdxfile" + b"\xff" * 4096,
        "vdi absurd": bytes(64) + b"\x7f\x10\xda\xbe" + b"\xff" * 4096,
        "ext absurd": bytes(1080) + b"\x53\xef" + b"\xff" * 4096,
        "xfs absurd": b"XFSB" + b"\xff" * 4096,
        "btrfs absurd": bytes(0x10040) + b"_BHRfS_M" + b"\xff" * 8192,
        "squashfs absurd": b"hsqs" + b"\xff" * 4096,
        "MBR of nothing": bytes(510) + b"\x55\xaa" + bytes(1 << 16),
        "GPT absurd": bytes(510) + b"\x55\xaaEFI PART" + b"\xff" * (1 << 16),
        "LVM absurd": bytes(512) + b"LABELONE" + b"\xff" * (1 << 16),
        "ISO absurd": bytes(32769) + b"CD001" + b"\xff" * (1 << 16),
        "manifest of garbage": tar_with(("manifest.json", b"[{}]")),
        "manifest nested": tar_with(("manifest.json", b"[" * 100000)),
        "layer missing": tar_with(("manifest.json", b'[{"Layers": ["a/layer.tar"]}]')),
        "layer climbing": tar_with(("manifest.json", b'[{"Layers": ["../../etc/shadow"]}]')),
        "index in a circle": tar_with(
            ("oci-layout", b"{}"), ("index.json", b'{"manifests": [{"digest": "../x"}]}')
        ),
        "many layers": tar_with(("manifest.json", json.dumps([{"Layers": ["x"] * 1000}]).encode())),
    }[name]


@pytest.mark.parametrize(
    "name",
    [
        "empty", "text", "zeros", "half a tar", "half a gzip", "gzip of text", "xz garbage", "zstd garbage",
        "qcow2 header alone", "qcow2 absurd", "vmdk descriptor", "vmdk absurd", "vhdx absurd", "vdi absurd",
        "ext absurd", "xfs absurd", "btrfs absurd", "squashfs absurd", "MBR of nothing", "GPT absurd", "LVM absurd",
        "ISO absurd", "manifest of garbage", "manifest nested", "layer missing", "layer climbing",
        "index in a circle", "many layers", "qcow2 on a file of this machine", "qcow2 on itself",
        "GPT of four billion rows", "GPT of rows without a size", "MBR in a circle", "tar of a member without an end",
        "pax header without an end", "long name without an end", "links of links",
    ],
)  # fmt: skip
def test_damaged(name: str, tmp_path: pathlib.Path) -> None:
    """A bad file is named, with what is wrong; nothing crashes and nothing takes long."""
    file = tmp_path / "image"
    file.write_bytes(damaged(tmp_path, name))
    began = time.monotonic()
    with pytest.raises(NoTarget) as caught:
        open_target(str(file))
    assert str(file) in str(caught.value)
    assert time.monotonic() - began < 10


def test_reads_without_an_end(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    """What is read over and over is given up."""
    need_dissect()
    monkeypatch.setattr(disk, "READS_LIMIT", 3)
    file = disks("qcow2", tmp_path, TREE)
    with pytest.raises(NoTarget, match="without an end"):
        open_target(str(file))


def test_marks_that_climb(tmp_path: pathlib.Path) -> None:
    """A mark removes nothing but what lies beside it."""
    names = ("etc/.wh...", "etc/.wh..", "../.wh.etc", ".wh.", ".wh../../etc", "..wh.etc")
    (tmp_path / "image").write_bytes(
        saved(tar_with(("etc/kept", b"1")), tar_with(*((n, b"") for n in names)))
    )
    assert open_target(str(tmp_path / "image")).read("/etc/kept") == "1"


def test_etc_that_is_a_link_out(tmp_path: pathlib.Path) -> None:
    """A folder of this machine is not entered through a link of the image."""
    host = host_of(("etc", "../../../../etc"), ("usr/lib/os-release", b"ID=x\n"), tmp_path=tmp_path)
    with pytest.raises(FileNotFoundError):
        host.read("/etc/passwd")


def test_a_folder_in_itself(tmp_path: pathlib.Path) -> None:
    """A folder of a damaged file system that leads to its own parent is walked no deeper than a check asks."""
    need_dissect()
    (tmp_path / "tree/etc/systemd").mkdir(parents=True)
    (tmp_path / "tree/etc/os-release").write_text("ID=debian\n")
    ext4(tmp_path / "disk", tmp_path / "tree", "-O", "^metadata_csum")
    tool("debugfs", "-w", "-R", "ln <2> /etc/systemd/system", tmp_path / "disk")
    host = open_target(str(tmp_path / "disk"))
    assert host.read("/etc/systemd/system/etc/os-release") == "ID=debian\n"
    assert not [r for r in report(host).values() if r["outcome"] == "error"]


def test_truncated_qcow2(tmp_path: pathlib.Path) -> None:
    """Half a disk is an error, or a host whose missing parts are unknown; never a crash."""
    need_dissect()
    whole = disks("qcow2", tmp_path, TREE).read_bytes()
    for part in (2, 3, 10, 50):
        file = tmp_path / f"part{part}"
        file.write_bytes(whole[: len(whole) // part])
        try:
            host = open_target(str(file))
        except NoTarget:
            continue
        assert not [r for r in report(host).values() if r["outcome"] == "error"]


def test_bomb(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What unpacks to more than the limit is refused."""
    monkeypatch.setattr(layers_module, "UNPACKED_LIMIT", 1 << 20)
    monkeypatch.setattr(layers_module.unpacked, "__defaults__", (1 << 20,))
    (tmp_path / "image.tar.gz").write_bytes(gzip.compress(bytes(2 << 20)))
    with pytest.raises(NoTarget, match="unpacks to more"):
        open_target(str(tmp_path / "image.tar.gz"))


def test_without_the_extra(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the libraries the message says what to install."""
    monkeypatch.setitem(__import__("sys").modules, "dissect.target", None)
    (tmp_path / "disk").write_bytes(b"XFSB" + bytes(1 << 16))
    with pytest.raises(NoTarget, match=r"pip install 'hostcheck\[images\]'"):
        open_target(str(tmp_path / "disk"))


def test_neither_file_nor_folder(tmp_path: pathlib.Path) -> None:
    """A fifo is not waited for, and what is missing is said to be."""
    import os

    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(NoTarget, match="neither"):
        open_target(str(tmp_path / "fifo"))
    with pytest.raises(NoTarget, match="No such file"):
        open_target(str(tmp_path / "missing"))
