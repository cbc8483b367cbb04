"""The kernel's security modules, AppArmor and SELinux: at peace with the engine, now and after the next boot."""

from __future__ import annotations

from collections.abc import Iterator

from hostcheck._typing import Any
from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, Unavailable, Version, failed, passed
from hostcheck.facts import docker, engine, kernel, packages, rootless, security, sysctl
from hostcheck.facts.files import which
from hostcheck.facts.rootless import Evidence
from hostcheck.facts.versions import parse_package_version

from ._rootless import DOCS, UsersCheck

MOBY = "https://github.com/moby/moby/blob/master"

PARSER_ASKED_FOR = Version("24.0")
"""From this docker on dockerd leaves AppArmor alone where /sbin/apparmor_parser is missing."""


def modes(host: Host, module: str) -> Iterator[tuple[str, security.Mode]]:
    """Yield the state of AppArmor or SELinux now and after the next boot, as far as it is known."""
    if host.kind == "live":
        yield "now", security.apparmor_now(host) if module == "apparmor" else security.selinux_now(host)
    yield (
        "boot",
        security.lsm_at_boot(host, module) if module == "apparmor" else security.selinux_configured(host),
    )


class LsmAppArmor(Check):
    """Where AppArmor is on, its parser is there to load the profile of containers.

    *Why*: dockerd before 24.0 loads the profile docker-default for every container, and starts none if it
    cannot; later ones leave AppArmor alone without the parser, so containers run unconfined. Debian's kernel
    turns AppArmor on even where the package apparmor is not installed.

    *Needs*: AppArmor off, or the program apparmor_parser.

    *Fix*: install the package apparmor (apparmor-parser on SUSE).
    """

    id = "lsm.apparmor"
    aliases = ("security.apparmor",)
    severity = Severity.REQUIRED
    references = (f"{MOBY}/contrib/check-config.sh", f"{MOBY}/daemon/apparmor_default.go")

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        parser = which(host, "apparmor_parser")
        known = [(when, mode) for when, mode in modes(host, "apparmor") if mode.value is not None]
        if not any(mode.value == "enabled" for _when, mode in known):
            raise NotApplicable(
                "AppArmor is not enabled" if known else "no kernel configuration tells of AppArmor"
            )
        for when, mode in known:
            if mode.value != "enabled":
                continue
            where = {"path": mode.path, "line": mode.line, "when": when, "expected": "apparmor_parser"}
            if parser:
                yield passed("apparmor_parser", f"AppArmor is on, {parser} is there", value=parser, **where)
            else:
                severity, effect = self._effect(host)
                yield failed(
                    "apparmor_parser",
                    f"AppArmor is on, but apparmor_parser is missing: {effect}",
                    value="missing",
                    severity=severity,
                    hint="install the package apparmor (apt-get install apparmor)",
                    **where,
                )

    def _effect(self, host: Host) -> tuple[Severity, str]:
        if "docker" not in engine.installed(host) and engine.stage(host) == "before":
            return Severity.INFO, "install it with the engine, or containers are not confined"
        version = engine.docker_version(host)
        if version is not None and version < PARSER_ASKED_FOR:
            return Severity.REQUIRED, f"docker {version} starts no container"
        return Severity.RECOMMENDED, "containers run unconfined"


