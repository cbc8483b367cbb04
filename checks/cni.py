"""Plugins that make the networks of pods and of podman."""

from __future__ import annotations

import json
from collections.abc import Iterator

from hostcheck._typing import Any
from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, failed, passed
from hostcheck.facts import containerd, engine, kubelet, podman
from hostcheck.facts.files import names, text, which

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
        files = [name for name in names(host, CONFIGS) if name.endswith((".conf", ".conflist", ".json"))]
        if not files:
            raise NotApplicable(f"no network is described in {CONFIGS}")
        places = tuple(dict.fromkeys(folders(host)))
        seen: set[str] = set()
        node = "kubelet" in engine.installed(host) or host.exists(kubelet.CONFIG)
        for name in files[:32]:
            path = f"{CONFIGS}/{name}"
            try:
                wanted = types(json.loads(text(host, path) or ""))
            except ValueError:
                yield failed(name, f"{path} is no JSON: its network is not there", value="no JSON", path=path)
                continue
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
