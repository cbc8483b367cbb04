"""The rpm database, read from its bytes: SQLite (EL 8+, Fedora), ndb (SUSE) and Berkeley DB hash (EL 7).

Asking `rpm` would not do for a tree, and takes half a second where reading takes a twentieth.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

from hostcheck._typing import Callable, Literal
from hostcheck.host import Host, Unavailable
from hostcheck.record import Record

SIZE_LIMIT = 512 << 20
"""Bytes of a database that are read; a workstation with everything installed has about 300 MiB."""

_CHUNK = 1 << 20
_CHUNKS_KEPT = 64

_HEADER_LIMIT = 64 << 20
"""Bytes of one package's header; that of a kernel with all its modules has one."""

# Tags of a package header, from rpm's rpmtag.h.
_NAME, _VERSION, _RELEASE, _EPOCH, _ARCH = 1000, 1001, 1002, 1003, 1022
_DIRINDEXES, _BASENAMES, _DIRNAMES = 1116, 1117, 1118


class Damaged(Unavailable):
    """The database is not what it says it is."""


class Header(Record):
    """What a package says of itself in the database."""

    name: str
    version: str
    """`epoch:version-release`, without epoch where there is none."""
    arch: str
    blob: bytes


Pages = Callable[[int, int], bytes]
"""Returns the bytes from an offset, of a length."""


def headers(host: Host, path: str) -> Iterator[Header]:
    """Yield the headers in the database at `path`, in the order of installation where it keeps one.

    Raises:
        PermissionError: it may not be read.
        Unavailable: it is damaged, or larger than 512 MiB.

    """
    size = host.stat(path).size
    if size > SIZE_LIMIT:
        raise Unavailable(f"{path} is larger than {SIZE_LIMIT >> 20} MiB")
    kept: dict[int, bytes] = {}

    def chunk(number: int) -> bytes:
        if number not in kept:
            if len(kept) >= _CHUNKS_KEPT:
                kept.clear()
            kept[number] = host.read_bytes(path, limit=_CHUNK, offset=number * _CHUNK)
        return kept[number]

    def at(offset: int, length: int) -> bytes:
        first, last = offset // _CHUNK, (offset + length - 1) // _CHUNK
        data = chunk(first) if first == last else b"".join(chunk(n) for n in range(first, last + 1))
        start = offset - first * _CHUNK
        found = data[start : start + length]
        if len(found) != length:
            raise Damaged(f"{path}: ends before byte {offset + length}")
        return found

    try:
        if path.endswith(".sqlite"):
            blobs = sqlite_blobs(at, _wal_pages(host, path + "-wal"))
        elif path.endswith(".db"):
            blobs = ndb_blobs(at)
        else:
            blobs = bdb_blobs(at, size)
        for blob in blobs:
            header = parse_header(blob)
            if header:
                yield header
    except (struct.error, IndexError, ValueError, RecursionError) as error:
        raise Damaged(f"{path}: damaged database ({error})") from None


def parse_header(blob: bytes) -> Header | None:
    """Read a package header as rpm stores it: two counts, the index entries, the data.

    Source: rpm's docs/manual/format_header.md. Returns None for what has no name.
    """
    fields = _fields(blob, (_NAME, _VERSION, _RELEASE, _EPOCH, _ARCH))
    if _NAME not in fields:
        return None
    version = f"{_text(blob, fields.get(_VERSION))}-{_text(blob, fields.get(_RELEASE))}"
    if _EPOCH in fields:
        epoch = struct.unpack_from(">I", blob, fields[_EPOCH][0])[0]
        version = f"{epoch}:{version}" if epoch else version
    return Header(_text(blob, fields[_NAME]), version, _text(blob, fields.get(_ARCH)), blob)


def _fields(blob: bytes, wanted: Iterable[int]) -> dict[int, tuple[int, int]]:
    """Return where in the blob the data of some tags begin, and how many values they have."""
    count, _length = struct.unpack_from(">II", blob, 0)
    if count > 65536 or 8 + 16 * count > len(blob):
        raise Damaged("a package header is damaged")
    data = 8 + 16 * count
    found = {}
    for tag, _type, offset, values in struct.iter_unpack(">IIiI", blob[8:data]):
        if tag in wanted and 0 <= offset < len(blob) - data:
            found[tag] = (data + offset, values)
    return found


def _text(blob: bytes, field: tuple[int, int] | None) -> str:
    if field is None:
        return ""
    return blob[field[0] : blob.index(b"\0", field[0])].decode("utf-8", "replace")


