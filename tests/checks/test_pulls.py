"""Files that tell containerd of registries."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from hostcheck.finding import Outcome
from hostcheck.testing import FakeHost, ask

pulls: Any = importlib.import_module("hostcheck.checks.pulls")

GOOD = 'server = "https://example.com"\n[host."https://mirror.example.com"]\n  capabilities = ["pull"]\n'
BAD = GOOD.replace('"]\n  cap', '"\n  cap')
OWN = 'version = 2\n[plugins."io.containerd.grpc.v1.cri".registry]\nconfig_path = "/srv/certs.d"\n'


@pytest.mark.parametrize(
    ("path", "content", "config", "outcome"),
    [
        ("/etc/containerd/certs.d/example.com/hosts.toml", BAD, "", Outcome.FAIL),
        ("/etc/containerd/certs.d/example.com/hosts.toml", GOOD, "", Outcome.PASS),
        ("/srv/certs.d/_default/hosts.toml", BAD, OWN, Outcome.FAIL),
        # Not where containerd looks.
        ("/etc/containerd/certs.d/example.com/hosts.toml", BAD, OWN, Outcome.SKIP),
        ("/etc/containerd/certs.d/example.com/ca.crt", BAD, "", Outcome.SKIP),
    ],
)
def test_hosts_toml(path: str, content: str, config: str, outcome: Outcome) -> None:
    files = {path: content, "/etc/containerd/config.toml": config}
    assert ask(pulls.PullsHostsToml, FakeHost(files)).outcome is outcome
