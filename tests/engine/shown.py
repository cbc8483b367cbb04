"""Which incidents of the field a fault of these shows with the real engines."""

from __future__ import annotations

SHOWN = {
    "moby/moby#41268": "empty file",
    "rnanosaur/nanosaur#47": "daemon.json a web page",
    "moby/moby#30183": "a line behind the object",
    "docker-library/docker#493": "hosts in file and flag",
    "docker/docs#7748": "live-restore in file and flag",
    "docker/for-linux#123": "address pools inside a route",
    "docker/for-linux#418": "every network taken",
    "moby/moby#38712": "remap to a user without ids",
    "moby/moby#43072": "network database corrupt",
    "moby/moby#32105": "layers of two drivers",
    "docker/for-linux#162": "data of aufs left",
    "moby/moby#14026": "data of aufs left",
    "home-assistant/operating-system#2097": "data-root full",
    "moby/moby#30348": "docker's socket a folder",
    "moby/libnetwork#2331": "FORWARD drops in the other iptables",
    "containerd/containerd#8139": "containerd without cri",
    "containerd/containerd#11088": "a plugin's unknown key",
}
"""By the incident's id in tests/incidents: the fault that is its cause, laid down. Not here: what a kernel, a boot, a
cluster or a second machine would be needed for."""


def link(incident: str) -> str:
    """Return an incident's thread as a link.

    >>> link("moby/moby#41268")
    '[moby/moby#41268](https://github.com/moby/moby/issues/41268)'
    """
    project, _, number = incident.partition("#")
    return f"[{incident}](https://github.com/{project}/issues/{number})"
