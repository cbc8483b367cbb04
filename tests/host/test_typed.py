"""What a person types to look at a machine: the same fact in each form that it is asked in."""

from __future__ import annotations

import json
import pathlib
import shlex
from collections.abc import Callable, Mapping

import pytest

from hostcheck.facts import (
    firewall,
    kernel,
    modules,
    mounts,
    packages,
    resources,
    routing,
    storage,
    systemd,
    versions,
)
from hostcheck.host import Completed, Host, Unavailable
from hostcheck.host.recorded import RecordedHost
from hostcheck.testing import FakeHost

BASE = {
    "/etc/os-release": "ID=debian\nVERSION_ID=12\n",
    "/etc/passwd": "root:x:0:0::/root:/bin/sh\n",
    "/etc/group": "root:x:0:\ndocker:x:999:\n",
    "/boot/config-6.1.0-1-amd64": "CONFIG_MEMCG=y\nCONFIG_VXLAN=m\n",
    "/proc/sys/kernel/osrelease": "6.1.0-1-amd64\n",
    "/proc/sys/net/ipv4/ip_forward": "0\n",
    "/proc/sys/net/bridge/bridge-nf-call-iptables": "1\n",
    "/proc/modules": "overlay 163840 1 - Live 0x0\nbr_netfilter 32768 0 - Live 0x0\n",
    "/proc/mounts": "/dev/vda1 / ext4 rw,relatime 0 0\n",
    "/proc/self/mountinfo": "20 1 8:1 / / rw,relatime - ext4 /dev/vda1 rw\n",
    "/proc/meminfo": "MemTotal: 8000000 kB\nSwapTotal: 0 kB\n",
    "/proc/swaps": "Filename Type Size Used Priority\n",
    "/usr/lib/modules/6.1.0-1-amd64/kernel/drivers/net/vxlan/vxlan.ko": "",
    "/usr/lib/modules/6.1.0-1-amd64/modules.dep": "kernel/drivers/net/vxlan/vxlan.ko:\n",
    "/usr/lib/systemd/system/docker.service": (
        "[Service]\nExecStart=/usr/sbin/dockerd\n[Install]\nWantedBy=multi-user.target\n"
    ),
    "/etc/systemd/system/multi-user.target.wants/docker.service": "-> /usr/lib/systemd/system/docker.service",
    "/var/lib/dpkg/status": "Package: runc\nStatus: install ok installed\nVersion: 1.1.5\nArchitecture: amd64\n",
    "/run/systemd/system/": "",
    "/usr/bin/newuidmap": "\x7fELF",
    "/sys/fs/selinux/enforce": "1",
}

LS = "-rwxr-xr-x 1 root root 12 Jan  1 2020 /usr/bin/newuidmap"
STAT = (
    "  File: /usr/bin/newuidmap\nAccess: (0700/-rwx------)  Uid: (    0/    root)   Gid: (  999/  docker)\n"
)
DF = "Filesystem Size Used Avail Use% Mounted on\n/dev/vda1 20G 20G 0 100% /\n"
SHOW = "Type=notify\nLimitNOFILE=1024\n"
STATUS = "  Loaded: loaded (/lib/systemd/system/docker.service; disabled; vendor preset: enabled)\n"
CAT = (
    "# /lib/systemd/system/docker.service\n[Service]\nExecStart=/a\n\n"
    "# /etc/systemd/system/docker.service.d/x.conf\n[Service]\nExecStart=/b\n"
)
INFO = "Server:\n Server Version: 19.03.8\n runc version: v1.0.0-rc10-0-g1\n Kernel Version: 5.3.0-1\n"
VERSION = (
    " Engine:\n  Version:          19.03.8\n containerd:\n"
    "  Version:          1.2.13\n runc:\n  Version:          1.0.0-rc10\n"
)
CHAIN = "Chain FORWARD (policy DROP 0 packets, 0 bytes)\n"


def sysctl(key: str) -> Callable[[Host], object]:
    return lambda host: host.read("/proc/sys/" + key.replace(".", "/")).strip()


def mode(host: Host) -> object:
    return oct(host.stat("/usr/bin/newuidmap").mode & 0o7777)


def version(tool: str) -> Callable[[Host], object]:
    return lambda host: str(versions.version(host, tool))


def absent(path: str) -> Callable[[Host], object]:
    return lambda host: not host.exists(path)


def mounted(host: Host) -> object:
    found = mounts.now(host, "/var")
    return (found.type, "noexec" in found.options) if found else None


def state(host: Host) -> object:
    found = systemd.enabled(host, "docker.service")
    return found.value if found else None


def casefold(host: Host) -> object:
    root = mounts.now(host, "/")
    return root is not None and "casefold" in storage.superblock(host, root)


