"""The order in which systemd starts engines and what needs them."""

from __future__ import annotations

from collections.abc import Iterator

from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, failed, passed
from hostcheck.facts import systemd

UNITS = ("docker.service", "containerd.service")


class OrderingTarget(Check):
    """No engine is told to start after the target that wants it.

    *Why*: docker.service of 20.10.0 said After=multi-user.target, and is wanted by that target. A unit that needs
    docker and is wanted there as well closes a circle, which systemd breaks by not starting one of them: `Found
    ordering cycle`.

    *Needs*: no target in After= of an engine's unit that is in its WantedBy= too.

    *Fix*: take the target out of After=.
    """

    id = "ordering.target"
    severity = Severity.RECOMMENDED
    references = (
        "https://www.freedesktop.org/software/systemd/man/latest/systemd.target.html",
        "https://github.com/moby/moby/issues/41767",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        said = False
        for name in UNITS:
            unit = systemd.unit(host, name)
            if unit is None:
                continue
            said = True
            wanted = {
                word for each in unit.assignments if each.key == "WantedBy" for word in each.value.split()
            }
            late = next(
                (
                    (each, word)
                    for each in unit.assignments
                    if each.key == "After"
                    for word in each.value.split()
                    if word in wanted
                ),
                None,
            )
            if late is None:
                yield passed(f"{name} After", "comes after no target that wants it", when="boot")
                continue
            said_in, target = late
            yield failed(
                f"{name} After",
                f"comes after {target}, which wants it: units that need it and are wanted there do not start",
                value=target,
                expected=f"no {target}",
                path=said_in.path,
                line=said_in.line,
                when="boot",
                commands=[f"sed -i '{said_in.line}s/ *{target}//' {said_in.path}", "systemctl daemon-reload"],
            )
        if not said:
            raise NotApplicable("systemd knows no unit of an engine here")
