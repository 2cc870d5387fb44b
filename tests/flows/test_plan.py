"""The plan: sums of intervals, and what it says when there is nothing to say."""

import pytest

from components.carbon.forecast import Forecast, StageForecast
from components.carbon.intensity import Grams, Intensity
from flows.plan import render, total

GRID = Intensity(Grams(400.0, 500.0, 600.0), "a grid made up for this test")


def test_half_widths_of_independent_stages_add_in_quadrature() -> None:
    added = total([Forecast(7.0, 10.0, 14.0), Forecast(16.0, 20.0, 23.0)])
    assert added.mid == 30.0
    assert added.low == pytest.approx(30 - 5)
    assert added.high == pytest.approx(30 + 5)


def test_the_table_has_grams_with_pue_and_names_stages_without_history() -> None:
    row = StageForecast("dedup", Forecast(7.0, 10.0, 14.0), Forecast(0.001, 0.002, 0.004), "3 runs of the same inputs")
    text = render([row], ["filter"], GRID, pue=2.0)
    assert "10 (7 to 14)" in text
    assert "2 (1 to 4)" in text  # grams: 0.002 kWh x 500 g/kWh x 2
    assert "3 runs of the same inputs" in text
    assert "no forecast: filter" in text
    assert "made up for this test" in text


def test_nothing_stale_is_said() -> None:
    assert "nothing to do" in render([], [], GRID, pue=1.0)