def owner(host: Host, path: str, wanted: Iterable[str]) -> str | None:
    """Return the name of the package that has one of these files, from the database at `path`."""
    paths = frozenset(wanted)
    bases = [b"\0" + path.rpartition("/")[2].encode() + b"\0" for path in paths]
    for header in headers(host, path):
        # The search of the bytes spares most headers the decoding of their file lists.
        if any(base in header.blob for base in bases) and not paths.isdisjoint(files(header)):
            return header.name
    return None


def files(header: Header) -> Iterator[str]:
    """Yield the paths of a package's files."""
    blob = header.blob
    fields = _fields(blob, (_DIRINDEXES, _BASENAMES, _DIRNAMES))
    if len(fields) < 3:
        return
    start, count = fields[_DIRNAMES]
    folders = blob[start:].split(b"\0", count)[:count]
    start, count = fields[_BASENAMES]
    indexes = struct.unpack_from(f">{count}I", blob, fields[_DIRINDEXES][0])
    for index, base in zip(indexes, blob[start:].split(b"\0", count)[:count]):
        yield (folders[index] + base).decode("utf-8", "replace")


def sqlite_blobs(at: Pages, newer: dict[int, bytes] | None = None) -> Iterator[bytes]:
    """Yield the `blob` column of the table Packages of an SQLite 3 file.

    A walk over the pages of one table, because the sqlite3 module opens paths, and a tree's file may be a
    link that leads out of it. `newer` has the pages of the write-ahead log.
    Source: sqlite.org/fileformat2.html.
    """
    head = at(0, 100)
    if not head.startswith(b"SQLite format 3\0"):
        raise Damaged("not an SQLite database")
    size = struct.unpack_from(">H", head, 16)[0]
    size = 65536 if size == 1 else size
    usable = size - head[20]
    if size < 512 or usable < 480:
        raise Damaged("impossible page size")
    log = newer or {}

    def page(number: int) -> bytes:
        if number < 1:
            raise Damaged(f"no page {number}")
        return log.get(number) or at((number - 1) * size, size)

    for record in _rows(page, 1, usable):
        columns = _columns(record)
        if columns[:2] == [b"table", b"Packages"]:
            root = int.from_bytes(columns[3], "big")
            break
    else:
        raise Damaged("no table Packages")
    for record in _rows(page, root, usable):
        yield _columns(record)[-1]


def _rows(page: Callable[[int], bytes], root: int, usable: int) -> Iterator[bytes]:
    """Yield the records of the table whose b-tree begins at page `root`."""
    todo, seen = [root], set()
    while todo:
        number = todo.pop()
        if number in seen:
            raise Damaged(f"page {number} is met twice")
        seen.add(number)
        data = page(number)
        start = 100 if number == 1 else 0
        kind = data[start]
        cells = struct.unpack_from(">H", data, start + 3)[0]
        if kind == 5:
            pointers = struct.unpack_from(f">{cells}H", data, start + 12)
            todo.append(struct.unpack_from(">I", data, start + 8)[0])
            todo.extend(struct.unpack_from(">I", data, pointer)[0] for pointer in reversed(pointers))
        elif kind == 13:
            for pointer in struct.unpack_from(f">{cells}H", data, start + 8):
                yield _record(page, data, pointer, usable)
        else:
            raise Damaged(f"page {number} is of kind {kind}")


def _record(page: Callable[[int], bytes], data: bytes, pointer: int, usable: int) -> bytes:
    """Return the record of a leaf's cell, with what of it lies on overflow pages."""
    length, pointer = _varint(data, pointer)
    _rowid, pointer = _varint(data, pointer)
    if length <= usable - 35:
        return data[pointer : pointer + length]
    least = (usable - 12) * 32 // 255 - 23
    local = least + (length - least) % (usable - 4)
    local = least if local > usable - 35 else local
    parts = [data[pointer : pointer + local]]
    missing = _bounded(length) - local
    following = struct.unpack_from(">I", data, pointer + local)[0]
    while missing > 0:
        more = page(following)
        following = struct.unpack_from(">I", more, 0)[0]
        parts.append(more[4 : min(usable, 4 + missing)])
        missing -= usable - 4
    return b"".join(parts)


def _bounded(length: int) -> int:
    if length > _HEADER_LIMIT:
        raise Damaged(f"a package header of {length} bytes")
    return length


