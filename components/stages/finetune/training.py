"""How fine-tuning trains: its batches, of which the n-th is a function of the seed and n alone, and its settings."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from components.core.progress import Progress
from components.params import Finetune, Optimizer
from components.training.data_order import part
from components.training.objectives import Batch
from components.training.train_config import TrainConfig
from greenhouse_record.order import mixed, permuted

STEP = 32
"""Rows of pairs are padded to a multiple of this: a CPU prepares its matrix products anew for every shape."""


@dataclass(frozen=True)
class Batches:
    """The n-th batch of examples.

    Attributes:
        size: number of examples, `batch` of them in a batch.
        make_batch: indices of examples -> their batch.
        by_length: whether examples, which are sorted so, are drawn with their neighbours: rows have
        little padding. rank, ranks: of the process, which makes a batch of its part of the examples
        alone.
    """

    size: int
    batch: int
    seed: int
    make_batch: Callable[[list[int]], Batch]
    by_length: bool = False
    rank: int = 0
    ranks: int = 1

    def __call__(self, number: int) -> Batch:
        draw = neighbours if self.by_length else drawn
        return self.make_batch(part(draw(number, self.batch, self.size, self.seed), self.rank, self.ranks))


def drawn(number: int, batch: int, size: int, seed: int) -> list[int]:
    """Indices of the examples in the n-th batch: every epoch is a permutation of its own."""
    indices = []
    for sample in range(number * batch, (number + 1) * batch):
        epoch, index = divmod(sample, size)
        indices.append(permuted(index, size, mixed(seed, epoch)))
    return indices


def neighbours(number: int, batch: int, size: int, seed: int) -> list[int]:
    """Indices of a batch of neighbours, drawn as a whole; the last of an epoch begins anew at the first examples."""
    block = drawn(number, 1, -(-size // batch), seed)[0]
    return [index % size for index in range(block * batch, (block + 1) * batch)]


EVALUATIONS = 3
"""Points of the held-out learning curve."""


def settings_of(params: Finetune, steps: int, name: str, checkpoint_every: int = 0) -> TrainConfig:
    """Settings of a training of `steps`; `name` is the section in params.yaml, for messages."""
    # Every value that counts, though some are the schema's defaults: no stage depends on a default
    # of the schema.
    rates = Optimizer(
        name="adamw", matrix_lr=params.learning_rate, embedding_lr=params.learning_rate, beta1=0.9, weight_decay=0.01,
        grad_clip=1.0, schedule="linear", warmup=0.1,
    )  # fmt: skip
    return TrainConfig(
        steps=steps,
        optimizer=rates,
        checkpoint_every=checkpoint_every or params.checkpoint_every,
        eval_every=max(1, -(-steps // EVALUATIONS)),
        # A row of a rare class, a score far out, an unusual answer: a high loss is what is to be
        # learned, and its gradient is clipped.
        spike_nats=math.inf,
        name=name,
        smaller=f"set finetune.{name.removeprefix('finetune.')}.batch lower, then context, or lora_rank above 0",
        remedy="lower its learning_rate, raise its batch, or take another base if it happens at the first step",
    )


class Part(Progress):
    """Progress of a training beside the stage's own: without its metrics, with a name, and it stops with the stage."""

    def __init__(self, progress: Progress, name: str) -> None:
        self.progress, self.name = progress, name
        self.raise_if_stopped = progress.raise_if_stopped  # type: ignore[method-assign]

    def update(self, done: int, total: int | None, unit: str, note: str = "") -> None:
        self.progress.update(done, total, unit, f"{self.name}: {note}")
