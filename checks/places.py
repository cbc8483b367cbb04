"""The places in which engines keep what is running: folders of /run, sockets, files for a moment."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, Unavailable, Version, failed, passed
from hostcheck.facts import containerd, docker, engine, files, firewall, mounts, sockets, systemd, toml
from hostcheck.facts.versions import version

MOBY = "https://github.com/moby/moby/blob/v28.5.2"
CONTAINERD = "https://github.com/containerd/containerd/blob/v2.1.5"
RUN, STATE, TMP = "/var/run/docker", "/run/containerd", "/tmp"  # noqa: S108

SOCKET = "/var/run/docker.sock"
"""Where dockerd listens and its client asks, unless they are told otherwise (opts/hosts.go of docker's cli)."""

OF_DOCKER = (
    ("", ""),
    ("netns", ""),
    ("libnetwork", ""),
    ("plugins", ""),
    ("containerd", ""),
    ("runtime-runc", ""),
    ("swarm", "28.1"),
)
"""Below dockerd's folder of what runs: a folder, and the release from which on it is not made at the start.
Source: libnetwork/osl/namespace_linux.go, sandbox_externalkey_unix.go, daemon/daemon.go, daemon/runtime_unix.go,
daemon/cluster/cluster.go."""

OF_CONTAINERD = (
    ("", ""),
    ("s", ""),
    ("io.containerd.runtime.v2.task", ""),
    ("io.containerd.runtime.v1.linux", "2.0"),
)
"""Below containerd's state: the folders without which no container starts. Source: core/runtime/v2, pkg/shim."""


def read_only(host: Host, path: str) -> mounts.Mount | None:
    """Return the mount that keeps a path from being written now, None if none does."""
    found = mounts.now(host, path)
    return found if found and "ro" in found.options else None


def docker_sockets(host: Host) -> Iterator[tuple[str, str]]:
    """Yield the unix sockets through which dockerd is to be reached, and who makes each."""
    try:
        listens = docker.effective(host).get("hosts")
        hosts = [str(each) for each in listens.value or []] if listens else []
    except (NotApplicable, OSError, Unavailable):
        hosts = []
    for address in hosts or ["unix://"]:
        if address.startswith("unix://"):
            yield address[len("unix://") :] or SOCKET, "dockerd"
        elif address.startswith("fd://"):
            yield from ((path, "docker.socket") for path in _listened(host))


def _listened(host: Host) -> list[str]:
    """Return the paths on which docker.socket listens, none where there is no such unit."""
    try:
        unit = systemd.unit(host, "docker.socket")
    except (OSError, Unavailable):
        unit = None
    said = [each.value for each in unit.assignments if each.key == "ListenStream"] if unit else []
    # An empty line takes back what stands before it.
    return said[len(said) - said[::-1].index("") :] if "" in said else said


class PlacesRun(Check):
    """The engines can make their folders in /run.

    *Why*: what runs has its namespaces, sockets and pipes there. Where /run is read-only, or a file stands in the place
    of a folder, dockerd does not start ("mkdir /var/run/docker: read-only file system"), or starts no container
    ("mkdir /run/containerd/s: not a directory").

    *Needs*: on a running host folders, or nothing, below exec-root of dockerd and `state` of containerd, on file
    systems that can be written.

    *Fix*: move the file away; mount /run read-write.
    """

    id = "places.run"
    severity = Severity.REQUIRED
    references = (
        f"{MOBY}/cmd/dockerd/daemon.go",
        f"{MOBY}/libnetwork/osl/namespace_linux.go",
        f"{CONTAINERD}/core/runtime/v2/task_manager.go",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        engine.need_docker(host)
        if host.kind != "live":
            raise NotApplicable("/run is that of a running host")
        for top, names, number in (
            (str(docker.setting(host, "exec-root") or RUN), OF_DOCKER, engine.docker_version(host)),
            (containerd.top(host, "state") or STATE, OF_CONTAINERD, version(host, "containerd")),
        ):
            if top.startswith("/"):
                yield self._judge(host, top, names, number)

    def _judge(
        self, host: Host, top: str, names: tuple[tuple[str, str], ...], number: Version | None
    ) -> Finding:
        places = [
            posixpath.join(top, name).rstrip("/")
            for name, until in names
            if not until or (number is not None and number < Version(until))
        ]
        where = {"path": top, "expected": "folders that can be written"}
        found = (files.obstacle(host, place) or files.dangling(host, place) for place in places)
        wrong = next((each for each in found if each), None)
        if wrong:
            return failed(
                top,
                f"{wrong} is no folder, nor leads to one: the engine does not start, or starts no container",
                value="file",
                commands=[f"mv {wrong} {wrong}.away", "systemctl restart containerd docker"],
                **where,
            )
        mount = read_only(host, top)
        if mount:
            return failed(
                top,
                f"{mount.point} is read-only: the engine cannot make its folders there and does not start",
                value="ro",
                commands=[f"mount -o remount,rw {mount.point}"],
                **where,
            )
        return passed(top, "can be written", value="rw", **where)


class PlacesSockets(Check):
    """Nothing stands where the engines make their sockets.

    *Why*: dockerd and containerd remove the socket that another run left, and cannot remove a folder: "can't create
    unix socket /run/docker.sock: is a directory". A container that binds a socket which is not there yet
    (`-v /var/run/docker.sock:...`) makes that folder. Nor can they remove a socket that is mounted from another host,
    as into a guest or container: "device or resource busy".

    *Needs*: no folder and no mount at the unix sockets of `hosts` and of docker.socket, of containerd's grpc, ttrpc and
    debug, no file above them, and paths of at most 107 bytes. At rest those outside of /run.

    *Fix*: remove the folder, or unmount the socket.
    """

    id = "places.sockets"
    severity = Severity.REQUIRED
    references = (
        f"{MOBY}/daemon/listeners/listeners_linux.go",
        "https://github.com/docker/go-connections/blob/main/sockets/unix_socket.go",
        f"{CONTAINERD}/pkg/sys/socket_unix.go",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        engine.need_docker(host)
        some = False
        for path, who in self._places(host):
            try:
                is_folder = host.stat(path).is_dir
            except (FileNotFoundError, NotADirectoryError):
                is_folder = False
            except Unavailable:
                continue
            some = True
            yield self._judge(host, path, who, is_folder)
        if not some:
            raise NotApplicable("the sockets lie in /run, which only a running host has")

    def _judge(self, host: Host, path: str, who: str, is_folder: bool) -> Finding:
        where = {"path": path, "expected": "a socket, or nothing", "when": host.when}
        again = "systemctl restart containerd docker.socket docker"
        above = files.obstacle(host, posixpath.dirname(path))
        mount = mounts.now(host, path) if host.kind == "live" else None
        if len(path.encode()) > sockets.LONGEST:
            text = f"is too long for a socket: {who} does not start"
            return failed(path, text, value="long", hint="name another place for the socket", **where)
        if above:
            text = f"lies below {above}, which is no folder: {who} cannot make its socket"
            return failed(path, text, value="file", hint="name another place for the socket", **where)
        if mount and mount.point == host.resolve(path):
            text = f"is mounted from elsewhere, and {who} cannot remove it to make its socket"
            return failed(path, text, value="mount", commands=[f"umount {path}", again], **where)
        if is_folder:
            text = f"is a folder, and {who} cannot make its socket there"
            return failed(path, text, value="folder", commands=[f"rmdir {path}", again], **where)
        return passed(path, "can be made", value="free", **where)

    def _places(self, host: Host) -> Iterator[tuple[str, str]]:
        """Yield each path once, and who makes a socket there."""
        seen = set()
        for path, who in (*docker_sockets(host), *self._of_containerd(host)):
            # An abstract socket has no path.
            if path.startswith("/") and path not in seen:
                seen.add(path)
                yield path, who

    def _of_containerd(self, host: Host) -> Iterator[tuple[str, str]]:
        try:
            address = containerd.address(host)[0] or containerd.SOCKET
        except (toml.BadConfig, OSError, Unavailable):
            address = containerd.SOCKET
        yield address, "containerd"
        yield f"{address}.ttrpc", "containerd"
        try:
            table = containerd.config(host).values.get("debug")
        except (toml.BadConfig, OSError, Unavailable):
            return
        if isinstance(table, dict) and isinstance(table.get("address"), str):
            yield table["address"], "containerd"


LOCK = "/run/xtables.lock"
"""Opened by iptables before each change (iptables/xshared.h)."""


class PlacesIptablesLock(Check):
    """iptables can lock its tables.

    *Why*: a container that binds /run/xtables.lock before there is one gets a folder of that name made: `Fatal: can't
    open lock file /run/xtables.lock: Is a directory`. From then on no rule is written, by dockerd or kube-proxy.

    *Needs*: on a running host with iptables-legacy a file there, or nothing. iptables-nft takes no lock.

    *Fix*: remove the folder, and give the type FileOrCreate where the volume is defined.
    """

    id = "places.iptables_lock"
    severity = Severity.REQUIRED
    references = (
        "https://git.netfilter.org/iptables/tree/iptables/xshared.c?h=v1.8.9",
        "https://github.com/uswitch/kiam/pull/180",
        "https://github.com/siderolabs/talos/issues/2251",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if host.kind != "live":
            raise NotApplicable("/run is that of a running host")
        if not engine.installed(host) or firewall.backend(host) != "legacy":
            raise NotApplicable("nobody takes the lock of iptables-legacy here")
        try:
            is_folder = host.stat(LOCK).is_dir
        except FileNotFoundError:
            is_folder = False
        where = {"path": LOCK, "expected": "a file, or nothing"}
        if not is_folder:
            yield passed(LOCK, "can be locked", value="free", **where)
            return
        yield failed(
            LOCK,
            "is a folder, so iptables writes no rule: containers get no network",
            value="folder",
            commands=[f"rmdir {LOCK}", f"touch {LOCK}"],
            **where,
        )


class PlacesVarRun(Check):
    """/var/run and /run are one folder.

    *Why*: systemd makes docker's socket in /run, and the client looks for it in /var/run: where that is a folder of its
    own, as a script or an unpacked archive leaves it, nobody reaches dockerd: "Cannot connect to the Docker daemon at
    unix:///var/run/docker.sock".

    *Needs*: a link, as every distribution with systemd has it, or nothing.

    *Fix*: move what is in it, and make it a link to /run.
    """

    id = "places.var_run"
    severity = Severity.REQUIRED
    references = (
        "https://refspecs.linuxfoundation.org/FHS_3.0/fhs/ch05s13.html",
        "https://github.com/docker/cli/blob/v28.5.2/opts/hosts.go",
        "https://github.com/moby/moby/blob/master/contrib/init/systemd/docker.socket",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        engine.need_docker(host)
        if not any(path.startswith("/run/") for path, _ in docker_sockets(host)):
            raise NotApplicable("dockerd makes its socket where the client looks for it")
        place = "/var/run"
        try:
            found = host.stat(place, follow=False)
        except (FileNotFoundError, NotADirectoryError):
            raise NotApplicable("there is no /var/run yet") from None
        where = {"path": place, "expected": "a link to /run", "when": host.when}
        if found.is_link or not found.is_dir or self._same(host):
            yield passed(place, "is no folder of its own", value="link" if found.is_link else "/run", **where)
            return
        yield failed(
            place,
            "is a folder of its own: docker's client looks for the socket there, and it is in /run",
            value="folder",
            commands=["cp -a /var/run/. /run/", "rm -rf /var/run", "ln -s /run /var/run"],
            **where,
        )

    def _same(self, host: Host) -> bool:
        """Return whether what is mounted on /var/run is /run, as a bind mount has it; at rest fstab tells."""
        if host.kind != "live":
            mount = mounts.boot(host, "/var/run")
            return mount is not None and mount.point == "/var/run"
        there, own = mounts.now(host, "/var/run"), mounts.now(host, "/run")
        return there is not None and there.point == "/var/run" and own is not None and there.type == own.type


class PlacesSysctls(Check):
    """dockerd can set sysctls of the network.

    *Why*: where /proc/sys is read-only, as in a container or guest that is to be a host, dockerd does not start: it
    cannot switch forwarding on, nor local routing where there is no proxy. From 26.1.1 on no container starts either,
    whose IPv6 it cannot switch off: "failed to disable IPv6 on container's interface".

    *Needs*: on a running host /proc and /proc/sys mounted read-write; or forwarding on already, the proxy, and a docker
    before 26.1.1 or a kernel without IPv6.

    *Fix*: run the guest privileged, or with a network of its own that it may set.
    """

    id = "places.sysctls"
    severity = Severity.REQUIRED
    references = (
        f"{MOBY}/libnetwork/drivers/bridge/setup_ip_forwarding.go",
        f"{MOBY}/libnetwork/osl/namespace_linux.go",
        "https://github.com/moby/moby/blob/v26.1.1/libnetwork/osl/namespace_linux.go",
    )
    place: str = "/proc/sys"
    """Where sysctls are."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        engine.need_docker(host)
        if host.kind != "live":
            raise NotApplicable("/proc is that of a running host")
        mount = read_only(host, f"{self.place}/net/ipv4/ip_forward")
        where = {"path": self.place, "expected": "rw"}
        wanted = self._wanted(host) if mount else ""
        if mount is None:
            yield passed(self.place, "can be written", value="rw", **where)
        elif wanted:
            text = f"{mount.point} is read-only: {wanted}"
            yield failed(
                self.place, text, value="ro", commands=[f"mount -o remount,rw {mount.point}"], **where
            )
        else:
            text = "is read-only, and nothing is to be set that is not"
            yield passed(self.place, text, value="ro", **where)

    def _wanted(self, host: Host) -> str:
        """Return what dockerd sets and cannot, and what then happens; empty where all is set."""
        number = engine.docker_version(host)
        forwards = (files.text(host, f"{self.place}/net/ipv4/ip_forward") or "").strip() == "1"
        if not forwards and docker.setting(host, "ip-forward") is not False:
            return "dockerd cannot switch forwarding on and does not start"
        if docker.setting(host, "userland-proxy") is False:
            return "dockerd cannot switch local routing on for its bridge and does not start"
        if number is not None and number < Version("26.1.1"):
            return ""
        if not host.exists(f"{self.place}/net/ipv6/conf"):
            return ""
        return "dockerd cannot switch IPv6 off for containers, and none starts"


NULL = "/dev/null"

ROOM = 8192
"""Bytes: what the description of a process takes, which a shim writes for runc."""


class PlacesDevices(Check):
    """Programs can open /dev/null.

    *Why*: dockerd and the shims start each program with /dev/null as its input. Where that is not there, or /dev is
    mounted nodev as a hardening script does with every tmpfs, dockerd does not start: "iptables failed: open /dev/null:
    permission denied".

    *Needs*: /dev/null, and a mount that holds it without nodev, now and in fstab.

    *Fix*: take nodev out, and let the kernel mount its devtmpfs.
    """

    id = "places.devices"
    severity = Severity.REQUIRED
    references = (
        "https://pkg.go.dev/os/exec#Cmd",
        "https://man7.org/linux/man-pages/man8/mount.8.html",
        "https://man7.org/linux/man-pages/man4/null.4.html",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        engine.need_docker(host)
        held = [(when, mount) for when, mount in mounts.held(host, NULL) if mount.point != "/"]
        for when, mount in held:
            where = {"path": mount.path, "line": mount.line, "when": when, "expected": "dev"}
            if "nodev" in mount.options:
                text = f"{mount.point} is mounted nodev: no program is started, nor dockerd"
                commands = [f"mount -o remount,dev {mount.point}"]
                yield failed(NULL, text, value="nodev", commands=commands, **where)
            else:
                yield passed(NULL, f"{mount.point} has devices", value="dev", **where)
        # Who writes a machine down leaves its devices out.
        if host.kind == "live" and host.exists("/dev/zero") and not host.exists(NULL):
            text = "is not there: no program is started, nor dockerd"
            yield failed(NULL, text, value="absent", commands=[f"mknod -m 666 {NULL} c 1 3"])
        elif not held:
            raise NotApplicable("the kernel makes /dev at boot")


class PlacesTemporary(Check):
    """Engines can write files for a moment in /tmp.

    *Why*: for each `docker exec`, and so for each health check, the shim of containerd writes a file for runc to /tmp:
    "OCI runtime exec failed: open /tmp/runc-process...: read-only file system".

    *Needs*: /tmp a folder that can be written and has room, or another place in TMPDIR of containerd's unit. One that
    is missing comes with the boot (tmpfiles.d, tmp.mount).

    *Fix*: mount a tmpfs on /tmp: `systemctl enable --now tmp.mount`.
    """

    id = "places.temporary"
    severity = Severity.REQUIRED
    references = (
        "https://github.com/containerd/go-runc/blob/main/runc.go",
        "https://github.com/containerd/go-runc/blob/main/utils.go",
        "https://man7.org/linux/man-pages/man7/file-hierarchy.7.html",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        engine.need_docker(host)
        place = self._told(host) or TMP
        where = {"path": place, "expected": "a folder that can be written", "when": host.when}
        effect = "`docker exec` and health checks fail"
        wrong = files.obstacle(host, place) or self._lost(host, place)
        mount = mounts.now(host, place) if host.kind == "live" else mounts.boot(host, place)
        if wrong:
            yield failed(place, f"{wrong} is no folder, nor leads to one: {effect}", value="file", **where)
        # As with devices: who writes a machine down leaves empty folders out.
        elif host.kind == "live" and host.exists("/dev/zero") and not host.exists(place):
            commands = [f"mkdir -m 1777 {place}"]
            yield failed(place, f"is not there: {effect}", value="absent", commands=commands, **where)
        elif host.kind == "live" and self._is_full(host, place):
            yield failed(
                place, f"is full: {effect}", value="full", hint=f"remove what filled {place}", **where
            )
        elif mount and "ro" in mount.options and not self._mounted_later(host, place):
            commands = ["systemctl enable --now tmp.mount"] if place == TMP else []
            text = f"{mount.point} is read-only: {effect}"
            yield failed(place, text, value="ro", commands=commands, **where)
        else:
            yield passed(place, "can be written", value="rw", **where)

    def _lost(self, host: Host, place: str) -> str | None:
        """Return the link in a path that leads nowhere, now or after the boot."""
        link = files.dangling(host, place)
        later = link is not None and host.kind != "live" and bool(mounts.brought(host, host.resolve(link)))
        return None if later else link

    def _is_full(self, host: Host, place: str) -> bool:
        """Return whether no file finds room; what older recordings did not ask is taken for room."""
        try:
            usage = host.disk_usage(place)
        except (OSError, Unavailable):
            return False
        return usage.total > 0 and (usage.free < ROOM or (usage.inodes > 0 and usage.inodes_free <= 0))

    def _told(self, host: Host) -> str:
        """Return TMPDIR of containerd's unit, from which its shims have theirs."""
        try:
            unit = systemd.unit(host, "containerd.service")
            found = systemd.environment(host, unit).get("TMPDIR") if unit else None
        except (OSError, Unavailable):
            return ""
        return found[0] if found and found[0].startswith("/") else ""

    def _mounted_later(self, host: Host, place: str) -> bool:
        """Return whether systemd mounts a tmpfs there that fstab does not name."""
        if host.kind == "live" or place != TMP:
            return False
        enabled = systemd.enabled(host, "tmp.mount")
        return enabled is not None and enabled.value not in ("disabled", "masked")
