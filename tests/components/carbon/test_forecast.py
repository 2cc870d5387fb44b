"""Forecasts from the ledger's own history: intervals that cover, and halves of runs left out."""

import random
from datetime import UTC, datetime, timedelta

from components.carbon.forecast import completed, forecast, interval
from components.carbon.ledger import Energy, Ledger, Span

START = datetime(2026, 1, 1, tzinfo=UTC)


def span(number: int, seconds: float, outcome: str = "Completed", fingerprint: str = "f") -> Span:
    start = START + timedelta(hours=number)
    energy = Energy(1, round(seconds * 10e6), round(seconds * 20e6))
    return Span(
        str(number), "", "dedup", "box", {"stage": "dedup", "fingerprint": fingerprint}, start,
        start + timedelta(seconds=seconds), outcome, parts={"cpu": energy},
    )  # fmt: skip


def test_no_history_is_no_forecast() -> None:
    assert forecast(Ledger([]), "dedup") is None


def test_runs_of_the_same_inputs_are_preferred() -> None:
    ledger = Ledger([span(0, 10), span(1, 11), span(2, 500, fingerprint="other")])
    found = forecast(ledger, "dedup", "f")
    assert found is not None
    assert found.basis == "2 runs of the same inputs"
    assert 10 < found.seconds.mid < 11
    assert found.kwh.mid * 3.6e6 / 10 == found.seconds.mid or abs(found.kwh.mid * 3.6e5 - found.seconds.mid) < 1e-6
    mixed = forecast(ledger, "dedup", "new")
    assert mixed is not None
    assert "other inputs too" in mixed.basis


def test_a_resumed_run_is_half_a_run() -> None:
    spans = [span(0, 10), span(1, 4, "Killed"), span(2, 6), span(3, 10)]
    assert [one.id for one in completed(Ledger(spans), "dedup")] == ["0", "3"]


def test_the_interval_covers_nine_of_ten() -> None:
    source = random.Random(1)
    covered = 0
    for _ in range(2000):
        history = [source.lognormvariate(3.0, 0.2) for _ in range(5)]
        found = interval(history)
        covered += found.low <= source.lognormvariate(3.0, 0.2) <= found.high
    assert 0.87 < covered / 2000 < 0.93


def test_one_run_gives_a_wide_interval() -> None:
    found = interval([100.0])
    assert found.low < 50
    assert found.high > 200
