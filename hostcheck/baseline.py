"""What was known before: a JSON report whose failures do not count again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from hostcheck._typing import Any
from hostcheck.finding import Result

LIMIT = 64 * 1024 * 1024
"""Bytes of a report that is read."""

Key = tuple[str, str, str]
"""A check, a subject, and when: what makes two findings the same."""


class BadReport(Exception):
    """A file that is no report of hostcheck; the text says why."""


def load(path: str, present: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the reports in a JSON report of one target or of several.

    A check that was renamed since has its present id: `present` has it by the former.

    Raises:
        BadReport: it cannot be read, or is none.

    """
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(LIMIT + 1)
        if len(text) > LIMIT:
            raise BadReport(f"{path} is larger than {LIMIT >> 20} MiB")
        whole = json.loads(text)
        reports = whole.get("reports", [whole])
        for report in reports:
            for result in report["results"]:
                result["id"] = present.get(result["id"], result["id"])
            list(failures(report))
            report["host"]["name"]
    except OSError as error:
        raise BadReport(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError):
        raise BadReport(
            f"{path} is no report of hostcheck; write one with: hostcheck -f json -o {path}"
        ) from None
    return list(reports)


def failures(report: dict[str, Any]) -> Iterator[tuple[Key, dict[str, Any]]]:
    """Yield what fails in a report that was read, with what it is the same by."""
    for result in report["results"]:
        if result["outcome"] == "fail" and not result["waived"]:
            for finding in result["findings"]:
                if not finding["ok"] and not finding["waived"]:
                    yield (result["id"], finding["subject"], finding["when"]), finding


def apply(results: Sequence[Result], known: set[Key], path: str) -> None:
    """Waive what was known, so that only what is new counts."""
    for result in results:
        waiver = {
            "id": result.check,
            "subject": "*",
            "reason": f"it was there before: {path}",
            "expires": None,
        }
        result.waive(waiver, lambda f, check=result.check: (check, f.subject, f.when) in known)  # type: ignore[misc]
