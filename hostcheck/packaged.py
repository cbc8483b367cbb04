"""Files that lie beside the code, on a disk or inside the one file hostcheck.pyz."""

from __future__ import annotations

import os

from hostcheck._typing import Any

FOLDER = os.path.dirname(os.path.abspath(__file__))

CONTENTS = "CONTENTS"
"""A list of all files of the archive, a path a line, which `packaging/pyz.py` puts into it."""

__loader__: Any


def text(*place: str) -> str:
    """Return the text of a file of this package."""
    data: bytes = __loader__.get_data(os.path.join(FOLDER, *place))
    return data.decode()


def names(*place: str) -> list[str]:
    """Return the names in a folder of this package, sorted."""
    try:
        return sorted(os.listdir(os.path.join(FOLDER, *place)))
    except NotADirectoryError:
        # Not pkgutil or zipfile, which could tell: they cost 6 and 15 ms.
        start = "/".join(place) + "/"
        paths = text(CONTENTS).splitlines()
        return sorted(path[len(start) :] for path in paths if path.startswith(start))
