"""Held-out loss of a model, on windows spread evenly over the held-out tokens.

Causal: bits per byte, which compares across tokenizers. Masked: loss and accuracy on hidden tokens, the same ones every
time; its bits are per byte of hidden tokens, each seen with both sides, and do not compare with a causal model's.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tokenizers
import torch
import torch.nn.functional as F
from torch import Tensor

from components.model.transformer import Transformer
from components.params import Numerics
from components.tokens.shards import TokenShards
from components.tokens.tokenizer import SPECIAL_TOKENS
from components.training import objectives
from components.training.numerics import autocast
from components.training.objectives import IGNORE, Batch

ROWS = 512
"""Positions whose logits are in memory at once."""
MASK_SEED = 0
"""Chooses the hidden tokens of the masked evaluation; the same for all runs, so that they compare."""


def bytes_of_tokens(tokenizer: tokenizers.Tokenizer) -> np.ndarray:
    """UTF-8 bytes that each id stands for: int64 (vocabulary,). In byte-level BPE a token has a character per byte."""
    size = tokenizer.get_vocab_size()
    lengths = [len(tokenizer.id_to_token(token) or "") for token in range(size)]
    return np.array([0] * len(SPECIAL_TOKENS) + lengths[len(SPECIAL_TOKENS) :], dtype=np.int64)


@dataclass(frozen=True)
class HeldoutEvaluator:
    """Evaluator of a pretraining run on held-out tokens.

    Attributes:
        shards: held-out tokens.
        token_bytes: of `bytes_of_tokens`.
        context: tokens per window.
        mask_rate: share of tokens hidden; None for the causal objective.
        batch: windows per forward pass.
    """

    shards: TokenShards
    token_bytes: np.ndarray
    context: int
    mask_rate: float | None
    numerics: Numerics
    batch: int = 16

    def starts(self, count: int) -> list[int]:
        """Positions where `count` windows start, spread evenly; fewer if the text is short."""
        last = self.shards.num_tokens - self.context - 1
        count = min(count, last // self.context + 1)
        return [round(index * last / max(1, count - 1)) for index in range(count)]

    @torch.no_grad()
    def score(self, model: Transformer, windows: int, check: Callable[[], None] = lambda: None) -> dict[str, float]:
        """Loss (nats per target), accuracy, and bits per byte over `windows` windows; `check` precedes each batch."""
        nats = hits = targets = size = 0.0
        starts = self.starts(windows)
        for first in range(0, len(starts), self.batch):
            check()
            batch = self.batch_of(starts[first : first + self.batch], first).to(self.numerics.device)
            with autocast(self.numerics):
                hidden_BTD = model.hidden(batch.ids_BT)
                loss_N, hit_N = token_losses(hidden_BTD.flatten(0, 1), model.head_weight, batch.targets.flatten())
            wanted = batch.targets[batch.targets != IGNORE].cpu().numpy()
            nats, hits = nats + float(loss_N.sum()), hits + float(hit_N.sum())
            targets, size = targets + len(wanted), size + float(self.token_bytes[wanted].sum())
        result = {"loss": nats / max(1, targets), "accuracy": hits / max(1, targets)}
        bits = "bits_per_byte" if self.mask_rate is None else "bits_per_hidden_byte"
        return result | {bits: nats / math.log(2) / max(1, size)}

    def batch_of(self, starts: list[int], first: int) -> Batch:
        """The windows at `starts` as a batch; `first` numbers the first of them."""
        length = self.context + (self.mask_rate is None)
        ids = np.stack([self.shards.window(start, length) for start in starts])
        if self.mask_rate is None:
            return objectives.causal(ids)
        return objectives.masked(ids, range(first, first + len(ids)), MASK_SEED, self.mask_rate)


def token_losses(x_ND: Tensor, weight_VD: Tensor, targets_N: Tensor) -> tuple[Tensor, Tensor]:
    """(loss in nats, whether the likeliest token is the target) of each target that is not IGNORE."""
    keep_N = targets_N != IGNORE
    x_ND, targets_N = x_ND[keep_N], targets_N[keep_N]
    losses, hits = [], []
    for start in range(0, len(x_ND), ROWS):
        logits, targets = F.linear(x_ND[start : start + ROWS], weight_VD).float(), targets_N[start : start + ROWS]
        losses.append(F.cross_entropy(logits, targets, reduction="none"))
        hits.append(logits.argmax(-1) == targets)
    empty = torch.zeros(0)
    return torch.cat(losses) if losses else empty, torch.cat(hits) if hits else empty
