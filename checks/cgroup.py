"""The mode of control groups now and after the next boot, and the engines that know it."""

from __future__ import annotations

from collections.abc import Iterator

from hostcheck._typing import Any
from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, Unavailable, Version, failed, passed
from hostcheck.facts import boot, cgroup, docker, elf, engine
from hostcheck.facts.files import names, text
from hostcheck.facts.versions import found_tool

from ._words import add, remove

NAMES = {
    "v1": "cgroup v1",
    "hybrid": "hybrid (cgroup v1 controllers)",
    "v2": "cgroup v2",
    "none": "no cgroups",
}
SUBJECT = "cgroup mode"


def to_v2(host: Host) -> list[str]:
    """Return the commands after which the host boots with v2; none where it cannot, or nobody knows how."""
    try:
        cmdline = boot.boot(host).cmdline
    except (OSError, Unavailable):
        return []
    value = boot.option(cmdline, cgroup.UNIFIED)
    found = host.fact(cgroup.mode)
    if found.init == "openrc":
        return [
            "sed -i 's/^#*rc_cgroup_mode=.*/rc_cgroup_mode=\"unified\"/' /etc/rc.conf",
            "rc-update add cgroups sysinit",
            "reboot",
        ]
    if found.systemd is None or found.systemd < 226:
        return []
    if value is not None and cgroup.truth(value) is False:
        return remove(host, f"{cgroup.UNIFIED}={value}")
    return add(host, f"{cgroup.UNIFIED}=1")


