"""Faults: each runs a command in the clone, and does something to it or to what it reads meanwhile."""

import os
import random
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.chaos_world import DEAD, FOLDER, TARGETS, Faulty, Trial, World
from components.core.files import md5_file

SIGNALS = {"SIGKILL": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "SIGINT": signal.SIGINT}
STEPPED = """
import os, random, time
begun, step, real = time.monotonic(), float(os.environ["CLOCK_STEP"]), (time.time, time.time_ns)
moved = lambda: step if time.monotonic() - begun > 2 else 0.0
time.time = lambda: real[0]() + moved()
time.time_ns = lambda: real[1]() + int(1e9 * moved())
"""
"""sitecustomize.py of a process whose clock steps two seconds after its start."""


def _plain(world: World, trial: Trial, **more: Any) -> Faulty:
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


def _limited(world: World, trial: Trial, kind: int, most: int, least: int = 0) -> Faulty:
    limit = max(least, int(most * (0.1 + trial.moment)))
    return world.ended(world.start(TARGETS[trial.target], limits={kind: limit}))


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

    command, variables = world.start(TARGETS[trial.target]), world.prefect()
    api, (user, password) = variables["PREFECT_API_URL"], variables["PREFECT_API_AUTH_STRING"].split(":")
    world.wait(command, trial)
    asked = {"flow_runs": {"state": {"type": {"any_": ["RUNNING"]}}}, "flows": {"name": {"any_": ["pipeline"]}}}
    with httpx.Client(base_url=f"{api}/", auth=(user, password), timeout=30) as client:
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
    """Cut a file, or flip a bit of it as a disk does: its time stays, so that DVC takes it for unchanged."""
    whole, place, before = path.read_bytes(), dice.randrange(path.stat().st_size), path.stat()
    path.chmod(0o644)
    flipped = whole[:place] + bytes([whole[place] ^ 1 << dice.randrange(8)]) + whole[place + 1 :]
    path.write_bytes(flipped if how == "flipped" else whole[:place])
    if how == "flipped":
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _files(world: World, pattern: str) -> list[Path]:
    return sorted(path for path in world.clone.root.glob(pattern) if path.is_file() and path.stat().st_size)


def _read(world: World, trial: Trial, pattern: str) -> Path:
    """One of the files of a pattern: of those that the target reads, if it reads any."""
    if not (files := _files(world, pattern)):
        raise LookupError(f"nothing to damage: {pattern}")
    inputs = [world.path(path) for path in world.inputs(TARGETS[trial.target])]
    return world.dice.choice([path for path in files if any(map(path.is_relative_to, inputs))] or files)


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
    path = _read(world, trial, pattern)
    with _aside(path):
        _damage(path, how, world.dice)
        return _plain(world, trial)


def _cache(world: World, trial: Trial, how: str) -> Faulty:
    """An input is gone, and one of the objects that DVC restores it from is damaged."""
    path = _read(world, trial, "data/*/**/*.parquet")
    digest = md5_file(path)
    kept = world.path(f".dvc/cache/files/md5/{digest[:2]}/{digest[2:]}")
    with _aside(kept):
        _damage(kept, how, world.dice)
        path.unlink()
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
    # With fewer than ten the `dvc` command itself does not start, and says so with a traceback of its own.
    "open files": partial(_limited, kind=resource.RLIMIT_NOFILE, most=60, least=10),
    "clock step": _clock,
    "two at once": _two,
    "folder in the way": _blocked,
    "cancelled in Prefect": _cancelled,
    "Prefect server restarted": _restarted,
    "dead tracking server": partial(_plain, MLFLOW_TRACKING_URI=DEAD),
    "dead Prefect server": partial(_plain, PREFECT_API_URL=f"{DEAD}/api"),
    **{f"checkpoint, {how}": partial(_checkpoint, how=how) for how in ("flipped", "cut")},
    **{f"cache, {how}": partial(_cache, how=how) for how in ("flipped", "cut")},
    **{
        f"{what}, {how}": partial(_damaged, pattern=pattern, how=how)
        for what, pattern in {
            "shard": "data/*/**/*.parquet", "manifest": "data/*/**/manifest.json", "model": "models/*/*/*.safetensors",
            "lock": "dvc.lock", "params": "params.yaml", "ledger": ".greenhouse/ledger/*",
            "database": ".greenhouse/mlflow.db",
        }.items()
        for how in ("flipped", "cut")
    },
}  # fmt: skip
"""Fault -> what carries it out."""
OF_PIPELINES = ("cancelled in Prefect", "Prefect server restarted")
OF_TRAINING = ("checkpoint, flipped", "checkpoint, cut")
ABLE = {
    **dict.fromkeys(OF_TRAINING, ("pretrain@causal", "pretrain@masked")),
    **dict.fromkeys(("model, flipped", "model, cut"), (
        "finetune@classify", "finetune@instruct", "pipeline, tuning", "pipeline, end", "evaluate")),
    **{
        f"{what}, {how}": tuple(name for name in TARGETS if name != "ingest")
        for what in ("shard", "manifest", "cache") for how in ("flipped", "cut")
    },
}  # fmt: skip
"""Fault -> the targets that it can harm, where those are not all: ingest reads nothing of the pipeline's."""
