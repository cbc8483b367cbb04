"""`hostcheck record`: keep what every check asks of this host, to be judged elsewhere."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import sys
from collections.abc import Iterable

from hostcheck import __version__, plugins
from hostcheck.host import Host
from hostcheck.host.recorder import RecordingHost, save
from hostcheck.policy import DEFAULT, Policy, PolicyError, names
from hostcheck.runner import run as run_checks

OK, USAGE = 0, 2

STAGES = ("auto", "before", "installed")

_EPILOG = """\
examples:
  hostcheck record host.tar.gz                this host, as one file
  hostcheck host.tar.gz                       the report, anywhere
  hostcheck record --root /mnt/image image    an unpacked image, as a folder

Secrets are made unreadable before anything is written; docs/recordings.md lists which. Names, addresses and
versions of the host are in it: look it through before you hand it on.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `record` to the commands."""
    parser = commands.add_parser(
        "record",
        help="keep what every check asks, to be judged elsewhere",
        description="Keep everything that any check asks of this host, with the answers, in FILE.",
        epilog=_EPILOG,
    )
    parser.add_argument("file", metavar="FILE", help="NAME.tar.gz, or a folder to make; it must not be there")
    parser.add_argument("--root", metavar="PATH", help="record the root tree in PATH instead of this host")


def record(host: Host, facts: Iterable[str]) -> RecordingHost:
    """Ask a host everything that any check or fact asks, before an installation and after it."""
    from hostcheck.facts.summary import summary

    recording = RecordingHost(host)
    policies = _policies()
    shipped = plugins.shipped()
    for stage in STAGES:
        recording.forget_facts()
        recording.assumptions["stage"] = stage
        for policy in policies:
            run_checks(policy.configure(shipped), recording)
        for name in facts:
            # What a fact makes of the answers does not matter here, not even that it breaks.
            with contextlib.suppress(Exception):
                importlib.import_module(name).export(recording)
        summary(recording)
    del recording.assumptions["stage"]
    return recording


def _policies() -> list[Policy]:
    """Return the shipped policies; without PyYAML the default one, which needs no file."""
    try:
        return [Policy.load(name) for name in names()]
    except PolicyError as error:
        print(f"hostcheck: {error}; asked under the policy docker alone", file=sys.stderr)
        return [Policy.load(DEFAULT)]


def run(options: argparse.Namespace, host: Host, facts: Iterable[str]) -> int:
    """Record the host into the file, say so, return the exit code."""
    if os.path.lexists(options.file):
        print(f"hostcheck: {options.file} is already there, and is not written over", file=sys.stderr)
        return USAGE
    recording = record(host, facts)
    try:
        save(recording, options.file, __version__)
    except OSError as error:
        print(f"hostcheck: cannot write {options.file}: {error.strerror}", file=sys.stderr)
        return USAGE
    print(
        f"{options.file}: {len(recording.kept)} paths and {len(recording.commands)} commands of "
        f"{recording.name}, readable by you alone. `hostcheck {options.file}` judges it."
    )
    return OK
