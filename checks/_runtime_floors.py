"""Versions and dates of engines and runtimes: data as of 2026-08, each with its source.

A date is one on which the makers stop mending; distributions go on for their own releases.
"""

from __future__ import annotations

CONTAINERD_ENDS: tuple[tuple[str, str], ...] = (
    ("1.0", "2018-12-05"),
    ("1.1", "2019-10-23"),
    ("1.2", "2020-10-15"),
    ("1.3", "2021-03-04"),
    ("1.4", "2022-03-03"),
    ("1.5", "2023-02-28"),
    ("1.6", "2025-08-23"),
    ("1.7", "2026-09-30"),
    ("2.0", "2027-03-31"),
    ("2.1", "2026-07-03"),
    ("2.2", "2026-11-06"),
    ("2.3", "2028-04-30"),
)
"""Series and end of support, the extended one where there is one. Source: containerd's RELEASES.md."""

DOCKER_ENDS: tuple[tuple[str, str], ...] = (
    ("17", "2018-09-30"),
    ("18", "2020-07-31"),
    ("19.3", "2021-12-31"),
    ("20.10", "2023-12-31"),
    ("23.0", "2025-05-19"),
    ("24.0", "2024-06-30"),
    ("27", "2025-06-30"),
)
"""Series and end of support, the later month where the makers named none.

Source: moby's project/BRANCHES-AND-TAGS.md. Not listed is what has a maintainer there with an open end (25.0,
26.1) and what is newer."""

RUNC_FIXES: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...] = (
    ("CVE-2024-21626", "a container gets out through a leaked file descriptor", (("1.1", "1.1.12"),)),
    (
        "CVE-2025-31133",
        "a container gets out through masked paths (with CVE-2025-52565, CVE-2025-52881)",
        (("1.2", "1.2.8"), ("1.3", "1.3.3"), ("1.4", "1.4.0-rc.3")),
    ),
    (
        "CVE-2026-41579",
        "see its advisory",
        (("1.3", "1.3.6"), ("1.4", "1.4.3"), ("1.5", "1.5.0-rc.3")),
    ),
)
"""Identifier, what it lets happen, and per series the first release without it. Older series have it, newer do
not. Source: runc's CHANGELOG.md."""

CONTAINERD_FOR_DOCKER = ("25", "1.6.22", ("1.7.0", "1.7.3"))
"""From which docker on, the lowest containerd, and the range [from, to) that does not do.

Source: moby's project/PACKAGERS.md; docker/docker-ce-packaging#961. Debian and Ubuntu ship older pairs that
work (20.10.5 with 1.4.13, 20.10.24 with 1.6.20, 24.0.5 with 1.7.2), so it begins with 25."""

CONTAINERD_FOR_KUBERNETES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("1.26", ("1.6.15", "1.7.0")),
    ("1.30", ("1.6.28", "1.7.13", "2.0.0")),
    ("1.31", ("1.6.34", "1.7.20", "2.0.0")),
    ("1.32", ("1.6.36", "1.7.24", "2.0.1")),
    ("1.33", ("1.6.36", "1.7.24", "2.0.4", "2.1.0")),
    ("1.35", ("1.7.28", "2.1.5", "2.2.0")),
    ("1.36", ("2.2.0", "2.3.0")),
)
"""Kubernetes from this release on, and per series of containerd the lowest that is recommended for it.

Source: the Kubernetes matrix of containerd's RELEASES.md."""

DOCKER_COM = ("docker-ce", "docker-ce-cli", "containerd.io", "docker-ce-rootless-extras", "docker-engine")
"""Packages from docker.com: the makers' own versions, and their dates."""

DISTRIBUTION = (
    "docker.io",
    "docker",
    "docker-engine",
    "moby-engine",
    "podman-docker",
    "containerd",
    "moby-containerd",
    "runc",
    "moby-runc",
)
"""Packages that docker.com's cannot stand beside. Source: docs.docker.com, install/debian, /centos, /fedora.

`docker` counts only where rpm keeps the packages: Debian's package of that name is a dock for windows.
docker-doc and docker-compose, which the page lists too, harm nothing."""

PLUGINS = {"docker-compose-v2": "docker-compose-plugin", "docker-buildx": "docker-buildx-plugin"}
"""Packages of Debian and Ubuntu with the same file in /usr/libexec/docker/cli-plugins as one of docker.com's, which
neither declares. Source: docker/docker-ce-packaging issue 1339, docker/docs pull request 25506."""
