"""What commands that a person typed tell of a machine, as the documents of a recording would say it."""

from __future__ import annotations

import posixpath
from collections.abc import Callable

from hostcheck._typing import Any
from hostcheck.host import Completed


class Said:
    """What the commands tell, as the documents of a recording would say it."""

    def __init__(self, read: Callable[[str], str]) -> None:
        """Take the recorded text of a path from `read`, empty where there is none."""
        self._read = read
        self.files: dict[str, str] = {}
        self.entries: dict[str, Any] = {}
        """As in stat.json; these come before what root/ holds."""
        self.links: dict[str, str] = {}
        self.usage: dict[str, dict[str, int]] = {}
        self.pids: dict[str, list[int]] = {}
        self.answers: dict[tuple[str, ...], str] = {}
        """What other commands would have printed; they come after what was written down of these themselves."""
        self.units: dict[str, dict[str, str]] = {}
        """What `systemctl show` printed of a unit, in whatever form it was asked."""
        self.modules_gone: set[str] = set()
        """Kernel modules of which modprobe or modinfo found no file."""

    def read(self, path: str) -> str:
        """Return the text of a path as far as it is known."""
        return self.files[path] if path in self.files else self._read(path)

    def lay(self, path: str, text: str) -> None:
        """Lay a file."""
        self.files[path] = text if text.endswith("\n") or not text else text + "\n"
        self.entries.pop(path, None)

    def gone(self, path: str) -> None:
        """Say that there is nothing at a path."""
        self.entries[path] = "absent"
        self.files.pop(path, None)

    def lacks(self, path: str) -> bool:
        """Return whether a path is the file of a kernel module that was not found."""
        if not self.modules_gone or "/lib/modules/" not in path:
            return False
        return posixpath.basename(path).partition(".ko")[0].replace("-", "_") in self.modules_gone


def filtered(done: Completed) -> bool:
    """Return whether only some lines of what the command printed were written down."""
    return "|" in done.argv


Taker = Callable[[Said, tuple[str, ...], Completed], None]
