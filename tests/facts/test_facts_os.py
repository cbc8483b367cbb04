"""The distribution, the architecture, and whether the host is itself a container."""

from __future__ import annotations

import pytest

from hostcheck.facts import os as os_facts
from hostcheck.host import Unavailable
from hostcheck.testing import Content, FakeHost

CASES: dict[str, tuple[dict[str, Content], tuple[str, str, int | None]]] = {
    "debian": ({"/etc/os-release": 'ID=debian\nVERSION_ID="12"\n'}, ("debian", "12", 12)),
    "sid has no version": ({"/etc/os-release": "ID=debian\nVERSION_CODENAME=sid\n"}, ("debian", "", None)),
    "link": (
        {"/etc/os-release": "-> ../usr/lib/os-release", "/usr/lib/os-release": "ID=rocky\nVERSION_ID=9.4\n"},
        ("rocky", "9.4", 9),
    ),
    "only the vendor's": (
        {"/usr/lib/os-release": "ID='alpine'\nVERSION_ID=3.20.1\n"},
        ("alpine", "3.20.1", 3),
    ),
    "el6": ({"/etc/redhat-release": "CentOS release 6.10 (Final)\n"}, ("centos", "6.10", 6)),
    "old debian": ({"/etc/debian_version": "7.11\n"}, ("debian", "7.11", 7)),
    "none": ({"/etc/hostname": "x"}, ("linux", "", None)),
    "last counts": ({"/etc/os-release": "ID=a\nID=b\n"}, ("b", "", None)),
    "binary": ({"/etc/os-release": b"\xff\xfe\x00ID=x"}, ("linux", "", None)),
}


@pytest.mark.parametrize("name", CASES)
def test_os_release(name: str) -> None:
    files, expected = CASES[name]
    found = os_facts.os_release(FakeHost(files))
    assert (found.id, found.version_id, found.major) == expected


@pytest.mark.parametrize(
    ("content", "value"),
    [
        ('X="a b"', "a b"),
        ("X='a \"b\"'", 'a "b"'),
        (r'X="a\"b\$c"', 'a"b$c'),
        ("X=a\\ b # c", "a b"),
        ("X=\"a\"'b'c", "abc"),
        ('X="two\nlines"', "two\nlines"),
        ("export X=y", "y"),
        ("X=", ""),
    ],
)
def test_shell_quoting(content: str, value: str) -> None:
    assert [each.value for each in os_facts.parse_assignments(content)] == [value]


def test_variables_add_up_over_files() -> None:
    text = 'A="quiet"\nA="$A splash"\nA+=" x"\nB=$(date)\nC="${A}!"\n'
    found = {each.name: each.value for each in os_facts.parse_assignments(text, {})}
    assert found == {"A": "quiet splash x", "B": "$(date)", "C": "quiet splash x!"}


def test_lines_are_counted() -> None:
    assert [each.line for each in os_facts.parse_assignments("# c\nA='1\n2'\n\nB=3\n")] == [2, 5]


def test_open_quote_ends() -> None:
    assert list(os_facts.parse_assignments('A="never closed\n' * 3))


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"/proc/version": "x"}, None),
        ({"/proc/sys/kernel/osrelease": "5.15.90.1-microsoft-standard-WSL2\n"}, "wsl"),
        ({"/proc/1/environ": "a=b\0container=lxc\0"}, "lxc"),
        ({"/run/systemd/container": "systemd-nspawn\n"}, "systemd-nspawn"),
        ({"/.dockerenv": ""}, "docker"),
        # A virtual machine made of a container's image: the first pid namespace is its own.
        ({"/.dockerenv": "", "/proc/self/ns/pid": "-> pid:[4026531836]"}, None),
        ({"/proc/vz/x": ""}, "openvz"),
        ({"/proc/vz/x": "", "/proc/bc/x": ""}, None),
    ],
)
def test_container(files: dict[str, str], expected: str | None) -> None:
    found = os_facts.container(FakeHost(files))
    assert (found[0] if found else None) == expected


def test_a_tree_is_in_no_container_yet() -> None:
    with pytest.raises(Unavailable):
        os_facts.container(FakeHost({"/.dockerenv": ""}, kind="root"))


def test_architecture() -> None:
    elf = b"\x7fELF\x02\x01" + bytes(12) + b"\xb7\x00"
    assert os_facts.architecture(FakeHost({"/bin/sh": "-> /bin/busybox", "/bin/busybox": elf})) == "aarch64"
    big = b"\x7fELF\x02\x02" + bytes(12) + b"\x00\x16"
    assert os_facts.parse_elf_machine(big) == "s390x"
    assert os_facts.architecture(FakeHost({"/bin/sh": "#!/x"})) is None


def test_export() -> None:
    found = os_facts.export(FakeHost({"/etc/os-release": "ID=void\n"}))
    assert found["id"] == {"value": "void", "path": "/etc/os-release"}
