"""The grammars of Go's standard library and of the packages that dockerd reads its values with.

Each answers as the Go function in its docstring does; an error is a text, None is right.
"""

from __future__ import annotations

import re

from hostcheck._typing import Optional
from hostcheck.record import Record


class Address(Record):
    """An IP address: its family, its value, and the zone of an IPv6 one."""

    family: int
    number: int
    zone: str = ""

    @property
    def bits(self) -> int:
        """The length of the address in bits."""
        return 32 if self.family == 4 else 128

    @property
    def mapped(self) -> bool:
        """Whether it is an IPv4 address in IPv6 clothes (::ffff:a.b.c.d)."""
        return self.family == 6 and self.number >> 32 == 0xFFFF


def parse_ipv4(text: str, leading_zeros: bool = False) -> Optional[int]:
    """Return the value of a dotted quad; Go refuses leading zeros since 1.17.

    >>> parse_ipv4("10.0.0.1") == 10 << 24 | 1, parse_ipv4("10.0.0.01"), parse_ipv4("256.0.0.1")
    (True, None, None)
    """
    parts = text.split(".")
    if len(parts) != 4:
        return None
    number = 0
    for part in parts:
        if not (part.isdecimal() and part.isascii()) or len(part) > 16:
            return None
        if not leading_zeros and len(part) > 1 and part[0] == "0":
            return None
        if int(part) > 255:
            return None
        number = number << 8 | int(part)
    return number


def parse_ipv6(text: str) -> Optional[int]:
    """Return the value of an IPv6 address without zone.

    >>> parse_ipv6("::1"), parse_ipv6("1::2::3"), parse_ipv6("::ffff:1.2.3.4") == 0xffff01020304
    (1, None, True)
    """
    head, double, tail = text.partition("::")
    if "::" in tail or tail.startswith(":"):
        return None
    groups: list[list[int]] = [[], []]
    for i, half in enumerate((head, tail)):
        if not half:
            continue
        parts = half.split(":")
        last_half = i == 1 or not double
        for j, part in enumerate(parts):
            if "." in part:
                quad = parse_ipv4(part) if last_half and j == len(parts) - 1 else None
                if quad is None:
                    return None
                groups[i] += [quad >> 16, quad & 0xFFFF]
                continue
            if not 1 <= len(part) <= 4 or not all(c in "0123456789abcdefABCDEF" for c in part):
                return None
            groups[i].append(int(part, 16))
    have = len(groups[0]) + len(groups[1])
    if (double and have > 7) or (not double and have != 8):
        return None
    number = 0
    for group in [*groups[0], *[0] * (8 - have), *groups[1]]:
        number = number << 16 | group
    return number


def parse_ip(text: str, leading_zeros: bool = False) -> Optional[Address]:
    """Return what net.ParseIP makes of a text: no zone, no brackets, no space around."""
    if ":" in text:
        number = parse_ipv6(text)
        return None if number is None else Address(6, number)
    number = parse_ipv4(text, leading_zeros)
    return None if number is None else Address(4, number)


def parse_addr(text: str) -> Optional[Address]:
    """Return what netip.ParseAddr makes of a text: as `parse_ip`, and IPv6 may have a zone.

    >>> parse_addr("fe80::1%eth0").zone, parse_addr("1.2.3.4%eth0"), parse_addr("fe80::1%")
    ('eth0', None, None)
    """
    address, percent, zone = text.partition("%")
    found = parse_ip(address)
    if found is None or (percent and (found.family == 4 or not zone)):
        return None
    return found._replace(zone=zone)


def parse_cidr(text: str, strict: bool = False) -> Optional[tuple[Address, int]]:
    """Return what net.ParseCIDR, or with `strict` netip.ParsePrefix, makes of a text.

    >>> parse_cidr("10.0.0.0/8")[1], parse_cidr("10.0.0.0"), parse_cidr("10.0.0.0/08", strict=True)
    (8, None, None)
    """
    base, slash, length = text.rpartition("/") if strict else text.partition("/")
    found = parse_ip(base)
    if not slash or found is None or not (length.isdecimal() and length.isascii()) or len(length) > 6:
        return None
    if strict and len(length) > 1 and length[0] == "0":
        return None
    return (found, int(length)) if int(length) <= found.bits else None


