"""What was said of an image, beside what the booted machine is: fact by fact, with a tally."""

from __future__ import annotations

import collections
import json
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from hostcheck.facts import kernel, modules, sysctl, systemd
from hostcheck.facts.boot import split_cmdline
from hostcheck.facts.versions import parse_version_output
from hostcheck.host import Host
from hostcheck.host.target import open_target

DEPENDENCIES = ("Requires", "BindsTo", "Wants", "PartOf", "After")

SYSTEMD_ADDS = {
    "service": {
        "Requires": {"sysinit.target", "system.slice"},
        "After": {"sysinit.target", "system.slice", "basic.target", "systemd-journald.socket"},
    },
    "socket": {
        "Requires": {"sysinit.target", "system.slice", "-.mount"},
        "After": {"sysinit.target", "system.slice", "-.mount"},
    },
}
"""Dependencies that are in no file: systemd.service(5) and systemd.socket(5), implicit and default dependencies."""

MADE_AT_BOOT: dict[str, set[str | None]] = {
    "generated": {None},
    "transient": {None},
    # Of those that a generator links, as for the file systems of fstab.
    "enabled-runtime": {"static", "disabled"},
}
"""What files say of a unit whose state is made at boot."""

CONSOLES = "serial-getty@.service"
"""Where the kernel has a serial console, systemd-getty-generator links it: `indirect`."""

MOVING = re.compile(
    r"fs\.(dentry-state|file-nr|inode-nr|inode-state|quota\.\w+|aio-nr|epoll\.\w+)"
    r"|kernel\.(random\.\w+|sched_domain\..*\.max_newidle_lb_cost|ns_last_pid|pty\.nr)"
    r"|net\.netfilter\.nf_conntrack_count"
)
"""Sysctls that count or are made up by the kernel or PID 1."""

FOLLOWERS = {"net.ipv4.ip_forward": re.compile(r"net\.ipv4\.conf\..*\.forwarding")}
"""What the kernel changes with a key beside its other name (kernel: Documentation/networking/ip-sysctl.rst)."""

NOBODYS = {"net.nonsense.of.nobody"}
"""Keys of no kernel, which the changed images set."""

INFO = {
    "debug": "Debug",
    "default-runtime": "DefaultRuntime",
    "experimental": "ExperimentalBuild",
    "live-restore": "LiveRestoreEnabled",
    "log-driver": "LoggingDriver",
    "data-root": "DockerRootDir",
}
"""What `docker info` calls the settings of the daemon."""

MACHINE = {
    # What the kernel makes of the memory that it finds, where nothing sets it; the report of an image says so.
    "sysctl.inotify fs.inotify.max_user_watches",
}
"""What only the machine shows."""

RUNS_STILL = {
    # What dockerd sets when it starts, the next `sysctl --system` takes back.
    "network.ip_forward net.ipv4.ip_forward",
}
"""What a report calls required, and with which a container runs on a machine that has just booted."""

IMAGE = {"leftovers.identity"}
"""What only an image is asked: a machine has made its own by then."""

ANSWERS = ("pass", "fail")


class Tally:
    """Counts what agrees, keeps what does not."""

    def __init__(self) -> None:
        self.counts: collections.Counter[str] = collections.Counter()
        self.differ: list[tuple[str, str, object, object]] = []

    def compare(self, topic: str, name: str, said: object, real: object) -> None:
        self.counts[topic] += 1
        if said != real:
            self.differ.append((topic, name, said, real))

    def __str__(self) -> str:
        wrong = collections.Counter(topic for topic, *_ in self.differ)
        parts = ", ".join(f"{topic} {count - wrong[topic]}/{count}" for topic, count in self.counts.items())
        total = sum(self.counts.values())
        return f"{total - len(self.differ)} of {total} facts agree ({parts})"


class Foretold:
    """What hostcheck says of an image file."""

    def __init__(self, image: pathlib.Path) -> None:
        self.host: Host = open_target(str(image))
        self.facts: dict[str, Any] = hostcheck("facts", str(image))
        self.report: dict[str, Any] = hostcheck(str(image), "-f", "json", "--no-plugins")


def hostcheck(*arguments: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "hostcheck", *arguments], capture_output=True, text=True, timeout=300
    )
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)


def cgroup_mode(mounts: str) -> str:
    """Return the mode that a mount table shows.

    >>> cgroup_mode("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0")
    'v2'
    """
    kinds = {fields[1]: fields[2] for fields in map(str.split, mounts.splitlines())}
    if kinds.get("/sys/fs/cgroup") == "cgroup2":
        return "v2"
    if kinds.get("/sys/fs/cgroup/unified") == "cgroup2":
        return "hybrid"
    return "v1" if kinds.get("/sys/fs/cgroup/systemd") == "cgroup" else "none"


