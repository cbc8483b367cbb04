"""How a command's help looks."""

from __future__ import annotations

import argparse


class Help(argparse.RawDescriptionHelpFormatter):
    """Help in lines of a fixed width, the same on every terminal and on every Python."""

    def __init__(self, prog: str) -> None:
        """Take the name of the program."""
        super().__init__(prog, max_help_position=32, width=100)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        """Name the value once, as Python 3.13 does: `-o, --output FILE`."""
        if not action.option_strings or action.nargs == 0:
            return super()._format_action_invocation(action)
        value = self._format_args(action, self._get_default_metavar_for_optional(action))
        return f"{', '.join(action.option_strings)} {value}"
