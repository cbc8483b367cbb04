"""The Python of the standalone executable: all its modules linked in, statically and with musl.

The sources of Python and of its libraries are Debian's source packages, with Debian's security fixes; the compiler is
the zig of PyPI, which brings musl for both processors. What is compiled is kept in ~/.cache/hostcheck.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent import futures

HERE = pathlib.Path(__file__).resolve().parent
SUITE = "trixie"
SOURCES = ("zlib", "bzip2", "xz-utils", "openssl", "python3.13")
PROCESSORS = {"x86_64": "amd64", "aarch64": "arm64"}
"""And what Debian and Docker call them."""
CFLAGS = "-O2 -g0"
OPENSSL_CFLAGS = "-Os -g0"
"""What works hard in it is assembler; the rest is compiled sooner this way, and smaller."""
MAKE = ("make", "-s", f"-j{os.cpu_count() or 1}")

OPENSSL_WITHOUT = (
    "shared tests apps docs dso module legacy async engine afalgeng cmp cms ts srp dtls quic http "
    "ocsp ct comp ssl-trace ui-console gost idea rc2 rc4 bf cast seed camellia aria sm2 sm3 sm4 md4 "
    "mdc2 rmd160 whirlpool dsa ec2m ocb siphash siv rfc3779 ml-dsa slh-dsa argon2 multiblock"
)
"""What TLS of today does not need, or what would load files."""

ABSENT = (
    "_ctypes _curses _curses_panel _tkinter _dbm _gdbm _sqlite3 _uuid readline "
    "_codecs_cn _codecs_hk _codecs_iso2022 _codecs_jp _codecs_kr _codecs_tw _multibytecodec "
    "_decimal _lsprof _interpchannels _interpqueues _interpreters"
)
"""Modules of Python whose libraries are not built, or that no check has a use for; hostcheck imports none."""


def run(*command: str | os.PathLike[str], cwd: pathlib.Path, log: pathlib.Path, **more: str) -> None:
    """Run a step of the build, which talks into a log."""
    with log.open("a") as out:
        done = subprocess.run(
            command, check=False, cwd=cwd, env={**os.environ, **more}, stdin=subprocess.DEVNULL,
            stdout=out, stderr=out,
        )  # fmt: skip
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))[:200]} failed; the end of {log}:\n{log.read_text()[-2000:]}")


def cache() -> pathlib.Path:
    """Return where what was compiled is kept."""
    top = pathlib.Path(os.environ.get("HOSTCHECK_CACHE") or pathlib.Path.home() / ".cache" / "hostcheck")
    path = top / "standalone"
    path.mkdir(parents=True, exist_ok=True)
    return path


def zig() -> str:
    """Return the compiler."""
    found = importlib.util.find_spec("ziglang")
    if found is None or not found.origin:
        sys.exit("needs zig: pip install ziglang")
    return str(pathlib.Path(found.origin).with_name("zig"))


def archive() -> str:
    """Return the Debian archive that this machine's own apt uses."""
    asked = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    found = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.split()
    for uri in found:
        if uri.rstrip("/").endswith("/debian"):
            return uri
    sys.exit("apt knows no Debian archive: run apt-get update on a Debian")


class Apt:
    """Debian's sources, through an apt that knows of nothing else on this machine."""

    def __init__(self, folder: pathlib.Path) -> None:
        """Ask for the lists of the archive that this machine's own apt uses."""
        for name in ("state/lists/partial", "cache/archives/partial"):
            (folder / name).mkdir(parents=True)
        (folder / "status").touch()
        keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
        (folder / "sources").write_text(f"deb-src [signed-by={keys}] {archive()} {SUITE} main\n")
        self.config = folder / "apt.conf"
        self.config.write_text(
            f'Dir::State "{folder}/state";\nDir::State::status "{folder}/status";\nDir::Cache "{folder}/cache";\n'
            f'Dir::Etc::SourceList "{folder}/sources";\nDir::Etc::SourceParts "/dev/null";\n'
            'APT::Sandbox::User "root";\n'
        )
        self.log = folder / "log"
        self.folder = folder
        run("apt-get", "-q", "update", cwd=folder, log=self.log, APT_CONFIG=str(self.config))

    def source(self, name: str) -> pathlib.Path:
        """Return the unpacked sources, of the newest version that the archive really has."""
        listed = subprocess.run(
            ["apt-cache", "showsrc", name], check=True, capture_output=True, text=True,
            env={**os.environ, "APT_CONFIG": str(self.config)},
        ).stdout  # fmt: skip
        versions = sorted(re.findall(r"(?m)^Version: (\S+)", listed), key=_numbers, reverse=True)
        for version in versions:
            target = self.folder / "sources-of" / name
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir(parents=True)
            done = subprocess.run(
                ["apt-get", "-q", "source", f"{name}={version}"], check=False, cwd=target, capture_output=True,
                env={**os.environ, "APT_CONFIG": str(self.config)},
            )  # fmt: skip
            if done.returncode == 0:
                return next(path for path in target.iterdir() if path.is_dir())
        sys.exit(f"no sources of {name} in {versions}")


