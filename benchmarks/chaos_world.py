"""The clone in which faults are tried, its servers, and the commands that are run there."""

import json
import os
import random
import resource
import shutil
import subprocess
import sys
import time
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import yaml

from benchmarks.kill_and_resume import below, words_of
from flows.system.paths import ROOT, STATE
from tests.flows.pipeline_clone import LOGIN, SWEEP, PipelineClone, make_clone

FOLDER = STATE / "chaos"
LONGEST_S = 600.0
"""A command that takes longer hangs."""
DEAD = "http://127.0.0.1:9"
"""An address at which nothing listens."""


@dataclass(frozen=True)
class Target:
    """A command, the stages that forget that they ran before it, and the files besides DVC's outputs that it makes."""

    command: tuple[str, ...]
    forgets: tuple[str, ...]
    makes: str = ""


def _repro(stage: str) -> Target:
    return Target(("dvc", "repro", stage), (stage,))


PIPELINES = {
    "pipeline, data": Target(("greenhouse", "run",), ("filter", "mix")),
    "pipeline, tokens": Target(("greenhouse", "run",), ("tokenize",)),
    "pipeline, end": Target(("greenhouse", "run",), ("evaluate",)),
    "pipeline, training": Target(("greenhouse", "run",), ("pretrain@causal", "pretrain@masked")),
    "pipeline, tuning": Target(("greenhouse", "run",), ("finetune@instruct", "finetune@classify")),
    "pipeline, whole": Target(("greenhouse", "run",), ("*",)),
    "experiment": Target(("greenhouse", "run", "finetune.classify.steps=4"), ("finetune@classify",)),
}  # fmt: skip
TOYS = {
    **{
        stage: _repro(stage)
        for stage in (
            "pretrain@causal", "ingest", "finetune@classify", "dedup", "pretrain@masked", "filter", "tokenize",
            "finetune@instruct", "mix", "evaluate", "bias",
        )
    },
    "exp run": Target(("dvc", "exp", "run", "mix"), ("mix",)),
    "scaling": Target(("greenhouse", "study", "scaling", *SWEEP), (), "reports/scaling/scaling.json"),
    "verify": Target(("greenhouse", "verify", "causal"), ()),
    "seeds": Target(("greenhouse", "study", "seeds", "runs=1"), ()),
}  # fmt: skip
TARGETS = PIPELINES | TOYS
RARE = ("evaluate", "experiment", "pipeline, end", "pipeline, whole", "scaling", "verify", "seeds")
"""One trial in twenty: minutes each."""


@dataclass
class Trial:
    """One trial: what is done to which command, and what came of it."""

    seed: int
    number: int
    fault: str
    target: str
    moment: float
    commit: str = ""
    wrong: list[str] = field(default_factory=list)
    said: str = ""
    recover_s: float = 0.0
    seconds: float = 0.0


@dataclass
class Faulty:
    """How the command with the fault ended."""

    status: int
    output: str
    left: list[str]


def product() -> str:
    """The last commit that changed what is tried."""
    words = ["git", "log", "-1", "--format=%H", "--", "components", "flows", "recorder"]
    return subprocess.check_output(words, cwd=ROOT, text=True).strip()


