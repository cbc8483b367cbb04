"""The manual pages hostcheck(1) and hostcheck-policy(5), from the parser and the checks' docstrings."""

from __future__ import annotations

import argparse
import re
import textwrap

from hostcheck import __version__, cli, plugins
from hostcheck.policy import Policy, names

POLICY = r"""
.SH DESCRIPTION
A policy chooses checks, sets their parameters and severities, and holds
waivers.
It is a YAML file, given to
.BR hostcheck (1)
with
.BR \-\-policy ,
or the name of one that is shipped.
An unknown key, check or parameter, or a value of the wrong type, is an error
that names the place.
.SH KEYS
.TP
.B description
One line for people.
.TP
.B extends
The policy that this one changes: a shipped name, or a path relative to this
file.
.TP
.B select
Globs of the checks that run.
.TP
.B ignore
Globs of checks that do not.
.TP
.B severities
Check to
.IR required ", " recommended " or " info .
.TP
.B parameters
Check to its parameters, which are listed below.
.TP
.B waivers
A list of
.BR id ", " reason ,
and optionally
.B subject
(only that finding) and
.B expires
(a date; afterwards it fails loudly).
.SH EXAMPLE
.nf
extends: docker
ignore: ["resources.*"]
severities:
  resources.space: required
parameters:
  resources.space:
    recommended_gb: 50.0
waivers:
  \- id: kernel.config_netfilter
    subject: CONFIG_IP_NF_RAW
    reason: the vendor's kernel
    expires: 2027\-01\-31
.fi
"""


def escaped(text: str) -> str:
    r"""Return text as roff takes it.

    >>> escaped("--a\\b")
    '\\-\\-a\\eb'
    """
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"(?m)^(?=[.'])", r"\\&", text)


def paragraph(text: str) -> str:
    """Return a paragraph as roff takes it, in lines that a person can read.

    >>> paragraph("word " * 20 + ".x").splitlines()[-1]
    'word word word word .x'
    """
    return escaped(textwrap.fill(text, 76, break_long_words=False, break_on_hyphens=False))


def head(name: str, section: int, what: str, date: str) -> str:
    """Return the beginning of a page."""
    return (
        f'.TH {name.upper()} {section} "{date}" "hostcheck {__version__}" "hostcheck"\n'
        f".SH NAME\n{escaped(name)} \\- {escaped(what)}\n"
    )


def option(action: argparse.Action) -> str:
    """Return an argument with its help."""
    names = ", ".join(f"\\fB{escaped(word)}\\fR" for word in action.option_strings)
    value = action.metavar or ("{" + ",".join(map(str, action.choices)) + "}" if action.choices else "")
    if not action.option_strings:
        value = value or action.dest
    shown = " ".join(part for part in (names, f"\\fI{escaped(str(value))}\\fR" if value else "") if part)
    text = (action.help or "").replace("%%", "%")
    return f".TP\n{shown}\n{paragraph(text)}\n"


def command_page(date: str) -> str:
    """Return hostcheck(1)."""
    parser = cli._parser(cli.COMMANDS)
    page = head("hostcheck", 1, "will this host run containers, now and after its next boot?", date)
    page += ".SH SYNOPSIS\n.B hostcheck\n[\\fICOMMAND\\fR] [\\fIOPTIONS\\fR] [\\fIPATH\\fR ...]\n"
    page += f".SH DESCRIPTION\n{paragraph(parser.description or '')}\n"
    commands = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    helps = {choice.dest: choice.help for choice in commands._choices_actions}
    page += ".SH COMMANDS\n"
    for name, command in commands.choices.items():
        page += f".SS hostcheck {escaped(name)}\n{paragraph(command.description or helps.get(name) or '')}\n"
        for action in command._actions:
            if action.help != argparse.SUPPRESS and action.dest != "help":
                page += option(action)
    page += ".SH OPTIONS\n.TP\n\\fB\\-\\-version\\fR\n" + paragraph(
        "Print the version; with -v also how hostcheck was installed, with which libraries, which are missing, "
        "and what brings them."
    )
    page += "\n"
    examples, _, codes = (parser.epilog or "").partition("exit codes:\n")
    page += f".SH EXAMPLES\n.nf\n{escaped(examples.partition('examples:')[2].strip(chr(10)))}\n.fi\n"
    page += f".SH EXIT STATUS\n.nf\n{escaped(codes.rstrip())}\n.fi\n"
    page += (
        ".SH FILES\n.TP\n.I /etc/hostcheck/checks.d/*.py\nChecks of one's own.\n"
        ".TP\n.I /etc/default/hostcheck\nOptions of the units hostcheck.service and hostcheck\\-textfile.service.\n"
        ".SH SEE ALSO\n.BR hostcheck\\-policy (5)\n"
    )
    return page


def policy_page(date: str) -> str:
    """Return hostcheck-policy(5)."""
    page = head("hostcheck-policy", 5, "which checks of hostcheck run, and how", date) + POLICY.lstrip("\n")
    page += ".SH SHIPPED POLICIES\n"
    for name in names():
        page += f".TP\n.B {escaped(name)}\n{paragraph(Policy.load(name).description)}\n"
    page += ".SH CHECKS AND PARAMETERS\n"
    for check in plugins.shipped():
        page += f".TP\n\\fB{escaped(check.id)}\\fR ({check.severity.value})\n{paragraph(check.title())}\n"
        for name, value in check().parameters().items():
            page += f".br\n\\fI{escaped(name)}\\fR = {escaped(repr(value))}\n"
    return page + ".SH SEE ALSO\n.BR hostcheck (1)\n"
