"""Some real steps of a small network: rates that make sense, paid for in the ledger."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from components.carbon.ledger.reader import read
from components.carbon.planning.step_cost_table import Rates
from components.params import ModelShape, Numerics, Pretrain
from components.studies.step_cost import STEPS

SMALL = Pretrain(model=ModelShape(size=1, width=64), steps=5, batch=4, context=32)


@pytest.mark.slow
def test_twenty_steps_tell_what_a_run_takes(tmp_path: Path) -> None:
    arguments = {
        "objective": "masked", "params": SMALL.model_dump(mode="json"), "numerics": Numerics().model_dump(mode="json"),
        "vocab_size": 300, "ledger": str(tmp_path), "runtime": {"meter_interval_s": 0.5}, "run": "calibrate-1",
    }  # fmt: skip
    command = [sys.executable, "-m", "components.studies.step_cost", json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rates = Rates(**json.loads(done.stdout.splitlines()[-1]))
    assert rates.steps == STEPS
    assert rates.tokens_per_step == 4 * 32
    assert rates.flops_per_token > 6 * 300 * 64
    assert 0 < rates.step_s < rates.took_s
    assert rates.startup_s > rates.step_s  # importing torch
    assert 0 <= rates.waited < 1
    low, mid, high = rates.joules_per_step
    assert 0 < low < mid < high
    (span,) = read(tmp_path)
    assert (span.stage, span.outcome) == ("calibrate", "Completed")
    assert span.energy.mid_uj / 1e6 > STEPS * mid
