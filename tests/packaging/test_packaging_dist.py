"""What `make packages` makes, as the tools of those who take it judge it."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import subprocess

import builds
import pytest
import roots

LINUX = builds.PROJECT / "packaging" / "linux"


@pytest.fixture(scope="module")
def dist() -> pathlib.Path:
    return builds.dist()


@pytest.fixture(scope="module")
def tree(dist: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return the unpacked deb."""
    roots.need_tool("dpkg-deb")
    target = tmp_path_factory.mktemp("deb")
    subprocess.run(["dpkg-deb", "-x", builds.only(dist, "*.deb"), target], check=True, timeout=60)
    return target


def said(*command: str | os.PathLike[str], **more: str) -> str:
    """Return everything that a command says, which must succeed."""
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        env={**os.environ, "LC_ALL": "C.UTF-8", **more},
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_checksums(dist: pathlib.Path) -> None:
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"],
        cwd=dist,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout
    named = {line.split()[1] for line in (dist / "SHA256SUMS").read_text().splitlines()}
    assert named == {path.name for path in dist.iterdir()} - {"SHA256SUMS"}


def test_bill_of_materials(dist: pathlib.Path) -> None:
    schema = pytest.importorskip("cyclonedx.schema")
    validation = pytest.importorskip("cyclonedx.validation.json")
    judge = validation.JsonStrictValidator(schema.SchemaVersion.V1_5)
    (path,) = dist.glob("*.cdx.json")
    text = path.read_text()
    assert judge.validate_str(text) is None
    assert judge.validate_str(text.replace('"library"', '"libary"')) is not None
    names = {component["name"].lower() for component in json.loads(text)["components"]}
    assert names == {"rich", "pyyaml", "prometheus_client", "jinja2", "markupsafe", "h11"}


def test_lintian(dist: pathlib.Path) -> None:
    roots.need_tool("lintian")
    everything = ["--pedantic", "--display-info", "--allow-root"]
    assert said("lintian", *everything, builds.only(dist, "*.deb")) == ""


def test_rpmlint(dist: pathlib.Path) -> None:
    roots.need_tool("rpmlint")
    text = said("rpmlint", "--config", LINUX / "rpmlint.toml", builds.only(dist, "*.rpm"))
    assert "1 packages and 0 specfiles checked; 0 errors, 0 warnings" in text, text


@pytest.mark.parametrize("page", ["man1/hostcheck.1", "man5/hostcheck-policy.5"])
def test_manual(page: str, tree: pathlib.Path, tmp_path: pathlib.Path) -> None:
    roots.need_tool("mandoc", "zcat")
    text = said("zcat", tree / "usr/share/man" / f"{page}.gz")
    plain = tmp_path / pathlib.Path(page).name
    plain.write_text(text)
    assert said("mandoc", "-Tlint", "-Wstyle", plain) == ""
    if shutil.which("man"):
        assert (
            said("sh", "-c", 'exec man --warnings --local-file "$0" >/dev/null', plain, MANWIDTH="80") == ""
        )
    shown = re.sub(".\x08", "", said("mandoc", "-Tutf8", plain))
    assert "SEE ALSO" in shown


@pytest.mark.parametrize(
    ("shell", "path"),
    [
        ("bash", "bash-completion/completions/hostcheck"),
        ("zsh", "zsh/vendor-completions/_hostcheck"),
        ("fish", "fish/vendor_completions.d/hostcheck.fish"),
    ],
)
def test_completions(shell: str, path: str, tree: pathlib.Path) -> None:
    roots.need_tool(shell)
    file = tree / "usr/share" / path
    assert said(shell, "-n", file) == ""
    for word in ("daemon-json", "--policy", "--baseline"):
        assert word.lstrip("-") in file.read_text()


def test_bash_completes(tree: pathlib.Path) -> None:
    roots.need_tool("bash")
    file = tree / "usr/share/bash-completion/completions/hostcheck"
    script = f". {file}; COMP_WORDS=(hostcheck pol); COMP_CWORD=1; _shtab_hostcheck; echo ${{COMPREPLY[@]}}"
    assert said("bash", "-c", script).split() == ["policies"]


@pytest.mark.skipif(not os.environ.get("HOSTCHECK_ALL_INSTALLS"), reason="it builds everything once more")
def test_the_same_bytes_twice(dist: pathlib.Path) -> None:
    again = builds.again()
    assert (again / "SHA256SUMS").read_text() == (dist / "SHA256SUMS").read_text()
