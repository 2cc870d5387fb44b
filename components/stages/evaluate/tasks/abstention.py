"""Selective prediction: how much better a model is where it is surer (El-Yaniv and Wiener 2010).

Predictions are ranked by confidence. Two numbers need no threshold that must be chosen: AUROC, the chance that a right
prediction has more confidence than a wrong one (0.5: confidence means nothing), and the risk, the share of wrong ones
among the surest predictions, at a stated coverage. Both are computed from counts in bins of equal confidence rank, per
cluster, so that whole clusters can be resampled.
"""

from collections.abc import Sequence

import numpy as np

from components.stages.evaluate.tasks.task import Baseline, Curve, TaskResult
from components.statistics import Estimate, Resampling, Statistic, jackknife_interval, variance_words

BINS = 200
"""Bins of confidence rank: a coverage is met to half a percent."""
COVERAGES = (0.1, 0.2, 0.5)
SHOWN = 0.2
"""The coverage of the summary table."""


def report_abstention(
    result: TaskResult, tables: np.ndarray, strata: np.ndarray | None, title: str, unit: str, resampling: Resampling,
    rule: tuple[str, np.ndarray] | None = None,
) -> None:  # fmt: skip
    """Put AUROC, and risk at `COVERAGES`, into metrics, table and a curve.

    Args:
        tables: counts by rank of each cluster, (num_clusters, BINS, 2).
        strata: the number of each cluster's stratum (num_clusters,); None for one.
        unit: what the clusters are, in the plural.
        rule: name and tables of a rule that needs no model and answers the same questions, as baseline.
    """
    total, n = tables.sum(0), int(tables.sum())
    everything = float(risk_at(total, 1.0))

    def estimate(statistic: Statistic, share: bool = False) -> Estimate:
        low, high = jackknife_interval(tables, statistic, resampling, strata)
        found = Estimate(float(statistic(total)), low, high, n, len(tables), variance_words(len(tables), unit))
        return found.within(0, 1) if share else found

    def over_rule(statistic: Statistic, sign: float) -> Baseline:
        """The rule's score, and what the model's is better by; paired, since both are of the same clusters."""
        assert rule
        both, name = np.stack([tables, rule[1]], axis=1), rule[0]

        def gain(counts: np.ndarray) -> np.ndarray:
            return sign * (statistic(counts[..., 0, :, :]) - statistic(counts[..., 1, :, :]))

        low, high = jackknife_interval(both, gain, resampling, strata)
        better_by = Estimate(float(gain(both.sum(0))), low, high, n, len(tables), variance_words(len(tables), unit))
        return Baseline(name, float(statistic(rule[1].sum(0))), better_by)

    surest = estimate(lambda counts: risk_at(counts, SHOWN), share=True)
    ranks = estimate(auroc, share=True)
    if rule:
        baseline, any_order = over_rule(lambda counts: risk_at(counts, SHOWN), -1.0), over_rule(auroc, 1.0)
    else:
        gain = estimate(lambda counts: risk_at(counts, 1.0) - risk_at(counts, SHOWN))
        baseline = Baseline("all predictions", everything, gain, needs_model=True)
        any_order = Baseline("any order", 0.5, estimate(lambda counts: auroc(counts) - 0.5))
    result.metric("auroc", ranks, bounds=False)
    result.metrics["error_all"] = everything
    result.metrics |= {f"error_at_{coverage:g}": float(risk_at(total, coverage)) for coverage in COVERAGES}
    risks = ", ".join(f"{risk_at(total, coverage):.3f} at {coverage:.0%}" for coverage in COVERAGES)
    name = f"{title}, error in the surest {SHOWN:.0%}"
    result.highlight(name, surest, baseline, f"error {risks}", kind="calibration", better="lower", headline=True)
    result.highlight(f"{title}, AUROC of confidence", ranks, any_order, kind="calibration")
    curve = Curve(f"{result.task}_risk_coverage", f"Selective answers, {title}", "share answered", "error", [])
    for coverage in np.linspace(0.05, 1.0, 20):
        point = {"x": float(coverage), "y": float(risk_at(total, coverage)), "low": None, "high": None}
        curve.points.append({"series": "", **point, "n": round(coverage * n)})
    result.curves.append(curve)


def counts_by_rank(confidence: Sequence[np.ndarray], correct: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Wrong and right predictions of each cluster in every bin of confidence, the surest bin first: (BINS, 2) each.

    Bins are of equal size over all clusters; equal confidences share one.
    """
    everything = np.concatenate(confidence)
    _, rank, counts = np.unique(-everything, return_inverse=True, return_counts=True)
    bins = ((np.cumsum(counts) - 1) * BINS // len(everything))[rank]
    tables, start = [], 0
    for hits in correct:
        table = np.zeros((BINS, 2))
        np.add.at(table, (bins[start : start + len(hits)], np.asarray(hits).astype(int)), 1.0)
        tables.append(table)
        start += len(hits)
    return tables


def auroc(tables: np.ndarray) -> np.ndarray:
    """Chance that a right prediction is surer than a wrong one, ties half: (..., bins, 2) -> (...)."""
    wrong, right = tables[..., 0], tables[..., 1]
    less_sure = wrong.sum(-1, keepdims=True) - wrong.cumsum(-1) + wrong / 2
    pairs = wrong.sum(-1) * right.sum(-1)
    return np.where(pairs > 0, (right * less_sure).sum(-1) / np.maximum(pairs, 1), 0.5)


def risk_at(tables: np.ndarray, coverage: float) -> np.ndarray:
    """Share of wrong ones among the surest `coverage` of all predictions: (..., bins, 2) -> (...).

    Of the bin that goes over, the part that fits is taken at the bin's own error.
    """
    size = tables.sum(-1)
    goal = coverage * size.sum(-1, keepdims=True)
    before = size.cumsum(-1) - size
    taken = np.clip((goal - before) / np.maximum(size, 1e-9), 0.0, 1.0)
    return (taken * tables[..., 0]).sum(-1) / (taken * size).sum(-1)
