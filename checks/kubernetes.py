"""A Kubernetes node: what the kubelet and kubeadm refuse, beside what the other families say of swap and cgroups."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hostcheck._typing import Any
from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, Unavailable, Version, failed, passed
from hostcheck.facts import boot, engine, kernel, kubelet, packages, sysctl
from hostcheck.facts import os as os_facts
from hostcheck.facts.files import text, which
from hostcheck.facts.versions import version

CHANGELOG = "https://github.com/kubernetes/kubernetes/blob/master/CHANGELOG"
PREFLIGHT = "https://github.com/kubernetes/kubernetes/blob/master/cmd/kubeadm/app/preflight/checks_linux.go"


def relevant(host: Host, needed: str) -> None:
    """Raise `NotApplicable` where no kubelet is, nor is to be."""
    there = needed == "yes"
    if needed == "auto":
        there = bool(
            "kubelet" in engine.installed(host)
            or which(host, "kubeadm")
            or _package(host, "kubeadm")
            or host.exists(kubelet.CONFIG)
        )
    if not there:
        raise NotApplicable("no kubelet here")


def _package(host: Host, *known: str) -> bool:
    try:
        return packages.installed(host, *known) is not None
    except (PermissionError, Unavailable):
        return False


TOOLS = (
    (
        "conntrack",
        "1.18",
        "1.32",
        ("conntrack", "conntrack-tools"),
        "conntrack, or conntrack-tools on rpm systems",
    ),
    ("ip", "", "", ("iproute2", "iproute"), "iproute2"),
    ("mount", "", "", ("mount", "util-linux"), "util-linux"),
    ("nsenter", "", "", ("util-linux",), "util-linux"),
)
"""Program, the first release of kubeadm that insists on it, the first that does no more, packages that bring it, and
what to install. iptables is asked for by firewall.iptables; ebtables, ethtool, socat, tc, touch and (with docker)
crictl are worth a warning of kubeadm's at most, and their absence harms nothing."""


class KubernetesTools(Check):
    """The programs are there without which kubeadm refuses.

    *Why*: `kubeadm init` and `kubeadm join` stop where a program is missing that they insist on.

    *Needs*: ip, mount and nsenter in the path; conntrack for kubeadm 1.18 to 1.31 (kube-proxy calls it no more
    since). ebtables, ethtool, socat, tc and crictl only make kubeadm warn, and are not asked for.

    *Fix*: install the package.
    """

    id = "kubernetes.tools"
    severity = Severity.REQUIRED
    references = (PREFLIGHT, "https://github.com/kubernetes/kubernetes/pull/126952")
    needed: str = "auto"
    """Whether a kubelet is to run here: `yes`, `no`, or `auto` for whether it or kubeadm is installed."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        relevant(host, self.needed)
        kubeadm = kubelet.release(host, "kubeadm")
        release = kubeadm or kubelet.release(host)
        # Where not even these two are seen, the tree has no programs to judge.
        seen = which(host, "sh") is not None and which(host, "ls") is not None
        when = host.when
        said = False
        for name, since, until, brought_by, package in TOOLS:
            if since and (release is None or release < Version(since)):
                continue
            more: dict[str, Any] = {"expected": "in the path", "when": when}
            path = which(host, name)
            if until and release is not None and release >= Version(until):
                said = True
                yield passed(name, f"not needed: kubeadm {release} does without", path=path, **more)
            elif path:
                said = True
                yield passed(name, f"{path} is there", value=path, path=path, **more)
            elif (since or seen) and not _package(host, *brought_by):
                said = True
                whose = f"kubeadm {release}" if release else "kubeadm"
                yield failed(
                    name,
                    f"{name} is not in the path: {whose} refuses to set up the node",
                    value="missing",
                    # Without kubeadm nobody insists; kube-proxy's image brings its own.
                    severity=None if kubeadm or not since else Severity.INFO,
                    hint=f"install the package {package}",
                    **more,
                )
        if not said:
            raise Unavailable("no programs are to be seen here")


DEFAULTS = (
    ("vm.overcommit_memory", "1", "0"),
    ("vm.panic_on_oom", "0", "0"),
    ("kernel.panic", "10", "0"),
    ("kernel.panic_on_oops", "1", ""),
    ("kernel.keys.root_maxkeys", "1000000", "1000000"),
    ("kernel.keys.root_maxbytes", "25000000", "25000000"),
)
"""Key, what the kubelet wants, and the kernel's own value (empty: it depends on how it was built).

