"""The TLS section of the web configuration, as an SSL context and as the names of clients that are let in.

Beside web_config.py, because ssl is a fifth of the memory of an exporter that has no use for it.
"""

from __future__ import annotations

import contextlib
import os
import ssl
from collections.abc import Iterator

from hostcheck._typing import Any

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

FILES = ("cert_file", "key_file", "client_ca_file")


class TlsError(ValueError):
    """What a TLS section says cannot be done."""


class Tls:
    """What the section `tls_server_config` says."""

    def __init__(self, path: str, section: dict[str, Any]) -> None:
        """Take the section; a relative path in it lies beside the file at `path`."""
        self.path = path
        self._tls = section
        self._allowed_sans = _names("client_allowed_sans", section)

    def files(self) -> list[str]:
        """Return the files that the section names."""
        return [self._file(key) for key in FILES]

    def allows(self, certificate: dict[str, Any] | None) -> bool:
        """Return whether a client's certificate, as `getpeercert` gives it, has one of the names that are wanted."""
        if not self._allowed_sans:
            return True
        names = (certificate or {}).get("subjectAltName", ())
        return any(_plain_name(kind, value) in self._allowed_sans for kind, value in names)

    def _file(self, key: str) -> str:
        """Return a path of the TLS section; a relative one lies beside the file."""
        value = self._tls.get(key) or ""
        if not isinstance(value, str):
            raise TlsError(f"tls_server_config.{key} is a path")
        return os.path.join(os.path.dirname(os.path.abspath(self.path)), value) if value else ""

    def context(self) -> ssl.SSLContext:
        """Return what a server has its TLS from.

        Raises:
            TlsError: a certificate cannot be read, or the section says what cannot be done.

        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls = self._tls
        for name in ("cert", "key"):
            if not tls.get(name) and not tls.get(f"{name}_file"):
                raise TlsError(f"tls_server_config: missing one of {name} or {name}_file")
        with self._pem("cert") as certificate, self._pem("key") as key:
            try:
                context.load_cert_chain(certificate, key)
            except (OSError, ssl.SSLError) as error:
                raise TlsError(
                    f"tls_server_config: certificate {tls.get('cert_file') or 'cert'}, "
                    f"key {tls.get('key_file') or 'key'}: {error}"
                ) from None
        context.minimum_version = _version(tls.get("min_version") or "TLS12")
        context.maximum_version = _version(tls.get("max_version") or "TLS13")
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
        suites = _names("cipher_suites", self._tls)
        for name in suites:
            if name not in _CIPHERS and name not in _CIPHERS_13:
                raise TlsError(f"tls_server_config.cipher_suites: unknown cipher: {name}")
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
        curves = _names("curve_preferences", self._tls)
        for name in curves:
            if name not in _CURVES:
                raise TlsError(f"tls_server_config.curve_preferences: unknown curve: {name}")
        if curves:
            # Python's ssl takes one alone. P-256 is the one that every client of TLS 1.3 has (RFC 8446, 9.1).
            context.set_ecdh_curve(_CURVES["CurveP256" if "CurveP256" in curves else curves[0]])

    def _client_certificates(self, context: ssl.SSLContext) -> None:
        wanted = str(self._tls.get("client_auth_type") or "")
        place = "tls_server_config"
        if wanted not in _CLIENT_AUTH:
            raise TlsError(
                f"{place}.client_auth_type: invalid ClientAuth: {wanted}, or one that cannot be had here; "
                f"there are {', '.join(name for name in _CLIENT_AUTH if name)}"
            )
        verifies = _CLIENT_AUTH[wanted] != ssl.CERT_NONE
        inline = str(self._tls.get("client_ca") or "")
        authorities = bool(inline or self._file("client_ca_file"))
        if authorities and wanted in ("", "NoClientCert"):
            raise TlsError(f"{place}: client CA's have been configured without a Client Auth Policy")
        if wanted == "RequireAndVerifyClientCert" and not authorities:
            raise TlsError(f"{place}: client_auth_type {wanted} needs client_ca or client_ca_file")
        if self._allowed_sans and not verifies:
            raise TlsError(f"{place}: client_allowed_sans needs RequireAndVerifyClientCert")
        context.verify_mode = _CLIENT_AUTH[wanted]
        if verifies and not authorities:
            # As Go has it: those that the system trusts.
            context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
        elif verifies:
            try:
                context.load_verify_locations(self._file("client_ca_file") or None, cadata=inline or None)
            except (OSError, ssl.SSLError) as error:
                where = self._file("client_ca_file") or "client_ca"
                raise TlsError(f"{where}: {error}") from None


def _names(key: str, tls: dict[str, Any]) -> tuple[str, ...]:
    """Return a list of names in the TLS section."""
    value = tls.get(key) or []
    if not isinstance(value, list):
        raise TlsError(f"tls_server_config.{key} is a list")
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


def _version(word: object) -> ssl.TLSVersion:
    if word not in _VERSIONS:
        raise TlsError(f"unknown TLS version: {word}; there are {', '.join(_VERSIONS)}")
    return _VERSIONS[str(word)]
