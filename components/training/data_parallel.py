"""Data parallelism: each process takes its slice of every batch, and gradients are summed over all.

The plain form (Li et al. 2020, arXiv:2006.15704): equal weights everywhere, equal updates
everywhere. The loss is divided by the targets of the whole batch before the backward pass, so
summing is all there is to it, and N processes follow the losses of one. Rank 0 is the
stage's own process, which reports, evaluates and saves; it starts the workers, and they die with
it. Under torchrun (its environment variables are set), which places processes on one machine or
several, every process joins the group torchrun made.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

import psutil
import torch
import torch.distributed as dist
from torch import Tensor

from components.core.errors import Stopped, UserError, clause
from components.core.workers import die_with_parent
from components.params import Numerics

MAIN_PID = "GREENHOUSE_TRAINING_MAIN_PID"
"""Environment variable with the pid of rank 0, which a worker must not outlive."""
TIMEOUT = timedelta(minutes=10)
"""Time that a process waits for the others before it gives up."""
CALL_S = 60.0
"""Time after which rank 0 tells the others that it still works for itself."""
LOST_S = 15.0
"""Seconds after a failed exchange in which the end of a worker that caused it becomes known."""
GRACE_S = 5.0
"""Seconds that an exchange has to fail by itself after a worker's end, and again after the group was aborted."""

Result = TypeVar("Result")
Ended = Callable[[], str | None]
"""Which process ended before its work did, in words; None while all work."""


class WorkerLostError(Exception):
    """A training process ended before its work did; the others cannot go on."""


@dataclass(frozen=True)
class ProcessGroup:
    """Processes that train one model together, seen from one rank."""

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process reports, evaluates and saves."""
        return self.rank == 0

    def all_reduce(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over all ranks, in one exchange."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(flat)
        for tensor, summed in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(summed.view_as(tensor))

    def any_rank(self, flag: bool) -> bool:
        """Whether the flag is set on any rank; every rank must call it."""
        if self.size == 1:
            return flag
        count = torch.tensor(float(flag), device=self._device)
        dist.all_reduce(count)
        return bool(count > 0)

    def broadcast(self, value: int) -> int:
        """The value of rank 0, on every rank; every rank must call it."""
        if self.size == 1:
            return value
        shared = torch.tensor(value, device=self._device)
        dist.broadcast(shared, src=0)
        return int(shared)

    def on_main(self, work: Callable[[], object]) -> None:
        """Rank 0 works, the others wait for it, however long it takes; every rank must call it."""
        if self.size == 1:
            work()
            return
        if not self.is_main:
            while not self.broadcast(0):
                pass
            return
        done = threading.Event()

        def call() -> None:
            with suppress(RuntimeError):  # another process was lost, which the next exchange says
                while not done.wait(CALL_S):
                    self.broadcast(0)

        calling = threading.Thread(target=call, daemon=True)
        calling.start()
        try:
            work()
        finally:
            done.set()
            calling.join()
        self.broadcast(1)

    def barrier(self) -> None:
        """Wait until every rank has called it."""
        if self.size > 1:
            dist.barrier()

    @property
    def _device(self) -> str:
        return "cuda" if dist.get_backend() == "nccl" else "cpu"


SINGLE = ProcessGroup()


def _start(worker: Sequence[str], rank: int) -> subprocess.Popen:
    """Start a training process; it dies with this one."""
    environment = os.environ | {"RANK": str(rank), "LOCAL_RANK": str(rank), MAIN_PID: str(os.getpid())}
    root = str(Path(__file__).resolve().parents[2])
    environment["PYTHONPATH"] = os.pathsep.join(part for part in (root, os.environ.get("PYTHONPATH")) if part)
    return subprocess.Popen([sys.executable, *worker], env=environment)


@contextmanager
def process_group(numerics: Numerics, work: Path, worker: Sequence[str]) -> Iterator[ProcessGroup]:
    """Context of the `ProcessGroup` that this process belongs to; starts the workers if it is rank 0.

    Args:
        numerics: `processes` is the group's size; `device` chooses gloo or nccl.
        work: folder of the rendezvous file.
        worker: arguments of `python` that start one more process of the same training; it calls
            `process_group` too.

    Raises:
        UserError: more CUDA processes than devices.
        WorkerLostError: one of the workers ended before the `with` block did.
    """
    if numerics.processes == 1:
        yield SINGLE
        return
    work.mkdir(parents=True, exist_ok=True)
    rendezvous, workers = work / "rendezvous", []
    if "RANK" not in os.environ:
        if numerics.device == "cuda" and torch.cuda.device_count() < numerics.processes:
            raise UserError(
                f"numerics.processes = {numerics.processes}: this machine has {torch.cuda.device_count()} CUDA "
                "devices; set it to at most that many"
            )
        rendezvous.unlink(missing_ok=True)
        workers = [_start(worker, rank) for rank in range(1, numerics.processes)]
    finished = threading.Event()
    ended: Ended = partial(_ended, workers)
    try:
        group, store = _join(numerics, rendezvous, ended)
        if "MASTER_ADDR" in os.environ:
            ended = _ended_peer(store, group)
        threading.Thread(target=_watch, args=(ended, finished), daemon=True).start()
        yield group
        dist.barrier()
        finished.set()
    except RuntimeError as error:
        if any(word in str(error).lower() for word in ("gloo", "nccl")) or isinstance(error, dist.DistError):
            _raise_if_lost(ended, LOST_S)
            if MAIN_PID in os.environ:  # another process ended, and rank 0 says why
                sys.exit(1)
        raise
    finally:
        completed = finished.is_set()
        finished.set()
        if dist.is_initialized():
            dist.destroy_process_group()
        for process in workers:
            if not completed:  # rank 0 alone saves: the others have nothing to end in order
                process.kill()
            _end(process)
        if workers:
            rendezvous.unlink(missing_ok=True)


def _watch(ended: Ended, finished: threading.Event) -> None:
    """End this process if it hangs in an exchange with one that has ended.

    Over gloo the exchange fails at once. NCCL's waits for the timeout and then aborts the process
    without a word: so the group is aborted here, and if that does not help either, the process ends
    with the sentence.
    """
    while not finished.wait(1.0):
        if sentence := ended():
            if finished.wait(GRACE_S) or not dist.is_initialized():
                return
            threading.Thread(target=_abort, daemon=True).start()  # it may hang too
            if not finished.wait(GRACE_S):
                print(f"{sentence}; run it again, it resumes from its last checkpoint", file=sys.stderr, flush=True)
                os._exit(1)


def _abort() -> None:
    with suppress(Exception):
        dist.distributed_c10d._abort_process_group()


@contextmanager
def as_worker() -> Iterator[None]:
    """Context of a process that rank 0 started: rank 0 says why all end, and the terminal's Ctrl-C asks it alone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    except Stopped:
        sys.exit(1)
    except UserError as error:
        print(f"training process {os.environ['RANK']}: {error}", file=sys.stderr)
        sys.exit(1)


