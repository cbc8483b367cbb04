"""Where a report goes: standard output, and files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Collection, Iterator, Sequence

from hostcheck import reporters
from hostcheck._typing import TYPE_CHECKING, TextIO, cast
from hostcheck.finding import Report, Severity
from hostcheck.reporters import FORMATS, Style

if TYPE_CHECKING:
    import argparse


class OutputError(Exception):
    """A report cannot go where it is wanted; the text says why and the way out."""


def add_arguments(
    parser: argparse.ArgumentParser,
    formats: Collection[str] = FORMATS,
    least: Sequence[str] = ("required", "recommended"),
) -> None:
    """Add the options that say where reports go, how they look, and what makes a run fail."""
    parser.add_argument(
        "-f",
        "--format",
        action="append",
        metavar="FORMAT[:FILE]",
        help=f"{', '.join(formats)}; with a file, written there atomically; may be repeated",
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="write the one report without a file of its own to FILE"
    )
    parser.add_argument("--strict", action="store_true", help="exit with 3 if anything is unknown or broke")
    parser.add_argument(
        "--fail-on",
        choices=least,
        default="required",
        help="the least severity that makes the exit code 1 (default: required)",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="show every check and every finding")
    parser.add_argument("-q", "--quiet", action="store_true", help="show the verdict alone")
    parser.add_argument(
        "--no-color", action="store_true", help="no colours (also: NO_COLOR in the environment)"
    )


def destinations(
    options: argparse.Namespace, formats: Collection[str] = FORMATS, default: str = "table"
) -> list[tuple[str, str | None]]:
    """Return each format with its file; None is standard output.

    Raises:
        OutputError: a format is unknown, or two want standard output.

    """
    wanted: list[tuple[str, str | None]] = []
    for text in options.format or [default]:
        name, _, path = text.partition(":")
        if name not in formats:
            raise OutputError(f"no format {name!r}; there are {', '.join(formats)}")
        wanted.append((name, path or None))
    bare = [number for number, (_, path) in enumerate(wanted) if path is None]
    if options.output:
        if len(bare) != 1:
            raise OutputError(
                f"-o {options.output} needs exactly one format without a file, there are {len(bare)}"
            )
        wanted[bare[0]] = (wanted[bare[0]][0], options.output)
    elif len(bare) > 1:
        raise OutputError("only one format can go to standard output; give the others a file: -f json:FILE")
    return wanted


def write(
    wanted: Sequence[tuple[str, str | None]], reports: Sequence[Report], options: argparse.Namespace
) -> None:
    """Write the reports to each destination.

    Raises:
        OutputError: a file cannot be written, or a format cannot hold so many reports.

    """
    for name, path in wanted:
        try:
            with opened(path) as stream:
                reporters.write(name, reports, stream, style(options, stream))
        except ValueError as error:
            raise OutputError(str(error)) from None


@contextlib.contextmanager
def opened(path: str | None) -> Iterator[TextIO]:
    """Yield the stream of a destination; None is standard output.

    Raises:
        OutputError: the file cannot be written.

    """
    if path is None or path == "-":
        # A file name of a host may hold what no encoding has.
        with contextlib.suppress(AttributeError):
            cast(io.TextIOWrapper, sys.stdout).reconfigure(errors="replace")
        yield sys.stdout
        return
    # Imported here: it costs a few ms, and only a file needs it.
    import tempfile

    folder = os.path.dirname(os.path.abspath(path))
    temporary = None
    try:
        if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
            # A device or a pipe, such as /dev/null: a rename would put a file in its place.
            with open(path, "w", encoding="utf-8", errors="replace") as stream:
                yield stream
            return
        # Written beside the target and renamed, so that a reader never sees half a report.
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", errors="replace", dir=folder, prefix=".hostcheck-", delete=False
        ) as file:
            temporary = file.name
            yield cast(TextIO, file)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from None
    finally:
        if temporary:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def style(options: argparse.Namespace, stream: TextIO) -> Style:
    """Return how a stream wants to be written: a terminal in its width and in colours, a file plainly."""
    verbosity = int(options.verbose) - int(options.quiet)
    threshold = Severity(options.fail_on)
    if stream is not sys.stdout:
        return Style(verbosity=verbosity, threshold=threshold)
    terminal = stream.isatty()
    width = 120
    if terminal or os.environ.get("COLUMNS"):
        # Imported here: a pipe does not need it.
        import shutil

        width = shutil.get_terminal_size((120, 40)).columns
    color = terminal and not options.no_color and not os.environ.get("NO_COLOR")
    color = color and os.environ.get("TERM") != "dumb"
    encoding = (getattr(stream, "encoding", None) or "ascii").lower().replace("-", "")
    return Style(width, color, encoding.startswith("utf"), verbosity, threshold)
