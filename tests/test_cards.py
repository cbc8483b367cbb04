"""A family that a gate keeps out is answered from its card, as the checks themselves would answer."""

from __future__ import annotations

import importlib
import pathlib

import pytest

from hostcheck import cards, plugins
from hostcheck.cards import Card
from hostcheck.check import Check
from hostcheck.host import Host, NotApplicable
from hostcheck.host.root import RootHost
from hostcheck.runner import Configured, run_one
from hostcheck.testing import FakeHost

HERE = pathlib.Path(__file__).resolve().parent
TREES = sorted(path.name for path in (HERE / "hosts").iterdir())
ALONE = {
    "nothing": FakeHost({}),
    "dockerd": FakeHost({"/usr/bin/dockerd": ""}),
    "daemon.json": FakeHost({"/etc/docker/daemon.json": "{}"}),
    "containerd": FakeHost({"/usr/bin/containerd": ""}),
    "podman": FakeHost({"/usr/bin/podman": ""}),
    "kubelet": FakeHost({"/usr/bin/kubelet": ""}),
    "a dockerd of a user": FakeHost(
        {"/etc/passwd": "u:x:1000:1000::/home/u:/bin/sh\n", "/home/u/.config/docker/daemon.json": "{}"}
    ),
}
CARDS = [card for card in cards.shipped(["*"]) if isinstance(card, Card)]
gates = importlib.import_module("hostcheck.checks._gates")


def hosts() -> dict[str, Host]:
    return {**{name: RootHost(str(HERE / "hosts" / name), name=name) for name in TREES}, **ALONE}


def answer(check: Check, host: Host) -> tuple[object, ...]:
    result = run_one(Configured(check), host)
    return result.check, result.title, result.severity, result.outcome, result.reason, str(result.findings)


@pytest.mark.parametrize("name", hosts())
def test_a_card_answers_as_its_check(name: str) -> None:
    host = hosts()[name]
    for card in CARDS:
        same = answer(card, host) == answer(card.itself()(), host)
        assert same, f"{card.id} does not ask its gate first: take its family out of checks/_gates.py"


def test_every_gate_keeps_out_and_lets_in() -> None:
    """Else the test above would hold of a gate that is never shut."""
    for name, gate in gates.GATES.items():
        shut = 0
        for host in hosts().values():
            try:
                gate(host)
            except NotApplicable:
                shut += 1
        assert 0 < shut < len(hosts()), name


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.id)
def test_a_card_tells_what_its_check_tells(card: Card) -> None:
    check = card.itself()
    for name in ("id", "severity", "aliases", "references"):
        assert getattr(card, name) == getattr(check, name), "run scripts/docs.py"
    assert card.title() == check.title(), "run scripts/docs.py"


def test_what_stands_behind_a_gate_is_spared() -> None:
    """A check that does not ask the gate has its whole family imported: then the others need not stand there."""
    assert {check for checks in gates.BEHIND.values() for check in checks} == {card.id for card in CARDS}


def test_all_checks_in_their_order() -> None:
    assert [check.id for check in cards.shipped(["*"])] == [check.id for check in plugins.shipped()]


def test_a_family_that_changed_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that is being written is there before the index is made anew."""
    assert isinstance(cards.shipped(["daemon.*"])[0], Card)
    index = importlib.import_module("hostcheck.checks._index").FAMILIES
    monkeypatch.setitem(index, "daemon", (1, index["daemon"][1]))
    assert cards.shipped(["daemon.*"]) == plugins.shipped(["daemon.*"])
