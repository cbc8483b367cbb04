"""Build hostcheck.pyz: one file with all that it needs, for any Python from 3.9 on and any processor.

    python packaging/pyz.py dist/hostcheck.pyz [PYTHON ...]

Each PYTHON (default: the one that runs this) compiles the modules for its own version, which then start from their
bytecode; other versions compile the sources, which lie there too, at each start.
"""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import sys
import tempfile
import zipfile

PROJECT = pathlib.Path(__file__).resolve().parents[1]
LIBRARIES = ["rich", "PyYAML", "prometheus-client", "Jinja2", "MarkupSafe", "h11"]
"""bcrypt is not among them: it is no Python, and cannot be loaded out of an archive."""
OLDEST = "3.9"

START = """\
import sys

if sys.version_info < (3, 9):
    # Any Python must understand this much; 1 would say that the host is not ready.
    sys.stderr.write("hostcheck needs Python 3.9 or newer, and this is %s: " % sys.version.split()[0])
    sys.stderr.write("try python3.9 to python3.14, or the executable, which needs none\\n")
    sys.exit(2)
# The modules that were compiled for this Python, if there are any.
sys.path.insert(0, sys.path[0] + "/" + sys.implementation.cache_tag)

from hostcheck.__main__ import run

sys.exit(run())
"""

FIRST = (1980, 1, 1, 0, 0, 0)
"""The time of every file in it, so that the same sources make the same bytes."""


def copy_project(target: pathlib.Path) -> None:
    """Copy what is built: setuptools leaves a folder `build` behind, and takes what an earlier build left there."""
    for name in ("hostcheck", "checks"):
        shutil.copytree(PROJECT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, target)


def install(target: pathlib.Path, scratch: pathlib.Path) -> None:
    """Put hostcheck and the libraries there, in their pure form."""
    project = scratch / "project"
    copy_project(project)
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "-q",
        "install",
        "--no-compile",
        "--no-deps",
    ]
    oldest = ["--only-binary=:all:", "--implementation", "cp", "--python-version", OLDEST]
    subprocess.run([*pip, *oldest, "--target", target, *LIBRARIES], check=True)
    subprocess.run([*pip, "--upgrade", "--target", target, project], check=True)
    shutil.rmtree(target / "bin", ignore_errors=True)
    for path in sorted(target.rglob("*")):
        # Compiled parts, each of which has one in Python; and what tells of this installation.
        if path.suffix in (".so", ".pyi", ".c", ".pyx") or path.name in (
            "RECORD",
            "direct_url.json",
            "REQUESTED",
        ):
            path.unlink()


def compile_for(python: str, source: pathlib.Path, scratch: pathlib.Path) -> tuple[str, pathlib.Path]:
    """Return the tag of a Python, and a folder with the modules compiled by it."""
    tag = subprocess.run(
        [python, "-c", "import sys; print(sys.implementation.cache_tag)"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    target = scratch / tag
    shutil.copytree(source, target)
    # Never compared with a source: what lies in an archive does not change.
    options = ["-q", "-b", "-s", str(target), "-p", "hostcheck.pyz", "--invalidation-mode", "unchecked-hash"]
    subprocess.run([python, "-m", "compileall", *options, target], check=True)
    for path in target.rglob("*.py"):
        path.unlink()
    for folder in target.glob("*.dist-info"):
        shutil.rmtree(folder)
    return tag, target


def write(archive: pathlib.Path, trees: list[tuple[str, pathlib.Path]]) -> None:
    """Write the archive, the same bytes for the same files."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with archive.open("wb") as file:
        file.write(b"#!/usr/bin/env python3\n")
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
            add(packed, "__main__.py", START.encode())
            for prefix, tree in trees:
                for path in sorted(tree.rglob("*")):
                    if path.is_file():
                        add(packed, prefix + path.relative_to(tree).as_posix(), path.read_bytes())
    archive.chmod(0o755)


def add(packed: zipfile.ZipFile, name: str, data: bytes) -> None:
    """Add a file, with nothing of when and by whom it was made."""
    about = zipfile.ZipInfo(name, FIRST)
    # What every start reads is not compressed: to unpack it takes a sixth of the start.
    stored = name.startswith("cpython-") and "/hostcheck/" in name
    about.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
    about.external_attr = 0o100644 << 16
    packed.writestr(about, data)


def list_contents(tree: pathlib.Path) -> None:
    """Write down what the package holds: an archive cannot be listed quickly."""
    package = tree / "hostcheck"
    contents = package / "CONTENTS"
    names = sorted(path.relative_to(package).as_posix() for path in package.rglob("*") if path.is_file())
    contents.write_text("".join(f"{name}\n" for name in names))


def main(arguments: list[str]) -> int:
    """Build it."""
    archive = pathlib.Path(arguments[0] if arguments else PROJECT / "dist" / "hostcheck.pyz")
    with tempfile.TemporaryDirectory() as folder:
        scratch = pathlib.Path(folder)
        source = scratch / "source"
        install(source, scratch)
        compiled = [compile_for(python, source, scratch) for python in arguments[1:] or [sys.executable]]
        trees = [("", source), *((f"{tag}/", tree) for tag, tree in compiled)]
        for _, tree in trees:
            list_contents(tree)
        write(archive, trees)
    print(f"{archive}: {archive.stat().st_size >> 10} KiB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
