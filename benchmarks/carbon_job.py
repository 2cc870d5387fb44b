"""One job under one tool, in a process of its own: `python -m benchmarks.carbon_job TOOL JOB FOLDER`.

TOOL is `greenhouse`, `codecarbon` or `carbontracker`. JOB:

    start      only start the tool
    idle       sleep 20 s: what the tool's own thread uses
    busy       keep one core busy for 8 s of CPU time
    children   the same CPU time in 16 processes of 0.5 s, four at a time
    killed     busy for ever, until killed from outside

Prints one line of JSON: milliseconds to import and to start, CPU-seconds of the work, and what the tool says.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CPU_S, CHILDREN, IDLE_S = 8.0, 16, 20.0
INTERVAL_S = 1.0
BURN = "import time\nwhile time.process_time() < {seconds}: pass"
COUNTRY = "FRA"


@contextlib.contextmanager
def greenhouse(folder: Path, figures: dict) -> Iterator[None]:
    from components.carbon.footprint.intensity import resolve
    from components.carbon.ledger.reader import Energy, read
    from components.params import Grid
    from greenhouse_record.metering.meter import Meter

    began = time.perf_counter()
    with Meter(folder / "ledger", INTERVAL_S, {"stage": "job"}):
        figures["start_ms"] = 1000 * (time.perf_counter() - began)
        yield
    ledger = read(folder / "ledger")
    figures |= {
        "kwh": ledger.energy.mid_kwh,
        "cpu_kwh": ledger.parts.get("cpu", Energy()).mid_kwh,
        "cpu_s": ledger.cpu_s,
    }
    figures["grams"] = resolve(Grid(zone=COUNTRY)).grams(ledger.hours).mid


@contextlib.contextmanager
def codecarbon(folder: Path, figures: dict) -> Iterator[None]:
    from codecarbon import OfflineEmissionsTracker

    began = time.perf_counter()
    tracker = OfflineEmissionsTracker(
        country_iso_code=COUNTRY, measure_power_secs=INTERVAL_S, tracking_mode="process", output_dir=str(folder),
        log_level="critical", allow_multiple_runs=True,
    )  # fmt: skip
    tracker.start()
    figures["start_ms"] = 1000 * (time.perf_counter() - began)
    yield
    grams = tracker.stop()
    data: Any = tracker.final_emissions_data
    figures |= {"kwh": data.energy_consumed, "cpu_kwh": data.cpu_energy, "grams": 1000 * (grams or 0.0)}


@contextlib.contextmanager
def carbontracker(folder: Path, figures: dict) -> Iterator[None]:
    from carbontracker import parser
    from carbontracker.tracker import CarbonTracker

    began = time.perf_counter()
    tracker = CarbonTracker(epochs=1, monitor_epochs=1, update_interval=INTERVAL_S, log_dir=str(folder), verbose=0)
    tracker.epoch_start()
    figures["start_ms"] = 1000 * (time.perf_counter() - began)
    yield
    tracker.epoch_end()
    tracker.stop()
    actual = parser.parse_all_logs(str(folder))[0]["actual"]
    figures |= {"kwh": actual["energy (kWh)"], "cpu_kwh": actual["energy (kWh)"], "grams": actual["co2eq (g)"]}


TOOLS = {"greenhouse": greenhouse, "codecarbon": codecarbon, "carbontracker": carbontracker}
MODULES = {"greenhouse": "greenhouse_record.metering.meter", "carbontracker": "carbontracker.tracker"}


def work(job: str) -> None:
    """The job itself."""
    if job == "idle":
        time.sleep(IDLE_S)
    elif job in ("busy", "killed"):
        began = time.process_time()
        while job == "killed" or time.process_time() - began < CPU_S:
            pass
    elif job == "children":
        command = [sys.executable, "-c", BURN.format(seconds=CPU_S / CHILDREN)]
        for _ in range(CHILDREN // 4):
            for child in [subprocess.Popen(command) for _ in range(4)]:
                child.wait()


def main(tool: str, job: str, folder: Path) -> None:
    figures: dict[str, float] = {}
    began = time.perf_counter()
    __import__(MODULES.get(tool, tool))
    figures["import_ms"] = 1000 * (time.perf_counter() - began)
    with TOOLS[tool](folder, figures):
        before = os.times()
        print("go", flush=True)
        work(job)
        after = os.times()
        figures["work_s"] = sum(after[:4]) - sum(before[:4])
    print(json.dumps(figures))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
