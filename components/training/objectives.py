"""Training objectives: `causal`, `masked` and `sft`, each a function that makes a batch with targets.

The three differ in their targets alone, so they share one loss, and one loop trains them all.
Classification brings a loss of its own (see components/stages/finetune/classify.py): an objective,
to the loop, is any function of (model, batch) that returns the summed loss in nats over the batch's
targets.

Legend: B batch, T positions, N targets. Targets that are `IGNORE` count for nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from components.tokens.tokenizer import END_OF_TEXT, MASK, PAD, SPECIAL_TOKENS

IGNORE = -100
"""Target of a position that predicts nothing (PyTorch's convention)."""


@dataclass(frozen=True)
class Batch:
    """Examples and what to predict from them.

    Attributes:
        ids_BT: int64 token ids.
        targets: int64, (B, T) ids or (B,) classes; `IGNORE` where nothing is to be predicted. Or
            float32: (B, K) which of K classes, or (B,) scores.
        documents_BT: which document each position belongs to; None lets attention cross documents.
        kept_N: what `kept` returns, where it was asked before: on a GPU the question waits for the
            device.
    """

    ids_BT: Tensor
    targets: Tensor
    documents_BT: Tensor | None = None
    kept_N: Tensor | None = None

    @property
    def num_targets(self) -> int:
        return self.targets.numel() if self.targets.is_floating_point() else len(self.kept())

    def slice(self, start: int, stop: int) -> Self:
        """Examples `start` to `stop`."""
        return replace(self, kept_N=None, **{name: tensor[start:stop] for name, tensor in self._by_example().items()})

    def kept(self) -> Tensor:
        """Indices, int64 (N,), of the flattened targets that are not `IGNORE`."""
        return (self.targets != IGNORE).flatten().nonzero()[:, 0] if self.kept_N is None else self.kept_N

    def pinned(self) -> Self:
        """The batch in memory whose copy to a GPU is not waited for."""
        return replace(self, **{name: tensor.pin_memory() for name, tensor in self._needed().items()})  # type: ignore[arg-type]

    def to(self, device: str) -> Self:
        """The batch on that device."""
        moved = {name: tensor.to(device, non_blocking=True) for name, tensor in self._needed().items()}
        return replace(self, **moved)  # type: ignore[arg-type]

    def _needed(self) -> dict[str, Tensor]:
        """Its tensors, and what would be a question to the GPU."""
        return self._by_example() | ({} if self.targets.is_floating_point() else {"kept_N": self.kept()})

    def _by_example(self) -> dict[str, Tensor]:
        """Those of the fields that have a row for each example, and are there."""
        tensors = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "kept_N"}
        return {name: tensor for name, tensor in tensors.items() if tensor is not None}


Objective = Callable[[Any, Batch], Tensor]
"""(model, batch) -> summed loss in nats over the batch's targets, a scalar with a gradient."""


def language_model_loss(model: Any, batch: Batch) -> Tensor:
    """Summed cross entropy of the targets: objective of `causal`, `masked` and `sft` batches."""
    hidden_ND, targets_N = model.hidden(batch.ids_BT, batch.documents_BT).flatten(0, 1), batch.targets.flatten()
    kept_N = batch.kept()
    if len(kept_N) < len(targets_N):
        hidden_ND, targets_N = hidden_ND[kept_N], targets_N[kept_N]
    loss: Tensor = model.cross_entropy(hidden_ND, targets_N)
    return loss


def causal(windows: np.ndarray, document_mask: bool = False) -> Batch:
    """Predict each next token. `windows` (B, T + 1) are ids as they stand in the corpus."""
    ids_BT = torch.from_numpy(windows)
    documents_BT = document_numbers(ids_BT[:, :-1]) if document_mask else None
    return Batch(ids_BT[:, :-1].contiguous(), ids_BT[:, 1:].contiguous(), documents_BT)


