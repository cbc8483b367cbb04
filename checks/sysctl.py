"""Kernel settings that containers run into, beside those of the network."""

from __future__ import annotations

from collections.abc import Iterator

from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, Unavailable, Version, failed, passed
from hostcheck.facts import files, network, os, releases, sysctl
from hostcheck.facts import kernel as kernel_facts


def number(text: str | None) -> int | None:
    """Return a setting's value as a number, None if it is none."""
    try:
        return int(text or "")
    except ValueError:
        return None


def at_least(
    host: Host,
    key: str,
    minimum: int,
    consequence: str,
    severity: Severity | None = None,
    default: int | None = None,
) -> Iterator[Finding]:
    """Say whether a key is large enough, now and at boot.

    `default` is the kernel's own value where nothing sets the key, if that is the same on every machine.
    `severity` is that of a value which somebody chose; the kernel's own is worth knowing only.
    """
    expected = f">= {minimum}"
    mend = (
        f"echo '{key} = {minimum}' > /etc/sysctl.d/zz-{key.rpartition('.')[2]}.conf",
        f"sysctl -p /etc/sysctl.d/zz-{key.rpartition('.')[2]}.conf",
    )
    setting = sysctl.boot_setting(host, key)
    chosen = number(setting.value) if setting is not None else None
    try:
        value = number(sysctl.now(host, key))
    except (Unavailable, PermissionError):
        value = None
    if value is not None:
        same = setting is not None and chosen == value
        where = {"path": setting.path, "line": setting.line} if same and setting is not None else {}
        if value >= minimum:
            yield passed(key, f"{value} now", value=value, expected=expected, **where)
        else:
            yield failed(
                key,
                f"{value} now: {consequence}",
                value=value,
                expected=expected,
                severity=severity if same else Severity.INFO,
                commands=mend,
                **where,
            )
    if setting is not None and chosen is not None:
        where = {"path": setting.path, "line": setting.line, "when": "boot"}
        if chosen >= minimum:
            yield passed(key, f"{chosen} after the next boot", value=chosen, expected=expected, **where)
        else:
            yield failed(
                key,
                f"{chosen} after the next boot: {consequence}",
                value=chosen,
                expected=expected,
                severity=severity,
                commands=mend,
                **where,
            )
    elif default is not None and value is None:
        say = passed if default >= minimum else failed
        text = "enough" if default >= minimum else consequence
        yield say(
            key,
            f"nothing sets it, the kernel's own is {default}: {text}",
            value=default,
            expected=expected,
            when="boot",
            severity=Severity.INFO,
            commands=() if default >= minimum else mend,
        )


