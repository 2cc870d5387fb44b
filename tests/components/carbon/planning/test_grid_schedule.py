"""The grid's coming hours, on a made-up clock and grid."""

from datetime import UTC, datetime, timedelta

import pytest

from components.carbon.footprint.intensity import Intensity
from components.carbon.planning.grid_schedule import Outlook, cleanest_start, climatology
from components.carbon.spans import Bounds

NOW = datetime(2026, 3, 2, 17, 20, tzinfo=UTC)  # a Monday
MEAN = Bounds(80.0, 100.0, 120.0)


def series(values: list[float], start: datetime) -> Intensity:
    hours = {(start + timedelta(hours=n)).strftime("%Y-%m-%dT%H"): value for n, value in enumerate(values)}
    return Intensity(MEAN, "mean", series=hours, series_source="a series")


def test_beyond_the_series_the_hour_of_the_week_is_what_it_usually_is() -> None:
    """Two past weeks in which nights are clean; nothing is known of the coming one."""
    past = NOW.replace(hour=0, minute=0) - timedelta(days=14)
    grid = series([20.0 if n % 24 < 5 else 400.0 for n in range(14 * 24)], past)
    assert climatology(grid.series)[1, 3] == Bounds(20.0, 20.0, 20.0)
    outlook = Outlook(grid)
    assert outlook.at_hour(datetime(2026, 3, 3, 0, 0, tzinfo=UTC)) == Bounds(20.0, 20.0, 20.0)
    assert outlook.sources == ["the usual for the hour of the week in a series"]


def test_the_outlook_has_bounds_of_what_it_rests_on() -> None:
    """An hour of the series is what it says; the same hour of next week is between the least and the most it was."""
    grid = series([100.0] + [500.0] * 167 + [300.0], NOW.replace(minute=0))  # 17:00 this Monday and the next
    outlook = Outlook(grid)
    assert outlook.at_hour(NOW) == Bounds(100.0, 100.0, 100.0)
    assert outlook.at_hour(NOW + timedelta(days=14)) == Bounds(100.0, 200.0, 300.0)
    half_an_hour_of_each = outlook.per_kwh(NOW.replace(minute=30), 3600)
    assert half_an_hour_of_each.mid == pytest.approx(300.0)
    assert outlook.sources == ["a series", "the usual for the hour of the week in a series"]
    unknown = Outlook(Intensity(MEAN, "the mean of a country", pue=Bounds(1.1, 1.5, 2.0)))
    assert unknown.per_kwh(NOW, 7200).as_list() == pytest.approx([1.1 * 80, 1.5 * 100, 2.0 * 120])
    assert unknown.sources == ["the mean of a country"]


def test_work_starts_where_all_of_its_hours_are_cleanest() -> None:
    """17:00 to 22:00; a single clean hour does for short work, for long work the two in a row do."""
    outlook = Outlook(series([400.0, 50.0, 400.0, 90.0, 90.0, 400.0], NOW.replace(minute=0)))
    assert cleanest_start(outlook, NOW, 3600, 5.0) == NOW.replace(hour=18, minute=0)
    assert cleanest_start(outlook, NOW, 5400, 5.0) == NOW.replace(hour=20, minute=0)
    assert cleanest_start(outlook, NOW, 5400, 2.0) == NOW.replace(hour=18, minute=0)  # as the next is too late
    assert cleanest_start(outlook, NOW, 3600, 0.5) == NOW  # 18:00 is not within half an hour
    assert cleanest_start(outlook, NOW, 3600, 0.7) == NOW.replace(hour=18, minute=0)
