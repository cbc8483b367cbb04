"""Package databases: states of dpkg, the three formats of rpm, apk and pacman, and who owns a file."""

from __future__ import annotations

import os
import pathlib
import sqlite3
import struct
import subprocess
from typing import Union

import debs
import pytest
import rpms

from hostcheck.facts import rpmdb
from hostcheck.facts.packages import export, owner, packages, removed
from hostcheck.host import Unavailable
from hostcheck.host.root import RootHost
from hostcheck.testing import FakeHost

STATUS = """\
Package: runc
Status: install ok installed
Architecture: amd64
Version: 1.1.5+ds1-1
Description: text
 Package: not-a-field
 Version: 9

Package: docker.io
Status: hold ok installed
Architecture: amd64
Version: 20.10.24+dfsg1-1

Package: docker-ce
Status: deinstall ok config-files
Version: 5:19.03.2~3-0

Package: half
Status: install ok half-configured
Version: 1

Package: triggered
Status: install ok triggers-pending
Version: 2

Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.36

Package: libc6
Status: install ok installed
Architecture: i386
Version: 2.36
"""


def test_dpkg_states() -> None:
    host = FakeHost({"/var/lib/dpkg/status": STATUS})
    found = packages(host)
    assert set(found) == {"runc", "docker.io", "triggered", "libc6", "libc6:i386"}
    assert found["runc"].version == "1.1.5+ds1-1"
    assert found["libc6"].arch == "amd64"
    assert removed(host) == {"docker-ce"}
    assert export(host)["runc"] == {
        "value": "1.1.5+ds1-1",
        "path": "/var/lib/dpkg/status",
        "arch": "amd64",
        "manager": "deb",
    }


def test_distroless_has_a_file_a_package_and_no_status() -> None:
    host = FakeHost(
        {
            "/var/lib/dpkg/status.d/tzdata": "Package: tzdata\nVersion: 2024a-0\nArchitecture: all\n",
            "/var/lib/dpkg/status.d/tzdata.md5sums": "Package: x\n",
        }
    )
    assert list(packages(host)) == ["tzdata"]


def test_no_database_is_no_packages() -> None:
    assert packages(FakeHost({})) == {}


def test_unreadable_is_not_absent() -> None:
    host = FakeHost({"/var/lib/dpkg/status": PermissionError("no")})
    with pytest.raises(PermissionError):
        packages(host)


@pytest.mark.parametrize(
    "junk", ["", "\n\n\n", "Package:\n", "\0" * 100, "Status: install ok installed\n\nx"]
)
def test_junk_in_status(junk: str) -> None:
    assert packages(FakeHost({"/var/lib/dpkg/status": junk})) == {}


def test_apk() -> None:
    database = "C:Q1\nP:runc\nV:1.1.5-r2\nA:x86_64\nF:usr\nF:usr/bin\nR:runc\n\nP:docker\nV:24.0.5-r0\n"
    for path in ("/lib/apk/db/installed", "/usr/lib/apk/db/installed"):
        host = FakeHost({path: database, "/usr/bin/runc": "x"})
        assert packages(host)["runc"].version == "1.1.5-r2"
        found = owner(host, "/usr/bin/runc")
        assert found is not None
        assert found.name == "runc"


def test_pacman() -> None:
    top = "/var/lib/pacman/local"
    host = FakeHost(
        {
            f"{top}/ALPM_DB_VERSION": "9\n",
            f"{top}/runc-1.2.0-1/desc": "%NAME%\nrunc\n\n%VERSION%\n1.2.0-1\n\n%ARCH%\nx86_64\n",
            f"{top}/runc-1.2.0-1/files": "%FILES%\nusr/\nusr/bin/\nusr/bin/runc\n",
            "/usr/bin/runc": "x",
        }
    )
    assert packages(host)["runc"].version == "1.2.0-1"
    found = owner(host, "/usr/bin/runc")
    assert found is not None
    assert found.name == "runc"
    assert owner(host, "/usr/bin/other") is None


@pytest.mark.parametrize(
    "listed, asked, links, owned",
    [
        ("/usr/sbin/runc", "/usr/sbin/runc", {}, True),
        ("/sbin/runc", "/usr/sbin/runc", {"/sbin": "-> usr/sbin"}, True),
        ("/usr/sbin/runc", "/sbin/runc", {"/sbin": "-> usr/sbin"}, True),
        ("/usr/sbin/runc", "/usr/bin/runc", {"/usr/sbin": "-> bin"}, True),
        ("/sbin/runc", "/usr/sbin/runc", {}, False),
        ("/usr/sbin/runc", "/usr/local/sbin/runc", {}, False),
        ("/usr/sbin/runc-other", "/usr/sbin/runc", {}, False),
    ],
)
def test_owner_of_a_deb_file(listed: str, asked: str, links: dict[str, str], owned: bool) -> None:
    files = {"/var/lib/dpkg/status": STATUS, "/var/lib/dpkg/info/runc.list": f"/.\n/usr\n{listed}\n", **links}
    found = owner(FakeHost(files), asked, ["docker.io"])
    assert (found is not None) is owned


