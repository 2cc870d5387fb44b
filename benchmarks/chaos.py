"""Break a small pipeline at random moments, run it again, and see whether anything is lost: `make bench NAME=chaos`.

A clone at the size of presets/test.yaml is run to its end once; its hashes are what every later run must give. A trial
then makes some stages forget that they ran, injects one fault while its command runs again, and starts the same command
a second time without the fault. It survives if

    the faulty command ended by itself or by its kill, and left no process,
    what it said last is a sentence, not a traceback,
    the second command ends with 0 and the undisturbed hashes, `dvc status` is clean,
    no run but the rerun's own is open, in MLflow none is RUNNING, no worktree is left, and the ledger reads whole.

Trials are drawn from a seed, so that the first of each are of as many kinds as there are: `--seeds 7 --trials 20` are
always the same twenty. Each is written to .greenhouse/chaos/trials.jsonl when it has ended, with the last commit of
what it tried; a run that is stopped goes on after the last one, and tries again what failed at another commit.

Stages and pipelines are forked from a server that has imported everything (flows/execution/fork_server.py, as pipelines
have it), and pipelines share a Prefect server, as under `make up`: two thirds of a trial's time would be imports. Where
the fault concerns those (limits, a full disk, the clock, a dead server) the command is a process of its own. A full
disk is a mounted one where this user may mount, else a limit on the size of files; the clock steps for Python alone.
"""

import argparse
import json
import os
import random
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import yaml

from benchmarks.results import goal, write
from components.carbon.ledger import reader
from components.core.files import md5_file
from flows.execution.fork_server import VARIABLE, ForkServer
from flows.system.paths import ROOT, STATE
from tests.flows.pipeline_clone import PipelineClone, make_clone

FOLDER = STATE / "chaos"
SIGNALS = {"SIGKILL": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "SIGINT": signal.SIGINT}
LONGEST_S = 600.0
"""A command that takes longer hangs."""
DEAD = "http://127.0.0.1:9"
"""An address at which nothing listens."""
STEPPED = """
import os, random, time
begun, step, real = time.monotonic(), float(os.environ["CLOCK_STEP"]), (time.time, time.time_ns)
moved = lambda: step if time.monotonic() - begun > 2 else 0.0
time.time = lambda: real[0]() + moved()
time.time_ns = lambda: real[1]() + int(1e9 * moved())
"""
"""sitecustomize.py of a process whose clock steps two seconds after its start."""


@dataclass(frozen=True)
class Target:
    """A command, the stages that forget that they ran before it, and the files besides DVC's outputs that it makes."""

    command: tuple[str, ...]
    forgets: tuple[str, ...]
    makes: str = ""
    ray: bool = False


def _repro(stage: str, **more: bool) -> Target:
    return Target(("dvc", "repro", stage), (stage,), **more)


PIPELINES = {
    "pipeline, data": Target(("flows.pipeline",), ("filter", "mix")),
    "pipeline, tokens": Target(("flows.pipeline",), ("tokenize",)),
    "pipeline, end": Target(("flows.pipeline",), ("evaluate",)),
    "pipeline, training": Target(("flows.pipeline",), ("pretrain@causal", "pretrain@masked")),
    "pipeline, tuning": Target(("flows.pipeline",), ("finetune@instruct", "finetune@classify")),
    "pipeline, whole": Target(("flows.pipeline",), ("*",)),
    "experiment": Target(("flows.pipeline", "--set", "finetune.classify.steps=4"), ("finetune@classify",)),
}  # fmt: skip
TOYS = {
    **{
        stage: _repro(stage)
        for stage in (
            "pretrain@causal", "ingest", "finetune@classify", "dedup", "pretrain@masked", "filter", "tokenize",
            "finetune@instruct", "mix", "evaluate", "bias",
        )
    },
    "dedup, Ray": _repro("dedup", ray=True),
    "exp run": Target(("dvc", "exp", "run", "mix"), ("mix",)),
    "scaling": Target(("flows.scaling",), (), "reports/scaling/scaling.json"),
    "verify": Target(("flows.verify", "causal"), ()),
    "seeds": Target(("flows.seeds", "--runs", "1"), ()),
}  # fmt: skip
TARGETS = PIPELINES | TOYS
RARE = ("evaluate", "experiment", "pipeline, end", "pipeline, whole", "scaling", "verify", "seeds")
"""Once in ten times its turn: minutes each."""


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
    words = ["git", "log", "-1", "--format=%H", "--", "components", "flows"]
    return subprocess.check_output(words, cwd=ROOT, text=True).strip()


