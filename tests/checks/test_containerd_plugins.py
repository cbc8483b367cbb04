"""Plugins of containerd that are disabled, and whether docker needs them in that release."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from hostcheck.finding import Outcome
from hostcheck.testing import FakeHost, ask

plugins: Any = importlib.import_module("hostcheck.checks.containerd_plugins")

DPKG = "Package: containerd\nStatus: install ok installed\nArchitecture: amd64\nVersion: {}\n"


def host(config: str, version: str = "1.7.24~ds1-6", docker: bool = True) -> FakeHost:
    """Return a host with this configuration of containerd."""
    program = {"/usr/bin/dockerd": "\x7fELF"} if docker else {}
    return FakeHost(
        {**program, "/etc/containerd/config.toml": config, "/var/lib/dpkg/status": DPKG.format(version)},
        kind="root",
    )


def disabled(*names: str) -> str:
    return f"version = 2\ndisabled_plugins = {list(names)}\n".replace("'", '"')


TASK, LINUX = "io.containerd.runtime.v2.task", "io.containerd.runtime.v1.linux"
WARNING, LEASE = "io.containerd.warning.v1.deprecations", "io.containerd.lease.v1.manager"


@pytest.mark.parametrize(
    ("names", "version", "lost"),
    [
        ([TASK], "1.6.20~ds1", [TASK]),
        ([TASK], "2.1.9", [TASK]),
        # What docker's own packages disable.
        (["io.containerd.grpc.v1.cri"], "1.7.24", []),
        (["io.containerd.grpc.v1.cri", LINUX], "1.7.24", [LINUX]),
        ([LINUX], "2.1.9", []),
        ([LEASE], "1.6.20", []),
        ([LEASE], "1.7.24", [LEASE]),
        ([WARNING], "1.6.20", []),
        ([WARNING], "1.6.36", [WARNING]),
        ([WARNING], "1.7.2", []),
        ([WARNING], "1.7.24", [WARNING]),
        ([WARNING], "2.1.9", []),
        (["io.containerd.internal.v1.restart"], "2.1.9", []),
    ],
)
def test_needed(names: list[str], version: str, lost: list[str]) -> None:
    result = ask(plugins.ContainerdPluginsNeeded, host(disabled(*names), version))
    assert [finding.subject for finding in result.failures] == [f"disabled_plugins {name}" for name in lost]
    assert result.outcome is (Outcome.FAIL if lost else Outcome.PASS)


GC = '[plugins."io.containerd.gc.v1.scheduler"]\n{}\n'
BOLT = '[plugins."io.containerd.metadata.v1.bolt"]\n{}\n'
CRI = '[plugins."io.containerd.grpc.v1.cri".cni]\n{}\n'


@pytest.mark.parametrize(
    ("text", "version", "wrong"),
    [
        (GC.format("deletion_threshold = 5"), "1.7.24", 0),
        (GC.format('deletion_threshold = "5"'), "1.7.24", 1),
        (GC.format('deletion_threshold = "5"'), "2.1.9", 1),
        (GC.format("schedule_delay = 1"), "2.1.9", 1),
        # What is not known is passed over, and so is what does not load.
        (GC.format("no_such = 5"), "2.1.9", 0),
        ('disabled_plugins = ["io.containerd.grpc.v1.cri"]\n' + CRI.format("bin_dir = 5"), "1.7.24", 0),
        (CRI.format("bin_dir = 5"), "1.7.24", 1),
        (CRI.format('bin_dir = "/opt/cni/bin"'), "1.7.24", 0),
        ('[proxy_plugins.x]\naddress = "/run/x.sock"\n', "1.7.24", 1),
        ('[proxy_plugins.x]\ntype = "snapshots"\naddress = "/run/x.sock"\n', "2.1.9", 1),
        ('[proxy_plugins.x]\ntype = "snapshot"\naddress = "/run/x.sock"\n', "1.7.24", 0),
        ('[proxy_plugins.x]\ntype = "io.containerd.snapshotter.v1"\naddress = "/run/x.sock"\n', "1.7.24", 0),
        ('[proxy_plugins.x]\ntype = "diff"\naddress = "/run/x.sock"\n', "1.6.20", 1),
        ('[proxy_plugins.x]\ntype = "diff"\naddress = "/run/x.sock"\n', "1.7.24", 0),
        # A plugin of other releases.
        ('[plugins."io.containerd.runtime.v1.linux"]\nshim = 5\n', "1.7.24", 1),
        ('[plugins."io.containerd.runtime.v1.linux"]\nshim = 5\n', "2.1.9", 0),
        (BOLT.format('content_sharing_policy = "isolated"'), "1.7.24", 0),
        (BOLT.format('content_sharing_policy = "some"'), "1.7.24", 1),
    ],
)
def test_types(text: str, version: str, wrong: int) -> None:
    result = ask(plugins.ContainerdPluginsTypes, host("version = 2\n" + text, version))
    assert len(result.failures) == wrong, result.findings


OWN = {"/proc/net/fib_trie": "Local:\n  |-- 192.0.2.1\n     /32 host LOCAL\n"}
TAKEN = "sl\n 0: 0100007F:053A 00000000:0000 0A 0\n"


@pytest.mark.parametrize(
    ("text", "running", "fails"),
    [
        ('[metrics]\naddress = "127.0.0.1:1339"\n', False, False),
        ('[metrics]\naddress = "192.0.2.1:1338"\n', False, False),
        ('[metrics]\naddress = "203.0.113.9:1338"\n', False, True),
        ('[grpc]\ntcp_address = "203.0.113.9:1338"\n', False, True),
        ('[metrics]\naddress = "127.0.0.1:1338"\n', False, True),
        # Its own.
        ('[metrics]\naddress = "127.0.0.1:1338"\n', True, False),
    ],
)
def test_listen(text: str, running: bool, fails: bool) -> None:
    machine = FakeHost(
        {"/usr/bin/dockerd": "\x7fELF", "/etc/containerd/config.toml": text, "/proc/net/tcp": TAKEN, **OWN},
        pids={"containerd": (7,)} if running else {},
    )
    result = ask(plugins.ContainerdPluginsListen, machine)
    assert bool(result.failures) == fails, result.findings
    assert ask(plugins.ContainerdPluginsListen, host(text)).outcome is Outcome.SKIP


@pytest.mark.parametrize(
    ("machine", "outcome"),
    [
        (host("version = 2\n"), Outcome.SKIP),
        (host("[a"), Outcome.UNKNOWN),
        (host(disabled(TASK), docker=False), Outcome.SKIP),
    ],
)
def test_nothing_is_disabled(machine: FakeHost, outcome: Outcome) -> None:
    assert ask(plugins.ContainerdPluginsNeeded, machine).outcome is outcome
