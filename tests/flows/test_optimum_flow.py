"""What the scaling law advises for params.yaml and its budget."""

from dataclasses import asdict
from pathlib import Path

import pytest

from components.errors import UserError
from components.files import write_json
from components.params import Budget, Grid, Params, Runtime
from flows.optimum import advice
from tests.components.carbon.test_calibration import RATES
from tests.components.carbon.test_optimum import LAW


def test_the_same_loss_for_less_and_the_best_for_the_budget(tmp_path: Path) -> None:
    params = Params(runtime=Runtime(budget=Budget(kwh=0.01, hours=2.0), grid=Grid(zone="FRA")))
    with pytest.raises(UserError, match="make scaling"):
        advice(params, RATES, tmp_path)
    write_json(tmp_path / "scaling.json", {"law": asdict(LAW) | {"optimum_exponent": 0.46}})
    lines = advice(params, RATES, tmp_path).splitlines()
    assert [line[:27].strip() for line in lines[:4]] == [
        "params.yaml", "best for the same compute", "best for 2 h", "best for 0.01 kWh"
    ]  # fmt: skip
    assert "10 Wh, 0.56 g" in lines[3]
    (share,) = [line for line in lines if line.startswith("the same loss at ")]
    assert 0 < int(share.split("at ")[1].split("%")[0]) <= 100
    assert (tmp_path / "loss_per_gram.png").exists()