class SysctlInotify(Check):
    """There are enough inotify instances and watches for many containers.

    *Why*: All containers of root share one user's quota. Where it is used up, `tail -f`, kubelet, and file
    watchers in containers fail with "too many open files" or "no space left on device".

    *Needs*: fs.inotify.max_user_instances and max_user_watches. The kernel's own 128 instances are enough
    for a few containers, so that is only worth knowing; a smaller number that a file sets is not.

    *Fix*: Set larger values in /etc/sysctl.d; a watch that is used costs about 1 KiB of kernel memory.
    """

    id = "sysctl.inotify"
    severity = Severity.INFO
    references = (
        "man:inotify(7)",
        "https://kind.sigs.k8s.io/docs/user/known-issues/#pod-errors-due-to-too-many-open-files",
        "https://docs.rke2.io/known_issues",
    )
    instances: int = 512
    """Inotify instances a user should have."""
    watches: int = 65536
    """Inotify watches a user should have."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        for name, minimum, own in (("instances", self.instances, 128), ("watches", self.watches, None)):
            key = f"fs.inotify.max_user_{name}"
            chosen = sysctl.boot_setting(host, key)
            low = 128 if name == "instances" else 8192
            small = chosen is not None and (number(chosen.value) or low) < low
            said = list(
                at_least(
                    host,
                    key,
                    minimum,
                    f"watchers in containers run out of inotify {name}",
                    Severity.RECOMMENDED if small else Severity.INFO,
                    own,
                )
            )
            yield from said
            if not said:
                # From 5.11 on the kernel works it out from the memory, up to 1048576.
                yield passed(key, "nothing sets it: the kernel chooses by the memory it finds", when="boot")


class SysctlKeys(Check):
    """There are enough kernel keys for many containers.

    *Why*: runc makes a session keyring for each container. Where the quota is used up, containers do not
    start: "join session keyring: create session key: disk quota exceeded".

    *Needs*: kernel.keys.root_maxkeys above 10000 (Linux before 3.18 gave root 200). With userns-remap the
    mapped user needs kernel.keys.maxkeys too, which is 200 by default.

    *Fix*: Set kernel.keys.root_maxkeys = 1000000 and kernel.keys.root_maxbytes = 25000000 in /etc/sysctl.d.
    """

    id = "sysctl.keys"
    severity = Severity.REQUIRED
    references = (
        "https://github.com/moby/moby/blob/master/contrib/check-config.sh",
        "man:keyrings(7)",
    )
    root_minimum: int = 10001
    """Keys that root should be able to have."""
    user_minimum: int = 2000
    """Keys that the user of userns-remap should be able to have."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        key = "kernel.keys.root_maxkeys"
        text = "containers beyond that number do not start"
        findings = list(at_least(host, key, self.root_minimum, text, Severity.REQUIRED))
        for finding in findings:
            # Unlike others this default is old kernels' and stops containers, so it counts in full.
            if not finding.ok:
                finding.severity = Severity.REQUIRED
        yield from findings
        if not findings:
            yield passed(key, "nothing sets it: the kernel's own 1000000", when="boot", expected="> 10000")
        key = "kernel.keys.maxkeys"
        inside = host.kind == "live" and os.mapped(host)
        if inside or network.meant_option(host, "userns-remap"):
            text = "with userns-remap containers beyond that number do not start"
            if inside:
                text = "root here is a user of the outer host, and shares it with guests: then no container starts"
            for finding in at_least(host, key, self.user_minimum, text, Severity.RECOMMENDED, 200):
                if not finding.ok:
                    finding.severity = Severity.REQUIRED if inside else Severity.RECOMMENDED
                yield finding


