"""The files of the engines' units: enabled, whole, with all that they need, and read as they are now."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hostcheck._typing import Any
from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, Unavailable, failed, passed
from hostcheck.facts import engine, systemd
from hostcheck.facts.files import Source, text
from hostcheck.facts.unitfile import Problem
from hostcheck.facts.unitvalues import Setting, Unit

from ._units import ALL, DAEMONS, DOCKER_UNIT, ENGINES, EXEC_5, UNIT_5, at, need_systemd, units


class UnitsEnabled(Check):
    """The engines start at boot.

    *Why*: a service that is not enabled does not start at the next boot. With docker.socket alone, containers that have
    a restart policy stay down until somebody runs a docker command; a published port wakes nobody. A masked unit cannot
    be started at all.

    *Needs*: links in .wants and .requires folders, masks; where the image has not had its first boot, presets.

    *Fix*: systemctl enable --now docker.service; systemctl unmask docker.service.
    """

    id = "units.enabled"
    aliases = ("systemd.enabled",)
    severity = Severity.RECOMMENDED
    references = ("https://docs.docker.com/engine/install/linux-postinstall/", UNIT_5)

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        need_systemd(host)
        said = False
        for name, program in ENGINES.items():
            if engine.stage(host, program) == "before":
                continue
            unit = systemd.unit(host, name)
            if unit is None or unit.load == "not-found":
                if name == "docker.service":
                    said = True
                    yield self.no_unit(host)
                continue
            said = True
            yield self.state(host, unit)
            if unit.shadowed and unit.load != "masked":
                yield self.shadow(unit)
        if not said:
            raise NotApplicable("no engine has a unit here")

    def no_unit(self, host: Host) -> Finding:
        """Say that nothing starts dockerd, unless a snap does."""
        snap = systemd.unit(host, "snap.docker.dockerd.service")
        if snap is not None and snap.load == "loaded":
            return passed(
                "docker.service", "the snap's unit starts dockerd", value="snap", path=snap.shown, when="boot"
            )
        return failed(
            "docker.service",
            "there is no docker.service: nothing starts dockerd at boot",
            value="not-found",
            expected="enabled",
            when="boot",
            hint=f"install the package's unit, or the one of {DOCKER_UNIT}",
        )

    def state(self, host: Host, unit: Unit) -> Finding:
        """Judge one unit."""
        state = systemd.enabled(host, unit.name) or Setting("disabled")
        more = {"value": state.value, "expected": "enabled", "path": state.path, "when": "boot"}
        if state.value in ("masked", "masked-runtime"):
            if unit.name == "containerd.service" and not _uses_containerd_unit(host):
                return passed(unit.name, "masked, and not needed: dockerd starts its own", **more)
            return failed(
                unit.name,
                "it is masked and cannot be started",
                **more,
                severity=Severity.REQUIRED,
                commands=[f"systemctl unmask {unit.name}", f"systemctl enable --now {unit.name}"],
            )
        if state.value in ("enabled", "generated", "static", "transient") or state.value == "alias":
            return passed(unit.name, f"it starts at boot ({state.value})", **more)
        waker = self.wanted_by(host, unit)
        if waker:
            return passed(unit.name, f"{waker} starts it", **more)
        if self.first_boot(host) and systemd.preset(host, unit.name).value == "enabled":
            return passed(unit.name, "the first boot enables it (preset)", **more)
        socket = systemd.enabled(host, unit.name.replace(".service", ".socket"))
        enable = [f"systemctl enable --now {unit.name}"]
        if socket is not None and socket.value.startswith("enabled"):
            return failed(
                unit.name,
                "only its socket is enabled: containers stay down after a boot until somebody uses the client",
                **more,
                commands=enable,
            )
        return failed(
            unit.name, f"it is {state.value}: nothing starts it at the next boot", **more, commands=enable
        )

    def wanted_by(self, host: Host, unit: Unit) -> str:
        """Return the enabled unit of an engine that pulls this one in, if one does."""
        for other in ("docker.service", "kubelet.service", "cri-docker.service"):
            found = systemd.unit(host, other) if other != unit.name else None
            state = systemd.enabled(host, other) if found and found.load == "loaded" else None
            if not found or not state or state.value != "enabled":
                continue
            if any(unit.name in found.value(prop).split() for prop in ("Wants", "Requires", "BindsTo")):
                return other
        if (
            unit.name == "containerd.service"
            and not _uses_containerd_unit(host)
            and engine.stage(host) != "before"
        ):
            return "dockerd, which has its own, and nothing else"
        return ""

    def first_boot(self, host: Host) -> bool:
        """Return whether the next boot is the first, at which systemd applies presets (machine-id(5))."""
        if host.kind == "live":
            return False
        identity = text(host, "/etc/machine-id")
        return identity is None or identity.strip() == "uninitialized"

    def shadow(self, unit: Unit) -> Finding:
        """Say that a copy in /etc stands before the packaged unit."""
        return failed(
            f"{unit.name} fragment",
            f"{unit.shown} stands before {unit.shadowed[0]}: upgrades of the package no longer change the unit",
            value=unit.shown,
            expected=unit.shadowed[0],
            path=unit.shown,
            when="boot",
            severity=Severity.INFO,
            hint="keep changes in a drop-in (systemctl edit)",
        )


def _uses_containerd_unit(host: Host) -> bool:
    """Return whether docker.service or a kubelet relies on the containerd that containerd.service starts."""
    if engine.stage(host, "kubelet") != "before":
        return True
    for command in systemd.exec_start(host, "docker.service"):
        if any(word.startswith("--containerd") for word in command.argv):
            return True
    docker = systemd.unit(host, "docker.service")
    return docker is None or any(
        "containerd.service" in docker.value(p).split() for p in ("Requires", "BindsTo")
    )


class UnitsDependencies(Check):
    """Every unit that an engine's unit cannot do without exists.

    *Why*: systemd does not start a unit whose Requires= or BindsTo= names a unit that is missing or masked. It happens
    where a unit file of another package's docker was copied. A docker.service that is bound to containerd's stays
    stopped once that one was killed or upgraded.

    *Needs*: services and sockets named in Requires=, BindsTo= and Requisite=; no BindsTo=containerd.service.

    *Fix*: remove the copy, or the line.
    """

    id = "units.dependencies"
    aliases = ("systemd.dependencies",)
    severity = Severity.REQUIRED
    references = (UNIT_5, "https://github.com/docker/for-linux/issues/678")

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        for unit in units(host, ALL):
            asked = False
            for prop in ("Requires", "BindsTo", "Requisite"):
                setting = unit.get(prop)
                for name in (setting.value if setting else "").split():
                    if not name.endswith((".service", ".socket")):
                        continue
                    asked = True
                    other = systemd.unit(host, name)
                    load = other.load if other else "not-found"
                    more = {"value": load, "expected": "loaded", **at(setting, unit)}
                    if load == "loaded" and (prop, name) == ("BindsTo", "containerd.service"):
                        yield self._bound(unit, more)
                        continue
                    if load == "loaded":
                        yield passed(f"{unit.name} {prop} {name}", "it exists", **more)
                        continue
                    whole = unit.shown.startswith("/etc/") and unit.shadowed
                    yield failed(
                        f"{unit.name} {prop} {name}",
                        f"{name} is {'missing' if load == 'not-found' else load}: systemd will not start {unit.name}",
                        hint=""
                        if whole or load == "masked"
                        else f"install what brings {name}, or take it out of {prop}=",
                        commands=[f"systemctl unmask {name}"]
                        if load == "masked"
                        else [f"rm {unit.shown}", "systemctl daemon-reload", f"systemctl start {unit.name}"]
                        if whole
                        else [],
                        **more,
                    )
            if not asked:
                yield passed(
                    f"{unit.name} Requires", "it needs no other service", when="boot", path=unit.shown
                )

    def _bound(self, unit: Unit, more: dict[str, Any]) -> Finding:
        more["expected"] = "Wants=containerd.service"
        return failed(
            f"{unit.name} BindsTo containerd.service",
            f"an upgrade of containerd, or its death, stops {unit.name}, and nothing starts it again",
            severity=Severity.RECOMMENDED,
            hint="upgrade docker to 20.10.1 or later, whose unit only wants containerd, or take the line out",
            **more,
        )


_WEIGHTY = (
    "Limit",
    "Exec",
    "Environment",
    "TasksMax",
    "Delegate",
    "KillMode",
    "Restart",
    "OOMScoreAdjust",
    "Slice",
    "Type",
)

_PROXY = r"(?i)\bhttps?_proxy="


class UnitsSyntax(Check):
    """systemd takes every line of the engines' units.

    *Why*: systemd ignores a line that it cannot read and goes on: the earlier value or the default stays, and only its
    log says so. LimitNOFILE=1M, a comment behind a value, a key in the wrong section or in small letters, and a proxy
    address with a single % all are ignored.

    *Needs*: every file of the units, and the keys that systemd knows.

    *Fix*: mend the line that is named, then systemctl daemon-reload.
    """

    id = "units.syntax"
    aliases = ("systemd.unit_syntax",)
    severity = Severity.RECOMMENDED
    references = (
        "https://github.com/docker/for-linux/issues/628",
        "https://www.freedesktop.org/software/systemd/man/latest/systemd.syntax.html",
        UNIT_5,
        EXEC_5,
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        # Imported here: 10 kB of names that only this check looks at.
        from ._unit_keys import KEYS

        for unit in units(host, (*ALL, "docker.socket")):
            clean = True
            known = frozenset(KEYS.get(unit.section, "").split())
            others = {name: frozenset(KEYS[name].split()) for name in ("Unit", "Install")}
            for said in unit.assignments:
                keys = known if said.section == unit.section else others.get(said.section, known)
                if said.key in keys or said.key.startswith(("X-", "-")) or said.key.startswith("StartLimit"):
                    continue
                clean = False
                yield self.unknown(
                    unit, said.section, said.key, said.value, Source(said.path, said.line), known
                )
            for one in unit.problems:
                if one.key.startswith("StartLimit"):
                    continue
                clean = False
                later = any(
                    a.key == one.key and a.section == one.section and self.after(unit, one, a.path, a.line)
                    for a in unit.assignments
                )
                heavy = one.key.startswith(_WEIGHTY) or not one.section or one.section.title() == unit.section
                where = f"{one.key}={one.value}" if one.section and one.key else one.key or f"[{one.section}]"
                yield failed(
                    f"{unit.name} {one.section}.{one.key}".rstrip("."),
                    f"systemd ignores {where!r}: {one.reason}",
                    value=one.value or one.key or f"[{one.section}]",
                    path=one.path,
                    line=one.line,
                    when="boot",
                    severity=Severity.INFO if later or not heavy else self.weight(one),
                    hint="mend the line, then systemctl daemon-reload",
                )
            if clean:
                yield passed(unit.name, "every line counts", when="boot", path=unit.shown)

    def weight(self, one: Problem) -> Severity:
        """Return how much a lost line matters: behind a proxy that is not used, no image can be pulled."""
        proxy = one.key == "Environment" and re.search(_PROXY, one.value)
        return Severity.REQUIRED if proxy else Severity.RECOMMENDED

    def after(self, unit: Unit, one: object, path: str, line: int) -> bool:
        """Return whether a line comes after the one with the problem."""
        order = (unit.shown, *unit.dropins)
        mine = (
            (order.index(getattr(one, "path", "")), getattr(one, "line", 0))
            if getattr(one, "path", "") in order
            else (0, 0)
        )
        return path in order and (order.index(path), line) > mine

    def unknown(
        self, unit: Unit, section: str, key: str, value: str, source: Source, known: frozenset[str]
    ) -> Finding:
        """Say that a key is not known in its section, and what was meant."""
        meant = next((name for name in sorted(known) if name.lower() == key.lower()), "")
        more = {"value": f"{key}={value}", "path": source.path, "line": source.line, "when": "boot"}
        subject = f"{unit.name} {section}.{key}"
        if meant:
            right = section == unit.section
            return failed(
                subject,
                f"systemd ignores {key}= in [{section}]: it must be {meant}= in [{unit.section}]",
                expected=f"[{unit.section}] {meant}",
                hint="" if right else f"move the line below [{unit.section}]",
                commands=[
                    f"sed -i 's/^[ \t]*{key}[ \t]*=/{meant}=/' {source.path}",
                    "systemctl daemon-reload",
                ]
                if right
                else [],
                **more,
            )
        return failed(
            subject,
            f"systemd knows no key {key} in [{section}] and ignores it",
            expected="a key that systemd knows",
            severity=Severity.INFO,
            hint="take the line out, or mend its key",
            **more,
        )


class UnitsReloadPending(Check):
    """systemd has read the engines' units as they are now.

    *Why*: a unit file that changed after systemd read it counts only after daemon-reload, or the next boot: what runs
    and what the files say are two things.

    *Needs*: NeedDaemonReload of `systemctl show`, on a running host.

    *Fix*: systemctl daemon-reload.
    """

    id = "units.reload_pending"
    aliases = ("systemd.reload_pending",)
    severity = Severity.RECOMMENDED
    references = ("https://www.freedesktop.org/software/systemd/man/latest/org.freedesktop.systemd1.html",)

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        need_systemd(host)
        if host.kind != "live":
            raise NotApplicable("nothing runs here")
        if not host.exists("/run/systemd/system"):
            raise NotApplicable("systemd is not running")
        said = False
        for unit in units(host, DAEMONS):
            shown = systemd.running(host, unit.name)
            if shown is None or "NeedDaemonReload" not in shown:
                continue
            said = True
            subject = f"{unit.name} NeedDaemonReload"
            if shown["NeedDaemonReload"] == "yes":
                yield failed(
                    subject,
                    "its files changed after systemd read them: they count after daemon-reload or the next boot",
                    value="yes",
                    expected="no",
                    path=unit.shown,
                    commands=["systemctl daemon-reload", f"systemctl restart {unit.name}"],
                )
            else:
                yield passed(subject, "systemd has read the files as they are", value="no", path=unit.shown)
        if not said:
            raise Unavailable("systemd cannot be asked here")
