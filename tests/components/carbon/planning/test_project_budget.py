"""The project's budget over a sweep, a trial or a calibration: it binds them; the limits of a pipeline run do not."""

import pickle
from pathlib import Path

import pytest

from components.carbon.ledger.reader import read
from components.carbon.metering.meter import Meter
from components.carbon.planning.project_budget import ProjectProgress
from components.core.errors import Stopped
from components.params import Budget, Grid, ProjectBudget, Runtime


def test_the_projects_limits_bind_and_the_runs_do_not(tmp_path: Path) -> None:
    with Meter(tmp_path, 0.1, {"stage": "a", "run": "yesterday"}):
        sum(range(3_000_000))
    used = read(tmp_path).energy.mid_kwh
    (tmp_path / "grid.csv").write_text("time,g_per_kwh\n2026-03-02T17:00,100\n")
    grid = Grid(zone="FRA", series="grid.csv")

    def progress(meter: Meter, **budget: object) -> ProjectProgress:
        return ProjectProgress(Runtime(budget=Budget(**budget), grid=grid), meter, tmp_path, tmp_path)  # type: ignore[arg-type]

    with Meter(tmp_path, 0.1, {"stage": "scaling", "run": "sweep"}) as meter:
        progress(meter).raise_if_stopped()
        progress(meter, kwh=used / 2, hours=1e-9, grams=1e-9).raise_if_stopped()
        progress(meter, project=ProjectBudget(kwh=100 * used, grams=1000.0)).raise_if_stopped()
        for spent in (ProjectBudget(kwh=used), ProjectBudget(hours=1e-9), ProjectBudget(grams=used)):
            with pytest.raises(Stopped, match=r"runtime\.budget\.project") as stop:
                progress(meter, project=spent).raise_if_stopped()
            assert stop.value.name == "BudgetReached"


def test_a_stop_comes_out_of_a_worker_process_whole() -> None:
    stop = pickle.loads(pickle.dumps(Stopped("BudgetReached", "all is saved")))
    assert (type(stop), stop.name, str(stop)) == (Stopped, "BudgetReached", "all is saved")
