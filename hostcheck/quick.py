"""A plain command line, read without argparse: its import and its parsers would take a twentieth of a run."""

from __future__ import annotations

from collections.abc import Sequence

from hostcheck._typing import Any, Optional


class Quick:
    """Takes the options of a command as an ArgumentParser does, and reads a command line that is plain.

    Plain are options written out, their values in a word of their own or behind `=`, and arguments in one row.
    All else is argparse's: a mistake, a call for help, an option cut short or run together with its value.
    """

    def __init__(self) -> None:
        """Start without options."""
        self._options: dict[str, tuple[str, str, Optional[Sequence[str]]]] = {}
        self._arguments = ""
        self._defaults: dict[str, Any] = {}

    def add_parser(self, name: str, **told: Any) -> Quick:
        """Be the parser of the one command that is read; what only help shows is passed over."""
        return self

    def add_argument(self, *names: str, **told: Any) -> None:
        """Take one option, or the arguments (`nargs="*"`)."""
        action = told.get("action", "store")
        long = next((name for name in names if name.startswith("--")), names[0])
        place = long.lstrip("-").replace("-", "_")
        if names[0].startswith("-"):
            self._options.update(dict.fromkeys(names, (place, action, told.get("choices"))))
            self._defaults[place] = told.get("default", False if action == "store_true" else None)
        else:
            self._arguments = place
            self._defaults[place] = []

    def read(self, words: Sequence[str]) -> dict[str, Any] | None:
        """Return the values by their names, None where the line is not plain."""
        values = dict(self._defaults)
        rows = 0
        todo = list(reversed(words))
        in_row = False
        while todo:
            word = todo.pop()
            if not word.startswith("-"):
                rows += not in_row
                in_row = True
                values[self._arguments] = [*values[self._arguments], word]
                continue
            in_row = False
            name, equals, value = word.partition("=")
            place, action, choices = self._options.get(name, ("", "", None))
            if action == "store_true" and not equals:
                values[place] = True
                continue
            if not equals and todo and not todo[-1].startswith("-"):
                value = todo.pop()
            elif not (equals and name.startswith("--")):
                return None
            if action == "store" and (choices is None or value in choices):
                values[place] = value
            elif action == "append":
                values[place] = [*(values[place] or []), value]
            else:
                return None
        return values if rows < 2 else None
