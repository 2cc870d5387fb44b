"""How a benchmark's figures are kept: benchmarks/results/<name>.json, committed with the code it measured."""

import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Literal

import psutil

from components.files import rounded, write_json

ROOT = Path(__file__).resolve().parents[1]


def figure(values: Sequence[float]) -> dict[str, float]:
    """n, median, min and max of repeated measurements."""
    return {"n": len(values), "median": median(values), "min": min(values), "max": max(values)}


def goal(name: str, value: float, target: float, better: Literal["higher", "lower"]) -> dict:
    """A goal and whether it is met; the value is what was measured, met or not."""
    met = value >= target if better == "higher" else value <= target
    return {"name": name, "value": value, "goal": target, "better": better, "met": met}


def machine() -> str:
    """Processor, cores, memory, Python: what a figure needs beside it to mean something."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0] if names else model
    memory_gb = psutil.virtual_memory().total / 1e9
    system = f"Python {platform.python_version()}, {platform.system()}"
    return f"{model}, {psutil.cpu_count()} threads, {memory_gb:.0f} GB, {system}"


def write(name: str, results: dict, goals: list[dict]) -> Path:
    """Write the file, print the goals."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    path = ROOT / "benchmarks" / "results" / f"{name}.json"
    date = datetime.now(UTC).date().isoformat()
    write_json(
        path, rounded({"machine": machine(), "commit": commit, "date": date, "results": results, "goals": goals})
    )
    for row in goals:
        sign = "met" if row["met"] else "NOT met"
        limit = ">=" if row["better"] == "higher" else "<="
        print(f"{row['name']:>30}  {row['value']:10.4g}  goal {limit} {row['goal']:g}: {sign}")
    print(f"written: {path.relative_to(ROOT)}")
    return path
