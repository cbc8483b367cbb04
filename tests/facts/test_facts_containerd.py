"""containerd's configuration: TOML, imports, and what containerd itself makes of the same files."""

from __future__ import annotations

import importlib
import json
import pathlib
import re
import subprocess
import sys
from typing import Any

import debs
import pytest

from hostcheck.facts import containerd
from hostcheck.facts.containerd import config, export, merge, systemd_cgroup
from hostcheck.facts.toml import BadConfig, parse_toml, parse_toml_plainly
from hostcheck.testing import Content, FakeHost, ask
from hostcheck.versions import Version

checks: Any = importlib.import_module("hostcheck.checks.containerd")

ELF = b"\x7fELF" + bytes(60)
PATH = "/etc/containerd/config.toml"

DOCUMENTS = [
    "",
    "# only a comment",
    "version = 2\n",
    'a = 1\nb = "x"\nc = [1, 2,\n  3, # three\n]\nd = true\ne = -7\nf = 1_000\ng = 0x1f\nh = 1.5\n',
    "[a]\nb = 1\n[a.\"c.d\".e]\nf = 'raw \\ text'\n[[g]]\nh = 1\n[[g]]\nh = 2\n",
    'a.b.c = 1\na.b.d = "\\u00e9\\t\\"q\\""\n',
    'a = { b = 1, "c" = [ { d = 2 } ], e.f = 3 }\n',
    "a = \"\"\"\nfirst\\\n   second\"\"\"\nb = '''x\ny'''\n",
    '\tversion = 2\n\t[debug]\n\t\tlevel = "info"\n',
    "version = 2\r\nroot = '/x'\r\n",
    '[plugins]\n  [plugins."io.containerd.grpc.v1.cri"]\n    x = 1\n[plugins.z]\n',
    'a = ["cri",]\nb = []\nc = {}\n',
    "a = 3 # end without a line feed",
]
BAD = [
    "a = \n",
    "[a\n",
    "a = 1\na = 2\n",
    "[a]\nb = 1\n[a]\nc = 2\n",
    "a = /x\n",
    "a b = 1\n",
    'a = "x\n',
    "a = [1, 2\n",
    "a = { b = 1\n",
    "a = 1 b = 2\n",
    "= 1\n",
    "a = yes\n",
    'a = "\\Uzzzzzzzz"\n',
    'a = "\\UFFFFFFFF"\n',
    "[a]]\n",
    "<html>\n",
    "a = 1\n[a.b]\nc = 1\n",
]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="the standard library has no reader to compare with")
@pytest.mark.parametrize("text", DOCUMENTS)
def test_both_readers_agree(text: str) -> None:
    assert parse_toml_plainly(text) == parse_toml(text)


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_toml(text: str) -> None:
    for reader in (parse_toml, parse_toml_plainly):
        with pytest.raises(BadConfig) as caught:
            reader(text)
        assert caught.value.line <= text.count("\n") + 1


def test_junk_never_crashes_the_plain_reader() -> None:
    whole = "".join(DOCUMENTS[3:8])
    refused = 0
    for place in range(len(whole)):
        for junk in (
            whole[:place],
            whole[:place] + "\0" + whole[place + 1 :],
            whole[:place] + "]" + whole[place:],
        ):
            try:
                parse_toml_plainly(junk)
            except BadConfig:
                refused += 1
    assert refused > 100


def test_merge() -> None:
    first = {"version": 2, "plugins": {"a": {"x": 1, "y": {"z": 1}}}, "disabled_plugins": ["a"], "root": "/a"}
    second = {"version": 3, "plugins": {"a": {"y": {"w": 2}}}, "disabled_plugins": ["b", "a"], "root": "/b"}
    assert merge(first, second, deep=True) == {
        "version": 2,
        "plugins": {"a": {"x": 1, "y": {"z": 1, "w": 2}}},
        "disabled_plugins": ["a", "b"],
        "root": "/b",
    }
    assert merge(first, second, deep=False)["plugins"] == {"a": {"y": {"w": 2}}}


def installed(release: str, files: dict[str, Content]) -> FakeHost:
    status = f"Package: containerd\nStatus: install ok installed\nVersion: {release}\n"
    return FakeHost({"/var/lib/dpkg/status": status, "/usr/bin/containerd": ELF, **files}, kind="root")


