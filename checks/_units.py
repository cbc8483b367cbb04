"""What the checks of the engines' units share: which units, how they are changed, where a setting stands."""

from __future__ import annotations

from hostcheck._typing import Optional
from hostcheck.api import Host, NotApplicable
from hostcheck.facts import engine, systemd
from hostcheck.facts.unitvalues import Setting, Unit

DOCKER_UNIT = "https://github.com/moby/moby/blob/master/contrib/init/systemd/docker.service"
CONTAINERD_UNIT = "https://github.com/containerd/containerd/blob/main/containerd.service"
EXEC_5 = "https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html"
SERVICE_5 = "https://www.freedesktop.org/software/systemd/man/latest/systemd.service.html"
UNIT_5 = "https://www.freedesktop.org/software/systemd/man/latest/systemd.unit.html"
RESOURCE_5 = "https://www.freedesktop.org/software/systemd/man/latest/systemd.resource-control.html"

ENGINES = {
    "docker.service": "docker",
    "containerd.service": "containerd",
    "kubelet.service": "kubelet",
    "crio.service": "crio",
}
"""Unit to the engine that it starts."""

DAEMONS = ("docker.service", "containerd.service")
ALL = (*DAEMONS, "kubelet.service", "crio.service")


def units(host: Host, wanted: tuple[str, ...]) -> list[Unit]:
    """Return those of the units that exist and can be started.

    Raises:
        NotApplicable: no engine is installed, systemd is not the init, or there is no such unit.

    """
    need_systemd(host)
    found = []
    for name in wanted:
        if engine.stage(host, ENGINES.get(name, "docker")) != "before":
            unit = systemd.unit(host, name)
            if unit is not None and unit.load in ("loaded", "bad-setting"):
                found.append(unit)
    if not found:
        raise NotApplicable(f"none of {', '.join(wanted)} is installed")
    return found


def need_systemd(host: Host) -> None:
    """Raise NotApplicable where the engine is not installed yet, or something else than systemd starts it."""
    if all(engine.stage(host, name) == "before" for name in ENGINES.values()):
        raise NotApplicable("docker is not installed")
    other = systemd.other_init(host)
    if other:
        raise NotApplicable(f"{other} is the init here, and reads no units")


def drop_in(unit: Unit, *lines: str) -> list[str]:
    """Return the commands that add lines to [Service] of a unit for good; each setting has a file of its own."""
    folder = f"/etc/systemd/system/{unit.name}.d"
    path = f"{folder}/90-{lines[0].partition('=')[0].lower()}.conf"
    body = "".join(
        line.replace("\\", "\\\\").replace("%", "%%").replace("'", "'\\''") + "\\n" for line in lines
    )
    return [
        f"mkdir -p {folder}",
        f"printf '[Service]\\n{body}' > {path}",
        "systemctl daemon-reload",
        f"systemctl restart {unit.name}",
    ]


def at(setting: Optional[Setting], unit: Optional[Unit] = None) -> dict[str, object]:
    """Return where a setting comes from, as a finding wants it."""
    if setting is not None and setting.path:
        return {"path": setting.path, "line": setting.line, "when": "boot"}
    return {"path": unit.shown if unit else None, "when": "boot"}
