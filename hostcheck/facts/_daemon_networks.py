"""What dockerd checks of the networks in a configuration: addresses, pools, the bridge, and what filters packets.

Sources, at the releases that `RULES` in `_daemon_rules` names: `validatePlatformConfig` in
daemon/config/config_linux.go, `verifyDaemonSettings` in daemon/daemon_unix.go and libnetwork of moby/moby.
"""

from __future__ import annotations

from hostcheck._typing import TYPE_CHECKING, Optional
from hostcheck.facts import _govalues as go

if TYPE_CHECKING:
    from hostcheck.facts._daemon_config import Configuration


def dns(c: Configuration) -> None:
    """Name servers are addresses; later releases see to it as they read the type."""
    for text, node in c.items("dns"):
        if go.parse_ip(text.strip(), c.release < (20, 10, 15)) is None:
            c.refuse("invalid-value", "dns", f"{text!r} is not an IP address", node)


def dns_search(c: Configuration) -> None:
    """Search domains are names."""
    for text, node in c.items("dns-search"):
        if not go.is_search_domain(text):
            c.refuse("invalid-value", "dns-search", f"{text[:80]!r} is not a domain", node)


def host_gateway_ips(c: Configuration) -> None:
    """host-gateway-ips holds one address of each family."""
    for family in (4, 6):
        found = [(t, n) for t, n in c.items("host-gateway-ips") if t and _family(t) == family]
        if len(found) > 1:
            c.refuse("invalid-value", "host-gateway-ips", f"more than one IPv{family} address", found[1][1])


def _family(text: str) -> int:
    address = go.parse_addr(text)
    return 0 if address is None else address.family


def userland_proxy(c: Configuration) -> None:
    """The userland proxy, where it is on, is a program at an absolute path."""
    if not c.get("userland-proxy"):
        return
    path = c.get("userland-proxy-path")
    if not path:
        if c.facts.docker_proxy is False:
            message = "the userland proxy is on, and docker-proxy is not installed"
            c.refuse("invalid-value", "userland-proxy-path", message)
        return
    if not path.startswith("/"):
        c.refuse("invalid-value", "userland-proxy-path", f"{path!r} is not an absolute path")
        return
    found = c.facts.path(path)
    if found not in (None, "program"):
        said = {"missing": "does not exist", "folder": "is a folder"}.get(found, "is not executable")
        c.refuse("invalid-value", "userland-proxy-path", f"{path} {said}")


def fixed_cidr_v6(c: Configuration) -> None:
    """fixed-cidr-v6 is an IPv6 network."""
    text = c.get("fixed-cidr-v6")
    if not text:
        return
    found = go.parse_cidr(text, strict=c.release >= (27,))
    if found is None or found[0].family == 4 or found[0].mapped:
        c.refuse("invalid-value", "fixed-cidr-v6", f"{text!r} is not an IPv6 network with a prefix length")
    elif found[0].number >> 120 == 0xFF and c.release >= (27,):
        c.refuse("invalid-value", "fixed-cidr-v6", f"{text!r} is a multicast network")
    elif _overlaps_link_local(*found):
        c.refuse("invalid-value", "fixed-cidr-v6", f"{text!r} overlaps fe80::/64")


def _overlaps_link_local(address: go.Address, length: int) -> bool:
    shift = 128 - min(length, 64)
    return address.number >> shift == 0xFE80 << 112 >> shift


def firewall_backend(c: Configuration) -> None:
    """The firewall back end is iptables or nftables."""
    value = c.get("firewall-backend")
    if value and value not in ("iptables", "nftables"):
        c.refuse("invalid-value", "firewall-backend", f"{value!r} is neither iptables nor nftables")


def firewall_mark(c: Configuration) -> None:
    """A firewall mark and its mask are numbers of 32 bits."""
    value = c.get("bridge-accept-fwmark")
    if value and not all(go.is_uint32(part) for part in value.split("/", 1)):
        c.refuse("invalid-value", "bridge-accept-fwmark", f"{value!r} is not MARK or MARK/MASK in 32 bits")


def bridge_and_address(c: Configuration) -> None:
    """A bridge of one's own has its own address."""
    for key, since in (("bip", (1, 10)), ("bip6", (28,))):
        if c.release >= since and c.get("bridge") and c.get(key):
            c.refuse("invalid-value", key, f"excludes bridge, which is {c.get('bridge')!r}")


def icc(c: Configuration) -> None:
    """Keeping containers apart is done by iptables."""
    if c.get("icc") is not False:
        return
    if c.get("iptables") is False:
        c.refuse("invalid-value", "icc", "icc false needs iptables, which is false too")
    elif c.release >= (27,) and c.get("ipv6") and c.get("ip6tables") is False:
        c.refuse("invalid-value", "icc", "icc false with ipv6 needs ip6tables, which is false")


def ip6tables(c: Configuration) -> None:
    """ip6tables was experimental at first."""
    if c.get("ip6tables") and not c.get("experimental"):
        c.refuse("invalid-value", "ip6tables", "needs experimental before 27.0")


def bridge_networks(c: Configuration) -> None:
    """Bip and fixed-cidr are networks."""
    for key in ("bip", "fixed-cidr"):
        text = c.get(key)
        if text and go.parse_cidr(text) is None:
            message = f"{text!r} is not an address with a prefix length, as 172.17.0.1/16"
            c.refuse("invalid-value", key, message)