def test_imports() -> None:
    files: dict[str, Content] = {
        PATH: 'version = 2\nimports = ["conf.d/*.toml", "/etc/one.toml", "/etc/none.toml", "/no/*.toml"]\n',
        "/etc/containerd/conf.d/b.toml": "root = '/b'\nimports = [\"a.toml\"]\n",
        "/etc/containerd/conf.d/a.toml": f"root = '/a'\nimports = [\"{PATH}\"]\n",
        "/etc/containerd/conf.d/a.txt": "junk",
        "/etc/one.toml": 'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n',
    }
    found = config(installed("1.7.24", files))
    assert found.files == (
        PATH,
        "/etc/containerd/conf.d/a.toml",
        "/etc/containerd/conf.d/b.toml",
        "/etc/one.toml",
    )
    assert found.values["root"] == "/b"
    assert found.missing == ("/etc/none.toml",)
    assert containerd.cri_disabled(found) == ("io.containerd.grpc.v1.cri",)


def test_the_unit_names_the_file() -> None:
    unit = "[Service]\nExecStart=/usr/bin/containerd --config /etc/other.toml\n"
    files: dict[str, Content] = {
        "/usr/lib/systemd/system/containerd.service": unit,
        "/etc/other.toml": "version = 2\n",
    }
    assert config(installed("1.7", files)).files == ("/etc/other.toml",)


def test_a_bad_import_is_named() -> None:
    host = installed("1.7", {PATH: 'imports = ["/b.toml"]\n', "/b.toml": "x = 1\ny = \n"})
    with pytest.raises(BadConfig) as caught:
        config(host)
    assert (caught.value.path, caught.value.line) == ("/b.toml", 2)


def test_export() -> None:
    host = installed(
        "1.7.24", {PATH: '# x\nversion = 2\n[plugins."io.containerd.grpc.v1.cri"]\nenable_cdi = true\n'}
    )
    shown = export(host)
    assert shown["version"] == {"value": 2, "path": PATH, "line": 2}
    assert shown["plugins.io.containerd.grpc.v1.cri.enable_cdi"] == {"value": True, "path": PATH, "line": 4}
    assert shown["systemd_cgroup"] == {"value": False, "path": PATH, "line": None}
    assert export(installed("1.7.24", {}))["systemd_cgroup"] == {"value": False, "path": PATH, "line": None}


CRI_NAMES = ("cri", '"io.containerd.grpc.v1.cri"', '"io.containerd.cri.v1.runtime"')

# Whether SystemdCgroup below these names counts, as `containerd config dump` of each release answered.
COUNTS = {
    # version in the file: (1.x, 2.1)
    "": ((True, False, False), (False, False, True)),
    "version = 1\n": ((True, False, False), (False, False, True)),
    "version = 2\n": ((None, True, False), (None, True, True)),
    "version = 3\n": ((None, None, None), (None, False, True)),
}


@pytest.mark.parametrize("release, column", [("1.6.20", 0), ("1.7.24", 0), ("2.1.9", 1)])
@pytest.mark.parametrize("version", COUNTS)
@pytest.mark.parametrize("runtime", ["runc", "x"])
def test_where_systemd_cgroup_is_read(release: str, column: int, version: str, runtime: str) -> None:
    for name, counts in zip(CRI_NAMES, COUNTS[version][column]):
        text = version
        if runtime != "runc":
            text += f'[plugins.{name}.containerd]\ndefault_runtime_name = "{runtime}"\n'
        text += f"[plugins.{name}.containerd.runtimes.{runtime}.options]\nSystemdCgroup = true\n"
        if counts is not None:
            assert systemd_cgroup(installed(release, {PATH: text})) is counts, text


def test_another_runtime_than_the_default_one_does_not_count() -> None:
    text = 'version = 2\n[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.x.options]\nSystemdCgroup = true\n'
    assert systemd_cgroup(installed("1.7.24", {PATH: text})) is False


