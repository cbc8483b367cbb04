"""Checks of forwarding and bridged packets, and the incidents of all families of the network."""

from __future__ import annotations

import importlib
import pathlib
from typing import Any

import pytest

from hostcheck import plugins
from hostcheck.finding import Finding, Outcome, Result, Severity
from hostcheck.testing import Content, FakeHost, ask

checks: Any = importlib.import_module("hostcheck.checks.network")

DOCKER: dict[str, Content] = {"/usr/bin/dockerd": b"\x7fELF", "/sbin/init": "-> /lib/systemd/systemd"}


def dpkg(packages: dict[str, str]) -> dict[str, Content]:
    """Return a package database."""
    stanzas = [
        f"Package: {name}\nStatus: install ok installed\nVersion: {version}\n"
        for name, version in packages.items()
    ]
    lists: dict[str, Content] = {
        f"/var/lib/dpkg/info/{name}.list": "/usr/bin/dockerd\n"
        for name in packages
        if name.startswith("docker")
    }
    return {"/var/lib/dpkg/status": "\n".join(stanzas), **lists}


def failures(result: Result) -> list[tuple[str, str, str]]:
    return [(f.subject, f.when, str(result.severity_of(f))) for f in result.failures]


KEY = "net.ipv4.ip_forward"
NOW = "/proc/sys/net/ipv4/ip_forward"
NETWORKD = "/usr/lib/systemd/system/systemd-networkd.service"
NO_FORWARD: dict[str, Content] = {"/etc/docker/daemon.json": '{"ip-forward": false}'}
NFTABLES: dict[str, Content] = {
    "/etc/docker/daemon.json": '{"firewall-backend": "nftables"}',
    **dpkg({"docker-ce": "5:29.0.1-1~debian.12"}),
}

# What is laid down, and the failures: when.
FORWARDING: list[tuple[dict[str, Content], list[str]]] = [
    # Nothing set: dockerd does it itself.
    ({}, []),
    ({NOW: "1\n"}, []),
    ({NOW: "0\n"}, []),
    ({NOW: "1\n", "/etc/sysctl.d/a.conf": f"{KEY}=1\n"}, []),
    ({NOW: "1\n", "/etc/sysctl.d/a.conf": f"{KEY}=2\n"}, []),
    # dockerd runs, and somebody took it back.
    # A pid file that a killed dockerd left.
    ({NOW: "0\n", "/run/docker.pid": "7"}, []),
    # A file says 0, whatever dockerd does.
    ({NOW: "1\n", "/etc/sysctl.d/a.conf": f"{KEY}=0\n"}, ["boot"]),
    ({NOW: "1\n", "/etc/sysctl.d/a.conf": "net.ipv4.conf.all.forwarding=0\n"}, ["boot"]),
    ({NOW: "1\n", "/etc/sysctl.d/a.conf": f"{KEY}=0\n", "/etc/sysctl.d/b.conf": f"{KEY}=1\n"}, []),
    # What the kernel refuses sets nothing.
    ({NOW: "1\n", "/etc/sysctl.d/a.conf": f"{KEY}=no\n"}, []),
    # dockerd does not do it.
    ({NOW: "1\n", **NO_FORWARD}, ["boot"]),
    ({NOW: "0\n", **NO_FORWARD}, ["now", "boot"]),
    ({NOW: "1\n", **NO_FORWARD, "/etc/sysctl.d/a.conf": f"{KEY}=1\n"}, []),
    ({NOW: "1\n", **NFTABLES}, ["boot"]),
    ({NOW: "1\n", **NFTABLES, "/etc/sysctl.d/a.conf": f"{KEY}=1\n"}, []),
    # /etc/sysctl.conf counts only where a link leads to it.
    ({NOW: "1\n", **NO_FORWARD, "/etc/sysctl.conf": f"{KEY}=1\n"}, ["boot"]),
    (
        {
            NOW: "1\n",
            **NO_FORWARD,
            "/etc/sysctl.conf": f"{KEY}=1\n",
            "/etc/sysctl.d/99-sysctl.conf": "-> ../sysctl.conf",
        },
        [],
    ),
    # Others that switch it on.
    (
        {
            NOW: "1\n",
            **NO_FORWARD,
            "/etc/ufw/ufw.conf": "ENABLED=yes\n",
            "/etc/default/ufw": "IPT_SYSCTL=/etc/ufw/sysctl.conf\n",
            "/etc/ufw/sysctl.conf": "net/ipv4/ip_forward=1\n",
        },
        [],
    ),
    (
        {
            NOW: "1\n",
            **NO_FORWARD,
            "/etc/systemd/network/10-lan.network": "[Match]\nName=eth0\n[Network]\nIPForward=ipv4\n",
            NETWORKD: "[Install]\nWantedBy=multi-user.target\n",
            "/etc/systemd/system/multi-user.target.wants/systemd-networkd.service": "-> " + NETWORKD,
        },
        [],
    ),
]


