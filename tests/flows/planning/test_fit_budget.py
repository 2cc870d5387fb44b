"""A budget becomes a number of steps: the most that fit, none that do not, in params.yaml."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components import params as schema
from components.carbon.ledger.reader import Ledger
from components.carbon.planning.forecast import ORCHESTRATION_NAME, Forecast, StageForecast
from components.core.errors import UserError
from components.params import Budget, Grid, Params, ProjectBudget, Runtime, document
from flows.planning import fit_budget
from tests.components.carbon.planning.test_forecast import pipeline, span
from tests.components.carbon.planning.test_step_cost_table import RATES

NOW = datetime(2026, 3, 2, 17, 0, tzinfo=UTC)
FOUND = {"causal": RATES, "masked": replace(RATES, step_s=0.3)}
OTHER = StageForecast("evaluate", Forecast(40, 50, 60), Forecast(2e-4, 3e-4, 4e-4), "")


def params(**budget: object) -> Params:
    return Params(runtime=Runtime(budget=Budget(**budget), grid=Grid(zone="FRA")))  # type: ignore[arg-type]


@given(st.floats(0.05, 20))
def test_the_most_steps_that_fit_the_hours(hours: float) -> None:
    chosen = params(hours=hours)
    budget_left = fit_budget.budget_left_now(chosen, Ledger([]), NOW)
    steps = fit_budget.fitted(chosen, FOUND, [OTHER], budget_left, Ledger([]))
    assert budget_left.contains(*fit_budget.needed(chosen, FOUND, [OTHER], steps, Ledger([])))
    more = {branch: round(number * 1.03) + 2 for branch, number in steps.items()}
    assert not budget_left.contains(*fit_budget.needed(chosen, FOUND, [OTHER], more, Ledger([])))
    shipped = chosen.pretrain.causal.steps / chosen.pretrain.masked.steps
    assert steps["causal"] / steps["masked"] == pytest.approx(shipped, rel=0.05)


def test_grams_and_the_projects_kwh_are_limits_too() -> None:
    spent = Ledger([span(0, 100.0)])
    budget_left = fit_budget.budget_left_now(params(grams=56.0), spent, NOW)  # France: 56 g/kWh
    assert budget_left.contains(60.0, 0.99)
    assert not budget_left.contains(60.0, 1.01)
    budget_left = fit_budget.budget_left_now(params(project=ProjectBudget(kwh=1.0), kwh=2.0), spent, NOW)
    assert budget_left.kwh == pytest.approx(1.0 - spent.energy.mid_kwh)
    assert budget_left.hours == float("inf")


def test_no_budget_and_one_that_is_too_small_are_refused() -> None:
    with pytest.raises(UserError, match="has no limit"):
        fit_budget.budget_left_now(params(), Ledger([]), NOW)
    tiny = params(hours=0.01)
    with pytest.raises(UserError, match=r"and 0\.01 h are left; raise the budget"):
        fit_budget.fitted(tiny, FOUND, [OTHER], fit_budget.budget_left_now(tiny, Ledger([]), NOW), Ledger([]))


def test_grams_are_those_of_the_users_series(tmp_path: Path) -> None:
    """An hour at 100 g/kWh and then one at 900: what fits depends on how long it takes."""
    (tmp_path / "grid.csv").write_text("time,g_per_kwh\n2026-03-02T17:00,100\n2026-03-02T18:00,900\n")
    grid = Grid(zone="FRA", series=str(tmp_path / "grid.csv"))
    budget_left = fit_budget.budget_left_now(
        Params(runtime=Runtime(budget=Budget(grams=200.0), grid=grid)), Ledger([]), NOW
    )
    assert budget_left.contains(3600.0, 1.9)
    assert not budget_left.contains(7200.0, 1.9)
    assert budget_left.contains(7200.0, 0.39)


def test_params_yaml_is_edited_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "params.yaml"
    text, defaults = document.params_text(), document.defaults_text()
    path.with_name("defaults.yaml").write_text(defaults)
    path.write_text(text.replace("    hours: 0.0  # Wall", "    hours: 0.03  # Wall"))
    monkeypatch.setattr(fit_budget.paths, "ROOT", path.parent)
    monkeypatch.setattr(fit_budget.paths, "LEDGER", tmp_path / "ledger")
    monkeypatch.setattr(fit_budget.step_cost, "required", lambda params: FOUND)
    before = schema.load(path)
    said = fit_budget.fit_to_budget(before)
    after = schema.load(path)
    assert 1 < after.pretrain.causal.steps < before.pretrain.causal.steps
    assert f"{after.pretrain.causal.steps:,} steps" in said
    assert "not counted, because they never completed here: " in said
    assert after.pretrain.causal.checkpoint_every < before.pretrain.causal.checkpoint_every
    assert after.runtime == before.runtime
    assert ORCHESTRATION_NAME in said
    found = []
    for spans in ([], pipeline(0, 6)):
        path.write_text(text.replace("    hours: 0.0  # Wall", "    hours: 0.2  # Wall"))
        monkeypatch.setattr(fit_budget.reader, "history", lambda folder, spans=spans: Ledger(spans))
        fit_budget.fit_to_budget(schema.load(path))
        found.append(schema.load(path).pretrain.causal.steps)
    assert 1 < found[1] < found[0]  # orchestration takes its part
