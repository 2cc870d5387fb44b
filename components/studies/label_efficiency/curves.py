"""Curves of the label-efficiency study: accuracies with intervals, and the labels that pretraining saves.

Every figure is a mean over seeds (draws of labels and trainings) and held-out items, and both vary: its variance is
that of the seeds' means plus that of the items' (clustered by work), with Satterthwaite's degrees of freedom. What
seeds and items share is counted twice, so intervals are rather too wide. They cover no other pretraining.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from components.params.label_efficiency import REFERENCE
from components.statistics import MIN_CLUSTERS, Estimate, Spread, cluster_table, critical_t, variance_words
from components.verdicts import over_works_and_seeds

STEPS_PER_DOUBLING = 8
"""Resolution of the search for the labels that another curve needs."""
CAP = 64.0
"""Largest factor reported: beyond 64 x 64 labels nothing is measured."""


def over_seeds_and_items(values_SI: np.ndarray, clusters: Sequence[str]) -> Estimate:
    """Mean of `values_SI`, with its interval over seeds and clusters of items."""
    by_seed = values_SI.mean(axis=1)
    value, seeds = float(by_seed.mean()), len(by_seed)
    table, _ = cluster_table([values_SI.mean(axis=0), np.ones(len(clusters))], clusters)
    low, high = None, None
    if min(len(table), seeds) >= MIN_CLUSTERS:
        works = Spread.of(table, lambda sums: sums[..., 0] / sums[..., 1], table[:, 1])
        of_seeds = float(by_seed.std(ddof=1)) / seeds**0.5
        error, freedom = over_works_and_seeds(works.error, works.freedom, of_seeds, seeds - 1)
        reach = critical_t(freedom, 0.95) * error
        low, high = value - reach, value + reach
    words = variance_words(min(len(table), seeds), "seeds and documents")
    return Estimate(value, low, high, values_SI.size, len(table), words)


def labels_needed(
    goal_SI: np.ndarray, curve: Mapping[int, np.ndarray], clusters: Sequence[str]
) -> dict[str, float | None]:
    """Factor by which another way of training needs more labels than `REFERENCE` to reach the accuracy of `goal_SI`.

    The curve is interpolated between its points in the logarithm of the labels, seed by seed and item by item. `value`
    is where its mean first reaches the goal's. `low` is where the interval of the difference first holds zero: with
    fewer labels it is surely worse. Where that never happens it is `CAP`, or the factor at the last point.

    Args:
        goal_SI: (seeds, items), 1 where right: the pretrained model with `REFERENCE` labels.
        curve: labels -> the same of the other way.
    """
    sizes = sorted(curve)
    last = min(CAP, sizes[-1] / REFERENCE)
    value, low = None, None
    for labels in np.geomspace(sizes[0], sizes[-1], 1 + round(np.log2(sizes[-1] / sizes[0]) * STEPS_PER_DOUBLING)):
        after = min(max(1, int(np.searchsorted(sizes, labels * (1 + 1e-9)))), len(sizes) - 1)
        left, right = sizes[after - 1], sizes[after]
        share = float(np.clip(np.log(labels / left) / np.log(right / left), 0.0, 1.0))
        gap = over_seeds_and_items((1 - share) * curve[left] + share * curve[right] - goal_SI, clusters)
        factor = min(last, float(labels) / REFERENCE)
        if value is None and gap.value >= 0:
            value = factor
        if low is None and (gap.value if gap.high is None else gap.high) >= 0:
            low = factor
    bounded = min(len(goal_SI), len(set(clusters))) >= MIN_CLUSTERS
    return {"value": value or last, "low": (low or last) if bounded else None, "reached": float(value is not None)}


def right_of(results: Sequence[Mapping[str, Any]], arm: str, labels: int, key: str = "right") -> np.ndarray:
    """Whether each held-out item was right: (seeds, items)."""
    rows = [row[key] for row in results if row["arm"] == arm and row["labels"] == labels]
    return np.array([[int(digit) for digit in row] for row in rows], dtype=np.float64)


def summary(results: Sequence[Mapping[str, Any]], clusters: Sequence[str]) -> dict[str, Any]:
    """Curves of all arms, TF-IDF, joules and seconds; the factor of labels is `label_efficiency`."""
    labels = sorted({row["labels"] for row in results})
    arms = list(dict.fromkeys(row["arm"] for row in results))
    hits = {arm: {n: right_of(results, arm, n) for n in labels} for arm in arms}
    hits["tfidf"] = {n: right_of(results, "masked", n, "tfidf") for n in labels}
    curves = {arm: [_point(hits[arm][n], clusters, n, _used(results, arm, n)) for n in labels] for arm in hits}
    differences = {
        f"{a} - {b}": [_point(hits[a][n] - hits[b][n], clusters, n, {}) for n in labels]
        for a, b in (("masked", "scratch"), ("masked", "tfidf"), ("masked", "causal"), ("masked", "lora"))
    }
    return {
        "label_efficiency": labels_needed(hits["masked"][REFERENCE], hits["scratch"], clusters),
        "curves": curves,
        "differences": differences,
    }


def _point(values_SI: np.ndarray, clusters: Sequence[str], labels: int, more: dict[str, float]) -> dict[str, Any]:
    found = over_seeds_and_items(values_SI, clusters)
    return {"labels": labels, "value": found.value, "low": found.low, "high": found.high} | more


def _used(results: Sequence[Mapping[str, Any]], arm: str, labels: int) -> dict[str, float]:
    """Mean joules, seconds and steps of a training."""
    rows = [row for row in results if row["arm"] == arm and row["labels"] == labels]
    return {key: float(np.mean([row[key] for row in rows])) for key in ("joules", "cpu_s", "steps") if rows}
