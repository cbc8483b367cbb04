"""The kernel's modules: those that containers need can be loaded, and those that nobody asks for are loaded at boot."""

from __future__ import annotations

from collections.abc import Iterator

from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, Unavailable, failed, passed
from hostcheck.facts import engine, modules, sysctl, systemd
from hostcheck.facts import kernel as kernel_facts
from hostcheck.facts import os as os_facts
from hostcheck.facts.unitexec import Command

from . import _kernel_options as table
from ._kernel_judge import Situation, demand_of_overlay, situations


class ModulesLoadable(Check):
    """Every module that containers need can be loaded.

    *Why*: `=m` in the configuration is no module yet: the file may be in a package that is not installed (RHEL 10
    keeps xt_addrtype in kernel-modules-extra), and a line in modprobe.d may forbid it. dockerd then does not start.

    *Needs*: modules.dep and modules.builtin of the kernel, /proc/modules, modprobe.d and the kernel command line.
    `install X /bin/false` stops every load; `blacklist X` only loads by an alias, which is how the kernel asks
    for veth or xt_addrtype, and not `modprobe overlay`.

    *Fix*: install the package that has the module, or remove the line that forbids it.
    """

    id = "modules.loadable"
    aliases = ("kernel.modules",)
    severity = Severity.REQUIRED
    references = (
        "https://man7.org/linux/man-pages/man5/modprobe.d.5.html",
        "https://github.com/docker/docker-ce-packaging/issues/1340",
        "https://github.com/moby/moby/issues/48129",
        "https://docs.kernel.org/admin-guide/sysctl/kernel.html#modules-disabled",
    )
    required: tuple[str, ...] = ()
    """Further modules that must be there (Kubernetes: br_netfilter; rootless: tun)."""
    backend: str = "auto"
    """`legacy`, `nft` (iptables-nft), `native` (the engine's own nftables); `auto` looks at the host."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        said = 0
        gone = ""
        for here in situations(host, self.backend):
            waiting = []
            for needed in self._needed(here):
                found = modules.loadable(host, here.kernel, needed.module, needed.option, needed.by_name)
                if found.state == "missing" and not modules.tree(host, here.kernel.release).indexed:
                    # One cause, one failure: kernel.boot says that the folder is not there.
                    gone = here.kernel.release
                    continue
                if found.state == "missing" and not told_missing(here, needed):
                    continue
                said += 1
                if found.state == "loadable":
                    waiting.append(needed.module)
                yield self._finding(here, needed, found)
                if found.state == "loaded":
                    yield from self._next_time(here, needed)
            locked = modules_disabled(here, waiting)
            if locked is not None:
                said += 1
                yield locked
        if gone:
            raise NotApplicable(f"kernel {gone} has no modules to look at: see kernel.boot")
        if not said:
            raise Unavailable("neither modules nor a configuration of the kernel are here")

    def _needed(self, here: Situation) -> Iterator[table.Needed]:
        listed = {needed.module: needed for needed in table.MODULES}
        for name in self.required:
            known = listed.get(name)
            option = known.option if known else ""
            listed[name] = table.Needed(name, option, "required", True, "", "the policy asks for it")
        for needed in listed.values():
            off = here.config is not None and needed.option and here.value(needed.option) == "n"
            if off and needed.module not in self.required:
                continue
            if needed.module == "xt_MASQUERADE" and here.before("5.2"):
                continue
            if needed.module == "br_netfilter" and here.before("3.18"):
                continue
            if here.backend in ("native", "off") and needed.condition == "xtables":
                continue
            if here.backend == "off" and needed.module in ("nf_conntrack", "nf_nat"):
                continue
            kinds = {"legacy": ("legacy",), "nft": ("nft", "native"), "compat": ("nft",)}
            if needed.condition in kinds and here.backend not in kinds[needed.condition]:
                continue
            yield needed

    def _next_time(self, here: Situation, needed: table.Needed) -> Iterator[Finding]:
        """Yield what keeps a module that is loaded now from being loaded after the next boot."""
        refused = modules.forbidden(here.host, "boot", needed.module, needed.by_name)
        its = modules.tree(here.host, here.kernel.release)
        if refused is None and needed.module in its.files:
            again = modules.on_disk(here.host, here.kernel.release, needed.module)
            refused = again if again.state == "missing" else None
        if refused is not None:
            yield self._finding(here, needed, refused, "boot")

    def _finding(
        self, here: Situation, needed: table.Needed, found: modules.Module, when: str = ""
    ) -> Finding:
        more: dict[str, object] = {"value": found.state, "when": when or here.kernel.when}
        more.update(path=found.path, line=found.line)
        more["expected"] = "builtin, loaded or loadable"
        if found.usable:
            return passed(needed.module, found.why, **more)
        severity, but = self._severity(here, needed)
        if found.state == "forbidden":
            text = f"{found.why} forbids it: {needed.breaks}{but}"
            mend = (
                "remove the word from the command line" if "command line" in found.why else "remove the line"
            )
            commands = []
            if found.path and found.line and "command line" not in found.why:
                commands = [f"sed -i '{found.line}s/^/# /' {found.path}"]
            return failed(needed.module, text, severity=severity, hint=mend, commands=commands, **more)
        text = f"{found.why}: {needed.breaks}{but}"
        return failed(needed.module, text, severity=severity, **more, **install(here, needed.module))

    def _severity(self, here: Situation, needed: table.Needed) -> tuple[Severity, str]:
        """Return how much a module is missed, and why less than elsewhere."""
        if needed.module in self.required:
            return Severity.REQUIRED, ""
        if needed.condition != "overlay":
            return Severity(needed.severity), ""
        demanded, why = demand_of_overlay(needed.severity, here)
        return Severity(demanded), f" ({why})" if why else ""


def told_missing(here: Situation, needed: table.Needed) -> bool:
    """Return whether a module that is not listed is really missing, and not merely unknown or built in.

    Without a configuration only a complete list of what is built in tells.
    """
    if here.config is not None:
        return not needed.option or here.value(needed.option) == "m"
    its = modules.tree(here.host, here.kernel.release)
    return its.indexed and bool(its.builtin) and bool(its.files)


def modules_disabled(here: Situation, waiting: list[str]) -> Finding | None:
    """Return what is to be said of kernel.modules_disabled, which locks the kernel against every module."""
    subject = "kernel.modules_disabled"
    if here.kernel.when == "now":
        value = sysctl.now(here.host, subject)
        path: str | None = "/proc/sys/kernel/modules_disabled"
        line = None
    else:
        setting = sysctl.boot_setting(here.host, subject)
        value = setting.value if setting is not None else None
        path, line = (setting.path, setting.line) if setting is not None else (None, None)
    if value is None:
        return None
    more = {"value": value, "expected": "0", "when": here.kernel.when, "path": path, "line": line}
    if value == "0" or not waiting:
        return passed(subject, "nothing that containers need is locked out", **more)
    text = f"no module can be loaded any more: {', '.join(waiting[:3])} and what needs them fail"
    return failed(subject, text, hint="remove the setting and reboot: it cannot be taken back before", **more)


def install(here: Situation, module: str) -> dict[str, object]:
    """Return the fix for a module file that is not there: the distribution's package of rare modules."""
    release = here.kernel.release
    try:
        system = os_facts.os_release(here.host)
    except (OSError, Unavailable):
        return {"hint": f"install the package of kernel {release} that has {module}"}
    if kernel_facts.modules_folder(here.host, release) is None:
        return {
            "hint": f"install the modules of kernel {release}, or boot a kernel whose modules are installed"
        }
    if {"rhel", "fedora", "centos"} & set(system.family):
        return {"commands": [f"dnf install -y kernel-modules-extra-{release}"]}
    if "ubuntu" in system.family:
        flavour = "raspi" if release.endswith("-raspi") else release
        return {"commands": [f"apt-get install -y linux-modules-extra-{flavour}"]}
    if "openwrt" in system.family:
        return {"commands": [f"opkg install kmod-{module.replace('_', '-')}"]}
    return {"hint": f"install the package of kernel {release} that has {module}"}


