"""Images of real Debian releases, judged as files, then booted: what was said is what the machine then is.

A core set always; all of them with HOSTCHECK_ALL_BOOTS=1 (`make test-boot`), a minute or two each.
"""

from __future__ import annotations

import base64
import os
import pathlib
import subprocess
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import agreement
import images
import machine
import pytest
import roots
import scrapes

pytestmark = [pytest.mark.root, pytest.mark.apt, pytest.mark.qemu]

ALL = bool(os.environ.get("HOSTCHECK_ALL_BOOTS"))
HYBRID = "systemd.unified_cgroup_hierarchy=0"
LEGACY = f"{HYBRID} systemd.legacy_systemd_cgroup_controller=1"
FORCED = f"{HYBRID} SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1"

CHANGED = {
    # Later names and more important folders win; one file hides another of the same name.
    "etc/sysctl.d/10-first.conf": "net.ipv4.ip_forward = 1\nfs.inotify.max_user_instances = 4096\nvm.swappiness=7\n",
    "etc/sysctl.d/90-last.conf": "net/ipv4/ip_forward = 0\n-net.nonsense.of.nobody = 1\nuser.max_user_namespaces=99\n"
    # The other name of what is set above.
    "user.max_inotify_instances = 300\n",
    # As the kernel reads them: 262144, refused, and a key of the module below.
    "etc/sysctl.d/91-kernel.conf": "vm.max_map_count = 0x40000\nfs.protected_fifos = 9\n"
    "net.bridge.bridge-nf-call-arptables = 0\n",
    "usr/lib/sysctl.d/95-vendor.conf": "vm.swappiness = 11\nkernel.pid_max = 123456\n",
    "etc/sysctl.d/95-vendor.conf": "# nothing\nvm.swappiness = 12\nnet.ipv4.conf.*.rp_filter = 2\n",
    "etc/systemd/system.conf": "[Manager]\nDefaultLimitNOFILE=2048:65536\nDefaultTasksMax=4000\n",
    "etc/systemd/system/docker.service.d/10-limits.conf": "[Service]\nLimitNOFILE=\nLimitCORE=0\nTasksMax=50%\n",
    "etc/systemd/system/docker.service.d/20-more.conf": "[Service]\nLimitNPROC=9000\nRestartSec=7\nKillMode=mixed\n",
    "etc/systemd/system/containerd.service.d/x.conf": "[Service]\nLimitNOFILE=70000\n[Unit]\nWants=docker.socket\n",
    "etc/modules-load.d/mine.conf": "# comment\nbr_netfilter\n;another\nip_vs\nnosuchmodule\ndummy\n",
    "etc/modprobe.d/mine.conf": "blacklist dummy\ninstall sctp /bin/false\nblacklist squashfs\nalias eth7 dummy\n",
    "etc/docker/daemon.json": '{"log-driver": "local", "live-restore": true, "debug": true, "data-root": "/srv/d"}\n',
}
MASKED = {
    "etc/systemd/system/containerd.service": "-> /dev/null",
    "etc/systemd/system/docker.service": "-> /dev/null",
}
HARDENED = {
    "etc/modprobe.d/cis.conf": "install overlay /bin/true\ninstall br_netfilter /bin/false\nblacklist ip_tables\n",
    "etc/sysctl.d/60-cis.conf": "net.ipv4.ip_forward = 0\nnet.ipv4.conf.all.forwarding = 0\n",
}
WRONG = {"etc/docker/daemon.json": '{"log-driver": "json-file", "log-opts": {"max-size": 10}}\n'}


class Case(NamedTuple):
    """An image and a boot of it."""

    suite: str
    words: str = ""
    """For the kernel's command line, which the image's own settings for GRUB have too."""
    files: Mapping[str, str] = MappingProxyType({})
    core: bool = False


