"""The hierarchies of control groups, as the running host has them mounted."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, Unavailable, Version, failed, passed
from hostcheck.facts import cgroup, docker, engine, init, kernel, mounts, podman
from hostcheck.facts.files import text
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


class HierarchyRealtime(Check):
    """Real-time processes do not keep the cpu controller from containers.

    *Why*: a kernel with CONFIG_RT_GROUP_SCHED turns the cpu controller of control groups v2 on only while every
    real-time process is in the root group. One in a service (multipathd, rtkit, an audio server) is enough:
    `write cgroup.subtree_control: invalid argument`, and no container with a share or limit of CPU starts.

    *Needs*: with such a kernel and control groups v2, the controller cpu in the groups of services.

    *Fix*: a kernel without CONFIG_RT_GROUP_SCHED, rt_group_sched=0 at boot (6.15 and later), or no real-time service.
    """

    id = "hierarchy.realtime"
    severity = Severity.RECOMMENDED
    references = (
        "https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu",
        "https://github.com/containers/crun/issues/704",
        "https://github.com/systemd/systemd/issues/13781",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if host.kind != "live":
            raise NotApplicable("which processes are of real time is known when they run")
        if "cpu" not in (text(host, f"{cgroup.TOP}/cgroup.controllers") or "").split():
            raise NotApplicable("control groups v2 do not have the controller cpu here")
        release = kernel.running_release(host)
        config = kernel.config(host, release)
        if config is None:
            raise Unavailable(f"the configuration of {release} is not here")
        path = f"{cgroup.TOP}/system.slice/cgroup.controllers"
        services = (text(host, path) or "cpu").split()
        more = {"value": " ".join(services), "expected": "cpu", "path": path}
        if config.get("RT_GROUP_SCHED") != "y" or "cpu" in services:
            yield passed("cpu", "the controller cpu is there for containers", **more)
            return
        yield failed(
            "cpu",
            f"{release} groups real-time processes, and one outside of the root group keeps the controller cpu from"
            " containers",
            hint="ps -eo pid,cls,unit,comm | grep -E ' (FF|RR) ' names them; move them or stop their service",
            **more,
        )


class HierarchyCrun(Check):
    """Crun finds no controllers of control groups v2 beside those of v1.

    *Why*: where systemd mounts v1 and v2 side by side, crun takes v1, and refuses every container if v2 has controllers
    of its own: `cgroups in hybrid mode not supported, drop all controllers from cgroupv2`. runc does not mind.

    *Needs*: the list of /sys/fs/cgroup/unified, on a host whose podman or docker uses crun.

    *Fix*: boot with control groups v2 alone, or let runc start the containers.
    """

    id = "hierarchy.crun"
    severity = Severity.REQUIRED
    references = ("https://github.com/containers/crun/blob/1.14.3/src/libcrun/cgroup.c",)

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if host.kind != "live":
            raise NotApplicable("only a running host has mounts")
        if not self._used(host):
            raise NotApplicable("no engine here starts its containers with crun")
        if host.fact(cgroup.mode).now != "hybrid":
            raise NotApplicable("there is one version of control groups")
        path = f"{cgroup.TOP}/unified/cgroup.controllers"
        controllers = (text(host, path) or "").split()
        more = {"value": " ".join(controllers), "expected": "none", "path": path}
        if not controllers:
            yield passed("crun", "v2 has no controllers beside v1", **more)
            return
        yield failed(
            "crun",
            f"v2 has {', '.join(controllers)} beside the controllers of v1: crun starts no container",
            hint="boot with control groups v2 (see cgroup.mode), or let runc start the containers",
            **more,
        )

    def _used(self, host: Host) -> bool:
        if "podman" in engine.installed(host) and (podman.runtime(host)[1] or "").endswith("/crun"):
            return True
        return docker.setting(host, "default-runtime") == "crun"


class HierarchyMounts(Check):
    """Every cgroup v1 controller is mounted where engines look for it.

    *Why*: with all controllers in one mount, without the hierarchy name=systemd, or with file names that lack
    their prefix (Android), engines do not find the files that they write to, and no container starts.

    *Needs*: /proc/self/mountinfo; only cgroup v1 has such hierarchies.

    *Fix*: mount one hierarchy a controller, as systemd, OpenRC and the script cgroupfs-mount do.
    """

    id = "hierarchy.mounts"
    aliases = ("cgroup.hierarchy_mounts",)
    severity = Severity.REQUIRED
    references = (
        "https://github.com/tianon/cgroupfs-mount",
        "https://github.com/docker/for-linux/issues/219",
        "https://github.com/opencontainers/runc/pull/4417",
        "https://man7.org/linux/man-pages/man7/cgroups.7.html",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if host.kind != "live":
            raise NotApplicable("only a running host has mounts")
        mode = host.fact(cgroup.mode).now
        if mode in ("v2", "none"):
            raise NotApplicable(
                "cgroup v2 has one hierarchy" if mode == "v2" else "no cgroups: see cgroup.mode"
            )
        mounted = [mount for mount in cgroup.mounts(host) if mount.type == "cgroup"]
        yield self._one(mounted)
        yield self._named(host, mounted)
        yield self._prefix(host, mounted)

    def _one(self, mounted: list[mounts.Mount]) -> Finding:
        shared = next((m for m in mounted if m.point == cgroup.TOP), None)
        if shared is None:
            return passed(cgroup.TOP, "one mount a hierarchy", value=f"{len(mounted)} hierarchies")
        return failed(
            cgroup.TOP,
            "all v1 controllers are in one mount on /sys/fs/cgroup: engines look for one folder each",
            value=",".join(shared.options),
            expected="one mount a controller",
            path=shared.path,
            line=shared.line or None,
            commands=["sed -i '/[[:space:]]cgroup[[:space:]]/ s/^/#/' /etc/fstab"],
            hint="take the cgroup line out of /etc/fstab, and let the init mount them",
        )

    def _named(self, host: Host, mounted: list[mounts.Mount]) -> Finding:
        named = [o for m in mounted for o in m.options if o.startswith("name=")]
        # Where systemd is process 1, it has mounted it itself.
        if named or host.fact(cgroup.mode).now == "hybrid" or init.running(host) == "systemd":
            return passed(
                "name=systemd",
                f"named hierarchies: {', '.join(named) or 'systemd has its own'}",
                value=",".join(named),
            )
        return failed(
            "name=systemd",
            "no hierarchy name=systemd: engines fail with `cannot find cgroup mount destination`",
            value="missing",
            expected="mounted",
            severity=Severity.RECOMMENDED,
            commands=[
                "mkdir -p /sys/fs/cgroup/systemd",
                "mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd",
            ],
            hint="put the two commands into a script that runs at boot",
        )

    def _prefix(self, host: Host, mounted: list[mounts.Mount]) -> Finding:
        bare = next((m for m in mounted if "noprefix" in m.options), None)
        if bare is None:
            return passed("cpuset noprefix", "the files have their prefix", value="absent")
        runc = engine.version(host, "runc")
        fine = runc is not None and runc >= Version("1.3")
        return Finding(
            fine,
            "cpuset noprefix",
            f"{bare.point} is mounted without prefix: "
            + (f"runc {runc} knows how" if fine else "runc before 1.3 does not find cpuset.cpus"),
            value="mounted",
            expected="not mounted, or runc >= 1.3",
            path=bare.path,
            line=bare.line or None,
            hint="" if fine else "install runc 1.3 or newer",
        )
