"""GPUs in containers: what the container toolkit is told."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, failed, passed
from hostcheck.facts import engine, rootless
from hostcheck.facts.files import text, which

CONFIG = "/etc/nvidia-container-runtime/config.toml"


class GpuToolkit(Check):
    """NVIDIA's container toolkit is set up for this host.

    *Why*: `no-cgroups = true` is meant for engines without root: a container of root's engine then gets the GPU's
    files and not the right to open them (`Failed to initialize NVML: Unknown Error`). `ldconfig` names a program
    of the host, which is /sbin/ldconfig.real on Ubuntu alone; where it is not there no container with a GPU starts.

    *Needs*: in /etc/nvidia-container-runtime/config.toml no `no-cgroups = true` where root's docker or containerd
    runs containers, and a program behind `ldconfig`.

    *Fix*: change the line; containers that are started afterwards have it.
    """

    id = "gpu.toolkit"
    severity = Severity.REQUIRED
    references = (
        "https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/install-guide.html#rootless-mode",
        "https://github.com/NVIDIA/nvidia-container-toolkit/issues/381",
        "https://github.com/NVIDIA/nvidia-docker/issues/587",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        content = text(host, CONFIG)
        if content is None or not any(
            which(host, f"nvidia-{name}") for name in ("container-runtime", "container-runtime-hook", "ctk")
        ):
            raise NotApplicable("NVIDIA's container toolkit is not installed")
        for number, line in enumerate(content.splitlines(), 1):
            found = re.match(r"\s*(no-cgroups|ldconfig)\s*=\s*(.*?)\s*(?:#.*)?$", line)
            if found is None:
                continue
            value = found.group(2).strip("\"'")
            yield from (
                self._cgroups(host, value, number)
                if found[1] == "no-cgroups"
                else self._ldconfig(host, value, number)
            )
        yield passed("config.toml", "nothing else in it depends on the host", path=CONFIG)

    def _cgroups(self, host: Host, value: str, line: int) -> Iterator[Finding]:
        more = {"value": value, "expected": "false", "path": CONFIG, "line": line}
        rootful = {"docker", "containerd"} & engine.installed(host)
        if value != "true" or not rootful or rootless.evidence(host):
            yield passed("config.toml no-cgroups", "as this host's engines need it", **more)
            return
        yield failed(
            "config.toml no-cgroups",
            "no-cgroups = true is for engines without root: here containers may not open the GPU's files",
            commands=[f"sed -i '{line}s/true/false/' {CONFIG}"],
            **more,
        )

    def _ldconfig(self, host: Host, value: str, line: int) -> Iterator[Finding]:
        # With @ it is a program of the host, without of the container.
        if not value.startswith("@"):
            return
        path = value[1:]
        more = {"value": path, "expected": "a program of this host", "path": CONFIG, "line": line}
        if host.exists(path):
            yield passed("config.toml ldconfig", f"{path} is there", **more)
            return
        yield failed(
            "config.toml ldconfig",
            f"{path} is not there (it is Ubuntu's name): no container with a GPU starts",
            commands=[f"sed -i '{line}s,@[^\"]*,@/sbin/ldconfig,' {CONFIG}"],
            **more,
        )
