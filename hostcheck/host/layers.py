"""A root tree in an archive: a tar, plain or packed, or the layers of a container image (OCI, `docker save`).

Nothing is unpacked into a folder: an index of the members is kept, and the bytes stay where they are. A packed archive
is unpacked into a nameless temporary file, because only the front of it could be read otherwise.
"""

from __future__ import annotations

import io
import json
import os
import posixpath
import re
import stat as stat_module
import tarfile
import tempfile
from collections.abc import Iterator

from hostcheck._typing import Any, BinaryIO, Callable, cast
from hostcheck.host import READ_LIMIT, FileStat, NoTarget, Unavailable, resolve_links
from hostcheck.host.root import RestingHost

UNPACKED_LIMIT = 16 << 30
"""Bytes that packed archives of one image may unpack to; an honest root tree has a tenth of it."""

MEMBERS_LIMIT = 3_000_000
"""Members of all layers; an honest root tree has 200,000."""

LAYERS_LIMIT = 512
"""Layers of an image. Docker refuses more than 127 (moby, layer.maxLayerDepth)."""

JSON_LIMIT = 8 << 20
"""Bytes of a manifest or an index."""

_CHUNK = 1 << 20
_DIGEST = re.compile(r"(sha256|sha512):([0-9a-f]{64,128})")
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
"""Marks of a layer that remove what lies below (OCI image specification, layer.md, Whiteouts)."""

_TYPES = {
    tarfile.REGTYPE: stat_module.S_IFREG,
    tarfile.AREGTYPE: stat_module.S_IFREG,
    tarfile.CONTTYPE: stat_module.S_IFREG,
    tarfile.GNUTYPE_SPARSE: stat_module.S_IFREG,
    tarfile.DIRTYPE: stat_module.S_IFDIR,
    tarfile.SYMTYPE: stat_module.S_IFLNK,
    tarfile.CHRTYPE: stat_module.S_IFCHR,
    tarfile.BLKTYPE: stat_module.S_IFBLK,
    tarfile.FIFOTYPE: stat_module.S_IFIFO,
}


