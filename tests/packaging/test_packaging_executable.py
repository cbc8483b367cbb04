"""The standalone executables: each says what the checkout says, that for another processor under QEMU's emulation."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import pathlib
import shutil
import ssl
import subprocess
import sys
import time

import builds
import pytest
import roots
from exporters import free_port

TREE = builds.PROJECT / "tests" / "hosts" / "broken"


@pytest.fixture(scope="module", params=["x86_64", "aarch64"])
def command(request: pytest.FixtureRequest) -> list[str]:
    """Return what starts an executable here."""
    machine: str = request.param
    if machine == os.uname().machine:
        return [str(builds.executable(machine))]
    emulator = shutil.which(f"qemu-{machine}-static") or shutil.which(f"qemu-{machine}")
    if not emulator:
        pytest.skip(f"needs qemu-{machine}-static (apt-get install qemu-user-static)")
    return [emulator, str(builds.executable(machine))]


def run(*command: str | os.PathLike[str], code: int = 0, **more: str) -> str:
    """Return what a command says without a home, a locale and a path of programs; it complains of nothing."""
    done = subprocess.run(command, cwd="/", env=more, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (code, "")
    return done.stdout


def same(text: str) -> object:
    """Return a report without what differs between two runs."""
    report = json.loads(text)
    for result in report["results"]:
        del result["seconds"]
    return {**report, "started": "", "seconds": 0}


def test_says_what_the_checkout_says(command: list[str]) -> None:
    theirs = run(
        sys.executable, "-m", "hostcheck", TREE, "-f", "json", code=1, PYTHONPATH=str(builds.PROJECT)
    )
    assert same(run(*command, TREE, "-f", "json", code=1)) == same(theirs)


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["--version", "-v"], 0, "the standalone executable"),
        ([TREE], 1, "NOT READY"),
        ([TREE, "-f", "html"], 1, "</html>"),
        ([TREE, "-f", "prometheus"], 1, "hostcheck_ready 0.0"),
        ([TREE, "-f", "junit"], 1, "</testsuites>"),
        (["policies"], 0, "kubernetes"),
        (["why", "--root", TREE, "failed to start daemon: Devices cgroup isn't mounted"], 1, "cgroup"),
        (["serve", "--help"], 0, "--web.config.file"),
    ],
)
def test_everything_is_in_it(
    arguments: list[str | os.PathLike[str]], code: int, expected: str, command: list[str]
) -> None:
    assert expected in run(*command, *arguments, code=code)


PLUGIN = """
import importlib
from hostcheck.api import Check, Severity, passed

class SiteModules(Check):
    id = "site.modules"
    severity = Severity.INFO

    def run(self, host):
        for name in NAMES.split():
            importlib.import_module(name)
        yield passed("modules", str(importlib.import_module("decimal").Decimal("1.10") * 3))
"""
MODULES = """
    bz2 csv datetime decimal fcntl grp hashlib hmac http.client ipaddress json lzma math mmap multiprocessing pwd random
    select socket ssl statistics struct subprocess syslog tarfile threading unicodedata urllib.request uuid
    xml.etree.ElementTree zipfile zlib zoneinfo
"""


def test_a_plugin_finds_the_modules_that_a_check_may_want(command: list[str], tmp_path: pathlib.Path) -> None:
    (tmp_path / "own.py").write_text(f"NAMES = {MODULES!r}\n{PLUGIN}")
    text = run(*command, TREE, "--checks-dir", tmp_path, "--select", "site.*", "-f", "json")
    (result,) = json.loads(text)["results"]
    assert (result["outcome"], result["reason"]) == ("pass", None)
    assert result["findings"][0]["message"] == "3.30"


WEB = """
tls_server_config: {cert_file: localhost.crt, key_file: localhost.key}
basic_auth_users: {prometheus: $2b$05$He/EoGcvojMOrZiHfhnWMOHHjs.z4hulfsWdQGgJ02IZxzppAPkj6}
"""


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    """Return a folder with a certificate, and a configuration that asks for the password `right`."""
    roots.need_tool("openssl")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "localhost.key", "-out",
         "localhost.crt", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"],
        cwd=tmp_path, check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    (tmp_path / "web.yml").write_text(WEB)
    return tmp_path


def status(port: int, certificate: pathlib.Path, password: str) -> int:
    """Return what the exporter answers who comes with a password; 0 when it does not answer yet."""
    context = ssl.create_default_context(cafile=certificate)
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=120, context=context)
    said = base64.b64encode(f"prometheus:{password}".encode()).decode()
    with contextlib.closing(connection):
        try:
            connection.request("GET", "/-/healthy", headers={"Authorization": f"Basic {said}"})
        except ConnectionError:
            # Also one who waits for too long is cut off, as where the emulation is slow.
            return 0
        return connection.getresponse().status


def test_tls_and_passwords(command: list[str], folder: pathlib.Path) -> None:
    port = free_port()
    config = ["--web.listen-address", f"127.0.0.1:{port}", "--web.config.file", str(folder / "web.yml")]
    with subprocess.Popen(
        [*command, "serve", "--root", str(TREE), *config], env={}, stderr=subprocess.DEVNULL
    ) as service:
        try:
            while not (found := status(port, folder / "localhost.crt", "right")):
                assert service.poll() is None, "it ended"
                time.sleep(0.1)
            assert found == 200
            assert status(port, folder / "localhost.crt", "wrong") == 401
        finally:
            service.terminate()
