"""A daemon.json while it is judged: its names, then its types, then what counts beside the flags."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hostcheck._typing import Any, Callable, Optional
from hostcheck.facts import _daemon_keys as tables
from hostcheck.facts import _govalues as go
from hostcheck.facts import gojson
from hostcheck.facts._daemon_model import (
    PARSE_BOOL,
    Duplicate,
    Flag,
    HostFacts,
    Judgement,
    Problem,
    Release,
    Struct,
    Value,
    defaults,
    dotted,
    flags_of,
    in_range,
    keys,
    parse_flags,
    schema,
)
from hostcheck.facts.gojson import Member, Node

KINDS_IN_WORDS = {
    "object": "an object",
    "array": "a list",
    "string": "a string",
    "number": "a number",
    "bool": "true or false",
    "null": "null",
}
_WANTED = {
    "str": "a string in quotes",
    "bool": "true or false without quotes",
    "int": "a whole number without quotes",
    "int64": "a whole number without quotes",
    "list": "a list in [ ]",
    "map": "an object in { }",
    "struct": "an object in { }",
    "ip": "an IP address in quotes",
    "addr": "an IP address in quotes",
    "prefix": "an address and a prefix length in quotes, as 10.0.0.0/8",
    "duration": "a duration in quotes, as 48h",
}
CONFLICTS = 30
"""The stage at which flags and file are compared; what stops dockerd before leaves that undone."""

PROBLEMS = 100
"""Problems of one stage that are kept: who made more has other worries, and a hostile file none."""

LENGTH = 300
"""Characters of a message or a key that are kept."""

# Set through a copy that is taken before the file is read.
_COPIED = frozenset(("debug", "tls", "tlsverify"))


class Configuration:
    """A configuration while it is judged: what the rules ask of it, and where they report."""

    def __init__(
        self, judgement: Judgement, text: gojson.Text, root: Node, flags: Sequence[str], facts: HostFacts
    ) -> None:
        self.judgement = judgement
        self.version = judgement.version
        self.release = judgement.version.numbers
        self.text = text
        self.root = root
        self.argv = flags
        self.facts = facts
        self.kinds = keys(self.release)
        self.flags = flags_of(self.release)
        self.flat = frozenset(name for name, since in tables.FLAT if since <= self.release)
        self.pointers = frozenset(
            name for name, since, until in tables.POINTERS if in_range(self.release, since, until)
        )
        self.flattened: dict[str, Member] = {}
        self.nested: dict[str, str] = {}
        """The flattened names that were members of an object, with its name."""
        self.file: dict[str, Any] = {}
        """The typed configuration of the file."""
        self.places = judgement.places
        self.given: list[Flag] = []
        self.aborted = False
        self.counts: dict[int, int] = {}
        """How many problems each stage had."""
        self.stage = 0
        self.default_stage = "validate"

    def read(self, flag_fault: Callable[[str, Any, Release], Optional[str]]) -> None:
        """Read the file and the flags, stage by stage; `flag_fault` says what is wrong with a flag's value."""
        self.flatten()
        self.stage = 10
        self.command_line(flag_fault)
        self.stage = 20
        self.unknown()
        self.stage = CONFLICTS
        self.conflicts()
        self.stage = 40
        self.typed()
        self.ignored()
        self.merge()

    # What the rules ask and say.

    def get(self, key: str) -> Any:
        """Return what counts for a key: the file's, else the flag's, else the default."""
        return self.judgement.effective.get(key)

    def items(self, key: str) -> Iterator[tuple[str, Optional[Node]]]:
        """Yield the strings of a list that counts, with their places in the file."""
        values = self.get(key)
        for i, value in enumerate(values if isinstance(values, list) else ()):
            yield value, self.places.get(f"{key}[{i}]") if self.file.get(key) else None

    def place(self, key: str, node: Optional[Node] = None) -> tuple[int, int]:
        """Return line and column of a key, or of a value in it; 0 where only a flag sets it."""
        if node is not None:
            return self.text.place(node.start)
        known = self.judgement.values.get(key) or self.judgement.values.get(key.partition(".")[0])
        return (known.line, known.column) if known else (0, 0)

    def refuse(
        self,
        cls: str,
        key: str,
        message: str,
        node: Optional[Node] = None,
        *,
        place: Optional[tuple[int, int]] = None,
        caught_by: str = "",
        stage: Optional[int] = None,
        **more: Any,
    ) -> None:
        """Report a problem."""
        at = self.stage if stage is None else stage
        self.counts[at] = self.counts.get(at, 0) + 1
        if self.counts[at] > PROBLEMS:
            return
        line, column = place or self.place(key, node)
        by = caught_by or self.default_stage
        key, message = key[:LENGTH], message if len(message) <= LENGTH else f"{message[:LENGTH]}..."
        problem = Problem(cls, key, message, line, column, caught_by=by, stage=at)
        self.judgement.problems.append(problem._replace(**more) if more else problem)

    # The first reading: names.

    def flatten(self) -> None:
        """Put the members of every object that is not a flat option in its place (configValuesSet)."""
        last = {member.name: member for member in self.root.members}
        apart = {n for n, m in last.items() if m.node.kind == "object" and n not in self.flat}
        for parent in apart:
            for inner in last[parent].node.members:
                self.flattened[inner.name] = inner
                self.nested[inner.name] = parent
        for name in last.keys() - apart:
            self.flattened[name] = last[name]
            self.nested.pop(name, None)
        # In the order of the file, for the reader's sake.
        self.flattened = dict(sorted(self.flattened.items(), key=lambda item: item[1].start))

    def known(self, name: str) -> bool:
        """Return whether the release takes a name in the flattened file."""
        # `proxies` is never looked up: its members are.
        return name in self.flags or (name in self.kinds and name != "proxies")

    def unknown(self) -> None:
        """Refuse the names that the release does not know."""
        for name, member in self.flattened.items():
            if self.known(name):
                continue
            if self.counts.get(self.stage, 0) >= PROBLEMS:
                break
            parent = self.nested.get(name)
            key = name if parent is None else f"{parent}.{name}"
            removed = {entry[0]: entry for entry in tables.REMOVED}.get(name)
            place = self.text.place(member.start)
            if name == "proxies":
                message = "must be an object with http-proxy, https-proxy or no-proxy"
                self.refuse("unknown-directive", key, message, place=place)
                continue
            since = next((kinds[0][0] for key_, kinds, *_ in tables.KEYS if key_ == name), None)
            if removed and since and since <= self.release:
                message = f"no longer known: it was removed in {removed[2]}"
                self.refuse(
                    "unknown-directive",
                    key,
                    message,
                    place=place,
                    removed_in=removed[2],
                    replaced_by=removed[3],
                )
                continue
            if since and since > self.release:
                first = dotted(since)
                message = f"not known before {first}, and this is {self.version}"
                self.refuse("unknown-directive", key, message, place=place)
                continue
            if any(name == never for never, _, _ in tables.NEVER):
                message = "dockerd takes it from no file"
                self.refuse("unknown-directive", key, message, place=place)
                continue
            meant = self.meant(name, parent)
            message = "not a key that dockerd knows"
            if parent is not None and parent not in self.kinds:
                message = f"not a key that dockerd knows (nor is {parent})"
            elif parent is not None and parent not in tables.MEMBERS:
                wanted = self.kinds.get(parent, "")
                wanted = _WANTED.get(wanted, "a list in [ ]" if wanted else "something else")
                message = f"{parent} must be {wanted}, not an object"
            self.refuse("unknown-directive", key, message, place=place, suggestion=meant)

    def meant(self, name: str, parent: Optional[str]) -> str:
        """Return the key that an unknown one was perhaps meant to be."""
        import difflib  # only for a file with a mistake

        possible = tables.MEMBERS.get(parent or "", ()) or [*self.kinds]
        plain = name[:LENGTH].strip().lower().replace("_", "-").replace(" ", "-")
        flat = {entry.replace("-", ""): entry for entry in possible}
        if plain in possible:
            return plain
        if plain.replace("-", "") in flat:
            return flat[plain.replace("-", "")]
        for entry in possible:
            if plain in (entry + "s", entry + "es") or entry in (plain + "s", plain + "es"):
                return entry
        return next(iter(difflib.get_close_matches(plain, possible, 1, 0.75)), "")

    def command_line(self, flag_fault: Callable[[str, Any, Release], Optional[str]]) -> None:
        """Read the flags."""
        self.given, problems = parse_flags(self.argv, self.release)
        for problem in problems:
            self.judgement.problems.append(problem._replace(stage=self.stage))
        for flag in self.given:
            if flag.name in tables.SWITCHES:
                continue
            key = self.flags.get(flag.name, "")
            kind = self.kinds.get(key, "str")
            value: Any = flag.value
            if kind == "bool":
                value = PARSE_BOOL.get("true" if value is None else value)
            elif kind == "int":
                value = int(value) if value is not None and go.is_integer(value) else None
            if value is None:
                if flag.name in self.flags:
                    message = f"the flag --{flag.name} has no value that it could take"
                    self.refuse("invalid-flag", f"--{flag.name}", message)
                continue
            wrong = flag_fault(key, value, self.release)
            if wrong:
                self.refuse("invalid-flag", f"--{flag.name}", f"the flag --{flag.name} {value}: {wrong}")
                continue
            self.set_by_flag(key, kind, value)

    def set_by_flag(self, key: str, kind: str, value: Any) -> None:
        """Note what a flag sets, in the form that the file would have."""
        said = self.judgement.flag_values
        if kind in ("strs", "ips", "addrs"):
            many = key == "dns" and self.release >= (25,)
            said.setdefault(key, []).extend(value.split(",") if many else [value])
            return
        if kind in ("strmap", "bools", "runtimes", "ulimits", "strmaps"):
            name, _, setting = str(value).partition("=")
            entry: Any = setting
            if kind == "bools":
                entry = PARSE_BOOL.get(setting or "true", False)
            elif kind == "runtimes":
                entry = {"path": setting}
            elif kind == "ulimits":
                soft, _, hard = setting.partition(":")
                numbers = [int(n) if go.is_integer(n) else 0 for n in (soft, hard or soft)]
                entry = {"Name": name, "Soft": numbers[0], "Hard": numbers[1]}
            elif kind == "strmaps":
                option, _, text = setting.partition("=")
                entry = {**said.get(key, {}).get(name, {}), option: text}
            said.setdefault(key, {})[name] = entry
        elif kind in ("pools", "nri"):
            parts = dict(part.partition("=")[::2] for part in str(value).split(","))
            if kind == "nri":
                said[key] = {**parts, "enable": parts.get("enable", "") in ("", "true", "1")}
                return
            size = parts.get("size", "")
            pool = {"base": parts.get("base", ""), "size": int(size) if go.is_integer(size) else 0}
            said.setdefault(key, []).append(pool)
        elif key:
            said[key] = go.parse_size(str(value)) if kind == "size" else value

    def conflicts(self) -> None:
        """Refuse what is set both by a flag and in the file (findConfigurationConflicts)."""
        seen = set()
        for flag in self.given:
            key = self.flags.get(flag.name, flag.name) or flag.name
            names = [key]
            if flag.name == "host-gateway-ip":
                names = (
                    ["host-gateway-ips", "host-gateway-ip"] if self.release >= (28,) else ["host-gateway-ip"]
                )
            for name in names:
                member = self.flattened.get(name)
                if member is None or name in seen or (name == "runtimes" and self.release >= (18, 9)):
                    continue
                seen.add(name)
                shown = "" if flag.value is None else f" {flag.value}"
                if name in ("http-proxy", "https-proxy"):
                    shown = ""
                    if member.node.kind != "string":
                        shown = " (and dockerd crashes over it)"
                self.refuse(
                    "flag-conflict",
                    name if name not in self.nested else f"{self.nested[name]}.{name}",
                    f"set here and by the flag --{flag.name}{shown}",
                    place=self.text.place(member.start),
                )
        if self.release >= (28,) and {"host-gateway-ip", "host-gateway-ips"} <= self.flattened.keys():
            message = "stands beside host-gateway-ips; only one of the two may"
            place = self.text.place(self.flattened["host-gateway-ip"].start)
            self.refuse("invalid-value", "host-gateway-ip", message, place=place)

    # The second reading: types.

    def typed(self) -> None:
        """Decode into the typed configuration, as encoding/json does: all of it, errors or not."""
        fields = {name: kind for name, since, kind in tables.NEVER if since <= self.release}
        fields.update(self.kinds)
        by_name = {gojson.fold(name): name for name in fields}
        for member in self.root.members:
            name = member.name if member.name in fields else by_name.get(gojson.fold(member.name), "")
            if not name:
                if any(member.name == removed[0] for removed in tables.REMOVED):
                    # Refused, but it says what is meant: where the data lies, for one.
                    self.note(member.name, member, gojson.plain(member.node))
                continue
            kind = schema(fields[name], self.release)
            if name not in self.kinds:
                if member.node.kind == "object":
                    self.value(kind, member.node, None, name)
                continue
            before = self.file.get(name)
            line, column = self.text.place(member.start)
            self.file[name] = self.value(kind, member.node, before, name)
            self.judgement.values[name] = Value(self.file[name], line, column)
        self.note_duplicates(self.root, "")
        for name in list(self.judgement.values):
            known = self.judgement.values[name]
            if name in self.file:
                self.judgement.values[name] = known._replace(value=self.file[name])

    def note_duplicates(self, node: Node, prefix: str) -> None:
        """Note the members of objects that stand there twice."""
        for first, second in gojson.duplicates(node):
            if len(self.judgement.duplicates) >= PROBLEMS:
                return
            key = prefix + first.name
            merged = first.node.kind == second.node.kind == "object" and prefix in ("", "builder.")
            line, column = self.text.place(second.start)
            self.judgement.duplicates.append(
                Duplicate(key, self.text.place(first.start)[0], line, merged, column)
            )
        if prefix.count(".") < 8:
            for member in node.members:
                if member.node.kind == "object":
                    self.note_duplicates(member.node, f"{prefix}{member.name}.")

    def wrong(self, kind: str, node: Node, key: str) -> None:
        """Refuse a value of the wrong type."""
        shown = KINDS_IN_WORDS[node.kind]
        if node.kind == "number" and kind == "int":
            shown = f"the number {str(node.value)[:40]}"
        elif node.kind == "bool":
            shown = str(node.value).lower()
        elif node.kind == "string" and len(str(node.value)) < 40:
            shown = f'the string "{node.value}"'
        self.refuse("wrong-type", key, f"must be {_WANTED.get(kind, kind)}, not {shown}", node)

    def abort(self, key: str, message: str, node: Node) -> None:
        """Refuse a value whose own reader fails: encoding/json stops there and forgets other errors."""
        self.refuse("invalid-value", key, message, node, stage=self.stage - (not self.aborted))
        self.aborted = True

    def value(self, kind: Any, node: Node, before: Any, key: str) -> Any:
        """Return what a value becomes, given what stood there before."""
        self.places[key] = node
        if isinstance(kind, Struct):
            return self.struct(kind, node, before, key)
        if isinstance(kind, tuple):
            return (self.array if kind[0] == "list" else self.mapping)(kind[1], node, before, key)
        reader: Optional[Callable[[Node, str], Any]] = getattr(self, f"read_{kind}", None)
        if reader is not None:
            return reader(node, key)
        if kind == "any":
            return gojson.plain(node)
        if node.kind == "null":
            return None if kind == "ip" or key in self.pointers else before
        if kind == "bool":
            if node.kind != "bool":
                self.wrong("bool", node, key)
                return before
            return node.value
        if kind == "int":
            if node.kind != "number" or not go.is_integer(str(node.value)):
                self.wrong("int", node, key)
                return before
            return int(str(node.value))
        if node.kind != "string":
            self.wrong(kind, node, key)
            return before
        return self.string(kind, str(node.value), node, key)

    def string(self, kind: str, text: str, node: Node, key: str) -> Any:
        """Return what a string becomes where it must be an address, a prefix or a duration."""
        if kind == "ip" and text and go.parse_ip(text, self.release < (20, 10, 15)) is None:
            self.abort(key, f"{text!r} is not an IP address", node)
        if kind == "addr" and text and go.parse_addr(text) is None:
            self.abort(key, f"{text!r} is not an IP address", node)
        if kind == "prefix" and text and go.parse_cidr(text, strict=True) is None:
            self.abort(key, f"{text!r} is not an address with a prefix length, as 10.0.0.0/8", node)
        if kind == "duration":
            bare = text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text
            if bare and not go.is_duration(bare) and not go.is_integer(bare):
                self.abort(key, f"{text!r} is not a duration, as 48h", node)
        return text

    def array(self, kind: Any, node: Node, before: Any, key: str) -> Any:
        """Return what a list becomes; null leaves an element as it was."""
        if node.kind == "null":
            return None
        if node.kind != "array":
            self.wrong("list", node, key)
            return before
        old = before if isinstance(before, list) else []
        new: list[Any] = []
        for i, member in enumerate(node.members):
            value = self.value(kind, member.node, old[i] if i < len(old) else None, f"{key}[{i}]")
            new.append("" if value is None and kind in ("str", "ip", "addr") else value)
        return new

    def mapping(self, kind: Any, node: Node, before: Any, key: str) -> Any:
        """Return what an object with any members becomes; it is added to what was there."""
        if node.kind == "null":
            return None
        if node.kind != "object":
            self.wrong("map", node, key)
            return before
        new = dict(before) if isinstance(before, dict) else {}
        for member in node.members:
            value = self.value(kind, member.node, None, f"{key}.{member.name}")
            if value is None and kind in ("str", "bool"):
                value = "" if kind == "str" else False
            new[member.name] = value
            self.note(f"{key}.{member.name}", member, value)
        return new

    def struct(self, kind: Struct, node: Node, before: Any, key: str) -> Any:
        """Return what an object with known members becomes."""
        if node.kind == "null":
            return before
        if node.kind != "object":
            self.wrong("struct", node, key)
            return before
        new = dict(before) if isinstance(before, dict) else {}
        for member in node.members:
            name, inner = kind.members.get(gojson.fold(member.name), ("", None))
            if not name:
                if kind.strict:
                    place = self.text.place(member.start)
                    message = f"{key} has no member of this name"
                    suggestion = self.meant(member.name, key)
                    self.refuse(
                        "wrong-type", f"{key}.{member.name}", message, place=place, suggestion=suggestion
                    )
                continue
            new[name] = self.value(inner, member.node, new.get(name), f"{key}.{name}")
            self.note(f"{key}.{name}", member, new[name])
        return new

    def note(self, key: str, member: Member, value: Any) -> None:
        """Remember a member as set by the file."""
        line, column = self.text.place(member.start)
        self.judgement.values[key] = Value(value, line, column)

    def read_size(self, node: Node, key: str) -> Any:
        """Read a MemBytes: it takes the text between the quotes as written, escapes and all."""
        raw = self.text.text[node.start : node.end]
        inside = raw[1:-1] if node.kind == "string" else ""
        size = go.parse_size(inside, self.size_grammar()) if inside else None
        if size is None:
            shown = raw if len(raw) < 40 else KINDS_IN_WORDS[node.kind]
            self.abort(key, f'must be a size in quotes, as "64M", not {shown}', node)
        return size

    def size_grammar(self) -> str:
        """Return which go-units the release was built with; Debian linked an old one up to 26.1."""
        if self.release < (18, 9):
            return "first"
        debian = "dfsg" in self.version.text and self.release < (28,)
        return "old" if self.release < (23,) or debian else "new"

    def read_filter(self, node: Node, key: str) -> Any:
        """Read the filter of a garbage collection rule: a list since 19.03.5, an object of objects ever since."""
        if node.kind == "null":
            return None
        listed = node.kind == "array" and all(m.node.kind in ("string", "null") for m in node.members)
        if listed and self.release >= (19, 3, 5):
            for member in node.members:
                if self.release < (23,) and "=" not in str(member.node.value or ""):
                    self.abort(key, "an entry without = crashes dockerd", member.node)
            return gojson.plain(node)
        problems = len(self.judgement.problems)
        value = self.value(("map", ("map", "bool")), node, None, key)
        if len(self.judgement.problems) > problems and self.release >= (19, 3, 5):
            del self.judgement.problems[problems:]
            self.refuse("wrong-type", key, 'must be a list of strings, as ["unused-for=48h"]', node)
        return value

    # Behind the readings.

    def ignored(self) -> None:
        """Note what is taken and does nothing, and the switches that are null."""
        meant = {name: key for name, _, _, key in tables.IGNORED}
        for name, member in self.flattened.items():
            value = Value(gojson.plain(member.node), *self.text.place(member.start))
            parent = self.nested.get(name)
            shown = name if parent is None else f"{parent}.{name}"
            if parent is not None and gojson.fold(parent) == "proxies" and name in tables.MEMBERS["proxies"]:
                continue
            if name in meant and self.known(name):
                self.judgement.ignored[shown] = (meant[name], value)
            elif self.known(name) and (parent is not None or self.kinds.get(name) == "any"):
                self.judgement.ignored[shown] = (name if parent is not None else "", value)
            if self.kinds.get(name) == "bool" and member.node.kind == "null":
                self.judgement.null_switches[shown] = value
        for member in self.root.members:
            empty = member.node.kind == "object" and not member.node.members
            if empty and gojson.fold(member.name) not in {gojson.fold(name) for name in self.kinds}:
                value = Value({}, *self.text.place(member.start))
                self.judgement.ignored[member.name] = ("", value)

    def switch(self, name: str) -> Any:
        """Return what a boolean flag is set to by the file: strconv.ParseBool of the value as Go prints it."""
        node = self.flattened[name].node
        if node.kind in ("bool", "string"):
            return PARSE_BOOL.get(str(node.value).lower() if node.kind == "bool" else str(node.value), False)
        if node.kind == "number":
            return float(str(node.value)) == 1
        return False

    def merge(self) -> None:
        """Merge file, flags and defaults: zero values of the file count as not set (mergo)."""
        effective = self.judgement.effective
        fallbacks = defaults(self.release)
        for name, kind in self.kinds.items():
            value = self.file.get(name)
            flag = self.judgement.flag_values.get(name)
            fallback = fallbacks.get(name)
            if kind == "bool":
                if value is not True and name in self.flattened:
                    apart = name in self.nested and name in _COPIED
                    fallback = fallback if apart else self.switch(name)
                effective[name] = True if value is True else flag if flag is not None else fallback
                continue
            if isinstance(value, dict) and isinstance(flag, dict):
                value = {**flag, **value}
            if name == "data-root" and not value and self.release < (23,):
                value = self.file.get("graph")
            keeps_zero = name == "default-stop-timeout" and value == 0
            if value or keeps_zero:
                effective[name] = value
            elif flag is not None:
                effective[name] = flag
            elif fallback is not None or value is not None:
                effective[name] = fallback if fallback is not None else value
