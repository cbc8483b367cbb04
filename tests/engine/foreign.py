"""Programs of Debian packages for a processor that this machine has not: fetched once, only read, never run."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import tempfile
from collections.abc import Sequence

import pytest
import roots

_KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"


def need(suite: str, processor: str, packages: Sequence[str]) -> pathlib.Path:
    """Return the folder with the packages of a suite, as files; skip the test where they cannot be had."""
    roots.need_tool("apt-get", "dpkg-deb")
    archive = roots.mirror()
    if archive is None:
        pytest.skip("apt's sources name no Debian archive")
    target = roots.cache() / "debs" / f"{suite}-{processor}" / "+".join(packages)
    with roots.lock(f"debs-{suite}-{processor}"):
        if not target.is_dir():
            target.parent.mkdir(parents=True, exist_ok=True)
            scratch = pathlib.Path(tempfile.mkdtemp(prefix=".making-", dir=target.parent))
            try:
                _fetch(scratch, f"deb [signed-by={_KEYS}] {archive} {suite} main\n", processor, packages)
                (scratch / "debs").rename(target)
            except subprocess.SubprocessError as problem:
                said = getattr(problem, "stderr", b"") or b""
                pytest.skip(f"apt cannot fetch {suite} {processor}: {said.decode(errors='replace')[-200:]}")
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    return target


def _fetch(folder: pathlib.Path, source: str, processor: str, packages: Sequence[str]) -> None:
    """Fetch packages through an apt that knows of nothing else on this machine."""
    for name in ("state/lists/partial", "cache/archives/partial", "debs"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    (folder / "sources").write_text(source)
    (folder / "apt.conf").write_text(
        f'Dir::State "{folder}/state";\nDir::State::status "{folder}/status";\nDir::Cache "{folder}/cache";\n'
        f'Dir::Etc::SourceList "{folder}/sources";\nDir::Etc::SourceParts "/dev/null";\n'
        f'APT::Architecture "{processor}";\nAPT::Architectures "{processor}";\n'
        'APT::Sandbox::User "root";\nAcquire::Languages "none";\nAcquire::Check-Valid-Until "false";\n'
    )
    for arguments in (["update", "--error-on=any"], ["download", *packages]):
        subprocess.run(
            ["apt-get", "-q", *arguments],
            cwd=folder / "debs",
            check=True,
            capture_output=True,
            env={**os.environ, "APT_CONFIG": str(folder / "apt.conf")},
            timeout=600,
        )


def field(deb: pathlib.Path, name: str) -> str:
    """Return a field of a package's description of itself."""
    asked = ["dpkg-deb", "--field", str(deb), name]
    return subprocess.run(asked, check=True, capture_output=True, text=True, timeout=60).stdout.strip()


def unpack(deb: pathlib.Path, tree: pathlib.Path, *paths: str) -> None:
    """Lay some of a package's files into a tree."""
    packed = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(deb)], stdout=subprocess.PIPE)
    with packed:
        names = [f"./{path.lstrip('/')}" for path in paths]
        subprocess.run(["tar", "-x", "-C", str(tree), *names], stdin=packed.stdout, check=True, timeout=120)
    assert packed.returncode == 0
