"""daemon.json as dockerd reads it: rules one by one, then the verdicts of real releases."""

from __future__ import annotations

import base64
import json
import pathlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Optional

import pytest

from hostcheck.facts import _daemon_keys as tables
from hostcheck.facts import daemonjson
from hostcheck.facts.daemonjson import HostFacts, Judgement, judge
from hostcheck.versions import Version

UNIT = ("-H", "fd://", "--containerd=/run/containerd/containerd.sock")


def named(text: str, version: str = "26.1.5", flags: Sequence[str] = ()) -> list[tuple[str, str]]:
    """Return the class and the key of what dockerd would name."""
    return [(p.cls, p.key) for p in judge(text.encode(), Version(version), flags).named]


@pytest.mark.parametrize(
    ("text", "version", "expected"),
    [
        ("", "20.10.9", [("json-syntax", "")]),
        ("", "23.0.0", []),
        (" \u00a0\n", "23.0.0", []),
        ("null", "20.10.9", []),
        ("[]", "28.5.2", [("wrong-type", "")]),
        ('{"debug": true} // x', "20.10.9", []),
        ('{"debug": true} // x', "23.0.0", [("json-syntax", "")]),
        ('{"debug": true,}', "20.10.9", [("json-syntax", "")]),
        ('{"Debug": true}', "28.5.2", [("unknown-directive", "Debug")]),
        ('{"proxies": {"http-proxy": "http://p"}}', "23.0.0", []),
        ('{"proxies": {"http-proxy": "http://p"}}', "20.10.9", [("unknown-directive", "proxies.http-proxy")]),
        ('{"anything": {}}', "28.5.2", []),
        ('{"anything": {"debug": true}}', "28.5.2", []),
        ('{"graph": "/x"}', "20.10.9", []),
        ('{"graph": "/x"}', "23.0.0", [("removed-option", "graph")]),
        ('{"graph": "/x"}', "24.0.0", [("unknown-directive", "graph")]),
        ('{"graph": "/x", "data-root": "/y"}', "20.10.9", [("invalid-value", "graph")]),
        ('{"log-opts": {"max-file": 3}}', "28.5.2", [("wrong-type", "log-opts.max-file")]),
        ('{"mtu": "1500"}', "28.5.2", [("wrong-type", "mtu")]),
        ('{"mtu": 1500.0}', "28.5.2", [("wrong-type", "mtu")]),
        ('{"mtu": "x", "mtu": 1400}', "28.5.2", [("wrong-type", "mtu")]),
        # A reader that fails ends the decoding, whatever was wrong before it.
        ('{"mtu": "x", "default-shm-size": 1}', "28.5.2", [("invalid-value", "default-shm-size")]),
        ('{"log-level": "warning"}', "24.0.9", []),
        ('{"log-level": "warning"}', "25.0.0", [("invalid-value", "log-level")]),
        ('{"max-download-attempts": 0}', "20.10.9", [("invalid-value", "max-download-attempts")]),
        ('{"max-download-attempts": 0}', "23.0.0", []),
        ('{"builder": {"history": {"maxAge": 3600}}}', "24.0.0", []),
        ('{"builder": {"history": {"maxAge": 3600}}}', "25.0.0", [("wrong-type", "builder.history.maxAge")]),
        ('{"dns": {"base": "10.0.0.0/8"}}', "28.5.2", [("unknown-directive", "dns.base")]),
        ('{"nri-opts": {"x": 1}}', "29.2.0", [("wrong-type", "nri-opts.x")]),
    ],
)  # fmt: skip
def test_verdict(text: str, version: str, expected: list[tuple[str, str]]) -> None:
    assert named(text, version) == expected


def test_byte_order_marks() -> None:
    text = '{"debug": true}'
    for data in (b"\xef\xbb\xbf" + text.encode(), b"\xff\xfe" + text.encode("utf-16-le")):
        assert judge(data, Version("23.0.0")).effective["debug"] is True
        assert not judge(data, Version("20.10.9")).accepted
    assert [p.cls for p in judge(b'{"labels": ["a=\xff"]}', Version("23.0.0")).problems] == ["json-syntax"]
    assert judge(b'{"labels": ["a=\xff"]}', Version("20.10.9")).effective["labels"] == ["a=\ufffd"]


