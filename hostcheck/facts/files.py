"""Small questions that many facts ask of a host's files."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

from hostcheck.host import Host, Unavailable
from hostcheck.record import Record

PROGRAM_FOLDERS = (
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
    "/snap/bin",
)
"""Where systemd looks for a program (systemd.exec(5), the default PATH), then where snaps put theirs."""

EXPANDED_LIMIT = 1 << 16
"""Characters that variables may grow a text to, of which a kernel takes 4,096: `A="$A $A"` doubles with each line."""


class Source(Record):
    """Where a value was read: a file of the host, and the line in it from 1 (0: the whole file)."""

    path: str
    line: int = 0


def text(host: Host, path: str) -> str | None:
    """Return the file's text, None if there is no such file.

    Raises:
        PermissionError, Unavailable: it is there, or may be, and cannot be read.

    """
    try:
        return host.read(path)
    except FileNotFoundError:
        return None


def kernel_text(host: Host, path: str) -> str:
    """Return the text of a file that every running kernel has.

    Raises:
        PermissionError, Unavailable: it cannot be read, or is hidden, as in some containers.

    """
    found = text(host, path)
    if found is None:
        raise Unavailable(f"{path} is not there")
    return found


def names(host: Host, path: str) -> tuple[str, ...]:
    """Return the names in a folder, none if there is no such folder."""
    try:
        return host.names(path)
    except FileNotFoundError:
        return ()


def listings(host: Host, folders: Sequence[str]) -> list[tuple[str, tuple[str, ...]]]:
    """Return each folder with its names, but those that cannot be had, as /run in a tree.

    Raises:
        PermissionError: a folder is there and may not be read.
        Unavailable: none of them can be had, so nothing is known of what they hold.

    """
    found = []
    trouble: Unavailable | None = None
    for folder in folders:
        try:
            found.append((folder, names(host, folder)))
        except Unavailable as error:
            trouble = error
    if trouble and not found:
        raise trouble
    return found


def obstacle(host: Host, path: str) -> str | None:
    """Return the part of a path, itself included, that is there and no folder; None where all can be made."""
    here = ""
    for part in path.strip("/").split("/"):
        here = f"{here}/{part}"
        try:
            if not host.stat(here).is_dir:
                return here
        except (FileNotFoundError, NotADirectoryError):
            return None
    return None


def dangling(host: Host, path: str) -> str | None:
    """Return the part of a path that is a link which leads nowhere, None if no part is."""
    here = ""
    for part in path.strip("/").split("/"):
        here = f"{here}/{part}"
        try:
            is_link = host.stat(here, follow=False).is_link
        except (FileNotFoundError, NotADirectoryError):
            return None
        if is_link and not host.exists(here):
            return here
    return None


def which(host: Host, name: str, folders: Sequence[str] = PROGRAM_FOLDERS) -> str | None:
    """Return the path of the program of that name, as a shell would find it, None if there is none."""
    for folder in folders:
        path = f"{folder}/{name}"
        try:
            found = host.seen(path)
        except (PermissionError, Unavailable):
            continue
        if found is not None and found.is_executable:
            return path
    return None


def merged_conf(host: Host, folders: Sequence[str], suffix: str = ".conf") -> list[str]:
    """Return the drop-in files that count, in the order in which they are read.

    Files of all folders are sorted by name; of two with the same name the one in the earlier folder
    counts; a link to /dev/null or an empty name masks. Folders that cannot be had (as /run in a tree) are
    passed over. Source: sysctl.d(5), modprobe.d(5), systemd.unit(5), systemd-analyze cat-config.

    Raises:
        Unavailable: none of the folders can be had.

    """
    found: dict[str, str] = {}
    for folder, listed in listings(host, folders):
        for name in listed:
            if name.endswith(suffix) and name not in found:
                found[name] = f"{folder}/{name}"
    return [found[name] for name in sorted(found) if not is_masked(host, found[name])]


def is_masked(host: Host, path: str) -> bool:
    """Return whether `path` leads to /dev/null, which systemd takes as `this is not to exist`."""
    try:
        if not host.stat(path, follow=False).is_link:
            return False
        # Read one link at a time: /dev is volatile, so a tree cannot be asked for its end.
        return host.resolve(path) == "/dev/null" or posixpath.normpath(host.readlink(path)) == "/dev/null"
    except (OSError, Unavailable):
        return False


def attributes(host: Host, path: str) -> str:
    """Return the attributes that a folder has by `lsattr -d`, as letters; none where they cannot be had."""
    if host.kind != "live":
        return ""
    try:
        return host.run("lsattr", "-d", host.resolve(path)).out.partition(" ")[0].replace("-", "")
    except (OSError, Unavailable):
        return ""
