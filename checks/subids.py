"""The files of subordinate ids, as newuidmap reads them."""

from __future__ import annotations

from collections.abc import Iterator

from hostcheck.api import Finding, Host, Severity, failed, passed
from hostcheck.facts import rootless

from ._rootless import UsersCheck

FILES = ("subuid", "subgid")


class SubidsFiles(UsersCheck):
    """newuidmap can open the files of subordinate ids.

    *Why*: newuidmap and newgidmap have root's rights and follow no link to the file of ids: where /etc/subuid is a
    link, to a share for instance, every user's engine ends with `newuidmap ... exit status 1`.

    *Needs*: /etc/subuid and /etc/subgid to be files.

    *Fix*: copy the file to its place, or let nsswitch.conf name a service for `subid`.
    """

    id = "subids.files"
    severity = Severity.REQUIRED
    references = (
        "https://github.com/shadow-maint/shadow/blob/4.13/lib/commonio.c",
        "https://github.com/rootless-containers/rootlesskit/issues/259",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        self.evidence(host)
        for name in FILES:
            path = f"/etc/{name}"
            more = {"path": path, "expected": "a file"}
            try:
                target = host.readlink(path)
            except OSError:
                yield passed(name, "is no link", value="file", **more)
                continue
            yield failed(
                name,
                f"{path} is a link to {target}, which newuidmap does not follow: no user's engine starts",
                value=target,
                commands=[f"cp --remove-destination {target} {path}"],
                **more,
            )


class SubidsOwn(UsersCheck):
    """No range of subordinate ids holds the number of its own user.

    *Why*: in a user's container root is the user, and the subordinate ids are the others. A range that holds the
    user's own number maps it twice, which the kernel refuses: `write to uid_map failed: Invalid argument`.

    *Needs*: ranges of users who run containers without root that leave out their own number.

    *Fix*: take the line out of the file; RootlessKit of 2026-09 and later leaves such ranges out by itself.
    """

    id = "subids.own"
    severity = Severity.REQUIRED
    references = (
        "https://man7.org/linux/man-pages/man7/user_namespaces.7.html",
        "https://github.com/rootless-containers/rootlesskit/issues/476",
        "https://github.com/containers/podman/pull/7162",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        self.evidence(host)
        for user in rootless.rootless_users(host):
            if user.uid is None:
                continue
            for each in rootless.ranges_of(host, "subuid", user):
                more = {
                    "value": f"{each.first}:{each.size}",
                    "expected": f"a range without {user.uid}",
                    "path": each.source.path,
                    "line": each.source.line,
                }
                if each.first <= user.uid <= each.last:
                    yield failed(
                        f"subuid {user.name}",
                        f"the range holds {user.name}'s own number, {user.uid}: the kernel refuses to map it twice",
                        commands=[f"usermod --del-subuids {each.first}-{each.last} {user.name}"],
                        **more,
                    )
                else:
                    yield passed(f"subuid {user.name}", "leaves out the user's own number", **more)
        yield passed("subuid", "ranges were compared with the numbers of their users")
