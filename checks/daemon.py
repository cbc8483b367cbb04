"""dockerd's settings: what they mean for the host, and what they leave open."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from hostcheck._typing import Any
from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, Unavailable, Version
from hostcheck.facts import docker

from ._daemon import DAEMON, LOOPBACK, MANY, REFERENCE, failed, host_of, judged, passed, spot, subject


class DaemonLogRotation(Check):
    """Container logs cannot fill the disk.

    *Why*: json-file, the default driver, keeps all that a container ever wrote. One that logs in a loop fills
    the disk, and dockerd with it. Options that the driver cannot read stop every container.

    *Needs*: log-driver and log-opts. `max-size` is a number with k, m or g; `max-file` is 1 or more;
    `compress` needs both. The drivers local and journald rotate by themselves.

    *Fix*: {"log-driver": "json-file", "log-opts": {"max-size": "10m", "max-file": "3"}}, or the driver local.
    It holds for containers that are made afterwards.
    """

    id = "daemon.log_rotation"
    aliases = ("docker.log_rotation",)
    severity = Severity.INFO
    references = (
        "https://docs.docker.com/engine/logging/drivers/json-file/",
        "https://github.com/moby/moby/blob/master/daemon/logger/jsonfilelog/jsonfilelog.go",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """Look at the driver and its options."""
        judgement = judged(host)
        driver = judgement.effective.get("log-driver") or "json-file"
        options = judgement.effective.get("log-opts") or {}
        where = spot(host, "log-opts", "log-driver")
        if driver not in ("json-file", "local"):
            yield passed(subject("log-driver"), f"{driver} keeps no files of its own", value=driver, **where)
            return
        wrong = list(self._wrong(driver, options))
        for name, text in wrong:
            yield failed(
                subject(f"log-opts.{name}"),
                f"no container starts: {name} of {driver} {text}",
                value=options.get(name),
                expected={"max-size": "10m", "max-file": "3"}.get(name, "true or false"),
                severity=Severity.REQUIRED,
                hint='as "log-opts": {"max-size": "10m", "max-file": "3"}',
                **spot(host, f"log-opts.{name}"),
            )
        if wrong:
            return
        size = options.get("max-size", "")
        if driver == "local" or size not in ("", "-1"):
            text = f"{size or '20m'} a file, then rotated"
            yield passed(subject("log-opts.max-size"), text, value=size or None, **where)
            return
        yield failed(
            subject("log-opts.max-size"),
            "json-file without max-size: the log of one container can fill the disk",
            value=None,
            expected="10m, or the driver local",
            hint='{"log-driver": "json-file", "log-opts": {"max-size": "10m", "max-file": "3"}} in '
            f"{docker.config_file(host)}; it holds for containers that are made afterwards",
            **where,
        )

    def _wrong(self, driver: str, options: dict[str, str]) -> Iterator[tuple[str, str]]:
        from hostcheck.facts._govalues import is_integer, parse_size  # few hosts set options

        size, files, compress = (options.get(name, "") for name in ("max-size", "max-file", "compress"))
        bytes_ = parse_size(size, "old") if size else None
        if size and (size != "-1" or driver == "local") and not bytes_:
            yield "max-size", f"is {size!r}, which is no size"
        if files and not (is_integer(files) and int(files) >= 1):
            yield "max-file", f"is {files!r}, and must be 1 or more"
        if compress and compress.lower() not in ("true", "false", "1", "0", "t", "f"):
            yield "compress", f"is {compress!r}, and must be true or false"
        elif (
            driver == "json-file"
            and compress.lower() in ("true", "1", "t")
            and (not size or files in ("", "1"))
        ):
            yield "compress", "needs max-size and a max-file of 2 or more"
        for name in ("labels-regex", "env-regex"):
            if pattern_fault(options.get(name, "")):
                yield name, f"is {options[name]!r}, which is no pattern"
        if options.get("tag", "").rpartition("{{")[1] and "}}" not in options["tag"].rpartition("{{")[2]:
            yield "tag", f"is {options['tag']!r}, a template with an open action"


OPEN_PATTERN = ("missing )", "unterminated", "unbalanced", "nothing to repeat")
"""What Python says of patterns that no other grammar takes either; Go's has escapes of its own."""


