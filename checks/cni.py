"""Plugins that make the networks of pods and of podman."""

from __future__ import annotations

import json
from collections.abc import Iterator

from hostcheck._typing import Any
from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, failed, passed
from hostcheck.facts import containerd, engine, kubelet, network, podman, sysctl, systemd
from hostcheck.facts.files import merged_conf, names, text, which

CONFIGS = "/etc/cni/net.d"

SPARED = {"dnsname": "containers do not find each other by name", "tuning": "a setting is not made"}
"""Plugins without which podman goes on, and what is lost."""


def folders(host: Host) -> tuple[str, ...]:
    """Return the folders of plugins, containerd's own before the usual ones."""
    own = containerd.known_cri(host).get("cni")
    wanted = own if isinstance(own, dict) else {}
    named = wanted.get("bin_dirs") or [wanted.get("bin_dir")]
    return (*(each for each in named if isinstance(each, str)), *podman.CNI_FOLDERS)


def types(document: Any) -> list[str]:
    """Return the plugins of a network's file.

    >>> types({"plugins": [{"type": "bridge"}, {"type": "portmap"}]})
    ['bridge', 'portmap']
    """
    if not isinstance(document, dict):
        return []
    listed = document.get("plugins", [document])
    listed = listed if isinstance(listed, list) else []
    return [each["type"] for each in listed if isinstance(each, dict) and isinstance(each.get("type"), str)]


def is_node(host: Host) -> bool:
    """Return whether pods are to run here, whose networks the files of `CONFIGS` describe."""
    there = engine.installed(host)
    return "kubelet" in there or "crio" in there or host.exists(kubelet.CONFIG)


def configs(host: Host) -> list[tuple[str, Any]]:
    """Return the networks' files and what they say, in the order in which runtimes look; None for what is no JSON."""
    found: list[tuple[str, Any]] = []
    for name in sorted(names(host, CONFIGS))[:32]:
        if name.endswith((".conf", ".conflist", ".json")):
            try:
                found.append((name, json.loads(text(host, f"{CONFIGS}/{name}") or "")))
            except (ValueError, RecursionError):
                found.append((name, None))
    return found


