"""A real Debian 12 root: what hostcheck says of the tree, beside what its own programs say when they are run."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
import sys
from typing import Any

import pytest
import roots

ROOT = pathlib.Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.root, pytest.mark.apt]


@pytest.fixture(scope="module")
def root() -> pathlib.Path:
    return roots.need("bookworm")


def hostcheck(*arguments: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "hostcheck", *arguments], capture_output=True, text=True, cwd=ROOT, timeout=120
    )
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)


def chroot(root: pathlib.Path, *argv: str) -> str:
    done = subprocess.run(
        ["chroot", str(root), *argv],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "tool, argv",
    [
        ("runc", ["runc", "--version"]),
        ("containerd", ["containerd", "--version"]),
        ("dockerd", ["dockerd", "--version"]),
        ("docker", ["docker", "--version"]),
        ("ctr", ["ctr", "--version"]),
        ("docker-init", ["docker-init", "--version"]),
        ("systemd", ["systemctl", "--version"]),
        ("iptables", ["iptables", "--version"]),
    ],
)
def test_version_is_what_the_program_prints(root: pathlib.Path, tool: str, argv: list[str]) -> None:
    from hostcheck.facts.versions import parse_version_output

    printed = chroot(root, *argv)
    found = hostcheck("facts", "versions", "--root", str(root))["versions"][tool]
    assert found["upstream"] == parse_version_output(tool, printed).upstream
    assert found["upstream"] in printed


def test_packages_are_what_dpkg_says(root: pathlib.Path) -> None:
    asked = chroot(root, "dpkg-query", "-W", "-f", "${db:Status-Status} ${Package} ${Version}\n")
    wanted = dict(line.split()[1:] for line in asked.splitlines() if line.startswith("installed "))
    found = hostcheck("facts", "packages", "--root", str(root))["packages"]
    versions = {name: leaf["value"] for name, leaf in found.items()}
    assert len(wanted) > 100
    assert versions == wanted


def test_sysctls_are_those_of_the_files_that_systemd_reads(root: pathlib.Path) -> None:
    """`systemd-analyze cat-config` names the files and their order; the last assignment counts."""
    text = chroot(root, "systemd-analyze", "cat-config", "sysctl.d")
    wanted = {}
    for line in text.splitlines():
        found = re.match(r"-?([a-z][\w./-]*)\s*=\s*(.*?)\s*$", line)
        if found:
            wanted[found[1].replace("/", ".")] = found[2]
    leaves = hostcheck("facts", "sysctl", "--root", str(root))["sysctl"]
    assert wanted
    assert {key: leaf["value"] for key, leaf in leaves.items()} == wanted


def test_kernel_options_are_those_that_check_config_finds(root: pathlib.Path) -> None:
    """moby's own script on the same configuration, told the kernel's own release."""
    (config,) = (root / "boot").glob("config-*")
    release = config.name.partition("-")[2]
    script = root / "usr/share/docker.io/contrib/check-config.sh"
    text = script.read_text()
    # The script asks uname for the version even when it is given a configuration; tell it the truth.
    major, minor = release.split(".")[:2]
    text = re.sub(r"kernelVersion=\"\$\(uname -r\)\"", f'kernelVersion="{release}"', text)
    assert f'kernelVersion="{release}"' in text
    done = subprocess.run(["bash", "-s", str(config)], input=text, capture_output=True, text=True, timeout=60)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
    said = dict(re.findall(r"- CONFIG_(\w+): (enabled|missing)", plain))
    assert len(said) > 60, done.stdout + done.stderr
    found = hostcheck("facts", "kernel", "--root", str(root))["kernel"]["config"]
    ours = {name.removeprefix("CONFIG_"): leaf["value"] in ("y", "m") for name, leaf in found.items()}
    wrong = {name for name, word in said.items() if ours.get(name, False) != (word == "enabled")}
    print(f"{len(said) - len(wrong)} of {len(said)} options agree (kernel {major}.{minor})")
    assert wrong == set()


def test_a_stock_root_is_ready(root: pathlib.Path) -> None:
    report = hostcheck("--root", str(root), "-f", "json", "--no-plugins")
    failures = [
        (result["id"], finding["message"])
        for result in report["results"]
        if result["outcome"] == "fail" and result["severity"] != "info"
        for finding in result["findings"]
        if not finding["ok"]
    ]
    assert (report["verdict"], failures) == ("ready", [])
    assert [r["id"] for r in report["results"] if r["outcome"] in ("unknown", "error")] == []
    assert report["host"]["engines"] == {"docker": "20.10.24", "containerd": "1.6.20", "runc": "1.1.5"}
