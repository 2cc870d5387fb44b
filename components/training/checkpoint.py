"""Checkpoints: a folder per step, written aside, synced, renamed; the newest that verifies is the one resumed.

    step-000050/
      model.safetensors, config.json, tokenizer.json, ...   a model folder, as `transformers` reads it
      trainer.safetensors                                   optimizer state, losses so far; the rest as JSON metadata
      files.json                                            sha256 of each file, written last

A kill at any moment leaves whole checkpoints and perhaps a folder whose name begins with a dot,
which the next save removes. A damaged checkpoint is skipped with a message, and the one before it
is taken.
"""

import json
import os
import re
import shutil
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Any

import safetensors
from torch import Tensor

from components.core.errors import UserError
from components.core.files import read_fields, read_json, sha256_file, sync_folder, write_json
from components.model.export import save_tensors

NAME = re.compile(r"step-(\d{6,})")


def save(
    work: Path,
    step: int,
    keep: int,
    write_model: Callable[[Path], None],
    tensors: dict[str, Tensor],
    state: dict[str, Any],
    retain: Callable[[int], bool] = lambda step: False,
) -> Path:
    """Write the checkpoint of `step` under `work`, then remove all but the newest `keep` and those that `retain` names.

    Args:
        retain: whether to keep an old checkpoint of this step.
        write_model: writes the model folder into the path it is given.
        tensors: everything else resuming needs.
        state: JSON beside the tensors.
    """
    work.mkdir(parents=True, exist_ok=True)
    folder, temp = folder_of(work, step), work / f".step-{step:06d}"
    for left in (temp, folder):
        shutil.rmtree(left, ignore_errors=True)
    temp.mkdir()
    write_model(temp)
    save_tensors(tensors, temp / "trainer.safetensors", {"state": json.dumps(state)})
    write_json(temp / "files.json", {path.name: sha256_file(path) for path in sorted(temp.iterdir())})
    sync_folder(temp)
    os.replace(temp, folder)
    sync_folder(work)
    for old in steps(work)[keep:]:
        if not retain(old):
            shutil.rmtree(folder_of(work, old), ignore_errors=True)
    return folder


def steps(work: Path) -> list[int]:
    """Steps that have a checkpoint, newest first."""
    if not work.is_dir():
        return []
    matches = (NAME.fullmatch(path.name) for path in work.iterdir())
    return sorted((int(match[1]) for match in matches if match), reverse=True)


def folder_of(work: Path, step: int) -> Path:
    """Folder of the checkpoint of `step`."""
    return work / f"step-{step:06d}"


def publish(work: Path, kept: Path, every: int) -> None:
    """Put the checkpoints of every so many steps, and the last, into `kept`, with index.json: step -> file -> sha256.

    Hard links where the disk allows, so that a killed run still has them to resume. Without `every`
    the index is empty.
    """
    chosen = [step for step in reversed(steps(work)) if every and (step % every == 0 or step == steps(work)[0])]
    index = {folder_of(work, step).name: read_json(folder_of(work, step) / "files.json") for step in chosen}
    shutil.rmtree(kept, ignore_errors=True)
    for name in index:
        shutil.copytree(work / name, kept / name, copy_function=_link)
    write_json(kept / "index.json", index)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, target)


def newest(work: Path, log: Callable[[str], None]) -> int | None:
    """The newest step whose checkpoint is whole, or None; each damaged one is logged."""
    for step in steps(work):
        folder = folder_of(work, step)
        problem = damage(folder)
        if problem is None:
            return step
        log(f"checkpoint {folder.name} is damaged ({problem}); trying the one before it")
    return None


def damage(folder: Path) -> str | None:
    """Sentence about the damage of a checkpoint, or None if it is whole."""
    try:
        expected = read_fields(folder / "files.json", "")
        wrong = [name for name, digest in expected.items() if sha256_file(folder / name) != digest]
    except (OSError, ValueError, UserError) as error:
        return f"{type(error).__name__}: {error}"
    return f"{wrong[0]} does not match its checksum" if wrong else None


def read(folder: Path) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Any]]:
    """(the model's tensors, the trainer's tensors, the trainer's state) of a checkpoint."""
    with safetensors.safe_open(folder / "model.safetensors", framework="pt") as file:
        model = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    with safetensors.safe_open(folder / "trainer.safetensors", framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        state = json.loads(file.metadata()["state"])
    return model, tensors, state


MAX_SHARE = 0.01
"""Share of the time that synchronous writes may take."""


class CheckpointWriter:
    """Context manager of a run's checkpoint writes; leaving it waits for the last one.

    Where the last checkpoint took more than `MAX_SHARE` of the time since the one before, the next
    is written from a copy in memory by a thread, if there is room; the files are the same. At most
    one write is pending: whoever needs the newest checkpoint (a save, a rollback, the end) waits
    for it in `finish`, which raises the error of a write that failed.
    """

    def __init__(self) -> None:
        self.slow = False
        self._ended_s: float | None = None
        self._pending: Future[None] | None = None
        self._thread = ThreadPoolExecutor(1, "checkpoint")

    def write(self, write: Callable[[], object], asynchronous: bool) -> None:
        """Call `write`, on a thread if `asynchronous`. The write before must have finished."""
        assert self._pending is None
        if asynchronous:
            self._pending = self._thread.submit(self._timed, write)
        else:
            self._timed(write)

    def finish(self) -> None:
        """Wait for the pending write; raises what it raised."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def _timed(self, write: Callable[[], object]) -> None:
        started_s = perf_counter()
        write()
        ended_s = perf_counter()
        if self._ended_s is not None:
            self.slow = ended_s - started_s > MAX_SHARE * (ended_s - self._ended_s)
        self._ended_s = ended_s

    def __enter__(self) -> "CheckpointWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(wait=True)
        if error is None:
            self.finish()
