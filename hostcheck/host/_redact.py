"""What a recording must not hold: secrets, told by their place or by the word before them.

A secret's letters become `x` and its digits `0`. Its length, punctuation and percent escapes stay: a stray `%`, `#` or
quote in a password is itself a fault that checks look for, and columns remain the same.
"""

from __future__ import annotations

import re

from hostcheck.record import Record

# Patterns are compiled where they are first used: a run that masks nothing has no use for them.
NEVER = (
    r"(?:/etc/g?shadow-?"
    r"|.*/\.ssh/.*"
    r"|/etc/ssh/ssh_host_.*_key"
    r"|/etc/kubernetes/pki/.*\.key"
    r"|/var/lib/rancher/.*/(?:node-)?token"
    r"|.*/\.(?:netrc|git-credentials|pgpass)"
    r")\Z"
)
"""Files of which every letter is a secret."""

PLAIN = (
    r"(?:/usr/share/|/usr/lib/sysimage/|/lib/modules/|/usr/lib/modules/|/boot/config-|/var/lib/dpkg/|/proc/config|/proc/sys/"
    r"|/etc/(?:passwd|group|nsswitch\.conf)\Z)"
)
"""Files of distributions, in which the words below mean something else."""

_WORDS = (
    r"(?:password|passphrase|passwd|secret|token|credentials?|api[_-]?key|access[_-]?key|private[_-]?key"
    r"|client-key-data|encryption[_-]?key|auth[_-]?key|license[_-]?key)"
)

_NAME = rf"{_WORDS}[\w-]{{0,40}}"
_VALUE = r"(?:\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*'|[^\s\"'\0]+)"

_NEEDS = (
    "passw",
    "passphrase",
    "secret",
    "token",
    "credential",
    "client-key-data",
    *(
        f"{kind}{joint}key"
        for kind in ("api", "access", "private", "encryption", "auth", "license")
        for joint in ("", "_", "-")
    ),
)
"""One of these is in every name that `_WORDS` matches."""


class Rule(Record):
    """A kind of secret, and how it is found."""

    kind: str
    needs: tuple[str, ...]
    """Without one of these in a text, in small letters, the pattern finds nothing, and need not be compiled."""
    pattern: str
    """Its group `secret` or `bearer` is made unreadable; of `url`, its user."""


RULES = (
    Rule(
        "a private key in PEM",
        ("-----begin ",),
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?P<secret>[^-]*)",
    ),
    Rule(
        "user and password in a URL, as proxies have, and a token in their place",
        ("://",),
        r"://(?P<url>[^\s\"'\0]+)",
    ),
    Rule(
        "an HTTP header that says who one is",
        ("authorization", "bearer"),
        r"(?i)\bauthorization[\"']?[ \t]*[:=][\s\"'\[-]{0,40}(?:basic|bearer|digest|negotiate)\s+"
        r"(?P<secret>[^\s\"'\]]+)"
        r"|\bbearer[ \t]+(?P<bearer>[\w.~+/=-]{8,})",
    ),
    Rule(
        "what a word such as password, token or secret names: an assignment in quotes, as in Environment=",
        _NEEDS,
        rf"(?i)(?P<quote>[\"'])[\w./-]{{0,80}}?{_NAME}=(?P<secret>[^\"'\n]*)(?P=quote)",
    ),
    Rule(
        "the same: a line of YAML",
        _NEEDS,
        rf"(?im)^[ \t-]{{0,80}}[\w./-]{{0,80}}?{_NAME}:[ \t]+(?P<secret>[^\s{{\[][^\n]*)$",
    ),
    Rule(
        "the same: JSON, TOML, the environment, a command line",
        _NEEDS,
        rf"(?i){_NAME}[\"']?[ \t]{{0,8}}[:=][ \t]{{0,8}}(?P<secret>{_VALUE})",
    ),
    Rule(
        "the same: an option whose value is the next word",
        _NEEDS,
        rf"(?i)(?<![\w-])--[\w-]{{0,40}}?{_NAME}[ \0](?P<secret>[^\s\0-][^\s\0]*)",
    ),
    Rule(
        "auth and identity of a registry",
        ("auth", "token"),
        rf"(?i)(?<!\w)(?:auth|identity_?token|registry_?token)[\"']?[ \t]{{0,8}}[:=][ \t]{{0,8}}(?P<secret>{_VALUE})",
    ),
    Rule(
        "the private part of a JSON web key",
        ('"d"', '"p"', '"q"', '"dp"', '"dq"', '"qi"', '"k"'),
        r"\"(?:d|p|q|dp|dq|qi|k)\"\s{0,40}:\s{0,40}(?P<secret>\"[\w+/=-]{16,}\")",
    ),
    Rule(
        "the hash of a password",
        ("$",),
        r"(?P<secret>\$(?:1|2[aby]|5|6|7|y|gy|apr1)\$[\w./$,=-]{20,})",
    ),
    Rule(
        "a token of a well-known form",
        ("gh", "github_pat_", "glpat-", "akia", "xox", "dckr_", "k10", "."),
        r"\b(?P<secret>gh[pousr]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|AKIA[A-Z0-9]{16}|xox[abprs]-[\w-]{10,}"
        r"|dckr_(?:pat|oat)_[\w-]{10,}|K10[0-9a-f]{64}::\S+|[a-z0-9]{6}\.[a-z0-9]{16}(?![\w.])"
        r"|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]*)",
    ),
)
"""Each kind of secret."""

