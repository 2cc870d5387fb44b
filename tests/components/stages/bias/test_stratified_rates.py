"""Statistics against worked examples, large-sample theory and brute force."""

import math

import numpy as np
import pytest
from scipy.stats import fisher_exact

from components.stages.bias.stratified_rates import rate, stratified_ratio


def test_wilson_interval() -> None:
    """Newcombe 1998, table I: 81 of 263 is .2553 to .3662; 0 of 20 is 0 to .1611."""
    found = rate(81, 263)
    assert (found.low, found.high) == (pytest.approx(0.2553, abs=5e-5), pytest.approx(0.3662, abs=5e-5))
    assert rate(0, 20).high == pytest.approx(0.1611, abs=5e-5)
    assert (rate(0, 0).low, rate(0, 0).high) == (0, 1)


def test_one_stratum_is_the_plain_ratio() -> None:
    found = stratified_ratio([(30, 100, 45, 100)])
    assert found.value == pytest.approx(30 / 45)
    variance = 1 / 30 - 1 / 100 + 1 / 45 - 1 / 100
    assert math.log(found.high / found.value) == pytest.approx(1.96 * variance**0.5, rel=0.02)


def test_pooling_removes_confounding() -> None:
    """Equal rates within each source, very different between: the raw ratio is 0.55, the pooled one is 1."""
    strata = [(10, 100, 100, 1000), (900, 1000, 90, 100)]
    raw = (100 + 90) / 1100 / ((10 + 900) / 1100)
    assert raw < 0.25
    found = stratified_ratio(strata)
    assert found.value == pytest.approx(1)
    assert found.p == pytest.approx(1)


def test_interval_covers_where_little_is_dropped() -> None:
    """A filter that drops 1%: the interval holds the true ratio in at least 93% of 400 simulations."""
    draw = np.random.default_rng(1)
    sizes = [(300, 5), (40, 400), (100, 100)]
    hits = 0
    for _ in range(400):
        strata = [(draw.binomial(a, 0.99), a, draw.binomial(b, 0.99), b) for a, b in sizes]
        found = stratified_ratio([tuple(map(int, row)) for row in strata])
        hits += found.low <= 1 <= found.high
    assert hits >= 372


def test_p_value_is_near_the_exact_one() -> None:
    kept, total, others_kept, others = 60, 80, 150, 160
    exact = fisher_exact([[kept, total - kept], [others_kept, others - others_kept]]).pvalue
    assert stratified_ratio([(kept, total, others_kept, others)]).p == pytest.approx(exact, rel=0.7)


def test_nothing_to_compare() -> None:
    assert math.isnan(stratified_ratio([]).value)
    assert math.isnan(stratified_ratio([(5, 5, 0, 0)]).value)
    everything = stratified_ratio([(5, 5, 7, 7)])
    assert (everything.value, everything.p) == (1, 1)
    assert stratified_ratio([(0, 5, 7, 7)]).value == 0
