"""Exposure: how often a model was trained on a span of its corpus, counted from the data order.

The data order is a function of the seed and the step (data_order.py), and the permutation it is made of can be run
backwards. So for each window of tokens that touches a document, and each epoch, the batch that held it is known, and
whether training went that far. Nothing has to be logged while training.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from components.training.data_order import mixed, place_of


@dataclass(frozen=True)
class Training:
    """Settings that determine the data order of a training run.

    Attributes:
        num_tokens: of the corpus. context, batch, seed, steps: of params.yaml.
        causal: windows then hold one token more, the last target.
        skipped: numbers of the batches passed over after a bad loss.
    """

    num_tokens: int
    context: int
    batch: int
    seed: int
    steps: int
    causal: bool
    skipped: tuple[int, ...] = ()

    @property
    def length(self) -> int:
        """Tokens of a window."""
        return self.context + self.causal

    @property
    def windows(self) -> int:
        """Windows in one epoch."""
        return (self.num_tokens - self.length) // self.context + 1

    @property
    def epochs(self) -> float:
        """How often the whole corpus was passed, on average."""
        return self.steps * self.batch / self.windows

    def trained(self, number: int) -> bool:
        """Whether batch `number` was trained on."""
        return number < self.steps + len(self.skipped) and number not in self.skipped


def times_seen(training: Training, start: int, end: int) -> np.ndarray:
    """How often the model was given each of the tokens `start` to `end` of its corpus: int64 (end - start,).

    A token at the border of two windows of a causal model is counted twice where it was given twice: as the last
    target of one window and the first input of the next.
    """
    seen = np.zeros(end - start, dtype=np.int64)
    samples = (training.steps + len(training.skipped)) * training.batch
    first = max(0, (start - training.length) // training.context + 1)
    last = min(training.windows - 1, (end - 1) // training.context)
    for window in range(first, last + 1):
        start_of_window = window * training.context
        times = sum(training.trained(sample // training.batch) for sample in _samples_of(training, window, samples))
        seen[max(0, start_of_window - start) : start_of_window + training.length - start] += times
    return seen


def _samples_of(training: Training, window: int, samples: int) -> Collection[int]:
    """The samples below `samples` that are this window: at most one per epoch."""
    epochs = -(-samples // training.windows)
    locations = (
        epoch * training.windows + place_of(window, training.windows, mixed(training.seed, epoch))
        for epoch in range(epochs)
    )
    return [sample for sample in locations if sample < samples]