class CgroupMode(Check):
    """Control groups are mounted, in a mode that engines know.

    *Why*: without control groups no engine starts. v2 is what all of them are made for; v1 (and hybrid, which
    to an engine is v1) is on its way out: systemd 256 refuses to boot with it unless forced to, 257 waits 30 s
    and mounts v2 all the same, 258 dropped it. A host that changes mode at its next boot changes what its
    containers' limits mean.

    *Needs*: now: what is mounted on /sys/fs/cgroup. At boot: the init, its version and what it is compiled for,
    and the kernel command line of the entry that boots.

    *Fix*: `systemd.unified_cgroup_hierarchy=1` on the kernel command line, or `=0` taken off; with OpenRC the
    service cgroups in a runlevel.
    """

    id = "cgroup.mode"
    severity = Severity.REQUIRED
    references = (
        "https://docs.docker.com/engine/containers/runmetrics/#control-groups",
        "https://www.freedesktop.org/software/systemd/man/latest/systemd.html#systemd.unified_cgroup_hierarchy",
        "https://github.com/systemd/systemd/blob/v256/NEWS",
        "https://github.com/systemd/systemd/blob/v257/NEWS",
        "https://github.com/systemd/systemd/blob/v258/NEWS",
        "https://github.com/OpenRC/openrc/blob/master/init.d/cgroups.in",
    )
    accepted: tuple[str, ...] = ("v1", "hybrid", "v2")
    """The modes that are no failure of a required kind; `v2` alone refuses the others."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        found = host.fact(cgroup.mode)
        if host.kind == "live":
            if found.now is None:
                raise Unavailable("what is mounted is not to be seen: /proc/self/mountinfo does not tell")
            yield self._judge(host, found.now, "now")
        if found.boot is not None:
            yield self._judge(host, found.boot, "boot")
        elif host.kind != "live":
            raise Unavailable("; ".join(found.evidence))
        if found.boot == "v2" and (found.systemd or 0) >= 257:
            yield from self._in_vain(host, found)
        if host.kind == "live" and found.boot not in (None, "boot-fails", found.now) and found.now != "none":
            yield failed(
                "cgroup mode change",
                f"{found.now} now, {found.boot} after the next boot: limits are read and set in another way",
                value=f"{found.now}, then {found.boot}",
                expected="the same",
                when="boot",
                path=found.path,
                line=found.line,
                severity=Severity.INFO,
                hint="reboot before the host is put to work, or keep the mode: " + found.evidence[-1],
            )

    def _in_vain(self, host: Host, found: cgroup.Mode) -> Iterator[Finding]:
        """Say that v1 is asked for, which this systemd no longer gives."""
        try:
            value = boot.option(boot.boot(host).cmdline, cgroup.UNIFIED)
        except (OSError, Unavailable):
            return
        if cgroup.truth(value) is False:
            word = f"{cgroup.UNIFIED}={value}"
            yield failed(
                cgroup.UNIFIED,
                f"{found.evidence[-1].partition(': ')[2]}: what needs cgroup v1 here will not find it",
                value=value,
                expected="not set",
                when="boot",
                path=found.path,
                line=found.line,
                severity=Severity.INFO,
                hint=f"take {word} off the kernel command line",
                commands=remove(host, word)[:-1],
            )

    def _judge(self, host: Host, mode: str, when: str) -> Finding:
        found = host.fact(cgroup.mode)
        more: dict[str, Any] = {"value": mode, "expected": "v2", "when": when}
        if when == "boot":
            more.update(path=found.path, line=found.line)
        after = "" if when == "now" else " after the next boot"
        reason = "" if when == "now" else f" ({found.evidence[-1].partition(': ')[2] or found.evidence[-1]})"
        if mode == "boot-fails":
            value = boot.option(boot.boot(host).cmdline, cgroup.UNIFIED)
            return failed(
                SUBJECT,
                f"systemd {found.systemd} will not boot with {cgroup.UNIFIED}={value}: it refuses cgroup v1",
                hint=f"take {cgroup.UNIFIED}={value} off the kernel command line before the next boot",
                commands=remove(host, f"{cgroup.UNIFIED}={value}")[:-1],
                **more,
            )
        if mode == "none":
            if when == "now" and found.init == "openrc" and found.boot not in (None, "none"):
                return passed(SUBJECT, "not mounted now: the engine's service has OpenRC mount them", **more)
            openrc = ["rc-update add cgroups sysinit", "rc-service cgroups start"]
            return failed(
                SUBJECT,
                f"no control groups are mounted{after}: no engine starts{reason}",
                commands=openrc if found.init == "openrc" else (),
                hint=""
                if found.init == "openrc"
                else "mount -t cgroup2 cgroup2 /sys/fs/cgroup, in a boot script",
                **more,
            )
        if mode == "v2":
            return passed(SUBJECT, f"{NAMES[mode]}{after}{reason}", **more)
        if mode not in self.accepted:
            text_ = f"{NAMES[mode]}{after}: only {' or '.join(self.accepted)} will do here{reason}"
            return failed(SUBJECT, text_, commands=to_v2(host), hint="boot with cgroup v2", **more)
        text_ = f"{NAMES[mode]}{after}: it works, and its end is near: systemd has dropped it, engines follow"
        severity = Severity.INFO
        return failed(
            SUBJECT, text_, severity=severity, commands=to_v2(host), hint="boot with cgroup v2", **more
        )


# Tool, name, version from which v1 is deprecated, until when, version that refuses v1.
_END_OF_V1 = (
    ("dockerd", "docker", "29.0", "Docker drops it in May 2029 at the earliest", ""),
    ("containerd", "containerd", "2.2", "containerd drops it in May 2029", ""),
    ("runc", "runc", "1.4", "runc deprecated it in 1.4", ""),
    ("podman", "podman", "5.0", "Podman 6 drops it", "6.0"),
    ("kubelet", "kubelet", "1.31", "the kubelet refuses it from 1.35 on", "1.35"),
)
_START_OF_V2 = (
    ("kubelet", "kubelet", "1.19"),
    ("crio", "crio", "1.20"),
    ("podman", "podman", "1.6"),
)


class CgroupEngines(Check):
    """Every engine that is installed supports the cgroup mode of this host.

    *Why*: an engine from before v2 starts no container on it (`cgroup mountpoint does not exist`); a newer one
    warns of v1 (Docker 29, containerd 2.2, runc 1.4, Podman 5), and the kubelet refuses it from 1.35 on.

    *Needs*: the mode, now and after the next boot, and the engines' versions; failCgroupV1 of the kubelet. That
    docker, containerd and runc know v2 is asked by the checks of their versions (runtime.*).

    *Fix*: boot with v2, or install an engine that knows it.
    """

    id = "cgroup.engines"
    severity = Severity.RECOMMENDED
    references = (
        "https://docs.docker.com/engine/deprecated/#cgroup-v1",
        "https://containerd.io/releases/#deprecated-features",
        "https://github.com/opencontainers/runc/blob/main/CHANGELOG.md",
        "https://kubernetes.io/docs/concepts/architecture/cgroups/",
        "https://github.com/kubernetes/enhancements/tree/master/keps/sig-node/5573-remove-cgroup-v1",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        found = host.fact(cgroup.mode)
        modes = [("now", found.now)] if host.kind == "live" else []
        if found.boot != found.now or host.kind != "live":
            modes.append(("boot", found.boot))
        known = {
            name: version
            for name in ("dockerd", "containerd", "runc", "podman", "kubelet", "crio")
            if (version := engine.version(host, name)) is not None
        }
        if not known:
            raise NotApplicable("no engine is installed, or none tells its version")
        said = False
        for when, mode in modes:
            for finding in self._mode(host, known, mode, when):
                said = True
                yield finding
        if not said:
            raise Unavailable("the cgroup mode is not known: see cgroup.mode")

    def _mode(self, host: Host, known: dict[str, Version], mode: str | None, when: str) -> Iterator[Finding]:
        if mode == "v2":
            for tool, name, floor in _START_OF_V2:
                if tool in known:
                    more: dict[str, Any] = {"value": known[tool], "expected": f">= {floor}", "when": when}
                    if known[tool] < Version(floor):
                        message = f"{name} {known[tool]} knows only cgroup v1, and the host has v2: no container starts"
                        hint = f"install {name} {floor} or newer, or boot with {cgroup.UNIFIED}=0 (systemd before 256)"
                        yield failed(name, message, severity=Severity.REQUIRED, hint=hint, **more)
                    else:
                        yield passed(name, f"{name} {known[tool]} knows cgroup v2", **more)
            if not any(tool in known for tool, _name, _floor in _START_OF_V2):
                yield passed(SUBJECT, "v2: the engines here know it", value=mode, when=when)
        elif mode in ("v1", "hybrid"):
            for tool, name, deprecated, end, refused in _END_OF_V1:
                if tool in known:
                    yield self._v1(host, name, known[tool], deprecated, end, refused, when)

    def _v1(
        self, host: Host, name: str, version: Version, deprecated: str, end: str, refused: str, when: str
    ) -> Finding:
        more: dict[str, Any] = {"value": version, "when": when}
        if version < Version(deprecated):
            return passed(name, f"{name} {version} supports cgroup v1", **more)
        more.update(expected="cgroup v2", commands=to_v2(host), hint="boot with cgroup v2")
        if refused and version >= Version(refused):
            kept = cgroup_kubelet(host, "failCgroupV1") if name == "kubelet" else None
            if kept and kept[0] == "false":
                message = (
                    f"kubelet {version} runs on cgroup v1 only for failCgroupV1: false; 1.38 may drop it"
                )
                return failed(name, message, path=kept[1], line=kept[2], **more)
            severity = Severity.REQUIRED
            return failed(name, f"{name} {version} refuses to run on cgroup v1", severity=severity, **more)
        return failed(name, f"{name} {version} deprecates cgroup v1: {end}", **more)


def cgroup_kubelet(host: Host, key: str) -> tuple[str, str, int] | None:
    """Return a top-level setting of the kubelet's configuration, with file and line; None where none is made."""
    found = None
    folder = "/etc/kubernetes/kubelet.conf.d"
    dropins = [f"{folder}/{name}" for name in names(host, folder) if name.endswith(".conf")]
    for path in ("/var/lib/kubelet/config.yaml", *dropins):
        for number, line in enumerate((text(host, path) or "").split("\n"), 1):
            name, colon, value = line.partition(":")
            if colon and name.strip("\"' ") == key and name[:1] not in (" ", "#"):
                found = (value.partition(" #")[0].strip().strip("\"'"), path, number)
    return found


