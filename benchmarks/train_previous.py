"""Training beside our own of an earlier commit, in turn: `python -m benchmarks.train_previous [--seeds 3]`.

The earlier tree runs its own benchmark code from an archive of its commit, with today's libraries. Both train on the
same plays and are scored on the same held-out ones; each by its own tokenizer, so bits per byte compare. The earlier
one has 150 s; ours has that and less, so that the time in which it reaches the other's loss can be read off.
"""

import argparse
import io
import subprocess
import sys
import tarfile
from statistics import median

from benchmarks import train_runs
from benchmarks.results import ROOT, figure, goal, write
from benchmarks.train import FIGURES, rates, time_to
from benchmarks.train_runs import BENCH, make_corpus, run, steps_for

COMMIT = "cb8cf9b0b76c2e1408bbff868bad62c897789b6c"
"""Whose figures `make bench NAME=train` last wrote, before the work on training of 2026-11-25 and 26."""
PREVIOUS_RATE = 0.02
"""Tuned at that commit (its benchmarks/train_rates.json)."""
LIMIT_S = 150.0
SHARES = (0.5, 0.7, 1.0)
"""Of the limit: runs of ours."""
PROBE_STEPS = 75


def unpacked() -> None:
    """The earlier tree and its corpus, under `.greenhouse/bench/`.

    Raises:
        SystemExit: this clone has no such commit.
    """
    target = BENCH / COMMIT[:8]
    if not target.exists():
        archive = subprocess.run(["git", "archive", COMMIT], cwd=ROOT, capture_output=True)
        if archive.returncode:
            sys.exit(f"no commit {COMMIT[:8]} in this clone; fetch the whole history")
        aside = target.with_suffix(".partial")
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
            files.extractall(aside, filter="data")
        aside.rename(target)
    make_corpus(target)


def turns(seeds: int) -> dict[str, list[dict[str, float]]]:
    """Runs by label, one per seed; both trees in turn."""
    target, rate = BENCH / COMMIT[:8], rates()["ours"]
    probes = {
        "before": run("ours", PROBE_STEPS, PREVIOUS_RATE, root=target),
        "now": run("ours", PROBE_STEPS, rate),
    }
    found: dict[str, list[dict[str, float]]] = {}
    for seed in range(1, seeds + 1):
        steps = steps_for(LIMIT_S, probes["before"])
        found.setdefault("before", []).append(run("ours", steps, PREVIOUS_RATE, seed, target))
        for share in SHARES:
            steps = steps_for(share * LIMIT_S, probes["now"])
            found.setdefault(f"now, {share * LIMIT_S:g} s", []).append(run("ours", steps, rate, seed))
    return found


def ratios(found: dict[str, list[dict[str, float]]]) -> list[float]:
    """Of each seed: seconds of the earlier run over those in which ours reaches its loss."""
    now = [name for name in found if name != "before"]
    return [
        row["seconds"] / time_to(row["bits_per_byte"], {name: [found[name][seed]] for name in now})
        for seed, row in enumerate(found["before"])
    ]


def main() -> None:
    """Measure, write the figure into benchmarks/results/train.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    make_corpus()
    unpacked()
    found = turns(arguments.seeds)
    rows = {name: {key: figure([row[key] for row in runs]) for key in FIGURES} for name, runs in found.items()}
    reached = ratios(found)
    says = f"until the loss that commit {COMMIT[:8]} had after 150 s, times as fast, median of {len(reached)} seeds"
    results = {"previous": rows | {"ratios": reached, "commit": COMMIT, "threads": train_runs.THREADS}}
    write("train", results, [goal("time_to_previous_loss", median(reached), 1.25, "higher", says=says)])


if __name__ == "__main__":
    main()
