"""What Prefect, DVC, MLflow and the meter add to the work itself: `make bench NAME=overhead`.

In fresh clones of the committed code, at demo size: the flow (cold, then `RUNS` times with nothing to do), `dvc repro`.
Orchestration is wall time less the stage functions' own on the longest path of the graph; under `dvc repro`, which
runs one stage after another, that path is all of them. Peak memory is the largest sum of proportional set sizes of the
whole process tree, read every five seconds: a reading takes a tenth of a second of a core, and two a second made the
demo, which keeps both cores busy, a sixth longer.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.processes import PeakMemory
from benchmarks.proof.clone import Clone, cloned, kept_environment
from benchmarks.results import figure, goal, write
from components.core.files import read_json

RUNS = 3


def timed(command: list[str], clone: Clone) -> tuple[float, float]:
    """Wall seconds and peak gigabytes of `python -m command` in a clone."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", *command], cwd=clone.root, env=kept_environment(clone))
    memory = PeakMemory(process.pid, every_s=5.0)
    if process.wait():
        sys.exit(f"{command} failed in {clone.root}")
    return time.perf_counter() - started, memory.peak_bytes / 1e9


def function_seconds(root: Path) -> float:
    """Seconds of all stage functions of the one run in a checkout."""
    return sum(read_json(path)["function_s"] for path in (root / ".greenhouse/runs").glob("*/*/result.json"))


def main() -> None:
    """Measure, write benchmarks/results/overhead.json."""
    with tempfile.TemporaryDirectory(prefix="greenhouse-bench-") as temporary:
        flow = cloned(Path(temporary) / "flow")
        demo_s, demo_gb = timed(["flows.cli", "run"], flow)
        timings = read_json(next((flow.root / ".greenhouse/runs").glob("*/timings.json")))
        noop_s = [timed(["flows.cli", "run"], flow)[0] for _ in range(RUNS)]

        repro = cloned(Path(temporary) / "repro")
        repro_s, _ = timed(["dvc", "repro"], repro)
        repro_overhead_s = repro_s - function_seconds(repro.root)

    # From the command's start to its end, server start included, not only from the flow's.
    flow_overhead_s = timings["orchestration_s"] + demo_s - timings["wall_s"]
    results = {
        "demo_pipeline_s": figure([demo_s]),
        "demo_peak_gb": figure([demo_gb]),
        "noop_flow_s": figure(noop_s),
        "orchestration_flow_s": figure([flow_overhead_s]),
        "dvc_repro_s": figure([repro_s]),
        "orchestration_repro_s": figure([repro_overhead_s]),
        "stages": timings["stages"],
    }
    goals = [
        goal("noop_flow_s", figure(noop_s)["median"], 20, "lower", "the flow with nothing to do, seconds"),
        goal("orchestration_s", max(flow_overhead_s, repro_overhead_s), 45, "lower",
             "what Prefect, DVC, MLflow and the meter add, seconds (worse of flow and `dvc repro`)"),
        goal("demo_pipeline_s", demo_s, 300, "lower", "the demo, from nothing, seconds"),
        goal("demo_peak_gb", demo_gb, 4, "lower", "its peak memory, GB"),
    ]  # fmt: skip
    write("overhead", results, goals)


if __name__ == "__main__":
    main()
