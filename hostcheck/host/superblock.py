"""What the superblock of a file system says that matters to containers.

Source: kernel, fs/ext4/ext4.h (struct ext4_super_block), fs/xfs/libxfs/xfs_format.h (struct xfs_dsb).
"""

from __future__ import annotations

EXT_OFFSET = 1024
"""Bytes before the superblock of an ext file system; that of xfs is at the start."""

_EXT_FEATURES = {
    0x2: "filetype",
    0x40: "extent",
    0x80: "64bit",
    0x8000: "inline_data",
    0x10000: "encrypt",
    0x20000: "casefold",
}
"""Of s_feature_incompat."""


def ext_features(block: bytes) -> frozenset[str]:
    """Return the features in an ext superblock, as dumpe2fs names them; none if it is no such superblock.

    >>> block = bytearray(256)
    >>> block[56:58], block[0x60] = bytes.fromhex("53ef"), 0x42
    >>> sorted(ext_features(bytes(block)))
    ['extent', 'filetype']
    """
    if block[56:58] != b"\x53\xef":
        return frozenset()
    incompatible = int.from_bytes(block[0x60:0x64], "little")
    return frozenset(name for bit, name in _EXT_FEATURES.items() if incompatible & bit)


def xfs_features(block: bytes) -> frozenset[str]:
    """Return `crc=` and `ftype=` of an xfs superblock, as xfs_info prints them; none if it is no such superblock.

    >>> block = bytearray(b"XFSB" + bytes(252))
    >>> block[101], block[219] = 0xA5, 1
    >>> sorted(xfs_features(bytes(block)))
    ['crc=1', 'ftype=1']
    """
    if len(block) < 220 or block[:4] != b"XFSB":
        return frozenset()
    crc = int.from_bytes(block[100:102], "big") & 0xF == 5
    field, bit = (block[216:220], 0x1) if crc else (block[200:204], 0x200)
    ftype = bool(int.from_bytes(field, "big") & bit)
    return frozenset({f"crc={crc:d}", f"ftype={ftype:d}"})
