"""Intervals cover what they claim, and two models are compared on shared items, cluster by cluster."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.stats import binomtest

from components.scored_items import write_items
from components.statistics import (
    Spread,
    cluster_table,
    critical_t,
    holm,
    interval_around,
    jackknife_interval,
    p_value,
    paired_difference,
    ratio,
    reach_of,
)
from tests.components.studies.test_promotion_gate import item_row


def written(path: Path, scores: np.ndarray, **more: object) -> Path:
    """An items.parquet of one metric, one row per score."""
    rows = [item_row("bits_per_byte/bits_per_byte", n, score, 1.0, "lower", n) for n, score in enumerate(scores)]
    write_items([row | more for row in rows], path)
    return path


def test_a_ratio_is_the_quotient_of_sums_and_its_interval_holds_it() -> None:
    found = ratio([10.0, 30.0, 20.0, 15.0, 15.0], [5.0, 10.0, 5.0, 5.0, 5.0], list("abcde"))
    assert found.value == pytest.approx(3.0)
    assert found.low <= 3.0 <= (found.high or 0.0)
    assert (found.n, found.clusters, found.variance) == (5, 5, "items")


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("uvwx"), st.integers(0, 9)), min_size=1, max_size=12))
def test_a_table_of_clusters_adds_up_what_is_of_one_stratum_and_name(items: list[tuple[str, str, int]]) -> None:
    """In the order of both; a name in two strata is two clusters."""
    sources, works, scores = zip(*items, strict=True)
    table, strata = cluster_table([np.array(scores), np.ones(len(items))], works, sources)
    expected = [
        [sum(score for *key, score in items if tuple(key) == pair), sum(tuple(key) == pair for *key, _ in items)]
        for pair in sorted({(source, work) for source, work, _ in items})
    ]
    assert table.tolist() == expected
    names = sorted({*sources})
    assert [names[number] for number in strata] == [source for source, _ in sorted({item[:2] for item in items})]


def test_few_clusters_and_equal_scores_have_no_interval_and_say_why() -> None:
    """At a ceiling, say: an interval of no width would claim that the next score is this one too."""
    few = ratio([1.0, 2.0, 3.0, 4.0] * 2, clusters=list("abcd") * 2, strata=["source"] * 8)
    assert (few.value, few.low, few.high) == (2.5, None, None)
    assert few.variance == "no interval: 4 works, at least 5 are needed"
    found = ratio([2.5] * 10)
    assert (found.value, found.low, found.high) == (2.5, None, None)
    assert found.variance == "no interval: all 10 items score alike"
    assert ratio([0.0] * 10, paired=True).low is not None


@pytest.mark.parametrize("hits", [0, 1, 25, 50])
def test_independent_yes_or_no_items_get_the_exact_interval(hits: int) -> None:
    found = ratio([1.0] * hits + [0.0] * (50 - hits))
    exact = binomtest(hits, 50).proportion_ci(0.95, method="exact")
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high))


def test_an_interval_is_cut_to_what_a_score_can_be() -> None:
    won = [1.0] * 10 + [0.5] * 2
    assert ratio(won).high > 1  # of wins, losses and ties; nothing tells that 1 is the most
    assert ratio(won).within(0, 1) == replace(ratio(won), high=1)
    assert ratio([1.0, 0.5]).within(0, 1).low is None


@pytest.mark.parametrize("value", [0.0, 1.0, -1.0, 0.75])
def test_differences_that_are_all_alike_leave_room_for_others(value: float) -> None:
    """As much as the exact bound of a kind of item of which none was seen."""
    unseen = binomtest(0, 24).proportion_ci(0.95, method="exact").high
    found = ratio([value] * 24, paired=True)
    assert found.low == pytest.approx(value + unseen * (-1 - value))
    assert found.high == pytest.approx(value + unseen * (1 - value))
    assert ratio([2.5] * 24, paired=True).low == 2.5


def test_shares_that_are_alike_in_all_clusters_count_clusters() -> None:
    found = ratio([0.0] * 50, clusters=[str(number // 10) for number in range(50)])
    assert found.high == pytest.approx(binomtest(0, 5).proportion_ci(0.95, method="exact").high)
    found = ratio([1.0] * 50, clusters=[str(number // 10) for number in range(50)])
    assert (found.low, found.high) == pytest.approx((binomtest(5, 5).proportion_ci(0.95, method="exact").low, 1.0))


def test_a_share_of_clustered_items_counts_those_that_its_variance_is_worth() -> None:
    """Korn & Graubard by hand: eight clusters of ten items; the mean's variance over clusters, and t for seven."""
    hits = np.array([1, 9, 3, 7, 2, 8, 4, 6])
    scores = [float(number < hit) for hit in hits for number in range(10)]
    found = ratio(scores, clusters=[str(number // 10) for number in range(80)])
    share = hits.sum() / 80
    variance = float(np.var(hits / 10, ddof=1)) / 8
    worth = share * (1 - share) / variance * (stats.norm.ppf(0.975) / stats.t.ppf(0.975, 7)) ** 2
    low = stats.beta.ppf(0.025, share * worth, worth - share * worth + 1)
    high = stats.beta.ppf(0.975, share * worth + 1, worth - share * worth)
    assert (found.low, found.high) == pytest.approx((low, high))


def test_strata_take_out_what_differs_between_sources() -> None:
    draw = np.random.default_rng(0)
    sources = np.repeat(["a", "b"], 10)
    scores = np.where(sources == "a", 1.0, 9.0) + draw.normal(0.0, 0.1, 20)
    works = np.tile(np.arange(10), 2).astype(str)
    apart, together = (
        ratio(scores, None, works, strata=sources.tolist()),
        ratio(scores, None, np.arange(20).astype(str)),
    )
    assert (apart.clusters, apart.variance) == (20, "works")
    assert apart.high - apart.low < (together.high - together.low) / 10  # type: ignore[operator]


@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_intervals_cover_the_truth_as_often_as_they_say(spread: float) -> None:
    """Items in clusters that rise and fall together: an interval over items would cover far less."""
    draw = np.random.default_rng(3)
    covered = 0
    for _ in range(200):
        centres = draw.normal(0.0, spread, size=40)
        names = np.repeat(np.arange(40), 8)
        scores = centres[names] + draw.normal(0.0, 1.0, size=320)
        found = ratio(scores, clusters=names.astype(str))
        covered += found.low <= 0.0 <= found.high  # type: ignore[operator]
    assert 0.90 <= covered / 200 <= 0.985


def test_the_jackknife_of_a_mean_is_its_standard_error() -> None:
    scores = stats.norm(2.0).ppf((np.arange(200) + 0.5) / 200)
    spread = Spread.of(np.stack([scores, np.ones(200)], 1), lambda x: x[..., 0] / x[..., 1], np.ones(200))
    assert spread.error == pytest.approx(scores.std(ddof=1) / 200**0.5)
    assert spread.freedom == pytest.approx(199)
    interval = jackknife_interval(np.stack([scores, np.ones(200)], 1), lambda x: x[..., 0] / x[..., 1])
    student = stats.ttest_1samp(scores, 0.0).confidence_interval(0.95)
    assert interval == pytest.approx((student.low, student.high), rel=1e-3)  # sizes: scores and counts together
    assert jackknife_interval(np.ones((4, 2)), lambda x: x[..., 0]) == (None, None)


def test_a_stratum_of_two_clusters_stays_one_and_a_single_cluster_joins_all() -> None:
    values = np.array([1.0, 4.0, 20.0, 21.0, 25.0])

    def error(*strata: int) -> float:
        return Spread.of(values[:, None], lambda x: x[..., 0], np.ones(5), np.array(strata)).error

    # Of a sum, the jackknife's variance within a stratum of n is (n - 1) / n of the squared distances from its mean.
    assert error(0, 0, 1, 1, 1) ** 2 == pytest.approx(1 / 2 * 4.5 + 2 / 3 * 14.0)
    assert error(0, 1, 1, 1, 1) ** 2 == pytest.approx(4 / 5 * ((values - values.mean()) ** 2).sum())


# -- two models --------------------------------------------------------------------------------------------------------


def test_a_paired_difference_is_narrower_than_the_two_intervals(tmp_path: Path) -> None:
    """What makes a document hard for both models cancels."""
    draw = np.random.default_rng(2)
    hardness = draw.normal(2.0, 0.5, size=100)
    a = written(tmp_path / "a.parquet", hardness + draw.normal(0, 0.02, 100))
    b = written(tmp_path / "b.parquet", hardness - 0.02 + draw.normal(0, 0.02, 100))
    (found,) = paired_difference(a, b)
    assert 0.0 < found.low < found.improvement < found.high
    assert found.p < 0.01
    alone = ratio(hardness)
    assert found.high - found.low < (alone.high - alone.low) / 5  # type: ignore[operator]


def test_items_only_one_model_answered_are_counted_and_left_out(tmp_path: Path) -> None:
    scores = np.random.default_rng(0).random(30)
    a, b = written(tmp_path / "a.parquet", scores), written(tmp_path / "b.parquet", scores[:20])
    (found,) = paired_difference(a, b)
    assert (found.n, found.only_a, found.only_b) == (20, 10, 0)
    assert found.improvement == 0.0
    assert (found.low, found.high, found.p) == (0.0, 0.0, 1.0)


@pytest.mark.parametrize("clusters", [4, 5])
def test_fewer_than_five_clusters_have_no_interval(tmp_path: Path, clusters: int) -> None:
    a, b = (written(tmp_path / name, np.arange(clusters) / 10 + 1) for name in ("a.parquet", "b.parquet"))
    (found,) = paired_difference(a, b)
    assert (found.low, found.high) == ((None, None) if clusters < 5 else (0.0, 0.0))
    assert (found.p, found.error) == (1.0, 0.0)
    assert (ratio(np.arange(clusters) / 10).low is None) == (clusters < 5)


@pytest.mark.parametrize(("direction", "better"), [("higher", -1.0), ("lower", 1.0), ("zero", 1.0), ("half", 1.0)])
def test_direction_decides_what_is_better(tmp_path: Path, direction: str, better: float) -> None:
    scores = np.random.default_rng(0).random(40) + 3.0
    a = written(tmp_path / "a.parquet", scores, direction=direction)
    b = written(tmp_path / "b.parquet", scores - 1.0, direction=direction)
    (found,) = paired_difference(a, b)
    assert found.improvement == pytest.approx(better)
    assert (found.a, found.b) == pytest.approx((scores.mean(), scores.mean() - 1.0))


@pytest.mark.parametrize("errors", [[(0.1, 9.0)], [(0.1, 9.0), (0.05, 2.0)]])
@pytest.mark.parametrize("skew", [0.0, 0.3])
def test_a_p_value_is_one_less_the_confidence_whose_interval_ends_at_zero(
    errors: list[tuple[float, float]], skew: float
) -> None:
    spreads = [Spread(0.3, *error, skew) for error in errors]
    p = p_value(0.3, spreads)
    assert interval_around(0.3, spreads, 1.0 - p)[0] == pytest.approx(0.0, abs=1e-6)
    if len(errors) == 1 and not skew:
        assert p == pytest.approx(2.0 * stats.t.sf(3.0, 9.0))
    assert (p_value(0.0, spreads), p_value(0.3, [Spread(0.3, 0.0, 9.0)])) == (1.0, 0.0)
    assert p_value(1e9, spreads[:1]) == pytest.approx(1e-12)


def test_errors_with_few_degrees_of_freedom_together_keep_their_level() -> None:
    """Works and two trainings a side: by Satterthwaite's degrees of freedom one in six equal models differed."""
    draw, inside = np.random.default_rng(1), 0
    for _ in range(1000):
        works, seeds = draw.normal(0.0, 1.0, 10), draw.normal(0.0, 1.0, 3)
        spreads = [Spread(0.0, works.std(ddof=1) / 10**0.5, 9.0), Spread(0.0, seeds.std(ddof=1), 2.0)]
        low, high = interval_around(works.mean() + draw.normal(), spreads)
        inside += low <= 0.0 <= high
    assert inside >= 935


def test_skewed_works_widen_the_interval() -> None:
    values = np.array([0.1, 0.1, 0.2, 0.2, 0.3, 0.3, 0.4, 4.0])
    table = np.stack([values, np.ones(8)], 1)
    spread = Spread.of(table, lambda x: x[..., 0] / x[..., 1], np.ones(8))
    even = Spread.of(np.stack([[-1.0, 1.0] * 4, np.ones(8)], 1), lambda x: x[..., 0] / x[..., 1], np.ones(8))
    assert reach_of([spread]) > critical_t(7.0) * spread.error
    assert reach_of([even]) == pytest.approx(critical_t(7.0) * even.error)


@pytest.mark.parametrize(("direction", "most"), [("higher", 1.0), ("half", 0.5), ("zero", 1.0)])
def test_an_interval_stays_within_what_shares_can_differ_by(tmp_path: Path, direction: str, most: float) -> None:
    ones = np.array([1.0, 1.0, 1.0, 1.0, 0.0])
    a, b = (written(tmp_path / name, scores, direction=direction) for name, scores in (("a", ones), ("b", 1.0 - ones)))
    (found,) = paired_difference(a, b)
    assert -most <= found.low < found.high <= most  # type: ignore[operator]


def test_two_that_lean_equally_far_to_either_side_of_half_do_not_differ(tmp_path: Path) -> None:
    """The test took the signed shift, and its interval the improvement: of 200 such pairs all were told apart."""
    lean = np.array([1.0, 0.0, 0.0] * 20)
    a, b = (written(tmp_path / name, scores, direction="half") for name, scores in (("a", lean), ("b", 1.0 - lean)))
    (found,) = paired_difference(a, b)
    assert found.improvement == pytest.approx(0.0)
    assert found.p > 0.9


def test_all_alike_on_the_items_seen_is_not_certain(tmp_path: Path) -> None:
    ones = np.ones(20)
    a, b = (written(tmp_path / name, score * ones, direction="higher") for name, score in (("a", 0.0), ("b", 1.0)))
    (found,) = paired_difference(a, b)
    assert 0.0 < found.low < found.improvement == found.high == 1.0  # type: ignore[operator]
    assert 0.0 < found.p < 0.01


def test_holm_is_the_textbook_example_and_keeps_order() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1.0, 1.0]
