"""The HTML report and the exporter's page in a real browser: colours, width, console, and what is asked elsewhere."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pathlib
import select
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from exporters import free_port

PROJECT = pathlib.Path(__file__).resolve().parents[1]
TREES = pathlib.Path(__file__).resolve().parent / "hosts"
PICTURES = os.environ.get("HOSTCHECK_PICTURES")
"""A folder for screenshots, for who wants to look."""
SECONDS = 90.0

CONTRAST = """
(() => {
  const rgba = text => { const n = text.match(/[\\d.]+/g).map(Number); return n.length < 4 ? [...n, 1] : n; };
  const over = (top, under) => [0, 1, 2].map(i => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
  const linear = v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = c => 0.2126 * linear(c[0]) + 0.7152 * linear(c[1]) + 0.0722 * linear(c[2]);
  const canvas = document.createElement("div"); canvas.style.color = "Canvas"; document.body.append(canvas);
  const page = rgba(getComputedStyle(canvas).color); canvas.remove();
  document.querySelectorAll("details").forEach(each => each.open = true);
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), bad = [];
  let seen = 0;
  while (walker.nextNode()) {
    const node = walker.currentNode, element = node.parentElement, style = getComputedStyle(element);
    const range = document.createRange(); range.selectNodeContents(node);
    if (!node.data.trim() || style.visibility != "visible" || !range.getClientRects().length) continue;
    seen++;
    let under = page, opacity = 1;
    const above = []; for (let e = element; e; e = e.parentElement) above.unshift(e);
    for (const each of above.map(e => getComputedStyle(e))) {
      under = over(rgba(each.backgroundColor), under); opacity *= each.opacity;
    }
    const color = rgba(style.color); color[3] *= opacity;
    const [a, b] = [light(over(color, under)), light(under)].sort((x, y) => y - x), ratio = (a + 0.05) / (b + 0.05);
    const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) bad.push([node.data.trim().slice(0, 40), style.color, under.join(), ratio]);
  }
  return {seen, bad};
})()
"""
"""WCAG 2.1, 1.4.3: the contrast of each text with what lies under it, 4.5 to 1, or 3 to 1 where it is large."""


class Browser:
    """Headless Chromium, spoken to over a pipe in its DevTools protocol."""

    def __init__(self, folder: pathlib.Path) -> None:
        program = shutil.which("chromium") or shutil.which("google-chrome")
        if not program:
            pytest.skip("chromium is not installed")
        # It reads commands from file descriptor 3, and answers on 4.
        commands, self.write = os.pipe()
        self.read, answers = os.pipe()
        script = f'exec "$0" "$@" 3<&{commands} 4>&{answers}'
        flags = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
        ]
        self.process = subprocess.Popen(
            ["bash", "-c", script, program, *flags, f"--user-data-dir={folder}", "--remote-debugging-pipe"],
            pass_fds=(commands, answers),
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        os.close(commands)
        os.close(answers)
        self.number = 0
        self.session = ""
        self.events: list[Any] = []
        self.rest = b""

    def ask(self, method: str, **parameters: Any) -> Any:
        """Call a method of the protocol; return its result. What else is told meanwhile is kept in `events`."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.write, json.dumps(message).encode() + b"\0")
        while True:
            told = self._next()
            if told.get("id") == self.number:
                assert "error" not in told, (method, told)
                return told["result"]
            self.events.append(told)

    def until(self, method: str) -> None:
        """Wait until an event has come."""
        while not any(each.get("method") == method for each in self.events):
            self.events.append(self._next())

    def _next(self) -> Any:
        while b"\0" not in self.rest:
            assert select.select([self.read], [], [], SECONDS)[0], "the browser says nothing"
            chunk = os.read(self.read, 1 << 16)
            if not chunk:
                pytest.skip("chromium does not start here")
            self.rest += chunk
        text, _, self.rest = self.rest.partition(b"\0")
        return json.loads(text)

    def open(self, url: str, width: int, scheme: str) -> list[Any]:
        """Open a page in a new tab of that width, in light or dark; return what happened until it stood."""
        self.session = ""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")
        phone = width < 600
        self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=phone
        )
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.events.clear()
        self.ask("Page.navigate", url=url)
        self.until("Page.loadEventFired")
        return self.events

    def value(self, expression: str) -> Any:
        """Return what an expression of JavaScript is in the page."""
        done = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def picture(self, name: str) -> None:
        """Keep a screenshot of the whole page, if somebody wants one."""
        if PICTURES:
            shot = self.ask("Page.captureScreenshot", captureBeyondViewport=True)["data"]
            pathlib.Path(PICTURES, f"{name}.png").write_bytes(base64.b64decode(shot))

    def close(self) -> None:
        """End it."""
        os.close(self.write)
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.read)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    started = Browser(tmp_path_factory.mktemp("browser"))
    yield started
    started.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Return where the pages are: reports of one host and of two, and the exporter's."""
    pytest.importorskip("h11")
    folder = tmp_path_factory.mktemp("pages")
    hostcheck = [sys.executable, "-m", "hostcheck"]
    found = {}
    for name, trees in (("one", ["broken"]), ("two", ["broken", "debian-12"])):
        out = folder / f"{name}.html"
        argv = [*hostcheck, *(str(TREES / tree) for tree in trees), "-f", "html", "-o", str(out)]
        assert subprocess.run(argv, cwd=PROJECT, timeout=120).returncode == 1
        found[name] = out.as_uri()
    port = free_port()
    argv = [*hostcheck, "serve", "--root", str(TREES / "broken"), "--web.listen-address", f"127.0.0.1:{port}"]
    with subprocess.Popen(argv, cwd=PROJECT, stderr=subprocess.DEVNULL) as process:
        limit = time.monotonic() + SECONDS
        while time.monotonic() < limit and not ready(port):
            time.sleep(0.2)
        found["exporter"] = f"http://127.0.0.1:{port}/"
        yield found
        process.kill()


