"""Proof's own measure: what a removal is said to have used is what a price of the same run says."""

from pathlib import Path

import pytest

from benchmarks.proof.forget import spent
from components.carbon.ledger.reader import history
from components.carbon.planning.forecast import ORCHESTRATION_NAME, forecast, orchestration_forecast
from greenhouse_record.metering.meter import Meter


def test_the_price_of_a_run_that_was_is_what_it_used(tmp_path: Path) -> None:
    """The stages' energy was subtracted from that around them, which never had it: prices were called twice wrong."""
    with Meter(tmp_path, 60, {"run": "calm-otter"}):
        sum(range(2_000_000))
        with Meter(tmp_path, 60, {"stage": "ingest"}) as meter, meter.span("parse"):
            sum(range(4_000_000))
    ledger = history(tmp_path)
    stage, around = forecast(ledger, "ingest"), orchestration_forecast(ledger, 1)
    assert stage is not None
    assert around is not None
    assert spent(ledger) == pytest.approx({"ingest": stage.kwh.mid, ORCHESTRATION_NAME: around.kwh.mid}, rel=1e-6)
