"""A run that its budget stopped and a raised budget let go on ends with the bytes of one that was never stopped."""

from pathlib import Path

import pytest
from small_corpus import NUMERICS, small, write_tokens

from components.carbon.budget import Budget
from components.errors import Stopped
from components.report import Watch
from components.train.pretrain import pretrain
from tests.components.carbon.test_budget import Totals
from tests.components.train.test_pretrain import hashes


class Guarded(Watch):
    """Each step takes a second and 36 W of a made-up machine."""

    def __init__(self, limit_j: float, spent_steps: int = 0) -> None:
        self.budget = Budget(kwh=limit_j / 3.6e6, spent_kwh=spent_steps * 36 / 3.6e6)
        self.steps = 0

    def check(self) -> None:
        self.steps += 1
        self.budget.check(Totals(self.steps * 36 / 3.6e6), float(self.steps))


@pytest.mark.slow
def test_same_bytes_after_two_budgets(tmp_path: Path) -> None:
    tokens = write_tokens(tmp_path / "tokenize")
    params = small()
    done = 0

    def run(place: Path, watch: Watch) -> None:
        folders = {name: place / name for name in ("out", "reports", "work")}
        pretrain(objective="causal", tokens=tokens, params=params, numerics=NUMERICS, watch=watch, **folders)

    run(tmp_path / "undisturbed", Watch())
    for limit_steps in (2.5, params.steps - 1.5):
        guarded = Guarded(limit_steps * 36, done)
        with pytest.raises(Stopped) as stop:
            run(tmp_path / "stopped", guarded)
        assert stop.value.name == "BudgetReached"
        done += guarded.steps
        assert done <= limit_steps  # no step began that could not fit
    run(tmp_path / "stopped", Guarded(1e9, done))
    assert hashes(tmp_path / "stopped/out") == hashes(tmp_path / "undisturbed/out")