def check_url(text: str) -> tuple[Optional[str], dict[str, str]]:
    """Return what is wrong with a URL for net/url.Parse, and its parts.

    The parts that are there: `scheme`, `opaque`, `user`, `host`, `path`, `query`, `fragment`.

    >>> check_url("https://m:port")[0], check_url("https://u@m/x?y")[1]["path"]
    ("invalid port ':port' after the host", '/x')
    """
    parts: dict[str, str] = {}
    rest, hash_, fragment = text.partition("#")
    if hash_ and fragment:
        parts["fragment"] = fragment
    if any(c < " " or c == "\x7f" for c in rest):
        return "it holds a control character", parts
    wrong = _url_scheme(rest, parts)
    if wrong is not None:
        return wrong, parts
    rest = parts.pop("rest")
    before, _, query = rest.partition("?")
    if query:
        parts["query"] = query
    rest = before
    if not rest.startswith("/"):
        if "scheme" in parts:
            parts["opaque"] = rest
            return _escapes(fragment, "fragment"), parts
        if ":" in rest.partition("/")[0]:
            return "a colon stands in its first part", parts
    if rest.startswith("//") and ("scheme" in parts or not rest.startswith("///")):
        authority, slash, path = rest[2:].partition("/")
        rest = slash + path
        wrong = _url_authority(authority, parts)
        if wrong is not None:
            return wrong, parts
    parts["path"] = rest
    return _escapes(rest, "path") or _escapes(fragment, "fragment"), parts


def _url_scheme(text: str, parts: dict[str, str]) -> Optional[str]:
    parts["rest"] = text
    for i, character in enumerate(text):
        if character.isascii() and character.isalpha():
            continue
        if character.isascii() and (character.isdecimal() or character in "+-."):
            if i == 0:
                return None
            continue
        if character == ":":
            if i == 0:
                return "the scheme is missing"
            parts["scheme"], parts["rest"] = text[:i].lower(), text[i + 1 :]
        return None
    return None


def _url_authority(authority: str, parts: dict[str, str]) -> Optional[str]:
    user, at, host = authority.rpartition("@")
    wrong = _url_host(host)
    if wrong is not None:
        return wrong
    parts["host"] = host
    if at:
        parts["user"] = user
        if not all((c.isascii() and c.isalnum()) or c in "-._:~!$&'()*+,;=%@" for c in user):
            return "the user in it is malformed"
        return _escapes(user, "user")
    return None


def _url_host(host: str) -> Optional[str]:
    inside, port = host, ""
    if host.startswith("["):
        inside, bracket, port = host.rpartition("]")
        if not bracket:
            return "a ] is missing in the host"
        inside += "]"
    elif ":" in host:
        inside, colon, port = host.rpartition(":")
        port = colon + port
    if port and not (port[0] == ":" and (port == ":" or (port[1:].isascii() and port[1:].isdecimal()))):
        return f"invalid port {port!r} after the host"
    name = inside if not host.startswith("[") else inside.replace("%25", "", 1)
    i = 0
    while i < len(name):
        character = name[i]
        if character == "%":
            if not re.match(r"%[0-9a-fA-F]{2}", name[i : i + 3]):
                return "a % in it is not an escape"
            if int(name[i + 1], 16) < 8 and not host.startswith("["):
                return "a % in the host"
            i += 3
            continue
        if character.isascii() and not (character.isalnum() or character in "-._~!$&'()*+,;=:[]<>\""):
            return f"{character!r} cannot be part of a host"
        i += 1
    return None


def _escapes(text: str, where: str) -> Optional[str]:
    if re.search(r"%(?![0-9a-fA-F]{2})", text):
        return f"a % in the {where} is not an escape"
    return None


# Patterns are texts: re compiles and keeps them when they are first used, which is seldom.
_UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
# go-units 0.3.1, 0.3.2 and up to 0.4.0; later ones have no pattern.
_SIZE_FIRST = r"(\d+(?:\.\d+)*) ?([kKmMgGtTpP])?[bB]?\Z"
_SIZE_OLD = r"(\d+(?:\.\d+)*) ?([kKmMgGtTpP])?[iI]?[bB]?\Z"
_FLOAT = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\Z"


