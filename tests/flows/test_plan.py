"""The plan: the table, what it says when there is nothing to say, and on what a stage's forecast rests."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from components.carbon.footprint.intensity import Intensity
from components.carbon.ledger.reader import Ledger, history, read
from components.carbon.planning.forecast import ORCHESTRATION_NAME, StageForecast
from components.carbon.spans import Bounds
from components.params import Budget, Grid, Params, ProjectBudget, Runtime, parse
from flows import plan
from flows.plan import PlanRow, render
from flows.planning import stage_forecast, step_cost
from flows.system import dvc, paths
from greenhouse_record.metering.meter import Meter
from tests.components.carbon.planning.test_forecast import pipeline, span
from tests.components.carbon.planning.test_step_cost_table import RATES

NOW = datetime(2026, 3, 2, 17, 0, tzinfo=UTC)
GRID = Intensity(Bounds(400.0, 500.0, 600.0), "a grid made up for this test")


def test_the_table_has_reasons_grams_with_pue_and_stages_without_history() -> None:
    said = StageForecast("dedup", Bounds(7.0, 10.0, 14.0), Bounds(0.001, 0.002, 0.004), "3 runs of the same inputs")
    rows = [PlanRow("dedup", "key dedup.threshold: 0.7 -> 0.8", said), PlanRow("filter", "follows dedup", None)]
    rows.append(PlanRow("finetune@classify", "edited rows", None))
    text = render(rows, replace(GRID, pue=Bounds(2.0, 2.0, 2.0)), NOW)
    assert "10 (7..14)" in text
    assert "2 (0.8..4.8)" in text  # grams: 0.002 kWh x 500 g/kWh x 2, from 0.001 x 400 x 2 to 0.004 x 600 x 2
    assert "key dedup.threshold: 0.7 -> 0.8; 3 runs of the same inputs" in text
    assert "follows dedup; no run here to go by" in text
    assert "edited rows; no run here on its base and data to go by" in text, "it has run, on others"
    assert "without 2 with no run here to go by" in text
    wide = [PlanRow("pretrain@causal", "why", StageForecast("x", Bounds(12345, 67890, 98765.0), Bounds(0, 0, 0), ""))]
    assert render(wide, GRID, NOW).splitlines()[1].split()[:3] == (
        ["pretrain@causal", "6.79e+04", "(1.23e+04..9.88e+04)"]
    )
    assert "made up for this test" in text


def test_grams_are_those_of_the_hours_each_stage_would_run_in() -> None:
    """The second stage begins in the next hour, in which the user's series says a tenth."""
    grid = Intensity(
        GRID.mean, GRID.source, series={"2026-03-02T17": 400.0, "2026-03-02T18": 40.0}, series_source="csv"
    )
    hour = Bounds(3000.0, 3600.0, 4000.0)
    kwh = Bounds(0.5, 1.0, 2.0)
    rows = [PlanRow(stage, "why", StageForecast(stage, hour, kwh, "")) for stage in ("dedup", "filter")]
    lines = render(rows, grid, NOW).splitlines()
    assert "400 (200..800)" in lines[1]
    assert "40 (20..80)" in lines[2]
    assert "440 (" in lines[3]
    assert lines[-1] == "grid: csv; PUE 1, of the machine alone"


def test_the_plan_says_whether_it_fits_the_budget(checkout: Path) -> None:
    said = StageForecast("dedup", Bounds(7.0, 10.0, 36.0), Bounds(0.001, 0.002, 0.004), "")
    rows = [PlanRow("dedup", "why", said), PlanRow("filter", "follows dedup", None)]
    rows.append(PlanRow("finetune@classify", "edited rows", None))
    assert plan.budget_line(rows, Params(), NOW) == ""
    grid = Grid(grams_per_kwh=500.0, pue=1.0)
    enough = Params(runtime=Runtime(grid=grid, budget=Budget(kwh=0.005, project=ProjectBudget(hours=1.0))))
    told = plan.budget_line(rows, enough, NOW)
    assert told == "budget: 1 h, 0.005 kWh left, up to 0.01 h, 0.004 kWh, 2 gCO2e needed: it fits"
    scarce = Params(runtime=Runtime(grid=grid, budget=Budget(grams=1.9)))
    assert "1.9 gCO2e left" in plan.budget_line(rows, scarce, NOW)
    assert "does not fit: lower pretrain.*.steps" in plan.budget_line(rows, scarce, NOW)


