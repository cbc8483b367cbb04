"""Build everything that is handed out into dist/: wheel, sdist, pyz, deb and rpm, an SBOM and the checksums.

Run by `make packages`, from the checkout. SOURCE_DATE_EPOCH is the time in all of it (default: of the last commit).
"""

from __future__ import annotations

import datetime
import email.utils
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
import zipfile

PROJECT = pathlib.Path(__file__).resolve().parents[1]
DIST = PROJECT / "dist"
sys.path[:0] = [str(PROJECT), str(PROJECT / "packaging")]

import manual  # noqa: E402 - found by the line above
import pyz  # noqa: E402 - found by the line above
import shtab  # noqa: E402

from hostcheck import __version__, cli  # noqa: E402

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


def python_packages(scratch: pathlib.Path) -> None:
    """Build wheel and sdist, from a copy: an earlier build leaves files behind that would be taken for sources."""
    project = scratch / "project"
    pyz.copy_project(project)
    shutil.copy(PROJECT / "CHANGELOG.md", project)
    run(sys.executable, "-m", "build", "-q", "--outdir", DIST, project)
    repack_sdist(DIST / f"hostcheck-{__version__}.tar.gz")
    run(sys.executable, "-m", "twine", "check", "--strict", *sorted(DIST.glob("hostcheck-*[lz]")))


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


def linux_packages(stage: pathlib.Path) -> None:
    """Build deb and rpm with nfpm."""
    for name in ("lib", "bin", "man", "completions", "doc"):
        (stage / name).mkdir(parents=True)
    wheel = next(DIST.glob("*.whl"))
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(stage / "lib")  # noqa: S202 - built a moment ago
    about = next((stage / "lib").glob("*.dist-info"))
    (about / "RECORD").unlink()
    shutil.rmtree(about / "licenses", ignore_errors=True)
    (about / "INSTALLER").write_text("package\n")
    for path in stage.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    (stage / "bin" / "hostcheck").write_text(LAUNCHER.format(path=""))
    (stage / "bin" / "hostcheck-rpm").write_text(
        LAUNCHER.format(path='sys.path.insert(0, "/usr/share/hostcheck")\n\n')
    )
    for name, text in (("hostcheck.1", manual.command_page()), ("hostcheck-policy.5", manual.policy_page())):
        (stage / "man" / f"{name}.gz").write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    for shell in ("bash", "zsh", "fish"):
        text = shtab.complete(cli._parser(cli.COMMANDS), shell=shell)
        (stage / "completions" / shell).write_text(text)
    (stage / "doc" / "copyright").write_text(COPYRIGHT)
    date = email.utils.format_datetime(datetime.datetime.fromtimestamp(epoch(), datetime.timezone.utc))
    changes = (
        f"hostcheck ({__version__}) unstable; urgency=medium\n\n  * See CHANGELOG.md of the sources.\n\n"
        f" -- hostcheck maintainers <hostcheck@localhost>  {date}\n"
    )
    (stage / "doc" / "changelog.gz").write_bytes(gzip.compress(changes.encode(), 9, mtime=0))
    nfpm = pathlib.Path(sys.executable).with_name("nfpm")
    described = string.Template((PROJECT / "packaging" / "linux" / "nfpm.yaml").read_text())
    config = stage / "nfpm.yaml"
    time = datetime.datetime.fromtimestamp(epoch(), datetime.timezone.utc).isoformat()
    config.write_text(described.substitute(STAGE=stage, VERSION=__version__, MTIME=time))
    for path in stage.rglob("*"):
        os.utime(path, (epoch(), epoch()))
    for kind in ("deb", "rpm"):
        run(nfpm, "package", "--config", config, "--packager", kind, "--target", DIST)


def bill_of_materials() -> None:
    """Write what hostcheck.pyz brings along, as CycloneDX 1.5."""
    from email.parser import Parser

    components = []
    with zipfile.ZipFile(DIST / "hostcheck.pyz") as packed:
        for name in sorted(packed.namelist()):
            if not name.endswith(".dist-info/METADATA") or name.startswith("hostcheck-"):
                continue
            about = Parser().parsestr(packed.read(name).decode())
            purl = f"pkg:pypi/{about['Name'].lower()}@{about['Version']}"
            licence = about["License-Expression"] or about["License"] or "unknown"
            components.append(
                {
                    "type": "library",
                    "bom-ref": purl,
                    "name": about["Name"],
                    "version": about["Version"],
                    "purl": purl,
                    "licenses": [{"license": {"name": licence.splitlines()[0]}}],
                }
            )
    own = f"pkg:pypi/hostcheck@{__version__}"
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": datetime.datetime.fromtimestamp(epoch(), datetime.timezone.utc).isoformat(),
            "component": {
                "type": "application",
                "bom-ref": own,
                "name": "hostcheck",
                "version": __version__,
                "purl": own,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            },
        },
        "components": components,
        "dependencies": [{"ref": own, "dependsOn": [component["bom-ref"] for component in components]}],
    }
    (DIST / "hostcheck.pyz.cdx.json").write_text(json.dumps(bill, indent=1) + "\n")


def checksums() -> None:
    """Write SHA256SUMS, for `sha256sum -c`."""
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(DIST.iterdir())
        if path.name != "SHA256SUMS"
    ]
    (DIST / "SHA256SUMS").write_text("".join(lines))


def main() -> int:
    """Build it all."""
    os.environ["SOURCE_DATE_EPOCH"] = str(epoch())
    os.umask(0o022)
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir()
    with tempfile.TemporaryDirectory() as folder:
        scratch = pathlib.Path(folder)
        python_packages(scratch / "python")
        linux_packages(scratch / "linux")
    pyz.main([str(DIST / "hostcheck.pyz"), *sys.argv[1:]])
    bill_of_materials()
    checksums()
    print((DIST / "SHA256SUMS").read_text(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
