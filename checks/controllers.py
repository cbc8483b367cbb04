"""The controllers of control groups: there, delegated, and counting what engines limit."""

from __future__ import annotations

from collections.abc import Iterator

from hostcheck._typing import Any
from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, Unavailable, Version, failed, passed
from hostcheck.facts import boot, cgroup, engine, kernel, releases, systemd
from hostcheck.facts.files import names, text

from ._words import add, remove

# Controller, what it is for, severity for Docker where it is missing, whether a kubelet insists.
_PURPOSES = (
    ("cpu", "CPU limits and shares (--cpus, --cpu-shares)", Severity.RECOMMENDED, True),
    ("cpuset", "binding to certain CPUs (--cpuset-cpus)", Severity.RECOMMENDED, True),
    ("memory", "memory limits and accounting (--memory)", Severity.RECOMMENDED, True),
    ("pids", "limits of processes (--pids-limit)", Severity.RECOMMENDED, True),
    ("io", "disk limits and priorities (--blkio-weight, --device-read-bps)", Severity.INFO, False),
    ("hugetlb", "limits of huge pages", Severity.INFO, False),
    ("devices", "control of devices, without which dockerd does not start", Severity.REQUIRED, True),
    ("freezer", "docker pause", Severity.RECOMMENDED, True),
    ("cpuacct", "accounting of CPU time (docker stats)", Severity.RECOMMENDED, True),
)