def test_nothing_stale_is_said() -> None:
    assert "nothing to do" in render([], GRID, NOW)


def test_every_stage_that_will_run_is_a_row_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed key, what follows it, a calibration for what pretrains, and nothing for what stays."""
    stages = {"ingest": [], "dedup": ["ingest"], "pretrain@causal": ["dedup"], "evaluate": ["pretrain@causal"]}
    asked = list[Params]()
    monkeypatch.setattr(dvc, "graph", lambda: stages)
    monkeypatch.setattr(dvc, "stale", lambda: {"dedup": ["key dedup.threshold: 0.7 -> 0.8", "file x: modified"]})
    monkeypatch.setattr(dvc, "fingerprints", lambda: dict.fromkeys(stages, "f"))
    monkeypatch.setattr(step_cost, "measured", lambda params: asked.append(params) or {"causal": RATES})
    books = Ledger([span(0, 10.0), span(1, 10.0), span(2, 99.0, fingerprint="other")])
    dedup, pretrain, evaluate = plan.stale_rows(Params(), books)
    assert [row.stage for row in (dedup, pretrain, evaluate)] == list(stages)[1:]
    assert dedup.reason == "key dedup.threshold: 0.7 -> 0.8"
    assert dedup.expected is not None
    assert dedup.expected.basis == "2 runs of the same inputs"
    assert (pretrain.reason, evaluate.reason) == ("follows dedup", "follows pretrain@causal")
    assert pretrain.expected is not None
    assert pretrain.expected.basis.startswith("calibration: ")
    assert evaluate.expected is None
    assert asked == [Params()]

    monkeypatch.setattr(dvc, "stale", lambda: {"evaluate": ["never ran"]})
    assert [row.stage for row in plan.stale_rows(Params(), books)] == ["evaluate"]
    assert len(asked) == 1  # nothing pretrains: no calibration
    *_, orchestration = plan.stale_rows(Params(), Ledger([*books, *pipeline(0, 3)]))
    assert orchestration.stage == ORCHESTRATION_NAME
    assert orchestration.expected is not None
    assert orchestration.expected.basis == "1 pipeline run"
    monkeypatch.setattr(dvc, "stale", dict)
    assert plan.stale_rows(Params(), books) == []


def test_pretraining_is_forecast_from_its_calibration_until_the_same_inputs_ran_twice() -> None:
    runs = [span(0, 30), span(1, 31)]
    for one in runs:
        one.labels["stage"] = "pretrain@causal"
    said = stage_forecast.expected(Ledger(runs), "pretrain@causal", "new", Params(), {"causal": RATES})
    assert said is not None
    assert said.basis.startswith("calibration: ")
    assert "at full context, a little high for the 60% with shorter windows" in said.basis
    assert said.seconds.mid == pytest.approx(RATES.seconds(Params().pretrain.causal))
    same = stage_forecast.expected(Ledger(runs), "pretrain@causal", "f", Params(), {"causal": RATES})
    assert same is not None
    assert same.basis == "2 runs of the same inputs"
    assert stage_forecast.expected(Ledger([]), "dedup", "f", Params(), {"causal": RATES}) is None


def test_finetuning_is_forecast_in_proportion_to_steps_batch_and_context() -> None:
    """80, 800 and 800,000 steps had one forecast: that of the earlier run."""
    ours = parse({"finetune": {"classify": {"steps": 80, "batch": 4, "context": 96}}})
    run, train, fold = span(0, 30), span(0, 10), span(0, 5)
    tokens = str(stage_forecast.tokens_of("finetune@classify", ours))
    base_and_data = stage_forecast.trained_on("finetune@classify", ours)
    run.labels = {"stage": "finetune@classify", "tokens": tokens, "trained_on": base_and_data}
    for number, (phase, part) in enumerate({"cross-validate": fold, "train": train}.items()):
        part.id, part.parent, part.labels = f"part{number}", run.id, run.labels | {"phase": phase}
    joules = sum(part.energy.mid_kwh for part in (run, train, fold)) * 3.6e6

    def seconds_and_joules(settings: dict[str, int]) -> tuple[float, float]:
        params = parse({"finetune": {"classify": {"steps": 80, "batch": 4, "context": 96} | settings}})
        said = stage_forecast.expected(Ledger([run, train, fold]), "finetune@classify", "new", params, {})
        assert said is not None
        assert "in proportion to the tokens trained on" in said.basis
        return said.seconds.mid, said.kwh.mid * 3.6e6

    own = (train.energy.mid_kwh + fold.energy.mid_kwh) * 3.6e6
    assert seconds_and_joules({}) == pytest.approx((30, joules))
    assert seconds_and_joules({"steps": 8000}) == pytest.approx((15 + 1500, joules + 99 * own))
    assert seconds_and_joules({"batch": 2}) == pytest.approx((22.5, joules - own / 2))
    assert seconds_and_joules({"context": 192}) == pytest.approx((45, joules + own))
    foreign = parse({"finetune": {"classify": {"base": "bert", "data": "rows.csv"}}})
    assert stage_forecast.expected(Ledger([run, train]), "finetune@classify", "new", foreign, {}) is None
    del run.labels["tokens"]  # a run of before they were noted: nobody knows how long it trained
    assert stage_forecast.expected(Ledger([run, train]), "finetune@classify", "new", ours, {}) is None
    assert stage_forecast.tokens_of("dedup", ours) == 0
    quick = parse({"finetune": {"instruct": {"steps": 3, "batch": 2, "context": 16}}})
    assert stage_forecast.tokens_of("finetune@instruct", quick) == 3 * 2 * 16


def test_what_a_stage_is_given_is_one_of_its_settings() -> None:
    """More text takes longer to filter and other shapes longer to evaluate, with the same section of parameters."""
    source = {"kind": "packages", "name": "a", "packages": ["rich"]}
    shipped = parse({"pretrain": {"causal": {"steps": 8}}})
    text = parse({"pretrain": {"causal": {"steps": 8}}, "ingest": {"sources": [source]}})
    longer = parse({"pretrain": {"causal": {"steps": 9}}})
    deeper = parse({"pretrain": {"causal": {"steps": 8, "model": {"size": 3}}}})
    data = {"ingest", "dedup", "filter", "bias", "mix", "tokenize"}

    def changed(other: Params, of: Callable[[str, Params], object]) -> set[str]:
        stages = [*data, "pretrain@causal", "finetune@classify", "evaluate", "account"]
        return {stage for stage in stages if of(stage, shipped) != of(stage, other)}

    assert changed(text, stage_forecast.settings_of) == data
    assert changed(deeper, stage_forecast.settings_of) == {"pretrain@causal", "evaluate"}
    assert changed(deeper, stage_forecast.trained_on) == {"pretrain@causal", "finetune@classify"}
    assert changed(longer, stage_forecast.settings_of) == {"pretrain@causal"}
    assert changed(longer, stage_forecast.tokens_of) == {"pretrain@causal"}


def test_a_stage_says_before_what_is_compared_after(checkout: Path) -> None:
    errors = []
    for _ in range(2):
        with Meter(paths.LEDGER, 1.0, {"stage": "mix", "run": "r", "fingerprint": "f"}) as meter:
            said = stage_forecast.record_forecast(meter, "mix", "f", Params())
            sum(range(3_000_000))
            totals = meter.totals_now()
        errors.append(stage_forecast.errors([stage_forecast.spent(said, 0.5, totals.mid_kwh)]))
    assert errors[0] == {}  # nothing was known yet
    assert set(errors[1]) == {"forecast_error_pct/seconds", "forecast_error_pct/kwh"}
    assert [line["basis"] for line in history(paths.LEDGER).forecasts] == ["1 run of the stage with other settings"]
    assert read(paths.LEDGER).difference_uj() == 0
