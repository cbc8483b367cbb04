"""What a kubelet kept of the time before."""

from __future__ import annotations

import json
from collections.abc import Iterator

from hostcheck._typing import Any
from hostcheck.api import Check, Finding, Host, NotApplicable, Severity, failed, passed
from hostcheck.facts import kubelet
from hostcheck.facts.files import text

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
            except ValueError:
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
