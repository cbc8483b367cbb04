"""Containers without root: what the users who run them must have been given."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, Unavailable, Version, failed, passed
from hostcheck.facts import (
    cgroup,
    engine,
    firewall,
    kernel,
    modules,
    mounts,
    packages,
    rootless,
    security,
    sysctl,
    systemd,
)
from hostcheck.facts import os as os_facts
from hostcheck.facts.files import names, text
from hostcheck.facts.rootless import Evidence, User
from hostcheck.facts.versions import parse_package_version, version

DOCS = "https://docs.docker.com/engine/security/rootless"
TOOL = "https://github.com/moby/moby/blob/master/contrib/dockerd-rootless-setuptool.sh"
SCRIPT = "https://github.com/moby/moby/blob/master/contrib/dockerd-rootless.sh"


def relevant(host: Host, needed: str) -> tuple[Evidence, ...]:
    """Return what shows that users run containers without root.

    Raises:
        NotApplicable: nothing does and the policy does not ask for it, or it says that nobody will.

    """
    if needed == "no":
        raise NotApplicable("no user is to run containers without root")
    found = rootless.evidence(host)
    if not found and needed != "yes":
        raise NotApplicable("no user runs containers without root here")
    return found


def _because(found: tuple[Evidence, ...]) -> str:
    return found[0].why if found else "the policy asks for it"


def _package(host: Host, *known: str) -> packages.Package | None:
    try:
        return packages.installed(host, *known)
    except (PermissionError, Unavailable):
        return None


def _docker_version(host: Host) -> Version | None:
    found = engine.docker_version(host)
    if found is None:
        package = _package(host, "docker-ce-rootless-extras")
        found = parse_package_version(package.version, package.manager).version if package else None
    return found


class RootlessUidmap(Check):
    """A user's engine may set up the ids of its containers.

    *Why*: a user may map only one id into a user namespace. newuidmap and newgidmap map the others for them, and
    can do so only with root's rights; without, `rootlesskit` ends with `newuidmap: write to uid_map failed`.

    *Needs*: both programs, owned by root, setuid or with file capabilities, on a file system without nosuid.
    Capabilities cannot be read from a tree; there what an rpm package brought counts.

    *Fix*: install uidmap (Debian, Ubuntu), shadow-utils (Red Hat), or shadow-uidmap (Alpine); do not copy them.
    """

    id = "rootless.uidmap"
    severity = Severity.REQUIRED
    references = (
        f"{DOCS}/#prerequisites",
        TOOL,
        "https://man7.org/linux/man-pages/man1/newuidmap.1.html",
        "https://github.com/rootless-containers/rootlesskit#setup",
    )
    needed: str = "auto"
    """Whether users run containers without root: `yes`, `no`, or `auto` for what their files show."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        found = relevant(host, self.needed)
        for name in ("newuidmap", "newgidmap"):
            yield self._program(host, name, found)

    def _program(self, host: Host, name: str, found: tuple[Evidence, ...]) -> Finding:
        path = rootless.program(host, name)
        more: dict[str, Any] = {"expected": "setuid, or with capabilities", "path": path}
        more["when"] = host.when
        hint = "install uidmap (Debian, Ubuntu), shadow-utils (Red Hat, Fedora) or shadow-uidmap (Alpine)"
        if path is None:
            if _package(host, "uidmap", "shadow-uidmap"):
                return passed(name, "its package is installed", value="installed", **more)
            text_ = f"not installed: no user's engine starts ({_because(found)})"
            return failed(name, text_, value="missing", hint=hint, **more)
        stat = host.stat(path)
        if host.kind != "live" and host.exists("/etc") and host.stat("/etc").uid != 0:
            raise Unavailable("this tree was not unpacked by root, so owners and setuid bits are lost")
        mend = [f"chown root:root {path}", f"chmod u+s {path}"]
        if stat.uid != 0:
            text_ = f"belongs to user {stat.uid}, not root: no user's engine starts with it"
            return failed(name, text_, value=f"uid {stat.uid}", commands=mend, hint=hint, **more)
        mount = mounts.now(host, path) if host.kind == "live" else mounts.boot(host, path)
        if mount is not None and "nosuid" in mount.options:
            text_ = f"lies on {mount.point}, which is nosuid: no user's engine starts"
            hint = f"take nosuid from the mount of {mount.point}"
            return failed(name, text_, value="nosuid", hint=hint, **{**more, "line": None})
        if stat.mode & 0o4000:
            return passed(name, "setuid root", value=f"{stat.mode & 0o7777:04o}", **more)
        if self._capable(host, path):
            return passed(name, "has file capabilities", value="capabilities", **more)
        text_ = "neither setuid nor with capabilities: no user's engine starts"
        return failed(name, text_, value=f"{stat.mode & 0o7777:04o}", commands=mend, **more)

    def _capable(self, host: Host, path: str) -> bool:
        """Return whether a program has file capabilities.

        Raises:
            Unavailable: nothing tells.

        """
        # A file in somebody's home was copied, and a copy has none; Debian's packages set the bit.
        if path.startswith("/home/") or _package(host, "uidmap"):
            if host.kind != "live":
                return False
        elif host.kind != "live":
            if _package(host, "shadow-utils", "shadow"):
                return True
            raise Unavailable(f"{path} is not setuid, and its capabilities cannot be read from a tree")
        try:
            return "cap_set" in host.run("getcap", path).out
        except (FileNotFoundError, Unavailable):
            if path.startswith("/home/"):
                return False
            raise Unavailable(
                f"{path} is not setuid, and there is no getcap to ask for capabilities"
            ) from None


