"""Checks of what the next boot brings."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from hostcheck.check import Check
from hostcheck.finding import Finding, Outcome, Severity
from hostcheck.testing import Content, FakeHost, ask

checks: Any = importlib.import_module("hostcheck.checks.boot")

FLAG = "systemd.unified_cgroup_hierarchy=0"


def entry(release: str, words: str) -> dict[str, Content]:
    text = f"title Fedora ({release})\nversion {release}\nlinux /vmlinuz-{release}\noptions root=/dev/x ro {words}\n"
    return {f"/boot/loader/entries/m-{release}.conf": text}


def fedora(new: str = "", old: str = "", default: str = "", running: str | None = None) -> FakeHost:
    files: dict[str, Content] = {
        "/etc/os-release": "ID=fedora\nVERSION_ID=40\n",
        **entry("6.8.5-301.fc40.x86_64", old),
        **entry("6.9.4-200.fc40.x86_64", new),
        "/etc/default/grub": f'GRUB_CMDLINE_LINUX="rhgb quiet {default}"\nGRUB_ENABLE_BLSCFG=true\n',
    }
    if running is None:
        return FakeHost(files, kind="root")
    files["/proc/cmdline"] = f"BOOT_IMAGE=(hd0,gpt2)/vmlinuz-6.8.5-301.fc40.x86_64 root=/dev/x ro {running}\n"
    files["/proc/sys/kernel/osrelease"] = "6.8.5-301.fc40.x86_64\n"
    return FakeHost(files)


def debian(word: str = "", default: str = "") -> FakeHost:
    menu = f"menuentry A {{\n linux /vmlinuz-6.1.0-18-amd64 root=UUID=1 ro quiet {word}\n}}\n"
    files: dict[str, Content] = {
        "/etc/os-release": "ID=debian\nVERSION_ID=12\n",
        "/boot/grub/grub.cfg": menu,
        "/etc/default/grub": f'GRUB_CMDLINE_LINUX_DEFAULT="quiet"\nGRUB_CMDLINE_LINUX="{default}"\n',
    }
    return FakeHost(files, kind="root")


def every() -> list[type[Check]]:
    return [
        c for c in vars(checks).values() if isinstance(c, type) and issubclass(c, Check) and c is not Check
    ]


def bad(check: type[Check], host: FakeHost) -> list[Finding]:
    result = ask(check, host)
    assert result.outcome is not Outcome.ERROR, result.reason
    return result.failures


@pytest.mark.parametrize("check", every(), ids=lambda check: str(check.id))
@pytest.mark.parametrize("host", ["debian", "fedora", "fedora running", "bare"])
def test_a_healthy_host_is_quiet(check: type[Check], host: str) -> None:
    hosts = {
        "debian": debian(),
        "fedora": fedora(),
        "fedora running": fedora(running=""),
        "bare": FakeHost({"/etc/hostname": "x"}, kind="root"),
    }
    assert not [f for f in bad(check, hosts[host]) if f.severity is not Severity.INFO and check.severity.rank]


def test_a_word_that_the_next_boot_has_lost() -> None:
    found = bad(checks.BootEntries, fedora(old=FLAG, running=FLAG))
    assert [f.subject for f in found] == ["systemd.unified_cgroup_hierarchy"]
    assert found[0].message.startswith(f"{FLAG} is gone after the next boot")
    assert found[0].path == "/boot/loader/entries/m-6.9.4-200.fc40.x86_64.conf"
    assert found[0].line == 4
    assert found[0].fix
    assert f"grubby --update-kernel=ALL --args={FLAG}" in found[0].fix["commands"]


def test_in_an_image_the_other_entry_tells() -> None:
    found = bad(checks.BootEntries, fedora(old=FLAG))
    assert len(found) == 1
    assert "not in the one that boots" in found[0].message


def test_a_word_in_all_places_is_well() -> None:
    result = ask(checks.BootEntries, fedora(FLAG, FLAG, FLAG, FLAG))
    assert result.outcome is Outcome.PASS
    assert [f.subject for f in result.findings] == ["systemd.unified_cgroup_hierarchy"]


def test_a_word_that_the_next_kernel_loses() -> None:
    found = bad(checks.BootEntries, debian(word=FLAG))
    assert len(found) == 1
    assert "lost with the next kernel update" in found[0].message
    assert found[0].path == "/etc/default/grub"
    assert not bad(checks.BootEntries, debian(FLAG, FLAG))


def test_fedora_keeps_what_kernel_install_reads() -> None:
    host = fedora(FLAG, FLAG, "", FLAG)
    assert not bad(checks.BootEntries, host)
    host.files["/etc/kernel/cmdline"] = "root=/dev/x ro\n"
    assert len(bad(checks.BootEntries, FakeHost(host.files))) == 1


def test_settings_that_wait_for_update_grub() -> None:
    found = bad(checks.BootEntries, debian(default="cgroup_enable=memory"))
    assert len(found) == 1
    assert (found[0].path, found[0].line) == ("/etc/default/grub", 2)
    assert found[0].fix
    assert found[0].fix["commands"] == ["update-grub", "reboot"]


def test_a_word_that_waits_for_the_reboot_is_no_fault() -> None:
    found = bad(checks.BootEntries, fedora("psi=1", "psi=1", "psi=1", ""))
    assert [f.severity for f in found] == [Severity.INFO]


def test_a_rescue_entry_may_differ() -> None:
    host = fedora(FLAG, FLAG, FLAG)
    files = {
        **host.files,
        "/boot/loader/entries/m-0-rescue.conf": "title R\nlinux /vmlinuz-0-rescue-m\noptions ro\n",
    }
    assert not bad(checks.BootEntries, FakeHost(files, kind="root"))


PI = "console=serial0,115200 root=PARTUUID=1-02 rootwait"
WORDS = "cgroup_memory=1 cgroup_enable=memory"


@pytest.mark.parametrize(
    ("files", "subjects"),
    [
        ({"/boot/cmdline.txt": f"{PI} {WORDS}\n"}, []),
        ({"/boot/cmdline.txt": f"{PI}\n{WORDS}\n"}, ["/boot/cmdline.txt lines"]),
        ({"/boot/cmdline.txt": f"{PI} {WORDS}\n{WORDS}\n"}, []),
        ({"/boot/cmdline.txt": f"{PI} {WORDS}\n", "/boot/firmware/cmdline.txt": PI}, ["/boot/cmdline.txt"]),
        ({"/boot/cmdline.txt": f"{PI} {WORDS}\n", "/boot/firmware/cmdline.txt": f"{PI} {WORDS}"}, []),
        ({"/boot/cmdline.txt": "DO NOT EDIT THIS FILE\n", "/boot/firmware/cmdline.txt": f"{PI}\n"}, []),
        ({"/boot/cmdline.txt": "-> firmware/cmdline.txt", "/boot/firmware/cmdline.txt": f"{PI} {WORDS}"}, []),
    ],
)
def test_raspberry_pi(files: dict[str, Content], subjects: list[str]) -> None:
    found = bad(checks.BootRaspberryPi, FakeHost(files, kind="root"))
    assert [f.subject for f in found] == subjects
    for each in found:
        assert each.fix
        assert each.fix["commands"]


def test_raspberry_pi_points_at_the_line() -> None:
    found = bad(
        checks.BootRaspberryPi, FakeHost({"/boot/firmware/cmdline.txt": f"{PI}\n\n{WORDS}\n"}, kind="root")
    )
    assert (found[0].path, found[0].line, found[0].value) == ("/boot/firmware/cmdline.txt", 3, WORDS)


def test_reboot_pending() -> None:
    found = bad(checks.BootRebootPending, fedora(running=""))
    assert (found[0].value, found[0].expected) == ("6.8.5-301.fc40.x86_64", "6.9.4-200.fc40.x86_64")
    assert ask(checks.BootRebootPending, fedora()).outcome is Outcome.SKIP


@pytest.mark.parametrize(
    ("mounts", "unit", "outcome"),
    [
        ("rootfs / rootfs rw 0 0\n", "", Outcome.FAIL),
        ("rootfs / rootfs rw 0 0\n", "Environment=DOCKER_RAMDISK=true\n", Outcome.PASS),
        # Older kernels show the first one below the real root.
        ("rootfs / rootfs rw 0 0\n/dev/sda1 / ext4 rw 0 0\n", "", Outcome.PASS),
        ("none / tmpfs rw,relatime 0 0\n", "", Outcome.PASS),
    ],
)
def test_ramdisk(mounts: str, unit: str, outcome: Outcome) -> None:
    service = f"[Service]\nExecStart=/usr/bin/dockerd -H fd://\n{unit}"
    result = ask(
        checks.BootRamdisk, FakeHost({"/proc/mounts": mounts, "/lib/systemd/system/docker.service": service})
    )
    assert result.outcome is outcome, result.reason
    assert result.severity is Severity.REQUIRED


OPENRC: dict[str, Content] = {
    "/sbin/openrc-run": b"\x7fELF",
    "/etc/runlevels/boot/": "",
    "/etc/init.d/cgroups": "#!/sbin/openrc-run\n",
}
LONELY = "#!/sbin/openrc-run\ndepend() {\n    after network-online # and cgroups\n}\n"


@pytest.mark.parametrize(
    "laid, outcome",
    [
        ({"/etc/init.d/k3s": LONELY}, "fail"),
        ({"/etc/init.d/k3s": LONELY, "/etc/runlevels/boot/cgroups": "-> /etc/init.d/cgroups"}, "pass"),
        ({"/etc/init.d/k3s": LONELY.replace("after", "want cgroups\n    after")}, "pass"),
        ({}, "skip"),
    ],
)
def test_control_groups_of_openrc(laid: dict[str, Content], outcome: str) -> None:
    result = ask(checks.BootOpenrcCgroups, FakeHost({**OPENRC, **laid}, kind="root"))
    assert str(result.outcome) == outcome, result.findings
