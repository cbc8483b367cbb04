"""Networks of users who run containers without root: the driver, ports, ping and iptables."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hostcheck._typing import Any
from hostcheck.api import Finding, Host, NotApplicable, Severity, Unavailable, Version, failed, passed
from hostcheck.facts import engine, firewall, kernel, modules, network, packages, rootless, sysctl, systemd
from hostcheck.facts.files import names, text
from hostcheck.facts.rootless import Evidence
from hostcheck.facts.versions import version

from ._rootless import DOCS, SCRIPT, TOOL, UsersCheck, docker_version

DRIVERS = (("slirp4netns", ("slirp4netns",)), ("pasta", ("passt",)), ("vpnkit", ("vpnkit",)))
"""Programs that give a user's containers a network, and their packages."""


LOCAL_MODE = "20240821"
"""The release of passt from which pasta does without a default route."""


class RootlessNetworkDriver(UsersCheck):
    """Users' containers reach the network.

    *Why*: a user cannot make interfaces on the host; slirp4netns, pasta or vpnkit carry the packets through a tap
    device. Without one of them docker does not start, and podman starts no container with a network.

    *Needs*: for docker slirp4netns 0.4, pasta or vpnkit (from 29 on rootlesskit has one built in); for podman
    pasta from 5.0 on, slirp4netns before, unless containers.conf names the other; pasta before its release 2024_08_21
    starts nothing where the host has no default route. The module tun.

    *Fix*: install slirp4netns (or passt); `echo tun > /etc/modules-load.d/tun.conf`.
    """

    id = "rootless_network.driver"
    aliases = ("rootless.network_driver",)
    severity = Severity.REQUIRED
    references = (
        SCRIPT,
        "https://github.com/rootless-containers/rootlesskit/blob/master/docs/network.md",
        "https://github.com/containers/podman/blob/main/rootless.md",
        "https://blog.podman.io/2024/03/podman-5-0-breaking-changes-in-detail/",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        found = self.evidence(host)
        theirs = {each.engine for each in found} or ({"podman"} & engine.installed(host)) or {"docker"}
        have = [
            name for name, known in DRIVERS if rootless.program(host, name) or packages.known(host, *known)
        ]  # fmt: skip
        when = host.when
        if "podman" in theirs:
            yield self._podman(host, have, when)
        if theirs - {"podman"}:
            yield self._docker(host, have, when)
        yield from self._tun(host)

    def _docker(self, host: Host, have: list[str], when: str) -> Finding:
        more: dict[str, Any] = {"expected": "slirp4netns, pasta or vpnkit", "when": when}
        slirp = version(host, "slirp4netns")
        if "slirp4netns" in have and slirp is not None and slirp < Version("0.4"):
            have = [name for name in have if name != "slirp4netns"]
        if have:
            return passed("network driver", f"{', '.join(have)} is there", value=", ".join(have), **more)
        docker = docker_version(host)
        newer = docker is not None and docker >= Version("29")
        # docker-ce-rootless-extras recommends one, so before it is installed there may be none.
        early = engine.stage(host) == "before" and not rootless.evidence(host)
        then = "the slower one in rootlesskit is used" if newer else "a user's docker does not start"
        old = (
            f"slirp4netns {slirp} is older than 0.4"
            if slirp
            else "neither slirp4netns nor pasta is installed"
        )
        return failed(
            "network driver",
            f"{old}: {then}",
            value=f"slirp4netns {slirp}" if slirp else "none",
            severity=Severity.INFO if newer or early else None,
            hint="install the package slirp4netns",
            **more,
        )

    def _podman(self, host: Host, have: list[str], when: str) -> Finding:
        podman = version(host, "podman")
        wanted = "pasta" if podman is not None and podman >= Version("5") else "slirp4netns"
        path, line = None, None
        for conf in ("/usr/share/containers/containers.conf", "/etc/containers/containers.conf"):
            for number, each in enumerate((text(host, conf) or "").split("\n"), 1):
                named = re.match(r'\s*default_rootless_network_cmd\s*=\s*"(pasta|slirp4netns)"', each)
                if named:
                    wanted, path, line = named.group(1), conf, number
        more: dict[str, Any] = {"expected": wanted, "when": when, "path": path, "line": line}
        if wanted == "pasta" in have and podman is not None and self._unconnected(host):
            return failed(
                "podman network driver",
                "pasta of this release starts nothing on a host without a default route: no container with a network",
                value="no route",
                hint="upgrade passt to 2024_08_21 or later, or start containers with --network none",
                **{**more, "expected": "a default route", "when": "now"},
            )
        if wanted in have or (podman is None and have):
            return passed(
                "podman network driver", f"{', '.join(have)} is there", value=", ".join(have), **more
            )
        package = "passt" if wanted == "pasta" else wanted
        return failed(
            "podman network driver",
            f"{wanted} is not installed: a user's containers have no network",
            value=", ".join(have) or "none",
            hint=f"install the package {package}",
            **more,
        )

    def _unconnected(self, host: Host) -> bool:
        """Return whether there is no default route, and pasta too old to do without (conf.c, local mode)."""
        package = packages.known(host, "passt")
        date = re.search(r"20\d{6}", package.version) if package else None
        if host.kind != "live" or date is None or date.group() >= LOCAL_MODE:
            return False
        try:
            return network.uplink(host) is None and not network.has_ipv6_default(host)
        except (OSError, Unavailable):
            return False

    def _tun(self, host: Host) -> Iterator[Finding]:
        more: dict[str, Any] = {"expected": "usable"}
        there = host.kind == "live" and rootless.is_there(host, "/dev/net/tun")
        if there and not host.stat("/dev/net/tun").mode & 0o006:
            yield failed(
                "tun",
                "/dev/net/tun may be opened by root alone: users' containers have no network",
                value=f"{host.stat('/dev/net/tun').mode & 0o777:o}",
                path="/dev/net/tun",
                expected="666",
                commands=["chmod 0666 /dev/net/tun"],
                hint="and find what sets it: a rule in /etc/udev/rules.d",
            )
            return
        gone = host.kind == "live" and not there and not host.exists("/dev/net/tun")
        for each in kernel.kernels(host):
            found = modules.loadable(host, each, "tun", "TUN")
            more = {"expected": "usable", "when": each.when, "path": found.path, "line": found.line}
            if gone and each.when == "now":
                yield failed(
                    "tun",
                    "there is no /dev/net/tun: users' containers have no network",
                    value="missing",
                    commands=["modprobe tun", "echo tun > /etc/modules-load.d/tun.conf"],
                    hint="where modprobe finds none, install the modules of this kernel (OpenWrt: kmod-tun)",
                    **more,
                )
            elif found.usable or (there and each.when == "now"):
                yield passed("tun", f"{each.release}: {found.why}", value=found.state, **more)
            elif found.state == "unknown":
                raise Unavailable(f"whether {each.release} has tun cannot be told: {found.why}")
            else:
                yield failed(
                    "tun",
                    f"{each.release} has no tun ({found.why}): users' containers have no network",
                    value=found.state,
                    hint="install the modules of this kernel (OpenWrt: kmod-tun), then `modprobe tun`",
                    **more,
                )


PORT_KEY = "net.ipv4.ip_unprivileged_port_start"


class RootlessNetworkPorts(UsersCheck):
    """Users may publish the ports that their containers are to have.

    *Why*: ports below net.ipv4.ip_unprivileged_port_start (1024, unless it is set) are root's: publishing one ends
    with `bind: permission denied`.

    *Needs*: the sysctl at or below the lowest port that users' units publish; where none does, it is worth knowing.

    *Fix*: a line in /etc/sysctl.d, or a proxy that root runs.
    """

    id = "rootless_network.ports"
    aliases = ("rootless.ports",)
    severity = Severity.REQUIRED
    references = (
        f"{DOCS}/tips/#exposing-privileged-ports",
        "https://www.kernel.org/doc/html/latest/networking/ip-sysctl.html",
    )
    lowest: int = 1024
    """The lowest port that users are to publish, whatever their units say."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        found = self.evidence(host)
        port, path, line = min(
            [*self._published(host, found), (self.lowest, "", 0)], key=lambda each: each[0]
        )  # fmt: skip
        if host.kind == "live":
            now = sysctl.now(host, PORT_KEY)
            if now is not None:
                where = "/proc/sys/" + PORT_KEY.replace(".", "/")
                yield self._judge(now, port, path, line, {"path": where, "when": "now"})
        setting = sysctl.boot_setting(host, PORT_KEY)
        value = setting.value if setting and setting.value is not None else "1024"
        more = {"path": setting.path if setting else None, "line": setting.line if setting else None}
        yield self._judge(value, port, path, line, {**more, "when": "boot"})

    def _judge(self, value: str, port: int, path: str, line: int, more: dict[str, Any]) -> Finding:
        start = int(value) if value.isdecimal() else 1024
        then = "now" if more["when"] == "now" else "after the next boot"
        command = (
            f"echo '{PORT_KEY} = {min(port, 80)}' > /etc/sysctl.d/99-zz-rootless.conf && sysctl --system"
        )
        if port < 1024 and start > port:
            whose = f"{path}:{line} publishes {port}" if path else f"port {port} is to be published"
            text_ = f"{value} {then}, and {whose}: bind: permission denied"
            return failed(PORT_KEY, text_, value=value, expected=f"<= {port}", commands=[command], **more)
        if start >= 1024 and port >= 1024:
            text_ = f"{value} {then}: users cannot publish ports below it, as 80 and 443"
            return failed(
                PORT_KEY, text_, value=value, expected="as the ports that are published",
                severity=Severity.INFO, commands=[command], **more,
            )  # fmt: skip
        return passed(PORT_KEY, f"{value} {then}", value=value, expected=f"<= {port}", **more)

    def _published(self, host: Host, found: tuple[Evidence, ...]) -> Iterator[tuple[int, str, int]]:
        """Yield the ports that users' units and quadlets publish, with file and line."""
        paths = [each.path for each in found if each.path.endswith(".service")]
        for user in rootless.rootless_users(host):
            folder = f"{user.home}/.config/containers/systemd"
            try:
                paths += [f"{folder}/{name}" for name in names(host, folder)]
            except (OSError, Unavailable):
                continue
        for path in paths:
            try:
                content = text(host, path) or ""
            except (OSError, Unavailable):
                continue
            for number, line in enumerate(content.split("\n"), 1):
                quadlet = re.match(r"\s*PublishPort\s*=\s*(\S+)", line)
                words = [quadlet.group(1)] if quadlet else re.findall(r"\s(?:-p|--publish)[= ](\S+)", line)
                for word in words:
                    # [address:]port:port-in-container; a container's port alone gets one that is free.
                    fields = re.sub(r"^\[[^]]*\]", "", word).partition("/")[0].split(":")
                    if len(fields) > 1 and fields[-2].partition("-")[0].isdecimal():
                        yield int(fields[-2].partition("-")[0]), path, number


PING_KEY = "net.ipv4.ping_group_range"


class RootlessNetworkPing(UsersCheck):
    """Ping works in users' containers.

    *Why*: a container of a user has no right to raw sockets of the host; ping gets an answer only where its group
    lies in net.ipv4.ping_group_range. The kernel's own value, `1 0`, is nobody.

    *Needs*: the sysctl with a range that is not empty, now and after the next boot. systemd sets one from 243 on,
    Debian's does not.

    *Fix*: `net.ipv4.ping_group_range = 0 2147483647` in /etc/sysctl.d.
    """

    id = "rootless_network.ping"
    aliases = ("rootless.ping",)
    severity = Severity.INFO
    references = (
        f"{DOCS}/tips/#routing-ping-packets",
        "https://github.com/systemd/systemd/blob/v243/NEWS",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        self.evidence(host)
        if host.kind == "live":
            now = sysctl.now(host, PING_KEY)
            if now is not None:
                yield self._judge(now, {"when": "now", "path": "/proc/sys/" + PING_KEY.replace(".", "/")})
        setting = sysctl.boot_setting(host, PING_KEY)
        if setting is not None and setting.value is not None:
            more: dict[str, Any] = {"when": "boot", "path": setting.path, "line": setting.line}
            yield self._judge(setting.value, more)
        else:
            yield self._judge("1 0", {"when": "boot"})

    def _judge(self, value: str, more: dict[str, Any]) -> Finding:
        words = value.split()
        range_ = [int(word) for word in words] if len(words) == 2 and "".join(words).isdecimal() else [1, 0]
        more = {**more, "value": value, "expected": "0 2147483647"}
        if range_[0] <= range_[1]:
            return passed(PING_KEY, f"{value}: ping works", **more)
        command = f"echo '{PING_KEY} = 0 2147483647' > /etc/sysctl.d/99-zz-ping.conf && sysctl --system"
        return failed(
            PING_KEY, f"{value}: ping does not work in users' containers", commands=[command], **more
        )


class RootlessNetworkIptables(UsersCheck):
    """A user's docker can make its rules.

    *Why*: iptables-legacy loads ip_tables when it is first called; called by a user's docker it may not, and the
    daemon ends with `can't initialize iptables table`. docker's own tool asks for `modprobe ip_tables`. The rules of
    iptables-nft need no such help.

    *Needs*: where iptables is the legacy one, ip_tables built in, or loaded at boot: by modules-load.d, or by an
    engine or a firewall of root's.

    *Fix*: `echo ip_tables > /etc/modules-load.d/ip_tables.conf && modprobe ip_tables`.
    """

    id = "rootless_network.iptables"
    aliases = ("rootless.iptables",)
    severity = Severity.RECOMMENDED
    references = (TOOL, f"{DOCS}/troubleshoot/", "https://github.com/moby/moby/issues/49020")

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        found = self.evidence(host)
        if found and not any(each.engine != "podman" for each in found):
            raise NotApplicable("podman makes its rules otherwise")
        if firewall.backend(host) != "legacy":
            raise NotApplicable("iptables is not the legacy one, so it needs no module beforehand")
        command = "echo ip_tables > /etc/modules-load.d/ip_tables.conf && modprobe ip_tables"
        for each in kernel.kernels(host):
            module = modules.loadable(host, each, "ip_tables", "IP_NF_IPTABLES", by_name=True)
            more: dict[str, Any] = {"value": module.state, "expected": "loaded", "when": each.when}
            if module.state in ("builtin", "loaded"):
                yield passed("ip_tables", f"{each.release}: {module.why}", path=module.path, **more)
            elif each.when == "now":
                text_ = "not loaded, and a user's docker may not load it"
                yield failed("ip_tables", text_, commands=[command], **more)
        yield self._boot(host, command)

    def _boot(self, host: Host, command: str) -> Finding:
        """Judge who loads it at the next boot."""
        more: dict[str, Any] = {"expected": "loaded at boot", "when": "boot"}
        listed = modules.loaded_at_boot(host)
        for name in ("ip_tables", "iptable_nat", "iptable_filter"):
            if name in listed:
                return passed("ip_tables", f"{name} is loaded at boot", path=listed[name].path, **more)
        upcoming = kernel.boot_kernel(host)
        built = modules.loadable(host, upcoming, "ip_tables", "IP_NF_IPTABLES") if upcoming else None
        if built and built.state == "builtin":
            return passed("ip_tables", built.why, path=built.path, **more)
        for unit in ("docker.service", "firewalld.service", "ufw.service", "netfilter-persistent.service"):
            state = systemd.enabled(host, unit)
            if state is not None and state.value == "enabled":
                return passed("ip_tables", f"{unit} loads it at boot", path=state.path, **more)
        return failed(
            "ip_tables", "nothing loads it at boot, and a user's docker may not", commands=[command], **more
        )
