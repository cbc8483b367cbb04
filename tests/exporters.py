"""What the tests of the exporter share: one as a process of its own over loopback, and certificates."""

from __future__ import annotations

import contextlib
import http.client
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

TREE = str(pathlib.Path(__file__).resolve().parent / "hosts" / "debian-12")
START_SECONDS = 60.0


def free_port() -> int:
    """Return a port on which nobody listens, and that no client of another test gets for its own end."""
    for port in random.sample(range(20_000, 32_000), 100):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("no port is free")


class Service:
    """A running exporter."""

    def __init__(self, *arguments: str) -> None:
        self.port = free_port()
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "hostcheck", "serve", "--root", TREE),
                *("--web.listen-address", f"127.0.0.1:{self.port}", *arguments),
            ],
            stderr=subprocess.PIPE,
            text=True,
        )

    def get(self, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            connection.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()

    def wait(self, path: str = "/-/ready") -> None:
        limit = time.monotonic() + START_SECONDS
        while time.monotonic() < limit:
            with contextlib.suppress(OSError):
                if self.get(path)[0] == 200:
                    return
            if self.process.poll() is not None:
                raise AssertionError(f"ended: {self.process.communicate()[1]}")
            time.sleep(0.05)
        raise AssertionError(f"{path} did not become 200")

    def metric(self, name: str) -> float:
        text = self.get("/metrics")[2].decode()
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
        assert found, f"no {name}"
        return float(found[1])

    def until(self, name: str, value: float, equal: bool = True) -> None:
        limit = time.monotonic() + START_SECONDS
        while (self.metric(name) == value) is not equal:
            assert time.monotonic() < limit, f"{name} stays {self.metric(name)}"
            time.sleep(0.1)

    def end(self) -> tuple[int, str]:
        self.process.send_signal(signal.SIGTERM)
        _, told = self.process.communicate(timeout=30)
        return self.process.returncode, told


@contextlib.contextmanager
def serving(*arguments: str) -> Iterator[Service]:
    service = Service(*arguments)
    try:
        yield service
    finally:
        if service.process.poll() is None:
            # Not at once killed: it ends the run that it has begun, which holds the same standard error.
            service.end()


def certificate(folder: pathlib.Path, name: str = "localhost") -> None:
    """Make NAME.crt and NAME.key, signed by itself."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    argv = [
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
        *("-keyout", f"{name}.key", "-out", f"{name}.crt", "-days", "2", "-subj", f"/CN={name}"),
        *("-addext", f"subjectAltName=DNS:{name},IP:127.0.0.1"),
    ]
    subprocess.run(argv, cwd=folder, check=True, capture_output=True, timeout=60)
