"""A JSON Schema of daemon.json for a release, made from the tables that judge it.

It refuses nothing that dockerd takes. Not all that dockerd refuses can be said in it: a key that stands twice, a flag
that says the same, members in another case, numbers such as 1e3 where a whole number must stand, grammars that are no
regular language. `hostcheck daemon-json` knows those.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable

from hostcheck import output
from hostcheck._typing import Any
from hostcheck.facts import _daemon_keys as tables
from hostcheck.facts import _daemon_rules as rules
from hostcheck.facts import daemonjson
from hostcheck.facts.daemonjson import Release, Struct
from hostcheck.versions import Version

Schema = dict[str, Any]

_SCALARS: dict[str, Schema] = {
    "str": {"type": "string"},
    "bool": {"type": "boolean"},
    "int": {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
    "size": {"type": "string", "pattern": "[0-9]"},
    "ip": {"type": "string", "pattern": r"^$|[.:]"},
    "addr": {"type": "string", "pattern": r"^$|[.:]"},
    "prefix": {"type": "string", "pattern": r"^$|^[^/]*[.:][^/]*/[0-9]+$"},
    "duration": {"type": "string", "pattern": r"^$|[0-9]"},
    "any": {},
    "filter": {"type": ["array", "object"]},
}

_NULL: Schema = {"type": "null"}


def _no_case(words: Iterable[str]) -> str:
    """Return a pattern of words in any case, which ECMA 262 has no flag for.

    >>> _no_case(["ok"])
    '^([oO][kK])?$'
    """
    folded = ("".join(f"[{c}{c.upper()}]" for c in word) for word in words)
    return f"^({'|'.join(folded)})?$"


def _rules(release: Release) -> dict[str, Schema]:
    """Return what `dockerd --validate` asks of single values, as far as a schema can say it."""
    not_negative: Schema = {"minimum": 0}
    found: dict[str, tuple[Release, Schema]] = {
        "log-level": ((23,), {"pattern": _no_case(rules._levels(release))}),
        "log-format": ((25,), {"enum": ["", "text", "json"]}),
        "mtu": ((23,), not_negative),
        "max-concurrent-downloads": ((1, 12), not_negative),
        "max-concurrent-uploads": ((1, 12), not_negative),
        "max-download-attempts": ((20, 10), not_negative),
        "default-stop-timeout": ((29, 7), not_negative),
        "network-diagnostic-port": ((28,), {"minimum": 0, "maximum": 65535}),
        "labels": ((1, 10), {"items": {"anyOf": [{"pattern": "="}, {"type": "null"}]}}),
        "registry-mirrors": (
            (28, 3),
            {"items": {"anyOf": [{"pattern": "^[hH][tT][tT][pP][sS]?://"}, _NULL]}},
        ),
    }
    return {key: rule for key, (since, rule) in found.items() if since <= release}


def _value(kind: Any, release: Release) -> Schema:
    """Return the schema of a kind in terms of `daemonjson.schema`; null leaves what was there, and so is taken."""
    if isinstance(kind, Struct):
        members = {name: _nullable(_value(inner, release)) for name, inner in kind.members.values()}
        found: Schema = {"type": "object", "properties": members}
        if kind.strict:
            found["additionalProperties"] = False
        return found
    if isinstance(kind, tuple):
        inner = _nullable(_value(kind[1], release))
        if kind[0] == "list":
            return {"type": "array", "items": inner}
        return {"type": "object", "additionalProperties": inner}
    whole = daemonjson.schema(kind, release)
    if whole is not kind:
        return _value(whole, release)
    return dict(_SCALARS[kind if kind in _SCALARS else "int" if kind.startswith("int") else "str"])


def _nullable(schema: Schema) -> Schema:
    if not schema:
        return schema
    if isinstance(schema.get("type"), str) and "enum" not in schema:
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, _NULL]}


def schema(version: Version) -> Schema:
    """Return the schema of what a release takes."""
    release = version.numbers
    kinds = daemonjson.keys(release)
    asked = _rules(release)
    defaults = daemonjson.defaults(release)
    properties: dict[str, Schema] = {}
    removed = {row[0]: row for row in tables.REMOVED}
    for key, kind in sorted(kinds.items()):
        value = _value(kind, release)
        for name, rule in asked.get(key, {}).items():
            value[name] = {**value.get(name, {}), **rule} if name == "items" else rule
        # A size has a reader of its own, which refuses null.
        shown = value if kind == "size" else _nullable(value)
        if defaults[key] is not None:
            shown = {**shown, "default": defaults[key]}
        if key in removed and _release(removed[key][1]) <= release:
            instead = f"; {removed[key][3]} takes its place" if removed[key][3] else ""
            shown = {**shown, "deprecated": True, "description": f"Deprecated in {removed[key][1]}{instead}."}
        properties[key] = shown
    names = {*kinds, *daemonjson.flags_of(release)} - {"proxies"}
    meant = {name: key for name, _, _, key in tables.IGNORED}
    for name in sorted(names - properties.keys()):
        instead = f"; {meant[name]} is the key" if meant.get(name) else ""
        properties[name] = {"deprecated": True, "description": f"dockerd takes it and does nothing{instead}."}
    if "proxies" in properties:
        # Its members are looked up in its place, and must be names of flags.
        properties["proxies"] = {
            "anyOf": [{**_value("proxies", release), "propertyNames": {"enum": sorted(names)}}]
        }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"daemon.json of dockerd {version}",
        "type": ["object", "null"],
        "properties": properties,
        # An object of another name is replaced by its members, which must be known.
        "additionalProperties": {"type": "object", "propertyNames": {"enum": sorted(names)}},
    }


def _release(text: str) -> Release:
    return Version(text).numbers


def write(version: Version, options: argparse.Namespace) -> int:
    """Write the schema to standard output, or to the file of -o; return the exit code."""
    with output.opened(options.output) as stream:
        json.dump(schema(version), stream, indent=1)
        stream.write("\n")
    return 0
