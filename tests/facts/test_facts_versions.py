"""Versions: what tools print, what packages say, and what a host is found to have."""

from __future__ import annotations

import json
import pathlib

import pytest

from hostcheck.facts import versions
from hostcheck.facts.versions import (
    binary_version,
    export,
    found_tool,
    parse_package_version,
    parse_version_output,
    tool_named,
    version,
)
from hostcheck.host import Completed, Unavailable
from hostcheck.testing import Content, FakeHost
from hostcheck.versions import Version


def test_labelled_outputs(corpora: pathlib.Path) -> None:
    rows = (corpora / "version-strings.tsv").read_text().split("\n")[1:]
    wrong, total = [], 0
    for row in filter(str.strip, rows):
        tool, upstream, prerelease, output = row.split("\t")[:4]
        total += 1
        found = parse_version_output(tool, output.replace("\\n", "\n"))
        if (found.upstream, found.prerelease) != (upstream, prerelease):
            wrong.append((tool, output, found))
    print(f"version strings: {total - len(wrong)} of {total} agree")
    assert total >= 190
    assert not wrong


# Kinds of output that the labelled ones do not have: tool, what it prints, the version.
PRINTED = [
    ("docker", "Docker version 24.0.5, build 24.0.5-0ubuntu1~22.04.1", "24.0.5"),
    ("docker", "Docker version 18.09.0-ce-rc1, build 1", "18.09.0-rc1"),
    ("docker", "Docker version 17.06.0-ce-tp1, build 1", "17.06.0-tp1"),
    ("docker", "Docker version 18.03.1-ee-3, build b9a5c95", "18.03.1"),
    ("docker", "Docker version 20.10.25+azure-2, build b82b9f3", "20.10.25"),
    ("docker", "Docker version 1.8.2.fc22, build cb216be/1.8.2", "1.8.2"),
    ("docker", "Docker version dev, build 61a4a9f", "dev"),
    ("docker", "Docker version library-import, build library-import", ""),
    (
        "docker",
        "Client: Docker Engine - Community\n Version:           20.10.7\n API version: 1.41",
        "20.10.7",
    ),
    (
        "containerd",
        "containerd github.com/containerd/containerd 894b81a4b802e4eb2a91d1ce216b8817763c29fb.m",
        "",
    ),
    (
        "containerd",
        "containerd github.com/containerd/containerd v1.6.0-beta.3-12-g8c906ff.m 8",
        "1.6.0-beta.3",
    ),
    (
        "containerd",
        "containerd github.com/containerd/containerd 1.4.0~beta2~ds1 1.4.0~beta2~ds1-1",
        "1.4.0-beta2",
    ),
    ("containerd", "containerd github.com/containerd/containerd UNKNOWN 0", ""),
    ("containerd", "containerd version 0.2.4 commit: 0366d7e9693c930cf18c0f50cc16acec064e96c5", "0.2.4"),
    (
        "containerd-shim-runc-v2",
        "containerd-shim-runc-v2:\n  Version:  v1.6.20\n  Revision: 2806fc1",
        "1.6.20",
    ),
    ("runc", "runc version 1.0.0~rc95-0ubuntu1~20.04.2\nspec: 1.0.2-dev", "1.0.0-rc95"),
    ("runc", "runc version 1.3.0-rc.2+dev\ncommit: x\nspec: 1.2.1", "1.3.0-rc.2"),
    ("runc", "runc version \ncommit: abc\nspec: 1.0.2-dev", ""),
    ("runc", "runc version unknown\ncommit: 0123456789\nspec: 1.0.2-dev", ""),
    ("crun", "crun version 1.14.4.0.0.0.9-f2e8\ncommit: x", "1.14.4"),
    ("crun", "crun version UNKNOWN\ncommit: abcdef0123456\nspec: 1.0.0", ""),
    ("podman", "podman version 5.0.0-rc6", "5.0.0-rc6"),
    ("podman", 'time="2024-01-01T00:00:00Z" level=warning msg="1.2.3"\npodman version 4.3.1', "4.3.1"),
    ("kubelet", "Kubernetes v1.30.0-alpha.1.34+abc", "1.30.0-alpha.1"),
    ("kubeadm", 'kubeadm version: &version.Info{Major:"1", Minor:"28", GitVersion:"v1.28.2"}', "1.28.2"),
    ("crictl", "crictl version v1.26.0", "1.26.0"),
    ("buildctl", "buildctl github.com/moby/buildkit v0.11.0-rc1 abc", "0.11.0-rc1"),
    ("iptables", "iptables v1.4.21", "1.4.21"),
    ("nft", "nftables v1.0.6 (Lester Gooch #5)", "1.0.6"),
    ("systemctl", "systemd 256~rc3 (256~rc3-1)", "256-rc3"),
    ("slirp4netns", "slirp4netns version 0.4.0-beta.1+dev\ncommit: unknown\nlibslirp: 4.7.0", "0.4.0-beta.1"),
    ("fuse-overlayfs", "fusermount3 version: 3.9.0\nfuse-overlayfs: version 0.7.6", "0.7.6"),
    ("tini", "tini version 0.19.0 - git.de40ad0", "0.19.0"),
    ("docker-proxy", "docker-proxy (commit 411e817) version 26.1.5+dfsg1", "26.1.5"),
    ("ip", "ip utility, iproute2-6.1.0, libbpf 1.1.0", "6.1.0"),
    ("helm", "v3.11.2+g912ebc1", "3.11.2"),
    ("k3s", "k3s version v1.28.2+k3s1 (6330a5b4)\ngo version go1.20.8", "1.28.2"),
    ("containerd", "", ""),
    ("runc", "\n\n", ""),
]


