"""The configuration that a kernel carries in itself (CONFIG_IKCONFIG): in its image, or in the module `configs`.

Raspberry Pi OS has it in the module, Arch in the image, and neither has a file of it in /boot.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator

from hostcheck._typing import TYPE_CHECKING, Callable, Optional
from hostcheck.facts.files import names
from hostcheck.host import Host, Unavailable

if TYPE_CHECKING:
    import zlib

START, END = b"IKCFG_ST", b"IKCFG_ED"
"""What stands around the packed text (kernel/configs.c)."""

IMAGE_LIMIT = 64 << 20
UNPACKED_LIMIT = 256 << 20
"""Bytes. A distribution's kernel has 15 MB, and 70 unpacked."""

PACKED_LIMIT = 1 << 20
CHUNK = 1 << 20

IMAGES = ("/boot/vmlinuz-{}", "/usr/lib/modules/{}/vmlinuz", "/lib/modules/{}/vmlinuz", "/boot/vmlinux-{}")
MODULES = "/lib/modules/{}/kernel/kernel"


def payload(image: bytes) -> bytes:
    """Return the compressed kernel in an image: of x86, of an EFI zboot image, or the image itself.

    Source: Documentation/arch/x86/boot.rst (protocol 2.08), drivers/firmware/efi/libstub/zboot-header.S.
    """
    start = length = 0
    if image[0x202:0x206] == b"HdrS" and len(image) > 0x250:
        offset, length = struct.unpack_from("<II", image, 0x248)
        start = ((image[0x1F1] or 4) + 1) * 512 + offset
    elif image[4:8] == b"zimg" and len(image) > 16:
        start, length = struct.unpack_from("<II", image, 8)
    return image[start : start + length] if length else image


def unpacked(data: bytes) -> Iterator[bytes]:
    """Yield what is packed in `data`, piece by piece; `data` itself where it is not packed.

    What is cut off or garbled ends early. Of lz4 only what the extra `images` reads.
    """
    # Imported here: hardly any host keeps its configuration in its kernel alone.
    import lzma
    import zlib

    try:
        if data.startswith(b"\x1f\x8b"):
            yield from _stream(zlib.decompressobj(31), data)
        elif data.startswith((b"\xfd7zXZ\x00", b"\x5d\x00\x00")):
            with lzma.open(io.BytesIO(data)) as file:
                yield from _pieces(file.read)
        elif data.startswith(b"BZh"):
            import bz2

            with bz2.open(io.BytesIO(data)) as file:
                yield from _pieces(file.read)
        elif data.startswith(b"\x28\xb5\x2f\xfd"):
            import zstandard

            yield from _pieces(zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data)).read)
        elif data.startswith(b"\x02\x21\x4c\x18"):
            yield from _lz4(data)
        else:
            yield data
    except (OSError, EOFError, ValueError, ImportError, zlib.error, lzma.LZMAError):
        return
    except Exception as error:
        # zstandard's own error is no kind of these.
        if type(error).__name__ != "ZstdError":
            raise


def _stream(unpacker: zlib._Decompress, data: bytes) -> Iterator[bytes]:
    while data and not unpacker.eof:
        yield unpacker.decompress(data, CHUNK)
        data = unpacker.unconsumed_tail


def _pieces(read: Callable[[int], bytes]) -> Iterator[bytes]:
    while True:
        piece = read(CHUNK)
        if not piece:
            return
        yield piece


def _lz4(data: bytes) -> Iterator[bytes]:
    """Yield the blocks of lz4's old format, which is that of kernels: each is 8 MiB, but for the last."""
    from dissect.util.compression import lz4

    place = 4
    while place + 4 < len(data):
        (length,) = struct.unpack_from("<I", data, place)
        block = data[place + 4 : place + 4 + length]
        if length == 0 or len(block) < length:
            return
        yield lz4.decompress(block, 8 << 20)
        place += 4 + length


def find(pieces: Iterator[bytes]) -> Optional[bytes]:
    """Return what stands between the two marks, packed with gzip, None where there is none.

    >>> find(iter([b"..IKCF", b"G_STpacked", b"IKCFG_ED.."]))
    b'packed'
    """
    held, seen, inside = b"", 0, False
    for piece in pieces:
        seen += len(piece)
        held += piece
        if not inside:
            place = held.find(START)
            inside = place >= 0
            held = held[place + len(START) :] if inside else held[1 - len(START) :]
        if inside:
            end = held.find(END)
            if end >= 0:
                return held[:end]
            if len(held) > PACKED_LIMIT:
                return None
        if seen > UNPACKED_LIMIT:
            return None
    return None


def packed_config(host: Host, release: str) -> Optional[tuple[str, bytes]]:
    """Return the file that carries the configuration of a release, and the configuration, packed; None if none does."""
    folder = MODULES.format(release)
    paths = [f"{folder}/{name}" for name in names(host, folder) if name.startswith("configs.ko")]
    for path in (*paths, *(image.format(release) for image in IMAGES)):
        try:
            data = host.read_bytes(path, limit=IMAGE_LIMIT)
        except (OSError, Unavailable):
            continue
        found = find(unpacked(payload(data)))
        if found:
            return path, found
    return None
