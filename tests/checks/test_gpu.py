"""What NVIDIA's container toolkit is told, on hosts of either kind."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from hostcheck.finding import Outcome
from hostcheck.testing import FakeHost, ask

gpu: Any = importlib.import_module("hostcheck.checks.gpu")

BASE = {
    "/usr/bin/nvidia-ctk": "\x7fELF",
    "/usr/bin/dockerd": "\x7fELF",
    "/sbin/ldconfig": "\x7fELF",
    "/etc/passwd": "u:x:1000:1000::/home/u:/bin/sh\n",
}
ROOTLESS = {"/home/u/.config/docker/daemon.json": "{}"}
UBUNTU = {"/sbin/ldconfig.real": "\x7fELF"}


@pytest.mark.parametrize(
    ("config", "more", "expected"),
    [
        ("no-cgroups = true\n", {}, ["config.toml no-cgroups"]),
        ("#no-cgroups = true\n", {}, []),
        ("no-cgroups = false\n", {}, []),
        ("no-cgroups = true\n", ROOTLESS, []),
        ('ldconfig = "@/sbin/ldconfig.real"\n', {}, ["config.toml ldconfig"]),
        ('ldconfig = "@/sbin/ldconfig.real" # theirs\n', UBUNTU, []),
        ('ldconfig = "@/sbin/ldconfig"\n', {}, []),
        # Without @ it is a path of the container.
        ('ldconfig = "/sbin/ldconfig.real"\n', {}, []),
    ],
)
def test_toolkit(config: str, more: dict[str, str], expected: list[str]) -> None:
    found = ask(gpu.GpuToolkit, FakeHost({**BASE, **more, gpu.CONFIG: config})).findings
    assert [each.subject for each in found if not each.ok] == expected


def test_no_toolkit() -> None:
    assert ask(gpu.GpuToolkit, FakeHost({"/usr/bin/dockerd": "\x7fELF"})).outcome is Outcome.SKIP


MODULE = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu Feb 22 01:44:30 UTC 2024\n"
OPEN = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.54.14  Release Build\n"
LIBRARY = "/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.{}"


@pytest.mark.parametrize(
    ("module", "library", "kind", "expected"),
    [
        (MODULE, "550.54.14", "live", []),
        (MODULE, "550.90.07", "live", ["nvidia module"]),
        (OPEN, "550.90.07", "live", ["nvidia module"]),
        # A link names no release.
        (MODULE, "1", "live", []),
        (MODULE, "550.90.07", "image", []),
    ],
)
def test_driver(module: str, library: str, kind: str, expected: list[str]) -> None:
    files = {**BASE, gpu.DRIVER: module, LIBRARY.format(library): "\x7fELF"}
    assert [each.subject for each in ask(gpu.GpuToolkit, FakeHost(files, kind=kind)).failures] == expected
