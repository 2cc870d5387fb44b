"""The budget check, on a made-up clock: it warns at 80 %, stops before the step that cannot fit, overshoots by none."""

import itertools
import json
import pickle
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.carbon.footprint.intensity import resolve
from components.carbon.ledger.reader import read
from components.carbon.planning.budget import (
    NO_LIMIT,
    Amounts,
    BudgetLimits,
    budget_check,
    metered,
    remaining_to_begin,
)
from components.carbon.spans import Ledger
from components.core.errors import Stopped
from components.params import Budget as Limits
from components.params import Grid, ProjectBudget, Runtime
from greenhouse_record.metering.meter import Meter
from tests.components.carbon.planning.test_forecast import span
from tests.errors import refused


@dataclass
class Totals:
    """What a fake meter has read."""

    mid_kwh: float
    as_of_s: float = 0.0


def test_the_stop_says_what_is_used_and_what_a_step_needs() -> None:
    budget = BudgetLimits(Amounts(hours=1.0))
    budget.check(Totals(0.0), 1800.0)
    with refused("budget.BudgetLimits.check", "runtime.budget", "0.611 of 1 h", "0.4"):
        budget.check(Totals(0.0), 2200.0)


@pytest.mark.parametrize("lag", [0.0, 0.5], ids=["read now", "read half the time ago"])
@pytest.mark.parametrize("unit", ["hours", "kwh", "grams"])
def test_a_step_is_taken_if_one_as_long_as_the_last_few_fits(unit: str, lag: float) -> None:
    """All runs of four steps at 1 kWh an hour, 2 g per kWh, under all limits. All figures but an older step's are
    whole numbers: what fits exactly is taken.
    """
    each = 2 if unit == "grams" else 1
    for hours, limit in itertools.product(itertools.product((1, 2, 4), repeat=4), range(4, 20)):
        budget = BudgetLimits(Amounts(**{unit: limit * each}), Amounts(3, 3, 6), grams_per_kwh=2.0, began_kwh=100.0)
        used, longest, warned = 3, 0.0, False
        for step in hours:
            used, longest = used + step, max(step, 0.8 * longest)
            elapsed = used - 3
            totals = Totals(100.0 + elapsed * (1 - lag), elapsed * lag * 3600.0)
            if used + longest > limit:
                with pytest.raises(Stopped):
                    budget.check(totals, elapsed * 3600.0)
                break
            warning = budget.check(totals, elapsed * 3600.0)
            assert budget.fraction == pytest.approx((used + longest) / limit, rel=1e-12)
            assert bool(warning) is (budget.fraction >= 0.8 and not warned)
            warned = warned or bool(warning)


def test_of_several_limits_the_nearest_counts() -> None:
    budget = BudgetLimits(Amounts(hours=100.0, kwh=10.0, grams=1000.0), grams_per_kwh=1.0)
    assert budget.check(Totals(4.5), 3600.0) == "budget of the run: 4.5 of 10 kWh used (90% after the next step)"
    assert budget.fraction == pytest.approx(0.9)
    assert BudgetLimits(Amounts()).check(Totals(1e9), 1e9) == "", "there is none"


def test_amounts_without_a_limit_are_not_shown() -> None:
    assert str(Amounts(1.5, NO_LIMIT, 20.0)) == "1.5 h, 20 gCO2e"
    assert str(Amounts(0.0, 0.0, 0.0)) == "0 h, 0 kWh, 0 gCO2e"
    assert str(Amounts(NO_LIMIT, NO_LIMIT, NO_LIMIT)) == ""


@dataclass
class FakeMeter:
    """Reads its counters every second, and when asked; power is whatever the test sets.

    All of the run's energy is of other processes than this one.
    """

    now_s: float = 1000.0
    true_kwh: float = 0.0
    read_kwh: float = 0.0
    read_s: float = 999.0
    asked: int = 0

    def work(self, seconds: float, watts: float) -> None:
        while seconds > 0:
            part = min(seconds, 1.0 - self.now_s % 1.0)
            self.now_s, self.true_kwh, seconds = self.now_s + part, self.true_kwh + part * watts / 3.6e6, seconds - part
            if self.now_s % 1.0 < 1e-9 or 1.0 - self.now_s % 1.0 < 1e-9:
                self.read_kwh, self.read_s = self.true_kwh, self.now_s

    def totals(self, whole_run: bool = False) -> Totals:
        return Totals(self.read_kwh if whole_run else 0.0, self.now_s - self.read_s)

    def totals_now(self, whole_run: bool = False) -> Totals:
        self.asked += 1
        self.read_kwh, self.read_s = self.true_kwh, self.now_s
        return self.totals(whole_run)


