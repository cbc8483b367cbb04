"""The web configuration file that the Prometheus exporters share: TLS and basic authentication.

Source: prometheus/exporter-toolkit, docs/web-configuration.md and web/tls_config.go.
"""

from __future__ import annotations

import contextlib
import os
import re
import ssl
from collections.abc import Iterator

from hostcheck._typing import Any

_TOP = {"tls_server_config", "http_server_config", "basic_auth_users", "rate_limit"}
_TLS = {
    "cert",
    "cert_file",
    "key",
    "key_file",
    "client_auth_type",
    "client_ca",
    "client_ca_file",
    "client_allowed_sans",
    "min_version",
    "max_version",
    "cipher_suites",
    "prefer_server_cipher_suites",
    "curve_preferences",
}
_HTTP = {"http2", "headers"}
_RATE = {"interval", "burst"}
_HEADERS: dict[str, tuple[str, ...]] = {
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-Content-Type-Options": ("nosniff",),
    "X-XSS-Protection": (),
    "Strict-Transport-Security": (),
    "Content-Security-Policy": (),
}
"""The headers that may be set, and their values where there are only so many."""
_VERSIONS = {
    "TLS10": ssl.TLSVersion.TLSv1,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}
_CLIENT_AUTH = {
    "": ssl.CERT_NONE,
    "NoClientCert": ssl.CERT_NONE,
    # Its certificate is asked for and not looked at: whoever has none is served as well.
    "RequestClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
_CIPHERS = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    # Insecure since Go 1.22, known to what was built before.
    "TLS_RSA_WITH_AES_128_GCM_SHA256": "AES128-GCM-SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384": "AES256-GCM-SHA384",
    "TLS_RSA_WITH_AES_128_CBC_SHA": "AES128-SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA": "AES256-SHA",
}
"""Go's names of TLS 1.2 suites (IANA), and OpenSSL's."""
_CIPHERS_13 = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
_CURVES = {"CurveP256": "prime256v1", "CurveP384": "secp384r1", "CurveP521": "secp521r1", "X25519": "X25519"}
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_BCRYPT = re.compile(r"\$2[abxy]\$\d\d\$[./A-Za-z0-9]{53}")


class WebConfigError(ValueError):
    """A web configuration file that cannot be used; the text names it and what is wrong."""