class ModulesAtBoot(Check):
    """Modules that no engine loads itself are loaded at boot.

    *Why*: dockerd loads br_netfilter when it needs it; kubelet, containerd and CRI-O do not. A modprobe by hand
    is gone after the next boot, and kubeadm or the pods' network then fail.

    *Needs*: modules-load.d, /etc/modules and the kernel command line; what is built in is there.

    *Fix*: Name the module in a file of /etc/modules-load.d.
    """

    id = "modules.at_boot"
    aliases = ("network.modules",)
    severity = Severity.REQUIRED
    references = (
        "https://kubernetes.io/docs/setup/production-environment/container-runtimes/",
        "man:modules-load.d(5)",
    )
    at_boot: tuple[str, ...] = ()
    """Modules that must be loaded at boot (Kubernetes: br_netfilter, overlay)."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        wanted: tuple[str, ...] = self.at_boot
        severity = None
        if not wanted:
            there = engine.installed(host)
            if "kubelet" not in there or "docker" in there:
                raise NotApplicable("docker loads the modules that it needs itself")
            wanted, severity = ("br_netfilter",), Severity.RECOMMENDED
        for name in wanted:
            if host.kind == "live":
                here = name in modules.loaded(host) or self._built_in(host, name, 0)
                if here:
                    yield passed(name, "loaded now", value="loaded", expected="loaded")
                else:
                    yield failed(
                        name,
                        "not loaded now",
                        value="not loaded",
                        expected="loaded",
                        severity=severity,
                        commands=[f"modprobe {name}"],
                    )
            asked = modules.loaded_at_boot(host).get(name)
            more = {"expected": "loaded at boot", "when": "boot"}
            if asked is not None:
                yield passed(name, "loaded at boot", path=asked.path, line=asked.line, value="loaded", **more)
            elif self._built_in(host, name, -1):
                yield passed(name, "built into the kernel", value="builtin", **more)
            else:
                fix = [f"echo {name} > /etc/modules-load.d/{name}.conf"]
                text = "nothing loads it at boot: what needs it fails then"
                yield failed(name, text, value="not loaded", severity=severity, commands=fix, **more)

    def _built_in(self, host: Host, name: str, place: int) -> bool:
        """Return whether it is part of the kernel itself."""
        options = {"br_netfilter": "BRIDGE_NETFILTER", "overlay": "OVERLAY_FS"}
        try:
            its = kernel_facts.kernels(host)[place]
            return modules.loadable(host, its, name, options.get(name, "")).state == "builtin"
        except (FileNotFoundError, Unavailable):
            return False


class ModulesAsked(Check):
    """The modules that an engine's unit loads can be loaded.

    *Why*: containerd.service of 1.2.0 loads overlay before it starts, with no `-` in front: where modprobe finds no
    module, as in a guest or with a kernel whose modules were not installed, the unit fails, and docker's with it. That
    overlay is built in or loaded already does not help there.

    *Needs*: the modules of ExecStartPre=modprobe in modules.dep or modules.builtin of the kernel.

    *Fix*: ExecStartPre=-/sbin/modprobe overlay, as containerd has it from 1.2.1 on.
    """

    id = "modules.asked"
    severity = Severity.REQUIRED
    references = (
        "https://github.com/containerd/containerd/pull/2776",
        "https://github.com/docker/for-linux/issues/475",
        "https://www.freedesktop.org/software/systemd/man/latest/systemd.service.html#ExecStart=",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        said = False
        for unit in ("containerd.service", "docker.service"):
            found = systemd.unit(host, unit)
            for command in found.commands("ExecStartPre") if found else ():
                words = [each for each in command.argv[1:] if not each.startswith("-")]
                if not command.program.endswith("modprobe") or command.ignore_errors or not words:
                    continue
                said = True
                for kernel in kernel_facts.kernels(host):
                    yield self._judge(host, f"{unit} {words[0]}", kernel, words[0], command)
        if not said:
            raise NotApplicable("no engine's unit fails for want of a module")

    def _judge(
        self, host: Host, subject: str, kernel: kernel_facts.Kernel, module: str, command: Command
    ) -> Finding:
        name = modules.module_name(module)
        more = {"path": command.path, "line": command.line, "when": kernel.when, "expected": "loadable"}
        there = modules.forbidden(host, kernel.when, name, by_name=True)
        if there is None and name in modules.tree(host, kernel.release).builtin:
            return passed(subject, "is built in, and modprobe knows it", value="builtin", **more)
        there = there or modules.on_disk(host, kernel.release, name)
        if there.state == "loadable":
            return passed(subject, "can be loaded", value=there.state, **more)
        return failed(
            subject,
            f"modprobe fails ({there.why}), and the unit with it",
            value=there.state,
            hint=f"with systemctl edit: an empty ExecStartPre=, then ExecStartPre=-{command.program} {module}",
            **more,
        )