def drawn(seed: int, number: int) -> Trial:
    """Trial `number` of a seed: faults and targets in shuffled turns, three trials of ten on pipelines."""
    faults = _turn(f"{seed} faults", list(FAULTS), number)
    dice = random.Random(f"{seed} {number}")
    pool = PIPELINES if faults in OF_PIPELINES or number % 10 in (1, 4, 8) else TOYS
    if faults in OF_TRAINING:
        pool = dict.fromkeys(("pretrain@causal", "pretrain@masked"))
    target = _turn(f"{seed} targets", [name for name in pool if name not in RARE], number)
    if number % 10 == 9:
        target = dice.choice([name for name in RARE if name in pool] or [target])
    return Trial(seed, number, faults, target, dice.random())


def _turn(seed: str, names: list[str], number: int) -> str:
    """The `number`-th of names that are shuffled anew whenever all have had their turn."""
    random.Random(f"{seed} {number // len(names)}").shuffle(names)
    return names[number % len(names)]


class Forked:
    """A command that the clone's fork server runs, with what `subprocess.Popen` has of it."""

    def __init__(self, address: str, request: dict, output: int) -> None:
        self.returncode: int | None = None
        self._connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._connection.connect(address)
        with open(os.devnull) as nothing:
            socket.send_fds(self._connection, [json.dumps(request).encode()], [nothing.fileno(), output, output])
        self.pid = int(self._connection.recv(64))
        self._connection.setblocking(False)

    def poll(self) -> int | None:
        if self.returncode is None:
            with suppress(BlockingIOError):
                self.returncode = int(self._connection.recv(64) or 1)
                self._connection.close()
        return self.returncode

    def wait(self) -> None:
        while self.poll() is None:
            time.sleep(0.02)


Command = Forked | subprocess.Popen


class World:
    """The clone of all trials, its servers, and how long each command takes."""

    def __init__(self, folder: Path) -> None:
        self.clone, self.folder = PipelineClone(folder / "greenhouse"), folder
        if not (folder / "hashes.json").exists():
            shutil.rmtree(folder, ignore_errors=True)
            self.clone = make_clone(folder)
            with self.clone.start("flows.pipeline") as first:  # no limit: it takes what it takes
                said, _ = first.communicate()
            assert not first.returncode, said[-3000:]
            (folder / "hashes.json").write_text(json.dumps(self.clone.outputs()))
            os.rename(self.clone.root, folder / "whole")
        self.restore()
        self.hashes = json.loads((folder / "hashes.json").read_text())
        self.commit, self.made = product(), dict[str, str]()
        self.usual_s: dict[str, float] = {}
        self.dice = random.Random()
        code = "import flows, json, os; print(json.dumps(dict(os.environ)))"
        self.environment = json.loads(self.clone.run_code(code))
        self._prefect: AbstractContextManager | None = None
        self.server = ForkServer(self.clone.root, self.environment)
        self.server.start()
        while not Path(self.server.address).exists():
            time.sleep(0.1)

    def prefect(self) -> dict[str, str]:
        """The Prefect server that pipelines share, as variables of their environment; it starts with the first."""
        if not self._prefect:
            self._prefect = self.clone.prefect()
            self._prefect.__enter__()
        return {"PREFECT_API_URL": self.clone.api}

    def end_prefect(self) -> None:
        """End it; the next pipeline starts another."""
        if self._prefect:
            self._prefect.__exit__(None, None, None)
            self._prefect = None

    def close(self) -> None:
        """End all servers."""
        self.server.stop()
        self.end_prefect()

    def restore(self) -> None:
        """The clone as it was before any trial."""
        shutil.rmtree(self.clone.root, ignore_errors=True)
        shutil.copytree(self.folder / "whole", self.clone.root, symlinks=True)

    @property
    def server_pid(self) -> int:
        assert self.server._process
        return self.server._process.pid

    def path(self, name: str) -> Path:
        return self.clone.root / name

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

    def start(
        self, target: Target, prefix: tuple[str, ...] = (), limits: dict[int, int] | None = None, **more: str
    ) -> Command:
        """Start a target's command; in a process of its own if anything about it is special."""
        if target.ray:
            runtime = yaml.safe_load(self.path("params.yaml").read_text())["runtime"] | {"engine": "ray"}
            self.environment["GREENHOUSE_RUNTIME"] = json.dumps(runtime)
        else:
            self.environment.pop("GREENHOUSE_RUNTIME", None)
        of_prefect = {} if target.command[0] == "dvc" or "PREFECT_API_URL" in more else self.prefect()
        environment = self.environment | of_prefect
        with (FOLDER / "output.log").open("w") as log:
            if not (prefix or limits or more):
                environment |= {VARIABLE: self.server.address}
                module, *arguments = target.command
                if module != "dvc":  # whose way of logging the packages that are imported change
                    request = {"module": module, "arguments": arguments, "folder": str(self.clone.root)}
                    return Forked(self.server.address, request | {"environment": environment}, log.fileno())

            def limit() -> None:
                for kind, most in (limits or {}).items():
                    resource.setrlimit(kind, (most, most))

            return subprocess.Popen(
                [*prefix, sys.executable, "-m", *target.command], cwd=self.clone.root,
                env=environment | more,
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                preexec_fn=limit,
            )  # fmt: skip

    def tree(self, command: Command) -> list[psutil.Process]:
        """What a command has started and not yet seen end, itself excepted."""
        below = [*_below(command.pid), *_below(self.server_pid)]
        return [one for one in dict.fromkeys(below) if one.pid != command.pid and _words(one)]

    def ended(self, command: Command) -> Faulty:
        """Wait for the end of a command, and of all it started."""
        tree, deadline = self.tree(command), time.monotonic() + LONGEST_S
        while command.poll() is None and time.monotonic() < deadline:
            tree = self.tree(command) or tree
            time.sleep(0.2)
        hung = command.poll() is None
        _, alive = psutil.wait_procs([*tree, *self.tree(command)], timeout=30)
        alive = [one for one in alive if _words(one)]
        left = [" ".join(_words(one)) for one in alive]
        for one in [*alive, *([psutil.Process(command.pid)] if hung else [])]:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        command.wait()
        assert command.returncode is not None
        return Faulty(command.returncode, (FOLDER / "output.log").read_text(), left + ["hung"] * hung)

    def wait(self, command: Command, trial: Trial) -> None:
        """Until the trial's random moment of the time that its command takes."""
        deadline = time.monotonic() + trial.moment * self.usual_s.get(trial.target, 30.0)
        while time.monotonic() < deadline and command.poll() is None:
            time.sleep(0.02)


