"""Namespaces: which the kernel has, and how many of them may be made."""

from __future__ import annotations

from collections.abc import Iterator

from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, Unavailable, Version, failed, passed
from hostcheck.facts import boot as boot_facts
from hostcheck.facts import cgroup, releases, sysctl
from hostcheck.facts import kernel as kernel_facts
from hostcheck.facts import os as os_facts
from hostcheck.facts.kernel import Kernel

KINDS = (
    ("mnt", "NAMESPACES", "2.4.19", Severity.REQUIRED, "file systems of their own"),
    ("uts", "UTS_NS", "2.6.19", Severity.REQUIRED, "a host name of their own"),
    ("ipc", "IPC_NS", "2.6.19", Severity.REQUIRED, "shared memory of their own"),
    ("pid", "PID_NS", "2.6.24", Severity.REQUIRED, "processes of their own"),
    ("net", "NET_NS", "2.6.29", Severity.REQUIRED, "a network of their own"),
    ("user", "USER_NS", "3.8", Severity.RECOMMENDED, "users of their own: no rootless mode, no userns-remap"),
    ("cgroup", "CGROUPS", "4.6", Severity.INFO, "a view of their own cgroup"),
    ("time", "TIME_NS", "5.6", Severity.INFO, "clocks of their own"),
)
"""Name in /proc/PID/ns, option, the first kernel that has it, how much it matters, and what containers lose."""


class NamespacesAvailable(Check):
    """The kernel has every kind of namespace that containers are made of.

    *Why*: without the mount, UTS, IPC, PID and network namespaces no container starts; without user namespaces
    there is neither rootless mode nor userns-remap. On cgroup v2 engines give each container a cgroup namespace,
    and none starts without. Those of time are used where they are there.

    *Needs*: /proc/self/ns of the running kernel; for the kernel that boots next, its configuration and version.

    *Fix*: boot a kernel of the distribution.
    """

    id = "namespaces.available"
    severity = Severity.REQUIRED
    references = (
        "https://man7.org/linux/man-pages/man7/namespaces.7.html",
        "https://github.com/opencontainers/runc/blob/main/docs/spec-conformance.md",
    )
    needed: tuple[str, ...] = ()
    """Kinds that must be there beside the five classic ones, as `user` for rootless engines."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        for kernel in kernel_facts.kernels(host):
            yield from self._live(host, kernel) if kernel.when == "now" else self._offline(host, kernel)

    def _live(self, host: Host, kernel: Kernel) -> Iterator[Finding]:
        try:
            there = host.names("/proc/self/ns")
        except FileNotFoundError:
            raise Unavailable("/proc/self/ns cannot be listed: is /proc mounted?") from None
        for kind, _option, _since, severity, loss in KINDS:
            path = f"/proc/self/ns/{kind}"
            yield self._finding(host, kind, kind in there, kernel, severity, loss, path, None)

    def _offline(self, host: Host, kernel: Kernel) -> Iterator[Finding]:
        config = kernel_facts.config(host, kernel.release)
        if config is None:
            raise Unavailable(f"no configuration of kernel {kernel.release} is to be found")
        version = config.version or releases.version_of(kernel.release)
        for kind, option, since, severity, loss in KINDS:
            there = config.enabled(option) and config.enabled("NAMESPACES")
            there = there and (version is None or version >= Version(since))
            yield self._finding(host, kind, there, kernel, severity, loss, config.path, config.line(option))

    def _finding(
        self,
        host: Host,
        kind: str,
        there: bool,
        kernel: Kernel,
        severity: Severity,
        loss: str,
        path: str,
        line: int | None,
    ) -> Finding:
        more = {"expected": "there", "when": kernel.when, "path": path, "line": line}
        if there:
            return passed(kind, f"{kernel.release} has it", value="there", **more)
        text = f"{kernel.release} has no {kind} namespaces: containers do not have {loss}"
        if kind in self.needed:
            severity = Severity.REQUIRED
        elif kind == "cgroup" and _unified(host, kernel.when):
            severity = Severity.REQUIRED
            text = f"{kernel.release} has no cgroup namespaces, which engines use on cgroup v2: no container starts"
        hint = "boot a kernel that has them, as the distribution's own"
        return failed(kind, text, value="missing", severity=severity, hint=hint, **more)


def _unified(host: Host, when: str) -> bool:
    """Return whether control groups are v2 alone at that moment."""
    try:
        found = cgroup.mode(host)
    except (OSError, Unavailable):
        return False
    return (found.now if when == "now" else found.boot) == "v2"


LIMITS = (
    ("user.max_mnt_namespaces", "no container gets file systems of its own"),
    ("user.max_pid_namespaces", "no container gets processes of its own"),
    ("user.max_net_namespaces", "no container gets a network of its own"),
    ("user.max_ipc_namespaces", "no container gets shared memory of its own"),
    ("user.max_uts_namespaces", "no container gets a host name of its own"),
    ("user.max_cgroup_namespaces", "no container gets a view of its own cgroup"),
)
"""Limits that count for root as for everybody (user_namespaces(7), /proc/sys/user): 0 forbids every container."""

USER_LIMITS = (
    ("user.max_user_namespaces", "0", "nobody can make a user namespace", "28633"),
    ("kernel.unprivileged_userns_clone", "0", "only root can make a user namespace", "1"),
    (
        "kernel.apparmor_restrict_unprivileged_userns",
        "1",
        "only programs with a profile that says `userns,` can",
        "0",
    ),
)
"""Key, the value that forbids, what follows, and the value that allows. The second is Debian's patch, the third
Ubuntu's; where a kernel does not have the key, its absence means nothing."""


