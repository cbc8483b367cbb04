"""Configurations that kernels carry in themselves."""

from __future__ import annotations

import bz2
import gzip
import lzma
import pathlib
import struct
from collections.abc import Callable

import pytest

from hostcheck.facts import ikconfig, kernel
from hostcheck.host import Unavailable
from hostcheck.testing import Content, FakeHost

RELEASE = "6.6.31-arch1-1"
TEXT = b"# Linux/x86 6.6.31 Kernel Configuration\nCONFIG_VETH=m\nCONFIG_KEYS=y\n"
CARRIED = ikconfig.START + gzip.compress(TEXT, mtime=0) + ikconfig.END
# Its place is across two of the pieces in which it is read.
VMLINUX = b"\x7fELF" + bytes(ikconfig.CHUNK - 9) + CARRIED + bytes(3 << 20)


def zstd(data: bytes) -> bytes:
    zstandard = pytest.importorskip("zstandard")
    packed: bytes = zstandard.compress(data)
    return packed


def bzimage(packed: bytes) -> bytes:
    """As Documentation/arch/x86/boot.rst has it: the sectors of the setup, then what unpacks it, then the payload."""
    head = bytearray(512 * 5)
    head[0x1F1] = 4
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<II", head, 0x248, 100, len(packed) + 4)
    return bytes(head) + b"\x90" * 100 + packed + struct.pack("<I", len(VMLINUX)) + bytes(512)


def zboot(packed: bytes) -> bytes:
    return b"MZ\0\0zimg" + struct.pack("<II", 64, len(packed)) + bytes(48) + packed


IMAGES: dict[str, Callable[[], bytes]] = {
    "x86 gzip": lambda: bzimage(gzip.compress(VMLINUX)),
    "x86 xz": lambda: bzimage(lzma.compress(VMLINUX)),
    "x86 lzma": lambda: bzimage(lzma.compress(VMLINUX, lzma.FORMAT_ALONE)),
    "x86 bzip2": lambda: bzimage(bz2.compress(VMLINUX)),
    "x86 zstd": lambda: bzimage(zstd(VMLINUX)),
    "EFI zboot": lambda: zboot(gzip.compress(VMLINUX)),
    "arm64 Image.gz": lambda: gzip.compress(VMLINUX),
    "unpacked": lambda: VMLINUX,
}


def tree(files: dict[str, Content]) -> FakeHost:
    return FakeHost({f"/lib/modules/{RELEASE}/modules.dep": "", **files}, kind="root")


@pytest.mark.parametrize("name", IMAGES)
def test_a_kernel_that_carries_its_configuration(name: str) -> None:
    found = kernel.config(tree({f"/boot/vmlinuz-{RELEASE}": IMAGES[name]()}), RELEASE)
    assert found is not None
    assert (found.path, dict(found)) == (f"/boot/vmlinuz-{RELEASE}", {"VETH": "m", "KEYS": "y"})


@pytest.mark.parametrize(("end", "pack"), [("", bytes), (".xz", lzma.compress), (".gz", gzip.compress)])
def test_the_module_comes_first(end: str, pack: Callable[[bytes], bytes]) -> None:
    path = f"/lib/modules/{RELEASE}/kernel/kernel/configs.ko{end}"
    found = kernel.config(tree({path: pack(b"\x7fELF.." + CARRIED)}), RELEASE)
    assert found is not None
    assert found.path == path


def test_a_file_in_boot_counts_before() -> None:
    files: dict[str, Content] = {
        f"/boot/config-{RELEASE}": "CONFIG_VETH=y\n",
        f"/boot/vmlinuz-{RELEASE}": IMAGES["x86 gzip"](),
    }
    found = kernel.config(tree(files), RELEASE)
    assert found is not None
    assert found["VETH"] == "y"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HdrS",
        bytes(0x202) + b"HdrS" + b"\xff" * 600,
        b"MZ\0\0zimg\xff\xff\xff\xff",
        bzimage(gzip.compress(VMLINUX)[:400]),
        bzimage(b"\xfd7zXZ\x00garbage"),
        bzimage(b"\x28\xb5\x2f\xfdgarbage"),
        bzimage(b"\x02\x21\x4c\x18\xff\xff\xff\xffgarbage"),
        gzip.compress(bytes(64)),
        ikconfig.START,
        ikconfig.START + bytes(2 << 20),
        b"\x1f\x8b",
    ],
)
def test_what_carries_none(data: bytes) -> None:
    assert kernel.config(tree({f"/boot/vmlinuz-{RELEASE}": data}), RELEASE) is None


def test_what_unpacks_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ikconfig, "UNPACKED_LIMIT", 4 << 20)
    late = bytes(6 << 20) + CARRIED
    assert kernel.config(tree({f"/boot/vmlinuz-{RELEASE}": gzip.compress(late)}), RELEASE) is None


def test_what_it_carries_is_no_configuration() -> None:
    carried = ikconfig.START + b"\x1f\x8bno gzip" + ikconfig.END
    with pytest.raises(Unavailable):
        kernel.config(tree({f"/boot/vmlinuz-{RELEASE}": carried}), RELEASE)


def test_kernels_of_debian_are_unpacked() -> None:
    """None of them carries one; that they are read to the end is seen in what the kernel says of itself."""
    kept = pathlib.Path.home() / ".cache" / "hostcheck" / "roots"
    seen = {}
    for path in sorted(kept.glob("*/boot/vmlinuz-*")):
        pieces = list(ikconfig.unpacked(ikconfig.payload(path.read_bytes())))
        seen[path.name] = b"Linux version " in b"".join(pieces)
    if not seen:
        pytest.skip("no root of Debian has been made yet")
    assert set(seen.values()) == {True}, seen