def pattern_fault(pattern: str) -> bool:
    r"""Return whether no regular expression is meant.

    >>> pattern_fault("("), pattern_fault("^(a|b)"), pattern_fault(r"\\pL")
    (True, False, False)
    """
    import re  # few hosts have one

    try:
        re.compile(pattern)
    except re.error as error:
        return any(word in str(error) for word in OPEN_PATTERN)
    return False


class DaemonTcpTls(Check):
    """The API does not listen on the network without checking certificates.

    *Why*: who reaches the port is root on the host. dockerd warns, and waits up to 15 seconds at each start
    to be heard.

    *Needs*: `hosts` of daemon.json or -H of the unit; tcp:// wants tlsverify with a CA, certificate and key.

    *Fix*: take the tcp:// address out and use `docker -H ssh://HOST`, or set tlsverify, tlscacert, tlscert, tlskey.
    """

    id = "daemon.tcp_tls"
    aliases = ("docker.tcp_tls",)
    severity = Severity.RECOMMENDED
    references = (
        "https://docs.docker.com/engine/security/protect-access/",
        "https://docs.docker.com/engine/deprecated/#unauthenticated-tcp-connections",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """Look at each address."""
        judgement = judged(host)
        effective = judgement.effective
        hosts = effective.get("hosts") or []
        verified = bool(
            effective.get("tlsverify") or (effective.get("tls") and "tlsverify" not in judgement.values)
        )
        told = False
        for number, address in enumerate(hosts[:MANY]):
            if address.startswith(("unix://", "fd://", "npipe://")) or not address.strip():
                continue
            told = True
            where = spot(host, f"hosts[{number}]")
            if verified:
                yield passed(subject("hosts"), f"{address} asks for a certificate", value=address, **where)
                continue
            name = host_of(address)
            near = name.startswith(LOOPBACK)
            yield failed(
                subject("hosts"),
                f"{address} without tlsverify: "
                + (
                    "every user of this host is root" if near else "who reaches the port is root on this host"
                ),
                value=address,
                expected="tlsverify, or no tcp://",
                hint="use docker -H ssh://HOST in place of tcp://, or set tlsverify, tlscacert, tlscert and tlskey",
                **where,
            )
        if not told:
            yield passed(subject("hosts"), "the API listens on local sockets only", **spot(host, "hosts"))


class DaemonModes(Check):
    """dockerd runs in its plain modes.

    *Why*: experimental features may change or go with any release; debug logs much, secrets of containers'
    environments among it; with no-new-privileges sudo, ping and su do nothing in any container.

    *Needs*: `experimental`, `debug`, `log-level` and `no-new-privileges`.

    *Fix*: delete them from daemon.json, if they are not meant.
    """

    id = "daemon.modes"
    aliases = ("docker.experimental", "docker.debug")
    severity = Severity.INFO
    references = (
        "https://docs.docker.com/reference/cli/dockerd/#feature-options",
        "https://docs.docker.com/engine/daemon/logs/#enable-debugging",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """Look at the two."""
        judgement = judged(host)
        debug = judgement.effective.get("debug") or str(judgement.effective.get("log-level")) in (
            "debug",
            "trace",
        )
        for key, on, text in (
            ("experimental", judgement.effective.get("experimental"), "experimental features are on"),
            ("debug", debug, "dockerd logs for debugging"),
            (
                "no-new-privileges",
                judgement.effective.get("no-new-privileges"),
                "setuid programs (sudo, su, ping) gain nothing in any container",
            ),
        ):
            where = {**spot(host, key), "value": str(bool(on)).lower()}
            if on:
                hint = f"delete {key} from {where['path']}"
                # The other two cost nothing that runs; this one stops containers that work elsewhere.
                severity = Severity.RECOMMENDED if key == "no-new-privileges" else None
                yield failed(subject(key), text, expected="false", hint=hint, severity=severity, **where)
            else:
                yield passed(subject(key), "off", **where)


class DaemonAddressPools(Check):
    """The address pools have room for networks, and none overlaps another.

    *Why*: each network takes one piece of a pool. With few pieces `docker network create` soon fails, and
    pools that overlap give fewer networks than they seem to.

    *Needs*: `default-address-pools` of daemon.json, `bip` and `fixed-cidr` beside it.

    *Fix*: a larger base or a longer size, as {"base": "10.200.0.0/16", "size": 24}.
    """

    id = "daemon.address_pools"
    aliases = ("docker.address_pools",)
    severity = Severity.RECOMMENDED
    references = ("https://docs.docker.com/engine/network/#automatic-subnet-allocation", DAEMON)
    networks: int = 2
    """Networks that the IPv4 pools must have room for, the default bridge among them."""

    def run(self, host: Host) -> Iterator[Finding]:
        """Count the pieces and compare the bases."""
        judgement = judged(host)
        pools = judgement.effective.get("default-address-pools") or []
        if not isinstance(pools, list) or not pools:
            raise NotApplicable("no address pools are configured: the built-in ones count")
        from hostcheck.facts._govalues import Address, parse_cidr  # most hosts set no pools

        seen: list[tuple[Address, int, str]] = []
        room, widest = 0, 0
        for number, pool in enumerate(pools[:MANY]):
            base = parse_cidr(str((pool or {}).get("base") or "")) if isinstance(pool, dict) else None
            if base is None:
                continue
            address, length = base
            where = spot(host, f"default-address-pools[{number}]")
            size = int(pool.get("size") or 0)
            name = f"{pool['base']} in pieces of /{size}"
            if address.family == 4 and length <= size <= 32:
                room, widest = room + (1 << (size - length)), max(widest, 33 - size)
            other = next((text for a, n, text in seen if overlap(a, n, address, length)), None)
            seen.append((address, length, str(pool["base"])))
            if other is not None:
                message = (
                    f"the pools {other} and {pool['base']} overlap: the second gives no networks of its own"
                )
                yield failed(subject("default-address-pools"), message, value=name, **where)
            else:
                yield passed(subject("default-address-pools"), name, value=name, **where)
        if widest == 1:
            yield failed(
                subject("default-address-pools"),
                "networks of /32 have one address, which the gateway takes: no container gets one",
                value="/32",
                expected="/30 or wider",
                severity=Severity.REQUIRED,
                **spot(host, "default-address-pools"),
            )
        elif widest and room < self.networks:
            yield failed(
                subject("default-address-pools"),
                f"the pools have room for {room} network{'s' * (room != 1)}, the default bridge included",
                value=room,
                expected=f"{self.networks} or more",
                hint='a larger base or a longer size, as {"base": "10.200.0.0/16", "size": 24}',
                **spot(host, "default-address-pools"),
            )


def overlap(one: Any, length: int, other: Any, others_length: int) -> bool:
    """Return whether two networks have an address in common."""
    if one.family != other.family:
        return False
    shift = one.bits - min(length, others_length)
    return bool(one.number >> shift == other.number >> shift)


class DaemonDataRoot(Check):
    """The data root is a folder that has one place.

    *Why*: images, containers and volumes live there. With a relative path dockerd hangs at its start (20.10), or
    no container finds its root (26.1). Where a file stands in the way dockerd does not start. Before 26.0 a comma in
    its name parts the path of the database of networks in two: "boltdb supports one endpoint". What file system holds
    it is `filesystem.backing`.

    *Needs*: data-root of daemon.json or of the flags.

    *Fix*: name an absolute path.
    """

    id = "daemon.data_root"
    aliases = ("docker.data_root",)
    severity = Severity.RECOMMENDED
    references = ("https://docs.docker.com/engine/daemon/#configure-the-data-directory-location", REFERENCE)

    def run(self, host: Host) -> Iterator[Finding]:
        """Look at the path."""
        version = judged(host).version
        from hostcheck.facts._daemon_rules import file_in_the_way  # judging the configuration has loaded it

        setting = docker.effective(host).get("data-root")
        if setting is None or not setting.value:
            raise NotApplicable(f"it is the default, {docker.data_root(host)}")
        root = str(setting.value)
        where = {**spot(host, "data-root"), "value": root}
        if not root.startswith("/"):
            text = f"{root} is relative: no container starts"
            expected = "an absolute path"
            yield failed(subject("data-root"), text, expected=expected, severity=Severity.REQUIRED, **where)
            return
        facts = docker.asked(host)
        file = file_in_the_way(facts, root)
        if file:
            text = f"{file} is a file: dockerd will not start"
            yield failed(subject("data-root"), text, expected="a folder", severity=Severity.REQUIRED, **where)
            return
        if "," in root and version < Version("26.0"):
            text = f"{root} has a comma, which dockerd before 26.0 takes for the end of a path: it does not start"
            expected = "a path without a comma"
            yield failed(subject("data-root"), text, expected=expected, severity=Severity.REQUIRED, **where)
            return
        found = facts.path(root)
        there = {"folder": "is a folder", "missing": "will be made by dockerd"}.get(
            found or "", "is an absolute path"
        )
        yield passed(subject("data-root"), f"{root} {there}", **where)


class DaemonNameServers(Check):
    """Containers can reach the name servers that dockerd gives them.

    *Why*: dockerd hands `dns` on as it is. A loopback address is there the container's own, where nobody answers;
    one inside the containers' own networks is looked for there, and not on the host's network.

    *Needs*: `dns`, and beside it `bip` and `default-address-pools`. The address of the bridge itself, which is the
    host's, is fine.

    *Fix*: name a server that other machines can ask too, or the address of docker0 if the host's own answers there.
    """

    id = "daemon.name_servers"
    severity = Severity.RECOMMENDED
    references = (
        "https://docs.docker.com/engine/daemon/troubleshoot/#dns-resolver-issues",
        "https://github.com/moby/moby/blob/v24.0.9/libnetwork/sandbox_dns_unix.go",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """Look at each server."""
        effective = judged(host).effective
        servers = effective.get("dns") or []
        if not servers:
            raise NotApplicable("containers get the name servers of the host")
        from hostcheck.facts._govalues import parse_addr, parse_cidr  # most hosts set none

        pools = [pool.get("base") for pool in effective.get("default-address-pools") or () if pool]
        named = [str(text) for text in (effective.get("bip"), *pools) if text]
        networks = [(text, net) for text in named if (net := parse_cidr(text)) is not None]
        bridge = str(effective.get("bip") or "").partition("/")[0]
        found = [(number, server, parse_addr(server.strip())) for number, server in enumerate(servers[:MANY])]
        if not any(address for _, _, address in found):
            raise NotApplicable("no name server is an address: dockerd refuses them")
        for number, server, address in found:
            where = {**spot(host, f"dns[{number}]"), "value": server}
            if address is None:
                continue
            inside = next((text for text, (net, n) in networks if overlap(net, n, address, address.bits)), "")
            if server.startswith("127.") or (address.number == 1 and address.family == 6):
                text = f"{server} is in every container the container itself: no name is found"
                yield failed(subject("dns"), text, expected="a server that containers reach", **where)
            elif inside and server != bridge:
                text = f"{server} lies in {inside}, the containers' own network: it is looked for there"
                yield failed(
                    subject("dns"), text, expected="a server elsewhere", severity=Severity.INFO, **where
                )
            else:
                yield passed(subject("dns"), f"{server} is asked", **where)


class DaemonUsernsRemap(Check):
    """The user whose ids containers get has ids.

    *Why*: with `userns-remap` dockerd does not start without ids for that user in /etc/subuid and /etc/subgid.
    For `default` it makes the user dockremap and its ids itself, where the programs for it are there.

    *Needs*: `userns-remap`, /etc/passwd, /etc/subuid and /etc/subgid.

    *Fix*: give the user ids: `echo dockremap:100000:65536 | tee -a /etc/subuid /etc/subgid`.
    """

    id = "daemon.userns_remap"
    severity = Severity.RECOMMENDED
    references = ("https://docs.docker.com/engine/security/userns-remap/", DAEMON)

    def run(self, host: Host) -> Iterator[Finding]:
        """Look for the ids; a missing user of another name is a matter of `docker.daemon_json`."""
        judgement = judged(host)
        value = str(judgement.effective.get("userns-remap") or "")
        if not value:
            raise NotApplicable("users are not remapped")
        user = value.partition(":")[0]
        user = "dockremap" if user == "default" else user
        facts = docker.asked(host)
        for kind in ("uid", "gid"):
            have = facts.subordinate(user, kind)
            where = {**spot(host, "userns-remap"), "value": user}
            name = f"/etc/sub{kind} {user}"
            if have is None:
                raise Unavailable("subordinate ids are not only in /etc/subuid and /etc/subgid")
            if have or user in ("root", "0"):
                yield passed(name, f"{user} has ids in /etc/sub{kind}", **where)
                continue
            yield failed(
                name,
                f"{user} has no ids in /etc/sub{kind} yet: dockerd must make them at its start",
                expected=f"{user}:100000:65536",
                commands=[f"echo {user}:100000:65536 >> /etc/sub{kind}"],
                **where,
            )


class DaemonCgroupDriver(Check):
    """The cgroup driver is the one that this host calls for.

    *Why*: with cgroup v2 and systemd two managers of one tree disagree if dockerd uses cgroupfs: limits are
    lost when systemd reloads. Without systemd, the systemd driver starts no container.

    *Needs*: native.cgroupdriver of exec-opts, the cgroup mode after the next boot, and whether systemd runs it.

    *Fix*: `"exec-opts": ["native.cgroupdriver=systemd"]` with systemd, cgroupfs without; or delete the option:
    from 20.10 on dockerd chooses.
    """

    id = "daemon.cgroup_driver"
    aliases = ("docker.cgroup_driver",)
    severity = Severity.RECOMMENDED
    references = (
        "https://docs.docker.com/engine/containers/runmetrics/#changing-cgroup-version",
        "https://kubernetes.io/docs/setup/production-environment/container-runtimes/#cgroup-drivers",
        DAEMON,
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """Compare the driver with the host."""
        judgement = judged(host)
        chosen = ""
        for option in judgement.effective.get("exec-opts") or ():
            name, _, value = option.partition("=")
            if name.strip().lower() == "native.cgroupdriver":
                chosen = value.strip()
        if not chosen:
            raise NotApplicable("no cgroup driver is set: dockerd chooses")
        facts = docker.asked(host)
        where = {**spot(host, "exec-opts"), "value": chosen}
        path = where["path"]
        name = subject("exec-opts native.cgroupdriver")
        if chosen == "systemd" and facts.systemd is False:
            yield failed(
                name,
                "the systemd cgroup driver needs systemd, which does not run this host: no container starts",
                expected="cgroupfs",
                severity=Severity.REQUIRED,
                hint=f"delete native.cgroupdriver=systemd from {path}",
                **where,
            )
        elif chosen == "cgroupfs" and facts.cgroup_version == 2 and facts.systemd:
            yield failed(
                name,
                "cgroupfs beside systemd on cgroup v2: two managers of one tree, and limits get lost",
                expected="systemd",
                hint=f"delete native.cgroupdriver=cgroupfs from {path}; dockerd then takes systemd",
                **where,
            )
        else:
            yield passed(name, f"{chosen} suits this host", **where)


class DaemonGroup(Check):
    """The group that owns dockerd's socket exists.

    *Why*: dockerd does not start where it makes the socket itself and the configured group is missing; only
    for a missing group `docker` it warns and leaves the socket to root. Behind `-H fd://` systemd makes it.

    *Needs*: `group` of daemon.json, where it is set, `hosts` and /etc/group.

    *Fix*: `groupadd --system NAME`.
    """

    id = "daemon.group"
    aliases = ("docker.group",)
    severity = Severity.RECOMMENDED
    references = (
        "https://docs.docker.com/engine/install/linux-postinstall/",
        "https://github.com/moby/moby/blob/v28.5.2/daemon/listeners/listeners_linux.go",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """Look for the group."""
        effective = judged(host).effective
        setting = docker.effective(host).get("group")
        if setting is None or not setting.value:
            raise NotApplicable("no group is configured")
        name = str(setting.value)
        where = {**spot(host, "group"), "value": name}
        hosts = [address.strip() for address in effective.get("hosts") or [""]]
        if not any(address.startswith("unix://") or not address for address in hosts):
            yield passed(subject("group"), "not looked up: dockerd makes no socket itself", **where)
            return
        # dockerd takes any number for a group, known or not.
        found = True if name.isdecimal() else docker.asked(host).group(name)
        if found is None:
            raise Unavailable("groups are not only in /etc/group")
        if found:
            yield passed(subject("group"), f"{name} exists", **where)
            return
        fatal = name != "docker"
        then = "dockerd will not start" if fatal else "only root can use the socket"
        yield failed(
            subject("group"),
            f"there is no group {name}: {then}",
            expected="a group of this host",
            severity=Severity.REQUIRED if fatal else None,
            commands=[f"groupadd --system {posixpath.basename(name)}"],
            **where,
        )
