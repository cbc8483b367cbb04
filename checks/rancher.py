"""What the configuration of RKE2 and K3s wants of the host."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, failed, passed
from hostcheck.facts import packages, security
from hostcheck.facts.files import names, text

from ._tunables import tunables

PROFILE = r"""(?m)(?:^|[{,])\s*["']?profile["']?\s*:\s*["']?(cis[-\w.]*|etcd)\b"""
PROTECT = r"""(?m)(?:^|[{,\[-])\s*["']?protect-kernel-defaults["']?\s*[:=]\s*["']?true\b"""
SELINUX = r"""(?m)^\s*["']?selinux["']?\s*:\s*["']?true\b"""


class RancherProfile(Check):
    """The host is as the profile of RKE2 or K3s wants it, and has their SELinux policy.

    *Why*: with `profile: cis`, or protect-kernel-defaults, rke2 and k3s change no sysctl themselves and exit where one
    differs (`invalid kernel parameter value vm.overcommit_memory=0 - expected 1`); with the profile a server of RKE2
    also runs etcd as a user of its own (`missing required: user: unknown user etcd`). With `selinux: true` and without
    the package that has the policy no container starts, as from an archive: `process is not running in context
    'container_runtime_t', rke2-selinux policy may need to be applied`; k3s does not install itself without it.

    *Needs*: the kubelet's sysctls, now and after the next boot, and the user and group etcd, where a configuration in
    /etc/rancher names the profile; rke2-selinux or k3s-selinux, where SELinux is on.

    *Fix*: `cp /usr/share/rke2/rke2-cis-sysctl.conf /etc/sysctl.d/60-rke2-cis.conf`, and
    `useradd -r -c "etcd user" -s /sbin/nologin -M etcd -U`; `dnf install rke2-selinux`.
    """

    id = "rancher.profile"
    severity = Severity.REQUIRED
    references = (
        "https://docs.rke2.io/security/hardening_guide",
        "https://docs.k3s.io/security/hardening-guide",
        "https://github.com/rancher/rke2/issues/851",
        "https://github.com/rancher/rancher/issues/38691",
        "https://docs.rke2.io/security/selinux",
        "https://github.com/rancher/rke2/issues/3381",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        policies = list(_policies(host))
        yield from policies
        found = [each for product in ("rke2", "k3s") for each in _asked(host, product)]
        if not found:
            if not policies:
                raise NotApplicable("no profile of RKE2 or K3s is asked for")
            return
        product, path, what = found[0]
        if any(what != "etcd" for _product, _path, what in found):
            for key, value, wanted, when, source, line in tunables(host):
                more = {"value": value, "expected": wanted, "when": when, "path": source, "line": line}
                then = "now" if when == "now" else "after the next boot"
                if value == wanted:
                    yield passed(key, f"{value} {then}", **more)
                    continue
                yield failed(
                    key,
                    f"{value} {then}, and {path} has {what}: {product} does not start",
                    commands=[
                        f"echo '{key} = {wanted}' >> /etc/sysctl.d/99-zz-{product}.conf && "
                        f"sysctl -p /etc/sysctl.d/99-zz-{product}.conf"
                    ],
                    **more,
                )
        asking = [each for each in found if each[0] == "rke2" and not each[2].startswith("protect")]
        if asking and not _agent(host):
            yield from _etcd(host, asking[0][1], asking[0][2])


def _policies(host: Host) -> Iterator[Finding]:
    """Judge whether the policy of SELinux knows what runs here, where it is on."""
    for product in ("rke2", "k3s"):
        if not any(
            host.exists(f"{folder}/{product}") for folder in ("/usr/local/bin", "/usr/bin", "/opt/rke2/bin")
        ):
            continue
        mode = security.selinux_configured(host)
        if mode.value not in ("enforcing", "permissive"):
            continue
        name = f"{product}-selinux"
        more = {"expected": name, "path": mode.path, "when": "boot"}
        modules = f"/var/lib/selinux/{security.selinux_policy(host)}/active/modules"
        if packages.known(host, name) or any(
            product in names(host, f"{modules}/{each}") for each in names(host, modules)
        ):
            yield passed(name, "SELinux knows its programs", value="there", **more)
            continue
        if not packages.packages(host):
            continue
        asked = any(re.search(SELINUX, text(host, path) or "") for path in _files(host, product))
        yield failed(
            name,
            f"is not installed: {product} is told to use SELinux, and its containers do not start"
            if asked
            else f"is not installed: SELinux does not know what {product} runs",
            value="missing",
            severity=None if asked else Severity.RECOMMENDED if mode.value == "enforcing" else Severity.INFO,
            commands=[f"dnf install {name}", f"restorecon -R /var/lib/rancher /usr/local/bin/{product}"],
            **more,
        )


def _files(host: Host, product: str) -> list[str]:
    folder = f"/etc/rancher/{product}"
    return [f"{folder}/config.yaml", *_parts(host, f"{folder}/config.yaml.d")]


def _asked(host: Host, product: str) -> Iterator[tuple[str, str, str]]:
    """Yield product, file and what it asks for."""
    for path in _files(host, product):
        lines = (text(host, path) or "").splitlines()
        content = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
        profile = re.search(PROFILE, content) if product == "rke2" else None
        if profile:
            yield product, path, f"profile {profile[1]}" if profile[1] != "etcd" else "etcd"
        elif re.search(PROTECT, content):
            yield product, path, "protect-kernel-defaults"


def _parts(host: Host, folder: str) -> list[str]:
    return [f"{folder}/{name}" for name in sorted(names(host, folder)) if name.endswith((".yaml", ".yml"))]


def _agent(host: Host) -> bool:
    """Return whether this node is an agent, which runs no etcd."""
    wants = "/etc/systemd/system/multi-user.target.wants"
    return host.exists(f"{wants}/rke2-agent.service") and not host.exists(f"{wants}/rke2-server.service")


def _etcd(host: Host, path: str, what: str) -> Iterator[Finding]:
    """Judge the user and the group as which etcd is to run."""
    for kind, table in (("user", "/etc/passwd"), ("group", "/etc/group")):
        content = text(host, table)
        if content is None:
            continue
        more = {"expected": "etcd", "path": table, "when": "boot"}
        if re.search(r"(?m)^etcd:", content):
            yield passed(f"{kind} etcd", "is there", value="etcd", **more)
            continue
        yield failed(
            f"{kind} etcd",
            f"there is no {kind} etcd, and {path} has {what}: rke2-server does not start",
            value="missing",
            commands=['useradd -r -c "etcd user" -s /sbin/nologin -M etcd -U'],
            **more,
        )
