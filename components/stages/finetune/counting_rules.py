"""Rules that classify without a network, as a baseline: counting parts of a text, and always saying what is commonest.

Counting is naive Bayes of tokens, of words, or of runs of one to three characters, whichever predicts the training
passages best with each left out: what is worth counting depends on the task, the number of labels and the script.

Legend: N passages, K classes, V ids that are counted, U distinct ids of a passage.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.instruction_pairs.examples import Passage, ProblemType
from components.stages.finetune.classify import decided, encoded, indicators
from components.tokens.hub_encoder import AnyEncoder

MOST_CHARACTERS = 2000
"""Characters of a text whose runs are counted."""


@dataclass(frozen=True)
class Counted:
    """Training and held-out passages as ids of what is counted, all below `size`."""

    train: Sequence[Sequence[int]]
    test: Sequence[Sequence[int]]
    size: int


def counted(encoder: AnyEncoder, train: Sequence[Passage], test: Sequence[Passage], context: int) -> list[Counted]:
    """Tokens of passages as the model reads them, at most `context`; words and runs of characters of all their text."""
    tokens = Counted(encoded(encoder, train, context), encoded(encoder, test, context), encoder.vocab_size)
    texts = [[passage.text for passage in passages] for passages in (train, test)]
    return [tokens, *(counted_parts(parts, *texts) for parts in (words, characters))]


def words(text: str) -> list[str]:
    """Words of a text, in lower case."""
    return re.findall(r"\w+", text.lower())


def characters(text: str) -> list[str]:
    """Runs of one to three characters of the beginning of a text."""
    head = text[:MOST_CHARACTERS]
    return [head[at : at + length] for length in (1, 2, 3) for at in range(len(head) - length + 1)]


def counted_parts(parts: Callable[[str], list[str]], train: Sequence[str], test: Sequence[str]) -> Counted:
    """Parts of texts by number; those that no training text has are left out."""
    known: dict[str, int] = {}
    train_ids = [[known.setdefault(part, len(known)) for part in parts(text)] for text in train]
    test_ids = [[known[part] for part in parts(text) if part in known] for text in test]
    return Counted(train_ids, test_ids, max(1, len(known)))


def naive_bayes(views: Sequence[Counted], labels: Sequence[int], prior: bool = False) -> np.ndarray:
    """Classes (num_test,) by multinomial naive Bayes on counts, add-one smoothed.

    Args:
        views: what may be counted; the first of those is taken that get most training passages right, each left out.
        prior: whether a class is as likely as it is frequent, and not as any other.
    """
    models = [NaiveBayes(view.train, labels, view.size, prior) for view in views]
    best = max(range(len(views)), key=lambda index: models[index].left_out_accuracy(views[index].train, labels))
    return np.array([models[best].decide(ids) for ids in views[best].test])


class NaiveBayes:
    """Counts of ids in each class, and the decisions that follow."""

    def __init__(self, train: Sequence[Sequence[int]], labels: Sequence[int], size: int, prior: bool):
        self.number_K = np.bincount(labels).astype(float)
        self.counts_KV = np.ones((len(self.number_K), size))
        for ids, label in zip(train, labels, strict=True):
            np.add.at(self.counts_KV[label], np.asarray(ids, dtype=np.int64), 1)
        self.totals_K = self.counts_KV.sum(axis=1)
        self.prior = prior

    def decide(self, ids: Sequence[int], own: int | None = None) -> int:
        """Likeliest class of a passage; `own`: the class that it was counted in, where it is to be left out."""
        distinct_U, times_U = np.unique(np.asarray(ids, dtype=np.int64), return_counts=True)
        counts_KU, totals_K = self.counts_KV[:, distinct_U], self.totals_K.copy()
        number_K = self.number_K.copy()
        if own is not None:
            counts_KU[own] -= times_U
            totals_K[own] -= len(ids)
            number_K[own] -= 1
        scores_K = np.log(counts_KU / totals_K[:, None]) @ times_U
        return int((scores_K + np.log(np.maximum(number_K, 1e-9)) * self.prior).argmax())

    def left_out_accuracy(self, train: Sequence[Sequence[int]], labels: Sequence[int]) -> float:
        """Share of its training passages that it gets right with each left out."""
        return float(np.mean([self.decide(ids, own) == own for ids, own in zip(train, labels, strict=True)]))


def counting(problem: ProblemType, views: Sequence[Counted], labels: Sequence[Any], num_labels: int) -> np.ndarray:
    """Predictions of naive Bayes, bool (N, K); of several classes each is decided alone."""
    if problem == "single_label_classification":
        return indicators(naive_bayes(views, labels).tolist(), num_labels)
    has_NK = indicators(labels, num_labels).astype(int)
    columns = [naive_bayes(views, column.tolist(), prior=True) == 1 for column in has_NK.T]
    return np.stack(columns, axis=1)


def commonest(problem: ProblemType, labels: Sequence[Any], num_test: int, num_labels: int) -> np.ndarray:
    """Always the same prediction, bool (N, K): the commonest class, or the classes that most passages have."""
    has_NK = indicators(labels, num_labels)
    return np.tile(decided(has_NK.mean(axis=0)[None], problem), (num_test, 1))
