"""Batches of the causal or masked objective, in the recorder's computed order of data (greenhouse_record/order.py)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from components.core.errors import UserError
from components.tokens.shards import TokenShards
from greenhouse_record.order import Phase, num_windows, phase_of, phases_of, window_start

if TYPE_CHECKING:
    from components.training.objectives import Batch

SHORTEST_WARM_UP = 128
"""Fewest tokens of a sequence of a length warm-up: a model has use for its induction heads in longer ones alone."""


Rows = TypeVar("Rows", range, list[int])


def part(whole: Rows, rank: int, ranks: int) -> Rows:
    """The share of one of several processes."""
    return whole[len(whole) * rank // ranks : len(whole) * (rank + 1) // ranks]


@dataclass(frozen=True)
class Windows:
    """Windows of `length` tokens of a corpus in training order.

    Attributes:
        shards: the tokens.
        context: tokens between the starts of neighbouring windows.
        length: tokens of a window: `context`, or one more for next-token targets.
        seed: chooses the order.
    """

    shards: TokenShards
    context: int
    length: int
    seed: int

    @property
    def count(self) -> int:
        """Windows in one epoch."""
        return num_windows(self.shards.num_tokens, self.context, self.length)

    def start(self, sample: int) -> int:
        """Where in the corpus the sample-th window begins (from 0, over all epochs)."""
        return window_start(sample, self.count, self.context, self.seed)

    def window(self, sample: int) -> np.ndarray:
        """Ids of the sample-th window: int64 (length,)."""
        return self.shards.window(self.start(sample), self.length)


@dataclass(frozen=True)
class PretrainBatches:
    """Batches of the causal or masked objective: call it with a batch number.

    Attributes:
        shards: the tokens.
        phases: of the run.
        mask_rate: share of tokens hidden; None for the causal objective.
        document_mask: keep attention inside documents.
        rank, ranks: of the process, which makes its part of each batch alone.
    """

    shards: TokenShards
    phases: tuple[Phase, ...]
    mask_rate: float | None
    document_mask: bool
    rank: int = 0
    ranks: int = 1

    def windows(self, phase: Phase) -> Windows:
        """A phase's windows in training order."""
        return Windows(self.shards, phase.context, phase.context + (self.mask_rate is None), phase.seed)

    def __call__(self, number: int) -> "Batch":
        from components.training import objectives  # with torch, which commands that ask for an order alone need not

        phase = phase_of(self.phases, number)
        windows, samples = self.windows(phase), part(phase.samples(number), self.rank, self.ranks)
        ids = np.stack([windows.window(sample) for sample in samples])
        if self.mask_rate is None:
            return objectives.causal(ids, self.document_mask)
        return objectives.masked(ids, samples, phase.seed, self.mask_rate, self.document_mask)


def pretrain_batches(
    shards: TokenShards, *, context: int, batch: int, seed: int, mask_rate: float | None, document_mask: bool,
    steps: int = 0, length_warmup: float = 0.0, length_warmup_from: int = 16,
) -> PretrainBatches:  # fmt: skip
    """Batches of a corpus of token shards; for `steps` and the length warm-up see `phases_of`.

    Raises `UserError`: the corpus is shorter than one window.
    """
    length = context + (mask_rate is None)
    if shards.num_tokens < length:
        raise UserError(
            f"pretrain: the training text has {shards.num_tokens} tokens, fewer than one of context {context}; "
            "set context lower, or give the pipeline more text"
        )
    phases = phases_of(context, batch, seed, steps, length_warmup, length_warmup_from)
    return PretrainBatches(shards, phases, mask_rate, document_mask)