def _numbers(version: str) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", version)]


class Target:
    """A processor, and the folder in which things are compiled for it."""

    def __init__(self, processor: str, folder: pathlib.Path) -> None:
        """Lay down the compiler's commands."""
        self.processor = processor
        self.triple = f"{processor}-linux-musl"
        self.folder = folder
        self.prefix = folder / "prefix"
        self.log = folder / "log"
        for name in ("bin", "prefix/lib", "prefix/include"):
            (folder / name).mkdir(parents=True)
        for name, words in (("cc", f"cc -target {self.triple}"), ("ar", "ar"), ("ranlib", "ranlib")):
            path = folder / "bin" / name
            path.write_text(f'#!/bin/sh\nexec {zig()} {words} "$@"\n')
            path.chmod(0o755)
        self.tools = {
            "CC": str(folder / "bin/cc"),
            "AR": str(folder / "bin/ar"),
            "RANLIB": str(folder / "bin/ranlib"),
            "CFLAGS": CFLAGS,
        }

    def run(self, *command: str | os.PathLike[str], cwd: pathlib.Path, **more: str) -> None:
        """Run a step with the compiler's commands."""
        run(*command, cwd=cwd, log=self.log, **{**self.tools, **more})

    def copy(self, sources: pathlib.Path) -> pathlib.Path:
        """Return a copy of sources to build in."""
        return pathlib.Path(shutil.copytree(sources, self.folder / sources.name, symlinks=True))


def build_archive_libraries(target: Target, sources: dict[str, pathlib.Path]) -> None:
    """Build what Python's modules for archives need."""
    prefix = f"--prefix={target.prefix}"
    zlib = target.copy(sources["zlib"])
    target.run("./configure", "--static", prefix, cwd=zlib, CHOST=target.triple)
    target.run(*MAKE, "libz.a", cwd=zlib)
    target.run("make", "-s", "install", cwd=zlib)
    bzip2 = target.copy(sources["bzip2"])
    target.run(*MAKE, "libbz2.a", *(f"{name}={value}" for name, value in target.tools.items()), cwd=bzip2)
    shutil.copy(bzip2 / "libbz2.a", target.prefix / "lib")
    shutil.copy(bzip2 / "bzlib.h", target.prefix / "include")
    xz = target.copy(sources["xz-utils"])
    programs = ("xz", "xzdec", "lzmadec", "lzmainfo", "scripts", "doc", "nls", "shared")
    target.run(
        "./configure", f"--host={target.triple}", prefix, *(f"--disable-{name}" for name in programs), cwd=xz
    )
    target.run(*MAKE, "-C", "src/liblzma", "install", cwd=xz)


def build_openssl(target: Target, sources: dict[str, pathlib.Path]) -> None:
    """Build what Python's module for TLS needs."""
    openssl = target.copy(sources["openssl"])
    target.run(
        "./Configure", f"linux-{target.processor}", f"--prefix={target.prefix}", "--libdir=lib",
        "--openssldir=/etc/ssl", *(f"no-{name}" for name in OPENSSL_WITHOUT.split()),
        cwd=openssl, CFLAGS=OPENSSL_CFLAGS,
    )  # fmt: skip
    target.run(*MAKE, "build_libs", cwd=openssl)
    target.run("make", "-s", "install_dev", cwd=openssl)


