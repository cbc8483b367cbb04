"""Releases that are right one by one and do not go together, and programs and packages that are there twice."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hostcheck._typing import Any, Callable, Optional
from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, Unavailable, Version, failed, passed
from hostcheck.facts import (
    boot,
    cgroup,
    docker,
    engine,
    firewall,
    kernel,
    kubelet,
    modules,
    mounts,
    packages,
    releases,
    resources,
    security,
    systemd,
)
from hostcheck.facts import os as os_facts
from hostcheck.facts.files import names, text, which
from hostcheck.facts.packages import removed
from hostcheck.facts.versions import (
    TOOLS,
    found_tool,
    parse_package_version,
    program_folders,
    tool_named,
    version_at,
)

from . import _runtime_floors as floors
from ._conflicts import CONFLICTS, RELEASES, Conflict
from ._engines import PROGRAMS, dated, engine_only, executable, none_seen, origin


def within(version: Version, ranges: str) -> bool:
    """Return whether a version lies in one of the ranges.

    >>> within(Version("6.1.54"), "6.1.54 - 6.1.55, 6.6 -"), within(Version("6.1.60"), "6.1.54 - 6.1.55, 6.6 -")
    (True, False)
    >>> within(Version("1.0.0-rc93"), "- 1.0.0-rc94")
    True
    """
    for each in ranges.split(","):
        first, _, before = (part.strip() for part in each.partition("-" if each.strip()[0] == "-" else " -"))
        if (not first or version >= Version(first)) and (not before or version < Version(before)):
            return True
    return False


class ConflictsReleases(Check):
    """The releases of kernel, runtimes, engines and tools on this host go together.

    *Why*: each of them may be current and well tested, and still the pair fails: a kernel that dropped a file
    which a runtime reads, a package that was built for the other control groups.

    *Needs*: no pair of a list of known ones, each with the report in which its cause was found.

    *Fix*: upgrade the older of the two; the finding says to which release.
    """

    id = "conflicts.releases"
    severity = Severity.REQUIRED
    references = tuple(sorted({each.link for each in CONFLICTS}))

    def run(self, host: Host) -> Iterator[Finding]:
        """See the class."""
        for conflict in CONFLICTS:
            for when, values in _parts(host, conflict):
                if all(CIRCUMSTANCES[name](host, when) for name in conflict.only):
                    named = " and ".join(f"{name} {value}" for name, value in values.items())
                    yield failed(
                        conflict.name,
                        f"{named}: {conflict.effect}",
                        value=named,
                        when=when,
                        severity=Severity(conflict.severity),
                        hint=f"{conflict.fix} ({conflict.link})",
                    )
                    break
        yield passed("releases", f"{len(CONFLICTS)} pairs that do not go together were looked for")


def _parts(host: Host, conflict: Conflict) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield what takes part, now and at the next boot; nothing where one part is not there or not in range."""
    values: dict[str, str] = {}
    for name, ranges in conflict.parts:
        if name == "linux":
            continue
        version = _version(host, name)
        if version is None or not within(version, ranges):
            return
        values[name] = str(version)
    kernels = dict(conflict.parts).get("linux")
    if kernels is None:
        yield "now", values
        return
    for each in kernel.kernels(host):
        known = _kernel_version(host, each)
        if known is not None and within(known, kernels):
            yield each.when, {"Linux": each.release, **values}


def _kernel_version(host: Host, each: kernel.Kernel) -> Optional[Version]:
    """Return a kernel's version; Debian's release names only its series, and the configuration the rest."""
    try:
        config = kernel.config(host, each.release)
    except (OSError, Unavailable):
        config = None
    named = releases.version_of(each.release)
    if config is not None and config.version is not None and kernel.same_series(config.version, named):
        return config.version
    return named


def _version(host: Host, name: str) -> Optional[Version]:
    """Return the version of a program, or of a package where no program of that name is known."""
    if any(tool.name == name for tool in TOOLS):
        found = found_tool(host, name)
        return found.version if found else None
    package = packages.known(host, name)
    return parse_package_version(package.version, package.manager).version if package else None


def _cgroup(*modes: str) -> Callable[[Host, str], bool]:
    def holds(host: Host, when: str) -> bool:
        try:
            found = cgroup.mode(host)
        except (OSError, Unavailable):
            return False
        return (found.now if when == "now" and host.kind == "live" else found.boot) in modes

    return holds


def _there(*paths: str) -> Callable[[Host, str], bool]:
    def holds(host: Host, _when: str) -> bool:
        for path in paths:
            try:
                if (which(host, path) is not None) if "/" not in path else host.exists(path):
                    return True
            except (OSError, Unavailable):
                continue
        return False

    return holds