def _below(pid: int) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).children(recursive=True)
    return []


def _words(process: psutil.Process) -> list[str]:
    with suppress(psutil.NoSuchProcess):
        return process.cmdline() if process.status() != psutil.STATUS_ZOMBIE else []
    return []


def _plain(world: World, trial: Trial, **more: str) -> Faulty:
    """The command with these variables."""
    return world.ended(world.start(TARGETS[trial.target], **more))


def _signalled(world: World, trial: Trial, name: str, whom: str) -> Faulty:
    """A signal to the command, or to a random process below it, at a random moment."""
    command = world.start(TARGETS[trial.target])
    world.wait(command, trial)
    tree = world.tree(command)
    chosen = command.pid if whom == "command" or not tree else world.dice.choice(tree).pid
    with suppress(ProcessLookupError):
        os.kill(chosen, SIGNALS[name])
    return world.ended(command)


def _limited(world: World, trial: Trial, kind: int, most: int) -> Faulty:
    return world.ended(world.start(TARGETS[trial.target], limits={kind: int(most * (0.1 + trial.moment))}))


def _full(world: World, trial: Trial) -> Faulty:
    """A disk below the work folders that has room for a part of what is written."""
    work, kilobytes = ".greenhouse/work", int(20 + 1000 * trial.moment)
    world.path(work).mkdir(exist_ok=True, parents=True)
    mount = f'mount -t tmpfs -o size={kilobytes}k none {work} && exec "$@"'
    prefix = ("unshare", "--mount", "sh", "-c", mount, "sh")
    if subprocess.run([*prefix, "true"], cwd=world.clone.root, capture_output=True).returncode:
        return _limited(world, trial, resource.RLIMIT_FSIZE, 200_000)
    return world.ended(world.start(TARGETS[trial.target], prefix))


def _two(world: World, trial: Trial) -> Faulty:
    """The same command twice at once: both end, none harms the other."""
    first = world.start(TARGETS[trial.target])
    time.sleep(3 * trial.moment)
    with suppress(FileNotFoundError):
        (FOLDER / "output.log").unlink()  # the second writes another
    second = world.start(TARGETS[trial.target])
    while None in (first.poll(), second.poll()) and first.poll() is second.poll():
        time.sleep(0.2)
    ends = [world.ended(first), world.ended(second)]
    return Faulty(ends[0].status, ends[1].output, ends[0].left + ends[1].left)