def _join(numerics: Numerics, rendezvous: Path, ended: Ended) -> tuple[ProcessGroup, dist.Store]:
    rank = int(os.environ.get("RANK", "0"))
    if MAIN_PID in os.environ:
        die_with_parent(int(os.environ[MAIN_PID]))
    backend = "nccl" if numerics.device == "cuda" else "gloo"
    store: dist.Store
    if "MASTER_ADDR" in os.environ:  # torchrun
        store, rank, size = next(dist.rendezvous("env://", timeout=TIMEOUT))
        # One store serves all starts of the processes: without a prefix they may find an address of
        # the start before.
        store = dist.PrefixStore(f"start/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=TIMEOUT)
    else:
        store = dist.FileStore(str(rendezvous), numerics.processes)
        store.set(f"here/{rank}", "")
        while rank == 0 and not all(store.check([f"here/{other}"]) for other in range(1, numerics.processes)):
            _raise_if_lost(ended)
            time.sleep(0.05)
        dist.init_process_group(backend, store=store, rank=rank, world_size=numerics.processes, timeout=TIMEOUT)
    if dist.get_world_size() != numerics.processes:
        raise UserError(
            f"numerics.processes = {numerics.processes}, but torchrun started {dist.get_world_size()}; make them equal"
        )
    return ProcessGroup(rank, numerics.processes), store


def train_together(
    train: Callable[[ProcessGroup], Result], numerics: Numerics, work: Path, worker: Sequence[str]
) -> tuple[Result, ProcessGroup]:
    """Result of `train` in the group of processes, and the group.

    Args:
        train: goes on from the last checkpoint in `work`, wherever it was interrupted.
        worker: as for `process_group`.

    Raises `UserError`: a worker was lost.
    """
    try:
        with process_group(numerics, work, worker) as group:
            return train(group), group
    except WorkerLostError as error:
        raise UserError(f"{error}; run it again, it resumes from its last checkpoint") from None


def _ended(workers: Sequence[subprocess.Popen]) -> str | None:
    """`Ended` of the processes that this one started."""
    for rank, status in enumerate((worker.poll() for worker in workers), start=1):
        if status:
            return f"training process {rank} of {len(workers) + 1} ended (status {status})"
    return None


def _ended_peer(store: dist.Store, group: ProcessGroup) -> Ended:
    """`Ended` of torchrun's processes: on this machine by their pids, on another because one there has said so."""
    store.set(f"pid/{group.rank}", str(os.getpid()))
    first, count = group.rank - int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    pids = {rank: int(store.get(f"pid/{rank}")) for rank in range(first, first + count)}

    def ended() -> str | None:
        lost = [rank for rank, pid in pids.items() if not psutil.pid_exists(pid)]
        try:
            if lost:
                store.set("lost", f"training process {lost[0]} of {group.size} ended")
            return store.get("lost").decode() if store.check(["lost"]) else None
        except RuntimeError as error:
            return f"torchrun's store is lost ({clause(error)})"

    return ended


def _raise_if_lost(ended: Ended, within_s: float = 0.0) -> None:
    """Raise if a process has ended, or does within some seconds."""
    deadline = time.monotonic() + within_s
    while True:
        if sentence := ended():
            raise WorkerLostError(sentence) from None
        if time.monotonic() >= deadline:
            return
        time.sleep(0.1)


def _end(process: subprocess.Popen) -> None:
    """Workers end by themselves when the group does; one that hangs is killed."""
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(timeout=10)
