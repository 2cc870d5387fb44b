"""Confidence intervals of scores, and paired comparison of two models.

Every score is an average over items, and items of one work, paradigm or occupation rise and fall
together: the unit of all variance here is the cluster, never the item (Miller, "Adding Error Bars
to Evals", 2024). All scores are functions of sums over clusters: `sum(score) / sum(weight)` is bits
over bytes for compression, hits over items for accuracy.

Clusters are few: ten works of a source. A percentile or BCa bootstrap of ten covers .88 where .95
is promised; so the standard error is a jackknife's over clusters (within strata, the sources), its
critical value Student's t with degrees of freedom for clusters of unequal size, or farther by the
skewness of the clusters (Hall 1992), and shares of yes/no items have the exact binomial interval of
as many independent items as their variance is worth. Errors of several kinds, such as works and
training seeds, are added in quadrature interval by interval. A p-value is one less the confidence
at which that same interval ends at zero. `make bench NAME=evidence` measures the coverage.

Two models are compared on the same items, cluster by cluster, which removes what makes an item hard
for both: the interval of the difference is far narrower than the two intervals suggest.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

CONFIDENCE = 0.95
"""Of every interval."""
MIN_CLUSTERS = 5
"""With fewer clusters the spread between them is not known well enough for an interval."""
MOST_SKEW = 0.4
"""Cap on the skewness of an estimate: the correction for it grows without bound just above."""
HALF_SEEN = 10
"""Clusters that show half of the skewness of a lognormal distribution on average; more show more."""
LEAST_TAIL = -12.0
"""Power of ten below which a p-value is not told from zero."""
EVEN = {"zero": 0.0, "half": 0.5}
"""Value that a score should be near to, by the word for what is better."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A score with its interval.

    Attributes:
        value: the score itself.
        low, high: bounds of the interval; None where the data allow none.
        n: how many items it rests on.
        clusters: how many independent groups of items it rests on.
        variance: what the interval covers ("works"), or why there is none.
        error, freedom, skew: of a difference, as in `Spread`.
    """

    value: float
    low: float | None
    high: float | None
    n: int
    clusters: int
    variance: str = "items"
    error: float = 0.0
    freedom: float = 0.0
    skew: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)

    def within(self, lower: float, upper: float) -> "Estimate":
        """The same with its interval cut to what such a score can be."""
        if self.low is None or self.high is None:
            return self
        return replace(self, low=max(lower, self.low), high=min(upper, self.high))


# -- one model ---------------------------------------------------------------------------------------------------------


def ratio(
    scores: Sequence[float],
    weights: Sequence[float] | None = None,
    clusters: Sequence[str] | None = None,
    strata: Sequence[str] | None = None,
    unit: str = "",
    paired: bool = False,
) -> Estimate:
    """`sum(scores) / sum(weights)` with an interval.

    Args:
        scores: one per item.
        weights: one per item (bytes, say); None for 1 each, which makes this a mean.
        clusters: the group of each item; None if every item stands alone.
        strata: the stratum of each item (its source); None for one. Clusters of one name in two
            strata are two.
        unit: what the clusters are, in the plural; works if there are strata, else items or groups
            of items.
        paired: scores are differences of two on the same items. Of 0 and 1 alone they are no share
            of right answers: the next item may be a -1.
    """
    s = np.asarray(scores, dtype=np.float64)
    w = np.ones(len(s)) if weights is None else np.asarray(weights, dtype=np.float64)
    table, stratum = cluster_table([s, w], clusters, strata)
    if not unit and any(strata or ()):
        unit = "works"
    elif not unit:
        unit = "items" if len(table) == len(s) else "groups of items"
    value, words = float(s.sum() / w.sum()), variance_words(len(table), unit)
    none = Estimate(value, None, None, len(s), len(table), words)
    if len(table) < MIN_CLUSTERS:
        return none
    spread, equal = Spread.of(table, _ratio_of_table, table[:, 1], stratum), np.ptp(w) == 0.0
    if not paired and equal and np.all((s == 0.0) | (s == w)):
        low, high = _share_interval(spread, len(table), len(s))
    else:
        low, high = spread.interval()
        low, high = (value, value) if math.isclose(low, high, rel_tol=1e-12) else (low, high)  # alike but for rounding
        if paired and low == high and equal and np.abs(s).max() <= w[0]:
            low, high = _alike_interval(value, len(table))
            spread = spread.reaching((high - low) / 2)
    if paired:
        return replace(none, low=low, high=high, error=spread.error, freedom=spread.freedom, skew=spread.skew)
    if low == high:  # such as scores at their ceiling: what varies was not seen
        return replace(none, variance=f"no interval: all {len(table)} {unit} score alike")
    return replace(none, low=low, high=high)


def variance_words(clusters: int, unit: str) -> str:
    """Sentence on what an interval over so many clusters covers, or why there is none."""
    return unit if clusters >= MIN_CLUSTERS else f"no interval: {clusters} {unit}, at least {MIN_CLUSTERS} are needed"


def cluster_table(
    columns: Sequence[np.ndarray], clusters: Sequence[str] | None = None, strata: Sequence[str] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Columns of items added up within each cluster.

    Returns:
        A table (num_clusters, num_columns) in sorted order of stratum and cluster, and the number
        of each one's stratum (num_clusters,).
    """
    count = len(columns[0])
    assert count > 0
    assert all(len(column) == count for column in columns), [len(column) for column in columns]
    _, stratum = np.unique(np.zeros(count) if strata is None else np.asarray(strata), return_inverse=True)
    if clusters is None:
        return np.stack(columns, axis=1), stratum
    _, cluster = np.unique(np.asarray(clusters), return_inverse=True)
    _, first, index = np.unique(stratum * count + cluster, return_index=True, return_inverse=True)
    return np.stack([np.bincount(index, column) for column in columns], axis=1), stratum[first]


