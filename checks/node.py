"""What a node has beside its kubelet: records of the time before, CRI-O, and what Longhorn wants."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from hostcheck._typing import Any
from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, Version, failed, passed
from hostcheck.facts import engine, kubelet, network, packages, podman
from hostcheck.facts.files import text, which

FOLDER = "/var/lib/kubelet"

RECORDS = (
    ("cpu_manager_state", "cpuManagerPolicy", "cpu-manager-policy", "none"),
    ("memory_manager_state", "memoryManagerPolicy", "memory-manager-policy", "None"),
)
"""The kubelet's records, the settings that must be as they say, and the default of these."""


def processors(words: str) -> frozenset[int]:
    """Return the numbers of a list of processors.

    >>> sorted(processors("0-2,5"))
    [0, 1, 2, 5]
    """
    found: set[int] = set()
    for each in words.strip().split(","):
        first, _, last = each.partition("-")
        if first.isdecimal() and (last or first).isdecimal():
            found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)


class NodeRecords(Check):
    """The kubelet's records of processors and memory are of its configuration and of this machine.

    *Why*: the kubelet keeps in /var/lib/kubelet which policy it gave processors out by, and which there were. It does
    not start over a record of another policy: `configured policy "static" differs from state checkpoint policy "none"`.
    After a change of the number of processors it ends as well, or does not use the new ones.

    *Needs*: cpu_manager_state and memory_manager_state, where they are, beside the kubelet's configuration and the
    processors that are online.

    *Fix*: drain the node, remove the record and start the kubelet again.
    """

    id = "node.records"
    severity = Severity.REQUIRED
    references = (
        "https://kubernetes.io/docs/tasks/administer-cluster/cpu-management-policies/#changing-the-cpu-manager-policy",
        "https://github.com/kubernetes/kubernetes/blob/v1.31.0/pkg/kubelet/cm/cpumanager/policy_static.go",
        "https://github.com/siderolabs/talos/issues/7504",
        "https://github.com/kubernetes/kubernetes/issues/79823",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        there = False
        for name, key, flag, default in RECORDS:
            path = f"{FOLDER}/{name}"
            content = text(host, path)
            if content is None:
                continue
            there = True
            more: dict[str, Any] = {"path": path, "when": "boot"}
            more["commands"] = ["systemctl stop kubelet", f"rm {path}", "systemctl start kubelet"]
            try:
                record = json.loads(content)
            except (ValueError, RecursionError):
                yield failed(name, "is no JSON: the kubelet does not start", value="no JSON", **more)
                continue
            said = kubelet.value(host, key, flag)
            wanted = said.value if said is not None and said.value else default
            yield from self._judge(host, name, record, wanted, more)
        if not there:
            raise NotApplicable("no kubelet has kept a record here")

    def _judge(
        self, host: Host, name: str, record: Any, wanted: str, more: dict[str, Any]
    ) -> Iterator[Finding]:
        kept = record.get("policyName") if isinstance(record, dict) else None
        quiet = {key: value for key, value in more.items() if key != "commands"}
        if not isinstance(kept, str):
            yield passed(name, "says nothing of a policy", **quiet)
        elif kept.lower() != wanted.lower():
            text_ = f"is of the policy {kept}, and {wanted} is configured: the kubelet does not start"
            yield failed(name, text_, value=kept, expected=wanted, **more)
        elif kept == "static" and host.kind == "live":
            online = processors(text(host, "/sys/devices/system/cpu/online") or "")
            known = processors(str(record.get("defaultCpuSet") or ""))
            for pod in (record.get("entries") or {}).values():
                for given in pod.values() if isinstance(pod, dict) else ():
                    known |= processors(str(given))
            if online and known and online != known:
                text_ = (
                    f"knows {len(known)} processors, and {len(online)} are online: the kubelet ends, or does not use"
                    " the others"
                )
                yield failed(name, text_, value=record.get("defaultCpuSet"), expected="those online", **more)
            else:
                yield passed(name, "knows the processors that are online", value=kept, **quiet)
        else:
            yield passed(name, f"is of the policy {kept}", value=kept, **quiet)


CRIO = "/etc/crio/crio.conf"

CRIO_FOLDERS = ("/usr/libexec/crio", "/usr/lib/cri-o-runc/sbin", "/usr/lib/crio/bin")
"""Where packages of CRI-O bring programs of its own, beside those in the path."""

NOT_OVERLAY = ("overlay2", "aufs", "devicemapper")
"""Storage drivers that docker knows or knew, and CRI-O does not."""


class NodeCrio(Check):
    """CRI-O finds its runtime, and agrees with the kubelet.

    *Why*: CRI-O does not start where the runtime that it is told to use is not there (`"runc" not found in $PATH`),
    nor with a storage driver of docker's. It leaves control groups to systemd by default; with a kubelet that manages
    them itself no pod starts (`did not receive slice as parent`).

    *Needs*: /etc/crio/crio.conf and crio.conf.d as TOML, the program of default_runtime, and cgroup_manager as the
    kubelet's cgroupDriver. A kubelet from 1.31 on asks CRI-O from 1.28 on for it.

    *Fix*: install the runtime, or name the one that is there; the same driver in both.
    """

    id = "node.crio"
    severity = Severity.REQUIRED
    references = (
        "https://github.com/cri-o/cri-o/blob/main/docs/crio.conf.5.md",
        "https://github.com/cri-o/cri-o/issues/4177",
        "https://github.com/cri-o/cri-o/issues/3915",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if "crio" not in engine.installed(host):
            raise NotApplicable("CRI-O is not installed")
        found = podman.documents(host, CRIO)
        broken = next((each for each in found if each.problem), None)
        if broken:
            text_ = f"is no TOML ({broken.problem}): CRI-O does not start"
            line = broken.problem_line or None
            yield failed("crio.conf", text_, value="not TOML", path=broken.path, line=line, when="boot")
            return
        yield self._runtime(host, found)
        storage = podman.last(found, "crio.storage_driver")
        if storage is not None and storage.value in NOT_OVERLAY:
            text_ = f"{storage.value} is docker's name: CRI-O does not start"
            where = {"path": storage.path, "line": storage.line, "when": "boot"}
            yield failed("crio.conf storage_driver", text_, value=storage.value, expected="overlay", **where)
        yield from self._driver(host, podman.last(found, "crio.runtime.cgroup_manager"))

    def _runtime(self, host: Host, found: tuple[podman.Document, ...]) -> Finding:
        """Judge whether the default runtime is there."""
        named = podman.last(found, "crio.runtime.default_runtime")
        wanted = [str(named.value)] if named and named.value else ["crun", "runc"]
        places = []
        for name in wanted:
            path = podman.last(found, f"crio.runtime.runtimes.{name}.runtime_path")
            if path and path.value:
                places.append(str(path.value) if host.exists(str(path.value)) else None)
            else:
                places.append(which(host, name) or which(host, name, CRIO_FOLDERS))
        there = next((each for each in places if each), None)
        if there:
            return passed("crio.conf default_runtime", "is there", value=there, path=there, when="boot")
        where = {"path": named.path, "line": named.line} if named else {}
        return failed(
            "crio.conf default_runtime",
            f"{' nor '.join(wanted)} is not there: CRI-O does not start",
            value="missing",
            expected="in the path",
            hint=f"install {wanted[0]}",
            when="boot",
            **where,
        )

    def _driver(self, host: Host, manager: podman.Setting | None) -> Iterator[Finding]:
        """Judge whether CRI-O and the kubelet leave control groups to the same manager."""
        driver = kubelet.value(host, "cgroupDriver", "cgroup-driver")
        endpoint = kubelet.value(host, "containerRuntimeEndpoint", "container-runtime-endpoint")
        release, crio = kubelet.release(host), kubelet.release(host, "crio")
        if endpoint is None or "crio" not in endpoint.value:
            return
        if release and release >= Version("1.31") and (crio is None or crio >= Version("1.28")):
            return
        ours = str(manager.value) if manager else "systemd"
        theirs = driver.value if driver else "cgroupfs"
        more: dict[str, Any] = {"value": theirs, "expected": ours, "when": "boot"}
        if driver:
            more.update(path=driver.source.path or None, line=driver.source.line or None)
        if ours == theirs:
            yield passed("kubelet cgroupDriver", f"{theirs}, as CRI-O's", **more)
            return
        text_ = f"{theirs}, and CRI-O has {ours}: no pod starts"
        yield failed("kubelet cgroupDriver", text_, hint=f"cgroupDriver: {ours} in {kubelet.CONFIG}", **more)


LONGHORN = ("/var/lib/longhorn/longhorn-disk.cfg", "/var/lib/kubelet/plugins/driver.longhorn.io")
"""What Longhorn leaves on a node that keeps its volumes, or uses them."""

INITIATOR = "/etc/iscsi/initiatorname.iscsi"
MULTIPATH = "/etc/multipath.conf"


class NodeLonghorn(Check):
    """The node has what Longhorn wants.

    *Why*: Longhorn hands volumes to the node as disks of iSCSI, by the node's own iscsiadm; without it longhorn-manager
    exits (`make sure you have iscsiadm/open-iscsi installed on the host`). multipathd takes such disks for its own, and
    no volume can be mounted: `already mounted or mount point busy`.

    *Needs*: on a node with files of Longhorn, iscsiadm and /etc/iscsi/initiatorname.iscsi; where multipathd is enabled,
    a blacklist in /etc/multipath.conf that fits sd*.

    *Fix*: install open-iscsi (iscsi-initiator-utils); `blacklist { devnode "^sd[a-z0-9]+" }`.
    """

    id = "node.longhorn"
    severity = Severity.REQUIRED
    references = (
        "https://longhorn.io/docs/latest/deploy/install/#installing-open-iscsi",
        "https://longhorn.io/kb/troubleshooting-volume-with-multipath/",
        "https://github.com/longhorn/longhorn/issues/1210",
        "https://github.com/longhorn/longhorn/issues/7233",
    )

    def run(self, host: Host) -> Iterator[Finding]:
        """See `Check.run`."""
        if not any(host.exists(path) for path in LONGHORN):
            raise NotApplicable("Longhorn has left nothing on this host")
        more: dict[str, Any] = {"expected": "installed", "when": "boot"}
        if not which(host, "iscsiadm") and not packages.known(host, "open-iscsi", "iscsi-initiator-utils"):
            hint = "install open-iscsi (Debian, Ubuntu) or iscsi-initiator-utils (Red Hat)"
            yield failed(
                "iscsiadm", "is not there: longhorn-manager exits", value="missing", hint=hint, **more
            )
        elif host.exists(INITIATOR):
            yield passed("iscsiadm", "is there, and the node has a name", value="installed", **more)
        else:
            text_ = f"the node has no name ({INITIATOR} is not there): no volume can be attached"
            mend = [f'echo "InitiatorName=$(/sbin/iscsi-iname)" > {INITIATOR}', "systemctl restart iscsid"]
            yield failed("iscsiadm", text_, value="no name", path=INITIATOR, commands=mend, **more)
        content = text(host, MULTIPATH)
        if content is None or not network.enabled(host, "multipathd.service"):
            return
        more = {"expected": 'blacklist { devnode "^sd[a-z0-9]+" }', "path": MULTIPATH, "when": "boot"}
        if spared(content):
            yield passed("multipathd", "leaves the disks of Longhorn alone", **more)
            return
        yield failed(
            "multipathd",
            "takes the disks of Longhorn for its own: no volume can be mounted",
            commands=[
                f"printf 'blacklist {{\\n    devnode \"^sd[a-z0-9]+\"\\n}}\\n' >> {MULTIPATH}",
                "systemctl restart multipathd",
            ],
            hint="or only those of Longhorn, where other disks of this host have several paths",
            **more,
        )


def spared(config: str) -> bool:
    r"""Return whether a multipath.conf leaves out disks of Longhorn, by name or by their maker.

    >>> spared('blacklist {\n devnode "^sd[a-z0-9]+"\n}'), spared('blacklist {\n devnode "^loop"\n}')
    (True, False)
    """
    plain = re.sub(r"(?m)[#!].*$", "", config)
    for section in re.findall(r"\bblacklist\s*\{((?:[^{}]|\{[^{}]*\})*)\}", plain):
        if re.search(r"\bvendor\s+\"?(?:IET|\.\*)", section):
            return True
        for pattern in re.findall(r"\bdevnode\s+\"?([^\"\n]+)", section):
            try:
                if re.search(pattern.strip(), "sdb"):
                    return True
            except re.error:
                continue
    return False