def bridge_addresses(c: Configuration) -> None:
    """Bip is a host's address in its network, and the default gateway another one in it."""
    if c.get("bridge"):
        return
    bip = go.parse_cidr(c.get("bip") or "")
    if bip is not None and bip[0].family == 4:
        address, length = bip
        rest = (1 << (32 - length)) - 1
        if length <= 30 and address.number & rest in (0, rest):
            message = f"{c.get('bip')!r} is the first or last address of its network, not one for a host"
            c.refuse("invalid-value", "bip", message)
        elif length > 30 and c.release < (23,):
            c.refuse("invalid-value", "bip", f"a network of /{length} has no room for containers")
    gateway = go.parse_ip(c.get("default-gateway") or "")
    if gateway is None or gateway.family != 4:
        return
    if bip is not None and gateway == bip[0]:
        c.refuse(
            "invalid-value",
            "default-gateway",
            f"{c.get('default-gateway')} is the address of the bridge itself",
        )
        return
    for network, length in _default_networks(c, bip):
        if network.family == 4 and gateway.number >> (32 - length) == network.number >> (32 - length):
            return
    c.refuse("invalid-value", "default-gateway", f"{c.get('default-gateway')} is not in the default network")


def _default_networks(
    c: Configuration, bip: Optional[tuple[go.Address, int]]
) -> list[tuple[go.Address, int]]:
    """Return the networks in which the default one may lie."""
    if bip is not None:
        return [bip]
    pools = c.get("default-address-pools") or [{"base": base} for base in BUILT_IN_POOLS]
    found = [go.parse_cidr(pool.get("base") or "") for pool in pools if isinstance(pool, dict)]
    return [network for network in found if network is not None]


BUILT_IN_POOLS = ("172.16.0.0/12", "192.168.0.0/16")
"""Where dockerd looks for networks of its own (libnetwork/ipamutils)."""


def ipv6_subnet(c: Configuration) -> None:
    """Before 28.0 nobody chose a subnet for IPv6."""
    if c.get("ipv6") and not c.get("fixed-cidr-v6") and c.get("bridge") != "none":
        c.refuse("invalid-value", "ipv6", "needs fixed-cidr-v6 before 28.0")


def pools_base(c: Configuration) -> None:
    """The base of an address pool is a network."""
    for i, pool in enumerate(c.get("default-address-pools") or ()):
        if isinstance(pool, dict) and go.parse_cidr(pool.get("base") or "") is None:
            key = f"default-address-pools[{i}].base"
            c.refuse("invalid-value", key, f"{pool.get('base') or ''!r} is not a network", c.places.get(key))


def pools_size(c: Configuration) -> None:
    """A pool is cut into networks that are smaller than it."""
    for i, pool in enumerate(c.get("default-address-pools") or ()):
        if not isinstance(pool, dict):
            continue
        base, size = go.parse_cidr(pool.get("base") or ""), pool.get("size") or 0
        key = f"default-address-pools[{i}].size"
        if base is None:
            continue
        if size <= 0 or size < base[1]:
            message = f"networks of /{size} do not fit into {pool['base']}"
            c.refuse("invalid-value", key, message, c.places.get(key))
        elif size > base[0].bits:
            c.refuse("invalid-value", key, f"/{size} is longer than an address", c.places.get(key))
        elif c.release >= (27,) and base[0].number & ((1 << (base[0].bits - base[1])) - 1):
            message = f"{pool['base']} has bits set behind its prefix"
            c.refuse("invalid-value", f"default-address-pools[{i}].base", message, c.places.get(key))


def pools_room(c: Configuration) -> None:
    """The default bridge finds an IPv4 network in the pools, and up to 20.10 one of four addresses or more."""
    pools = c.get("default-address-pools")
    if not isinstance(pools, list) or not pools or c.get("bip") or c.get("bridge"):
        return
    four = []
    for pool in pools:
        base = go.parse_cidr(pool.get("base") or "") if isinstance(pool, dict) else None
        if base is None:
            return
        if base[0].family == 4:
            four.append(pool.get("size") or 0)
    if not four:
        c.refuse("invalid-value", "default-address-pools", "no pool has IPv4 networks for the default bridge")
    elif min(four) > 30 and c.release < (23,):
        message = f"a network of /{min(four)} has no room for the gateway of the default bridge"
        c.refuse("invalid-value", "default-address-pools", message)


def mtu(c: Configuration) -> None:
    """The kernel gives a bridge an MTU from 68 on; with IPv6 from 1280 on. dockerd sets it from 25.0 on."""
    value = c.get("mtu")
    if not value or value < 0 or c.get("bridge") == "none":
        return
    wrong = mtu_fault(value, bool(c.get("ipv6")))
    if wrong:
        c.refuse("invalid-value", "mtu", wrong)


def mtu_fault(value: int, ipv6: bool) -> Optional[str]:
    """Return why the kernel refuses an MTU to an Ethernet interface of a container network."""
    if not 68 <= value <= 65535:
        return f"{value} is not between 68 and 65535"
    return f"{value} is less than the 1280 that IPv6 needs" if ipv6 and value < 1280 else None


def nftables_swarm(c: Configuration) -> None:
    """The nftables back end does not know overlay networks."""
    allowed = c.release >= (29, 6) and (c.get("features") or {}).get("swarm-nftables")
    if c.get("firewall-backend") == "nftables" and c.get("iptables") and c.facts.swarm and not allowed:
        c.refuse(
            "invalid-value", "firewall-backend", "nftables excludes swarm mode, and this node is in a swarm"
        )