def parse_size(text: str, grammar: str = "new") -> Optional[int]:
    """Return the bytes that units.RAMInBytes of docker/go-units reads; None if it refuses.

    `grammar` is `first` (0.3.1: no MiB), `old` (up to 0.4.0) or `new` (0.5.0: also 1e3 and .5g).

    >>> parse_size("64MiB"), parse_size("1e3", "old"), parse_size("1.5g"), parse_size("64 M")
    (67108864, None, 1610612736, 67108864)
    """
    if grammar != "new":
        found = re.match(_SIZE_FIRST if grammar == "first" else _SIZE_OLD, text, re.ASCII)
        if not found or found.group(1).count(".") > 1:
            return None
        return int(float(found.group(1)) * _UNITS.get((found.group(2) or "").lower(), 1))
    last = max((i for i, c in enumerate(text) if c in "0123456789. "), default=-1)
    if last < 0:
        return None
    number = text[:last] if text[last] == " " else text[: last + 1]
    suffix = text[last + 1 :].lower()
    if not re.match(_FLOAT, number, re.ASCII) or len(number) > 400:
        return None
    size = float(number)
    if size < 0 or size == float("inf"):
        return None
    if suffix in ("", "b"):
        return int(size)
    if suffix[0] not in _UNITS or suffix[1:] not in ("", "b", "ib"):
        return None
    return int(size * _UNITS[suffix[0]])


_DURATION = r"(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+\Z"


def is_duration(text: str) -> bool:
    """Return whether time.ParseDuration reads a text.

    >>> [is_duration(t) for t in ("1h30m", "-1.5s", "0", "5", "h")]
    [True, True, True, False, False]
    """
    unsigned = text[1:] if text[:1] in ("+", "-") else text
    return unsigned == "0" or bool(re.match(_DURATION, unsigned, re.ASCII))


def is_integer(text: str, bits: int = 64) -> bool:
    """Return whether strconv.ParseInt(text, 10, bits) reads a text."""
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not (digits.isascii() and digits.isdecimal()) or len(digits) > 400:
        return False
    return -(1 << (bits - 1)) <= int(text) < 1 << (bits - 1)


def is_uint32(text: str) -> bool:
    """Return whether strconv.ParseUint(text, 0, 32) reads a text: any base that Go's literals have.

    >>> [is_uint32(t) for t in ("0x1f", "017", "0b11", "4294967296", "-1", "1_0", "")]
    [True, True, True, False, False, True, False]
    """
    # One way to match each text: a hostile one must not make the pattern try them all.
    pattern = r"(?:0[xX](?:_?[0-9a-fA-F])+|0[bB](?:_?[01])+|0[oO]?(?:_?[0-7])*|[1-9](?:_?[0-9])*)\Z"
    if len(text) > 80 or not re.match(pattern, text):
        return False
    digits = text.replace("_", "").lower()
    if digits in ("0o", "0"):
        return digits == "0"
    base = {"0x": 16, "0b": 2, "0o": 8}.get(digits[:2], 8 if digits[0] == "0" else 10)
    return int(digits[2:] if digits[:2] in ("0x", "0b", "0o") else digits, base) < 1 << 32


def split_host_port(text: str) -> Optional[tuple[str, str]]:
    """Return what net.SplitHostPort makes of a text.

    >>> split_host_port("[::1]:80"), split_host_port("::1"), split_host_port("r")
    (('::1', '80'), None, None)
    """
    colon = text.rfind(":")
    if colon < 0:
        return None
    if text.startswith("["):
        bracket = text.find("]")
        if bracket + 1 != colon or "[" in text[1:] or "]" in text[colon:]:
            return None
        return text[1:bracket], text[colon + 1 :]
    host = text[:colon]
    return None if ":" in host or "[" in text or "]" in text else (host, text[colon + 1 :])


_DOMAIN = (
    r"(:?(:?[a-zA-Z0-9]|(:?[a-zA-Z0-9][a-zA-Z0-9\-]*[a-zA-Z0-9]))"
    r"(:?\.(:?[a-zA-Z0-9]|(:?[a-zA-Z0-9][a-zA-Z0-9\-]*[a-zA-Z0-9])))*)\.?[\t\n\f\r ]*\Z"
)


def is_search_domain(text: str) -> bool:
    """Return whether opts.ValidateDNSSearch of moby takes a text (its pattern, colons and all)."""
    text = text.strip(" ")
    if text == ".":
        return True
    name = text.rstrip("\t\n\f\r ")
    if len(name) > 256 or not any(c.isascii() and c.isalpha() for c in text):
        return False
    found = re.match(_DOMAIN, text)
    return bool(found) and len(found.group(1)) < 255 if found else False


