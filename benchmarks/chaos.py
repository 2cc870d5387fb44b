"""Break a pipeline at random moments, run it again, and see whether anything is lost: `make bench NAME=chaos`.

A clone at the size of presets/test.yaml is run to its end once; its hashes are what every later run must give. A trial
then makes one stage (or all) forget that it ran, injects one fault while it runs again, and starts the same command a
second time without the fault. It survives if

    the faulty command ended by itself or by its kill, and left no process,
    what it said last is a sentence, not a traceback,
    the second command ends with 0 and the undisturbed hashes, `dvc status` is clean,
    no run is open, in MLflow none is RUNNING, no lock is held, and the ledger reads whole.

Trials are drawn from a seed: `--seed 7 --trials 20` are always the same twenty. Each is written to
.greenhouse/chaos/trials.jsonl when it has ended; a run that is stopped goes on after the last one. Faults that need
root or another file system (a full disk) are injected by limits of the process instead: the largest file, the memory.
"""

import argparse
import json
import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import psutil
import yaml

from benchmarks.results import goal, write
from components.carbon.ledger import reader
from components.core.files import fingerprint
from flows.system.paths import ROOT, STATE
from tests.flows.pipeline_clone import PipelineClone, make_clone

FOLDER = STATE / "chaos"
LIGHT = ("ingest", "dedup", "filter", "bias", "mix", "tokenize", "pretrain@causal", "finetune@classify", "evaluate")
SIGNALS = {"SIGKILL": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "SIGINT": signal.SIGINT}
LONGEST_S = 300.0
"""A command that takes longer hangs."""
DEAD = "http://127.0.0.1:9"
"""An address at which nothing listens."""


@dataclass
class Trial:
    """One trial: what is done to which command, and what came of it."""

    seed: int
    number: int
    fault: str
    target: str
    moment: float
    wrong: list[str] = field(default_factory=list)
    said: str = ""
    recover_s: float = 0.0

    @property
    def command(self) -> list[str]:
        """Of the trial: the pipeline, or DVC for one stage."""
        return ["flows.pipeline"] if self.target == "pipeline" else ["dvc", "repro", self.target]


@dataclass
class Faulty:
    """How the command with the fault ended."""

    status: int
    output: str
    left: list[str]


def drawn(seed: int, number: int) -> Trial:
    """Trial `number` of a seed."""
    dice = random.Random(f"{seed} {number}")
    target = "pipeline" if dice.random() < 0.3 else dice.choice(LIGHT)
    return Trial(seed, number, dice.choice(sorted(FAULTS)), target, dice.random())


class World:
    """The clone of all trials, and how long each command takes when left alone."""

    def __init__(self, folder: Path) -> None:
        self.clone = PipelineClone(folder / "greenhouse")
        if not (folder / "hashes.json").exists():
            shutil.rmtree(folder, ignore_errors=True)
            self.clone = make_clone(folder)
            self.clone.run("dvc", "repro")
            (folder / "hashes.json").write_text(json.dumps(self.clone.outputs()))
        self.hashes = json.loads((folder / "hashes.json").read_text())
        self.dice = random.Random()

    def path(self, name: str) -> Path:
        return self.clone.root / name

    def forget(self, target: str) -> None:
        """Have DVC run the target again, from nothing."""
        lock = yaml.safe_load(self.path("dvc.lock").read_text())
        gone = set(lock["stages"]) if target == "pipeline" else {target}
        for stage in gone & set(lock["stages"]):
            for out in lock["stages"][stage].get("outs", []):
                path = self.path(out["path"])
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        lock["stages"] = {name: entry for name, entry in lock["stages"].items() if name not in gone}
        self.path("dvc.lock").write_text(yaml.safe_dump(lock, sort_keys=False))
        shutil.rmtree(self.path(".dvc/cache/runs"), ignore_errors=True)

    def start(self, command: list[str], limits: dict[int, int] | None = None, **more: str) -> subprocess.Popen:
        def limit() -> None:
            for kind, most in (limits or {}).items():
                resource.setrlimit(kind, (most, most))

        with (FOLDER / "output.log").open("w") as log:
            return subprocess.Popen(
                [sys.executable, "-m", *command], cwd=self.clone.root, env=self.clone.environment(**more),
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                preexec_fn=limit,
            )  # fmt: skip

    def ended(self, process: subprocess.Popen, tree: list[psutil.Process] | None = None) -> Faulty:
        """Wait for the end of a command, and of all it started."""
        tree, deadline = tree or [], time.monotonic() + LONGEST_S
        while process.poll() is None and time.monotonic() < deadline:
            tree = _tree(process.pid) or tree
            time.sleep(0.1)
        hung = process.poll() is None
        _, alive = psutil.wait_procs(tree, timeout=30)
        left = [" ".join(_words(one)) for one in alive if _words(one)]
        for one in [*alive, *([psutil.Process(process.pid)] if hung else [])]:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        process.wait()
        return Faulty(process.returncode, (FOLDER / "output.log").read_text(), left + ["hung"] * hung)


