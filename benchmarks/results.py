"""How a benchmark's figures are kept: benchmarks/results/<name>.json, committed with the code it measured."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Literal

from benchmarks import ROOT, stamp
from components.core.files import read_json, rounded, write_json


def figure(values: Sequence[float]) -> dict[str, float]:
    """n, median, min and max of repeated measurements."""
    return {"n": len(values), "median": median(values), "min": min(values), "max": max(values)}


def goal(name: str, value: float, target: float, better: Literal["higher", "lower"], says: str = "") -> dict:
    """A goal and whether it is met; the value is what was measured, met or not. `says` explains the name in tables."""
    met = value >= target if better == "higher" else value <= target
    row = {"name": name, "value": value, "goal": target, "better": better, "met": met}
    return row | ({"says": says} if says else {})


def merged(old: dict, results: dict, goals: list[dict], stamped: stamp.Stamp) -> dict:
    """The contents of a results file after a measurement: new figures in the place of old ones of the same name.

    Args:
        old: the contents before; {} if there are none.
        stamped: of the new figures. All others keep their own.
    """
    named = {row["name"]: row for row in old.get("goals", [])} | {row["name"]: row | stamped for row in goals}
    return {
        "results": old.get("results", {}) | results,
        "measured": old.get("measured", {}) | dict.fromkeys(results, stamped),
        "goals": list(named.values()),
    }


def write_rows(name: str, rows: Sequence[Mapping[str, object]]) -> None:
    """Write raw rows beside the results: benchmarks/results/<name>.csv."""
    with (ROOT / "benchmarks" / "results" / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def write(name: str, results: dict, goals: list[dict]) -> Path:
    """Merge new figures into the file, print their goals, write the page of results."""
    from benchmarks import tables  # the commands' help and all: no part of what the processes of a bench cost

    path = ROOT / "benchmarks" / "results" / f"{name}.json"
    old = read_json(path) if path.exists() else {}
    write_json(path, rounded(merged(old, results, goals, stamp.now())))
    for row in goals:
        sign = "met" if row["met"] else "NOT met"
        limit = ">=" if row["better"] == "higher" else "<="
        print(f"{row['name']:>30}  {row['value']:10.4g}  goal {limit} {row['goal']:g}: {sign}")
    print(f"written: {path.relative_to(ROOT)}")
    tables.main()
    return path
