"""Measure the filter on text of other people's packages: `make bench NAME=foreign`, `--only lost`.

A part is a module of this folder with `measure()`, which returns results and goals; all write
benchmarks/results/foreign.json. A part that is measured again alone leaves the others' figures as they are.
"""

import argparse
import importlib

from benchmarks.results import write

PARTS = ("labels", "lost", "junk", "personal", "late", "peers")


def main() -> None:
    """Measure the parts that are named, or all."""
    parser = argparse.ArgumentParser("python -m benchmarks.foreign", description=__doc__)
    parser.add_argument("--only", default=",".join(PARTS), help="parts, separated by commas (default: %(default)s)")
    for part in parser.parse_args().only.split(","):
        write("foreign", *importlib.import_module(f"benchmarks.foreign.{part}").measure())


if __name__ == "__main__":
    main()
