"""Simulate what the statistics promise: `make bench NAME=evidence`, or `python -m benchmarks.evidence --only gate`.

A group is a module of this folder with a function `measure(worlds)` that returns results, goals and perhaps raw rows;
`claims` holds sentences of the docs against raw rows;
`rows` and `chat` look at a finished demo, `known` at one of another commit, `preset` and `samples` at another checkout;
these are measured on request. All write benchmarks/results/evidence.json; a group that is measured again alone leaves
the others' figures as they are.
"""

import argparse
import importlib
from pathlib import Path

from benchmarks.results import write, write_rows
from benchmarks.tables import ROOT

GROUPS = ("intervals", "gate", "bias", "simulated", "compare", "claims")
OF_BASE = ("known", "preset", "samples")
WORLDS = 2000


def main() -> None:
    """Measure the groups that are named, or all."""
    parser = argparse.ArgumentParser("python -m benchmarks.evidence", description=__doc__)
    parser.add_argument("--only", default=",".join(GROUPS), help="groups, separated by commas (default: %(default)s)")
    parser.add_argument("--worlds", type=int, default=WORLDS, help="simulated worlds (default: %(default)s)")
    parser.add_argument("--base", type=Path, default=ROOT, help=f"finished run of {OF_BASE}")
    arguments = parser.parse_args()
    for group in arguments.only.split(","):
        module = importlib.import_module(f"benchmarks.evidence.{group}")
        results, goals, *raw = module.measure(arguments.base if group in OF_BASE else arguments.worlds)
        for table, rows in (raw[0] if raw else {}).items():
            write_rows(f"evidence-{table}", rows)
        write("evidence", results, goals)


if __name__ == "__main__":
    main()
