"""Task `calibration`: whether the model's confidence is its chance of being right.

Every next-token prediction on held-out text has a confidence. Expected calibration error (Guo et
al. 2017) and Brier score say whether confidences mean what they say; how sure it is of what nobody
can know, open_book.py.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from components.stages.evaluate.heldout_sample import DocumentScores
from components.stages.evaluate.tasks.task import Curve, EvalContext, NotApplicable, TaskResult, item_id, work_of
from components.statistics import Estimate, jackknife_interval, variance_words

BINS = 15


def calibration(context: EvalContext) -> TaskResult:
    """Calibration and Brier score of next-token predictions."""
    scored = context.heldout_scores
    if not scored:
        raise NotApplicable("the held-out documents hold no text")
    result = TaskResult("calibration")
    for entry in scored:
        confidence, hit, size = np.exp(entry.scores.top), entry.scores.hit, len(entry.scores.hit)
        name, brier = item_id(entry.document.id, entry.document.text), float(((confidence - hit) ** 2).sum())
        work: dict[str, Any] = {"condition": entry.document.source, "weight": size} | work_of(entry.document)
        result.item("brier", name, brier, direction="lower", **work)
        result.item("accuracy", name, int(hit.sum()), **work)
    tables, strata = by_work(scored, [_table(entry) for entry in scored])
    low, high = jackknife_interval(tables, expected_calibration_error, strata)
    num_tokens, words = int(tables[:, :, 0].sum()), variance_words(len(tables), "works")
    ece = Estimate(float(expected_calibration_error(tables.sum(0))), low, high, num_tokens, len(tables), words)
    ece = ece.within(0, 1)
    result.metric("ece", ece)
    result.metric("brier", result.estimate("brier"), bounds=False)
    result.metric("accuracy", result.estimate("accuracy"), bounds=False)
    note = f"next token, {BINS} bins; Brier {result.metrics['brier']:.3f}"
    result.score("ece", "calibration error", ece, None, note, kind="calibration", better="lower", headline=True)
    result.curves.append(_reliability(tables.sum(0)))
    return result


def by_work(scored: list[DocumentScores], tables: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Documents' tables added up for each work (num_works, ...), and the number of each work's source (num_works,)."""
    works = [(entry.document.source, entry.document.group) for entry in scored]
    order = sorted(set(works))
    summed = np.zeros((len(order), *tables[0].shape))
    np.add.at(summed, [order.index(work) for work in works], np.stack(tables))
    return summed, np.unique([source for source, _ in order], return_inverse=True)[1]


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