def test_forwarding_taken_back() -> None:
    laid = {**DOCKER, NOW: "0\n"}
    assert failures(ask(checks.NetworkIpForward, FakeHost(laid, pids={"dockerd": (7,)}))) == [
        (KEY, "now", "required")
    ]


@pytest.mark.parametrize("laid, whens", FORWARDING)
def test_forwarding(laid: dict[str, Content], whens: list[str]) -> None:
    result = ask(checks.NetworkIpForward, FakeHost({**DOCKER, **laid}))
    assert failures(result) == [(KEY, when, "required") for when in whens], result.findings
    assert result.outcome is (Outcome.FAIL if whens else Outcome.PASS), result.reason
    assert all(finding.fix and finding.fix["commands"] for finding in result.failures)


def test_where_the_engine_does_not_set_it_a_file_must() -> None:
    host = FakeHost({**DOCKER, NOW: "1\n"})
    result = ask(checks.NetworkIpForward, host, engine_sets_it=False)
    assert failures(result) == [(KEY, "boot", "required")]
    assert "1 now, but 0 after the next boot" in result.failures[0].message
    kubelet = FakeHost({"/usr/bin/kubelet": b"\x7fELF"}, kind="root")
    assert ask(checks.NetworkIpForward, kubelet).outcome is Outcome.FAIL


def test_the_failure_shows_the_later_file_that_wins() -> None:
    files: dict[str, Content] = {
        NOW: "1\n",
        "/etc/sysctl.d/10-docker.conf": f"{KEY} = 1\n",
        "/etc/sysctl.d/99-hardening.conf": f"# CIS\n{KEY} = 0\n",
    }
    (finding,) = ask(checks.NetworkIpForward, FakeHost({**DOCKER, **files})).failures
    assert (finding.path, finding.line, finding.value) == ("/etc/sysctl.d/99-hardening.conf", 2, "0")
    assert "1 now, but 0 after the next boot: a later file wins" in finding.message


@pytest.mark.parametrize(
    "files",
    [
        {"/etc/sysctl.d/99-hardening.conf": f"{KEY} = 0\n"},
        {"/etc/sysctl.d/zzz.conf": f"{KEY} = 0\n"},
        {"/etc/sysctl.d/a.conf": f"{KEY}=1\n", "/etc/sysctl.d/b.conf": "net.ipv4.conf.all.forwarding=0\n"},
        {"/etc/sysctl.d/a.conf": f"{KEY}=1\n", "/etc/sysctl.d/b.conf": "net.ipv4.conf.*.forwarding=0\n"},
        {"/etc/sysctl.conf": f"x=1\n{KEY}=0\n", "/etc/sysctl.d/99-sysctl.conf": "-> ../sysctl.conf"},
        {"/sbin/init": b"\x7fELF", "/etc/sysctl.conf": f"x=1\n{KEY}=0\n"},
    ],
)
def test_the_command_mends_it(files: dict[str, Content]) -> None:
    """What the finding says to type is typed, and the check then passes."""
    laid = {**DOCKER, **files}
    (finding,) = ask(checks.NetworkIpForward, FakeHost(laid, kind="root")).failures
    assert finding.fix is not None
    for command in finding.fix["commands"]:
        if command.startswith("echo '"):
            text, _, path = command[len("echo '") :].partition("' > ")
            laid[path] = text + "\n"
        else:
            _, script, path = command.split(" ", 2)[0], command.split("'")[1], command.rpartition(" ")[2]
            number, _, rest = script.partition("s|.*|")
            lines = str(laid[path]).splitlines()
            lines[int(number) - 1] = rest.rstrip("|")
            laid[path] = "\n".join(lines)
    after = ask(checks.NetworkIpForward, FakeHost(laid, kind="root"))
    assert after.outcome is Outcome.PASS, (finding.fix, after.findings)


def test_ipv6_only_where_it_is_asked_for() -> None:
    assert ask(checks.NetworkIpv6Forward, FakeHost(DOCKER)).outcome is Outcome.SKIP
    files: dict[str, Content] = {
        **DOCKER,
        "/etc/docker/daemon.json": '{"ipv6": true, "fixed-cidr-v6": "fd00::/64"}',
        "/etc/sysctl.d/70-yast.conf": "net.ipv6.conf.all.forwarding = 0\n",
    }
    result = ask(checks.NetworkIpv6Forward, FakeHost(files, kind="root"))
    assert failures(result) == [("net.ipv6.conf.all.forwarding", "boot", "required")]


