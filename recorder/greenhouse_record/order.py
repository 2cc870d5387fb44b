"""Order of training data that is computed instead of stored: what is read at step n, a function of the seed and n.

A permutation by a Feistel network over the numbers of the items (Luby & Rackoff 1988), with cycle walking for sizes
that are no power of four (Black & Rogaway 2002). Any step is reached at once, nothing is saved to resume, every
epoch has an order of its own, and whoever has the data knows later what was read when, without order files.

    order = Order(num_tokens=100_000_000_000, context=2048, batch=512, seed=7)
    order.documents(step, starts)                  of a memory-mapped array of the documents' first tokens
    DataLoader(data, sampler=Sampler(len(data), seed=7, first=step * batch))

A run may begin with short windows, more of them in a batch (sequence-length warm-up: Li et al. 2021, arXiv:2108.06084;
Pouransari et al. 2024, arXiv:2405.13226): a step then sees as many tokens, of more places in the corpus.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

ROUNDS = 4
MASK64 = (1 << 64) - 1
STRIDE = 0x9E3779B97F4A7C15
"""2^64 over the golden ratio: what SplitMix64 adds from one number to the next."""


def mixed(value: int, key: int) -> int:
    """64 mixed bits of `value` under `key`: finaliser of SplitMix64 (Steele et al. 2014)."""
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


def num_windows(num_tokens: int, context: int, length: int) -> int:
    """Windows in one epoch of a corpus: `length` tokens each, `context` from the start of one to that of the next."""
    return (num_tokens - length) // context + 1


def window_start(sample: int, count: int, context: int, seed: int) -> int:
    """Token at which the sample-th of `count` windows begins (samples from 0, over all epochs)."""
    epoch, index = divmod(sample, count)
    return permuted(index, count, mixed(seed, epoch)) * context


@dataclass(frozen=True)
class Order:
    """Order of a corpus cut into windows of `context` tokens, `batch` of them in a step."""

    num_tokens: int
    context: int
    batch: int
    seed: int

    def starts(self, step: int) -> np.ndarray:
        """Token at which each window of a step begins: int64 (batch,)."""
        count = num_windows(self.num_tokens, self.context, self.context)
        samples = range(step * self.batch, (step + 1) * self.batch)
        return np.array([window_start(sample, count, self.context, self.seed) for sample in samples], dtype=np.int64)

    def documents(self, step: int, document_starts: np.ndarray) -> list[range]:
        """Documents that each window of a step reads.

        Args:
            step: from 0.
            document_starts: int64 (num_documents,), ascending from 0, each one's first token; may be memory-mapped.
        """
        starts = self.starts(step)
        first = np.searchsorted(document_starts, starts, side="right") - 1
        last = np.searchsorted(document_starts, starts + self.context - 1, side="right")
        return [range(int(begin), int(end)) for begin, end in zip(first, last)]


@dataclass(frozen=True)
class Sampler:
    """Sampler for torch's DataLoader: items of a data set in computed order.

    Attributes:
        size: items of the data set.
        seed: chooses the order.
        first: items read before, over all epochs: a resumed run passes its step times the items of a step.
        epochs: how often the data set is read in all.
        rank: of this process among `world` processes, which take turns.
        world: processes that train together.
    """

    size: int
    seed: int
    first: int = 0
    epochs: int = 1
    rank: int = 0
    world: int = 1

    def item(self, position: int) -> int:
        """Item read at a position of the whole run (from 0, over all epochs)."""
        return window_start(position, self.size, 1, self.seed)

    @property
    def positions(self) -> range:
        """Positions of the whole run that this process reads."""
        return range(self.first + self.rank, self.size * self.epochs, self.world)

    def __iter__(self) -> Iterator[int]:
        return map(self.item, self.positions)

    def __len__(self) -> int:
        return len(self.positions)

    def facts(self) -> dict[str, Any]:
        """All that the order is computed from, for `run.note(order=sampler.facts())`."""
        return {"module": "greenhouse_record.order", "rounds": ROUNDS, **asdict(self)}


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
    spans = [(phase, end) for phase, end in zip(phases, ends) if end > phase.first]
    words = [f"{phase.context} ({phase.first + 1} to {end})" for phase, end in spans]
    return ", ".join(words).replace(" (", " tokens (steps ", 1)


def phase_of(phases: Sequence[Phase], number: int) -> Phase:
    """The phase of batch `number`."""
    return next(phase for phase in reversed(phases) if phase.first <= number)
