"""What the checks of storage share: the folders that count, what dockerd will take, and why nothing can be said."""

from __future__ import annotations

import contextlib

from hostcheck.api import Host, NotApplicable, Unavailable
from hostcheck.facts import engine, kubelet, podman, storage

MOBY = "https://github.com/moby/moby/blob/master/daemon"
KERNEL_OVERLAY = "https://docs.kernel.org/filesystems/overlayfs.html"


def folders(host: Host) -> dict[str, str]:
    """Return the folders that hold images, containers and volumes, each with whose it is.

    Before any engine is installed that is where docker will put them.
    """
    installed = engine.installed(host)
    found: dict[str, str] = {}
    if "docker" in installed or engine.stage(host) == "installed" or not installed & {"containerd", "podman"}:
        found[storage.data_root(host)[0]] = "docker"
    if "containerd" in installed:
        found[storage.containerd_root(host)[0]] = "containerd"
    if "kubelet" in installed:
        found["/var/lib/kubelet"] = "the kubelet"
    for name, default in kubelet.DISTRIBUTIONS.items():
        if engine.program(host, name):
            options = kubelet.k3s_options(host) if name != "k0s" else {}
            if options.get("snapshotter", "overlayfs") == "overlayfs":
                found[options.get("data-dir", default).rstrip("/") or default] = name
    if "podman" in installed:
        # Where storage.conf cannot be read, podman_storage.configuration says so, and docker is judged all the same.
        with contextlib.suppress(PermissionError, Unavailable):
            found[podman.graph_root(host)] = "podman"
    return found


def known_driver(host: Host) -> storage.Driver | None:
    """Return what dockerd will take, None where that cannot be told."""
    try:
        return storage.driver(host)
    except (NotApplicable, PermissionError, Unavailable):
        return None


def no_mount(host: Host) -> Exception:
    """Return why nothing could be said of the file systems of a host."""
    if host.kind == "live":
        return Unavailable("/proc/self/mountinfo names no mount that holds it")
    return NotApplicable("no line of /etc/fstab says on which file system this will lie")