IPTABLES = "net.bridge.bridge-nf-call-iptables"
LOADED = {"/etc/modules-load.d/k8s.conf": "overlay\nbr_netfilter\n"}
ZERO = {"/etc/sysctl.d/a.conf": f"{IPTABLES}=0\n"}
NO_PROXY = {
    "/etc/systemd/system/k3s.service": "[Service]\nExecStart=/usr/local/bin/k3s server --disable-kube-proxy\n"
}
ONE = {"/etc/sysctl.d/a.conf": f"{IPTABLES}=1\n"}


@pytest.mark.parametrize(
    "laid, needed, expected",
    [
        ({}, False, []),
        (ONE, False, []),
        ({**ONE, **LOADED}, False, []),
        # The 0 is written before the key exists.
        (ZERO, False, [(IPTABLES, "boot", "required")]),
        ({**ZERO, **LOADED}, False, []),
        (
            {**ZERO, "/etc/udev/rules.d/99-bridge.rules": 'KERNEL=="br_netfilter", RUN+="/sbin/sysctl -p"\n'},
            False,
            [],
        ),
        (
            {
                **ZERO,
                "/etc/modprobe.d/b.conf": "install br_netfilter /sbin/modprobe -i br_netfilter; /sbin/sysctl -p\n",
            },
            False,
            [],
        ),
        (
            {**ZERO, **LOADED, "/etc/docker/daemon.json": '{"icc": false}'},
            False,
            [(IPTABLES, "boot", "recommended")],
        ),
        (LOADED, True, []),
        ({**LOADED, **ONE}, True, []),
        ({**LOADED, **ZERO}, True, [(IPTABLES, "boot", "required")]),
        ({**LOADED, **ZERO, **NO_PROXY}, True, []),
        ({**LOADED, **ZERO, "/etc/rancher/rke2/config.yaml": "disable-kube-proxy: true\n"}, True, []),
        (
            {**LOADED, **ZERO, "/etc/rancher/rke2/config.yaml": "disable-kube-proxy: false\n"},
            True,
            [(IPTABLES, "boot", "required")],
        ),
        ({}, True, [(IPTABLES, "boot", "required"), (IPTABLES.replace("ip", "ip6"), "boot", "recommended")]),
        (ONE, True, [(IPTABLES, "boot", "required"), (IPTABLES.replace("ip", "ip6"), "boot", "recommended")]),
    ],
)
def test_bridged_packets(
    laid: dict[str, Content], needed: bool, expected: list[tuple[str, str, str]]
) -> None:
    result = ask(checks.NetworkBridgeNfCall, FakeHost({**DOCKER, **laid}, kind="root"), needed=needed)
    assert failures(result) == expected, result.findings


def test_bridged_packets_now() -> None:
    host = FakeHost({**LOADED, "/proc/sys/net/bridge/bridge-nf-call-iptables": "0\n", "/proc/modules": ""})
    result = ask(checks.NetworkBridgeNfCall, host, needed=True)
    assert failures(result) == [
        (IPTABLES, "now", "required"),
        (IPTABLES.replace("ip", "ip6"), "now", "recommended"),
    ]


# ---- incidents ---------------------------------------------------------------------------------