@pytest.mark.parametrize("tool, output, expected", PRINTED)
def test_printed(tool: str, output: str, expected: str) -> None:
    assert str(parse_version_output(tool, output)) == expected


def test_order_of_what_was_printed() -> None:
    printed = [
        parse_version_output("runc", f"runc version {text}").version
        for text in ("1.0.0-rc5+dev", "1.0.0~rc93+ds1", "1.0.0-rc95", "1.0.0", "1.1.0-rc.1", "1.1.0+dev")
    ]
    assert all(printed)
    assert printed == sorted(printed)  # type: ignore[type-var]
    assert parse_version_output("runc", "runc version spec: 1.0.1-dev").version is None


@pytest.mark.parametrize(
    "text, manager, expected",
    [
        ("5:19.03.2~3-0~ubuntu-bionic", "deb", "19.03.2"),
        ("17.12.1~ce-0~ubuntu", "deb", "17.12.1"),
        ("5:20.10.0~beta1~3-0~debian", "deb", "20.10.0-beta1"),
        ("5:29.0.0-1~ubuntu.24.04~noble", "deb", "29.0.0"),
        ("20.10.24+dfsg1-1+deb12u1+b6", "deb", "20.10.24"),
        ("3:20.10.9-3.el7", "rpm", "20.10.9"),
        ("17.03.2.ce-1.el7.centos", "rpm", "17.03.2"),
        ("1:1.0.0-70.rc92.module_el8", "rpm", "1.0.0-rc92"),
        ("1.0.0-67.rc10.el7_8", "rpm", "1.0.0-rc10"),
        ("2:1.13.1-209.git7d71120.el7.centos", "rpm", "1.13.1"),
        ("1.0.0_rc93-r0", "apk", "1.0.0-rc93"),
        ("1:24.0.5-1", "pacman", "24.0.5"),
        ("2:4.0.2-3", "deb", "4.0.2"),
    ],
)
def test_package_versions(text: str, manager: str, expected: str) -> None:
    assert str(parse_package_version(text, manager)) == expected


def test_packages_say_what_the_tools_print(corpora: pathlib.Path) -> None:
    """Of four real roots: the version from the package database is the one that the tool prints."""
    agree = total = 0
    for line in (corpora / "images.jsonl").read_text().splitlines():
        image = json.loads(line)
        stanzas = [
            f"Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {text}\n"
            for name, text in image["packages"].items()
        ]
        elf = b"\x7fELF" + bytes(60)
        files: dict[str, Content] = {
            "/var/lib/dpkg/status": "\n".join(stanzas),
            "/usr/bin/docker": elf,
            "/usr/bin/ctr": elf,
        }
        host = FakeHost(files, kind="root")
        for command, ran in image["runs"].items():
            tool = {"systemctl": "systemd"}.get(command.split()[0], command.split()[0])
            if ran["rc"] != 0 or tool == "uname":
                continue
            total += 1
            found = found_tool(host, tool)
            assert found is not None, tool
            printed = parse_version_output(command.split()[0], ran["out"])
            assert (found.how, str(found)) == ("package", str(printed)), (image["suite"], tool)
            agree += 1
    print(f"package versions: {agree} of {total} agree with what the tools print")
    assert total >= 25