class _Slice(io.RawIOBase):
    """A part of a file, as a file of its own."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self.file, self.start, self.size, self.at = file, start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.at = max(0, offset + (0, self.at, self.size)[whence])
        return self.at

    def readinto(self, buffer: Any) -> int:
        length = max(0, min(len(buffer), self.size - self.at))
        self.file.seek(self.start + self.at)
        data = self.file.read(length)
        buffer[: len(data)] = data
        self.at += len(data)
        return len(data)


class _Entry:
    """A member of the tree."""

    __slots__ = ("children", "file", "link", "stat")

    def __init__(self, stat: FileStat, link: str | None = None) -> None:
        self.stat = stat
        self.link = link
        self.children: dict[str, _Entry] | None = {} if stat.is_dir else None
        self.file: Callable[[], BinaryIO] | None = None


def _folder() -> _Entry:
    return _Entry(FileStat(stat_module.S_IFDIR | 0o755, 0, 0, 0))


def unpacked(file: BinaryIO, name: str, limit: int = UNPACKED_LIMIT) -> BinaryIO:
    """Return `file` itself, or what it unpacks to if it is gzip, xz, bzip2 or zstd, known by its first bytes.

    Raises:
        NoTarget: it is damaged, too large, or of a kind that needs a library that is not there.

    """
    file.seek(0)
    magic = file.read(6)
    file.seek(0)
    reader: Any
    if magic.startswith(b"\x1f\x8b"):
        import gzip

        reader = gzip.GzipFile(fileobj=file)
    elif magic == b"\xfd7zXZ\x00":
        import lzma

        reader = lzma.LZMAFile(file)  # noqa: SIM115 (the file is the caller's)
    elif magic.startswith(b"BZh"):
        import bz2

        reader = bz2.BZ2File(file)
    elif magic.startswith(b"\x28\xb5\x2f\xfd"):
        reader = _zstd(file, name)
    else:
        return file
    # The file has no name, and is gone when the last reader is.
    whole = cast(BinaryIO, tempfile.TemporaryFile(prefix="hostcheck-"))  # noqa: SIM115
    total = 0
    try:
        while True:
            chunk = reader.read(_CHUNK)
            if not chunk:
                break
            total += len(chunk)
            if total > limit:
                raise NoTarget(f"{name} unpacks to more than {limit >> 30} GiB")
            if chunk.count(0) == len(chunk):
                whole.seek(total)
            else:
                whole.write(chunk)
        whole.truncate(total)
        whole.seek(0)
    except NoTarget:
        raise
    except OSError as error:
        if error.errno:
            raise NoTarget(
                f"{name} cannot be unpacked into {tempfile.gettempdir()}: {error.strerror}"
            ) from None
        raise NoTarget(f"{name} is damaged: {error}") from None
    except Exception as error:
        # Each library has an exception of its own for a damaged file.
        raise NoTarget(f"{name} is damaged: {error}") from None
    return whole


def _zstd(file: BinaryIO, name: str) -> Any:
    try:
        import zstandard
    except ImportError:
        raise NoTarget(
            f"{name} is packed with zstd, which needs a library: pip install 'hostcheck[images]', "
            "or unpack it with `zstd -d` first"
        ) from None
    return zstandard.ZstdDecompressor().stream_reader(file)


class Tree:
    """The members of one or more layers, laid over each other."""

    def __init__(self, name: str) -> None:
        """Start empty; `name` is the image's, for errors."""
        self.name = name
        self.top = _folder()
        self.members = 0

    def find(self, place: str) -> _Entry | None:
        """Return what lies at a place, None if nothing does. No link is followed."""
        here: _Entry | None = self.top
        for part in place.split("/"):
            if part:
                here = here.children.get(part) if here is not None and here.children is not None else None
        return here

    def link(self, place: str) -> str | None:
        """Return the text of the link at a place, None if there is none."""
        found = self.find(place)
        return found.link if found else None

    def add_layer(self, file: BinaryIO, upper: bool) -> None:
        """Lay a tar over what is there; in an `upper` layer the marks that remove are obeyed.

        Raises:
            NoTarget: it is no tar, or a damaged one.

        """
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        try:
            tar = tarfile.open(fileobj=file, mode="r:", errorlevel=0)  # noqa: SIM115 (read for as long as the host)
        except (tarfile.TarError, OSError, ValueError, EOFError) as error:
            raise NoTarget(f"{self.name} holds no readable tar: {error}") from None
        added: set[int] = set()
        try:
            for info in tar:
                self.members += 1
                if self.members > MEMBERS_LIMIT:
                    raise NoTarget(f"{self.name} has more than {MEMBERS_LIMIT:,} members")
                if info.isreg() and not info.issparse() and info.offset_data + info.size > size:
                    raise NoTarget(f"{self.name} is cut off in the middle of {info.name!r}")
                self._add(tar, file, info, upper, added)
                # The library would keep every member for a second walk that nobody takes.
                cast(Any, tar).members.clear()
            # The library takes half a header for the end.
            file.seek(tar.offset)
            if file.read(tarfile.BLOCKSIZE).strip(b"\0"):
                raise NoTarget(f"{self.name} is cut off or damaged at byte {tar.offset}")
        except (tarfile.TarError, OSError, ValueError, EOFError, OverflowError, RecursionError) as error:
            raise NoTarget(f"{self.name} is damaged: {error}") from None

    def _add(
        self, tar: tarfile.TarFile, file: BinaryIO, info: tarfile.TarInfo, upper: bool, added: set[int]
    ) -> None:
        parts = [part for part in info.name.split("/") if part not in ("", ".")]
        # A name that climbs out of the tree is nobody's file.
        if ".." in parts:
            return
        if not parts:
            return
        parent = self._parent(parts[:-1])
        children = parent.children
        base = parts[-1]
        if children is None:
            return
        if upper and base.startswith(_WHITEOUT):
            if base == _OPAQUE:
                for name in [name for name, child in children.items() if id(child) not in added]:
                    del children[name]
            elif id(children.get(base[len(_WHITEOUT) :])) not in added:
                children.pop(base[len(_WHITEOUT) :], None)
            return
        entry = self._entry(tar, file, info)
        if entry is None:
            return
        before = children.get(base)
        if before is not None and before.children is not None and entry.children is not None:
            # A folder that was there keeps what is in it.
            before.stat = entry.stat
            entry = before
        children[base] = entry
        if upper:
            added.add(id(entry))

    def _parent(self, parts: list[str]) -> _Entry:
        """Return the folder that a member lies in, links followed inside the tree, made if it is missing."""
        here = self.top
        for number, part in enumerate(parts):
            children = here.children
            if children is None:
                return here
            child = children.get(part)
            if child is None:
                child = children[part] = _folder()
            elif child.link is not None:
                place = resolve_links("/" + "/".join(parts[: number + 1]), self.link)
                child = self.find(place) or _folder()
            here = child
        return here

    def _entry(self, tar: tarfile.TarFile, file: BinaryIO, info: tarfile.TarInfo) -> _Entry | None:
        if info.islnk():
            try:
                return self.find(resolve_links("/" + info.linkname, self.link))
            except FileNotFoundError:
                return None
        kind = _TYPES.get(info.type)
        if kind is None:
            return None
        mode = kind | (info.mode & 0o7777)
        entry = _Entry(FileStat(mode, info.uid, info.gid, info.size), info.linkname if info.issym() else None)
        if info.issparse():
            entry.file = lambda: cast(BinaryIO, tar.extractfile(info))
        elif kind == stat_module.S_IFREG:
            start, size = info.offset_data, info.size
            entry.file = lambda: cast(BinaryIO, _Slice(file, start, size))
        return entry


