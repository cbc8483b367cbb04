"""What dockerd gives to every container by default: where the kernel refuses it, no container starts."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from hostcheck._typing import Any, Optional
from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, Unavailable, Version
from hostcheck.facts import docker, engine, files, network
from hostcheck.facts.versions import version

from ._daemon import DAEMON, MANY, failed, judged, passed, spot, subject

LIMITS = "as core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack"
"""The limits that runc knows (libcontainer/specconv and rlimits_linux.go of opencontainers/runc)."""

ACTIONS = "ALLOW ERRNO KILL KILL_PROCESS KILL_THREAD LOG NOTIFY TRACE TRAP"
"""What a seccomp profile may do with a call, behind SCMP_ACT_ (libcontainer/seccomp/config.go of runc)."""


ARCHITECTURES = (
    "X86 X86_64 X32 ARM AARCH64 MIPS MIPS64 MIPS64N32 MIPSEL MIPSEL64 MIPSEL64N32 "
    "PPC PPC64 PPC64LE RISCV64 S390 S390X LOONGARCH64 PARISC PARISC64 M68K SH SHEB"
)
"""The machines of a seccomp profile, behind SCMP_ARCH_ (the same file, and libseccomp's own names)."""

COMPARISONS = "NE LT LE EQ GE GT MASKED_EQ"
"""How a seccomp profile compares an argument, behind SCMP_CMP_ (the same file)."""

MOST_FILES = 2147483584
"""The most that fs.nr_open can be (sysctl_nr_open_max in fs/file.c of Linux)."""


class DefaultsMtu(Check):
    """The kernel takes the MTU that containers' interfaces get.

    *Why*: the kernel refuses less than 68 and more than 65535, and with IPv6 less than 1280. From 25.0 on dockerd
    then does not start, see `docker.start_rules`; before, no container does.

    *Needs*: `mtu` of daemon.json or of the flags, and `ipv6` and `bridge` beside it.

    *Fix*: the MTU of the network that carries containers' packets, mostly 1500 or a little less.
    """

    id = "defaults.mtu"
    severity = Severity.REQUIRED
    references = (
        "https://github.com/moby/moby/blob/v28.5.2/libnetwork/drivers/bridge/setup_device_linux.go",
        "https://www.rfc-editor.org/rfc/rfc8200#section-5",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """Compare the MTU with the kernel's bounds."""
        judgement = judged(host)
        mtu = judgement.effective.get("mtu")
        if not mtu or not isinstance(mtu, int):
            raise NotApplicable("no MTU is set")
        if judgement.effective.get("bridge") == "none":
            raise NotApplicable("docker has no default bridge here")
        if judgement.version.numbers >= (25,):
            raise NotApplicable("dockerd itself finds a wrong one at its start: docker.start_rules")
        from hostcheck.facts import _daemon_networks as networks  # judging the configuration has loaded it

        wrong = networks.mtu_fault(mtu, bool(judgement.effective.get("ipv6")))
        where = {**spot(host, "mtu"), "value": mtu}
        if wrong is None:
            yield passed(subject("mtu"), f"the kernel takes {mtu}", **where)
            return
        text = f"no container starts on the default network: {wrong}"
        yield failed(subject("mtu"), text, expected="1280 to 65535", **where)


class DefaultsFixedCidr(Check):
    """The range that containers get their addresses from lies in the default network.

    *Why*: from 28.0 on dockerd starts with a `fixed-cidr` that is not in the network of `bip`, and then gives no
    container an address: "range is not in subnet". Before, it left the range out of account.

    *Needs*: `fixed-cidr` and `bip`. Without `bip` the network is made around the range.

    *Fix*: a range in the network of bip, or no fixed-cidr.
    """

    id = "defaults.fixed_cidr"
    severity = Severity.REQUIRED
    references = (
        "https://docs.docker.com/engine/network/drivers/bridge/#default-bridge-network",
        "https://github.com/moby/moby/blob/v28.5.2/libnetwork/internal/addrset/addrset.go",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """Compare the two."""
        judgement = judged(host)
        texts = [str(judgement.effective.get(key) or "") for key in ("fixed-cidr", "bip")]
        within, around = (network.parse_network(text) for text in texts)
        if within is None or around is None or judgement.effective.get("bridge"):
            raise NotApplicable("no range is set, or no network that it must lie in")
        where = {**spot(host, "fixed-cidr"), "value": texts[0]}
        if judgement.version.numbers < (28,) or network.overlaps(within, around):
            yield passed(subject("fixed-cidr"), f"{texts[0]} goes with the bip {texts[1]}", **where)
            return
        text = (
            f"no container starts on the default network: {texts[0]} is not in the network of bip {texts[1]}"
        )
        yield failed(subject("fixed-cidr"), text, expected="a range in it", **where)


RUNC_FLAGS = {
    "debug": False,
    "systemd-cgroup": False,
    "log": True,
    "log-format": True,
    "root": True,
    "rootless": True,
    "criu": True,
}
"""The flags of runc before its command, and whether a value follows (main.go of runc 1.0 to 1.5)."""

NO_CRIU = "1.4"
"""The release that no longer takes --criu."""


class DefaultsRuntime(Check):
    """runc takes the arguments that the default runtime gives it.

    *Why*: dockerd hands `runtimeArgs` on unread. runc stops at a flag that it does not know: "flag provided but not
    defined", and no container starts.

    *Needs*: where the program of `default-runtime` is runc: --debug, --log, --log-format, --root, --rootless and
    --systemd-cgroup, and --criu before 1.4.

    *Fix*: take the argument out.
    """

    id = "defaults.runtime"
    severity = Severity.REQUIRED
    references = (
        "https://github.com/opencontainers/runc/blob/v1.1.15/main.go",
        "https://github.com/opencontainers/runc/blob/v1.5.1/main.go",
        "https://github.com/moby/moby/blob/v28.5.2/daemon/runtime_unix.go",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """Read the arguments as runc does."""
        effective = judged(host).effective
        name = str(effective.get("default-runtime") or "runc")
        entry = (effective.get("runtimes") or {}).get(name) or {}
        arguments = [str(each) for each in entry.get("runtimeArgs") or []][:MANY]
        if not arguments:
            raise NotApplicable("the default runtime gets no arguments")
        if posixpath.basename(str(entry.get("path") or "")) != "runc":
            raise NotApplicable("the default runtime is not runc")
        wrong = self._wrong(arguments, version(host, "runc"))
        where = {**spot(host, f"runtimes.{name}", "runtimes"), "value": " ".join(arguments)}
        if wrong is None:
            yield passed(subject(f"runtimes.{name}"), "runc knows its arguments", **where)
            return
        text = f"no container starts: runc does not know {wrong}"
        known = " ".join(f"--{flag}" for flag in RUNC_FLAGS)
        yield failed(subject(f"runtimes.{name}"), text, expected=known, **where)

    def _wrong(self, arguments: list[str], runc: Optional[Version]) -> Optional[str]:
        """Return the first argument that is no flag of runc, None if all are."""
        rest = iter(arguments)
        for word in rest:
            flag, equals, _ = word.lstrip("-").partition("=")
            gone = flag == "criu" and runc is not None and runc >= Version(NO_CRIU)
            if not word.startswith("-") or flag not in RUNC_FLAGS or gone:
                return word
            if RUNC_FLAGS[flag] and not equals:
                next(rest, None)
        return None


class DefaultsUlimits(Check):
    """The limits that containers get by default can be set, and are enough.

    *Why*: runc sets them as the container starts. The kernel refuses a soft limit above the hard one and more
    open files than fs.nr_open; runc refuses a limit that it does not know. No container starts then. With a few
    thousand open files databases and search engines do not start.

    *Needs*: `default-ulimits`, of which `Name`, `Soft` and `Hard` count, not the key; -1 is no limit. Open files:
    at least `nofile` (hard).

    *Fix*: as {"nofile": {"Name": "nofile", "Soft": 65536, "Hard": 65536}}.
    """

    id = "defaults.ulimits"
    severity = Severity.REQUIRED
    references = (
        "https://docs.docker.com/reference/cli/dockerd/#default-ulimit-settings",
        "https://man7.org/linux/man-pages/man2/setrlimit.2.html",
        "https://github.com/opencontainers/runc/blob/main/libcontainer/configs/rlimit.go",
        "https://github.com/awslabs/amazon-eks-ami/issues/193",
    )
    nofile: int = 65536
    """Open files that a container's hard limit must allow at least."""

    def run(self, host: Host) -> Iterator[Finding]:
        """Judge each limit."""
        limits = judged(host).effective.get("default-ulimits") or {}
        if not isinstance(limits, dict) or not limits:
            raise NotApplicable("no limits are set")
        for key, limit in list(limits.items())[:MANY]:
            name = f"default-ulimits.{key}"
            where = {**spot(host, name), "value": self._shown(limit)}
            wrong = self._wrong(host, limit)
            if wrong:
                expected = "a Name, and a Soft that is at most Hard"
                yield failed(subject(name), f"no container starts: {wrong}", expected=expected, **where)
            elif str(limit["Name"]).lower() == "nofile" and 0 <= int(limit.get("Hard") or 0) < self.nofile:
                yield failed(
                    subject(name),
                    f"containers may open only {int(limit.get('Hard') or 0)} files each process",
                    expected=f"at least {self.nofile}",
                    severity=Severity.RECOMMENDED,
                    **where,
                )
            else:
                yield passed(subject(name), "can be set", **where)

    def _shown(self, limit: Any) -> str:
        return f"{limit.get('Soft')}:{limit.get('Hard')}" if isinstance(limit, dict) else "null"

    def _wrong(self, host: Host, limit: Any) -> Optional[str]:
        """Return why the limit cannot be set."""
        if not isinstance(limit, dict):
            return "the limit is null, over which dockerd stumbles"
        name = str(limit.get("Name") or "")
        if name.lower() not in LIMITS.split():
            return f"runc knows no limit {name!r}" if name else "the limit has no Name"
        # The kernel compares without a sign: -1 is more than any other number.
        soft, hard = (int(limit.get(side) or 0) % (1 << 64) for side in ("Soft", "Hard"))
        if soft > hard:
            return f"the soft limit of {name} is above the hard one"
        most = self._most_files(host) if name.lower() == "nofile" else hard
        return f"{name} is above fs.nr_open, which is {most} at most" if hard > most else None

    def _most_files(self, host: Host) -> int:
        """Return fs.nr_open of a host that runs; of another the most that a file may set it to."""
        path = "/proc/sys/fs/nr_open"
        text = (files.text(host, path) or "").strip() if host.kind == "live" else ""
        return int(text) if text.isdecimal() else MOST_FILES


class DefaultsInit(Check):
    """The program that is to be process 1 of every container is there.

    *Why*: with `init` on, dockerd binds the program of `init-path` into each container and starts it first. It
    does not look at its start whether there is one: each container then fails.

    *Needs*: `init` and `init-path`. Without `init-path` it is docker-init, see `programs.helpers`.

    *Fix*: name an executable, static program, as /usr/bin/docker-init, or take init-path out.
    """

    id = "defaults.init"
    severity = Severity.REQUIRED
    references = ("https://docs.docker.com/reference/cli/dockerd/", DAEMON)

    def run(self, host: Host) -> Iterator[Finding]:
        """Look for the program."""
        effective = judged(host).effective
        path = str(effective.get("init-path") or "")
        if not path:
            raise NotApplicable("no init-path is set")
        always = effective.get("init") is True
        where = {**spot(host, "init-path"), "value": path}
        if "/" in path:
            found = docker.asked(host).path(path)
        else:
            found = "program" if engine.helper(host, path, None) else "missing"
        if found is None:
            raise Unavailable(f"{path} cannot be seen")
        if found == "program":
            yield passed(subject("init-path"), f"{path} is there", **where)
            return
        said = "is not there" if found == "missing" else "is no executable file"
        then = "no container starts" if always else "`docker run --init` fails"
        yield failed(
            subject("init-path"),
            f"{then}: {path} {said}",
            expected="an executable file",
            severity=None if always else Severity.INFO,
            hint=f"take init-path out of {where['path']}: dockerd then takes docker-init",
            **where,
        )


class DefaultsSeccomp(Check):
    """The seccomp profile that containers get by default can be read.

    *Why*: dockerd reads the file at its start, and looks into it only as it starts a container: one that is no
    JSON, or asks for an action that runc does not know, lets no container start.

    *Needs*: the file that `seccomp-profile` names: a JSON object, whose actions, architectures and comparisons are
    known ones.

    *Fix*: mend the profile, or take seccomp-profile out; the built-in one then counts.
    """

    id = "defaults.seccomp"
    severity = Severity.REQUIRED
    references = (
        "https://docs.docker.com/engine/security/seccomp/",
        "https://github.com/moby/moby/blob/v28.5.2/daemon/seccomp_linux.go",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """Read the profile."""
        path = str(judged(host).effective.get("seccomp-profile") or "")
        if path in ("", "builtin", "default", "unconfined"):
            raise NotApplicable("no file is named: the built-in profile counts, or none")
        if not path.startswith("/"):
            raise Unavailable(f"{path} is relative: it depends on where dockerd is started")
        profile = files.text(host, path)
        if profile is None:
            raise NotApplicable(f"{path} does not exist: docker.start_rules speaks of it")
        where = {**spot(host, "seccomp-profile"), "value": path}
        wrong = self._wrong(profile)
        if wrong:
            text = f"no container starts: {path} {wrong}"
            yield failed(subject("seccomp-profile"), text, expected="a seccomp profile in JSON", **where)
        else:
            yield passed(subject("seccomp-profile"), f"{path} can be read", **where)

    def _wrong(self, text: str) -> Optional[str]:
        """Return why no container starts with the profile."""
        import json  # few hosts name a profile

        try:
            profile = json.loads(text)
        except (ValueError, RecursionError) as error:
            return f"is not JSON: {error}"
        if not isinstance(profile, dict):
            return "holds no JSON object"
        if profile.get("architectures") and profile.get("archMap"):
            return "has both architectures and archMap"
        for word, kind, known in self._words(profile):
            if word and word not in {f"SCMP_{known[0]}_{name}" for name in known[1].split()}:
                return f"asks for {word!r}, which is no {kind}"
        return None

    def _words(self, profile: dict[str, Any]) -> Iterator[tuple[str, str, tuple[str, str]]]:
        """Yield each word that runc knows few of: the word, what it is, the middle of its name and the ends."""

        def members(value: object) -> list[Any]:
            return value if isinstance(value, list) else []

        yield str(profile.get("defaultAction") or ""), "action", ("ACT", ACTIONS)
        for each in members(profile.get("architectures")):
            yield str(each), "architecture", ("ARCH", ARCHITECTURES)
        for call in members(profile.get("syscalls"))[:MANY]:
            if not isinstance(call, dict):
                continue
            yield str(call.get("action") or ""), "action", ("ACT", ACTIONS)
            for argument in members(call.get("args")):
                if isinstance(argument, dict):
                    yield str(argument.get("op") or ""), "comparison", ("CMP", COMPARISONS)