def package(name: str, version: str, release: str, epoch: int = 0, files: int = 1) -> bytes:
    """Build the header of a package with so many files."""
    programs = [name, *(f"file{number}" for number in range(1, files))]
    return rpms.package(name, version, release, epoch, programs)


BLOBS = [
    package("gpg-pubkey", "1", "1"),
    package("kernel-core", "5.14.0", "1.el9"),
    package("runc", "1.0.0", "70.rc92.module_el8", 1),
    # Larger than a page, and than several: on overflow pages.
    package("containerd.io", "1.6.6", "3.1.el7", files=700),
    package("docker-ce", "20.10.9", "3.el7", 3, files=9000),
    package("kernel-core", "5.14.0", "2.el9"),
]
EXPECTED = {
    "runc": "1:1.0.0-70.rc92.module_el8",
    "containerd.io": "1.6.6-3.1.el7",
    "docker-ce": "3:20.10.9-3.el7",
    "kernel-core": "5.14.0-2.el9",
    "kernel-core:x86_64": "5.14.0-1.el9",
}


def sqlite(path: pathlib.Path, page: int, wal: bool) -> dict[str, Union[str, bytes, Exception]]:
    """Write a database as rpm does; with `wal` its newest rows are only in the write-ahead log."""
    base = sqlite3.connect(path)
    base.execute(f"PRAGMA page_size={page}")
    if wal:
        base.execute("PRAGMA journal_mode=WAL")
        base.execute("PRAGMA wal_autocheckpoint=0")
    base.execute("CREATE TABLE other (a INTEGER, b TEXT)")
    base.execute("CREATE TABLE 'Packages' (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)")
    base.execute("CREATE TABLE IF NOT EXISTS 'Name' (key 'TEXT' NOT NULL, hnum INTEGER NOT NULL)")
    base.commit()
    if wal:
        base.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    filler = [package(f"filler{number}", "1", "1") for number in range(400)]
    for blob in [*BLOBS, *filler]:
        base.execute("INSERT INTO Packages(blob) VALUES (?)", (blob,))
    base.commit()
    files: dict[str, Union[str, bytes, Exception]] = {"/usr/lib/sysimage/rpm/rpmdb.sqlite": path.read_bytes()}
    if wal:
        log = pathlib.Path(f"{path}-wal").read_bytes()
        assert log, "the rows are not in the log, so the test tests nothing"
        files["/usr/lib/sysimage/rpm/rpmdb.sqlite-wal"] = log
    base.close()
    return files


@pytest.mark.parametrize("page", [512, 4096, 65536])
@pytest.mark.parametrize("wal", [False, True])
def test_rpm_sqlite(tmp_path: pathlib.Path, page: int, wal: bool) -> None:
    host = FakeHost(sqlite(tmp_path / "rpmdb.sqlite", page, wal))
    found = packages(host)
    assert {name: found[name].version for name in EXPECTED} == EXPECTED
    assert "gpg-pubkey" not in found
    assert len(found) == len(EXPECTED) + 400
    for path, name in (
        ("/usr/bin/file8999", "docker-ce"),
        ("/usr/bin/runc", "runc"),
        ("/usr/bin/none", None),
    ):
        owned = owner(host, path)
        assert (owned.name if owned else None) == name


