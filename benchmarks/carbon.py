"""The ledger beside codecarbon and carbontracker, on the same jobs in one run: `make bench-carbon`.

    python -m benchmarks.carbon                     the meter, the budget and the peers: 6 minutes
    python -m benchmarks.carbon --only forecast     forecasts written before, and what came of them: 23 minutes

Each part writes its figures and goals into benchmarks/results/carbon.json and leaves the other's. Run it on a quiet
machine: `attributed_fraction` is the one busy stage's share of all that the machine did.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.carbon_job import CPU_S, IDLE_S, INTERVAL_S
from benchmarks.results import ROOT, figure, goal, write
from components.carbon.budget import guard
from components.carbon.ledger import read
from components.carbon.meter import Meter
from components.errors import Stopped
from components.files import read_json
from components.params import Budget, Runtime

PEERS = ("greenhouse", "codecarbon", "carbontracker")
STARTS, REPEATS = 5, 3
KILL_AFTER_S = 6.0
TOGETHER = ("busy", "children")
"""Jobs that run at once, in one ledger, to be added up."""


def run(tool: str, job: str, folder: Path) -> dict[str, float]:
    """A job under a tool in a fresh process; what it prints."""
    folder.mkdir(parents=True)
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.carbon_job", tool, job, str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{tool} {job}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def cpu_of(pid: int) -> float:
    """CPU-seconds of a process that lives."""
    import psutil

    return sum(psutil.Process(pid).cpu_times()[:2])


def kept_of_killed(tool: str, folder: Path) -> float:
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


def beside(folder: Path) -> dict[str, dict]:
    """Every tool on every job."""
    found: dict[str, dict] = {}
    for tool in PEERS:
        place = folder / tool
        starts = [run(tool, "start", place / f"start-{n}") for n in range(STARTS)]
        busy = [run(tool, "busy", place / f"busy-{n}") for n in range(REPEATS)]
        children = run(tool, "children", place / "children")
        idle = run(tool, "idle", place / "idle")
        lost_s = kept_of_killed(tool, place / "killed")
        # The same CPU time, in this process and in its children, must be the same energy.
        per_s = figure([one["cpu_kwh"] / one["work_s"] for one in busy])["median"]
        found[tool] = {
            "import_ms": figure([one["import_ms"] for one in starts]),
            "start_ms": figure([one["start_ms"] for one in starts]),
            "idle_core_fraction": idle["work_s"] / IDLE_S,
            "children_missed": 1 - children["cpu_kwh"] / children["work_s"] / per_s,
            "lost_on_kill_s": lost_s,
            "grams": figure([one["grams"] for one in busy]),
            "kwh": figure([one["kwh"] for one in busy]),
        }
        if tool == "greenhouse":
            found[tool]["children_error"] = abs(children["cpu_s"] / children["work_s"] - 1)
        print(tool, json.dumps(found[tool]), flush=True)
    return found


def attributed_and_reconciled(folder: Path) -> tuple[float, int]:
    """One busy stage's share of the machine's busy time, and the largest difference of spans and host over all jobs."""
    run("greenhouse", "busy", folder / "alone")
    alone = read(folder / "alone" / "ledger")
    both = [[sys.executable, "-m", "benchmarks.carbon_job", "greenhouse", job, str(folder)] for job in TOGETHER]
    for process in [subprocess.Popen(job, cwd=ROOT, stdout=subprocess.DEVNULL) for job in both]:
        process.wait()
    difference = max(read(path).difference_uj() for path in folder.rglob("ledger"))
    return sum(span.cpu_us for span in alone) / alone.host_busy_us, difference


def overshoot(folder: Path, step_s: float = 0.05) -> float:
    """Steps by which a budget was passed: of energy used beyond it, in units of a step's."""
    runtime = Runtime(budget=Budget(kwh=5.0 / 3.6e6))  # joules
    with Meter(folder, INTERVAL_S, {"stage": "budget", "run": "r"}) as meter:
        check, steps, stopped = guard(runtime, meter, folder, "r"), 0, False
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
        tools = beside(folder / "tools")
        attributed, difference = attributed_and_reconciled(folder / "tools" / "greenhouse" / "more")
        over = [overshoot(folder / f"budget-{number}") for number in range(5)]
    ours = tools["greenhouse"]
    kinds = {tool: row["grams"]["median"] for tool, row in tools.items()}
    results = {
        "tools": tools,
        "job": f"{CPU_S:g} CPU-seconds of one busy core; France, yearly mean",
        "grams_largest_over_smallest": max(kinds.values()) / min(kinds.values()),
        "budget_overshoot_steps": figure(over),
    }
    return results, [
        goal("overhead_core_fraction", ours["idle_core_fraction"], 0.01, "lower", "CPU of the meter, share of a core"),
        goal("start_ms", ours["start_ms"]["median"], 50, "lower", "until it meters, milliseconds"),
        goal("children_error", ours["children_error"], 0.05, "lower", "of 16 children of 0.5 s, CPU time missed"),
        goal("intervals_lost_on_kill", ours["lost_on_kill_s"] / INTERVAL_S, 1, "lower", "by kill -9"),
        goal("reconcile_error_uj", difference, 0, "lower", "host less spans and unattributed, microjoules"),
        goal("attributed_fraction", attributed, 0.95, "higher", "of the host's busy time, to the one busy stage"),
        goal("budget_overshoot_steps", max(over), 1, "lower", "beyond the budget, the worst of five"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.carbon", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip # noqa: E501
    parser.add_argument("--only", choices=("meter", "forecast"), default="meter", help="which part to run")
    only = parser.parse_args().only
    if only == "forecast":
        from benchmarks.carbon_forecast import forecast_part as part
    else:
        part = meter_part
    path = ROOT / "benchmarks" / "results" / "carbon.json"
    before = read_json(path) if path.exists() else {"results": {}, "goals": []}
    results, goals = part()
    new = {row["name"] for row in goals}
    write("carbon", before["results"] | results, [row for row in before["goals"] if row["name"] not in new] + goals)


if __name__ == "__main__":
    main()