class World:
    """The clone of all trials, its Prefect server, and how long each command takes."""

    def __init__(self, folder: Path) -> None:
        self.clone, self.folder = PipelineClone(folder / "greenhouse"), folder
        if not (folder / "hashes.json").exists():
            shutil.rmtree(folder, ignore_errors=True)
            self.clone = make_clone(folder)
            with self.clone.start("greenhouse", "run") as first:  # no limit: it takes what it takes
                said, _ = first.communicate()
            assert not first.returncode, said[-3000:]
            (folder / "hashes.json").write_text(json.dumps(self.clone.outputs()))
            os.rename(self.clone.root, folder / "whole")
        self._copy()
        self.hashes = json.loads((folder / "hashes.json").read_text())
        self.commit, self.made = product(), dict[str, str]()
        self.usual_s: dict[str, float] = {}
        self.dice = random.Random()
        code = "import flows, json, os; print(json.dumps(dict(os.environ)))"
        self.environment = json.loads(self.clone.run_code(code))
        self._prefect: AbstractContextManager | None = None

    def _copy(self) -> None:
        shutil.rmtree(self.clone.root, ignore_errors=True)
        shutil.copytree(self.folder / "whole", self.clone.root, symlinks=True)

    def prefect(self) -> dict[str, str]:
        """The Prefect server that pipelines share, as variables of their environment; it starts with the first."""
        if not self._prefect:
            self._prefect = self.clone.prefect()
            self._prefect.__enter__()
        return {"PREFECT_API_URL": self.clone.api} | LOGIN

    def end_prefect(self) -> None:
        """End it; the next pipeline starts another."""
        if self._prefect:
            self._prefect.__exit__(None, None, None)
            self._prefect = None

    def restore(self) -> None:
        """The clone as it was before any trial, with a new server."""
        self.end_prefect()
        self._copy()

    def path(self, name: str) -> Path:
        return self.clone.root / name

    def inputs(self, target: Target) -> list[str]:
        """The data and models that the target's stages depend on."""
        stages = yaml.safe_load((self.folder / "whole" / "dvc.lock").read_text())["stages"]
        names = stages if "*" in target.forgets else target.forgets
        paths = {dep["path"] for name in names if name in stages for dep in stages[name].get("deps", [])}
        return sorted(path for path in paths if path.startswith(("data/", "models/")))

    def forget(self, target: Target) -> None:
        """Have DVC run the target's stages again, from nothing."""
        lock = yaml.safe_load(self.path("dvc.lock").read_text())
        gone = set(lock["stages"]) if "*" in target.forgets else set(target.forgets) & set(lock["stages"])
        for stage in gone:
            for out in lock["stages"][stage].get("outs", []):
                path = self.path(out["path"])
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        lock["stages"] = {name: entry for name, entry in lock["stages"].items() if name not in gone}
        self.path("dvc.lock").write_text(yaml.safe_dump(lock, sort_keys=False))
        shutil.rmtree(self.path(".dvc/cache/runs"), ignore_errors=True)
        if target.makes:
            self.path(target.makes).unlink(missing_ok=True)

    def stale(self) -> dict:
        """What `dvc status` would print."""
        from dvc.repo import Repo

        os.environ |= {name: value for name, value in self.environment.items() if name.startswith("DVC_")}
        with Repo(str(self.clone.root)) as repo:
            return repo.status()

    def open_runs(self) -> list[str]:
        """Names of runs without the mark of their end."""
        runs = self.path(".greenhouse/runs").glob("*/run.json")
        return [file.parent.name for file in runs if not (file.parent / "closed").exists()]

    def unrecorded(self) -> list[str]:
        """Stages that left a result which MLflow does not have."""
        results = self.path(".greenhouse/runs").glob("*/*/events.jsonl")
        return [str(file.parent) for file in results if not (file.parent / "recorded").exists()]

    def start(
        self, target: Target, prefix: tuple[str, ...] = (), limits: dict[int, int] | None = None, **more: str
    ) -> subprocess.Popen:
        """Start a target's command."""
        of_prefect = {} if target.command[0] == "dvc" or "PREFECT_API_URL" in more else self.prefect()

        def limit() -> None:
            for kind, most in (limits or {}).items():
                resource.setrlimit(kind, (most, most))

        name, *arguments = target.command
        module = "flows.cli" if name == "greenhouse" else name  # as the console script does
        with (FOLDER / "output.log").open("w") as log:
            return subprocess.Popen(
                [*prefix, sys.executable, "-m", module, *arguments], cwd=self.clone.root,
                env=self.environment | of_prefect | more,
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                preexec_fn=limit,
            )  # fmt: skip

    def tree(self, command: subprocess.Popen) -> list[psutil.Process]:
        """What a command has started and not yet seen end, itself excepted."""
        return [one for one in below(command.pid) if words_of(one)]

    def ended(self, command: subprocess.Popen) -> Faulty:
        """Wait for the end of a command, and of all it started."""
        tree, deadline = self.tree(command), time.monotonic() + LONGEST_S
        while command.poll() is None and time.monotonic() < deadline:
            tree = self.tree(command) or tree
            time.sleep(0.2)
        hung = command.poll() is None
        _, alive = psutil.wait_procs([*tree, *self.tree(command)], timeout=30)
        alive = [one for one in alive if words_of(one)]
        left = [words_of(one) for one in alive]
        for one in [*alive, *([psutil.Process(command.pid)] if hung else [])]:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        command.wait()
        assert command.returncode is not None
        return Faulty(command.returncode, (FOLDER / "output.log").read_text(), left + ["hung"] * hung)

    def wait(self, command: subprocess.Popen, trial: Trial) -> None:
        """Until the trial's random moment of the time that its command takes."""
        deadline = time.monotonic() + trial.moment * self.usual_s.get(trial.target, 30.0)
        while time.monotonic() < deadline and command.poll() is None:
            time.sleep(0.02)
