"""Where dockerd pulls from: mirrors, registries with certificates and without, proxies."""

from __future__ import annotations

from collections.abc import Iterator

from hostcheck._typing import Any, Optional
from hostcheck.api import Check, Finding, Host, NotApplicable, Severity
from hostcheck.facts import docker
from hostcheck.facts.files import names

from ._daemon import LOOPBACK, MANY, failed, host_of, is_local, judged, passed, shown, spot, subject
from ._mirrors import MIRRORS, OFFICIAL, fault


class RegistryMirrors(Check):
    """Every registry mirror can answer.

    *Why*: dockerd asks the mirrors in their order before Docker Hub. One that has closed costs each pull its
    time limit, plain HTTP shows and lets change what is pulled, and in 17.06 to 17.09 one malformed mirror
    silently turns off the whole list.

    *Needs*: `registry-mirrors`, and a dated list of public mirrors: which have closed, which serve one cloud only,
    which are of another registry. Nothing is asked of the network; `registry.answers` does that.

    *Fix*: take the mirror off the list.
    """

    id = "registry.mirrors"
    aliases = ("docker.mirrors",)
    severity = Severity.RECOMMENDED
    references = (
        "https://docs.docker.com/docker-hub/image-library/mirror/",
        *(mirror.source for mirror in MIRRORS if mirror.source),
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """Look at each mirror."""
        judgement = judged(host)
        mirrors = judgement.effective.get("registry-mirrors") or []
        if not mirrors:
            raise NotApplicable("no registry mirror is configured")
        seen: set[str] = set()
        for number, mirror in enumerate(mirrors[:MANY]):
            text, severity = self._fault(mirror, judgement.version.numbers)
            same = mirror.rstrip("/").lower()
            if not text and same in seen:
                text, severity = "stands twice", Severity.INFO
            seen.add(same)
            where = {**spot(host, f"registry-mirrors[{number}]"), "value": shown("proxy", mirror).strip('"')}
            if not text:
                yield passed(subject("registry-mirrors"), f"nothing speaks against {where['value']}", **where)
                continue
            yield failed(
                subject("registry-mirrors"),
                f"{where['value']} {text}",
                expected="a mirror that answers by HTTPS",
                severity=severity,
                hint=f"take it off registry-mirrors in {where['path']}",
                **where,
            )

    def _fault(self, mirror: str, release: tuple[int, ...]) -> tuple[str, Optional[Severity]]:
        name = host_of(mirror)
        text, useless = fault(name)
        if useless:
            return text, None
        if release < (17, 10):
            from hostcheck.facts._daemon_rules import mirror_fault

            wrong = mirror_fault(mirror, release)
            if wrong:
                return f"is no mirror ({wrong}), and turns off the whole list", None
        if mirror.lower().startswith("http://") and not name.startswith(LOOPBACK):
            if is_local(name):
                return "is asked by plain HTTP", Severity.INFO
            return "is asked by plain HTTP over the internet: what is pulled can be changed on its way", None
        return text, Severity.INFO


class RegistryAnswers(Check):
    """Every registry mirror answers /v2/.

    *Why*: dockerd begins with GET /v2/, and a mirror that does not answer, or not as a registry does, costs each
    pull its time limit.

    *Needs*: `registry-mirrors`, and --online: without it nothing is asked of the network. Each is asked once, for
    five seconds at most; 200 and 401 are the answers of a registry. A redirection is not followed.

    *Fix*: take the mirror off the list, or mend the network, the proxy or the certificate.
    """

    id = "registry.answers"
    severity = Severity.RECOMMENDED
    references = (
        "https://github.com/distribution/distribution/blob/main/docs/content/spec/api.md#api-version-check",
        "https://github.com/moby/moby/blob/master/daemon/internal/distribution/registry.go",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """Ask all of them at once."""
        effective = judged(host).effective
        mirrors = [
            m for m in effective.get("registry-mirrors") or () if m.startswith(("http://", "https://"))
        ]
        if not mirrors:
            raise NotApplicable("no registry mirror is configured")
        if not host.assumptions.get("online"):
            raise NotApplicable("the network is asked only with --online")
        insecure = effective.get("insecure-registries") or ()
        urls = [f"{mirror.rstrip('/')}/v2/" for mirror in mirrors[:MANY]]
        for number, (mirror, answer) in enumerate(zip(mirrors, host.fetch(*urls))):
            where = spot(host, f"registry-mirrors[{number}]")
            name = shown("proxy", mirror).strip('"')
            took = f"{answer.seconds * 1000:.0f} ms"
            where["value"] = str(answer.status or answer.error)
            if answer.status in (200, 401):
                what = "" if answer.registry else ", without the header of a registry"
                text = f"{name} answers {answer.status} in {took}{what}"
                yield passed(subject("registry-mirrors"), text, **where)
                continue
            if answer.kind == "tls" and host_of(mirror) in map(host_of, insecure):
                text = f"{name}: {answer.error}; insecure-registries lets it pass"
                yield passed(subject("registry-mirrors"), text, **where)
                continue
            leads = f" and sends on to {answer.location[:100]}" if answer.location else ""
            said = (
                f"answers {answer.status} in {took}{leads}"
                if answer.status
                else f"does not answer: {answer.error}"
            )
            yield failed(
                subject("registry-mirrors"),
                f"{name} {said}",
                expected="200 or 401 from /v2/",
                hint=f"take it off registry-mirrors in {where['path']}, or mend the way to it",
                **where,
            )


class RegistryInsecure(Check):
    """No public registry is trusted without a certificate.

    *Why*: dockerd does not check the certificate of an insecure registry and falls back to plain HTTP: who
    sits between can put any program into an image.

    *Needs*: `insecure-registries`.

    *Fix*: put the registry's CA into /etc/docker/certs.d/HOST:PORT/ca.crt and take it off the list.
    """

    id = "registry.insecure"
    aliases = ("docker.insecure_registries",)
    severity = Severity.RECOMMENDED
    references = (
        "https://docs.docker.com/reference/cli/dockerd/#insecure-registries",
        "https://distribution.github.io/distribution/about/insecure/",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """Look at each registry."""
        judgement = judged(host)
        registries = judgement.effective.get("insecure-registries") or []
        for number, registry in enumerate(registries[:MANY]):
            where = spot(host, f"insecure-registries[{number}]")
            name = host_of(registry)
            if name.startswith(LOOPBACK):
                yield passed(
                    subject("insecure-registries"), f"{registry} is this host", value=registry, **where
                )
                continue
            local = is_local(name) and not registry.endswith("/0")
            folder = f"/etc/docker/certs.d/{registry.partition('://')[2] or registry}"
            yield failed(
                subject("insecure-registries"),
                f"{registry} is trusted without a certificate"
                + ("" if local else ", and it is not of this network"),
                value=registry,
                expected="a registry with a certificate",
                severity=Severity.INFO if local else None,
                hint="take it off insecure-registries: every host knows who signed its certificate"
                if name in OFFICIAL
                else f"put its CA into {folder}/ca.crt and take it off insecure-registries",
                **where,
            )
        if not registries:
            where = spot(host, "insecure-registries")
            yield passed(subject("insecure-registries"), "every registry needs a certificate", **where)


class RegistryProxies(Check):
    """The proxies of dockerd are URLs that it can use.

    *Why*: a proxy that cannot be read as a URL fails every pull, and a password in daemon.json is there for
    all who can read the file.

    *Needs*: `proxies` of daemon.json (23.0 and later).

    *Fix*: "http://HOST:PORT"; leave a password to the proxy's own configuration on this host.
    """

    id = "registry.proxies"
    severity = Severity.RECOMMENDED
    references = ("https://docs.docker.com/engine/daemon/proxy/",)

    def run(self, host: Host) -> Iterator[Finding]:
        """Look at each proxy."""
        judgement = judged(host)
        proxies = judgement.effective.get("proxies") or {}
        if not any(proxies.values()):
            raise NotApplicable("no proxy is configured in daemon.json")
        from hostcheck.facts._govalues import check_url  # few hosts have a proxy

        path = docker.config_file(host)
        for key in ("http-proxy", "https-proxy"):
            url = proxies.get(key)
            if not url:
                continue
            name = f"proxies.{key}"
            place = judgement.values.get(name)
            where: dict[str, Any] = {"path": path, "line": place.line if place else None, "when": "boot"}
            where["column"] = place.column if place else None
            safe = shown("proxy", url).strip('"')
            # net/http of Go puts http:// before what has no scheme (golang.org/x/net/http/httpproxy).
            wrong, parts = check_url(url if "://" in url else f"http://{url}")
            if wrong or not host_of(url):
                text = f"{safe} is not a proxy: {wrong or 'it has no host'}"
                yield failed(subject(name), text, value=safe, expected="http://HOST:PORT", **where)
            elif ":" in parts.get("user", ""):
                yield failed(
                    subject(name),
                    "a password stands in daemon.json, for all who can read the file",
                    value=safe,
                    expected="a URL without a password",
                    severity=Severity.INFO,
                    commands=[f"chmod 600 {path}"],
                    **where,
                )
            else:
                yield passed(subject(name), safe, value=safe, **where)


CERTIFICATES = ("/etc/docker/certs.d", "/etc/containers/certs.d")
"""Folders with a folder for each registry, of docker and of podman."""


class RegistryCertificates(Check):
    """The certificates of registries are found.

    *Why*: in the folder of a registry the endings tell what a file is: `.crt` is an authority's certificate, `.cert`
    and `.key` are a client's. With another ending a file is not looked at (`certificate signed by unknown authority`);
    a `.cert` without its key, or a key without its certificate, fails every pull (`missing key ca.key for client
    certificate ca.cert`).

    *Needs*: the names of the files in /etc/docker/certs.d/HOST:PORT and /etc/containers/certs.d/HOST:PORT.

    *Fix*: rename the file: an authority's certificate is ca.crt.
    """

    id = "registry.certificates"
    severity = Severity.RECOMMENDED
    references = (
        "https://docs.docker.com/engine/security/certificates/",
        "https://github.com/moby/moby/blob/v28.5.2/registry/registry.go",
        "https://man.archlinux.org/man/containers-certs.d.5",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        silent = True
        for top in CERTIFICATES:
            for name in names(host, top)[:MANY]:
                folder = f"{top}/{name}"
                said = self._fault(names(host, folder))
                silent = False
                where: dict[str, Any] = {"path": folder, "when": "boot", "value": name}
                if said:
                    hint = (
                        "an authority's certificate is called ca.crt, a client's client.cert and client.key"
                    )
                    yield failed(f"certs.d {name}", said, expected="ca.crt", hint=hint, **where)
                else:
                    yield passed(f"certs.d {name}", "every file has an ending that is looked for", **where)
        if silent:
            raise NotApplicable("no registry has a certificate of its own")

    def _fault(self, files: tuple[str, ...]) -> str:
        """Return what is wrong with the names in a registry's folder, empty if nothing is."""
        for name in files:
            stem, _, ending = name.rpartition(".")
            other = {"cert": f"{stem}.key", "key": f"{stem}.cert"}.get(ending)
            if other and other not in files:
                return f"{name} is there without {other}: every pull from this registry fails"
        strange = [name for name in files if name.endswith((".pem", ".cer", ".ca", ".der"))]
        if strange and not any(name.endswith((".crt", ".cert")) for name in files):
            return f"{strange[0]} has an ending that is not looked for: the registry's certificate is not trusted"
        return ""
