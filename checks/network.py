"""Whether packets find their way into and out of containers."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hostcheck._typing import Optional
from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, Unavailable, Version, failed, passed
from hostcheck.facts import docker, engine, files, firewall, kubelet, modules, network, releases, sysctl
from hostcheck.facts import kernel as kernel_facts

FORWARD = "net.ipv4.ip_forward"


def mend(host: Host, key: str, value: str, setting: Optional[sysctl.Setting]) -> list[str]:
    """Return what to type so that a key has a value now and after every boot."""
    if setting is not None and setting.path == sysctl.CONF:
        # `sysctl --system` reads it last: no file in a folder can win against it.
        commands = [f"sed -i '{setting.line}s|.*|{key} = {value}|' {setting.path}"]
        return [*commands, f"sysctl -p {setting.path}"] if host.kind == "live" else commands
    name = "99-zz-containers.conf"
    taken = setting.path.rpartition("/")[2] if setting is not None else ""
    if taken >= name:
        # Whatever its name is: `_` sorts after the dot of `.conf`.
        name = taken[: -len(".conf")] + "_containers.conf"
    path = f"/etc/sysctl.d/{name}"
    commands = [f"echo '{key} = {value}' > {path}"]
    return [*commands, f"sysctl -p {path}"] if host.kind == "live" else commands


def docker_runs(host: Host) -> bool:
    """Return whether dockerd runs now: its pid file may be left from one that was killed."""
    try:
        # To look through all processes is dear, and where no docker is installed none is called so.
        return "docker" in engine.installed(host) and bool(host.pids("dockerd"))
    except (PermissionError, Unavailable):
        return False


class _Forwarding(Check):
    """What forwarding of IPv4 and IPv6 have in common."""

    engine_sets_it: bool = True
    """Whether the engine may be left to switch forwarding on itself (dockerd does; kubelet does not)."""

    def _itself(self, host: Host) -> tuple[bool, str]:
        """Return whether dockerd switches it on when it starts, and why not."""
        if not self.engine_sets_it:
            return False, "the engine does not set it"
        if "kubelet" in engine.installed(host) and "docker" not in engine.installed(host):
            return False, "kubelet does not set it"
        if network.engine_option(host, "ip-forward", True) is False:
            return False, 'dockerd is told not to set it ("ip-forward": false)'
        if firewall.native(host) is not None:
            return False, "dockerd with the nftables back end does not set it, and refuses to start without"
        return True, "dockerd sets it when it starts"

    def _judge(self, host: Host, key: str, family: str) -> Iterator[Finding]:
        """Say what a key is now, and what it will be."""
        itself, why = self._itself(host)
        setting = sysctl.boot_setting(host, key)
        fix = mend(host, sysctl.decider(host, key), "1", setting)
        value = sysctl.now(host, key) if host.kind == "live" else None
        if value is not None:
            where: dict[str, object] = {
                "path": "/proc/sys/" + sysctl.normalize(key),
                "value": value,
                "expected": "1",
            }
            if value != "0":
                yield passed(key, f"{value} now", **where)
            elif itself and not docker_runs(host):
                yield passed(key, f"0 now: {why}", **where)
            else:
                who = "though dockerd runs: something took it back" if itself else why
                yield failed(key, f"0 now, {who}; containers reach nothing outside", commands=fix, **where)
        now = f"{value} now, but " if value not in (None, "0") else ""
        if setting is not None and setting.value is not None:
            where = {
                "path": setting.path,
                "line": setting.line,
                "value": setting.value,
                "expected": "1",
                "when": "boot",
            }
            if setting.value != "0":
                yield passed(key, f"{setting.value} after the next boot", **where)
                return
            # dockerd switches it on once. The file stays, and every later `sysctl --system` (a package's
            # script, a hardening run) applies it again behind dockerd's back.
            earlier = any(
                sysctl.kernel_value(key, line.text or "") not in (None, "0") for line in setting.overridden
            )
            later = ": a later file wins" if earlier else ""
            then = "; what dockerd sets, each `sysctl --system` takes back" if itself else f"; {why}"
            yield failed(key, f"{now}0 after the next boot{later}{then}", commands=fix, **where)
            return
        source = network.forwarding_source(host, family)
        if source is not None:
            yield passed(
                key, "set at boot", value="1", expected="1", path=source.path, line=source.line, when="boot"
            )
        elif itself:
            yield passed(key, f"nothing sets it at boot: {why}", expected="1", when="boot")
        else:
            unread = sysctl.own_conf(host).get(key)
            refused = f"the kernel refuses {setting.text!r}" if setting is not None else "nothing sets it"
            path, line = (setting.path, setting.line) if setting is not None else (None, None)
            if unread is not None and setting is None:
                refused = "systemd does not read the file that sets it"
                path, line = unread.source.path, unread.source.line
            yield failed(
                key,
                f"{now}0 after the next boot: {refused}; {why}",
                value="0",
                expected="1",
                path=path,
                line=line,
                when="boot",
                commands=fix,
            )


class NetworkIpForward(_Forwarding):
    """IPv4 packets are forwarded between interfaces, now and after the next boot.

    *Why*: Without forwarding containers reach neither each other's networks nor the world, and published ports
    do not answer. dockerd with iptables switches it on when it starts, but a file that sets 0 switches it off
    again with the next `sysctl --system`. dockerd with `"ip-forward": false` leaves it alone, with the nftables
    back end (29.0) it refuses to start, and kubeadm refuses too.

    *Needs*: /proc/sys/net/ipv4/ip_forward, and the sysctl.d folders. net.ipv4.conf.all.forwarding is another
    name of the same switch.

    *Fix*: Set net.ipv4.ip_forward = 1 in a file of /etc/sysctl.d that sorts last.
    """

    id = "network.ip_forward"
    severity = Severity.REQUIRED
    references = (
        "https://docs.docker.com/engine/network/packet-filtering-firewalls/",
        "https://github.com/moby/moby/blob/v28.5.2/daemon/libnetwork/drivers/bridge/setup_ip_forwarding.go",
        "https://github.com/moby/moby/pull/50646",
        "https://docs.kernel.org/networking/ip-sysctl.html",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        return self._judge(host, FORWARD, "ipv4")


class NetworkIpv6Forward(_Forwarding):
    """IPv6 packets are forwarded between interfaces where containers have IPv6.

    *Why*: As for IPv4. What forwarding does to a route that a router has advertised, routes.advertised says.

    *Needs*: `"ipv6": true` in daemon.json, else this does not apply.

    *Fix*: Set net.ipv6.conf.all.forwarding = 1 in a file of /etc/sysctl.d that sorts last.
    """

    id = "network.ipv6_forward"
    severity = Severity.REQUIRED
    references = (
        "https://docs.docker.com/engine/daemon/ipv6/",
        "https://github.com/moby/moby/blob/v28.5.2/daemon/libnetwork/drivers/bridge/setup_ip_forwarding.go",
        "https://docs.kernel.org/networking/ip-sysctl.html",
    )
    ipv6: bool = False
    """Whether containers need IPv6 even if daemon.json does not say so."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if not self.ipv6 and network.engine_option(host, "ipv6", False) is not True:
            raise NotApplicable("no container network with IPv6 is configured")
        for key in ("net.ipv6.conf.all.forwarding", "net.ipv6.conf.default.forwarding"):
            yield from self._judge(host, key, "ipv6")


