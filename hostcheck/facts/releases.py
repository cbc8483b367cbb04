"""The kernels that are installed, by their releases."""

from __future__ import annotations

import re

from hostcheck.facts.files import names
from hostcheck.host import Host, Unavailable
from hostcheck.versions import Version


def version_of(release: str | None) -> Version | None:
    """Return the version at the beginning of a release, None if there is none.

    >>> str(version_of("6.1.0-18-amd64"))
    '6.1.0-18-amd64'
    >>> version_of("lts") is None
    True
    """
    try:
        return Version(release) if release else None
    except ValueError:
        return None


def installed_releases(host: Host) -> dict[str, str]:
    """Return the releases that are installed, newest first, with the file or folder that shows each."""
    return host.fact(_installed_releases)


def _installed_releases(host: Host) -> dict[str, str]:
    found: dict[str, str] = {}
    for folder, prefixes in (
        ("/boot", ("vmlinuz-", "vmlinux-", "kernel-", "config-")),
        ("/usr/lib/modules", ("",)),
        ("/lib/modules", ("",)),
        ("/usr/lib/ostree-boot", ("vmlinuz-", "config-")),
        ("/usr/lib/kernel", ("config-",)),
    ):
        try:
            listed = names(host, folder)
        except (PermissionError, Unavailable):
            continue
        for prefix in prefixes:
            for name in listed:
                release = name[len(prefix) :]
                usable = name.startswith(prefix) and version_of(release) and "rescue" not in release
                if usable and not release.endswith((".old", ".bak", ".img", ".sig", ".hmac")):
                    found.setdefault(release, f"{folder}/{name}")
    return {release: found[release] for release in sorted(found, key=release_key, reverse=True)}


def release_key(release: str) -> list[tuple[int, int, str]]:
    """Return a key that sorts releases as a boot loader does: numbers by value, the rest as text.

    >>> sorted(["6.1.0-9-amd64", "6.1.0-18-amd64", "5.10.0-1"], key=release_key)
    ['5.10.0-1', '6.1.0-9-amd64', '6.1.0-18-amd64']
    """
    return [
        (1, int(part), "") if part.isdecimal() else (0, 0, part)
        for part in re.split(r"(\d+)", release)
        if part
    ]
