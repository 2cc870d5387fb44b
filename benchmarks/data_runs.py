"""One contestant's run in a process of its own: its wall time, its CPU seconds, the peak memory of its process tree.

    python -m benchmarks.data_runs MODULE:FUNCTION FOLDER ARGUMENTS...     the process that `timed` starts

A contestant is a function of a scratch folder and of strings. It may return its own `seconds`.
"""

import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import ROOT
from benchmarks.processes import PeakMemory, children_cpu_s, of_module
from benchmarks.results import figure

WORKERS = 2


@dataclass(frozen=True)
class Run:
    """A finished run: seconds of the work (not of the start of Python), CPU, peak memory, what it returned."""

    seconds: float
    cpu_s: float
    peak_gb: float
    result: Any


def timed(contestant: str, *arguments: object) -> Run:
    """Run `contestant` (`module:function`) and measure it.

    Raises:
        RuntimeError: it failed.
    """
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory(prefix="greenhouse-bench-") as folder:
        command = of_module("benchmarks.data_runs", contestant, folder, *arguments)
        with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
            memory = PeakMemory(process.pid)
            output = process.stdout.read() if process.stdout else ""
        memory.join()
    if process.returncode:
        raise RuntimeError(f"{contestant} failed; see above")
    last = json.loads(output.strip().splitlines()[-1])
    return Run(last["seconds"], last["cpu_s"], memory.peak_bytes / 1e9, last["result"])


def times(runs: Sequence[Run]) -> dict:
    """Seconds of the work and peak memory of repeated runs."""
    return {"seconds": figure([run.seconds for run in runs]), "peak_gb": figure([run.peak_gb for run in runs])}


def main(contestant: str, folder: str, *arguments: str) -> None:
    """Call a contestant and print its seconds and its result as JSON."""
    module, function = contestant.split(":")
    started = time.perf_counter()  # imports count, for all contestants alike: peers are imported by their functions
    result = getattr(importlib.import_module(module), function)(Path(folder), *arguments)
    measured = isinstance(result, dict) and "seconds" in result
    taken_s = result["seconds"] if measured else time.perf_counter() - started
    print(json.dumps({"seconds": taken_s, "cpu_s": time.process_time() + children_cpu_s(), "result": result}))


if __name__ == "__main__":
    main(*sys.argv[1:])
