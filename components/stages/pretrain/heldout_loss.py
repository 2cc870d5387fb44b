"""Held-out loss of a model, on windows spread evenly over the held-out tokens.

Causal: bits per byte, which compares across tokenizers. Masked: loss and accuracy on hidden tokens, the same ones every
time; its bits are per byte of hidden tokens, each seen with both sides, and do not compare with a causal model's.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from components.model.export import Network
from components.params import Numerics
from components.tokens.shards import TokenShards
from components.training import likelihood, objectives

MASK_SEED = 0
"""Chooses the hidden tokens of the masked evaluation; the same for all runs, so that they compare."""


@dataclass(frozen=True)
class HeldoutEvaluator:
    """Evaluator of a pretraining run on held-out tokens.

    Attributes:
        shards: held-out tokens.
        token_bytes: of `bytes_of_tokens`.
        context: tokens per window.
        mask_rate: share of tokens hidden; None for the causal objective.
    """

    shards: TokenShards
    token_bytes: np.ndarray
    context: int
    mask_rate: float | None
    numerics: Numerics

    def starts(self, count: int) -> list[int]:
        """Positions where `count` windows start, spread evenly; fewer if the text is short."""
        last = self.shards.num_tokens - self.context - 1
        count = min(count, last // self.context + 1)
        return [round(index * last / max(1, count - 1)) for index in range(count)]

    def score(self, model: Network, windows: int, check: Callable[[], None] = lambda: None) -> dict[str, float]:
        """Loss (nats per target), accuracy, and bits per byte over `windows` windows; `check` precedes each batch."""
        rows = [self.row(start, number) for number, start in enumerate(self.starts(windows))]
        scored = likelihood.score(model, rows, self.numerics, check)
        nats, hits = -sum(one.total for one in scored), float(sum(one.hit.sum() for one in scored))
        targets = np.concatenate([row.targets for row in rows])
        result = {"loss": nats / max(1, len(targets)), "accuracy": hits / max(1, len(targets))}
        bits = "bits_per_byte" if self.mask_rate is None else "bits_per_hidden_byte"
        return result | {bits: nats / math.log(2) / max(1, int(self.token_bytes[targets].sum()))}

    def row(self, start: int, number: int) -> likelihood.TokenRow:
        """The window at `start`, the one of this number."""
        if self.mask_rate is None:
            return likelihood.next_tokens(self.shards.window(start, self.context + 1))
        ids = self.shards.window(start, self.context)
        hidden = objectives.hidden_places(ids, self.mask_rate, MASK_SEED, number)
        return likelihood.hidden_tokens(ids, np.flatnonzero(hidden))
