"""What the checks of dockerd's configuration share."""

from __future__ import annotations

from hostcheck._typing import TYPE_CHECKING, Any, Optional
from hostcheck.api import Finding, Host, NotApplicable
from hostcheck.facts import docker

if TYPE_CHECKING:
    from hostcheck.facts.daemonjson import Judgement

REFERENCE = "https://docs.docker.com/reference/cli/dockerd/#daemon-configuration-file"
CONFIG = "https://github.com/moby/moby/blob/master/daemon/config/config.go"
DAEMON = "https://github.com/moby/moby/blob/master/daemon/daemon_unix.go"


MANY = 200
"""Elements of one list that are looked at: nobody writes more, and each has its finding."""

LENGTH = 400
"""Characters of a subject, a message or a value that are kept."""


class Placed(Finding):
    """A finding that knows its column, its key and its class too, which an editor wants."""

    __slots__ = ("cls", "column", "key")

    def __init__(
        self,
        ok: bool,
        subject: str,
        message: str,
        column: Optional[int] = None,
        cls: str = "",
        key: Optional[str] = None,
        **more: Any,
    ) -> None:
        """Keep the three; all else as in `Finding`.

        The column counts from 1. Without a class a failure is `advice`, without a key it is what the subject names.
        """
        if more.get("value") is not None:
            more["value"] = cut(str(more["value"]))
        super().__init__(ok, cut(subject), cut(message), **more)
        self.column = column or None
        self.cls = "" if ok else cls or "advice"
        self.key = (
            key
            if key is not None
            else subject.partition(" ")[2]
            if subject.startswith("daemon.json ")
            else ""
        )


def cut(text: str) -> str:
    """Return a text, or its beginning where it is longer than anyone reads."""
    return text if len(text) <= LENGTH else f"{text[: LENGTH - 3]}..."


def passed(subject: str, message: str, **more: Any) -> Finding:
    """Return a finding that all is well; `more` as in `Placed`."""
    return Placed(True, subject, message, **more)


def failed(subject: str, message: str, **more: Any) -> Finding:
    """Return a finding that something is wrong; `more` as in `Placed`."""
    return Placed(False, subject, message, **more)


def spot(host: Host, *keys: str) -> dict[str, Any]:
    """Return path, line and column of what set the first of the keys that is set, for a finding.

    A key may be a member (`log-opts.max-size`) or an element (`hosts[0]`); where that has no place of its
    own, the key that it is in counts.
    """
    found: dict[str, Any] = {"path": None, "line": None, "column": None, "when": "boot"}
    for key in keys:
        top = key.partition(".")[0].partition("[")[0]
        path, line = docker.where(host, top)
        if path is None:
            continue
        found.update(path=path, line=line)
        if path == docker.config_file(host):
            own = docker.judgement(host)
            line_, column = own.place(key) if own.place(key)[0] else own.place(top)
            found.update(line=line_ or line, column=column)
        break
    return found


LOOPBACK = ("localhost", "127.", "[::1]", "::1")


def host_of(url: str) -> str:
    """Return the host of a URL or of an address with a port.

    >>> host_of("https://u@mirror.example:5000/x"), host_of("[::1]:5000"), host_of("10.0.0.0/8")
    ('mirror.example', '[::1]', '10.0.0.0')
    """
    rest = url.partition("://")[2] or url
    rest = rest.partition("/")[0].rpartition("@")[2]
    return rest[: rest.find("]") + 1] if rest.startswith("[") else rest.partition(":")[0]


def is_local(host: str) -> bool:
    """Return whether a host name is this machine, or an address that the internet does not route.

    >>> [is_local(name) for name in ("127.0.0.1", "10.1.2.3", "172.20.0.1", "registry", "mirror.example.com")]
    [True, True, True, True, False]
    """
    if host.startswith(LOOPBACK) or "." not in host.strip("[]"):
        return True
    parts = host.split(".")
    if len(parts) != 4 or not all(part.isdecimal() for part in parts):
        return host.endswith((".local", ".lan", ".internal", ".localdomain", ".home.arpa", ".test", ".svc"))
    first, second = int(parts[0]), int(parts[1])
    return (
        first in (10, 127)
        or (first, second) in ((192, 168), (169, 254))
        or (first == 172 and 16 <= second < 32)
    )


def subject(key: str) -> str:
    """Return the subject of a finding about a key."""
    return f"daemon.json {key}" if key else "daemon.json"


def shown(key: str, value: Any) -> str:
    """Return a value as JSON, cut short, without the passwords that a proxy's URL may hold."""
    import json  # checks of a host without daemon.json do without it

    text = json.dumps(value, ensure_ascii=False)
    if "proxy" in key or "proxies" in key or ("://" in text and "@" in text):
        import re

        text = re.sub(r"//[^/@\"]*@", "//xxxxx@", text)
    return text if len(text) <= 80 else text[:77] + "..."


def judged(host: Host) -> Judgement:
    """Return the judgement of a file that is there and that dockerd can read."""
    docker.relevant(host)
    docker.effective(host)
    return docker.judgement(host)


def configured(host: Host) -> tuple[str, Judgement]:
    """Return the path and the judgement of a daemon.json that is there and that dockerd takes."""
    docker.relevant(host)
    path = docker.config_file(host)
    if not path or docker.read(host, path) is None:
        raise NotApplicable("there is no daemon.json")
    docker.effective(host)
    return path, docker.judgement(host)