class SysctlPidMax(Check):
    """There are process numbers enough for containers.

    *Why*: Every thread of every container takes one number of the host's; where there are none left, fork
    fails for all.

    *Needs*: kernel.pid_max and kernel.threads-max not set below what the kernel itself allows.

    *Fix*: Take the line out, or set kernel.pid_max = 4194304, as systemd does on 64-bit machines.
    """

    id = "sysctl.pid_max"
    severity = Severity.RECOMMENDED
    references = ("man:proc_sys_kernel(5)", "https://docs.kernel.org/admin-guide/sysctl/kernel.html#pid-max")
    minimum: int = 32768
    """Process numbers: the kernel's own value on a small machine."""
    threads: int = 8192
    """Threads of all processes together."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        text = "containers run out of process numbers"
        yield from at_least(host, "kernel.pid_max", self.minimum, text, Severity.RECOMMENDED, 32768)
        yield from at_least(
            host, "kernel.threads-max", self.threads, "containers run out of threads", Severity.RECOMMENDED
        )


class SysctlConntrack(Check):
    """The connection table has room for the connections of all containers.

    *Why*: Each connection through a published port or NAT takes a place in one table of the host. When it is
    full the kernel drops packets: "nf_conntrack: table full, dropping packet".

    *Needs*: net.netfilter.nf_conntrack_max not set small, and nf_conntrack_count well below it.

    *Fix*: Set net.netfilter.nf_conntrack_max in /etc/sysctl.d, and load nf_conntrack by modules-load.d, since
    the key does not exist before.
    """

    id = "sysctl.conntrack"
    severity = Severity.RECOMMENDED
    references = (
        "https://docs.kernel.org/networking/nf_conntrack-sysctl.html",
        "https://kubernetes.io/docs/reference/command-line-tools-reference/kube-proxy/",
    )
    minimum: int = 65536
    """Connections that a file may not set the table below."""
    full: float = 0.8
    """Share of the table, from 0 to 1, beyond which it counts as nearly full."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        key = "net.netfilter.nf_conntrack_max"
        said = False
        for alias in (key, "net.nf_conntrack_max"):
            setting = sysctl.boot_setting(host, alias)
            value = number(setting.value) if setting else None
            if setting is None or value is None:
                continue
            said = True
            small = value < self.minimum
            yield (failed if small else passed)(
                alias,
                f"{value} after the next boot" + (": busy containers fill the table" if small else ""),
                value=value,
                expected=f">= {self.minimum}",
                path=setting.path,
                line=setting.line,
                when="boot",
                commands=(f"echo '{key} = 262144' > /etc/sysctl.d/zz-conntrack.conf",) if small else (),
            )
        try:
            count = number(sysctl.now(host, "net.netfilter.nf_conntrack_count"))
            most = number(sysctl.now(host, key))
        except (Unavailable, PermissionError):
            count = most = None
        if count is not None and most:
            said = True
            crowded = count > most * self.full
            yield (failed if crowded else passed)(
                "net.netfilter.nf_conntrack_count",
                f"{count} of {most} connections now" + (": new ones will be dropped" if crowded else ""),
                value=count,
                expected=f"<= {int(most * self.full)}",
                commands=(
                    f"echo '{key} = {most * 4}' > /etc/sysctl.d/zz-conntrack.conf",
                    "sysctl -p /etc/sysctl.d/zz-conntrack.conf",
                )
                if crowded
                else (),
            )
        if not said:
            raise NotApplicable("nothing sets the size of the connection table, and it is not in use")


