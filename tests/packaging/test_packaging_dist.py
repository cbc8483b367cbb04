"""What `make packages` makes, as the tools of those who take it judge it."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

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
    if sys.version_info < (3, 10):
        pytest.skip("the newest nfpm for Python 3.9 writes a field that Debian does not know")
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


COMPLETIONS = {
    "bash": "bash-completion/completions/hostcheck",
    "zsh": "zsh/vendor-completions/_hostcheck",
    "fish": "fish/vendor_completions.d/hostcheck.fish",
}


def offered(shell: str, file: pathlib.Path, line: str) -> set[str]:
    """Return what a shell offers at the end of a line."""
    if shell == "bash":
        # Split as a shell does, with an empty last word where the line ends in a space.
        cut = f'COMP_WORDS=({line}); [ "${{1% }}" = "$1" ] || COMP_WORDS+=(""); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))'
        script = f'. {file}; {cut}; _shtab_hostcheck; printf "%s\\n" "${{COMPREPLY[@]}}"'
        text = said("bash", "-c", script, "bash", line)
    elif shell == "fish":
        text = said("fish", "--no-config", "-c", f"source {file}; complete -C '{line}'")
    else:
        text = said("zsh", "-f", pathlib.Path(__file__).with_name("complete.zsh"), file.parent, line)
    return {each.split("\t")[0].strip().rstrip("/") for each in text.splitlines()} - {""}


@pytest.mark.parametrize("shell", COMPLETIONS)
@pytest.mark.parametrize(
    ("line", "expected", "alone"),
    [
        ("hostcheck dae", "daemon-json", True),
        ("hostcheck --pol", "--policy", True),
        ("hostcheck --policy kub", "kubernetes", True),
        ("hostcheck -f ju", "junit", True),
        ("hostcheck --select cgroup.", "cgroup.mode", False),
        ("hostcheck explain network.ip_f", "network.ip_forward", True),
        ("hostcheck run --fail-on re", "recommended", False),
        ("hostcheck facts sys", "sysctl", True),
        ("hostcheck serve --web.l", "--web.listen-address", True),
        ("hostcheck list --policy ", "podman", False),
        ("hostcheck diff /etc/pass", "passwd", False),
    ],
)
def test_completions(shell: str, line: str, expected: str, alone: bool, tree: pathlib.Path) -> None:
    roots.need_tool(shell)
    # bash and fish give the whole path, zsh its last part.
    found = {
        each.removeprefix("/etc/") for each in offered(shell, tree / "usr/share" / COMPLETIONS[shell], line)
    }
    assert expected in found
    assert not alone or found == {expected}


@pytest.mark.skipif(not os.environ.get("HOSTCHECK_ALL_INSTALLS"), reason="it builds everything once more")
def test_the_same_bytes_twice(dist: pathlib.Path) -> None:
    again = builds.again()
    assert (again / "SHA256SUMS").read_text() == (dist / "SHA256SUMS").read_text()