class WebConfig:
    """What one such file says; an empty path means none of it."""

    def __init__(self, path: str = "") -> None:
        """Read the file.

        Raises:
            WebConfigError: it cannot be read, or says what cannot be done.

        """
        self.path = path
        data = _read(path) if path else {}
        self.users: dict[str, str] = _section(path, data, "basic_auth_users", None)
        for name, hashed in self.users.items():
            if not isinstance(hashed, str) or not _BCRYPT.fullmatch(hashed):
                raise WebConfigError(f"{path}: basic_auth_users: {name}: not a bcrypt hash ($2y$...)")
        http = _section(path, data, "http_server_config", _HTTP)
        self.headers = _headers(path, _section(path, http, "headers", None))
        self._limit = RateLimit.of(path, _section(path, data, "rate_limit", _RATE))
        self._tls = _section(path, data, "tls_server_config", _TLS)
        self._allowed_sans = _names(path, "client_allowed_sans", self._tls)
        self._stamp = self._stamps()
        if self.users:
            _need_bcrypt(path)
        self.context = self._context() if self._tls else None

    def too_many(self, now: float) -> bool:
        """Return whether a request at `now` (seconds) is one more than the rate limit lets through."""
        return self._limit is not None and not self._limit.allows(now)

    def allows_certificate(self, certificate: dict[str, Any] | None) -> bool:
        """Return whether a client's certificate, as `getpeercert` gives it, has one of the names that are wanted."""
        if not self._allowed_sans:
            return True
        names = (certificate or {}).get("subjectAltName", ())
        return any(_plain_name(kind, value) in self._allowed_sans for kind, value in names)

    def _file(self, key: str) -> str:
        """Return a path of the TLS section; a relative one lies beside the file."""
        value = self._tls.get(key) or ""
        if not isinstance(value, str):
            raise WebConfigError(f"{self.path}: tls_server_config.{key} is a path")
        return os.path.join(os.path.dirname(os.path.abspath(self.path)), value) if value else ""

    def _stamps(self) -> tuple[object, ...]:
        found: list[object] = []
        for path in (self.path, *(self._file(key) for key in ("cert_file", "key_file", "client_ca_file"))):
            try:
                status = os.stat(path)
                found.append((status.st_mtime_ns, status.st_ino, status.st_size))
            except OSError:
                found.append(None)
        return tuple(found)

    def changed(self) -> bool:
        """Return whether the file, or a certificate that it names, is another than the one that was read."""
        return bool(self.path) and self._stamps() != self._stamp

    def seen(self) -> None:
        """Take the change as looked at, so that it is told once."""
        self._stamp = self._stamps()

    def _context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls, path = self._tls, self.path
        for name in ("cert", "key"):
            if not tls.get(name) and not tls.get(f"{name}_file"):
                raise WebConfigError(f"{path}: tls_server_config: missing one of {name} or {name}_file")
        with self._pem("cert") as certificate, self._pem("key") as key:
            try:
                context.load_cert_chain(certificate, key)
            except (OSError, ssl.SSLError) as error:
                raise WebConfigError(
                    f"{path}: tls_server_config: certificate {tls.get('cert_file') or 'cert'}, "
                    f"key {tls.get('key_file') or 'key'}: {error}"
                ) from None
        context.minimum_version = _version(path, tls.get("min_version") or "TLS12")
        context.maximum_version = _version(path, tls.get("max_version") or "TLS13")
        self._ciphers(context)
        self._curves(context)
        self._client_certificates(context)
        return context

    @contextlib.contextmanager
    def _pem(self, name: str) -> Iterator[str]:
        """Give the path of `name`_file, or one under which the text of `name` lies, which is never on a disk."""
        if self._tls.get(f"{name}_file"):
            yield self._file(f"{name}_file")
            return
        number = os.memfd_create(name)
        try:
            os.write(number, str(self._tls[name]).encode())
            yield f"/proc/self/fd/{number}"
        finally:
            os.close(number)

    def _ciphers(self, context: ssl.SSLContext) -> None:
        suites = _names(self.path, "cipher_suites", self._tls)
        for name in suites:
            if name not in _CIPHERS and name not in _CIPHERS_13:
                raise WebConfigError(f"{self.path}: tls_server_config.cipher_suites: unknown cipher: {name}")
        old = [_CIPHERS[name] for name in suites if name in _CIPHERS]
        if old:
            context.set_ciphers(":".join(old))
        elif suites:
            # Those of TLS 1.3 cannot be chosen from, here as in Go; with no other there is no TLS 1.2.
            context.minimum_version = ssl.TLSVersion.TLSv1_3
        if self._tls.get("prefer_server_cipher_suites", True):
            context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
        else:
            context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE

    def _curves(self, context: ssl.SSLContext) -> None:
        curves = _names(self.path, "curve_preferences", self._tls)
        for name in curves:
            if name not in _CURVES:
                raise WebConfigError(
                    f"{self.path}: tls_server_config.curve_preferences: unknown curve: {name}"
                )
        if curves:
            # Python's ssl takes one alone. P-256 is the one that every client of TLS 1.3 has (RFC 8446, 9.1).
            context.set_ecdh_curve(_CURVES["CurveP256" if "CurveP256" in curves else curves[0]])

    def _client_certificates(self, context: ssl.SSLContext) -> None:
        wanted = str(self._tls.get("client_auth_type") or "")
        place = f"{self.path}: tls_server_config"
        if wanted not in _CLIENT_AUTH:
            raise WebConfigError(
                f"{place}.client_auth_type: invalid ClientAuth: {wanted}, or one that cannot be had here; "
                f"there are {', '.join(name for name in _CLIENT_AUTH if name)}"
            )
        verifies = _CLIENT_AUTH[wanted] != ssl.CERT_NONE
        inline = str(self._tls.get("client_ca") or "")
        authorities = bool(inline or self._file("client_ca_file"))
        if authorities and wanted in ("", "NoClientCert"):
            raise WebConfigError(f"{place}: client CA's have been configured without a Client Auth Policy")
        if wanted == "RequireAndVerifyClientCert" and not authorities:
            raise WebConfigError(f"{place}: client_auth_type {wanted} needs client_ca or client_ca_file")
        if self._allowed_sans and not verifies:
            raise WebConfigError(f"{place}: client_allowed_sans needs RequireAndVerifyClientCert")
        context.verify_mode = _CLIENT_AUTH[wanted]
        if verifies and not authorities:
            # As Go has it: those that the system trusts.
            context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
        elif verifies:
            try:
                context.load_verify_locations(self._file("client_ca_file") or None, cadata=inline or None)
            except (OSError, ssl.SSLError) as error:
                where = self._file("client_ca_file") or "client_ca"
                raise WebConfigError(f"{self.path}: {where}: {error}") from None


