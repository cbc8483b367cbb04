"""Build everything that is handed out into dist/: wheel, sdist, pyz, executables, deb and rpm, SBOMs and checksums.

Run by `make packages`, from the checkout. SOURCE_DATE_EPOCH is the time in all of it (default: of the last commit),
MAINTAINER who answers for the deb and the rpm, as `Name <address>`.
"""

from __future__ import annotations

import argparse
import datetime
import gzip
import hashlib
import json
import os
import pathlib
import shutil
import string
import subprocess
import sys
import tempfile
import urllib.parse
import zipfile
from typing import Any

PROJECT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(PROJECT), str(PROJECT / "packaging"), str(PROJECT / "packaging" / "standalone")]

import completions  # noqa: E402 - found by the line above
import manual  # noqa: E402 - found by the line above
import pyz  # noqa: E402 - found by the line above

from hostcheck import __version__  # noqa: E402

LAUNCHER = """\
#!/usr/bin/python3
import sys

{path}from hostcheck.__main__ import run

sys.exit(run())
"""

COPYRIGHT = """\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: hostcheck

Files: *
Copyright: 2026 the authors of hostcheck
License: Apache-2.0
 On Debian systems, the full text is in /usr/share/common-licenses/Apache-2.0.
"""


def run(*command: str | pathlib.Path) -> None:
    """Run a command in the checkout."""
    subprocess.run(command, check=True, cwd=PROJECT)


def epoch() -> int:
    """Return the time that stands in everything that is built."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given:
        return int(given)
    asked = subprocess.run(
        ["git", "log", "-1", "--format=%ct"], check=False, cwd=PROJECT, capture_output=True, text=True
    )
    return int(asked.stdout.strip() or 0)


def built() -> datetime.datetime:
    """Return the same time as a date."""
    return datetime.datetime.fromtimestamp(epoch(), datetime.timezone.utc)


def maintainer() -> str:
    """Return who answers for the packages; without an address of its own, one that reaches nobody (RFC 2606)."""
    return os.environ.get("MAINTAINER") or "hostcheck maintainers <maintainers@hostcheck.invalid>"


def python_packages(scratch: pathlib.Path, dist: pathlib.Path) -> None:
    """Build wheel and sdist, from a copy: an earlier build leaves files behind that would be taken for sources."""
    project = scratch / "project"
    pyz.copy_project(project)
    shutil.copy(PROJECT / "CHANGELOG.md", project)
    run(sys.executable, "-m", "build", "-q", "--outdir", dist, project)
    repack_sdist(dist / f"hostcheck-{__version__}.tar.gz")
    run(sys.executable, "-m", "twine", "check", "--strict", *sorted(dist.glob("hostcheck-*[lz]")))


def repack_sdist(path: pathlib.Path) -> None:
    """Write an sdist anew: setuptools puts the times and the user of its build into it."""
    import io
    import tarfile

    plain = io.BytesIO()
    with (
        tarfile.open(path) as before,
        tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as after,
    ):
        for member in sorted(before.getmembers(), key=lambda member: member.name):
            member.mtime, member.uid, member.gid, member.uname, member.gname = epoch(), 0, 0, "", ""
            member.mode = 0o755 if member.isdir() else 0o644
            member.pax_headers = {}
            after.addfile(member, before.extractfile(member) if member.isfile() else None)
    path.write_bytes(gzip.compress(plain.getvalue(), 9, mtime=0))


def linux_packages(stage: pathlib.Path, dist: pathlib.Path, wheel: pathlib.Path, version: str) -> None:
    """Build deb and rpm with nfpm, of what is in a wheel."""
    for name in ("lib", "bin", "man", "completions", "doc"):
        (stage / name).mkdir(parents=True)
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(stage / "lib")  # noqa: S202 - built a moment ago
    about = next((stage / "lib").glob("*.dist-info"))
    for name in ("RECORD", "top_level.txt"):
        (about / name).unlink()
    shutil.rmtree(about / "licenses", ignore_errors=True)
    (about / "INSTALLER").write_text("package\n")
    for path in stage.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    (stage / "bin" / "hostcheck").write_text(LAUNCHER.format(path=""))
    (stage / "bin" / "hostcheck-rpm").write_text(
        LAUNCHER.format(path='sys.path.insert(0, "/usr/share/hostcheck")\n\n')
    )
    date = built().date().isoformat()
    pages = {"hostcheck.1": manual.command_page(date), "hostcheck-policy.5": manual.policy_page(date)}
    for name, text in pages.items():
        (stage / "man" / f"{name}.gz").write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    for shell in ("bash", "zsh", "fish"):
        (stage / "completions" / shell).write_text(completions.completions(shell))
    (stage / "doc" / "copyright").write_text(COPYRIGHT)
    (stage / "changelog.yaml").write_text(
        json.dumps(
            [
                {
                    "semver": f"{version}-1",
                    "date": built().isoformat(),
                    "packager": maintainer(),
                    "deb": {"urgency": "medium", "distributions": ["unstable"]},
                    "changes": [{"note": "See CHANGELOG.md of the sources."}],
                }
            ]
        )
    )
    nfpm = pathlib.Path(sys.executable).with_name("nfpm")
    described = string.Template((PROJECT / "packaging" / "linux" / "nfpm.yaml").read_text())
    config = stage / "nfpm.yaml"
    time = built().isoformat()
    config.write_text(described.substitute(STAGE=stage, VERSION=version, MTIME=time, MAINTAINER=maintainer()))
    for path in stage.rglob("*"):
        os.utime(path, (epoch(), epoch()))
    for kind in ("deb", "rpm"):
        run(nfpm, "package", "--config", config, "--packager", kind, "--target", dist)


def libraries(archive: pathlib.Path) -> list[dict[str, Any]]:
    """Return the components that hostcheck.pyz brings along."""
    from email.parser import Parser

    components = []
    with zipfile.ZipFile(archive) as packed:
        for name in sorted(packed.namelist()):
            if not name.endswith(".dist-info/METADATA") or name.startswith("hostcheck-"):
                continue
            about = Parser().parsestr(packed.read(name).decode())
            licence = about["License-Expression"] or about["License"] or "unknown"
            component = part("pypi", about["Name"].lower(), about["Version"])
            components.append({**component, "licenses": [{"license": {"name": licence.splitlines()[0]}}]})
    return components


def linked_in(sources: pathlib.Path) -> list[dict[str, Any]]:
    """Return what is compiled into the executables: Debian's sources, `NAME-VERSION` a line."""
    return [part("generic", *line.rsplit("-", 1)) for line in sources.read_text().splitlines()]