@given(st.floats(0.01, 4.0), st.floats(1.0, 200.0), st.floats(1.5, 400.0))
def test_no_limit_is_passed_by_more_than_a_step(step_s: float, watts: float, steps: float) -> None:
    """Also limits below what one interval uses: the check has the counters read when it knows too little."""
    meter = FakeMeter()
    limit = steps * step_s * watts / 3.6e6
    check = budget_check(Runtime(budget=Limits(kwh=limit)), meter, Path("no-ledger"), "r", clock=lambda: meter.now_s)
    taken, stopped = 0, False
    while not stopped:
        try:
            check()
        except Stopped:
            stopped = True
        else:
            meter.work(step_s, watts)
            taken += 1
    assert taken <= steps + 1
    assert taken >= min(steps * 0.8, steps - 2.5)


def test_counters_are_read_before_the_first_reading_and_near_a_limit_only() -> None:
    meter = FakeMeter(true_kwh=7.0, read_kwh=7.0, read_s=1000.0)
    limits = Limits(kwh=100 / 3600, project=ProjectBudget(hours=1000 / 3600))
    check = budget_check(Runtime(budget=limits), meter, Path("no-ledger"), "r", clock=lambda: meter.now_s)
    asked, said = [], []
    for _ in range(90):
        said.append(check())
        asked.append(meter.asked)
        meter.work(1.0, 3.6e6 / 3600)  # a 3600th of a kWh
    assert asked[:80] == [1] * 80
    assert asked[80:] == list(range(2, 12)), "80 are used when one more would be 81"
    assert said[50] == "; 51% of the run's budget; 5% of the project's budget"


