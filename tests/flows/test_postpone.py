"""A run that waits for cleaner hours: a scheduled state in Prefect, on a clock of the test's."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from components.carbon.forecast import forecast
from components.carbon.ledger import Ledger
from components.errors import UserError
from components.params import Grid
from flows import house, postpone
from tests.components.carbon.test_forecast import span

NOW = datetime(2026, 3, 2, 17, 20, tzinfo=UTC)


def test_a_deadline_is_a_time_to_come() -> None:
    assert postpone.deadline_of("2026-03-02T19:00", NOW) == datetime(2026, 3, 2, 19, tzinfo=UTC)
    assert postpone.deadline_of("2026-03-02T19:00+02:00", NOW + timedelta(hours=-1)).hour == 19
    with pytest.raises(UserError, match="no time"):
        postpone.deadline_of("tomorrow", NOW)
    with pytest.raises(UserError, match="is past"):
        postpone.deadline_of("2026-03-02", NOW)


def test_work_waits_for_the_clean_hours(tmp_path: Path) -> None:
    csv = tmp_path / "grid.csv"
    csv.write_text("time,g_per_kwh\n2026-03-02T17:00,400\n2026-03-02T18:00,400\n2026-03-02T19:00,50\n")
    grid = Grid(zone="FRA", series=str(csv))
    known = forecast(Ledger([span(0, 100.0), span(1, 110.0)]), "dedup")
    assert known
    start = postpone.start_of([known], grid, "2026-03-02T20:00", NOW)
    assert start.at == NOW.replace(hour=19, minute=0)
    assert postpone.worth_waiting(start, NOW)
    assert start.saved_grams == pytest.approx(start.grams_now * 7 / 8, rel=0.01)
    assert not postpone.worth_waiting(postpone.start_of([known], Grid(zone="FRA"), "2026-03-02T20:00", NOW), NOW)


@pytest.mark.slow
def test_it_is_scheduled_until_its_time_and_then_runs() -> None:
    house.settle()
    from prefect import flow
    from prefect.client.orchestration import get_client
    from prefect.testing.utilities import prefect_test_harness

    clock, seen = [datetime.now(UTC) - timedelta(hours=2)], []
    at = clock[0] + timedelta(hours=1)

    @flow(name="waits")
    def waits(number: int) -> int:
        return number

    def sleep(seconds: float) -> None:
        with get_client(sync_client=True) as client:
            seen.extend(run.state.type.value for run in client.read_flow_runs() if run.state)
        clock[0] += timedelta(minutes=20)

    with prefect_test_harness(server_startup_timeout=120):
        state = postpone.run_at(waits, at, {"number": 7}, lambda: clock[0], sleep)
        assert state.is_completed()
        assert state.result() == 7
    assert seen == ["SCHEDULED"] * 3
