"""daemon.json, judged as the dockerd of a release judges it, without running one.

dockerd reads the file twice: once as plain JSON, to find names that it does not know and names that are
flags on its command line too; then into its typed configuration, by the rules of encoding/json. What comes
out is merged with the flags and validated. Sources: `daemon/config/config.go` and `cmd/dockerd/daemon.go` of
moby/moby (`daemon/command` since 29.0) at the release in question.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from hostcheck._typing import Optional
from hostcheck.facts import _daemon_rules as rules
from hostcheck.facts import gojson
from hostcheck.facts._daemon_config import CONFLICTS, KINDS_IN_WORDS, LENGTH, Configuration
from hostcheck.facts._daemon_model import (
    Flag,
    HostFacts,
    Judgement,
    Problem,
    Release,
    Struct,
    defaults,
    dotted,
    flags_of,
    in_range,
    keys,
    parse_flags,
    schema,
)
from hostcheck.facts.gojson import Node
from hostcheck.versions import Version

__all__ = [
    "CONFLICTS",
    "SYNTAX",
    "Flag",
    "HostFacts",
    "Judgement",
    "Problem",
    "Release",
    "Struct",
    "defaults",
    "dotted",
    "flags_of",
    "judge",
    "keys",
    "parse_flags",
    "schema",
]

# bytes.TrimSpace: Unicode's White_Space, which str.strip() exceeds.
_WHITE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
SYNTAX = 1
"""The stage at which a file is found to be no JSON object: nothing else is known of it then."""


def decode(data: bytes, release: Release) -> tuple[gojson.Text, Optional[gojson.Syntax]]:
    """Return the text of the file as a release decodes it, and why it does not.

    From 23.0 on a byte order mark decides (UTF-8, UTF-16), and all must be UTF-8; before, there are only bytes.
    """
    if release < (23,):
        return gojson.Text(data.decode("utf-8", "surrogateescape")), None
    for mark, encoding in ((b"\xef\xbb\xbf", ""), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        if data.startswith(mark):
            if encoding:
                return gojson.Text(data[2:].decode(encoding, "replace")), None
            data = data[3:]
            break
    text = gojson.Text(data.decode("utf-8", "surrogateescape"))
    if text.text.isascii():
        return text, None
    found = re.search("[\udc80-\udcff]", text.text)
    if found:
        byte = ord(found.group()) - 0xDC00
        return text, gojson.Syntax(f"byte 0x{byte:02x} is not UTF-8", found.start())
    return text, None


def judge(
    data: bytes, version: Version, flags: Sequence[str] = (), facts: Optional[HostFacts] = None
) -> Judgement:
    """Return what dockerd makes of a daemon.json.

    Args:
        data: the file.
        version: the release of dockerd.
        flags: its command line without the program's name, as `-H fd://`.
        facts: the host it runs on; where they are unknown, nothing that depends on them is refused.

    Raises:
        TooLarge: it holds more values than can be judged in reasonable time.

    """
    judgement = Judgement(version)
    release = version.numbers
    text, syntax = decode(data, release)
    judgement.text = text
    modern = release >= (23,)
    root: Optional[Node] = None
    if syntax is None and not (modern and not text.text.strip(_WHITE)):
        try:
            if modern:
                # White space that JSON does not know is trimmed first.
                ahead = len(text.text) - len(text.text.lstrip(_WHITE))
                root = _shifted(text.text.strip(_WHITE), ahead)
            else:
                root = gojson.parse(text.text, whole=False)
        except gojson.Syntax as error:
            syntax = error
    if syntax is not None:
        line, column = text.place(syntax.offset)
        judgement.problems.append(Problem("json-syntax", "", syntax.message, line, column, stage=SYNTAX))
        return judgement
    if root is not None and root.kind not in ("object", "null"):
        line, column = text.place(root.start)
        message = f"the file is {KINDS_IN_WORDS[root.kind]}, and must be an object in {{ }}"
        judgement.problems.append(Problem("wrong-type", "", message, line, column, stage=SYNTAX))
        return judgement
    huge = gojson.beyond(text.text, root) if root is not None else None
    if huge is not None:
        key, node = huge
        message = f"the number {str(node.value)[:40]} is larger than any that dockerd can hold"
        place = text.place(node.start)
        judgement.problems.append(Problem("wrong-type", key[:LENGTH], message, *place, stage=SYNTAX))
        return judgement
    configuration = Configuration(judgement, text, root or Node("object", 0), flags, facts or HostFacts())
    configuration.read(rules.flag_fault)
    for number, (since, until, caught_by, rule) in enumerate(rules.RULES):
        if in_range(release, since, until):
            configuration.stage = 50 + number
            configuration.default_stage = caught_by
            rule(configuration)
    judgement.problems.sort(key=lambda problem: problem.stage)
    return judgement


def _shifted(text: str, ahead: int) -> Node:
    """Parse a text that was cut at its front, with offsets as in the whole."""
    try:
        return gojson.parse(" " * ahead + text)
    except gojson.Syntax as error:
        raise gojson.Syntax(error.message, error.offset) from None