def test_places() -> None:
    judgement = judge(b'{\n  "debug": true,\n\t"log_level": "info"\n}', Version("26.1.5"))
    (problem,) = judgement.problems
    assert (problem.key, problem.line, problem.column, problem.suggestion) == ("log_level", 3, 2, "log-level")
    assert judgement.values["debug"] == (True, 2, 3)


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("log_level", "log-level"),
        ("insecure-registrys", "insecure-registries"),
        ("registry-mirorrs", "registry-mirrors"),
        ("loglevel", "log-level"),
        ("dataroot", "data-root"),
        ("xyzzy", ""),
    ],
)
def test_suggestion(wrong: str, meant: str) -> None:
    (problem,) = judge(f'{{"{wrong}": 1}}'.encode(), Version("26.1.5")).problems
    assert problem.suggestion == meant


def test_removed_key_says_when_and_what_instead() -> None:
    (problem,) = judge(b'{"graph": "/x"}', Version("26.1.5")).problems
    assert (problem.removed_in, problem.replaced_by) == ("23.0", "data-root")


def test_duplicates() -> None:
    text = b'{"mtu": 1,\n "log-opts": {"max-size": "1m"},\n "mtu": 2,\n "log-opts": {"max-file": "2"}}'
    judgement = judge(text, Version("26.1.5"))
    assert judgement.effective["mtu"] == 2
    assert judgement.effective["log-opts"] == {"max-size": "1m", "max-file": "2"}
    assert judgement.duplicates == [("mtu", 1, 3, False, 2), ("log-opts", 2, 4, True, 2)]


def test_null_turns_a_switch_off() -> None:
    judgement = judge(b'{"iptables": null, "mtu": null}', Version("28.5.2"))
    assert judgement.accepted
    assert judgement.effective["iptables"] is False
    assert judgement.effective["mtu"] == 1500
    assert list(judgement.null_switches) == ["iptables"]


def test_hidden_switch_counts() -> None:
    judgement = judge(b'{"x": {"iptables": false, "mtu": 1}}', Version("28.5.2"))
    assert judgement.accepted
    assert judgement.effective["iptables"] is False
    assert judgement.effective["mtu"] == 1500
    assert set(judgement.ignored) == {"x.iptables", "x.mtu"}


def test_ignored_names() -> None:
    judgement = judge(b'{"insecure-registry": ["r"], "http-proxy": "http://p"}', Version("28.5.2"))
    assert judgement.accepted
    assert {key: meant for key, (meant, _) in judgement.ignored.items()} == {
        "insecure-registry": "insecure-registries",
        "http-proxy": "proxies.http-proxy",
    }


@pytest.mark.parametrize(
    ("text", "flags", "expected"),
    [
        ('{"hosts": null}', UNIT, ["hosts"]),
        ('{"containerd": "/x"}', UNIT, ["containerd"]),
        ('{"debug": true}', ("-Dl", "info"), ["debug"]),
        ('{"log-level": "info"}', ("-Dlinfo",), ["log-level"]),
        ('{"runtimes": {}}', ("--add-runtime", "a=b"), []),
        ('{"log-driver": "local"}', ("--log-opt", "max-file=2"), []),
        ('{"proxies": {"http-proxy": "x"}}', ("--http-proxy=x",), ["proxies.http-proxy"]),
        ('{"host-gateway-ip": "1.2.3.4"}', ("--host-gateway-ip=1.2.3.4",), ["host-gateway-ip"]),
    ],
)
def test_flag_conflict(text: str, flags: tuple[str, ...], expected: list[str]) -> None:
    assert named(text, "28.5.2", flags) == [("flag-conflict", key) for key in expected]


def test_flags_are_merged() -> None:
    flags = (
        "--data-root",
        "/d",
        "--log-opt",
        "max-size=1m",
        "--log-opt=max-file=2",
        "--mtu=1400",
        "--iptables=false",
    )
    effective = judge(b'{"debug": true}', Version("26.1.5"), flags).effective
    assert effective["data-root"] == "/d"
    assert effective["log-opts"] == {"max-size": "1m", "max-file": "2"}
    assert (effective["mtu"], effective["iptables"], effective["debug"]) == (1400, False, True)


@pytest.mark.parametrize(
    ("flags", "version", "key"),
    [
        (("--nope",), "26.1.5", "--nope"),
        (("-g", "/x"), "24.0.0", "--graph"),
        (("--registry-mirror", "m"), "20.10.9", "--registry-mirror"),
        (("--mtu=x",), "26.1.5", "--mtu"),
    ],
)
def test_flag_that_dockerd_refuses(flags: tuple[str, ...], version: str, key: str) -> None:
    assert named("{}", version, flags) == [("invalid-flag", key)]