Statistic = Callable[[np.ndarray], np.ndarray]
"""Maps summed tables (..., *shape of a cluster's table) to (...)."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Value of a statistic of clusters, its standard error, the error's degrees of freedom, and the value's skewness.

    The skewness is that of the value's own distribution, without sign: a mean of n has that of one
    divided by sqrt(n). It is at most `MOST_SKEW`.
    """

    value: float
    error: float
    freedom: float
    skew: float = 0.0

    @classmethod
    def of(
        cls, tables: np.ndarray, statistic: Statistic, sizes: np.ndarray, strata: np.ndarray | None = None
    ) -> "Spread":
        """Jackknife over clusters, within strata (Rao, Wu & Yue 1992).

        A stratum with a single cluster has no spread: all strata are then taken as one, which is
        conservative. The degrees of freedom are those of the stratum with the fewest effective
        clusters, (sum of sizes)^2 / sum of squares, less one (after Carter, Schnepel & Steigerwald
        2017): Satterthwaite's are more, and too many when the variances they rest on are of five
        clusters each.

        Args:
            tables: (num_clusters, ...) counts or sums of each cluster.
            statistic: of the sum of tables.
            sizes: (num_clusters,) weight of each cluster: items, bytes.
            strata: (num_clusters,) number of each cluster's stratum; None for one.
        """
        total = tables.sum(0)
        without = np.concatenate(
            [statistic(total - part) for part in np.array_split(tables, -(-tables.size // 4_000_000))]
        )
        groups = np.zeros(len(tables), dtype=np.int64) if strata is None else strata
        if np.bincount(groups)[np.unique(groups)].min() < 2:
            groups = np.zeros_like(groups)
        variance, third, freedom = 0.0, 0.0, np.inf
        for group in np.unique(groups):
            inside = groups == group
            count, loads = int(inside.sum()), sizes[inside]
            apart = without[inside] - without[inside].mean()
            variance += (count - 1) / count * float((apart**2).sum())
            third += ((count - 1) / count) ** 1.5 * float((apart**3).sum())
            freedom = min(freedom, float(loads.sum() ** 2 / (loads**2).sum()) - 1.0)
        unseen = 1.0 + min(1.0, HALF_SEEN / len(tables))
        skew = min(MOST_SKEW, unseen * abs(third) / variance**1.5) if variance else 0.0
        return cls(float(statistic(total[None])[0]), variance**0.5, max(1.0, freedom), skew)

    def reaching(self, reach: float) -> "Spread":
        """The same with the error whose interval reaches so far."""
        return replace(self, error=reach / critical_t(self.freedom), skew=0.0)

    def interval(self) -> tuple[float, float]:
        """Interval around the value."""
        return interval_around(self.value, [self])


def critical_t(freedom: float, confidence: float = CONFIDENCE) -> float:
    """Student's t that a two-sided interval of this confidence reaches."""
    from scipy.special import stdtrit

    return -float(stdtrit(freedom, (1.0 - confidence) / 2.0))


def reach_of(spreads: Sequence[Spread], confidence: float = CONFIDENCE) -> float:
    """How far the interval of a value goes that several independent errors move.

    The root of the sum of squares of what each alone would reach by Student's t covers at least as
    often as it says, however few degrees of freedom each has (Banerjee 1960). Satterthwaite's
    degrees of freedom are too many just when the error that matters is underestimated. The farther
    end by Hall's transformation (1992) is taken, for the skewness of the sum of errors.
    """
    error = math.hypot(*(spread.error for spread in spreads))
    if not error:
        return 0.0
    skew = sum(spread.skew * (spread.error / error) ** 3 for spread in spreads)
    t = farthest = math.hypot(*(critical_t(spread.freedom, confidence) * spread.error for spread in spreads)) / error
    for end in (t, -t) if skew else ():
        farthest = max(farthest, abs(3.0 / skew * (math.cbrt(1.0 + skew * (end - skew / 6.0)) - 1.0)))
    return farthest * error


def interval_around(value: float, spreads: Sequence[Spread], confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Interval of a value that several independent errors move, see `reach_of`."""
    reach = reach_of(spreads, confidence)
    return value - reach, value + reach


def p_value(value: float, spreads: Sequence[Spread]) -> float:
    """Two-sided p-value of "it is zero": one less the confidence whose interval ends there, 1e-12 or more."""
    from scipy.optimize import brentq

    def beyond(power: float) -> float:
        return reach_of(spreads, 1.0 - 10.0**power) - abs(value)

    if value == 0.0 or beyond(0.0) >= 0.0:  # a skewed value's interval of no confidence is a point beside it
        return 1.0
    if not any(spread.error for spread in spreads):
        return 0.0
    return 10.0 ** (LEAST_TAIL if beyond(LEAST_TAIL) < 0.0 else float(brentq(beyond, LEAST_TAIL, 0.0)))


def jackknife_interval(
    tables: np.ndarray, statistic: Statistic, strata: np.ndarray | None = None, sizes: np.ndarray | None = None
) -> tuple[float | None, float | None]:
    """Interval of a statistic of summed counts (num_clusters, ...), see `Spread`; None where clusters are few.

    Args:
        sizes: (num_clusters,) weights; None for the sum of each table.
    """
    if len(tables) < MIN_CLUSTERS:
        return None, None
    sizes = tables.reshape(len(tables), -1).sum(1) if sizes is None else sizes
    return Spread.of(tables, statistic, sizes, strata).interval()


def _share_interval(spread: Spread, clusters: int, n: int) -> tuple[float, float]:
    """Exact binomial interval (Clopper & Pearson 1934) of a share of `n` clustered yes/no items (Korn & Graubard 1998).

    As many independent items are counted as give the variance over clusters, at most `n`, fewer for
    its own error.
    """
    from scipy.special import betaincinv

    share, count = spread.value, float(n)
    if clusters < n:
        count = float(clusters) if share in (0.0, 1.0) else n
        if spread.error > 0.0:
            worth = min(float(n), share * (1.0 - share) / spread.error**2)
            count = worth * (critical_t(np.inf) / critical_t(spread.freedom)) ** 2
    hits, tail = share * count, (1.0 - CONFIDENCE) / 2.0
    low = float(betaincinv(hits, count - hits + 1.0, tail)) if hits > 0.0 else 0.0
    high = float(betaincinv(hits + 1.0, count - hits, 1.0 - tail)) if hits < count else 1.0
    return low, high


def _alike_interval(value: float, clusters: int) -> tuple[float, float]:
    """Interval of a mean of differences from -1 to 1 that are the same in every cluster seen.

    The share of clusters that are not so is at most 1 - tail^(1 / clusters): the exact binomial
    bound of none seen.
    """
    other = 1.0 - ((1.0 - CONFIDENCE) / 2.0) ** (1.0 / clusters)
    return value - other * (value + 1.0), value + other * (1.0 - value)


def _ratio_of_table(table: np.ndarray) -> np.ndarray:
    return table[..., 0] / table[..., 1]


# -- two models --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Difference:
    """How model B differs from model A in one metric, on the items both have.

    Attributes:
        name: task and metric (and condition, where one alone is compared), joined by "/".
        direction: `higher`, `lower`, or `zero` (closer to zero is better).
        a, b: the two scores on the shared items.
        improvement: how much better B is, in the metric's unit; negative if worse.
        low, high: bounds of the improvement; None where the clusters are too few.
        p: two-sided p-value of "no difference", of the interval (`p_value`); 1 where there is none.
        p_holm: the same after Holm's correction for all metrics compared together.
        p_files: p_holm over the items alone, without training seeds: whether the two files differ,
            whatever made them.
        n, clusters: shared items and the groups they form.
        only_a, only_b: items that only one of the two has; they are dropped.
        spreads: of the improvement over clusters, and over what else moves it; none without
            interval.
        most: the largest improvement that such scores allow.
        model: whose items these are, by its folder below models/; "" where they do not say.
        conditions: of the task, whose items are taken together.
    """

    name: str
    direction: str
    a: float
    b: float
    improvement: float
    low: float | None
    high: float | None
    p: float
    p_holm: float
    n: int
    clusters: int
    only_a: int
    only_b: int
    spreads: tuple[Spread, ...] = ()
    most: float = math.inf
    model: str = ""
    conditions: int = 1
    p_files: float = 1.0

    @property
    def error(self) -> float:
        """Standard error of the improvement, over all that moves it."""
        return math.hypot(*(spread.error for spread in self.spreads))

    def varying(self, *spreads: Spread) -> "Difference":
        """The same with interval and p-value over these, the interval within what such scores allow."""
        low, high = interval_around(self.improvement, spreads)
        low, high = max(-self.most, low), min(self.most, high)
        return replace(self, spreads=spreads, p=p_value(self.improvement, spreads), low=low, high=high)


def paired_difference(items_a: Path | Sequence[Path], items_b: Path | Sequence[Path]) -> list[Difference]:
    """Compare two models on the items both have, metric by metric; all conditions of a task are pooled.

    Args:
        items_a, items_b: `details/items.parquet` (scored_items.py); of several runs an item's score
            is the mean.

    Returns:
        One `Difference` per metric that both have, in A's order, p-values corrected by Holm over
        all of them.
    """
    return paired_rows(mean_rows(items_a), mean_rows(items_b))


def paired_rows(a: Mapping[str, "Rows"], b: Mapping[str, "Rows"]) -> list[Difference]:
    """`paired_difference` of items that were read already (`mean_rows`)."""
    compared = [difference(name, a[name], b[name]) for name in a if name in b]
    differences = [row for row in compared if row is not None]
    corrected = holm([row.p for row in differences])
    return [replace(row, p_holm=p, p_files=p) for row, p in zip(differences, corrected, strict=True)]


Rows = dict[tuple[str, str], dict[str, Any]]
"""Rows of one metric by (condition, item)."""


def mean_rows(paths: Path | Sequence[Path]) -> dict[str, Rows]:
    """Rows by metric, each item's score and weight the means over the evaluations that have it."""
    import pyarrow.parquet as pq

    groups: dict[str, Rows] = {}
    seen: dict[tuple[str, str, str], int] = {}
    for path in [paths] if isinstance(paths, Path) else paths:
        for row in pq.read_table(path).to_pylist():
            name, key = f"{row['question']}/{row['metric']}", (row["condition"], row["item"])
            mean = groups.setdefault(name, {}).setdefault(key, row)
            count = seen[name, *key] = seen.get((name, *key), 0) + 1
            for part in ("score", "weight"):
                mean[part] += (row[part] - mean[part]) / count
    return groups


def difference(name: str, rows_a: Rows, rows_b: Rows) -> Difference | None:
    """One metric's paired difference; None if the two share no item."""
    shared = [key for key in rows_a if key in rows_b]
    if not shared:
        return None
    a, b = [rows_a[key] for key in shared], [rows_b[key] for key in shared]
    table, strata = cluster_table(
        [np.array([row[name] for row in rows], dtype=np.float64) for rows in (a, b) for name in ("score", "weight")],
        [row["cluster"] for row in a],
        [row.get("stratum") or "" for row in a],
    )
    total, direction = table.sum(0), a[0]["direction"]
    gain, rates = _gain(direction), (total[0] / total[1], total[2] / total[3])
    better, most = float(gain(total[None])[0]), _most(direction, [*a, *b])
    rounding = 1e-12 * float(max(map(abs, rates)))
    better = 0.0 if abs(better) <= rounding else better
    counts = (len(shared), len(table), len(rows_a) - len(shared), len(rows_b) - len(shared))
    rest: dict[str, Any] = {"most": most, "model": b[0].get("model") or a[0].get("model") or ""}
    rest["conditions"] = len({condition for condition, _ in shared})
    row = Difference(name, direction, float(rates[0]), float(rates[1]), better, None, None, 1.0, 1.0, *counts, **rest)
    if len(table) < MIN_CLUSTERS:
        return row
    spread = Spread.of(table, gain, table[:, 1], strata)
    differ = any(one["score"] != other["score"] for one, other in zip(a, b, strict=True))
    if differ and spread.error <= rounding and math.isfinite(most):  # what varies was not seen
        low, high = _alike_interval(better / most, len(table))
        spread = spread.reaching(most * max(better / most - low, high - better / most))
    return row.varying(spread)


def _most(direction: str, rows: Sequence[Mapping[str, Any]]) -> float:
    """The largest improvement of scores whose items are all from 0 to 1, or from -1 to 1, each; else infinite."""
    if any(abs(row["score"]) > row["weight"] for row in rows):
        return math.inf
    one_sided = all(row["score"] >= 0.0 for row in rows)
    return {"zero": 1.0, "half": 0.5 if one_sided else 1.5}.get(direction, 1.0 if one_sided else 2.0)


def _gain(direction: str) -> Statistic:
    """Improvement from A to B as a function of sums: score and weight of A, then of B."""

    def gain(table: np.ndarray) -> np.ndarray:
        a, b = table[..., 0] / table[..., 1], table[..., 2] / table[..., 3]
        if direction in EVEN:
            return np.abs(a - EVEN[direction]) - np.abs(b - EVEN[direction])
        return b - a if direction == "higher" else a - b

    assert direction in ("higher", "lower", *EVEN), direction
    return gain


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (1979): the chance of one false alarm among all stays at the nominal level."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    corrected, worst = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        worst = max(worst, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = worst
    return corrected
