"""The start that emits least before a deadline, on a made-up clock and grid."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.carbon.footprint.intensity import Grams, Intensity
from components.carbon.planning.grid_schedule import Outlook, best_start, climatology, next_clean

NOW = datetime(2026, 3, 2, 17, 20, tzinfo=UTC)  # a Monday
MEAN = Grams(80.0, 100.0, 120.0)


def series(values: list[float], start: datetime) -> Intensity:
    hours = {(start + timedelta(hours=n)).strftime("%Y-%m-%dT%H"): value for n, value in enumerate(values)}
    return Intensity(MEAN, "mean", series=hours, series_source="a series")


def test_the_cleanest_hours_before_the_deadline_are_taken() -> None:
    grid = series([300, 300, 250, 60, 50, 200, 10], NOW.replace(minute=0))  # 17:00 to 23:00
    found = best_start(NOW, NOW.replace(hour=23, minute=0), 7200, 7200, 0.5, grid, pue=1.2)
    assert found.at == NOW.replace(hour=20, minute=0)
    assert found.grams == pytest.approx(0.5 * 1.2 * 55)
    assert found.grams_now == pytest.approx(0.5 * 1.2 * (300 * 100 / 120 + 250 * 20 / 120))
    assert found.saved_grams == pytest.approx(found.grams_now - found.grams)
    assert "the same 500 Wh" in found.told(NOW)
    assert "hourly series" in found.basis


def test_the_upper_end_of_the_duration_must_fit_before_the_deadline() -> None:
    grid = series([300, 300, 250, 60, 50, 200, 10, 10], NOW.replace(minute=0))
    found = best_start(NOW, NOW.replace(hour=20, minute=30), 3600, 7200, 1.0, grid, 1.0)
    assert found.at == NOW.replace(hour=18, minute=30)
    late = best_start(NOW, NOW + timedelta(minutes=10), 3600, 7200, 1.0, grid, 1.0)
    assert (late.at, late.in_time) == (NOW, False)


def test_beyond_the_series_the_hour_of_the_week_is_what_it_usually_is() -> None:
    """Two past weeks in which nights are clean; nothing is known of the coming one."""
    past = NOW.replace(hour=0, minute=0) - timedelta(days=14)
    grid = series([20.0 if n % 24 < 5 else 400.0 for n in range(14 * 24)], past)
    assert climatology(grid.series)[1, 3] == Grams(20.0, 20.0, 20.0)
    found = best_start(NOW, NOW + timedelta(hours=20), 3600, 3600, 1.0, grid, 1.0)
    assert found.at == datetime(2026, 3, 3, 0, 0, tzinfo=UTC)
    assert found.basis == "usual for the hour of the week"


def test_a_grid_that_never_changes_gives_no_reason_to_wait() -> None:
    found = best_start(NOW, NOW + timedelta(days=2), 3600, 3600, 1.0, Intensity(MEAN, "mean"), 1.0)
    assert found.at == NOW
    assert found.saved_grams == 0
    assert "starts now" in found.told(NOW)


@given(st.lists(st.floats(1, 900), min_size=30, max_size=30), st.integers(60, 36_000), st.integers(0, 20))
def test_no_start_is_better_and_the_energy_is_the_same(values: list[float], seconds: int, hours: int) -> None:
    grid = series(values, NOW.replace(minute=0))
    deadline = NOW + timedelta(hours=hours)
    found = best_start(NOW, deadline, seconds, seconds, 2.0, grid, 1.0)
    assert found.kwh == 2.0
    assert found.saved_grams >= -1e-9
    outlook = Outlook(grid)
    for minutes in range(0, int(hours * 60 - seconds / 60), 60):
        at = NOW.replace(minute=0) + timedelta(hours=1, minutes=minutes)
        if at + timedelta(seconds=seconds) <= deadline:
            assert found.grams <= outlook.grams(at, seconds, 2.0, 1.0).mid + 1e-6


def test_the_outlook_has_bounds_of_what_it_rests_on() -> None:
    """An hour of the series is what it says; the same hour of next week is between the least and the most it was."""
    grid = series([100.0] + [500.0] * 167 + [300.0], NOW.replace(minute=0))  # 17:00 this Monday and the next
    outlook = Outlook(grid)
    assert outlook.at(NOW) == Grams(100.0, 100.0, 100.0)
    assert outlook.at(NOW + timedelta(days=14)) == Grams(100.0, 200.0, 300.0)
    half_an_hour_of_each = outlook.per_kwh(NOW.replace(minute=30), 3600)
    assert half_an_hour_of_each.mid == pytest.approx(300.0)
    assert outlook.sources == ["a series", "the usual for the hour of the week in a series"]
    unknown = Outlook(Intensity(MEAN, "the mean of a country"))
    assert unknown.grams(NOW, 7200, 2.0, 1.5).low == pytest.approx(2 * 1.5 * 80)
    assert unknown.sources == ["the mean of a country"]


def test_years_of_work_are_priced_as_four_weeks() -> None:
    outlook = Outlook(series([100.0, 300.0] * 84, NOW.replace(minute=0) - timedelta(days=7)))
    assert outlook.per_kwh(NOW.replace(minute=0), 1e12).mid == pytest.approx(200.0)


def test_the_next_clean_hour() -> None:
    outlook = Outlook(series([400.0, 300.0, 90.0, 50.0], NOW.replace(minute=0)))  # 17:00 to 20:00; then the mean, 100
    deadline = NOW + timedelta(hours=6)
    assert next_clean(NOW, 90.0, deadline, outlook) == NOW.replace(hour=19, minute=0)
    assert next_clean(NOW, 400.0, deadline, outlook) == NOW
    assert next_clean(NOW, 60.0, deadline, outlook) == NOW.replace(hour=20, minute=0)
    assert next_clean(NOW, 40.0, deadline, outlook) is None
    assert next_clean(NOW, 90.0, NOW.replace(hour=19, minute=0), outlook) is None  # the deadline comes first
