"""What the next boot brings that the running host does not show."""

from __future__ import annotations

from collections.abc import Iterator

from hostcheck._typing import Any
from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, Unavailable, failed, passed
from hostcheck.facts import boot, cgroup, engine, kernel, mounts, systemd
from hostcheck.facts import os as os_facts
from hostcheck.facts.files import names, text

from ._words import add, loader_of

WATCHED = (
    *cgroup.WORDS,
    "cgroup.memory",
    "psi",
    "apparmor",
    "selinux",
    "security",
    "lsm",
    "user_namespace.enable",
    "namespace.unpriv_enable",
    "vsyscall",
    "ipv6.disable",
)
"""Options of the kernel command line that decide what containers can do."""


DECIDING = ("systemd.unified_cgroup_hierarchy", "cgroup_enable", "cgroup_memory")
"""Those of them without which the engine that runs now may not start again."""


def watched(cmdline: str | None) -> dict[str, str]:
    """Return the words of a command line that count for containers, by name; a repeated one whole.

    >>> watched("quiet psi=1 cgroup_enable=memory cgroup-enable=cpuset")
    {'psi': 'psi=1', 'cgroup_enable': 'cgroup_enable=memory cgroup_enable=cpuset'}
    """
    found: dict[str, str] = {}
    known = {name.replace("-", "_"): name for name in WATCHED}
    for each, value in boot.parse_cmdline(cmdline or ""):
        name = known.get(each.replace("-", "_"))
        if name:
            word = name if value is None else f"{name}={value}"
            found[name] = f"{found[name]} {word}" if name in found else word
    return found