Source: the kubelet's pkg/kubelet/cm/container_manager_linux.go, setupKernelTunables(), and pkg/util/sysctl."""


class KubernetesKernelDefaults(Check):
    """The kernel's settings are those that a kubelet wants which may not change them.

    *Why*: with protectKernelDefaults the kubelet changes no sysctl, and exits where one differs:
    `invalid kernel flag: vm/overcommit_memory, expected value: 1, actual value: 0`.

    *Needs*: six sysctls, now and after the next boot, where protectKernelDefaults is true.

    *Fix*: set them in /etc/sysctl.d, or leave protectKernelDefaults false.
    """

    id = "kubernetes.kernel_defaults"
    severity = Severity.REQUIRED
    references = (
        "https://github.com/kubernetes/kubernetes/blob/master/pkg/kubelet/cm/container_manager_linux.go",
        "https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/",
    )
    needed: str = "auto"
    """Whether a kubelet is to run here: `yes`, `no`, or `auto` for whether one is installed."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        relevant(host, self.needed)
        protected = kubelet.value(host, "protectKernelDefaults", "protect-kernel-defaults")
        if not kubelet.truth(protected, False):
            raise NotApplicable("the kubelet may set the sysctls itself (protectKernelDefaults is false)")
        for key, wanted, own in DEFAULTS:
            if host.kind == "live":
                now = sysctl.now(host, key)
                if now is not None:
                    path = "/proc/sys/" + key.replace(".", "/")
                    yield self._judge(key, now, wanted, "now", path, None)
            setting = sysctl.boot_setting(host, key)
            if setting is not None and setting.value is not None:
                yield self._judge(key, setting.value, wanted, "boot", setting.path, setting.line)
                continue
            later = self._own(host, key, own)
            if later is not None:
                yield self._judge(key, later, wanted, "boot", None, None)

    def _own(self, host: Host, key: str, own: str) -> str | None:
        """Return what a key is after a boot that sets it nowhere, None if that cannot be told."""
        if key not in ("kernel.panic", "kernel.panic_on_oops"):
            return own
        try:
            cmdline = boot.boot(host).cmdline
            upcoming = kernel.boot_kernel(host)
            config = kernel.config(host, upcoming.release) if upcoming else None
        except (OSError, Unavailable):
            return None
        if key == "kernel.panic":
            word = boot.option(cmdline, "panic")
            return word or (config.get("PANIC_TIMEOUT", "0") if config else own)
        if boot.option(cmdline, "oops") == "panic":
            return "1"
        return config.get("PANIC_ON_OOPS_VALUE", "0") if config else None

    def _judge(
        self, key: str, value: str, wanted: str, when: str, path: str | None, line: int | None
    ) -> Finding:
        more: dict[str, Any] = {"value": value, "expected": wanted, "when": when, "path": path, "line": line}
        then = "now" if when == "now" else "after the next boot"
        if value == wanted:
            return passed(key, f"{value} {then}", **more)
        command = (
            f"echo '{key} = {wanted}' >> /etc/sysctl.d/99-zz-kubelet.conf && "
            "sysctl -p /etc/sysctl.d/99-zz-kubelet.conf"
        )
        text = f"{value} {then}, and protectKernelDefaults is true: the kubelet exits"
        return failed(key, text, commands=[command], **more)


BOOLEANS = (
    "failSwapOn", "failCgroupV1", "protectKernelDefaults", "rotateCertificates", "serverTLSBootstrap",
    "enableServer", "enableDebuggingHandlers", "cgroupsPerQOS", "serializeImagePulls",
    "makeIPTablesUtilChains", "enableControllerAttachDetach", "localStorageCapacityIsolation", "cpuCFSQuota",
    "authentication.anonymous.enabled", "authentication.webhook.enabled",
)  # fmt: skip
"""Settings that are true or false. Source: kubelet.config.k8s.io/v1beta1, KubeletConfiguration."""

NUMBERS = (
    "port", "readOnlyPort", "healthzPort", "maxPods", "podsPerCore", "registryBurst", "eventBurst", "kubeAPIBurst",
    "oomScoreAdj", "maxOpenFiles", "containerLogMaxFiles", "imageGCHighThresholdPercent",
    "imageGCLowThresholdPercent", "nodeLeaseDurationSeconds", "maxParallelImagePulls",
)  # fmt: skip
"""Settings that are whole numbers."""


class KubernetesKubeletConfig(Check):
    """The kubelet can read its configuration.

    *Why*: a file that is no YAML, is of another kind, or has a text where a number or true and false belong
    keeps the kubelet from starting: `failed to decode`.

    *Needs*: no tabs before a key; apiVersion kubelet.config.k8s.io/v1beta1 or v1 and kind KubeletConfiguration;
    true or false, and numbers, without quotes. A key that stands twice counts once, which is worth knowing.
    Before `kubeadm init` or `join` there is no such file.

    *Fix*: mend the line and restart the kubelet.
    """

    id = "kubernetes.kubelet_config"
    severity = Severity.REQUIRED
    references = (
        "https://kubernetes.io/docs/tasks/administer-cluster/kubelet-config-file/",
        "https://github.com/kubernetes/kubernetes/blob/master/pkg/kubelet/kubeletconfig/util/codec/codec.go",
    )
    needed: str = "auto"
    """Whether a kubelet is to run here: `yes`, `no`, or `auto` for whether one is installed."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        relevant(host, self.needed)
        path = kubelet.config_file(host)
        found = kubelet.config(host)
        if found is None:
            raise NotApplicable(f"there is no {path}: kubeadm writes it when the node joins")
        more: dict[str, Any] = {"when": "boot", "path": path}
        if found.tab:
            text = f"line {found.tab} is indented with a tab: the kubelet cannot read its configuration"
            yield failed(
                "config.yaml", text, value="tab", expected="spaces", line=found.tab,
                commands=[f"sed -i 's/\\t/  /g' {path}", "systemctl restart kubelet"], **more,
            )  # fmt: skip
            return
        yield passed("config.yaml", "no line is indented with a tab", **more)
        kind, group = found.values.get("kind"), found.values.get("apiVersion")
        if kind is None or kind.value != "KubeletConfiguration":
            text = f"kind is {kind.value if kind else 'missing'}: the kubelet refuses its configuration"
            line = kind.source.line if kind else None
            yield failed(
                "config.yaml kind", text, value=kind.value if kind else None, line=line,
                expected="KubeletConfiguration", hint="write `kind: KubeletConfiguration`", **more,
            )  # fmt: skip
        else:
            yield passed("config.yaml kind", kind.value, value=kind.value, line=kind.source.line, **more)
        if group is None or not re.fullmatch(r"kubelet\.config\.k8s\.io/v1(?:beta1|alpha1)?", group.value):
            text = (
                f"apiVersion is {group.value if group else 'missing'}: the kubelet refuses its configuration"
            )
            line = group.source.line if group else None
            yield failed(
                "config.yaml apiVersion", text, value=group.value if group else None, line=line,
                expected="kubelet.config.k8s.io/v1beta1",
                hint="write `apiVersion: kubelet.config.k8s.io/v1beta1`", **more,
            )  # fmt: skip
        yield from self._types(found, more)
        for key, line in found.twice:
            text = f"{key} stands twice: what counts is up to the kubelet's release"
            yield failed(
                f"config.yaml {key}", text, value="twice", expected="once", line=line,
                severity=Severity.RECOMMENDED, hint=f"remove one of the lines `{key}:`", **more,
            )  # fmt: skip

    def _types(self, found: kubelet.Config, more: dict[str, Any]) -> Iterator[Finding]:
        for key, value in found.values.items():
            if key in BOOLEANS:
                # YAML 1.1, which the kubelet's reader takes, has yes, no, on and off as well.
                fits = value.value.lower() in ("true", "false", "yes", "no", "on", "off", "null", "~")
                wanted = "true or false"
            elif key in NUMBERS:
                fits = re.fullmatch(r"[+-]?[0-9_]+|0x[0-9a-fA-F]+|null|~", value.value) is not None
                wanted = "a number"
            else:
                continue
            line = value.source.line or None
            if fits and not value.quoted:
                yield passed(f"config.yaml {key}", value.value, value=value.value, line=line, **more)
                continue
            text = f"{'a text' if value.quoted else value.value} where {wanted} belongs: the kubelet does not start"
            commands = []
            if value.quoted and fits and line:
                commands = [f'sed -i "{line}s/[\\"\']//g" {more["path"]}', "systemctl restart kubelet"]
            yield failed(
                f"config.yaml {key}", text, value=value.value, expected=wanted, line=line,
                commands=commands, hint=f"write {wanted}, without quotes", **more,
            )  # fmt: skip


