"""What the judge of daemon.json asks of a host. Hosts without docker need neither."""

from __future__ import annotations

import posixpath

from hostcheck._typing import Optional
from hostcheck.facts import engine
from hostcheck.facts._daemon_model import HostFacts
from hostcheck.facts.files import PROGRAM_FOLDERS, text, which
from hostcheck.host import Host, Unavailable

LIBEXEC = (
    "/usr/local/libexec/docker",
    "/usr/libexec/docker",
    "/usr/local/lib/docker",
    "/usr/lib/docker",
    "/usr/local/libexec",
    "/usr/libexec",
)
"""Where dockerd looks for docker-proxy before $PATH since 27.0 (lookupBinPath in daemon/config)."""

PROGRAM_SIZE = 1024 * 1024
"""Bytes. A dockerd that is smaller is a wrapper, and says nothing of what is installed beside it."""


LAST = 0xFFFFFFFF
"""The number that the kernel gives to no user (map_write in kernel/user_namespace.c)."""


def _is_range(numbers: list[str]) -> bool:
    """Return whether these are a first id and a count that the kernel maps.

    >>> _is_range(["100000", "65536"]), _is_range(["x", "y"]), _is_range(["4294967200", "65536"])
    (True, False, False)
    """
    if len(numbers) != 2 or not all(word.strip().isdecimal() for word in numbers):
        return False
    return int(numbers[0]) + int(numbers[1]) <= LAST


class Facts(HostFacts):
    """What a host says when the judge asks."""

    def __init__(self, host: Host, data_root: str) -> None:
        """Take the host, which is asked when the judge asks, and the data root that its files speak of."""
        self.host = host
        self.data_root = data_root

    @property
    def cgroup_version(self) -> Optional[int]:  # type: ignore[override]
        """1 or 2 after the next boot; a hybrid is 1."""
        from hostcheck.facts import cgroup

        try:
            found = cgroup.mode(self.host)
        except (OSError, Unavailable):
            return None
        mode = found.boot or found.now
        return {"v1": 1, "hybrid": 1, "v2": 2}.get(mode or "")

    @property
    def systemd(self) -> Optional[bool]:  # type: ignore[override]
        """Whether systemd runs the machine."""
        from hostcheck.facts import systemd

        try:
            if systemd.other_init(self.host):
                return False
            paths = ("/usr/lib/systemd/systemd", "/lib/systemd/systemd")
            return True if any(self.host.exists(path) for path in paths) else None
        except (OSError, Unavailable):
            return None

    @property
    def docker_proxy(self) -> Optional[bool]:  # type: ignore[override]
        """Whether docker-proxy is where dockerd looks; unknown beside a dockerd that is not seen."""
        try:
            program = engine.program(self.host, "dockerd")
            if program is None or self.host.stat(program).size < PROGRAM_SIZE:
                return None
            folders = (*LIBEXEC, *PROGRAM_FOLDERS, posixpath.dirname(program), "/opt/bin")
            return any(self.path(f"{folder}/docker-proxy") == "program" for folder in folders)
        except (OSError, Unavailable):
            return None

    @property
    def swarm(self) -> Optional[bool]:  # type: ignore[override]
        """Whether the node keeps the state of a swarm."""
        # Without a certificate dockerd forgets the rest (daemon/cluster/utils.go).
        # Who writes a host down may leave it out.
        parts = ("docker-state.json", "certificates/swarm-node.crt")[: 1 if self.host.written_by_hand else 2]
        found = [self.path(f"{self.data_root}/swarm/{part}") for part in parts]
        return None if None in found else "missing" not in found

    @property
    def adds_users(self) -> Optional[bool]:  # type: ignore[override]
        """Whether users can be made; unknown where no programs are seen at all."""
        if which(self.host, "sh") is None:
            return None
        adds = any(which(self.host, name) for name in ("adduser", "useradd"))
        return adds and which(self.host, "usermod") is not None and not self._locked()

    def _locked(self) -> bool:
        """Return whether a program of shadow holds the users, as its lock with the number of a process says."""
        for name in ("passwd", "group", "subuid", "subgid"):
            try:
                holder = (text(self.host, f"/etc/{name}.lock") or "").strip().strip("\0")
                # At rest only the first process is sure to be there again.
                if holder == "1" or (self.host.kind == "live" and self.host.exists(f"/proc/{holder or '-'}")):
                    return True
            except (OSError, Unavailable):
                continue
        return False

    def path(self, path: str) -> Optional[str]:
        """See `HostFacts.path`."""
        if not path.startswith("/"):
            return None
        try:
            found = self.host.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return "missing"
        except (OSError, Unavailable):
            return None
        if found.is_dir:
            return "folder"
        return "program" if found.is_executable else "file"

    def user(self, name: str) -> Optional[bool]:
        """See `HostFacts.user`."""
        return self._entry("/etc/passwd", name, "passwd")

    def group(self, name: str) -> Optional[bool]:
        """See `HostFacts.group`."""
        return self._entry("/etc/group", name, "group")

    def _entry(self, path: str, name: str, database: str) -> Optional[bool]:
        try:
            content = text(self.host, path)
            switch = text(self.host, "/etc/nsswitch.conf")
        except (OSError, Unavailable):
            return None
        if content is None:
            return None
        for line in content.splitlines():
            fields = line.split(":")
            if name == fields[0] or (len(fields) > 2 and name == fields[2]):
                return True
        for line in (switch or "").splitlines():
            source, _, services = line.partition("#")[0].partition(":")
            if source.strip() == database and set(services.split()) - {"files", "systemd", "compat"}:
                return None
        return False

    def plugin(self, name: str) -> Optional[bool]:
        """See `HostFacts.plugin`."""
        from hostcheck.facts import plugins  # few hosts have any

        return plugins.has_plugin(self.host, name, self.data_root)

    def content(self, path: str) -> Optional[str]:
        """See `HostFacts.content`."""
        try:
            return text(self.host, path)
        except (OSError, Unavailable):
            return None

    def subordinate(self, name: str, kind: str) -> Optional[bool]:
        """See `HostFacts.subordinate`."""
        try:
            content = text(self.host, f"/etc/sub{kind}")
            switch = text(self.host, "/etc/nsswitch.conf") or ""
            accounts = text(self.host, "/etc/passwd" if kind == "uid" else "/etc/group") or ""
        except (OSError, Unavailable):
            return None
        if any(line.strip().startswith("subid:") for line in switch.splitlines()):
            return None
        known = {name}
        for line in accounts.splitlines():
            fields = line.split(":")
            if len(fields) > 2 and name in (fields[0], fields[2]):
                known |= {fields[0], fields[2]}
        return any(line.partition(":")[0].strip() in known for line in (content or "").splitlines())

    def garbled(self, name: str) -> bool:
        """See `HostFacts.garbled`."""
        for kind in ("uid", "gid"):
            try:
                content = text(self.host, f"/etc/sub{kind}") or ""
            except (OSError, Unavailable):
                continue
            for line in content.splitlines():
                first, *numbers = line.strip().split(":")
                if first == name and not _is_range(numbers):
                    return True
        return False
