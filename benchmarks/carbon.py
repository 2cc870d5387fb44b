"""The ledger beside codecarbon and carbontracker, on the same jobs in one run: `make bench NAME=carbon`.

    python -m benchmarks.carbon                     the meter, the budget and the peers: 15 minutes
    python -m benchmarks.carbon --only forecast     forecasts written before, and what came of them: 23 minutes

Each part writes its figures and goals into benchmarks/results/carbon.json and leaves the other's. Tools take turns, job
by job. Run it on a quiet machine: `attributed_fraction` is the one busy stage's share of all that the machine did.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.carbon_job import CPU_S, IDLE_S, INTERVAL_S
from benchmarks.results import ROOT, figure, goal, write
from components.carbon.ledger.reader import read
from components.carbon.planning.budget import budget_check
from components.core.errors import Stopped
from components.params import Budget, Runtime
from greenhouse_record.metering.meter import Meter

PEERS = ("greenhouse", "codecarbon", "carbontracker")
REPEATS = 5
"""Of every figure."""
KILL_AFTER_S = 6.0
TOGETHER = ("busy", "children")
"""Jobs that run at once, in one ledger, to be added up."""


def run(tool: str, job: str, folder: Path) -> dict[str, float]:
    """Figures that a job under a tool prints, run in a fresh process."""
    folder.mkdir(parents=True)
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.carbon_job", tool, job, str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{tool} {job}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def cpu_of(pid: int) -> float:
    """CPU-seconds of a running process."""
    import psutil

    return sum(psutil.Process(pid).cpu_times()[:2])


def cpu_s_lost_on_kill(tool: str, folder: Path) -> float:
    """Seconds of CPU time that are in no file after kill -9; for a tool that left no figure, all of them."""
    folder.mkdir(parents=True)
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.carbon_job", tool, "killed", str(folder)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout
    while process.stdout.readline().strip() != "go":
        pass
    before = cpu_of(process.pid)
    time.sleep(KILL_AFTER_S)
    used = cpu_of(process.pid) - before
    process.kill()
    process.wait()
    kept = read(folder / "ledger").cpu_s if tool == "greenhouse" else used if _figures(folder) else 0.0
    return max(0.0, used - kept)


def _figures(folder: Path) -> bool:
    """Whether a peer left a total of energy: codecarbon's CSV, carbontracker's line of what was used."""
    texts = [path.read_text() for path in folder.rglob("*") if path.suffix in (".csv", ".log")]
    return any("energy_consumed" in text or "Actual consumption" in text for text in texts)


def compare_tools(folder: Path) -> dict[str, dict]:
    """Figures of every tool on every job, `REPEATS` times."""
    rounds: dict[str, list[dict]] = {tool: [] for tool in PEERS}
    for number in range(REPEATS):
        for tool in PEERS:
            rounds[tool].append(_round(tool, folder / tool / f"{number}"))
            print(tool, json.dumps(rounds[tool][-1]), flush=True)
    return {tool: _figures_of(found) for tool, found in rounds.items()}


def _round(tool: str, folder: Path) -> dict[str, Any]:
    """Figures of one tool on each job, run once."""
    jobs = {job: run(tool, job, folder / job) for job in ("start", "busy", "children", "idle")}
    return jobs | {"lost_on_kill_s": cpu_s_lost_on_kill(tool, folder / "killed")}


def _figures_of(rounds: list[dict]) -> dict[str, dict[str, float]]:
    """n, median, min and max of each figure of a tool."""
    # The same CPU time, in this process and in its children, must be the same energy.
    per_s = figure([one["busy"]["cpu_kwh"] / one["busy"]["work_s"] for one in rounds])["median"]
    found = {
        "import_ms": [one["start"]["import_ms"] for one in rounds],
        "start_ms": [one["start"]["start_ms"] for one in rounds],
        "idle_core_fraction": [one["idle"]["work_s"] / IDLE_S for one in rounds],
        "children_missed": [1 - one["children"]["cpu_kwh"] / one["children"]["work_s"] / per_s for one in rounds],
        "lost_on_kill_s": [one["lost_on_kill_s"] for one in rounds],
        "grams": [one["busy"]["grams"] for one in rounds],
        "kwh": [one["busy"]["kwh"] for one in rounds],
    }
    if "cpu_s" in rounds[0]["children"]:
        found["children_error"] = [abs(one["children"]["cpu_s"] / one["children"]["work_s"] - 1) for one in rounds]
    return {name: figure(values) for name, values in found.items()}


def attributed(folder: Path) -> float:
    """One busy stage's share of the machine's busy time."""
    run("greenhouse", "busy", folder)
    alone = read(folder / "ledger")
    return sum(span.cpu_us for span in alone) / alone.host_busy_us


def together(folder: Path) -> None:
    """Run two jobs at once, in one ledger."""
    jobs = [[sys.executable, "-m", "benchmarks.carbon_job", "greenhouse", job, str(folder)] for job in TOGETHER]
    for process in [subprocess.Popen(job, cwd=ROOT, stdout=subprocess.DEVNULL) for job in jobs]:
        process.wait()


def overshoot(folder: Path, step_s: float = 0.05) -> float:
    """Steps by which a budget was passed: of energy used beyond it, in units of a step's."""
    runtime = Runtime(budget=Budget(kwh=5.0 / 3.6e6))  # joules
    with Meter(folder, INTERVAL_S, {"stage": "budget", "run": "r"}) as meter:
        check, steps, stopped = budget_check(runtime, meter, folder, "r"), 0, False
        while not stopped:
            try:
                check()
            except Stopped:
                stopped = True
                continue
            began = time.process_time()
            while time.process_time() - began < step_s:
                pass
            steps += 1
        used = meter.totals_now().mid_kwh
    return max(0.0, used - runtime.budget.kwh) / (used / steps)