@pytest.mark.parametrize(
    ("text", "version", "key"),
    [
        ('{"default-runtime": "x"}', "28.5.2", "default-runtime"),
        ('{"bip": "172.17.0.1"}', "28.5.2", "bip"),
        ('{"exec-opts": ["native.cgroupdriver=SYSTEMD"]}', "28.5.2", "exec-opts"),
        ('{"icc": false, "iptables": false}', "28.5.2", "icc"),
        ('{"log-opts": {"max-files": "3"}}', "28.5.2", "log-opts.max-files"),
        ('{"storage-driver": "devicemapper"}', "25.0.0", "storage-driver"),
        ('{"storage-driver": "overlay2", "storage-opts": ["dm.basesize=20G"]}', "20.10.9", "storage-opts"),
        ('{"registry-mirrors": ["m"]}', "20.10.9", "registry-mirrors"),
        ('{"insecure-registries": ["r/path"]}', "28.5.2", "insecure-registries"),
        ('{"min-api-version": "1.10"}', "29.0.0", "min-api-version"),
        ('{"runtimes": {"x": {}}}', "28.5.2", "runtimes.x"),
        ('{"default-address-pools": [{"base": "10.0.0.0/16", "size": 8}]}', "28.5.2", "default-address-pools[0].size"),
    ],
)  # fmt: skip
def test_start_rule(text: str, version: str, key: str) -> None:
    judgement = judge(text.encode(), Version(version))
    assert judgement.accepted
    assert [(p.key, p.caught_by) for p in judgement.problems] == [(key, "start")]


def test_facts_of_the_host_are_asked_only_where_known() -> None:
    texts = (b'{"userns-remap": "nobody-here"}', b'{"tls": true}', b'{"userland-proxy-path": "/x"}')
    assert all(judge(text, Version("28.5.2")).accepted for text in texts)
    assert [judge(text, Version("28.5.2"), (), Oracle()).problems[0].cls for text in texts] == [
        "userns-user",
        "tls-file",
        "invalid-value",
    ]


def test_hostile_files_end_soon() -> None:
    for text in (
        "[" * 200_000,
        '{"a":' * 200_000,
        '"' + "\\u0041" * 100_000,
        '{"builder":' + "[" * 9000 + "]" * 9000 + "}",
    ):
        assert not judge(text.encode(), Version("28.5.2")).accepted


def test_keys_have_a_kind_and_a_flag_at_every_release() -> None:
    for release in ((1, 13, 1), (17, 6), (20, 10, 24), (23,), (29, 7, 2)):
        assert set(daemonjson.keys(release)) <= {row[0] for row in tables.KEYS}
        known = {row[0] for row in tables.KEYS} | set(daemonjson.flags_of(release)) | {""}
        assert set(daemonjson.flags_of(release).values()) <= known


# The verdicts of real releases.


class Oracle(HostFacts):
    """The machine that the verdicts come from."""

    docker_proxy = True

    def path(self, path: str) -> Optional[str]:
        known = {
            "/usr/sbin/docker-proxy": "program",
            "/usr/bin/docker-proxy": "program",
            "/etc/passwd": "file",
            "/etc/subuid": "file",
            "/etc/subgid": "file",
            "/usr/bin": "folder",
        }
        return known.get(path, "missing")

    def user(self, name: str) -> Optional[bool]:
        return name in ("root", "0", "dockremap", "daemon", "1", "1000", "cloudsdk")

    group = user

    def subordinate(self, name: str, kind: str) -> Optional[bool]:
        return name == "dockremap"


class Row(NamedTuple):
    """One verdict."""

    name: str
    data: bytes
    version: str
    flags: tuple[str, ...]
    code: int
    message: str
    more: Optional[dict[str, Any]] = None


REAL = {"v26": "26.1.5+dfsg1", "v28": "28.5.2+dfsg4"}
ALONE = ("--config-file", "/x")
VALIDATE = ("--validate", *ALONE)


