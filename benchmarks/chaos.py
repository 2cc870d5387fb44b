"""Break a small pipeline at random moments, run it again, and see whether anything is lost: `make bench NAME=chaos`.

A clone at the size of tests/small.yaml is run to its end once; its hashes are what every later run must give. A trial
then makes some stages forget that they ran, injects one fault while its command runs again, and starts the same command
a second time without the fault. It survives if

    the faulty command ended by itself or by its kill, and left no process,
    what it said last is a sentence, not a traceback,
    the second command ends with 0 and the undisturbed hashes, `dvc status` is clean,
    after the next start no run is open, MLflow has what every stage left, and none is RUNNING there; no worktree is
    left, and the ledger reads whole.

Trials are drawn from a seed, so that the first of each are of as many kinds as there are: `--seeds 7 --trials 20` are
always the same twenty. Each is written to benchmarks/results/chaos-trials.jsonl when it has ended, with the last commit
of what it tried; a run that is stopped goes on after the last one, and tries again what failed at another commit.

Pipelines share a Prefect server, as under `make up`. A full disk is a mounted one where this user may mount, else a
limit on the size of files; the clock steps for Python alone.
"""

import argparse
import json
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import asdict

import numpy as np

from benchmarks.chaos_faults import ABLE, FAULTS, OF_PIPELINES
from benchmarks.chaos_world import FOLDER, PIPELINES, RARE, TARGETS, TOYS, Faulty, Target, Trial, World, product
from benchmarks.results import figure, goal, write
from components.carbon.ledger import reader
from components.core.files import md5_file
from flows.system.paths import ROOT

RECOVER = "from flows.tracking.recovery import recover_records; recover_records()"
"""What every start does."""


def drawn(seed: int, number: int) -> Trial:
    """Trial `number` of a seed: faults and targets in shuffled turns, three trials of ten on pipelines."""
    faults = _turn(f"{seed} faults", list(FAULTS), number)
    dice = random.Random(f"{seed} {number}")
    pool = PIPELINES if faults in OF_PIPELINES or number % 10 in (1, 4, 8) else TOYS
    target = _turn(f"{seed} targets", [name for name in pool if name not in RARE], number)
    if number % 20 == 9:
        target = dice.choice([name for name in RARE if name in pool])
    if (able := ABLE.get(faults)) and target not in able:
        target = dice.choice(able)
    return Trial(seed, number, faults, target, dice.random())


def _turn(seed: str, names: list[str], number: int) -> str:
    """The `number`-th of names that are shuffled anew whenever all have had their turn."""
    random.Random(f"{seed} {number // len(names)}").shuffle(names)
    return names[number % len(names)]


def judged(world: World, trial: Trial, faulty: Faulty) -> None:
    """Run the command again without the fault, and note everything that is not as it was."""
    wrong, target = trial.wrong, TARGETS[trial.target]
    wrong += [f"left: {words}" for words in faulty.left]
    last = [line for line in faulty.output.splitlines() if line.strip()][-40:]
    if any("Traceback (most recent call last)" in line for line in last):
        wrong.append(f"a traceback: {last[-1][:200]}")
    trial.said = last[-1][:300] if last else ""
    (FOLDER / f"{trial.seed}-{trial.number}.log").write_text(faulty.output)
    begun, started = time.time(), time.monotonic()
    again = world.start(target)
    while again.poll() is None and not _at_work(world, begun):
        time.sleep(0.02)
    trial.recover_s = time.monotonic() - started
    rerun = world.ended(again)
    world.usual_s[trial.target] = time.monotonic() - started
    if rerun.status:
        wrong.append(f"the rerun ended with {rerun.status}: {rerun.output[-300:]}")
    if stale := world.stale():
        if (end := world.ended(world.start(Target(("dvc", "repro"), ())))).status:
            wrong.append(f"dvc repro ended with {end.status}: {end.output[-300:]}")
        if world.stale():
            wrong.append(f"dvc status is not clean: {str(stale)[:300]}")
    if world.clone.outputs() != world.hashes:
        wrong.append("other hashes")
    if target.makes and world.made.setdefault(target.makes, made := md5_file(world.path(target.makes))) != made:
        wrong.append(f"another {target.makes}")
    world.clone.run_code(RECOVER)  # a `dvc repro` that finds nothing to do starts nothing of ours
    wrong += [f"open: {run}" for run in world.open_runs()]
    wrong += [f"not recorded: {stage}" for stage in world.unrecorded()]
    with closing(sqlite3.connect(world.path(".greenhouse/mlflow.db"))) as database:  # a client would keep a deleted one
        running = database.execute("select name from runs where status = 'RUNNING'").fetchall()
    wrong += [f"RUNNING in MLflow: {name}" for (name,) in running]
    if len(trees := world.clone.git("worktree", "list").splitlines()) > 1:
        wrong.append(f"worktrees: {trees[1:]}")
    reader.read(world.path(".greenhouse/ledger"))


