"""Intervals cover what they claim, and two models are compared on shared items, cluster by cluster."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import permutation_test

from components.stages.evaluate.stage import SCHEMA
from components.statistics import (
    Resampling,
    bootstrap_over,
    cluster_sums,
    holm,
    paired_difference,
    ratio,
    sign_flip_p,
    wilson,
)

QUICK = Resampling(resamples=400)


def write_items(path: Path, scores: np.ndarray, **more: object) -> Path:
    """An items.parquet of one metric, one row per score."""
    rows = [
        {
            "question": "bits_per_byte",
            "condition": "",
            "metric": "bits_per_byte",
            "item": str(number),
            "cluster": str(number),
            "score": float(score),
            "weight": 1.0,
            "direction": "lower",
        }
        | more
        for number, score in enumerate(scores)
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), path)
    return path


def test_a_ratio_is_the_quotient_of_sums_and_its_interval_holds_it() -> None:
    found = ratio([10.0, 30.0, 20.0], [5.0, 10.0, 5.0], ["a", "b", "c"])
    assert found.value == pytest.approx(3.0)
    assert found.low is not None
    assert found.low <= 3.0 <= (found.high or 0.0)
    assert (found.n, found.clusters) == (3, 3)


def test_one_cluster_has_no_interval() -> None:
    found = ratio([1.0, 2.0], clusters=["a", "a"])
    assert found.low is None
    assert found.high is None
    assert found.value == 1.5


def test_equal_scores_have_an_interval_of_no_width() -> None:
    found = ratio([2.5] * 10)
    assert found.low == found.high == 2.5


def test_yes_or_no_items_get_wilson_even_when_all_are_alike() -> None:
    found = ratio([0.0] * 50)
    assert (found.low, found.high) == pytest.approx(wilson(0, 50, 0.95))
    assert found.high is not None
    assert 0.05 < found.high < 0.1


@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_intervals_cover_the_truth_as_often_as_they_say(spread: float) -> None:
    """Items in clusters that rise and fall together: an interval over items would cover far less."""
    draw = np.random.default_rng(3)
    covered = 0
    for trial in range(200):
        centres = draw.normal(0.0, spread, size=40)
        names = np.repeat(np.arange(40), 8)
        scores = centres[names] + draw.normal(0.0, 1.0, size=320)
        found = ratio(scores, clusters=names.astype(str), resampling=Resampling(400, 0.95, trial))
        covered += found.low <= 0.0 <= found.high  # type: ignore[operator]
    assert 0.90 <= covered / 200 <= 0.985


def test_resampling_items_instead_of_clusters_would_cover_too_little() -> None:
    draw = np.random.default_rng(3)
    covered = 0
    for trial in range(100):
        centres = np.repeat(draw.normal(0.0, 1.0, size=40), 8)
        found = ratio(centres + draw.normal(0.0, 1.0, size=320), resampling=Resampling(300, 0.95, trial))
        covered += found.low <= 0.0 <= found.high  # type: ignore[operator]
    assert covered / 100 < 0.85


def test_the_same_seed_gives_the_same_bounds() -> None:
    scores = np.random.default_rng(0).gamma(1.0, size=60)
    assert ratio(scores) == ratio(scores)
    assert ratio(scores) != ratio(scores, resampling=Resampling(seed=2))


def test_a_bootstrap_over_tables_agrees_with_one_over_ratios() -> None:
    draw = np.random.default_rng(1)
    scores, weights = draw.random(200) * 3, draw.integers(1, 9, 200).astype(float)
    low, high = bootstrap_over(np.stack([scores, weights], 1), lambda x: x[..., 0] / x[..., 1], Resampling(4000))
    found = ratio(scores, weights, resampling=Resampling(4000))
    assert (low, high) == pytest.approx((found.low, found.high), rel=0.05)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(-5, 5), st.floats(0.1, 9)), min_size=1, max_size=30))
@settings(max_examples=50, deadline=None)
def test_cluster_sums_lose_nothing(rows: list[tuple[str, float, float]]) -> None:
    names, scores, weights = zip(*rows, strict=True)
    sums, loads = cluster_sums(scores, weights, names)
    assert len(sums) == len(set(names))
    assert sums.sum() == pytest.approx(sum(scores))
    assert loads.sum() == pytest.approx(sum(weights))


# -- two models --------------------------------------------------------------------------------------------------------


def test_a_paired_difference_is_narrower_than_the_two_intervals(tmp_path: Path) -> None:
    """What makes a document hard for both models cancels."""
    draw = np.random.default_rng(2)
    hardness = draw.normal(2.0, 0.5, size=100)
    a = write_items(tmp_path / "a.parquet", hardness + draw.normal(0, 0.02, 100))
    b = write_items(tmp_path / "b.parquet", hardness - 0.02 + draw.normal(0, 0.02, 100))
    (found,) = paired_difference(a, b)
    assert found.low is not None
    assert found.high is not None
    assert 0.0 < found.low < found.improvement < found.high
    assert found.p < 0.01
    alone = ratio(hardness)
    assert found.high - found.low < (alone.high - alone.low) / 5  # type: ignore[operator]


def test_items_only_one_model_answered_are_counted_and_left_out(tmp_path: Path) -> None:
    scores = np.random.default_rng(0).random(30)
    a, b = write_items(tmp_path / "a.parquet", scores), write_items(tmp_path / "b.parquet", scores[:20])
    (found,) = paired_difference(a, b)
    assert (found.n, found.only_a, found.only_b) == (20, 10, 0)
    assert found.improvement == 0.0
    assert (found.low, found.high, found.p) == (0.0, 0.0, 1.0)


@pytest.mark.parametrize(("direction", "better"), [("higher", -1.0), ("lower", 1.0), ("zero", 1.0)])
def test_direction_decides_what_is_better(tmp_path: Path, direction: str, better: float) -> None:
    scores = np.random.default_rng(0).random(40) + 3.0
    a = write_items(tmp_path / "a.parquet", scores, direction=direction)
    b = write_items(tmp_path / "b.parquet", scores - 1.0, direction=direction)
    assert paired_difference(a, b)[0].improvement == pytest.approx(better)


def test_the_p_value_is_scipys(tmp_path: Path) -> None:
    shifts = np.random.default_rng(5).normal(0.1, 1.0, size=9)
    exact = permutation_test((shifts,), np.sum, permutation_type="samples", n_resamples=np.inf).pvalue
    assert sign_flip_p(shifts, Resampling(10_000)) == pytest.approx(exact, abs=1e-9)


def test_p_values_are_uniform_when_nothing_differs() -> None:
    draw = np.random.default_rng(7)
    values = [sign_flip_p(draw.normal(size=40), QUICK) for _ in range(200)]
    assert 0.01 <= np.mean(np.array(values) < 0.05) <= 0.10


def test_holm_is_the_textbook_example_and_keeps_order() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1.0, 1.0]