def _tree(pid: int) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).children(recursive=True)
    return []


def _words(process: psutil.Process) -> list[str]:
    with suppress(psutil.NoSuchProcess):
        return process.cmdline() if process.status() != psutil.STATUS_ZOMBIE else []
    return []


def _signalled(world: World, trial: Trial, name: str, whom: str) -> Faulty:
    """A signal to the command, or to a random process below it, at a random moment of 12 seconds (60: a pipeline)."""
    process = world.start(trial.command)
    deadline = time.monotonic() + trial.moment * (60 if trial.target == "pipeline" else 12)
    while time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
    tree = _tree(process.pid)
    chosen = process.pid if whom == "command" or not tree else world.dice.choice(tree).pid
    with suppress(ProcessLookupError):
        os.kill(chosen, SIGNALS[name])
    return world.ended(process, tree)


def _limited(world: World, trial: Trial, kind: int, most: int) -> Faulty:
    return world.ended(world.start(trial.command, {kind: int(most * (0.1 + trial.moment))}))


def _two(world: World, trial: Trial) -> Faulty:
    """The same command twice at once: both end, none harms the other."""
    first = world.start(trial.command)
    time.sleep(3 * trial.moment)
    second = world.ended(world.start(trial.command))
    both = world.ended(first)
    return Faulty(both.status, second.output, both.left + second.left)


def _damaged(world: World, trial: Trial, pattern: str, how: str) -> Faulty:
    """A bit flipped in a file, or its end cut off, before the command starts. The file is put back after it."""
    files = sorted(path for path in world.clone.root.glob(pattern) if path.is_file() and path.stat().st_size)
    if not files:
        return world.ended(world.start(trial.command))
    path = world.dice.choice(files)
    whole, mode = path.read_bytes(), path.stat().st_mode
    place = world.dice.randrange(len(whole))
    flipped = whole[:place] + bytes([whole[place] ^ 1 << world.dice.randrange(8)]) + whole[place + 1 :]
    path.chmod(0o644)
    path.write_bytes(flipped if how == "flipped" else whole[:place])
    try:
        return world.ended(world.start(trial.command))
    finally:
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(whole)
        path.chmod(mode)


def _blocked(world: World, trial: Trial) -> Faulty:
    """A folder that the stage writes to cannot be written: a file lies in its place."""
    path = world.path(world.dice.choice(("reports", ".greenhouse/work", ".greenhouse/logs")))
    aside = path.with_name(f"{path.name}.aside")
    path.rename(aside) if path.exists() else None
    path.write_text("in the way")
    try:
        return world.ended(world.start(trial.command))
    finally:
        path.unlink()
        aside.rename(path) if aside.exists() else None


FAULTS: dict[str, Callable[[World, Trial], Faulty]] = {
    **{
        f"{name} to {whom}": lambda world, trial, name=name, whom=whom: _signalled(world, trial, name, whom)
        for name in SIGNALS
        for whom in ("command", "any process")
    },
    "largest file": lambda world, trial: _limited(world, trial, resource.RLIMIT_FSIZE, 300_000),
    "memory": lambda world, trial: _limited(world, trial, resource.RLIMIT_AS, 6_000_000_000),
    "open files": lambda world, trial: _limited(world, trial, resource.RLIMIT_NOFILE, 60),
    "two at once": _two,
    "folder in the way": _blocked,
    "dead tracking server": lambda world, trial: world.ended(world.start(trial.command, MLFLOW_TRACKING_URI=DEAD)),
    "dead Prefect server": lambda world, trial: world.ended(
        world.start(trial.command, PREFECT_API_URL=f"{DEAD}/api")
    ),
    **{
        f"{what}, {how}": lambda world, trial, pattern=pattern, how=how: _damaged(world, trial, pattern, how)
        for what, pattern in {
            "shard": "data/*/**/*.parquet", "manifest": "data/*/**/manifest.json", "model": "models/*/*/*.safetensors",
            "lock": "dvc.lock", "params": "params.yaml", "ledger": ".greenhouse/ledger/*",
            "cache": ".dvc/cache/files/**/*",
        }.items()
        for how in ("flipped", "cut")
    },
}  # fmt: skip
"""Fault -> what carries it out."""


