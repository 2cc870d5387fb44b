"""The plan: the table, what it says when there is nothing to say, and on what a stage's forecast rests."""

from pathlib import Path

import pytest

from components.carbon.forecast import Forecast, StageForecast
from components.carbon.intensity import Grams, Intensity
from components.carbon.ledger import Ledger, history, read
from components.carbon.meter import Meter
from components.params import Params
from flows import house, promise
from flows.plan import Row, render
from tests.components.carbon.test_calibration import RATES
from tests.components.carbon.test_forecast import span

GRID = Intensity(Grams(400.0, 500.0, 600.0), "a grid made up for this test")


def test_the_table_has_reasons_grams_with_pue_and_stages_without_history() -> None:
    said = StageForecast("dedup", Forecast(7.0, 10.0, 14.0), Forecast(0.001, 0.002, 0.004), "3 runs of the same inputs")
    rows = [Row("dedup", "key dedup.threshold: 0.7 -> 0.8", said), Row("filter", "follows dedup", None)]
    text = render(rows, GRID, pue=2.0)
    assert "10 (7..14)" in text
    assert "2 (1..4)" in text  # grams: 0.002 kWh x 500 g/kWh x 2
    assert "key dedup.threshold: 0.7 -> 0.8; 3 runs of the same inputs" in text
    assert "follows dedup; never completed" in text
    assert "made up for this test" in text


def test_nothing_stale_is_said() -> None:
    assert "nothing to do" in render([], GRID, pue=1.0)


def test_pretraining_is_forecast_from_its_calibration_until_the_same_inputs_ran_twice() -> None:
    runs = [span(0, 30), span(1, 31)]
    for one in runs:
        one.labels["stage"] = "pretrain@causal"
    said = promise.expected(Ledger(runs), "pretrain@causal", "new", Params(), {"causal": RATES})
    assert said is not None
    assert said.basis.startswith("calibration: ")
    assert said.seconds.mid == pytest.approx(RATES.seconds(Params().pretrain.causal))
    same = promise.expected(Ledger(runs), "pretrain@causal", "f", Params(), {"causal": RATES})
    assert same is not None
    assert same.basis == "2 runs of the same inputs"
    assert promise.expected(Ledger([]), "dedup", "f", Params(), {"causal": RATES}) is None


def test_a_stage_says_before_what_is_compared_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(house, "LEDGER", tmp_path)
    errors = []
    for _ in range(2):
        with Meter(tmp_path, 1.0, {"stage": "mix", "run": "r", "fingerprint": "f"}) as meter:
            said = promise.promise(meter, "mix", "f", Params())
            sum(range(3_000_000))
            totals = meter.totals_now()
        errors.append(promise.errors([promise.spent(said, 0.5, totals.mid_kwh)]))
    assert errors[0] == {}  # nothing was known yet
    assert set(errors[1]) == {"forecast_error_pct/seconds", "forecast_error_pct/kwh"}
    assert [line["basis"] for line in history(tmp_path).forecasts] == ["1 runs of the stage, other inputs too"]
    assert read(tmp_path).difference_uj() == 0


def test_the_total_leaves_out_stages_without_a_forecast() -> None:
    parts = [
        promise.Spent(90.0, 0.9, 100.0, 1.0),
        promise.Spent(130.0, 1.0, 100.0, 1.0),
        promise.Spent(0, 0, 500.0, 9.0),
    ]
    assert promise.errors(parts, "total_") == {
        "forecast_error_pct/total_seconds": pytest.approx(10.0),
        "forecast_error_pct/total_kwh": pytest.approx(-5.0),
    }
