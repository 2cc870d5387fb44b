"""Forecasts from the ledger's own history: intervals that cover, and halves of runs left out."""

import math
import statistics
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from components.carbon.ledger.reader import Energy, Ledger, Span, history, read
from components.carbon.planning.forecast import (
    ORCHESTRATION_NAME,
    calibrated,
    checked,
    completed,
    error_pct,
    forecast,
    interrupted,
    interval,
    orchestration_forecast,
    total,
)
from components.carbon.spans import Bounds
from greenhouse_record.metering.meter import Meter
from tests.components.carbon.ledger.test_reader import end_of, start_of, write

START = datetime(2026, 1, 1, tzinfo=UTC)


def span(number: int, seconds: float, outcome: str = "Completed", fingerprint: str = "f") -> Span:
    start = START + timedelta(hours=number)
    energy = Energy(1, round(seconds * 10e6), round(seconds * 20e6))
    return Span(
        str(number), "", "dedup", "box", {"stage": "dedup", "fingerprint": fingerprint}, start,
        start + timedelta(seconds=seconds), outcome, parts={"cpu": energy},
    )  # fmt: skip


def test_runs_of_the_same_inputs_are_preferred() -> None:
    assert forecast(Ledger([]), "dedup") is None
    ledger = Ledger([span(0, 10), span(1, 11), span(2, 500, fingerprint="other")])
    found = forecast(ledger, "dedup", "f")
    assert found.basis == "2 runs of the same inputs"
    assert 10 < found.seconds.mid < 11
    assert found.kwh.mid * 3.6e6 / 10 == found.seconds.mid or abs(found.kwh.mid * 3.6e5 - found.seconds.mid) < 1e-6
    mixed = forecast(ledger, "dedup", "new")
    assert "with other settings" in mixed.basis


def test_runs_of_the_same_settings_are_preferred_to_runs_of_others() -> None:
    """A run of 24 steps beside one of 900 made an interval of three orders of magnitude."""
    long, short = span(0, 900, fingerprint="a"), span(1, 24, fingerprint="b")
    long.labels["settings"], short.labels["settings"] = "900 steps", "24 steps"
    found = forecast(Ledger([long, short]), "dedup", "new", "900 steps")
    assert (found.basis, round(found.seconds.mid)) == ("1 run of the same settings, other inputs too", 900)
    assert found.seconds.high < 900 * 3
    other = forecast(Ledger([long, short]), "dedup", "new", "1 step")
    assert other.basis == "2 runs of the stage with other settings"
    assert (found.alike, other.alike) == (True, False)


@pytest.mark.parametrize("num_runs", [1, 4])
def test_runs_with_other_settings_never_promise_a_narrow_interval(num_runs: int) -> None:
    """However equal they are: a small preset was announced with the demo's seconds, three times what it took."""
    ledger = Ledger([span(number, 40) for number in range(num_runs)])
    found = forecast(ledger, "dedup", "new", "other settings")
    assert not found.alike
    assert found.seconds.mid == pytest.approx(40)
    assert found.seconds.low < 40 / 4 < 4 * 40 < found.seconds.high


def pipeline(number: int, stages: int, outcome: str = "Completed") -> list[Span]:
    """A run of 100 s with that many stages of 10 s: 10 J in each, half a joule around each."""
    begin = START + timedelta(hours=number)

    def one(id: str, parent: str, labels: dict[str, str], at: float, seconds: float, joules: float) -> Span:
        start = begin + timedelta(seconds=at)
        parts = {"all": Energy(0, round(joules * 1e6), round(joules * 2e6))}
        end = start + timedelta(seconds=seconds)
        return Span(id, parent, labels.get("stage", labels["run"]), "box", labels, start, end, outcome, parts=parts)

    run = f"run-{number}"
    whole = one(run, "", {"run": run}, 0, 100, stages * 0.5)
    return [whole, *(one(f"{run}-{i}", run, {"run": run, "stage": f"s{i}"}, 10 * i, 10, 10) for i in range(stages))]


