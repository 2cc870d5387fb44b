"""Simulate what the statistics promise: `make bench NAME=evidence`, or `python -m benchmarks.evidence --only gate`.

A group is a module of this folder with a function `measure(worlds)` that returns results and goals; `rows` counts real
runs and is measured on request. All write benchmarks/results/evidence.json; a group that is measured again alone leaves
the others' figures as they are.
"""

import argparse
import importlib

from benchmarks.results import write

GROUPS = ("intervals", "gate", "bias")
WORLDS = 2000


def main() -> None:
    """Measure the groups that are named, or all."""
    parser = argparse.ArgumentParser("python -m benchmarks.evidence", description=__doc__)
    parser.add_argument("--only", default=",".join(GROUPS), help="groups, separated by commas (default: %(default)s)")
    parser.add_argument("--worlds", type=int, default=WORLDS, help="simulated worlds (default: %(default)s)")
    arguments = parser.parse_args()
    for group in arguments.only.split(","):
        write("evidence", *importlib.import_module(f"benchmarks.evidence.{group}").measure(arguments.worlds))


if __name__ == "__main__":
    main()
