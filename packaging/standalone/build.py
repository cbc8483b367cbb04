"""Build the standalone executable: one file with Python inside, which needs nothing of the host but a Linux kernel.

    python packaging/standalone/build.py dist/ [PROCESSOR ...]

The Python is static; the zip archive with hostcheck and the libraries lies at the end of the same file and is read in
place: nothing is unpacked anywhere. The first time takes some minutes, in which the Python is compiled.
"""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import sys
import tempfile
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
PROJECT = HERE.parents[1]
sys.path[:0] = [str(PROJECT), str(PROJECT / "packaging"), str(HERE)]

import pyz  # noqa: E402 - found by the line above
from interpreter import PROCESSORS, interpreters, run  # noqa: E402 - found by the line above

from hostcheck import __version__  # noqa: E402

UNUSED = re.compile(
    r"(test|idlelib|tkinter|turtledemo|ensurepip|venv|lib2to3|pydoc_data|curses|ctypes|sqlite3|dbm|_pyrepl|__phello__|"
    r"config-.*|site-packages)/|(turtle|antigravity|this|doctest|pdb|_aix_support|_ios_support|_android_support|"
    r"_apple_support|nturl2path)\.py$"
)


ZONES = "/usr/share/zoneinfo:/usr/lib/zoneinfo:/usr/share/lib/zoneinfo:/etc/zoneinfo"
BUILD_VARIABLES = f"build_time_vars = {{'TZPATH': {ZONES!r}}}\n"
"""In the place of the module that tells how Python was built: of all that, zoneinfo asks for this."""

STORED = ("hostcheck/", "collections/", "encodings/", "importlib/", "json/", "re/")
"""What every start reads is not compressed: to unpack it takes a sixth of the start."""


def modules(target: pathlib.Path, python: pathlib.Path, scratch: pathlib.Path) -> None:
    """Put the standard library, hostcheck and what it needs there, compiled by that Python."""
    library = python / "Lib"
    for path in sorted(library.rglob("*.py")):
        name = path.relative_to(library).as_posix()
        if not UNUSED.match(name) and "/test" not in name:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target / name)
    pyz.install(target, scratch)
    shutil.copy(HERE / "bcrypt.py", target)
    (target / "_sysconfigdata__linux_.py").write_text(BUILD_VARIABLES)
    run(
        python / "python", "-m", "compileall", "-q", "-b", "-s", target, "-p", "hostcheck", "--invalidation-mode",
        "unchecked-hash", target, cwd=scratch, log=scratch / "log",
    )  # fmt: skip
    for path in sorted(target.rglob("*.py")):
        path.unlink()
    pyz.list_contents(target)


def assemble(path: pathlib.Path, starter: pathlib.Path, tree: pathlib.Path) -> None:
    """Write the executable: the Python, and behind it the archive."""
    shutil.copy(starter, path)
    # Not opened to append: the archive goes back to write the size of what it packed.
    with path.open("r+b") as file:
        file.seek(0, os.SEEK_END)
        with zipfile.ZipFile(file, "w") as packed:
            for member in sorted(tree.rglob("*")):
                if member.is_file():
                    about = zipfile.ZipInfo(member.relative_to(tree).as_posix(), pyz.FIRST)
                    stored = about.filename.startswith(STORED) or "/" not in about.filename
                    about.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
                    about.external_attr = 0o100644 << 16
                    packed.writestr(about, member.read_bytes())
    path.chmod(0o755)


def build(dist: pathlib.Path, processors: list[str]) -> list[pathlib.Path]:
    """Build the executables, and return where they are."""
    dist.mkdir(parents=True, exist_ok=True)
    pythons = interpreters(processors)
    made = []
    with tempfile.TemporaryDirectory() as folder:
        scratch = pathlib.Path(folder)
        modules(scratch / "modules", pythons[os.uname().machine], scratch)
        for name in processors:
            made.append(dist / f"hostcheck-{__version__}-linux-{PROCESSORS[name]}")
            assemble(made[-1], pythons[name] / "starter", scratch / "modules")
            print(f"{made[-1].name}: {made[-1].stat().st_size >> 10} KiB")
    return made


if __name__ == "__main__":
    build(pathlib.Path(sys.argv[1]).absolute(), sys.argv[2:] or list(PROCESSORS))
