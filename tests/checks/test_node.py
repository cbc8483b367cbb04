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
