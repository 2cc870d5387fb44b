"""Training beside LitGPT and nanochat, at equal time: `make bench NAME=train`.

    python -m benchmarks.train [--seeds 3] [--seconds 60 150] [--steps 75] [--nanochat CHECKOUT] [--trial]
    python -m benchmarks.train --scaling      only put the errors of a later `greenhouse study scaling` into the results
    python -m benchmarks.train --second-seed  only repeat our runs with another seed, beside the rows there are

Every contestant: `--steps` steps (equal tokens; also tells how fast it is), then as many as fit each time limit,
compile included. Further seeds repeat the longest limit alone. Ours also runs at fractions of the limits, so that the
time in which it reaches a peer's loss can be read off: a schedule ends with its run, so a shorter time is another run.
All of these have two seeds. nanochat computes in bfloat16 or float32, whichever is faster here; its own loss after 344
steps is to be reached too.
Each contestant's rate is the best of a grid that is widened until the best lies inside it, by the loss on other windows
than those that are reported. A benchmark that was ended goes on where it was. Scaling errors are those of the last
`greenhouse study scaling`.
"""

import argparse
import csv
import math
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.results import ROOT, figure, goal, write, write_rows
from benchmarks.stamp import commit
from benchmarks.train_runs import NANOCHAT, PEERS, THREADS, prepare, run, steps_for
from components.core.files import read_json, rounded

FRACTIONS = (0.1, 0.2, 1 / 3)
"""Of the longest limit: further runs of ours. The last asks what a goal does: a peer's loss in a third of its time."""
FIGURES = ("bits_per_byte", "seconds", "tokens", "tokens_per_s", "peak_mb", "compile_s")
WHOLE = ("seed", "steps")
OWN_STEPS = "344 steps"
GRIDS = {
    "litgpt": (35, (0.001, 0.002, 0.004)), "ours": (90, (0.01, 0.02, 0.04)), "nanochat": (90, (0.007, 0.014, 0.028)),
}  # fmt: skip
"""Steps and first rates tried: nanochat's own rule would give .0018 for batches as small as these."""
SECOND = 2
"""Seed of our runs besides 1."""
RESULTS = ROOT / "benchmarks" / "results" / "train.json"
SCALING = ROOT / "reports" / "scaling" / "scaling.json"
SCALING_GOALS = {
    "scaling_error_3x": (0.01, "of the loss predicted for 3 times the largest fitted compute, mean of three seeds"),
    "scaling_error_10x": (0.02, "of the loss predicted for 10 times the largest fitted compute, mean of three seeds"),
    "scaling_error_vs_power_law": (1.0, "error of the law over that of a power law with a floor, means of three seeds"),
}

Runs = dict[str, list[dict[str, Any]]]
"""Label (`60 s`, `equal tokens`) to the runs of a contestant, one per seed."""


def tuned(name: str) -> dict[float, float]:
    """Learning rate -> loss of a contestant's grid, whose best is neither the least nor the largest."""
    steps, first = GRIDS[name]
    tried = {rate: run(name, steps, rate, tuning=True)["bits_per_byte"] for rate in first}
    while (best := min(tried, key=lambda rate: tried[rate])) in (min(tried), max(tried)):
        further = best * 2 if best == max(tried) else best / 2
        tried[further] = run(name, steps, further, tuning=True)["bits_per_byte"]
    return dict(sorted(tried.items()))


def contest(rate: dict[str, float], seeds: int, seconds: list[float], steps: int) -> dict[str, Runs]:
    """Runs of the contestants at their rates. The longest limit comes last for each, so that all are equally warm."""
    names, found = list(rate), {name: {} for name in rate}  # type: list[str], dict[str, Runs]
    probes: dict[str, dict[str, Any]] = {}
    dtype = dict.fromkeys(names, "bfloat16")
    for name in names:
        probes[name] = run(name, steps, rate[name])
        if name == "nanochat":
            both = {one: run(name, steps, rate[name], dtype=one) for one in ("bfloat16", "float32")}
            slower, dtype[name] = sorted(both, key=lambda one: both[one]["tokens_per_s"])
            probes[name], found[name][f"equal tokens, {slower}"] = both[dtype[name]], [both[slower]]
            found[name][OWN_STEPS] = [run(name, 344, rate[name], seed, dtype[name]) for seed in (1, 2)]
        found[name]["equal tokens"] = [probes[name]]
        limits = sorted(seconds) if name != "ours" else sorted({*seconds, *(f * max(seconds) for f in FRACTIONS)})
        for limit in limits:
            found[name][f"{limit:g} s"] = [run(name, steps_for(limit, probes[name]), rate[name], 1, dtype[name])]
    with_second_seed(found["ours"])
    for seed in range(2, seeds + 1):
        for name in names:
            longest = found[name][f"{max(seconds):g} s"]
            if all(row["seed"] != seed for row in longest):
                longest.append(run(name, longest[0]["steps"], rate[name], seed, dtype[name]))
    return found


