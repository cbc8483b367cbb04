"""The same incidents as a stranger writes them down: what was typed and what it printed, and hardly a file."""

from __future__ import annotations

import shlex
import stat
from collections.abc import Iterator, Mapping
from typing import Any

import hosts
import pytest
from lay import Layout
from test_incidents import DESERVES, REAL, failures, healthy, policy

from hostcheck import plugins
from hostcheck.finding import Severity
from hostcheck.host import Completed

Typed = Iterator[tuple[str, Completed]]


def printed(line: str, out: str, code: int = 0, err: str = "") -> tuple[str, Completed]:
    return line, Completed(tuple(shlex.split(line)), code, out, err)


def packages(layout: Layout, wanted: Mapping[str, Any]) -> Typed:
    told = {name: str(version) for name, version in wanted.items()}
    if "/var/lib/dpkg/status" in layout.files:
        left = "(config-files)"
        rows = (
            f"{'rc' if version.startswith(left) else 'ii'}  {name}  {version.removeprefix(left).strip()}  amd64  x\n"
            for name, version in told.items()
        )
        yield printed("dpkg -l", "".join(rows))
    else:
        rows = (f"{name}-{text if '-' in text else text + '-1'}.x86_64\n" for name, text in told.items())
        yield printed("rpm -qa", "".join(rows))


def paths(layout: Layout, facts: Mapping[str, Any]) -> Typed:
    for path, text in (facts.get("files") or {}).items():
        if text.startswith("-> "):
            target = text.removeprefix("-> ").removesuffix(" (symlink)")
            yield printed(f"ls -l {path}", f"lrwxrwxrwx 1 root root 9 Jan  1 2020 {path} -> {target}\n")
        elif text.startswith("ELF"):
            yield printed(f"ls -l {path}", f"-rwxr-xr-x 1 root root 99999 Jan  1 2020 {path}\n")
        elif (text and text.isprintable()) or "\n" in text:
            yield printed(f"cat {path}", text)
        else:
            layout.put(path, text)
    for path, mode in (facts.get("modes") or {}).items():
        shown = stat.filemode(stat.S_IFREG | int(mode, 8))
        yield printed(f"ls -l {path}", f"{shown} 1 root root 9 Jan  1 2020 {path}\n")
    for path in facts.get("absent") or ():
        yield printed(f"ls {path}", "", 2, f"ls: cannot access '{path}': No such file or directory\n")


def running(layout: Layout, live: Mapping[str, Any]) -> Typed:
    layout.fill(live)
    if "mounts" in live:
        layout.mount(list(live["mounts"]))
        rows = [line.split() for line in layout.mounts]
        layout.mounts = hosts.mounts(layout.kind)
        yield printed("mount", "".join(f"{row[0]} on {row[1]} type {row[2]} ({row[3]})\n" for row in rows))
    if "cmdline" in live:
        yield printed("cat /proc/cmdline", live["cmdline"])
    for key, value in (live.get("sysctl") or {}).items():
        yield printed(f"sysctl {key}", f"{key} = {value}\n")
    for module in live.get("modules") or ():
        yield printed(f"lsmod | grep {module}", f"{module} 16384 0\n")
    for line, out in (live.get("commands") or {}).items():
        yield printed(line, str(out))


def lay(layout: Layout, facts: Mapping[str, Any]) -> None:
    """Lay facts down as they were typed; the tree of another kernel is laid as it is."""
    kernel = facts.get("kernel") or {}
    layout.kernel(str(kernel.get("release") or layout.release))
    if "packages" in facts:
        # Those that the vendor's take the place of go; which release came says what was typed.
        gone = {
            name: text for name, text in facts["packages"].items() if str(text).startswith("(config-files)")
        }
        layout.packages({**dict.fromkeys(facts["packages"], "1"), **gone})
    said = dict(printed("uname -a", f"Linux host {layout.release} #1 SMP x86_64 GNU/Linux\n") for _ in "x")
    options = (kernel.get("config") or {}).items()
    lines = (
        f"# {name} is not set" if value in ("n", "absent") else f"{name}={value}" for name, value in options
    )
    if options:
        said.update([printed("zgrep CONFIG /proc/config.gz", "\n".join(lines) + "\n")])
    said.update(paths(layout, facts))
    said.update(running(layout, facts.get("live") or {}))
    said.update(packages(layout, facts.get("packages") or {}) if "packages" in facts else ())
    layout.commands.update({tuple(shlex.split(line)): done for line, done in said.items()})


@pytest.mark.parametrize(
    "incident", [each for each in REAL if "missed" not in each], ids=lambda each: each["id"]
)
def test_incident_as_it_was_typed(incident: dict[str, Any]) -> None:
    name = incident.get("policy", "docker")
    layout = Layout(incident["host"], name)
    lay(layout, incident["facts"])
    layout.stage = incident.get("stage", layout.stage)
    found = policy(name)
    report = found.judge(layout.host(), found.configure(plugins.shipped()))
    least = Severity(incident["deserves"]) if "deserves" in incident else DESERVES[incident["effect"]]
    new = set(failures(report, least)) - healthy(incident["host"], name)
    assert incident["check"] in {check for check, _subject in new}, incident["cause"]
