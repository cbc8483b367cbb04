"""The web configuration file that the Prometheus exporters share: TLS and basic authentication.

Source: prometheus/exporter-toolkit, docs/web-configuration.md, web/tls_config.go and web/handler.go.
"""

from __future__ import annotations

import os
import re

from hostcheck._typing import TYPE_CHECKING, Any, Optional

if TYPE_CHECKING:
    import ssl

    from hostcheck.web_tls import Tls

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
        self.tls: Optional[Tls] = None
        self.context: Optional[ssl.SSLContext] = None
        self._take_tls(_section(path, data, "tls_server_config", _TLS))
        if self.users:
            _need_bcrypt(path)

    def too_many(self, now: float) -> bool:
        """Return whether a request at `now` (seconds) is one more than the rate limit lets through."""
        return self._limit is not None and not self._limit.allows(now)

    def _take_tls(self, section: dict[str, Any]) -> None:
        if not section:
            self._stamp = self._stamps()
            return
        # Imported here: ssl is a fifth of the memory of an exporter that has no use for it.
        from hostcheck.web_tls import Tls, TlsError

        try:
            self.tls = Tls(self.path, section)
            # Before the certificates are read: one that comes meanwhile is a change.
            self._stamp = self._stamps()
            self.context = self.tls.context()
        except TlsError as error:
            raise WebConfigError(f"{self.path}: {error}") from None

    def allows_certificate(self, certificate: dict[str, Any] | None) -> bool:
        """Return whether a client may come in with its certificate, as `getpeercert` gives it."""
        return self.tls is None or self.tls.allows(certificate)

    def _stamps(self) -> tuple[object, ...]:
        found: list[object] = []
        for path in (self.path, *(self.tls.files() if self.tls else ())):
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


def _need_bcrypt(path: str) -> None:
    try:
        import bcrypt  # noqa: F401
    except ImportError:
        raise WebConfigError(
            f"{path}: basic_auth_users needs a library: pip install 'hostcheck[exporter]' (Debian: python3-bcrypt)"
        ) from None
