"""Task `masked`: how often the masked model restores the hidden word.

A share of the tokens of held-out documents is replaced by `<|mask|>`; the score is how often the model's first choice
is the token that stood there. Which tokens are hidden depends on the document alone. Baselines, counted in the text the
model was trained on: always the most frequent token, the one that most often follows the token before, and the
one that most often stands between the two neighbours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.core.files import sha256_bytes
from components.corpus.corpus import Document
from components.stages.evaluate.tasks.baselines import best_rule, runs
from components.stages.evaluate.tasks.scoring import LanguageModel
from components.stages.evaluate.tasks.task import EvalContext, NotApplicable, TaskResult, item_id, work_of
from components.tokens.tokenizer import MASK
from components.training.likelihood import Scores, hidden_tokens, score

NAME = "masked"
MASK_SHARE = 0.15
MOST_TOKENS = 60_000
"""Tokens read at most (all sources together): a few thousand hidden ones bound the score to about one percent."""


@dataclass(frozen=True, eq=False)
class MaskedWindow:
    """Part of a document, and which of its positions are hidden."""

    document: Document
    ids: np.ndarray
    hidden: np.ndarray


def masked(context: EvalContext) -> TaskResult:
    """Accuracy and log-loss on hidden tokens."""
    result = TaskResult(NAME, model="pretrain/masked")
    model = context.masked
    masked_windows = windows(model, context.heldout, context.params.seed)
    if not masked_windows:
        raise NotApplicable("the held-out documents are too short to hide a token")
    rules = counting_rules(context.masked_training_text.windows, masked_windows)
    rule, baselines = best_rule(rules)
    for window, scores, by_rule in zip(masked_windows, restore(model, masked_windows), baselines, strict=True):
        document, size = window.document, len(scores.hit)
        where: dict[str, Any] = {"condition": document.source, "weight": size} | work_of(document)
        name = item_id(document.id, window.ids.tobytes(), window.hidden.tobytes())
        result.item("accuracy", name, scores.hit.sum(), baseline=by_rule, **where)
        result.item("nats_per_token", name, -scores.total, direction="lower", **where)
    total = result.estimate("accuracy", context.resampling).within(0, 1)
    num_hidden = int(sum(row["weight"] for row in result.rows("accuracy")))
    result.metric("accuracy", total)
    result.metric("nats_per_token", result.estimate("nats_per_token", context.resampling), bounds=False)
    result.facts |= {"hidden_tokens": num_hidden}
    baseline = result.baseline(rule, "accuracy", context.resampling)
    note = f"{num_hidden} hidden tokens"
    shown: dict[str, Any] = {"kind": "knowledge", "headline": True, "primary": True, "column": "mlm"}
    result.score("accuracy", "masked tokens restored", total, baseline, note, **shown)
    return result


def counting_rules(seen: Sequence[np.ndarray], masked_windows: Sequence[MaskedWindow]) -> dict[str, list[float]]:
    """Hidden tokens that each rule restores, per window; `seen` are windows of ids that it counts in."""
    largest = max(int(ids.max()) for ids in (*seen, *(window.ids for window in masked_windows)))
    neighbours = Neighbours(seen, largest + 1)
    rules: dict[str, list[float]] = {"commonest token": [], "likeliest bigram": [], "both neighbours": []}
    for window in masked_windows:
        truth = window.ids[window.hidden]
        shown = np.concatenate([[MASK], np.where(window.hidden, MASK, window.ids), [MASK]])
        before, after = shown[:-2][window.hidden], shown[2:][window.hidden]
        between = [neighbours.between(*pair) for pair in zip(before.tolist(), after.tolist(), strict=True)]
        guesses = np.full(len(truth), neighbours.frequent), neighbours.following[before], np.array(between, dtype=int)
        for scores, guess in zip(rules.values(), guesses, strict=True):
            scores.append(float((guess == truth).sum()))
    return rules


class Neighbours:
    """Which tokens stand beside which others in windows of a text.

    Attributes:
        frequent: the commonest token.
        following, preceding: by token, the one that most often follows it or stands before it; else `frequent`.
    """

    def __init__(self, seen: Sequence[np.ndarray], size: int) -> None:
        self.size, self.counts = size, np.bincount(np.concatenate(seen), minlength=size)
        self.frequent = int(self.counts.argmax())
        (left, right), (before, middle, after) = runs(seen, 2).T, runs(seen, 3).T
        self._after, self._before = _Followers(left, right, size), _Followers(right, left, size)
        self._inside = _Followers(before * size + after, middle, size)
        self.following, self.preceding = (one.commonest(size, self.frequent) for one in (self._after, self._before))

    def between(self, before: int, after: int) -> int:
        """The likeliest token between two: most often seen there, else by P(token | before) P(after | token).

        A neighbour that is hidden or lacking (`MASK`) tells nothing.
        """
        if before == MASK or after == MASK:
            return int(self.following[before] if after == MASK else self.preceding[after])
        tokens, counts = self._inside[before * self.size + after]
        if not len(tokens):
            lefts, left_counts = self._after[before]
            rights, right_counts = self._before[after]
            tokens, at_left, at_right = np.intersect1d(lefts, rights, assume_unique=True, return_indices=True)
            counts = left_counts[at_left] * right_counts[at_right] / self.counts[tokens]
        return int(tokens[counts.argmax()]) if len(tokens) else int(self.following[before])


class _Followers:
    """Key -> the values that were seen with it, in order, and how often."""

    def __init__(self, keys: np.ndarray, values: np.ndarray, size: int) -> None:
        pairs, self._counts = np.unique(keys * size + values, return_counts=True)
        self._keys, self._values = pairs // size, pairs % size

    def __getitem__(self, key: int) -> tuple[np.ndarray, np.ndarray]:
        start, end = np.searchsorted(self._keys, (key, key + 1))
        return self._values[start:end], self._counts[start:end]

    def commonest(self, num_keys: int, default: int) -> np.ndarray:
        """By key, the value seen with it most often, the lowest of equals; else `default`: int64 (num_keys,)."""
        order = np.lexsort((-self._counts, self._keys))
        keys, first = np.unique(self._keys[order], return_index=True)
        found = np.full(num_keys, default)
        found[keys] = self._values[order][first]
        return found


def windows(model: LanguageModel, documents: list[Document], seed: int) -> list[MaskedWindow]:
    """The beginnings of documents, one window each in turn, until `MOST_TOKENS`; then their next windows."""
    ids = [np.array(model.encode(document.text)) for document in documents]
    parts, total = [], 0
    for start in range(0, max(map(len, ids), default=0), model.context):
        for document, ids_of_document in zip(documents, ids, strict=True):
            part = ids_of_document[start : start + model.context]
            if total >= MOST_TOKENS or len(part) < 8:
                continue
            key = int.from_bytes(bytes.fromhex(sha256_bytes(f"{seed} {document.id} {start}".encode())[:16]))
            hidden = np.random.default_rng(key).random(len(part)) < MASK_SHARE
            hidden[0] = part[0] != 0 and hidden[0]
            hidden[-1] |= not hidden.any()
            parts.append(MaskedWindow(document, part, hidden))
            total += len(part)
    return parts


def restore(model: LanguageModel, masked_windows: Sequence[MaskedWindow]) -> list[Scores]:
    """Scores of each window's hidden tokens."""
    return score(model.model, [hidden_tokens(one.ids, np.flatnonzero(one.hidden)) for one in masked_windows])