def _clock(world: World, trial: Trial) -> Faulty:
    """The wall clock steps by up to two hours, forwards or back."""
    folder = world.folder / "clock"
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(STEPPED)
    places = os.pathsep.join([str(folder), str(world.clone.root)])
    return _plain(world, trial, PYTHONPATH=places, CLOCK_STEP=f"{7200 * (2 * trial.moment - 1):.0f}")


def _cancelled(world: World, trial: Trial) -> Faulty:
    """Cancelled as Prefect's page does it, when it runs."""
    import httpx

    command, api = world.start(TARGETS[trial.target]), world.prefect()["PREFECT_API_URL"]
    world.wait(command, trial)
    asked = {"flow_runs": {"state": {"type": {"any_": ["RUNNING"]}}}, "flows": {"name": {"any_": ["pipeline"]}}}
    with httpx.Client(base_url=f"{api}/", timeout=30) as client:
        for run in client.post("flow_runs/filter", json=asked).json():
            client.post(f"flow_runs/{run['id']}/set_state", json={"state": {"type": "CANCELLING"}})
    return world.ended(command)


def _restarted(world: World, trial: Trial) -> Faulty:
    """The Prefect server that a pipeline uses ends while it runs, and another takes its place."""
    command = world.start(TARGETS[trial.target])
    world.wait(command, trial)
    world.end_prefect()
    return world.ended(command)


def _damage(path: Path, how: str, dice: random.Random) -> None:
    whole, place = path.read_bytes(), dice.randrange(path.stat().st_size)
    path.chmod(0o644)
    flipped = whole[:place] + bytes([whole[place] ^ 1 << dice.randrange(8)]) + whole[place + 1 :]
    path.write_bytes(flipped if how == "flipped" else whole[:place])


def _files(world: World, pattern: str) -> list[Path]:
    return sorted(path for path in world.clone.root.glob(pattern) if path.is_file() and path.stat().st_size)


@contextmanager
def _aside(path: Path) -> Iterator[None]:
    """The file as it was, afterwards."""
    whole, mode = path.read_bytes(), path.stat().st_mode
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(whole)
        path.chmod(mode)


def _damaged(world: World, trial: Trial, pattern: str, how: str) -> Faulty:
    """A bit flipped in a file, or its end cut off, before the command starts. The file is put back after it."""
    if not (files := _files(world, pattern)):
        raise LookupError(f"nothing to damage: {pattern}")
    path = world.dice.choice(files)
    with _aside(path):
        _damage(path, how, world.dice)
        return _plain(world, trial)


def _checkpoint(world: World, trial: Trial, how: str) -> Faulty:
    """Killed once there is a checkpoint, which is then damaged: the rerun must see that."""
    command, pattern = world.start(TARGETS[trial.target]), f".greenhouse/work/{trial.target}/*/**/*.safetensors"
    while not (files := _files(world, pattern)) and command.poll() is None:
        time.sleep(0.01)
    with suppress(ProcessLookupError):
        os.kill(command.pid, signal.SIGKILL)
    faulty = world.ended(command)
    if files := _files(world, pattern) or files:
        with suppress(FileNotFoundError):
            _damage(world.dice.choice(files), how, world.dice)
    return faulty


def _blocked(world: World, trial: Trial) -> Faulty:
    """A folder that the stage writes to cannot be written: a file lies in its place."""
    path = world.path(world.dice.choice(("reports", ".greenhouse/work", ".greenhouse/logs")))
    aside = path.with_name(f"{path.name}.aside")
    path.rename(aside) if path.exists() else None
    path.write_text("in the way")
    try:
        return _plain(world, trial)
    finally:
        path.unlink()
        aside.rename(path) if aside.exists() else None


FAULTS: dict[str, Callable[[World, Trial], Faulty]] = {
    **{
        f"{name} to {whom}": partial(_signalled, name=name, whom=whom)
        for name in SIGNALS
        for whom in ("command", "any process")
    },
    "full disk": _full,
    "largest file": partial(_limited, kind=resource.RLIMIT_FSIZE, most=300_000),
    "memory": partial(_limited, kind=resource.RLIMIT_AS, most=6_000_000_000),
    "open files": partial(_limited, kind=resource.RLIMIT_NOFILE, most=60),
    "clock step": _clock,
    "two at once": _two,
    "folder in the way": _blocked,
    "cancelled in Prefect": _cancelled,
    "Prefect server restarted": _restarted,
    "dead tracking server": partial(_plain, MLFLOW_TRACKING_URI=DEAD),
    "dead Prefect server": partial(_plain, PREFECT_API_URL=f"{DEAD}/api"),
    **{f"checkpoint, {how}": partial(_checkpoint, how=how) for how in ("flipped", "cut")},
    **{
        f"{what}, {how}": partial(_damaged, pattern=pattern, how=how)
        for what, pattern in {
            "shard": "data/*/**/*.parquet", "manifest": "data/*/**/manifest.json", "model": "models/*/*/*.safetensors",
            "lock": "dvc.lock", "params": "params.yaml", "ledger": ".greenhouse/ledger/*",
            "cache": ".dvc/cache/files/**/*", "database": ".greenhouse/mlflow.db",
        }.items()
        for how in ("flipped", "cut")
    },
}  # fmt: skip
"""Fault -> what carries it out."""
OF_PIPELINES = ("cancelled in Prefect", "Prefect server restarted")
OF_TRAINING = ("checkpoint, flipped", "checkpoint, cut")


