"""Exposure: how often a model was trained on a span of its corpus, counted from the data order.

The data order is a function of the seed and the step (data_order.py), and the permutation it is made of can be run
backwards. So for each window of tokens that touches a document, and each epoch, the batch that held it is known, and
whether training went that far. Nothing has to be logged while training.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from components.text import codepoints
from greenhouse_record.order import MASK64, ROUNDS, STRIDE, Phase, mixed, phases_of


@dataclass(frozen=True)
class Training:
    """Settings that determine the data order of a training run.

    Attributes:
        num_tokens: of the corpus. context, batch, seed, steps, length_warmup, length_warmup_from: of params.yaml.
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
    length_warmup_from: int = 16

    @classmethod
    def of(cls, facts: dict[str, Any], num_tokens: int, causal: bool) -> "Training":
        """That of a model: `facts` is its greenhouse.json."""
        known = facts["training"]
        warmup = ("length_warmup", "length_warmup_from")  # models of before have neither
        given = {name: known[name] for name in warmup if name in known}
        batch = known["tokens"] // (known["steps"] * known["context"])
        skipped = tuple(known["skipped_batches"])
        return cls(num_tokens, known["context"], batch, known["seed"], known["steps"], causal, skipped, **given)

    @property
    def phases(self) -> tuple[Phase, ...]:
        """Stretches with windows of one length."""
        warmup = self.length_warmup, self.length_warmup_from
        return phases_of(self.context, self.batch, self.seed, self.steps, *warmup)

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
        return [number for number in range(self.steps + len(self.skipped)) if number not in self.skipped]


def times_seen(training: Training, start: int, end: int) -> np.ndarray:
    """How often the model was trained on each of the tokens `start` to `end` of its corpus: int64 (end - start,).

    A causal model is trained on a token where it is a target: the first of a window is input alone, the last target of
    the window before. Over all tokens of a corpus the counts add up to the tokens that training read.
    """
    gained = np.zeros(end - start + 1, dtype=np.int64)  # of each token over the one before it
    phases, end_of_run = training.phases, training.steps + len(training.skipped)
    for phase, following in zip(phases, [*(after.first for after in phases[1:]), end_of_run], strict=True):
        context, offset = phase.context, int(training.causal)
        first = max(0, (start - offset - context) // context + 1)
        last = min(training.windows(context) - 1, (end - 1 - offset) // context)
        windows = np.arange(first, last + 1)
        times, begin = _times_trained(training, phase, windows, following), windows * context + offset
        np.add.at(gained, np.maximum(begin - start, 0), times)
        np.subtract.at(gained, np.minimum(begin + context, end) - start, times)
    return gained.cumsum()[:-1]


def _times_trained(training: Training, phase: Phase, windows: np.ndarray, following: int) -> np.ndarray:
    """How often a phase, which ends with batch `following`, trained on each of these windows: at most once an epoch."""
    count = training.windows(phase.context)
    samples = (following - phase.first) * phase.batch
    times = np.zeros(len(windows), dtype=np.int64)
    for epoch in range(-(-samples // count)):
        sample = epoch * count + places_of(windows, count, mixed(phase.seed, epoch)).astype(np.int64)
        batch = phase.first + sample // phase.batch
        times += (
            (sample < samples) & (batch < training.steps + len(training.skipped)) & ~np.isin(batch, training.skipped)
        )
    return times


def places_of(values: np.ndarray, size: int, seed: int) -> np.ndarray:
    """The indices that `permuted` sends to these values: uint64 (num_values,).

    With the halves swapped before and after, a round is its own inverse, so these are the rounds in reverse order.
    """
    half = np.uint64(max(1, ((size - 1).bit_length() + 1) // 2))
    mask, indices, walking = (np.uint64(1) << half) - np.uint64(1), values.astype(np.uint64), np.arange(len(values))
    while len(walking):
        left, right = indices[walking] & mask, indices[walking] >> half
        for number in reversed(range(ROUNDS)):
            # `order.mixed(right, key)` of all values at once: their products and sums are modulo 2^64.
            key = mixed(seed, number)
            spread = codepoints.mixed(right + np.uint64((key + 1) * STRIDE & MASK64))
            left, right = right, left ^ (spread & mask)
        indices[walking] = left | right << half
        walking = walking[indices[walking] >= size]
    return indices
