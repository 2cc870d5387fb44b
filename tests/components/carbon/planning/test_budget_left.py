"""What a run that begins may use: its own limits whole, the project's less what the ledger has used."""

from dataclasses import replace

import pytest

from components.carbon.footprint.intensity import resolve
from components.carbon.ledger.reader import Ledger
from components.carbon.planning.budget_left import NO_LIMIT, Amounts, remaining_to_begin
from components.params import Budget, Grid, ProjectBudget
from tests.components.carbon.planning.test_forecast import span

FRANCE = resolve(Grid(zone="FRA"))  # 56 g/kWh
SPAN = span(0, 1000.0)
BOOKS = Ledger([replace(SPAN, hours={"2026-01-01T00": SPAN.energy})])


def test_the_run_has_its_limits_and_the_project_what_is_left() -> None:
    limits = Budget(hours=2.0, project=ProjectBudget(hours=1.0, kwh=1.0, grams=1.0))
    run, project = remaining_to_begin(limits, BOOKS, FRANCE, pue=2.0)
    assert run == Amounts(2.0, NO_LIMIT, NO_LIMIT)
    kwh = BOOKS.energy.mid_kwh
    assert kwh > 0
    assert project.hours == pytest.approx(1.0 - 1000 / 3600)
    assert project.kwh == pytest.approx(1.0 - kwh)
    assert project.grams == pytest.approx(1.0 - 56 * 2 * kwh)
    assert run.minimum(project) == project


def test_a_project_that_overspent_has_nothing_left() -> None:
    run, project = remaining_to_begin(Budget(kwh=1.0, project=ProjectBudget(hours=0.1)), BOOKS, FRANCE, 1.0)
    assert run.minimum(project) == Amounts(0.0, 1.0, NO_LIMIT)
