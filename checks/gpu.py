"""GPUs in containers: what the container toolkit is told, and finds."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, failed, passed
from hostcheck.facts import engine, rootless
from hostcheck.facts.files import names, text, which

CONFIG = "/etc/nvidia-container-runtime/config.toml"
DRIVER = "/proc/driver/nvidia/version"
LIBRARIES = ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib")
PROGRAMS = ("container-runtime", "container-runtime-hook", "ctk", "container-cli")


class GpuToolkit(Check):
    """NVIDIA's container toolkit is set up for this host.

    *Why*: `no-cgroups = true` is meant for engines without root: a container of root's engine then gets the GPU's
    files and not the right to open them (`Failed to initialize NVML: Unknown Error`). `ldconfig` names a program
    of the host, which is /sbin/ldconfig.real on Ubuntu alone; where it is not there no container with a GPU starts.
    Nor does one after an upgrade of the driver, until the kernel has the module of the same release:
    `nvml error: driver/library version mismatch`.

    *Needs*: in /etc/nvidia-container-runtime/config.toml no `no-cgroups = true` where root's docker or containerd
    runs containers, and a program behind `ldconfig`; a libnvidia-ml of the release of the module in the kernel.

    *Fix*: change the line; containers that are started afterwards have it. Reboot after an upgrade of the driver.
    """

    id = "gpu.toolkit"
    severity = Severity.REQUIRED
    references = (
        "https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/install-guide.html#rootless-mode",
        "https://github.com/NVIDIA/nvidia-container-toolkit/issues/381",
        "https://github.com/NVIDIA/nvidia-docker/issues/587",
        "https://github.com/NVIDIA/nvidia-container-toolkit/issues/394",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if not any(which(host, f"nvidia-{name}") for name in PROGRAMS):
            raise NotApplicable("NVIDIA's container toolkit is not installed")
        yield from self._driver(host)
        for number, line in enumerate((text(host, CONFIG) or "").splitlines(), 1):
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

    def _driver(self, host: Host) -> Iterator[Finding]:
        """Judge whether the module in the kernel and the libraries are of one release."""
        shown = re.search(r"Kernel Module\s+(?:for \S+\s+)?([\d.]+)", text(host, DRIVER) or "")
        if shown is None or host.kind != "live":
            return
        there = {
            found[1]
            for folder in LIBRARIES
            for found in (
                re.fullmatch(r"libnvidia-ml\.so\.(\d+\.[\d.]+)", name) for name in names(host, folder)
            )
            if found
        }
        more = {"value": shown[1], "expected": ", ".join(sorted(there)), "path": DRIVER}
        if shown[1] in there or not there:
            yield passed("nvidia module", "is of the libraries' release", **more)
            return
        yield failed(
            "nvidia module",
            f"the kernel has {shown[1]}, and the libraries are of {more['expected']}: no container with a GPU starts",
            hint="reboot, or unload and load the nvidia modules",
            **more,
        )

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
