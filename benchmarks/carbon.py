"""Forecasts of pretraining, each written before its run: how far off, and how often within their interval.

    make bench NAME=carbon, or python -m benchmarks.carbon [--runs 10] [--seconds 126]

Runs of at least two minutes, three sizes in turn, Shakespeare's works as text. Each is forecast as
`greenhouse plan` does it: from a calibration of 20 steps, corrected by the runs before. Nothing else may run meanwhile.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path

from benchmarks import train_corpus
from benchmarks.processes import of_module, output
from benchmarks.results import figure, goal, write
from components.carbon.ledger.reader import history
from components.carbon.planning.forecast import calibrated, checked
from components.carbon.planning.step_cost_table import Rates
from components.carbon.spans import Bounds
from components.params import ModelShape, Numerics, Pretrain

RUNS, RUN_S = 10, 126.0
SIZES = ((2, 192), (3, 256), (4, 256))
"""Depth and width."""
NUMERICS = Numerics(threads=1)
STAGE = "pretrain@causal"
ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1"}


def params_of(size: tuple[int, int], steps: int = 100) -> Pretrain:
    """Pretraining of a size, with four evaluations and checkpoints on the way."""
    depth, width = size
    often = max(1, steps // 4)
    model = ModelShape(size=depth, width=width)
    return Pretrain(model=model, steps=steps, batch=8, context=256, eval_every=often, checkpoint_every=often)


def calibration(size: tuple[int, int], ledger: Path) -> Rates:
    """Rates of a size, from twenty steps in a process of its own."""
    arguments = {
        "objective": "causal", "params": params_of(size).model_dump(mode="json"),
        "numerics": NUMERICS.model_dump(mode="json"), "vocab_size": train_corpus.VOCABULARY, "ledger": str(ledger),
        "runtime": {"meter_interval_s": 1.0}, "run": "calibrate",
    }  # fmt: skip
    said = output(of_module("components.studies.step_cost", json.dumps(arguments)), env=ONE_THREAD)
    return Rates(**json.loads(said.splitlines()[-1]))


def forecast_and_run(number: int, rates: Rates, size: tuple[int, int], folder: Path, run_s: float) -> None:
    """Forecast a run of as many steps as the calibration says fit, then run it; both are in the ledger of `folder`."""
    params = params_of(size)
    params = params_of(size, rates.steps_in(params, run_s))
    forecast = calibrated(history(folder / "ledger"), STAGE, rates.seconds(params), rates.kwh(params), "calibration")
    arguments = {"params": params.model_dump(mode="json"), "forecast": forecast.line(), "number": number}
    output(of_module("benchmarks.carbon", "--carry-out", json.dumps(arguments), folder), env=ONE_THREAD)


def holds(forecast: Bounds, value: float) -> bool:
    """Whether an interval holds what the run then took."""
    return forecast.low <= value <= forecast.high


def measure(runs: int, run_s: float) -> tuple[dict, list[dict]]:
    """Figures and goals."""
    with tempfile.TemporaryDirectory(prefix="greenhouse-bench-") as temporary:
        folder = Path(temporary)
        train_corpus.write(folder / "tokens")
        rates = {size: calibration(size, folder / "ledger") for size in SIZES[:runs]}
        for number in range(runs):
            size = SIZES[number % len(SIZES)]
            forecast_and_run(number, rates[size], size, folder, run_s)
            done = checked(history(folder / "ledger"))[-1]
            print(f"run {number}: size {size}, forecast {done.forecast.seconds}, took {done.seconds:.1f} s", flush=True)
        found = checked(history(folder / "ledger"))
    errors = [abs(error) / 100 for one in found for error in one.errors_pct]
    inside = [holds(one.forecast.seconds, one.seconds) and holds(one.forecast.kwh, one.kwh) for one in found]
    narrow = [one for one in found if one.forecast.seconds.high <= 1.2 * one.forecast.seconds.mid]
    results = {
        "forecasts": [
            {
                "seconds": vars(one.forecast.seconds), "took_s": one.seconds, "kwh": vars(one.forecast.kwh),
                "took_kwh": one.kwh, "errors_pct": one.errors_pct,
            } for one in found
        ],
        "forecast_errors": figure(errors),
        "forecast_intervals_within_20_percent": len(narrow) / len(found),
    }  # fmt: skip
    return results, [
        goal("forecast_error", figure(errors)["median"], 0.10, "lower",
             f"median of seconds and kWh, {len(found)} runs"),
        goal("forecast_interval_coverage", sum(inside) / len(inside), 0.8, "higher", "runs within their 80 % interval"),
    ]  # fmt: skip


def carry_out(arguments: dict, folder: Path) -> None:
    """The process of a run: forecast into the ledger, then train."""
    from greenhouse_record.metering.meter import Meter

    run = f"run-{arguments['number']}"
    labels = {"stage": STAGE, "run": run, "fingerprint": run}
    with Meter(folder / "ledger", 1.0, labels) as meter:
        meter.record("forecast", **arguments["forecast"])
        from components.stages.pretrain.stage import pretrain

        place = folder / run
        params = Pretrain(**arguments["params"])
        pretrain(objective="causal", tokens=folder / "tokens", params=params, numerics=NUMERICS, out=place / "out",
                 reports=place / "reports", work=place / "work")  # fmt: skip


def main() -> None:
    """Measure, write benchmarks/results/carbon.json; a trial of fewer or shorter runs is printed."""
    parser = argparse.ArgumentParser("python -m benchmarks.carbon", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--seconds", type=float, default=RUN_S, help="a run is planned to take (default: %(default)s)")
    parser.add_argument("--carry-out", nargs=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.carry_out:
        return carry_out(json.loads(chosen.carry_out[0]), Path(chosen.carry_out[1]))
    found = measure(chosen.runs, chosen.seconds)
    if (chosen.runs, chosen.seconds) == (RUNS, RUN_S):
        write("carbon", *found)
    else:
        print(*found, sep="\n")


if __name__ == "__main__":
    main()