def _kubelet(host: Host, _when: str) -> bool:
    return (
        "kubelet" in engine.installed(host) or host.exists("/var/lib/kubelet/config.yaml") or _k3s(host, "")
    )


_k3s = _there("k3s", "rke2", "/etc/rancher/k3s", "/etc/rancher/rke2")


def _makers_runc(host: Host, _when: str) -> bool:
    found = found_tool(host, "runc")
    return found is not None and found.package not in ("runc", "moby-runc")


def _unpatched(name: str) -> Callable[[Host, str], bool]:
    """Return whether a package is no update of Debian or Ubuntu, which took the fix into an older release."""

    def holds(host: Host, _when: str) -> bool:
        try:
            package = packages.installed(host, name)
        except (PermissionError, Unavailable):
            return False
        return package is None or re.search(r"deb1[12]u|ubuntu\d+\.", package.version) is None

    return holds


def _no_option(name: str) -> Callable[[Host, str], bool]:
    def holds(host: Host, _when: str) -> bool:
        for each in kernel.kernels(host):
            try:
                config = kernel.config(host, each.release)
            except (OSError, Unavailable):
                continue
            if config is not None and config.get(name, "n") == "n":
                return True
        return False

    return holds


def _no_parser(host: Host, _when: str) -> bool:
    return (
        security.lsm_at_boot(host, "apparmor").value == "enabled" and which(host, "apparmor_parser") is None
    )


def _narrow(host: Host, _when: str) -> bool:
    return not host.exists("/lib64/ld-linux-x86-64.so.2") and any(
        host.exists(f"/lib/{name}")
        for name in ("ld-linux-armhf.so.3", "arm-linux-gnueabihf", "ld-linux.so.3")
    )


def _few_connections(host: Host, _when: str) -> bool:
    """Return whether the table is smaller than what kube-proxy asks for: 32768 a processor, 131072 at least."""
    try:
        limit = int(host.read("/proc/sys/net/netfilter/nf_conntrack_max"))
        processors, _path = resources.cpus(host)
    except (OSError, Unavailable, ValueError):
        return False
    return limit < max(131072, 32768 * processors)


def _nodes_in_containers(host: Host, when: str) -> bool:
    """Return whether nodes are containers here: this host is a guest of LXC and a node, or it has tools for them."""
    if host.kind == "live" and (os_facts.container(host) or ("",))[0] == "lxc":
        return kubelet.is_node(host)
    return _there("kind", "minikube", "k3d")(host, when)


def _new_networks(host: Host, _when: str) -> bool:
    """Return whether a file of /etc/cni/net.d is of version 1.0.0 or later."""
    folder = "/etc/cni/net.d"
    try:
        found = [text(host, f"{folder}/{name}") for name in names(host, folder) if name.endswith(".conflist")]
    except (OSError, Unavailable):
        return False
    return any(re.search(r'"cniVersion"\s*:\s*"1\.', each or "") for each in found)


def _nvidia(host: Host, when: str) -> bool:
    """Return whether containers may get a GPU of NVIDIA's: its runtime, or its driver."""
    names = ("nvidia-container-runtime", "nvidia-container-runtime-hook", "nvidia-ctk")
    if _there(*names, "/proc/driver/nvidia/version", "/dev/nvidiactl")(host, when):
        return True
    try:
        return host.kind == "live" and "nvidia" in modules.loaded(host)
    except (OSError, Unavailable):
        return False


MANY_PROCESSORS = 41
"""From so many on the queues of a veth pair, of some 800 bytes each, take more than the 32 KiB that the kernel tries
hard to find in one piece (veth_alloc_queues in drivers/net/veth.c, PAGE_ALLOC_COSTLY_ORDER)."""


def _many_processors(host: Host, _when: str) -> bool:
    """Return whether the machine may come to have so many: a virtual one has room for more than it runs with."""
    try:
        possible = host.read("/sys/devices/system/cpu/possible")
    except (OSError, Unavailable):
        return False
    return resources.parse_cpu_list(possible) >= MANY_PROCESSORS


def _other_runtime(host: Host, _when: str) -> bool:
    return docker.setting(host, "default-runtime") not in (None, "", "runc")


def _managed_plugins(host: Host, _when: str) -> bool:
    root = docker.data_root(host)
    return any(re.fullmatch(r"[0-9a-f]{16,64}", name) for name in names(host, f"{root}/plugins"))


def _hybrid_systemd(host: Host, _when: str) -> bool:
    try:
        return any(m.point == "/sys/fs/cgroup/systemd" and m.type == "cgroup2" for m in mounts.mounted(host))
    except Unavailable:
        return False


