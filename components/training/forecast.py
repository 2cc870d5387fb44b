"""Forecast of a training's memory and time before its first step, from forward passes over a few rows.

Autograd is asked what it keeps for the backward pass: what grows with the rows is scaled to a whole
batch, which holds for every architecture; compiled blocks keep what the compiler's cut of their
graph says. To it come weights, gradients, AdamW's two moments, the logits of a chunk, kernels of
each shape, and the libraries of the report. Gradients come as what the backward pass needs goes,
but both are added: a process keeps what it freed. On a CPU memory is that of the process (its
resident set at the peak), on CUDA what tensors take of the device.
"""

import re
import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import psutil
import torch
from torch import Tensor, nn

from components.core.errors import UserError
from components.model.cpu_kernels import logit_rows
from components.params import Numerics
from components.training import numerics as floats
from components.training import optimizer
from components.training.device_memory import bytes_of, gigabytes
from components.training.objectives import Batch, Objective
from components.training.train_config import TrainConfig
from greenhouse_record.metering.rapl import text_of

SAMPLE = 64
"""Batches that are looked at for the largest, and for the mean size."""
PASSES = 3
"""Passes forward that a step takes as long as: the backward pass is two."""
TIMED_ROWS = 8
"""Rows of the pass that is timed: two take nearly as long as eight, which made 5 minutes of 1.3."""
REPORT = 40_000_000
"""Bytes of the libraries that draw a report: 20 to 35 MB were measured."""

PER_SHAPE, MOST_SHAPES = 10_000_000, 45
"""Bytes that a CPU's kernels keep for each new width of a batch, and widths at most, since the
oldest give way; four numbers of targets count as a width. Measured on six tunings of 20 to 222
steps: the growth after the first step."""


@dataclass(frozen=True)
class TrainingForecast:
    """Bytes at the peak, and seconds of all steps."""

    memory: int
    seconds: float

    def __str__(self) -> str:
        return f"{gigabytes(self.memory)} of memory at the peak, {self.seconds:,.1f} s to compute all steps"


def forecast(
    model: Any, batches: Callable[[int], Batch], objective: Objective, config: TrainConfig, numerics: Numerics
) -> TrainingForecast:
    """Forecast of one process; the model keeps its weights, and no gradient is left."""
    sample = [batches(number) for number in range(min(config.steps, SAMPLE))]
    largest = max(sample, key=lambda batch: batch.ids_BT.numel())
    rows = -(-len(largest.ids_BT) // numerics.processes)
    rows = min(rows, config.micro_batch or rows)
    model.to(numerics.device).train()
    optimizer.build(model, config.optimizer)  # the first imports 40 to 90 MB, which are then part of what is held
    parts = [largest.slice(0, rows).to(numerics.device) for rows in (1, 2)]
    kept = [_kept(model, part, objective, numerics) for part in parts]
    timed = largest.slice(0, min(rows, TIMED_ROWS)).to(numerics.device)
    seconds = min(_seconds(model, timed, objective, numerics) for _ in range(2))  # the first meets a new shape
    if numerics.compile:
        with floats.partitioned(model):
            kept = [_kept(model, part, objective, numerics) for part in parts]
    activations = kept[0] + (rows - 1) * max(0, kept[1] - kept[0])
    vocab_size = getattr(model, "num_labels", model.shape.vocab_size)  # a classifier has no logits of tokens
    logits = 2 * vocab_size * min(logit_rows(vocab_size, numerics.device), rows * largest.ids_BT.shape[1])
    trained = sum(parameter.nbytes for parameter in model.parameters() if parameter.requires_grad)
    total = sum(batch.ids_BT.numel() for batch in sample) / len(sample) * config.steps / numerics.processes
    held, reached = _held_bytes(numerics.device)
    shapes = len({batch.ids_BT.shape for batch in sample}) - 1 + len({batch.num_targets for batch in sample}) // 4
    kernels = PER_SHAPE * min(MOST_SHAPES, shapes) if numerics.device == "cpu" else 0
    memory = max(reached, held + 3 * trained + activations + logits + kernels + REPORT)
    return TrainingForecast(memory, PASSES * seconds * total / timed.ids_BT.numel())


def _seconds(model: nn.Module, batch: Batch, objective: Objective, numerics: Numerics) -> float:
    """Seconds of a pass forward."""
    started = perf_counter()
    _kept(model, batch, objective, numerics)
    return perf_counter() - started


def _kept(model: nn.Module, batch: Batch, objective: Objective, numerics: Numerics) -> int:
    """Bytes that the backward pass of a batch needs beside the weights."""
    parameters = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    sizes = dict[int, int]()

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), floats.autocast(numerics):
        loss = objective(model, batch)
    del loss
    return sum(sizes.values())


def _held_bytes(device: str) -> tuple[int, int]:
    """Bytes that are taken before the first step, and that were at the peak until then."""
    if device == "cuda":
        return int(torch.cuda.memory_allocated()), int(torch.cuda.max_memory_allocated())
    return int(psutil.Process().memory_info().rss), peak_bytes()


def peak_bytes() -> int:
    """The most memory that this process has had; where the kernel does not say, that of the one that started it too."""
    if known := re.search(r"VmHWM:\s+(\d+) kB", text_of("/proc/self/status")):
        return int(known[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def refuse_beyond(cost: TrainingForecast, config: TrainConfig, numerics: Numerics, limit: int | None = None) -> None:
    """Compare a forecast with the memory that there is. Raises `UserError`: it is more."""
    limit = bytes_of(numerics.device) if limit is None else limit
    needed = cost.memory * (numerics.processes if numerics.device == "cpu" else 1)
    if needed > limit:
        raise UserError(f"{config.name}: training would take {gigabytes(needed)} of memory and there are "
                        f"{gigabytes(limit)} on {numerics.device}; {config.smaller}")  # fmt: skip
