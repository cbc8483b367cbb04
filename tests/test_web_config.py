"""The web configuration that the Prometheus exporters share, as this exporter takes it."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import pathlib
import re
import signal
import ssl
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("h11")

from exporters import START_SECONDS, Service, certificate, serving

from hostcheck.web_config import RateLimit, WebConfig, WebConfigError


@pytest.fixture
def secured(tmp_path: pathlib.Path) -> Iterator[tuple[Service, pathlib.Path]]:
    bcrypt = pytest.importorskip("bcrypt")
    certificate(tmp_path)
    hashed = bcrypt.hashpw(b"right", bcrypt.gensalt(5)).decode()
    (tmp_path / "web.yml").write_text(
        "tls_server_config: {cert_file: localhost.crt, key_file: localhost.key}\n"
        f"basic_auth_users: {{prometheus: '{hashed}'}}\n"
        "http_server_config: {headers: {X-Frame-Options: SAMEORIGIN}}\n"
    )
    with serving("--web.config.file", str(tmp_path / "web.yml")) as running:
        limit = time.monotonic() + START_SECONDS
        while time.monotonic() < limit:
            with contextlib.suppress(OSError):
                if ask(running, tmp_path, "/-/ready")[0] == 200:
                    break
            time.sleep(0.1)
        yield running, tmp_path


def ask(
    service: Service, folder: pathlib.Path, path: str, user: str = "prometheus:right"
) -> tuple[int, dict[str, str], bytes]:
    context = ssl.create_default_context(cafile=str(folder / "localhost.crt"))
    connection = http.client.HTTPSConnection("127.0.0.1", service.port, timeout=30, context=context)
    header = {"Authorization": "Basic " + base64.b64encode(user.encode()).decode()} if user else {}
    with contextlib.closing(connection):
        connection.request("GET", path, headers=header)
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()


def test_tls_and_passwords(secured: tuple[Service, pathlib.Path]) -> None:
    service, folder = secured
    status, headers, _ = ask(service, folder, "/metrics")
    assert (status, headers["x-frame-options"]) == (200, "SAMEORIGIN")
    for user in ("prometheus:wrong", "nobody:right", "", "prometheus", "prometheus:" + "x" * 5000):
        status, headers, body = ask(service, folder, "/report.json", user)
        assert (status, body) == (401, b"Unauthorized\n"), user
        assert headers["www-authenticate"].startswith("Basic ")
    with contextlib.suppress(OSError, http.client.HTTPException):
        assert service.get("/-/healthy")[0] != 200


def test_a_changed_certificate_is_taken(secured: tuple[Service, pathlib.Path]) -> None:
    service, folder = secured
    certificate(folder)
    limit = time.monotonic() + START_SECONDS
    while time.monotonic() < limit:
        # Only the new certificate is trusted.
        with contextlib.suppress(ssl.SSLError):
            assert ask(service, folder, "/metrics")[0] == 200
            return
        time.sleep(0.2)
    raise AssertionError("the old certificate is still served")


def until(service: Service, ask_it: Callable[[], bool]) -> None:
    """Have the web configuration looked at, and wait until what was changed holds."""
    service.process.send_signal(signal.SIGHUP)
    limit = time.monotonic() + START_SECONDS
    while time.monotonic() < limit:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if ask_it():
                return
        time.sleep(0.1)
    raise AssertionError("the change is not taken")


def test_a_broken_change_keeps_what_worked(secured: tuple[Service, pathlib.Path]) -> None:
    service, folder = secured
    current = b"\nhostcheck_config_last_reload_successful %d.0\n"
    assert current % 1 in ask(service, folder, "/metrics")[2]
    before = (folder / "web.yml").read_text()
    (folder / "web.yml").write_text("basic_auth_users: [nonsense")
    until(service, lambda: current % 0 in ask(service, folder, "/metrics")[2])
    assert ask(service, folder, "/metrics", "")[0] == 401
    (folder / "web.yml").write_text(before)
    until(service, lambda: current % 1 in ask(service, folder, "/metrics")[2])
    _, told = service.end()
    assert told.count("stays as it was") == 1


def test_tls_goes_and_comes_without_a_restart(secured: tuple[Service, pathlib.Path]) -> None:
    service, folder = secured
    before = (folder / "web.yml").read_text()
    (folder / "web.yml").write_text("")
    until(service, lambda: service.get("/metrics")[0] == 200)
    (folder / "web.yml").write_text(before)
    until(service, lambda: ask(service, folder, "/metrics")[0] == 200)


def test_the_rate_limit(tmp_path: pathlib.Path) -> None:
    """The bucket holds three; a connection that is kept is no way around it."""
    (tmp_path / "web.yml").write_text("rate_limit: {interval: 1h, burst: 3}\n")
    with serving("--web.config.file", str(tmp_path / "web.yml")) as service:
        service.wait("/-/healthy")
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)
        seen = []
        for method in ("GET", "HEAD", "GET"):
            connection.request(method, "/-/healthy")
            answer = connection.getresponse()
            answer.read()
            seen.append(answer.status)
        connection.close()
    assert seen == [200, 200, 429]


def test_the_bucket_fills_again() -> None:
    limit = RateLimit(interval=2.0, burst=2)
    seen = [limit.allows(now) for now in (100, 100, 100, 101, 102, 102, 110, 110, 110)]
    assert seen == [True, True, False, False, True, False, True, True, False]


FILES = "cert_file: localhost.crt, key_file: localhost.key"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("basic_auth_users: {a: plain}", "not a bcrypt hash"),
        ("tls_config: {}", "'tls_config' is not known"),
        ("tls_server_config: {cert_file: a}", "missing one of key or key_file"),
        ("tls_server_config: {key: a}", "missing one of cert or cert_file"),
        ("tls_server_config: {cert_file: none, key_file: none}", "No such file"),
        ("tls_server_config: {cert: none, key: none}", "certificate cert, key key"),
        ("tls_server_config: {FILES, min_version: SSL3}", "unknown TLS version: SSL3"),
        ("tls_server_config: {FILES, cipher_suites: [X]}", "unknown cipher: X"),
        ("tls_server_config: {FILES, cipher_suites: X}", "cipher_suites is a list"),
        ("tls_server_config: {FILES, curve_preferences: [CurveP257]}", "unknown curve: CurveP257"),
        ("tls_server_config: {FILES, client_auth_type: RequireAnyClientCert}", "invalid ClientAuth"),
        ("tls_server_config: {FILES, client_auth_type: RequireAndVerifyClientCert}", "needs client_ca or"),
        ("tls_server_config: {FILES, client_ca_file: localhost.crt}", "without a Client Auth Policy"),
        ("tls_server_config: {FILES, client_allowed_sans: [a]}", "client_allowed_sans needs"),
        ("[]", "mapping"),
        ("{", "web.yml"),
        ("http_server_config: {headers: {X-Evil: a}}", 'HTTP header "X-Evil" can not be configured'),
        ("http_server_config: {headers: {X-Frame-Options: maybe}}", "Expected one of: deny, sameorigin"),
        ('http_server_config: {headers: {Content-Security-Policy: "a\\r\\nb: c"}}', "one line of ASCII"),
        ("rate_limit: {interval: 5}", "a duration such as 1s, not 5"),
        ("rate_limit: {interval: 1s, burst: many}", "rate_limit.burst is a number"),
    ],
)
def test_bad_web_configuration(text: str, words: str, tmp_path: pathlib.Path) -> None:
    certificate(tmp_path)
    (tmp_path / "web.yml").write_text(text.replace("FILES", FILES))
    with pytest.raises(WebConfigError, match=re.escape(words)):
        WebConfig(str(tmp_path / "web.yml"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rate_limit: {interval: 0, burst: 0}",
        "rate_limit: {interval: 1m30s, burst: 20}",
        "tls_server_config: {FILES, client_auth_type: RequestClientCert, prefer_server_cipher_suites: false}",
        "tls_server_config: {FILES, client_auth_type: VerifyClientCertIfGiven}",
        "http_server_config: {http2: true, headers: {Strict-Transport-Security: max-age=1, X-XSS-Protection: ''}}",
    ],
)
def test_good_web_configuration(text: str, tmp_path: pathlib.Path) -> None:
    certificate(tmp_path)
    (tmp_path / "web.yml").write_text(text.replace("FILES", FILES))
    assert (WebConfig(str(tmp_path / "web.yml")).context is not None) is ("FILES" in text)


def handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[str, str]:
    """Return the version and the cipher on which both agree, in memory."""
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(5):
        for end in ends:
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
    cipher = ends[0].cipher()
    assert cipher is not None
    return str(ends[0].version()), cipher[0]


def client_of(version: str = "", curve: str = "", ciphers: str = "") -> ssl.SSLContext:
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if version:
        client.minimum_version = client.maximum_version = ssl.TLSVersion[version]
    if curve:
        client.set_ecdh_curve(curve)
    if ciphers:
        client.set_ciphers(ciphers)
    return client


@pytest.mark.parametrize(
    ("more", "client", "expected"),
    [
        ("", {}, "TLSv1.3"),
        ("", {"version": "TLSv1_2"}, "TLSv1.2"),
        ("", {"version": "TLSv1_1", "ciphers": "ALL:@SECLEVEL=0"}, None),
        ("min_version: TLS13", {"version": "TLSv1_2"}, None),
        ("max_version: TLS12", {}, "TLSv1.2"),
        ("max_version: TLS12", {"version": "TLSv1_3"}, None),
        ("curve_preferences: [CurveP384]", {"curve": "secp384r1"}, "TLSv1.3"),
        ("curve_preferences: [CurveP384]", {"curve": "prime256v1"}, None),
        ("curve_preferences: [X25519, CurveP256]", {"curve": "prime256v1"}, "TLSv1.3"),
        ("curve_preferences: [X25519, CurveP256]", {"curve": "secp384r1"}, None),
        (
            "cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]",
            {"version": "TLSv1_2"},
            "ECDHE-ECDSA-AES256-GCM-SHA384",
        ),
        (
            "cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]",
            {"version": "TLSv1_2", "ciphers": "ECDHE-ECDSA-AES128-GCM-SHA256"},
            None,
        ),
        ("cipher_suites: [TLS_AES_128_GCM_SHA256]", {"version": "TLSv1_2"}, None),
        ("cipher_suites: [TLS_AES_128_GCM_SHA256]", {}, "TLSv1.3"),
    ],
)
def test_what_both_agree_on(
    more: str, client: dict[str, str], expected: str | None, tmp_path: pathlib.Path
) -> None:
    certificate(tmp_path)
    (tmp_path / "web.yml").write_text(f"tls_server_config: {{{FILES}, {more}}}")
    server = WebConfig(str(tmp_path / "web.yml")).context
    assert server is not None
    if expected is None:
        with pytest.raises(ssl.SSLError):
            handshake(server, client_of(**client))
    else:
        assert expected in handshake(server, client_of(**client))


def test_whose_order_of_ciphers_counts(tmp_path: pathlib.Path) -> None:
    certificate(tmp_path)
    both = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
    seen = []
    for prefer in ("true", "false"):
        (tmp_path / "web.yml").write_text(
            f"tls_server_config: {{{FILES}, cipher_suites: [{both}], prefer_server_cipher_suites: {prefer}}}"
        )
        server = WebConfig(str(tmp_path / "web.yml")).context
        assert server is not None
        ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384"
        seen.append(handshake(server, client_of("TLSv1_2", ciphers=ciphers))[1])
    assert seen == ["ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256"]


def test_certificate_and_key_in_the_file_itself(tmp_path: pathlib.Path) -> None:
    certificate(tmp_path)
    section = {
        name: (tmp_path / f"localhost.{end}").read_text() for name, end in (("cert", "crt"), ("key", "key"))
    }
    section.update(client_ca=section["cert"], client_auth_type="RequireAndVerifyClientCert")
    # JSON is YAML.
    (tmp_path / "web.yml").write_text(json.dumps({"tls_server_config": section}))
    server = WebConfig(str(tmp_path / "web.yml")).context
    assert server is not None
    client = client_of("TLSv1_2")
    with pytest.raises(ssl.SSLError):
        handshake(server, client)
    client.load_cert_chain(tmp_path / "localhost.crt", tmp_path / "localhost.key")
    assert handshake(server, client)[0] == "TLSv1.2"


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        (("DNS", "good"), True),
        (("DNS", "other"), False),
        (("IP Address", "2001:DB8:0:0:0:0:0:1"), True),
        (("IP Address", "192.0.2.1"), True),
        (("URI", "spiffe://a/b"), True),
        (("email", "a@b"), True),
    ],
)
def test_names_of_client_certificates(name: tuple[str, str], allowed: bool, tmp_path: pathlib.Path) -> None:
    certificate(tmp_path)
    (tmp_path / "web.yml").write_text(
        f"tls_server_config: {{{FILES}, client_ca_file: localhost.crt, client_auth_type: RequireAndVerifyClientCert,\n"
        "  client_allowed_sans: [good, '2001:db8::1', 192.0.2.1, 'spiffe://a/b', a@b]}\n"
    )
    config = WebConfig(str(tmp_path / "web.yml"))
    assert config.allows_certificate({"subjectAltName": (name,)}) is allowed
    assert not config.allows_certificate(None)


def test_client_certificates(tmp_path: pathlib.Path) -> None:
    """Without one of the authority's the handshake fails; with one whose name is not wanted nothing is said."""
    for name in ("localhost", "good", "other"):
        certificate(tmp_path, name)
    (tmp_path / "clients.crt").write_text(
        (tmp_path / "good.crt").read_text() + (tmp_path / "other.crt").read_text()
    )
    (tmp_path / "web.yml").write_text(
        "tls_server_config: {cert_file: localhost.crt, key_file: localhost.key, client_ca_file: clients.crt,\n"
        "  client_auth_type: RequireAndVerifyClientCert, client_allowed_sans: [good]}\n"
    )

    def status(service: Service, client: str) -> Any:
        context = ssl.create_default_context(cafile=str(tmp_path / "localhost.crt"))
        if client:
            context.load_cert_chain(tmp_path / f"{client}.crt", tmp_path / f"{client}.key")
        connection = http.client.HTTPSConnection("127.0.0.1", service.port, timeout=30, context=context)
        with contextlib.closing(connection):
            connection.request("GET", "/-/healthy")
            return connection.getresponse().status

    with serving("--web.config.file", str(tmp_path / "web.yml")) as service:
        limit = time.monotonic() + START_SECONDS
        answer = None
        while answer is None and service.process.poll() is None and time.monotonic() < limit:
            with contextlib.suppress(ConnectionRefusedError):
                answer = status(service, "good")
            time.sleep(0.1)
        assert answer == 200
        for client in ("", "other"):
            with pytest.raises((OSError, http.client.HTTPException)):
                status(service, client)
