"""Who runs containers without root: evidence, ids, AppArmor profiles."""

from __future__ import annotations

import pytest

from hostcheck.facts import rootless
from hostcheck.host import Unavailable
from hostcheck.testing import Content, FakeHost

PASSWD = "root:x:0:0:root:/root:/bin/sh\nu:x:1000:1000::/home/u:/bin/sh\nwww:x:33:33::/var/www:/bin/false\n"
UNIT = "[Service]\nExecStart=/usr/bin/dockerd-rootless.sh\n"
ELF = b"\x7fELF"


def engines(files: dict[str, Content]) -> set[tuple[str, str, bool]]:
    """Return user, engine and whether it starts by itself, of all evidence."""
    host = FakeHost({"/etc/passwd": PASSWD, **files})
    return {(e.user.name if e.user else "*", e.engine, e.at_boot) for e in rootless.evidence(host)}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, set()),
        # The packages alone are on every host with docker-ce or podman.
        ({"/usr/bin/dockerd-rootless.sh": "#!/bin/sh\n", "/usr/bin/podman": ELF}, set()),
        ({"/home/u/.config/systemd/user/docker.service": UNIT}, {("u", "docker", False)}),
        (
            {"/home/u/.config/systemd/user/default.target.wants/docker.service": UNIT},
            {("u", "docker", True)},
        ),
        (
            {
                "/home/u/.config/systemd/user/docker.service": UNIT,
                "/home/u/.config/systemd/user/default.target.wants/docker.service": "-> ../docker.service",
            },
            {("u", "docker", True)},
        ),
        ({"/home/u/.config/systemd/user/docker.service": "-> /dev/null"}, set()),
        # A unit of that name that runs something else, or has it in a comment only.
        ({"/home/u/.config/systemd/user/docker.service": "[Service]\nExecStart=/bin/true\n"}, set()),
        ({"/home/u/.config/systemd/user/x.service": "[Service]\n# dockerd-rootless.sh\n"}, set()),
        (
            {
                "/home/u/.config/systemd/user/containerd.service": "[Service]\nExecStart=/x/containerd-rootless.sh\n"
            },
            {("u", "containerd", False)},
        ),
        (
            {"/home/u/.config/systemd/user/web.service": "[Service]\nExecStart=/usr/bin/podman start web\n"},
            {("u", "podman", False)},
        ),
        (
            {"/home/u/.config/systemd/user/sockets.target.wants/podman.socket": "-> /usr/lib/x"},
            {("u", "podman", True)},
        ),
        ({"/etc/systemd/user/docker.service": UNIT}, {("*", "docker", False)}),
        # A home that /etc/passwd does not know, and one outside /home.
        ({"/home/ldap/.config/docker/daemon.json": "{}"}, {("ldap", "docker", False)}),
        ({"/var/www/.config/systemd/user/docker.service": UNIT}, {("www", "docker", False)}),
        # Images count where the engine is there, and never root's own.
        ({"/home/u/.local/share/containers/storage/": ""}, set()),
        (
            {"/home/u/.local/share/containers/storage/": "", "/usr/bin/podman": ELF},
            {("u", "podman", False)},
        ),
        ({"/root/.local/share/containers/storage/": "", "/usr/bin/podman": ELF}, set()),
        ({"/home/u/.local/share/docker/": "", "/usr/bin/dockerd": ELF}, {("u", "docker", False)}),
        ({"/home/u/.docker/daemon.json": "{}", "/usr/bin/dockerd": ELF}, set()),
        # Lingering serves many ends; with podman as the only engine it is taken as the sign that it is.
        ({"/var/lib/systemd/linger/u": ""}, set()),
        ({"/var/lib/systemd/linger/u": "", "/usr/bin/dockerd": ELF}, set()),
        ({"/var/lib/systemd/linger/u": "", "/usr/bin/podman": ELF}, {("u", "podman", False)}),
        ({"/var/lib/systemd/linger/u": "", "/usr/bin/podman": ELF, "/usr/bin/dockerd": ELF}, set()),
        ({"/home/u/bin/rootlesskit": ELF}, {("u", "docker", False)}),
    ],
)
def test_evidence(files: dict[str, Content], expected: set[tuple[str, str, bool]]) -> None:
    assert engines(files) == expected


def test_evidence_survives_what_cannot_be_read() -> None:
    refused = PermissionError("no")
    host = FakeHost({"/etc/passwd": PASSWD, "/home/u/.config/systemd/user/docker.service": refused})
    # The name is enough where the text may not be read.
    assert [e.engine for e in rootless.evidence(host)] == ["docker"]


