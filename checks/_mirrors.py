"""Public mirrors: which have closed, which answer only in their own cloud, and which are of another registry.

As of 2026-08. A mirror that does not answer costs a pull its time limit before dockerd asks Docker Hub itself.
"""

from __future__ import annotations

from hostcheck._typing import Optional
from hostcheck.api import Record

CLOSED, RESTRICTED, OPEN = "closed", "restricted", "open"

_TEST = "https://github.com/docker-practice/docker-registry-cn-mirror-test/issues/"
_HUB = "docker.io"


class Mirror(Record):
    """What is known of a mirror."""

    host: str
    """Its name, or with a dot in front the end of its names."""
    state: str
    """`closed`, `restricted` (to machines of one network), or `open`."""
    since: str
    """The day from which a public statement has it so; empty where none is known."""
    registry: str = _HUB
    """What it mirrors."""
    where: str = ""
    """The network whose machines it serves, or what else limits it."""
    source: str = ""


MIRRORS = (
    Mirror("registry.docker-cn.com", CLOSED, "2019-05-12", source="https://github.com/docker/docs/issues/8793"),
    Mirror("reg-mirror.qiniu.com", CLOSED, "2020-05-30", source=f"{_TEST}3"),
    Mirror("docker.mirrors.ustc.edu.cn", CLOSED, "2022-08-24", where="its own campus", source=f"{_TEST}1"),
    Mirror(
        "docker.mirrors.sjtug.sjtu.edu.cn",
        CLOSED,
        "2024-06-06",
        source="https://github.com/sjtug/mirror-requests/issues/369",
    ),
    Mirror("mirror.baidubce.com", CLOSED, "2024-12-13", source=f"{_TEST}6"),
    Mirror("dockerproxy.com", CLOSED, "2025-01-17", source="https://github.com/armbian/build/pull/7713"),
    Mirror(
        ".azk8s.cn",
        RESTRICTED,
        "2020-04-02",
        where="Azure China",
        source="https://github.com/Azure/container-service-for-azure-china/issues/58",
    ),
    Mirror(
        ".mirror.aliyuncs.com",
        RESTRICTED,
        "2024-07-02",
        where="Alibaba Cloud",
        source="https://help.aliyun.com/zh/acr/product-overview/"
        "product-change-acr-mirror-accelerator-function-adjustment-announcement",
    ),
    Mirror(
        "mirror.ccs.tencentyun.com",
        RESTRICTED,
        "",
        where="Tencent Cloud",
        source="https://github.com/dongyubin/DockerHub/issues/28",
    ),
    Mirror("gcr.tencentcloudcr.com", RESTRICTED, "", "gcr.io", "Tencent Cloud"),
    Mirror("k8s.tencentcloudcr.com", RESTRICTED, "", "registry.k8s.io", "Tencent Cloud"),
    Mirror("quay.tencentcloudcr.com", RESTRICTED, "", "quay.io", "Tencent Cloud"),
    Mirror("nvcr.tencentcloudcr.com", RESTRICTED, "", "nvcr.io", "Tencent Cloud"),
    Mirror(
        "docker.m.daocloud.io",
        OPEN,
        "2024-06-13",
        where="only the images of a list, and few at a time",
        source="https://github.com/DaoCloud/public-image-mirror/issues/2328",
    ),
    Mirror("hub-mirror.c.163.com", OPEN, "", source=f"{_TEST}7"),
    Mirror(".mirror.swr.myhuaweicloud.com", OPEN, ""),
    Mirror(
        "docker.nju.edu.cn", OPEN, "2023-05-15", source="https://github.com/ustclug/mirrorrequest/issues/361"
    ),
    Mirror("mirror.iscas.ac.cn", OPEN, ""),
    Mirror("mirror.gcr.io", OPEN, "", source="https://cloud.google.com/artifact-registry/docs/pull-cached-dockerhub-images"),
    Mirror("gcr.nju.edu.cn", OPEN, "", "gcr.io"),
    Mirror("k8s.nju.edu.cn", OPEN, "", "registry.k8s.io"),
    Mirror("ghcr.nju.edu.cn", OPEN, "", "ghcr.io"),
    Mirror("quay.nju.edu.cn", OPEN, "", "quay.io"),
    Mirror("nvcr.nju.edu.cn", OPEN, "", "nvcr.io"),
    Mirror("registry-k8s-io.mirrors.sjtug.sjtu.edu.cn", OPEN, "", "registry.k8s.io"),
)  # fmt: skip
"""A mirror without a source is named by guides, and no statement of its state was found; `open` accuses nobody."""

OFFICIAL = (
    "gcr.io",
    "registry.k8s.io",
    "k8s.gcr.io",
    "ghcr.io",
    "quay.io",
    "nvcr.io",
    "mcr.microsoft.com",
    "registry.access.redhat.com",
)
"""Registries themselves: none of them mirrors another."""


def known(host: str) -> Optional[Mirror]:
    """Return what is known of a mirror by its host name.

    >>> known("registry.docker-cn.com").state, known("abc.mirror.aliyuncs.com").where, known("mirror.example")
    ('closed', 'Alibaba Cloud', None)
    """
    name = host.lower().rstrip(".")
    if name in OFFICIAL:
        return Mirror(name, OPEN, "", name)
    for mirror in MIRRORS:
        if mirror.host == name or (mirror.host[0] == "." and f".{name}".endswith(mirror.host)):
            return mirror
    return None


def fault(host: str) -> tuple[str, bool]:
    """Return what speaks against a mirror of Docker Hub, empty if nothing does, and whether it helps nobody.

    >>> fault("mirror.gcr.io"), fault("gcr.nju.edu.cn")
    (('', False), ('is a mirror of gcr.io, and dockerd asks mirrors for Docker Hub only', True))
    """
    mirror = known(host)
    if mirror is None:
        return "", False
    if mirror.registry != _HUB:
        kind = "" if mirror.host == mirror.registry else "a mirror of "
        return f"is {kind}{mirror.registry}, and dockerd asks mirrors for Docker Hub only", True
    day = f" since {mirror.since}" if mirror.since else ""
    if mirror.state == CLOSED:
        outside = f" outside {mirror.where}" if mirror.where else ""
        return f"has answered nobody{outside}{day}: pulls wait for it in vain", True
    if mirror.state == RESTRICTED:
        return f"serves only machines in {mirror.where}{day}", False
    return (f"serves {mirror.where}{day}" if mirror.where else ""), False
