"""An hour of `make up` with runs from the form, and what its servers hold: `make bench NAME=soak`, `--minutes 60`.

In a clone at the size of tests/small.yaml. One run after the other is triggered through Prefect's API as the form
does: by turns one that finds nothing to do, and one that overrides a number of steps and becomes an experiment. Between
runs the memory (PSS) of what `make up` started and that lives from the first reading to the last is read: the servers,
and the process that follows params.yaml. A run's own processes are gone by then.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.results import goal, write
from flows.system.prefect_server import free_port
from tests.flows.pipeline_clone import PipelineClone, make_clone

REST_S = 15.0
"""Seconds after a run before memory is read."""
FIRST_STEPS = 7
"""More than tests/small.yaml has, so that no override is what there is already."""
DONE = ("Completed", "Cached")
"""How a run ends that did its work, or found nothing to do."""
TRIGGER = """
import copy, json, sys, time
import flows
from prefect.client.orchestration import get_client
with get_client(sync_client=True) as client:
    form = client.read_deployment_by_name("pipeline/pipeline")
    values = copy.deepcopy(form.parameters)
    values["params"]["settings"] = {settings!r}
    run = client.create_flow_run_from_deployment(form.id, parameters=values)
    while not (state := client.read_flow_run(run.id).state).is_final():
        time.sleep(1)
print(json.dumps([state.name, state.message or ""]))
"""


def held(up: psutil.Process) -> dict[str, float]:
    """Megabytes of each process below `make up`, by pid and last words of its command."""
    found = {}
    for process in [up, *up.children(recursive=True)]:
        try:
            name = f"{process.pid} {' '.join(process.cmdline()[-2:])[-60:]}"
            found[name] = process.memory_full_info().pss / 1e6
        except psutil.Error:
            continue
    return found


def soaked(clone: PipelineClone, minutes: float) -> tuple[list[dict], list[dict[str, float]]]:
    """Runs with their states, and what the processes held before the first and after each."""
    ports: dict[str, Any] = {"PREFECT_PORT": str(free_port()), "MLFLOW_PORT": str(free_port())}
    process = clone.start("greenhouse", "up", **ports)
    runs, readings = list[dict](), list[dict[str, float]]()
    try:
        assert process.stdout
        said = next((line for line in process.stdout if line.startswith("Ctrl-C")), "")
        assert said, "make up did not start"
        up, until = psutil.Process(process.pid), time.monotonic() + minutes * 60
        time.sleep(REST_S)
        readings.append(held(up))
        while time.monotonic() < until:
            started, number = time.monotonic(), len(runs)
            settings = [f"finetune.classify.steps={FIRST_STEPS + number}"] if number % 2 else []
            state, message = json.loads(clone.run_code(TRIGGER.format(settings=settings)).splitlines()[-1])
            runs.append({"settings": settings, "state": state, "seconds": time.monotonic() - started})
            time.sleep(REST_S)
            readings.append(held(up))
            print(f"{number}: {state} {message[:80]}, {sum(readings[-1].values()):.0f} MB", flush=True)
    finally:
        process.terminate()
        process.wait(60)
    return runs, readings


def main() -> None:
    """Run, read, and write the results file."""
    parser = argparse.ArgumentParser("python -m benchmarks.soak", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60, help="how long (default: %(default)s)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="greenhouse-soak-") as folder:
        clone = make_clone(Path(folder))
        subprocess.run(
            [sys.executable, "-m", "flows.cli", "run"], cwd=clone.root, env=clone.environment(), check=True,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        runs, readings = soaked(clone, arguments.minutes)
    lasting = set.intersection(*map(set, readings))
    totals = [sum(row[name] for name in lasting) for row in readings]
    quarter = max(1, len(totals) // 4)
    ratio = float(np.mean(totals[-quarter:]) / np.mean(totals[quarter : 2 * quarter]))
    results = {
        "minutes": arguments.minutes, "runs": runs, "megabytes": totals,
        "by_process": {name: [round(row[name], 1) for row in readings] for name in sorted(lasting)},
    }  # fmt: skip
    completed = sum(run["state"] in DONE for run in runs) / len(runs)
    says = f"memory of the servers in the last quarter of {arguments.minutes:.0f} minutes over that in the second"
    goals = [
        goal("up_memory_growth", ratio, 1.1, "lower", says),
        goal("up_runs_completed", completed, 1.0, "higher", f"of {len(runs)} runs from the form"),
    ]
    if arguments.minutes < 60:
        print(results, *goals, sep="\n")
        return
    write("chaos", {"soak": results}, goals)


if __name__ == "__main__":
    main()
