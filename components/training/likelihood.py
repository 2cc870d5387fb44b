"""Log-probabilities of tokens under a language model, causal or masked, many texts at a time.

Texts of similar length share a batch, and every batch is the same whatever else runs, so the same model and texts
always give the same bytes. Logits are made for the tokens that are asked for alone, and never more than `MAX_LOGITS`
at once.

Legend: B rows of a batch, T positions, N tokens asked for, D width, V vocabulary.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from components.params import Numerics
from components.tokens.tokenizer import MASK

if TYPE_CHECKING:
    import torch

Ids = Sequence[int] | np.ndarray
BATCH_TOKENS = 1024
"""Tokens of a forward pass on a CPU: what a small model's activations fill of its cache (4096 took a third longer)."""
MAX_LOGITS = 24_000_000
"""Logits held at once (float32: 96 MB), which bounds memory for large vocabularies."""


class TokenRow(NamedTuple):
    """A text as the model is given it, and what is asked of it.

    Attributes:
        ids: (T,) token ids.
        positions: (n,) those whose final states predict, in any order and number.
        targets: (n,) the id asked for at each.
    """

    ids: Ids
    positions: Ids
    targets: Ids


@dataclass(frozen=True)
class Scores:
    """Log-probabilities of the tokens asked for in one row; each array is (n,).

    Attributes:
        logp: natural log-probability of the token.
        top: natural log-probability of the model's own first choice.
        hit: whether that choice is the token.
    """

    logp: np.ndarray
    top: np.ndarray
    hit: np.ndarray

    @property
    def total(self) -> float:
        """Natural log-probability of all of them."""
        return float(self.logp.sum())


def next_tokens(ids: Ids, count: int | None = None) -> TokenRow:
    """The last `count` ids (all but the first if None), each asked for after those before it: for a causal model."""
    count = len(ids) - 1 if count is None else count
    return TokenRow(ids[:-1], range(len(ids) - 1 - count, len(ids) - 1), ids[len(ids) - count :])


def hidden_tokens(ids: Ids, positions: Ids, mask: int = MASK) -> TokenRow:
    """The ids at `positions`, all hidden behind `mask`: for a masked model."""
    shown = np.array(ids)
    targets = shown[positions]
    shown[positions] = mask
    return TokenRow(shown, positions, targets)


def score(
    model: Any, rows: Sequence[TokenRow], numerics: Numerics | None = None, check: Callable[[], None] = lambda: None
) -> list[Scores]:
    """Scores of each row, in order.

    Args:
        model: a `Transformer`, or a `HubModel`.
        numerics: the type of matrix products; float32 if None.
        check: called before each batch.
    """
    import torch

    device, results = next(model.parameters()).device, dict[int, Scores]()
    with torch.no_grad():
        for indices in batches([len(row.ids) for row in rows], BATCH_TOKENS * (1 if device.type == "cpu" else 32)):
            check()
            part = [rows[index] for index in indices]
            arrays = (values.cpu().numpy() for values in _score_batch(model, part, device, numerics))
            ends = np.cumsum([len(row.positions) for row in part])[:-1]
            for index, *values in zip(indices, *(np.split(array, ends) for array in arrays), strict=True):
                results[index] = Scores(*values)
    return [results[index] for index in range(len(rows))]


def _score_batch(
    model: Any, rows: Sequence[TokenRow], device: "torch.device", numerics: Numerics | None
) -> "tuple[torch.Tensor, torch.Tensor, torch.Tensor]":
    """`Scores`' arrays, (N,) over all rows, by one forward pass."""
    import torch

    from components.training.numerics import autocast

    lengths = np.array([len(row.ids) for row in rows])
    shown, inside = np.zeros((len(rows), lengths.max()), dtype=np.int64), np.arange(lengths.max()) < lengths[:, None]
    shown[inside] = np.concatenate([row.ids for row in rows])
    owners = np.repeat(np.arange(len(rows)), [len(row.positions) for row in rows])
    columns = [owners, *(np.concatenate([row[part] for row in rows]) for part in (1, 2))]
    row_N, place_N, target_N = (torch.from_numpy(column.astype(np.int64)).to(device) for column in columns)
    # What a causal model reads before the padding does not know of it; to a masked one it is a document of its own.
    documents = None if model.shape.causal or inside.all() else torch.from_numpy(inside.astype(np.int64)).to(device)
    with nullcontext() if numerics is None else autocast(numerics):
        state_ND = model.hidden(torch.from_numpy(shown).to(device), documents)[row_N, place_N]
        return token_scores(state_ND, model.logits, model.shape.vocab_size, target_N)


def token_scores(
    state_ND: "torch.Tensor", logits_of: "Callable[[Any], torch.Tensor]", vocab_size: int, target_N: "torch.Tensor"
) -> "tuple[torch.Tensor, torch.Tensor, torch.Tensor]":
    """Log-probability of each target, that of the likeliest token (both float64), and whether they are one: (N,)."""
    import torch

    scores = []
    size = max(1, MAX_LOGITS // vocab_size)
    for state, target in zip(state_ND.split(size), target_N.split(size), strict=True):
        logits = logits_of(state).float()
        norm, (top, choice) = torch.logsumexp(logits, dim=-1), logits.max(dim=-1)
        logp = logits.gather(-1, target[:, None])[:, 0] - norm
        scores.append((logp.double(), (top - norm).double(), choice == target))
    logp, top, hit = (torch.cat(parts) for parts in zip(*scores, strict=True))
    return logp, top, hit


def batches(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Indices grouped by length, longest first, so that a padded batch holds at most `batch_tokens` (or one row)."""
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    start = 0
    while start < len(order):
        rows = max(1, batch_tokens // max(1, lengths[order[start]]))
        yield order[start : start + rows]
        start += rows
