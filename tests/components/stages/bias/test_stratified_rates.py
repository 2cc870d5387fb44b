"""Statistics against worked examples, exact distributions and brute force."""

import math

import numpy as np
import pytest
from scipy.stats import hypergeom

from components.stages.bias.stratified_rates import POWER, Strata, conditional_p, rate


def test_wilson_interval() -> None:
    """Newcombe 1998, table I: 81 of 263 is .2553 to .3662; 0 of 20 is 0 to .1611."""
    found = rate(81, 263)
    assert (found.low, found.high) == (pytest.approx(0.2553, abs=5e-5), pytest.approx(0.3662, abs=5e-5))
    assert rate(0, 20).high == pytest.approx(0.1611, abs=5e-5)
    assert (rate(0, 0).low, rate(0, 0).high) == (0, 1)


def test_one_stratum_is_the_plain_ratio_and_pooling_removes_confounding() -> None:
    """Equal rates within each source, very different between: the raw ratio is 4.8, the pooled one is 1."""
    found = Strata([(30, 100, 45, 100)]).ratio()
    assert found.value == pytest.approx(30 / 45)
    assert found.low < 30 / 45 < found.high
    found = Strata([(10, 100, 100, 1000), (900, 1000, 90, 100)]).ratio()
    assert found.value == pytest.approx(1)
    assert found.p == pytest.approx(1)


def test_interval_covers_where_little_is_removed() -> None:
    """2% removed, three times as often in the group: the interval holds the true ratio in 95% of 400 simulations."""
    draw = np.random.default_rng(1)
    sizes = [(300, 50), (40, 400), (100, 100)]
    hits = 0
    for _ in range(400):
        strata = [(int(draw.binomial(a, 0.06)), a, int(draw.binomial(b, 0.02)), b) for a, b in sizes]
        found = Strata(strata).ratio()
        hits += found.low <= 3 <= found.high
    assert hits >= 380


def test_p_values_are_never_below_the_exact_ones() -> None:
    """The binomial bound beside hypergeometric tails, and their convolution over two strata."""
    for total, members, removed in [(500, 60, 12), (80, 30, 40), (1000, 200, 30)]:
        counts = np.arange(removed + 1)
        tails = hypergeom(total, members, removed)
        exact = 2 * np.minimum(tails.sf(counts - 1), tails.cdf(counts))
        ours = conditional_p(counts, np.full(len(counts), removed * members / total), np.full(len(counts), removed))
        assert (ours >= np.minimum(1, exact) - 1e-12).all()
    parts = [hypergeom.pmf(np.arange(21), 200, 30, 20), hypergeom.pmf(np.arange(11), 50, 25, 10)]
    both = np.convolve(*parts)
    mean = 20 * 30 / 200 + 10 * 25 / 50
    for count in (12, 14, 17):
        assert conditional_p(count, mean, 30) >= 2 * both[count:].sum()
    assert conditional_p(17, mean, 30) < 100 * both[17:].sum(), "and not far above"


def test_the_detectable_ratio_is_detected_as_often_as_it_says() -> None:
    """Documents removed at random with that ratio, and as many as were removed: found in about 80% of 500 worlds."""
    strata = Strata([(6, 200, 24, 800)])
    ratio = strata.detectable(1)
    assert 2.5 < ratio < 4
    assert strata.detectable(20) > ratio
    share = ratio * 200 / (ratio * 200 + 800)
    hits = np.random.default_rng(1).binomial(30, share, 500)
    found = [Strata([(int(k), 200, 30 - int(k), 800)]).ratio().p < 0.05 for k in hits]
    assert np.mean(found) == pytest.approx(POWER, abs=0.05)
    assert Strata([(1, 20, 1, 20)]).detectable(1) == math.inf


def test_a_bound_beyond_any_ratio_is_none() -> None:
    """One removed document of the group, in works that differ much: its lower bound is below e^-50."""
    found = Strata([(1, 29, 12, 131)], design=40.0, works=5).ratio()
    assert (found.low, found.p) == (0, 1)


def test_nothing_to_compare() -> None:
    for empty in (Strata([]), Strata([(5, 5, 0, 0)]), Strata([(0, 5, 0, 7)])):
        assert math.isnan(empty.ratio().value)
        assert (empty.ratio().p, empty.detectable(1)) == (1, math.inf)
    everything = Strata([(5, 5, 7, 7)]).ratio()
    assert (everything.value, everything.p) == (pytest.approx(1), 1)
    assert Strata([(0, 5, 7, 7)]).ratio().value == 0
    assert Strata([(5, 5, 0, 7)]).ratio().value == math.inf
