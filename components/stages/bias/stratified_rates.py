"""Statistics of disparate impact: rates with intervals, and ratios of keep rates stratified by source.

Unstratified ratios mislead: men and women look 16 times as toxic as the rest of a corpus whose only fiction is
Shakespeare, and 1.2 times inside Shakespeare. So documents are compared within strata (a source, and there
documents of like length) and the strata pooled as Mantel and Haenszel did.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2, norm

from components.statistics import wilson


@dataclass(frozen=True)
class Rate:
    """A proportion with its Wilson interval."""

    count: int
    total: int
    value: float
    low: float
    high: float


def rate(count: int, total: int, confidence: float = 0.95) -> Rate:
    """`count` of `total` with the Wilson score interval (Wilson 1927); of nothing, anything is possible: [0, 1]."""
    if total == 0:
        return Rate(0, 0, math.nan, 0.0, 1.0)
    return Rate(count, total, count / total, *wilson(count, total, confidence))


@dataclass(frozen=True)
class Ratio:
    """A pooled ratio of two rates, with interval and the p-value of "the rates do not differ in any stratum"."""

    value: float
    low: float
    high: float
    p: float


Table = Sequence[tuple[int, int, int, int]]
"""Per stratum: kept and total of the group, kept and total of the rest."""


def stratified_ratio(strata: Table, confidence: float = 0.95) -> Ratio:
    """Mantel-Haenszel ratio of the group's keep rate to the rest's.

    The interval is by the delta method on the log scale, as Greenland and Robins 1985, but with each rate's variance
    taken half a success and half a failure nearer to 1/2: where both of two are kept, the variance would be 0, which
    makes a filter that drops little look exactly known. The p-value is the Cochran-Mantel-Haenszel test without
    continuity correction. Strata without both sides say nothing and are skipped.

    Returns:
        NaN with p 1 where there is nothing to compare; infinity where the rest keeps nothing.
    """
    a, n1, b, n0 = np.array([row for row in strata if row[1] and row[3]], dtype=float).reshape(-1, 4).T
    weight = n1 * n0 / (n1 + n0)
    rate_group, rate_rest = float((weight * a / n1).sum()), float((weight * b / n0).sum())
    if not len(weight):
        return Ratio(math.nan, 0.0, math.inf, 1.0)
    value = rate_group / rate_rest if rate_rest else math.inf
    p, q = (a + 0.5) / (n1 + 1), (b + 0.5) / (n0 + 1)
    if (
        not rate_group or not rate_rest
    ):  # no logarithm where one side keeps nothing: the interval is then about smoothed rates
        rate_group, rate_rest = float((weight * p).sum()), float((weight * q).sum())
    variance = float((weight**2 * (p * (1 - p) / n1 / rate_group**2 + q * (1 - q) / n0 / rate_rest**2)).sum())
    spread = float(norm.ppf(0.5 + confidence / 2)) * math.sqrt(variance)
    center = rate_group / rate_rest
    return Ratio(value, min(value, center * math.exp(-spread)), center * math.exp(spread), _cmh_p(a, n1, b, n0))


def _cmh_p(a: NDArray, n1: NDArray, b: NDArray, n0: NDArray) -> float:
    """The Cochran-Mantel-Haenszel test's p-value (Mantel and Haenszel 1959); every stratum has both sides."""
    total, kept = n1 + n0, a + b
    variance = n1 * n0 * kept * (total - kept) / (total**2 * (total - 1))
    if not variance.any():
        return 1.0
    return float(chi2.sf(float((a - n1 * kept / total).sum()) ** 2 / float(variance.sum()), df=1))
