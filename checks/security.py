"""Security: seccomp, who may use the engine, and programs that stand in its way."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, Unavailable, Version, failed, passed
from hostcheck.facts import docker, engine, kubelet, packages, security
from hostcheck.facts.files import names, text
from hostcheck.facts.versions import parse_package_version

MOBY = "https://github.com/moby/moby/blob/master"
DOCKER_SOCKET = "/run/docker.sock"


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
        version = parse_package_version(package.version, package.manager).version
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
        engine.need_docker(host)
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
        engine.need_docker(host)
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

    *Needs*: where fapolicyd starts at boot, dockerd from a package, or named in /etc/fapolicyd. K3s, RKE2 and k0s
    unpack programs in a folder of their own, which its rules must name.

    *Fix*: `fapolicyd-cli --file add DIR` for the programs, then `fapolicyd-cli --update`.
    """

    id = "security.fapolicyd"
    severity = Severity.RECOMMENDED
    references = (
        "https://manpages.debian.org/unstable/fapolicyd/fapolicyd.8.en.html",
        "https://docs.rke2.io/install/quickstart",
        "https://github.com/rancher/rke2/issues/2848",
    )
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
        ) + "\n".join(
            line
            for name in ("fapolicyd.trust", "fapolicyd.rules")
            for line in self._lines(host, f"/etc/fapolicyd/{name}")
        )
        unpacking = list(self._unpacking(host, trusted))
        yield from unpacking
        silent = not unpacking
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

    def _unpacking(self, host: Host, trusted: str) -> Iterator[Finding]:
        """Judge the folders into which distributions of Kubernetes unpack their programs."""
        chosen = kubelet.k3s_options(host).get("data-dir", "").rstrip("/")
        for name, folder in kubelet.DISTRIBUTIONS.items():
            program = engine.program(host, name)
            if program is None:
                continue
            folder = chosen if chosen and name != "k0s" else folder
            parents = {folder, folder.rpartition("/")[0]} - {"/var/lib", ""}
            more = {"path": folder, "expected": "trusted", "when": "boot"}
            if any(each.rstrip("/") in parents for each in re.findall(r"\bdir=(\S+)", trusted)):
                yield passed(name, f"{folder} is trusted", value="listed", **more)
                continue
            yield failed(
                name,
                f"fapolicyd does not know what {name} unpacks in {folder}: it does not start",
                value="no rule",
                severity=Severity.REQUIRED,
                commands=[
                    f"echo 'allow perm=any all : dir={folder}/' > /etc/fapolicyd/rules.d/80-{name}.rules",
                    "fagenrules --load",
                    "systemctl restart fapolicyd",
                ],
                hint="the same for /run/k3s/, /opt/cni/ and /var/lib/kubelet/",
                **more,
            )

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
