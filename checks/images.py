"""What podman, buildah and CRI-O read before they pull an image: whether they may, and from where."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterator, Mapping

from hostcheck._typing import Any
from hostcheck.api import Finding, Host, Severity, failed, passed
from hostcheck.facts import files, podman

from ._podman import PodmanCheck, toml_problem

DOCS = "https://github.com/containers/image/blob/main/docs"
TYPES = ("insecureAcceptAnything", "reject", "signedBy", "signedBaseLayer", "sigstoreSigned")
"""What an image may be asked for. Source: containers-policy.json(5)."""


class ImagesPolicy(PodmanCheck):
    """Podman may pull images: policy.json is there and whole.

    *Why*: without /etc/containers/policy.json no image is pulled, imported or built (`open
    /etc/containers/policy.json: no such file or directory`); a key in it that podman does not know is an error too.
    Removing podman's packages, copying the program alone, and packages that only recommend containers-common leave
    hosts without it.

    *Needs*: JSON with `default`, a list of requirements that is not empty, and `transports`.

    *Fix*: install containers-common (golang-github-containers-common on Debian), or write the file that lets
    everything in.
    """

    id = "images.policy"
    severity = Severity.REQUIRED
    references = (
        f"{DOCS}/containers-policy.json.5.md",
        "https://github.com/containers/image/blob/main/signature/policy_config.go",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        severity = self.severity_here(host)
        path = podman.POLICY
        more: dict[str, Any] = {"path": path, "when": host.when}
        open_ = '{"default": [{"type": "insecureAcceptAnything"}]}'
        mend = [f"mkdir -p /etc/containers && echo '{open_}' > {path}"]
        # A folder in its place is not read, and is not the file.
        data = None if self._is_folder(host, path) else files.text(host, path)
        if data is None:
            text = f"{path} is not there: no image can be pulled or built"
            yield failed("policy.json", text, value="missing", severity=severity, commands=mend, **more)
            return
        problem, strict = self._problem(data)
        if problem:
            text = f"{problem}: no image can be pulled or built"
            mend = [f"mv {path} {path}.away", *mend]
            yield failed("policy.json", text, value=problem, severity=severity, commands=mend, **more)
        elif strict:
            text = "refuses every image that no transport of it allows"
            yield passed("policy.json", text, value="reject", **more)
        else:
            yield passed("policy.json", "is whole", **more)

    def _is_folder(self, host: Host, path: str) -> bool:
        try:
            return host.stat(path).is_dir
        except FileNotFoundError:
            return False

    def _problem(self, text: str) -> tuple[str, bool]:
        """Return what is wrong with a policy, empty if nothing is, and whether it refuses by default."""
        repeated: list[str] = []

        def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
            names = [name for name, _ in items]
            repeated.extend(name for name in names if names.count(name) > 1)
            return dict(items)

        try:
            policy = json.loads(text, object_pairs_hook=pairs)
        except (ValueError, RecursionError) as error:
            return f"it is no JSON ({error})", False
        if not isinstance(policy, dict):
            return "it is no JSON object", False
        if repeated:
            return f"it has the key {repeated[0]!r} twice", False
        unknown = [key for key in policy if key not in ("default", "transports")]
        if unknown:
            return f"it has the key {unknown[0]!r}, which podman does not know", False
        default = policy.get("default")
        if not default or not isinstance(default, list):
            return "it has no `default`" if default is None else "its `default` is empty", False
        for each in default:
            kind = each.get("type") if isinstance(each, dict) else None
            if kind not in TYPES:
                return f"its `default` has the type {kind!r}, which podman does not know", False
        return "", any(each["type"] == "reject" for each in default)


class ImagesRegistries(PodmanCheck):
    """Podman can read registries.conf and its drop-ins.

    *Why*: a file of them that cannot be used is an error of every pull, build and run, even of images that are
    there: `loading registries configuration`. Files of the first format, from before 2019, must stand alone.

    *Needs*: TOML; keys of the second format do not stand beside `[registries.*]` of the first, and drop-ins are of
    the second; each `[[registry]]` has a location or a prefix, without https://; `*.` stands only before a domain.

    *Fix*: mend the line that the finding names.
    """

    id = "images.registries"
    severity = Severity.REQUIRED
    references = (
        f"{DOCS}/containers-registries.conf.5.md",
        "https://github.com/containers/image/blob/main/pkg/sysregistriesv2/system_registries_v2.go",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        severity = self.severity_here(host)
        found = podman.documents(host, podman.REGISTRIES)
        effect = "no image can be pulled and no container made"
        some = False
        for each in found:
            problem = toml_problem(host, each, effect, severity)
            said = None if problem else self._problem(each)
            if said:
                key, text = said
                name = posixpath.basename(each.path)
                more = {"path": each.path, "line": each.line(key), "when": host.when, "severity": severity}
                problem = failed(f"{name} {key}", f"{text}: {effect}", hint="mend the line", **more)
            if problem:
                some = True
                yield problem
        if some:
            return
        searched = any(
            podman.lookup(each.values, key)
            for each in found
            for key in ("unqualified-search-registries", "registries.search.registries")
        )
        if not searched:
            # So it is on Debian, and `docker.io/nginx` works.
            text = "no registry is searched for a name without one, such as nginx"
            where = found[0].path if found else podman.REGISTRIES
            yield passed("registries.conf", text, value="none searched", path=where, when=host.when)
        else:
            yield passed("registries.conf", "podman can read it", path=found[0].path, when=host.when)

    def _problem(self, found: podman.Document) -> tuple[str, str] | None:
        first = "registries" in found.values
        second = [key for key in found.values if key in ("registry", "unqualified-search-registries")]
        if first and found.path != podman.REGISTRIES:
            return "registries", "a drop-in must be of the second format, and this is of the first"
        if first and second:
            return second[0], "keys of the first and the second format stand in one file"
        mode = found.values.get("short-name-mode")
        if mode not in (None, "", "enforcing", "permissive", "disabled"):
            return "short-name-mode", f"short-name-mode {mode!r} is none of enforcing, permissive, disabled"
        seen: dict[str, tuple[Any, Any]] = {}
        for each in found.values.get("registry") or ():
            said = self._registry(each, seen) if isinstance(each, dict) else None
            if said:
                return said
        return None

    def _registry(self, entry: Mapping[str, Any], seen: dict[str, tuple[Any, Any]]) -> tuple[str, str] | None:
        location, prefix = str(entry.get("location") or ""), str(entry.get("prefix") or "")
        if not location and not prefix:
            return "registry", "a [[registry]] has neither location nor prefix"
        for key, value in (("location", location), ("prefix", prefix)):
            if value.startswith(("http://", "https://")):
                return key, f"{key} {value!r} begins with a scheme"
        if prefix.startswith("*.") and any(mark in prefix for mark in "/:@"):
            return "prefix", f"prefix {prefix!r} is no wildcard such as *.example.com"
        if "*" in prefix and not prefix.startswith("*."):
            return None
        flags = (bool(entry.get("insecure")), bool(entry.get("blocked")))
        if seen.setdefault(prefix or location, flags) != flags:
            return "registry", f"{prefix or location} stands there twice, insecure or blocked in one of them"
        return None
