"""What is taken away from an engine: by the sandbox that systemd can put around a service, by a umask."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hostcheck.api import (
    Check,
    Finding,
    Host,
    NotApplicable,
    Record,
    Severity,
    Unavailable,
    Version,
    failed,
    passed,
)
from hostcheck.facts import engine, files, systemd
from hostcheck.facts.unitvalues import Unit
from hostcheck.facts.versions import found_tool

from ._storage import known_driver

REQUIRED, RECOMMENDED = "required", "recommended"
YES = ("yes", "true", "1", "on", "y", "t")


class Wall(Record):
    """A setting of systemd.exec(5) that an engine's unit must do without."""

    key: str
    values: tuple[str, ...]
    """Those that put the wall up, in small letters."""
    severity: str
    effect: str
    """What follows, as the end of a sentence."""


WALLS = (
    Wall("ProtectSystem", ("strict",), REQUIRED, "it may write to neither its data root nor /run"),
    Wall(
        "ProtectControlGroups", (*YES, "private", "strict"), REQUIRED, "no cgroup of a container can be made"
    ),
    Wall("ProtectHostname", (*YES, "private"), REQUIRED, "runc may not name a container: none starts"),
    Wall("PrivateDevices", YES, REQUIRED, "no device of a container can be made"),
    Wall("PrivateNetwork", YES, REQUIRED, "containers reach no network, nor are they reached"),
    Wall("PrivateUsers", (*YES, "self", "identity", "full"), REQUIRED, "it is root over nothing of the host"),
    Wall("RestrictNamespaces", YES, REQUIRED, "no container can be isolated: none starts"),
    Wall("RestrictSUIDSGID", YES, REQUIRED, "images with setuid programs cannot be unpacked"),
    Wall("NoNewPrivileges", YES, RECOMMENDED, "su, sudo and ping in containers gain nothing"),
    Wall("MemoryDenyWriteExecute", YES, RECOMMENDED, "Java, Node.js and what else compiles as it runs fails"),
    Wall("ProtectKernelModules", YES, RECOMMENDED, "it loads none of the modules that its networks need"),
    Wall("ProtectKernelTunables", YES, RECOMMENDED, "it cannot set sysctls, as for forwarding packets"),
    Wall(
        "ProtectHome",
        (*YES, "read-only", "tmpfs"),
        RECOMMENDED,
        "volumes of /home and /root are not the host's",
    ),
    Wall(
        "PrivateTmp", (*YES, "disconnected"), RECOMMENDED, "volumes of /tmp and /var/tmp are not the host's"
    ),
    Wall(
        "PrivateMounts",
        YES,
        RECOMMENDED,
        "the host does not see what is mounted for containers, as rshared asks",
    ),
    Wall(
        "MountFlags",
        ("private", "slave"),
        RECOMMENDED,
        "the host does not see what is mounted for containers",
    ),
)

OWN_MOUNTS = (
    *("MountFlags", "PrivateMounts", "PrivateTmp", "PrivateDevices", "ProtectHome", "ProtectSystem"),
    *("ProtectKernelTunables", "ProtectKernelModules", "ProtectKernelLogs", "ProtectControlGroups"),
    *("ReadWritePaths", "ReadOnlyPaths", "InaccessiblePaths", "BindPaths", "BindReadOnlyPaths"),
    *("ReadWriteDirectories", "ReadOnlyDirectories", "InaccessibleDirectories", "TemporaryFileSystem"),
)
"""Settings for which systemd gives a service mounts of its own.

Source: exec_needs_mount_namespace in systemd's src/core/exec-invoke.c.
"""

OFF = ("", "no", "false", "0", "off", "n", "f", "shared")
"""Values with which they do not."""

ENGINES = {"docker.service": "docker", "containerd.service": "containerd", "kubelet.service": "kubelet"}