FAMILIES = ("network", "addresses", "interfaces", "firewall", "sysctl")
MINE = {
    # Incident: the subject that must fail, and whether it must in an unbooted image too.
    "sysctl-file-applied-before-br-netfilter": (IPTABLES, True),
    "coredns-loop-systemd-resolved-stub": ("kubelet resolvConf", True),
    "stub-resolver-old-docker-falls-back-to-8-8-8-8": ("resolv.conf", True),
    "docker-forward-drop-cuts-libvirt-bridge": ("iptables FORWARD", False),
    "firewalld-reload-removes-docker-user": ("firewalld.service", False),
    "firewalld-strict-forward-ports": ("firewalld.conf StrictForwardPorts", False),
    "firewalld-zone-already-holds-docker0": ("firewalld zone of docker0", False),
    "iptables-legacy-and-nft-split-brain": ("iptables-legacy", False),
    "podman-without-iptables-package": ("iptables", True),
    "ufw-does-not-cover-published-ports": ("ufw", True),
    "br-netfilter-not-loaded-kubeadm": (KEY, True),
    "address-pools-covered-by-vpn-routes": ("daemon.json default-address-pools", False),
    "default-pool-inside-existing-route-daemon-refuses": ("daemon.json default-address-pools", False),
    "networkd-match-type-ether-takes-veth": ("/etc/systemd/network/20-wired.network", False),
    "networkmanager-unmanaged-none-takes-veth": ("NetworkManager.conf unmanaged-devices", False),
    "nm-cloud-setup-policy-routing": ("nm-cloud-setup", False),
    "uplink-mtu-9000-path-1500": ("eth0", False),
    "conntrack-table-full": ("net.netfilter.nf_conntrack_count", False),
    "hardening-file-ip-forward-0": (KEY, True),
    "inotify-max-user-instances-128": ("fs.inotify.max_user_instances", True),
    "keyring-quota-non-root-user-remap": ("kernel.keys.maxkeys", True),
    "root-keyring-quota-200-old-kernel": ("kernel.keys.root_maxkeys", False),
}
TRAPS = (
    "firewalld-command-failed-warnings-harmless",
    "trap-nftables-only-kernel-no-legacy-iptables",
    "br-netfilter-modprobe-warning-el7-builtin",
    "trap-nf-conntrack-ipv4-merged-in-4.19",
    "nm-cloud-setup-check-outlived-the-bug",
    "udev-persistent-mac-message-harmless",
    "bridge-nf-call-off-on-purpose",
    "docker-info-bridge-nf-call-warning-harmless",
    "rp-filter-loose-is-fine-today",
)
HEALTHY: dict[str, Content] = {
    "/etc/os-release": 'ID=debian\nVERSION_ID="12"\n',
    "/sbin/init": "-> /lib/systemd/systemd",
    "/lib/systemd/systemd": b"\x7fELF",
    "/usr/sbin/iptables": "-> /etc/alternatives/iptables",
    "/etc/alternatives/iptables": "-> /usr/sbin/iptables-nft",
    "/usr/sbin/iptables-nft": "-> xtables-nft-multi",
    "/usr/sbin/ip6tables": "-> xtables-nft-multi",
    "/usr/sbin/xtables-nft-multi": b"\x7fELF",
    "/etc/resolv.conf": "nameserver 192.0.2.53\n",
    "/etc/sysctl.d/99-sysctl.conf": "-> ../sysctl.conf",
    "/etc/sysctl.conf": "#net.ipv4.ip_forward=1\n",
    "/etc/sysctl.d/99-inotify.conf": "fs.inotify.max_user_instances=8192\n",
    "/proc/sys/net/ipv4/ip_forward": "1\n",
    "/proc/sys/fs/inotify/max_user_instances": "8192\n",
    "/proc/sys/fs/inotify/max_user_watches": "1048576\n",
    "/proc/sys/kernel/keys/root_maxkeys": "1000000\n",
    "/proc/sys/kernel/pid_max": "4194304\n",
    "/proc/sys/kernel/osrelease": "6.1.0-28-amd64\n",
    "/proc/modules": "",
}


def incident_host(entry: dict[str, Any], kind: str) -> FakeHost:
    """Lay an incident's facts over a healthy host."""
    facts = entry.get("facts") or {}
    live = facts.get("live") or {}
    laid = dict(HEALTHY)
    for path in facts.get("absent") or ():
        laid.pop(path, None)
    for path, text in (facts.get("files") or {}).items():
        laid[path] = f"-> {text[3:].partition(' (symlink)')[0]}" if text.startswith("-> ") else text
    for key, value in (live.get("sysctl") or {}).items():
        laid["/proc/sys/" + key.replace(".", "/")] = f"{value}\n"
    if live.get("modules"):
        laid["/proc/modules"] = "".join(f"{name} 1 0 - Live 0x0\n" for name in live["modules"])
    if (facts.get("kernel") or {}).get("release"):
        laid["/proc/sys/kernel/osrelease"] = facts["kernel"]["release"] + "\n"
    packages = dict(facts.get("packages") or {})
    commands = {tuple(line.split()): out for line, out in (live.get("commands") or {}).items()}
    if not {"podman", "docker-ce", "docker.io"} & set(packages) and "k3s" not in str(laid):
        packages["docker-ce"] = "5:26.1.5-1~debian.12~bookworm"
    if "br-netfilter-not-loaded-kubeadm" in entry["key"]:
        del packages["docker-ce"]
        laid["/usr/bin/kubelet"] = b"\x7fELF"
    if "docker-ce" in packages or "docker.io" in packages:
        laid["/usr/bin/dockerd"] = b"\x7fELF"
    return FakeHost({**laid, **dpkg(packages)}, kind=kind, commands=commands)