CIRCUMSTANCES: dict[str, Callable[[Host, str], bool]] = {
    "v1": _cgroup("v1", "hybrid"),
    "v2": _cgroup("v2"),
    "kubelet": _kubelet,
    "k3s": _k3s,
    "nvidia": _nvidia,
    "iptables-nft": lambda host, _when: firewall.backend(host) == "nft",
    "runc of its makers": _makers_runc,
    "crun without its distribution's fix": _unpatched("crun"),
    "podman without its distribution's fix": _unpatched("podman"),
    "ipv6.disable=1": boot.without_ipv6,
    "no CONFIG_IP_SET": _no_option("IP_SET"),
    "AppArmor profile of crun": _there("/etc/apparmor.d/crun"),
    "AppArmor profile of runc": _there("/etc/apparmor.d/runc", "/etc/apparmor.d/usr.sbin.runc"),
    "AppArmor without its parser": _no_parser,
    "systemd": lambda host, _when: not systemd.other_init(host),
    "docker": lambda host, _when: "docker" in engine.installed(host),
    "SELinux": lambda host, _when: security.selinux_configured(host).value == "enforcing",
    "32-bit": _narrow,
    # Images built since then are what a host is asked to run.
    "images since 2021-08": lambda host, _when: host.today() >= "2021-08",
    "nodes in containers": _nodes_in_containers,
    "CNI files of 1.0.0": _new_networks,
    "few connections": _few_connections,
    "many processors": _many_processors,
    "default runtime other than runc": _other_runtime,
    "managed plugins": _managed_plugins,
    "systemd's hierarchy is v2": _hybrid_systemd,
}
"""What a conflict may depend on beside the releases."""


class ConflictsKernelBuilds(Check):
    """No kernel is installed that is known to fail with containers.

    *Why*: single builds of distributions' kernels crash when a container starts. One that an unattended
    upgrade has installed waits for the next boot.

    *Needs*: neither the kernel that runs nor the newest that is installed is such a build.

    *Fix*: boot the kernel before, hold the package, or install the next build.
    """

    id = "conflicts.kernel_builds"
    severity = Severity.REQUIRED
    references = tuple(link for _pattern, _what, _mend, link in RELEASES)

    def run(self, host: Host) -> Iterator[Finding]:
        """See the class."""
        there: dict[str, str] = {each.release: each.when for each in kernel.kernels(host)}
        newest = max(releases.installed_releases(host), key=releases.release_key, default=None)
        if newest is not None:
            there.setdefault(newest, "boot")
        if not there:
            raise NotApplicable("no kernel is installed here")
        for release, when in there.items():
            more: dict[str, Any] = {"value": release, "when": when}
            for pattern, what, mend, link in RELEASES:
                if re.fullmatch(pattern, release):
                    yield failed("linux build", f"{release} {what} ({link})", hint=mend, **more)
                    break
            else:
                yield passed("linux build", f"nothing of that kind is known of {release}", **more)


def _copies(host: Host, name: str) -> list[str]:
    """Return every program of that name, the one that is found first in front; links to one count once."""
    found: dict[str, str] = {}
    for folder in program_folders(host, name):
        path = f"{folder}/{name}"
        if executable(host, path) and not folder.startswith("/snap/"):
            found.setdefault(host.resolve(path), path)
    return list(found.values())


