"""What the checks of users who run containers without root share: whom they concern, and what is installed."""

from __future__ import annotations

from hostcheck.api import Host, NotApplicable, Unavailable, Version
from hostcheck.facts import engine, packages, rootless
from hostcheck.facts.rootless import Evidence
from hostcheck.facts.versions import parse_package_version

DOCS = "https://docs.docker.com/engine/security/rootless"
TOOL = "https://github.com/moby/moby/blob/master/contrib/dockerd-rootless-setuptool.sh"
SCRIPT = "https://github.com/moby/moby/blob/master/contrib/dockerd-rootless.sh"


def relevant(host: Host, needed: str) -> tuple[Evidence, ...]:
    """Return what shows that users run containers without root.

    Raises:
        NotApplicable: nothing does and the policy does not ask for it, or it says that nobody will.

    """
    if needed == "no":
        raise NotApplicable("no user is to run containers without root")
    found = rootless.evidence(host)
    if not found and needed != "yes":
        raise NotApplicable("no user runs containers without root here")
    return found


def installed_package(host: Host, *known: str) -> packages.Package | None:
    try:
        return packages.installed(host, *known)
    except (PermissionError, Unavailable):
        return None


def docker_version(host: Host) -> Version | None:
    # What users start comes with this package, whatever else is installed.
    package = installed_package(host, "docker-ce-rootless-extras")
    found = parse_package_version(package.version, package.manager).version if package else None
    return found or engine.docker_version(host)
