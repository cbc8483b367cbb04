"""The host's network: what else forwards packets, routes, resolvers, and who manages interfaces."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hostcheck._typing import Any, Optional
from hostcheck.facts import docker, engine, files, firewall, packages, sysctl, systemd
from hostcheck.host import Host, NotApplicable, Unavailable
from hostcheck.record import Record

NETWORKD_FOLDERS = (
    "/etc/systemd/network",
    "/run/systemd/network",
    "/usr/local/lib/systemd/network",
    "/usr/lib/systemd/network",
)
NETWORKD_CONF = "/etc/systemd/networkd.conf"
NM_CONF = "/etc/NetworkManager/NetworkManager.conf"


def engine_option(host: Host, key: str, default: Any = None) -> Any:
    """Return what file and command line of dockerd set an option to; `default` if neither does.

    A configuration that cannot be read, or that dockerd refuses, counts as unset: another check speaks of that.
    """
    # Judging an absent file costs 25 ms, mostly for tables of keys.
    if "docker" not in engine.installed(host) and not host.exists(docker.DAEMON_JSON):
        return default
    try:
        found = docker.effective(host).get(key)
    except (OSError, ValueError, NotApplicable, Unavailable):
        return default
    return default if found is None else found.value


class Section(Record):
    """A section of an ini file, as systemd-networkd and NetworkManager write them."""

    name: str
    entries: tuple[tuple[str, str, int], ...]
    """Key, value and line, in their order."""


def parse_ini(text: str) -> list[Section]:
    r"""Return the sections of an ini file; a name that comes twice is there twice.

    >>> parse_ini("[Match]\nName=eth0\n# x\n[Network]\nIPForward = yes\n")[1]
    Section(name='Network', entries=(('IPForward', 'yes', 5),))
    """
    found: list[tuple[str, list[tuple[str, str, int]]]] = []
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line[0] in "#;":
            continue
        if line.startswith("[") and line.endswith("]"):
            found.append((line[1:-1], []))
            continue
        key, equals, value = line.partition("=")
        if equals and found:
            found[-1][1].append((key.strip(), value.strip(), number))
    return [Section(name, tuple(entries)) for name, entries in found]


def _ini(host: Host, path: str) -> list[Section]:
    try:
        return parse_ini(host.read(path))
    except (FileNotFoundError, Unavailable):
        return []


def networkd_files(host: Host) -> list[tuple[str, list[Section]]]:
    """Return the .network files that count, in their order: systemd-networkd takes the first that matches."""
    return [(path, _ini(host, path)) for path in networkd_paths(host)]


def networkd_paths(host: Host) -> list[str]:
    """Return the paths of the .network files that count, in their order."""
    return files.merged_conf(host, NETWORKD_FOLDERS, ".network")


def meant_option(host: Host, key: str) -> Any:
    """Return what the file or the command line asks for, even where dockerd refuses the whole; None if neither does."""
    try:
        return docker.meant(host, key)
    except (OSError, ValueError, Unavailable):
        return None


def enabled(host: Host, unit: str, package: packages.Package | None = None) -> str | None:
    """Return what says that a unit starts at boot, None if it does not.

    Files tell, and on a running host where there is no unit file `systemctl is-enabled`. Where neither can be
    had (a tree of /etc alone) an installed `package` whose scripts enable the unit is enough.
    """
    try:
        found = systemd.enabled(host, unit)
    except PermissionError:
        # Whether it starts is unknown then, and not what its package would have it be.
        raise
    except (OSError, Unavailable):
        found = None
    if found is not None:
        return found.path or unit if found.value in ("enabled", "alias") else None
    try:
        said = host.run("systemctl", "is-enabled", unit.removesuffix(".service")).out.strip()
    except (OSError, Unavailable):
        said = "enabled" if package is not None else ""
    return "systemctl is-enabled" if said == "enabled" else None


YES = ("yes", "true", "1", "on", "y", "t")
"""What systemd takes for a yes (parse_boolean())."""


def forwarding_source(host: Host, family: str = "ipv4") -> files.Source | None:
    """Return what beside sysctl files switches forwarding on for all interfaces at boot, None if nothing does.

    systemd-networkd does with IPForward= (until 256) or IPv4Forwarding= in networkd.conf, and with IPForward=
    in a .network file (systemd.network(5)); ufw writes its own sysctl file when it starts (ufw-framework(8)).
    """
    words = ("IPForward", "IPv4Forwarding" if family == "ipv4" else "IPv6Forwarding")
    candidates: list[tuple[str, list[Section]]] = [(NETWORKD_CONF, _ini(host, NETWORKD_CONF))]
    candidates += networkd_files(host)
    for path, sections in candidates:
        for section in sections:
            for key, value, line in section.entries:
                on = value.lower() in YES or (key == "IPForward" and value.lower() == family)
                # In a .network file IPv4Forwarding= is of that interface alone.
                everywhere = key == "IPForward" or path == NETWORKD_CONF
                counts = section.name == "Network" and key in words and on and everywhere
                if counts and enabled(host, "systemd-networkd.service"):
                    return files.Source(path, line)
    if firewall.ufw_enabled(host):
        conf = firewall.conf(host, "/etc/default/ufw").get("IPT_SYSCTL", ("", 0))[0]
        wanted = "net/ipv4/ip_forward" if family == "ipv4" else "net/ipv6/conf/all/forwarding"
        try:
            text = files.text(host, conf) or "" if conf.startswith("/") else ""
        except Unavailable:
            text = ""
        lines = [line for line in sysctl.parse_procps_conf(text, conf) if line.path == wanted]
        if lines and lines[-1].text == "1":
            return lines[-1].source
    return None


class Route(Record):
    """An IPv4 route of the main table."""

    base: int
    """The network's address as a number."""
    bits: int
    """The length of its prefix."""
    device: str


