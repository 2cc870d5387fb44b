"""The grid's coming hours, and pauses in dirty ones before a clean one, on a made-up clock and grid."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from components.carbon.footprint.intensity import Intensity
from components.carbon.planning.grid_schedule import Outlook, climatology, next_clean, pauses, resumes_at
from components.carbon.spans import Bounds
from components.core.errors import Stopped
from components.params import Grid, Runtime

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
    assert next_clean(NOW, 100.0, NOW + timedelta(hours=20), outlook) == datetime(2026, 3, 3, 0, 0, tzinfo=UTC)
    assert outlook.sources == ["the usual for the hour of the week in a series"]


def test_the_outlook_has_bounds_of_what_it_rests_on() -> None:
    """An hour of the series is what it says; the same hour of next week is between the least and the most it was."""
    grid = series([100.0] + [500.0] * 167 + [300.0], NOW.replace(minute=0))  # 17:00 this Monday and the next
    outlook = Outlook(grid)
    assert outlook.at(NOW) == Bounds(100.0, 100.0, 100.0)
    assert outlook.at(NOW + timedelta(days=14)) == Bounds(100.0, 200.0, 300.0)
    half_an_hour_of_each = outlook.per_kwh(NOW.replace(minute=30), 3600)
    assert half_an_hour_of_each.mid == pytest.approx(300.0)
    assert outlook.sources == ["a series", "the usual for the hour of the week in a series"]
    unknown = Outlook(Intensity(MEAN, "the mean of a country", pue=Bounds(1.1, 1.5, 2.0)))
    assert unknown.per_kwh(NOW, 7200).as_list() == pytest.approx([1.1 * 80, 1.5 * 100, 2.0 * 120])
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


# -- pauses --------------------------------------------------------------------------------------------------------

DAY = "time,g_per_kwh\n2026-03-02T17:00,100\n2026-03-02T18:00,400\n2026-03-02T19:00,300\n2026-03-02T20:00,90\n"


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    (tmp_path / "grid.csv").write_text(DAY)
    return Runtime(grid=Grid(zone="POL", series="grid.csv"), pause_above=150.0, pause_hours=3.0)


def test_it_works_in_clean_hours_and_pauses_when_a_dirty_one_begins(runtime: Runtime, tmp_path: Path) -> None:
    clock = [NOW]
    check = pauses(runtime, tmp_path, lambda: clock[0])
    check()
    clock[0] = NOW.replace(hour=17, minute=59)
    check()
    clock[0] = NOW.replace(hour=18, minute=0)
    with pytest.raises(Stopped, match=r"runtime\.pause_above: .* 150 g/kWh; .* from 2026-03-02 20:00 UTC") as stop:
        check()
    assert stop.value.name == "Paused"
    assert resumes_at(runtime, clock[0], tmp_path) == NOW.replace(hour=20, minute=0)
    clock[0] = NOW.replace(hour=20, minute=0)
    pauses(runtime, tmp_path, lambda: clock[0])()  # resumed


def test_without_a_clean_hour_in_time_it_says_so_once_an_hour_and_goes_on(
    runtime: Runtime, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [NOW.replace(hour=18)]
    check = pauses(runtime.model_copy(update={"pause_hours": 1.0}), tmp_path, lambda: clock[0])
    for _ in range(3):
        check()
        clock[0] += timedelta(minutes=5)
    assert capsys.readouterr().out.count("and so is every hour known of the next 1: going on") == 1


def test_never_is_the_default_and_a_yearly_mean_gives_no_reason(tmp_path: Path) -> None:
    pauses(Runtime(grid=Grid(series="not-there.csv")), tmp_path)()
    assert Runtime().pause_above is None
    assert resumes_at(Runtime(), NOW) == NOW
    dirty = Runtime(grid=Grid(zone="POL"), pause_above=100.0)
    assert resumes_at(dirty, NOW) is None
    pauses(dirty, clock=lambda: NOW)()