def vxlan(host: Host) -> object:
    tree = modules.tree(host, "6.1.0-1-amd64")
    return host.exists(f"{tree.folder}/{tree.files['vxlan']}")


TYPED: dict[str, tuple[str, str, Callable[[Host], object], object]] = {
    "sysctl": ("sysctl net.ipv4.ip_forward", "net.ipv4.ip_forward = 1", sysctl("net.ipv4.ip_forward"), "1"),
    "sysctl -n": ("sysctl -n net.ipv4.ip_forward", "1", sysctl("net.ipv4.ip_forward"), "1"),
    "sysctl -a": ("sudo sysctl -a", "a.b = 7\nnet.ipv4.ip_forward = 1\n", sysctl("net.ipv4.ip_forward"), "1"),
    "sysctl absent": (
        "sysctl net.bridge.bridge-nf-call-iptables",
        "sysctl: cannot stat /proc/sys/net/bridge/bridge-nf-call-iptables: No such file or directory",
        absent("/proc/sys/net/bridge/bridge-nf-call-iptables"),
        True,
    ),
    "cat": ("cat /proc/sys/net/ipv4/ip_forward", "1", sysctl("net.ipv4.ip_forward"), "1"),
    "shell": ("sh -c 'cat /proc/sys/net/ipv4/ip_forward'", "1", sysctl("net.ipv4.ip_forward"), "1"),
    "cat absent": (
        "cat /etc/group",
        "cat: /etc/group: No such file or directory",
        absent("/etc/group"),
        True,
    ),
    "ls absent": (
        "ls -l /etc/group",
        "ls: cannot access '/etc/group': No such file or directory",
        absent("/etc/group"),
        True,
    ),
    "stat absent": (
        "stat /etc/group",
        "stat: cannot statx '/etc/group': No such file or directory",
        absent("/etc/group"),
        True,
    ),
    "uname -r": ("uname -r", "5.4.0-1", kernel.running_release, "5.4.0-1"),
    "uname -a": ("uname -a", "Linux h 5.4.0-1 #1 SMP x86_64 GNU/Linux", kernel.running_release, "5.4.0-1"),
    "hostnamectl": ("hostnamectl", "  Kernel: Linux 5.4.0-1\n", kernel.running_release, "5.4.0-1"),
    "docker info kernel": ("docker info", INFO, kernel.running_release, "5.3.0-1"),
    "grep config": (
        "grep CONFIG_MEMCG /boot/config-6.1.0-1-amd64",
        "# CONFIG_MEMCG is not set\n",
        lambda host: host.read("/boot/config-6.1.0-1-amd64"),
        "CONFIG_VXLAN=m\n# CONFIG_MEMCG is not set\n",
    ),
    "zgrep config": (
        "zgrep MEMCG /proc/config.gz",
        "CONFIG_MEMCG=n\n",
        lambda host: host.read("/boot/config-6.1.0-1-amd64"),
        "CONFIG_VXLAN=m\nCONFIG_MEMCG=n\n",
    ),
    "zcat config": (
        "zcat /proc/config.gz | grep MEMCG",
        "# CONFIG_MEMCG is not set\n",
        lambda host: host.read("/boot/config-6.1.0-1-amd64"),
        "CONFIG_VXLAN=m\n# CONFIG_MEMCG is not set\n",
    ),
    "lsmod": (
        "lsmod",
        "Module Size Used by\nveth 1 0\n",
        lambda host: sorted(modules.loaded(host)),
        ["veth"],
    ),
    "lsmod none": ("lsmod | grep br_netfilter", "", lambda host: sorted(modules.loaded(host)), ["overlay"]),
    "lsmod one": (
        "lsmod | grep veth",
        "veth 32768 0\n",
        lambda host: sorted(modules.loaded(host)),
        ["br_netfilter", "overlay", "veth"],
    ),
    "modprobe": (
        "modprobe vxlan",
        "modprobe: FATAL: Module vxlan not found in directory /lib/modules/6.1.0-1-amd64",
        vxlan,
        False,
    ),
    "modinfo": ("modinfo vxlan", "modinfo: ERROR: Module vxlan not found.", vxlan, False),
    "mount": (
        "mount",
        "/dev/vda1 on / type ext4 (rw)\n/dev/vdb on /var type xfs (rw,noexec)\n",
        mounted,
        ("xfs", True),
    ),
    "findmnt": (
        "findmnt",
        "TARGET SOURCE    FSTYPE OPTIONS\n/      /dev/vda1 ext4   rw\n└─/var /dev/vdb  xfs    rw,noexec\n",
        mounted,
        ("xfs", True),
    ),
    "findmnt -no": ("findmnt -no FSTYPE,OPTIONS /var", "xfs rw,noexec\n", mounted, ("xfs", True)),
    "cat mounts": (
        "cat /proc/mounts",
        "/dev/vda1 / ext4 rw 0 0\n/dev/vdb /var xfs rw,noexec 0 0\n",
        mounted,
        ("xfs", True),
    ),
    "ls -l": ("ls -l /usr/bin/newuidmap", LS, mode, "0o755"),
    "stat": ("stat /usr/bin/newuidmap", STAT, mode, "0o700"),
    "stat -c": ("stat -c %a /usr/bin/newuidmap", "4755", mode, "0o4755"),
    "stat -c %A %U": ("stat -c '%A %U' /usr/bin/newuidmap", "-rwsr-xr-x root", mode, "0o4755"),
    "readlink": (
        "readlink /etc/alternatives/iptables",
        "/usr/sbin/iptables-legacy",
        lambda host: host.readlink("/etc/alternatives/iptables"),
        "/usr/sbin/iptables-legacy",
    ),
    "ls of a link": (
        "ls -l /etc/resolv.conf",
        "lrwxrwxrwx 1 root root 39 Jan 1 2020 /etc/resolv.conf -> ../run/systemd/resolve/stub-resolv.conf",
        lambda host: host.readlink("/etc/resolv.conf"),
        "../run/systemd/resolve/stub-resolv.conf",
    ),
    "df -h": (
        "df -h /var/lib/docker",
        DF,
        lambda host: host.disk_usage("/var/lib/docker")[:2],
        (20 << 30, 0),
    ),
    "df": ("df -h", DF, lambda host: host.disk_usage("/")[:2], (20 << 30, 0)),
    "df -hT": (
        "df -hT",
        DF.replace("Size", "Type Size").replace("20G 20G", "ext4 20G 20G"),
        lambda host: host.disk_usage("/")[:2],
        (20 << 30, 0),
    ),
    "df -k alone": (
        "df -k /",
        "Filesystem 1K-blocks Used Available Use% Mounted on\n/dev/a 30 30 0 100% /\n",
        lambda host: host.disk_usage("/"),
        (30 << 10, 0, -1, -1),
    ),
    "swapon": (
        "swapon --show",
        "NAME TYPE SIZE USED PRIO\n/swapfile file 2G 0B -2\n",
        lambda host: len(resources.swaps(host)),
        1,
    ),
    "getenforce": ("getenforce", "Permissive\n", lambda host: host.read("/sys/fs/selinux/enforce"), "0"),
    "sestatus": ("sestatus", "SELinux status: disabled\n", absent("/sys/fs/selinux/enforce"), True),
    "getent": (
        "getent group docker",
        "docker:x:120:u\n",
        lambda host: "docker:x:120:u" in host.read("/etc/group"),
        True,
    ),
    "is-enabled": ("systemctl is-enabled docker", "disabled\n", state, "disabled"),
    "is-enabled of two": (
        "systemctl is-enabled docker.service docker.socket",
        "disabled\nenabled\n",
        state,
        "disabled",
    ),
    "list-unit-files": ("systemctl list-unit-files", "docker.service masked enabled\n", state, "masked"),
    "status": ("systemctl status docker", STATUS, state, "disabled"),
    "systemctl cat": (
        "systemctl cat docker",
        CAT,
        lambda host: (
            host.read("/usr/lib/systemd/system/docker.service").strip(),
            host.read("/etc/systemd/system/docker.service.d/x.conf"),
        ),
        ("[Service]\nExecStart=/a", "[Service]\nExecStart=/b\n"),
    ),
    "systemctl show": (
        "systemctl show docker",
        SHOW,
        lambda host: (systemd.running(host, "docker.service") or {}).get("LimitNOFILE"),
        "1024",
    ),
    "systemctl show -p": (
        "systemctl show -p LimitNOFILE --value docker",
        "1024\n",
        lambda host: (systemd.running(host, "docker.service") or {}).get("LimitNOFILE"),
        "1024",
    ),
    "dpkg -l": (
        "dpkg -l",
        "ii  docker.io  20.10.5+dfsg1-1  amd64  x\nrc  runc  1.0  amd64  x\n",
        lambda host: sorted(packages.packages(host)),
        ["docker.io"],
    ),
    "dpkg-query": (
        "dpkg-query -W",
        "docker.io\t20.10.5\n",
        lambda host: sorted(packages.packages(host)),
        ["docker.io", "runc"],
    ),
    "dpkg absent": (
        "dpkg -l runc",
        "dpkg-query: no packages found matching runc\n",
        lambda host: sorted(packages.packages(host)),
        [],
    ),
    "rpm -qa": (
        "rpm -qa",
        "docker-ce-19.03.8-3.el8.x86_64\n",
        lambda host: packages.packages(host)["docker-ce"].version,
        "19.03.8-3.el8",
    ),
    "rpm -q": (
        "rpm -q docker-ce",
        "docker-ce-19.03.8-3.el8.x86_64\n",
        lambda host: packages.packages(host)["docker-ce"].version,
        "19.03.8-3.el8",
    ),
    "apk": (
        "apk info -v",
        "docker-20.10.9-r1\n",
        lambda host: packages.packages(host)["docker"].version,
        "20.10.9-r1",
    ),
    "docker info": ("docker info", INFO, version("dockerd"), "19.03.8"),
    "docker version": ("docker version", VERSION, version("dockerd"), "19.03.8"),
    "docker version, runc": ("docker version", VERSION, version("runc"), "1.0.0-rc10"),
    "docker version, containerd": ("docker version", VERSION, version("containerd"), "1.2.13"),
    "runc -v": ("runc -v", "runc version 1.1.9", version("runc"), "1.1.9"),
    "iptables -V": ("iptables -V", "iptables v1.8.4 (legacy)", firewall.backend, "legacy"),
    "sudo iptables": (
        "sudo /usr/sbin/iptables --version",
        "iptables v1.8.4 (legacy)",
        firewall.backend,
        "legacy",
    ),
    "iptables -L": ("iptables -L -n", CHAIN, firewall.forward_rules, "-P FORWARD DROP\n"),
    "iptables -S": (
        "iptables -S",
        "-P INPUT ACCEPT\n-P FORWARD DROP\n",
        firewall.forward_rules,
        "-P FORWARD DROP\n",
    ),
    "iptables-save": (
        "iptables-save",
        "*filter\n:FORWARD DROP [0:0]\nCOMMIT\n",
        firewall.forward_rules,
        "-P FORWARD DROP\n",
    ),
    "tune2fs": (
        "tune2fs -l /dev/vda1",
        "Filesystem features: casefold filetype\n",
        casefold,
        True,
    ),
    "ip rule": (
        "ip rule show",
        "0:\tfrom all lookup local\n9:\tfrom 10.9.0.0/16 blackhole\n32766:\tfrom all lookup main\n",
        lambda host: getattr(routing.diverted(host, (0x0A090000, 16)), "priority", None),
        9,
    ),
    "pidof": ("pidof dockerd", "12 7\n", lambda host: host.pids("dockerd"), (7, 12)),
    "ls of a folder": ("ls /srv", "a b\n", lambda host: host.names("/srv"), ("a", "b")),
}


