"""The firewall's back end: which iptables there is, who else writes rules, and who manages them."""

from __future__ import annotations

import posixpath
import re

from hostcheck._typing import Optional
from hostcheck.facts import docker, engine, files, modules
from hostcheck.host import Host, NotApplicable, Unavailable
from hostcheck.record import Record
from hostcheck.versions import Version

_VERSION = re.compile(r"\bv?(\d+\.\d+(?:\.\d+)*)")


class Iptables(Record):
    """The program that `iptables` is."""

    path: str
    """Where a shell finds it."""
    target: str
    """What that is, links followed."""
    backend: str
    """`nft` (nf_tables) or `legacy` (ip_tables)."""
    version: Optional[str]
    """As the program prints it; None where it was not asked."""
    why: str
    """How the back end is known, in words."""


def parse_iptables_version(text: str) -> tuple[str | None, str | None]:
    """Return version and back end of what `iptables --version` prints; None where it does not tell.

    Before 1.8 there is only legacy, and nothing in brackets (iptables(8)).

    >>> parse_iptables_version("iptables v1.8.9 (nf_tables)")
    ('1.8.9', 'nft')
    >>> parse_iptables_version("iptables v1.6.2")
    ('1.6.2', 'legacy')
    >>> parse_iptables_version("iptables/1.8.7 Failed to initialize nft: Protocol not supported")
    ('1.8.7', 'nft')
    """
    found = _VERSION.search(text)
    version = found.group(1) if found else None
    if "nf_tables" in text or "nft" in text:
        return version, "nft"
    if "legacy" in text or "can't initialize iptables table" in text:
        return version, "legacy"
    if version and Version(version) < Version("1.8"):
        return version, "legacy"
    return version, None


def backend_of_program(target: str) -> str | None:
    """Return the back end that a program's file name tells, None if it tells none.

    >>> backend_of_program("/usr/sbin/xtables-nft-multi"), backend_of_program("/sbin/xtables-multi")
    ('nft', 'legacy')
    """
    name = posixpath.basename(target)
    if "nft" in name:
        return "nft"
    # xtables-multi is that of iptables before 1.8, which had one back end.
    return "legacy" if "legacy" in name or name == "xtables-multi" else None


def iptables(host: Host) -> Iptables | None:
    """Return the iptables that programs will find, None if there is none.

    On a running host it is asked; in a tree its file name tells.

    Raises:
        Unavailable: it is there, and neither it nor its name tells the back end.

    """
    return host.fact(_iptables)


def _iptables(host: Host) -> Iptables | None:
    version = backend = None
    why = ""
    try:
        done = host.run("iptables", "--version")
        version, backend = parse_iptables_version(done.out + done.err)
        why = "iptables --version"
    except (FileNotFoundError, PermissionError, Unavailable):
        pass
    path = files.which(host, "iptables")
    if path is None:
        return Iptables("iptables", "iptables", backend, version, why) if backend else None
    target = host.resolve(path)
    if backend is None:
        backend, why = backend_of_program(target), f"{path} is {target}"
    if backend is None:
        raise Unavailable(f"{path} is {target}: that name does not tell whether it is legacy or nf_tables")
    return Iptables(path, target, backend, version, why)


def native(host: Host) -> docker.Setting | None:
    """Return the setting by which dockerd writes nftables rules itself, without iptables; None if it does not.

    `firewall-backend` is known from 29.0 on.
    """
    if "docker" not in engine.installed(host) and not host.exists(docker.DAEMON_JSON):
        return None
    try:
        said = docker.effective(host).get("firewall-backend")
        version = engine.docker_version(host)
    except (OSError, ValueError, NotApplicable, Unavailable):
        return None
    if said is None or said.value != "nftables" or (version is not None and version < Version("29.0.0-0")):
        return None
    return said


def backend(host: Host) -> str | None:
    """Return what the engine's rules are written to.

    `native`: nftables, by dockerd itself; `nft`: nf_tables, by iptables-nft; `legacy`: ip_tables; None: there is
    no iptables, or it cannot be told.
    """
    if native(host) is not None:
        return "native"
    try:
        found = iptables(host)
    except (PermissionError, Unavailable):
        return None
    return found.backend if found else None


def parse_rules(text: str) -> bool:
    r"""Return whether an iptables-save text holds anything: a rule, or a policy that is not ACCEPT.

    >>> parse_rules("*filter\n:INPUT ACCEPT [0:0]\n:MINE - [0:0]\nCOMMIT\n")
    False
    >>> parse_rules("*filter\n:INPUT DROP [0:0]\nCOMMIT\n")
    True
    """
    for line in text.splitlines():
        words = line.split()
        if line.startswith("-A") or (line.startswith(":") and words[1:2] in (["DROP"], ["REJECT"])):
            return True
    return False


SAVERS = {"legacy": ("iptables-legacy-save", "ip_tables"), "nft": ("iptables-nft-save", "nf_tables")}
"""What shows the rules of a back end, and the module without which there are none."""