class LayersHost(RestingHost):
    """A root tree in an archive."""

    kind = "image"

    def __init__(self, tree: Tree) -> None:
        """Take the tree; a single folder at its top with the root inside (as `rootfs/`) is entered."""
        super().__init__(tree.name)
        self.tree = tree
        children = tree.top.children or {}
        if len(children) == 1 and not {"etc", "usr"} & set(children):
            inner = next(iter(children.values()))
            if inner.children and {"etc", "usr"} & set(inner.children):
                tree.top = inner

    def _found(self, place: str, shown: str) -> _Entry:
        entry = self.tree.find(place)
        if entry is None:
            raise FileNotFoundError(f"{shown} does not exist")
        return entry

    def _read(self, place: str, shown: str, limit: int, offset: int) -> bytes:
        entry = self._found(place, shown)
        if entry.file is None:
            raise Unavailable(f"{shown} is not a regular file")
        if limit == READ_LIMIT and entry.stat.size - offset > limit:
            raise Unavailable(f"{shown} is larger than {limit >> 20} MiB")
        file = entry.file()
        file.seek(offset)
        return file.read(min(limit, max(0, entry.stat.size - offset)))

    def _list(self, place: str, shown: str) -> tuple[str, ...]:
        children = self._found(place, shown).children
        if children is None:
            raise FileNotFoundError(f"{shown} is not a folder")
        return tuple(sorted(children))

    def _lstat(self, place: str, shown: str) -> FileStat:
        return self._found(place, shown).stat

    def _link(self, place: str) -> str | None:
        return self.tree.link(place)


class _Folder:
    """The files of an OCI layout in a folder."""

    def __init__(self, path: str) -> None:
        self.path = path

    def open(self, name: str) -> BinaryIO | None:
        parts = posixpath.normpath(name).split("/")
        if ".." in parts or name.startswith("/"):
            return None
        path = os.path.join(self.path, *parts)
        # Not through a link: an image must not lead to other files of this machine.
        if os.path.islink(path) or os.path.realpath(path) != os.path.join(
            os.path.realpath(self.path), *parts
        ):
            return None
        try:
            return (
                open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")
                if os.path.isfile(path)
                else None
            )
        except OSError:
            return None