def _columns(record: bytes) -> list[bytes]:
    """Return the bytes of a record's columns; whole numbers as they are stored, big-endian."""
    end, pointer = _varint(record, 0)
    columns, start = [], end
    while pointer < end:
        kind, pointer = _varint(record, pointer)
        length = (kind - 12) // 2 if kind >= 12 else (0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0)[kind]
        columns.append(b"\1" if kind == 9 else record[start : start + length])
        start += length
    return columns


def _varint(data: bytes, pointer: int) -> tuple[int, int]:
    value = 0
    for index in range(8):
        byte = data[pointer + index]
        value = value << 7 | byte & 127
        if byte < 128:
            return value, pointer + index + 1
    return value << 8 | data[pointer + 8], pointer + 9


def _wal_pages(host: Host, path: str) -> dict[int, bytes]:
    """Return the pages that are committed in the write-ahead log and not yet in the database."""
    try:
        data = host.read_bytes(path)
    except FileNotFoundError:
        return {}
    return parse_wal(data)


def parse_wal(data: bytes) -> dict[int, bytes]:
    """Return the newest committed content of the pages in a write-ahead log.

    Source: sqlite.org/fileformat2.html#walformat. Frames of an earlier use of the file have other salts.
    """
    if len(data) < 32 or data[:4] not in (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83"):
        return {}
    size = struct.unpack_from(">I", data, 8)[0]
    salt = data[16:24]
    committed: dict[int, bytes] = {}
    pending: dict[int, bytes] = {}
    for start in range(32, len(data) - 24 - size + 1, 24 + size):
        number, commit = struct.unpack_from(">II", data, start)
        if data[start + 8 : start + 16] != salt:
            break
        pending[number] = data[start + 24 : start + 24 + size]
        if commit:
            committed.update(pending)
            pending = {}
    return committed


def ndb_blobs(at: Pages) -> Iterator[bytes]:
    """Yield the blobs of rpm's own format, of SUSE. Source: rpm's lib/backend/ndb/rpmpkg.c."""
    magic, _version, _generation, pages = struct.unpack("<4s3I", at(0, 16))
    if magic != b"RpmP" or pages > 65536:
        raise Damaged("not an ndb database")
    slots = []
    for start in range(32, pages * 4096, 16):
        mark, index, block, blocks = struct.unpack("<4s3I", at(start, 16))
        if mark != b"Slot":
            raise Damaged(f"no slot at byte {start}")
        if index and blocks:
            slots.append((index, block * 16))
    for index, start in sorted(slots):
        mark, again, _generation, length = struct.unpack("<4s3I", at(start, 16))
        if mark != b"BlbS" or again != index:
            raise Damaged(f"no package at byte {start}")
        yield at(start + 16, _bounded(length))


def bdb_blobs(at: Pages, size: int) -> Iterator[bytes]:
    """Yield the values of a Berkeley DB hash. Source: Berkeley DB's dbinc/db_page.h.

    Each pair has the number of the package as its key; number 0 is the counter, and no package.
    """
    head = at(0, 72)
    order = "<" if struct.unpack_from("<I", head, 12)[0] == 0x061561 else ">"
    magic, _version, page_size = struct.unpack_from(order + "3I", head, 12)
    if magic != 0x061561 or page_size < 512 or page_size & (page_size - 1):
        raise Damaged("not a Berkeley DB hash")
    little: Literal["little", "big"] = "little" if order == "<" else "big"
    found: list[tuple[int, int, int, bytes]] = []
    for number in range(1, size // page_size):
        data = at(number * page_size, page_size)
        if data[25] not in (2, 13):
            continue
        entries = struct.unpack_from(order + "H", data, 20)[0]
        items = struct.unpack_from(f"{order}{entries}H", data, 26)
        for key, item in zip(items[::2], items[1::2]):
            index = int.from_bytes(data[key + 1 : key + 5], little)
            if data[item] == 3:
                first, length = struct.unpack_from(order + "II", data, item + 4)
                found.append((index, first, _bounded(length), b""))
            elif data[item] == 1 and index:
                # Items are laid down from the end of the page: a value ends where its key begins.
                found.append((index, 0, 0, data[item + 1 : key]))
    for _index, following, length, inline in sorted(found):
        parts = [inline]
        while following and length > 0:
            data = at(following * page_size, page_size)
            following, used = struct.unpack_from(order + "I2xH", data, 16)
            parts.append(data[26 : 26 + min(used, length)])
            length -= len(parts[-1])
            if not parts[-1]:
                raise Damaged("an overflow page is empty")
        yield b"".join(parts)
