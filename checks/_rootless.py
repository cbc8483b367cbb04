"""What the checks of users who run containers without root share: whom they concern, and what is installed."""

from __future__ import annotations

from hostcheck.api import Check, Host, NotApplicable, Version
from hostcheck.facts import engine, packages, rootless
from hostcheck.facts.rootless import Evidence
from hostcheck.facts.versions import parse_package_version

DOCS = "https://docs.docker.com/engine/security/rootless"
TOOL = "https://github.com/moby/moby/blob/master/contrib/dockerd-rootless-setuptool.sh"
SCRIPT = "https://github.com/moby/moby/blob/master/contrib/dockerd-rootless.sh"


class UsersCheck(Check):
    """A question about users who run containers without root; not a check itself."""

    needed: str = "auto"
    """Whether users run containers without root: `yes`, `no`, or `auto` for what their files show."""

    def evidence(self, host: Host) -> tuple[Evidence, ...]:
        """Return what shows that users run containers without root.

        Raises:
            NotApplicable: nothing does and the policy does not ask for it, or it says that nobody will.

        """
        if self.needed == "no":
            raise NotApplicable("no user is to run containers without root")
        found = rootless.evidence(host)
        if not found and self.needed != "yes":
            raise NotApplicable("no user runs containers without root here")
        return found


def docker_version(host: Host) -> Version | None:
    """Return the version of the dockerd that users start, None where it cannot be told."""
    # What users start comes with this package, whatever else is installed.
    package = packages.known(host, "docker-ce-rootless-extras")
    found = parse_package_version(package.version, package.manager).version if package else None
    return found or engine.docker_version(host)
