"""A sosreport says what it holds, and never that something is missing because it was not copied."""

from __future__ import annotations

import io
import pathlib
import tarfile

import pytest

from hostcheck.facts import mounts, packages, sysctl
from hostcheck.host import Host, Unavailable
from hostcheck.host.target import open_target

FILES = {
    "hostname": "web1\n",
    "etc/os-release": "ID=debian\nVERSION_ID=12\n",
    "etc/sysctl.d/10.conf": "net.ipv4.ip_forward = 1\n",
    "proc/1/mountinfo": "36 1 98:0 / / rw,noatime - ext4 /dev/vda rw\n",
    "proc/cmdline": "quiet\n",
    "sos_commands/kernel/sysctl_-a": "kernel.osrelease = 6.1.0-50-amd64\nnet.ipv4.ip_forward = 0\n",
    "sos_commands/kernel/lsmod": "Module   Size  Used by\noverlay 151552  2\nbridge  311296  1 br_netfilter\n",
    "sos_commands/filesys/df_-al_-x_autofs": "Filesystem 1K-blocks Used Available Use% Mounted on\n"
    "/dev/vda 100000 1 90000 1% /\n/dev/vdb 500 1 400 1% /var/lib\nproc - - - - /proc\n",
    "sos_commands/filesys/df_-ali_-x_autofs": "Filesystem Inodes IUsed IFree IUse% Mounted on\n"
    "/dev/vda 1000 1 900 1% /\n/dev/vdb 50 1 40 1% /var/lib\n",
    "sos_commands/process/ps_auxwww": "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND\n"
    "root 77 0 0 1 1 ? S 10:00 0:00 /usr/bin/dockerd -H fd://\nroot 9 0 0 1 1 ? S 10:00 0:00 [kthreadd]\n",
    "sos_commands/networking/ip_route_show_table_all": "default via 192.0.2.1 dev eth0\n",
    "installed-debs": "||/ Name Version Architecture Description\n+++-=\n"
    "ii docker.io 20.10.24+dfsg1-1 amd64 Linux container runtime\nrc runc 1.1 amd64 gone\n",
}


@pytest.fixture(params=["folder", "tar.xz"])
def host(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Host:
    top = tmp_path / "sosreport-web1"
    for name, content in FILES.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(content)
    if request.param == "folder":
        return open_target(str(top))
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:xz") as tar:
        tar.add(top, arcname=top.name)
    (tmp_path / "sos.tar.xz").write_bytes(out.getvalue())
    return open_target(str(tmp_path / "sos.tar.xz"))


def test_what_it_holds(host: Host) -> None:
    assert (host.kind, host.name, host.recording) == ("live", "web1", True)
    assert host.read("/proc/cmdline") == "quiet\n"
    assert host.read("/proc/sys/net/ipv4/ip_forward") == "0\n"
    assert host.run("ip", "route", "show", "table", "all").out.startswith("default")
    assert host.disk_usage("/var/lib/docker")[:2] == (500 * 1024, 400 * 1024)
    assert host.disk_usage("/var/library")[2:] == (1000, 900)
    assert host.pids("dockerd") == (77,)
    assert (
        host.read("/proc/modules").splitlines()[1] == "bridge 311296 1 br_netfilter, Live 0x0000000000000000"
    )


def test_facts_are_read_from_it(host: Host) -> None:
    assert [mount.point for mount in mounts.mounted(host)] == ["/"]
    assert sysctl.now(host, "net.ipv4.ip_forward") == "0"
    assert set(packages.packages(host)) == {"docker.io"}


@pytest.mark.parametrize("path", ["/etc/docker/daemon.json", "/usr/bin/dockerd", "/etc/fstab", "/boot"])
def test_what_was_not_copied_is_not_known(path: str, host: Host) -> None:
    for ask in (host.read, host.names, host.stat, host.exists):
        with pytest.raises(Unavailable):
            ask(path)


def test_what_was_copied_whole_is_known(host: Host) -> None:
    assert host.names("/etc/sysctl.d") == ("10.conf",)
    assert not host.exists("/etc/sysctl.d/99.conf")
    with pytest.raises(Unavailable):
        host.run("iptables", "-S")
