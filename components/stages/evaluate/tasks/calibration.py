"""Task `calibration`: whether the model's confidence is its chance of being right.

Every next-token prediction on held-out text has a confidence. Expected calibration error (Guo et al.
2017) and Brier score say whether confidences mean what they say; the risk-coverage curve says how much better the model
is on the answers it is surest of. A threshold chosen on half of the documents is judged on the other half.
"""

import numpy as np

from components.stages.evaluate.heldout_sample import DocumentScores
from components.stages.evaluate.tasks.abstention import abstain, area_under_risk_coverage, risk_coverage
from components.stages.evaluate.tasks.task import Curve, EvalContext, NotApplicable, TaskResult
from components.statistics import Estimate, bootstrap_over, ratio

NAME = "calibration"
BINS = 15


def calibration(context: EvalContext) -> TaskResult:
    """Calibration, Brier score, risk and coverage of next-token predictions; abstention judged on other documents."""
    scored = context.heldout_scores
    if len(scored) < 4:
        raise NotApplicable(f"only {len(scored)} held-out documents, too few for a development and a test half")
    result = TaskResult(NAME)
    tables = np.stack([_table(entry) for entry in scored])
    for entry in scored:
        confidence, hit, size = np.exp(entry.scores.top), entry.scores.hit, len(entry.scores.hit)
        name, source = entry.document.id, entry.document.source
        brier = float(((confidence - hit) ** 2).sum())
        result.item("brier", name, brier, condition=source, weight=size, direction="lower")
        result.item("accuracy", name, int(hit.sum()), condition=source, weight=size)
    low, high = bootstrap_over(tables, expected_calibration_error, context.resampling)
    num_tokens = int(tables[:, :, 0].sum())
    ece = Estimate(float(expected_calibration_error(tables.sum(0))), low, high, num_tokens, len(scored))
    result.metric("ece", ece)
    result.metric("brier", result.estimate("brier", context.resampling), bounds=False)
    result.metric("accuracy", result.estimate("accuracy", context.resampling), bounds=False)
    note = f"next token, {BINS} bins; Brier {result.metrics['brier']:.3f}"
    result.highlight("calibration error", ece, None, note)
    result.curves.append(_reliability(tables.sum(0)))
    _abstention(result, context, scored)
    return result


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
    """Choose the threshold on every other document (in drawn order), judge it on the rest."""
    sizes = [len(entry.scores.hit) for entry in scored]
    number = np.repeat(np.arange(len(scored)), sizes)
    confidence = np.concatenate([np.exp(entry.scores.top) for entry in scored])
    correct = np.concatenate([entry.scores.hit for entry in scored])
    dev = number % 2 == 0
    chosen = abstain(confidence, correct, dev)
    test_correct, test_document = correct[~dev], number[~dev]
    before = ratio(1.0 - test_correct, clusters=test_document.astype(str), resampling=context.resampling)
    result.metrics["aurc"] = area_under_risk_coverage(confidence[~dev], test_correct)
    result.metric("error_all", before, bounds=False)
    result.facts["threshold"] = chosen.threshold if np.isfinite(chosen.threshold) else None
    if chosen.answered.any():
        kept = chosen.answered
        after = ratio(1.0 - test_correct[kept], clusters=test_document[kept].astype(str), resampling=context.resampling)
        result.metric("error_answered", after, bounds=False)
        result.metrics["coverage"] = float(kept.mean())
        note = (
            f"was {before.value:.3f}; answers {kept.mean():.0%}; threshold of other documents, for {chosen.target:.3f}"
        )
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
