"""Several training processes as one: each takes its part of every batch, and gradients are summed over all.

Data parallelism in the plain form (Li et al. 2020, arXiv:2006.15704): equal weights everywhere, equal updates
everywhere. The loss is divided by the targets of the whole batch before the backward pass, so summing is all there is
to it, and N processes follow the losses of one. With `numerics.sharded` no process holds all of the training state
(sharding.py). Rank 0 is the stage's own process, which reports, evaluates and saves;
it starts the others and they die with it. Started under torchrun (its environment variables are set), every process
joins the group torchrun made instead.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from components.core.errors import UserError
from components.core.workers import die_with_parent
from components.params import Numerics
from components.training.objectives import Batch

LEADER = "GREENHOUSE_TRAINING_LEADER"
"""Environment variable that tells a follower the process it must not outlive."""
TIMEOUT = timedelta(minutes=10)
"""How long a process waits for the others before it gives up."""


@dataclass(frozen=True)
class Group:
    """The processes that train one model, as one of them sees them."""

    rank: int = 0
    size: int = 1
    sharded: bool = False

    @property
    def leads(self) -> bool:
        """Whether this process reports, evaluates and saves."""
        return self.rank == 0

    def part(self, batch: Batch) -> Batch:
        """This process's examples of a batch."""
        count = len(batch.ids_BT)
        return batch.part(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def sum_(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over all processes, in one exchange."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(flat)
        for tensor, summed in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(summed.view_as(tensor))

    def any(self, flag: bool) -> bool:
        """Whether any process says so. All must ask."""
        if self.size == 1:
            return flag
        count = torch.tensor(float(flag), device=self._device)
        dist.all_reduce(count)
        return bool(count > 0)

    def from_leader(self, value: int) -> int:
        """The leader's value, for all. All must ask."""
        if self.size == 1:
            return value
        held = torch.tensor(value, device=self._device)
        dist.broadcast(held, src=0)
        return int(held)

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            dist.barrier()

    @property
    def _device(self) -> str:
        return "cuda" if dist.get_backend() == "nccl" else "cpu"


SINGLE = Group()


@contextmanager
def group(numerics: Numerics, work: Path, follower: Sequence[str]) -> Iterator[Group]:
    """The group this process belongs to, for as long as the context lasts.

    Args:
        numerics: `processes` is the group's size; `device` chooses gloo or nccl.
        work: folder where the processes find each other.
        follower: arguments of `python` that start one more process of the same training; it calls `group` too.

    Raises:
        UserError: more CUDA processes than devices.
    """
    if numerics.processes == 1:
        yield SINGLE
        return
    if numerics.device == "cuda" and torch.cuda.device_count() < numerics.processes:
        raise UserError(
            f"numerics.processes = {numerics.processes}: this machine has {torch.cuda.device_count()} CUDA devices; "
            "set it to at most that many"
        )
    work.mkdir(parents=True, exist_ok=True)
    meeting, followers = work / "meeting", []
    if "RANK" not in os.environ:
        meeting.unlink(missing_ok=True)
        followers = [_start(follower, rank) for rank in range(1, numerics.processes)]
    try:
        yield _join(numerics, meeting)
        dist.barrier()
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
        for process in followers:
            _end(process)
        if followers:
            meeting.unlink(missing_ok=True)


def _join(numerics: Numerics, meeting: Path) -> Group:
    rank = int(os.environ.get("RANK", "0"))
    if LEADER in os.environ:
        die_with_parent(int(os.environ[LEADER]))
    backend = "nccl" if numerics.device == "cuda" else "gloo"
    if numerics.device == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", rank)))
    if "MASTER_ADDR" in os.environ:  # torchrun
        dist.init_process_group(backend, timeout=TIMEOUT)
    else:
        store = dist.FileStore(str(meeting), numerics.processes)
        dist.init_process_group(backend, store=store, rank=rank, world_size=numerics.processes, timeout=TIMEOUT)
    if dist.get_world_size() != numerics.processes:
        raise UserError(
            f"numerics.processes = {numerics.processes}, but torchrun started {dist.get_world_size()}; make them equal"
        )
    return Group(rank, numerics.processes, numerics.sharded)


def _start(follower: Sequence[str], rank: int) -> subprocess.Popen:
    environment = os.environ | {"RANK": str(rank), "LOCAL_RANK": str(rank), LEADER: str(os.getpid())}
    root = str(Path(__file__).resolve().parents[2])
    environment["PYTHONPATH"] = os.pathsep.join(part for part in (root, os.environ.get("PYTHONPATH")) if part)
    return subprocess.Popen([sys.executable, *follower], env=environment)


def _end(process: subprocess.Popen) -> None:
    """Followers end by themselves when the group does; one that hangs is killed."""
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
