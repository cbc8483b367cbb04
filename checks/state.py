"""What the engines left on the disk: the databases and lists that they must read before they start."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, Version, failed, passed
from hostcheck.facts import containerd, docker, engine, files, mounts, storage
from hostcheck.facts.versions import version as found_version

MOBY = "https://github.com/moby/moby/blob"

CACHE = "the build cache is lost: move the whole folder buildkit away"
DATABASES = (
    ("volumes/metadata.db", "", "volumes are found by their folders again"),
    ("buildkit/snapshots.db", "", CACHE),
    ("buildkit/containerdmeta.db", "", CACHE),
    ("buildkit/metadata_v2.db", "", CACHE),
    ("buildkit/history.db", "", "the history of builds is lost"),
    ("buildkit/cache.db", "27.0", CACHE),
)
"""Below the data root: the file, the release from which on dockerd mends it itself, and what a new one costs.
Source: volume/service/store.go, builder/builder-next/controller.go, buildkit's solver/bboltcachestorage/storage.go.
That of the networks is a matter of state.network_database."""

CONTAINERD = "io.containerd.metadata.v1.bolt/meta.db"
"""Below containerd's root (plugins/metadata/plugin.go)."""

OWN_IMAGES = (
    "image",
    "image/{driver}",
    "image/{driver}/imagedb",
    "image/{driver}/layerdb",
    "image/{driver}/distribution",
    "{driver}",
)
"""Below the data root, where the images are dockerd's own and not containerd's."""
FOLDERS = (
    *((name, "") for name in OWN_IMAGES),
    ("containers", ""),
    ("network", ""),
    ("network/files", ""),
    ("volumes", ""),
    ("plugins", ""),
    ("swarm", ""),
    ("buildkit", ""),
    ("runtimes", "23.0"),
    ("trust", "23.0"),
)
"""Below the data root: what dockerd makes a folder of at its start, and the release from which on it does not, or first
removes what is there.
Source: daemon/daemon.go, daemon/runtime_unix.go, plugin/manager.go, volume/local/local.go, cmd/dockerd/daemon.go."""

CONTAINERD_FOLDERS = (
    ("io.containerd.metadata.v1.bolt", "", ""),
    ("io.containerd.runtime.v2.task", "", ""),
    ("io.containerd.content.v1.content", "", "1.7.24"),
    ("io.containerd.snapshotter.v1.overlayfs", "2.0", ""),
    ("io.containerd.snapshotter.v1.native", "2.0", ""),
    ("tmpmounts", "", ""),
)
"""Below containerd's root: the folders without which no container starts, from which release on and up to which
(plugins/*/plugin.go, cmd/containerd/server/server.go)."""


OPT = "/opt/containerd"
"""A folder of containerd's that 2.x makes as it starts (plugins/services/opt/service.go); 1.x does without."""