class BootEntries(Check):
    """The words on the kernel command line that containers need are in every place that has to have them.

    *Why*: a word that was put into one boot entry is gone with the next kernel (grubby --update-kernel=DEFAULT,
    an edit of grub.cfg), and a word in the settings does nothing until the boot loader's configuration is made
    again. The host then comes back in another cgroup mode.

    *Needs*: the entry that boots, the other entries, what new ones are made of (/etc/default/grub,
    /etc/kernel/cmdline), and the running kernel's own command line. Only words that count for containers.

    *Fix*: the word in /etc/default/grub and /etc/kernel/cmdline, then update-grub, or grubby --update-kernel=ALL.
    """

    id = "boot.entries"
    severity = Severity.RECOMMENDED
    references = (
        "https://www.gnu.org/software/grub/manual/grub/html_node/Simple-configuration.html",
        "https://docs.redhat.com/en/documentation/red_hat_enterprise_linux/9/html/"
        "managing_monitoring_and_updating_the_kernel/configuring-kernel-command-line-parameters_managing-monitoring-and-updating-the-kernel",
        "https://uapi-group.org/specifications/specs/boot_loader_specification/",
        "https://bugzilla.redhat.com/show_bug.cgi?id=1965879",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        booted = boot.boot(host)
        if booted.cmdline is None and not booted.entries:
            raise NotApplicable(f"no boot entry to look at: {booted.how}")
        more: dict[str, Any] = {"path": booted.path, "line": booted.line, "when": "boot"}
        mine = watched(booted.cmdline)
        wrong = [*self._running(host, booted, mine), *self._others(host, booted, mine)]
        wrong += self._next(host, booted, mine)
        said = set()
        for finding in wrong:
            # The same word from several sides is one fault: the first, which is the nearest, is told.
            if finding.subject not in said:
                said.add(finding.subject)
                yield finding
        for name, word in mine.items():
            if name not in said:
                yield passed(name, f"{word} wherever it has to be", value=word, **more)
        if not mine and not wrong:
            yield passed("kernel command line", "no word that counts for containers, now or at boot", **more)

    def _fix(self, host: Host, word: str) -> dict[str, Any]:
        if not word:
            return {"hint": "take the word off everywhere, or put it everywhere"}
        return {
            "commands": add(host, word),
            "hint": f"put {word} into the settings that new entries are made of",
        }

    def _running(self, host: Host, booted: boot.Boot, mine: dict[str, str]) -> Iterator[Finding]:
        """Words that the running kernel has and the next boot will not have, or the other way round."""
        if host.kind != "live" or booted.loader == "running":
            return
        now = watched(boot.running_cmdline(host))
        for name in dict.fromkeys((*now, *mine)):
            if now.get(name) == mine.get(name) or (booted.loader == "u-boot" and name not in mine):
                continue
            lost = name not in mine
            message = (
                f"{now[name]} is gone after the next boot: {booted.how} has it not"
                if lost
                else f"{mine[name]} counts from the next boot on; now it is {now.get(name, 'not there')}"
            )
            # A word that only waits for the reboot is as it was meant.
            severity = None if lost or name in now else Severity.INFO
            if lost and name in DECIDING:
                severity = Severity.REQUIRED
            yield failed(
                name, message, value=mine.get(name, "missing"), expected=now.get(name, "the same now"),
                severity=severity, path=booted.path, line=booted.line, when="boot",
                **(self._fix(host, now[name]) if lost else {"commands": ["reboot"]}),
            )  # fmt: skip

    def _others(self, host: Host, booted: boot.Boot, mine: dict[str, str]) -> Iterator[Finding]:
        """Words that other entries have otherwise than the one that boots."""
        for entry in booted.entries:
            title = f"{entry.title} {entry.id}".lower()
            if entry.cmdline is None or "rescue" in title or "memtest" in title or entry.kernel == "":
                continue
            its = watched(entry.cmdline)
            for name in dict.fromkeys((*its, *mine)):
                if its.get(name) == mine.get(name):
                    continue
                lost = name not in mine
                message = (
                    f"{its[name]} is in the entry {entry.id}, not in the one that boots"
                    if lost
                    else f"{mine[name]} is in the entry that boots, not in {entry.id}"
                )
                yield failed(
                    name, message, value=mine.get(name, "missing"), expected=its.get(name, "the same"),
                    severity=None if lost else Severity.INFO,
                    path=entry.path, line=entry.line, when="boot",
                    **self._fix(host, its[name] if lost else mine[name]),
                )  # fmt: skip

    def _next(self, host: Host, booted: boot.Boot, mine: dict[str, str]) -> Iterator[Finding]:
        """Words that the next kernel's entry will not have, and words that wait for the configuration to be made."""
        if booted.loader not in ("grub", "bls", "systemd-boot") or boot.is_ostree(host):
            # ostree gives the words of the entry that boots to the next one.
            return
        settings = boot.generator(host)
        if settings is None:
            return
        new = watched(settings.cmdline)
        kept = self._kept(host)
        for name in dict.fromkeys((*mine, *new)):
            if mine.get(name) == new.get(name):
                continue
            if name not in new:
                if mine[name] in kept or name == "cgroup_disable":
                    # That a word which takes controllers away is lost harms nobody.
                    continue
                yield failed(
                    name, f"{mine[name]} is lost with the next kernel update: {settings.path} has it not",
                    value=mine[name], expected=f"in {settings.path}", path=settings.path, line=settings.line,
                    when="boot", **self._fix(host, mine[name]),
                )  # fmt: skip
            else:
                word = new[name]
                origin = next((w for w in settings.words if w[0] == word), None)
                yield failed(
                    name, f"{word} in {settings.path} does nothing: the boot loader's configuration has it not",
                    value=mine.get(name, "missing"), expected=word, when="boot",
                    path=origin[1] if origin else settings.path, line=origin[2] if origin else settings.line,
                    commands=self._make(host, word),
                )  # fmt: skip

    def _kept(self, host: Host) -> str:
        """Return the words that kernel-install gives a new entry on EL and Fedora, beside /etc/default/grub."""
        if not {"rhel", "fedora"}.intersection(os_facts.os_release(host).family):
            return ""
        kept = [text(host, path) or "" for path in ("/etc/kernel/cmdline", "/boot/grub2/grubenv")]
        if not kept[0] and host.kind == "live":
            # Without the file, 20-grub.install takes the running kernel's words.
            kept.append(boot.running_cmdline(host))
        return " ".join(kept)

    def _make(self, host: Host, word: str) -> list[str]:
        if {"rhel", "fedora"}.intersection(os_facts.os_release(host).family):
            return [f"grubby --update-kernel=ALL --args={word}", "reboot"]
        if loader_of(host)[0] == "systemd-boot":
            return ["kernel-install add-all", "reboot"]
        return ["update-grub", "reboot"]


class BootRaspberryPi(Check):
    """The command line of a Raspberry Pi is where its firmware reads it, in one line.

    *Why*: the firmware takes the first line of cmdline.txt, from its own partition: since Debian 12 that is
    mounted at /boot/firmware. Words on a second line, or in the old /boot/cmdline.txt, never reach the kernel;
    `cgroup_enable=memory` is the usual one, and k3s then does not find the memory controller.

    *Needs*: cmdline.txt in /boot/firmware and /boot.

    *Fix*: put the words at the end of the first line of /boot/firmware/cmdline.txt.
    """

    id = "boot.raspberry_pi"
    severity = Severity.RECOMMENDED
    references = (
        "https://www.raspberrypi.com/documentation/computers/configuration.html#kernel-command-line-cmdline-txt",
        "https://docs.k3s.io/installation/requirements?os=pi",
        "https://github.com/k3s-io/k3s/issues/8814",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        path = boot.pi_cmdline(host)
        if path is None:
            raise NotApplicable("no cmdline.txt: not a Raspberry Pi")
        lines = host.read(path).split("\n")
        first = set(boot.split_cmdline(lines[0]))
        yield self._one_line(path, lines, first)
        old = "/boot/cmdline.txt"
        if path != old and host.resolve(old) != host.resolve(path):
            content = text(host, old)
            if content is not None:
                yield self._moved(path, old, content, first)

    def _one_line(self, path: str, lines: list[str], first: set[str]) -> Finding:
        subject = f"{path} lines"
        more: dict[str, Any] = {"expected": "one line", "path": path, "when": "boot"}
        lost = [word for line in lines[1:] for word in boot.split_cmdline(line) if word not in first]
        if not lost:
            return passed(subject, "all words are on the first line", value="1", line=1, **more)
        at = next(number for number, line in enumerate(lines[1:], 2) if line.strip())
        message = f"{' '.join(lost)[:60]} is on line {at}: the firmware reads only the first"
        join = f"sed -i -e ':a' -e 'N' -e '$!ba' -e 's/\\n/ /g' {path}"
        return failed(subject, message, value=" ".join(lost), line=at, commands=[join, "reboot"], **more)

    def _moved(self, path: str, old: str, content: str, first: set[str]) -> Finding:
        more: dict[str, Any] = {"expected": f"in {path}", "path": old, "when": "boot"}
        number, lost = None, {}
        for at, line in enumerate(content.split("\n"), 1):
            for name, word in watched(line).items():
                if not set(word.split()) <= first:
                    lost[name] = word
                    number = number or at
        if not lost:
            return passed(old, f"not read by the firmware, and nothing in it is missing in {path}", **more)
        words = " ".join(lost.values())
        message = f"{words} stands in {old}, which nothing reads: the firmware reads {path}"
        edit = f"sed -i '1 s/$/ {words}/' {path}"
        return failed(old, message, value=words, line=number, commands=[edit, "reboot"], **more)


class BootRebootPending(Check):
    """The kernel that runs is the one that boots.

    *Why*: after a reboot another kernel, with other options and other modules, runs the containers.

    *Needs*: the running kernel's release, and that of the default boot entry.

    *Fix*: reboot, and run hostcheck again.
    """

    id = "boot.reboot_pending"
    severity = Severity.INFO
    references = ("https://www.freedesktop.org/software/systemd/man/latest/kernel-install.html",)

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if host.kind != "live":
            raise NotApplicable("nothing runs")
        now = kernel.running_release(host)
        found = boot.boot(host)
        if found.release is None:
            raise Unavailable(f"the kernel that boots is not known: {found.how}")
        more: dict[str, Any] = {
            "value": now,
            "expected": found.release,
            "path": found.path,
            "line": found.line,
        }
        if now == found.release:
            yield passed("kernel", f"{now}, now and after the next boot", **more)
        else:
            message = f"{now} runs, {found.release} boots next ({found.how})"
            yield failed("kernel", message, when="boot", commands=["reboot"], **more)


class BootRamdisk(Check):
    """The root is a file system that containers can leave.

    *Why*: a host whose root is still the kernel's first file system (an initramfs that never handed over, as with
    PXE) cannot pivot_root: every container fails with `invalid argument`. A tmpfs mounted over it can.

    *Needs*: the file system mounted on /; DOCKER_RAMDISK in docker.service's environment, which makes the engine
    use another way.

    *Fix*: Environment=DOCKER_RAMDISK=true in a drop-in of docker.service.
    """

    id = "boot.ramdisk"
    severity = Severity.REQUIRED
    references = (
        "https://github.com/moby/moby/blob/v28.5.2/daemon/oci_linux.go",
        "https://github.com/opencontainers/runc/blob/main/libcontainer/SPEC.md#filesystem",
        "https://www.kernel.org/doc/html/latest/filesystems/ramfs-rootfs-initramfs.html",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if host.kind != "live":
            raise NotApplicable("what the root will be is seen only on a running host")
        root = [mount for mount in mounts.mounted(host) if mount.point == "/"]
        if not root:
            raise Unavailable("no mount of / is to be seen")
        top = root[-1]
        more: dict[str, Any] = {
            "value": top.type,
            "expected": "not rootfs",
            "path": top.path,
            "line": top.line,
        }
        if top.type not in ("rootfs", "ramfs"):
            yield passed("/", f"{top.type}, which can be left", **more)
            return
        asked = self._ramdisk(host)
        if asked:
            yield passed("/", f"{top.type}, and the engine knows: DOCKER_RAMDISK={asked}", **more)
            return
        message = f"/ is the kernel's first {top.type}: pivot_root fails, and so does every container"
        dropin = "/etc/systemd/system/docker.service.d"
        there = engine.stage(host) != "before" or systemd.unit(host, "docker.service") is not None
        yield failed(
            "/",
            message,
            severity=None if there else Severity.RECOMMENDED,
            commands=[
                f"mkdir -p {dropin}",
                f"printf '[Service]\\nEnvironment=DOCKER_RAMDISK=true\\n' > {dropin}/ramdisk.conf",
                "systemctl daemon-reload",
                "systemctl restart docker",
            ],
            **more,
        )

    def _ramdisk(self, host: Host) -> str | None:
        unit = systemd.unit(host, "docker.service")
        if unit is None:
            return None
        found = systemd.environment(host, unit).get("DOCKER_RAMDISK")
        return found[0] if found else None


RUNLEVELS = "/etc/runlevels"
"""Where OpenRC keeps which service starts when."""


class BootOpenrcCgroups(Check):
    """OpenRC mounts the control groups before an engine starts.

    *Why*: OpenRC leaves that to its service cgroups, which is in no runlevel by default. An engine whose script
    does not ask for it finds none: "cgroups: cgroup deleted", "Devices cgroup isn't mounted".

    *Needs*: the service cgroups in a runlevel, or `need` or `want` of it in the scripts of the engines there are.

    *Fix*: `rc-update add cgroups boot`.
    """

    id = "boot.openrc_cgroups"
    severity = Severity.REQUIRED
    references = (
        "https://github.com/OpenRC/openrc/blob/master/init.d/cgroups.in",
        "https://github.com/k3s-io/k3s/pull/1354",
    )
    engines: tuple[str, ...] = (
        "docker",
        "containerd",
        "k3s",
        "k3s-agent",
        "rke2-server",
        "kubelet",
        "podman",
    )
    """Scripts in /etc/init.d that start containers."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        # A running host names its process 1, which is `init` with OpenRC on Alpine.
        if systemd.other_init(host) not in ("OpenRC", "init", "openrc-init") or not host.exists(RUNLEVELS):
            raise NotApplicable("the init is not OpenRC")
        mine = {name: text(host, f"/etc/init.d/{name}") for name in self.engines}
        scripts = {name: script for name, script in mine.items() if script is not None}
        if not scripts:
            raise NotApplicable("no engine has a script for OpenRC here")
        levels = [
            level
            for level in names(host, "/etc/runlevels")
            if "cgroups" in names(host, f"/etc/runlevels/{level}")
        ]
        for name, script in scripts.items():
            path = f"/etc/init.d/{name}"
            asked = any(
                line.split()[0] in ("need", "want") and "cgroups" in line.split()
                for line in script.splitlines()
                if line.strip()
            )
            if levels or asked:
                why = f"cgroups is in the runlevel {levels[0]}" if levels else "its script asks for cgroups"
                yield passed(name, why, value="cgroups", path=path, when="boot")
            else:
                yield failed(
                    name,
                    "nothing mounts the control groups before it starts: no container will",
                    value="in no runlevel",
                    expected="cgroups in the runlevel boot",
                    path=path,
                    when="boot",
                    commands=["rc-update add cgroups boot", "rc-service cgroups start"],
                )
