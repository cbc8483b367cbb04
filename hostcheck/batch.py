"""Several targets in one call: each in a process of its own, with a progress display, in the order that was asked."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

from hostcheck._typing import Callable, Optional
from hostcheck.finding import Report
from hostcheck.host import NoTarget

Answer = tuple[Optional[Report], str]
"""A report, or why there is none."""

_judge: Callable[[str], Report]


def judge_all(targets: Sequence[str], judge: Callable[[str], Report]) -> list[Answer]:
    """Return the report of each target; one that is no host costs nothing but its own report."""
    # The workers inherit it by fork: checks of a folder have no name by which they could be sent.
    global _judge  # noqa: PLW0603
    _judge = judge
    import multiprocessing

    workers = min(len(targets), os.cpu_count() or 1)
    fork = multiprocessing.get_context("fork")
    answers = []
    with ProcessPoolExecutor(workers, fork) as pool, _progress(len(targets)) as step:
        for target, answer in zip(targets, pool.map(_one, targets)):
            step(target)
            answers.append(answer)
    return answers


def _one(target: str) -> Answer:
    try:
        return _judge(target), ""
    except NoTarget as error:
        return None, str(error)
    except Exception as error:
        # What a library makes of one hostile image must not lose the reports of the others.
        return None, f"{target}: {type(error).__name__}: {error}"


@contextmanager
def _progress(total: int) -> Iterator[Callable[[str], None]]:
    """Show on a terminal which targets are done."""
    if not sys.stderr.isatty():
        yield lambda target: None
        return
    # Imported here: it costs 64 ms, and only a terminal needs it.
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("checking", total=total)
        yield lambda target: progress.update(task, advance=1, description=os.path.basename(target))
