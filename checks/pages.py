"""The size of memory pages, for which images are built."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, Unavailable, failed, passed
from hostcheck.facts import kernel

OPTIONS = {"ARM64_4K_PAGES": 4, "ARM64_16K_PAGES": 16, "ARM64_64K_PAGES": 64}

NAMES = ((r"\+rpt-rpi-2712$|-rpi-2712$|-v8-16k", 16), (r"[-+.]64k$|-64k\b", 64), (r"\+16k$|-16k\b|asahi", 16))
"""Releases of kernels that are built with larger pages: the Pi 5's own, EL's and Ubuntu's 64k, Asahi."""


def built(host: Host, release: str) -> int | None:
    """Return the size that a kernel's configuration has, None where it does not tell."""
    try:
        config = kernel.config(host, release)
    except (PermissionError, Unavailable):
        return None
    found = (number for option, number in OPTIONS.items() if config is not None and config.get(option) == "y")
    return next(found, None)


def size(host: Host, release: str) -> int | None:
    """Return the size of a kernel's pages in KiB; None where nothing tells."""
    told = built(host, release)
    if told is not None:
        return told
    for pattern, number in NAMES:
        if re.search(pattern, release):
            return number
    return None


class PagesSize(Check):
    """Memory pages are of the size that images are built for.

    *Why*: programs with jemalloc and some others are built for pages of 4 KiB and end at once on a kernel with
    larger ones: `<jemalloc>: Unsupported system page size`. The Raspberry Pi 5 boots such a kernel by default.

    *Needs*: on 64-bit ARM, pages of 4 KiB, by the kernel's configuration or the name of its release.

    *Fix*: `kernel=kernel8.img` in config.txt of a Raspberry Pi; the kernel without `64k` or `16k` elsewhere.
    """

    id = "pages.size"
    severity = Severity.RECOMMENDED
    references = (
        "https://github.com/raspberrypi/linux/issues/4375",
        "https://github.com/jemalloc/jemalloc/issues/467",
        "https://www.raspberrypi.com/documentation/computers/config_txt.html#kernel",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        said = False
        for each in kernel.kernels(host):
            number = size(host, each.release)
            if number is None:
                continue
            said = True
            more = {"value": f"{number} KiB", "expected": "4 KiB", "when": each.when}
            if number == 4:
                yield passed("page size", f"{each.release} has pages of 4 KiB", **more)
                continue
            pi = "2712" in each.release
            # The Pi 5's own kernel, which most of its users have: worth knowing, unless its build was looked at.
            severity = Severity.INFO if pi and not built(host, each.release) else None
            yield failed(
                "page size",
                f"{each.release} has pages of {number} KiB: images with an allocator built for 4 KiB do not start",
                hint="boot a kernel with pages of 4 KiB"
                + (": kernel=kernel8.img in config.txt" if pi else ""),
                commands=["echo kernel=kernel8.img >> /boot/firmware/config.txt"] if pi else [],
                severity=severity,
                **more,
            )
        if not said:
            raise NotApplicable("no kernel here is known to have a choice of page sizes")
