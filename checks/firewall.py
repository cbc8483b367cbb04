"""The engine's packet filter: its programs, its back end, and who else writes rules."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hostcheck._typing import Optional
from hostcheck.api import (
    Check,
    Finding,
    Host,
    NotApplicable,
    Severity,
    Unavailable,
    Version,
    failed,
    passed,
)
from hostcheck.facts import engine, files, firewall, modules, network, packages, sysctl


def docker_version(host: Host) -> Optional[Version]:
    """Return the version of dockerd, None where there is none or it cannot be told."""
    try:
        return engine.docker_version(host)
    except (OSError, ValueError, Unavailable):
        return None


def older(host: Host, version: str) -> bool:
    """Return whether dockerd is known to be older than a version."""
    found = docker_version(host)
    return found is not None and found < Version(version)


def filters(host: Host) -> bool:
    """Return whether dockerd writes packet filter rules at all."""
    return network.engine_option(host, "iptables", True) is not False


class FirewallIptables(Check):
    """The engine finds the iptables that it needs.

    *Why*: dockerd with iptables does not start without the program: "failed to register bridge driver: iptables
    not found". Its packages ask for iptables, but archives, minimal images and podman's package do not.

    *Needs*: iptables, and ip6tables from docker 27.0 on, in the folders of the engine's PATH; not with `"iptables":
    false`, nor with the nftables back end. Podman needs it before 5.0, whose netavark can do without.

    *Fix*: Install the package iptables.
    """

    id = "firewall.iptables"
    severity = Severity.REQUIRED
    references = (
        "https://docs.docker.com/engine/install/binaries/#prerequisites",
        "https://docs.docker.com/engine/network/packet-filtering-firewalls/",
        "https://github.com/containers/podman/blob/main/docs/tutorials/basic_networking.md",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        there = engine.installed(host)
        if "docker" in there or engine.stage(host) == "installed":
            who, severity = "dockerd does not start", None
            if firewall.native(host) is not None:
                raise NotApplicable("dockerd writes nftables rules itself")
            if not filters(host):
                raise NotApplicable('dockerd is told to leave iptables alone ("iptables": false)')
        elif "podman" in there:
            package = packages.installed(host, "podman")
            if package is not None and Version(package.version) >= Version("5.0"):
                raise NotApplicable("podman 5 can do with nftables")
            who, severity = "containers get no network", None
        else:
            raise NotApplicable("docker is not installed: its packages bring iptables")
        when = host.when
        # Rules for IPv6 are on by default from 27.0; without the program IPv6 alone is lost.
        names = ["iptables"]
        if "docker" in there and network.engine_option(host, "ip6tables", True) is not False:
            names += [] if older(host, "27.0") else ["ip6tables"]
        for name in names:
            path = files.which(host, name) or self._asked(host, name)
            if path is not None:
                yield passed(name, f"{path} is there", value=path, path=path, when=when)
                continue
            text = who if name == "iptables" else "containers' IPv6 has no rules"
            yield failed(
                name,
                f"there is no {name}: {text}",
                expected="installed",
                when=when,
                severity=severity if name == "iptables" else Severity.RECOMMENDED,
                commands=[self._install(host)],
            )

    def _asked(self, host: Host, name: str) -> Optional[str]:
        """Return the program's name where it runs though no file shows it (NixOS, a container of programs)."""
        found = firewall.iptables(host) if name == "iptables" else None
        return found.path if found is not None else None

    def _install(self, host: Host) -> str:
        """Return the command that installs it."""
        for program, command in (
            ("apt-get", "apt-get install -y iptables"),
            ("dnf", "dnf install -y iptables-nft"),
            ("yum", "yum install -y iptables"),
            ("zypper", "zypper install -y iptables"),
            ("apk", "apk add iptables ip6tables"),
            ("pacman", "pacman -S --noconfirm iptables"),
        ):
            if files.which(host, program):
                return command
        return "apt-get install -y iptables"


class FirewallBackend(Check):
    """One back end of iptables holds all rules.

    *Why*: iptables-legacy and iptables-nft write to two rule sets of the kernel that know nothing of each other,
    and both are applied: an accept in one does not undo a drop in the other. Where the other one drops all that
    is forwarded, containers reach nobody.

    *Needs*: Which of the two `iptables` is, by the program itself or its file name; on a running host whether the
    other holds rules.

    *Fix*: update-alternatives --set iptables (and ip6tables) to the one that the host's firewall uses; reboot.
    """

    id = "firewall.backend"
    severity = Severity.RECOMMENDED
    references = (
        "https://wiki.nftables.org/wiki-nftables/index.php/Legacy_xtables_tools",
        "https://docs.docker.com/engine/network/packet-filtering-firewalls/",
        "man:xtables-nft(8)",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if engine.stage(host) == "installed" and not filters(host):
            raise NotApplicable('dockerd is told to leave iptables alone ("iptables": false)')
        native = firewall.native(host)
        found = firewall.iptables(host)
        when = host.when
        if native is not None:
            mine, path, line = "nft", native.path, native.line
            yield passed(
                "firewall-backend",
                "nftables, by dockerd itself",
                value="nftables",
                path=path,
                line=line,
                when=when,
            )
        elif found is None:
            raise NotApplicable("there is no iptables")
        else:
            mine, path = found.backend, found.path
            yield passed(
                "iptables", f"{found.backend} ({found.why})", value=found.backend, path=path, when=when
            )
            if firewall.backend_of_program(found.target) == mine:
                yield from self._ip6(host, mine, when)
        if host.kind != "live":
            return
        other = "legacy" if mine == "nft" else "nft"
        rules = firewall.saved(host, other)
        if rules is None:
            return
        subject, shown = f"iptables-{other}", firewall.SAVERS[other][0]
        drops = firewall.forwards_nothing(rules)
        if not drops and (
            not firewall.parse_rules(rules) or (other == "nft" and not firewall.has_rules(host, "legacy"))
        ):
            yield passed(subject, "holds no rules", value="empty", expected="empty")
            return
        what = "drop: containers reach nobody" if drops else "can still drop"
        yield failed(
            subject,
            f"holds rules too ({shown}): what iptables-{mine} accepts, those {what}",
            value="FORWARD DROP" if drops else "rules",
            expected="empty",
            severity=Severity.REQUIRED if drops else None,
            commands=[f"iptables-{other} -P FORWARD ACCEPT"]
            if drops
            else [
                "update-alternatives --set iptables /usr/sbin/iptables-nft",
                "update-alternatives --set ip6tables /usr/sbin/ip6tables-nft",
                "reboot",
            ],
        )

    def _ip6(self, host: Host, mine: str, when: str) -> Iterator[Finding]:
        """Say whether ip6tables has the same back end."""
        path = files.which(host, "ip6tables")
        its = firewall.backend_of_program(host.resolve(path)) if path else None
        if path is None or its is None:
            return
        if its == mine:
            yield passed("ip6tables", its, value=its, expected=mine, path=path, when=when)
        else:
            yield failed(
                "ip6tables",
                f"is {its} while iptables is {mine}: rules are in two sets",
                value=its,
                expected=mine,
                path=path,
                when=when,
                commands=[f"update-alternatives --set ip6tables /usr/sbin/ip6tables-{mine}"],
            )


class FirewallNft(Check):
    """dockerd finds the nft that its nftables back end needs.

    *Why*: With `"firewall-backend": "nftables"` dockerd 29 runs nft for each change, and does not start without.

    *Needs*: The option in daemon.json, and nft in the engine's PATH.

    *Fix*: Install the package nftables.
    """

    id = "firewall.nft"
    severity = Severity.REQUIRED
    references = ("https://docs.docker.com/engine/network/firewall-nftables/",)

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        said = firewall.native(host)
        if said is None:
            raise NotApplicable("dockerd is not set to write nftables rules itself")
        path = files.which(host, "nft")
        when = host.when
        if path is not None:
            yield passed("nft", f"{path} is there", value=path, path=path, when=when)
        else:
            yield failed(
                "nft",
                'there is no nft, and "firewall-backend" is nftables: dockerd does not start',
                expected="installed",
                path=said.path,
                line=said.line,
                when=when,
                commands=["apt-get install -y nftables || dnf install -y nftables"],
            )


class FirewallFirewalld(Check):
    """firewalld and the engine get along.

    *Why*: dockerd from 20.10 on puts its bridges into firewalld's zone `docker`, and does not start if another
    zone holds them. firewalld 2.3 with StrictForwardPorts=yes rejects the ports that docker publishes. Docker
    before 20.10 has no zone, and firewalld's nftables rules drop what it accepts.

    *Needs*: Whether firewalld is enabled, its version, firewalld.conf and the zones in /etc/firewalld.

    *Fix*: As each finding says; afterwards `firewall-cmd --reload` and a restart of docker.
    """

    id = "firewall.firewalld"
    severity = Severity.REQUIRED
    references = (
        "https://docs.docker.com/engine/network/packet-filtering-firewalls/#integration-with-firewalld",
        "https://github.com/moby/moby/issues/41609",
        "man:firewalld.conf(5)",
        "https://github.com/firewalld/firewalld/issues/534",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        there = host.exists(firewall.FIREWALLD_CONF) or host.exists("/etc/firewalld/zones")
        package = packages.installed(host, "firewalld")
        enabled = network.enabled(host, "firewalld.service", package) if there or package else None
        if not enabled:
            raise NotApplicable("firewalld is not enabled")
        before = older(host, "20.10")
        for interface, zone, source in firewall.zone_bindings(host):
            if interface != "docker0" and not interface.startswith("br-"):
                continue
            more = {
                "value": zone,
                "expected": "docker",
                "path": source.path,
                "line": source.line,
                "when": "boot",
            }
            if zone == "docker" or before:
                yield passed(f"firewalld zone of {interface}", f"in the zone {zone}", **more)
            else:
                yield failed(
                    f"firewalld zone of {interface}",
                    f"the zone {zone} holds {interface}: dockerd cannot put it into its own and does not start",
                    commands=[
                        f"firewall-cmd --permanent --zone={zone} --remove-interface={interface}",
                        "firewall-cmd --reload",
                        "systemctl restart docker",
                    ],
                    **more,
                )
        conf = firewall.conf(host, firewall.FIREWALLD_CONF)
        yield self._strict(conf.get("StrictForwardPorts"), package)
        placed = any(interface == "docker0" for interface, _zone, _source in firewall.zone_bindings(host))
        yield self._backend(conf.get("FirewallBackend"), package, before, placed)

    def _strict(self, said: Optional[tuple[str, int]], package: Optional[packages.Package]) -> Finding:
        """Judge StrictForwardPorts=, which firewalld has from 2.3 on."""
        value, line = said or ("no", 0)
        known = package is None or Version(package.version) >= Version("2.3")
        more = {
            "value": value,
            "expected": "no",
            "path": firewall.FIREWALLD_CONF,
            "line": line or None,
            "when": "boot",
        }
        if value.lower() not in ("yes", "true") or not known:
            return passed("firewalld.conf StrictForwardPorts", "published ports are let through", **more)
        return failed(
            "firewalld.conf StrictForwardPorts",
            "firewalld rejects every port that docker publishes",
            commands=[
                f"sed -i 's/^StrictForwardPorts=.*/StrictForwardPorts=no/' {firewall.FIREWALLD_CONF}",
                "firewall-cmd --reload",
            ],
            **more,
        )

    def _backend(
        self,
        said: Optional[tuple[str, int]],
        package: Optional[packages.Package],
        before: bool,
        placed: bool,
    ) -> Finding:
        """Judge FirewallBackend=, which is nftables by default from 0.6 on."""
        old = package is not None and Version(package.version) < Version("0.6")
        value, line = said or ("iptables" if old else "nftables", 0)
        more = {"value": value, "path": firewall.FIREWALLD_CONF, "line": line or None, "when": "boot"}
        if value == "nftables" and before:
            return failed(
                "firewalld.conf FirewallBackend",
                "nftables, and docker before 20.10 has no zone there: containers have no network",
                expected="iptables, or docker >= 20.10",
                severity=Severity.RECOMMENDED if placed else None,
                commands=[
                    f"sed -i 's/^FirewallBackend=.*/FirewallBackend=iptables/' {firewall.FIREWALLD_CONF}",
                    "firewall-cmd --reload",
                    "systemctl restart docker",
                ],
                **more,
            )
        return passed("firewalld.conf FirewallBackend", f"{value}: docker has its own zone there", **more)


class FirewallReload(Check):
    """A reload of the host's firewall does not take the engine's rules away.

    *Why*: firewalld and the services `iptables` and `nftables` rebuild their tables from their own files. dockerd
    puts its chains back when firewalld reloads, but what an administrator wrote into DOCKER-USER is gone, and
    after the others containers have no network until docker is restarted.

    *Needs*: Which firewall services are enabled, and whether docker is made part of them.

    *Fix*: `systemctl edit docker` with PartOf= and After= that service.
    """

    id = "firewall.reload"
    severity = Severity.INFO
    references = (
        "https://docs.docker.com/engine/network/packet-filtering-firewalls/",
        "https://github.com/moby/moby/issues/35043",
    )
    services: tuple[str, ...] = ("firewalld", "iptables", "nftables", "ferm", "shorewall", "csf", "apf")
    """Services that rebuild the tables of iptables."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if "docker" not in engine.installed(host):
            raise NotApplicable("docker is not installed")
        if not filters(host):
            raise NotApplicable('dockerd is told to leave iptables alone ("iptables": false)')
        said = False
        for service in self.services:
            # The package iptables is the program alone; its service is of iptables-services.
            names = [f"{service}-services"] if service == "iptables" else [service]
            there = packages.installed(host, *names)
            if there is None and not any(
                host.exists(f"/etc/{name}") for name in (service, f"{service}.conf")
            ):
                continue
            path = network.enabled(host, f"{service}.service", there)
            if path is None:
                continue
            if service == "nftables" and not _flushes(host):
                continue
            said = True
            if self._tied(host, service):
                yield passed(f"{service}.service", "docker restarts with it", path=path, when="boot")
                continue
            lost = "the rules in DOCKER-USER" if service == "firewalld" else "docker's rules"
            yield failed(
                f"{service}.service",
                f"a reload of {service} drops {lost} until docker is restarted",
                expected=f"docker.service PartOf={service}.service",
                path=path if path.startswith("/") else None,
                when="boot",
                severity=Severity.INFO if service == "firewalld" else Severity.RECOMMENDED,
                commands=[
                    "mkdir -p /etc/systemd/system/docker.service.d",
                    f"printf '[Unit]\\nPartOf={service}.service\\nAfter={service}.service\\n'"
                    f" > /etc/systemd/system/docker.service.d/{service}.conf",
                    "systemctl daemon-reload",
                ],
            )
        if not said:
            raise NotApplicable("no service that rebuilds iptables is enabled")

    def _tied(self, host: Host, service: str) -> bool:
        """Return whether a drop-in of docker names the service in PartOf= or BindsTo=."""
        for folder in ("/etc/systemd/system/docker.service.d", "/usr/lib/systemd/system/docker.service.d"):
            for path in files.merged_conf(host, (folder,)):
                try:
                    text = host.read(path)
                except (FileNotFoundError, PermissionError, Unavailable):
                    continue
                for line in text.splitlines():
                    key, _, value = line.partition("=")
                    if key.strip() in ("PartOf", "BindsTo") and f"{service}.service" in value.split():
                        return True
        return False


def _flushes(host: Host) -> bool:
    """Return whether the rules of nftables.service begin by dropping those of all others."""
    for path in ("/etc/nftables.conf", "/etc/sysconfig/nftables.conf", "/etc/nftables.nft"):
        for line in (files.text(host, path) or "").splitlines():
            if re.match(r"\s*flush ruleset\s*(?:;|#|$)", line):
                return True
    return False


class FirewallUfw(Check):
    """What ufw denies is denied for published ports too.

    *Why*: docker's rules for a published port come before ufw's: a container's port is open to the world although
    `ufw status` says it is denied.

    *Needs*: /etc/ufw/ufw.conf, /etc/ufw/after.rules, and `ip` and `iptables` in daemon.json.

    *Fix*: Publish on 127.0.0.1 ({"ip": "127.0.0.1"} in daemon.json), or filter in the chain DOCKER-USER.
    """

    id = "firewall.ufw"
    severity = Severity.RECOMMENDED
    references = (
        "https://docs.docker.com/engine/network/packet-filtering-firewalls/#docker-and-ufw",
        "https://github.com/chaifeng/ufw-docker",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        enabled = firewall.ufw_enabled(host)
        if enabled is None:
            raise NotApplicable("ufw is not enabled")
        if not filters(host):
            raise NotApplicable('dockerd is told to leave iptables alone ("iptables": false)')
        more = {"value": "enabled", "path": enabled.path, "line": enabled.line, "when": "boot"}
        bound = str(network.engine_option(host, "ip", "") or "")
        try:
            rules = files.text(host, "/etc/ufw/after.rules") or ""
        except Unavailable:
            rules = ""
        filtered = any(
            "DOCKER-USER" in line and not line.lstrip().startswith("#") for line in rules.splitlines()
        )
        if filtered:
            yield passed("ufw", "after.rules filters in DOCKER-USER", **more)
        elif network.is_loopback(bound):
            yield passed("ufw", f"ports are published on {bound} alone", **more)
        else:
            yield failed(
                "ufw",
                "enabled, but it does not cover the ports that docker publishes",
                expected="rules in DOCKER-USER",
                hint='publish on 127.0.0.1, put {"ip": "127.0.0.1"} in daemon.json, or filter in DOCKER-USER',
                **more,
            )


class FirewallForwardPolicy(Check):
    """The engine's DROP policy does not cut off other bridges of the host.

    *Why*: dockerd sets the policy of the chain FORWARD to DROP when it had to switch forwarding on itself, and
    br_netfilter sends the frames of other bridges (virtual machines on br0) through that chain too.

    *Needs*: A bridge of the host with other members, br_netfilter (docker before 27.3 loads it, later ones for
    `icc` or `userland-proxy` false), forwarding not set before docker starts, no `"ip-forward-no-drop"` (28.0).

    *Fix*: Set net.ipv4.ip_forward = 1 at boot, so that dockerd need not.
    """

    id = "firewall.forward_policy"
    severity = Severity.RECOMMENDED
    references = (
        "https://docs.docker.com/engine/network/packet-filtering-firewalls/#docker-on-a-router",
        "https://github.com/moby/moby/pull/48594",
        "https://wiki.libvirt.org/Net.bridge.bridge-nf-call_and_sysctl.conf.html",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        found = next(network.bridges(host), None)
        if found is None:
            raise NotApplicable("the host has no bridge of its own")
        if not filters(host) or firewall.native(host) is not None:
            raise NotApplicable("dockerd sets no policy here")
        name, source = found
        yield from self._ip6(host, name)
        more = {"value": name, "path": source.path, "line": source.line or None, "when": "boot"}
        subject = "iptables FORWARD"
        setting = sysctl.boot_setting(host, "net.ipv4.ip_forward")
        forwards = setting is not None and setting.value not in (None, "0")
        asks = any(network.engine_option(host, key, True) is False for key in ("icc", "userland-proxy"))
        loads = older(host, "27.3") or asks or "br_netfilter" in modules.loaded_at_boot(host)
        if host.kind == "live":
            loads = loads or "br_netfilter" in modules.loaded(host)
        call = sysctl.boot_setting(host, "net.bridge.bridge-nf-call-iptables")
        spared = call is not None and call.value == "0" and "br_netfilter" in modules.loaded_at_boot(host)
        if forwards or network.forwarding_source(host) is not None:
            yield passed(subject, "forwarding is on before docker starts, so it sets no policy", **more)
        elif network.engine_option(host, "ip-forward-no-drop", False) is True:
            yield passed(subject, 'dockerd is told to set no policy ("ip-forward-no-drop": true)', **more)
        elif not loads or spared:
            yield passed(subject, f"frames of {name} do not pass through iptables", **more)
        else:
            yield failed(
                subject,
                f"dockerd sets DROP, and br_netfilter sends the frames of {name} through it",
                severity=Severity.REQUIRED if host.kind == "live" and self._drops(host) else None,
                expected="net.ipv4.ip_forward = 1 at boot",
                commands=["echo 'net.ipv4.ip_forward = 1' > /etc/sysctl.d/30-forward.conf", "reboot"],
                **more,
            )

    def _drops(self, host: Host) -> bool:
        """Return whether the running kernel passes bridged frames to iptables, and drops what no rule forwards."""
        if sysctl.now(host, "net.bridge.bridge-nf-call-iptables") != "1":
            return False
        return "-P FORWARD DROP" in (firewall.forward_rules(host) or "")

    def _ip6(self, host: Host, name: str) -> Iterator[Finding]:
        """Say whether docker 27 drops the IPv6 of other bridges, which it did whatever forwarding was before."""
        number = docker_version(host)
        if number is None or not Version("27.0") <= number < Version("28.0"):
            return
        if network.engine_option(host, "ip6tables", True) is False or host.kind != "live":
            return
        key = "net.bridge.bridge-nf-call-ip6tables"
        if sysctl.now(host, key) == "1":
            yield failed(
                "ip6tables FORWARD",
                f"docker {number} sets DROP for IPv6 in every case, and the frames of {name} go through it",
                value="DROP",
                expected=f"{key} = 0, or docker 28",
                severity=Severity.REQUIRED,
                commands=[f"echo '{key} = 0' > /etc/sysctl.d/90-bridge.conf", f"sysctl -w {key}=0"],
                hint='or {"ip6tables": false} in daemon.json, or docker 28',
            )