def ready(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as raw:
        raw.sendall(b"GET /-/ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return raw.recv(64).startswith(b"HTTP/1.1 200")
    return False


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1400])
@pytest.mark.parametrize("name", ["one", "two", "exporter"])
def test_a_page_can_be_read(
    name: str, width: int, scheme: str, browser: Browser, pages: dict[str, str]
) -> None:
    url = pages[name]
    events = browser.open(url, width, scheme)
    browser.picture(f"{name}-{width}-{scheme}")
    measured = browser.value(CONTRAST)
    assert measured["seen"] > 100
    assert measured["bad"] == []
    assert browser.value("document.documentElement.scrollWidth") <= width
    # What is asked late is seen as well.
    browser.value("new Promise(done => setTimeout(done, 200))")
    asked = [
        each["params"]["request"]["url"] for each in events if each["method"] == "Network.requestWillBeSent"
    ]
    assert {each for each in asked if not each.startswith("data:")} == {url}
    assert [each for each in events if is_complaint(each)] == []


def is_complaint(event: Any) -> bool:
    """Return whether the browser has something against the page."""
    method, told = event["method"], event["params"]
    return (
        method == "Runtime.exceptionThrown"
        or (method == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"))
        or (method == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"))
    )


@pytest.mark.parametrize(
    ("html", "bad"),
    [
        ("<p style='color:#767676'>just enough", 0),
        ("<p style='color:#777777'>not quite", 1),
        ("<h1 style='color:#777777;font-size:24px'>large", 0),
        ("<p style='color:#000;opacity:.4'>faint", 1),
        ("<div style='background:rgba(0,0,0,.9)'><p style='color:#fff'>well", 0),
        ("<div style='background:rgba(0,0,0,.2)'><p style='color:#fff'>ill", 1),
    ],
)
def test_the_measure(html: str, bad: int, browser: Browser) -> None:
    """The ratio of #767676 on white is 4.54, that of #777777 is 4.48 (webaim.org/resources/contrastchecker)."""
    browser.open(f"data:text/html,<!doctype html>{html.replace('#', '%23')}", 800, "light")
    measured = browser.value(CONTRAST)
    assert (measured["seen"], len(measured["bad"])) == (1, bad)


def test_the_console_is_heard(browser: Browser) -> None:
    events = browser.open("data:text/html,<script>console.error('x'); nothing()</script>", 800, "light")
    browser.value("1")
    assert len([each for each in events if is_complaint(each)]) == 2


def test_what_a_click_does(browser: Browser, pages: dict[str, str]) -> None:
    """A filter hides its rows and shows them again; a fix is copied as it stands."""
    browser.open(pages["one"], 1400, "light")
    shown = "document.querySelectorAll('details[data-kind=required]:not([hidden])').length"
    box = "document.querySelector('input[value=required]')"
    before = browser.value(shown)
    assert before > 5
    assert browser.value(f"{box}.click(); {shown}") == 0
    assert browser.value(f"{box}.click(); {shown}") == before
    copied = """(async () => {
        let text;
        Object.defineProperty(navigator, "clipboard", {value: {writeText: async given => { text = given; }}});
        const button = document.querySelector("details button");
        button.click();
        await new Promise(done => setTimeout(done, 50));
        return [text == button.nextSibling.textContent, text.length > 5, button.textContent];
    })()"""
    assert browser.value(copied) == [True, True, "Copied"]