class CniPlugins(Check):
    """Every plugin that a network's file names is there.

    *Why*: a file in /etc/cni/net.d names the programs that set up a network. One that is not there stops every pod
    or container of that network: `failed to find plugin "loopback" in path [/opt/cni/bin]`. The plugin dnsname
    starts dnsmasq.

    *Needs*: each plugin in one of the folders of plugins; loopback too, where containerd makes pods' networks.

    *Fix*: install containernetworking-plugins (kubernetes-cni), podman-plugins or podman-dnsname.
    """

    id = "cni.plugins"
    severity = Severity.REQUIRED
    references = (
        "https://www.cni.dev/docs/spec/",
        "https://github.com/containerd/go-cni/blob/v1.1.9/opts.go",
        "https://github.com/containers/dnsname",
        "https://github.com/awslabs/amazon-eks-ami/pull/134",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        files = configs(host)
        if not files:
            raise NotApplicable(f"no network is described in {CONFIGS}")
        places = tuple(dict.fromkeys(folders(host)))
        seen: set[str] = set()
        node = is_node(host)
        for name, document in files:
            path = f"{CONFIGS}/{name}"
            if document is None:
                yield failed(name, f"{path} is no JSON: its network is not there", value="no JSON", path=path)
                continue
            wanted = types(document)
            ours = "podman" in name or "podman" in engine.installed(host)
            if ours and not node and podman.backend(host, podman.version(host)) == "netavark":
                # Debian's package brings the file along, and podman does not look at it.
                yield passed(name, "podman uses netavark and no plugins", value="not used", path=path)
                continue
            if wanted and not ours and node:
                wanted.append("loopback")
            for kind in wanted:
                if kind not in seen:
                    seen.add(kind)
                    yield self._finding(host, kind, path, places)

    def _finding(self, host: Host, kind: str, path: str, places: tuple[str, ...]) -> Finding:
        more = {"expected": "installed", "path": path}
        if which(host, kind, places) is None:
            return failed(
                kind,
                f"the plugin {kind} is in none of {', '.join(places[:3])}: "
                + SPARED.get(kind, "no pod or container of this network starts"),
                value="missing",
                severity=Severity.RECOMMENDED if kind in SPARED else None,
                hint="install containernetworking-plugins or kubernetes-cni"
                + (
                    ", or podman-plugins (Debian: golang-github-containernetworking-plugin-dnsname)"
                    * (kind == "dnsname")
                ),
                **more,
            )
        if kind == "dnsname" and which(host, "dnsmasq") is None:
            return failed(
                kind,
                "the plugin dnsname starts dnsmasq, which is not there: no container of this network starts",
                value="no dnsmasq",
                hint="install dnsmasq, or take dnsname out of the file",
                **more,
            )
        return passed(kind, "the plugin is there", value="installed", **more)


PACKAGED = {"podman": "podman", "crio": "CRI-O", "crio-bridge": "CRI-O", "containerd-net": "containerd"}
"""Names of networks that come with a package and are no cluster's, and whose each is."""

AGENTS = {
    "calico": "/var/lib/calico/nodename",
    "flannel": "/run/flannel/subnet.env",
    "cilium-cni": "/run/cilium",
}
"""Plugins that need a program of the cluster on this node, and what that program writes."""


class CniFirst(Check):
    """The network file that comes first is the cluster's.

    *Why*: of the files in /etc/cni/net.d a runtime takes the first by name. One that podman's or CRI-O's package has
    brought, or that a plugin of before has left, gives pods addresses that nobody else in the cluster knows, or none:
    `stat /var/lib/calico/nodename: no such file or directory`.

    *Needs*: on a node, as first file one that is not podman's nor, beside another, of a plugin that does not run here;
    and no second file of the same network.

    *Fix*: remove the file, and restart the runtime; give podman a folder of its own (`network_config_dir`).
    """

    id = "cni.first"
    severity = Severity.REQUIRED
    references = (
        "https://github.com/containerd/go-cni/blob/v1.1.9/opts.go",
        "https://github.com/kubernetes/kubernetes/issues/107687",
        "https://github.com/projectcalico/calico/issues/1388",
        "https://github.com/kubernetes/kubeadm/issues/1259",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        files = [(name, each) for name, each in configs(host) if isinstance(each, dict)]
        if not files or not is_node(host):
            raise NotApplicable(f"no network of pods is described in {CONFIGS}")
        name, document = files[0]
        path = f"{CONFIGS}/{name}"
        own = str(document.get("name", ""))
        said, severity = self._problem(host, own, types(document)[:1], files[1:])
        if not said:
            yield passed(name, "is the cluster's", value=own, path=path, when="boot")
            return
        yield failed(
            name,
            f"comes first, and {said}",
            value=own,
            expected="the cluster's network",
            path=path,
            when="boot",
            severity=severity,
            commands=[f"mv {path} {path}.away"],
        )

    def _problem(
        self, host: Host, own: str, kind: list[str], others: list[tuple[str, Any]]
    ) -> tuple[str, Severity | None]:
        """Return what is wrong with the first file, and how much it matters; nothing where it is the right one."""
        whose = PACKAGED.get(own, "")
        if whose:
            # Alone, a bridge that came with the runtime may be meant for a cluster of one node.
            severity = None if others or whose == "podman" else Severity.INFO
            return f"is {whose}'s own: pods get addresses that the cluster does not know", severity
        same = next((name for name, each in others if each.get("name") == own), "")
        if same:
            return f"{same} describes the same network: what it says is not looked at", Severity.RECOMMENDED
        mark = AGENTS.get(kind[0]) if kind and host.kind == "live" else None
        rivals = [each for _, each in others if each.get("name") not in PACKAGED and types(each)[:1] != kind]
        if mark and rivals and not host.exists(mark):
            return f"is left over of {kind[0]}, which does not run here: no pod gets an address", None
        return "", None


RULED = {"cilium-cni": "Cilium", "aws-cni": "the AWS plugin", "coil": "Coil"}
"""Plugins that send pods' packets by routing rules of their own."""

NETWORKD = tuple(f"{top}/systemd/networkd.conf.d" for top in ("/etc", "/run", "/usr/lib"))

RULES = "ManageForeignRoutingPolicyRules"


class CniHost(Check):
    """The host leaves what the network plugin sets alone.

    *Why*: a plugin sets up interfaces, routing rules and filters, and others take them for their own. From systemd 248
    on networkd removes rules that it does not know whenever it starts or a link changes; from 245 on systemd gives each
    new interface the rp_filter of its sysctl files, and Cilium then loses replies; NetworkManager takes up the tunnels
    of Calico and Canal.

    *Needs*: where the plugin's file is in /etc/cni/net.d: `ManageForeignRoutingPolicyRules=no` where networkd is
    enabled, rp_filter 0 for lxc* (Cilium from 1.12 on writes that itself), `unmanaged-devices` with cali* where
    NetworkManager is enabled.

    *Fix*: the file that the finding names.
    """

    id = "cni.host"
    severity = Severity.REQUIRED
    references = (
        "https://github.com/cilium/cilium/issues/10645",
        "https://github.com/flatcar/Flatcar/issues/620",
        "https://github.com/aws/amazon-vpc-cni-k8s/issues/1600",
        "https://docs.tigera.io/calico/latest/operations/troubleshoot/troubleshooting#configure-networkmanager",
        "https://docs.rke2.io/known_issues#networkmanager",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        kinds = {kind for _name, document in configs(host) for kind in types(document)}
        silent = True
        for found in (self._networkd(host, kinds), self._filter(host, kinds), self._manager(host, kinds)):
            for finding in found:
                silent = False
                yield finding
        if silent:
            raise NotApplicable("no plugin is set up whose work others take for theirs")

    def _networkd(self, host: Host, kinds: set[str]) -> Iterator[Finding]:
        plugin = next((RULED[kind] for kind in sorted(kinds) if kind in RULED), "")
        number = systemd.version(host) if plugin else None
        if number is None or number < 248 or not network.enabled(host, "systemd-networkd.service"):
            return
        said = ""
        for path in (network.NETWORKD_CONF, *merged_conf(host, NETWORKD)):
            for section in network.parse_ini(text(host, path) or ""):
                said = {key: value for key, value, _ in section.entries}.get(RULES, said)
        more = {"value": said or "yes", "expected": "no", "when": "boot"}
        if said and said.lower() not in network.YES:
            yield passed(f"networkd.conf {RULES}", "networkd leaves rules of others alone", **more)
            return
        yield failed(
            f"networkd.conf {RULES}",
            f"networkd removes the routing rules of {plugin} when it restarts or a link changes: pods are cut off",
            severity=Severity.RECOMMENDED,
            commands=[
                "mkdir -p /etc/systemd/networkd.conf.d",
                f"printf '[Network]\\n{RULES}=no\\nManageForeignRoutes=no\\n' > "
                "/etc/systemd/networkd.conf.d/90-cni.conf",
                "systemctl restart systemd-networkd",
            ],
            **more,
        )

    def _filter(self, host: Host, kinds: set[str]) -> Iterator[Finding]:
        number = systemd.version(host) if "cilium-cni" in kinds else None
        if number is None or number < 245:
            return
        key = "net.ipv4.conf.lxc*.rp_filter"
        found = sysctl.boot_setting(host, key.replace("*", "0"))
        more = {"value": found.value if found else "", "expected": "0", "when": "boot"}
        if found is None or found.value == "0":
            yield passed(key, "Cilium's interfaces take packets by any way", **more)
            return
        yield failed(
            key,
            f"{found.value} by {found.path}: the kernel drops the replies to pods of Cilium",
            path=found.path,
            line=found.line,
            commands=[
                f"echo '{key} = 0' > /etc/sysctl.d/99-zz-cilium.conf",
                "systemctl restart systemd-sysctl",
            ],
            **more,
        )

    def _manager(self, host: Host, kinds: set[str]) -> Iterator[Finding]:
        if "calico" not in kinds or not network.enabled(host, "NetworkManager.service"):
            return
        value = network.unmanaged(host)
        said = value[0] if value else ""
        tunnel = "vxlan.calico" if host.exists("/sys/class/net/vxlan.calico") else "cali"
        wanted = (
            "interface-name:cali*;interface-name:tunl*;interface-name:vxlan.calico;interface-name:flannel*"
        )
        more: dict[str, Any] = {"value": said, "expected": wanted, "when": "boot"}
        if tunnel in said or "vxlan*" in said:
            yield passed("NetworkManager.conf unmanaged-devices", "names Calico's interfaces", **more)
            return
        yield failed(
            "NetworkManager.conf unmanaged-devices",
            f"does not name {tunnel if tunnel != 'cali' else 'cali*'}: NetworkManager takes up interfaces of Calico",
            severity=Severity.RECOMMENDED,
            commands=[
                f"printf '[keyfile]\\nunmanaged-devices={wanted}\\n' > /etc/NetworkManager/conf.d/calico.conf",
                "systemctl reload NetworkManager",
            ],
            **more,
        )