def _at_work(world: World, since: float) -> bool:
    """Whether a stage or a study has begun its work since then: it locks its work folder just before."""
    for path in world.path(".greenhouse/work").glob("*/*/lock"):
        with suppress(FileNotFoundError):
            if path.stat().st_mtime > since:
                return True
    return False


def tried(world: World, seed: int, number: int) -> Trial:
    """Carry out one trial."""
    trial, started = drawn(seed, number), time.monotonic()
    trial.commit, world.dice = world.commit, random.Random(f"dice {seed} {number}")
    print(f"{seed}/{number}: {trial.fault}, {trial.target} ...", end=" ", flush=True)
    world.forget(TARGETS[trial.target])
    try:
        judged(world, trial, FAULTS[trial.fault](world, trial))
    except Exception as error:  # whatever it is, the trial has not survived
        trial.wrong.append(f"{type(error).__name__}: {error}"[:300])
    trial.seconds = time.monotonic() - started
    print(f"survived, {trial.seconds:.0f} s" if not trial.wrong else trial.wrong, flush=True)
    return trial


def report(trials: list[Trial], failed_once: int) -> None:
    """Write the results file: what was tried, what survived, what did not and how."""
    survived = [trial for trial in trials if not trial.wrong]

    def counted(kind: Callable[[Trial], str]) -> dict[str, dict[str, int]]:
        return {
            name: {"tried": number, "survived": sum(kind(trial) == name for trial in survived)}
            for name, number in sorted(Counter(map(kind, trials)).items())
        }

    results = {
        "faults": counted(lambda trial: trial.fault), "targets": counted(lambda trial: trial.target),
        "failures": [asdict(trial) for trial in trials if trial.wrong],
        "seeds": sorted({trial.seed for trial in trials}),
        "commits": dict(Counter(trial.commit[:9] for trial in trials)),
        "pipelines": sum(trial.target in PIPELINES for trial in trials),
    }  # fmt: skip
    recover_s = [trial.recover_s for trial in trials]
    results |= {"recover_s": figure(recover_s), "failed_at_first": failed_once}
    says = f"{failed_once} did not at first; they were tried again when the code was mended"
    write("chaos", results, [
        goal("faults_tried", len(trials), 60, "higher"),
        goal("faults_survived_fraction", len(survived) / len(trials), 1.0, "higher", says),
        goal("recover_s_p95", float(np.quantile(recover_s, 0.95)), 30, "lower",
             "rerun's start until work goes on, seconds"),
    ])  # fmt: skip


def main() -> None:
    """Try what has not been tried of the seeds, then report all."""
    parser = argparse.ArgumentParser("python -m benchmarks.chaos", description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", default="1,2,3", help="seeds, separated by commas (default: %(default)s)")
    parser.add_argument("--trials", type=int, default=70, help="trials of each seed (default: %(default)s)")
    parser.add_argument("--only", default="", help="faults or targets whose names hold this")
    parser.add_argument("--list", action="store_true", help="list the trials and stop")
    parser.add_argument("--report", action="store_true", help="try nothing more: report what has been tried")
    arguments = parser.parse_args()
    planned = [(int(seed), number) for seed in arguments.seeds.split(",") for number in range(arguments.trials)]
    planned = [one for one in planned if arguments.only in f"{drawn(*one).fault}, {drawn(*one).target}"]
    if arguments.list:
        for which in planned:
            print(drawn(*which))
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    log = ROOT / "benchmarks" / "results" / "chaos-trials.jsonl"
    lines = log.read_text().splitlines() if log.exists() else []
    trials = {(one["seed"], one["number"]): Trial(**one) for one in map(json.loads, lines)}
    done = {which for which, trial in trials.items() if not trial.wrong or trial.commit == product()}
    if todo := [] if arguments.report else [which for which in planned if which not in done]:
        folder = FOLDER / product()[:9]
        world = World(folder)
        for which in todo:
            trials[which] = tried(world, *which)
            with log.open("a") as file:
                file.write(json.dumps(asdict(trials[which])) + "\n")
            if trials[which].wrong:  # thrown away, so that the next one is not blamed
                world.restore()
        world.end_prefect()
    rows = map(json.loads, log.read_text().splitlines())
    report(list(trials.values()), len({(row["seed"], row["number"]) for row in rows if row["wrong"]}))


if __name__ == "__main__":
    main()
