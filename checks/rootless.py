"""Containers without root: what the users who run them must have been given."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hostcheck._typing import Any
from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, Unavailable, failed, passed
from hostcheck.facts import cgroup, engine, mounts, packages, rootless, systemd
from hostcheck.facts import os as os_facts
from hostcheck.facts.files import names, text
from hostcheck.facts.rootless import Evidence, User

from ._rootless import DOCS, TOOL, UsersCheck


def _because(found: tuple[Evidence, ...]) -> str:
    return found[0].why if found else "the policy asks for it"


class RootlessUidmap(UsersCheck):
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

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        found = self.evidence(host)
        for name in ("newuidmap", "newgidmap"):
            yield self._program(host, name, found)

    def _program(self, host: Host, name: str, found: tuple[Evidence, ...]) -> Finding:
        path = rootless.program(host, name)
        more: dict[str, Any] = {"expected": "setuid, or with capabilities", "path": path}
        more["when"] = host.when
        hint = "install uidmap (Debian, Ubuntu), shadow-utils (Red Hat, Fedora) or shadow-uidmap (Alpine)"
        if path is None:
            if packages.known(host, "uidmap", "shadow-uidmap"):
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
        if path.startswith("/home/") or packages.known(host, "uidmap"):
            if host.kind != "live":
                return False
        elif host.kind != "live":
            if packages.known(host, "shadow-utils", "shadow"):
                return True
            raise Unavailable(f"{path} is not setuid, and its capabilities cannot be read from a tree")
        try:
            return "cap_set" in host.run("getcap", path).out
        except (FileNotFoundError, Unavailable):
            # Debian's package sets the bit, and no capability in its place.
            debian = "debian" in os_facts.os_release(host).family
            if path.startswith("/home/") or packages.known(host, "uidmap") or debian:
                return False
            raise Unavailable(
                f"{path} is not setuid, and there is no getcap to ask for capabilities"
            ) from None


class RootlessSubid(UsersCheck):
    """Users who run containers without root have ids to give to them.

    *Why*: a container has 65536 users. Without that many subordinate ids docker's tool refuses (`No subuid ranges
    found for user`), and podman cannot unpack most images. Users who share ids can reach each other's files.

    *Needs*: 65536 ids for each such user in /etc/subuid and in /etc/subgid, that overlap nobody else's.

    *Fix*: `usermod --add-subuids FIRST-LAST --add-subgids FIRST-LAST USER`.
    """

    id = "rootless.subid"
    severity = Severity.REQUIRED
    references = (f"{DOCS}/#prerequisites", TOOL, "https://man7.org/linux/man-pages/man5/subuid.5.html")
    minimum: int = 65536
    """Ids that each user must have."""
    users: tuple[str, ...] = ()
    """Names of further users who are to run containers."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        found = self.evidence(host)
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


class RootlessLinger(UsersCheck):
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

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        found = self.evidence(host)
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


class RootlessDelegation(UsersCheck):
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

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        self.evidence(host)
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


BUS = "/systemd/user/dbus.socket"


class RootlessDbus(UsersCheck):
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

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        self.evidence(host)
        mode = host.fact(cgroup.mode)
        if mode.boot not in (None, "v2") or mode.init not in (None, "systemd"):
            raise NotApplicable("only with systemd and cgroup v2 engines ask for cgroups over the bus")
        folders = [folder for folder in ("/etc", "/usr/lib", "/lib") if host.exists(folder + "/systemd/user")]
        path = next((folder + BUS for folder in folders if host.exists(folder + BUS)), None)
        more: dict[str, Any] = {"expected": "there", "when": "boot"}
        if path:
            yield passed("dbus.socket", "users' managers have a bus", value="there", path=path, **more)
        elif packages.known(host, "dbus-user-session"):
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
        elif rootless.program(host, "slirp4netns") or packages.known(host, "slirp4netns"):
            yield passed("container-tools", "the module is disabled, but slirp4netns is installed", **more)
        else:
            # Without the module an installed engine can be neither repaired nor upgraded.
            late = engine.stage(host) != "before"
            yield failed(
                "container-tools",
                "the module is disabled: no repository has slirp4netns, which docker's rootless extras need",
                severity=Severity.RECOMMENDED if late else None,
                commands=["dnf -y module reset container-tools"],
                **more,
            )