def recorded(
    folder: pathlib.Path, files: Mapping[str, str], argv: tuple[str, ...], done: Completed
) -> RecordedHost:
    links = {path: text[3:] for path, text in files.items() if text.startswith("-> ")}
    for path, text in files.items():
        place = folder / "root" / path.lstrip("/")
        if path.endswith("/"):
            place.mkdir(parents=True, exist_ok=True)
        elif path not in links:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
    said = {"argv": list(argv), "exit": done.code, "stdout": done.out, "stderr": done.err}
    (folder / "commands.json").write_text(json.dumps([said]))
    (folder / "links.json").write_text(json.dumps({"/lib": "usr/lib", **links}))
    (folder / "host.json").write_text(json.dumps({"kind": "live", "complete": True}))
    return RecordedHost(str(folder))


@pytest.mark.parametrize("name", TYPED)
def test_typed(name: str, tmp_path: pathlib.Path) -> None:
    line, printed, ask, expected = TYPED[name]
    argv = tuple(shlex.split(line))
    wrong = any(word in printed for word in ("No such file", "not found", "no packages"))
    done = Completed(argv, int(wrong), "" if wrong else printed, printed if wrong else "")
    for host in (
        FakeHost({**BASE, "/lib": "-> usr/lib"}, commands={argv: done}),
        recorded(tmp_path, BASE, argv, done),
    ):
        assert said(ask, host) == expected, type(host)


def test_nothing_else_is_taken(tmp_path: pathlib.Path) -> None:
    """What was typed with a filter that changes it, or what asks for other things, tells nothing."""
    lines = (
        "cat /proc/swaps | wc -l",
        "sysctl -w net.ipv4.ip_forward",
        "df -h /x",
        "lsmod | grep -v x",
        "mount /dev/x /y",
    )
    commands = {tuple(shlex.split(line)): "1\n" for line in lines}
    host = FakeHost(BASE, commands=commands)
    assert {path: host.read(path) for path in host.files} == {
        path: text for path, text in BASE.items() if not text.startswith("-> ") and not path.endswith("/")
    }


def said(ask: Callable[[Host], object], host: Host) -> object:
    try:
        return ask(host)
    except (OSError, Unavailable) as error:
        return type(error)