def all_failures(host: FakeHost) -> list[tuple[str, Finding, Severity]]:
    found = []
    for check in plugins.shipped():
        if check.id.partition(".")[0] in FAMILIES:
            result = ask(check, host)
            assert result.outcome is not Outcome.ERROR, (check.id, result.reason)
            found += [(check.id, finding, result.severity_of(finding)) for finding in result.failures]
    return found


@pytest.fixture(scope="module")
def incidents(corpora: pathlib.Path) -> dict[str, dict[str, Any]]:
    import yaml

    return {
        entry["key"]: entry
        for entry in yaml.safe_load((corpora / "incidents" / "incidents.yaml").read_text())
    }


@pytest.mark.parametrize("kind", ["live", "root"])
def test_the_healthy_host_is_healthy(kind: str) -> None:
    assert not all_failures(
        FakeHost({**HEALTHY, **DOCKER, **dpkg({"docker-ce": "5:28.5.2-1~debian.12"})}, kind=kind)
    )


@pytest.mark.parametrize("key", MINE)
def test_incident(key: str, incidents: dict[str, dict[str, Any]]) -> None:
    subject, in_image = MINE[key]
    entry = incidents[key]
    for kind in ("live", "root") if in_image else ("live",):
        found = all_failures(incident_host(entry, kind))
        assert subject in [finding.subject for _, finding, _ in found], (kind, found)
        # Nothing else is blamed, above what is worth knowing.
        others = {f.subject for _, f, severity in found if severity is not Severity.INFO} - {subject}
        assert not {
            name for name in others if name.partition("-")[0] != subject.partition("-")[0]
        } - ALSO.get(key, set())


ALSO = {
    "br-netfilter-not-loaded-kubeadm": {"br_netfilter"},
}


@pytest.mark.parametrize("key", TRAPS)
@pytest.mark.parametrize("kind", ["live", "root"])
def test_trap(key: str, kind: str, incidents: dict[str, dict[str, Any]]) -> None:
    assert not all_failures(incident_host(incidents[key], kind))


def test_no_other_incident_is_blamed_on_the_network(incidents: dict[str, dict[str, Any]]) -> None:
    blamed = {}
    for key, entry in incidents.items():
        if key not in MINE:
            found = [
                (i, f.subject)
                for i, f, severity in all_failures(incident_host(entry, "live"))
                if severity is not Severity.INFO
            ]
            if found:
                blamed[key] = found
    print(f"{len(incidents) - len(MINE)} incidents of others, blamed: {blamed}")
    assert blamed == {
        # Any host with userns-remap and the kernel's own quota of 200 keys is told so.
        "userns-remap-without-subid-range": [("sysctl.keys", "kernel.keys.maxkeys")],
        "address-pools-used-up": [("addresses.overlap", "daemon.json default-address-pools")],
    }


@pytest.mark.parametrize(
    "text, kubelet, subjects",
    [
        ("{}", False, []),
        ('{"iptables": true, "ip-masq": true, "bridge": "br0"}', False, []),
        ('{"iptables": false}', False, ["iptables"]),
        ('{"ip-masq": false}', False, ["ip-masq"]),
        ('{"bridge": "none", "iptables": false}', False, ["bridge", "iptables"]),
        ('{"bridge": "none", "iptables": false, "ip-masq": false}', True, []),
    ],
)
def test_default_bridge(text: str, kubelet: bool, subjects: list[str]) -> None:
    files = {
        **DOCKER,
        "/etc/docker/daemon.json": text,
        **({"/usr/bin/kubelet": "\x7fELF"} if kubelet else {}),
    }
    result = ask(checks.NetworkDefaultBridge, FakeHost(files, kind="root"))
    severity = {"iptables": "required"}
    expected = [(f"daemon.json {key}", "boot", severity.get(key, "recommended")) for key in subjects]
    assert failures(result) == expected


@pytest.mark.parametrize(
    "path, text, fails",
    [
        ("/etc/nftables.conf", "table ip n { chain p { oifname eth0 masquerade; }; }\n", False),
        ("/etc/iptables/rules.v4", "*nat\n-A POSTROUTING -s 172.17.0.0/16 -j MASQUERADE\nCOMMIT\n", False),
        ("/etc/firewalld/zones/public.xml", "<zone><masquerade/></zone>\n", False),
        ("/etc/nftables.conf", "# oifname eth0 masquerade\n", True),
        ("/etc/nftables.conf", "table ip f { }\n", True),
    ],
)
def test_rules_of_the_host_stand_in(path: str, text: str, fails: bool) -> None:
    laid = {**DOCKER, "/etc/docker/daemon.json": '{"iptables": false}', path: text}
    result = ask(checks.NetworkDefaultBridge, FakeHost(laid, kind="root"))
    assert bool(result.failures) is fails