class LsmAppArmorFiles(Check):
    """The files that every AppArmor profile includes can be parsed.

    *Why*: the profile that the engine generates includes tunables/global and abstractions/base. If one of
    those files is damaged, as by a crash during an upgrade, the profile is refused and no container starts.

    *Needs*: no NUL bytes below /etc/apparmor.d/tunables and in abstractions/base, and none of the packaged ones empty.

    *Fix*: `apt-get install --reinstall -o Dpkg::Options::=--force-confmiss apparmor` after removing the file.
    """

    id = "lsm.apparmor_files"
    aliases = ("security.apparmor_files",)
    severity = Severity.REQUIRED
    references = (
        "https://github.com/docker/for-linux/issues/1067",
        "https://man7.org/linux/man-pages/man5/apparmor.d.5.html",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        folder = "/etc/apparmor.d"
        if not host.exists(f"{folder}/tunables"):
            raise NotApplicable("AppArmor's files are not installed")
        if all(mode.value == "disabled" for _when, mode in modes(host, "apparmor")):
            raise NotApplicable("AppArmor is not enabled")
        damaged = security.damaged_apparmor_files(host)
        for path, reason in damaged:
            yield failed(
                path,
                f"{reason}: no AppArmor profile can be loaded, so no container starts",
                value=reason,
                expected="an AppArmor file",
                path=path,
                when="boot",
                commands=[
                    f"rm {path}",
                    "apt-get install --reinstall -o Dpkg::Options::=--force-confmiss apparmor",
                    "systemctl restart apparmor docker",
                ],
            )
        if not damaged:
            yield passed(
                f"{folder}/tunables", "no file is empty or binary", path=f"{folder}/tunables", when="boot"
            )


class LsmAppArmorProfile(Check):
    """The profile docker-default is in the kernel while dockerd runs.

    *Why*: dockerd loads it without a file of its own; a reload of AppArmor, as by an unattended upgrade,
    drops it, and `docker exec` then fails in running containers.

    *Needs*: docker-default in /sys/kernel/security/apparmor/profiles (root only), where dockerd runs.

    *Fix*: `systemctl restart docker`.
    """

    id = "lsm.apparmor_profile"
    aliases = ("security.apparmor_profile",)
    severity = Severity.RECOMMENDED
    references = ("https://github.com/moby/moby/issues/31733", f"{MOBY}/daemon/apparmor_default.go")

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if host.kind != "live":
            raise NotApplicable("profiles are loaded on a running host")
        engine.need_docker(host)
        if security.apparmor_now(host).value != "enabled":
            raise NotApplicable("AppArmor is not enabled")
        if not host.pids("dockerd"):
            raise NotApplicable("dockerd does not run")
        loaded = security.apparmor_profiles(host)
        path = security.APPARMOR_PROFILES
        if loaded is None:
            raise Unavailable(f"{path} does not exist: securityfs is not mounted")
        if "docker-default" in loaded:
            yield passed("docker-default", "the profile is loaded", value="loaded", path=path)
        else:
            yield failed(
                "docker-default",
                "the profile docker-default is gone from the kernel: docker exec fails",
                value="missing",
                expected="loaded",
                path=path,
                commands=["systemctl restart docker"],
            )


class LsmSelinux(Check):
    """SELinux and the engine agree.

    *Why*: with selinux-enabled, containers get labels that only the policy of container-selinux knows: without
    it they do not start. A policy before 2.95 does not let runc of containerd.io 1.2.6 and later label its
    keyring. And selinux-enabled does nothing where SELinux is off.

    *Needs*: container-selinux where SELinux enforces and the engine labels containers.

    *Fix*: `dnf install container-selinux`.
    """

    id = "lsm.selinux"
    aliases = ("security.selinux",)
    severity = Severity.REQUIRED
    references = ("https://github.com/containerd/containerd/issues/3862", f"{MOBY}/daemon/daemon_unix.go")

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        labels = security.setting(host, "selinux-enabled") is True
        installed = engine.installed(host)
        known = list(modes(host, "selinux"))
        if all(mode.value == "disabled" for _when, mode in known):
            if not labels:
                raise NotApplicable("SELinux is not enabled")
            path, line = docker.where(host, "selinux-enabled")
            yield failed(
                "daemon.json selinux-enabled",
                "selinux-enabled is set, but SELinux is off: containers get no labels",
                value="true",
                expected="SELinux on, or no selinux-enabled",
                path=path,
                line=line,
                when=known[-1][0],
                severity=Severity.RECOMMENDED,
                hint="turn SELinux on in /etc/selinux/config, or take selinux-enabled out",
            )
            return
        if not installed:
            raise NotApplicable("no engine is installed yet; its package brings container-selinux")
        policy = security.container_policy(host)
        for when, mode in known:
            if mode.value == "disabled":
                continue
            yield from self._policy(host, when, mode, labels or "podman" in installed, policy)

    def _policy(
        self, host: Host, when: str, mode: security.Mode, labels: bool, policy: bool | None
    ) -> Iterator[Finding]:
        where = {"path": mode.path, "line": mode.line, "when": when, "expected": "installed"}
        if policy:
            old = self._old_policy(host) if mode.value == "enforcing" else ""
            if old:
                yield failed(
                    "container-selinux",
                    f"container-selinux {old} keeps runc from labelling its keyring: no container starts",
                    value=old,
                    commands=["yum -y update container-selinux"],
                    **(where | {"expected": "2.95 or later"}),
                )
            else:
                yield passed(
                    "container-selinux", f"SELinux is {mode.value}, with a policy for containers", **where
                )
        elif policy is None:
            if labels:
                raise Unavailable("the SELinux policy cannot be seen")
            yield passed("container-selinux", f"SELinux is {mode.value}; the engine sets no labels", **where)
        else:
            severe = labels and mode.value == "enforcing"
            yield failed(
                "container-selinux",
                f"SELinux is {mode.value} without container-selinux: "
                + ("containers are denied their files" if severe else "containers run unconfined"),
                value="missing",
                severity=Severity.REQUIRED if severe else Severity.INFO,
                commands=["dnf -y install container-selinux"],
                **where,
            )

    def _old_policy(self, host: Host) -> str:
        """Return the version of a container-selinux that is too old for the installed runc, empty if it is not."""
        have = packages.packages(host)
        policy, containerd = have.get("container-selinux"), have.get("containerd.io")
        if policy is None or containerd is None:
            return ""
        its, runtime = (
            parse_package_version(each.version, each.manager).version for each in (policy, containerd)
        )
        if its is None or runtime is None or its >= Version("2.95") or runtime < Version("1.2.6"):
            return ""
        return policy.version


class LsmSelinuxDataRoot(Check):
    """A data root of one's own has the labels that containers may read.

    *Why*: the SELinux policy labels /var/lib/docker; files below another folder get the label of their parent,
    which the domain of containers may not map: every program dies while its loader starts.

    *Needs*: a rule for the folder among the file contexts, or the right label on it, where selinux-enabled is set.

    *Fix*: `semanage fcontext -a -e /var/lib/docker DIR`, then `restorecon -R DIR`.
    """

    id = "lsm.selinux_data_root"
    aliases = ("security.selinux_data_root",)
    severity = Severity.REQUIRED
    references = (
        "https://github.com/moby/moby/issues/41654",
        "https://man7.org/linux/man-pages/man8/semanage-fcontext.8.html",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if security.setting(host, "selinux-enabled") is not True:
            raise NotApplicable("docker does not label containers (selinux-enabled)")
        mode = security.selinux_configured(host)
        if mode.value != "enforcing" and not (
            host.kind == "live" and security.selinux_now(host).value == "enforcing"
        ):
            raise NotApplicable("SELinux does not enforce")
        root = docker.data_root(host)
        if root == docker.DATA_ROOT:
            raise NotApplicable("the data root is the one that the policy knows")
        right, path, line = security.labelled_for_containers(host, root)
        if right is None:
            raise Unavailable("neither the labels nor the file contexts can be seen")
        if right:
            yield passed(root, "the data root is labelled for containers", path=path, line=line, when="boot")
            return
        path, line = docker.where(host, "data-root")
        yield failed(
            root,
            f"SELinux has no container label for {root}: programs in containers are denied their libraries",
            value="no rule",
            expected="the labels of /var/lib/docker",
            path=path,
            line=line,
            when="boot",
            commands=[f"semanage fcontext -a -e /var/lib/docker {root}", f"restorecon -R {root}"],
        )


RESTRICT = "kernel.apparmor_restrict_unprivileged_userns"


class LsmAppArmorUserns(UsersCheck):
    """AppArmor lets users' engines make user namespaces.

    *Why*: Ubuntu from 23.10 on lets only programs make user namespaces that have a profile with `userns,`. The
    packaged profiles are for /usr/bin; a rootlesskit elsewhere ends with `operation not permitted`.

    *Needs*: where the sysctl is 1, a profile in /etc/apparmor.d whose path matches the program.

    *Fix*: a profile for the path where the program lies.
    """

    id = "lsm.apparmor_userns"
    aliases = ("rootless.apparmor",)
    severity = Severity.REQUIRED
    references = (
        f"{DOCS}/troubleshoot/#errors-when-starting-the-docker-daemon",
        "https://rootlesscontaine.rs/getting-started/common/apparmor/",
        "https://ubuntu.com/blog/ubuntu-23-10-restricted-unprivileged-user-namespaces",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        found = self.evidence(host)
        restricted = list(self._restricted(host))
        if not restricted:
            raise NotApplicable("AppArmor does not restrict user namespaces here")
        programs = self._programs(host, found)
        if not programs:
            raise NotApplicable("no rootlesskit is installed yet")
        profiles = rootless.userns_profiles(host)
        for path in programs:
            profile = next((p for p in profiles if rootless.attaches(p.attachment, path)), None)
            for when, value, _where, _line in restricted:
                more: dict[str, Any] = {"expected": "a profile with userns,", "when": when}
                if profile:
                    text_ = f"{profile.source.path} lets {path} make user namespaces"
                    source = profile.source
                    yield passed(path, text_, value=value, path=source.path, line=source.line, **more)
                    continue
                name = path.strip("/").replace("/", ".")
                then = "now" if when == "now" else "after the next boot"
                yield failed(
                    path,
                    f"no AppArmor profile lets it make user namespaces, and {RESTRICT} is 1 {then}",
                    value=f"{RESTRICT} = {value}",
                    path=_where,
                    line=_line,
                    commands=[
                        "printf 'abi <abi/4.0>,\\ninclude <tunables/global>\\n\\n"
                        f'"{path}" flags=(unconfined) {{\\n  userns,\\n}}\\n\' > /etc/apparmor.d/{name}',
                        "systemctl restart apparmor.service",
                    ],
                    **more,
                )

    def _restricted(self, host: Host) -> Iterator[tuple[str, str, str | None, int | None]]:
        """Yield the times at which it is restricted, the value, and what says so."""
        if host.kind == "live":
            now = sysctl.now(host, RESTRICT)
            # Without the key the kernel cannot restrict, whatever is set at boot; that is a newer kernel's to say.
            if now == "1" and (
                not host.exists("/sys/module/apparmor") or security.apparmor_now(host).value == "enabled"
            ):
                yield "now", now, "/proc/sys/" + RESTRICT.replace(".", "/"), None
            if now is None:
                return
        setting = sysctl.boot_setting(host, RESTRICT)
        if setting is not None:
            if setting.value == "1":
                yield "boot", "1", setting.path, setting.line
            return
        upcoming = kernel.boot_kernel(host)
        config = kernel.config(host, upcoming.release) if upcoming else None
        if config is not None and config.get("SECURITY_APPARMOR_RESTRICT_USERNS") == "y":
            yield "boot", "1", config.path, config.line("SECURITY_APPARMOR_RESTRICT_USERNS")

    def _programs(self, host: Host, found: tuple[Evidence, ...]) -> tuple[str, ...]:
        paths: list[str] = []
        there = engine.installed(host)
        theirs = {each.engine for each in found} or (
            {"podman"} & there if "docker" not in there else {"docker"}
        )
        if theirs - {"podman"}:
            own = [
                f"{user.home}/{folder}/rootlesskit"
                for user in rootless.rootless_users(host)
                for folder in rootless.USER_BIN
            ]
            paths = [path for path in own if rootless.is_there(host, path)]
            for name in ("docker-rootlesskit", "rootlesskit"):
                path = engine.program(host, name)
                if path and not paths:
                    paths.append(path)
        if "podman" in theirs:
            path = engine.program(host, "podman")
            paths += [path] if path else []
        return tuple(dict.fromkeys(host.resolve(path) for path in paths))
