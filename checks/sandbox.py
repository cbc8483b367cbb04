"""What a unit takes away from an engine: the sandbox that systemd can put around a service."""

from __future__ import annotations

from collections.abc import Iterator

from hostcheck.api import Check, Finding, Host, NotApplicable, Record, Severity, failed, passed
from hostcheck.facts import engine, systemd

REQUIRED, RECOMMENDED = "required", "recommended"
YES = ("yes", "true", "1", "on", "y", "t")


class Wall(Record):
    """A setting of systemd.exec(5) that an engine's unit must do without."""

    key: str
    values: tuple[str, ...]
    """Those that put the wall up, in small letters; empty for any but those that take it down."""
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
    Wall("ProtectKernelTunables", YES, RECOMMENDED, "it cannot switch on the forwarding of packets"),
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

ENGINES = {"docker.service": "docker", "containerd.service": "containerd", "kubelet.service": "kubelet"}


class SandboxUnits(Check):
    """systemd puts no wall between an engine and the host that it is to work on.

    *Why*: what hardens other services breaks an engine, and each container is its child and inherits it: namespaces
    that it may not make, folders that are another's, programs without their rights.

    *Needs*: none of a list of settings of systemd.exec(5) in docker.service, containerd.service and kubelet.service.

    *Fix*: take the line out, or put `KEY=no` into a drop-in that sorts last.
    """

    id = "sandbox.units"
    severity = Severity.REQUIRED
    references = (
        "https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html",
        "https://github.com/moby/moby/issues/19625",
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
            walls = list(self._walls(unit))
            yield from walls
            if not walls:
                yield passed(name, "no wall stands around it", path=unit.shown, when="boot")
        if silent:
            raise NotApplicable("no unit of an engine is installed")

    def _walls(self, unit: systemd.Unit) -> Iterator[Finding]:
        last = {each.key: each for each in unit.assignments if each.section == "Service"}
        opened = any(each.key == "ReadWritePaths" for each in unit.assignments)
        for wall in WALLS:
            said = last.get(wall.key)
            if said is None or said.value.strip().lower() not in wall.values:
                continue
            if wall.key == "ProtectSystem" and opened:
                continue
            yield failed(
                f"{unit.name} {wall.key}",
                f"{wall.key}={said.value.strip()}: {wall.effect}",
                value=said.value.strip(),
                expected="not set",
                severity=Severity(wall.severity),
                path=said.path,
                line=said.line,
                when="boot",
                commands=[
                    f"sed -i '{said.line}s/^/# /' {said.path}",
                    "systemctl daemon-reload",
                    f"systemctl restart {unit.name}",
                ],
            )
