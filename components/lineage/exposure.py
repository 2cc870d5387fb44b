"""Exposure: how often a model was trained on a span of its corpus, counted from the data order.

The data order is a function of the seed and the step (data_order.py), and the permutation it is made of can be run
backwards. So for each window of tokens that touches a document, and each epoch, the batch that held it is known, and
whether training went that far. Nothing has to be logged while training.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from components.training.data_order import Phase, mixed, phases_of, place_of


@dataclass(frozen=True)
class Training:
    """Settings that determine the data order of a training run.

    Attributes:
        num_tokens: of the corpus. context, batch, seed, steps, length_warmup: of params.yaml.
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
    length_warmup: float = 0.0

    @property
    def phases(self) -> tuple[Phase, ...]:
        """Stretches with windows of one length."""
        return phases_of(self.context, self.batch, self.seed, self.steps, self.length_warmup)

    def windows(self, context: int) -> int:
        """Windows of so many tokens in one epoch."""
        return (self.num_tokens - context - self.causal) // context + 1

    @property
    def epochs(self) -> float:
        """How often the whole corpus was passed, on average."""
        return self.steps * self.batch / self.windows(self.context)

    @property
    def batches(self) -> list[int]:
        """Numbers of the batches trained on, in order."""
        return [number for number in range(self.steps + len(self.skipped)) if self.trained(number)]

    def trained(self, number: int) -> bool:
        """Whether batch `number` was trained on."""
        return number < self.steps + len(self.skipped) and number not in self.skipped


def times_seen(training: Training, start: int, end: int) -> np.ndarray:
    """How often the model was given each of the tokens `start` to `end` of its corpus: int64 (end - start,).

    A token at the border of two windows of a causal model is counted twice where it was given twice: as the last
    target of one window and the first input of the next.
    """
    seen = np.zeros(end - start, dtype=np.int64)
    phases, end_of_run = training.phases, training.steps + len(training.skipped)
    for phase, following in zip(phases, [*(after.first for after in phases[1:]), end_of_run], strict=True):
        context, length = phase.context, phase.context + training.causal
        first = max(0, (start - length) // context + 1)
        last = min(training.windows(context) - 1, (end - 1) // context)
        for window in range(first, last + 1):
            samples = _samples_of(phase, window, training.windows(context), (following - phase.first) * phase.batch)
            times = sum(training.trained(phase.first + sample // phase.batch) for sample in samples)
            seen[max(0, window * context - start) : window * context + length - start] += times
    return seen


def _samples_of(phase: Phase, window: int, windows: int, samples: int) -> Collection[int]:
    """The samples below `samples` of a phase that are this one of its `windows`: at most one per epoch."""
    epochs = -(-samples // windows)
    locations = (epoch * windows + place_of(window, windows, mixed(phase.seed, epoch)) for epoch in range(epochs))
    return [sample for sample in locations if sample < samples]
