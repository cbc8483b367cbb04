"""Lay faults down on the real engines, as root, keep what was seen in tests/engine/proof.json, and write docs/proof.md.

python scripts/proof.py                  # all
python scripts/proof.py --new            # those that were never run
python scripts/proof.py --missed         # those on the list of what is missed
python scripts/proof.py "no host name"   # these
"""

from __future__ import annotations

import argparse
import pathlib
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, NamedTuple

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "engine"), str(ROOT / "scripts")]

import engines  # noqa: E402
import faults  # noqa: E402
import laying  # noqa: E402
import proofs  # noqa: E402
import pytest  # noqa: E402

import docs  # noqa: E402


class Job(NamedTuple):
    """One run."""

    fault: laying.Fault
    suite: str


def kept(result: dict[str, Any]) -> dict[str, Any]:
    """Return what of a run is kept."""

    def failed(report: dict[str, Any]) -> dict[str, str]:
        found = [r for r in report["results"] if r["outcome"] == "fail" and r["severity"] != "info"]
        return {r["id"]: r["severity"] for r in found}

    broken = engines.broken(result["seen"])
    return {"broken": broken, "live": failed(result["report"]), "rest": failed(result["tree"])}


def versions(result: dict[str, Any]) -> dict[str, str]:
    """Return the versions of an engine: Docker's own word, and hostcheck's, for Docker 28 knows no containerd's."""
    found = {"Docker": result["seen"]["info"]["ServerVersion"], **result["report"]["host"]["engines"]}
    return {name: re.split(r"[+~]", found[name])[0] for name in ("Docker", "containerd", "runc")}


def options() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--new", action="store_true", help="only what was never run")
    parser.add_argument("--missed", action="store_true", help="only what is missed")
    parser.add_argument("--suite", action="append", choices=laying.SUITES, help="only here; may be repeated")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time (default: 2)")
    parser.add_argument("name", nargs="*", help="a fault")
    return parser.parse_args()


def wanted(asked: argparse.Namespace, proof: proofs.Proof) -> list[Job]:
    """Return the runs that are asked for."""
    return [
        Job(fault, suite)
        for fault in faults.FAULTS
        for suite in asked.suite or laying.SUITES
        if (not asked.name or fault.name in asked.name)
        and not (asked.new and suite in proof.runs.get(fault.name, {}))
        and (not asked.missed or faults.missed(fault.name, suite))
    ]


def run(job: Job) -> tuple[Job, dict[str, Any] | None, str]:
    """Return the result of a run, or why there is none."""
    try:
        return job, engines.run(job.suite, **job.fault.laid), ""
    except (AssertionError, subprocess.TimeoutExpired, pytest.skip.Exception) as problem:
        return job, None, str(problem)[-800:]


def keep(proof: proofs.Proof, job: Job, result: dict[str, Any]) -> str:
    """Keep a result, and say in a line what it was."""
    seen = kept(result)
    proof.runs.setdefault(job.fault.name, {})[job.suite] = seen
    if job.fault.name == "control":
        proof.versions[job.suite] = versions(result)
    proof.save()
    said = proof.answers(job.fault, job.suite)
    wrong = set(said.values()) - {"agrees"}
    error = "\n    " + " ".join(result["seen"]["error"].split())[-300:] if wrong else ""
    return f"{seen['broken'] or 'works'} {said}{error}"


def main() -> int:
    """Run, keep, write; 1 where the list of what is missed is not what was seen."""
    asked, proof = options(), proofs.Proof.load()
    jobs, failures = wanted(asked, proof), 0
    with ThreadPoolExecutor(asked.jobs) as pool:
        waiting = [pool.submit(run, job) for job in jobs]
        for number, done in enumerate(as_completed(waiting), 1):
            job, result, problem = done.result()
            failures += result is None
            text = keep(proof, job, result) if result else f"could not be run: {problem}"
            print(f"[{number}/{len(jobs)}] {job.suite} {job.fault.name}: {text}", flush=True)
    docs.main()
    unlike = proofs.unlike(proof)
    print(proofs.tally(proof), *unlike, sep="\n")
    return int(bool(unlike or failures))


if __name__ == "__main__":
    sys.exit(main())
