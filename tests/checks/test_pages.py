"""Kernels with pages of several sizes."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from hostcheck.finding import Outcome
from hostcheck.testing import FakeHost, ask

pages: Any = importlib.import_module("hostcheck.checks.pages")


@pytest.mark.parametrize(
    ("release", "config", "outcome"),
    [
        ("6.6.28+rpt-rpi-2712", "", Outcome.FAIL),
        ("6.6.28+rpt-rpi-v8", "", Outcome.SKIP),
        ("6.6.28+rpt-rpi-2712", "CONFIG_ARM64_4K_PAGES=y\n", Outcome.PASS),
        ("6.1.0-13-arm64", "CONFIG_ARM64_64K_PAGES=y\n# CONFIG_ARM64_4K_PAGES is not set\n", Outcome.FAIL),
        ("5.14.0-570.17.1.el9_6.aarch64+64k", "", Outcome.FAIL),
        ("6.8.0-45-generic-64k", "", Outcome.FAIL),
        ("6.8.0-45-generic", "CONFIG_X86_64=y\n", Outcome.SKIP),
        ("6.12.47+deb13-cloud-amd64", "", Outcome.SKIP),
    ],
)
def test_size(release: str, config: str, outcome: Outcome) -> None:
    files = {"/proc/sys/kernel/osrelease": f"{release}\n"}
    if config:
        files[f"/boot/config-{release}"] = f"CONFIG_CGROUPS=y\n{config}"
    assert ask(pages.PagesSize, FakeHost(files)).outcome is outcome