class StateDatabases(Check):
    """The databases of dockerd and containerd are whole.

    *Why*: both keep what they know in bolt databases, and dockerd does not start if one cannot be opened: "error while
    opening volume store metadata database". A loss of power or a full disk leaves them so.

    *Needs*: the pages of a bolt database: a valid meta page, a free list where it points to, and no page beyond the
    end of the file.

    *Fix*: move the file away while the daemon is stopped: a new one is made, and what was only there is lost.
    """

    id = "state.databases"
    severity = Severity.REQUIRED
    references = (
        f"{MOBY}/v28.5.2/volume/service/store.go",
        f"{MOBY}/v28.5.2/builder/builder-next/controller.go",
        "https://github.com/containerd/containerd/blob/main/plugins/metadata/plugin.go",
        "https://github.com/etcd-io/bbolt/blob/main/internal/common/meta.go",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        engine.need_docker(host)
        root, own = storage.data_root(host)[0], storage.containerd_root(host)[0]
        version = engine.docker_version(host)
        places = [
            (f"{root}/{name}", "docker", cost)
            for name, healed, cost in DATABASES
            if not (healed and (version is None or version >= Version(healed)))
        ]
        places.append((f"{own}/{CONTAINERD}", "containerd", "images of containerd must be pulled again"))
        when = host.when
        some = False
        for path, unit, cost in places:
            problem = self._problem(host, path)
            if problem is None:
                continue
            some = True
            if not problem:
                yield passed(path, "is a whole database", path=path, when=when)
                continue
            yield failed(
                path,
                f"cannot be opened ({problem}): dockerd does not start, or starts no container",
                value=problem,
                expected="a bolt database",
                path=path,
                when=when,
                commands=[f"systemctl stop {unit}", f"mv {path} {path}.broken", f"systemctl start {unit}"],
                hint=cost,
            )
        if not some:
            raise NotApplicable("no daemon has made a database yet")

    def _problem(self, host: Host, path: str) -> str | None:
        """Return what is wrong with a database, empty if nothing is, None if there is none."""
        try:
            size = host.stat(path).size
            return storage.bolt_problem(lambda offset, length: host.read_bytes(path, length, offset), size)
        except (FileNotFoundError, NotADirectoryError):
            return None


class StateImageNames(Check):
    """dockerd can read the names of its images.

    *Why*: which image has which name stands in repositories.json, and dockerd does not start if that is no JSON:
    "Couldn't create reference store repository". A loss of power leaves it empty.

    *Needs*: a JSON object in image/DRIVER/repositories.json below the data root, where the images are dockerd's own.

    *Fix*: move the file away: dockerd makes a new one. The images are there, and lose their names.
    """

    id = "state.image_names"
    severity = Severity.REQUIRED
    references = (f"{MOBY}/v26.1.5/reference/store.go", f"{MOBY}/v26.1.5/daemon/daemon.go")

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        engine.need_docker(host)
        chosen = storage.driver(host)
        if chosen.store == "containerd" or not chosen.name:
            raise NotApplicable("the image store of containerd has no such file")
        path = f"{storage.data_root(host)[0]}/image/{chosen.name}/repositories.json"
        text = files.text(host, path)
        if text is None:
            raise NotApplicable("dockerd has not made its list of images yet")
        when = host.when
        problem = self._problem(text)
        if problem:
            yield failed(
                path,
                f"{problem}: dockerd does not start",
                value=problem,
                expected="a JSON object",
                path=path,
                when=when,
                commands=[f"mv {path} {path}.broken", "systemctl restart docker"],
                hint="then pull or tag the images again: docker images -a shows them",
            )
        else:
            yield passed(path, "is a list of names", path=path, when=when)

    def _problem(self, text: str) -> str:
        import json  # only where dockerd keeps images itself

        if not text.strip():
            return "is empty"
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            return "is no JSON"
        return "" if found is None or isinstance(found, dict) else "is no JSON object"


class StateFolders(Check):
    """Where dockerd and containerd keep what they know there are folders.

    *Why*: dockerd makes what is missing below its data root. Where a file stands in the place of a folder, or a link
    that leads nowhere, it does not start: "mkdir /var/lib/docker/volumes: not a directory", or "file exists". A
    restored backup and a script with a typing error leave a file; a disk that images were moved to and that is not
    mounted leaves the link.

    *Needs*: folders, or nothing, in the places that both use, and in that of dockerd's configuration. What a mount of
    fstab or a line of tmpfiles.d will bring counts as there at the next boot. The folder of layers is no link: runc
    refuses a root file system behind one.

    *Fix*: move the file away; mount the disk.
    """

    id = "state.folders"
    severity = Severity.REQUIRED
    references = (
        f"{MOBY}/v20.10.24/daemon/daemon.go",
        f"{MOBY}/v28.5.2/daemon/daemon.go",
        f"{MOBY}/v28.5.2/volume/local/local.go",
        f"{MOBY}/v28.5.2/plugin/manager.go",
        "https://github.com/opencontainers/runc/blob/v1.3.3/libcontainer/configs/validate/validator.go",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        engine.need_docker(host)
        some = False
        wrong: dict[str, Finding] = {}
        for path in (*self._made(host), *self._looked_into(host)):
            found = self._obstacle(host, path) or self._lost(host, path) or self._linked(host, path)
            if found is not None:
                wrong.setdefault(found.subject, found)
            elif host.exists(path):
                some = True
                where = {"path": path, "when": host.when}
                yield passed(path, "is a folder", value="folder", expected="folder", **where)
        yield from wrong.values()
        if not some and not wrong:
            raise NotApplicable("dockerd has made none of its folders yet")

    def _obstacle(self, host: Host, place: str) -> Finding | None:
        """Return the finding about what stands in a folder's way."""
        found = files.obstacle(host, place)
        if found is None:
            return None
        return failed(
            found,
            "is no folder, and none can be made there: dockerd does not start, or starts no container",
            value="file",
            expected="folder",
            path=found,
            when=host.when,
            commands=[f"mv {found} {found}.away", "systemctl restart containerd docker"],
        )

    def _lost(self, host: Host, place: str) -> Finding | None:
        """Return the finding about a link that leads nowhere; one above the data root is for startup.data_root."""
        link = files.dangling(host, place)
        if link is None or link == files.dangling(host, storage.data_root(host)[0]):
            return None
        if place in self._looked_into(host):
            return None
        target = host.resolve(link)
        disk = mounts.brought(host, target)
        if disk and host.kind != "live":
            return None
        return failed(
            link,
            f"leads to {target}, which is not there, and no folder can be made: dockerd does not start",
            value=target,
            expected="folder",
            path=link,
            when=host.when,
            commands=[f"mount {disk}" if disk.startswith("/") else f"mkdir -p {target}"],
        )

    def _linked(self, host: Host, place: str) -> Finding | None:
        """Return the finding about the folder of layers being a link, which runc's root of a container may not be."""
        layers = f"{storage.data_root(host)[0]}/{storage.driver(host).name}"
        if place != layers or docker.setting(host, "default-runtime") not in (None, "", "runc"):
            return None
        if not host.exists(place) or not host.stat(place, follow=False).is_link:
            return None
        target = host.resolve(place)
        return failed(
            place,
            f"is a link to {target}: runc takes no root file system behind a link, and no container starts",
            value=target,
            expected="folder",
            path=place,
            when=host.when,
            commands=[f"rm {place}", f"mkdir {place}", f"mount --bind {target} {place}"],
            hint="put the bind mount into /etc/fstab, or move the whole data root",
        )

    def _looked_into(self, host: Host) -> tuple[str, ...]:
        """Return folders that nobody makes: a link that leads nowhere does no harm there."""
        version, own = engine.docker_version(host), posixpath.dirname(docker.config_file(host))
        makes_key = version is not None and version < Version("23.0")
        return (*(() if makes_key else (own,)), posixpath.dirname(containerd.config_path(host)), OPT)

    def _made(self, host: Host) -> Iterator[str]:
        """Yield the folders that are made where they are missing."""
        version = engine.docker_version(host)
        root, chosen = storage.data_root(host)[0], storage.driver(host)
        own = chosen.store != "containerd" and bool(chosen.name)
        for name, until in FOLDERS:
            if until and (version is None or version >= Version(until)):
                continue
            if own or name not in OWN_IMAGES:
                yield f"{root}/{name.format(driver=chosen.name)}"
        yield posixpath.dirname(docker.config_file(host))
        for key in ("state", "temp"):
            place = containerd.top(host, key)
            if place and not place.startswith("/run/"):
                yield place
        number = found_version(host, "containerd")
        if number is not None and number >= Version("2.0"):
            yield OPT
        for name, since, before in CONTAINERD_FOLDERS:
            if number is None:
                known = not since and not before
            else:
                known = number >= Version(since or "0") and not (before and number >= Version(before))
            if known:
                yield f"{storage.containerd_root(host)[0]}/{name}"


FILES = (("engine-id", "23.0"),)
"""Below the data root: a file that dockerd reads, or makes, from that release on (daemon/id.go)."""


class StateFiles(Check):
    """What dockerd reads as a file below its data root is no folder.

    *Why*: dockerd reads its own identity at its start, and does not start where a folder has that name: "error loading
    ID file".

    *Needs*: a file, or nothing.

    *Fix*: remove the folder: dockerd makes a new identity.
    """

    id = "state.files"
    severity = Severity.REQUIRED
    references = (f"{MOBY}/v23.0.6/daemon/id.go", f"{MOBY}/v28.5.2/daemon/id.go")

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        engine.need_docker(host)
        number = engine.docker_version(host)
        some = False
        for name, since in FILES:
            path = f"{storage.data_root(host)[0]}/{name}"
            if number is None or number < Version(since) or not host.exists(path):
                continue
            some = True
            where = {"path": path, "expected": "a file", "when": host.when}
            if host.stat(path).is_dir:
                text = "is a folder: dockerd reads its identity there, and does not start"
                yield failed(path, text, value="folder", commands=[f"mv {path} {path}.away"], **where)
            else:
                yield passed(path, "is a file", value="file", **where)
        if not some:
            raise NotApplicable("dockerd has made none of its files yet")


class StateLayers(Check):
    """The names of overlay2's layers are whole.

    *Why*: after a power cut, the small files in which overlay2 keeps the short names of layers can be empty;
    images that use such a layer can neither be started nor removed.

    *Needs*: no empty `link` file below overlay2 in the data root.

    *Fix*: `docker rmi` the image and pull it again; as a last resort empty overlay2 and image.
    """

    id = "state.layers"
    aliases = ("storage.layers",)
    severity = Severity.RECOMMENDED
    references = ("https://github.com/moby/moby/issues/35747", f"{MOBY}/graphdriver/overlay2/overlay.go")
    maximum: int = 1000
    """Layers that are looked at; the rest is left out."""

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        engine.need_docker(host)
        folder = f"{storage.data_root(host)[0]}/overlay2"
        try:
            layers = [name for name in host.names(folder) if name != "l"]
        except FileNotFoundError:
            raise NotApplicable(f"{folder} does not exist") from None
        when = host.when
        empty = []
        for layer in layers[: self.maximum]:
            try:
                if host.stat(f"{folder}/{layer}/link").size == 0:
                    empty.append(f"{folder}/{layer}/link")
            except FileNotFoundError:
                continue
        if empty:
            yield failed(
                folder,
                f"{len(empty)} layers have lost their short name: their images do not start",
                value=len(empty),
                expected="0",
                path=empty[0],
                when=when,
                severity=Severity.REQUIRED,
                hint="docker rmi the images and pull them again",
            )
        else:
            yield passed(
                folder, f"{min(len(layers), self.maximum)} layers have their names", path=folder, when=when
            )


class StateNetworkDatabase(Check):
    """The database of docker's networks is whole.

    *Why*: dockerd opens network/files/local-kv.db at its start. If a loss of power damaged it, dockerd hangs
    or panics.

    *Needs*: the pages of a bolt database: a valid meta page, a free list where it points to, and no page
    beyond the end of the file.

    *Fix*: move the file away; dockerd makes a new one, and networks of your own must be made again.
    """

    id = "state.network_database"
    aliases = ("storage.network_database",)
    severity = Severity.RECOMMENDED
    references = (
        "https://github.com/moby/moby/issues/43072",
        "https://github.com/etcd-io/bbolt/blob/main/internal/common/meta.go",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        engine.need_docker(host)
        path = f"{storage.data_root(host)[0]}/network/files/local-kv.db"
        try:
            size = host.stat(path).size
            problem = storage.bolt_problem(lambda offset, length: host.read_bytes(path, length, offset), size)
        except FileNotFoundError:
            raise NotApplicable("dockerd has not made its network database yet") from None
        when = host.when
        if problem:
            yield failed(
                path,
                f"dockerd cannot open its network database: {problem}",
                value=problem,
                expected="a bolt database",
                path=path,
                when=when,
                severity=Severity.REQUIRED,
                commands=["systemctl stop docker", f"mv {path} {path}.broken", "systemctl start docker"],
            )
        else:
            yield passed(path, "the network database is whole", path=path, when=when)
