"""Until when distributions get security updates. As of November 2026; a release that is not here is not judged.

Id, version, the last day of the free updates, and that of the updates that can be bought for it (empty: none).
Sources: https://wiki.debian.org/LTS, https://ubuntu.com/about/release-cycle,
https://access.redhat.com/support/policy/updates/errata, https://docs.fedoraproject.org/en-US/releases/eol/,
https://alpinelinux.org/releases/, https://en.opensuse.org/Lifetime, https://www.suse.com/lifecycle/,
https://aws.amazon.com/amazon-linux-2/faqs/, https://wiki.rockylinux.org/rocky/version/,
https://wiki.almalinux.org/release-notes/, https://www.oracle.com/a/ocom/docs/elsp-lifetime-069338.pdf.
"""

from __future__ import annotations

RELEASES: tuple[tuple[str, str, str, str], ...] = (
    ("debian", "7", "2018-05-31", "2020-06-30"),
    ("debian", "8", "2020-06-30", "2025-06-30"),
    ("debian", "9", "2022-06-30", "2027-06-30"),
    ("debian", "10", "2024-06-30", "2029-06-30"),
    ("debian", "11", "2026-08-31", "2031-06-30"),
    ("debian", "12", "2028-06-30", "2033-06-30"),
    ("debian", "13", "2030-06-30", "2035-06-30"),
    ("ubuntu", "12.04", "2017-04-28", "2019-04-30"),
    ("ubuntu", "14.04", "2019-04-25", "2026-04-30"),
    ("ubuntu", "16.04", "2021-04-30", "2028-04-30"),
    ("ubuntu", "18.04", "2023-05-31", "2030-04-30"),
    ("ubuntu", "20.04", "2025-05-31", "2032-04-30"),
    ("ubuntu", "22.04", "2027-04-30", "2034-04-30"),
    ("ubuntu", "24.04", "2029-04-30", "2036-04-30"),
    ("ubuntu", "26.04", "2031-04-30", "2038-04-30"),
    ("ubuntu", "19.10", "2020-07-17", ""),
    ("ubuntu", "20.10", "2021-07-22", ""),
    ("ubuntu", "21.04", "2022-01-20", ""),
    ("ubuntu", "21.10", "2022-07-14", ""),
    ("ubuntu", "22.10", "2023-07-20", ""),
    ("ubuntu", "23.04", "2024-01-25", ""),
    ("ubuntu", "23.10", "2024-07-11", ""),
    ("ubuntu", "24.10", "2025-07-10", ""),
    ("ubuntu", "25.04", "2026-01-15", ""),
    ("ubuntu", "25.10", "2026-07-31", ""),
    ("centos", "5", "2017-03-31", ""),
    ("centos", "6", "2020-11-30", ""),
    ("centos", "7", "2024-06-30", ""),
    ("centos", "8", "2021-12-31", ""),
    ("centos-stream", "8", "2024-05-31", ""),
    ("centos-stream", "9", "2027-05-31", ""),
    ("centos-stream", "10", "2030-05-31", ""),
    ("rhel", "6", "2020-11-30", "2024-06-30"),
    ("rhel", "7", "2024-06-30", "2028-06-30"),
    ("rhel", "8", "2029-05-31", "2032-05-31"),
    ("rhel", "9", "2032-05-31", "2035-05-31"),
    ("rhel", "10", "2035-05-31", "2038-05-31"),
    ("rocky", "8", "2029-05-31", ""),
    ("rocky", "9", "2032-05-31", ""),
    ("rocky", "10", "2035-05-31", ""),
    ("almalinux", "8", "2029-03-01", ""),
    ("almalinux", "9", "2032-05-31", ""),
    ("almalinux", "10", "2035-05-31", ""),
    ("ol", "6", "2021-03-31", "2024-12-31"),
    ("ol", "7", "2024-12-31", "2028-06-30"),
    ("ol", "8", "2029-07-31", "2032-07-31"),
    ("ol", "9", "2032-06-30", "2035-06-30"),
    ("ol", "10", "2035-06-30", "2038-06-30"),
    ("fedora", "30", "2020-05-26", ""),
    ("fedora", "31", "2020-11-30", ""),
    ("fedora", "32", "2021-05-25", ""),
    ("fedora", "33", "2021-11-30", ""),
    ("fedora", "34", "2022-06-07", ""),
    ("fedora", "35", "2022-12-13", ""),
    ("fedora", "36", "2023-05-16", ""),
    ("fedora", "37", "2023-12-05", ""),
    ("fedora", "38", "2024-05-21", ""),
    ("fedora", "39", "2024-11-26", ""),
    ("fedora", "40", "2025-05-13", ""),
    ("fedora", "41", "2025-12-15", ""),
    ("fedora", "42", "2026-05-13", ""),
    ("fedora", "43", "2026-12-09", ""),
    ("alpine", "3.8", "2020-05-01", ""),
    ("alpine", "3.9", "2020-11-01", ""),
    ("alpine", "3.10", "2021-05-01", ""),
    ("alpine", "3.11", "2021-11-01", ""),
    ("alpine", "3.12", "2022-05-01", ""),
    ("alpine", "3.13", "2022-11-01", ""),
    ("alpine", "3.14", "2023-05-01", ""),
    ("alpine", "3.15", "2023-11-01", ""),
    ("alpine", "3.16", "2024-05-23", ""),
    ("alpine", "3.17", "2024-11-22", ""),
    ("alpine", "3.18", "2025-05-09", ""),
    ("alpine", "3.19", "2025-11-01", ""),
    ("alpine", "3.20", "2026-04-01", ""),
    ("alpine", "3.21", "2026-11-01", ""),
    ("alpine", "3.22", "2027-05-01", ""),
    ("alpine", "3.23", "2027-11-01", ""),
    ("opensuse-leap", "15.3", "2022-12-31", ""),
    ("opensuse-leap", "15.4", "2023-12-07", ""),
    ("opensuse-leap", "15.5", "2024-12-31", ""),
    ("opensuse-leap", "15.6", "2026-04-30", ""),
    ("opensuse-leap", "16.0", "2027-10-31", ""),
    ("sles", "12.5", "2024-10-31", "2027-10-31"),
    ("sles", "15.4", "2023-12-31", "2026-12-31"),
    ("sles", "15.5", "2024-12-31", "2027-12-31"),
    ("sles", "15.6", "2025-12-31", "2028-12-31"),
    ("sles", "15.7", "2031-07-31", "2034-07-31"),
    ("amzn", "2018.03", "2023-12-31", ""),
    ("amzn", "2", "2026-06-30", ""),
    ("amzn", "2023", "2029-06-30", ""),
)