def part(kind: str, name: str, version: str) -> dict[str, Any]:
    """Return a component of a bill of materials."""
    purl = f"pkg:{kind}/{name}@{urllib.parse.quote(version)}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def bill_of_materials(path: pathlib.Path, components: list[dict[str, Any]]) -> None:
    """Write what a file brings along beside it, as CycloneDX 1.5."""
    own = part("pypi", "hostcheck", __version__)
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": built().isoformat(),
            "component": {**own, "type": "application", "licenses": [{"license": {"id": "Apache-2.0"}}]},
        },
        "components": components,
        "dependencies": [
            {"ref": own["bom-ref"], "dependsOn": [component["bom-ref"] for component in components]}
        ],
    }
    path.with_name(f"{path.name}.cdx.json").write_text(json.dumps(bill, indent=1) + "\n")


def executables(dist: pathlib.Path, components: list[dict[str, Any]]) -> None:
    """Build the standalone executables, with a bill of materials for each."""
    # Imported here: what it needs is no part of the other packages' tools.
    import build
    import interpreter

    for path in build.build(dist, list(interpreter.PROCESSORS)):
        bill_of_materials(path, [*components, *linked_in(interpreter.kept() / "SOURCES")])


def checksums(dist: pathlib.Path) -> None:
    """Write SHA256SUMS, for `sha256sum -c`."""
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(dist.iterdir())
        if path.name != "SHA256SUMS"
    ]
    (dist / "SHA256SUMS").write_text("".join(lines))


def options() -> argparse.Namespace:
    """Return what is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pythons", nargs="*", help="compile the one file for these (default: this one)")
    parser.add_argument("--dist", type=pathlib.Path, default=PROJECT / "dist", help="the folder, made anew")
    parser.add_argument(
        "--package-version", default=__version__, help="what deb and rpm call themselves, to try an upgrade"
    )
    parser.add_argument(
        "--no-executables", action="store_true", help="not those, which take ten minutes at first"
    )
    parser.add_argument("--wheel", type=pathlib.Path, help="build deb and rpm alone, of this wheel")
    return parser.parse_args()


def main() -> int:
    """Build it all."""
    asked = options()
    dist = asked.dist.absolute()
    os.environ["SOURCE_DATE_EPOCH"] = str(epoch())
    os.umask(0o022)
    shutil.rmtree(dist, ignore_errors=True)
    dist.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as folder:
        scratch = pathlib.Path(folder)
        if not asked.wheel:
            python_packages(scratch / "python", dist)
            pyz.main([str(dist / "hostcheck.pyz"), *asked.pythons])
            components = libraries(dist / "hostcheck.pyz")
            bill_of_materials(dist / "hostcheck.pyz", components)
            if not asked.no_executables:
                executables(dist, components)
        wheel = asked.wheel or next(dist.glob("*.whl"))
        linux_packages(scratch / "linux", dist, wheel.absolute(), asked.package_version)
    checksums(dist)
    print((dist / "SHA256SUMS").read_text(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