def meter_part() -> tuple[dict, list[dict]]:
    """Figures and goals of everything but forecasts."""
    with tempfile.TemporaryDirectory(prefix="greenhouse-bench-") as temporary:
        folder = Path(temporary)
        tools = compare_tools(folder / "tools")
        shares = [attributed(folder / "alone" / f"{number}") for number in range(REPEATS)]
        for number in range(REPEATS):
            together(folder / "together" / f"{number}")
        over = [overshoot(folder / f"budget-{number}") for number in range(REPEATS)]
        differences = [read(path).difference_uj() for path in sorted(folder.rglob("ledger"))]
    kinds = {tool: row["grams"]["median"] for tool, row in tools.items()}
    results = {
        "tools": tools,
        "job": f"{CPU_S:g} CPU-seconds of one busy core; France, yearly mean",
        "grams_largest_over_smallest": max(kinds.values()) / min(kinds.values()),
        "attributed_fraction": figure(shares),
        "reconcile_error_uj": figure(differences),
        "budget_overshoot_steps": figure(over),
    }
    return results, meter_goals(tools["greenhouse"], results)


def meter_goals(ours: dict[str, dict[str, float]], results: dict) -> list[dict]:
    """Medians for what a quiet machine shows, the worst for what must never happen."""
    idle, lost = ours["idle_core_fraction"]["median"], ours["lost_on_kill_s"]["max"] / INTERVAL_S
    children, share = ours["children_error"]["median"], results["attributed_fraction"]["median"]
    off, over = results["reconcile_error_uj"], results["budget_overshoot_steps"]["max"]
    worst = f"the worst of {REPEATS}"
    return [
        goal("overhead_core_fraction", idle, 0.01, "lower", "CPU of the meter, share of a core"),
        goal("start_ms", ours["start_ms"]["median"], 50, "lower", "until it meters, milliseconds"),
        goal("children_error", children, 0.05, "lower", "of 16 children of 0.5 s, CPU time missed"),
        goal("intervals_lost_on_kill", lost, 1, "lower", f"by kill -9, {worst}"),
        goal(
            "reconcile_error_uj", off["max"], 0, "lower", f"host less all spans, microjoules, the worst of {off['n']}"
        ),
        goal("attributed_fraction", share, 0.95, "higher", "of the host's busy time, to the one busy stage"),
        goal("budget_overshoot_steps", over, 1, "lower", f"beyond the budget, {worst}"),
    ]


def main() -> None:
    """Measure a part, write benchmarks/results/carbon.json."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.carbon", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip # noqa: E501
    parser.add_argument("--only", choices=("meter", "forecast"), default="meter", help="which part to run")
    only = parser.parse_args().only
    if only == "forecast":
        from benchmarks.carbon_forecast import forecast_part as part
    else:
        part = meter_part
    write("carbon", *part())


if __name__ == "__main__":
    main()
