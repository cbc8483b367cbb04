"""Who manages the host's interfaces, and whether those of containers are left alone."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator

from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, Unavailable, Version, failed, passed
from hostcheck.facts import docker, engine, files, kubelet, network, packages

UP = 1
"""IFF_UP of an interface's flags (netdevice(7))."""


class InterfacesNetworkd(Check):
    """systemd-networkd leaves the interfaces of containers alone.

    *Why*: A .network file that matches every Ethernet interface matches docker's veth pairs and bridges too:
    networkd takes them off their bridge, wipes their addresses and runs DHCP on them.

    *Needs*: The .network files, of which the first that matches an interface counts, and whether
    systemd-networkd is enabled.

    *Fix*: A file that sorts first and leaves them unmanaged, or a narrower match.
    """

    id = "interfaces.networkd"
    severity = Severity.REQUIRED
    references = ("man:systemd.network(5)",)

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if not network.networkd_paths(host) or not network.enabled(host, "systemd-networkd.service"):
            raise NotApplicable("systemd-networkd is not enabled, or has no .network file")
        kept: set[str] = set()
        for path, sections in network.networkd_files(host):
            match = {
                key: (value, line) for s in sections if s.name == "Match" for key, value, line in s.entries
            }
            link = {key: value for s in sections if s.name == "Link" for key, value, _ in s.entries}
            takes = {kind for kind in ("veth", "bridge") if self._matches(match, kind)} - kept
            if link.get("Unmanaged", "").lower() in network.YES:
                kept |= takes
                continue
            manages = any(s.name == "Network" and s.entries for s in sections)
            if "veth" in takes and manages:
                line = next((line for _, line in match.values()), None)
                yield failed(
                    path,
                    "matches the veth interfaces of containers: networkd takes them off their bridge",
                    value=" ".join(f"{key}={value}" for key, (value, _) in match.items()),
                    expected="a match by name, or Kind=!veth",
                    path=path,
                    line=line,
                    when="boot",
                    commands=[
                        r"printf '[Match]\nKind=veth bridge\n\n[Link]\nUnmanaged=yes\n'"
                        " > /etc/systemd/network/05-containers.network",
                        "systemctl restart systemd-networkd",
                    ],
                )
            else:
                yield passed(path, "leaves the interfaces of containers alone", path=path, when="boot")

    def _matches(self, match: dict[str, tuple[str, int]], kind: str) -> bool:
        """Return whether a [Match] section takes docker's interfaces of a kind (`veth`, `bridge`)."""
        # Imported here: few hosts have .network files.
        from fnmatch import fnmatchcase

        names = {"veth": ("veth0a1b2c3", "vethfedcba9"), "bridge": ("docker0",)}[kind]
        if not match:
            return False
        for key, (text, _) in match.items():
            words = text.split()
            inverse = bool(words) and words[0].startswith("!")
            words = [word.removeprefix("!") for word in words]
            if key in ("Name", "OriginalName"):
                hit = any(fnmatchcase(name, word) for name in names for word in words)
            elif key == "Type":
                hit = any(fnmatchcase("bridge" if kind == "bridge" else "ether", word) for word in words)
            elif key == "Kind":
                hit = any(fnmatchcase(kind, word) for word in words)
            elif key in (
                "Host",
                "Architecture",
                "KernelCommandLine",
                "KernelVersion",
                "Virtualization",
                "Credential",
            ):
                # Of the machine, not of the interface.
                continue
            else:
                # MACAddress=, Driver=, Path=, Property=, SSID=...: of one device.
                return False
            if hit == inverse:
                return False
        return True