def test_rpm_ndb() -> None:
    pages = 1
    slots, blobs, block = [], b"", pages * 4096 // 16
    for number, blob in enumerate(BLOBS, 1):
        raw = struct.pack("<4s3I", b"BlbS", number, 1, len(blob)) + blob
        raw += b"\0" * (-len(raw) % 16) + struct.pack("<3I4s", 0, len(blob), 0, b"BlbE")
        slots.append(struct.pack("<4s3I", b"Slot", number, block, len(raw) // 16))
        blobs += raw
        block += len(raw) // 16
    free = [struct.pack("<4s3I", b"Slot", 0, 0, 0)] * (254 - len(slots))
    # The order of the slots is not that of the packages.
    data = (
        struct.pack("<4s7I", b"RpmP", 0, 1, pages, 7, 0, 0, 0) + b"".join([*reversed(slots), *free]) + blobs
    )
    found = packages(FakeHost({"/usr/lib/sysimage/rpm/Packages.db": data}))
    assert {name: each.version for name, each in found.items()} == EXPECTED


@pytest.mark.apt
def test_rpm_berkeley_db(tmp_path: pathlib.Path) -> None:
    tree = debs.need("db5.3-util", "libdb5.3")
    for order, size in (("<", 4096), ("<", 512), ("<", 65536), (">", 4096)):
        dump = ["VERSION=3", "format=bytevalue", "type=hash", f"db_pagesize={size}"]
        dump += [f"db_lorder={'1234' if order == '<' else '4321'}", "HEADER=END", " 00000000", " 06000000"]
        for number, blob in enumerate(BLOBS, 1):
            dump += [f" {struct.pack(order + 'I', number).hex()}", f" {blob.hex()}"]
        path = tmp_path / f"Packages{size}{'l' if order == '<' else 'b'}"
        program = next(tree.glob("usr/bin/db5.3_load"))
        libraries = next(tree.glob("usr/lib/*/libdb-5.3.so")).parent
        subprocess.run(
            [program, path],
            input="\n".join([*dump, "DATA=END", ""]),
            text=True,
            check=True,
            env={**os.environ, "LD_LIBRARY_PATH": str(libraries)},
        )
        found = packages(FakeHost({"/var/lib/rpm/Packages": path.read_bytes()}))
        assert {name: each.version for name, each in found.items()} == EXPECTED


@pytest.mark.apt
def test_rpm_itself(tmp_path: pathlib.Path) -> None:
    """Write a database with the real rpm, and compare with what it prints of it."""
    tree = debs.need(
        *(
            "rpm",
            "rpm-common",
            "librpm9",
            "librpmio9",
            "librpmbuild9",
            "librpmsign9",
            "liblua5.3-0",
            "libpopt0",
        ),
        *("debugedit", "libfsverity0"),
    )
    env = {
        **os.environ,
        "LD_LIBRARY_PATH": str(next(tree.glob("usr/lib/*/librpm.so.9")).parent),
        "RPM_CONFIGDIR": str(tree / "usr/lib/rpm"),
        "HOME": str(tmp_path),
    }
    for name, epoch, files in (("runc", 1, 2), ("containerd.io", 0, 3000)):
        (tmp_path / f"{name}.spec").write_text(
            f"Name: {name}\nVersion: 1.0.0\nRelease: 7.rc92\nEpoch: {epoch}\nSummary: s\nLicense: l\n"
            f"%description\nd\n%install\nmkdir -p %{{buildroot}}/usr/bin %{{buildroot}}/usr/share/{name}\n"
            f"echo > %{{buildroot}}/usr/bin/{name}\n"
            f"for i in $(seq {files}); do : > %{{buildroot}}/usr/share/{name}/f$i; done\n"
            f"%files\n/usr/bin/{name}\n/usr/share/{name}\n"
        )
        built = subprocess.run(
            [
                *(tree / "usr/bin/rpmbuild", "-bb", "--define", f"_topdir {tmp_path}/top"),
                *("--define", f"_rpmdir {tmp_path}/out", "--define", "__os_install_post %{nil}"),
                tmp_path / f"{name}.spec",
            ],
            env=env,
            capture_output=True,
            text=True,
        )
        if built.returncode != 0:
            pytest.skip(f"rpmbuild does not run here: {built.stderr[-200:]}")
    where = tmp_path / "root/var/lib/rpm"
    where.mkdir(parents=True)
    rpm = [str(tree / "usr/bin/rpm"), "--dbpath", str(where)]
    files_built = [str(path) for path in sorted((tmp_path / "out").rglob("*.rpm"))]
    subprocess.run(
        [*rpm, "-i", "--justdb", "--nodeps", *files_built], env=env, check=True, capture_output=True
    )
    asked = subprocess.run(
        [*rpm, "-qa", "--qf", "%{NAME} %{EPOCH}:%{VERSION}-%{RELEASE} %{ARCH}\n"],
        env=env,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    host = RootHost(str(tmp_path / "root"))
    ours = {f"{p.name} {p.version} {p.arch}" for p in packages(host).values()}
    assert ours == {line.replace(" 0:", " ") for line in asked.splitlines()}
    assert len(ours) == 2
    found = owner(host, "/usr/share/containerd.io/f3000")
    assert found is not None
    assert found.name == "containerd.io"


@pytest.mark.parametrize("name", ["rpmdb.sqlite", "Packages.db", "Packages"])
@pytest.mark.parametrize("junk", [b"", b"x", b"SQLite format 3\0" + b"\xff" * 4000, b"RpmP" + b"\xff" * 5000])
def test_damaged_rpm_databases_are_unknown(name: str, junk: bytes) -> None:
    with pytest.raises(Unavailable):
        packages(FakeHost({f"/var/lib/rpm/{name}": junk}))


def test_cut_and_flipped_sqlite_never_crashes(tmp_path: pathlib.Path) -> None:
    whole = sqlite(tmp_path / "rpmdb.sqlite", 512, False)
    path, data = next(iter(whole.items()))
    assert isinstance(data, bytes)
    outcomes = set()
    for place in range(0, len(data), len(data) // 300):
        flipped = bytearray(data)
        flipped[place] ^= 0xFF
        for junk in (data[:place], bytes(flipped)):
            try:
                outcomes.add(type(packages(FakeHost({path: junk}))).__name__)
            except Unavailable:
                outcomes.add("Unavailable")
    assert outcomes == {"Packages", "Unavailable"}


def test_a_loop_of_overflow_pages_ends() -> None:
    at = lambda offset, length: (b"\0\0\0\x05\0\0\0\x05" * 1024)[:length]  # noqa: E731
    with pytest.raises(rpmdb.Damaged):
        list(rpmdb.sqlite_blobs(at))