_HOST_PORT = (
    r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
    r"(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*(?::[0-9]+)?\Z"
)


def check_insecure_registry(text: str) -> Optional[str]:
    """Return why registry/config.go of moby refuses an insecure registry.

    >>> check_insecure_registry("r:5000"), check_insecure_registry("10.0.0.0/8")
    (None, None)
    >>> check_insecure_registry("r/path")
    "'r/path' is not a host"
    """
    if text.startswith("-") or text.endswith("-"):
        return "it begins or ends with a hyphen"
    for scheme in ("http://", "https://"):
        if text.lower().startswith(scheme):
            text = text[len(scheme) :]
            break
    else:
        if "://" in text:
            return "a scheme other than http:// and https://"
    if parse_cidr(text):
        return None
    host, port = split_host_port(text) or (text, "")
    if not re.match(_HOST_PORT, text) and parse_ip(host) is None:
        return f"{host!r} is not a host"
    if port and not (is_integer(port) and 0 <= int(port) <= 65535):
        return f"{port!r} is not a port"
    return None


def check_generic_resources(terms: list[str]) -> Optional[str]:
    """Return why swarmkit's genericresource.Parse refuses a list of terms."""
    tokens: dict[str, list[str]] = {}
    for term in terms:
        parts = term.split("=")
        if len(parts) != 2:
            return f"{term!r} is not NAME=VALUE"
        tokens.setdefault(parts[0].strip(), []).append(parts[1].strip())
    for name, values in tokens.items():
        numbers = [value for value in values if is_integer(value)]
        if len(values) == 1 and numbers:
            if int(values[0]) < 0:
                return f"{name} is negative"
        elif numbers:
            return f"{name} is given both as a number and by name, or twice as a number"
    return None


def check_bind_address(text: str, release: tuple[int, ...]) -> Optional[str]:
    """Return why opts.ValidateHost of moby refuses an address to listen on."""
    text = text.strip()
    if not text:
        return None
    proto, separator, address = text.partition("://")
    if not separator:
        proto, address = "tcp", text
    if proto == "fd":
        return None
    if proto in ("unix", "npipe"):
        if release < (24,) and address.startswith(proto + "://"):
            address = address[len(proto) + 3 :]
        return f"{address!r} is not a path" if "://" in address else None
    if proto != "tcp":
        return f"protocol {proto!r} is not supported"
    wrong, parts = check_url(text if separator else "tcp://" + text)
    if wrong is not None:
        return wrong
    if parts.get("scheme") != "tcp":
        return f"protocol {parts.get('scheme', '')!r} is not supported"
    if parts.get("path"):
        return "it has a path"
    host = parts.get("host", "")
    port = host.rpartition(":")[2] if ":" in host.rpartition("]")[2] else ""
    if port and int(port) == 0:
        return "port 0"
    return _bracketed(host, release)


def _bracketed(host: str, release: tuple[int, ...]) -> Optional[str]:
    """Return why a host that has to stand in brackets cannot.

    dockerd reads an address, joins its parts with net.JoinHostPort and reads that again. There a zone's % is no
    escape; and Go refuses what is not IPv6 in brackets since 1.24.8, which the releases named here are built with.

    >>> _bracketed("[fe80::1%25eth0]:1", (26,)), _bracketed("fe80::1:2375", (26,)), _bracketed("[::1]:1", (29,))
    ('a zone cannot be used here', None, None)
    >>> _bracketed("[1.2.3.4]:1", (28, 5, 2)), _bracketed("::1", (28, 5, 2))
    ("'1.2.3.4' in brackets is no IPv6 address", "':' is no IPv6 address, which must stand in brackets")
    """
    if release < (23,):
        return None
    before, bracket, inside = host.rpartition("[")
    if bracket:
        literal = inside.partition("]")[0]
        if "%25" in literal:
            return "a zone cannot be used here"
    else:
        literal = host.rpartition(":")[0]
    strict = release >= (28, 5, 1) or (25, 0, 17) <= release < (26,)
    if not strict or (not bracket and ":" not in literal):
        return None
    address = parse_addr(literal)
    if address is not None and address.family == 6 and not before:
        return None
    how = "in brackets is no IPv6 address" if bracket else "is no IPv6 address, which must stand in brackets"
    return f"{literal!r} {how}"