FLAGS = (
    *(
        (name, "1.24", "dockershim, which it was for, is gone")
        for name in (
            "network-plugin", "network-plugin-mtu", "cni-conf-dir", "cni-bin-dir", "cni-cache-dir", "docker-endpoint",
            "image-pull-progress-deadline", "experimental-dockershim-root-directory",
        )
    ),
    ("container-runtime", "1.27", "`remote` is the only one left"),
    ("keep-terminated-pod-volumes", "1.31", "it had done nothing for long"),
    ("pod-infra-container-image", "1.35", "the runtime's sandbox image counts"),
    ("allow-privileged", "1.15", "pods may be privileged as admission says"),
    ("cadvisor-port", "1.12", "the kubelet serves the metrics itself"),
)  # fmt: skip
"""Flag, the release that no longer knows it, and why. Source: the change logs of Kubernetes."""


class KubernetesKubeletFlags(Check):
    """The kubelet knows the flags that it is given.

    *Why*: a flag that a release dropped keeps the kubelet from starting after the upgrade: `failed to parse
    kubelet flag: unknown flag: --network-plugin`.

    *Needs*: the kubelet's version, and the flags of its unit, /var/lib/kubelet/kubeadm-flags.env and
    /etc/default/kubelet or /etc/sysconfig/kubelet.

    *Fix*: take the flag out of the file.
    """

    id = "kubernetes.kubelet_flags"
    severity = Severity.REQUIRED
    references = (
        f"{CHANGELOG}/CHANGELOG-1.24.md",
        f"{CHANGELOG}/CHANGELOG-1.27.md",
        f"{CHANGELOG}/CHANGELOG-1.35.md",
        "https://github.com/kubernetes-sigs/kubespray/issues/8924",
    )
    needed: str = "auto"
    """Whether a kubelet is to run here: `yes`, `no`, or `auto` for whether one is installed."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        relevant(host, self.needed)
        given = kubelet.flags(host)
        if not given:
            raise NotApplicable("the kubelet is given no flags")
        release = kubelet.release(host)
        if release is None:
            raise Unavailable("the kubelet's version is not known")
        gone = {name: (since, why) for name, since, why in FLAGS if release >= Version(since)}
        for name, flag in given.items():
            path, line = flag.source.path or None, flag.source.line or None
            more: dict[str, Any] = {"value": flag.value, "path": path, "line": line, "when": "boot"}
            if name not in gone:
                yield passed(f"kubelet --{name}", flag.value, **more)
                continue
            since, why = gone[name]
            commands = []
            if path:
                commands = [
                    f"sed -i -E 's/ *--{name}([= ][^\" ]*)?//' {path}",
                    "systemctl daemon-reload && systemctl restart kubelet",
                ]
            text = f"gone since {since} ({why}): kubelet {release} does not start"
            yield failed(f"kubelet --{name}", text, expected="absent", commands=commands, **more)


class KubernetesNodeName(Check):
    """The node's name is one that the API server takes.

    *Why*: the kubelet registers the node under the host's name in small letters. One with an underscore or at its
    limits is refused: kubeadm stops at once, a kubelet of k3s or another asks again and again.

    *Needs*: letters, digits, `-` and `.`, a letter or digit at both ends, 253 characters at most (RFC 1123);
    or --hostname-override.

    *Fix*: `hostnamectl set-hostname`, or --hostname-override.
    """

    id = "kubernetes.node_name"
    severity = Severity.REQUIRED
    references = (
        "https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#dns-subdomain-names",
        "https://github.com/kubernetes/component-helpers/blob/master/node/util/hostname.go",
    )
    needed: str = "auto"
    """Whether a kubelet is to run here: `yes`, `no`, or `auto` for whether one is installed."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        relevant(host, self.needed)
        if kubelet.flags(host).get("hostname-override"):
            raise NotApplicable("the kubelet is given another name")
        silent = True
        for path, when in (("/proc/sys/kernel/hostname", "now"), ("/etc/hostname", "boot")):
            if when == "now" and host.kind != "live":
                continue
            lines = [each.strip() for each in (text(host, path) or "").splitlines()]
            name = next((each for each in lines if each and not each.startswith("#")), "")
            if not name:
                continue
            silent = False
            part = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
            more: dict[str, Any] = {
                "value": name,
                "path": path,
                "when": when,
                "expected": "letters, digits, -",
            }
            if len(name) <= 253 and re.fullmatch(rf"{part}(\.{part})*", name.lower()):
                yield passed("host name", f"{name} is a name for a node", **more)
                continue
            better = re.sub(r"[^a-z0-9.-]+", "-", name.lower()).strip("-.")
            yield failed(
                "host name", f"{name} is no name for a node: the API server refuses it",
                commands=[f"hostnamectl set-hostname {better}"], **more,
            )  # fmt: skip
        if silent:
            raise NotApplicable("the host has no name of its own yet")


