"""The kubelet's records beside its configuration and the machine."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from hostcheck.finding import Outcome
from hostcheck.testing import FakeHost, ask

node: Any = importlib.import_module("hostcheck.checks.node")

CONFIG = "kind: KubeletConfiguration\napiVersion: kubelet.config.k8s.io/v1beta1\n{}"
STATIC = CONFIG.format("cpuManagerPolicy: static\n")


@pytest.mark.parametrize(
    ("config", "record", "online", "outcome"),
    [
        (STATIC, '{"policyName":"none","defaultCpuSet":""}', "0-3", Outcome.FAIL),
        (CONFIG.format(""), '{"policyName":"static","defaultCpuSet":"0-3"}', "0-3", Outcome.FAIL),
        (CONFIG.format(""), '{"policyName":"none","defaultCpuSet":""}', "0-3", Outcome.PASS),
        (STATIC, '{"policyName":"static","defaultCpuSet":"0-3"}', "0-3", Outcome.PASS),
        (STATIC, '{"policyName":"static","defaultCpuSet":"0"}', "0-3", Outcome.FAIL),
        (
            STATIC,
            '{"policyName":"static","defaultCpuSet":"0-1","entries":{"p":{"c":"2-3"}}}',
            "0-3",
            Outcome.PASS,
        ),
        (STATIC, "", "0-3", Outcome.FAIL),
        (STATIC, "[]", "0-3", Outcome.PASS),
        (STATIC, None, "0-3", Outcome.SKIP),
    ],
)
def test_records(config: str, record: str | None, online: str, outcome: Outcome) -> None:
    files = {
        "/var/lib/kubelet/config.yaml": config,
        "/sys/devices/system/cpu/online": f"{online}\n",
    }
    if record is not None:
        files["/var/lib/kubelet/cpu_manager_state"] = record
    assert ask(node.NodeRecords, FakeHost(files)).outcome is outcome


CRIO = {
    "/usr/bin/crio": "\x7fELF",
    "/var/lib/kubelet/config.yaml": CONFIG.format(
        "cgroupDriver: systemd\ncontainerRuntimeEndpoint: unix:///var/run/crio/crio.sock\n"
    ),
}
RUNC = {"/usr/bin/runc": "\x7fELF"}
NAMED = '[crio.runtime]\ndefault_runtime = "runc"\n[crio.runtime.runtimes.runc]\nruntime_path = "{}"\n'
BY_ITSELF = {
    **CRIO,
    "/var/lib/kubelet/config.yaml": CRIO["/var/lib/kubelet/config.yaml"].replace("systemd", "cgroupfs"),
}


@pytest.mark.parametrize(
    ("conf", "base", "release", "expected"),
    [
        (NAMED.format(""), {**CRIO, **RUNC}, "1.30.2", []),
        (NAMED.format(""), CRIO, "1.30.2", ["crio.conf default_runtime"]),
        ("", CRIO, "1.30.2", ["crio.conf default_runtime"]),
        ("", {**CRIO, "/usr/libexec/crio/crun": "\x7fELF"}, "1.30.2", []),
        (NAMED.format("/opt/runc"), {**CRIO, **RUNC}, "1.30.2", ["crio.conf default_runtime"]),
        (NAMED.format("/usr/bin/runc"), {**CRIO, **RUNC}, "1.30.2", []),
        ('[crio]\nstorage_driver = "overlay2"\n', {**CRIO, **RUNC}, "1.30.2", ["crio.conf storage_driver"]),
        ("", {**BY_ITSELF, **RUNC}, "1.30.2", ["kubelet cgroupDriver"]),
        ('[crio.runtime]\ncgroup_manager = "cgroupfs"\n', {**BY_ITSELF, **RUNC}, "1.30.2", []),
        # This kubelet asks CRI-O.
        ("", {**BY_ITSELF, **RUNC}, "1.31.0", []),
        ("[crio\n", {**CRIO, **RUNC}, "1.30.2", ["crio.conf"]),
    ],
)
def test_crio(conf: str, base: dict[str, str], release: str, expected: list[str]) -> None:
    package = f"Package: kubelet\nStatus: install ok installed\nVersion: {release}-1.1\n"
    host = FakeHost({**base, "/etc/crio/crio.conf.d/10-a.conf": conf, "/var/lib/dpkg/status": package})
    result = ask(node.NodeCrio, host)
    assert result.outcome is not Outcome.ERROR, result.reason
    assert [each.subject for each in result.failures] == expected


LONGHORN = {"/var/lib/longhorn/longhorn-disk.cfg": "{}"}
ISCSI = {"/usr/sbin/iscsiadm": "\x7fELF", "/etc/iscsi/initiatorname.iscsi": "InitiatorName=iqn.x\n"}
MULTIPATHD = {
    "/usr/lib/systemd/systemd": "\x7fELF",
    "/usr/lib/systemd/system/multipathd.service": "[Service]\nExecStart=/sbin/multipathd -d -s\n",
    "/etc/systemd/system/sysinit.target.wants/multipathd.service": "-> /usr/lib/systemd/system/multipathd.service",
}
BLACKLIST = 'blacklist {{\n    devnode "{}"\n}}\n'


@pytest.mark.parametrize(
    ("files", "conf", "expected"),
    [
        ({}, None, ["iscsiadm"]),
        ({"/usr/sbin/iscsiadm": "\x7fELF"}, None, ["iscsiadm"]),
        (ISCSI, None, []),
        ({**ISCSI, **MULTIPATHD}, "defaults {\n    user_friendly_names yes\n}\n", ["multipathd"]),
        ({**ISCSI, **MULTIPATHD}, BLACKLIST.format("^loop"), ["multipathd"]),
        (
            {**ISCSI, **MULTIPATHD},
            "#" + BLACKLIST.format("^sd[a-z0-9]+").replace("\n", "\n#"),
            ["multipathd"],
        ),
        ({**ISCSI, **MULTIPATHD}, BLACKLIST.format("^sd[a-z0-9]+"), []),
        ({**ISCSI, **MULTIPATHD}, 'blacklist {\n device {\n vendor "IET"\n product "*"\n }\n}\n', []),
        (ISCSI, "defaults {\n}\n", []),
    ],
)
def test_longhorn(files: dict[str, str], conf: str | None, expected: list[str]) -> None:
    more = {} if conf is None else {"/etc/multipath.conf": conf}
    found = ask(node.NodeLonghorn, FakeHost({**LONGHORN, **files, **more})).failures
    assert [each.subject for each in found] == expected


def test_no_longhorn() -> None:
    assert ask(node.NodeLonghorn, FakeHost(MULTIPATHD)).outcome is Outcome.SKIP
