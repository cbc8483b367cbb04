"""Commands that a person types to ask package managers, engines and their tools, and what they tell of."""

from __future__ import annotations

import re

from hostcheck.host import Completed
from hostcheck.host.said import Said, Taker


def _dpkg(said: Said, words: tuple[str, ...], done: Completed) -> None:
    found: dict[str, tuple[str, str]] = {}
    for state, name, version in re.findall(r"(?m)^([a-zA-Z]{2})R?\s+(\S+)\s+(\S+)", done.out):
        if state[0] in "uirph" and state[1] in "nciUFHWt":
            found[name.partition(":")[0]] = (
                version,
                "install ok installed" if state[1] == "i" else "deinstall ok config-files",
            )
    if not found and done.argv[0].endswith("dpkg-query"):
        for name, version in re.findall(r"(?m)^([a-z0-9][a-z0-9+.-]+)(?::\w+)?[\t =]+(\d\S*)$", done.out):
            found[name] = (version, "install ok installed")
    for stanza in done.out.split("\n\n") if "Package: " in done.out else ():
        fields = dict(re.findall(r"(?m)^(Package|Version|Status): (.*)$", stanza))
        if "Package" in fields and "Version" in fields:
            found[fields["Package"]] = (fields["Version"], fields.get("Status", "install ok installed"))
    for name in re.findall(
        r"(?:no packages? found matching |package ')([a-z0-9.+-]+)(?:' is not installed)?",
        done.err + done.out,
    ):
        found.setdefault(name.rstrip("."), ("", ""))
    if found:
        _stanzas(said, found)


def _stanzas(said: Said, found: dict[str, tuple[str, str]]) -> None:
    path = "/var/lib/dpkg/status"
    stanzas = [each for each in said.read(path).strip().split("\n\n") if each]
    kept = [each for each in stanzas if (re.search(r"(?m)^Package: (.*)$", each) or ["", ""])[1] not in found]
    for name, (version, status) in found.items():
        if version:
            kept.append(f"Package: {name}\nStatus: {status}\nArchitecture: all\nVersion: {version}")
    said.lay(path, "\n\n".join(kept) + "\n")


def _rpm(said: Said, words: tuple[str, ...], done: Completed) -> None:
    if not any(re.match(r"-q|--query", word) for word in words):
        return
    known = said.answers.get(("rpm", "-qa"), "")
    lines = [
        line.strip() for line in done.out.splitlines() if re.match(r"\S+-[^-\s]+-[^-\s]+$", line.strip())
    ]
    if lines:
        said.answers[("rpm", "-qa")] = known + "".join(f"{line}\n" for line in lines)


def _apk(said: Said, words: tuple[str, ...], done: Completed) -> None:
    rows = re.findall(r"(?m)^([a-z0-9][\w.+-]*?)-(\d[\w.]*-r\d+)\b", done.out)
    if rows and words[:1] in (("info",), ("list",)):
        path = "/lib/apk/db/installed"
        said.lay(
            path, said.read(path) + "".join(f"P:{name}\nV:{version}\nA:x86_64\n\n" for name, version in rows)
        )


_SERVER = (
    (r"(?m)^\s*Server Version: (\S+)", ("dockerd", "--version"), "Docker version {}, build x\n"),
    (r"(?ms)^ Engine:.*?Version:\s+(\S+)", ("dockerd", "--version"), "Docker version {}, build x\n"),
    (
        r"(?ms)^ containerd:\s+Version:\s+v?(\d\S+)",
        ("containerd", "--version"),
        "containerd github.com/containerd/containerd {} x\n",
    ),
    (r"(?ms)^ runc:\s+Version:\s+(\d\S+)", ("runc", "--version"), "runc version {}\n"),
    (r"(?m)^\s*runc version: v?(\d+\.\d+\.\d+\S*)", ("runc", "--version"), "runc version {}\n"),
)
"""What `docker info` and `docker version` tell of the programs behind the engine."""


def _docker(said: Said, words: tuple[str, ...], done: Completed) -> None:
    if not words or words[0] not in ("info", "version", "system"):
        return
    for pattern, argv, text in _SERVER:
        found = re.search(pattern, done.out)
        if found:
            said.answers.setdefault(argv, text.format(found.group(1)))
    kernel = re.search(r"(?m)^\s*Kernel Version: (\S+)", done.out)
    if kernel:
        said.lay("/proc/sys/kernel/osrelease", kernel.group(1))


def _iptables(said: Said, words: tuple[str, ...], done: Completed) -> None:
    if words in (("-V",), ("-v",)):
        said.answers[("iptables", "--version")] = done.out
        return
    if "-t" in words and words[words.index("-t") + 1 : words.index("-t") + 2] != ("filter",):
        return
    policy = re.search(r"(?m)^Chain FORWARD \(policy (\w+)", done.out) or re.search(
        r"(?m)^-P FORWARD (\w+)", done.out
    )
    if policy:
        rules = re.findall(r"(?m)^-A FORWARD .*$", done.out)
        program = done.argv[0].rpartition("/")[2]
        said.answers[(program, "-S", "FORWARD")] = "\n".join([f"-P FORWARD {policy.group(1)}", *rules]) + "\n"


def _iptables_save(said: Said, _words: tuple[str, ...], done: Completed) -> None:
    table = re.search(r"(?ms)^\*filter$(.*?)^COMMIT$", done.out)
    policy = re.search(r"(?m)^:FORWARD (\w+)", table.group(1)) if table else None
    if table and policy:
        rules = re.findall(r"(?m)^-A FORWARD .*$", table.group(1))
        program = done.argv[0].rpartition("/")[2].removesuffix("-save")
        said.answers[(program, "-S", "FORWARD")] = "\n".join([f"-P FORWARD {policy.group(1)}", *rules]) + "\n"


def _version(said: Said, words: tuple[str, ...], done: Completed) -> None:
    if words in (("-v",), ("-V",), ("version",), ("--version",)):
        said.answers.setdefault((done.argv[0], "--version"), done.out)


def _tune2fs(said: Said, words: tuple[str, ...], done: Completed) -> None:
    if len(words) == 2 and words[0] in ("-l", "-h"):
        said.answers.setdefault(("dumpe2fs", "-h", words[1]), done.out)


TAKERS: dict[str, Taker] = {
    "apk": _apk,
    "containerd": _version,
    "docker": _docker,
    "dockerd": _version,
    "dpkg": _dpkg,
    "dpkg-query": _dpkg,
    "ip6tables": _iptables,
    "iptables": _iptables,
    "iptables-save": _iptables_save,
    "podman": _version,
    "rpm": _rpm,
    "runc": _version,
    "tune2fs": _tune2fs,
}