class InterfacesNetworkManager(Check):
    """NetworkManager leaves the interfaces of containers alone.

    *Why*: With `unmanaged-devices=none` NetworkManager owns docker's veth interfaces, waits for DHCP on them
    and takes them off the bridge after 45 seconds.

    *Needs*: NetworkManager.conf and its conf.d folders. By default it leaves interfaces that it did not make
    alone, so nothing need be set for docker.

    *Fix*: A file in conf.d that names them unmanaged.
    """

    id = "interfaces.network_manager"
    severity = Severity.REQUIRED
    references = (
        "man:NetworkManager.conf(5)",
        "https://docs.rke2.io/known_issues#networkmanager",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        there = any(True for _ in network.nm_sections(host))
        said = network.unmanaged(host)
        if not there or (host.kind != "live" and not network.enabled(host, "NetworkManager.service")):
            raise NotApplicable("NetworkManager is not here, or has no configuration")
        subject = "NetworkManager.conf unmanaged-devices"
        if said is None:
            yield passed(subject, "not set: interfaces that others make are left alone", when="boot")
            return
        value, source = said
        more = {"value": value, "path": source.path, "line": source.line, "when": "boot"}
        if [part for part in value.split(";") if part] != ["none"]:
            yield passed(subject, "interfaces are left out by name", **more)
            return
        yield failed(
            subject,
            "none: NetworkManager takes the veth interfaces of containers off their bridge",
            expected="interface-name:veth*;interface-name:docker0;interface-name:br-*",
            commands=[
                r"printf '[keyfile]\nunmanaged-devices=interface-name:veth*;interface-name:br-*;"
                r"interface-name:docker0\n' > /etc/NetworkManager/conf.d/99-zz-containers.conf",
                "systemctl reload NetworkManager",
            ],
            **more,
        )


class InterfacesDhcpcd(Check):
    """dhcpcd leaves the interfaces of containers alone.

    *Why*: dhcpcd looks after every Ethernet interface, and takes docker's veth pairs for some. It gives them
    addresses and default routes of their own, and dies where they come and go by the dozen: the host is cut off.

    *Needs*: whether dhcpcd runs for all interfaces, and denyinterfaces or allowinterfaces in /etc/dhcpcd.conf.

    *Fix*: `denyinterfaces veth*` before the first `interface` of /etc/dhcpcd.conf.
    """

    id = "interfaces.dhcpcd"
    severity = Severity.RECOMMENDED
    references = (
        "https://github.com/raspberrypi/linux/issues/4092",
        "https://github.com/NetworkConfiguration/dhcpcd/issues/531",
        "man:dhcpcd.conf(5)",
    )
    path: str = "/etc/dhcpcd.conf"
    """Its configuration."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        text = files.text(host, self.path)
        if text is None or not self._starts(host):
            raise NotApplicable("dhcpcd does not run here")
        said: list[tuple[int, str, list[str]]] = []
        for number, line in enumerate(text.splitlines(), 1):
            word, *rest = line.split("#")[0].replace(",", " ").split() or [""]
            # What follows is of that interface alone.
            if word in ("interface", "ssid", "profile"):
                break
            if word in ("denyinterfaces", "allowinterfaces"):
                said.append((number, word, rest))
        denied = any(word == "denyinterfaces" and any(map(_like, names)) for _, word, names in said)
        allowed = [names for _, word, names in said if word == "allowinterfaces"]
        more = {"path": self.path, "line": said[0][0] if said else None, "when": "boot"}
        if denied or (allowed and not any(_like(name) for names in allowed for name in names)):
            yield passed("dhcpcd.conf", "keeps dhcpcd from the interfaces of containers", **more)
            return
        yield failed(
            "dhcpcd.conf",
            "dhcpcd takes the veth interfaces of containers for the host's own: they may get the default route",
            expected="denyinterfaces veth*",
            commands=[f"sed -i '1i denyinterfaces veth*' {self.path}", "systemctl restart dhcpcd"],
            **more,
        )

    def _starts(self, host: Host) -> bool:
        """Return whether it starts at boot, for all interfaces."""
        if any(network.enabled(host, f"{name}.service") for name in ("dhcpcd", "dhcpcd5")):
            return True
        return any(host.exists(f"/etc/runlevels/{level}/dhcpcd") for level in ("boot", "default"))


def _like(pattern: str) -> bool:
    """Return whether a pattern of dhcpcd.conf stands for veth interfaces."""
    return fnmatch.fnmatch("veth12ab", pattern)


class InterfacesCloudSetup(Check):
    """nm-cloud-setup does not route the replies of containers away.

    *Why*: nm-cloud-setup before NetworkManager 1.32 adds a routing rule for each address of the cloud's
    interface, which catches the replies of pods before the routes of the container network.

    *Needs*: Whether its service or timer is enabled, and the version of NetworkManager. Where there are no pods
    containers only fail to reach the host by its own address.

    *Fix*: Disable both and reboot, or take a newer NetworkManager (EL 8.5 and later have one).
    """

    id = "interfaces.cloud_setup"
    severity = Severity.REQUIRED
    references = (
        "https://github.com/rancher/rke2/issues/1053",
        "https://github.com/k3s-io/k3s/issues/12888",
        "https://gitlab.freedesktop.org/NetworkManager/NetworkManager/-/issues/740",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        package = packages.installed(host, "NetworkManager", "network-manager")
        setup = (
            packages.installed(host, "NetworkManager-cloud-setup", "network-manager-cloud-setup") or package
        )
        if package is None or setup is None:
            raise NotApplicable("NetworkManager is not installed")
        fixed = Version(package.version) >= Version("1.32")
        units = [
            unit for unit in ("nm-cloud-setup.service", "nm-cloud-setup.timer") if network.enabled(host, unit)
        ]
        more = {"value": package.version, "expected": ">= 1.32", "when": "boot"}
        if fixed or not units:
            text = "routes only what is its own from 1.32 on" if fixed else "not enabled"
            yield passed("nm-cloud-setup", text, **more)
            return
        yield failed(
            "nm-cloud-setup",
            f"{' and '.join(units)} enabled: its routing rules catch the replies of containers",
            severity=Severity.REQUIRED if kubelet.is_node(host) else Severity.RECOMMENDED,
            commands=["systemctl disable --now nm-cloud-setup.timer nm-cloud-setup.service", "reboot"],
            **more,
        )


HERTZ = 100
"""Of the times in /sys (USER_HZ)."""
PATIENCE = 5.0
"""Seconds that programs wait for a name server's answer (resolv.conf(5))."""


class InterfacesBridge(Check):
    """The bridge that dockerd is told to use is there.

    *Why*: dockerd makes docker0 itself, and no other: with `bridge` it does not start before somebody has made
    that bridge ("must be created manually"). Nor does it start where docker0 is there and is something else
    ("existing interface docker0 is not a bridge"). A bridge with a spanning tree passes nothing of a new container's
    for twice its forward delay, thirty seconds as it comes: builds and short jobs reach nothing.

    *Needs*: `bridge` of daemon.json or of the flags. On a running host the interface; else a file of
    systemd-networkd, ifupdown, NetworkManager, netplan or network-scripts that makes it at boot. No spanning tree on it
    now, or a delay of less than five seconds.

    *Fix*: make it before docker starts, or take `bridge` out; remove what is called docker0 and is no bridge; switch
    the spanning tree off.
    """

    id = "interfaces.bridge"
    severity = Severity.REQUIRED
    references = (
        "https://docs.docker.com/reference/cli/dockerd/",
        "https://github.com/moby/moby/blob/v28.5.2/libnetwork/drivers/bridge/setup_device_linux.go",
        "https://docs.kernel.org/networking/bridge.html#stp",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        name = str(network.engine_option(host, "bridge", "") or "")
        if name in ("", "docker0"):
            yield self._own(host)
            return
        if name == "none":
            raise NotApplicable("dockerd makes no bridge at all")
        subject = "daemon.json bridge"
        path, line = docker.where(host, "bridge")
        more: dict[str, object] = {"value": name, "expected": "a bridge", "path": path, "line": line}
        made = network.definition(host, name)
        if made is not None:
            yield passed(subject, f"{made.path} makes {name}", when="boot", **more)
        elif host.kind != "live":
            raise Unavailable(f"no file is known that makes the bridge {name}; a program may")
        if host.kind != "live":
            return
        if host.exists(f"/sys/class/net/{name}/bridge"):
            yield self._slow(host, name) or passed(subject, f"{name} is there", **more)
            return
        there = host.exists(f"/sys/class/net/{name}")
        yield failed(
            subject,
            f"dockerd will not start: {name} is {'no bridge' if there else 'not there, and dockerd does not make it'}",
            hint=f"make {name} before docker starts, with what manages this host's network",
            **more,
        )

    def _slow(self, host: Host, name: str) -> Finding | None:
        """Return the finding about a spanning tree, on whose ports nothing passes at first."""
        folder = f"/sys/class/net/{name}/bridge"
        state, delay = (
            (files.text(host, f"{folder}/{key}") or "").strip() for key in ("stp_state", "forward_delay")
        )
        seconds = 2 * int(delay) / HERTZ if delay.isdecimal() else 0
        if state in ("", "0") or seconds < PATIENCE:
            return None
        return failed(
            name,
            f"has a spanning tree: a container reaches nothing in its first {seconds:.0f} seconds",
            value=state,
            expected="0",
            path=f"{folder}/stp_state",
            commands=[f"ip link set {name} type bridge stp_state 0"],
            hint="and switch it off where the bridge is made",
        )

    def _own(self, host: Host) -> Finding:
        """Judge docker0, which dockerd makes where it is not there."""
        engine.need_docker(host)
        folder = "/sys/class/net/docker0"
        if host.kind != "live" or not host.exists(folder):
            raise NotApplicable("dockerd makes docker0 itself")
        if host.exists(f"{folder}/bridge"):
            return self._slow(host, "docker0") or passed(
                "docker0", "is a bridge", value="bridge", path=folder
            )
        return failed(
            "docker0",
            "dockerd will not start: an interface docker0 is there, and is no bridge",
            expected="a bridge, or nothing",
            path=folder,
            commands=["ip link delete docker0", "systemctl restart docker"],
            hint="and have what makes it at boot give it another name",
        )


class InterfacesLoopback(Check):
    """The loopback interface is up, with 127.0.0.1.

    *Why*: a published port does not answer on 127.0.0.1, nor does containers' DNS reach a resolver of this machine,
    where `lo` is down, as in a network namespace that nobody has set up.

    *Needs*: on a running host the flags of `lo` and the addresses of the kernel's table.

    *Fix*: `ip link set lo up`; ifupdown needs `auto lo` and `iface lo inet loopback`.
    """

    id = "interfaces.loopback"
    severity = Severity.REQUIRED
    references = (
        "https://man7.org/linux/man-pages/man7/netdevice.7.html",
        "https://docs.docker.com/engine/network/port-publishing/",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if host.kind != "live":
            raise NotApplicable("interfaces are those of a running host")
        path = "/sys/class/net/lo/flags"
        shown = (files.text(host, path) or "").strip()
        if not shown:
            raise NotApplicable("/sys does not show the interfaces here")
        try:
            flags = int(shown, 16)
        except ValueError:
            raise Unavailable(f"{path} holds no flags") from None
        where = {"path": path, "expected": "up, with 127.0.0.1"}
        mend = ["ip link set lo up"]
        if not flags & UP:
            text = "is down: published ports do not answer on 127.0.0.1"
            yield failed("lo", text, value="down", commands=mend, **where)
        elif not self._has_address(host):
            text = "has no 127.0.0.1: published ports do not answer there"
            yield failed("lo", text, value="no address", commands=["ip addr add 127.0.0.1/8 dev lo"], **where)
        else:
            yield passed("lo", "is up", value="up", **where)

    def _has_address(self, host: Host) -> bool:
        """Return whether 127.0.0.1 is this machine's; where the kernel's table cannot be had, it is."""
        table = files.text(host, "/proc/net/fib_trie")
        wanted = network.parse_network("127.0.0.1/32")
        return table is None or any(
            wanted and network.overlaps(wanted, own) for own in network.parse_fib_trie(table)
        )


class InterfacesPublishAddress(Check):
    """The address on which ports are published by default is this machine's.

    *Why*: dockerd takes any address for `ip`. A container with a published port then does not start where the
    address is another machine's: "cannot assign requested address".

    *Needs*: `ip` of daemon.json or of the flags, and the addresses of the running host.

    *Fix*: an address of this machine, 127.0.0.1, or none: ports are then published on all.
    """

    id = "interfaces.publish_address"
    severity = Severity.REQUIRED
    references = (
        "https://docs.docker.com/engine/network/port-publishing/#setting-the-default-bind-address-for-containers",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        address = str(network.engine_option(host, "ip", "") or "")
        if not address:
            raise NotApplicable("ports are published on all addresses")
        if host.kind != "live":
            raise NotApplicable("addresses are those of a running host")
        path, line = docker.where(host, "ip")
        more = {"value": address, "expected": "an address of this machine", "path": path, "line": line}
        if network.is_foreign(host, address):
            text = f"no container with a published port starts: {address} is no address of this machine"
            yield failed("daemon.json ip", text, hint=f"take ip out of {path}", **more)
        else:
            yield passed("daemon.json ip", f"{address} is this machine's", **more)


class InterfacesMtu(Check):
    """Packets of containers fit the interface that carries them out.

    *Why*: docker's bridge has an MTU of 1500 whatever the uplink has. Where the uplink has less (VPN, some
    clouds) or a path less than the uplink, and ICMP is dropped on the way, large transfers hang.

    *Needs*: The MTU of the interface with the default route, on a running host; `mtu` in daemon.json.

    *Fix*: "mtu" in daemon.json for the default bridge, and com.docker.network.driver.mtu for others.
    """

    id = "interfaces.mtu"
    severity = Severity.INFO
    references = (
        "https://docs.docker.com/reference/cli/dockerd/#daemon-configuration-file",
        "https://docs.docker.com/engine/network/drivers/bridge/#options",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if host.kind != "live":
            raise NotApplicable("the uplink is that of a running host")
        uplink = network.uplink(host)
        if uplink is None:
            raise NotApplicable("there is no default route")
        path = f"/sys/class/net/{uplink}/mtu"
        text = (files.text(host, path) or "").strip()
        if not text.isdecimal():
            raise Unavailable(f"{path} does not tell")
        mtu = int(text)
        inner = network.engine_option(host, "mtu", 0) or 1500
        more = {"value": mtu, "expected": f"{inner}", "path": path}
        if mtu > 1500 and inner <= 1500:
            text = f"{uplink} has {mtu}: if a path beyond it carries only 1500, large transfers hang"
            yield failed(uplink, text, hint=f"ask whether all of the network carries {mtu} bytes", **more)
        elif mtu < inner:
            text = f"{uplink} has {mtu}, containers send packets of {inner}: large transfers may hang"
            hint = f'put {{"mtu": {mtu}}} in /etc/docker/daemon.json'
            yield failed(uplink, text, severity=Severity.RECOMMENDED, hint=hint, **more)
        else:
            yield passed(uplink, f"{mtu}, containers have {inner}", **more)
