"""Kernel facts: which kernels count, and the configuration of each."""

from __future__ import annotations

import gzip
import json
import pathlib

import pytest

from hostcheck.facts import kernel
from hostcheck.host import Unavailable
from hostcheck.testing import Content, FakeHost
from hostcheck.versions import Version

CONFIG = "#\n# Linux/x86 6.1.76 Kernel Configuration\n#\nCONFIG_VETH=m\n"


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("CONFIG_VETH=m\n", {"VETH": "m"}),
        ("CONFIG_VETH=y", {"VETH": "y"}),
        ("CONFIG_VETH=m\r\n", {"VETH": "m"}),
        ("CONFIG_VETH=m  \n", {"VETH": "m"}),
        ("# CONFIG_VETH is not set\n", {}),
        ("#CONFIG_VETH=y\n", {}),
        ("# CONFIG_VETH=y\n", {}),
        (" CONFIG_VETH=y\n", {}),
        ("# say CONFIG_VETH=y\n", {}),
        ("CONFIG_VETH=n\n", {}),
        ("CONFIG_VETH=m # a remark\n", {"VETH": "m"}),
        ("CONFIG_VETH\n", {}),
        ("CONFIG_VETH_EXTRA=y\n", {"VETH_EXTRA": "y"}),
        ("CONFIG_VETH=y\nCONFIG_VETH=m\n", {"VETH": "m"}),
        ("CONFIG_VETH=y\n# CONFIG_VETH is not set\n", {}),
        ("# CONFIG_VETH is not set\nCONFIG_VETH=y\n", {"VETH": "y"}),
        ('CONFIG_CMDLINE="a=b # c"\n', {"CMDLINE": '"a=b # c"'}),
        ("\x00\x01\n", {}),
        ("", {}),
    ],
)
def test_options(text: str, options: dict[str, str]) -> None:
    assert dict(kernel.Config("/c", text)) == options


def test_lines_are_those_that_decide() -> None:
    config = kernel.Config("/c", "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_A=m\n")
    assert (config.line("A"), config.line("B"), config.line("C")) == (3, 2, None)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        (
            "#\n# Automatically generated file; DO NOT EDIT.\n# Linux/x86 6.18.3 Kernel Configuration\n#\n",
            "6.18.3",
        ),
        (
            "# Linux/arm64 5.10.252-285.992.amzn2.aarch64 Kernel Configuration\n",
            "5.10.252-285.992.amzn2.aarch64",
        ),
        ("# Linux kernel version: 2.6.32-71.el6\n", "2.6.32-71.el6"),
        ("# Armbian defconfig generated with 5.15\n", None),
    ],
)
def test_header_version(text: str, version: str | None) -> None:
    assert kernel.parse_header_version(text) == version


def test_gzip_that_unpacks_to_too_much() -> None:
    bomb = gzip.compress(b"CONFIG_A=y\n" * 2_000_000)
    with pytest.raises(ValueError, match="more than"):
        kernel.unpack_gzip(bomb)
    host = FakeHost({"/proc/sys/kernel/osrelease": "6.1.0-1", "/proc/config.gz": bomb})
    with pytest.raises(Unavailable, match="unpacks to more"):
        kernel.config(host, "6.1.0-1")


@pytest.mark.parametrize("data", [b"\x1f\x8b", b"\x1f\x8bjunk", gzip.compress(CONFIG.encode())[:-9]])
def test_gzip_that_is_damaged(data: bytes) -> None:
    with pytest.raises(ValueError, match="gzip"):
        kernel.unpack_gzip(data)


def test_gzip_of_two_members_is_read_to_the_end_of_the_first() -> None:
    assert kernel.unpack_gzip(gzip.compress(b"a") + b"trailing") == b"a"


@pytest.mark.parametrize("path", kernel.CONFIG_PATHS)
def test_every_place_of_a_configuration(path: str) -> None:
    there = path.format(release="6.1.0-18-amd64")
    host = FakeHost({there: CONFIG, "/boot/vmlinuz-6.1.0-18-amd64": ""}, kind="root")
    found = kernel.config(host, "6.1.0-18-amd64")
    assert found is not None
    assert (found.path, dict(found), found.version) == (there, {"VETH": "m"}, Version("6.1.76"))


def test_a_name_without_the_release_needs_the_right_header() -> None:
    host = FakeHost({"/boot/config-lts": CONFIG, "/boot/vmlinuz-lts": ""}, kind="root")
    assert kernel.config(host, "6.1.30-0-lts") is not None
    assert kernel.config(host, "6.6.30-0-lts") is None


def test_the_running_kernel_speaks_for_itself_alone() -> None:
    files: dict[str, Content] = {
        "/proc/sys/kernel/osrelease": "6.1.0-18-amd64\n",
        "/proc/config.gz": gzip.compress(CONFIG.encode()),
        "/boot/config-6.1.0-17-amd64": CONFIG.replace("VETH", "BRIDGE"),
    }
    host = FakeHost(files)
    running, older = kernel.config(host, "6.1.0-18-amd64"), kernel.config(host, "6.1.0-17-amd64")
    assert running is not None
    assert running.path == "/proc/config.gz"
    assert older is not None
    assert dict(older) == {"BRIDGE": "m"}
    assert kernel.config(host, "6.1.0-16-amd64") is None


