"""Podman's own files and programs: that it starts, may pull, and finds what it hands its containers to."""

from __future__ import annotations

import json
from collections.abc import Iterator

from hostcheck._typing import Any
from hostcheck.api import Finding, Host, NotApplicable, Severity, Unavailable, Version, failed, passed
from hostcheck.facts import engine, files, kernel, packages, podman, rootless
from hostcheck.facts import os as os_facts

from . import _podman as keys
from ._podman import PodmanCheck, toml_problem

MADE_AT_BOOT = ("/run/", "/tmp/")  # noqa: S108
"""What lies there does not show in a tree, and nothing is written there."""

NETWORK_PACKAGES = ("netavark", "containernetworking-plugins", "podman-plugins", "cni-plugins")

MAN = "https://github.com/containers/common/blob/main/docs"


class PodmanContainersConf(PodmanCheck):
    """Podman starts with its containers.conf, and containers start with what it sets.

    *Why*: podman reads containers.conf at every command, and ends with an error if it is no TOML, has a value of a
    wrong type, or a word that it does not know.

    *Needs*: the files of /usr/share/containers, /etc/containers and containers.conf.d, those of podman as root. A key
    that podman does not know it passes over.

    *Fix*: mend the line that the finding names.
    """

    id = "podman.containers_conf"
    severity = Severity.REQUIRED
    references = (
        f"{MAN}/containers.conf.5.md",
        "https://github.com/containers/common/blob/main/pkg/config/config.go",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        severity = self.severity_here(host)
        found = podman.containers(host)
        if not found:
            raise NotApplicable("there is no containers.conf: the defaults count")
        problems = [
            each for each in (toml_problem(host, one, keys.NO_START, severity) for one in found) if each
        ]
        yield from problems
        if problems:
            return
        version = podman.version(host)
        for key, (words, since, effect) in keys.WORDS.items():
            if not since or version is None or version >= Version(since):
                yield from self._word(host, key, words, effect, severity)
        yield from self._ulimits(host, severity)
        yield from self._places(host, severity)
        yield passed("containers.conf", "podman reads it", path=found[-1].path, when=host.when)

    def _word(
        self, host: Host, key: str, words: tuple[str, ...], effect: str, severity: Severity
    ) -> Iterator[Finding]:
        found = podman.setting(host, key)
        if found is None or not found.value or str(found.value).lower() in words:
            return
        yield failed(
            f"containers.conf {key}",
            f"{key} is {found.value!r}, which podman does not know: {effect}",
            value=found.value,
            expected=", ".join(words),
            path=found.path,
            line=found.line,
            when=host.when,
            severity=severity,
            hint=f"set it to one of {', '.join(words)}, or remove the line",
        )

    def _ulimits(self, host: Host, severity: Severity) -> Iterator[Finding]:
        found = podman.setting(host, "containers.default_ulimits")
        for entry in podman.paths(host, "containers.default_ulimits") if found else ():
            name, _, limits = entry.partition("=")
            soft, _, hard = limits.partition(":")
            good = all(_is_number(each) for each in (soft, hard or soft))
            if name in keys.ULIMITS and (good or name == "host"):
                continue
            yield failed(
                "containers.conf containers.default_ulimits",
                f"{entry!r} is no limit, and podman does not start",
                value=entry,
                expected="NAME=SOFT:HARD",
                path=found.path if found else None,
                line=found.line if found else None,
                when=host.when,
                severity=severity,
                hint='write it as "nofile=1024:524288"',
            )

    def _places(self, host: Host, severity: Severity) -> Iterator[Finding]:
        for key, kept, effect in (
            ("containers.seccomp_profile", ("unconfined",), keys.NO_CONTAINER),
            ("engine.image_copy_tmp_dir", ("storage",), "no image can be pulled"),
        ):
            found = podman.setting(host, key)
            if (
                found is None
                or not str(found.value).startswith("/")
                or found.value in kept
                or str(found.value).startswith(MADE_AT_BOOT)
                or host.exists(found.value)
            ):
                continue
            yield failed(
                f"containers.conf {key}",
                f"{found.value} is not there: {effect}",
                value=found.value,
                expected="a path that is there",
                path=found.path,
                line=found.line,
                when=host.when,
                severity=severity,
                hint="mend or remove the line",
            )


def _is_number(text: str) -> bool:
    return text.lstrip("-").isdecimal()


class PodmanHooks(PodmanCheck):
    """Podman can read the hooks that packages gave it.

    *Why*: a file in hooks.d that cannot be read keeps every container from starting, those that need no hook
    too.

    *Needs*: each *.json of the two folders is JSON with a version.

    *Fix*: install the hook's package anew, or remove the file.
    """

    id = "podman.hooks"
    severity = Severity.REQUIRED
    references = ("https://github.com/containers/common/blob/main/pkg/hooks/docs/oci-hooks.5.md",)

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        severity = self.severity_here(host)
        some = False
        for folder in podman.paths(host, "engine.hooks_dir") or podman.HOOKS:
            for name in files.names(host, folder):
                if not name.endswith(".json"):
                    continue
                some = True
                path = f"{folder}/{name}"
                problem = self._problem(files.text(host, path) or "")
                more: dict[str, Any] = {"path": path, "when": host.when}
                if problem:
                    text = f"{problem}: no container starts"
                    mend = [f"mv {path} {path}.away"]
                    yield failed(path, text, value=problem, severity=severity, commands=mend, **more)
                else:
                    yield passed(path, "is a hook", **more)
        if not some:
            raise NotApplicable("there are no hooks")

    def _problem(self, text: str) -> str:
        try:
            hook = json.loads(text)
        except (ValueError, RecursionError):
            return "it is no JSON"
        if not isinstance(hook, dict) or not hook.get("version"):
            return "it names no version"
        return ""


def _program(host: Host, name: str, path: str | None, effect: str, severity: Severity) -> Finding:
    more: dict[str, Any] = {"expected": "present", "when": host.when}
    if path:
        return passed(name, "is there", value=path, path=path, **more)
    text = f"{name} is not where podman looks for it: {effect}"
    return failed(name, text, value="missing", severity=severity, hint=f"install {name}", **more)


class PodmanPrograms(PodmanCheck):
    """Podman finds conmon and an OCI runtime.

    *Why*: podman has no daemon; each container is started by crun or runc and watched by conmon. They are packages of
    their own, which a minimal installation can lack.

    *Needs*: the programs where podman looks: in the folders of containers.conf, or the usual ones.

    *Fix*: install the package that the finding names.
    """

    id = "podman.programs"
    severity = Severity.REQUIRED
    references = (
        "https://github.com/containers/common/blob/main/pkg/config/default.go",
        "https://github.com/containers/conmon",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        severity = self.severity_here(host)
        yield _program(host, "conmon", self._conmon(host), keys.NO_START, severity)
        yield self._runtime(host, severity)

    def _conmon(self, host: Host) -> str | None:
        for path in podman.paths(host, "engine.conmon_path"):
            if host.exists(path):
                return path
        return files.which(host, "conmon", podman.CONMON_FOLDERS)

    def _runtime(self, host: Host, severity: Severity) -> Finding:
        wanted, path = podman.runtime(host)
        found = podman.setting(host, "engine.runtime")
        more: dict[str, Any] = {"expected": "present", "when": host.when}
        if path:
            return passed("OCI runtime", f"{path} is there", value=path, path=path, **more)
        text = f"the OCI runtime {wanted} that containers.conf names is not there: {keys.NO_START}"
        if not wanted:
            text = f"neither crun nor runc is there: {keys.NO_START}"
        if found and wanted:
            more.update(path=found.path, line=found.line)
        hint = "install crun or runc" + (", or mend the line" if wanted else "")
        return failed("OCI runtime", text, value="missing", severity=severity, hint=hint, **more)


class PodmanNetwork(PodmanCheck):
    """Podman has what it makes networks with.

    *Why*: podman sets up the network of root's containers with netavark, before 4.0 and on older set-ups with
    plugins of CNI. Distributions only recommend the packages. Without either no container starts (`failed to find
    plugin "bridge"`, `could not find "netavark"`); without aardvark-dns none finds another by name.

    *Needs*: netavark in one of podman's folders, with aardvark-dns, and nft or iptables for its rules; from 4.0 to 4.9,
    where nothing chose it, and before, the CNI plugins bridge, host-local and portmap. With nft a kernel that has
    tables of both families and looks routes up in them: CONFIG_NFT_FIB_INET.

    *Fix*: install netavark and aardvark-dns, or containernetworking-plugins with a podman before 5.
    """

    id = "podman.network"
    severity = Severity.REQUIRED
    references = (
        "https://github.com/containers/common/blob/v0.57.0/pkg/config/config_linux.go",
        "https://github.com/containers/common/blob/main/libnetwork/network/interface_linux.go",
        "https://github.com/containers/podman.io/pull/201",
        "https://github.com/containers/podman/issues/13412",
        "https://github.com/containers/netavark",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        severity = self.severity_here(host)
        if rootless.evidence(host) and self.needed != "yes":
            # Users' containers are wired by pasta or slirp4netns.
            severity = Severity.RECOMMENDED
        if engine.program(host, "podman") is None and packages.installed(host, *NETWORK_PACKAGES):
            raise NotApplicable("podman and its network are known by their packages alone")
        version = podman.version(host)
        if podman.backend(host, version) == "cni":
            yield from self._cni(host, severity)
            return
        effect = keys.NO_START if version and version >= Version("5.0") else keys.NO_CONTAINER
        yield _program(host, "netavark", podman.helper(host, "netavark"), effect, severity)
        effect = "containers do not find each other by name"
        path = podman.helper(host, "aardvark-dns")
        yield _program(host, "aardvark-dns", path, effect, Severity.RECOMMENDED)
        if version and version >= Version("5.0"):
            yield from self._rules(host, severity)

    def _rules(self, host: Host, severity: Severity) -> Iterator[Finding]:
        found = podman.setting(host, "network.firewall_driver")
        driver = str(found.value).lower() if found and found.value else self._default_rules(host)
        if driver in ("none", "firewalld"):
            return
        have = {
            name
            for name, program in (("nftables", "nft"), ("iptables", "iptables"))
            if files.which(host, program)
        }
        more: dict[str, Any] = {"expected": driver or "nft or iptables", "when": host.when}
        lacking = list(self._kernels(host)) if driver == "nftables" and "nftables" in have else []
        for release, when, path, option in lacking:
            yield failed(
                "firewall kernel",
                f"kernel {release} has no {option}, which netavark's nftables ask: no container with a network starts",
                value=f"{option}=n",
                expected="y or m",
                path=path,
                when=when,
                severity=severity,
                hint='boot another kernel, or put firewall_driver = "iptables" in containers.conf, section network',
            )
        if lacking:
            return
        if (driver and driver in have) or (not driver and have):
            yield passed("firewall", f"netavark can write its rules with {driver or have}", **more)
            return
        lacks = {"nftables": "nft", "iptables": "iptables"}.get(driver, "nft or iptables")
        text = (
            f"netavark writes its rules with {lacks}, which is not there: no container with a network starts"
        )
        hint = f"install {driver or 'nftables'}"
        yield failed("firewall", text, value="missing", severity=severity, hint=hint, **more)

    def _kernels(self, host: Host) -> Iterator[tuple[str, str, str, str]]:
        """Yield what kernels lack for the table inet netavark: release, when, configuration and option."""
        try:
            known = [(each, kernel.config(host, each.release)) for each in kernel.kernels(host)]
        except Unavailable:
            return
        for each, config in known:
            if config is None or not config.enabled("NF_TABLES"):
                continue
            for option in ("NF_TABLES_INET", "NFT_FIB_INET"):
                if not config.enabled(option):
                    yield each.release, each.when, config.path, f"CONFIG_{option}"
                    break

    def _default_rules(self, host: Host) -> str:
        """Return what this distribution's netavark writes its rules with, empty if that is not known."""
        release = host.fact(os_facts.os_release)
        since = keys.NFTABLES_SINCE.get(release.id) if release else None
        if release is None or since is None or (release.major is not None and release.major < since):
            return ""
        return "nftables"

    def _cni(self, host: Host, severity: Severity) -> Iterator[Finding]:
        folders = podman.paths(host, "network.cni_plugin_dirs") or podman.CNI_FOLDERS
        missing = [
            name for name in ("bridge", "host-local", "portmap") if not files.which(host, name, folders)
        ]
        more: dict[str, Any] = {"expected": "present", "when": host.when}
        if missing:
            text = f"the CNI plugins {', '.join(missing)} are not there: no container with a network starts"
            hint = "install containernetworking-plugins"
            yield failed("CNI plugins", text, value="missing", severity=severity, hint=hint, **more)
        else:
            yield passed("CNI plugins", "are there", **more)
