"""Kernels without IPv6, and what of docker asks for it all the same."""

from __future__ import annotations

import json
from collections.abc import Iterator

from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, Unavailable, Version, failed, passed
from hostcheck.facts import boot, engine, files, network, podman, sysctl

from ._rootless import SCRIPT, UsersCheck, docker_version

HOW_TO = "take ipv6.disable=1 off the kernel's command line; net.ipv6.conf.all.disable_ipv6 = 1 switches it off too"
"""The other way leaves the kernel's files in place, which docker reads and writes."""


def moments(host: Host) -> list[str]:
    """Return when the host is to be judged: now, and after the next boot."""
    return ["now", "boot"] if host.kind == "live" else ["boot"]


OFF = "net.ipv6.conf.default.disable_ipv6"
"""The switch for interfaces to come."""


class Ipv6Networks(Check):
    """The kernel has IPv6 where containers are to have it.

    *Why*: dockerd reads disable_ipv6 of each bridge whose network has IPv6. A kernel that was started with
    ipv6.disable=1 has no such file: `Cannot read IPv6 setup for bridge docker0`, and dockerd does not start. netavark
    gives no address of a podman network's IPv6 range there, nor where IPv6 is switched off for new interfaces.

    *Needs*: where `ipv6` is true in daemon.json, or a network of root's podman has a range of IPv6, a kernel with it,
    now and after the next boot.

    *Fix*: take `ipv6` out of daemon.json, or ipv6.disable=1 off the command line.
    """

    id = "ipv6.networks"
    severity = Severity.REQUIRED
    references = (
        "https://github.com/moby/moby/blob/v28.5.2/libnetwork/drivers/bridge/setup_ipv6_linux.go",
        "https://docs.docker.com/engine/daemon/ipv6/",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        docker = (
            engine.stage(host) != "before"
            and network.engine_option(host, "ipv6", False) is True
            and network.engine_option(host, "bridge") != "none"
        )
        wanting = list(self._podman(host)) if "podman" in engine.installed(host) else []
        if not docker and not wanting:
            raise NotApplicable("no network of containers is to have IPv6")
        for when in moments(host):
            none = boot.without_ipv6(host, when)
            if not none and not (wanting and self._off(host, when)):
                yield passed("IPv6", "the kernel has it", value="on", when=when)
                continue
            state = "the kernel has none" if none else f"{OFF} is 1"
            if docker and none:
                yield failed(
                    "IPv6",
                    f"{state}, and daemon.json switches it on for containers: dockerd does not start",
                    value="off",
                    expected="on",
                    when=when,
                    hint=f"take ipv6 out of daemon.json, or {HOW_TO}",
                )
            for path, block in wanting:
                yield failed(
                    "IPv6 of podman",
                    f"{state}, and a network has {block}: no container of it starts",
                    value="off",
                    expected="on",
                    path=path,
                    severity=Severity.RECOMMENDED,
                    when=when,
                    hint="make the network again without IPv6, or switch IPv6 on for the kernel",
                )

    def _podman(self, host: Host) -> Iterator[tuple[str, str]]:
        """Yield the files of networks of root's podman that have a range of IPv6, with the range."""
        chosen = podman.setting(host, "network.network_config_dir")
        folder = str(chosen.value) if chosen and chosen.value else "/etc/containers/networks"
        for name in files.names(host, folder):
            if not name.endswith(".json"):
                continue
            try:
                found = json.loads(files.text(host, f"{folder}/{name}") or "{}")
            except (ValueError, OSError, Unavailable, RecursionError):
                continue
            listed = found.get("subnets") if isinstance(found, dict) else None
            for each in listed if isinstance(listed, list) else ():
                block = str(each.get("subnet", "")) if isinstance(each, dict) else ""
                if ":" in block:
                    yield f"{folder}/{name}", block
                    break

    def _off(self, host: Host, when: str) -> bool:
        """Return whether new interfaces have no IPv6."""
        if when == "now":
            return sysctl.now(host, OFF) == "1"
        # The value of `all` becomes that of `default` too (addrconf_disable_ipv6).
        found = (sysctl.boot_setting(host, key) for key in (OFF, OFF.replace("default", "all")))
        return any(each is not None and each.value == "1" for each in found)


BROKEN_SCRIPT = (Version("29.0.0"), Version("29.0.2"))
"""From and before which dockerd-rootless.sh ends where it cannot set forwarding of IPv6 (moby pull 51543)."""


class Ipv6Rootless(UsersCheck):
    """A user's docker starts where the kernel has no IPv6.

    *Why*: the script of 29.0.0 and 29.0.1 sets net.ipv6.conf.all.forwarding and ends where that is not there: `sysctl:
    cannot stat /proc/sys/net/ipv6/conf/all/forwarding`. A user's docker does not start then.

    *Needs*: a kernel with IPv6, or docker of another release.

    *Fix*: upgrade to 29.0.2 or later.
    """

    id = "ipv6.rootless"
    severity = Severity.REQUIRED
    references = (
        SCRIPT,
        "https://github.com/moby/moby/pull/51543",
        "https://github.com/moby/moby/issues/51541",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        self.evidence(host)
        number = docker_version(host)
        if number is None or not BROKEN_SCRIPT[0] <= number < BROKEN_SCRIPT[1]:
            raise NotApplicable("docker of another release than 29.0.0 and 29.0.1 does without IPv6")
        for when in moments(host):
            if not boot.without_ipv6(host, when):
                yield passed("IPv6", "the kernel has it", value="on", when=when)
                continue
            yield failed(
                "IPv6",
                f"the kernel has none, and the script that starts a user's docker {number} ends for want of it",
                value="off",
                expected="on",
                when=when,
                hint=f"upgrade docker to 29.0.2 or later, or {HOW_TO}",
            )