def with_second_seed(ours: Runs) -> None:
    """Repeat our runs of a time limit with another seed: as many steps, at the same rate."""
    for label in sorted(ours, key=lambda label: ours[label][0]["steps"]):
        first = ours[label][0]
        if label != "equal tokens":
            ours[label] = [first, run("ours", first["steps"], first["rate"], SECOND), *ours[label][1:]]


def time_to(loss: float, ours: Runs, seed: int = 1) -> float:
    """Seconds in which ours reaches a loss: log-linear between its runs of different length, at least the shortest."""
    rows = [row for label, runs in ours.items() if label != "equal tokens" for row in runs if row["seed"] == seed]
    points = sorted((row["seconds"], row["bits_per_byte"]) for row in rows)
    if points[0][1] <= loss:
        return points[0][0]
    for (before_s, before), (after_s, after) in pairwise(points):
        if after <= loss:
            share = (before - loss) / (before - after)
            return math.exp(math.log(before_s) + share * math.log(after_s / before_s))
    return math.inf


def last(runs: Runs, longest: str, name: str) -> float:
    """Median over the seeds of a figure of the longest runs."""
    return median(row[name] for row in runs[longest])


def goals(found: dict[str, Runs], longest: str) -> list[dict]:
    """The goals, with their values."""
    value = {name: {key: last(runs, longest, key) for key in FIGURES} for name, runs in found.items()}
    peers = [name for name in PEERS if name in found]
    fastest = max(value[name]["tokens_per_s"] for name in peers)
    best = min(peers, key=lambda name: value[name]["bits_per_byte"])
    seconds = time_to(value[best]["bits_per_byte"], found["ours"])
    return [
        *goals_of_nanochat(found),
        goal("tokens_per_s_vs_best_peer", value["ours"]["tokens_per_s"] / fastest, 1.4, "higher",
             "tokens per second, times the faster peer's"),
        goal("time_to_best_peer_loss", value[best]["seconds"] / seconds, 3, "higher",
             "until the better peer's loss after 150 s, times as fast"),
    ]  # fmt: skip


def goals_of_nanochat(found: dict[str, Runs]) -> list[dict]:
    """The goal about nanochat's own loss, by the worst pair of its seeds and ours; none where it did not run."""
    theirs, seeds = found.get("nanochat", {}).get(OWN_STEPS, []), (1, SECOND)
    times = [row["seconds"] / time_to(row["bits_per_byte"], found["ours"], seed) for row in theirs for seed in seeds]
    says = f"until nanochat's loss after {OWN_STEPS}, times as fast, the worst of two seeds of either"
    return [goal("time_to_nanochat_loss", min(times), 2, "higher", says)] if times else []


def scaling_goals() -> list[dict]:
    """Goals of the last sweep's prediction errors; none, with a message, if there was no sweep."""
    if not SCALING.exists():
        print("no scaling errors: `greenhouse study scaling`, then `python -m benchmarks.train --scaling`, has them")
        return []
    errors = read_json(SCALING)["goals"]
    return [
        goal(name, errors[name], most, "lower", says + _standard_error(errors, name))
        for name, (most, says) in SCALING_GOALS.items() if name in errors
    ]  # fmt: skip


def _standard_error(errors: dict[str, float], name: str) -> str:
    return f", standard error {errors[f'{name}_se']:.4f}" if f"{name}_se" in errors else ""


