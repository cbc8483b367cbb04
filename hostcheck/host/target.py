"""What a path on this machine stands for: a root tree, a recording, or an image of a machine, told by its content."""

from __future__ import annotations

import os
import stat as stat_module
from collections.abc import Sequence

from hostcheck._typing import TYPE_CHECKING, BinaryIO
from hostcheck.host import Host, NoTarget

if TYPE_CHECKING:
    from hostcheck.host.root import RestingHost

HEAD = 72 * 1024
"""Bytes at the front of a file that say what it is: an ISO says so at 32 KiB, btrfs at 64."""

_PACKED = (b"\x1f\x8b", b"\xfd7zXZ\x00", b"BZh", b"\x28\xb5\x2f\xfd")


def open_target(path: str) -> Host:
    """Return the host that `path` holds.

    Raises:
        NoTarget: it holds none; the text names it and says what to do.

    """
    # Each kind is imported where it is met: a run on one of them needs none of the others.
    try:
        return _folder(path) if os.path.isdir(path) else _image(_file(path), path)
    except OSError as error:
        raise NoTarget(f"{path}: {error.strerror or error}") from None


def _folder(path: str) -> Host:
    from hostcheck.host.recorded import is_recording

    names = os.listdir(path)
    if is_recording(names):
        return _recording(path)
    if os.path.isfile(os.path.join(path, "oci-layout")) and os.path.isfile(os.path.join(path, "index.json")):
        from hostcheck.host.layers import open_layout

        return open_layout(path)
    from hostcheck.host.mounted import MountedHost, is_running_root
    from hostcheck.host.root import RootHost

    if is_running_root(path):
        return MountedHost(path)
    return _known_tree(RootHost(path), names)


def _recording(path: str) -> Host:
    from hostcheck.host.recorded import BadRecording, RecordedHost

    try:
        return RecordedHost(path)
    except BadRecording as error:
        raise NoTarget(f"{path}: not a recording: {error}") from None


def _file(path: str) -> BinaryIO:
    # O_NONBLOCK: opening a fifo with no writer would wait for ever.
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    mode = os.fstat(file.fileno()).st_mode
    if not (stat_module.S_ISREG(mode) or stat_module.S_ISBLK(mode)):
        file.close()
        raise NoTarget(f"{path} is neither a folder nor a regular file")
    return file


def _image(file: BinaryIO, path: str) -> Host:
    from hostcheck.host import disk, layers

    head = file.read(HEAD)
    file.seek(0)
    if head.startswith(_PACKED):
        # A packed tar, or a packed disk such as .img.xz.
        file = layers.unpacked(file, path)
        head = file.read(HEAD)
        file.seek(0)
    if head[257:262] == b"ustar":
        return _archive(file, path)
    if disk.is_disk(head):
        return disk.open_disk(file, path)
    if not head:
        raise NoTarget(f"{path} is empty")
    raise NoTarget(
        f"{path} is nothing that hostcheck reads: a folder, a recording, tar (.gz .xz .zst), OCI or `docker save` "
        "archive, raw, qcow2, vmdk, vhdx or vdi disk, ISO, squashfs"
    )


def _archive(file: BinaryIO, path: str) -> Host:
    from hostcheck.host.layers import open_archive
    from hostcheck.host.recorded import is_recording

    host = open_archive(file, path)
    names = host.names("/")
    if is_recording(names) or (len(names) == 1 and is_recording(_names_in(host, names[0]))):
        return _recording(path)
    return _known_tree(host, names)


def _known_tree(host: RestingHost, names: Sequence[str]) -> Host:
    """Return the root tree, or what else it is known for."""
    if "sos_commands" not in names:
        return host
    from hostcheck.host.sosreport import SosHost

    return SosHost(host)


def _names_in(host: Host, folder: str) -> tuple[str, ...]:
    try:
        return host.names(f"/{folder}")
    except OSError:
        return ()
