"""Public mirrors of Docker Hub that are known to have closed, or to answer only in their own cloud.

As of 2026-08. Each with the day from which it is so and a public statement of it. A mirror that does not
answer costs a pull its time limit before dockerd asks Docker Hub itself.
"""

from __future__ import annotations

CLOSED = (
    ("registry.docker-cn.com", "2019-05-12", "https://github.com/docker/docs/issues/8793"),
    (
        "reg-mirror.qiniu.com",
        "2020-05-30",
        "https://github.com/docker-practice/docker-registry-cn-mirror-test/issues/3",
    ),
    (
        "docker.mirrors.ustc.edu.cn",
        "2022-08-24",
        "https://github.com/docker-practice/docker-registry-cn-mirror-test/issues/1",
    ),
    (
        "docker.mirrors.sjtug.sjtu.edu.cn",
        "2024-06-06",
        "https://github.com/sjtug/mirror-requests/issues/369",
    ),
)
"""Host name, day, source. The third answers inside its campus only."""

RESTRICTED = (
    (
        ".azk8s.cn",
        "2020-04-02",
        "Azure China",
        "https://github.com/Azure/container-service-for-azure-china/issues/58",
    ),
    (
        ".mirror.aliyuncs.com",
        "2024-07-02",
        "Alibaba Cloud",
        "https://help.aliyun.com/zh/acr/product-overview/"
        "product-change-acr-mirror-accelerator-function-adjustment-announcement",
    ),
)
"""End of the host name, day, the cloud whose machines alone are served, source."""


def closed(host: str) -> str:
    """Return since when a mirror is closed, empty if it is not known to be.

    >>> closed("registry.docker-cn.com"), closed("mirror.gcr.io")
    ('2019-05-12', '')
    """
    return next((day for name, day, _ in CLOSED if name == host.lower()), "")


def restricted(host: str) -> tuple[str, str]:
    """Return the cloud that alone is served by a mirror, and since when; empty if there is none."""
    name = "." + host.lower()
    return next(((cloud, day) for end, day, cloud, _ in RESTRICTED if name.endswith(end)), ("", ""))