class RootlessSubid(Check):
    """Users who run containers without root have ids to give to them.

    *Why*: a container has 65536 users. Without that many subordinate ids docker's tool refuses (`No subuid ranges
    found for user`), and podman cannot unpack most images. Users who share ids can reach each other's files.

    *Needs*: 65536 ids for each such user in /etc/subuid and in /etc/subgid, that overlap nobody else's.

    *Fix*: `usermod --add-subuids FIRST-LAST --add-subgids FIRST-LAST USER`.
    """

    id = "rootless.subid"
    severity = Severity.REQUIRED
    references = (f"{DOCS}/#prerequisites", TOOL, "https://man7.org/linux/man-pages/man5/subuid.5.html")
    needed: str = "auto"
    """Whether users run containers without root: `yes`, `no`, or `auto` for what their files show."""
    minimum: int = 65536
    """Ids that each user must have."""
    users: tuple[str, ...] = ()
    """Names of further users who are to run containers."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        found = relevant(host, self.needed)
        judged = {user.name: user for user in rootless.rootless_users(host)}
        known = {user.name: user for user in rootless.users(host)}
        judged.update({name: known[name] for name in self.users if name in known})
        if not judged:
            # Nobody is known to run any yet: one user who could is enough.
            judged = {
                user.name: user
                for user in known.values()
                if user.uid is not None and 1000 <= user.uid < 60000 and user.name != "nobody"
            }
            if not judged:
                raise NotApplicable("there is no user yet; useradd gives each new one 65536 ids")
        sure = bool(found or self.users)
        for kind in ("subuid", "subgid"):
            everybody = rootless.ranges(host, kind)
            for user in judged.values():
                docker = any(e.user == user and e.engine != "podman" for e in found) or self.needed == "yes"
                yield self._enough(host, kind, user, everybody, sure, docker)
            yield from self._overlaps(kind, everybody, judged)

    def _enough(
        self,
        host: Host,
        kind: str,
        user: User,
        everybody: tuple[rootless.Range, ...],
        sure: bool,
        docker: bool,
    ) -> Finding:
        own = rootless.ranges_of(host, kind, user)
        total = sum(each.size for each in own)
        first = own[0].source if own else None
        more: dict[str, Any] = {
            "value": total, "expected": f">= {self.minimum}", "when": "boot",
            "path": first.path if first else f"/etc/{kind}", "line": first.line if first else None,
        }  # fmt: skip
        subject = f"{kind} {user.name}"
        if total >= self.minimum:
            return passed(subject, f"{user.name} has {total} ids", **more)
        start = max([99999, *(each.last for each in everybody)]) + 1
        span = f"{start}-{start + self.minimum - 1}"
        flag = "--add-subuids" if kind == "subuid" else "--add-subgids"
        severity = None if docker and sure else Severity.RECOMMENDED if sure else Severity.INFO
        return failed(
            subject,
            f"{user.name} has {total} ids in /etc/{kind}, fewer than {self.minimum}: containers do not start",
            commands=[f"usermod {flag} {span} {user.name}"],
            severity=severity,
            **more,
        )

    def _overlaps(
        self, kind: str, everybody: tuple[rootless.Range, ...], judged: dict[str, User]
    ) -> Iterator[Finding]:
        alias = {str(user.uid): name for name, user in judged.items() if user.uid is not None}
        ordered = sorted((each for each in everybody if each.size), key=lambda each: each.first)
        for one, two in zip(ordered, ordered[1:]):
            owners = [alias.get(each.owner, each.owner) for each in (one, two)]
            if two.first > one.last or owners[0] == owners[1] or not set(owners) & set(judged):
                continue
            yield failed(
                f"{kind} {owners[1]}",
                f"shares ids from {two.first} on with {owners[0]}: they can reach each other's files",
                value=f"{two.first}:{two.size}",
                expected="ids of its own",
                path=two.source.path,
                line=two.source.line,
                when="boot",
                severity=Severity.RECOMMENDED,
                hint=f"give {owners[1]} a range that begins after everybody else's, and pull its images anew",
            )


class RootlessLinger(Check):
    """Users' containers run without a session.

    *Why*: without lingering a user's manager starts at the first login and ends with the last session; the engine
    and its containers with it. After a boot nothing runs until somebody logs in.

    *Needs*: a file with the user's name in /var/lib/systemd/linger, where units of theirs are to start by
    themselves.

    *Fix*: `loginctl enable-linger USER`.
    """

    id = "rootless.linger"
    severity = Severity.RECOMMENDED
    references = (
        f"{DOCS}/tips/#daemon",
        "https://www.freedesktop.org/software/systemd/man/latest/loginctl.html",
    )
    needed: str = "auto"
    """Whether users run containers without root: `yes`, `no`, or `auto` for what their files show."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        found = relevant(host, self.needed)
        said: dict[str, Evidence] = {}
        for each in found:
            if each.at_boot and each.user:
                said.setdefault(each.user.name, each)
        if not said:
            raise NotApplicable("no user has a unit that is to start by itself")
        for name, each in said.items():
            if each.user is None:
                continue
            path = rootless.lingers(host, each.user)
            more: dict[str, Any] = {"expected": "lingers", "when": "boot"}
            if path:
                yield passed(f"linger {name}", f"{name} lingers", value="lingers", path=path, **more)
            else:
                yield failed(
                    f"linger {name}",
                    f"{name} does not linger: {each.engine} stops at logout, and does not start at boot",
                    value="does not linger",
                    path=each.path,
                    commands=[f"loginctl enable-linger {name}"],
                    **more,
                )