def compare(foretold: Foretold, truth: dict[str, Any], words: str) -> Tally:
    """Return the tally; `words` are what the image wants on the kernel's command line."""
    tally = Tally()
    facts = foretold.facts
    release = truth["sys/kernel/osrelease"].strip()
    tally.compare("kernel", "release", facts["boot"]["release"]["value"], release)
    for word in split_cmdline(facts["boot"]["cmdline"]["value"] or ""):
        tally.compare("kernel", word, True, word in truth["cmdline"].split())
    for word in words.split():
        tally.compare("kernel", word, word in (facts["boot"]["cmdline"]["value"] or "").split(), True)
    _cgroup(tally, facts, truth)
    _sysctl(tally, facts, truth)
    _modules(tally, foretold, truth)
    _units(tally, foretold, truth)
    _engine(tally, foretold, truth)
    _report(tally, foretold.report, truth["report"])
    return tally


def _cgroup(tally: Tally, facts: dict[str, Any], truth: dict[str, Any]) -> None:
    mode = cgroup_mode(truth["mounts"])
    tally.compare("cgroup", "mode", facts["cgroup"]["mode"]["value"], mode)
    mounts = [line.split() for line in truth["mounts"].splitlines()]
    mounted = {option for fields in mounts if fields[2] == "cgroup" for option in fields[3].split(",")}
    # perf_event is not listed in cgroup.controllers: it is always on there.
    there = {*truth["controllers"].split(), "perf_event"} if mode == "v2" else mounted
    for name, leaf in facts["cgroup"]["controllers"].items():
        real = {"io": "blkio"}.get(name, name) if mode != "v2" else name
        if leaf["value"] is not None:
            tally.compare("cgroup", name, leaf["value"], real in there)


def _sysctls(listed: str) -> dict[str, str]:
    """Return what `sysctl -a` printed."""
    pairs = (line.split(" = ", 1) for line in listed.splitlines() if " = " in line)
    return {key: " ".join(value.split()) for key, value in pairs}


def _sysctl(tally: Tally, facts: dict[str, Any], truth: dict[str, Any]) -> None:
    """Compare what is set, what is not set, and that a key which is not there yet gets its value with its module."""
    before, early, late = (_sysctls(truth[when]) for when in ("before", "early", "late"))
    for key, leaf in facts["sysctl"].items():
        said, real = leaf.get("kernel", leaf["value"]), early.get(key, late.get(key))
        if real is None:
            tally.compare("sysctl", f"{key} is nobody's", key in NOBODYS, True)
        else:
            # The kernel keeps its own where it refuses the text.
            tally.compare(
                "sysctl", key, before.get(key) if said is None else " ".join(str(said).split()), real
            )
    followers = [FOLLOWERS[key] for key in facts["sysctl"] if key in FOLLOWERS]
    # Of two names one may be set.
    named = {sysctl.ALIASES[key] for key in facts["sysctl"] if key in sysctl.ALIASES}
    for key in sorted(before.keys() & early.keys() - facts["sysctl"].keys() - named):
        if not MOVING.fullmatch(key) and not any(pattern.fullmatch(key) for pattern in followers):
            tally.compare("sysctl", f"{key}, which nothing sets", before[key], early[key])


def _modules(tally: Tally, foretold: Foretold, truth: dict[str, Any]) -> None:
    loaded = {line.split()[0] for line in truth["modules"].splitlines()}
    its = kernel.boot_kernel(foretold.host)
    assert its is not None
    for name, leaf in foretold.facts["modules"]["loaded_at_boot"].items():
        module = modules.module_name(name)
        there = modules.loadable(foretold.host, its, module, by_name=False).usable
        if there:
            built_in = module in modules.tree(foretold.host, its.release).builtin
            tally.compare("modules", f"{module} of {leaf['path']}", True, module in loaded or built_in)
        else:
            tally.compare("modules", f"{module} of {leaf['path']}", False, module in loaded)
    # A line of /proc/modules begins with the name, one of modules.builtin is a path.
    after = {
        modules.module_name(line.split()[0].rpartition("/")[2].partition(".")[0])
        for line in truth["modules after"].splitlines()
    }
    for module in truth["modprobe"]:
        said = modules.loadable(foretold.host, its, module, by_name=True).usable
        tally.compare("modules", f"modprobe {module}", said, module in after)


