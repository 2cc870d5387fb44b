"""Selective prediction: how much better a model is where it is surer (El-Yaniv and Wiener 2010).

AUROC is the chance that a right prediction has more confidence than a wrong one (0.5: confidence
means nothing); the risk at a coverage is the share of wrong ones among as many of the surest. Both
are computed from counts in bins of equal confidence rank, per cluster, so that whole clusters can
be resampled.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from components.scores import Baseline
from components.stages.evaluate.tasks.task import Curve, TaskResult
from components.statistics import MIN_CLUSTERS, Estimate, Spread, Statistic, variance_words

BINS = 200
"""Bins of confidence rank: a coverage is met to half a percent."""
COVERAGES = (0.1, 0.2, 0.5)
SHOWN = 0.2
"""The coverage of the summary table."""


def report_abstention(
    result: TaskResult, tables: np.ndarray, strata: np.ndarray | None, title: str, unit: str,
    rules: Mapping[str, np.ndarray] | None = None,
) -> None:  # fmt: skip
    """Put AUROC, and risk at `COVERAGES`, into metrics, table and a curve.

    Args:
        tables: counts by rank of each cluster, (num_clusters, BINS, 2).
        strata: the number of each cluster's stratum (num_clusters,); None for one.
        unit: what the clusters are, in the plural.
        rules: tables of each rule that answers the same questions, by name; None: beside the
            answers in any order.
    """
    others = rules or {"any order": np.broadcast_to(tables.mean(1, keepdims=True), tables.shape)}
    every, sizes = np.stack([tables, *others.values()], axis=1), tables.sum((1, 2))
    total, n, variance = tables.sum(0), int(tables.sum()), variance_words(len(tables), unit)

    def estimate(statistic: Statistic) -> Estimate:
        spread = Spread.of(every, statistic, sizes, strata)
        if len(tables) < MIN_CLUSTERS:
            return Estimate(spread.value, None, None, n, len(tables), variance)
        bounds = spread.interval()
        return Estimate(spread.value, *bounds, n, len(tables), variance, spread.error, spread.freedom)

    def score(metric: str, label: str, statistic: Statistic, note: str = "", *, is_risk: bool = False) -> None:
        sign, better = (-1.0, "lower") if is_risk else (1.0, "higher")
        value = estimate(lambda counts: statistic(counts)[..., 0]).within(0, 1)

        def gain(index: int) -> Estimate:
            return estimate(lambda counts: sign * (statistic(counts)[..., 0] - statistic(counts)[..., index]))

        gains = [gain(index) for index in range(1, 1 + len(others))]
        best = min(range(len(gains)), key=lambda index: gains[index].value)
        known = [*others][best], float(statistic(every.sum(0))[1 + best]), gains[best]
        baseline = Baseline(*known, needs_model=not rules, against=tuple(gains), rules=len(rules or ()))
        text = f"{title}, {label}"
        result.score(metric, text, value, baseline, note, kind="calibration", better=better, headline=is_risk)

    result.metrics |= {"auroc": float(auroc(total)), "error_all": float(risk_at(total, 1.0))}
    result.metrics |= {f"error_at_{coverage:g}": float(risk_at(total, coverage)) for coverage in COVERAGES}
    risks = ", ".join(f"{risk_at(total, coverage):.3f} at {coverage:.0%}" for coverage in COVERAGES)
    surest = f"error in the surest {SHOWN:.0%}"
    score("error_surest", surest, lambda counts: risk_at(counts, SHOWN), f"error {risks}", is_risk=True)
    score("auroc", "AUROC of confidence", auroc)
    curve = Curve(f"{result.task}_risk_coverage", f"Selective answers, {title}", "share answered", "error", [])
    for coverage in np.linspace(0.05, 1.0, 20):
        risk = Estimate(float(risk_at(total, coverage)), None, None, round(coverage * n), len(tables))
        curve.add(float(coverage), risk)
    result.curves.append(curve)


def counts_by_rank(confidence: Sequence[np.ndarray], correct: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Wrong and right predictions of each cluster in every bin of confidence, the surest bin first: (BINS, 2) each.

    Bins are of equal size over all clusters; equal confidences share one.
    """
    everything = np.concatenate(confidence)
    _, rank, counts = np.unique(-everything, return_inverse=True, return_counts=True)
    bins = ((np.cumsum(counts) - 1) * BINS // len(everything))[rank]
    right, ends = np.concatenate(correct).astype(int), np.cumsum([len(hits) for hits in correct])[:-1]
    parts = zip(np.split(bins, ends), np.split(right, ends), strict=True)
    return [np.bincount(2 * bin_ + hit, minlength=2 * BINS).reshape(BINS, 2).astype(float) for bin_, hit in parts]


def auroc(tables: np.ndarray) -> np.ndarray:
    """Chance that a right prediction is surer than a wrong one, ties half: (..., bins, 2) -> (...)."""
    wrong, right = tables[..., 0], tables[..., 1]
    less_confident = wrong.sum(-1, keepdims=True) - wrong.cumsum(-1) + wrong / 2
    pairs = wrong.sum(-1) * right.sum(-1)
    return np.where(pairs > 0, (right * less_confident).sum(-1) / np.maximum(pairs, 1), 0.5)


def risk_at(tables: np.ndarray, coverage: float) -> np.ndarray:
    """Share of wrong ones among the surest `coverage` of all predictions: (..., bins, 2) -> (...).

    Of the bin that goes over, the part that fits is taken at the bin's own error.
    """
    size = tables.sum(-1)
    goal = coverage * size.sum(-1, keepdims=True)
    before = size.cumsum(-1) - size
    share = np.clip((goal - before) / np.maximum(size, 1e-9), 0.0, 1.0)
    return (share * tables[..., 0]).sum(-1) / (share * size).sum(-1)
