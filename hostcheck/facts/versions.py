"""Versions of the programs that containers need: as printed, as packaged, as their bytes have them."""

from __future__ import annotations

from hostcheck.host import Host
from hostcheck.versions import Version


def version(host: Host, tool: str) -> Version | None:
    """Return the version of `tool`, None where it is not there or cannot be told."""
    return None
