"""A pod's container under the real runc: what the kubelet and containerd make of it, without either."""

from __future__ import annotations

import contextlib
import json
import pathlib
import re
import subprocess
import uuid
from collections.abc import Iterator
from typing import Any

import debs

PROGRAMS = ("/usr", "/bin", "/lib", "/lib64", "/sbin", "/etc/ld.so.cache")
"""What of this machine stands for the image: a Python and what it is linked with."""

_MASKED = ("/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/scsi", "/sys/firmware")
_READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def seccomp(docker: Any) -> dict[str, Any]:
    """Return what containerd's and docker's default profile becomes for a container without capabilities on amd64."""
    rules = []
    for rule in docker["syscalls"]:
        wants, bars = rule.get("includes") or {}, rule.get("excludes") or {}
        if wants.get("caps") or "amd64" in bars.get("arches", ()):
            continue
        if "arches" in wants and not {"amd64", "x32", "x86"} & set(wants["arches"]):
            continue
        kept = {key: rule[key] for key in ("names", "action", "args", "errnoRet") if rule.get(key)}
        rules.append(kept)
    arches = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
    return {"defaultAction": docker["defaultAction"], "architectures": arches, "syscalls": rules}


def config(pod: Any, command: list[str], binds: dict[str, str], profile: dict[str, Any]) -> dict[str, Any]:
    """Return the OCI configuration of the first container of a pod; `binds` are more mounts, read-only."""
    container = pod["containers"][0]
    own, common = container["securityContext"], pod["securityContext"]
    user = own.get("runAsUser", common["runAsUser"])
    capabilities = own["capabilities"]
    assert capabilities["drop"] == ["ALL"]
    kept = [f"CAP_{name}" for name in capabilities.get("add", ())]
    assert common["seccompProfile"] == {"type": "RuntimeDefault"}
    mounts = [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {
            "destination": "/dev",
            "type": "tmpfs",
            "source": "tmpfs",
            "options": ["nosuid", "mode=755", "size=64k"],
        },
        {"destination": "/sys", "type": "bind", "source": "/sys", "options": ["rbind", "ro"]},
    ]
    for place in (*PROGRAMS, *binds):
        real = pathlib.Path(binds.get(place, place))
        if real.exists():
            mounts.append(_bind(str(real.resolve()), place, ["ro"]))
    volumes = {each["name"]: each["hostPath"]["path"] for each in pod["volumes"] if "hostPath" in each}
    for each in container["volumeMounts"]:
        slave = each.get("mountPropagation") == "HostToContainer"
        options = [*(["ro"] if each.get("readOnly") else []), "rslave" if slave else "rprivate"]
        mounts.append(_bind(volumes[each["name"]], each["mountPath"], options))
    shared = [
        ("network", pod.get("hostNetwork")),
        ("uts", pod.get("hostNetwork")),
        ("pid", pod.get("hostPID")),
    ]
    alone = ["mount", "cgroup", *(kind for kind, host in (*shared, ("ipc", pod.get("hostIPC"))) if not host)]
    memory = re.fullmatch(r"(\d+)Mi", container["resources"]["limits"]["memory"])
    assert memory
    return {
        "ociVersion": "1.0.2",
        "root": {"path": "root", "readonly": bool(own.get("readOnlyRootFilesystem"))},
        "mounts": mounts,
        "process": {
            "cwd": "/",
            "args": command,
            "env": ["PATH=/usr/bin:/bin"],
            "user": {"uid": user, "gid": common.get("runAsGroup", user)},
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), kept),
            "noNewPrivileges": own.get("allowPrivilegeEscalation") is False,
        },
        "linux": {
            "namespaces": [{"type": kind} for kind in alone],
            "seccomp": profile,
            "maskedPaths": list(_MASKED),
            "readonlyPaths": list(_READ_ONLY),
            "resources": {"memory": {"limit": int(memory[1]) << 20}},
        },
    }


def _bind(source: str, place: str, options: list[str]) -> dict[str, Any]:
    return {"destination": place, "type": "bind", "source": source, "options": ["rbind", *options]}


@contextlib.contextmanager
def running(
    pod: Any, command: list[str], binds: dict[str, str], folder: pathlib.Path
) -> Iterator[subprocess.Popen[str]]:
    """Run the first container of a pod; it is the caller's to read what it tells."""
    tree = debs.need("runc", "golang-github-containers-common")
    profile = seccomp(json.loads((tree / "usr/share/containers/seccomp.json").read_text()))
    (folder / "root").mkdir()
    (folder / "config.json").write_text(json.dumps(config(pod, command, binds, profile)))
    name = f"hostcheck-{uuid.uuid4().hex[:12]}"
    runc = [str(tree / "usr/sbin/runc"), "--root", str(folder / "state")]
    process = subprocess.Popen(
        [*runc, "run", "--bundle", str(folder), name],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        subprocess.run([*runc, "kill", name, "KILL"], capture_output=True, timeout=60)
        process.communicate(timeout=60)
        subprocess.run([*runc, "delete", "--force", name], capture_output=True, timeout=60)
