"""The sweep: every cell spends its budget, is made once, resumes after a kill, and predictions come before the runs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from components.carbon.ledger.reader import read
from components.core.errors import Stopped
from components.core.files import read_json
from components.model import export
from components.params import Budget, Numerics, ProjectBudget, Runtime, Scaling
from components.studies.scaling import law as scaling_law
from components.studies.scaling import report, sweep
from components.studies.scaling.fits import Fits
from components.studies.scaling.law import Law
from components.studies.scaling.report import predictions
from components.studies.scaling.study import ScalingStudy
from components.studies.scaling.sweep import Cell, plan
from components.studies.trainings import Workplace
from tests.components.small_corpus import NUMERICS, docstrings, write_tokens
from tests.components.task_corpora import plain, write
from tests.errors import refused, refuses

PARAMS = Scaling(
    vocab_size=400, depth=1, widths=[16, 32, 48, 64], budgets=[1e9, 2e9, 4e9], steps=(2, 200), checks=[2.0], seeds=2,
    batch=4, context=64, bootstrap=20,
)  # fmt: skip


def study(folder: Path, params: Scaling = PARAMS) -> ScalingStudy:
    texts = docstrings()
    made = ScalingStudy(params, Workplace(folder, folder, NUMERICS))
    if not made.tokens.exists():
        write(folder / "data/ingest", plain(texts[1:], "numpy"), plain(texts[:1], "numpy.lib"))
        write_tokens(made.tokens)
    return made


def test_every_cell_spends_its_budget() -> None:
    cells = sweep.plan(PARAMS)
    assert len({cell.name for cell in cells}) == len(cells) >= 12
    for cell in cells:
        step = PARAMS.batch * PARAMS.context * cell.flops_per_token
        assert abs(cell.flops - cell.budget) <= step / 2
    for budget in PARAMS.budgets:
        seeds = {cell.seed for cell in cells if cell.budget == budget}
        assert seeds == ({1} if budget == max(PARAMS.budgets) else {1, 2})
    assert [cell.pretrain.steps for cell in cells] == sorted((cell.pretrain.steps for cell in cells), reverse=True)


def test_a_budget_that_fits_too_few_widths_is_refused() -> None:
    with refused("sweep.plan", "budgets 1e+09", "1 of the widths", "50 to 200"):
        sweep.plan(PARAMS.model_copy(update={"steps": (50, 200)}))


def test_a_cell_of_a_masked_sweep_is_about_hidden_tokens(tmp_path: Path) -> None:
    params = PARAMS.model_copy(update={"objective": "masked"})
    made = study(tmp_path, params)
    cell = sweep.plan(params)[-1]
    assert cell.flops_per_token > sweep.cell(PARAMS, cell.width, cell.budget, 1).flops_per_token  # sees both sides
    result = made.result(cell)
    assert export.load(made.folder(cell) / "model")[0].shape.causal is False
    metrics = read_json(made.folder(cell) / "reports" / "metrics.json")
    assert result["loss"] == pytest.approx(metrics["heldout"]["bits_per_hidden_byte"], rel=1e-5)


def test_a_cell_that_the_projects_budget_stopped_goes_on_under_a_larger_one(tmp_path: Path) -> None:
    """Spent before, it does not begin; reached between steps, it stops there, and ends like one never stopped."""
    cell, ledger = sweep.plan(PARAMS)[-1], tmp_path / "ledger"
    straight = study(tmp_path / "straight").result(cell)

    def limited(project: ProjectBudget) -> ScalingStudy:
        runtime, made = Runtime(budget=Budget(project=project), meter_interval_s=0.2), study(tmp_path / "stopped")
        return replace(made, workplace=replace(made.workplace, ledger=ledger, run="sweep", runtime=runtime))

    refuses(lambda: limited(ProjectBudget(hours=1e-9)).result(cell), "BudgetLimits.check", "runtime.budget.project")
    assert not (tmp_path / "stopped/points" / cell.name / "work").exists()
    after = [True, True, False]
    with pytest.MonkeyPatch.context() as patch:  # no clock in a test: the guard lets the start and a step pass
        patch.setattr("components.carbon.planning.budget.budget_check", lambda *_: lambda: after.pop(0) or stop_now())
        with pytest.raises(Stopped):
            limited(ProjectBudget(hours=1.0)).result(cell)
    assert not limited(ProjectBudget()).finished(cell)
    resumed = limited(ProjectBudget(hours=10.0)).result(cell)
    assert {name for name in resumed if resumed[name] != straight[name]} <= {"seconds", "cpu_s", "joules"}
    assert [span.outcome for span in read(ledger)] == ["BudgetReached", "BudgetReached", "Completed"]


def stop_now() -> str:
    raise Stopped("BudgetReached", "the project's")


def made_up(cells: list[Cell], law: scaling_law.Law) -> list[dict]:
    """Results as a law would have them."""
    rows = []
    for cell in cells:
        row = {name: getattr(cell, name) for name in ("name", "purpose", "width", "budget", "seed", "size")}
        row |= {"tokens": cell.tokens, "flops": cell.flops, "loss": law.loss(cell.size, cell.tokens)}
        rows.append(row | {"seconds": 2.0, "cpu_s": 2.0, "joules": 20.0})
    return rows


def test_predictions_are_right_where_the_law_holds_and_the_report_says_how_right(tmp_path: Path) -> None:
    law, params = scaling_law.Law(1.0, 500.0, 0.7, 60.0, 0.35), PARAMS.model_copy(update={"objective": "masked"})
    fits = Fits.of(params, made_up(sweep.plan(params), law))
    expected = report.predictions(fits)
    best = [min(row["loss"] for row in fits.results if row["budget"] == budget) for budget in params.budgets[-2:]]
    assert expected[0]["last_ratio"] == pytest.approx(best[1] ** 2 / best[0], rel=0.01), "one doubling more"
    assert [row["multiple"] for row in expected] == [2.0]
    cells = sweep.check_cells(params, expected[0]["width"], expected[0]["budget"])
    assert [cell.seed for cell in cells] == [1, 2]
    results = fits.results + made_up(cells, law)
    report.write(fits, expected, results, tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "masked runs; loss in bits per byte of hidden" in text
    found = read_json(tmp_path / "scaling.json")
    assert found["goals"]["scaling_error_2x"] < 1e-3
    assert found["goals"]["scaling_error_vs_power_law"] < 0.5
    assert {path.name for path in tmp_path.iterdir()} == {"scaling.json", "report.md", "scaling.png"}
    assert "Standard errors are of 2 runs each" in text
    assert "\n\nStandard errors" not in report._markdown(
        replace(fits, params=params.model_copy(update={"seeds": 3})), []
    )
    wrong = report.checked(expected, made_up(cells, scaling_law.Law(1.2, 500.0, 0.7, 60.0, 0.35)))
    assert wrong[0]["error"] < -0.03
    row, cells = expected[0], made_up(cells, law)
    losses = [cell["loss"] * factor for cell, factor in zip(cells, (0.98, 1.02), strict=True)]
    (found,) = report.checked([row], [cell | {"loss": loss} for cell, loss in zip(cells, losses, strict=True)])
    assert found["losses"] == losses
    assert found["error"] == pytest.approx(row["loss"] / np.mean(losses) - 1)
    assert found["error_se"] == pytest.approx(0.02, rel=1e-3)
    assert report.goals([found])["scaling_error_2x_se"] == found["error_se"]


LAWS = (Law(1.0, 500.0, 0.7, 60.0, 0.35), Law(1.0, 3000.0, 0.7, 6.0, 0.35))


def test_a_resumed_sweep_that_fits_another_law_makes_the_runs_that_it_predicted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after the predictions; the next start's fit (another scipy, another processor) prefers another width."""
    fit, ran = Fits.of, list[str]()

    def run(cells: list[Cell]) -> list[dict]:
        ran.extend(cell.name for cell in cells if cell.purpose == "check")
        if any(cell.purpose == "check" for cell in cells) and len(ran) == len(cells):
            raise KeyboardInterrupt
        return made_up(cells, LAWS[0])

    study, reports = ScalingStudy(PARAMS, Workplace(tmp_path, tmp_path, Numerics())), tmp_path / "reports"
    study.tokens.mkdir()
    with pytest.raises(KeyboardInterrupt):
        study.carry_out(run, reports)
    refitted = Fits.of(PARAMS, made_up(plan(PARAMS), LAWS[1]))
    assert predictions(refitted)[0]["width"] != read_json(tmp_path / "predictions.json")[0]["width"]
    monkeypatch.setattr(Fits, "of", lambda params, results: refitted if results else fit(params, results))
    goals = study.carry_out(run, reports)
    assert ran[:2] == ran[2:]
    found = read_json(reports / "scaling.json")
    assert [len(row["losses"]) for row in found["checks"]] == [PARAMS.seeds]
    assert found["goals"].keys() == goals.keys()
