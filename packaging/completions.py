"""Completions for bash, zsh and fish, from the parser: also of names of checks, policies, formats and facts."""

from __future__ import annotations

import argparse
import re

import shtab

from hostcheck import cli, output, plugins
from hostcheck.policy import names


def words(name: str, values: list[str], *, files: bool = False) -> dict[str, object]:
    """Return how each shell completes one of these words, or also a file."""
    text = " ".join(values)
    bash = f"compgen {'-f ' if files else ''}-W {text!r} -- $1"
    zsh = f"compadd -- {text}" + ("; _files" if files else "")
    function = f"_hostcheck_{name}{'_or_file' if files else ''}"
    return {
        "bash": function,
        "zsh": function,
        "fish": f"{text} (__fish_complete_path (commandline -ct))" if files else text,
        "preamble": {"bash": f"{function}() {{ {bash}; }}", "zsh": f"{function}() {{ {zsh}; }}"},
    }


def completers() -> dict[str, dict[str, object]]:
    """Return what completes a value, by the name that the help gives it."""
    ids = words("check", sorted(check.id for check in plugins.shipped()))
    file = dict(shtab.FILE)
    return {
        "ID": ids,
        "GLOB": ids,
        "NAME|FILE": words("policy", sorted(names()), files=True),
        "FORMAT[:FILE]": words("format", sorted(output.FORMATS)),
        "facts NAME": words("fact", list(cli.FACTS), files=True),
        **dict.fromkeys(("PATH", "FILE", "A", "B"), file),
        "DIR": dict(shtab.DIRECTORY),
    }


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser, in which `run` may be left out, and values know how they are completed."""
    top = cli._parser(cli.COMMANDS)
    (commands,) = (action for action in top._actions if isinstance(action, argparse._SubParsersAction))
    known = completers()
    for command, each in commands.choices.items():
        for action in each._actions:
            # NAME is many things.
            found = known.get(f"{command} {action.metavar}") or known.get(str(action.metavar))
            if found:
                action.complete = found  # type: ignore[attr-defined]
            if isinstance(action.metavar, str):
                # zsh takes a colon for the end of it.
                action.metavar = re.sub(r"\W+", " ", action.metavar).strip()
    taken = set(top._option_string_actions)
    for action in commands.choices["run"]._get_optional_actions():
        if not taken.intersection(action.option_strings):
            top._add_action(action)
    return top


PATHS = {
    "bash": ("complete -o bashdefault", "complete -o bashdefault -o default"),
    "zsh": ("_describe 'hostcheck commands' _commands", "_describe 'hostcheck commands' _commands; _files"),
    "fish": (
        "",
        "complete -c hostcheck -n __fish_use_subcommand -a '(__fish_complete_path (commandline -ct))'\n",
    ),
}
"""What is no command is the path of an image; what is there of the completions, and what it becomes."""


def completions(shell: str) -> str:
    """Return the completions for a shell."""
    text: str = shtab.complete(parser(), shell=shell)
    before, after = PATHS[shell]
    if text.count(before) != 1 and before:
        raise ValueError(f"{shell}: shtab no longer writes {before!r}")
    return text.replace(before, after) if before else f"{text}\n{after}"