class SysctlLocalPorts(Check):
    """Connections find a local port.

    *Why*: each connection to one address takes a port of its own. With a handful of them docker's proxy and what calls
    published ports on this machine fail: "cannot assign requested address".

    *Needs*: net.ipv4.ip_local_port_range, now and in the sysctl files; the kernel's own has 28,232.

    *Fix*: a larger range.
    """

    id = "sysctl.local_ports"
    severity = Severity.RECOMMENDED
    references = ("https://docs.kernel.org/networking/ip-sysctl.html",)
    minimum: int = 1000
    """Ports that there should be."""
    key: str = "net.ipv4.ip_local_port_range"
    """Where the range is set."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        found: list[tuple[str, dict[str, object]]] = []
        if host.kind == "live":
            path = f"/proc/sys/{sysctl.normalize(self.key)}"
            found += [(files.text(host, path) or "", {"path": path, "when": "now"})]
        said = sysctl.boot_setting(host, self.key)
        if said is not None:
            found += [(said.text, {"path": said.path, "line": said.line, "when": "boot"})]
        judged = [self._judge(text.split(), where) for text, where in found if len(text.split()) == 2]
        if not judged:
            raise NotApplicable("nothing sets the range")
        yield from judged

    def _judge(self, words: list[str], where: dict[str, object]) -> Finding:
        first, last = (number(word) or 0 for word in words)
        count = last - first + 1
        more = {"value": " ".join(words), "expected": f"at least {self.minimum} ports", **where}
        if count >= self.minimum:
            return passed(self.key, f"{count} ports", **more)
        return failed(
            self.key,
            f"{max(count, 0)} ports: so many connections to one address can there be, and no more",
            severity=Severity.REQUIRED if count <= 1 else None,
            commands=[
                f"echo '{self.key} = 32768 60999' > /etc/sysctl.d/zz-ports.conf",
                "sysctl -p /etc/sysctl.d/zz-ports.conf",
            ],
            **more,
        )


class SysctlTwRecycle(Check):
    """Connections through NAT are not dropped by their time stamps.

    *Why*: with net.ipv4.tcp_tw_recycle the kernel drops connections whose time stamp is older than the last one of that
    address. Behind NAT many machines, or pods, have one address: some connect and others time out.

    *Needs*: 0, now and after the next boot. Linux 4.12 took the setting out.

    *Fix*: take the line out of the sysctl files.
    """

    id = "sysctl.tw_recycle"
    severity = Severity.REQUIRED
    references = (
        "https://git.kernel.org/torvalds/c/4396e46187ca5070219b81773c4e65088dac50cc",
        "https://github.com/flannel-io/flannel/issues/530",
        "https://vincent.bernat.ch/en/blog/2014-tcp-time-wait-state-linux",
    )
    key: str = "net.ipv4.tcp_tw_recycle"
    """Where it is set."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        found: list[tuple[str, dict[str, object]]] = []
        for kernel in kernel_facts.kernels(host):
            number = releases.version_of(kernel.release)
            if number is None or number >= Version("4.12"):
                continue
            said = (
                sysctl.boot_setting(host, self.key) if kernel.when == "boot" or host.kind == "live" else None
            )
            if kernel.when == "now":
                path = f"/proc/sys/{sysctl.normalize(self.key)}"
                found.append(((files.text(host, path) or "0").strip(), {"path": path, "when": "now"}))
            if said is not None:
                found.append((said.text, {"path": said.path, "line": said.line, "when": "boot"}))
        if not found:
            raise NotApplicable("the kernel that boots has no such setting, or nothing sets it")
        for text, where in found:
            more = {"value": text, "expected": "0", **where}
            if text == "0":
                yield passed(self.key, "connections are judged by themselves", **more)
                continue
            yield failed(
                self.key,
                f"{text}: where many share one address, as pods behind NAT, some of their connections time out",
                commands=[
                    f"echo '{self.key} = 0' > /etc/sysctl.d/zz-tw.conf",
                    "sysctl -p /etc/sysctl.d/zz-tw.conf",
                ],
                **more,
            )


class SysctlConfFile(Check):
    """What /etc/sysctl.conf says is applied at boot.

    *Why*: systemd-sysctl does not read /etc/sysctl.conf. Distributions led it there by a link 99-sysctl.conf;
    Debian 13 does so no more. A setting in it works with `sysctl -p` and is gone after the next boot.

    *Needs*: each assignment in /etc/sysctl.conf is what the boot will set, or a file of a folder leads there.

    *Fix*: Move the lines to /etc/sysctl.d/99-local.conf.
    """

    id = "sysctl.conf_file"
    severity = Severity.RECOMMENDED
    references = (
        "man:sysctl.d(5)",
        "https://www.debian.org/releases/trixie/release-notes/issues.html",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if sysctl.tool(host) != "systemd":
            raise NotApplicable("what runs at boot here is no systemd")
        lines = sysctl.own_conf(host)
        if not lines:
            raise NotApplicable("/etc/sysctl.conf sets nothing")
        for key, line in lines.items():
            setting = sysctl.boot_setting(host, key)
            wanted = sysctl.kernel_value(key, line.text or "")
            if wanted is None or (setting is not None and setting.value == wanted):
                yield passed(
                    key,
                    "set at boot",
                    value=line.text,
                    path=line.source.path,
                    line=line.source.line,
                    when="boot",
                )
                continue
            got = "nothing sets it" if setting is None else f"{setting.path} sets {setting.text}"
            yield failed(
                key,
                f"set in a file that is not what counts at boot: {got}",
                value=setting.text if setting else None,
                expected=line.text or "",
                path=line.source.path,
                line=line.source.line,
                when="boot",
                severity=None if key in sysctl.OF_INTEREST else Severity.INFO,
                commands=(f"echo '{key} = {line.text}' >> /etc/sysctl.d/zz-local.conf",),
            )
