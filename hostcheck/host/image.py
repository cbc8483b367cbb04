"""Opens whatever holds a root tree: a folder, an archive, a container image or a disk, told apart by content."""

from __future__ import annotations

import os
import stat as stat_module
from typing import BinaryIO

from hostcheck.host import Host, ImageError

HEAD = 72 * 1024
"""Bytes at the front of a file that say what it is: an ISO says so at 32 KiB, btrfs at 64."""

_PACKED = (b"\x1f\x8b", b"\xfd7zXZ\x00", b"BZh", b"\x28\xb5\x2f\xfd")


def open_image(path: str) -> Host:
    """Return the host that a folder or an image file holds.

    Raises:
        ImageError: nothing is there, or it is nothing that can be read; the text says what to do.

    """
    # Imported here: a run on the live host needs none of it.
    if os.path.isdir(path):
        from hostcheck.host import layers, root

        return layers.open_layout(path) if layers.is_layout(path) else root.RootHost(path)
    return _opened(_file(path), path)


def _file(path: str) -> BinaryIO:
    try:
        # O_NONBLOCK: opening a fifo with no writer would wait for ever.
        file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    except OSError as error:
        raise ImageError(f"{path}: {error.strerror}") from None
    mode = os.fstat(file.fileno()).st_mode
    if not (stat_module.S_ISREG(mode) or stat_module.S_ISBLK(mode)):
        file.close()
        raise ImageError(f"{path} is neither a folder nor a regular file")
    return file


def _opened(file: BinaryIO, path: str) -> Host:
    from hostcheck.host import disk, layers

    head = file.read(HEAD)
    file.seek(0)
    if head.startswith(_PACKED):
        # A packed tar, or a packed disk such as .img.xz.
        file = layers.unpacked(file, path)
        head = file.read(HEAD)
        file.seek(0)
    if head[257:262] == b"ustar":
        return layers.open_archive(file, path)
    if disk.is_disk(head):
        return disk.open_disk(file, path)
    if not head:
        raise ImageError(f"{path} is empty")
    raise ImageError(
        f"{path} is nothing that hostcheck reads: a folder, tar (.gz .xz .zst), OCI or `docker save` archive, "
        "raw, qcow2, vmdk, vhdx or vdi disk, ISO, squashfs"
    )
