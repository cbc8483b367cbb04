"""One fault at a time on a real Debian 12 with the real engine: what hostcheck foretells is what then happens."""

from __future__ import annotations

import json
from typing import Any

import engines
import pytest

pytestmark = [pytest.mark.root, pytest.mark.apt, pytest.mark.engine]

DAEMON = "/etc/docker/daemon.json"
IPTABLES = [["rm", "-f", "/usr/sbin/iptables"]]


def daemon(text: str) -> dict[str, Any]:
    return {"files": {DAEMON: text}}


def configured(**keys: object) -> dict[str, Any]:
    return daemon(json.dumps({key.replace("_", "-"): value for key, value in keys.items()}))


def mounted(options: str, kind: str = "tmpfs") -> dict[str, Any]:
    return {"commands": [["mount", "-t", kind, "-o", options, kind, "/var/lib/docker"]]}


# Name, what is laid down, whether a container then runs, with a volume and a port, the check that says why not.
FAULTS: list[tuple[str, dict[str, Any], bool, str]] = [
    ("control", {}, True, ""),
    ("daemon.json empty object", daemon("{}"), True, ""),
    ("daemon.json syntax", daemon('{"debug": true,}'), False, "docker.daemon_json"),
    ("daemon.json unknown key", configured(debugg=True), False, "docker.daemon_json"),
    ("daemon.json wrong type", configured(debug="yes"), False, "docker.daemon_json"),
    ("daemon.json number for a string", configured(log_opts={"max-file": 3}), False, "docker.daemon_json"),
    ("daemon.json bad label", configured(labels=["nokey"]), False, "docker.daemon_json"),
    ("daemon.json bad dns", configured(dns=["not-an-ip"]), False, "docker.daemon_json"),
    ("daemon.json null", daemon("null"), True, ""),
    ("daemon.json comment behind", daemon('{"debug": false} // fine up to 20.10'), True, ""),
    ("daemon.json duplicate key", daemon('{"mtu": 1400, "mtu": 1500}'), True, ""),
    (
        "bad mirror",
        configured(registry_mirrors=["http://mirror.invalid/path/x"]),
        False,
        "docker.start_rules",
    ),
    ("mirror without a scheme", configured(registry_mirrors=["mirror.invalid"]), False, "docker.start_rules"),
    (
        "bad cgroup driver",
        configured(exec_opts=["native.cgroupdriver=nonsense"]),
        False,
        "docker.start_rules",
    ),
    ("systemd driver without systemd", configured(exec_opts=["native.cgroupdriver=systemd"]), False, "*"),
    ("bad log driver option", configured(log_opts={"max-sizes": "1m"}), False, "docker.start_rules"),
    ("bad max-size", configured(log_opts={"max-size": "ten"}), False, "daemon.log_rotation"),
    ("unknown storage driver", configured(storage_driver="overlay3"), False, "*"),
    ("storage driver aufs", configured(storage_driver="aufs"), False, "*"),
    ("storage driver btrfs on tmpfs", configured(storage_driver="btrfs"), False, "*"),
    ("storage driver vfs", configured(storage_driver="vfs"), True, ""),
    ("bad address pools", configured(default_address_pools=[{"base": "10.0.0.0/8", "size": 4}]), False, "*"),
    ("bad bip", configured(bip="172.17.0.300/16"), False, "docker.start_rules"),
    ("bip and bridge", configured(bip="172.18.0.1/16", bridge="br0"), False, "docker.start_rules"),
    ("default runtime not there", configured(default_runtime="kata"), False, "docker.daemon_json"),
    ("seccomp profile file missing", configured(seccomp_profile="/etc/docker/none.json"), False, "*"),
    ("tls files missing", configured(tlsverify=True, tlscert="/none"), False, "*"),
    ("userns-remap user missing", configured(userns_remap="nobody-here"), False, "*"),
    ("hosts in file and flag", configured(hosts=["unix:///run/docker.sock"]), False, "docker.flag_conflict"),
    ("data-root noexec", mounted("noexec"), False, "storage.mount_options"),
    ("data-root read-only", mounted("ro"), False, "*"),
    (
        "data-root full",
        {"commands": [["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", "/var/lib/docker"]]},
        False,
        "*",
    ),
    ("data-root nosuid, nodev", mounted("nosuid,nodev"), True, ""),
    ("iptables absent", {"commands": IPTABLES}, False, "firewall.iptables"),
    ("iptables absent and not wanted", {**configured(iptables=False), "commands": IPTABLES}, True, ""),
    ("runc missing", {"remove": ["/usr/sbin/runc"]}, False, "*"),
    ("runc not executable", {"commands": [["chmod", "-x", "/usr/sbin/runc"]]}, False, "*"),
    ("shim missing", {"remove": ["/usr/bin/containerd-shim-runc-v2"]}, False, "runtime.helpers"),
    ("docker-proxy missing", {"remove": ["/usr/sbin/docker-proxy"]}, False, "runtime.helpers"),
    ("containerd missing", {"remove": ["/usr/bin/containerd"]}, False, "*"),
    ("docker-init missing", {"remove": ["/usr/bin/docker-init"]}, True, ""),
    (
        "containerd's configuration broken",
        {"files": {"/etc/containerd/config.toml": "[a"}},
        False,
        "containerd.config",
    ),
    ("no user group docker", {"commands": [["sed", "-i", "/^docker:/d", "/etc/group"]]}, True, ""),
]


