"""A run whose budget is spent: a state of its own, exit 75, the stage undone; raised, it goes on to the same bytes."""

import importlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from components.core.errors import Stopped
from components.params import Params
from flows import forms
from flows.forms import STUDIES
from tests.errors import shows
from tests.flows.pipeline_clone import PipelineClone


@pytest.mark.parametrize("name", STUDIES)
def test_a_sweep_and_a_trial_stop_by_that_name_too(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def spent(*_: object) -> Path:
        raise Stopped("BudgetReached", "runtime.budget.project: all of 1 kWh is used")

    monkeypatch.setattr(forms.recovery, "label_flow_run", lambda id: None)
    monkeypatch.setattr(forms.schema, "load", lambda path: Params())
    study = importlib.import_module(f"flows.{name}").STUDY
    state = forms.study_form(replace(study, run=spent)).fn()
    assert (state.name, state.is_cancelled()) == ("BudgetReached", True)
    assert "runtime.budget.project: all of 1 kWh is used" in state.message


@pytest.mark.long
@pytest.mark.pipeline
def test_a_spent_budget_stops_and_a_raised_one_goes_on(
    migrated_clone: PipelineClone, finished_outputs: Callable[[], dict[str, str]]
) -> None:
    params = migrated_clone.root / "params.yaml"
    without = params.read_text()
    migrated_clone.edit("params.yaml", "    hours: 0.0  # Wall", "    hours: 0.001  # Wall")
    with migrated_clone.prefect():
        output = migrated_clone.run("greenhouse", "run", expect=75)
        assert "pipeline: BudgetReached after" in output
        shows(output, "BudgetLimits.check", "runtime.budget")
        states = {state for (state,) in migrated_clone.prefect_rows("select state_name from flow_run")}
        assert states & {"BudgetReached", "Failed", "Crashed", "AwaitingRetry"} == {"BudgetReached"}
        done = set(migrated_clone.outputs()) if (migrated_clone.root / "dvc.lock").exists() else set()
        assert "data/dedup" not in done, "the budget was spent before"
        params.write_text(without)
        migrated_clone.run("greenhouse", "run", "--until", "dedup")
    undisturbed, resumed = finished_outputs(), migrated_clone.outputs()
    assert done < resumed.keys()  # what it stopped was not recorded, and now is
    assert "data/dedup" in resumed
    assert resumed.items() <= undisturbed.items()
