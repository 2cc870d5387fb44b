"""Curves of label efficiency: the factor of labels, its lower bound, and intervals over seeds and items."""

import numpy as np
import pytest

from components.studies.label_efficiency.curves import CAP, labels_needed

LABELS = (16, 64, 256, 1024, 4096)
CLUSTERS = [str(item // 4) for item in range(200)]


def hits(rng: np.random.Generator, accuracy: float, seeds: int = 5, sd: float = 0.02) -> np.ndarray:
    """Right or wrong, (seeds, 200): seeds differ, and so do the 50 clusters of items, alike for all seeds."""
    hard = np.repeat(rng.normal(0, 0.05, 50), 4)
    share = accuracy + rng.normal(0, sd, (seeds, 1)) + hard
    return (rng.random((seeds, 200)) < share).astype(float)


def test_the_factor_is_read_off_the_other_curve() -> None:
    rng = np.random.default_rng(1)
    exact = {labels: np.full((5, 200), 0.5 + 0.05 * index) for index, labels in enumerate(LABELS)}
    assert labels_needed(np.full((5, 200), 0.6), exact, CLUSTERS)["value"] == pytest.approx(256 / 64, rel=0.05)
    half = labels_needed(np.full((5, 200), 0.625), exact, CLUSTERS)
    assert half["value"] == pytest.approx(512 / 64, rel=0.05)  # between two points in the logarithm
    curve = {labels: hits(rng, 0.5 + 0.05 * index) for index, labels in enumerate(LABELS)}
    noisy = labels_needed(hits(rng, 0.6), curve, CLUSTERS)
    assert noisy["low"] is not None
    assert noisy["value"] is not None
    assert noisy["low"] < noisy["value"]


def test_a_curve_that_never_gets_there_is_capped() -> None:
    never = {labels: np.zeros((5, 200)) for labels in LABELS}
    never[4096] = hits(np.random.default_rng(1), 0.5)
    assert labels_needed(np.ones((5, 200)), never, CLUSTERS) == {"value": CAP, "low": CAP, "reached": 0.0}
    at_once = labels_needed(np.zeros((5, 200)), never, CLUSTERS)
    assert at_once == {"value": 0.25, "low": 0.25, "reached": 1.0}
