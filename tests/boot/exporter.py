"""Runs inside a booted image, after `truth`: installs the deb, and asks the units of it what they say."""

from __future__ import annotations

import json
import pathlib
import time
import urllib.error
import urllib.request
from typing import Any

from truth import properties, run, text

SERVICE, TEXTFILE = "hostcheck.service", "hostcheck-textfile.service"
AT = "http://127.0.0.1:10973"
FOLDER = pathlib.Path("/var/lib/prometheus/node-exporter")
ALLOWED = """[Service]
CapabilityBoundingSet=CAP_DAC_READ_SEARCH
AmbientCapabilities=CAP_DAC_READ_SEARCH
"""


def get(path: str) -> str:
    with urllib.request.urlopen(AT + path, timeout=30) as answer:
        return str(answer.read().decode())


def ready(seconds: float = 180.0) -> bool:
    """Wait for the first report."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        try:
            get("/-/ready")
        except (OSError, urllib.error.URLError):
            time.sleep(1)
        else:
            return True
    return False


def scraped() -> dict[str, Any]:
    """Return what a scrape gets, and how the kernel keeps the process that gives it."""
    if not ready():
        return {"journal": run("journalctl", "-b", "-u", SERVICE, "-o", "cat", "--no-pager")[1][-4000:]}
    shown = properties(SERVICE)
    status = text(f"/proc/{shown['MainPID']}/status")
    return {
        "metrics": get("/metrics"),
        "report": json.loads(get("/report.json")),
        "shown": shown,
        "process": dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line),
    }


def written(seconds: float = 180.0) -> dict[str, Any]:
    """Return what the timer has had written; nothing else starts the service."""
    limit = time.monotonic() + seconds
    file = FOLDER / "hostcheck.prom"
    while not file.exists() and time.monotonic() < limit:
        time.sleep(1)
    return {"text": text(str(file)), "shown": properties(TEXTFILE)}


def exposure(unit: str) -> str:
    """Return what systemd-analyze makes of the sandbox of a loaded unit, 0.0 to 10.0."""
    words = run("systemd-analyze", "security", unit, "--no-pager")[1].split(f"level for {unit}:")[-1].split()
    return words[0] if words else ""


def look(deb: pathlib.Path) -> dict[str, Any]:
    began = time.monotonic()
    found: dict[str, Any] = {"installed": run("dpkg", "-i", str(deb), seconds=300)}
    FOLDER.mkdir(parents=True)
    run("systemctl", "enable", "--now", "hostcheck-textfile.timer", SERVICE)
    found["as shipped"] = scraped()
    found["exposure"] = {unit: exposure(unit) for unit in (SERVICE, TEXTFILE)}
    found["textfile"] = written()
    drop_in = pathlib.Path(f"/etc/systemd/system/{SERVICE}.d/reads.conf")
    drop_in.parent.mkdir(parents=True)
    drop_in.write_text(ALLOWED)
    run("systemctl", "daemon-reload")
    run("systemctl", "restart", SERVICE)
    found["reading all"] = scraped()
    found["as root"] = json.loads(run("/usr/bin/hostcheck", "-f", "json")[1])
    found["seconds"] = time.monotonic() - began
    return found
