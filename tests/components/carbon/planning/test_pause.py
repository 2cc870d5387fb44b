"""Pauses on a made-up clock and grid: in a dirty hour before a clean one, and never for nothing."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from components.carbon.planning.pause import pauses, resumes_at
from components.core.errors import Stopped
from components.params import Grid, Runtime

NOW = datetime(2026, 3, 2, 17, 20, tzinfo=UTC)
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