def asking_loads(host: Host, module: str) -> bool:
    """Return whether a program that asks a kernel module would load it. A kernel without modules loads none."""
    return module not in modules.loaded(host) and host.exists("/proc/modules")


def saved(host: Host, backend: str) -> str | None:
    """Return the IPv4 rules that a back end holds now, as iptables-save prints them; None where they cannot be had.

    A back end whose module is not loaded is not asked, since asking would load it: it has none.
    """
    program, module = SAVERS[backend]
    try:
        if not host.recording and asking_loads(host, module):
            return ""
        done = host.run(program)
    except (FileNotFoundError, PermissionError, Unavailable):
        return "" if host.recording and _is_not_loaded(host, module) else None
    return done.out if done.code == 0 else None


def forwards_nothing(text: str) -> bool:
    r"""Return whether rules drop all that is forwarded: a policy of DROP, and no rule that could accept.

    >>> forwards_nothing("*filter\n:FORWARD DROP [0:0]\nCOMMIT\n")
    True
    >>> forwards_nothing("*filter\n:FORWARD DROP [0:0]\n-A FORWARD -j DOCKER-USER\nCOMMIT\n")
    False
    """
    return "\n:FORWARD DROP " in text and "\n-A FORWARD " not in text


def has_rules(host: Host, backend: str) -> bool | None:
    """Return whether a back end holds IPv4 rules now, None where that cannot be had."""
    text = saved(host, backend)
    return None if text is None else parse_rules(text)


def _is_not_loaded(host: Host, module: str) -> bool:
    try:
        return module not in modules.loaded(host)
    except (OSError, Unavailable):
        return False


def forward_rules(host: Host) -> str | None:
    """Return what `iptables -S FORWARD` prints, None where that cannot be had.

    A back end whose module is not loaded is not asked, since asking would load it. What a person wrote down was asked.
    """
    try:
        module = SAVERS[backend(host) or "nft"][1]
        if not host.recording and asking_loads(host, module):
            return None
        return host.run("iptables", "-S", "FORWARD").out
    except (OSError, Unavailable):
        return None


def parse_shell_assignments(text: str) -> dict[str, tuple[str, int]]:
    r"""Return `NAME=value` lines, as firewalld.conf, ufw.conf and /etc/default files have them: name to value, line.

    >>> parse_shell_assignments('# x\nENABLED=yes\nIPT_SYSCTL="/etc/ufw/sysctl.conf"\n')
    {'ENABLED': ('yes', 2), 'IPT_SYSCTL': ('/etc/ufw/sysctl.conf', 3)}
    """
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        name, equals, value = line.strip().partition("=")
        if equals and not name.startswith("#"):
            found[name.strip()] = (value.strip().strip("\"'"), number)
    return found


def conf(host: Host, path: str) -> dict[str, tuple[str, int]]:
    """Return the `NAME=value` lines of a file, none if there is no such file."""
    try:
        return parse_shell_assignments(files.text(host, path) or "")
    except Unavailable:
        return {}


UFW_CONF = "/etc/ufw/ufw.conf"
FIREWALLD_CONF = "/etc/firewalld/firewalld.conf"


def ufw_enabled(host: Host) -> files.Source | None:
    """Return the line that switches ufw on at boot, None if none does."""
    value, line = conf(host, UFW_CONF).get("ENABLED", ("", 0))
    return files.Source(UFW_CONF, line) if value.lower() == "yes" else None


def zone_bindings(host: Host) -> list[tuple[str, str, files.Source]]:
    """Return the interfaces that firewalld's permanent zones hold: interface, zone, where."""
    found = []
    folder = "/etc/firewalld/zones"
    for name in files.names(host, folder):
        if not name.endswith(".xml"):
            continue
        path = f"{folder}/{name}"
        try:
            text = host.read(path)
        except (FileNotFoundError, Unavailable):
            continue
        # Comments are blanked, not cut: line numbers are to stay true.
        text = re.sub(r"<!--.*?-->", lambda found: "\n" * found.group().count("\n"), text, flags=re.DOTALL)
        for hit in re.finditer(r"<interface\s[^>]*?\bname\s*=\s*[\"']([^\"']+)[\"']", text):
            line = text.count("\n", 0, hit.start()) + 1
            found.append((hit.group(1), name[: -len(".xml")], files.Source(path, line)))
    return found


def export(host: Host) -> dict[str, object]:
    """Return the iptables program, its back end, and which managers are switched on."""
    answer: dict[str, object] = {}
    found = iptables(host)
    if found is not None:
        answer["iptables"] = {"value": found.backend, "path": found.path, "line": None, "why": found.why}
        if found.version:
            answer["iptables version"] = {"value": found.version, "path": found.path, "line": None}
    ufw = ufw_enabled(host)
    if ufw is not None:
        answer["ufw"] = {"value": "enabled", "path": ufw.path, "line": ufw.line}
    for name, (value, line) in conf(host, FIREWALLD_CONF).items():
        answer[f"firewalld.conf {name}"] = {"value": value, "path": FIREWALLD_CONF, "line": line}
    return answer
