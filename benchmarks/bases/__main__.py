"""Measure what bases, rows and readers promise: `make bench NAME=bases`, or `python -m benchmarks.bases --only tuned`.

Each part is a module of this package with `measure(place)`, which returns results, goals, and raw rows (or none) for
a csv beside the results. One that is measured again alone leaves the others' figures as they are.
"""

import argparse
import importlib
import tempfile
from pathlib import Path

from benchmarks.results import write, write_rows

PARTS = ("tuned", "exports", "memory", "rows_files", "recommendation", "few_labels", "surfaces", "clients",
         "speed")  # fmt: skip
"""Modules, in the order that they are measured in; timings last."""


def measured(part: str, place: Path) -> None:
    """Measure a part, and write its figures and raw rows."""
    results, goals, rows = importlib.import_module(f"benchmarks.bases.{part}").measure(place)
    if rows:
        write_rows(f"bases-{part}", rows)
    write("bases", results, goals)


def main() -> None:
    """Measure the parts that are named, or all."""
    parser = argparse.ArgumentParser("python -m benchmarks.bases", description=__doc__)
    parser.add_argument("--only", default=",".join(PARTS), help="parts, separated by commas (default: %(default)s)")
    parser.add_argument("--folder", help="where models are made and stay (default: a temporary one)")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="greenhouse-bases-") as temporary:
        for part in chosen.only.split(","):
            measured(part, Path(chosen.folder or temporary))


if __name__ == "__main__":
    main()