# Files, and for which releases containerd refuses them.
FILES: list[tuple[str, str, set[str]]] = [
    ("empty", "", set()),
    ("version 2", 'version = 2\n[plugins."io.containerd.grpc.v1.cri"]\n', set()),
    ("packaged", 'disabled_plugins = ["cri"]\n', set()),
    ("short name", 'version = 2\ndisabled_plugins = ["cri"]\n', {"1.4", "1.6", "1.7", "2.1"}),
    ("short required", 'version = 2\nrequired_plugins = ["cri"]\n', {"1.4", "1.6", "1.7", "2.1"}),
    ("short section", "version = 2\n[plugins.cri]\n x = 1\n", {"1.4", "1.6", "1.7"}),
    ("three parts", 'version = 2\ndisabled_plugins = ["io.containerd.cri"]\n', {"1.4", "1.6", "1.7"}),
    ("version 3", "version = 3\n", {"1.7"}),
    ("version 3 short", 'version = 3\ndisabled_plugins = ["cri"]\n', {"1.6", "1.7", "2.1"}),
    ("version 4", "version = 4\n", {"1.7", "2.1"}),
    ("no value", "version = \n", {"1.4", "1.6", "1.7", "2.1"}),
    ("twice", "version = 2\nversion = 2\n", {"1.4", "1.6", "1.7", "2.1"}),
    (
        "table twice",
        'version = 2\n[debug]\nlevel="info"\n[debug]\naddress="x"\n',
        {"1.4", "1.6", "1.7", "2.1"},
    ),
    ("bare", "root = /x\n", {"1.4", "1.6", "1.7", "2.1"}),
    ("text for number", 'version = 2\noom_score = "abc"\n', {"1.4", "1.6", "1.7", "2.1"}),
    ("text for version", 'version = "2"\n', {"1.4", "1.6", "1.7", "2.1"}),
    ("unknown key", "version = 2\nfoo = 1\n", set()),
    ("byte order mark", "\ufeffversion = 2\n", {"1.4", "2.1"}),
    ("carriage returns", 'version = 2\r\nroot = "/x"\r\n', set()),
    ("missing import", 'version = 2\nimports = ["/nonexistent.toml"]\n', {"1.6", "1.7", "2.1"}),
    ("missing folder", 'version = 2\nimports = ["/nonexistent/*.toml"]\n', set()),
    ("full name in version 1", 'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n', set()),
]
RELEASES = {"1.4": "1.4.13~ds1-1", "1.6": "1.6.20~ds1-1", "1.7": "1.7.24~ds1-6", "2.1": "2.1.9+ds1-5"}


def refused(release: str, text: str) -> bool:
    result = ask(checks.ContainerdConfig, installed(RELEASES[release], {PATH: text}))
    return any(str(result.severity_of(finding)) == "required" for finding in result.failures)


@pytest.mark.parametrize("release", RELEASES)
def test_the_check_refuses_what_containerd_refused(release: str) -> None:
    wrong = [name for name, text, by in FILES if refused(release, text) is not (release in by)]
    print(f"config.toml, containerd {release}: {len(FILES) - len(wrong)} of {len(FILES)} agree")
    assert not wrong


@pytest.mark.apt
def test_the_containerd_of_this_release(tmp_path: pathlib.Path) -> None:
    """The same files, with the real program now."""
    tree = debs.need("docker.io", "containerd", "runc", "tini")
    program = tree / "usr/bin/containerd"
    printed = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"(\d+\.\d+)\.\d+", printed)
    assert found
    release = found.group(1)
    RELEASES.setdefault(release, found.group(0))
    agree = 0
    for name, text, _by in FILES:
        path = tmp_path / "config.toml"
        path.write_bytes(text.encode())
        ran = subprocess.run(
            [program, "-c", path, "config", "dump"], capture_output=True, text=True, check=False
        )
        assert refused(release, text) is (ran.returncode != 0), (name, ran.stderr)
        agree += 1
    for version in COUNTS:
        for name in CRI_NAMES:
            text = f"{version}[plugins.{name}.containerd.runtimes.runc.options]\nSystemdCgroup = true\n"
            path.write_text(text)
            ran = subprocess.run(
                [program, "-c", path, "config", "dump"], capture_output=True, text=True, check=False
            )
            if ran.returncode == 0 and "SystemdCgroup" in ran.stdout:
                counted = bool(re.search(r"(?m)^\s*SystemdCgroup = true$", ran.stdout))
                assert systemd_cgroup(installed(found.group(0), {PATH: text})) is counted, (text, ran.stdout)
                agree += 1
    print(f"containerd {found.group(0)} itself: {agree} agree")


def test_the_containerd_of_real_images_is_quiet(corpora: pathlib.Path) -> None:
    for line in (corpora / "images.jsonl").read_text().splitlines():
        image = json.loads(line)
        host = installed(image["packages"]["containerd"], {PATH: "version = 2\n\n[plugins]\n"})
        assert not ask(checks.ContainerdConfig, host).failures
        assert not ask(checks.ContainerdVersion, host).failures


def test_version_of_the_daemon_is_kept() -> None:
    assert config(installed("1.7.24", {PATH: ""})).daemon == Version("1.7.24")
