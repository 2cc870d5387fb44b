"""What calibrated rates say of a whole run, and under which name they are kept."""

import pytest

from components.carbon.planning.step_cost_table import Rates, key
from components.params import ModelShape, Numerics, Pretrain
from components.training.lr_schedule import FINAL_WINDOWS, LIVE_WINDOWS

RATES = Rates(
    steps=20, startup_s=5.0, step_s=0.2, waited=0.0, window_s=0.01, checkpoint_s=0.1, joules_per_step=(0.5, 1.0, 2.0),
    tokens_per_step=2048, flops_per_token=10_000_000, took_s=9.0,
)  # fmt: skip
PARAMS = Pretrain(steps=100, eval_every=50, checkpoint_every=25)


def test_a_run_is_its_start_steps_evaluations_checkpoints_and_exam() -> None:
    windows = 2 * LIVE_WINDOWS + FINAL_WINDOWS
    assert RATES.seconds(PARAMS) == pytest.approx(5.0 + 100 * 0.2 + windows * 0.01 + 4 * 0.1)
    assert RATES.kwh(PARAMS) == pytest.approx(RATES.seconds(PARAMS) * 5.0 / 3.6e6)
    assert RATES.tokens_per_s == pytest.approx(10_240)
    assert RATES.joules_per_flop[1] == pytest.approx(1.0 / (2048 * 1e7))


def test_rates_belong_to_shape_numerics_and_company_and_not_to_the_number_of_steps() -> None:
    def name(params: Pretrain = PARAMS, numerics: Numerics | None = None, beside: bool = True) -> str:
        return key("causal", params, numerics or Numerics(), 4096, beside)

    assert name() == name(PARAMS.model_copy(update={"steps": 7, "seed": 3}))
    others = [
        name(PARAMS.model_copy(update={"model": ModelShape(size=3)})),
        name(PARAMS.model_copy(update={"batch": 3})),
        name(numerics=Numerics(threads=2)),
        name(beside=False),
    ]
    assert len({name(), *others}) == 5
