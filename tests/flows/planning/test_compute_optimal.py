"""What the scaling law advises for params.yaml and its budgets, from the file of `greenhouse study scaling`."""

import random
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from components.carbon.footprint.intensity import resolve
from components.carbon.ledger import reader
from components.carbon.ledger.reader import Ledger
from components.carbon.planning.grid_schedule import Outlook
from components.core.files import write_json
from components.params import Budget, Grid, Params, ProjectBudget, Runtime, Scaling
from components.studies.scaling import sweep
from components.studies.scaling.fits import Fits, Price
from flows.planning.compute_optimal import advice, budgets
from tests.components.carbon.planning.test_forecast import span
from tests.components.carbon.planning.test_step_cost_table import RATES
from tests.components.studies.scaling.test_compute_optimal import LAW
from tests.errors import refuses

NOW = datetime(2026, 3, 2, 17, 0, tzinfo=UTC)
SWEEP = Scaling(bootstrap=20)


def params(**budget: object) -> Params:
    return Params(runtime=Runtime(budget=Budget(**budget), grid=Grid(zone="FRA", pue=1.0)))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """reports/scaling after a sweep whose losses are a law's, less 1 % of luck."""
    luck, results = random.Random(1), []
    for cell in sweep.plan(SWEEP):
        loss = LAW.loss(cell.size, cell.tokens) * luck.gauss(1.0, 0.01)
        facts = {"name": cell.name, "purpose": "fit", "width": cell.width, "budget": cell.budget, "size": cell.size}
        results.append(facts | {"tokens": cell.tokens, "flops": cell.flops, "loss": loss})
    folder = tmp_path_factory.mktemp("scaling")
    write_json(
        folder / "scaling.json",
        {"settings": SWEEP.model_dump(mode="json"), "fits": Fits.of(SWEEP, results).as_dict(), "cells": results},
    )
    return folder


@pytest.fixture(autouse=True)
def books(monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """A project that has used 1000 s and 10 kJ."""
    books = Ledger([span(0, 1000.0)])
    monkeypatch.setattr(reader, "read", lambda folder: books)
    return books


def test_without_a_law_it_says_how_to_get_one(tmp_path: Path) -> None:
    refuses(lambda: advice(params(), RATES, NOW, reports=tmp_path), "read_law", "`greenhouse study scaling`")


def test_the_same_loss_for_less_and_the_best_for_each_budget(swept: Path) -> None:
    lines = advice(params(kwh=0.01, hours=2.0), RATES, NOW, flops=3e13, reports=swept).splitlines()
    assert [line[:27].strip() for line in lines[:5]] == [
        "params.yaml", "best for the same compute", "best for 3e+13 FLOP", "best for 2 h", "best for 0.01 kWh"
    ]  # fmt: skip
    assert "3.00e+13 FLOP" in lines[2]
    assert "10 Wh, 0.56 g (" in lines[4]
    for line in lines[:5]:
        low_mid_high = re.search(r"loss ([\d.]+) \(([\d.]+)\.\.([\d.]+)\)$", line)
        assert low_mid_high, line
        mid, low, high = map(float, low_mid_high.groups())
        assert low < mid < high
    (share,) = [line for line in lines if line.startswith("the same loss at ")]
    assert 0 < int(share.split("at ")[1].split("%")[0]) <= 100


def test_what_is_served_counts_and_a_project_that_is_spent_is_said(swept: Path) -> None:
    spent = params(project=ProjectBudget(hours=0.1))
    lines = advice(spent, RATES, NOW, served=1e12, reports=swept).splitlines()
    assert "0 h left of the project's budget: nothing is left" in lines
    (share,) = [line for line in lines if line.startswith("the same loss at ")]
    assert share.endswith("of the carbon of training and serving 1e+12 tokens")
    assert all(", serving " in line for line in lines[:2])
    refuses(lambda: advice(params(), RATES, NOW, served=-1.0, reports=swept), "compute_optimal.advice", "--served")


def test_limits_are_the_runs_and_what_is_left_of_the_projects(books: Ledger) -> None:
    chosen = params(hours=2.0, grams=56.0, project=ProjectBudget(kwh=1.0, hours=0.1))
    price = Price(RATES, Outlook(resolve(chosen.runtime.grid)), NOW)
    found = budgets(chosen, price, books)
    assert list(found) == [
        "2 h", "56 g", "0 h left of the project's budget", "0.997 kWh left of the project's budget"
    ]  # fmt: skip
    assert price.seconds(found["2 h"]) == pytest.approx(7200)
    assert price.kwh(found["56 g"]) == pytest.approx(1.0)
    assert price.kwh(found["0.997 kWh left of the project's budget"]) == pytest.approx(1.0 - 0.01 / 3.6)
    assert found["0 h left of the project's budget"] == 0.0
