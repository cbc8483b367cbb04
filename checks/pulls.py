"""What engines read for the registries that they pull from."""

from __future__ import annotations

from collections.abc import Iterator

from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, Unavailable, failed, passed
from hostcheck.facts import containerd, toml
from hostcheck.facts.files import names, text

FOLDERS = ("/etc/containerd/certs.d", "/etc/docker/certs.d")
"""What containerd looks into where its configuration names no folder: config_path of the CRI's registry."""


class PullsHostsToml(Check):
    """containerd can read what it is told of each registry.

    *Why*: a hosts.toml with a syntax error is read at the first pull from its registry, which then fails: `failed to
    decode hosts.toml`, without the name of the file.

    *Needs*: each hosts.toml below the folders that config_path names.

    *Fix*: mend the line; containerd reads the file anew at each pull.
    """

    id = "pulls.hosts_toml"
    severity = Severity.REQUIRED
    references = (
        "https://github.com/containerd/containerd/blob/main/docs/hosts.md",
        "https://github.com/containerd/containerd/issues/10144",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        said = False
        for folder in self._folders(host):
            for registry in names(host, folder)[:64]:
                path = f"{folder}/{registry}/hosts.toml"
                try:
                    content = text(host, path)
                except (OSError, Unavailable):
                    continue
                if content is None:
                    continue
                said = True
                problem = self._problem(content)
                more = {"value": registry, "path": path}
                if problem:
                    yield failed(
                        registry,
                        f"{path} is no TOML ({problem}): pulls from there fail",
                        hint="mend it",
                        **more,
                    )
                else:
                    yield passed(registry, "its hosts.toml can be read", **more)
        if not said:
            raise NotApplicable("containerd is told nothing of any registry")

    def _folders(self, host: Host) -> tuple[str, ...]:
        registry = containerd.known_cri(host).get("registry")
        named = registry.get("config_path") if isinstance(registry, dict) else None
        return tuple(named.split(":")) if isinstance(named, str) and named else FOLDERS

    def _problem(self, content: str) -> str:
        try:
            toml.parse_toml(content)
        except toml.BadConfig as error:
            return f"line {error.line}: {error.reason}"
        return ""
