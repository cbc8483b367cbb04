"""The rules and the dashboard: as promtool judges them, and with a real Prometheus over three exporters."""

from __future__ import annotations

import contextlib
import json
import pathlib
import re
import shutil
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import venvs
from exporters import free_port

PROJECT = pathlib.Path(__file__).resolve().parents[2]
RULES = PROJECT / "packaging" / "prometheus"
TREE = PROJECT / "tests" / "hosts" / "debian-12"
SECONDS = 90.0
PASSWORD = "correct horse"
FAULT = '{"log-dirver": "json-file"}\n'


def need(*programs: str) -> None:
    for program in programs:
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")


def test_rules() -> None:
    need("promtool")
    for arguments in (
        ["check", "rules", "hostcheck.rules.yml"],
        ["test", "rules", "hostcheck.rules.test.yml"],
    ):
        done = subprocess.run(
            ["promtool", *arguments], cwd=RULES, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tried() -> None:
    alerts = re.findall(r"- alert: (\w+)", (RULES / "hostcheck.rules.yml").read_text())
    tried = set(
        re.findall(r"alertname: (\w+)\n\s+exp_alerts:\n", (RULES / "hostcheck.rules.test.yml").read_text())
    )
    assert len(alerts) > 5
    assert set(alerts) == tried


def test_every_alert_has_its_runbook() -> None:
    """With the severity that the rule has."""
    rules = re.findall(
        r"- alert: (\w+)\n(?:(?!- alert).*\n)*?\s+severity: (\w+)\n",
        (RULES / "hostcheck.rules.yml").read_text(),
    )
    told = re.findall(r"(?m)^\| `(Hostcheck\w+)` \| (\w+) \|", (PROJECT / "docs" / "exporter.md").read_text())
    assert len(rules) > 5
    assert sorted(rules) == sorted(told)


LOST = """
import json, sys
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

register_default_plugins()

def lost(given, kept, path=""):
    if isinstance(given, dict) and isinstance(kept, dict):
        return [each for key in given for each in lost(given[key], kept.get(key), f"{path}/{key}")]
    if isinstance(given, list) and isinstance(kept, list) and len(given) == len(kept):
        return [each for number, pair in enumerate(zip(given, kept)) for each in lost(*pair, f"{path}/{number}")]
    return [] if given == kept else [path]

given = json.load(sys.stdin)
print(json.dumps(lost(given, json.loads(json.dumps(Dashboard.from_json(given), cls=JSONEncoder)))))
"""
"""What Grafana's own library does not know of a dashboard: what is left of it after it was read and written."""


def test_the_dashboard_is_what_grafana_knows() -> None:
    python = venvs.need("grafana-foundation-sdk") / "python"

    def unknown(text: str) -> list[str]:
        done = subprocess.run([python, "-c", LOST], input=text, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        found: list[str] = json.loads(done.stdout)
        # Grafana writes a variable's query there once more.
        return [path for path in found if not re.fullmatch(r"/templating/list/\d/definition", path)]

    text = (RULES / "hostcheck-fleet.dashboard.json").read_text()
    assert unknown(text) == []
    assert unknown(text.replace('"fieldConfig"', '"fieldConfg"', 1)) == ["/panels/0/fieldConfg"]


@contextlib.contextmanager
def started(*command: str, cwd: pathlib.Path, log: str) -> Iterator[None]:
    with (cwd / log).open("w") as out:
        process = subprocess.Popen(command, cwd=cwd, stdout=out, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def web_config(folder: pathlib.Path) -> pathlib.Path:
    bcrypt = pytest.importorskip("bcrypt")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            *("-keyout", folder / "key.pem", "-out", folder / "cert.pem"),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    path = folder / "web.yml"
    path.write_text(
        "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n"
        f"basic_auth_users:\n  prometheus: {hashed}\n"
    )
    return path


def prometheus_config(folder: pathlib.Path, exporters: list[str], node: str) -> pathlib.Path:
    # The same rules, without their patience.
    rules = re.sub(r"for: \d+[mhd]", "for: 0s", (RULES / "hostcheck.rules.yml").read_text())
    (folder / "hostcheck.rules.yml").write_text(rules)
    path = folder / "prometheus.yml"
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": ["hostcheck.rules.yml"],
        "scrape_configs": [
            {
                "job_name": "hostcheck",
                "scheme": "https",
                "basic_auth": {"username": "prometheus", "password": PASSWORD},
                "tls_config": {"ca_file": "cert.pem"},
                "static_configs": [{"targets": exporters}],
            },
            {"job_name": "node", "static_configs": [{"targets": [node]}]},
        ],
    }
    # JSON is YAML.
    path.write_text(json.dumps(config))
    return path


class Prometheus:
    """The API of a running one."""

    def __init__(self, port: int) -> None:
        self.base = f"http://127.0.0.1:{port}/api/v1"

    def get(self, path: str, **query: str) -> Any:
        url = f"{self.base}/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]

    def values(self, query: str) -> dict[str, float]:
        found = self.get("query", query=query)["result"]
        return {each["metric"].get("instance", ""): float(each["value"][1]) for each in found}

    def firing(self, name: str, label: str = "instance") -> set[str]:
        alerts = self.get("alerts")["alerts"]
        return {
            each["labels"][label]
            for each in alerts
            if each["labels"]["alertname"] == name and each["state"] == "firing"
        }

    def until(self, what: str, ask: Callable[[], object], wanted: object) -> None:
        limit = time.monotonic() + SECONDS
        seen: object = None
        while time.monotonic() < limit:
            with contextlib.suppress(OSError):
                seen = ask()
                if seen == wanted:
                    return
            time.sleep(0.3)
        raise AssertionError(f"{what}: {seen}, not {wanted}")


def test_a_fleet(tmp_path: pathlib.Path) -> None:
    """An alert comes when a fault is put in, and goes when it is mended; node_exporter hands on the textfile."""
    need("prometheus", "prometheus-node-exporter", "openssl")
    pytest.importorskip("h11")
    web = web_config(tmp_path)
    textfiles = tmp_path / "textfiles"
    textfiles.mkdir()
    hostcheck = [sys.executable, "-m", "hostcheck"]
    output = str(textfiles / "hostcheck.prom")
    done = subprocess.run([*hostcheck, str(TREE), "-f", "prometheus", "-o", output], cwd=PROJECT, timeout=60)
    assert done.returncode == 0
    ports = [free_port() for _ in range(5)]
    exporters = [f"127.0.0.1:{port}" for port in ports[:3]]
    node = f"127.0.0.1:{ports[3]}"
    trees = [tmp_path / "first", tmp_path / "second", tmp_path / "third"]
    with contextlib.ExitStack() as stack:
        for tree, address in zip(trees, exporters):
            shutil.copytree(TREE, tree, symlinks=True)
            stack.enter_context(
                started(
                    *(*hostcheck, "serve", "--root", str(tree), "--interval", "1"),
                    *("--web.listen-address", address, "--web.config.file", str(web)),
                    cwd=tmp_path,
                    log=f"{tree.name}.log",
                )
            )
        stack.enter_context(
            started(
                *("prometheus-node-exporter", "--collector.disable-defaults", "--collector.textfile"),
                *(f"--collector.textfile.directory={textfiles}", f"--web.listen-address={node}"),
                cwd=tmp_path,
                log="node.log",
            )
        )
        prometheus_config(tmp_path, exporters, node)
        stack.enter_context(
            started(
                *("prometheus", "--config.file=prometheus.yml", f"--storage.tsdb.path={tmp_path / 'data'}"),
                f"--web.listen-address=127.0.0.1:{ports[4]}",
                cwd=tmp_path,
                log="prometheus.log",
            )
        )
        server = Prometheus(ports[4])
        ready = {**dict.fromkeys(exporters, 1.0), node: 1.0}
        server.until("all are scraped", lambda: server.values("hostcheck_ready"), ready)

        def seen() -> dict[str, object]:
            return {
                "not ready": server.firing("HostcheckNotReady"),
                "after reboot": server.firing("HostcheckNotReadyAfterReboot"),
                "drift": server.firing("HostcheckDrift", "check"),
                "ready hosts": server.values("job:hostcheck_ready_hosts:sum{job='hostcheck'}").get(""),
                "hosts": server.values("job:hostcheck_hosts:count{job='hostcheck'}").get(""),
            }

        well = {"not ready": set(), "after reboot": set(), "drift": set(), "ready hosts": 3.0, "hosts": 3.0}
        server.until("no alert", seen, well)

        # These trees have only a next boot.
        lay_fault(trees[2])
        ill = {exporters[2]}
        drifted = {"not ready": ill, "after reboot": ill, "drift": {"docker.daemon_json"}, "ready hosts": 2.0}
        server.until("one drifts from the others", seen, {**well, **drifted})

        for tree in trees:
            lay_fault(tree)
        every = set(exporters)
        server.until(
            "all are ill alike", seen, {**well, "not ready": every, "after reboot": every, "ready hosts": 0.0}
        )

        for tree in trees:
            (tree / "etc" / "docker" / "daemon.json").unlink()
        server.until("the alerts stop", seen, well)
        dashboard_is_answered(server)


def lay_fault(tree: pathlib.Path) -> None:
    daemon = tree / "etc" / "docker" / "daemon.json"
    daemon.parent.mkdir(exist_ok=True)
    daemon.write_text(FAULT)


def dashboard_is_answered(server: Prometheus) -> None:
    """Assert that the server takes every expression of the dashboard, and answers most with something."""
    dashboard = json.loads((RULES / "hostcheck-fleet.dashboard.json").read_text())
    answered = {}
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            expression = target["expr"].replace("$job", ".*").replace("$instance", ".*")
            answered[panel["title"]] = bool(server.get("query", query=expression)["result"])
    # Nothing fails any more, and nothing is waived.
    assert {title for title, found in answered.items() if not found} <= {
        "Required checks that fail, by hosts",
        "Waivers, and when they end",
    }