def renew_scaling() -> None:
    """Put the errors and rows of the last sweep into the results; those of one that is in there keep their stamp."""
    there = {row["name"]: row["value"] for row in read_json(RESULTS)["goals"]}
    new = [row for row in rounded(scaling_goals()) if row["value"] != there.get(row["name"])]
    if new:
        sweep = read_json(SCALING)
        write_rows("train-scaling", sweep["cells"])
        write("train", {"scaling": sweep["checks"]}, new)


def renew_second_seed() -> None:
    """Our runs with another seed beside the rows of the last measurement, and what follows for nanochat's loss."""
    found: dict[str, Runs] = {}
    with RESULTS.with_suffix(".csv").open(newline="") as file:
        for row in csv.DictReader(file):
            figures = {key: float(row[key]) for key in (*FIGURES, "rate")} | {name: int(row[name]) for name in WHOLE}
            found.setdefault(row["contestant"], {}).setdefault(row["run"], []).append({**row, **figures})
    for label, rows in found["ours"].items():
        found["ours"][label] = [row for row in rows if row["seed"] != SECOND]
    with_second_seed(found["ours"])
    write_contest(found)
    write("train", {"ours_second_seed": figures_of({"ours": found["ours"]}, SECOND)}, goals_of_nanochat(found))


def figures_of(found: dict[str, Runs], *seeds: int) -> dict[str, dict[str, dict]]:
    """Contestant -> label -> figures over its runs, or over those of some seeds."""
    chosen = {
        name: {label: [row for row in rows if not seeds or row["seed"] in seeds] for label, rows in runs.items()}
        for name, runs in found.items()
    }
    return {
        name: {
            label: {key: figure([row[key] for row in rows]) for key in FIGURES} for label, rows in runs.items() if rows
        }
        for name, runs in chosen.items()
    }


def write_contest(found: dict[str, Runs]) -> None:
    """Write the raw rows."""
    write_rows("train", [{"contestant": name, "run": label} | row
                         for name, runs in found.items() for label, rows in runs.items() for row in rows])  # fmt: skip


def main() -> None:
    """Measure, write benchmarks/results/train.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="runs of the longest limit (default: 3)")
    parser.add_argument("--seconds", type=float, nargs="+", default=[60.0, 150.0], help="time limits (default: 60 150)")
    parser.add_argument("--steps", type=int, default=75, help="steps of the runs at equal tokens (default: 75)")
    parser.add_argument("--nanochat", type=Path, help="a checkout; without one it is not tried")
    parser.add_argument("--trial", action="store_true", help="a few steps of every contestant; nothing is written")
    parser.add_argument("--second-seed", action="store_true", help="only our runs with another seed (6 minutes)")
    parser.add_argument("--scaling", action="store_true", help="only renew the scaling errors in the results")
    arguments = parser.parse_args()
    if arguments.scaling:
        return renew_scaling()
    prepare()
    if arguments.second_seed:
        return renew_second_seed()
    names = ["litgpt", "ours"]
    if arguments.nanochat:
        NANOCHAT.unlink(missing_ok=True)
        NANOCHAT.symlink_to(arguments.nanochat.resolve())
        names.insert(1, "nanochat")
    else:
        print("not tried: nanochat (--nanochat CHECKOUT)")
    if arguments.trial:
        for name in names:
            run(name, 6, GRIDS[name][1][1])
        return
    grids = {name: tuned(name) for name in names}
    rate = {name: min(grid, key=lambda one: grid[one]) for name, grid in grids.items()}
    found = contest(rate, arguments.seeds, arguments.seconds, arguments.steps)
    settings = {
        "rates": rate,
        "rates_tried": {name: {f"{one:g}": loss for one, loss in grid.items()} for name, grid in grids.items()},
        "seeds": arguments.seeds,
        "threads": THREADS,
    }
    if arguments.nanochat:
        settings["nanochat_commit"] = commit(NANOCHAT)
        settings["nanochat_tokens_per_s"] = {
            row["dtype"]: row["tokens_per_s"]
            for label, rows in found["nanochat"].items() if label.startswith("equal tokens") for row in rows
        }  # fmt: skip
    longest = f"{max(arguments.seconds):g} s"
    write_contest(found)
    write("train", {"contestants": figures_of(found), "settings": settings}, goals(found, longest))
    renew_scaling()


if __name__ == "__main__":
    main()