ROLLING = frozenset(
    (
        "arch",
        "archarm",
        "opensuse-tumbleweed",
        "void",
        "gentoo",
        "manjaro",
        "nixos",
        "opensuse-microos",
        "cachyos",
    )
)
"""Distributions whose one release is always supported, as long as it is updated."""

ALIASES = {"raspbian": "debian", "devuan": "", "centos-stream": "centos-stream"}
"""Distributions that follow another's dates; empty where the numbers are their own."""

_DEBIAN, _UBUNTU = "archive.debian.org", "old-releases.ubuntu.com"

ARCHIVED: dict[str, tuple[str, str]] = {
    "wheezy": ("2018-12-01", _DEBIAN),
    "jessie": ("2019-03-26", _DEBIAN),
    "stretch": ("2023-04-24", _DEBIAN),
    "buster": ("2025-07-01", _DEBIAN),
    "artful": ("2018-08-01", _UBUNTU),
    "cosmic": ("2019-08-01", _UBUNTU),
    "disco": ("2020-02-01", _UBUNTU),
    "eoan": ("2020-08-01", _UBUNTU),
    "groovy": ("2021-08-01", _UBUNTU),
    "hirsute": ("2022-02-01", _UBUNTU),
    "impish": ("2022-08-01", _UBUNTU),
    "kinetic": ("2023-08-01", _UBUNTU),
    "lunar": ("2024-02-01", _UBUNTU),
    "mantic": ("2024-08-01", _UBUNTU),
    "oracular": ("2025-08-01", _UBUNTU),
}
"""Suites that were moved to an archive: from which day they count as gone (the move came at most some weeks before)."""

ARCHIVED_FROM = (".debian.org", ".ubuntu.com", "http.debian.net")
"""How the names of the servers end from which they went; other mirrors may keep them."""

DOCKER_SUITES: dict[str, str] = {
    "debian": "wheezy jessie stretch buster bullseye bookworm trixie",
    "raspbian": "jessie stretch buster bullseye bookworm trixie",
    "ubuntu": "trusty xenial yakkety zesty artful bionic cosmic disco eoan focal groovy hirsute impish jammy kinetic "
    "lunar mantic noble oracular plucky questing resolute",
}
"""Code names under which docker.com keeps packages of apt, by the folder below /linux.

Source: docs.docker.com/engine/install. What has ended stays there.
"""

DOCKER_RELEASES = ("7", "8", "9", "10")
"""What $releasever may be in docker.com's repositories for CentOS and RHEL."""