def lines(path: pathlib.Path) -> Iterator[dict[str, Any]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        yield json.loads(line)


def by_release(folder: pathlib.Path) -> Iterator[Row]:
    for row in lines(folder / "probes-by-release.jsonl"):
        data = base64.b64decode(row["input_b64"]) if "input_b64" in row else row["input"].encode()
        if "…[" not in row["input"]:  # one input is cut short in the corpus
            yield Row(row["id"], data, row["version"], ALONE, row["exit"], row["message"], row)


def probes(folder: pathlib.Path) -> Iterator[Row]:
    for row in lines(folder / "probes.jsonl"):
        data = base64.b64decode(row["input_b64"]) if "input_b64" in row else row["input"].encode()
        # Another environment, and a file that is not read, are no questions to the judge.
        if row.get("env") or row["id"] == "file-empty-name" or "…[" in row["input"]:
            continue
        version = REAL["v" + row["version"][:2]]
        yield Row(row["id"], data, version, (*VALIDATE, *row.get("args", ())), row["exit"], row["message"])


def typed(folder: pathlib.Path) -> Iterator[Row]:
    for row in lines(folder / "typed-probes.jsonl"):
        if row["kind"] == "syntax":
            data = bytes.fromhex(row["bytes_hex"])
            if len(data) != row["size"]:  # cut short in the corpus
                continue
        elif row["kind"] == "pair":
            data = row["key"].encode()
        else:
            data = f'{{"{row["key"]}":{row["value"]}}}'.encode()
        for short, version in REAL.items():
            yield Row(
                f"{row['i']} {row['key']}", data, version, VALIDATE, row[short]["rc"], row[short]["msg"]
            )


def corpus(folder: pathlib.Path) -> Iterator[Row]:
    versions = {**REAL, "v26u": REAL["v26"], "v28u": REAL["v28"], "n2010a": "20.10.5", "n2010b": "20.10.24"}
    for row in lines(folder / "corpus.jsonl"):
        data = (folder / row["file"]).read_bytes()
        for short, said in row["verdicts"].items():
            flags = (*ALONE, *(UNIT if short.endswith("u") else ()))
            yield Row(
                f"{row['n']} {short}", data, versions[short], flags, 0 if said["ok"] else 1, said["msg"]
            )


CLASSES = (
    ("unknown-directive", "don't match any configuration option"),
    ("flag-conflict", "specified both as a flag|interface conversion"),
    ("tls-file", "X509"),
    ("userns-user", "uid lookup|gid lookup|has no entry in|Can't create ID mappings"),
    ("wrong-type", "cannot unmarshal|unknown field"),
    ("invalid-value", "valid URI|bind address"),
    ("json-syntax", "invalid character|EOF|unexpected end|escape sequence|max depth|invalid UTF-8"),
    ("removed-option", 'DEPRECATED|"graph" config file option is deprecated'),
    ("invalid-flag", "unknown flag|invalid argument"),
)


def verdict(row: Row) -> tuple[str, frozenset[str]]:
    """Return the class of a verdict, and the keys that it names where it names them."""
    if row.code == 0:
        return "ok", frozenset()
    message = row.message.rstrip("\n")
    cls = next((cls for cls, pattern in CLASSES if re.search(pattern, message)), "invalid-value")
    if cls == "unknown-directive":
        return cls, frozenset(re.split(r"option: ?", message, maxsplit=1)[1].split(", "))
    if cls == "flag-conflict":
        return cls, frozenset(re.findall(r"([\w-]+): \(from flag", message))
    if cls == "wrong-type":
        # The path through Go's structs; the key is one of its parts.
        found = re.search(r"(?:field|into) Config\.(\S+)", message)
        return cls, frozenset(found.group(1).split(".")) if found else frozenset()
    return cls, frozenset()


def ours(judgement: Judgement, cls: str) -> tuple[str, frozenset[str]]:
    if judgement.accepted:
        return "ok", frozenset()
    first = judgement.named[0].cls
    if cls == "wrong-type":
        return first, frozenset(re.split(r"[.\[]", p.key)[0] for p in judgement.named)
    parts = (p.key.rpartition(".")[2] for p in judgement.named if p.cls == first)
    return first, frozenset(parts)


# What remains, and why.
EXPLAINED = {
    # The verdicts of 23.0.0 come from its loader alone. The daemon checks these right after it, before
    # --validate answers (checkDeprecatedOptions and newAPIServerConfig in cmd/dockerd/daemon.go).
    ("23.0.0", 'key-cluster-store="consul://x"'),
    ("23.0.0", 'key-cluster-advertise="eth0:1"'),
    ("23.0.0", 'key-cluster-store-opts={"a":"b"}'),
    ("23.0.0", "tlsverify-false"),
    ("23.0.0", "tlsverify-true"),
    ("23.0.0", "tls-true-badcert"),
}


def compare(rows: Iterable[Row], title: str) -> list[str]:
    """Print how far we agree, by release, and return what is left."""
    agreed: Counter[tuple[str, str]] = Counter()
    left = []
    for row in rows:
        judgement = judge(row.data, Version(row.version), row.flags, Oracle())
        (cls, keys) = verdict(row)
        (our_cls, our_keys) = ours(judgement, cls)
        same = {
            "rows": True,
            "accept": (cls == "ok") == (our_cls == "ok"),
            "class": cls == our_cls,
            "key": cls == our_cls
            and (not keys or bool(keys & our_keys if cls == "wrong-type" else keys <= our_keys)),
        }
        agreed.update((row.version, what) for what, yes in same.items() if yes)
        if not all(same.values()) and (row.version, row.name) not in EXPLAINED:
            left.append(
                f"{row.name} {row.version}: {cls} {set(keys)}, not {our_cls} {set(our_keys)}: {row.message[:200]}"
            )
    for version in dict.fromkeys(version for version, _ in agreed):
        tally = " ".join(f"{what} {agreed[version, what]}" for what in ("rows", "accept", "class", "key"))
        print(f"{title} {version}: {tally}")
    return left


@pytest.mark.parametrize("rows", [corpus, probes, typed, by_release], ids=lambda rows: rows.__name__)
def test_agreement(corpora: pathlib.Path, rows: Any) -> None:
    left = compare(rows(corpora / "daemon-json"), rows.__name__)
    assert not left, "\n".join(left)


def test_start_errors(corpora: pathlib.Path) -> None:
    """What stops the daemon behind its loader: the registry service, and verifyDaemonSettings."""
    verified = {"bip", "bip6", "icc", "exec-opts", "cgroup-parent", "containerd-namespace", "ip6tables"}
    count, left = Counter[str](), []
    for row in by_release(corpora / "daemon-json"):
        if row.code or row.more is None:
            continue
        problems = judge(row.data, Version(row.version), row.flags, Oracle()).problems
        keys = {p.key for p in problems if p.caught_by == "start" and "prefix length" not in p.message}
        for what, ours_ in (
            ("start_registry_error", keys & {"registry-mirrors", "insecure-registries"}),
            ("start_verify_error", keys & verified),
        ):
            count[what] += bool(row.more.get(what))
            if bool(row.more.get(what)) != bool(ours_):
                left.append(f"{row.name} {row.version}: {row.more.get(what)}, not {ours_}")
    print(dict(count))
    assert count["start_registry_error"] > 300
    assert count["start_verify_error"] > 90
    assert not left, "\n".join(left)


# dockerd rewrites these after it has merged them.
REWRITTEN = {
    "hosts": "normalised, and the default filled in",
    "host-gateway-ips": "host-gateway-ip moved there, as an IPv6-mapped address",
    "ip-masq": "follows iptables, in verifyDaemonSettings",
    "tls": "follows tlsverify",
    "tlsverify": "follows tls",
    "default-address-pools": "named Values",
    "builder": "named as in Go",
}


def test_effective_values(corpora: pathlib.Path) -> None:
    """The merged configuration of each release, where it differs from that of an empty file."""
    count, left = 0, []
    for row in by_release(corpora / "daemon-json"):
        if row.code or row.more is None or "effective_diff" not in row.more:
            continue
        effective = judge(row.data, Version(row.version), row.flags, Oracle()).effective
        for name, expected in row.more["effective_diff"].items():
            if name.partition(".")[0] in REWRITTEN or (name == "graph" or name.startswith("runtimes.io.")):
                continue
            value: Any = effective
            for part in name.split("."):
                value = value.get(part) if isinstance(value, dict) else None
            if expected is None and isinstance(value, dict):
                continue  # its members are compared
            count += 1
            # In the corpus a zero value is null; a runtime that is null is an empty object.
            if (value or None) != (expected or None):
                left.append(f"{row.name} {row.version}: {name} is {expected!r}, not {value!r}")
    print(f"{count} values compared")
    assert count > 2500
    assert not left, "\n".join(left[:40])