class ConflictsOrigin(Check):
    """The engine's programs come from one source, and none hides another.

    *Why*: a runc or containerd that somebody put into /usr/local goes before the package's, and an upgrade of
    the package then changes nothing; an old dockerd asks for helpers that the new one no longer has.

    *Needs*: of dockerd, containerd, its shim, runc and docker-proxy one file each in the search path. A
    second one of the same version is only worth knowing.

    *Fix*: remove the stray file, after a look at what its source was.
    """

    id = "conflicts.origin"
    aliases = ("runtime.origin",)
    severity = Severity.RECOMMENDED
    references = (
        "https://github.com/moby/moby/issues/49519",
        "https://github.com/canonical/docker-snap/issues/188",
        "https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html#ExecSearchPath=",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See the class."""
        return dated(host, self._look(host))

    def _look(self, host: Host) -> Iterator[Finding]:
        engine_only(host)
        some = False
        if engine.is_snap(host):
            some = True
            yield failed(
                "snap",
                "docker is a snap: its containers see no host path outside /home, and no hidden one there",
                value="snap",
                expected="a package",
                path="/var/lib/snapd/snaps",
                hint="remove the snap and install docker.io or docker-ce; its images and volumes go with it",
            )
        for name in PROGRAMS:
            copies = _copies(host, name)
            if not copies:
                continue
            some = True
            yield self._judge(host, name, copies)
        if not some:
            raise none_seen()

    def _judge(self, host: Host, name: str, copies: list[str]) -> Finding:
        first = found_tool(host, name)
        if len(copies) == 1 or first is None:
            text = f"from {origin(first)}" if first else "is there"
            return passed(name, text, value=first.package or "no package" if first else "", path=copies[0])
        others = [version_at(host, tool_named(name), path) for path in copies[1:]]
        same = all(str(other) == str(first) and first.version for other in others)
        hidden = ", ".join(f"{other.path} ({other}, {origin(other)})" for other in others)
        return failed(
            name,
            f"{copies[0]} ({first}, {origin(first)}) goes before {hidden}",
            value=f"{len(copies)} files",
            expected="1 file",
            path=copies[0],
            when="boot",
            severity=Severity.INFO if same else None,
            hint=f"remove the one that is not wanted: type -a {name} lists them",
        )


class ConflictsPackages(Check):
    """No packages are installed that stand in the way of docker's.

    *Why*: docker.com's packages and the distribution's bring the same files. Installing the distribution's
    containerd or runc removes containerd.io, and docker-ce with it; podman-docker is a `docker` that is not
    docker.

    *Needs*: beside docker-ce or containerd.io none of docker.io, moby-engine, podman-docker, containerd or
    runc, nor Debian's or Ubuntu's plugins for compose and buildx; one engine, as a package or as a snap.

    *Fix*: remove one of the two sets.
    """

    id = "conflicts.packages"
    aliases = ("runtime.package_conflicts",)
    severity = Severity.RECOMMENDED
    references = (
        "https://docs.docker.com/engine/install/debian/#uninstall-old-versions",
        "https://github.com/weaveworks/ignite/issues/443",
        "https://github.com/docker/docker-ce-packaging/issues/1339",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See the class."""
        return dated(host, self._look(host))

    def _look(self, host: Host) -> Iterator[Finding]:
        have = packages.packages(host)
        if not have:
            raise NotApplicable("no package database")
        makers = [name for name in floors.DOCKER_COM if name in have]
        theirs = [
            name
            for name in floors.DISTRIBUTION
            if name in have and not (name == "docker" and have[name].manager == "deb")
        ]
        engines = [name for name in ("docker-ce", "containerd.io") if name in makers]
        gone = "docker-ce-cli" in have and "containerd.io" not in have and "docker-ce" in removed(host)
        found = False
        for name in theirs:
            path = have[name].path
            if engines:
                found = True
                yield failed(
                    name,
                    f"stands beside {', '.join(engines)} of docker.com: an upgrade of one removes the other",
                    value=have[name].version,
                    expected="absent",
                    path=path,
                    commands=_remove(have[name].manager, name),
                )
            elif name == "containerd" and gone:
                found = True
                yield failed(
                    name,
                    "took the place of containerd.io, and docker-ce was removed with that: docker is gone",
                    value=have[name].version,
                    expected="containerd.io",
                    path=path,
                    when="boot",
                    severity=Severity.REQUIRED,
                    commands=["apt-get install -y containerd.io docker-ce"],
                )
            elif name == "podman-docker" and engine.stage(host) == "before":
                found = True
                yield failed(
                    name,
                    "its `docker` is podman; docker cannot be installed beside it",
                    value=have[name].version,
                    expected="absent",
                    path=path,
                    severity=Severity.INFO,
                    commands=_remove(have[name].manager, name),
                )
        for name, rival in floors.PLUGINS.items() if engines else ():
            if name in have and have[name].manager == "deb":
                found = True
                yield failed(
                    name,
                    f"brings the file that {rival} of docker.com brings: dpkg refuses the second",
                    value=have[name].version,
                    expected="absent",
                    path=have[name].path,
                    commands=[f"apt-get remove -y {name}", f"apt-get install -y {rival}"],
                )
        package = next((name for name in ("docker-ce", "docker.io", "moby-engine") if name in have), None)
        if package and engine.snaps(host):
            found = True
            yield failed(
                package,
                f"docker is installed twice, as package {package} and as a snap: both want /run/docker.sock",
                value="package and snap",
                expected="one of them",
                path="/var/lib/snapd/snaps",
                commands=["snap remove docker"],
            )
        if not found:
            seen = ", ".join([*makers, *theirs]) or "none of an engine"
            yield passed("packages", f"no conflict ({seen})", value=seen, expected="one source")


def _remove(manager: str, name: str) -> list[str]:
    words = {"deb": "apt-get remove -y", "rpm": "dnf remove -y", "apk": "apk del", "pacman": "pacman -R"}
    return [f"{words[manager]} {name}"]
