"""From which probability on a classifier may answer, so that at most a stated share of its answers is wrong.

Selective classification with a guarantee (Geifman and El-Yaniv 2017, arXiv:1705.08500). At each of fixed thresholds
the error among the held-out answers at or above it has an upper bound. The bounds hold together (Bonferroni), so that
the lowest threshold whose bound is small enough may be taken after looking at all. What is promised holds for texts
drawn as the held-out ones were.

The bound is the exact binomial one (Clopper and Pearson 1934) of as many texts as there are independent ones: texts of
a work may all be wrong together, so a work counts as one text, and works of unequal size as fewer (Kish 1965).
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv

THRESHOLDS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
"""Probabilities that are tried: the more, the wider each bound."""
ERRORS = (0.2, 0.1, 0.05, 0.02)
"""Shares of wrong answers that are asked for."""
RISK = 0.05 / len(THRESHOLDS)
"""Of a bound below the truth, each: that of any is 5%."""


@dataclass(frozen=True, slots=True)
class AnswerThreshold:
    """What it takes for at most a share of `error` of the answers to be wrong.

    Attributes:
        needed: independent texts, all right, that would show it; with fewer, no classifier could.
        threshold: lowest probability of an answer; None if none is shown to do.
        answered: share of the held-out texts with such an answer. wrong: share of these answers that is wrong.
    """

    error: float
    needed: int
    threshold: float | None = None
    answered: float = 0.0
    wrong: float | None = None


def answer_thresholds(probability: np.ndarray, right: np.ndarray, clusters: Sequence[str]) -> list[AnswerThreshold]:
    """The threshold of each of `ERRORS`, with 95% confidence for all together.

    Args:
        probability: of the class that is answered (num_texts,). right: whether it is the true one (num_texts,).
        clusters: the work of each text, or what it has of its own.
    """
    tried = list[tuple[float, float, float, float]]()
    for threshold in THRESHOLDS:
        answered: list[int] = np.flatnonzero(probability >= threshold).tolist()
        if answered:
            wrong = float(np.mean(~right[answered]))
            bound = upper_bound(wrong, independent([clusters[place] for place in answered]))
            tried.append((threshold, len(answered) / len(right), wrong, bound))
    found = []
    for most in ERRORS:
        needed = math.ceil(math.log(RISK) / math.log(1 - most))
        least = next((row for row in tried if row[3] <= most), None)
        found.append(AnswerThreshold(most, needed, *least[:3]) if least else AnswerThreshold(most, needed))
    return found


def independent(clusters: Sequence[str]) -> float:
    """How many independent texts these are worth at least: (sum of cluster sizes)^2 / sum of their squares."""
    sizes = np.array([*Counter(clusters).values()], dtype=np.float64)
    return float(sizes.sum() ** 2 / (sizes**2).sum())


def upper_bound(wrong: float, num: float) -> float:
    """Largest error that leaves this share of wrong ones among `num` texts a chance of `RISK`."""
    return float(betaincinv(wrong * num + 1.0, num - wrong * num, 1.0 - RISK)) if wrong < 1.0 else 1.0
