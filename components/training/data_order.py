"""Data order: the window of the corpus that is sample k, a function of the seed and k alone.

A permutation that is computed instead of stored: a Feistel network over the window numbers (Luby & Rackoff 1988), with
cycle walking for sizes that are no power of four (Black & Rogaway 2002). Any step is reached at once, nothing needs to
be saved to resume, and every epoch has an order of its own.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from components.core.errors import UserError
from components.tokens.shards import TokenShards

if TYPE_CHECKING:
    from components.training.objectives import Batch

ROUNDS = 4
MASK64 = (1 << 64) - 1


def mixed(value: int, key: int) -> int:
    """64 well-mixed bits of `value` under `key`: the finaliser of SplitMix64 (Steele et al. 2014)."""
    value = (value + key * 0x9E3779B97F4A7C15 + 0x9E3779B97F4A7C15) & MASK64
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK64
    return value ^ (value >> 31)


def permuted(index: int, size: int, seed: int) -> int:
    """Position of `index` in a permutation of range(size) chosen by `seed`; O(1)."""
    return _walk(index, size, seed, inverse=False)


def place_of(value: int, size: int, seed: int) -> int:
    """Index that `permuted` sends to `value`: its inverse."""
    return _walk(value, size, seed, inverse=True)


def _walk(value: int, size: int, seed: int, inverse: bool) -> int:
    """Feistel rounds, repeated until the value is inside range(size): cycle walking.

    A round sends (left, right) to (right, left ^ f(right)). With the halves swapped before and after, the same round
    is its own inverse, so the inverse permutation is the rounds in reverse order between two swaps.
    """
    assert 0 <= value < size
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    mask = (1 << half) - 1
    while True:
        halves = value >> half, value & mask
        left, right = halves[::-1] if inverse else halves
        for number in reversed(range(ROUNDS)) if inverse else range(ROUNDS):
            left, right = right, left ^ (mixed(right, mixed(seed, number)) & mask)
        value = right << half | left if inverse else left << half | right
        if value < size:
            return value


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
        return (self.shards.num_tokens - self.length) // self.context + 1

    def window(self, sample: int) -> np.ndarray:
        """Ids of the sample-th window (from 0, over all epochs): int64 (length,)."""
        epoch, index = divmod(sample, self.count)
        at = permuted(index, self.count, mixed(self.seed, epoch))
        return self.shards.window(at * self.context, self.length)


@dataclass(frozen=True)
class PretrainBatches:
    """Batches of the causal or masked objective: call it with a batch number.

    Attributes:
        windows: the data order.
        batch: sequences per batch.
        mask_rate: share of tokens hidden; None for the causal objective.
        document_mask: keep attention inside documents.
    """

    windows: Windows
    batch: int
    mask_rate: float | None
    document_mask: bool

    def __call__(self, number: int) -> "Batch":
        from components.training import objectives  # with torch, which commands that ask for an order alone need not

        samples = range(number * self.batch, (number + 1) * self.batch)
        ids = np.stack([self.windows.window(sample) for sample in samples])
        if self.mask_rate is None:
            return objectives.causal(ids, self.document_mask)
        return objectives.masked(ids, samples, self.windows.seed, self.mask_rate, self.document_mask)


def pretrain_batches(
    shards: TokenShards, *, context: int, batch: int, seed: int, mask_rate: float | None, document_mask: bool
) -> PretrainBatches:
    """Batches of a corpus of token shards.

    Raises:
        UserError: the corpus is shorter than one window.
    """
    length = context + (mask_rate is None)
    if shards.num_tokens < length:
        raise UserError(
            f"pretrain: the training text has {shards.num_tokens} tokens, fewer than one of context {context}; "
            "set context lower, or give the pipeline more text"
        )
    return PretrainBatches(Windows(shards, context, length, seed), batch, mask_rate, document_mask)
