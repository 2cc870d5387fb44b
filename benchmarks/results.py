"""How a benchmark's figures are kept: benchmarks/results/<name>.json, committed with the code it measured."""

import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Literal

import psutil

from benchmarks import tables
from benchmarks.tables import ROOT
from components.carbon.counters import cpu_model
from components.files import rounded, write_json


def figure(values: Sequence[float]) -> dict[str, float]:
    """n, median, min and max of repeated measurements."""
    return {"n": len(values), "median": median(values), "min": min(values), "max": max(values)}


def goal(name: str, value: float, target: float, better: Literal["higher", "lower"], says: str = "") -> dict:
    """A goal and whether it is met; the value is what was measured, met or not. `says` explains the name in tables."""
    met = value >= target if better == "higher" else value <= target
    row = {"name": name, "value": value, "goal": target, "better": better, "met": met}
    return row | ({"says": says} if says else {})


def machine() -> str:
    """Processor, cores, memory, Python: what a figure needs beside it to mean something."""
    memory_gb = psutil.virtual_memory().total / 1e9
    system = f"Python {platform.python_version()}, {platform.system()}"
    return f"{cpu_model()}, {psutil.cpu_count()} threads, {memory_gb:.0f} GB, {system}"


def commit() -> str:
    """Of the code that is measured."""
    return subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()


def today() -> str:
    """The day in UTC."""
    return datetime.now(UTC).date().isoformat()


def write(name: str, results: dict, goals: list[dict]) -> Path:
    """Write the file, print the goals, fill the tables of the docs."""
    path = ROOT / "benchmarks" / "results" / f"{name}.json"
    facts = {"machine": machine(), "commit": commit(), "date": today()}
    write_json(path, rounded(facts | {"results": results, "goals": goals}))
    for row in goals:
        sign = "met" if row["met"] else "NOT met"
        limit = ">=" if row["better"] == "higher" else "<="
        print(f"{row['name']:>30}  {row['value']:10.4g}  goal {limit} {row['goal']:g}: {sign}")
    print(f"written: {path.relative_to(ROOT)}")
    tables.main()
    return path
