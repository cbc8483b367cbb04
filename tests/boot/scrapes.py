"""What the units of hostcheck's deb said in a booted image, beside a run of root there, and beside their sandbox."""

from __future__ import annotations

import pathlib
import re
from typing import Any

from agreement import Tally

UNITS = pathlib.Path(__file__).resolve().parents[2] / "packaging" / "systemd"
PLAIN = ("yes", "no", "strict", "read-only", "closed", "private", "native")
"""Values that `systemctl show` repeats as they stand in the unit."""

MOST = 2.0
"""The exposure that is allowed; 10.0 is a service with no sandbox."""

OF_ITS_USER = {"os.root"}
"""Checks of who runs hostcheck."""

OUTCOME = re.compile(
    r'^hostcheck_check_outcome\{check="([^"]+)",outcome="([^"]+)",severity="[^"]*"\} 1\.0$', re.M
)


def outcomes(metrics: str) -> dict[str, str]:
    """Return how each check ended.

    >>> outcomes('hostcheck_check_outcome{check="os.root",outcome="pass",severity="info"} 1.0\\n')
    {'os.root': 'pass'}
    """
    return dict(OUTCOME.findall(metrics))


def sandbox(unit: str) -> dict[str, str]:
    """Return the plain settings of a unit's sandbox, as the file in the sources has them."""
    lines = (UNITS / unit).read_text().splitlines()
    settings = dict(line.split("=", 1) for line in lines if re.match(r"[A-Z]\w+=", line))
    return {key: value for key, value in settings.items() if value in PLAIN}


def _sandboxed(tally: Tally, unit: str, shown: dict[str, str]) -> None:
    for key, value in sandbox(unit).items():
        tally.compare("sandbox", f"{unit} {key}", value, shown.get(key))


MAY_NOT = "permission denied"
NO_BUS = "systemd cannot be asked here"
LSM = "/sys/kernel/security/apparmor/profiles: permission denied"
UNKNOWN = {"as shipped": (MAY_NOT, NO_BUS), "reading all": (LSM, NO_BUS)}
"""Why a unit cannot tell what root can (docs/exporter.md)."""


RULES = ("forwarding.docker_user", "forwarding.chains")
"""What is passed over where iptables' rules cannot be seen: no unit has CAP_NET_ADMIN, which listing them takes."""


def _agrees(tally: Tally, name: str, said: dict[str, str], root: dict[str, str]) -> list[str]:
    """Compare with a run of root: what is not the same must be unknown; return what is."""
    unknown = sorted(each for each in said if said[each] == "unknown" != root[each])
    tally.compare("metrics", f"{name}: checks", sorted(said), sorted(root))
    for each, outcome in said.items():
        unseen = each in RULES and outcome == "skip"
        if each not in unknown and not unseen and not (each in OF_ITS_USER and name != "textfile"):
            tally.compare("metrics", f"{name}: {each}", outcome, root[each])
    return unknown


def compare(tally: Tally, found: dict[str, Any]) -> None:
    """Fill the tally with what the units say, and how they are kept."""
    tally.compare("metrics", "installed", 0, found["installed"][0])
    root = {result["id"]: result["outcome"] for result in found["as root"]["results"]}
    for unit, exposure in found["exposure"].items():
        tally.compare("sandbox", f"{unit} exposure {exposure}", True, float(exposure) <= MOST)
    for name in ("as shipped", "reading all"):
        scraped = found[name]
        shown, process = scraped["shown"], scraped["process"]
        tally.compare(
            "sandbox", f"{name}: state", ("active", "hostcheck"), (shown["ActiveState"], shown["User"])
        )
        tally.compare("sandbox", f"{name}: seccomp", ("2", "1"), (process["Seccomp"], process["NoNewPrivs"]))
        tally.compare("sandbox", f"{name}: root", False, "0" in process["Uid"].split())
        rights = "0000000000000004" if name == "reading all" else "0000000000000000"
        tally.compare("sandbox", f"{name}: rights", rights, process["CapEff"])
        _sandboxed(tally, "hostcheck.service", shown)
        said = outcomes(scraped["metrics"])
        report = {result["id"]: result["outcome"] for result in scraped["report"]["results"]}
        tally.compare("metrics", f"{name}: /report.json", said, report)
        reasons = {result["id"]: result["reason"] or "" for result in scraped["report"]["results"]}
        for each in _agrees(tally, name, said, root):
            allowed = any(reasons[each].endswith(reason) for reason in UNKNOWN[name])
            tally.compare("metrics", f"{name}: {each} is unknown: {reasons[each]}", True, allowed)
    _sandboxed(tally, "hostcheck-textfile.service", found["textfile"]["shown"])
    unknown = _agrees(tally, "textfile", outcomes(found["textfile"]["text"]), root)
    tally.compare("metrics", "textfile: unknown", [], unknown)