MODULE = "br_netfilter"
LOAD = f"echo {MODULE} > /etc/modules-load.d/{MODULE}.conf"


def bridge_keys_at_boot(host: Host) -> tuple[bool, Optional[files.Source], str]:
    """Return whether net.bridge.* exists when sysctls are set at boot, what makes it so, and in words."""
    asked = modules.loaded_at_boot(host).get(MODULE)
    if asked is not None:
        return True, asked, f"{MODULE} is loaded at boot"
    try:
        upcoming = kernel_facts.kernels(host)[-1]
        number = releases.version_of(upcoming.release)
        if number is not None and number < Version("3.18"):
            return True, None, "bridge itself has the keys in kernels before 3.18"
        if modules.loadable(host, upcoming, MODULE, "BRIDGE_NETFILTER").state == "builtin":
            return True, None, f"{MODULE} is built into the kernel"
    except (FileNotFoundError, Unavailable):
        pass
    for rule in modules.rules(host):
        if rule.name == MODULE and "sysctl" in rule.text:
            return True, rule.source, "modprobe.d sets them when the module is loaded"
    for path in files.merged_conf(
        host, ("/etc/udev/rules.d", "/usr/lib/udev/rules.d", "/lib/udev/rules.d"), ".rules"
    ):
        try:
            text = host.read(path)
        except (FileNotFoundError, PermissionError, Unavailable):
            continue
        for number_of_line, line in enumerate(text.splitlines(), 1):
            if MODULE in line and "sysctl" in line and not line.lstrip().startswith("#"):
                return (
                    True,
                    files.Source(path, number_of_line),
                    "a udev rule sets them when the module is loaded",
                )
    return False, None, f"nothing loads {MODULE} at boot"


