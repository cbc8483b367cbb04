"""What dockerd refuses at its start, release by release: log options, and what a host says of paths."""

from __future__ import annotations

import json
from typing import Any, Optional

import pytest

from hostcheck.facts import _daemon_logging as logs
from hostcheck.facts.daemonjson import HostFacts, judge
from hostcheck.versions import Version


class Laid(HostFacts):
    """A host whose files are known."""

    def __init__(self, **files: str) -> None:
        self.files = {"/" + path.replace("_", "/"): text for path, text in files.items()}

    def path(self, path: str) -> Optional[str]:
        if path in self.files:
            return "file"
        return "folder" if path.count("/") == 1 else "missing"

    def content(self, path: str) -> Optional[str]:
        return self.files.get(path)

    def plugin(self, name: str) -> Optional[bool]:
        return name == "loki"


FILES = Laid(etc_passwd="root:x:0:0:", pem="-----BEGIN CERTIFICATE-----", text="no certificate")


def problems(version: str, facts: HostFacts = FILES, **keys: Any) -> list[str]:
    text = json.dumps({key.replace("_", "-"): value for key, value in keys.items()})
    return [problem.key for problem in judge(text.encode(), Version(version), (), facts).problems]


LOG_OPTIONS = [
    ("json-file", {"cache-disabled": "true"}, "20.10.24", None),
    ("json-file", {"cache-disabled": "true"}, "19.03.15", "cache-disabled"),
    ("json-file", {"cache-disabled": "no"}, "20.10.24", "cache-disabled"),
    ("json-file", {"tag": "x"}, "17.12.1", "tag"),
    ("journald", {"tag": "x"}, "17.12.1", None),
    ("journald", {"max-size": "1m"}, "28.5.2", "max-size"),
    ("fluentd", {"fluentd-async-connect": "true"}, "27.5.1", None),
    ("fluentd", {"fluentd-async-connect": "true"}, "28.0.0", "fluentd-async-connect"),
    ("fluentd", {"fluentd-write-timeout": "1s"}, "28.1.1", "fluentd-write-timeout"),
    ("fluentd", {"fluentd-write-timeout": "1s"}, "28.2.0", None),
    ("fluentd", {"fluentd-async": "yes"}, "26.1.5", "fluentd-async"),
    ("fluentd", {"fluentd-address": "127.0.0.1:x"}, "26.1.5", "fluentd-address"),
    ("fluentd", {"fluentd-address": "http://127.0.0.1:24224"}, "26.1.5", "fluentd-address"),
    ("fluentd", {"fluentd-address": "unix:///run/f.sock"}, "26.1.5", None),
    ("fluentd", {"fluentd-address": "logs"}, "26.1.5", None),
    ("syslog", {"syslog-address": "udp://192.0.2.1:514"}, "26.1.5", None),
    ("syslog", {"syslog-address": "192.0.2.1:514"}, "26.1.5", "syslog-address"),
    ("syslog", {"syslog-address": "http://192.0.2.1"}, "26.1.5", "syslog-address"),
    ("syslog", {"syslog-address": "unix:///dev/none"}, "26.1.5", "syslog-address"),
    ("syslog", {"syslog-address": "unixgram:///etc/passwd"}, "26.1.5", None),
    ("syslog", {"syslog-facility": "local7"}, "26.1.5", None),
    ("syslog", {"syslog-facility": "23"}, "26.1.5", None),
    ("syslog", {"syslog-facility": "24"}, "26.1.5", "syslog-facility"),
    ("syslog", {"syslog-format": "rfc5424"}, "26.1.5", None),
    ("syslog", {"syslog-format": "rfc1"}, "26.1.5", "syslog-format"),
    ("gelf", {"gelf-address": "udp://127.0.0.1:12201"}, "26.1.5", None),
    ("gelf", {"gelf-address": "http://127.0.0.1:12201"}, "26.1.5", "gelf-address"),
    ("gelf", {"gelf-address": "udp://127.0.0.1"}, "26.1.5", "gelf-address"),
    ("none", {"anything": "x"}, "26.1.5", None),
    ("loki", {"anything": "x"}, "26.1.5", None),
]


@pytest.mark.parametrize(("driver", "options", "version", "wrong"), LOG_OPTIONS)
def test_log_options(driver: str, options: dict[str, str], version: str, wrong: Optional[str]) -> None:
    expected = [f"log-opts.{wrong}"] if wrong else []
    assert problems(version, log_driver=driver, log_opts=options) == expected


@pytest.mark.parametrize(
    ("driver", "options", "wrong"),
    [
        ("gelf", {"tag": "x"}, "log-opts"),
        ("awslogs", {"tag": "x"}, "log-opts"),
        ("splunk", {"tag": "x"}, None),
        ("jsonfile", {"tag": "x"}, "log-driver"),
        ("jsonfile", {}, None),
    ],
)
def test_log_driver(driver: str, options: dict[str, str], wrong: Optional[str]) -> None:
    assert problems("26.1.5", log_driver=driver, log_opts=options) == ([wrong] if wrong else [])