CASES = {
    "bookworm": Case("bookworm", core=True),
    "bookworm-hybrid": Case("bookworm", HYBRID, core=True),
    "bookworm-changed": Case("bookworm", files=CHANGED, core=True),
    "bookworm-legacy": Case("bookworm", LEGACY),
    "bookworm-masked": Case("bookworm", files=MASKED),
    "bookworm-hardened": Case("bookworm", files=HARDENED),
    "bookworm-wrong": Case("bookworm", files=WRONG),
    "bullseye": Case("bullseye"),
    "bullseye-legacy": Case("bullseye", LEGACY),
    "bullseye-changed": Case("bullseye", files=CHANGED),
    "trixie": Case("trixie"),
    "trixie-changed": Case("trixie", files=CHANGED),
    # 257 waits 30 s, and mounts v2 all the same unless it is forced.
    "trixie-hybrid": Case("trixie", HYBRID),
    "trixie-forced": Case("trixie", FORCED),
    "trixie-hardened": Case("trixie", files=HARDENED),
    "sid": Case("sid"),
    "sid-hybrid": Case("sid", HYBRID),
}


def selected() -> list[str]:
    return [name for name, case in CASES.items() if case.core or ALL]


def boot(
    image: pathlib.Path, suite: str, work: pathlib.Path, words: str, deb: pathlib.Path | None = None
) -> machine.Boot:
    cmdline = f"root=LABEL=root ro console=ttyS0 panic=-1 quiet {words}"
    return machine.boot(image, work, images.kernel(suite), cmdline, deb=deb)


def built() -> pathlib.Path:
    """Return the deb that `make packages` has made."""
    found = sorted((machine.PROJECT / "dist").glob("hostcheck_*_all.deb"))
    assert found, "there is no deb in dist/: make packages"
    return found[-1]


@pytest.mark.parametrize("name", selected())
def test_the_machine_is_what_was_said_of_its_image(name: str, tmp_path: pathlib.Path) -> None:
    machine.can_boot()
    case = CASES[name]
    image, files = images.need(case.suite), dict(case.files)
    if case.words:
        files["etc/default/grub.d/words.cfg"] = f'GRUB_CMDLINE_LINUX="{case.words}"\n'
    if files:
        image = images.changed(image, files, tmp_path / "image.raw")
    # The libraries of Debian 11 are older than what the deb depends on.
    deb = built() if ALL and not files and case.suite != "bullseye" else None
    truth = booted_as_said(name, image, case.suite, tmp_path, case.words, deb)
    if not files:
        healthy(case.suite, truth["report"])
    if deb:
        exporting(name, truth["exporter"])


WARNINGS = {
    "bullseye": {"conflicts.releases seccomp clone3"},
    "trixie": {"limits.rlimits containerd.service LimitNOFILE"},
}
"""What is to be said of docker as a release of Debian installs it, with nothing changed."""


def healthy(suite: str, report: dict[str, Any]) -> None:
    """A machine on which docker runs is ready, and nobody is alarmed without a cause."""
    failing = {
        f"{result['id']} {finding['subject']}"
        for result in report["results"]
        for finding in result["findings"]
        if not finding["ok"] and finding["severity"] != "info"
    }
    warnings = WARNINGS.get(suite, set())
    assert failing == warnings
    assert report["verdict"] == ("ready with warnings" if warnings else "ready")


def exporting(name: str, found: dict[str, Any]) -> None:
    """The units of the deb run in their sandbox, and say what root says."""
    tally = agreement.Tally()
    scrapes.compare(tally, found)
    print(f"{name}, the deb's units: {tally}; exposure {found['exposure']}; {found['seconds']:.0f} s")
    assert tally.differ == []


def booted_as_said(
    name: str,
    image: pathlib.Path,
    suite: str,
    tmp_path: pathlib.Path,
    words: str = "",
    deb: pathlib.Path | None = None,
) -> dict[str, Any]:
    """Compare, and return the truth."""
    foretold = agreement.Foretold(image)
    booted = boot(image, suite, tmp_path, words, deb)
    assert booted.answer is not None, booted.console[-3000:]
    assert "error" not in booted.answer, booted.answer
    tally = agreement.compare(foretold, booted.answer, words)
    print(f"{name}: {tally}")
    assert tally.differ == []
    replayed(booted.answer, tmp_path)
    return booted.answer


def replayed(truth: dict[str, Any], work: pathlib.Path) -> None:
    """A recording made inside says outside what was said inside."""
    recording = work / "machine.tar.gz"
    recording.write_bytes(base64.b64decode(truth["recording"]))
    said = agreement.hostcheck(str(recording), "-f", "json", "--no-plugins")
    live = truth["report"]
    assert said["verdict"] == live["verdict"]
    assert answers(said) == answers(live)