SWITCHED_OFF = (
    ("bridge", "none", "containers have no network but those that `docker network create` makes"),
    (
        "ip-masq",
        False,
        "containers reach no other machine but those that have a route back to their network",
    ),
    (
        "iptables",
        False,
        "containers reach no other machine, and published ports answer only where docker-proxy serves them, unless"
        " rules of your own see to it",
    ),
)
"""Settings that take the default network's ways out or in: key, value, and what follows."""


class NetworkDefaultBridge(Check):
    """The default network of docker leads out, and published ports lead in.

    *Why*: with `bridge` none, `ip-masq` false or `iptables` false containers start and reach nothing, and are
    not reached. That is right where something else makes their network, as for Kubernetes.

    *Needs*: the three settings at their defaults, or a kubelet on this host, whose network is not docker's.

    *Fix*: take the setting out; or waive this where the network is made otherwise.
    """

    id = "network.default_bridge"
    severity = Severity.RECOMMENDED
    references = (
        "https://docs.docker.com/engine/network/packet-filtering-firewalls/#prevent-docker-from-manipulating-iptables",
        "https://docs.docker.com/engine/network/drivers/bridge/",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        docker.relevant(host)
        docker.effective(host)
        kubelet = "kubelet" in engine.installed(host)
        for key, off, follows in SWITCHED_OFF:
            subject = f"daemon.json {key}"
            value = network.engine_option(host, key)
            if value != off or value is None:
                yield passed(subject, "leads out and in", value=value, when="boot")
                continue
            path, line = docker.where(host, key)
            more: dict[str, object] = {"value": str(off).lower(), "path": path, "line": line, "when": "boot"}
            if kubelet:
                yield passed(subject, "the kubelet's network takes its place", **more)
            elif key == "iptables" and self._own_rules(host):
                yield passed(subject, "rules of the host's own take its place", **more)
            else:
                hint = f"take {key} out of {path}, or waive this where the network is made otherwise"
                # Nothing else masquerades: what stands in for dockerd's rules would have to be a script.
                severity = Severity.REQUIRED if key == "iptables" else None
                yield failed(subject, follows, expected="not set", hint=hint, severity=severity, **more)

    def _own_rules(self, host: Host) -> bool:
        """Return whether a file of rules masquerades what leaves the host."""
        zones = "/etc/firewalld/zones"
        for path in (*OWN_RULES, *(f"{zones}/{name}" for name in files.names(host, zones))):
            try:
                if re.search(r"(?im)^(?!\s*#).*\bmasquerade\b", files.text(host, path) or ""):
                    return True
            except (PermissionError, Unavailable):
                continue
        return False


OWN_RULES = (
    "/etc/nftables.conf",
    "/etc/sysconfig/nftables.conf",
    "/etc/iptables/rules.v4",
    "/etc/sysconfig/iptables",
    "/etc/ufw/before.rules",
    "/etc/ufw/after.rules",
)
"""Where administrators keep rules that do what dockerd is told to leave."""


class NetworkBridgeNfCall(Check):
    """Bridged packets pass through iptables where the engine needs it, and settings of that are not lost.

    *Why*: Kubernetes' services and docker's `icc: false` filter packets that only cross a bridge. The keys
    net.bridge.* exist only while br_netfilter is loaded: a file that sets them earlier in the boot is passed
    over without a word, and the module then comes with its own default, 1.

    *Needs*: The sysctl.d folders, modules-load.d, udev's rules. Docker alone needs nothing set: it loads the
    module and sets the keys when a network asks for it (from 27.3 only with `icc` or `userland-proxy` false).
    k3s and rke2 without kube-proxy do not need them either, and hosts with guests on bridges want 0 there.

    *Fix*: Name br_netfilter in /etc/modules-load.d.
    """

    id = "network.bridge_nf_call"
    severity = Severity.REQUIRED
    references = (
        "man:sysctl.d(5)",
        "https://github.com/moby/moby/pull/48492",
        "https://kubernetes.io/docs/setup/production-environment/container-runtimes/",
        "https://wiki.libvirt.org/Net.bridge.bridge-nf-call_and_sysctl.conf.html",
        "https://github.com/k3s-io/k3s/issues/14022",
    )
    needed: bool = False
    """Whether the keys must be 1 and br_netfilter loaded at boot (Kubernetes with iptables or a bridge CNI)."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        needed = self.needed and kubelet.kube_proxy_off(host) is None
        for name in ("iptables", "ip6tables", "arptables"):
            key = f"net.bridge.bridge-nf-call-{name}"
            setting = sysctl.boot_setting(host, key)
            if name == "arptables" and setting is None:
                continue
            if needed and name != "arptables":
                severity = None if name == "iptables" else Severity.RECOMMENDED
                yield from self._must(host, key, setting, severity)
            else:
                yield self._may(host, key, setting)

    def _must(
        self, host: Host, key: str, setting: Optional[sysctl.Setting], severity: Optional[Severity]
    ) -> Iterator[Finding]:
        """Say whether it is 1 now and at boot."""
        more = {"expected": "1", "severity": severity}
        ready, source, why = bridge_keys_at_boot(host)
        fix = [LOAD, *mend(host, key, "1", setting)]
        if host.kind == "live":
            value = sysctl.now(host, key)
            if value == "1":
                yield passed(key, "1 now", value=value, **more)
            else:
                text = f"not there now: {MODULE} is not loaded" if value is None else f"{value} now"
                load = [LOAD, f"modprobe {MODULE}", *fix[1:]]
                yield failed(key, f"{text}; pods do not reach services", value=value, commands=load, **more)
        where = {"path": setting.path, "line": setting.line} if setting is not None else {}
        if setting is not None and setting.value == "0" and ready:
            text = "0 after the next boot: pods do not reach services"
            yield failed(key, text, value="0", when="boot", commands=fix, **where, **more)
        elif not ready:
            text = f"not there after the next boot: {why}"
            yield failed(key, text, when="boot", commands=fix, **where, **more)
        else:
            if setting is None and source is not None:
                where = {"path": source.path, "line": source.line}
            yield passed(key, f"1 after the next boot: {why}", value="1", when="boot", **where, **more)

    def _may(self, host: Host, key: str, setting: Optional[sysctl.Setting]) -> Finding:
        """Say whether what a file sets will have an effect; nothing need be set."""
        if setting is None or setting.value is None:
            return passed(key, f"nothing sets it: docker loads {MODULE} when a network needs it", when="boot")
        more = {"value": setting.value, "path": setting.path, "line": setting.line, "when": "boot"}
        ready, _, why = bridge_keys_at_boot(host)
        if setting.value != "0":
            text = (
                f"1 after the next boot: {why}"
                if ready
                else "set too early, but 1 is what the module comes with"
            )
            return passed(key, text, **more)
        if not ready and setting.path is not None and setting.path.startswith(("/usr/lib/", "/lib/")):
            return passed(key, "0 by the distribution's own file, which nobody here counts on", **more)
        if not ready:
            text = f"the 0 is lost at boot: {why}, and later it comes with 1"
            more["expected"] = f"{MODULE} loaded before sysctls are set"
            return failed(key, text, commands=[LOAD], **more)
        for option in ("icc", "userland-proxy"):
            if network.engine_option(host, option, True) is False and not key.endswith("arptables"):
                text = f'0, but dockerd needs 1 for "{option}": false, and `sysctl --system` takes it back'
                more["expected"] = "1"
                fix = mend(host, key, "1", setting)
                return failed(key, text, severity=Severity.RECOMMENDED, commands=fix, **more)
        return passed(key, "0 after the next boot, which docker does not mind", **more)
