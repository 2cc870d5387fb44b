"""The calibration of `greenhouse plan` and `run --data`: measured once, kept, and named when it was disturbed."""

from dataclasses import replace
from pathlib import Path

import pytest

from components import params as schema
from components.carbon.planning.step_cost_table import DISTURBED
from components.core.files import write_json
from flows.planning import step_cost
from flows.system import paths
from tests.components.carbon.planning.test_step_cost_table import RATES
from tests.errors import refused
from tests.flows.pipeline_clone import ROOT


@pytest.fixture
def params(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> schema.Params:
    """tests/small.yaml, with an empty ledger and no calibrations."""
    monkeypatch.setattr(paths, "ROOT", ROOT)  # whose code is measured
    return schema.load(ROOT / "params.yaml", ROOT / "tests" / "small.yaml")


@pytest.mark.slow
def test_it_is_measured_once_says_so_and_is_not_measured_again(params: schema.Params) -> None:
    said: list[str] = []
    found = step_cost.measured(params, said.append)
    assert set(found) == {"causal", "masked"}
    assert said[0].startswith("calibration: some real training steps of causal and masked")
    assert "tokens/s" in said[1]
    quiet = {branch for branch, one in found.items() if one.waited < DISTURBED}
    assert set(step_cost.known(params)) == quiet  # one that was disturbed is told, and not kept
    assert ("not kept" in said[-1]) == (len(quiet) < 2)
    for branch, one in found.items():
        write_json(step_cost.file_of(branch, params), vars(one))
    said.clear()
    assert step_cost.measured(params, said.append) == found
    assert said == []


def test_one_that_was_disturbed_says_once_that_it_is_not_kept(
    params: schema.Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_cost, "_start", lambda branch, params: None)
    monkeypatch.setattr(step_cost, "_answer", lambda branch, process: vars(replace(RATES, waited=0.4)))
    said: list[str] = []
    assert set(step_cost.measured(params, said.append)) == {"causal", "masked"}
    assert step_cost.known(params) == {}
    assert [line for line in said if "kept" in line] == [said[-1]]
    assert said[-1].startswith("calibration of causal and masked is not kept, since other work had 40% of")
    assert "the next plan measures it again" in said[-1]


def test_of_several_processes_nothing_is_known_and_what_needs_it_says_so(params: schema.Params) -> None:
    several = params.model_copy(update={"numerics": params.numerics.model_copy(update={"processes": 2})})
    assert step_cost.measured(several) == {}
    with refused("step_cost.required", "numerics.processes = 2", "numerics.processes to 1"):
        step_cost.required(several)


def test_the_projects_budget_binds_a_calibration(params: schema.Params) -> None:
    budget = schema.Budget(project=schema.ProjectBudget(hours=1e-9))
    spent = params.model_copy(update={"runtime": params.runtime.model_copy(update={"budget": budget})})
    with refused("step_cost._answer", "pretrain.causal", "runtime.budget.project"):
        step_cost.measured(spent, lambda text: None)


@pytest.mark.slow
def test_a_calibration_that_fails_says_why(params: schema.Params) -> None:
    wrong = params.pretrain.causal.model_copy(update={"model": schema.ModelShape(size=2, width=100, heads=3)})
    broken = params.model_copy(update={"pretrain": params.pretrain.model_copy(update={"causal": wrong})})
    with refused("step_cost._answer", "pretrain.causal", "model.width"):
        step_cost.measured(broken, lambda text: None)