CONTROLLERS = (
    ("cpu", Severity.RECOMMENDED, "--cpus and --cpu-shares fail or are ignored"),
    ("memory", Severity.RECOMMENDED, "--memory is ignored"),
    ("pids", Severity.RECOMMENDED, "--pids-limit is ignored"),
    ("cpuset", Severity.INFO, "--cpuset-cpus is ignored"),
    ("io", Severity.INFO, "--device-read-bps and its kin are ignored"),
)
"""Controller, how much it matters, and what is lost without it."""


class RootlessDelegation(Check):
    """Users who run containers without root can limit them.

    *Why*: a user's engine can set only the limits whose controllers systemd hands to user@.service; up to 251
    those are memory and pids, from 252 on cpu too. On cgroup v1 it can set none.

    *Needs*: cgroup v2; cpu, memory and pids in Delegate= of user@.service. cpuset and io are worth knowing.

    *Fix*: a drop-in for user@.service with `Delegate=cpu cpuset io memory pids`.
    """

    id = "rootless.delegation"
    severity = Severity.RECOMMENDED
    references = (
        f"{DOCS}/tips/#limiting-resources",
        "https://rootlesscontaine.rs/getting-started/common/cgroup2/",
        "https://github.com/systemd/systemd/blob/v252/NEWS",
    )
    needed: str = "auto"
    """Whether users run containers without root: `yes`, `no`, or `auto` for what their files show."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        relevant(host, self.needed)
        mode = host.fact(cgroup.mode)
        value = mode.boot or (mode.now if host.kind == "live" else None)
        if value is None:
            raise Unavailable("the cgroup mode is not known: see cgroup.mode")
        more: dict[str, Any] = {"when": "boot", "path": mode.path, "line": mode.line}
        if value in ("v1", "hybrid"):
            yield failed(
                "cgroup mode",
                f"cgroup {value}: a user's containers have no limits of memory, processors or processes",
                value=value, expected="v2", hint="boot with cgroup v2: see cgroup.mode", **more,
            )  # fmt: skip
            return
        yield passed("cgroup mode", value, value=value, expected="v2", **more)
        if mode.init not in (None, "systemd"):
            raise NotApplicable(f"only systemd hands cgroups to users, and this host has {mode.init}")
        if host.kind == "live":
            yield from self._now(host)
        yield from self._boot(host)

    def _now(self, host: Host) -> Iterator[Finding]:
        """Judge what users who are logged in have been handed: those who run containers, else the first."""
        top = f"{cgroup.TOP}/user.slice"
        theirs = [str(user.uid) for user in rootless.rootless_users(host) if user.uid is not None]
        if not theirs:
            theirs = [
                name[len("user-") : -len(".slice")] for name in names(host, top) if name[-6:] == ".slice"
            ]
        for uid in theirs:
            path = f"{top}/user-{uid}.slice/user@{uid}.service/cgroup.controllers"
            content = text(host, path)
            # Root's own manager has everything.
            if content is not None and uid != "0":
                yield from self._judge(frozenset(content.split()), path, 1, "now")
                return

    def _boot(self, host: Host) -> Iterator[Finding]:
        unit = systemd.unit(host, "user@1000.service")
        setting = unit.get("DelegateControllers") or unit.get("Delegate") if unit else None
        if setting is not None:
            words = setting.value.split()
            every = words[:1] in (["yes"], ["true"], ["1"], ["on"])
            given = frozenset(name for name, _, _ in CONTROLLERS) if every else frozenset(words)
            yield from self._judge(given, setting.path, setting.line, "boot")
            return
        number = systemd.version(host)
        if number is None:
            raise Unavailable("no user@.service and no version of systemd is to be seen")
        own = ("memory", "pids", "cpu") if number >= 252 else ("memory", "pids")
        yield from self._judge(frozenset(own), None, None, "boot")

    def _judge(
        self, given: frozenset[str], path: str | None, line: int | None, when: str
    ) -> Iterator[Finding]:
        for name, severity, loss in CONTROLLERS:
            more: dict[str, Any] = {"expected": "delegated", "path": path, "line": line, "when": when}
            if name in given:
                yield passed(f"user@.service {name}", f"{name} is handed to users", value="delegated", **more)
            else:
                yield failed(
                    f"user@.service {name}",
                    f"{name} is not handed to users: {loss} without root",
                    value=" ".join(sorted(given)),
                    severity=severity,
                    commands=[
                        "mkdir -p /etc/systemd/system/user@.service.d",
                        "printf '[Service]\\nDelegate=cpu cpuset io memory pids\\n'"
                        " > /etc/systemd/system/user@.service.d/delegate.conf",
                        "systemctl daemon-reload",
                    ],
                    **more,
                )


class RootlessOverlay(Check):
    """A user's engine can stack the layers of images.

    *Why*: up to 5.10 the kernel lets only root mount overlay. Engines then fall back to fuse-overlayfs, or to full
    copies of each layer (vfs) where that is not installed; docker from 29 on does not fall back at all, and no
    image can be unpacked.

    *Needs*: kernel 5.11, or one that its distribution taught it (Ubuntu, RHEL from 8.5 on, Debian with the option
    permit_mounts_in_userns of overlay); else fuse-overlayfs, and for docker 29 `containerd-snapshotter` false.

    *Fix*: a newer kernel; or install fuse-overlayfs.
    """

    id = "rootless.overlay"
    severity = Severity.REQUIRED
    references = (
        f"{DOCS}/troubleshoot/",
        "https://docs.docker.com/engine/storage/drivers/select-storage-driver/",
        "https://www.redhat.com/en/blog/podman-rootless-overlay",
        "https://github.com/torvalds/linux/commit/459c7c565ac36ba09ffbf24231147f408fde4203",
    )
    needed: str = "auto"
    """Whether users run containers without root: `yes`, `no`, or `auto` for what their files show."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        found = relevant(host, self.needed)
        fuse = rootless.program(host, "fuse-overlayfs") or _package(host, "fuse-overlayfs")
        for each in kernel.kernels(host):
            why = self._allowed(host, each)
            more: dict[str, Any] = {
                "value": each.release, "expected": ">= 5.11", "when": each.when,
                "path": each.path, "line": each.line,
            }  # fmt: skip
            if why:
                yield passed("overlay", f"{each.release} lets users mount overlay: {why}", **more)
                continue
            docker = _docker_version(host)
            store = self._containerd_store(host, found) if docker and docker >= Version("29") else ""
            if store:
                yield failed(
                    "overlay",
                    f"kernel {each.release} lets only root mount overlay: docker {docker} unpacks no image",
                    hint=f'a kernel from 5.11 on; or in {store}: "features": {{"containerd-snapshotter": false}}, '
                    '"storage-driver": "fuse-overlayfs"',
                    **more,
                )
            elif fuse:
                text_ = f"{each.release} lets only root mount overlay; fuse-overlayfs is there"
                yield passed("overlay", text_, **more)
            else:
                yield failed(
                    "overlay",
                    f"kernel {each.release} lets only root mount overlay: each layer is copied in full (vfs)",
                    severity=Severity.RECOMMENDED,
                    hint="install the package fuse-overlayfs, or boot a kernel from 5.11 on",
                    **more,
                )

    def _allowed(self, host: Host, each: kernel.Kernel) -> str:
        number = kernel.version_of(each.release)
        if number is None or number >= Version("5.11"):
            return "5.11 or newer" if number else "its version is not known"
        if re.fullmatch(
            r"\d+\.\d+\.\d+-\d+-(generic|lowlatency|aws|azure|gcp|oracle|kvm|raspi)", each.release
        ):
            return "Ubuntu's kernels do"
        try:
            if "ubuntu" in os_facts.os_release(host).family:
                return "Ubuntu's kernels do"
        except (OSError, Unavailable):
            pass
        # Red Hat carried it back to 8.5, whose kernel is 4.18.0-348.
        carried = re.match(r"4\.18\.0-(\d+).*\.el8", each.release)
        if carried and int(carried.group(1)) >= 348:
            return "Red Hat carried it back"
        if any(
            rule.keyword == "options" and rule.name == "overlay" and "permit_mounts_in_userns=1" in rule.text
            for rule in modules.rules(host)
        ):
            return "permit_mounts_in_userns=1"
        if each.when == "now":
            said = text(host, "/sys/module/overlay/parameters/permit_mounts_in_userns")
            if said and said[:1] in "Y1":
                return "permit_mounts_in_userns is on"
        return ""

    def _containerd_store(self, host: Host, found: tuple[Evidence, ...]) -> str:
        """Return the daemon.json of a user whose docker 29 keeps its images in containerd's store, empty if none."""
        # Imported here: only hosts with docker 29 and an old kernel come so far.
        import json

        theirs = [e.user for e in found if e.user and e.engine == "docker"]
        if not theirs:
            return "" if found else "~/.config/docker/daemon.json"
        for user in theirs:
            path = f"{user.home}/.config/docker/daemon.json"
            try:
                said = json.loads(text(host, path) or "{}")
            except (ValueError, OSError, Unavailable, RecursionError):
                said = {}
            said = said if isinstance(said, dict) else {}
            features = said.get("features")
            off = isinstance(features, dict) and features.get("containerd-snapshotter") is False
            old = ("fuse-overlayfs", "vfs", "btrfs")
            # What an earlier release left there is kept in use (moby's daemon/graphdriver, HasPriorDriver).
            prior = any(rootless.is_there(host, f"{user.home}/.local/share/docker/{name}") for name in old)
            if not off and not prior and said.get("storage-driver") not in old:
                return path
        return ""