def test_hours_that_are_over_keep_their_intensity_when_the_grid_turns_dirty(tmp_path: Path) -> None:
    """1 kWh in a clean hour, and a run that goes on in a dirty one: 50 g stay 50 g."""
    hours, now = tmp_path / "grid.csv", datetime.now(UTC)
    dirty = [(now + timedelta(hours=ahead)).strftime("%Y-%m-%dT%H:00,400") for ahead in (0, 1)]
    hours.write_text("\n".join(["time,g_per_kwh", "2026-01-01T00:00,50", *dirty]) + "\n")
    kwh = [3_600_000_000_000] * 3
    lines = [
        {"kind": "start", "span": "a", "parent": "", "t": "2026-01-01T00:00:00Z", "name": "a", "labels": {"run": "r"}},
        {"kind": "reading", "host": "box", "book": "1", "seq": 1, "t": "2026-01-01T00:30:00Z", "dt_us": 1_800_000_000,
         "counter": "x", "busy_us": 0, "host_uj": {"cpu": kwh}, "source": {"cpu": "measured:rapl"},
         "unattributed_uj": {"cpu": [0] * 3}, "spans": {"a": {"cpu_us": 0, "uj": {"cpu": kwh}}}},
    ]  # fmt: skip
    (tmp_path / "box.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    meter = FakeMeter(true_kwh=1.0, read_kwh=1.0, read_s=1000.0)  # the run's span has the hour's 1 kWh
    grid = Grid(series="grid.csv", pue=1.0)
    tight, wide = Runtime(grid=grid, budget=Limits(grams=49)), Runtime(grid=grid, budget=Limits(grams=60))
    with refused("budget.BudgetLimits.check", "50 of 49 gCO2e"):
        budget_check(tight, meter, tmp_path, "r", tmp_path, clock=lambda: meter.now_s)()
    check = budget_check(wide, meter, tmp_path, "r", tmp_path, clock=lambda: meter.now_s)
    meter.work(10.0, 36.0)  # 0.1 Wh, at 400 g/kWh
    assert check() == "; 83% of the run's budget"  # 50.04 g used, as much again for the next step


# -- what remains -------------------------------------------------------------------------------------------------

FRANCE = resolve(Grid(zone="FRA", pue=2.0))  # 56 g/kWh
SPAN = span(0, 1000.0)
BOOKS = Ledger([replace(SPAN, hours={"2026-01-01T00": SPAN.energy})])


def test_the_run_has_its_limits_and_the_project_what_is_left() -> None:
    limits = Limits(hours=2.0, project=ProjectBudget(hours=1.0, kwh=1.0, grams=1.0))
    run, project = remaining_to_begin(limits, BOOKS, FRANCE)
    assert run == Amounts(2.0, NO_LIMIT, NO_LIMIT)
    kwh = BOOKS.energy.mid_kwh
    assert kwh > 0
    assert project.hours == pytest.approx(1.0 - 1000 / 3600)
    assert project.kwh == pytest.approx(1.0 - kwh)
    assert project.grams == pytest.approx(1.0 - 56 * 2 * kwh)
    assert run.minimum(project) == project
    run, project = remaining_to_begin(Limits(kwh=1.0, project=ProjectBudget(hours=0.1)), BOOKS, FRANCE)
    assert run.minimum(project) == Amounts(0.0, 1.0, NO_LIMIT), "it overspent: nothing is left"
    assert run.contains(Amounts(9.0, 1.0, 9.0)) is True
    assert run.contains(Amounts(0.0, 1.1, 0.0)) is False


# -- outside the pipeline -----------------------------------------------------------------------------------------


def test_the_projects_limits_bind_and_the_runs_do_not(tmp_path: Path) -> None:
    with Meter(tmp_path, 0.1, {"stage": "a", "run": "yesterday"}):
        sum(range(3_000_000))
    used = read(tmp_path).energy.mid_kwh
    (tmp_path / "grid.csv").write_text("time,g_per_kwh\n2026-03-02T17:00,100\n")
    grid, labels = Grid(zone="FRA", series="grid.csv"), {"stage": "scaling", "run": "sweep"}
    for limits in (
        Limits(),
        Limits(kwh=used / 2, hours=1e-9, grams=1e-9),
        Limits(project=ProjectBudget(kwh=100 * used, grams=1000.0)),
    ):
        with metered(tmp_path, Runtime(budget=limits, grid=grid), labels, tmp_path) as (meter, progress):
            progress.raise_if_stopped()
            assert meter is not None
    for spent in (ProjectBudget(kwh=used), ProjectBudget(hours=1e-9), ProjectBudget(grams=used)):
        runtime = Runtime(budget=Limits(project=spent), grid=grid)
        with (
            refused("budget.BudgetLimits.check", "runtime.budget.project", "params.yaml", "KEY=VALUE") as stop,
            metered(tmp_path, runtime, labels, tmp_path),
        ):
            pytest.fail("it began")
        assert stop.value.name == "BudgetReached"
    assert len(read(tmp_path).select(run="sweep")) == 6, "what is refused is metered too"


def test_work_is_limited_while_it_runs_metered_without_limits_or_neither(tmp_path: Path) -> None:
    runtime = Runtime(budget=Limits(project=ProjectBudget(hours=0.5 / 3600)), meter_interval_s=0.2)
    with metered(tmp_path, runtime, {"stage": "b"}) as (meter, progress):
        time.sleep(0.51)
        with refused("budget.BudgetLimits.check", "runtime.budget.project"):
            progress.raise_if_stopped()
    with metered(tmp_path, None, {"stage": "c"}) as (meter, progress):
        assert meter is not None
        progress.raise_if_stopped()
    assert {span.stage for span in read(tmp_path)} == {"b", "c"}
    with metered(None, runtime, {}) as (meter, progress):
        assert meter is None
        progress.raise_if_stopped()


def test_a_stop_comes_out_of_a_worker_process_whole() -> None:
    stop = pickle.loads(pickle.dumps(Stopped("BudgetReached", "all is saved")))
    assert (type(stop), stop.name, str(stop)) == (Stopped, "BudgetReached", "all is saved")