def test_every_option_with_a_release_is_one_of_a_driver() -> None:
    known = set(" ".join((*logs.LOG_OPTIONS.values(), logs.COMMON_LOG_OPTIONS)).split())
    assert {name.rpartition(" ")[2] for name in logs.OPTION_RELEASES} <= known
    assert set(logs.SWITCHES) <= known
    assert {name for names in logs.NEEDED_OPTIONS.values() for name in names} <= known
    assert set(logs.LOG_OPTIONS) <= {name for name, _, _ in logs.LOG_DRIVERS}


@pytest.mark.parametrize(
    ("keys", "version", "wrong"),
    [
        ({"oom_score_adjust": -1000}, "20.10.24", None),
        ({"oom_score_adjust": -1001}, "20.10.24", "oom-score-adjust"),
        ({"oom_score_adjust": 1001}, "24.0.9", "oom-score-adjust"),
        ({"mtu": -1}, "20.10.24", "mtu"),
        ({"mtu": -1}, "26.1.5", "mtu"),
        ({"mtu": 65536}, "24.0.9", None),
        ({"mtu": 65536}, "25.0.0", "mtu"),
        ({"mtu": 65535}, "25.0.0", None),
        ({"mtu": 65536, "bridge": "none"}, "25.0.0", None),
        ({"metrics_addr": "127.0.0.1:9323"}, "26.1.5", None),
        ({"metrics_addr": "127.0.0.1:0"}, "26.1.5", None),
        ({"metrics_addr": "127.0.0.1:65536"}, "26.1.5", "metrics-addr"),
        ({"metrics_addr": "127.0.0.1:http"}, "26.1.5", "metrics-addr"),
        ({"metrics_addr": ":9323"}, "26.1.5", "metrics-addr"),
        ({"exec_root": "/etc/passwd/x"}, "26.1.5", "exec-root"),
        ({"exec_root": "/etc/passwd"}, "26.1.5", "exec-root"),
        ({"exec_root": "/etc/docker/x"}, "26.1.5", None),
        ({"pidfile": "/etc/passwd/x"}, "26.1.5", "pidfile"),
        ({"pidfile": "/etc"}, "26.1.5", "pidfile"),
        ({"pidfile": "/etc/passwd"}, "26.1.5", None),
        (
            {"default_address_pools": [{"base": "10.9.0.0/24", "size": 31}]},
            "20.10.24",
            "default-address-pools",
        ),
        ({"default_address_pools": [{"base": "10.9.0.0/24", "size": 31}]}, "26.1.5", None),
        ({"default_address_pools": [{"base": "10.9.0.0/24", "size": 30}]}, "20.10.24", None),
        ({"default_address_pools": [{"base": "fd00::/48", "size": 64}]}, "26.1.5", "default-address-pools"),
        (
            {"default_address_pools": [{"base": "fd00::/48", "size": 64}], "bip": "10.9.0.1/24"},
            "26.1.5",
            None,
        ),
        ({"bip": "172.18.0.0/24"}, "28.5.2", "bip"),
        ({"bip": "172.18.0.255/24"}, "28.5.2", "bip"),
        ({"bip": "172.18.1.0/16"}, "28.5.2", None),
        ({"bip": "172.18.0.1/31"}, "20.10.24", "bip"),
        ({"bip": "172.18.0.1/31"}, "26.1.5", None),
        ({"default_gateway": "10.99.0.1"}, "28.5.2", "default-gateway"),
        ({"default_gateway": "172.17.0.9"}, "28.5.2", None),
        ({"default_gateway": "172.18.0.9", "bip": "172.18.0.1/24"}, "28.5.2", None),
        ({"default_gateway": "172.18.0.1", "bip": "172.18.0.1/24"}, "28.5.2", "default-gateway"),
        ({"default_gateway": "172.18.1.9", "bip": "172.18.0.1/24"}, "28.5.2", "default-gateway"),
        ({"default_gateway": "10.99.0.1", "bridge": "br0"}, "28.5.2", None),
        ({"cluster_store": "consul://192.0.2.1"}, "20.10.24", "cluster-store"),
        ({"cluster_store": "consul://192.0.2.1"}, "19.03.15", None),
        ({"seccomp_profile": "builtin"}, "26.1.5", None),
        ({"seccomp_profile": "etc/none.json"}, "26.1.5", "seccomp-profile"),
        ({"seccomp_profile": "/etc/docker/none.json"}, "26.1.5", "seccomp-profile"),
        ({"tls": True, "tlscert": "/pem", "tlskey": "/pem"}, "26.1.5", None),
        ({"tls": True, "tlscert": "/text", "tlskey": "/pem"}, "26.1.5", "tlscert"),
        ({"tls": True, "tlscert": "/pem", "tlskey": "/text"}, "20.10.24", "tlskey"),
    ],
)
def test_start(keys: dict[str, Any], version: str, wrong: Optional[str]) -> None:
    assert problems(version, **keys) == ([wrong] if wrong else [])
