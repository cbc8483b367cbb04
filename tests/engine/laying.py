"""The words in which a fault is laid down on a Debian host."""

from __future__ import annotations

import json
import shlex
from typing import Any, NamedTuple

SUITES = ("bookworm", "trixie", "sid")
"""The releases of Debian whose engines judge: Docker 20.10, 26.1 and 28.5."""
DAEMON = "/etc/docker/daemon.json"
CONTAINERD = "/etc/containerd/config.toml"
DATA = "{root}/var/lib/docker"


class Fault(NamedTuple):
    """One thing laid down on a healthy host."""

    name: str
    laid: dict[str, Any]
    """See inside.py."""
    check: str = ""
    """The check that must say so of Debian 12, if its engine fails; empty: any."""
    chosen: bool = False
    """The configuration asks for just this, so that hostcheck has nothing to block."""
    now: bool = False
    """It says nothing of the next boot: there is no systemd here, and there will be."""

    @property
    def live(self) -> bool:
        """Whether the running host shows the fault: limits of a service are systemd's, which does not run here."""
        return not {"limits", "group"} & set(self.laid)

    @property
    def at_rest(self) -> bool:
        """Whether the fault lies in files of the root, so that its tree alone foretells it."""
        mounts = any(argv[0] in ("mount", "umount") for argv in self.laid.get("commands", []))
        volatile = any(path.startswith("/run/") for path in self.laid.get("files", {}))
        return not self.now and not mounts and not volatile and "around" not in self.laid


def files(texts: dict[str, str]) -> dict[str, Any]:
    """Return files of these texts."""
    return {"files": texts}


def daemon(text: str) -> dict[str, Any]:
    """Return a daemon.json of this text."""
    return {"files": {DAEMON: text}}


def keys(**values: object) -> dict[str, Any]:
    """Return a daemon.json of these keys."""
    return daemon(json.dumps({key.replace("_", "-"): value for key, value in values.items()}))


def containerd(text: str) -> dict[str, Any]:
    """Return a configuration of containerd."""
    return {"files": {CONTAINERD: text}}


def limits(**values: object) -> dict[str, Any]:
    """Return a daemon.json with one limit of containers."""
    return keys(default_ulimits={"x": values})


def command(*argv: str) -> dict[str, Any]:
    """Return a command to run in the root."""
    return {"commands": [list(argv)]}


def around(*commands: str) -> dict[str, Any]:
    """Return commands to run around the root, with this machine's programs."""
    return {"around": [shlex.split(line) for line in commands]}


def now(*commands: str) -> dict[str, Any]:
    """Return commands of the root that change what the next boot forgets."""
    return around(*(f"chroot {{root}} {line}" for line in commands))


def removed(*paths: str) -> dict[str, Any]:
    """Return files to remove."""
    return {"remove": list(paths)}


def disk(mkfs: str, point: str = DATA) -> dict[str, Any]:
    """Return a file system of its own, in a sparse file."""
    file = "{root}/run/disk"
    return around(f"truncate -s 30G {file}", f"{mkfs} {file}", f"mount -o loop {file} {point}")


def limited(name: str, value: int) -> dict[str, Any]:
    """Return units of the engines with this limit, and the limit."""
    return both(service(f"Limit{name}={value}", *ENGINES), {"limits": {f"RLIMIT_{name}": value}})


def service(text: str, *names: str) -> dict[str, Any]:
    """Return a drop-in of this text for the units of these services."""
    return files(
        {f"/etc/systemd/system/{name}.service.d/fault.conf": f"[Service]\n{text}\n" for name in names}
    )


def flags(*words: str) -> dict[str, Any]:
    """Return these flags of dockerd, and a drop-in with them."""
    line = f"ExecStart=\nExecStart=/usr/sbin/dockerd -H fd:// {' '.join(words)}"
    return {**service(line, "docker"), "flags": list(words)}


def flagged(words: str) -> dict[str, Any]:
    """Return flags of dockerd in the file where Debian's unit reads them."""
    return both(files({"/etc/default/docker": f'DOCKER_OPTS="{words}"\n'}), {"flags": words.split()})


def on_socket(**values: object) -> dict[str, Any]:
    """Return a daemon.json of these keys, beside a unit in which dockerd makes its socket itself."""
    return both(
        keys(**values),
        service("ExecStart=\nExecStart=/usr/sbin/dockerd -H unix:///run/docker.sock", "docker"),
    )


def seccomp(profile: str) -> dict[str, Any]:
    """Return a seccomp profile of this text, and a daemon.json that names it."""
    path = "/etc/docker/profile.json"
    return both(keys(seccomp_profile=path), files({path: profile}))


def both(*parts: dict[str, Any]) -> dict[str, Any]:
    """Return all that the parts lay down."""
    laid: dict[str, Any] = {}
    for part in parts:
        for key, value in part.items():
            if isinstance(value, dict):
                value = {**laid.get(key, {}), **value}
            elif isinstance(value, list):
                value = laid.get(key, []) + value
            laid[key] = value
    return laid


def shell(line: str) -> dict[str, Any]:
    """Return a line for the shell of the root."""
    return command("sh", "-c", line)


def script(path: str, text: str) -> dict[str, Any]:
    """Return a script in the place of a program."""
    return shell(f"rm {path} && printf '%s\\n' '{text}' > {path} && chmod +x {path}")


ENGINES = ("docker", "containerd")
LIBRARIES = "/usr/lib/x86_64-linux-gnu"
NO_IPTABLES = command("rm", "-f", "/usr/sbin/iptables")
VPN = ("ip link add vpn type veth peer name far", "ip link set vpn up")
LEGACY = command("update-alternatives", "--set", "iptables", "/usr/sbin/iptables-legacy")
CGROUP = "{root}/sys/fs/cgroup"
PURE_V2 = (f"umount -l -R {CGROUP}", f"mount -t cgroup2 cgroup2 {CGROUP}")
NO_USER_NAMESPACES = {
    **around(
        "sh -c 'echo 0 > {root}/run/zero'",
        "mount --bind {root}/run/zero {root}/proc/sys/user/max_user_namespaces",
    ),
    "no_user_namespaces": True,
}