def test_unreadable_is_told_from_missing() -> None:
    host = FakeHost({"/boot/config-6.1.0": PermissionError("no")}, kind="root")
    with pytest.raises(PermissionError):
        kernel.config(host, "6.1.0")
    # Another copy that can be read is as good.
    both = FakeHost(
        {"/boot/config-6.1.0": PermissionError("no"), "/lib/modules/6.1.0/config": CONFIG}, kind="root"
    )
    found = kernel.config(both, "6.1.0")
    assert found is not None
    assert found.path == "/lib/modules/6.1.0/config"


@pytest.mark.parametrize("content", ["", "hello", b"\x00" * 100, "# CONFIG_A is not set\n"])
def test_what_is_no_configuration(content: Content) -> None:
    with pytest.raises(Unavailable):
        kernel.config(FakeHost({"/boot/config-6.1.0": content}, kind="root"), "6.1.0")


@pytest.mark.parametrize(
    ("files", "release"),
    [
        ({"/boot/vmlinuz-6.1.0-9-amd64": "", "/boot/vmlinuz-6.1.0-18-amd64": ""}, "6.1.0-18-amd64"),
        ({"/lib/modules/6.6.63/": "", "/lib/modules/5.15.9/": ""}, "6.6.63"),
        ({"/usr/lib/modules/6.11.1-arch1-1/modules.dep": ""}, "6.11.1-arch1-1"),
        ({"/boot/config-5.10.83": CONFIG}, "5.10.83"),
        (
            {"/boot/vmlinuz-5.14.0-362.el9.x86_64": "", "/boot/vmlinuz-0-rescue-abc": ""},
            "5.14.0-362.el9.x86_64",
        ),
        ({"/boot/vmlinuz-6.1.0-9-amd64": "", "/boot/vmlinuz-6.1.0-10-amd64.old": ""}, "6.1.0-9-amd64"),
    ],
)
def test_newest_kernel_of_a_tree(files: dict[str, str], release: str) -> None:
    (judged,) = kernel.kernels(FakeHost(files, kind="root"))
    assert (judged.when, judged.release) == ("boot", release)


@pytest.mark.parametrize("name", ["config", "config-board", "config.old"])
def test_a_configuration_that_alone_tells_the_version(name: str) -> None:
    host = FakeHost({f"/boot/{name}": CONFIG}, kind="root")
    (judged,) = kernel.kernels(host)
    assert judged.release == "6.1.76"
    found = kernel.config(host, judged.release)
    assert found is not None
    assert found.path == f"/boot/{name}"


def test_a_tree_without_a_kernel() -> None:
    with pytest.raises(Unavailable, match="no kernel"):
        kernel.kernels(FakeHost({"/etc/os-release": "ID=debian\n"}, kind="root"))


@pytest.mark.parametrize(
    "host",
    [
        FakeHost({"/proc/sys/kernel/osrelease": "6.1.0-18-amd64\n"}),
        FakeHost({"/proc/version": "Linux version 6.1.0-18-amd64 (x@y) #1 SMP\n"}),
        FakeHost({}, commands={("uname", "-r"): "6.1.0-18-amd64\n"}),
    ],
)
def test_running_release(host: FakeHost) -> None:
    assert kernel.running_release(host) == "6.1.0-18-amd64"
    assert [judged.when for judged in kernel.kernels(host)] == ["now"]


def test_a_newer_kernel_beside_the_running_one_boots_next() -> None:
    files: dict[str, Content] = {"/proc/sys/kernel/osrelease": "4.15.0-58-generic\n", "/proc/cmdline": "ro\n"}
    both: dict[str, Content] = {"/boot/vmlinuz-4.15.0-58-generic": "", "/boot/vmlinuz-4.15.0-60-generic": ""}
    judged = kernel.kernels(FakeHost({**files, **both}))
    assert [(each.when, each.release) for each in judged] == [
        ("now", "4.15.0-58-generic"),
        ("boot", "4.15.0-60-generic"),
    ]
    # A kernel that came from elsewhere, as a hypervisor's, comes from there again.
    del both["/boot/vmlinuz-4.15.0-58-generic"]
    assert [each.when for each in kernel.kernels(FakeHost({**files, **both}))] == ["now"]


def test_no_running_release() -> None:
    with pytest.raises(Unavailable):
        kernel.running_release(FakeHost({}))


def test_export() -> None:
    host = FakeHost({"/boot/config-6.1.0-18-amd64": CONFIG, "/boot/vmlinuz-6.1.0-18-amd64": ""}, kind="root")
    told = kernel.export(host)
    json.dumps(told)
    assert told["release"]["value"] == "6.1.0-18-amd64"  # type: ignore[index]
    leaf = {"value": "m", "path": "/boot/config-6.1.0-18-amd64", "line": 4}
    assert told["config"] == {"CONFIG_VETH": leaf}


def test_counts_of_the_corpus(corpora: pathlib.Path) -> None:
    """Agree with an independent count of every configuration: how many `y`, how many `m`."""
    folder = corpora / "kernel-configs"
    rows = [json.loads(line) for line in (folder / "verdicts.jsonl").read_text().splitlines()]
    same = 0
    for row in rows:
        data = (folder / "raw" / f"{row['file']}.gz").read_bytes()
        text = gzip.decompress(data).decode("utf-8", "replace")
        values = list(kernel.Config(row["file"], text).values())
        same += (values.count("y"), values.count("m")) == (row["y"], row["m"])
    print(f"configurations with the same counts: {same} of {len(rows)}")
    assert same == len(rows)
