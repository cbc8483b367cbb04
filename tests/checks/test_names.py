"""Hosts on which localhost is somebody, and nobody."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from hostcheck.finding import Outcome
from hostcheck.testing import FakeHost, ask

names: Any = importlib.import_module("hostcheck.checks.names")

NODE = {"/var/lib/kubelet/config.yaml": "kind: KubeletConfiguration\n"}


@pytest.mark.parametrize(
    ("hosts", "server", "outcome"),
    [
        ("127.0.0.1 localhost\n", "8.8.8.8", Outcome.PASS),
        ("127.0.0.1 node1 localhost # mine\n", "8.8.8.8", Outcome.PASS),
        ("127.0.0.1 node1\n", "8.8.8.8", Outcome.FAIL),
        ("# 127.0.0.1 localhost\n", "8.8.8.8", Outcome.FAIL),
        ("127.0.0.1 localhost.localdomain\n", "8.8.8.8", Outcome.FAIL),
        ("::1 localhost\n", "8.8.8.8", Outcome.FAIL),
        ("127.0.0.1 node1\n", "127.0.0.53", Outcome.PASS),
    ],
)
def test_localhost(hosts: str, server: str, outcome: Outcome) -> None:
    files = {**NODE, "/etc/hosts": hosts, "/etc/resolv.conf": f"nameserver {server}\n"}
    assert ask(names.NamesLocalhost, FakeHost(files)).outcome is outcome


def test_no_node() -> None:
    assert ask(names.NamesLocalhost, FakeHost({"/etc/hosts": ""})).outcome is Outcome.SKIP