def parse_address(text: str) -> int | None:
    """Return an IPv4 address as a number, None if it is none.

    >>> parse_address("172.17.0.1") == 0xAC110001
    True
    """
    parts = text.split(".")
    if len(parts) != 4 or not all(part.isascii() and part.isdecimal() and int(part) < 256 for part in parts):
        return None
    return int("".join(f"{int(part):02x}" for part in parts), 16)


def parse_network(text: str) -> tuple[int, int] | None:
    """Return base and prefix length of `address/bits`, host bits cleared; None if it is no IPv4 network.

    >>> parse_network("172.17.0.1/16") == (0xAC110000, 16)
    True
    """
    address, slash, length = text.partition("/")
    base = parse_address(address)
    bits = int(length) if length.isascii() and length.isdecimal() else -1
    if base is None or not slash or not 0 <= bits <= 32:
        return None
    return base & ~((1 << (32 - bits)) - 1), bits


def format_network(base: int, bits: int) -> str:
    """Return a network as text.

    >>> format_network(0xAC110000, 16)
    '172.17.0.0/16'
    """
    return ".".join(str(base >> shift & 255) for shift in (24, 16, 8, 0)) + f"/{bits}"


def parse_target(text: str) -> tuple[int, int] | None:
    """Return base and prefix length of a network, or of an address alone.

    >>> parse_target("172.17.0.1") == (0xAC110001, 32)
    True
    """
    return parse_network(text if "/" in text else f"{text}/32")


def covers(outer: tuple[int, int], inner: tuple[int, int]) -> bool:
    """Return whether all addresses of a network are of another one."""
    return outer[1] <= inner[1] and overlaps(outer, inner)


