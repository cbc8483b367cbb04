"""Images of real Debian releases, judged as files, then booted: what was said is what the machine then is.

A core set always; all of them with HOSTCHECK_ALL_BOOTS=1 (`make test-boot`), a minute or two each.
"""

from __future__ import annotations

import base64
import os
import pathlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import agreement
import images
import machine
import pytest

pytestmark = [pytest.mark.root, pytest.mark.apt, pytest.mark.qemu]

ALL = bool(os.environ.get("HOSTCHECK_ALL_BOOTS"))
HYBRID = "systemd.unified_cgroup_hierarchy=0"
LEGACY = f"{HYBRID} systemd.legacy_systemd_cgroup_controller=1"

CHANGED = {
    # Later names and more important folders win; one file hides another of the same name.
    "etc/sysctl.d/10-first.conf": "net.ipv4.ip_forward = 1\nfs.inotify.max_user_instances = 4096\nvm.swappiness=7\n",
    "etc/sysctl.d/90-last.conf": "net/ipv4/ip_forward = 0\n-net.nonsense.of.nobody = 1\nuser.max_user_namespaces=99\n",
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
    "sid": Case("sid"),
    "sid-hybrid": Case("sid", HYBRID),
}


def selected() -> list[str]:
    return [name for name, case in CASES.items() if case.core or ALL]


def boot(image: pathlib.Path, suite: str, work: pathlib.Path, words: str) -> machine.Boot:
    return machine.boot(
        image, work, images.kernel(suite), f"root=LABEL=root ro console=ttyS0 panic=-1 quiet {words}"
    )


@pytest.mark.parametrize("name", selected())
def test_the_machine_is_what_was_said_of_its_image(name: str, tmp_path: pathlib.Path) -> None:
    machine.can_boot()
    case = CASES[name]
    image, files = images.need(case.suite), dict(case.files)
    if case.words:
        files["etc/default/grub.d/words.cfg"] = f'GRUB_CMDLINE_LINUX="{case.words}"\n'
    if files:
        image = images.changed(image, files, tmp_path / "image.raw")
    foretold = agreement.Foretold(image)
    booted = boot(image, case.suite, tmp_path, case.words)
    assert booted.answer is not None, booted.console[-3000:]
    assert "error" not in booted.answer, booted.answer
    tally = agreement.compare(foretold, booted.answer, case.words)
    print(f"{name}: {tally}")
    assert tally.differ == []
    replayed(booted.answer, tmp_path)


def replayed(truth: dict[str, object], work: pathlib.Path) -> None:
    """A recording made inside says outside what was said inside."""
    recording = work / "machine.tar.gz"
    recording.write_bytes(base64.b64decode(str(truth["recording"])))
    said = agreement.hostcheck(str(recording), "-f", "json", "--no-plugins")
    live = truth["report"]
    assert isinstance(live, dict)
    assert [(r["id"], r["outcome"]) for r in said["results"]] == [
        (r["id"], r["outcome"]) for r in live["results"]
    ]