def make_python(target: Target, sources: pathlib.Path, build_python: pathlib.Path | None) -> pathlib.Path:
    """Return the folder in which Python was built; for another processor a built one of the same version helps."""
    folder = target.copy(sources)
    cross = []
    if build_python:
        cross = [
            f"--build={os.uname().machine}-linux-gnu", f"--host={target.triple}", f"--with-build-python={build_python}",
            "ac_cv_file__dev_ptmx=yes", "ac_cv_file__dev_ptc=no", "ac_cv_buggy_getaddrinfo=no",
        ]  # fmt: skip
    include, lib = f"-I{target.prefix}/include", f"-L{target.prefix}/lib"
    libraries = {"ZLIB": "-lz", "BZIP2": "-lbz2", "LIBLZMA": "-llzma"}
    environment = {
        # No library of this machine is to be found.
        "PKG_CONFIG": "false",
        "MODULE_BUILDTYPE": "static",
        # musl gives threads 128 KiB. The compiler takes the date from SOURCE_DATE_EPOCH.
        "CFLAGS": f"{CFLAGS} -DTHREAD_STACK_SIZE=0x200000 -Wno-date-time",
        "LINKFORSHARED": " ",
        **{f"{name}_CFLAGS": include for name in libraries},
        **{f"{name}_LIBS": f"{lib} {flag}" for name, flag in libraries.items()},
    }
    target.run(
        "./configure", *cross, "--disable-shared", "--disable-test-modules", "--without-ensurepip",
        "--without-readline", f"--with-openssl={target.prefix}",
        *(f"py_cv_module_{name}=n/a" for name in ABSENT.split()), cwd=folder, **environment,
    )  # fmt: skip
    # configure keeps no LDFLAGS; without symbols it is a fifth smaller.
    make = [*MAKE, "LINKFORSHARED= ", "LDFLAGS=-static -s"]
    target.run(*make, "python", "pybuilddir.txt", cwd=folder, SOURCE_DATE_EPOCH="0")
    shutil.copy(folder / "python", folder / "plain-python")
    shutil.copy(HERE / "main.c", folder / "Programs" / "python.c")
    target.run(*make, "python", cwd=folder, SOURCE_DATE_EPOCH="0")
    (folder / "python").rename(folder / "starter")
    (folder / "plain-python").rename(folder / "python")
    return folder


def kept() -> pathlib.Path:
    """Return where what this file compiles is kept."""
    recipe = pathlib.Path(__file__).read_bytes() + (HERE / "main.c").read_bytes()
    return cache() / hashlib.sha256(recipe).hexdigest()[:12]


def build(
    processor: str, sources: dict[str, pathlib.Path], build_python: pathlib.Path | None
) -> pathlib.Path:
    """Return the folder of the Python of a processor, compiled now.

    Always at the same place: the compiler knows what it has compiled before by the paths on its command line too.
    """
    place = cache() / "building" / processor
    shutil.rmtree(place, ignore_errors=True)
    target = Target(processor, place)
    with futures.ThreadPoolExecutor() as pool:
        # Together, because a configure script uses one processor alone.
        steps = [pool.submit(step, target, sources) for step in (build_openssl, build_archive_libraries)]
    for step in steps:
        step.result()
    return make_python(target, sources["python3.13"], build_python)


def interpreters(processors: list[str]) -> dict[str, pathlib.Path]:
    """Return the folder of each processor's Python, compiled now where it is missing."""
    own = os.uname().machine
    # A Python of this machine helps to compile the others.
    wanted = {name: kept() / name for name in (own, *processors)}

    def missing() -> list[str]:
        return [name for name, folder in wanted.items() if not (folder / "starter").is_file()]

    if missing():
        with (cache() / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            compile_all(missing(), wanted)
    return wanted


def compile_all(processors: list[str], wanted: dict[str, pathlib.Path]) -> None:
    """Compile the Pythons of these processors, of the newest sources that the archive has."""
    own = wanted[os.uname().machine]
    own.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache()) as scratch:
        apt = Apt(pathlib.Path(scratch))
        sources = {name: apt.source(name) for name in SOURCES}
        (own.parent / "SOURCES").write_text("".join(f"{folder.name}\n" for folder in sources.values()))
        for name in processors:
            build(name, sources, None if wanted[name] == own else own / "python").rename(wanted[name])
            shutil.rmtree(cache() / "building")


if __name__ == "__main__":
    interpreters(sys.argv[1:] or [os.uname().machine])
