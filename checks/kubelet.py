"""The kubelet: its configuration, its flags, and what it asks of the kernel."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hostcheck._typing import Any
from hostcheck.api import Finding, Host, NotApplicable, Severity, Unavailable, Version, failed, passed
from hostcheck.facts import kubelet
from hostcheck.facts import os as os_facts

from ._kubernetes import NodeCheck
from ._tunables import tunables

CHANGELOG = "https://github.com/kubernetes/kubernetes/blob/master/CHANGELOG"


class KubeletKernelDefaults(NodeCheck):
    """The kernel's settings are those that a kubelet wants which may not change them.

    *Why*: with protectKernelDefaults the kubelet changes no sysctl, and exits where one differs:
    `invalid kernel flag: vm/overcommit_memory, expected value: 1, actual value: 0`.

    *Needs*: six sysctls, now and after the next boot, where protectKernelDefaults is true.

    *Fix*: set them in /etc/sysctl.d, or leave protectKernelDefaults false.
    """

    id = "kubelet.kernel_defaults"
    aliases = ("kubernetes.kernel_defaults",)
    severity = Severity.REQUIRED
    references = (
        "https://github.com/kubernetes/kubernetes/blob/master/pkg/kubelet/cm/container_manager_linux.go",
        "https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        self.need_node(host)
        protected = kubelet.value(host, "protectKernelDefaults", "protect-kernel-defaults")
        if not kubelet.truth(protected, False):
            raise NotApplicable("the kubelet may set the sysctls itself (protectKernelDefaults is false)")
        for key, value, wanted, when, path, line in tunables(host):
            yield self._judge(key, value, wanted, when, path, line)

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


class KubeletConfig(NodeCheck):
    """The kubelet can read its configuration.

    *Why*: a file that is no YAML, is of another kind, or has a text where a number or true and false belong
    keeps the kubelet from starting: `failed to decode`.

    *Needs*: no tabs before a key; apiVersion kubelet.config.k8s.io/v1beta1 or v1 and kind KubeletConfiguration;
    true or false, and numbers, without quotes. A key that stands twice counts once, which is worth knowing.
    Before `kubeadm init` or `join` there is no such file.

    *Fix*: mend the line and restart the kubelet.
    """

    id = "kubelet.config"
    aliases = ("kubernetes.kubelet_config",)
    severity = Severity.REQUIRED
    references = (
        "https://kubernetes.io/docs/tasks/administer-cluster/kubelet-config-file/",
        "https://github.com/kubernetes/kubernetes/blob/master/pkg/kubelet/kubeletconfig/util/codec/codec.go",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        self.need_node(host)
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


class KubeletFlags(NodeCheck):
    """The kubelet knows the flags that it is given.

    *Why*: a flag that a release dropped keeps the kubelet from starting after the upgrade: `failed to parse
    kubelet flag: unknown flag: --network-plugin`.

    *Needs*: the kubelet's version, and the flags of its unit, /var/lib/kubelet/kubeadm-flags.env and
    /etc/default/kubelet or /etc/sysconfig/kubelet.

    *Fix*: take the flag out of the file.
    """

    id = "kubelet.flags"
    aliases = ("kubernetes.kubelet_flags",)
    severity = Severity.REQUIRED
    references = (
        f"{CHANGELOG}/CHANGELOG-1.24.md",
        f"{CHANGELOG}/CHANGELOG-1.27.md",
        f"{CHANGELOG}/CHANGELOG-1.35.md",
        "https://github.com/kubernetes-sigs/kubespray/issues/8924",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        self.need_node(host)
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


class KubeletKernelLog(NodeCheck):
    """The kubelet can read the kernel's log.

    *Why*: the kubelet watches /dev/kmsg for processes that the kernel killed, and does not start without it. A guest of
    LXC or LXD has no such device unless it is given one.

    *Needs*: /dev/kmsg, where the host is itself a container.

    *Fix*: `lxc.mount.entry: /dev/kmsg dev/kmsg none defaults,bind,create=file` in the guest's configuration.
    """

    id = "kubelet.kernel_log"
    aliases = ("kubernetes.kernel_log",)
    severity = Severity.REQUIRED
    references = (
        "https://github.com/kubernetes/kubernetes/blob/master/pkg/kubelet/oom/oom_watcher_linux.go",
        "https://github.com/k0sproject/k0s/issues/744",
        "https://github.com/canonical/lxd/issues/6013",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        self.need_node(host)
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


class KubeletAccess(NodeCheck):
    """Nobody without a name can ask the kubelet.

    *Why*: who may ask the kubelet without saying who it is can run commands in every pod of the node. kubeadm
    forbids it; hand-made configurations often do not.

    *Needs*: authentication.anonymous.enabled false, authorization.mode not AlwaysAllow, readOnlyPort 0. Only what
    is set is judged: a file without the keys is safe by the kubelet's defaults.

    *Fix*: remove the line and restart the kubelet.
    """

    id = "kubelet.access"
    aliases = ("kubernetes.kubelet_access",)
    severity = Severity.RECOMMENDED
    references = (
        "https://kubernetes.io/docs/reference/access-authn-authz/kubelet-authn-authz/",
        "https://www.cisecurity.org/benchmark/kubernetes",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        self.need_node(host)
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
