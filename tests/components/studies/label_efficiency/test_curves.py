"""Curves of label efficiency: the factor of labels, its lower bound, and intervals over seeds and items."""

import numpy as np
import pytest

from components.studies.label_efficiency.curves import CAP, labels_needed, over_seeds_and_items, summary

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


def test_few_seeds_have_no_interval() -> None:
    curve = {labels: np.ones((2, 200)) for labels in LABELS}
    assert labels_needed(np.ones((2, 200)), curve, CLUSTERS)["low"] is None
    assert over_seeds_and_items(np.ones((2, 200)), CLUSTERS).variance.startswith("no interval: 2 seeds")


def test_bounds_hold_in_simulations() -> None:
    """95% intervals hold the true accuracy, and the true factor lies below its lower bound in at most 2.5%."""
    rng, held, below, worlds = np.random.default_rng(2), 0, 0, 200
    for _ in range(worlds):
        curve = {labels: hits(rng, 0.5 + 0.05 * index) for index, labels in enumerate(LABELS)}
        found = over_seeds_and_items(curve[256], CLUSTERS)
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 0.6 <= found.high
        low = labels_needed(hits(rng, 0.6), curve, CLUSTERS)["low"]
        below += low is not None and low > 4.0 * 1.05
    assert held >= 0.93 * worlds
    assert below <= 0.05 * worlds


def test_summary_of_results() -> None:
    rng = np.random.default_rng(3)

    def digits(accuracy: float) -> str:
        return "".join(map(str, hits(rng, accuracy, seeds=1)[0].astype(int)))

    results = [
        {
            "arm": arm, "labels": labels, "seed": seed, "right": digits(0.5 + 0.08 * index + 0.1 * (arm != "scratch")),
            "tfidf": digits(0.6), "joules": 3.0, "cpu_s": 1.0, "steps": 10,
        }
        for arm in ("masked", "scratch", "lora", "causal") for index, labels in enumerate(LABELS) for seed in range(5)
    ]  # fmt: skip
    found = summary(results, CLUSTERS)
    assert found["curves"].keys() == {"masked", "scratch", "lora", "causal", "tfidf"}
    assert found["label_efficiency"]["value"] > 1
    assert max(row["value"] for row in found["curves"]["tfidf"]) < 0.7
    assert found["curves"]["lora"][0]["joules"] == 3.0
