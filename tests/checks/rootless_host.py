"""A Debian on which a user runs docker without root, for the tests of the checks of that."""

from __future__ import annotations

from hostcheck.finding import Outcome, Result
from hostcheck.host import Completed
from hostcheck.testing import Content, FakeHost

ELF = b"\x7fELF"
KERNEL = "6.1.0-28-amd64"
HOME = "/home/u/.config/systemd/user/default.target.wants/docker.service"
MODES = {"/usr/bin/newuidmap": 0o4755, "/usr/bin/newgidmap": 0o4755}
PORT = "/proc/sys/net/ipv4/ip_unprivileged_port_start"
OWN = "/home/u/.config/docker/daemon.json"
STOCK: dict[str, Content] = {
    "/etc/os-release": 'ID=debian\nVERSION_ID="12"\n',
    "/sbin/init": "-> /lib/systemd/systemd",
    "/lib/systemd/systemd": ELF,
    "/lib/systemd/user/dbus.socket": "[Socket]\nListenStream=%t/bus\n",
    "/lib/systemd/system/user@.service": "[Service]\nDelegate=pids memory cpu\n",
    "/etc/passwd": "root:x:0:0::/root:/bin/sh\nu:x:1000:1000::/home/u:/bin/bash\n",
    "/etc/subuid": "u:100000:65536\n",
    "/etc/subgid": "u:100000:65536\n",
    "/usr/bin/newuidmap": ELF,
    "/usr/bin/newgidmap": ELF,
    "/usr/bin/slirp4netns": ELF,
    "/usr/bin/rootlesskit": ELF,
    "/dev/net/tun": "",
    "/usr/bin/dockerd-rootless.sh": "#!/bin/sh\n",
    f"/lib/modules/{KERNEL}/modules.dep": "kernel/drivers/net/tun.ko:\nkernel/fs/fuse/fuse.ko:\n",
    f"/lib/modules/{KERNEL}/kernel/drivers/net/tun.ko": "x",
    f"/lib/modules/{KERNEL}/kernel/fs/fuse/fuse.ko": "x",
    "/proc/sys/kernel/osrelease": KERNEL + "\n",
    "/proc/self/mountinfo": "25 1 8:1 / / rw - ext4 /dev/sda1 rw\n30 25 0:26 / /sys/fs/cgroup rw - cgroup2 c rw\n",
    "/etc/fstab": "/dev/sda1 / ext4 defaults 0 1\n",
    PORT: "80\n",
    "/etc/sysctl.d/90-rootless.conf": "net.ipv4.ip_unprivileged_port_start = 80\n",
}
USED: dict[str, Content] = {
    HOME: "[Service]\nExecStart=/usr/bin/dockerd-rootless.sh\n",
    "/var/lib/systemd/linger/u": "",
}
PACKAGE = "Package: {}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {}\n\n"


def host(
    files: dict[str, Content | None] | None = None,
    *,
    kind: str = "live",
    packages: dict[str, str] | None = None,
    modes: dict[str, int] | None = None,
    used: bool = True,
    release: str = KERNEL,
    commands: dict[tuple[str, ...], str | Completed | Exception] | None = None,
) -> FakeHost:
    """Return a Debian on which `u` runs docker without root, with these files instead; None takes one away."""
    laid: dict[str, Content | None] = {**STOCK, **(USED if used else {}), **(files or {})}
    every = {"systemd": "252.39-1~deb12u1", **(packages or {})}
    laid["/var/lib/dpkg/status"] = "".join(PACKAGE.format(*each) for each in every.items())
    kept = {path.replace(KERNEL, release): each for path, each in laid.items() if each is not None}
    if release != KERNEL:
        kept["/proc/sys/kernel/osrelease"] = release + "\n"
    return FakeHost(kept, kind=kind, modes={**MODES, **(modes or {})}, commands=commands)


def failures(result: Result) -> dict[tuple[str, str], str]:
    """Return subject and time of each failure with its severity."""
    assert result.outcome is not Outcome.ERROR, result.reason
    return {(f.subject, f.when): str(result.severity_of(f)) for f in result.failures}


RESTRICTED: dict[str, Content | None] = {
    "/etc/os-release": 'ID=ubuntu\nVERSION_ID="24.04"\n',
    "/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1\n",
    "/sys/module/apparmor/parameters/enabled": "Y\n",
    "/usr/lib/sysctl.d/10-apparmor.conf": "kernel.apparmor_restrict_unprivileged_userns = 1\n",
    "/etc/apparmor.d/rootlesskit": "profile rootlesskit /usr/bin/rootlesskit flags=(unconfined) {\n  userns,\n}\n",
}
