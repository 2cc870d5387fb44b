"""The best for a budget, and the same loss for less, in training and over a life, by a made-up law."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.carbon.footprint.intensity import Intensity
from components.carbon.planning.grid_schedule import Outlook
from components.carbon.spans import Bounds
from components.studies.scaling.fits import (
    Price,
    cheapest,
    served_flops,
)
from components.studies.scaling.law import BudgetPlan, Candidate, Law, best
from tests.components.carbon.planning.test_step_cost_table import RATES

LAW = Law(floor=1.5, size_scale=40.0, size_exponent=0.35, token_scale=120.0, token_exponent=0.3, power=1.5)
CANDIDATES = [Candidate(str(width), 30.0 * width**2, 200.0 * width**2) for width in range(64, 2049, 64)]
NOW = datetime(2026, 3, 2, 17, 0, tzinfo=UTC)
FLOPS_PER_S = RATES.tokens_per_s * RATES.flops_per_token


def life_flops(plan: BudgetPlan, served: float) -> float:
    """Operations of training and serving."""
    return plan.flops + served_flops(plan, served)


@pytest.mark.parametrize("size", [1_000_000.0, 20_000_000.0])
def test_a_lopsided_choice_reaches_its_loss_for_less(size: float) -> None:
    """Twenty times too few tokens for its size: the law knows a cheaper way to the same loss."""
    tokens = size
    flops, loss = 20.0 / 3 * size * tokens, LAW.loss(size, tokens)
    found = cheapest(LAW, loss, 0.0, CANDIDATES)
    assert LAW.loss(found.candidate.size, found.tokens) == pytest.approx(loss)
    assert found.flops < flops
    assert best(LAW, found.flops * 0.98, CANDIDATES).loss > loss


def test_below_the_laws_floor_nothing_helps() -> None:
    assert cheapest(LAW, 1.4, 0.0, CANDIDATES) is None
    assert LAW.tokens_to(1e6, 1.6) == float("inf")


@given(st.floats(1e6, 1e14), st.floats(1.9, 3.0))
def test_a_model_that_is_served_is_smaller_and_trained_for_longer(served: float, loss: float) -> None:
    """Sardana & Frankle 2023: and over its life nothing that reaches the loss costs less."""
    trained, life = cheapest(LAW, loss, 0.0, CANDIDATES), cheapest(LAW, loss, served, CANDIDATES)
    if trained is None:
        assert life is None
        return
    assert life.candidate.size <= trained.candidate.size
    assert life.tokens >= trained.tokens
    assert life_flops(life, served) <= life_flops(trained, served) * (1 + 1e-12)
    assert life_flops(life, served) == pytest.approx(life.candidate.flops_per_token * (life.tokens + served / 3))
    others = [(LAW.tokens_to(one.size, loss) + served / 3) * one.flops_per_token for one in CANDIDATES]
    assert life_flops(life, served) == pytest.approx(min(others))


def test_an_operation_costs_what_the_calibration_and_the_hours_say() -> None:
    series = {"2026-03-02T17": 100.0, "2026-03-02T18": 900.0}
    price = Price(
        RATES, Outlook(Intensity(Bounds(1.0, 2.0, 3.0), "mean", series=series, pue=Bounds(1.5, 1.5, 1.5))), NOW
    )
    hour = FLOPS_PER_S * 3600
    assert price.seconds(hour) == pytest.approx(3600)
    assert price.kwh(hour) == pytest.approx(RATES.watts / 1000)
    low, mid, high = (joules / RATES.joules_per_step[1] for joules in RATES.joules_per_step)
    assert price.grams(hour).mid == pytest.approx(RATES.watts / 1000 * 1.5 * 100)
    assert price.grams(2 * hour).mid == pytest.approx(RATES.watts / 1000 * 1.5 * 1000)
    assert price.grams(hour).low == pytest.approx(price.grams(hour).mid * low / mid)
    assert price.grams(hour).high == pytest.approx(price.grams(hour).mid * high / mid)
    for grams in (1e-3, price.grams(hour).mid, price.grams(1.5 * hour).mid):
        assert price.grams(price.flops_for(grams)).mid == pytest.approx(grams)
    later = replace(price, now=NOW + timedelta(hours=1))
    assert later.grams(hour).mid == pytest.approx(9 * price.grams(hour).mid)
