"""A run that its budget or a dirty hour stopped and that was let go on ends with the bytes of one never stopped."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from small_corpus import NUMERICS, small, write_tokens

from components.carbon.budget import Budget
from components.carbon.pause import pauses, resumes_at
from components.errors import Stopped
from components.params import Grid, Runtime
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


class Hourly(Watch):
    """Each step takes twenty minutes of a made-up day; pauses by its grid."""

    def __init__(self, runtime: Runtime, root: Path, at: datetime) -> None:
        self.at, self.steps = at, 0
        self._pause: Callable[[], None] = pauses(runtime, root, lambda: self.at)

    def check(self) -> None:
        self._pause()
        self.at, self.steps = self.at + timedelta(minutes=20), self.steps + 1


@pytest.mark.slow
def test_same_bytes_after_two_pauses(tmp_path: Path) -> None:
    """Two clean hours, a dirty one, one clean, two dirty, then clean: it works in the clean ones alone."""
    tokens, params, noon = write_tokens(tmp_path / "tokenize"), small(), datetime(2026, 3, 2, 12, tzinfo=UTC)
    grams = [50, 50, 400, 50, 400, 400] + [50] * 200
    hours = [noon + timedelta(hours=number) for number in range(len(grams))]
    rows = [f"{hour:%Y-%m-%dT%H:00},{value}" for hour, value in zip(hours, grams, strict=True)]
    (tmp_path / "grid.csv").write_text("\n".join(["time,g_per_kwh", *rows]))
    runtime = Runtime(grid=Grid(series="grid.csv"), pause_above=100.0)

    def run(place: Path, watch: Watch) -> None:
        folders = {name: place / name for name in ("out", "reports", "work")}
        pretrain(objective="causal", tokens=tokens, params=params, numerics=NUMERICS, watch=watch, **folders)

    run(tmp_path / "undisturbed", Watch())
    at, worked = noon, []
    for resumed in (hours[3], hours[6]):
        watch = Hourly(runtime, tmp_path, at)
        with pytest.raises(Stopped) as stop:
            run(tmp_path / "paused", watch)
        assert stop.value.name == "Paused"
        worked.append(watch.steps)
        found = resumes_at(runtime, watch.at, tmp_path)
        assert found == resumed
        at = found
    run(tmp_path / "paused", Hourly(runtime, tmp_path, at))
    assert worked == [6, 3]
    assert hashes(tmp_path / "paused/out") == hashes(tmp_path / "undisturbed/out")
