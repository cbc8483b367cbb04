"""Security: AppArmor, SELinux, seccomp, who may use the engine, and what stands in its way."""

from __future__ import annotations

from collections.abc import Iterator

from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, Unavailable, Version, failed, passed
from hostcheck.facts import docker, engine, packages, security, versions
from hostcheck.facts.files import names, text, which

MOBY = "https://github.com/moby/moby/blob/master"
DOCKER_SOCKET = "/run/docker.sock"

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


def version_or_none(text: str) -> Version | None:
    """Return a version, None for a text that is none."""
    try:
        return Version(text)
    except ValueError:
        return None


class SecurityAppArmor(Check):
    """Where AppArmor is on, its parser is there to load the profile of containers.

    *Why*: dockerd before 24.0 loads the profile docker-default for every container, and starts none if it
    cannot; later ones leave AppArmor alone without the parser, so containers run unconfined. Debian's kernel
    turns AppArmor on even where the package apparmor is not installed.

    *Needs*: AppArmor off, or the program apparmor_parser.

    *Fix*: install the package apparmor (apparmor-parser on SUSE).
    """

    id = "security.apparmor"
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


class SecurityAppArmorFiles(Check):
    """The files that every AppArmor profile includes can be parsed.

    *Why*: the profile that the engine generates includes tunables/global and abstractions/base. If one of
    those files is damaged, as by a crash during an upgrade, the profile is refused and no container starts.

    *Needs*: no NUL bytes below /etc/apparmor.d/tunables and in abstractions/base, and none of the packaged ones empty.

    *Fix*: `apt-get install --reinstall -o Dpkg::Options::=--force-confmiss apparmor` after removing the file.
    """

    id = "security.apparmor_files"
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


class SecurityAppArmorProfile(Check):
    """The profile docker-default is in the kernel while dockerd runs.

    *Why*: dockerd loads it without a file of its own; a reload of AppArmor, as by an unattended upgrade,
    drops it, and `docker exec` then fails in running containers.

    *Needs*: docker-default in /sys/kernel/security/apparmor/profiles (root only), where dockerd runs.

    *Fix*: `systemctl restart docker`.
    """

    id = "security.apparmor_profile"
    severity = Severity.RECOMMENDED
    references = ("https://github.com/moby/moby/issues/31733", f"{MOBY}/daemon/apparmor_default.go")

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if host.kind != "live":
            raise NotApplicable("profiles are loaded on a running host")
        if engine.stage(host) == "before":
            raise NotApplicable("docker is not installed")
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


