"""What a client accepts (RFC 9110, 12.5): which text of the metrics it gets, and whether packed."""

from __future__ import annotations

Clause = tuple[str, dict[str, str], float]
"""A value, its parameters, and how much it is wanted."""

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=%s; charset=utf-8"


def clauses(header: str) -> list[Clause]:
    """Return the values of an Accept header, the most wanted first; what is refused (q=0) is not among them.

    >>> clauses("a/b;version=1;q=0.5, c/d, e/f;q=0")
    [('c/d', {}, 1.0), ('a/b', {'version': '1'}, 0.5)]
    """
    found: list[Clause] = []
    for part in header.split(","):
        value, *rest = (word.strip() for word in part.split(";"))
        parameters = dict(_parameter(word) for word in rest)
        try:
            quality = float(parameters.pop("q", "1"))
        except ValueError:
            continue
        if value and quality > 0:
            found.append((value.lower(), parameters, quality))
    return sorted(found, key=lambda clause: -clause[2])


def _parameter(word: str) -> tuple[str, str]:
    name, _, value = word.partition("=")
    return name.strip().lower(), value.strip().strip('"')


def metrics_format(accept: str) -> tuple[str, str]:
    """Return the page and the content type of the metrics: OpenMetrics where it is wanted most, else text.

    As prometheus/common does (expfmt.Negotiate), text is the answer to whatever else is asked for.

    >>> metrics_format("application/openmetrics-text;version=0.0.1;q=0.4, text/plain;q=0.2")
    ('openmetrics', 'application/openmetrics-text; version=0.0.1; charset=utf-8')
    >>> metrics_format("application/openmetrics-text;q=0.1, text/plain;version=1.0.0;q=0.2")
    ('text', 'text/plain; version=0.0.4; charset=utf-8')
    """
    for value, parameters, _ in clauses(accept):
        if value == "application/openmetrics-text":
            version = parameters.get("version", "1.0.0")
            if version in ("0.0.1", "1.0.0"):
                return "openmetrics", OPENMETRICS % version
        elif value in ("text/plain", "text/*", "*/*"):
            break
    return "text", TEXT


def takes_gzip(encodings: str) -> bool:
    """Return whether an Accept-Encoding header takes gzip.

    >>> [takes_gzip(text) for text in ("deflate, gzip;q=0.8", "gzip;q=0", "*", "gzip;q=0, *", "")]
    [True, False, True, False, False]
    """
    refused = any(
        part.split(";")[0].strip().lower() == "gzip" and not clauses(part) for part in encodings.split(",")
    )
    return not refused and any(value in ("gzip", "*") for value, _, _ in clauses(encodings))
