"""The command as a process of its own: `hostcheck`, and `python -m hostcheck`."""

import gc
import sys


def run() -> int:
    """Run the command line, and spare the garbage collector work that nobody gains by: a fifth of the run.

    It would look through all that is imported again and again, and take all of it apart at the end, although a run
    makes little garbage and the end of the process frees everything.
    """
    gc.set_threshold(100_000)
    # Imported here: the threshold counts for what is imported too.
    from hostcheck.cli import main

    try:
        return main()
    finally:
        gc.freeze()


if __name__ == "__main__":
    sys.exit(run())