class SecurityLxcGuest(Check):
    """An LXC guest's runc gets along with the AppArmor profile that the host puts on it.

    *Why*: runc 1.3.3, 1.2.8 and 1.4.0-rc.3 open files in /proc by a detached mount (CVE-2025-52881). AppArmor
    on an LXC host with older profiles takes that for /sys and denies it: no container starts in the guest.

    *Needs*: no LXC profile on this guest, an older runc, or containers that run already.

    *Fix*: on the LXC host, lxc-pve 6.0.5-2 or later (incus 6.19), then restart the guest.
    """

    id = "security.lxc_guest"
    severity = Severity.RECOMMENDED
    references = (
        "https://github.com/opencontainers/runc/issues/4968",
        "https://github.com/lxc/lxc/pull/4609",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if host.kind != "live":
            raise NotApplicable("whether this will run in LXC is known when it runs")
        path = "/proc/self/attr/current"
        try:
            label = (text(host, path) or "").strip()
        except Unavailable:
            # A kernel without any security module answers EINVAL.
            label = ""
        if not label.startswith(("lxc-", "incus-", "lxd-")):
            raise NotApplicable("no AppArmor profile of an LXC host is on this machine")
        runc = versions.version(host, "runc")
        if runc is None:
            raise NotApplicable("runc is not installed")
        more = {"value": runc, "path": path, "expected": "containers that start"}
        if not self._affected(runc):
            yield passed("runc", f"runc {runc} opens /proc in the way that LXC's profiles know", **more)
        elif host.pids("containerd-shim") or host.pids("containerd-shim-runc-v2"):
            yield passed("runc", f"runc {runc} runs containers in this guest", **more)
        else:
            yield failed(
                "runc",
                f"runc {runc} in an LXC guest: no container starts where the host's AppArmor profiles are older",
                hint="on the LXC host: lxc-pve 6.0.5-2 or later, or incus 6.19 or later; then restart the guest",
                **more,
            )

    def _affected(self, runc: Version) -> bool:
        if runc < Version("1.3"):
            return runc >= Version("1.2.8")
        return runc >= Version("1.3.3") and not Version("1.4.0-alpha") < runc < Version("1.4.0-rc.3")


class SecuritySelinux(Check):
    """SELinux and the engine agree.

    *Why*: with selinux-enabled, containers get labels that only the policy of container-selinux knows: without
    it they do not start. A policy before 2.95 does not let runc of containerd.io 1.2.6 and later label its
    keyring. And selinux-enabled does nothing where SELinux is off.

    *Needs*: container-selinux where SELinux enforces and the engine labels containers.

    *Fix*: `dnf install container-selinux`.
    """

    id = "security.selinux"
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
        its, runtime = version_or_none(policy.version), version_or_none(containerd.version)
        if its is None or runtime is None or its >= Version("2.95") or runtime < Version("1.2.6"):
            return ""
        return policy.version


class SecuritySelinuxDataRoot(Check):
    """A data root of one's own has the labels that containers may read.

    *Why*: the SELinux policy labels /var/lib/docker; files below another folder get the label of their parent,
    which the domain of containers may not map: every program dies while its loader starts.

    *Needs*: a rule for the folder among the file contexts, or the right label on it, where selinux-enabled is set.

    *Fix*: `semanage fcontext -a -e /var/lib/docker DIR`, then `restorecon -R DIR`.
    """

    id = "security.selinux_data_root"
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


class SecuritySeccomp(Check):
    """The running kernel filters system calls.

    *Why*: the default profile keeps containers from some 40 dangerous calls. Without the kernel's help docker
    runs them unfiltered, and the kubelet refuses pods that ask for RuntimeDefault.

    *Needs*: /proc/sys/kernel/seccomp/actions_avail, or a `Seccomp:` line in /proc/self/status. Of the next
    kernel kernel.config_security speaks.

    *Fix*: a kernel with CONFIG_SECCOMP_FILTER.
    """

    id = "security.seccomp"
    severity = Severity.RECOMMENDED
    references = ("https://docs.docker.com/engine/security/seccomp/", f"{MOBY}/pkg/sysinfo/sysinfo_linux.go")

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if host.kind != "live":
            raise NotApplicable("kernel.config_security looks at the next kernel's options")
        answer = security.seccomp_now(host)
        if answer is None:
            raise Unavailable("neither /proc/sys/kernel/seccomp nor /proc/self/status is there")
        if answer:
            yield passed("seccomp", "the kernel filters system calls", value="filter", expected="filter")
        else:
            yield failed(
                "seccomp",
                "the kernel cannot filter system calls: containers run without a seccomp profile",
                value="none",
                expected="filter",
                hint="boot a kernel with CONFIG_SECCOMP_FILTER=y",
            )


class SecurityLibseccomp(Check):
    """libseccomp knows the calls with 64-bit time on 32-bit machines.

    *Why*: on 32-bit machines Alpine 3.13, Debian 12 and later images use calls that libseccomp before 2.4.2
    does not know; the profile then denies them, clocks fail, and programs such as apt and apk break.

    *Needs*: libseccomp2 2.4.2 or later on armhf, armel and i386.

    *Fix*: libseccomp2 from the distribution's backports.
    """

    id = "security.libseccomp"
    severity = Severity.RECOMMENDED
    references = ("https://wiki.alpinelinux.org/wiki/Release_Notes_for_Alpine_3.13.0",)

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        package = packages.installed(host, "libseccomp2", "libseccomp")
        if package is None:
            raise NotApplicable("no package libseccomp is installed")
        if package.arch not in ("armhf", "armel", "armv7", "armv7hl", "i386", "i686", "x86"):
            raise NotApplicable("this is no 32-bit machine")
        version = version_or_none(package.version)
        more = {"value": package.version, "expected": "2.4.2", "path": package.path, "when": "boot"}
        if version is not None and version < Version("2.4.2"):
            yield failed(
                package.name,
                f"libseccomp {package.version} denies calls with 64-bit time: newer images break",
                hint="install libseccomp2 2.4.2 or later from backports",
                **more,
            )
        else:
            yield passed(package.name, f"libseccomp {package.version} knows them", **more)


class SecurityDockerSocket(Check):
    """Not everyone may write to docker's socket.

    *Why*: who can write to it is root on this host: `docker run -v /:/host`. Mode 0666 gives that to every
    process, service accounts and escaped web applications too.

    *Needs*: no write bit for others on /run/docker.sock, and none in SocketMode= of docker.socket.

    *Fix*: take SocketMode= out of docker.socket's drop-ins, and `chmod 660 /run/docker.sock`.
    """

    id = "security.docker_socket"
    severity = Severity.RECOMMENDED
    references = ("https://docs.docker.com/engine/security/#docker-daemon-attack-surface",)

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if engine.stage(host) == "before":
            raise NotApplicable("docker is not installed")
        silent = True
        if host.kind == "live" and host.exists(DOCKER_SOCKET):
            silent = False
            found = host.stat(DOCKER_SOCKET)
            yield self._judge(found.mode & 0o777, DOCKER_SOCKET, None, "now")
        unit = self._unit_mode(host)
        if unit is not None:
            silent = False
            yield self._judge(*unit, "boot")
        if silent:
            raise NotApplicable("there is no socket, and no docker.socket that makes one")

    def _unit_mode(self, host: Host) -> tuple[int, str | None, int | None] | None:
        # Imported here: the unit reader is the largest of the facts.
        from hostcheck.facts import systemd

        unit = systemd.unit(host, "docker.socket")
        if unit is None or unit.load != "loaded":
            return None
        said = [each for each in unit.assignments if each.key == "SocketMode" and each.value]
        if not said:
            return None
        last = said[-1]
        digits = last.value.strip()
        if not digits or not set(digits) <= set("01234567"):
            return None
        return int(digits, 8) & 0o777, last.path, last.line

    def _judge(self, mode: int, path: str | None, line: int | None, when: str) -> Finding:
        more = {"value": f"{mode:04o}", "expected": "0660", "path": path, "line": line, "when": when}
        if not mode & 0o002:
            return passed(DOCKER_SOCKET, f"mode {mode:04o}: not for everyone", **more)
        return failed(
            DOCKER_SOCKET,
            f"mode {mode:04o}: every process on this host can be root through docker",
            commands=[f"chmod 660 {DOCKER_SOCKET}"] if when == "now" else ["systemctl edit docker.socket"],
            hint="" if when == "now" else "set SocketMode=0660 there",
            **more,
        )


class SecurityDockerGroup(Check):
    """The group docker is where dockerd looks for it, and its members are known to be root's equals.

    *Why*: members of the group are root on this host. dockerd looks only into /etc/group: of a group that
    comes from LDAP or another directory it does not know, and leaves the socket to root if it makes it itself.

    *Needs*: a docker line in /etc/group, or a socket that systemd makes (docker.socket with -H fd://).

    *Fix*: add the group with its number to /etc/group, or enable docker.socket.
    """

    id = "security.docker_group"
    severity = Severity.INFO
    references = (
        "https://github.com/moby/moby/issues/38202",
        "https://docs.docker.com/engine/install/linux-postinstall/",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if engine.stage(host) == "before":
            raise NotApplicable("docker is not installed")
        content = text(host, "/etc/group")
        if content is None:
            raise NotApplicable("there is no /etc/group")
        for number, line in enumerate(content.split("\n"), 1):
            fields = line.split(":")
            if fields[0] == "docker" and len(fields) > 3:
                members = fields[3].strip()
                more = {"value": members, "path": "/etc/group", "line": number, "when": "boot"}
                yield passed("docker", f"root through docker: {members or 'no one but root'}", **more)
                return
        remote = self._remote(host)
        yield failed(
            "docker",
            "no group docker in /etc/group: " + (remote or "only root can use the socket"),
            value="missing",
            expected="a docker line",
            path="/etc/group",
            when="boot",
            severity=Severity.RECOMMENDED if remote else Severity.INFO,
            commands=["groupadd --system docker"] if not remote else (),
            hint="" if not remote else "add the directory's group with its number to /etc/group",
        )

    def _remote(self, host: Host) -> str:
        """Return what follows where the group comes from a directory and dockerd makes the socket itself."""
        for line in (text(host, "/etc/nsswitch.conf") or "").split("\n"):
            database, _, services = line.partition("#")[0].partition(":")
            if database.strip() == "group" and set(services.split()) & {
                "ldap",
                "sss",
                "winbind",
                "nis",
                "nisplus",
            }:
                break
        else:
            return ""
        words = " ".join(docker.command_line(host).argv)
        if "fd://" in words or not words:
            return ""
        return "dockerd makes the socket itself and does not see the directory's group"


class SecurityFapolicyd(Check):
    """fapolicyd lets the engine's programs run.

    *Why*: fapolicyd denies every program that neither the package database nor its own trust list knows, such
    as an engine that was unpacked from an archive.

    *Needs*: where fapolicyd starts at boot, dockerd from a package, or named in /etc/fapolicyd.

    *Fix*: `fapolicyd-cli --file add DIR` for the programs, then `fapolicyd-cli --update`.
    """

    id = "security.fapolicyd"
    severity = Severity.RECOMMENDED
    references = ("https://manpages.debian.org/unstable/fapolicyd/fapolicyd.8.en.html",)
    programs: tuple[str, ...] = ("dockerd", "containerd", "runc")
    """Programs that must run."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        wanted = security.wanted_units(host, "fapolicyd.service")
        if not wanted:
            raise NotApplicable("fapolicyd does not start at boot")
        if any(
            line.replace(" ", "") == "permissive=1"
            for line in self._lines(host, "/etc/fapolicyd/fapolicyd.conf")
        ):
            raise NotApplicable("fapolicyd is permissive")
        trusted = "\n".join(
            line
            for folder in ("/etc/fapolicyd/trust.d", "/etc/fapolicyd/rules.d")
            for name in names(host, folder)
            for line in self._lines(host, f"{folder}/{name}")
        ) + "\n".join(self._lines(host, "/etc/fapolicyd/fapolicyd.trust"))
        silent = True
        for name in self.programs:
            program = engine.program(host, name)
            if program is None:
                continue
            silent = False
            package = packages.owner(host, program)
            more = {"path": program, "expected": "trusted", "when": "boot"}
            if package or program in trusted or program.rpartition("/")[0] + "/ " in trusted:
                yield passed(
                    program, f"{program} is trusted", value=package.name if package else "listed", **more
                )
            else:
                yield failed(
                    program,
                    f"fapolicyd does not know {program}: it is denied execution",
                    value="no package, no trust entry",
                    commands=[f"fapolicyd-cli --file add {program}", "fapolicyd-cli --update"],
                    **more,
                )
        if silent:
            raise NotApplicable("no engine is installed")

    def _lines(self, host: Host, path: str) -> list[str]:
        return (text(host, path) or "").split("\n")


SCANNERS = {
    "mfeespd.service": "Trellix",
    "mfetpd.service": "Trellix",
    "ds_agent.service": "Trend Micro",
    "sav-protect.service": "Sophos",
    "sophos-spl.service": "Sophos",
    "clamav-clamonacc.service": "ClamAV",
    "clamonacc.service": "ClamAV",
}
"""Units of scanners that look into every file that is opened, with their makers."""


class SecurityOnAccessScanner(Check):
    """No virus scanner blocks files while containers open them.

    *Why*: a scanner that holds up every open(2) by fanotify also holds up the layer store and the programs in
    containers: pods and networks do not come up, or slowly.

    *Needs*: no on-access scanner at boot, or an exclusion of the data root in its configuration.

    *Fix*: exclude /var/lib/docker, /var/lib/containerd and /run/containerd from on-access scanning.
    """

    id = "security.on_access_scanner"
    severity = Severity.RECOMMENDED
    references = ("https://github.com/rancher/rke2/issues/3458", "https://github.com/docker/docs/pull/5152")

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        wanted = security.wanted_units(host, *SCANNERS)
        if not wanted:
            raise NotApplicable("no on-access scanner starts at boot")
        roots = (docker.data_root(host), "/var/lib/containerd")
        for unit, path in wanted:
            more = {"path": path, "when": "boot", "expected": f"{roots[0]} excluded"}
            if SCANNERS[unit] == "ClamAV":
                excluded = self._clamav(host, roots)
                if excluded:
                    yield passed(unit, excluded, value="excluded", **more)
                    continue
                # OnAccessPrevention holds every open(2) up until clamd has answered, and refuses some.
                more["severity"] = Severity.REQUIRED
            yield failed(
                unit,
                f"{SCANNERS[unit]} scans every file that containers open: they are slow or do not start",
                value="enabled",
                hint=f"exclude {', '.join(roots)} and /run/containerd from on-access scanning",
                **more,
            )

    def _clamav(self, host: Host, roots: tuple[str, ...]) -> str:
        """Return why ClamAV leaves the data root alone, empty if it does not."""
        content = text(host, "/etc/clamav/clamd.conf") or text(host, "/etc/clamd.d/scan.conf") or ""
        said = [
            line.split(None, 1)
            for line in content.split("\n")
            if len(line.split(None, 1)) == 2 and line[0] != "#"
        ]
        excluded = [value.strip().rstrip("/") for key, value in said if key == "OnAccessExcludePath"]
        if all(any(root == each or root.startswith(each + "/") for each in excluded) for root in roots[:1]):
            return f"{roots[0]} is excluded"
        prefixes = [
            value.strip().rstrip("/")
            for key, value in said
            if key in ("OnAccessIncludePath", "OnAccessMountPath")
        ]
        if prefixes and not any(
            root == each or root.startswith(each + "/") for root in roots for each in prefixes
        ):
            return "only other folders are scanned"
        if not any(
            key == "OnAccessPrevention" and value.strip().lower() in ("yes", "true", "1")
            for key, value in said
        ):
            return "it reports and does not block"
        return ""
