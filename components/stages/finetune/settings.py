"""Settings of every training that fine-tunes."""

import math

from components.core.progress import Progress
from components.params import Finetune, Optimizer
from components.training.train_config import TrainConfig

EVALUATIONS = 3
"""Points of the held-out learning curve."""


def settings_of(params: Finetune, steps: int, name: str, checkpoint_every: int = 0) -> TrainConfig:
    """Settings of a training of `steps`; `name` is the section in params.yaml, for messages."""
    # Every value that counts, though some are the schema's defaults: no stage depends on a default of the schema.
    rates = Optimizer(
        name="adamw", matrix_lr=params.learning_rate, embedding_lr=params.learning_rate, beta1=0.9, weight_decay=0.01,
        grad_clip=1.0, schedule="linear", warmup=0.1,
    )  # fmt: skip
    return TrainConfig(
        steps=steps,
        optimizer=rates,
        checkpoint_every=checkpoint_every or params.checkpoint_every,
        eval_every=max(1, -(-steps // EVALUATIONS)),
        # A row of a rare class, a score far out, an unusual answer: a high loss is what is to be learned, and its
        # gradient is clipped.
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
