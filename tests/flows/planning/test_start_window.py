"""Waiting for the cleanest start, on a clock of the test's."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from components.carbon.footprint.intensity import Intensity, resolve
from components.carbon.planning.forecast import StageForecast
from components.carbon.spans import Bounds
from components.params import Grid, Params, Runtime
from flows.plan import PlanRow, start_line
from flows.planning import start_window

NOW = datetime(2026, 3, 2, 17, 20, tzinfo=UTC)
CLEAN_AT_19 = "time,g_per_kwh\n2026-03-02T17:00,400\n2026-03-02T18:00,400\n2026-03-02T19:00,50\n"


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    (tmp_path / "grid.csv").write_text(CLEAN_AT_19)
    return Runtime(grid=Grid(zone="FRA", series=str(tmp_path / "grid.csv")), start_within_hours=2.0)


def waited(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> datetime:
    """The time at which a run would begin."""
    clock = [NOW]

    def sleep(seconds: float) -> None:
        assert seconds <= 30  # so that Ctrl-C is heeded
        clock[0] += timedelta(seconds=seconds)

    monkeypatch.setattr(start_window.dvc, "graph", lambda: {"dedup": []})
    monkeypatch.setattr(start_window.dvc, "stale", lambda: {"dedup": []})
    monkeypatch.setattr(start_window, "expected", lambda *_: None)
    start_window.wait_for_start(Params(runtime=runtime), lambda: clock[0], sleep)
    return clock[0]


def test_a_run_waits_for_the_cleanest_start_and_says_so(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert waited(runtime, monkeypatch) == NOW.replace(hour=19, minute=0)
    assert capsys.readouterr().out == (
        "pipeline: waits until 2026-03-02 19:00 UTC, the cleanest start within 2 hours (runtime.start_within_hours)\n"
    )


def test_it_begins_at_once_where_no_cleaner_hour_comes_in_time(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert waited(runtime.model_copy(update={"start_within_hours": 1.0}), monkeypatch) == NOW
    assert capsys.readouterr().out == ""


def test_the_plan_names_the_cleanest_start(runtime: Runtime) -> None:
    rows = [PlanRow("dedup", "why", StageForecast("dedup", Bounds(600.0, 900.0, 1200.0), Bounds(1.0, 1.0, 1.0), ""))]
    line = start_line(rows, resolve(runtime.grid), NOW)
    assert line.startswith("cleanest start within 24 hours: 2026-03-02 19:00 UTC, ")
    assert start_line(rows, Intensity(Bounds(80.0, 100.0, 120.0), "mean"), NOW) == ""