def answers(report: dict[str, Any]) -> list[tuple[str, str, list[tuple[str, str, bool]]]]:
    """Return what was said of what; values may be of the moment."""
    return [
        (
            result["id"],
            result["outcome"],
            [(finding["subject"], finding["when"], finding["ok"]) for finding in result["findings"]],
        )
        for result in report["results"]
    ]


@pytest.mark.skipif(not ALL, reason="a boot more: make test-boot")
def test_docker_on_an_xfs_that_cannot_tell_the_types_of_its_files(tmp_path: pathlib.Path) -> None:
    machine.can_boot()
    roots.need_tool("mkfs.xfs", "sgdisk")
    fstab = images.FILES["etc/fstab"] + "LABEL=data /var/lib/docker xfs defaults 0 0\n"
    root = images.changed(images.need("bookworm"), {"etc/fstab": fstab}, tmp_path / "root.raw")
    data = tmp_path / "data.raw"
    with data.open("wb") as file:
        file.truncate(512 << 20)
    subprocess.run(["mkfs.xfs", "-q", "-L", "data", "-m", "crc=0", "-n", "ftype=0", data], check=True)
    booted_as_said("bookworm-xfs", images.disk([root, data], tmp_path / "disk.raw"), "bookworm", tmp_path)


MENU = """#!/bin/sh
cat <<'END'
menuentry 'Mine' --id mine {
    search --no-floppy --label --set=root root
    linux /vmlinuz root=LABEL=root ro console=ttyS0 panic=-1 mine=1 systemd.unified_cgroup_hierarchy=0
    initrd /initrd.img
}
END
"""
SETTINGS = """GRUB_DEFAULT={default}
GRUB_TIMEOUT=1
GRUB_CMDLINE_LINUX_DEFAULT="quiet loglevel=3"
GRUB_CMDLINE_LINUX="console=ttyS0 panic=-1 {words}"
GRUB_TERMINAL=serial
GRUB_SERIAL_COMMAND="serial --unit=0"
"""
# The last makes the journal empty: what reads the image does not replay it.
INSTALL = [
    ["grub-install", "/dev/vda"],
    ["chmod", "+x", "/etc/grub.d/42_mine"],
    ["update-grub"],
    ["grub-set-default", "mine"],
    ["sh", "-c", "sync; echo u >/proc/sysrq-trigger; sleep 3"],
]
MENUS = {
    "first": SETTINGS.format(default="0", words=LEGACY),
    "saved": SETTINGS.format(default="saved", words=""),
    "submenu": SETTINGS.format(default='"1>0"', words="third=3"),
}


@pytest.mark.skipif(not ALL, reason="two boots each: make test-boot")
@pytest.mark.parametrize("name", MENUS)
def test_what_grub_itself_boots(name: str, tmp_path: pathlib.Path) -> None:
    machine.can_boot()
    files = {"etc/default/grub": MENUS[name], "etc/grub.d/42_mine": MENU}
    root = images.changed(images.need("bookworm"), files, tmp_path / "root.raw")
    disk = images.disk([root], tmp_path / "disk.raw", boot_loader=True)
    cmdline = "root=LABEL=root ro console=ttyS0 panic=-1"
    made = machine.boot(
        disk, tmp_path, images.kernel("bookworm"), cmdline, keep=True, commands=INSTALL, only_commands=True
    )
    assert made.answer is not None, made.console[-3000:]
    assert [code for code, _out in made.answer["commands"]] == [0] * len(INSTALL), made.answer
    foretold = agreement.Foretold(disk)
    booted = machine.boot(disk, tmp_path, None)
    assert booted.answer is not None, booted.console[-3000:]
    tally = agreement.compare(foretold, booted.answer, "")
    real = booted.answer["cmdline"].split(maxsplit=1)
    tally.compare("boot loader", "BOOT_IMAGE", True, real[0].startswith("BOOT_IMAGE="))
    tally.compare("boot loader", "cmdline", foretold.facts["boot"]["cmdline"]["value"], real[1].strip())
    print(f"grub-{name}: {tally}")
    assert tally.differ == []