class KubernetesKernelLog(Check):
    """The kubelet can read the kernel's log.

    *Why*: the kubelet watches /dev/kmsg for processes that the kernel killed, and does not start without it. A guest of
    LXC or LXD has no such device unless it is given one.

    *Needs*: /dev/kmsg, where the host is itself a container.

    *Fix*: `lxc.mount.entry: /dev/kmsg dev/kmsg none defaults,bind,create=file` in the guest's configuration.
    """

    id = "kubernetes.kernel_log"
    severity = Severity.REQUIRED
    references = (
        "https://github.com/kubernetes/kubernetes/blob/master/pkg/kubelet/oom/oom_watcher_linux.go",
        "https://github.com/k0sproject/k0s/issues/744",
        "https://github.com/canonical/lxd/issues/6013",
    )
    needed: str = "auto"
    """Whether a kubelet is to run here: `yes`, `no`, or `auto` for whether one is installed."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        relevant(host, self.needed)
        inside = os_facts.container(host) if host.kind == "live" else None
        if inside is None:
            raise NotApplicable("a machine of its own has /dev/kmsg")
        more: dict[str, Any] = {"path": "/dev/kmsg", "expected": "the device of the outer host"}
        if host.exists("/dev/kmsg"):
            yield passed("/dev/kmsg", "is there", value="there", **more)
            return
        yield failed(
            "/dev/kmsg", f"is not there in this {inside[0]} guest: the kubelet does not start", value="missing",
            hint="on the outer host: lxc.mount.entry: /dev/kmsg dev/kmsg none defaults,bind,create=file", **more,
        )  # fmt: skip


RUNTIMES = (
    ("containerd", ("containerd",), "containerd"),
    ("crio", ("crio",), "CRI-O"),
    ("cri-dockerd", ("cri-dockerd",), "cri-dockerd"),
)
"""What a runtime's socket has in its name, the programs, and what it is called."""


