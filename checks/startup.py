"""What dockerd does before it listens: its folders, its key, and the containerd that it asks."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, Unavailable, Version, failed, passed
from hostcheck.facts import containerd, docker, engine, files, mounts, rootless, sockets, systemd, toml
from hostcheck.facts.unitvalues import Unit

MOBY = "https://github.com/moby/moby/blob"


def installed_version(host: Host) -> Version | None:
    """Return the version of dockerd, None where it cannot be told.

    Raises:
        NotApplicable: docker is not installed.

    """
    engine.need_docker(host)
    return engine.docker_version(host)


class StartupDataRoot(Check):
    """The data root is there, or can be made.

    *Why*: dockerd makes a folder that is missing, but not where a link stands that leads nowhere: `mkdir: file
    exists`, and it does not start. So it goes when the disk that the link leads to is not mounted.

    *Needs*: no dangling link in the path of data-root. What a mount of fstab or a line of tmpfiles.d will bring
    counts as there at the next boot.

    *Fix*: mount what is missing, or make the folder that the link leads to.
    """

    id = "startup.data_root"
    severity = Severity.REQUIRED
    references = (f"{MOBY}/v20.10.24/daemon/daemon_unix.go", f"{MOBY}/v28.5.2/daemon/daemon_unix.go")

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        installed_version(host)
        root = docker.data_root(host)
        link = files.dangling(host, root)
        now = host.when
        if link is None:
            yield passed(root, "no link in its path leads nowhere", value=root, path=root, when=now)
            return
        target = host.resolve(link)
        brought = mounts.brought(host, target)
        if brought and host.kind != "live":
            yield passed(root, f"{link} leads to {target}, which {brought} brings", value=target, when="boot")
            return
        yield failed(
            root,
            f"{link} leads to {target}, which is not there: dockerd cannot make its data root and does not start",
            value=target,
            expected="a folder",
            path=link,
            when=now,
            commands=[f"mount {brought}" if brought.startswith("/") else f"mkdir -p {target}"],
        )


OWN_SOCKET = "/libnetwork/0123456789ab.sock"
"""What dockerd binds below exec-root, with its own short id."""


class StartupExecRoot(Check):
    """The folder for what runs is an absolute path that can be made.

    *Why*: dockerd hands the paths of its sockets there to programs that start elsewhere, so that with a relative
    path no container starts; with a link that leads nowhere dockerd does not start, nor with a path that leaves no room
    for a socket's name: "bind: invalid argument".

    *Needs*: exec-root of daemon.json or of the flags, /run/docker by default. What may be mounted or made at boot is
    not judged at rest.

    *Fix*: leave it out, or name an absolute path.
    """

    id = "startup.exec_root"
    severity = Severity.REQUIRED
    references = (
        f"{MOBY}/v28.5.2/cmd/dockerd/daemon.go",
        f"{MOBY}/v28.5.2/libnetwork/sandbox_externalkey_unix.go",
        "https://man7.org/linux/man-pages/man7/unix.7.html",
    )
    default: str = "/var/run/docker"
    """Where it is, unless exec-root names another place."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        installed_version(host)
        told = docker.effective(host).get("exec-root")
        root, now = str(told.value) if told and told.value else self.default, host.kind == "live"
        where = {
            "value": root,
            "expected": "an absolute path",
            "path": told.path if told else None,
            "line": told.line if told else None,
            "when": host.when,
        }
        link = files.dangling(host, root) if now else None
        if not root.startswith("/"):
            yield failed("exec-root", f"{root} is relative: no container starts", **where)
        elif len(root.encode()) + len(OWN_SOCKET) > sockets.LONGEST:
            text = f"{root} is too long for the name of a socket in it: dockerd does not start"
            yield failed("exec-root", text, **where)
        elif link is not None:
            yield failed(
                "exec-root",
                f"{link} leads to {host.resolve(link)}, which is not there: dockerd does not start",
                commands=[f"mkdir -p {host.resolve(link)}"],
                **where,
            )
        else:
            yield passed("exec-root", f"{root} is an absolute path", **where)


