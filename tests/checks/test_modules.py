"""Modules: there, forbidden, built in, gone, and loaded at boot."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from kernel_host import MODULES, finding, live, modular

from hostcheck.finding import Outcome, Severity
from hostcheck.testing import Content, FakeHost, ask

modules: Any = importlib.import_module("hostcheck.checks.modules")


def test_modules_that_are_there() -> None:
    result = ask(modules.ModulesLoadable, modular())
    assert result.outcome is Outcome.PASS
    assert {f.subject for f in result.findings} >= set(MODULES)


@pytest.mark.parametrize(
    ("system", "command"),
    [
        (
            'ID="almalinux"\nID_LIKE="rhel centos fedora"\nVERSION_ID="10.0"\n',
            "dnf install -y kernel-modules-extra-6.8.0",
        ),
        ("ID=ubuntu\nID_LIKE=debian\n", "apt-get install -y linux-modules-extra-6.8.0"),
        ('ID="openwrt"\n', "opkg install kmod-xt-addrtype"),
        ("ID=arch\n", None),
    ],
)
def test_m_is_not_there(system: str, command: str | None) -> None:
    """=m, and no file: what keeps dockerd from starting on RHEL 10 without kernel-modules-extra."""
    host = modular(without=("xt_addrtype",), files={"/etc/os-release": system})
    result = ask(modules.ModulesLoadable, host)
    assert [f.subject for f in result.failures] == ["xt_addrtype"]
    assert result.severity is Severity.REQUIRED
    assert finding(result, "xt_addrtype").fix is not None
    fix: Any = finding(result, "xt_addrtype").fix
    assert fix["commands"] == ([command] if command else [])


def test_a_kernel_from_a_raspberry_pi_image() -> None:
    host = modular("5.13.0-1008-raspi", ("vxlan",), files={"/etc/os-release": "ID=ubuntu\nID_LIKE=debian\n"})
    assert finding(ask(modules.ModulesLoadable, host), "vxlan").severity is Severity.INFO
    asked = ask(modules.ModulesLoadable, host, required=("vxlan",))
    fix: Any = finding(asked, "vxlan").fix
    assert (asked.severity, fix["commands"]) == (
        Severity.REQUIRED,
        ["apt-get install -y linux-modules-extra-raspi"],
    )


@pytest.mark.parametrize(
    ("line", "failing"),
    [
        ("install veth /bin/false", ["veth"]),
        ("install overlay /bin/true", ["overlay"]),
        ("blacklist veth", ["veth"]),
        ("blacklist overlay", []),
        ("blacklist br_netfilter", []),
        ("blacklist floppy", []),
        ("install dccp /bin/false", []),
    ],
)
def test_forbidden_modules(line: str, failing: list[str]) -> None:
    result = ask(modules.ModulesLoadable, modular(files={"/etc/modprobe.d/cis.conf": f"# CIS\n{line}\n"}))
    assert [f.subject for f in result.failures] == failing
    if failing:
        fix: Any = result.failures[0].fix
        assert (result.failures[0].path, result.failures[0].line) == ("/etc/modprobe.d/cis.conf", 2)
        assert fix["commands"] == ["sed -i '2s/^/# /' /etc/modprobe.d/cis.conf"]


@pytest.mark.parametrize(
    ("docker", "files", "severity"),
    [
        ("20.10.24", {}, "recommended"),
        ("26.1.5", {}, "recommended"),
        ("29.1.0", {}, "required"),
        ("26.1.5", {"/etc/docker/daemon.json": '{"storage-driver": "vfs"}'}, "info"),
        ("26.1.5", {"/etc/docker/daemon.json": '{"storage-driver": "overlay2"}'}, "required"),
        ("26.1.5", {"/var/lib/docker/overlay2/l/X": "-> ../a/diff"}, "required"),
        ("", {}, "required"),
    ],
)
def test_docker_that_does_without_overlayfs(docker: str, files: dict[str, Content], severity: str) -> None:
    """As the real ones do: 20.10 goes on with devicemapper, 26.1 with vfs, where they have no layers of overlay2."""
    status = f"Package: docker-ce\nStatus: install ok installed\nVersion: 5:{docker}-1\n" if docker else ""
    laid: dict[str, Content] = {
        "/etc/modprobe.d/cis.conf": "install overlay /bin/true\n",
        "/var/lib/dpkg/status": status,
        **files,
    }
    found = finding(ask(modules.ModulesLoadable, modular(files=laid)), "overlay")
    assert (found.ok, found.severity and found.severity.value) == (False, severity)


def test_loaded_now_and_forbidden_after_the_next_boot() -> None:
    host = modular(
        files={
            "/proc/modules": "overlay 1 0 - Live 0x0\n",
            "/etc/modprobe.d/x.conf": "install overlay /bin/false\n",
        }
    )
    result = ask(modules.ModulesLoadable, host)
    assert finding(result, "overlay", "now").ok
    assert not finding(result, "overlay", "boot").ok


@pytest.mark.parametrize(
    ("files", "when"),
    [
        ({"/proc/sys/kernel/modules_disabled": "1\n"}, "now"),
        ({"/proc/sys/kernel/modules_disabled": "0\n"}, None),
    ],
)
def test_modules_disabled(files: dict[str, Content], when: str | None) -> None:
    result = ask(modules.ModulesLoadable, modular(files=files))
    assert finding(result, "kernel.modules_disabled").ok is (when is None)
    # Where everything is built in, nothing is lost.
    assert ask(modules.ModulesLoadable, live(files=files)).outcome is Outcome.PASS


def test_a_module_that_only_the_builtin_list_knows() -> None:
    host = live(
        "4.18.5-629.native",
        "CONFIG_MODULES=y\nCONFIG_VETH=m\n",
        files={"/lib/modules/4.18.5-629.native/modules.builtin": "kernel/drivers/net/veth.ko\n"},
    )
    assert finding(ask(modules.ModulesLoadable, host), "veth").value == "builtin"


def test_at_boot() -> None:
    assert ask(modules.ModulesAtBoot, FakeHost({"/usr/bin/dockerd": b"\x7fELF"})).outcome is Outcome.SKIP
    kubelet: dict[str, Content] = {
        "/usr/bin/kubelet": b"\x7fELF",
        "/proc/modules": "overlay 1 0 - Live 0x0\n",
    }
    result = ask(modules.ModulesAtBoot, FakeHost(kubelet))
    assert [(f.subject, f.when, str(result.severity_of(f))) for f in result.failures] == [
        ("br_netfilter", "now", "recommended"),
        ("br_netfilter", "boot", "recommended"),
    ]
    result = ask(
        modules.ModulesAtBoot,
        FakeHost({**kubelet, "/etc/modules-load.d/k8s.conf": "overlay\n"}),
        at_boot=("overlay",),
    )
    assert result.outcome is Outcome.PASS


PRE = "[Service]\nExecStartPre={}/sbin/modprobe overlay\nExecStart=/usr/bin/containerd\n"


@pytest.mark.parametrize(
    ("prefix", "laid", "fails"),
    [
        (
            "",
            {"modules.dep": "kernel/fs/overlayfs/overlay.ko:\n", "kernel/fs/overlayfs/overlay.ko": "x"},
            False,
        ),
        ("", {"modules.dep": "", "modules.builtin": "kernel/fs/overlayfs/overlay.ko\n"}, False),
        ("", {"modules.dep": "kernel/fs/ext4/ext4.ko:\n"}, True),
        ("-", {"modules.dep": "kernel/fs/ext4/ext4.ko:\n"}, False),
    ],
)
def test_asked(prefix: str, laid: dict[str, str], fails: bool) -> None:
    release = "6.1.0-1-amd64"
    files: dict[str, Content] = {f"/lib/modules/{release}/{name}": text for name, text in laid.items()}
    files["/usr/lib/systemd/systemd"] = "\x7fELF"
    files["/usr/lib/systemd/system/containerd.service"] = PRE.format(prefix)
    found = ask(modules.ModulesAsked, live(release, "CONFIG_MODULES=y\n", files=files)).failures
    assert bool(found) is fails
