"""Selective prediction: answer only where confidence reaches a threshold.

The threshold is chosen on one half of the predictions and
judged on the other (El-Yaniv and Wiener 2010, selective classification; Kamath et al. 2020): the most coverage at which
the error among answers is at most half of what it is without abstaining.
"""

from dataclasses import dataclass

import numpy as np

MIN_ANSWERED = 10
"""Least development predictions a threshold must answer: one with fewer rests on luck and is not taken."""
RISK_SHARE = 0.5
"""The error aimed at, as a share of the error without abstention."""


@dataclass(frozen=True)
class Abstention:
    """A threshold, and the test predictions it answers.

    Attributes:
        threshold: confidence from which the model answers; infinity if no threshold reaches the target.
        target: the error among answers that was aimed at.
        answered: bool per test prediction.
    """

    threshold: float
    target: float
    answered: np.ndarray


def choose_threshold(confidence: np.ndarray, correct: np.ndarray) -> tuple[float, float]:
    """The lowest threshold whose error on these (development) predictions is within the target, and that target."""
    target = RISK_SHARE * float(1.0 - correct.mean())
    coverage, risk, thresholds = risk_coverage(confidence, correct)
    good = np.flatnonzero((risk <= target) & (coverage * len(confidence) >= min(MIN_ANSWERED, len(confidence))))
    return (float(thresholds[good[-1]]), target) if len(good) else (float("inf"), target)


def abstain(confidence: np.ndarray, correct: np.ndarray, dev: np.ndarray) -> Abstention:
    """Choose on the `dev` predictions (bool each), apply to the others."""
    threshold, target = choose_threshold(confidence[dev], correct[dev])
    return Abstention(threshold, target, confidence[~dev] >= threshold)


def risk_coverage(confidence: np.ndarray, correct: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coverage, error among answers, and threshold, for every threshold that occurs, from the most to the least strict.

    Equal confidences are answered together or not at all.
    """
    order = np.argsort(-confidence, kind="stable")
    ranked, hits = confidence[order], correct[order].astype(np.float64)
    last = np.append(ranked[1:] != ranked[:-1], True)
    answered = np.arange(1, len(ranked) + 1)
    risk = 1.0 - np.cumsum(hits) / answered
    return (answered / len(ranked))[last], risk[last], ranked[last]


def area_under_risk_coverage(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Mean error over all coverages: lower is better; the error rate itself if confidence means nothing."""
    coverage, risk, _ = risk_coverage(confidence, correct)
    return float(np.sum(risk * np.diff(coverage, prepend=0.0)))
