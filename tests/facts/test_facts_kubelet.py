"""The kubelet's configuration: compared with a whole YAML reader, and its flags."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from hostcheck.facts import kubelet
from hostcheck.testing import Content, FakeHost

KUBEADM = """\
apiVersion: kubelet.config.k8s.io/v1beta1
authentication:
  anonymous:
    enabled: false
  webhook:
    cacheTTL: 0s
    enabled: true
  x509:
    clientCAFile: /etc/kubernetes/pki/ca.crt
authorization:
  mode: Webhook
cgroupDriver: systemd
clusterDNS:
- 10.96.0.10
clusterDomain: cluster.local
kind: KubeletConfiguration
logging:
  flushFrequency: 0
  options:
    json:
      infoBufferSize: "0"
memorySwap: {}
resolvConf: /run/systemd/resolve/resolv.conf
"""
TEXTS = [
    KUBEADM,
    "# a comment\nfailSwapOn: false # with one behind it\n\"quoted key\": 'it is'\n",
    "evictionHard:\n    memory.available: 200Mi\n    nodefs.available: '10%'\nmaxPods: 110\n",
    "a:\n  b:\n    c: 1\n  d: 2\ne: 3\n",
    "tlsCipherSuites:\n  - A\n  - B\nport: 10250\r\nreadOnlyPort: 0\r\n",
    "note: |\n  failSwapOn: false\n  more\nport: 1\n",
    "featureGates:\n  Sidecars: true\nurl: http://a:1/b#c\n",
    '{"kind": "KubeletConfiguration", "failSwapOn": false, "a": {"b": 1}}',
    "---\nport: 1\n",
    "",
]


def flat(node: Any, before: str = "") -> dict[str, str]:
    """Return the scalars of a YAML document by dotted path, as texts."""
    found: dict[str, str] = {}
    for key, value in node.items() if isinstance(node, dict) else ():
        path = f"{before}.{key}" if before else str(key)
        if isinstance(value, dict):
            found.update(flat(value, path))
        elif value is not None and not isinstance(value, list):
            found[path] = str(value).lower() if isinstance(value, bool) else str(value)
    return found


def test_as_a_whole_reader_reads_it() -> None:
    agree = 0
    for text in TEXTS:
        expected = flat(yaml.safe_load(text))
        # Texts over several lines are passed over.
        expected.pop("note", None)
        found = {key: each.value for key, each in kubelet.parse_config(text).values.items()}
        assert found == expected, text
        agree += 1
    print(f"kubelet configurations as PyYAML reads them: {agree}/{len(TEXTS)}")


def test_lines_quotes_doubles_and_tabs() -> None:
    found = kubelet.parse_config(KUBEADM, "/x")
    assert found.values["authorization.mode"].source == ("/x", 11)
    assert found.values["logging.options.json.infoBufferSize"].quoted
    assert not found.values["logging.flushFrequency"].quoted
    assert kubelet.parse_config("a: 1\nb:\n  a: 2\na: 3\n").twice == (("a", 4),)
    assert kubelet.parse_config("a:\n  b: 1\n\tc: 2\n").tab == 3
    assert kubelet.parse_config("a:\tb\n").tab == 0
    assert kubelet.parse_config("{broken").values == {}


UNIT = "[Service]\nExecStart=/usr/bin/kubelet\n"
DROP_IN = """\
[Service]
Environment="KUBELET_CONFIG_ARGS=--config=/etc/kubelet.yaml"
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
EnvironmentFile=-/etc/default/kubelet
ExecStart=
ExecStart=/usr/bin/kubelet $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS
"""
FILES: dict[str, Content] = {
    "/usr/lib/systemd/system/kubelet.service": UNIT,
    "/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf": DROP_IN,
    "/var/lib/kubelet/kubeadm-flags.env": 'KUBELET_KUBEADM_ARGS="--network-plugin=cni --v=2"\n',
    "/etc/default/kubelet": "# mine\nKUBELET_EXTRA_ARGS=--fail-swap-on=false\n",
    "/etc/kubelet.yaml": "failSwapOn: true\nmaxPods: 110\n",
}


def test_flags_of_the_unit() -> None:
    host = FakeHost(FILES)
    found = kubelet.flags(host)
    assert found["network-plugin"] == ("cni", ("/var/lib/kubelet/kubeadm-flags.env", 1), False)
    assert found["fail-swap-on"].source == ("/etc/default/kubelet", 2)
    assert found["config"].source == ("/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf", 2)
    assert kubelet.config_file(host) == "/etc/kubelet.yaml"
    assert kubelet.settings(host)["maxPods"].value == "110"
    # The command line wins over the file.
    assert not kubelet.truth(kubelet.value(host, "failSwapOn", "fail-swap-on"), True)


def test_flags_without_a_unit() -> None:
    host = FakeHost({"/etc/default/kubelet": 'KUBELET_EXTRA_ARGS="--node-ip 10.0.0.1 --v 4"\n'})
    assert {name: each.value for name, each in kubelet.flags(host).items()} == {
        "node-ip": "10.0.0.1",
        "v": "4",
    }
    assert kubelet.config_file(host) == kubelet.CONFIG
    assert kubelet.config(host) is None
    assert kubelet.settings(host) == {}


def test_files_of_the_config_folder_come_later() -> None:
    host = FakeHost(
        {
            "/etc/default/kubelet": "KUBELET_EXTRA_ARGS=--config-dir=/etc/kubernetes/kubelet.conf.d\n",
            kubelet.CONFIG: "maxPods: 110\nfailSwapOn: true\n",
            "/etc/kubernetes/kubelet.conf.d/20-b.conf": "maxPods: 300\n",
            "/etc/kubernetes/kubelet.conf.d/10-a.conf": "maxPods: 200\nfailSwapOn: false\n",
            "/etc/kubernetes/kubelet.conf.d/30-c.yaml": "maxPods: 400\n",
        }
    )
    found = kubelet.settings(host)
    assert (found["maxPods"].value, found["failSwapOn"].value) == ("300", "false")
    assert found["maxPods"].source == ("/etc/kubernetes/kubelet.conf.d/20-b.conf", 1)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("kubelet", "--a=1", "--b", "2", "--c"), {"a": "1", "b": "2", "c": "true"}),
        (("kubelet", "--a", "--b=x=y"), {"a": "true", "b": "x=y"}),
        (("kubelet", "--a=1", "--a=2", "x", "--"), {"a": "2"}),
        (("kubelet", "--fail_swap_on=false"), {"fail-swap-on": "false"}),
        ((), {}),
    ],
)
def test_parse_flags(words: tuple[str, ...], expected: dict[str, str]) -> None:
    assert kubelet.parse_flags(words) == expected


def test_release_by_package_where_the_program_is_not_seen() -> None:
    status = "Package: kubelet\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.35.0-1.1\n"
    host = FakeHost({"/var/lib/dpkg/status": status, "/bin/sh": b"\x7fELF"})
    assert str(kubelet.release(host)) == "1.35.0"
    assert kubelet.release(host, "kubeadm") is None


def test_export() -> None:
    found = kubelet.export(FakeHost(FILES))
    assert found["--v"] == {"value": "2", "path": "/var/lib/kubelet/kubeadm-flags.env", "line": 1}
    assert found["maxPods"] == {"value": "110", "path": "/etc/kubelet.yaml", "line": 2}