def overlaps(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Return whether two networks share an address.

    >>> overlaps((0x0A000000, 8), (0x0A0A0000, 16)), overlaps((0x0A000000, 16), (0x0A010000, 16))
    (True, False)
    """
    shift = 32 - min(one[1], other[1])
    return one[0] >> shift == other[0] >> shift


def parse_proc_route(text: str) -> list[Route]:
    r"""Return the routes of /proc/net/route that are up.

    >>> parse_proc_route("Iface Destination ...\neth0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\n")
    [Route(base=2886795264, bits=16, device='eth0')]
    """
    found = []
    for line in text.splitlines()[1:]:
        words = line.split()
        try:
            destination, mask = (int.from_bytes(bytes.fromhex(words[at]), "little") for at in (1, 7))
            up = int(words[3], 16) & 1
        except (IndexError, ValueError):
            continue
        if up:
            found.append(Route(destination, bin(mask).count("1"), words[0]))
    return found


def parse_ip_route(text: str) -> list[Route]:
    r"""Return the routes that `ip -4 route` prints.

    >>> parse_ip_route("default via 10.0.0.1 dev eth0\n10.0.0.0/8 via 10.8.0.1 dev tun0\n")[1]
    Route(base=167772160, bits=8, device='tun0')
    """
    found = []
    for line in text.splitlines():
        words = line.split()
        if not words:
            continue
        network = parse_target("0.0.0.0/0" if words[0] == "default" else words[0])
        if network is not None:
            device = words[words.index("dev") + 1] if "dev" in words[:-1] else ""
            found.append(Route(*network, device))
    return found


def routes(host: Host) -> list[Route]:
    """Return the IPv4 routes of the main table now.

    Raises:
        Unavailable: the host is not running.

    """
    text = files.text(host, "/proc/net/route")
    if text is not None:
        return parse_proc_route(text)
    for argv in (("ip", "-4", "route"), ("ip", "-4", "route", "show", "default")):
        try:
            return parse_ip_route(host.run(*argv).out)
        except (OSError, Unavailable):
            continue
    raise Unavailable("neither /proc/net/route nor `ip -4 route` can be had")


def parse_fib_trie(table: str) -> list[tuple[int, int]]:
    r"""Return base and prefix length of what is this machine's own by /proc/net/fib_trie: mostly single addresses.

    >>> parse_fib_trie("  |-- 10.0.0.0\n     /24 link UNICAST\n  |-- 10.0.0.7\n     /32 host LOCAL\n")
    [(167772167, 32)]
    """
    found, address = [], ""
    for line in table.splitlines():
        mark, _, rest = line.partition("|-- ")
        if rest:
            address = rest.strip()
        elif mark.endswith(" host LOCAL"):
            own = parse_network(address + mark.split()[0])
            found += [own] if own else []
    return found


def is_foreign(host: Host, address: str) -> bool:
    """Return whether an IPv4 address is none of this running host's, so that nobody can listen on it.

    Raises:
        Unavailable: the host is not running, or its kernel keeps no table of its addresses.

    """
    wanted = parse_network(f"{address}/32")
    if not wanted or not wanted[0] or is_loopback(address):
        return False
    if (files.text(host, "/proc/sys/net/ipv4/ip_nonlocal_bind") or "").strip() == "1":
        return False
    table = files.text(host, "/proc/net/fib_trie")
    if table is None:
        raise Unavailable("/proc/net/fib_trie does not exist")
    return not any(overlaps(wanted, own) for own in parse_fib_trie(table))


def uplink(host: Host) -> str | None:
    """Return the interface that has the default route now, None if there is none."""
    return next((route.device for route in routes(host) if not route.bits and route.device), None)


def has_ipv6_default(host: Host) -> bool:
    """Return whether there is a default route of IPv6 now; what leads nowhere has the interface lo."""
    lines = (line.split() for line in (files.text(host, "/proc/net/ipv6_route") or "").splitlines())
    return any(len(words) == 10 and words[1] == "00" and words[9] != "lo" for words in lines)


class Resolvers(Record):
    """What a resolv.conf names."""

    servers: tuple[tuple[str, int], ...]
    """Each name server, and its line."""
    search: tuple[str, ...]
    search_line: Optional[int] = None


def parse_resolv_conf(text: str) -> Resolvers:
    r"""Return the name servers and the search list of a resolv.conf (resolv.conf(5)).

    >>> parse_resolv_conf("nameserver 127.0.0.53\nsearch .\n")
    Resolvers(servers=(('127.0.0.53', 1),), search=('.',), search_line=2)
    """
    servers = []
    search: tuple[str, ...] = ()
    search_line = None
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if words[:1] == ["nameserver"] and len(words) > 1:
            servers.append((words[1], number))
        elif words[:1] in (["search"], ["domain"]):
            search, search_line = tuple(words[1:]), number
    return Resolvers(tuple(servers), search, search_line)


def is_loopback(address: str) -> bool:
    """Return whether a resolver's address is this machine's own.

    >>> is_loopback("127.0.0.53"), is_loopback("::1"), is_loopback("10.0.0.1")
    (True, True, False)
    """
    return address.startswith("127.") or address == "::1"


def nm_sections(host: Host) -> Iterator[tuple[str, Section]]:
    """Give the sections of NetworkManager's files, in the order in which they are read.

    Source: NetworkManager.conf(5): /usr/lib, then /run, NetworkManager.conf, then /etc conf.d; a file of
    the same name in /etc or /run hides one in /usr/lib.
    """
    folders = [f"{top}/NetworkManager/conf.d" for top in ("/etc", "/run", "/usr/lib")]
    dropins = files.merged_conf(host, folders)
    own = [path for path in dropins if path.startswith("/etc/")]
    for path in (*(path for path in dropins if path not in own), NM_CONF, *own):
        for section in _ini(host, path):
            yield path, section


def unmanaged(host: Host) -> tuple[str, files.Source] | None:
    """Return which devices NetworkManager is told to leave alone, and where; None if no file says it."""
    said: tuple[str, files.Source] | None = None
    for path, section in nm_sections(host):
        for key, value, line in section.entries if section.name == "keyfile" else ():
            if key.rstrip("+") == "unmanaged-devices":
                earlier = said[0] + ";" if said and key.endswith("+") else ""
                said = (earlier + value, files.Source(path, line))
    return said


OTHERS_BRIDGES = (
    "docker",
    "virbr",
    "cni",
    "lxcbr",
    "lxdbr",
    "incusbr",
    "podman",
    "cbr",
    "kube-bridge",
    "nerdctl",
)
"""How the bridges begin that engines make and bring rules for."""


def bridges(host: Host) -> Iterator[tuple[str, files.Source]]:
    """Give the bridges of the host's own: those that are up, then those that its network files make.

    `br-` with twelve hexadecimal digits is a network of docker's.
    """

    def own(name: str) -> bool:
        engines = (
            len(name) == 15
            and name.startswith("br-")
            and all(char in "0123456789abcdef" for char in name[3:])
        )
        return bool(name) and not engines and not name.startswith(OTHERS_BRIDGES)

    try:
        for name in files.names(host, "/sys/class/net"):
            if own(name) and host.exists(f"/sys/class/net/{name}/bridge"):
                yield name, files.Source(f"/sys/class/net/{name}/bridge")
    except (PermissionError, Unavailable):
        pass
    yield from ((name, source) for name, source in _made_at_boot(host) if own(name))


def _made_at_boot(host: Host) -> Iterator[tuple[str, files.Source]]:
    """Give the bridges that the host's network files make: networkd, NetworkManager, netplan, ifupdown, ifcfg."""
    for path in files.merged_conf(host, NETWORKD_FOLDERS, ".netdev"):
        entries = {
            key: (value, line)
            for s in _ini(host, path)
            if s.name == "NetDev"
            for key, value, line in s.entries
        }
        if entries.get("Kind", ("", 0))[0] == "bridge":
            yield entries.get("Name", ("", 0))[0], files.Source(path, entries["Kind"][1])
    for path in _listed(host, "/etc/NetworkManager/system-connections", "", ".nmconnection"):
        said = {key: (value, line) for s in _ini(host, path) for key, value, line in s.entries}
        if said.get("type", ("", 0))[0] == "bridge":
            yield said.get("interface-name", ("", 0))[0], files.Source(path, said["type"][1])
    for path in _listed(host, "/etc/netplan", "", ".yaml"):
        yield from _netplan_bridges(_text(host, path), path)
    for path in ("/etc/network/interfaces", *_listed(host, "/etc/network/interfaces.d")):
        name = ""
        for number, line in enumerate(_text(host, path).splitlines(), 1):
            words = line.split()
            if words[:1] == ["iface"] and len(words) > 1:
                name = words[1]
            if words[:1] in (["bridge_ports"], ["bridge-ports"]) and words[1:] != ["none"]:
                yield name, files.Source(path, number)
    for folder in ("/etc/sysconfig/network-scripts", "/etc/sysconfig/network"):
        for path in _listed(host, folder, "ifcfg-"):
            for number, line in enumerate(_text(host, path).splitlines(), 1):
                # wicked's files say BRIDGE=yes; in Red Hat's that word names the bridge of a port.
                if re.match(r"""(?i)\s*(type=["']?bridge|bridge=["']?yes\b)""", line):
                    yield path.rpartition("ifcfg-")[2], files.Source(path, number)


def _listed(host: Host, folder: str, prefix: str = "", suffix: str = "") -> list[str]:
    try:
        found = files.names(host, folder)
    except (PermissionError, Unavailable):
        return []
    return [f"{folder}/{name}" for name in found if name.startswith(prefix) and name.endswith(suffix)]


def _text(host: Host, path: str) -> str:
    try:
        return files.text(host, path) or ""
    except (PermissionError, Unavailable):
        return ""


def _netplan_bridges(text: str, path: str) -> Iterator[tuple[str, files.Source]]:
    r"""Give the bridges of a netplan file: the keys one step below `bridges:`.

    >>> [name for name, _ in _netplan_bridges("network:\n  bridges:\n    br0:\n      dhcp4: no\n  vlans: {}\n", "")]
    ['br0']
    """
    inside: int | None = None
    step: int | None = None
    for number, line in enumerate(text.splitlines(), 1):
        body = line.strip()
        if not body or body.startswith("#"):
            continue
        indent = len(line) - len(line.lstrip())
        if body.startswith("bridges:"):
            inside, step = indent, None
        elif inside is not None and indent <= inside:
            inside = None
        elif inside is not None:
            step = step or indent
            if indent == step and ":" in body:
                yield body.partition(":")[0].strip("\"'"), files.Source(path, number)


DEFINITIONS = (
    *((folder, ".netdev", "name={}") for folder in NETWORKD_FOLDERS),
    ("/etc/network", "interfaces", "iface {}"),
    ("/etc/network/interfaces.d", "", "iface {}"),
    ("/etc/sysconfig/network-scripts", "", "device={}"),
    ("/etc/NetworkManager/system-connections", ".nmconnection", "interface-name={}"),
    ("/etc/netplan", ".yaml", "{}:"),
)
"""Where a host's network is described: folder, how a file's name ends, how a line that names an interface begins."""


def definition(host: Host, interface: str) -> files.Source | None:
    """Return what makes an interface of that name at boot, None if no file names it.

    Raises:
        PermissionError: a file that may name it cannot be read.

    """
    for folder, suffix, pattern in DEFINITIONS:
        wanted = pattern.format(interface.lower()).split()
        try:
            listed = [name for name in files.names(host, folder) if name.endswith(suffix)]
        except Unavailable:
            continue
        for name in listed:
            path = f"{folder}/{name}"
            if host.stat(path).is_file:
                for number, line in enumerate((files.text(host, path) or "").splitlines(), 1):
                    words = line.lower().replace(" = ", "=").replace('"', "").replace("'", "").split()
                    if words[: len(wanted)] == wanted:
                        return files.Source(path, number)
    return None


def export(host: Host) -> dict[str, object]:
    """Return the resolvers, what switches forwarding on, and on a running host the routes."""
    answer: dict[str, object] = {}
    source = forwarding_source(host)
    if source is not None:
        answer["forwarding"] = {"value": "on at boot", "path": source.path, "line": source.line}
    try:
        resolvers = parse_resolv_conf(files.text(host, "/etc/resolv.conf") or "")
        for server, line in resolvers.servers:
            answer[f"nameserver {server}"] = {"value": server, "path": "/etc/resolv.conf", "line": line}
        for route in routes(host):
            name = format_network(route.base, route.bits)
            answer[f"route {name}"] = {"value": route.device, "path": "/proc/net/route", "line": None}
    except Unavailable:
        pass
    return answer
