"""The web configuration file that the Prometheus exporters share: TLS and basic authentication.

Source: prometheus/exporter-toolkit, docs/web-configuration.md and web/tls_config.go.
"""

from __future__ import annotations

import os
import re
import ssl

from hostcheck._typing import Any

_TOP = {"tls_server_config", "http_server_config", "basic_auth_users"}
_TLS = {
    "cert_file",
    "key_file",
    "client_auth_type",
    "client_ca_file",
    "client_allowed_sans",
    "min_version",
    "max_version",
    "cipher_suites",
    "prefer_server_cipher_suites",
    "curve_preferences",
}
_HTTP = {"http2", "headers"}
_HEADERS = {
    "X-Frame-Options",
    "X-Content-Type-Options",
    "X-XSS-Protection",
    "Strict-Transport-Security",
    "Content-Security-Policy",
}
_VERSIONS = {
    "TLS10": ssl.TLSVersion.TLSv1,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}
_CLIENT_AUTH = {
    "": ssl.CERT_NONE,
    "NoClientCert": ssl.CERT_NONE,
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
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
}
"""Go's names of TLS 1.2 suites (IANA), and OpenSSL's."""
_BCRYPT = re.compile(r"\$2[abxy]\$\d\d\$[./A-Za-z0-9]{53}")


class WebConfigError(Exception):
    """A web configuration file that cannot be used; the text names it and what is wrong."""


class WebConfig:
    """What one such file says; an empty path means none of it."""

    def __init__(self, path: str = "", context: ssl.SSLContext | None = None) -> None:
        """Read the file. A `context` that is in use takes what it says of TLS, for the next connections.

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
        self.headers: dict[str, str] = _section(path, http, "headers", _HEADERS)
        self._tls = _section(path, data, "tls_server_config", _TLS)
        self.allowed_sans = frozenset(map(str, self._tls.get("client_allowed_sans") or ()))
        self._stamp = self._stamps()
        if self.users:
            _need_bcrypt(path)
        self.context = (
            self._context(context or ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)) if self._tls else None
        )

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

    def _context(self, context: ssl.SSLContext) -> ssl.SSLContext:
        tls, path = self._tls, self.path
        certificate, key = self._file("cert_file"), self._file("key_file")
        if not certificate or not key:
            raise WebConfigError(f"{path}: tls_server_config needs both cert_file and key_file")
        try:
            context.load_cert_chain(certificate, key)
        except (OSError, ssl.SSLError) as error:
            raise WebConfigError(f"{path}: {certificate}, {key}: {error}") from None
        context.minimum_version = _version(path, tls.get("min_version") or "TLS12")
        context.maximum_version = _version(path, tls.get("max_version") or "TLS13")
        suites = tls.get("cipher_suites") or []
        unknown = [name for name in suites if name not in _CIPHERS and not str(name).startswith("TLS_AES_")]
        if unknown:
            raise WebConfigError(f"{path}: tls_server_config.cipher_suites: {unknown[0]!r} is not known here")
        old = [_CIPHERS[name] for name in suites if name in _CIPHERS]
        if old:
            context.set_ciphers(":".join(old))
        self._client_certificates(context)
        return context

    def _client_certificates(self, context: ssl.SSLContext) -> None:
        wanted = str(self._tls.get("client_auth_type") or "")
        if wanted not in _CLIENT_AUTH:
            raise WebConfigError(
                f"{self.path}: tls_server_config.client_auth_type: {wanted!r} cannot be had here; "
                f"there are {', '.join(name for name in _CLIENT_AUTH if name)}"
            )
        authorities = self._file("client_ca_file")
        if bool(authorities) != (_CLIENT_AUTH[wanted] != ssl.CERT_NONE):
            raise WebConfigError(
                f"{self.path}: client_ca_file and a client_auth_type that verifies go together"
            )
        context.verify_mode = _CLIENT_AUTH[wanted]
        if authorities:
            try:
                context.load_verify_locations(authorities)
            except (OSError, ssl.SSLError) as error:
                raise WebConfigError(f"{self.path}: {authorities}: {error}") from None


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
        raise WebConfigError(f"{path}: {word!r} is no TLS version; there are {', '.join(_VERSIONS)}")
    return _VERSIONS[str(word)]


def _need_bcrypt(path: str) -> None:
    try:
        import bcrypt  # noqa: F401
    except ImportError:
        raise WebConfigError(
            f"{path}: basic_auth_users needs a library: pip install 'hostcheck[exporter]' (Debian: python3-bcrypt)"
        ) from None
