"""A run that its budget stopped and that was let go on ends with the bytes of one never stopped."""

from pathlib import Path

import pytest

from components.carbon.planning.budget import Amounts, BudgetLimits
from components.core.errors import Stopped
from components.core.progress import Progress
from components.stages.pretrain.stage import pretrain
from tests.components.carbon.planning.test_budget import Totals
from tests.components.small_corpus import NUMERICS, small, write_tokens
from tests.components.stages.pretrain.test_stage import hashes
from tests.progress_recorder import Recorder


def limited(limit_j: float, spent_steps: int = 0) -> Recorder:
    """Each step takes a second and 36 W of a made-up machine."""
    budget = BudgetLimits(Amounts(kwh=limit_j / 3.6e6), Amounts(kwh=spent_steps * 36 / 3.6e6))

    def check(seen: Recorder) -> bool:
        budget.check(Totals(seen.num_checks * 36 / 3.6e6), float(seen.num_checks))
        return False

    return Recorder(check)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tokens(tmp_path_factory.mktemp("corpus") / "tokenize")


@pytest.fixture(scope="module")
def undisturbed(tokens: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Hashes of what a run makes that nothing stops."""
    place = tmp_path_factory.mktemp("undisturbed")
    train(tokens, place, Progress())
    return hashes(place / "out")


def train(tokens: Path, place: Path, progress: Progress) -> None:
    folders = {name: place / name for name in ("out", "reports", "work")}
    pretrain(objective="causal", tokens=tokens, params=small(), numerics=NUMERICS, progress=progress, **folders)


@pytest.mark.slow
def test_same_bytes_after_two_budgets(tokens: Path, undisturbed: dict[str, str], tmp_path: Path) -> None:
    done = 0
    for limit_steps in (2.5, small().steps - 1.5):
        progress = limited(limit_steps * 36, done)
        with pytest.raises(Stopped) as stop:
            train(tokens, tmp_path, progress)
        assert stop.value.name == "BudgetReached"
        done += progress.num_checks
        assert done <= limit_steps  # no step began that could not fit
    train(tokens, tmp_path, limited(1e9, done))
    assert hashes(tmp_path / "out") == undisturbed
