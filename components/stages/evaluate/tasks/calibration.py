"""Does the model know when it is right?

Every next-token prediction on held-out text is an answer with a confidence. Expected calibration error (Guo et al.
2017) and Brier score say whether confidences mean what they say; the risk-coverage curve says how much better the model
is on the answers it is surest of. A threshold chosen on half of the documents is judged on the other half.
"""

import numpy as np

from components.stages.evaluate.heldout_sample import DocumentScores
from components.stages.evaluate.tasks.abstention import abstain, area_under_risk_coverage, risk_coverage
from components.stages.evaluate.tasks.task import Curve, Exam, Outcome, Skip
from components.statistics import Estimate, bootstrap_over, ratio

NAME = "calibration"
BINS = 15


def calibration(exam: Exam) -> Outcome:
    """Calibration, Brier score, risk and coverage of next-token predictions; abstention judged on other documents."""
    scored = exam.heldout_scores
    if len(scored) < 4:
        raise Skip(f"only {len(scored)} held-out documents, too few for a development and a test half")
    outcome = Outcome(NAME)
    tables = np.stack([_table(one) for one in scored])
    for one in scored:
        confidence, hit, size = np.exp(one.scores.top), one.scores.hit, len(one.scores.hit)
        name, source = one.document.id, one.document.source
        brier = float(((confidence - hit) ** 2).sum())
        outcome.item("brier", name, brier, condition=source, weight=size, direction="lower")
        outcome.item("accuracy", name, int(hit.sum()), condition=source, weight=size)
    low, high = bootstrap_over(tables, expected_calibration_error, exam.how)
    num_tokens = int(tables[:, :, 0].sum())
    ece = Estimate(float(expected_calibration_error(tables.sum(0))), low, high, num_tokens, len(scored))
    outcome.metric("ece", ece)
    outcome.metric("brier", outcome.estimate("brier", exam.how), bounds=False)
    outcome.metric("accuracy", outcome.estimate("accuracy", exam.how), bounds=False)
    note = f"next token, {BINS} bins; Brier {outcome.metrics['brier']:.3f}"
    outcome.highlight("calibration error", ece, None, note)
    outcome.curves.append(_reliability(tables.sum(0)))
    _abstention(outcome, exam, scored)
    return outcome


def _table(one: DocumentScores) -> np.ndarray:
    """Per confidence bin: predictions, summed confidence, hits. (BINS, 3)"""
    confidence = np.exp(one.scores.top)
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    columns = (None, confidence, one.scores.hit.astype(np.float64))
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


def _abstention(outcome: Outcome, exam: Exam, scored: list[DocumentScores]) -> None:
    """Choose the threshold on every other document (in drawn order), judge it on the rest."""
    sizes = [len(one.scores.hit) for one in scored]
    number = np.repeat(np.arange(len(scored)), sizes)
    confidence = np.concatenate([np.exp(one.scores.top) for one in scored])
    correct = np.concatenate([one.scores.hit for one in scored])
    dev = number % 2 == 0
    chosen = abstain(confidence, correct, dev)
    test_correct, test_document = correct[~dev], number[~dev]
    before = ratio(1.0 - test_correct, clusters=test_document.astype(str), how=exam.how)
    outcome.metrics["aurc"] = area_under_risk_coverage(confidence[~dev], test_correct)
    outcome.metric("error_all", before, bounds=False)
    outcome.facts["threshold"] = chosen.threshold if np.isfinite(chosen.threshold) else None
    if chosen.answered.any():
        kept = chosen.answered
        after = ratio(1.0 - test_correct[kept], clusters=test_document[kept].astype(str), how=exam.how)
        outcome.metric("error_answered", after, bounds=False)
        outcome.metrics["coverage"] = float(kept.mean())
        note = (
            f"was {before.value:.3f}; answers {kept.mean():.0%}; threshold of other documents, for {chosen.target:.3f}"
        )
        outcome.highlight("next-token error when abstaining", after, None, note)
    outcome.curves.append(
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