_HARMLESS = (
    r"(?i)[\"']?(?:true|false|yes|no|on|off|null|none|y|m|n|[\d.]{1,4}[a-z]{0,2}|\$\{?\w+\}?|[{\[|>-]*)"
    r"[\"']?[,;}\]]*\Z"
)
"""Values that are no secret, whatever they are called."""

_PLACE = r"(?i)(?:file|path|dir|url|uri|server|ttl|mode|type|name|binary?|config)[\"']?[ \t]*[:=][ \t]*\Z"
"""Names such as `token-file` mean the place of a secret."""

_LETTERS = r"(?s)(%[0-9A-Fa-f]{2}|%.|\\.)|([^\W\d_])|(\d)"


def _masked(secret: str) -> str:
    """Return a secret without what makes it one.

    >>> _masked('"p%2Fw#7"')
    '"x%2Fx#0"'
    """
    return re.sub(_LETTERS, lambda found: found[1] or ("x" if found[2] else "0"), secret)


def _without_user(url: str) -> str:
    """Return what stands after `://` with user and password masked; a name alone stays, if it is no token."""
    user, at, host = url.rpartition("@")
    # An @ in the path of a URL with a port, or in the next of a list, is nobody's.
    if not at or re.match(r"[^:/@,]*:\d{1,5}[/,]", user) or (":" not in user and len(user) < 16):
        return url
    return _masked(user) + at + host


def redact_text(text: str) -> str:
    """Return a text with every secret that the rules know made unreadable.

    >>> redact_text('HTTPS_PROXY=http://me:s3cret@proxy:3128 and API_TOKEN=abc123')
    'HTTPS_PROXY=http://xx:x0xxxx@proxy:3128 and API_TOKEN=xxx000'
    """

    def replace(found: re.Match[str]) -> str:
        group = found.lastgroup or "secret"
        if group == "url":
            return "://" + "://".join(map(_without_user, found["url"].split("://")))
        group = "bearer" if group == "bearer" else "secret"
        secret = found[group]
        whole, start = found[0], found.start(group) - found.start()
        if re.match(_HARMLESS, secret) or re.search(_PLACE, whole[:start]):
            return whole
        return whole[:start] + _masked(secret) + whole[start + len(secret) :]

    small = text.casefold()
    for rule in RULES:
        if any(word in small for word in rule.needs):
            text = re.sub(rule.pattern, replace, text)
    return text


def redact(path: str, data: bytes) -> bytes:
    """Return a file's content, or the output of the command `path`, without its secrets."""
    if re.match(NEVER, path):
        return _masked(data.decode("latin-1")).encode("latin-1")
    if re.match(PLAIN, path) or data.startswith((b"\x7fELF", b"\x1f\x8b")):
        return data
    # What is no UTF-8 is kept as it is.
    return redact_text(data.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
