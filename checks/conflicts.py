"""Releases that are right one by one and do not go together."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Callable, Optional

from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, Unavailable, Version, failed, passed
from hostcheck.facts import boot, cgroup, engine, firewall, kernel, packages, security
from hostcheck.facts.files import which
from hostcheck.facts.versions import TOOLS, found_tool, parse_package_version

from ._conflicts import CONFLICTS, RELEASES, Conflict


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
    named = kernel.version_of(each.release)
    if config is not None and config.version is not None and kernel.same_series(config.version, named):
        return config.version
    return named


def _version(host: Host, name: str) -> Optional[Version]:
    """Return the version of a program, or of a package where no program of that name is known."""
    if any(tool.name == name for tool in TOOLS):
        found = found_tool(host, name)
        return found.version if found else None
    try:
        package = packages.installed(host, name)
    except (PermissionError, Unavailable):
        return None
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


def _no_ipv6(host: Host, when: str) -> bool:
    try:
        line = (
            host.read("/proc/cmdline") if host.kind == "live" and when == "now" else boot.boot(host).cmdline
        )
    except (OSError, Unavailable):
        return False
    return boot.option(line, "ipv6.disable") == "1"


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
        processors = len(re.findall(r"(?m)^processor\s*:", host.read("/proc/cpuinfo")))
    except (OSError, Unavailable, ValueError):
        return False
    return limit < max(131072, 32768 * processors)


CIRCUMSTANCES: dict[str, Callable[[Host, str], bool]] = {
    "v1": _cgroup("v1", "hybrid"),
    "v2": _cgroup("v2"),
    "kubelet": _kubelet,
    "k3s": _k3s,
    "nvidia": _there(
        "nvidia-container-runtime",
        "nvidia-container-runtime-hook",
        "nvidia-ctk",
        "/proc/driver/nvidia/version",
        "/dev/nvidiactl",
    ),
    "iptables-nft": lambda host, _when: firewall.backend(host) == "nft",
    "runc of its makers": _makers_runc,
    "ipv6.disable=1": _no_ipv6,
    "no CONFIG_IP_SET": _no_option("IP_SET"),
    "AppArmor profile of runc": _there("/etc/apparmor.d/runc", "/etc/apparmor.d/usr.sbin.runc"),
    "AppArmor without its parser": _no_parser,
    "docker": lambda host, _when: "docker" in engine.installed(host),
    "SELinux": lambda host, _when: security.selinux_configured(host).value == "enforcing",
    "32-bit": _narrow,
    # Images built since then are what a host is asked to run.
    "images since 2021-08": lambda host, _when: host.today() >= "2021-08",
    "nodes in containers": _there("kind", "minikube", "k3d"),
    "few connections": _few_connections,
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
        newest = max(kernel.installed_releases(host), key=kernel.release_key, default=None)
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
