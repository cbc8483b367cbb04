"""Judge generated daemon.json files here and by the dockerd of Debian 12, 13 and sid; print where the two differ.

python scripts/fuzz_daemon_json.py                  # 2000 files for each of the three, as root
python scripts/fuzz_daemon_json.py -n 500 --seed 7 trixie

What differs is a defect here, and becomes a case of tests/engine/test_dockerd_validate.py.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "engine")]

import daemon_files  # noqa: E402

BATCH = 200


def main() -> int:
    """Return 1 if the two differ anywhere."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "suites", nargs="*", metavar="SUITE", help=f"default: {' '.join(daemon_files.SUITES)}"
    )
    parser.add_argument("-n", type=int, default=2000, metavar="COUNT", help="files for each (default: 2000)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="default: the time")
    options = parser.parse_args()
    differ = 0
    for suite in options.suites or daemon_files.SUITES:
        with daemon_files.dockerd_of(suite) as dockerd:
            files = daemon_files.generated(dockerd.version.numbers, options.n, options.seed)
            taken = wrong = 0
            for start in range(0, len(files), BATCH):
                also = daemon_files.COMMAND_LINES[start // BATCH % len(daemon_files.COMMAND_LINES)]
                found, tally = daemon_files.differences(dockerd, files[start : start + BATCH], also)
                taken += tally[True]
                wrong += len(found)
                print(*found, sep="\n", end="\n" * bool(found), flush=True)
            print(
                f"dockerd {dockerd.version}, seed {options.seed}: {len(files)} files, {taken} taken, "
                f"{len(files) - taken} refused, {wrong} judged differently",
                flush=True,
            )
            differ += wrong
    return int(differ > 0)


if __name__ == "__main__":
    sys.exit(main())