def test_what_runs_around_the_stages_is_forecast_from_runs_that_had_some() -> None:
    assert orchestration_forecast(Ledger([]), 3) is None
    assert orchestration_forecast(Ledger([*pipeline(0, 0), *pipeline(1, 4, "BudgetReached"), span(2, 10)]), 3) is None
    ledger = Ledger([*pipeline(0, 0), *pipeline(1, 6), *pipeline(2, 2)])
    found = orchestration_forecast(ledger, 4)
    assert (found.stage, found.basis) == (ORCHESTRATION_NAME, "2 pipeline runs")
    assert found.kwh.low < 2 / 3.6e6 < found.kwh.high
    assert found.kwh.mid == pytest.approx(2 / 3.6e6)  # the stages' own 40 J are not in it
    assert found.seconds.mid == pytest.approx((40 * 4 / 6 * 80 * 4 / 2) ** 0.5)
    assert found.seconds.low < (40 * 4 / 6 * 80 * 4 / 2) ** 0.5 < found.seconds.high
    more = orchestration_forecast(ledger, 12)
    assert more.kwh.mid == pytest.approx(6 / 3.6e6)
    started = replace(span(7, 30), labels={"command": "pipeline", "run": "run-2"}, name="span")  # before that run began
    both = orchestration_forecast(Ledger([started, *pipeline(2, 2)]), 2)
    assert both.seconds.mid == pytest.approx(80 + 30)
    assert both.kwh.mid == pytest.approx((1 + 300) / 3.6e6)


def test_a_resumed_run_is_half_a_run() -> None:
    spans = [span(0, 10), span(1, 4, "Killed"), span(2, 6), span(3, 10)]
    assert [one.span.id for one in completed(Ledger(spans), "dedup")] == ["0", "3"]


def test_half_widths_add_in_part_linearly_for_the_load_is_common() -> None:
    added = total([Bounds(7.0, 10.0, 14.0), Bounds(16.0, 20.0, 23.0)])
    assert added.mid == 30.0
    assert 30.0 - added.low == pytest.approx((0.7 * 7**2 + 0.3 * (3**2 + 4**2)) ** 0.5)
    assert added.high - 30.0 == pytest.approx((0.7 * 7**2 + 0.3 * (4**2 + 3**2)) ** 0.5)


def said(number: int, seconds: float, kwh: float) -> dict:
    """The ledger line of a calibrated forecast, before run `number`."""
    return calibrated(Ledger([]), "dedup", seconds, kwh, "calibration").line() | {
        "span": str(number), "stage": "dedup"
    }  # fmt: skip


def test_a_calibration_is_corrected_by_how_it_has_turned_out() -> None:
    """Its runs took a quarter longer than the steps alone said: the next forecast knows, and its interval narrows."""
    untried = calibrated(Ledger([]), "dedup", 100.0, 0.001, "calibration")
    assert untried.seconds.mid == 100.0
    spans = [span(number, 125.0 + number) for number in range(6)]
    ledger = Ledger(spans, forecasts=[said(number, 100.0, 0.0005) for number in range(6)])
    found = calibrated(ledger, "dedup", 200.0, 0.001, "calibration")
    assert found.seconds.mid == pytest.approx(255.0, rel=0.01)
    assert found.basis == "calibration, corrected by 6 earlier"
    assert found.raw == (200.0, 0.001)
    assert found.seconds.high / found.seconds.low < untried.seconds.high / untried.seconds.low
    assert found.seconds.high < 1.2 * found.seconds.mid


def test_forecasts_are_compared_with_what_came_of_them() -> None:
    spans = [span(0, 100.0), span(1, 80.0, "Killed"), span(2, 60.0), span(3, 125.0)]
    ledger = Ledger(spans, forecasts=[said(number, 100.0, 0.0005) for number in range(4)])
    found = checked(ledger)
    assert [one.seconds for one in found] == [100.0, 125.0]  # the killed one and the one that resumed it are no runs
    assert found[1].errors_pct[0] == pytest.approx(-20.0)
    assert error_pct(120.0, 100.0) == pytest.approx(20.0)
    assert not interrupted(ledger, "dedup", "f")
    assert interrupted(Ledger(spans[:2]), "dedup", "f")
    assert interrupted(Ledger([*spans[:2], span(2, 1.0, "")]), "dedup", "f")  # the present run is in the ledger too


