"""From which probability on a classifier may answer, so that at most a stated share of its answers is wrong.

Selective classification with a guarantee (Geifman and El-Yaniv 2017, arXiv:1705.08500). At each of fixed thresholds
the error among the held-out answers at or above it has an upper bound. The bounds hold together (Bonferroni), so that
the lowest threshold whose bound is small enough may be taken after looking at all. What is promised holds for texts
drawn as the held-out ones were.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from components.statistics import DEFAULT, Resampling, ratio

THRESHOLDS = (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99)
"""Probabilities that are tried: the more, the wider each bound."""
ERRORS = (0.2, 0.1, 0.05, 0.02, 0.01)
"""Shares of wrong answers that are asked for."""


@dataclass(frozen=True, slots=True)
class AnswerThreshold:
    """What it takes for at most a share of `error` of the answers to be wrong.

    Attributes:
        threshold: lowest probability of an answer; None if none is shown to do.
        answered: share of the held-out texts with such an answer. wrong: share of these answers that is wrong.
    """

    error: float
    threshold: float | None = None
    answered: float = 0.0
    wrong: float | None = None


def answer_thresholds(
    probability: np.ndarray, right: np.ndarray, clusters: Sequence[str], strata: Sequence[str] | None = None,
    resampling: Resampling = DEFAULT,
) -> list[AnswerThreshold]:  # fmt: skip
    """The threshold of each of `ERRORS`.

    Args:
        probability: of the class that is answered (num_texts,). right: whether it is the true one (num_texts,).
        clusters, strata: of each text, as in `statistics.ratio`.
        resampling: with this confidence all that is promised holds.
    """
    each = Resampling(confidence=1 - 2 * (1 - resampling.confidence) / len(THRESHOLDS))  # of two sides, one is used
    tried = list[tuple[float, float, float, float]]()
    for threshold in THRESHOLDS:
        answered: list[int] = np.flatnonzero(probability >= threshold).tolist()
        if answered:
            wrong = [float(not right[place]) for place in answered]
            sources = None if strata is None else [strata[place] for place in answered]
            error = ratio(wrong, None, [clusters[place] for place in answered], each, sources)
            if error.high is not None:
                tried.append((threshold, len(answered) / len(right), error.value, error.high))
    found = []
    for most in ERRORS:
        least = next((row for row in tried if row[3] <= most), None)
        found.append(AnswerThreshold(most, *least[:3]) if least else AnswerThreshold(most))
    return found