@pytest.mark.parametrize("name, fault, runs, check", FAULTS, ids=[fault[0] for fault in FAULTS])
def test_foretold_is_what_happens(name: str, fault: dict[str, Any], runs: bool, check: str) -> None:
    result = engines.run(**fault)
    seen, blocks = result["seen"], engines.blockers(result["report"])
    # The engine decides what is true of the fault; the table only says what we expect of the engine.
    works = all(seen[step] for step in ("started", "ran", "volume", "port"))
    assert works == runs, f"the engine: {seen['error']}"
    assert bool(blocks) != works, f"{blocks}, but the engine: {seen['error'][-600:] or 'works'}"
    if check and check != "*":
        assert check in blocks


@pytest.fixture(scope="module")
def control() -> dict[str, Any]:
    """The engine with nothing wrong."""
    return engines.run()


@pytest.mark.parametrize(
    "fact, info",
    [
        ("kernel", "KernelVersion"),
        ("os", "OperatingSystem"),
        ("storage_driver", "Driver"),
    ],
)
def test_the_host_is_what_docker_info_says(control: dict[str, Any], fact: str, info: str) -> None:
    assert control["report"]["host"][fact] == control["seen"]["info"][info]


def test_versions_are_what_docker_info_says(control: dict[str, Any]) -> None:
    info, found = control["seen"]["info"], control["report"]["host"]["engines"]
    assert info["ServerVersion"].startswith(found["docker"])
    assert info["ContainerdCommit"]["ID"].startswith(found["containerd"])
    assert info["RuncCommit"]["ID"].startswith(found["runc"])


def test_cgroups_are_what_docker_info_says(control: dict[str, Any]) -> None:
    info = control["seen"]["info"]
    assert (control["report"]["host"]["cgroup"] == "v2") == (info["CgroupVersion"] == "2")
    driver = next(r for r in control["report"]["results"] if r["id"] == "cgroup.driver")
    assert info["CgroupDriver"] in {finding["value"] for finding in driver["findings"]}


def test_forwarding_is_what_docker_info_says(control: dict[str, Any]) -> None:
    """0 in a new network namespace, and dockerd sets it: foretold as no failure."""
    result = next(r for r in control["report"]["results"] if r["id"] == "network.ip_forward")
    assert (result["outcome"], control["seen"]["info"]["IPv4Forwarding"]) == ("pass", True)
