"""Statistics of disparate impact: ratios of removal rates, stratified, with tests and their power.

Unstratified ratios mislead: men and women look three times as toxic as the rest of a corpus whose only fiction is
Shakespeare, and 1.2 times inside Shakespeare. So documents are compared within strata (a source, and there documents
of like length).

Everything rests on one conditional distribution. Given how many documents of each stratum were removed, the number of
the group's among them is binomial if removals are rare (Przyborowski and Wilenski 1940), and never more spread than
that if they are not: a sum of hypergeometric counts is a sum of independent yes/no variables, whose tails a binomial
of the same mean bounds (Hoeffding 1956). So tests and intervals are exact or conservative for documents that are
removed one by one.

Documents of a work are removed together: works differ in their own rates, and a site may go whole. So the counts are
divided by the design effect, how much more the statistic varies over works than over documents (Rao and Scott 1992),
with Student's allowance for few works; and with removals in fewer than five works nothing is told.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import betainc, betaincinv
from scipy.stats import beta, binom, binomtest

from components.statistics import MIN_CLUSTERS, critical_t

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
        design: by how much more the removed documents of the group vary over works than over documents, 1 or more.
        works: with removed documents; one that stands alone is one.
    """

    def __init__(
        self, table: Sequence[tuple[int, int, int, int]], design: float = 1.0, works: float = math.inf
    ) -> None:
        rows = [row for row in table if row[1] and row[3] and row[0] + row[2]]
        hits, self.members, others, self.rest = np.array(rows, dtype=float).reshape(-1, 4).T
        self.removed = hits + others
        self.hits, self.trials = int(hits.sum()), int(self.removed.sum())
        self.design, self.works, self.enough = design, works, works >= MIN_CLUSTERS

    @property
    def untold(self) -> str:
        """Why nothing is told of removals; "" where something is, or there are none."""
        if self.enough or not self.trials:
            return ""
        return f"too few works: {self.works:.0f}, at least {MIN_CLUSTERS}"

    def expected(self, ratio: float) -> float:
        """Removed documents that would be the group's if its rate were `ratio` times the rest's."""
        return float((self.removed * ratio * self.members / (ratio * self.members + self.rest)).sum())

    def ratio_at(self, share: float) -> float:
        """The ratio of rates at which this share of the removed documents would be the group's."""
        sought, most = share * self.trials, math.exp(50.0)  # the bound of few documents may lie beyond
        if sought <= self.expected(1.0 / most) or sought >= self.expected(most):
            return 0.0 if sought < self.expected(1.0) else math.inf
        return math.exp(brentq(lambda log: self.expected(math.exp(log)) - sought, -50.0, 50.0))

    def ratio(self, confidence: float = 0.95) -> Ratio:
        """The ratio of removal rates with its Clopper-Pearson interval; NaN with p 1 if nothing was removed.

        Of removals in too few works the interval is whole, and p is 1.
        """
        if not self.trials:
            return Ratio(math.nan, 0.0, math.inf, 1.0)
        value = self.ratio_at(self.hits / self.trials)
        if not self.enough:
            return Ratio(value, 0.0, math.inf, 1.0)
        hits, trials, tail = self.hits / self.design, self.trials / self.design, (1.0 - confidence) / 2.0
        low = self.ratio_at(float(betaincinv(hits, trials - hits + 1.0, tail)) if hits else 0.0)
        high = self.ratio_at(float(betaincinv(hits + 1.0, trials - hits, 1.0 - tail)) if hits < trials else 1.0)
        return Ratio(value, low, high, self._p(hits, trials))

    def _p(self, hits: float, trials: float) -> float:
        """Twice the smaller tail of the binomial with the mean of equal rates, as in `conditional_p`."""
        expected = self.expected(1.0) / self.design
        if abs(hits - expected) < 1.0:
            return 1.0
        share = min(1.0, expected / max(trials, 1.0))
        above = float(betainc(hits, trials - hits + 1.0, share)) if hits > 0.0 else 1.0
        below = 1.0 - float(betainc(hits + 1.0, trials - hits, share)) if hits < trials else 1.0
        return min(1.0, 2.0 * min(above, below))

    def detectable(self, comparisons: int, level: float = 0.05) -> float:
        """Smallest ratio above 1 found with probability `POWER` at `level`, Bonferroni for `comparisons`; or infinity.

        Holm's test, which is used, finds at least as much. The number of removed documents is taken as it was.
        """
        trials = int(self.trials / self.design)
        if not trials or not self.enough:
            return math.inf
        needed = int(binom.isf(level / 2 / comparisons, trials, self.expected(1.0) / self.trials)) + 1
        if needed > trials:
            return math.inf
        return self.ratio_at(float(beta.ppf(POWER, needed, trials - needed + 1)))


def design_effect(
    members: NDArray[np.bool_],
    dropped: NDArray[np.bool_],
    stratum: NDArray[np.int64],
    work: NDArray[np.int64],
    number: NDArray[np.int64],
    ratio: float,
) -> tuple[float, float]:
    """How much more the group's removals, less those expected at `ratio`, vary over works than over documents; works.

    Args:
        members, dropped, stratum, work, number: (num_kinds,) of so many documents each; work -1
            stands alone.
        ratio: that was found.

    Returns:
        The design effect, 1 or more, and the number of works with removed documents.
    """

    def total(of: NDArray[np.bool_]) -> NDArray[np.float64]:
        return np.bincount(stratum, number * of)[stratum].astype(np.float64)

    times = min(1e6, max(1e-6, ratio)) if ratio == ratio else 1.0
    weighed, rest = times * total(members), total(~members)
    rates, share = (
        total(dropped) / (weighed + rest),
        weighed / (weighed + rest),
    )  # of the rest; of the removed, the group's
    each = np.where(members, (dropped - times * rates) * (1.0 - share), -(dropped - rates) * share)
    alone = work < 0
    of_work, removed = (np.bincount(work[~alone], (number * one)[~alone], minlength=1) for one in (each, dropped))
    single = float((number * dropped)[alone].sum())
    works = float((removed > 0).sum()) + single
    over_documents = float((number * each**2).sum())
    if not over_documents or not removed.any():
        return 1.0, works
    over_works = float((of_work**2).sum() + (number * each**2)[alone].sum())
    effective = (removed.sum() + single) ** 2 / float((removed**2).sum() + single)
    few = (critical_t(max(1.0, effective - 1.0)) / critical_t(np.inf)) ** 2
    return max(1.0, over_works / over_documents * few), works
