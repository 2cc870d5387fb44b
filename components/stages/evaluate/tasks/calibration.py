"""Task `calibration`: whether the model's confidence is its chance of being right.

Every next-token prediction on held-out text has a confidence. Expected calibration error (Guo et al.
2017) and Brier score say whether confidences mean what they say; the risk-coverage curve says how much better the model
is on the answers it is surest of. A threshold chosen on half of the documents is judged on the other half.
"""

from typing import Any

import numpy as np

from components.stages.evaluate.heldout_sample import DocumentScores
from components.stages.evaluate.tasks.abstention import abstain, area_under_risk_coverage, risk_coverage
from components.stages.evaluate.tasks.task import Curve, EvalContext, NotApplicable, TaskResult, work_of
from components.statistics import Estimate, jackknife_interval, ratio, variance_words

NAME = "calibration"
BINS = 15


def calibration(context: EvalContext) -> TaskResult:
    """Calibration, Brier score, risk and coverage of next-token predictions; abstention judged on other works."""
    scored = context.heldout_scores
    if len(scored) < 4:
        raise NotApplicable(f"only {len(scored)} held-out documents, too few for a development and a test half")
    result = TaskResult(NAME)
    for entry in scored:
        confidence, hit, size = np.exp(entry.scores.top), entry.scores.hit, len(entry.scores.hit)
        name, source = entry.document.id, entry.document.source
        brier = float(((confidence - hit) ** 2).sum())
        work: dict[str, Any] = {"condition": source, "weight": size} | work_of(entry.document)
        result.item("brier", name, brier, direction="lower", **work)
        result.item("accuracy", name, int(hit.sum()), **work)
    tables, strata = tables_by_work(scored)
    low, high = jackknife_interval(tables, expected_calibration_error, context.resampling, strata)
    num_tokens, words = int(tables[:, :, 0].sum()), variance_words(len(tables), "works")
    ece = Estimate(float(expected_calibration_error(tables.sum(0))), low, high, num_tokens, len(tables), words)
    result.metric("ece", ece)
    result.metric("brier", result.estimate("brier", context.resampling), bounds=False)
    result.metric("accuracy", result.estimate("accuracy", context.resampling), bounds=False)
    note = f"next token, {BINS} bins; Brier {result.metrics['brier']:.3f}"
    result.highlight("calibration error", ece, None, note)
    result.curves.append(_reliability(tables.sum(0)))
    _abstention(result, context, scored)
    return result


def tables_by_work(scored: list[DocumentScores]) -> tuple[np.ndarray, np.ndarray]:
    """Tables (num_works, BINS, 3) of every work, and the number of each one's source (num_works,)."""
    works = [(entry.document.source, entry.document.group) for entry in scored]
    order = sorted(set(works))
    tables = np.zeros((len(order), BINS, 3))
    np.add.at(tables, [order.index(work) for work in works], np.stack([_table(entry) for entry in scored]))
    return tables, np.unique([source for source, _ in order], return_inverse=True)[1]


def _table(entry: DocumentScores) -> np.ndarray:
    """Per confidence bin: predictions, summed confidence, hits. (BINS, 3)"""
    confidence = np.exp(entry.scores.top)
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    columns = (None, confidence, entry.scores.hit.astype(np.float64))
    return np.stack([np.bincount(bins, column, minlength=BINS) for column in columns], axis=-1)


def expected_calibration_error(table: np.ndarray) -> np.ndarray:
    """Mean gap of confidence and accuracy over bins, weighted by predictions. (..., BINS, 3) -> (...)"""
    gap = np.abs(table[..., 1] - table[..., 2])
    return gap.sum(-1) / table[..., 0].sum(-1)


def _reliability(table: np.ndarray) -> Curve:
    curve = Curve("reliability", "Next token: confidence and accuracy", "confidence", "accuracy", [], kind="diagonal")
    for count, confidence, hits in table:
        if count:
            row = {"x": confidence / count, "y": hits / count, "low": None, "high": None, "n": int(count)}
            curve.points.append(
                {"series": ""} | {name: float(value) if name in "xy" else value for name, value in row.items()}
            )
    return curve


def _abstention(result: TaskResult, context: EvalContext, scored: list[DocumentScores]) -> None:
    """Choose the threshold on every other work, judge it on the rest."""
    sizes = [len(entry.scores.hit) for entry in scored]
    _, work = np.unique([f"{entry.document.source}/{entry.document.group}" for entry in scored], return_inverse=True)
    number = np.repeat(work, sizes)
    confidence = np.concatenate([np.exp(entry.scores.top) for entry in scored])
    correct = np.concatenate([entry.scores.hit for entry in scored])
    dev = number % 2 == 0
    chosen = abstain(confidence, correct, dev)
    test_correct, test_work = correct[~dev], number[~dev].astype(str)
    before = ratio(1.0 - test_correct, clusters=test_work, resampling=context.resampling, unit="works")
    result.metrics["aurc"] = area_under_risk_coverage(confidence[~dev], test_correct)
    result.metric("error_all", before, bounds=False)
    result.facts["threshold"] = chosen.threshold if np.isfinite(chosen.threshold) else None
    if chosen.answered.any():
        kept = chosen.answered
        errors, works = 1.0 - test_correct[kept], test_work[kept]
        after = ratio(errors, clusters=works, resampling=context.resampling, unit="works")
        result.metric("error_answered", after, bounds=False)
        result.metrics["coverage"] = float(kept.mean())
        note = f"was {before.value:.3f}; answers {kept.mean():.0%}; threshold of other works, for {chosen.target:.3f}"
        result.highlight("next-token error when abstaining", after, None, note)
    result.curves.append(
        risk_curve("risk_coverage", "Next token: error against coverage", confidence[~dev], test_correct)
    )


def risk_curve(name: str, title: str, confidence: np.ndarray, correct: np.ndarray, series: str = "") -> Curve:
    """A risk-coverage curve at twenty coverages."""
    curve = Curve(name, title, "share of questions answered", "error among answers", [])
    coverage, risk, _ = risk_coverage(confidence, correct)
    for goal in np.linspace(0.05, 1.0, 20):
        place = min(int(np.searchsorted(coverage, goal - 1e-12)), len(coverage) - 1)
        point = {"x": float(coverage[place]), "y": float(risk[place]), "low": None, "high": None}
        curve.points.append({"series": series, **point, "n": round(float(coverage[place]) * len(correct))})
    return curve