class _Archive:
    """The files of an OCI layout, or of `docker save`, in a tar."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree

    def open(self, name: str) -> BinaryIO | None:
        try:
            # `docker save` links layers that are the same.
            entry = self.tree.find(resolve_links("/" + name, self.tree.link))
        except FileNotFoundError:
            return None
        return entry.file() if entry is not None and entry.file is not None else None


def _json(source: _Folder | _Archive, name: str, image: str) -> Any:
    file = source.open(name)
    if file is None:
        raise NoTarget(f"{image}: {name} is missing in it")
    try:
        data = file.read(JSON_LIMIT + 1)
        if len(data) > JSON_LIMIT:
            raise ValueError("too large")
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise NoTarget(f"{image}: {name} in it is no readable JSON: {error}") from None


def _blob(digest: object, image: str) -> str:
    match = _DIGEST.fullmatch(digest) if isinstance(digest, str) else None
    if not match:
        raise NoTarget(f"{image}: not a digest: {str(digest)[:80]!r}")
    return f"blobs/{match[1]}/{match[2]}"


def _manifest(source: _Folder | _Archive, image: str) -> Any:
    """Return the manifest of an OCI layout for this kind of machine, or the first."""
    document = _json(source, "index.json", image)
    for _ in range(8):
        offers = document.get("manifests") if isinstance(document, dict) else None
        if not isinstance(offers, list):
            return document
        usable = [o for o in offers if isinstance(o, dict) and _platform(o) not in (("unknown", "unknown"),)]
        if not usable:
            raise NoTarget(f"{image}: its index names no image")
        ours = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
        best = next((o for o in usable if _platform(o) == ("linux", ours)), usable[0])
        document = _json(source, _blob(best.get("digest"), image), image)
    raise NoTarget(f"{image}: its indexes lead in a circle")


def _platform(offer: dict[str, Any]) -> tuple[object, object]:
    platform = offer.get("platform")
    return (platform.get("os"), platform.get("architecture")) if isinstance(platform, dict) else (None, None)


def _layer_names(source: _Folder | _Archive, image: str) -> Iterator[str]:
    if source.open("index.json") is not None:
        manifest = _manifest(source, image)
        layers = manifest.get("layers") if isinstance(manifest, dict) else None
        if not isinstance(layers, list):
            raise NoTarget(f"{image}: its manifest names no layers")
        for layer in layers:
            yield _blob(layer.get("digest") if isinstance(layer, dict) else None, image)
        return
    saved = _json(source, "manifest.json", image)
    first = saved[0] if isinstance(saved, list) and saved else None
    layers = first.get("Layers") if isinstance(first, dict) else None
    if not isinstance(layers, list) or not all(isinstance(layer, str) for layer in layers):
        raise NoTarget(f"{image}: its manifest.json names no layers")
    yield from layers


def _image(source: _Folder | _Archive, name: str) -> LayersHost:
    layers = list(_layer_names(source, name))
    if len(layers) > LAYERS_LIMIT:
        raise NoTarget(f"{name} has {len(layers)} layers; the engine takes 127")
    tree = Tree(name)
    left = UNPACKED_LIMIT
    for number, layer in enumerate(layers):
        file = source.open(layer)
        if file is None:
            raise NoTarget(f"{name}: the layer {layer} is missing in it")
        whole = unpacked(file, f"{name}, layer {number + 1},", left)
        if whole is not file:
            left -= whole.seek(0, io.SEEK_END)
        tree.add_layer(whole, upper=number > 0)
    return LayersHost(tree)


def open_layout(path: str) -> LayersHost:
    """Return the root tree of an OCI layout in a folder.

    Raises:
        NoTarget: something in it is missing or damaged.

    """
    return _image(_Folder(path), path)


def open_archive(file: BinaryIO, name: str) -> LayersHost:
    """Return the root tree of a tar, of an OCI archive or of `docker save`; packed or not.

    Raises:
        NoTarget: it is none, or damaged.

    """
    tree = Tree(name)
    tree.add_layer(unpacked(file, name), upper=False)
    top = tree.top.children or {}
    if "manifest.json" in top or {"oci-layout", "index.json"} <= set(top):
        return _image(_Archive(tree), name)
    return LayersHost(tree)