STATUS = "Package: {}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {}\n"


def test_how_it_is_known() -> None:
    elf = b"\x7fELF" + bytes(60)
    files: dict[str, Content] = {
        "/var/lib/dpkg/status": STATUS.format("containerd.io", "1.6.24-1"),
        "/var/lib/dpkg/info/containerd.io.list": "/usr/bin/containerd\n/usr/bin/runc\n",
        "/usr/bin/containerd": elf,
        "/usr/bin/runc": elf,
        "/usr/local/bin/dockerd": elf,
        "/usr/bin/crun": elf,
    }
    commands: dict[tuple[str, ...], str | Completed | Exception] = {
        ("/usr/bin/runc", "--version"): "runc version 1.1.9\nspec: 1.0.2-dev\n",
        ("/usr/local/bin/dockerd", "--version"): "Docker version 20.10.9, build 79ea9d3\n",
        ("/usr/bin/crun", "--version"): Completed((), 1, "crun version 1.0", ""),
    }
    host = FakeHost(files, commands=commands)
    containerd, runc, dockerd, crun = (
        found_tool(host, tool) for tool in ("containerd", "runc", "dockerd", "crun")
    )
    assert containerd is not None
    assert (str(containerd), containerd.how, containerd.package) == ("1.6.24", "package", "containerd.io")
    # The package of runc is containerd's, whose number says nothing of runc.
    assert runc is not None
    assert (str(runc), runc.how, runc.package) == ("1.1.9", "ran it", "containerd.io")
    assert dockerd is not None
    assert (str(dockerd), dockerd.how, dockerd.package) == ("20.10.9", "ran it", "")
    assert crun is not None
    assert (crun.version, crun.how, str(crun)) == (None, "unknown", "unknown")
    assert found_tool(host, "podman") is None
    assert version(host, "dockerd") == Version("20.10.9")
    shown = export(host)["runc"]
    assert shown == {
        "value": "1.1.9",
        "version": "1.1.9",
        "upstream": "1.1.9",
        "how": "ran it",
        "package": "containerd.io",
        "path": "/usr/bin/runc",
    }
    assert set(versions.versions(host)) == {"containerd", "runc", "dockerd", "crun"}


def test_a_file_that_no_package_brought_is_not_taken_for_the_packages() -> None:
    files: dict[str, Content] = {
        "/var/lib/dpkg/status": STATUS.format("runc", "1.1.5+ds1-1"),
        "/var/lib/dpkg/info/runc.list": "/usr/sbin/runc\n",
        "/usr/local/sbin/runc": b"\x7fELF" + bytes(60),
    }
    host = FakeHost(files, commands={("/usr/local/sbin/runc", "--version"): "runc version 1.1.12"})
    found = found_tool(host, "runc")
    assert found is not None
    assert (str(found), found.package, found.path) == ("1.1.12", "", "/usr/local/sbin/runc")


def test_nothing_of_a_tree_is_run() -> None:
    host = FakeHost({"/usr/bin/runc": b"\x7fELF" + bytes(60)}, kind="root")
    found = found_tool(host, "runc")
    assert found is not None
    assert (found.how, found.version) == ("unknown", None)


def test_a_package_whose_program_is_not_seen() -> None:
    host = FakeHost({"/var/lib/dpkg/status": STATUS.format("docker.io", "26.1.5+dfsg1-9")}, kind="root")
    found = found_tool(host, "dockerd")
    assert found is not None
    assert (str(found), found.how, found.path) == ("26.1.5", "package", "/var/lib/dpkg/status")
    # The client is a package of its own there.
    assert found_tool(host, "docker") is None


def test_a_tool_that_only_its_name_shows() -> None:
    host = FakeHost({}, commands={("runc", "--version"): "runc version 1.0.0-rc95"})
    assert version(host, "runc") == Version("1.0.0-rc95")
    assert version(FakeHost({}), "runc") is None


@pytest.mark.parametrize(
    "content",
    [b"", b"#!/bin/sh\n", b"\x7fELF", b"\x7fELF\x02\x01" + b"\xff" * 500, Unavailable("x"), OSError("x")],
)
def test_a_program_that_is_none_says_no_version(content: bytes | Exception) -> None:
    host = FakeHost({"/usr/bin/runc": content})
    assert not binary_version(host, tool_named("runc"), "/usr/bin/runc").upstream
