"""What is had from the kernel is what the programs print that are said to print it."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

from hostcheck.host import command, syscalls
from hostcheck.host.live import LiveHost

RULES = (
    "from 172.17.0.0/16 blackhole",
    "to 10.9.0.1 lookup main",
    "from 10.0.0.0/8 to 10.9.0.0/16 fwmark 0x9 lookup 52",
    "not from 10.0.0.0/8 iif lo prohibit",
    "pref 7 oif lo table 300 suppress_prefixlength 0",
    "pref 9 unreachable",
)


def inside(script: str) -> str:
    """Return what a script prints in a network of its own; {python} asks the kernel."""
    python = f"{sys.executable} -c 'import sys; from hostcheck.host import syscalls; " \
        "print(syscalls.answer(tuple(sys.argv[1:])).out, end=str())'"  # fmt: skip
    done = subprocess.run(
        ["unshare", "--net", "sh", "-ec", script.replace("{python}", python)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    if "unshare" in done.stderr or "ip: not found" in done.stderr:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.root
@pytest.mark.parametrize("rule", ["", *RULES])
def test_rules_are_what_ip_prints(rule: str) -> None:
    added = f"ip rule add {rule}\n" if rule else ""
    ours, theirs = inside(f"{added}{{python}} ip -4 rule; echo ---; ip -4 rule").split("---\n")
    assert [line.split() for line in ours.splitlines()] == [line.split() for line in theirs.splitlines()]
    assert len(ours.splitlines()) == 3 + bool(rule)


@pytest.mark.root
def test_a_condition_without_a_name_is_told() -> None:
    assert "condition" in inside("ip rule add uidrange 0-9 lookup 52; {python} ip -4 rule")


@pytest.mark.root
def test_addresses_of_an_interface_that_is_down() -> None:
    made = "ip link add x0 type bridge; ip addr add 10.9.0.1/24 dev x0; ip addr add 10.8.0.1/16 dev x0 label x0:1;"
    asked = "ip -4 -o addr show dev x0"
    ours, theirs = inside(f"{made} {{python}} {asked}; echo ---; {asked}").split("---\n")
    assert [line.split()[:4] for line in ours.splitlines()] == [
        line.split()[:4] for line in theirs.splitlines()
    ]
    assert len(ours.splitlines()) == 2


@pytest.mark.root
@pytest.mark.parametrize("attribute", ["", "i", "a"])
def test_attributes_are_those_of_lsattr(tmp_path: pathlib.Path, attribute: str) -> None:
    change = ["chattr", f"+{attribute}", str(tmp_path)]
    if attribute and subprocess.run(change, capture_output=True, timeout=30).returncode:
        pytest.skip("no attributes here")
    try:
        argv = ("lsattr", "-d", str(tmp_path))
        done = LiveHost().run(*argv)
        try:
            theirs = command.run(argv).out.split()[0]
        except FileNotFoundError:
            pytest.skip("no lsattr here")
    finally:
        if attribute:
            subprocess.run(["chattr", f"-{attribute}", str(tmp_path)], check=True, timeout=30)
    assert set(done.out.split()[0]) & set("ia") == set(theirs) & set("ia") == set(attribute)


def test_a_folder_that_is_not_there_has_no_attributes() -> None:
    done = LiveHost().run("lsattr", "-d", "/nonexistent")
    assert (done.code, done.out) == (1, "")


def test_other_questions_are_for_the_programs() -> None:
    assert syscalls.answer(("ip", "-6", "rule")) is None
    assert syscalls.answer(("lsattr", "/")) is None