class CgroupDriver(Check):
    """One manager writes the control groups: the engine and the kubelet agree on their driver.

    *Why*: with systemd as init and cgroup v2, dockerd lets systemd make the groups; a kubelet that uses Docker
    and has another driver refuses to start (`misconfiguration: kubelet cgroup driver`).

    *Needs*: native.cgroupdriver of dockerd's exec-opts, else its own choice: systemd on v2 with systemd as init,
    cgroupfs elsewhere. cgroupDriver of the kubelet, where it uses Docker. For containerd see
    containerd.cgroup_driver.

    *Fix*: the same driver in both; systemd where systemd is the init.
    """

    id = "cgroup.driver"
    severity = Severity.REQUIRED
    references = (
        "https://github.com/moby/moby/blob/v28.5.2/daemon/daemon_unix.go",
        "https://kubernetes.io/docs/setup/production-environment/container-runtimes/#cgroup-drivers",
        "https://docs.docker.com/engine/release-notes/20.10/",
        "https://github.com/opencontainers/runc/commit/13919f5df",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        files = ("/etc/docker/daemon.json", "/var/lib/kubelet/config.yaml")
        if engine.stage(host) == "before" and not all(host.exists(path) for path in files):
            raise NotApplicable("docker is not installed")
        driver, path, line, chosen = self._docker(host)
        if driver is None:
            raise Unavailable(
                "the cgroup mode is not known (see cgroup.mode), and daemon.json names no driver"
            )
        how = "as exec-opts say" if chosen else "its own choice here"
        yield passed(
            "docker native.cgroupdriver",
            f"dockerd uses {driver}, {how}",
            value=driver,
            path=path,
            line=line,
            when="boot",
        )
        if driver == "systemd":
            yield from self._runtime(host)
        yield from self._kubelet(host, driver, path, chosen)

    def _runtime(self, host: Host) -> Iterator[Finding]:
        """Say where runc was built without systemd: a static one is before 1.0.0-rc10 (its tag static_build)."""
        runc = found_tool(host, "runc")
        if runc is None or runc.version is None or runc.version >= Version("1.0.0-rc10"):
            return
        path = engine.program(host, "docker-runc") or runc.path
        try:
            static = path is not None and elf.loader(host, path) is None
        except (OSError, Unavailable):
            return
        if static:
            yield failed(
                "runc",
                f"runc {runc} is static and was built without systemd, through which dockerd is told to work:"
                " no container starts",
                value=str(runc),
                expected=">= 1.0.0-rc10",
                path=path,
                hint="upgrade runc, or take native.cgroupdriver=systemd out of exec-opts",
            )

    def _docker(self, host: Host) -> tuple[str | None, str | None, int | None, bool]:
        setting = docker.effective(host).get("exec-opts")
        for item in setting.value if setting and isinstance(setting.value, (list, tuple)) else ():
            key, _, value = str(item).partition("=")
            if key.strip().lower() == "native.cgroupdriver" and setting:
                return value.strip(), setting.path, setting.line, True
        mode = host.fact(cgroup.mode)
        here = mode.boot or mode.now
        if here is None:
            return None, None, None, False
        version = engine.docker_version(host)
        modern = version is None or version >= Version("20.10")
        systemd_ = here == "v2" and mode.init == "systemd" and modern
        return ("systemd" if systemd_ else "cgroupfs"), None, None, False

    def _kubelet(self, host: Host, driver: str, path: str | None, chosen: bool) -> Iterator[Finding]:
        setting = cgroup_kubelet(host, "cgroupDriver")
        flag = _kubelet_flag(host, "--cgroup-driver")
        if setting is None and flag is None and "kubelet" not in engine.installed(host):
            return
        if not self._uses_docker(host, chosen):
            return
        found = flag or setting
        version = engine.version(host, "kubelet")
        # kubeadm has set systemd since 1.22; the kubelet's own default is cgroupfs.
        wants = found[0] if found else "cgroupfs"
        more: dict[str, Any] = {
            "value": wants, "expected": driver, "when": "boot",
            "path": found[1] if found else None, "line": found[2] if found else None,
        }  # fmt: skip
        if wants == driver:
            yield passed("kubelet cgroupDriver", f"{wants}, as dockerd's", **more)
            return
        name = f"kubelet {version}" if version else "the kubelet"
        target = more["path"] or "/var/lib/kubelet/config.yaml"
        edit = (
            f"sed -i 's/^cgroupDriver:.*/cgroupDriver: {driver}/' {target}"
            if setting and not flag
            else f"echo 'cgroupDriver: {driver}' >> /var/lib/kubelet/config.yaml"
        )
        yield failed(
            "kubelet cgroupDriver",
            f"{name} uses {wants}, dockerd {driver}{f' ({path})' if path else ''}: the kubelet refuses to start",
            commands=[edit, "systemctl restart kubelet"] if not flag else (),
            hint=f"set --cgroup-driver={driver} in {target}" if flag else "",
            **more,
        )

    def _uses_docker(self, host: Host, chosen: bool) -> bool:
        endpoint = cgroup_kubelet(host, "containerRuntimeEndpoint") or _kubelet_flag(
            host, "--container-runtime-endpoint"
        )
        if endpoint:
            return "docker" in endpoint[0]
        if engine.program(host, "cri-dockerd"):
            return True
        version = engine.version(host, "kubelet")
        if version is not None:
            return version < Version("1.24")
        # Nothing names the runtime: who wrote a driver for Docker meant the kubelet to see it.
        return chosen and "SystemdCgroup" not in (text(host, "/etc/containerd/config.toml") or "")


def _kubelet_flag(host: Host, flag: str) -> tuple[str, str, int] | None:
    found = None
    folder = "/etc/systemd/system/kubelet.service.d"
    dropins = [f"{folder}/{name}" for name in names(host, folder) if name.endswith(".conf")]
    for path in (
        *dropins,
        "/etc/default/kubelet",
        "/etc/sysconfig/kubelet",
        "/var/lib/kubelet/kubeadm-flags.env",
    ):
        for number, line in enumerate((text(host, path) or "").split("\n"), 1):
            _before, mark, rest = line.partition(flag + "=")
            if mark and not line.lstrip().startswith("#"):
                found = (rest.split()[0].strip("\"'") if rest.split() else "", path, number)
    return found


class CgroupNamespaceMode(Check):
    """Which view of the control groups a container gets is known.

    *Why*: on v2 dockerd gives each container a namespace of its own (`private`), on v1 the host's. Images that
    run systemd, and tools that read /sys/fs/cgroup inside a container, see the difference.

    *Needs*: default-cgroupns-mode of dockerd, else the cgroup mode.

    *Fix*: nothing; `"default-cgroupns-mode": "host"` in daemon.json or --cgroupns=host where an image needs it.
    """

    id = "cgroup.namespace_mode"
    severity = Severity.INFO
    references = (
        "https://docs.docker.com/reference/cli/dockerd/#default-cgroup-namespace-mode",
        "https://github.com/moby/moby/blob/v28.5.2/daemon/config/config_linux.go",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        engine.need_docker(host)
        found = host.fact(cgroup.mode)
        mode = found.boot or found.now
        setting = docker.effective(host).get("default-cgroupns-mode")
        if setting and setting.value:
            yield passed(
                "default-cgroupns-mode",
                f"{setting.value}, as it is set",
                value=setting.value,
                path=setting.path,
                line=setting.line,
                when="boot",
            )
        elif mode is None:
            raise Unavailable("the cgroup mode is not known: see cgroup.mode")
        else:
            value = "private" if mode == "v2" else "host"
            yield passed(
                "default-cgroupns-mode",
                f"{value}: dockerd's default on {NAMES.get(mode, mode)}",
                value=value,
                when="boot",
            )


class CgroupV2DroppedFlags(Check):
    """It is known which of docker's options have no effect on cgroup v2.

    *Why*: cgroup v2 has no counterpart of --oom-kill-disable, --kernel-memory, --memory-swappiness,
    --cpu-rt-runtime and --cpu-rt-period. docker takes them with a warning, or refuses them.

    *Needs*: the cgroup mode.

    *Fix*: nothing on the host; leave the options out.
    """

    id = "cgroup.v2_dropped_flags"
    severity = Severity.INFO
    references = (
        "https://docs.docker.com/engine/containers/resource_constraints/",
        "https://github.com/moby/moby/blob/v28.5.2/daemon/daemon_unix.go",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        found = host.fact(cgroup.mode)
        if (found.boot or found.now) != "v2":
            raise NotApplicable("the options work on cgroup v1")
        for flag in ("--oom-kill-disable", "--kernel-memory", "--memory-swappiness", "--cpu-rt-runtime"):
            yield passed(flag, "without effect on cgroup v2", value="ignored", when="boot")
