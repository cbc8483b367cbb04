"""What the network answers: one request for each URL, all at once, and none waited for longer than its limit."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence

from hostcheck.host import Fetched

SECONDS = 5.0
"""How long an answer may take, name lookup and TLS included."""

TOGETHER = 32
"""Requests at once."""

HEADER = "Docker-Distribution-Api-Version"


class _Stay(urllib.request.HTTPRedirectHandler):
    """Leave a redirection as the answer that it is: where else to ask is not for a server to say."""

    def redirect_request(self, *_: object) -> None:
        """Follow nothing."""


def fetch(urls: Sequence[str], seconds: float = SECONDS) -> tuple[Fetched, ...]:
    """Ask each URL once with GET; the environment's proxies count, bodies are not read."""
    found: list[Fetched] = []
    for start in range(0, len(urls), TOGETHER):
        found += _together(urls[start : start + TOGETHER], seconds)
    return tuple(found)


def _together(urls: Sequence[str], seconds: float) -> list[Fetched]:
    answers: dict[int, Fetched] = {}

    def ask(number: int, url: str) -> None:
        answers[number] = _one(url, seconds)

    # A thread that hangs in a name lookup must not keep the program from ending.
    threads = [threading.Thread(target=ask, args=pair, daemon=True) for pair in enumerate(urls)]
    until = time.monotonic() + seconds + 0.5
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    late = f"no answer within {seconds:g} s"
    return [answers.get(number) or Fetched(url, 0, seconds, late) for number, url in enumerate(urls)]


def _one(url: str, seconds: float) -> Fetched:
    began = time.monotonic()

    def answer(status: int, error: str = "", headers: object = None, kind: str = "") -> Fetched:
        get = getattr(headers, "get", lambda name: None)
        took = time.monotonic() - began
        return Fetched(url, status, took, error, kind, str(get(HEADER) or ""), str(get("Location") or ""))

    if not url.startswith(("http://", "https://")):
        return answer(0, "only http:// and https:// are asked")
    try:
        # The scheme has just been looked at.
        request = urllib.request.Request(url, headers={"User-Agent": "hostcheck"})  # noqa: S310
        opener = urllib.request.build_opener(_Stay)
        with opener.open(request, timeout=seconds) as response:
            return answer(response.status, headers=response.headers)
    except urllib.error.HTTPError as error:
        error.close()
        return answer(error.code, headers=error.headers)
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        if isinstance(reason, ssl.SSLError):
            said = getattr(reason, "verify_message", "") or reason.reason or str(reason)
            return answer(0, f"TLS: {said}", kind="tls")
        if isinstance(reason, socket.gaierror):
            return answer(0, "its name is not known to DNS", kind="dns")
        # The same from Python 3.10 on.
        if isinstance(reason, (TimeoutError, socket.timeout)):
            return answer(0, f"no answer within {seconds:g} s", kind="time")
        text = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
        return answer(0, text)
