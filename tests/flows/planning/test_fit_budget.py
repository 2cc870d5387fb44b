"""A budget becomes a number of steps: the most that fit, none that do not, in params.yaml."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components import params as schema
from components.carbon.ledger.reader import Ledger
from components.carbon.planning.budget import Amounts
from components.carbon.planning.forecast import ORCHESTRATION_NAME, StageForecast
from components.carbon.spans import Bounds
from components.params import Budget, Grid, Params, ProjectBudget, Runtime
from flows.planning import fit_budget
from tests.components.carbon.planning.test_forecast import pipeline, span
from tests.components.carbon.planning.test_step_cost_table import RATES
from tests.errors import refuses
from tests.flows.pipeline_clone import write_params

NOW = datetime(2026, 3, 2, 17, 0, tzinfo=UTC)
FOUND = {"causal": RATES, "masked": replace(RATES, step_s=0.3)}
OTHER = StageForecast("evaluate", Bounds(40, 50, 60), Bounds(2e-4, 3e-4, 4e-4), "")


def params(**budget: object) -> Params:
    return Params(runtime=Runtime(budget=Budget(**budget), grid=Grid(zone="FRA", pue=1.0)))  # type: ignore[arg-type]


def fitted(chosen: Params) -> tuple[dict[str, int], Callable[[dict[str, int]], bool]]:
    """Branch -> fitted steps, and whether a run of some steps fits."""
    budget_left, outlook = fit_budget.budget_left_now(chosen, Ledger([]))

    def needs(steps: dict[str, int]) -> Amounts:
        return fit_budget.needed_now(outlook, NOW, *fit_budget.needed(chosen, FOUND, [OTHER], steps, Ledger([])))

    steps = fit_budget.fitted(chosen, budget_left, lambda share: needs(fit_budget.steps_at(chosen, share)))
    return steps, lambda steps: budget_left.contains(needs(steps))


@given(st.floats(0.05, 20))
def test_the_most_steps_that_fit_the_hours(hours: float) -> None:
    chosen = params(hours=hours)
    steps, fits = fitted(chosen)
    assert fits(steps)
    assert not fits({branch: round(number * 1.03) + 2 for branch, number in steps.items()})
    shipped = chosen.pretrain.causal.steps / chosen.pretrain.masked.steps
    assert steps["causal"] / steps["masked"] == pytest.approx(shipped, rel=0.05)


def test_grams_and_the_projects_kwh_are_limits_too() -> None:
    spent = Ledger([span(0, 100.0)])
    budget_left, outlook = fit_budget.budget_left_now(params(grams=56.0), spent)  # France: 56 g/kWh
    assert budget_left.contains(fit_budget.needed_now(outlook, NOW, 60.0, 0.99))
    assert not budget_left.contains(fit_budget.needed_now(outlook, NOW, 60.0, 1.01))
    budget_left, _ = fit_budget.budget_left_now(params(project=ProjectBudget(kwh=1.0), kwh=2.0), spent)
    assert budget_left.kwh == pytest.approx(1.0 - spent.energy.mid_kwh)
    assert budget_left.hours == float("inf")


def test_no_budget_and_one_that_is_too_small_are_refused() -> None:
    refuses(lambda: fit_budget.budget_left_now(params(), Ledger([])), "budget_left_now", "runtime.budget")
    refuses(lambda: fitted(params(hours=0.01)), "fit_budget.fitted", "runtime.budget", "0.01 h")


def test_params_yaml_is_edited_in_place(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_params(checkout, {"runtime.budget.hours": 0.03})
    monkeypatch.setattr(fit_budget.step_cost, "required", lambda params: FOUND)
    before = schema.load(path)
    said = fit_budget.fit_to_budget(before)
    after = schema.load(path)
    assert 1 < after.pretrain.causal.steps < before.pretrain.causal.steps
    assert f"{after.pretrain.causal.steps:,} steps" in said
    assert "not counted, with no run here to go by: " in said
    assert after.pretrain.causal.checkpoint_every < before.pretrain.causal.checkpoint_every
    assert after.runtime == before.runtime
    assert ORCHESTRATION_NAME in said
    found = []
    for spans in ([], pipeline(0, 6)):
        write_params(checkout, {"runtime.budget.hours": 0.2})
        monkeypatch.setattr(fit_budget.reader, "history", lambda folder, spans=spans: Ledger(spans))
        fit_budget.fit_to_budget(schema.load(path))
        found.append(schema.load(path).pretrain.causal.steps)
    assert 1 < found[1] < found[0]  # orchestration takes its part
