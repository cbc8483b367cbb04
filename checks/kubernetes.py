"""A Kubernetes node: the programs, the name and the container runtime without which kubeadm and the kubelet refuse."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hostcheck._typing import Any
from hostcheck.api import Finding, Host, NotApplicable, Severity, Unavailable, Version, failed, passed
from hostcheck.facts import engine, kubelet, packages, systemd
from hostcheck.facts.files import text, which
from hostcheck.facts.versions import version

from ._kubernetes import NodeCheck

PREFLIGHT = "https://github.com/kubernetes/kubernetes/blob/master/cmd/kubeadm/app/preflight/checks_linux.go"

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


class KubernetesTools(NodeCheck):
    """The programs are there without which kubeadm refuses.

    *Why*: `kubeadm init` and `kubeadm join` stop where a program is missing that they insist on.

    *Needs*: ip, mount and nsenter in the path; conntrack for kubeadm 1.18 to 1.31 (kube-proxy calls it no more
    since). ebtables, ethtool, socat, tc and crictl only make kubeadm warn, and are not asked for.

    *Fix*: install the package.
    """

    id = "kubernetes.tools"
    severity = Severity.REQUIRED
    references = (PREFLIGHT, "https://github.com/kubernetes/kubernetes/pull/126952")

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        self.need_node(host)
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
            elif (since or seen) and not packages.known(host, *brought_by):
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


GIVEN_NAMES = frozenset(
    ("localhost", "raspberrypi", "ubuntu", "debian", "fedora", "archlinux", "alarm", "orangepi", "rock64", "odroid",
     "dietpi", "openwrt", "rockylinux", "almalinux", "centos", "opensuse", "odroidxu4", "bananapi", "rpi")
)  # fmt: skip
"""Names that images and installers give to every machine."""


class KubernetesNodeName(NodeCheck):
    """The node's name is one that the API server takes.

    *Why*: the kubelet registers the node under the host's name in small letters. One with an underscore or at its
    limits is refused: kubeadm stops at once, a kubelet of k3s or another asks again and again.

    *Needs*: letters, digits, `-` and `.`, a letter or digit at both ends, 253 characters at most (RFC 1123);
    or --hostname-override. With k3s and RKE2 a name that not every machine of the kind has: the second of two nodes of
    one name is turned away, `Node password rejected, duplicate hostname`.

    *Fix*: `hostnamectl set-hostname`, or --hostname-override.
    """

    id = "kubernetes.node_name"
    severity = Severity.REQUIRED
    references = (
        "https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#dns-subdomain-names",
        "https://github.com/kubernetes/component-helpers/blob/master/node/util/hostname.go",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if not kubelet.is_node(host):
            self.need_node(host)
        ours = any(engine.program(host, each) for each in ("k3s", "rke2"))
        if kubelet.flags(host).get("hostname-override") or {"node-name", "with-node-id"} & set(
            kubelet.k3s_options(host)
        ):
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
                yield self._known(name, ours, more)
                continue
            better = re.sub(r"[^a-z0-9.-]+", "-", name.lower()).strip("-.")
            yield failed(
                "host name", f"{name} is no name for a node: the API server refuses it",
                commands=[f"hostnamectl set-hostname {better}"], **more,
            )  # fmt: skip
        if silent:
            raise NotApplicable("the host has no name of its own yet")

    def _known(self, name: str, ours: bool, more: dict[str, Any]) -> Finding:
        """Judge a name that may be a node's."""
        if ours and name.lower().partition(".")[0] in GIVEN_NAMES:
            return failed(
                "host name",
                f"{name} is what an image or an installer calls every machine: of two such nodes k3s takes one only",
                severity=Severity.RECOMMENDED,
                hint="hostnamectl set-hostname to one of its own, or node-name (with-node-id) in k3s's configuration",
                **more,
            )
        return passed("host name", f"{name} is a name for a node", **more)


RUNTIMES = (
    ("containerd", ("containerd",), "containerd"),
    ("crio", ("crio",), "CRI-O"),
    ("cri-dockerd", ("cri-dockerd",), "cri-dockerd"),
)
"""What a runtime's socket has in its name, the programs, and what it is called."""


SOCKETS = ("/run/containerd/containerd.sock", "/run/crio/crio.sock", "/run/cri-dockerd.sock")
"""Where kubeadm looks for a runtime that listens (constants_unix.go)."""


class KubernetesRuntime(NodeCheck):
    """The kubelet finds a container runtime.

    *Why*: from 1.24 on the kubelet does not speak to dockerd. With docker as the only runtime it needs
    cri-dockerd, or containerd with its CRI on (see containerd.cri).

    *Needs*: the kubelet's version; the program behind containerRuntimeEndpoint, or any runtime that has the CRI.
    A kubelet from 1.26 on wants CRI v1, which containerd has since 1.6; one to come no longer takes containerd 1.x,
    which from 1.36 on is a recommendation here. The endpoint itself for kubelets 1.24 to 1.26, which have none of
    their own. kubeadm chooses none of two that listen.

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

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        self.need_node(host)
        release = kubelet.release(host)
        endpoint = kubelet.value(host, "containerRuntimeEndpoint", "container-runtime-endpoint")
        there = engine.installed(host)
        have = [
            name for socket, programs, name in RUNTIMES
            if socket in there or any(engine.program(host, each) for each in programs) or packages.known(host, socket)
        ]  # fmt: skip
        more: dict[str, Any] = {"when": "boot", "expected": "a runtime with the CRI"}
        if endpoint is not None and endpoint.value:
            yield self._endpoint(endpoint, have, release, more)
            if "containerd" in endpoint.value and "k3s" not in endpoint.value:
                yield from self._cri(host, release)
            return
        if release is not None and release < Version("1.24"):
            raise NotApplicable(f"kubelet {release} can speak to dockerd itself")
        # Only where its command line is known, and not only files beside it.
        started = bool(systemd.exec_start(host, "kubelet.service")) and host.exists(kubelet.CONFIG)
        if started and release is not None and release < Version("1.27"):
            yield failed(
                "kubelet containerRuntimeEndpoint",
                f"is not set, and kubelet {release} knows none by itself: it does not start",
                value="not set",
                path=kubelet.CONFIG,
                hint="name it in KUBELET_EXTRA_ARGS: --container-runtime-endpoint=unix:///run/containerd/containerd.sock",
                **more,
            )
        yield from self._two(host)
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

    def _two(self, host: Host) -> Iterator[Finding]:
        """Say where kubeadm would have to choose (detectCRISocketImpl)."""
        if host.kind != "live" or host.exists(kubelet.CONFIG) or not kubelet.release(host, "kubeadm"):
            return
        found = [path for path in SOCKETS if host.exists(path)]
        if len(found) > 1:
            yield failed(
                "sockets",
                f"{' and '.join(found)} are there: kubeadm asks which to use, and refuses till it is told",
                value=", ".join(found),
                expected="one, or criSocket in kubeadm's configuration",
                severity=Severity.RECOMMENDED,
                when="now",
                hint=f"kubeadm init --cri-socket unix://{found[0]}",
            )

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
