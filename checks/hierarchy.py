"""The hierarchies of control groups, as the running host has them mounted."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, failed, passed
from hostcheck.facts import cgroup
from hostcheck.facts.mounts import Mount

USED = frozenset(
    {
        "cpuset",
        "devices",
        "memory",
        "cpu",
        "cpuacct",
        "pids",
        "blkio",
        "hugetlb",
        "net_cls",
        "net_prio",
        "perf_event",
        "freezer",
        "rdma",
        "name=systemd",
    }
)
"""The hierarchies of v1 that runc joins; as root it forgives no error in any of them (cgroups/fs/fs.go)."""


def written(mount: Mount) -> bool:
    """Return whether runc writes there. Beside hierarchies of v1, that of v2 is systemd's alone."""
    if mount.type == "cgroup2":
        return mount.point == cgroup.TOP
    return posixpath.dirname(mount.point) == cgroup.TOP and not USED.isdisjoint(mount.options)


class HierarchyWritable(Check):
    """The hierarchies of control groups can be written.

    *Why*: for every container runc makes a folder in each hierarchy. Where one is mounted read-only the engine starts,
    and no container does: "mkdir /sys/fs/cgroup/...: read-only file system". So it is in a container or guest
    that was not given its control groups.

    *Needs*: no `ro` among the mounts of type cgroup and cgroup2 in /sys/fs/cgroup that runc uses; of several at one
    place the last counts.

    *Fix*: mount it read-write, or run the guest that is to be the host with its control groups delegated.
    """

    id = "hierarchy.writable"
    severity = Severity.REQUIRED
    references = (
        "https://github.com/opencontainers/runc/blob/v1.1.15/libcontainer/cgroups/fs/fs.go",
        "https://github.com/opencontainers/runc/blob/v1.1.15/libcontainer/cgroups/fs2/create.go",
        "https://man7.org/linux/man-pages/man7/cgroups.7.html",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if host.kind != "live":
            raise NotApplicable("only a running host has mounts")
        used = {mount.point: mount for mount in cgroup.mounts(host) if written(mount)}
        if not used:
            raise NotApplicable("no cgroups: see cgroup.mode")
        for point, mount in used.items():
            where = {"path": mount.path, "line": mount.line, "expected": "rw"}
            if "ro" in mount.options:
                yield failed(
                    point,
                    "is mounted read-only: no container starts",
                    value="ro",
                    commands=[f"mount -o remount,rw {point}"],
                    **where,
                )
            else:
                yield passed(point, "can be written", value="rw", **where)