class KubernetesRuntime(Check):
    """The kubelet finds a container runtime.

    *Why*: from 1.24 on the kubelet does not speak to dockerd. With docker as the only runtime it needs
    cri-dockerd, or containerd with its CRI on (see containerd.cri).

    *Needs*: the kubelet's version; the program behind containerRuntimeEndpoint, or any runtime that has the CRI.
    A kubelet from 1.26 on wants CRI v1, which containerd has since 1.6; one to come no longer takes containerd 1.x,
    which from 1.36 on is a recommendation here.

    *Fix*: install the runtime that the endpoint names, or name the one that is there.
    """

    id = "kubernetes.runtime"
    severity = Severity.REQUIRED
    references = (
        "https://kubernetes.io/docs/setup/production-environment/container-runtimes/",
        "https://kubernetes.io/blog/2022/02/17/dockershim-faq/",
        "https://kubernetes.io/blog/2022/11/18/upcoming-changes-in-kubernetes-1-26/#cri-api-removal",
        "https://kubernetes.io/blog/2025/09/12/kubernetes-v1-34-cri-cgroup-driver-lookup-now-ga/",
    )
    needed: str = "auto"
    """Whether a kubelet is to run here: `yes`, `no`, or `auto` for whether one is installed."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        relevant(host, self.needed)
        release = kubelet.release(host)
        endpoint = kubelet.value(host, "containerRuntimeEndpoint", "container-runtime-endpoint")
        there = engine.installed(host)
        have = [
            name for socket, programs, name in RUNTIMES
            if socket in there or any(engine.program(host, each) for each in programs) or _package(host, socket)
        ]  # fmt: skip
        more: dict[str, Any] = {"when": "boot", "expected": "a runtime with the CRI"}
        if endpoint is not None and endpoint.value:
            yield self._endpoint(endpoint, have, release, more)
            if "containerd" in endpoint.value and "k3s" not in endpoint.value:
                yield from self._cri(host, release)
            return
        if release is not None and release < Version("1.24"):
            raise NotApplicable(f"kubelet {release} can speak to dockerd itself")
        if have:
            yield passed("runtime", f"{', '.join(have)} is there", value=", ".join(have), **more)
            if have == ["containerd"]:
                yield from self._cri(host, release)
        elif "docker" in there and release is not None:
            yield failed(
                "runtime",
                f"kubelet {release} does not speak to dockerd, and neither cri-dockerd nor containerd is there",
                value="docker",
                hint="install cri-dockerd, or use containerd with its CRI plugin",
                **more,
            )
        else:
            raise NotApplicable("no container runtime is installed yet")

    def _cri(self, host: Host, release: Version | None) -> Iterator[Finding]:
        """Judge whether this kubelet and this containerd speak the same CRI."""
        have = version(host, "containerd")
        if have is None or release is None:
            return
        wanted = "2.0" if release >= Version("1.36") else "1.6" if release >= Version("1.26") else "0"
        more: dict[str, Any] = {"value": have, "expected": f">= {wanted}", "when": "boot"}
        hint = f"upgrade containerd to {wanted} or newer"
        if have >= Version(wanted):
            yield passed("containerd CRI", f"{have} with kubelet {release}", **more)
        elif have < Version("1.6"):
            text = (
                f"containerd {have} has no CRI v1, and kubelet {release} speaks no other: it does not start"
            )
            yield failed("containerd CRI", text, hint=hint, **more)
        else:
            text = f"containerd {have} is of a series that kubelets after {release} will refuse"
            yield failed("containerd CRI", text, hint=hint, severity=Severity.RECOMMENDED, **more)

    def _endpoint(
        self, endpoint: kubelet.Value, have: list[str], release: Version | None, more: dict[str, Any]
    ) -> Finding:
        socket = endpoint.value
        more = {
            **more,
            "value": socket,
            "path": endpoint.source.path or None,
            "line": endpoint.source.line or None,
        }
        subject = "kubelet containerRuntimeEndpoint"
        if "dockershim" in socket and release is not None and release >= Version("1.24"):
            return failed(
                subject,
                f"{socket}: kubelet {release} has no dockershim any more, and finds no runtime",
                hint="name cri-dockerd's socket (unix:///var/run/cri-dockerd.sock) or containerd's",
                **more,
            )
        if "docker" in socket and "containerd" in socket:
            return failed(
                subject,
                f"{socket} is of the containerd inside docker, whose CRI is off: the kubelet finds no runtime",
                hint="install containerd beside it, and name unix:///run/containerd/containerd.sock",
                **more,
            )
        # A socket below k3s, rke2 or k0s belongs to a runtime that comes inside another program.
        if re.search(r"k3s|rke2|k0s|microk8s", socket):
            return passed(subject, f"{socket} comes with the distribution", **more)
        for word, _programs, name in RUNTIMES:
            if word in socket and name not in have:
                return failed(
                    subject,
                    f"{socket} is {name}'s, which is not installed: the kubelet finds no runtime",
                    hint=f"install {name}, or name the socket of the runtime that is there",
                    **more,
                )
        return passed(subject, f"{socket}", **more)


class KubernetesKubeletAccess(Check):
    """Nobody without a name can ask the kubelet.

    *Why*: who may ask the kubelet without saying who it is can run commands in every pod of the node. kubeadm
    forbids it; hand-made configurations often do not.

    *Needs*: authentication.anonymous.enabled false, authorization.mode not AlwaysAllow, readOnlyPort 0. Only what
    is set is judged: a file without the keys is safe by the kubelet's defaults.

    *Fix*: remove the line and restart the kubelet.
    """

    id = "kubernetes.kubelet_access"
    severity = Severity.RECOMMENDED
    references = (
        "https://kubernetes.io/docs/reference/access-authn-authz/kubelet-authn-authz/",
        "https://www.cisecurity.org/benchmark/kubernetes",
    )
    needed: str = "auto"
    """Whether a kubelet is to run here: `yes`, `no`, or `auto` for whether one is installed."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        relevant(host, self.needed)
        if kubelet.config(host) is None:
            raise NotApplicable(f"there is no {kubelet.config_file(host)} yet")
        anonymous = kubelet.value(host, "authentication.anonymous.enabled", "anonymous-auth")
        mode = kubelet.value(host, "authorization.mode", "authorization-mode")
        port = kubelet.value(host, "readOnlyPort", "read-only-port")
        allowed = mode is not None and mode.value == "AlwaysAllow"
        # With another mode the API server is asked what nobody may do, and says: nothing.
        spared = None if allowed else Severity.INFO
        nobody = (
            "anybody may do everything" if allowed else "the API server alone keeps nobody from everything"
        )
        yield self._judge(
            "authentication.anonymous.enabled", anonymous, kubelet.truth(anonymous, False), "false", nobody, spared
        )  # fmt: skip
        yield self._judge(
            "authorization.mode", mode, allowed, "Webhook", "whoever is let in may do everything", None
        )
        open_ = port is not None and port.value != "0"
        yield self._judge("readOnlyPort", port, open_, "0", "anybody can list the node's pods", None)

    def _judge(
        self,
        key: str,
        found: kubelet.Value | None,
        bad: bool,
        wanted: str,
        loss: str,
        severity: Severity | None,
    ) -> Finding:
        more: dict[str, Any] = {"expected": wanted, "when": "boot"}
        if found is None:
            return passed(f"kubelet {key}", "not set, which is safe", **more)
        more.update(value=found.value, path=found.source.path or None, line=found.source.line or None)
        if not bad:
            return passed(f"kubelet {key}", found.value, **more)
        hint = f"set it to {wanted}, and restart the kubelet"
        return failed(f"kubelet {key}", f"{found.value}: {loss}", severity=severity, hint=hint, **more)