def test_subid() -> None:
    text = "u:100000:65536\n# no\n1000:300000:10\nv:x:1\nw:1\n\n"
    host = FakeHost({"/etc/passwd": PASSWD, "/etc/subuid": text})
    (user,) = (each for each in rootless.users(host) if each.name == "u")
    found = rootless.ranges_of(host, "subuid", user)
    assert [(r.first, r.last, r.source.line) for r in found] == [(100000, 165535, 1), (300000, 300009, 3)]
    assert rootless.ranges(host, "subgid") == ()
    elsewhere = FakeHost({"/etc/nsswitch.conf": "subid: sss\n", "/etc/subuid": text})
    with pytest.raises(Unavailable, match=r"sss.*nsswitch.conf:1"):
        rootless.ranges(elsewhere, "subuid")
    assert rootless.ranges(FakeHost({"/etc/nsswitch.conf": "subid: files\n", "/etc/subuid": text}), "subuid")


# Ubuntu 24.04's shape, in words of its own, and others that apparmor.d(5) allows.
PROFILES = [
    ("abi <abi/4.0>,\nprofile rk /usr/bin/rootlesskit flags=(unconfined) {\n  userns,\n}\n", True),
    ("/usr/bin/rootlesskit flags=(unconfined) {\n  userns create,\n}\n", True),
    ('"/usr/bin/rootlesskit" flags=(default_allow) {\n  allow userns,\n}\n', True),
    ("profile rk @{bin}/rootlesskit {\n  all,\n}\n", True),
    ("@{exec_path} = /usr/{,local/}bin/rootlesskit\nprofile rk @{exec_path} {\n  userns,\n}\n", True),
    ("profile rk /usr/**/rootless* flags=(complain) {\n  /etc/* r,\n}\n", True),
    # No rule, a rule in a comment, another program's rule, a profile without a path.
    ("/usr/bin/rootlesskit {\n  /etc/* r,\n}\n", False),
    ("/usr/bin/rootlesskit {\n  # userns,\n  deny userns,\n}\n", False),
    ("/usr/bin/rootlesskit {\n}\n/usr/bin/podman {\n  userns,\n}\n", False),
    ("profile rootlesskit {\n  userns,\n}\n", False),
    ("profile rk /usr/*/rootlesskit {\n  userns,\n}\n", True),
    ("profile rk /usr/local/bin/rootlesskit {\n  userns,\n}\n", False),
    ("profile rk /home/*/bin/rootlesskit {\n  userns,\n}\n", False),
]  # fmt: skip


@pytest.mark.parametrize(("text", "allowed"), PROFILES)
def test_profiles(text: str, allowed: bool) -> None:
    found = rootless.parse_profiles(text)
    assert any(rootless.attaches(p.attachment, "/usr/bin/rootlesskit") for p in found) is allowed


def test_disabled_and_hidden_profiles_do_not_count() -> None:
    profile = "/usr/bin/rootlesskit {\n  userns,\n}\n"
    files: dict[str, Content] = {"/etc/apparmor.d/a": profile, "/etc/apparmor.d/tunables/": ""}
    assert [p.source for p in rootless.userns_profiles(FakeHost(files))] == [("/etc/apparmor.d/a", 1)]
    files["/etc/apparmor.d/disable/a"] = "-> ../a"
    assert rootless.userns_profiles(FakeHost(files)) == ()
    assert rootless.userns_profiles(FakeHost({"/etc/apparmor.d/a.dpkg-old": profile})) == ()
    assert rootless.userns_profiles(FakeHost({})) == ()


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("/usr/{,s}bin/x", "/usr/sbin/x", True),
        ("/usr/{,s}bin/x", "/usr/xbin/x", False),
        ("/a/[bc]x", "/a/cx", True),
        ("/a/[^b]x", "/a/bx", False),
        ("/a/b,c", "/a/b,c", True),
        ("/a/?", "/a/b", True),
        ("/a/\\*", "/a/*", True),
        ("/a/\\*", "/a/b", False),
        ("/a/{b", "/a/b", False),
        ("/a/(", "/a/(", True),
    ],
)
def test_attaches(pattern: str, path: str, fits: bool) -> None:
    assert rootless.attaches(pattern, path) is fits


def test_export() -> None:
    host = FakeHost(
        {
            "/etc/passwd": PASSWD,
            "/etc/subuid": "u:100000:65536\n",
            "/home/u/.config/systemd/user/docker.service": UNIT,
        }
    )
    assert rootless.export(host) == {
        "evidence u docker.service": {
            "value": "docker: u has a unit docker.service",
            "path": "/home/u/.config/systemd/user/docker.service",
            "line": None,
        },
        "subuid u": {"value": "100000:65536", "path": "/etc/subuid", "line": 1},
    }