def masked(
    windows: np.ndarray, samples: Sequence[int], seed: int, mask_rate: float, document_mask: bool = False
) -> Batch:
    """Predict hidden tokens from both sides: BERT's task (Devlin et al. 2018, arXiv:1810.04805).

    Every hidden token is shown as `<|mask|>`: at rates above 15% nothing is gained by showing random or true tokens in
    some of these places (Wettig et al. 2022, arXiv:2202.08005).

    Args:
        windows: (B, T) ids.
        samples: number of each window in the data order; with `seed` it decides what is hidden, so
            no state is kept.
        mask_rate: share of the ordinary tokens of a window that is hidden (rounded, at least one).
    """
    ids_BT = torch.from_numpy(windows)
    hidden_BT = torch.from_numpy(
        np.stack([hidden_places(row, mask_rate, seed, sample) for row, sample in zip(windows, samples, strict=True)])
    )
    documents_BT = document_numbers(ids_BT) if document_mask else None
    return Batch(ids_BT.masked_fill(hidden_BT, MASK), ids_BT.masked_fill(~hidden_BT, IGNORE), documents_BT)


def hidden_places(row: np.ndarray, mask_rate: float, seed: int, sample: int) -> np.ndarray:
    """Mask of the hidden tokens of a window: bool (T,), a function of seed and sample number; special tokens stay."""
    ordinary = np.flatnonzero(row >= len(SPECIAL_TOKENS))
    count = min(len(ordinary), max(1, round(mask_rate * len(ordinary))))
    random = np.random.Generator(np.random.Philox(key=[seed, sample]))
    hidden = np.zeros(len(row), dtype=bool)
    hidden[random.permutation(ordinary)[:count]] = True
    return hidden


def padded(rows: Sequence[Sequence[int]], fill: int = PAD, step: int = 1) -> Tensor:
    """Rows side by side, int64 (B, T): filled at their ends to the longest, and that to a multiple of `step`."""
    longest = -(-max(map(len, rows)) // step) * step
    return torch.tensor([[*row, *[fill] * (longest - len(row))] for row in rows], dtype=torch.int64)


def sft(pairs: Sequence[tuple[Sequence[int], Sequence[int]]], step: int = 1, pad: int = PAD) -> Batch:
    """Supervised fine-tuning: predict the answer's tokens given the prompt; the prompt itself is not predicted.

    Args:
        pairs: (prompt ids, answer ids); the answer includes the token that ends it.
        step: rows are padded at the end to a multiple of this, with `pad`, which causal attention
            cannot see.
    """
    ids = [[*prompt, *answer][:-1] for prompt, answer in pairs]
    targets = [[IGNORE] * (len(prompt) - 1) + [*answer] for prompt, answer in pairs]
    return Batch(padded(ids, pad, step), padded(targets, IGNORE, step))


def packed(
    chats: Sequence[tuple[Sequence[int], Sequence[bool]]], context: int, step: int, alone: bool = False
) -> Batch:
    """The same for chats of several turns, several in a row of a batch; attention stays inside each.

    Longest first, each into the first row with room for it. A chat takes a position less than it
    has tokens: its last is only predicted.

    Args:
        chats: ids, and which of them are predicted; each of at most `context` + 1.
        context: longest row.
        step: rows are padded to a multiple of this, but not beyond `context`.
        alone: one to a row, for a model that has no mask of documents.
    """
    rows: list[list[int]] = []
    free_positions: list[int] = []
    sizes = [len(ids) - 1 for ids, _ in chats]
    assert max(sizes) <= context, (max(sizes), context)
    for chat in sorted(range(len(chats)), key=lambda index: (-sizes[index], index)):
        free = (row for row, left in enumerate(free_positions) if left >= sizes[chat] and not alone)
        row = next(free, len(rows))
        if row == len(rows):
            rows.append([])
            free_positions.append(context)
        rows[row].append(chat)
        free_positions[row] -= sizes[chat]
    longest = min(context, -(-(context - min(free_positions)) // step) * step)
    ids = np.full((len(rows), longest), PAD, dtype=np.int64)
    targets, documents = np.full_like(ids, IGNORE), np.full_like(ids, len(chats))
    for row, members in enumerate(rows):
        start = 0
        for number, chat in enumerate(members):
            stop = start + sizes[chat]
            whole, learned = np.array(chats[chat][0], dtype=np.int64), np.array(chats[chat][1][1:], dtype=bool)
            ids[row, start:stop], documents[row, start:stop] = whole[:-1], number
            targets[row, start:stop][learned] = whole[1:][learned]
            start = stop
    return Batch(torch.from_numpy(ids), torch.from_numpy(targets), None if alone else torch.from_numpy(documents))


def document_numbers(ids_BT: Tensor) -> Tensor:
    """Number of the document in its window, int64 (B, T), of each position: every `<|endoftext|>` begins one."""
    return (ids_BT == END_OF_TEXT).cumsum(1)
