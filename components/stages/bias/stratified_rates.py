"""Statistics of disparate impact: ratios of removal rates, stratified, with exact tests and their power.

Unstratified ratios mislead: men and women look three times as toxic as the rest of a corpus whose only fiction is
Shakespeare, and 1.2 times inside Shakespeare. So documents are compared within strata (a source, and there documents
of like length).

Everything rests on one conditional distribution. Given how many documents of each stratum were removed, the number of
the group's among them is binomial if removals are rare (Przyborowski and Wilenski 1940), and never more spread than
that if they are not: a sum of hypergeometric counts is a sum of independent yes/no variables, whose tails a binomial
of the same mean bounds (Hoeffding 1956). So tests and intervals are exact or conservative for any counts.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.stats import beta, binom, binomtest

POWER = 0.8
"""Probability of being found that the smallest detectable ratio has."""


@dataclass(frozen=True)
class Rate:
    """A proportion with its Wilson interval."""

    count: int
    total: int
    value: float
    low: float
    high: float


def wilson(hits: int, n: int, confidence: float) -> tuple[float, float]:
    """Wilson's score interval of a proportion (1927), which is sound near 0 and 1 too."""
    interval = binomtest(hits, n).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def rate(count: int, total: int, confidence: float = 0.95) -> Rate:
    """`count` of `total` with the Wilson score interval (Wilson 1927); of nothing, anything is possible: [0, 1]."""
    if total == 0:
        return Rate(0, 0, math.nan, 0.0, 1.0)
    return Rate(count, total, count / total, *wilson(count, total, confidence))


def conditional_p(count: ArrayLike, expected: ArrayLike, trials: ArrayLike) -> NDArray[np.float64]:
    """Two-sided p-values of sums of hypergeometric counts with means `expected` and largest values `trials`.

    Twice the smaller tail of the binomial with that mean, which bounds the true tail from one away from the mean on
    (Hoeffding 1956); nearer than that p is 1. All arguments have one shape, and so has the result.
    """
    count, expected, trials = (np.asarray(value, dtype=np.float64) for value in (count, expected, trials))
    share = np.minimum(1.0, expected / np.maximum(trials, 1.0))
    tail = np.minimum(binom.sf(count - 1, trials, share), binom.cdf(count, trials, share))
    return np.where(np.abs(count - expected) < 1.0, 1.0, np.minimum(1.0, 2.0 * tail))


@dataclass(frozen=True)
class Ratio:
    """A pooled ratio of two rates, with interval and the p-value of "the rates do not differ in any stratum"."""

    value: float
    low: float
    high: float
    p: float


class Strata:
    """Removed documents of a group and of the rest, stratum by stratum.

    Args:
        table: rows of (removed and all documents of the group, removed and all of the rest). Rows without removals or
            without one of the sides say nothing and are left out.
    """

    def __init__(self, table: Sequence[tuple[int, int, int, int]]) -> None:
        rows = [row for row in table if row[1] and row[3] and row[0] + row[2]]
        hits, self.members, others, self.rest = np.array(rows, dtype=float).reshape(-1, 4).T
        self.removed = hits + others
        self.hits, self.trials = int(hits.sum()), int(self.removed.sum())

    def expected(self, ratio: float) -> float:
        """Removed documents that would be the group's if its rate were `ratio` times the rest's."""
        return float((self.removed * ratio * self.members / (ratio * self.members + self.rest)).sum())

    def ratio_at(self, share: float) -> float:
        """The ratio of rates at which this share of the removed documents would be the group's."""
        if not 0.0 < share < 1.0:
            return 0.0 if share <= 0.0 else math.inf
        return math.exp(brentq(lambda log: self.expected(math.exp(log)) - share * self.trials, -50.0, 50.0))

    def ratio(self, confidence: float = 0.95) -> Ratio:
        """The ratio of removal rates with its Clopper-Pearson interval; NaN with p 1 if nothing was removed."""
        if not self.trials:
            return Ratio(math.nan, 0.0, math.inf, 1.0)
        bounds = binomtest(self.hits, self.trials).proportion_ci(confidence, "exact")
        value, low, high = (self.ratio_at(share) for share in (self.hits / self.trials, bounds.low, bounds.high))
        return Ratio(value, low, high, float(conditional_p(self.hits, self.expected(1.0), self.trials)))

    def detectable(self, comparisons: int, level: float = 0.05) -> float:
        """Smallest ratio above 1 found with probability `POWER` at `level`, Bonferroni for `comparisons`; or infinity.

        Holm's test, which is used, finds at least as much. The number of removed documents is taken as it was.
        """
        if not self.trials:
            return math.inf
        needed = int(binom.isf(level / 2 / comparisons, self.trials, self.expected(1.0) / self.trials)) + 1
        if needed > self.trials:
            return math.inf
        return self.ratio_at(float(beta.ppf(POWER, needed, self.trials - needed + 1)))