def _units(tally: Tally, foretold: Foretold, truth: dict[str, Any]) -> None:
    most = min(int(number) for number in truth["threads"])
    for unit, real in truth["units"].items():
        for name, leaf in foretold.facts["units"].get(unit, {}).items():
            if name not in real:
                continue
            if name in DEPENDENCIES:
                needs, there = dependencies(unit, name, leaf["value"], real), set(real[name].split())
                for word in needs | there:
                    tally.compare("units", f"{unit} {name} {word}", word in needs, word in there)
                continue
            if real["LoadState"] == "masked" and name.startswith("LimitCORE"):
                # Of a unit that is not loaded systemd shows its own limit, which is that of whatever started it.
                continue
            said = leaf["value"]
            if name == "TasksMax" and said.endswith("%"):
                said = str(most * int(said[:-1]) // 100)
            tally.compare("units", f"{unit} {name}", said, started(name, said, real[name]))
    _enabled(tally, foretold.host, truth["enabled"])


def dependencies(unit: str, name: str, said: str, real: dict[str, str]) -> set[str]:
    """Return what a unit depends on by its files, and by what systemd adds to one that it loads."""
    kind = unit.rpartition(".")[2] if real["LoadState"] == "loaded" else ""
    return {*said.split(), *SYSTEMD_ADDS.get(kind, {}).get(name, ())}


def _enabled(tally: Tally, host: Host, listed: str) -> None:
    """Compare what `systemctl list-unit-files` says."""
    for line in listed.splitlines():
        unit, state = line.split()[:2]
        found = systemd.enabled(host, unit)
        said = found.value if found else None
        if state in MADE_AT_BOOT:
            tally.compare("enabled", f"{unit} before the boot", said in MADE_AT_BOOT[state], True)
        elif unit == CONSOLES:
            tally.compare("enabled", unit, (said, state), ("disabled", "indirect"))
        else:
            tally.compare("enabled", unit, said, state)


def started(name: str, said: str, real: str) -> str:
    """Return what systemd shows of a command without when it ran last: that is not of the unit."""
    if not name.startswith("Exec"):
        return real
    told, shown = said.partition(" ; start_time="), real.partition(" ; start_time=")
    return said if told[0] == shown[0] else real


def _engine(tally: Tally, foretold: Foretold, truth: dict[str, Any]) -> None:
    engine, facts = truth["docker"], foretold.facts
    for program, (_code, printed) in truth["programs"].items():
        version = str(parse_version_output(program, printed))
        if version and program in facts["versions"]:
            tally.compare("versions", program, facts["versions"][program]["value"], version)
    runs = engine["state"] == "active" and engine.get("ran", (0, ""))[0] == 0
    tally.compare("engine", "containers run", not stops(foretold.report), runs)
    if engine["state"] != "active":
        return
    info = engine["info"]
    for key, name in INFO.items():
        tally.compare("engine", name, facts["docker"][key]["value"], info[name])
    tally.compare("engine", "Driver", facts["storage"]["driver"]["value"], info["Driver"])
    mode = facts["cgroup"]["mode"]["value"]
    tally.compare("engine", "CgroupVersion", "2" if mode == "v2" else "1", info["CgroupVersion"])
    backing = (facts["storage"]["backing"]["value"] or {}).get("type", "")
    seen = dict(info["DriverStatus"] or ()).get("Backing Filesystem")
    if seen and info["Driver"] != "devicemapper":
        # Which tells the one that it makes itself.
        tally.compare("engine", "Backing Filesystem", {"ext4": "extfs"}.get(backing, backing), seen)


def stops(report: dict[str, Any]) -> list[str]:
    """Return what a report names as a reason that no container will run."""
    return [
        f"{result['id']} {finding['subject']}"
        for result in report["results"]
        for finding in result["findings"]
        if not finding["ok"]
        and finding["severity"] == "required"
        and f"{result['id']} {finding['subject']}" not in RUNS_STILL
    ]


def _findings(result: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    """Yield what was looked at and whether it is right, of the next boot where both are told."""
    found: dict[str, bool] = {}
    for finding in result["findings"]:
        if finding["when"] == "boot" or finding["subject"] not in found:
            found[finding["subject"]] = finding["ok"]
    yield from found.items()


def _report(tally: Tally, said: dict[str, Any], live: dict[str, Any]) -> None:
    """Compare two reports where both judge: of a machine more can be told than of its image."""
    inside = {result["id"]: result for result in live["results"]}
    for result in said["results"]:
        other = inside[result["id"]]
        if result["outcome"] in ANSWERS and other["outcome"] in ANSWERS:
            real = dict(_findings(other))
            for subject, ok in _findings(result):
                if subject in real and f"{result['id']} {subject}" not in MACHINE:
                    tally.compare("report", f"{result['id']} {subject}", ok, real[subject])
        elif result["outcome"] in ANSWERS and result["id"] not in IMAGE:
            tally.compare("report", result["id"], result["outcome"], other["outcome"])
        tally.compare(
            "report", f"{result['id']} broke", False, "error" in (result["outcome"], other["outcome"])
        )