class SandboxUnits(Check):
    """systemd puts no wall between an engine and the host that it is to work on.

    *Why*: what hardens other services breaks an engine, and each container is its child and inherits it: namespaces
    that it may not make, folders that are another's, programs without their rights.

    *Needs*: none of a list of settings of systemd.exec(5) in docker.service, containerd.service and kubelet.service. In
    docker.service nothing that gives dockerd mounts of its own, where containerd is a service beside it (docker 18.09
    and later): runc then finds the root of each container empty.

    *Fix*: take the line out, or put `KEY=no` into a drop-in that sorts last.
    """

    id = "sandbox.units"
    severity = Severity.REQUIRED
    references = (
        "https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html",
        "https://github.com/moby/moby/issues/19625",
        "https://github.com/haxorof/ansible-role-docker-ce/issues/76",
        "https://github.com/moby/moby/blob/master/contrib/init/systemd/docker.service",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        silent = True
        for name, program in ENGINES.items():
            if engine.stage(host, program) == "before":
                continue
            unit = systemd.unit(host, name)
            if unit is None or unit.load not in ("loaded", "bad-setting"):
                continue
            silent = False
            walls = list(self._walls(unit, program == "docker" and mounts_for_another(host)))
            yield from walls
            if not walls:
                yield passed(name, "no wall stands around it", path=unit.shown, when="boot")
        if silent:
            raise NotApplicable("no unit of an engine is installed")

    def _walls(self, unit: Unit, apart: bool) -> Iterator[Finding]:
        last = {each.key: each for each in unit.assignments if each.section == "Service"}
        for key, said in last.items():
            value = said.value.strip()
            harm = harm_of(key, value.lower(), apart)
            if harm is None or (key == "ProtectSystem" and "ReadWritePaths" in last and not apart):
                continue
            severity, effect = harm
            yield failed(
                f"{unit.name} {key}",
                f"{key}={value}: {effect}",
                value=value,
                expected="not set",
                severity=Severity(severity),
                path=said.path,
                line=said.line,
                when="boot",
                commands=[
                    f"sed -i '{said.line}s/^/# /' {said.path}",
                    "systemctl daemon-reload",
                    f"systemctl restart {unit.name}",
                ],
            )


def harm_of(key: str, value: str, apart: bool) -> tuple[str, str] | None:
    """Return how bad a setting is and what follows, None if nothing does.

    `apart` is whether the service mounts for another, which sees none of it once the service has mounts of its own.
    """
    wall = next((each for each in WALLS if each.key == key and value in each.values), None)
    if apart and key in OWN_MOUNTS and value not in OFF and (wall is None or wall.severity != REQUIRED):
        return REQUIRED, "containerd does not see what dockerd mounts as the root of a container: none starts"
    return (wall.severity, wall.effect) if wall else None


def mounts_for_another(host: Host) -> bool:
    """Return whether dockerd mounts the roots of containers for a containerd that is a service beside it."""
    version = engine.docker_version(host)
    if "containerd" not in engine.installed(host) or (version is not None and version < Version("18.09")):
        return False
    driver = known_driver(host)
    # These two need no mount.
    return driver is None or driver.name not in ("vfs", "btrfs")


LOGINS = (
    "/etc/login.defs",
    "/etc/profile",
    "/etc/bash.bashrc",
    "/etc/bashrc",
    "/root/.profile",
    "/root/.bashrc",
)
"""Files that may set the umask of a shell; those of /etc/profile.d come after them."""

_UMASK = r"""(?m)^[ \t]*(?:UMASK[ \t]+|umask[ \t=]+)(0?[0-7]{3})\b"""
_PAM = r"(?m)^[^#\n]*pam_umask\.so[^#\n]*\bumask=(0?[0-7]{3})\b"


class SandboxUmask(Check):
    """What an engine writes for containers can be read in them.

    *Why*: resolv.conf, hosts and the folders of layers are made under the umask of the program that writes them.
    Where it keeps others from reading, programs in containers that are not root resolve no names.

    *Needs*: no UMask= that takes reading away in containerd.service, crio.service or the kubelet's; for nerdctl
    before 2.0.2, which writes as the shell that starts it, the umask of shells. dockerd and podman set 0022
    themselves.

    *Fix*: `UMask=0022` in a drop-in; `umask 0022` before nerdctl, or a newer nerdctl.
    """

    id = "sandbox.umask"
    severity = Severity.REQUIRED
    references = (
        "https://github.com/containerd/nerdctl/issues/2684",
        "https://github.com/containerd/nerdctl/issues/3704",
        "https://github.com/moby/moby/blob/v28.5.2/cmd/dockerd/daemon_unix.go",
    )
    nerdctl: str = "auto"
    """Whether containers are started with nerdctl: `yes`, `no`, or `auto`, if it is there."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        found = [*self._units(host), *self._shells(host)]
        if not found:
            raise NotApplicable("no engine here writes under a umask that can be set")
        yield from found

    def _units(self, host: Host) -> Iterator[Finding]:
        for name in ("containerd.service", "crio.service", "kubelet.service"):
            unit = systemd.unit(host, name)
            if unit is None or unit.load not in ("loaded", "bad-setting"):
                continue
            said = next((each for each in reversed(unit.assignments) if each.key == "UMask"), None)
            value = said.value.strip() if said is not None else "0022"
            more = {"value": value, "expected": "0022", "when": "boot"}
            if said is None or not _hides(value):
                yield passed(f"{name} UMask", f"others may read what it writes: {value}", **more)
                continue
            yield failed(
                f"{name} UMask",
                f"UMask={value}: only root in containers can read /etc/resolv.conf, and names are not resolved",
                path=said.path,
                line=said.line,
                commands=[f"sed -i '{said.line}s/^/# /' {said.path}", "systemctl daemon-reload"],
                hint=f"then systemctl restart {name}",
                **more,
            )

    def _shells(self, host: Host) -> Iterator[Finding]:
        tool = found_tool(host, "nerdctl")
        if self.nerdctl == "no" or (tool is None and self.nerdctl != "yes"):
            return
        if tool is not None and tool.version is not None and tool.version >= Version("2.0.2"):
            yield passed(
                "nerdctl", f"{tool.version} writes for everybody, whatever the umask is", when="boot"
            )
            return
        strict = next(self._strict(host), None)
        if strict is None:
            yield passed("umask", "shells leave others the right to read", when="boot")
            return
        path, line, value = strict
        yield failed(
            "umask",
            f"umask {value}: what nerdctl writes for a container only root can read in it; no names are resolved",
            value=value,
            expected="0022",
            severity=Severity.REQUIRED if tool is not None else Severity.RECOMMENDED,
            path=path,
            line=line,
            when="boot",
            hint="start containers with `umask 0022; nerdctl ...`, or take nerdctl 2.0.2 or later",
        )

    def _strict(self, host: Host) -> Iterator[tuple[str, int, str]]:
        """Give what sets a umask that hides files from others: path, line and value."""
        found = [(path, _UMASK) for path in LOGINS]
        found += [("/etc/pam.d/common-session", _PAM), ("/etc/pam.d/postlogin", _PAM)]
        found += [
            (f"/etc/profile.d/{name}", _UMASK)
            for name in files.names(host, "/etc/profile.d")
            if name.endswith(".sh")
        ]
        for path, pattern in found:
            try:
                content = files.text(host, path) or ""
            except (PermissionError, Unavailable):
                continue
            for said in re.finditer(pattern, content):
                if _hides(said.group(1)):
                    yield path, content.count("\n", 0, said.start()) + 1, said.group(1)


def _hides(umask: str) -> bool:
    """Return whether others may not read what is written under a umask.

    >>> _hides("0077"), _hides("027"), _hides("0022"), _hides("x")
    (True, True, False, False)
    """
    return bool(re.match(r"0?[0-7]{3}$", umask)) and bool(int(umask, 8) & 0o004)