class ControllersAvailable(Check):
    """Containers can be limited, weighed, counted and kept from devices.

    *Why*: each controller does one of these. dockerd starts without most of them and ignores the limits with a
    warning; without the v1 controller `devices` it refuses (`Devices cgroup isn't mounted`). The kubelet
    refuses without cpu, cpuset, memory or pids.

    *Needs*: on v2 /sys/fs/cgroup/cgroup.controllers; on v1 /proc/cgroups and a mount for each. A row that is
    missing in /proc/cgroups says nothing of v2 (kernels from 6.11 on leave memory and cpuset out). At boot: the
    kernel's configuration, and cgroup_disable=, cgroup_enable= and the like on its command line.

    *Fix*: Raspberry Pi's kernels, and Debian's up to 8, need cgroup_enable=memory on the kernel command line.
    """

    id = "controllers.available"
    aliases = ("cgroup.controllers",)
    severity = Severity.RECOMMENDED
    references = (
        "https://docs.kernel.org/admin-guide/cgroup-v2.html#controllers",
        "https://github.com/moby/moby/blob/v28.5.2/daemon/daemon.go",
        "https://github.com/moby/moby/blob/v28.5.2/pkg/sysinfo/cgroup2_linux.go",
        "https://github.com/kubernetes/system-validators/blob/master/validators/cgroup_validator_linux.go",
        "https://github.com/raspberrypi/linux/issues/5933",
        "https://lore.kernel.org/all/20240909163223.3693529-1-longman@redhat.com/",
    )
    required: tuple[str, ...] = ()
    """Controllers without which the host is not ready, by their names on v2: `memory`, `cpu`, `io`."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        found = host.fact(cgroup.controllers)
        mode = host.fact(cgroup.mode)
        kubernetes = "kubelet" in engine.installed(host) or _has_k3s(host)
        said = False
        for name, purpose, severity, insists in _PURPOSES:
            each = found[name]
            if name in self.required or (kubernetes and insists):
                severity = Severity.REQUIRED
            if (
                name in cgroup.ONLY_V1
                and "v2" in (mode.now, mode.boot)
                and not {"v1", "hybrid"} & {mode.now if host.kind == "live" else mode.boot}
            ):
                continue
            for finding in self._controller(host, each, purpose, severity):
                said = True
                yield finding
        if not said:
            why = next((each.why for each in found.values() if each.why), "")
            raise Unavailable(
                f"neither the running kernel nor a kernel's configuration tells of controllers: {why}"
            )

    def _controller(
        self, host: Host, each: cgroup.Controller, purpose: str, severity: Severity
    ) -> Iterator[Finding]:
        more: dict[str, Any] = {"expected": "available", "path": each.path, "line": each.line}
        if each.now is not None:
            value = "available" if each.now else "missing"
            if each.now:
                yield passed(
                    each.name,
                    f"{purpose}: {each.why if each.boot is not False else 'available now'}",
                    value=value,
                    when="now",
                    **more,
                )
            else:
                yield failed(
                    each.name,
                    f"missing now, {each.why}: no {purpose}",
                    value=value,
                    when="now",
                    severity=severity,
                    **self._fix(host, each),
                    **more,
                )
        if each.boot is None or (each.now is not None and each.boot == each.now):
            return
        if each.boot:
            yield passed(each.name, f"{purpose}: after the next boot", value="available", when="boot", **more)
        else:
            yield failed(
                each.name,
                f"missing after the next boot, {each.why}: no {purpose}",
                value="missing",
                when="boot",
                severity=severity,
                **self._fix(host, each),
                **more,
            )

    def _fix(self, host: Host, each: cgroup.Controller) -> dict[str, Any]:
        booted = None
        try:
            booted = boot.boot(host)
        except (OSError, Unavailable):
            pass
        v1 = {"io": "blkio"}.get(each.name, each.name)
        cmdline = booted.cmdline if booted else None
        word = cgroup.disabled_by(cmdline, v1)
        release = booted.release if booted else None
        own = cgroup.is_pi_kernel(release)
        if word and not own and each.name == "memory" and boot.option(cmdline, "cgroup_enable") is not None:
            hint = (
                f"this kernel does not know cgroup_enable: {word} comes from the board's device tree; use the"
            )
            return {"hint": f"{hint} device tree of the kernel's own package, or the board's own kernel"}
        if each.name == "memory" and (own or not word):
            debian8 = not own and (
                each.why.startswith("off in this kernel") or each.why.startswith("switched off")
            )
            wanted = own or debian8 or (booted is not None and booted.loader == "raspberry-pi")
            if wanted and boot.option(cmdline, "cgroup_enable") != "memory":
                return {
                    "hint": "put cgroup_enable=memory on the kernel command line",
                    "commands": add(host, "cgroup_enable=memory"),
                }
        if word:
            return {"hint": f"take {word} off the kernel command line", "commands": remove(host, word)}
        if "mounted nowhere" in each.why:
            folder = f"/sys/fs/cgroup/{v1}"
            command = f"mkdir -p {folder} && mount -t cgroup -o {v1} cgroup {folder}"
            return {"hint": f"in a boot script: {command}; or boot with cgroup v2"}
        if "bound to a v1" in each.why:
            return {"hint": "unmount the v1 hierarchy and end what mounts it, or boot with cgroup_no_v1=all"}
        return {"hint": f"boot a kernel that has the {each.name} controller"}


def _has_k3s(host: Host) -> bool:
    return any(engine.program(host, name) for name in ("k3s", "rke2", "k0s"))


class ControllersDelegation(Check):
    """Users' own containers can be given limits.

    *Why*: rootless engines can set only the limits whose controllers systemd hands to user@.service: memory and
    pids up to systemd 251, and cpu from 252 on. Engines that run as root need none of this. cpuset can be handed
    on from systemd 244.

    *Needs*: cgroup v2 with systemd; Delegate= of user@.service and its drop-ins.

    *Fix*: a drop-in of user@.service with Delegate=cpu cpuset io memory pids.
    """

    id = "controllers.delegation"
    aliases = ("cgroup.delegation",)
    severity = Severity.INFO
    references = (
        "https://rootlesscontaine.rs/getting-started/common/cgroup2/",
        "https://github.com/systemd/systemd/blob/v252/NEWS",
        "https://github.com/systemd/systemd/blob/v244/NEWS",
        "https://github.com/opencontainers/runc/blob/main/docs/cgroup-v2.md",
    )
    controllers: tuple[str, ...] = ("cpu", "cpuset", "memory", "pids")
    """The controllers that users' containers are to have."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        mode = host.fact(cgroup.mode)
        if (mode.now if host.kind == "live" else mode.boot) != "v2":
            raise NotApplicable("only cgroup v2 can be handed to users")
        if mode.init != "systemd" or mode.systemd is None:
            raise NotApplicable("only systemd hands cgroups to users")
        subject = "systemd cpuset delegation"
        if mode.systemd < 244:
            message = (
                f"systemd {mode.systemd} cannot hand cpuset on: --cpuset-cpus fails with the systemd driver"
            )
            hint = "a release of the distribution with systemd 244 or newer"
            yield failed(
                subject,
                message,
                value=mode.systemd,
                expected=">= 244",
                severity=Severity.RECOMMENDED,
                when="boot",
                hint=hint,
            )
        else:
            yield passed(subject, "possible since 244", value=mode.systemd, expected=">= 244", when="boot")
        given, path, line = self._running(host) or self._given(host, mode.systemd)
        for name in self.controllers:
            if given is None or name in given:
                yield passed(
                    f"user@.service {name}",
                    "handed to users",
                    value="yes",
                    expected="yes",
                    path=path,
                    line=line,
                    when="boot",
                )
                continue
            yield failed(
                f"user@.service {name}",
                f"users' containers cannot use {name}: it is not in Delegate= of user@.service",
                value="no", expected="yes", path=path, line=line, when="boot",
                commands=[
                    "mkdir -p /etc/systemd/system/user@.service.d",
                    "printf '[Service]\\nDelegate=cpu cpuset io memory pids\\n'"
                    " > /etc/systemd/system/user@.service.d/delegate.conf",
                    "systemctl daemon-reload",
                ],
            )  # fmt: skip

    def _running(self, host: Host) -> tuple[frozenset[str], str, int] | None:
        """Return what a user who is logged in has been handed, and the file that says so."""
        if host.kind != "live":
            return None
        top = f"{cgroup.TOP}/user.slice"
        for name in names(host, top):
            user = name[len("user-") : -len(".slice")]
            path = f"{top}/{name}/user@{user}.service/cgroup.controllers"
            content = text(host, path) if user.isdecimal() else None
            if content is not None:
                return frozenset(content.split()), path, 1
        return None

    def _given(self, host: Host, version: int) -> tuple[frozenset[str] | None, str | None, int | None]:
        """Return the controllers, None for all, and what says so."""
        unit = systemd.unit(host, "user@1000.service")
        found = unit.get("DelegateControllers") or unit.get("Delegate") if unit else None
        if found is None:
            return frozenset(("pids", "memory", "cpu") if version >= 252 else ("pids", "memory")), None, None
        value = str(found.value).split()
        if value[:1] in (["yes"], ["true"], ["1"], ["on"]):
            return None, found.path, found.line
        return frozenset(value), found.path, found.line