def judged(world: World, trial: Trial, faulty: Faulty) -> None:
    """Run the command again without the fault, and note everything that is not as it was."""
    wrong = trial.wrong
    wrong += [f"left: {words}" for words in faulty.left]
    last = [line for line in faulty.output.splitlines() if line.strip()][-40:]
    if any("Traceback (most recent call last)" in line for line in last):
        wrong.append(f"a traceback: {last[-1][:200]}")
    trial.said = last[-1][:300] if last else ""
    started = time.monotonic()
    again = world.start(trial.command)
    while not list(world.path(".greenhouse/work").glob("*/*/lock")) and again.poll() is None:
        time.sleep(0.02)
    trial.recover_s = time.monotonic() - started
    rerun = world.ended(again)
    if rerun.status:
        wrong.append(f"the rerun ended with {rerun.status}: {rerun.output[-300:]}")
    whole = world.start(["dvc", "repro"])
    if (end := world.ended(whole)).status:
        wrong.append(f"dvc repro ended with {end.status}: {end.output[-300:]}")
    if world.clone.outputs() != world.hashes:
        wrong.append("other hashes")
    status = world.start(["dvc", "status"])
    if "up to date" not in world.ended(status).output:
        wrong.append("dvc status is not clean")
    # A `dvc repro` of one stage has nobody to close its parent run: the next start does, whatever starts.
    world.clone.run_code("import flows; from flows.system import recovery; recovery.recover_records()")
    wrong += [f"open: {path.name}" for path in world.path(".greenhouse/open").glob("*.json")]
    with closing(sqlite3.connect(world.path(".greenhouse/mlflow.db"))) as database:  # a client would keep a deleted one
        running = database.execute("select name from runs where status = 'RUNNING'").fetchall()
    wrong += [f"RUNNING in MLflow: {name}" for (name,) in running]
    reader.read(world.path(".greenhouse/ledger"))


def tried(world: World, seed: int, number: int) -> Trial:
    """Carry out one trial. A clone that it spoiled is thrown away, so that the next one is not blamed."""
    trial = drawn(seed, number)
    world.dice = random.Random(f"dice {seed} {number}")
    print(f"{seed}/{number}: {trial.fault}, {trial.target} ...", end=" ", flush=True)
    world.forget(trial.target)
    try:
        judged(world, trial, FAULTS[trial.fault](world, trial))
    except Exception as error:  # whatever it is, the trial has not survived
        trial.wrong.append(f"{type(error).__name__}: {error}"[:300])
    print("survived" if not trial.wrong else trial.wrong, flush=True)
    return trial


def report(trials: list[Trial]) -> None:
    """Write the results file: what was tried, what survived, what did not and how."""
    survived = [trial for trial in trials if not trial.wrong]
    kinds = {
        fault: {"tried": number, "survived": sum(trial.fault == fault for trial in survived)}
        for fault, number in sorted(Counter(trial.fault for trial in trials).items())
    }
    failures = [asdict(trial) for trial in trials if trial.wrong]
    results = {
        "faults": kinds, "failures": failures, "seeds": sorted({trial.seed for trial in trials}),
        "pipelines": sum(trial.target == "pipeline" for trial in trials),
    }  # fmt: skip
    p95 = float(np.quantile([trial.recover_s for trial in trials], 0.95))
    write("chaos", results, [
        goal("faults_tried", len(trials), 200, "higher"),
        goal("faults_survived_fraction", len(survived) / len(trials), 1.0, "higher"),
        goal("recover_s_p95", p95, 30, "lower", "rerun's start until work goes on, seconds"),
    ])  # fmt: skip


def main() -> None:
    """Try what has not been tried of the seeds, then report all."""
    parser = argparse.ArgumentParser("python -m benchmarks.chaos", description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", default="1,2,3", help="seeds, separated by commas (default: %(default)s)")
    parser.add_argument("--trials", type=int, default=70, help="trials of each seed (default: %(default)s)")
    parser.add_argument("--only", default="", help="faults whose names hold this")
    parser.add_argument("--list", action="store_true", help="list the trials and stop")
    arguments = parser.parse_args()
    planned = [(int(seed), number) for seed in arguments.seeds.split(",") for number in range(arguments.trials)]
    planned = [which for which in planned if arguments.only in drawn(*which).fault]
    if arguments.list:
        for which in planned:
            print(drawn(*which))
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    code = fingerprint(
        [subprocess.check_output(["git", "rev-parse", "HEAD:components", "HEAD:flows"], cwd=ROOT).decode()]
    )
    log, world = FOLDER / f"trials-{code[:12]}.jsonl", World(FOLDER / code[:12])
    lines = log.read_text().splitlines() if log.exists() else []
    trials = {(one["seed"], one["number"]): Trial(**one) for one in map(json.loads, lines)}
    for which in planned:
        if which not in trials:
            trials[which] = tried(world, *which)
            with log.open("a") as file:
                file.write(json.dumps(asdict(trials[which])) + "\n")
            if trials[which].wrong:
                shutil.rmtree(FOLDER / code[:12])
                world = World(FOLDER / code[:12])
    report(list(trials.values()))


if __name__ == "__main__":
    main()