class NamespacesUserLimits(Check):
    """Namespaces may be made.

    *Why*: a limit of 0 for mount, PID, network, IPC or UTS namespaces stops every container, also root's. Limits on
    user namespaces matter to rootless engines and to userns-remap only.

    *Needs*: /proc/sys/user and two keys of Debian and Ubuntu now, the sysctl files for the next boot.

    *Fix*: remove the line that sets the limit, or raise it.
    """

    id = "namespaces.user_limits"
    severity = Severity.REQUIRED
    references = (
        "https://man7.org/linux/man-pages/man7/user_namespaces.7.html",
        "https://docs.docker.com/engine/security/rootless/troubleshoot/",
        "https://ubuntu.com/blog/ubuntu-23-10-restricted-unprivileged-user-namespaces",
    )
    needed: bool = False
    """Whether the engine makes user namespaces: rootless, or userns-remap in daemon.json."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        said = 0
        for finding in self._all(host):
            said += 1
            yield finding
        if not said:
            raise NotApplicable("the kernel that runs has no limits on namespaces (they came in 4.9)")

    def _all(self, host: Host) -> Iterator[Finding]:
        for key, loss in LIMITS:
            # On v1 the engines leave containers in the host's cgroup namespace (docker: default-cgroupns-mode).
            spared = key == "user.max_cgroup_namespaces" and not on_v2(host)
            severity = Severity.RECOMMENDED if spared else Severity.REQUIRED
            yield from self._limit(host, key, "0", loss, "28633", severity)
        for key, bad, loss, good in USER_LIMITS:
            yield from self._limit(host, key, bad, loss, good, self._user_severity(host, key))
        yield from self._el7(host)

    def _user_severity(self, host: Host, key: str) -> Severity:
        remapped = userns_remap(host)
        if key == "user.max_user_namespaces":
            return Severity.REQUIRED if self.needed or remapped else Severity.INFO
        # userns-remap is root's doing, which these two do not touch.
        # Ubuntu's own default: whether rootlesskit has its profile, lsm.apparmor_userns says.
        if key == "kernel.apparmor_restrict_unprivileged_userns":
            return Severity.INFO
        return Severity.REQUIRED if self.needed else Severity.INFO

    def _limit(
        self, host: Host, key: str, bad: str, loss: str, good: str, severity: Severity
    ) -> Iterator[Finding]:
        expected = f"not {bad}"
        line = f"echo '{key} = {good}' > /etc/sysctl.d/99-zz-namespaces.conf && sysctl --system"
        if host.kind == "live":
            now = sysctl.now(host, key)
            path = "/proc/sys/" + key.replace(".", "/")
            if now is not None:
                more = {"value": now, "expected": expected, "path": path, "when": "now"}
                if now != bad:
                    yield passed(key, f"{now} now", **more)
                else:
                    yield failed(key, f"{now} now: {loss}", severity=severity, commands=[line], **more)
            elif not key.startswith("user."):
                # The running kernel does not have the patch, so what sets the key has no effect.
                return
        setting = sysctl.boot_setting(host, key)
        if setting is None or setting.value is None:
            if host.kind != "live" and key.startswith("user."):
                yield passed(
                    key, "nothing sets it: the kernel's own limit stays", expected=expected, when="boot"
                )
            return
        more = {"value": setting.value, "expected": expected, "path": setting.path, "when": "boot"}
        if setting.value != bad:
            yield passed(key, f"{setting.value} after the next boot", line=setting.line, **more)
        else:
            # A file of a package comes back with its next update; a later one of one's own stays.
            own = setting.path.startswith("/etc/")
            mend = f"sed -i '{setting.line}s/^/# /' {setting.path} && sysctl --system" if own else line
            text = f"{setting.value} after the next boot: {loss}"
            yield failed(key, text, severity=severity, commands=[mend], line=setting.line, **more)

    def _el7(self, host: Host) -> Iterator[Finding]:
        """RHEL 7 ships max_user_namespaces 0, and before 7.4 wants user_namespace.enable=1 too."""
        try:
            system = os_facts.os_release(host)
        except (OSError, Unavailable):
            return
        if system.major != 7 or not {"rhel", "centos"} & set(system.family):
            return
        try:
            booted = boot_facts.boot(host).cmdline
        except (OSError, Unavailable):
            booted = None
        setting = sysctl.boot_setting(host, "user.max_user_namespaces")
        enabled = boot_facts.option(booted, "user_namespace.enable") == "1"
        raised = setting is not None and setting.value not in (None, "0")
        more = {"expected": "user_namespace.enable=1", "when": "boot"}
        if enabled or raised:
            yield passed("user_namespace.enable", "user namespaces are switched on", **more)
            return
        severity = Severity.REQUIRED if self.needed or userns_remap(host) else Severity.INFO
        yield failed(
            "user_namespace.enable",
            "EL7 has user namespaces switched off: neither rootless mode nor userns-remap works",
            severity=severity,
            commands=[
                "echo 'user.max_user_namespaces = 28633' > /etc/sysctl.d/99-zz-namespaces.conf && sysctl --system",
                "grubby --update-kernel=ALL --args=user_namespace.enable=1",
            ],
            **more,
        )


def on_v2(host: Host) -> bool:
    """Return whether the host is, or will be, on cgroup v2."""
    try:
        found = cgroup.mode(host)
    except (OSError, Unavailable):
        return False
    return "v2" in (found.now, found.boot)


def userns_remap(host: Host) -> bool:
    """Return whether dockerd is told to map the users of its containers."""
    # Imported here: reading dockerd's configuration needs its tables.
    from hostcheck.facts import docker

    try:
        # A file that dockerd refuses, as for want of a line in /etc/subuid, says all the same what is meant.
        return bool(docker.meant(host, "userns-remap"))
    except (NotApplicable, OSError, Unavailable, ValueError):
        return False