class RateLimit:
    """A bucket of tokens: a request takes one, and each interval one is put back, up to `burst`."""

    def __init__(self, interval: float, burst: int) -> None:
        """Start with a full bucket."""
        self.interval = interval
        self.burst = burst
        self._tokens = float(burst)
        self._seen = 0.0

    @classmethod
    def of(cls, path: str, section: dict[str, Any]) -> RateLimit | None:
        """Return what the file's section says; no interval, or 0, is no limit."""
        interval, burst = section.get("interval", 0), section.get("burst", 0)
        if type(burst) is not int or burst < 0:
            raise WebConfigError(f"{path}: rate_limit.burst is a number, not {burst!r}")
        seconds = 0.0 if interval == 0 else _duration(path, interval)
        return cls(seconds, burst) if seconds else None

    def allows(self, now: float) -> bool:
        """Return whether there is a token left at `now`, and take it."""
        since = now - self._seen
        self._seen = now
        self._tokens = min(self.burst, self._tokens + since / self.interval)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def _duration(path: str, value: object) -> float:
    """Return the seconds of one of Go's durations."""
    text = str(value)
    parts = _DURATION.findall(text)
    if text == "0":
        return 0.0
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise WebConfigError(f"{path}: rate_limit.interval is a duration such as 1s, not {value!r}")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def _headers(path: str, headers: dict[str, Any]) -> dict[str, str]:
    """Return the headers to set; an empty one is left out of every answer."""
    found: dict[str, str] = {}
    for name, value in headers.items():
        place = f"{path}: http_server_config.headers"
        if name not in _HEADERS:
            raise WebConfigError(f'{place}: HTTP header "{name}" can not be configured')
        text = "" if value is None else str(value)
        if not re.fullmatch(r"[\t\x20-\x7e]*", text):
            raise WebConfigError(f"{place}: {name}: a header is one line of ASCII")
        if _HEADERS[name] and text.lower() not in _HEADERS[name]:
            raise WebConfigError(
                f"{place}: invalid value for {name}. Expected one of: {', '.join(_HEADERS[name])}, but got: {text}"
            )
        found[name] = text.strip()
    return found


def _names(path: str, key: str, tls: dict[str, Any]) -> tuple[str, ...]:
    """Return a list of names in the TLS section."""
    value = tls.get(key) or []
    if not isinstance(value, list):
        raise WebConfigError(f"{path}: tls_server_config.{key} is a list")
    return tuple(map(str, value))


def _plain_name(kind: str, value: object) -> str:
    """Return a name of a certificate as Go writes it; OpenSSL writes IPv6 addresses in full."""
    if kind != "IP Address":
        return str(value)
    # Imported here: only client_allowed_sans needs it.
    import ipaddress

    try:
        return str(ipaddress.ip_address(str(value).strip()))
    except ValueError:
        return str(value)


def _read(path: str) -> dict[str, Any]:
    import yaml

    try:
        with open(path, encoding="utf-8") as file:
            data = yaml.safe_load(file)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise WebConfigError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    if data is None:
        return {}
    return _checked(path, "the file", data, _TOP)


def _section(path: str, data: dict[str, Any], key: str, known: set[str] | None) -> dict[str, Any]:
    value = data.get(key)
    return {} if value is None else _checked(path, key, value, known)


def _checked(path: str, key: str, value: object, known: set[str] | None) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise WebConfigError(f"{path}: {key} is a mapping")
    unknown = sorted(str(name) for name in value if known is not None and name not in known)
    if unknown:
        raise WebConfigError(
            f"{path}: {key}: {unknown[0]!r} is not known; there are {', '.join(sorted(known or ()))}"
        )
    return {str(name): item for name, item in value.items()}


def _version(path: str, word: object) -> ssl.TLSVersion:
    if word not in _VERSIONS:
        raise WebConfigError(f"{path}: unknown TLS version: {word}; there are {', '.join(_VERSIONS)}")
    return _VERSIONS[str(word)]


def _need_bcrypt(path: str) -> None:
    try:
        import bcrypt  # noqa: F401
    except ImportError:
        raise WebConfigError(
            f"{path}: basic_auth_users needs a library: pip install 'hostcheck[exporter]' (Debian: python3-bcrypt)"
        ) from None
