"""Units of real Debian roots: what hostcheck says of the tree, beside the root's own systemd, booted in namespaces."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from typing import Any

import pytest
import roots

PROJECT = pathlib.Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.root, pytest.mark.apt]

UNITS = ("docker.service", "containerd.service", "docker.socket")
LIMITS = {
    # Soft and hard, an override by name, a drop-in for all services, a comment that is none, defaults of the manager.
    "etc/systemd/system/docker.service.d/10-limits.conf": "[Service]\nLimitNOFILE=64000:128000\nLimitCORE=0\n",
    "etc/systemd/system/docker.service.d/20-more.conf": "[Service]\nLimitNPROC=9000\nTasksMax=777\nDelegate=no\n",
    "etc/systemd/system/service.d/15-all.conf": "[Service]\nLimitMEMLOCK=64M\nLimitNOFILE=1K\n",
    "etc/systemd/system/containerd.service.d/same.conf": "[Service]\nTasksMax=\nLimitNOFILE=1048576 # many\n",
    "usr/lib/systemd/system/containerd.service.d/same.conf": "[Service]\nLimitNPROC=7\n",
    "etc/systemd/system.conf.d/defaults.conf": "[Manager]\nDefaultLimitSTACK=16M\nDefaultTasksMax=1000\n",
}
MASKED = {"etc/systemd/system/containerd.service": "-> /dev/null"}

# systemd as the first process of a view of the root, with a control group of its own and nothing else of this machine.
BOOT = (
    r"""
set -e
tree=$1 work=$2 python=$3
mount --make-rprivate /
mount -t tmpfs none "$work/view"
mkdir "$work/view/up" "$work/view/work" "$work/view/root"
mount -t overlay none -o "lowerdir=$tree,upperdir=$work/view/up,workdir=$work/view/work" "$work/view/root"
cp -a "$work/files/." "$work/view/root/"
"$python" -m hostcheck facts units --root "$work/view/root" >"$work/out/facts"
cd "$work/view/root"
out=$work/out
"""
    + roots.SYSTEMD
)


def answers(
    suite: str, files: dict[str, str], work: pathlib.Path, group: pathlib.Path
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return each unit's properties: what hostcheck says of the root with these files, and what its systemd says."""
    roots.need_namespaces()
    tree = roots.need(suite)
    for folder in ("view", "out", "files"):
        (work / folder).mkdir()
    shows = "".join(f"echo @{unit}\nsystemctl show {unit}\n" for unit in UNITS)
    maxima = "/proc/sys/kernel/pid_max /proc/sys/kernel/threads-max"
    asking = {
        "etc/ask": f"(\n{shows}) >/run/out/shown\ncat {maxima} >/run/out/max\nsystemctl exit --force 0\n",
        "etc/systemd/system/ask.target": "[Unit]\nDefaultDependencies=no\nWants=ask.service\n",
        "etc/systemd/system/ask.service": "[Unit]\nDefaultDependencies=no\n[Service]\nType=oneshot\n"
        "ExecStart=/bin/sh /etc/ask\n",
    }
    for path, text in {**files, **asking}.items():
        target = work / "files" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if text.startswith("-> "):
            target.symlink_to(text[3:])
        else:
            target.write_text(text)
    namespaces = ["--pid", "--fork", "--kill-child", "--mount", "--net", "--uts", "--ipc", "--cgroup"]
    # The shell joins the group before unshare makes it the root of a namespace.
    script = f'echo $$ >"{group}/cgroup.procs" && exec unshare {" ".join(namespaces)} sh -c "$0" sh "$@"'
    done = subprocess.run(
        ["sh", "-c", script, BOOT, str(tree), str(work), sys.executable],
        capture_output=True, text=True, timeout=60, cwd=PROJECT, env={**os.environ, "PYTHONPATH": str(PROJECT)},
    )  # fmt: skip
    shown = work / "out/shown"
    assert shown.exists(), done.stdout[-2000:] + done.stderr[-2000:]
    real: dict[str, dict[str, str]] = {}
    for line in shown.read_text().splitlines():
        if line.startswith("@"):
            real[line[1:]] = {}
        else:
            name, _, value = line.partition("=")
            real[list(real)[-1]][name] = value
    return json.loads((work / "out/facts").read_text())["units"], real


NOT_COMPARED = {"Requires", "BindsTo", "Wants", "PartOf", "After"}
"""systemd adds its own to these."""


@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
@pytest.mark.parametrize("files", [{}, LIMITS, MASKED], ids=["stock", "limits", "masked"])
def test_units_are_what_systemd_shows(
    suite: str, files: dict[str, str], tmp_path: pathlib.Path, control_group: pathlib.Path
) -> None:
    ours, real = answers(suite, files, tmp_path, control_group)
    compared, differ = 0, []
    most = min(int(number) for number in (tmp_path / "out/max").read_text().split())
    for unit in UNITS:
        assert real[unit]["LoadState"] in ("loaded", "masked")
        assert unit in ours
        for name, leaf in ours[unit].items():
            if name in NOT_COMPARED or name not in real[unit]:
                continue
            if real[unit]["LoadState"] == "masked" and name.startswith("LimitCORE"):
                # Of a unit that is not loaded systemd shows its own limit, which is that of whatever started it.
                continue
            compared += 1
            said = leaf["value"]
            if name == "TasksMax" and said.endswith("%"):
                # A tree does not know the machine; systemd takes the part of what this one can have.
                said = str(most * int(said[:-1]) // 100)
            if said != real[unit][name]:
                differ.append((unit, name, said, real[unit][name]))
    print(f"{suite}: {compared - len(differ)} of {compared} properties agree")
    assert compared > 20
    assert differ == []
