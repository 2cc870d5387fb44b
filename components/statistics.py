"""Confidence intervals of scores, and paired comparison of two models.

Every score is an average over items, and items that share a document, a paradigm or an occupation rise and fall
together: the unit that is resampled is the cluster, never the item (Miller, "Adding Error Bars to Evals", 2024). All
scores are ratios of sums, `sum(score) / sum(weight)`: bits over bytes for compression, hits over items for accuracy.

Two models are compared on the same items, cluster by cluster, which removes what makes an item hard for both: the
interval of the difference is far narrower than the two intervals suggest.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

MIN_CLUSTERS = 2
"""With fewer clusters nothing can be said about the spread between them, so there is no interval."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A score with its interval.

    Attributes:
        value: the score itself.
        low, high: bounds of the interval; None where the data allow none (a single cluster).
        n: how many items it rests on.
        clusters: how many independent groups of items it rests on.
    """

    value: float
    low: float | None
    high: float | None
    n: int
    clusters: int

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Resampling:
    """Settings of intervals: `resamples` bootstrap draws, `confidence` coverage, `seed` of the draws."""

    resamples: int = 2000
    confidence: float = 0.95
    seed: int = 1


DEFAULT = Resampling()


# -- one model ---------------------------------------------------------------------------------------------------------


def ratio(
    scores: Sequence[float],
    weights: Sequence[float] | None = None,
    clusters: Sequence[str] | None = None,
    resampling: Resampling = DEFAULT,
) -> Estimate:
    """`sum(scores) / sum(weights)` with an interval.

    Independent yes/no items get Wilson's interval, everything else a BCa bootstrap over clusters (Efron 1987).

    Args:
        scores: one per item.
        weights: one per item (bytes, say); None for 1 each, which makes this a mean.
        clusters: the group of each item; None if every item stands alone.
        resampling: resamples, confidence, seed.
    """
    sums, loads = cluster_sums(scores, weights, clusters)
    value = float(sums.sum() / loads.sum())
    low: float | None
    high: float | None
    yes_or_no = bool(np.all((sums == 0.0) | (sums == loads)))
    if yes_or_no and len(sums) >= MIN_CLUSTERS and np.ptp(loads) == 0.0:  # a cluster whose items agree counts once
        low, high = wilson(int(np.count_nonzero(sums)), len(sums), resampling.confidence)
    else:
        low, high = _interval(sums, loads, resampling)
    return Estimate(value, low, high, len(scores), len(sums))


def wilson(hits: int, n: int, confidence: float) -> tuple[float, float]:
    """Wilson's score interval of a proportion (1927), which is sound near 0 and 1 too."""
    from scipy.stats import binomtest

    interval = binomtest(hits, n).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def cluster_sums(
    scores: Sequence[float], weights: Sequence[float] | None = None, clusters: Sequence[str] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Scores and weights added up within each cluster: two arrays (num_clusters,), clusters in sorted order."""
    s = np.asarray(scores, dtype=np.float64)
    w = np.ones(len(s)) if weights is None else np.asarray(weights, dtype=np.float64)
    assert len(s) == len(w) > 0, f"{len(s)} scores, {len(w)} weights"
    if clusters is None:
        return s, w
    _, inverse = np.unique(np.asarray(clusters), return_inverse=True)
    return np.bincount(inverse, s), np.bincount(inverse, w)


def _interval(sums: np.ndarray, loads: np.ndarray, resampling: Resampling) -> tuple[float | None, float | None]:
    """Bootstrap interval of the ratio of two paired columns; percentile where BCa is undefined."""
    if len(sums) < MIN_CLUSTERS:
        return None, None
    if np.ptp(sums / np.maximum(loads, 1e-300)) == 0.0:
        value = float(sums.sum() / loads.sum())
        return value, value
    return _bootstrap((sums, loads), _ratio, resampling)


def _ratio(sums: np.ndarray, loads: np.ndarray, axis: int = -1) -> np.ndarray:
    return sums.sum(axis=axis) / loads.sum(axis=axis)


def _bootstrap(columns: tuple[np.ndarray, ...], statistic: Any, resampling: Resampling) -> tuple[float, float]:
    """scipy's paired bootstrap of `statistic(*columns, axis)`, drawn in batches that bound memory."""
    import warnings

    from scipy.stats import bootstrap

    batch = max(1, 4_000_000 // len(columns[0]))
    for method in ("BCa", "percentile"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # BCa warns where it is undefined; the next method is taken then
            interval = bootstrap(
                columns,
                statistic,
                paired=True,
                vectorized=True,
                method=method,
                n_resamples=resampling.resamples,
                confidence_level=resampling.confidence,
                batch=min(batch, resampling.resamples),
                rng=np.random.default_rng(resampling.seed),
            ).confidence_interval
        low, high = float(interval.low), float(interval.high)
        if math.isfinite(low) and math.isfinite(high):
            break
    return low, high


def bootstrap_over(
    tables: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray], resampling: Resampling
) -> tuple[float, float]:
    """Percentile interval of a statistic of summed tables, resampling whole clusters.

    Args:
        tables: (num_clusters, ...) one table of counts per cluster.
        statistic: maps summed tables (num_resamples, ...) to (num_resamples,).
        resampling: resamples, confidence, seed.
    """
    count = len(tables)
    draws = np.random.default_rng(resampling.seed).multinomial(
        count, np.full(count, 1.0 / count), size=resampling.resamples
    )
    values = statistic(np.tensordot(draws.astype(np.float64), tables, axes=1))
    tail = (1.0 - resampling.confidence) / 2.0
    low, high = np.quantile(values, [tail, 1.0 - tail])
    return float(low), float(high)


# -- two models --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Difference:
    """How model B differs from model A in one metric, on the items both have.

    Attributes:
        name: task and metric (and condition, if named in `by`), joined by "/".
        direction: `higher`, `lower`, or `zero` (closer to zero is better).
        a, b: the two scores on the shared items.
        improvement: how much better B is, in the metric's unit; negative if worse.
        low, high: bounds of the improvement; None where the items form a single cluster.
        p: two-sided p-value of "no difference" (sign flips of clusters); 1 where there is no interval.
        p_holm: the same after Holm's correction for all metrics compared together.
        n, clusters: shared items and the groups they form.
        only_a, only_b: items that only one of the two has; they are dropped.
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


def paired_difference(
    items_a: Path, items_b: Path, by: Sequence[str] = ("question", "metric"), resampling: Resampling = DEFAULT
) -> list[Difference]:
    """Compare two models on the items both have, metric by metric.

    Args:
        items_a, items_b: two `details/items.parquet` of the evaluate stage (columns: its tasks/task.py).
        by: columns that name a metric; with the default, all conditions of a task are pooled.
        resampling: resamples, confidence, seed.

    Returns:
        One `Difference` per metric that both have, in A's order, p-values corrected by Holm over all of them.
    """
    a, b = _grouped(items_a, by), _grouped(items_b, by)
    compared = [difference(name, a[name], b[name], resampling) for name in a if name in b]
    differences = [row for row in compared if row is not None]
    corrected = holm([row.p for row in differences])
    return [replace(row, p_holm=p) for row, p in zip(differences, corrected, strict=True)]


Rows = dict[tuple[str, str], dict[str, Any]]
"""Rows of one metric by (condition, item)."""


def _grouped(path: Path, by: Sequence[str]) -> dict[str, Rows]:
    import pyarrow.parquet as pq

    groups: dict[str, Rows] = {}
    for row in pq.read_table(path).to_pylist():
        groups.setdefault("/".join(row[column] for column in by), {})[row["condition"], row["item"]] = row
    return groups


def difference(name: str, rows_a: Rows, rows_b: Rows, resampling: Resampling) -> Difference | None:
    """One metric's paired difference; None if the two share no item."""
    shared = [key for key in rows_a if key in rows_b]
    if not shared:
        return None
    a, b = [rows_a[key] for key in shared], [rows_b[key] for key in shared]
    clusters = [row["cluster"] for row in a]
    columns = tuple(
        column
        for rows in (a, b)
        for column in cluster_sums([row["score"] for row in rows], [row["weight"] for row in rows], clusters)
    )
    direction = a[0]["direction"]
    value_a, value_b = float(_ratio(columns[0], columns[1])), float(_ratio(columns[2], columns[3]))
    low, high, p = _compare(columns, direction, resampling)
    gain = float(_gain(direction)(*columns))
    counts = (len(shared), len(columns[0]), len(rows_a) - len(shared), len(rows_b) - len(shared))
    return Difference(name, direction, value_a, value_b, gain, low, high, p, p, *counts)


def _compare(
    columns: tuple[np.ndarray, ...], direction: str, resampling: Resampling
) -> tuple[float | None, float | None, float]:
    """Interval and p-value of the improvement from cluster sums of A and B."""
    sums_a, loads_a, sums_b, loads_b = columns
    if len(sums_a) < MIN_CLUSTERS:
        return None, None, 1.0
    shift = sums_b / loads_b.sum() - sums_a / loads_a.sum()
    if not np.any(shift):
        return 0.0, 0.0, 1.0
    low, high = _bootstrap(columns, _gain(direction), resampling)
    return low, high, sign_flip_p(shift, resampling)


def _gain(direction: str) -> Any:
    """The improvement from A to B as a function of their cluster sums, for scipy's bootstrap."""

    def gain(sums_a: Any, loads_a: Any, sums_b: Any, loads_b: Any, axis: int = -1) -> Any:
        a, b = _ratio(sums_a, loads_a, axis), _ratio(sums_b, loads_b, axis)
        if direction == "zero":
            return np.abs(a) - np.abs(b)
        return b - a if direction == "higher" else a - b

    assert direction in ("higher", "lower", "zero"), direction
    return gain


def sign_flip_p(shifts: np.ndarray, resampling: Resampling = DEFAULT) -> float:
    """Two-sided p-value of "the mean shift is zero": under it each cluster's sign is a coin flip (Fisher 1935)."""
    from scipy.stats import permutation_test

    return float(
        permutation_test(
            (shifts,),
            lambda x, axis: x.sum(axis=axis),
            permutation_type="samples",
            vectorized=True,
            n_resamples=resampling.resamples,
            batch=max(1, 4_000_000 // len(shifts)),
            rng=np.random.default_rng(resampling.seed),
        ).pvalue
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (1979): the chance of one false alarm among all stays at the nominal level."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    corrected, worst = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        worst = max(worst, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = worst
    return corrected