class StartupRemappedRoot(Check):
    """The user whose ids containers get may pass through the folders above the data root.

    *Why*: with `userns-remap` dockerd keeps its data in a folder of its own below the data root, and does not start
    where the remapped root could not reach it: "a subdirectory in your graphroot path restricts access to the
    remapped root".

    *Needs*: `x` for all in the mode of each folder above data-root, links followed, or for the user or group of the
    first remapped id. dockerd sees to data-root itself, and makes what is missing as it needs it.

    *Fix*: `chmod o+x` for the folder.
    """

    id = "startup.remapped_root"
    severity = Severity.REQUIRED
    references = (
        f"{MOBY}/v20.10.24/daemon/daemon_unix.go",
        f"{MOBY}/v28.5.2/daemon/daemon_unix.go",
        "https://docs.docker.com/engine/security/userns-remap/",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        installed_version(host)
        told = docker.effective(host).get("userns-remap")
        if told is None or not told.value:
            raise NotApplicable("users are not remapped")
        folder, when = host.resolve(docker.data_root(host)), host.when
        above = posixpath.dirname(folder)
        closed = None
        while above != "/" and closed is None:
            if not self._passes(host, above):
                closed = above
            above = posixpath.dirname(above)
        where = {"path": closed or folder, "expected": "x for all", "when": when}
        if closed is None:
            yield passed(folder, "the remapped root may reach it", value="open", **where)
            return
        yield failed(
            closed,
            f"may not be passed by the remapped root on its way to {folder}: dockerd does not start",
            value=f"0{host.stat(closed).mode & 0o7777:o}",
            commands=[f"chmod o+x {closed}"],
            **where,
        )

    def _passes(self, host: Host, folder: str) -> bool:
        """Return whether dockerd will say that the remapped root can pass a folder."""
        mount = None if host.kind == "live" else mounts.boot(host, folder)
        if mount is not None and mount.point != "/":
            return True  # what is mounted there has a mode of its own
        try:
            found = host.stat(folder)
        except (FileNotFoundError, NotADirectoryError):
            return True
        if found.mode & 0o001:
            return True
        # Whose first ids they are is not asked: nobody else's folder belongs to an id out of such a range.
        users, groups = (
            [each.first for each in rootless.ranges(host, kind)] for kind in ("subuid", "subgid")
        )
        return bool(
            (found.mode & 0o100 and found.uid in users) or (found.mode & 0o010 and found.gid in groups)
        )


LATE = {
    "nofail": "nofail: systemd does not wait for it",
    "_netdev": "_netdev: it comes with the network's mounts, for which nothing makes the engine wait",
    "noauto": "noauto: nothing mounts it",
}
"""Options of fstab that put a mount after the start of services (systemd.mount(5))."""


class StartupMounts(Check):
    """The disk with images and volumes is mounted before the engine starts.

    *Why*: with `nofail` or `_netdev` in fstab the engine may start first, and a disk that was mounted by hand is not
    there after the next boot. The engine then finds an empty folder: images and containers seem to be gone, new ones
    fill the root, and all of it is hidden when the disk comes.

    *Needs*: a line of fstab or a mount unit for the disk that holds the data root; with one of these options,
    RequiresMountsFor=, or After= and Requires= that mount, in the engine's unit.

    *Fix*: the line in fstab; `RequiresMountsFor=` the data root in a drop-in of the unit.
    """

    id = "startup.mounts"
    severity = Severity.RECOMMENDED
    references = (
        "https://www.freedesktop.org/software/systemd/man/latest/systemd.mount.html#fstab",
        "https://github.com/docker/for-linux/issues/1062",
        "https://github.com/systemd/systemd/blob/main/src/fstab-generator/fstab-generator.c",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        installed_version(host)
        if systemd.other_init(host):
            raise NotApplicable("systemd is not the init here")
        root = docker.data_root(host)
        mount = max(
            (each for each in mounts.fstab(host) if mounts.is_below(root, each.point)),
            key=lambda each: len(each.point),
            default=None,
        )
        unit = systemd.unit(host, "docker.service")
        if mount is None or mount.point == "/" or unit is None:
            current = mounts.now(host, root) if host.kind == "live" else None
            if current is None or not mounts.is_forgotten(host, current):
                raise NotApplicable(
                    f"{root} lies on no disk of its own, or on one that something else mounts"
                )
            yield self._forgotten(root, current)
            return
        more = {"path": mount.path, "line": mount.line, "when": "boot", "value": ",".join(mount.options)}
        late = next((each for each in LATE if each in mount.options), None)
        if late is None or "x-systemd.automount" in mount.options or self._waits(unit, mount.point):
            yield passed(mount.point, "is mounted before docker starts", **more)
            return
        yield failed(
            mount.point,
            f"holds {root} and may come after docker ({LATE[late]}): images and containers seem to be gone",
            expected=f"RequiresMountsFor={root} in docker.service",
            severity=Severity.REQUIRED if late == "noauto" else None,
            commands=[
                *([f"sed -i '{mount.line}s/noauto,\\?/defaults/' {mount.path}"] if late == "noauto" else []),
                "mkdir -p /etc/systemd/system/docker.service.d",
                f"printf '[Unit]\\nRequiresMountsFor={root}\\n' > /etc/systemd/system/docker.service.d/90-mounts.conf",
                "systemctl daemon-reload",
            ],
            **more,
        )

    def _forgotten(self, root: str, mount: mounts.Mount) -> Finding:
        return failed(
            mount.point,
            f"holds {root}, and neither fstab nor a unit will mount it again: images and containers will seem lost",
            value=mount.source,
            expected=f"a line of fstab for {mount.point}",
            path=mount.path,
            line=mount.line,
            when="boot",
            hint="systemctl enable zfs-mount.service"
            if mount.type == "zfs"
            else f"add to /etc/fstab, with the UUID that `blkid {mount.source}` prints: "
            f"UUID=... {mount.point} {mount.type} defaults 0 2",
        )

    def _waits(self, unit: Unit, point: str) -> bool:
        """Return whether the unit is made to wait for the mount, or for all that the network brings."""
        name = mounts.unit_name(point)
        for said in unit.assignments:
            words = said.value.split()
            if said.key in ("RequiresMountsFor", "WantsMountsFor") and any(
                mounts.is_below(word, point) for word in words
            ):
                return True
            if said.key in ("After", "Requires", "BindsTo") and {name, "remote-fs.target"} & set(words):
                return True
        return False


class StartupKeyFile(Check):
    """dockerd before 23.0 can read its key, or make one.

    *Why*: up to 20.10 dockerd reads /etc/docker/key.json at its start, makes it where it is missing, and does not
    start if it can do neither. A loss of power leaves it empty; on a read-only /etc it cannot be made.

    *Needs*: a private key in JSON (JWK), or none and a folder that can be written. 23.0 keeps no key any more.

    *Fix*: remove the file: dockerd makes a new one, and with it a new ID of the engine.
    """

    id = "startup.key_file"
    severity = Severity.REQUIRED
    references = (
        f"{MOBY}/v20.10.24/daemon/trustkey.go",
        f"{MOBY}/v23.0.6/daemon/id.go",
        "https://github.com/docker/libtrust/blob/master/key_files.go",
    )
    default: str = "/etc/docker/key.json"
    """Where the key is, unless deprecated-key-path names another place."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        version = installed_version(host)
        if version is None:
            raise Unavailable("the version of docker is not known: see runtime.docker")
        if version >= Version("23.0"):
            raise NotApplicable(f"docker {version} keeps no key")
        told = docker.effective(host).get("deprecated-key-path")
        path = str(told.value) if told and told.value else self.default
        text = files.text(host, path)
        when = host.when
        if text is None:
            yield from self._can_be_made(host, path)
            return
        problem = docker.key_problem(text)
        if problem:
            yield failed(
                path,
                f"is no private key ({problem}): dockerd does not start",
                value=problem,
                expected="a key in JSON",
                path=path,
                when=when,
                commands=[f"mv {path} {path}.broken", "systemctl restart docker"],
            )
        else:
            yield passed(path, "is a private key", path=path, when=when)

    def _can_be_made(self, host: Host, path: str) -> Iterator[Finding]:
        folder = posixpath.dirname(path)
        silent = True
        for when, mount in mounts.held(host, folder):
            silent = False
            where = {"path": mount.path, "line": mount.line, "when": when, "expected": "rw"}
            if "ro" in mount.options:
                yield failed(
                    path,
                    f"is not there, and {mount.point} is read-only: dockerd cannot make it and does not start",
                    value="ro",
                    hint=f"mount {mount.point} read-write for the first start, or upgrade to docker 23.0",
                    **where,
                )
            else:
                yield passed(path, f"is not there yet, {folder} can be written", value="rw", **where)
        if silent:
            yield passed(path, "is not there yet: dockerd makes it", when="boot")


class StartupContainerdAddress(Check):
    """dockerd asks containerd where containerd listens.

    *Why*: docker.service names the socket of containerd. Where containerd is set to another, dockerd waits for a
    minute and gives up.

    *Needs*: the same address in --containerd (or `containerd` of daemon.json), and in --address of containerd.service
    or `[grpc] address` of config.toml. Without --containerd dockerd starts one of its own.

    *Fix*: take the address out of /etc/containerd/config.toml, or name it in docker.service too.
    """

    id = "startup.containerd_address"
    severity = Severity.REQUIRED
    references = (
        f"{MOBY}/v28.5.2/cmd/dockerd/daemon_unix.go",
        "https://github.com/containerd/containerd/blob/main/docs/man/containerd-config.toml.5.md",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        installed_version(host)
        told = docker.effective(host).get("containerd")
        if told is None or not told.value:
            raise NotApplicable("dockerd is not told which containerd to ask: it starts one of its own")
        asked = socket_path(str(told.value))
        try:
            listens, path, line = containerd.address(host)
        except toml.BadConfig as error:
            raise Unavailable(f"{error.path} is no TOML: see containerd.config") from None
        if listens is None:
            raise NotApplicable("no containerd.service is there to listen")
        listens = socket_path(listens)
        more = {"value": listens, "expected": asked, "path": path, "line": line, "when": "boot"}
        if listens == asked:
            yield passed("containerd address", f"both have {asked}", **more)
        else:
            # Another address than the usual one may be that of another containerd, such as k3s has.
            alone = asked == containerd.SOCKET
            yield failed(
                "containerd address",
                f"containerd listens at {listens}, dockerd asks at {asked}"
                + (": it does not start" if alone else ", where another containerd must listen"),
                severity=Severity.REQUIRED if alone else Severity.INFO,
                hint=f"name one address in {path or told.path} and in --containerd of {told.path or 'docker.service'}",
                **more,
            )


def socket_path(address: str) -> str:
    """Return the path in an address of containerd: without a scheme, and /run for /var/run."""
    path = address[len("unix://") :] if address.startswith("unix://") else address
    path = posixpath.normpath(path)
    return path[len("/var") :] if path.startswith("/var/run/") else path