def test_a_longer_finetuning_is_forecast_more_energy_in_proportion_to_its_tokens(tmp_path: Path) -> None:
    """The seconds grew with the steps and the energy did not: in `history` phases had none."""
    labels = {"stage": "finetune@instruct", "fingerprint": "f", "tokens": "1000"}
    write(tmp_path / "box-b0071234.jsonl", [
        start_of("s", second=0, **labels),
        start_of("l", "s", 0, **labels, phase="load"), end_of("l", 10, 15),
        start_of("t", "s", 10, **labels, phase="train"),
        start_of("c", "t", 25, **labels, phase="checkpoint"), end_of("c", 30, 10),
        end_of("t", 30, 80), end_of("s", 30, 100),
    ])  # fmt: skip
    ledger = history(tmp_path)
    own = {one.id: one.energy.mid / 1e6 for one in ledger}
    assert own == {"s": 5, "l": 15, "t": 70, "c": 10}
    (run,) = completed(ledger, "finetune@instruct")
    assert run.with_tokens(1000) == (30, pytest.approx(100 / 3.6e6))
    assert run.with_tokens(10_000) == (10 + 200, pytest.approx((20 + 800) / 3.6e6))
    found = forecast(ledger, "finetune@instruct", "new", tokens=10_000)
    assert found.kwh.mid == pytest.approx(820 / 3.6e6)
    assert found.training_s == pytest.approx(200)


def test_history_is_read_without_the_readings(tmp_path: Path) -> None:
    with Meter(tmp_path, 0.05, {"run": "r"}), Meter(tmp_path, 0.05, {"stage": "mix", "fingerprint": "f"}) as meter:
        meter.record("forecast", **calibrated(Ledger([]), "mix", 1.0, 1e-6, "calibration").line())
        with meter.span("inside"):
            sum(range(2_000_000))
        meter.read()
    quick, whole = history(tmp_path), read(tmp_path)
    (run,) = completed(quick, "mix")
    (same,) = completed(whole, "mix")
    assert quick.inside(run.span).energy == whole.inside(same.span).energy
    assert [one.energy for one in quick] == [one.energy for one in whole]
    assert run.kwh > 0
    assert abs(run.span.seconds - same.span.seconds) < 1e-6
    (one,) = checked(quick)
    assert (one.run, one.forecast.raw) == ("r", (1.0, 1e-6))
    assert checked(whole) == checked(quick)


def test_the_interval_is_students_for_any_number_of_runs() -> None:
    from scipy.stats import norm, t

    alone = interval([10.0], unknown=0.2)
    assert math.log(alone.high / 10) == pytest.approx(norm.ppf(0.9) * 0.2 * math.sqrt(2), rel=1e-3)
    for n in (2, 10, 40):
        values = [math.exp(0.3 * (number % 2)) for number in range(n)]
        found, spread = interval(values), statistics.stdev(map(math.log, values)) * math.sqrt(1 + 1 / n)
        assert math.log(found.high / found.mid) == pytest.approx(t.ppf(0.9, n - 1) * spread)


def test_the_training_that_a_forecast_names_is_the_models_own(tmp_path: Path) -> None:
    """A classifier's stage trains a second time, from random weights."""
    labels = {"stage": "finetune@classify", "fingerprint": "f", "tokens": "1000"}
    write(tmp_path / "box-b0071234.jsonl", [
        start_of("s", second=0, **labels),
        start_of("t", "s", 5, **labels, phase="train"), end_of("t", 17, 60),
        start_of("u", "s", 18, **labels, phase="train"), end_of("u", 27, 30),
        end_of("s", 30, 100),
    ])  # fmt: skip
    found = forecast(history(tmp_path), "finetune@classify", "new", tokens=2000)
    assert found.training_s == pytest.approx(24)
    assert found.seconds.mid == pytest.approx(30 + 12 + 9)