FUSE_CONFIGS = ("/etc/containers/storage.conf", "/usr/share/containers/storage.conf")


class RootlessFuse(Check):
    """Whoever is set to fuse-overlayfs can open /dev/fuse.

    *Why*: with `mount_program = fuse-overlayfs` every mount of a layer goes through /dev/fuse; where the module is
    not there builds and containers end with `fuse: device not found`.

    *Needs*: /dev/fuse now; for the next boot the module fuse, built in or loadable.

    *Fix*: `echo fuse > /etc/modules-load.d/fuse.conf && modprobe fuse`.
    """

    id = "rootless.fuse"
    severity = Severity.REQUIRED
    references = (
        "https://github.com/containers/fuse-overlayfs",
        "https://github.com/containers/storage/blob/main/docs/containers-storage.conf.5.md",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        said = next(self._asked(host), None)
        if said is None:
            raise NotApplicable("nothing is set to fuse-overlayfs")
        path, line = said
        more: dict[str, Any] = {"path": path, "line": line, "expected": "there"}
        command = "echo fuse > /etc/modules-load.d/fuse.conf && modprobe fuse"
        if host.kind == "live":
            if host.exists("/dev/fuse"):
                yield passed("/dev/fuse", "there", value="there", when="now", **more)
            else:
                text_ = "not there, and fuse-overlayfs is what mounts layers: builds and containers fail"
                yield failed("/dev/fuse", text_, value="missing", when="now", commands=[command], **more)
        for each in kernel.kernels(host):
            # Both names of one kernel: what boots again is judged as what boots.
            found = modules.loadable(host, each._replace(when="boot"), "fuse", "FUSE_FS")
            if found.usable:
                yield passed("fuse", f"{each.release}: {found.why}", value=found.state, when="boot", **more)
            elif host.kind != "live" or each.when == "boot":
                text_ = f"{each.release}: {found.why}: builds and containers fail"
                hint = "install the modules of the kernel that boots"
                yield failed("fuse", text_, value=found.state, when="boot", hint=hint, **more)

    def _asked(self, host: Host) -> Iterator[tuple[str, int]]:
        theirs = [f"{user.home}/.config/containers/storage.conf" for user in rootless.users(host)]
        for path in (*FUSE_CONFIGS, *theirs):
            try:
                content = text(host, path) or ""
            except (OSError, Unavailable):
                continue
            for number, line in enumerate(content.split("\n"), 1):
                if re.match(r'\s*mount_program\s*=\s*["\'].*fuse-overlayfs["\']', line):
                    yield path, number
            # The system's own file counts only where the administrator has none.
            if path == FUSE_CONFIGS[0] and content:
                return


DRIVERS = (("slirp4netns", ("slirp4netns",)), ("pasta", ("passt",)), ("vpnkit", ("vpnkit",)))
"""Programs that give a user's containers a network, and their packages."""


class RootlessNetworkDriver(Check):
    """Users' containers reach the network.

    *Why*: a user cannot make interfaces on the host; slirp4netns, pasta or vpnkit carry the packets through a tap
    device. Without one of them docker does not start, and podman starts no container with a network.

    *Needs*: for docker slirp4netns 0.4, pasta or vpnkit (from 29 on rootlesskit has one built in); for podman
    pasta from 5.0 on, slirp4netns before, unless containers.conf names the other. The module tun.

    *Fix*: install slirp4netns (or passt); `echo tun > /etc/modules-load.d/tun.conf`.
    """

    id = "rootless.network_driver"
    severity = Severity.REQUIRED
    references = (
        SCRIPT,
        "https://github.com/rootless-containers/rootlesskit/blob/master/docs/network.md",
        "https://github.com/containers/podman/blob/main/rootless.md",
        "https://blog.podman.io/2024/03/podman-5-0-breaking-changes-in-detail/",
    )
    needed: str = "auto"
    """Whether users run containers without root: `yes`, `no`, or `auto` for what their files show."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        found = relevant(host, self.needed)
        theirs = {each.engine for each in found} or ({"podman"} & engine.installed(host)) or {"docker"}
        have = [
            name for name, known in DRIVERS if rootless.program(host, name) or _package(host, *known)
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
        docker = _docker_version(host)
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

    def _tun(self, host: Host) -> Iterator[Finding]:
        more: dict[str, Any] = {"expected": "usable"}
        there = host.kind == "live" and rootless.is_there(host, "/dev/net/tun")
        for each in kernel.kernels(host):
            found = modules.loadable(host, each, "tun", "TUN")
            more = {"expected": "usable", "when": each.when, "path": found.path, "line": found.line}
            if found.usable or (there and each.when == "now"):
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


class RootlessPorts(Check):
    """Users may publish the ports that their containers are to have.

    *Why*: ports below net.ipv4.ip_unprivileged_port_start (1024, unless it is set) are root's: publishing one ends
    with `bind: permission denied`.

    *Needs*: the sysctl at or below the lowest port that users' units publish; where none does, it is worth knowing.

    *Fix*: a line in /etc/sysctl.d, or a proxy that root runs.
    """

    id = "rootless.ports"
    severity = Severity.REQUIRED
    references = (
        f"{DOCS}/tips/#exposing-privileged-ports",
        "https://www.kernel.org/doc/html/latest/networking/ip-sysctl.html",
    )
    needed: str = "auto"
    """Whether users run containers without root: `yes`, `no`, or `auto` for what their files show."""
    lowest: int = 1024
    """The lowest port that users are to publish, whatever their units say."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        found = relevant(host, self.needed)
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
        start = int(value) if value.isdigit() else 1024
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
                    if len(fields) > 1 and fields[-2].partition("-")[0].isdigit():
                        yield int(fields[-2].partition("-")[0]), path, number


PING_KEY = "net.ipv4.ping_group_range"


class RootlessPing(Check):
    """Ping works in users' containers.

    *Why*: a container of a user has no right to raw sockets of the host; ping gets an answer only where its group
    lies in net.ipv4.ping_group_range. The kernel's own value, `1 0`, is nobody.

    *Needs*: the sysctl with a range that is not empty, now and after the next boot. systemd sets one from 243 on,
    Debian's does not.

    *Fix*: `net.ipv4.ping_group_range = 0 2147483647` in /etc/sysctl.d.
    """

    id = "rootless.ping"
    severity = Severity.INFO
    references = (
        f"{DOCS}/tips/#routing-ping-packets",
        "https://github.com/systemd/systemd/blob/v243/NEWS",
    )
    needed: str = "auto"
    """Whether users run containers without root: `yes`, `no`, or `auto` for what their files show."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        relevant(host, self.needed)
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
        range_ = [int(word) for word in words] if len(words) == 2 and "".join(words).isdigit() else [1, 0]
        more = {**more, "value": value, "expected": "0 2147483647"}
        if range_[0] <= range_[1]:
            return passed(PING_KEY, f"{value}: ping works", **more)
        command = f"echo '{PING_KEY} = 0 2147483647' > /etc/sysctl.d/99-zz-ping.conf && sysctl --system"
        return failed(
            PING_KEY, f"{value}: ping does not work in users' containers", commands=[command], **more
        )


class RootlessIptables(Check):
    """A user's docker can make its rules.

    *Why*: iptables-legacy loads ip_tables when it is first called; called by a user's docker it may not, and the
    daemon ends with `can't initialize iptables table`. docker's own tool asks for `modprobe ip_tables`. The rules of
    iptables-nft need no such help.

    *Needs*: where iptables is the legacy one, ip_tables built in, or loaded at boot: by modules-load.d, or by an
    engine or a firewall of root's.

    *Fix*: `echo ip_tables > /etc/modules-load.d/ip_tables.conf && modprobe ip_tables`.
    """

    id = "rootless.iptables"
    severity = Severity.RECOMMENDED
    references = (TOOL, f"{DOCS}/troubleshoot/", "https://github.com/moby/moby/issues/49020")
    needed: str = "auto"
    """Whether users run containers without root: `yes`, `no`, or `auto` for what their files show."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        found = relevant(host, self.needed)
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


RESTRICT = "kernel.apparmor_restrict_unprivileged_userns"


class RootlessApparmor(Check):
    """AppArmor lets users' engines make user namespaces.

    *Why*: Ubuntu from 23.10 on lets only programs make user namespaces that have a profile with `userns,`. The
    packaged profiles are for /usr/bin; a rootlesskit elsewhere ends with `operation not permitted`.

    *Needs*: where the sysctl is 1, a profile in /etc/apparmor.d whose path matches the program.

    *Fix*: a profile for the path where the program lies.
    """

    id = "rootless.apparmor"
    severity = Severity.REQUIRED
    references = (
        f"{DOCS}/troubleshoot/#errors-when-starting-the-docker-daemon",
        "https://rootlesscontaine.rs/getting-started/common/apparmor/",
        "https://ubuntu.com/blog/ubuntu-23-10-restricted-unprivileged-user-namespaces",
    )
    needed: str = "auto"
    """Whether users run containers without root: `yes`, `no`, or `auto` for what their files show."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        found = relevant(host, self.needed)
        restricted = list(self._restricted(host))
        if not restricted:
            raise NotApplicable("AppArmor does not restrict user namespaces here")
        programs = self._programs(host, found)
        if not programs:
            raise NotApplicable("no rootlesskit is installed yet")
        profiles = rootless.userns_profiles(host)
        for path in programs:
            profile = next((p for p in profiles if rootless.attaches(p.attachment, path)), None)
            for when, value, _where, _line in restricted:
                more: dict[str, Any] = {"expected": "a profile with userns,", "when": when}
                if profile:
                    text_ = f"{profile.source.path} lets {path} make user namespaces"
                    source = profile.source
                    yield passed(path, text_, value=value, path=source.path, line=source.line, **more)
                    continue
                name = path.strip("/").replace("/", ".")
                then = "now" if when == "now" else "after the next boot"
                yield failed(
                    path,
                    f"no AppArmor profile lets it make user namespaces, and {RESTRICT} is 1 {then}",
                    value=f"{RESTRICT} = {value}",
                    path=_where,
                    line=_line,
                    commands=[
                        "printf 'abi <abi/4.0>,\\ninclude <tunables/global>\\n\\n"
                        f'"{path}" flags=(unconfined) {{\\n  userns,\\n}}\\n\' > /etc/apparmor.d/{name}',
                        "systemctl restart apparmor.service",
                    ],
                    **more,
                )

    def _restricted(self, host: Host) -> Iterator[tuple[str, str, str | None, int | None]]:
        """Yield the times at which it is restricted, the value, and what says so."""
        if host.kind == "live":
            now = sysctl.now(host, RESTRICT)
            # Without the key the kernel cannot restrict, whatever is set at boot; that is a newer kernel's to say.
            if now == "1" and (
                not host.exists("/sys/module/apparmor") or security.apparmor_now(host).value == "enabled"
            ):
                yield "now", now, "/proc/sys/" + RESTRICT.replace(".", "/"), None
            if now is None:
                return
        setting = sysctl.boot_setting(host, RESTRICT)
        if setting is not None:
            if setting.value == "1":
                yield "boot", "1", setting.path, setting.line
            return
        upcoming = kernel.boot_kernel(host)
        config = kernel.config(host, upcoming.release) if upcoming else None
        if config is not None and config.get("SECURITY_APPARMOR_RESTRICT_USERNS") == "y":
            yield "boot", "1", config.path, config.line("SECURITY_APPARMOR_RESTRICT_USERNS")

    def _programs(self, host: Host, found: tuple[Evidence, ...]) -> tuple[str, ...]:
        paths: list[str] = []
        theirs = {each.engine for each in found} or {"docker"}
        if theirs - {"podman"}:
            own = [
                f"{user.home}/{folder}/rootlesskit"
                for user in rootless.rootless_users(host)
                for folder in rootless.USER_BIN
            ]
            paths = [path for path in own if rootless.is_there(host, path)]
            for name in ("docker-rootlesskit", "rootlesskit"):
                path = engine.program(host, name)
                if path and not paths:
                    paths.append(path)
        if "podman" in theirs:
            path = engine.program(host, "podman")
            paths += [path] if path else []
        return tuple(dict.fromkeys(host.resolve(path) for path in paths))


BUS = "/systemd/user/dbus.socket"


class RootlessDbus(Check):
    """Users have a bus of their own.

    *Why*: with cgroup v2 a user's engine asks the user's systemd for cgroups, over the user's bus. Without it the
    engine runs without cgroups, and all limits are ignored.

    *Needs*: dbus.socket among the units of users' managers, where systemd and cgroup v2 are.

    *Fix*: install dbus-user-session and log in again.
    """

    id = "rootless.dbus"
    severity = Severity.RECOMMENDED
    references = (
        f"{DOCS}/troubleshoot/",
        "https://rootlesscontaine.rs/getting-started/common/cgroup2/",
    )
    needed: str = "auto"
    """Whether users run containers without root: `yes`, `no`, or `auto` for what their files show."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        relevant(host, self.needed)
        mode = host.fact(cgroup.mode)
        if mode.boot not in (None, "v2") or mode.init not in (None, "systemd"):
            raise NotApplicable("only with systemd and cgroup v2 engines ask for cgroups over the bus")
        folders = [folder for folder in ("/etc", "/usr/lib", "/lib") if host.exists(folder + "/systemd/user")]
        path = next((folder + BUS for folder in folders if host.exists(folder + BUS)), None)
        more: dict[str, Any] = {"expected": "there", "when": "boot"}
        if path:
            yield passed("dbus.socket", "users' managers have a bus", value="there", path=path, **more)
        elif _package(host, "dbus-user-session"):
            yield passed("dbus.socket", "dbus-user-session is installed", value="there", **more)
        elif not set(folders) & {"/usr/lib", "/lib"}:
            raise Unavailable("no units of users' managers are to be seen")
        else:
            yield failed(
                "dbus.socket",
                "users' managers have no bus: the engine runs without cgroups, and limits are ignored",
                value="missing",
                hint="install dbus-user-session (Debian, Ubuntu) or dbus-daemon, and log in again",
                **more,
            )


NETWORK_TYPES = ("nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "ceph", "lustre", "beegfs", "gpfs", "9p", "afs")


class RootlessHome(Check):
    """Docker without root keeps its images on a local file system.

    *Why*: the server of a network file system knows nothing of user namespaces and refuses to hand files to
    subordinate ids: every pull ends with `lchown: operation not permitted`. For podman see storage.rootless_home.

    *Needs*: ~/.local/share/docker, or data-root of the user's daemon.json, on a local file system.

    *Fix*: `data-root` in ~/.config/docker/daemon.json.
    """

    id = "rootless.home"
    severity = Severity.REQUIRED
    references = (f"{DOCS}/troubleshoot/#known-limitations",)
    needed: str = "auto"
    """Whether users run containers without root: `yes`, `no`, or `auto` for what their files show."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        found = relevant(host, self.needed)
        theirs = {each.user.name: each.user for each in found if each.user and each.engine == "docker"}
        if not theirs:
            raise NotApplicable("no user is known to run docker without root")
        silent = True
        for user in theirs.values():
            root = self._data_root(host, user)
            held = [("now", mounts.now(host, root))] if host.kind == "live" else []
            held.append(("boot", mounts.boot(host, root)))
            for when, mount in held:
                if mount is None:
                    continue
                silent = False
                more: dict[str, Any] = {
                    "value": mount.type, "expected": "a local file system", "when": when,
                    "path": mount.path, "line": mount.line,
                }  # fmt: skip
                if mount.type in NETWORK_TYPES:
                    text_ = f"{user.name}'s docker keeps its images on {mount.type}: every pull fails"
                    hint = "set data-root in ~/.config/docker/daemon.json to a folder on a local disk"
                    yield failed(root, text_, hint=hint, **more)
                else:
                    yield passed(root, f"on {mount.type}", **more)
        if silent:
            # A tree without /etc/fstab lies on whatever it is deployed to.
            raise NotApplicable("no file says what is mounted where the images lie")

    def _data_root(self, host: Host, user: User) -> str:
        try:
            content = text(host, f"{user.home}/.config/docker/daemon.json") or ""
        except (OSError, Unavailable):
            content = ""
        named = re.search(r'"data-root"\s*:\s*"(/[^"]+)"', content)
        return named.group(1) if named else f"{user.home}/.local/share/docker"


STREAM = "/etc/dnf/modules.d/container-tools.module"


class RootlessPackages(Check):
    """The packages that docker's rootless extras need can be installed.

    *Why*: on EL8 slirp4netns and fuse-overlayfs come with the module container-tools; where it is switched off, as
    to get runc out of the way, docker-ce cannot be installed: `nothing provides slirp4netns >= 0.4`.

    *Needs*: the module not disabled on EL8, unless slirp4netns is installed.

    *Fix*: `dnf module reset container-tools`, or `dnf module enable container-tools`.
    """

    id = "rootless.packages"
    severity = Severity.REQUIRED
    references = (
        "https://docs.docker.com/engine/install/centos/",
        "https://github.com/docker/docker-install/issues/204",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        content = text(host, STREAM)
        if content is None:
            raise NotApplicable("there is no module container-tools")
        system = os_facts.os_release(host)
        if system.major != 8:
            raise NotApplicable("only on EL8 these packages come with the module")
        state = re.search(r"^\s*state\s*=\s*(\S*)", content, re.MULTILINE)
        line = content[: state.start()].count("\n") + 1 if state else None
        more: dict[str, Any] = {
            "value": state.group(1) if state else "", "expected": "not disabled",
            "path": STREAM, "line": line, "when": "boot",
        }  # fmt: skip
        if not state or state.group(1) != "disabled":
            yield passed("container-tools", "the module is not disabled", **more)
        elif rootless.program(host, "slirp4netns") or _package(host, "slirp4netns"):
            yield passed("container-tools", "the module is disabled, but slirp4netns is installed", **more)
        else:
            late = engine.stage(host) != "before"
            yield failed(
                "container-tools",
                "the module is disabled: no repository has slirp4netns, which docker's rootless extras need",
                severity=Severity.INFO if late else None,
                commands=["dnf -y module reset container-tools"],
                **more,
            )
