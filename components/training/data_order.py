"""Data order: the windows of the corpus that are batch n, a function of the seed and n alone.

A permutation that is computed instead of stored: a Feistel network over the window numbers (Luby & Rackoff 1988), with
cycle walking for sizes that are no power of four (Black & Rogaway 2002). Any step is reached at once, nothing needs to
be saved to resume, and every epoch has an order of its own.

A run may begin with short windows, more of them in a batch (sequence-length warm-up: Li et al. 2021, arXiv:2108.06084;
Pouransari et al. 2024, arXiv:2405.13226): a step then sees as many tokens, of more places in the corpus.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from components.core.errors import UserError
from components.tokens.shards import TokenShards

if TYPE_CHECKING:
    from components.training.objectives import Batch

ROUNDS = 4
MASK64 = (1 << 64) - 1
STRIDE = 0x9E3779B97F4A7C15
"""2^64 over the golden ratio: what SplitMix64 adds from one number to the next."""
SHORTEST_WARM_UP = 128
"""Fewest tokens of a sequence of a length warm-up: a model has use for its induction heads in longer ones alone."""


def mixed(value: int, key: int) -> int:
    """64 well-mixed bits of `value` under `key`: the finaliser of SplitMix64 (Steele et al. 2014)."""
    value = (value + (key + 1) * STRIDE) & MASK64
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK64
    return value ^ (value >> 31)


def permuted(index: int, size: int, seed: int) -> int:
    """Position of `index` in a permutation of range(size) chosen by `seed`; O(1).

    Feistel rounds, repeated until the value is inside range(size): cycle walking. A round sends (left, right) to
    (right, left ^ f(right)).
    """
    assert 0 <= index < size
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    mask, value = (1 << half) - 1, index
    while True:
        left, right = value >> half, value & mask
        for number in range(ROUNDS):
            left, right = right, left ^ (mixed(right, mixed(seed, number)) & mask)
        value = left << half | right
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

    def start(self, sample: int) -> int:
        """Where in the corpus the sample-th window begins (from 0, over all epochs)."""
        epoch, index = divmod(sample, self.count)
        return permuted(index, self.count, mixed(self.seed, epoch)) * self.context

    def window(self, sample: int) -> np.ndarray:
        """Ids of the sample-th window: int64 (length,)."""
        return self.shards.window(self.start(sample), self.length)


@dataclass(frozen=True)
class Phase:
    """A stretch of training with windows of one length.

    Attributes:
        first: number of its first batch; it lasts until that of the next phase.
        context: tokens between the starts of neighbouring windows.
        batch: windows per batch.
        seed: chooses their order.
    """

    first: int
    context: int
    batch: int
    seed: int

    def samples(self, number: int) -> range:
        """The samples, in this phase's order, that are batch `number`."""
        return range((number - self.first) * self.batch, (number - self.first + 1) * self.batch)


def phases_of(
    context: int, batch: int, seed: int, steps: int, length_warmup: float, length_warmup_from: int = 16
) -> tuple[Phase, ...]:
    """Phases of a run of `steps` batches of `batch` windows of `context` tokens.

    For a share `length_warmup` of the steps windows are shorter and a batch has more of them. Their lengths are
    `context` halved as often as it goes, down to `length_warmup_from`, the shortest first, each for as many
    steps: of 100 steps at a context of 128 and a warm-up of .6, 20 have windows of 16, 20 of 32, 20 of 64, 40 of 128.
    """
    lengths: list[int] = []
    while (length := lengths[0] if lengths else context) % 2 == 0 and length // 2 >= length_warmup_from:
        lengths.insert(0, length // 2)
    each = length_warmup * steps / max(1, len(lengths))
    short = [
        Phase(round(number * each), length, batch * context // length, mixed(seed, length))
        for number, length in enumerate(lengths if length_warmup else [])
    ]
    return *short, Phase(min(round(len(short) * each), max(0, steps - 1)), context, batch, seed)


def described(phases: Sequence[Phase], steps: int) -> str:
    """Window lengths and steps of each, such as `16 tokens (steps 1 to 180), 32 (181 to 360), 64 (361 to 900)`."""
    ends = [*(phase.first for phase in phases[1:]), steps]
    spans = [(phase, end) for phase, end in zip(phases, ends, strict=True) if end > phase.first]
    return ", ".join(
        f"{phase.context}{' tokens' * (not number)} ({'steps ' * (not number)}{phase.first + 1} to {end})"
        for number, (phase, end) in enumerate(spans)
    )


def phase_of(phases: Sequence[Phase], number: int) -> Phase:
    """The phase of batch `number`."""
    return next(phase for phase in reversed(phases) if phase.first <= number)


@dataclass(frozen=True)
class PretrainBatches:
    """Batches of the causal or masked objective: call it with a batch number.

    Attributes:
        shards: the tokens.
        phases: of the run.
        mask_rate: share of tokens hidden; None for the causal objective.
        document_mask: keep attention inside documents.
    """

    shards: TokenShards
    phases: tuple[Phase, ...]
    mask_rate: float | None
    document_mask: bool

    def windows(self, phase: Phase) -> Windows:
        """A phase's windows in training order."""
        return Windows(self.shards, phase.context, phase.context + (self.mask_rate is None), phase.seed)

    def __call__(self, number: int) -> "Batch":
        from components.training import objectives  # with torch, which commands that ask for an order alone need not

        phase = phase_of(self.phases, number)
        windows, samples = self.windows(phase), phase.samples(number)
        ids = np.stack([windows.window(sample) for sample in samples])
        if self.mask_rate is None:
            return objectives.causal(ids, self.document_mask)
        return objectives.masked(ids, samples, phase.seed, self.mask_rate, self.document_mask)


def pretrain_batches(
    shards: TokenShards, *, context: int, batch: int, seed: int, mask_rate: float | None, document_mask: bool,
    steps: int = 0, length_warmup: float = 0.0, length_warmup_from: int = 16,
) -> PretrainBatches:  # fmt: skip
    """Batches of a corpus of token shards; for `steps` and the length warm-up see `phases_of`.

    Raises:
        UserError: the corpus is shorter than one window.
    """
    length = context + (mask_rate is None)
    if shards.num_tokens < length:
        raise UserError(
            f"pretrain: the training text has {shards.num_tokens} tokens, fewer than one of context {context}; "
            "set context lower, or give the pipeline more text"
        )
    phases = phases_of(context, batch, seed, steps, length_warmup, length_warmup_from)
    return PretrainBatches(shards, phases, mask_rate, document_mask)