class ControllersSwapAccounting(Check):
    """The swap of a container can be limited.

    *Why*: without swap accounting --memory-swap is ignored, and what writes memory.swap.max itself (kind,
    minikube) fails. Kernels before 5.8 count swap only where they were built or told to.

    *Needs*: memory.swap.max in a group below the root (the root itself never has it; dockerd's own warning looks
    there), or memory.memsw.limit_in_bytes on v1; else the kernel's configuration and swapaccount=.

    *Fix*: swapaccount=1 on the kernel command line; cgroup_enable=memory too on Debian up to 8.
    """

    id = "controllers.swap_accounting"
    aliases = ("cgroup.swap_accounting",)
    severity = Severity.INFO
    references = (
        "https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files",
        "https://github.com/moby/moby/blob/v28.5.2/contrib/check-config.sh",
        "https://github.com/torvalds/linux/commit/2d1c498072de69e30857bc3ee5fa5a9a9d7f6f1c",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        mode = host.fact(cgroup.mode)
        if host.kind == "live" and mode.now in ("v1", "hybrid", "v2"):
            counted = self._now(host, mode.now)
            if counted is not None:
                yield self._say(host, counted[0], counted[1], "now")
                return
        answer, why = self._boot(host)
        yield self._say(host, answer, why, "boot")

    def _say(self, host: Host, counted: bool, why: str, when: str) -> Finding:
        more: dict[str, Any] = {"expected": "on", "when": when}
        if counted:
            return passed("swap accounting", f"swap is counted: {why}", value="on", **more)
        commands = add(host, "swapaccount=1")
        text_ = f"swap is not counted: {why}; --memory-swap is ignored"
        hint = "put swapaccount=1 on the kernel command line"
        return failed("swap accounting", text_, value="off", commands=commands, hint=hint, **more)

    def _now(self, host: Host, mode: str) -> tuple[bool, str] | None:
        if mode != "v2":
            folder = "/sys/fs/cgroup/memory"
            if host.exists(f"{folder}/memory.limit_in_bytes"):
                name = f"{folder}/memory.memsw.limit_in_bytes"
                there = host.exists(name)
                return there, f"{name} {'exists' if there else 'does not exist'}"
            return None
        for name in names(host, cgroup.TOP):
            folder = f"{cgroup.TOP}/{name}"
            if host.exists(f"{folder}/memory.swap.max"):
                return True, f"{folder}/memory.swap.max exists"
            if host.exists(f"{folder}/memory.max"):
                return False, f"{folder} has memory.max and no memory.swap.max"
        return None

    def _boot(self, host: Host) -> tuple[bool, str]:
        found = kernel.boot_kernel(host)
        booted = boot.boot(host)
        word = boot.option(booted.cmdline, "swapaccount")
        if word is not None and word != "":
            return word not in ("0", "off", "n"), f"swapaccount={word} on the kernel command line"
        version = releases.version_of(found.release) if found else None
        if found is None or version is None:
            raise Unavailable("the kernel that boots is not known")
        if version >= Version("6.1"):
            return True, f"kernel {found.release} always does"
        config = kernel.config(host, found.release)
        if config is None:
            raise Unavailable(f"no configuration of kernel {found.release}")
        if "MEMCG" not in config and "MEMCG_SWAP" not in config:
            raise NotApplicable("the kernel has no memory controller: see cgroup.controllers")
        if "MEMCG_SWAP" not in config:
            return False, "CONFIG_MEMCG_SWAP is not set"
        if version >= Version("5.8") and config.line("MEMCG_SWAP_ENABLED") is None:
            return True, f"kernel {found.release} does unless told not to"
        on = "MEMCG_SWAP_ENABLED" in config
        return on, f"CONFIG_MEMCG_SWAP_ENABLED is {'set' if on else 'not set'}"


class ControllersCpuset(Check):
    """Docker's group has all the CPUs of the host.

    *Why*: on cgroup v1 a CPU that was added while the host ran, or was offline for a moment, never comes back
    into the groups that exist already: containers see fewer CPUs, and --cpuset-cpus fails.

    *Needs*: cpuset.cpus of /sys/fs/cgroup/cpuset and of docker's or kubepods' group in it. v2 does not have it.

    *Fix*: write the root's CPUs into the group, or reboot.
    """

    id = "controllers.cpuset"
    aliases = ("cgroup.cpuset",)
    severity = Severity.RECOMMENDED
    references = (
        "https://man7.org/linux/man-pages/man7/cpuset.7.html",
        "https://github.com/moby/moby/issues/40151",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if host.kind != "live":
            raise NotApplicable("only a running host has groups")
        top = "/sys/fs/cgroup/cpuset"
        whole = text(host, f"{top}/cpuset.cpus")
        if host.fact(cgroup.mode).now == "v2" or whole is None:
            raise NotApplicable("only cgroup v1 loses CPUs")
        said = False
        for group in ("docker", "kubepods", "kubepods.slice", "system.slice"):
            path = f"{top}/{group}/cpuset.cpus"
            part = text(host, path)
            if part is None or not part.strip():
                continue
            said = True
            more: dict[str, Any] = {"value": part.strip(), "expected": whole.strip(), "path": path}
            if parse_cpus(part) >= parse_cpus(whole):
                yield passed(path, "all CPUs", **more)
            else:
                message = (
                    f"{group} has CPUs {part.strip()} of {whole.strip()}: containers do not see the others"
                )
                yield failed(path, message, commands=[f"cat {top}/cpuset.cpus > {path}"], **more)
        if not said:
            raise NotApplicable("no engine has made a group yet")


def parse_cpus(listed: str) -> frozenset[int]:
    """Return the numbers in a list like `0-2,7` (cpuset(7)); what is no list is empty.

    >>> sorted(parse_cpus("0-2,7"))
    [0, 1, 2, 7]
    """
    found: set[int] = set()
    for part in listed.strip().split(","):
        first, dash, last = part.partition("-")
        if first.isdecimal() and (not dash or last.isdecimal()):
            found.update(range(int(first), min(int(last) if dash else int(first), 65535) + 1))
    return frozenset(found)