def judged(world: World, trial: Trial, faulty: Faulty) -> None:
    """Run the command again without the fault, and note everything that is not as it was."""
    wrong, target = trial.wrong, TARGETS[trial.target]
    wrong += [f"left: {words}" for words in faulty.left]
    last = [line for line in faulty.output.splitlines() if line.strip()][-40:]
    if any("Traceback (most recent call last)" in line for line in last):
        wrong.append(f"a traceback: {last[-1][:200]}")
    trial.said = last[-1][:300] if last else ""
    begun, started = time.time(), time.monotonic()
    again = world.start(target)
    while again.poll() is None and not _at_work(world, begun):
        time.sleep(0.02)
    trial.recover_s = time.monotonic() - started
    rerun = world.ended(again)
    world.usual_s[trial.target] = time.monotonic() - started
    if rerun.status:
        wrong.append(f"the rerun ended with {rerun.status}: {rerun.output[-300:]}")
    if "up to date" not in (status := world.ended(world.start(Target(("dvc", "status"), ())))).output:
        if (end := world.ended(world.start(Target(("dvc", "repro"), ())))).status:
            wrong.append(f"dvc repro ended with {end.status}: {end.output[-300:]}")
        if "up to date" not in world.ended(world.start(Target(("dvc", "status"), ()))).output:
            wrong.append(f"dvc status is not clean: {status.output[-300:]}")
    if world.clone.outputs() != world.hashes:
        wrong.append("other hashes")
    if target.makes and world.made.setdefault(target.makes, made := md5_file(world.path(target.makes))) != made:
        wrong.append(f"another {target.makes}")
    wrong += [f"open: {path.name}" for path in world.path(".greenhouse/open").glob("*.json")]
    # The parent run of a `dvc repro` of one stage is closed by the next start, whatever starts: here it belongs to the
    # fork server, above all stages, or began with the rerun.
    parents = list(world.path(".greenhouse/parents").glob("*.json"))
    own = [path for path in parents if path.stat().st_mtime >= begun or path.stem.endswith(f"-{world.server_pid}")]
    wrong += [f"open: {path.name}" for path in parents if path not in own]
    known = {json.loads(path.read_text()).get("mlflow") for path in own}
    with closing(sqlite3.connect(world.path(".greenhouse/mlflow.db"))) as database:  # a client would keep a deleted one
        running = database.execute("select run_uuid, name from runs where status = 'RUNNING'").fetchall()
    wrong += [f"RUNNING in MLflow: {name}" for run_id, name in running if run_id not in known]
    if len(trees := world.clone.git("worktree", "list").splitlines()) > 1:
        wrong.append(f"worktrees: {trees[1:]}")
    reader.read(world.path(".greenhouse/ledger"))


def _at_work(world: World, since: float) -> bool:
    """Whether a stage or a study has begun its work since then: it records that it is open just before."""
    for path in world.path(".greenhouse/open").glob("*.json"):
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


def report(trials: list[Trial]) -> None:
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
        "processors_shared_by": psutil.getloadavg()[2],
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
    parser.add_argument("--begin", type=int, default=0, help="number of the first of each (default: %(default)s)")
    parser.add_argument("--only", default="", help="faults or targets whose names hold this")
    parser.add_argument("--list", action="store_true", help="list the trials and stop")
    parser.add_argument("--report", action="store_true", help="try nothing more: report what has been tried")
    arguments = parser.parse_args()
    planned = [
        (int(seed), number)
        for seed in arguments.seeds.split(",")
        for number in range(arguments.begin, arguments.trials)
    ]
    planned = [one for one in planned if arguments.only in f"{drawn(*one).fault}, {drawn(*one).target}"]
    if arguments.list:
        for which in planned:
            print(drawn(*which))
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    log = FOLDER / "trials.jsonl"
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
                world.end_prefect()
                world.restore()
        world.close()
    report(list(trials.values()))


if __name__ == "__main__":
    main()
